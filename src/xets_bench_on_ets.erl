%% @doc The timed loops against `ets'. See xets_bench_loops.hrl.
-module(xets_bench_on_ets).

-define(DO(Call), ets:Call).
-define(MANY(T, Keys), [ets:lookup(T, K) || K <- Keys]).

-include("xets_bench_loops.hrl").
