%% Durable tables: what was written is there when they are opened again, whoever ended them and
%% however. A table that is not durable is the oracle for all that calls return.
-module(xets_durable_tests).

-include_lib("eunit/include/eunit.hrl").

% In other emulators.
-export([count/1, fill/1]).

-import(xets_test_lib, [actor/0, run/2, kill/1, eventually/1, texts/3, small/2]).

-define(TYPES, [set, ordered_set, bag, duplicate_bag]).

%%% Directories

%% A directory that is not there yet, for the time of a test.
in_dir(Fun) ->
    Name = io_lib:format("xets_durable_~s_~b", [os:getpid(), erlang:unique_integer([positive])]),
    Dir = filename:join(os:getenv("TMPDIR", "/tmp"), lists:flatten(Name)),
    try
        Fun(Dir)
    after
        file:del_dir_r(Dir)
    end.

durable(Dir, Options) ->
    xets:new(durable, [{durable, Dir} | Options]).

in_each_type(Fun) ->
    in_each_type(Fun, fun(_) -> ok end).

in_each_type(Fun, Prepare) ->
    [{atom_to_list(Type),
      {timeout, 120, fun() -> in_dir(fun(Dir) -> Prepare(Dir), Fun(Type, Dir) end) end}}
     || Type <- ?TYPES].

%% What a table has; of a bag with the order of each key's objects.
contents(T) ->
    Key = fun(Object) -> element(xets:info(T, keypos), Object) end,
    % Keys are equal as those of a map are.
    Keys = maps:from_list([{Key(Object), true} || Object <- xets:tab2list(T)]),
    [xets:lookup(T, K) || K <- maps:keys(Keys)].

%% Closes a table, and opens it again.
reopened(T, Dir, Options) ->
    true = xets:delete(T),
    durable(Dir, Options).

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
    {timeout, 120, [{atom_to_list(Type),
      {timeout, 120, fun() -> in_dir(fun(Dir) -> waits_once(Type, Guard, Dir) end) end}}
     || Type <- ?TYPES]}.

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
             ?assert(Waits > 0 orelse Level =:= memory),
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

%% It does nothing to the directory any more, which may be another table's: that writes a file of
%% the same name.
a_checkpoint_ends_with_its_table_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(Dir, []),
            xets:insert(T, {1, 1}),
            {ok, {Job, Snapshot}} = xets:checkpoint_begin_nif(xets:durable_log_nif(T), false),
            Late = actor(),
            run(Late, fun() ->
                {ok, {Other, _}} = xets:checkpoint_begin_nif(xets:durable_log_nif(T), true),
                put(job, Other)
            end),
            Again = reopened(T, Dir, []),
            New = fun() -> filelib:wildcard(Dir ++ "/*.new") end,
            ?assertEqual([], New()),
            {ok, {JobAgain, SnapshotAgain}} =
                xets:checkpoint_begin_nif(xets:durable_log_nif(Again), false),
            ?assertMatch([_], New()),
            ?assertMatch({error, {closed, _, _, _, _}}, xets:checkpoint_write_nif(Job, Snapshot)),
            % What is left of the other one is closed by the reclaimer.
            kill(Late),
            xets_test_lib:settled(),
            ?assertMatch([_], New()),
            ?assertEqual(ok, written(JobAgain, SnapshotAgain)),
            [xets:delete(S) || S <- [Snapshot, SnapshotAgain]],
            xets:delete(Again),
            ?assertEqual(ok, xets:verify(Dir)),
            ?assertMatch([_, _], filelib:wildcard(Dir ++ "/{LOCK,checkpoint-*}"))
        end)
    end}.

written(Job, Snapshot) ->
    case xets:checkpoint_write_nif(Job, Snapshot) of
        more -> written(Job, Snapshot);
        Result -> Result
    end.

%%% Owners

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

text(Term) ->
    iolist_to_binary(io_lib:format("~tp", [Term])).

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

%%% What is refused

