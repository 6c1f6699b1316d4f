%% @doc Two processes on two cores, on one table.
%%
%% ETS is tuned: each combination of its concurrency options is tried on the cell, and the best one
%% is measured. The xets table is made with the same options, as in a program that was tuned for
%% ETS and had `ets:' replaced.
-module(xets_bench_together).

-export([measure/2]).

-define(CHUNK, 1000).
-define(LONGEST_WAIT_MS, 500).

-define(OPTIONS, [
    [],
    [{read_concurrency, true}],
    [{write_concurrency, true}],
    [{write_concurrency, true}, {decentralized_counters, true}],
    [{write_concurrency, true}, {read_concurrency, true}],
    [{write_concurrency, auto}],
    [{write_concurrency, auto}, {read_concurrency, true}]
]).

%% For a table of this type, `write_concurrency' is `true' or not: `auto' is the same. Counters are
%% decentralized with it, unless the program says otherwise.
-define(ORDERED_OPTIONS, [
    [ordered_set],
    [ordered_set, {read_concurrency, true}],
    [ordered_set, {write_concurrency, true}],
    [ordered_set, {write_concurrency, true}, {decentralized_counters, false}],
    [ordered_set, {write_concurrency, true}, {read_concurrency, true}]
]).

%% @doc Measures a mix: `loop' is the name of a loop, `insert' and `delete' are shares of all
%% operations. The table is a `set', or what `type' says.
-spec measure(map(), xets_bench:conf()) -> #{only := xets_bench_lib:outcome()}.
measure(Spec, #{few_rounds := Rounds, together_ns := Time} = Conf) ->
    Workers = [worker(N, Conf) || N <- [1, 2]],
    Mix = mix(Spec, Conf),
    Options = tuned(Workers, options(Spec), Mix, Conf),
    Pair = open([ets, xets], Options, Mix),
    Sample = fun(Side, _Round) -> both(Workers, Side, Pair, Mix, Time) end,
    Samples = xets_bench_lib:interleave(Rounds, [ets, xets, none], Sample),
    Counted = [stop(Worker) || Worker <- Workers],
    [ok = check(Mix, Side, Pair, Counted) || Side <- [ets, xets]],
    ok = xets_bench_pair:close(Pair),
    Outcome = xets_bench_lib:net(Samples),
    #{only => Outcome#{note => io_lib:format("ETS tuned: ~0p", [Options])}}.

%% Key range and shares in the form that the loops want.
mix(#{loop := Loop, size := Size} = Spec, Conf) ->
    Insert = maps:get(insert, Spec, 0),
    Delete = maps:get(delete, Spec, 0),
    Objects = power_of_two(maps:get(Size, Conf)),
    %% Inserts and deletes at random keep half of the range in the table.
    Range = if Delete > 0 -> 2 * Objects; true -> Objects end,
    Draw = {Range - 1, round(Insert * 1024), round((Insert + Delete) * 1024)},
    #{loop => Loop, draw => Draw, range => Range, objects => Objects}.

options(#{type := ordered_set}) -> ?ORDERED_OPTIONS;
options(#{}) -> ?OPTIONS.

power_of_two(N) -> 1 bsl round(math:log2(N)).

open(Sides, Options, #{range := Range, objects := Objects}) ->
    Pair = xets_bench_pair:open(Sides, Options),
    Place = fun(I) -> xets_bench_lib:permute(I, Range, 1) end,
    [xets_bench_pair:insert(Pair, {Place(I), 0}) || I <- lists:seq(0, Objects - 1)],
    Pair.

tuned(Workers, Choice, Mix, #{trial_ns := Time}) ->
    Trial = fun(Options) ->
        Pair = open([ets], Options, Mix),
        _ = both(Workers, ets, Pair, Mix, Time div 4),
        PerOperation = both(Workers, ets, Pair, Mix, Time),
        ok = xets_bench_pair:close(Pair),
        PerOperation
    end,
    {_, Best} = lists:min([{Trial(Options), Options} || Options <- Choice]),
    lists:foreach(fun forget/1, Workers),
    Best.

%% No increment and no object may have got lost, whoever ran beside.
check(#{loop := counters, objects := Objects}, Side, Pair, Counted) ->
    ok = xets_bench_pair:holds(Pair, Side, Objects),
    Done = lists:sum([maps:get(Side, Operations) || Operations <- Counted]),
    case lists:sum([Count || {_, Count} <- Side:tab2list(xets_bench_pair:table(Side, Pair))]) of
        Done -> ok;
        Found -> error({wrong_result, {Side, sum_of_counters}, {Done, Found}})
    end;
check(_Mix, Side, Pair, _Counted) ->
    Size = Side:info(xets_bench_pair:table(Side, Pair), size),
    xets_bench_pair:holds(Pair, Side, Size).

%% Workers ----------------------------------------------------------------------------------------

%% Nanoseconds per operation in each of the two processes.
both(Workers, Side, Pair, #{loop := Loop, draw := Draw}, Time) ->
    Table = xets_bench_pair:table(Side, Pair),
    Places = atomics:new(length(Workers), []),
    Run = {run, self(), Side, Loop, Table, Draw, Time, Places},
    lists:foreach(fun({Worker, _}) -> Worker ! Run end, Workers),
    Rates = [Operations / Elapsed || {Operations, Elapsed} <- [answer(W) || W <- Workers]],
    length(Workers) / lists:sum(Rates).

worker(N, #{seed := Seed}) ->
    State = xets_bench_lib:draw_state(Seed, N),
    Parent = self(),
    spawn_opt(
        fun() -> work(N, erlang:monitor(process, Parent), State, #{}) end,
        [monitor, {min_heap_size, 64 * 1024}]
    ).

answer({Worker, Monitor}) ->
    receive
        {Worker, Answer} -> Answer;
        {'DOWN', Monitor, process, Worker, Reason} -> exit(Reason)
    end.

%% The counts of the trials.
forget({Worker, _}) ->
    Worker ! forget,
    ok.

stop({Worker, Monitor} = Both) ->
    Worker ! {stop, self()},
    Counted = answer(Both),
    true = erlang:demonitor(Monitor, [flush]),
    Counted.

work(N, Parent, State0, Counted) ->
    receive
        {run, From, Side, Loop, Table, Draw, Time, Places} ->
            ok = apart(N, Places, erlang:monotonic_time(millisecond) + ?LONGEST_WAIT_MS),
            Start = erlang:monotonic_time(),
            End = Start + erlang:convert_time_unit(Time, nanosecond, native),
            Run = {xets_bench_lib:loops(Side), Loop, Table, Draw, End},
            {State, Operations, Now} = run(Run, State0, 0),
            Elapsed = erlang:convert_time_unit(Now - Start, native, nanosecond),
            From ! {self(), {Operations, Elapsed}},
            Add = fun(Before) -> Before + Operations end,
            work(N, Parent, State, maps:update_with(Side, Add, Operations, Counted));
        forget ->
            work(N, Parent, State0, #{});
        {stop, From} ->
            From ! {self(), Counted};
        {'DOWN', Parent, process, _, _} ->
            ok
    end.

%% Both start together, each on a scheduler of its own: the one that both were born on gives one
%% away only when both want to run for a while. With a single scheduler, they start after the wait.
apart(N, Places, Latest) ->
    ok = atomics:put(Places, N, erlang:system_info(scheduler_id)),
    case [atomics:get(Places, 1), atomics:get(Places, 2)] of
        [A, B] when A > 0, B > 0, A =/= B ->
            ok;
        _ ->
            case erlang:monotonic_time(millisecond) < Latest of
                true -> apart(N, Places, Latest);
                false -> ok
            end
    end.

run({Loops, Loop, Table, Draw, End} = Run, State0, Operations) ->
    State = Loops:Loop(?CHUNK, State0, Table, Draw),
    case erlang:monotonic_time() of
        Now when Now < End -> run(Run, State, Operations + ?CHUNK);
        Now -> {State, Operations + ?CHUNK, Now}
    end.
