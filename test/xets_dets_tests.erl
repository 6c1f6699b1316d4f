%% init_table/2, to_dets/2 and from_dets/2 beside those of ets.
-module(xets_dets_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [both/1, texts/3]).

-define(TYPES, [set, ordered_set, bag, duplicate_bag]).

%%% init_table

%% What init_table/2 does, and what is in the table then.
init_table_test() ->
    Ends = fun(_) -> end_of_input end,
    [?assertEqual({Name, initialized(ets, Fun)}, {Name, initialized(xets, Fun)})
     || {Name, Fun} <-
            [{nothing, Ends},
             {objects, fun(read) -> {[{a, 1}, {b, 2}], Ends} end},
             {no_objects, fun(read) -> {[], fun(read) -> {[{a, 1}], Ends} end} end},
             {lists, fun(read) -> {[{a, 1}, [{b, 2}, {c, 3}], []], Ends} end},
             {many, reads(1000)},
             {twice, fun(read) -> {[{a, 1}, {a, 2}], Ends} end},
             {other, fun(read) -> {error, enoent} end},
             {other_after_objects, fun(read) -> {[{a, 1}], fun(read) -> stop end} end},
             {no_list, fun(read) -> {objects, Ends} end},
             {no_next_fun, fun(read) -> {[{a, 1}], next} end},
             {no_object, fun(read) -> {[{a, 1}, no_object, {b, 2}], closes()} end},
             {no_key, fun(read) -> {[{a, 1}, {}, {b, 2}], closes()} end},
             {improper, fun(read) -> {[{a, 1} | {b, 2}], closes()} end},
             {close_fails, fun(read) -> {[no_object], fun(close) -> error(closed) end} end},
             {close_throws, fun(read) -> {[no_object], fun(close) -> throw(closed) end} end},
             {raises, fun(read) -> error(read) end},
             {throws, fun(read) -> throw(read) end},
             {exits, fun(read) -> exit(read) end},
             {raises_later, fun(read) -> {[{a, 1}], fun(read) -> throw(later) end} end},
             {no_fun, init},
             {arity, fun(_, _) -> end_of_input end}]].

reads(0) -> fun(read) -> end_of_input end;
reads(N) -> fun(read) -> {[{N, N}, {N + 0.5, N}], reads(N - 1)} end.

%% Says that it was closed.
closes() ->
    Me = self(),
    fun(How) -> Me ! {closed, How}, end_of_input end.

initialized(M, Fun) ->
    T = M:new(t, [public]),
    M:insert(T, {old, 0}),
    Outcome = outcome(fun() -> M:init_table(T, Fun) end),
    Closed = receive {closed, How} -> How after 0 -> none end,
    Objects = lists:sort(M:tab2list(T)),
    M:delete(T),
    {Outcome, Closed, Objects}.

outcome(Fun) ->
    try {value, Fun()}
    catch
        % A caught error: the reason, and where it was, which is not compared.
        exit:{Reason, [{_, _, _, _} | _]} -> {exit, {Reason, stack}};
        Class:{badfun, Fun} -> {Class, badfun};
        Class:{badarity, _} -> {Class, badarity};
        Class:Reason -> {Class, Reason}
    end.

init_table_types_test_() ->
    both(fun(M) ->
                 [begin
                      T = M:new(t, [Type]),
                      End = fun(read) -> end_of_input end,
                      Read = fun(read) -> {[{a, 1}, {a, 2}, {a, 1}], End} end,
                      ?assertEqual(true, M:init_table(T, Read)),
                      ?assertEqual(Objects, M:tab2list(T)),
                      M:delete(T)
                  end || {Type, Objects} <- [{set, [{a, 1}]}, {ordered_set, [{a, 1}]},
                                             {bag, [{a, 1}, {a, 2}]},
                                             {duplicate_bag, [{a, 1}, {a, 2}, {a, 1}]}]]
         end).

