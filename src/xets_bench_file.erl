%% @doc Tables in files: tab2file and file2tab of a large table of pairs of integers. Nothing is
%% synced, on either side, so that files are written to and read from the memory of the system.
%% Times are per object.
-module(xets_bench_file).

-export([measure/2]).

-define(SIDES, [ets, xets]).

%% @doc Measures both, of a large table of this type, which is filled once.
-spec measure(map(), xets_bench:conf()) ->
    #{tab2file := xets_bench_lib:outcome(), file2tab := xets_bench_lib:outcome()}.
measure(#{type := Type}, #{large := Count, few_rounds := Rounds}) ->
    Pair = xets_bench_pair:open([Type]),
    Make = xets_bench_objects:maker(int),
    ok = fill(0, Count, Make, Pair),
    ok = xets_bench_lib:tidy(),
    Samples = xets_bench_lib:in_directory(fun(Dir) ->
        [
            {Op, xets_bench_lib:interleave(Rounds, ?SIDES ++ [none], fun(Side, _Round) ->
                timed(Op, Side, Pair, file(Dir, Side), Count) / Count
            end)}
         || Op <- [tab2file, file2tab]
        ]
    end),
    ok = xets_bench_pair:close(Pair),
    maps:from_list([{Op, xets_bench_lib:net(Of)} || {Op, Of} <- Samples]).

fill(Count, Count, _Make, _Pair) ->
    ok;
fill(I, Count, Make, Pair) ->
    Key = xets_bench_lib:permute(I, Count, 1),
    ok = xets_bench_pair:insert(Pair, Make(Key, Key)),
    fill(I + 1, Count, Make, Pair).

file(Dir, Side) -> filename:join(Dir, Side).

timed(_Op, none, _Pair, _File, _Count) ->
    0;
timed(tab2file, Side, Pair, File, _Count) ->
    Table = xets_bench_pair:table(Side, Pair),
    xets_bench_lib:elapsed(fun() -> ok = Side:tab2file(Table, File) end);
timed(file2tab, Side, Pair, File, Count) ->
    %% In a process of its own, with which the table goes.
    {ok, {Time, Digest}} = xets_bench_lib:fresh(fun() ->
        T0 = erlang:monotonic_time(),
        {ok, Table} = Side:file2tab(File),
        T1 = erlang:monotonic_time(),
        Count = Side:info(Table, size),
        {erlang:convert_time_unit(T1 - T0, native, nanosecond), digest(Side, Table)}
    end),
    Table = xets_bench_pair:table(Side, Pair),
    ok = xets_bench_pair:expect({Side, file2tab}, digest(Side, Table), Digest),
    Time.

digest(Side, Table) ->
    Side:foldl(fun(Object, Sum) -> erlang:phash2(Object) + Sum end, 0, Table).
