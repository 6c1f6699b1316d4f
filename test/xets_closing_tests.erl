%% What ends while something else that ends stands still: memory is freed while a durable table
%% waits for its disk, and a durable table is closed while memory is being freed. A build of the
%% library with points to stop at (c_src/beam/hooks.h) has the threads stand still, in an emulator
%% of its own.
-module(xets_closing_tests).

-include_lib("eunit/include/eunit.hrl").

%% Called in the other emulator.
-export([memory_is_freed/1, tables_are_closed/1, files_are_closed/1]).

-import(xets_durable_lib, [in_dir/1, durable/2]).
-import(xets_test_lib, [actor/0, run/2, kill/1, eventually/1, settled/0, stands_still/2]).

closing_test_() ->
    {timeout, 300, {setup, fun xets_test_lib:hooked_peer/0, fun peer:stop/1, fun(Peer) ->
        [{atom_to_list(Test), {timeout, 120, fun() ->
            in_dir(fun(Dir) -> ?assertEqual(ok, peer:call(Peer, ?MODULE, Test, [Dir], 110000)) end)
        end}} || Test <- [memory_is_freed, tables_are_closed, files_are_closed]]
    end}}.

%%% In the other emulator

%% That of the table that is being closed, too, but for its journal.
memory_is_freed(Dir) ->
    #{bytes := Bytes, used := Used} = settled(),
    T = durable(Dir, [public]),
    filled(T),
    {Disk, {Closer, Monitor}} =
        stands_still(durable_closing, fun() -> spawn_monitor(fun() -> xets:delete(T) end) end),
    [true = xets:delete(filled(xets:new(plain, []))) || _ <- lists:seq(1, 3)],
    eventually(fun() -> maps:get(used, xets:info()) =:= Used end),
    ?assert(is_process_alive(Closer)),
    exit(Disk, kill),
    receive {'DOWN', Monitor, process, Closer, Reason} -> ?assertEqual(normal, Reason) end,
    eventually(fun() -> maps:get(bytes, xets:info()) =:= Bytes end),
    closed_with_all(Dir).

%% By its owner, and after its owner's end.
tables_are_closed(Dir) ->
    T = filled(durable(Dir, [])),
    Plain = xets:new(plain, []),
    {Reclaimer, true} = stands_still(xets_dissolving, fun() -> xets:delete(Plain) end),
    true = xets:delete(T),
    Owner = actor(),
    Size = run(Owner, fun() -> xets:info(durable(Dir, []), size) end),
    kill(Owner),
    ok = closed_with_all(Dir),
    ?assertEqual(20000, Size),
    exit(Reclaimer, kill),
    ok.

%% And removed, if they are not whole: that of a process which has ended while it wrote one.
files_are_closed(Dir) ->
    ok = file:make_dir(Dir),
    Writer = actor(),
    Path = unicode:characters_to_binary(filename:join(Dir, "file")),
    New = run(Writer, fun() ->
        {ok, {Output, Name}} = xets:file_write_nif(Path, <<"metadata">>, false),
        put(output, Output),
        Name
    end),
    ?assert(filelib:is_file(New)),
    Plain = xets:new(plain, []),
    {Reclaimer, true} = stands_still(xets_dissolving, fun() -> xets:delete(Plain) end),
    kill(Writer),
    eventually(fun() -> not filelib:is_file(New) end),
    exit(Reclaimer, kill),
    ok.

filled(T) ->
    true = xets:insert(T, [{K, K} || K <- lists:seq(1, 20000)]),
    T.

closed_with_all(Dir) ->
    T = durable(Dir, []),
    ?assertEqual(20000, xets:info(T, size)),
    true = xets:delete(T),
    ok.
