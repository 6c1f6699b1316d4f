%% Objects of ordered tables as they are stored (c_src/beam/term.h): every kind of term as key and
%% as value, compressed or not; which keys may be reused; what is equal; elements replaced; budgets
%% and failing allocations; properties over generated terms (xets_terms).
-module(xets_ordered_term_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_term_nif, [object/3, roundtrip/4, decode_key/3, element/5, immediate/3, replace/5,
                        equal/3, is_key_of/3, words/2, compress/1, order/1, fail_after/1]).
-import(xets_term_tests, [same/2, nomem/3]).
-import(xets_terms, [samples/0, nests/0, forall/3, make_pair/1, rebuild/2, negative_zero/0, bytes/1,
                     numbers/1, part/1, external_pid/1, ref_once/0]).

%% From term.h and record.h.
-define(LOOSE, (1 bsl 20)).
-define(RESTORE, (1 bsl 28)).
-define(BUDGET, 65536).

ordered(Tests) ->
    {setup, fun() -> order(true) end, fun(_) -> order(false) end, Tests}.

%% The same in a compressed table.
both(Tests) ->
    [ordered(Tests),
     {setup, fun() -> compress(true) end, fun(_) -> compress(false) end, ordered(Tests)}].

%%% Kinds of terms

kinds_test_() ->
    both([{Name, fun() -> stores(Term) end} || {Name, Term} <- samples() ++ cut_keys()]).

%% Whose order bytes do not say all of them.
cut_keys() ->
    [{"tuple with a reference", {1, make_ref(), 2.0}}, {"list with a pid", [a, self() | 1.0]},
     {"tuple with a fun and a binary", {fun lists:map/2, bytes(5000)}},
     {"tuple with a large map", {numbers(3000), negative_zero()}},
     {"long tuple of atoms", erlang:make_tuple(3000, a)},
     {"just not cut", {a, bytes(4080)}}, {"just cut", {a, bytes(4090)}},
     {"tuple of bignums", {1 bsl 2047, -(1 bsl 2047), 1 bsl 2048}},
     {"as many atoms as fit", lists:duplicate(600, abcd)},
     {"floats that might be integers", [1.0, 2, 3.0, negative_zero(), 0.0, 0]}].

