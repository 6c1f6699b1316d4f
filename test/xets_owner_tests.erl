%% Owners, rights and names (c_src/beam/owner.h). What ets promises too is asked of both.
-module(xets_owner_tests).

-behaviour(supervisor).
-export([init/1, start_owner/3]).

-include_lib("eunit/include/eunit.hrl").

-import(xets_test_lib, [eventually/1, settled/0, kill/1]).

%%% Rights

rights_test_() ->
    [{lists:concat([Module, ", ", Access, ", ", Who, ": ", Function, "/", length(Args) + 1]),
      fun() -> has_right(Module, Access, Who, Function, Args) end}
     || Module <- [ets, xets], Access <- [public, protected, private], Who <- [owner, other],
        {Function, Args} <- reads() ++ writes(),
        exports(Module, Function, Args)].

%% The running ets may lack some.
exports(Module, Function, Args) ->
    {module, Module} = code:ensure_loaded(Module),
    erlang:function_exported(Module, Function, length(Args) + 1).

%% Calls that succeed for who may make them, on a table that holds {k, 1}.
reads() ->
    [{lookup, [k]}, {lookup_element, [k, 1]}, {lookup_element, [k, 1, default]},
     {lookup_elements, [k, {1, 2}]}, {lookup_many, [[k]]}, {member, [k]}, {tab2list, []}].

writes() ->
    [{insert, [{k, 2}]}, {insert, [[{k, 2}, {l, 2}]]}, {insert, [[]]}, {insert_new, [{l, 1}]},
     {insert_new, [{k, 1}]}, {insert_new, [[{l, 1}]]}, {delete, [k]}, {delete, [absent]},
     {delete_object, [{k, 1}]}, {delete_all_objects, []}, {take, [k]}, {update_counter, [k, 1]},
     {update_counter, [k, {2, 1 bsl 70}]}, {update_counter, [l, 1, {l, 0}]},
     {update_element, [k, {2, b}]}, {update_element, [absent, {2, b}]},
     {update_element, [l, {2, b}, {l, 0}]}, {delete, []}].

has_right(Module, Access, Who, Function, Args) ->
    Write = lists:member({Function, Args}, writes()),
    May = Who =:= owner orelse Access =:= public orelse (Access =:= protected andalso not Write),
    Table = Module:new(table, [Access]),
    true = Module:insert(Table, {k, 1}),
    Call = fun() -> outcome(fun() -> apply(Module, Function, [Table | Args]) end) end,
    Outcome = case Who of
                  owner -> Call();
                  other -> elsewhere(Call)
              end,
    case May of
        true ->
            ?assertMatch({value, _}, Outcome);
        false ->
            ?assertEqual({error, badarg}, Outcome),
            ?assertEqual([{k, 1}], Module:tab2list(Table)),
            ?assertEqual(1, Module:info(Table, size))
    end.

%% Information is for all.
info_needs_no_right_test_() ->
    [{lists:concat([Module, ", ", Access]),
      fun() ->
              Self = self(),
              Table = Module:new(xets_owner_info, [Access, named_table]),
              Tid = Module:whereis(Table),
              elsewhere(fun() ->
                                ?assertEqual(Self, Module:info(Table, owner)),
                                ?assertEqual(Access, Module:info(Tid, protection)),
                                ?assertEqual(Tid, Module:whereis(Table))
                        end),
              Module:delete(Table)
      end}
     || Module <- [ets, xets], Access <- [public, protected, private]].

%%% Names and identifiers

identifier_test_() ->
    both(fun(Module) ->
                 Table = Module:new(table, []),
                 ?assertEqual(Table, Module:info(Table, id)),
                 ?assertEqual(undefined, Module:whereis(table)),
                 ?assertNotEqual(Table, Module:new(table, []))
         end).

named_table_has_one_identifier_test_() ->
    both(fun(Module) ->
                 xets_owner_named = Module:new(xets_owner_named, [named_table]),
                 Tid = Module:whereis(xets_owner_named),
                 ?assert(is_reference(Tid)),
                 ?assertEqual(Tid, Module:whereis(xets_owner_named)),
                 ?assertEqual(Tid, Module:info(xets_owner_named, id)),
                 ?assertEqual(Tid, Module:info(Tid, id)),
                 ?assertEqual(xets_owner_named, Module:info(Tid, name)),
                 Module:insert(xets_owner_named, {k, 1}),
                 ?assertEqual([{k, 1}], Module:lookup(Tid, k)),
                 Module:insert(Tid, {k, 2}),
                 ?assertEqual([{k, 2}], Module:lookup(xets_owner_named, k)),
                 Module:delete(Tid),
                 ?assertEqual(undefined, Module:whereis(xets_owner_named)),
                 ?assertEqual({error, badarg},
                              outcome(fun() -> Module:lookup(xets_owner_named, k) end))
         end).

