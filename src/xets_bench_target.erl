%% @doc Targets, and whether a figure meets them.
-module(xets_bench_target).

-export([judge/2, describe/2]).

-export_type([target/0, verdict/0, mark/0]).

-type target() ::
    {faster, number()}
    | {smaller, number()}
    | {at_most, number()}
    | {at_most_and_ets, number()}
    | {under_or_empty, number()}
    | {at_least, number()}
    | {within, number()}.
%% <dl>
%% <dt>`faster'</dt><dd>ETS / xets is at least this</dd>
%% <dt>`smaller'</dt><dd>xets / ETS is at most this</dd>
%% <dt>`at_most'</dt><dd>the figure of xets is at most this</dd>
%% <dt>`at_most_and_ets'</dt><dd>the same, and at most that of ETS</dd>
%% <dt>`under_or_empty'</dt><dd>the figure of xets is less than this, or at most that of the empty
%%     loop, which shows what the machine itself does to any process</dd>
%% <dt>`at_least'</dt><dd>the figure of xets is at least this</dd>
%% <dt>`within'</dt><dd>the figure of xets, a share, is within this of 1</dd>
%% </dl>

-type mark() :: ok | under | slower.
%% `slower' is `under' with ETS being the better one, which is a defect.

-type verdict() :: #{mark := mark(), ratio := float() | none, score := float()}.
%% `score' is how far the target was reached: 1.0 is exactly, 2.0 twice as good.

-define(BEST_SCORE, 10.0).

%% @doc Judges an outcome. Ratios are judged as they are shown, with two decimals.
-spec judge(target(), xets_bench_lib:outcome()) -> verdict().
judge({faster, Target}, #{ets := Ets, xets := Xets}) ->
    Ratio = rounded(Ets / Xets),
    verdict(Ratio >= Target, Ratio < 1.0, Ratio, Ratio / Target);
judge({smaller, Target}, #{ets := Ets, xets := Xets}) ->
    Ratio = rounded(Xets / Ets),
    verdict(Ratio =< Target, Ratio > 1.0, Ratio, score(Target, Ratio));
judge({at_most, Target}, #{xets := Xets}) ->
    verdict(Xets =< Target, false, none, score(Target, Xets));
judge({at_most_and_ets, Target}, #{ets := Ets, xets := Xets}) ->
    Limit = min(Ets, Target),
    verdict(Xets =< Limit, Xets > Ets, none, score(Limit, Xets));
judge({under_or_empty, Target}, #{xets := Xets} = Outcome) ->
    Empty = maps:get(empty, Outcome),
    verdict(Xets < Target orelse Xets =< Empty, false, none, score(max(Empty, Target), Xets));
judge({at_least, Target}, #{xets := Xets}) ->
    verdict(Xets >= Target, false, none, Xets / Target);
judge({within, Target}, #{xets := Xets}) ->
    Off = abs(Xets - 1.0),
    verdict(Off =< Target, false, none, score(Target, Off)).

verdict(Met, SlowerThanEts, Ratio, Score) ->
    Mark =
        if
            Met -> ok;
            SlowerThanEts -> slower;
            true -> under
        end,
    #{mark => Mark, ratio => Ratio, score => min(?BEST_SCORE, float(Score))}.

score(_Target, Found) when Found == 0 -> ?BEST_SCORE;
score(Target, Found) -> Target / Found.

rounded(Ratio) -> round(Ratio * 100) / 100.

%% @doc The target in words; figures in the unit of the cell.
-spec describe(target(), xets_bench_text:unit()) -> iolist().
describe({faster, Target}, _Unit) ->
    [xets_bench_text:ratio(Target), " x"];
describe({smaller, Target}, _Unit) ->
    ["<= ", xets_bench_text:ratio(Target)];
describe({at_most, Target}, Unit) ->
    ["<= ", xets_bench_text:quantity(Target, Unit)];
describe({at_most_and_ets, Target}, Unit) ->
    ["<= ", xets_bench_text:quantity(Target, Unit), ", ETS"];
describe({under_or_empty, Target}, Unit) ->
    ["< ", xets_bench_text:quantity(Target, Unit)];
describe({at_least, Target}, Unit) ->
    [">= ", xets_bench_text:quantity(Target, Unit)];
describe({within, Target}, _Unit) ->
    ["within ", xets_bench_text:quantity(Target, share)].
