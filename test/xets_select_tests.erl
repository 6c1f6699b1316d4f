%% Calls that are given match specifications: pages, the ends of tables, rights, tables that go, and
%% processes that are killed. Beside ets, where ets has them.
%%
%% Random specifications on random tables are in xets_match_tests.
-module(xets_select_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [both/1, outcome/1, actor/0, run/2, call/4, stop/1, kill/1, eventually/1,
                        settled/0, small/2]).

-define(ALL, [{'_', [], ['$_']}]).
%% What no program of ours is made of, and is true: ets matches it.
-define(TRUE, {is_atom, {node}}).
-define(RARE, [{'_', [?TRUE], ['$_']}]).
-define(RARE_TRUE, [{'_', [], [?TRUE]}]).

types() -> [set, ordered_set, bag, duplicate_bag].

%%% All four types

%% Each call makes of both tables the same.
calls_test_() ->
    [{lists:flatten(io_lib:format("~p of ~p ~p", [Function, N, Type])),
      fun() -> same_calls(Function, Type, N) end}
     || Function <- [select, select_reverse, select_count, select_delete, select_replace, match,
                     match_object, match_delete],
        Type <- types(),
        N <- [0, 1, 12, 700]].

same_calls(Function, Type, N) ->
    [begin
         E = filled(ets, Type, N),
         X = filled(xets, Type, N),
         Expected = outcome(fun() -> ets:Function(E, Arg) end),
         ?assertEqual({Arg, in_order(Type, Expected)},
                      {Arg, in_order(Type, outcome(fun() -> xets:Function(X, Arg) end))}),
         ?assertEqual({Arg, lists:sort(ets:tab2list(E))}, {Arg, lists:sort(xets:tab2list(X))}),
         ets:delete(E),
         xets:delete(X)
     end || Arg <- args(Function)].

