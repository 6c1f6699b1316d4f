%% Many processes on one bag: what a read returns is all objects of a key, in order, as they were
%% at one instant.
-module(xets_bag_concurrency_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_workers, [run/1, together/1, race/1, table/1, fill/2, churn/2]).

%% Objects of a key: enough for several segments, few enough to be read often.
-define(GROUP, 3000).

bag_test_() ->
    [{timeout, 120, [{Name ++ ", " ++ atom_to_list(Type), fun() -> Test([Type]) end}]}
     || {Types, Name, Test} <- tests(), Type <- Types].

tests() ->
    Both = [bag, duplicate_bag],
    [{Both, "a reader sees a prefix of what is appended", fun appended_is_a_prefix/1},
     {Both, "a list write is not seen in part", fun list_is_isolated/1},
     {Both, "objects that stay are found", fun groups_are_found/1},
     {Both, "each changes its own objects of one key", fun own_objects/1},
     {Both, "objects of a large group are deleted and inserted again", fun large_group/1},
     {[bag], "equal objects inserted by many are there once", fun equal_objects_are_one/1},
     {[duplicate_bag], "equal objects inserted by many are all there", fun equal_objects_count/1},
     {[duplicate_bag], "delete_object deletes all equal objects at once", fun equal_objects_go/1},
     {Both, "insert_new: one winner", fun insert_new_has_one_winner/1},
     {Both, "take gives each object to one", fun take_gives_to_one/1},
     {Both, "take takes all that there is", fun take_takes_all/1},
     {Both, "a traversal of a fixed table meets once what stays", fun traversals/1},
     {Both, "the size is right after writing", fun size_is_right_afterwards/1}].

%%% Reading one key

%% The writer counts up; when the group is long, it is deleted, and the next round begins. It is
%% noted how far the writer has come: so much is found by whoever looks then.
appended_is_a_prefix(Options) ->
    T = table(Options),
    fill(T, 5000),
    Written = counters:new(1, [atomics]),
    Writer = fun({Round, ?GROUP}) ->
                     xets:delete(T, key),
                     {Round + 1, 0};
                ({Round, N}) ->
                     xets:insert(T, {key, Round, N + 1}),
                     counters:put(Written, 1, place(Round, N + 1)),
                     {Round, N + 1}
             end,
    Reader = fun(Read) ->
                     fun(Seen) ->
                             Least = max(Seen, counters:get(Written, 1)),
                             prefix(Read(), Least)
                     end
             end,
    Elements = fun() ->
                       try xets:lookup_elements(T, key, {1, 2, 3})
                       catch error:badarg -> []
                       end
               end,
    [{Rounds, N} | _] = run([{Writer, {0, 0}}, {Reader(fun() -> xets:lookup(T, key) end), 0},
                             {Reader(Elements), 0} | churn(T, 1)]),
    ?assert(place(Rounds, N) > 100),
    xets:delete(T).

place(Round, N) ->
    Round * 2 * ?GROUP + N.

%% How far the writer had come when it had written these objects, which is no less than Least. None
%% are there between two rounds.
prefix([], Least) ->
    Least;
prefix([{key, Round, 1} | _] = Objects, Least) ->
    N = length(Objects),
    Objects = [{key, Round, I} || I <- lists:seq(1, N)],
    Place = place(Round, N),
    {true, _, _} = {Place >= Least, Place, Least},
    Place.

%% A list has one generation of each of the keys. After some generations all are taken.
list_is_isolated(Options) ->
    T = table(Options),
    fill(T, 5000),
    Keys = [{list, I} || I <- lists:seq(1, 5)],
    Writer = fun(Generation) ->
                     xets:insert(T, [{Key, Generation, I} || I <- lists:seq(1, 8), Key <- Keys]),
                     [20 = length(generations(Key, xets:take(T, Key)))
                      || Generation rem 20 =:= 0, Key <- Keys],
                     Generation + 1
             end,
    Reader = fun({Latest, [Key | Others]}) ->
                     Seen = generations(Key, xets:lookup(T, Key)),
                     Last = lists:last([Latest | Seen]),
                     {true, _, _} = {Last >= Latest, Last, Latest},
                     {Last, Others ++ [Key]}
             end,
    [Written | _] =
        run([{Writer, 1}, {Reader, {0, Keys}}, {Reader, {0, lists:reverse(Keys)}} | churn(T, 1)]),
    ?assert(Written > 1),
    xets:delete(T).

%% The generations that these objects are, which follow each other and are whole.
generations(_Key, []) ->
    [];
generations(Key, [{Key, First, 1} | _] = Objects) ->
    Generations = lists:seq(First, First + length(Objects) div 8 - 1),
    Objects = [{Key, Generation, I} || Generation <- Generations, I <- lists:seq(1, 8)],
    Generations.

