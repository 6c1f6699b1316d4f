%% Tables full of random terms, and everything that reads them: what each call has returned, beside
%% what it has to return. For tests of what becomes of the results.
-module(xets_native_reads).

-export([model/1, types/0, table/1, reads/1, read/3, takes/2, same/2, same/1]).
-export_type([model/0, outcome/0]).

-include_lib("eunit/include/eunit.hrl").

-import(xets_native_gen, [term/0, pick/1, chance/1]).

%% Words of a term that may be measured carefully.
-define(SMALL, 100).

-type model() :: #{type := xets:type(), options := [term()], keypos := pos_integer(),
                   groups := [{Key :: term(), [tuple()]}]}.
%% Groups are the objects of a key, in the order in which they are inserted.

-type outcome() :: {Expected :: term(), Result :: term()}
                 | {Expected :: term(), Result :: term(), any_size}.

-spec types() -> [xets:type()].
types() ->
    [set, ordered_set, bag, duplicate_bag].

%% @doc What is to be in a table with about so many keys.
-spec model(pos_integer()) -> model().
model(Keys) ->
    Type = pick(types()),
    KeyPos = pick([1, 1, 1, 2, 3]),
    #{type => Type, keypos => KeyPos,
      options => [Type, public, {keypos, KeyPos}] ++ [compressed || chance(4)],
      groups => groups(Keys, Type, KeyPos, [])}.

groups(0, _, _, Groups) ->
    lists:reverse(Groups);
groups(N, Type, KeyPos, Groups) ->
    Key = term(),
    case lists:any(fun({K, _}) -> K == Key end, Groups) of
        true -> groups(N - 1, Type, KeyPos, Groups);
        false -> groups(N - 1, Type, KeyPos, [{Key, group(Type, Key, KeyPos)} | Groups])
    end.

group(Type, Key, KeyPos) ->
    Object = fun() -> setelement(KeyPos, xets_native_gen:object(KeyPos), Key) end,
    case Type of
        bag -> distinct([Object() || _ <- lists:seq(1, pick([1, 1, 2, 4]))]);
        duplicate_bag ->
            Objects = [Object() || _ <- lists:seq(1, pick([1, 1, 2, 4]))],
            Objects ++ [hd(Objects) || chance(2)];
        _ -> [Object()]
    end.

distinct(Objects) ->
    lists:foldr(fun(O, Os) -> [O | [Other || Other <- Os, Other =/= O]] end, [], Objects).

