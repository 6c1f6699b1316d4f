%% What the calls of xets do, on a table of ets: those that the running ets has by ets itself,
%% the others, and those that xets_gen:exceptions/0 keeps away from ets, as written here.
%%
%% Made for one process at a time: a call done here is not atomic.
-module(xets_model).

-export([call/2, no_message/0]).

%% The first integer that is none of those that fit a word with its tag.
-define(SMALL_LIMIT, (1 bsl 59)).

%% @doc The result of a call, whose first argument is a table of ets.
-spec call(Function :: atom(), Args :: [term()]) -> term().
call(Function, Args) ->
    case
        erlang:function_exported(ets, Function, length(Args)) andalso exceptions(Function, Args)
    of
        [] -> apply(ets, Function, Args);
        _ -> model(Function, Args)
    end.

%%% Exceptions

%% The names of those of xets_gen:exceptions/0 that a call is.
exceptions(Insert, [Table, [_, _ | _]]) when Insert =:= insert; Insert =:= insert_new ->
    case is_bag(Table) of
        true -> [list_order || release() < 26];
        false -> [equal_keys_in_list || release() < 27]
    end;
exceptions(take, [Table, _Key]) ->
    [fixed_take || is_bag(Table), is_fixed(Table)];
exceptions(delete_all_objects, [Table]) ->
    [fixed_delete_all || is_fixed(Table)];
exceptions(new, [_Name, Options]) ->
    [heir_without_data || release() < 28, with_data(Options) =/= Options];
exceptions(setopts, [_Table, Options]) ->
    [heir_without_data || release() < 28, with_data(Options) =/= Options];
exceptions(update_counter, [Table, Key, Ops | Default]) ->
    [short_default || is_short_default(Table, Default)] ++
        [failed_default || Default =/= [], is_fixed(Table)] ++
        [repeated_position || is_repeated_position(Table, Key, Ops, Default)];
exceptions(lookup_element, [_Table, _Key, Pos | _Default]) ->
    [large_position || is_integer(Pos), Pos >= 1 bsl 31];
exceptions(update_element, [Table, _Key, _Specs | Default]) ->
    [short_default || is_short_default(Table, Default)] ++
        [failed_default || Default =/= [], is_fixed(Table)];
exceptions(_, _) ->
    [].

release() ->
    list_to_integer(erlang:system_info(otp_release)).

is_bag(Table) ->
    try lists:member(ets:info(Table, type), [bag, duplicate_bag])
    catch error:badarg -> false
    end.

is_fixed(Table) ->
    try ets:info(Table, fixed) =:= true
    catch error:badarg -> false
    end.

%% Options in which heirs that get no message get one that no_message/0 tells.
with_data([Option | Options]) -> [with_data(Option) | with_data(Options)];
with_data({heir, Heir}) when is_pid(Heir) -> {heir, Heir, no_message()};
with_data(Option) -> Option.

%% @doc The data of messages that are not sent.
-spec no_message() -> atom().
no_message() ->
    xets_model_no_message.

is_short_default(Table, [Default]) when is_tuple(Default) ->
    case keypos(Table) of
        undefined -> false;
        KeyPos -> tuple_size(Default) < KeyPos
    end;
is_short_default(_Table, _) ->
    false.

%% A position occurs twice, and an integer involved may not be small.
is_repeated_position(Table, Key, [_, _ | _] = Ops, Default) ->
    Positions = [element(1, Op) || Op <- proper_part(Ops), is_tuple(Op), Op =/= {}],
    length(lists:usort(Positions)) < length(Positions) andalso
        (has_large_integer(proper_part(Ops)) orelse has_large_integer(Default) orelse
         has_large_integer(object(Table, Key)));
is_repeated_position(_Table, _Key, _Ops, _Default) ->
    false.

proper_part([Head | Tail]) -> [Head | proper_part(Tail)];
proper_part(_) -> [].

