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
exceptions(slot, [Table, 0]) ->
    [empty_slot || is_ordered(Table), ets:info(Table, size) =:= 0];
exceptions(update_element, [Table, _Key, _Specs | Default]) ->
    [short_default || is_short_default(Table, Default)] ++
        [failed_default || Default =/= [], is_fixed(Table)];
exceptions(Match, [Table, PatternOrSpec | _]) when
    Match =:= match; Match =:= match_object; Match =:= match_delete;
    Match =:= select; Match =:= select_reverse; Match =:= select_count;
    Match =:= select_delete; Match =:= select_replace
->
    Keys = pattern_keys(clauses(Match, PatternOrSpec), keypos(Table)),
    [map_in_key || has(fun is_map/1, Keys)] ++
        [number_in_key || length(Keys) > 1, is_ordered(Table), has(fun is_number/1, Keys)] ++
        [fixed_delete_all || Match =:= select_delete orelse Match =:= match_delete,
                             PatternOrSpec =:= '_' orelse PatternOrSpec =:= [{'_', [], [true]}],
                             is_fixed(Table)];
exceptions(_, _) ->
    [].

%% What heads have for the key.
pattern_keys([Clause | Clauses], KeyPos) when tuple_size(Clause) > 0 ->
    Head = element(1, Clause),
    Keys = pattern_keys(Clauses, KeyPos),
    case is_tuple(Head) andalso is_integer(KeyPos) andalso KeyPos =< tuple_size(Head) of
        true -> [element(KeyPos, Head) | Keys];
        false -> Keys
    end;
pattern_keys(_, _KeyPos) ->
    [].

%% Whether there is such a term in a term, but not in a map.
has(Is, [Head | Tail]) -> has(Is, Head) orelse has(Is, Tail);
has(Is, Tuple) when is_tuple(Tuple) -> has(Is, tuple_to_list(Tuple));
has(Is, Term) -> Is(Term).

clauses(match, Pattern) -> [{Pattern, [], ['$$']}];
clauses(match_object, Pattern) -> [{Pattern, [], ['$_']}];
clauses(match_delete, Pattern) -> [{Pattern, [], [true]}];
clauses(_Select, Spec) -> Spec.

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
        false -> ets:Insert(Table, last_of_each_key(Objects, Table))
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
    with_objects(ets:first(Table), Table, fun(_Key) -> true end);
model(last_lookup, [Table]) ->
    with_objects(ets:last(Table), Table, fun(_Key) -> true end);
model(next_lookup, [Table, Key]) ->
    with_objects(ets:next(Table, Key), Table, fun(Other) -> Other > Key end);
model(prev_lookup, [Table, Key]) ->
    with_objects(ets:prev(Table, Key), Table, fun(Other) -> Other < Key end);
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
model(slot, [Table, 0]) ->
    [] = ets:tab2list(Table),
    '$end_of_table';
