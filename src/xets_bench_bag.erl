%% @doc Bags: one key with many objects, of which single ones are deleted and inserted again.
%%
%% ETS compares with each object of the key, so a table of it takes long to fill: the square of the
%% objects.
-module(xets_bench_bag).

-export([measure/2]).

%% One in so many objects is deleted and inserted in a round.
-define(SHARE, 50).

%% @doc Measures insert and delete_object of objects with one key, that `type' has a tenth as many
%% of as a large table has objects.
-spec measure(map(), xets_bench:conf()) ->
    #{insert := xets_bench_lib:outcome(), delete_object := xets_bench_lib:outcome()}.
measure(#{type := Type}, #{large := Large, few_rounds := Rounds}) ->
    Count = Large div 10,
    Pair = xets_bench_pair:open([Type]),
    Objects = [{key, I} || I <- lists:seq(1, Count)],
    [true = Side:insert(xets_bench_pair:table(Side, Pair), Objects) || Side <- [ets, xets]],
    Walks = [walk(Round, Count div ?SHARE, Count) || Round <- lists:seq(0, Rounds)],
    ok = xets_bench_lib:tidy(),
    Samples = [{Op, samples(Op, Pair, Walks)} || Op <- [delete_object, insert]],
    ok = agree(Pair, Objects),
    ok = xets_bench_pair:close(Pair),
    maps:from_list([{Op, xets_bench_lib:net(Of)} || {Op, Of} <- Samples]).

%% The objects of a round: anywhere in the group.
walk(Round, Length, Count) ->
    [
        {key, xets_bench_lib:permute(I rem Count, Count, 1) + 1}
     || I <- lists:seq(Round * Length, (Round + 1) * Length - 1)
    ].

%% Each round deletes and inserts the same objects; one of the two is timed. All objects are read
%% before, so that each side has its own in the cache as far as they fit, and not the other's.
samples(Op, Pair, Walks) ->
    Sample = fun(Side, Round) ->
        Loops = xets_bench_lib:loops(Side),
        Table = table(Side, Pair),
        Walk = lists:nth(Round + 1, Walks),
        Times = [
            begin
                ok = Loops:lookup([key], Table),
                {Each, xets_bench_lib:elapsed(fun() -> ok = Loops:Each(Walk, Table) end)}
            end
         || Each <- [delete_object, insert]
        ],
        proplists:get_value(Op, Times) / length(Walk)
    end,
    xets_bench_lib:interleave(length(Walks) - 1, [ets, xets, none], Sample).

table(none, _Pair) -> none;
table(Side, Pair) -> xets_bench_pair:table(Side, Pair).

%% Nothing is lost, and nothing is there twice.
agree(Pair, Objects) ->
    [
        true = lists:sort(Side:lookup(xets_bench_pair:table(Side, Pair), key)) =:= Objects
     || Side <- [ets, xets]
    ],
    ok.
