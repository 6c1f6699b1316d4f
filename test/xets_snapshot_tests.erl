%% Snapshots: what they have while their table changes, who may do what with them, how they end,
%% what they cost.
-module(xets_snapshot_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [actor/0, run/2, call/4, kill/1, stop/1, eventually/1, settled/0, texts/3,
                        small/2]).
-import(xets_terms, [samples/0]).

-define(BADARG, {'EXIT', {badarg, _}}).

%%% What a snapshot has

types() -> [set, ordered_set, bag, duplicate_bag].

tables() ->
    [{lists:concat([Type, Rest]), [Type | Options]}
     || Type <- types(), {Rest, Options} <- [{"", []}, {", compressed", [compressed]}]].

%% Everything that can be read of a table stays the same in its snapshot, whatever is done to
%% the table.
stays_test_() ->
    [{Name, {timeout, 60, fun() -> stays(Options) end}} || {Name, Options} <- tables()].

stays(Options) ->
    T = xets:new(table, Options),
    Objects = objects(),
    true = xets:insert(T, Objects),
    true = xets:insert(T, [{key, N, N} || N <- lists:seq(1, 300)]),
    Keys = keys(),
    Had = read(T, Keys),
    S = xets:snapshot(T),
    ?assertEqual(Had, read(S, Keys)),
    [begin
         %% This one shares all that is changed.
         Latest = xets:snapshot(T),
         Has = read(Latest, Keys),
         Change(T),
         ?assertEqual(Has, read(Latest, Keys)),
         ?assertEqual(Had, read(S, Keys)),
         true = xets:delete(Latest)
     end || Change <- changes()],
    true = xets:delete(T),
    ?assertEqual(Had, read(S, Keys)),
    true = xets:delete(S).

%% Of all kinds, some in blobs, some with terms in environments, enough for several segments.
objects() ->
    [{{sample, Name}, Term, 1} || {Name, Term} <- samples(), erts_debug:flat_size(Term) < 10000]
        ++ [{I, I, I} || I <- lists:seq(1, 2000)]
        ++ [{float(I), <<I:800>>, I} || I <- lists:seq(3000, 3300)]
        ++ [{{large, I}, binary:copy(<<I>>, 20000), lists:seq(1, 1000)} || I <- lists:seq(1, 20)]
        ++ [{{<<I:6000>>, I}, I, I} || I <- lists:seq(1, 20)].

keys() ->
    [1, 17, 17.0, 2000, 2001, 3000.0, 3000, {large, 3}, {<<7:6000>>, 7}, {sample, "atom"}, key,
     nothing].

changes() ->
    [fun(T) -> xets:insert(T, {1, changed, changed}) end,
     fun(T) -> xets:insert(T, [{I, changed, changed} || I <- lists:seq(1, 500)]) end,
     fun(T) -> xets:insert_new(T, [{{new, I}, I, I} || I <- lists:seq(1, 500)]) end,
     fun(T) -> xets:delete(T, 17) end,
     fun(T) -> xets:take(T, {large, 3}) end,
     fun(T) -> xets:delete_many(T, lists:seq(600, 900)) end,
     fun(T) -> xets:delete_object(T, {1000, 1000, 1000}) end,
     fun(T) -> unless_bag(T, fun() -> xets:update_counter(T, 1001, {2, 5}) end) end,
     fun(T) -> unless_bag(T, fun() -> xets:update_element(T, 1002, {2, "longer than it was"}) end)
     end,
     fun(T) -> if_ordered(T, fun() -> {xets:take_first(T), xets:take_last(T)} end) end,
     fun(T) -> xets:insert(T, {{large, 4}, binary:copy(<<1>>, 30000), []}) end,
     fun(T) -> 11 = xets:select_delete(T, numbers(1100, 1110, true)) end,
     fun(T) -> 11 = length(xets:select_take(T, numbers(1200, 1210, true))) end,
     fun(T) ->
             Spec = numbers(1300, 1310, {{'$1', {{'$1', changed}}, '$3'}}),
             xets:info(T, type) =:= bag orelse (11 = xets:select_replace(T, Spec))
     end,
     fun(T) -> xets:match_delete(T, {1400, '_', '_'}) end,
     fun(T) -> unless_bag(T, fun() -> update(T, 1401) end) end,
     fun(T) -> xets:delete_all_objects(T) end,
     fun(T) -> xets:insert(T, objects()) end].

