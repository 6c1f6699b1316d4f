%% Random sequences of calls give the same on xets and on ets (xets_gen makes them).
%%
%% So they do on durable tables, which have in the end, when they have been closed and opened again,
%% what those of ets have, in a bag in the same order.
%%
%% XETS_PROP_OPS is the number of operations, XETS_SEED the seed of all cases (xets_cases); replay/1
%% runs a sequence that was printed, replay/2 makes it again from its numbers, replay_durable/1 and
%% replay_durable/2 on durable tables.
-module(xets_prop_tests).

-include_lib("eunit/include/eunit.hrl").

-export([replay/1, replay/2, empty/1, messages/3, contents_in_order/2]).
-export([replay_durable/1, replay_durable/2]).

%% One of the two libraries that are compared.
-record(side, {module :: ets | xets,
               slots = #{} :: #{1..3 => ets:tab()},
               % of all tables made so far
               ids = [] :: [reference()]}).

%% Tables of xets are durable, in directories within this one.
-record(durable, {base :: file:name(), dirs = #{} :: #{reference() => file:name()}}).

-record(state, {env :: map(),
                durable = none :: none | #durable{},
                ets = #side{module = ets},
                xets = #side{module = xets}}).

%%% The property

sequences_of_calls_test_() ->
    Ops = xets_cases:ops(xets_test_lib:small(100000, 10000)),
    {timeout, 3600, fun() -> xets_cases:run(property(), xets_cases:seed(), Ops) end}.

property() ->
    #{module => ?MODULE,
      type => fun(I) -> xets_gen:cases(element(1 + I rem 4, {10, 50, 300, 1000})) end,
      run => fun run/2}.

%% XETS_PROP_OPS is the number here, too.
sequences_of_calls_on_durable_tables_test_() ->
    Ops = xets_cases:ops(xets_test_lib:small(2000, 800)),
    {timeout, 3600, fun() -> xets_cases:run(durable(), xets_cases:seed(), Ops) end}.

durable() ->
    #{module => ?MODULE,
      replay => replay_durable,
      type => fun(I) -> xets_gen:cases(element(1 + I rem 3, {300, 700, 100})) end,
      run => fun run_durable/2}.

%% @doc Runs what was printed for a case.
replay_durable(Case) ->
    xets_cases:replay(durable(), Case).

%% @doc Makes a case again from the numbers that were printed, and runs it.
replay_durable(Seed, I) ->
    xets_cases:replay(durable(), Seed, I).

%% @doc Runs what was printed for a case.
replay(Case) ->
    xets_cases:replay(property(), Case).

%% @doc Makes a case again from the numbers that were printed, and runs it.
replay(Seed, I) ->
    xets_cases:replay(property(), Seed, I).

%%% Running a case

run(Case, Env) ->
    run(Case, Env, none).

run_durable(Case, Env) ->
    Name = lists:concat(["xets_prop_", os:getpid(), "_", erlang:unique_integer([positive])]),
    Base = filename:join(os:getenv("TMPDIR", "/tmp"), Name),
    ok = file:make_dir(Base),
    try run(Case, Env, #durable{base = Base})
    after file:del_dir_r(Base)
    end.

run({KeyPos, {Type1, Type2}, Pool, Ops}, Env, Durable) ->
    First = [{by, 1, new, [Slot, table, [public, {keypos, KeyPos}, Type]]}
             || {Slot, Type} <- [{1, Type1}, {2, Type2}]],
    Pids = {self(), start_other(), start_other()},
    ops(First ++ Ops, #state{env = xets_gen:case_env(Env, Pids, KeyPos, Pool), durable = Durable}).

ops([Op | Ops], State) ->
    xets_cases:begins(Op),
    case op(Op, State) of
        {same, State1} -> ops(Ops, State1);
        {differ, What} -> {differ, Op, What}
    end;
ops([], #state{xets = Xets} = State) ->
    Last = [fun() -> op(Op, State) end || Op <- [check, received]] ++
        case State#state.durable of
            none -> [fun() -> emptied(Id, State) end || Id <- Xets#side.ids];
            Durable -> [fun() -> recovered(Durable, State) end]
        end,
    case each(fun(Check) -> Check() end, Last, State) of
        {same, _} ->
            [end_other(Who, State) || Who <- [2, 3]],
            same;
        {differ, What} ->
            {differ, at_the_end, What}
    end.

%% Whether each table that is left has what that of ets has when it is opened again. Those whose
%% owners were killed have no counterpart any more, but whole directories.
recovered(#durable{base = Base, dirs = Dirs}, #state{ets = Ets, xets = Xets} = State) ->
    Pairs = lists:zip(Ets#side.ids, Xets#side.ids),
    Recovered = each(fun({Id, XId}) -> recovered(Id, XId, Dirs, State) end, Pairs, State),
    {ok, Names} = file:list_dir(Base),
    each(fun(Check) -> Check() end,
         [fun() -> Recovered end |
          [fun() -> result({value, ok}, {value, xets:verify(filename:join(Base, Name))}, State) end
           || Name <- Names]], State).

recovered(Id, XId, Dirs, State) ->
    case [{Who, Had} || Who <- [1, 2, 3],
                        {value, Had} <- [call(Who, in_order(ets, Id), State)]] of
        [{Who, Had} | _] ->
            % Whoever may read it may delete it, or it is its owner's alone to do so.
            Options = [{keypos, xets:info(XId, keypos)}, xets:info(XId, type),
                       {durable, maps:get(XId, Dirs)}] ++
                [compressed || xets:info(XId, compressed)],
            {value, true} = delete_by([Who, 1, 2, 3], XId, State),
            Again = xets:new(again, Options),
            Found = call(1, in_order(xets, Again), State),
            true = xets:delete(Again),
            result({value, Had}, Found, State);
        [] ->
            {same, State}
    end.

delete_by([Who | Others], Id, State) ->
    case call(Who, {xets, delete, [Id]}, State) of
        {error, badarg, _} when Others =/= [] -> delete_by(Others, Id, State);
        Outcome -> Outcome
    end.

in_order(Module, Id) ->
    {?MODULE, contents_in_order, [Module, Id]}.

%% All of a table, of a bag with the order of each key's objects.
contents_in_order(Module, Id) ->
    Objects = Module:tab2list(Id),
    KeyPos = Module:info(Id, keypos),
    case Module:info(Id, type) of
        ordered_set -> Objects;
        set -> counts(Objects);
        _ -> counts([Module:lookup(Id, Key) || Key <- maps:keys(keys(Objects, KeyPos))])
    end.

%% Whether all objects are deleted when each is named: whatever was done to them, they are equal
%% to what is read.
emptied(Id, State) ->
    Left = [call(Who, {xets_prop_tests, empty, [Id]}, State) || Who <- [1, 2, 3]],
    case lists:all(fun(Outcome) -> Outcome =:= {value, 0} orelse element(1, Outcome) =:= error end,
                   Left) of
        true -> {same, State};
        false -> {differ, [{left_over, Id, Left}]}
    end.

empty(Id) ->
    [xets:delete_object(Id, Object) || Object <- xets:tab2list(Id)],
    case xets:info(Id, size) of
        undefined -> 0;
        Size -> Size
    end.

op({by, Who, new, [Slot | Args]}, State) ->
    new(Slot, Args, Who, State);
op({by, Who, safe_fixtable, [Table | _] = Args}, State) ->
    unless_not_fixed(Table, fun() -> compare(safe_fixtable, Args, Who, State) end, State);
op({by, Who, Function, Args}, State) ->
    compare(Function, Args, Who, State);
op({delete_found, Slot, Key, How}, State) ->
    Table = {'$', slot, Slot},
    case call(1, {ets, lookup, resolve([Table, Key], State#state.ets, State)}, State) of
        {value, [_ | _] = Found} ->
            Object = lists:nth(1 + length(Found) div 2, Found),
            Deleted = case How of
                          same -> Object;
                          other_zeros -> xets_gen:other_zeros(Object)
                      end,
            each(fun({Function, Args}) -> compare(Function, Args, 1, State) end,
                 [{delete_object, [Table, Deleted]}, {lookup, [Table, Key]}], State);
        _ ->
            {same, State}
    end;
op({delete_range, Slot, From, Count}, State) ->
    each(fun(Key) -> compare(delete, [{'$', slot, Slot}, Key], 1, State) end,
         lists:seq(From, From + Count - 1), State);
op({traverse, Slot, How}, State) ->
    traversal(Slot, [], fun(Module, Table, []) -> traverse(Module, Table, How) end, State);
op({traverse_fixed, Slot, How, Changes}, State) ->
    Traverse = fun(Module, Table, Resolved) -> traverse_fixed(Module, Table, How, Resolved) end,
    unless_not_fixed({'$', slot, Slot}, fun() -> traversal(Slot, Changes, Traverse, State) end,
                     State);
op({drain, Slot, How, Function}, State) ->
    Drain = fun(Module, Table, []) -> drain(Module, Table, How, Function) end,
    unless_not_fixed({'$', slot, Slot}, fun() -> traversal(Slot, [], Drain, State) end, State);
op({kill, Who}, #state{env = #{pid := Pids} = Env} = State) ->
    end_other(Who, State),
    {same, State#state{env = Env#{pid := setelement(Who, Pids, start_other())}}};
op(received, #state{ets = Ets, xets = Xets} = State) ->
    % Whoever finds an owner dead has the message sent.
    [xets:info(Id, owner) || Id <- Xets#side.ids],
    Messages = {xets_prop_tests, messages, [Ets#side.ids, Xets#side.ids, []]},
    each(fun(Who) ->
                 case call(Who, Messages, State) of
                     {value, same} -> {same, State};
                     Other -> {differ, [{received, Who, Other}]}
                 end
         end, [1, 2, 3], State);
op(check, #state{ets = Ets, xets = Xets} = State) ->
    each(fun({Id, XId}) -> check(Id, XId, State) end, lists:zip(Ets#side.ids, Xets#side.ids),
         State).

%% Fun(), but not for bags of cases that do not fix them.
unless_not_fixed(Table, Fun, #state{ets = Ets, env = #{keypos := KeyPos}} = State) ->
    Kept = xets_gen:are_zeros_kept(KeyPos) andalso not xets_gen:are_zeros_kept(1),
    case Kept andalso outcome(fun() -> ets:info(resolve(Table, Ets, State), type) end) of
        {value, Bag} when Bag =:= bag; Bag =:= duplicate_bag -> {same, State};
        _ -> Fun()
    end.

%% Fun of each element, up to the first for which there is a difference.
each(Fun, [Element | Elements], State) ->
    case Fun(Element) of
        {same, _} -> each(Fun, Elements, State);
        Differ -> Differ
    end;
each(_Fun, [], State) ->
    {same, State}.

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

%% The outcome of a call made by one of the processes.
call(1, Call, _State) ->
    call(Call);
call(Who, Call, #state{env = #{pid := Pids}}) ->
    Other = element(Who, Pids),
    Other ! {self(), Call},
    receive {Other, Outcome} -> Outcome end.

%% Another process, which makes calls, and owns tables.
start_other() ->
    spawn_link(fun() -> other() end).

other() ->
    receive
        {From, Call} when is_pid(From) ->
            From ! {self(), call(Call)},
            other()
    end.

end_other(Who, #state{env = #{pid := Pids}}) ->
    Other = element(Who, Pids),
    Monitor = monitor(process, Other),
    unlink(Other),
    exit(Other, kill),
    receive {'DOWN', Monitor, process, Other, killed} -> ok end.

new(Slot, Args, Who, #state{ets = Ets, xets = Xets} = State) ->
    {Outcome, Ets1} = created(Slot, call(Who, {ets, new, resolve(Args, Ets, State)}, State), Ets),
    {Dir, XArgs} = in_directory(resolve(Args, Xets, State), State),
    {XOutcome, Xets1} = created(Slot, call(Who, {xets, new, XArgs}, State), Xets),
    result(Outcome, XOutcome,
           State#state{ets = Ets1, xets = Xets1, durable = keep_dir(Dir, Xets1, State)}).

%% The arguments of new/2, with a directory of its own for the table if it is to be durable.
in_directory([Name, Options], #state{durable = #durable{base = Base}}) when is_list(Options) ->
    N = erlang:unique_integer([positive]),
    Dir = filename:join(Base, integer_to_list(N)),
    Durable = element(1 + erlang:phash2(N, 3), {#{sync => memory}, #{sync => os},
                                                #{sync => os, checkpoint_after => 2000}}),
    {Dir, [Name, [{durable, Durable#{dir => Dir}} | Options]]};
in_directory(Args, _State) ->
    {none, Args}.

keep_dir(Dir, #side{ids = [Id | _]}, #state{durable = #durable{dirs = Dirs} = Durable}) ->
    Durable#durable{dirs = maps:merge(#{Id => Dir}, Dirs)};
keep_dir(_Dir, _Xets, #state{durable = Durable}) ->
    Durable.

created(Slot, {value, Table}, #side{module = Module, slots = Slots, ids = Ids} = Side) ->
    {Id, Name} = case is_atom(Table) of
                     true -> {Module:whereis(Table), Table};
                     false -> {Table, unnamed}
                 end,
    {{value, Name}, Side#side{slots = Slots#{Slot => Table}, ids = [Id | Ids]}};
created(_Slot, Error, Side) ->
    {Error, Side}.

compare(Function, Args, Who, #state{ets = Ets, xets = Xets} = State) ->
    EtsArgs = resolve(Args, Ets, State),
    Xargs = resolve(Args, Xets, State),
    Outcome = call(Who, {ets, Function, EtsArgs}, State),
    XOutcome = call(Who, {xets, Function, Xargs}, State),
    case is_explained(Function, Xargs, XOutcome) of
        true ->
            result(plain(Function, EtsArgs, Outcome, Ets, Who, State),
                   plain(Function, Xargs, XOutcome, Xets, Who, State),
                   renamed(Function, Args, Outcome, State));
        false ->
            {differ, [{not_explained, XOutcome}, {ets, Outcome}]}
    end.

%% A table that is used by its name is used by its new one.
renamed(rename, [{'$', slot, Slot}, _], {value, Name}, State) when is_atom(Name) ->
    #state{ets = Ets, xets = Xets} = State,
    Old = maps:get(Slot, Ets#side.slots),
    Rename = fun(#side{slots = Slots} = Side) ->
                     Side#side{slots = maps:map(fun(_, Table) when Table =:= Old -> Name;
                                                   (_, Table) -> Table
                                                end, Slots)}
             end,
    State#state{ets = Rename(Ets), xets = Rename(Xets)};
renamed(_Function, _Args, _Outcome, State) ->
    State.

resolve(Args, #side{slots = Slots}, #state{env = Env}) ->
    xets_gen:resolve(Args, Env#{slots := Slots}).

%% An outcome without what is different by nature: identifiers, memory, times, and order, but that
%% of an ordered_set. Pages are read to the end.
plain(Match, [Table | _] = Args, {value, Found}, #side{module = Module}, Who, State) when
    Match =:= match; Match =:= match_object; Match =:= select; Match =:= select_reverse;
    Match =:= select_take
->
    All = case Args of
              [_, _, _] -> lists:append(matches(Match, Found, Module, Who, State));
              _ -> Found
          end,
    {value, case Module:info(Table, type) of
                ordered_set -> All;
                _ -> counts(All)
            end};
plain(Function, Args, Outcome, Side, Who, State) ->
    IsOfOrder = lists:member(Function, [tab2list, slot, first, last, next, prev, first_lookup,
                                        last_lookup, next_lookup, prev_lookup]),
    case IsOfOrder andalso outcome(fun() -> (Side#side.module):info(hd(Args), type) end) of
        {value, ordered_set} -> Outcome;
        _ -> without_order(Function, Args, Outcome, Side, Who, State)
    end.

without_order(Function, [_, _ | _], {value, '$end_of_table'}, #side{module = xets}, _, _) when
    Function =:= range; Function =:= prefix
->
    {value, {pages, []}};
without_order(Function, [_, _ | _], {value, {Page, More}}, #side{module = xets}, Who, State) when
    is_list(Page), Function =:= range orelse Function =:= prefix
->
    {value, {pages, [Page | pages(More, Who, State)]}};
without_order(whereis, _, {value, Id}, Side, _, _) when is_reference(Id) ->
    {value, number(Id, Side)};
without_order(rename, [Id, _], {value, Id}, _, _, _) when is_reference(Id) ->
    {value, same_identifier};
without_order(all, _, {value, Tables}, #side{module = Module} = Side, _, _) ->
    Ids = [Id || Table <- Tables, Id <- [identifier(Table, Module)],
                 lists:member(Id, Side#side.ids)],
    {value, lists:sort([number(Id, Side) || Id <- Ids])};
without_order(info, [_], {value, Items}, Side, _, _) when is_list(Items) ->
    {value, [plain_item(Item, Side) || Item <- lists:sort(Items)]};
without_order(info, [_, Item], {value, Value}, Side, _, _) when Value =/= undefined ->
    {value, plain_item({Item, Value}, Side)};
without_order(tab2list, _, {value, Objects}, _, _, _) ->
    {value, counts(Objects)};
without_order(First, [Table], {value, Found}, Side, Who, State) when
    First =:= first; First =:= last; First =:= first_lookup; First =:= last_lookup
->
    case found(First, Table, Found, Side, Who, State) of
        '$end_of_table' -> {value, empty};
        Is -> {value, Is}
    end;
without_order(Next, [Table, _], {value, Found}, Side, Who, State) when
    Next =:= next; Next =:= prev; Next =:= next_lookup; Next =:= prev_lookup
->
    case found(Next, Table, Found, Side, Who, State) of
        '$end_of_table' -> {value, key};
        Is -> {value, Is}
    end;
without_order(slot, [Table, I], Outcome, #side{module = Module}, Who, State) when
    is_integer(I), I >= 0, I < 1 bsl 27
->
    case Outcome of
        {value, [_ | _] = Objects} ->
            {value, Contents} = call(Who, {Module, tab2list, [Table]}, State),
            {value, {objects, Objects -- Contents}};
        {value, Empty} when Empty =:= []; Empty =:= '$end_of_table' ->
            {value, {objects, []}};
        {error, badarg, _} ->
            % Beyond the last slot, or no access to the table.
            case call(Who, {Module, slot, [Table, 0]}, State) of
                {value, _} -> {value, {objects, []}};
                _ -> Outcome
            end;
        _ ->
            Outcome
    end;
without_order(_, _, Outcome, _, _, _) ->
    Outcome.

pages('$end_of_table', _Who, _State) ->
    [];
pages(More, Who, State) ->
    case call(Who, {xets, range, [More]}, State) of
        {value, {Page, Others}} -> [Page | pages(Others, Who, State)];
        {value, '$end_of_table'} -> []
    end.

matches(_Function, '$end_of_table', _Module, _Who, _State) ->
    [];
matches(Function, {Page, More}, Module, Who, State) ->
    {value, Next} = call(Who, {Module, Function, [More]}, State),
    [Page | matches(Function, Next, Module, Who, State)].

%% Whether what a step of a traversal has found is in the table.
found(_, Table, '$end_of_table', #side{module = Module}, Who, State) ->
    case call(Who, {Module, member, [Table, '$end_of_table']}, State) of
        {value, true} -> key;
        {value, false} -> '$end_of_table'
    end;
found(Step, Table, Key, #side{module = Module}, Who, State) when
    Step =:= first; Step =:= last; Step =:= next; Step =:= prev
->
    case call(Who, {Module, member, [Table, Key]}, State) of
        {value, true} -> key;
        _ -> {not_there, Module, Key}
    end;
found(_, Table, {Key, Objects}, #side{module = Module}, Who, State) ->
    case call(Who, {Module, lookup, [Table, Key]}, State) of
        {value, Objects} when Objects =/= [] -> key;
        Other -> {not_there, Module, Key, Objects, Other}
    end.

identifier(Table, Module) when is_atom(Table) -> Module:whereis(Table);
identifier(Table, _Module) -> Table.

plain_item({id, Id}, Side) ->
    {id, number(Id, Side)};
plain_item({memory, Words}, _) ->
    {memory, is_integer(Words) andalso Words > 0};
plain_item({Fixed, {_Since, Counts}}, _) when
    Fixed =:= safe_fixed; Fixed =:= safe_fixed_monotonic_time
->
    {Fixed, lists:sort(Counts)};
plain_item(Item, _) ->
    Item.

number(Id, #side{ids = Ids}) ->
    {table, length(lists:takewhile(fun(Other) -> Other =/= Id end, Ids))}.

%% How many there are of each. As binaries, terms are kept apart that are equal by `==', or but
%% for the sign of a zero.
counts(Terms) ->
    lists:foldl(fun(Term, Counts) ->
                        maps:update_with(term_to_binary(Term), fun(N) -> N + 1 end, 1, Counts)
                end, #{}, Terms).

%%% Messages

%% Receives what tells this process that it owns a table now. For each message about a table of
%% ets there is one about that of xets, which may not have come yet. Open are those that have no
%% counterpart; a name is the same on both sides.
messages(Ids, XIds, Open) ->
    receive
        {'ETS-TRANSFER', Table, From, Data} ->
            NoMessage = xets_model:no_message(),
            case {Data, place(Table, Ids), place(Table, XIds)} of
                {NoMessage, _, _} -> messages(Ids, XIds, Open);
                {_, none, none} -> messages(Ids, XIds, toggle({Table, From, Data}, any, Open));
                {_, none, I} -> messages(Ids, XIds, toggle({I, From, Data}, xets, Open));
                {_, I, none} -> messages(Ids, XIds, toggle({I, From, Data}, ets, Open))
            end
    after case Open of [] -> 0; _ -> 5000 end ->
        case Open of
            [] -> same;
            _ -> Open
        end
    end.

place(Table, Ids) ->
    case lists:member(Table, Ids) of
        true -> length(lists:takewhile(fun(Id) -> Id =/= Table end, Ids));
        false -> none
    end.

toggle(Message, From, Open) ->
    Other = case From of ets -> xets; xets -> ets; any -> any end,
    case lists:member({Other, Message}, Open) of
        true -> lists:delete({Other, Message}, Open);
        false -> [{From, Message} | Open]
    end.

%%% Traversals

%% Outcomes of Fun(Module, Table, Changes) on both sides. A table with the key '$end_of_table'
%% does not say where it ends.
traversal(Slot, Changes, Fun, #state{ets = Ets, xets = Xets, env = #{keypos := Usual}} = State) ->
    [Table | EtsChanges] = resolve([{'$', slot, Slot} | Changes], Ets, State),
    [XTable | XChanges] = resolve([{'$', slot, Slot} | Changes], Xets, State),
    % Some tables have another key position than the others of the case.
    KeyPos = case outcome(fun() -> ets:info(Table, keypos) end) of
                 {value, Pos} when is_integer(Pos) -> Pos;
                 _ -> Usual
             end,
    case lists:member('$end_of_table', touched(EtsChanges, KeyPos)) orelse
        outcome(fun() -> ets:member(Table, '$end_of_table') end) of
        Ends when Ends =:= true; Ends =:= {value, true} ->
            {same, State};
        _ ->
            result(outcome(fun() -> Fun(ets, Table, EtsChanges) end),
                   outcome(fun() -> Fun(xets, XTable, XChanges) end), State)
    end.

do(ets, Function, Args) -> xets_model:call(Function, Args);
do(xets, Function, Args) -> apply(xets, Function, Args).

steps(keys) -> {first, next};
steps(keys_back) -> {last, prev};
steps(objects) -> {first_lookup, next_lookup};
steps(objects_back) -> {last_lookup, prev_lookup}.

%% What there is in the table, how often, and that there is nothing behind the end.
traverse(Module, Table, slots) ->
    {Objects, End} = slots(Module, Table, 0),
    {error, badarg, _} = outcome(fun() -> do(Module, slot, [Table, End + 1]) end),
    in_order_or(fun counts/1, Objects, Module, Table);
traverse(Module, Table, How) ->
    Found = walk(Module, Table, How, fun(_Key) -> ok end),
    in_order_or(fun(_) -> found_counts(How, Found) end, Found, Module, Table).

%% What was found in an ordered_set as it is.
in_order_or(Fun, Found, Module, Table) ->
    case Module:info(Table, type) of
        ordered_set -> Found;
        _ -> Fun(Found)
    end.

found_counts(How, Keys) when How =:= keys; How =:= keys_back ->
    counts([xets_gen:plain_key(Key) || Key <- Keys]);
found_counts(_How, Found) ->
    counts([Objects || {_Key, Objects} <- Found]).

slots(Module, Table, I) ->
    case do(Module, slot, [Table, I]) of
        '$end_of_table' ->
            {[], I};
        Objects ->
            {Others, End} = slots(Module, Table, I + 1),
            {Objects ++ Others, End}
    end.

%% All that is found, in order. Fun is called with each key when it is found.
walk(Module, Table, How, Fun) ->
    {First, Next} = steps(How),
    walk(Module, Table, Next, Fun, do(Module, First, [Table])).

walk(_Module, _Table, _Next, _Fun, '$end_of_table') ->
    [];
walk(Module, Table, Next, Fun, Found) ->
    Key = case {Next, Found} of
              {Lookup, {K, _}} when Lookup =:= next_lookup; Lookup =:= prev_lookup -> K;
              {_, K} -> K
          end,
    Fun(Key),
    [Found | walk(Module, Table, Next, Fun, do(Module, Next, [Table, Key]))].

fixed(Module, Table, Fun) ->
    true = Module:safe_fixtable(Table, true),
    try Fun()
    after
        Module:safe_fixtable(Table, false)
    end.

%% Keys that are in the table throughout are found once, those that come or go at most once, and
%% no others; in an ordered_set those that ets finds.
traverse_fixed(Module, Table, How, Changes) ->
    KeyPos = Module:info(Table, keypos),
    Before = keys(Module:tab2list(Table), KeyPos),
    put(changes, Changes),
    Found = fixed(Module, Table, fun() ->
                walk(Module, Table, How, fun(_Key) -> next_change(Module, Table) end)
            end),
    [next_change(Module, Table) || _ <- get(changes)],
    Keys = case How of
               _ when How =:= keys; How =:= keys_back -> Found;
               _ -> [Key || {Key, _} <- Found]
           end,
    Check = fun(_) -> are_met(Module, Before, Keys, touched(Changes, KeyPos)) end,
    in_order_or(Check, Found, Module, Table).

are_met(Module, Before, Keys, AllTouched) ->
    Touched = maps:from_keys(AllTouched, key),
    Visited = maps:from_keys(Keys, key),
    case {length(Keys) - map_size(Visited),
          maps:keys(maps:without(maps:keys(maps:merge(Touched, Visited)), Before)),
          maps:keys(maps:without(maps:keys(maps:merge(Touched, Before)), Visited))} of
        {0, [], []} -> ok;
        {Twice, Missed, Strange} -> {Module, Twice, {missed, Missed}, {strange, Strange}}
    end.

next_change(Module, Table) ->
    case get(changes) of
        [{Function, Arg} | Changes] ->
            put(changes, Changes),
            case outcome(fun() -> do(Module, Function, [Table, Arg]) end) of
                {value, _} -> made;
                {error, badarg, _} -> refused
            end;
        [] ->
            none
    end.

keys(Objects, KeyPos) ->
    maps:from_keys([element(KeyPos, Object) || Object <- Objects], key).

%% The keys whose objects changes may insert or delete.
touched(Changes, KeyPos) ->
    lists:append([case Change of
                      {delete_many, Keys} -> Keys;
                      {Of, Key} when Of =:= delete; Of =:= take -> [Key];
                      {_, Objects} -> [element(KeyPos, Object) || Object <- as_list(Objects),
                                                                  is_tuple(Object),
                                                                  tuple_size(Object) >= KeyPos]
                  end || Change <- Changes]).

as_list([Head | Tail]) -> [Head | as_list(Tail)];
as_list(Object) when is_tuple(Object) -> [Object];
as_list(_) -> [].

%% What was found, how often, and what is left.
drain(Module, Table, How, Function) ->
    Found = fixed(Module, Table, fun() ->
                walk(Module, Table, How, fun(Key) -> drop(Module, Table, Function, Key) end)
            end),
    {in_order_or(fun(_) -> found_counts(How, Found) end, Found, Module, Table),
     Module:info(Table, size)}.

drop(Module, Table, delete_object, Key) ->
    [Module:delete_object(Table, Object) || Object <- Module:lookup(Table, Key)];
drop(Module, Table, Function, Key) ->
    do(Module, Function, [Table, Key]).

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
check(Id, XId, State) ->
    Contents = contents(ets, Id, State),
    XContents = contents(xets, XId, State),
    case {XContents, xets:info(XId, size)} of
        {{value, {Size, _}}, Other} when Size =/= Other -> {differ, [{size, Size, Other}]};
        _ -> result(Contents, XContents, State)
    end.

contents(Module, Id, State) ->
    contents(Module, Id, [1, 2, 3], State).

contents(Module, Id, [Who | Others], State) ->
    case call(Who, {Module, tab2list, [Id]}, State) of
        {value, Objects} ->
            Found = in_order_or(fun counts/1, Objects, Module, Id),
            {value, {length(Objects), Found}};
        Error when Others =:= [] -> Error;
        _ -> contents(Module, Id, Others, State)
    end.
