%% @doc The cells of the benchmark, as data.
%%
%% A job is one measurement, `{Module, Spec}', made by `Module:measure(Spec, Conf)'. It fills one
%% cell, or several that come out of the same run. A cell has a row and, in groups that are tables
%% with columns, a column. To add cells, add jobs here, and a module with a `measure/2' where no
%% existing one fits.
-module(xets_bench_cells).

-export([groups/0, jobs/0]).

-export_type([cell/0, job/0, group/0]).

-type group() :: real | point | ordered | scans | bags | memory | together | stalls | durable.

-type cell() :: #{
    group := group(),
    row := string(),
    column := string() | none,
    target := xets_bench_target:target()
}.

-type job() :: #{
    measure := {module(), Spec :: map()},
    cells := [{Key :: atom(), cell()}]
}.
%% The keys are those of the map that `measure/2' returns.

%% @doc The groups in the order in which they are shown, with their titles.
-spec groups() -> [{group(), string()}].
groups() ->
    [
        {real, "Real data"},
        {point, "Point operations on set, one process"},
        {ordered, "ordered_set, one process"},
        {scans, "Scans, one process"},
        {bags, "Bags"},
        {memory, "Memory"},
        {together, "Together: two processes on two cores, tuned ETS"},
        {stalls, "No stalls"},
        {durable, "Durable tables, beside the peer in brackets"}
    ].

%% @doc All jobs, in the order in which they run.
-spec jobs() -> [job()].
jobs() ->
    real() ++ points() ++ fills() ++ ordered() ++ scans() ++ bags() ++ memory() ++ together() ++
        stalls() ++ durable().

