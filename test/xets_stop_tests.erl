%% Emulators that stop while processes write to durable tables: the guarantees P1 and P2 of
%% c_src/beam/journal_drv.c, and J1 of c_src/core/journal.h.
%%
%% Whoever has written notes it in a file of its own, by a call that returns when the system has
%% it: what is noted was acknowledged before the emulator had stopped.
-module(xets_stop_tests).

-include_lib("eunit/include/eunit.hrl").

%% In the other emulators.
-export([write_and_stop/3, stand_still_and_stop/2, stop_application/1, kill_port/2, without_port/1, unload/1, upgrade/2]).
-export([open_in_application/2, start/2, stop/1]).

-import(xets_test_lib, [eventually/1]).

-define(WRITERS, 4).

%% Rounds of a writer before the emulator is stopped, and its writes in each. They are so large, in
%% so many tables, that whoever writes them to files does not keep up, and some are always only in
%% memory.
-define(ROUNDS, 6).
-define(WRITES, 20).
-define(BYTES, 50000).

%%% Tests

%% P1. A slow stop is mostly waiting.
stop_test_() ->
    {inparallel,
     [written(Stop, memory, Status)
      || {Stop, Status} <- [{"halt()", 0}, {"halt(1)", 1}, {"init:stop()", 0}, {"SIGTERM", 0}]]}.

%% J1
kill_test_() ->
    [written(Stop, os, Status)
     || {Stop, Status} <- [{"SIGKILL", 128 + 9}, {"halt(abort)", 128 + 6}]].

written(Stop, Level, Status) ->
    {lists:concat([Level, ", ", Stop]), {timeout, 120, fun() -> in_dir(fun(Dir) ->
        Child = child("write_and_stop", [Dir, Level, Stop]),
        ?assertEqual({Status, []}, ended(Child, Stop)),
        [all_noted(Dir, W) || W <- lists:seq(1, ?WRITERS)]
    end) end}}.

%% And perhaps more, which its writer had not noted.
all_noted(Dir, W) ->
    T = table(Dir, W, os),
    Found = found(T),
    ?assertEqual(lists:seq(1, length(Found)), Found),
    ?assert(length(Found) >= noted(Dir, W)),
    true = xets:delete(T).

%% P1, P2. Of what is written in stop_test_() nobody knows how much is only in memory when the port
%% closes. Here the journals' thread stands still until it has closed (c_src/beam/hooks.h).
nothing_is_written_before_the_port_closes_test_() ->
    [{Stop, {timeout, 120, fun() -> in_dir(fun(Dir) ->
        Hooks = [{"XETS_PRIV", filename:absname(os:getenv("XETS_TEST_HOOKS"))}],
        Child = child("stand_still_and_stop", [Dir, Stop], Hooks),
        ?assertEqual({Status, []}, ended(Child, none)),
        found_all(Dir, 30)
    end) end}}
     || {Stop, Status} <- [{"init:stop()", 0}, {"application:stop(xets)", 128 + 6}]].

%% P2
the_application_stops_first_test_() ->
    {timeout, 120, fun() -> in_dir(fun(Dir) ->
        Child = child("stop_application", [Dir]),
        ?assertEqual({128 + 6, []}, ended(Child, none)),
        found_all(Dir, 200)
    end) end}.

%% P2. Whatever closes it; P1 holds for the one that comes after it, too.
the_port_is_killed_test_() ->
    [{Title, {timeout, 120, fun() -> in_dir(fun(Dir) ->
        Child = child("kill_port", [Dir, Kill]),
        ?assertEqual({0, []}, ended(Child, none)),
        found_all(Dir, 200)
    end) end}} || {Title, Kill} <- [{"the port", port}, {"its process", process}]].

there_is_no_port_test_() ->
    {timeout, 120, fun() -> in_dir(fun(Dir) ->
        Child = child("without_port", [Dir]),
        ?assertEqual({128 + 6, []}, ended(Child, none)),
        found_all(Dir, 100)
    end) end}.

%% The first table is opened by an application that is being started, or stopped with the system.
an_application_opens_a_table_test_() ->
    [{atom_to_list(When), {timeout, 120, fun() -> in_dir(fun(Dir) ->
        Child = child("open_in_application", [Dir, When]),
        ?assertEqual({0, []}, ended(Child, none)),
        found_all(Dir, 100)
    end) end}} || When <- [start, stop]].

%% P1. There is no thread of the journals then.
the_module_is_unloaded_test_() ->
    {timeout, 120, fun() -> in_dir(fun(Dir) ->
        Child = child("unload", [Dir]),
        ?assertEqual({0, []}, ended(Child, none)),
        found_all(Dir, 100)
    end) end}.

%% U1. The port that there was; or one that is opened later, of the driver that there was.
an_upgrade_keeps_the_port_test_() ->
    [{atom_to_list(Port), {timeout, 120, fun() -> in_dir(fun(Dir) ->
        Child = child("upgrade", [Dir, Port]),
        ?assertEqual({0, []}, ended(Child, none)),
        found_all(Dir, 300)
    end) end}} || Port <- [older, newer]].

