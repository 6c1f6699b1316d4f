%% Random match specifications and objects for xets_match_engine_tests. Specifications are made of
%% objects, so that most match; they have only what ets takes, and no keys of maps that are computed
%% in expressions, at which the emulator ends. All is drawn from the process's rand state.
-module(xets_match_engine_gen).

-export([specification/1, object/0, mutated/1, one_of/1]).

specification(Objects) ->
    [clause(one_of(Objects)) || _ <- lists:seq(1, one_of([1, 1, 1, 2, 3]))].

clause(Object) ->
    put(vars, []),
    Head = head(Object),
    Vars = get(vars),
    {Head, [expression(Vars, 3) || _ <- lists:seq(1, one_of([0, 0, 0, 1, 1, 2]))],
     [body(Vars) || _ <- lists:seq(1, one_of([1, 1, 1, 2]))]}.

%% A pattern made of an object, so that it mostly matches.
head(Object) ->
    case rand:uniform(12) of
        1 -> '_';
        2 -> variable(Object);
        3 -> pattern(object(), 3);
        _ -> list_to_tuple([pattern(E, 3) || E <- tuple_to_list(Object)])
    end.

pattern(Term, 0) -> leaf_pattern(Term);
pattern(Term, Depth) ->
    case rand:uniform(5) of
        1 -> '_';
        2 -> leaf_pattern(Term);
        3 -> Term;
        _ -> inner_pattern(Term, Depth - 1)
    end.

inner_pattern(T, Depth) when is_tuple(T) ->
    list_to_tuple([pattern(E, Depth) || E <- tuple_to_list(T)]);
inner_pattern([H | T], Depth) ->
    [pattern(H, Depth) | case rand:uniform(3) of
                             1 -> pattern(T, Depth);
                             _ when is_list(T), T =/= [] -> inner_pattern(T, Depth);
                             _ -> T
                         end];
inner_pattern(T, Depth) when is_map(T) ->
    maps:map(fun(_, V) -> pattern(V, Depth) end,
             maps:filter(fun(_, _) -> rand:uniform(2) =:= 1 end, T));
inner_pattern(T, _) -> leaf_pattern(T).

leaf_pattern(Term) ->
    case rand:uniform(4) of
        1 -> '_';
        2 -> Term;
        _ -> variable(Term)
    end.

%% A variable that has been bound to the same term, or another.
variable(Term) ->
    Vars = get(vars),
    case [V || {V, T} <- Vars, T =:= Term] of
        [V | _] -> case rand:uniform(3) of
                       1 -> fresh(Term, Vars);
                       _ -> V
                   end;
        [] -> fresh(Term, Vars)
    end.

fresh(Term, Vars) ->
    V = one_of(['$0', '$1', '$2', '$3', '$4', '$5', '$7', '$17', '$300']),
    case lists:keymember(V, 1, Vars) of
        true when Vars =/= [] -> case rand:uniform(6) of
                                     1 -> V;
                                     _ -> '_'
                                 end;
        _ -> put(vars, [{V, Term} | Vars]), V
    end.

body(Vars) ->
    case rand:uniform(4) of
        1 -> one_of(['$_', true, '$$']);
        _ -> expression(Vars, 3)
    end.

expression(Vars, 0) -> leaf(Vars);
expression(Vars, Depth) ->
    D = Depth - 1,
    case rand:uniform(14) of
        N when N =< 3 -> leaf(Vars);
        N when N =< 7 -> comparison(Vars, D);
        8 -> {one_of([is_atom, is_float, is_integer, is_list, is_number, is_pid, is_port,
                      is_reference, is_tuple, is_map, is_binary, is_function]),
              expression(Vars, D)};
        9 -> list_to_tuple([one_of(['and', 'or', 'andalso', 'orelse']) |
                            [expression(Vars, D) || _ <- lists:seq(1, rand:uniform(3))]]);
        10 -> {one_of(['+', '-', '*', '/', 'div', 'rem', 'band', 'bor', 'bxor', 'bsl', 'bsr']),
               number(Vars, D), number(Vars, D)};
        11 -> {one_of(['+', '-', abs, round, trunc, float, 'bnot', 'not']), number(Vars, D)};
        12 -> {one_of([hd, tl, length, size, byte_size, bit_size, map_size]), leaf(Vars)};
        13 -> access(Vars, D);
        14 -> constructor(Vars, D)
    end.

comparison(Vars, D) ->
    {one_of(['>', '>=', '<', '=<', '==', '/=', '=:=', '=/=']), expression(Vars, D), like(Vars)}.

%% What a variable is, or something near it.
like([]) -> {const, term(1)};
like(Vars) ->
    {V, T} = one_of(Vars),
    case {rand:uniform(4), T} of
        {1, _} -> V;
        {2, _} when is_integer(T) -> T + rand:uniform(3) - 2;
        {3, _} when is_integer(T), abs(T) < 1 bsl 60 -> float(T);
        _ -> {const, T}
    end.

number(Vars, D) ->
    case rand:uniform(3) of
        1 -> one_of([0, 1, -1, 3, 60, 2.5, 0.0, (1 bsl 59) - 1, 1 bsl 62]);
        _ -> expression(Vars, D)
    end.

access(Vars, D) ->
    case rand:uniform(5) of
        1 -> {element, rand:uniform(3), leaf(Vars)};
        2 -> {element, expression(Vars, D), '$_'};
        3 -> {one_of([map_get, is_map_key]), {const, map_key()}, leaf(Vars)};
        4 -> {is_record, leaf(Vars), a, rand:uniform(3)};
        5 -> {'xor', expression(Vars, D), expression(Vars, D)}
    end.