args(Match) when Match =:= match; Match =:= match_object; Match =:= match_delete ->
    ['_', '$1', '$3', {'$2', '$1'}, {'$1', '$1'}, {3, '_'}, {3.0, '_'}, {{'$1', 7}, '_'},
     {{tuple, '$7'}, '$3'}, {'_', '_', '_'}, {}, 17, foo, [a], #{}, {'_', #{}}];
args(_) ->
    specs() ++ lists:map(fun rare/1, specs()) ++
        [[], foo, [foo], [{foo, [], ['$_']}], [{'_', [], ['$_']} | foo], [{{'_', '_'}, [], []}],
         [{{'_', '_'}, [], ['$1']}], [{'_', [{foo}], [true]}]].

%% The same for ets.
rare(Spec) ->
    [{Head, [?TRUE | Guards], Body} || {Head, Guards, Body} <- Spec].

%% This is what the two ways are.
ways_test() ->
    T = xets:new(table, []),
    [?assertEqual([], xets:scan_nif(T, Spec, 0, infinity, start)) || Spec <- specs()],
    [?assertEqual(other, xets:scan_nif(T, rare(Spec), 0, infinity, start)) || Spec <- specs()],
    xets:delete(T).

specs() ->
    [?ALL, [{'_', [], [true]}], [{{'$1', '$2'}, [], [{{'$1', {'+', '$2', 1}}}]}],
     [{{'$1', '$2'}, [{'>', '$2', 2}], ['$1']}],
     [{{'$1', '$2'}, [{'>', '$1', 2}, {'=<', '$1', 9}], [true]}],
     [{{'$1', '_'}, [{'=:=', '$1', 4}], [true]}],
     [{{'$1', '_'}, [{'orelse', {'==', '$1', 4.0}, {'==', '$1', {{tuple, 5}}}}], ['$_']}],
     [{{3, '_'}, [], [true]}, {{{tuple, 4}, '$1'}, [], [true]}],
     [{{7, '$1'}, [], [{{7, {'*', '$1', 1 bsl 70}}}]}],
     [{{'$1', '$2'}, [], [{{'$1', [{{'$2', '$$'}}], '$_'}}]}],
     [{{'$1', '$2'}, [{'<', {'hd', '$2'}, 2}], [true]}, {{{tuple, '$1'}, '_'}, [], [true]}],
     [{'_', [], [{hd, '$_'}]}], [{{'$1', '$2'}, [], [{{'$2', '$1'}}]}]].

%% Keys are integers, a float and tuples. In a bag some have several objects.
filled(Module, Type, N) ->
    T = Module:new(table, [Type, public]),
    [Module:insert(T, Object) || Object <- objects(N)],
    T.

objects(N) ->
    [{I, I rem 7} || I <- lists:seq(1, N)] ++ [{{tuple, I}, I} || I <- lists:seq(1, N, 3)] ++
        [{4, many} || N > 1] ++ [{2.0, float} || N > 1] ++ [{I, I rem 5} || I <- lists:seq(1, N)].

%% Tables other than an ordered_set have an order of their own.
in_order(ordered_set, Outcome) -> Outcome;
in_order(_, {value, List}) when is_list(List) -> {value, lists:sort(List)};
in_order(_, Outcome) -> Outcome.

%% Objects of a key come in the order of insertion where it is looked for.
order_of_a_group_test() ->
    T = xets:new(table, [bag]),
    Group = [{key, I} || I <- [5, 3, 9, 1, 7, 2]],
    [xets:insert(T, [Object, {I, I}]) || {_, I} = Object <- Group],
    ?assertEqual(Group, xets:select(T, [{{key, '_'}, [], ['$_']}])),
    ?assertEqual([[5], [3], [9], [1], [7], [2]], xets:match(T, {key, '$1'})),
    {Page, Continuation} = xets:match_object(T, {key, '_'}, 4),
    ?assertEqual({lists:nthtail(4, Group), '$end_of_table'}, xets:match_object(Continuation)),
    ?assertEqual(lists:sublist(Group, 4), Page),
    xets:delete(T).

%%% Pages

%% In an ordered_set page by page as ets has it; elsewhere the same objects, and full pages.
pages_test_() ->
    [{lists:flatten(io_lib:format("~p of ~p ~p", [Function, N, Type])),
      fun() -> same_pages(Function, Type, N) end}
     || Function <- [select, select_reverse], Type <- types(), N <- [0, 1, 12, 700]].

same_pages(Function, Type, N) ->
    E = filled(ets, Type, N),
    X = filled(xets, Type, N),
    [begin
         Expected = pages(ets, Function, ets:Function(E, Spec, Limit)),
         Pages = pages(xets, Function, xets:Function(X, Spec, Limit)),
         case Type of
             ordered_set ->
                 ?assertEqual({Spec, Limit, Expected}, {Spec, Limit, Pages});
             _ ->
                 are_full(Limit, Pages),
                 ?assertEqual({Spec, objects_of(Expected)}, {Spec, objects_of(Pages)})
         end
     end || Spec <- specs() ++ lists:map(fun rare/1, specs()) ++ [[]],
            Limit <- [1, 2, 3, 10, 100000],
            N < 100 orelse Limit > 2],
    ets:delete(E),
    xets:delete(X).

pages(_Module, _Function, '$end_of_table') -> ['$end_of_table'];
pages(_Module, _Function, {Page, '$end_of_table'}) -> [Page, at_once];
pages(Module, Function, {Page, C}) -> [Page | pages(Module, Function, Module:Function(C))].

objects_of(Pages) -> lists:sort(lists:append([Page || Page <- Pages, is_list(Page)])).

are_full(_Limit, [Last, at_once]) -> ?assertNotEqual([], Last);
are_full(_Limit, ['$end_of_table']) -> ok;
are_full(Limit, [Page | Pages]) ->
    ?assertEqual(Limit, length(Page)),
    are_full(Limit, Pages).

%% ets knows the end only where all heads name one key.
end_of_an_ordered_table_test_() ->
    both(fun(Module) ->
                 T = Module:new(table, [ordered_set]),
                 Module:insert(T, [{I, I} || I <- lists:seq(1, 5)]),
                 Select = fun(Spec, Limit) -> Module:select(T, Spec, Limit) end,
                 Ends = fun({Page, C}) -> {Page, C =:= '$end_of_table'} end,
                 ?assertEqual({[{5, 5}], true}, Ends(Select([{{5, '_'}, [], ['$_']}], 1))),
                 ?assertEqual({[{2, 2}], true},
                              Ends(Select([{{2, x}, [], ['$_']}, {{2, '_'}, [], ['$_']}], 1))),
                 ?assertEqual({[{2, 2}, {5, 5}], false},
                              Ends(Select([{{5, '_'}, [], ['$_']}, {{2, '_'}, [], ['$_']}], 2))),
                 ?assertEqual({[{5, 5}], false},
                              Ends(Select([{{'$1', '_'}, [{'=:=', '$1', 5}], ['$_']}], 1))),
                 ?assertEqual({[{5, 5}], true},
                              Ends(Select([{{'$1', '_'}, [{'=:=', '$1', 5}], ['$_']}], 2))),
                 ?assertMatch({_, false}, Ends(Select(?ALL, 5))),
                 {_, C} = Select(?ALL, 5),
                 ?assertEqual('$end_of_table', Module:select(C)),
                 ?assertMatch({_, true}, Ends(Select(?ALL, 6))),
                 Module:delete(T)
         end).

%% A continuation goes on as it was begun, whichever function is called, and more than once.
continuations_are_interchangeable_test_() ->
    both(fun(Module) ->
                 T = filled(Module, ordered_set, 20),
                 Goes = [select, select_reverse, match, match_object],
                 [begin
                      {_, C} = Begin(),
                      [Next] = lists:usort([page(Module:Function(C))
                                            || Function <- Goes ++ Goes]),
                      ?assertEqual(3, length(Next))
                  end || Begin <- [fun() -> Module:select(T, ?ALL, 3) end,
                                   fun() -> Module:select_reverse(T, ?ALL, 3) end,
                                   fun() -> Module:match(T, {'$1', '_'}, 3) end,
                                   fun() -> Module:match_object(T, {'_', '_'}, 3) end]],
                 [?assertEqual('$end_of_table', Module:Function('$end_of_table'))
                  || Function <- Goes],
                 Module:delete(T)
         end).

page({Page, _}) -> Page.

%% What is deleted is not met any more, what is inserted behind the position is, whatever becomes of
%% the segments.
continuation_while_the_table_changes_test_() ->
    [{atom_to_list(Type), {timeout, 60, fun() -> changing(Type) end}} || Type <- types()].

changing(Type) ->
    N = small(20000, 4000),
    T = xets:new(table, [Type, public]),
    xets:insert(T, [{I, stays} || I <- lists:seq(1, N, 2)]),
    xets:insert(T, [{I, goes} || I <- lists:seq(2, N, 2)]),
    {Page, C} = xets:select(T, [{{'$1', '$2'}, [], [{{'$1', '$2'}}]}], 100),
    xets:match_delete(T, {'_', goes}),
    xets:insert(T, [{{new, I}, new} || I <- lists:seq(1, N)]),
    All = lists:append([P || P <- [Page | pages(xets, select, xets:select(C))], is_list(P)]),
    Stay = [I || {I, stays} <- All],
    ?assertEqual(lists:seq(1, N, 2), lists:sort(Stay)),
    ?assertEqual(length(All), length(lists:usort(All))),
    Type =:= ordered_set andalso ?assertEqual(N, length([I || {{new, I}, new} <- All])),
    xets:delete(T).

%% It holds the identifier, survives term_to_binary/1, and is for any process that may read.
continuation_outlives_names_test_() ->
    [{atom_to_list(Type), fun() -> outlives_names(Type) end} || Type <- types()].

outlives_names(Type) ->
    T = xets:new(xets_select_name, [Type, named_table]),
    xets:insert(T, [{I, I} || I <- lists:seq(1, 50)]),
    {Page, C} = xets:select(T, ?ALL, 20),
    xets:rename(T, xets_select_other_name),
    Rest = lists:append([P || P <- pages(xets, select, xets:select(C)), is_list(P)]),
    ?assertEqual([{I, I} || I <- lists:seq(1, 50)], lists:sort(Page ++ Rest)),
    Binary = term_to_binary(C),
    Actor = actor(),
    ?assertEqual(page(xets:select(C)),
                 run(Actor, fun() -> page(xets:select(binary_to_term(Binary))) end)),
    ?assertEqual(C, xets:repair_continuation(binary_to_term(Binary), ?ALL)),
    % A table that has the name by now is another one.
    xets:new(T, [named_table]),
    ?assertEqual(page(xets:select(C)), run(Actor, fun() -> page(xets:select(C)) end)),
    xets:delete(xets_select_other_name),
    ?assertEqual({error, badarg}, outcome(fun() -> xets:select(C) end)),
    stop(Actor),
    xets:delete(T).

continuation_of_a_private_table_test_() ->
    both(fun(Module) ->
                 T = Module:new(table, [ordered_set, private]),
                 Module:insert(T, [{I} || I <- lists:seq(1, 9)]),
                 {_, C} = Module:select(T, ?ALL, 2),
                 {_, AtTheEnd} = Module:select(T, ?ALL, 9),
                 Actor = actor(),
                 [?assertEqual({error, badarg}, call(Actor, Module, select, [Cont]))
                  || Cont <- [C, AtTheEnd]],
                 ?assertEqual('$end_of_table', Module:select(AtTheEnd)),
                 Module:delete(T),
                 [?assertEqual({error, badarg}, outcome(fun() -> Module:select(Cont) end))
                  || Cont <- [C, AtTheEnd]],
                 stop(Actor)
         end).

%% Results that are left over are there for who may read only.
left_over_results_of_a_deleted_table_test() ->
    T = xets:new(table, [bag]),
    [xets:insert(T, {key, I}) || I <- lists:seq(1, 9)],
    {[{key, 1}], C} = xets:match_object(T, {key, '_'}, 1),
    xets:delete(T),
    ?assertEqual({error, badarg}, outcome(fun() -> xets:match_object(C) end)).

repair_continuation_test_() ->
    both(fun(Module) ->
                 ?assertEqual('$end_of_table',
                              Module:repair_continuation('$end_of_table', foo)),
                 ?assertEqual({error, function_clause},
                              outcome(fun() -> Module:repair_continuation(foo, ?ALL) end))
         end).

%% Any term may come as a continuation, with any position.
forged_continuations_test_() ->
    [{atom_to_list(Type), fun() -> forged(Type) end} || Type <- types()].

forged(Type) ->
    T = filled(xets, Type, 50),
    {_, C} = xets:select(T, ?ALL, 5),
    {_, Point} = xets:select(T, [{{1, '_'}, [], ['$_']}, {{2, '_'}, [], ['$_']}], 1),
    Terms = [-1, 0, 1, 2, 1 bsl 40, 1 bsl 64 - 1, 1 bsl 64, 1 bsl 200, 1.5, a, [], [1 | 2], "x",
             {}, {1}, #{}, make_ref(), self(), fun() -> ok end, binary:copy(<<1>>, 5000)],
    Positions = [{Kind, Term} || Kind <- [point, hash, key, foo], Term <- Terms] ++
        [start, done, last, foo, {}, {point}, {point, 1, 2} | Terms],
    [begin
         Outcome = outcome(fun() -> xets:select(setelement(6, Cont, Position)) end),
         case Outcome of
             {error, badarg} -> ok;
             {value, '$end_of_table'} -> ok;
             {value, {Page, _}} -> ?assertEqual([], Page -- xets:tab2list(T))
         end
     end || Cont <- [C, Point], Position <- Positions],
    [?assertEqual({error, badarg}, outcome(fun() -> xets:select(setelement(I, C, Term)) end))
     || {I, Wrong} <- [{1, [a]}, {2, Terms}, {4, [0, -1, a, 1.0, 1 bsl 59]}, {5, [1, 4, 9, -1, a]},
                       {7, [a, 1, [a | b], {}]}],
        Term <- Wrong],
    xets:delete(T).

%%% Limits

limits_test_() ->
    both(fun(Module) ->
                 T = filled(Module, set, 9),
                 [[begin
                       ?assertEqual({error, badarg},
                                    outcome(fun() -> Module:Function(T, Arg, Limit) end))
                   end || {Function, Arg} <- [{select, ?ALL}, {select_reverse, ?ALL}, {match, '_'},
                                              {match_object, '_'}, {select, []}]]
                  || Limit <- [0, -1, 1 bsl 59, 1 bsl 70, 1.0, a, [], infinity]],
                 {Page, '$end_of_table'} = Module:select(T, ?ALL, 1 bsl 59 - 1),
                 ?assertEqual(Module:info(T, size), length(Page)),
                 Module:delete(T)
         end).

%% Who scans over and over leaves the scheduler to others as others do: it is charged for that.
reductions_test_() ->
    [{atom_to_list(Type),
      fun() ->
              T = xets:new(t, [Type]),
              xets:insert(T, [{I, a, [I]} || I <- lists:seq(1, 900)]),
              Of = fun(Spec) ->
                           '$end_of_table' = xets:select(T, Spec, 1),
                           {reductions, Before} = process_info(self(), reductions),
                           '$end_of_table' = xets:select(T, Spec, 1),
                           {reductions, After} = process_info(self(), reductions),
                           After - Before
                   end,
              Few = Of([{{0, '_', '_'}, [], ['$_']}]),
              [?assert(Of(Spec) >= Few + 40) ||
                  Spec <- [[{{'_', b, '_'}, [], ['$_']}], [{{'_', '_', [b]}, [], ['$_']}]]],
              xets:delete(T)
      end} || Type <- types()].

%% Few results among many objects.
few_of_many_test_() ->
    [{atom_to_list(Type), {timeout, 60, fun() -> few_of_many(Type) end}} || Type <- types()].

few_of_many(Type) ->
    N = small(30000, 5000),
    T = xets:new(table, [Type]),
    xets:insert(T, [{I, I rem 1000} || I <- lists:seq(1, N)]),
    Spec = [{{'$1', 7}, [], ['$1']}],
    Expected = lists:seq(7, N, 1000),
    [?assertEqual(Expected, objects_of(pages(xets, select, xets:select(T, S, Limit))))
     || Limit <- [1, 3, 1000], S <- [Spec, [{{'$1', 7}, [?TRUE], ['$1']}]]],
    ?assertEqual(length(Expected), xets:select_count(T, [{{'_', 7}, [], [true]}])),
    ?assertEqual(Expected, lists:sort(xets:select(T, Spec))),
    xets:delete(T).

%%% Large objects

%% Those outside of their segments come in their places.
large_objects_test_() ->
    [{lists:flatten(io_lib:format("~p ~p", [Type, Options])), fun() -> large(Type, Options) end}
     || Type <- types(), Options <- [[], [compressed]]].

large(Type, Options) ->
    T = xets:new(table, [Type, public | Options]),
    Objects = [{I, I rem 3, case I rem 5 of
                                0 -> lists:seq(I, I + 2000);
                                1 -> binary:copy(<<I>>, 300);
                                _ -> I
                            end} || I <- lists:seq(1, 60)],
    [xets:insert(T, Object) || Object <- Objects],
    Some = [Object || {_, 1, _} = Object <- Objects],
    Found = xets:match_object(T, {'_', 1, '_'}),
    ?assertEqual({value, Some}, in_order(Type, {value, Found})),
    Pages = pages(xets, match_object, xets:match_object(T, {'_', 1, '_'}, 7)),
    ?assertEqual(Some, objects_of(Pages)),
    Type =:= ordered_set andalso
        ?assertEqual([lists:sublist(Some, 7), lists:nthtail(7, lists:sublist(Some, 14)),
                      lists:nthtail(14, Some), at_once], Pages),
    ?assertEqual(20, xets:select_count(T, [{{'_', 1, '_'}, [], [true]}])),
    ?assertEqual(Some, lists:sort(xets:select_take(T, [{{'_', 1, '_'}, [], [true]}]))),
    ?assertEqual(Objects -- Some, lists:sort(xets:tab2list(T))),
    case Type of
        set ->
            ?assertEqual(20, xets:select_replace(T, [{{'$1', 2, '$2'}, [],
                                                      [{{'$1', [2, '$2'], '$2'}}]}])),
            ?assertEqual([{I, [2, L], L} || {I, 2, L} <- Objects],
                         lists:sort(xets:match_object(T, {'_', ['_' | '_'], '_'})));
        _ ->
            ok
    end,
    ?assertEqual(20, xets:select_delete(T, [{{'_', 0, '_'}, [], [true]}])),
    xets:delete(T).

%%% Changing

%% Equal objects of a duplicate bag count, and are returned, one by one.
duplicates_test_() ->
    [{Title, fun() -> duplicates(True) end}
     || {Title, True} <- [{"native", true}, {"by ets", ?TRUE}]].

duplicates(True) ->
    T = xets:new(table, [duplicate_bag]),
    Spec = [{{k, a}, [], [True]}],
    Fill = fun() -> [xets:insert(T, {k, V}) || V <- [a, b, a, c, a]] end,
    Fill(),
    ?assertEqual(3, xets:select_count(T, Spec)),
    ?assertEqual(3, xets:select_delete(T, Spec)),
    ?assertEqual([{k, b}, {k, c}], xets:lookup(T, k)),
    Fill(),
    ?assertEqual([{k, a}, {k, a}, {k, a}], xets:select_take(T, Spec)),
    ?assertEqual([{k, b}, {k, c}, {k, b}, {k, c}], xets:lookup(T, k)),
    xets:delete(T).

select_take_test_() ->
    [{lists:flatten(io_lib:format("~p ~p", [Type, True])), fun() -> take(Type, True) end}
     || Type <- types(), True <- [true, ?TRUE]].

take(Type, True) ->
    T = filled(xets, Type, 100),
    All = xets:tab2list(T),
    Taken = xets:select_take(T, [{{'_', '$1'}, [{'<', '$1', 3}], [True]}]),
    ?assertEqual(lists:sort([O || {_, V} = O <- All, V < 3]), lists:sort(Taken)),
    ?assertEqual(lists:sort([O || {_, V} = O <- All, V >= 3]), lists:sort(xets:tab2list(T))),
    Type =:= ordered_set andalso ?assertEqual(Taken, lists:sort(Taken)),
    ?assertEqual([], xets:select_take(T, [])),
    ?assertEqual([], xets:select_take(T, [{'_', [], [false]}])),
    xets:delete(T).

%% Of many processes that take, one gets each object; of those that delete, one counts it.
taken_once_test_() ->
    [{atom_to_list(Type), {timeout, 60, fun() -> taken_once(Type) end}} || Type <- types()].

taken_once(Type) ->
    N = small(4000, 1000),
    T = xets:new(table, [Type, public]),
    Objects = [{I, I rem 10} || I <- lists:seq(1, N)],
    xets:insert(T, Objects),
    Taken = concurrently([fun() -> xets:select_take(T, [{{'_', '_'}, [], [True]}]) end
                          || True <- [true, true, ?TRUE]]),
    ?assertEqual(Objects, lists:sort(lists:append(Taken))),
    xets:insert(T, Objects),
    Deleted = concurrently([fun() -> xets:select_delete(T, [{{'_', 3}, [], [True]}]) end
                            || True <- [true, true, ?TRUE]]),
    ?assertEqual(N div 10, lists:sum(Deleted)),
    ?assertEqual(N - N div 10, xets:info(T, size)),
    xets:delete(T).

concurrently(Funs) ->
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), Fun()} end) || Fun <- Funs],
    [receive {Pid, Result} -> Result end || Pid <- Pids].

