%% @private
%% @doc What update_counter does to an object, for integers of any size.
%%
%% The native side does the same for integers that fit a machine word, and hands out the
%% object, or `absent', for the others to be done here. The errors of both are explained by
%% what this module says.
-module(xets_counter).

-export([update/3, update/6]).

%% @doc Does what `xets:update_counter' is to do to the object `Old', or, if that is absent,
%% to `Default', and has `Store' put the new object in the place of the old one.
%%
%% Returns `changed' if the table has changed since: then all is to be done again.
-spec update(Table, Key, UpdateOp, Old, Default, Store) -> Outcome when
    Table :: xets:table(),
    Key :: term(),
    UpdateOp :: term(),
    Old :: tuple() | absent,
    Default :: tuple() | none,
    Store :: fun((Table, Old, New :: tuple()) -> boolean()),
    Outcome :: {ok, integer() | [integer()]} | changed | {error, xets_errors:cause()}.
update(Table, Key, UpdateOp, Old, Default, Store) ->
    case xets:info(Table, keypos) of
        undefined ->
            changed;
        KeyPos ->
            case update(UpdateOp, object(Old, Default, KeyPos, Key), KeyPos) of
                {ok, Result, New} ->
                    case Store(Table, Old, New) of
                        true -> {ok, Result};
                        false -> changed
                    end;
                {error, Cause} ->
                    {error, Cause}
            end
    end.

object(absent, Default, KeyPos, Key) -> setelement(KeyPos, Default, Key);
object(Old, _Default, _KeyPos, _Key) -> Old.

%% @doc The object with `UpdateOp' applied, and what update_counter returns.
%%
%% The operations of a list are applied from first to last, one on the result of the
%% other. The first one that cannot be applied decides the error.
-spec update(UpdateOp, Object, KeyPos) -> {ok, Result, Object} | {error, Cause} when
    UpdateOp :: term(),
    Object :: tuple(),
    KeyPos :: pos_integer(),
    Result :: integer() | [integer()],
    Cause :: none | position | keypos.
update(Incr, Object, KeyPos) when is_integer(Incr) ->
    update({KeyPos + 1, Incr}, Object, KeyPos);
update(Ops, Object, KeyPos) when is_list(Ops) ->
    list(Ops, Object, KeyPos, []);
update(Op, Object, KeyPos) ->
    case one(Op, Object, KeyPos) of
        {error, Cause} -> {error, Cause};
        {Pos, Value} -> {ok, Value, setelement(Pos, Object, Value)}
    end.

list([Op | Ops], Object, KeyPos, Values) ->
    case one(Op, Object, KeyPos) of
        {error, Cause} -> {error, Cause};
        {Pos, Value} -> list(Ops, setelement(Pos, Object, Value), KeyPos, [Value | Values])
    end;
list([], Object, _KeyPos, Values) ->
    {ok, lists:reverse(Values), Object};
list(_, _Object, _KeyPos, _Values) ->
    {error, none}.

one({Pos, Incr}, Object, KeyPos) when is_integer(Pos), is_integer(Incr) ->
    case old(Pos, Object, KeyPos) of
        {error, Cause} -> {error, Cause};
        Old -> {Pos, Old + Incr}
    end;
one({Pos, Incr, Threshold, SetValue}, Object, KeyPos) when
    is_integer(Pos), is_integer(Incr), is_integer(Threshold), is_integer(SetValue)
->
    case old(Pos, Object, KeyPos) of
        {error, Cause} -> {error, Cause};
        Old when Incr < 0, Old + Incr < Threshold -> {Pos, SetValue};
        Old when Incr >= 0, Old + Incr > Threshold -> {Pos, SetValue};
        Old -> {Pos, Old + Incr}
    end;
one(_, _, _) ->
    {error, none}.

old(KeyPos, _Object, KeyPos) ->
    {error, keypos};
old(Pos, Object, _KeyPos) when Pos < 1; Pos > tuple_size(Object) ->
    {error, position};
old(Pos, Object, _KeyPos) ->
    case element(Pos, Object) of
        Old when is_integer(Old) -> Old;
        _ -> {error, none}
    end.
