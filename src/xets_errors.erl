%% @private
%% @doc Why a call of `xets' failed: found out after the failure, by looking at the
%% arguments and the table again, and told in the words that `ets' has for it.
%%
%% The table may have changed since the call. Then the cause found is none, or that of
%% a call made now.
-module(xets_errors).

-export([cause/2, format_error/2]).
-export_type([cause/0]).

-type cause() ::
    % the arguments alone tell what is wrong
    none
    % not a table identifier
    | type
    % no such table
    | id
    % the table is not public, or private
    | access
    % the table is a snapshot
    | snapshot
    % what keeps the table on disk
    | {durable, xets_durable:reason()}
    | already_exists
    % the caller is not the owner
    | not_owner
    % the receiver of a table is its owner
    | owner
    % not for tables of this type
    | table_type
    % no object with the key
    | badkey
    % a tuple without an element at the key position
    | no_key
    % the element to be changed is the key
    | keypos
    % the object has no such element
    | position
    % the default object is no tuple, or has no element at the key position
    | default.

%%% Causes

%% @doc The cause of a `badarg' that `xets:Function' raised.
%%
%% Missing keys are found in constant time: programs make use of that error.
-spec cause(Function :: atom(), Args :: [term()]) -> cause().
cause(insert, [Table, []]) ->
    table(Table, write);
cause(member, [Table, _Key]) ->
    table(Table, read);
cause(Function, [Continuation]) when Function =:= range; Function =:= prefix ->
    case xets_order:is_continuation(Continuation) of
        true -> cause(Function, [element(2, Continuation), []]);
        false -> none
    end;
cause(Fold, [_Function, _Acc, Table]) when Fold =:= foldl; Fold =:= foldr ->
    table(Table, read);
cause(Function, [Table | Args]) ->
    Access = access(Function),
    case is_allowed(Access, Table) of
        true when Access =:= write -> written(Function, Table, Args, xets_durable:failure(Table));
        true -> call(Function, Table, Args);
        false -> table(Table, Access)
    end.

%% A durable table that has failed takes no changes.
written(Function, Table, Args, none) -> call(Function, Table, Args);
written(_Function, _Table, _Args, Error) -> {durable, Error}.

access(Function) ->
    Reads = [lookup, lookup_element, lookup_elements, lookup_many, tab2list, slot, safe_fixtable,
        snapshot],
    Traversals = [first, last, next, prev, first_lookup, last_lookup, next_lookup, prev_lookup],
    Matches = [match, match_object, select, select_reverse, select_count, explain],
    Queries = [table, to_dets, tab2file],
    case lists:member(Function, Reads ++ Traversals ++ Matches ++ Queries ++ reads_in_order()) of
        true -> read;
        false -> write
    end.

reads_in_order() ->
    [range, prefix, count, nth, rank, first_n, last_n].

%% Two calls that fail only because of the table.
is_allowed(read, Table) -> succeeds(fun() -> xets:member(Table, []) end);
is_allowed(write, Table) -> succeeds(fun() -> xets:insert(Table, []) end).

succeeds(Fun) ->
    try Fun() of
        _ -> true
    catch
        error:badarg -> false
    end.