name_means_the_new_table_test_() ->
    both(fun(Module) ->
                 Options = [named_table],
                 Name = Module:new(xets_owner_again, Options),
                 Old = Module:whereis(Name),
                 ?assertEqual({error, badarg}, outcome(fun() -> Module:new(Name, Options) end)),
                 Module:delete(Name),
                 Name = Module:new(Name, Options),
                 Module:insert(Name, {k, new}),
                 ?assertNotEqual(Old, Module:whereis(Name)),
                 ?assertEqual(undefined, Module:info(Old)),
                 ?assertEqual({error, badarg}, outcome(fun() -> Module:delete(Old) end)),
                 ?assertEqual([{k, new}], Module:lookup(Name, k)),
                 Module:delete(Name)
         end).

identifier_survives_external_format_test_() ->
    both(fun(Module) ->
                 Table = Module:new(table, []),
                 Module:insert(Table, {k, 1}),
                 Copy = binary_to_term(term_to_binary(Table)),
                 ?assertEqual([{k, 1}], Module:lookup(Copy, k)),
                 Module:delete(Copy),
                 ?assertEqual(undefined, Module:info(Table))
         end).

many_names_test() ->
    Names = [list_to_atom("xets_owner_name_" ++ integer_to_list(I)) || I <- lists:seq(1, 2000)],
    [?assertEqual(Name, xets:new(Name, [named_table])) || Name <- Names],
    [xets:insert(Name, {k, Name}) || Name <- Names],
    [?assertEqual(Name, xets:lookup_element(Name, k, 2)) || Name <- Names],
    Tids = [xets:whereis(Name) || Name <- Names],
    ?assertEqual(2000, length(lists:usort(Tids))),
    [xets:delete(Name) || Name <- Names],
    [?assertEqual(undefined, xets:whereis(Name)) || Name <- Names].

one_of_many_gets_a_name_test() ->
    [begin
         Outcomes = all_at_once([fun() ->
                                         Outcome = outcome(fun() -> new_named(xets_owner_race) end),
                                         {Outcome, xets:whereis(xets_owner_race)}
                                 end || _ <- lists:seq(1, 4)]),
         ?assertEqual([{value, xets_owner_race}], [Won || {{value, _} = Won, _} <- Outcomes]),
         ?assertEqual(undefined, xets:whereis(xets_owner_race)),
         Round
     end || Round <- lists:seq(1, 200)].

new_named(Name) ->
    xets:new(Name, [named_table]).

one_of_two_deletes_test_() ->
    {timeout, 60, fun one_of_two_deletes/0}.

one_of_two_deletes() ->
    Tables = [xets:new(table, [public]) || _ <- lists:seq(1, 10000)],
    Delete = fun(Table) -> outcome(fun() -> xets:delete(Table) end) =:= {value, true} end,
    Deleted = duel(Delete, Delete, Tables),
    ?assertEqual([], [Both || {Both, Both} <- Deleted]).

%%% How long a table lives

table_lives_without_reference_test() ->
    new_named(xets_owner_forgotten),
    xets:insert(xets_owner_forgotten, {k, 1}),
    erlang:garbage_collect(),
    elsewhere(fun() ->
                      Table = xets:whereis(xets_owner_forgotten),
                      ?assertEqual(1, xets:lookup_element(Table, k, 2))
              end),
    erlang:garbage_collect(),
    ?assertEqual(1, xets:lookup_element(xets_owner_forgotten, k, 2)),
    xets:delete(xets_owner_forgotten).

table_outlives_its_users_test() ->
    Table = xets:new(table, [public]),
    [elsewhere(fun() -> xets:insert(Table, {I, self()}) end) || I <- lists:seq(1, 100)],
    erlang:garbage_collect(),
    ?assertEqual(100, length(xets:tab2list(Table))).

identifier_outlives_its_table_test() ->
    Table = elsewhere(fun() -> xets:new(table, [public]) end),
    erlang:garbage_collect(),
    ?assertEqual(undefined, xets:info(Table)),
    ?assertEqual({error, badarg}, outcome(fun() -> xets:insert(Table, {k, 1}) end)).

