%% xets:table/1,2 beside ets:table/1,2: queries over the same objects, what is looked up, how tables
%% are traversed, and what qlc is told.
-module(xets_qlc_tests).

-include_lib("eunit/include/eunit.hrl").
-include_lib("stdlib/include/qlc.hrl").

-import(xets_test_lib, [texts/3]).

-define(TYPES, [set, ordered_set, bag, duplicate_bag]).

%%% Queries

%% Every query of tables of every type, however they are traversed: the same answers.
queries_test_() ->
    [{lists:flatten(io_lib:format("~p ~p ~p", [Type, Options, Name])),
      fun() ->
              ?assertEqual(answers(ets, Type, Options, Query), answers(xets, Type, Options, Query))
      end}
     || Type <- ?TYPES,
        Options <- [[], {traverse, first_next}, [{traverse, last_prev}],
                    [{traverse, select}, {n_objects, 3}], [{n_objects, default}]],
        {Name, Query} <- queries()].

answers(M, Type, Options, Query) ->
    Users = filled(M, Type, users()),
    Cities = filled(M, Type, cities()),
    Answers = try Query(M:table(Users, Options), M:table(Cities, Options))
              catch error:Reason -> [{error, Reason}] % a merge join of keys that come backwards
              end,
    ?assertEqual({false, false}, {M:info(Users, fixed), M:info(Cities, fixed)}),
    M:delete(Users),
    M:delete(Cities),
    case Type of
        ordered_set -> Answers;
        _ -> lists:sort(Answers)
    end.

users() ->
    [{I, lists:nth(1 + I rem 4, [paris, rome, bern, nowhere]), I * 3 rem 50}
     || I <- lists:seq(1, 250)] ++ [{7.0, rome, 1}, {7.5, rome, 2}].

cities() ->
    [{paris, 2}, {rome, 3}, {rome, 4}, {bern, 1}, {bern, 1}, {oslo, 9}].

queries() ->
    [{all, fun(U, _) -> qlc:e(U) end},
     {key, fun(U, _) -> qlc:e(qlc:q([X || {7, _, _} = X <- U])) end},
     {float_key, fun(U, _) -> qlc:e(qlc:q([X || {7.0, _, _} = X <- U])) end},
     {key_by_equal, fun(U, _) -> qlc:e(qlc:q([X || {I, _, _} = X <- U, I == 7])) end},
     {key_by_exactly_equal, fun(U, _) -> qlc:e(qlc:q([X || {I, _, _} = X <- U, I =:= 7])) end},
     {keys, fun(U, _) ->
                    qlc:e(qlc:q([X || {I, _, _} = X <- U,
                                      I =:= 3 orelse I =:= 300 orelse I =:= 12]))
            end},
     {filter, fun(U, _) -> qlc:e(qlc:q([{I, A} || {I, rome, A} <- U, A > 20])) end},
     {filter_by_fun, fun(U, _) -> qlc:e(qlc:q([I || {I, _, A} <- U, is_even(A)])) end},
     {none, fun(U, _) -> qlc:e(qlc:q([I || {I, oslo, _} <- U])) end},
     {join, fun(U, C) -> join(U, C, []) end},
     {lookup_join, fun(U, C) -> join(U, C, {join, lookup}) end},
     {merge_join, fun(U, C) -> join(U, C, {join, merge}) end},
     {nested_loop, fun(U, C) -> join(U, C, {join, nested_loop}) end},
     {self_join, fun(U, _) ->
                         sorted(qlc:q([{I, J} || {I, _, A} <- U, {J, _, _} <- U, A =:= J]))
                 end},
     {unique, fun(U, _) -> sorted(qlc:q([City || {_, City, _} <- U], unique)) end},
     {sort, fun(U, _) -> qlc:e(qlc:keysort([3, 1], U)) end},
     {fold, fun(U, _) -> [qlc:fold(fun({_, _, A}, S) -> A + S end, 0, U)] end},
     {cached, fun(U, C) ->
                      sorted(qlc:q([{I, N} || {I, _, 3} <- U, {_, N} <- C], [{cache, ets}]))
              end}].

join(Users, Cities, How) ->
    sorted(qlc:q([{I, N} || {I, City, _} <- Users, {Name, N} <- Cities, City =:= Name], How)).

