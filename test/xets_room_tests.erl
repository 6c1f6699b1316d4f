%% Writes to durable tables while the buffer of the journal is full: they wait, as processes do, and
%% are made when there is room. A build of the library with points to stop at
%% (c_src/beam/hooks.h) has the journals' thread stand still, in an emulator of its own: to everybody
%% it is a disk that does not answer.
-module(xets_room_tests).

-include_lib("eunit/include/eunit.hrl").

%% Called in the other emulator.
-export([full/2]).

-import(xets_test_lib, [eventually/1, stands_still/2]).

full_test_() ->
    {timeout, 300, {setup, fun xets_test_lib:hooked_peer/0, fun peer:stop/1, fun(Peer) ->
        [{atom_to_list(Type), {timeout, 120, fun() ->
            Dir = directory(Type),
            try
                ?assertEqual(ok, peer:call(Peer, ?MODULE, full, [Type, Dir], 110000))
            after
                file:del_dir_r(Dir)
            end
        end}} || Type <- [set, ordered_set, bag, duplicate_bag]]
    end}}.

directory(Type) ->
    Name = lists:concat(["xets_room_", os:getpid(), "_", Type]),
    filename:join(os:getenv("TMPDIR", "/tmp"), Name).

%%% In the other emulator

full(Type, Dir) ->
    Options = [Type, public, {durable, #{dir => Dir, sync => memory}}],
    T = xets:new(room, Options),
    Keys = lists:seq(0, 20),
    true = xets:insert(T, [{K, 0} || K <- Keys]),
    File = Dir ++ ".file",
    From = xets:new(from, [Type]),
    true = xets:insert(From, {loaded, 1}),
    ok = xets:tab2file(From, File),
    {Disk, Sync} = disk_stops(T),
    Stop = atomics:new(1, []),
    %% The second one, whose changes are the smallest that there are, leaves room for none.
    Fillers = [filler(T, Stop, Object) || Object <- [{large, binary:copy(<<0>>, 1000)}, {x}]],
    Calls = calls(Type),
    Callers = [waiting(fun() -> apply(xets, F, [T | Args]) end) || {F, Args, _} <- Calls],
    Loader = waiting(fun() -> xets:file2tab(File, [{table, T}]) end),
    %% Nothing has happened, and nobody tries again and again.
    [[{_, 0}] = xets:lookup(T, K) || K <- Keys],
    Before = reductions(Callers ++ Fillers),
    [erlang:yield() || _ <- lists:seq(1, 1000)],
    ?assertEqual(Before, reductions(Callers ++ Fillers)),
    %% One that dies is missed by nobody.
    {Victim, _} = waiting(fun() -> xets:insert(T, {victim}) end),
    exit(Victim, kill),
    ok = atomics:put(Stop, 1, 1),
    exit(Disk, kill),
    [?assertEqual({F, Result}, {F, result(Caller)})
     || {{F, _, Result}, Caller} <- lists:zip(Calls, Callers)],
    ?assertMatch({ok, _}, result(Loader)),
    ?assert(xets:member(T, loaded)),
    [ok = result(Filler) || Filler <- Fillers],
    ok = file:delete(File),
    ok = result(Sync),
    ?assertEqual(false, xets:member(T, victim)),
    Contents = lists:sort(xets:tab2list(T)),
    true = xets:delete(T),
    Again = xets:new(room, Options),
    ?assertEqual(Contents, lists:sort(xets:tab2list(Again))),
    true = xets:delete(Again),
    ok.

%% From now on nothing is written, until the first of the two processes ends.
disk_stops(T) ->
    stands_still(journal_tells, fun() -> process(fun() -> xets:sync(T) end) end).

%% Inserts and deletes an object again and again until it finds no room.
filler(T, Stop, Object) ->
    waiting(fun() -> fill(T, Stop, Object) end).

fill(T, Stop, Object) ->
    true = xets:insert(T, Object),
    true = xets:delete(T, element(1, Object)),
    case atomics:get(Stop, 1) of
        0 -> fill(T, Stop, Object);
        1 -> ok
    end.

%% Every kind of write, on keys of its own.
calls(Type) ->
    [
        {insert, [{new, 1}], true},
        {insert, [[{new, 2}, {newer, 2}]], true},
        {insert_new, [{newest, 1}], true},
        {delete, [1], true},
        {delete_many, [[2, 3]], true},
        {delete_object, [{4, 0}], true},
        {take, [5], [{5, 0}]},
        {take_many, [[6, 7]], [[{6, 0}], [{7, 0}]]},
        {select_delete, [[{{8, '_'}, [], [true]}]], 1}
    ] ++ of_keys(Type) ++ in_order(Type).

of_keys(Type) when Type =:= set; Type =:= ordered_set ->
    [
        {put_new, [{oldest, 1}], {oldest, 1}},
        {update_counter, [9, 3], 3},
        {update_counter, [other, 3, {other, 4}], 7},
        {update_element, [10, {2, x}], true},
        {select_replace, [[{{11, '_'}, [], [{{11, y}}]}]], 1}
    ];
of_keys(_) ->
    [].

%% Whoever comes first: no other call is about the first key.
in_order(ordered_set) -> [{take_first, [], [{0, 0}]}];
in_order(_) -> [].

%% A process that finds no room.
waiting(Fun) ->
    {Pid, _} = Process = process(Fun),
    eventually(fun() ->
        ?assert(is_process_alive(Pid)),
        {status, waiting} =:= process_info(Pid, status) andalso
            {current_function, {xets_durable, await_room, 2}} =:=
                process_info(Pid, current_function)
    end),
    Process.

process(Fun) ->
    spawn_monitor(fun() -> exit({result, Fun()}) end).

result({Pid, Monitor}) ->
    receive {'DOWN', Monitor, process, Pid, {result, Result}} -> Result end.

reductions(Processes) ->
    [process_info(Pid, reductions) || {Pid, _} <- Processes].
