%% @doc The timed loops against `xets'. See xets_bench_loops.hrl.
-module(xets_bench_on_xets).

-define(DO(Call), xets:Call).
-define(MANY(T, Keys), xets:lookup_many(T, Keys)).
-define(RANGE(T, From, To), xets:range(T, From, To)).
-define(PREFIX(T, Prefix), xets:prefix(T, Prefix)).
-define(COUNT(T, From, To), xets:count(T, From, To)).
-define(RANK(T, Key), xets:rank(T, Key)).
-define(NTH(T, I), xets:nth(T, I)).

-include("xets_bench_loops.hrl").
