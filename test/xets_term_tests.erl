%% Terms stored and read back (c_src/beam/term.h): every kind of term as key and as
%% value, the rule for equal keys, budgets, failing allocations, and properties over
%% generated terms (xets_terms).
-module(xets_term_tests).

-include_lib("eunit/include/eunit.hrl").

%% For xets_compress_tests.
-export([stores/1, same/2, nomem/3, objects_agree/1, identities/0]).

-import(xets_term_nif, [key/2, object/3, roundtrip/4, decode_key/3, element/5, immediate/3,
                        replace/5, equal/3, identity/3, fail_after/1]).
-import(xets_terms, [samples/0, nests/0, forall/2, make_pair/1, rebuild/2, shuffle/2, numbers/1,
                     negative_zero/0, bytes/1, part/1, closure/1, external_pid/1, ref_once/0,
                     many_handles_once/0]).

%% From term.h and record.h.
-define(LOOSE, (1 bsl 20)).
-define(BUDGET, 65536).

%%% Kinds of terms

kinds_test_() ->
    [{Name, {timeout, 60, fun() -> stores(Term) end}} || {Name, Term} <- samples()].

%% Term can be key, value, part of either, at every position.
stores(Term) ->
    Objects = [{Term}, {k, Term}, {k, {Term}, Term}, {k, [Term | Term], #{Term => Term}},
               {k, 1, Term, 2, Term, 3}],
    [stores(Object, KeyPos) || Object <- Objects, KeyPos <- lists:seq(1, tuple_size(Object))].

stores(Object, KeyPos) ->
    Key = element(KeyPos, Object),
    {ok, {KeyBytes, KeyHandles, _, _, _, _, _}} = object(Object, KeyPos, infinity),
    {ok, {KeyBytes, KeyHandles, Reusable}} = key(Key, infinity),
    same({ok, Object}, roundtrip(Object, KeyPos, [], infinity)),
    same({ok, Object}, roundtrip(Object, KeyPos, [Key || Reusable], infinity)),
    same({ok, Key}, decode_key(Object, KeyPos, infinity)),
    [begin
         Element = element(Pos, Object),
         same({ok, Element}, element(Object, KeyPos, Pos, [], infinity)),
         same({ok, Element}, element(Object, KeyPos, Pos, [Key || Reusable], infinity)),
         {Arity, Immediate} = immediate(Object, KeyPos, Pos),
         ?assertEqual(tuple_size(Object), Arity),
         ?assertEqual([Element || is_immediate(Element)], Immediate)
     end || Pos <- lists:usort([1, KeyPos, (tuple_size(Object) + 1) div 2, tuple_size(Object)])],
    ok.

is_immediate(Term) ->
    erts_debug:flat_size(Term) =:= 0 andalso Term =/= {}.

%% Equal, signs of zeros included.
same(A, B) ->
    ?assert(A =:= B),
    ?assert(term_to_binary(A) =:= term_to_binary(B)).

every_arity_test() ->
    [stores(list_to_tuple([element(1 + I rem tuple_size(Elements), Elements)
                           || I <- lists:seq(1, Arity)]), KeyPos)
     || Arity <- lists:seq(1, 20), KeyPos <- lists:seq(1, Arity),
        Elements <- [{1}, {1, 1000000, a, []}, {-1}, {1, {}, 2.0}]].

every_width_test() ->
    [stores({k, (1 bsl Bits) - Less, a, {1, 1 bsl Bits}, [1, 1 bsl Bits]}, KeyPos)
     || Bits <- lists:seq(0, 59), Less <- [0, 1], KeyPos <- [1, 2]].

large_arity_test() ->
    Object = erlang:make_tuple(1000000, {}, [{1, key}, {777777, "value"}]),
    same({ok, Object}, roundtrip(Object, 1, [], infinity)),
    ?assertEqual({ok, "value"}, element(Object, 1, 777777, [], infinity)).

%%% Depth and length

deep_test_() ->
    [{timeout, 60, fun() -> deep(Nest) end} || Nest <- nests()].

deep(Nest) ->
    Term = lists:foldl(fun(_, T) -> Nest(T) end, [], lists:seq(1, 1000000)),
    ?assert({ok, {k, Term}} =:= roundtrip({k, Term}, 1, [], infinity)),
    ?assertEqual(budget, object({k, Term}, 1, ?BUDGET)),
    ?assertEqual(budget, roundtrip({k, Term}, 1, [], ?BUDGET)),
    ?assertEqual(budget, element({k, Term}, 1, 2, [], ?BUDGET)).

%% Maps nested through their keys are slow to compare: every level hashes what is below.
deep_keys_test() ->
    Term = lists:foldl(fun(_, T) -> #{T => a} end, [], lists:seq(1, 1000)),
    stores({k, Term}, 2),
    DeepKey = lists:foldl(fun(_, T) -> {T} end, [], lists:seq(1, 1000000)),
    ?assert({ok, {DeepKey}} =:= roundtrip({DeepKey}, 1, [], infinity)),
    ?assertEqual(budget, key(DeepKey, ?BUDGET)),
    ?assertEqual(budget, decode_key({DeepKey}, 1, ?BUDGET)).

large_test_() ->
    [{timeout, 60, fun() ->
                           Term = Make(),
                           ?assert({ok, {k, Term}} =:= roundtrip({k, Term}, 1, [], infinity))
                   end}
     || Make <- [fun() -> lists:seq(1, 5000000) end,
                 fun() -> [{I, -I} || I <- lists:seq(1, 1000000)] end,
                 fun() -> lists:seq(1, 5000000) ++ tail end,
                 fun() -> numbers(200000) end,
                 fun() -> list_to_tuple(lists:seq(1, 2000000)) end,
                 fun() -> binary:copy(<<"0123456789">>, 20000000) end,
                 fun() -> [binary:copy(<<I>>, 64) || I <- lists:seq(1, 1000000)] end]].

%%% Equal keys have equal key bytes

negative_zero_in_keys_test() ->
    Zero = 0.0, Negative = negative_zero(),
    [begin
         A = F(Zero), B = F(Negative),
         ?assertEqual(A =:= B, same_key(A, B)),
         ?assertEqual({A, 1} =:= {B, 1}, equal({A, 1}, {B, 1}, 1)),
         ?assertEqual({1, A} =:= {1, B}, equal({1, A}, {1, B}, 1)),
         ?assertEqual({1, A} =:= {1, B}, equal({1, B}, {1, A}, 1)),
         ?assertEqual(A =:= B, flags({B, 1}) =:= ?LOOSE),
         ?assertEqual(A =:= B, flags({1, B}) =:= ?LOOSE),
         ?assertEqual(0, flags({A, 1})),
         stores(A), stores(B)
     end || F <- zeros_in_terms()].

zeros_in_terms() ->
    [fun(Z) -> Z end, fun(Z) -> {Z, a} end, fun(Z) -> [1.0, Z] end,
     fun(Z) -> #{a => Z} end, fun(Z) -> #{Z => a} end,
     fun(Z) -> maps:put(Z, Z, numbers(100)) end,
     fun(Z) -> #{[{Z}] => [#{Z => {Z, a}}]} end,
     fun(Z) -> {ref_once(), bytes(5000), Z} end,
     fun(Z) -> {many_handles_once(), Z} end].

maps_as_keys_test_() ->
    [{lists:concat(["map of ", Size]), fun() -> maps_as_keys(Size) end}
     || Size <- [1, 2, 5, 31, 32, 33, 34, 64, 100, 1000]].

maps_as_keys(Size) ->
    Pairs = [{key_like(I), I} || I <- lists:seq(1, Size)],
    Map = maps:from_list(Pairs),
    Others = [{extra, I} || I <- lists:seq(1, 100)],
    [begin
         Shuffled = shuffle(Pairs, I),
         Inserted = lists:foldl(fun({K, V}, M) -> M#{K => V} end, #{}, Shuffled),
         Grown = lists:foldl(fun({K, V}, M) -> M#{K => V} end, maps:from_keys(Others, x), Shuffled),
         Shrunk = lists:foldl(fun maps:remove/2, Grown, shuffle(Others, I)),
         ?assert(same_key(Map, Inserted)),
         ?assert(same_key(Map, Shrunk)),
         ?assert(same_key({[Map]}, {[Shrunk]})),
         ?assertNot(same_key(Map, Inserted#{key_like(1) := x}))
     end || I <- lists:seq(1, 5)].

%% In a map of this size some keys have the same 32-bit hash.
colliding_map_as_key_test_() ->
    {timeout, 60,
     fun() ->
             Pairs = [{I, I} || I <- lists:seq(1, 300000)],
             ?assert(same_key(maps:from_list(Pairs), maps:from_list(shuffle(Pairs, 1)))),
             ?assert(same_key(maps:from_list(Pairs),
                              lists:foldl(fun({K, V}, M) -> M#{K => V} end, #{},
                                          shuffle(Pairs, 2))))
     end}.

%% Terms of all kinds, so that maps order their keys by all rules.
key_like(I) ->
    case I rem 12 of
        0 -> I;
        1 -> float(I);
        2 -> list_to_atom("key" ++ integer_to_list(I));
        3 -> I bsl 64;
        4 -> {I};
        5 -> [I];
        6 -> integer_to_binary(I);
        7 -> <<I:17>>;
        8 -> #{I => I};
        9 -> closure(I);
        10 -> external_pid(I);
        11 -> {I * 1.0, external_pid(I)}
    end.

%% A key with too many handles is one handle.
many_handles_test() ->
    [begin
         Pids = [external_pid(I) || I <- lists:seq(1, N)],
         {ok, {_, Handles, true}} = key(Pids, infinity),
         ?assertEqual(Expected, length(Handles)),
         ?assert(same_key(Pids, binary_to_term(term_to_binary(Pids)))),
         ?assertNot(same_key(Pids, lists:reverse(Pids))),
         stores({Pids, Pids, 1}, 1)
     end || {N, Expected} <- [{254, 254}, {255, 255}, {256, 1}, {3000, 1}]].

%% Contents count up to 4 KiB, above a hash of them and the term.
binaries_in_keys_test() ->
    [begin
         A = bytes(Size),
         B = part(A),
         {ok, {_, Handles, true}} = key({A}, infinity),
         ?assertEqual(Expected, length(Handles)),
         ?assert(same_key({A}, {B})),
         ?assertNot(same_key({A}, {<<B/binary, 0>>})),
         ?assertNot(same_key(A, <<A/binary, 0:1>>))
     end || {Size, Expected} <- [{0, 0}, {64, 0}, {65, 0}, {4096, 0}, {4097, 1}, {100000, 1}]].

%%% Equal objects have equal identities

identities_test_() ->
    identities().

identities() ->
    [{"all kinds", fun identities_of_all_kinds/0}, {"equal terms", fun identities_of_equal_terms/0},
     {"zeros", fun identities_of_zeros/0}, {"large binaries", fun identities_of_large_binaries/0}].

identities_of_all_kinds() ->
    Objects = [Object || {_, Term} <- samples(),
                         Object <- [{k, Term}, {Term, k}, {k, [Term], Term}, {k, Term, 1}]],
    Identities = [identify(Object) || Object <- Objects],
    ?assertEqual(maps:size(maps:from_keys(Objects, x)), length(lists:usort(Identities))).

identities_of_equal_terms() ->
    [begin
         Copy = rebuild(binary_to_term(term_to_binary(Term)), Seed),
         ?assertEqual(identify({k, Term, [Term]}), identify({k, Copy, [Copy]})),
         ?assertEqual(identify({Term, Term}), identify({Copy, Copy}))
     end || {_, Term} <- samples(), not is_function(Term), not is_magic(Term), Seed <- [1, 2]].

identities_of_zeros() ->
    Zero = 0.0, Negative = negative_zero(),
    [begin
         A = F(Zero), B = F(Negative),
         ?assertEqual(A =:= B, identify({k, A}) =:= identify({k, B})),
         ?assertEqual(A =:= B, identify({A, 1}) =:= identify({B, 1})),
         ?assertEqual(A =:= B, identify({A, {B}, A}) =:= identify({B, {A}, A})),
         ?assertNotEqual(identify({A, 1}), identify({B, 2}))
     end || F <- [fun xets_terms:closure/1 | zeros_in_terms()]].

identities_of_large_binaries() ->
    [begin
         Binary = bytes(Size),
         Flip = fun(Pos) ->
                        <<Before:Pos/binary, Byte, After/binary>> = Binary,
                        <<Before/binary, (Byte bxor 1), After/binary>>
                end,
         Variants = [Binary, <<Binary/binary, 0>>, <<Binary/binary, 0:1>>, <<Binary/binary, 1:1>>,
                     <<Binary/binary, 0:2>>, Flip(0), Flip(Size - 1)]
             ++ [Flip(Size div 2) || Size =< 4096] ++ [Flip(2047) || Size > 2047],
         Identities = [identify({k, V}) || V <- Variants],
         ?assertEqual(Identities, [identify({k, part(V)}) || V <- Variants]),
         ?assertEqual(length(lists:usort(Variants)), length(lists:usort(Identities)))
     end || Size <- [65, 1000, 4095, 4096, 4097, 10000]].

%% Hashing of binaries is work, though little is decoded.
identities_budget_test() ->
    Binaries = lists:duplicate(4000, bytes(10000)),
    ?assertMatch({ok, _}, object({k, Binaries}, 1, ?BUDGET)),
    ?assertEqual(budget, identity({k, Binaries}, 1, ?BUDGET)),
    ?assertMatch({ok, _}, identity({k, Binaries}, 1, infinity)).

identify(Object) ->
    {ok, Identity} = identity(Object, 1, infinity),
    Identity.

is_magic(Term) ->
    is_reference(Term) andalso Term =/= binary_to_term(term_to_binary(Term)).

%%% What objects keep alive

pinned_test() ->
    [?assertEqual(Expected, pinned(Object))
     || {Object, Expected} <- [{{k, bytes(64)}, 0}, {{k, bytes(65)}, 65},
                               {{k, [bytes(100), {bytes(1000)}]}, 1100},
                               {{bytes(4096), 1}, 0}, {{bytes(5000), bytes(70)}, 5070},
                               {{k, <<0:1001>>}, 126}, {{k, make_ref()}, 0}]].

replaced_pinned_test() ->
    Object = {bytes(5000), bytes(100), <<0:1001>>, bytes(300), 7},
    [begin
         {ok, {New, Stored}} = replace(Object, 1, [Pos], [Term], infinity),
         ?assert(New =:= setelement(Pos, Object, Term)),
         {ok, Encoded} = object(New, 1, infinity),
         ?assertEqual(tight(Encoded), tight(Stored))
     end || Pos <- [2, 3, 4, 5], Term <- [1, bytes(77), {a, bytes(400)}]].

%%% Budgets

encoding_budget_test() ->
    [begin
         {ok, {_, _, _, _, _, _, Words}} = object({k, Term}, 1, infinity),
         ?assertMatch({ok, _}, object({k, Term}, 1, Words)),
         ?assertEqual(budget, object({k, Term}, 1, Words - 1))
     end || {_, Term} <- samples(), erts_debug:flat_size(Term) > 0].

decoding_budget_test() ->
    [begin
         {ok, {_, _, _, _, _, _, Words}} = object({k, Term}, 1, infinity),
         ?assertMatch({ok, _}, roundtrip({k, Term}, 1, [], Words)),
         ?assertEqual(budget, roundtrip({k, Term}, 1, [], Words - 1))
     end || {_, Term} <- samples(), erts_debug:flat_size(Term) > 0].

%% Key and body together, also where the key is decoded by itself.
decoding_budget_of_keys_test() ->
    Object = {binary:copy(<<1>>, 1600), lists:seq(1, 100)},
    Within = fun() ->
                     ?assertEqual(budget, roundtrip(Object, 1, [], 300)),
                     ?assertEqual({ok, Object}, roundtrip(Object, 1, [], 10000))
             end,
    Within(),
    xets_term_nif:order(true),
    try Within() after xets_term_nif:order(false) end.

flat_objects_need_no_budget_test() ->
    ?assertEqual({ok, {k, 1, a, []}}, roundtrip({k, 1, a, []}, 1, [k], 0)).

long_list_stops_early_test_() ->
    {timeout, 60,
     fun() ->
             List = lists:seq(1, 3000000),
             Times = [begin
                          {Micros, budget} = timer:tc(fun() -> object({k, List}, 1, ?BUDGET) end),
                          Micros
                      end || _ <- lists:seq(1, 20)],
             ?assert(lists:min(Times) < 20000)
     end}.

hashing_large_keys_is_work_test() ->
    ?assertMatch({ok, _}, key(bytes(100000), ?BUDGET)),
    ?assertEqual(budget, key(bytes(1000000), ?BUDGET)).

%% A small element of an object that is beyond the budget as a whole.
element_of_large_object_test() ->
    Object = {k, {small}, lists:duplicate(?BUDGET, {x}), {far}},
    ?assertEqual(budget, roundtrip(Object, 1, [], ?BUDGET)),
    ?assertEqual({ok, {small}}, element(Object, 1, 2, [], ?BUDGET)),
    ?assertEqual(budget, element(Object, 1, 3, [], ?BUDGET)),
    ?assertEqual(budget, element(Object, 1, 4, [], ?BUDGET)),
    ?assertEqual({ok, k}, element(Object, 1, 1, [], ?BUDGET)).

replace_budget_test() ->
    Object = {k, lists:duplicate(?BUDGET, {x}), 1},
    ?assertEqual(budget, replace(Object, 1, [3], [2], ?BUDGET)),
    ?assertEqual(budget, replace({k, 1, {}}, 1, [2], [lists:seq(1, ?BUDGET)], ?BUDGET)),
    ?assertMatch({ok, {{k, _, 2}, _}}, replace(Object, 1, [3], [2], infinity)).

%% Words are an upper estimate of what the emulator takes.
words_test() ->
    [begin
         {ok, {_, _, _, _, _, _, Words}} = object({k, Term}, 1, infinity),
         {ok, Copy} = roundtrip({k, Term}, 1, [], infinity),
         ?assertEqual({Name, true, Words},
                      {Name, Words >= erts_debug:flat_size(Copy), Words})
     end || {Name, Term} <- samples(), not is_function(Term)].

%% They are no estimate where it counts: what is decoded natively takes a block of as many.
exact_words_test() ->
    [begin
         {ok, {_, _, _, _, _, _, Words}} = object({k, Term}, 1, infinity),
         {ok, Copy} = roundtrip({k, Term}, 1, [k], infinity),
         ?assertEqual({Term, erts_debug:flat_size(Copy)}, {Term, Words})
     end || Term <- [{1}, {a, {b}}, [1], [1, {2} | c], [<<I>> || I <- [1, 2]], 1.5,
                     1 bsl 59, -(1 bsl 59), 1 bsl 64, -(1 bsl 127), 1 bsl 1000, #{a => 1},
                     #{{a} => [b], "c" => {d}}, maps:from_list([{I, {I}} || I <- lists:seq(1, 32)])
                     | [binary:copy(<<7>>, N) || N <- [0, 1, 7, 8, 9, 15, 16, 17, 63, 64]]]].

%%% Failing allocations

nomem_test_() ->
    {timeout, 60, fun() -> [nomem(F) || F <- allocating()] end}.

allocating() ->
    Long = [{I, <<I:16>>} || I <- lists:seq(1, 3000)],
    Deep = lists:foldl(fun(_, T) -> {T, [a]} end, [], lists:seq(1, 1000)),
    Maps = lists:foldl(fun(_, T) -> #{{} => T, [] => T, a => {}} end, [], lists:seq(1, 8)),
    Object = {k, Long, Deep, [make_ref() || _ <- lists:seq(1, 50)], Maps, <<0:511>>,
              1 bsl 10000},
    Key = {<<0:30001>>, Deep, Long},
    [fun() -> object(Object, 1, infinity) end,
     fun() -> roundtrip(Object, 1, [], infinity) end,
     fun() -> roundtrip(setelement(1, Object, Key), 1, [], infinity) end,
     fun() -> decode_key({Key}, 1, infinity) end,
     fun() -> key(Key, infinity) end,
     fun() -> element(Object, 1, 3, [], infinity) end,
     fun() -> replace(Object, 1, [3, 4], [Long, Deep], infinity) end,
     fun() -> identity({k, [negative_zero() | Long], bytes(100)}, 1, infinity) end].

nomem(F) ->
    ?assertEqual(0, fail_after(-1)),
    Expected = F(),
    ?assert(nomem(F, 0, Expected) > 2).

nomem(F, N, Expected) ->
    0 = fail_after(N),
    Result = F(),
    ?assertEqual(0, fail_after(-1)),
    case Result of
        nomem -> nomem(F, N + 1, Expected);
        _ -> ?assert(Result =:= Expected), N
    end.

%%% Replacing elements

replace_test() ->
    [replaces(Object, KeyPos, Positions, Terms)
     || Object <- [{k, 1, 2}, {k, 1, {2}}, {k, {1}, {2}}, {k, bytes(100), 2}, {k, 1.0, [2]},
                   {bytes(5000), make_ref(), bytes(100)}, {1.0 * negative_zero(), 1, {2}}],
        KeyPos <- [1, 2, 3],
        Positions <- [P || P <- [[1], [2], [3], [1, 2], [1, 3], [2, 3]],
                           not lists:member(KeyPos, P)],
        Terms <- [lists:sublist(T, length(Positions))
                  || T <- [[7, a], [1 bsl 40, -1], [{x}, 9], [9, {x}], [bytes(200), 7],
                           [make_ref(), "list"], [negative_zero(), bytes(70)]]]].

replace_in_wide_object_test() ->
    Wide = list_to_tuple(lists:seq(1, 20)),
    replaces(Wide, 5, [1, 4, 6, 20], [a, {b}, 3, 4]),
    replaces(Wide, 1, [2], [b]),
    replaces(erlang:make_tuple(15, {}, [{3, key}]), 3, [1, 2] ++ lists:seq(4, 15),
             lists:seq(1, 14)).

replaces(Object, KeyPos, Positions, Terms) ->
    Expected = lists:foldl(fun({Pos, Term}, T) -> setelement(Pos, T, Term) end, Object,
                           lists:zip(Positions, Terms)),
    {ok, {New, Stored}} = replace(Object, KeyPos, Positions, Terms, infinity),
    same(Expected, New),
    {ok, Encoded} = object(Expected, KeyPos, infinity),
    ?assert(element(6, Encoded) band (bnot element(6, Stored)) =:= 0),
    ?assert(tight(Stored) =:= tight(Encoded)).

%% Without the flags, which may stay set, and words of the key, which are not counted.
tight({KeyBytes, KeyHandles, Body, BodyHandles, Pinned, _, _}) ->
    {KeyBytes, KeyHandles, Body, BodyHandles, Pinned}.

%%% Properties over generated terms

properties_test_() ->
    [{Name, {timeout, 600, fun() -> forall(Type, Property) end}}
     || {Name, Type, Property} <-
            [{"objects are read back", xets_terms:object_type(), fun read_back/1},
             {"equal keys", xets_terms:pair_type(), fun keys_agree/1},
             {"equal objects", xets_terms:pair_type(), fun objects_agree/1},
             {"replaced elements", xets_terms:replacement_type(), fun replaced/1}]].

read_back({Object, KeyPos}) ->
    stores(Object, KeyPos),
    {ok, {_, _, _, _, _, _, Words}} = object(Object, KeyPos, infinity),
    ?assertEqual(budget, object(Object, KeyPos, Words - 1)).

keys_agree(Pair) ->
    {A, B} = make_pair(Pair),
    ?assertEqual(A =:= B, same_key(A, B)),
    ?assertEqual({[A], B} =:= {[B], A}, same_key({[A], B}, {[B], A})).

%% Objects are equal if their bytes and handles are; else only if one is loose.
objects_agree(Pair) ->
    {A, B} = make_pair(Pair),
    [begin
         {ok, StoredA} = object(ObjectA, 1, infinity),
         {ok, StoredB} = object(ObjectB, 1, infinity),
         Loose = (element(6, StoredA) bor element(6, StoredB)) band ?LOOSE =/= 0,
         Equal = tight(StoredA) =:= tight(StoredB)
             orelse Loose andalso equal(ObjectA, ObjectB, 1),
         ?assertEqual(ObjectA =:= ObjectB, Equal),
         ?assertEqual(ObjectA =:= ObjectB, identify(ObjectA) =:= identify(ObjectB)),
         ?assertEqual(ObjectA =:= ObjectB, equal(ObjectA, ObjectB, 1))
     end || {ObjectA, ObjectB} <- [{{k, A}, {k, B}}, {{A, 1}, {B, 1}}, {{A, B}, {B, A}}]].

replaced({{Object, KeyPos}, Terms, Choices}) ->
    Positions = [P || {P, true} <- lists:zip(lists:seq(1, tuple_size(Object)),
                                             lists:sublist(Choices, tuple_size(Object))),
                      P =/= KeyPos],
    replaces(Object, KeyPos, Positions, lists:sublist(Terms, length(Positions))).

%%% Stored objects

same_key(A, B) ->
    {ok, {BytesA, HandlesA, _}} = key(A, infinity),
    {ok, {BytesB, HandlesB, _}} = key(B, infinity),
    {BytesA, HandlesA} =:= {BytesB, HandlesB}.

flags(Object) ->
    {ok, Stored} = object(Object, 1, infinity),
    element(6, Stored).

pinned(Object) ->
    {ok, Stored} = object(Object, 1, infinity),
    element(5, Stored).
