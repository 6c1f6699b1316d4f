%% Processes that work on one table, for tests of what they see and leave behind.
%%
%% XETS_TEST_MS is how long run/1 lets its processes run.
-module(xets_workers).

-include_lib("eunit/include/eunit.hrl").

-export([run/1, together/1, race/1, start/1, results/1, busy/1, ms/0]).
-export([table/1, fill/2, churn/2, shuffle/1]).

table(Options) ->
    xets:new(table, [public | Options]).

fill(T, N) ->
    xets:insert(T, [{{filler, I}, I} || I <- lists:seq(1, N)]).

%% N workers that make the table grow by 20,000 objects each and shrink again, by single objects
%% and by lists, so that segments split and merge.
churn(T, N) ->
    [{fun(I) -> churn(T, Me, I) end, 0} || Me <- lists:seq(1, N)].

churn(T, Me, I) ->
    Keys = [{churn, Me, I rem 40, J} || J <- lists:seq(1, 500)],
    case {(I div 40) rem 2, I rem 3} of
        {0, 0} -> xets:insert(T, [{Key, I, text} || Key <- Keys]);
        {0, _} -> [xets:insert(T, {Key, I, <<"text">>}) || Key <- Keys];
        {1, 0} -> [xets:take(T, Key) || Key <- Keys];
        {1, _} -> [xets:delete(T, Key) || Key <- Keys]
    end,
    I + 1.

%% Runs workers for a while, each in its process: a worker is a function from state to state, and
%% a first state. The last states. A worker that fails fails the test.
run(Workers) ->
    Stop = counters:new(1, [atomics]),
    Running = [start(fun() -> loop(Stop, Fun, State) end) || {Fun, State} <- Workers],
    Monitors = maps:from_list([{Monitor, Pid} || {Pid, Monitor} <- Running]),
    receive
        {'DOWN', Monitor, process, _, Reason} when is_map_key(Monitor, Monitors) ->
            end_all(Running),
            erlang:error({worker, Reason})
    after ms() ->
        counters:put(Stop, 1, 1)
    end,
    results(Running).

loop(Stop, Fun, State) ->
    case counters:get(Stop, 1) of
        0 -> loop(Stop, Fun, Fun(State));
        1 -> State
    end.

%% All at once; the results in order.
together(Funs) ->
    Running = [start(fun() -> receive go -> Fun() end end) || Fun <- Funs],
    [Pid ! go || {Pid, _} <- Running],
    results(Running).

%% Four processes, numbered from 1, go through the rounds together. For each round, who won it.
race(Attempt) ->
    Rounds = 4 * ms(),
    Arrived = counters:new(Rounds, [atomics]),
    Won = together([fun() ->
                            [Round || Round <- lists:seq(1, Rounds), meet(Arrived, Round),
                                      Attempt(Round, Me)]
                    end || Me <- [1, 2, 3, 4]]),
    Winners = maps:groups_from_list(fun({Round, _}) -> Round end, fun({_, Me}) -> Me end,
                                    [{Round, Me} || {Me, Is} <- lists:zip([1, 2, 3, 4], Won),
                                                    Round <- Is]),
    ?assertEqual(Rounds, map_size(Winners)),
    maps:to_list(Winners).

%% Comes back when all four have come, or after a while, so that they go on at one time.
meet(Arrived, Round) ->
    counters:add(Arrived, Round, 1),
    meet(Arrived, Round, 1000).

meet(_Arrived, _Round, 0) ->
    true;
meet(Arrived, Round, Patience) ->
    case counters:get(Arrived, Round) of
        4 -> true;
        _ -> erlang:yield(), meet(Arrived, Round, Patience - 1)
    end.

start(Fun) ->
    spawn_monitor(fun() ->
                          exit(try {result, Fun()}
                               catch Class:Reason:Stack -> {Class, Reason, Stack}
                               end)
                  end).

results([{Pid, Monitor} | Running]) ->
    receive
        {'DOWN', Monitor, process, Pid, {result, Result}} ->
            [Result | results(Running)];
        {'DOWN', Monitor, process, Pid, Reason} ->
            end_all(Running),
            erlang:error({worker, Reason})
    after 60000 ->
        Info = process_info(Pid),
        end_all([{Pid, Monitor} | Running]),
        erlang:error({still_running, Info})
    end;
results([]) ->
    [].

end_all(Running) ->
    [exit(Pid, kill) || {Pid, _} <- Running],
    [begin
         Again = monitor(process, Pid),
         receive {'DOWN', Again, process, Pid, _} -> demonitor(Monitor, [flush]) end
     end || {Pid, Monitor} <- Running].

ms() ->
    case {os:getenv("XETS_TEST_MS"), os:getenv("XETS_TEST_SMALL")} of
        {false, false} -> 500;
        {false, _} -> 200;
        {Ms, _} -> list_to_integer(Ms)
    end.

%% Lets others run, for a time that grows with N.
busy(N) ->
    receive after N * ms() div 500 -> ok end.

shuffle(List) ->
    [X || {_, X} <- lists:sort([{rand:uniform(), X} || X <- List])].