%% What is wrong with a table to which there is no access, or `none'.
table(Table, Access) ->
    try {xets:info(Table, owner), xets:info(Table, protection), xets:info(Table, snapshot)} of
        {undefined, _, _} -> id;
        {_, undefined, _} -> id;
        {_, _, true} when Access =:= write -> snapshot;
        {Owner, _, _} when Owner =:= self() -> none;
        {_, private, _} -> access;
        {_, protected, _} when Access =:= write -> access;
        _ -> none
    catch
        error:badarg -> type
    end.

%% The table is there, and the process has access to it.
call(Insert, Table, [Objects]) when Insert =:= insert; Insert =:= insert_new ->
    case object_error(Objects) of
        "" -> key_position(Table, as_list(Objects));
        _ -> none
    end;
call(delete_object, Table, [Object]) ->
    object(Table, Object);
call(put_new, Table, [Object]) ->
    case is_bag(Table) of
        true -> table_type;
        false -> object(Table, Object)
    end;
call(lookup_element, Table, [Key, Pos]) ->
    found(Table, Key, position_error(Pos));
call(lookup_element, _Table, [_Key, Pos, _Default]) ->
    case position_error(Pos) of
        "" -> position;
        _ -> none
    end;
call(lookup_elements, Table, [Key, Positions]) ->
    found(Table, Key, positions_error(Positions));
call(Next, _Table, [_Key]) when
    Next =:= next; Next =:= prev; Next =:= next_lookup; Next =:= prev_lookup
->
    badkey;
call(give_away, Table, [Pid, _Gift]) when is_pid(Pid) ->
    case xets:info(Table, owner) of
        Owner when Owner =/= self() -> not_owner;
        Pid -> owner;
        _ -> none
    end;
call(setopts, _Table, [Options]) ->
    case xets_options:changes(Options) of
        {error, Cause} -> Cause;
        _ -> not_owner
    end;
call(rename, _Table, [Name]) when is_atom(Name) ->
    already_exists;
call(update_counter, Table, [Key, UpdateOp | Default]) ->
    updated(Table, Key, Default, fun(Object, KeyPos) -> counter(UpdateOp, Object, KeyPos) end);
call(update_element, Table, [Key, ElementSpec | Default]) ->
    updated(Table, Key, Default, fun(Object, KeyPos) ->
        elements(as_list(ElementSpec), Object, KeyPos)
    end);
call(select_replace, Table, _Args) ->
    case xets:info(Table, type) of
        bag -> table_type;
        _ -> none
    end;
call(update, Table, _Args) ->
    case is_bag(Table) of
        true -> table_type;
        false -> none
    end;
call(Function, Table, _Args) ->
    IsOrdered = lists:member(Function, [take_first, take_last | reads_in_order()]),
    case IsOrdered andalso xets:info(Table, type) of
        Type when Type =:= set; Type =:= bag; Type =:= duplicate_bag -> table_type;
        _ -> none
    end.

object(Table, Object) ->
    case tuple_error(Object) of
        "" -> key_position(Table, [Object]);
        _ -> none
    end.

is_bag(Table) ->
    lists:member(xets:info(Table, type), [bag, duplicate_bag]).

key_position(Table, Objects) ->
    KeyPos = key_pos(Table),
    case lists:any(fun(Object) -> tuple_size(Object) < KeyPos end, Objects) of
        true -> no_key;
        false -> none
    end.

%% A missing key is to blame only if the positions are right.
found(Table, Key, "") ->
    case xets:member(Table, Key) of
        true -> position;
        false -> badkey
    end;
found(_Table, _Key, _PositionError) ->
    none.

updated(Table, Key, Default, Cause) ->
    case is_bag(Table) of
        true -> table_type;
        false -> updated_in_set(Table, Key, Default, Cause)
    end.

updated_in_set(Table, Key, [], Cause) ->
    case xets:member(Table, Key) andalso xets:lookup(Table, Key) of
        [Object] -> Cause(Object, key_pos(Table));
        _ -> badkey
    end;
updated_in_set(Table, Key, [Default], Cause) ->
    KeyPos = key_pos(Table),
    case is_tuple(Default) andalso tuple_size(Default) >= KeyPos andalso xets:lookup(Table, Key) of
        false -> default;
        [Object] -> Cause(Object, KeyPos);
        [] -> Cause(Default, KeyPos)
    end.

key_pos(Table) ->
    case xets:info(Table, keypos) of
        undefined -> 1;
        KeyPos -> KeyPos
    end.

counter(UpdateOp, Object, KeyPos) ->
    case xets_counter:update(UpdateOp, Object, KeyPos) of
        {error, Cause} -> Cause;
        {ok, _, _} -> none
    end.

elements([{KeyPos, _} | _], _Object, KeyPos) ->
    keypos;
elements([{Pos, _} | _], Object, _KeyPos) when
    is_integer(Pos), (Pos < 1 orelse Pos > tuple_size(Object))
->
    position;
elements([{Pos, _} | Specs], Object, KeyPos) when is_integer(Pos) ->
    elements(Specs, Object, KeyPos);
elements(_, _Object, _KeyPos) ->
    none.

as_list(List) when is_list(List) -> List;
as_list(Term) -> [Term].

%%% Texts

%% @doc As `xets:format_error/2'.
-spec format_error(term(), erlang:stacktrace()) -> #{pos_integer() => binary()}.
format_error(_Reason, [{_Module, Function, Args, Info} | _]) when is_list(Args) ->
    #{cause := Cause} = proplists:get_value(error_info, Info, #{cause => none}),
    Texts = texts(Function, Args, Cause),
    maps:from_list([
        {No, Text}
     || {No, Text} <- lists:zip(lists:seq(1, length(Texts)), Texts), Text =/= ""
    ]);