stores(Term) ->
    Objects = [{Term}, {k, Term}, {7, {Term}, Term}, {{k, 1.0}, [Term | Term], #{Term => Term}},
               {1.0, 1, Term, 2, bytes(200), 3}],
    [stores(Object, KeyPos) || Object <- Objects, KeyPos <- lists:seq(1, tuple_size(Object))].

stores(Object, KeyPos) ->
    Key = element(KeyPos, Object),
    {ok, {Order, Restore, Cut, _, _}} = xets_key_nif:stored(Key, infinity),
    {ok, {Order, Cut, Body, _, _, Flags, _}} = object(Object, KeyPos, infinity),
    ?assertEqual(Restore =/= <<>>, Flags band ?RESTORE =/= 0),
    ?assertEqual(with_size(Restore), binary:part(Body, 0, byte_size(with_size(Restore)))),
    IsKey = is_key_of(rebuild(Key, 1), Object, KeyPos),
    ?assertEqual(Cut =:= [], IsKey),
    same({ok, Object}, roundtrip(Object, KeyPos, [], infinity)),
    same({ok, Object}, roundtrip(Object, KeyPos, [Key || IsKey], infinity)),
    same({ok, Key}, decode_key(Object, KeyPos, infinity)),
    [begin
         Element = element(Pos, Object),
         same({ok, Element}, element(Object, KeyPos, Pos, [], infinity)),
         same({ok, Element}, element(Object, KeyPos, Pos, [Key || IsKey], infinity)),
         {Arity, Immediate} = immediate(Object, KeyPos, Pos),
         ?assertEqual(tuple_size(Object), Arity),
         ?assertEqual([Element || Pos =/= KeyPos, is_immediate(Element)], Immediate)
     end || Pos <- lists:usort([1, KeyPos, (tuple_size(Object) + 1) div 2, tuple_size(Object)])],
    {ok, {Copy}} = roundtrip({Key}, 1, [], infinity),
    %% A copy of a term, in which small binaries may be parts of large ones, is as it is.
    ?assert(words({Key}, 1) >= erts_debug:flat_size(Copy) orelse Cut =/= []).

with_size(<<>>) -> <<>>;
with_size(Restore) -> <<(varint(byte_size(Restore)))/binary, Restore/binary>>.

varint(N) when N < 128 -> <<N>>;
varint(N) -> <<1:1, N:7, (varint(N bsr 7))/binary>>.

is_immediate(Term) ->
    erts_debug:flat_size(Term) =:= 0 andalso Term =/= {}.

every_arity_test_() ->
    both(fun() ->
                 [stores(list_to_tuple(lists:seq(1, Arity)), KeyPos)
                  || Arity <- [1, 2, 14, 15, 16, 17, 300], KeyPos <- lists:usort([1, Arity])]
         end).

deep_test_() ->
    ordered([{timeout, 60, fun() -> deep(Nest) end} || Nest <- nests()]).

%% Maps nested through their keys are slow to compare: every level hashes what is below.
deep(Nest) ->
    Depth = case Nest([]) of #{} -> 1000; _ -> 1000000 end,
    Key = lists:foldl(fun(_, T) -> Nest(T) end, [], lists:seq(1, Depth)),
    ?assert({ok, {Key, 1}} =:= roundtrip({Key, 1}, 1, [], infinity)).

%%% Equal keys that are not the same

reused_keys_test_() ->
    ordered([?_assertEqual({A, B, Is}, {A, B, is_key_of(A, {B, 1}, 1)})
             || {A, B, Is} <- [{1, 1, true}, {1, 1.0, false}, {1.0, 1, false}, {1.0, 1.0, true},
                               {{a, 1}, {a, 1}, true}, {{a, 1}, {a, 1.0}, false},
                               {{a, 1.0}, {a, 1.0}, true}, {[1.0, 2], [1, 2.0], false},
                               {0.0, 0.0, true}, {0.0, negative_zero(), false},
                               {negative_zero(), negative_zero(), true}, {0, 0.0, false},
                               {self(), self(), false}, {part(bytes(20)), bytes(20), true}]]).

%% As it was inserted, whatever key is equal to it.
equal_objects_test_() ->
    both([?_assertEqual({A, B, A =:= B}, {A, B, objects_equal(A, B)})
          || Keys <- [[1, 1.0], [0, 0.0, negative_zero()], [{a, [1]}, {a, [1.0]}],
                      [{0.0, self()}, {negative_zero(), self()}, {0, self()}],
                      [{#{a => 1}, bytes(5000)}, {#{a => 1.0}, bytes(5000)}]],
             KeyA <- Keys, KeyB <- Keys, ValueA <- [1, [bytes(300)]], ValueB <- [1, [bytes(300)]],
             A <- [{KeyA, ValueA}], B <- [{KeyB, ValueB}]]).

%% As the core finds out: by bytes and handles, and if one of them is loose by object_equal.
objects_equal(A, B) ->
    {ok, StoredA} = object(A, 1, infinity),
    {ok, StoredB} = object(B, 1, infinity),
    Loose = (element(6, StoredA) bor element(6, StoredB)) band ?LOOSE =/= 0,
    ByTerms = equal(A, B, 1),
    Equal = tight(StoredA) =:= tight(StoredB) orelse Loose andalso ByTerms,
    ?assertEqual(Equal, ByTerms),
    Equal.

tight({KeyBytes, KeyHandles, Body, BodyHandles, Pinned, _, _}) ->
    {KeyBytes, KeyHandles, Body, BodyHandles, Pinned}.

%%% Replacing elements

replace_test_() ->
    both([?_test(replaces(Object, KeyPos, Positions, Terms))
          || Object <- [{7, 1, 2}, {k, 1, {2}}, {1.0, {1}, {2}}, {{user, 1}, bytes(100), 2},
                        {self(), 1.0, [2]}, {{bytes(5000), a}, make_ref(), bytes(100)},
                        {{1, ref_once(), bytes(100)}, 1, 2}, {negative_zero(), 1, bytes(3000)},
                        {external_pid(1), bytes(200), bytes(200)}],
             KeyPos <- [1, 2, 3],
             Positions <- [P || P <- [[1], [2], [3], [1, 2], [1, 3], [2, 3]],
                                not lists:member(KeyPos, P)],
             Terms <- [lists:sublist(T, length(Positions))
                       || T <- [[7, a], [1 bsl 40, -1], [{x}, 9], [bytes(200), 7],
                                [make_ref(), "list"]]]]).

%% The whole new object encoded is the same; only the flag may stay set, and words of a key that is
%% not cut are not counted.
replaces(Object, KeyPos, Positions, Terms) ->
    Expected = lists:foldl(fun({Pos, Term}, T) -> setelement(Pos, T, Term) end, Object,
                           lists:zip(Positions, Terms)),
    {ok, {New, Stored}} = replace(Object, KeyPos, Positions, Terms, infinity),
    same(Expected, New),
    {ok, Encoded} = object(Expected, KeyPos, infinity),
    ?assertEqual(0, element(6, Encoded) band (bnot element(6, Stored))),
    ?assertEqual(tight(Encoded), tight(Stored)).

%%% Budgets

budgets_test_() ->
    ordered(fun() ->
                    Large = {k, lists:seq(1, ?BUDGET)},
                    LargeKey = {{self(), lists:seq(1, ?BUDGET)}, 1},
                    [begin
                         ?assertEqual(budget, object(Object, 1, ?BUDGET)),
                         ?assertEqual(budget, roundtrip(Object, 1, [], ?BUDGET)),
                         ?assert(words(Object, 1) > ?BUDGET)
                     end || Object <- [Large, LargeKey]],
                    ?assertEqual(budget, decode_key(LargeKey, 1, ?BUDGET)),
                    ?assertEqual(budget, replace(LargeKey, 1, [2], [3], ?BUDGET)),
                    ?assertMatch({ok, _}, decode_key(Large, 1, ?BUDGET)),
                    ?assertEqual({ok, 1}, element(LargeKey, 1, 2, [], ?BUDGET)),
                    [?assertMatch({ok, _}, decode_key({Key, 1}, 1, ?BUDGET))
                     || Key <- [lists:duplicate(800, 1 bsl 2047), bytes(4090),
                                lists:duplicate(2000, 1.0)]]
            end).

%%% Failing allocations

nomem_test_() ->
    both([?_test(nomem(F, 0, F()))
          || Object <- [{7, [bytes(100) || _ <- lists:seq(1, 50)]}, {{user, 1.0}, numbers(400)},
                        {[abc || _ <- lists:seq(1, 300)], bytes(3000)},
                        {{ref_once(), numbers(100)}, 1}],
             F <- [fun() -> roundtrip(Object, 1, [], infinity) end,
                   fun() -> decode_key(Object, 1, infinity) end,
                   fun() -> element(2, replaced_element(Object)) end]]).

replaced_element(Object) ->
    case replace(Object, 1, [2], [bytes(2000)], infinity) of
        {ok, {New, _}} -> {ok, New};
        nomem -> {nomem, nomem}
    end.

%%% Properties over generated terms

properties_test_() ->
    both([{Name, {timeout, 600, fun() -> forall(Type, Property, 500) end}}
          || {Name, Type, Property} <-
                 [{"objects are read back", xets_terms:object_type(), fun read_back/1},
                  {"equal objects", xets_terms:pair_type(), fun objects_agree/1},
                  {"replaced elements", xets_terms:replacement_type(), fun replaced/1}]]).

read_back({Object, KeyPos}) ->
    stores(Object, KeyPos).

objects_agree(Pair) ->
    {A, B} = make_pair(Pair),
    [?assertEqual(X =:= Y, objects_equal(X, Y)) || {X, Y} <- [{{k, A}, {k, B}}, {{A, 1}, {B, 1}}]].

replaced({{Object, KeyPos}, Terms, Choices}) ->
    Positions = [P || {P, true} <- lists:zip(lists:seq(1, tuple_size(Object)),
                                             lists:sublist(Choices, tuple_size(Object))),
                      P =/= KeyPos],
    replaces(Object, KeyPos, Positions, lists:sublist(Terms, length(Positions))).