sorted(Query) ->
    lists:sort(qlc:e(Query)).

is_even(N) -> N rem 2 =:= 0.

select_with_a_match_spec_test() ->
    MatchSpec = [{{'$1', rome, '$2'}, [{'>', '$2', 20}], [{{'$2', '$1'}}]}],
    [?assertEqual(Answers(ets), Answers(xets))
     || Type <- ?TYPES,
        N <- [1, 7, 1000],
        Answers <- [fun(M) -> answers(M, Type, [{traverse, {select, MatchSpec}}, {n_objects, N}],
                                      fun(U, _) -> qlc:e(qlc:q([I || {A, I} <- U, A < 40])) end)
                    end]].

%% Objects in the order of the traversal.
order_test() ->
    T = filled(xets, ordered_set, [{I} || I <- lists:seq(1, 300)]),
    Ascending = [{I} || I <- lists:seq(1, 300)],
    ?assertEqual(Ascending, qlc:e(xets:table(T))),
    ?assertEqual(Ascending, qlc:e(xets:table(T, {traverse, first_next}))),
    ?assertEqual(lists:reverse(Ascending), qlc:e(xets:table(T, {traverse, last_prev}))),
    xets:delete(T).

%% A join of a table of ets and one of xets.
join_with_ets_test() ->
    Users = filled(ets, set, users()),
    Cities = filled(xets, set, cities()),
    Join = fun(U, C) -> join(U, C, []) end,
    Expected = answers(ets, set, [], Join),
    ?assertEqual(Expected, Join(ets:table(Users), xets:table(Cities))),
    ets:delete(Users),
    xets:delete(Cities).

%%% Lookups

%% What qlc does: by its description, with the table's identifier the only difference.
described_test() ->
    [?assertEqual({Type, Name, Options, described(ets, Type, Options, Query)},
                  {Type, Name, Options, described(xets, Type, Options, Query)})
     || Type <- ?TYPES,
        Options <- [[], {n_objects, 7}, [{traverse, first_next}]],
        {Name, Query} <-
            [{all, fun(U) -> U end},
             {select, fun(U) -> qlc:q([I || {I, rome, A} <- U, A > 20]) end},
             {key, fun(U) -> qlc:q([X || {7, _, _} = X <- U]) end},
             {equal_key, fun(U) -> qlc:q([X || {I, _, _} = X <- U, I == 7]) end},
             {keys, fun(U) -> qlc:q([X || {I, _, _} = X <- U, I =:= 3 orelse I =:= 300]) end},
             {self_join,
              fun(U) -> qlc:q([{I, J} || {I, _, A} <- U, {J, _, _} <- U, A =:= J]) end}]].

described(M, Type, Options, Query) ->
    T = filled(M, Type, users()),
    Text = lists:flatten(io_lib:format("~s", [qlc:info(Query(M:table(T, Options)))])),
    Identifier = lists:flatten(io_lib:format("~w", [T])),
    M:delete(T),
    % Where lines are broken, and strings are, depends on the lengths of names.
    OneLine = [C || C <- Text, not lists:member(C, " \n\"")],
    lists:foldl(fun({From, To}, S) -> lists:append(string:replace(S, From, To, all)) end,
                OneLine, [{Identifier, "TABLE"}, {"xets:", "ets:"}]).

%% An ordered set is asked for by ==, other tables by =:=.
key_equality_test() ->
    Queries = fun(U) -> {qlc:q([X || {I, _, _} = X <- U, I == 7]),
                         qlc:q([X || {I, _, _} = X <- U, I =:= 7])}
              end,
    Looks = fun(Q) -> string:find(qlc:info(Q), "xets:lookup") =/= nomatch end,
    [begin
         T = filled(xets, Type, users()),
         {Equal, Exactly} = Queries(xets:table(T)),
         ?assertEqual({Type, Type =:= ordered_set, true}, {Type, Looks(Equal), Looks(Exactly)}),
         xets:delete(T)
     end || Type <- ?TYPES].

%%% Cursors and fixations

