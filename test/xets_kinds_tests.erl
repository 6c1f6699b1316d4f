%% All kinds of terms as keys and values of all types of tables, through the calls of xets; deep
%% and huge terms; large binaries, which are shared, and whose memory comes back.
-module(xets_kinds_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [eventually/1]).

-import(xets_terms, [samples/0, nests/0, rebuild/2, negative_zero/0, bytes/1]).
-import(xets_term_tests, [same/2]).

%% Types and options by which terms are stored or compared in different ways.
tables() ->
    [[Type | Options] || Type <- [set, ordered_set, bag, duplicate_bag],
                        Options <- [[], [compressed]]].

%%% Each kind

kinds_test_() ->
    [{lists:concat([Name, ", ", Role]), fun() -> [Test(T, Options) || Options <- tables()] end}
     || {Name, T} <- samples() ++ more_samples(),
        {Role, Test} <- [{"key", fun as_key/2}, {"value", fun as_value/2}]].

more_samples() ->
    [{"alias", alias([explicit_unalias])},
     {"list of 256 references", [make_ref() || _ <- lists:seq(1, 256)]},
     {"all kinds at once", [T || {_, T} <- samples()]}].

%% Found by an equal key that lies elsewhere in memory, by this and by another process.
as_key(Key, Options) ->
    Table = xets:new(table, [public | Options]),
    Object = {Key, value, 1},
    Copy = rebuild(Key, 1),
    true = xets:insert(Table, Object),
    ?assertNot(xets:insert_new(Table, {Copy, other})),
    ?assert(xets:member(Table, Copy)),
    ?assertNot(xets:member(Table, [Key, different])),
    same([Object], xets:lookup(Table, Copy)),
    same([Object], elsewhere(fun() -> xets:lookup(Table, Copy) end)),
    same([Object], xets:tab2list(Table)),
    same(Key, xets:first(Table)),
    ?assertEqual('$end_of_table', xets:next(Table, Copy)),
    same([Object], xets:take(Table, Copy)),
    ?assertEqual([], xets:lookup(Table, Key)),
    true = xets:insert(Table, Object),
    true = xets:delete(Table, Copy),
    ?assertEqual(0, xets:info(Table, size)),
    xets:delete(Table).

as_value(Value, Options) ->
    Table = xets:new(table, [public | Options]),
    Object = {k, Value, [Value], 1},
    Copy = rebuild(Object, 2),
    true = xets:insert(Table, Object),
    same([Object], xets:lookup(Table, k)),
    same([Object], elsewhere(fun() -> xets:lookup(Table, k) end)),
    same(one(Value, Options), xets:lookup_element(Table, k, 2)),
    same(one([Value], Options), xets:lookup_element(Table, k, 3)),
    true = xets:delete_object(Table, setelement(4, Object, 2)),
    ?assertEqual(1, xets:info(Table, size)),
    true = xets:delete_object(Table, Copy),
    ?assertEqual(0, xets:info(Table, size)),
    true = xets:insert(Table, [{k, Value}, {l, Value}, {k, Value}]),
    same(case hd(Options) of
             duplicate_bag -> [{k, Value}, {k, Value}];
             _ -> [{k, Value}]
         end, xets:take(Table, k)),
    ?assertEqual(1, xets:info(Table, size)),
    xets:delete(Table).

one(Element, [Type | _]) when Type =:= set; Type =:= ordered_set -> Element;
one(Element, _) -> [Element].

%% In a set: elements replaced by the term, and beside it.
updated_test_() ->
    [{Name, fun() -> [updated(T, [Type | Options])
                      || Type <- [set, ordered_set], Options <- [[], [compressed]]] end}
     || {Name, T} <- samples() ++ more_samples()].

updated(Value, Options) ->
    Table = xets:new(table, Options),
    true = xets:insert(Table, {k, 0, a, Value}),
    ?assertEqual(7, xets:update_counter(Table, k, 7)),
    same([{k, 7, a, Value}], xets:lookup(Table, k)),
    true = xets:update_element(Table, k, {3, Value}),
    same([{k, 7, Value, Value}], xets:lookup(Table, k)),
    true = xets:update_element(Table, k, [{4, b}, {2, 1 bsl 70}]),
    same([{k, 1 bsl 70, Value, b}], xets:lookup(Table, k)),
    same({Value, k, b}, xets:lookup_elements(Table, k, {3, 1, 4})),
    xets:delete(Table).

%% As the running release compares zeros. Which zero is found is the one that was stored.
zeros_test_() ->
    [{lists:concat([Type]), fun() -> [zeros(Type, F) || F <- in_terms()] end}
     || Type <- [set, ordered_set, bag, duplicate_bag]].

in_terms() ->
    [fun(Z) -> Z end, fun(Z) -> {a, [Z]} end, fun(Z) -> #{Z => Z} end,
     fun(Z) -> {bytes(5000), Z} end].

