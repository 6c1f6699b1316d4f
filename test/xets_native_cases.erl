%% Random cases of what can become of results: a process reads tables of random terms while its heap
%% is collected, nearly full, asked about and looked through, keeps some of what it has got, sends
%% it, stores it again, sleeps on it, and compares it after the tables have gone.
%%
%% Case I is made from {Seed, I}. What it does at the same time as another process is not the same
%% each time it is run.
-module(xets_native_cases).

-export([run/2, pest/2, disturb/2, disturbed/3, flush/0, collected/1, wake/2]).

-import(xets_native_gen, [pick/1, chance/1]).
-import(xets_native_reads, [model/1, table/1, reads/1, read/3, takes/2, same/1]).

-define(LIMIT, 120000).
%% What is kept of results while others are read.
-define(KEPT, 12).

%% @doc Runs a case; an error if a result was wrong, or the process died of something else.
-spec run(Seed :: integer(), I :: pos_integer()) -> ok.
run(Seed, I) ->
    xets_native_gen:seed({Seed, I}),
    Options = [{fullsweep_after, pick([0, 0, 1, 10, 65535])},
               {min_heap_size, pick([233, 233, 1000, 100000])},
               {message_queue_data, pick([on_heap, off_heap])}],
    Work = fun() -> told(fun() -> work({Seed, I, work}) end) end,
    {Worker, Monitor} = spawn_opt(Work, [monitor | Options]),
    receive
        {'DOWN', Monitor, process, Worker, done} ->
            ok;
        {'DOWN', Monitor, process, Worker, Reason} ->
            erlang:error({{seed, Seed, 'case', I}, Reason})
    after ?LIMIT ->
        exit(Worker, kill),
        erlang:error({{seed, Seed, 'case', I}, never_ends})
    end.

%% Ends the process with what was wrong, if anything was.
told(Fun) ->
    exit(try Fun(), done
         catch Class:Reason:Stack -> {Class, Reason, Stack}
         end).

work(Seed) ->
    xets_native_gen:seed(Seed),
    Worker = self(),
    Pest = spawn_link(fun() -> pest(Worker, xets_native_code:spare()) end),
    Model = literal(model(rand:uniform(6)), chance(3)),
    T = table(Model),
    Names = [Name || Name <- reads(maps:get(type, Model)), chance(3)],
    Kept = lists:foldl(fun(Name, Kept) -> step(Pest, Kept, fun() -> read(Name, T, Model) end) end,
                       [], Names),
    % what points to literals gets copies of them
    _ = persistent_term:erase(self()),
    same(Kept),
    send(Kept),
    put_back(Kept),
    Last = step(Pest, Kept, fun() -> takes(T, Model) end),
    case rand:uniform(3) of
        1 -> true = xets:delete(T);
        2 -> true = xets:delete_all_objects(T);
        3 -> ok
    end,
    same(Last),
    case chance(2) of
        true ->
            self() ! {disturbed, awake},
            erlang:hibernate(?MODULE, wake, [Pest, Last]);
        false ->
            awake(Pest, Last)
    end.

%% The model in an area of literals, to which results will point that have the caller's key in them.
literal(Model, false) ->
    Model;
literal(Model, true) ->
    persistent_term:put(self(), Model),
    persistent_term:get(self()).

%% @private After the sleep: what was to be done after the call has been forgotten.
wake(Pest, Kept) ->
    told(fun() -> awake(Pest, Kept) end).

awake(Pest, Kept) ->
    ok = flush(),
    same(Kept),
    collected(pick(collections())),
    same(Kept),
    unlink(Pest),
    xets_test_lib:kill(Pest).

%% Reads once, and returns what is kept then.
step(Pest, Kept, Read) ->
    _ = [disturb(Pest, pick([purge || chance(20)] ++ disturbances())) || chance(2)],
    Heap = fill(pick([0, 0, rand:uniform(300), rand:uniform(3000)])),
    Outcomes = Read(),
    collected(pick(collections())),
    same(Outcomes),
    true = is_list(Heap),
    ok = flush(),
    lists:sublist(keep(Outcomes) ++ Kept, ?KEPT).

keep([]) -> [];
keep(Outcomes) -> [pick(Outcomes) || _ <- lists:seq(1, 3)].

%% So many words of the heap.
fill(Words) ->
    lists:seq(1, Words div 2).

collections() ->
    [none, none, minor, minor, major, twice].

%% @doc Collects the garbage of this process.
-spec collected(none | minor | major | twice) -> ok.
collected(none) ->
    ok;
collected(minor) ->
    true = garbage_collect(self(), [{type, minor}]),
    ok;
collected(major) ->
    true = garbage_collect(),
    ok;
collected(twice) ->
    % to the old heap, and what was there away
    [true = garbage_collect(self(), [{type, Type}]) || Type <- [minor, minor, major]],
    ok.

