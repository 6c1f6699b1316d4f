%% @private
%% @doc What `xets' does with match specifications.
%%
%% The native side compiles most of them, and runs them on stored objects. For the others it
%% answers `other', and gives the objects that may match as terms: these `ets:match_spec_run/2'
%% matches, here. What changes objects does so one by one, each atomically: it compares what is
%% there with what has been matched.
%%
%% Positions are those of the native side (c_src/beam/scan.h). They mean the same to both ways, so
%% that one goes on where the other has stopped.
-module(xets_match).

-export([select/3, page/4, next/1, count/2, delete/2, take/2, replace/2, update/3]).
-export([is_continuation/1, is_limit/1, is_valid/1]).
-export_type([continuation/0, position/0, what/0, outcome/0]).

%% As in c_src/beam/calls_match.c.
-define(SELECT, 0).
-define(COUNT, 1).
-define(DELETE, 2).
-define(TAKE, 3).
-define(REPLACE, 4).
-define(REVERSE, 8).

-type what() :: ?SELECT..(?REPLACE + ?REVERSE).

-type position() :: start | done | last | {point | hash | key, term()}.
%% Where a scan goes on. `last': nowhere, for there can be no other objects that match.

-type outcome() ::
    other
    | [term()]
    | non_neg_integer()
    | {Results :: [term()], Left :: [term()], position()}
    | {stopped, [tuple()] | non_neg_integer(), Left :: [term()], position()}.
%% What the native side answers. `Left': results above the limit; keys (in a bag: objects) that are
%% still to be looked at, when it could not go on after it had changed something.

-type owed() :: none | {xets_durable:log(), Number :: non_neg_integer()}.
%% Whether there is something to wait for: that the last change has reached the level of its table,
%% and so all before it have. A call waits once, in its end.

-type continuation() ::
    {xets_select, reference(), xets:match_spec(), pos_integer(), what(), position(), [term()]}.
%% `[term()]': results that are to be returned before all others.

%% Objects that are decoded at once.
-define(CHUNK, 500).
%% The largest limit that `ets' takes.
-define(LIMIT_MAX, ((1 bsl 59) - 1)).

%%% Reading

%% @doc All results.
-spec select(xets:table(), xets:match_spec(), Reverse :: boolean()) -> [term()].
select(Table, Spec, Reverse) ->
    What = what(?SELECT, Reverse),
    case native(Table, Spec, What, infinity, start) of
        other ->
            Run = compile(Spec),
            lists:append(fold(xets_info:identifier(Table), Spec, Reverse, start, Run, []));
        Results ->
            Results
    end.

%% The lists of the results of each chunk.
fold(Id, Spec, Reverse, Position, Run, Before) ->
    {Objects, Next} = candidates(Id, Spec, Reverse, ?CHUNK, Position),
    Lists = [Run(Objects) | Before],
    case is_end(Next) of
        true -> lists:reverse(Lists);
        false -> fold(Id, Spec, Reverse, Next, Run, Lists)
    end.

%% @doc How many objects the result is `true' for.
-spec count(xets:table(), xets:match_spec()) -> non_neg_integer().
count(Table, Spec) ->
    case native(Table, Spec, ?COUNT, infinity, start) of
        other ->
            Run = compile(Spec),
            count(xets_info:identifier(Table), Spec, start, Run, 0);
        N ->
            N
    end.

count(Id, Spec, Position, Run, N) ->
    {Objects, Next} = candidates(Id, Spec, false, ?CHUNK, Position),
    Sum = N + length([true || true <- Run(Objects)]),
    case is_end(Next) of
        true -> Sum;
        false -> count(Id, Spec, Next, Run, Sum)
    end.

%%% Pages

%% @doc The first results, at most `Limit', and what goes on behind them.
-spec page(xets:table(), xets:match_spec(), Limit, Reverse :: boolean()) ->
    {[term()], continuation() | '$end_of_table'} | '$end_of_table'
when
    Limit :: pos_integer().
page(Table, Spec, Limit, Reverse) ->
    _ = is_limit(Limit) orelse erlang:error(badarg),
    read_page(xets_info:identifier(Table), Spec, Limit, what(?SELECT, Reverse), start).

