%% Many processes on one table, of which some match: a scan meets what stays exactly once, an object
%% is deleted, taken or claimed by one process, and no replacement is lost. And what becomes of a
%% scan whose process is killed, or whose table is deleted.
-module(xets_match_concurrency_tests).

-include_lib("eunit/include/eunit.hrl").

-import(xets_workers, [run/1, together/1, race/1, table/1, shuffle/1]).
-import(xets_test_lib, [eventually/1, settled/0, small/2]).

concurrency_test_() ->
    [{timeout, 120, [{title(Name, Type, Way), fun() -> Test(Type, Way) end}]}
     || {Types, Ways, Name, Test} <- tests(), Type <- Types, Way <- Ways].

title(Name, Type, Way) ->
    lists:concat([Name, ", ", Type, ", ", Way]).

tests() ->
    All = [set, ordered_set, bag, duplicate_bag],
    Sets = [set, ordered_set],
    Both = [native, as_terms],
    [{All, [native], "scans meet what stays once", fun scans_meet_what_stays/2},
     {[ordered_set, bag], [as_terms], "scans meet what stays once", fun scans_meet_what_stays/2},
     {All, Both, "select_take gives each object to one", fun select_take_gives_to_one/2},
     {All, Both, "select_delete deletes each object once", fun select_delete_deletes_once/2},
     {Sets, Both, "select_replace loses no increment", fun select_replace_loses_none/2},
     {Sets, Both, "update loses no increment", fun update_loses_none/2},
     {Sets, [native], "update has one winner", fun update_has_one_winner/2}].

%% A specification that the native side runs on stored objects; or one that does the same, but for
%% a number of more than 64 bits, so that it has the objects as terms.
spec(native, Head, Guards, Body) ->
    [{Head, Guards, Body}];
spec(as_terms, Head, Guards, Body) ->
    [{Head, [{'<', {'-', 1 bsl 80, 1}, {'+', 1 bsl 80, 1}} | Guards], Body}].

%%% Scans under writers

%% Keys that stay, among those of others that come and go, so that segments split and merge.
-define(STAY, 1500).

scans_meet_what_stays(Type, Way) ->
    T = table([Type]),
    Stay = lists:sort([{I * 100, stays} || I <- lists:seq(1, ?STAY)] ++
                      [{I * 100, stays_too} || I <- lists:seq(1, ?STAY), is_bag(Type)]),
    xets:insert(T, shuffle(Stay)),
    Scanners = [{fun(N) -> scan(Name, Type, Stay, fun() -> Scan(T) end, N) end, 0}
                || {Name, Scan} <- scans(Way)],
    Last = run(Scanners ++ comes_and_goes(T)),
    [?assert(Times > 0) || Times <- lists:sublist(Last, length(Scanners))],
    xets:delete(T).

scans(Way) ->
    Objects = spec(Way, '$1', [], ['$_']),
    Copies = spec(Way, {'$1', '$2'}, [], [{{'$1', '$2'}}]),
    [{"select", fun(T) -> xets:select(T, Objects) end},
     {"pages", fun(T) -> pages(xets:select(T, Copies, 7)) end},
     {"pages backwards", fun(T) -> lists:reverse(pages(xets:select_reverse(T, Copies, 100))) end},
     {"count",
      fun(T) ->
              Stays = spec(Way, {'_', '$2'}, [{is_atom, '$2'}], [true]),
              {count, xets:select_count(T, Stays)}
      end}].

%% What a scan gives: objects, in an ordered_set in order, or how many of them stay.
scan(Name, Type, Stay, Scan, N) ->
    case Scan() of
        {count, Count} ->
            {Name, N, Count} = {Name, N, length(Stay)};
        Objects ->
            Type =:= ordered_set andalso ({Name, Objects} = {Name, lists:usort(Objects)}),
            Found = [Object || {_, Stays} = Object <- Objects, is_atom(Stays)],
            {Name, N, true} = {Name, N, lists:sort(Found) =:= Stay}
    end,
    N + 1.

