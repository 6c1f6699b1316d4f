%% The transitions of a table (O1-O4 of c_src/beam/owner.h), stopped in the middle. A build of the
%% library for this stops at named points (c_src/beam/hooks.h) as long as a process has the point's
%% name. It runs in an emulator of its own: a thread that stands still there takes a scheduler along,
%% and the processes that wait for it. So every process of a test that may stand still is bound to a
%% scheduler of its own, and the test and its guards to another one. Nothing that takes all
%% schedulers is done meanwhile: loading code, or tracing.
-module(xets_transition_tests).

%% Called in the other emulator.
-export([isolated/1]).
-export([calls_wait_while_given/0, receiver_dies_while_given/0,
         receiver_with_heir_dies_while_given/0, giver_dies_while_given/0,
         receiver_dies_before_message/0, receiver_gives_on_before_message/0,
         receiver_deletes_before_message/0, receiver_dies_before_giving/0,
         owner_dies_before_giving/0, table_deleted_before_giving/0, calls_wait_while_inherited/0,
         heir_dies_before_inheriting/0, finder_dies_while_inherited/0,
         heir_dies_before_message/0, heir_gives_on_before_message/0,
         heir_is_replaced_before_giving/0, name_is_free_before_buried/0, fixed_while_given/0,
         fixed_before_buried/0, name_is_had_when_the_table_is_dead/0,
         renaming_is_one_store/0]).

-include_lib("eunit/include/eunit.hrl").
-import(xets_test_lib, [outcome/1, run/2, start/2, await/1, call/4, kill/1, transfer/1,
                        no_transfer/1]).

%% One for the test, and one for each of the processes that it starts, of which
%% calls_wait_while_given/0 has the most.
-define(SCHEDULERS, 14).

%% A test that is not over by then (ms) fails. It takes the emulator along.
-define(TEST_LIMIT, 40000).

%% Nobody stands still for longer (ms), so that the emulator can end even if nobody has ended it.
-define(GUARD_LIMIT, 60000).

transitions_test_() ->
    {timeout, 120,
     {setup, fun start_peer/0, fun end_peer/1,
      fun(Peer) -> [{atom_to_list(Name), {timeout, 60, fun() -> in_peer(Peer, Name) end}}
                    || Name <- names()]
      end}}.

%% Embedded: a call of a module that has not been loaded here fails. Loading it would wait for
%% schedulers that stand still.
start_peer() ->
    Priv = filename:absname(os:getenv("XETS_TEST_HOOKS")),
    true = filelib:is_regular(filename:join(Priv, "xets.so")),
    Paths = lists:append([["-pa", filename:absname(filename:dirname(code:which(M)))]
                          || M <- [xets, ?MODULE]]),
    Schedulers = lists:concat([?SCHEDULERS, ":", ?SCHEDULERS]),
    {ok, Peer, _} = peer:start(#{connection => standard_io,
                                 env => [{"XETS_PRIV", Priv}],
                                 args => ["+S", Schedulers, "+sbwt", "none", "-mode", "embedded"
                                          | Paths]}),
    [{module, M} = peer:call(Peer, code, load_file, [M])
     || M <- [xets_errors, xets_options, xets_info, xets_durable, xets, xets_test_lib,
                 ?MODULE]],
    {Peer, peer:call(Peer, os, getpid, [])}.

%% At once: an emulator where a scheduler stands still does not end when it is told to.
end_peer({Peer, OsPid}) ->
    Monitor = monitor(process, Peer),
    os:cmd("kill -9 " ++ OsPid),
    receive {'DOWN', Monitor, process, Peer, _} -> ok end.

%% Where a test has got stuck the next ones would too: without the emulator they fail at once.
in_peer({Peer, _} = Emulator, Name) ->
    try peer:call(Peer, ?MODULE, isolated, [Name], ?TEST_LIMIT) of
        Result -> ?assertEqual(ok, Result)
    catch
        exit:Reason ->
            end_peer(Emulator),
            error(Reason)
    end.

%%% In the emulator with the points

isolated(Name) ->
    {Pid, Monitor} = spawn_opt(fun() ->
                                       put(scheduler, 1),
                                       ?MODULE:Name(),
                                       exit(ok)
                               end, [monitor, {scheduler, 1}]),
    receive {'DOWN', Monitor, process, Pid, Reason} -> ok end,
    [kill(Owner) || Table <- xets:all(), Owner <- [xets:info(Table, owner)], is_pid(Owner)],
    Reason.

%% An actor that has a scheduler for itself.
actor() ->
    xets_test_lib:actor([{scheduler, next_scheduler()}]).