options_differ_test_() ->
    [{Text, {timeout, 120, fun() ->
          in_dir(fun(Dir) ->
              xets:delete(durable(Dir, Made)),
              ?assertEqual(#{2 => Text}, texts(xets, new, [t, [{durable, Dir} | Asked]])),
              % And it is not left locked.
              xets:delete(durable(Dir, Made))
          end)
      end}}
     || {Made, Asked, Text} <-
            [{[bag], [], <<"the directory is of a table with type bag">>},
             {[{keypos, 2}], [{keypos, 3}], <<"the directory is of a table with keypos 2">>},
             {[compressed], [], <<"the directory is of a table with compressed true">>}]].

bad_options_test_() ->
    [?_assertEqual(#{2 => Text}, texts(xets, new, [t, [{durable, Option}]]))
     || {Option, Text} <-
            [{"", <<"invalid option dir">>},
             {1, <<"invalid option dir">>},
             {#{}, <<"the option dir is missing">>},
             {#{dir => "d", sync => often}, <<"invalid option sync">>},
             {#{dir => "d", checkpoint_after => -1}, <<"invalid option checkpoint_after">>},
             {#{dir => "d", dirs => 1}, <<"unknown option: dirs">>}]].

no_directory_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            ok = file:write_file(Dir, "a file"),
            #{2 := Text} = texts(xets, new, [t, [{durable, Dir}]]),
            ?assertNotEqual(nomatch, string:find(Text, Dir)),
            ?assertNotEqual(nomatch, string:find(Text, "not a directory")),
            file:delete(Dir)
        end)
    end}.

%% Of each it is said which file, and where.
files_of_others_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            [?assertNotEqual(nomatch, string:find(no_table(NoDir), NoDir))
             || NoDir <- [Dir ++ "/no/dir", "/proc/xets_durable"]],
            File = filename:join(Dir, "checkpoint-0000000000000000"),
            xets:delete(durable(Dir, [])),
            {ok, <<Mark:8/binary, _, Rest/binary>> = Bytes} = file:read_file(File),
            [begin
                 ok = file:write_file(File, Damaged),
                 ?assertEqual(lists:concat(["read of ", File, ", at byte ", At, ": ", Text]),
                              no_table(Dir))
             end || {Damaged, At, Text} <-
                        [{<<"a text, and not a short one, but nothing that we have written: no, no">>,
                          0, "not a file of xets (another beginning)"},
                         {<<>>, 0, "not a file of xets (another beginning)"},
                         {<<Mark/binary, 2, Rest/binary>>, 8,
                          "a file of a version that this release does not know (of another version)"},
                         {binary:part(Bytes, 0, byte_size(Bytes) - 1), byte_size(Bytes) - 1,
                          "the file is damaged (the file ends in a block)"}]],
            ok = file:write_file(File, Bytes),
            xets:delete(durable(Dir, []))
        end)
    end}.

no_table(Dir) ->
    #{2 := Text} = texts(xets, new, [t, [{durable, Dir}]]),
    binary_to_list(Text).

a_directory_is_one_table_s_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(Dir, [public]),
            Other = actor(),
            Text = <<"the directory is that of the table ", (text(T))/binary>>,
            ?assertEqual(#{2 => Text}, texts(xets, new, [t, [{durable, Dir}]])),
            ?assertEqual(#{2 => Text},
                         run(Other, fun() -> texts(xets, new, [t, [{durable, Dir ++ "/."}]]) end)),
            xets:delete(T)
        end)
    end}.

other_tables_test_() ->
    {timeout, 120, fun() ->
        T = xets:new(t, []),
        ?assertEqual(false, xets:info(T, durable)),
        ?assertEqual(#{1 => <<"the table is not durable">>}, texts(xets, sync, [T])),
        ?assertEqual(#{1 => <<"the table is not durable">>}, texts(xets, checkpoint, [T])),
        xets:delete(T),
        ?assertEqual(undefined, xets:info(T, durable)),
        ?assertMatch(#{1 := _}, texts(xets, sync, [T]))
    end}.

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

%%% Directories

a_backup_is_a_table_of_its_own_test_() ->
    in_each_type(fun(Type, Dir) ->
        T = durable(Dir ++ "/it", [Type]),
        Copy = Dir ++ "/copy",
        ok = file:make_dir(Copy),
        xets:insert(T, [{1, I} || I <- lists:seq(1, 500)]),
        ?assertEqual(ok, xets:backup(T, Copy)),
        Had = contents(T),
        xets:insert(T, {2, 2}),
        ?assertEqual({error, not_empty}, xets:backup(T, Copy)),
        {error, {enoent, _, _, _, _}} = xets:backup(T, Dir ++ "/no/copy"),
        Other = durable(Copy, [Type]),
        ?assertEqual(Had, contents(Other)),
        ?assertMatch(#{bytes := Bytes} when Bytes > 0, xets:info(T, durable)),
        Again = reopened(T, Dir ++ "/it", [Type]),
        ?assertEqual([{2, 2}], xets:lookup(Again, 2)),
        xets:delete(Other),
        xets:delete(Again)
    end, fun(Dir) -> ok = file:make_dir(Dir) end).

%% It is of one instant: each list as a whole, and all that was written before it.
a_backup_is_made_while_others_write_test_() ->
    in_each_type(fun(Type, Dir) ->
        It = durable(#{dir => Dir ++ "/it", sync => memory}, [public, Type]),
        Write = fun Write(I) ->
            true = xets:insert(It, [{{a, I}, I}, {{b, I}, I}]),
            receive stop -> I after 0 -> Write(I + 1) end
        end,
        {Writer, Monitor} = spawn_monitor(fun() -> exit({wrote, Write(1)}) end),
        Copies = [begin
                      Copy = Dir ++ "/copy" ++ integer_to_list(N),
                      eventually(fun() -> xets:info(It, size) > 1000 * N end),
                      ok = xets:backup(It, Copy),
                      Copy
                  end || N <- [1, 2, 3]],
        Writer ! stop,
        receive {'DOWN', Monitor, process, Writer, {wrote, _}} -> ok end,
        xets:delete(It),
        [begin
             ?assertEqual(ok, xets:verify(Copy)),
             T = durable(Copy, [Type]),
             Size = xets:info(T, size),
             ?assert(Size > 1000 andalso Size rem 2 =:= 0),
             [?assertEqual([{{AB, I}, I}], xets:lookup(T, {AB, I}))
              || AB <- [a, b], I <- lists:seq(1, Size div 2)],
             xets:delete(T)
         end || Copy <- Copies]
    end, fun(Dir) -> ok = file:make_dir(Dir) end).

open_directories_are_left_alone_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(Dir, []),
            [?assertEqual({error, {in_use, T}}, xets:F(Dir)) || F <- [verify, repair, destroy]],
            ?assertEqual("the directory is that of the table " ++ binary_to_list(text(T)),
                         xets:format_error({in_use, T})),
            xets:delete(T),
            ?assertEqual(ok, xets:verify(Dir)),
            ?assertEqual(ok, xets:destroy(Dir)),
            ?assertNot(filelib:is_dir(Dir)),
            {error, {enoent, _, _, _, _}} = xets:verify(Dir),
            {error, {enoent, _, _, _, _}} = xets:repair(Dir)
        end)
    end}.

%% A byte in the middle of the only segment, or of the checkpoint.
damage_is_told_and_repaired_test_() ->
    [{File, {timeout, 120, fun() -> in_dir(fun(Dir) -> damaged(Dir, File) end) end}}
     || File <- ["journal-*", "checkpoint-*"]].

damaged(Dir, Files) ->
    N = 20000,
    Options = [ordered_set],
    Ds = #{dir => Dir, sync => disk},
    T = durable(Ds#{checkpoint_after => 1 bsl 40}, Options),
    xets:insert(T, [{I, I} || I <- lists:seq(1, N)]),
    _ = [ok = xets:checkpoint(T) || Files =:= "checkpoint-*"],
    [xets:insert(T, {N + I, <<I:800>>}) || I <- lists:seq(1, 20)],
    xets:delete(T),
    [File] = filelib:wildcard(filename:join(Dir, Files)),
    flip(File, filelib:file_size(File) div 2),
    {error, {damaged, _, Path, _, _} = Reason} = xets:verify(Dir),
    ?assertEqual(File, binary_to_list(Path)),
    #{2 := Text} = texts(xets, new, [t, [{durable, Dir} | Options]]),
    ?assertEqual(binary_to_list(Text), xets:format_error(Reason)),
    {ok, #{objects := Objects, lost_bytes := Lost}} = xets:repair(Dir),
    ?assert(Lost > 0),
    ?assert(Objects < N + 20),
    ?assertEqual(ok, xets:verify(Dir)),
    Again = durable(Ds, Options),
    ?assertEqual(Objects, xets:info(Again, size)),
    ?assert(xets:member(Again, N + 20)),
    xets:insert(Again, {0, 0}),
    xets:delete(Again),
    ?assertEqual(ok, xets:verify(Dir)).

%% Bytes of which all checksums are right, but that say nothing about this table: those of a table
%% with the key in another place.
whole_but_meaningless_test_() ->
    [{timeout, 120, {Title, fun() -> in_dir(Fun) end}}
     || {Title, Fun} <- [{"change", fun meaningless_change/1},
                         {"object", fun meaningless_object/1},
                         {"metadata", fun meaningless_metadata/1}]].

meaningless_change(Dir) ->
    ok = file:make_dir(Dir),
    [Own, Other] = [filename:join(Dir, Name) || Name <- ["own", "other"]],
    xets:delete(durable(Own, [{keypos, 2}])),
    T = durable(Other, []),
    xets:insert(T, {1}),
    xets:insert(T, {1, 2}),
    xets:delete(T),
    [Segment] = filelib:wildcard(filename:join(Other, "journal-*")),
    File = filename:join(Own, filename:basename(Segment)),
    {ok, _} = file:copy(Segment, File),
    % The first record's bytes are behind its header; the first says that an object follows.
    refused(Own, [{keypos, 2}], File, 4096 + 40 + 1, "no change of a table"),
    {ok, #{objects := 1, lost_records := 1}} = xets:repair(Own),
    Again = durable(Own, [{keypos, 2}]),
    ?assertEqual([{1, 2}], xets:tab2list(Again)),
    xets:delete(Again).

meaningless_object(Dir) ->
    {T, Log, Meta} = opened_as(Dir, 2, 1),
    xets:insert(T, [{1, one}, {2}]),
    ok = xets:checkpoint(T),
    Log = xets:durable_log_nif(T),
    xets:delete(T),
    File = lists:last(lists:sort(filelib:wildcard(Dir ++ "/checkpoint-*"))),
    {ok, Bytes} = file:read_file(File),
    [{At, _}] = binary:matches(Bytes, <<104, 1, 97, 2>>), % {2}
    refused(Dir, [{keypos, 2}], File, At, "no object of a table"),
    ?assert(At > 64 + byte_size(Meta)),
    {ok, #{lost_records := 1}} = xets:repair(Dir),
    ?assertEqual(ok, xets:verify(Dir)).

%% A directory for tables with one key position that has the objects of a table with another one.
opened_as(Dir, KeyPos, OfTable) ->
    Meta = metadata([{type, set}, {keypos, KeyPos}, {compressed, false}]),
    {ok, {Log, Meta, _}} = xets:durable_open_nif(list_to_binary(Dir), Meta, os, 0),
    {ok, Settings} = xets_options:settings(durable, [{keypos, OfTable}]),
    Hidden = xets:durable_prepare_nif(durable, setelement(5, Settings, none)),
    ok = replayed(Log, Hidden),
    ok = xets:durable_attach_nif(Log, Hidden),
    {xets:durable_show_nif(Hidden, none), Log, Meta}.

replayed(Log, Table) ->
    case xets:durable_replay_nif(Log, Table) of
        more -> replayed(Log, Table);
        Result -> Result
    end.

metadata(Form) ->
    term_to_binary({xets_durable, 1, Form}).

meaningless_metadata(Dir) ->
    Form = [{type, set}, {keypos, 1}, {compressed, false}],
    [begin
         {ok, {Log, Meta, File}} = xets:durable_open_nif(list_to_binary(Dir), Meta, os, 0),
         ok = xets:durable_close_nif(Log),
         ?assertEqual(ok, xets:verify(Dir)),
         refused(Dir, [], binary_to_list(File), 64, "the metadata"),
         ?assertMatch({error, {_, <<"read">>, File, 64, <<"the metadata">>}}, xets:repair(Dir)),
         ok = xets:destroy(Dir)
     end || Meta <- [<<"no term">>, term_to_binary(17), term_to_binary({xets_durable, 2, Form}),
                     metadata([]), metadata(Form ++ Form),
                     metadata(lists:keyreplace(type, 1, Form, {type, tree})),
                     metadata(lists:keyreplace(keypos, 1, Form, {keypos, 0}))]].

refused(Dir, Options, File, Offset, What) ->
    #{2 := Text} = texts(xets, new, [t, [{durable, Dir} | Options]]),
    At = io_lib:format("read of ~ts, at byte ~b: ", [File, Offset]),
    ?assertMatch({_, match}, {Text, re:run(Text, ["^\\Q", At, "\\E.* \\(", What, "\\)$"],
                                           [{capture, none}])}).

%% Verifying goes in steps, and ends with its process.
verifying_can_be_ended_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(#{dir => Dir, sync => memory, checkpoint_after => 1 bsl 40}, []),
            Large = <<0:(8 * 3000000)>>,
            [xets:insert(T, {I, Large}) || I <- lists:seq(1, 4)],
            ok = xets:checkpoint(T),
            [xets:insert(T, {I, Large}) || I <- lists:seq(5, 8)],
            xets:delete(T),
            Path = list_to_binary(Dir),
            {ok, Verification} = xets:durable_verify_open_nif(Path),
            Steps = steps(Verification),
            ?assert(Steps >= 8),
            ?assertError(badarg, xets:durable_verify_nif(Verification)),
            [?assertError(badarg, xets:durable_verify_nif(X)) || X <- [make_ref(), Dir]],
            Actor = actor(),
            run(Actor, fun() ->
                {ok, Begun} = xets:durable_verify_open_nif(Path),
                more = xets:durable_verify_nif(Begun),
                put(verification, Begun)
            end),
            ?assertNotEqual([], open_within(Dir)),
            kill(Actor),
            eventually(fun() -> open_within(Dir) =:= [] end)
        end)
    end}.

steps(Verification) ->
    case xets:durable_verify_nif(Verification) of
        more -> 1 + steps(Verification);
        ok -> 0
    end.

%% Files in a directory that this VM has open.
open_within(Dir) ->
    {ok, Fds} = file:list_dir("/proc/self/fd"),
    [File || Fd <- Fds, {ok, File} <- [file:read_link_all("/proc/self/fd/" ++ Fd)],
             string:prefix(File, Dir) =/= nomatch].

flip(File, At) ->
    {ok, F} = file:open(File, [read, write, raw, binary]),
    {ok, <<Byte>>} = file:pread(F, At, 1),
    ok = file:pwrite(F, At, <<(Byte bxor 1)>>),
    ok = file:close(F).

%%% Emulators that end

%% In another emulator it is somebody else's, until that ends.
another_emulator_has_the_directory_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            Child = child("xets_durable_tests:count(\"" ++ Dir ++ "\")", ""),
            Told = told(Child, 10, 0),
            Lock = list_to_binary(Dir ++ "/LOCK"),
            Text = <<"lock of ", Lock/binary, ": in use by another process of the system">>,
            ?assertEqual(#{2 => Text}, texts(xets, new, [t, [{durable, Dir}, ordered_set]])),
            [begin
                 {error, {locked, <<"lock">>, Lock, none, none} = Reason} = xets:F(Dir),
                 ?assertEqual(binary_to_list(Text),
                              lists:flatten(io_lib:format("~ts", [xets:format_error(Reason)])))
             end || F <- [verify, repair, destroy]],
            kill_child(Child),
            T = durable(Dir, [ordered_set]),
            ?assert(xets:info(T, size) >= Told),
            xets:delete(T)
        end)
    end}.

%% Who verifies a directory keeps others out; a backup has nothing to lock, and nothing is made in
%% it.
verifying_locks_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            ok = file:make_dir(Dir),
            [It, Copy] = [filename:join(Dir, Name) || Name <- ["it", "copy"]],
            T = durable(It, []),
            xets:insert(T, {1, 1}),
            ok = xets:backup(T, Copy),
            ?assertEqual(ok, xets:verify(Copy)),
            {ok, Names} = file:list_dir(Copy),
            ?assertMatch(["checkpoint-" ++ _], Names),
            xets:delete(T),
            {ok, Verification} = xets:durable_verify_open_nif(list_to_binary(It)),
            #{2 := Text} = texts(xets, new, [t, [{durable, It}]]),
            ?assertNotEqual(nomatch, string:find(Text, "in use")),
            ?assertMatch({error, {locked, _, _, _, _}}, xets:verify(It)),
            _ = steps(Verification),
            xets:delete(durable(It, []))
        end)
    end}.

%% What a child has told that it has written (level `os', so that it is with the system) is there
%% when it is killed; and of what it wrote then, the beginning.
killed_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            lists:foldl(fun(Kill, N) -> killed(Dir, Kill, N) end, 0, lists:seq(1, small(5, 2)))
        end)
    end}.

killed(Dir, Kill, Had) ->
    Child = child("xets_durable_tests:count(\"" ++ Dir ++ "\")", ""),
    Told = told(Child, Had + 200 * Kill, Had),
    kill_child(Child),
    T = durable(Dir, [ordered_set]),
    Written = xets:info(T, size),
    ?assert(Written >= Told),
    ?assertEqual([{I, -I} || I <- lists:seq(1, Written)], xets:tab2list(T)),
    xets:delete(T),
    Written.

%% In the child.
count(Dir) ->
    T = durable(#{dir => Dir, checkpoint_after => 3000}, [ordered_set]),
    count_from(T, xets:info(T, size) + 1).

count_from(T, I) ->
    true = xets:insert(T, {I, -I}),
    io:put_chars([integer_to_list(I), "\n"]),
    count_from(T, I + 1).

%% The last number that the child tells, when it has told `Enough'.
told(_, Enough, Last) when Last >= Enough ->
    Last;
told({Port, _} = Child, Enough, Last) ->
    receive
        {Port, {data, {eol, Line}}} ->
            case string:to_integer(Line) of
                {N, ""} -> told(Child, Enough, N);
                _ -> told(Child, Enough, Last)
            end;
        {Port, {exit_status, Status}} ->
            error({child_ended, Status})
    end.

%% An emulator that evaluates an expression; `Shell' comes before it.
child(Expression, Shell) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Paths = [["-pa ", filename:absname(filename:dirname(code:which(M))), " "]
             || M <- [xets, ?MODULE]],
    Command = io_lib:format("~s exec ~s -noshell -noinput ~s -eval '~s'",
                            [Shell, Erl, Paths, Expression]),
    Port = open_port({spawn_executable, "/bin/sh"},
                     [{args, ["-c", lists:flatten(Command)]}, {line, 1000}, exit_status,
                      stderr_to_stdout]),
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    {Port, OsPid}.

kill_child({Port, OsPid}) ->
    os:cmd("kill -9 " ++ integer_to_list(OsPid)),
    ended(Port).

%% What the child has printed until it ended.
ended(Port) ->
    receive
        {Port, {data, {_, Line}}} -> [Line | ended(Port)];
        {Port, {exit_status, _}} -> []
    end.

%% A file that may not be as large as it would have to be: the write fails, and those after it, in
%% words; what is in memory stays to be read; afterwards all is there that was acknowledged.
a_full_disk_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            {Port, _} = child("xets_durable_tests:fill(\"" ++ Dir ++ "\")",
                              "trap \"\" XFSZ; ulimit -f 60000;"),
            Lines = ended(Port),
            ?assertMatch({_, {match, _}}, {Lines, re:run(lists:last(Lines), "^acknowledged ")}),
            {N, ""} = string:to_integer(string:prefix(lists:last(Lines), "acknowledged ")),
            T = durable(Dir, [ordered_set]),
            ?assert(xets:info(T, size) >= N),
            ?assertEqual(N, length([I || I <- lists:seq(1, N), xets:member(T, I)])),
            xets:delete(T)
        end)
    end}.

%% In the child.
fill(Dir) ->
    T = durable(Dir, [ordered_set]),
    N = 100,
    [true = xets:insert(T, {I, <<0:80000>>}) || I <- lists:seq(1, N)],
    % That has happened in memory, but nothing after it does.
    {durable, _} = try xets:insert(T, {N + 1, <<0:800000000>>}) catch error:Failed -> Failed end,
    {error, Reason} = xets:sync(T),
    false = string:find(xets:format_error(Reason), Dir) =:= nomatch,
    #{error := Reason} = xets:info(T, durable),
    #{1 := Text} = texts(xets, insert, [T, {0, 0}]),
    false = string:find(Text, "not kept any more") =:= nomatch,
    true = xets:member(T, N + 1),
    false = xets:member(T, 0),
    io:format("acknowledged ~b~n", [N]),
    halt(0).
