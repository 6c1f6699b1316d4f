%% Terms built where they lie (c_src/beam/term_native_decode.c): the same as those that are made by
%% documented calls, of the same size, and good for the collector, at all edges of blocks, and of
%% what is built at once.
-module(xets_native_decode_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_term_nif, [natives/1, roundtrip/4, decode_key/3, element/5, fail_after/1]).
-import(xets_terms, [samples/0, nests/0, bytes/1, bits/1, numbers/1, closure/1, external_pid/0]).

-define(ALL, 16#3ff).
-define(BLOCK, 8192). % words
-define(AT_ONCE, 8062). % the largest object that is (term_native_small.c)

with(Kinds, Fun) ->
    natives(Kinds),
    try Fun() after natives(?ALL) end.

%% Read natively and portably, from the bytes that the native way has stored. What was read first
%% has been through the collector when it is looked at.
builds(Term) ->
    [builds(Object, KeyPos) || {Object, KeyPos} <- [{{k, Term}, 1}, {{Term, 7, Term}, 3}]],
    ok.

builds(Object, KeyPos) ->
    {ok, Native} = roundtrip(Object, KeyPos, [], infinity),
    {ok, Reused} = roundtrip(Object, KeyPos, [element(KeyPos, Object)], infinity),
    {ok, Key} = decode_key(Object, KeyPos, infinity),
    {ok, First} = element(Object, KeyPos, 1, [], infinity),
    {ok, Portable} = with(0, fun() -> roundtrip(Object, KeyPos, [], infinity) end),
    garbage_collect(),
    ?assert(Native =:= Object),
    ?assert(Native =:= Portable),
    ?assert(Reused =:= Object),
    ?assert(Key =:= element(KeyPos, Object)),
    ?assert(First =:= element(1, Object)),
    ?assertEqual(erts_debug:flat_size(Portable), erts_debug:flat_size(Native)),
    ?assertEqual(erlang:external_size(Object), erlang:external_size(Native)),
    erts_debug:flat_size(Native) < 2000 andalso
        ?assertEqual(erts_debug:size(Portable), erts_debug:size(Native)).

samples_test_() ->
    [{Name, {timeout, 60, fun() -> builds(Term) end}} || {Name, Term} <- samples()].

nested_samples_test_() ->
    {timeout, 60, fun() -> [builds(Nest(Term)) || Nest <- nests(), {_, Term} <- samples(),
                                                  erts_debug:flat_size(Term) < 200]
                  end}.

%% A kind that is not native goes the portable way inside of the others.
without_a_kind_test_() ->
    Terms = [Term || {_, Term} <- samples(), erts_debug:flat_size(Term) < 3000],
    [{timeout, 60,
      fun() ->
              with(?ALL band bnot (1 bsl Kind),
                   fun() ->
                           [?assert({ok, {k, [Term, {Term}]}}
                                    =:= roundtrip({k, [Term, {Term}]}, 1, [], infinity))
                            || Term <- Terms]
                   end)
      end} || Kind <- lists:seq(0, 9)].

%%% Edges

%% The object is a tuple of 4 words, the packed list fills up what is before the edge: objects of
%% all sizes then lie just before it, at it, and behind it.
edges_test_() ->
    [{lists:concat([Words, " words"]), {timeout, 60, fun() -> edge(Words) end}}
     || Words <- [?AT_ONCE, ?BLOCK, 2 * ?BLOCK]].

edge(Words) ->
    Last = [{1}, {1, 2}, {1, 2, 3}, {{1}, {2}}, [1], [{1}], [a | b], [{a} | {b}], 1.5, 1 bsl 64,
            1 bsl 200, <<>>, <<1>>, bytes(8), bytes(9), bytes(20), bytes(64), <<1:1>>, bits(511),
            make_ref(), #{a => 1}, #{a => {1}, b => 2}, #{{1} => 2}, numbers(32), {}, #{},
            bytes(65)],
    [begin
         List = lists:seq(1, (Words - 4) div 2 - Cells),
         builds({k, List, Term}, 1),
         builds({k, 1.0, List, Term}, 1),
         builds({k, {a, b}, List, Term, Term}, 1)
     end || Term <- Last, Cells <- [-1, 0, 1, 2, 3]].

list_lengths_test_() ->
    {timeout, 60, fun list_lengths/0}.

list_lengths() ->
    [builds(Make(N)) || Words <- [?AT_ONCE, ?BLOCK], Size <- [2, 4, 5, 6],
                        N <- lists:seq(Words div Size - 2, Words div Size + 2),
                        Make <- [fun(Length) -> lists:seq(1, Length) end,
                                 fun(Length) -> lists:seq(1, Length) ++ {tail} end,
                                 fun(Length) -> [{I} || I <- lists:seq(1, Length)] end,
                                 fun(Length) -> [{I, -I} || I <- lists:seq(1, Length)] end,
                                 fun(Length) -> [I / 2 || I <- lists:seq(1, Length)] end,
                                 fun(Length) -> [bytes(10) || _ <- lists:seq(1, Length)] end]].

%% One cell is taken as it comes; tuples of another arity, or with wider elements, come between.
mixed_lists_test_() ->
    {timeout, 60, fun mixed_lists/0}.

mixed_lists() ->
    builds([list_to_tuple(lists:seq(1, 1 + I rem 10)) || I <- lists:seq(1, 1000)]),
    builds([{I bsl (I rem 50), a} || I <- lists:seq(1, 1000)]),
    builds([case I rem 7 of 0 -> {}; 1 -> {I, [I]}; _ -> {I, I} end || I <- lists:seq(1, 2000)]),
    builds([{list_to_tuple(lists:seq(1, 130)), I} || I <- lists:seq(1, 50)]),
    builds([{I, a} || I <- lists:seq(1, 10)] ++ {tail}),
    builds([{I, a} || I <- lists:seq(1, 10)] ++ [{}, {1, b} | {1, b}]).

%% Short tuples, and what is beside them, of all widths.
widths_test_() ->
    {timeout, 60, fun widths/0}.

widths() ->
    [builds({Term, [Term, Term], Term, [a, Term, Term | Term]})
     || Bits <- lists:seq(0, 58), Arity <- lists:seq(0, 5),
        Term <- [1 bsl Bits, erlang:make_tuple(Arity, 1 bsl Bits)]].

large_tuples_test_() ->
    {timeout, 60, fun large_tuples/0}.

large_tuples() ->
    [begin
         Tuple = list_to_tuple(lists:seq(1, N)),
         Nested = list_to_tuple([{I} || I <- lists:seq(1, N)]),
         builds(Tuple, 1),
         builds(Nested, 1),
         builds(Nested, N),
         builds({k, Tuple, Nested, a}, 1)
     end || N <- lists:seq(?BLOCK - 3, ?BLOCK + 1)],
    Large = list_to_tuple([[I] || I <- lists:seq(1, ?BLOCK)]),
    builds({Large, setelement(17, Large, {Large, {Large}}), [Large | Large]}).

large_bignums_test_() ->
    {timeout, 60, fun large_bignums/0}.

large_bignums() ->
    [builds(Sign * (1 bsl (64 * Digits) + Add))
     || Digits <- lists:seq(?BLOCK - 3, ?BLOCK + 1), Sign <- [1, -1], Add <- [-1, 0]].

maps_test_() ->
    {timeout, 60, fun maps/0}.

maps() ->
    Sizes = [1, 2, 31, 32, 33, 34, 60, 100, 120, 128, 129, 300, 2000],
    [builds(map(N, Key, Value))
     || N <- Sizes,
        Key <- [fun(I) -> I end, fun(I) -> {I} end, fun(I) -> bytes(I rem 60) end],
        Value <- [fun(I) -> -I end, fun(I) -> [I] end, fun(I) -> #{I => I} end]],
    builds([map(32, fun(I) -> {I, J} end, fun(I) -> I * 1.0 end) || J <- lists:seq(1, 200)]),
    Large = map(200, fun(I) -> {I} end, fun(I) -> [I] end),
    builds(#{Large => Large, [Large] => numbers(40)}),
    builds(maps:put(Large, Large, map(50, fun(I) -> Large#{k => I} end, fun(_) -> Large end))).

map(N, Key, Value) ->
    maps:from_list([{case Key(I) of B when is_binary(B) -> {B, I}; K -> K end, Value(I)}
                    || I <- lists:seq(1, N)]).

%%% Depth and handles

deep_test_() ->
    {timeout, 60, fun deep/0}.

deep() ->
    [builds(lists:foldl(fun(_, T) -> Nest(T) end, a, lists:seq(1, Depth)))
     || Nest <- nests(), Depth <- [47, 48, 49, 50, 62, 63, 64, 65, 66, 200, 20000]].

many_handles_test_() ->
    {timeout, 60, fun many_handles/0}.

many_handles() ->
    Shared = [bytes(100), closure(1), external_pid(), {}, #{}, bytes(65), bits(521)],
    [builds([lists:nth(1 + I rem 7, Shared) || I <- lists:seq(1, N)]) || N <- lists:seq(1, 20)],
    [builds([bytes(100 + I) || I <- lists:seq(1, N)]) || N <- [3, 4, 5, 7, 8, 9]],
    builds([lists:nth(1 + I rem 7, Shared) || I <- lists:seq(1, 1000)]),
    builds([{lists:nth(1 + I rem 7, Shared), I} || I <- lists:seq(1, 5000)]),
    builds(list_to_tuple([lists:nth(1 + I rem 7, Shared) || I <- lists:seq(1, 300)])),
    builds(maps:from_list([{I, lists:nth(1 + I rem 7, Shared)} || I <- lists:seq(1, 500)])).

%%% Memory

%% Whichever allocation fails: no term, and nothing is kept.
failing_allocations_test_() ->
    {timeout, 60, fun failing_allocations/0}.

failing_allocations() ->
    Shared = [bytes(100), {}, #{}, 1.5],
    Terms = [[{lists:nth(1 + I rem 4, Shared), [I]} || I <- lists:seq(1, 500)],
             list_to_tuple([{I} || I <- lists:seq(1, ?BLOCK)]),
             map(300, fun(I) -> {I} end, fun(I) -> [I] end),
             lists:foldl(fun(_, T) -> {T} end, a, lists:seq(1, 500))],
    [begin
         Before = fail_after(-1),
         Failed = fails(Term, 0, 0),
         ?assert(Failed > 0),
         ?assertEqual(Before, fail_after(-1))
     end || Term <- Terms].

fails(Term, N, Failed) ->
    fail_after(N),
    Result = roundtrip({k, Term}, 1, [], infinity),
    fail_after(-1),
    case Result of
        nomem ->
            fails(Term, N + 1, Failed + 1);
        {ok, {k, Read}} ->
            ?assert(Read =:= Term),
            Failed
    end.

%%% Tables

lookups_test_() ->
    {timeout, 60, fun lookups/0}.

lookups() ->
    [begin
         T = xets:new(t, [Type]),
         [begin
              xets:insert(T, Object),
              [Read] = xets:lookup(T, element(1, Object)),
              garbage_collect(),
              ?assert(Read =:= Object),
              xets:delete(T, element(1, Object))
          end || {_, Term} <- samples(),
                 Object <- [{k, Term}, {Term, 1}, {Term}, {{k, 1}, Term}, {Term, {Term}}]],
         xets:delete(T)
     end || Type <- [set, ordered_set, bag]].

%% In heap fragments, one after the other.
many_in_one_call_test_() ->
    {timeout, 60, fun many_in_one_call/0}.

many_in_one_call() ->
    T = xets:new(t, [set]),
    Objects = [{{I, <<I>>}, {a, [I], <<I:160>>}, #{a => I}, I * 1.5} || I <- lists:seq(1, 3000)],
    xets:insert(T, Objects),
    List = xets:tab2list(T),
    garbage_collect(),
    ?assert(lists:sort(List) =:= Objects),
    Found = xets:select(T, [{{'$1', '$2', '_', '_'}, [], [{{'$2', '$1'}}]}]),
    garbage_collect(),
    ?assert(lists:sort(Found) =:= lists:sort([{B, A} || {A, B, _, _} <- Objects])),
    xets:delete(T).