zeros(Type, F) ->
    [Expected, Found] =
        [begin
             Table = Module:new(table, [Type]),
             Zeros = [F(0.0), F(negative_zero())],
             [true = Module:insert(Table, {Key, Value}) || Key <- Zeros, Value <- Zeros],
             Result = [[lists:sort(fun by_bytes/2, Module:lookup(Table, Z)) || Z <- Zeros],
                       [Module:member(Table, Z) || Z <- Zeros], Module:info(Table, size)],
             Module:delete_object(Table, {F(0.0), F(negative_zero())}),
             Size = Module:info(Table, size),
             Module:delete(Table),
             [Size | Result]
         end || Module <- [ets, xets]],
    same(Expected, Found).

by_bytes(A, B) ->
    term_to_binary(A) =< term_to_binary(B).

%%% Depth and size

%% Shallow ones are handled on a normal scheduler, deep ones on a dirty one. Nothing of it takes
%% C stack by the level.
deep_test_() ->
    [{timeout, 120, fun() -> deep(Nest, Depth, Options) end}
     || {Depth, Options} <- [{1000, []}, {1000, [compressed]}, {deep(), []},
                             {deep() div 10, [compressed]}],
        Nest <- nests()].

deep() ->
    case os:getenv("XETS_TEST_SMALL") of
        false -> 1000000;
        _ -> 100000
    end.

deep(Nest, Depth, Options) ->
    Table = xets:new(table, Options),
    Term = nest(Nest, Depth),
    true = xets:insert(Table, {k, Term}),
    [{k, Found}] = xets:lookup(Table, k),
    true = garbage_collect(),
    ?assert(Found =:= Term),
    true = xets:delete_object(Table, {k, nest(Nest, Depth - 1)}),
    ?assertEqual(1, xets:info(Table, size)),
    true = xets:delete_object(Table, {k, Found}),
    ?assertEqual(0, xets:info(Table, size)),
    true = xets:insert(Table, {k, negative_zero(), Term}),
    [{k, _, Taken}] = xets:take(Table, k),
    true = garbage_collect(),
    ?assert(Taken =:= Term),
    xets:delete(Table).

nest(Nest, Depth) ->
    lists:foldl(fun(_, T) -> Nest(T) end, [], lists:seq(1, Depth)).

deep_keys_test_() ->
    {timeout, 60,
     fun() ->
             Table = xets:new(table, []),
             Key = nest(fun(T) -> {T, a} end, deep()),
             true = xets:insert(Table, {Key, 1}),
             ?assertEqual(1, xets:lookup_element(Table, nest(fun(T) -> {T, a} end, deep()), 2)),
             ?assertEqual([], xets:lookup(Table, {Key, a})),
             ?assert(xets:first(Table) =:= Key),
             [{Taken, 1}] = xets:take(Table, Key),
             ?assert(Taken =:= Key),
             xets:delete(Table)
     end}.

%% In a process of its own, whose heap goes with it.
huge_test_() ->
    [{Name, {timeout, 120, fun() -> elsewhere(fun() -> huge(Make()) end) end}}
     || os:getenv("XETS_TEST_SMALL") =:= false,
        {Name, Make} <- [{"200 MB of list", fun() -> lists:seq(1, 12500000) end},
                         {"200 MB of binary", fun() -> binary:copy(<<"x">>, 200000000) end}]].

huge(Term) ->
    Table = xets:new(table, []),
    true = xets:insert(Table, {k, Term, 1}),
    ?assertEqual(2, xets:update_counter(Table, k, {3, 1})),
    [{k, Found, 2}] = xets:take(Table, k),
    ?assert(Found =:= Term),
    xets:delete(Table).

%%% Large binaries

%% What is found refers to the binary that was inserted, as a part of it, if it is one that has a
%% quarter of it, or slices are not native (xets_native_tests).
shared_test() ->
    Table = xets:new(table, []),
    Binary = binary:copy(<<"x">>, 1000000),
    Part = binary:part(Binary, 500000, 1000),
    [true = xets:insert(Table, {Size, binary:part(Binary, 0, Size)}) || Size <- [250000, 700000]],
    true = xets:insert(Table, [{all, Binary}, {part, [Part]}]),
    ?assertEqual(1000000, binary:referenced_byte_size(xets:lookup_element(Table, all, 2))),
    [?assertEqual(1000000, binary:referenced_byte_size(B))
     || B <- [xets:lookup_element(Table, 250000, 2), xets:lookup_element(Table, 700000, 2)]],
    ?assertEqual(Part, hd(xets:lookup_element(Table, part, 2))),
    xets:delete(Table).

%% Measured by the emulator, which cannot with +Mea min.
measured(Test) ->
    try erlang:memory(binary) of
        _ -> {timeout, 60, Test}
    catch
        error:notsup -> []
    end.

