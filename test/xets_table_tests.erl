%% Options of new/2 and what info tells of them, rename/2, all/0: asked of ets and xets.
-module(xets_table_tests).

-include_lib("eunit/include/eunit.hrl").
-import(xets_test_lib, [both/1, outcome/1, actor/0, run/2, start/2, await/1, call/4, kill/1,
                        texts/3, small/2]).

%%% Options

types() -> [set, ordered_set, bag, duplicate_bag].

option_lists() ->
    [[Type | Options]
     || Type <- types(),
        Options <- [[], [public], [private], [protected], [public, protected], [private, public],
                    [set], [{keypos, 2}], [{keypos, 1}, {keypos, 3}], [compressed],
                    [compressed, private], [named_table], [named_table, public],
                    [{heir, none}], [{heir, self(), data}],
                    [{heir, self(), data}, {heir, none}], [private, {heir, self(), data}],
                    [{read_concurrency, true}], [{read_concurrency, false}],
                    [private, {read_concurrency, true}, {write_concurrency, true}],
                    [{decentralized_counters, true}], [{decentralized_counters, false}]] ++
                   [[public, {write_concurrency, Write} | More]
                    || Write <- [true, false, auto],
                       More <- [[], [{decentralized_counters, true}],
                                [{decentralized_counters, false}], [{read_concurrency, true}]]]].

%% The items that do not depend on how tables are made.
same_items() ->
    [decentralized_counters, read_concurrency, write_concurrency, compressed, owner, heir, name,
     size, node, named_table, type, keypos, protection, fixed, safe_fixed,
     safe_fixed_monotonic_time].

options_and_info_test_() ->
    [{lists:flatten(io_lib:format("~0p", [Options])),
      fun() ->
              [Ets, Xets] = [facts(Module, Options) || Module <- [ets, xets]],
              ?assertEqual(Ets, Xets)
      end}
     || Options <- option_lists()].

facts(Module, Options) ->
    Table = Module:new(xets_table_test, Options),
    Info = Module:info(Table),
    ?assertEqual(is_atom(Table), lists:member(named_table, Options)),
    [?assertEqual({Item, Value}, {Item, Module:info(Table, Item)})
     || {Item, Value} <- Info, Item =/= memory],
    Facts = {[Item || {Item, _} <- Info],
             [{Item, Module:info(Table, Item)} || Item <- same_items()]},
    true = Module:delete(Table),
    Facts.

refused_options_test_() ->
    [?_assertEqual({Options, Module, {error, badarg}},
                   {Options, Module, outcome(fun() -> Module:new(xets_table_test, Options) end)})
     || Module <- [ets, xets],
        Options <- [[wrong], [{keypos, 0}], [{keypos, a}], [{read_concurrency, auto}],
                    [{write_concurrency, 1}], [{decentralized_counters, auto}],
                    [{compressed, true}], [{named_table, true}], [{type, bag}], [bag | set],
                    [17], [{}], ["set"]]].

%%% Names

rename_test_() ->
    both(fun(Module) ->
                 A = Module:new(xets_table_a, [named_table]),
                 B = Module:new(xets_table_b, [named_table]),
                 Tid = Module:whereis(A),
                 Module:insert(A, {k, a}),
                 ?assertEqual(xets_table_c, Module:rename(A, xets_table_c)),
                 ?assertEqual([{k, a}], Module:lookup(xets_table_c, k)),
                 ?assertEqual([{k, a}], Module:lookup(Tid, k)),
                 ?assertEqual(xets_table_c, Module:info(Tid, name)),
                 ?assertEqual(Tid, Module:whereis(xets_table_c)),
                 ?assertEqual(undefined, Module:whereis(A)),
                 ?assertEqual({error, badarg}, outcome(fun() -> Module:lookup(A, k) end)),
                 [?assertEqual({error, badarg}, outcome(fun() -> Module:rename(Tid, Taken) end))
                  || Taken <- [B, xets_table_c]],
                 ?assertEqual(xets_table_d, Module:rename(Tid, xets_table_d)),
                 ?assertEqual(xets_table_a, Module:new(xets_table_a, [named_table])),
                 ?assertEqual(undefined, Module:rename(xets_table_a, undefined)),
                 ?assertEqual([], Module:lookup(undefined, k)),
                 [?assertEqual(true, Module:delete(T)) || T <- [undefined, B, xets_table_d]],
                 ?assertEqual(undefined, Module:info(Tid))
         end).

