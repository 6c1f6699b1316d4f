%% Random sequences of calls give the same on xets and on ets (xets_gen makes them).
%%
%% XETS_PROP_OPS is the number of operations, XETS_SEED the seed of all cases: case I is made from
%% {XETS_SEED, I}, so one that fails is found again by the two numbers that are printed, and
%% replay/1 runs the sequence that is printed with them, to which PropEr has reduced it.
-module(xets_prop_tests).

-include_lib("eunit/include/eunit.hrl").

-export([replay/1, replay/2, empty/1]).

%% One of the two libraries that are compared.
-record(side, {module :: ets | xets,
               slots = #{} :: #{1..3 => ets:tab()},
               % of all tables made so far
               ids = [] :: [reference()]}).

-record(state, {env :: map(),
                other :: pid(),
                ets = #side{module = ets},
                xets = #side{module = xets}}).

%%% The property

sequences_of_calls_test_() ->
    {timeout, 3600, fun() -> cases(env("XETS_SEED", 1), env("XETS_PROP_OPS", default_ops())) end}.

default_ops() ->
    case os:getenv("XETS_TEST_SMALL") of
        false -> 100000;
        _ -> 10000
    end.

env(Name, Default) ->
    case os:getenv(Name) of
        false -> Default;
        Value -> list_to_integer(Value)
    end.

cases(Seed, Ops) ->
    ?debugFmt("XETS_SEED=~p XETS_PROP_OPS=~p", [Seed, Ops]),
    Env = xets_gen:env(),
    try cases(Seed, 1, Ops, Env)
    after xets_gen:stop(Env)
    end.

cases(_Seed, _I, Ops, _Env) when Ops =< 0 ->
    ok;
cases(Seed, I, Ops, Env) ->
    cases(Seed, I + 1, Ops - 'case'(Seed, I, Env), Env).

%% Runs one case, and returns the number of its operations.
'case'(Seed, I, Env) ->
    Done = counters:new(1, []),
    Property = proper:forall(xets_gen:cases(element(1 + I rem 4, {10, 50, 300, 1000})),
                             fun({_, _, Ops} = Case) ->
                                     counters:add(Done, 1, length(Ops)),
                                     is_same_on_both(Case, Env)
                             end),
    % The state that PropEr goes on with, instead of making one.
    _ = rand:seed(exsss, {Seed, I, 0}),
    erase(difference),
    case proper:quickcheck(Property, [{numtests, 1}, {max_shrinks, 3000},
                                      {on_output, fun(_, _) -> ok end}]) of
        true ->
            counters:get(Done, 1);
        _ ->
            [Case] = proper:counterexample(),
            ?debugFmt("XETS_SEED=~p, case ~p: xets_prop_tests:replay(~n~tp)~n~tp",
                      [Seed, I, Case, erase(difference)]),
            erlang:error({seed, Seed, 'case', I})
    end.

is_same_on_both(Case, Env) ->
    case run(Case, Env) of
        same ->
            true;
        Difference ->
            put(difference, Difference),
            false
    end.

%% @doc Runs what was printed for a case.
replay(Case) when is_tuple(Case) ->
    Env = xets_gen:env(),
    try run(Case, Env)
    after xets_gen:stop(Env)
    end.

%% @doc Makes a case again from the numbers that were printed, and runs it.
replay(Seed, I) ->
    Env = xets_gen:env(),
    try 'case'(Seed, I, Env)
    after xets_gen:stop(Env)
    end.

%%% Running a case

%% In a process of its own, which takes the tables with it.
run({KeyPos, Pool, Ops}, Env) ->
    {Pid, Monitor} =
        spawn_monitor(fun() ->
                              CaseEnv = xets_gen:case_env(Env, KeyPos, Pool),
                              State = #state{env = CaseEnv, other = start_other()},
                              First = [{new, Slot, table, [public, {keypos, KeyPos}]}
                                       || Slot <- [1, 2]],
                              exit({case_done, outcome(fun() -> ops(First ++ Ops, State) end)})
                      end),
    receive
        {'DOWN', Monitor, process, Pid, {case_done, {value, Result}}} -> Result;
        {'DOWN', Monitor, process, Pid, Reason} -> Reason
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

ops([Op | Ops], State) ->
    put(op, Op),
    case op(Op, State) of
        {same, State1} -> ops(Ops, State1);
        {differ, What} -> {differ, Op, What}
    end;
ops([], #state{other = Other, xets = Xets} = State) ->
    Result = case op(check, State) of
                 {same, _} -> [{differ, at_the_end, [{left_over, Id}]}
                               || Id <- Xets#side.ids, not is_emptied(Id, Other)];
                 {differ, What} -> [{differ, at_the_end, What}]
             end,
    end_other(Other),
    hd(Result ++ [same]).

%% Whether all objects are deleted when each is named: whatever was done to them, they are equal
%% to what is read.
is_emptied(Id, Other) ->
    Emptied = {xets_prop_tests, empty, [Id]},
    lists:all(fun(Outcome) -> Outcome =:= {value, 0} orelse element(1, Outcome) =:= error end,
              [call(Emptied), call(Other, Emptied)]).

empty(Id) ->
    [xets:delete_object(Id, Object) || Object <- xets:tab2list(Id)],
    case xets:info(Id, size) of
        undefined -> 0;
        Size -> Size
    end.

op({new, Slot, Name, Options}, State) ->
    new(Slot, [Name, Options], fun call/1, State);
op({call, Function, Args}, State) ->
    compare(Function, Args, fun call/1, State);
op({other, new, [Slot | Args]}, #state{other = Other} = State) ->
    new(Slot, Args, fun(Call) -> call(Other, Call) end, State);
op({other, Function, Args}, #state{other = Other} = State) ->
    compare(Function, Args, fun(Call) -> call(Other, Call) end, State);
op({delete_found, Slot, Key, How}, State) ->
    Table = {'$', slot, Slot},
    case call({ets, lookup, resolve([Table, Key], State#state.ets, State)}) of
        {value, [Found]} ->
            Deleted = case How of
                          same -> Found;
                          other_zeros -> xets_gen:other_zeros(Found)
                      end,
            each(fun({Function, Args}, _) -> compare(Function, Args, fun call/1, State) end,
                 [{delete_object, [Table, Deleted]}, {lookup, [Table, Key]}], {same, State});
        _ ->
            {same, State}
    end;
op({delete_range, Slot, From, Count}, State) ->
    each(fun(Key, _) -> compare(delete, [{'$', slot, Slot}, Key], fun call/1, State) end,
         lists:seq(From, From + Count - 1), {same, State});
op(kill_other, #state{other = Other} = State) ->
    end_other(Other),
    {same, State#state{other = start_other()}};
op(check, #state{ets = Ets, xets = Xets} = State) ->
    each(fun({Id, XId}, _) -> check(Id, XId, State) end, lists:zip(Ets#side.ids, Xets#side.ids),
         {same, State}).

each(Fun, [Element | Elements], {same, _} = Same) ->
    case Fun(Element, Same) of
        {same, _} -> each(Fun, Elements, Same);
        Differ -> Differ
    end;
each(_Fun, [], Same) ->
    Same.

%%% Calls

%% What a call gave: {value, Value} or {Class, Reason, StackTrace}.
call({ets, Function, Args}) ->
    outcome(fun() -> xets_model:call(Function, Args) end);
call({Module, Function, Args}) ->
    outcome(fun() -> apply(Module, Function, Args) end).

outcome(Fun) ->
    try
        {value, Fun()}
    catch
        Class:Reason:Stack -> {Class, Reason, Stack}
    end.

%% The other process: makes calls, and owns the tables it creates.
start_other() ->
    spawn_link(fun() -> other() end).

other() ->
    receive
        {From, Call} ->
            From ! {self(), call(Call)},
            other()
    end.

call(Other, Call) ->
    Other ! {self(), Call},
    receive {Other, Outcome} -> Outcome end.

end_other(Other) ->
    Monitor = monitor(process, Other),
    unlink(Other),
    exit(Other, kill),
    receive {'DOWN', Monitor, process, Other, killed} -> ok end.

new(Slot, Args, Call, #state{ets = Ets, xets = Xets} = State) ->
    {Outcome, Ets1} = created(Slot, Call({ets, new, resolve(Args, Ets, State)}), Ets),
    {XOutcome, Xets1} = created(Slot, Call({xets, new, resolve(Args, Xets, State)}), Xets),
    result(Outcome, XOutcome, State#state{ets = Ets1, xets = Xets1}).

created(Slot, {value, Table}, #side{module = Module, slots = Slots, ids = Ids} = Side) ->
    {Id, Name} = case is_atom(Table) of
                     true -> {Module:whereis(Table), Table};
                     false -> {Table, unnamed}
                 end,
    {{value, Name}, Side#side{slots = Slots#{Slot => Table}, ids = [Id | Ids]}};
created(_Slot, Error, Side) ->
    {Error, Side}.

compare(Function, Args, Call, #state{ets = Ets, xets = Xets} = State) ->
    EtsArgs = resolve(Args, Ets, State),
    Xargs = resolve(Args, Xets, State),
    Outcome = plain(Function, Args, Call({ets, Function, EtsArgs}), Ets),
    XOutcome = plain(Function, Args, Call({xets, Function, Xargs}), Xets),
    case is_explained(Function, Xargs, XOutcome) of
        true -> result(Outcome, XOutcome, State);
        false -> {differ, [{not_explained, XOutcome}]}
    end.

resolve(Args, #side{slots = Slots}, #state{env = Env}) ->
    xets_gen:resolve(Args, Env#{slots := Slots}).

%% A value without what is different by nature: identifiers, memory, order.
plain(whereis, _, {value, Id}, Side) when is_reference(Id) ->
    {value, number(Id, Side)};
plain(info, [_], {value, Items}, Side) when is_list(Items) ->
    {value, [plain_item(Item, Side) || Item <- lists:sort(Items)]};
plain(info, [_, Item], {value, Value}, Side) when Value =/= undefined ->
    {value, plain_item({Item, Value}, Side)};
plain(tab2list, _, {value, Objects}, _) ->
    {value, as_set(Objects)};
plain(_, _, Outcome, _) ->
    Outcome.

plain_item({id, Id}, Side) -> {id, number(Id, Side)};
plain_item({memory, Words}, _) -> {memory, is_integer(Words) andalso Words > 0};
plain_item(Item, _) -> Item.

number(Id, #side{ids = Ids}) ->
    {table, length(lists:takewhile(fun(Other) -> Other =/= Id end, Ids))}.

%% A map keeps terms apart that are equal only by `==', and has its own order.
as_set(Objects) ->
    {length(Objects), maps:from_keys(Objects, object)}.

%%% Comparing

result(Outcome, XOutcome, State) ->
    case is_same(Outcome, XOutcome) of
        true -> {same, State};
        false -> {differ, [{ets, Outcome}, {xets, XOutcome}]}
    end.

is_same({value, A}, {value, B}) ->
    A =:= B andalso (is_atom(A) orelse term_to_binary(A) =:= term_to_binary(B));
is_same({Class, Reason, _}, {Class, Reason, _}) ->
    true;
is_same(_, _) ->
    false.

%% A badarg names the call, and says of at least one argument what is wrong with it.
is_explained(Function, Args, {error, badarg, [{xets, Function, Args, Info} | _] = Stack}) ->
    #{module := xets} = proplists:get_value(error_info, Info),
    Texts = maps:to_list(xets:format_error(badarg, Stack)),
    Texts =/= [] andalso
        lists:all(fun({No, Text}) -> No =< length(Args) andalso is_binary(Text) end, Texts);
is_explained(_Function, _Args, {value, _}) ->
    true;
is_explained(_Function, _Args, _Outcome) ->
    false.

%% The contents of a table, or that it is gone. Whoever may read it does.
check(Id, XId, #state{other = Other} = State) ->
    Contents = contents(call({ets, tab2list, [Id]}), call(Other, {ets, tab2list, [Id]})),
    XContents = contents(call({xets, tab2list, [XId]}), call(Other, {xets, tab2list, [XId]})),
    case {Contents, XContents} of
        {{value, _}, {value, {Size, _}}} ->
            ?assertEqual(Size, xets:info(XId, size));
        _ ->
            ok
    end,
    result(Contents, XContents, State).

contents({value, Objects}, _) -> {value, as_set(Objects)};
contents(_, {value, Objects}) -> {value, as_set(Objects)};
contents(Error, _) -> Error.