has_large_integer(Tuples) ->
    lists:any(fun(Term) -> is_integer(Term) andalso abs(Term) >= 1 bsl 50 end,
              lists:append([tuple_to_list(Tuple) || Tuple <- Tuples, is_tuple(Tuple)])).

object(Table, Key) ->
    try ets:lookup(Table, Key)
    catch error:badarg -> []
    end.

keypos(Table) ->
    try ets:info(Table, keypos)
    catch error:badarg -> undefined
    end.

%%% The calls

model(Insert, [Table, Objects]) when Insert =:= insert; Insert =:= insert_new ->
    case is_bag(Table) andalso are_objects(Objects, keypos(Table)) of
        true -> insert_in_order(Insert, Table, Objects);
        false -> ets:Insert(Table, last_of_each_key(Objects, keypos(Table)))
    end;
model(put_new, [Table, Object]) ->
    need(ets:insert(Table, []) andalso is_tuple(Object) andalso not is_bag(Table)),
    _ = ets:insert_new(Table, Object),
    hd(ets:lookup(Table, element(keypos(Table), Object)));
model(new, [Name, Options]) ->
    ets:new(Name, with_data(Options));
model(setopts, [Table, Options]) ->
    ets:setopts(Table, with_data(Options));
model(take, [Table, Key]) ->
    true = ets:insert(Table, []),
    Found = ets:lookup(Table, Key),
    true = ets:delete(Table, Key),
    Found;
model(delete_all_objects, [Table]) ->
    true = ets:insert(Table, []),
    KeyPos = keypos(Table),
    lists:all(fun(Object) -> ets:delete(Table, element(KeyPos, Object)) end, ets:tab2list(Table));
model(take_many, [Table, Keys]) ->
    need(ets:insert(Table, []) andalso proper_part(Keys) =:= Keys),
    [call(take, [Table, Key]) || Key <- Keys];
model(delete_many, [Table, Keys]) ->
    need(ets:insert(Table, []) andalso proper_part(Keys) =:= Keys),
    lists:all(fun(Key) -> ets:delete(Table, Key) end, Keys);
model(first_lookup, [Table]) ->
    with_objects(ets:first(Table), Table);
model(last_lookup, [Table]) ->
    with_objects(ets:last(Table), Table);
model(next_lookup, [Table, Key]) ->
    with_objects(ets:next(Table, Key), Table);
model(prev_lookup, [Table, Key]) ->
    with_objects(ets:prev(Table, Key), Table);
model(lookup_element, [Table, Key, Pos, Default]) ->
    Found = ets:lookup(Table, Key),
    need(is_integer(Pos) andalso Pos > 0 andalso Pos < ?SMALL_LIMIT),
    case Found of
        [] -> Default;
        _ -> of_each(fun(Object) -> element(Pos, Object) end, Found, Table)
    end;
model(lookup_element, [_Table, _Key, _Pos]) ->
    erlang:error(badarg);
model(lookup_elements, [Table, Key, Positions]) ->
    Found = ets:lookup(Table, Key),
    need(is_tuple(Positions) andalso Found =/= []),
    of_each(fun(Object) ->
                    list_to_tuple([element(Pos, Object) || Pos <- tuple_to_list(Positions)])
            end, Found, Table);
model(lookup_many, [Table, Keys]) ->
    _ = ets:member(Table, []),
    need(is_list(Keys) andalso proper_part(Keys) =:= Keys),
    [ets:lookup(Table, Key) || Key <- Keys];
model(update_counter, [Table, Key, Ops | Default]) ->
    {Update, KeyPos} = updated(Table, Key, Default),
    Object = case Update of
                 {_, Found} -> Found;
                 absent -> erlang:error(badarg)
             end,
    {New, Results} = lists:foldl(fun(Op, {Tuple, Done}) ->
                                         {Pos, Value} = count(Op, Tuple, KeyPos),
                                         {setelement(Pos, Tuple, Value), [Value | Done]}
                                 end, {Object, []}, counter_ops(Ops, KeyPos)),
    true = ets:insert(Table, New),
    case Ops of
        _ when is_list(Ops) -> lists:reverse(Results);
        _ -> hd(Results)
    end;
