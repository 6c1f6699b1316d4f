%% Ordered tables: ranges, prefixes, positions and ends against sorted lists; neighbours, and keys
%% that are equal but not identical, beside ets.
%%
%% What processes see of each other is in xets_order_concurrency_tests.
-module(xets_order_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [outcome/1, texts/3, small/2]).

%%% Ranges

%% All pairs of ends, of which some are keys, some equal keys, and some are neither; all options.
range_test_() ->
    [{timeout, 120, {title("range", Name, Options), fun() -> ranges(Keys, Ends, Options) end}}
     || {Name, Keys, Ends} <- few_keys(), Options <- [[], [{keypos, 2}, compressed]]].

ranges(Keys, Ends, Options) ->
    {T, KeyPos, Sorted} = filled(Keys, Options),
    [begin
         Expected = expected(Sorted, KeyPos, From, To, Of),
         Descending = lists:reverse(Expected),
         is_same(Expected, xets:range(T, From, To, Of)),
         is_same(Descending, xets:range(T, From, To, [reverse | Of])),
         ?assertEqual(length(Expected), xets:count(T, From, To, Of)),
         [begin
              is_paged(Expected, Limit, xets:range(T, From, To, [{limit, Limit} | Of])),
              is_paged(Descending, Limit, xets:range(T, From, To, [reverse, {limit, Limit} | Of]))
          end || Limit <- [1, 2, 3, 7, 1 bsl 70]]
     end || From <- Ends, To <- Ends, Of <- end_options()],
    [begin
         Expected = expected(Sorted, KeyPos, From, To, []),
         is_same(Expected, xets:range(T, From, To)),
         ?assertEqual(length(Expected), xets:count(T, From, To))
     end || From <- Ends, To <- Ends],
    xets:delete(T).

end_options() ->
    Values = [inclusive, exclusive, unbounded],
    [[{from, From}, {to, To}] || From <- Values, To <- Values].

expected(Sorted, KeyPos, From, To, Options) ->
    [Object || Object <- Sorted, Key <- [element(KeyPos, Object)],
               is_behind(proplists:get_value(from, Options, inclusive), From, Key),
               is_behind(proplists:get_value(to, Options, inclusive), Key, To)].

is_behind(inclusive, Low, High) -> Low =< High;
is_behind(exclusive, Low, High) -> Low < High;
is_behind(unbounded, _, _) -> true.

later_options_override_test() ->
    {T, _, Sorted} = filled(lists:seq(1, 9), []),
    is_same(lists:sublist(Sorted, 3, 3),
            xets:range(T, 3, 5, [{from, exclusive}, {from, unbounded}, reverse, {from, inclusive},
                                 {to, unbounded}, {to, inclusive}, {reverse, false}])),
    ?assertMatch({[_, _], _}, xets:range(T, 3, 5, [{limit, 1}, {limit, 2}])),
    is_same(Sorted, xets:range(T, 10, 0, [{from, unbounded}, {to, unbounded}])),
    xets:delete(T).

%% Read in many chunks, on a dirty scheduler; some objects are kept outside of their segments.
long_ranges_test_() ->
    {timeout, 120, fun() -> [long_ranges(Options) || Options <- [[], [compressed]]] end}.

long_ranges(Options) ->
    Keys = lists:append([[I, {I}, [I], <<"key", I:32>>] || I <- lists:seq(1, small(3000, 1000))]),
    {T, 1, Sorted} = filled(Keys, Options),
    All = [{from, unbounded}, {to, unbounded}],
    is_same(Sorted, xets:range(T, a, a, All)),
    is_same(lists:reverse(Sorted), xets:range(T, a, a, [reverse | All])),
    ?assertEqual(length(Sorted), xets:count(T, a, a, All)),
    [begin
         Of = [{limit, Limit} | All],
         is_paged(Sorted, Limit, xets:range(T, a, a, Of)),
         is_paged(lists:reverse(Sorted), Limit, xets:range(T, a, a, [reverse | Of]))
     end || Limit <- [127, 128, 129, 1000, 2001, length(Sorted), length(Sorted) + 1]],
    [?assertEqual(xets:count(T, From, To), length(xets:range(T, From, To)))
     || From <- [17, {500}, [1]], To <- [900, {700.5}, <<"key", 999:32>>]],
    is_same(lists:sublist(Sorted, 2500), xets:first_n(T, 2500)),
    is_same(lists:sublist(lists:reverse(Sorted), 2500), xets:last_n(T, 2500)),
    xets:delete(T).

