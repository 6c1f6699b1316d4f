%% @doc The timed loops with nothing in them: what the loops themselves cost, to be taken off the
%% time of both sides. See xets_bench_loops.hrl.
-module(xets_bench_on_none).

%% Without the calls, what they would have been given is unused.
-compile([nowarn_unused_vars]).

-define(DO(Call), ok).
-define(MANY(T, Keys), ok).
-define(RANGE(T, From, To), ok).
-define(PREFIX(T, Prefix), ok).
-define(COUNT(T, From, To), ok).
-define(RANK(T, Key), ok).
-define(NTH(T, I), ok).

-include("xets_bench_loops.hrl").