found_all(Dir, N) ->
    T = table(Dir, 0, os),
    ?assertEqual(lists:seq(1, N), found(T)),
    true = xets:delete(T).

in_dir(Fun) ->
    Name = io_lib:format("xets_stop_~s_~b", [os:getpid(), erlang:unique_integer([positive])]),
    Dir = filename:join(os:getenv("TMPDIR", "/tmp"), lists:flatten(Name)),
    ok = file:make_dir(Dir),
    try
        Fun(Dir)
    after
        file:del_dir_r(Dir)
    end.

%% The table of a writer. There is no time for checkpoints.
table(Dir, Writer, Level) ->
    Durable = #{dir => filename:join(Dir, lists:concat(["table", Writer])), sync => Level,
                checkpoint_after => 1 bsl 30},
    xets:new(stops, [ordered_set, public, {durable, Durable}]).

%% The numbers of what was written, as far as it is there, and whole.
found(T) ->
    [I || {I, <<Begin:64, _:(?BYTES - 16)/binary, End:64>>} <- xets:tab2list(T),
          I =:= Begin, I =:= End].

noted(Dir, Writer) ->
    {ok, <<N:64>>} = file:read_file(notes(Dir, Writer)),
    ?assert(N >= ?ROUNDS * ?WRITES),
    N.

notes(Dir, Writer) ->
    filename:join(Dir, integer_to_list(Writer)).

%%% The other emulators

%% One that calls a function of this module. If it does not end, for the test has failed, it gets no
%% more than its share of processor time.
child(Function, Args) ->
    child(Function, Args, []).

child(Function, Args, Env) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Paths = [filename:absname(filename:dirname(code:which(M))) || M <- [xets, ?MODULE]],
    Allocators = case os:getenv("XETS_TEST_SMALL") of false -> []; _ -> ["+Mea", "min"] end,
    Arguments = lists:join(", ", [io_lib:format("~0p", [Arg]) || Arg <- Args]),
    Call = io_lib:format("~s:~s(~s)", [?MODULE, Function, Arguments]),
    open_port({spawn_executable, "/bin/sh"},
              [{args, ["-c", "ulimit -c 0; ulimit -t 300; exec \"$0\" \"$@\"", Erl | Allocators]
                      ++ ["-noshell", "-noinput", "-pa" | Paths]
                      ++ ["-eval", lists:flatten(Call)]},
               {env, [{"ERL_CRASH_DUMP_SECONDS", "0"} | Env]},
               {line, 1000}, exit_status, stderr_to_stdout]).

%% Its exit status, and what it has said; it gets a signal when it says that it is ready. What it
%% says just before halt(abort) is lost.
ended(Port, Stop) ->
    ended(Port, Stop, []).

ended(Port, Stop, Said) ->
    receive
        {Port, {data, {eol, "ready"}}} ->
            {os_pid, Pid} = erlang:port_info(Port, os_pid),
            signal(Stop, integer_to_list(Pid)),
            ended(Port, Stop, Said);
        {Port, {data, {_, Line}}} ->
            ended(Port, Stop, [Line | Said]);
        {Port, {exit_status, Status}} ->
            {Status, lists:reverse(Said)}
    end.

signal("SIG" ++ Name, Pid) -> os:cmd("kill -" ++ Name ++ " " ++ Pid);
signal(_, _) -> ok.

write_and_stop(Dir, Level, Stop) ->
    quiet(),
    Self = self(),
    [spawn_link(fun() -> write(Dir, W, Level, Self) end) || W <- lists:seq(1, ?WRITERS)],
    [receive {written, W} -> ok end || W <- lists:seq(1, ?WRITERS)],
    case Stop of
        "halt()" -> halt();
        "halt(1)" -> halt(1);
        "init:stop()" -> init:stop();
        "halt(abort)" -> halt(abort);
        "SIG" ++ _ -> io:put_chars("ready\n")
    end,
    receive after infinity -> ok end.

write(Dir, Writer, Level, Starter) ->
    T = table(Dir, Writer, Level),
    #{sync := Level} = xets:info(T, durable),
    {ok, Notes} = file:open(notes(Dir, Writer), [raw, binary, write]),
    write_rounds(T, Notes, 1, {Starter, {written, Writer}}).

write_rounds(T, Notes, Round, {Starter, Message} = Told) ->
    To = Round * ?WRITES,
    write_numbers(T, To - ?WRITES + 1, To),
    ok = file:pwrite(Notes, 0, <<To:64>>),
    Round =:= ?ROUNDS andalso (Starter ! Message),
    write_rounds(T, Notes, Round + 1, Told).

write_numbers(T, From, To) ->
    Zeros = <<0:(8 * (?BYTES - 16))>>,
    [true = xets:insert(T, {I, <<I:64, Zeros/binary, I:64>>}) || I <- lists:seq(From, To)].

