%% @doc What the measurements share: numbers, orders, processes and rounds.
%%
%% A measurement takes turns: a chunk of work against ETS, the same against xets, the same loop with
%% nothing in it, then again in the opposite order, and so on. What the machine does meanwhile
%% (frequency, neighbours, page tables) thus falls on both sides, and the median drops the rest.
-module(xets_bench_lib).

-export([median/1, quartiles/1, percentile/3]).
-export([scramble/1, permute/3, shuffle/2, draw_state/2]).
-export([fresh/1, fresh/2, tidy/0, elapsed/1]).
-export([interleave/3, net/1]).
-export([info/3, loops/1]).
-export([in_directory/1]).

-export_type([side/0, samples/0, outcome/0]).

-type side() :: ets | dets | xets | none.
%% `none' is the loop without a call in it.

-type samples() :: #{side() => [number()]}.

-type outcome() :: #{
    unit := xets_bench_text:unit(),
    xets := number(),
    ets => number(),
    empty => number(),
    spread => #{side() => {number(), number()}},
    note => iodata()
}.
%% What a measurement found for one cell, in `unit', after subtraction of the empty loop where the
%% figures are times per operation. `spread' holds the quartiles of the samples as measured.

%% Words of young heap in a measuring process: small enough to stay in the second-level cache, as
%% the heap of a working process does, and large enough that a collection, which finds next to
%% nothing alive, is spread over thousands of operations.
-define(YOUNG_HEAP_WORDS, 64 * 1024).

%% Numbers ----------------------------------------------------------------------------------------

%% @doc The median; of an even count, the mean of the two in the middle.
-spec median([number(), ...]) -> number().
median(Numbers) ->
    Sorted = lists:sort(Numbers),
    Count = length(Sorted),
    Middle = lists:nth(Count div 2 + 1, Sorted),
    case Count rem 2 of
        1 -> Middle;
        0 -> (lists:nth(Count div 2, Sorted) + Middle) / 2
    end.

%% @doc The first and the third quartile, each an element of the list.
-spec quartiles([number(), ...]) -> {number(), number()}.
quartiles(Numbers) ->
    Sorted = lists:sort(Numbers),
    Count = length(Sorted),
    {lists:nth((Count + 3) div 4, Sorted), lists:nth((3 * Count + 3) div 4, Sorted)}.

%% @doc The slot of a histogram in which the given share of all counts is reached, as the upper
%% bound of its times; `beyond' when that is the last slot, which has no upper bound.
-spec percentile(float(), counters:counters_ref(), {Shift :: non_neg_integer(), pos_integer()}) ->
    non_neg_integer() | beyond.
percentile(Share, Histogram, {Shift, Slots}) ->
    Total = lists:sum([counters:get(Histogram, I) || I <- lists:seq(1, Slots)]),
    reach(1, ceil(Share * Total), Histogram, Shift, Slots).

reach(Slots, _Missing, _Histogram, _Shift, Slots) ->
    beyond;
reach(Slot, Missing, Histogram, Shift, Slots) ->
    case Missing - counters:get(Histogram, Slot) of
        Left when Left =< 0 -> Slot bsl Shift;
        Left -> reach(Slot + 1, Left, Histogram, Shift, Slots)
    end.

%% Orders -----------------------------------------------------------------------------------------