one(Group, Row, Column, Target, Measure) ->
    #{
        measure => Measure,
        cells => [{only, #{group => Group, row => Row, column => Column, target => Target}}]
    }.

%% Real data --------------------------------------------------------------------------------------

real() ->
    [real(functions, "functions") | [real(words, "words") || has_dictionary()]].

has_dictionary() ->
    xets_bench_real:dictionary() =/= none.

real(Data, Title) ->
    Cell = fun(Step, Target) ->
        #{group => real, row => Title ++ ": " ++ Step, column => none, target => Target}
    end,
    #{
        measure => {xets_bench_real, #{data => Data}},
        cells => [
            {load, Cell("load, one insert each", {faster, 1.0})},
            {lookup, Cell("look up all, random order", {faster, 1.0})},
            {count, Cell("update_counter on all, random order", {faster, 1.0})},
            {delete, Cell("delete all, random order", {faster, 1.0})},
            {memory, Cell("memory per object", {smaller, 1.0})}
        ]
    }.

%% Point operations -------------------------------------------------------------------------------

-define(COLUMNS, [
    {"hot, plain", hot, []},
    {"hot, named", hot, [named_table]},
    {"hot, rw concurrency", hot, [{read_concurrency, true}, {write_concurrency, true}]},
    {"1 M, plain", large, []}
]).

%% {Row, what to measure, targets of the columns}
points() ->
    Rows = [
        {"lookup {int,int}", #{op => lookup, kind => int}, {1.35, 2.5, 3.5, 1.8}},
        {"lookup {bin20,int}", #{op => lookup, kind => bin20}, {1.3, 2.4, 3.3, 1.8}},
        {"lookup {{atom,int},int}", #{op => lookup, kind => atomint}, {1.3, 2.4, 3.3, 1.8}},
        {"lookup, value {a,b,[1,2,3],<<20 bytes>>}", #{op => lookup, kind => tuple},
            {1.3, 2.0, 2.8, 1.8}},
        {"lookup, value of tuples in tuples", #{op => lookup, kind => nested},
            {1.3, 2.0, 2.8, 1.8}},
        {"lookup, value list of 20 integers", #{op => lookup, kind => list20},
            {1.3, 2.0, 2.8, 1.8}},
        {"lookup, value <<20 bytes>>", #{op => lookup, kind => bytes20}, {1.3, 2.0, 2.8, 1.8}},
        {"lookup, value map of 5", #{op => lookup, kind => map5}, {1.3, 2.0, 2.8, 1.8}},
        {"lookup, value map of 20", #{op => lookup, kind => map20, walk => 25_000},
            {1.3, 2.0, 2.8, 1.8}},
        {"lookup, value map of 60", #{op => lookup, kind => map60, walk => 25_000},
            {1.3, 2.0, 2.8, 1.8}},
        {"lookup, value list of 1,000 2-tuples",
            #{
                op => lookup,
                kind => list1000,
                share => 0.02,
                reason => "a million would take 40 GB"
            },
            {1.0, 1.0, 1.0, 1.0}},
        {"lookup, value 1 KB binary", #{op => lookup, kind => bin1k}, {1.1, 1.8, 2.5, 1.5}},
        {"lookup_element", #{op => lookup_element, kind => int}, {1.1, 2.2, 3.0, 1.8}},
        {"member", #{op => member, kind => int}, {1.1, 2.2, 3.0, 1.8}},
        {"insert over an existing key", #{op => insert, kind => int}, {1.3, 2.2, 2.2, 1.8}},
        {"update_counter", #{op => update_counter, kind => int}, {1.1, 2.2, 2.2, 1.8}},
        {"delete and insert again (a pair)", #{op => delete_and_insert, kind => int},
            {1.3, 2.0, 2.0, 2.0}},
        {"lookup_many of 1,000 keys, per key", #{op => lookup_many, kind => int},
            {2.0, 3.0, 4.0, 4.0}}
    ],
    [
        one(point, Row, Column, {faster, Target}, {xets_bench_point, Spec#{
            size => Size, options => Options
        }})
     || {Row, Spec, Targets} <- Rows,
        {{Column, Size, Options}, Target} <- lists:zip(?COLUMNS, tuple_to_list(Targets))
    ].

fills() ->
    [
        one(point, "fill from empty, " ++ Title, "1 M, plain", {faster, 3.0}, {xets_bench_point, #{
            op => fill, kind => int, order => Order, options => []
        }})
     || {Order, Title} <- [{random, "random keys"}, {ascending, "ascending keys"}]
    ].

%% ordered_set ------------------------------------------------------------------------------------

%% {Kind, Column, target of single operations on a large table}
-define(ORDERED, [
    {int, "int keys", 3.5},
    {bin20, "bin20 keys", 4.0},
    {atomint, "{user_event,int} keys", 3.5}
]).

ordered() ->
    lists:append([
        [
            ordered_points(Kind, Column, Target),
            ordered_fill(Kind, Column, random, "random keys", 4.0),
            ordered_fill(Kind, Column, ascending, "ascending keys", 2.0),
            ordered_scans(Kind, Column),
            ordered_prefix(Kind, Column),
            ordered_hot(Kind, Column)
            | [ordered_positions(Kind, Column, Size) || Size <- position_sizes(Kind)]
        ]
     || {Kind, Column, Target} <- ?ORDERED
    ]).

ordered_cell(Row, Column, Target) ->
    #{group => ordered, row => Row, column => Column, target => Target}.

ordered_points(Kind, Column, Target) ->
    Titles = [
        {lookup, "1 M: lookup"},
        {insert, "1 M: insert over an existing key"},
        {delete_and_insert, "1 M: delete and insert again (a pair)"}
    ],
    #{
        measure =>
            {xets_bench_point, #{
                ops => [Op || {Op, _} <- Titles],
                kind => Kind,
                size => large,
                walk => 25_000,
                options => [ordered_set]
            }},
        cells => [{Op, ordered_cell(Row, Column, {faster, Target})} || {Op, Row} <- Titles]
    }.

ordered_fill(Kind, Column, Order, Title, Target) ->
    one(ordered, "1 M: fill from empty, " ++ Title, Column, {faster, Target}, {xets_bench_point, #{
        op => fill, kind => Kind, order => Order, rounds => 3, options => [ordered_set]
    }}).

ordered_scans(Kind, Column) ->
    #{
        measure => {xets_bench_order, #{what => scans, kind => Kind}},
        cells => [
            {Key, ordered_cell(Row, Column, {faster, Target})}
         || {Key, Row, Target} <- [
                {next, "1 M: next over the whole table", 2.0},
                {prev, "1 M: prev over the whole table", 2.0},
                {select, "1 M: select of 1,000 by key guards", 500.0},
                {range, "1 M: range of 1,000 (ETS: key guards)", 500.0}
            ]
        ]
    }.

ordered_prefix(Kind, Column) ->
    #{
        measure => {xets_bench_order, #{what => prefix, kind => Kind}},
        cells => [
            {Key, ordered_cell(Row, Column, {faster, 1.5})}
         || {Key, Row} <- [
                {select, "1 M: select of 1,000 by a bound prefix"},
                {prefix, "1 M: prefix of 1,000 (ETS: bound prefix)"}
            ]
        ]
    }.

ordered_hot(Kind, Column) ->
    #{
        measure =>
            {xets_bench_point, #{
                ops => [lookup, insert], kind => Kind, size => hot, options => [ordered_set]
            }},
        cells => [
            {lookup, ordered_cell("hot: lookup", Column, {faster, 1.5})},
            {insert, ordered_cell("hot: insert over an existing key", Column, {faster, 1.3})}
        ]
    }.

%% {Size, title, target in microseconds}
position_sizes(int) ->
    [{small, "1,000", 1}, {medium, "100,000", 2}, {huge, "10 M", 5}];
position_sizes(_Kind) ->
    %% Filling the largest takes most of the time: with one kind of keys only.
    lists:droplast(position_sizes(int)).

ordered_positions(Kind, Column, {Size, Title, Microseconds}) ->
    Target = {at_most, Microseconds * 1_000},
    #{
        measure => {xets_bench_order, #{what => positions, kind => Kind, size => Size}},
        cells => [
            {Op, ordered_cell(Title ++ ": " ++ Name, Column, Target)}
         || {Op, Name} <- [{rank, "rank"}, {nth, "nth"}, {count, "count of a range"}]
        ]
    }.

%% Scans ------------------------------------------------------------------------------------------

%% {What to measure, row, target}
-define(SCANS, [
    {select_count, "1 M: select_count with a guard", 8.0},
    {match_object, "1 M: match_object with few hits", 8.0},
    {select_delete, "1 M: select_delete with few hits", 8.0},
    {select, "1 M: select returning half the table", 3.0},
    {tab2list, "1 M: tab2list", 3.0},
    {foldl, "1 M: foldl", 3.0}
]).

scans() ->
    [
        #{
            measure => {xets_bench_scan, #{type => Type}},
            cells => [
                {Op, #{
                    group => scans,
                    row => Row,
                    column => atom_to_list(Type),
                    target => {faster, Target}
                }}
             || {Op, Row, Target} <- ?SCANS
            ]
        }
     || Type <- [set, ordered_set, bag, duplicate_bag]
    ] ++ [files(Type) || Type <- [set, ordered_set]].

files(Type) ->
    Cell = fun(Op, Row, Target) ->
        {Op, #{
            group => scans, row => Row, column => atom_to_list(Type), target => {faster, Target}
        }}
    end,
    #{
        measure => {xets_bench_file, #{type => Type}},
        cells => [
            Cell(tab2file, "1 M: tab2file, no sync", 10.0),
            Cell(file2tab, "1 M: file2tab", 5.0)
        ]
    }.

%% Bags -------------------------------------------------------------------------------------------

bags() ->
    Cell = fun(Type, Op) ->
        Row = io_lib:format("~s, one key with 100,000 objects: ~s", [Type, Op]),
        {Op, #{
            group => bags, row => lists:flatten(Row), column => none, target => {faster, 1000.0}
        }}
    end,
    %% In a duplicate_bag ETS inserts without looking at the others.
    [
        #{
            measure => {xets_bench_bag, #{type => Type}},
            cells => [Cell(Type, Op) || Op <- Ops]
        }
     || {Type, Ops} <- [{bag, [insert, delete_object]}, {duplicate_bag, [delete_object]}]
    ].

