%% @private
%% @doc `xets:table/2': query handles for `qlc', with the options, and the descriptions by
%% `qlc:info/1', that those of `ets:table/2' have.
-module(xets_qlc).

-export([table/2]).
-export_type([option/0]).

-type option() ::
    {n_objects, default | pos_integer()}
    | {traverse, first_next | last_prev | select | {select, xets:match_spec()}}.

-define(OBJECTS, 100). % results that are read at a time

%% @doc The query handle of a table, which exists if a name is given.
-spec table(xets:table(), Options :: term()) -> {ok, qlc:query_handle()} | badarg.
table(Name, Options) ->
    try {xets_info:identifier(Name), options(listed(Options))} of
        {_, badarg} -> badarg;
        {Table, {Traverse, N, Others}} -> {ok, handle(Table, Traverse, N, Options, Others)}
    catch
        error:badarg -> badarg
    end.

listed(Options) when is_list(Options) -> Options;
listed(Option) -> [Option].

%% Options that are none of these are for qlc to judge.
options(Options) ->
    case {option(traverse, Options, select), option(n_objects, Options, default)} of
        {badarg, _} -> badarg;
        {_, badarg} -> badarg;
        {Traverse, default} -> {Traverse, ?OBJECTS, others(Options)};
        {Traverse, N} -> {Traverse, N, others(Options)}
    end.

option(Name, Options, Default) ->
    case lists:keyfind(Name, 1, Options) of
        {traverse, How} when How =:= first_next; How =:= last_prev; How =:= select -> How;
        {traverse, {select, _MatchSpec} = How} -> How;
        {n_objects, N} when N =:= default; is_integer(N), N >= 1 -> N;
        false -> Default;
        _ -> badarg
    end.

others(Options) ->
    lists:keydelete(n_objects, 1, lists:keydelete(traverse, 1, Options)).

handle(Table, Traverse, N, Options, Others) ->
    qlc:table(traverse(Traverse, Table, N), [
        {pre_fun, fun(_) -> xets:safe_fixtable(Table, true) end},
        {post_fun, fun() -> xets:safe_fixtable(Table, false) end},
        {info_fun, fun(Item) -> info(Item, Table) end},
        {format_fun, fun(What) -> format(What, Table, Options) end},
        {key_equality, key_equality(xets:info(Table, type))},
        {lookup_fun, lookup(Traverse, Table)}
        | Others
    ]).

key_equality(ordered_set) -> '==';
key_equality(_) -> '=:='.

%%% Objects

traverse(first_next, Table, _N) ->
    fun() -> forwards(xets:first_lookup(Table), Table) end;
traverse(last_prev, Table, _N) ->
    fun() -> backwards(xets:last_lookup(Table), Table) end;
traverse(select, Table, N) ->
    fun(MatchSpec) -> pages(xets:select(Table, MatchSpec, N)) end;
traverse({select, MatchSpec}, Table, N) ->
    fun() -> pages(xets:select(Table, MatchSpec, N)) end.

forwards('$end_of_table', _Table) ->
    [];
forwards({Key, Objects}, Table) ->
    Objects ++ fun() -> forwards(xets:next_lookup(Table, Key), Table) end.

backwards('$end_of_table', _Table) ->
    [];
backwards({Key, Objects}, Table) ->
    Objects ++ fun() -> backwards(xets:prev_lookup(Table, Key), Table) end.

pages('$end_of_table') ->
    [];
pages({Results, Continuation}) ->
    Results ++ fun() -> pages(xets:select(Continuation)) end.

%% What a match specification makes of the objects is not found by a key.
lookup({select, _MatchSpec}, _Table) ->
    undefined;
lookup(_Traverse, Table) ->
    fun
        (_KeyPos, [Key]) -> xets:lookup(Table, Key);
        (_KeyPos, Keys) -> lists:append(xets:lookup_many(Table, Keys))
    end.

%%% What qlc asks and shows

info(num_of_objects, Table) -> xets:info(Table, size);
info(keypos, Table) -> xets:info(Table, keypos);
info(is_unique_objects, Table) -> xets:info(Table, type) =/= duplicate_bag;
info(is_sorted_key, Table) -> xets:info(Table, type) =:= ordered_set;
info(_, _Table) -> undefined.

format({all, _NElements, _ElementFun}, Table, []) ->
    {xets, table, [Table]};
format({all, _NElements, _ElementFun}, Table, Options) ->
    {xets, table, [Table, Options]};
format({match_spec, MatchSpec}, Table, Options) ->
    {xets, table, [Table, [{traverse, {select, MatchSpec}} | listed(Options)]]};
format({lookup, _KeyPos, [Value], _NElements, ElementFun}, Table, _Options) ->
    io_lib:format("xets:lookup(~w, ~w)", [Table, ElementFun(Value)]);
format({lookup, _KeyPos, Values, _NElements, ElementFun}, Table, _Options) ->
    io_lib:format("lists:flatmap(fun(V) -> xets:lookup(~w, V) end, ~w)",
                  [Table, [ElementFun(Value) || Value <- Values]]).