%% @doc The next page.
-spec next(continuation()) -> {[term()], continuation() | '$end_of_table'} | '$end_of_table'.
next({xets_select, Id, Spec, Limit, What, Position, []}) ->
    read_page(Id, Spec, Limit, What, Position);
next({xets_select, Id, Spec, Limit, What, Position, Left}) ->
    case length(Left) of
        N when N < Limit ->
            Read = read(Id, Spec, Limit - N, What, Position),
            page_of(before(Left, Read), Id, Spec, Limit, What);
        _ ->
            %% Nothing is read, but may it be?
            _ = xets:member(Id, []),
            {Page, Others} = lists:split(Limit, Left),
            page_of({Page, Others, Position}, Id, Spec, Limit, What)
    end.

before(Left, {Results, Others, Next}) -> {Left ++ Results, Others, Next};
before(Left, Results) -> Left ++ Results.

read_page(Id, Spec, Limit, What, Position) ->
    page_of(read(Id, Spec, Limit, What, Position), Id, Spec, Limit, What).

%% As ets has it: a page that is full ends the table only where it is known that nothing follows.
page_of({Page, [], last}, Id, Spec, Limit, What) ->
    case is_exhausted(Id, Spec) of
        true -> {Page, '$end_of_table'};
        false -> {Page, {xets_select, Id, Spec, Limit, What, last, []}}
    end;
page_of({Page, Left, Next}, Id, Spec, Limit, What) ->
    {Page, {xets_select, Id, Spec, Limit, What, Next, Left}};
page_of([], _Id, _Spec, _Limit, _What) ->
    '$end_of_table';
page_of(Page, _Id, _Spec, _Limit, _What) ->
    {Page, '$end_of_table'}.

%% All points have been read. In an ordered table ets knows that it is the end only where the heads
%% of all clauses name one and the same key.
is_exhausted(Id, Spec) ->
    xets:info(Id, type) =/= ordered_set orelse
        names_one_key(Spec, xets:info(Id, keypos)).

names_one_key([Clause | Clauses], KeyPos) ->
    case key_of(Clause, KeyPos) of
        [Key] -> lists:all(fun(Other) -> key_of(Other, KeyPos) == [Key] end, Clauses);
        [] -> false
    end;
names_one_key(_, _KeyPos) ->
    false.

key_of({Head, _Guards, _Body}, KeyPos) when tuple_size(Head) >= KeyPos ->
    Key = element(KeyPos, Head),
    [Key || not has_variable(Key)];
key_of(_Clause, _KeyPos) ->
    [].

has_variable([Head | Tail]) -> has_variable(Head) orelse has_variable(Tail);
has_variable(Tuple) when is_tuple(Tuple) -> has_variable(tuple_to_list(Tuple));
has_variable(Map) when is_map(Map) -> map_size(Map) > 0;
has_variable('_') -> true;
has_variable(Atom) when is_atom(Atom) -> is_variable(atom_to_list(Atom));
has_variable(_) -> false.

is_variable("$0") -> true;
is_variable([$$, First | Digits]) ->
    First >= $1 andalso First =< $9 andalso
        lists:all(fun(C) -> C >= $0 andalso C =< $9 end, Digits);
is_variable(_) -> false.