%% Each replacement is of what the object is in that moment: no addition is lost.
replaced_atomically_test_() ->
    [{lists:flatten(io_lib:format("~p", [Type])), {timeout, 60, fun() -> replaced(Type) end}}
     || Type <- [set, ordered_set]].

replaced(Type) ->
    Rounds = small(30, 8),
    T = xets:new(table, [Type, public]),
    xets:insert(T, [{I, 0, x} || I <- lists:seq(1, 300)]),
    Add = fun(More) -> [{{'$1', '$2', '$3'}, [], [{{'$1', {'+', '$2', More}, '$3'}}]}] end,
    Replace = fun(Spec) ->
                      fun() -> [xets:select_replace(T, Spec) || _ <- lists:seq(1, Rounds)] end
              end,
    Update = fun(Spec) ->
                     fun() -> [xets:update(T, 7, Spec) || _ <- lists:seq(1, Rounds)] end
             end,
    Rare = [{{'$1', '$2', '$3'}, [?TRUE], [{{'$1', {'+', '$2', 1}, '$3'}}]}],
    [Counts, Counts, Counts | _] =
        concurrently([Replace(Add(1)), Replace(Add(1)), Replace(Rare), Update(Add(1)),
                      Update(Rare)]),
    ?assertEqual([300 || _ <- lists:seq(1, Rounds)], Counts),
    ?assertEqual(5 * Rounds, xets:lookup_element(T, 7, 2)),
    ?assertEqual(299, xets:select_count(T, [{{'_', 3 * Rounds, x}, [], [true]}])),
    xets:delete(T).

