%% Tables in files, when something goes wrong: files that are damaged, disks that are full,
%% processes that die.
-module(xets_tabfile_fault_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [outcome/1, actor/0, run/2, start/2, await/1, kill/1, stop/1, small/2,
                        eventually/1]).
-import(xets_tabfile_tests, [in_dir/1, sorted/1]).

%% For xets_tabfile_tests.
-export([vm/2]).

-define(FORMATS, [xets, ets]).

dir_test(Title, Fun) ->
    Test = fun(Dir) -> Fun(fun(Name) -> filename:join(Dir, Name) end) end,
    {lists:concat([Title]), {timeout, 120, fun() -> in_dir(Test) end}}.

%% What another VM prints that runs this code, started by a shell that has run `Before'.
vm(Before, Code) ->
    [Xets, Tests] = [filename:dirname(code:which(M)) || M <- [xets, ?MODULE]],
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Allocators = case os:getenv("XETS_TEST_SMALL") of false -> ""; _ -> " +Mea min" end,
    file:write_file(File = filename:join(Tests, "vm." ++ os:getpid() ++ ".code"), Code),
    try
        os:cmd(lists:flatten([Before, "'", Erl, "'", Allocators, " -noshell -noinput -pa '", Xets,
                              "' '", Tests, "' -eval \"$(cat '", File, "')\""]))
    after
        file:delete(File)
    end.

%%% Damaged files

%% Every byte changed, in one bit after the other; every length cut. It is found, with its place,
%% and no table is left.
damage_test_() ->
    [dir_test(Type, fun(Path) -> damage(Type, small(Step, 5 * Step), Path) end)
     || {Type, Step} <- [{set, 1}, {ordered_set, 7}, {bag, 7}]].

damage(Type, Step, Path) ->
    T = xets:new(some_name, [Type, public]),
    xets:insert(T, [{I, an_atom, <<"text">>, [I / 2]} || I <- lists:seq(1, 8)]),
    ok = xets:tab2file(T, Path("t")),
    {ok, Bytes} = file:read_file(Path("t")),
    Tables = length(xets:all()),
    [damaged(Path("d"), change(Bytes, I, 1 bsl (I rem 8))) || I <- places(Bytes, Step)],
    [damaged(Path("d"), change(Bytes, I, 16#ff)) || I <- places(Bytes, 3 * Step)],
    [damaged(Path("d"), binary:part(Bytes, 0, I)) || I <- places(Bytes, Step)],
    [damaged(Path("d"), <<Bytes/binary, More/binary>>)
     || More <- [<<0>>, Bytes]],
    [damaged(Path("d"), swapped(Bytes, I)) || I <- places(Bytes, 16 * Step)],
    ?assertEqual(Tables, length(xets:all())).

places(Bytes, Step) -> lists:seq(0, byte_size(Bytes) - 1, Step).

change(Bytes, I, Mask) ->
    <<Before:I/binary, Byte, After/binary>> = Bytes,
    <<Before/binary, (Byte bxor Mask), After/binary>>.

%% Eight bytes change places with the eight behind them.
swapped(Bytes, I) ->
    case Bytes of
        <<Before:I/binary, A:8/binary, B:8/binary, After/binary>> ->
            <<Before/binary, B/binary, A/binary, After/binary>>;
        _ ->
            <<>>
    end.

damaged(File, Bytes) ->
    ok = file:write_file(File, Bytes),
    Size = byte_size(Bytes),
    case xets:file2tab(File) of
        {error, {badfile, File, Offset, What}} ->
            ?assert(is_binary(What)),
            ?assert(Offset =< Size),
            ?assertMatch([_ | _], xets:format_error({badfile, File, Offset, What}));
        {error, {unsupported_file_version, _}} ->
            ok;
        Other ->
            %% It does not begin as our files do: then it is none of them.
            ?assertEqual({error, {read_error, {not_a_log_file, File}}}, Other),
            ?assert(Size < 64 orelse binary:part(Bytes, 0, 8) =/= magic())
    end.

magic() -> <<16#89, "XETS\r\n", 16#1a>>.

%% Whole files with properties that no xets has written: checksums are right.
forged_test_() ->
    dir_test("", fun(Path) ->
        Head = fun(Size, KeyPos) ->
            [{name, t}, {type, set}, {protection, public}, {named_table, false}, {keypos, KeyPos},
             {size, Size}, {major_version, 1}, {minor_version, 0}, {extended_info, []},
             {hash_seed, 17}]
        end,
        T = xets:new(t, []),
        xets:insert(T, Two = [{1, 2}, {3, 4}]),
        Forged = fun(Meta, Table) ->
            ok = forge(Path("t"), Meta, Table),
            xets:file2tab(Path("t"))
        end,
        Meta = fun(Term) -> term_to_binary(Term) end,
        {ok, U} = Forged(Meta(Head(2, 2)), T),
        ?assertEqual(Two, sorted(U)),
        %% Without a seed, as from somebody else; and with what is unknown here.
        {ok, V} = Forged(Meta([{new, thing} | lists:keydelete(hash_seed, 1, Head(2, 1))]), T),
        ?assertEqual(Two, sorted(V)),
        Tables = length(xets:all()),
        [?assertEqual({error, invalid_object_count}, Forged(Meta(Head(Size, 1)), T))
         || Size <- [0, 1, 3, 20000, 1 bsl 59, 1 bsl 70, -1, a]],
        %% The first object is behind the header, the properties, and what begins a block and a record.
        Offset = 64 + byte_size(Meta(Head(2, 3))) + 40 + 4,
        ?assertEqual({error, {badfile, Path("t"), Offset, <<"no object with a key">>}},
                     Forged(Meta(Head(2, 3)), T)),
        [?assertMatch({error, {badfile, _, 64, _}}, Forged(Bytes, T))
         || Bytes <- [<<>>, <<"no term">>, Meta(17), Meta([]), Meta([{name, t}]), Meta({})]],
        ?assertMatch({error, {unsupported_file_version, {2, 0}}},
                     Forged(Meta([{major_version, 2} |
                                  lists:keydelete(major_version, 1, Head(0, 1))]), T)),
        [?assertEqual({error, cannot_create_table},
                      Forged(Meta(lists:keyreplace(Key, 1, Head(0, 1), {Key, Value})), T))
         || {Key, Value} <- [{type, tree}, {name, 17}, {keypos, 0}, {named_table, perhaps},
                             {hash_seed, -1}, {hash_seed, a}, {protection, none}]],
        %% More than there is room for at once, and fewer than that is made for.
        [xets:insert(T, {I, I}) || I <- lists:seq(1, 20000)],
        ?assertEqual({error, invalid_object_count}, Forged(Meta(Head(1 bsl 40, 1)), T)),
        %% Of those that were refused none has left its table.
        ?assertEqual(Tables, length(xets:all())),
        ?assertMatch({ok, _}, Forged(Meta(Head(20000, 2)), T))
    end).

forge(File, Meta, Table) ->
    {ok, {Output, New}} = xets:file_write_nif(list_to_binary(File), Meta, false),
    ?assertEqual(filename:dirname(list_to_binary(File)), filename:dirname(New)),
    ok = dump(Output, xets:snapshot(Table)),
    xets:file_finish_nif(Output).

dump(Output, Snapshot) ->
    case xets:file_dump_nif(Output, Snapshot) of
        more -> dump(Output, Snapshot);
        ok -> ok
    end.

%% Files in the format of ets: whatever ets makes of damage, we make of it, but where it stumbles.
damaged_log_test_() ->
    dir_test("", fun(Path) ->
        T = ets:new(t, [public]),
        ets:insert(T, [{I, an_atom, "text"} || I <- lists:seq(1, 5)]),
        ok = ets:tab2file(T, Path("t"), [{extended_info, [md5sum, object_count]}]),
        {ok, Bytes} = file:read_file(Path("t")),
        Step = small(3, 17),
        [log_beside(Path("d"), change(Bytes, I, 1 bsl (I rem 8)), Verify)
         || I <- places(Bytes, Step), Verify <- [true, false]],
        [log_beside(Path("d"), binary:part(Bytes, 0, I), Verify)
         || I <- places(Bytes, 2 * Step), Verify <- [true, false]]
    end).

log_beside(File, Bytes, Verify) ->
    ok = file:write_file(File, Bytes),
    Read = fun(M) ->
        case outcome(fun() -> M:file2tab(File, [{verify, Verify}]) end) of
            {value, {ok, Table}} ->
                Found = {M:info(Table, name), M:info(Table, type), sorted(Table)},
                M:delete(Table),
                Found;
            {value, Error} ->
                Error;
            {_, Reason} ->
                {failed, Reason}
        end
    end,
    Ets = Read(ets),
    Xets = Read(xets),
    case Ets of
        {failed, _} -> ?assertMatch({_, _, E} when E =:= error; E =:= failed,
                                    {Bytes, Ets, element(1, Xets)});
        _ -> ?assertEqual({Bytes, Ets}, {Bytes, Xets})
    end.

%%% Full disks

%% A VM may write so many bytes of a file: what was there stays, nothing else is left.
full_test_() ->
    [dir_test(Format, fun(Path) ->
        T = xets:new(t, []),
        xets:insert(T, {the, old, one}),
        ok = xets:tab2file(T, Path("t")),
        Code = io_lib:format(
            "T = xets:new(t, []), [xets:insert(T, {I, <<0:~b>>}) || I <- lists:seq(1, 5000)], "
            "R = xets:tab2file(T, ~p, [{format, ~p}]), io:format(\"~~0p\", [R]), halt().",
            [8 * 60, Path("t"), Format]),
        Printed = vm("trap '' XFSZ; ulimit -f 60; ", lists:flatten(Code)),
        ?assertEqual(lists:flatten(io_lib:format("~0p", [{error, {file_error, Path("t"), efbig}}])),
                     Printed),
        {ok, U} = xets:file2tab(Path("t")),
        ?assertEqual([{the, old, one}], xets:tab2list(U)),
        ?assertEqual({ok, ["t"]}, file:list_dir(Path("")))
    end) || Format <- ?FORMATS].

%%% Processes that die

%% A dump goes on that has begun.
the_owner_dies_test_() ->
    dir_test("", fun(Path) ->
        [begin
             Owner = actor(),
             N = 2000 * I,
             T = run(Owner, fun() ->
                 T = xets:new(t, []),
                 [xets:insert(T, {K, K}) || K <- lists:seq(1, N)],
                 T
             end),
             Dumper = actor(),
             Dump = start(Dumper, fun() -> xets:tab2file(T, Path("t"), [{format, Format}]) end),
             kill(Owner),
             case await(Dump) of
                 {value, ok} ->
                     {ok, U} = xets:file2tab(Path("t"), [{verify, true}]),
                     ?assertEqual(N, xets:info(U, size)),
                     xets:delete(U);
                 {value, Error} ->
                     ?assertEqual({error, badtab}, Error)
             end,
             stop(Dumper)
         end || I <- lists:seq(1, small(8, 3)), Format <- ?FORMATS]
    end).

%% What was there stays; what was begun is removed.
the_writer_dies_test_() ->
    [dir_test(Format, fun(Path) ->
        T = xets:new(t, [public]),
        xets:insert(T, {the, old, one}),
        ok = xets:tab2file(T, Path("t")),
        [xets:insert(T, {K, K, <<0:2000>>}) || K <- lists:seq(1, small(100000, 20000))],
        [begin
             Dumper = actor(),
             Dump = start(Dumper, fun() -> xets:tab2file(T, Path("t"), [{format, Format}]) end),
             eventually(fun() -> file:list_dir(Path("")) =/= {ok, ["t"]} orelse is_over(Path("t")) end),
             kill(Dumper),
             _ = await(Dump),
             eventually(fun() -> file:list_dir(Path("")) =:= {ok, ["t"]} end),
             {ok, U} = xets:file2tab(Path("t")),
             %% It may have been quicker.
             ?assert(lists:member(xets:info(U, size), [1, xets:info(T, size)])),
             xets:delete(U)
         end || _ <- [1, 2, 3]]
    end) || Format <- ?FORMATS].

%% A file that is not that of a table with one object any more.
is_over(File) ->
    {ok, Info} = xets:tabfile_info(File),
    not lists:member({size, 1}, Info).

%% Its table goes with it, and the file is closed.
the_reader_dies_test_() ->
    dir_test("", fun(Path) ->
        T = xets:new(xets_tabfile_read, [public, named_table]),
        [xets:insert(T, {K, K, <<0:800>>}) || K <- lists:seq(1, small(50000, 10000))],
        ok = xets:tab2file(T, Path("t")),
        xets:delete(T),
        [begin
             Reader = actor(),
             Reading = start(Reader, fun() -> xets:file2tab(Path("t")) end),
             eventually(fun() -> xets:whereis(xets_tabfile_read) =/= undefined end),
             kill(Reader),
             _ = await(Reading),
             ?assertEqual(undefined, xets:whereis(xets_tabfile_read)),
             eventually(fun() -> open_files(Path("t")) =:= 0 end)
         end || _ <- [1, 2, 3]]
    end).

%% How often the VM has opened a file. Of other systems than Linux nothing is known.
open_files(File) ->
    Real = unicode:characters_to_binary(File),
    Fds = filelib:wildcard("/proc/self/fd/*"),
    length([Fd || Fd <- Fds, {ok, Link} <- [file:read_link_all(Fd)],
                  unicode:characters_to_binary(Link) =:= Real]).

%% The table that is filled goes, or is closed to writers, or is being changed.
the_table_that_is_filled_test_() ->
    dir_test("", fun(Path) ->
        T = xets:new(t, []),
        [xets:insert(T, {K, <<0:800>>}) || K <- lists:seq(1, small(60000, 20000))],
        ok = xets:tab2file(T, Path("t")),
        U = xets:new(u, [public]),
        Reader = actor(),
        Call = start(Reader, fun() -> xets:file2tab(Path("t"), [{table, U}]) end),
        eventually(fun() -> xets:info(U, size) > 0 end),
        [begin
             xets:insert(U, [{{other, I}, I}, {{another, I}, I}]),
             xets:delete(xets:snapshot(U))
         end || I <- lists:seq(1, 50)],
        ?assertMatch({value, {ok, U}}, await(Call)),
        ?assertEqual(xets:info(T, size) + 100, xets:info(U, size)),
        %% It goes between two steps.
        V = xets:new(v, [public]),
        {ok, {Input, _}} = xets:file_read_nif(list_to_binary(Path("t"))),
        more = xets:file_load_nif(Input, V, 0),
        xets:delete(V),
        ?assertError(badarg, xets:file_load_nif(Input, V, 0)),
        ok = xets:file_close_nif(Input),
        stop(Reader)
    end).

%% Whoever gives up removes what he has written, and not what somebody else has: each has a file of
%% his own, whose name nobody can tell before.
only_what_is_ones_own_is_removed_test_() ->
    dir_test("", fun(Path) ->
        File = list_to_binary(Path("t")),
        [begin
             {ok, {Own, New}} = xets:file_write_nif(File, Meta, false),
             ok = xets:file_abort_nif(Own),
             ?assertEqual({ok, []}, file:list_dir(Path(""))),
             {ok, {Mine, NewToo}} = xets:file_write_nif(File, Meta, false),
             {ok, {Others, Other}} = xets:file_write_nif(File, Meta, false),
             ?assertEqual(3, length(lists:usort([New, NewToo, Other]))),
             ok = xets:file_abort_nif(Mine),
             ?assertEqual({ok, [binary_to_list(filename:basename(Other))]},
                          file:list_dir(Path(""))),
             ok = xets:file_finish_nif(Others),
             ?assertEqual({ok, ["t"]}, file:list_dir(Path(""))),
             ok = file:delete(Path("t"))
         end || Meta <- [none, <<>>]]
    end).

%% A new file that cannot take its place is removed.
a_directory_comes_in_the_way_test_() ->
    dir_test("", fun(Path) ->
        [begin
             {ok, {Output, _}} = xets:file_write_nif(list_to_binary(Path("t")), Meta, Sync),
             ok = file:make_dir(Path("t")),
             ?assertMatch({error, {eisdir, _, _}}, xets:file_finish_nif(Output)),
             ?assertEqual({ok, ["t"]}, file:list_dir(Path(""))),
             ok = file:del_dir(Path("t"))
         end || Meta <- [none, <<>>], Sync <- [true, false]]
    end).

%%% The native functions

%% Whatever they are given.
natives_test_() ->
    dir_test("", fun(Path) ->
        File = list_to_binary(Path("t")),
        T = xets:new(t, []),
        Mine = xets:snapshot(T),
        Others = run(Other = actor(), fun() -> xets:snapshot(xets:new(o, [])) end),
        {ok, {Output, _}} = xets:file_write_nif(File, <<>>, false),
        [?assertError(badarg, xets:file_dump_nif(O, S))
         || {O, S} <- [{Output, T}, {Output, Others}, {Output, x}, {make_ref(), Mine}, {T, Mine}]],
        ?assertError(badarg, xets:file_seed_nif(Others)),
        ?assertError(badarg, xets:file_seed_nif(T)),
        ?assertError(badarg, xets:file_load_nif(Output, T, 0)),
        ok = xets:file_abort_nif(Output),
        ok = xets:file_abort_nif(Output),
        ok = xets:file_abort_nif(x),
        ok = xets:file_close_nif(Output),
        ?assertError(badarg, xets:file_dump_nif(Output, Mine)),
        ?assertError(badarg, xets:file_finish_nif(Output)),
        [?assertError(badarg, xets:file_read_nif(P)) || P <- [<<>>, <<"a", 0, "b">>, "list", x]],
        [?assertError(badarg, xets:file_write_nif(P, M, false))
         || {P, M} <- [{<<>>, <<>>}, {<<0>>, <<>>}, {x, <<>>}, {File, x}]],
        ?assertEqual({ok, []}, file:list_dir(Path(""))),
        stop(Other)
    end).
