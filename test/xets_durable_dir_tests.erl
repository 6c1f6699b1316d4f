%% The directories of durable tables: which ones are opened, backed up, verified and repaired, and
%% what emulators leave in them that end, in all ways.
-module(xets_durable_dir_tests).

-include_lib("eunit/include/eunit.hrl").

% In other emulators.
-export([count/1, fill/1]).

-import(xets_durable_lib, [in_dir/1, durable/2, in_each_type/1, in_each_type/2, contents/1,
                           reopened/3, text/1]).
-import(xets_test_lib, [actor/0, run/2, kill/1, eventually/1, texts/3, small/2]).

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
            Long = Dir ++ lists:duplicate(5000, $x),
            ?assertNotEqual(nomatch, string:find(no_table(Long), "file name too long")),
            [?assertMatch({error, {enametoolong, _, _, _, _}}, xets:Call(Long))
             || Call <- [verify, repair, destroy]],
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
                         {<<Mark/binary, 3, Rest/binary>>, 0,
                          "the file is damaged (the header's checksum is wrong)"},
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

%% Whoever opens a directory has it, and loses it with its life, also when all has been read.
who_opens_it_may_die_test_() ->
    in_each_type(fun(Type, Dir) ->
        T = durable(Dir, [Type]),
        xets:insert(T, {1, a}),
        Had = contents(T),
        true = xets:delete(T),
        #{tables := Tables} = xets_test_lib:settled(),
        Opening = <<"another process opens the directory">>,
        Opener = actor(),
        {attached, Log} = run(Opener, fun() ->
            {Hidden, Log} = opened_hidden(Dir, Type),
            put(hidden, Hidden),
            {attached, Log}
        end),
        ?assertEqual(#{2 => Opening}, texts(xets, new, [t, [Type, {durable, Dir}]])),
        ok = xets:durable_close_nif(Log),
        ?assertEqual(#{2 => Opening}, texts(xets, new, [t, [Type, {durable, Dir}]])),
        kill(Opener),
        Again = durable(Dir, [Type]),
        ?assertEqual(Had, contents(Again)),
        true = xets:delete(Again),
        % Deleted, and not shown.
        {Unseen, _} = opened_hidden(Dir, Type),
        ?assertEqual(true, xets:delete(Unseen)),
        ?assertError(badarg, xets:delete(Unseen)),
        Last = durable(Dir, [Type]),
        ?assertEqual(Had, contents(Last)),
        true = xets:delete(Last),
        ?assertMatch(#{tables := Tables}, xets_test_lib:settled())
    end).

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

%% It is in the directory that was there when it was begun.
a_backup_s_directory_may_be_moved_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            ok = file:make_dir(Dir),
            [It, Copy, Moved] = [filename:join(Dir, Name) || Name <- ["it", "copy", "moved"]],
            T = durable(It, []),
            xets:insert(T, {1, 1}),
            ok = file:make_dir(Copy),
            Log = xets:durable_log_nif(T),
            {ok, {Job, Snapshot}} = xets:checkpoint_begin_nif(Log, list_to_binary(Copy)),
            ok = file:rename(Copy, Moved),
            ok = file:make_dir(Copy),
            ?assertEqual(0, steps(fun() -> xets:checkpoint_write_nif(Job, Snapshot) end)),
            true = xets:delete(Snapshot),
            ?assertEqual({ok, []}, file:list_dir(Copy)),
            ?assertEqual(ok, xets:verify(Moved)),
            xets:delete(T)
        end)
    end}.

%% An open table stays in the directory that it was opened in, whatever has its path meanwhile: a
%% checkpoint and what follows on it leave the other table's files alone, and both have all.
paths_that_lead_elsewhere_test_() ->
    [{Title, {timeout, 120, fun() -> in_dir(fun(Dir) -> led_elsewhere(Divert(Dir), Write) end) end}}
     || {How, Divert} <- [{"link", fun by_link/1}, {"move", fun by_move/1}],
        {When, Write} <- [{"asked for", fun checkpoints/1}, {"due", fun writes_until_checkpoint/1}],
        Title <- [How ++ ", checkpoint " ++ When]].

%% {Path, Divert, where what is there now will be then, and where what comes then will be}.
by_link(Dir) ->
    [Link, First, Second] = [filename:join(Dir, Name) || Name <- ["current", "v1", "v2"]],
    [ok = file:make_dir(D) || D <- [Dir, First, Second]],
    ok = file:make_symlink("v1", Link),
    Divert = fun() ->
        ok = file:delete(Link),
        ok = file:make_symlink("v2", Link)
    end,
    {Link ++ "/data", Divert, First ++ "/data", Second ++ "/data"}.

by_move(Dir) ->
    ok = file:make_dir(Dir),
    [Path, Moved] = [filename:join(Dir, Name) || Name <- ["data", "moved"]],
    {Path, fun() -> ok = file:rename(Path, Moved) end, Moved, Path}.

led_elsewhere({Path, Divert, First, Second}, Write) ->
    A = durable(#{dir => Path, checkpoint_after => 100000}, []),
    xets:insert(A, [{I, a} || I <- lists:seq(1, 100)]),
    Divert(),
    B = durable(#{dir => Path, sync => disk}, []),
    xets:insert(B, [{I, b} || I <- lists:seq(1, 200)]),
    Write(A),
    xets:insert(B, {b, b}),
    ?assertEqual(ok, xets:sync(B)),
    Write(A),
    ?assertEqual(ok, xets:checkpoint(B)),
    ?assertEqual([{error, {in_use, A}}, {error, {in_use, B}}],
                 [xets:verify(Dir) || Dir <- [First, Path]]),
    xets:insert(A, {a, a}),
    Had = [lists:sort(xets:tab2list(T)) || T <- [A, B]],
    [true = xets:delete(T) || T <- [A, B]],
    ?assertEqual(Had, [in_directory(Dir) || Dir <- [First, Second]]).

in_directory(Dir) ->
    ?assertEqual(ok, xets:verify(Dir)),
    T = durable(Dir, []),
    Objects = lists:sort(xets:tab2list(T)),
    true = xets:delete(T),
    Objects.

checkpoints(T) ->
    xets:insert(T, {checkpoint, asked_for}),
    ?assertEqual(ok, xets:checkpoint(T)).

%% More than the journal may have before one is made.
writes_until_checkpoint(T) ->
    xets:insert(T, {large, <<0:(8 * 100000)>>}),
    eventually(fun() ->
        % It is a write that finds that one is due.
        xets:insert(T, {more, xets:info(T, size)}),
        #{bytes := Bytes, checkpoint := Time} = xets:info(T, durable),
        Time =/= none andalso Bytes < 100000
    end).

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
            [?assertMatch({error, {enoent, _, _, _, _}}, xets:F(Dir))
             || F <- [verify, repair, destroy]],
            ?assertNot(filelib:is_dir(Dir))
        end)
    end}.

%% Nothing is made in it, and nothing removed.
directories_without_a_table_are_left_alone_test_() ->
    [{timeout, 120, fun() ->
          in_dir(fun(Dir) ->
              ok = file:make_dir(Dir),
              [ok = file:write_file(filename:join(Dir, Name), "mine") || Name <- Names],
              [begin
                   ?assertEqual({error, {no_table, <<"list">>, list_to_binary(Dir), none, none}},
                                xets:F(Dir)),
                   ?assertEqual({ok, Names}, file:list_dir(Dir))
               end || F <- [verify, repair, destroy]],
              ?assertEqual("list of " ++ Dir ++ ": there is no table", words(xets:verify(Dir)))
          end)
      end} || Names <- [[], ["a"], ["LOCK"]]].

%% What only looks like a file of ours is left as it was, without a LOCK beside it.
what_is_not_opened_is_left_alone_test_() ->
    [{timeout, 120, fun() ->
          in_dir(fun(Dir) ->
              ok = file:make_dir(Dir),
              ok = file:write_file(filename:join(Dir, Name), "mine"),
              #{2 := _} = texts(xets, new, [t, [{durable, Dir}]]),
              {error, _} = xets:repair(Dir),
              ?assertEqual({ok, [Name]}, file:list_dir(Dir)),
              ?assertEqual({ok, <<"mine">>}, file:read_file(filename:join(Dir, Name)))
          end)
      end} || Name <- ["checkpoint-0000000000000000", "journal-0000000000000001"]].

words(Error) ->
    lists:flatten(io_lib:format("~ts", [xets:format_error(Error)])).

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

%% What the table was is known from the journal, and all that was ever changed. (Of a checkpoint
%% that is whole but for its beginning that is known from its end.)
journals_alone_are_repaired_test_() ->
    in_each_type(fun(Type, Dir) ->
        Options = [Type, {keypos, 2}],
        T = durable(#{dir => Dir, checkpoint_after => 1 bsl 40}, Options),
        true = xets:insert(T, [{I, I rem 100} || I <- lists:seq(1, 1000)]),
        true = xets:delete(T, 7),
        Had = contents(T),
        true = xets:delete(T),
        File = filename:join(Dir, "checkpoint-0000000000000000"),
        [begin
             Spoil(File),
             ?assertMatch({error, {_, _, _, _, _}}, xets:verify(Dir)),
             #{2 := _} = texts(xets, new, [t, [{durable, Dir} | Options]]),
             Size = length(lists:append(Had)),
             ?assertEqual({ok, #{objects => Size, lost_checkpoint => IsLost, lost_changes => 0,
                                 lost_bytes => 0, lost_segments => 0, lost_records => 0}},
                          xets:repair(copy(Dir))),
             ?assertEqual(ok, xets:verify(copied(Dir))),
             Again = durable(copied(Dir), Options),
             ?assertEqual(Had, contents(Again)),
             true = xets:delete(Again),
             ok = xets:destroy(copied(Dir))
         end || {IsLost, Spoil} <- [{false, fun(F) -> flip(F, 20) end},
                                    {false, fun(F) -> flip(F, 70) end},
                                    {true, fun(F) -> ok = file:write_file(F, "a text") end},
                                    {true, fun(F) -> ok = file:write_file(F, "") end},
                                    {true, fun(F) -> ok = file:delete(F) end}]]
    end).

copied(Dir) ->
    Dir ++ "/copy".

copy(Dir) ->
    ok = file:make_dir(copied(Dir)),
    [{ok, _} = file:copy(File, filename:join(copied(Dir), filename:basename(File)))
     || File <- filelib:wildcard(Dir ++ "/*-*")],
    copied(Dir).

%% Without a beginning it is repaired; without more than that, it is told that it is lost.
checkpoints_are_salvaged_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            T = durable(Dir, []),
            xets:insert(T, {1}),
            ok = xets:checkpoint(T),
            xets:insert(T, {2}),
            xets:delete(T),
            ?assertMatch({ok, #{objects := 2, lost_checkpoint := false}}, xets:repair(Dir)),
            [Checkpoint] = filelib:wildcard(Dir ++ "/checkpoint-*"),
            [begin
                 flip(Checkpoint, At),
                 ?assertMatch({error, {_, _, _, _, _}}, xets:verify(Dir)),
                 ?assertMatch({ok, #{objects := 2, lost_checkpoint := false, lost_changes := 0,
                                     lost_bytes := 0}},
                              xets:repair(Dir)),
                 ?assertEqual(ok, xets:verify(Dir)),
                 ?assertEqual([Checkpoint], filelib:wildcard(Dir ++ "/*-*"))
             end || At <- [0, 8, 20, 63, 70]],
            Again = durable(Dir, []),
            xets:insert(Again, {3}),
            xets:delete(Again),
            ok = file:write_file(Checkpoint, "a text"),
            ?assertMatch({ok, #{objects := 1, lost_checkpoint := true, lost_changes := 2}},
                         xets:repair(Dir))
        end)
    end}.

%% Both of what is there twice, and what should be zeros; the table is opened as if nothing were,
%% and a checkpoint makes another journal.
the_beginning_of_a_journal_is_verified_test_() ->
    [{timeout, 120, fun() ->
          in_dir(fun(Dir) ->
              T = durable(Dir, []),
              xets:insert(T, {1, 1}),
              xets:delete(T),
              [File] = filelib:wildcard(Dir ++ "/journal-*"),
              flip(File, At),
              Name = list_to_binary(File),
              ?assertMatch({error, {damaged, <<"read">>, Name, At, _}}, xets:verify(Dir)),
              Again = durable(Dir, []),
              ?assertEqual([{1, 1}], xets:tab2list(Again)),
              ok = xets:checkpoint(Again),
              xets:delete(Again),
              ?assertEqual(ok, xets:verify(Dir))
          end)
      end} || At <- [0, 20, 63, 70, 300, 511, 512, 580, 1000, 1060, 4095]].

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
    Hidden = attached(Log, [{keypos, OfTable}]),
    {xets:durable_show_nif(Hidden, none), Log, Meta}.

%% A table that is hidden, with its log.
attached(Log, Options) ->
    {ok, Settings} = xets_options:settings(durable, Options),
    Hidden = xets:durable_prepare_nif(durable, setelement(5, Settings, none)),
    ok = replayed(Log, Hidden),
    ok = xets:durable_attach_nif(Log, Hidden),
    Hidden.

opened_hidden(Dir, Type) ->
    {ok, {Log, _, _}} = xets:durable_open_nif(list_to_binary(Dir), <<>>, os, 0),
    {attached(Log, [Type]), Log}.

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
            Steps = steps(fun() -> xets:durable_verify_nif(Verification) end),
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

steps(Step) ->
    case Step() of
        more -> 1 + steps(Step);
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
            Child = child(?MODULE_STRING ":count(\"" ++ Dir ++ "\")", ""),
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

%% Nor do the tables of two emulators meet that had the same path one after the other.
a_directory_is_moved_and_another_emulator_has_its_path_test_() ->
    {timeout, 120, fun() ->
        in_dir(fun(Dir) ->
            {Path, Divert, Moved, Path} = by_move(Dir),
            T = durable(Path, []),
            % So that its checkpoints, were they there, would be newer than all of the other one's.
            [xets:insert(T, {n, N}) || N <- lists:seq(1, 2000)],
            Divert(),
            Child = child(?MODULE_STRING ":count(\"" ++ Path ++ "\")", ""),
            Told = lists:foldl(fun(Enough, Last) ->
                Now = told(Child, Enough, Last),
                checkpoints(T),
                Now
            end, 0, [10, 100, 200]),
            kill_child(Child),
            true = xets:delete(T),
            ?assertEqual([{checkpoint, asked_for}, {n, 2000}], in_directory(Moved)),
            ?assertEqual(ok, xets:verify(Path)),
            Other = durable(Path, [ordered_set]),
            ?assert(xets:info(Other, size) >= Told),
            ?assertEqual(xets:info(Other, size), xets:last(Other)),
            xets:delete(Other)
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
            _ = steps(fun() -> xets:durable_verify_nif(Verification) end),
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
    Child = child(?MODULE_STRING ":count(\"" ++ Dir ++ "\")", ""),
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
            {Port, _} = child(?MODULE_STRING ":fill(\"" ++ Dir ++ "\")",
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
