%% The module loaded anew while its tables are in use: as in a release upgrade, with a copy of the
%% library in another file, which the emulator loads beside the first, with globals of its own.
-module(xets_upgrade_tests).

-include_lib("eunit/include/eunit.hrl").

-export([log/2]).
-export([write_until_told/2]).

-define(UPGRADES, 4).

%% Enough for a call that reads them all to go on a dirty scheduler.
-define(MANY, 20000).

%% How long an event is awaited before the test has failed.
-define(PATIENCE_MS, 60000).

upgrade_test_() ->
    {setup, fun set_up/0, fun tear_down/1,
     [{Name, {timeout, 120, Test}}
      || {Name, Test} <-
             [{"U1 tables stay", fun tables_stay/0},
              {"U1 processes go on", fun processes_go_on/0},
              {"U1 a table ends with its owner", fun a_table_ends_with_its_owner/0},
              {"U1 names are freed and taken", fun names_are_freed_and_taken/0},
              {"U1 heirs inherit", fun heirs_inherit/0},
              {"U1 gifts arrive", fun gifts_arrive/0},
              {"U1 fixations stay", fun fixations_stay/0},
              {"U1 a traversal goes on", fun a_traversal_goes_on/0},
              {"U1 bags keep their order", fun bags_keep_their_order/0},
              {"U1 snapshots stay", fun snapshots_stay/0},
              {"U1 durable tables stay", fun durable_tables_stay/0},
              {"U5 what is native stays", fun what_is_native_stays/0},
              {"U1 memory is counted as one", fun memory_is_counted_as_one/0},
              {"U3 memory is given back", fun memory_is_given_back/0},
              {"U4 threads do not add up", fun threads_do_not_add_up/0},
              {"U2 another layout refuses to load", fun another_layout_refuses_to_load/0},
              {"the same file again", fun the_same_file_again/0},
              {"U3 a purge kills who is inside", fun a_purge_kills_who_is_inside/0},
              {"the module may be unloaded", fun the_module_may_be_unloaded/0}]]}.

set_up() ->
    {module, xets} = code:ensure_loaded(xets),
    Priv = os:getenv("XETS_PRIV"),
    Library = case Priv of
                  false -> filename:join([filename:dirname(code:which(xets)), "..", "priv"]);
                  _ -> Priv
              end,
    %% For the tests, which run in processes of their own.
    persistent_term:put(?MODULE, filename:absname(Library)),
    Priv.

%% The directory of the library under test.
library() -> persistent_term:get(?MODULE).

tear_down(Priv) ->
    persistent_term:erase(?MODULE),
    restore_env(Priv).

restore_env(false) -> os:unsetenv("XETS_PRIV");
restore_env(Priv) -> os:putenv("XETS_PRIV", Priv).

%%% Upgrades

%% Loads the module with the library of a directory.
load_from(Dir) ->
    Before = os:getenv("XETS_PRIV"),
    {xets, Beam, File} = code:get_object_code(xets),
    os:putenv("XETS_PRIV", Dir),
    try code:load_binary(xets, File, Beam) after restore_env(Before) end.

%% Loads it with a copy of the library that was never loaded before. The file may go: the emulator
%% has mapped it.
upgrade() ->
    Name = lists:concat(["xets_upgrade_", os:getpid(), "_", erlang:unique_integer([positive])]),
    Dir = filename:join(filename:dirname(code:which(?MODULE)), Name),
    Copy = filename:join(Dir, "xets.so"),
    ok = file:make_dir(Dir),
    try
        {ok, _} = file:copy(filename:join(library(), "xets.so"), Copy),
        %% It purges what is old by then, and who is still in it.
        await_soft_purge(),
        ?assertEqual({module, xets}, load_from(Dir)),
        ?assert(is_mapped(Copy))
    after
        file:delete(Copy),
        file:del_dir(Dir)
    end.

await_soft_purge() ->
    await(fun() -> code:soft_purge(xets) end).

