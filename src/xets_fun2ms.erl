%% @private
%% @doc `xets:fun2ms/1' where no parse transform has been at work: in the shell.
-module(xets_fun2ms).

-export([from_shell/1]).

%% @doc The match specification that a fun made in the shell says, or `badarg' for other funs.
-spec from_shell(function()) -> ets:match_spec() | {error, transform_error} | badarg.
from_shell(Fun) ->
    case erl_eval:fun_data(Fun) of
        {fun_data, Bindings, Clauses} ->
            case ms_transform:transform_from_shell(ets, Clauses, Bindings) of
                {error, [_ | _], _} -> {error, transform_error};
                Spec -> Spec
            end;
        _ ->
            badarg
    end.