numbers(From, To, Result) ->
    [{{'$1', '$2', '$3'}, [{is_integer, '$1'}, {'>=', '$1', From}, {'=<', '$1', To}], [Result]}].

update(T, Key) ->
    {Key, changed, _} = xets:update(T, Key, [{{'$1', '_', '$3'}, [], [{{'$1', changed, '$3'}}]}]).

unless_bag(T, Fun) -> lists:member(xets:info(T, type), [set, ordered_set]) andalso Fun().

if_ordered(T, Fun) -> xets:info(T, type) =:= ordered_set andalso Fun().

%% What every function that reads says of a table.
read(T, Keys) ->
    Type = xets:info(T, type),
    {xets:info(T, size), [xets:info(T, Item) || Item <- [type, keypos, compressed, name]],
     xets:tab2list(T),
     [{xets:member(T, Key), xets:lookup(T, Key),
       catch_(fun() -> xets:lookup_element(T, Key, 2) end),
       xets:lookup_element(T, Key, 2, default),
       catch_(fun() -> xets:lookup_elements(T, Key, {3, 2}) end)} || Key <- Keys],
     xets:lookup_many(T, Keys),
     traverse(T, xets:first(T), fun xets:next/2), traverse(T, xets:last(T), fun xets:prev/2),
     [xets:first_lookup(T), xets:last_lookup(T), catch_(fun() -> xets:next_lookup(T, 1) end),
      catch_(fun() -> xets:prev_lookup(T, 1) end)],
     slots(T, 0),
     matches(T),
     [in_order(T) || Type =:= ordered_set]}.

matches(T) ->
    Spec = [{{'$1', '$2', '$3'}, [{is_integer, '$3'}, {'>', '$3', 1985}], [{{'$3', '$1'}}]}],
    Key = {17, '_', '_'},
    {xets:match(T, {'$1', '_', 5}), xets:match_object(T, Key), xets:match_object(T, {'_', '_', 20}),
     xets:select(T, Spec), xets:select_reverse(T, Spec), xets:select_count(T, Spec),
     pages(xets:match(T, {'$1', '_', 1}, 7), fun xets:match/1),
     pages(xets:match_object(T, {'_', '_', 1}, 7), fun xets:match_object/1),
     pages(xets:select(T, Spec, 7), fun xets:select/1),
     pages(xets:select_reverse(T, Spec, 7), fun xets:select_reverse/1),
     xets:explain(T, Spec), xets:explain(T, [{Key, [], ['$_']}])}.

in_order(T) ->
    {xets:range(T, 10, 20), pages(xets:range(T, none, {sample, "zero"},
                                             [{from, unbounded}, reverse, {limit, 300}]),
                                  fun xets:range/1),
     xets:prefix(T, {sample}), xets:count(T, 5, 1500), [xets:nth(T, I) || I <- [1, 2, 700]],
     xets:rank(T, 1500), xets:first_n(T, 3), xets:last_n(T, 3)}.

pages('$end_of_table', _Next) -> [];
pages({Objects, Continuation}, Next) -> [Objects | pages(Next(Continuation), Next)].

traverse(_T, '$end_of_table', _Next) -> [];
traverse(T, Key, Next) -> [Key | traverse(T, Next(T, Key), Next)].

slots(T, I) ->
    case xets:slot(T, I) of
        '$end_of_table' -> [];
        Objects -> [Objects | slots(T, I + 1)]
    end.

catch_(Fun) ->
    try Fun() catch error:badarg -> badarg end.

%% So many objects that a dirty scheduler takes it, and that two versions are not the same.
large_test_() ->
    {timeout, 60, fun large/0}.

