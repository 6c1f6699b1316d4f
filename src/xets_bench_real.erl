%% @doc Real data: every function that the installed Erlang/OTP and Elixir export, and the words
%% of the installed dictionary.
%%
%% Both tables go through the same life: filled one object at a time, all objects looked up in
%% random order, a counter in each object raised, everything deleted in random order. After each
%% step that changes something the contents of both tables are compared, object by object.
-module(xets_bench_real).

-export([measure/2, dictionary/0]).

-define(DICTIONARIES, [
    "/usr/share/dict/words",
    "/usr/share/dict/american-english",
    "/usr/share/dict/british-english",
    "/usr/share/dict/web2"
]).

%% @doc Measures `data': `functions' or `words'.
-spec measure(map(), xets_bench:conf()) -> #{atom() => xets_bench_lib:outcome()}.
measure(#{data := Data}, #{few_rounds := Rounds, seed := Seed} = Conf) ->
    {Objects, About} = objects(Data, Conf),
    Keys = [element(1, Object) || Object <- Objects],
    Lives = {Objects, xets_bench_lib:shuffle(Keys, Seed), xets_bench_lib:shuffle(Keys, Seed + 1)},
    ok = xets_bench_lib:tidy(),
    [_ | Runs] = [life(Lives, sides(Round)) || Round <- lists:seq(0, Rounds)],
    Steps = maps:map(
        fun(_, Outcome) -> Outcome#{note => About} end,
        maps:from_list([{Step, step(Step, Runs)} || Step <- [load, lookup, count, delete]])
    ),
    Steps#{memory => memory(length(Objects), Runs)}.

sides(Round) when Round rem 2 =:= 0 -> [ets, xets, none];
sides(_Round) -> [none, xets, ets].

step(Step, Runs) ->
    xets_bench_lib:net(
        maps:from_list([
            {Side, [maps:get({Step, Side}, Run) || Run <- Runs]}
         || Side <- [ets, xets, none]
        ])
    ).

memory(Count, [#{memory := {Ets, Xets}} | _]) ->
    #{unit => bytes, ets => Ets / Count, xets => Xets / Count, note => "per object"}.

%% The life of two tables -------------------------------------------------------------------------

life({Objects, Walk1, Walk2}, Sides) ->
    Count = length(Objects),
    Pair = xets_bench_pair:open([]),
    Step = fun(Name, Loop, Items) ->
        [{{Name, Side}, per_item(Side, Loop, Items, Pair)} || Side <- Sides]
    end,
    Load = Step(load, insert, Objects),
    Lookup = Step(lookup, lookup, Walk1),
    Counts = Step(count, update_counter, Walk2),
    Count = xets_bench_pair:same_contents(Pair),
    ok = xets_bench_pair:agree(Pair, Walk1),
    Memory = {_, _} = list_to_tuple([
        xets_bench_lib:info(Side, xets_bench_pair:table(Side, Pair), memory)
     || Side <- [ets, xets]
    ]),
    {Half1, Half2} = lists:split(Count div 2, Walk1),
    Delete1 = Step(delete, delete, Half1),
    Left = length(Half2),
    Left = xets_bench_pair:same_contents(Pair),
    Delete2 = Step(delete, delete, Half2),
    0 = xets_bench_pair:same_contents(Pair),
    ok = xets_bench_pair:close(Pair),
    Delete = [{Key, (T1 + T2) / 2} || {{Key, T1}, {Key, T2}} <- lists:zip(Delete1, Delete2)],
    maps:from_list([{memory, Memory} | Load ++ Lookup ++ Counts ++ Delete]).

per_item(Side, Loop, Items, Pair) ->
    Loops = xets_bench_lib:loops(Side),
    Table = xets_bench_pair:table(Side, Pair),
    xets_bench_lib:elapsed(fun() -> ok = Loops:Loop(Items, Table) end) / length(Items).

objects(functions, #{quick := Quick}) ->
    {Objects, Counts} = xets_bench_functions:objects(Quick),
    {Objects,
        io_lib:format("~s functions of ~b modules of ~b applications; ~s", [
            xets_bench_text:count(maps:get(functions, Counts)),
            maps:get(modules, Counts),
            maps:get(applications, Counts),
            maps:get(releases, Counts)
        ])};
objects(words, #{quick := Quick}) ->
    {ok, File} = dictionary(),
    Objects = words(File, Quick),
    {Objects, io_lib:format("~s words of ~ts", [xets_bench_text:count(length(Objects)), File])}.

%% Words ------------------------------------------------------------------------------------------

%% @doc The dictionary of this machine, where one is installed.
-spec dictionary() -> {ok, file:filename()} | none.
dictionary() ->
    case lists:filter(fun filelib:is_regular/1, ?DICTIONARIES) of
        [File | _] -> {ok, File};
        [] -> none
    end.

%% {Word, times used, line, length, its letters sorted: equal for anagrams}
words(File, Quick) ->
    {ok, Text} = file:read_file(File),
    Lines = binary:split(Text, <<"\n">>, [global, trim_all]),
    Taken = if Quick -> lists:sublist(Lines, 5000); true -> Lines end,
    lists:ukeysort(1, [word(Word, Line) || {Word, Line} <- number(Taken, 1)]).

number([Word | Words], Line) -> [{Word, Line} | number(Words, Line + 1)];
number([], _Line) -> [].

%% Copied, because a part of the file would keep all of it in memory.
word(Word, Line) ->
    Letters = unicode:characters_to_binary(lists:sort(unicode:characters_to_list(Word))),
    {binary:copy(Word), 0, Line, string:length(Word), Letters}.