%% Memory -----------------------------------------------------------------------------------------

memory() ->
    %% {Kind, title, target of a set, of an ordered_set}
    Kinds = [
        {int, "{int,int}", 0.45, 0.50},
        {bin20, "{bin20,int}", 0.42, 0.50},
        {atomint, "{{atom,int},int}", 0.45, 0.60},
        {map5, "{int, map of 5}", 0.35, 0.40}
    ],
    PerObject =
        [per_object(set, "", Kind, Title, Target) || {Kind, Title, Target, _} <- Kinds] ++
        [per_object(ordered_set, "ordered_set ", Kind, Title, Target)
         || {Kind, Title, _, Target} <- Kinds],
    Empty = one(memory, "an empty table", none, {at_most_and_ets, 1024},
        {xets_bench_memory, #{what => empty}}),
    PerObject ++ [Empty | [resident(Kind, Title) || {Kind, Title, _, _} <- Kinds]].

per_object(Type, Name, Kind, Title, Target) ->
    one(memory, "bytes per object, " ++ Name ++ Title, none, {smaller, Target},
        {xets_bench_memory, #{what => per_object, type => Type, kind => Kind}}).

resident(Kind, Title) ->
    Cell = fun(Row, Target) ->
        #{group => memory, row => Row ++ ", " ++ Title, column => none, target => Target}
    end,
    #{
        measure => {xets_bench_memory, #{what => resident, kind => Kind}},
        cells => [
            {resident, Cell("resident size / info memory", {within, 0.15})},
            {given_back, Cell("given back after deleting 90 %", {at_least, 0.75})}
        ]
    }.

%% Together ---------------------------------------------------------------------------------------

together() ->
    Large = #{size => large, loop => mix},
    Ordered = Large#{type => ordered_set},
    Hot = #{size => hot},
    [
        one(together, Row, none, {faster, Target}, {xets_bench_together, Spec})
     || {Row, Target, Spec} <- [
            {"1 M: 100 % lookup", 2.0, Large},
            {"1 M: 80 lookup / 10 insert / 10 delete", 2.0, Large#{insert => 0.1, delete => 0.1}},
            {"1 M: 50 insert / 50 delete", 2.0, Large#{insert => 0.5, delete => 0.5}},
            {"1 M ordered_set: 100 % lookup", 3.5, Ordered},
            {"1 M ordered_set: 80 lookup / 10 insert / 10 delete", 3.5,
                Ordered#{insert => 0.1, delete => 0.1}},
            {"1 M ordered_set: 50 insert / 50 delete", 3.5,
                Ordered#{insert => 0.5, delete => 0.5}},
            {"hot: update_counter", 1.5, Hot#{loop => counters}},
            {"hot: insert over", 1.5, Hot#{loop => overwrite}},
            {"hot: 50 lookup / 50 insert", 1.5, Hot#{loop => mix, insert => 0.5}}
        ]
    ].

%% Stalls -----------------------------------------------------------------------------------------

-define(US, 1_000).
-define(MS, 1_000_000).

stalls() ->
    Cell = fun(Row, Target) ->
        #{group => stalls, row => Row, column => none, target => Target}
    end,
    Grow = #{
        measure => {xets_bench_stalls, #{what => grow}},
        cells => [
            {p999, Cell("inserts growing to 10 M, p99.9", {at_most, 20 * ?US})},
            {p9999, Cell("inserts growing to 10 M, p99.99", {at_most, 100 * ?US})},
            {longest, Cell("inserts growing to 10 M, slowest", {faster, 1.0})},
            {delete, Cell("delete/1 of 10 M objects, seen by the caller", {at_most, ?MS})},
            {delete_all_objects,
                Cell("delete_all_objects/1 of 10 M, seen by the caller", {at_most, ?MS})}
        ]
    },
    Hold = one(stalls, "longest hold of a normal scheduler, any call", none,
        {under_or_empty, ?MS}, {xets_bench_holds, #{}}),
    [Grow, Hold].

%% Durable tables ---------------------------------------------------------------------------------

durable() ->
    Inserts = [
        one(durable, Row, none, {faster, Target}, {xets_bench_durable, #{
            what => insert, sync => Sync, processes => Processes
        }})
     || {Row, Sync, Processes, Target} <- [
            {"insert, level os, 1 process (DETS: insert)", os, 1, 6.0},
            {"insert, level os, 100 processes (DETS: insert)", os, 100, 20.0},
            {"insert, level memory, 1 process (DETS: insert)", memory, 1, 100.0},
            {"insert, level disk, 100 processes (DETS: insert, sync)", disk, 100, 60.0}
        ]
    ],
    Cell = fun(Row, Target) ->
        #{group => durable, row => Row, column => none, target => {faster, Target}}
    end,
    Large = #{
        measure => {xets_bench_durable, #{what => large}},
        cells => [
            {lookup, Cell("1 M: lookup (DETS: lookup)", 50.0)},
            {open_dets, Cell("1 M: open after a crash (DETS: the same)", 10.0)},
            {open_ets, Cell("1 M: open after a crash (ETS: file2tab)", 3.0)}
        ]
    },
    Inserts ++ [Large].
