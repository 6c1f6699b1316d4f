%% Stored objects in the external term format (c_src/beam/etf.h): what is written is what
%% binary_to_term/1 gives the object of; what is read is encoded as the term is that
%% binary_to_term/1 gives; what it refuses is refused. Every kind of term in every form of table,
%% every form in which a term may be told, budgets, failing allocations, all prefixes and all
%% flipped bits of samples.
-module(xets_etf_tests).

-include_lib("eunit/include/eunit.hrl").

%% For xets_etf_fuzz_tests.
-export([reads/5]).

-import(xets_etf_nif, [encoded/3, encoded_key/2, written/4, written_key/2, read/5, read_key/4,
                       read_term/2, write_term/1, extent/1, fail_after/1]).
-import(xets_terms, [samples/0, nests/0, forall/3, negative_zero/0, bytes/1, text/1, part/1,
                     numbers/1, closure/1, external_pid/1, ref_once/0]).

%% Forms of tables.
-define(ORDERED, 1).
-define(COMPRESSED, 2).
-define(IDENTIFIED, 4).

forms() -> [0, ?ORDERED, ?COMPRESSED, ?IDENTIFIED, ?ORDERED bor ?COMPRESSED,
            ?COMPRESSED bor ?IDENTIFIED].

%%% Kinds of terms

kinds_test_() ->
    [{Name, {timeout, 60, fun() -> goes_round(Term) end}}
     || {Name, Term} <- samples() ++ more_samples()].

