%% @doc Holds: how long any call keeps a normal scheduler from everybody else.
%%
%% The emulator itself reports each process that was scheduled in for longer than a millisecond.
%% Two processes take a table through everything that a call can do to it, small and large; then
%% they run an empty loop for as long, which shows what the machine (a hypervisor above all) does
%% to any process. Large lists are built and large results dropped by collections on dirty
%% schedulers, which are not counted.
-module(xets_bench_holds).

-export([measure/2]).

-define(THRESHOLD_MS, 1).
-define(NS_PER_MS, 1_000_000).
-define(WORKERS, 2).

%% In this order: each phase starts from what the one before has left.
-define(PHASES, [
    {grow, "inserts while growing"},
    {insert_list, "insert/2 of a long list"},
    {mix, "50 % insert, 50 % delete"},
    {counters, "update_counter/3"},
    {lookup_many, "lookup_many/2 of many keys"},
    {large_value, "insert/2 and lookup/2 of a large value"},
    {traverse, "first/1 and next/2 on a fixed table"},
    {bag, "groups of 2,000 objects in a bag"},
    {tab2list, "tab2list/1"},
    {delete, "delete/2 of most objects"},
    {delete_all_objects, "delete_all_objects/1"},
    {delete_table, "delete/1"}
]).

%% @doc The longest hold of a scheduler by either module, over all phases.
-spec measure(map(), xets_bench:conf()) -> #{only := xets_bench_lib:outcome()}.
measure(_Spec, #{large := Objects}) ->
    Previous = erlang:system_monitor(self(), [{long_schedule, ?THRESHOLD_MS}]),
    try
        Ets = stress(ets, Objects),
        Xets = stress(xets, Objects),
        Empty = idle(maps:get(time, Ets), maps:get(time, Xets)),
        #{
            only => #{
                unit => hold,
                ets => longest(Ets),
                xets => longest(Xets),
                empty => longest(Empty),
                note => [
                    ["holds by ETS: ", worst(Ets)],
                    ["; by xets: ", worst(Xets)],
                    ["; by the empty loop: ", worst(Empty)]
                ]
            }
        }
    after
        restore(Previous)
    end.

restore(undefined) -> erlang:system_monitor(undefined);
restore({Pid, Options}) -> erlang:system_monitor(Pid, Options).