%% Another process gets them, and compares them after its heap has been collected. One of those that
%% have been sent to is killed with the message in its queue.
send(Kept) ->
    Victim = spawn(fun() -> receive never -> ok end end),
    Victim ! Kept,
    {Reader, Monitor} =
        spawn_opt(fun() ->
                          receive
                              {kept, Sent} ->
                                  same(Sent),
                                  collected(major),
                                  same(Sent)
                          end
                  end, [monitor, {fullsweep_after, 0}]),
    Reader ! {kept, Kept},
    {Leaver, Left} = spawn_monitor(fun() -> exit({left, Kept}) end),
    receive {'DOWN', Left, process, Leaver, {left, Kept1}} -> same(Kept1) end,
    collected(minor),
    xets_test_lib:kill(Victim),
    receive
        {'DOWN', Monitor, process, Reader, normal} -> ok;
        {'DOWN', Monitor, process, Reader, Reason} -> exit(Reason)
    end.

%% Results are stored again, and come back the same.
put_back(Kept) ->
    Results = [element(2, Outcome) || Outcome <- Kept],
    [begin
         Copy = Module:new(copy, [Type | [compressed || chance(4)]]),
         [true = Module:insert(Copy, {I, R}) || {I, R} <- lists:zip(lists:seq(1, length(Results)),
                                                                    Results)],
         Same = [{R, Module:lookup(Copy, I)}
                 || {I, R} <- lists:zip(lists:seq(1, length(Results)), Results)],
         collected(pick(collections())),
         [true = [{I, R}] =:= Found || {I, {R, Found}} <- lists:zip(lists:seq(1, length(Same)),
                                                                    Same)],
         true = Module:delete(Copy)
     end || {Module, Type} <- [{ets, set}, {xets, pick(xets_native_reads:types())}]],
    ok.

%%% The other process

%% @doc A process that disturbs another one, in the ways that it is told, or in all ways in turn
%% until nobody is busy any more (disturbed/3).
-spec pest(pid(), Spare :: {module(), binary()}) -> no_return().
pest(Pid, Spare) ->
    receive
        {disturb, How} -> disturb(How, Pid, Spare);
        {disturb_while, Busy} -> disturb_while(Pid, Busy, Spare)
    end,
    pest(Pid, Spare).

disturb_while(Pid, Busy, Spare) ->
    case atomics:get(Busy, 1) of
        1 ->
            I = atomics:add_get(Busy, 2, 1),
            Ways = [purge || I rem 40 =:= 0] ++ disturbances(),
            disturb(lists:nth(1 + I rem length(Ways), Ways), Pid, Spare),
            disturb_while(Pid, Busy, Spare);
        0 ->
            ok
    end.

%% @doc Has a pest do something to this process, now or a little later.
-spec disturb(pid(), atom()) -> ok.
disturb(Pest, How) ->
    Pest ! {disturb, How},
    ok.

%% @doc Calls the fun while a pest disturbs this process; counts in Busy how often it has done.
-spec disturbed(pid(), Busy :: atomics:atomics_ref(), fun(() -> T)) -> T.
disturbed(Pest, Busy, Fun) ->
    atomics:put(Busy, 1, 1),
    Pest ! {disturb_while, Busy},
    Result = Fun(),
    atomics:put(Busy, 1, 0),
    Result.

%% @doc Forgets the messages that have disturbed.
-spec flush() -> ok.
flush() ->
    receive {disturbed, _} -> flush() after 0 -> ok end.

disturbances() ->
    [collect, collect_minor, check_code, info, message, large_message, suspend, backtrace].

disturb(collect, Pid, _) ->
    requested(garbage_collect(Pid, [{async, request}]));
disturb(collect_minor, Pid, _) ->
    requested(garbage_collect(Pid, [{async, request}, {type, minor}]));
disturb(check_code, Pid, _) ->
    requested(check_process_code(Pid, lists, [{async, request}]));
disturb(info, Pid, _) ->
    process_info(Pid, [binary, memory, garbage_collection_info, total_heap_size, dictionary]);
disturb(backtrace, Pid, _) ->
    % prints the terms on the stack
    process_info(Pid, backtrace);
disturb(message, Pid, _) ->
    Pid ! {disturbed, small};
disturb(large_message, Pid, _) ->
    Pid ! {disturbed, [{I, #{I => <<I:100>>}} || I <- lists:seq(1, 200)]};
disturb(suspend, Pid, _) ->
    % may say internal_error (OTP 25), and yet suspend a process that is on a dirty scheduler
    _ = [try erlang:Function(Pid) catch error:_ -> gone end
         || Function <- [suspend_process, resume_process]];
disturb(purge, _, Spare) ->
    xets_native_code:purge(Spare).

requested(async) ->
    receive
        {garbage_collect, request, _} -> ok;
        {check_process_code, request, _} -> ok
    end.
