%% Random patterns and match specifications for tables whose objects are known, so that many match.
%%
%% Like those of xets_gen, what is drawn here holds no term that only one VM knows: objects have the
%% form {'$', object, Key, Values}, and xets_gen:resolve/2 makes them and the patterns whole. A
%% pattern is made of an object: some of its subterms become variables (mostly the same one for
%% equal subterms), '_', or something else; a guard is made of what the variables stand for in it.
%%
%% Kept away from ets, because it may end the VM:
%%   * keys of maps in bodies that are computed;
%%   * bodies in which a variable occurs twice, and the first time where it may be skipped: behind
%%     an `andalso' or `orelse', or in an expression that fails before another one. The second is
%%     then a pointer into the table, or to what is no more;
%%   * shifts by other than small numbers, which make integers of any size.
-module(xets_match_gen).

-export([objects/1, pattern/1, spec/1, replacement/1, update/1]).
-export([wrong_spec/1, wrong_head/0, hidden/2]).

-import(xets_gen, [integer/2, one_of/1, weighted/1, list_of/2]).

%%% Objects

%% @doc Objects for a table, and to make patterns of: what matters to matching is met in them often.
%% Maps of more than 32 are in no key, because ets ends the VM when it compares one with such a key
%% in a compressed ordered_set.
-spec objects(pos_integer()) -> [term()].
objects(N) ->
    [{'$', object, key(), values()} || _ <- lists:seq(1, N)].