longest(#{holds := Holds}) ->
    lists:max([0 | [Ms * ?NS_PER_MS || {Ms, _, _} <- Holds]]).

worst(#{holds := []}) ->
    "none";
worst(#{holds := Holds}) ->
    {Ms, Phase, Out} = lists:max(Holds),
    io_lib:format("~s, the longest ~b ms in ~s, up to ~0p", [
        xets_bench_text:count(length(Holds)), Ms, Phase, Out
    ]).

%% Phases -----------------------------------------------------------------------------------------

stress(Side, Objects) ->
    Pair = xets_bench_pair:open([Side], [{write_concurrency, true}]),
    Table = xets_bench_pair:table(Side, Pair),
    Run = fun({Phase, Title}, Holds) ->
        Work = fun(Worker) -> phase(Phase, Side, Table, Objects, Worker) end,
        [{Ms, Title, Out} || {Ms, Out} <- watched(Work)] ++ Holds
    end,
    Start = erlang:monotonic_time(),
    Holds = lists:foldl(Run, [], ?PHASES),
    Time = erlang:monotonic_time() - Start,
    ok = xets_bench_pair:close(Pair),
    #{holds => Holds, time => Time}.

idle(Time1, Time2) ->
    End = erlang:monotonic_time() + max(Time1, Time2),
    Holds = watched(fun(Worker) -> spin(End, Worker) end),
    #{holds => [{Ms, "empty loop", Out} || {Ms, Out} <- Holds]}.

spin(End, State) ->
    Next = xets_bench_on_none:mix(1000, State, none, {1023, 512, 1024}),
    case erlang:monotonic_time() < End of
        true -> spin(End, Next);
        false -> ok
    end.

phase(grow, Side, Table, Objects, Worker) ->
    each(Objects, Worker, fun(I) -> Side:insert(Table, {I, I}) end);
phase(insert_list, Side, Table, Objects, Worker) ->
    Length = Objects div 5,
    From = Objects + Worker * Length,
    true = Side:insert(Table, [{I, I} || I <- lists:seq(From, From + Length - 1)]);
phase(mix, Side, Table, Objects, Worker) ->
    Draw = {(1 bsl 20) - 1, 512, 1024},
    (xets_bench_lib:loops(Side)):mix(Objects, Worker, Table, Draw);
phase(counters, Side, Table, Objects, Worker) ->
    each(Objects, Worker, fun(I) -> Side:insert(Table, {I, 0}) end),
    each(Objects, Worker, fun(I) -> 1 = Side:update_counter(Table, I, 1) end);
phase(lookup_many, Side, Table, Objects, _Worker) ->
    Keys = lists:seq(1, Objects div 5),
    (xets_bench_lib:loops(Side)):lookup_many([Keys], Table);
phase(large_value, Side, Table, Objects, Worker) ->
    Object = {{large, Worker}, [{I, I} || I <- lists:seq(1, Objects div 10)]},
    true = Side:insert(Table, Object),
    [Object] = Side:lookup(Table, {large, Worker}),
    true = Side:delete(Table, {large, Worker});
phase(traverse, Side, Table, Objects, Worker) ->
    only_first(Worker, fun() ->
        true = Side:safe_fixtable(Table, true),
        ok = traverse(Side, Table, Side:first(Table), Objects div 5),
        true = Side:safe_fixtable(Table, false)
    end);
phase(bag, Side, _Table, Objects, Worker) ->
    Bag = Side:new(xets_bench_bag, [bag]),
    each(min(100, Objects div 2000), Worker, fun(I) -> group(Side, Bag, I) end),
    true = Side:delete(Bag);
phase(tab2list, Side, Table, _Objects, Worker) ->
    only_first(Worker, fun() -> [_ | _] = Side:tab2list(Table) end);
phase(delete, Side, Table, Objects, Worker) ->
    each(Objects * 9 div 10, Worker, fun(I) -> Side:delete(Table, I) end);
phase(delete_all_objects, Side, Table, Objects, Worker) ->
    each(Objects, Worker, fun(I) -> Side:insert(Table, {I, I}) end),
    only_first(Worker, fun() -> true = Side:delete_all_objects(Table) end);
phase(delete_table, Side, Table, Objects, Worker) ->
    only_first(Worker, fun() ->
        [true = Side:insert(Table, {I, I}) || I <- lists:seq(1, Objects)],
        true = Side:delete(Table)
    end).

traverse(_Side, _Table, '$end_of_table', _Left) ->
    ok;
traverse(_Side, _Table, _Key, 0) ->
    ok;
traverse(Side, Table, Key, Left) ->
    Next = Side:next(Table, Key),
    true = Side:delete(Table, Key),
    traverse(Side, Table, Next, Left - 1).

%% All that a bag does with as many objects of one key as are handled on a normal scheduler.
group(Side, Bag, Key) ->
    [true = Side:insert(Bag, {Key, I}) || I <- lists:seq(1, 1000)],
    true = Side:insert(Bag, [{Key, I} || I <- lists:seq(1001, 2000)]),
    2000 = length(Side:lookup(Bag, Key)),
    2000 = length(Side:lookup_element(Bag, Key, 2)),
    [true = Side:delete_object(Bag, {Key, I}) || I <- lists:seq(1, 100)],
    1900 = length(Side:take(Bag, Key)),
    true = Side:insert(Bag, [{Key, I} || I <- lists:seq(1, 2000)]),
    true = Side:delete(Bag, Key).

only_first(1, Fun) -> Fun();
only_first(_, _Fun) -> ok.

%% Fun of every number of 1 to N that belongs to this worker.
each(N, Worker, Fun) ->
    each(Worker, N, ?WORKERS, Fun).

each(I, N, _Step, _Fun) when I > N ->
    ok;
each(I, N, Step, Fun) ->
    _ = Fun(I),
    each(I + Step, N, Step, Fun).

%% The watch --------------------------------------------------------------------------------------

%% Runs the workers; the holds by any of them, as {Milliseconds, where it was scheduled out}.
watched(Work) ->
    Workers = [
        spawn_monitor(fun() ->
            _ = Work(Worker),
            %% A large heap freed by an exit would be a hold of its own.
            erlang:garbage_collect()
        end)
     || Worker <- lists:seq(1, ?WORKERS)
    ],
    [ok = await(Worker, Monitor) || {Worker, Monitor} <- Workers],
    lists:append([reported(Worker) || {Worker, _} <- Workers]).

await(Worker, Monitor) ->
    receive
        {'DOWN', Monitor, process, Worker, normal} -> ok;
        {'DOWN', Monitor, process, Worker, Reason} -> exit(Reason)
    end.

%% Reports are messages like any other; they may come after the worker's end.
reported(Worker) ->
    receive
        {monitor, Worker, long_schedule, Info} -> [held(Info) | reported(Worker)]
    after 20 -> []
    end.

held(Info) ->
    {proplists:get_value(timeout, Info), proplists:get_value(out, Info)}.