%% The orders in which keys are walked. Two orders with different multipliers have nothing to do
%% with each other, so that keys looked up one after the other were not inserted so.
-define(MULTIPLIERS, {16#9E3779B1, 16#85EBCA6B, 16#C2B2AE35, 16#27D4EB2F}).

%% @doc A number below 2^24 for a number below 2^24, each exactly once, in no visible order.
-spec scramble(non_neg_integer()) -> non_neg_integer().
scramble(I) ->
    scramble(I, 24, 16#9E3779B1).

%% @doc The place of `I' in a fixed random order of `0..N-1', for N up to 2^24: a permutation that
%% needs no memory. `Order' chooses one of four orders.
-spec permute(non_neg_integer(), pos_integer(), 1..4) -> non_neg_integer().
permute(I, N, Order) ->
    walk(I, N, bits(N - 1, 1), element(Order, ?MULTIPLIERS)).

%% A permutation of a power of two becomes one of 0..N-1 by stepping on until below N.
walk(I, N, Bits, Multiplier) ->
    case scramble(I, Bits, Multiplier) of
        J when J < N -> J;
        J -> walk(J, N, Bits, Multiplier)
    end.

bits(N, Bits) when N < 1 bsl Bits -> Bits;
bits(N, Bits) -> bits(N, Bits + 1).

%% Multiplying by an odd number and folding the upper half into the lower are both one-to-one.
scramble(I, Bits, Multiplier) ->
    Mask = (1 bsl Bits) - 1,
    Fold = (Bits + 1) div 2,
    A = ((I + 1) * Multiplier) band Mask,
    B = A bxor (A bsr Fold),
    C = (B * 16#2C1B3C6D) band Mask,
    C bxor (C bsr Fold).

%% @doc The list in a random order that depends on the seed alone.
-spec shuffle([Element], integer()) -> [Element].
shuffle(List, Seed) ->
    {Tagged, _} = lists:mapfoldl(
        fun(Element, State0) ->
            {Random, State} = rand:uniform_s(1 bsl 58, State0),
            {{Random, Element}, State}
        end,
        rand:seed_s(exsss, Seed),
        List
    ),
    [Element || {_, Element} <- lists:keysort(1, Tagged)].

%% @doc A state for the loops that draw their keys: a different one for each seed and worker.
-spec draw_state(integer(), pos_integer()) -> pos_integer().
draw_state(Seed, Worker) ->
    {State, _} = rand:uniform_s(1 bsl 58, rand:seed_s(exsss, {Seed, Worker, 59})),
    State.

%% Processes --------------------------------------------------------------------------------------

%% @equiv fresh(Fun, infinity)
-spec fresh(fun(() -> Result)) -> {ok, Result} | {failed, Reason :: term()}.
fresh(Fun) ->
    fresh(Fun, infinity).

%% @doc Runs the fun in a process of its own and waits for its end, so many milliseconds at most.
%% An error comes back with its stack, as `{failed, {Reason, Stack}}'.
-spec fresh(fun(() -> Result), timeout()) -> {ok, Result} | {failed, Reason :: term()}.
fresh(Fun, Limit) ->
    Parent = self(),
    Tag = make_ref(),
    {Worker, Monitor} = spawn_opt(
        fun() -> Parent ! {Tag, attempt(Fun)} end,
        [monitor, {min_heap_size, ?YOUNG_HEAP_WORDS}]
    ),
    receive
        {'DOWN', Monitor, process, _, normal} ->
            receive
                {Tag, Outcome} -> Outcome
            end;
        {'DOWN', Monitor, process, _, Reason} ->
            {failed, Reason}
    after Limit ->
        %% Not waited for: a call that hangs cannot be killed.
        true = exit(Worker, kill),
        true = erlang:demonitor(Monitor, [flush]),
        {failed, {no_result_within, Limit div 1000, seconds}}
    end.

attempt(Fun) ->
    try
        {ok, Fun()}
    catch
        error:Reason:Stack -> {failed, {Reason, Stack}}
    end.

%% @doc Moves all that is alive to the old heap, so that the collections during a measurement do
%% not copy the prepared keys.
-spec tidy() -> ok.
tidy() ->
    true = erlang:garbage_collect(),
    true = erlang:garbage_collect(self(), [{type, minor}]),
    true = erlang:garbage_collect(self(), [{type, minor}]),
    ok.

%% @doc How long the fun took, in nanoseconds.
-spec elapsed(fun(() -> term())) -> non_neg_integer().
elapsed(Fun) ->
    T0 = erlang:monotonic_time(),
    _ = Fun(),
    erlang:convert_time_unit(erlang:monotonic_time() - T0, native, nanosecond).

%% Rounds -----------------------------------------------------------------------------------------

%% @doc Measures the sides in turns, in alternating order; `Measure(Side, Round)' gives one sample.
%% Round 0 warms up and is dropped.
-spec interleave(pos_integer(), [side()], fun((side(), non_neg_integer()) -> number())) ->
    samples().
interleave(Rounds, Sides, Measure) ->
    [_ | Kept] = [
        maps:from_list([{Side, Measure(Side, Round)} || Side <- turn(Round, Sides)])
     || Round <- lists:seq(0, Rounds)
    ],
    maps:from_list([{Side, [maps:get(Side, Row) || Row <- Kept]} || Side <- Sides]).

turn(Round, Sides) when Round rem 2 =:= 0 -> Sides;
turn(_Round, Sides) -> lists:reverse(Sides).

%% @doc The outcome of samples in nanoseconds per operation: medians, less the empty loop's. ETS
%% may be missing where the target is absolute.
-spec net(samples()) -> outcome().
net(#{none := Empty} = Samples) ->
    Loop = median(Empty),
    %% A loop may cost more than the call in it saves only by noise; a tenth of a nanosecond keeps
    %% the ratio defined.
    Less = fun(_Side, Values) -> max(0.1, median(Values) - Loop) end,
    Net = maps:map(Less, maps:remove(none, Samples)),
    Net#{
        unit => ns,
        empty => Loop,
        spread => maps:map(fun(_, Values) -> quartiles(Values) end, Samples)
    }.

%% The two modules --------------------------------------------------------------------------------

%% @doc The module with the timed loops for a side.
-spec loops(side()) -> module().
loops(ets) -> xets_bench_on_ets;
loops(xets) -> xets_bench_on_xets;
loops(none) -> xets_bench_on_none.

%% @doc `info(Table, Item)' of a side; memory in bytes.
-spec info(ets | xets, term(), memory | size) -> term().
info(Side, Table, memory) -> Side:info(Table, memory) * erlang:system_info(wordsize);
info(Side, Table, Item) -> Side:info(Table, Item).

%% Files ------------------------------------------------------------------------------------------

%% @doc The result of the fun, which gets an empty directory: it is gone afterwards.
-spec in_directory(fun((Dir :: file:filename()) -> Result)) -> Result.
in_directory(Fun) ->
    Unique = erlang:unique_integer([positive]),
    Name = lists:concat(["xets_bench.", os:getpid(), ".", Unique]),
    Dir = filename:join(os:getenv("TMPDIR", "/tmp"), Name),
    ok = file:make_dir(Dir),
    try
        Fun(Dir)
    after
        ok = file:del_dir_r(Dir)
    end.
