%% Match specifications give the same on xets and on ets: random ones (xets_match_gen), on random
%% tables, at once and page by page, to read and to change; and what xets promises beyond ets.
%%
%% XETS_PROP_OPS is the number of operations, XETS_SEED the seed of all cases (xets_cases); replay/1
%% runs a case that was printed, replay/2 makes it again from its numbers.
-module(xets_match_tests).

-include_lib("eunit/include/eunit.hrl").

-export([replay/1, replay/2]).

-import(xets_gen, [drawn/1, integer/2, one_of/1, weighted/1, list_of/2]).
-import(xets_test_lib, [texts/3, small/2]).

-record(side, {module :: ets | xets, table :: ets:tab()}).

%%% The property

random_specifications_test_() ->
    {timeout, 3600, fun() -> cases([ets, xets], xets_cases:ops(small(15000, 1500))) end}.

%% The comparison itself: tables of ets that keep their objects in another order are found equal.
ets_equals_itself_test_() ->
    {timeout, 600, fun() -> cases([ets, other_ets], small(1500, 150)) end}.

cases(Sides, Ops) ->
    xets_cases:run(property(Sides), xets_cases:seed(), Ops).

property(Sides) ->
    #{module => ?MODULE,
      type => fun(I) ->
                      a_case(one_of({3, 10, 30, 30, 100}), element(1 + I rem 3, {20, 50, 200}))
              end,
      run => fun(Case, Env) -> run(Case, Sides, Env) end}.

%% @doc Runs what was printed for a case.
replay(Case) ->
    xets_cases:replay(property([ets, xets]), Case).

%% @doc Makes a case again from the numbers that were printed, and runs it.
replay(Seed, I) ->
    xets_cases:replay(property([ets, xets]), Seed, I).

%%% Cases
%%
%% {{KeyPos, Type, Options}, Contents, Ops}: a table, its first objects, and what is done:
%%
%%   {read, Function, Arg}                   Arg is a pattern or a specification
%%   {pages, Function, Arg, Limit, How}      page by page, to the end; How: what is done with each
%%                                           continuation before it is used
%%   {pages_changed, Function, Arg, Limit, Changes}   a change, {Function, Arg}, before each page
%%   {as_of, Function, Arg, Changes}         read from a snapshot, when there have been changes
%%   {change, Function, Arg}                 and the tables are compared, as by
%%   {update, Key, Spec}
%%   {hidden, Function, Spec}                planned and not planned, on xets
%%   {on_terms, Spec, Objects}               test_ms/2, match_spec_compile/1, match_spec_run/2
%%   {put, Objects}

a_case(Count, Length) ->
    Pool = xets_match_gen:objects(Count),
    Some = fun() -> some_of(Pool) end,
    {drawn(fun() -> {integer(1, 3), type(), options()} end),
     proper_types:resize(Count, proper_types:list(drawn(Some))),
     proper_types:resize(Length, proper_types:list(drawn(fun() -> op(Pool) end)))}.

%% Mostly an object; sometimes as many as are read on a dirty scheduler.
some_of(Pool) ->
    weighted([{300, fun() -> one(Pool) end},
              {1, fun() -> {'$', objects, integer(1, 100), integer(0, 3000), leaf} end}]).

some(Pool) ->
    list_of(fun() -> one(Pool) end, 10).

one(List) ->
    lists:nth(rand:uniform(length(List)), List).

type() ->
    one_of({set, ordered_set, ordered_set, bag, duplicate_bag}).

options() ->
    % From 26 on, ets ends the VM when it reads certain funs from a compressed table.
    case list_to_integer(erlang:system_info(otp_release)) < 26 of
        true -> one_of({[], [], [compressed]});
        false -> []
    end.

