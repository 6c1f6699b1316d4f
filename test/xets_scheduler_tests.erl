%% Work that takes long is done on dirty schedulers, where it may be long, and where a process
%% that is killed meanwhile leaves nothing behind but what it should.
%%
%% XETS_TEST_HUGE=1 adds terms of hundreds of megabytes and more.
-module(xets_scheduler_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [eventually/1, settled/0]).

%%% Large terms

large_terms_test_() ->
    [{Name ++ Place, {timeout, 600, fun() -> Test(Make()) end}}
     || {Name, Make} <- large_terms(),
        {Place, Test} <- [{" as a value", fun(Term) -> large_value(Term, []) end},
                          {" as a value, compressed",
                           fun(Term) -> large_value(Term, [compressed]) end},
                          {" as a key", fun large_key/1}]].

large_terms() ->
    Many = many(1000000),
    [{"a list of integers", fun() -> lists:seq(1, Many) end},
     {"a list of tuples", fun() -> [{I, I} || I <- lists:seq(1, Many div 4)] end},
     {"an improper list", fun() -> lists:seq(1, Many) ++ tail end},
     {"a tuple", fun() -> list_to_tuple(lists:seq(1, Many)) end},
     {"a map", fun() -> maps:from_list([{I, {I}} || I <- lists:seq(1, Many div 10)]) end},
     {"a binary", fun() -> binary:copy(<<"0123456789">>, Many * 10) end},
     {"a list of binaries", fun() -> [<<I:800>> || I <- lists:seq(1, Many div 10)] end},
     {"an integer", fun() -> 3 bsl (Many * 4) end},
     {"tuples in tuples", fun() -> nest(Many, fun(T) -> {T} end) end},
     {"lists in lists", fun() -> nest(Many, fun(T) -> [T] end) end},
     {"tails of lists of all kinds", fun() -> nest(Many, fun(T) -> [a, {1.0} | {T}] end) end},
     {"maps in maps", fun() -> nest(Many, fun(T) -> #{a => T} end) end}] ++
        case os:getenv("XETS_TEST_HUGE") of
            false -> [];
            _ -> huge_terms()
        end.

huge_terms() ->
    [{"a list of twenty million integers", fun() -> lists:seq(1, 20000000) end},
     {"a binary of a gigabyte", fun() -> binary:copy(<<"0123456789">>, 107374182) end},
     {"ten million tuples in tuples", fun() -> nest(10000000, fun(T) -> {T, a} end) end}].

%% Fewer where each takes long.
many(N) ->
    case os:getenv("XETS_TEST_SMALL") of
        false -> N;
        _ -> N div 20
    end.

nest(N, Fun) ->
    lists:foldl(fun(_, T) -> Fun(T) end, [], lists:seq(1, N)).

large_value(Term, Options) ->
    T = xets:new(table, Options),
    Object = {key, Term, 0},
    true = xets:insert(T, Object),
    ?assert([Object] =:= xets:lookup(T, key)),
    ?assertEqual(0, xets:lookup_element(T, key, 3)),
    ?assert(Term =:= xets:lookup_element(T, key, 2)),
    ?assert({0, Term} =:= xets:lookup_elements(T, key, {3, 2})),
    ?assertEqual(1, xets:update_counter(T, key, {3, 1})),
    ?assertEqual(1 + (1 bsl 70), xets:update_counter(T, key, {3, 1 bsl 70})),
    ?assert(xets:update_element(T, key, {3, 0})),
    ?assert([[Object]] =:= xets:lookup_many(T, [key])),
    ?assert([Object] =:= xets:tab2list(T)),
    true = xets:delete_object(T, {key, [Term], 0}),
    ?assert(xets:member(T, key)),
    true = xets:delete_object(T, Object),
    ?assertNot(xets:member(T, key)),
    true = xets:insert(T, [{key, 1}, {other, Term}]),
    ?assert(xets:update_element(T, key, [{2, Term}])),
    ?assert([{key, Term}] =:= xets:take(T, key)),
    true = xets:update_element(T, other, {2, small}),
    ?assertEqual([{other, small}], xets:tab2list(T)),
    xets:delete(T).

large_key(Term) ->
    T = xets:new(table, []),
    ?assertNot(xets:member(T, Term)),
    ?assert(xets:insert_new(T, {Term, 0})),
    ?assertNot(xets:insert_new(T, {Term, 1})),
    ?assertNot(xets:insert_new(T, [{other, 1}, {Term, 1}])),
    ?assertNot(xets:member(T, [Term])),
    ?assert([{Term, 0}] =:= xets:lookup(T, Term)),
    ?assertEqual(5, xets:update_counter(T, Term, 5)),
    ?assertEqual(1 bsl 70, xets:update_counter(T, {Term}, 0, {none, 1 bsl 70})),
    ?assert(xets:update_element(T, Term, {2, 7})),
    ?assertEqual(7, xets:lookup_element(T, Term, 2)),
    ?assert([[{Term, 7}], [], [{Term, 7}]] =:= xets:lookup_many(T, [Term, none, Term])),
    true = xets:delete(T, {Term}),
    ?assert([{Term, 7}] =:= xets:tab2list(T)),
    ?assert([{Term, 7}] =:= xets:take(T, Term)),
    ?assertEqual([], xets:tab2list(T)),
    xets:delete(T).

%%% Many objects

long_lists_test_() ->
    {timeout, 600, fun long_lists/0}.

long_lists() ->
    T = xets:new(table, []),
    N = many(500000),
    Objects = [{I, I, {I}} || I <- lists:seq(1, N)],
    ?assert(xets:insert_new(T, Objects)),
    ?assertNot(xets:insert_new(T, [{0, 0, {0}} | lists:reverse(Objects)])),
    ?assertEqual(N, xets:info(T, size)),
    ?assert(Objects =:= lists:sort(xets:tab2list(T))),
    Keys = lists:seq(0, N + 1),
    ?assert([[]] ++ [[Object] || Object <- Objects] ++ [[]] =:= xets:lookup_many(T, Keys)),
    true = xets:insert(T, [{I, new, {I}} || I <- Keys]),
    ?assertEqual(N + 2, xets:info(T, size)),
    true = xets:delete_all_objects(T),
    ?assertEqual(0, xets:info(T, size)),
    % an error at the end of what is done on a dirty scheduler
    ?assertError(badarg, xets:insert(T, Objects ++ [wrong])),
    ?assertError(badarg, xets:insert(T, Objects ++ wrong)),
    ?assertError(badarg, xets:lookup_many(T, Keys ++ wrong)),
    ?assertError(badarg, xets:update_element(T, 1, [{2, Objects}, {1, 1}], {1, 2})),
    ?assertEqual([], xets:tab2list(T)),
    xets:delete(T).

%% In any order, the last for each position counts.
many_updates_of_one_object_test_() ->
    {timeout, 600, fun many_updates_of_one_object/0}.

many_updates_of_one_object() ->
    T = xets:new(table, []),
    N = many(100000),
    Old = list_to_tuple(lists:seq(1, N)),
    Up = [{I, {I}} || I <- lists:seq(2, N)],
    [begin
         xets:insert(T, Old),
         ?assert(xets:update_element(T, 1, Specs)),
         New = lists:foldl(fun({I, Value}, All) -> All#{I => Value} end, #{1 => 1}, Specs),
         Expected = list_to_tuple([maps:get(I, New, I) || I <- lists:seq(1, N)]),
         ?assert([Expected] =:= xets:lookup(T, 1)),
         true = xets:delete(T, 1),
         ?assert(xets:update_element(T, 1, Specs, Old)),
         ?assert([Expected] =:= xets:lookup(T, 1))
     end || Specs <- [Up, lists:reverse(Up), lists:reverse(Up) ++ [{2, two}, {N, n}, {3, three}],
                      [{2, I} || I <- lists:seq(1, N)], [{2 + I rem 2, I} || I <- lists:seq(1, N)],
                      Up ++ [{I, again} || {I, _} <- lists:reverse(Up), I rem 3 =:= 0]]],
    ?assertEqual([I || I <- lists:seq(2, N)],
                 xets:update_counter(T, counter, [{3, 1} || _ <- lists:seq(2, N)], {k, a, 1})),
    xets:delete(T).

%%% No normal scheduler is kept

%% The emulator tells of everything that runs on a normal scheduler for longer than the limit
%% without a pause. A call should take a hundredth of these 100 ms, but on a shared machine the
%% thread of a scheduler may have to wait as long itself. That is chance, and a large call that is
%% not handed over takes longer each time: so one silent run of three will do. Terms are made
%% where they are used, because to send one takes long, too.
normal_schedulers_stay_free_test_() ->
    [{"work " ++ integer_to_list(I),
      {timeout, 600, fun() -> ?assert(lists:any(fun(_) -> is_silent(Fun) end, [1, 2, 3])) end}}
     || {I, Fun} <- lists:zip(lists:seq(1, length(heavy())), heavy())].

is_silent(Fun) ->
    Limit = case os:getenv("XETS_TEST_SMALL") of
                false -> 100;
                _ -> 1000
            end,
    Watcher = spawn_link(fun() -> watch([]) end),
    Former = erlang:system_monitor(Watcher, [{long_schedule, Limit}]),
    % The report comes with the pause.
    {Pid, Monitor} = spawn_monitor(fun() -> Fun(), erlang:yield() end),
    try
        receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end
    after
        erlang:system_monitor(Former)
    end,
    Watcher ! {tell, self()},
    Seen = receive {Watcher, Reports} -> Reports end,
    [] =:= [Report || {monitor, Who, long_schedule, _} = Report <- Seen, Who =:= Pid].

watch(Seen) ->
    receive
        {tell, From} -> unlink(From), From ! {self(), Seen};
        Report -> watch([Report | Seen])
    end.

%% Each of the calls would keep a normal scheduler for some hundred milliseconds. A term in which
%% one part is met again and again is small until it is stored; read back it is large, and the
%% emulator takes long to free it when the process ends.
heavy() ->
    [fun() ->
             T = xets:new(table, []),
             N = many(1000000),
             Keys = lists:seq(1, N),
             xets:insert(T, [{I, I} || I <- Keys]),
             false = xets:insert_new(T, [{I, I} || I <- Keys]),
             N = length(xets:tab2list(T)),
             N = length(xets:lookup_many(T, Keys)),
             [xets:info(T) || _ <- lists:seq(1, 1000)],
             [xets:delete(T, I) || I <- Keys]
     end,
     fun() ->
             T = xets:new(table, []),
             Part = [{I, I} || I <- lists:seq(1, 100000)],
             Term = lists:duplicate(many(100), Part),
             xets:insert(T, {key, 0, Term, 0}),
             2 = xets:update_counter(T, key, {4, 2}),
             2 = xets:lookup_element(T, key, 4),
             xets:delete_object(T, {key, 0, Term, 1}),
             true = xets:update_element(T, key, {2, [Term]}),
             xets:delete(T)
     end,
     fun() ->
             T = xets:new(table, []),
             Part = nest(100000, fun(Inner) -> {Inner, [a]} end),
             Key = lists:duplicate(many(60), Part),
             xets:insert(T, {Key, 1}),
             2 = xets:update_counter(T, Key, 1),
             [[{_, 2}]] = xets:lookup_many(T, [Key]),
             false = xets:member(T, [Key]),
             [{_, 2}] = xets:take(T, Key)
     end,
     fun() ->
             T = xets:new(table, []),
             Part = lists:duplicate(100000, zero()),
             xets:insert(T, {key, lists:duplicate(many(100), Part)}),
             xets:delete_object(T, {key, zero()}),
             N = many(100000),
             xets:insert(T, list_to_tuple(lists:seq(1, N))),
             true = xets:update_element(T, 1, [{I, new} || I <- lists:seq(N, 2, -1)]),
             Key = [{I} || I <- lists:seq(1, 15000)],
             false = xets:member(T, Key),
             Keys = lists:duplicate(2000, Key),
             2000 = length(xets:lookup_many(T, Keys))
     end,
     fun() ->
             T = xets:new(table, [bag]),
             N = many(500000),
             Objects = [{key, I} || I <- lists:seq(1, N)],
             xets:insert(T, Objects),
             xets:insert(T, Objects),
             N = length(xets:lookup(T, key)),
             N = length(xets:lookup_element(T, key, 2)),
             {key, [_ | _]} = xets:first_lookup(T),
             '$end_of_table' = xets:next(T, key),
             [[_ | _], []] = xets:lookup_many(T, [key, none]),
             [[], [_ | _]] = xets:take_many(T, [none, key]),
             true = xets:insert_new(T, Objects),
             true = xets:delete(T, key)
     end,
     fun() ->
             T = xets:new(table, [duplicate_bag]),
             N = many(200000),
             xets:insert(T, lists:duplicate(N, {key, same})),
             true = xets:delete_object(T, {key, same}),
             0 = xets:info(T, size)
     end,
     fun() ->
             T = xets:new(table, []),
             N = many(500000),
             Keys = lists:seq(1, N),
             xets:insert(T, [{I, I} || I <- Keys]),
             true = xets:safe_fixtable(T, true),
             true = xets:delete_many(T, Keys),
             xets:insert(T, [{I, I} || I <- Keys]),
             N = length(xets:take_many(T, Keys)),
             true = xets:safe_fixtable(T, false)
     end,
     fun() ->
             T = xets:new(table, []),
             [begin
                  xets:insert(T, [{I, <<I:800>>} || I <- lists:seq(1, many(50000))]),
                  xets:delete_all_objects(T)
              end || _ <- lists:seq(1, 10)]
     end].

%% Up to OTP 26 equal to 0.0, so that comparing takes more than comparing bytes.
zero() ->
    <<Zero/float>> = <<1:1, 0:63>>,
    Zero.

%%% Killed while on a dirty scheduler

%% Delays spread over what a call takes.
-define(ROUNDS, 40).

killed_while_reading_test_() ->
    [{Name, {timeout, 600, fun() -> killed_while_reading(Call) end}}
     || {Name, Call} <-
            [{"tab2list", fun(T) -> xets:tab2list(T) end},
             {"lookup_many", fun(T) -> xets:lookup_many(T, lists:seq(1, many(200000))) end},
             {"lookup", fun(T) -> xets:lookup(T, large) end},
             {"lookup_element", fun(T) -> xets:lookup_element(T, large, 2) end}]].

killed_while_reading(Call) ->
    #{bytes := Before} = settled(),
    T = filled(),
    Size = xets:info(T, size),
    [killed(fun() -> Call(T) end, Round) || Round <- lists:seq(1, ?ROUNDS)],
    ?assertEqual(Size, length(xets:tab2list(T))),
    is_usable(T),
    xets:delete(T),
    eventually(fun() -> maps:get(bytes, xets:info()) =:= Before end).

%% All of a list is written, or nothing, also when the call goes on after the process is seen to
%% be dead.
killed_while_writing_test_() ->
    [{Name, {timeout, 600, fun() -> killed_while_writing(Write) end}}
     || {Name, Write} <-
            [{"insert", fun(T, Round) -> xets:insert(T, list(Round)) end},
             {"insert_new", fun(T, Round) -> xets:insert_new(T, list(Round)) end}]].

killed_while_writing(Write) ->
    #{bytes := Before} = settled(),
    T = filled(),
    N = length(list(0)),
    [begin
         killed(fun() -> Write(T, Round) end, Round),
         Seen = xets:member(T, {list, Round, 1}),
         Seen andalso ?assert(xets:member(T, {list, Round, N}))
     end || Round <- lists:seq(1, ?ROUNDS)],
    eventually(fun() ->
                       Objects = [Round || {{list, Round, _}, _} <- xets:tab2list(T)],
                       length(Objects) =:= N * length(lists:usort(Objects))
               end),
    is_usable(T),
    xets:delete(T),
    eventually(fun() -> maps:get(bytes, xets:info()) =:= Before end).

list(Round) ->
    [{{list, Round, I}, I} || I <- lists:seq(1, many(20000))].

%% A large object is there or not, and whole.
killed_while_updating_test_() ->
    [{Name, {timeout, 600, fun() -> killed_while_updating(Update) end}}
     || {Name, Update} <-
            [{"insert", fun(T, Round) -> xets:insert(T, {large, large_term(), Round}) end},
             {"take", fun(T, _) -> xets:take(T, large) end},
             {"update_element", fun(T, Round) -> xets:update_element(T, large, {3, Round}) end},
             {"update_counter", fun(T, _) -> xets:update_counter(T, large, {3, 1 bsl 70}) end},
             {"delete_object", fun(T, _) -> xets:delete_object(T, {large, large_term(), 0}) end}]].

killed_while_updating(Update) ->
    #{bytes := Before} = settled(),
    T = filled(),
    Term = large_term(),
    [begin
         killed(fun() -> Update(T, Round) end, Round),
         case xets:lookup(T, large) of
             [{large, Found, _}] -> ?assert(Term =:= Found);
             [] -> ok
         end
     end || Round <- lists:seq(1, ?ROUNDS)],
    is_usable(T),
    xets:delete(T),
    eventually(fun() -> maps:get(bytes, xets:info()) =:= Before end).

%% All objects of a key in a bag are there, or none.
killed_while_taking_a_group_test_() ->
    [{Name, {timeout, 600, fun() -> killed_while_taking_a_group(Call) end}}
     || {Name, Call} <-
            [{"take", fun(T) -> xets:take(T, key) end},
             {"delete", fun(T) -> xets:delete(T, key) end},
             {"insert", fun(T) -> xets:insert(T, group()) end},
             {"insert_new", fun(T) -> xets:insert_new(T, group()) end}]].

killed_while_taking_a_group(Call) ->
    #{bytes := Before} = settled(),
    T = xets:new(table, [public, bag]),
    [begin
         xets:insert(T, group()),
         Round rem 2 =:= 0 andalso xets:delete(T, key),
         killed(fun() -> Call(T) end, Round),
         % The call may go on after the process is seen to be dead.
         eventually(fun() ->
                            Found = xets:lookup(T, key),
                            Found =:= lists:sort(xets:tab2list(T)) andalso
                                (Found =:= [] orelse Found =:= group())
                    end)
     end || Round <- lists:seq(1, ?ROUNDS)],
    xets:delete(T),
    eventually(fun() -> maps:get(bytes, xets:info()) =:= Before end).

group() ->
    [{key, I} || I <- lists:seq(1, many(50000))].

%% The end of the table waits for the call that its owner was killed in.
owner_killed_in_a_call_test_() ->
    {timeout, 600, fun owner_killed_in_a_call/0}.

owner_killed_in_a_call() ->
    #{bytes := Before, tables := Tables} = settled(),
    Self = self(),
    [begin
         killed(fun() ->
                        T = xets:new(xets_scheduler_owned, [named_table]),
                        Self ! {table, xets:whereis(T)},
                        xets:insert(T, list(Round)),
                        xets:tab2list(T)
                end, Round),
         receive
             {table, Tid} -> ?assertEqual(undefined, xets:info(Tid))
         after 0 -> ok
         end,
         ?assertEqual(undefined, xets:info(xets_scheduler_owned))
     end || Round <- lists:seq(1, ?ROUNDS)],
    eventually(fun() ->
                       #{bytes := Bytes, tables := Now} = xets:info(),
                       {Bytes, Now} =:= {Before, Tables}
               end).

%% A table with many objects, and one large one.
filled() ->
    T = xets:new(table, [public]),
    xets:insert(T, [{I, I} || I <- lists:seq(1, many(200000))]),
    xets:insert(T, {large, large_term(), 0}),
    T.

large_term() ->
    {lists:seq(1, many(500000)), [{I} || I <- lists:seq(1, many(100000))]}.

%% Runs Fun in a process, which is killed while it is at it, in most rounds.
killed(Fun, Round) ->
    {Pid, Monitor} = spawn_monitor(Fun),
    receive after Round rem 10 -> ok end,
    burn(Round * 1000),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

burn(0) -> ok;
burn(N) -> burn(N - 1).

%% Reads, single writes, lists, and what closes the gate for writes.
is_usable(T) ->
    true = xets:insert(T, {usable, 1}),
    [{usable, 1}] = xets:lookup(T, usable),
    2 = xets:update_counter(T, usable, 1),
    true = xets:insert(T, [{{usable, I}, I} || I <- lists:seq(1, 5000)]),
    true = xets:delete(T, usable),
    true = xets:delete_all_objects(T),
    [] = xets:tab2list(T),
    true = xets:insert(T, {usable, again}),
    [{usable, again}] = xets:tab2list(T).
