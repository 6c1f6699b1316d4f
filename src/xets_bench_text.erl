%% @doc The benchmark's output as text.
-module(xets_bench_text).

-export([quantity/2, ratio/1, count/1]).
-export([heading/1, line/2, failure/1, summary/2]).

-export_type([unit/0]).

-type unit() :: ns | bytes | share | hold.
%% `hold' is a time that is only known to be under a millisecond when it is 0.

%% Figures ----------------------------------------------------------------------------------------

%% @doc A figure with its unit, three digits long where that is enough.
-spec quantity(number(), unit()) -> iolist().
quantity(N, hold) when N == 0 -> "< 1 ms";
quantity(N, hold) -> quantity(N, ns);
quantity(N, ns) -> scaled(N, [{1, "ns"}, {1.0e3, "us"}, {1.0e6, "ms"}, {1.0e9, "s"}]);
quantity(N, bytes) -> scaled(N, [{1, "B"}, {1024, "KiB"}, {1024 * 1024, "MiB"}]);
quantity(N, share) -> [digits(N * 100), " %"].

scaled(N, [{Scale, Unit}]) ->
    [digits(N / Scale), " ", Unit];
scaled(N, [{Scale, Unit}, {Next, _} | _]) when abs(N) < Next -> [digits(N / Scale), " ", Unit];
scaled(N, [_ | Scales]) ->
    scaled(N, Scales).

%% What is exactly whole, as targets are, stays whole.
digits(N) when abs(N) >= 100; trunc(N) == N -> integer_to_list(round(N));
digits(N) when abs(N) >= 10 -> float_to_list(float(N), [{decimals, 1}]);
digits(N) -> float_to_list(float(N), [{decimals, 2}]).

%% @doc A ratio with two decimals.
-spec ratio(number()) -> string().
ratio(Ratio) when Ratio >= 100 -> integer_to_list(round(Ratio));
ratio(Ratio) -> float_to_list(float(Ratio), [{decimals, 2}]).

%% @doc A whole number with its thousands set apart.
-spec count(non_neg_integer()) -> iolist().
count(N) when N < 1000 -> integer_to_list(N);
count(N) -> [count(N div 1000), io_lib:format(",~3..0b", [N rem 1000])].

%% Lines ------------------------------------------------------------------------------------------

-define(NAME_WIDTH, 64).

%% @doc The heading of a group of cells.
-spec heading(iodata()) -> iolist().
heading(Title) ->
    Columns = io_lib:format("~*ts~10ts~10ts~8ts  ~-16ts", [
        -?NAME_WIDTH, Title, "ETS", "xets", "ratio", "target"
    ]),
    ["\n", Columns, "\n", lists:duplicate(?NAME_WIDTH + 44, $-), "\n"].

%% @doc A cell's name, figures, target and mark on one line. Quick figures are not to be judged:
%% their marks stand in parentheses.
-spec line(xets_bench:result(), Quick :: boolean()) -> iolist().
line(#{mark := failed, reason := Reason} = Result, _Quick) ->
    io_lib:format("~*ts FAILED  ~ts~n", [-?NAME_WIDTH, name(Result), failure(Reason)]);
line(#{outcome := Outcome, verdict := Verdict, mark := Mark, target := Target} = Result, Quick) ->
    #{unit := Unit, xets := Xets} = Outcome,
    Line = io_lib:format("~*ts~10ts~10ts~8ts  ~-16ts ~ts", [
        -?NAME_WIDTH,
        name(Result),
        optional(maps:get(ets, Outcome, none), Unit),
        quantity(Xets, Unit),
        case Verdict of
            #{ratio := none} -> "";
            #{ratio := Ratio} -> ratio(Ratio)
        end,
        xets_bench_target:describe(Target, Unit),
        mark(Mark, Quick)
    ]),
    [string:trim(Line, trailing), beside(Target, Outcome), "\n"].

%% The empty loop is of interest where a target is absolute.
beside({faster, _}, _Outcome) -> "";
beside(_Target, #{empty := Empty, unit := Unit}) -> ["  empty loop ", quantity(Empty, Unit)];
beside(_Target, _Outcome) -> "".

optional(none, _Unit) -> "-";
optional(N, Unit) -> quantity(N, Unit).

name(#{row := Row, column := none}) -> Row;
name(#{row := Row, column := Column}) -> [Row, " | ", Column].

mark(Mark, true) -> ["(", mark(Mark), ")"];
mark(Mark, false) -> mark(Mark).

mark(ok) -> "ok";
mark(under) -> "UNDER";
mark(slower) -> "UNDER, slower than ETS".

%% @doc Why a cell has no figures, on one line.
-spec failure(Reason :: term()) -> unicode:chardata().
failure(Reason) ->
    string:slice(because(Reason), 0, 300).

because({Reason, [{Module, Function, Arguments, _} | _]}) ->
    Arity = if is_list(Arguments) -> length(Arguments); true -> Arguments end,
    io_lib:format("~0tP in ~tw:~tw/~b", [Reason, 30, Module, Function, Arity]);
because(Reason) ->
    io_lib:format("~0tP", [Reason, 40]).

%% Summary ----------------------------------------------------------------------------------------

%% @doc All groups with all cells, then the cells under target, counted.
-spec summary([{Title :: iodata(), [xets_bench:result()]}], xets_bench:counts()) -> iolist().
summary(Groups, #{quick := Quick} = Counts) ->
    [
        "\n\n== Summary ==\n",
        [
            [heading(Title), [line(Result, Quick) || Result <- Results]]
         || {Title, Results} <- Groups
        ],
        under(Groups, Counts),
        counts(Counts)
    ].

under(_Groups, #{under := 0, failed := 0}) ->
    "";
under(Groups, #{quick := Quick}) ->
    Missed = [
        line(Result, Quick)
     || {_, Results} <- Groups, #{mark := Mark} = Result <- Results, Mark =/= ok
    ],
    [heading("Under target or failed"), Missed].

counts(#{cells := Cells, under := Under, slower := Slower, failed := Failed, quick := Quick}) ->
    [
        io_lib:format("~n~b cells: ~b at target, ~b under target", [
            Cells, Cells - Under - Failed, Under
        ]),
        [io_lib:format(" (~b of them slower or larger than ETS: defects)", [Slower]) || Slower > 0],
        [io_lib:format(", ~b FAILED", [Failed]) || Failed > 0],
        ".\n",
        ["A quick run: sizes and times are too small for its figures to be judged.\n" || Quick]
    ].
