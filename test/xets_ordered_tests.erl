%% Tables of the type `ordered_set' against those of ets: keys that are equal but not the same term,
%% keys that only Erlang's own comparison can order, traversals from keys that are not there, slots.
-module(xets_ordered_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_terms, [numbers/1, negative_zero/0, bytes/1, text/1, closure/1, external_pid/1,
                     ref_once/0, rebuild/2, shuffle/2]).
-import(xets_term_tests, [same/2]).
-import(xets_test_lib, [small/2]).

%%% Keys

%% Each group is of keys that are equal (==).
groups() ->
    [[0, 0.0, negative_zero()], [1, 1.0], [-17], [1.5], [1 bsl 70, float(1 bsl 70)],
     [(1 bsl 53) + 1], [float(1 bsl 53), 1 bsl 53], [1 bsl 3000], [-(1 bsl 3000)],
     [a], [b], [''], [list_to_atom(lists:duplicate(255, 16#1f600))],
     [ref_once()], [fun lists:map/2], [closure(1)], [hd(erlang:ports())], [self()],
     [external_pid(1)], [external_pid(2)],
     [{}], [{a, 1}, {a, 1.0}], [{a, 2}], [{a, [1, {2}]}, {a, [1.0, {2.0}]}],
     [{a, self(), 1}, {a, self(), 1.0}], [{a, self(), 2}],
     [#{}], [#{a => 1}, #{a => 1.0}], [#{1 => a}], [#{1.0 => a}], [numbers(40)],
     [[]], [[1], [1.0]], [[1 | 2]], ["string"],
     [<<>>], [<<0>>], [<<"text">>], [<<1:3>>], [bytes(1000)],
     [{bytes(5000), 1}, {bytes(5000), 1.0}], [{bytes(5000), 2}], [bytes(5000)],
     [lists:seq(1, 3000)], [erlang:make_tuple(500, a)]].

keys() ->
    lists:append(groups()).

%%% One key

%% Every call with one key and then one that is equal to it.
equal_keys_test_() ->
    [{lists:flatten(io_lib:format("~0P, ~0P ~0p", [A, 8, B, 8, Options])),
      fun() -> equal_keys(A, rebuild(B, 1), Options) end}
     || Options <- [[], [compressed]], Group <- groups(), A <- Group, B <- Group].

equal_keys(A, B, Options) ->
    Value = text(200),
    Calls = [{insert, [{A, 1, Value}]},
             {lookup, [B]}, {member, [B]}, {lookup_element, [B, 1]}, {lookup_element, [B, 3]},
             {first, []}, {last, []}, {next, [B]}, {prev, [B]}, {slot, [0]}, {slot, [1]},
             {tab2list, []},
             {update_counter, [B, 5]}, {lookup, [A]},
             {update_counter, [B, {2, 1 bsl 80}]}, {lookup, [A]},
             {update_counter, [B, [{2, 1}, {2, 2}]]}, {lookup, [B]},
             {update_element, [B, {3, [B, Value]}]}, {lookup, [A]},
             {update_element, [B, [{2, 7}, {3, x}]]}, {lookup, [B]},
             {insert_new, [{B, 0, x}]}, {lookup, [A]},
             {insert_new, [[{{other, 1}, 0}, {B, 0, x}]]}, {tab2list, []},
             {delete_object, [{B, 7, x}]}, {lookup, [A]}, {insert, [{A, 7, x}]},
             {delete_object, [{B, 8, x}]}, {lookup, [A]},
             {insert, [{B, 2, Value}]}, {lookup, [A]}, {delete_object, [{A, 2, Value}]},
             {lookup, [A]},
             {insert, [[{A, 1}, {B, 2}, {A, 3}]]}, {tab2list, []}, {take, [B]}, {tab2list, []},
             {update_counter, [A, 3, {k, 1}]}, {update_counter, [B, {2, 3}, {k, 1}]},
             {lookup, [B]}, {delete, [B]}, {tab2list, []}, {take, [B]}],
    agree(Calls, Options).

agree(Calls, Options) ->
    Tables = [{ets, ets(Options)}, {xets, xets:new(table, [ordered_set | Options])}],
    [begin
         [Expected, Found] = [outcome(Module, Table, Call) || {Module, Table} <- Tables],
         case term_to_binary(Found) =:= term_to_binary(Expected) of
             true -> ok;
             false -> erlang:error({Call, [{expected, Expected}, {found, Found}]})
         end
     end || Call <- Calls],
    [Module:delete(Table) || {Module, Table} <- Tables].

%% Not compressed: ets may end the VM when it compares a key with a large map in such a table.
ets(Options) ->
    ets:new(table, [ordered_set | Options -- [compressed]]).

outcome(Module, Table, {Function, Args}) ->
    try apply(Module, Function, [Table | Args])
    catch error:badarg -> badarg
    end.

%%% Many keys

order_test_() ->
    [fun() -> order(Options) end || Options <- [[], [compressed], [{keypos, 2}]]].

order(Options) ->
    Ets = ets(Options),
    Xets = xets:new(table, [ordered_set | Options]),
    [begin
         true = ets:insert(Ets, {K, K, I}),
         true = xets:insert(Xets, {K, K, I})
     end || {I, K} <- lists:enumerate(shuffle(keys(), 3))],
    List = ets:tab2list(Ets),
    same(List, xets:tab2list(Xets)),
    same([element(1, T) || T <- List], forth(Xets, xets:first(Xets))),
    same(lists:reverse([element(1, T) || T <- List]), back(Xets, xets:last(Xets))),
    same([[T] || T <- List], [xets:slot(Xets, I) || I <- lists:seq(0, length(List) - 1)]),
    ?assertEqual('$end_of_table', xets:slot(Xets, length(List))),
    ?assertError(badarg, xets:slot(Xets, length(List) + 1)),
    [begin
         same(ets:next(Ets, K), xets:next(Xets, K)),
         same(ets:prev(Ets, K), xets:prev(Xets, K)),
         same(pair(Ets, ets:next(Ets, K)), xets:next_lookup(Xets, K)),
         same(pair(Ets, ets:prev(Ets, K)), xets:prev_lookup(Xets, K)),
         same(ets:lookup(Ets, K), xets:lookup(Xets, K))
     end || K <- keys() ++ absent()],
    same(pair(Ets, ets:first(Ets)), xets:first_lookup(Xets)),
    same(pair(Ets, ets:last(Ets)), xets:last_lookup(Xets)),
    same([ets:lookup(Ets, K) || K <- keys() ++ absent()],
         xets:lookup_many(Xets, keys() ++ absent())),
    [begin
         same(ets:take(Ets, K), xets:take(Xets, K)),
         same(ets:tab2list(Ets), xets:tab2list(Xets))
     end || K <- shuffle(keys(), 4)],
    ?assertEqual('$end_of_table', xets:first(Xets)),
    ?assertEqual('$end_of_table', xets:last_lookup(Xets)),
    ets:delete(Ets),
    xets:delete(Xets).

absent() ->
    [2, 2.5, c, {a, 1.5}, {a, self(), 1.5}, {a, make_ref()}, #{a => 2}, [1, 2], <<"te">>,
     {bytes(5000), 1.5}, {bytes(5001), 1}, 1 bsl 4000, -(1 bsl 4000)].

pair(_, '$end_of_table') -> '$end_of_table';
pair(Ets, Key) -> {Key, ets:lookup(Ets, Key)}.

forth(_, '$end_of_table') -> [];
forth(Table, Key) -> [Key | forth(Table, xets:next(Table, Key))].

back(_, '$end_of_table') -> [];
back(Table, Key) -> [Key | back(Table, xets:prev(Table, Key))].

%% As in ets one may go on from a key that has gone, in a table that nobody has fixed.
delete_while_going_on_test() ->
    Table = xets:new(table, [ordered_set]),
    true = xets:insert(Table, [{I} || I <- lists:seq(1, 3000)]),
    ?assertEqual(lists:seq(1, 3000), forth_deleting(Table, xets:first(Table))),
    ?assertEqual(0, xets:info(Table, size)).

forth_deleting(_, '$end_of_table') -> [];
forth_deleting(Table, Key) ->
    true = xets:delete(Table, Key),
    [Key | forth_deleting(Table, xets:next(Table, Key))].

%% Through all sizes of segments, and on a dirty scheduler.
large_test_() ->
    [{timeout, 60, fun() -> large(Order, Options) end}
     || Options <- [[], [compressed]], Order <- [forth, back, shuffled]].

large(Order, Options) ->
    N = 20000,
    Table = xets:new(table, [ordered_set | Options]),
    Objects = [{{user, I}, I, lists:duplicate(I rem 5, I)} || I <- lists:seq(1, N)],
    [true = xets:insert(Table, Object)
     || Object <- case Order of
                      forth -> Objects;
                      back -> lists:reverse(Objects);
                      shuffled -> shuffle(Objects, 5)
                  end],
    ?assert(Objects =:= xets:tab2list(Table)),
    [?assertEqual([lists:nth(I + 1, Objects)], xets:slot(Table, I)) || I <- [0, 1, N div 2, N - 1]],
    true = xets:insert(Table, [{{user, float(I)}, I} || I <- lists:seq(1, N)]),
    ?assertEqual(N, xets:info(Table, size)),
    ?assert([{{user, float(I)}, I} || I <- lists:seq(1, N)] =:= xets:tab2list(Table)),
    [?assertEqual([{{user, float(I)}, I}], xets:take(Table, {user, I})) || I <- lists:seq(1, N, 2)],
    ?assert([{{user, float(I)}, I} || I <- lists:seq(2, N, 2)] =:= xets:tab2list(Table)),
    xets:delete(Table).

%% Keys that all have the same order bytes, more than one segment can hold.
cut_keys_test_() ->
    [{timeout, 60, fun() -> cut_keys([Make(I) || I <- lists:seq(1, 5000)]) end}
     || Make <- [fun(_) -> make_ref() end, fun(I) -> {ref_once(), I} end,
                 fun(I) -> #{a => I} end, fun(I) -> external_pid(I) end,
                 fun(I) -> {bytes(4200), I} end]].

cut_keys(Keys) ->
    Table = xets:new(table, [ordered_set]),
    Sorted = lists:sort(Keys),
    [true = xets:insert(Table, {Key, 1}) || Key <- shuffle(Keys, 6)],
    ?assert([{Key, 1} || Key <- Sorted] =:= xets:tab2list(Table)),
    ?assert(Sorted =:= forth(Table, xets:first(Table))),
    ?assert(lists:reverse(Sorted) =:= back(Table, xets:last(Table))),
    [?assertEqual(3, xets:update_counter(Table, rebuild(Key, 1), 2)) || Key <- Keys],
    {Taken, Left} = lists:split(4000, shuffle(Keys, 7)),
    [?assert([{Key, 3}] =:= xets:take(Table, Key)) || Key <- Taken],
    [?assertEqual([], xets:lookup(Table, Key)) || Key <- Taken],
    ?assert([{Key, 3} || Key <- lists:sort(Left)] =:= xets:tab2list(Table)),
    xets:delete(Table).

%%% Random calls

random_calls_test_() ->
    [{timeout, 120, fun() -> agree(random_calls(Seed, 200), Options) end}
     || Seed <- lists:seq(1, small(12, 4)), Options <- [[], [compressed]]].

random_calls(Seed, N) ->
    rand:seed(exsss, Seed),
    [random_call() || _ <- lists:seq(1, N)].

random_call() ->
    case rand:uniform(19) of
        1 -> {insert, [random_object()]};
        2 -> {insert, [random_object()]};
        3 -> {insert, [random_object()]};
        4 -> {insert, [[random_object() || _ <- lists:seq(1, rand:uniform(5))]]};
        5 -> {insert_new, [random_object()]};
        6 -> {insert_new, [[random_object() || _ <- lists:seq(1, rand:uniform(3))]]};
        7 -> {lookup, [random_key()]};
        8 -> {lookup_element, [random_key(), rand:uniform(3)]};
        9 -> {member, [random_key()]};
        10 -> {delete, [random_key()]};
        11 -> {delete_object, [random_object()]};
        12 -> {take, [random_key()]};
        13 -> {update_counter, [random_key(), {2, rand:uniform(100)}]};
        14 -> {update_counter, [random_key(), rand:uniform(100), random_object()]};
        15 -> {update_element, [random_key(), {rand:uniform(3), random_value()}]};
        16 -> {next, [random_key()]};
        17 -> {prev, [random_key()]};
        18 -> {slot, [rand:uniform(30) - 1]};
        19 -> {tab2list, []}
    end.

random_object() ->
    case rand:uniform(2) of
        1 -> {random_key(), rand:uniform(3)};
        2 -> {random_key(), rand:uniform(3), random_value()}
    end.

random_key() ->
    Keys = keys(),
    lists:nth(rand:uniform(length(Keys)), Keys).

random_value() ->
    lists:nth(rand:uniform(5), [1, a, [1.0], text(300), {ref_once()}]).

%%% Large keys and values

%% Beyond what is encoded while a table is in use, and beyond a normal scheduler.
long_keys_test() ->
    [begin
         Table = xets:new(table, [Type]),
         [begin
              Key = Make(),
              Other = Make(),
              true = xets:insert(Table, {Key, 1}),
              ?assertEqual(1, xets:lookup_element(Table, Other, 2)),
              ?assertEqual(3, xets:update_counter(Table, Other, 2)),
              ?assert(xets:member(Table, Other)),
              ?assert([{Key, 3}] =:= xets:take(Table, Other)),
              true = xets:delete(Table, Other)
          end || Make <- [fun() -> lists:seq(1, 10000) end, fun() -> lists:seq(1, 200000) end,
                          fun() -> 1 bsl 1000000 end, fun() -> <<0:2000001>> end,
                          fun() -> {numbers(50000), [bytes(100000)]} end,
                          fun() -> 3 bsl 1000 end]],
         xets:delete(Table)
     end || Type <- [set, ordered_set]].