key() ->
    weighted([{8, fun() -> integer(1, 20) end}, {3, fun() -> integer(1, 20) / 2 end},
              {5, fun() -> {one_of({user, item, 1, 1.0}), integer(1, 5)} end},
              {3, fun() -> {one_of({user, item}), small(), small()} end},
              {3, fun() -> {one_of({user, item}), {small(), small()}} end},
              {2, fun() -> [one_of({user, item}), small()] end},
              {1, fun() -> [one_of({user, item}), small() | small()] end},
              {1, fun() -> one_of({"ab", "abc", "b", <<"ab">>, <<"abc">>, <<"b">>, <<5:3>>}) end},
              {1, fun() -> one_of({#{}, #{a => 1}, #{a => 1.0}, #{a => 1, b => 2}, {#{a => 1}, 1}})
                  end},
              {1, fun() -> one_of({0.0, {'$', neg_zero}, {0.0}, {{'$', neg_zero}}}) end},
              {1, fun() -> {'$', one_of({pid, ref, magic, port, far_pid}), integer(1, 3)} end},
              {1, fun() -> integer(-1, 1) + (1 bsl one_of({53, 58, 59, 63, 64, 128})) end},
              {1, fun atom_like_variable/0}, {1, fun small/0}]).

values() ->
    weighted([{8, fun() -> [value(), value()] end}, {4, fun() -> [value() || _ <- "123"] end},
              {2, fun() -> Same = value(), [Same, Same] end},
              {1, fun() -> [value() || _ <- lists:seq(1, integer(2, 12))] end}]).

value() ->
    weighted([{12, fun small/0}, {3, fun a_map/0}, {3, fun() -> {small(), small()} end},
              {2, fun() -> {one_of({point, user}), small(), value()} end},
              {2, fun() -> list_of(fun small/0, 4) end}, {1, fun() -> [small() | small()] end},
              {2, fun() -> [value(), value()] end},
              {1, fun() -> #{a => a_map(), {1, 2} => small()} end},
              {1, fun() -> {'$', map, integer(30, 40), 1} end},
              {1, fun() -> {'$', text, integer(0, 400), integer(0, 7)} end},
              {1, fun() -> {'$', binary, integer(0, 100), integer(0, 7)} end},
              {1, fun() -> {'$', deep, integer(1, 300), integer(0, 3)} end},
              {1, fun atom_like_variable/0}, {3, fun xets_gen:term/0}]).

a_map() ->
    maps:from_list(list_of(fun() -> {one_of({a, b, c, 1, 1.0, "k", <<"k">>}), small()} end, 4)).

small() ->
    weighted([{10, fun() -> integer(-3, 3) end}, {2, fun() -> integer(-3, 3) / 1 end},
              {3, fun() -> one_of({a, b, true, false, [], {}, #{}, <<>>, <<"a">>, 0.5}) end},
              {1, fun() -> integer(-2, 2) + one_of({1 bsl 59, -(1 bsl 59), 1 bsl 64}) end}]).

%% Atoms that mean something in patterns.
atom_like_variable() ->
    one_of({'_', '$1', '$_', '$$', '$01', const}).

%%% Patterns

%% @doc A pattern that one of Objects is likely to match.
-spec pattern([term()]) -> term().
pattern(Objects) ->
    {Pattern, _} = head(one(Objects)),
    Pattern.

one(Objects) ->
    lists:nth(rand:uniform(length(Objects)), Objects).

%% A pattern, and what its variables stand for: [{Variable, Subterm}].
head({'$', object, Key, Values} = Object) ->
    weighted([{80, fun() ->
                           {KeyPattern, Bound} = key_pattern(Key),
                           {Patterns, Others} = each(fun part/1, Values),
                           {{'$', object, KeyPattern, Patterns}, Bound ++ Others}
                   end},
              {6, fun() -> {'_', []} end}, {6, fun() -> variable(Object) end},
              {2, fun() -> {Object, []} end},
              {1, fun() -> {{'$', object, Key, Values ++ ['_']}, []} end},
              {1, fun() -> {{'$', object, Key, lists:droplast(['_' | Values])}, []} end},
              {1, fun() -> {xets_gen:term(), []} end}]).

key_pattern(Key) ->
    weighted([{5, fun() -> {Key, []} end}, {6, fun() -> variable(Key) end},
              {2, fun() -> {'_', []} end}, {4, fun() -> beginning(Key) end},
              {3, fun() -> part(Key) end}]).

%% The first elements as they are, then anything.
beginning(Key) when is_tuple(Key), element(1, Key) =/= '$', tuple_size(Key) > 0 ->
    {Bound, Open} = lists:split(integer(0, tuple_size(Key) - 1), tuple_to_list(Key)),
    {Patterns, Variables} = each(fun part/1, Open),
    {list_to_tuple(Bound ++ Patterns), Variables};
beginning([Head | Tail]) ->
    {Pattern, Bound} = one_of({beginning(Tail), part(Tail)}),
    {[Head | Pattern], Bound};
beginning(Key) ->
    part(Key).

%% A pattern for a term.
part(Term) ->
    weighted([{4, fun() -> {Term, []} end}, {5, fun() -> variable(Term) end},
              {3, fun() -> {'_', []} end}, {6, fun() -> inner(Term) end},
              {1, fun() -> {similar(Term), []} end}]).

inner(Tuple) when is_tuple(Tuple), Tuple =/= {}, element(1, Tuple) =/= '$' ->
    {Patterns, Bound} = each(fun part/1, tuple_to_list(Tuple)),
    {list_to_tuple(Patterns), Bound};
inner([Head | Tail]) ->
    {HeadPattern, Bound} = part(Head),
    {TailPattern, Others} = part(Tail),
    {[HeadPattern | TailPattern], Bound ++ Others};
inner(Map) when is_map(Map) ->
    Entries = [Entry || Entry <- maps:to_list(Map), rand:uniform(3) > 1],
    {Patterns, Bound} = each(fun({Key, Value}) ->
                                     {Pattern, Variables} = part(Value),
                                     {{Key, Pattern}, Variables}
                             end, Entries),
    {maps:from_list(Patterns), Bound};
inner({'$', map, Size, Kind}) ->
    {{'$', map, integer(max(0, Size - 8), Size), Kind}, []};
inner(Term) ->
    variable(Term).

each(Fun, Terms) ->
    {Patterns, Bound} = lists:unzip([Fun(Term) || Term <- Terms]),
    {Patterns, lists:append(Bound)}.

%% Equal terms have the same variable, others seldom.
variable(Term) ->
    N = weighted([{12, fun() -> erlang:phash2(Term, 20) end}, {1, fun() -> integer(0, 3) end},
                  {1, fun() -> integer(100, 300) end}]),
    Variable = list_to_atom("$" ++ integer_to_list(N)),
    {Variable, [{Variable, Term}]}.

similar(Integer) when is_integer(Integer), abs(Integer) < 1 bsl 52 ->
    one_of({Integer + 1, Integer - 1, float(Integer), Integer});
similar(Float) when is_float(Float), abs(Float) < 1.0e9 ->
    one_of({trunc(Float), Float + 0.5, trunc(Float) + 1, Float});
similar([Head | Tail]) ->
    one_of({[Head | similar(Tail)], [similar(Head) | Tail], Tail, [Head]});
similar(Tuple) when is_tuple(Tuple), Tuple =/= {}, element(1, Tuple) =/= '$' ->
    I = integer(1, tuple_size(Tuple)),
    setelement(I, Tuple, similar(element(I, Tuple)));
similar(Map) when map_size(Map) > 0 ->
    {Key, Value} = one(maps:to_list(Map)),
    one_of({maps:remove(Key, Map), Map#{Key := similar(Value)}, Map#{d => 1}});
similar(Term) ->
    weighted([{3, fun() -> Term end}, {1, fun small/0}, {1, fun key/0}]).

%%% Match specifications

%% @doc A match specification that some of Objects are likely to match; in one of some twenty there
%% is something wrong.
-spec spec([term()]) -> [tuple()].
spec(Objects) ->
    weighted([{20, fun() -> clauses(Objects, fun body/2) end},
              {1, fun() -> wrong_spec(Objects) end}]).

%% @doc One for select_replace/2 (not of bags). Most keep the key.
-spec replacement([term()]) -> [tuple()].
replacement(Objects) ->
    clauses(Objects, fun replacing/2).

%% @doc One for update/3.
-spec update([term()]) -> [tuple()].
update(Objects) ->
    weighted([{6, fun() -> replacement(Objects) end}, {1, fun() -> spec(Objects) end}]).

clauses(Objects, Body) ->
    Count = weighted([{10, fun() -> 1 end}, {3, fun() -> 2 end}, {1, fun() -> integer(3, 6) end}]),
    [begin
         Object = one(Objects),
         {Head, Bound} = head(Object),
         {Head, key_guards(Head, Bound, Objects)
                ++ list_of(fun() -> guard(Bound) end, one_of({0, 1, 1, 2, 3})),
          without_skipped(Body({Head, Object}, Bound))}
     end || _ <- lists:seq(1, Count)].

body(_, Bound) ->
    weighted([{6, fun() -> ['$_'] end}, {3, fun() -> ['$$'] end}, {5, fun() -> [true] end},
              {2, fun() -> [guard(Bound)] end}, {6, fun() -> [expression(Bound, 3)] end},
              {2, fun() -> [expression(Bound, 1) || _ <- lists:seq(1, integer(2, 3))] end}]).

%% Where expressions may be skipped, each variable once.
without_skipped(Body) ->
    case length(Body) > 1 orelse lists:any(fun may_skip/1, Body) of
        true ->
            {Once, _} = lists:mapfoldl(fun once/2, [], Body),
            Once;
        false ->
            Body
    end.

may_skip({const, _}) -> false;
may_skip(Skip) when Skip =:= 'andalso'; Skip =:= 'orelse' -> true;
may_skip(Tuple) when is_tuple(Tuple) -> may_skip(tuple_to_list(Tuple));
may_skip([Head | Tail]) -> may_skip(Head) orelse may_skip(Tail);
may_skip(Map) when is_map(Map) -> may_skip(maps:values(Map));
may_skip(_) -> false.

%% The same, with '$_' for variables that occurred before. '$$' is all of them.
once({const, _} = Constant, Seen) ->
    {Constant, Seen};
once(Tuple, Seen) when is_tuple(Tuple) ->
    {List, Now} = once(tuple_to_list(Tuple), Seen),
    {list_to_tuple(List), Now};
once([Head | Tail], Seen) ->
    {NewHead, Now} = once(Head, Seen),
    {NewTail, Then} = once(Tail, Now),
    {[NewHead | NewTail], Then};
once(Map, Seen) when is_map(Map) ->
    {Entries, Now} = lists:mapfoldl(fun({Key, Value}, Before) ->
                                            {New, After} = once(Value, Before),
                                            {{Key, New}, After}
                                    end, Seen, maps:to_list(Map)),
    {maps:from_list(Entries), Now};
once(Atom, Seen) when is_atom(Atom) ->
    IsVariable = not is_bound(Atom) andalso not lists:member(Atom, ['_', '$_', '$']),
    case IsVariable andalso (lists:member(Atom, Seen) orelse lists:member('$$', Seen) orelse
                             (Atom =:= '$$' andalso Seen =/= [])) of
        true -> {'$_', Seen};
        false when IsVariable -> {Atom, [Atom | Seen]};
        false -> {Atom, Seen}
    end;
once(Term, Seen) ->
    {Term, Seen}.

replacing({{'$', object, Key, Patterns}, {'$', object, RealKey, Values}}, Bound) ->
    New = [expression(Bound, one_of({0, 1, 2})) || _ <- Values],
    IsPlain = not lists:member('_', [Key | Patterns]) andalso Key =/= '_',
    weighted([{6, fun() -> [{{'$', object, {element, {'$', keypos}, '$_'}, New}}] end},
              {6, fun() -> [{{'$', object, as_expression(Key), New}}] end},
              {4, fun() -> [{{'$', object, Key, New}}] end},
              {2, fun() -> [{const, {'$', object, RealKey, Values}}] end},
              {1, fun() -> [{const, {'$', object, Key, Values}}] end},
              {6, fun() -> ['$_'] end},
              {1, fun() -> case IsPlain of
                               true -> [{{'$', object, Key, Patterns}}];
                               false -> ['$_']
                           end
                  end},
              {1, fun() -> [{{'$', object, {const, RealKey}, New}}] end},
              {1, fun() -> [{{'$', object, {element, 1, '$_'}, New}}] end},
              {1, fun() -> body(any, Bound) end}]);
replacing(_, Bound) ->
    weighted([{6, fun() -> ['$_'] end}, {1, fun() -> body(any, Bound) end},
              {1, fun() -> [{{'$', object, {element, {'$', keypos}, '$_'},
                              [expression(Bound, 2), expression(Bound, 2)]}}] end}]).

%% A pattern as the expression whose value is what it matched.
as_expression(Tuple) when is_tuple(Tuple), Tuple =/= {}, element(1, Tuple) =/= '$' ->
    {list_to_tuple([as_expression(Pattern) || Pattern <- tuple_to_list(Tuple)])};
as_expression([Head | Tail]) -> [as_expression(Head) | as_expression(Tail)];
as_expression(Term) -> constant(Term).

%%% Guards

%% Sometimes such that compare the key, or a part of it, with those of objects.
key_guards({'$', object, Key, _}, Bound, Objects) ->
    InKey = [Variable || {Variable, _} <- Bound, occurs(Variable, Key)],
    case InKey =/= [] andalso rand:uniform(3) of
        1 ->
            Guards = [key_guard(Key, one(InKey), one(Objects)) || _ <- lists:seq(1, integer(1, 3))],
            one_of({Guards, Guards, [list_to_tuple(['andalso' | Guards])]});
        _ ->
            []
    end;
key_guards(_Head, _Bound, _Objects) ->
    [].

key_guard(Key, Variable, {'$', object, OtherKey, _}) ->
    Other = case Variable of
                Key -> OtherKey;
                _ -> one_of({small(), integer(1, 5)})
            end,
    Operator = one_of({'>', '>=', '<', '=<', '=:=', '=='}),
    one_of({{Operator, Variable, constant(Other)}, {Operator, constant(Other), Variable}}).

occurs(Term, Term) -> true;
occurs(Term, [Head | Tail]) -> occurs(Term, Head) orelse occurs(Term, Tail);
occurs(Term, Tuple) when is_tuple(Tuple) -> occurs(Term, tuple_to_list(Tuple));
occurs(_Term, _) -> false.

guard(Bound) ->
    guard(Bound, 2).

guard(Bound, Depth) ->
    Deeper = fun() -> guard(Bound, Depth - 1) end,
    weighted([{8, fun() -> comparison(Bound) end}, {4, fun() -> type_test(Bound) end},
              {2, fun() -> about_structure(Bound) end},
              {1, fun() -> one_of({true, true, false, a, 17, '$_', {const, true}, {const, {}}})
                  end},
              {1, fun() -> expression(Bound, 1) end}]
             ++ [{Weight, Guard}
                 || Depth > 0,
                    {Weight, Guard} <-
                        [{4, fun() -> {'andalso', Deeper(), Deeper()} end},
                         {1, fun() -> {'orelse', Deeper(), Deeper()} end},
                         {2, fun() -> list_to_tuple(
                                        [one_of({'andalso', 'orelse', 'and', 'or'})
                                         | [Deeper() || _ <- lists:seq(1, integer(1, 4))]])
                             end},
                         {1, fun() -> {one_of({'and', 'or', 'xor'}), Deeper(), Deeper()} end},
                         {2, fun() -> {'not', Deeper()} end}]]).

%% A variable with what it stands for, or something near.
comparison(Bound) ->
    {Left, Value} = subject(Bound),
    Right = weighted([{6, fun() -> constant(Value) end}, {3, fun() -> constant(similar(Value)) end},
                      {2, fun() -> element(1, subject(Bound)) end},
                      {1, fun() -> expression(Bound, 1) end}]),
    Operator = one_of({'=:=', '=:=', '==', '==', '>', '>=', '<', '=<', '=/=', '/='}),
    one_of({{Operator, Left, Right}, {Operator, Left, Right}, {Operator, Right, Left}}).

subject([]) ->
    {one_of({'$_', {element, integer(1, 3), '$_'}}), small()};
subject(Bound) ->
    {Variable, Value} = one(Bound),
    weighted([{12, fun() -> {Variable, Value} end},
              {1, fun() -> {{element, integer(1, 3), '$_'}, Value} end},
              {1, fun() -> {'$_', Value} end},
              {2, fun() when is_integer(Value), abs(Value) < 1 bsl 70 ->
                          By = integer(-3, 3),
                          one_of({{{'+', Variable, By}, Value + By},
                                  {{'-', Variable, By}, Value - By},
                                  {{'*', By, Variable}, Value * By},
                                  {{'-', Variable}, -Value},
                                  {{'rem', Variable, 3}, Value rem 3},
                                  {{'div', Variable, 2}, Value div 2},
                                  {{'band', Variable, 7}, Value band 7}});
                     () when is_tuple(Value), Value =/= {}, element(1, Value) =/= '$' ->
                          I = integer(1, tuple_size(Value)),
                          {{element, I, Variable}, element(I, Value)};
                     () when is_list(Value), Value =/= [] ->
                          {{hd, Variable}, hd(Value)};
                     () when is_map(Value), Value =/= #{} ->
                          {Key, Inner} = one(maps:to_list(Value)),
                          {{map_get, constant(Key), Variable}, Inner};
                     () ->
                          {Variable, Value}
                  end}]).

type_test(Bound) ->
    {Subject, Value} = subject(Bound),
    Test = one_of({is_atom, is_float, is_integer, is_list, is_number, is_pid, is_port, is_reference,
                   is_tuple, is_map, is_binary, is_function}),
    Right = type_test_of(Value),
    weighted([{9, fun() -> {Test, Subject} end}, {15, fun() -> {Right, Subject} end},
              {3, fun() -> {is_record, Subject, one_of({user, point}), integer(1, 4)} end},
              % That not all releases know.
              {1, fun() -> one_of({{is_boolean, Subject}, {is_bitstring, Subject},
                                   {is_function, Subject, 1}})
                  end}]).

type_test_of(V) when is_integer(V) -> is_integer;
type_test_of(V) when is_float(V) -> is_float;
type_test_of(V) when is_atom(V) -> is_atom;
type_test_of(V) when is_list(V) -> is_list;
type_test_of(V) when is_map(V) -> is_map;
type_test_of(V) when is_bitstring(V) -> is_binary;
type_test_of({'$', Kind, _, _}) when Kind =:= binary; Kind =:= text -> is_binary;
type_test_of({'$', pid, _}) -> is_pid;
type_test_of({'$', ref, _}) -> is_reference;
type_test_of(_) -> is_tuple.

about_structure(Bound) ->
    {Subject, Value} = subject(Bound),
    Key = fun() -> case Value of
                       #{} when Value =/= #{} -> constant(one(maps:keys(Value)));
                       _ -> one_of({a, 1, "k", {const, {1, 2}}, {{1, 2}}})
                   end
          end,
    Size = one_of({size, map_size, byte_size, bit_size, length}),
    weighted([{2, fun() -> {is_map_key, Key(), Subject} end},
              {2, fun() -> {'==', {map_get, Key(), Subject}, constant(small())} end},
              {3, fun() -> {one_of({'>', '==', '<'}), {Size, Subject}, integer(0, 4)} end},
              {1, fun() -> {one_of({'=:=', '=/='}), {one_of({hd, tl}), Subject}, constant(small())}
                  end},
              {1, fun() -> {'==', {binary_part, Subject, 0, 1}, <<"a">>} end},
              {1, fun() -> {'==', {element, integer(0, 3), Subject}, constant(small())} end}]).

%%% Expressions

expression(Bound, 0) ->
    weighted([{6, fun() -> element(1, subject(Bound)) end},
              {4, fun() -> constant(value()) end},
              {1, fun() -> one_of({'$_', '$$', {self}, {node}, {{}}, [], true}) end}]);
expression(Bound, Depth) ->
    Inner = fun() -> expression(Bound, Depth - 1) end,
    weighted([{6, fun() -> expression(Bound, 0) end},
              {3, fun() -> {list_to_tuple(list_of(Inner, 4))} end},
              {3, fun() -> list_of(Inner, 4) end},
              {1, fun() -> [Inner() | Inner()] end},
              {2, fun() -> maps:from_list(list_of(fun() -> {map_key(), Inner()} end, 3)) end},
              {5, fun() -> call(Bound, Inner) end},
              {1, fun() -> {guard(Bound, 1)} end},
              {1, fun() -> guard(Bound, 1) end}]).

map_key() -> one_of({a, b, 1, "k"}).

%% Many fail, most for want of the right kind of argument.
call(Bound, Inner) ->
    Subject = fun() -> element(1, subject(Bound)) end,
    Number = fun() -> one_of({Subject(), Subject(), small(), integer(-3, 3), 1.5, 0, 1 bsl 58}) end,
    weighted([{12, fun() -> {one_of({'+', '-', '*', '/', 'div', 'rem'}), Number(), Number()} end},
              {4, fun() -> {one_of({'band', 'bor', 'bxor'}), Number(), Number()} end},
              {2, fun() -> {one_of({'bsl', 'bsr'}), Number(), integer(-3, 70)} end},
              {2, fun() -> {one_of({'+', '-', 'bnot', abs, trunc, round, float}), Number()} end},
              {4, fun() -> {element, integer(0, 4), one_of({'$_', Subject(), {Inner()}})} end},
              {2, fun() -> {one_of({hd, tl, length}), Subject()} end},
              {2, fun() -> {one_of({size, map_size, byte_size, bit_size}), Subject()} end},
              {2, fun() -> {one_of({map_get, is_map_key}), map_key(), Subject()} end},
              {2, fun() -> {hd, Inner()} end},
              % That not all releases know.
              {1, fun() -> one_of({{max, Number(), 1}, {min, Number(), 1}, {tuple_size, Subject()},
                                   {floor, Number()}, {ceil, Number()}})
                  end}]).

%% A term as an expression that gives it.
constant(Atom) when is_atom(Atom) ->
    case atom_to_list(Atom) of
        [$$ | _] -> {const, Atom};
        _ -> one_of({Atom, Atom, {const, Atom}})
    end;
constant(Term) when is_tuple(Term), Term =/= {}, element(1, Term) =/= '$' ->
    one_of({{const, Term}, {list_to_tuple([constant(T) || T <- tuple_to_list(Term)])}});
constant(Term) when is_tuple(Term); is_map(Term) ->
    {const, Term};
constant([Head | Tail] = List) ->
    one_of({{const, List}, [constant(Head) | constant(Tail)]});
constant(Term) ->
    one_of({Term, Term, Term, {const, Term}}).

%%% What is wrong

%% @doc A match specification that was made wrong, but for the few ways of that which do no harm.
-spec wrong_spec([term()]) -> term().
wrong_spec(Objects) ->
    Spec = clauses(Objects, fun body/2),
    I = integer(1, length(Spec)),
    {Before, [{Head, Guards, Body} = Clause | After]} = lists:split(I - 1, Spec),
    In = fun(Wrong) -> Before ++ [Wrong | After] end,
    weighted([{1, fun() -> In(erlang:append_element(Clause, [])) end},
              {1, fun() -> In({Head, Guards}) end},
              {1, fun() -> In(one_of({[Head, Guards, Body], a, {}, Head})) end},
              {1, fun() -> In({Head, one_of({true, {}, [true | true], '_', #{}}), Body}) end},
              {1, fun() -> In({Head, Guards, one_of({[], true, '$_', [true | true], {}})}) end},
              {4, fun() -> In({wrong_head(), Guards, Body}) end},
              {6, fun() -> In({Head, Guards ++ [wrong_expression()], Body}) end},
              {6, fun() -> In({Head, Guards, Body ++ [wrong_expression()]}) end},
              {4, fun() -> In({Head, Guards ++ [within(wrong_expression())], Body}) end},
              {4, fun() -> In({Head, Guards, [within(wrong_expression()) | Body]}) end},
              {1, fun() -> Spec ++ one_of({a, '_', {Head, Guards, Body}}) end},
              {1, fun() -> one_of({[], [[]], [Spec], Clause, a, {}, <<>>, '_', 17, #{}}) end}]).

%% @doc A pattern with something wrong in it, or that matches no object.
-spec wrong_head() -> term().
wrong_head() ->
    one_of({[], ['$1'], 17, a, <<>>, #{}, "ab", 1.0, '$$', '$_', '$1000000000', '$x', {},
            {'$', object, '$1000000000', ['_']}, {'$', object, '$1', [wrong_map(), '_']},
            {'$', object, wrong_map(), ['$1', '_']}}).

wrong_map() ->
    one_of({#{'$1' => 1}, #{'_' => 1}, #{{'$1'} => 1}, #{a => #{'$1' => a}},
            '$99999999999999999999'}).

wrong_expression() ->
    one_of({'$77', '$_x', {foo}, {foo, 1}, {foo, '$_', 2}, {}, {1}, {1, 2}, {'$_'}, {"a", 1},
            {'+'}, {'+', 1, 2, 3}, {is_atom}, {is_atom, a, b}, {element, 1}, {const},
            {const, 1, 2}, {'not'}, {'not', true, false}, {'andalso'}, {'orelse'}, {'and'},
            {'and', true}, {self, 1}, {node, 1, 2}, {is_record, '$_'}, {is_record, '$_', 1, 2},
            {is_record, '$_', user}, {is_record, '$_', user, a}, {{}, {}}, {{a}, b},
            {message, a}, {caller}, {return_trace}, {set_tcw, 1}, {get_tcw}, {get_seq_token},
            {process_dump}, {exception_trace}, {silent, true}, {enable_trace, call},
            {trace, [], []}, {is_seq_trace}, {binary_part, '$_', 1}, {setelement, 1, '$_', a},
            {apply, a, b, c}, {'++', [], []}, {'=', 1, 1}, {'!', 1, 1}, #{a => '$77'}, ['$77'],
            ['$_' | '$77'], {{'$77'}}, '$1000000000', {'$1'}}).

within(Expression) ->
    one_of({{'andalso', false, Expression}, {'orelse', true, Expression}, {'==', Expression, 1},
            {'not', Expression}, [Expression], {{a, Expression}}, {element, Expression, '$_'},
            {'and', true, Expression}}).

%%% Hiding from the planner

%% @doc The same specification, made so that nothing about keys can be told from it: its guards are
%% behind an `orelse', and a key that is bound by the head is bound by such a guard instead. Of
%% resolved specifications that are valid.
-spec hidden([tuple()], KeyPos :: pos_integer()) -> [tuple()].
hidden(Spec, KeyPos) ->
    [begin
         {Hidden, KeyGuards} = hidden_key(Head, KeyPos, uses_all({Guards, Body})),
         {Hidden, KeyGuards ++ [{'orelse', false, Guard} || Guard <- Guards], Body}
     end || {Head, Guards, Body} <- Spec].

hidden_key(Head, KeyPos, false) when is_tuple(Head), tuple_size(Head) >= KeyPos ->
    Key = element(KeyPos, Head),
    case is_bound(Key) of
        true ->
            % A number that no variable has that is made here.
            {setelement(KeyPos, Head, '$21'),
             [{'orelse', false, {'=:=', '$21', {const, Key}}}]};
        false ->
            {Head, []}
    end;
hidden_key(Head, _KeyPos, _UsesAll) ->
    {Head, []}.

uses_all('$$') -> true;
uses_all({const, _}) -> false;
uses_all(Tuple) when is_tuple(Tuple) -> uses_all(tuple_to_list(Tuple));
uses_all([Head | Tail]) -> uses_all(Head) orelse uses_all(Tail);
uses_all(Map) when is_map(Map) -> uses_all(maps:values(Map));
uses_all(_) -> false.

%% Whether a pattern matches just what is equal to it. A map matches those with more keys; a zero
%% no zero with the other sign, although up to OTP 26 they are equal.
is_bound('_') -> false;
is_bound(Atom) when is_atom(Atom) -> hd(atom_to_list(Atom) ++ "x") =/= $$;
is_bound(Tuple) when is_tuple(Tuple) -> is_bound(tuple_to_list(Tuple));
is_bound([Head | Tail]) -> is_bound(Head) andalso is_bound(Tail);
is_bound(Zero) when is_float(Zero), Zero == 0 -> false;
is_bound(Term) -> not is_map(Term).