%% Larger integers than the native side computes with: ets goes on where it has stopped.
replaced_in_part_by_ets_test() ->
    T = xets:new(table, [ordered_set]),
    Objects = [{I, case I of 777 -> 1 bsl 80; _ -> I end} || I <- lists:seq(1, 2000)],
    xets:insert(T, Objects),
    ?assertEqual(2000, xets:select_replace(T, [{{'$1', '$2'}, [], [{{'$1', {'+', '$2', 1}}}]}])),
    ?assertEqual([{I, V + 1} || {I, V} <- Objects], xets:tab2list(T)),
    Large = [{{'_', '$1'}, [{'>', {'+', '$1', 1}, 1 bsl 70}], [true]}],
    ?assertEqual(1, xets:select_count(T, Large)),
    ?assertEqual([{777, (1 bsl 80) + 1}], xets:select_take(T, Large)),
    Odd = [{{'_', '$1'}, [{'==', {'rem', {'+', '$1', 1}, 2}, 0}], [true]}],
    xets:insert(T, {777, 1 bsl 90 + 1}),
    N = length([I || {I, V} <- Objects, I =/= 777, V rem 2 =:= 0]) + 1,
    ?assertEqual(N, xets:select_delete(T, Odd)),
    ?assertEqual(2000 - N, xets:info(T, size)),
    xets:delete(T).