groups_are_found(Options) ->
    T = table(Options),
    Groups = [{key(I), [{key(I), J, key(J)} || J <- lists:seq(1, I)]} || I <- lists:seq(1, 120)],
    [xets:insert(T, Object) || {_, Objects} <- Groups, Object <- Objects],
    {Keys, All} = lists:unzip(Groups),
    Each = fun(I) ->
                   {Key, Objects} = lists:nth(1 + I rem 120, Groups),
                   Objects = xets:lookup(T, Key),
                   true = xets:member(T, Key),
                   false = xets:insert_new(T, {Key, new}),
                   Numbers = lists:seq(1, length(Objects)),
                   Numbers = xets:lookup_element(T, Key, 2),
                   I + 1
           end,
    Many = fun(N) -> All = xets:lookup_many(T, Keys), N + 1 end,
    run([{Each, 0}, {Each, 50}, {Many, 0} | churn(T, 2)]),
    xets:delete(T).

key(I) when I rem 4 =:= 0 -> I;
key(I) when I rem 4 =:= 1 -> {key, I};
key(I) when I rem 4 =:= 2 -> integer_to_binary(I * 1000003);
key(I) -> [I, <<I:1000>>].

%%% Writing to one key

%% Whatever the others do, each finds the objects it has inserted and not deleted, in its order.
own_objects(Options) ->
    T = table(Options),
    Worker = fun(Me) ->
                     fun({I, Mine}) ->
                             Next = change(T, Me, I, Mine),
                             Next = [Object || {_, Who, _} = Object <- xets:lookup(T, key),
                                               Who =:= Me],
                             {I + 1, Next}
                     end
             end,
    Last = run([{Worker(Me), {1, []}} || Me <- [1, 2, 3, 4]]),
    ?assertEqual(lists:sum([length(Mine) || {_, Mine} <- Last]), xets:info(T, size)),
    xets:delete(T).

change(T, _Me, I, Mine) when I rem 3 =:= 0, length(Mine) > I div 3 rem 200 ->
    Object = lists:nth(rand:uniform(length(Mine)), Mine),
    xets:delete_object(T, Object),
    lists:delete(Object, Mine);
change(T, Me, I, Mine) when I rem 7 =:= 0 ->
    Objects = [{key, Me, {I, J}} || J <- [1, 2, 3]],
    xets:insert(T, Objects),
    Mine ++ Objects;
change(T, Me, I, Mine) ->
    xets:insert(T, {key, Me, I}),
    Mine ++ [{key, Me, I}].

