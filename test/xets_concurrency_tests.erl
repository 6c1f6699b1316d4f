%% Many processes on one table: what they see and leave behind is checked against what the
%% documentation of xets says of single calls (atomic, isolated) and of tab2list.
%%
%% What bags have more to show is in xets_bag_concurrency_tests.
-module(xets_concurrency_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_workers, [run/1, together/1, race/1, start/1, results/1, busy/1, shuffle/1]).
-import(xets_workers, [table/1, fill/2, churn/2]).

%% Enough for a good number of segments.
-define(MANY, 20000).

concurrency_test_() ->
    [{timeout, 120, [{Name ++ Kind, fun() -> Test(Options) end}]}
     || {Kind, Options} <- [{"", []}, {", write_concurrency", [{write_concurrency, true}]},
                            {", ordered_set", [ordered_set, {write_concurrency, true}]}],
        {Name, Test} <- tests()].

tests() ->
    [{"a list write is not seen in part", fun short_list_is_isolated/1},
     {"a long list write is not seen in part", fun long_list_is_isolated/1},
     {"lookup_many goes forward in the generations", fun lookup_many_goes_forward/1},
     {"insert_new of a list: all or nothing, one winner", fun insert_new_list_has_one_winner/1},
     {"insert_new of lists that overlap", fun insert_new_lists_exclude_each_other/1},
     {"insert_new: one winner", fun insert_new_has_one_winner/1},
     {"put_new: one winner, whose object all get", fun put_new_has_one_winner/1},
     {"a counter loses nothing", fun counter_loses_nothing/1},
     {"a counter with a default object loses nothing", fun default_counter_loses_nothing/1},
     {"a counter of large integers loses nothing", fun large_counter_loses_nothing/1},
     {"several counters of one call", fun counters_of_one_call/1},
     {"a counter in a large object loses nothing", fun counter_in_large_object/1},
     {"different elements of one object", fun elements_of_one_object/1},
     {"an object that is there is found", fun present_object_is_found/1},
     {"an object read is one that was written", fun objects_are_whole/1},
     {"take gives each object to one", fun take_gives_to_one/1},
     {"take_many gives each object to one", fun take_many_gives_to_one/1},
     {"take and insert_new as a lock", fun take_is_a_lock/1},
     {"delete_object deletes only what it names", fun delete_object_is_exact/1},
     {"tab2list has what is there throughout, once", fun tab2list_is_complete/1},
     {"a traversal of a fixed table meets once what is there throughout", fun traversals/1},
     {"the size is right after writing", fun size_is_right_afterwards/1},
     {"delete_all_objects deletes all from before", fun delete_all_objects_takes_all/1},
     {"a table is deleted while others use it", fun deleted_in_use/1},
     {"a named table is replaced while others use it", fun replaced_in_use/1}].

%%% List writes

short_list_is_isolated(Options) ->
    list_is_isolated(Options, 8).

%% Written on a dirty scheduler.
long_list_is_isolated(Options) ->
    list_is_isolated(Options, 4000).

%% One writer of generations; whoever reads key after key never comes to an older generation.
list_is_isolated(Options, Size) ->
    T = table(Options),
    Keys = [{list, I} || I <- lists:seq(1, Size)],
    fill(T, ?MANY),
    xets:insert(T, [{Key, 0} || Key <- Keys]),
    Writer = fun(Generation) ->
                     xets:insert(T, [{Key, Generation} || Key <- Keys]),
                     Generation + 1
             end,
    Reader = fun(Oldest) ->
                     Key = lists:nth(rand:uniform(min(Size, 50)), Keys),
                     [{Key, Generation}] = xets:lookup(T, Key),
                     {true, _, _} = {Generation >= Oldest, Generation, Oldest},
                     Generation
             end,
    [Written | _] = run([{Writer, 1}, {Reader, 0}, {Reader, 0} | churn(T, 1)]),
    ?assert(Written > 1),
    [?assertEqual([{Key, Written - 1}], xets:lookup(T, Key)) || Key <- Keys],
    xets:delete(T).

