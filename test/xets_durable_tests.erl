%% Durable tables: what was written is there when they are opened again, whoever ended them and
%% however. A table that is not durable is the oracle for all that calls return.
-module(xets_durable_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_durable_lib, [in_dir/1, durable/2, in_each_type/1, in_each_type/2, contents/1,
                           reopened/3, text/1]).
-import(xets_test_lib, [actor/0, run/2, kill/1, eventually/1, texts/3, small/2]).

%%% Everything that writes

%% Objects are collected before they are stored when a table is opened: but for those that are large
%% or have shared terms, and all that is deleted, which is done behind what has been collected.
what_comes_later_stays_test_() ->
    in_each_type(fun(Type, Dir) ->
        T = durable(Dir, [Type]),
        Plain = xets:new(plain, [Type]),
        Both = fun(F, Args) -> [apply(xets, F, [Table | Args]) || Table <- [T, Plain]] end,
        Keys = lists:seq(1, 100),
        Values = [1, <<0:80000>>, 2, make_ref(), <<1:8>>, lists:duplicate(5000, a), 3],
        [Both(insert, [{K, V}]) || K <- Keys, V <- lists:nthtail(K rem 7, Values)],
        ok = xets:checkpoint(T),
        [Both(insert, [{K, V}]) || K <- Keys, V <- lists:sublist(Values, 1 + K rem 7)],
        [Both(delete, [K]) || K <- Keys, K rem 3 =:= 0],
        [Both(insert, [[{K, last}, {K, lists:last(Values)}]]) || K <- Keys, K rem 2 =:= 0],
        Both(delete, [4]),
        Again = reopened(T, Dir, [Type]),
        ?assertEqual(contents(Plain), contents(Again)),
        xets:delete(Again),
        xets:delete(Plain)
    end).

random_writes_test_() ->
    in_each_type(fun(Type, Dir) ->
        Rounds = small(6, 2),
        lists:foreach(fun(Round) -> random_writes(Type, Dir, Round) end, lists:seq(1, Rounds))
    end).