%% Where the system does not tell, it counts as mapped.
is_mapped(File) ->
    case file:read_file("/proc/self/maps") of
        {ok, Maps} -> binary:match(Maps, list_to_binary(filename:basename(filename:dirname(File))))
                          =/= nomatch;
        {error, _} -> true
    end.

await(Condition) ->
    await(Condition, erlang:monotonic_time(millisecond) + ?PATIENCE_MS).

await(Condition, Deadline) ->
    case Condition() of
        true ->
            ok;
        false ->
            ?assert(erlang:monotonic_time(millisecond) < Deadline),
            erlang:yield(),
            await(Condition, Deadline)
    end.

%%% What stays

tables_stay() ->
    Objects = objects(),
    Tables = [with_objects(xets:new(xets_upgrade_table, Options), Objects)
              || Options <- [[public], [protected], [private], [private, named_table, {keypos, 2}],
                             [public, {write_concurrency, true}]]]
        ++ [xets:new(empty, [])],
    Before = [facts(Table) || Table <- Tables],
    [begin
         upgrade(),
         ?assertEqual(Before, [facts(Table) || Table <- Tables]),
         %% Written by the new copy, what the old one wrote, and read by both.
         [begin
              true = xets:insert(Table, {Round, Round, new}),
              ?assertEqual([{Round, Round, new}], xets:take(Table, Round))
          end || Table <- Tables]
     end || Round <- lists:seq(-?UPGRADES, -1)],
    [true = xets:delete(Table) || Table <- Tables],
    ?assertEqual([undefined || _ <- Tables], [xets:info(Table) || Table <- Tables]).