format_error(_Reason, _StackTrace) ->
    #{}.

%% The texts for the arguments, in their order; "" for one that is not to blame.
texts(new, [Name, Options], Cause) ->
    name_texts(Name, Options, Cause);
texts(delete, [_Snapshot], snapshot) ->
    [<<"the table identifier refers to a snapshot that another process has made">>];
texts(whereis, [_Name], _Cause) ->
    [<<"invalid table name (must be an atom)">>];
texts(Function, [Continuation], Cause) when Function =:= range; Function =:= prefix ->
    [continuation_error(Continuation, Cause)];
texts(Function, [_Continuation], _Cause) when
    Function =:= select; Function =:= select_reverse; Function =:= match; Function =:= match_object
->
    [<<"invalid continuation">>];
texts(match_spec_compile, [_MatchSpec], _Cause) ->
    [bad_match_spec()];
texts(match_spec_run, [List, CompiledMatchSpec], _Cause) ->
    [list_error(List), compiled_error(CompiledMatchSpec)];
texts(Fold, [_Function, _Acc, Table], Cause) when Fold =:= foldl; Fold =:= foldr ->
    ["", "", table_error(Table, Cause)];
texts(info, [_Table, _Item], none) ->
    ["", <<"not a valid info item">>];
texts(Function, [Table | Args], Cause) ->
    [table_error(Table, Cause) | arg_texts(Function, Args, Cause)].

name_texts(_Name, _Options, {durable, Reason}) ->
    ["", unicode:characters_to_binary(xets_durable:format_error(Reason))];
name_texts(_Name, _Options, already_exists) ->
    [<<"table name already exists">>];
name_texts(Name, Options, none) ->
    case {name_error(Name), list_error(Options)} of
        {"", ""} -> ["", <<"invalid options">>];
        {NameError, OptionsError} -> [NameError, OptionsError]
    end.

name_error(Name) when is_atom(Name) -> "";
name_error(_) -> <<"not an atom">>.

table_error(Table, type) when is_reference(Table) ->
    <<"not a valid table identifier">>;
table_error(_Table, type) ->
    <<"not an atom or a table identifier">>;
table_error(_Table, id) ->
    <<"the table identifier does not refer to an existing table">>;
table_error(_Table, access) ->
    <<"the table identifier refers to a table with insufficient access rights">>;
table_error(_Table, snapshot) ->
    <<"the table identifier refers to a snapshot, which cannot be changed">>;
table_error(_Table, {durable, Reason}) ->
    unicode:characters_to_binary(["the table is not kept any more: ",
        xets_durable:format_error(Reason)]);
table_error(_Table, not_durable) ->
    <<"the table is not durable">>;
table_error(_Table, table_type) ->
    <<"the table identifier refers to a table of a type not supported by this operation">>;
table_error(_Table, _Cause) ->
    "".

continuation_error(_Continuation, none) -> <<"invalid continuation">>;
continuation_error(Continuation, Cause) -> table_error(element(2, Continuation), Cause).

%% Whether table_error() says what is wrong.
is_of_table(Cause) ->
    is_tuple(Cause) orelse lists:member(Cause, [type, id, access, snapshot, not_durable]).

arg_texts(Insert, [Objects], Cause) when Insert =:= insert; Insert =:= insert_new ->
    [no_key_or(Cause, object_error(Objects))];
arg_texts(Function, [Object], Cause) when Function =:= delete_object; Function =:= put_new ->
    [no_key_or(Cause, tuple_error(Object))];
arg_texts(lookup_element, [_Key, Pos | _Default], Cause) ->
    [key_error(Cause), object_size_or(Cause, position_error(Pos))];
arg_texts(lookup_elements, [_Key, Positions], Cause) ->
    [key_error(Cause), object_size_or(Cause, positions_error(Positions))];
arg_texts(Many, [Keys], _Cause) when
    Many =:= lookup_many; Many =:= delete_many; Many =:= take_many
->
    [list_error(Keys)];
arg_texts(tab2file, [_File, Options], none) ->
    ["", list_error(Options)];
