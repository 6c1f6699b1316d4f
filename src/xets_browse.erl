%% @private
%% @doc The tables, and the objects of one, on the terminal: `xets:i/0,1'. What is shown and
%% understood is what `ets:i/0,1' show and understand.
-module(xets_browse).

-export([tables/0, table/1]).

-define(LINES, 39). % objects on a page
-define(WIDTH, 72). % characters of an object

%% The objects of a table, read as far as they are looked at.
-type objects() :: [] | {[tuple()], fun(() -> objects())}.

-record(view, {
    table :: xets:table(),
    filter = all :: all | tuple(),
    rest :: objects(),
    number = 1 :: pos_integer()
}).
%% A listing of all objects, or of those whose text matches a regular expression: how far it has
%% come, and the number that the next object has in it.

%%% All tables

%% @doc Lists the tables.
-spec tables() -> ok.
tables() ->
    row([id, name, type, size, mem, owner]),
    io:format(" ~s~n", [lists:duplicate(76, $-)]),
    lists:foreach(fun summary/1, lists:sort(xets:all())).

summary(Table) ->
    Facts = [xets:info(Table, Item) || Item <- [name, type, size, memory]],
    case xets:info(Table, owner) of
        undefined -> ok; % it ended meanwhile
        Owner -> row([Table | Facts] ++ [registered(Owner)])
    end.

registered(Pid) ->
    case process_info(Pid, registered_name) of
        {registered_name, Name} -> Name;
        _ -> Pid
    end.

row(Cells) ->
    Texts = [io_lib:format("~0tp", [Cell]) || Cell <- Cells],
    io:format(" ~ts~n", [lists:join($\s, columns(Texts, [15, 17, 5, 6, 8, 0]))]).

columns(Texts, Widths) ->
    [string:pad(Text, Width) || {Text, Width} <- lists:zip(Texts, Widths)].

%%% One table

%% @doc Shows the objects of a table page by page.
-spec table(xets:table()) -> ok.
table(Table) ->
    true = xets:safe_fixtable(Table, true), % a key that is deleted meanwhile has a next one
    try
        page(#view{table = Table, rest = objects(Table)})
    after
        unfix(Table)
    end.

unfix(Table) ->
    try
        xets:safe_fixtable(Table, false)
    catch
        error:badarg -> ended
    end.

page(View) ->
    ask(show(View, ?LINES)).

show(View, 0) ->
    View;
show(#view{number = Number} = View, Lines) ->
    case next(View) of
        {Object, Next} ->
            io:format("<~-4w> ~ts~n", [Number, cut(text(Object))]),
            show(Next, Lines - 1);
        '$end_of_table' ->
            View#view{rest = []}
    end.

ask(#view{table = Table} = View) ->
    More = read(View#view.rest) =/= [],
    Title = case More of
                true -> "(c)ontinue";
                false -> "EOT "
            end,
    case line(io:get_line(Title ++ " (q)uit (p)Digits (k)ill /Regexp -->")) of
        Line when Line =:= "\n"; Line =:= "c\n" -> page(View);
        "q\n" -> ok;
        "k\n" -> true = xets:delete(Table), ok;
        "p" ++ Digits -> print(View, string:to_integer(chomp(Digits))), ask(View);
        "/" ++ Regexp -> search(View, chomp(Regexp));
        Line when is_list(Line) -> ask(View);
        _ -> ok % the end of the input, or an error
    end.

%% IEx reads binaries.
line(Line) when is_binary(Line) -> unicode:characters_to_list(Line);
line(Line) -> Line.

chomp(Line) -> string:trim(Line, trailing, "\n").

%% The object with this number in the listing, in full.
print(View, {Number, ""}) when is_integer(Number) ->
    case nth(Number, from_start(View)) of
        {Object, _} -> io:format("~tp~n", [Object]);
        '$end_of_table' -> ok
    end;
print(_View, _) ->
    io:format("Bad digits~n").

nth(Number, _View) when Number < 1 ->
    '$end_of_table';
nth(1, View) ->
    next(View);
nth(Number, View) ->
    case next(View) of
        {_, Next} -> nth(Number - 1, Next);
        '$end_of_table' -> '$end_of_table'
    end.

search(View, Regexp) ->
    case re:compile(Regexp, [unicode]) of
        {ok, Compiled} ->
            page(from_start(View#view{filter = Compiled}));
        {error, {Reason, _Position}} ->
            io:format("~ts~n", [Reason]),
            ask(View)
    end.

from_start(#view{table = Table} = View) ->
    View#view{rest = objects(Table), number = 1}.

%% The next object of the listing, and the listing from there on.
next(#view{rest = Rest, number = Number, filter = Filter} = View) ->
    case read(Rest) of
        [] ->
            '$end_of_table';
        {[Object | Objects], More} ->
            Next = View#view{rest = {Objects, More}},
            case Filter =:= all orelse re:run(text(Object), Filter, [{capture, none}]) of
                nomatch -> next(Next);
                _ -> {Object, Next#view{number = Number + 1}}
            end
    end.

%%% Objects

objects(Table) ->
    of_key(Table, xets:first(Table)).

of_key(_Table, '$end_of_table') ->
    [];
of_key(Table, Key) ->
    {xets:lookup(Table, Key), fun() -> of_key(Table, xets:next(Table, Key)) end}.

%% Until there is an object: those of a key may have been deleted.
read({[], More}) -> read(More());
read(Objects) -> Objects.

text(Object) ->
    lists:flatten(io_lib:format("~tp", [Object])).

cut(Text) ->
    case length(Text) > ?WIDTH of
        true -> lists:sublist(Text, ?WIDTH - 5) ++ "  ...";
        false -> Text
    end.
