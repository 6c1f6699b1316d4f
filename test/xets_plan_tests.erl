%% Plans for match specifications (c_src/beam/plan.h), as xets:explain/2 tells them: every rule, in
%% both kinds of tables and with what is next to it and is no rule; errors, budgets, failing
%% allocations; and for random specifications that whatever matches is let through.
%%
%% XETS_PLAN_SPECS is the number of random specifications.
-module(xets_plan_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("stdlib/include/ms_transform.hrl").

-import(xets_plan_nif, [plan/4, fail_after/1]).
-import(xets_terms, [bytes/1, bits/1, closure/1, negative_zero/0, ref_once/0, numbers/1]).
-import(xets_test_lib, [texts/3, small/2]).

-define(BYTES_MAX, 4096). % of c_src/beam/key.h
-define(BUDGET, 65536).

%%% What is planned

%% Of a head with this key, in an ordered and in another table.
both(Key, Guards) ->
    {explain(ordered_set, Key, Guards), explain(set, Key, Guards)}.

explain(Type, Key, Guards) ->
    explained(Type, [clause(Key, Guards)]).

explained(Type, Spec) ->
    Table = xets:new(explained, [Type]),
    {Engine, Plan} = maps:take(engine, xets:explain(Table, Spec)),
    xets:delete(Table),
    ?assert(lists:member(Engine, [native, ets])),
    Plan.

%% Guards may use '$9', which is not the key.
clause(Key, Guards) ->
    {{Key, '$9'}, Guards, ['$_']}.

point(Key) -> #{plan => point, keys => [Key]}.
range(From, To) -> #{plan => range, from => From, to => To}.
inside(From, To) -> range({inclusive, From}, {inclusive, To}).
prefix(Pattern) -> inside(Pattern, Pattern).
scan() -> #{plan => scan}.
nothing() -> #{plan => nothing}.

key_of_head_test_() ->
    [{lists:flatten(io_lib:format("~0P", [Key, 10])),
      ?_assertEqual({point(Key), point(Key)}, both(Key, []))}
     || Key <- [1, 1.5, a, [], {}, "list", [a | b], <<"binary">>, <<1:3>>, {a, {1, [2.0]}}, self(),
                1 bsl 3000, closure(1), ref_once(), {bytes(5000), self()},
                %% Not variables, in a head.
                '$', '$_', '$$', '$a', '$1a', '$_1', '__', {'$_', '$$'}]].

open_keys_test_() ->
    [?_assertEqual({scan(), scan()}, both(Key, [])) || Key <- ['_', '$1', '$0', '$4711']]
        ++ [?_assertEqual({Ordered, scan()}, both(Key, []))
            || {Key, Ordered} <- [{#{}, scan()}, {#{a => 1}, scan()}, {#{a => '$1'}, scan()},
                                  {{a, '_'}, prefix({a, '_'})}, {{a, '$1'}, prefix({a, '_'})},
                                  {{a, #{}}, prefix({a, '_'})},
                                  {{a, #{b => c}, d}, prefix({a, '_', '_'})},
                                  {{a, 1.0, '_', b}, prefix({a, 1.0, '_', '_'})},
                                  {{'_', a}, prefix({'_', '_'})}, {{'$1'}, prefix({'_'})},
                                  {{a, {b, '_', c}, d}, prefix({a, {b, '_', '_'}, '_'})},
                                  {{{'_'}}, prefix({{'_'}})},
                                  {['_'], prefix(['_' | '_'])},
                                  {[a, b | '$1'], prefix([a, b | '_'])},
                                  {[a, '_', b], prefix([a, '_' | '_'])},
                                  {[a, [b, '_'] | c], prefix([a, [b, '_' | '_'] | '_'])},
                                  {[#{}, a], prefix(['_' | '_'])},
                                  {{[a, {'$1', b}], c}, prefix({[a, {'_', '_'} | '_'], '_'})}]].

guards_test_() ->
    [?_assertEqual({Guard, Ordered, Set}, erlang:insert_element(1, both('$1', [Guard]), Guard))
     || {Relation, Flipped, Constant, Ordered, Set} <- relations(),
        Guard <- [{Relation, '$1', Constant}, {Flipped, Constant, '$1'},
                  {'andalso', {is_atom, '$9'}, {Relation, '$1', Constant}},
                  {'andalso', {Flipped, Constant, '$1'}, true},
                  {'and', {'andalso', {Relation, '$1', Constant}, true}, {'<', '$9', 1}, true}]].

%% {Relation, with its operands exchanged, Constant, planned in an ordered table, in another one}
relations() ->
    [{'=:=', '=:=', Term, point(Term), point(Term)}
     || Term <- [1, 1.0, a, <<"b">>, [], "s", [a | b], #{}, #{a => 1}, self(), closure(1)]]
        ++ [{'==', '==', Term, point(Term), point(Term)}
            || Term <- [a, <<"b">>, <<1:3>>, [], [a, <<"b">> | c], #{}, #{a => b},
                        #{a => [#{b => []}]},
                        self(), ref_once(), hd(erlang:ports()), '_']]
        ++ [{'==', '==', Term, point(Term), scan()}
            || Term <- [1, 1.5, 1 bsl 70, "string", [a | 1], [[1.0]], #{a => 1}, #{1 => a},
                        #{a => #{b => [2]}}, numbers(40), closure(1)]]
        ++ [{'>', '<', Term, range({exclusive, Term}, unbounded), scan()} || Term <- ends()]
        ++ [{'>=', '=<', Term, range({inclusive, Term}, unbounded), scan()} || Term <- ends()]
        ++ [{'<', '>', Term, range(unbounded, {exclusive, Term}), scan()} || Term <- ends()]
        ++ [{'=<', '>=', Term, range(unbounded, {inclusive, Term}), scan()} || Term <- ends()].

ends() ->
    [1, 1.5, a, '_', [], "s", [a | b], <<"b">>, bytes(5000), #{a => 1}, self(), 1 bsl 3000].

%% Expressions that are constants, and what they are.
constants_test_() ->
    [?_assertEqual({Expression, point(Term)},
                   {Expression, explain(set, '$1', [{'=:=', '$1', Expression}])})
     || {Expression, Term} <- [{{const, a}, a}, {{const, '$1'}, '$1'},
                               {{const, {a, '_'}}, {a, '_'}},
                               {{const, {const, 1}}, {const, 1}}, {{{}}, {}}, {{{a}}, {a}},
                               {{{a, {{1, b}}, [c]}}, {a, {1, b}, [c]}},
                               {{{a, {const, {b}}}}, {a, {b}}},
                               {[a, {const, '$1'}], [a, '$1']}, {[{{a}} | {{b}}], [{a} | {b}]},
                               {[[{{}}], #{}], [[{}], #{}]}, {#{a => [b, #{}]}, #{a => [b, #{}]}},
                               {'$a', '$a'}, {'$', '$'}]].

no_constants_test_() ->
    [?_assertEqual({Expression, scan(), scan()},
                   erlang:insert_element(1, both('$1', [{'=:=', '$1', Expression}]), Expression))
     || Expression <- ['$9', '$1', '$_', '$$', {'+', 1, 2}, {self}, {node}, ['$9'], [a | '$9'],
                       {{a, '$9'}}, {{a, {self}}}, #{a => '$9'}, #{a => {{1}}}, {element, 1, '$_'},
                       [{{'$$'}}]]].

%% Guards that are true of other keys as well.
no_conjuncts_test_() ->
    [?_assertEqual({Guard, scan()}, {Guard, explain(ordered_set, '$1', [Guard])})
     || Guard <- [{'orelse', {'=:=', '$1', 1}, {'=:=', '$1', 2}}, {'or', {'>', '$1', 1}, false},
                  {'not', {'<', '$1', 1}}, {'=/=', '$1', 1}, {'/=', '$1', 1},
                  {'xor', {'<', '$1', 1}, true},
                  {'=:=', '$9', 1}, {'=:=', {element, 1, '$_'}, 1}, {'=:=', {'+', '$1', 0}, 1},
                  {is_integer, '$1'}, {'=:=', {'<', '$1', 1}, false}, {'=:=', ['$1'], [1]}, true]].

intersections_test_() ->
    [?_assertEqual({Guards, Plan}, {Guards, explain(ordered_set, '$1', Guards)})
     || {Guards, Plan} <-
            [{[{'>', '$1', 1}, {'<', '$1', 9}], range({exclusive, 1}, {exclusive, 9})},
             {[{'>=', '$1', 1}, {'>', '$1', 2}, {'>', '$1', 0}], range({exclusive, 2}, unbounded)},
             {[{'>=', '$1', 1}, {'>', '$1', 1}], range({exclusive, 1}, unbounded)},
             {[{'>', '$1', 1}, {'>=', '$1', 1.0}], range({exclusive, 1.0}, unbounded)},
             {[{'=<', '$1', 5}, {'andalso', {'<', '$1', 5.0}, {'=<', '$1', 6}}],
              range(unbounded, {exclusive, 5.0})},
             {[{'>', '$1', 9}, {'<', '$1', 1}], nothing()},
             {[{'>', '$1', 1}, {'<', '$1', 1}], nothing()},
             {[{'>', '$1', 1}, {'=<', '$1', 1.0}], nothing()},
             {[{'>=', '$1', 3}, {'=<', '$1', 3.0}], point(3)},
             {[{'=:=', '$1', 3}, {'>', '$1', 2}], point(3)},
             {[{'=:=', '$1', 3}, {'>', '$1', 3}], nothing()},
             {[{'=:=', '$1', a}, {'==', '$1', b}], nothing()},
             {[{'>', '$1', {const, {a, 1}}}, {'<', '$1', {{a, 5}}}],
              range({exclusive, {a, 1}}, {exclusive, {a, 5}})}]].

several_points_in_a_set_test_() ->
    [?_assertEqual({Guards, Plan}, {Guards, explain(set, '$1', Guards)})
     || {Guards, Plan} <- [{[{'=:=', '$1', 1}, {'=:=', '$1', 1}], point(1)},
                           {[{'=:=', '$1', 1}, {'=:=', '$1', 1.0}], nothing()},
                           {[{'==', '$1', 1}, {'=:=', '$1', 1.0}], point(1.0)},
                           {[{'==', '$1', a}, {'=:=', '$1', b}], nothing()},
                           {[{'=:=', '$1', a}, {'>', '$1', b}], point(a)}]].

%% Guards on the first variable of a key, and on those before it.
parts_test_() ->
    [?_assertEqual({Key, Guards, Plan}, {Key, Guards, explain(ordered_set, Key, Guards)})
     || {Key, Guards, Plan} <-
            [{{a, '$1'}, [{'>', '$1', 5}], range({exclusive, {a, 5}}, {inclusive, {a, '_'}})},
             {{a, '$1', b}, [{'>=', '$1', 5}, {'>', 9, '$1'}],
              range({inclusive, {a, 5, '_'}}, {exclusive, {a, 9, '_'}})},
             {{'$1', '_'}, [{'=<', '$1', b}],
              range({inclusive, {'_', '_'}}, {inclusive, {b, '_'}})},
             {['$1', a], [{'>', '$1', b}], range({exclusive, [b | '_']}, {inclusive, ['_' | '_']})},
             {[a | '$1'], [{'>', '$1', "b"}, {'=<', '$1', []}], nothing()},
             {[a | '$1'], [{'>=', '$1', []}, {'<', '$1', "c"}],
              range({inclusive, [a]}, {exclusive, [a | "c"]})},
             {{{'$1'}, b}, [{'<', '$1', 1}],
              range({inclusive, {{'_'}, '_'}}, {exclusive, {{1}, '_'}})},
             {{'$1', '$2'}, [{'=:=', '$1', a}, {'>', '$2', 5}],
              range({exclusive, {a, 5}}, {inclusive, {a, '_'}})},
             {{'$1', '$2', c}, [{'==', '$1', 1}], prefix({1, '_', '_'})},
             {{'$1', '$1', '$2'}, [{'=:=', '$1', a}], prefix({a, a, '_'})},
             {{'$1', b}, [{'=:=', '$1', {{a, 1}}}], point({{a, 1}, b})},
             {[a | '$1'], [{'=:=', '$1', [b]}], point([a, b])},
             {{a, '$1'}, [{'>', '$1', 5}, {'<', '$1', 4}], nothing()},
             %% Not the next one.
             {{'_', '$1'}, [{'=:=', '$1', a}], prefix({'_', '_'})},
             {{a, #{}, '$1'}, [{'=:=', '$1', a}], prefix({a, '_', '_'})},
             %% These would stand for more in a head than they are.
             {{a, '$1'}, [{'=:=', '$1', #{}}], prefix({a, '_'})},
             {{a, '$1'}, [{'>', '$1', {const, {'$1'}}}, {'<', '$1', {const, "z"}}],
              range({inclusive, {a, '_'}}, {exclusive, {a, "z"}})},
             {{a, '$1'}, [{'=:=', '$1', '_'}], prefix({a, '_'})},
             %% Which pids are greater, their bytes do not tell.
             {{a, '$1'}, [{'>', '$1', self()}],
              range({inclusive, {a, self()}}, {inclusive, {a, '_'}})},
             {{self(), '$1'}, [{'=:=', '$1', 1}], point({self(), 1})},
             {{self(), '$1'}, [{'>', '$1', 1}],
              range({inclusive, {self(), 1}}, {inclusive, {self(), '_'}})}]].

parts_in_a_set_test_() ->
    [?_assertEqual({Key, Guards, Plan}, {Key, Guards, explain(set, Key, Guards)})
     || {Key, Guards, Plan} <-
            [{{'$1', b}, [{'=:=', '$1', 1}], point({1, b})}, {{'$1', b}, [{'==', '$1', 1}], scan()},
             {{'$1', b}, [{'==', '$1', a}], point({a, b})},
             {{'$1', '$2'}, [{'=:=', '$1', 1}], scan()}, {{'$1', b}, [{'>', '$1', 1}], scan()}]].

heads_test_() ->
    Spec = fun(Head) -> [{Head, [{'=:=', '$1', a}], ['$_']}] end,
    Table = fun(Type, KeyPos) -> {Type, KeyPos} end,
    [?_assertMatch({_, {Plan, []}}, {Head, plan(Spec(Head), Table(Type, KeyPos), infinity, [])})
     || Type <- [set, ordered_set, bag, duplicate_bag],
        {Head, KeyPos, Plan} <- [{{'$1', '_'}, 1, point(a)}, {{'_', '$1'}, 2, point(a)},
                                 {{'$1', '$1'}, 2, point(a)}, {{'$1', b}, 2, point(b)},
                                 {{'_', '$1'}, 3, nothing()}, {{}, 1, nothing()},
                                 {{'$1', '_', '$2'}, 3, scan()}, {'_', 1, scan()},
                                 {'$1', 1, scan()}]].

clauses_test_() ->
    [?_assertEqual({Clauses, Plan},
                   {Clauses, explained(Type, [clause(K, Gs) || {K, Gs} <- Clauses])})
     || {Type, Clauses, Plan} <-
            [{ordered_set, [{3, []}, {1, []}, {2, []}, {3.0, []}, {1, []}],
              #{plan => point, keys => [1, 2, 3]}},
             {set, [{b, []}, {a, []}, {b, []}], #{plan => point, keys => [a, b]}},
             {set, [{a, []}, {'$1', [{'=:=', '$1', b}]}], #{plan => point, keys => [a, b]}},
             {set, [{a, []}, {'_', []}], scan()},
             {ordered_set, [{a, []}, {'_', []}, {b, []}], scan()},
             {ordered_set, [{5, []}, {'$1', [{'>', '$1', 7}, {'<', '$1', 9}]}],
              range({inclusive, 5}, {exclusive, 9})},
             {ordered_set, [{'$1', [{'>', '$1', 7}, {'<', '$1', 9}]}, {8, []}, {9, []}],
              range({exclusive, 7}, {inclusive, 9})},
             {ordered_set, [{'$1', [{'>', '$1', 7}]}, {'$1', [{'<', '$1', 5}]}], scan()},
             {ordered_set, [{'$1', [{'>', '$1', 7}]}, {'$1', [{'>=', '$1', 7}, {'<', '$1', 8}]}],
              range({inclusive, 7}, unbounded)},
             {ordered_set, [{{b, '_'}, []}, {{a, '$1'}, [{'>', '$1', 5}]}],
              range({exclusive, {a, 5}}, {inclusive, {b, '_'}})},
             {ordered_set, [{{b, '_'}, []}, {{b, 3}, []}], prefix({b, '_'})},
             {ordered_set, [{{b, '_'}, []}, {'$1', [{'=<', '$1', {{b, 3}}}]}],
              range(unbounded, {inclusive, {b, '_'}})},
             %% Nothing is let through by one of them.
             {ordered_set, [{'$1', [{'>', '$1', 7}, {'<', '$1', 5}]}, {a, []}], point(a)},
             {set, [{'$1', [{'=:=', '$1', 7}, {'=:=', '$1', 5}]}, {a, []}], point(a)},
             {ordered_set, [{'$1', [{'>', '$1', 7}, {'<', '$1', 5}]},
                            {'$1', [{'=:=', '$1', a}, {'=:=', '$1', b}]}], nothing()},
             {ordered_set, [], nothing()}]].

%% Keys that are equal by == are several, unless by =:=.
points_of_a_set_test() ->
    Keys = [1, 1.0, {1}, {1.0}, [1, 1], [1, 1.0], [1.0, 1], [1.0, 1.0], a, self()],
    Clauses = [clause(Key, []) || Key <- Keys ++ lists:reverse(Keys)],
    #{plan := point, keys := Points} = explained(set, Clauses),
    ?assertEqual(length(Keys), length(Points)),
    [?assert(lists:any(fun(Point) -> Point =:= Key end, Points)) || Key <- Keys],
    ?assertEqual(#{plan => point, keys => [1, a, self(), {1}, [1, 1]]},
                 explained(ordered_set, Clauses)).

many_points_test() ->
    Clauses = [clause({I * 7919 rem 1000, x}, []) || I <- lists:seq(1, 1500)],
    #{plan := point, keys := Points} = explained(ordered_set, Clauses),
    ?assertEqual([{I, x} || I <- lists:seq(0, 999)], Points).

fun2ms_test() ->
    Spec = ets:fun2ms(fun({{user, Id}, N}) when Id >= 10, Id < 20, N > 0 -> N end),
    ?assertEqual(range({inclusive, {user, 10}}, {exclusive, {user, 20}}),
                 explained(ordered_set, Spec)),
    Pinned = {user, 7},
    ?assertEqual(point(Pinned), explained(set, ets:fun2ms(fun({K, V}) when K =:= Pinned -> V end))).

engine_test() ->
    Table = xets:new(t, [ordered_set]),
    [?assertMatch({Guard, #{engine := Engine}},
                  {Guard, xets:explain(Table, [clause('$1', [Guard])])})
     || {Engine, Guard} <- [{native, {'>', '$1', 5}}, {native, {'=:=', {element, 2, '$_'}, '$9'}},
                            {ets, {'=:=', '$9', {node}}}, {ets, {'=:=', '$1', {node, '$9'}}}]].

%%% What is let through

%% Of keys near an end, as the operators say.
ends_test_() ->
    [{lists:flatten(io_lib:format("~0P", [Constant, 10])),
      ?_assertEqual({Relation, [erlang:Relation(Key, Constant) || Key <- keys()]},
                    {Relation, through({ordered_set, 1},
                                       [clause('$1', [{Relation, '$1', {const, Constant}}])],
                                       keys())})}
     || Constant <- keys(), Relation <- ['>', '>=', '<', '=<', '==']].

%% The same inside of a tuple, where the ends of terms that are cut are wider.
ends_of_parts_test_() ->
    [?_assertEqual({Relation, Constant, [erlang:Relation(Key, Constant) || Key <- uncut()]},
                   {Relation, Constant,
                    through({ordered_set, 1},
                            [clause({a, '$1', '_'}, [{Relation, '$1', {const, Constant}}])],
                            [{a, Key, [b]} || Key <- uncut()])})
     || Constant <- uncut() -- ['_', '$1', #{}], Relation <- ['>', '>=', '<', '=<', '==']].

keys_of_other_shapes_test() ->
    Keys = [{a}, {a, 1}, {a, 5}, {a, 6, 1}, {a, 6}, {a, 7}, {b, 6}, {'', 6}, [a, 6],
            {a, "x"}, a, 6],
    Spec = [clause({a, '$1'}, [{'>', '$1', 5}, {'=<', '$1', 7}])],
    ?assertEqual([{a, 6}, {a, 7}], through(Spec, Keys)),
    Lists = [[], [a], [a, 1], [a, 5, x], [a, 6], [a, 6, x], [a | 6], [b, 6], {a, 6}, [a, 6 | x]],
    ?assertEqual([[a, 6], [a, 6, x], [a, 6 | x]],
                 through([clause([a, '$1' | '_'], [{'>', '$1', 5}])], Lists)).

%% Constants and prefixes of which not all is in the order bytes.
cut_test_() ->
    Long = bytes(?BYTES_MAX),
    Keys = [{a, <<Long/binary, C>>, I} || C <- [1, 2, 3], I <- [1, 2]]
        ++ [{a, <<"x">>, 1}, {b, Long, 1}],
    Constant = <<Long/binary, 2>>,
    Matching = fun(Relation) -> [K || {a, B, _} = K <- Keys, erlang:Relation(B, Constant)] end,
    Guarded = fun(Relation) -> [clause({a, '$1', '_'}, [{Relation, '$1', Constant}])] end,
    [?_assertEqual([], Matching(Relation) -- through(Guarded(Relation), Keys))
     || Relation <- ['>', '>=', '<', '=<', '==', '=:=']]
        ++ [?_assertEqual([{a, <<"x">>, 2}, {a, <<"x">>, 1}],
                          through([clause({a, <<"x">>, '_'}, [])], [{a, <<"x">>, 2} | Keys])),
            ?_assertEqual([{self(), 1}, {self(), 2}],
                          through([clause({self(), '_'}, [])],
                                  [{self(), 1}, {a, 1}, {self(), 2}, {"b", 2}]))].

through(Spec, Keys) ->
    [Key || {Key, true} <- lists:zip(Keys, through({ordered_set, 1}, Spec, Keys))].

through(Form, Spec, Keys) ->
    {_, Lies} = plan(Spec, Form, infinity, Keys),
    Lies.

keys() ->
    uncut() ++ [self(), ref_once(), closure(1), closure(1.0), #{a => 1}, #{a => 1.0},
                #{1.0 => a}, #{1 => a}, 1 bsl 3000, (1 bsl 3000) + 1, -(1 bsl 3000), bytes(5000),
                <<(bytes(5000))/binary, 1>>,
                {self(), 1}, {self(), 2}, [#{} | a], numbers(40)].

uncut() ->
    [-2, -1.0, 0, 0.0, negative_zero(), 1, 1.0, 1.5, 2, 1 bsl 70, (1 bsl 70) * 1.0, '', a, b, '_',
     '$1', {}, {a}, {1}, {1.0}, {a, 1}, {a, 1.0}, {b, 1}, {a, b, c}, #{}, [], [a], [1], [1.0],
     [a | 1], [a, b], <<>>, <<0>>, <<"a">>, <<"ab">>, <<1:1>>, bits(9), {[], {}}, [[1], 2.0]].

%%% Random specifications

%% Whatever ets lets through is planned, and what is planned is what is told.
random_test_() ->
    N = case os:getenv("XETS_PLAN_SPECS") of false -> small(5000, 300); S -> list_to_integer(S) end,
    [{timeout, 120, {atom_to_list(Type), fun() -> [random(Type, I) || I <- lists:seq(1, N)] end}}
     || Type <- [set, ordered_set]].

random(Type, Seed) ->
    rand:seed(exsss, {Seed, 5, 7}),
    KeyPos = rand:uniform(2),
    %% Where an end has the atom '_' in it, what is told does not say what that stands for.
    Keys = [Key || _ <- lists:seq(1, 30), Key <- [random_key(rand:uniform(3) - 1)],
                   Seed rem 4 =:= 0 orelse not has_any(Key)],
    Spec = [random_clause(KeyPos, Keys) || _ <- lists:seq(1, one_of([1, 1, 1, 2, 3]))],
    {Plan, Lies} = plan(Spec, {Type, KeyPos}, infinity, Keys),
    Compiled = ets:match_spec_compile(Spec),
    [begin
         Matches = ets:match_spec_run([object(KeyPos, Key)], Compiled) =/= [],
         ?assertEqual({Seed, Spec, Plan, Key, true},
                      {Seed, Spec, Plan, Key, Lets orelse not Matches}),
         %% Besides what is told, keys may be let through that are next to an end that is cut.
         Told = told(Plan, Type, Key) orelse (Lets andalso has_cut({Plan, Key})),
         ?assertEqual({Seed, Spec, Plan, Key, Told orelse Seed rem 4 =:= 0},
                      {Seed, Spec, Plan, Key, Lets orelse Seed rem 4 =:= 0})
     end || {Key, Lets} <- lists:zip(Keys, Lies)].

object(1, Key) -> {Key, 1};
object(2, Key) -> {1, Key}.

random_key(0) ->
    case rand:uniform(20) of
        1 -> bytes(4100);
        2 -> 1 bsl 2100;
        _ -> one_of([-1, 0, 0.0, 1, 1.0, 1.5, 2, 2.0, a, b, '_', '$1', [], {}, #{},
                     #{a => 1}, #{1.0 => a},
                     <<>>, <<"a">>, <<1:2>>, self(), ref_once(), closure(1)])
    end;
random_key(Depth) ->
    Less = fun() -> random_key(one_of([0, 0, Depth - 1])) end,
    case rand:uniform(8) of
        1 -> {Less()};
        N when N < 5 -> {Less(), Less()};
        5 -> {Less(), Less(), Less()};
        6 -> [Less()];
        7 -> [Less(), Less()];
        8 -> [Less() | Less()]
    end.

random_clause(KeyPos, Keys) ->
    Pattern = opened(one_of(Keys)),
    Variables = variables(Pattern),
    Guards = [random_guard(Variables, Keys, 2) || _ <- lists:seq(1, rand:uniform(3) - 1)],
    {object(KeyPos, Pattern), Guards, ['$_']}.

%% A key with variables in the place of some of its parts.
opened(Key) ->
    case rand:uniform(10) of
        1 -> '_';
        N when N < 5 -> one_of(['$1', '$2', '$3']);
        _ when is_tuple(Key) -> list_to_tuple([opened(E) || E <- tuple_to_list(Key)]);
        _ when is_list(Key), Key =/= [] -> [opened(hd(Key)) | opened(tl(Key))];
        _ -> Key
    end.

variables(T) when is_tuple(T) -> variables(tuple_to_list(T));
variables([H | T]) -> variables(H) ++ variables(T);
variables(V) when V =:= '$1'; V =:= '$2'; V =:= '$3' -> [V];
variables(_) -> [].

random_guard([], _Keys, _Depth) ->
    true;
random_guard(Variables, Keys, Depth) ->
    Less = fun() -> random_guard(Variables, Keys, Depth - 1) end,
    case rand:uniform(10) of
        1 when Depth > 0 -> {one_of(['andalso', 'and']), Less(), Less()};
        2 when Depth > 0 -> {one_of(['andalso', 'and']), Less(), Less(), Less()};
        3 when Depth > 0 -> {one_of(['orelse', 'or']), Less(), Less()};
        4 when Depth > 0 -> {'not', Less()};
        5 -> {one_of([is_integer, is_tuple, is_atom]), one_of(Variables)};
        6 -> {random_relation(), one_of(Variables), one_of(Variables)};
        _ -> random_comparison(one_of(Variables), random_part(one_of(Keys)))
    end.

random_comparison(Variable, Constant) ->
    Expression = one_of([{const, Constant}, expression(Constant)]),
    case rand:uniform(2) of
        1 -> {random_relation(), Variable, Expression};
        2 -> {random_relation(), Expression, Variable}
    end.

random_relation() ->
    one_of(['=:=', '==', '>', '>=', '<', '=<', '=/=']).

random_part(T) when is_tuple(T), T =/= {} ->
    one_of([T | tuple_to_list(T)]);
random_part([H | T] = List) ->
    one_of([List, H, T]);
random_part(T) ->
    T.

%% What a guard has to say for the term.
expression(T) when is_tuple(T) -> {list_to_tuple([expression(E) || E <- tuple_to_list(T)])};
expression([H | T]) -> [expression(H) | expression(T)];
expression('$1') -> {const, '$1'};
expression(T) -> T.

one_of(List) ->
    lists:nth(rand:uniform(length(List)), List).

%% Whether a plan, as it is told, lets a key through.
told(#{plan := scan}, _Type, _Key) -> true;
told(#{plan := nothing}, _Type, _Key) -> false;
told(#{plan := point, keys := Keys}, ordered_set, Key) -> lists:any(fun(K) -> K == Key end, Keys);
told(#{plan := point, keys := Keys}, set, Key) -> lists:any(fun(K) -> K =:= Key end, Keys);
told(#{plan := range, from := From, to := To}, ordered_set, Key) ->
    is_inside(From, 1, Key) andalso is_inside(To, -1, Key).

is_inside(unbounded, _, _Key) -> true;
is_inside({inclusive, Pattern}, Sign, Key) -> compare(Key, Pattern) * Sign >= 0;
is_inside({exclusive, Pattern}, Sign, Key) -> compare(Key, Pattern) * Sign > 0.

%% The sign of a key against a pattern; 0 from the first '_' on.
compare(Key, Pattern) ->
    try compare_part(Key, Pattern)
    catch throw:open -> 0
    end.

compare_part(_, '_') -> throw(open);
compare_part([H | T], [P | Ps]) -> sum([H, T], [P, Ps]);
compare_part(T, P) when tuple_size(T) =:= tuple_size(P) -> sum(tuple_to_list(T), tuple_to_list(P));
compare_part(T, P) when is_tuple(T), is_tuple(P) -> tuple_size(T) - tuple_size(P);
compare_part(T, P) when T < P -> -1;
compare_part(T, P) when T > P -> 1;
compare_part(_, _) -> 0.

sum([T | Ts], [P | Ps]) ->
    case compare_part(T, P) of
        0 -> sum(Ts, Ps);
        Sign -> Sign
    end;
sum([], []) -> 0.

has_any(T) when is_tuple(T) -> lists:any(fun has_any/1, tuple_to_list(T));
has_any([H | T]) -> has_any(H) orelse has_any(T);
has_any(T) -> T =:= '_'.

%% Whether a key, or an end of a range, has something in it of which not all is in order bytes.
has_cut({#{from := From, to := To}, Key}) -> has_cut([From, To, Key]);
has_cut({#{plan := _}, _Key}) -> false;
has_cut(T) when is_tuple(T) -> lists:any(fun has_cut/1, tuple_to_list(T));
has_cut([H | T]) -> has_cut(H) orelse has_cut(T);
has_cut(M) when is_map(M) -> map_size(M) > 0;
has_cut(I) when is_integer(I) -> abs(I) >= 1 bsl 2048;
has_cut(B) when is_bitstring(B) -> byte_size(B) > 4000;
has_cut(T) -> is_pid(T) orelse is_reference(T) orelse is_function(T).

%%% Errors, budgets, failing allocations

errors_test() ->
    [?assertError(badarg, xets:explain(T, Spec))
     || T <- [xets:new(t, [])],
        Spec <- [a, [a], [{}], [{a, b, c}], [{{'$1'}, [], []}], [{{'$1'}, [], ['$2']}],
                 [{{'_'}, [], [true]} | a]]],
    Table = xets:new(t, [private]),
    ?assertEqual(#{2 => <<"not a valid match specification">>}, texts(xets, explain, [Table, [a]])),
    ?assertEqual(#{1 => <<"the table identifier does not refer to an existing table">>},
                 texts(xets, explain, [no_table, [{'_', [], ['$_']}]])),
    ?assertEqual(#{1 => <<"not an atom or a table identifier">>}, texts(xets, explain, [1, []])),
    Self = self(),
    Spec = [{'_', [], ['$_']}],
    spawn_link(fun() -> Self ! {texts, texts(xets, explain, [Table, Spec])} end),
    receive
        {texts, Texts} ->
            ?assertEqual(#{1 => <<"the table identifier refers to a table with insufficient "
                                  "access rights">>}, Texts)
    end.

%% Terms that take long to go through, or to compare.
budget_test_() ->
    Long = lists:duplicate(2 * ?BUDGET, {1.0}),
    Deep = lists:foldl(fun(_, T) -> [T] end, [], lists:seq(1, 2 * ?BUDGET)),
    Wide = list_to_tuple(Long),
    [{Name, fun() ->
                    ?assertEqual(budget, plan(Spec, {Type, 1}, ?BUDGET, [])),
                    ?assertMatch({_, [Lies]}, plan(Spec, {Type, 1}, infinity, [Key])),
                    Table = xets:new(t, [Type]),
                    ?assertEqual(element(1, plan(Spec, {Type, 1}, infinity, [])),
                                 maps:remove(engine, xets:explain(Table, Spec))),
                    xets:delete(Table)
            end}
     || {Name, Type, Key, Lies, Spec} <-
            [{"key of a head", set, Long, true, [clause(Long, [])]},
             {"wide key", ordered_set, Wide, true, [clause(Wide, [])]},
             {"constant", set, [a | Long], true,
              [clause('$1', [{'==', '$1', {const, [a | Long]}}])]},
             {"deep constants", ordered_set, Deep, false,
              [clause('$1', [{'>', '$1', {const, Deep}}, {'<', '$1', {const, [b | Deep]}}])]},
             {"large bit strings", ordered_set, a, false,
              [clause(bits(8 * 64 * 2 * ?BUDGET + I), []) || I <- [1, 2]]},
             {"guards", ordered_set, 1, false,
              [clause('$1', lists:duplicate(?BUDGET, {'>', '$1', 1}))]},
             {"clauses", set, 1, true, [clause(I, []) || I <- lists:seq(1, ?BUDGET)]},
             {"points to sort", set, 1, true,
              [clause(I, []) || I <- lists:seq(1, ?BUDGET div 8)]}]].

%% Patterns and guards nested beyond all bounds are gone through without a stack, or not at all.
deep_test_() ->
    Deep = fun(F, T) -> lists:foldl(fun(_, U) -> F(U) end, T, lists:seq(1, 10000)) end,
    Planned = fun(Key, Guards) -> plan([clause(Key, Guards)], {ordered_set, 1}, infinity, []) end,
    [{Name, ?_assertEqual({Plan, []}, Planned(Key, Guards))}
     || {Name, Key, Guards, Plan} <-
            [{"and to the right", '$1',
              [Deep(fun(G) -> {'andalso', {is_atom, '$9'}, G} end, {'=:=', '$1', a})],
              point(a)},
             {"and to the left", '$1',
              [Deep(fun(G) -> {'andalso', G, {'>', '$1', a}} end, {'=:=', '$1', a})],
              range({exclusive, a}, unbounded)},
             {"key", Deep(fun(T) -> {T} end, a), [], prefix({{{{{{{{'_'}}}}}}}})}]
            ++ [{"constant", '$1', [{'=:=', '$1', Deep(fun(T) -> {{T}} end, a)}], scan()}]].

failing_allocations_test_() ->
    Long = bytes(500),
    [?_assertEqual(Plan, element(1, until_it_succeeds(Spec, 0)))
     || {Spec, Plan} <-
            [{[clause({Long, '$1'}, [{'>', '$1', Long}])],
              range({exclusive, {Long, Long}}, {inclusive, {Long, '_'}})},
             {[clause({Long, I, '_'}, []) || I <- [1, 2]], inside({Long, 1, '_'}, {Long, 2, '_'})},
             {[clause('$1', [{'>=', '$1', {{Long, 1}}}]), clause({Long, '_'}, [])],
              range({inclusive, {Long, '_'}}, unbounded)},
             {[clause(I, []) || I <- lists:seq(1, 9)], #{plan => point, keys => lists:seq(1, 9)}},
             {[clause(I, []) || I <- lists:seq(1, 9)] ++ [clause('_', [])], scan()},
             {[clause({Long, '_'}, []), clause('_', [])], scan()}]].

until_it_succeeds(Spec, N) ->
    Blocks = fail_after(N),
    Plan = plan(Spec, {ordered_set, 1}, infinity, []),
    ?assertEqual(Blocks, fail_after(-1)),
    case Plan of
        nomem -> until_it_succeeds(Spec, N + 1);
        _ when N > 0 -> Plan;
        _ -> {needs_no_memory, Plan}
    end.

%% Plans of small specifications take no memory from the allocator.
small_specifications_test() ->
    fail_after(0),
    Plans = [plan([clause(Key, Guards)], {Type, 1}, infinity, [])
             || Type <- [set, ordered_set],
                {Key, Guards} <- [{{user, 17}, []}, {'$1', [{'=:=', '$1', <<"name">>}]},
                                  {'$1', [{'>', '$1', 5}]},
                                  {{user, '$1'}, [{'>', '$1', 5}, {'<', '$1', 10}]}]],
    fail_after(-1),
    ?assertNot(lists:member(nomem, Plans)).