%% As many changes as make the checkpoint due several times.
random_writes(Type, Dir, Round) ->
    rand:seed(exsss, {Round, 17, erlang:phash2(Type)}),
    Level = element(1 + Round rem 3, {memory, os, disk}),
    T = durable(#{dir => Dir, sync => Level, checkpoint_after => 4000}, [Type]),
    Other = xets:new(other, [Type]),
    xets:insert(Other, lists:append(contents(T))),
    ?assertEqual(contents(Other), contents(T)),
    writes(300, Type, T, Other),
    _ = [ok = checkpointed(T) || Round rem 2 =:= 0],
    writes(100, Type, T, Other),
    Had = contents(T),
    ?assertEqual(contents(Other), Had),
    Again = reopened(T, #{dir => Dir, sync => Level}, [Type]),
    ?assertEqual(Had, contents(Again)),
    true = xets:delete(Again),
    true = xets:delete(Other).

checkpointed(T) ->
    case xets:checkpoint(T) of
        % By itself.
        {error, busy} -> erlang:yield(), checkpointed(T);
        Result -> Result
    end.

writes(0, _, _, _) ->
    ok;
writes(N, Type, T, Other) ->
    {Function, Args} = write(rand:uniform(20), Type),
    Call = fun(Table) ->
        try apply(xets, Function, [Table | Args])
        catch error:badarg -> badarg
        end
    end,
    ?assertEqual({Function, Args, Call(Other)}, {Function, Args, Call(T)}),
    writes(N - 1, Type, T, Other).

write(1, _) -> {insert, [[object() || _ <- lists:seq(1, rand:uniform(20))]]};
write(2, _) -> {insert_new, [object()]};
write(3, _) -> {insert_new, [[object(), object()]]};
write(4, _) -> {delete, [key()]};
write(5, _) -> {delete_object, [object()]};
write(6, _) -> {take, [key()]};
write(7, _) -> {update_counter, [key(), {2, rand:uniform(1 bsl 61)}]};
write(8, _) -> {update_counter, [key(), [{2, 1}, {2, 5, 10, 0}], {none, 3}]};
write(9, _) -> {update_element, [key(), {2, value()}]};
write(10, _) -> {update_element, [key(), {2, value()}, {none, 1}]};
write(11, _) -> {put_new, [object()]};
write(12, _) -> {delete_many, [[key(), key()]]};
write(13, _) -> {take_many, [[key(), key(), key()]]};
write(14, ordered_set) -> {take_first, []};
write(15, ordered_set) -> {take_last, []};
write(14, duplicate_bag) -> {select_replace, [[{{'$1', 1}, [], [{{'$1', 2}}]}]]};
write(14, set) -> {select_replace, [[{{'$1', 1}, [], [{{'$1', {const, <<0:800>>}}}]}]]};
write(15, Type) when Type =:= set -> {update, [key(), [{{'$1', '$2'}, [], [{{'$1', {{'$2'}}}}]}]]};
write(16, _) -> {select_delete, [[{{'_', rand:uniform(3)}, [], [true]}]]};
write(17, _) ->
    case rand:uniform(50) of
        1 -> {delete_all_objects, []};
        _ -> {insert, [object()]}
    end;
write(_, _) -> {insert, [object()]}.

object() -> {key(), value()}.

key() ->
    N = rand:uniform(30),
    element(1 + N rem 5, {N, N + 0.5, {N, [a | <<"b">>]}, integer_to_binary(N), [N, "key"]}).

value() ->
    case rand:uniform(6) of
        1 -> binary:copy(<<"value">>, rand:uniform(500));
        2 -> #{rand:uniform(3) => [x, 2.0, {}]};
        3 -> lists:seq(1, rand:uniform(40));
        _ -> rand:uniform(3)
    end.

%%% What is kept

all_terms_test_() ->
    in_each_type(fun(Type, Dir) ->
        T = durable(Dir, [Type, {keypos, 2}]),
        [xets:insert(T, {Name, Term, [Term, Name]}) || {Name, Term} <- terms()],
        ?assert(xets:member(T, 17)),
        xets:delete(T, 17),
        Had = contents(T),
        Again = reopened(T, Dir, [Type, {keypos, 2}]),
        ?assert(Had =:= contents(Again)),
        ok = xets:checkpoint(Again),
        Last = reopened(Again, Dir, [Type, {keypos, 2}]),
        ?assert(Had =:= contents(Last)),
        xets:delete(Last)
    end).

%% Funs of this module are equal to themselves as long as it is loaded.
terms() ->
    maps:to_list(maps:from_list([{Name, Term} || {Name, Term} <- xets_terms:samples()])).

%% More than is made into bytes on a normal scheduler; and deeper than any recursion.
large_terms_test_() ->
    N = small(200000, 20000),
    Nested = fun(Fun) -> lists:foldl(fun(_, T) -> Fun(T) end, [], lists:seq(1, N)) end,
    Terms = [lists:seq(1, N), list_to_tuple(lists:seq(1, N)),
             maps:from_list([{I, I} || I <- lists:seq(1, N)]), 3 bsl N, binary:copy(<<"0123456789">>, N), Nested(fun(T) -> {T} end),
             Nested(fun(T) -> [T] end), [<<I:800>> || I <- lists:seq(1, N div 10)]],
    in_each_type(fun(Type, Dir) ->
        T = durable(#{dir => Dir, sync => memory}, [Type]),
        [true = xets:insert(T, {I, Term}) || {I, Term} <- lists:enumerate(Terms)],
        [true = xets:insert(T, {Term, key}) || Term <- Terms],
        [true = xets:delete(T, Term) || Term <- tl(Terms)],
        [{1, First}] = xets:take(T, 1),
        ?assert(First =:= hd(Terms)),
        Again = reopened(T, Dir, [Type]),
        ?assertEqual(length(Terms), xets:info(Again, size)),
        [?assert([{I, Term}] =:= xets:lookup(Again, I))
         || {I, Term} <- tl(lists:enumerate(Terms))],
        ?assert([{hd(Terms), key}] =:= xets:lookup(Again, hd(Terms))),
        ok = xets:checkpoint(Again),
        Last = reopened(Again, Dir, [Type]),
        ?assertEqual(length(Terms), xets:info(Last, size)),
        ?assert([{hd(Terms), key}] =:= xets:lookup(Last, hd(Terms))),
        xets:delete(Last)
    end).

compressed_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            Object = {1, lists:duplicate(1000, "abc"), binary:copy(<<"x">>, 5000)},
            T = durable(Dir, [compressed]),
            xets:insert(T, Object),
            Again = reopened(T, Dir, [compressed]),
            ?assertEqual([Object], xets:tab2list(Again)),
            ?assertEqual(true, xets:info(Again, compressed)),
            xets:delete(Again)
        end)
    end}.

%% A unit larger than any buffer.
a_long_list_is_one_change_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            N = small(200000, 20000),
            T = durable(Dir, []),
            Objects = [{I, <<I:1000>>} || I <- lists:seq(1, N)],
            ?assert(xets:insert(T, Objects)),
            ?assertNot(xets:insert_new(T, [{0, 0} | Objects])),
            Again = reopened(T, Dir, []),
            ?assertEqual(Objects, lists:sort(xets:tab2list(Again))),
            xets:delete(Again)
        end)
    end}.