cursor_test_() ->
    xets_test_lib:both(
      fun(M) ->
              [begin
                   T = filled(M, Type, [{I} || I <- lists:seq(1, 500)]),
                   Cursor = qlc:cursor(M:table(T, Options)),
                   First = qlc:next_answers(Cursor, 10),
                   ?assertEqual({10, true}, {length(First), M:info(T, fixed)}),
                   % What is deleted between does not stop it.
                   [M:delete(T, I) || I <- lists:seq(1, 500), I rem 2 =:= 0],
                   Rest = qlc:next_answers(Cursor, all_remaining),
                   Odd = [{I} || I <- lists:seq(1, 500), I rem 2 =:= 1],
                   ?assertEqual([], Odd -- (First ++ Rest)),
                   ?assertEqual(length(First ++ Rest), length(lists:usort(First ++ Rest))),
                   ok = qlc:delete_cursor(Cursor),
                   unfixed(M, T),
                   M:delete(T)
               end || Type <- ?TYPES, Options <- [[], {traverse, first_next}]]
      end).

stopped_test_() ->
    xets_test_lib:both(
      fun(M) ->
              T = filled(M, set, [{I} || I <- lists:seq(1, 500)]),
              Cursor = qlc:cursor(M:table(T)),
              [_] = qlc:next_answers(Cursor, 1),
              ?assertEqual(true, M:info(T, fixed)),
              ok = qlc:delete_cursor(Cursor),
              unfixed(M, T),
              ?assertError(left, qlc:e(qlc:q([left(X) || X <- M:table(T)]))),
              ?assertEqual(false, M:info(T, fixed)),
              M:delete(T)
      end).

left(_) -> error(left).

%% The process of the cursor has ended, but that may not have been seen.
unfixed(M, T) ->
    xets_test_lib:eventually(fun() -> M:info(T, fixed) =:= false end).

%%% Errors

errors_test() ->
    [?assertEqual({Name, outcome(ets, Act)}, {Name, outcome(xets, Act)})
     || {Name, Act} <-
            [{traverse, fun(M, T) -> M:table(T, {traverse, sideways}) end},
             {n_objects, fun(M, T) -> M:table(T, [{n_objects, 0}]) end},
             {n_objects_atom, fun(M, T) -> M:table(T, [{traverse, select}, {n_objects, many}]) end},
             {option_of_none, fun(M, T) -> M:table(T, [{colour, red}]) end},
             {improper, fun(M, T) -> M:table(T, [{n_objects, 1} | x]) end},
             {no_option, fun(M, T) -> M:table(T, x) end},
             {option_of_qlc, fun(M, T) -> qlc:e(M:table(T, [{parent_fun, fun() -> a end}])) end},
             {identifier, fun(M, _) -> qlc:e(M:table(make_ref())) end},
             {deleted, fun(M, T) -> M:delete(T), qlc:e(M:table(T)) end},
             {deleted_meanwhile, fun(M, T) -> H = M:table(T), M:delete(T), qlc:e(H) end},
             {bad_match_spec, fun(M, T) -> qlc:e(M:table(T, {traverse, {select, [bad]}})) end}]].

outcome(M, Act) ->
    T = filled(M, set, [{1}]),
    try {value, Act(M, T)}
    catch Class:Reason -> {Class, Reason}
    after
        [M:delete(T) || M:info(T, owner) =:= self()]
    end.

%% As in the newest release, where a name is looked up when the handle is made.
names_test() ->
    ?assertError(badarg, xets:table(xets_qlc_no_table)),
    T = xets:new(xets_qlc_named, [named_table]),
    xets:insert(T, {1}),
    Handle = xets:table(T),
    xets:rename(T, xets_qlc_renamed),
    ?assertEqual([{1}], qlc:e(Handle)),
    xets:delete(xets_qlc_renamed).

texts_test() ->
    T = xets:new(t, []),
    ?assertEqual(#{2 => <<"invalid options">>}, texts(xets, table, [T, {traverse, sideways}])),
    ?assertEqual(#{1 => <<"the table identifier does not refer to an existing table">>},
                 texts(xets, table, [xets_qlc_no_table, []])),
    ?assertEqual(#{1 => <<"the table identifier does not refer to an existing table">>},
                 texts(xets, table, [xets_qlc_no_table])),
    xets:delete(T).

filled(M, Type, Objects) ->
    T = M:new(t, [Type, public]),
    M:insert(T, Objects),
    T.