%% The objects with odd numbers stay; two processes delete the others, and insert them again.
large_group(Options) ->
    T = table(Options),
    Count = case os:getenv("XETS_TEST_SMALL") of false -> 100000; _ -> 10000 end,
    fill(T, 1000),
    xets:insert(T, [{key, I} || I <- lists:seq(1, Count div 2)]),
    [xets:insert(T, {key, I}) || I <- lists:seq(Count div 2 + 1, Count)],
    Odd = lists:seq(1, Count - 1, 2),
    Reader = fun(N) ->
                     Odd = [I || {key, I} <- xets:lookup(T, key), I rem 2 =:= 1],
                     N + 1
             end,
    Writer = fun(Rest) ->
                     fun(Deleted) ->
                             I = 4 * rand:uniform(Count div 4) - Rest,
                             case Deleted of
                                 #{I := _} ->
                                     xets:insert(T, {key, I}),
                                     maps:remove(I, Deleted);
                                 #{} ->
                                     xets:delete_object(T, {key, I}),
                                     Deleted#{I => deleted}
                             end
                     end
             end,
    [Deleted1, Deleted2, Reads] = run([{Writer(0), #{}}, {Writer(2), #{}}, {Reader, 0}]),
    ?assert(Reads > 0),
    Deleted = maps:merge(Deleted1, Deleted2),
    ?assertEqual([I || I <- lists:seq(1, Count), not is_map_key(I, Deleted)],
                 lists:sort(xets:lookup_element(T, key, 2))),
    ?assertEqual(1000 + Count - map_size(Deleted), xets:info(T, size)),
    xets:delete(T).

equal_objects_are_one(Options) ->
    T = table(Options),
    Done = race(fun(Round, Me) ->
                        xets:insert(T, {Round, same}),
                        xets:insert(T, {Round, Me}),
                        xets:insert(T, [{Round, other}, {Round, same}, {Round, other}])
                end),
    [?assertEqual([{Round, 1}, {Round, 2}, {Round, 3}, {Round, 4}, {Round, other}, {Round, same}],
                  lists:sort(xets:lookup(T, Round)))
     || {Round, [1, 2, 3, 4]} <- Done],
    ?assertEqual(6 * length(Done), xets:info(T, size)),
    xets:delete(T).

equal_objects_count(Options) ->
    T = table(Options),
    Done = race(fun(Round, _Me) ->
                        xets:insert(T, {Round, same}),
                        xets:insert(T, [{Round, same}, {Round, same}])
                end),
    [?assertEqual(lists:duplicate(12, {Round, same}), xets:lookup(T, Round)) || {Round, _} <- Done],
    ?assertEqual(12 * length(Done), xets:info(T, size)),
    xets:delete(T).

%% The writer inserts five at once.
equal_objects_go(Options) ->
    T = table(Options),
    fill(T, 5000),
    Writer = fun(N) -> xets:insert(T, lists:duplicate(5, {key, same})), N + 1 end,
    Deleter = fun(N) -> xets:delete_object(T, {key, same}), N + 1 end,
    Reader = fun(N) ->
                     Found = xets:lookup(T, key),
                     {0, _} = {length(Found) rem 5, Found},
                     N + 1
             end,
    run([{Writer, 0}, {Deleter, 0}, {Reader, 0}, {Reader, 0} | churn(T, 1)]),
    xets:delete_object(T, {key, same}),
    ?assertEqual([], xets:lookup(T, key)),
    xets:delete(T).

insert_new_has_one_winner(Options) ->
    T = table(Options),
    Won = race(fun(Round, Me) -> xets:insert_new(T, [{Round, Me, I} || I <- [3, 1, 2]]) end),
    [?assertEqual([{Round, Winner, I} || Winner <- Winners, I <- [3, 1, 2]],
                  xets:lookup(T, Round))
     || {Round, Winners} <- Won],
    xets:delete(T).

%%% Taking

take_gives_to_one(Options) ->
    T = table(Options),
    Keys = lists:seq(1, 4000),
    xets:insert(T, [{Key, I} || I <- [4, 2, 3], Key <- Keys]),
    Whole = fun(Key, Objects) -> Objects =:= [{Key, I} || I <- [4, 2, 3]] end,
    Take = fun(Order) -> [Key || Key <- Order, Whole(Key, xets:take(T, Key))] end,
    TakeMany = fun(Order) ->
                       [Key || {Key, Objects} <- lists:zip(Order, xets:take_many(T, Order)),
                               Whole(Key, Objects)]
               end,
    Taken = together([fun() -> Call(Order) end
                      || Call <- [Take, TakeMany], Order <- [Keys, lists:reverse(Keys)]]),
    ?assertEqual(Keys, lists:sort(lists:append(Taken))),
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

%% What is taken at once of the objects of a writer is what it has inserted since it was taken last.
take_takes_all(Options) ->
    T = table(Options),
    Writer = fun(Me) -> fun(N) -> xets:insert(T, {key, Me, N}), N + 1 end end,
    Taker = fun(Taken) ->
                    case xets:take(T, key) of
                        [] -> Taken;
                        Objects -> [Objects | Taken]
                    end
            end,
    [N1, N2, Taken1, Taken2] = run([{Writer(1), 1}, {Writer(2), 1}, {Taker, []}, {Taker, []}]),
    All = [xets:take(T, key) | Taken1 ++ Taken2],
    [begin
         Parts = lists:sort([[N || {key, Who, N} <- Objects, Who =:= Me] || Objects <- All]),
         ?assertEqual(lists:seq(1, Next - 1), lists:append(Parts))
     end || {Me, Next} <- [{1, N1}, {2, N2}]],
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

%%% The whole table

traversals(Options) ->
    T = table(Options),
    Groups = [{{there, I}, [{{there, I}, J} || J <- lists:seq(1, 1 + I rem 5)]}
              || I <- lists:seq(1, 400)],
    xets:insert(T, lists:append([Objects || {_, Objects} <- Groups])),
    Keys = [Key || {Key, _} <- Groups],
    ByKeys = fun(N) ->
                     Keys = lists:sort([Key || {there, _} = Key <- fixed(T, fun keys/2, first)]),
                     N + 1
             end,
    ByObjects = fun(N) ->
                        Groups = lists:sort([Group || {{there, _}, _} = Group
                                                          <- fixed(T, fun groups/2, first_lookup)]),
                        N + 1
                end,
    [N1, N2 | _] = run([{ByKeys, 0}, {ByObjects, 0} | churn(T, 2)]),
    ?assert(N1 > 0),
    ?assert(N2 > 0),
    xets:delete(T).

fixed(T, Fun, First) ->
    xets:safe_fixtable(T, true),
    Found = Fun(T, xets:First(T)),
    xets:safe_fixtable(T, false),
    Found.

keys(_T, '$end_of_table') -> [];
keys(T, Key) -> [Key | keys(T, xets:next(T, Key))].

groups(_T, '$end_of_table') -> [];
groups(T, {Key, _} = Group) -> [Group | groups(T, xets:next_lookup(T, Key))].

size_is_right_afterwards(Options) ->
    T = table(Options),
    Appender = fun(I) -> xets:insert(T, [{key, I}, {I rem 100, I}]), I + 1 end,
    Deleter = fun(I) ->
                      xets:delete(T, I rem 100),
                      xets:delete_object(T, {key, I}),
                      I + 1
              end,
    run([{Appender, 1}, {Appender, 1}, {Deleter, 1} | churn(T, 1)]),
    Objects = xets:tab2list(T),
    ?assertEqual(length(Objects), xets:info(T, size)),
    [xets:delete_object(T, Object) || Object <- Objects],
    ?assertEqual({[], 0}, {xets:tab2list(T), xets:info(T, size)}),
    xets:delete(T).