large() ->
    T = xets:new(table, []),
    N = small(25000, 18000),
    Filling = lists:duplicate(400, 1000),
    Insert = fun(Tag) -> xets:insert(T, [{I, Tag, Filling} || I <- lists:seq(1, N)]) end,
    Insert(one),
    ?assert(maps:get(segments, xets:info(T, xets)) > 250),
    One = xets:snapshot(T),
    Insert(two),
    Two = xets:snapshot(T),
    true = xets:delete_all_objects(T),
    [?assertEqual(lists:duplicate(N, Tag), [element(2, O) || O <- xets:tab2list(S)])
     || {S, Tag} <- [{One, one}, {Two, two}]],
    ?assertEqual({N, N, 0}, {xets:info(One, size), xets:info(Two, size), xets:info(T, size)}).

of_an_empty_table_test_() ->
    [{atom_to_list(Type),
      fun() ->
              T = xets:new(table, [Type]),
              S = xets:snapshot(T),
              true = xets:insert(T, {1}),
              ?assertEqual({0, [], '$end_of_table', false},
                           {xets:info(S, size), xets:tab2list(S), xets:first(S),
                            xets:member(S, 1)})
      end} || Type <- types()].

of_a_snapshot_test() ->
    T = xets:new(table, []),
    true = xets:insert(T, {1, one}),
    S = xets:snapshot(T),
    true = xets:insert(T, {1, two}),
    S2 = xets:snapshot(S),
    true = xets:delete(S),
    true = xets:delete(T),
    ?assertEqual([{1, one}], xets:lookup(S2, 1)).

%% A fixed table: what has been deleted is not in it any more, and it is not fixed itself.
of_a_fixed_table_test() ->
    T = xets:new(table, []),
    true = xets:insert(T, [{I} || I <- lists:seq(1, 100)]),
    true = xets:safe_fixtable(T, true),
    true = xets:delete(T, 50),
    S = xets:snapshot(T),
    ?assertEqual({true, false}, {xets:info(T, fixed), xets:info(S, fixed)}),
    ?assertError(badarg, xets:next(S, 50)),
    true = xets:safe_fixtable(S, true),
    ?assertEqual([{self(), 1}], element(2, xets:info(S, safe_fixed))),
    ?assertEqual(99, length(traverse(S, xets:first(S), fun xets:next/2))),
    true = xets:safe_fixtable(S, false),
    ?assertEqual(false, xets:info(S, safe_fixed)).

named_test() ->
    T = xets:new(xets_snapshot_named, [named_table, {keypos, 2}]),
    S = xets:snapshot(T),
    ?assertEqual(xets:whereis(T), xets:info(T, id)),
    ?assert(is_reference(S)),
    ?assertEqual({xets_snapshot_named, false, 2},
                 {xets:info(S, name), xets:info(S, named_table), xets:info(S, keypos)}),
    true = xets:delete(T),
    ?assertEqual(undefined, xets:whereis(xets_snapshot_named)),
    ?assertEqual(0, xets:info(S, size)).

%%% Rights

info_test() ->
    T = xets:new(table, [public, {write_concurrency, true}]),
    S = xets:snapshot(T),
    ?assertEqual({protected, self(), none, true, true, S},
                 {xets:info(S, protection), xets:info(S, owner), xets:info(S, heir),
                  xets:info(S, write_concurrency), xets:info(S, snapshot), xets:info(S, id)}),
    OfTables = [{Item, xets:info(S, Item)} || {Item, _} <- xets:info(T)],
    ?assertEqual([{snapshot, true}], xets:info(S) -- OfTables),
    ?assertEqual(false, xets:info(T, snapshot)),
    ?assertNot(lists:keymember(snapshot, 1, xets:info(T))),
    ?assertNot(lists:member(S, xets:all())),
    true = xets:delete(S),
    ?assertEqual({undefined, undefined}, {xets:info(S), xets:info(S, snapshot)}).

