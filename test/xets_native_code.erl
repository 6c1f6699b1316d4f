%% Modules that are loaded and purged while tests run. When one is purged, the emulator looks through
%% the heaps of all processes for what points into it.
-module(xets_native_code).

-export([load/2, literal/1, purge/1, delete/1]).

%% @doc Loads a module with this literal, in the place of one that is there.
-spec load(module(), term()) -> ok.
load(Name, Literal) ->
    Clause = {clause, 1, [], [], [erl_parse:abstract(Literal)]},
    {ok, Name, Code} = compile:forms([{attribute, 1, module, Name},
                                      {attribute, 1, export, [{literal, 0}]},
                                      {function, 1, literal, 0, [Clause]}]),
    {module, Name} = code:load_binary(Name, "generated", Code),
    ok.

%% @doc The literal, as it lies in the module.
-spec literal(module()) -> term().
literal(Name) ->
    Name:literal().

%% @doc Replaces the module, and purges what it has replaced.
-spec purge(module()) -> boolean().
purge(Name) ->
    ok = load(Name, lists:seq(1, 100)),
    ok = load(Name, lists:seq(1, 100)),
    code:purge(Name).

%% @doc Nothing of the module is left.
-spec delete(module()) -> ok.
delete(Name) ->
    _ = code:delete(Name),
    _ = code:purge(Name),
    ok.
