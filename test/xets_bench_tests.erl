%% @doc The benchmark's own parts: numbers, orders, judgement, text and page; then a quick run of
%% all cells.
-module(xets_bench_tests).

-include_lib("eunit/include/eunit.hrl").

%% Numbers ----------------------------------------------------------------------------------------

median_of_an_odd_count_is_the_middle_test() ->
    ?assertEqual(3, xets_bench_lib:median([9, 1, 3])).

median_of_an_even_count_is_the_mean_of_the_middle_two_test() ->
    ?assertEqual(2.5, xets_bench_lib:median([9, 1, 3, 2])).

median_of_one_is_itself_test() ->
    ?assertEqual(7, xets_bench_lib:median([7])).

quartiles_are_elements_test() ->
    ?assertEqual({2, 6}, xets_bench_lib:quartiles([8, 7, 6, 5, 4, 3, 2, 1])),
    ?assertEqual({5, 5}, xets_bench_lib:quartiles([5])).

percentile_is_the_upper_bound_of_its_slot_test() ->
    Histogram = histogram(10, [{1, 98}, {5, 1}, {7, 1}]),
    ?assertEqual(1 bsl 6, xets_bench_lib:percentile(0.5, Histogram, {6, 10})),
    ?assertEqual(5 bsl 6, xets_bench_lib:percentile(0.99, Histogram, {6, 10})),
    ?assertEqual(7 bsl 6, xets_bench_lib:percentile(1.0, Histogram, {6, 10})).

percentile_in_the_last_slot_has_no_bound_test() ->
    Histogram = histogram(10, [{1, 1}, {10, 1}]),
    ?assertEqual(beyond, xets_bench_lib:percentile(0.99, Histogram, {6, 10})).

histogram(Slots, Counts) ->
    Histogram = counters:new(Slots, []),
    [counters:put(Histogram, Slot, Count) || {Slot, Count} <- Counts],
    Histogram.

net_takes_the_empty_loop_off_both_sides_test() ->
    Samples = #{ets => [50, 52, 54], xets => [30, 31, 32], none => [2, 2, 2]},
    ?assertMatch(
        #{unit := ns, ets := 50, xets := 29, empty := 2}, xets_bench_lib:net(Samples)
    ).

net_stays_positive_test() ->
    Samples = #{ets => [1], xets => [1], none => [2]},
    #{ets := Ets, xets := Xets} = xets_bench_lib:net(Samples),
    ?assert(Ets > 0 andalso Xets > 0).