%% Fails if there are more processes than schedulers.
next_scheduler() ->
    Next = get(scheduler) + 1,
    ?assert(Next =< ?SCHEDULERS),
    put(scheduler, Next),
    Next.

%% From now on whoever comes to the point stops there.
stop_at(Point) ->
    Self = self(),
    Guard = spawn_opt(fun() ->
                              register(Point, self()),
                              Self ! {at, self(), ready},
                              guard(Self, Point)
                      end, [link, {scheduler, 1}]),
    receive {at, Guard, ready} -> Guard end.

guard(Master, Point) ->
    receive
        Point -> Master ! {at, self(), Point}, guard(Master, Point);
        go -> ok
    after ?GUARD_LIMIT -> exit({nobody_says_go, Point})
    end.

%% Somebody has come to the point.
stopped(Guard) ->
    receive {at, Guard, _} -> ok end.

%% Nobody stops there any more.
go(Guard) ->
    Monitor = monitor(process, Guard),
    Guard ! go,
    receive {'DOWN', Monitor, process, Guard, _} -> ok end.

%% Lets the actor make a call that comes to the point.
stop(Point, Actor, Fun) ->
    Guard = stop_at(Point),
    Call = start(Actor, Fun),
    stopped(Guard),
    {Guard, Call}.

%% Calls that have met the table on its way, have yielded and try again.
waiting(Calls) ->
    true = register(xets_waits, self()),
    Waiting = [begin
                   Actor = actor(),
                   Call = start(Actor, Fun),
                   receive {xets_waits, Actor} -> Call end
               end || Fun <- Calls],
    true = unregister(xets_waits),
    Waiting.

names() ->
    [calls_wait_while_given, receiver_dies_while_given, receiver_with_heir_dies_while_given,
     giver_dies_while_given, receiver_dies_before_message, receiver_gives_on_before_message,
     receiver_deletes_before_message, receiver_dies_before_giving, owner_dies_before_giving,
     table_deleted_before_giving,
     calls_wait_while_inherited, heir_dies_before_inheriting, finder_dies_while_inherited,
     heir_dies_before_message, heir_gives_on_before_message, heir_is_replaced_before_giving,
     name_is_free_before_buried, fixed_while_given, fixed_before_buried,
     name_is_had_when_the_table_is_dead,
     renaming_is_one_store].

%% Owner, table and somebody, the table being of the owner's and public.
setting(Options) ->
    [Owner, Other] = [actor(), actor()],
    Table = run(Owner, fun() ->
                               T = xets:new(xets_transition, [public, named_table | Options]),
                               xets:insert(T, {k, 1}),
                               T
                       end),
    {Owner, Other, Table}.

give(Table, To) ->
    fun() -> xets:give_away(Table, To, gift) end.

is_gone(Table) ->
    ?assertEqual(undefined, xets:info(Table)),
    ?assertEqual(undefined, xets:whereis(Table)),
    ?assertNot(lists:member(Table, xets:all())),
    Table = xets:new(Table, [named_table]),
    true = xets:delete(Table).

%%% OWNED(p) -> MOVING(p) -> OWNED(q): give_away/3

calls_wait_while_given() ->
    {Owner, Receiver, Table} = setting([]),
    Tid = xets:whereis(Table),
    {Guard, Giving} = stop(xets_give_moving, Owner, give(Table, Receiver)),
    Calls = waiting([fun() -> xets:lookup(Table, k) end,
                     fun() -> xets:lookup(Tid, k) end,
                     fun() -> xets:info(Tid, owner) end,
                     fun() -> proplists:get_value(owner, xets:info(Tid)) end,
                     fun() -> xets:info(Table, size) end,
                     fun() -> xets:insert_new(Table, {k, 2}) end,
                     fun() -> xets:whereis(Table) end,
                     fun() -> lists:member(Table, xets:all()) end,
                     fun() -> xets:safe_fixtable(Table, false) end,
                     fun() -> outcome(fun() -> xets:rename(Table, Table) end) end,
                     fun() -> outcome(fun() -> xets:new(Table, [named_table]) end) end]),
    go(Guard),
    ?assertEqual({value, true}, await(Giving)),
    ?assertEqual([[{k, 1}], [{k, 1}], Receiver, Receiver, 1, false, Tid, true, true,
                  {error, badarg}, {error, badarg}],
                 [begin {value, Value} = await(Call), Value end || Call <- Calls]),
    ?assertEqual({Table, Owner, gift}, transfer(Receiver)),
    no_transfer(Receiver),
    kill(Receiver),
    is_gone(Table).