%% The thread stands still when it tells somebody of a sync.
stand_still_and_stop(Dir, Stop) ->
    quiet(),
    T = table(Dir, 0, memory),
    write_numbers(T, 1, 10),
    Self = self(),
    Port = port(),
    spawn(fun() ->
        register(journal_tells, self()),
        Ref = erlang:monitor(port, Port),
        spawn(fun() -> xets:sync(T) end),
        receive journal_tells -> Self ! stands_still end,
        receive {'DOWN', Ref, port, Port, _} -> ok end
    end),
    receive stands_still -> ok end,
    write_numbers(T, 11, 30),
    #{sync := memory, unwritten := 20} = xets:info(T, durable),
    case Stop of
        "init:stop()" ->
            init:stop(),
            receive after infinity -> ok end;
        "application:stop(xets)" ->
            ok = application:stop(xets),
            #{sync := os, unwritten := 0, unsynced := 0} = xets:info(T, durable),
            halt(abort)
    end.

%% At level memory, as long as there is a port; in time for what has been written so.
stop_application(Dir) ->
    quiet(),
    T = table(Dir, 0, memory),
    write_numbers(T, 1, 100),
    #{sync := memory} = xets:info(T, durable),
    ok = application:stop(xets),
    #{sync := os, unwritten := 0, unsynced := 0} = xets:info(T, durable),
    write_numbers(T, 101, 200),
    #{sync := os, unwritten := 0} = xets:info(T, durable),
    halt(abort).

%% The emulator stops as soon as there is no port any more: perhaps before there is another one, and
%% before what was written is in the files.
kill_port(Dir, Kill) ->
    quiet(),
    T = table(Dir, 0, memory),
    write_numbers(T, 1, 100),
    #{sync := memory} = xets:info(T, durable),
    another_port(T),
    write_numbers(T, 101, 200),
    Port = port(),
    Ref = erlang:monitor(port, Port),
    exit(case Kill of port -> Port; process -> whereis(xets_port) end, kill),
    receive {'DOWN', Ref, port, Port, _} -> halt() end.

%% An application of that name which has none.
without_port(Dir) ->
    quiet(),
    ok = application:load({application, xets, [{vsn, ""}, {applications, [kernel, stdlib]}]}),
    T = table(Dir, 0, memory),
    undefined = whereis(xets_port),
    write_numbers(T, 1, 100),
    #{sync := os, unwritten := 0} = xets:info(T, durable),
    halt(abort).

port() ->
    Connected = {connected, whereis(xets_port)},
    [Port] = [P || P <- erlang:ports(), erlang:port_info(P, connected) =:= Connected],
    Port.

open_in_application(Dir, When) ->
    quiet(),
    ok = application:load({application, user_of_xets, [
        {vsn, ""}, {applications, [kernel, stdlib]}, {mod, {?MODULE, {Dir, When}}}
    ]}),
    ok = application:start(user_of_xets),
    init:stop(),
    receive after infinity -> ok end.

start(_Type, {Dir, When}) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        When =:= start andalso open_and_write(Dir, memory),
        Self ! ready,
        receive after infinity -> ok end
    end),
    receive ready -> {ok, Pid, {Dir, When}} end.

stop({Dir, stop}) -> open_and_write(Dir, os);
stop({_, start}) -> ok.

%% The level at which writes return.
open_and_write(Dir, Level) ->
    T = table(Dir, 0, memory),
    #{sync := Level} = xets:info(T, durable),
    write_numbers(T, 1, 100).

unload(Dir) ->
    quiet(),
    T = table(Dir, 0, memory),
    write_numbers(T, 1, 100),
    #{sync := memory} = xets:info(T, durable),
    true = code:delete(xets),
    false = code:purge(xets),
    halt().

upgrade(Dir, Port) ->
    quiet(),
    T = table(Dir, 0, memory),
    write_numbers(T, 1, 100),
    Library = xets:durable_library_nif(),
    Copy = filename:join(Dir, "copy"),
    ok = file:make_dir(Copy),
    {ok, _} = file:copy(Library, filename:join(Copy, "xets.so")),
    {xets, Beam, File} = code:get_object_code(xets),
    os:putenv("XETS_PRIV", Copy),
    {module, xets} = code:load_binary(xets, File, Beam),
    true = Library =/= xets:durable_library_nif(),
    #{sync := memory} = xets:info(T, durable),
    write_numbers(T, 101, 200),
    Port =:= newer andalso another_port(T),
    write_numbers(T, 201, 300),
    halt().

another_port(T) ->
    Pid = whereis(xets_port),
    exit(Pid, kill),
    eventually(fun() -> not lists:member(whereis(xets_port), [undefined, Pid]) end),
    eventually(fun() -> maps:get(sync, xets:info(T, durable)) =:= memory end).

%% What the end of the system, of an application or of a process makes it say is not of interest.
quiet() ->
    logger:set_primary_config(level, critical).
