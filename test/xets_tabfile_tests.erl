%% Tables in files: xets:tab2file/2,3, xets:file2tab/1,2, xets:tabfile_info/1, in our own format and
%% in that of ets, beside ets. What happens to files and tables when something goes wrong is in
%% xets_tabfile_fault_tests.
-module(xets_tabfile_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [both/1, outcome/1, actor/0, run/2, start/2, await/1, stop/1, small/2,
                        texts/3]).

%% For xets_tabfile_fault_tests.
-export([in_dir/1, sorted/1]).

-define(TYPES, [set, ordered_set, bag, duplicate_bag]).
-define(FORMATS, [xets, ets]).

%%% A directory for each test

%% What Fun makes of the path of an empty directory, which is removed in the end.
in_dir(Fun) ->
    Unique = erlang:unique_integer([positive]),
    Base = os:getenv("TMPDIR", "/tmp"),
    Dir = filename:join(Base, lists:concat(["xets_tabfile.", os:getpid(), ".", Unique])),
    ok = file:make_dir(Dir),
    try Fun(Dir)
    after ok = file:del_dir_r(Dir)
    end.

%% A test with a function that makes paths of names.
dir_test(Title, Fun) ->
    Test = fun(Dir) -> Fun(fun(Name) -> filename:join(Dir, Name) end) end,
    {title(Title), {timeout, 60, fun() -> in_dir(Test) end}}.

title(Title) when is_atom(Title) -> atom_to_list(Title);
title(Title) -> Title.

sorted(Table) ->
    lists:sort((module(Table)):tab2list(Table)).

module(Table) ->
    case catch ets:info(Table, size) of
        Size when is_integer(Size) -> ets;
        _ -> xets
    end.

%%% There and back

round_trips_test_() ->
    [dir_test(lists:concat([Type, ", ", Format]), fun(Path) -> round_trip(Type, Format, Path) end)
     || Type <- ?TYPES, Format <- ?FORMATS].