op(Pool) ->
    Reads = {match, match_object, select, select_reverse, select_count},
    Paged = {match, match_object, select, select_reverse},
    weighted([{30, fun() -> read(one_of(Reads), Pool) end},
              {12, fun() -> {_, Function, Arg} = read(one_of(Paged), Pool),
                            {pages, Function, Arg, limit(), how()}
                   end},
              {4, fun() -> {pages_changed, one_of({select, select_reverse}),
                            [{xets_match_gen:pattern(Pool), [], ['$_']}],
                            one_of({1, 2, 3, 5}), list_of(fun() -> a_change(Pool) end, 10)}
                  end},
              {3, fun() -> {_, Function, Arg} = read(one_of(Reads), Pool),
                           {as_of, Function, Arg, list_of(fun() -> a_change(Pool) end, 10)}
                  end},
              {6, fun() -> {hidden, one_of({select, select_reverse, select_count}),
                            xets_match_gen:spec(Pool)}
                  end},
              {2, fun() -> {on_terms, xets_match_gen:spec(Pool), some(Pool)} end},
              {8, fun() -> {put, some(Pool)} end},
              {2, fun() -> {change, match_delete, xets_match_gen:pattern(Pool)} end},
              {3, fun() -> {change, select_delete, xets_match_gen:spec(Pool)} end},
              {3, fun() -> {change, select_take, xets_match_gen:spec(Pool)} end},
              {4, fun() -> {'$', object, Key, _} = Object = one(Pool),
                           {update, Key, xets_match_gen:update(one_of({[Object], Pool}))}
                  end},
              {6, fun() -> {change, select_replace, xets_match_gen:replacement(Pool)} end}]).

read(Function, Pool) when Function =:= match; Function =:= match_object ->
    {read, Function, weighted([{20, fun() -> xets_match_gen:pattern(Pool) end},
                               {1, fun xets_match_gen:wrong_head/0}])};
read(Function, Pool) ->
    {read, Function, xets_match_gen:spec(Pool)}.

limit() ->
    weighted([{40, fun() -> one_of({1, 2, 3, 5, 1000, 1 bsl 40}) end},
              {1, fun() -> one_of({0, -1, a, 1.0, 1 bsl 70, {}}) end}]).

how() ->
    one_of({as_it_is, as_it_is, as_it_is, by_another_function, as_binary}).

a_change(Pool) ->
    {'$', object, Key, _} = Object = one(Pool),
    one_of({{insert, Object}, {insert, Object}, {delete, Key}}).

%%% Running a case

run({{KeyPos, Type, Options}, Contents, Ops}, Sides, Env) ->
    CaseEnv = xets_gen:case_env(Env, maps:get(pid, Env), KeyPos, []),
    Tables = [new(Side, [Type, public, {keypos, KeyPos} | Options]) || Side <- Sides],
    ops([{put, Contents} | Ops], Tables, CaseEnv).

%% With 3,000 objects before, which are deleted, a table of ets has other slots.
new(other_ets, Options) ->
    #side{table = Table} = Side = new(ets, [{write_concurrency, true} | Options]),
    KeyPos = ets:info(Table, keypos),
    true = ets:insert(Table, [erlang:make_tuple(3, I) || I <- lists:seq(1, 3000)]),
    true = lists:all(fun(I) -> ets:delete(Table, element(KeyPos, {I, I, I})) end,
                     lists:seq(1, 3000)),
    Side;
new(Module, Options) ->
    #side{module = Module, table = Module:new(table, Options)}.

ops([Op | Ops], Sides, Env) ->
    xets_cases:begins(Op),
    case op(xets_gen:resolve(Op, Env), Sides) of
        same -> ops(Ops, Sides, Env);
        {differ, What} -> {differ, Op, What}
    end;
ops([], _Sides, _Env) ->
    same.