%% `Limit' results, or all there are if that is fewer.
read(Id, Spec, Limit, What, Position) ->
    case native(Id, Spec, What, Limit, Position) of
        other -> read(Id, Spec, Limit, What, Position, compile(Spec), [], 1);
        Read -> Read
    end.

%% More and more objects at once when few of them match.
read(Id, Spec, Limit, What, Position, Run, Before, Times) ->
    Least = min(max(Limit, 16) * Times, ?CHUNK),
    {Objects, Next} = candidates(Id, Spec, What >= ?REVERSE, Least, Position),
    Results = Run(Objects),
    N = length(Results),
    All = [Results | Before],
    if
        N < Limit ->
            case is_end(Next) of
                true -> in_order(All);
                false -> read(Id, Spec, Limit - N, What, Next, Run, All, 2 * Times)
            end;
        N =:= Limit ->
            {in_order(All), [], Next};
        true ->
            {Now, Left, Rest} = cut(Id, Objects, Results, Limit, Next, Run),
            {in_order([Now | Before]), Left, Rest}
    end.

in_order(Lists) ->
    lists:append(lists:reverse(Lists)).

%% There are more results than wanted. In an ordered table one goes on behind the object that the
%% last one wanted is of.
cut(_Id, _Objects, Results, Limit, {Kind, _} = Next, _Run) when Kind =:= hash; Kind =:= point ->
    {Now, Left} = lists:split(Limit, Results),
    {Now, Left, Next};
cut(Id, Objects, Results, Limit, Next, Run) ->
    case Next =/= last andalso xets:info(Id, type) =:= ordered_set of
        true ->
            {Now, Last} = take_results(Objects, Limit, Run, []),
            {Now, [], {key, element(xets:info(Id, keypos), Last)}};
        false ->
            {Now, Left} = lists:split(Limit, Results),
            {Now, Left, Next}
    end.

take_results([Object | Objects], Limit, Run, Before) ->
    case Run([Object]) of
        [] -> take_results(Objects, Limit, Run, Before);
        [Result] when Limit =:= 1 -> {lists:reverse([Result | Before]), Object};
        [Result] -> take_results(Objects, Limit - 1, Run, [Result | Before])
    end.

%%% Changing

%% @doc Removes the objects that the result is `true' for. How many they were. If the
%% specification says "all", they are removed at one instant.
-spec delete(xets:table(), xets:match_spec()) -> non_neg_integer().
delete(Table, [{'_', [], [true]}]) ->
    retry(fun() -> xets:delete_count_all_nif(Table) end);
delete(Table, Spec) ->
    lists:sum(change(Table, Spec, ?DELETE)).

%% @doc The same, and they are returned.
-spec take(xets:table(), xets:match_spec()) -> [tuple()].
take(Table, Spec) ->
    lists:append(change(Table, Spec, ?TAKE)).

%% @doc Puts the results in the places of the objects. How many they were.
-spec replace(xets:table(), xets:match_spec()) -> non_neg_integer() | {error, xets_errors:cause()}.
replace(Table, Spec) ->
    _ = xets:insert(Table, []),
    Id = xets_info:identifier(Table),
    Type = xets:info(Id, type),
    case Type =/= bag andalso keeps_keys(Type, xets:info(Id, keypos), Spec) of
        true when Type =:= duplicate_bag -> waited(replace_groups(Id, Spec));
        true -> lists:sum(change(Id, Spec, ?REPLACE));
        false when Type =:= bag -> {error, table_type};
        false -> {error, none}
    end.

