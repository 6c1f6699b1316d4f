%% Tables that change hands: heirs, give_away/3, setopts/2. What ets promises too is asked of both.
-module(xets_heir_tests).

-include_lib("eunit/include/eunit.hrl").
-import(xets_test_lib, [both/1, outcome/1, actor/0, run/2, start/2, await/1, call/4, kill/1,
                        dead/0, foreign/0, transfer/1, no_transfer/1, texts/3,
                        small/2]).

%% Whether the ets that runs has heirs that are not told.
ets_has_silent_heirs() ->
    list_to_integer(erlang:system_info(otp_release)) >= 28.

%%% Who is the heir

%% A form of the option, and who is the heir then, or `badarg'; $heir stands for a process.
forms() ->
    [{{heir, none}, none}, {{heir, '$heir', data}, '$heir'}, {{heir, '$heir', none}, '$heir'},
     {{heir, '$heir'}, '$heir'}, {{heir, self, data}, self}, {{heir, self}, self},
     {{heir, '$dead', data}, none}, {{heir, '$foreign', data}, badarg},
     {{heir, '$foreign'}, badarg}, {{heir, none, data}, badarg}, {{heir, undefined}, badarg},
     {{heir, registered, data}, badarg}, {{heir, '$heir', data, more}, badarg}, {heir, badarg},
     {{heir}, badarg}, {{heir, make_ref(), data}, badarg}, {{heir, 17}, badarg}].

forms_test_() ->
    [{lists:flatten(io_lib:format("~p ~0p", [Module, Form])),
      fun() -> takes_form(Module, Form, Heir) end}
     || Module <- [ets, xets], {Form, Heir} <- forms(), has(Module, Form)].

has(xets, _) -> true;
has(ets, {heir, none}) -> true;
has(ets, {heir, _}) -> ets_has_silent_heirs();
has(ets, _) -> true.

takes_form(Module, Form, Heir) ->
    Actor = actor(),
    Who = #{'$heir' => Actor, '$dead' => dead(), '$foreign' => foreign(), self => self()},
    Option = case is_tuple(Form) of
                 true -> list_to_tuple([maps:get(E, Who, E) || E <- tuple_to_list(Form)]);
                 false -> Form
             end,
    Table = Module:new(table, [{heir, self(), first}]),
    New = outcome(fun() -> Module:info(Module:new(table, [Option]), heir) end),
    Set = outcome(fun() -> Module:setopts(Table, Option) end),
    Set = outcome(fun() -> Module:setopts(Table, [Option]) end),
    case Heir of
        badarg ->
            ?assertEqual({error, badarg}, New),
            ?assertEqual({error, badarg}, Set),
            ?assertEqual(self(), Module:info(Table, heir));
        _ ->
            Is = maps:get(Heir, Who, Heir),
            ?assertEqual({value, Is}, New),
            ?assertEqual({value, true}, Set),
            ?assertEqual(Is, Module:info(Table, heir)),
            ?assertEqual(Is, proplists:get_value(heir, Module:info(Table)))
    end,
    kill(Actor).

%% setopts with lists, and with what else it takes; the heir and the protection afterwards.
setopts_test_() ->
    both(fun(Module) ->
                 Self = self(),
                 [begin
                      Table = Module:new(table, [{heir, Self, data}]),
                      ?assertEqual({Options, Outcome, Heir, Access},
                                   {Options, outcome(fun() -> Module:setopts(Table, Options) end),
                                    Module:info(Table, heir), Module:info(Table, protection)})
                  end
                  || {Options, Outcome, Heir, Access} <- changes(Self)]
         end).

changes(Self) ->
    True = {value, true},
    Bad = {error, badarg},
    [{[], True, Self, protected},
     {[{heir, none}], True, none, protected},
     {[{heir, none}, {heir, none}], Bad, Self, protected},
     {[{heir, Self, 1}, {heir, none}], Bad, Self, protected},
     {[{heir, none} | tail], Bad, Self, protected},
     {[{heir, none}, wrong], Bad, Self, protected},
     {{protection, public}, True, Self, public},
     {[{protection, private}, {heir, none}], True, none, private},
     {[{heir, none}, {protection, protected}], True, none, protected},
     {[{protection, private}, {protection, public}], Bad, Self, protected},
     {{protection, wrong}, Bad, Self, protected},
     {{protection, public, 1}, Bad, Self, protected},
     {{keypos, 2}, Bad, Self, protected},
     {wrong, Bad, Self, protected},
     {"text", Bad, Self, protected},
     {{}, Bad, Self, protected}].

protection_changes_rights_test_() ->
    both(fun(Module) ->
                 Other = actor(),
                 Table = Module:new(table, [public]),
                 true = run(Other, fun() -> Module:insert(Table, {k, 1}) end),
                 Module:setopts(Table, {protection, protected}),
                 ?assertEqual({error, badarg}, call(Other, Module, insert, [Table, {k, 2}])),
                 ?assertEqual({value, [{k, 1}]}, call(Other, Module, lookup, [Table, k])),
                 Module:setopts(Table, {protection, private}),
                 ?assertEqual({error, badarg}, call(Other, Module, lookup, [Table, k])),
                 Module:setopts(Table, {protection, public}),
                 ?assertEqual({value, true}, call(Other, Module, delete, [Table])),
                 kill(Other)
         end).

%%% Inheriting

%% Ways to see the end of the owner first: the heir is to have the table, whoever asks how.
looks() ->
    [{lookup, fun(M, T) -> M:lookup(T, k) end, [{k, 1}]},
     {insert, fun(M, T) -> M:insert(T, {l, 1}) end, true},
     {member, fun(M, T) -> M:member(T, k) end, true},
     {info, fun(M, T) -> is_list(M:info(T)) end, true},
     {size, fun(M, T) -> M:info(T, size) end, 1},
     {whereis, fun(M, _) -> is_reference(M:whereis(xets_heir_named)) end, true},
     {all, fun(M, _) -> lists:member(xets_heir_named, M:all()) end, true},
     {new, fun(M, _) -> outcome(fun() -> M:new(xets_heir_named, [named_table]) end) end,
      {error, badarg}},
     {nobody, fun(_, _) -> nobody end, nobody}].

inherits_test_() ->
    [{lists:concat([Module, ", ", Look]), fun() -> inherits(Module, Fun, Result) end}
     || Module <- [ets, xets], {Look, Fun, Result} <- looks()].

inherits(Module, Look, Result) ->
    [Owner, Heir] = [actor(), actor()],
    Data = [data, #{a => <<1:8000>>}, self()],
    [Tid, xets_heir_named] =
        run(Owner, fun() ->
                           [begin
                                Table = Module:new(xets_heir_named, [{heir, Heir, Data} | Options]),
                                Module:insert(Table, {k, 1}),
                                Table
                            end || Options <- [[public], [public, named_table]]]
                   end),
    kill(Owner),
    ?assertEqual(Result, Look(Module, xets_heir_named)),
    Got = [transfer(Heir), transfer(Heir)],
    ?assertEqual(lists:sort([{Tid, Owner, Data}, {xets_heir_named, Owner, Data}]),
                 lists:sort(Got)),
    [begin
         ?assertEqual(Heir, Module:info(Table, owner)),
         ?assertEqual(Heir, Module:info(Table, heir)),
         ?assertEqual([{k, 1}], Module:lookup(Table, k))
     end || Table <- [Tid, xets_heir_named]],
    no_transfer(Heir),
    kill(Heir),
    [?assertEqual(undefined, Module:info(Table)) || Table <- [Tid, xets_heir_named]],
    ?assertEqual(undefined, Module:whereis(xets_heir_named)).

%% What was private to the owner is private to the heir.
heir_has_the_owners_rights_test_() ->
    both(fun(Module) ->
                 [Owner, Heir, Other] = [actor(), actor(), actor()],
                 Table = run(Owner, fun() ->
                                            T = Module:new(table, [private, {heir, Heir, data}]),
                                            Module:insert(T, {k, 1}),
                                            T
                                    end),
                 kill(Owner),
                 {Table, Owner, data} = transfer(Heir),
                 ?assertEqual({value, [{k, 1}]}, call(Heir, Module, lookup, [Table, k])),
                 ?assertEqual({error, badarg}, call(Other, Module, lookup, [Table, k])),
                 ?assertEqual({value, true}, call(Heir, Module, delete, [Table])),
                 [kill(P) || P <- [Heir, Other]]
         end).

silent_heir_test_() ->
    [{atom_to_list(Module),
      fun() ->
              [Owner, Heir] = [actor(), actor()],
              Table = run(Owner, fun() -> Module:new(table, [{heir, Heir}]) end),
              kill(Owner),
              ?assertEqual(Heir, Module:info(Table, owner)),
              no_transfer(Heir),
              kill(Heir)
      end}
     || Module <- [xets | [ets || ets_has_silent_heirs()]]].

no_living_heir_test_() ->
    [{lists:concat([Module, ", ", How]),
      fun() ->
              [Owner, Heir] = [actor(), actor()],
              Options = [named_table, {heir, Heir, data}],
              Table = run(Owner, fun() -> Module:new(xets_heir_named, Options) end),
              Spoil(Module, Owner, Heir),
              kill(Owner),
              ?assertEqual(undefined, Module:info(Table)),
              ?assertEqual(xets_heir_named, Module:new(xets_heir_named, [named_table])),
              Module:delete(xets_heir_named),
              case is_process_alive(Heir) of
                  true -> no_transfer(Heir), kill(Heir);
                  false -> ok
              end
      end}
     || Module <- [ets, xets],
        {How, Spoil} <-
            [{"dead", fun(_, _, Heir) -> kill(Heir) end},
             {"dead, and still shown", fun(M, _, Heir) ->
                                               kill(Heir),
                                               ?assertEqual(Heir, M:info(xets_heir_named, heir))
                                       end},
             {"taken back", fun(M, Owner, _) -> set_heir(M, Owner, {heir, none}) end},
             {"the owner", fun(M, Owner, _) -> set_heir(M, Owner, {heir, Owner, x}) end}]].

set_heir(Module, Owner, Option) ->
    true = run(Owner, fun() -> Module:setopts(xets_heir_named, Option) end).

%% The last one set counts.
heir_is_replaced_test_() ->
    both(fun(Module) ->
                 [Owner, First, Second] = [actor(), actor(), actor()],
                 Table = run(Owner, fun() ->
                                            T = Module:new(table, [{heir, First, 1}]),
                                            [Module:setopts(T, {heir, P, {I, lists:seq(1, I)}})
                                             || I <- lists:seq(1, 100), P <- [First, Second]],
                                            T
                                    end),
                 kill(First),
                 kill(Owner),
                 ?assertEqual({Table, Owner, {100, lists:seq(1, 100)}}, transfer(Second)),
                 no_transfer(Second),
                 kill(Second)
         end).

%% An heir stays the heir, with its data.
inherits_twice_test_() ->
    both(fun(Module) ->
                 [Owner, Heir, Third] = [actor(), actor(), actor()],
                 Table = run(Owner, fun() -> Module:new(table, [{heir, Heir, data}]) end),
                 kill(Owner),
                 ?assertEqual({Table, Owner, data}, transfer(Heir)),
                 true = run(Heir, fun() -> Module:give_away(Table, Third, gift) end),
                 ?assertEqual({Table, Heir, gift}, transfer(Third)),
                 kill(Third),
                 ?assertEqual({Table, Third, data}, transfer(Heir)),
                 ?assertEqual(Heir, Module:info(Table, owner)),
                 no_transfer(Heir),
                 kill(Heir),
                 ?assertEqual(undefined, Module:info(Table))
         end).

%% Data of any size; the call goes on where it may take long.
heir_data_test_() ->
    both(fun(Module) ->
                 [begin
                      [Owner, Heir] = [actor(), actor()],
                      Table = run(Owner, fun() -> Module:new(table, [{heir, Heir, Data}]) end),
                      Other = run(Owner, fun() ->
                                                 T = Module:new(table, []),
                                                 Module:setopts(T, [{heir, Heir, Data}]),
                                                 T
                                         end),
                      true = run(Owner, fun() ->
                                                Module:give_away(Module:new(table, []), Heir, Data)
                                        end),
                      {_, Owner, Data} = transfer(Heir),
                      kill(Owner),
                      Got = [transfer(Heir), transfer(Heir)],
                      ?assertEqual(lists:sort([{Table, Owner, Data}, {Other, Owner, Data}]),
                                   lists:sort(Got)),
                      kill(Heir)
                  end || Data <- [1, atom, [], self(), make_ref(), 1.5, 1 bsl 70, fun() -> a end,
                                  <<"b">>, binary:copy(<<"b">>, 1000000), lists:seq(1, 200000),
                                  #{[] => {}}]]
         end).

%% The pid of a heir that died means another process, which is not the heir.
reused_pid_does_not_inherit_test() ->
    Owner = actor(),
    erts_debug:set_internal_state(available_internal_state, true),
    Named = fun(Heir) -> xets:new(xets_heir_named, [named_table, {heir, Heir, data}]) end,
    Reused = twin(fun(Heir) -> run(Owner, fun() -> Named(Heir) end) end),
    ?assertEqual(Reused, xets:info(xets_heir_named, heir)),
    kill(Owner),
    ?assertEqual(undefined, xets:info(xets_heir_named)),
    no_transfer(Reused),
    erts_debug:set_internal_state(available_internal_state, false),
    kill(Reused).

%% A process that has the pid of another one, which is dead; the emulator hands out pids in order,
%% and lets that be set.
twin(Fun) ->
    Next = erts_debug:get_internal_state(next_pid),
    Pid = actor(),
    Fun(Pid),
    kill(Pid),
    twin(Pid, Next, 1000).

twin(Pid, Next, Tries) when Tries > 0 ->
    %% what is set is the one before the next
    erts_debug:set_internal_state(next_pid, Next - 1),
    case actor() of
        Pid -> Pid;
        Other -> kill(Other), twin(Pid, Next, Tries - 1)
    end.

%%% Giving away

give_away_test_() ->
    both(fun(Module) ->
                 [Owner, Receiver] = [actor(), actor()],
                 [Tid, xets_heir_named] =
                     run(Owner, fun() ->
                                        [Module:new(xets_heir_named, Options)
                                         || Options <- [[], [named_table]]]
                                end),
                 [begin
                      Args = [Table, Receiver, {gift, Table}],
                      ?assertEqual({value, true}, call(Owner, Module, give_away, Args)),
                      ?assertEqual(Receiver, Module:info(Table, owner)),
                      ?assertEqual({Table, Owner, {gift, Table}}, transfer(Receiver)),
                      ?assertEqual({error, badarg}, call(Owner, Module, insert, [Table, {k, 1}])),
                      ?assertEqual({value, true}, call(Receiver, Module, insert, [Table, {k, 1}])),
                      ?assertEqual({error, badarg}, call(Owner, Module, give_away, Args))
                  end || Table <- [Tid, xets_heir_named]],
                 kill(Owner),
                 ?assertEqual([{k, 1}], Module:lookup(Tid, k)),
                 no_transfer(Receiver),
                 kill(Receiver),
                 ?assertEqual(undefined, Module:info(Tid)),
                 ?assertEqual(undefined, Module:info(xets_heir_named))
         end).

%% What is wrong with each, in the words of ets where those are right.
errors_test_() ->
    [{lists:flatten(io_lib:format("~p ~0p", [Function, Args])),
      fun() ->
              ?assertEqual(Texts, texts_of(xets, Function, Args)),
              case Like of
                  ets -> ?assertEqual(Texts, texts_of(ets, Function, Args));
                  own -> ok
              end
      end}
     || {Like, Function, Args, Texts} <- errors()].

errors() ->
    NoTable = <<"the table identifier does not refer to an existing table">>,
    NoId = <<"not a valid table identifier">>,
    NoAccess = <<"the table identifier refers to a table with insufficient access rights">>,
    NotOwner = <<"the current process is not the owner">>,
    NoPid = <<"not a pid">>,
    Invalid = <<"invalid options">>,
    [{ets, give_away, [mine, self, x], #{2 => <<"the process is already the owner of the table">>}},
     {ets, give_away, [mine, dead, x], #{2 => <<"the pid refers to a terminated process">>}},
     {own, give_away, [mine, foreign, x],
      #{2 => <<"the pid refers to a process of another node">>}},
     {ets, give_away, [mine, name, x], #{2 => NoPid}},
     {ets, give_away, [mine, 17, x], #{2 => NoPid}},
     {ets, give_away, [public, actor, x], #{2 => NotOwner}},
     {ets, give_away, [public, 17, x], #{2 => NoPid}},
     {ets, give_away, [protected, actor, x], #{1 => NoAccess}},
     {ets, give_away, [private, 17, x], #{1 => NoAccess, 2 => NoPid}},
     {ets, give_away, [xets_heir_nobody, actor, x], #{1 => NoTable}},
     {ets, give_away, [deleted, self, x], #{1 => NoTable}},
     {ets, give_away, [ref, actor, x], #{1 => NoId}},
     {ets, give_away, [17, 17, x], #{1 => <<"not an atom or a table identifier">>, 2 => NoPid}},
     {ets, setopts, [mine, wrong], #{2 => Invalid}},
     {ets, setopts, [mine, [{heir, none}, {heir, none}]], #{2 => Invalid}},
     {ets, setopts, [mine, [{heir, none} | none]], #{2 => Invalid}},
     {ets, setopts, [public, wrong], #{2 => Invalid}},
     {own, setopts, [public, {heir, none}], #{2 => NotOwner}},
     {own, setopts, [public, []], #{2 => NotOwner}},
     {ets, setopts, [protected, {heir, none}], #{1 => NoAccess}},
     {ets, setopts, [private, wrong], #{1 => NoAccess}},
     {ets, setopts, [deleted, {heir, none}], #{1 => NoTable}},
     {ets, setopts, [xets_heir_nobody, []], #{1 => NoTable}},
     {ets, setopts, [ref, []], #{1 => NoId}},
     {ets, setopts, ["table", []], #{1 => <<"not an atom or a table identifier">>}}].

texts_of(Module, Function, Args) ->
    Other = actor(),
    Deleted = Module:new(table, []),
    Module:delete(Deleted),
    Of = fun(Access) -> run(Other, fun() -> Module:new(table, [Access]) end) end,
    Terms = #{mine => Module:new(table, []), deleted => Deleted, ref => make_ref(),
              public => Of(public), protected => Of(protected), private => Of(private),
              self => self(), dead => dead(), foreign => foreign(), actor => Other},
    try texts(Module, Function, [maps:get(Arg, Terms, Arg) || Arg <- Args])
    after kill(Other)
    end.

%%% At the same time

%% The receiver ends before, while, or after it gets the table.
receiver_dies_test_() ->
    [{lists:concat(["with heir: ", Heir]), {timeout, 60, fun() -> receivers_die(Heir) end}}
     || Heir <- [false, true]].

receivers_die(WithHeir) ->
    [Owner, Heir] = [actor(), actor()],
    Options = [{heir, Heir, data} || WithHeir],
    Outcomes = [receiver_dies(Owner, Heir, Options, I) || I <- lists:seq(1, small(3000, 300))],
    no_transfer(Heir),
    [kill(P) || P <- [Owner, Heir]],
    [?assert(lists:member(Outcome, Outcomes)) || Outcome <- [given, refused]].

receiver_dies(Owner, Heir, Options, I) ->
    Receiver = spawn(fun() -> receive stop -> ok end end),
    Table = run(Owner, fun() -> xets:new(table, Options) end),
    Give = fun() -> xets:give_away(Table, Receiver, gift) end,
    Outcome = case I rem 10 of
                  0 -> kill(Receiver), await(start(Owner, Give));
                  1 -> Given = await(start(Owner, Give)), kill(Receiver), Given;
                  _ -> Giving = start(Owner, Give),
                       pause(I rem 97),
                       kill(Receiver),
                       await(Giving)
              end,
    case {Outcome, Options} of
        {{error, badarg}, _} ->
            ?assertEqual(Owner, xets:info(Table, owner)),
            true = run(Owner, fun() -> xets:delete(Table) end),
            refused;
        {{value, true}, []} ->
            ?assertEqual(undefined, xets:info(Table, owner)),
            given;
        {{value, true}, _} ->
            ?assertEqual(Heir, xets:info(Table, owner)),
            ?assertEqual({Table, Receiver, data}, transfer(Heir)),
            true = run(Heir, fun() -> xets:delete(Table) end),
            given
    end.

pause(0) -> ok;
pause(N) -> pause(N - 1).

%% The giver is killed at any moment: the table is the receiver's, and it is told so; or it is gone.
giver_dies_test_() ->
    {timeout, 60,
     fun() ->
             Receiver = actor(),
             Outcomes = [giver_dies(Receiver, I) || I <- lists:seq(1, small(2000, 200))],
             no_transfer(Receiver),
             kill(Receiver),
             ?assert(lists:member(given, Outcomes)),
             ?assert(lists:member(gone, Outcomes))
     end}.

giver_dies(Receiver, I) ->
    Self = self(),
    Owner = spawn(fun() ->
                          Table = xets:new(table, []),
                          Self ! {table, Table},
                          case I rem 10 of
                              0 -> receive never -> ok end;
                              _ -> pause(I * 7 rem 301)
                          end,
                          xets:give_away(Table, Receiver, gift),
                          Self ! {gave, Table},
                          receive never -> ok end
                  end),
    Table = receive {table, T} -> T end,
    case I rem 10 of
        1 -> receive {gave, Table} -> ok end;
        _ -> pause(I rem 503)
    end,
    kill(Owner),
    receive {gave, Table} -> ok after 0 -> ok end,
    case xets:info(Table, owner) of
        undefined ->
            gone;
        Receiver ->
            ?assertEqual({Table, Owner, gift}, transfer(Receiver)),
            true = run(Receiver, fun() -> xets:delete(Table) end),
            given
    end.

%% A public table is there for others however often it changes hands.
readers_do_not_notice_test_() ->
    {timeout, 60,
     fun() ->
             [A, B, Reader] = [actor(), actor(), actor()],
             Table = run(A, fun() ->
                                    T = xets:new(xets_heir_named, [public, named_table]),
                                    xets:insert(T, {k, 0}),
                                    T
                            end),
             Stop = atomics:new(1, []),
             Reading = start(Reader, fun() -> read_until(Stop, Table, 0) end),
             [begin
                  true = run(From, fun() -> xets:give_away(Table, To, gift) end),
                  {Table, From, gift} = transfer(To)
              end || _ <- lists:seq(1, small(3000, 300)), {From, To} <- [{A, B}, {B, A}]],
             atomics:put(Stop, 1, 1),
             {value, Count} = await(Reading),
             ?assertEqual([{k, Count}], xets:lookup(Table, k)),
             ?assert(Count > 0),
             [kill(P) || P <- [A, B, Reader]]
     end}.

read_until(Stop, Table, Count) ->
    [{k, Count}] = xets:lookup(Table, k),
    Count1 = xets:update_counter(Table, k, 1),
    true = is_pid(xets:info(Table, owner)),
    case atomics:get(Stop, 1) of
        0 -> read_until(Stop, Table, Count1);
        1 -> Count1
    end.

%% Many see at once that the owner is dead; the heir hears of it once.
many_complete_an_exit_test_() ->
    {timeout, 60,
     fun() ->
             Lookers = [actor() || _ <- lists:seq(1, 8)],
             [begin
                  [Owner, Heir] = [actor(), actor()],
                  Table = run(Owner, fun() -> xets:new(table, [public, {heir, Heir, data}]) end),
                  Looks = [start(Looker, fun() ->
                                                 Monitor = monitor(process, Owner),
                                                 receive {'DOWN', Monitor, _, _, _} -> ok end,
                                                 xets:info(Table, owner)
                                         end) || Looker <- Lookers],
                  exit(Owner, kill),
                  [?assertEqual({value, Heir}, await(Look)) || Look <- Looks],
                  ?assertEqual({Table, Owner, data}, transfer(Heir)),
                  no_transfer(Heir),
                  kill(Heir)
              end || _ <- lists:seq(1, small(300, 50))],
             [kill(Looker) || Looker <- Lookers]
     end}.

%% One heir of many tables, whose owners end at once, with nobody asking.
thousands_of_tables_are_inherited_test_() ->
    {timeout, 120,
     fun() ->
             Heir = actor(),
             N = small(300, 30),
             Owners = [{Owner, run(Owner, fun() ->
                                                  [xets:new(table, [{heir, Heir, I}])
                                                   || I <- lists:seq(1, 10)]
                                          end)}
                       || Owner <- [actor() || _ <- lists:seq(1, N)]],
             [exit(Owner, kill) || {Owner, _} <- Owners],
             Expected = [{Table, Owner, I}
                         || {Owner, Tables} <- Owners,
                            {I, Table} <- lists:zip(lists:seq(1, 10), Tables)],
             Got = [transfer(Heir) || _ <- Expected],
             ?assertEqual(lists:sort(Expected), lists:sort(Got)),
             no_transfer(Heir),
             [?assertEqual(Heir, xets:info(Table, owner)) || {Table, _, _} <- Expected],
             kill(Heir),
             [?assertEqual(undefined, xets:info(Table)) || {Table, _, _} <- Expected]
     end}.
