%% @doc The parse transform for `xets:fun2ms/1'.
%%
%% A module that calls `xets:fun2ms' with a literal fun says
%% ```
%% -compile({parse_transform, xets_ms_transform}).
%% '''
%% and each call becomes the match specification that `ets:fun2ms' would give: calls of
%% `ets:fun2ms', and of `dbg:fun2ms', are transformed too. It makes no difference whether the
%% module includes `ms_transform.hrl' of stdlib as well. A module may import `fun2ms/1' from
%% `xets'.
%%
%% What is said about errors in such a fun is said by `ms_transform' of stdlib, which does the
%% work, at the places where they are.
-module(xets_ms_transform).

-export([parse_transform/2, parse_transform_info/0]).

%% @private
-spec parse_transform(Forms, Options) -> Forms | Errors | Warnings when
    Forms :: [erl_parse:abstract_form() | erl_parse:form_info()],
    Options :: term(),
    Errors :: {error, ErrInfo :: [tuple()], WarnInfo :: []},
    Warnings :: {warning, Forms, WarnInfo :: [tuple()]}.
parse_transform(Forms, Options) ->
    Imported = lists:any(fun imports_fun2ms/1, Forms),
    ms_transform:parse_transform([form(Form, Imported) || Form <- Forms], Options).

%% @private
-spec parse_transform_info() -> #{error_location => column}.
parse_transform_info() ->
    ms_transform:parse_transform_info().

imports_fun2ms({attribute, _, import, {xets, Functions}}) ->
    lists:member({fun2ms, 1}, Functions);
imports_fun2ms(_) ->
    false.

%% Function definitions only: elsewhere ms_transform transforms nothing.
form({function, Anno, Name, Arity, Clauses}, Imported) ->
    {function, Anno, Name, Arity, as_ets(Clauses, Imported)};
form(Form, _Imported) ->
    Form.

%% Calls of ets:fun2ms in the place of those of xets:fun2ms. What is inside such a call stays: there
%% one more is an error, which is to be told in the words of the source.
as_ets({call, Anno, {remote, At, {atom, AtXets, xets}, {atom, _, fun2ms} = Fun2ms}, Args}, _) ->
    {call, Anno, {remote, At, {atom, AtXets, ets}, Fun2ms}, Args};
as_ets({call, Anno, {atom, At, fun2ms} = Fun2ms, [Arg]}, true) ->
    {call, Anno, {remote, At, {atom, At, ets}, Fun2ms}, [Arg]};
as_ets(Tuple, Imported) when is_tuple(Tuple) ->
    list_to_tuple(as_ets(tuple_to_list(Tuple), Imported));
as_ets([Head | Tail], Imported) ->
    [as_ets(Head, Imported) | as_ets(Tail, Imported)];
as_ets(Term, _Imported) ->
    Term.