lookup_many_goes_forward(Options) ->
    T = table(Options),
    Keys = [{list, I} || I <- lists:seq(1, 100)],
    xets:insert(T, [{Key, 0} || Key <- Keys]),
    Writer = fun(Generation) ->
                     xets:insert(T, [{Key, Generation} || Key <- Keys]),
                     Generation + 1
             end,
    Reader = fun(Oldest) ->
                     Seen = [Generation || [{_, Generation}] <- xets:lookup_many(T, Keys)],
                     Seen = lists:sort(Seen),
                     {true, _, _} = {hd(Seen) >= Oldest, Seen, Oldest},
                     lists:last(Seen)
             end,
    run([{Writer, 1}, {Reader, 0}, {Reader, 0} | churn(T, 1)]),
    xets:delete(T).

%%% insert_new

insert_new_has_one_winner(Options) ->
    T = table(Options),
    Won = race(fun(Round, Me) -> xets:insert_new(T, {Round, Me}) end),
    [?assertEqual([{Round, Winner} || Winner <- Winners], xets:lookup(T, Round))
     || {Round, Winners} <- Won],
    xets:delete(T).

put_new_has_one_winner(Options) ->
    T = table(Options),
    Won = race(fun(Round, Me) ->
                       {Round, Winner} = xets:put_new(T, {Round, Me}),
                       [{Round, Winner}] = xets:lookup(T, Round),
                       Winner =:= Me
               end),
    [?assertEqual([{Round, Winner} || Winner <- Winners], xets:lookup(T, Round))
     || {Round, Winners} <- Won],
    xets:delete(T).

insert_new_list_has_one_winner(Options) ->
    T = table(Options),
    Won = race(fun(Round, Me) ->
                       Keys = shuffle([{Round, I} || I <- lists:seq(1, 5)]),
                       xets:insert_new(T, [{Key, Me} || Key <- Keys])
               end),
    [?assertEqual([{{Round, I}, Winner} || Winner <- Winners], xets:lookup(T, {Round, I}))
     || {Round, Winners} <- Won, I <- lists:seq(1, 5)],
    ?assertEqual(5 * length(Won), xets:info(T, size)),
    xets:delete(T).

%% Process I of 1 to 4 wants the keys I and I + 1.
insert_new_lists_exclude_each_other(Options) ->
    T = table(Options),
    Won = race(fun(Round, Me) ->
                       xets:insert_new(T, shuffle([{{Round, Me}, Me}, {{Round, Me + 1}, Me}]))
               end),
    [begin
         Expected = [{{Round, Key}, Me} || Me <- Winners, Key <- [Me, Me + 1]],
         Found = lists:append([xets:lookup(T, {Round, Key}) || Key <- lists:seq(1, 5)]),
         ?assertEqual(Expected, Found)
     end || {Round, Winners} <- Won],
    xets:delete(T).

%%% Counters

counter_loses_nothing(Options) ->
    T = table(Options),
    [xets:insert(T, {Key, Key, 0}) || Key <- [1, "two", {3}, <<4:1000>>]],
    counted(T, 0, fun(Key) ->
                          xets:update_counter(T, Key, {3, 2}),
                          2
                  end).

default_counter_loses_nothing(Options) ->
    T = table(Options),
    counted(T, 0, fun(Key) ->
                          xets:update_counter(T, Key, {3, 3}, {none, Key, 0}),
                          3
                  end).

large_counter_loses_nothing(Options) ->
    T = table(Options),
    counted(T, 1 bsl 70, fun(Key) ->
                                 xets:update_counter(T, Key, {3, 1 bsl 64}, {none, Key, 1 bsl 70}),
                                 1 bsl 64
                         end).

