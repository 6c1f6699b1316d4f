%% @private
%% @doc What `xets:info' tells: the items of a table, made of the facts that the native side
%% gives, and the version.
-module(xets_info).

-export([items/2, item/2, is_item/1, identifier/1, fixed_since/2, version/0]).
-export_type([facts/0]).

-type facts() :: {
    Id :: reference(),
    Name :: atom(),
    Named :: boolean(),
    Owner :: pid(),
    xets:access(),
    xets:type(),
    KeyPos :: pos_integer(),
    Size :: undefined,
    Memory :: non_neg_integer(),
    Heir :: pid() | none,
    ReadConcurrency :: boolean(),
    WriteConcurrency :: boolean() | auto,
    DecentralizedCounters :: boolean(),
    Compressed :: boolean(),
    Bytes :: non_neg_integer(),
    Snapshot :: boolean()
}.
%% All but the size, which takes longer the larger the table is.

%% @doc The list that `xets:info/1' returns, in the order of `ets:info/1'.
-spec items(facts(), Size :: non_neg_integer()) -> [{atom(), term()}].
items(Facts, Size) ->
    [{Item, value(Item, Facts, Size)} || Item <- items()] ++
        [{snapshot, true} || item(snapshot, Facts)].

value(size, _Facts, Size) -> Size;
value(Item, Facts, _Size) -> item(Item, Facts).

items() ->
    [
        id,
        decentralized_counters,
        read_concurrency,
        write_concurrency,
        compressed,
        memory,
        owner,
        heir,
        name,
        size,
        node,
        named_table,
        type,
        keypos,
        protection
    ].

%% @doc Whether `xets:info/2' has such an item.
-spec is_item(term()) -> boolean().
is_item(Item) ->
    lists:member(Item, items()) orelse
        lists:member(Item, [binary, durable, fixed, safe_fixed, safe_fixed_monotonic_time, stats, snapshot]).

%% @doc The value of an item other than the size.
-spec item(Item :: atom(), facts()) -> term().
item(id, Facts) -> element(1, Facts);
item(name, Facts) -> element(2, Facts);
item(named_table, Facts) -> element(3, Facts);
item(owner, Facts) -> element(4, Facts);
item(protection, Facts) -> element(5, Facts);
item(type, Facts) -> element(6, Facts);
item(keypos, Facts) -> element(7, Facts);
item(memory, Facts) -> element(9, Facts);
item(heir, Facts) -> element(10, Facts);
item(read_concurrency, Facts) -> element(11, Facts);
item(write_concurrency, Facts) -> element(12, Facts);
item(decentralized_counters, Facts) -> element(13, Facts);
item(compressed, Facts) -> element(14, Facts);
item(snapshot, Facts) -> element(16, Facts);
item(node, Facts) -> node(element(4, Facts));
item(binary, _) -> [];
item(_, _) -> false.

%% @doc The value of one of the items about who has fixed a table, made of what the native side
%% tells: since when, in monotonic time, what was to be added to that then for the system's
%% time, both in nanoseconds, and who.
-spec fixed_since(safe_fixed, {integer(), integer(), Fixers} | Other) ->
        {erlang:timestamp(), Fixers} | Other;
    (safe_fixed_monotonic_time, {integer(), integer(), Fixers} | Other) ->
        {integer(), Fixers} | Other.
fixed_since(safe_fixed, {Since, Offset, Fixers}) ->
    Micros = erlang:convert_time_unit(Since + Offset, nanosecond, microsecond),
    Seconds = Micros div 1000000,
    {{Seconds div 1000000, Seconds rem 1000000, Micros rem 1000000}, Fixers};
fixed_since(safe_fixed_monotonic_time, {Since, _Offset, Fixers}) ->
    {erlang:convert_time_unit(Since, nanosecond, native), Fixers};
fixed_since(_Item, NotFixed) ->
    NotFixed.

%% @doc The version of the application.
-spec version() -> string().
version() ->
    _ = application:load(xets),
    {ok, Version} = application:get_key(xets, vsn),
    Version.

%% @doc The identifier of a table, which stays what it is whatever becomes of the name. `badarg' if
%% no table has the name.
-spec identifier(xets:table()) -> xets:table().
identifier(Name) when is_atom(Name) ->
    case xets:whereis(Name) of
        undefined -> erlang:error(badarg);
        Table -> Table
    end;
identifier(Table) ->
    Table.
