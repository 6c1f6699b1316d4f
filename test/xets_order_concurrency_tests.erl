%% Many processes on one ordered table: what they see and leave behind is checked against what the
%% documentation of xets says of traversals, ranges, positions and of taking an end.
%%
%% What ordered tables have in common with sets is here, too: xets_concurrency_tests on them.
-module(xets_order_concurrency_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_workers, [run/1, together/1, race/1, churn/2, shuffle/1]).

concurrency_test_() ->
    [{timeout, 120, [{Name ++ Kind, fun() -> Test([ordered_set | Options]) end}]}
     || {Kind, Options} <- [{"", []}, {", write_concurrency", [{write_concurrency, true}]}],
        {Name, Test} <- tests()].

tests() ->
    [{"a traversal forwards meets what stays once, in order",
      fun(Options) -> traversal(Options, fun forwards/1) end},
     {"a traversal backwards meets what stays once, in order",
      fun(Options) -> traversal(Options, fun backwards/1) end},
     {"a traversal by keys and objects", fun(Options) -> traversal(Options, fun by_objects/1) end},
     {"a traversal by pages", fun(Options) -> traversal(Options, fun by_pages/1) end},
     {"a traversal by pages backwards",
      fun(Options) -> traversal(Options, fun by_pages_backwards/1) end},
     {"a range has what stays once, in order", fun(Options) -> traversal(Options, fun range/1) end},
     {"a prefix has what stays once, in order", fun prefix/1},
     {"tab2list has what stays once, in order",
      fun(Options) -> traversal(Options, fun xets:tab2list/1) end},
     {"what is taken comes to one process", fun each_is_taken_once/1},
     {"of both ends what is taken comes to one process", fun both_ends_are_taken_once/1},
     {"the first one is taken", fun the_first_one_is_taken/1},
     {"a queue gives all that is put into it", fun queue_loses_nothing/1},
     {"positions are within what stays and what may come", fun positions_are_within_bounds/1},
     {"counts are within what stays and what may come", fun counts_are_within_bounds/1},
     {"a list write is seen whole", fun lists_are_whole/1},
     {"insert_new of overlapping lists", fun insert_new_lists_exclude_each_other/1},
     {"equal keys are one", fun equal_keys_are_one/1},
     {"neighbours that do not change", fun neighbours_stay/1}].

%%% Traversals

%% Keys that stay, among those of others that come and go, so that segments split and merge.
-define(STAY, 2000).

stay(I) when I rem 3 =:= 0 -> I * 100;
stay(I) when I rem 3 =:= 1 -> I * 100 + 0.5;
stay(I) -> (I * 100) + (1 bsl 70).

%% Traverse gives a list of objects, ascending.
traversal(Options, Traverse) ->
    T = xets:new(table, [public | Options]),
    Stay = lists:sort([stay(I) || I <- lists:seq(1, ?STAY)]),
    xets:insert(T, shuffle([{Key, stays} || Key <- Stay])),
    Traveller = fun(N) ->
                        Objects = Traverse(T),
                        Keys = [element(1, Object) || Object <- Objects],
                        {N, true} = {N, is_ascending(Keys)},
                        {N, Stay} = {N, [Key || {Key, stays} <- Objects]},
                        N + 1
                end,
    [Times | _] = run([{Traveller, 0} | comes_and_goes(T)]),
    ?assert(Times > 0),
    xets:delete(T).

is_ascending([A, B | Others]) -> A < B andalso is_ascending([B | Others]);
is_ascending(_) -> true.

%% Two writers fill ranges between the keys that stay, one of them downwards, and empty them.
comes_and_goes(T) ->
    [{fun(I) -> in_between(T, Me, I) end, 0} || Me <- [1, 2]].

in_between(T, Me, I) ->
    From = (I * 7919) rem (?STAY * 100),
    Keys = [Key || J <- lists:seq(1, 300), Key <- [From + J], Key rem 100 =/= 0],
    Ordered = case Me of 1 -> Keys; 2 -> lists:reverse(Keys) end,
    case (I div 40) rem 2 of
        0 when I rem 3 =:= 0 -> xets:insert(T, [{Key, Me} || Key <- Ordered]);
        0 -> [xets:insert(T, {Key, Me}) || Key <- Ordered];
        1 when I rem 3 =:= 0 -> xets:take_many(T, Ordered);
        1 -> [xets:delete(T, Key) || Key <- Ordered]
    end,
    case I rem 80 of
        79 -> 0;
        _ -> I + 1
    end.

forwards(T) -> by_keys(T, xets:first(T), next).