%% @doc A table with that in it.
-spec table(model()) -> xets:table().
table(#{options := Options} = Model) ->
    T = xets:new(table, Options),
    case rand:uniform(2) of
        1 -> [true = xets:insert(T, O) || O <- objects(Model)];
        2 -> true = xets:insert(T, objects(Model))
    end,
    T.

objects(#{groups := Groups}) ->
    lists:append([Objects || {_, Objects} <- Groups]).

%%% Reads

%% @doc The calls that read a table of this type and leave it as it is.
-spec reads(xets:type()) -> [atom()].
reads(Type) ->
    [lookup, lookup_twin, lookup_element, lookup_elements, lookup_many, tab2list, match,
     match_object, select, select_body, select_equal, select_compared, select_by_ets, select_map,
     pages, traverse, traverse_keys, foldl, foldr, slots, snapshot, refused]
        ++ [counters || Type =:= set orelse Type =:= ordered_set]
        ++ [Name || Type =:= set orelse Type =:= ordered_set, Name <- [updates, put_new]]
        ++ [Name || Type =:= ordered_set, Name <- [range, backwards, positions]].

%% @doc What a call that reads has returned.
-spec read(Name :: atom(), xets:table(), model()) -> [outcome()].
read(lookup, T, #{groups := Groups}) ->
    [{Os, xets:lookup(T, K)} || {K, Os} <- Groups] ++ [{[], xets:lookup(T, {no, key})}];
read(lookup_twin, T, #{groups := Groups, keypos := KeyPos}) ->
    % an equal key, in other memory
    [begin
         Twin = xets_terms:rebuild(K, rand:uniform(50)),
         {[setelement(KeyPos, O, Twin) || O <- Os], xets:lookup(T, Twin), any_size}
     end || {K, Os} <- Groups];
read(lookup_element, T, #{groups := Groups} = Model) ->
    [{of_group(Model, [element(Pos, O) || O <- Os]), xets:lookup_element(T, K, Pos)}
     || {K, Os} <- Groups, Pos <- lists:seq(1, least_arity(Os))];
read(lookup_elements, T, #{groups := Groups} = Model) ->
    [begin
         Positions = list_to_tuple([rand:uniform(least_arity(Os)) || _ <- lists:seq(1, 3)]),
         {of_group(Model, [list_to_tuple([element(P, O) || P <- tuple_to_list(Positions)])
                           || O <- Os]),
          xets:lookup_elements(T, K, Positions)}
     end || {K, Os} <- Groups];
read(lookup_many, T, #{groups := Groups}) ->
    [{[Os || {_, Os} <- Groups], xets:lookup_many(T, [K || {K, _} <- Groups])}];
read(tab2list, T, Model) ->
    [all(Model, xets:tab2list(T))];
read(match_object, T, Model) ->
    [all(Model, xets:match_object(T, '_'))];
read(match, T, Model) ->
    Object = pick(objects(Model)),
    Pattern = list_to_tuple(variables(Object)),
    [sorted([tuple_to_list(O) || O <- objects(Model), tuple_size(O) =:= tuple_size(Object)],
            xets:match(T, Pattern))];
read(select, T, Model) ->
    [all(Model, xets:select(T, [{'_', [], ['$_']}]))];
read(select_body, T, Model) ->
    % results that are made of parts of objects
    Object = pick(objects(Model)),
    Vs = variables(Object),
    Body = [{{{element, 1, '$_'}, ['$$', '$_' | hd(Vs)], #{map => lists:last(Vs)},
              {const, {[term]}}}}],
    [by_ets(T, Model, [{list_to_tuple(Vs), [], Body}])];
read(select_equal, T, Model) ->
    {Vs, _, Pos, Value} = drawn(Model),
    Variable = lists:nth(Pos, Vs),
    [by_ets(T, Model, [{list_to_tuple(Vs), [{'=:=', Variable, {const, Value}}], ['$_']}]),
     by_ets(T, Model, [{list_to_tuple(Vs), [{'=:=', {const, [Value]}, [Variable]}],
                        [Variable]}])];
read(select_compared, T, Model) ->
    {Vs, _, Pos, Value} = drawn(Model),
    Variable = lists:nth(Pos, Vs),
    [by_ets(T, Model, [{list_to_tuple(Vs), [{Op, Variable, {const, Value}}], ['$$']}])
     || Op <- ['==', '<', '>=']];
read(select_by_ets, T, Model) ->
    % nothing for the native engine: decoded, and run by ets:match_spec_run/2
    [all(Model, xets:select(T, [{'_', [{'=:=', {node}, node()}], ['$_']}]))];
read(select_map, T, Model) ->
    [by_ets(T, Model, [{list_to_tuple(set_nth(Pos, #{Key => '$100'}, Vs)), [], ['$100']}])
     || {Vs, _, Pos, Value} <- [drawn(Model) || _ <- lists:seq(1, 3)],
        is_map(Value), map_size(Value) > 0,
        Key <- [pick(maps:keys(Value))]];
read(pages, T, Model) ->
    [all(Model, pages(xets:select(T, [{'_', [], ['$_']}], pick([1, 2, 3, 100]))))];
read(traverse, T, Model) ->
    [all(Model, traverse(T, xets:first_lookup(T)))];
read(traverse_keys, T, #{groups := Groups}) ->
    [sorted([K || {K, _} <- Groups], keys(T, xets:first(T)))];
read(foldl, T, Model) ->
    [all(Model, xets:foldl(fun gathered/2, [], T))];
read(foldr, T, Model) ->
    [all(Model, xets:foldr(fun gathered/2, [], T))];
read(slots, T, Model) ->
    [all(Model, slots(T, 0))];
read(snapshot, T, Model) ->
    Snapshot = xets:snapshot(T),
    Outcomes = read(lookup, Snapshot, Model) ++ read(tab2list, Snapshot, Model),
    true = xets:delete(Snapshot),
    Outcomes;
read(refused, T, #{groups := Groups}) ->
    % what has been made before an error is found is left on the heap, and nobody points to it
    Keys = [K || {K, _} <- Groups],
    [{badarg, try xets:lookup_many(T, Keys ++ wrong) catch error:badarg -> badarg end},
     {badarg, try xets:lookup_element(T, hd(Keys), 1000) catch error:badarg -> badarg end}];
read(counters, T, #{groups := Groups, keypos := KeyPos}) ->
    lists:append([count(T, K, O, Pos)
                  || {K, [O]} <- Groups, Pos <- lists:seq(1, tuple_size(O)), Pos =/= KeyPos,
                     is_integer(element(Pos, O))]);
read(updates, T, #{groups := Groups, keypos := KeyPos}) ->
    lists:append([update(T, K, O, rand:uniform(tuple_size(O)), KeyPos) || {K, [O]} <- Groups]);
read(put_new, T, #{groups := Groups, keypos := KeyPos}) ->
    [{O, xets:put_new(T, setelement(KeyPos, {a, b, c}, K))} || {K, [O]} <- Groups];
read(range, T, #{groups := Groups} = Model) ->
    Keys = lists:sort([K || {K, _} <- Groups]),
    [all(Model, xets:range(T, hd(Keys), lists:last(Keys)))];
read(backwards, T, Model) ->
    [all(Model, xets:select_reverse(T, [{'_', [], ['$_']}])),
     all(Model, backwards(T, xets:last_lookup(T)))];
read(positions, T, #{groups := Groups}) ->
    Sorted = [Os || {_, Os} <- lists:sort(fun({A, _}, {B, _}) -> A =< B end, Groups)],
    [{Os, xets:nth(T, I)} || {I, Os} <- lists:zip(lists:seq(1, length(Sorted)), Sorted)]
        ++ [{lists:append(Sorted), xets:first_n(T, length(Sorted))}].

%% @doc Takes everything out of the table.
-spec takes(xets:table(), model()) -> [outcome()].
takes(T, #{groups := Groups, type := Type}) ->
    {As, Bs} = lists:split(length(Groups) div 3, Groups),
    {Cs, Ds} = lists:split(length(Bs) div 2, Bs),
    One = [{Os, xets:take(T, K)} || {K, Os} <- As],
    Many = {[Os || {_, Os} <- Cs], xets:take_many(T, [K || {K, _} <- Cs])},
    Rest = case Type of
               ordered_set ->
                   [{Os, xets:take_first(T)}
                    || {_, Os} <- lists:sort(fun({A, _}, {B, _}) -> A =< B end, Ds)];
               _ ->
                   [sorted([O || {_, Os} <- Ds, O <- Os], xets:select_take(T, [{'_', [], [true]}]))]
           end,
    One ++ [Many | Rest] ++ [{0, xets:info(T, size)}].

of_group(#{type := Type}, [Element]) when Type =:= set; Type =:= ordered_set -> Element;
of_group(_, Elements) -> Elements.

least_arity(Objects) ->
    lists:min([tuple_size(O) || O <- Objects]).

variables(Object) ->
    [list_to_atom("$" ++ integer_to_list(I)) || I <- lists:seq(1, tuple_size(Object))].

%% The variables of an object, the object, one of its positions and what is there.
drawn(Model) ->
    Object = pick(objects(Model)),
    Pos = rand:uniform(tuple_size(Object)),
    {variables(Object), Object, Pos, element(Pos, Object)}.

set_nth(1, Value, [_ | T]) -> [Value | T];
set_nth(N, Value, [H | T]) -> [H | set_nth(N - 1, Value, T)].

by_ets(T, Model, Spec) ->
    sorted(ets:match_spec_run(objects(Model), ets:match_spec_compile(Spec)), xets:select(T, Spec)).

%% While objects that have been read, and not yet been given to this, lie on the heap.
gathered(Object, Objects) ->
    true = not chance(5) orelse garbage_collect(),
    [Object | Objects].

pages('$end_of_table') -> [];
pages({Page, Continuation}) -> Page ++ pages(xets:select(Continuation)).

traverse(_, '$end_of_table') -> [];
traverse(T, {Key, Objects}) -> Objects ++ traverse(T, xets:next_lookup(T, Key)).

backwards(_, '$end_of_table') -> [];
backwards(T, {Key, Objects}) -> Objects ++ backwards(T, xets:prev_lookup(T, Key)).

keys(_, '$end_of_table') -> [];
keys(T, Key) -> [Key | keys(T, xets:next(T, Key))].

slots(T, I) ->
    case xets:slot(T, I) of
        '$end_of_table' -> [];
        Objects -> Objects ++ slots(T, I + 1)
    end.

%% Up and down again.
count(T, Key, Object, Pos) ->
    Value = element(Pos, Object),
    Add = pick([1, -1, 1 bsl 58, 1 bsl 59, 1 bsl 62, -(1 bsl 64), 1 bsl 200]),
    [{Value + Add, xets:update_counter(T, Key, {Pos, Add})},
     {[setelement(Pos, Object, Value + Add)], xets:lookup(T, Key)},
     {[Value, Value], xets:update_counter(T, Key, [{Pos, -Add}, {Pos, 0}])}].

%% To something else and back.
update(_, _, _, KeyPos, KeyPos) ->
    [];
update(T, Key, Object, Pos, _) ->
    Term = term(),
    [{true, xets:update_element(T, Key, {Pos, Term})},
     {[setelement(Pos, Object, Term)], xets:lookup(T, Key)},
     {true, xets:update_element(T, Key, {Pos, element(Pos, Object)})},
     {[Object], xets:lookup(T, Key)}].

%% All objects, in any order.
all(Model, Results) ->
    sorted(objects(Model), Results).

sorted(Expected, Results) ->
    {sort(Expected), sort(Results)}.

%% So that terms that are equal (==) but not the same have an order, too.
sort(Terms) ->
    [T || {_, T} <- lists:sort([{term_to_binary(T), T} || T <- Terms])].

%%% Comparing

%% @doc A result is what it has to be, to the sign of a zero. It takes the words that a fresh copy
%% takes; where it has the key that the caller has given in it, those that this has.
-spec same(Expected :: term(), Result :: term()) -> ok.
same(Expected, Result) ->
    Bytes = equal(Expected, Result),
    Size = erts_debug:flat_size(Result),
    Sizes = [erts_debug:flat_size(T) || T <- [Expected, binary_to_term(Bytes)]],
    ?assert((Size >= lists:min(Sizes) andalso Size =< lists:max(Sizes))
            orelse of_leaves(Expected, Result)),
    % takes long: the square of the size
    ?assert(Size > ?SMALL orelse erts_debug:size(Result) =< Size).

equal(Expected, Result) ->
    Bytes = term_to_binary(Expected),
    case Expected =:= Result andalso term_to_binary(Result) =:= Bytes of
        true -> Bytes;
        false -> erlang:error({not_same, Expected, Result})
    end.

%% The same, leaf by leaf: an expected one may lie in memory in a larger way than a copy of it, or,
%% as a copy may be made in a buffer of another size, in a smaller one.
of_leaves([A | As], [B | Bs]) ->
    of_leaves(A, B) andalso of_leaves(As, Bs);
of_leaves(A, B) when is_tuple(A) ->
    of_leaves(tuple_to_list(A), tuple_to_list(B));
of_leaves(A, B) when is_map(A) ->
    Overhead = fun(T) -> erts_debug:flat_size(T)
                             - lists:sum([erts_debug:flat_size(X)
                                          || {K, V} <- maps:to_list(T), X <- [K, V]])
               end,
    Overhead(A) =:= Overhead(B) andalso of_leaves(maps:to_list(A), maps:to_list(B));
of_leaves(A, B) ->
    Sizes = [erts_debug:flat_size(T) || T <- [A, binary_to_term(term_to_binary(A))]],
    Size = erts_debug:flat_size(B),
    Size >= lists:min(Sizes) andalso Size =< lists:max(Sizes).

%% @equiv same/2
-spec same([outcome()]) -> ok.
same(Outcomes) ->
    lists:foreach(fun({Expected, Result}) -> same(Expected, Result);
                     ({Expected, Result, any_size}) -> equal(Expected, Result)
                  end, Outcomes).
