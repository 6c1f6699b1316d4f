%% Modules that are loaded and purged while tests run. When one is purged, the emulator looks
%% through the heaps of all processes for what points into it.
-module(xets_native_code).

-export([load/2, literal/1, spare/0, purge/1, delete/1]).

%% @doc Loads a module with this literal, in the place of one that is there.
-spec load(module(), term()) -> ok.
load(Name, Literal) ->
    load_code(Name, compiled(Name, Literal)).

compiled(Name, Literal) ->
    Clause = {clause, 1, [], [], [erl_parse:abstract(Literal)]},
    {ok, Name, Code} = compile:forms([{attribute, 1, module, Name},
                                      {attribute, 1, export, [{literal, 0}]},
                                      {function, 1, literal, 0, [Clause]}]),
    Code.

load_code(Name, Code) ->
    {module, Name} = code:load_binary(Name, "generated", Code),
    ok.

%% @doc The literal, as it lies in the module.
-spec literal(module()) -> term().
literal(Name) ->
    Name:literal().

%% @doc A module with a literal, to be given to purge/1.
-spec spare() -> {module(), Code :: binary()}.
spare() ->
    {xets_native_spare, compiled(xets_native_spare, lists:seq(1, 100))}.

%% @doc Replaces the module, and purges what it has replaced.
-spec purge({module(), Code :: binary()}) -> boolean().
purge({Name, Code}) ->
    [ok = load_code(Name, Code) || _ <- [1, 2]],
    code:purge(Name).

%% @doc Nothing of the module is left.
-spec delete(module()) -> ok.
delete(Name) ->
    _ = code:delete(Name),
    _ = code:purge(Name),
    ok.
