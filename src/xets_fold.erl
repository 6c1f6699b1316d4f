%% @private
%% @doc `xets:foldl/3' and `xets:foldr/3'.
%%
%% As in `ets', the fun may change the table, and the fold sees what it has done: objects that it
%% has deleted do not come any more, those that it has replaced come as they are then, and in an
%% `ordered_set' those come whose keys it has inserted further on. `ets' looks for each key when it
%% is there. Here objects are read in chunks, each with a mark, which tells whether anything has
%% changed where the chunk was read. That is asked before every call of the fun but the first of a
%% chunk. As long as nothing has, the chunk is what would be found now; from then on its keys
%% are looked for one by one.
-module(xets_fold).

-export([fix/1, fold/4]).

-record(fold, {
    table :: xets:table(),
    keypos :: pos_integer(),
    call :: fun((tuple(), Acc :: term()) -> term()),
    direction :: left | right,
    left_out = [] :: [term()] % in a bag: keys whose objects in a chunk do not come with it
}).

%% @doc Fixes a table for a fold, and returns its identifier: what becomes of the name meanwhile
%% does not matter.
-spec fix(xets:table()) -> {ok, xets:table()} | badarg.
fix(Name) ->
    try
        Table = xets_info:identifier(Name),
        true = xets:safe_fixtable(Table, true),
        {ok, Table}
    catch
        error:badarg -> badarg
    end.

%% @doc Folds over a table that the process has fixed for it. The fixation ends, too.
-spec fold(left | right, fun((tuple(), Acc) -> Acc), Acc, xets:table()) -> Acc.
fold(Direction, Fun, Acc, Table) ->
    try
        of_type(xets:info(Table, type), Direction, Fun, Acc, Table)
    after
        true = xets:safe_fixtable(Table, false)
    end.

of_type(Type, Direction, Fun, Acc, Table) when is_function(Fun, 2), Type =/= undefined ->
    KeyPos = xets:info(Table, keypos),
    S = #fold{table = Table, keypos = KeyPos, call = Fun, direction = Direction},
    case Type of
        ordered_set -> ordered(start, Acc, S);
        set -> set(start, Acc, S);
        _ -> bag(start, {none, []}, Acc, S)
    end;
of_type(_Type, Direction, Fun, Acc, Table) ->
    % No fun is an error only if there is an object.
    case xets:first_lookup(Table) of
        '$end_of_table' -> Acc;
        {_Key, Objects} when Direction =:= left -> lists:foldl(Fun, Acc, Objects);
        {_Key, Objects} -> lists:foldr(Fun, Acc, Objects)
    end.

%%% Sets

set(done, Acc, _S) ->
    Acc;