net_needs_no_ets_test() ->
    Net = xets_bench_lib:net(#{xets => [30, 31, 32], none => [2, 2, 2]}),
    ?assertMatch(#{unit := ns, xets := 29, empty := 2}, Net),
    ?assertNot(maps:is_key(ets, Net)).

%% Orders -----------------------------------------------------------------------------------------

permute_is_a_permutation_for_any_size_test() ->
    [
        ?assertEqual(
            lists:seq(0, N - 1),
            lists:sort([xets_bench_lib:permute(I, N, Order) || I <- lists:seq(0, N - 1)])
        )
     || N <- [1, 2, 3, 1000, 1023, 1024, 1025], Order <- [1, 2, 3, 4]
    ].

orders_differ_test() ->
    Walk = fun(Order) -> [xets_bench_lib:permute(I, 1000, Order) || I <- lists:seq(0, 999)] end,
    ?assertEqual(4, length(lists:usort([Walk(Order) || Order <- [1, 2, 3, 4]]))).

an_order_does_not_keep_neighbours_together_test() ->
    Walk = [xets_bench_lib:permute(I, 100_000, 1) || I <- lists:seq(0, 9_999)],
    Near = [1 || {A, B} <- lists:zip(lists:droplast(Walk), tl(Walk)), abs(A - B) < 100],
    ?assert(length(Near) < 100).

scramble_is_one_to_one_test() ->
    Keys = [xets_bench_lib:scramble(I) || I <- lists:seq(0, 99_999)],
    ?assertEqual(100_000, length(lists:usort(Keys))).

shuffle_depends_on_the_seed_alone_test() ->
    List = lists:seq(1, 1000),
    ?assertEqual(xets_bench_lib:shuffle(List, 1), xets_bench_lib:shuffle(List, 1)),
    ?assertNotEqual(xets_bench_lib:shuffle(List, 1), xets_bench_lib:shuffle(List, 2)),
    ?assertEqual(List, lists:sort(xets_bench_lib:shuffle(List, 1))).

workers_draw_different_keys_test() ->
    ?assertNotEqual(xets_bench_lib:draw_state(1, 1), xets_bench_lib:draw_state(1, 2)).

%% Rounds and processes ---------------------------------------------------------------------------

sides_take_turns_and_the_first_round_is_dropped_test() ->
    Self = self(),
    Samples = xets_bench_lib:interleave(2, [ets, xets], fun(Side, Round) ->
        Self ! {Side, Round},
        Round
    end),
    ?assertEqual(#{ets => [1, 2], xets => [1, 2]}, Samples),
    ?assertEqual(
        [{ets, 0}, {xets, 0}, {xets, 1}, {ets, 1}, {ets, 2}, {xets, 2}],
        [receive Turn -> Turn end || _ <- lists:seq(1, 6)]
    ).

a_fresh_process_returns_its_result_test() ->
    ?assertEqual({ok, 42}, xets_bench_lib:fresh(fun() -> 42 end)).

a_measurement_that_hangs_is_a_failure_test() ->
    ?assertMatch(
        {failed, {no_result_within, _, seconds}},
        xets_bench_lib:fresh(fun() -> timer:sleep(infinity) end, 10)
    ).

a_missing_function_is_a_failure_that_names_it_test() ->
    Missing = list_to_atom("no_such_function"),
    Failed = xets_bench_lib:fresh(fun() -> lists:Missing(1) end),
    ?assertMatch({failed, {undef, [{lists, Missing, [1], _} | _]}}, Failed),
    {failed, Reason} = Failed,
    ?assertEqual(
        "undef in lists:no_such_function/1",
        lists:flatten(xets_bench_text:failure(Reason))
    ).

%% Judgement --------------------------------------------------------------------------------------

times(Ets, Xets) -> #{unit => ns, ets => Ets, xets => Xets}.

mark(Target, Outcome) ->
    maps:get(mark, xets_bench_target:judge(Target, Outcome)).

faster_compares_ets_with_xets_test() ->
    ?assertMatch(
        #{mark := ok, ratio := 2.0, score := 2.0},
        xets_bench_target:judge({faster, 1.0}, times(100, 50))
    ),
    ?assertEqual(under, mark({faster, 2.5}, times(100, 50))),
    ?assertEqual(slower, mark({faster, 1.0}, times(100, 110))).

ratios_are_judged_as_shown_test() ->
    ?assertMatch(
        #{mark := ok, ratio := 1.0}, xets_bench_target:judge({faster, 1.0}, times(99.6, 100))
    ),
    ?assertEqual(slower, mark({faster, 1.0}, times(99.4, 100))).

smaller_compares_xets_with_ets_test() ->
    ?assertMatch(
        #{mark := ok, ratio := 0.4}, xets_bench_target:judge({smaller, 0.45}, times(100, 40))
    ),
    ?assertEqual(under, mark({smaller, 0.45}, times(100, 50))),
    ?assertEqual(slower, mark({smaller, 0.45}, times(100, 120))).

absolute_targets_look_at_xets_alone_test() ->
    ?assertEqual(ok, mark({at_most, 20}, times(500, 20))),
    ?assertEqual(under, mark({at_most, 20}, times(500, 21))),
    ?assertEqual(ok, mark({at_least, 0.75}, times(0, 0.8))),
    ?assertEqual(under, mark({at_least, 0.75}, times(1, 0.7))).

at_most_and_ets_has_two_limits_test() ->
    ?assertEqual(ok, mark({at_most_and_ets, 1024}, times(2000, 900))),
    ?assertEqual(under, mark({at_most_and_ets, 1024}, times(2000, 1100))),
    ?assertEqual(slower, mark({at_most_and_ets, 1024}, times(500, 600))).

within_looks_at_both_directions_test() ->
    ?assertEqual(ok, mark({within, 0.15}, times(1, 1.1))),
    ?assertEqual(ok, mark({within, 0.15}, times(1, 0.9))),
    ?assertEqual(under, mark({within, 0.15}, times(1, 1.2))),
    ?assertEqual(under, mark({within, 0.15}, times(1, 0.8))).

what_an_empty_loop_suffers_is_not_held_against_a_call_test() ->
    Held = fun(Xets, Empty) -> (times(0, Xets))#{empty => Empty} end,
    ?assertEqual(ok, mark({under_or_empty, 10}, Held(0, 0))),
    ?assertEqual(ok, mark({under_or_empty, 10}, Held(20, 20))),
    ?assertEqual(under, mark({under_or_empty, 10}, Held(10, 0))),
    ?assertEqual(under, mark({under_or_empty, 10}, Held(30, 20))).

%% Text -------------------------------------------------------------------------------------------

quantities_have_three_digits_and_a_unit_test() ->
    Text = fun(N, Unit) -> lists:flatten(xets_bench_text:quantity(N, Unit)) end,
    ?assertEqual("5.42 ns", Text(5.42, ns)),
    ?assertEqual("54.2 ns", Text(54.19, ns)),
    ?assertEqual("542 ns", Text(541.9, ns)),
    ?assertEqual("5.42 us", Text(5419, ns)),
    ?assertEqual("1 ms", Text(1_000_000, ns)),
    ?assertEqual("20 us", Text(20_000, ns)),
    ?assertEqual("1.50 s", Text(1_500_000_000, ns)),
    ?assertEqual("1 KiB", Text(1024, bytes)),
    ?assertEqual("61.0 MiB", Text(64_000_000, bytes)),
    ?assertEqual("75 %", Text(0.75, share)),
    ?assertEqual("< 1 ms", Text(0, hold)),
    ?assertEqual("3 ms", Text(3_000_000, hold)).

result(Row, Target, Outcome) ->
    #{mark := Mark} = Verdict = xets_bench_target:judge(Target, Outcome),
    #{
        group => point,
        row => Row,
        column => none,
        target => Target,
        outcome => Outcome,
        verdict => Verdict,
        mark => Mark
    }.

failed(Row) ->
    #{
        group => point,
        row => Row,
        column => none,
        target => {faster, 2.0},
        mark => failed,
        reason => {undef, [{xets, lookup_many, [table, [1]], []}]}
    }.

words_of(Result, Quick) ->
    Line = unicode:characters_to_list(xets_bench_text:line(Result, Quick)),
    string:lexemes(string:trim(Line), " ").

a_line_shows_figures_ratio_target_and_mark_test() ->
    Line = words_of(result("lookup", {faster, 1.3}, times(54.2, 40.1)), false),
    ?assertEqual(["lookup", "54.2", "ns", "40.1", "ns", "1.35", "1.30", "x", "ok"], Line).

a_cell_under_target_is_marked_test() ->
    ?assertEqual(
        "UNDER", lists:last(words_of(result("lookup", {faster, 2.0}, times(54, 40)), false))
    ).

a_defect_says_so_test() ->
    Line = words_of(result("lookup", {faster, 1.0}, times(40, 54)), false),
    ?assertEqual(["UNDER,", "slower", "than", "ETS"], lists:nthtail(length(Line) - 4, Line)).

quick_marks_stand_in_parentheses_test() ->
    ?assertEqual(
        "(ok)", lists:last(words_of(result("lookup", {faster, 1.0}, times(54, 40)), true))
    ).

a_failure_is_loud_test() ->
    ?assertEqual(
        ["many", "FAILED", "undef", "in", "xets:lookup_many/2"], words_of(failed("many"), false)
    ).

summary_counts_what_is_under_target_test() ->
    Counts = counts(#{cells => 3, under => 1, slower => 1, failed => 1}),
    Text = unicode:characters_to_list(xets_bench_text:summary(groups(), Counts)),
    ?assertNotEqual(
        nomatch, string:find(Text, "3 cells: 1 at target, 1 under target (1 of them slower")
    ),
    ?assertNotEqual(nomatch, string:find(Text, "1 FAILED")),
    ?assertEqual(nomatch, string:find(Text, "A quick run")).

summary_of_a_quick_run_says_so_test() ->
    Text = unicode:characters_to_list(xets_bench_text:summary(groups(), counts(#{quick => true}))),
    ?assertNotEqual(nomatch, string:find(Text, "A quick run")).

counts(Changes) ->
    maps:merge(
        #{cells => 3, under => 1, slower => 0, failed => 1, quick => false, seconds => 1}, Changes
    ).

groups() ->
    [
        {"Point <operations>", [
            result("lookup <<20 bytes>> & \"more\"", {faster, 1.3}, times(54, 40)),
            result("insert", {faster, 1.0}, times(40, 54)),
            failed("lookup_many")
        ]}
    ].

%% Page -------------------------------------------------------------------------------------------

html_escapes_what_html_knows_test() ->
    ?assertEqual(
        "&lt;a b=&quot;c&quot; &amp; &#39;d&#39;&gt;",
        lists:flatten(xets_bench_html:escape("<a b=\"c\" & 'd'>"))
    ).

html_keeps_other_scripts_test() ->
    ?assertEqual([[16#e4, 16#4e2d]], [
        lists:flatten(xets_bench_html:escape(<<16#e4/utf8, 16#4e2d/utf8>>))
    ]).

page() ->
    xets_bench_html:page(groups(), counts(#{}), [{"date", "<today>"}]).

page_needs_nothing_but_itself_test() ->
    Page = page(),
    [
        ?assertEqual({Reference, nomatch}, {Reference, binary:match(Page, Reference)})
     || Reference <- [
            <<"http:">>, <<"https:">>, <<"src=">>, <<"href=">>, <<"@import">>, <<"url(">>, <<"//">>
        ]
    ].

page_shows_every_cell_escaped_test() ->
    Page = page(),
    [
        ?assertNotEqual({Text, nomatch}, {Text, binary:match(Page, Text)})
     || Text <- [
            <<"Point &lt;operations&gt;">>,
            <<"lookup &lt;&lt;20 bytes&gt;&gt; &amp; &quot;more&quot;">>,
            <<"lookup_many">>,
            <<"undef in xets:lookup_many/2">>,
            <<"worse than ETS">>,
            <<"&lt;today&gt;">>
        ]
    ].

page_shows_a_cell_in_a_column_without_ets_test() ->
    Cell = (result("rank", {at_most, 1_000}, #{unit => ns, xets => 432}))#{column := "int keys"},
    Groups = [{"ordered_set", [Cell]}],
    Page = iolist_to_binary(xets_bench_html:page(Groups, counts(#{}), [])),
    ?assertNotEqual(nomatch, binary:match(Page, <<"<small>432 ns</small>">>)),
    ?assertEqual(nomatch, binary:match(Page, <<"&rarr;">>)).

page_closes_what_it_opens_test() ->
    Page = page(),
    [
        ?assertEqual({Tag, count(<<"<", Tag/binary, "[ >]">>, Page)}, {
            Tag, count(<<"</", Tag/binary, ">">>, Page)
        })
     || Tag <- [
            <<"div">>, <<"span">>, <<"table">>, <<"tbody">>, <<"tr">>, <<"td">>, <<"th">>, <<"i">>,
            <<"u">>, <<"s">>, <<"b">>, <<"q">>, <<"section">>, <<"small">>, <<"script">>
        ]
    ].

count(Pattern, Text) ->
    case re:run(Text, Pattern, [global]) of
        {match, Matches} -> length(Matches);
        nomatch -> 0
    end.

page_carries_its_data_test() ->
    {match, [Json]} = re:run(
        page(),
        "<script type=\"application/json\" id=\"xets-bench\">(.*)</script>",
        [dotall, {capture, all_but_first, binary}]
    ),
    ?assertEqual(nomatch, binary:match(Json, <<"<">>)),
    ?assertNotEqual(nomatch, binary:match(Json, <<"\"mark\":\"failed\"">>)),
    ?assertNotEqual(nomatch, binary:match(Json, <<"\"ets\":54">>)).

json_encodes_what_the_page_needs_test() ->
    Encode = fun(Term) -> unicode:characters_to_list(xets_bench_json:encode(Term)) end,
    ?assertEqual("{\"a\":[1,2.50000,true,null],\"b\":\"x\"}", Encode(#{
        a => [1, 2.5, true, none], b => x
    })),
    ?assertEqual("\"\\u003c\\\"\\\\\\u000a\"", Encode(<<"<\"\\\n">>)),
    ?assertEqual([$", 16#e4, $"], Encode({string, [16#e4]})).

%% Cells, loops, objects --------------------------------------------------------------------------

every_job_names_a_module_that_measures_test() ->
    [
        begin
            {module, Module} = code:ensure_loaded(Module),
            ?assert(erlang:function_exported(Module, measure, 2))
        end
     || #{measure := {Module, _}} <- xets_bench_cells:jobs()
    ].

every_cell_has_its_own_name_and_a_known_group_test() ->
    Cells = [Cell || #{cells := Cells} <- xets_bench_cells:jobs(), {_, Cell} <- Cells],
    Names = [{G, R, C} || #{group := G, row := R, column := C} <- Cells],
    ?assertEqual(length(Names), length(lists:usort(Names))),
    ?assertEqual([], lists:usort([G || {G, _, _} <- Names]) -- [
        G
     || {G, _} <- xets_bench_cells:groups()
    ]).

no_ratio_is_allowed_to_be_worse_than_ets_test() ->
    [
        case Target of
            {faster, Ratio} -> ?assert(Ratio >= 1.0);
            {smaller, Ratio} -> ?assert(Ratio =< 1.0);
            _ -> ok
        end
     || #{cells := Cells} <- xets_bench_cells:jobs(), {_, #{target := Target}} <- Cells
    ].

the_loops_of_all_sides_are_the_same_test() ->
    Exports = fun(Side) ->
        Module = xets_bench_lib:loops(Side),
        lists:sort(Module:module_info(exports))
    end,
    ?assertEqual(Exports(ets), Exports(xets)),
    ?assertEqual(Exports(ets), Exports(none)).

mixed_operations_come_in_their_shares_test() ->
    T = ets:new(xets_bench_tests, [public]),
    _ = xets_bench_on_ets:mix(20_000, xets_bench_lib:draw_state(1, 1), T, {1023, 512, 1024}),
    Size = ets:info(T, size),
    ets:delete(T),
    %% Half of the keys are in the table when half of the operations insert.
    ?assert(Size > 400 andalso Size < 624).

steps_end_where_they_should_test() ->
    T = ordered(int, 10),
    ?assertEqual(9, xets_bench_on_ets:next(9, 0, T)),
    ?assertEqual(0, xets_bench_on_ets:prev(9, 9, T)),
    ?assertEqual(ok, xets_bench_on_none:next(9, 0, none)),
    ets:delete(T).

both_sides_find_the_same_in_order_test() ->
    [
        begin
            E = ordered(Kind, 3_000),
            X = xets:new(xets_bench_tests, [ordered_set]),
            true = xets:insert(X, ets:tab2list(E)),
            [
                begin
                    Expected = lists:sublist(ets:tab2list(E), From, Length),
                    Ends = {element(1, hd(Expected)), element(1, lists:last(Expected))},
                    found(range, Ends, E, X, Expected),
                    found(count, Ends, E, X, Length),
                    found(rank, element(1, Ends), E, X, From),
                    found(nth, From, E, X, [hd(Expected)])
                end
             || {From, Length} <- [{1, 1}, {1, 3_000}, {1_234, 567}]
            ],
            ets:delete(E),
            xets:delete(X)
        end
     || Kind <- [int, bin20, atomint, {grouped, int}, {grouped, bin20}, {grouped, atomint}]
    ].

both_sides_find_the_same_by_a_prefix_test() ->
    [
        begin
            E = ordered({grouped, Kind}, 3_000),
            X = xets:new(xets_bench_tests, [ordered_set]),
            true = xets:insert(X, ets:tab2list(E)),
            Prefix = xets_bench_objects:prefix({grouped, Kind}, 1),
            found(prefix, Prefix, E, X, lists:sublist(ets:tab2list(E), 1_001, 1_000)),
            ets:delete(E),
            xets:delete(X)
        end
     || Kind <- [int, bin20, atomint]
    ].

ordered(Kind, Count) ->
    T = ets:new(xets_bench_tests, [ordered_set]),
    Make = xets_bench_objects:maker(Kind),
    true = ets:insert(T, [Make(I, I) || I <- lists:seq(0, Count - 1)]),
    T.

found(Op, Item, E, X, Expected) ->
    ?assertEqual(Expected, xets_bench_on_ets:found(Op, Item, E)),
    ?assertEqual(Expected, xets_bench_on_xets:found(Op, Item, X)).

keys_are_in_the_order_of_their_numbers_test() ->
    [
        begin
            Keys = [xets_bench_objects:key(Kind, I) || I <- lists:seq(0, 2_999)],
            ?assertEqual(Keys, lists:usort(Keys))
        end
     || Kind <- [int, bin20, atomint, {grouped, int}, {grouped, bin20}, {grouped, atomint}]
    ].

growing_counts_every_insert_test() ->
    T = ets:new(xets_bench_tests, [public]),
    Histogram = counters:new(16, []),
    Longest = xets_bench_on_ets:grow(0, 1000, T, Histogram, {6, 16}, 0),
    ?assertEqual(1000, ets:info(T, size)),
    ?assertEqual(1000, lists:sum([counters:get(Histogram, I) || I <- lists:seq(1, 16)])),
    ?assert(Longest > 0),
    ets:delete(T).

makers_make_what_the_cells_are_called_by_test() ->
    Make = fun(Kind) -> (xets_bench_objects:maker(Kind))(7, 9) end,
    ?assertMatch({7, V} when is_integer(V), Make(int)),
    ?assertMatch({<<_:20/binary>>, V} when is_integer(V), Make(bin20)),
    ?assertMatch({{user_event, 7}, V} when is_integer(V), Make(atomint)),
    ?assertMatch({7, {a, b, [1, 2, 3], <<_:20/binary>>}}, Make(tuple)),
    ?assertMatch({7, {user, {7, {first, _}, {last, 8}}, {active, {_, {7, _}}}}}, Make(nested)),
    {7, Integers} = Make(list20),
    ?assertEqual(20, length([I || I <- Integers, is_integer(I)])),
    ?assertMatch({7, <<_:20/binary>>}, Make(bytes20)),
    [
        ?assertEqual({Kind, Size}, {Kind, map_size(element(2, Make(Kind)))})
     || {Kind, Size} <- [{map5, 5}, {map20, 20}, {map60, 60}]
    ],
    {7, List} = Make(list1000),
    ?assertEqual(1000, length([1 || {_, _} <- List])),
    ?assertMatch({7, <<_:1024/binary>>}, Make(bin1k)).

values_change_with_their_number_test() ->
    [
        begin
            Make = xets_bench_objects:maker(Kind),
            ?assertNotEqual(Make(1, 1), Make(1, 2)),
            ?assertNotEqual(element(1, Make(1, 1)), element(1, Make(2, 1)))
        end
     || Kind <- [
            int, bin20, atomint, tuple, nested, list20, bytes20, map5, map20, map60, list1000, bin1k
        ]
    ].

functions_are_read_from_the_installed_modules_test() ->
    {Objects, #{functions := Count}} = xets_bench_functions:objects(true),
    ?assertEqual(Count, length(Objects)),
    ?assertEqual(Count, length(lists:ukeysort(1, Objects))),
    ?assertMatch({{lists, map, 2}, 0, stdlib, <<"lists.beam">>, erlang, false, _, [], _, _},
        lists:keyfind({lists, map, 2}, 1, Objects)),
    ?assertMatch({{ets, lookup, 2}, 0, stdlib, _, bif, _, _, _, _, _},
        lists:keyfind({ets, lookup, 2}, 1, Objects)).

%% Wrong results ----------------------------------------------------------------------------------

an_object_that_is_missing_is_a_wrong_result_test() ->
    Pair = xets_bench_pair:open([ets], []),
    ok = xets_bench_pair:insert(Pair, [{1, a}, {2, b}]),
    ?assertEqual(ok, xets_bench_pair:holds(Pair, ets, 2)),
    ?assertError({wrong_result, _, _}, xets_bench_pair:holds(Pair, ets, 3)),
    ?assertEqual(ok, xets_bench_pair:has(Pair, ets, [{1, a}, {2, b}])),
    ?assertError({wrong_result, _, _}, xets_bench_pair:has(Pair, ets, [{1, a}, {2, c}])),
    ok = xets_bench_pair:close(Pair).

tables_that_differ_are_a_wrong_result_test() ->
    Pair = xets_bench_pair:open([]),
    ok = xets_bench_pair:insert(Pair, [{1, a}, {2, b}]),
    ?assertEqual(ok, xets_bench_pair:agree(Pair, [1, 2, 3])),
    ?assertEqual(2, xets_bench_pair:same_contents(Pair)),
    true = ets:insert(xets_bench_pair:table(ets, Pair), {2, c}),
    ?assertError({wrong_result, {lookup, 2}, _}, xets_bench_pair:agree(Pair, [1, 2, 3])),
    ?assertError(
        {wrong_result, tab2list, {[{2, c}], [{2, b}]}}, xets_bench_pair:same_contents(Pair)
    ),
    ok = xets_bench_pair:close(Pair).

closing_a_pair_deletes_its_tables_test() ->
    Pair = xets_bench_pair:open([]),
    Tables = [{Side, xets_bench_pair:table(Side, Pair)} || Side <- [ets, xets]],
    ok = xets_bench_pair:close(Pair),
    [?assertEqual(undefined, Side:info(T, size)) || {Side, T} <- Tables].

%% Everything, quickly ----------------------------------------------------------------------------

all_cells_run_test_() ->
    {timeout, 300, fun() ->
        Options = #{quick => true, output => output()},
        #{counts := Counts, page := Page} = xets_bench:run(Options),
        {ok, Html} = file:read_file(Page),
        ok = removed(Page),
        Cells = lists:sum([length(Cells) || #{cells := Cells} <- xets_bench_cells:jobs()]),
        ?assertMatch(#{failed := 0, cells := Cells}, Counts),
        ?assertNotEqual(nomatch, binary:match(Html, <<"A quick run">>))
    end}.

a_run_says_which_terms_are_native_test() ->
    Quick = #{quick => true, filter => "^point member hot, plain$", output => output()},
    #{page := Page} = xets_bench:run(Quick),
    {ok, Html} = file:read_file(Page),
    ok = removed(Page),
    #{native_terms := Kinds} = xets:info(),
    Word = if Kinds =:= [] -> "portable: "; true -> "native: " end,
    ?assertNotEqual(nomatch, binary:match(Html, unicode:characters_to_binary(["<dd>", Word]))),
    [
        ?assertNotEqual({Kind, nomatch}, {Kind, binary:match(Html, atom_to_binary(Kind))})
     || Kind <- Kinds
    ].

a_filter_chooses_cells_test() ->
    #{results := Results, page := Page} = xets_bench:run([
        quick, {filter, "^point member .*hot, plain"}, {output, output()}
    ]),
    ok = removed(Page),
    ?assertMatch([#{row := "member", column := "hot, plain"}], Results).

output() ->
    Directory = os:getenv("TMPDIR", "/tmp"),
    filename:join([Directory, "xets_bench_tests." ++ os:getpid(), "index.html"]).

removed(Page) ->
    ok = file:delete(Page),
    file:del_dir(filename:dirname(Page)).
