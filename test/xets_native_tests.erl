%% Terms read where they lie (c_src/beam/term_native.h): what the probe finds and refuses, that
%% the bytes are those of the portable way, and what only the native way stores.
-module(xets_native_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_term_nif, [natives/1, probe/4, object/3, roundtrip/4, equal/3, identity/3]).
-import(xets_terms, [bytes/1, numbers/1, external_pid/1, external_ref/0, shuffle/2]).

-define(ALL, 16#3ff).
-define(BIG, 8).
-define(LARGE_MAP, 16#20).
-define(REF, 16#100).
-define(SLICE, 16#200).

kinds() ->
    [tuple, list, float, bignum, map, large_map, binary, bit_string, reference, slice].

%% The kinds that are native here.
native() ->
    Kinds = natives(?ALL),
    [Kind || {I, Kind} <- lists:enumerate(0, kinds()), Kinds band (1 bsl I) =/= 0].

%% Runs it with only some kinds native.
with(Mask, Fun) ->
    natives(Mask),
    try Fun() after natives(?ALL) end.

%%% The probe

probed(Field) ->
    {_, _, _, Refs, Others, Bits} = xets_test_lib:native_info(),
    probe(Refs, Others, Bits, Field).

is_verified() ->
    lists:member(erlang:system_info(otp_release), ["25", "27", "29"])
        andalso erlang:system_info(build_type) =:= opt.

all_kinds_are_found_test() ->
    is_verified() andalso ?assertEqual(kinds(), probed(-1)).

info_tells_what_is_native_test() ->
    Expected = case is_verified() andalso os:getenv("XETS_TERMS") =/= "portable" of
                   true -> kinds();
                   false -> []
               end,
    #{native_terms := Kinds, terms := Terms} = xets:info(),
    ?assertEqual(Expected, Kinds),
    ?assertEqual(Expected, native()),
    ?assertEqual(Terms =:= native, Kinds =/= []).

%% A field that is expected to be what it is not turns off the kinds that are read by it, and no
%% others. Bit strings are sub-binaries up to OTP 26.
what_is_not_as_expected_is_off_test() ->
    Found = probed(-1),
    [begin
         Off = Found -- probed(Field),
         is_verified() andalso ?assertEqual({Field, []}, {Field, Must -- Off}),
         ?assertEqual({Field, []}, {Field, Off -- (Must ++ May)})
     end
     || {Field, Must, May} <-
            [{0, [binary, bit_string, slice], []}, {1, [float], []}, {2, [map, large_map], []},
             {3, [reference], []}, {4, [slice], [bit_string]}, {5, [slice], [bit_string]},
             {6, [bignum], []}, {7, [bignum], []}, {8, [binary, bit_string, slice], []},
             {9, [large_map], []}, {10, [large_map], []}, {11, [large_map], []},
             {12, [slice], [bit_string]}, {13, [reference], []}]].

%% Specimens that are not what they are said to be.
specimens_must_fit_test() ->
    {_, _, _, Refs, Others, Bits} = xets_test_lib:native_info(),
    [?assertEqual({Name, false}, {Name, lists:member(Kind, probe(R, O, B, -1))})
     || {Name, Kind, R, O, B} <-
            [{"an alias as a reference", reference, Refs ++ [hd(Others)], Others, Bits},
             {"a magic one as a reference", reference, Refs ++ tl(Others), Others, Bits},
             {"an external one as a reference", reference, [external_ref()], Others, Bits},
             {"no reference", reference, [bytes(3)], Others, Bits},
             {"an ordinary one among others", reference, Refs, Others ++ Refs, Bits},
             {"no other ones", reference, Refs, [], Bits},
             {"a binary as a bit string", bit_string, Refs, Others, [<<1, 2>>]},
             {"a tuple as a bit string", bit_string, Refs, Others, [{1, 2}]}]].

%%% The same bytes

%% As encoded with these kinds native.
encoded(Mask, Object, KeyPos) ->
    with(Mask, fun() -> {ok, Stored} = object(Object, KeyPos, infinity), Stored end).

%% Native and portable: but for references and shapes, which only one of them writes. Where one of the
%% commonest kinds is not native, small terms are not encoded by themselves.
same_bytes(Object, KeyPos) ->
    Portable = encoded(0, Object, KeyPos),
    Mask = ?ALL band bnot (?REF bor ?LARGE_MAP),
    [?assertEqual(Portable, encoded(M, Object, KeyPos)) || M <- [Mask, Mask band bnot ?BIG]].

samples_have_the_same_bytes_test_() ->
    [{Name, {timeout, 120,
             fun() ->
                     same_bytes({T}, 1),
                     same_bytes({1, T}, 1),
                     [same_bytes({Nest(T), Nest(T)}, 1) || Nest <- xets_terms:nests()]
             end}} || {Name, T} <- xets_terms:samples()].

kinds_by_themselves_have_the_same_bytes_test() ->
    Terms = [T || {_, T} <- xets_terms:samples(), erts_debug:flat_size(T) < 2000],
    Object = {1, Terms, list_to_tuple(Terms)},
    Portable = encoded(0, Object, 1),
    [?assertEqual(Portable, encoded(1 bor (1 bsl Kind), Object, 1))
     || Kind <- [0, 1, 2, 3, 4, 6, 7]].

random_terms_have_the_same_bytes_test_() ->
    {timeout, 120,
     fun() ->
             xets_terms:forall(xets_terms:object_type(),
                               fun({Object, KeyPos}) -> same_bytes(Object, KeyPos) end,
                               xets_test_lib:small(500, 60))
     end}.

%% An object that is inserted by itself, in one go if it is small, is the one that is inserted in a
%% list.
random_objects_by_themselves_are_those_of_lists_test_() ->
    [{timeout, 120,
      fun() ->
              xets_terms:forall(xets_terms:object_type(),
                                fun({Object, KeyPos}) -> same_alone(Type, Options, Object, KeyPos) end,
                                xets_test_lib:small(200, 30))
      end} || Type <- [set, ordered_set, bag], Options <- [[], [compressed]]].

same_alone(Type, Options, Object, KeyPos) ->
    [begin
         T = xets:new(table, [Type, {keypos, KeyPos} | Options]),
         Other = setelement(KeyPos, Object, {another, Object}),
         [true = xets:insert(T, Insert) || Insert <- Inserts],
         ?assertEqual([Object], xets:lookup(T, element(KeyPos, Object))),
         ?assertEqual(false, xets:insert_new(T, Object)),
         ?assertEqual(false, xets:insert_new(T, [Other, Object])),
         true = xets:delete_object(T, Object),
         ?assertEqual([], xets:tab2list(T)),
         xets:delete(T)
     end || Inserts <- [[Object, [Object, Object]], [[Object, Object], Object]]].

%% The same as keys of ordered tables.
ordered_keys_have_the_same_bytes_test_() ->
    Ordered = fun(Objects) ->
                      xets_term_nif:order(true),
                      try Objects() after xets_term_nif:order(false) end
              end,
    [{timeout, 120,
      fun() -> Ordered(fun() -> [same_bytes({T, a}, 1) || {_, T} <- xets_terms:samples()],
                                [same_bytes({Nest(T), a}, 1)
                                 || {_, T} <- xets_terms:samples(), Nest <- xets_terms:nests()]
                       end)
      end},
     {timeout, 120,
      fun() -> Ordered(fun() ->
                               xets_terms:forall(xets_terms:object_type(),
                                                 fun({Object, KeyPos}) ->
                                                         same_bytes(Object, KeyPos)
                                                 end, xets_test_lib:small(500, 60))
                       end)
      end}].

%% Parts of bit strings, from every bit to every other.
bit_strings_have_the_same_bytes_test() ->
    Bytes = bytes(100),
    [begin
         <<_:From, Small:Size/bitstring, _/bitstring>> = Bytes,
         same_bytes({Small, Small}, 1),
         Copy = list_to_bitstring([<<1:1>>, Small]),
         same_bytes({Copy, [Copy]}, 1)
     end || From <- lists:seq(0, 9), Size <- lists:seq(0, 20) ++ [511, 512, 513]].

%% What is stored differently comes back, whatever is native when.
random_terms_come_back_test_() ->
    {timeout, 120,
     fun() ->
             xets_terms:forall(xets_terms:object_type(),
                               fun({Object, KeyPos}) ->
                                       ?assertEqual({ok, Object},
                                                    roundtrip(Object, KeyPos, [], infinity))
                               end,
                               xets_test_lib:small(500, 60))
     end}.

%%% Large maps

body(Term) ->
    {_, [], Body, _, _, _, _} = encoded(?ALL, {1, Term}, 1),
    Body.

has_shapes() -> lists:member(large_map, native()).

varint(<<0:1, N:7, Rest/binary>>) -> {N, Rest};
varint(<<1:1, N:7, Rest/binary>>) -> {M, Behind} = varint(Rest), {N + (M bsl 7), Behind}.

%% The nodes of the shape of a map of immediates, each {Children, Inner}.
shape(Map) ->
    <<_Flags, Rest/binary>> = body(Map),
    {_Words, <<10:5, 1:3, Node/binary>>} = varint(Rest),
    {Size, <<KeyWidth:4, ValueWidth:4, Behind/binary>>} = varint(Node),
    ?assertEqual(maps:size(Map), Size),
    Pairs = Size * (KeyWidth + ValueWidth),
    <<_:Pairs/binary, Shape/binary>> = Behind,
    {N, Words} = varint(Shape),
    ?assertEqual(4 * N, byte_size(Words)),
    [{Children, Inner} || <<Children:16/little, Inner:16/little>> <= Words].

ones(0) -> 0;
ones(N) -> (N band 1) + ones(N bsr 1).

shapes_are_those_of_tries_test() ->
    has_shapes() andalso
        [begin
             Nodes = shape(numbers(N)),
             [?assertEqual(0, Inner band bnot Children) || {Children, Inner} <- Nodes],
             ?assertEqual(length(Nodes) - 1, lists:sum([ones(Inner) || {_, Inner} <- Nodes])),
             ?assertEqual(N + length(Nodes) - 1,
                          lists:sum([ones(Children) || {Children, _} <- Nodes]))
         end || N <- [33, 34, 60, 200, 1000, 20000]].

%% Equal maps have equal bytes, whatever they went through: as keys, they are compared by these.
equal_maps_have_equal_bytes_test() ->
    [begin
         Map = maps:from_list([{Key(I), {I}} || I <- lists:seq(1, N)]),
         Others = [{Key(N + I), other} || I <- lists:seq(1, 3 * N)],
         Grown = lists:foldl(fun({K, V}, M) -> M#{K => V} end, #{},
                             shuffle(Others ++ maps:to_list(Map), N)),
         Shrunk = lists:foldl(fun({K, _}, M) -> maps:remove(K, M) end, Grown, shuffle(Others, N)),
         {Some, Rest} = lists:split(N div 2, maps:to_list(Map)),
         Merged = maps:merge(maps:from_list(Some), maps:from_list(Rest)),
         Updated = maps:map(fun(_, {V}) -> {V} end, maps:from_list(maps:to_list(Map))),
         Copied = binary_to_term(term_to_binary(Map)),
         [begin
              ?assert(Map =:= Other),
              ?assertEqual(encoded(?ALL, {Map, Map}, 1), encoded(?ALL, {Other, Other}, 1))
          end || Other <- [Shrunk, Merged, Updated, Copied]]
     end || N <- [33, 34, 40, 100, 1000],
            Key <- [fun(I) -> I end, fun(I) -> {I, "key"} end,
                    fun(I) -> integer_to_binary(I) end]].

large_maps_as_keys_test() ->
    T = xets:new(table, []),
    Maps = [maps:from_list([{{I, J}, J} || J <- lists:seq(1, N)])
            || I <- lists:seq(1, 20), N <- [33, 100]],
    [xets:insert(T, {Map, I}) || {I, Map} <- lists:enumerate(Maps)],
    [?assertEqual([{Map, I}], xets:lookup(T, maps:from_list(shuffle(maps:to_list(Map), I))))
     || {I, Map} <- lists:enumerate(Maps)],
    xets:delete(T).

%% Values and keys of a map with a shape, packed and not, found by a match specification.
matching_finds_values_of_large_maps_test() ->
    [begin
         T = xets:new(table, []),
         Map = maps:from_list([{Key(I), Value(I)} || I <- lists:seq(1, 100)]),
         xets:insert(T, [{1, Map, after_it}, {2, #{}, after_it}]),
         [?assertEqual([{Value(I), after_it}],
                       xets:select(T, [{{'$1', '$2', '$3'},
                                        [{is_map_key, {const, Key(I)}, '$2'}],
                                        [{{{map_get, {const, Key(I)}, '$2'}, '$3'}}]}]))
          || I <- [1, 50, 100]],
         ?assertEqual(100, xets:lookup_element(T, 1, 2) =:= Map andalso maps:size(Map)),
         xets:delete(T)
     end || Key <- [fun(I) -> I end, fun(I) -> integer_to_binary(I) end, fun(I) -> {I} end],
            Value <- [fun(I) -> I end, fun(I) -> {"v", I} end]].

%%% References

references_have_no_handles_test() ->
    Ref = make_ref(),
    case lists:member(reference, native()) of
        true -> ?assertMatch({<<13:5, 1:3, _:16/binary>>, [], <<_, 6, 13:5, 1:3, _:16/binary>>, [],
                              0, 0, _}, encoded(?ALL, {Ref, Ref}, 1));
        false -> ?assertMatch({_, [Ref], _, [Ref], 0, _, _}, encoded(?ALL, {Ref, Ref}, 1))
    end.

other_references_have_handles_test() ->
    [?assertMatch({_, [Other], _, [Other], _, _, _}, encoded(?ALL, {Other, Other}, 1))
     || Other <- [xets_term_nif:magic(), atomics:new(1, []), external_ref()]].

%% An alias has the key bytes of the ordinary reference that it is equal to. That is what comes back
%% of it in the external term format when it is not active any more.
aliases_are_keys_as_references_are_test() ->
    Alias = erlang:alias(),
    erlang:unalias(Alias),
    Plain = binary_to_term(term_to_binary(Alias)),
    ?assert(Alias =:= Plain),
    {Key, Handles, _, [Alias | _], _, _, _} = encoded(?ALL, {Alias, Alias}, 1),
    ?assertMatch({Key, Handles, _, _, _, _, _}, encoded(?ALL, {Plain, Plain}, 1)),
    ?assertEqual({ok, {Alias, 1}}, with(?ALL, fun() -> roundtrip({Alias, 1}, 1, [], infinity) end)),
    [?assert(equal(A, B, 1)) || A <- [{Alias, 1}, {Plain, 1}], B <- [{Alias, 1}, {Plain, 1}]],
    [?assert(equal(A, B, 1)) || A <- [{1, Alias}, {1, Plain}], B <- [{1, Alias}, {1, Plain}]],
    [?assertEqual(identity({1, {Alias}}, KeyPos, infinity),
                  identity({1, {Plain}}, KeyPos, infinity))
     || KeyPos <- [1, 2]].

references() ->
    Alias = erlang:alias(),
    erlang:unalias(Alias),
    [make_ref(), make_ref(), erlang:monitor(process, self()), Alias, atomics:new(1, []),
     external_ref()].

references_in_tables_are_those_of_ets_test() ->
    Refs = references(),
    [begin
         E = ets:new(table, [Type]),
         X = xets:new(table, [Type]),
         Objects = [{Ref, [Ref], {other, Ref}} || Ref <- Refs] ++ [{1, 2, 3}],
         true = ets:insert(E, Objects),
         true = xets:insert(X, Objects),
         Same = fun(F) -> ?assertEqual(lists:sort(F(ets, E)), lists:sort(F(xets, X))) end,
         [begin
              Same(fun(M, T) -> M:lookup(T, Ref) end),
              Same(fun(M, T) -> M:match_object(T, {Ref, '_', '_'}) end),
              Same(fun(M, T) -> M:match_object(T, {'_', [Ref], '_'}) end),
              Same(fun(M, T) -> M:match_object(T, {'$1', ['$1'], '_'}) end),
              [Same(fun(M, T) ->
                            M:select(T, [{{'$1', ['$2'], '_'},
                                          [{Op, '$2', {const, Ref}}], ['$1']}])
                    end) || Op <- ['=:=', '=/=', '==', '<', '>=']]
          end || Ref <- Refs],
         Same(fun(M, T) -> M:select(T, [{{'$1', '_', '_'}, [{is_reference, '$1'}], ['$_']}]) end),
         Same(fun(M, T) -> M:select(T, [{{'_', ['$1'], '_'}, [{is_reference, '$1'}], ['$1']}]) end),
         Same(fun(M, T) -> M:select(T, [{{'$1', '_', '_'}, [{is_pid, '$1'}], ['$_']}]) end),
         Same(fun(M, T) ->
                      M:select(T, [{{'$1', ['$2'], '_'}, [{'=:=', {node, '$2'}, node()}], ['$1']}])
              end),
         Same(fun(M, T) -> M:tab2list(T) end),
         [?assert(xets:delete_object(X, Object)) || Object <- Objects],
         ?assertEqual(0, xets:info(X, size)),
         xets:delete(X),
         ets:delete(E)
     end || Type <- [set, ordered_set, bag, duplicate_bag]].

%%% Slices

%% What a binary that comes back keeps alive.
kept(Binary) ->
    T = xets:new(table, []),
    xets:insert(T, {1, Binary}),
    [{1, Stored}] = xets:lookup(T, 1),
    ?assertEqual(Binary, Stored),
    xets:delete(T),
    binary:referenced_byte_size(Stored).

slices_test() ->
    Whole = bytes(40000),
    Native = lists:member(slice, native()),
    Small = binary:part(Whole, 100, 9000),
    ?assertEqual(case Native of true -> 9000; false -> 40000 end, kept(Small)),
    ?assertEqual(40000, kept(binary:part(Whole, 100, 11000))),
    ?assertEqual(40000, kept(Whole)),
    ?assertEqual(9000, kept(binary:copy(Small))).

%% A key is copied too when it is stored, and only then.
slices_as_keys_test() ->
    Small = binary:part(bytes(40000), 100, 9000),
    {_, [Key], _, [], 9000, _, _} = encoded(?ALL, {Small, 1}, 1),
    ?assertEqual(case lists:member(slice, native()) of true -> 9000; false -> 40000 end,
                 binary:referenced_byte_size(Key)),
    {ok, {_, [Given], _}} = xets_term_nif:key(Small, infinity),
    ?assertEqual(40000, binary:referenced_byte_size(Given)).
