%% @doc Stalls: how long a single call can take while a table grows, and how long deleting a large
%% table keeps its caller.
%%
%% Each insert is timed by itself. Two readings of the clock cost as much as a fast insert, which
%% does not matter for the percentiles asked for here; the same loop without the insert stands
%% beside the figures and shows what the clock and the machine add.
-module(xets_bench_stalls).

-export([measure/2]).

%% A histogram of 65,536 slots of 64 ns: up to 4.2 ms.
-define(SHAPE, {6, 65_536}).

%% @doc Grows tables from empty and deletes them; all cells of that.
-spec measure(map(), xets_bench:conf()) -> #{atom() => xets_bench_lib:outcome()}.
measure(#{what := grow}, #{stall_rounds := Rounds, huge := Objects}) ->
    Runs = [
        {Side, grow(Side, Objects, Round)}
     || Round <- lists:seq(1, Rounds), Side <- turn(Round)
    ],
    Cell = fun(Item, Combine, Note) -> outcome(Item, Combine, Runs, Note) end,
    Median = fun xets_bench_lib:median/1,
    Count = xets_bench_text:count(Objects),
    Growing = io_lib:format("~s inserts, median of ~b runs", [Count, Rounds]),
    Deleting = [Count, " objects, the slowest call"],
    #{
        p999 => Cell(p999, Median, Growing),
        p9999 => Cell(p9999, Median, Growing),
        longest => Cell(longest, Median, Growing),
        delete => Cell(delete, fun lists:max/1, Deleting),
        delete_all_objects => Cell(delete_all_objects, fun lists:max/1, Deleting)
    }.

turn(Round) when Round rem 2 =:= 1 -> [ets, xets, none];
turn(_Round) -> [none, xets, ets].

outcome(Item, Combine, Runs, Note) ->
    Figures = fun(Side) ->
        case [Value || {S, #{Item := Value}} <- Runs, S =:= Side] of
            [] -> none;
            Values -> Combine(Values)
        end
    end,
    Base = #{unit => ns, ets => Figures(ets), xets => Figures(xets), note => Note},
    case Figures(none) of
        none -> Base;
        Empty -> Base#{empty => Empty}
    end.

%% One table from empty to deleted ----------------------------------------------------------------

grow(none, Objects, _Round) ->
    timed_inserts(none, none, Objects);
grow(Side, Objects, Round) ->
    Pair = xets_bench_pair:open([Side], []),
    Table = xets_bench_pair:table(Side, Pair),
    Times = timed_inserts(Side, Table, Objects),
    Objects = Side:info(Table, size),
    Deletion = deletion(Round),
    Time = xets_bench_lib:elapsed(fun() -> true = delete(Deletion, Side, Table) end),
    ok = gone(Deletion, Side, Table),
    ok = xets_bench_pair:close(Pair),
    Times#{Deletion => Time}.

deletion(Round) when Round rem 2 =:= 1 -> delete;
deletion(_Round) -> delete_all_objects.

delete(delete, Side, Table) -> Side:delete(Table);
delete(delete_all_objects, Side, Table) -> Side:delete_all_objects(Table).

gone(delete, Side, Table) ->
    undefined = Side:info(Table, size),
    ok;
gone(delete_all_objects, Side, Table) ->
    0 = Side:info(Table, size),
    [] = Side:tab2list(Table),
    ok.

timed_inserts(Side, Table, Objects) ->
    {_, Slots} = ?SHAPE,
    Histogram = counters:new(Slots, []),
    Loops = xets_bench_lib:loops(Side),
    ok = xets_bench_lib:tidy(),
    Longest = Loops:grow(0, Objects, Table, Histogram, ?SHAPE, 0),
    #{
        p999 => share(0.999, Histogram, Longest),
        p9999 => share(0.9999, Histogram, Longest),
        longest => nanoseconds(Longest)
    }.

share(Share, Histogram, Longest) ->
    case xets_bench_lib:percentile(Share, Histogram, ?SHAPE) of
        beyond -> nanoseconds(Longest);
        Time -> nanoseconds(min(Time, Longest))
    end.

nanoseconds(Native) ->
    erlang:convert_time_unit(Native, native, nanosecond).