%% The program may say that an object has another key only where ets lets it.
select_replace_keeps_keys_test_() ->
    both(fun(Module) ->
                 T = Module:new(table, [{keypos, 2}]),
                 Module:insert(T, [{a, 1}, {b, 2}]),
                 Refused = [[{{'$1', '$2'}, [], [{{'$2', '$1'}}]}], [{'_', [], [foo]}],
                            [{{'$1', '_'}, [], [{{'$1', 1}}]}], [{'_', [], [{{1, 1}}]}],
                            [{{'$1', '$2'}, [], [{setelement, 1, '$_', x}]}], [{'$1', [], ['$1']}],
                            [{{'_', 1}, [], [{{x, 1.0}}]}]],
                 [?assertEqual({Spec, {error, badarg}},
                               {Spec, outcome(fun() -> Module:select_replace(T, Spec) end)})
                  || Spec <- Refused],
                 ?assertEqual(1, Module:select_replace(T, [{{'_', 1}, [], [{{x, 1}}]}])),
                 ?assertEqual(2, Module:select_replace(T, [{{'$1', '$2'}, [],
                                                            [{{{{'$1'}}, {element, 2, '$_'}}}]}])),
                 ?assertEqual([{{b}, 2}, {{x}, 1}], lists:sort(Module:tab2list(T))),
                 B = Module:new(table, [bag]),
                 ?assertEqual({error, badarg},
                              outcome(fun() -> Module:select_replace(B, ?ALL) end)),
                 Module:delete(B),
                 Module:delete(T)
         end).