not_copied_test_() ->
    measured(fun() ->
                     Table = xets:new(table, []),
                     Binary = binary:copy(<<"x">>, 10000000),
                     Before = erlang:memory(binary),
                     [true = xets:insert(Table, {I, Binary, [Binary]}) || I <- lists:seq(1, 100)],
                     Found = xets:tab2list(Table),
                     ?assertEqual(100, length(Found)),
                     ?assert(erlang:memory(binary) < Before + 10000000),
                     xets:delete(Table)
             end).

%% Binaries of 30 kB share the environment of an image, those of 300 kB have one of their own.
come_back_test_() ->
    [{lists:concat([Size, " bytes, ", Name]), measured(fun() -> come_back(Size, End) end)}
     || Size <- [30000, 300000],
        {Name, End} <- [{"deleted", fun(T, Is) -> [xets:delete(T, I) || I <- Is] end},
                        {"deleted as objects",
                         fun(T, _) -> [xets:delete_object(T, O) || O <- xets:tab2list(T)] end},
                        {"overwritten", fun(T, Is) -> [xets:insert(T, {I, none}) || I <- Is] end},
                        {"overwritten as a list",
                         fun(T, Is) -> xets:insert(T, [{I, none} || I <- Is]) end},
                        {"element replaced",
                         fun(T, Is) -> [xets:update_element(T, I, {2, none}) || I <- Is] end},
                        {"taken", fun(T, Is) -> [xets:take(T, I) || I <- Is] end},
                        {"all deleted", fun(T, _) -> xets:delete_all_objects(T) end},
                        {"table deleted", fun(T, _) -> xets:delete(T) end},
                        {"owner ended", owner_ended}]].

come_back(Size, End) ->
    Aside = xets:new(aside, [public]),
    Keys = lists:seq(1, 60000000 div Size),
    garbage_collect(),
    Before = erlang:memory(binary),
    elsewhere(fun() ->
                      Table = xets:new(table, []),
                      [true = xets:insert(Table, {I, <<I:Size/unit:8>>}) || I <- Keys],
                      garbage_collect(),
                      ?assert(erlang:memory(binary) > Before + 55000000),
                      [begin
                           End(Table, Keys),
                           eventually(fun() -> is_back(Before, Aside) end)
                       end || End =/= owner_ended]
              end),
    eventually(fun() -> is_back(Before, Aside) end),
    xets:delete(Aside).

%% Nearly all: dead terms may stay in the environment of an image as long as they are few. A write
%% lets the library look after what it has to free.
is_back(Before, Aside) ->
    garbage_collect(),
    xets:insert(Aside, {written, 0}),
    erlang:memory(binary) < Before + 6000000.

%%% Helpers

%% What Fun returns in a process of its own.
elsewhere(Fun) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({result, Fun()}) end),
    receive
        {'DOWN', Monitor, process, Pid, {result, Result}} -> Result;
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end.

%% A short tuple of immediates is made a key in another way where it comes alone than in a list of
%% objects, or where it is longer; it is the same key.
short_tuples_as_keys_test_() ->
    [{lists:concat([Type, " ", First]), {timeout, 120, fun() -> short_tuples(Type, First) end}}
     || Type <- [set, bag, duplicate_bag, ordered_set], First <- [listed, alone]].

short_tuples(Type, First) ->
    Elements = [0, 15, 16, -1, a, [], self(), 0.5, <<"b">>, {}] ++
               [(1 bsl Bits) + Off || Bits <- [4, 12, 20, 28, 36, 44, 52, 58], Off <- [-1, 0]],
    Keys = lists:usort([list_to_tuple(Prefix ++ lists:duplicate(N, Element))
                        || Element <- Elements, N <- lists:seq(0, 16), Prefix <- [[], [1]]]),
    Objects = [{Key, value} || Key <- Keys],
    Table = xets:new(table, [Type]),
    insert(First, Table, Objects),
    ?assertEqual(length(Keys), xets:info(Table, size)),
    [begin
         ?assertEqual([Object], xets:lookup(Table, Key)),
         ?assert(xets:member(Table, Key))
     end || {Key, _} = Object <- Objects],
    insert(other(First), Table, Objects),
    Copies = case Type of duplicate_bag -> 2; _ -> 1 end,
    ?assertEqual(Copies * length(Keys), xets:info(Table, size)),
    [begin
         ?assertEqual(lists:duplicate(Copies, Object), xets:take(Table, Key)),
         ?assertNot(xets:member(Table, Key))
     end || {Key, _} = Object <- Objects],
    ?assertEqual(0, xets:info(Table, size)),
    true = xets:delete(Table).

insert(listed, Table, Objects) -> true = xets:insert(Table, Objects);
insert(alone, Table, Objects) -> [true = xets:insert(Table, Object) || Object <- Objects].

other(listed) -> alone;
other(alone) -> listed.
