%% @doc The objects that the tables are filled with, by kind.
%%
%% Integer values have up to 27 bits, as counters, sizes and small identifiers have; keys are
%% `0..N-1' or made of them.
-module(xets_bench_objects).

-export([key/2, prefix/2, group/0, maker/1, value_bits/0]).

-export_type([kind/0]).

-type kind() ::
    int | bin20 | atomint
    | {grouped, int | bin20 | atomint}
    | tuple | nested | list20 | bytes20 | map5 | map20 | map60 | list1000 | bin1k.
%% `int', `bin20' and `atomint' name the key of an object `{Key, Integer}'. Where it is grouped, it
%% is the beginning of the keys, which are tuples, of 1,000 objects. The others name the value of
%% an object `{Integer, Value}'.

-define(VALUE_BITS, 27).
-define(GROUP, 1000).

%% @doc The number of bits of integer values.
-spec value_bits() -> pos_integer().
value_bits() ->
    ?VALUE_BITS.

%% @doc How many objects have a prefix in common.
-spec group() -> pos_integer().
group() ->
    ?GROUP.

%% @doc The key of object `I'. The keys of those kinds that name them are in the order of `I'.
-spec key(kind(), non_neg_integer()) -> term().
key({grouped, _} = Kind, I) -> erlang:append_element(prefix(Kind, I div ?GROUP), I rem ?GROUP);
key(bin20, I) -> <<"session:", (integer_to_binary(100_000_000_000 + I))/binary>>;
key(atomint, I) -> {user_event, I};
key(_, I) -> I.

%% @doc What the keys of group `G' have in common, as a tuple that is an element shorter.
-spec prefix({grouped, int | bin20 | atomint}, non_neg_integer()) -> tuple().
prefix({grouped, atomint}, G) -> key(atomint, G);
prefix({grouped, Kind}, G) -> {key(Kind, G)}.

%% @doc A fun that makes the object with key `I', with a value that depends on `V'.
-spec maker(kind()) -> fun((I :: non_neg_integer(), V :: non_neg_integer()) -> tuple()).
maker(Kind) when Kind =:= int; Kind =:= bin20; Kind =:= atomint; is_tuple(Kind) ->
    fun(I, V) -> {key(Kind, I), spread(V)} end;
maker(Kind) ->
    Value = value_maker(Kind),
    fun(I, V) -> {key(Kind, I), Value(I, spread(V))} end.

value_maker(tuple) ->
    fun(I, V) -> {a, b, [1, 2, 3], <<V:32, I:32, V:32, I:32, V:32>>} end;
value_maker(nested) ->
    fun(I, V) -> {user, {I, {first, V}, {last, I + 1}}, {active, {V, {I, V}}}} end;
value_maker(list20) ->
    fun(I, V) -> [V + I | [V + J || J <- lists:seq(1, 19)]] end;
value_maker(bytes20) ->
    fun(I, V) -> <<V:32, I:32, V:32, I:32, V:32>> end;
value_maker(map5) ->
    fun(I, V) -> #{id => I, state => active, count => V, first => 1, last => I + 1} end;
value_maker(map20) ->
    fields(20);
value_maker(map60) ->
    fields(60);
value_maker(list1000) ->
    fun(_I, V) -> [{J, V + J} || J <- lists:seq(1, 1000)] end;
value_maker(bin1k) ->
    Rest = binary:copy(<<"0123456789abcdef">>, 63),
    fun(I, V) -> <<I:64, V:64, Rest/binary>> end.

fields(Count) ->
    Template = maps:from_list([{field(J), spread(J)} || J <- lists:seq(1, Count)]),
    fun(I, V) -> Template#{field01 := V, field10 := I, field20 := V + I} end.

field(J) ->
    list_to_atom(lists:flatten(io_lib:format("field~2..0b", [J]))).

%% Values are spread over their whole range, so that what they cost does not depend on N.
spread(V) ->
    (V * 16#9E3779B1) band ((1 bsl ?VALUE_BITS) - 1).
