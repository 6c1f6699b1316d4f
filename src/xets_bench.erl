%% @doc xets beside ets: measured in the same run, with the targets beside the figures.
%%
%% From a shell, `xets_bench:run()' measures everything, which takes about a quarter of an hour and
%% wants a machine that does nothing else; `xets_bench:run(#{quick => true})' goes through
%% everything with small sizes in seconds, to see that it works. `make bench' and
%% `make bench QUICK=1' do the same.
%%
%% Each line shows a cell: the time or size of ETS, that of xets, the ratio, the target and whether
%% it is met. The same is written as a page of HTML that needs nothing but itself.
%%
%% What is measured stands in {@link xets_bench_cells}; how, in the modules named there.
-module(xets_bench).

-export([run/0, run/1, main/0, main/1]).

-export_type([options/0, conf/0, result/0, counts/0]).

-type options() :: #{
    quick => boolean(),
    filter => unicode:chardata(),
    output => file:filename(),
    seed => integer()
}.
%% <dl>
%% <dt>`quick'</dt><dd>small sizes and short times; the figures are not to be judged</dd>
%% <dt>`filter'</dt><dd>a regular expression: only cells whose group, row and column match</dd>
%% <dt>`output'</dt><dd>the page's file, by default `_build/bench/index.html'</dd>
%% <dt>`seed'</dt><dd>for all that is drawn at random</dd>
%% </dl>

-type conf() :: #{
    quick := boolean(),
    seed := integer(),
    rounds := pos_integer(),
    few_rounds := pos_integer(),
    stall_rounds := pos_integer(),
    chunk_ns := pos_integer(),
    together_ns := pos_integer(),
    trial_ns := pos_integer(),
    hot := pos_integer(),
    large := pos_integer(),
    huge := pos_integer(),
    tables := pos_integer(),
    limit_ms := pos_integer(),
    memory_sizes := [pos_integer()]
}.
%% Sizes and times of a run. `rounds' of many small chunks, `few_rounds' where one takes long; a job
%% that takes longer than `limit_ms' has failed.

-type result() :: #{
    group := xets_bench_cells:group(),
    row := string(),
    column := string() | none,
    target := xets_bench_target:target(),
    mark := xets_bench_target:mark() | failed,
    outcome => xets_bench_lib:outcome(),
    verdict => xets_bench_target:verdict(),
    reason => term()
}.

-type counts() :: #{
    cells := non_neg_integer(),
    under := non_neg_integer(),
    slower := non_neg_integer(),
    failed := non_neg_integer(),
    quick := boolean(),
    seconds := non_neg_integer()
}.

-define(DEFAULT_OUTPUT, "_build/bench/index.html").
-define(DEFAULT_SEED, 20_250_101).

%% Running ----------------------------------------------------------------------------------------

%% @equiv run(#{})
-spec run() -> #{counts := counts(), page := file:filename(), results := [result()]}.
run() ->
    run(#{}).

%% @doc Measures, prints, and writes the page. A cell under its target is shown and counted; a cell
%% that crashed or gave a wrong result is shown as `FAILED' and the others go on.
-spec run(options() | [atom() | tuple()]) ->
    #{counts := counts(), page := file:filename(), results := [result()]}.
run(Options) when is_list(Options) ->
    run(maps:from_list(proplists:unfold(Options)));
run(Options) ->
    ok = loaded(),
    Conf = conf(maps:get(quick, Options, false), maps:get(seed, Options, ?DEFAULT_SEED)),
    Output = maps:get(output, Options, ?DEFAULT_OUTPUT),
    Jobs = chosen(maps:get(filter, Options, ""), xets_bench_cells:jobs()),
    About = about(Conf),
    print([[io_lib:format("~-10ts ~ts~n", [Label, Text]) || {Label, Text} <- About], warnings()]),
    Start = erlang:monotonic_time(second),
    Results = run_jobs(Jobs, Conf),
    Seconds = erlang:monotonic_time(second) - Start,
    Counts = counts(Results, Conf, Seconds),
    Groups = grouped(Results),
    print(xets_bench_text:summary(Groups, Counts)),
    ok = filelib:ensure_dir(Output),
    ok = file:write_file(Output, xets_bench_html:page(Groups, Counts, About)),
    Page = filename:absname(Output),
    print(io_lib:format("~b s. The same as a page: ~ts~n", [Seconds, Page])),
    #{counts => Counts, page => Page, results => Results}.