model(range, [Table, From, To]) ->
    in_range(Table, From, To, #{});
model(range, [Table, From, To, Options]) ->
    Of = options(Options, [limit, reverse, from, to]),
    pages(in_range(Table, From, To, Of), Of);
model(prefix, [Table, Prefix]) ->
    model(prefix, [Table, Prefix, []]);
model(prefix, [Table, Prefix, Options]) ->
    Of = options(Options, [limit, reverse]),
    need(is_tuple(Prefix) orelse is_binary(Prefix) orelse
         (is_list(Prefix) andalso proper_part(Prefix) =:= Prefix)),
    KeyPos = keypos(Table),
    pages([Object || Object <- ordered(Table), begins_with(Prefix, element(KeyPos, Object))], Of);
model(count, [Table, From, To | Options]) ->
    Of = options(lists:append(Options), [from, to]),
    length(in_range(Table, From, To, Of));
model(nth, [Table, I]) ->
    need(is_integer(I) andalso I > 0),
    lists:sublist(ordered(Table), I, 1);
model(rank, [Table, Key]) ->
    Keys = [element(keypos(Table), Object) || Object <- ordered(Table)],
    case lists:splitwith(fun(Other) -> Other < Key end, Keys) of
        {Below, [Found | _]} when Found == Key -> length(Below) + 1;
        _ -> undefined
    end;
model(first_n, [Table, N]) ->
    need(is_integer(N) andalso N >= 0),
    lists:sublist(ordered(Table), N);
model(last_n, [Table, N]) ->
    need(is_integer(N) andalso N >= 0),
    lists:sublist(lists:reverse(ordered(Table)), N);
model(Take, [Table]) when Take =:= take_first; Take =:= take_last ->
    true = ets:insert(Table, []),
    Objects = ordered(Table),
    Taken = case Take of
                take_first -> lists:sublist(Objects, 1);
                take_last -> lists:sublist(lists:reverse(Objects), 1)
            end,
    [ets:delete(Table, element(keypos(Table), Object)) || Object <- Taken],
    Taken;
model(match_delete, [Table, Pattern]) ->
    _ = model(select_delete, [Table, clauses(match_delete, Pattern)]),
    true;
model(Match, [Table, Pattern | Limit]) when Match =:= match; Match =:= match_object ->
    model(select, [Table, clauses(Match, Pattern) | Limit]);
model(Select, [Table, Spec | Limit]) when
    Select =:= select; Select =:= select_reverse; Select =:= select_count;
    Select =:= select_delete; Select =:= select_replace
->
    % A clause that binds no key, and matches nothing.
    apply(ets, Select, [Table, [{'_', [false], ['$_']} | Spec] | Limit]);
model(select_take, [Table, Spec]) ->
    Run = run(Spec),
    Taken = [Object || Object <- ets:tab2list(Table), Run(Object) =:= [true]],
    true = length(Taken) =:= call(select_delete, [Table, Spec]),
    Taken;
model(update, [Table, Key, Spec]) ->
    need(ets:insert(Table, []) andalso not is_bag(Table)),
    Run = run(Spec),
    case [New || Object <- ets:lookup(Table, Key), New <- Run(Object)] of
        [] ->
            false;
        [New] ->
            KeyPos = keypos(Table),
            need(is_tuple(New) andalso tuple_size(New) >= KeyPos),
            NewKey = element(KeyPos, New),
            need(NewKey =:= Key orelse (NewKey == Key andalso is_ordered(Table))),
            true = ets:insert(Table, New),
            New
    end;
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

%% A function that gives the result for an object, if the specification matches it.
run([]) ->
    fun(_Object) -> [] end;
run(Spec) ->
    Compiled = ets:match_spec_compile(Spec),
    fun(Object) -> ets:match_spec_run([Object], Compiled) end.

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

%% What next_lookup returns for what next has returned, which may also be a key that is called
%% as the end is. IsBehind says of a key whether it may follow in an ordered_set.
with_objects(Key, Table, IsBehind) ->
    case ets:lookup(Table, Key) of
        [] ->
            '$end_of_table';
        Objects ->
            case is_ordered(Table) andalso not IsBehind(Key) of
                true -> '$end_of_table';
                false -> {Key, Objects}
            end
    end.

%% A result of a set for its object, of a bag for all.
of_each(Fun, Objects, Table) ->
    Results = lists:map(Fun, Objects),
    case is_bag(Table) of
        true -> Results;
        false -> hd(Results)
    end.

%% Objects, if they are objects of a table with this key position.
last_of_each_key(Objects, Table) ->
    KeyPos = keypos(Table),
    try [{element(KeyPos, Object), Object} || Object <- Objects] of
        Keyed ->
            case is_ordered(Table) of
                true -> lists:ukeysort(KeyPos, lists:reverse(Objects));
                false -> maps:values(maps:from_list(Keyed))
            end
    catch error:_ ->
            Objects
    end.

%%% Order

%% Objects in the order of keys. Badarg if the table has none.
ordered(Table) ->
    Objects = ets:tab2list(Table),
    need(is_ordered(Table)),
    Objects.

is_ordered(Table) ->
    try ets:info(Table, type) =:= ordered_set
    catch error:badarg -> false
    end.

in_range(Table, From, To, Of) ->
    KeyPos = keypos(Table),
    [Object || Object <- ordered(Table), Key <- [element(KeyPos, Object)],
               is_behind(maps:get(from, Of, inclusive), From, Key),
               is_behind(maps:get(to, Of, inclusive), Key, To)].

is_behind(inclusive, Low, High) -> Low =< High;
is_behind(exclusive, Low, High) -> Low < High;
is_behind(unbounded, _, _) -> true.

begins_with(Prefix, Key) when is_tuple(Prefix) ->
    is_tuple(Key) andalso tuple_size(Prefix) =< tuple_size(Key) andalso
        tuple_to_list(Prefix) == lists:sublist(tuple_to_list(Key), tuple_size(Prefix));
begins_with(Prefix, Key) when is_binary(Prefix) ->
    Bits = bit_size(Prefix),
    is_bitstring(Key) andalso bit_size(Key) >= Bits andalso
        <<(begin <<Start:Bits/bits, _/bits>> = Key, Start end)/bits>> =:= Prefix;
begins_with([Asked | Prefix], [Head | Key]) ->
    Asked == Head andalso (Prefix =:= [] orelse begins_with(Prefix, Key));
begins_with(Prefix, Key) ->
    Prefix =:= [] andalso is_list(Key).

options(Options, Names) ->
    need(is_list(Options) andalso proper_part(Options) =:= Options),
    lists:foldl(fun(reverse, Of) ->
                        need(lists:member(reverse, Names)),
                        Of#{reverse => true};
                   ({Name, Value}, Of) ->
                        need(lists:member(Name, Names) andalso is_option(Name, Value)),
                        Of#{Name => Value};
                   (_, _) ->
                        erlang:error(badarg)
                end, #{}, Options).

is_option(limit, Value) -> is_integer(Value) andalso Value > 0;
is_option(reverse, Value) -> is_boolean(Value);
is_option(_, Value) -> lists:member(Value, [inclusive, exclusive, unbounded]).

%% With a limit all pages, as {pages, Pages}.
pages(Objects, #{reverse := true} = Of) -> pages(lists:reverse(Objects), Of#{reverse := false});
pages(Objects, #{limit := Limit}) -> {pages, split(Objects, Limit)};
pages(Objects, _Of) -> Objects.

split([], _Limit) -> [];
split(Objects, Limit) when length(Objects) =< Limit -> [Objects];
split(Objects, Limit) ->
    {Page, Others} = lists:split(Limit, Objects),
    [Page | split(Others, Limit)].

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