arg_texts(to_dets, [_Dets], none) ->
    [<<"not an open dets table">>];
arg_texts(from_dets, [_Dets], none) ->
    [<<"not an open dets table, or its objects have no key here">>];
arg_texts(table, [_Options], none) ->
    [<<"invalid options">>];
arg_texts(slot, [_I], none) ->
    [<<"out of range">>];
arg_texts(Next, [_Key], Cause) when
    Next =:= next; Next =:= prev; Next =:= next_lookup; Next =:= prev_lookup
->
    [key_error(Cause)];
arg_texts(range, [_From, _To, Options], _Cause) ->
    ["", "", options_error(Options, [limit, reverse, from, to])];
arg_texts(count, [_From, _To, Options], _Cause) ->
    ["", "", options_error(Options, [from, to])];
arg_texts(prefix, [Prefix], _Cause) ->
    [prefix_error(Prefix)];
arg_texts(prefix, [Prefix, Options], _Cause) ->
    [prefix_error(Prefix), options_error(Options, [limit, reverse])];
arg_texts(Match, [Pattern], none) when
    Match =:= match; Match =:= match_object; Match =:= match_delete
->
    [pattern_error(Pattern)];
arg_texts(Match, [Pattern, Limit], _Cause) when Match =:= match; Match =:= match_object ->
    [pattern_error(Pattern), limit_error(Limit)];
arg_texts(Select, [MatchSpec, Limit], _Cause) when Select =:= select; Select =:= select_reverse ->
    [match_spec_error(MatchSpec), limit_error(Limit)];
arg_texts(Select, [_MatchSpec], none) when
    Select =:= select;
    Select =:= select_reverse;
    Select =:= select_count;
    Select =:= select_delete;
    Select =:= select_take;
    Select =:= select_replace
->
    [bad_match_spec()];
arg_texts(update, [_Key, MatchSpec], none) ->
    case match_spec_error(MatchSpec) of
        "" -> ["", <<"the result is not an object with the same key">>];
        Text -> ["", Text]
    end;
arg_texts(nth, [I], _Cause) ->
    [position_error(I)];
arg_texts(Some, [N], _Cause) when Some =:= first_n; Some =:= last_n ->
    [number_error(N)];
arg_texts(explain, [_MatchSpec], none) ->
    [<<"not a valid match specification">>];
arg_texts(update_counter, [_Key, UpdateOp], table_type) ->
    ["", counter_error(UpdateOp, table_type)];
arg_texts(Update, _Args, table_type) when Update =:= update_counter; Update =:= update_element ->
    [];
arg_texts(give_away, [Pid, _Gift], Cause) ->
    [receiver_error(Pid, Cause)];
arg_texts(setopts, [_Options], not_owner) ->
    [not_owner()];
arg_texts(rename, [Name], _Cause) when not is_atom(Name) ->
    [<<"invalid table name (must be an atom)">>];
arg_texts(rename, [_Name], already_exists) ->
    [<<"table name already exists">>];
arg_texts(safe_fixtable, [Fix], none) when not is_boolean(Fix) ->
    [<<"not a boolean value">>];
arg_texts(setopts, [_Options], none) ->
    [<<"invalid options">>];
arg_texts(update_counter, [_Key, UpdateOp | Default], Cause) ->
    [key_error(Cause), counter_error(UpdateOp, Cause) | default_error(Default, Cause)];
arg_texts(update_element, [_Key, ElementSpec | Default], Cause) ->
    ["", element_error(ElementSpec, Cause) | default_error(Default, Cause)];
arg_texts(_Function, _Args, _Cause) ->
    [].

not_owner() -> <<"the current process is not the owner">>.

receiver_error(Pid, _Cause) when not is_pid(Pid) ->
    <<"not a pid">>;
receiver_error(_Pid, not_owner) ->
    not_owner();
receiver_error(_Pid, owner) ->
    <<"the process is already the owner of the table">>;
receiver_error(Pid, Cause) ->
    case is_of_table(Cause) of
        true -> "";
        false when node(Pid) =/= node() -> <<"the pid refers to a process of another node">>;
        false -> <<"the pid refers to a terminated process">>
    end.

key_error(badkey) -> <<"not a key that exists in the table">>;
key_error(_) -> "".

no_key_or(no_key, _) -> <<"a tuple without an element at the key position of the table">>;
no_key_or(_, Text) -> Text.

