%% @doc The timed loops against `xets'. See xets_bench_loops.hrl.
-module(xets_bench_on_xets).

-define(DO(Call), xets:Call).
-define(MANY(T, Keys), xets:lookup_many(T, Keys)).

-include("xets_bench_loops.hrl").
