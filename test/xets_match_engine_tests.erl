%% The engine for match specifications (c_src/beam/match.h) beside ets: each construct by itself, and
%% random specifications on random objects that are biased to match.
%%
%% `make fuzz` runs the random part for FUZZ_SECONDS, from a seed that it prints; XETS_TEST_SEED
%% gives one.
-module(xets_match_engine_tests).

-export([run/1, specification/0, object/0]).

-include_lib("eunit/include/eunit.hrl").

-define(FORMS, [{Kind, KeyPos, Compressed} || Kind <- [set, bag, ordered_set], KeyPos <- [1, 2],
                                              Compressed <- [false, true]]).

%%% Random specifications

random_test_() ->
    {timeout, 120,
     fun() ->
             Cases = xets_test_lib:small(4000, 1000),
             {Native, Hits} = cases(1, 1, fun(I) -> I =< Cases end, {0, 0}),
             %% That most of it is about the engine, and about what matches.
             ?assert(Native > Cases div 2),
             ?assert(Hits > Cases div 4)
     end}.

%% Runs so many seconds. Returns if nothing was found.
run(Seconds) ->
    Seed = case os:getenv("XETS_TEST_SEED") of
               false -> rand:uniform(1 bsl 32);
               Given -> list_to_integer(Given)
           end,
    io:format("matching: XETS_TEST_SEED=~b~n", [Seed]),
    End = erlang:monotonic_time(second) + Seconds,
    {Native, Hits} = cases(Seed, 1, fun(_) -> erlang:monotonic_time(second) < End end, {0, 0}),
    io:format("matching: ~b specifications, ~b objects matched~n", [Native, Hits]).

cases(Seed, I, More, {Native, Hits} = Sums) ->
    case More(I) of
        true ->
            {N, H} = a_case(Seed, I),
            cases(Seed, I + 1, More, {Native + N, Hits + H});
        false -> Sums
    end.

%% A case is known by the two numbers.
a_case(Seed, I) ->
    rand:seed(exsss, {Seed, I, 5}),
    Objects = [object() || _ <- lists:seq(1, 4)],
    Spec = specification(Objects),
    Form = one_of(?FORMS),
    try agree(Spec, Objects, Form)
    catch Class:Reason:Stack ->
            io:format(standard_error, "case {~b, ~b}: ~p~n~p~n~p~n",
                      [Seed, I, Form, Spec, Objects]),
            erlang:raise(Class, Reason, Stack)
    end.

%% The engine answers what ets answers, or nothing. {1 if the specification is accepted, objects
%% that match}
agree(Spec, Objects, {_, KeyPos, _} = Form) ->
    Fit = [O || O <- Objects, tuple_size(O) >= KeyPos],
    case xets_match_nif:run(Spec, Fit, Form, result, infinity) of
        rejected -> {0, 0};
        Outcomes ->
            Compiled = ets:match_spec_compile(Spec),
            Expected = [by_ets(O, Compiled) || O <- Fit],
            Known = [{E, O} || {E, O} <- lists:zip(Expected, Outcomes), O =/= other],
            [?assertEqual(exactly(E), exactly(O)) || {E, O} <- Known],
            Counted = xets_match_nif:run(Spec, Fit, Form, true, infinity),
            [?assertEqual(counted(E), C) || {E, C} <- lists:zip(Expected, Counted), C =/= other],
            {1, length([E || {{yes, _} = E, _} <- Known])}
    end.

by_ets(Object, Compiled) ->
    case ets:match_spec_run([Object], Compiled) of
        [] -> no;
        [Result] -> {yes, Result}
    end.

counted({yes, true}) -> yes;
counted(_) -> no.

%% Signs of zeros included, which =:= may not see.
exactly(Outcome) -> {Outcome, term_to_binary(Outcome)}.

%%% Generators

specification() -> specification([object() || _ <- lists:seq(1, 3)]).

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
