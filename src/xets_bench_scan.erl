%% @doc What looks at all objects of a table: selecting, counting, matching, folding, listing.
%%
%% Objects are `{Key, Value, Tag}': a guard on the value lets half of them through, and each tag
%% is that of a few. In a bag a key has some objects. Times are per object of the table.
-module(xets_bench_scan).

-export([measure/2]).

-define(OPS, [select_count, match_object, select_delete, select, tab2list, foldl]).
%% Objects with the same tag.
-define(HITS, 10).
%% Objects of a bag with the same key.
-define(EQUAL_KEYS, 4).
-define(SIDES, [ets, xets]).

%% @doc Measures each of them over a large table of this type, which is filled once.
-spec measure(map(), xets_bench:conf()) -> #{atom() => xets_bench_lib:outcome()}.
measure(#{type := Type}, #{large := Count, few_rounds := Rounds}) ->
    Pair = xets_bench_pair:open([Type]),
    Objects = objects(Type, Count),
    ok = fill(0, Count, Objects, Pair),
    ok = xets_bench_lib:tidy(),
    Outcomes = maps:from_list([{Op, timed(Op, Pair, Objects, Count, Rounds)} || Op <- ?OPS]),
    [Count = xets_bench_lib:info(Side, xets_bench_pair:table(Side, Pair), size) || Side <- ?SIDES],
    ok = xets_bench_pair:close(Pair),
    Outcomes.

%% A fun that makes object `I' of a table of this type with so many objects.
objects(Type, Count) ->
    Make = xets_bench_objects:maker(int),
    Tags = tags(Count),
    Share = if Type =:= bag; Type =:= duplicate_bag -> ?EQUAL_KEYS; true -> 1 end,
    fun(I) ->
        {_, Value} = Make(I, I),
        {I div Share, Value, I rem Tags}
    end.

tags(Count) -> max(1, Count div ?HITS).

fill(Count, Count, _Objects, _Pair) ->
    ok;
fill(I, Count, Objects, Pair) ->
    ok = xets_bench_pair:insert(Pair, Objects(xets_bench_lib:permute(I, Count, 1))),
    fill(I + 1, Count, Objects, Pair).

%% What a call is given beside the table: see xets_bench_loops.hrl.
work(match_object, Tag) -> {'_', '_', Tag};
work(select_delete, Tag) -> [{{'_', '_', Tag}, [], [true]}];
work(select_count, _Tag) -> [{{'_', '$1', '_'}, [half()], [true]}];
work(select, _Tag) -> [{{'_', '$1', '_'}, [half()], ['$_']}];
work(tab2list, _Tag) -> none;
work(foldl, _Tag) -> fun({_, Value, _}, Sum) -> Value + Sum end.

half() -> {'<', '$1', 1 bsl (xets_bench_objects:value_bits() - 1)}.

%% Nanoseconds per object. In each round both sides do the same, in processes of their own, which
%% take with them what they have found, but for a digest of it: that has to be the same.
timed(Op, Pair, Objects, Count, Rounds) ->
    Expected = expected(Op, Objects, Count),
    Sample = fun(Side, Round) ->
        Tag = Round rem tags(Count),
        Table = xets_bench_pair:table(Side, Pair),
        Work = work(Op, Tag),
        {Time, Found} = apart(fun() -> run(Side, Op, Work, Table) end),
        ok = check(Side, {Op, Tag}, Expected(Tag), Found),
        ok = put_back(Side, Op, tagged(Tag, Objects, Count), Table),
        Time / Count
    end,
    xets_bench_lib:net(xets_bench_lib:interleave(Rounds, ?SIDES ++ [none], Sample)).

apart(Fun) ->
    case xets_bench_lib:fresh(Fun) of
        {ok, Result} -> Result;
        {failed, {Reason, Stack}} -> erlang:raise(error, Reason, Stack)
    end.

run(Side, Op, Work, Table) ->
    Loops = xets_bench_lib:loops(Side),
    T0 = erlang:monotonic_time(),
    Found = Loops:scan(Op, Work, Table),
    T1 = erlang:monotonic_time(),
    {erlang:convert_time_unit(T1 - T0, native, nanosecond), digest(Found)}.

%% What is found comes in any order.
digest(Objects) when is_list(Objects) ->
    {length(Objects), lists:foldl(fun(Object, Sum) -> digest(Object, Sum) end, 0, Objects)};
digest(Found) ->
    Found.

digest(Object, Sum) -> erlang:phash2(Object) + Sum.

%% A fun that tells the digest of what is to be found, by the tag.
expected(Op, Objects, Count) when Op =:= match_object; Op =:= select_delete ->
    fun(Tag) ->
        Found = tagged(Tag, Objects, Count),
        if Op =:= match_object -> digest(Found); true -> length(Found) end
    end;
expected(foldl, Objects, Count) ->
    Sum = sum(fun({_, Value, _}) -> Value end, Objects, Count),
    fun(_Tag) -> Sum end;
expected(tab2list, Objects, Count) ->
    Digest = {Count, sum(fun erlang:phash2/1, Objects, Count)},
    fun(_Tag) -> Digest end;
expected(Op, Objects, Count) ->
    Half = 1 bsl (xets_bench_objects:value_bits() - 1),
    Lower = fun(Of) -> fun({_, V, _} = O) -> if V < Half -> Of(O); true -> 0 end end end,
    Length = sum(Lower(fun(_) -> 1 end), Objects, Count),
    Digest = if
        Op =:= select -> {Length, sum(Lower(fun erlang:phash2/1), Objects, Count)};
        Op =:= select_count -> Length
    end,
    fun(_Tag) -> Digest end.

sum(Of, Objects, Count) -> sum(Of, Objects, Count, 0).

sum(_Of, _Objects, 0, Sum) -> Sum;
sum(Of, Objects, I, Sum) -> sum(Of, Objects, I - 1, Sum + Of(Objects(I - 1))).

tagged(Tag, Objects, Count) ->
    [Objects(I) || I <- lists:seq(Tag, Count - 1, tags(Count))].

check(none, _What, _Expected, _Found) -> ok;
check(Side, What, Expected, Found) -> xets_bench_pair:expect({Side, What}, Expected, Found).

%% What was deleted is there again for the next round.
put_back(Side, select_delete, Objects, Table) when Side =/= none ->
    true = Side:insert(Table, Objects),
    ok;
put_back(_Side, _Op, _Objects, _Table) ->
    ok.