receiver_dies_while_given() ->
    {Owner, Receiver, Table} = setting([]),
    {Guard, Giving} = stop(xets_give_moving, Owner, give(Table, Receiver)),
    kill(Receiver),
    Calls = waiting([fun() -> xets:info(Table) end, fun() -> xets:lookup(Table, k) end]),
    go(Guard),
    ?assertEqual({value, true}, await(Giving)),
    ?assertEqual([{value, undefined}, {error, badarg}], [await(Call) || Call <- Calls]),
    is_gone(Table).

receiver_with_heir_dies_while_given() ->
    Heir = actor(),
    {Owner, Receiver, Table} = setting([{heir, Heir, data}]),
    {Guard, Giving} = stop(xets_give_moving, Owner, give(Table, Receiver)),
    kill(Receiver),
    go(Guard),
    ?assertEqual({value, true}, await(Giving)),
    ?assertEqual(Heir, xets:info(Table, owner)),
    ?assertEqual({Table, Receiver, data}, transfer(Heir)),
    no_transfer(Heir),
    kill(Heir),
    is_gone(Table).

%% The exit signal waits until the call is over.
giver_dies_while_given() ->
    {Owner, Receiver, Table} = setting([]),
    {Guard, _Giving} = stop(xets_give_moving, Owner, give(Table, Receiver)),
    exit(Owner, kill),
    Monitor = monitor(process, Owner),
    go(Guard),
    receive {'DOWN', Monitor, process, Owner, _} -> ok end,
    ?assertEqual(Receiver, xets:info(Table, owner)),
    ?assertEqual({Table, Owner, gift}, transfer(Receiver)),
    no_transfer(Receiver),
    kill(Receiver),
    is_gone(Table).

receiver_dies_before_message() ->
    {Owner, Receiver, Table} = setting([]),
    {Guard, Giving} = stop(xets_give_owned, Owner, give(Table, Receiver)),
    ?assertEqual(Receiver, xets:info(Table, owner)),
    kill(Receiver),
    is_gone(Table),
    go(Guard),
    ?assertEqual({value, true}, await(Giving)),
    is_gone(Table).

receiver_gives_on_before_message() ->
    {Owner, Receiver, Table} = setting([]),
    Third = actor(),
    {Guard, Giving} = stop(xets_give_owned, Owner, give(Table, Receiver)),
    %% it knows by other ways than the message
    go_on_as(Guard, xets_give_owned, fun() -> true = run(Receiver, give(Table, Third)) end),
    ?assertEqual({value, true}, await(Giving)),
    ?assertEqual(Third, xets:info(Table, owner)),
    ?assertEqual({Table, Receiver, gift}, transfer(Third)),
    ?assertEqual({Table, Owner, gift}, transfer(Receiver)),
    kill(Receiver),
    ?assertEqual(Third, xets:info(Table, owner)),
    kill(Third),
    is_gone(Table).

%% What others do who come to the point as well while one stands there: the guard gives up its
%% name, so that they do not stop.
go_on_as(Guard, Point, Fun) ->
    unregister(Point),
    Fun(),
    go(Guard).

receiver_deletes_before_message() ->
    {Owner, Receiver, Table} = setting([]),
    {Guard, Giving} = stop(xets_give_owned, Owner, give(Table, Receiver)),
    true = run(Receiver, fun() -> xets:delete(Table) end),
    is_gone(Table),
    go(Guard),
    ?assertEqual({value, true}, await(Giving)),
    is_gone(Table).

receiver_dies_before_giving() ->
    {Owner, Receiver, Table} = setting([]),
    {Guard, Giving} = stop(xets_give, Owner, give(Table, Receiver)),
    kill(Receiver),
    go(Guard),
    ?assertEqual({error, badarg}, await(Giving)),
    ?assertEqual(Owner, xets:info(Table, owner)),
    kill(Owner),
    is_gone(Table).

owner_dies_before_giving() ->
    {Owner, Receiver, Table} = setting([]),
    {Guard, _Giving} = stop(xets_give, Owner, give(Table, Receiver)),
    exit(Owner, kill),
    Monitor = monitor(process, Owner),
    go(Guard),
    receive {'DOWN', Monitor, process, Owner, _} -> ok end,
    ?assertEqual(Receiver, xets:info(Table, owner)),
    ?assertEqual({Table, Owner, gift}, transfer(Receiver)),
    kill(Receiver),
    is_gone(Table).