%% Objects of a key keep their order when some of them are replaced, and are replaced once, wherever
%% they are then.
groups_are_replaced_in_place_test_() ->
    [{lists:flatten(io_lib:format("~p ~p", [N, Spec])), fun() -> in_place(N, Spec) end}
     || N <- [10, small(3000, 500)],
        Spec <- [[{{'$1', '$2'}, [], [{{'$1', {'+', '$2', 1}}}]}],
                 [{{'$1', '$2'}, [], [{{'$1', {'-', '$2', 1}}}]}],
                 [{{'_', '$2'}, [{'==', {'rem', '$2', 3}, 0}], [{{k, [lists:seq(1, 2000)]}}]}],
                 [{{k, 3}, [], ['$_']}]]].

in_place(N, Spec) ->
    E = ets:new(table, [duplicate_bag]),
    X = xets:new(table, [duplicate_bag]),
    [begin
         ets:insert(E, Object),
         xets:insert(X, Object)
     end || I <- lists:seq(1, N), Object <- [{k, I rem 7}, {{other, I}, I}]],
    Count = outcome(fun() -> ets:select_replace(E, Spec) end),
    ?assertEqual(Count, outcome(fun() -> xets:select_replace(X, Spec) end)),
    ?assertEqual(ets:lookup(E, k), xets:lookup(X, k)),
    ?assertEqual(lists:sort(ets:tab2list(E)), lists:sort(xets:tab2list(X))),
    ets:delete(E),
    xets:delete(X).

%% What a snapshot shares with the table stays as it was; and it is read like a table.
snapshot_stays_test_() ->
    [{lists:flatten(io_lib:format("~p", [Type])), fun() -> snapshot_stays(Type) end}
     || Type <- types()].

snapshot_stays(Type) ->
    T = xets:new(table, [Type]),
    Objects = [{I, I rem 5} || I <- lists:seq(1, 1500)] ++
        [{k, I} || Type =:= bag orelse Type =:= duplicate_bag, I <- lists:seq(1, 1500)],
    [xets:insert(T, Object) || Object <- Objects],
    Change = fun(Round) ->
                     Type =/= bag andalso
                         xets:select_replace(T, [{{'$1', '$2'}, [], [{{'$1', {'+', '$2', 1}}}]}]),
                     xets:select_delete(T, [{{'_', 3}, [], [true]}]),
                     xets:select_take(T, [{{'_', 4}, [], [true]}]),
                     xets:insert(T, {{new, Round}, 4})
             end,
    [begin
         S = xets:snapshot(T),
         Before = lists:sort(xets:tab2list(T)),
         {Page, C} = xets:select(S, ?ALL, 10),
         Change(Round),
         ?assertNotEqual(Before, lists:sort(xets:tab2list(T))),
         ?assertEqual(Before, lists:sort(xets:select(S, ?ALL))),
         ?assertEqual(Before, lists:sort(xets:select(S, ?RARE))),
         ?assertEqual(Before, objects_of([Page | pages(xets, select, xets:select(C))])),
         ?assertEqual(lists:sort([I || {I, 4} <- Before]),
                      lists:sort(xets:select(S, [{{'$1', 4}, [], ['$1']}]))),
         [?assertEqual({error, badarg}, outcome(fun() -> xets:Function(S, ?ALL) end))
          || Function <- [select_delete, select_take, select_replace]],
         xets:delete(S)
     end || Round <- [1, 2]],
    xets:delete(T).

%% Nobody sees a group with more or fewer objects than it has, and none is replaced by two.
groups_are_replaced_atomically_test_() ->
    {timeout, 60, fun replaced_in_groups/0}.