%% In a duplicate_bag an object goes elsewhere when it is replaced, and a scan might meet it again.
%% So all keys are gathered first. Of the objects of a key each has a number, in their order, which
%% its replacement has, too: so each is replaced once.
replace_groups(Id, Spec) ->
    Run = compile(Spec),
    KeyPos = xets:info(Id, keypos),
    Keys = keys(Id, Spec, KeyPos, Run, start, #{}),
    lists:foldl(
        fun(Key, Done) -> replace_group(Id, Key, Run, -1, Done) end, {0, none}, maps:keys(Keys)
    ).

%% Those behind a number. Done is how many have been replaced, and what is owed for that.
replace_group(Id, Key, Run, After, Done) ->
    Group = retry(fun() -> xets:group_nif(Id, Key) end),
    case replace_each([Pair || {I, _} = Pair <- Group, I > After], Id, Run, After, Done) of
        {changed, Last, DoneNow} -> replace_group(Id, Key, Run, Last, DoneNow);
        DoneNow -> DoneNow
    end.

replace_each([{I, Object} | Group], Id, Run, After, {N, Owed} = Done) ->
    case Run([Object]) of
        [] ->
            replace_each(Group, Id, Run, I, Done);
        [New] ->
            Replace = fun() -> xets:replace_in_group_nif(Id, Object, I, New) end,
            case owing(Replace, Owed) of
                {true, OwedNow} -> replace_each(Group, Id, Run, I, {N + 1, OwedNow});
                {false, OwedNow} -> {changed, After, {N, OwedNow}}
            end
    end;
replace_each([], _Id, _Run, _After, Done) ->
    Done.

%% Those of the objects that match.
keys(Id, Spec, KeyPos, Run, Position, Keys) ->
    {Objects, Next} = candidates(Id, Spec, false, ?CHUNK, Position),
    More = maps:from_list([{element(KeyPos, O), []} || O <- Objects, Run([O]) =/= []]),
    All = maps:merge(Keys, More),
    case is_end(Next) of
        true -> All;
        false -> keys(Id, Spec, KeyPos, Run, Next, All)
    end.

%% Whether no result can have another key than its object: so ets thinks, and is asked.
keeps_keys(Type, KeyPos, Spec) ->
    Empty = ets:new(?MODULE, [Type, private, {keypos, KeyPos}]),
    try ets:select_replace(Empty, Spec) of
        0 -> true
    catch
        error:badarg -> false
    after
        ets:delete(Empty)
    end.

%% What has been done, in parts: numbers, or lists of objects.
change(Table, Spec, What) ->
    waited(change(Table, Spec, What, start, {[], none})).

%% Before is the parts, the last of them first, and what is owed for them.
change(Table, Spec, What, Position, {Parts, Owed} = Before) ->
    case owing(fun() -> xets:scan_nif(Table, Spec, What, infinity, Position) end, Owed) of
        {other, _} ->
            Run = compile(Spec),
            change_objects(xets_info:identifier(Table), Spec, What, Position, Run, Before);
        {{stopped, Done, Left, Next}, OwedNow} ->
            Id = xets_info:identifier(Table),
            Change = changer(fun change_left/5, Id, What, compile(Spec)),
            change(Id, Spec, What, Next, lists:foldl(Change, {[Done | Parts], OwedNow}, Left));
        {Done, OwedNow} ->
            {lists:reverse(Parts, [Done]), OwedNow}
    end.

change_objects(Id, Spec, What, Position, Run, Before) ->
    {Objects, Next} = candidates(Id, Spec, false, ?CHUNK, Position),
    {Parts, Owed} =
        After = lists:foldl(changer(fun change_object/5, Id, What, Run), Before, Objects),
    case is_end(Next) of
        true -> {lists:reverse(Parts), Owed};
        false -> change_objects(Id, Spec, What, Next, Run, After)
    end.

%% For a fold over what Change, one of the functions below, is to change: they return a part, and
%% what is owed.
changer(Change, Id, What, Run) ->
    fun(Term, {Parts, Owed}) ->
        {Part, OwedNow} = Change(Id, What, Run, Term, Owed),
        {[Part | Parts], OwedNow}
    end.

%% What is left is keys, in a bag objects.
change_left(Id, What, Run, Term, Owed) ->
    case is_bag(Id) of
        true -> change_object(Id, What, Run, Term, Owed);
        false -> change_key(Id, What, Run, Term, Owed)
    end.

change_key(Id, What, Run, Key, Owed) ->
    case xets:lookup(Id, Key) of
        [Object] -> change_object(Id, What, Run, Object, Owed);
        [] -> {nothing(What), Owed}
    end.

%% The object is as it was when it was read, or what is there now is looked at.
change_object(Id, What, Run, Object, Owed) ->
    case make(Id, What, Object, Run([Object]), Owed) of
        {0, OwedNow} -> changed_meanwhile(Id, What, Run, Object, OwedNow);
        {N, OwedNow} when What =:= ?TAKE -> {lists:duplicate(N, Object), OwedNow};
        {N, OwedNow} -> {N, OwedNow};
        nothing -> {nothing(What), Owed}
    end.

%% How many objects equal to this one have been changed.
make(Id, ?REPLACE, Object, [New], Owed) ->
    case owing(fun() -> xets:replace_nif(Id, Object, New) end, Owed) of
        {true, OwedNow} -> {1, OwedNow};
        {false, OwedNow} -> {0, OwedNow}
    end;
make(Id, What, Object, [true], Owed) when What =:= ?DELETE; What =:= ?TAKE ->
    owing(fun() -> xets:remove_object_count_nif(Id, Object) end, Owed);
make(_Id, _What, _Object, _Results, _Owed) ->
    nothing.

changed_meanwhile(Id, What, Run, Object, Owed) ->
    case is_bag(Id) of
        true -> {nothing(What), Owed};
        false -> change_key(Id, What, Run, element(xets:info(Id, keypos), Object), Owed)
    end.

nothing(?TAKE) -> [];
nothing(_What) -> 0.

is_bag(Id) ->
    lists:member(xets:info(Id, type), [bag, duplicate_bag]).

%% @doc The object that the one with this key has been replaced by; `false' if there is none, or it
%% does not match.
-spec update(xets:table(), Key :: term(), xets:match_spec()) -> tuple() | false.
update(Table, Key, Spec) ->
    case retry(fun() -> xets:update_nif(Table, Key, Spec) end) of
        other -> update_object(xets_info:identifier(Table), Key, compile(Spec));
        Result -> Result
    end.

update_object(Id, Key, Run) ->
    _ = xets:insert(Id, []),
    Object = retry(fun() -> xets:lookup(Id, Key) end),
    case Run(Object) of
        [] ->
            false;
        [New] ->
            _ = has_key(New, Key, Id) orelse erlang:error(badarg),
            case retry(fun() -> xets:replace_nif(Id, hd(Object), New) end) of
                true -> New;
                false -> update_object(Id, Key, Run)
            end
    end.

has_key(New, Key, Id) ->
    KeyPos = xets:info(Id, keypos),
    is_tuple(New) andalso tuple_size(New) >= KeyPos andalso
        case xets:info(Id, type) of
            ordered_set -> element(KeyPos, New) == Key;
            _ -> element(KeyPos, New) =:= Key
        end.

%%% Arguments

%% @doc Whether a term has the form of a continuation.
-spec is_continuation(term()) -> boolean().
is_continuation({xets_select, Id, _Spec, Limit, What, _Position, Left}) ->
    is_reference(Id) andalso is_limit(Limit) andalso
        (What =:= ?SELECT orelse What =:= ?SELECT bor ?REVERSE) andalso
        is_list(Left) andalso length_or_none(Left) =/= none;
is_continuation(_) ->
    false.

length_or_none(List) ->
    try
        length(List)
    catch
        error:badarg -> none
    end.

%% @doc Whether `ets' takes a term as a limit.
-spec is_limit(term()) -> boolean().
is_limit(Limit) ->
    is_integer(Limit) andalso Limit > 0 andalso Limit =< ?LIMIT_MAX.

%% @doc Whether a term is a match specification.
-spec is_valid(term()) -> boolean().
is_valid(Spec) ->
    try ets:match_spec_compile(Spec) of
        _ -> true
    catch
        error:badarg -> false
    end.

%%% The native side, and ets

what(What, true) -> What bor ?REVERSE;
what(What, false) -> What.

native(Table, Spec, What, Limit, Position) ->
    retry(fun() -> xets:scan_nif(Table, Spec, What, Limit, Position) end).

%% Some objects that may match, in order, and where the others begin.
candidates(Id, Spec, Reverse, Least, Position) ->
    retry(fun() -> xets:candidates_nif(Id, Spec, Reverse, Least, Position) end).

is_end(Next) ->
    Next =:= done orelse Next =:= last.

%% The results for a list of objects. For ets a list of no clauses is none that can be compiled, but
%% one that matches nothing.
compile([]) ->
    fun(_Objects) -> [] end;
compile(Spec) ->
    Compiled = ets:match_spec_compile(Spec),
    fun(Objects) -> ets:match_spec_run(Objects, Compiled) end.

retry(Fun) ->
    waited(owing(Fun, none)).

%% The result of Fun, and what is owed now: what it says, or what was owed before.
-spec owing(fun(() -> Result), owed()) -> {Result, owed()}.
owing(Fun, Owed) ->
    try
        {Fun(), Owed}
    catch
        error:{xets_wait, Log, Number, Result} ->
            {Result, {Log, Number}};
        error:{xets_room, Log, Bytes} ->
            ok = xets_durable:await_room(Log, Bytes),
            owing(Fun, Owed);
        error:xets_retry ->
            erlang:yield(),
            owing(Fun, Owed)
    end.

-spec waited({Result, owed()}) -> Result.
waited({Result, none}) -> Result;
waited({Result, {Log, Number}}) -> xets_durable:wait(Log, Number, Result).