%%% The end of the owner

ends() ->
    [{"returns", fun(Owner) -> Owner ! return end}, {"fails", fun(Owner) -> Owner ! fail end},
     {"is killed", fun(Owner) -> exit(Owner, kill) end}].

%% Whoever has seen the owner's end finds neither table nor name, and gets the name.
table_ends_with_owner_test_() ->
    [{lists:concat([Module, ", ", How, ", seen by ", Seen]),
      {timeout, 60, fun() ->
                            [ends_with_owner(Module, End, Seen, Objects)
                             || Objects <- [0, 1, 1000, 50000], _ <- lists:seq(1, 5)]
                    end}}
     || Module <- [ets, xets], {How, End} <- ends(), Seen <- [monitor, link]].

ends_with_owner(Module, End, Seen, Objects) ->
    Name = xets_owner_ends,
    {Owner, [Tid, Named]} = owner(Module, [[public], [public, named_table]], Objects),
    Trap = process_flag(trap_exit, true),
    Tag = case Seen of
              monitor -> monitor(process, Owner);
              link -> link(Owner), Owner
          end,
    ?assertEqual(Objects, Module:info(Name, size)),
    End(Owner),
    receive
        {'DOWN', Tag, process, Owner, _} -> ok;
        {'EXIT', Tag, _} -> ok
    end,
    is_gone(Module, Tid),
    is_gone(Module, Named),
    is_gone(Module, Name),
    ?assertEqual(undefined, Module:whereis(Name)),
    Name = Module:new(Name, [named_table]),
    Module:insert(Name, {k, mine}),
    is_gone(Module, Named),
    ?assertEqual([{k, mine}], Module:lookup(Name, k)),
    Module:delete(Name),
    process_flag(trap_exit, Trap).

is_gone(Module, Table) ->
    ?assertEqual(undefined, Module:info(Table)),
    ?assertEqual(undefined, Module:info(Table, size)),
    [?assertEqual({Function, {error, badarg}},
                  {Function, outcome(fun() -> apply(Module, Function, [Table | Args]) end)})
     || {Function, Args} <- reads() ++ writes(),
        exports(Module, Function, Args)].

%% The first call after the end may be any.
every_call_finds_the_owner_dead_test_() ->
    [{lists:concat([Function, "/", length(Args) + 1]),
      fun() ->
              {Owner, [Tid]} = owner(xets, [[public]], 10),
              kill(Owner),
              ?assertEqual(Expected, outcome(fun() -> apply(xets, Function, [Tid | Args]) end))
      end}
     || {Function, Args, Expected} <-
            [{F, A, {error, badarg}} || {F, A} <- reads() ++ writes()] ++
            [{info, [], {value, undefined}}, {info, [size], {value, undefined}},
             {info, [xets], {value, undefined}}]].

%% The name of a dead owner's table is free for whoever asks first, and how it asks.
name_of_the_dead_test_() ->
    [{"new", fun() ->
                     owner_of_name_dies(),
                     ?assertEqual(xets_owner_ends, new_named(xets_owner_ends)),
                     xets:delete(xets_owner_ends)
             end},
     {"whereis", fun() ->
                         owner_of_name_dies(),
                         ?assertEqual(undefined, xets:whereis(xets_owner_ends))
                 end},
     {"info", fun() ->
                      owner_of_name_dies(),
                      ?assertEqual(undefined, xets:info(xets_owner_ends))
              end}].

owner_of_name_dies() ->
    {Owner, _} = owner(xets, [[named_table]], 10),
    kill(Owner).

%% The emulator tells links and monitors of a process one after the other, and the library as
%% one of them.
many_see_the_end_test_() ->
    {timeout, 120, fun() -> [many_see_the_end(Kind) || Kind <- [link, monitor]] end}.

many_see_the_end(Kind) ->
    {Owner, [Tid, Named]} = owner(xets, [[public], [public, named_table]], 100),
    Self = self(),
    Observers = [spawn_monitor(fun() ->
                                       process_flag(trap_exit, true),
                                       case Kind of
                                           link -> link(Owner);
                                           monitor -> monitor(process, Owner)
                                       end,
                                       Self ! {ready, self()},
                                       receive
                                           {'EXIT', Owner, _} -> ok;
                                           {'DOWN', _, process, Owner, _} -> ok
                                       end,
                                       exit({saw, seen(Tid, Named)})
                               end) || _ <- lists:seq(1, 10000)],
    [receive {ready, Pid} -> ok end || {Pid, _} <- Observers],
    exit(Owner, kill),
    [receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual({saw, gone}, Reason) end
     || {Pid, Monitor} <- Observers].