%% Increment gives what it has added to the third element of the object of a key.
counted(T, Start, Increment) ->
    Keys = [1, "two", {3}, <<4:1000>>],
    Worker = fun(Sums) ->
                     Key = lists:nth(rand:uniform(4), Keys),
                     maps:update_with(Key, fun(Sum) -> Sum + Increment(Key) end, Sums)
             end,
    None = maps:from_keys(Keys, 0),
    Sums = lists:sublist(run([{Worker, None} || _ <- lists:seq(1, 4)] ++ churn(T, 1)), 4),
    [?assertEqual([{Key, Key, Start + Total}], xets:lookup(T, Key))
     || Key <- Keys, Total <- [lists:sum([maps:get(Key, Sum) || Sum <- Sums])], Total > 0],
    xets:delete(T).

%% Both elements grow by the same in each call, so they are always equal.
counters_of_one_call(Options) ->
    T = table(Options),
    xets:insert(T, {key, 0, text, 0}),
    Counter = fun(_) -> [Value, Value] = xets:update_counter(T, key, [{2, 1}, {4, 1}]) end,
    Reader = fun(_) -> [{key, Value, text, Value}] = xets:lookup(T, key) end,
    run([{Counter, none}, {Counter, none}, {Reader, none}, {Reader, none}]),
    xets:delete(T).

%% Kept outside of the image.
counter_in_large_object(Options) ->
    T = table(Options),
    List = lists:seq(1, 3000),
    xets:insert(T, {key, List, 0}),
    Counter = fun(N) -> xets:update_counter(T, key, {3, 1}), N + 1 end,
    Counts = run([{Counter, 0}, {Counter, 0}, {Counter, 0}]),
    ?assertEqual([{key, List, lists:sum(Counts)}], xets:lookup(T, key)),
    xets:delete(T).

%% update_element and update_counter change their elements and no others.
elements_of_one_object(Options) ->
    T = table(Options),
    xets:insert(T, {key, 0, 0, {0}, 0}),
    Count = fun(N) -> N = xets:update_counter(T, key, {2, 1}) - 1, N + 1 end,
    Set = fun(Pos) ->
                  fun(Value) ->
                          Value = xets:lookup_element(T, key, Pos),
                          Next = next(Value),
                          true = xets:update_element(T, key, {Pos, Next}),
                          Next
                  end
          end,
    [Counted, Set3, Set4, Set5] = run([{Count, 0}, {Set(3), 0}, {Set(4), {0}}, {Set(5), 0}]),
    ?assertEqual([{key, Counted, Set3, Set4, Set5}], xets:lookup(T, key)),
    xets:delete(T).

%% Values of different kinds and sizes.
next({N}) -> {N + 1};
next(N) when is_integer(N) -> binary:copy(<<"x">>, N + 1);
next(Binary) -> byte_size(Binary) rem 300.

%%% Objects

present_object_is_found(Options) ->
    T = table(Options),
    Keys = [key(I) || I <- lists:seq(1, 1000)],
    xets:insert(T, [{Key, 0, Key} || Key <- Keys]),
    Some = list_to_tuple(Keys),
    Overwrite = fun(I) ->
                        Key = element(1 + I rem 1000, Some),
                        overwrite(T, Key, I),
                        I + 1
                end,
    Read = fun(I) ->
                   Key = element(1 + I rem 1000, Some),
                   [{Key, _, Key}] = xets:lookup(T, Key),
                   true = xets:member(T, Key),
                   Key = xets:lookup_element(T, Key, 3),
                   {Key, Key} = xets:lookup_elements(T, Key, {3, 1}),
                   false = xets:insert_new(T, {Key, none, none}),
                   I + 1
           end,
    ReadMany = fun(I) ->
                       Batch = [element(1 + (I + J) rem 1000, Some) || J <- lists:seq(1, 40)],
                       Batch = [Key || [{Key, _, Key}] <- xets:lookup_many(T, Batch)],
                       I + 40
               end,
    run([{Overwrite, 1}, {Overwrite, 500}, {Read, 1}, {Read, 300}, {ReadMany, 1} | churn(T, 2)]),
    xets:delete(T).

