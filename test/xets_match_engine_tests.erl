%% The engine for match specifications (c_src/beam/match.h) beside ets: each construct by itself,
%% and random specifications on random objects that are biased to match.
%%
%% `make fuzz` runs the random part for FUZZ_SECONDS, from a seed that it prints; XETS_TEST_SEED
%% gives one.
-module(xets_match_engine_tests).

-export([run/1]).

-include_lib("eunit/include/eunit.hrl").

-define(FORMS, [{Kind, KeyPos, Compressed} || Kind <- [set, bag, ordered_set], KeyPos <- [1, 2],
                                              Compressed <- [false, true]]).

%%% Random specifications

random_test_() ->
    {timeout, 120,
     fun() ->
             Cases = xets_test_lib:small(4000, 1000),
             {Native, Hits} = cases(1, 1, fun(I) -> I =< Cases end, {0, 0}),
             %% That most of it is about the engine, and about what matches.
             ?assert(Native > Cases div 2),
             ?assert(Hits > Cases div 4)
     end}.

%% Runs so many seconds. Returns if nothing was found.
run(Seconds) ->
    {Native, Hits} = xets_test_lib:fuzz("matching", Seconds,
                                        fun(Seed, More) -> cases(Seed, 1, More, {0, 0}) end),
    io:format("matching: ~b specifications, ~b objects matched~n", [Native, Hits]).

cases(Seed, I, More, {Native, Hits} = Sums) ->
    case More(I) of
        true ->
            {N, H} = a_case(Seed, I),
            _ = mutant(Seed, I),
            cases(Seed, I + 1, More, {Native + N, Hits + H});
        false -> Sums
    end.

%% A case is known by the two numbers.
a_case(Seed, I) ->
    rand:seed(exsss, {Seed, I, 5}),
    Objects = [xets_match_engine_gen:object() || _ <- lists:seq(1, 4)],
    Spec = xets_match_engine_gen:specification(Objects),
    Form = xets_match_engine_gen:one_of(?FORMS),
    try agree(Spec, Objects, Form)
    catch Class:Reason:Stack ->
            io:format(standard_error, "case {~b, ~b}: ~p~n~p~n~p~n",
                      [Seed, I, Form, Spec, Objects]),
            erlang:raise(Class, Reason, Stack)
    end.

%% The engine answers what ets answers, or nothing. {1 if the specification is accepted, objects
%% that match}
agree(Spec, Objects, {_, KeyPos, _} = Form) ->
    Fit = [O || O <- Objects, tuple_size(O) >= KeyPos],
    case xets_match_nif:run(Spec, Fit, Form, result, infinity) of
        rejected -> {0, 0};
        Outcomes ->
            Compiled = ets:match_spec_compile(Spec),
            Expected = [by_ets(O, Compiled) || O <- Fit],
            Known = [{E, O} || {E, O} <- lists:zip(Expected, Outcomes), O =/= other],
            [?assertEqual(exactly(E), exactly(O)) || {E, O} <- Known],
            Counted = xets_match_nif:run(Spec, Fit, Form, true, infinity),
            [?assertEqual(counted(E), C) || {E, C} <- lists:zip(Expected, Counted), C =/= other],
            {1, length([E || {{yes, _} = E, _} <- Known])}
    end.

by_ets(Object, Compiled) ->
    case ets:match_spec_run([Object], Compiled) of
        [] -> no;
        [Result] -> {yes, Result}
    end.

counted({yes, true}) -> yes;
counted(_) -> no.

%% Signs of zeros included, which =:= may not see.
exactly(Outcome) -> {Outcome, term_to_binary(Outcome)}.

%%% Each construct: done natively, as ets does it, for objects that match and others