op({put, Objects}, Sides) ->
    [true = Module:insert(Table, Object)
     || #side{module = Module, table = Table} <- Sides, Object <- lists:flatten(Objects)],
    same;
op({read, Function, Arg}, Sides) ->
    compare(fun(Side) -> result(Function, call(Side, Function, [Arg]), Side) end, Sides);
op({pages, Function, Arg, Limit, How}, Sides) ->
    compare(fun(Side) -> paged(Function, Arg, Limit, How, Side) end, Sides);
op({pages_changed, Function, Spec, Limit, Changes}, Sides) ->
    paged_with_changes(Function, Spec, Limit, Changes, Sides);
op({as_of, Function, Arg, Changes}, Sides) ->
    compare(fun(Side) -> as_of(Function, Arg, Changes, Side) end, Sides);
op({change, Function, Arg}, Sides) ->
    compare(fun(Side) -> {result(Function, call(Side, Function, [Arg]), Side), contents(Side)} end,
            Sides);
op({update, Key, Spec}, Sides) ->
    compare(fun(Side) -> {call(Side, update, [Key, Spec]), contents(Side)} end, Sides);
op({hidden, Function, Spec}, [_, #side{module = Module, table = Table} = Side]) ->
    case call(Side, Function, [Spec]) of
        {value, _} = Planned ->
            Hidden = xets_match_gen:hidden(Spec, Module:info(Table, keypos)),
            differ_or_same(planned, result(Function, Planned, Side),
                           hidden, result(Function, call(Side, Function, [Hidden]), Side));
        _ ->
            same
    end;
op({on_terms, Spec, Objects}, Sides) ->
    compare(fun(Side) -> on_terms(Spec, Objects, Side) end, Sides).

compare(Fun, [#side{module = A} = SideA, #side{module = B} = SideB]) ->
    differ_or_same(A, Fun(SideA), B, Fun(SideB)).

differ_or_same(A, Outcome, B, Other) ->
    case term_to_binary(Outcome) =:= term_to_binary(Other) of
        true -> same;
        false -> {differ, [{A, Outcome}, {B, Other}]}
    end.

%%% Calls

outcome(Fun) ->
    try {value, Fun()}
    catch Class:Reason:Stack -> {Class, Reason, Stack}
    end.

call(#side{module = Module, table = Table}, Function, Args) ->
    outcome(Module, Function, [Table | Args]).

%% A badarg of xets names the call, and says which argument is wrong.
outcome(Module, Function, Args) ->
    case outcome(fun() -> do(Module, Function, Args) end) of
        {value, _} = Value ->
            Value;
        {error, badarg, Stack} when Module =:= xets ->
            [{xets, Function, Args, Info} | _] = Stack,
            #{module := xets} = proplists:get_value(error_info, Info),
            case map_size(xets:format_error(badarg, Stack)) of
                0 -> {error, badarg, not_explained, Function, Args};
                _ -> {error, badarg}
            end;
        {Class, Reason, _} ->
            {Class, Reason}
    end.

do(ets, Function, Args) -> xets_model:call(Function, Args);
do(xets, Function, Args) -> apply(xets, Function, Args).

%% Without what is different by nature: the order, but that of an ordered_set.
result(_Function, {value, Found}, Side) when is_list(Found) -> {value, in_order(Found, Side)};
result(_Function, Outcome, _Side) -> Outcome.

in_order(Terms, #side{module = Module, table = Table}) ->
    case Module:info(Table, type) of
        ordered_set -> Terms;
        _ -> counts(Terms)
    end.

%% How many there are of each. As binaries, terms are kept apart that are equal by `==', or but
%% for the sign of a zero.
counts(Terms) ->
    lists:foldl(fun(Term, Counts) ->
                        maps:update_with(term_to_binary(Term), fun(N) -> N + 1 end, 1, Counts)
                end, #{}, Terms).

contents(#side{module = Module, table = Table} = Side) ->
    Objects = Module:tab2list(Table),
    Module:info(Table, size) =:= length(Objects) orelse
        erlang:error({size, Module:info(Table, size), length(Objects)}),
    {in_order(Objects, Side), groups(Objects, Side)}.

%% Of a bag the objects of each key, in order.
groups(Objects, #side{module = Module, table = Table}) ->
    case lists:member(Module:info(Table, type), [bag, duplicate_bag]) of
        true ->
            Keys = [element(Module:info(Table, keypos), Object) || Object <- Objects],
            maps:from_list([{term_to_binary(Key), Module:lookup(Table, Key)} || Key <- Keys]);
        false ->
            #{}
    end.

%%% Pages

paged(Function, Arg, Limit, How, #side{module = Module} = Side) ->
    case call(Side, Function, [Arg, Limit]) of
        {value, First} ->
            Next = fun(Continuation) -> next(Module, Function, Continuation, Arg, How) end,
            Pages = pages(First, Next),
            {pages, lengths(Pages, Limit, Arg, Side), in_order(lists:append(Pages), Side)};
        Error ->
            Error
    end.

%% With an empty page where the end was not known before it was reached.
pages('$end_of_table', _Next) ->
    [[]];
pages({Page, '$end_of_table'}, _Next) ->
    [Page];
pages({Page, Continuation}, Next) ->
    [Page | pages(Next(Continuation), Next)].

%% All have Limit but the last. Where the end is known depends on the order, and on how it was found
%% out which keys to look at.
lengths(Pages, Limit, Arg, #side{module = Module, table = Table}) ->
    Lengths = [length(Page) || Page <- Pages],
    Last = lists:last(Lengths),
    true = Last >= 0 andalso Last =< Limit,
    true = lists:all(fun(Length) -> Length =:= Limit end, lists:droplast(Lengths)),
    case Module:info(Table, type) of
        ordered_set when is_tuple(Arg); length(Arg) =:= 1 -> Lengths;
        _ -> depends
    end.

next(Module, Function, Continuation, _Arg, as_it_is) ->
    Module:Function(Continuation);
next(Module, Function, Continuation, _Arg, by_another_function) ->
    Other = case Function of
                match -> select;
                match_object -> match;
                select -> select_reverse;
                select_reverse -> match_object
            end,
    Module:Other(Continuation);
next(Module, Function, Continuation, Arg, as_binary) ->
    Spec = case Function of
               match -> [{Arg, [], ['$$']}];
               match_object -> [{Arg, [], ['$_']}];
               _ -> Arg
           end,
    Read = binary_to_term(term_to_binary(Continuation)),
    Module:Function(Module:repair_continuation(Read, Spec)).

%% What is there throughout is found once, in an ordered_set in order; and nothing else but what was
%% inserted, or is deleted.
paged_with_changes(Function, Spec, Limit, Changes, [#side{table = Table} = Ets, Side]) ->
    KeyPos = ets:info(Table, keypos),
    Touched = [case Change of
                   {insert, Object} -> element(KeyPos, Object);
                   {delete, Key} -> Key
               end || Change <- Changes],
    Untouched = fun(Found) ->
                        in_order([Object || Object <- Found,
                                            is_untouched(element(KeyPos, Object), Touched)], Ets)
                end,
    {value, AtOnce} = call(Ets, Function, [Spec]),
    [_, Found] = [lists:append(changed_pages(Function, Spec, Limit, Changes, S))
                  || S <- [Ets, Side]],
    differ_or_same(at_once, Untouched(AtOnce), pages, Untouched(Found)).

%% Whether it is none of them by `==': of the keys in an ordered_set and others.
is_untouched(Key, Touched) ->
    not lists:any(fun(Other) -> Other == Key end, Touched).

changed_pages(Function, Spec, Limit, Changes, #side{module = Module, table = Table} = Side) ->
    put(changes, Changes),
    {value, First} = call(Side, Function, [Spec, Limit]),
    Found = pages(First, fun(Continuation) ->
                                 next_change(Module, Table),
                                 Module:Function(Continuation)
                         end),
    [next_change(Module, Table) || _ <- get(changes)],
    Found.

next_change(Module, Table) ->
    case get(changes) of
        [{Function, Arg} | Changes] ->
            put(changes, Changes),
            true = Module:Function(Table, Arg);
        [] ->
            none
    end.

%%% Snapshots

%% With ets, what was read before the changes.
as_of(Function, Arg, Changes, #side{module = ets, table = Table} = Side) ->
    Result = result(Function, call(Side, Function, [Arg]), Side),
    [true = ets:Change(Table, Of) || {Change, Of} <- Changes],
    {Result, contents(Side)};
as_of(Function, Arg, Changes, #side{module = xets, table = Table} = Side) ->
    Snapshot = Side#side{table = xets:snapshot(Table)},
    [true = xets:Change(Table, Of) || {Change, Of} <- Changes],
    Result = result(Function, call(Snapshot, Function, [Arg]), Snapshot),
    true = xets:delete(Snapshot#side.table),
    {Result, contents(Side)}.

%%% Without a table

on_terms(Spec, Objects, #side{module = Module}) ->
    Tested = [Module:test_ms(Object, Spec) || Object <- Objects],
    case outcome(Module, match_spec_compile, [Spec]) of
        {value, Compiled} ->
            {Tested, Module:is_compiled_ms(Compiled), Module:match_spec_run(Objects, Compiled)};
        Error ->
            {Tested, Error}
    end.
