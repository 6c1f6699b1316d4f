%% xets:fun2ms/1 beside ets:fun2ms/1: by the parse transform, of modules that differ in the name of
%% the module that is called only, and in the shell.
-module(xets_fun2ms_tests).

-include_lib("eunit/include/eunit.hrl").
-compile({parse_transform, xets_ms_transform}).
-import(xets, [fun2ms/1]).

-record(user, {id, name = "nobody", age}).
-define(ADULT, 18).

%%% This module is transformed

transformed_test() ->
    Limit = 3,
    Atom = '$1',
    ?assertEqual([{{'$1', '$2'}, [{'>', '$2', {const, Limit}}], [{{'$2', '$1', {const, Atom}}}]}],
                 xets:fun2ms(fun({K, V}) when V > Limit -> {V, K, Atom} end)),
    ?assertEqual([{#user{id = '$1', name = '_', age = '$2'}, [{'>=', '$2', ?ADULT}], ['$1']}],
                 xets:fun2ms(fun(#user{id = Id, age = Age}) when Age >= ?ADULT -> Id end)),
    ?assertEqual([{'$1', [], ['$1']}], xets:fun2ms(fun(Object) -> Object end)).

imported_test() ->
    ?assertEqual([{{'$1'}, [], ['$1']}], fun2ms(fun({K}) -> K end)).

both_in_a_module_test() ->
    ?assertEqual(ets:fun2ms(fun({K, V}) when K == V -> K end),
                 xets:fun2ms(fun({K, V}) when K == V -> K end)).

nested_in_other_expressions_test() ->
    Specs = [case N of
                 0 -> xets:fun2ms(fun({K}) -> K end);
                 _ -> (fun() -> fun2ms(fun({_, V}) when V =:= N -> V end) end)()
             end || N <- [0, 1]],
    ?assertEqual([[{{'$1'}, [], ['$1']}], [{{'_', '$1'}, [{'=:=', '$1', {const, 1}}], ['$1']}]],
                 Specs).

runs_in_a_table_test() ->
    T = ets:new(t, []),
    ets:insert(T, [{ada, 36}, {alan, 12}]),
    ?assertEqual([ada], ets:select(T, xets:fun2ms(fun({N, A}) when A >= ?ADULT -> N end))),
    ets:delete(T).

%%% What the compiler says

-define(SOURCES, [
    % nothing
    ["f(X) -> ?M:fun2ms(fun({A, B}) when A > X -> B end)."],
    ["-record(r, {a, b = 2}).",
     "f(X) -> {?M:fun2ms(fun(#r{a = A}) -> A end), ?M:fun2ms(fun(#r{} = R) -> {R, X} end)}."],
    ["-define(T, {A, B}).", "f(_) ->", "    ?M:fun2ms(fun(?T) -> A + B end)."],
    ["f(Y) -> ?M:fun2ms(fun({A}) when A; A > Y -> A; ({A, _}) -> A end)."],
    ["f(Y) -> ?M:fun2ms(fun({A}) -> #{k => A, Y => 1} end)."],
    % warnings
    ["f(A) -> ?M:fun2ms(fun({A, B}) -> B end)."],
    ["f(_) -> X = 1, ?M:fun2ms(fun({B}) -> B end)."],
    ["f(A) ->", "    B = A,", "  ?M:fun2ms(fun({A, B}) -> B end)."],
    % errors
    ["f(_) -> ?M:fun2ms(fun({A}) -> g(A) end)."],
    ["f(_) ->", "", "  ?M:fun2ms(fun({A}) when lists:member(A, []) -> A end)."],
    ["f(F) -> ?M:fun2ms(F)."],
    ["f(_) -> ?M:fun2ms(fun(A, B) -> {A, B} end)."],
    ["f(_) -> ?M:fun2ms(fun([A]) -> A end)."],
    ["f(_) -> ?M:fun2ms(fun({{A} = B}) -> {A, B} end)."],
    ["f(_) -> ?M:fun2ms(fun(#r{a = A}) -> A end)."],
    ["f(_) -> ?M:fun2ms(fun({'$1'}) -> 1 end)."],
    ["f(_) -> ?M:fun2ms(fun({A}) -> B = A, B end)."],
    ["f(_) -> ?M:fun2ms(fun({A}) -> B end)."],
    ["f(_) -> ?M:fun2ms(fun({<<A>>}) -> A end)."],
    ["f(_) -> ?M:fun2ms(fun({A}) -> case A of 1 -> 2 end end)."],
    ["f(_) -> ?M:fun2ms(fun({A}) -> ?M:fun2ms(fun({B}) -> B end) end)."],
    ["f(_) -> ?M:fun2ms()."]
]).

same_as_ets_test() ->
    lists:foreach(
      fun(Lines) ->
              ?assertEqual({Lines, compiled(ets, Lines)}, {Lines, compiled(xets, Lines)})
      end,
      ?SOURCES).

%% What is compiled and said differs somewhere.
sources_differ_test() ->
    Outcomes = [compiled(xets, Lines) || Lines <- ?SOURCES],
    ?assertMatch([_, _, _ | _], [R || {ok, R, []} <- Outcomes]),
    ?assertMatch([_, _ | _], [W || {ok, _, [_ | _] = W} <- Outcomes]),
    ?assertMatch([_, _, _, _ | _], lists:usort([E || {error, E, _} <- Outcomes])).

-define(TRANSFORMS, [
    "-compile({parse_transform, xets_ms_transform}).",
    "-include_lib(\"stdlib/include/ms_transform.hrl\")."
]).

%% Both transforms, in either order, of a module that calls both.
with_the_transform_of_stdlib_test() ->
    Lines = ["f(X) ->", "  {ets:fun2ms(fun({A}) when A > X -> A end),",
             "    xets:fun2ms(fun({A}) when A > X -> A end)}."],
    Spec = [{{'$1'}, [{'>', '$1', {const, 7}}], ['$1']}],
    [?assertEqual({ok, {Spec, Spec}, []}, compiled(none, Transforms ++ Lines))
     || Transforms <- [?TRANSFORMS, lists:reverse(?TRANSFORMS)]].

%% A function of one's own with that name is one's own.
local_function_test() ->
    Lines = [hd(?TRANSFORMS), "f(X) -> fun2ms(X).", "fun2ms(X) -> {mine, X}."],
    ?assertEqual({ok, {mine, 7}, []}, compiled(none, Lines)).

%% {ok, the value of f(7), warnings}, or the errors and warnings, in the words of the compiler.
compiled(Module, Lines) ->
    Transform = case Module of
                    none -> [];
                    ets -> "-compile({parse_transform, ms_transform}).\n";
                    xets -> "-compile({parse_transform, xets_ms_transform}).\n"
                end,
    Source = ["-module(xets_fun2ms_compiled).\n-export([f/1]).\n", Transform,
              "-define(M, ", atom_to_list(Module), ").\n" | lists:join("\n", Lines)],
    File = filename:join(os:getenv("TMPDIR", "/tmp"), "xets_fun2ms_" ++ os:getpid() ++ ".erl"),
    ok = file:write_file(File, [Source, "\n"]),
    Outcome = try compile:file(File, [binary, return, {warn_format, 0}])
              after ok = file:delete(File)
              end,
    case Outcome of
        {ok, Compiled, Binary, Warnings} ->
            {module, Compiled} = code:load_binary(Compiled, File, Binary),
            Value = Compiled:f(7),
            true = code:delete(Compiled),
            _ = code:purge(Compiled),
            {ok, Value, said(Module, Warnings)};
        {error, Errors, Warnings} ->
            {error, said(Module, Errors), said(Module, Warnings)}
    end.

said(Module, Infos) ->
    [{At, without_name(Module, unicode:characters_to_list(By:format_error(What)))}
     || {_, Descriptions} <- Infos, {At, By, What} <- Descriptions].

%% What ms_transform says of the function that is called.
without_name(xets, Text) -> lists:append(string:replace(Text, "xets:fun2ms", "ets:fun2ms"));
without_name(_, Text) -> Text.

%%% The shell

shell_test() ->
    [?assertEqual({Text, in_shell(ets, Text)}, {Text, in_shell(xets, Text)})
     || Text <- ["fun({A, B}) when A > X -> {B, Y} end", "fun({A}) -> A; (B) -> B end",
                 "fun({A}) -> foo(A) end", "fun(A, B) -> A end", "fun G({A}) -> G end"]].

in_shell(Module, Text) ->
    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    {value, Fun, _} = erl_eval:exprs(Exprs, [{'X', '$1'}, {'Y', #{a => [7]}}]),
    without_output(fun() -> called(Module, Fun) end).

%% The releases before 28 print the error.
without_output(Fun) ->
    Leader = group_leader(),
    Silent = spawn_link(fun silent/0),
    group_leader(Silent, self()),
    try
        Fun()
    after
        group_leader(Leader, self()),
        unlink(Silent),
        exit(Silent, kill)
    end.

silent() ->
    receive
        {io_request, From, As, _} -> From ! {io_reply, As, ok}
    end,
    silent().

%% Funs that are not of the shell, and what is no fun. Called so that no transform sees it.
not_of_the_shell_test() ->
    [?assertEqual(called(ets, Arg), called(xets, Arg))
     || Arg <- [fun(A) -> A end, fun lists:member/2, no_fun, 7]].

called(Module, Arg) ->
    try apply(Module, fun2ms, [Arg]) of
        Result -> Result
    catch
        exit:{badarg, {Module, Function, Words}} -> {exit, Function, Words};
        error:Reason:Stack ->
            [{Module, Function, Args, _} | _] = Stack,
            {error, Reason, Function, Args}
    end.