round_trip(Type, Format, Path) ->
    [begin
         T = xets:new(some, [Type, {keypos, KeyPos} | Options]),
         true = xets:insert(T, Objects),
         ok = xets:tab2file(T, Path("t"), [{format, Format}]),
         {ok, U} = xets:file2tab(Path("t"), [{verify, true}]),
         ?assertEqual(sorted(T), sorted(U)),
         [?assertEqual(xets:lookup(T, K), xets:lookup(U, K)) || K <- lists:seq(0, 10)],
         ?assertEqual([Type, KeyPos, some], [xets:info(U, I) || I <- [type, keypos, name]]),
         ?assertEqual({ok, ["t"]}, file:list_dir(Path("")))
     end || Objects <- [[], [{1, 2}], [{I rem 50, I} || I <- lists:seq(1, 300)],
                        [{I, I * 1.5, "text", <<"binary">>, #{a => I}} || I <- lists:seq(1, 3000)]],
            {KeyPos, Options} <- [{1, []}, {2, []}, {2, [compressed]}]].

%% In a bag the objects of a key come back in their order, also where they fill many segments; and
%% those that are there several times do so.
bags_keep_their_order_test_() ->
    [dir_test(Type, fun(Path) -> order_of_bag(Type, Path) end) || Type <- [bag, duplicate_bag]].

order_of_bag(Type, Path) ->
    T = xets:new(t, [Type]),
    N = small(6000, 3000),
    [xets:insert(T, {K, (I * 7919) rem 1009, I div Many})
     || I <- lists:seq(1, N), {K, Many} <- [{many, 1}, {I rem 7, 3}, {I, 1}]],
    true = xets:insert(T, [{large, I, binary:copy(<<I>>, 100)} || I <- lists:seq(1, 200)]),
    ok = xets:tab2file(T, Path("t")),
    {ok, U} = xets:file2tab(Path("t")),
    ?assertEqual(xets:info(T, size), xets:info(U, size)),
    [?assertEqual(xets:lookup(T, K), xets:lookup(U, K)) || K <- [many, large | lists:seq(0, N)]].

%% Objects are in the order of their hashes in the file. Only a set has room for all before they come.
seeds_test_() ->
    dir_test("", fun(File) ->
        [begin
             T = xets:new(t, [Type]),
             Expected = [{I, I} || I <- lists:seq(1, 5000)],
             true = xets:insert(T, Expected),
             ok = xets:tab2file(T, File("t")),
             {ok, U} = xets:file2tab(File("t")),
             ?assertEqual(Expected, sorted(U)),
             ?assertEqual({Type, Type =:= set}, {Type, seed(T) =:= seed(U)})
         end || Type <- [set, bag, duplicate_bag]]
    end).

seed(T) ->
    Snapshot = xets:snapshot(T),
    Seed = xets:file_seed_nif(Snapshot),
    true = xets:delete(Snapshot),
    Seed.

an_ordered_set_keeps_its_order_test_() ->
    dir_test("", fun(Path) ->
        T = xets:new(t, [ordered_set]),
        Keys = lists:usort([{I rem 10, I} || I <- lists:seq(1, 3000)]) ++
            [{map, #{I => self()}} || I <- lists:seq(1, 100)] ++
            [self(), make_ref(), 1.0, 1 bsl 70],
        [xets:insert(T, {K}) || K <- Keys],
        ok = xets:tab2file(T, Path("t")),
        {ok, U} = xets:file2tab(Path("t")),
        ?assertEqual(xets:tab2list(T), xets:tab2list(U))
    end).

%% What binary_to_term/1 makes of it in this VM.
terms_test_() ->
    dir_test("terms of all kinds", fun(Path) ->
        Terms = [Term || {_, Term} <- xets_terms:samples()],
        Objects = [{I, T} || {I, T} <- enumerate(Terms)] ++ [{T, in, key} || T <- Terms],
        [begin
             T = xets:new(t, [Type | Options]),
             [xets:insert(T, Object) || Object <- Objects],
             ok = xets:tab2file(T, Path("t"), [{format, Format}]),
             {ok, U} = xets:file2tab(Path("t")),
             Expected = [binary_to_term(term_to_binary(O)) || O <- xets:tab2list(T)],
             ?assertEqual([], Expected -- xets:tab2list(U)),
             ?assertEqual([], xets:tab2list(U) -- Expected),
             [?assertEqual(binary_to_term(term_to_binary(xets:lookup(T, K))), xets:lookup(U, K))
              || K <- Terms, not is_reference(K), not is_function(K)]
         end || {Type, Options} <- [{set, []}, {ordered_set, [compressed]}, {bag, []}],
                Format <- ?FORMATS]
    end).

enumerate(List) -> lists:zip(lists:seq(1, length(List)), List).

%% More than a block of the file, and than is collected before it is stored.
sizes_test_() ->
    dir_test("", fun(Path) ->
        [begin
             T = xets:new(t, [Type]),
             N = small(40000, 20000),
             [xets:insert(T, {atom(Type, I), I, <<I:(8 * (I rem 90))>>}) || I <- lists:seq(1, N)],
             Large = [{large, lists:seq(1, 200000)}, {big, binary:copy(<<"x">>, 300000)}],
             true = xets:insert(T, Large),
             ok = xets:tab2file(T, Path("t")),
             {ok, U} = xets:file2tab(Path("t")),
             ?assertEqual(sorted(T), sorted(U)),
             [?assertEqual(xets:lookup(T, K), xets:lookup(U, K))
              || K <- [large, big, atom(Type, 1), atom(Type, N), none]],
             %% It is a table as any other.
             true = xets:insert(U, {new, 1}),
             true = xets:delete(U, large),
             ?assertEqual(xets:info(T, size), xets:info(U, size))
         end || Type <- [set, ordered_set]]
    end).

atom(set, I) -> list_to_atom("xets_tabfile_" ++ integer_to_list(I rem 3000) ++ [$a + I rem 20]);
atom(_, I) -> I.

%% What has been made anew takes as much memory as what has grown, about.
memory_test_() ->
    dir_test("", fun(Path) ->
        [begin
             T = xets:new(t, [Type]),
             [xets:insert(T, {erlang:phash2(I), I}) || I <- lists:seq(1, 30000)],
             ok = xets:tab2file(T, Path("t")),
             {ok, U} = xets:file2tab(Path("t")),
             {Before, After} = {xets:info(T, memory), xets:info(U, memory)},
             ?assert(After < Before * 1.25)
         end || Type <- [set, ordered_set]]
    end).

%%% The options of tables

options_test_() ->
    dir_test("", fun(Path) ->
        [begin
             T = xets:new(xets_tabfile_named, [Type | Options]),
             xets:insert(T, {1, 2, 3}),
             Before = items(T),
             ok = xets:tab2file(T, Path("t"), [{format, Format}]),
             true = xets:delete(T),
             {ok, U} = xets:file2tab(Path("t")),
             ?assertEqual(Before, items(U)),
             ?assertEqual([{1, 2, 3}], xets:tab2list(U)),
             ?assertEqual({self(), none}, {xets:info(U, owner), xets:info(U, heir)}),
             xets:delete(U)
         end || Type <- ?TYPES, Format <- ?FORMATS,
                Options <- [[], [public], [private], [named_table], [{keypos, 3}], [compressed],
                            [{read_concurrency, true}, named_table, public],
                            [{write_concurrency, true}],
                            [{write_concurrency, true}, {decentralized_counters, true}],
                            [{write_concurrency, auto}, {decentralized_counters, false}],
                            [{heir, self(), data}]]]
    end).

items(T) ->
    [{I, xets:info(T, I)} || I <- [name, type, protection, named_table, keypos, compressed, size,
                                   write_concurrency, read_concurrency, decentralized_counters]].

%%% Beside ets

%% The same outcomes of calls that fail, and of some that do not.
outcomes_test_() ->
    [dir_test(Title, fun(Path) -> beside(Path, Calls) end) || {Title, Calls} <- calls()].

%% A call is given the module, a table with objects, and paths.
calls() ->
    Write = fun(Name, Options) -> fun(M, T, Path) -> M:tab2file(T, Path(Name), Options) end end,
    Read = fun(Name, Options) -> fun(M, _, Path) -> M:file2tab(Path(Name), Options) end end,
    Of = fun(Function, File) -> fun(M, T, _) -> file_call(M, T, Function, File) end end,
    Both = [[], [{sync, true}], [{sync, true}, {sync, false}], [{extended_info, []}],
            [{extended_info, [object_count]}], [{extended_info, [md5sum]}],
            [{extended_info, [md5sum, object_count, md5sum]}, {sync, false}]],
    Bad = [[foo], [{sync, true} | foo], [{sync, perhaps}], [{extended_info, [x]}],
           [{extended_info, [md5sum | x]}], [{extended_info, x}],
           [{extended_info, []}, {extended_info, []}]],
    BadRead = [[foo], foo, [{verify, perhaps}], [{verify, true} | foo], [{table, t}, {table, t}]],
    [{"options to write", lists:append([[Write("t", O), Read("t", []), Read("t", [{verify, true}]),
                                         fun(M, _, Path) -> M:tabfile_info(Path("t")) end]
                                        || O <- Both])},
     {"bad options to write", [Write("t", O) || O <- Bad] ++ [Read("t", [])]},
     {"bad options to read", [Write("t", [])] ++ [Read("t", O) || O <- BadRead]},
     {"no such file", [Of(F, N) || F <- [file2tab, tabfile_info], N <- ["none", "no/dir", ""]]},
     {"no such directory", [Write("no/dir", [])]},
     {"directories", [fun(_, _, Path) -> file:make_dir(Path("d")) end,
                      Write("d", []), Read("d", []),
                      fun(M, _, Path) -> M:tabfile_info(Path("d")) end]},
     {"other files",
      [fun(_, _, Path) -> file:write_file(Path("f"), <<>>) end,
           Read("f", []), fun(M, _, Path) -> M:tabfile_info(Path("f")) end,
           fun(_, _, Path) -> file:write_file(Path("f"), <<"hello world, no table">>) end,
           Read("f", []), Read("f", [{verify, true}]), Write("f", []), Read("f", [])]},
     {"names of files", [Of(F, N) || N <- ['an.atom', ["de", ["ep", $.], tab], [1076, 1080], 17, "",
                                           "nu\0l", [a | b], ["a" | b], -1, [-1]],
                                     F <- [tab2file, file2tab]]},
     {"no such table", [Write("t", []), fun(M, _, Path) -> M:tab2file(no_such, Path("u")) end,
                        fun(_, _, Path) -> filelib:is_file(Path("u")) end]},
     {"not a table", [fun(M, _, Path) -> M:tab2file({no, table}, Path("t")) end,
                      fun(M, _, Path) -> M:tab2file(17, Path("t"), []) end]},
     {"a name that is taken", [fun(M, _, Path) ->
                                       T = M:new(xets_tabfile_taken, [named_table]),
                                       ok = M:tab2file(T, Path("t")),
                                       R = M:file2tab(Path("t")),
                                       M:delete(T),
                                       {R, M:file2tab(Path("t"))}
                               end]},
     {"into a table", [Write("t", []),
                       fun(M, T, Path) ->
                               true = M:delete_all_objects(T),
                               M:insert(T, {other, 1}),
                               {ok, T} = M:file2tab(Path("t"), [{table, T}]),
                               sorted(T)
                       end,
                       Read("t", [{table, no_such}]), Read("t", [{table, {bad}}]),
                       fun(M, _, Path) ->
                               U = M:new(u, [{keypos, 9}]),
                               Read1 = fun() -> M:file2tab(Path("t"), [{table, U}]) end,
                               {outcome(Read1), M:info(U)}
                       end]}].

%% In the current directory, with names that are no paths.
file_call(M, T, tab2file, File) ->
    in_dir(fun(Dir) ->
        {ok, Before} = file:get_cwd(),
        ok = file:set_cwd(Dir),
        try {M:tab2file(T, File), file:list_dir(".")}
        after ok = file:set_cwd(Before)
        end
    end);
file_call(M, _T, Function, File) ->
    M:Function(File).

beside(Path, Calls) ->
    [Ets, Xets] = [begin
                       T = M:new(t, []),
                       true = M:insert(T, [{I, I} || I <- lists:seq(1, 300)]),
                       In = fun(Name) -> Path(filename:join(atom_to_list(M), Name)) end,
                       ok = file:make_dir(In("")),
                       Results = [shown(M, outcome(fun() -> Call(M, T, In) end)) || Call <- Calls],
                       Results
                   end || M <- [ets, xets]],
    ?assertEqual([], [{I, E, X} || {I, {E, X}} <- enumerate(lists:zip(Ets, Xets)), E =/= X]).

%% Tables by what is in them, paths without what differs.
shown(M, {ok, Table}) when is_reference(Table); Table =:= xets_tabfile_taken ->
    {ok, M:info(Table, name), M:info(Table, type), sorted(Table)};
shown(M, [_ | _] = Path) ->
    case catch lists:flatten(string:replace(Path, atom_to_list(M) ++ "/", "M/")) of
        Flat when is_list(Flat) -> Flat;
        _ when is_list(tl(Path)) -> [shown(M, hd(Path)) | shown(M, tl(Path))];
        _ -> Path
    end;
shown(M, Tuple) when is_tuple(Tuple) ->
    list_to_tuple([shown(M, E) || E <- tuple_to_list(Tuple)]);
shown(_M, Other) ->
    Other.

%% Of another process; the newest releases of ets have one error for both.
rights_test_() ->
    dir_test("", fun(Path) ->
        Owner = actor(),
        [T, P] = run(Owner, fun() -> [xets:new(t, [private]), xets:new(t, [protected])] end),
        run(Owner, fun() -> xets:insert(T, {1}) andalso xets:insert(P, {2}) end),
        ?assertEqual({error, badtab}, xets:tab2file(T, Path("t"))),
        ?assertNot(filelib:is_file(Path("t"))),
        ?assertEqual(ok, xets:tab2file(P, Path("t"))),
        ?assertError(badarg, xets:file2tab(Path("t"), [{table, P}])),
        ok = run(Owner, fun() -> xets:tab2file(T, Path("t")) end),
        stop(Owner),
        ?assertEqual({error, badtab}, xets:tab2file(P, Path("t"))),
        ?assertMatch({ok, _}, xets:file2tab(Path("t")))
    end).

a_binary_names_a_file_test_() ->
    dir_test("", fun(Path) ->
        T = xets:new(t, []),
        xets:insert(T, {1, 2}),
        [begin
             File = unicode:characters_to_binary(Path("t")),
             ok = xets:tab2file(T, File, [{format, Format}]),
             ?assertMatch({ok, [{name, t} | _]}, xets:tabfile_info(File)),
             {ok, U} = xets:file2tab(File),
             ?assertEqual([{1, 2}], xets:tab2list(U))
         end || Format <- ?FORMATS]
    end).

a_failure_tells_the_argument_test() ->
    ?assertEqual(#{1 => <<"not an atom or a table identifier">>},
                 texts(xets, tab2file, [{a}, "t", []])),
    T = xets:new(t, []),
    ?assertEqual(#{3 => <<"not a list">>}, texts(xets, tab2file, [T, "t", foo])).

errors_in_words_test() ->
    [?assertEqual(Text, xets:format_error(Reason))
     || {Reason, Text} <-
            [{{file_error, "a/b", enospc}, "a/b: no space left on device"},
             {{error, {read_error, {file_error, <<"f">>, enoent}}}, "f: no such file or directory"},
             {{read_error, {not_a_log_file, 'x.tab'}}, "x.tab: not a file of a table"},
             {{badfile, "f", 70, <<"checksum">>}, "f: damaged at byte 70: checksum"},
             {cannot_create_table, "the table cannot be made: is its name taken?"},
             {{unknown_option, foo}, "unknown option: foo"},
             {{unsupported_file_version, {2, 0}},
              "the file has a format of a later release: version 2.0"}]],
    [?assertNotEqual($\n, lists:last(xets:format_error(Reason)))
     || Reason <- [badfile, checksum_error, invalid_object_count, badtab, eaccess, some_other,
                   {malformed_option, x}, {read_error, {badarg, 17}}, {file_error, 17, enoent},
                   {file_error, <<255>>, eio}]].

%%% One format for both

%% Whichever of the two has written a file in the format of ets, both read the same from it.
ets_files_test_() ->
    [dir_test(lists:flatten(io_lib:format("~p, ~p", [Type, Info])),
              fun(Path) -> ets_file(Type, Info, Path) end)
     || Type <- ?TYPES, Info <- [[], [md5sum], [object_count], [object_count, md5sum]]].

ets_file(Type, Info, Path) ->
    Objects = [{I rem 1000, I, {atom, <<"b">>}} || I <- lists:seq(1, 2500)],
    [begin
         T = M:new(t, [Type]),
         true = M:insert(T, Objects),
         ok = M:tab2file(T, Path("t"), Options ++ [{extended_info, Info}]),
         [begin
              {ok, U} = Reader:file2tab(Path("t"), [{verify, Verify}]),
              ?assertEqual(sorted(T), sorted(U)),
              ?assertEqual(ets:tabfile_info(Path("t")), Reader:tabfile_info(Path("t")))
          end || Reader <- [ets, xets], Verify <- [true, false]]
     end || {M, Options} <- [{ets, []}, {xets, [{format, ets}]}]].

%% What ets verifies is verified, with its errors.
verified_test_() ->
    dir_test("", fun(Path) ->
        Head = fun(Size, Info) ->
            {{name, t}, {type, set}, {protection, public}, {named_table, false}, {keypos, 1},
             {size, Size}, {major_version, 1}, {minor_version, 0}, {extended_info, Info}}
        end,
        End = fun(Info) -> [['$end_of_table', Info]] end,
        Two = [{1}, {2}],
        Sum = fun(Terms) -> erlang:md5([term_to_binary(T) || T <- Terms]) end,
        Logs = [[Head(2, []) | Two], [Head(3, []) | Two],
                [Head(3, [object_count]) | Two] ++ End([{count, 2}]),
                [Head(2, [object_count]) | Two] ++ End([{count, 3}]),
                [Head(2, [object_count]) | Two], [Head(2, [md5sum]) | Two],
                [Head(2, [md5sum]) | Two] ++ End([{md5, <<"no">>}]),
                [Head(2, [md5sum]) | Two] ++ End([{md5, Sum([Head(2, [md5sum]) | Two])}]),
                [Head(9, [md5sum]) | Two] ++ End([{md5, Sum([Head(9, [md5sum]) | Two])}]),
                [{{name, t}, {type, set}} | Two], [no_tuple | Two], [],
                [setelement(4, Head(2, []), {named_table, 17}) | Two],
                [setelement(7, Head(2, []), {major_version, 2}) | Two],
                [Head(2, []), {1}, {}], [Head(2, []), {1}, not_a_tuple]],
        [begin
             ok = write_log(Path("t"), Log),
             [Ets, Xets] = [shown(M, outcome(fun() -> M:file2tab(Path("t"), Options) end))
                            || M <- [ets, xets]],
             %% Where ets stumbles there is an error for it.
             case Ets of
                 {error, Reason} when Reason =/= badarg ->
                     ?assertMatch({Log, Options, {value, {error, _}}}, {Log, Options, Xets});
                 _ ->
                     ?assertEqual({Log, Options, Ets}, {Log, Options, Xets})
             end
         end || Log <- Logs, Options <- [[], [{verify, true}]]]
    end).

write_log(File, Terms) ->
    _ = file:delete(File),
    {ok, L} = disk_log:open([{name, make_ref()}, {file, File}]),
    _ = Terms =:= [] orelse (ok = disk_log:log_terms(L, Terms)),
    ok = disk_log:close(L).

%%% Snapshots, and other instants

a_snapshot_is_written_test_() ->
    dir_test("", fun(Path) ->
        T = xets:new(accounts, [private]),
        xets:insert(T, {ada, 70}),
        S = xets:snapshot(T),
        xets:insert(T, {ada, 0}),
        [begin
             ok = xets:tab2file(S, Path("s"), [{format, Format}]),
             {ok, U} = xets:file2tab(Path("s")),
             ?assertEqual({accounts, [{ada, 70}]}, {xets:info(U, name), xets:tab2list(U)})
         end || Format <- ?FORMATS]
    end).

%% Of lists that are inserted all or nothing is written, as of one instant: all keys have the
%% number of the same list.
an_instant_is_written_test_() ->
    [dir_test(lists:concat([Type, ", ", Format]), fun(Path) -> instant(Type, Format, Path) end)
     || Type <- [set, ordered_set], Format <- ?FORMATS].

instant(Type, Format, Path) ->
    T = xets:new(t, [Type, public]),
    List = fun(N) -> [{K, N} || K <- lists:seq(1, 2000)] end,
    xets:insert(T, List(0)),
    Writer = actor(),
    Writing = start(Writer, fun() -> write_lists(T, List, 1) end),
    [begin
         ok = xets:tab2file(T, Path("t"), [{format, Format}]),
         {ok, U} = xets:file2tab(Path("t"), [{verify, true}]),
         ?assertMatch([_], lists:usort([N || {_, N} <- xets:tab2list(U)])),
         ?assertEqual(2000, xets:info(U, size)),
         xets:delete(U)
     end || _ <- lists:seq(1, small(10, 3))],
    Writer ! enough,
    {value, ok} = await(Writing),
    stop(Writer).

write_lists(T, List, N) ->
    true = xets:insert(T, List(N)),
    receive enough -> ok
    after 0 -> write_lists(T, List, N + 1)
    end.

%% Several at once, and what is in the way.
several_write_the_same_file_test_() ->
    [dir_test(Format, fun(Path) ->
        Tables = [begin
                      T = xets:new(t, [public]),
                      xets:insert(T, [{K, I} || K <- lists:seq(1, 1000)]),
                      T
                  end || I <- lists:seq(1, 6)],
        Actors = [actor() || _ <- Tables],
        Calls = [start(A, fun() -> xets:tab2file(T, Path("t"), [{format, Format}]) end)
                 || {A, T} <- lists:zip(Actors, Tables), _ <- [1, 2]],
        [?assertEqual({value, ok}, await(Call)) || Call <- Calls],
        {ok, U} = xets:file2tab(Path("t"), [{verify, true}]),
        ?assert(lists:member(sorted(U), [sorted(T) || T <- Tables])),
        ?assertEqual({ok, ["t"]}, file:list_dir(Path(""))),
        [stop(A) || A <- Actors]
    end) || Format <- ?FORMATS].

a_link_is_replaced_test_() ->
    dir_test("", fun(Path) ->
        ok = file:write_file(Path("kept"), "as it is"),
        ok = file:make_symlink("kept", Path("t")),
        T = xets:new(t, []),
        ok = xets:tab2file(T, Path("t")),
        ?assertMatch({ok, _}, xets:file2tab(Path("t"))),
        ?assertEqual({ok, <<"as it is">>}, file:read_file(Path("kept"))),
        ?assertEqual({error, einval}, file:read_link(Path("t"))),
        ?assertEqual({ok, ["kept", "t"]}, sorted_names(Path("")))
    end).

sorted_names(Dir) ->
    {ok, Names} = file:list_dir(Dir),
    {ok, lists:sort(Names)}.

%% The file is a new one, whatever its name is a link to; and it gets every name that there can be.
long_names_test_() ->
    [dir_test(Format, fun(Path) ->
         T = xets:new(t, []),
         xets:insert(T, {1, 2}),
         [begin
              Name = lists:duplicate(N, $n),
              ?assertEqual(ok, xets:tab2file(T, Path(Name), [{format, Format}])),
              ?assertEqual({ok, [Name]}, file:list_dir(Path(""))),
              {ok, U} = xets:file2tab(Path(Name)),
              ?assertEqual([{1, 2}], xets:tab2list(U)),
              ok = file:delete(Path(Name))
          end || N <- [1, 250, 251, 252, 255]],
         TooLong = Path(lists:duplicate(256, $n)),
         E = ets:new(t, []),
         ?assertEqual(ets:tab2file(E, TooLong), xets:tab2file(T, TooLong, [{format, Format}])),
         ?assertEqual({ok, []}, file:list_dir(Path("")))
     end) || Format <- ?FORMATS].

%%% Other virtual machines

%% There the same atoms have other numbers, so that keys have other hashes.
another_vm_test_() ->
    dir_test("", fun(Path) ->
        N = 20000,
        Code = io_lib:format(
            "T = xets:new(t, []), "
            "[xets:insert(T, {list_to_atom(integer_to_list(I)), I, {user, I}}) "
            "|| I <- lists:seq(~b, 1, -1)], ok = xets:tab2file(T, ~p), "
            "{ok, U} = xets:file2tab(~p), "
            "io:put_chars(integer_to_list(xets:info(U, size))), halt().",
            [N, Path("t"), Path("t")]),
        _ = [list_to_atom(integer_to_list(I)) || I <- lists:seq(1, N, 3)],
        ?assertEqual(integer_to_list(N), xets_tabfile_fault_tests:vm("", Code)),
        {ok, U} = xets:file2tab(Path("t")),
        ?assertEqual([{list_to_atom(integer_to_list(I)), I, {user, I}} || I <- lists:seq(1, N)],
                     lists:keysort(2, xets:tab2list(U))),
        [?assertMatch([{_, I, _}], xets:lookup(U, list_to_atom(integer_to_list(I))))
         || I <- lists:seq(1, N)]
    end).