is_bag(Type) -> lists:member(Type, [bag, duplicate_bag]).

%% Two writers fill ranges between the keys that stay, and empty them.
comes_and_goes(T) ->
    [{fun(I) -> in_between(T, Me, I) end, 0} || Me <- [1, 2]].

in_between(T, Me, I) ->
    From = (I rem 40 * 7919) rem (?STAY * 100),
    Keys = [Key || Key <- lists:seq(From, From + 300), Key rem 100 =/= 0],
    case (I div 40) rem 2 of
        0 when I rem 3 =:= 0 -> xets:insert(T, [{Key, Me} || Key <- Keys]);
        0 -> [xets:insert(T, {Key, Me}) || Key <- Keys];
        1 when I rem 3 =:= 0 -> xets:take_many(T, Keys);
        1 when I rem 3 =:= 1 -> [xets:delete(T, Key) || Key <- Keys];
        1 -> xets:select_delete(T, [{{'$1', Me}, [{'>=', '$1', From}, {'<', '$1', From + 300}],
                                     [true]}])
    end,
    I + 1.

pages('$end_of_table') -> [];
pages({Page, Continuation}) -> Page ++ pages(xets:select(Continuation)).

%%% Each object once

%% In a bag each key has several objects, of which some are equal in a duplicate_bag.
objects(Type) ->
    N = small(8000, 1000),
    [{I, of_key} || I <- lists:seq(1, N)] ++
        [{I, of_key} || Type =:= duplicate_bag, I <- lists:seq(1, N)] ++
        [{I rem 10, I} || is_bag(Type), I <- lists:seq(1, N)].

select_take_gives_to_one(Type, Way) ->
    T = table([Type]),
    Objects = objects(Type),
    xets:insert(T, shuffle(Objects)),
    All = spec(Way, '_', [], [true]),
    Small = spec(Way, {'$1', '_'}, [{'<', '$1', 500}], [true]),
    Taken = together([fun() -> xets:select_take(T, All) end,
                      fun() -> xets:select_take(T, Small) ++ xets:select_take(T, All) end,
                      fun() -> lists:append(xets:take_many(T, lists:seq(1, 1000))) end,
                      fun() -> xets:select_take(T, All) end]),
    ?assertEqual([], xets:tab2list(T)),
    ?assert(lists:sort(Objects) =:= lists:sort(lists:append(Taken))),
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

select_delete_deletes_once(Type, Way) ->
    T = table([Type]),
    Objects = objects(Type),
    xets:insert(T, shuffle(Objects)),
    All = spec(Way, '$1', [], [true]),
    Small = spec(Way, {'$1', '_'}, [{'<', '$1', 500}], [true]),
    Deleted = together([fun() -> xets:select_delete(T, All) end,
                        fun() -> xets:select_delete(T, Small) + xets:select_delete(T, All) end,
                        fun() -> length(lists:append(xets:take_many(T, lists:seq(1, 500)))) end,
                        fun() -> length(xets:select_take(T, All)) end]),
    ?assertEqual([], xets:tab2list(T)),
    ?assertEqual(length(Objects), lists:sum(Deleted)),
    ?assertEqual(0, xets:info(T, size)),
    xets:delete(T).

%%% No replacement is lost

