%% Plans (c_src/beam/plan.h), for xets_plan_tests. The library is plan_nif.so in the directory that
%% the environment variable XETS_TEST_LIB names.
-module(xets_plan_nif).

-export([plan/4, fail_after/1]).

-on_load(init/0).

init() ->
    Dir = os:getenv("XETS_TEST_LIB", "_build/c/release/test"),
    erlang:load_nif(filename:join(Dir, "plan_nif"),
                    xets_test_lib:native_info()).

%% The plan for tables of a type and key position, and of each key whether it is let through. Budget
%% is a number of words, or `infinity`.
-spec plan(ets:match_spec(), {xets:type(), pos_integer()}, non_neg_integer() | infinity, [Key]) ->
          {xets:plan(), [boolean()]} | budget | nomem when Key :: term().
plan(_Spec, _Form, _Budget, _Keys) -> erlang:nif_error(not_loaded).

%% Lets N more allocations succeed (negative: all); the number of blocks in use.
-spec fail_after(integer()) -> integer().
fail_after(_N) -> erlang:nif_error(not_loaded).