%% While a process writes, and waits for the disk; and one that was opened by an older copy is closed by
%% a newer one.
durable_tables_stay() ->
    Name = lists:concat(["xets_upgrade_", os:getpid(), "_", erlang:unique_integer([positive])]),
    Dir = filename:join(os:getenv("TMPDIR", "/tmp"), Name),
    New = fun() -> xets:new(durable, [public, {durable, #{dir => Dir, sync => disk}}]) end,
    Table = New(),
    {Writer, Monitor} = spawn_monitor(fun() -> write_until_told(Table, 1) end),
    [begin
         upgrade(),
         true = xets:insert(Table, {{round, Round}, Round}),
         ok = xets:checkpoint(Table)
     end || Round <- lists:seq(1, ?UPGRADES)],
    Writer ! stop,
    receive {'DOWN', Monitor, process, Writer, {written, N}} -> ok end,
    Had = lists:sort(xets:tab2list(Table)),
    ?assertEqual(N + ?UPGRADES, length(Had)),
    true = xets:delete(Table),
    upgrade(),
    Again = New(),
    ?assertEqual(Had, lists:sort(xets:tab2list(Again))),
    true = xets:delete(Again),
    ok = xets:destroy(Dir).

write_until_told(Table, N) ->
    true = xets:insert(Table, {N, N}),
    receive
        stop -> exit({written, N})
    after 0 -> ?MODULE:write_until_told(Table, N + 1)
    end.

with_objects(Table, Objects) ->
    true = xets:insert(Table, Objects),
    Table.

facts(Table) ->
    {lists:sort(xets:tab2list(Table)),
     [xets:info(Table, Item) || Item <- [id, name, owner, size, protection, keypos, named_table]]}.

%% Of all the ways to be stored: inline, shared, in blobs, handles.
objects() ->
    Large = binary:copy(<<"large">>, 20000),
    [{I, I, I * I} || I <- lists:seq(1, ?MANY)]
        ++ [{I, -I, {binary:copy(<<I:32>>, 100), #{I => [make_ref(), self(), fun lists:map/2]}}}
            || I <- lists:seq(?MANY + 1, ?MANY + 500)]
        ++ [{{blob, I}, {blob, I}, lists:seq(I, I + 5000)} || I <- lists:seq(1, 20)]
        ++ [{{Large, I}, {I, Large}, binary:part(Large, I, 90000)} || I <- lists:seq(1, 20)].

%% Readers, writers, and calls on dirty schedulers, through several upgrades.
processes_go_on() ->
    Table = xets:new(table, [public]),
    Large = xets:new(large, [public]),
    true = xets:insert(Table, [{I, 0} || I <- lists:seq(1, 100)]),
    true = xets:insert(Large, [{I, I} || I <- lists:seq(1, ?MANY)]),
    true = xets:insert(Large, {list, lists:seq(1, 50000)}),
    Workers = [spawn_monitor(fun() -> work(Work, 0) end)
               || Work <- [fun(N) -> count_up(Table, 1 + N rem 100) end,
                           fun(N) -> count_up(Table, 1 + N rem 100) end,
                           fun(N) -> list_write(Table, N) end,
                           fun(N) -> list_read(Table, N) end,
                           fun(_) -> read_all(Large) end,
                           fun(_) -> read_large(Large) end,
                           fun come_and_go/1]],
    [begin
         Calls = [calls(Pid) || {Pid, _} <- Workers],
         upgrade(),
         [await(fun() -> calls(Pid) > N + 1 end) || {{Pid, _}, N} <- lists:zip(Workers, Calls)]
     end || _ <- lists:seq(1, ?UPGRADES)],
    Counted = [stop(Worker) || Worker <- Workers],
    ?assertEqual(lists:sum(lists:sublist(Counted, 2)),
                 lists:sum([N || {I, N} <- xets:tab2list(Table), is_integer(I)])),
    ?assertEqual(?MANY + 1, length(xets:tab2list(Large))).

work(Work, N) ->
    put(calls, N),
    receive
        stop -> exit({did, N})
    after 0 ->
        ok = Work(N),
        work(Work, N + 1)
    end.

%% How many calls a worker has made. It is alive: a purge has not met it.
calls(Pid) ->
    {dictionary, Dictionary} = process_info(Pid, dictionary),
    proplists:get_value(calls, Dictionary, 0).

stop({Pid, Monitor}) ->
    Pid ! stop,
    receive
        {'DOWN', Monitor, process, Pid, Reason} ->
            ?assertMatch({did, _}, Reason),
            element(2, Reason)
    end.

count_up(Table, Key) ->
    true = is_integer(xets:update_counter(Table, Key, 1)),
    ok.

%% One write of several objects, of which a read sees all or none.
list_write(Table, N) ->
    true = xets:insert(Table, [{{list, I}, N} || I <- lists:seq(1, 50)]),
    ok.

list_read(Table, _) ->
    case xets:lookup_many(Table, [{list, 1}, {list, 50}]) of
        [[], []] -> ok;
        [[{_, _}], [{_, _}]] -> ok
    end.

read_all(Large) ->
    true = length(xets:tab2list(Large)) =:= ?MANY + 1,
    ok.

read_large(Large) ->
    true = length(xets:lookup_element(Large, list, 2)) =:= 50000,
    ok.

come_and_go(N) ->
    Table = xets:new(xets_upgrade_comes_and_goes, [named_table]),
    true = xets:insert(Table, [{I, N} || I <- lists:seq(1, 100)]),
    100 = xets:info(Table, size),
    true = xets:delete(Table),
    undefined = xets:info(Table),
    ok.

%%% Owners and names

a_table_ends_with_its_owner() ->
    Holders = [holder([]) || _ <- lists:seq(1, 3)],
    [upgrade() || _ <- lists:seq(1, ?UPGRADES)],
    [begin
         ?assertEqual([{key, Pid}], xets:lookup(Table, key)),
         end_holder(Pid),
         ?assertEqual(undefined, xets:info(Table)),
         ?assertError(badarg, xets:lookup(Table, key)),
         upgrade()
     end || {Pid, Table} <- Holders].

names_are_freed_and_taken() ->
    {First, Name} = holder([named_table]),
    upgrade(),
    ?assertError(badarg, xets:new(Name, [named_table])),
    end_holder(First),
    ?assertEqual(undefined, xets:whereis(Name)),
    {Second, Name} = holder([named_table]),
    upgrade(),
    ?assertEqual([{key, Second}], xets:lookup(Name, key)),
    end_holder(Second),
    ?assertEqual(undefined, xets:whereis(Name)).

%% The heir, its data and its monitor are of an older copy.
heirs_inherit() ->
    Data = {binary:copy(<<"heir">>, 1000), #{upgrades => ?UPGRADES}},
    {Pid, Table} = holder([{heir, self(), Data}]),
    {Second, Name} = holder([named_table, {heir, self(), small}]),
    [upgrade() || _ <- lists:seq(1, ?UPGRADES)],
    [end_holder(Owner) || Owner <- [Pid, Second]],
    receive {'ETS-TRANSFER', Table, Pid, Inherited} -> ?assertEqual(Data, Inherited) end,
    receive {'ETS-TRANSFER', Name, Second, small} -> ok end,
    upgrade(),
    [begin
         ?assertEqual(self(), xets:info(T, owner)),
         ?assertEqual([{key, Owner}], xets:lookup(T, key)),
         ?assertEqual(true, xets:delete(T))
     end || {T, Owner} <- [{Table, Pid}, {Name, Second}]].

%% Its new owner's end is noticed, by a monitor of whichever copy.
gifts_arrive() ->
    Table = with_objects(xets:new(table, []), [{1, 2}]),
    Receivers = [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, 2)],
    [First, Second] = Receivers,
    upgrade(),
    ?assertEqual(true, xets:give_away(Table, First, gift)),
    ?assertEqual(First, xets:info(Table, owner)),
    ?assertError(badarg, xets:give_away(Table, Second, gift)),
    upgrade(),
    ?assertEqual([{1, 2}], xets:lookup(Table, 1)),
    end_holder(First),
    ?assertEqual(undefined, xets:info(Table, owner)),
    end_holder(Second).

%% A key that is deleted while the table is fixed has a next one, whichever copy is asked.
fixations_stay() ->
    Table = with_objects(xets:new(table, [public]), [{I} || I <- lists:seq(1, 100)]),
    true = xets:safe_fixtable(Table, true),
    Key = xets:first(Table),
    Next = xets:next(Table, Key),
    true = xets:delete(Table, Key),
    [begin
         upgrade(),
         ?assertEqual(Next, xets:next(Table, Key)),
         {_, Fixers} = xets:info(Table, safe_fixed),
         ?assertEqual([{self(), 1}], Fixers)
     end || _ <- lists:seq(1, 2)],
    true = xets:safe_fixtable(Table, false),
    ?assertEqual(false, xets:info(Table, fixed)),
    ?assertError(badarg, xets:next(Table, Key)).

a_traversal_goes_on() ->
    Keys = lists:seq(1, 1000),
    Table = with_objects(xets:new(table, []), [{I} || I <- Keys]),
    ?assertEqual(Keys, lists:sort(traverse(Table, xets:first(Table), 1))).

%% With an upgrade at every 300th key.
traverse(_Table, '$end_of_table', _N) ->
    [];
traverse(Table, Key, N) ->
    N rem 300 =:= 0 andalso upgrade(),
    [Key | traverse(Table, xets:next(Table, Key), N + 1)].

bags_keep_their_order() ->
    [begin
         Table = xets:new(table, [Type]),
         Objects = [{key, N} || N <- lists:seq(1, ?UPGRADES)],
         [begin
              true = xets:insert(Table, Object),
              upgrade()
          end || Object <- Objects],
         ?assertEqual(Objects, xets:lookup(Table, key))
     end || Type <- [bag, duplicate_bag]].

%% Taken, read, ended and collected by different copies.
snapshots_stay() ->
    await_steady(fun bytes/0),
    Before = bytes(),
    {Pid, Monitor} =
        spawn_monitor(fun() ->
            Table = with_objects(xets:new(table, [ordered_set]),
                                 [{I, one} || I <- lists:seq(1, 3000)]),
            Had = xets:tab2list(Table),
            One = xets:snapshot(Table),
            upgrade(),
            true = xets:insert(Table, [{I, two} || I <- lists:seq(1, 2000)]),
            Two = xets:snapshot(One),
            ?assertEqual({Had, Had}, {xets:tab2list(One), xets:tab2list(Two)}),
            upgrade(),
            true = xets:delete(One),
            ?assertError(badarg, xets:insert(Two, {1, three})),
            true = xets:delete(Table),
            upgrade(),
            ?assertEqual(Had, xets:tab2list(Two))
        end),
    receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end,
    await(fun() -> bytes() =:= Before end).

%% A process with a table, which holds {key, Pid} and much more.
holder(Options) ->
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> hold(Options, Self) end),
    receive
        {Pid, Table} -> true = demonitor(Monitor, [flush]), {Pid, Table};
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end.

hold(Options, Tester) ->
    Table = xets:new(xets_upgrade_held, Options),
    true = xets:insert(Table, {key, self()}),
    true = xets:insert(Table, [{I, I} || I <- lists:seq(1, ?MANY)]),
    Tester ! {self(), Table},
    receive stop -> ok end.

end_holder(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, killed} -> ok end.

%%% Memory and threads

bytes() -> maps:get(bytes, xets:info()).

tables() -> maps:get(tables, xets:info()).

memory_is_counted_as_one() ->
    await_steady(fun bytes/0),
    {NoBytes, NoTables} = {bytes(), tables()},
    {Pid, Table} = holder([]),
    {Bytes, Tables, Of} = {bytes(), tables(), xets:info(Table, memory)},
    ?assertEqual(NoTables + 1, Tables),
    [begin
         upgrade(),
         ?assertEqual({Bytes, Tables, Of}, {bytes(), tables(), xets:info(Table, memory)})
     end || _ <- lists:seq(1, ?UPGRADES)],
    end_holder(Pid),
    undefined = xets:info(Table),
    ?assertEqual(NoTables, tables()),
    await(fun() -> bytes() =:= NoBytes end).

%% Until tables of tests before this one are gone.
await_steady(Figure) ->
    Value = Figure(),
    receive after 20 -> ok end,
    case Figure() of
        Value -> ok;
        _ -> await_steady(Figure)
    end.

%% The thread of the newest copy frees what older copies have made.
memory_is_given_back() ->
    Holders = [begin upgrade(), holder([]) end || _ <- lists:seq(1, ?UPGRADES)],
    await_soft_purge(),
    Before = bytes(),
    [end_holder(Pid) || {Pid, _} <- Holders],
    ?assertEqual([undefined || _ <- Holders], [xets:info(Table) || {_, Table} <- Holders]),
    await(fun() -> bytes() < Before - ?UPGRADES * ?MANY * 10 end).

threads_do_not_add_up() ->
    upgrade(),
    case threads() of
        unknown ->
            ok;
        Before ->
            [upgrade() || _ <- lists:seq(1, ?UPGRADES)],
            await(fun() -> threads() =< Before end)
    end.

threads() ->
    case file:list_dir("/proc/" ++ os:getpid() ++ "/task") of
        {ok, Threads} -> length(Threads);
        {error, _} -> unknown
    end.

%%% Refusal

another_layout_refuses_to_load() ->
    Table = with_objects(xets:new(table, []), [{1, 2}]),
    Other = filename:join(os:getenv("XETS_TEST_LIB"), "other_layout"),
    ?assert(filelib:is_regular(filename:join(Other, "xets.so"))),
    await_soft_purge(),
    [begin
         {Result, Said} = listen(fun() -> load_from(Other) end),
         ?assertEqual({error, on_load_failure}, Result),
         ?assertNotEqual(nomatch, string:find(Said, Other)),
         ?assertNotEqual(nomatch, string:find(Said, "keeps tables in another layout")),
         ?assertEqual([{1, 2}], xets:lookup(Table, 1)),
         ?assertEqual(true, xets:insert(Table, {Round, Round}))
     end || Round <- [2, 3]],
    upgrade(),
    ?assertEqual([{1, 2}, {2, 2}, {3, 3}], lists:sort(xets:tab2list(Table))).

%% What a function returns, and what it makes the system log, which is not shown.
listen(Fun) ->
    {ok, #{level := Level}} = logger:get_handler_config(default),
    ok = logger:set_handler_config(default, level, none),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    try
        Result = Fun(),
        receive {?MODULE, Said} -> {Result, Said} end
    after
        ok = logger:remove_handler(?MODULE),
        ok = logger:set_handler_config(default, level, Level)
    end.

%% The callback of the handler.
log(Event, #{config := Pid}) ->
    Formatter = #{single_line => true, template => [msg]},
    Pid ! {?MODULE, lists:flatten(logger_formatter:format(Event, Formatter))}.

%% Whatever the environment says by then: references and large maps are stored otherwise where
%% they are native, and the keys of a table must go on being found.
what_is_native_stays() ->
    #{native_terms := Native} = xets:info(),
    Before = os:getenv("XETS_TERMS"),
    Keys = [make_ref(), maps:from_list([{I, I} || I <- lists:seq(1, 100)]), {1.5, "list"}],
    Table = with_objects(xets:new(table, []), [{Key, Key} || Key <- Keys]),
    [begin
         os:putenv("XETS_TERMS", Terms),
         try upgrade() after restore("XETS_TERMS", Before) end,
         ?assertMatch(#{native_terms := Native}, xets:info()),
         [?assertEqual([{Key, Key}], xets:lookup(Table, Key)) || Key <- Keys],
         [?assert(xets:insert(Table, {Key, Key})) || Key <- Keys],
         ?assertEqual(length(Keys), xets:info(Table, size))
     end || Terms <- ["portable", ""]].

restore(Name, false) -> os:unsetenv(Name);
restore(Name, Value) -> os:putenv(Name, Value).

%%% The module itself

the_same_file_again() ->
    Table = with_objects(xets:new(table, []), [{1, 2}]),
    upgrade(),
    [begin
         await_soft_purge(),
         ?assertEqual({module, xets}, load_from(library())),
         ?assertEqual([{1, 2}], xets:lookup(Table, 1))
     end || _ <- lists:seq(1, ?UPGRADES)].

%% As a purge does with any module: who is in a call of the old code does not survive it. The
%% table does, and so does a call that is at work on a dirty scheduler meanwhile.
a_purge_kills_who_is_inside() ->
    Table = xets:new(table, [public]),
    true = xets:insert(Table, [{I, I} || I <- lists:seq(1, 10 * ?MANY)]),
    {Pid, Monitor} = spawn_monitor(fun() -> read_forever(Table) end),
    suspend_inside(Pid),
    ?assertEqual({module, xets}, load_from(library())),
    ?assertEqual(false, code:soft_purge(xets)),
    ?assertEqual(true, code:purge(xets)),
    receive
        {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(killed, Reason)
    end,
    upgrade(),
    ?assertEqual(10 * ?MANY, xets:info(Table, size)),
    ?assertEqual([{7, 7}], xets:lookup(Table, 7)).

read_forever(Table) ->
    _ = xets:tab2list(Table),
    read_forever(Table).

suspend_inside(Pid) ->
    await_soft_purge(),
    await(fun() ->
                  suspend(Pid) andalso (is_inside(Pid) orelse not erlang:resume_process(Pid))
          end).

%% It fails now and then while the process changes schedulers.
suspend(Pid) ->
    try erlang:suspend_process(Pid) catch error:internal_error -> false end.

is_inside(Pid) ->
    {current_stacktrace, Trace} = process_info(Pid, current_stacktrace),
    lists:keymember(xets, 1, Trace).

%% That is no upgrade: what was opened before may be out of reach afterwards.
the_module_may_be_unloaded() ->
    {Pid, _Table} = holder([]),
    {Named, _Name} = holder([named_table]),
    await_soft_purge(),
    true = code:delete(xets),
    await_soft_purge(),
    ?assertEqual(false, code:is_loaded(xets)),
    end_holder(Pid),
    Table = with_objects(xets:new(table, []), [{1, 2}]),
    end_holder(Named),
    ?assertEqual([{1, 2}], xets:lookup(Table, 1)),
    upgrade(),
    ?assertEqual([{1, 2}], xets:lookup(Table, 1)).