replaced_in_groups() ->
    Rounds = small(10, 3),
    T = xets:new(table, [duplicate_bag, public]),
    Group = [{k, I, 0} || I <- lists:seq(1, 200)],
    [xets:insert(T, Object) || Object <- Group],
    Add = [{{'$1', '$2', '$3'}, [], [{{'$1', '$2', {'+', '$3', 1}}}]}],
    Replace = fun() -> [xets:select_replace(T, Add) || _ <- lists:seq(1, Rounds)], done end,
    Reader = spawn_link(fun() -> reads_whole_groups(T, 200) end),
    [done, done, done] = concurrently([Replace, Replace, Replace]),
    Reader ! {stop, self()},
    receive {Reader, Read} -> ?assert(Read > 0) end,
    Found = xets:lookup(T, k),
    ?assertEqual([I || {k, I, _} <- Group], [I || {k, I, _} <- Found]),
    xets:delete(T).

reads_whole_groups(T, N) ->
    reads_whole_groups(T, N, 0).

reads_whole_groups(T, N, Read) ->
    ?assertEqual(lists:seq(1, N), [I || {k, I, _} <- xets:lookup(T, k)]),
    receive {stop, From} -> From ! {self(), Read + 1}
    after 0 -> reads_whole_groups(T, N, Read + 1)
    end.

update_test_() ->
    [{lists:flatten(io_lib:format("~p ~p", [Type, True])), fun() -> update(Type, True) end}
     || Type <- [set, ordered_set], True <- [true, ?TRUE]].

update(Type, True) ->
    T = xets:new(table, [Type, {keypos, 2}]),
    xets:insert(T, [{5, stock, lists:seq(1, 3000)}, {0, none, x}]),
    Take = [{{'$1', '$2', '$3'}, [True, {'>', '$1', 0}], [{{{'-', '$1', 1}, '$2', '$3'}}]}],
    ?assertEqual({4, stock, lists:seq(1, 3000)}, xets:update(T, stock, Take)),
    ?assertEqual([{4, stock, lists:seq(1, 3000)}], xets:lookup(T, stock)),
    ?assertEqual(false, xets:update(T, none, Take)),
    ?assertEqual(false, xets:update(T, absent, Take)),
    ?assertEqual({7, none}, xets:update(T, none, [{'_', [True], [{{7, none}}]}])),
    Update = fun(Body) -> fun() -> xets:update(T, none, [{'_', [True], [Body]}]) end end,
    [?assertEqual({error, badarg}, outcome(Update(Body)))
     || Body <- [foo, {{}}, {{1}}, {{none}}, {{1, 2}}, {{stock, 1}}, '$$']],
    ?assertEqual([{7, none}], xets:lookup(T, none)),
    xets:insert(T, {1, 2}),
    case Type of
        ordered_set ->
            ?assertEqual({x, 2.0}, xets:update(T, 2.0, [{'_', [True], [{{x, 2.0}}]}]));
        set ->
            ?assertEqual(false, xets:update(T, 2.0, [{'_', [True], ['$_']}])),
            ?assertEqual({error, badarg},
                         outcome(fun() -> xets:update(T, 2, [{'_', [True], [{{x, 2.0}}]}]) end))
    end,
    xets:delete(T).

%%% Tables that go

%% Whatever a call is doing when its table is deleted, it fails; or it was done before.
deleted_meanwhile_test_() ->
    [{Name, {timeout, 60, fun() -> deleted_meanwhile(Call) end}} || {Name, Call} <- long_calls()].

%% Calls that go through a whole table.
long_calls() ->
    [{"select", fun(T) -> xets:select(T, ?ALL) end},
     {"select by ets", fun(T) -> xets:select(T, ?RARE) end},
     {"pages", fun(T) -> pages(xets, select, xets:select(T, ?ALL, 100)) end},
     {"select_count", fun(T) -> xets:select_count(T, [{{'$1', '_'}, [], [{is_list, '$1'}]}]) end},
     {"select_delete", fun(T) -> xets:select_delete(T, [{'_', [], [true]}]) end},
     {"select_take", fun(T) -> xets:select_take(T, [{'_', [], [true]}]) end},
     {"select_replace", fun(T) -> xets:select_replace(T, [{{'$1', '$2'}, [], [{{'$1', x, '$2'}}]}])
                        end},
     {"select_delete by ets", fun(T) -> xets:select_delete(T, ?RARE_TRUE) end}].

deleted_meanwhile(Call) ->
    #{bytes := Before} = settled(),
    [begin
         T = large_table(),
         Self = self(),
         {Pid, Monitor} = spawn_monitor(fun() ->
                                                Self ! {self(), begins},
                                                exit(outcome(fun() -> Call(T) end))
                                        end),
         receive {Pid, begins} -> ok end,
         spin(Round * 100),
         xets:delete(T),
         receive
             {'DOWN', Monitor, process, Pid, {value, _}} -> ok;
             {'DOWN', Monitor, process, Pid, Outcome} -> ?assertEqual({error, badarg}, Outcome)
         end
     end || Round <- lists:seq(1, small(10, 4))],
    eventually(fun() -> maps:get(bytes, xets:info()) =< Before end).

%% A process that is killed leaves nothing behind, and the table as usable as it was.
killed_meanwhile_test_() ->
    [{Name, {timeout, 60, fun() -> killed_meanwhile(Call) end}} || {Name, Call} <- long_calls()].