seen(Tid, Named) ->
    case {xets:info(Tid), xets:info(Named, size), xets:whereis(xets_owner_ends),
          outcome(fun() -> xets:lookup(Tid, 1) end),
          outcome(fun() -> xets:insert(xets_owner_ends, {1, 1}) end)} of
        {undefined, undefined, undefined, {error, badarg}, {error, badarg}} -> gone;
        Other -> Other
    end.

%% The first who hears of the end has the name at once, and keeps it when the library hears.
name_passes_from_owner_to_owner_test_() ->
    {timeout, 120, fun() -> [name_passes(I) || I <- lists:seq(1, 20)] end}.

name_passes(I) ->
    {Owner, [Tid]} = owner(xets, [[named_table, public]], 20),
    Self = self(),
    Links = [spawn(fun() ->
                           process_flag(trap_exit, true),
                           link(Owner),
                           Self ! {ready, self()},
                           receive {'EXIT', Owner, _} -> Self ! {ended, self()} end
                   end) || _ <- lists:seq(1, 5000)],
    [receive {ready, Link} -> ok end || Link <- Links],
    exit(Owner, kill),
    receive {ended, First} -> ok end,
    new_named(xets_owner_ends),
    xets:insert(xets_owner_ends, {k, I}),
    [receive {ended, Link} -> ok end || Link <- Links, Link =/= First],
    eventually(fun() -> process_info(Owner) =:= undefined end),
    ?assertEqual(I, xets:lookup_element(xets_owner_ends, k, 2)),
    ?assertEqual(undefined, xets:info(Tid)),
    xets:delete(xets_owner_ends).

%% While another makes the table go, the name is free: whoever has seen that the table is gone
%% gets it.
name_is_free_at_once_test_() ->
    {timeout, 60, fun name_is_free_at_once/0}.

name_is_free_at_once() ->
    Names = [list_to_atom("xets_owner_duel_" ++ integer_to_list(I)) || I <- lists:seq(1, 1000)],
    Tables = [begin
                  Name = xets:new(Name, [named_table, public]),
                  {Name, xets:whereis(Name)}
              end || Name <- Names],
    Delete = fun({_, Tid}) -> xets:delete(Tid) end,
    Follow = fun({Name, Tid}) -> follow(Name, Tid) end,
    ?assertEqual([], [Bad || {_, {error, _}} = Bad <- duel(Delete, Follow, Tables)]).

follow(Name, Tid) ->
    case xets:info(Tid, size) of
        undefined -> outcome(fun() -> new_named(Name) end);
        _ -> follow(Name, Tid)
    end.

%% Nobody asks for these tables again; the library ends them by itself.
thousands_of_owners_end_test_() ->
    {timeout, 120, fun thousands_of_owners_end/0}.

thousands_of_owners_end() ->
    #{tables := Tables, bytes := Bytes} = settled(),
    Owners = [owner(xets, [[], [public]], 20) || _ <- lists:seq(1, 2000)],
    #{tables := More} = xets:info(),
    ?assertEqual(Tables + 4000, More),
    [exit(Owner, kill) || {Owner, _} <- Owners],
    Base = #{tables => Tables, bytes => Bytes},
    eventually(fun() -> maps:with([tables, bytes], xets:info()) =:= Base end),
    [?assertEqual(undefined, xets:info(Tid)) || {_, Tids} <- Owners, Tid <- Tids].

%% The library hears of these ends late: every link and monitor is told one by one. Whoever is told
%% finds none of the tables, also of the other owners that it has been told of.
owners_with_many_links_end_test_() ->
    [{lists:concat([Kind, ", ", Each, " each"]),
      {timeout, 240, fun() -> owners_with_links_end(Kind, Owners, Each) end}}
     || Kind <- [link, monitor],
        {Owners, Each} <- case os:getenv("XETS_TEST_SMALL") of
                              false -> [{2000, 50}, {2, 50000}];
                              _ -> [{100, 20}, {2, 1000}]
                          end].