%% By somebody else: the table is public.
table_deleted_before_giving() ->
    {Owner, Receiver, Table} = setting([]),
    {Guard, Giving} = stop(xets_give, Owner, give(Table, Receiver)),
    true = xets:delete(Table),
    is_gone(Table),
    go(Guard),
    ?assertEqual({error, badarg}, await(Giving)),
    no_transfer(Receiver).

heir_is_replaced_before_giving() ->
    [First, Second] = [actor(), actor()],
    {Owner, Receiver, Table} = setting([{heir, First, 1}]),
    {Guard, Giving} = stop(xets_give_owned, Owner, give(Table, Receiver)),
    true = run(Receiver, fun() -> xets:setopts(Table, {heir, Second, 2}) end),
    go(Guard),
    ?assertEqual({value, true}, await(Giving)),
    kill(Receiver),
    ?assertEqual(Second, xets:info(Table, owner)),
    ?assertEqual({Table, Receiver, 2}, transfer(Second)),
    no_transfer(First),
    kill(Second),
    is_gone(Table).

%%% OWNED(p) -> MOVING(p) -> OWNED(heir) | DEAD: the end of the owner

%% The owner dies, and stops at the point: it is its own exit that tells the library.
dies(Owner, Point) ->
    Guard = stop_at(Point),
    exit(Owner, kill),
    stopped(Guard),
    Guard.

calls_wait_while_inherited() ->
    Heir = actor(),
    {Owner, _, Table} = setting([{heir, Heir, data}]),
    Tid = xets:whereis(Table),
    Guard = dies(Owner, xets_exit_moving),
    Calls = waiting([fun() -> xets:lookup(Table, k) end,
                     fun() -> xets:info(Tid, owner) end,
                     fun() -> xets:whereis(Table) end,
                     fun() -> xets:info(Tid, fixed) end,
                     fun() -> xets:delete(Table, l) end,
                     fun() -> outcome(fun() -> xets:give_away(Table, self(), x) end) end]),
    go(Guard),
    ?assertEqual([[{k, 1}], Heir, Tid, false, true, {error, badarg}],
                 [begin {value, Value} = await(Call), Value end || Call <- Calls]),
    ?assertEqual({Table, Owner, data}, transfer(Heir)),
    no_transfer(Heir),
    kill(Heir),
    is_gone(Table).

heir_dies_before_inheriting() ->
    Heir = actor(),
    {Owner, _, Table} = setting([{heir, Heir, data}]),
    Guard = dies(Owner, xets_exit_moving),
    kill(Heir),
    Calls = waiting([fun() -> xets:lookup(Table, k) end]),
    go(Guard),
    ?assertEqual([{error, badarg}], [await(Call) || Call <- Calls]),
    is_gone(Table).

%% Whoever finds the owner dead completes its exit, though it is killed itself. Its links keep
%% the library from hearing of the owner's death first.
finder_dies_while_inherited() ->
    Heir = actor(),
    Finder = actor(),
    {Owner, _, Table} = setting([{heir, Heir, data}]),
    Guard = dies_slowly(Owner, Finder, Table),
    exit(Finder, kill),
    Monitor = monitor(process, Finder),
    go(Guard),
    receive {'DOWN', Monitor, process, Finder, _} -> ok end,
    ?assertEqual(Heir, xets:info(Table, owner)),
    ?assertEqual({Table, Owner, data}, transfer(Heir)),
    no_transfer(Heir),
    kill(Heir),
    is_gone(Table).

dies_slowly(Owner, Finder, Table) ->
    Self = self(),
    Scheduler = next_scheduler(),
    Links = [spawn_opt(fun() ->
                               process_flag(trap_exit, true),
                               link(Owner),
                               Self ! {linked, self()},
                               receive {'EXIT', Owner, _} -> Self ! {saw_exit, Owner} end
                       end, [{scheduler, Scheduler}]) || _ <- lists:seq(1, 3000)],
    [receive {linked, Link} -> ok end || Link <- Links],
    Guard = stop_at(xets_exit_moving),
    exit(Owner, kill),
    receive {saw_exit, Owner} -> ok end,
    _ = start(Finder, fun() -> xets:lookup(Table, k) end),
    stopped(Guard),
    Guard.

heir_dies_before_message() ->
    Heir = actor(),
    {Owner, _, Table} = setting([{heir, Heir, data}]),
    Guard = dies(Owner, xets_exit_owned),
    ?assertEqual(Heir, xets:info(Table, owner)),
    kill(Heir),
    is_gone(Table),
    go(Guard),
    is_gone(Table).