%% What is written and read in places of its own.
more_samples() ->
    [{"atoms of Latin-1", {list_to_atom([16#e9]), list_to_atom(lists:duplicate(255, 16#e9))}},
     {"atoms of all lengths", [list_to_atom(lists:duplicate(I, $a)) || I <- lists:seq(0, 255)]},
     {"integers of all widths", [S * ((1 bsl B) + A) || B <- lists:seq(0, 140), A <- [-1, 0, 1],
                                                      S <- [1, -1]]},
     {"maps of all sizes", [maps:from_list([{I, I * I} || I <- lists:seq(1, N)])
                            || N <- lists:seq(0, 40)]},
     {"maps with the keys of structures",
      [#{'__struct__' => S, name => <<"n">>, id => 7, tags => [a, {b}], 'Ž' => #{a => #{b => 1.5}}}
       || S <- ['Elixir.Some.Application.Context.Structure.With.A.Long.Name.Of.56', short]]},
     {"maps with keys of all kinds", #{a => 1, 2 => b, 1 bsl 70 => c, 1.5 => d, <<"e">> => [e]}},
     {"maps in keys of maps", lists:foldl(fun(_, K) -> #{{K} => {a}} end, a, lists:seq(1, 12))},
     {"maps in values of maps", lists:foldl(fun(_, V) -> #{a => V, b => {c}} end, 1,
                                            lists:seq(1, 12))},
     {"maps in both", lists:foldl(fun(_, T) -> #{{T} => [T], T => a} end, 1, lists:seq(1, 5))},
     {"maps with keys to be made", #{<<"a">> => #{<<"b">> => {1.0}, make_ref() => ref_once()}}},
     {"map of maps from immediates to maps",
      maps:from_list([{I, numbers(I)} || I <- lists:seq(1, 20)])},
     {"negative zero in a map", #{a => negative_zero()}},
     {"binary with all bytes", << <<B, 0, B>> || B <- lists:seq(0, 255) >>},
     {"binary of 1024 zeros", <<0:(1024 * 8)>>}, {"binary of 1025 zeros", <<0:(1025 * 8)>>},
     {"binary of zeros that is cut", <<0:(2100 * 8)>>},
     {"more handles than a key has", [closure(I) || I <- lists:seq(1, 300)]},
     {"tuple of all that is packed", {self(), hd(erlang:ports()), 'Ž', a, 1, -1, []}}].

goes_round(Term) ->
    [goes_round(Object, KeyPos) || Object <- [{Term}, {k, Term}, {k, {Term}, 1, Term},
                                              {1, [Term | Term], 2.0, #{Term => Term}}],
                                   KeyPos <- lists:seq(1, tuple_size(Object))].

goes_round(Object, KeyPos) ->
    [goes_round(Object, KeyPos, Form) || Form <- forms()],
    ok.

goes_round(Object, KeyPos, Form) ->
    {ok, {Bytes, KeyBytes}} = written(Object, KeyPos, Form, infinity),
    same(Object, decoded(Bytes)),
    same(element(KeyPos, Object), decoded(KeyBytes)),
    ?assertEqual(byte_size(Bytes), extent(Bytes)),
    %% Three times: what is met first is made, what is met next is learnt, then it is known.
    {ok, Encoded} = encoded(Object, KeyPos, Form),
    {ok, Read} = read(<<Bytes/binary, Bytes/binary, Bytes/binary>>, KeyPos, Form, infinity, safe),
    ?assert([Encoded, Encoded, Encoded] =:= Read),
    {ok, Key} = encoded_key(element(KeyPos, Object), Form),
    {ok, ToFind} = written_key(element(KeyPos, Object), Form),
    ?assert(element(KeyPos, Object) =:= decoded(ToFind)),
    {ok, Found, Used} = read_key(<<KeyBytes/binary, Bytes/binary>>, Form, infinity, safe),
    ?assert(Key =:= Found),
    ?assertEqual(byte_size(KeyBytes), Used).

decoded(Bytes) ->
    {Term, Used} = binary_to_term(<<131, Bytes/binary>>, [used]),
    ?assertEqual(1 + byte_size(Bytes), Used),
    Term.

%% Equal, signs of zeros included.
same(A, B) ->
    ?assert(A =:= B),
    ?assert(term_to_binary(A) =:= term_to_binary(B)).

every_arity_test() ->
    [goes_round(list_to_tuple([element(1 + I rem tuple_size(Elements), Elements)
                               || I <- lists:seq(1, Arity)]), KeyPos, Form)
     || Arity <- [1, 2, 14, 15, 16, 17, 255, 256], KeyPos <- lists:seq(1, Arity, 1 + Arity div 5),
        Elements <- [{1}, {1, 1000000, a, []}, {1, 2, 3, 4, 5, {6}}, {1.0}, {<<"b">>, 2, 3}],
        Form <- [0, ?ORDERED, ?IDENTIFIED]].

terms_test() ->
    [begin
         {ok, Bytes} = write_term(Term),
         same(Term, decoded(Bytes)),
         Size = byte_size(Bytes),
         {ok, Read, Size} = read_term(<<Bytes/binary, 106>>, safe),
         same(Term, Read)
     end || {_, Term} <- samples()].

%%% What may be told in other ways than it is written

%% The object with the term in all its places reads as the term does.
other_ways_test_() ->
    [{Name, fun() ->
                    [reads(put_in(Bytes, Way), KeyPos, Form)
                     || Way <- lists:seq(1, 10), KeyPos <- [1, 2],
                        Form <- [0, ?ORDERED, ?IDENTIFIED]]
            end} || {Name, Bytes} <- other_ways()].

put_in(T, 1) -> <<104, 2, 97, 1, T/binary>>;
put_in(T, 2) -> <<104, 2, T/binary, 97, 1>>;
put_in(T, 3) -> <<105, 2:32, T/binary, T/binary>>;
put_in(T, 4) -> <<104, 2, T/binary, 108, 2:32, 97, 1, T/binary, 106>>;
put_in(T, 5) -> <<104, 2, T/binary, 108, 1:32, 97, 1, T/binary>>;
put_in(T, 6) -> <<104, 2, T/binary, 108, 2:32, 104, 1, T/binary, 97, 1, T/binary>>;
put_in(T, 7) -> <<104, 2, T/binary, 116, 1:32, T/binary, 97, 1>>;
put_in(T, 8) -> <<104, 3, T/binary, 116, 2:32, 97, 1, T/binary, 97, 2, 104, 1, T/binary, 106>>;
put_in(T, 9) -> <<104, 2, 104, 1, T/binary, 104, 2, T/binary, 70, 0:64>>;
put_in(T, 10) -> <<104, 3, 97, 1, T/binary, 108, 1:32, T/binary, 106>>.

%% Whether there are tuples as large as that, the release says.
too_large_a_tuple_test_() ->
    {timeout, 60, fun() ->
        N = 1 bsl 24,
        Tuple = <<105, N:32, (binary:copy(<<106>>, N))/binary>>,
        Is = try decoded(Tuple) of _ -> true catch error:badarg -> false end,
        [?assertEqual(Is, is_tuple(read(Bytes, 1, 0, infinity, safe)))
         || Bytes <- [Tuple, <<104, 2, 97, 1, Tuple/binary>>]]
    end}.

other_ways() ->
    Digits = fun(N, D) -> <<D:N/little-unit:8>> end,
    [{lists:concat(["small big of ", D, ", bytes ", N, ", sign ", S]),
      <<110, N, S, (Digits(N, D))/binary>>}
     || N <- [0, 1, 4, 7, 8, 9, 20], S <- [0, 1, 2],
        D <- [0, 1, 255, (1 bsl 59) - 1, 1 bsl 59, (1 bsl 60) + 1, (1 bsl 63), (1 bsl 64) - 1]]
        ++
        [{lists:concat(["large big of bytes ", N, ", sign ", S]),
          <<111, N:32, S, (Digits(N, 1 bsl 66))/binary>>}
         || N <- [0, 1, 8, 9, 20], S <- [0, 1, 2]]
        ++
        [{"integer in 32 bits", <<98, 1:32>>}, {"least of them", <<98, -(1 bsl 31):32>>},
         {"string", <<107, 3:16, "abc">>},
         {"string of all bytes", <<107, 256:16, (list_to_binary(lists:seq(0, 255)))/binary>>},
         {"empty string", <<107, 0:16>>}, {"empty list", <<108, 0:32, 106>>},
         {"empty list with a tail", <<108, 0:32, 97, 1>>},
         {"list with a list as tail", <<108, 1:32, 97, 1, 108, 1:32, 97, 2, 106>>},
         {"list with a string as tail", <<108, 1:32, 97, 1, 107, 1:16, 97>>},
         {"list of terms with a string as tail", <<108, 1:32, 104, 0, 107, 1:16, 97>>},
         {"list with an empty string as tail", <<108, 1:32, 97, 1, 107, 0:16>>},
         {"list of floats with a tail", <<108, 1:32, 70, 0:64, 104, 0>>},
         {"large tuple of two", <<105, 2:32, 97, 1, 97, 2>>}, {"empty large tuple", <<105, 0:32>>},
         {"atom", <<100, 1:16, "a">>}, {"small atom", <<115, 1, "a">>},
         {"atom of Latin-1", <<100, 1:16, 233>>}, {"small atom of Latin-1", <<115, 1, 233>>},
         {"long form of a short atom", <<118, 1:16, "a">>}, {"empty atom", <<119, 0>>},
         {"atom of 255", <<118, 255:16, (binary:copy(<<"a">>, 255))/binary>>},
         {"atom of 256", <<118, 256:16, (binary:copy(<<"a">>, 256))/binary>>},
         {"atom of 255 in 510 bytes", <<118, 510:16, (binary:copy(<<"é"/utf8>>, 255))/binary>>},
         {"atom of 256 in 512 bytes", <<118, 512:16, (binary:copy(<<"é"/utf8>>, 256))/binary>>},
         {"atom that is no UTF-8", <<119, 1, 255>>}, {"atom with a zero", <<119, 3, "a", 0, "b">>},
         {"float as text", <<99, (text_of(1.5))/binary>>},
         {"negative zero as text", <<99, (text_of(negative_zero()))/binary>>},
         {"negative zero", <<70, 1:1, 0:63>>}, {"not a number", <<70, -1:64>>},
         {"infinity", <<70, 16#7ff0:16, 0:48>>},
         {"bit string with all its bits", <<77, 2:32, 8, "ab">>},
         {"bit string with other bits", <<77, 2:32, 3, 255, 255>>},
         {"bit string with no bits", <<77, 2:32, 0, "ab">>},
         {"bit string with nine bits", <<77, 2:32, 9, "ab">>},
         {"empty bit string", <<77, 0:32, 0>>}, {"empty bit string with bits", <<77, 0:32, 3>>},
         {"empty map", <<116, 0:32>>},
         {"map with a key twice", <<116, 2:32, 97, 1, 97, 2, 97, 1, 97, 3>>},
         {"map with a key twice, told in two ways", <<116, 2:32, 97, 1, 97, 2, 98, 1:32, 97, 3>>},
         {"map with keys in another order",
          <<116, 3:32, 97, 3, 97, 1, 97, 2, 106, 97, 1, 70, 0:64>>},
         {"compressed", <<80, 2:32, (zlib:compress(<<97, 1>>))/binary>>},
         {"reference to the cache", <<82, 0>>}, {"a version", <<131, 97, 1>>},
         {"no tag", <<0>>}, {"nothing", <<>>}].

text_of(Float) ->
    Text = list_to_binary(io_lib:format("~.20e", [Float])),
    <<Text/binary, 0:(8 * (31 - byte_size(Text)))>>.

%% Bytes read as binary_to_term/1 says: whether they are an object, another term, or none.
reads(Bytes, KeyPos, Form) ->
    reads([], Bytes, KeyPos, Form, unsafe).

%% By a reader that has read other objects before.
reads(Before, Bytes, KeyPos, Form, Trust) ->
    Read = fun(Size) ->
                   read(iolist_to_binary([Before, binary:part(Bytes, 0, Size)]), KeyPos, Form,
                        infinity, Trust)
           end,
    case term_of(Bytes, Trust) of
        {Object, Used} when tuple_size(Object) >= KeyPos ->
            {ok, Encoded} = encoded(Object, KeyPos, Form),
            {ok, Objects} = Read(Used - 1),
            ?assertEqual(length(Before) + 1, length(Objects)),
            ?assert(Encoded =:= lists:last(Objects) orelse has_short_reference(Object)),
            object;
        {_, Used} ->
            ?assertEqual(no_object, Read(Used - 1)),
            term;
        error ->
            ?assertEqual(bad, Read(byte_size(Bytes))),
            none
    end.

%% No terms here: atoms by their numbers, which binary_to_term/1 takes, and LOCAL_EXT.
term_of(Bytes, Trust) ->
    IsOfThisVm = binary:match(Bytes, [<<73>>, <<75>>, <<121>>]) =/= nomatch
        andalso extent(Bytes) =:= 0,
    try
        false = IsOfThisVm,
        binary_to_term(<<131, Bytes/binary>>, [used | [safe || Trust =:= safe]])
    catch error:_ -> error
    end.

%% References of other nodes have three numbers or more. Of what has fewer, which nobody writes, the
%% emulator hashes also what lies behind it.
has_short_reference(Tuple) when is_tuple(Tuple) -> has_short_reference(tuple_to_list(Tuple));
has_short_reference([Head | Tail]) -> has_short_reference(Head) orelse has_short_reference(Tail);
has_short_reference(Map) when is_map(Map) -> has_short_reference(maps:to_list(Map));
has_short_reference(Ref) when is_reference(Ref), node(Ref) =/= node() ->
    <<131, 90, Numbers:16, _/binary>> = term_to_binary(Ref),
    Numbers < 3;
has_short_reference(_) -> false.

no_object_test() ->
    [?assertEqual(no_object, read(Bytes, 3, 0, infinity, safe))
     || Bytes <- [<<97, 1>>, <<106>>, <<104, 0>>, <<104, 2, 97, 1, 97, 2>>, <<116, 0:32>>]].

%% Objects with more atoms, and more sets of keys, than a reader remembers, each of them three times
%% and in an order of their own.
many_test() ->
    rand:seed(exsss, 1),
    Atoms = [list_to_atom([$ž | lists:concat([xets_etf, I])]) || I <- lists:seq(1, 400)],
    Objects = [{I, A, #{A => I, b => {A}, <<I:16>> => 1.5}} || {I, A} <- lists:enumerate(Atoms)],
    Some = lists:sublist(Objects, 20),
    Shuffled = xets_terms:shuffle(Objects ++ Objects ++ Objects ++ Some ++ Some ++ Some, 7),
    Bytes = [element(1, element(2, written(Object, 1, 0, infinity))) || Object <- Shuffled],
    {ok, Read} = read(iolist_to_binary(Bytes), 1, 0, infinity, safe),
    ?assertEqual([element(2, encoded(Object, 1, 0)) || Object <- Shuffled], Read).

%%% Bytes that are not to be trusted

%% Objects with all that is read in place, of few bytes.
damaged() ->
    [{{1, a, <<"binary">>, [1, 2], [3 | b], 1 bsl 70}, 1},
     {{{a, {b, 7}}, 1.5, #{a => 1, b => [{}]}, "text"}, 1},
     {{x, #{<<"k">> => [[]]}, <<5:3>>, [{a}, {b} | c]}, 2},
     {{x, 1 bsl 62, #{1 => #{2 => {3.5}}, a => -7}}, 3}].

prefixes_test_() ->
    [{timeout, 60,
      fun() ->
              {ok, {Bytes, _}} = written(Object, KeyPos, 0, infinity),
              [begin
                   Prefix = binary:part(Bytes, 0, Size),
                   ?assertEqual(0, extent(Prefix)),
                   [?assertEqual(bad, read(Prefix, KeyPos, Form, infinity, unsafe))
                    || Form <- [0, ?ORDERED, ?COMPRESSED]],
                   [?assertEqual(none, reads_key(Prefix, Form)) || Form <- [0, ?ORDERED]]
               end || Size <- lists:seq(0, byte_size(Bytes) - 1)]
      end} || {Object, KeyPos} <- damaged()].

%% Every byte becomes every byte that differs in one bit, and 0, and 255; reading goes by what it
%% is then.
flips_test_() ->
    [{timeout, 120,
      fun() ->
              {ok, {Bytes, _}} = written(Object, KeyPos, 0, infinity),
              Read = [reads(Changed, KeyPos, Form)
                      || At <- lists:seq(0, byte_size(Bytes) - 1),
                         Changed <- changes(Bytes, At), not may_have_funs(Changed),
                         Form <- [0, ?ORDERED, ?IDENTIFIED]],
              [?assert(lists:member(What, Read)) || What <- [object, none]]
      end} || {Object, KeyPos} <- damaged()].

changes(Bytes, At) ->
    <<Before:At/binary, Byte, After/binary>> = Bytes,
    [<<Before/binary, New, After/binary>>
     || New <- [0, 255 | [Byte bxor (1 bsl Bit) || Bit <- lists:seq(0, 7)]], New =/= Byte].

may_have_funs(Bytes) ->
    binary:match(Bytes, [<<112>>, <<113>>, <<117>>]) =/= nomatch.

reads_key(Bytes, Form) ->
    case term_of(Bytes, unsafe) of
        {Key, Used} ->
            {ok, Encoded} = encoded_key(Key, Form),
            {ok, Read, Size} = read_key(Bytes, Form, infinity, unsafe),
            ?assert(Encoded =:= Read),
            ?assertEqual(Used - 1, Size),
            key;
        error ->
            ?assertEqual(bad, read_key(Bytes, Form, infinity, unsafe)),
            none
    end.

%% Sizes that are told of what is not there take no memory, and no time.
told_sizes_test() ->
    Live = fail_after(-1),
    [begin
         ?assertEqual(0, extent(Bytes)),
         ?assertEqual(bad, read(Bytes, 1, Form, infinity, unsafe)),
         ?assertEqual(bad, read(<<104, 2, Bytes/binary>>, 1, Form, infinity, unsafe)),
         ?assertEqual(bad, read(<<104, 2, 97, 1, Bytes/binary>>, 1, Form, infinity, unsafe)),
         ?assertEqual(bad, read_key(Bytes, Form, infinity, unsafe))
     end || Tag <- [77, 105, 108, 109, 111, 116],
            Size <- [16#ffffffff, 16#7fffffff, 16#00ffffff, 9],
            Bytes <- [<<Tag, Size:32, 97, 1, 97, 1>>, <<Tag, Size:32>>], Form <- forms()],
    ?assertEqual(Live, fail_after(-1)).

%% Atoms are made as by binary_to_term/1, but not where it is safe.
safe_test() ->
    Name = iolist_to_binary(["xets_etf_", integer_to_list(erlang:unique_integer([positive]))]),
    [begin
         Text = <<Name/binary, Suffix/binary>>,
         Bytes = <<104, 2, 97, 1, 119, (byte_size(Text)), Text/binary>>,
         ?assertEqual(bad, read(Bytes, 1, Form, infinity, safe)),
         ?assertError(badarg, binary_to_existing_atom(Text)),
         {ok, [_]} = read(Bytes, 1, Form, infinity, unsafe),
         Atom = binary_to_existing_atom(Text),
         {ok, Encoded} = encoded({1, Atom}, 1, Form),
         ?assertEqual({ok, [Encoded]}, read(Bytes, 1, Form, infinity, safe))
     end || {Suffix, Form} <- [{<<"a">>, 0}, {<<"é"/utf8>>, 0}, {<<"b">>, ?ORDERED}]].

%%% Depth and length

deep_test_() ->
    [{timeout, 60, fun() -> deep(Nest) end} || Nest <- nests()].

deep(Nest) ->
    Term = lists:foldl(fun(_, T) -> Nest(T) end, [], lists:seq(1, 100000)),
    large({k, Term}, 1).

%% Maps nested through their keys are slow to compare: every level hashes what is below.
deep_keys_test() ->
    Term = lists:foldl(fun(_, T) -> #{{T} => {a}} end, [], lists:seq(1, 1000)),
    goes_round({k, Term}, 1, 0),
    large({lists:foldl(fun(_, T) -> {T} end, [], lists:seq(1, 100000))}, 1).

large_test_() ->
    [{timeout, 60, fun() -> large({k, Make()}, 1) end}
     || Make <- [fun() -> lists:seq(1, 300000) end,
                 fun() -> [{I, -I} || I <- lists:seq(1, 100000)] end,
                 fun() -> lists:seq(1, 300000) ++ tail end,
                 fun() -> lists:duplicate(100000, $a) end,
                 fun() -> numbers(50000) end,
                 fun() -> list_to_tuple(lists:seq(1, 300000)) end,
                 fun() -> binary:copy(<<"0123456789">>, 2000000) end,
                 fun() -> [binary:copy(<<I>>, 64) || I <- lists:seq(1, 100000)] end]].

large(Object, KeyPos) ->
    {ok, {Bytes, _}} = written(Object, KeyPos, 0, infinity),
    ?assert(Object =:= decoded(Bytes)),
    {ok, Encoded} = encoded(Object, KeyPos, 0),
    ?assert({ok, [Encoded]} =:= read(Bytes, KeyPos, 0, infinity, safe)),
    ?assert({ok, [Encoded]} =:= read(term_bytes(Object), KeyPos, 0, infinity, safe)),
    ?assertEqual(budget, written(Object, KeyPos, 0, 65536)),
    ?assertEqual(budget, read(Bytes, KeyPos, 0, 65536, safe)).

term_bytes(Term) ->
    <<131, Bytes/binary>> = term_to_binary(Term),
    Bytes.

%%% Budgets

%% Reading takes what encoding takes, but for what is made; with less it gives up.
budget_test() ->
    [begin
         {ok, {Bytes, _}} = written(Object, KeyPos, Form, infinity),
         {ok, [Encoded]} = read(Bytes, KeyPos, Form, infinity, safe),
         Words = element(7, Encoded),
         ?assertEqual({ok, [Encoded]}, read(Bytes, KeyPos, Form, Words, safe)),
         ?assertEqual(budget, read(Bytes, KeyPos, Form, Words - 1, safe))
     end || {Object, KeyPos} <- [{{1, 2}, 1}, {{a, {b}, [c]}, 2}, {{<<"x">>, 1.5, "list"}, 1},
                                 {{1, {2, 3.5, [x, {y}]}, #{}}, 1},
                                 {{1, 1 bsl 100, [a | {b}]}, 1}],
            Form <- [0, ?ORDERED, ?IDENTIFIED]].

%% The bytes of binaries that are shared count when they are written.
binary_budget_test() ->
    Object = {1, bytes(8000)},
    ?assertEqual(budget, written(Object, 1, 0, 1000)),
    ?assertMatch({ok, _}, written(Object, 1, 0, 1100)).

%%% Failing allocations

%% Whichever allocation fails, nothing is left behind, and that it has failed is told.
nomem_test_() ->
    [{timeout, 60, fun() -> nomem(Object, KeyPos, Form) end}
     || {Object, KeyPos} <- [{{1, 2}, 1}, {{k, lists:seq(1, 3000), bytes(100)}, 1},
                             {{{k, 1.0}, #{a => {b}, c => text(1000)}, 1 bsl 100}, 1},
                             {{1, [[[[[[make_ref(), #{{} => {[{}]}}]]]]]], bytes(300)}, 1},
                             {{1, lists:foldl(fun(_, T) -> #{a => [T]} end, x,
                                              lists:seq(1, 60))}, 1},
                             {{text(3000), text(30), negative_zero()}, 2}],
        Form <- forms()].

nomem(Object, KeyPos, Form) ->
    {ok, {Bytes, _} = Both} = written(Object, KeyPos, Form, infinity),
    {ok, Encoded} = encoded(Object, KeyPos, Form),
    fails(fun() -> written(Object, KeyPos, Form, infinity) end, {ok, Both}),
    fails(fun() -> read(Bytes, KeyPos, Form, infinity, safe) end, {ok, [Encoded]}),
    Key = element(KeyPos, Object),
    fails(fun() -> written_key(Key, Form) end, written_key(Key, Form)),
    {ok, KeyBytes} = written_key(Key, Form),
    Read = fun() -> read_key(KeyBytes, Form, infinity, safe) end,
    fails(Read, Read()).

fails(Fun, Result) -> fails(Fun, Result, 0).

fails(Fun, Result, N) ->
    Live = fail_after(N),
    Got = Fun(),
    ?assertEqual(Live, fail_after(-1)),
    case Got of
        nomem -> fails(Fun, Result, N + 1);
        _ -> ?assert(Got =:= Result)
    end.

%%% Properties over generated terms

properties_test_() ->
    [{"objects go round", {timeout, 600, fun() -> forall(xets_terms:object_type(), fun property/1,
                                                         xets_test_lib:small(300, 80)) end}},
     {"objects of the table properties", {timeout, 600, fun generated/0}}].

property({Object, KeyPos}) ->
    goes_round(Object, KeyPos),
    [reads(term_bytes(Object), KeyPos, Form) || Form <- forms()].

%% Those that are matched, too.
generated() ->
    Env = xets_gen:env(),
    Seed = xets_test_lib:env("XETS_TEST_SEED", 1),
    try
        [begin
             rand:seed(exsss, {Seed, I, 5}),
             KeyPos = 1 + I rem 3,
             Case = xets_gen:case_env(Env, maps:get(pid, Env), KeyPos, [xets_gen:term()]),
             Terms = [xets_gen:resolve(T, Case)
                      || T <- [xets_gen:term(), xets_gen:term()] ++ xets_match_gen:objects(2)],
             Object = list_to_tuple(Terms),
             goes_round(Object, KeyPos, lists:nth(1 + I rem length(forms()), forms()))
         end || I <- lists:seq(1, xets_test_lib:small(5000, 700))]
    after
        xets_gen:stop(Env)
    end.