constructor(Vars, D) ->
    Parts = [expression(Vars, D) || _ <- lists:seq(1, rand:uniform(3))],
    case rand:uniform(4) of
        1 -> {list_to_tuple(Parts)};
        2 -> Parts;
        3 -> Parts ++ leaf(Vars);
        4 -> maps:from_list([{plain_key(), P} || P <- Parts])
    end.

leaf(Vars) ->
    case rand:uniform(6) of
        N when N =< 3, Vars =/= [] -> element(1, one_of(Vars));
        4 -> one_of(['$_', '$$', true, false, {self}]);
        5 -> {const, term(2)};
        _ -> one_of([a, true, false, 1, 3, 2.0, <<"b">>, []])
    end.

object() -> list_to_tuple([term(3) || _ <- lists:seq(1, one_of([1, 2, 2, 2, 3, 3, 17]))]).

term(0) -> atomic();
term(Depth) ->
    case rand:uniform(9) of
        1 -> list_to_tuple([term(Depth - 1) || _ <- lists:seq(1, rand:uniform(4) - 1)]);
        2 -> [term(Depth - 1) || _ <- lists:seq(1, rand:uniform(4) - 1)];
        3 -> [term(Depth - 1) || _ <- lists:seq(1, rand:uniform(2))] ++ atomic();
        4 -> maps:from_list([{map_key(), term(Depth - 1)} ||
                                _ <- lists:seq(1, rand:uniform(4) - 1)]);
        _ -> atomic()
    end.

map_key() -> one_of([a, b, 1, 1.0, <<"k">>, {a, 1}, [a]]).
plain_key() -> one_of([a, b, 1, 1.0, <<"k">>]).

atomic() ->
    case rand:uniform(14) of
        N when N =< 4 -> rand:uniform(5) - 3;
        5 -> one_of([a, b, true, false, '', 'a b']);
        6 -> one_of([0.0, -0.0, 1.0, -1.5, 2.0, 1.0e300, 1.0e18]);
        7 -> one_of([(1 bsl 59) - 1, -(1 bsl 59), 1 bsl 59, 1 bsl 64, -(1 bsl 100), 1 bsl 53 + 1]);
        8 -> one_of([<<>>, <<"a">>, <<"ab">>, <<1:3>>, <<255, 3:7>>]);
        9 -> one_of([binary:copy(<<"x">>, 100), binary:copy(<<"y">>, 5000),
                     <<(binary:copy(<<"x">>, 100))/binary, 1:1>>]);
        10 -> one_of([self(), [], {}, #{}]);
        11 -> one_of([fun lists:map/2, fun erlang:self/0]);
        12 -> one_of(ports_and_references());
        _ -> one_of([x, y, 1000, 70000, 1 bsl 40, -(1 bsl 56)])
    end.

ports_and_references() ->
    case persistent_term:get(?MODULE, undefined) of
        undefined ->
            Terms = [hd(erlang:ports()), make_ref(), make_ref(),
                     binary_to_term(<<131, 88, 119, 3, "x@y", 1:32, 2:32, 3:32>>)],
            persistent_term:put(?MODULE, Terms),
            Terms;
        Terms -> Terms
    end.

one_of(List) -> lists:nth(rand:uniform(length(List)), List).

%%% Mutants: any terms, most of them close to specifications

mutated(Term) ->
    case rand:uniform(5) of
        1 -> mutated(mutate(Term));
        _ -> mutate(Term)
    end.

mutate([_ | _] = List) ->
    case rand:uniform(8) of
        1 -> one_of([tl(List), lists:droplast(to_proper(List)), hd(List), to_proper(List) ++ x,
                     [List]]);
        2 -> [odd() | List];
        _ -> {H, T} = {hd(List), tl(List)},
             case rand:uniform(2) of
                 1 -> [mutate(H) | T];
                 2 -> [H | mutate(T)]
             end
    end;
mutate(Tuple) when tuple_size(Tuple) > 0 ->
    I = rand:uniform(tuple_size(Tuple)),
    case rand:uniform(8) of
        1 -> erlang:delete_element(I, Tuple);
        2 -> erlang:insert_element(I, Tuple, odd());
        _ -> setelement(I, Tuple, mutate(element(I, Tuple)))
    end;
mutate(Map) when map_size(Map) > 0 ->
    Key = one_of(maps:keys(Map)),
    case rand:uniform(3) of
        1 -> Map#{odd() => a};
        _ -> Map#{Key := mutate(maps:get(Key, Map))}
    end;
mutate(_) -> odd().

to_proper([H | T]) -> [H | to_proper(T)];
to_proper(_) -> [].

odd() ->
    case rand:uniform(3) of
        1 -> term(2);
        2 -> one_of(['_', '$_', '$$', '$1', '$2', '$01', '$99', '$999999999999', '$', '$a', true,
                     const,
                     self, 'and', 'andalso', is_record, element, '+', hd, '=:=', size, node,
                     is_seq_trace, message, get_tcw, binary_part, 'Ω']);
        3 -> one_of([{}, {{}}, {const, '$1'}, {const, {a}}, {const}, {self}, {node}, {node, '$1'},
                     {message, true}, {is_seq_trace}, {'$1'}, {tuple_size, '$1'}, {hd}, {'and'},
                     {'andalso'}, {element, 1}, {is_record, '$1', a}, {{{a, b}}}, {{'$1', {a}}},
                     #{'$1' => a}, #{'_' => a}, #{{a} => '$1'}, #{a => '$1'}, [a | '$1']])
    end.