init_table_rights_test() ->
    Read = fun(_) -> end_of_input end,
    [begin
         ?assertError(badarg, M:init_table(xets_dets_no_table, Read)),
         ?assertError(badarg, M:init_table("table", Read)),
         T = M:new(t, [protected]),
         M:insert(T, {a}),
         Other = xets_test_lib:actor(),
         ?assertEqual({error, badarg}, xets_test_lib:call(Other, M, init_table, [T, Read])),
         xets_test_lib:stop(Other),
         ?assertEqual([{a}], M:tab2list(T)),
         M:delete(T)
     end || M <- [ets, xets]].

%% A table that happens to be called what whereis/1 says of no table.
undefined_test() ->
    T = xets:new(undefined, [named_table]),
    xets:insert(T, {a}),
    Read = fun(_) -> end_of_input end,
    ?assertError(badarg, xets:init_table(xets_dets_no_table, Read)),
    ?assertError(badarg, xets:foldl(fun(_, A) -> A end, 0, xets_dets_no_table)),
    ?assertError(badarg, xets:table(xets_dets_no_table)),
    ?assertEqual({[{a}], false}, {xets:tab2list(T), xets:info(T, fixed)}),
    xets:delete(T).

%%% dets

%% The disk may have other things to do.
dets_test_() ->
    {foreach, fun open/0, fun close/1,
     [fun(Opened) -> {atom_to_list(Name), {timeout, 120, fun() -> Test(Opened) end}} end
      || {Name, Test} <- [{copies, fun copies/1}, {replaces, fun replaces/1},
                          {errors, fun errors/1},
                          {objects_without_key, fun objects_without_key/1}]]}.

open() ->
    Dir = os:getenv("TMPDIR", "/tmp"),
    [begin
         File = filename:join(Dir, "xets_" ++ os:getpid() ++ atom_to_list(Type)),
         _ = file:delete(File),
         {ok, Dets} = dets:open_file({xets_dets_tests, Type}, [{file, File}, {type, Type}]),
         {Type, Dets, File}
     end || Type <- [set, bag, duplicate_bag]].

close(Opened) ->
    [begin
         _ = dets:close(Dets),
         ok = file:delete(File)
     end || {_, Dets, File} <- Opened].

%% To dets and back, in several chunks. Of objects with one key, in dets too, a set has only one:
%% which, depends on the order.
copies(Opened) ->
    [?assertEqual({Type, DetsType, copied(ets, Type, Dets)},
                  {Type, DetsType, copied(xets, Type, Dets)})
     || Type <- ?TYPES, {DetsType, Dets, _} <- Opened, not is_bag(Type) orelse is_bag(DetsType)].

is_bag(Type) -> Type =:= bag orelse Type =:= duplicate_bag.

copied(M, Type, Dets) ->
    ok = dets:delete_all_objects(Dets),
    ok = dets:insert(Dets, {was, there}),
    From = M:new(t, [Type, public]),
    Keys = case is_bag(Type) of
               true -> 500;
               false -> 2500
           end,
    M:insert(From, [{I rem Keys, I rem 3} || I <- lists:seq(1, 2500)]),
    Result = M:to_dets(From, Dets),
    InDets = lists:sort(dets:match_object(Dets, '_')),
    To = M:new(t, [Type]),
    M:insert(To, [{old, 0}, {1, old}]),
    true = M:from_dets(To, Dets),
    Fixed = {M:info(From, fixed), dets:info(Dets, safe_fixed)},
    InTable = lists:sort(M:tab2list(To)),
    M:delete(From),
    M:delete(To),
    {Result, InDets, InTable, Fixed}.

%% Empty tables; names; what is in a table stays but for what is replaced.
replaces([{set, Dets, _} | _]) ->
    [begin
         T = M:new(xets_dets_named, [named_table]),
         ?assertEqual(Dets, M:to_dets(T, Dets)),
         ?assertEqual(0, dets:info(Dets, size)),
         ok = dets:insert(Dets, [{a, 1}, {b, 1}]),
         M:insert(T, [{a, 0}, {c, 0}]),
         ?assertEqual(true, M:from_dets(T, Dets)),
         ?assertEqual([{a, 1}, {b, 1}, {c, 0}], lists:sort(M:tab2list(T))),
         ?assertEqual(Dets, M:to_dets(T, Dets)),
         ?assertEqual(3, dets:info(Dets, size)),
         M:delete(T)
     end || M <- [ets, xets]].