%% Nobody can change it, also not who made it, nor the owner of the table.
writes_test_() ->
    [{lists:concat([Function, "/", length(Args) + 1]),
      fun() ->
              T = xets:new(table, [public, ordered_set]),
              true = xets:insert(T, {k, 1, a}),
              S = xets:snapshot(T),
              ?assertEqual(#{1 => said("a snapshot, which cannot be changed")},
                           maps:with([1], texts(xets, Function, [S | Args]))),
              Other = actor(),
              ?assertMatch({error, badarg}, call(Other, xets, Function, [S | Args])),
              stop(Other),
              ?assertEqual([{k, 1, a}], xets:tab2list(S))
      end}
     || {Function, Args} <-
            [{insert, [{k, 1}]}, {insert, [[{k, 1}, {l, 1}]]}, {insert, [[]]},
             {insert_new, [{l, 1}]}, {put_new, [{l, 1}]}, {delete, [k]}, {delete_many, [[k]]},
             {delete_object, [{k, 1, a}]}, {delete_all_objects, []}, {take, [k]},
             {take_many, [[k]]}, {take_first, []}, {take_last, []}, {update_counter, [k, 1]},
             {update_counter, [k, 1, {k, 0}]}, {update_element, [k, {2, b}]},
             {update_element, [k, {2, b}, {k, 0}]}, {rename, [other]}, {setopts, [{heir, none}]},
             {match_delete, ['_']}, {match_delete, [{k, 1, a}]}, {match_delete, [{l, '_'}]},
             {select_delete, [all(true)]}, {select_delete, [[{{l, '_'}, [], [true]}]]},
             {select_take, [all(true)]}, {select_replace, [all({{'$1', 2, '$3'}})]},
             {update, [k, all({{'$1', 2, '$3'}})]}, {give_away, [actor(), gift]}]].

all(Result) -> [{{'$1', '$2', '$3'}, [], [Result]}].

said(What) -> list_to_binary("the table identifier refers to " ++ What).

%% Who may read the table may take one; whoever has it may read it.
rights_test() ->
    T = xets:new(table, [private]),
    true = xets:insert(T, {1}),
    S = xets:snapshot(T),
    Other = actor(),
    ?assertEqual({error, badarg}, call(Other, xets, snapshot, [T])),
    ?assertEqual({value, [{1}]}, call(Other, xets, lookup, [S, 1])),
    ?assertMatch({value, _}, call(Other, xets, snapshot, [S])),
    stop(Other).

what_a_failed_call_says_test() ->
    Same = fun(Table) ->
                   ?assertEqual(texts(ets, member, [Table, 1]), texts(xets, snapshot, [Table]))
           end,
    [Same(Table) || Table <- [17, xets_snapshot_nobody, make_ref()]],
    T = xets:new(table, [private]),
    Other = actor(),
    ?assertEqual(#{1 => said("a table with insufficient access rights")},
                 run(Other, fun() -> texts(xets, snapshot, [T]) end)),
    stop(Other).

deleted_by_its_maker_test() ->
    T = xets:new(table, []),
    S = xets:snapshot(T),
    Other = actor(),
    ?assertEqual(#{1 => said("a snapshot that another process has made")},
                 run(Other, fun() -> texts(xets, delete, [S]) end)),
    S2 = run(Other, fun() -> xets:snapshot(S) end),
    ?assertError(badarg, xets:delete(S2)),
    ?assertEqual({value, true}, call(Other, xets, delete, [S2])),
    true = xets:delete(S),
    ?assertError(badarg, xets:delete(S)),
    ?assertError(badarg, xets:lookup(S, 1)),
    ?assertEqual({error, badarg}, call(Other, xets, lookup, [S, 1])),
    stop(Other).

%%% How it ends

objects(N) -> [{I, I, lists:seq(1001, 1100)} || I <- lists:seq(1, N)].

filled(N) ->
    T = xets:new(table, [public]),
    true = xets:insert(T, objects(N)),
    T.

bytes() -> maps:get(bytes, xets:info()).

%% The memory that others take: without snapshots that are garbage of tests before.
before() ->
    erlang:garbage_collect(),
    maps:get(bytes, settled()).

