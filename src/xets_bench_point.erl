%% @doc Point operations: one process, one operation, one kind of object.
%%
%% Hot tables are walked by a list of a few thousand keys, as often as a chunk needs. Large tables
%% are walked by lists that together hold every key once, a new list in each round, so that no
%% round finds in a cache what the round before has left there.
-module(xets_bench_point).

-export([measure/2]).

%% Walks over the keys of a hot table in one list of keys.
-define(HOT_WALKS, 4).
-define(KEYS_PER_CALL, 1000).
-define(CHECKED, 1000).

%% @doc Measures `op' over a table of `size' objects of `kind', or filling one (`op => fill'); or
%% several, `ops', one after the other over the same table.
-spec measure(map(), xets_bench:conf()) -> #{atom() => xets_bench_lib:outcome()}.
measure(#{op := fill} = Spec, Conf) ->
    #{only => fill(Spec, Conf)};
measure(#{op := Op} = Spec, Conf) ->
    #{Op := Outcome} = measure(maps:remove(op, Spec#{ops => [Op]}), Conf),
    #{only => Outcome};
measure(#{ops := Ops, kind := Kind, options := Options} = Spec, Conf) ->
    Objects = objects(Spec, Conf),
    Pair = xets_bench_pair:open(Options),
    ok = xets_bench_pair:fill(Pair, Kind, Objects, 1),
    Outcomes = [{Op, operation(Spec#{op => Op}, Objects, Pair, Conf)} || Op <- Ops],
    ok = xets_bench_pair:close(Pair),
    maps:from_list(Outcomes).

operation(#{op := Op, kind := Kind} = Spec, Objects, Pair, Conf) ->
    Work = work(Spec, Objects, Conf),
    Sample = [
        xets_bench_objects:key(Kind, xets_bench_lib:permute(I, Objects, 3))
     || I <- lists:seq(0, min(Objects, ?CHECKED) - 1)
    ],
    ok = xets_bench_pair:agree(Pair, Sample),
    ok = xets_bench_lib:tidy(),
    Outcome = timed(Op, Pair, Work, Spec, Conf),
    ok = xets_bench_pair:agree(Pair, Sample),
    noted(Objects, Spec, Outcome).

objects(#{size := hot}, #{hot := Hot}) -> Hot;
objects(#{size := large, share := Share}, #{large := Large}) -> max(64, round(Large * Share));
objects(#{size := large}, #{large := Large}) -> Large.

noted(Objects, #{share := _, reason := Reason}, Outcome) ->
    Outcome#{note => io_lib:format("~s objects: ~s", [xets_bench_text:count(Objects), Reason])};
noted(_Objects, _Spec, Outcome) ->
    Outcome.

%% Work: what the loops walk, cut into lists ------------------------------------------------------

work(#{size := hot, op := Op, kind := Kind}, Objects, _Conf) ->
    Walk = [
        xets_bench_lib:permute(I, Objects, Order)
     || Order <- lists:seq(1, ?HOT_WALKS), I <- lists:seq(0, Objects - 1)
    ],
    {items(Op, Kind, Walk)};
work(#{size := large, op := Op, kind := Kind} = Spec, Objects, #{rounds := Rounds}) ->
    Lists = Rounds + 1,
    Length = min(maps:get(walk, Spec, Objects), Objects div Lists),
    list_to_tuple([
        items(Op, Kind, [
            xets_bench_lib:permute(I, Objects, 2)
         || I <- lists:seq(From, From + Length - 1)
        ])
     || From <- lists:seq(0, (Lists - 1) * Length, Length)
    ]).

items(lookup_many, Kind, Walk) ->
    batches([xets_bench_objects:key(Kind, I) || I <- Walk]);
items(Op, Kind, Walk) when Op =:= insert; Op =:= delete_and_insert ->
    Make = xets_bench_objects:maker(Kind),
    [Make(I, I + 1) || I <- Walk];
items(_Op, Kind, Walk) ->
    [xets_bench_objects:key(Kind, I) || I <- Walk].

batches(Keys) when length(Keys) =< ?KEYS_PER_CALL ->
    [Keys];
batches(Keys) ->
    {Batch, Rest} = lists:split(?KEYS_PER_CALL, Keys),
    [Batch | batches(Rest)].

operations(lookup_many, Items) -> lists:sum([length(Keys) || Keys <- Items]);
operations(_Op, Items) -> length(Items).

%% Timing -----------------------------------------------------------------------------------------

timed(Op, Pair, Work, Spec, #{rounds := Rounds} = Conf) ->
    Passes = passes(Op, Pair, Work, Spec, Conf),
    Sample = fun(Side, Round) ->
        Items = element(list_for(Side, Round, tuple_size(Work)), Work),
        chunk(Side, Op, Items, xets_bench_pair:table(Side, Pair), Passes)
    end,
    xets_bench_lib:net(xets_bench_lib:interleave(Rounds, [ets, xets, none], Sample)).

%% Neither side may find keys in a cache because the other has just read them: in one round they
%% walk different lists, and over all rounds the same ones.
list_for(xets, Round, Lists) -> (Round + Lists div 2) rem Lists + 1;
list_for(_Side, Round, Lists) -> Round rem Lists + 1.

%% How often a chunk walks its list: by the time that ETS takes, and the same for both sides, so
%% that both tables have seen the same operations when they are compared.
passes(_Op, _Pair, _Work, #{size := large}, _Conf) ->
    1;
passes(Op, Pair, {Items}, #{size := hot}, #{chunk_ns := ChunkNs}) ->
    Trial = fun(Side) -> chunk(Side, Op, Items, xets_bench_pair:table(Side, Pair), 1) end,
    Trials = [{Trial(ets), Trial(xets)} || _ <- lists:seq(1, 3)],
    {PerOperation, _} = lists:min(Trials),
    max(1, round(ChunkNs / (PerOperation * operations(Op, Items)))).

%% Nanoseconds per operation.
chunk(Side, Op, Items, Table, Passes) ->
    Loops = xets_bench_lib:loops(Side),
    Time = xets_bench_lib:elapsed(fun() -> repeat(Passes, Loops, Op, Items, Table) end),
    Time / (Passes * operations(Op, Items)).

repeat(0, _Loops, _Op, _Items, _Table) ->
    ok;
repeat(Passes, Loops, Op, Items, Table) ->
    ok = Loops:Op(Items, Table),
    repeat(Passes - 1, Loops, Op, Items, Table).

%% Filling ----------------------------------------------------------------------------------------

fill(#{kind := Kind, order := Order, options := Options} = Spec, Conf) ->
    #{large := Objects, few_rounds := Few} = Conf,
    Rounds = min(Few, maps:get(rounds, Spec, Few)),
    Make = xets_bench_objects:maker(Kind),
    Items = [Make(place(Order, I, Objects), I) || I <- lists:seq(0, Objects - 1)],
    ok = xets_bench_lib:tidy(),
    Sample = fun
        (none, _Round) -> chunk(none, insert, Items, none, 1);
        (Side, Round) -> fill_once(Side, Options, Items, Round)
    end,
    xets_bench_lib:net(xets_bench_lib:interleave(Rounds, [ets, xets, none], Sample)).

%% Looking everything up takes as long as filling, and is done in the round that is dropped.
fill_once(Side, Options, Items, Round) ->
    Pair = xets_bench_pair:open([Side], Options),
    Time = chunk(Side, insert, Items, xets_bench_pair:table(Side, Pair), 1),
    ok =
        case Round of
            0 -> xets_bench_pair:has(Pair, Side, Items);
            _ -> sized(Pair, Side, length(Items))
        end,
    ok = xets_bench_pair:close(Pair),
    Time.

sized(Pair, Side, Size) ->
    Found = xets_bench_lib:info(Side, xets_bench_pair:table(Side, Pair), size),
    xets_bench_pair:expect({Side, size}, Size, Found).

place(ascending, I, _Objects) -> I;
place(random, I, Objects) -> xets_bench_lib:permute(I, Objects, 1).
