%% Random cases of what can become of results: a process reads tables of random terms while its heap
%% is collected, nearly full, asked about and looked through, keeps some of what it has got, sends
%% it, stores it again, sleeps on it, and compares it after the tables have gone.
%%
%% Case I is made from {Seed, I}. What it does at the same time as another process is not the same
%% each time it is run.
-module(xets_native_cases).

-export([run/2, pest/1, disturb/2, collected/1, wake/2]).

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
    Pest = spawn_link(fun() -> pest(Worker) end),
    Model = model(rand:uniform(6)),
    T = table(Model),
    Names = [Name || Name <- reads(maps:get(type, Model)), chance(3)],
    Kept = lists:foldl(fun(Name, Kept) -> step(Pest, Kept, fun() -> read(Name, T, Model) end) end,
                       [], Names),
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
    _ = [disturb(Pest, pick(disturbances())) || chance(2)],
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

flush() ->
    receive {disturbed, _} -> flush() after 0 -> ok end.

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

%% @doc A process that disturbs another one, in the ways that it is told.
-spec pest(pid()) -> no_return().
pest(Pid) ->
    receive
        {disturb, How} -> disturb_now(Pid, How);
        {disturb_while, Busy} -> disturb_while(Pid, Busy, 0)
    end,
    pest(Pid).

%% Until nobody is busy any more: counts what it has done meanwhile.
disturb_while(Pid, Busy, I) ->
    case atomics:get(Busy, 1) of
        1 ->
            disturb_now(Pid, lists:nth(1 + I rem length(disturbances()), disturbances())),
            atomics:add(Busy, 2, 1),
            disturb_while(Pid, Busy, I + 1);
        0 ->
            ok
    end.

%% @doc Has something done to this process, at once or a little later.
-spec disturb(pid(), atom()) -> ok.
disturb(Pest, How) ->
    Pest ! {disturb, How},
    ok.

disturbances() ->
    [collect, collect_minor, check_code, info, backtrace, message, large_message, suspend, purge].

disturb_now(Pid, collect) ->
    requested(garbage_collect(Pid, [{async, request}]));
disturb_now(Pid, collect_minor) ->
    requested(garbage_collect(Pid, [{async, request}, {type, minor}]));
disturb_now(Pid, check_code) ->
    requested(check_process_code(Pid, lists, [{async, request}]));
disturb_now(Pid, info) ->
    process_info(Pid, [binary, memory, garbage_collection_info, total_heap_size, dictionary]);
disturb_now(Pid, backtrace) ->
    % prints the terms on the stack
    process_info(Pid, backtrace);
disturb_now(Pid, message) ->
    Pid ! {disturbed, small};
disturb_now(Pid, large_message) ->
    Pid ! {disturbed, [{I, #{I => <<I:100>>}} || I <- lists:seq(1, 200)]};
disturb_now(Pid, suspend) ->
    try
        true = erlang:suspend_process(Pid),
        erlang:resume_process(Pid)
    catch
        % it has gone, or is going
        error:_ -> ok
    end;
disturb_now(_Pid, purge) ->
    xets_native_code:purge(xets_spare).

requested(async) ->
    receive
        {garbage_collect, request, _} -> ok;
        {check_process_code, request, _} -> ok
    end.
