%% The loops that are timed, written once and compiled three times: against `ets`
%% (xets_bench_on_ets), against `xets` (xets_bench_on_xets) and against nothing
%% (xets_bench_on_none, whose time is the cost of the loop itself).
%%
%% Every call of the module under test is static: `Module:lookup(T, K)` with a variable module
%% costs about as much as the difference that is to be measured. The including file defines
%%
%%   ?DO(Call)         the call in the module under test, or `ok` for the empty loop
%%   ?MANY(T, Keys)    the objects of many keys, as a user of the module would get them
%%
%% and in the same way, of an ordered_set whose objects are pairs,
%%
%%   ?RANGE(T, From, To)    the objects whose keys are in a range
%%   ?PREFIX(T, Prefix)     the objects whose keys are tuples of a prefix and one more element
%%   ?COUNT(T, From, To)    how many there are in a range
%%   ?RANK(T, Key)          how many keys there are up to this one
%%   ?NTH(T, I)             the object with the I-th key
%%
%% The results of the calls are dropped: the loops measure; what they left is compared afterwards.

-export([lookup/2, lookup_element/2, member/2, insert/2, update_counter/2, delete/2]).
-export([delete_and_insert/2, delete_object/2, lookup_many/2]).
-export([next/3, prev/3, range/2, prefix/2, select/2, count/2, rank/2, nth/2, found/3]).
-export([scan/3]).
-export([mix/4, counters/4, overwrite/4, grow/6]).

%% Loops over prepared keys or objects -----------------------------------------------------------

lookup([K | Ks], T) ->
    _ = ?DO(lookup(T, K)),
    lookup(Ks, T);
lookup([], _) ->
    ok.

lookup_element([K | Ks], T) ->
    _ = ?DO(lookup_element(T, K, 2)),
    lookup_element(Ks, T);
lookup_element([], _) ->
    ok.

member([K | Ks], T) ->
    _ = ?DO(member(T, K)),
    member(Ks, T);
member([], _) ->
    ok.

insert([O | Os], T) ->
    _ = ?DO(insert(T, O)),
    insert(Os, T);
insert([], _) ->
    ok.

update_counter([K | Ks], T) ->
    _ = ?DO(update_counter(T, K, 1)),
    update_counter(Ks, T);
update_counter([], _) ->
    ok.

delete([K | Ks], T) ->
    _ = ?DO(delete(T, K)),
    delete(Ks, T);
delete([], _) ->
    ok.

delete_and_insert([O | Os], T) ->
    _ = ?DO(delete(T, element(1, O))),
    _ = ?DO(insert(T, O)),
    delete_and_insert(Os, T);
delete_and_insert([], _) ->
    ok.

delete_object([O | Os], T) ->
    _ = ?DO(delete_object(T, O)),
    delete_object(Os, T);
delete_object([], _) ->
    ok.

lookup_many([Keys | Rest], T) ->
    _ = ?MANY(T, Keys),
    lookup_many(Rest, T);
lookup_many([], _) ->
    ok.

%% Loops over ordered keys ------------------------------------------------------------------------

%% So many steps from a key; returns the last one.
next(0, K, _T) ->
    K;
next(N, K, T) ->
    next(N - 1, ?DO(next(T, K)), T).

prev(0, K, _T) ->
    K;
prev(N, K, T) ->
    prev(N - 1, ?DO(prev(T, K)), T).

range([{From, To} | Ranges], T) ->
    _ = ?RANGE(T, From, To),
    range(Ranges, T);
range([], _) ->
    ok.

prefix([Prefix | Prefixes], T) ->
    _ = ?PREFIX(T, Prefix),
    prefix(Prefixes, T);
prefix([], _) ->
    ok.

select([Spec | Specs], T) ->
    _ = ?DO(select(T, Spec)),
    select(Specs, T);
select([], _) ->
    ok.

count([{From, To} | Ranges], T) ->
    _ = ?COUNT(T, From, To),
    count(Ranges, T);