%% Its order is that in memory, whoever inserted what at the same time.
a_group_that_many_insert_into_keeps_its_order_test_() ->
    [{atom_to_list(Type), {timeout, 120, fun() -> in_dir(fun(Dir) -> group(Type, Dir) end) end}}
     || Type <- [bag, duplicate_bag]].

group(Type, Dir) ->
    T = durable(#{dir => Dir, sync => memory}, [Type, public]),
    Inserts = fun(I) ->
        fun() ->
            [xets:insert(T, {key, I, J}) || J <- lists:seq(1, 300)],
            xets:insert(T, [{key, I, list, J} || J <- lists:seq(1, 50)])
        end
    end,
    together([Inserts(I) || I <- lists:seq(1, 4)]),
    Had = xets:lookup(T, key),
    ?assertEqual(1400, length(Had)),
    Again = reopened(T, Dir, [Type]),
    ?assertEqual(Had, xets:lookup(Again, key)),
    xets:insert(Again, {key, last}),
    ?assertEqual({key, last}, lists:last(xets:lookup(Again, key))),
    xets:delete(Again).

together(Funs) ->
    Workers = [spawn_monitor(Fun) || Fun <- Funs],
    [receive {'DOWN', M, process, P, Reason} -> ?assertEqual(normal, Reason) end
     || {P, M} <- Workers].

many_processes_wait_at_once_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(#{dir => Dir, sync => disk}, [public]),
            together([fun() -> [xets:insert(T, {{I, J}, J}) || J <- lists:seq(1, 20)] end
                      || I <- lists:seq(1, 20)]),
            ?assertMatch(#{unsynced := 0}, xets:info(T, durable)),
            Again = reopened(T, Dir, []),
            ?assertEqual(400, xets:info(Again, size)),
            xets:delete(Again)
        end)
    end}.

%%% Levels

%% Also of what finds out itself what a match specification means, which `ets' has to run.
a_call_that_changes_many_waits_once_test_() ->
    % `node' is left to ets.
    Guard = [{'=:=', {node}, {const, node()}}],
    in_each_type(fun(Type, Dir) -> waits_once(Type, Guard, Dir) end).

waits_once(Type, Guard, Dir) ->
    T = durable(#{dir => Dir, sync => disk}, [Type]),
    N = 1200,
    xets:insert(T, Objects = [{I, I rem 3} || I <- lists:seq(1, N)]),
    Third = fun(Rest) -> [{{'$1', Rest}, Guard, [true]}] end,
    ?assertEqual({N div 3, 1}, waits(fun() -> xets:select_delete(T, Third(0)) end)),
    {Taken, Waits} = waits(fun() -> xets:select_take(T, Third(1)) end),
    ?assertEqual({N div 3, 1}, {length(Taken), Waits}),
    Left = lists:sort([Object || {_, 2} = Object <- Objects]),
    ?assertEqual(Left, lists:sort(xets:tab2list(T))),
    New = {{'$1', '$2'}, Guard, [{{'$1', {{'$2'}}}}]},
    case Type of
        bag -> ok;
        _ -> ?assertEqual({N div 3, 1}, waits(fun() -> xets:select_replace(T, [New]) end))
    end,
    ?assertEqual({0, 0}, waits(fun() -> xets:select_delete(T, Third(0)) end)),
    #{unsynced := Unsynced} = xets:info(T, durable),
    ?assertEqual(0, Unsynced),
    Had = contents(T),
    Again = reopened(T, #{dir => Dir, sync => disk}, [Type]),
    ?assertEqual(Had, contents(Again)),
    xets:delete(Again).

%% What Fun returns, and how often it waits.
waits(Fun) ->
    Wait = {xets_durable, wait, 3},
    {module, xets_durable} = code:ensure_loaded(xets_durable),
    1 = erlang:trace_pattern(Wait, true, [call_count]),
    try
        Result = Fun(),
        {call_count, Count} = erlang:trace_info(Wait, call_count),
        {Result, Count}
    after
        erlang:trace_pattern(Wait, false, [call_count])
    end.

%% A file read into it is written as anything else.
a_file_is_read_into_it_test_() ->
    in_each_type(fun(Type, Dir) ->
        File = Dir ++ "/file",
        From = xets:new(from, [Type]),
        xets:insert(From, [{a, #{"b" => <<1:3>>}} | [{I rem 5000, I} || I <- lists:seq(1, 10000)]]),
        [begin
             ok = xets:tab2file(From, File, [{format, Format}]),
             T = durable(#{dir => Dir ++ "/it", sync => Level}, [Type]),
             {Read, Waits} = waits(fun() -> xets:file2tab(File, [{table, T}]) end),
             ?assertEqual({ok, T}, Read),
             % At level os it may be written before anybody has to wait.
             ?assert(Waits > 0 orelse Level =/= disk),
             #{unsynced := Unsynced, unwritten := Unwritten} = xets:info(T, durable),
             ?assert(Level =:= memory orelse Unwritten =:= 0),
             ?assert(Level =/= disk orelse Unsynced =:= 0),
             Again = reopened(T, Dir ++ "/it", [Type]),
             ?assertEqual(contents(From), contents(Again)),
             xets:delete(Again),
             ok = xets:destroy(Dir ++ "/it")
         end || Format <- [xets, ets], Level <- [memory, os, disk]],
        xets:delete(From)
    end, fun(Dir) -> ok = file:make_dir(Dir) end).

a_write_returns_when_its_level_is_reached_test_() ->
    {timeout, 120, fun() ->
        [in_dir(fun(Dir) ->
             T = durable(#{dir => Dir, sync => Level}, []),
             [xets:insert(T, {I, I}) || I <- lists:seq(1, 10)],
             #{sync := Level, unwritten := Unwritten, unsynced := Unsynced} = xets:info(T, durable),
             ?assert(Level =:= memory orelse Unwritten =:= 0),
             ?assert(Level =/= disk orelse Unsynced =:= 0),
             ?assertEqual(ok, xets:sync(T)),
             ?assertMatch(#{unwritten := 0, unsynced := 0, error := none}, xets:info(T, durable)),
             xets:delete(T)
         end) || Level <- [memory, os, disk]]
    end}.

messages_of_the_caller_are_left_alone_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(#{dir => Dir, sync => disk}, []),
            self() ! first,
            [xets:insert(T, {I, I}) || I <- lists:seq(1, 10)],
            self() ! second,
            ok = xets:sync(T),
            ?assertEqual([first, second], flush()),
            xets:delete(T)
        end)
    end}.

flush() ->
    receive Message -> [Message | flush()]
    after 0 -> []
    end.

%%% Checkpoints

a_checkpoint_begins_the_journal_anew_test_() ->
    in_each_type(fun(Type, Dir) ->
        T = durable(Dir, [Type]),
        [xets:insert(T, {1, I, <<I:800>>}) || I <- lists:seq(1, 100)],
        #{bytes := Before, checkpoint := none} = xets:info(T, durable),
        ?assertEqual(ok, xets:checkpoint(T)),
        #{bytes := After, checkpoint := Time} = xets:info(T, durable),
        ?assert(After < Before),
        ?assert(abs(os:system_time(second) - Time) < 100),
        xets:insert(T, {1, last}),
        Had = contents(T),
        Again = reopened(T, Dir, [Type]),
        ?assertEqual(Had, contents(Again)),
        #{checkpoint := Then} = xets:info(Again, durable),
        ?assert(abs(os:system_time(second) - Then) < 100),
        xets:delete(Again)
    end).

what_is_written_meanwhile_is_kept_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            N = 2000,
            T = durable(#{dir => Dir, sync => memory}, [public, ordered_set]),
            xets:insert(T, [{I, 0} || I <- lists:seq(1, N)]),
            Writer = fun() ->
                [xets:update_counter(T, I, 1) || _ <- [1, 2], I <- lists:seq(1, N)]
            end,
            Checks = fun() -> [ok = checkpointed(T) || _ <- lists:seq(1, 4)] end,
            together([Writer, Writer, Checks]),
            Again = reopened(T, Dir, [ordered_set]),
            ?assertEqual([{I, 4} || I <- lists:seq(1, N)], xets:tab2list(Again)),
            xets:delete(Again)
        end)
    end}.

a_checkpoint_comes_by_itself_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(#{dir => Dir, checkpoint_after => 1000}, []),
            [xets:insert(T, {I rem 10, <<0:800>>}) || I <- lists:seq(1, 50)],
            eventually(fun() -> maps:get(checkpoint, xets:info(T, durable)) =/= none end),
            Again = reopened(T, Dir, []),
            ?assertEqual(10, xets:info(Again, size)),
            xets:delete(Again)
        end)
    end}.

%% What an opening finds in the journal counts: else a program that restarts often never has one.
a_checkpoint_comes_in_short_sessions_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            Open = fun(After) -> durable(#{dir => Dir, checkpoint_after => After}, []) end,
            [begin
                 T = Open(1 bsl 40),
                 xets:insert(T, {1, <<I:800>>}),
                 xets:delete(T)
             end || I <- lists:seq(1, 10)],
            Last = Open(1000),
            xets:insert(Last, {1, <<11:800>>}),
            eventually(fun() -> maps:get(checkpoint, xets:info(Last, durable)) =/= none end),
            ?assertEqual([{1, <<11:800>>}], xets:tab2list(Last)),
            xets:delete(Last)
        end)
    end}.

%% Who is told that one is due may be gone before it has begun one: later somebody else is.
who_is_told_may_do_nothing_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(#{dir => Dir, sync => memory, checkpoint_after => 1000}, []),
            Log = xets:durable_log_nif(T),
            Told = fun() -> xets:durable_wait_nif(Log, 1, make_ref()) =:= checkpoint end,
            % While one is written nobody is told that another is due.
            Other = actor(),
            run(Other, fun() -> element(1, xets:checkpoint_begin_nif(Log, none)) end),
            xets:insert(T, {1, <<0:10000>>}),
            ?assertNot(Told()),
            kill(Other),
            xets_test_lib:settled(),
            ?assert(Told()),
            ?assertNot(Told()),
            ?assertMatch(#{checkpoint := none}, xets:info(T, durable)),
            xets:insert(T, {2, <<0:10000>>}),
            eventually(fun() -> maps:get(checkpoint, xets:info(T, durable)) =/= none end),
            xets:delete(T)
        end)
    end}.

%% Of a table that is gone none is due, however much was written.
no_checkpoint_of_what_is_closed_test_() ->
    in_each_type(fun(Type, Dir) ->
        T = durable(#{dir => Dir, sync => disk, checkpoint_after => 1000}, [Type]),
        Log = xets:durable_log_nif(T),
        % While one is written no other is due.
        {ok, {Job, Snapshot}} = xets:checkpoint_begin_nif(Log, none),
        true = xets:insert(T, {1, <<0:80000>>}),
        true = xets:delete(T),
        ?assertMatch({error, {closed, _, _, _, _}}, xets:checkpoint_write_nif(Job, Snapshot)),
        true = xets:delete(Snapshot),
        ?assertEqual(ok, xets:durable_wait_nif(Log, 1, make_ref())),
        ?assertEqual(ok, xets:durable_wait_nif(Log, sync, make_ref())),
        ?assertEqual(ok, xets:durable_wait_nif(Log, closed, make_ref()))
    end).

%% It does nothing to the directory any more, which may be another table's: that writes a file of
%% the same name. What nobody goes on with is closed by the reclaimer.
a_checkpoint_ends_with_its_table_test_() ->
    [{timeout, 120, fun() -> in_dir(fun(Dir) -> checkpoint_of_another(Dir, End) end) end}
     || End <- [fun goes_on/1, fun is_forgotten/1]].

checkpoint_of_another(Dir, End) ->
    T = durable(Dir, []),
    xets:insert(T, {1, 1}),
    Late = actor(),
    run(Late, fun() -> put(begun, xets:checkpoint_begin_nif(xets:durable_log_nif(T), none)) end),
    Again = reopened(T, Dir, []),
    New = fun() -> filelib:wildcard(Dir ++ "/*.new") end,
    ?assertEqual([], New()),
    {ok, {Job, Snapshot}} = xets:checkpoint_begin_nif(xets:durable_log_nif(Again), none),
    ?assertMatch([_], New()),
    End(Late),
    ?assertMatch([_], New()),
    ?assertEqual(ok, written(Job, Snapshot)),
    xets:delete(Snapshot),
    xets:delete(Again),
    ?assertEqual(ok, xets:verify(Dir)),
    ?assertMatch([_, _], filelib:wildcard(Dir ++ "/{LOCK,checkpoint-*}")).

goes_on(Late) ->
    run(Late, fun() ->
        {ok, {Job, Snapshot}} = get(begun),
        ?assertMatch({error, {closed, _, _, _, _}}, xets:checkpoint_write_nif(Job, Snapshot)),
        xets:delete(Snapshot)
    end).

is_forgotten(Late) ->
    kill(Late),
    xets_test_lib:settled().

written(Job, Snapshot) ->
    case xets:checkpoint_write_nif(Job, Snapshot) of
        more -> written(Job, Snapshot);
        Result -> Result
    end.

%% The buffer counts as far as it has been used.
memory_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            All = fun() -> maps:get(bytes, xets:info()) end,
            T = durable(Dir, []),
            ?assert(8 * xets:info(T, memory) < 32768),
            {Had, AllHad} = {xets:info(T, memory), All()},
            [xets:insert(T, {1, <<I:80000>>}) || I <- lists:seq(1, 50)],
            ?assert(8 * (xets:info(T, memory) - Had) > 50 * 10000),
            ?assert(All() - AllHad > 50 * 10000),
            xets:delete(T)
        end)
    end}.

%%% Owners

%% Whoever may not read a table does not copy it either.
rights_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            ok = file:make_dir(Dir),
            T = durable(Dir ++ "/t", [private]),
            Calls = [{sync, [T]}, {checkpoint, [T]}, {backup, [T, Dir ++ "/b"]}],
            Other = actor(),
            [?assertMatch({error, badarg, _}, outcome(Other, F, Args)) || {F, Args} <- Calls],
            ?assertNot(filelib:is_file(Dir ++ "/b")),
            [?assertEqual(ok, apply(xets, F, Args)) || {F, Args} <- Calls],
            kill(Other),
            xets:delete(T)
        end)
    end}.

outcome(Actor, Function, Args) ->
    run(Actor, fun() ->
        try apply(xets, Function, Args) catch Class:Reason -> {Class, Reason, Args} end
    end).

the_table_of_a_dead_process_is_taken_over_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            [begin
                 Owner = actor(),
                 run(Owner, fun() ->
                     T = durable(#{dir => Dir, sync => memory}, []),
                     true = xets:insert(T, {I, I})
                 end),
                 kill(Owner)
             end || I <- lists:seq(1, 10)],
            T = durable(Dir, []),
            ?assertEqual(10, xets:info(T, size)),
            xets:delete(T)
        end)
    end}.

the_heir_goes_on_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            Me = self(),
            Owner = actor(),
            T = run(Owner, fun() -> durable(Dir, [{heir, Me, data}]) end),
            kill(Owner),
            receive {'ETS-TRANSFER', T, Owner, data} -> ok end,
            ?assert(xets:insert(T, {a, 1})),
            ?assertEqual(#{2 => <<"the directory is that of the table ", (text(T))/binary>>},
                         texts(xets, new, [other, [{durable, Dir}]])),
            Again = reopened(T, Dir, []),
            ?assertEqual([{a, 1}], xets:tab2list(Again)),
            xets:delete(Again)
        end)
    end}.