%% The name of an unnamed table is for information only.
rename_unnamed_test_() ->
    both(fun(Module) ->
                 Named = Module:new(xets_table_a, [named_table]),
                 Tid = Module:new(xets_table_b, []),
                 ?assertEqual(Tid, Module:rename(Tid, xets_table_a)),
                 ?assertEqual(xets_table_a, Module:info(Tid, name)),
                 ?assertNotEqual(Tid, Module:whereis(xets_table_a)),
                 ?assertEqual(Tid, Module:rename(Tid, xets_table_a)),
                 Module:delete(Tid),
                 ?assert(is_list(Module:info(xets_table_a))),
                 Module:delete(Named)
         end).

rename_errors_test_() ->
    both(fun(Module) ->
                 Other = actor(),
                 Mine = Module:new(xets_table_a, [named_table]),
                 Protected = run(Other, fun() -> Module:new(xets_table_b, [named_table]) end),
                 Public = run(Other, fun() -> Module:new(xets_table_c, [named_table, public]) end),
                 Taken = #{2 => <<"table name already exists">>},
                 NoName = <<"invalid table name (must be an atom)">>,
                 NoAccess = <<"the table identifier refers to a table with insufficient access "
                              "rights">>,
                 NoTable = <<"the table identifier does not refer to an existing table">>,
                 [?assertEqual({Args, Texts}, {Args, texts(Module, rename, Args)})
                  || {Args, Texts} <- [{[Mine, Mine], Taken}, {[Mine, Public], Taken},
                                       {[Public, Mine], Taken},
                                       {[Mine, "name"], #{2 => NoName}},
                                       {[Protected, free], #{1 => NoAccess}},
                                       {[Protected, 17], #{1 => NoAccess, 2 => NoName}},
                                       {[xets_table_nobody, free], #{1 => NoTable}},
                                       {[xets_table_nobody, 17], #{1 => NoTable, 2 => NoName}},
                                       {[17, free],
                                        #{1 => <<"not an atom or a table identifier">>}}]],
                 %% whoever may write may rename
                 ?assertEqual(xets_table_d, Module:rename(Public, xets_table_d)),
                 ?assertEqual(Other, Module:info(xets_table_d, owner)),
                 kill(Other),
                 ?assertEqual(xets_table_d, Module:rename(Mine, xets_table_d)),
                 Module:delete(xets_table_d)
         end).

%% At any time a table that is being renamed has one of the two names, and never both.
rename_is_one_instant_test_() ->
    {timeout, 60,
     fun() ->
             [Writer, Reader] = [actor(), actor()],
             Names = [{list_to_atom("xets_table_old_" ++ integer_to_list(I)),
                       list_to_atom("xets_table_new_" ++ integer_to_list(I))}
                      || I <- lists:seq(1, small(3000, 300))],
             run(Writer, fun() -> [xets:new(Old, [named_table]) || {Old, _} <- Names] end),
             Tables = [{xets:whereis(Old), Old, New} || {Old, New} <- Names],
             Reading = start(Reader, fun() -> [watch(Table) || Table <- Tables], ok end),
             Writing = start(Writer, fun() ->
                                             [New = xets:rename(Old, New) || {Old, New} <- Names],
                                             ok
                                     end),
             ?assertEqual({value, ok}, await(Writing)),
             ?assertEqual({value, ok}, await(Reading)),
             [kill(P) || P <- [Writer, Reader]]
     end}.

%% Until the table has the new name.
watch({Tid, Old, New} = Table) ->
    case xets:whereis(New) of
        Tid ->
            undefined = xets:whereis(Old);
        undefined ->
            case xets:whereis(Old) of
                Tid -> watch(Table);
                undefined -> Tid = xets:whereis(New)
            end
    end.

many_renames_test() ->
    Names = [list_to_atom("xets_table_" ++ integer_to_list(I)) || I <- lists:seq(1, 500)],
    xets:new(xets_table_0, [named_table]),
    Tid = xets:whereis(xets_table_0),
    lists:foldl(fun(Name, Old) ->
                        ?assertEqual(Name, xets:rename(Old, Name)),
                        ?assertEqual(undefined, xets:whereis(Old)),
                        ?assertEqual(Tid, xets:whereis(Name)),
                        Name
                end, xets_table_0, Names ++ Names -- [lists:last(Names)]),
    ?assertEqual(true, xets:delete(Tid)),
    [?assertEqual(undefined, xets:whereis(Name)) || Name <- Names].

%% Several processes give their tables the same name: each time one gets it.
one_of_many_gets_the_name_test() ->
    Actors = [actor() || _ <- lists:seq(1, 4)],
    [begin
         Old = list_to_atom("xets_table_own_" ++ integer_to_list(I)),
         run(Actor, fun() -> xets:new(Old, [named_table]) end)
     end || {I, Actor} <- lists:zip(lists:seq(1, 4), Actors)],
    [begin
         Calls = [start(Actor, fun() -> rename_own(I) end)
                  || {I, Actor} <- lists:zip(lists:seq(1, 4), Actors)],
         Outcomes = [Outcome || {value, Outcome} <- [await(Call) || Call <- Calls]],
         ?assertEqual([{value, xets_table_won}], [O || {value, _} = O <- Outcomes]),
         Winner = xets:info(xets_table_won, owner),
         {I, Winner} = lists:keyfind(Winner, 2, lists:zip(lists:seq(1, 4), Actors)),
         run(Winner, fun() -> xets:rename(xets_table_won, own_name(I)) end)
     end || _ <- lists:seq(1, 200)],
    [kill(Actor) || Actor <- Actors].

own_name(I) -> list_to_atom("xets_table_own_" ++ integer_to_list(I)).

rename_own(I) -> outcome(fun() -> xets:rename(own_name(I), xets_table_won) end).

%%% All tables

all_test_() ->
    both(fun(Module) ->
                 Before = Module:all(),
                 Other = actor(),
                 Mine = [Module:new(table, []), Module:new(xets_table_a, [named_table])],
                 Others = run(Other, fun() ->
                                             [Module:new(table, [private]),
                                              Module:new(xets_table_b, [named_table, private])]
                                     end),
                 ?assertEqual(lists:sort(Mine ++ Others), lists:sort(Module:all() -- Before)),
                 Module:rename(xets_table_a, xets_table_c),
                 ?assert(lists:member(xets_table_c, Module:all())),
                 ?assertNot(lists:member(xets_table_a, Module:all())),
                 kill(Other),
                 ?assertEqual(lists:sort([hd(Mine), xets_table_c]),
                              lists:sort(Module:all() -- Before)),
                 [Module:delete(T) || T <- [hd(Mine), xets_table_c]],
                 ?assertEqual([], Module:all() -- Before)
         end).

%% A table that is there throughout is in every list once, while others come and go.
all_while_tables_come_and_go_test_() ->
    {timeout, 60,
     fun() ->
             Kept = lists:sort([xets:new(table, []) || _ <- lists:seq(1, 300)]),
             Actors = [actor() || _ <- [1, 2]],
             Rounds = small(100, 10),
             Work = [start(Actor, fun() ->
                                          [[xets:delete(T) || T <- [xets:new(table, [])
                                                                    || _ <- lists:seq(1, 50)]]
                                           || _ <- lists:seq(1, Rounds)],
                                          ok
                                  end) || Actor <- Actors],
             [begin
                  All = lists:sort(xets:all()),
                  ?assertEqual(All, lists:usort(All)),
                  ?assertEqual([], Kept -- All)
              end || _ <- lists:seq(1, Rounds)],
             [?assertEqual({value, ok}, await(W)) || W <- Work],
             [kill(Actor) || Actor <- Actors],
             [xets:delete(Table) || Table <- Kept]
     end}.

%% More than are listed on a normal scheduler.
thousands_of_tables_test_() ->
    {timeout, 60,
     fun() ->
             Before = xets:all(),
             Owner = actor(),
             N = small(5000, 2500),
             Tables = run(Owner, fun() -> [xets:new(table, []) || _ <- lists:seq(1, N)] end),
             ?assertEqual(lists:sort(Tables), lists:sort(xets:all() -- Before)),
             kill(Owner),
             ?assertEqual([], xets:all() -- Before)
     end}.