count([], _) ->
    ok.

rank([K | Ks], T) ->
    _ = ?RANK(T, K),
    rank(Ks, T);
rank([], _) ->
    ok.

nth([I | Is], T) ->
    _ = ?NTH(T, I),
    nth(Is, T);
nth([], _) ->
    ok.

%% What one call of those loops returns, so that it can be compared.
found(range, {From, To}, T) -> ?RANGE(T, From, To);
found(prefix, Prefix, T) -> ?PREFIX(T, Prefix);
found(select, Spec, T) -> ?DO(select(T, Spec));
found(count, {From, To}, T) -> ?COUNT(T, From, To);
found(rank, Key, T) -> ?RANK(T, Key);
found(nth, I, T) -> ?NTH(T, I).

%% Calls that look at all objects, one at a time --------------------------------------------------

scan(select_count, Spec, T) -> ?DO(select_count(T, Spec));
scan(match_object, Pattern, T) -> ?DO(match_object(T, Pattern));
scan(select_delete, Spec, T) -> ?DO(select_delete(T, Spec));
scan(select, Spec, T) -> ?DO(select(T, Spec));
scan(tab2list, _, T) -> ?DO(tab2list(T));
scan(foldl, Fun, T) -> ?DO(foldl(Fun, 0, T)).

%% Loops that draw their keys ---------------------------------------------------------------------
%%
%% Two processes that walked through prepared operations would soon insert only what is there and
%% delete only what is not. So these draw, by the multiply-with-carry generator of rand:mwc59/1
%% written out (a call would cost more than the draw). Key bits come from the low end of the state,
%% the choice of the operation from bits 22 to 31. They return the state, to go on from.

-define(NEXT(X), (16#7fa6502 * ((X) band 16#ffffffff) + ((X) bsr 32))).

%% Mask + 1 keys; of 1,024 draws, Insert are inserts, Delete - Insert deletes, the rest lookups.
mix(0, X, _T, _Keys) ->
    X;
mix(N, X0, T, {Mask, Insert, Delete} = Keys) ->
    X = ?NEXT(X0),
    case (X bsr 22) band 1023 of
        P when P < Insert ->
            _ = ?DO(insert(T, {X band Mask, N})),
            ok;
        P when P < Delete ->
            _ = ?DO(delete(T, X band Mask)),
            ok;
        _ ->
            _ = ?DO(lookup(T, X band Mask)),
            ok
    end,
    mix(N - 1, X, T, Keys).

counters(0, X, _T, _Keys) ->
    X;
counters(N, X0, T, {Mask, _, _} = Keys) ->
    X = ?NEXT(X0),
    _ = ?DO(update_counter(T, X band Mask, 1)),
    counters(N - 1, X, T, Keys).

overwrite(0, X, _T, _Keys) ->
    X;
overwrite(N, X0, T, {Mask, _, _} = Keys) ->
    X = ?NEXT(X0),
    _ = ?DO(insert(T, {X band Mask, N})),
    overwrite(N - 1, X, T, Keys).

%% The time of each single insert -----------------------------------------------------------------
%%
%% Objects I + 1 to N go in, in scrambled key order; each insert's time goes to a histogram whose
%% last slot takes all that is longer. Returns the longest. Drawing the key, building the object
%% and counting are outside of the timed part.

grow(I, N, _T, _Histogram, _Shape, Longest) when I >= N ->
    Longest;
grow(I, N, T, Histogram, {Shift, Slots} = Shape, Longest) ->
    Object = grown(I),
    T0 = erlang:monotonic_time(),
    _ = ?DO(insert(T, Object)),
    T1 = erlang:monotonic_time(),
    Time = T1 - T0,
    counters:add(Histogram, min(Time bsr Shift, Slots - 1) + 1, 1),
    grow(I + 1, N, T, Histogram, Shape, max(Time, Longest)).

grown(I) ->
    {xets_bench_lib:scramble(I), I}.