object_size_or(position, _) -> <<"position is greater than the size of the object">>;
object_size_or(_, Text) -> Text.

tuple_error({}) -> <<"is an empty tuple">>;
tuple_error(Term) when is_tuple(Term) -> "";
tuple_error(_) -> <<"not a tuple">>.

object_error(Objects) when is_list(Objects) ->
    case are_all(fun(Object) -> tuple_error(Object) =:= "" end, Objects) of
        true -> "";
        false -> <<"not a non-empty tuple or a list of non-empty tuples">>
    end;
object_error(Object) ->
    tuple_error(Object).

list_error(Term) when not is_list(Term) ->
    <<"not a list">>;
list_error(List) ->
    case are_all(fun(_) -> true end, List) of
        true -> "";
        false -> <<"not a proper list">>
    end.

position_error(Pos) when not is_integer(Pos) -> <<"not an integer">>;
position_error(Pos) when Pos < 1 -> <<"out of range">>;
position_error(_) -> "".

number_error(0) -> "";
number_error(N) -> position_error(N).

limit_error(Limit) ->
    case position_error(Limit) =:= "" andalso not xets_match:is_limit(Limit) of
        true -> <<"out of range">>;
        false -> position_error(Limit)
    end.

bad_match_spec() -> <<"not a valid match specification">>.

match_spec_error(MatchSpec) ->
    case xets_match:is_valid(MatchSpec) of
        true -> "";
        false -> bad_match_spec()
    end.

pattern_error(Pattern) ->
    case xets_match:is_valid([{Pattern, [], [true]}]) of
        true -> "";
        false -> <<"not a valid pattern">>
    end.

compiled_error(Term) ->
    case ets:is_compiled_ms(Term) of
        true -> "";
        false -> <<"not a compiled match specification">>
    end.

prefix_error(Prefix) when is_tuple(Prefix); is_binary(Prefix) ->
    "";
prefix_error(Prefix) ->
    case list_error(Prefix) of
        "" -> "";
        _ -> <<"not a tuple, a proper list or a binary">>
    end.

options_error(Options, Names) ->
    case {list_error(Options), xets_order:options(Options, Names)} of
        {"", invalid} -> <<"invalid options">>;
        {Text, _} -> Text
    end.

positions_error(Positions) when is_tuple(Positions) ->
    case [Text || Text <- lists:map(fun position_error/1, tuple_to_list(Positions)), Text =/= ""] of
        [] -> "";
        [Text | _] -> Text
    end;
positions_error(Positions) ->
    tuple_error(Positions).

counter_error(_UpdateOp, keypos) ->
    <<"the position is the same as the key position">>;
counter_error(_UpdateOp, position) ->
    <<"the position in the update operation is out of range">>;
counter_error(UpdateOp, Cause) ->
    case is_integer(UpdateOp) orelse are_all(fun is_update_op/1, as_list(UpdateOp)) of
        false ->
            <<"not a valid update operation">>;
        true when Cause =:= none ->
            <<"the value in the given position, in the object, is not an integer">>;
        true ->
            ""
    end.

is_update_op({Pos, Incr}) ->
    is_integer(Pos) andalso is_integer(Incr);
is_update_op({Pos, Incr, Threshold, SetValue}) ->
    lists:all(fun is_integer/1, [Pos, Incr, Threshold, SetValue]);
is_update_op(_) ->
    false.

element_error(_ElementSpec, keypos) ->
    <<"the position is the same as the key position">>;
element_error(_ElementSpec, position) ->
    <<"the position in the update operation is out of range">>;
element_error(ElementSpec, _Cause) ->
    case are_all(fun is_element_spec/1, as_list(ElementSpec)) of
        true -> "";
        false -> <<"is not a valid element specification">>
    end.

is_element_spec({Pos, _}) -> is_integer(Pos);
is_element_spec(_) -> false.

default_error([], _Cause) -> [];
default_error([Default], default) when is_tuple(Default) -> [<<"default tuple too small">>];
default_error([Default], _Cause) when not is_tuple(Default) -> [<<"not a tuple">>];
default_error([_Default], _Cause) -> [""].

%% Whether List is a proper list of terms that satisfy Pred.
are_all(Pred, [Term | Terms]) -> Pred(Term) andalso are_all(Pred, Terms);
are_all(_Pred, []) -> true;
are_all(_Pred, _) -> false.
