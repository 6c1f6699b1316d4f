%% Properties of random cases, each of which is a list of operations on two libraries.
%%
%% Case I is made from {Seed, I}, so one that fails is found again by the two numbers that are
%% printed; printed with them is the case to which PropEr has reduced it.
-module(xets_cases).

-export([seed/0, ops/1, run/3, begins/1, replay/2, replay/3]).

-include_lib("eunit/include/eunit.hrl").

%% The module has a function replay/1, or one of the name that `replay' says, for what is printed.
%% `type' is the type of case I, made from
%% the state of rand; the last element of a case is the list of its operations. `run' is called with
%% a case and xets_gen:env(), in a process of its own, which takes the tables with it.
-type property() :: #{module := module(),
                      replay => atom(),
                      type := fun((I :: pos_integer()) -> proper_types:type()),
                      run := fun((Case :: tuple(), map()) -> same | (Difference :: term()))}.

%% @doc XETS_SEED, the seed of all cases.
-spec seed() -> integer().
seed() ->
    xets_test_lib:env("XETS_SEED", 1).

%% @doc XETS_PROP_OPS, the number of operations, or what is given for it.
-spec ops(pos_integer()) -> pos_integer().
ops(Default) ->
    xets_test_lib:env("XETS_PROP_OPS", Default).

%% @doc Runs cases that have so many operations together.
-spec run(property(), integer(), pos_integer()) -> ok.
run(Property, Seed, Ops) ->
    ?debugFmt("XETS_SEED=~p XETS_PROP_OPS=~p", [Seed, Ops]),
    with_env(fun(Env) -> cases(Property, Seed, 1, Ops, Env) end).

%% @doc To be called before each operation: the one that never ends is told.
-spec begins(Op :: term()) -> ok.
begins(Op) ->
    put(op, Op),
    ok.

%% @doc Runs a case that was printed.
-spec replay(property(), tuple()) -> same | term().
replay(#{run := Run}, Case) ->
    with_env(fun(Env) -> run_alone(Run, Case, Env) end).

%% @doc Makes a case again from the numbers that were printed, and runs it.
-spec replay(property(), integer(), pos_integer()) -> pos_integer().
replay(Property, Seed, I) ->
    with_env(fun(Env) -> 'case'(Property, Seed, I, Env) end).

with_env(Fun) ->
    Env = xets_gen:env(),
    try Fun(Env)
    after xets_gen:stop(Env)
    end.

cases(_Property, _Seed, _I, Ops, _Env) when Ops =< 0 ->
    ok;
cases(Property, Seed, I, Ops, Env) ->
    cases(Property, Seed, I + 1, Ops - 'case'(Property, Seed, I, Env), Env).

%% Runs one case, and returns the number of its operations.
'case'(#{module := Module, type := Type, run := Run} = Of, Seed, I, Env) ->
    Done = counters:new(1, []),
    % The state that PropEr goes on with, instead of making one. Of a tuple of the two it would be
    % the sum that counts: seeds would share most of their cases.
    _ = rand:seed(exsss, Seed bsl 32 + I),
    Property = proper:forall(Type(I), fun(Case) ->
                                              Ops = element(tuple_size(Case), Case),
                                              counters:add(Done, 1, length(Ops)),
                                              is_same(run_alone(Run, Case, Env))
                                      end),
    erase(difference),
    case proper:quickcheck(Property, [{numtests, 1}, {max_shrinks, 3000},
                                      {on_output, fun(_, _) -> ok end}]) of
        true ->
            counters:get(Done, 1);
        _ ->
            [Case] = proper:counterexample(),
            ?debugFmt("XETS_SEED=~p, case ~p: ~p:~p(~n~tp)~n~tp",
                      [Seed, I, Module, maps:get(replay, Of, replay), Case, erase(difference)]),
            erlang:error({seed, Seed, 'case', I})
    end.

is_same(same) ->
    true;
is_same(Difference) ->
    put(difference, Difference),
    false.

run_alone(Run, Case, Env) ->
    {Pid, Monitor} =
        spawn_monitor(fun() ->
                              exit(try {case_done, Run(Case, Env)}
                                   catch Class:Reason:Stack -> {Class, Reason, Stack}
                                   end)
                      end),
    receive
        {'DOWN', Monitor, process, Pid, {case_done, Result}} -> Result;
        {'DOWN', Monitor, process, Pid, Why} -> Why
    after time_limit() ->
        {dictionary, Dictionary} = process_info(Pid, dictionary),
        exit(Pid, kill),
        receive {'DOWN', Monitor, process, Pid, _} -> ok end,
        {never_ends, proplists:get_value(op, Dictionary)}
    end.

%% A case takes milliseconds. When one never ends, those made of it by leaving operations out are
%% not waited for as long.
time_limit() ->
    case get(difference) of
        undefined -> 60000;
        _ -> 2000
    end.
