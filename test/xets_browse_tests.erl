%% What i/0 and i/1 show, beside ets.
-module(xets_browse_tests).

-include_lib("eunit/include/eunit.hrl").

%%% i/1

an_empty_table_test() ->
    same(0, fun(_) -> ["p1\n", "c\n", "/x\n", "q\n"] end).

one_page_test() ->
    same(5, fun(_) -> ["c\n", "q\n"] end).

exactly_one_page_test() ->
    same(39, fun(_) -> ["c\n", "q\n"] end),
    same(40, fun(_) -> ["c\n", "c\n", "q\n"] end).

several_pages_test() ->
    same(130, fun(_) -> ["c\n", "\n", "c\n", "c\n", "q\n"] end).

the_end_of_the_input_test() ->
    same(50, fun(_) -> [] end).

unknown_commands_test() ->
    same(50, fun(_) -> ["x\n", "cc\n", "?\n", " q\n", "qq\n", "q\n"] end).

numbers_test() ->
    same(50, fun(_) -> ["p1\n", "p50\n", "p51\n", "p0\n", "p-1\n", "p\n", "px\n", "p1x\n",
                        "p 1\n", "c\n", "p2\n", "q\n"] end).

regular_expressions_test() ->
    same(100, fun(Names) ->
                      ["/" ++ lists:nth(7, Names) ++ "|" ++ lists:nth(95, Names) ++ "\n", "p1\n",
                       "p2\n", "p3\n", "c\n", "/no such\n", "p1\n", "/[\n", "/object\n", "p40\n",
                       "c\n", "c\n", "c\n", "/\n", "q\n"]
              end).

killing_the_table_test() ->
    [begin
         Table = Module:new(table, [public]),
         {ok, _} = with_terminal(fun() -> Module:i(Table) end, ["k\n"]),
         ?assertEqual(undefined, Module:info(Table))
     end || Module <- [ets, xets]].