%% Until the memory is what it was before.
comes_back(Before) ->
    eventually(fun() -> erlang:garbage_collect(), bytes() =< Before end).

garbage_test_() ->
    {timeout, 60, fun garbage/0}.

garbage() ->
    Before = before(),
    T = filled(3000),
    Holder = actor(),
    run(Holder, fun() ->
                        S = xets:snapshot(T),
                        put(snapshot, S),
                        true = xets:delete_all_objects(T),
                        true = xets:safe_fixtable(S, true)
                end),
    ?assert(bytes() > Before + 3000 * 100),
    ?assertEqual(3000, run(Holder, fun() -> length(xets:tab2list(get(snapshot))) end)),
    true = xets:delete(T),
    ?assertEqual(3000, run(Holder, fun() -> xets:info(get(snapshot), size) end)),
    run(Holder, fun() -> erase(snapshot), erlang:garbage_collect() end),
    comes_back(Before),
    stop(Holder).

%% The maker is dead, the owner of the table is dead, and others have it.
outlives_test() ->
    Before = before(),
    elsewhere(fun outlives/0),
    comes_back(Before).

outlives() ->
    Owner = actor(),
    Maker = actor(),
    T = run(Owner, fun() -> filled(1000) end),
    S = run(Maker, fun() -> xets:snapshot(T) end),
    kill(Owner),
    ?assertEqual(undefined, xets:info(T)),
    ?assertEqual(1000, xets:info(S, size)),
    kill(Maker),
    ?assertEqual(objects(1000), lists:sort(xets:tab2list(S))),
    ?assertError(badarg, xets:delete(S)),
    Reader = actor(),
    run(Reader, fun() -> true = xets:safe_fixtable(S, true) end),
    ?assertEqual(true, xets:info(S, fixed)),
    kill(Reader),
    ?assertEqual(false, xets:info(S, fixed)).

%% An object of a table refers to it, be it of the table that it was taken of.
kept_in_a_table_test() ->
    Before = before(),
    T = filled(500),
    elsewhere(fun() -> true = xets:insert(T, {snapshot, xets:snapshot(T)}) end),
    true = xets:delete_many(T, lists:seq(1, 500)),
    erlang:garbage_collect(),
    ?assertEqual(500, elsewhere(fun() -> xets:info(xets:lookup_element(T, snapshot, 2), size) end)),
    true = xets:delete(T),
    comes_back(Before).

elsewhere(Fun) ->
    Actor = actor(),
    Result = run(Actor, Fun),
    stop(Actor),
    Result.

%% A process that is killed while it takes one, or reads one, leaves nothing behind.
killed_test_() ->
    {timeout, 60, fun killed/0}.

killed() ->
    Before = before(),
    T = filled(small(30000, 5000)),
    Loop = fun Loop() ->
                   S = xets:snapshot(T),
                   _ = xets:tab2list(S),
                   Loop()
           end,
    [begin
         Pid = spawn(Loop),
         [xets:insert(T, {I, Round, changed}) || I <- lists:seq(1, 50 * Round)],
         kill(Pid)
     end || Round <- lists:seq(1, 20)],
    true = xets:delete(T),
    comes_back(Before).

%%% What it costs

memory_test_() ->
    [{atom_to_list(Type), {timeout, 60, fun() -> memory(Type) end}} || Type <- types()].

memory(Type) ->
    Before = before(),
    T = xets:new(table, [Type]),
    true = xets:insert(T, [{I, I, lists:duplicate(200, 1000)} || I <- lists:seq(1, 5000)]),
    #{bytes := Full} = settled(),
    Own = xets:info(T, memory),
    S = xets:snapshot(T),
    ?assertEqual(Own, xets:info(T, memory)),
    Shared = xets:info(S, memory),
    ?assert(Shared < Own div 10),
    true = xets:insert(T, {1, 1, changed}),
    OnePiece = xets:info(S, memory),
    ?assert(OnePiece > Shared),
    ?assert(OnePiece =< Shared + 65536 div 8),
    true = xets:delete_all_objects(T),
    eventually(fun() -> xets:info(S, memory) > Own - Own div 10 end),
    ?assert(xets:info(S, memory) < Own + Shared + Own div 10),
    #{bytes := Left} = settled(),
    ?assert(Left >= Full - 100000),
    true = xets:delete(S),
    true = xets:delete(T),
    comes_back(Before).