%% @equiv main([])
-spec main() -> no_return().
main() ->
    main([]).

%% @doc The command line: `quick', `filter=REGEXP', `output=FILE', `seed=N', in any order. Ends the
%% emulator: with 1 when a cell crashed, gave a wrong result or the arguments are wrong, else 0.
-spec main([string() | atom()]) -> no_return().
main(Arguments) ->
    Status =
        try run(maps:from_list([argument(Argument) || Argument <- Arguments])) of
            #{counts := #{cells := 0}} ->
                print("No cell matches the filter.\n"),
                1;
            #{counts := #{failed := 0}} ->
                0;
            #{} ->
                1
        catch
            Class:Reason:Stack ->
                print(io_lib:format("~nThe benchmark failed: ~0tp~n", [{Class, Reason, Stack}])),
                1
        end,
    halt(Status).

argument(Argument) when is_atom(Argument) ->
    argument(atom_to_list(Argument));
argument("quick") ->
    {quick, true};
argument(Argument) ->
    case string:split(Argument, "=") of
        ["filter", Expression] -> {filter, Expression};
        ["output", File] -> {output, File};
        ["seed", Number] -> {seed, list_to_integer(Number)};
        _ -> error({unknown_argument, Argument})
    end.

%% Without its native library no cell can be measured: one error instead of a page of them.
loaded() ->
    case code:ensure_loaded(xets) of
        {module, xets} -> ok;
        {error, Reason} -> error({xets_not_loaded, Reason})
    end.

conf(false, Seed) ->
    #{
        quick => false,
        seed => Seed,
        rounds => 10,
        few_rounds => 6,
        stall_rounds => 4,
        chunk_ns => 40_000_000,
        together_ns => 300_000_000,
        trial_ns => 150_000_000,
        hot => 1024,
        large => 1_000_000,
        huge => 10_000_000,
        tables => 10_000,
        limit_ms => 900_000,
        memory_sizes => [1_000_000, 1_200_000, 1_400_000, 1_700_000, 2_000_000]
    };
conf(true, Seed) ->
    #{
        quick => true,
        seed => Seed,
        rounds => 4,
        few_rounds => 2,
        stall_rounds => 2,
        chunk_ns => 1_000_000,
        together_ns => 5_000_000,
        trial_ns => 1_000_000,
        hot => 1024,
        large => 20_000,
        huge => 100_000,
        tables => 200,
        limit_ms => 60_000,
        memory_sizes => [10_000, 14_000]
    }.

%% Jobs -------------------------------------------------------------------------------------------

chosen(Filter, Jobs) ->
    {ok, Expression} = re:compile(Filter, [unicode, caseless]),
    Matches = fun({_, #{group := Group, row := Row, column := Column}}) ->
        Text = io_lib:format("~ts ~ts ~ts", [Group, Row, Column]),
        re:run(Text, Expression, [{capture, none}]) =:= match
    end,
    [Job || #{cells := Cells} = Job <- Jobs, lists:any(Matches, Cells)].

run_jobs(Jobs, Conf) ->
    {Results, _} = lists:mapfoldl(fun(Job, Group) -> run_job(Job, Group, Conf) end, none, Jobs),
    lists:append(Results).

run_job(#{cells := [{_, #{group := Group}} | _]} = Job, Group, Conf) ->
    Results = measured(Job, Conf),
    [print(xets_bench_text:line(Result, maps:get(quick, Conf))) || Result <- Results],
    {Results, Group};
run_job(#{cells := [{_, #{group := Group}} | _]} = Job, _Previous, Conf) ->
    print(xets_bench_text:heading(title(Group))),
    run_job(Job, Group, Conf).

measured(#{measure := {Module, Spec}, cells := Cells}, #{limit_ms := Limit} = Conf) ->
    case xets_bench_lib:fresh(fun() -> Module:measure(Spec, Conf) end, Limit) of
        {ok, Outcomes} -> [result(Cell, maps:get(Key, Outcomes)) || {Key, Cell} <- Cells];
        {failed, Reason} -> [Cell#{mark => failed, reason => Reason} || {_, Cell} <- Cells]
    end.

result(#{target := Target} = Cell, Outcome) ->
    #{mark := Mark} = Verdict = xets_bench_target:judge(Target, Outcome),
    Cell#{outcome => Outcome, verdict => Verdict, mark => Mark}.

title(Group) ->
    proplists:get_value(Group, xets_bench_cells:groups()).

grouped(Results) ->
    [
        {Title, Members}
     || {Group, Title} <- xets_bench_cells:groups(),
        Members <- [[Result || #{group := G} = Result <- Results, G =:= Group]],
        Members =/= []
    ].

counts(Results, #{quick := Quick}, Seconds) ->
    Marked = fun(Marks) ->
        length([Mark || #{mark := Mark} <- Results, lists:member(Mark, Marks)])
    end,
    #{
        cells => length(Results),
        under => Marked([under, slower]),
        slower => Marked([slower]),
        failed => Marked([failed]),
        quick => Quick,
        seconds => Seconds
    }.

%% The run ----------------------------------------------------------------------------------------

%% What a reader must know to compare two pages.
about(#{quick := Quick, seed := Seed, rounds := Rounds}) ->
    {{Year, Month, Day}, {Hour, Minute, _}} = calendar:universal_time(),
    [
        {"date",
            io_lib:format("~4..0b-~2..0b-~2..0b ~2..0b:~2..0b UTC", [
                Year, Month, Day, Hour, Minute
            ])},
        {"emulator",
            io_lib:format("Erlang/OTP ~ts, erts ~ts, ~b schedulers", [
                erlang:system_info(otp_release),
                erlang:system_info(version),
                erlang:system_info(schedulers_online)
            ])},
        {"machine", [processor(), ", ", erlang:system_info(system_architecture)]},
        {"xets", ["version ", xets_info:version()]},
        {"terms", terms(xets:info())},
        {"run",
            io_lib:format("seed ~b, medians of ~b rounds~ts", [
                Seed, Rounds, [", quick: figures not to be judged" || Quick]
            ])},
        {"values", io_lib:format("integers of ~b bits", [xets_bench_objects:value_bits()])}
    ].

processor() ->
    case file:read_file("/proc/cpuinfo") of
        {ok, Text} ->
            case re:run(Text, "^model name\\s*: (.*)$", [multiline, {capture, [1], binary}]) of
                {match, [Name]} -> Name;
                nomatch -> "unknown processor"
            end;
        {error, _} ->
            "unknown processor"
    end.

%% Which of them are read and built where they lie: most of what a lookup of a value costs.
terms(#{native_terms := []}) ->
    "portable: all kinds are converted by documented calls of the emulator";
terms(#{native_terms := Kinds}) ->
    ["native: ", lists:join(", ", [atom_to_list(Kind) || Kind <- Kinds])].

%% Figures of a busy machine are noise.
warnings() ->
    case file:read_file("/proc/loadavg") of
        {ok, <<Load:4/binary, _/binary>>} when Load > <<"0.50">> ->
            ["Warning: the load average is ", Load, "; something else may be running.\n"];
        _ ->
            ""
    end.

print(Text) ->
    io:put_chars(unicode:characters_to_list(Text)).