owners_with_links_end(Kind, N, Each) ->
    Owners = [owner(xets, [[public], [public]], 1) || _ <- lists:seq(1, N)],
    Self = self(),
    %% a process that has all the monitors, or as many processes as links: two have one at most
    Watchers = [spawn_monitor(fun() ->
                                      process_flag(trap_exit, true),
                                      [attach(Kind, Owner, Each) || {Owner, _} <- Owners],
                                      Self ! {ready, self()},
                                      exit({saw, see_ends(Owners, maps:from_list(Owners))})
                              end) || _ <- watchers(Kind, Each)],
    [receive {ready, Pid} -> ok end || {Pid, _} <- Watchers],
    [exit(Owner, kill) || {Owner, _} <- Owners],
    [receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual({saw, gone}, Reason) end
     || {Pid, Monitor} <- Watchers],
    [?assertEqual(undefined, xets:info(Tid)) || {_, Tids} <- Owners, Tid <- Tids].

watchers(monitor, _) -> [1, 2];
watchers(link, Each) -> lists:seq(1, Each).

attach(link, Owner, _) -> link(Owner);
attach(monitor, Owner, Each) -> [monitor(process, Owner) || _ <- lists:seq(1, Each div 2)].

see_ends([], _) ->
    gone;
see_ends([_ | Left], Tables) ->
    Owner = receive
                {'EXIT', Pid, _} -> Pid;
                {'DOWN', _, process, Pid, _} -> Pid
            end,
    case [Tid || Tid <- maps:get(Owner, Tables), xets:info(Tid, size) =/= undefined] of
        [] -> see_ends(Left, Tables);
        Tids -> {still_there, Tids}
    end.

%% A supervisor starts the owner of a named table again: it finds the name free.
restarted_owner_test_() ->
    both(fun(Module) ->
                 ok = logger:set_module_level(supervisor, none),
                 {ok, Supervisor} =
                     supervisor:start_link(?MODULE, {Module, xets_owner_supervised}),
                 unlink(Supervisor),
                 Last = lists:foldl(fun(I, Owner) ->
                                            Module:insert(xets_owner_supervised, {k, I}),
                                            exit(Owner, kill),
                                            next_owner(Module, Owner)
                                    end, next_owner(Module, none), lists:seq(1, 100)),
                 ?assertMatch([{_, Last, worker, _}], supervisor:which_children(Supervisor)),
                 ?assertEqual([], Module:tab2list(xets_owner_supervised)),
                 kill(Supervisor),
                 kill_if(Last),
                 ok = logger:unset_module_level(supervisor)
         end).

