%% Keys of ordered tables (c_src/beam/key.h): their bytes as documented, their order against the
%% operators of Erlang, terms rebuilt, cut keys, prefixes, budgets, failing allocations.
%%
%% XETS_KEY_PAIRS is the number of random pairs that are compared.
-module(xets_key_tests).

-export([agree/1, restored/1]).

-include_lib("eunit/include/eunit.hrl").

-import(xets_key_nif, [find/2, stored/2, roundtrip/2, signs/1, prefix/2, arity/1, fail_after/1]).
-import(xets_terms, [samples/0, nests/0, forall/2, forall/3, pair_type/0, make_pair/1,
                     flip_zeros/1, numbers/1, negative_zero/0, bytes/1, bits/1, part/1, closure/1,
                     external_pid/1, external_port/0, external_ref/0, ref_once/0]).

-define(BUDGET, 65536).
%% From key.h.
-define(BYTES_MAX, 4096).
-define(WORDS_PER_BYTE, 9).

%%% Bytes, as documented

bytes_test_() ->
    [{lists:flatten(io_lib:format("~0p", [Key])),
      ?_assertEqual({hex(Order), hex(Restore)}, {order(Key), restore(Key)})}
     || {Key, Order, Restore} <-
            [{0, "44", ""}, {0.0, "44", "01"}, {negative_zero(), "44", "03"},
             {1, "4600", ""}, {1.0, "4600", "01"}, {-1, "42ff", ""}, {-1.0, "42ff", "01"},
             {1.5, "4680", ""}, {-1.5, "427f", ""}, {5, "4840", ""}, {17, "4a10", ""},
             {1000, "4ff4", ""}, {1000000, "59e924", ""}, {1000000.0, "59e924", "01"},
             {1 bsl 63, "8500", ""}, {1 bsl 64, "86004000", ""},
             {(1 bsl 64) - 1, "85fffffffffffffffffe", ""},
             {0.5, "45044b00", ""}, {-0.5, "43fbb4ff", ""}, {5.0e-324, "45001a00", ""},
             {1 bsl 2047, "8607ff00", ""},
             {<<>>, "f40008", ""}, {<<1, 0, 255>>, "f40100ffff0008", ""},
             {<<1:1>>, "f4800001", ""}, {<<128>>, "f4800008", ""}, {<<0:9>>, "f400ff00ff0001", ""},
             {[], "f2", ""}, {[1 | 2], "f346004700", ""}, {[1, 2], "f34600f34700f2", ""},
             {{}, "90", ""}, {erlang:make_tuple(93, []), "ed" ++ repeat(93, "f2"), ""},
             {erlang:make_tuple(94, []), "ee0000005e" ++ repeat(94, "f2"), ""},
             {{1, 2.0}, "9246004700", "05"}, {#{}, "f0", ""},
             {[1, 1.0, 3, 1.5, 1.0], "f34600f34600f34780f34680f34600f2", "0505"}]].

repeat(N, Text) -> lists:append(lists:duplicate(N, Text)).

hex(Text) -> << <<(list_to_integer([A, B], 16))>> || <<A, B>> <= list_to_binary(Text) >>.

sizes_test() ->
    [?assertEqual({Key, Size, Restore}, {Key, byte_size(order(Key)), byte_size(restore(Key))})
     || {Key, Size, Restore} <- [{0, 1, 0}, {17, 2, 0}, {-128, 2, 0}, {123456, 3, 0},
                                 {99999999, 5, 0}, {<<"twenty bytes of text">>, 23, 0}]],
    ?assertEqual(<<16#92, 16#88, "user", 0, 16#4a, 16#10>>, order({user, 17})),
    ?assert(byte_size(restore({user, 17})) =< 3).

atoms_bytes_test() ->
    [?assertEqual(<<16#88, Text/binary, 0>>, order(Atom))
     || {Atom, Text} <- [{'', <<>>}, {a, <<"a">>}, {'\0a', <<1, 1, "a">>}, {'\1', <<1, 2>>},
                         {'\2', <<2>>}, {'\x{e9}', <<16#c3, 16#a9>>}, {'\x{ff}', <<16#c3, 16#bf>>},
                         {list_to_atom([16#17e, 0, 16#1f600]),
                          <<16#17e/utf8, 1, 1, 16#1f600/utf8>>}]],
    [?assertEqual(<<16#88, (unicode:characters_to_binary(lists:duplicate(N, C)))/binary, 0>>,
                  order(list_to_atom(lists:duplicate(N, C))))
     || C <- [$a, 16#e9, 16#17e, 16#1f600], N <- [5, 6, 20, 21, 22, 63, 64, 255]].

%% More atoms than are remembered, by several processes at once.
many_atoms_test() ->
    Atoms = many_atoms(),
    Check = fun() -> [<<16#88, Text/binary>> = order(A)
                      || _ <- [1, 2], A <- Atoms,
                         Text <- [<<(atom_to_binary(A))/binary, 0>>]] end,
    Monitors = [spawn_monitor(Check) || _ <- lists:seq(1, 4)],
    [receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason) end
     || {Pid, Ref} <- Monitors].

many_atoms() ->
    [list_to_atom("key_atom_" ++ integer_to_list(I)) || I <- lists:seq(1, 3000)].

%%% Order

%% Every pair of terms that are hard to tell apart.
nasty_test_() ->
    {timeout, 60, fun() -> agree(nasty()) end}.

nested_nasty_test_() ->
    [{timeout, 60, fun() -> agree([Nest(T) || T <- Few]) end}
     || Few <- [every(3, nasty())],
        Nest <- [fun(T) -> {T} end, fun(T) -> {T, 0} end, fun(T) -> [T] end, fun(T) -> [T, a] end,
                 fun(T) -> [a | T] end, fun(T) -> {a, [{T} | T]} end, fun(T) -> #{a => T} end]].

%% The same after bytes enough that many are cut by their length.
long_nasty_test_() ->
    [{timeout, 60, fun() -> agree([{bytes_without_zero(Size), T} || T <- every(4, nasty())]) end}
     || Size <- [4080, 4085, 4090, 4091, 4092, 4093]].

nasty() ->
    lists:flatmap(fun(I) -> [I, -I, float(I), -float(I)] end, nasty_integers())
        ++ lists:flatmap(fun(F) -> [F, -F] end, nasty_floats())
        ++ large_integers()
        ++ nasty_atoms() ++ nasty_bits() ++ nasty_containers()
        ++ [self(), external_pid(1), external_pid(2), hd(erlang:ports()), external_port(),
            ref_once(), external_ref(), closure(1), closure(2), fun lists:map/2].

nasty_integers() ->
    [0, 1, 2, 3, 10, 127, 128, 129, 255, 256]
        ++ [(1 bsl Bits) + Add || Bits <- [52, 53, 54, 57, 58, 59, 60, 63, 64, 65, 1000],
                                  Add <- [-2, -1, 0, 1]].

nasty_floats() ->
    [negative_zero(), 0.5, 0.1, 1.0e-5, 1.5, 127.5, 128.25, 5.0e-324, 1.0e-323, 1.5e-323,
     2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308, 4503599627370495.5,
     0.9999999999999999, 1.0000000000000002, 1.0e300].

large_integers() ->
    [Sign * ((1 bsl Bits) + Add) || Bits <- [1023, 1024, 2047, 2048, 2049, 70000],
                                    Add <- [-1, 0, 1], Sign <- [1, -1]]
        ++ [trunc(1.7976931348623157e308) + Add || Add <- [-1, 0, 1]]
        ++ [3 bsl 2000, (1 bsl 2040) bor (1 bsl 2000), 5 bsl 61, 5 bsl 62].

nasty_atoms() ->
    ['', a, b, ab, abc, abcd, abcde, abd, 'a\0', 'a\0\0', 'a\1', '\0', '\1', '\2', 'A', aaaa,
     'aaa\x{e9}']
        ++ [list_to_atom(Text) || Text <- [[16#7f], [16#80], [16#e9], [16#ff], [16#100], [16#17e],
                                           [16#7ff], [16#800], [16#ffff], [16#10000], [16#1f600],
                                           [$a, 16#1f600], [16#17e, $a], lists:duplicate(255, $a),
                                           lists:duplicate(254, $a),
                                           lists:duplicate(255, 16#1f600)]].

nasty_bits() ->
    [<<>>, <<0>>, <<0, 0>>, <<0, 1>>, <<1>>, <<0:1>>, <<1:1>>, <<0:2>>, <<2:2>>, <<3:2>>, <<0:7>>,
     <<64:7>>, <<128>>, <<127>>, <<192>>, <<128, 0>>, <<128, 0:1>>, <<128, 1:1>>, <<255>>,
     <<255, 255>>, <<127:7>>, <<255, 0>>, <<0, 255>>, <<0, 254>>, <<0:8, 0:1>>, <<0:17>>, <<8>>,
     <<0, 8>>, <<0, 0, 8>>, bytes(64), bytes(65), part(bytes(65)), bits(511), bits(513),
     bytes(4091), bytes(4092), bytes(4093), bytes(5000), bits(40001),
     bytes_without_zero(4093), bytes_without_zero(4094), bytes_without_zero(4095),
     bytes_without_zero(4096), <<(bytes_without_zero(4096))/binary, 1>>,
     <<(bytes_without_zero(4096))/binary, 1:1>>,
     binary:copy(<<0>>, 2046), binary:copy(<<0>>, 2047), binary:copy(<<0>>, 2048),
     binary:copy(<<0>>, 4096), <<0:40001>>].

nasty_containers() ->
    [[], [1], [1.0], [1 | a], [1 | 2], [1 | 2.0], [1, 2], [1 | {}], [1 | <<>>], [1 | #{}], [[]],
     [[[]]], [[], []], [a], [a | b], "a", "ab", "b", [0], [{} | []], [#{}], lists:seq(1, 100),
     {}, {1}, {1.0}, {a}, {{}}, {[]}, {1, 2}, {1, 2.0}, {1, b}, {2}, {1, self()}, {1, ref_once()},
     {1, #{}}, {1, #{a => 1}}, {1, #{a => 2}}, {1, #{b => 1}}, {1.0, self()}, {self(), 1},
     {self(), 2},
     list_to_tuple(lists:seq(1, 93)), list_to_tuple(lists:seq(1, 94)),
     list_to_tuple(lists:seq(1, 95)),
     list_to_tuple([1.0 | lists:seq(2, 95)]), list_to_tuple(lists:seq(1, 96)),
     list_to_tuple(lists:seq(1, 300)), erlang:make_tuple(5000, []), erlang:make_tuple(5001, []),
     erlang:make_tuple(4096, []), erlang:make_tuple(4091, []), erlang:make_tuple(4092, []),
     #{}, #{a => 1}, #{a => 1.0}, #{1 => a}, #{1.0 => a}, #{a => 1, b => 2}, #{z => 0},
     numbers(32), numbers(33), (numbers(33))#{5 => 5}, numbers(5000),
     lists:seq(1, 2000), lists:seq(1, 2000) ++ [a], lists:duplicate(2047, []),
     lists:duplicate(2048, []), lists:duplicate(2049, [])].

every(N, List) ->
    [T || {I, T} <- lists:zip(lists:seq(1, length(List)), List), I rem N =:= 0].

bytes_without_zero(Size) ->
    << <<(I rem 255 + 1)>> || I <- lists:seq(1, Size) >>.

%% The signs of all pairs are those of Erlang, and what is told to be the same term is.
agree(Terms) ->
    compare(Terms, Terms, signs(Terms)).

compare([A | As], Terms, Signs) ->
    compare(As, Terms, compare_one(A, Terms, Signs));
compare([], _, <<>>) -> ok.

compare_one(A, [B | Bs], <<Sign, Signs/binary>>) ->
    case {Sign, sign(A, B)} of
        {Same, Same} when Sign =/= 1 -> ok;
        {1, 1} -> ?assert(is_cut(A) orelse not is_same_term(A, B));
        {3, 1} -> ?assert(is_same_term(A, B));
        {_, Other} -> error({order, [{is, Sign}, {expected, Other}, A, B]})
    end,
    compare_one(A, Bs, Signs);
compare_one(_, [], Signs) -> Signs.

sign(A, B) when A == B -> 1;
sign(A, B) when A < B -> 0;
sign(_, _) -> 2.

is_same_term(A, B) ->
    A =:= B andalso term_to_binary(A) =:= term_to_binary(B).

is_cut(Key) ->
    {ok, {_, _, Cut, _, _}} = find(Key, infinity),
    Cut =/= [].

%%% Random terms, each with some that are nearly the same

random_pairs_test_() ->
    {timeout, 3600,
     fun() ->
             Pairs = list_to_integer(os:getenv("XETS_KEY_PAIRS", default_pairs())),
             Seed = xets_test_lib:env("XETS_TEST_SEED", 1),
             rand:seed(exsss, Seed),
             random_pairs(Pairs)
     end}.

default_pairs() ->
    case os:getenv("XETS_TEST_SMALL") of
        false -> "100000";
        _ -> "10000"
    end.

%% 8 terms with 4 variants of each: 780 pairs, 80 of which are of variants of one.
random_pairs(Left) when Left > 0 ->
    Terms = lists:flatmap(fun(_) -> variants(random(rand:uniform(4)), 4) end, lists:seq(1, 8)),
    agree(Terms),
    [restored(T) || T <- Terms],
    random_pairs(Left - length(Terms) * (length(Terms) - 1) div 2);
random_pairs(_) -> ok.

variants(T, 0) -> [T];
variants(T, N) -> [T | variants(near(T), N - 1)].

random(0) -> leaf();
random(Depth) ->
    case rand:uniform(6) of
        1 -> list_to_tuple(randoms(Depth));
        2 -> randoms(Depth);
        3 -> lists:foldr(fun(H, T) -> [H | T] end, leaf(), randoms(Depth));
        4 -> {leaf(), random(Depth - 1)};
        _ -> leaf()
    end.

randoms(Depth) -> [random(Depth - 1) || _ <- lists:seq(1, rand:uniform(5) - 1)].

leaf() ->
    case rand:uniform(20) of
        N when N =< 4 -> integer();
        N when N =< 7 -> number();
        8 -> float_of_bits();
        9 -> choose([a, b, ab, '', true, 'a\0', '\x{e9}', list_to_atom([16#17e])]);
        10 -> list_to_atom([choose("ab\0\1\x{e9}") || _ <- lists:seq(1, rand:uniform(3))]);
        11 -> rand:bytes(rand:uniform(4) - 1);
        12 -> list_to_binary([choose([0, 1, 8, 255]) || _ <- lists:seq(1, rand:uniform(10))]);
        13 -> bits(rand:uniform(40));
        14 -> <<(rand:uniform(1 bsl 20)):(rand:uniform(20))>>;
        15 -> [];
        16 -> choose([{}, #{}, #{a => 1}, #{1 => 2.0}, #{1.0 => 2.0}, [0.0], negative_zero()]);
        17 -> [rand:uniform(3) || _ <- lists:seq(1, rand:uniform(4))];
        18 -> choose([self(), ref_once(), external_pid(1), external_port(), fun lists:map/2]);
        19 -> maps:from_list([{number(), number()} || _ <- lists:seq(1, rand:uniform(3))]);
        20 -> choose([bytes(64), bytes(300)])
    end.

choose(List) -> lists:nth(rand:uniform(length(List)), List).

integer() -> choose([rand:uniform(10) - 5, rand:uniform(1000) - 500, around_power()]).

%% Next to powers of two, integer or float.
around_power() ->
    I = (1 bsl choose([rand:uniform(70), rand:uniform(1100), 53, 54])) + rand:uniform(5) - 3,
    choose([I, -I, I bsl rand:uniform(10)]).

number() -> as_float(choose([integer(), around_power()])).

as_float(I) ->
    case rand:uniform(2) of
        1 -> I;
        2 -> to_float(I)
    end.

to_float(I) ->
    try float(I) catch error:badarg -> I end.

float_of_bits() ->
    case <<(rand:uniform(1 bsl 64) - 1):64>> of
        <<F/float>> -> F;
        _ -> float_of_bits()
    end.

%% A term that differs in at most a leaf, or where it ends.
near(T) when tuple_size(T) > 0 ->
    case rand:uniform(8) of
        1 -> erlang:append_element(T, leaf());
        2 -> erlang:delete_element(tuple_size(T), T);
        _ -> Pos = rand:uniform(tuple_size(T)), setelement(Pos, T, near(element(Pos, T)))
    end;
near([H | T]) ->
    case rand:uniform(8) of
        1 -> T;
        2 -> [H | leaf()];
        3 -> [H, leaf() | T];
        N when N < 6 -> [near(H) | T];
        _ -> [H | near(T)]
    end;
near(I) when is_integer(I) ->
    choose([to_float(I), to_float(I), I + 1, I - 1, -I, I bsl 1, I bxor 1]);
near(F) when is_float(F) ->
    <<Bits:64>> = <<F/float>>,
    I = whole(F),
    choose([I, I, I + 1, I - 1, -F, next_float(Bits + 1, F),
            next_float(max(0, Bits - 1), F)]);
near(A) when is_atom(A) ->
    Text = atom_to_list(A),
    choose([list_to_atom(Text ++ [choose([0, 1, $a])]), list_to_atom(lists:sublist(Text, 3)),
            list_to_atom(lists:droplast([$x | Text])), A]);
near(B) when is_bitstring(B) ->
    Size = bit_size(B),
    Kept = rand:uniform(Size + 1) - 1,
    <<Before:Kept/bits, After/bits>> = B,
    choose([Before, <<B/bits, 0>>, <<B/bits, 0:1>>, <<B/bits, 1:1>>, part(B),
            <<Before/bits, 0:1, After/bits>>, <<Before/bits, 1>>]);
near(M) when map_size(M) > 0 ->
    [{K, V} | _] = maps:to_list(M),
    choose([M#{K := near(V)}, maps:put(near(K), V, maps:remove(K, M)), M#{a => b}]);
near(_) -> leaf().

%% OTP 25 may make -(1 bsl 59), which is a small integer, a large one: it is then not equal (=:=)
%% to any other.
whole(F) ->
    list_to_integer(integer_to_list(trunc(F))).

next_float(Bits, Else) ->
    case <<Bits:64>> of
        <<F/float>> -> F;
        _ -> Else
    end.

%% Terms of all kinds, nested deeper (xets_terms).
generated_test_() ->
    {timeout, 600, fun() -> forall(pair_type(), fun ordered/1, 1000) end}.

ordered(Pair) ->
    {A, B} = make_pair(Pair),
    agree([A, B, {A, B}, {B, A}, [A | B], flip_zeros(A)]),
    restored(A),
    restored({[B], A}).

%%% Terms are rebuilt

restored_test_() ->
    [{Name, fun() -> [restored(T) || T <- [Term, {Term}, {k, Term, 1.0}, [Term, 0.0 | Term]]] end}
     || {Name, Term} <- samples()].

nasty_restored_test() ->
    [restored(Nest(T)) || T <- nasty(),
                          Nest <- [fun(X) -> X end, fun(X) -> {X, 1.0, X, 1, a, 0.0} end,
                                   fun(X) -> [2, X, 2.0, a | X] end]].

%% With the signs of zeros.
restored(Term) ->
    {ok, Copy} = roundtrip(Term, infinity),
    ?assert(Copy =:= Term),
    ?assert(term_to_binary(Copy) =:= term_to_binary(Term)).

%% 1 and 1.0 have the same order bytes, and other restore bytes.
equal_numbers_test() ->
    [begin
         A = Nest(I), B = Nest(to_float(I)),
         ?assertEqual(A == B, order(A) =:= order(B)),
         ?assertEqual(A =:= B, {order(A), restore(A)} =:= {order(B), restore(B)})
     end || I <- nasty_integers(), Nest <- [fun(T) -> T end, fun(T) -> {[a, T], T} end]].

many_floats_test() ->
    [restored(lists:map(F, lists:seq(1, 300)))
     || F <- [fun(I) -> I * 1.0 end, fun(I) -> I / 2 end,
              fun(I) when I rem 100 =:= 0 -> I * 1.0; (I) -> I end,
              fun(I) when I rem 2 =:= 0 -> a; (I) -> I / 3 end]].

every_arity_test() ->
    [restored(list_to_tuple(lists:seq(1, N))) || N <- lists:seq(0, 100)],
    [?assertEqual(N, arity(erlang:make_tuple(N, a))) || N <- lists:seq(0, 100) ++ [1000, 70000]],
    [?assertEqual(-1, arity(T)) || T <- [1, a, [], [1], <<>>, #{}, #{a => b}, self()]].

%%% Cut keys

%% What a key is cut at is in its bytes, and nothing behind it.
cut_at_kinds_test() ->
    [begin
         Key = {1, T, 2},
         {ok, {Order, Restore, [Key], Pinned, Words}} = stored(Key, infinity),
         ?assertEqual(8 * Words, Pinned),
         ?assertEqual(<<16#93, 16#46, 0, Tag/binary>>, Order),
         ?assertEqual({ok, {Order, <<>>, [Key], 0, 0}}, find(Key, infinity)),
         ?assert(byte_size(Restore) > 0),
         ?assert(Words >= erts_debug:flat_size(Key))
     end || {T, Tag} <- [{ref_once(), <<16#89>>}, {external_ref(), <<16#89>>},
                         {fun lists:map/2, <<16#8a>>}, {external_port(), <<16#8b>>},
                         {hd(erlang:ports()), <<16#8b>>}, {self(), <<16#8c>>},
                         {external_pid(1), <<16#8c>>}, {#{a => 1}, <<16#f1, 1:32>>},
                         {1 bsl 2048, <<16#86, 16#ffff:16, 2048:32>>},
                         {-(1 bsl 2048), <<2, 0:16, (bnot 2048):32>>}]].

%% Just not too long, and too long.
cut_at_length_test() ->
    [begin
         ?assertEqual({Size, IsCut}, {byte_size(order(Key)), is_cut(Key)}),
         restored(Key)
     end || {Key, Size, IsCut} <-
                [{bytes_without_zero(4093), 4096, false}, {bytes_without_zero(4094), 4096, true},
                 {bytes_without_zero(4095), 4096, true}, {bytes_without_zero(4096), 4096, true},
                 {binary:copy(<<0>>, 2046), 4095, false}, {binary:copy(<<0>>, 2047), 4096, true},
                 {<<(bytes_without_zero(4092))/binary, 1:1>>, 4096, false},
                 {<<(bytes_without_zero(4093))/binary, 1:1>>, 4096, true},
                 {erlang:make_tuple(4091, []), 4096, false},
                 {erlang:make_tuple(4092, []), 4096, true},
                 {lists:duplicate(2047, []), 4095, false}, {lists:duplicate(2048, []), 4096, true},
                 {[[[]] | lists:duplicate(2045, [])], 4095, false},
                 {{bytes_without_zero(4091), []}, 4096, false},
                 {{bytes_without_zero(4092), []}, 4096, true},
                 {{bytes_without_zero(4091), a}, 4096, true},
                 {{bytes_without_zero(4091), self()}, 4096, true},
                 {{bytes_without_zero(4090), #{a => 1}}, 4096, true}]].

%% What is at the very end of long keys decides.
long_keys_test() ->
    agree([lists:duplicate(N, 1) ++ T || N <- [1000, 1364, 1365, 1366, 5000],
                                         T <- [[], [0], [2], [1.0], a, self(), [1, a]]]),
    agree([<<(bytes_without_zero(N))/binary, T/bits>>
           || N <- [4090, 4094, 4095, 9000], T <- [<<>>, <<0>>, <<0:1>>, <<1>>, <<255>>]]).

%% K1: no key's bytes begin with another's, unless both are cut and they are the same.
prefix_free_test() ->
    Keys = [{order(T), is_cut(T)} || T <- nasty()],
    [begin
         Size = min(byte_size(A), byte_size(B)),
         Common = binary:longest_common_prefix([A, B]),
         ?assert(Common < Size orelse A =:= B andalso CutA =:= CutB)
     end || {A, CutA} <- Keys, {B, CutB} <- Keys].

%% The handle of a cut key keeps its larger binaries alive, and takes the words of a copy.
pinned_test() ->
    [begin
         {ok, {_, _, _, Pinned, Words}} = stored(Key, infinity),
         ?assertEqual(Binaries + Copied * 8 * Words, Pinned)
     end || {Key, Binaries, Copied} <- [{bytes(4000), 0, 0}, {{bytes(4000), self()}, 4000, 1},
                                        {bytes(5000), 5000, 1},
                                        {[self(), bytes(100), bytes(200)], 300, 1},
                                        {#{a => lists:seq(1, 20000)}, 0, 1}]].

%% Small integers, which calls encode by themselves.
small_test() ->
    [begin
         {ok, {Order, <<>>, [], 0, _}} = find(I, infinity),
         ?assertEqual({I, Order}, {I, xets_key_nif:small(I)})
     end || Bits <- lists:seq(0, 62), Low <- [0, 1, 5, (1 bsl Bits) - 1, (1 bsl Bits) bsr 1],
            Sign <- [1, -1], I <- [Sign * ((1 bsl Bits) + Low)]].

%% Keys that are short have the same bytes, cost as much, and are decoded to the same terms.
short_test_() ->
    {timeout, 60, fun() -> [same_both_ways(T) || T <- nasty() ++ short_keys()] end}.

same_both_ways(T) ->
    Any = xets_key_nif:any(T, infinity),
    ?assertEqual({T, Any}, {T, find(T, infinity)}),
    {ok, Copy} = roundtrip(T, infinity),
    ?assert(Copy =:= T).

%% Around the 32 bytes that short keys have at most, in all places of a word.
short_keys() ->
    Elements = [0, -1, 17, 1 bsl 55 + 1, -(1 bsl 58), a, user_event,
                list_to_atom(lists:duplicate(30, $x)), [],
                <<>>, <<1>>, <<"12345678">>, <<"seven b">>, <<1, 0, 2>>, <<"twenty bytes of text">>,
                {}, 1.5],
    [heap_binary(Size) || Size <- lists:seq(0, 40)]
        ++ [{heap_binary(Size), 1000} || Size <- lists:seq(0, 40)]
        ++ [{A, B} || A <- Elements, B <- Elements]
        ++ [{a, A, B} || A <- Elements, B <- Elements]
        ++ [list_to_tuple(lists:duplicate(N, E)) || N <- lists:seq(1, 33), E <- [0, a, [], <<>>]]
        ++ [list_to_atom(lists:duplicate(N, $y)) || N <- lists:seq(1, 45)].

%% What the word `short` stands for. Not all atoms find a place in which they are remembered.
is_short_test_() ->
    Native = lists:member(tuple, maps:get(native_terms, xets:info(), [])),
    Short = fun xets_key_nif:is_short/1,
    [?_assertEqual({T, Native orelse is_integer(T)}, {T, Short(T)})
     || T <- [1, -1, [], {}, <<"twenty bytes of text">>, heap_binary(29), {heap_binary(23), 1000},
              {<<"text">>, 1, []}]]
        ++ [?_assertNot(Short(T))
            || T <- [1.0, 1 bsl 62, heap_binary(30), <<1, 0, 2>>, <<1:3>>, [1], {1, {1}}, {1.0},
                     #{}, self(), list_to_tuple(lists:duplicate(32, 0))]]
        ++ [fun() ->
                Atoms = many_atoms(),
                [{ok, _} = find(Atom, infinity) || Atom <- Atoms],
                ?assertEqual(Native, lists:any(Short, [{Atom, 1000} || Atom <- Atoms]))
            end].

heap_binary(Size) ->
    binary:copy(bytes_without_zero(Size)).

%%% Prefixes

tuple_prefix_test() ->
    Keys = with_order([T || T <- nasty(), is_tuple(T)] ++ [{A, B} || A <- few(), B <- few()]
                      ++ [{A, B, C} || A <- few(), B <- few(), C <- few()]),
    [begins(Keys, {tuple, P, Arity},
            fun(K) -> tuple_size(K) =:= Arity andalso begins_tuple(P, K) end)
     || Arity <- [2, 3, 300],
        P <- [{}, {1, 2}] ++ [{A} || A <- few()] ++ [{A, B} || A <- few(), B <- few()]].

few() -> [1, 1.0, 2, a, <<>>, <<0>>, [], [1], {}, {1}, self(), #{a => 1}, 1 bsl 2048].

begins_tuple(P, K) ->
    lists:sublist(tuple_to_list(K), tuple_size(P)) == tuple_to_list(P).

list_prefix_test() ->
    Keys = with_order([T || T <- nasty(), is_list(T)] ++ [[A, B] || A <- few(), B <- few()]
                      ++ [[A, B | C] || A <- few(), B <- few(), C <- few()]),
    [begins(Keys, {list, P}, fun(K) -> begins_list(P, K) end)
     || P <- [[A] || A <- few()] ++ [[A, B] || A <- few(), B <- few()]],
    ?assertEqual({ok, {<<>>, <<>>, false}}, prefix({list, []}, infinity)).

begins_list([P | Ps], [K | Ks]) when P == K -> begins_list(Ps, Ks);
begins_list(Ps, _) -> Ps =:= [].

binary_prefix_test() ->
    Keys = with_order([T || T <- nasty(), is_bitstring(T)]),
    [begins(Keys, {binary, P}, fun(<<Start:(byte_size(P))/binary, _/bits>>) -> Start =:= P;
                                  (_) -> false
                               end)
     || {P, _} <- Keys, is_binary(P)].

with_order(Keys) -> [{K, order(K)} || K <- Keys].

%% The keys that begin with the bytes are those that are asked for, or at least among them.
begins(Keys, What, IsAskedFor) ->
    {ok, {Bytes, First, Exact}} = prefix(What, infinity),
    Size = byte_size(Bytes),
    [case Order of
         <<Bytes:Size/binary, _/binary>> when Order >= First ->
             ?assert(not Exact orelse IsAskedFor(K));
         _ ->
             ?assertNot(IsAskedFor(K))
     end || {K, Order} <- Keys].

prefix_is_cut_test() ->
    Pid = <<16#92, 16#8c>>, Second = <<16#f3, 16#46, 0, 16#f3, 16#8c>>,
    ?assertEqual({ok, {Pid, Pid, false}}, prefix({tuple, {self()}, 2}, infinity)),
    ?assertEqual({ok, {Second, Second, false}}, prefix({list, [1, self(), 2]}, infinity)),
    {ok, {Long, Long, false}} = prefix({list, lists:seq(1, 5000)}, infinity),
    ?assertEqual(?BYTES_MAX, byte_size(Long)),
    [begin
         {ok, {Bytes, First, IsExact}} = prefix({binary, bytes_without_zero(Size)}, infinity),
         ?assertEqual({Size, Exact, min(Size + 1, ?BYTES_MAX), min(Size + 3, ?BYTES_MAX)},
                      {Size, IsExact, byte_size(Bytes), byte_size(First)})
     end || {Size, Exact} <- [{4092, true}, {4093, true}, {4094, false}, {4095, false},
                              {4096, false}, {100000, false}]].

%%% Depth and length

deep_test_() ->
    [{timeout, 60, fun() -> deep(Nest) end} || Nest <- nests()].

deep(Nest) ->
    Deep = fun(Leaf) -> lists:foldl(fun(_, T) -> Nest(T) end, Leaf, lists:seq(1, 1000000)) end,
    Term = Deep([]),
    ?assert({ok, Term} =:= roundtrip(Term, infinity)),
    ?assertEqual(<<1, 1, 2, 1, 1, 2, 0, 0, 1>>, signs([Term, Deep([]), Deep(0)])),
    ?assertMatch({ok, {_, <<>>, [_], 0, 0}}, find(Term, ?BUDGET)),
    ?assertEqual(budget, stored(Term, ?BUDGET)),
    ?assertEqual(budget, roundtrip(Term, ?BUDGET)).

%% Not cut, and deeper than what is on the C stack.
nested_test() ->
    [restored(lists:foldl(fun(_, T) -> Nest(T) end, Leaf, lists:seq(1, N)))
     || Nest <- nests(), N <- [10, 15, 16, 17, 63, 64, 65, 500], Leaf <- [[], 1.0]].

large_test_() ->
    [{timeout, 60, fun() ->
                           Term = Make(),
                           ?assert({ok, Term} =:= roundtrip(Term, infinity)),
                           ?assertEqual(<<1, 1, 1, 1>>, signs([Term, Make()]))
                   end}
     || Make <- [fun() -> lists:seq(1, 2000000) end, fun() -> erlang:make_tuple(2000000, {}) end,
                 fun() -> binary:copy(<<"0123456789">>, 10000000) end,
                 fun() -> 3 bsl 1000000 end, fun() -> <<0:80000001>> end,
                 fun() -> numbers(100000) end]].

%%% Budgets

%% Finding takes little, whatever the key; only what has to be read as a whole does not.
budgets_test() ->
    [?assertMatch({ok, _}, find(Key, ?BUDGET))
     || Key <- [lists:seq(1, 1000000), erlang:make_tuple(1000000, a), bytes(5000000),
                {self(), lists:seq(1, 100000)}, numbers(100000)]],
    [?assertEqual(budget, stored(Key, ?BUDGET))
     || Key <- [lists:seq(1, 1000000), erlang:make_tuple(1000000, a), numbers(100000)]],
    ?assertEqual(budget, find(<<0:8000001>>, ?BUDGET)),
    ?assertEqual(budget, find(1 bsl 4000000, 60000)),
    ?assertEqual(budget, find({1, 2, 3}, 3)),
    ?assertMatch({ok, _}, find({1, 2, 3}, 4)).

%% The bound by which decoding decides holds, and keys that are not cut never exceed the budget.
words_test() ->
    [begin
         {ok, {Order, _, Cut, _, Words}} = stored(T, infinity),
         {ok, Copy} = roundtrip(T, infinity),
         ?assert(is_function(T) orelse Words >= erts_debug:flat_size(Copy)),
         Cut =:= [] andalso ?assert(Words =< ?WORDS_PER_BYTE * byte_size(Order)),
         Cut =:= [] andalso ?assertMatch({ok, _}, roundtrip(T, ?BUDGET)),
         Words > 0 andalso Cut =/= [] andalso ?assertEqual(budget, roundtrip(T, Words - 1)),
         Words > 0 andalso ?assertEqual(budget, stored(T, Words - 1))
     end || T <- nasty() ++ [[1 bsl 2047], [0.0], {1 bsl 2047, -(1 bsl 2047)},
                             lists:duplicate(800, 1 bsl 2047)]].

%%% Failing allocations

%% What fits 512 bytes needs none.
no_allocation_test() ->
    0 = fail_after(0),
    try
        [?assertMatch({ok, _}, find(Key, infinity))
         || Key <- [1, 1 bsl 59, 1.5, a, <<"twenty bytes of text">>, bytes(480), {user, 1000},
                    {a, {b, [c, 1.0]}}, "a string of characters", {self(), 1},
                    lists:duplicate(100, {1})]]
    after
        ?assertEqual(0, fail_after(-1))
    end.

nomem_test_() ->
    {timeout, 60, fun() -> [nomem(F) || F <- allocating()] end}.

allocating() ->
    Deep = lists:foldl(fun(_, T) -> {T, [a]} end, [], lists:seq(1, 300)),
    Wide = {bytes(1000), [I * 1.0 || I <- lists:seq(1, 600)], Deep, <<0:5001>>, 7 bsl 1000},
    Cut = {self(), Wide, <<0:5001>>},
    [fun() -> find(Wide, infinity) end, fun() -> stored(Cut, infinity) end,
     fun() -> roundtrip(Wide, infinity) end, fun() -> roundtrip(Deep, infinity) end,
     fun() -> prefix({tuple, Wide, 7}, infinity) end,
     fun() -> prefix({list, [Wide, Deep]}, infinity) end,
     fun() -> prefix({binary, bytes(1000)}, infinity) end].

nomem(F) ->
    ?assertEqual(0, fail_after(-1)),
    Expected = F(),
    ?assertMatch({ok, _}, Expected),
    ?assert(nomem(F, 0, Expected) > 0).

nomem(F, N, Expected) ->
    0 = fail_after(N),
    Result = F(),
    ?assertEqual(0, fail_after(-1)),
    case Result of
        nomem -> nomem(F, N + 1, Expected);
        _ -> ?assert(Result =:= Expected), N
    end.

%%% Keys

order(Key) ->
    {ok, {Order, _, _, _, _}} = find(Key, infinity),
    Order.

restore(Key) ->
    {ok, {_, Restore, _, _, _}} = find(Key, infinity),
    Restore.