%% Large objects: one is too much for a normal scheduler.
large_objects_test() ->
    T = table([]),
    Objects = [{I, lists:seq(I, I + 100000)} || I <- lists:seq(1, 4)],
    xets:insert(T, lists:reverse(Objects)),
    is_same(Objects, xets:range(T, 1, 4)),
    is_same(Objects, xets:first_n(T, 4)),
    is_same([lists:nth(3, Objects)], xets:nth(T, 3)),
    is_same([hd(Objects)], xets:take_first(T)),
    is_same([lists:last(Objects)], xets:take_last(T)),
    ?assertEqual(2, xets:info(T, size)),
    xets:delete(T).

%% Keys and prefixes that are too much for a normal scheduler, too.
large_keys_test_() ->
    {timeout, 60, fun large_keys/0}.

large_keys() ->
    T = table([]),
    Many = small(200000, 20000),
    Numbers = lists:seq(1, Many),
    Keys = [1 bsl Many, list_to_tuple(Numbers), list_to_tuple(Numbers ++ [a]),
            maps:from_list([{I, I} || I <- Numbers]), Numbers, Numbers ++ [a],
            binary:copy(<<"x">>, Many), <<(binary:copy(<<"x">>, Many))/bits, 1:1>>],
    Objects = [{Key, I} || {I, Key} <- lists:zip(lists:seq(1, length(Keys)), Keys)],
    xets:insert(T, lists:reverse(Objects)),
    [begin
         ?assertEqual(I, xets:rank(T, Key)),
         ?assertEqual(1, xets:count(T, Key, Key)),
         ?assertEqual(8 - I, xets:count(T, Key, a, [{from, exclusive}, {to, unbounded}])),
         ?assert([{Key, I}] =:= xets:range(T, Key, Key)),
         ?assert([{Key, I}] =:= xets:nth(T, I))
     end || {Key, I} <- Objects],
    Part = lists:droplast(Numbers),
    [?assertEqual(Found, [I || {_, I} <- xets:prefix(T, Prefix)])
     || {Prefix, Found} <- [{list_to_tuple(Part), [2, 3]}, {list_to_tuple(Numbers), [2, 3]},
                            {list_to_tuple(Numbers ++ [b]), []}, {Part, [5, 6]}, {Numbers, [5, 6]},
                            {Numbers ++ [a], [6]}, {Part ++ [0], []},
                            {binary:copy(<<"x">>, Many - 1), [7, 8]},
                            {binary:copy(<<"x">>, Many), [7, 8]},
                            {binary:copy(<<"x">>, Many + 1), []}]],
    is_paged(Objects, 1, xets:range(T, a, a, [{limit, 1}, {from, unbounded}, {to, unbounded}])),
    is_paged(lists:sublist(Objects, 2, 2), 1, xets:prefix(T, {1}, [{limit, 1}])),
    [?assert([Object] =:= xets:take_first(T)) || Object <- Objects],
    xets:delete(T).

%%% Continuations

continuation_survives_changes_test() ->
    T = table([]),
    xets:insert(T, [{I, old} || I <- lists:seq(1, 100)]),
    {First, More} = xets:range(T, 1, 90, [{limit, 10}]),
    ?assertEqual([{I, old} || I <- lists:seq(1, 10)], First),
    [xets:delete(T, I) || I <- lists:seq(5, 20)],
    xets:insert(T, [{10.5, new}, {12.5, new}, {30, new}, {90.5, new}]),
    {Second, _} = xets:range(More),
    ?assertEqual([{10.5, new}, {12.5, new} | [{I, old} || I <- lists:seq(21, 28)]], Second),
    xets:delete_all_objects(T),
    ?assertEqual('$end_of_table', xets:range(More)),
    xets:insert(T, {17, again}),
    ?assertEqual({[{17, again}], '$end_of_table'}, xets:range(More)),
    xets:delete(T).

