%% @doc Memory: what `info(Table, memory)' says, and what the operating system says.
-module(xets_bench_memory).

-export([measure/2]).
-export([resident/3, many_empty/2]).

%% Overwrites for each object of a table.
-define(OVERWRITES, 10).
-define(TEN_SECONDS, 10_000).
-define(PEER_TIMEOUT, 600_000).

%% @doc Measures `per_object', `empty' or `resident'.
-spec measure(map(), xets_bench:conf()) -> #{atom() => xets_bench_lib:outcome()}.
measure(#{what := per_object, kind := Kind, type := Type}, Conf) ->
    #{only => per_object(Type, Kind, Conf)};
measure(#{what := empty}, Conf) ->
    #{only => empty(Conf)};
measure(#{what := resident, kind := Kind}, Conf) ->
    in_new_vms(Kind, Conf).

%% Bytes per object -------------------------------------------------------------------------------

%% The worst ratio of all sizes, after each way of filling.
per_object(Type, Kind, Conf) ->
    Points = lists:append([points(Type, Kind, Size) || Size <- sizes(Type, Conf)]),
    Worst = fun({_, _, E1, X1}, {_, _, E2, X2}) -> X1 / E1 >= X2 / E2 end,
    [{N, How, Ets, Xets} | _] = lists:sort(Worst, Points),
    {_, _, BestEts, BestXets} = lists:last(lists:sort(Worst, Points)),
    #{
        unit => bytes,
        ets => Ets / N,
        xets => Xets / N,
        note => io_lib:format(
            "the worst of ~b: ~s objects, ~s; the best ~.2f",
            [length(Points), xets_bench_text:count(N), How, BestXets / BestEts]
        )
    }.

%% Numbers of objects, and how often each is overwritten. An ordered table has no array that grows
%% in steps, so two sizes show what there is to see, and ETS takes long to fill one.
sizes(ordered_set, #{memory_sizes := [Least, Next | _]}) -> [{Least, ?OVERWRITES}, {Next, 1}];
sizes(set, #{memory_sizes := Sizes}) -> [{N, ?OVERWRITES} || N <- Sizes].

%% Nothing is timed here, so the two sides run beside each other.
points(Type, Kind, {N, _} = Size) ->
    Parent = self(),
    Workers = [
        {Side, spawn_monitor(fun() -> Parent ! {self(), bytes(Side, Type, Kind, Size)} end)}
     || Side <- [ets, xets]
    ],
    [Ets, Xets] = [await(Worker) || {_, Worker} <- Workers],
    [{N, How, E, X} || {{How, E}, {How, X}} <- lists:zip(Ets, Xets)].

await({Worker, Monitor}) ->
    receive
        {Worker, Result} ->
            true = erlang:demonitor(Monitor, [flush]),
            Result;
        {'DOWN', Monitor, process, Worker, Reason} ->
            exit(Reason)
    end.

bytes(Side, Type, Kind, {N, Overwrites}) ->
    Make = xets_bench_objects:maker(Kind),
    Random = Side:new(xets_bench_table, [public, Type]),
    insert_all(0, N, fun(I) -> xets_bench_lib:permute(I, N, 1) end, Make, Side, Random),
    AfterFill = size_of(Side, Random, N),
    overwrite(overwrites(Side, Type, Overwrites) * N, 16#2545F491, N, Make, Side, Random),
    AfterOverwrites = size_of(Side, Random, N),
    true = Side:delete(Random),
    Ascending = Side:new(xets_bench_table, [public, Type]),
    insert_all(0, N, fun(I) -> I end, Make, Side, Ascending),
    AfterAscending = size_of(Side, Ascending, N),
    true = Side:delete(Ascending),
    [
        {"filled in random order", AfterFill},
        {"after " ++ integer_to_list(Overwrites) ++ " random overwrites of each", AfterOverwrites},
        {"filled in ascending order", AfterAscending}
    ].

%% An object of ETS that is overwritten by one of its size leaves the table as large as it was, and
%% in an ordered one that takes minutes: once shows it.
overwrites(ets, ordered_set, _Overwrites) -> 1;
overwrites(_Side, _Type, Overwrites) -> Overwrites.

size_of(Side, Table, N) ->
    N = Side:info(Table, size),
    xets_bench_lib:info(Side, Table, memory).

insert_all(N, N, _Place, _Make, _Side, _Table) ->
    ok;
insert_all(I, N, Place, Make, Side, Table) ->
    true = Side:insert(Table, Make(Place(I), I)),
    insert_all(I + 1, N, Place, Make, Side, Table).

overwrite(0, _State, _N, _Make, _Side, _Table) ->
    ok;
overwrite(Left, State0, N, Make, Side, Table) ->
    State = rand:mwc59(State0),
    true = Side:insert(Table, Make(rand:mwc59_value32(State) rem N, Left)),
    overwrite(Left - 1, State, N, Make, Side, Table).

%% An empty table ---------------------------------------------------------------------------------

empty(#{tables := Count}) ->
    Pair = xets_bench_pair:open([]),
    [Ets, Xets] = [
        xets_bench_lib:info(Side, xets_bench_pair:table(Side, Pair), memory)
     || Side <- [ets, xets]
    ],
    ok = xets_bench_pair:close(Pair),
    [RealEts, RealXets] = [
        in_new_vm(fun(Peer) ->
            peer:call(Peer, ?MODULE, many_empty, [Side, Count], ?PEER_TIMEOUT)
        end)
     || Side <- [ets, xets]
    ],
    #{
        unit => bytes,
        ets => Ets,
        xets => Xets,
        note => io_lib:format(
            "resident, each of ~s tables: ETS ~s, xets ~s",
            [
                xets_bench_text:count(Count),
                xets_bench_text:quantity(RealEts / Count, bytes),
                xets_bench_text:quantity(RealXets / Count, bytes)
            ]
        )
    }.

%% @private What so many empty tables add to the resident size of this VM.
-spec many_empty(ets | xets, pos_integer()) -> integer().
many_empty(Side, Count) ->
    Warm = Side:new(xets_bench_table, [public]),
    true = Side:delete(Warm),
    Before = resident_size(),
    Tables = [Side:new(xets_bench_table, [public]) || _ <- lists:seq(1, Count)],
    After = resident_size(),
    [true = Side:delete(T) || T <- Tables],
    After - Before.

%% The operating system's view --------------------------------------------------------------------

in_new_vms(Kind, #{large := N}) ->
    [Ets, Xets] = [
        in_new_vm(fun(Peer) ->
            peer:call(Peer, ?MODULE, resident, [Side, Kind, N], ?PEER_TIMEOUT)
        end)
     || Side <- [ets, xets]
    ],
    #{
        resident => share(
            fun(#{growth := Growth, memory := Memory}) -> Growth / Memory end, Ets, Xets
        ),
        given_back => share(
            fun(#{growth := Growth, given_back := Back}) -> Back / Growth end, Ets, Xets
        )
    }.

share(Of, Ets, Xets) ->
    #{memory := Memory, growth := Growth, given_back := Back} = Xets,
    Bytes = fun(N) -> xets_bench_text:quantity(N, bytes) end,
    #{
        unit => share,
        ets => Of(Ets),
        xets => Of(Xets),
        note => io_lib:format(
            "info ~s, resident ~s, given back ~s",
            [Bytes(Memory), Bytes(Growth), Bytes(Back)]
        )
    }.

%% A VM of its own, so that nothing else comes and goes in its resident size.
in_new_vm(Fun) ->
    Paths = lists:usort([filename:dirname(code:which(M)) || M <- [?MODULE, xets]]),
    {ok, Peer, _} = peer:start(#{
        connection => standard_io,
        args => lists:append([["-pa", Path] || Path <- Paths])
    }),
    try
        Fun(Peer)
    after
        peer:stop(Peer)
    end.

%% @private In this VM: fills a table with N objects, then deletes nine of ten at random.
-spec resident(ets | xets, xets_bench_objects:kind(), pos_integer()) ->
    #{memory := integer(), growth := integer(), given_back := integer()}.
resident(Side, Kind, N) ->
    Make = xets_bench_objects:maker(Kind),
    Place = fun(I) -> xets_bench_lib:permute(I, N, 1) end,
    Table = Side:new(xets_bench_table, [public]),
    %% What making the objects leaves behind in the emulator belongs to no table.
    ok = in_process(fun() -> make_all(0, N, Place, Make) end),
    Before = resident_size(),
    ok = in_process(fun() -> insert_all(0, N, Place, Make, Side, Table) end),
    Filled = settled(resident_size(), ?TEN_SECONDS),
    Memory = size_of(Side, Table, N),
    ok = in_process(fun() -> thin(0, N - N div 10, N, Kind, Side, Table) end),
    Kept = N div 10,
    Kept = Side:info(Table, size),
    Thinned = settled(resident_size(), ?TEN_SECONDS),
    #{memory => Memory, growth => Filled - Before, given_back => Filled - Thinned}.

make_all(N, N, _Place, _Make) ->
    ok;
make_all(I, N, Place, Make) ->
    _ = Make(Place(I), I),
    make_all(I + 1, N, Place, Make).

thin(Last, Last, _N, _Kind, _Side, _Table) ->
    ok;
thin(I, Last, N, Kind, Side, Table) ->
    true = Side:delete(Table, xets_bench_objects:key(Kind, xets_bench_lib:permute(I, N, 2))),
    thin(I + 1, Last, N, Kind, Side, Table).

%% The heap of whoever makes the objects is gone before the size is read.
in_process(Fun) ->
    {ok, Result} = xets_bench_lib:fresh(Fun),
    Result.

%% Memory may be given back by a thread that takes its time: wait until nothing more happens.
settled(Size, Left) when Left =< 0 ->
    Size;
settled(Size, Left) ->
    timer:sleep(500),
    case resident_size() of
        Less when Less < Size -> settled(Less, Left - 500);
        Same -> Same
    end.

resident_size() ->
    [erlang:garbage_collect(P) || P <- erlang:processes()],
    case file:read_file("/proc/self/smaps_rollup") of
        {ok, Text} -> kilobytes(Text, "^Rss: +([0-9]+) kB");
        {error, _} -> kilobytes(os:cmd("ps -o rss= -p " ++ os:getpid()), "^ *([0-9]+)")
    end.

kilobytes(Text, Pattern) ->
    {match, [Digits]} = re:run(Text, Pattern, [multiline, {capture, all_but_first, list}]),
    1024 * list_to_integer(Digits).