killed_meanwhile(Call) ->
    #{bytes := Before} = settled(),
    T = large_table(),
    [begin
         Self = self(),
         Pid = spawn(fun() -> Self ! {self(), begins}, Call(T) end),
         receive {Pid, begins} -> ok end,
         spin(Round * 100),
         kill(Pid),
         xets:insert(T, {{new, Round}, Round}),
         ?assertEqual([{{new, Round}, Round}], xets:take(T, {new, Round}))
     end || Round <- lists:seq(1, small(10, 4))],
    xets:delete(T),
    eventually(fun() -> maps:get(bytes, xets:info()) =< Before end).

%% With objects in blobs, which calls pin.
large_table() ->
    T = xets:new(table, [public]),
    xets:insert(T, [{I, case I rem 50 of
                            0 -> lists:seq(1, 300) ++ [1.5];
                            _ -> I
                        end} || I <- lists:seq(1, small(20000, 5000))]),
    T.

%% Some time that depends on nothing else.
spin(0) -> ok;
spin(N) -> spin(N - 1).

%%% Rights

rights_test_() ->
    both(fun(Module) ->
                 Private = Module:new(table, [private]),
                 Protected = Module:new(table, [protected]),
                 Actor = actor(),
                 Reads = [{select, [?ALL]}, {select, [?ALL, 1]}, {select_reverse, [?ALL]},
                          {select_reverse, [?ALL, 1]}, {select_count, [?ALL]}, {match, ['_']},
                          {match, ['_', 1]}, {match_object, ['_']}, {match_object, ['_', 1]},
                          {select, [[]]}],
                 Writes = [{select_delete, [?ALL]}, {select_delete, [[]]},
                           {select_replace, [?ALL]}, {match_delete, ['_']}],
                 [?assertEqual({error, badarg}, call(Actor, Module, Function, [Private | Args]))
                  || {Function, Args} <- Reads ++ Writes],
                 [?assertMatch({value, _}, call(Actor, Module, Function, [Protected | Args]))
                  || {Function, Args} <- Reads],
                 [?assertEqual({error, badarg}, call(Actor, Module, Function, [Protected | Args]))
                  || {Function, Args} <- Writes],
                 stop(Actor),
                 Module:delete(Private),
                 Module:delete(Protected)
         end).

rights_of_our_own_calls_test() ->
    T = xets:new(table, [protected]),
    Actor = actor(),
    [?assertEqual({error, badarg}, call(Actor, xets, Function, [T | Args]))
     || {Function, Args} <- [{select_take, [?ALL]}, {select_take, [[]]}, {select_take, [?RARE]},
                             {update, [k, ?ALL]}, {update, [k, []]}, {update, [k, ?RARE]}]],
    stop(Actor),
    xets:delete(T).

%%% Match specifications by themselves

match_specs_test_() ->
    both(fun(Module) ->
                 Spec = [{{'$1', '$2'}, [{'>', '$1', 1}], ['$2']}],
                 Compiled = Module:match_spec_compile(Spec),
                 Run = fun(List, By) -> outcome(fun() -> Module:match_spec_run(List, By) end) end,
                 ?assert(Module:is_compiled_ms(Compiled)),
                 ?assertNot(Module:is_compiled_ms(make_ref())),
                 ?assertEqual({value, [b, c]}, Run([{1, a}, {2, b}, foo, {3, c}], Compiled)),
                 ?assertEqual({value, []}, Run([], Compiled)),
                 [?assertEqual({error, badarg},
                               outcome(fun() -> Module:match_spec_compile(Wrong) end))
                  || Wrong <- [foo, [foo], [], [{'_', [{foo}], [true]}]]],
                 [?assertEqual({error, badarg}, Run(List, By))
                  || {List, By} <- [{foo, Compiled}, {[{1, 2} | foo], Compiled}, {[], make_ref()},
                                    {[{1}], Spec}]],
                 ?assertEqual({ok, 1}, Module:test_ms({1, 2}, [{{'$1', '_'}, [], ['$1']}])),
                 ?assertEqual({ok, false}, Module:test_ms({1}, [{{'$1', '_'}, [], ['$1']}])),
                 ?assertMatch({error, [_ | _]}, Module:test_ms({1}, foo))
         end).

%% "All" is one change, whose size is told: a reader finds the table as it was, or empty.
delete_all_test_() ->
    [{atom_to_list(Type), fun() -> delete_all(Type) end} || Type <- [set, ordered_set, bag, duplicate_bag]].

delete_all(Type) ->
    T = xets:new(table, [Type, public]),
    N = small(20000, 2000),
    All = [{'_', [], [true]}],
    [begin
         true = xets:insert(T, [{I, I} || I <- lists:seq(1, N)]),
         Reader = spawn_monitor(fun() -> exit(sizes(T, N)) end),
         ?assertEqual(N, xets:select_delete(T, All)),
         ?assertEqual(0, xets:info(T, size)),
         {_, Monitor} = Reader,
         receive {'DOWN', Monitor, process, _, Sizes} -> ?assertEqual([], Sizes -- [0, N]) end
     end || _ <- lists:seq(1, 5)],
    ?assertEqual(0, xets:select_delete(T, All)),
    true = xets:insert(T, [{1, a}, {2, b}]),
    true = xets:match_delete(T, '_'),
    ?assertEqual([], xets:tab2list(T)),
    ?assertError(badarg, xets:select_delete(xets:snapshot(T), All)),
    xets:delete(T).

%% The numbers of objects that are seen until there are none.
sizes(T, N) ->
    case length(xets:tab2list(xets:snapshot(T))) of
        0 -> [0];
        Size -> lists:usort([Size | sizes(T, N)])
    end.