overwrite(T, Key, I) when I rem 4 =:= 0 -> xets:insert(T, {Key, I, Key});
overwrite(T, Key, I) when I rem 4 =:= 1 -> xets:update_element(T, Key, {2, {I}});
overwrite(T, Key, I) when I rem 4 =:= 2 -> xets:update_element(T, Key, [{2, 0}, {3, Key}]);
overwrite(T, Key, I) -> xets:insert(T, [{Key, I, Key}, {{other, I rem 50}, I, I}]).

key(I) when I rem 4 =:= 0 -> I;
key(I) when I rem 4 =:= 1 -> {key, I};
key(I) when I rem 4 =:= 2 -> integer_to_binary(I * 1000003);
key(I) -> [I, <<I:1000>>].

%% The elements of an object depend on each other; they are of all the ways in which terms are
%% stored. A reader that met memory that is used again would find elements of different objects.
objects_are_whole(Options) ->
    T = table(Options),
    Keys = lists:seq(1, 20),
    [xets:insert(T, whole(Key, 0)) || Key <- Keys],
    Write = fun(I) ->
                    xets:insert(T, whole(1 + I rem 20, I)),
                    I + 1
            end,
    Read = fun(I) ->
                   Key = 1 + I rem 20,
                   [Object] = xets:lookup(T, Key),
                   Object = whole(Key, element(2, Object)),
                   I + 1
           end,
    run([{Write, 1}, {Write, 7}, {Read, 1}, {Read, 11} | churn(T, 1)]),
    xets:delete(T).

whole(Key, I) ->
    Pad = case I rem 7 of
              0 -> [];
              1 -> {I, [I, {I}]};
              2 -> <<I:64>>;
              3 -> binary:copy(<<I:64>>, 20);
              4 -> binary:copy(<<I:64>>, 9000);
              5 -> lists:duplicate(2000, I);
              6 -> #{I => [self_of(I)], a => I bsl 70}
          end,
    {Key, I, Pad, I}.

self_of(I) ->
    fun() -> I end().

take_gives_to_one(Options) ->
    T = table(Options),
    Keys = lists:seq(1, ?MANY),
    xets:insert(T, [{Key, Key} || Key <- Keys]),
    Taken = together([fun() -> [Key || Key <- keys_from(I), xets:take(T, Key) =:= [{Key, Key}]] end
                      || I <- lists:seq(1, 4)]),
    ?assertEqual(Keys, lists:sort(lists:append(Taken))),
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

take_many_gives_to_one(Options) ->
    T = table(Options),
    Keys = lists:seq(1, ?MANY),
    xets:insert(T, [{Key, Key} || Key <- Keys]),
    Take = fun(I) -> [Key || Batch <- batches(keys_from(I)),
                             [{Key, Key}] <- xets:take_many(T, Batch)]
           end,
    Delete = fun() -> [xets:delete_many(T, [{absent, Key}, Key + ?MANY]) || Key <- Keys], [] end,
    Taken = together([Delete | [fun() -> Take(I) end || I <- lists:seq(1, 3)]]),
    ?assertEqual(Keys, lists:sort(lists:append(Taken))),
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

batches(Keys) when length(Keys) =< 50 -> [Keys];
batches(Keys) ->
    {Batch, Others} = lists:split(50, Keys),
    [Batch | batches(Others)].

%% Two go up and two go down, so that they meet.
keys_from(I) when I rem 2 =:= 0 -> lists:seq(1, ?MANY);
keys_from(_) -> lists:seq(?MANY, 1, -1).

%% Whoever takes the object is alone until it puts it back. It is large, so that there is time
%% between finding and removing it.
take_is_a_lock(Options) ->
    T = table(Options),
    Inside = counters:new(1, [atomics]),
    Load = load(),
    xets:insert(T, {lock, 0, Load}),
    Worker = fun(N) ->
                     case xets:take(T, lock) of
                         [{lock, Count, _}] ->
                             counters:add(Inside, 1, 1),
                             1 = counters:get(Inside, 1),
                             counters:sub(Inside, 1, 1),
                             true = xets:insert_new(T, {lock, Count + 1, Load}),
                             N + 1;
                         [] ->
                             N
                     end
             end,
    Counts = run([{Worker, 0} || _ <- lists:seq(1, 4)]),
    ?assertEqual([{lock, lists:sum(Counts), Load}], xets:lookup(T, lock)),
    xets:delete(T).