set(From, Acc, #fold{call = Fun} = S) ->
    case chunk(From, S) of
        {[], _, _} -> Acc;
        {[Object | Objects], Next, Mark} -> set(Next, in_set(Objects, Fun(Object, Acc), Mark, S), S)
    end.

in_set([Object | Objects] = Left, Acc, Mark, #fold{table = Table, call = Fun} = S) ->
    case is_unchanged(Table, Mark) of
        true -> in_set(Objects, Fun(Object, Acc), Mark, S);
        false -> by_key(Left, Acc, S)
    end;
in_set([], Acc, _Mark, _S) ->
    Acc.

by_key(Objects, Acc, #fold{keypos = KeyPos} = S) ->
    lists:foldl(fun(Object, A) -> objects_of(element(KeyPos, Object), A, S) end, Acc, Objects).

%% The objects that a key has now.
objects_of(Key, Acc, #fold{table = Table, call = Fun, direction = left}) ->
    lists:foldl(Fun, Acc, xets:lookup(Table, Key));
objects_of(Key, Acc, #fold{table = Table, call = Fun, direction = right}) ->
    lists:foldr(Fun, Acc, xets:lookup(Table, Key)).

%%% Bags
%%
%% All objects of a key come one after the other, as they were when the first one came: what the fun
%% does to them meanwhile is not seen. Those that a chunk begins or ends with may be a part of the
%% key's only. So the last key of a chunk is looked for, and its objects in the next chunks are
%% left out.

%% `Seen': the keys whose objects are left out from here on, and the half of the hash that they all
%% have, which is that of the position: several of them, only if they have it in common.
bag(done, _Seen, Acc, _S) ->
    Acc;
bag(From, {_, Keys} = Seen, Acc, #fold{keypos = KeyPos} = S) ->
    case chunk(From, S) of
        {[], Next, _Mark} ->
            bag(Next, Seen, Acc, S);
        {Objects, done, Mark} ->
            in_bag(Objects, Objects, Acc, Mark, S#fold{left_out = Keys});
        {Objects, Next, Mark} ->
            Last = element(KeyPos, lists:last(Objects)),
            Visited = in_bag(Objects, Objects, Acc, Mark, S#fold{left_out = [Last | Keys]}),
            case lists:member(Last, Keys) of
                true -> bag(Next, Seen, Visited, S);
                false -> bag(Next, seen(Last, Next, Seen), objects_of(Last, Visited, S), S)
            end
    end.

seen(Key, {hash, Next}, {Group, Keys}) ->
    case Next bsr 32 of
        Group -> {Group, [Key | Keys]};
        Other -> {Other, [Key]}
    end.

%% `Left': what is left of `Chunk', from a key on. Objects of one key come together there, unless
%% another key has the same half of the hash.
in_bag([], _Chunk, Acc, _Mark, _S) ->
    Acc;
in_bag([Object | _] = Left, Chunk, Acc, Mark, #fold{keypos = KeyPos, left_out = LeftOut} = S) ->
    Key = element(KeyPos, Object),
    case is_in(Key, LeftOut) of
        true -> in_bag(behind(Key, Left, KeyPos), Chunk, Acc, Mark, S);
        false -> of_bag(Key, Left, Chunk, Acc, Mark, S)
    end.

of_bag(Key, Left, Chunk, Acc, Mark, #fold{table = Table, direction = Direction} = S) ->
    case is_unchanged(Table, Mark) of
        true when Direction =:= left ->
            {Others, Next} = forwards(Key, Left, Acc, S),
            in_bag(Others, Chunk, Next, Mark, S);
        true ->
            {Others, Next} = backwards(Key, Left, [], Acc, S),
            in_bag(Others, Chunk, Next, Mark, S);
        false ->
            #fold{keypos = KeyPos, left_out = LeftOut} = S,
            Visited = lists:sublist(Chunk, length(Chunk) - length(Left)),
            Keys = LeftOut ++ [element(KeyPos, O) || O <- Visited],
            by_new_key(Left, maps:from_keys(Keys, visited), Acc, S)
    end.

%% Of lists so short lists:member/2 is slower.
is_in(Key, [Key | _]) -> true;
is_in(Key, [_ | Keys]) -> is_in(Key, Keys);
is_in(_Key, []) -> false.

%% Visits the first objects, which have one key, and returns the others.
forwards(Key, [Object | Objects], Acc, #fold{keypos = KeyPos, call = Fun} = S) when
    element(KeyPos, Object) =:= Key
->
    forwards(Key, Objects, Fun(Object, Acc), S);
forwards(_Key, Objects, Acc, _S) ->
    {Objects, Acc}.

backwards(Key, [Object | Objects], Reversed, Acc, #fold{keypos = KeyPos} = S) when
    element(KeyPos, Object) =:= Key
->
    backwards(Key, Objects, [Object | Reversed], Acc, S);
backwards(_Key, Objects, Reversed, Acc, #fold{call = Fun}) ->
    {Objects, lists:foldl(Fun, Acc, Reversed)}.

behind(Key, [Object | Objects], KeyPos) when element(KeyPos, Object) =:= Key ->
    behind(Key, Objects, KeyPos);
behind(_Key, Objects, _KeyPos) ->
    Objects.

by_new_key([Object | Objects], Keys, Acc, #fold{keypos = KeyPos} = S) ->
    case element(KeyPos, Object) of
        Key when is_map_key(Key, Keys) -> by_new_key(Objects, Keys, Acc, S);
        Key -> by_new_key(Objects, Keys#{Key => visited}, objects_of(Key, Acc, S), S)
    end;
by_new_key([], _Keys, Acc, _S) ->
    Acc.

%%% Ordered sets
%%
%% Keys that are new further on have to come, so from a change on it is the table that is asked for
%% the next key; as often as there are objects left in the chunk, for reading another one costs
%% as much, and would be in vain if the fun goes on to change the table.

ordered(From, Acc, #fold{call = Fun} = S) ->
    case chunk(From, S) of
        {[], _, _} -> Acc;
        {[Object | Left], Next, Mark} -> in_order(Left, Object, Fun(Object, Acc), Next, Mark, S)
    end.

in_order([Object | Objects] = Left, Before, Acc, Next, Mark, S) ->
    #fold{table = Table, keypos = KeyPos, call = Fun} = S,
    case is_unchanged(Table, Mark) of
        true -> in_order(Objects, Object, Fun(Object, Acc), Next, Mark, S);
        false -> steps(length(Left), element(KeyPos, Before), Acc, S)
    end;
in_order([], Last, Acc, done, Mark, #fold{table = Table, keypos = KeyPos} = S) ->
    % Unless there is more behind the last object now.
    case is_unchanged(Table, Mark) of
        true -> Acc;
        false -> ordered({key, element(KeyPos, Last)}, Acc, S)
    end;
in_order([], _Last, Acc, Next, _Mark, S) ->
    ordered(Next, Acc, S).

steps(0, Key, Acc, S) ->
    ordered({key, Key}, Acc, S);
steps(N, Key, Acc, #fold{call = Fun} = S) ->
    case next(Key, S) of
        '$end_of_table' -> Acc;
        {Next, [Object]} -> steps(N - 1, Next, Fun(Object, Acc), S)
    end.

next(Key, #fold{table = Table, direction = left}) -> xets:next_lookup(Table, Key);
next(Key, #fold{table = Table, direction = right}) -> xets:prev_lookup(Table, Key).

%%% Chunks

chunk(From, #fold{table = Table, direction = Direction} = S) ->
    try
        xets:objects_nif(Table, From, Direction =:= right)
    catch
        error:xets_retry ->
            erlang:yield(),
            chunk(From, S)
    end.

%% Not to know is to have to look.
is_unchanged(Table, Mark) ->
    try
        xets:unchanged_nif(Table, Mark)
    catch
        error:xets_retry -> false
    end.