-define(OBJECTS, [{1, 2}, {2, 2}, {1.0, 2.0}, {a, b}, {a, a}, {{a, 1}, [1, 2]},
                  {[1, 2 | c], {a, 1}},
                  {{x, {y, 2}}, #{a => 1, b => {c, 2}}}, {<<"key">>, <<"value">>}, {#{}, #{a => 1}},
                  {1, #{<<"k">> => 1, a => 2.5, {t} => [x]}}, {"list", [{a, 1}, {b, 2}]},
                  {1 bsl 70, -(1 bsl 70)}, {1, 2, 3}, {7, {7}, {7, [7]}}, {<<1:3>>, <<2:9>>},
                  {k, binary:copy(<<"v">>, 100)}, {self(), make_ref()}, {fun lists:map/2, []},
                  {0.0, xets_terms:negative_zero()}, {xets_terms:negative_zero(), 0.0},
                  {true, false},
                  {{}, {}}, {-5, 5}, {1, lists:seq(1, 40)}, {1, [[] | 1]}, {3, 2.5}, {b, -1.5}]).

heads_test_() ->
    natively([{Head, [], ['$_', '$$']} ||
                 Head <- ['_', '$1', '$0', {'_', '_'}, {'$1', '_'}, {'$1', '$2'}, {'$1', '$1'},
                          {1, '_'},
                          {'_', 2}, {'$2', 2.0}, {'_', b}, {'$1', <<"value">>},
                          {'_', 0.0}, {xets_terms:negative_zero(), '_'}, {0.0, '$1'},
                          {'_', binary:copy(<<"v">>, 100)}, {'_', <<2:9>>}, {'_', -(1 bsl 70)},
                          {{'$1', '$2'}, '_'}, {{a, '$1'}, '_'}, {{'_', {'_', '$2'}}, '$1'},
                          {'$1', {'$1'}, {'$1', ['$1']}}, {'_', ['$1', '$2']}, {'_', ['$1' | '$2']},
                          {'_', [1 | '_']}, {['$1', '$2' | c], '_'}, {['$1' | '$2'], {'$3', '_'}},
                          {'_', [{a, '$1'} | '$2']}, {'_', [[] | '$1']}, {'_', [[] | 1]}, {'_', []},
                          {'_', #{}}, {'_', #{a => '$1'}}, {'_', #{b => {'$1', 2}, a => '$2'}},
                          {'_', #{<<"k">> => '$1'}}, {'_', #{{t} => ['$1']}}, {#{}, #{a => 1}},
                          {'$1', '$2', '$3'}, {{}, '$1'}, {fun lists:map/2, '$1'},
                          {'$300', '$20'}, {'$17', '$17'}, {self(), '$1'}]]).

guards_test_() ->
    natively([{{'$1', '$2'}, [Guard], ['$1']} || Guard <- guards()]).

guards() ->
    [{Compare, A, B} || Compare <- ['>', '>=', '<', '=<', '==', '/=', '=:=', '=/='],
                        {A, B} <- [{'$1', 1}, {1, '$2'}, {'$1', '$2'}, {'$2', 2.0}, {'$1', a},
                                   {'$1', {const, {a, 1}}}, {'$2', <<"value">>}, {'$2', 1 bsl 65},
                                   {'$1', []}, {'$1', {{a, '$2'}}}, {'$_', {{1, '$2'}}}]]
        ++ [{Is, V} || V <- ['$1', '$2'],
                       Is <- [is_atom, is_float, is_integer, is_list, is_number, is_pid, is_port,
                              is_reference, is_tuple, is_map, is_binary, is_function]]
        ++ [{'is_tuple', '$_'}, {'not', {is_atom, '$1'}}, {'not', '$1'}, {'xor', '$1', true},
            {'and', {is_list, '$1'}, {'>', {length, '$2'}, 1}}, {'and', '$1', '$2'},
            {'or', '$1', '$2'}, {'or', {is_atom, '$1'}, {is_tuple, '$1'}},
            {'andalso', {is_list, '$2'}, {'>', {length, '$2'}, 1}},
            {'orelse', {is_atom, '$1'}, {'>', {size, '$1'}, 1}}, {'orelse', '$1', '$2'},
            {'andalso', true, '$1'}, {'andalso', '$1'}, {'orelse', false, false, '$1'},
            {'==', {element, 1, '$1'}, a}, {'==', {element, 2, '$_'}, 2},
            {'==', {element, '$1', '$_'}, 2}, {is_record, '$1', a, 2}, {is_record, '$_', a, 2},
            {'==', {hd, '$2'}, 1}, {'==', {tl, '$2'}, [2]}, {'==', {hd, '$1'}, $l},
            {'==', {length, '$2'}, 2}, {'==', {size, '$1'}, 2}, {'==', {size, '$2'}, 5},
            {'==', {byte_size, '$2'}, 5}, {'==', {bit_size, '$2'}, 9}, {'==', {size, '$2'}, 1},
            {'==', {map_size, '$2'}, 2}, {'==', {map_get, a, '$2'}, 1},
            {'==', {map_get, b, '$2'}, {{c, 2}}}, {is_map_key, <<"k">>, '$2'},
            {is_map_key, {const, {t}}, '$2'}, {'==', {abs, '$1'}, 5}, {'==', {abs, '$2'}, 1.5},
            {'==', {round, '$2'}, 3}, {'==', {round, '$2'}, -2}, {'==', {trunc, '$2'}, 2},
            {'=:=', {float, '$2'}, 2.0}, {'==', {'-', '$1'}, 5}, {'==', {'+', '$1'}, -5},
            {'==', {'+', '$1', '$2'}, 4}, {'=:=', {'+', '$1', 0.5}, 1.5},
            {'==', {'-', '$1', '$2'}, -1}, {'==', {'*', '$1', '$2'}, 4},
            {'==', {'/', 4, '$2'}, 2.0},
            {'==', {'div', 5, '$2'}, 2}, {'==', {'rem', '$1', 2}, -1}, {'==', {'band', '$1', 3}, 2},
            {'==', {'bor', '$1', 2}, 3}, {'==', {'bxor', '$1', 2}, 3}, {'==', {'bnot', '$1'}, 4},
            {'==', {'bsl', '$1', '$2'}, 4}, {'==', {'bsr', 8, '$2'}, 2}, {'==', {'bsl', 8, -2}, 2},
            {'==', '$$', {const, [1, 2]}}, {'==', ['$1' | '$2'], [a | b]},
            {'==', #{a => '$1'}, #{a => 1}}, {'==', '$2', #{a => 1, b => {{c, 2}}}},
            {'==', {self}, '$1'}].

bodies_test_() ->
    natively([{{'$1', '$2'}, [], [Body]} ||
                 Body <- ['$_', '$$', '$1', true, {const, {'$1', b}}, 1.5, [], {{}},
                          {{'$1', '$2', x}},
                          {{'$2', {{'$1', ['$2']}}}}, ['$1', '$2'], ['$1' | '$2'], [a, {{b}}],
                          [a | '$2'], #{a => '$1', 1 => '$2'}, #{}, #{a => [1, {{2}}]}, {self},
                          {element, 1, '$2'}, {hd, '$2'}, {tl, '$2'}, {map_get, b, '$2'},
                          {'+', '$1', 1}, {'+', '$2', 0.5}, {'>', '$1', '$2'},
                          {is_atom, {hd, '$1'}},
                          {'and', '$1', '$2'}, {'or', '$1', true}, {'orelse', '$1', true},
                          {'andalso', '$1', '$2'}, {{{hd, '$2'}, {'not', '$1'}}},
                          {length, {tl, '$2'}}, {{'$2', '$2', {hd, '$2'}}}]])
        ++ natively([{{'$1', '_'}, [], [{hd, '$1'}, {{'$1'}}, {const, '$1'}]}]).

%% Comparisons of small integers, at the ends of their range.
small_integers_test() ->
    Integers = [-(1 bsl 59), -(1 bsl 59) + 1, -1, 0, 1, 255, (1 bsl 59) - 2, (1 bsl 59) - 1],
    Objects = [{K, V} || K <- [1, a], V <- Integers ++ [a, [], 1 bsl 59, -(1 bsl 59) - 1, 0.0, 1.0]],
    [?assertMatch({1, _}, agree([{{'$1', '$2'}, Guards, [Body]}], Objects, Form)) ||
        Compare <- ['>', '>=', '<', '=<', '==', '/=', '=:=', '=/='], I <- Integers,
        Guards <- [[{Compare, '$2', I}], [{Compare, I, '$2'}], [{Compare, '$2', I}, {'>', '$1', 0}],
                   [{'andalso', {Compare, '$2', I}, {'<', '$2', 1}}]],
        Body <- [true, '$_'], Form <- ?FORMS].

clauses_test_() ->
    {"the first clause that matches counts",
     fun() ->
             native([{{'$1', 2}, [{'>', '$1', 1}], [first]}, {{'$1', '$1'}, [], ['$$']},
                     {{'_', '$1'}, [{is_map, '$1'}], [{{third, '$1'}}]},
                     {{'_', '_', '_'}, [], [false]},
                     {{'$2', ['$1' | '_']}, [], ['$$']}])
     end}.

natively(Clauses) ->
    [{lists:flatten(io_lib:format("~0tp", [Clause])), fun() -> native([Clause]) end} ||
        Clause <- Clauses].

%% Accepted, and answered for all objects in all forms.
native(Spec) ->
    lists:foreach(
      fun({_, KeyPos, _} = Form) ->
              Fit = [O || O <- ?OBJECTS, tuple_size(O) >= KeyPos],
              Outcomes = xets_match_nif:run(Spec, Fit, Form, result, infinity),
              ?assertEqual([], [O || {other, O} <- lists:zip(Outcomes, Fit), not is_for_ets(O)]),
              ?assertMatch({1, _}, agree(Spec, Fit, Form))
      end, ?FORMS).

%% Large integers, and zeros of which the sign may be asked.
is_for_ets(Object) ->
    lists:any(fun(E) when is_integer(E) -> abs(E) > 1 bsl 59;
                 (E) -> is_float(E) andalso E == 0
              end, tuple_to_list(Object)).

%%% What is left to ets

left_test_() ->
    [{lists:flatten(io_lib:format("~0tp", [Spec])),
      fun() ->
              ?assertEqual(Valid, is_reference(catch ets:match_spec_compile(Spec))),
              Outcome = xets_match_nif:run(Spec, [{1, 2}], {set, 1, false}, true, infinity),
              ?assertEqual(rejected, Outcome)
      end} || {Valid, Specs} <- [{true, rare()}, {false, wrong()}], Spec <- Specs].

rare() ->
    [[{{'$1', '_'}, [{'==', {node, '$1'}, {node}}], ['$_']}],
     [{'_', [], [{binary_part, <<"abc">>, 1, 1}]}],
     [{{'$1', '_'}, [], [nested(65)]}], [{{'$1', '_'}, [nested(70)], [true]}],
     [{{'$30', '_'}, [], [{const, '$30'}]}], %% ets gives {const, '$0'}
     [{'_', [], [maps:from_list([{I, '$_'} || I <- lists:seq(1, 33)])]}],
     [{'_', [], [{const, lists:seq(1, 5000)}]}],
     [{'_', [{'=/=', '$_', {const, lists:seq(N, N + 1000)}} || N <- [1, 2, 3]], [true]}],
     [{'_', [], lists:duplicate(5000, true)}], [{'_', [], [tree(5, 8)]}],
     [{{'_', #{lists:seq(1, 5000) => '_'}}, [], [true]}],
     [{'_', [], [true]} || _ <- lists:seq(1, 513)],
     [{list_to_tuple(lists:duplicate(5000, '_')), [], [true]}],
     [{list_to_tuple([list_to_atom([$$ | integer_to_list(I)]) || I <- lists:seq(1, 129)]), [],
       [true]}]].

nested(0) -> '$1';
nested(N) -> {{nested(N - 1)}}.

%% It has Width to the power of Depth leaves.
tree(0, _Width) -> a;
tree(Depth, Width) -> lists:duplicate(Width, tree(Depth - 1, Width)).

wrong() ->
    [[], x, [x], [{'_', []}], [{'_', [], []}], [{'_', [], true}], [{'_', true, [true]}],
     [{'_', [true | true], [true]}], [{'_', [], [true | true]}], [{'_', [], ['$1']}],
     [{{'$1'}, [], ['$2']}], [{{'$1'}, [], ['$2', '$1']}], [{'_', [], [{}]}], [{'_', [], [{1}]}],
     [{'_', [], [{'$_'}]}], [{'_', [], [{no_such_function, 1}]}], [{'_', [], [{hd}]}],
     [{'_', [], [{self, 1}]}], [{'_', [], [{const}]}], [{'_', [], [{const, 1, 2}]}],
     [{'_', [], [{'and'}]}], [{'_', [], [{'orelse'}]}], [{{#{'$1' => 1}}, [], [true]}],
     [{{#{'_' => 1}}, [], [true]}], [{'_', [], [true]} | x],
     [{{'$1'}, [{'>', '$01', 1}, '$7'], [1]}]].

%% Arithmetic beyond small integers. Nothing else is.
large_test_() ->
    Large = (1 bsl 59) - 1,
    [{lists:flatten(io_lib:format("~0tp", [Body])),
      ?_assertEqual([other], xets_match_nif:run([{{'$1', '$2'}, [], [Body]}], [{Large, 1 bsl 60}],
                                                {set, 1, false}, result, infinity))} ||
        Body <- [{'+', '$1', 1}, {'*', '$1', '$1'}, {'-', {'-', '$1'}, 2}, {'bsl', '$1', 1},
                 {'+', '$2', 1}, {'bnot', '$2'}, {abs, '$2'}, {'bsl', 1, 100}, {round, 1.0e20},
                 {'div', '$2', 1}, {'/', '$2', 2}]].

deep_test_() ->
    Deep = fun(Leaf) -> lists:foldl(fun(I, T) when I rem 2 =:= 0 -> {T}; (_, T) -> [T, T] end, Leaf,
                                    lists:seq(1, 12)) end,
    Long = fun(Leaf) -> lists:foldl(fun(_, T) -> {a, T} end, Leaf, lists:seq(1, 2000)) end,
    [{"patterns of any depth",
      fun() ->
              native([{{'_', Deep('$1')}, [], ['$1']}]),
              [?assertMatch({1, 1}, agree([{{'$2', F('$1')}, [], ['$$']}], [{1, F(x)}], Form))
               || F <- [Deep, Long], Form <- ?FORMS]
      end}].

%% Keys of ordered tables are not stored as nodes: all their forms come back as they were.
keys_test() ->
    Integers = [Sign * (1 bsl E + D) || E <- lists:seq(0, 70), D <- [-1, 0, 1], Sign <- [1, -1]],
    Atoms = [a, '', '\0', 'a\0\1b', list_to_atom([16#17e, 16#1f600]),
             list_to_atom(lists:duplicate(255, $x))],
    Binaries = [<<>>, <<"key">>, <<0>>, <<"a", 0, "b">>, <<"ab", 0>>, <<255>>, <<1:1>>, <<0:9>>]
        ++ [xets_terms:bytes(N) || N <- [63, 64, 65, 66, 200]],
    Floats = [0.0, xets_terms:negative_zero(), 1.0, 1.5, -2.0, 1.0e18, 5.0e-324],
    Words = Integers ++ Atoms,
    Tuples = [{}, {a}, {a, 1}, {1, a}, {a, b, 1, c}, {a, 1.0}, {1.0, a}, {a, 1, 1.0}, {1, 1.5},
              {{a}, 1},
              {a, <<"b">>}, {a, []}, list_to_tuple(lists:seq(1, 8)), list_to_tuple(lists:seq(1, 9)),
              list_to_tuple(lists:duplicate(100, a))]
        ++ [{W, V} || {W, V} <- lists:zip(Words, tl(Words) ++ [a])],
    [begin
         Objects = [{K, K}],
         Constant = {const, K},
         [?assertEqual({1, 1}, agree(Spec, Objects, Form)) ||
             Spec <- [[{{'$1', '$2'}, [], [{{'$1', '$_', '$2'}}]}], [{{K, '$1'}, [], ['$$']}],
                      [{{'$1', '$1'}, [], ['$_']}],
                      [{{'$1', '_'}, [{'=:=', '$1', Constant}], ['$_']}],
                      [{{'$1', '$2'}, [{'==', '$1', '$2'}, {'>=', '$1', Constant}], ['$1']}],
                      [{'_', [], [{'=:=', {element, 1, '$_'}, {element, 2, '$_'}}]}]],
             Form <- [{ordered_set, 1, false}, {ordered_set, 2, true}, {set, 1, false}]]
     end || K <- Words ++ Binaries ++ Floats ++ Tuples ++ [[], [a | 1], #{a => 1}, self()]].

%% Many objects, the keys of which are decoded to be looked at.
sequence_test() ->
    Objects = [{{a, I, "key"}, I} || I <- lists:seq(1, 5000)],
    Expected = [case I rem 2 of 0 -> {yes, {{a, I, "key"}}}; 1 -> no end || {_, I} <- Objects],
    [?assertEqual(Expected,
                  xets_match_nif:run([{{'$1', '_'}, [{'==', {'rem', {element, 2, '$1'}, 2}, 0}],
                                       [{{'$1'}}]}], Objects, Form, result, infinity))
     || {_, 1, _} = Form <- ?FORMS].

%%% Budgets and memory

budget_test_() ->
    {timeout, 60,
     {"a run ends as it should, or says that it takes too long",
      fun() ->
              Object = {lists:seq(1, 300), {x, #{a => "text", {b} => [{c}]}},
                        binary:copy(<<"y">>, 300)},
              [begin
                   [Expected] = xets_match_nif:run(Spec, [Object], Form, result, infinity),
                   Outcomes = [xets_match_nif:run(Spec, [Object], Form, result, Budget) ||
                                  Budget <- lists:seq(0, 60) ++ lists:seq(100, 20000, 400)],
                   ?assertEqual([[budget]], lists:usort(lists:droplast(Outcomes)) -- [[Expected]]),
                   ?assertEqual([Expected], lists:last(Outcomes))
               end || Spec <- [[{'_', [], ['$_']}],
                               [{{'$1', {x, #{a => '$2'}}, '_'}, [{'>', {length, {tl, '$1'}}, 1}],
                                 [{{'$1', '$2'}}]}],
                               [{{'_', {'$1', #{{b} => [{'$2'}]}}, '$3'}, [{'<', {{'$2'}}, '$3'}],
                                 [[['$1' | '$2'], '$3']]}]],
                      Form <- ?FORMS]
      end}}.

%% What a normal scheduler may do ends long before the objects do.
work_test_() ->
    Large = lists:duplicate(1500, a),
    Small = lists:duplicate(700, a),
    Equal = [{1, lists:seq(1, 20000), lists:seq(1, 20000)}],
    Bits = <<0:8000, 1:1>>,
    [{Name, ?_assertEqual([Expected, budget], [hd(Outcomes), lists:last(Outcomes)])} ||
        {Name, Expected, Spec, Objects} <-
            [{"clauses", no, [{{'_', I}, [], [true]} || I <- lists:seq(1, 400)], flat()},
             {"guards", no, [{{'$1', '_'}, [{'>', '$1', -I} || I <- lists:seq(0, 400)] ++ [false],
                              [true]}], flat()},
             {"comparisons", no, [{{'$1', '_'}, [{'>', '$1', {const, {I}}}], [true]} ||
                                     I <- lists:seq(1, 200)], flat()},
             {"copies of constants", no,
              [{{'$1', '_'}, [{'==', {{'$1', {const, Large}}}, 1}], [true]}], flat()},
             {"equal constants", yes,
              [{'_', [{'==', {const, Small}, {const, Small}}], [true]}], flat()},
             {"equal elements", yes, [{{'_', '$1', '$1'}, [], [true]}],
              lists:append(lists:duplicate(1000, Equal))},
             {"bit strings of any size", budget,
              [{{'$1', '_'}, [{'==', {bit_size, Bits}, 1}], [true]}], flat()}],
        Outcomes <- [xets_match_nif:run(Spec, Objects, {set, 1, false}, true, 65536)]].

flat() ->
    [{I, a} || I <- lists:seq(1, 2000)].

%% Allocation by allocation. Environments of the emulator's are not among them.
memory_test() ->
    Object = {{a, 1.5, lists:seq(1, 300)}, lists:duplicate(300, {x}), #{a => <<1:9>>}},
    Specs = [[{{'$1', '$2', '_'}, [{'==', '$1', {{a, 1.5, '$3'}}}], [{{'$2', '$1'}}]} ||
                 _ <- lists:seq(1, 6)],
             [{{'$1', '$2', '$3'}, [{'=/=', '$2', '$1'}], ['$_']}],
             [{{'$1', '$2', #{a => '$4'}}, [{'<', {tl, '$2'}, {{'$4'}}}], ['$$']} ||
                 _ <- lists:seq(1, 90)]],
    Blocks = xets_match_nif:fail_after(-1),
    [begin
         Expected = xets_match_nif:run(Spec, [Object], Form, result, infinity),
         failing(0, Spec, Object, Form, Expected),
         ?assertEqual(Blocks, xets_match_nif:fail_after(-1))
     end || Spec <- Specs, Form <- ?FORMS].

failing(N, Spec, Object, Form, Expected) ->
    xets_match_nif:fail_after(N),
    Outcome = xets_match_nif:run(Spec, [Object], Form, result, infinity),
    xets_match_nif:fail_after(-1),
    case Outcome of
        Expected -> N;
        _ ->
            ?assert(lists:member(Outcome, [nomem, [nomem]])),
            failing(N + 1, Spec, Object, Form, Expected)
    end.

%%% Any term as a specification

mutants_test_() ->
    {timeout, 120,
     fun() ->
             Cases = xets_test_lib:small(6000, 1500),
             Accepted = lists:sum([mutant(1, I) || I <- lists:seq(1, Cases)]),
             ?assert(Accepted > Cases div 20),
             ?assert(Accepted < Cases div 2)
     end}.

%% Whatever is accepted, ets accepts, and answers the same. (What is not accepted is not given to
%% ets: there are terms at which its compiler ends the emulator.)
mutant(Seed, I) ->
    rand:seed(exsss, {Seed, I, 6}),
    Objects = [xets_match_engine_gen:object() || _ <- lists:seq(1, 3)],
    Spec = xets_match_engine_gen:mutated(xets_match_engine_gen:specification(Objects)),
    Form = xets_match_engine_gen:one_of(?FORMS),
    try
        {Accepted, _} = agree(Spec, Objects, Form),
        Accepted
    catch Class:Reason:Stack ->
            io:format(standard_error, "mutant {~b, ~b}: ~p~n~p~n~p~n",
                      [Seed, I, Form, Spec, Objects]),
            erlang:raise(Class, Reason, Stack)
    end.