named_and_given_away_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            Other = actor(),
            ?assertEqual(durable, durable(Dir, [named_table])),
            ?assertEqual(#{1 => <<"table name already exists">>},
                         texts(xets, new, [durable, [named_table, {durable, Dir ++ "2"}]])),
            xets:insert(durable, {a, 1}),
            xets:rename(durable, renamed),
            xets:give_away(renamed, Other, gift),
            ?assert(run(Other, fun() -> xets:insert(renamed, {b, 2}) end)),
            ?assert(run(Other, fun() -> xets:delete(renamed) end)),
            T = durable(Dir, []),
            ?assertEqual([{a, 1}, {b, 2}], lists:sort(xets:tab2list(T))),
            xets:delete(T)
        end)
    end}.

%% The table is nobody else's before it is whole.
a_table_being_opened_is_not_seen_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(Dir, [named_table, public]),
            xets:insert(T, [{I, I} || I <- lists:seq(1, 5000)]),
            xets:delete(T),
            Me = self(),
            Opener = spawn_link(fun() ->
                Me ! {opened, durable(Dir, [named_table, public])},
                receive stop -> ok end
            end),
            Seen = watch(),
            ?assertEqual([5000], lists:usort(Seen) -- [undefined]),
            Opener ! stop
        end)
    end}.

watch() ->
    Size = xets:info(durable, size),
    receive
        {opened, durable} -> [xets:info(durable, size), Size]
    after 0 -> [Size | watch()]
    end.

%%% Memory

nothing_is_left_test_() ->
    {timeout, 120, fun() ->
        xets_test_lib:settled(),
        #{tables := Tables} = xets:info(),
        in_dir(fun(Dir) ->
            [begin
                 T = durable(Dir, [bag]),
                 xets:insert(T, {a, I}),
                 texts(xets, new, [t, [{durable, Dir}]]),
                 xets:delete(T),
                 texts(xets, new, [t, [{durable, Dir}]])
             end || I <- lists:seq(1, 20)]
        end),
        ?assertMatch(#{tables := Tables}, xets_test_lib:settled())
    end}.
