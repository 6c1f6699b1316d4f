%% Objects of compressed tables: as they are stored (c_src/beam/term_compress.c), and through
%% the calls of xets.
-module(xets_compress_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_term_nif, [object/3, roundtrip/4, decode_key/3, element/5, replace/5, expand/2,
                        words/2, equal_forms/2, identity/3]).
-import(xets_term_tests, [stores/1, same/2, nomem/3]).
-import(xets_terms, [samples/0, forall/3, noise/1, text/1, negative_zero/0]).

%% From term.h, term_internal.h and record.h.
-define(LOOSE, (1 bsl 20)).
-define(BUDGET, 65536).
-define(COMPRESS_MIN, 128).
-define(INLINE_MAX, (1 bsl 20)).

%%% Stored objects

stored_test_() ->
    compressing(
      [{"all kinds of terms", {timeout, 60, fun all_kinds/0}},
       {"equal objects", {timeout, 60, fun equal_objects/0}},
       {"replaced elements", {timeout, 60, fun replaced_elements/0}},
       {"identities", xets_term_tests:identities()},
       {"short bodies", fun short_bodies/0},
       {"noise", fun noise_is_not_compressed/0},
       {"noise beside text", fun noise_beside_text/0},
       {"large binaries", fun large_binaries/0},
       {"exact keys", fun exact_keys/0},
       {"both forms are equal", fun both_forms_are_equal/0},
       {"replacing", fun replacing/0},
       {"replacing ends compression", fun replacing_ends_compression/0},
       {"budgets", fun budgets/0},
       {"failing allocations", {timeout, 60, fun failing_allocations/0}},
       {"damaged blocks", {timeout, 60, fun damaged_blocks/0}}]).

compressing(Tests) ->
    {setup, fun() -> xets_term_nif:compress(true) end,
     fun(_) -> xets_term_nif:compress(false) end, Tests}.

%% With some text, which makes the objects long enough.
equal_objects() ->
    forall(xets_terms:pair_type(),
           fun(Pair) ->
                   {A, B} = xets_terms:make_pair(Pair),
                   xets_term_tests:objects_agree({[text(300) | A], [text(300) | B], 0, 0})
           end, 500).

replaced_elements() ->
    forall(xets_terms:replacement_type(),
           fun({{Object, KeyPos}, Terms, Choices}) ->
                   Longer = erlang:append_element(Object, text(300)),
                   replaces_some(Longer, KeyPos, Terms, Choices)
           end, 500).

%% As an uncompressed table would store it.
plainly(Object) ->
    xets_term_nif:compress(false),
    {ok, Stored} = object(Object, 1, infinity),
    xets_term_nif:compress(true),
    Stored.

all_kinds() ->
    [begin
         stores(Term),
         is_small(Term) andalso stores(lists:duplicate(40, Term)),
         is_small(Term) andalso stores([Term | text(300)])
     end || {_, Term} <- samples()].

is_small(Term) when is_bitstring(Term) -> byte_size(Term) < 1000;
is_small(Term) -> erts_debug:flat_size(Term) < 1000.

