%% @doc The benchmark's page: one file of HTML that refers to nothing outside of itself.
%%
%% A bar shows how far a cell reached its target: the line in the middle is the target, the right
%% end twice as good. The thin mark left of the line is where ETS stands. The figures are in the
%% page a second time as JSON, in the script element `xets-bench', for programs.
-module(xets_bench_html).

-export([page/3, escape/1]).

%% @doc The page, as UTF-8.
-spec page(
    [{Title :: string(), [xets_bench:result()]}],
    xets_bench:counts(),
    About :: [{string(), iodata()}]
) -> iodata().
page(Groups, Counts, About) ->
    unicode:characters_to_binary([
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<meta name=\"color-scheme\" content=\"light dark\">\n",
        "<title>xets beside ets</title>\n<style>\n",
        css(),
        "</style>\n</head>\n<body>\n<main>\n",
        head(Counts, About),
        [section(Title, Results) || {Title, Results} <- Groups],
        missed(Groups),
        "</main>\n<script type=\"application/json\" id=\"xets-bench\">",
        data(Groups, Counts, About),
        "</script>\n</body>\n</html>\n"
    ]).

%% @doc Text as HTML, safe in an element and in a quoted attribute.
-spec escape(unicode:chardata()) -> iolist().
escape(Text) ->
    [escaped(C) || C <- unicode:characters_to_list(Text)].

escaped($&) -> "&amp;";
escaped($<) -> "&lt;";
escaped($>) -> "&gt;";
escaped($") -> "&quot;";
escaped($') -> "&#39;";
escaped(C) -> C.

%% Head -------------------------------------------------------------------------------------------

head(#{cells := Cells, under := Under, slower := Slower, failed := Failed} = Counts, About) ->
    [
        "<header>\n<h1><b>xets</b> beside <b>ets</b></h1>\n<dl class=\"about\">\n",
        [["<div><dt>", escape(L), "</dt><dd>", escape(T), "</dd></div>\n"] || {L, T} <- About],
        "</dl>\n</header>\n",
        quick(Counts),
        "<div class=\"tiles\">\n",
        tile("ok", Cells - Under - Failed, ["of ", integer_to_list(Cells), " cells at target"]),
        tile(if Under > 0 -> "under"; true -> "none" end, Under, "under target"),
        tile(if Slower > 0 -> "slower"; true -> "none" end, Slower, "of them worse than ETS"),
        [tile("failed", Failed, "failed") || Failed > 0],
        tile("none", maps:get(seconds, Counts), "seconds of measuring"),
        "</div>\n<p class=\"legend\">"
        "<span class=\"bar ok\"><i style=\"width:70%\"></i><u></u></span> "
        "how far a target is reached: the line is the target, twice as good is the right end, "
        "the short mark is where ETS stands. The figure beside a ratio is its target. Ratios are "
        "ETS / xets for times, where more is better, and xets / ETS for sizes, where less is "
        "better.</p>\n"
    ].

quick(#{quick := true}) ->
    "<p class=\"quick\">A quick run: everything was gone through with small sizes and short times. "
    "Its figures are not to be judged.</p>\n";
quick(#{quick := false}) ->
    "".

tile(Class, Number, Text) ->
    [
        "<div class=\"tile ", Class, "\"><b>", integer_to_list(Number), "</b><span>",
        escape(Text), "</span></div>\n"
    ].

%% Sections ---------------------------------------------------------------------------------------

section(Title, [#{group := Group} | _] = Results) ->
    Body =
        case lists:any(fun(#{column := Column}) -> Column =/= none end, Results) of
            true -> matrix(Results);
            false when Group =:= real -> duels(Results);
            false -> list(Results)
        end,
    ["<section>\n<h2>", escape(Title), "</h2>\n", Body, "</section>\n"].

%% Real data: both sides as bars of their figures, the shorter the better.
duels(Results) ->
    Blocks = blocks(Results),
    [
        "<div class=\"duels\">\n",
        [
            [
                "<div class=\"duel\">\n<h3>", escape(string:titlecase(Name)), "</h3>\n",
                "<p class=\"note\">", block_note(Members), "</p>\n",
                [duel(Result) || Result <- Members],
                "</div>\n"
            ]
         || {Name, Members} <- Blocks
        ],
        "</div>\n"
    ].

%% Rows "functions: load", "functions: lookup" make the block "functions".
blocks(Results) ->
    Names = lists:foldl(
        fun(#{row := Row}, Seen) ->
            [Name | _] = string:split(Row, ": "),
            case lists:member(Name, Seen) of
                true -> Seen;
                false -> Seen ++ [Name]
            end
        end,
        [],
        Results
    ),
    [
        {Name, [Result || #{row := Row} = Result <- Results, lists:prefix(Name ++ ": ", Row)]}
     || Name <- Names
    ].

block_note([#{outcome := #{note := Note}} | _]) -> escape(Note);
block_note(_) -> "".

duel(#{mark := failed} = Result) ->
    ["<div class=\"row failed\"><span class=\"name\">", step(Result), "</span>", failure(Result),
        "</div>\n"];
duel(#{outcome := #{unit := Unit, ets := Ets, xets := Xets}, mark := Mark} = Result) ->
    Longest = max(Ets, Xets),
    Bar = fun(Class, Name, Figure) ->
        [
            "<span class=\"lane ", Class, "\"><em>", Name, "</em><span class=\"track\">",
            "<i style=\"width:", percent(Figure / Longest), "\"></i></span><s>",
            quantity(Figure, Unit), "</s></span>"
        ]
    end,
    [
        "<div class=\"row ", class(Mark), "\" title=\"", tooltip(Result), "\">",
        "<span class=\"name\">", step(Result), "</span><span class=\"lanes\">",
        Bar("ets", "ets", Ets), Bar("xets", "xets", Xets), "</span>", verdict(Result), "</div>\n"
    ].

step(#{row := Row}) ->
    escape(lists:last(string:split(Row, ": "))).

%% Cells with columns: a row each, ratio and bar in every column.
matrix(Results) ->
    Columns = unique([Column || #{column := Column} <- Results]),
    Rows = unique([Row || #{row := Row} <- Results]),
    [
        "<div class=\"wide\"><table class=\"matrix\">\n<thead><tr><th></th>",
        [["<th scope=\"col\">", escape(Column), "</th>"] || Column <- Columns],
        "</tr></thead>\n<tbody>\n",
        [
            [
                "<tr><th scope=\"row\">", escape(Row), "</th>",
                [matrix_cell(find(Row, Column, Results)) || Column <- Columns],
                "</tr>\n"
            ]
         || Row <- Rows
        ],
        "</tbody>\n</table></div>\n"
    ].

find(Row, Column, Results) ->
    [Result || #{row := R, column := C} = Result <- Results, R =:= Row, C =:= Column].

matrix_cell([]) ->
    "<td class=\"blank\"></td>";
matrix_cell([#{mark := failed} = Result]) ->
    ["<td class=\"failed\">", failure(Result), "</td>"];
matrix_cell([#{mark := Mark, outcome := #{unit := Unit, xets := Xets} = Outcome} = Result]) ->
    Ets =
        case Outcome of
            #{ets := Figure} -> [quantity(Figure, Unit), " &rarr; "];
            #{} -> ""
        end,
    [
        "<td class=\"", class(Mark), "\" title=\"", tooltip(Result), "\">", verdict(Result),
        bar(Result), "<small>", Ets, quantity(Xets, Unit), "</small></td>"
    ].

%% Other cells: one line each.
list(Results) ->
    [
        "<div class=\"wide\"><table class=\"list\">\n<thead><tr><th></th><th>ETS</th><th>xets</th>"
        "<th>empty loop</th><th>ratio, target</th><th></th></tr></thead>\n<tbody>\n",
        [list_row(Result) || Result <- Results],
        "</tbody>\n</table></div>\n"
    ].

list_row(#{row := Row, mark := failed} = Result) ->
    [
        "<tr class=\"failed\"><th scope=\"row\">", escape(Row), "</th><td colspan=\"5\">",
        failure(Result), "</td></tr>\n"
    ];
list_row(#{row := Row, mark := Mark, outcome := #{unit := Unit} = Outcome} = Result) ->
    Figure = fun(Key) ->
        case Outcome of
            #{Key := Value} when is_number(Value) -> ["<td>", quantity(Value, Unit), "</td>"];
            #{} -> "<td class=\"blank\">&ndash;</td>"
        end
    end,
    [
        "<tr class=\"", class(Mark), "\" title=\"", tooltip(Result), "\"><th scope=\"row\">",
        escape(Row), "<span class=\"note\">", escape(maps:get(note, Outcome, "")), "</span></th>",
        Figure(ets), Figure(xets), Figure(empty), "<td>", verdict(Result),
        "</td><td class=\"graph\">", bar(Result), "</td></tr>\n"
    ].

%% Parts of a cell --------------------------------------------------------------------------------

verdict(#{verdict := #{ratio := Ratio}, target := Target, mark := Mark, outcome := Outcome}) ->
    #{unit := Unit} = Outcome,
    Figure =
        case Ratio of
            none -> "";
            _ -> ["<b>", xets_bench_text:ratio(Ratio), "</b> "]
        end,
    [
        "<span class=\"verdict\">", Figure, "<q>", escape(xets_bench_target:describe(Target, Unit)),
        "</q>", sign(Mark), "</span>"
    ].

%% The mark is text as well as colour.
sign(ok) -> "<span class=\"sign\" aria-label=\"at target\">&#10003;</span>";
sign(under) -> "<span class=\"sign\">under</span>";
sign(slower) -> "<span class=\"sign\">worse than ETS</span>".

bar(#{verdict := #{score := Score}, mark := Mark, target := Target}) ->
    [
        "<span class=\"bar ", class(Mark), "\"><i style=\"width:", percent(min(Score, 2.0) / 2),
        "\"></i>", ets_mark(Target), "<u></u></span>"
    ].

%% On a bar whose middle is the target, a ratio of 1.
ets_mark({faster, Target}) when Target > 1 -> ets_mark_at(1 / Target / 2);
ets_mark({smaller, Target}) when Target < 1 -> ets_mark_at(Target / 2);
ets_mark(_) -> "".

ets_mark_at(Share) ->
    ["<s style=\"left:", percent(Share), "\"></s>"].

failure(#{reason := Reason}) ->
    ["<span class=\"verdict\"><b>failed</b> <code>", escape(xets_bench_text:failure(Reason)),
        "</code></span>"].

tooltip(#{outcome := #{unit := Unit} = Outcome}) ->
    Spread = maps:get(spread, Outcome, #{}),
    Quartiles = [
        [atom_to_list(Side), " ", xets_bench_text:quantity(Low, Unit), " - ",
            xets_bench_text:quantity(High, Unit), "; "]
     || {Side, {Low, High}} <- lists:sort(maps:to_list(Spread))
    ],
    escape([[["quartiles before subtraction: ", Quartiles] || Quartiles =/= []],
        maps:get(note, Outcome, "")]).

quantity(Figure, Unit) ->
    escape(xets_bench_text:quantity(Figure, Unit)).

percent(Share) ->
    [float_to_list(float(Share * 100), [{decimals, 1}]), "%"].

class(ok) -> "ok";
class(under) -> "under";
class(slower) -> "slower";
class(failed) -> "failed".

unique(List) ->
    lists:foldl(
        fun(Element, Seen) ->
            case lists:member(Element, Seen) of
                true -> Seen;
                false -> Seen ++ [Element]
            end
        end,
        [],
        List
    ).

%% What remains to be done ------------------------------------------------------------------------

%% As many are shown at once; more have to be asked for.
-define(SHOWN, 20).

missed(Groups) ->
    Cells = [Result || {_, Rs} <- Groups, #{mark := Mark} = Result <- Rs, Mark =/= ok],
    case lists:sort(fun worse/2, Cells) of
        [] ->
            "";
        Worst ->
            Open = if length(Worst) =< ?SHOWN -> " open"; true -> "" end,
            [
                "<section>\n<h2>Under target, worst first</h2>\n<details", Open, "><summary>",
                integer_to_list(length(Worst)), " cells</summary>\n", list(named(Worst)),
                "</details>\n</section>\n"
            ]
    end.

worse(#{mark := failed}, _) -> true;
worse(_, #{mark := failed}) -> false;
worse(#{verdict := #{score := A}}, #{verdict := #{score := B}}) -> A =< B.

named(Results) ->
    [
        case Result of
            #{column := none} -> Result;
            #{row := Row, column := Column} -> Result#{row := Row ++ " | " ++ Column}
        end
     || Result <- Results
    ].

%% Data -------------------------------------------------------------------------------------------

data(Groups, Counts, About) ->
    xets_bench_json:encode(#{
        counts => Counts,
        about => maps:from_list([{list_to_atom(L), {string, T}} || {L, T} <- About]),
        cells => [cell_data(Result) || {_, Results} <- Groups, Result <- Results]
    }).

cell_data(#{group := Group, row := Row, column := Column, target := {Kind, Value}} = Result) ->
    Base = #{
        group => Group,
        row => {string, Row},
        column => if Column =:= none -> none; true -> {string, Column} end,
        target => #{kind => Kind, value => Value},
        mark => maps:get(mark, Result)
    },
    case Result of
        #{outcome := Outcome, verdict := #{ratio := Ratio, score := Score}} ->
            Figures = maps:with([unit, ets, xets, empty], Outcome),
            maps:merge(Base#{ratio => Ratio, score => Score}, Figures);
        #{reason := Reason} ->
            Base#{reason => {string, xets_bench_text:failure(Reason)}}
    end.

%% Style ------------------------------------------------------------------------------------------

css() ->
    "
:root { --bg:#fbfbfa; --card:#fff; --ink:#1d2327; --soft:#66707a; --line:#e3e6e8;
  --track:#eceff1; --ok:#14795a; --under:#a15c00; --slower:#b3261e; --ets:#8b98a5; --xets:#14795a; }
@media (prefers-color-scheme: dark) {
  :root { --bg:#14171a; --card:#1c2024; --ink:#e6e9eb; --soft:#97a1aa; --line:#2c3238;
    --track:#2a3036; --ok:#4cc38a; --under:#e3a34b; --slower:#f2776c; --ets:#7b8894;
    --xets:#4cc38a; }
}
* { box-sizing:border-box; }
body { margin:0; background:var(--bg); color:var(--ink);
  font:14px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif;
  font-variant-numeric:tabular-nums; }
main { max-width:1120px; margin:0 auto; padding:32px 20px 64px; }
h1 { font-size:26px; font-weight:400; margin:0 0 12px; }
h2 { font-size:17px; margin:36px 0 10px; }
h3 { font-size:15px; margin:0; }
.about { display:grid; grid-template-columns:repeat(auto-fit,minmax(300px,1fr)); gap:2px 24px;
  margin:0; color:var(--soft); font-size:13px; }
.about div { display:flex; gap:8px; } .about dt { width:66px; flex:none; }
.about dd { margin:0; color:var(--ink); }
.quick { border:1px solid var(--under); border-radius:8px; padding:8px 12px; color:var(--under); }
.tiles { display:flex; flex-wrap:wrap; gap:12px; margin:20px 0 10px; }
.tile { flex:1 1 150px; background:var(--card); border:1px solid var(--line); border-radius:10px;
  padding:10px 14px; }
.tile b { display:block; font-size:26px; line-height:1.2; } .tile span { color:var(--soft); }
.tile.ok b { color:var(--ok); } .tile.under b { color:var(--under); }
.tile.slower b, .tile.failed b { color:var(--slower); }
.legend, .note { color:var(--soft); font-size:12.5px; } .legend { margin:0; max-width:860px; }
.legend .bar { width:90px; display:inline-block; vertical-align:1px; margin:0 6px 0 0; }
.duels { display:grid; grid-template-columns:repeat(auto-fit,minmax(440px,1fr)); gap:14px; }
.duel { background:var(--card); border:1px solid var(--line); border-radius:10px;
  padding:14px 16px; }
.duel .note { margin:2px 0 10px; }
.row { display:grid; grid-template-columns:140px 1fr 96px; gap:12px; align-items:center;
  padding:7px 0; border-top:1px solid var(--line); }
.row .verdict { flex-wrap:wrap; justify-content:flex-end; gap:0 6px; }
.lanes { display:grid; gap:3px; }
.lane { display:grid; grid-template-columns:30px 1fr 58px; gap:6px; align-items:center;
  font-size:12px; }
.lane em { font-style:normal; color:var(--soft); }
.lane s { text-decoration:none; text-align:right; }
.track { background:var(--track); border-radius:3px; height:9px; display:block; }
.track i { display:block; height:9px; border-radius:3px; background:var(--ets); }
.lane.xets .track i { background:var(--xets); }
.under .lane.xets .track i { background:var(--under); }
.slower .lane.xets .track i { background:var(--slower); }
.wide { overflow-x:auto; background:var(--card); border:1px solid var(--line); border-radius:10px; }
table { border-collapse:collapse; width:100%; }
th, td { padding:7px 12px; text-align:left; vertical-align:middle; }
thead th { font-size:12px; color:var(--soft); font-weight:500; white-space:nowrap; }
tbody tr { border-top:1px solid var(--line); }
tbody th { font-weight:500; }
tbody th .note { display:block; font-weight:400; }
.matrix td { width:19%; } .matrix small { color:var(--soft); white-space:nowrap; }
.list td { white-space:nowrap; } .list td.graph { width:150px; }
.failed td { white-space:normal; }
.blank { color:var(--soft); }
.verdict { display:flex; align-items:baseline; gap:6px; white-space:nowrap; }
.verdict b { font-size:15px; } .verdict q { quotes:none; color:var(--soft); font-size:12px; }
.failed .verdict { display:block; white-space:normal; overflow-wrap:anywhere; }
.sign { font-size:11.5px; font-weight:600; color:var(--ok); }
.ok .verdict b { color:var(--ok); }
.under .verdict b, .under .sign { color:var(--under); }
.slower .verdict b, .slower .sign, .failed b { color:var(--slower); }
.row .verdict q { display:none; }
code { font:12px/1.4 ui-monospace,Menlo,Consolas,monospace; color:var(--soft); }
.bar { position:relative; display:block; height:7px; margin:4px 0; background:var(--track);
  border-radius:4px; }
.bar i { display:block; height:7px; border-radius:4px; background:var(--ok); }
.bar.under i { background:var(--under); } .bar.slower i { background:var(--slower); }
.bar u { position:absolute; left:50%; top:-3px; height:13px; width:2px; margin-left:-1px;
  background:var(--ink); }
.bar s { position:absolute; top:0; height:7px; width:1.5px; background:var(--ink); opacity:.55; }
summary { cursor:pointer; color:var(--soft); margin:0 0 8px; }
@media (max-width:560px) {
  .duels { grid-template-columns:1fr; } .row { grid-template-columns:1fr; }
}
@media print { body { background:#fff; } .wide, .duel, .tile { break-inside:avoid; } }
".