%% By others, more than once, in either function; of a named table as a term without references.
continuation_is_a_plain_term_test() ->
    T = xets:new(xets_order_named, [ordered_set, named_table]),
    xets:insert(T, [{{I rem 3, I}} || I <- lists:seq(1, 30)]),
    {_, Range} = xets:range(T, {1}, {2, 100}, [{limit, 4}, reverse]),
    {_, Prefix} = xets:prefix(T, {1}, [{limit, 4}]),
    [begin
         Copy = binary_to_term(term_to_binary(More)),
         ?assertEqual(xets:range(More), xets:range(Copy)),
         ?assertEqual(xets:range(More), xets:prefix(Copy)),
         Self = self(),
         spawn_link(fun() -> Self ! {page, xets:range(Copy)} end),
         Page = receive {page, Received} -> Received end,
         ?assertEqual(xets:range(More), Page)
     end || More <- [Range, Prefix]],
    ?assertEqual('$end_of_table', xets:range('$end_of_table')),
    ?assertEqual('$end_of_table', xets:prefix('$end_of_table')),
    xets:delete(T),
    [?assertEqual(#{1 => no_table()}, texts(xets, Function, [More]))
     || Function <- [range, prefix], More <- [Range, Prefix]].

bad_continuations_test() ->
    {T, _, _} = filled([{I} || I <- lists:seq(1, 9)] ++ [[1], [1, 2], <<"ab">>, <<"abc">>], []),
    {_, Range} = xets:range(T, 1, [], [{limit, 1}]),
    Prefixes = [element(2, xets:prefix(T, P, [{limit, 1}])) || P <- [{}, [1], <<"ab">>]],
    Bad = [x, [], {}, T, {xets_range}, setelement(1, Range, range), setelement(5, Range, 0),
           setelement(5, Range, infinity), setelement(5, Range, 1 bsl 70),
           setelement(5, Range, 1.0), setelement(6, Range, -1), setelement(6, Range, 64),
           setelement(6, Range, a)] ++
        [setelement(3, Prefix, Wrong) || Prefix <- Prefixes, Wrong <- [a, [a | b], <<1:1>>, {2}]] ++
        [setelement(4, Prefix, Wrong) || Prefix <- Prefixes, Wrong <- [a, [], <<>>, <<"ac">>, 1]],
    [?assertEqual({Continuation, #{1 => <<"invalid continuation">>}},
                  {Continuation, texts(xets, Function, [Continuation])})
     || Function <- [range, prefix], Continuation <- Bad],
    xets:delete(T).

%%% Prefixes

prefix_test_() ->
    [{timeout, 120, {title("prefix", Name, Options),
                     fun() -> prefixes(Keys, Prefixes, Options) end}}
     || {Name, Keys, Prefixes} <- many_keys(), Options <- [[], [{keypos, 2}]]].

prefixes(Keys, Prefixes, Options) ->
    {T, KeyPos, Sorted} = filled(lists:usort(Keys), Options),
    [begin
         Expected = [Object || Object <- Sorted, begins_with(Prefix, element(KeyPos, Object))],
         Descending = lists:reverse(Expected),
         is_same(Expected, xets:prefix(T, Prefix)),
         is_same(Descending, xets:prefix(T, Prefix, [reverse])),
         [begin
              is_paged(Expected, Limit, xets:prefix(T, Prefix, [{limit, Limit}])),
              is_paged(Descending, Limit, xets:prefix(T, Prefix, [{limit, Limit}, reverse]))
          end || Limit <- [1, 3, 50, 1 bsl 70]]
     end || Prefix <- Prefixes],
    xets:delete(T).

begins_with(Prefix, Key) when is_tuple(Prefix), is_tuple(Key) ->
    tuple_size(Prefix) =< tuple_size(Key) andalso
        tuple_to_list(Prefix) == lists:sublist(tuple_to_list(Key), tuple_size(Prefix));
begins_with([_ | _] = Prefix, [_ | _] = Key) ->
    begins_with_all(Prefix, Key);
begins_with([], Key) when is_list(Key) ->
    true;
begins_with(Prefix, Key) when is_binary(Prefix), is_bitstring(Key) ->
    Bits = bit_size(Prefix),
    case Key of
        <<Prefix:Bits/bits, _/bits>> -> true;
        _ -> false
    end;
begins_with(_, _) ->
    false.

begins_with_all([Asked | Prefix], [Head | Key]) ->
    Asked == Head andalso begins_with_all(Prefix, Key);
begins_with_all(Prefix, _Key) ->
    Prefix =:= [].

many_keys() ->
    Pid = self(),
    Map = #{a => 1},
    OfTuples = [1, 2.0, a, "s", Map, Pid],
    Tuples = [list_to_tuple(L) || L <- lists_of(OfTuples, 3)],
    Others = [1, a, [], [1], <<>>, <<1>>, #{}, #{{} => 1}, make_ref()],
    TuplePrefixes = [list_to_tuple(L) || L <- lists_of([1.0, 2, b, Map, #{a => 1.0}, Pid], 3)],
    OfBytes = [0, 1, 97, 254, 255],
    Binaries = [list_to_binary(L) || L <- lists_of(OfBytes, 3)],
    Bits = [<<N:Size>> || Size <- [1, 7, 9, 15, 17], N <- [0, 1, 97, 1 bsl (Size - 1), -1]],
    Lists = lists_of([1, 2.0, a, Pid], 3),
    Improper = [L ++ Tail || [_ | _] = L <- Lists, Tail <- [1, a, {}, <<>>], length(L) < 3],
    [{"tuples", Tuples ++ Others, TuplePrefixes ++ [{1, 2, a, 1}]},
     {"tuples of many sizes",
      Others ++ [list_to_tuple([K | lists:duplicate(Size - 1, x)])
                 || Size <- [1, 2, 5, 93, 94, 95, 255, 256, 1000, 70000], K <- [0, 1, 2]],
      [{}, {1}, {1.0, x}, {0, x, x}, {3}, erlang:make_tuple(94, x, [{1, 2}]),
       erlang:make_tuple(70000, x, [{1, 2}]), erlang:make_tuple(70001, x, [{1, 2}])]},
     {"lists", Lists ++ Improper ++ Others ++ [{}, {1}], lists_of([1.0, 2, a, b, Pid], 3)},
     {"binaries", lists:usort(Binaries ++ Bits) ++ [1, a, {}, [], [97]],
      lists:usort(Binaries) ++ [<<97, 97, 97, 97>>, <<98>>]},
     {"cut keys", cut_keys(), cut_prefixes()}].

%% Longer than what of a key is ordered by its bytes; with maps and pids in between.
cut_keys() ->
    Long = binary:copy(<<"0123456789abcdef">>, 300),
    Bits = << Long/bits, 5:3 >>,
    [<<Long/bits, X/bits>> || X <- [<<>>, <<0>>, <<1>>, <<1:1>>, <<255:8>>, <<255:7>>]] ++
        [<<(binary:part(Long, 0, 4000))/bits, X/bits>> || X <- [<<>>, <<0>>, <<"x">>, <<1:1>>]] ++
        [{Long, X} || X <- [1, 2, a]] ++ [{Bits, 1}, {binary:part(Long, 0, 4799), 1}] ++
        [lists:seq(1, 3000) ++ [X] || X <- [1, 2, a]] ++ [lists:seq(1, 2999) ++ [0, 1]] ++
        [{#{a => I}, I, J} || I <- [1, 2, 3], J <- [1, 2]] ++
        [[#{a => I}, J] || I <- [1, 2, 3], J <- [1, 2]].

cut_prefixes() ->
    Long = binary:copy(<<"0123456789abcdef">>, 300),
    [Long, <<Long/bits, 1>>, <<Long/bits, 254>>, binary:part(Long, 0, 4000),
     binary:part(Long, 0, 4799), binary:part(Long, 0, 4095),
     <<(binary:part(Long, 0, 4799))/bits, "g">>, {Long}, {Long, 2}, {<<Long/bits, 0>>},
     lists:seq(1, 3000), lists:seq(1, 3000) ++ [2], lists:seq(1, 2999),
     {#{a => 2}}, {#{a => 2.0}, 2}, {#{a => 2}, 2, 1}, {#{a => 4}}, {#{b => 2}}, [#{a => 3}],
     [#{a => 3}, 2], [#{a => 0}]].

%% All lists of up to N of these terms.
lists_of(_Terms, 0) ->
    [[]];
lists_of(Terms, N) ->
    Shorter = lists_of(Terms, N - 1),
    Shorter ++ [[Term | List] || Term <- Terms, List <- Shorter, length(List) =:= N - 1].

%%% Positions

positions_test_() ->
    Many = {"many", lists:seq(1, 20000, 4), [0, 2, 7.0, 9, 30000]},
    [{timeout, 120, {title("positions", Name, Options),
                     fun() -> positions(Keys, Ends, Options) end}}
     || {Name, Keys, Ends} <- [Many | few_keys()], Options <- [[], [{keypos, 2}]]].

positions(Keys, Ends, Options) ->
    {T, KeyPos, Sorted} = filled(Keys, Options),
    Numbered = lists:zip(lists:seq(1, length(Sorted)), Sorted),
    [begin
         is_same([Object], xets:nth(T, I)),
         ?assertEqual(I, xets:rank(T, element(KeyPos, Object)))
     end || {I, Object} <- Numbered],
    [?assertEqual([], xets:nth(T, length(Sorted) + I)) || I <- [1, 2, 1000, 1 bsl 40, 1 bsl 70]],
    [begin
         Ranks = [I || {I, Object} <- Numbered, element(KeyPos, Object) == End],
         ?assertEqual({End, Ranks}, {End, [I || I <- [xets:rank(T, End)], I =/= undefined]}),
         ?assertEqual([Object || {I, Object} <- Numbered, [I] =:= Ranks],
                      lists:append([xets:nth(T, I) || I <- Ranks]))
     end || End <- Ends],
    xets:delete(T).

%% After each of many changes, also at the ends of the table.
positions_follow_changes_test() ->
    T = table([]),
    _ = rand:seed(exsss, 17),
    lists:foldl(fun(I, Keys) ->
                        Key = rand:uniform(100),
                        Keys1 = case I rem 3 of
                                    0 -> xets:delete(T, Key), ordsets:del_element(Key, Keys);
                                    _ -> xets:insert(T, {Key}), ordsets:add_element(Key, Keys)
                                end,
                        Below = length([K || K <- Keys1, K < Key]),
                        ?assertEqual(Below, xets:count(T, a, Key, [{from, unbounded},
                                                                   {to, exclusive}])),
                        ?assertEqual(case ordsets:is_element(Key, Keys1) of
                                         true -> Below + 1;
                                         false -> undefined
                                     end, xets:rank(T, Key)),
                        ?assertEqual([{K} || K <- lists:sublist(Keys1, Below + 1, 1)],
                                     xets:nth(T, Below + 1)),
                        Keys1
                end, [], lists:seq(1, 1000)),
    xets:delete(T).

%%% Ends

ends_test_() ->
    [{timeout, 60, {title("ends", Name, Options), fun() -> ends(Keys, Options) end}}
     || {Name, Keys, _Ends} <- few_keys(), Options <- [[], [{keypos, 2}, compressed]]].

ends(Keys, Options) ->
    {T, _KeyPos, Sorted} = filled(Keys, Options),
    Descending = lists:reverse(Sorted),
    [begin
         is_same(lists:sublist(Sorted, N), xets:first_n(T, N)),
         is_same(lists:sublist(Descending, N), xets:last_n(T, N))
     end || N <- lists:seq(0, length(Keys) + 1)],
    is_same(Sorted, xets:first_n(T, 1 bsl 70)),
    is_same(Descending, xets:last_n(T, 1 bsl 70)),
    taken(T, Sorted, first),
    ?assertEqual([], xets:take_first(T)),
    ?assertEqual([], xets:take_last(T)),
    ?assertEqual([], xets:first_n(T, 3)),
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

%% From both ends in turns.
taken(T, [_ | _] = Left, first) ->
    is_same([hd(Left)], xets:take_first(T)),
    taken(T, tl(Left), last);
taken(T, [_ | _] = Left, last) ->
    is_same([lists:last(Left)], xets:take_last(T)),
    ?assertEqual(length(Left) - 1, xets:info(T, size)),
    taken(T, lists:droplast(Left), first);
taken(_T, [], _) ->
    ok.

%% As a priority queue that is filled meanwhile.
priority_queue_test() ->
    T = table([]),
    _ = rand:seed(exsss, 42),
    Left = lists:foldl(fun(I, Queue) ->
                               Job = {{rand:uniform(50), I}, job},
                               xets:insert(T, Job),
                               Queue1 = lists:sort([Job | Queue]),
                               case I rem 3 of
                                   0 ->
                                       ?assertEqual([hd(Queue1)], xets:take_first(T)),
                                       tl(Queue1);
                                   _ ->
                                       Queue1
                               end
                       end, [], lists:seq(1, 2000)),
    ?assertEqual(Left, lists:append([xets:take_first(T) || _ <- Left])),
    ?assertEqual([], xets:take_first(T)),
    xets:delete(T).

%%% Tables of few objects

%% {Name, Keys, Ends}: keys, no two of which are equal; terms, some of which are equal to keys.
few_keys() ->
    Pids = [spawn(fun() -> ok end) || _ <- lists:seq(1, 4)],
    Refs = [make_ref() || _ <- lists:seq(1, 4)],
    Zero = xets_terms:negative_zero(),
    [{"none", [], [1, a, []]},
     {"one", [17], [16, 17, 17.0, 18, a]},
     {"integers", [-3, 0, 1, 2, 5, 1 bsl 59, 1 bsl 70],
      [-4, -3.0, Zero, 1.5, 2, 4, float(1 bsl 59), 1 bsl 65, 1 bsl 71]},
     {"floats", [-1.5, Zero, 1.0, 1.0e300, 9007199254740992.0],
      [-2, -1.5, 0, 0.0, 1, 3, 9007199254740991, 9007199254740993, 1 bsl 1030]},
     {"close numbers", [9007199254740992.0, 9007199254740993, (1 bsl 70) + 1, float(1 bsl 70), -5],
      [9007199254740992, 9007199254740993, 9007199254740994, 1 bsl 70, (1 bsl 70) + 2, -5.0]},
     {"atoms", [a, b, aa, '', 'ž', zz], ['', a, ab, b, 'ž', z, zzz, 1, {}]},
     {"tuples", [{}, {1}, {2.0}, {a}, {1, 1}, {1, {2}}, {0, 0, 0}],
      [{}, {1.0}, {2}, {1, 0}, {1, {2.0}}, {1, 1, 1}, {0, 0, 0, 0}, z]},
     {"lists", [[], [1], [1, 2], [1 | 2], "abc", [[]]],
      [[], [0], [1.0], [1.0, 2], [1 | 2.0], "ab", "abd", [[], []], <<>>]},
     {"binaries", [<<>>, <<0>>, <<0, 0>>, <<1:1>>, <<"a">>, <<"ab">>, <<255>>],
      [<<>>, <<0:1>>, <<0>>, <<1>>, <<1:1>>, <<"aa">>, <<"abc">>, <<255, 255>>, []]},
     {"pids", Pids, [self(), 1, {} | Pids]},
     {"references", Refs, [make_ref(), a | Refs]},
     {"maps", [#{}, #{a => 1}, #{a => 2.0}, #{b => 1}, #{1 => a}, #{1 => a, 2 => b}],
      [#{}, #{a => 1.0}, #{a => 2}, #{a => 3}, #{1.0 => a}, #{c => 1, d => 1}, [], {}]},
     {"funs", [fun lists:map/2, fun erlang:self/0], [fun lists:map/2, fun lists:nth/2, a, {}]},
     {"long keys", [binary:copy(<<"x">>, N) || N <- [700, 760, 770, 1000, 4000, 5000, 70000]],
      [binary:copy(<<"x">>, N) || N <- [1, 760, 765, 4000, 4999, 5000, 5001]] ++ [<<"y">>, a]},
     {"mixed", [1, 2.5, a, hd(Refs), fun lists:map/2, hd(Pids), {1}, #{a => 1}, [], [1], <<"a">>],
      [0, 1.0, 3, b, hd(Refs), self(), {1.0}, #{}, [1.0], <<>>, <<"b">>]}].

table(Options) ->
    xets:new(table, [ordered_set, public | Options]).

%% A table with an object for each key, and its objects in order. Some are kept in their segments,
%% others outside.
filled(Keys, Options) ->
    T = table(Options),
    KeyPos = xets:info(T, keypos),
    Numbered = lists:zip(lists:seq(1, length(Keys)), Keys),
    Objects = [object(KeyPos, Key, I) || {I, Key} <- Numbered],
    xets:insert(T, shuffled(Objects)),
    Sorted = lists:sort(fun(A, B) -> element(KeyPos, A) =< element(KeyPos, B) end, Objects),
    {T, KeyPos, Sorted}.

object(1, Key, I) -> {Key, I, value(I)};
object(2, Key, I) -> {value(I), Key, I}.

value(I) when I rem 5 =:= 0 -> lists:seq(1, 500);
value(I) when I rem 5 =:= 1 -> #{I => [<<I:800>>]};
value(I) -> I.

shuffled(Objects) ->
    [Object || {_, Object} <- lists:keysort(1, [{erlang:phash2(I), Object}
                                                || {I, Object} <- lists:zip(
                                                        lists:seq(1, length(Objects)), Objects)])].

%% The same terms: of equal numbers the same ones.
is_same(Expected, Found) ->
    case Found =:= Expected andalso term_to_binary(Found) =:= term_to_binary(Expected) of
        true -> ok;
        false -> ?assertEqual(Expected, Found), ?assert(terms_differ)
    end.

%% Whether the pages that begin with this one have the expected objects, each as many as the limit.
is_paged([], _Limit, Page) ->
    ?assertEqual('$end_of_table', Page);
is_paged(Expected, Limit, {Page, More}) ->
    is_same(lists:sublist(Expected, Limit), Page),
    case length(Expected) < Limit of
        true -> ?assertEqual('$end_of_table', More);
        false -> is_paged(lists:nthtail(Limit, Expected), Limit, xets:range(More))
    end;
is_paged(Expected, _Limit, Page) ->
    ?assertEqual({Expected, more}, Page).

title(What, Name, Options) ->
    lists:flatten(io_lib:format("~s, ~s ~0p", [What, Name, Options])).

%%% Equal keys

%% Beside ets, after each of the calls.
equal_keys_test_() ->
    [{lists:flatten(io_lib:format("~0p and ~0p", [A, B])), fun() -> equal_keys(A, B) end}
     || {A, B} <- equal_pairs()].

equal_pairs() ->
    Pairs = [{1, 1.0}, {0.0, xets_terms:negative_zero()}, {0, xets_terms:negative_zero()},
             {1 bsl 70, float(1 bsl 70)}, {{1}, {1.0}}, {{a, [2, {3.0}]}, {a, [2.0, {3}]}},
             {[1], [1.0]}, {[a | 1], [a | 1.0]}, {#{a => 1}, #{a => 1.0}},
             {{self(), 1}, {self(), 1.0}}, {{1, #{a => [1]}}, {1.0, #{a => [1.0]}}},
             {{binary:copy(<<"x">>, 5000), 1}, {binary:copy(<<"x">>, 5000), 1.0}},
             {{binary:copy(<<"x">>, 2000), 1}, {binary:copy(<<"x">>, 2000), 1.0}}],
    Pairs ++ [{B, A} || {A, B} <- Pairs].

equal_keys(A, B) ->
    Calls =
        [{insert, [{A, 1, x}]}, {lookup, [B]}, {member, [B]}, {lookup_element, [B, 1]},
         {first, []}, {next, [B]}, {prev, [B]}, {insert_new, [{B, 2, y}]}, {insert_new, [[{B, 2}]]},
         {update_counter, [B, {2, 5}]}, {update_counter, [B, [{2, 1}, {2, 1 bsl 70}], {B, 0}]},
         {update_element, [B, {3, z}]}, {update_element, [B, [{3, zz}, {2, 7}]]},
         {delete_object, [{B, 7, zz}]}, {insert, [{B, 8}]}, {delete_object, [{A, 8}]},
         {insert, [[{A, 9}, {B, 10}]]}, {insert, [[{B, 11}, {A, 12}]]}, {delete_object, [{A, 12}]},
         {insert_new, [[{A, 13}, {B, 14}]]}, {take, [A]}, {take, [B]},
         {update_counter, [B, 3, {A, 100}]}, {update_counter, [A, 3, {A, 100}]},
         {update_counter, [A, 1 bsl 80, {A, 100}]}, {delete, [A]},
         {update_counter, [A, 1 bsl 80, {B, 100}]}, {delete, [B]}],
    Ets = ets:new(table, [ordered_set]),
    Xets = table([]),
    [begin
         Expected = outcome(fun() -> apply(ets, Function, [Ets | Args]) end),
         Outcome = outcome(fun() -> apply(xets, Function, [Xets | Args]) end),
         is_same([{Function, Args}, Expected], [{Function, Args}, Outcome]),
         is_same([{Function, Args}, ets:tab2list(Ets)], [{Function, Args}, xets:tab2list(Xets)])
     end || {Function, Args} <- Calls],
    ets:delete(Ets),
    xets:delete(Xets).

%% Ours, by equal keys.
equal_keys_ours_test() ->
    T = table([]),
    xets:insert(T, [{1, a}, {{2.0}, b}, {[3], c}]),
    is_same([{1, a}], xets:range(T, 1.0, 1.0)),
    is_same([{{2.0}, b}], xets:prefix(T, {2})),
    is_same([{[3], c}], xets:prefix(T, [3.0])),
    is_same([1, 2, 3], [xets:rank(T, Key) || Key <- [1.0, {2}, [3.0]]]),
    is_same({1, a}, xets:put_new(T, {1.0, x})),
    is_same([[{1, a}], [{{2.0}, b}]], xets:lookup_many(T, [1.0, {2}])),
    is_same({1, a}, xets:lookup_elements(T, 1.0, {1, 2})),
    is_same([[{1, a}], [], [{[3], c}]], xets:take_many(T, [1.0, 1, [3.0]])),
    true = xets:delete_many(T, [{2}]),
    is_same([], xets:tab2list(T)),
    xets:delete(T).

%%% Neighbours

%% next and prev of terms of all kinds, keys or not, beside ets; slots, which are positions.
neighbours_test_() ->
    [{timeout, 60, {title("neighbours", Name, []), fun() -> neighbours(Keys, Keys ++ Ends) end}}
     || {Name, Keys, Ends} <- [all_kinds() | few_keys()]].

all_kinds() ->
    Terms = [Term || {_, Term} <- xets_terms:samples()],
    {Keys, Others} = lists:partition(fun({I, _}) -> I rem 2 =:= 0 end,
                                     lists:zip(lists:seq(1, length(Terms)), Terms)),
    {"all kinds", [Key || {_, Key} <- Keys], [Other || {_, Other} <- Others]}.

neighbours(Keys, Terms) ->
    Ets = ets:new(table, [ordered_set]),
    Xets = table([]),
    [begin ets:insert(Ets, {Key, 1}), xets:insert(Xets, {Key, 1}) end || Key <- Keys],
    is_same([ets:first(Ets), ets:last(Ets)], [xets:first(Xets), xets:last(Xets)]),
    [begin
         is_same([Term, ets:next(Ets, Term)], [Term, xets:next(Xets, Term)]),
         is_same([Term, ets:prev(Ets, Term)], [Term, xets:prev(Xets, Term)]),
         is_same([Term, with_object(ets:next(Ets, Term))], [Term, xets:next_lookup(Xets, Term)]),
         is_same([Term, with_object(ets:prev(Ets, Term))], [Term, xets:prev_lookup(Xets, Term)])
     end || Term <- Terms],
    [is_same([I, outcome(fun() -> ets:slot(Ets, I) end)],
             [I, outcome(fun() -> xets:slot(Xets, I) end)])
     || I <- lists:seq(-1, ets:info(Ets, size) + 2)],
    is_same(ets:tab2list(Ets), xets:tab2list(Xets)),
    is_same(ets:tab2list(Ets), xets:range(Xets, 1, 1, [{from, unbounded}, {to, unbounded}])),
    xets:delete(Xets),
    ets:delete(Ets).

with_object('$end_of_table') -> '$end_of_table';
with_object(Key) -> {Key, [{Key, 1}]}.

%%% Errors

%% Calls that succeed on an ordered_set.
calls() ->
    [{range, [1, 2]}, {range, [1, 2, []]}, {prefix, [{}]}, {prefix, [[], [{limit, 1}]]},
     {count, [1, 2]}, {count, [1, 2, []]}, {nth, [1]}, {rank, [1]}, {first_n, [1]}, {last_n, [0]},
     {take_first, []}, {take_last, []}].

other_types_test_() ->
    [fun() ->
             T = xets:new(table, [Type]),
             ?assertEqual(#{1 => not_of_type()}, texts(xets, Function, [T | Args])),
             xets:delete(T)
     end || Type <- [set, bag, duplicate_bag], {Function, Args} <- calls()].

no_table_test_() ->
    [?_assertEqual(#{1 => Text}, texts(xets, Function, [Table | Args]))
     || {Table, Text} <- [{17, <<"not an atom or a table identifier">>},
                          {xets_order_nobody, no_table()},
                          {make_ref(), <<"not a valid table identifier">>}],
        {Function, Args} <- calls()].

no_access_test_() ->
    [fun() -> no_access(Access, Function, Args) end
     || Access <- [private, protected], {Function, Args} <- calls()].

no_access(Access, Function, Args) ->
    Actor = xets_test_lib:actor(),
    T = xets_test_lib:run(Actor, fun() -> xets:new(table, [ordered_set, Access]) end),
    case Access =:= private orelse lists:member(Function, [take_first, take_last]) of
        true -> ?assertEqual(#{1 => no_access()}, texts(xets, Function, [T | Args]));
        false -> ?assertMatch({value, _}, outcome(fun() -> apply(xets, Function, [T | Args]) end))
    end,
    xets_test_lib:stop(Actor).

wrong_arguments_test_() ->
    [fun() ->
             T = table([]),
             ?assertEqual({Function, Args, Texts},
                          {Function, Args, texts(xets, Function, [T | Args])}),
             xets:delete(T)
     end || {Function, Args, Texts} <- wrong()].

wrong() ->
    Invalid = <<"invalid options">>,
    NotAPrefix = #{2 => <<"not a tuple, a proper list or a binary">>},
    [{Function, Before ++ [Options], #{No => Text}}
     || {Function, Before, No} <- [{range, [1, 2], 4}, {prefix, [{}], 3}, {count, [1, 2], 4}],
        {Options, Text} <- [{a, <<"not a list">>}, {[reverse | a], <<"not a proper list">>},
                            {[{limit, 0}], Invalid}, {[{limit, -1}], Invalid},
                            {[{limit, 1.0}], Invalid}, {[{limit, infinity}], Invalid},
                            {[{reverse, 1}], Invalid}, {[{from, open}], Invalid},
                            {[{to, 1}], Invalid}, {[limit], Invalid},
                            {[{from, inclusive, 1}], Invalid}, {[[]], Invalid}, {[a], Invalid}]] ++
        [{prefix, [{}, [{from, exclusive}]], #{3 => Invalid}},
         {prefix, [{}, [{to, unbounded}]], #{3 => Invalid}},
         {count, [1, 2, [reverse]], #{4 => Invalid}},
         {count, [1, 2, [{limit, 1}]], #{4 => Invalid}},
         {count, [1, 2, [{reverse, false}]], #{4 => Invalid}}] ++
        [{prefix, [P], NotAPrefix} || P <- [a, 1, 1.0, self(), #{}, [1 | 2], <<1:1>>]] ++
        [{nth, [I], #{2 => Text}}
         || {I, Text} <- [{0, <<"out of range">>}, {-1, <<"out of range">>},
                          {-1 bsl 70, <<"out of range">>}, {a, <<"not an integer">>},
                          {1.0, <<"not an integer">>}]] ++
        [{Function, [N], #{2 => Text}}
         || Function <- [first_n, last_n],
            {N, Text} <- [{-1, <<"out of range">>}, {-1 bsl 70, <<"out of range">>},
                          {infinity, <<"not an integer">>}, {1.0, <<"not an integer">>}]].

no_table() -> <<"the table identifier does not refer to an existing table">>.
no_access() -> <<"the table identifier refers to a table with insufficient access rights">>.
not_of_type() ->
    <<"the table identifier refers to a table of a type not supported by this operation">>.