objects_are_cut_test_() ->
    [fun() ->
             [Ets, Xets] =
                 [begin
                      Table = Module:new(table, []),
                      true = Module:insert(Table, {key, Value}),
                      with_terminal(fun() -> Module:i(Table) end, ["p1\n", "/0\n", "q\n"])
                  end || Module <- [ets, xets]],
             ?assertEqual(Ets, Xets)
     end || Value <- [lists:seq(1, 100), lists:duplicate(64, $a), lists:duplicate(65, $a),
                      lists:duplicate(66, $a), binary:copy(<<0>>, 100), #{a => 1.0}]].

%% What is deleted meanwhile does not end it.
deleting_meanwhile_test() ->
    Table = xets:new(table, [public]),
    true = xets:insert(Table, [{I} || I <- lists:seq(1, 100)]),
    Empty = fun() -> true = lists:all(fun({I}) -> xets:delete(Table, I) end,
                                      xets:tab2list(Table)) end,
    {Result, Shown} = with_terminal(fun() -> xets:i(Table) end, [Empty, "c\n", "q\n"]),
    ?assertEqual(ok, Result),
    ?assertNotEqual(nomatch, string:find(Shown, "EOT")),
    ?assertEqual(false, xets:info(Table, fixed)).

no_such_table_test() ->
    [?assertMatch({badarg, _}, element(1, with_terminal(fun() -> Module:i(make_ref()) end, [])))
     || Module <- [ets, xets]].

%% Tables whose objects have different orders are shown alike, but for which object stands where.
same(N, Lines) ->
    [Ets, Xets] = [shown(Module, N, Lines) || Module <- [ets, xets]],
    ?assertEqual(Ets, Xets).

shown(Module, N, Lines) ->
    Table = Module:new(table, [public]),
    true = Module:insert(Table, [{name(I)} || I <- lists:seq(1, N)]),
    Names = keys(Module, Table, Module:first(Table)),
    {Result, Shown} = with_terminal(fun() -> Module:i(Table) end, Lines(Names)),
    true = Module:delete(Table),
    Ranks = lists:zip(Names, lists:seq(1, N)),
    {Result, lists:flatten(lists:foldl(fun({Name, Rank}, Text) ->
                                 string:replace(Text, Name, integer_to_list(Rank), all)
                         end, Shown, Ranks))}.

name(I) -> lists:flatten(io_lib:format("object_~3..0w", [I])).

keys(_Module, _Table, '$end_of_table') -> [];
keys(Module, Table, Key) -> [Key | keys(Module, Table, Module:next(Table, Key))].

%%% i/0

all_tables_test() ->
    Tables = [begin
                  Table = Module:new(Name, Options),
                  true = Module:insert(Table, [{I, I} || I <- lists:seq(1, 1000)]),
                  Table
              end || Module <- [ets, xets],
                     {Name, Options} <- [{xets_browse_named, [named_table]}, {plain, []}]],
    [Ets, Xets] = [lines(Module) || Module <- [ets, xets]],
    ?assertEqual(lists:sublist(Ets, 2), lists:sublist(Xets, 2)),
    [EtsNamed, EtsPlain, XetsNamed, XetsPlain] = Tables,
    [?assertEqual(row(Ets, EtsTable), row(Xets, XetsTable))
     || {EtsTable, XetsTable} <- [{EtsNamed, XetsNamed}, {EtsPlain, XetsPlain}]],
    [true = Module:delete(Table) || {Module, Table} <- lists:zip([ets, ets, xets, xets], Tables)].

lines(Module) ->
    {ok, Shown} = with_terminal(fun Module:i/0, []),
    string:split(Shown, "\n", all).

%% What is shown of a table besides its identifier and the memory that it takes.
row(Lines, Table) ->
    Id = lists:flatten(io_lib:format("~p", [Table])),
    [Row] = [Cells || Line <- Lines, [Cell | _] = Cells <- [string:lexemes(Line, " ")], Cell =:= Id],
    [_, Name, Type, Size, _Memory, Owner] = Row,
    [Name, Type, Size, Owner].

owner_has_its_name_test() ->
    Self = self(),
    Owner = spawn(fun() ->
                          register(xets_browse_owner, self()),
                          Self ! {table, xets:new(xets_browse_owned, [named_table])},
                          receive stop -> ok end
                  end),
    receive {table, Table} -> ok end,
    ?assertMatch([_, _, "0", "xets_browse_owner"], row(lines(xets), Table)),
    Owner ! stop.

%%% A terminal

%% What a function returns, or the reason of its failure, and what it writes, where these lines
%% are typed. A function among them is called when its line is asked for; the next is typed.
with_terminal(Fun, Lines) ->
    Terminal = spawn_link(fun() -> terminal(Lines, []) end),
    {Pid, Monitor} = spawn_monitor(fun() ->
                                           group_leader(Terminal, self()),
                                           exit(try Fun() catch error:Reason -> {Reason, []} end)
                                   end),
    receive
        {'DOWN', Monitor, process, Pid, Result} ->
            Terminal ! {shown, self()},
            receive {Terminal, Shown} -> {Result, Shown} end
    end.

terminal(Lines, Shown) ->
    receive
        {io_request, From, Tag, Request} ->
            {Reply, Rest, Text} = io_request(Request, Lines),
            From ! {io_reply, Tag, Reply},
            terminal(Rest, [Shown, Text]);
        {shown, From} ->
            From ! {self(), unicode:characters_to_list(Shown)}
    end.

io_request({put_chars, unicode, Text}, Lines) -> {ok, Lines, Text};
io_request({put_chars, unicode, M, F, A}, Lines) -> {ok, Lines, apply(M, F, A)};
io_request({get_line, unicode, Prompt}, []) -> {eof, [], text(Prompt)};
io_request({get_line, unicode, _} = Request, [Fun | Lines]) when is_function(Fun) ->
    true = Fun(),
    io_request(Request, Lines);
io_request({get_line, unicode, Prompt}, [Line | Lines]) -> {Line, Lines, [text(Prompt), Line]};
io_request(_, Lines) -> {{error, request}, Lines, []}.

%% A prompt is a text or an atom.
text(Prompt) -> io_lib:format("~ts", [Prompt]).
