%% @doc An ETS table and an xets table with the same options and the same contents.
%%
%% Tables belong to a keeper, a process that does nothing else: the processes of a program that use
%% a table are mostly not the one that owns it.
-module(xets_bench_pair).

-export([open/1, open/2, close/1, table/2, fill/4, insert/2]).
-export([agree/2, same_contents/1, holds/3, has/3, expect/3]).

-export_type([pair/0]).

-opaque pair() :: #{keeper := pid(), tables := #{ets | xets => term()}}.

%% Opening and closing ----------------------------------------------------------------------------

%% @equiv open([ets, xets], Options)
-spec open([term()]) -> pair().
open(Options) ->
    open([ets, xets], Options).

%% @doc Makes a public table with these options on each of the sides.
-spec open([ets | xets], [term()]) -> pair().
open(Sides, Options) ->
    Parent = self(),
    {Keeper, Monitor} = spawn_monitor(fun() -> keep(Parent, Sides, [public | Options]) end),
    receive
        {Keeper, Tables} ->
            true = erlang:demonitor(Monitor, [flush]),
            #{keeper => Keeper, tables => Tables};
        {'DOWN', Monitor, process, Keeper, Reason} ->
            exit(Reason)
    end.

keep(Parent, Sides, Options) ->
    Monitor = erlang:monitor(process, Parent),
    %% What fails here fails the measurement, which reports it.
    Tables =
        try
            maps:from_list([{Side, Side:new(name(Side), Options)} || Side <- Sides])
        catch
            error:Reason:Stack -> exit({Reason, Stack})
        end,
    Parent ! {self(), Tables},
    receive
        close -> ok;
        {'DOWN', Monitor, process, Parent, _} -> ok
    end,
    %% A measurement may have deleted a table already.
    [true = Side:delete(T) || {Side, T} <- maps:to_list(Tables), Side:info(T, size) =/= undefined],
    ok.

name(ets) -> xets_bench_ets;
name(xets) -> xets_bench_xets.

%% @doc Deletes the tables, and returns when that is done.
-spec close(pair()) -> ok.
close(#{keeper := Keeper}) ->
    Monitor = erlang:monitor(process, Keeper),
    Keeper ! close,
    receive
        {'DOWN', Monitor, process, Keeper, normal} -> ok;
        {'DOWN', Monitor, process, Keeper, noproc} -> ok;
        {'DOWN', Monitor, process, Keeper, Reason} -> exit(Reason)
    end.

%% @doc The table of a side; the empty loop has none.
-spec table(xets_bench_lib:side(), pair()) -> term().
table(none, _Pair) -> none;
table(Side, #{tables := Tables}) -> maps:get(Side, Tables).

%% Filling ----------------------------------------------------------------------------------------

%% @doc Inserts objects 0 to N-1 of a kind into all tables, in random order.
-spec fill(pair(), xets_bench_objects:kind(), non_neg_integer(), Order :: 1..4) -> ok.
fill(Pair, Kind, N, Order) ->
    fill_from(0, N, Order, xets_bench_objects:maker(Kind), Pair).

fill_from(N, N, _Order, _Make, _Pair) ->
    ok;
fill_from(I, N, Order, Make, Pair) ->
    Key = xets_bench_lib:permute(I, N, Order),
    insert(Pair, Make(Key, Key)),
    fill_from(I + 1, N, Order, Make, Pair).

%% @doc Inserts an object, or a list of them, into all tables.
-spec insert(pair(), tuple() | [tuple()]) -> ok.
insert(#{tables := Tables}, Objects) ->
    maps:foreach(fun(Side, T) -> true = Side:insert(T, Objects) end, Tables).

%% Checking ---------------------------------------------------------------------------------------

%% @doc Both tables have the same size and the same objects under these keys; else an error that
%% names the first difference.
-spec agree(pair(), [term()]) -> ok.
agree(#{tables := #{ets := E, xets := X}}, Keys) ->
    expect(size, ets:info(E, size), xets:info(X, size)),
    lists:foreach(
        fun(Key) -> expect({lookup, Key}, ets:lookup(E, Key), xets:lookup(X, Key)) end,
        Keys
    ).

%% @doc Both tables hold exactly the same objects; returns how many.
-spec same_contents(pair()) -> non_neg_integer().
same_contents(#{tables := #{ets := E, xets := X}}) ->
    Expected = lists:sort(ets:tab2list(E)),
    Found = lists:sort(xets:tab2list(X)),
    Size = length(Expected),
    expect(size, Size, xets:info(X, size)),
    case Found =:= Expected of
        true -> Size;
        false -> error({wrong_result, tab2list, first_difference(Expected, Found)})
    end.

%% @doc The table of one side has this size by its own account and by counting its objects.
-spec holds(pair(), ets | xets, non_neg_integer()) -> ok.
holds(Pair, Side, Size) ->
    T = table(Side, Pair),
    expect({Side, size}, Size, Side:info(T, size)),
    expect({Side, tab2list, length}, Size, length(Side:tab2list(T))).

%% @doc The table of one side returns each of these objects, and has no others.
-spec has(pair(), ets | xets, [tuple()]) -> ok.
has(Pair, Side, Objects) ->
    T = table(Side, Pair),
    expect({Side, size}, length(Objects), Side:info(T, size)),
    lists:foreach(
        fun(Object) ->
            Key = element(1, Object),
            expect({Side, lookup, Key}, [Object], Side:lookup(T, Key))
        end,
        Objects
    ).

%% @doc An error that names what was found instead of what.
-spec expect(What :: term(), Expected :: term(), Found :: term()) -> ok.
expect(_What, Value, Value) -> ok;
expect(What, Expected, Found) -> error({wrong_result, What, {Expected, Found}}).

first_difference([A | As], [A | Bs]) -> first_difference(As, Bs);
first_difference([], []) -> none;
first_difference(As, Bs) -> {lists:sublist(As, 1), lists:sublist(Bs, 1)}.
