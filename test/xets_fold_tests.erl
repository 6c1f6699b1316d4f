%% foldl/3 and foldr/3 beside those of ets: what the fun meets, in which order, when it changes the
%% table or other processes do, and what is raised.
-module(xets_fold_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [both/1, small/2, texts/3]).

-define(TYPES, [set, ordered_set, bag, duplicate_bag]).

%% Several chunks, and segments.
-define(MANY, small(5000, 1500)).

%%% Without changes

orders_test() ->
    [begin
         Objects = objects(Type, ?MANY),
         T = filled(xets, Type, Objects),
         Left = collect(foldl, T),
         Right = collect(foldr, T),
         ?assertEqual(lists:sort(Objects), lists:sort(Left)),
         check_order(Type, Left, Right, Objects),
         xets:delete(T)
     end || Type <- ?TYPES].

%% Sets: the same order in both directions. Ordered sets: that of keys, and its reverse. Bags: keys
%% in the same order; the objects of a key in the order of insertion, and its reverse.
check_order(set, Left, Right, _Objects) ->
    ?assertEqual(Left, Right);
check_order(ordered_set, Left, Right, _Objects) ->
    ?assertEqual(lists:sort(Left), Left),
    ?assertEqual(lists:reverse(Left), Right);
check_order(_Bag, Left, Right, Objects) ->
    Groups = groups(Left),
    ?assertEqual(length(Groups), length(lists:ukeysort(1, Groups))),
    ?assertEqual([{K, lists:reverse(Group)} || {K, Group} <- Groups], groups(Right)),
    Inserted = groups(lists:keysort(1, Objects)),
    ?assertEqual(Inserted, lists:keysort(1, Groups)).

%% Runs of objects with one key.
groups([Object | Objects]) ->
    Key = element(1, Object),
    {Same, Others} = lists:splitwith(fun(O) -> element(1, O) =:= Key end, Objects),
    [{Key, [Object | Same]} | groups(Others)];
groups([]) ->
    [].

%% Keys of one object, of several, and of so many that they are in several chunks and segments.
objects(Type, N) when Type =:= set; Type =:= ordered_set ->
    [{I, I * I} || I <- lists:seq(1, N)];
