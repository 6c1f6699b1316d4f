%% Match specifications on stored objects (c_src/beam/match.h), for xets_match_engine_tests. The
%% library is match_nif.so in the directory that the environment variable XETS_TEST_LIB names.
-module(xets_match_nif).

-export([run/5, measure/5, fail_after/1]).
-export_type([form/0, want/0, outcome/0]).

-on_load(init/0).

-type form() :: {set | bag | ordered_set, KeyPos :: pos_integer(), Compressed :: boolean()}.
-type want() :: true | result.
-type outcome() :: no | yes | {yes, Result :: term()} | other | budget | nomem.

init() ->
    Dir = os:getenv("XETS_TEST_LIB", "_build/c/release/test"),
    erlang:load_nif(filename:join(Dir, "match_nif"),
                    xets_test_lib:native_info()).

%% Runs a specification on each of the objects, one after the other. `rejected`: it is left to ets.
-spec run(Spec :: term(), [tuple()], form(), want(), Budget :: non_neg_integer() | infinity) ->
          [outcome()] | rejected | nomem.
run(_Spec, _Objects, _Form, _Want, _Budget) -> erlang:nif_error(not_loaded).

%% Nanoseconds that a run on one object takes, the mean of N.
-spec measure(Spec :: term(), tuple(), form(), want(), N :: pos_integer()) -> float().
measure(_Spec, _Object, _Form, _Want, _N) -> erlang:nif_error(not_loaded).

%% Lets N more allocations succeed (negative: all); the number of blocks in use.
-spec fail_after(integer()) -> integer().
fail_after(_N) -> erlang:nif_error(not_loaded).