%% What others want to delete is replaced by what nobody wants to delete, and back.
delete_object_is_exact(Options) ->
    T = table(Options),
    Drop = {key, drop, load()},
    Keep = {key, keep, load()},
    Writer = fun(I) ->
                     xets:insert(T, Drop),
                     xets:insert(T, Keep),
                     {Keep, I} = {hd(xets:lookup(T, key) ++ [none]), I},
                     I + 1
             end,
    Deleter = fun(I) -> xets:delete_object(T, Drop), I end,
    run([{Writer, 0}, {Deleter, 0}, {Deleter, 0}]),
    xets:delete(T).

load() ->
    [{I} || I <- lists:seq(1, 200)].

%%% The whole table

%% Little time is spent between lists, so that there is one when segments merge.
tab2list_is_complete(Options) ->
    T = table(Options),
    Keys = lists:sort([{there, key(I)} || I <- lists:seq(1, 2000)]),
    xets:insert(T, [{Key, 0} || Key <- Keys]),
    Lister = fun(N) ->
                     All = xets:tab2list(T),
                     Keys = lists:sort([Key || {{there, _} = Key, _} <- All]),
                     true = N rem 10 =/= 0 orelse All -- lists:usort(All) =:= [],
                     N + 1
             end,
    Overwrite = fun(I) ->
                        xets:insert(T, {{there, key(1 + I rem 2000)}, I}),
                        I + 1
                end,
    [Lists | _] = run([{Lister, 0}, {Overwrite, 0} | churn(T, 2)]),
    ?assert(Lists > 0),
    xets:delete(T).

%% By keys and by keys and objects, while others insert and delete, also the key that the traversal
%% is at, and overwrite the objects it is to meet.
traversals(Options) ->
    T = table(Options),
    Keys = lists:sort([{there, key(I)} || I <- lists:seq(1, 1000)]),
    xets:insert(T, [{Key, 0} || Key <- Keys]),
    ByKeys = fun(N) -> Keys = met(T, fun() -> keys(T, xets:first(T)) end), N + 1 end,
    ByObjects = fun(N) -> Keys = met(T, fun() -> objects(T, xets:first_lookup(T)) end), N + 1 end,
    Overwrite = fun(I) ->
                        xets:insert(T, {{there, key(1 + I rem 1000)}, I}),
                        I + 1
                end,
    [N1, N2 | _] = run([{ByKeys, 0}, {ByObjects, 0}, {Overwrite, 0} | churn(T, 2)]),
    ?assert(N1 > 0),
    ?assert(N2 > 0),
    xets:delete(T).

%% The keys that a traversal meets of those that are there throughout.
met(T, Traverse) ->
    xets:safe_fixtable(T, true),
    All = Traverse(),
    xets:safe_fixtable(T, false),
    0 = length(All) - map_size(maps:from_keys(All, met)),
    lists:sort([Key || {there, _} = Key <- All]).

keys(_T, '$end_of_table') ->
    [];
keys(T, {Who, _, _, J} = Key) when Who =:= churn, J rem 50 =:= 0 ->
    xets:delete(T, Key),
    [Key | keys(T, xets:next(T, Key))];
keys(T, Key) ->
    [Key | keys(T, xets:next(T, Key))].

objects(_T, '$end_of_table') ->
    [];
objects(T, {Key, [Object]}) ->
    Key = element(1, Object),
    [Key | objects(T, xets:next_lookup(T, Key))].

%% A table that nobody has fixed: keys between those that stay come and go, also the one that a
%% traversal is at.
ordered_traversals_test_() ->
    {timeout, 120, fun ordered_traversals/0}.

