%% @doc What an `ordered_set' is for: steps from key to key, the objects of a range of keys and of a
%% prefix, and positions.
%%
%% ETS has no ranges, prefixes, ranks and counts: a program selects with guards on the key, for
%% which ETS looks at all objects, or with a pattern in which the beginning of a tuple is bound,
%% for which it looks at those that match. See xets_bench_on_ets. The same selections are
%% measured on both sides, too.
-module(xets_bench_order).

-export([measure/2]).

%% Calls in a chunk that return a thousand objects, where each takes about as long as that.
-define(CALLS, 40).
%% What a call of xets for a position takes at most, for the number of calls in a chunk.
-define(POSITION_NS, 2_000).
%% Objects that ETS looks at in a chunk, at least, when it looks at all of them in each call.
-define(SCANNED, 200_000).
-define(SMALL, 1_000).
-define(CHECKED, 10).

%% @doc Measures `scans', steps over a whole table and ranges of it; `prefix'; or `positions' in a
%% table of one of three sizes.
-spec measure(map(), xets_bench:conf()) -> #{atom() => xets_bench_lib:outcome()}.
measure(#{what := scans, kind := Kind}, #{large := Objects} = Conf) ->
    Pair = filled([ets, xets], Kind, Objects),
    Outcomes = #{
        next => steps(next, Pair, first_and_last(Kind, Objects), Objects, Conf),
        prev => steps(prev, Pair, last_and_first(Kind, Objects), Objects, Conf),
        range => ranges(Pair, Kind, Objects, Conf),
        select => selected_ranges(Pair, Kind, Objects, Conf)
    },
    ok = xets_bench_pair:close(Pair),
    Outcomes;
measure(#{what := prefix, kind := Kind}, #{large := Objects} = Conf) ->
    Pair = filled([ets, xets], {grouped, Kind}, Objects),
    Outcomes = #{
        prefix => prefixes(Pair, {grouped, Kind}, Objects, Conf),
        select => selected_prefixes(Pair, {grouped, Kind}, Objects, Conf)
    },
    ok = xets_bench_pair:close(Pair),
    Outcomes;
measure(#{what := positions, kind := Kind, size := Size}, Conf) ->
    Objects = objects(Size, Conf),
    %% To scan the largest table would take ETS longer than everything else here.
    Sides = if Size =:= huge -> [xets]; true -> [ets, xets] end,
    Pair = filled(Sides, Kind, Objects),
    [ok = check_positions(Side, Pair, Kind, Objects) || Side <- Sides],
    Outcomes = maps:from_list([
        {Op, positions(Op, Sides, Pair, Kind, Objects, Conf)}
     || Op <- [rank, nth, count]
    ]),
    ok = xets_bench_pair:close(Pair),
    Outcomes.

objects(small, _Conf) -> ?SMALL;
objects(medium, #{large := Large}) -> Large div 10;
objects(huge, #{huge := Huge}) -> Huge.

filled(Sides, Kind, Objects) ->
    Pair = xets_bench_pair:open(Sides, [ordered_set]),
    ok = xets_bench_pair:fill(Pair, Kind, Objects, 1),
    ok = xets_bench_lib:tidy(),
    Pair.

%% Steps ------------------------------------------------------------------------------------------

first_and_last(Kind, Objects) ->
    {xets_bench_objects:key(Kind, 0), xets_bench_objects:key(Kind, Objects - 1)}.

last_and_first(Kind, Objects) ->
    {First, Last} = first_and_last(Kind, Objects),
    {Last, First}.

%% Nanoseconds per step, from one end of the table to the other.
steps(Op, Pair, {From, To}, Objects, #{few_rounds := Rounds}) ->
    Steps = Objects - 1,
    Sample = fun(Side, _Round) ->
        Loops = xets_bench_lib:loops(Side),
        Table = xets_bench_pair:table(Side, Pair),
        Walk = fun() -> ok = arrived(Side, Op, To, Loops:Op(Steps, From, Table)) end,
        xets_bench_lib:elapsed(Walk) / Steps
    end,
    xets_bench_lib:net(xets_bench_lib:interleave(Rounds, [ets, xets, none], Sample)).

arrived(none, _Op, _To, _Found) -> ok;
arrived(Side, Op, To, Found) -> xets_bench_pair:expect({Side, Op}, To, Found).

%% Ranges and prefixes ----------------------------------------------------------------------------

ranges(Pair, Kind, Objects, Conf) ->
    Outcome = timed_ranges(range, fun(Ends) -> Ends end, Pair, Kind, Objects, Conf),
    Outcome#{note => "ETS: select/2 with two guards on the key"}.

selected_ranges(Pair, Kind, Objects, Conf) ->
    Spec = fun({From, To}) ->
        [{{'$1', '_'}, [{'>=', '$1', {const, From}}, {'=<', '$1', {const, To}}], ['$_']}]
    end,
    timed_ranges(select, Spec, Pair, Kind, Objects, Conf).

timed_ranges(Op, Given, Pair, Kind, Objects, #{rounds := Rounds}) ->
    Length = xets_bench_objects:group(),
    Key = fun(I) -> xets_bench_objects:key(Kind, I) end,
    First = fun(J) -> place(J, Objects - Length + 1, 2) end,
    Item = fun(J) -> Given({Key(First(J)), Key(First(J) + Length - 1)}) end,
    Expected = made(Kind, First(0), Length),
    [ok = check(Op, Side, Pair, Item(0), Expected) || Side <- [ets, xets]],
    %% ETS looks at the whole table each time.
    Calls = #{ets => 1, xets => ?CALLS, none => ?CALLS},
    timed(Op, [ets, xets], Pair, Item, Calls, Rounds).

prefixes(Pair, Kind, Objects, Conf) ->
    Outcome = timed_prefixes(prefix, fun(Prefix) -> Prefix end, Pair, Kind, Objects, Conf),
    Outcome#{note => "ETS: select/2 with a key of which all but the last element is bound"}.

selected_prefixes(Pair, Kind, Objects, Conf) ->
    Spec = fun(Prefix) -> [{{erlang:append_element(Prefix, '_'), '_'}, [], ['$_']}] end,
    timed_prefixes(select, Spec, Pair, Kind, Objects, Conf).

timed_prefixes(Op, Given, Pair, Kind, Objects, #{rounds := Rounds}) ->
    Length = xets_bench_objects:group(),
    Group = fun(J) -> place(J, Objects div Length, 2) end,
    Item = fun(J) -> Given(xets_bench_objects:prefix(Kind, Group(J))) end,
    Expected = made(Kind, Group(0) * Length, Length),
    [ok = check(Op, Side, Pair, Item(0), Expected) || Side <- [ets, xets]],
    Calls = #{ets => ?CALLS, xets => ?CALLS, none => ?CALLS},
    timed(Op, [ets, xets], Pair, Item, Calls, Rounds).

%% The objects with consecutive keys that a table was filled with.
made(Kind, First, Length) ->
    Make = xets_bench_objects:maker(Kind),
    [Make(I, I) || I <- lists:seq(First, First + Length - 1)].

%% Positions --------------------------------------------------------------------------------------

positions(Op, Sides, Pair, Kind, Objects, #{few_rounds := Rounds, chunk_ns := ChunkNs}) ->
    Key = fun(J, Order) -> xets_bench_objects:key(Kind, place(J, Objects, Order)) end,
    %% In different orders: no call finds in a cache what another has left there.
    Item =
        case Op of
            rank -> fun(J) -> Key(J, 2) end;
            nth -> fun(J) -> place(J, Objects, 3) + 1 end;
            count -> fun(J) -> ordered(Key(J, 4), Key(J + 1, 4)) end
        end,
    Many = ChunkNs div ?POSITION_NS,
    Calls = #{ets => max(1, ?SCANNED div Objects), xets => Many, none => Many},
    timed(Op, Sides, Pair, Item, Calls, Rounds).

ordered(A, B) when A =< B -> {A, B};
ordered(A, B) -> {B, A}.

%% Keys are in the order of their numbers.
check_positions(Side, Pair, Kind, Objects) ->
    Make = xets_bench_objects:maker(Kind),
    First = xets_bench_objects:key(Kind, 0),
    lists:foreach(
        fun(J) ->
            I = place(J, Objects, 2),
            Key = xets_bench_objects:key(Kind, I),
            ok = check(rank, Side, Pair, Key, I + 1),
            ok = check(nth, Side, Pair, I + 1, [Make(I, I)]),
            ok = check(count, Side, Pair, {First, Key}, I + 1)
        end,
        lists:seq(1, ?CHECKED)
    ).

check(Op, Side, Pair, Item, Expected) ->
    Loops = xets_bench_lib:loops(Side),
    Found = Loops:found(Op, Item, xets_bench_pair:table(Side, Pair)),
    xets_bench_pair:expect({Side, Op, Item}, Expected, Found).

%% Timing -----------------------------------------------------------------------------------------

%% Nanoseconds per call; so many calls in a chunk of each side, with what `Item' makes of numbers
%% that no other chunk has, as far as there are enough.
timed(Op, Sides, Pair, Item, Calls, Rounds) ->
    Sample = fun(Side, Round) ->
        Loops = xets_bench_lib:loops(Side),
        Table = xets_bench_pair:table(Side, Pair),
        Count = maps:get(Side, Calls),
        First = (2 * Round + turn(Side)) * maps:get(xets, Calls),
        Items = [Item(J) || J <- lists:seq(First, First + Count - 1)],
        xets_bench_lib:elapsed(fun() -> ok = Loops:Op(Items, Table) end) / Count
    end,
    xets_bench_lib:net(xets_bench_lib:interleave(Rounds, Sides ++ [none], Sample)).

turn(xets) -> 1;
turn(_) -> 0.

place(J, Objects, Order) ->
    xets_bench_lib:permute(J rem Objects, Objects, Order).
