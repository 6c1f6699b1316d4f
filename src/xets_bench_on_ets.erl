%% @doc The timed loops against `ets'. See xets_bench_loops.hrl.
-module(xets_bench_on_ets).

-define(DO(Call), ets:Call).
-define(MANY(T, Keys), [ets:lookup(T, K) || K <- Keys]).

%% A key as it is, whatever it would mean in a match specification.
-define(IS(Comparison, Key), {Comparison, '$1', {const, Key}}).
-define(IN(From, To), ?IS('>=', From), ?IS('=<', To)).
-define(RANGE(T, From, To), ets:select(T, [{{'$1', '_'}, [?IN(From, To)], ['$_']}])).
-define(PREFIX(T, Prefix),
    ets:select(T, [{{erlang:append_element(Prefix, '_'), '_'}, [], ['$_']}])
).
-define(COUNT(T, From, To), ets:select_count(T, [{{'$1', '_'}, [?IN(From, To)], [true]}])).
-define(RANK(T, Key), ets:select_count(T, [{{'$1', '_'}, [?IS('=<', Key)], [true]}])).
-define(NTH(T, I), ets:slot(T, I - 1)).

-include("xets_bench_loops.hrl").