select_replace_loses_none(Type, Way) ->
    T = table([Type]),
    Keys = lists:seq(1, 600),
    xets:insert(T, [{Key, 0} || Key <- Keys]),
    All = spec(Way, {'$1', '$2'}, [], [{{'$1', {'+', '$2', 1}}}]),
    Even = spec(Way, {'$1', '$2'}, [{'=:=', {'rem', '$1', 2}, 0}], [{{'$1', {'+', '$2', 1}}}]),
    Times = small(20, 5),
    Replaced = together([fun() -> times(Times, fun() -> xets:select_replace(T, All) end) end,
                         fun() -> times(Times, fun() -> xets:select_replace(T, All) end) end,
                         fun() -> times(Times, fun() -> xets:select_replace(T, Even) end) end,
                         fun() ->
                                 [xets:update_counter(T, Key, 1)
                                  || _ <- lists:seq(1, Times), Key <- Keys],
                                 0
                         end]),
    ?assertEqual([Times * 600, Times * 600, Times * 300, 0], Replaced),
    ?assertEqual([{Key, Times * (4 - Key rem 2)} || Key <- Keys], lists:sort(xets:tab2list(T))),
    xets:delete(T).

times(Times, Fun) ->
    lists:sum([Fun() || _ <- lists:seq(1, Times)]).

%% What is returned is what was made: each number once.
update_loses_none(Type, Way) ->
    T = table([Type]),
    xets:insert(T, {key, 0, 0}),
    Add = spec(Way, {key, '$2', '$3'}, [], [{{key, {'+', '$2', 1}, '$3'}}]),
    AddToBoth = spec(Way, {'$1', '$2', '$3'}, [],
                     [{{'$1', {'+', '$2', 1}, {'+', '$3', 1}}}]),
    Times = small(3000, 300),
    Made = together([fun() -> [xets:update(T, key, Spec) || _ <- lists:seq(1, Times)] end
                     || Spec <- [Add, Add, AddToBoth, AddToBoth]]),
    ?assertEqual([{key, 4 * Times, 2 * Times}], xets:lookup(T, key)),
    ?assertEqual(lists:seq(1, 4 * Times), lists:sort([N || {key, N, _} <- lists:append(Made)])),
    xets:delete(T).

update_has_one_winner(Type, Way) ->
    T = table([Type]),
    Winners = race(fun(Round, Me) ->
                           xets:insert_new(T, {Round, free}),
                           Claim = spec(Way, {'$1', free}, [], [{{'$1', Me}}]),
                           case xets:update(T, Round, Claim) of
                               {Round, Me} -> true;
                               false -> false
                           end
                   end),
    [?assertEqual({Round, [{Round, Me}]}, {Round, xets:lookup(T, Round)})
     || {Round, [Me]} <- Winners],
    ?assert(lists:all(fun({_, By}) -> length(By) =:= 1 end, Winners)),
    xets:delete(T).

%% An object that is replaced has another place in a bag, where the same call may find it again.
replaced_once_in_a_group_test_() ->
    [{atom_to_list(Way), {timeout, 60, fun() -> replaced_once_in_a_group(Way) end}}
     || Way <- [native, as_terms]].

replaced_once_in_a_group(Way) ->
    T = table([duplicate_bag]),
    N = small(5000, 2500),
    xets:insert(T, [{key, I} || I <- lists:seq(1, N)]),
    Spec = spec(Way, {key, '$1'}, [], [{{key, {'+', '$1', 1000000}}}]),
    ?assertEqual(N, xets:select_replace(T, Spec)),
    ?assertEqual([{key, 1000000 + I} || I <- lists:seq(1, N)], xets:lookup(T, key)),
    xets:delete(T).

%%% Killed

killed_test_() ->
    [{atom_to_list(Type), {timeout, 120, fun() -> killed(Type) end}}
     || Type <- [set, ordered_set, bag]].

killed(Type) ->
    #{bytes := Before, tables := Tables} = settled(),
    T = table([Type]),
    [begin
         xets:insert(T, [{I, {0, text(I)}} || I <- lists:seq(1, small(8000, 1000))]),
         killed_in(fun() -> Call(T) end, Round)
     end || Call <- calls(Type), Round <- lists:seq(1, small(6, 3))],
    % All that is left is whole, and can be written.
    [{I, {_, Text}} = {I, {0, text(I)}} || {I, {_, Text}} <- xets:tab2list(T)],
    true = xets:delete_all_objects(T),
    true = xets:insert(T, {1, again}),
    [{1, again}] = xets:tab2list(T),
    xets:delete(T),
    eventually(fun() ->
                       #{bytes := Bytes, tables := Now} = xets:info(),
                       {Bytes, Now} =:= {Before, Tables}
               end).

