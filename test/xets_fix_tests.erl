%% safe_fixtable/2, and what info/2 tells of it. What ets promises too is asked of both.
-module(xets_fix_tests).

-include_lib("eunit/include/eunit.hrl").
-import(xets_test_lib, [both/1, outcome/1, actor/0, run/2, start/2, await/1, call/4, kill/1,
                        stop/1, eventually/1, texts/3, small/2]).

%% Who has fixed the table, and how often each; `false': nobody. All items agree.
fixers(Module, Table) ->
    case Module:info(Table, safe_fixed) of
        false ->
            ?assertEqual(false, Module:info(Table, safe_fixed_monotonic_time)),
            ?assertEqual(false, Module:info(Table, fixed)),
            false;
        {{Mega, Sec, Micro}, Fixers} when is_integer(Mega), is_integer(Sec), is_integer(Micro) ->
            {Monotonic, Same} = Module:info(Table, safe_fixed_monotonic_time),
            ?assert(is_integer(Monotonic)),
            ?assertEqual(lists:sort(Fixers), lists:sort(Same)),
            ?assertEqual(true, Module:info(Table, fixed)),
            lists:sort(Fixers)
    end.

fix(Actor, Module, Table) ->
    true = run(Actor, fun() -> Module:safe_fixtable(Table, true) end).

unfix(Actor, Module, Table) ->
    true = run(Actor, fun() -> Module:safe_fixtable(Table, false) end).

%%% Counting

counted_per_process_test_() ->
    both(fun(Module) ->
                 [A, B] = lists:sort([actor(), actor()]),
                 Table = Module:new(table, []),
                 ?assertEqual(false, fixers(Module, Table)),
                 [begin
                      Action(Who, Module, Table),
                      ?assertEqual(Expected, fixers(Module, Table))
                  end
                  || {Action, Who, Expected} <-
                         [{fun fix/3, A, [{A, 1}]}, {fun fix/3, A, [{A, 2}]},
                          {fun unfix/3, B, [{A, 2}]}, {fun fix/3, B, [{A, 2}, {B, 1}]},
                          {fun unfix/3, A, [{A, 1}, {B, 1}]}, {fun unfix/3, A, [{B, 1}]},
                          {fun unfix/3, A, [{B, 1}]}, {fun fix/3, A, [{A, 1}, {B, 1}]},
                          {fun unfix/3, B, [{A, 1}]}, {fun unfix/3, A, false},
                          {fun unfix/3, A, false}, {fun fix/3, B, [{B, 1}]}]],
                 kill(A),
                 kill(B)
         end).

%% The time is that of the first fixation since nobody had fixed the table.
time_test_() ->
    both(fun(Module) ->
                 [A, B] = [actor(), actor()],
                 Table = Module:new(table, []),
                 Before = erlang:monotonic_time(),
                 SystemBefore = erlang:system_time(microsecond),
                 fix(A, Module, Table),
                 After = erlang:monotonic_time(),
                 SystemAfter = erlang:system_time(microsecond),
                 {Time, _} = Module:info(Table, safe_fixed_monotonic_time),
                 ?assert(Before =< Time andalso Time =< After),
                 {{Mega, Sec, Micro}, _} = Module:info(Table, safe_fixed),
                 System = (Mega * 1000000 + Sec) * 1000000 + Micro,
                 %% the system's time may be corrected meanwhile
                 ?assert(SystemBefore - 5000000 =< System andalso System =< SystemAfter + 5000000),
                 ?assert(Sec < 1000000 andalso Micro < 1000000),
                 fix(B, Module, Table),
                 unfix(A, Module, Table),
                 ?assertMatch({Time, [{B, 1}]}, Module:info(Table, safe_fixed_monotonic_time)),
                 unfix(B, Module, Table),
                 fix(B, Module, Table),
                 {Again, _} = Module:info(Table, safe_fixed_monotonic_time),
                 ?assert(Again >= After),
                 [kill(P) || P <- [A, B]]
         end).

%% Fixing is reading.
rights_test_() ->
    [{lists:concat([Module, ", ", Access]),
      fun() ->
              [Owner, Other] = [actor(), actor()],
              Table = run(Owner, fun() -> Module:new(table, [Access]) end),
              fix(Owner, Module, Table),
              [?assertEqual(Outcome, call(Other, Module, safe_fixtable, [Table, Fix]))
               || Fix <- [true, false]],
              ?assertEqual([{Owner, 1}], fixers(Module, Table)),
              [kill(P) || P <- [Owner, Other]]
      end}
     || Module <- [ets, xets], {Access, Outcome} <- [{public, {value, true}},
                                                     {protected, {value, true}},
                                                     {private, {error, badarg}}]].

errors_test_() ->
    both(fun(Module) ->
                 Other = actor(),
                 Table = Module:new(table, []),
                 Private = run(Other, fun() -> Module:new(table, [private]) end),
                 Gone = Module:new(table, []),
                 Module:delete(Gone),
                 Boolean = #{2 => <<"not a boolean value">>},
                 NoAccess = <<"the table identifier refers to a table with insufficient access "
                              "rights">>,
                 NoTable = <<"the table identifier does not refer to an existing table">>,
                 [?assertEqual({Args, Texts}, {Args, texts(Module, safe_fixtable, Args)})
                  || {Args, Texts} <- [{[Table, 1], Boolean}, {[Table, "true"], Boolean},
                                       {[Table, yes], Boolean},
                                       {[Private, true], #{1 => NoAccess}},
                                       {[Private, yes], #{1 => NoAccess}},
                                       {[Gone, true], #{1 => NoTable}},
                                       {[xets_fix_nobody, false], #{1 => NoTable}},
                                       {[make_ref(), true],
                                        #{1 => <<"not a valid table identifier">>}},
                                       {[17, true],
                                        #{1 => <<"not an atom or a table identifier">>}}]],
                 [?assertEqual(undefined, Module:info(Gone, Item)) || Item <- items()],
                 [?assertEqual({error, badarg}, outcome(fun() -> Module:info(17, Item) end))
                  || Item <- items()],
                 kill(Other)
         end).

items() -> [fixed, safe_fixed, safe_fixed_monotonic_time].

%%% The end of a process, of the owner, of the table

%% Whoever has seen the end of a process sees none of its fixations.
gone_with_the_process_test_() ->
    [{lists:concat([Module, ", ", Item, ", ", Seen]),
      {timeout, 60, fun() -> [gone_with(Module, Item, Seen) || _ <- lists:seq(1, 50)] end}}
     || Module <- [ets, xets], Item <- items(), Seen <- [monitor, link]].

gone_with(Module, Item, Seen) ->
    Trap = process_flag(trap_exit, true),
    Table = Module:new(table, []),
    Fixer = actor(),
    [fix(Fixer, Module, Table) || _ <- [1, 2]],
    case Seen of
        monitor ->
            kill(Fixer);
        link ->
            link(Fixer),
            exit(Fixer, kill),
            receive {'EXIT', Fixer, _} -> ok end
    end,
    ?assertEqual(false, Module:info(Table, Item)),
    process_flag(trap_exit, Trap).

%% A key that was deleted is remembered for the living only.
deleted_key_is_forgotten_test_() ->
    [{lists:concat([Module, ", ", Type, ", ", How]),
      fun() ->
              Table = Module:new(table, [Type, public]),
              [Gone, Fixer, Other] = [actor(), actor(), actor()],
              Module:insert(Table, [{K, K} || K <- lists:seq(1, 10)]),
              Fixers = case How of
                           "one" -> [Fixer];
                           "two, one lives" -> [Fixer, Other]
                       end,
              [fix(P, Module, Table) || P <- [Gone | Fixers]],
              Module:delete(Table, 5),
              ?assertMatch({value, _}, outcome(fun() -> Module:next(Table, 5) end)),
              [kill(P) || P <- [Gone, Fixer]],
              Expected = case How of
                             "one" -> {error, badarg};
                             "two, one lives" -> {value, next}
                         end,
              ?assertEqual(Expected, outcome(fun() -> Module:next(Table, 5), next end)),
              ?assertMatch({value, _}, outcome(fun() -> Module:next(Table, 6) end)),
              kill(Other),
              ?assertEqual({error, badarg}, outcome(fun() -> Module:next(Table, 5) end)),
              Module:delete(Table)
      end}
     || Module <- [ets, xets], Type <- [set, bag, duplicate_bag],
        How <- ["one", "two, one lives"]].

others_stay_test_() ->
    both(fun(Module) ->
                 Table = Module:new(table, []),
                 Fixers = [actor() || _ <- lists:seq(1, 20)],
                 [fix(Fixer, Module, Table) || Fixer <- Fixers],
                 ?assertEqual(lists:sort([{P, 1} || P <- Fixers]), fixers(Module, Table)),
                 lists:foldl(fun(Fixer, [Fixer | Rest]) ->
                                     kill(Fixer),
                                     Expected = case Rest of
                                                    [] -> false;
                                                    _ -> lists:sort([{P, 1} || P <- Rest])
                                                end,
                                     ?assertEqual(Expected, fixers(Module, Table)),
                                     Rest
                             end, Fixers, Fixers)
         end).

%% A fixation belongs to the process, not to the owner, and outlives a change of owner.
survives_a_change_of_owner_test_() ->
    both(fun(Module) ->
                 [Owner, Heir, Receiver, Fixer] = lists:sort([actor() || _ <- [1, 2, 3, 4]]),
                 Table = run(Owner, fun() -> Module:new(table, [{heir, Heir, data}]) end),
                 [fix(P, Module, Table) || P <- [Owner, Fixer]],
                 true = run(Owner, fun() -> Module:give_away(Table, Receiver, gift) end),
                 ?assertEqual([{Owner, 1}, {Fixer, 1}], fixers(Module, Table)),
                 fix(Receiver, Module, Table),
                 unfix(Owner, Module, Table),
                 kill(Receiver),
                 ?assertEqual(Heir, Module:info(Table, owner)),
                 ?assertEqual([{Fixer, 1}], fixers(Module, Table)),
                 kill(Heir),
                 ?assertEqual(undefined, Module:info(Table, fixed)),
                 ?assertEqual({error, badarg}, call(Fixer, Module, safe_fixtable, [Table, false])),
                 [kill(P) || P <- [Owner, Fixer]]
         end).

%% The owner's own fixations end with it, also where its table goes on.
owner_dies_test_() ->
    both(fun(Module) ->
                 [Owner, Heir] = [actor(), actor()],
                 Table = run(Owner, fun() -> Module:new(table, [{heir, Heir, data}]) end),
                 [fix(Owner, Module, Table) || _ <- [1, 2, 3]],
                 kill(Owner),
                 ?assertEqual(false, fixers(Module, Table)),
                 ?assertEqual(Heir, Module:info(Table, owner)),
                 kill(Heir)
         end).

%% A table that is fixed can be deleted, and its memory comes back.
deleted_while_fixed_test_() ->
    {timeout, 60,
     fun() ->
             Fixers = [actor() || _ <- lists:seq(1, small(1000, 100))],
             #{tables := Tables} = xets:info(),
             [begin
                  Table = xets:new(table, [public]),
                  [fix(Fixer, xets, Table) || Fixer <- Fixers],
                  xets:delete(Table),
                  ?assertEqual({error, badarg},
                               call(hd(Fixers), xets, safe_fixtable, [Table, false])),
                  ?assertEqual(undefined, xets:info(Table, safe_fixed))
              end || _ <- lists:seq(1, 5)],
             #{tables := Tables} = xets:info(),
             [stop(Fixer) || Fixer <- Fixers]
     end}.

%%% Many

thousands_of_processes_test_() ->
    {timeout, 120,
     fun() ->
             N = small(5000, 500),
             Table = xets:new(table, [public]),
             Fixers = [actor() || _ <- lists:seq(1, N)],
             Fixings = [start(Fixer, fun() -> [xets:safe_fixtable(Table, true) || _ <- [1, 2]] end)
                        || Fixer <- Fixers],
             [{value, [true, true]} = await(Fixing) || Fixing <- Fixings],
             ?assertEqual(lists:sort([{P, 2} || P <- Fixers]), fixers(xets, Table)),
             {Dying, Living} = lists:split(N div 2, Fixers),
             [exit(P, kill) || P <- Dying],
             [kill(P) || P <- Dying],
             ?assertEqual(lists:sort([{P, 2} || P <- Living]), fixers(xets, Table)),
             [unfix(P, xets, Table) || P <- Living],
             ?assertEqual(lists:sort([{P, 1} || P <- Living]), fixers(xets, Table)),
             [exit(P, kill) || P <- Living],
             [kill(P) || P <- Living],
             ?assertEqual(false, xets:info(Table, fixed)),
             ?assertEqual(false, fixers(xets, Table)),
             xets:delete(Table)
     end}.

%% Without a look that finds them dead: the library hears of the ends by itself.
nobody_asks_test_() ->
    {timeout, 60,
     fun() ->
             Table = xets:new(table, [public]),
             Fixers = [actor() || _ <- lists:seq(1, 200)],
             [fix(Fixer, xets, Table) || Fixer <- Fixers],
             [exit(Fixer, kill) || Fixer <- Fixers],
             eventually(fun() -> xets:info(Table, safe_fixed) =:= false end)
     end}.

%% Processes that fix and release, end, and delete, all at once: the counts come out right.
all_at_once_test_() ->
    {timeout, 120,
     fun() ->
             Table = xets:new(table, [public]),
             Rounds = small(2000, 200),
             Actors = [actor() || _ <- lists:seq(1, 4)],
             Work = [start(Actor, fun() -> churn(Table, Rounds) end) || Actor <- Actors],
             Looker = actor(),
             Looks = start(Looker, fun() -> look(Table, Rounds) end),
             [?assertEqual({value, ok}, await(W)) || W <- [Looks | Work]],
             ?assertEqual(lists:sort([{P, 1} || P <- Actors]), fixers(xets, Table)),
             [unfix(P, xets, Table) || P <- Actors],
             ?assertEqual(false, fixers(xets, Table)),
             [kill(P) || P <- [Looker | Actors]],
             xets:delete(Table)
     end}.

%% One fixation is left.
churn(Table, 0) ->
    true = xets:safe_fixtable(Table, true),
    ok;
churn(Table, N) ->
    true = xets:safe_fixtable(Table, true),
    xets:insert(Table, {self(), N}),
    xets:delete(Table, self()),
    {Pid, Monitor} = spawn_monitor(fun() -> xets:safe_fixtable(Table, true) end),
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end,
    {_, Fixers} = xets:info(Table, safe_fixed),
    false = lists:keymember(Pid, 1, Fixers),
    {_, 1} = lists:keyfind(self(), 1, Fixers),
    true = xets:safe_fixtable(Table, false),
    churn(Table, N - 1).

look(_Table, 0) ->
    ok;
look(Table, N) ->
    true = is_boolean(xets:info(Table, fixed)),
    case xets:info(Table, safe_fixed) of
        false -> ok;
        {_, [_ | _] = Fixers} -> true = lists:all(fun({_, Count}) -> Count >= 1 end, Fixers)
    end,
    look(Table, N - 1).
