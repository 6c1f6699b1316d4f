%% What a failed call says: which argument was wrong and why, in the words of ets where it has
%% some that are right.
-module(xets_error_tests).

-include_lib("eunit/include/eunit.hrl").

%%% The table

%% Calls that succeed on a table that holds the object {k, 1, a}.
calls() ->
    reads() ++ writes().

reads() ->
    [{lookup, [k]}, {lookup_element, [k, 1]}, {lookup_element, [k, 1, default]},
     {lookup_elements, [k, {1, 2}]}, {lookup_many, [[k]]}, {member, [k]}, {tab2list, []},
     {first, []}, {last, []}, {next, [k]}, {prev, [k]}, {first_lookup, []}, {last_lookup, []},
     {next_lookup, [k]}, {prev_lookup, [k]}, {slot, [0]}, {match, ['_']}, {match, ['_', 1]},
     {match_object, ['_']}, {match_object, ['_', 1]}, {select, [all()]}, {select, [all(), 1]},
     {select_reverse, [all()]}, {select_reverse, [all(), 1]}, {select_count, [all()]}].

all() ->
    [{'_', [], ['$_']}].

writes() ->
    [{insert, [{k, 1}]}, {insert, [[{k, 1}]]}, {insert, [[]]}, {insert_new, [{l, 1}]},
     {insert_new, [[]]}, {put_new, [{l, 1}]}, {delete_many, [[]]}, {delete_many, [[k]]},
     {take_many, [[k]]}, {delete, [k]}, {delete_object, [{k, 1, a}]}, {delete_all_objects, []},
     {take, [k]}, {update_counter, [k, 1]}, {update_counter, [k, 1, {k, 0}]},
     {update_element, [k, {2, b}]}, {update_element, [k, {2, b}, {k, 0}]},
     {match_delete, ['_']}, {select_delete, [all()]}, {select_take, [all()]},
     {select_replace, [all()]}, {update, [k, all()]}, {delete, []}].

no_table_test_() ->
    [[{title(Function, [Which | Args]),
       fun() -> blames_table(Function, Table(ets), Table(xets), Args) end}
      || {Function, Args} <- calls()]
     || {Which, Table} <- no_tables()].

no_tables() ->
    [{Term, fun(_) -> Term end} || Term <- [17, "name", {}, <<>>, xets_error_nobody]] ++
        [{a_reference, fun(_) -> make_ref() end},
         {atomics, fun(_) -> atomics:new(1, []) end},
         {a_deleted_table, fun(Module) ->
                                   Table = Module:new(table, []),
                                   true = Module:delete(Table),
                                   Table
                           end}].

no_access_test_() ->
    [[{title(Function, [Access | Args]),
       fun() ->
               of_another_process(ets, Access, fun(Table) ->
                   of_another_process(xets, Access, fun(Xtable) ->
                       blames_table(Function, Table, Xtable, Args)
                   end)
               end)
       end}
      || {Function, Args} <- Calls]
     || {Access, Calls} <- [{private, calls()}, {protected, writes()}]].

blames_table(Function, Table, Xtable, Args) ->
    Called = case lists:member({Function, Args}, reads()) of
                 true -> texts(ets, member, [Table, k]);
                 false -> texts(ets, insert, [Table, {k, 1}])
             end,
    #{1 := _} = Called,
    ?assertEqual(Called, texts(xets, Function, [Xtable | Args])).

of_another_process(Module, Access, Fun) ->
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
                                             Table = Module:new(table, [Access]),
                                             Module:insert(Table, {k, 1, a}),
                                             Self ! {self(), Table},
                                             receive stop -> ok end
                                     end),
    Table = receive {Owner, T} -> T end,
    try Fun(Table)
    after
        Owner ! stop,
        receive {'DOWN', Monitor, process, Owner, _} -> ok end
    end.

