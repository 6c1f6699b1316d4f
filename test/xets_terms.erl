%% Terms of all kinds for tests: samples of each, random ones, and variants of a given one.
-module(xets_terms).

-export([samples/0, nests/0]).
-export([forall/2, forall/3, object_type/0, replacement_type/0, pair_type/0, make_pair/1]).
-export([rebuild/2, flip_zeros/1, change/2, shuffle/2]).
-export([numbers/1, negative_zero/0, bytes/1, noise/1, text/1, bits/1, part/1, closure/1,
         external_pid/0, external_pid/1, external_port/0, external_ref/0, ref_once/0,
         many_handles_once/0]).

%%% Samples

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
     {"longest gathered list", lists:seq(1, 1024)},
     {"shortest list not gathered", lists:seq(1, 1025)},
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

%% Ways to put a term into another.
nests() ->
    [fun(T) -> {T} end, fun(T) -> {T, a} end, fun(T) -> {1.0, T} end, fun(T) -> [T] end,
     fun(T) -> [T | {}] end, fun(T) -> [a, {} | {T}] end, fun(T) -> #{a => T} end,
     fun(T) -> #{{} => T, {1} => a} end].

%%% Properties over generated terms

%% The property holds for many cases, each made from its own seed, of which XETS_TEST_SEED is a
%% part. A failure names the case.
forall(Type, Property) ->
    forall(Type, Property, 2000).

%% Unless XETS_TEST_CASES says otherwise, this many.
forall(Type, Property, Cases) ->
    Seed = xets_test_lib:env("XETS_TEST_SEED", 1),
    [begin
         {ok, Case} = proper_gen:pick(Type, 3 + I rem 40, {Seed, I, 7}),
         try Property(with_funs(Case))
         catch Class:Reason:Stack ->
                 io:format(standard_error, "case {~p, ~p}:~n~p~n", [Seed, I, Case]),
                 erlang:raise(Class, Reason, Stack)
         end
     end || I <- lists:seq(1, xets_test_lib:env("XETS_TEST_CASES", Cases))].

object_type() ->
    bind(proper_types:list(term_type()),
         fun(Elements) ->
                 bind({term_type(), proper_types:non_neg_integer()},
                      fun({Key, Pos}) -> insert_key(Key, Pos rem (length(Elements) + 1), Elements)
                      end)
         end).

insert_key(Key, Pos, Elements) ->
    {Before, After} = lists:split(Pos, Elements),
    {list_to_tuple(Before ++ [Key] ++ After), Pos + 1}.

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
    Third = Size div 3,
    Less = proper_types:lazy(
             fun() -> proper_types:resize(Third, proper_types:list(term_type(Third))) end),
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

%%% Variants

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

%% Always the same, and not to be compressed.
noise(Size) ->
    {Bytes, _} = rand:bytes_s(Size, rand:seed_s(exsss, Size)),
    Bytes.

%% As a program would store it.
text(Size) ->
    Rows = [["{\"id\": ", integer_to_list(I), ", \"name\": \"user", integer_to_list(I * 7919),
             "\", \"online\": true}, "] || I <- lists:seq(1, Size div 40 + 1)],
    binary:part(iolist_to_binary(Rows), 0, Size).

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
many_handles_once() ->
    once(many_handles, fun() -> [external_pid(I) || I <- lists:seq(1, 300)] end).

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