%% The node of a binary is its tag, its size and its bytes.
short_bodies() ->
    [begin
         Object = {k, binary:copy(<<"a">>, Size)},
         Node = 1 + byte_size(binary:encode_unsigned(Size bsl 1)) + Size,
         ?assertEqual({Size, Node >= ?COMPRESS_MIN}, {Size, is_compressed(Object)})
     end || Size <- lists:seq(65, 127) ++ [200, 300]],
    ?assertNot(is_compressed({k, 1, 2, 3})),
    ?assertNot(is_compressed(list_to_tuple(lists:duplicate(15, 1 bsl 58)))),
    ?assert(is_compressed(list_to_tuple(lists:duplicate(50, 1 bsl 58)))),
    [?assertEqual(plainly(Object), stored(Object))
     || Object <- [{k, 1}, {k, text(65)}, {k, [a, b], #{c => text(70)}}, {k, "abc", 1.0}]].

noise_is_not_compressed() ->
    [?assertEqual(plainly(Object), stored(Object))
     || Size <- [65, 100, 128, 1000, 4096, 100000, 2 * ?INLINE_MAX],
        Object <- [{k, noise(Size)}, {k, [noise(Size)], a},
                   {k, [noise(I) || I <- lists:seq(1, 64)], noise(Size)}]].

%% What may be shared is, and the rest is still compressed.
noise_beside_text() ->
    Object = {k, noise(50000), binary_to_list(text(3000))},
    ?assert(is_compressed(Object)),
    ?assertEqual(50000, pinned(Object)),
    ?assert(body_size(Object) < body_size(plainly(Object)) div 2),
    stores(Object, 1).

large_binaries() ->
    Text = text(?INLINE_MAX),
    [begin
         ?assertEqual(Pinned, pinned(Object)),
         ?assert(is_compressed(Object)),
         stores(Object, 1)
     end || {Pinned, Object} <-
                [{0, {k, text(10000)}}, {0, {k, [text(70) || _ <- lists:seq(1, 1000)]}},
                 {0, {k, Text}}, {65, {k, Text, text(65)}},
                 {?INLINE_MAX, {k, text(1000), Text}},
                 {?INLINE_MAX + 1, {k, <<Text/binary, 0>>, text(1000)}}]],
    ?assertEqual(plainly({k, <<Text/binary, 0>>}), stored({k, <<Text/binary, 0>>})),
    ?assert(body_size({k, text(10000)}) < 4000).

%% A key that the key bytes do not tell whole is in the body, too.
exact_keys() ->
    [begin
         ?assert(is_compressed(Object)),
         stores(Object, 1)
     end || Object <- [{negative_zero(), text(1000)}, {{[negative_zero()], a}, text(500), 1},
                       {noise(5000), text(500)}, {make_ref(), text(500)}]].

both_forms_are_equal() ->
    [begin
         ?assert(is_compressed(Object)),
         ?assertEqual(?LOOSE, element(6, stored(Object)) band ?LOOSE),
         ?assert(equal_forms(Object, 1))
     end || Object <- [{k, text(1000)}, {k, text(200000), make_ref(), noise(100)},
                       {noise(5000), binary_to_list(text(500)), #{a => 1.0}}]].

%%% Replacing

replaces_some(Object, KeyPos, Terms, Choices) ->
    Positions = [P || {P, true} <- lists:zip(lists:seq(1, tuple_size(Object)),
                                             lists:sublist(Choices, tuple_size(Object))),
                      P =/= KeyPos],
    replaces(Object, KeyPos, Positions, lists:sublist(Terms, length(Positions))).

%% Objects that are not loose have the bytes that encoding gives.
replaces(Object, KeyPos, Positions, Terms) ->
    Expected = lists:foldl(fun({Pos, Term}, T) -> setelement(Pos, T, Term) end, Object,
                           lists:zip(Positions, Terms)),
    {ok, {New, Stored}} = replace(Object, KeyPos, Positions, Terms, infinity),
    same(Expected, New),
    {ok, Encoded} = object(Expected, KeyPos, infinity),
    Loose = (element(6, Stored) bor element(6, Encoded)) band ?LOOSE =/= 0,
    ?assert(Loose orelse tight(Stored) =:= tight(Encoded)),
    Stored.

replacing() ->
    Text = text(1000),
    [begin
         Stored = replaces(Object, 1, Positions, Terms),
         ?assertEqual({Positions, Terms, true}, {Positions, Terms, is_compressed(Stored)})
     end || Object <- [{k, Text, 1, [2], text(200)}, {k, noise(200), 1, {2}, text(50)},
                       {negative_zero(), Text, 1, 2.0, Text},
                       {noise(5000), Text, 1, 2, make_ref()}],
            {Positions, Terms} <- [{[2], [text(2000)]}, {[2, 3], [Text, 2]}, {[2, 4], [Text, []]},
                                   {[2, 3, 5], [text(500), make_ref(), {noise(30)}]}]].

replacing_ends_compression() ->
    Noise = noise(100000),
    [begin
         ?assert(is_compressed(Object)),
         Stored = replaces(Object, 1, [Pos], [Term]),
         ?assertNot(is_compressed(Stored)),
         ?assertEqual(tight(plainly(setelement(Pos, Object, Term))), tight(Stored))
     end || {Object, Pos, Term} <-
                [{{k, text(1000), 1}, 2, a}, {{k, text(1000), {1}}, 2, {2}},
                 {{k, text(1000), 1}, 3, Noise}, {{k, text(300), [a], 1.0}, 4, [Noise, Noise]},
                 {{k, text(300), 1}, 3, [Part || <<Part:60/binary>> <= Noise]},
                 {{make_ref(), text(1000), self()}, 3, Noise}]].

%%% Budgets

budgets() ->
    Small = {k, text(100000), 1}, Large = {k, text(800000), 1},
    ?assertMatch({ok, _}, object(Small, 1, ?BUDGET)),
    ?assertEqual(budget, object(Large, 1, ?BUDGET)),
    ?assertEqual({ok, Small}, roundtrip(Small, 1, [], ?BUDGET)),
    ?assertEqual(budget, roundtrip(Large, 1, [], ?BUDGET)),
    ?assertEqual({ok, 1}, element(Small, 1, 3, [], ?BUDGET)),
    ?assertEqual(budget, element(Large, 1, 3, [], ?BUDGET)),
    ?assertEqual({ok, k}, element(Large, 1, 1, [], 1)),
    ?assertMatch({ok, _}, replace(Small, 1, [3], [2], ?BUDGET)),
    ?assertEqual(budget, replace(Large, 1, [3], [2], ?BUDGET)),
    ?assert(words(Small, 1) < ?BUDGET),
    ?assert(words(Large, 1) > ?BUDGET),
    ?assertEqual(budget, expand(element(3, stored(Large)), ?BUDGET)),
    Exact = {negative_zero(), text(800000)},
    case 0.0 =:= negative_zero() of
        true -> ?assertEqual(budget, decode_key(Exact, 1, ?BUDGET));
        false -> ?assertEqual({ok, negative_zero()}, decode_key(Exact, 1, ?BUDGET))
    end.

%%% Failing allocations

failing_allocations() ->
    [begin
         Expected = F(),
         ?assert(nomem(F, 0, Expected) >= 1)
     end || F <- allocating()].

allocating() ->
    Object = {k, text(100000), [{I} || I <- lists:seq(1, 1000)], make_ref()},
    Other = {negative_zero(), text(10000), noise(5000)},
    [fun() -> object(Object, 1, infinity) end,
     fun() -> object({k, noise(5000)}, 1, infinity) end,
     fun() -> roundtrip(Object, 1, [], infinity) end,
     fun() -> element(Object, 1, 3, [], infinity) end,
     fun() -> decode_key(Other, 1, infinity) end,
     fun() -> replace(Object, 1, [4], [2], infinity) end,
     fun() -> replace(Object, 1, [4], [noise(200000)], infinity) end,
     fun() -> identity(Other, 1, infinity) end].

%%% Damage

%% Whatever is behind the head of a body, it is refused or gives some bytes.
damaged_blocks() ->
    [begin
         Body = element(3, stored(Object)),
         {ok, Expanded} = expand(Body, infinity),
         Head = head_size(Expanded),
         ?assertEqual(binary:part(Body, 1, Head - 1), binary:part(Expanded, 1, Head - 1)),
         Outcomes = [expand(Damaged, infinity) || Damaged <- damaged(Body, Head)],
         [?assert(Outcome =:= nomem orelse is_binary(element(2, Outcome))) || Outcome <- Outcomes],
         ?assert(lists:member(nomem, Outcomes)),
         %% No byte of the result is one that was not written.
         ?assertEqual(Outcomes, [expand(Damaged, infinity) || Damaged <- damaged(Body, Head)])
     end || Object <- [{k, text(300)}, {k, text(3000)}, {k, binary:copy(<<"x">>, 5000)},
                       {k, noise(100), text(1000), noise(200)},
                       {k, [I rem 10 || I <- lists:seq(1, 1000)]}]].

%% Of these objects: no arity, but words.
head_size(<<0:1, Arity:4, 0:3, Rest/binary>>) when Arity > 0 ->
    1 + varint_size(Rest).

varint_size(<<0:1, _/bits>>) -> 1;
varint_size(<<_, Rest/binary>>) -> 1 + varint_size(Rest).

damaged(Body, Head) ->
    Size = byte_size(Body),
    Flipped = [begin
                   <<Before:Pos/binary, Byte, After/binary>> = Body,
                   <<Before/binary, (Byte bxor Mask), After/binary>>
               end || Pos <- lists:seq(Head, Size - 1), Mask <- [1, 16#80, 16#ff, 16#55]],
    Cut = [binary:part(Body, 0, N) || N <- lists:seq(Head, Size - 1)],
    Noise = [<<(binary:part(Body, 0, Head))/binary, (noise(N))/binary>> || N <- lists:seq(1, 300)],
    Flipped ++ Cut ++ Noise.

%%% Tables

%% Every call gives what it gives on a table that is not compressed.
calls_test_() ->
    [{lists:concat([Type, ", ", Name]), fun() -> same_results(Type, Call) end}
     || Type <- [set, ordered_set, bag, duplicate_bag], {Name, Call} <- calls(Type)].

calls(Type) ->
    Loaded = objects(), New = {new, text(700)},
    Writes = [{"insert", fun(T) -> xets:insert(T, {k, text(900), 2}) end},
              {"insert, the same", fun(T) -> [xets:insert(T, O) || O <- Loaded] end},
              {"insert, the same in a list", fun(T) -> xets:insert(T, Loaded) end},
              {"insert, large", fun(T) -> xets:insert(T, {k, text(1000000), noise(1000000)}) end},
              {"insert_new", fun(T) -> [xets:insert_new(T, O) || O <- [New | Loaded]] end},
              {"delete_object", fun(T) -> [xets:delete_object(T, O) || O <- tl(Loaded)] end},
              {"delete_object, nearly the same",
               fun(T) -> [xets:delete_object(T, setelement(3, O, 0)) || O <- Loaded] end},
              {"take", fun(T) -> [xets:take(T, K) || K <- keys()] end},
              {"delete", fun(T) -> xets:delete(T, large) end}],
    Reads = [{"lookup", fun(T) -> [xets:lookup(T, K) || K <- keys()] end},
             {"lookup_element", fun(T) -> [xets:lookup_element(T, K, 2) || K <- keys()] end},
             {"lookup_many", fun(T) -> xets:lookup_many(T, keys()) end},
             {"tab2list", fun(T) -> lists:sort(xets:tab2list(T)) end}],
    Sets = [{"lookup_elements",
             fun(T) -> [xets:lookup_elements(T, K, {3, 1, 2, 3}) || K <- keys()] end},
            {"update_counter", fun(T) -> [xets:update_counter(T, K, {3, 5}) || K <- keys()] end},
            {"update_counter, list",
             fun(T) ->
                     Ops = [{3, 5}, {3, 1}, {3, 1 bsl 61}],
                     [xets:update_counter(T, K, Ops) || K <- keys()]
             end},
            {"update_counter, default",
             fun(T) -> xets:update_counter(T, other, 2, {x, 1, text(1000)}) end},
            {"update_element, what is compressed",
             fun(T) -> [xets:update_element(T, K, {2, text(2000)}) || K <- keys()] end},
            {"update_element, to what is not",
             fun(T) -> [xets:update_element(T, K, [{2, noise(3000)}, {3, a}]) || K <- keys()] end},
            {"update_element, beside it",
             fun(T) -> [xets:update_element(T, K, {3, {1, 2.0}}) || K <- keys()] end},
            {"update_element, default",
             fun(T) -> xets:update_element(T, other, {2, text(1000)}, {x, 1, text(1000)}) end}],
    Writes ++ Reads ++ [Call || Type =:= set orelse Type =:= ordered_set, Call <- Sets].

keys() -> [text, list, zeros, noise, large].

objects() ->
    [{text, text(1000), 1}, {list, binary_to_list(text(2000)), 2},
     {zeros, [negative_zero(), 0.0 | text(500)], 3}, {noise, noise(1000), 4},
     {large, {text(900000), text(80)}, 5}].

same_results(Type, Call) ->
    [Plain, Compressed] =
        [begin
             Table = xets:new(table, [Type | Options]),
             xets:insert(Table, objects()),
             Result = Call(Table),
             Contents = [xets:lookup(Table, K) || K <- [k, new, other | keys()]],
             ?assertEqual(xets:info(Table, size), length(lists:append(Contents))),
             xets:delete(Table),
             {Result, Contents}
         end || Options <- [[], [compressed]]],
    same(Plain, Compressed).

%% Measured by the table, and, as far as binaries are concerned, by the emulator.
memory_test_() ->
    [{Name, fun() ->
                    [Plain, Compressed] = [memory(Make, Options) || Options <- [[], [compressed]]],
                    ?assertEqual({Plain, Compressed, true},
                                 {Plain, Compressed, Compressed < Plain div 2})
            end}
     || {Name, Make} <- [{"lists", fun(I) -> {I, binary_to_list(text(1000))} end},
                         {"tuples", fun(I) -> {I, list_to_tuple(lists:duplicate(200, I))} end},
                         {"strings", fun(I) -> {I, lists:duplicate(50, <<I:480>>)} end},
                         {"blobs", fun(I) -> {I, [{I, 1.0} || _ <- lists:seq(1, 5000)]} end}]].

memory(Make, Options) ->
    Table = xets:new(table, Options),
    [xets:insert(Table, Make(I)) || I <- lists:seq(1, 200)],
    Words = xets:info(Table, memory),
    xets:delete(Table),
    Words.

%% The emulator does not have them any more.
binaries_test_() ->
    try erlang:memory(binary) of
        _ -> fun binaries_are_taken_in/0
    catch
        % with +Mea min
        error:notsup -> []
    end.

binaries_are_taken_in() ->
    Table = xets:new(table, [compressed]),
    Before = erlang:memory(binary),
    Empty = xets:info(Table, memory),
    [xets:insert(Table, {I, text(200000 + I)}) || I <- lists:seq(1, 100)],
    garbage_collect(),
    ?assert(erlang:memory(binary) < Before + 2000000),
    ?assert((xets:info(Table, memory) - Empty) * erlang:system_info(wordsize) < 10000000),
    ?assertEqual([{7, text(200007)}], xets:lookup(Table, 7)),
    xets:delete(Table).

%%% Stored objects

stored(Object) ->
    {ok, Stored} = object(Object, 1, infinity),
    Stored.

stores(Object, KeyPos) ->
    {ok, Stored} = object(Object, KeyPos, infinity),
    same({ok, Object}, roundtrip(Object, KeyPos, [], infinity)),
    [same({ok, element(Pos, Object)}, element(Object, KeyPos, Pos, [], infinity))
     || Pos <- lists:seq(1, tuple_size(Object))],
    Stored.

%% Of a stored object or one to be stored.
body({_, _, Body, _, _, _, _}) -> Body;
body(Object) -> element(3, stored(Object)).

body_size(Object) -> byte_size(body(Object)).

is_compressed(Object) ->
    <<Flat:1, _:4, Compressed:1, _:2, _/binary>> = body(Object),
    Flat =:= 0 andalso Compressed =:= 1.

pinned(Object) -> element(5, stored(Object)).

tight({KeyBytes, KeyHandles, Body, BodyHandles, Pinned, _, _}) ->
    {KeyBytes, KeyHandles, Body, BodyHandles, Pinned}.