%% info and whereis have an answer for a table that is not there; other terms they refuse.
info_about_no_table_test_() ->
    [?_assertEqual({Module, #{1 => <<"not an atom or a table identifier">>}},
                   {Module, texts(Module, info, Args)})
     || Module <- [ets, xets], Args <- [[17], [17, size], ["name"], [{}, wrong]]] ++
        [?_assertEqual({Module, #{1 => <<"not a valid table identifier">>}},
                       {Module, texts(Module, info, [Term, size])})
         || Module <- [ets, xets], Term <- [make_ref(), atomics:new(1, [])]] ++
        [?_assertEqual({Module, #{2 => <<"not a valid info item">>}},
                       {Module, texts(Module, info, [Module:new(table, []), Item])})
         || Module <- [ets, xets], Item <- [wrong, 17, "size"]] ++
        [?_assertEqual({Module, #{1 => <<"invalid table name (must be an atom)">>}},
                       {Module, texts(Module, whereis, [Term])})
         || Module <- [ets, xets], Term <- [17, "name", make_ref()]].

%%% The other arguments

other_arguments_test_() ->
    [{title(Function, Args),
      fun() ->
              ?assertEqual(Texts, texts_of_call(xets, Function, Args)),
              case speaks(Since, Function, length(Args)) of
                  true -> ?assertEqual(Texts, texts_of_call(ets, Function, Args));
                  false -> ok
              end
      end}
     || {Since, Function, Args, Texts} <- wrong()].

%% Whether the ets that runs has the same text.
speaks(own, _, _) -> false;
speaks(Since, Function, Arity) ->
    list_to_integer(erlang:system_info(otp_release)) >= Since andalso
        erlang:function_exported(ets, Function, Arity).

%% In Args `t' is a table that holds {k, 1, a} and {single}, `second' an empty one whose key is the
%% second element, `bag' one that holds {k, 1, a} and {k, 1}, and `duplicates' an empty bag of the
%% other type. The first element is the release of ets from which it gives the same texts, or `own'.
%% Its formatter fails for improper lists of updates.
wrong() ->
    [{25, insert, [t, 17], #{2 => <<"not a tuple">>}},
     {25, insert, [t, {}], #{2 => <<"is an empty tuple">>}},
     {25, insert, [t, [{}]], #{2 => not_objects()}},
     {25, insert, [t, [{k, 1}, a]], #{2 => not_objects()}},
     {25, insert, [t, [{k, 1} | {k, 2}]], #{2 => not_objects()}},
     {own, insert, [second, {k}], #{2 => no_key()}},
     {own, insert, [second, [{k, 1}, {k}]], #{2 => no_key()}},
     {25, insert_new, [t, 17], #{2 => <<"not a tuple">>}},
     {25, insert_new, [t, [{l, 1} | tail]], #{2 => not_objects()}},
     {own, insert_new, [second, [{k}]], #{2 => no_key()}},
     {25, delete_object, [t, 17], #{2 => <<"not a tuple">>}},
     {25, delete_object, [t, [{k}]], #{2 => <<"not a tuple">>}},
     {25, delete_object, [t, {}], #{2 => <<"is an empty tuple">>}},
     {own, delete_object, [second, {k}], #{2 => no_key()}},

     {own, put_new, [t, 17], #{2 => <<"not a tuple">>}},
     {own, put_new, [t, [{l, 1}]], #{2 => <<"not a tuple">>}},
     {own, put_new, [t, {}], #{2 => <<"is an empty tuple">>}},
     {own, put_new, [second, {k}], #{2 => no_key()}},
     {own, put_new, [bag, {l, 1}], #{1 => not_of_type()}},
     {own, delete_many, [t, k], #{2 => <<"not a list">>}},
     {own, delete_many, [t, [k | l]], #{2 => <<"not a proper list">>}},
     {own, take_many, [t, k], #{2 => <<"not a list">>}},
     {own, take_many, [t, [k | l]], #{2 => <<"not a proper list">>}},

     {25, next, [t, absent], #{2 => no_such_key()}},
     {25, prev, [t, absent], #{2 => no_such_key()}},
     {27, next_lookup, [t, absent], #{2 => no_such_key()}},
     {27, prev_lookup, [t, absent], #{2 => no_such_key()}},
     {25, slot, [t, -1], #{2 => <<"out of range">>}},
     {25, slot, [t, a], #{2 => <<"out of range">>}},
     {25, slot, [t, 1 bsl 40], #{2 => <<"out of range">>}},
     {25, slot, [t, 1 bsl 70], #{2 => <<"out of range">>}},

     {25, lookup_element, [bag, k, 3], #{3 => too_large()}},
     {25, lookup_element, [bag, k, 0], #{3 => <<"out of range">>}},
     {25, lookup_element, [bag, absent, 1], #{2 => no_such_key()}},
     {26, lookup_element, [bag, k, 3, default], #{3 => too_large()}},
     {own, lookup_elements, [bag, k, {1, 3}], #{3 => too_large()}},
     {own, lookup_elements, [bag, absent, {1}], #{2 => no_such_key()}},
     {25, lookup_element, [t, k, 0], #{3 => <<"out of range">>}},
     {25, lookup_element, [t, k, a], #{3 => <<"not an integer">>}},
     {25, lookup_element, [t, k, 4], #{3 => too_large()}},
     {25, lookup_element, [t, k, 1 bsl 70], #{3 => too_large()}},
     {25, lookup_element, [t, absent, 1], #{2 => no_such_key()}},
     {25, lookup_element, [t, absent, 0], #{3 => <<"out of range">>}},
     {26, lookup_element, [t, k, 0, default], #{3 => <<"out of range">>}},
     {26, lookup_element, [t, k, 4, default], #{3 => too_large()}},
     {26, lookup_element, [t, absent, a, default], #{3 => <<"not an integer">>}},
     {own, lookup_elements, [t, k, [1]], #{3 => <<"not a tuple">>}},
     {own, lookup_elements, [t, k, {1, 0}], #{3 => <<"out of range">>}},
     {own, lookup_elements, [t, k, {1, a}], #{3 => <<"not an integer">>}},
     {own, lookup_elements, [t, k, {1, 4}], #{3 => too_large()}},
     {own, lookup_elements, [t, absent, {1}], #{2 => no_such_key()}},
     {own, lookup_elements, [t, absent, {}], #{2 => no_such_key()}},
     {own, lookup_many, [t, k], #{2 => <<"not a list">>}},
     {own, lookup_many, [t, [k | k]], #{2 => <<"not a proper list">>}},

     {25, new, ["name", []], #{1 => <<"not an atom">>}},
     {25, new, ["name", a], #{1 => <<"not an atom">>, 2 => <<"not a list">>}},
     {25, new, [name, a], #{2 => <<"not a list">>}},
     {25, new, [name, [public | private]], #{2 => <<"not a proper list">>}},
     {25, new, [name, [wrong]], #{2 => <<"invalid options">>}},
     {25, new, [name, [{keypos, 0}]], #{2 => <<"invalid options">>}},
     {25, new, [xets_error_taken, [named_table]], #{1 => <<"table name already exists">>}},
     {25, new, [xets_error_taken, [named_table, wrong]], #{2 => <<"invalid options">>}}]
        ++ wrong_counters() ++ wrong_elements() ++ wrong_specs().

wrong_counters() ->
    Keypos = <<"the position is the same as the key position">>,
    Range = <<"the position in the update operation is out of range">>,
    Integer = <<"the value in the given position, in the object, is not an integer">>,
    Op = <<"not a valid update operation">>,
    [{25, update_counter, [bag, k, 1], #{1 => not_of_type()}},
     {25, update_counter, [bag, absent, {a}], #{1 => not_of_type(), 3 => Op}},
     {25, update_counter, [bag, absent, {2, 1}, {k, 1}], #{1 => not_of_type()}},
     {25, update_counter, [t, absent, 1], #{2 => no_such_key()}},
     {25, update_counter, [t, absent, {a}], #{2 => no_such_key(), 3 => Op}},
     {25, update_counter, [t, single, 1], #{3 => Range}},
     {25, update_counter, [t, k, {1, 1}], #{3 => Keypos}},
     {25, update_counter, [t, k, {4, 1}], #{3 => Range}},
     {25, update_counter, [t, k, {0, 1}], #{3 => Range}},
     {own, update_counter, [t, k, {1 bsl 70, 1}], #{3 => Range}},
     {25, update_counter, [t, k, {3, 1}], #{3 => Integer}},
     {own, update_counter, [t, k, [1]], #{3 => Op}},
     {own, update_counter, [t, k, [{2, 1} | tail]], #{3 => Op}}]
        ++ [{25, update_counter, [t, k, Wrong], #{3 => Op}}
            || Wrong <- [a, 1.0, {2}, {2, a}, {a, 1}, {2, 1, 1}, {2, 1, a, 1}, [{2, 1}, a]]]
        ++ [{25, update_counter, [t, k, [{2, 1}, {1, 1}]], #{3 => Keypos}},
            {25, update_counter, [t, k, [{2, 1}, {4, 1}]], #{3 => Range}},
            {25, update_counter, [t, k, [{2, 1}, {3, 1}]], #{3 => Integer}}]
        ++ [{25, update_counter, [t, k, 1, default], #{4 => <<"not a tuple">>}},
            {25, update_counter, [t, absent, a, default], #{3 => Op, 4 => <<"not a tuple">>}},
            {29, update_counter, [t, k, 1, {}], #{4 => <<"default tuple too small">>}},
            {25, update_counter, [t, absent, 1, {k}], #{3 => Range}},
            {25, update_counter, [t, absent, {1, 1}, {k, 0}], #{3 => Keypos}},
            {25, update_counter, [t, absent, 1, {k, a}], #{3 => Integer}},
            {25, update_counter, [t, absent, a, {k, 0}], #{3 => Op}}].

wrong_elements() ->
    Keypos = <<"the position is the same as the key position">>,
    Range = <<"the position in the update operation is out of range">>,
    Spec = <<"is not a valid element specification">>,
    [{own, update_element, [bag, k, {2, b}], #{1 => not_of_type()}},
     {own, update_element, [bag, absent, a], #{1 => not_of_type()}},
     {own, update_element, [bag, k, {2, b}, {k, 1}], #{1 => not_of_type()}},
     {25, update_element, [t, k, {1, b}], #{3 => Keypos}},
     {29, update_element, [t, k, {4, b}], #{3 => Range}},
     {29, update_element, [t, k, {0, b}], #{3 => Range}},
     {own, update_element, [t, k, {1 bsl 70, b}], #{3 => Range}},
     {25, update_element, [t, k, [{2, b}, {1, b}]], #{3 => Keypos}},
     {29, update_element, [t, k, [{2, b}, {4, b}]], #{3 => Range}},
     {own, update_element, [t, k, [{2, b} | tail]], #{3 => Spec}}]
        ++ [{25, update_element, [t, k, Wrong], #{3 => Spec}}
            || Wrong <- [a, {2}, {2, b, c}, {a, b}, [{2, b}, a]]]
        ++ [{29, update_element, [t, absent, {4, b}, {k, 0}], #{3 => Range}},
            {29, update_element, [t, absent, {1, b}, {k, 0}], #{3 => Keypos}},
            {29, update_element, [t, k, a, {k, 0}], #{3 => Spec}},
            {29, update_element, [t, k, {2, b}, default], #{4 => <<"not a tuple">>}},
            {29, update_element, [t, k, {2, b}, {}], #{4 => <<"default tuple too small">>}}].

wrong_specs() ->
    Spec = <<"not a valid match specification">>,
    Continuation = #{1 => <<"invalid continuation">>},
    Range = <<"out of range">>,
    Integer = <<"not an integer">>,
    Same = <<"the result is not an object with the same key">>,
    [{25, Function, [t, Wrong], #{2 => Spec}}
     || Function <- [select, select_reverse, select_count, select_replace],
        Wrong <- [foo, [foo], [{'_', [], []}]]]
        ++ [{own, Function, [t, foo], #{2 => Spec}} || Function <- [select_delete, select_take]]
        ++ [{25, select_replace, [bag, all()], #{1 => not_of_type()}},
            {25, select_replace, [bag, foo], #{1 => not_of_type()}},
            {25, select_replace, [t, [{'$1', [], ['$1']}]], #{2 => Spec}}]
        ++ [{25, Function, [Wrong], Continuation}
            || Function <- [select, select_reverse, match, match_object],
               Wrong <- [foo, {}, {t, 1, 2, 3, [], 0}]]
        ++ [{25, Function, [t, Arg, Limit], Texts}
            || {Function, Arg} <- [{select, all()}, {select_reverse, all()}, {match, '_'},
                                   {match_object, '_'}],
               {Limit, Texts} <- [{0, #{3 => Range}}, {-1, #{3 => Range}}, {a, #{3 => Integer}},
                                  {1.0, #{3 => Integer}}]]
        ++ [{own, Function, [t, Arg, 1 bsl 59], #{3 => Range}}
            || {Function, Arg} <- [{select, all()}, {select_reverse, all()}, {match, '_'},
                                   {match_object, '_'}]]
        ++ [{own, Match, [t, Pattern | Limit], #{2 => <<"not a valid pattern">>}}
            || Pattern <- [{#{'$1' => 1}}, {k, #{'_' => 1}}, #{'_' => 1}],
               {Match, Limit} <- [{match, []}, {match, [1]}, {match_object, []},
                                  {match_object, [1]}, {match_delete, []}]]
        ++ [{25, select_replace, [t, [{{'$1', '$2'}, [], [Body]}]], #{2 => Spec}}
            || Body <- [true, {{'$2', '$1'}}, {{l, '$2'}}, {const, {k, 1}}]]
        ++ [{25, select_replace, [duplicates, foo], #{2 => Spec}},
            {own, update, [duplicates, k, foo], #{1 => not_of_type()}}]
        ++ [{25, select, [t, foo, 0], #{2 => Spec, 3 => Range}},
            {25, select, [t, foo, 1], #{2 => Spec}},
            {25, match_spec_compile, [foo], #{1 => Spec}},
            {own, match_spec_run, [[{k} | l], foo],
             #{1 => <<"not a proper list">>, 2 => <<"not a compiled match specification">>}},
            {own, update, [bag, k, all()], #{1 => not_of_type()}},
            {own, update, [t, k, foo], #{3 => Spec}},
            {own, update, [t, k, [{'_', [], [foo]}]], #{3 => Same}},
            {own, update, [t, k, [{'_', [], [{{l, 1}}]}]], #{3 => Same}}].

not_objects() -> <<"not a non-empty tuple or a list of non-empty tuples">>.
no_key() -> <<"a tuple without an element at the key position of the table">>.
no_such_key() -> <<"not a key that exists in the table">>.
not_of_type() ->
    <<"the table identifier refers to a table of a type not supported by this operation">>.
too_large() -> <<"position is greater than the size of the object">>.

%%% Failing and asking

texts_of_call(Module, Function, Args) ->
    T = Module:new(xets_error_taken, [named_table]),
    Module:insert(T, [{k, 1, a}, {single}]),
    Second = Module:new(table, [{keypos, 2}]),
    Bag = Module:new(table, [bag]),
    Duplicates = Module:new(table, [duplicate_bag]),
    [Module:insert(Bag, Object) || Object <- [{k, 1, a}, {k, 1}]],
    Tables = #{t => T, second => Second, bag => Bag, duplicates => Duplicates},
    try texts(Module, Function, [maps:get(Arg, Tables, Arg) || Arg <- Args])
    after
        ?assertEqual([{k, 1, a}], Module:lookup(T, k)),
        ?assertEqual([{k, 1, a}, {k, 1}], Module:lookup(Bag, k)),
        [Module:delete(Table) || Table <- maps:values(Tables)]
    end.

%% The texts for a call, which is to fail. The stack says which call it was.
texts(Module, Function, Args) ->
    Stack = try apply(Module, Function, Args) of
                Value -> erlang:error({succeeded, Value})
            catch
                error:badarg:S -> S
            end,
    [{Module, _, _, _} | _] = Stack,
    case Module of
        xets ->
            [{xets, Function, Args, Info} | _] = Stack,
            #{module := xets} = proplists:get_value(error_info, Info),
            xets:format_error(badarg, Stack);
        ets ->
            Texts = erl_stdlib_errors:format_error(badarg, Stack),
            maps:map(fun(_, Text) -> as_table(Text) end, Texts)
    end.

as_table(Text) ->
    binary:replace(binary:replace(Text, <<"an ETS table">>, <<"a table">>), <<"ETS ">>, <<>>).

title(Function, Args) ->
    lists:flatten(io_lib:format("~p ~0tp", [Function, Args])).

%%% Printing

exception_is_printed_test() ->
    Table = xets:new(table, []),
    Stack = try xets:lookup_element(Table, absent, 1)
            catch error:badarg:S -> S
            end,
    Text = unicode:characters_to_list(erl_error:format_exception(error, badarg, Stack)),
    ?assertMatch([_ | _], string:find(Text, "xets:lookup_element(")),
    ?assertMatch([_ | _], string:find(Text, "argument 2: not a key that exists in the table")).

%% Whatever has become of the table since.
table_deleted_before_printing_test() ->
    Table = xets:new(table, []),
    Stack = try xets:lookup_element(Table, absent, 1)
            catch error:badarg:S -> S
            end,
    xets:delete(Table),
    ?assertEqual(#{2 => no_such_key()}, xets:format_error(badarg, Stack)).