ordered_traversals() ->
    T = table([ordered_set]),
    Stay = [10 * I || I <- lists:seq(1, 2000)],
    xets:insert(T, [{Key, 0} || Key <- Stay]),
    Come = fun(N) -> xets:insert(T, {between(), N}), N + 1 end,
    Go = fun(N) -> xets:delete(T, between()), N + 1 end,
    Ways = [fun() -> forth(T, xets:first(T)) end,
            fun() -> lists:reverse(back(T, xets:last(T))) end,
            fun() -> [Key || {Key, _} <- xets:tab2list(T)] end],
    Walk = fun(N) ->
                   Found = (lists:nth(1 + N rem 3, Ways))(),
                   Found = lists:usort(Found),
                   Stay = [Key || Key <- Found, is_integer(Key)],
                   N + 1
           end,
    [N1, N2 | _] = run([{Walk, 0}, {Walk, 1}, {Come, 0}, {Go, 0}]),
    ?assert(N1 > 0),
    ?assert(N2 > 1),
    xets:delete(T).

between() ->
    rand:uniform(20000) + 0.5.

forth(_T, '$end_of_table') -> [];
forth(T, Key) -> [Key | forth(T, xets:next(T, leave(T, Key)))].

back(_T, '$end_of_table') -> [];
back(T, Key) -> [Key | back(T, xets:prev(T, leave(T, Key)))].

leave(T, Key) when is_float(Key), trunc(Key) rem 5 =:= 0 ->
    xets:delete(T, Key),
    Key;
leave(_T, Key) ->
    Key.

size_is_right_afterwards(Options) ->
    T = table(Options),
    run(churn(T, 4)),
    Objects = xets:tab2list(T),
    ?assertEqual(length(Objects), xets:info(T, size)),
    ?assertEqual(length(Objects), length(lists:usort(Objects))),
    xets:delete(T).

%% Before each call it is noted how far the writers have come: all up to there is gone after it.
delete_all_objects_takes_all(Options) ->
    T = table(Options),
    Written = counters:new(2, [atomics]),
    Writer = fun(Me) ->
                     fun(I) ->
                             xets:insert(T, [{{Me, I}, I}, {{Me, I, again}, I}]),
                             counters:put(Written, Me, I),
                             I + 1
                     end
             end,
    Clearer = fun(N) ->
                      Before = [{Me, counters:get(Written, Me)} || Me <- [1, 2]],
                      true = xets:delete_all_objects(T),
                      [] = [I || {Me, Last} <- Before, I <- lists:seq(max(0, Last - 20), Last),
                                 xets:member(T, {Me, I}) orelse xets:member(T, {Me, I, again})],
                      N + 1
              end,
    [_, _, Cleared] = run([{Writer(1), 1}, {Writer(2), 1}, {Clearer, 0}]),
    ?assert(Cleared > 0),
    [?assert(xets:member(T, {Me, I, again})) || {{Me, I}, I} <- xets:tab2list(T)],
    xets:delete_all_objects(T),
    ?assertEqual([], xets:tab2list(T)),
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

%%% The end of a table

deleted_in_use(Options) ->
    [begin
         T = table(Options),
         fill(T, 100 * Round),
         Users = [start(fun() -> use(T, Self) end) || Self <- lists:seq(1, 6)],
         busy(Round),
         true = xets:delete(T),
         ?assertEqual(undefined, xets:info(T)),
         [?assertEqual(badarg, Reason) || Reason <- results(Users)]
     end || Round <- lists:seq(1, 10)].

%% Makes calls until one fails.
use(T, I) ->
    try
        call(I rem 16, T, I),
        use(T, I + 5)
    catch
        error:Reason -> Reason
    end.

