%% @private
%% @doc Tables that are filled by a fun, or from `dets', and copied to `dets'.
-module(xets_copy).

-export([clear/1, fill/2, to_dets/2, from_dets/2]).

-define(OBJECTS, 100). % objects that are handed over at a time

%% @doc Empties a table, and returns its identifier.
-spec clear(xets:table()) -> {ok, xets:table()} | badarg.
clear(Name) ->
    try
        Table = xets_info:identifier(Name),
        true = xets:delete_all_objects(Table),
        {ok, Table}
    catch
        error:badarg -> badarg
    end.

%% @doc Inserts what the fun of `xets:init_table/2' reads.
-spec fill(xets:table(), fun((read | close) -> Read)) -> true when
    Read :: end_of_input | {Objects :: [tuple()], fun((read | close) -> Read)} | term().
fill(Table, Fun) ->
    case Fun(read) of
        end_of_input ->
            true;
        {Objects, Next} when is_list(Objects), is_function(Next) ->
            try insert(Table, Objects) of
                true -> fill(Table, Next)
            catch
                error:Reason:Stack ->
                    close(Next),
                    exit({Reason, Stack})
            end;
        Error ->
            exit(Error)
    end.

%% Whatever comes of it: there is an error to be told.
close(Fun) ->
    try
        Fun(close)
    catch
        _:_ -> ok
    end.

%% One by one: those before one that cannot be inserted are.
insert(_Table, []) ->
    true;
insert(Table, [Object | Objects]) ->
    true = xets:insert(Table, Object),
    insert(Table, Objects).

%% @doc Makes the objects of a table those of a `dets' table.
-spec to_dets(xets:table(), dets:tab_name()) -> ok | {error, term()}.
to_dets(Name, Dets) ->
    outcome(fun() ->
        Table = xets_info:identifier(Name),
        true = xets:safe_fixtable(Table, true),
        try
            dets:init_table(Dets, reader(xets:select(Table, [{'_', [], ['$_']}], ?OBJECTS)))
        after
            xets:safe_fixtable(Table, false)
        end
    end).

%% Called by the process of the dets table.
reader(Page) ->
    fun
        (read) when Page =:= '$end_of_table' ->
            end_of_input;
        (read) ->
            {Objects, Continuation} = Page,
            {Objects, reader(xets:select(Continuation))};
        (close) ->
            ok
    end.

%% @doc Inserts the objects of a `dets' table.
-spec from_dets(xets:table(), dets:tab_name()) -> ok | {error, term()}.
from_dets(Name, Dets) ->
    outcome(fun() ->
        Table = xets_info:identifier(Name),
        true = is_reference(xets:info(Table, id)) orelse erlang:error(badarg),
        dets:foldl(fun(Object, Outcome) -> add(Object, Table, Outcome) end, ok, Dets)
    end).

%% Left before its end, a traversal of a dets table leaves it fixed: so it goes on after an error.
add(Object, Table, ok) ->
    try
        true = xets:insert(Table, Object),
        ok
    catch
        error:Reason -> {error, Reason}
    end;
add(_Object, _Table, Error) ->
    Error.

%% Whatever dets does to say that it failed.
outcome(Fun) ->
    try Fun() of
        Outcome -> Outcome
    catch
        exit:{Reason, _Call} -> {error, Reason};
        _:Reason -> {error, Reason}
    end.