backwards(T) -> lists:reverse(by_keys(T, xets:last(T), prev)).

%% An object that is deleted is not met.
by_keys(_T, '$end_of_table', _Step) -> [];
by_keys(T, Key, Step) -> xets:lookup(T, Key) ++ by_keys(T, xets:Step(T, Key), Step).

by_objects(T) -> by_objects(T, xets:first_lookup(T)).

by_objects(_T, '$end_of_table') -> [];
by_objects(T, {Key, [Object]}) -> [Object | by_objects(T, xets:next_lookup(T, Key))].

by_pages(T) ->
    pages(xets:range(T, a, a, [{from, unbounded}, {to, unbounded}, {limit, 17}])).

by_pages_backwards(T) ->
    Of = [{from, unbounded}, {to, unbounded}, {limit, 150}, reverse],
    lists:reverse(pages(xets:range(T, a, a, Of))).

pages('$end_of_table') -> [];
pages({Page, More}) -> Page ++ pages(xets:range(More)).

range(T) ->
    xets:range(T, 0, 1 bsl 80).

prefix(Options) ->
    T = xets:new(table, [public | Options]),
    Keys = lists:sort([{stays, I rem 5, I} || I <- lists:seq(1, 3000)]),
    xets:insert(T, [{Key} || Key <- Keys]),
    Reader = fun(N) ->
                     Group = N rem 5,
                     Expected = [{Key} || {_, Of, _} = Key <- Keys, Of =:= Group],
                     {Group, Expected} = {Group, [Object || {{_, _, I}} = Object
                                                                <- xets:prefix(T, {stays, Group}),
                                                            is_integer(I)]},
                     N + 1
             end,
    Writer = fun(I) ->
                     Others = [{stays, (I + J) rem 5, J + 0.5} || J <- lists:seq(1, 200)],
                     xets:insert(T, [{Key} || Key <- Others]),
                     xets:insert(T, [{{stays, I rem 5, I, J}} || J <- lists:seq(1, 100)]),
                     [xets:delete(T, Key) || Key <- Others],
                     [xets:delete(T, {stays, I rem 5, I, J}) || J <- lists:seq(1, 100)],
                     I + 1
             end,
    Longer = fun(N) ->
                     [] = [Key || {Key} <- xets:prefix(T, {stays, N rem 5}, [reverse]),
                                  element(2, Key) =/= N rem 5],
                     N + 1
             end,
    [Times | _] = run([{Reader, 0}, {Longer, 0}, {Writer, 0}]),
    ?assert(Times > 0),
    xets:delete(T).

%%% Taking an end

each_is_taken_once(Options) ->
    T = xets:new(table, [public | Options]),
    Keys = lists:seq(1, 20000),
    xets:insert(T, shuffle([{Key, Key} || Key <- Keys])),
    Taken = together([fun() -> taken(T, take_first) end || _ <- lists:seq(1, 4)]),
    % Nobody puts anything in: each process meets ever greater ones.
    [?assert(is_ascending(Some)) || Some <- Taken],
    ?assertEqual(Keys, lists:sort(lists:append(Taken))),
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

both_ends_are_taken_once(Options) ->
    T = xets:new(table, [public | Options]),
    Keys = lists:seq(1, 20000),
    xets:insert(T, [{Key, Key} || Key <- Keys]),
    Taken = together([fun() -> taken(T, Take) end
                      || Take <- [take_first, take_last, take_first, take_last]]),
    [?assert(is_ascending(Some)) || Some <- [hd(Taken), lists:nth(3, Taken)]],
    [?assert(is_ascending(lists:reverse(Some)))
     || Some <- [lists:nth(2, Taken), lists:last(Taken)]],
    ?assertEqual(Keys, lists:sort(lists:append(Taken))),
    xets:delete(T).

taken(T, Take) ->
    case xets:Take(T) of
        [{Key, Key}] -> [Key | taken(T, Take)];
        [] -> []
    end.

%% Of several that put something at the beginning and take the first one, none passes over what the
%% others have put there.
the_first_one_is_taken(Options) ->
    T = xets:new(table, [public | Options]),
    xets:insert(T, [{{1, none, I}} || I <- lists:seq(1, 100)]),
    Taker = fun(N) ->
                    xets:insert(T, {{0, self(), N}}),
                    % Nobody takes one before he has put one in: there is one.
                    [{Key}] = xets:take_first(T),
                    {true, _} = {element(1, Key) =:= 0, Key},
                    N + 1
            end,
    Above = fun(I) ->
                    xets:insert(T, {{2, none, I rem 1000}}),
                    xets:delete(T, {2, none, (I + 500) rem 1000}),
                    I + 1
            end,
    run([{Taker, 0}, {Taker, 0}, {Taker, 0}, {Above, 0}]),
    ?assertEqual(100, xets:count(T, {1, none, 1}, {1, none, 100})),
    ?assertEqual([], xets:range(T, a, {1, none, 0}, [{from, unbounded}])),
    xets:delete(T).