model(update_element, [Table, Key, Specs | Default]) ->
    case updated(Table, Key, Default) of
        {absent, _} ->
            false;
        {{_, Object}, KeyPos} ->
            New = lists:foldl(fun({Pos, Value}, Tuple) ->
                                      need(Pos =/= KeyPos),
                                      setelement(Pos, Tuple, Value);
                                 (_, _) ->
                                      erlang:error(badarg)
                              end, Object, as_list(Specs)),
            true = ets:insert(Table, New)
    end.

are_objects(Objects, KeyPos) ->
    proper_part(Objects) =:= Objects andalso
        lists:all(fun(Object) -> is_tuple(Object) andalso tuple_size(Object) >= KeyPos end,
                  Objects).

insert_in_order(insert, Table, Objects) ->
    lists:all(fun(Object) -> ets:insert(Table, Object) end, Objects);
insert_in_order(insert_new, Table, Objects) ->
    true = ets:insert(Table, []),
    KeyPos = keypos(Table),
    case lists:any(fun(Object) -> ets:member(Table, element(KeyPos, Object)) end, Objects) of
        true -> false;
        false -> insert_in_order(insert, Table, Objects)
    end.

%% What next_lookup returns for what next has returned.
with_objects(Key, Table) ->
    case ets:lookup(Table, Key) of
        [] -> '$end_of_table';
        Objects -> {Key, Objects}
    end.

%% A result of a set for its object, of a bag for all.
of_each(Fun, Objects, Table) ->
    Results = lists:map(Fun, Objects),
    case is_bag(Table) of
        true -> Results;
        false -> hd(Results)
    end.

%% Objects, if they are objects of a table with this key position.
last_of_each_key(Objects, KeyPos) ->
    try maps:values(maps:from_list([{element(KeyPos, Object), Object} || Object <- Objects]))
    catch error:_ -> Objects
    end.

%% The object to be updated: the one there is, or one made of the default.
updated(Table, Key, Default) ->
    need(ets:insert(Table, []) andalso not is_bag(Table)),
    KeyPos = ets:info(Table, keypos),
    need(Default =:= [] orelse tuple_size(hd(Default)) >= KeyPos),
    case {ets:lookup(Table, Key), Default} of
        {[Object], _} -> {{found, Object}, KeyPos};
        {[], []} -> {absent, KeyPos};
        {[], [Tuple]} -> {{default, setelement(KeyPos, Tuple, Key)}, KeyPos}
    end.

counter_ops(Ops, _KeyPos) when is_list(Ops) ->
    as_list(Ops);
counter_ops(Incr, KeyPos) when is_integer(Incr) ->
    [{KeyPos + 1, Incr}];
counter_ops(Op, _KeyPos) ->
    [Op].

count({Pos, Incr}, Object, KeyPos) when is_integer(Incr) ->
    {Pos, counter(Pos, Object, KeyPos) + Incr};
count({Pos, Incr, Threshold, SetValue}, Object, KeyPos) when
    is_integer(Incr), is_integer(Threshold), is_integer(SetValue)
->
    Sum = counter(Pos, Object, KeyPos) + Incr,
    IsPast = (Incr < 0 andalso Sum < Threshold) orelse (Incr >= 0 andalso Sum > Threshold),
    {Pos, case IsPast of true -> SetValue; false -> Sum end};
count(_, _, _) ->
    erlang:error(badarg).

counter(Pos, Object, KeyPos) ->
    need(Pos =/= KeyPos),
    Value = element(Pos, Object),
    need(is_integer(Value)),
    Value.

as_list(List) when is_list(List) ->
    need(proper_part(List) =:= List),
    List;
as_list(Term) ->
    [Term].

need(true) -> ok;
need(false) -> erlang:error(badarg).