calls(Type) ->
    [fun(T) -> xets:select(T, [{'_', [], ['$_']}]) end,
     fun(T) -> xets:select(T, spec(as_terms, '_', [], ['$_'])) end,
     fun(T) -> pages(xets:select(T, [{'_', [], [[{{'$_'}}]]}], 100)) end,
     fun(T) -> xets:select_count(T, [{{'_', {'$1', '_'}}, [], [true]}]) end,
     fun(T) -> xets:select_delete(T, [{{'_', {0, '_'}}, [], [true]}]) end,
     fun(T) -> xets:select_take(T, [{{'_', {0, '_'}}, [], [true]}]) end] ++
        [fun(T) ->
                 xets:select_replace(T, [{{'$1', {'$2', '$3'}}, [],
                                          [{{'$1', {{{'+', '$2', 1}, '$3'}}}}]}])
         end || Type =/= bag].

text(I) -> <<"the text of ", (integer_to_binary(I))/binary>>.

%% Runs Fun in a process, which is killed while it is at it, in most rounds.
killed_in(Fun, Round) ->
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> Self ! {self(), began}, Fun() end),
    receive {Pid, began} -> ok end,
    burn(Round * 10000),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

burn(0) -> ok;
burn(N) -> burn(N - 1).

%%% Tables that are deleted

%% As in ets: the next page is a badarg, whoever deleted the table.
deleted_between_pages_test_() ->
    [{lists:concat([Type, ", ", Way]), fun() -> deleted_between_pages(Type, Way) end}
     || Type <- [set, ordered_set, bag, duplicate_bag], Way <- [native, as_terms]].

deleted_between_pages(Type, Way) ->
    T = table([Type]),
    xets:insert(T, [{I, I} || I <- lists:seq(1, 100)]),
    {[_, _], More} = xets:select(T, spec(Way, '_', [], ['$_']), 2),
    [ok] = together([fun() -> xets:delete(T), ok end]),
    ?assertError(badarg, xets:select(More)),
    ?assertError(badarg, xets:select(binary_to_term(term_to_binary(More)))).

%% A call that is at it when the table is deleted has all of it, or is a badarg.
deleted_during_a_scan_test_() ->
    [{lists:concat([Name, ", ", Type]),
      {timeout, 60, fun() -> deleted_during_a_scan(Type, Call) end}}
     || Type <- [set, ordered_set, bag],
        {Name, Call} <-
            [{"select", fun(T) -> length(xets:select(T, [{'_', [], ['$_']}])) end},
             {"select as terms",
              fun(T) -> length(xets:select(T, spec(as_terms, '_', [], ['$_']))) end},
             {"pages", fun(T) -> length(pages(xets:select(T, [{'_', [], ['$_']}], 50))) end},
             {"select_count", fun(T) -> xets:select_count(T, [{'_', [], [true]}]) end}]].

deleted_during_a_scan(Type, Call) ->
    N = small(5000, 500),
    Outcomes = lists:append(
        [begin
             T = table([Type]),
             xets:insert(T, [{I, I} || I <- lists:seq(1, N)]),
             [Last, true] = together([fun() -> until_badarg(fun() -> Call(T) end, N) end,
                                      fun() -> burn(Round * 10000), xets:delete(T) end]),
             [Last]
         end || Round <- lists:seq(1, small(5, 3))]),
    ?assertEqual([badarg], lists:usort(Outcomes)).

until_badarg(Call, N) ->
    try Call() of
        N -> until_badarg(Call, N)
    catch
        error:badarg -> badarg
    end.