heir_gives_on_before_message() ->
    [Heir, Third] = [actor(), actor()],
    {Owner, _, Table} = setting([{heir, Heir, data}]),
    Guard = dies(Owner, xets_exit_owned),
    true = run(Heir, give(Table, Third)),
    ?assertEqual({Table, Heir, gift}, transfer(Third)),
    go(Guard),
    ?assertEqual({Table, Owner, data}, transfer(Heir)),
    ?assertEqual(Third, xets:info(Table, owner)),
    kill(Third),
    ?assertEqual({Table, Third, data}, transfer(Heir)),
    no_transfer(Heir),
    kill(Heir),
    is_gone(Table).

%% Between the table's end and the freeing of its name by whoever ended it.
name_is_free_before_buried() ->
    {Owner, _, Table} = setting([]),
    Tid = xets:whereis(Table),
    Guard = dies(Owner, xets_exit_dead),
    ?assertEqual(undefined, xets:whereis(Table)),
    ?assertEqual(undefined, xets:info(Tid)),
    ?assertEqual(Table, xets:new(Table, [named_table])),
    New = xets:whereis(Table),
    go(Guard),
    xets:insert(Table, {k, 2}),
    ?assertEqual([{k, 2}], xets:lookup(Table, k)),
    ?assertEqual(New, xets:whereis(Table)),
    ?assert(lists:member(Table, xets:all())),
    true = xets:delete(Table).

name_is_had_when_the_table_is_dead() ->
    [begin
         {Owner, _, Table} = setting([]),
         Guard = dies(Owner, xets_exit_moving),
         [Call] = waiting([fun() -> Get(Table), xets:whereis(Table) end]),
         go(Guard),
         {value, Tid} = await(Call),
         ?assert(is_reference(Tid)),
         ?assertEqual(Tid, xets:whereis(Table)),
         true = run_delete(Table)
     end
     || Get <- [fun(Name) -> Name = xets:new(Name, [named_table, public]) end,
                fun(Name) ->
                        Other = xets:new(xets_transition_other, [named_table, public]),
                        Name = xets:rename(Other, Name)
                end]].

run_delete(Table) ->
    run(xets:info(Table, owner), fun() -> xets:delete(Table) end).

%%% Names

%% Before the one store that counts the table has the old name, after it the new one.
renaming_is_one_store() ->
    [begin
         {Owner, _, Table} = setting([]),
         Tid = xets:whereis(Table),
         {Guard, Renaming} =
             stop(Point, Owner, fun() -> xets:rename(Table, xets_transition_other) end),
         ?assertEqual({Point, Old, New},
                      {Point, xets:whereis(Table) =:= Tid,
                       xets:whereis(xets_transition_other) =:= Tid}),
         ?assertEqual({Old, New}, {undefined =/= xets:info(Table),
                                   undefined =/= xets:info(xets_transition_other)}),
         ?assertEqual({Old, New}, {lists:member(Table, xets:all()),
                                   lists:member(xets_transition_other, xets:all())}),
         go(Guard),
         ?assertEqual({value, xets_transition_other}, await(Renaming)),
         ?assertEqual(Tid, xets:whereis(xets_transition_other)),
         kill(Owner),
         is_gone(Table),
         is_gone(xets_transition_other)
     end || {Point, Old, New} <- [{xets_renaming, true, false}, {xets_renamed, false, true}]].

%%% Fixations meanwhile

fixed_while_given() ->
    {Owner, Receiver, Table} = setting([]),
    Fixer = actor(),
    [true = run(P, fun() -> xets:safe_fixtable(Table, true) end) || P <- [Owner, Fixer]],
    {Guard, Giving} = stop(xets_give_moving, Owner, give(Table, Receiver)),
    kill(Fixer),
    go(Guard),
    ?assertEqual({value, true}, await(Giving)),
    ?assertMatch({_, [{Owner, 1}]}, xets:info(Table, safe_fixed)),
    kill(Owner),
    ?assertEqual(false, xets:info(Table, fixed)),
    kill(Receiver),
    is_gone(Table).

%% A process that has found the table before it died fixes it after.
fixed_before_buried() ->
    {Owner, Fixer, Table} = setting([]),
    true = run(Fixer, fun() -> xets:safe_fixtable(Table, true) end),
    Guard = dies(Owner, xets_exit_dead),
    ?assertEqual({error, badarg}, call(Fixer, xets, safe_fixtable, [Table, true])),
    ?assertEqual(undefined, xets:info(Table, fixed)),
    ?assertEqual(undefined, xets:info(Table, safe_fixed)),
    kill(Fixer),
    go(Guard),
    is_gone(Table).