%% Several put jobs in, several take them out; nothing is lost or given twice, and of the jobs of
%% one sender with one priority nobody gets a later one before an earlier one.
queue_loses_nothing(Options) ->
    T = xets:new(table, [public | Options]),
    Putter = fun(Me) ->
                     fun({N, Taken}) ->
                             xets:insert(T, {{N rem 3, N, Me}}),
                             {N + 1, Taken}
                     end
             end,
    Taker = fun({N, Taken}) ->
                    case xets:take_first(T) of
                        [{Key}] -> {N, [Key | Taken]};
                        [] -> {N, Taken}
                    end
            end,
    States = run([{Putter(1), {0, []}}, {Putter(2), {0, []}}, {Taker, {0, []}}, {Taker, {0, []}}]),
    Put = [{N rem 3, N, Me} || {Me, {Count, _}} <- lists:zip([1, 2], lists:sublist(States, 2)),
                               N <- lists:seq(0, Count - 1)],
    Left = [Key || {Key} <- xets:range(T, {}, {9, 9, 9})],
    Taken = lists:append([Some || {_, Some} <- States]),
    ?assertEqual(lists:sort(Put), lists:sort(Left ++ Taken)),
    xets:delete(T).

%%% Positions

%% Of N objects that stay, between which others come and go.
-define(AMONG, 1000).

positions_are_within_bounds(Options) ->
    T = among(Options),
    Rank = fun(N) ->
                   I = 1 + (N * 7) rem ?AMONG,
                   Rank = xets:rank(T, I),
                   {true, _, _} = {Rank >= I andalso Rank =< 2 * I, I, Rank},
                   N + 1
           end,
    Nth = fun(N) ->
                  I = 1 + (N * 13) rem ?AMONG,
                  case xets:nth(T, I) of
                      % Below it are at most as many as those that stay and those that may come.
                      [{Key, _}] -> {true, _, _} = {Key =< I andalso 2 * Key + 1 >= I, I, Key}
                  end,
                  N + 1
          end,
    Absent = fun(N) ->
                     undefined = xets:rank(T, 0.25 + N rem ?AMONG),
                     N + 1
             end,
    [Ranks, Nths | _] = run([{Rank, 0}, {Nth, 0}, {Absent, 0} | halves(T)]),
    ?assert(Ranks > 0),
    ?assert(Nths > 0),
    xets:delete(T).

counts_are_within_bounds(Options) ->
    T = among(Options),
    Count = fun(N) ->
                    From = 1 + (N * 7) rem ?AMONG,
                    To = From + (N * 31) rem (?AMONG + 1 - From),
                    Stay = To - From + 1,
                    Count = xets:count(T, From, To),
                    {true, _, _} = {Count >= Stay andalso Count < 2 * Stay, {From, To}, Count},
                    N + 1
            end,
    Size = fun(N) ->
                   Size = xets:count(T, a, a, [{from, unbounded}, {to, unbounded}]),
                   {true, _} = {Size >= ?AMONG andalso Size =< 2 * ?AMONG, Size},
                   {true, _} = {length(xets:first_n(T, ?AMONG)) =:= ?AMONG, N},
                   N + 1
           end,
    [Counts, Sizes | _] = run([{Count, 0}, {Size, 0} | halves(T)]),
    ?assert(Counts > 0),
    ?assert(Sizes > 0),
    xets:delete(T).

%% 1 to AMONG stay.
among(Options) ->
    T = xets:new(table, [public | Options]),
    xets:insert(T, [{I, stays} || I <- lists:seq(1, ?AMONG)]),
    T.

%% What comes and goes is half below each of them.
halves(T) ->
    Writer = fun(Me) ->
                     fun(I) ->
                             Keys = [J - 0.5 || J <- lists:seq(Me, ?AMONG, 2),
                                                (J + I) rem 7 < 4],
                             case I rem 2 of
                                 0 -> [xets:insert(T, {Key, Me}) || Key <- Keys];
                                 1 -> xets:insert(T, [{Key, Me} || Key <- lists:reverse(Keys)])
                             end,
                             [xets:delete(T, J - 0.5) || J <- lists:seq(Me, ?AMONG, 2),
                                                         (J * 3 + I) rem 5 =/= 0],
                             I + 1
                     end
             end,
    [{Writer(1), 1}, {Writer(2), 1}].