%% Large objects are shared piece by piece.
large_objects_test() ->
    Before = before(),
    T = xets:new(table, []),
    true = xets:insert(T, [{I, lists:seq(1, 10000)} || I <- lists:seq(1, 20)]),
    Own = xets:info(T, memory),
    S = xets:snapshot(T),
    true = xets:insert(T, {21, 21}),
    true = xets:delete(T, 1),
    Some = xets:info(S, memory),
    ?assert(Some < Own div 4),
    true = xets:delete_many(T, lists:seq(1, 20)),
    eventually(fun() -> xets:info(S, memory) > Own - Own div 10 end),
    ?assertEqual(lists:duplicate(20, lists:seq(1, 10000)), [L || {_, L} <- xets:tab2list(S)]),
    true = xets:delete(S),
    true = xets:delete(T),
    comes_back(Before).

%%% Others write meanwhile

-define(ACCOUNTS, 50).
-define(BALANCE, 100).

%% Money is moved between two rows by list writes: no snapshot has it twice, or not at all.
transfers_test_() ->
    [{atom_to_list(Type), {timeout, 60, fun() -> transfers(Type) end}}
     || Type <- [set, ordered_set]].

transfers(Type) ->
    T = xets:new(accounts, [Type, public]),
    Writers = 3,
    true = xets:insert(T, [{{W, A}, ?BALANCE} || W <- lists:seq(1, Writers),
                                                 A <- lists:seq(1, ?ACCOUNTS)]),
    Pids = [spawn_link(fun() -> transfer(T, W) end) || W <- lists:seq(1, Writers)],
    Total = Writers * ?ACCOUNTS * ?BALANCE,
    [begin
         S = xets:snapshot(T),
         ?assertEqual(Total, sum(S)),
         erlang:yield(),
         ?assertEqual(Total, sum(S)),
         I rem 3 =:= 0 andalso xets:delete(S)
     end || I <- lists:seq(1, small(600, 100))],
    [begin unlink(Pid), kill(Pid) end || Pid <- Pids],
    ?assertEqual(Total, sum(T)).

transfer(T, W) ->
    A = {W, rand:uniform(?ACCOUNTS)},
    B = {W, rand:uniform(?ACCOUNTS)},
    [[{A, X}], [{B, Y}]] = xets:lookup_many(T, [A, B]),
    Amount = rand:uniform(X + 1) - 1,
    A =:= B orelse xets:insert(T, [{A, X - Amount}, {B, Y + Amount}]),
    transfer(T, W).

sum(T) -> lists:sum([Balance || {_, Balance} <- xets:tab2list(T)]).

%% Long lists, one after the other, by several processes: a snapshot is taken all the same, and has
%% all of a list or nothing.
long_lists_test_() ->
    {timeout, 60, fun long_lists/0}.

long_lists() ->
    T = xets:new(table, [public]),
    N = small(5000, 1000),
    Write = fun Write(Tag, Round) ->
                    true = xets:insert(T, [{{Tag, I}, Round} || I <- lists:seq(1, N)]),
                    Write(Tag, Round + 1)
            end,
    Pids = [spawn_link(fun() -> Write(Tag, 1) end) || Tag <- [a, b]],
    eventually(fun() -> xets:member(T, {a, 1}) andalso xets:member(T, {b, 1}) end),
    [begin
         S = xets:snapshot(T),
         Versions = lists:usort([{Tag, Round} || {{Tag, _}, Round} <- xets:tab2list(S)]),
         ?assertMatch([{a, _}, {b, _}], Versions),
         ?assertEqual(2 * N, xets:info(S, size))
     end || _ <- lists:seq(1, 20)],
    [begin unlink(Pid), kill(Pid) end || Pid <- Pids],
    true = xets:delete(T).