%% The supervisor's callbacks.
init({Module, Name}) ->
    Child = #{id => owner, start => {?MODULE, start_owner, [Module, Name, self()]}},
    {ok, {#{intensity => 1000, period => 1}, [Child]}}.

start_owner(Module, Name, Supervisor) ->
    proc_lib:start_link(erlang, apply, [fun() ->
        Name = Module:new(Name, [named_table, public]),
        proc_lib:init_ack(Supervisor, {ok, self()}),
        receive never -> ok end
    end, []]).

%% The owner after that one.
next_owner(Module, Owner) ->
    case Module:info(xets_owner_supervised, owner) of
        Next when is_pid(Next), Next =/= Owner -> Next;
        _ -> erlang:yield(), next_owner(Module, Owner)
    end.

kill_if(Pid) ->
    case is_process_alive(Pid) of
        true -> kill(Pid);
        false -> ok
    end.

%%% Memory

memory_comes_back_test_() ->
    [{Name, {timeout, 120, fun() -> memory_comes_back(End) end}}
     || {Name, End} <- [{"delete/1", fun(Table) -> xets:delete(Table) end},
                        {"the end of the owner", fun(_) -> ok end},
                        {"delete_all_objects", fun xets:delete_all_objects/1},
                        {"deleting each object", fun delete_each/1},
                        {"taking each object", fun take_each/1}]].

memory_comes_back(End) ->
    #{bytes := Before} = settled(),
    elsewhere(fun() ->
                      Table = xets:new(table, [public]),
                      Empty = xets:info(Table, memory),
                      [xets:insert(Table, [object(I) || I <- lists:seq(J, J + 999)])
                       || J <- lists:seq(1, 30000, 1000)],
                      ?assert(xets:info(Table, memory) > 100000),
                      #{bytes := Full} = xets:info(),
                      ?assert(Full > Before + 1000000),
                      End(Table),
                      case xets:info(Table, size) of
                          0 -> eventually(fun() -> xets:info(Table, memory) < 20 * Empty end);
                          _ -> ok
                      end
              end),
    eventually(fun() -> maps:get(bytes, xets:info()) =:= Before end).

%% Some outside of images, some with terms in the environment of one.
object(I) when I rem 500 =:= 0 -> {I, lists:seq(1, 2000), <<I:80000>>};
object(I) when I rem 50 =:= 0 -> {I, self(), make_ref(), <<I:800>>};
object(I) -> {I, I, text}.

delete_each(Table) -> [xets:delete(Table, I) || I <- lists:seq(1, 30000)].
take_each(Table) -> [[_] = xets:take(Table, I) || I <- lists:seq(1, 30000)].

%% A large binary is free when the table does not have it any more.
binaries_come_back_test_() ->
    try erlang:memory(binary) of
        _ -> {timeout, 60, fun binaries_come_back/0}
    catch
        % with +Mea min
        error:notsup -> []
    end.

binaries_come_back() ->
    Table = xets:new(table, []),
    Before = erlang:memory(binary),
    [xets:insert(Table, {I, <<I:8000000>>}) || I <- lists:seq(1, 50)],
    erlang:garbage_collect(),
    ?assert(erlang:memory(binary) > Before + 40000000),
    [xets:insert(Table, {I, none}) || I <- lists:seq(1, 25)],
    [xets:delete(Table, I) || I <- lists:seq(26, 50)],
    eventually(fun() ->
                       % a write lets the library look after what it has to free
                       xets:insert(Table, {written, 0}),
                       erlang:memory(binary) < Before + 5000000
               end),
    xets:delete(Table).

%%% Helpers

both(Fun) ->
    [{atom_to_list(Module), fun() -> Fun(Module) end} || Module <- [ets, xets]].

outcome(Fun) ->
    try {value, Fun()}
    catch Class:Reason -> {Class, Reason}
    end.

%% What Fun returns in another process, which has ended.
elsewhere(Fun) ->
    hd(all_at_once([Fun])).

%% What the Funs return, each in a process of its own; the processes end when all are done.
all_at_once(Funs) ->
    Self = self(),
    Running = [spawn_monitor(fun() ->
                                     receive go -> ok end,
                                     Result = try {result, Fun()}
                                              catch Class:Reason:Stack -> {Class, Reason, Stack}
                                              end,
                                     Self ! {done, self()},
                                     receive stop -> exit(Result) end
                             end) || Fun <- Funs],
    [Pid ! go || {Pid, _} <- Running],
    [receive {done, Pid} -> ok end || {Pid, _} <- Running],
    [Pid ! stop || {Pid, _} <- Running],
    Reasons = [receive {'DOWN', Monitor, process, Pid, Reason} -> Reason end
               || {Pid, Monitor} <- Running],
    [case Reason of
         {result, Result} -> Result;
         _ -> erlang:error(Reason)
     end || Reason <- Reasons].

%% Two processes do each something with the same elements, one after the other and both at the
%% same time; what came of it.
duel(Fun1, Fun2, List) ->
    Arrived = counters:new(length(List), [atomics]),
    Indexed = lists:zip(lists:seq(1, length(List)), List),
    [Results1, Results2] = all_at_once([fun() ->
                                                [begin
                                                     counters:add(Arrived, I, 1),
                                                     spin(Arrived, I, 2000),
                                                     Fun(Element)
                                                 end || {I, Element} <- Indexed]
                                        end || Fun <- [Fun1, Fun2]]),
    lists:zip(Results1, Results2).

%% Until both are there, or the other is not running.
spin(_, _, 0) -> ok;
spin(Arrived, I, N) ->
    case counters:get(Arrived, I) of
        2 -> ok;
        _ -> spin(Arrived, I, N - 1)
    end.

%% A process with tables, filled with objects; their identifiers.
owner(Module, OptionLists, Objects) ->
    Self = self(),
    Owner = spawn(fun() ->
                          Tables = [Module:new(xets_owner_ends, Options) || Options <- OptionLists],
                          [Module:insert(Table, [{I, I} || I <- lists:seq(1, Objects)])
                           || Table <- Tables],
                          Self ! {self(), [Module:info(Table, id) || Table <- Tables]},
                          receive
                              return -> ok;
                              fail -> exit(failed)
                          end
                  end),
    receive {Owner, Tids} -> {Owner, Tids} end.