%%% Lists

%% Reads of one key after the other, as in xets_concurrency_tests; and of a short range, which is
%% mostly of one instant, but need not be: each object is one of a generation that was written.
lists_are_whole(Options) ->
    T = xets:new(table, [public | Options]),
    Keys = [{list, I} || I <- lists:seq(1, 200)],
    xets:insert(T, [{Key, 0} || Key <- Keys]),
    Writer = fun(Generation) ->
                     xets:insert(T, shuffle([{Key, Generation} || Key <- Keys])),
                     Generation + 1
             end,
    Reader = fun(Oldest) ->
                     [{_, Generation}] = xets:lookup(T, {list, rand:uniform(200)}),
                     {true, _, _} = {Generation >= Oldest, Generation, Oldest},
                     Generation
             end,
    Many = fun(Oldest) ->
                   Seen = [Generation || [{_, Generation}] <- xets:lookup_many(T, Keys)],
                   Seen = lists:sort(Seen),
                   {true, _, _} = {hd(Seen) >= Oldest, Seen, Oldest},
                   lists:last(Seen)
           end,
    [Written | _] = run([{Writer, 1}, {Reader, 0}, {Many, 0} | churn(T, 1)]),
    ?assert(Written > 1),
    ?assertEqual([{Key, Written - 1} || Key <- Keys], xets:prefix(T, {list})),
    xets:delete(T).

%% Process I of 1 to 4 wants the keys I and I + 1, one of them as a float.
insert_new_lists_exclude_each_other(Options) ->
    T = xets:new(table, [public | Options]),
    Won = race(fun(Round, Me) ->
                       xets:insert_new(T, shuffle([{{Round, Me}, Me}, {{Round, Me + 1.0}, Me}]))
               end),
    [?assertEqual([Me || Me <- Winners, _ <- [first, second]],
                  [Me || {_, Me} <- xets:prefix(T, {Round})])
     || {Round, Winners} <- Won],
    xets:delete(T).

%% 1 and 1.0 and so on are overwritten with each other: there is one object, and it is whole.
equal_keys_are_one(Options) ->
    T = xets:new(table, [public | Options]),
    Keys = lists:seq(1, 50),
    xets:insert(T, [{Key, Key, text} || Key <- Keys]),
    Writer = fun(I) ->
                     Key = 1 + I rem 50,
                     As = case (I div 50) rem 2 of 0 -> Key; 1 -> float(Key) end,
                     xets:insert(T, {As, As, binary:copy(<<"text">>, I rem 30)}),
                     I + 1
             end,
    Reader = fun(I) ->
                     Key = 1 + I rem 50,
                     [{Is, Is, _}] = xets:lookup(T, Key),
                     [{Again, Again, _}] = xets:range(T, float(Key), Key),
                     true = Is == Key andalso Again == Key,
                     I + 1
             end,
    Counter = fun(I) ->
                      50 = length(xets:first_n(T, 100)),
                      I + 1
              end,
    run([{Writer, 0}, {Writer, 75}, {Reader, 0}, {Counter, 0}]),
    ?assertEqual(50, xets:info(T, size)),
    xets:delete(T).

%% Pairs of neighbours between which nobody writes, whatever happens around them.
neighbours_stay(Options) ->
    T = xets:new(table, [public | Options]),
    xets:insert(T, [{{I * 1000, Side}} || I <- lists:seq(1, 200), Side <- [low, {high}]]),
    Reader = fun(N) ->
                     I = (1 + N rem 200) * 1000,
                     {I, {high}} = xets:next(T, {I, low}),
                     {I, {high}} = xets:next(T, {I, middle}),
                     {I, low} = xets:prev(T, {I, {high}}),
                     {{I, low}, [{{I, low}}]} = xets:prev_lookup(T, {I, {0}}),
                     [{{I, low}}, {{I, {high}}}] = xets:prefix(T, {I}),
                     N + 1
             end,
    Writer = fun(I) ->
                     From = (I * 7919) rem 200000,
                     Keys = [{Key, x} || Key <- lists:seq(From, From + 300), Key rem 1000 =/= 0],
                     case (I div 60) rem 2 of
                         0 -> [xets:insert(T, {Key}) || Key <- Keys];
                         1 -> [xets:delete(T, Key) || Key <- Keys]
                     end,
                     I + 1
             end,
    [Times | _] = run([{Reader, 0}, {Reader, 100}, {Writer, 0}, {Writer, 60}]),
    ?assert(Times > 0),
    xets:delete(T).