objects(Type, N) ->
    Large = [{{large, K}, I} || K <- [a, b], I <- lists:seq(N, 1, -1)],
    Several = [{I div 3, I rem Mod} || Mod <- [2, 7], I <- lists:seq(1, N)],
    Objects = Large ++ Several,
    case Type of
        bag -> unique(Objects, #{});
        duplicate_bag -> Objects
    end.

unique([O | Objects], Seen) when is_map_key(O, Seen) -> unique(Objects, Seen);
unique([O | Objects], Seen) -> [O | unique(Objects, Seen#{O => true})];
unique([], _) -> [].

empty_and_single_test_() ->
    both(fun(M) ->
                 [begin
                      T = M:new(t, [Type]),
                      ?assertEqual(acc, M:foldl(fun(_, _) -> bad end, acc, T)),
                      ?assertEqual([], collect(M, foldr, T)),
                      M:insert(T, {a, 1}),
                      ?assertEqual([{{a, 1}, acc}], M:foldl(fun(O, A) -> [{O, A}] end, acc, T)),
                      ?assertEqual([{{a, 1}, acc}], M:foldr(fun(O, A) -> [{O, A}] end, acc, T)),
                      M:delete(T)
                  end || Type <- ?TYPES]
         end).

keypos_and_kinds_of_keys_test() ->
    Keys = [1, 1.0, a, "text", <<"text">>, <<0:100000>>, {1, [2 | 3]}, #{a => 1}, self(),
            make_ref(), fun lists:map/2, 1 bsl 70, [], 0.0, lists:seq(1, 5000)],
    [begin
         T = xets:new(t, [Type, {keypos, 2}]),
         Objects = [{I, Key, x} || Key <- Keys, I <- [1, 2]],
         [xets:insert(T, O) || O <- Objects],
         [?assertEqual({[], []}, {xets:tab2list(T) -- Visited, Visited -- xets:tab2list(T)})
          || Visited <- [collect(foldl, T), collect(foldr, T)]],
         xets:delete(T)
     end || Type <- ?TYPES].

named_test() ->
    T = xets:new(xets_fold_named, [named_table]),
    xets:insert(T, {1}),
    ?assertEqual([{1}], collect(foldl, T)),
    % What becomes of the name meanwhile.
    Rename = fun(O, A) -> xets:rename(T, xets_fold_other), [O | A] end,
    ?assertEqual([{1}], xets:foldl(Rename, [], T)),
    ?assertEqual(false, xets:info(xets_fold_other, fixed)),
    xets:delete(xets_fold_other).

%%% With changes by the fun

%% Deterministic changes, on an ordered set: everything is as in ets.
ordered_changes_test() ->
    [?assertEqual({Fold, Name, changed(ets, Fold, Name)}, {Fold, Name, changed(xets, Fold, Name)})
     || Fold <- [foldl, foldr],
        Name <- [delete_ahead, delete_behind, insert_ahead, insert_behind, replace_ahead,
                 now_and_then, at_the_end, delete_all, clear, everything]].

changed(M, Fold, Name) ->
    N = 900,
    T = filled(M, ordered_set, [{I * 10, 0} || I <- lists:seq(1, N)]),
    Sign = case Fold of
               foldl -> 1;
               foldr -> -1
           end,
    Visited = M:Fold(fun({K, _} = O, A) ->
                             change(Name, M, T, K, Sign),
                             [O | A]
                     end, [], T),
    Result = {lists:reverse(Visited), M:tab2list(T), M:info(T, fixed)},
    M:delete(T),
    Result.

change(delete_ahead, M, T, K, Sign) ->
    M:delete(T, K + Sign * 10);
change(delete_behind, M, T, K, _Sign) ->
    M:delete(T, K);
change(insert_ahead, M, T, K, Sign) when K rem 10 =:= 0 ->
    M:insert(T, [{K + Sign * 5, new}, {K + Sign * 3005, new}]);
change(insert_behind, M, T, K, Sign) when K rem 10 =:= 0 ->
    M:insert(T, {K - Sign * 5, new});
change(replace_ahead, M, T, K, Sign) ->
    [M:insert(T, {K1, {from, K}}) || K1 <- [K + Sign * 10, K + Sign * 20], M:member(T, K1)];
change(now_and_then, M, T, K, Sign) when K rem 1000 =:= 0 ->
    M:insert(T, {K + Sign * 5, new}),
    M:delete(T, K + Sign * 20);
change(at_the_end, M, T, K, Sign) when Sign > 0, K >= 9000, K < 9050; Sign < 0, K =< 10, K > -50 ->
    M:insert(T, {K + Sign * 5.5, new});
change(delete_all, M, T, 3000, _Sign) ->
    M:delete_all_objects(T);
change(clear, M, T, 3000, Sign) ->
    M:delete_all_objects(T),
    Again = [2000 - Sign * 100, 3000, 3000 + Sign * 500, 3000 + Sign * 505],
    [M:insert(T, {K, again}) || K <- Again];
change(everything, M, T, K, Sign) ->
    Names = [delete_ahead, delete_behind, insert_ahead, insert_behind, replace_ahead],
    change(lists:nth(1 + erlang:phash2(K, 5), Names), M, T, K, Sign);
change(_, _, _, _, _) ->
    ok.

%% In other tables the order is another one in ets: what holds whatever the order is.
deleted_do_not_come_test_() ->
    both(fun(M) ->
                 N = 1500,
                 T = filled(M, set, [{I, I} || I <- lists:seq(1, N)]),
                 Delete = fun({K, _}, {Deleted, Seen}) ->
                                  ?assertNot(is_map_key(K, Deleted)),
                                  Other = 1 + erlang:phash2(K, N),
                                  M:delete(T, Other),
                                  {Deleted#{Other => true}, Seen#{K => true}}
                          end,
                 {Deleted, Seen} = M:foldl(Delete, {#{}, #{}}, T),
                 ?assertEqual(lists:seq(1, N), lists:sort(maps:keys(maps:merge(Deleted, Seen)))),
                 M:delete(T)
         end).

%% All objects of a key, as they were when the first came; those of keys that are deleted do not
%% come; each key comes once.
bag_changes_test_() ->
    both(fun(M) ->
                 [begin
                      T = filled(M, Type, objects(Type, 1500)),
                      Before = maps:from_list([{K, M:lookup(T, K)} || {K, _} <- M:tab2list(T)]),
                      Fun = fun({K, _} = O, A) -> change_bag(M, T, K), [O | A] end,
                      Visited = case Fold of
                                    foldl -> groups(lists:reverse(M:foldl(Fun, [], T)));
                                    foldr -> groups(M:foldr(Fun, [], T))
                                end,
                      ?assertEqual(length(Visited), length(lists:ukeysort(1, Visited))),
                      ?assertEqual(maps:filter(fun is_untouched/2, Before),
                                   maps:filter(fun is_untouched/2, maps:from_list(Visited))),
                      M:delete(T)
                  end || Type <- [bag, duplicate_bag], Fold <- [foldl, foldr]]
         end).

%% Changes the key itself, others, and inserts.
change_bag(M, T, K) ->
    M:delete(T, K),
    M:insert(T, [{{new, K}, 1}, {K, again}]),
    M:delete(T, erlang:phash2(K, 300)).

is_untouched({new, _}, _) -> false;
is_untouched(K, _) -> not (is_integer(K) andalso K < 300).

%% What the fun does in sets.
set_changes_test_() ->
    both(fun(M) ->
                 T = filled(M, set, [{I, 0} || I <- lists:seq(1, 2000)]),
                 Fun = fun({K, V}, Seen) ->
                               ?assertNot(is_map_key(K, Seen)),
                               % What it is now.
                               ?assertEqual(V, M:lookup_element(T, K, 2)),
                               M:insert(T, {K, gone}),
                               M:delete(T, K),
                               M:insert(T, {K, again}),
                               [M:insert(T, {N, {from, K}}) || N <- [K - 1, K + 1], M:member(T, N)],
                               M:insert(T, {{new, K}, 1}),
                               Seen#{K => V}
                       end,
                 Guarded = fun({{new, _}, _}, Seen) -> Seen;
                              (O, Seen) -> Fun(O, Seen)
                           end,
                 Seen = M:foldl(Guarded, #{}, T),
                 ?assertEqual(lists:seq(1, 2000), lists:sort(maps:keys(Seen))),
                 M:delete(T)
         end).

emptied_test_() ->
    both(fun(M) ->
                 [begin
                      T = filled(M, Type, [{I, I} || I <- lists:seq(1, 1000)]),
                      Clear = fun(_, N) -> M:delete_all_objects(T), N + 1 end,
                      ?assertEqual({Type, 1}, {Type, M:foldl(Clear, 0, T)}),
                      M:delete(T)
                  end || Type <- ?TYPES]
         end).

%% A fold within the fold.
nested_test_() ->
    both(fun(M) ->
                 [begin
                      T = filled(M, Type, [{I, I} || I <- lists:seq(1, 30)]),
                      Count = fun(_, N) -> N + 1 end,
                      ?assertEqual(900, M:foldl(fun(_, N) -> M:foldr(Count, N, T) end, 0, T)),
                      ?assertEqual(false, M:info(T, fixed)),
                      M:delete(T)
                  end || Type <- ?TYPES]
         end).

%%% With changes by others

%% Objects that are there throughout come exactly once, whatever is inserted and deleted beside
%% them; an ordered set's in order.
others_test_() ->
    [{timeout, 60, fun() -> beside_writers(Type, Fold) end}
     || Type <- ?TYPES, Fold <- [foldl, foldr]].

beside_writers(Type, Fold) ->
    Stay = [{{stay, I}, I} || I <- lists:seq(1, 3000)],
    T = filled(xets, Type, Stay),
    Writers = [spawn_link(fun() -> write(T, N, 1) end) || N <- [1, 2]],
    [begin
         Visited = [O || {{stay, _}, _} = O <- collect(Fold, T)],
         ?assertEqual(Stay, lists:sort(Visited)),
         [?assertEqual(Stay, case Fold of
                                 foldl -> Visited;
                                 foldr -> lists:reverse(Visited)
                             end) || Type =:= ordered_set]
     end || _ <- lists:seq(1, small(5, 2))],
    [begin unlink(W), xets_test_lib:kill(W) end || W <- Writers],
    ?assertEqual(false, xets:info(T, fixed)),
    xets:delete(T).

write(T, N, I) ->
    Keys = [{K, N, erlang:phash2({I, J}, 3000)} || K <- [come, stay, zoo], J <- lists:seq(1, 5)],
    [xets:insert(T, {Key, I}) || Key <- Keys],
    [xets:delete(T, Key) || Key <- Keys],
    write(T, N, I + 1).

%% A snapshot is folded over as it is, whatever the fun does to its table.
snapshot_test() ->
    [begin
         T = filled(xets, Type, objects(Type, 700)),
         Snapshot = xets:snapshot(T),
         Before = collect(Fold, T),
         Fun = fun({K, _} = O, A) -> xets:delete(T, K), xets:insert(T, {{new, K}, 1}), [O | A] end,
         ?assertEqual(Before, lists:reverse(xets:Fold(Fun, [], Snapshot))),
         ?assertEqual(Before, collect(Fold, Snapshot)),
         ?assertEqual(false, xets:info(Snapshot, fixed)),
         xets:delete(T)
     end || Type <- ?TYPES, Fold <- [foldl, foldr]].

%%% Errors

errors_test() ->
    [?assertEqual({Fold, Name, outcome(ets, Fold, Name)}, {Fold, Name, outcome(xets, Fold, Name)})
     || Fold <- [foldl, foldr],
        Name <- [no_table, no_name, no_identifier, deleted_table, private, no_fun,
                 no_fun_and_empty, arity, raises, throws, exits, deletes, deletes_last,
                 deletes_and_throws, gives_away]].

outcome(M, Fold, Name) ->
    T = filled(M, set, [{1, 1}]),
    Many = filled(M, ordered_set, [{I} || I <- lists:seq(1, 1000)]),
    Count = fun(_, N) -> N + 1 end,
    Act = case Name of
              no_table -> fun() -> M:Fold(Count, 0, xets_fold_no_table) end;
              no_name -> fun() -> M:Fold(Count, 0, "table") end;
              no_identifier -> fun() -> M:Fold(Count, 0, make_ref()) end;
              deleted_table -> fun() -> M:delete(T), M:Fold(Count, 0, T) end;
              private -> fun() -> M:Fold(Count, 0, private(M)) end;
              no_fun -> fun() -> M:Fold(no_fun, 0, T) end;
              no_fun_and_empty -> fun() -> M:delete(T, 1), M:Fold(no_fun, 0, T) end;
              arity -> fun() -> M:Fold(fun(A) -> A end, 0, T) end;
              raises -> fun() -> M:Fold(fun(O, _) -> error({raised, O}) end, 0, T) end;
              throws -> fun() -> M:Fold(fun(O, _) -> throw({thrown, O}) end, 0, T) end;
              exits -> fun() -> M:Fold(fun(O, _) -> exit({exited, O}) end, 0, T) end;
              deletes -> fun() -> M:Fold(fun(_, N) -> delete(M, Many, N) end, 0, Many) end;
              deletes_last -> fun() -> M:Fold(fun(_, N) -> delete(M, T, N) end, 0, T) end;
              deletes_and_throws ->
                  fun() -> M:Fold(fun(_, N) -> delete(M, T, N), throw(a) end, 0, T) end;
              gives_away -> fun() -> M:Fold(fun(_, N) -> give(M, T, N) end, 0, T) end
          end,
    Outcome = try {value, Act()}
              catch Class:Reason:Stack -> {Class, Reason, where(Name, Stack)}
              end,
    Fixed = [M:info(Table, fixed) || Table <- [T, Many], M:info(Table) =/= undefined],
    [M:delete(Table) || Table <- [T, Many], M:info(Table, owner) =:= self()],
    {Outcome, Fixed}.

%% Where what lists:foldl/3 and the like raise comes from.
where(Name, [{lists, Fold, Args, _} | _]) when Name =:= no_fun -> {lists, Fold, Args};
where(Name, [{lists, Fold, [_ | Args], _} | _]) when Name =:= arity -> {lists, Fold, Args};
where(_, _) -> other.

delete(M, T, N) ->
    M:delete(T),
    N + 1.

give(M, T, N) ->
    M:setopts(T, {heir, none}),
    Pid = spawn(fun() -> receive stop -> ok end end),
    M:give_away(T, Pid, gift),
    N + 1.

private(M) ->
    Me = self(),
    spawn(fun() -> Me ! {table, M:new(t, [private])}, receive after infinity -> ok end end),
    receive {table, T} -> T end.

-define(NO_RIGHTS,
        <<"the table identifier refers to a table with insufficient access rights">>).

texts_test() ->
    ?assertEqual(#{3 => <<"the table identifier does not refer to an existing table">>},
                 texts(xets, foldl, [fun(_, A) -> A end, 0, xets_fold_no_table])),
    ?assertEqual(#{3 => <<"not an atom or a table identifier">>},
                 texts(xets, foldr, [fun(_, A) -> A end, 0, "table"])),
    ?assertEqual(#{3 => ?NO_RIGHTS}, texts(xets, foldr, [fun(_, A) -> A end, 0, private(xets)])).

%% A process that is killed in a fold has nothing fixed any more.
killed_test() ->
    T = filled(xets, set, [{1}, {2}]),
    xets:setopts(T, {heir, none}),
    Me = self(),
    Stop = fun(O, _) -> Me ! {at, O}, receive after infinity -> ok end end,
    Pid = spawn(fun() -> xets:foldl(Stop, 0, T) end),
    receive {at, _} -> ok end,
    ?assertEqual(true, xets:info(T, fixed)),
    xets_test_lib:kill(Pid),
    xets_test_lib:eventually(fun() -> xets:info(T, fixed) =:= false end),
    xets:delete(T).

%%% Helpers

filled(M, Type, Objects) ->
    T = M:new(t, [Type, public]),
    [M:insert(T, O) || O <- Objects],
    T.

collect(Fold, T) ->
    collect(xets, Fold, T).

collect(M, Fold, T) ->
    lists:reverse(M:Fold(fun(O, A) -> [O | A] end, [], T)).
