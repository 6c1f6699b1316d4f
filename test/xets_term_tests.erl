%% Terms stored and read back (c_src/beam/term.h): every kind of term as key and as
%% value, the rule for equal keys, budgets, failing allocations, and properties over
%% generated terms. XETS_TEST_SEED and XETS_TEST_CASES choose other or more of them.
-module(xets_term_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_term_nif, [key/2, object/3, roundtrip/4, decode_key/3, element/5, immediate/3,
                        replace/5, equal/3, identity/3, fail_after/1]).

%% From term.h and record.h.
-define(LOOSE, (1 bsl 20)).
-define(BUDGET, 65536).

%%% Kinds of terms

kinds_test_() ->
    [{Name, fun() -> stores(Term) end} || {Name, Term} <- samples()].

samples() ->
    [{"small integer", 17}, {"zero", 0}, {"negative integer", -1},
     {"largest small integer", (1 bsl 59) - 1}, {"smallest small integer", -(1 bsl 59)},
     {"smallest positive bignum", 1 bsl 59}, {"smallest negative bignum", -(1 bsl 59) - 1},
     {"2^63 - 1", (1 bsl 63) - 1}, {"2^63", 1 bsl 63}, {"-2^63", -(1 bsl 63)},
     {"-2^63 - 1", -(1 bsl 63) - 1}, {"2^64 - 1", (1 bsl 64) - 1}, {"2^64", 1 bsl 64},
     {"-2^64", -(1 bsl 64)}, {"SMALL_BIG_EXT, the largest", (1 bsl (255 * 8)) - 1},
     {"LARGE_BIG_EXT, the smallest", 1 bsl (255 * 8)}, {"huge bignum", -(3 bsl 100000)},
     {"float", 1.5}, {"zero float", 0.0}, {"negative zero", negative_zero()},
     {"smallest float", 5.0e-324}, {"largest float", 1.7976931348623157e308},
     {"atom", atom}, {"empty atom", ''}, {"long atom", list_to_atom(lists:duplicate(255, $x))},
     {"Unicode atom", list_to_atom([16#17e, 16#1f600])},
     {"pid", self()}, {"external pid", external_pid()}, {"port", hd(erlang:ports())},
     {"external port", external_port()}, {"reference", make_ref()},
     {"external reference", external_ref()}, {"reference to a resource", xets_term_nif:magic()},
     {"closure", closure([self(), 1.0])}, {"external fun", fun lists:map/2},
     {"empty tuple", {}}, {"tuple of immediates", {a, 1, []}}, {"tuple", {a, {1, 2.0}, "b"}},
     {"large tuple of immediates", list_to_tuple(lists:seq(1, 1000))},
     {"large tuple", list_to_tuple([{I} || I <- lists:seq(1, 1000)])},
     {"nil", []}, {"list of immediates", [1, a, -1]}, {"string", "string"},
     {"list", [1, 2.0, {3}]}, {"improper list", [a | b]}, {"improper list of terms", [{a} | {b}]},
     {"long improper list", lists:seq(1, 3000) ++ tail},
     {"longest gathered list", lists:seq(1, 1024)}, {"shortest list not gathered", lists:seq(1, 1025)},
     {"list with another in each place", [[1 | 2], [[]], [[], {}], [[[a]]]]},
     {"long list of terms", [{I, [I]} || I <- lists:seq(1, 5000)]},
     {"empty map", #{}}, {"map of immediates", #{a => 1, 2 => b}},
     {"map to terms", #{a => {1}, 2 => [b]}}, {"map from terms", #{{1} => a, "b" => 2}},
     {"map of terms", #{{1} => {2}, [3] => 4.0}}, {"map of maps", #{#{} => #{#{a => b} => []}}},
     {"map of 32", numbers(32)}, {"map of 33", numbers(33)}, {"map of 5000", numbers(5000)},
     {"map of 100 terms", maps:from_list([{{I}, [I]} || I <- lists:seq(1, 100)])}]
        ++ [{lists:concat(["binary of ", Size]), bytes(Size)}
            || Size <- [0, 1, 63, 64, 65, 100, 767, 4096, 4097, 100000]]
        ++ [{lists:concat(["part of a binary, ", Size]), part(bytes(Size))}
            || Size <- [0, 20, 64, 65, 4096, 5000]]
        ++ [{lists:concat(["bit string of ", Size, " bits"]), bits(Size)}
            || Size <- [1, 7, 9, 511, 513, 4097, 8 * 4096 - 1, 8 * 4096 + 1, 100001]]
        ++ [{lists:concat(["part of a bit string, ", Size, " bits"]), part(bits(Size))}
            || Size <- [1, 9, 513, 40001]].

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

nests() ->
    [fun(T) -> {T} end, fun(T) -> {T, a} end, fun(T) -> {1.0, T} end, fun(T) -> [T] end,
     fun(T) -> [T | {}] end, fun(T) -> [a, {} | {T}] end, fun(T) -> #{a => T} end,
     fun(T) -> #{{} => T, {1} => a} end].

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
         Refs = [make_ref() || _ <- lists:seq(1, N)],
         {ok, {_, Handles, true}} = key(Refs, infinity),
         ?assertEqual(Expected, length(Handles)),
         ?assert(same_key(Refs, binary_to_term(term_to_binary(Refs)))),
         ?assertNot(same_key(Refs, lists:reverse(Refs))),
         stores({Refs, Refs, 1}, 1)
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

identities_of_all_kinds_test() ->
    Objects = [Object || {_, Term} <- samples(),
                         Object <- [{k, Term}, {Term, k}, {k, [Term], Term}, {k, Term, 1}]],
    Identities = [identify(Object) || Object <- Objects],
    ?assertEqual(maps:size(maps:from_keys(Objects, x)), length(lists:usort(Identities))).

identities_of_equal_terms_test() ->
    [begin
         Copy = rebuild(binary_to_term(term_to_binary(Term)), Seed),
         ?assertEqual(identify({k, Term, [Term]}), identify({k, Copy, [Copy]})),
         ?assertEqual(identify({Term, Term}), identify({Copy, Copy}))
     end || {_, Term} <- samples(), not is_function(Term), not is_magic(Term), Seed <- [1, 2]].

identities_of_zeros_test() ->
    Zero = 0.0, Negative = negative_zero(),
    [begin
         A = F(Zero), B = F(Negative),
         ?assertEqual(A =:= B, identify({k, A}) =:= identify({k, B})),
         ?assertEqual(A =:= B, identify({A, 1}) =:= identify({B, 1})),
         ?assertEqual(A =:= B, identify({A, {B}, A}) =:= identify({B, {A}, A})),
         ?assertNotEqual(identify({A, 1}), identify({B, 2}))
     end || F <- zeros_in_terms()].

identities_of_large_binaries_test() ->
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
    Sizes = [begin
         {ok, {_, _, _, _, _, _, Words}} = object({k, Term}, 1, infinity),
         %% Few words are not stored, but taken for at most this many.
         Enough = max(Words, 127),
         ?assertMatch({ok, _}, roundtrip({k, Term}, 1, [], Enough)),
         ?assertEqual(budget, roundtrip({k, Term}, 1, [], 1)),
         Words > 127 andalso
             ?assertEqual(budget, roundtrip({k, Term}, 1, [], Words - 1)),
         Words
     end || {_, Term} <- samples(), erts_debug:flat_size(Term) > 0],
    ?assert(lists:any(fun(Words) -> Words > 127 end, Sizes)),
    ?assert(lists:any(fun(Words) -> Words =< 127 end, Sizes)).

flat_objects_need_no_budget_test() ->
    ?assertEqual({ok, {k, 1, a, []}}, roundtrip({k, 1, a, []}, 1, [k], 0)).

long_list_stops_early_test() ->
    List = lists:seq(1, 3000000),
    {Micros, budget} = timer:tc(fun() -> object({k, List}, 1, ?BUDGET) end),
    ?assert(Micros < 20000).

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
        Positions <- [P || P <- [[1], [2], [3], [1, 2], [1, 3], [2, 3]], not lists:member(KeyPos, P)],
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
            [{"objects are read back", object_type(), fun read_back/1},
             {"equal keys", pair_type(), fun keys_agree/1},
             {"equal objects", pair_type(), fun objects_agree/1},
             {"replaced elements", replacement_type(), fun replaced/1}]].

%% The properties hold for as many cases, each made from its own seed. A failure names the case.
forall(Type, Property) ->
    Seed = env("XETS_TEST_SEED", 1),
    [begin
         {ok, Case} = proper_gen:pick(Type, 3 + I rem 40, {Seed, I, 7}),
         try Property(with_funs(Case))
         catch Class:Reason:Stack ->
                 ?debugFmt("case {~p, ~p}:~n~p", [Seed, I, Case]),
                 erlang:raise(Class, Reason, Stack)
         end
     end || I <- lists:seq(1, env("XETS_TEST_CASES", 2000))].

env(Name, Default) ->
    case os:getenv(Name) of
        false -> Default;
        Value -> list_to_integer(Value)
    end.

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

%%% Generators

object_type() ->
    bind(proper_types:list(term_type()),
         fun(Elements) ->
                 bind({term_type(), proper_types:non_neg_integer()},
                      fun({Key, Pos}) ->
                              {Before, After} = lists:split(Pos rem (length(Elements) + 1), Elements),
                              {list_to_tuple(Before ++ [Key] ++ After), length(Before) + 1}
                      end)
         end).

replacement_type() ->
    {bind(object_type(), fun({Object, KeyPos}) ->
                                 Last = max(KeyPos, min(40, tuple_size(Object))),
                                 {list_to_tuple(lists:sublist(tuple_to_list(Object), Last)), KeyPos}
                         end),
     proper_types:vector(200, leaf_type()),
     proper_types:vector(200, proper_types:boolean())}.

pair_type() ->
    {term_type(), term_type(), proper_types:integer(0, 5), proper_types:integer()}.

%% Two terms that are equal, nearly equal or different.
make_pair({A, B, 0, _}) -> {A, B};
make_pair({A, _, 1, Seed}) -> {A, rebuild(A, Seed)};
make_pair({A, _, 2, _}) -> {A, binary_to_term(term_to_binary(A))};
make_pair({A, _, 3, Seed}) -> {A, flip_zeros(rebuild(A, Seed))};
make_pair({A, _, 4, Seed}) -> {A, change(A, Seed)};
make_pair({A, _, 5, Seed}) -> {flip_zeros(A), change(rebuild(A, Seed), Seed)}.

term_type() ->
    proper_types:sized(fun term_type/1).

term_type(0) ->
    leaf_type();
term_type(Size) ->
    Less = proper_types:lazy(fun() -> proper_types:resize(Size div 3, proper_types:list(term_type(Size div 3))) end),
    proper_types:frequency(
      [{3, leaf_type()},
       {2, bind(Less, fun list_to_tuple/1)},
       {2, Less},
       {1, bind(Less, fun([]) -> [];
                         ([T]) -> [T | T];
                         ([T | Ts]) -> Ts ++ T
                      end)},
       {2, bind({Less, Less}, fun({Ks, Vs}) -> as_map(Ks, Vs) end)},
       {1, bind({Less, Less}, fun({Ks, Vs}) -> maps:merge(numbers(32), as_map(Ks, Vs)) end)},
       {1, bind(proper_types:list(proper_types:integer()), fun list_to_tuple/1)},
       {1, proper_types:list(proper_types:integer())}]).

as_map(Keys, Values) ->
    N = min(length(Keys), length(Values)),
    maps:from_list(lists:zip(lists:sublist(Keys, N), lists:sublist(Values, N))).

leaf_type() ->
    proper_types:oneof(
      [proper_types:integer(),
       bind({proper_types:integer(0, 140), proper_types:integer(-1, 1), proper_types:boolean()},
            fun({Bits, Add, Negative}) -> sign(Negative) * (1 bsl Bits) + Add end),
       bind({proper_types:integer(500, 3000), proper_types:boolean()},
            fun({Bits, Negative}) -> sign(Negative) * (1 bsl Bits) end),
       proper_types:float(),
       proper_types:exactly(0.0),
       proper_types:exactly(negative_zero()),
       proper_types:oneof([a, b, '', true, list_to_atom([16#17e]), []]),
       bind(proper_types:integer(), fun(_) -> make_ref() end),
       bind(proper_types:integer(0, 3), fun external_pid/1),
       {'$closure', proper_types:integer(0, 3)},
       bind(proper_types:integer(0, 13),
            fun(0) -> self();
               (1) -> external_port();
               (2) -> external_ref();
               (3) -> xets_term_nif:magic();
               (4) -> hd(erlang:ports());
               (5) -> '$fun';
               (6) -> {};
               (7) -> #{};
               (8) -> 4.0;
               (9) -> 4;
               (10) -> bytes(4097);
               (11) -> bytes(4096);
               (12) -> bytes(64);
               (13) -> bytes(65)
            end),
       proper_types:binary(),
       proper_types:bitstring(),
       bind(proper_types:bitstring(), fun part/1),
       bind({proper_types:binary(), proper_types:integer(1, 70)},
            fun({B, N}) -> binary:copy(B, N) end)]).

bind(Type, F) ->
    proper_types:bind(Type, F, false).

sign(true) -> -1;
sign(false) -> 1.

%% PropEr cannot draw funs and be done with it: others stand for them until a case is run.
with_funs({'$closure', X}) -> closure(X);
with_funs('$fun') -> fun lists:map/2;
with_funs(T) when is_tuple(T) -> list_to_tuple(with_funs(tuple_to_list(T)));
with_funs([H | T]) -> [with_funs(H) | with_funs(T)];
with_funs(M) when is_map(M) ->
    maps:from_list([{with_funs(K), with_funs(V)} || {K, V} <- maps:to_list(M)]);
with_funs(T) -> T.

%% The same term in other memory: binaries as parts of others, maps made in another order.
rebuild(T, Seed) when is_tuple(T) -> list_to_tuple(rebuild(tuple_to_list(T), Seed));
rebuild([H | T], Seed) -> [rebuild(H, Seed) | rebuild(T, Seed)];
rebuild(B, _) when is_bitstring(B) -> part(B);
rebuild(M, Seed) when is_map(M) ->
    Pairs = shuffle([{rebuild(K, Seed), rebuild(V, Seed)} || {K, V} <- maps:to_list(M)], Seed),
    Others = [{'$other', I} || I <- lists:seq(1, abs(Seed) rem 40)],
    Full = lists:foldl(fun({K, V}, Acc) -> Acc#{K => V} end, maps:from_keys(Others, x), Pairs),
    lists:foldl(fun maps:remove/2, Full, Others);
rebuild(T, _) -> T.

%% Every zero with the other sign.
flip_zeros(T) when is_tuple(T) -> list_to_tuple(flip_zeros(tuple_to_list(T)));
flip_zeros([H | T]) -> [flip_zeros(H) | flip_zeros(T)];
flip_zeros(F) when is_float(F), F == 0 ->
    <<Sign:1, Rest:63>> = <<F/float>>,
    <<Flipped/float>> = <<(1 - Sign):1, Rest:63>>,
    Flipped;
flip_zeros(M) when is_map(M) ->
    maps:from_list([{flip_zeros(K), flip_zeros(V)} || {K, V} <- maps:to_list(M)]);
flip_zeros(T) -> T.

%% One thing in the term becomes another, a similar one if there is one.
change(T, Seed) when tuple_size(T) > 0 ->
    Pos = abs(Seed) rem tuple_size(T) + 1,
    setelement(Pos, T, change(element(Pos, T), Seed div 2));
change([H | T], Seed) ->
    case Seed rem 2 of
        0 -> [change(H, Seed div 2) | T];
        _ -> [H | change(T, Seed div 2)]
    end;
change(I, _) when is_integer(I), abs(I) < 1 bsl 50 -> float(I);
change(I, _) when is_integer(I) -> -I;
change(F, _) when is_float(F), F == trunc(F), abs(F) < 1.0e15 -> trunc(F);
change(B, Seed) when is_bitstring(B), bit_size(B) > 0 ->
    Bit = abs(Seed) rem bit_size(B),
    <<Before:Bit/bits, X:1, After/bits>> = B,
    <<Before/bits, (1 - X):1, After/bits>>;
change(M, Seed) when map_size(M) > 0 ->
    {K, V} = lists:nth(abs(Seed) rem map_size(M) + 1, maps:to_list(M)),
    M#{K := change(V, Seed div 3)};
change(_, _) -> changed.

%%% Terms

numbers(N) ->
    maps:from_list([{I, -I} || I <- lists:seq(1, N)]).

negative_zero() ->
    <<F/float>> = <<1:1, 0:63>>,
    F.

bytes(Size) ->
    << <<(I * 7 + 1)>> || I <- lists:seq(1, Size) >>.

bits(Size) ->
    <<Bits:Size/bits, _/bits>> = bytes(Size div 8 + 1),
    Bits.

%% An equal bit string that lies, three bits off, inside a larger one.
part(Bits) ->
    <<_:3, Part:(bit_size(Bits))/bits, _:2>> = <<5:3, Bits/bits, 1:2>>,
    Part.

closure(X) ->
    fun(Y) -> {X, Y} end.

external_pid() -> external_pid(1).

%% External terms are made from the external term format: NEW_PID_EXT, NEW_PORT_EXT,
%% NEWER_REFERENCE_EXT.
external_pid(I) ->
    external(<<88>>, <<I:32, 0:32, 7:32>>).

external_port() ->
    external(<<89>>, <<3:32, 7:32>>).

external_ref() ->
    external(<<90, 3:16>>, <<7:32, 1:32, 2:32, 3:32>>).

external(Before, After) ->
    Node = <<"elsewhere@nowhere">>,
    binary_to_term(<<131, Before/binary, 119, (byte_size(Node)), Node/binary, After/binary>>).

%% The same in every call, so that two terms made from it are equal.
ref_once() -> once(ref, fun erlang:make_ref/0).
many_handles_once() -> once(many_handles, fun() -> [make_ref() || _ <- lists:seq(1, 300)] end).

once(Name, Make) ->
    case get(Name) of
        undefined ->
            Term = Make(),
            put(Name, Term),
            Term;
        Term -> Term
    end.

shuffle(List, Seed) ->
    {Keyed, _} = lists:mapfoldl(fun(T, S) ->
                                        {R, S1} = rand:uniform_s(S),
                                        {{R, T}, S1}
                                end, rand:seed_s(exsss, Seed), List),
    [T || {_, T} <- lists:keysort(1, Keyed)].

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