errors([{set, Dets, _} | _]) ->
    ok = dets:insert(Dets, {a, 1}),
    [begin
         Outcomes = [{Name, F, failed(M, F, Args)}
                     || F <- [to_dets, from_dets],
                        {Name, Args} <- [{no_table, fun(_) -> [xets_dets_no_table, Dets] end},
                                         {no_name, fun(_) -> ["table", Dets] end},
                                         {no_reference, fun(_) -> [make_ref(), Dets] end},
                                         {not_open, fun(T) -> [T, xets_dets_not_open] end},
                                         {no_dets, fun(T) -> [T, "dets"] end},
                                         {no_rights, fun(_) -> [private(M), Dets] end},
                                         {neither, fun(_) -> [xets_dets_no_table, no_dets] end}]],
         [?assertEqual({M, Name, F, {error, badarg, F, true}}, {M, Name, F, Outcome})
          || {Name, F, Outcome} <- Outcomes]
     end || M <- [ets, xets]].

%% The reason, and the call that the stack trace begins with.
failed(M, Function, Args) ->
    T = M:new(t, []),
    M:insert(T, {b}),
    Given = Args(T),
    Outcome = try {value, apply(M, Function, Given)}
              catch Class:Reason:Stack ->
                      [{M, F, A, _} | _] = Stack,
                      {Class, Reason, F, A =:= Given}
              end,
    M:delete(T),
    Outcome.

private(M) ->
    Me = self(),
    spawn(fun() -> Me ! {table, M:new(t, [private])}, receive after infinity -> ok end end),
    receive {table, T} -> T end.

%% Objects that have no element at the other table's key position. The dets table can be used then.
objects_without_key([{set, _, File} | _]) ->
    [begin
         KeyPos = File ++ "keypos",
         {ok, Dets} = dets:open_file(xets_dets_keypos, [{file, KeyPos}, {keypos, 2}]),
         Third = M:new(t, [{keypos, 3}]),
         First = M:new(t, []),
         M:insert(First, {a}),
         M:insert(Third, [{x, y, I} || I <- lists:seq(1, 300)]),
         ?assertError(invalid_objects_list, M:to_dets(First, Dets)),
         _ = dets:close(Dets), % says the same again
         ok = file:delete(KeyPos),
         {ok, Dets} = dets:open_file(xets_dets_keypos, [{file, KeyPos}, {keypos, 2}]),
         ok = dets:insert(Dets, [{I, I} || I <- lists:seq(1, 10)]),
         ?assertError(badarg, M:from_dets(Third, Dets)),
         ?assertEqual(300, M:info(Third, size)),
         ?assertEqual(false, M:info(Third, fixed)),
         [?assertEqual(false, dets:info(Dets, safe_fixed)) || M =:= xets],
         [M:delete(T) || T <- [First, Third]],
         ok = dets:close(Dets),
         ok = file:delete(KeyPos)
     end || M <- [ets, xets]].

-define(NO_RIGHTS,
        <<"the table identifier refers to a table with insufficient access rights">>).

texts_test() ->
    NotOpen = xets_dets_not_open,
    ?assertEqual(#{1 => <<"the table identifier does not refer to an existing table">>},
                 texts(xets, to_dets, [xets_dets_no_table, NotOpen])),
    ?assertEqual(#{1 => <<"not an atom or a table identifier">>},
                 texts(xets, from_dets, ["table", NotOpen])),
    ?assertEqual(#{1 => ?NO_RIGHTS},
                 texts(xets, init_table, [private(xets), fun(_) -> end_of_input end])),
    T = xets:new(t, []),
    ?assertEqual(#{2 => <<"not an open dets table, or its objects have no key here">>},
                 texts(xets, from_dets, [T, NotOpen])),
    ?assertEqual(#{2 => <<"not an open dets table">>}, texts(xets, to_dets, [T, NotOpen])),
    xets:delete(T).