call(0, T, I) -> xets:insert(T, {I rem 5000, I});
call(1, T, I) -> xets:insert(T, [{J, I} || J <- lists:seq(I, I + 20)]);
call(2, T, I) -> xets:lookup(T, I rem 5000);
call(3, T, I) -> xets:lookup_many(T, lists:seq(I, I + 20));
call(4, T, I) -> xets:delete(T, I rem 5000);
call(5, T, I) -> xets:update_counter(T, I rem 5000, {2, 1}, {I, 0});
call(6, T, I) -> xets:update_counter(T, big, {2, 1 bsl 65}, {I, 0});
call(7, T, I) -> xets:update_element(T, I rem 5000, {2, I});
call(8, T, _) -> xets:tab2list(T);
call(9, T, I) -> xets:take(T, I rem 5000);
call(10, T, I) -> xets:insert_new(T, [{I, I}, {-I, I}]);
call(11, T, I) -> xets:delete_object(T, {I rem 5000, I});
call(12, T, I) -> xets:take_many(T, lists:seq(I, I + 20));
call(13, T, I) -> xets:delete_many(T, lists:seq(I, I + 20));
call(14, T, I) -> xets:put_new(T, {I rem 5000, I});
call(15, T, _) -> walk(T, 50, xets:first_lookup(T)).

%% From the beginning again if the key is deleted meanwhile.
walk(T, N, {Key, _Objects}) when N > 0 ->
    walk(T, N - 1, try xets:next_lookup(T, Key)
                   catch error:badarg -> xets:first_lookup(T)
                   end);
walk(_T, _N, _) ->
    ok.

%% A name means one table or none; each has its own mark.
replaced_in_use(Options) ->
    Name = xets_concurrency_name,
    Reader = fun(Latest) ->
                     try xets:lookup_element(Name, mark, 2) of
                         Mark when Mark >= Latest -> Mark
                     catch
                         error:badarg -> Latest
                     end
             end,
    Replacer = fun(Mark) ->
                       Name = xets:new(Name, [named_table, public | Options]),
                       Tid = xets:whereis(Name),
                       xets:insert(Name, {mark, Mark}),
                       Mark = xets:lookup_element(Tid, mark, 2),
                       xets:delete(Name),
                       undefined = xets:info(Tid),
                       Mark + 1
               end,
    [Replaced | _] = run([{Replacer, 1}, {Reader, 0}, {Reader, 0}]),
    ?assert(Replaced > 10).

%% A key or an object is encoded for the type of the table that is found first, and stored in or
%% looked for in no table of another type: large ones, which take a while.
other_types_in_use_test_() ->
    {timeout, 120, fun other_types_in_use/0}.

other_types_in_use() ->
    Name = xets_concurrency_types,
    Keys = [1, {user, 1.0}, lists:seq(1, 10000), 1 bsl 100000, {self(), numbers(2000)}],
    Replacer = fun(N) ->
                       Type = lists:nth(1 + N rem 3, [ordered_set, set, bag]),
                       Name = xets:new(Name, [named_table, public, Type]),
                       [xets:insert(Name, {Key, 1}) || Key <- Keys],
                       [[{Key, 1}] = xets:lookup(Name, Key) || Key <- Keys],
                       xets:delete(Name),
                       N + 1
               end,
    Try = fun(Call) -> try Call() catch error:badarg -> gone end end,
    Reader = fun(N) ->
                     Key = lists:nth(1 + N rem length(Keys), Keys),
                     case Try(fun() -> xets:lookup(Name, Key) end) of
                         Found when Found =:= gone; Found =:= []; Found =:= [{Key, 1}] -> ok
                     end,
                     case Try(fun() -> xets:lookup_many(Name, Keys) end) of
                         gone -> ok;
                         All -> [true = (Objects =:= [] orelse Objects =:= [{K, 1}])
                                 || {K, Objects} <- lists:zip(Keys, All)]
                     end,
                     N + 1
             end,
    Writer = fun(N) ->
                     Key = lists:nth(1 + N rem length(Keys), Keys),
                     Try(fun() -> xets:insert(Name, [{Key, 1} || _ <- [1, 2]]) end),
                     Try(fun() -> xets:delete_object(Name, {other, Key}) end),
                     N + 1
             end,
    [Replaced | _] = run([{Replacer, 1}, {Reader, 0}, {Writer, 0}]),
    ?assert(Replaced > 3).

numbers(N) ->
    maps:from_list([{I, I} || I <- lists:seq(1, N)]).
