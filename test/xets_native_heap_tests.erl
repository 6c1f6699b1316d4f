%% The heap discipline of what reads of tables return: whatever happens to the process that has the
%% results, to its heap and to the table, they stay well-formed and what they were. The rules that
%% are to be kept stand in c_src/beam/term_native.h. All of it holds for the portable way, too.
%%
%% `make prove' runs run/1: random cases, as many as there is time for.
-module(xets_native_heap_tests).

-include_lib("eunit/include/eunit.hrl").

-export([run/1, dump/0]).

-import(xets_native_gen, [seed/1, pick/1]).
-import(xets_native_nif, [keep/3, decode/2, bytes/1, walk/2, copies/3, kinds/1, fail_after/1]).
-import(xets_native_reads, [same/2]).
-import(xets_native_cases, [collected/1, disturbed/3, flush/0]).
-import(xets_terms, [samples/0, nests/0, part/1, noise/1]).
-import(xets_test_lib, [small/2]).

%% Words of a block that results are built in (XE_NATIVE_BLOCK).
-define(BLOCK, 8192).
%% Words from which on a block is made as a list (LIST_BLOCK).
-define(LIST_BLOCK, 96).
%% A heap on which everything that a test makes lies behind one another.
-define(LARGE_HEAP, 500000).
-define(ALL_KINDS, -1).

%%% Random cases

%% @doc Runs random cases for so many seconds.
-spec run(pos_integer()) -> ok.
run(Seconds) ->
    xets_test_lib:fuzz("xets_native", Seconds, fun(Seed, Go) ->
        N = cases(Seed, 1, Go),
        io:format("xets_native: ~b cases~n", [N])
    end).

cases(Seed, I, Go) ->
    case Go(I) of
        true ->
            ok = xets_native_cases:run(Seed, I),
            stored(Seed, I),
            cases(Seed, I + 1, Go);
        false ->
            I - 1
    end.

random_cases_test_() ->
    Seed = xets_test_lib:env("XETS_TEST_SEED", 1),
    {timeout, 300, fun() ->
                           [ok = xets_native_cases:run(Seed, I) || I <- lists:seq(1, small(40, 10))]
                   end}.

random_objects_test_() ->
    Seed = xets_test_lib:env("XETS_TEST_SEED", 1),
    {timeout, 300, fun() -> [stored(Seed, I) || I <- lists:seq(1, small(250, 40))] end}.

%% A random object, stored and read in all ways, with a random choice of native kinds for each.
stored(Seed, I) ->
    on_large_heap(fun() ->
        seed({Seed, I, stored}),
        KeyPos = pick([1, 1, 2]),
        Object = xets_native_gen:object(KeyPos),
        Form = pick([[], [], [compressed], [ordered], [compressed, ordered]]),
        try everywhere(Object, KeyPos, Form)
        catch Class:Reason:Stack -> erlang:raise(Class, {{seed, Seed, 'case', I}, Reason}, Stack)
        end
    end).

%%% What is left on a heap

samples_test_() ->
    [{Name, {timeout, 60, fun() ->
                                  on_large_heap(fun() ->
                                                        everywhere({k, Term}, 1, []),
                                                        everywhere({{Term}, [Term | Term]}, 1, []),
                                                        everywhere({Term, 1.5, Term}, 2, [])
                                                end)
                          end}} || {Name, Term} <- samples()].

%% Decoded onto a heap, into environments, into a message; each part by itself; all well-formed, and
%% of the size of a fresh copy.
everywhere(Object, KeyPos, Form) ->
    Parts = [0 | [Part || erts_debug:flat_size(Object) < ?BLOCK,
                          Part <- [-1, rand:uniform(tuple_size(Object))]]],
    [begin
         _ = kinds(Encoding),
         Kept = keep(Object, KeyPos, Form),
         _ = kinds(Decoding),
         % a large map that was stored without its shape costs an attempt that is given up
         Times = case Encoding =:= Decoding of true -> 2; false -> 3 end,
         [well_formed(part_of(Object, KeyPos, Part), Kept, Part, Times) || Part <- Parts]
     end || {Encoding, Decoding} <- [{?ALL_KINDS, ?ALL_KINDS}, {0, ?ALL_KINDS}, {?ALL_KINDS, 0},
                                     {some_kinds(), some_kinds()}]],
    _ = kinds(?ALL_KINDS),
    ok.

some_kinds() ->
    rand:uniform(1 bsl 10) - 1.

part_of(Object, _, 0) -> Object;
part_of(Object, KeyPos, -1) -> element(KeyPos, Object);
part_of(Object, _, Pos) -> element(Pos, Object).

well_formed(Expected, Kept, Part) ->
    well_formed(Expected, Kept, Part, 2).

%% At most `Times' the words of the result are taken, and some that are left of blocks.
well_formed(Expected, Kept, Part, Times) ->
    % what comes to lie in a fragment is followed by all else
    collected(minor),
    {{ok, Result}, Words, Found} = walk(Kept, Part),
    ?assert(Found =:= ok orelse Found =:= elsewhere andalso has_external_format(Expected)),
    same(Expected, Result),
    Size = erts_debug:flat_size(Result),
    ?assert(Size > 100 orelse Size =:= erts_debug:size(Result)),
    ?assert(Words =< Times * Size + 64),
    collected(pick([minor, major, twice])),
    same(Expected, Result),
    [same(Expected, Copy) || Copy <- copies(Kept, Part, pick([1 | [20 || Size < ?BLOCK div 10]]))],
    received(Expected, Kept, Part).

%% Whether it may have been made of its external format, which puts it beside the heap.
has_external_format(T) when is_integer(T) -> abs(T) >= 1 bsl 63;
has_external_format(T) when is_bitstring(T) -> not is_binary(T);
has_external_format(T) when is_tuple(T) -> has_external_format(tuple_to_list(T));
has_external_format(T) when is_map(T) -> has_external_format(maps:to_list(T));
has_external_format([H | T]) -> has_external_format(H) orelse has_external_format(T);
has_external_format(_) -> false.

%% A process gets the fragments in which a message was decoded.
received(Expected, Kept, Part) ->
    Tag = make_ref(),
    true = xets_native_nif:send(self(), Tag, Kept, Part, 2),
    receive
        {Tag, Results} ->
            [same(Expected, R) || R <- Results],
            collected(minor),
            [same(Expected, R) || R <- Results]
    end.

on_large_heap(Fun) ->
    on_heap(?LARGE_HEAP, Fun).

%% Runs Fun in a process of its own.
on_heap(Words, Fun) ->
    {Pid, Monitor} =
        spawn_opt(fun() ->
                          exit(try {done, Fun()}
                               catch Class:Reason:Stack -> {Class, Reason, Stack}
                               end)
                  end, [monitor, {min_heap_size, Words}, {fullsweep_after, 0}]),
    receive
        {'DOWN', Monitor, process, Pid, {done, Result}} -> Result;
        {'DOWN', Monitor, process, Pid, Reason} -> erlang:error(Reason)
    end.

%%% Around the size of a block

%% Terms whose words are a block, or two, or a few more or less.
sizes_around_blocks_test_() ->
    [{Name, {timeout, 60, fun() -> on_large_heap(fun() -> around_blocks(Make) end) end}}
     || {Name, Make} <- [{"list", fun(N) -> lists:seq(1, N div 2) end},
                         {"improper list", fun(N) -> lists:seq(1, N div 2) ++ [] ++ {tail} end},
                         {"tuple", fun(N) -> list_to_tuple(lists:seq(1, N - 1)) end},
                         {"tuple of floats", fun(N) -> list_to_tuple(floats(N div 3)) end},
                         {"floats", fun(N) -> floats(N div 4) end},
                         {"binaries", fun(N) -> binaries(N div 6) end},
                         {"tuples in tuples", fun(N) -> nest(N div 3) end},
                         {"lists in lists", fun(N) -> lists_in_lists(N div 2) end},
                         {"flat maps", fun(N) ->
                                               [#{a => I, {I} => b} || I <- lists:seq(1, N div 12)]
                                       end},
                         {"integer", fun(N) -> 1 bsl (64 * (N - 1) - 1) end},
                         {"large map", fun(N) -> #{m => xets_terms:numbers(N div 4)} end}]].

around_blocks(Make) ->
    [around_block(list_to_tuple([k, Make(Blocks * ?BLOCK + Words), 1.5]))
     || Blocks <- [1, 2], Words <- [-7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6]],
    [around_block(list_to_tuple([k, Make(?LIST_BLOCK + Words), 1.5]))
     || Words <- lists:seq(-16, 6)].

around_block(Object) ->
    Kept = keep(Object, 1, []),
    [well_formed(part_of(Object, 1, Part), Kept, Part) || Part <- [0, 2]].

floats(N) -> [I + 0.5 || I <- lists:seq(1, N)].

binaries(N) -> [<<I:160>> || I <- lists:seq(1, N)].

nest(N) -> lists:foldl(fun(I, T) -> {T, I} end, [], lists:seq(1, N)).

lists_in_lists(N) -> lists:foldl(fun(_, T) -> [T] end, [], lists:seq(1, N)).

%% Trees of maps in maps, and what has to be made before the map that it is in.
maps_in_maps_test_() ->
    {timeout, 60,
     fun() ->
             on_large_heap(
               fun() ->
                       [everywhere({k, maps_in_maps(N, 3)}, 1, []) || N <- [1, 32, 33]],
                       [everywhere({{maps_in_maps(N, 2)}, a}, 1, []) || N <- [1, 32, 33]],
                       [everywhere({k, M}, 1, []) || M <- maps_that_have_shrunk()]
               end)
     end}.

maps_in_maps(_, 0) ->
    [make_ref(), fun lists:map/2, noise(100)];
maps_in_maps(N, Depth) ->
    maps:put(#{Depth => maps_in_maps(1, Depth - 1)}, maps_in_maps(N, Depth - 1),
             maps:from_list([{I, {I}} || I <- lists:seq(2, N)])).

%% Tries of all sizes, one whose nodes are full, and those that removing leaves.
maps_that_have_shrunk() ->
    Full = xets_terms:numbers(2000),
    Sizes = [1999, 1000, 272, 257, 256, 100, 64, 40, 34, 33, 32, 31],
    [lists:foldl(fun maps:remove/2, Full, lists:seq(Size + 1, 2000)) || Size <- Sizes]
        ++ [xets_terms:numbers(Size) || Size <- [33, 34, 48, 100, 500, 2000, 20000]].

%%% What is native and what is not, in one term

%% Both ways write the same bytes, but for what only one of them writes.
both_ways_write_the_same_test_() ->
    {timeout, 60, fun() -> on_large_heap(fun both_ways_write_the_same/0) end}.

both_ways_write_the_same() ->
    seed(both_ways),
    Terms = [T || {_, T} <- samples()] ++ [xets_native_gen:term() || _ <- lists:seq(1, 1000)],
    Plain = [T || T <- Terms, not has_own_form(T)],
    ?assert(length(Plain) > length(Terms) div 3),
    [begin
         _ = kinds(?ALL_KINDS),
         Native = bytes(keep(Object, 1, Form)),
         _ = kinds(0),
         ?assertEqual(bytes(keep(Object, 1, Form)), Native)
     end || T <- Plain, Object <- [{k, T}, {T, T}, {k, [T], 1}],
            Form <- [[], [compressed], [ordered]]],
    _ = kinds(?ALL_KINDS),
    ok.

%% Whether references or large maps are in it.
has_own_form(T) when is_reference(T) -> true;
has_own_form(T) when is_map(T) ->
    map_size(T) > 32 orelse has_own_form(maps:to_list(T));
has_own_form(T) when is_tuple(T) -> has_own_form(tuple_to_list(T));
has_own_form([H | T]) -> has_own_form(H) orelse has_own_form(T);
has_own_form(_) -> false.

%% Terms that are equal without lying in memory in the same way: what is stored as one is found by
%% the other, as in ets. (Whether some of the references are equal is for the emulator to say.)
equal_in_two_forms_test_() ->
    xets_test_lib:both(fun equal_in_two_forms/1).

equal_in_two_forms(Module) ->
    [equal_in_two_forms(Module, Type, Name, Nest(A), Nest(B))
     || {Name, A, B} <- two_forms(), A =:= B, Type <- xets_native_reads:types(),
        Nest <- [fun(T) -> T end, fun(T) -> {T, a} end, fun(T) -> #{a => [T]} end]].

equal_in_two_forms(Module, Type, Name, A, B) ->
    [begin
         T = Module:new(table, [Type]),
         true = Module:insert(T, [{Stored, 1}, {key, Stored}]),
         Found = {Module:member(T, Given), length(Module:lookup(T, Given)),
                  length(Module:match_object(T, {'_', Given})),
                  Module:select(T, [{{'$1', '$2'}, [{'=:=', '$2', {const, Given}}], ['$1']}]),
                  Module:select_count(T, [{{Given, '_'}, [], [true]}])},
         ?assertEqual({Name, Type, {true, 1, 1, [key], 1}}, {Name, Type, Found}),
         true = Module:delete_object(T, {key, Given}),
         true = Module:delete(T, Given),
         ?assertEqual({Name, Type, []}, {Name, Type, Module:tab2list(T)}),
         Module:delete(T)
     end || {Stored, Given} <- [{A, B}, {B, A}]].

two_forms() ->
    Again = fun(T) -> binary_to_term(term_to_binary(T)) end,
    Alias = alias(),
    true = unalias(Alias),
    Active = alias(),
    Monitor = monitor(process, self(), [{alias, demonitor}]),
    Ended = monitor(process, self(), [{alias, demonitor}]),
    true = demonitor(Ended),
    Magic = atomics:new(1, []),
    Ref = make_ref(),
    Full = xets_terms:numbers(40),
    [{"reference", Ref, list_to_ref(ref_to_list(Ref))},
     {"inactive alias", Alias, Again(Alias)},
     {"active alias", Active, list_to_ref(ref_to_list(Active))},
     {"monitor with an alias", Monitor, Again(Monitor)},
     {"ended monitor with an alias", Ended, Again(Ended)},
     {"magic reference", Magic, list_to_ref(ref_to_list(Magic))},
     {"external reference", xets_terms:external_ref(), xets_terms:external_ref()},
     {"slice", binary:part(noise(5000), 17, 4000), binary:copy(binary:part(noise(5000), 17, 4000))},
     {"bits", part(xets_terms:bits(100)), xets_terms:bits(100)},
     {"binary in an appendable one", <<(noise(20))/binary, (noise(20))/binary>>,
      Again(<<(noise(20))/binary, (noise(20))/binary>>)},
     {"map that was larger", maps:without(lists:seq(33, 40), Full), xets_terms:numbers(32)},
     {"large map that was larger", maps:without([34], xets_terms:numbers(34)),
      lists:foldl(fun(I, M) -> M#{I => -I} end, #{}, lists:seq(33, 1, -1))},
     {"map with others' keys", maps:map(fun(_, V) -> V end, xets_terms:numbers(20)),
      Again(xets_terms:numbers(20))},
     {"fun", fun lists:map/2, Again(fun lists:map/2)},
     {"closure", xets_terms:closure(1), Again(xets_terms:closure(1))}].

%% Memory that is lacking anywhere in a decoding leaves a heap that can be walked, and another try
%% that has what the first one lacked.
lack_of_memory_test_() ->
    {timeout, 60, fun() -> on_large_heap(fun lack_of_memory/0) end}.

lack_of_memory() ->
    Terms = [nest(1000), [{I, [I], #{I => 1.0}} || I <- lists:seq(1, 300)],
             list_to_tuple([make_ref() || _ <- lists:seq(1, 300)]),
             lists_in_lists(600), maps_in_maps(40, 3), xets_terms:numbers(500),
             {list_to_tuple(lists:seq(1, ?BLOCK + 1000)), {}, 1 bsl 10000, xets_terms:bits(4097)}],
    [begin
         Kept = keep({k, T, T}, 1, Form),
         collected(major),
         Blocks = fail_after(-1),
         lacking(Kept, {k, T, T}, 0, Blocks)
     end || T <- Terms, Form <- [[], [compressed]]].

lacking(Kept, Object, N, Blocks) ->
    _ = fail_after(N),
    Walked = walk(Kept, 0),
    ?assertEqual(Blocks, fail_after(-1)),
    case Walked of
        {nomem, _, Found} ->
            ?assertEqual(ok, Found),
            collected(minor),
            lacking(Kept, Object, N + 1, Blocks);
        {{ok, Result}, _, ok} ->
            same(Object, Result)
    end.

%%% A heap that is nearly full

%% So that results land in fragments beside it: every level at which it can be, for samples of all
%% kinds.
nearly_full_test_() ->
    {timeout, 120, fun nearly_full/0}.

nearly_full() ->
    T = xets:new(table, []),
    Samples = [{Name, Term} || {Name, Term} <- samples(), erts_debug:flat_size(Term) < 1000],
    true = xets:insert(T, [{Name, Term, 1.5} || {Name, Term} <- Samples]),
    % where it is not copied to the heaps that are to be small
    persistent_term:put(?MODULE, Samples),
    Levels = lists:seq(0, 240, small(4, 24)),
    Fragments = [beside_the_heap(T, I, Level)
                 || I <- lists:seq(1, length(Samples)), Level <- Levels],
    ?assert(lists:member(true, Fragments)),
    ?assert(lists:member(false, Fragments)),
    persistent_term:erase(?MODULE),
    xets:delete(T).

beside_the_heap(T, I, Level) ->
    on_heap(233, fun() ->
        {Name, Term} = lists:nth(I, persistent_term:get(?MODULE)),
        Used = lists:seq(1, Level),
        [{_, Found, _}] = xets:lookup(T, Name),
        {_, Info} = process_info(self(), garbage_collection_info),
        collected(pick([none, minor])),
        same(Term, Found),
        Element = xets:lookup_element(T, Name, 2),
        collected(minor),
        same([Term | Term], [Element | Found]),
        Level = length(Used),
        proplists:get_value(mbuf_size, Info) > 0
    end).

%%% Large results, on dirty schedulers

%% While another process has the heap collected, looked through, told of, and messages put to it.
large_results_test_() ->
    [{Name, {timeout, 120, fun() -> large_result(Make()) end}} || {Name, Make} <- large()].

large() ->
    Many = small(30000, 15000),
    [{"list of tuples", fun() -> [{I, [I | I], <<I:160>>} || I <- lists:seq(1, Many)] end},
     {"maps", fun() -> [#{I => I, b => #{c => {I}}} || I <- lists:seq(1, Many div 4)] end},
     {"large map", fun() -> maps:from_list([{I, {I * 1.5}} || I <- lists:seq(1, Many div 2)]) end},
     {"tuples in tuples", fun() -> nest(Many) end},
     {"with shared parts",
      fun() -> [{make_ref(), noise(65 + I rem 100), fun lists:map/2, I bsl 70}
                || I <- lists:seq(1, Many div 10)]
      end}].

large_result(Term) ->
    on_heap(233, fun() ->
        Self = self(),
        Spare = xets_native_code:spare(),
        Pest = spawn_link(fun() -> xets_native_cases:pest(Self, Spare) end),
        Busy = atomics:new(2, []),
        T = xets:new(table, []),
        true = xets:insert(T, [{k, Term}, {other, [a]}]),
        Reads = [fun() -> [{_, V}] = xets:lookup(T, k), V end,
                 fun() -> xets:lookup_element(T, k, 2) end,
                 fun() -> [[{_, V}], [{other, [a]}]] = xets:lookup_many(T, [k, other]), V end,
                 fun() -> proplists:get_value(k, xets:tab2list(T)) end,
                 fun() -> [{_, V}] = xets:select(T, [{{k, '_'}, [], ['$_']}]), V end,
                 fun() -> [V] = xets:select(T, [{{'$1', '$2'}, [{is_atom, '$1'},
                                                                {'=:=', '$1', k}], ['$2']}]), V
                 end],
        Read = fun(Get) ->
                       V = disturbed(Pest, Busy, Get),
                       ?assert(Term =:= V),
                       flush()
               end,
        [Read(Get) || Get <- Reads],
        until_disturbed(small(100, 20), Busy, fun() -> Read(hd(Reads)) end),
        [{_, Taken}] = disturbed(Pest, Busy, fun() -> xets:take(T, k) end),
        true = xets:delete(T),
        collected(twice),
        ?assert(Term =:= Taken),
        ?assert(term_to_binary(Term) =:= term_to_binary(Taken)),
        unlink(Pest),
        xets_test_lib:kill(Pest)
    end).

%% Other things have happened to this process meanwhile, so many times.
until_disturbed(Times, Busy, Fun) ->
    case atomics:get(Busy, 2) >= Times of
        true ->
            ok;
        false ->
            Fun(),
            until_disturbed(Times, Busy, Fun)
    end.

%% Killed while it reads, over and over, large and small results, with some in its queue.
killed_while_reading_test_() ->
    {timeout, 120, fun() ->
        T = xets:new(table, [public]),
        Term = [{I, #{I => I}, <<I:200>>, 1.5} || I <- lists:seq(1, small(30000, 10000))],
        true = xets:insert(T, [{large, Term}, {small, lists:sublist(Term, 10)}]),
        [begin
             Self = self(),
             Reader = spawn(fun() -> Self ! {self(), reads}, read_on(T, Key) end),
             receive {Reader, reads} -> ok end,
             [Reader ! xets:lookup(T, small) || _ <- lists:seq(1, I rem 7)],
             xets_test_lib:kill(Reader)
         end || I <- lists:seq(1, small(60, 20)), Key <- [large, small]],
        same([{large, Term}], xets:lookup(T, large)),
        xets:delete(T)
    end}.

read_on(T, Key) ->
    Results = [xets:lookup(T, Key), xets:lookup(T, Key)],
    self() ! hd(Results),
    receive [_] = Same -> true = Same =:= lists:last(Results) end,
    read_on(T, Key).

%%% What comes and goes behind what is stored

%% Literals of a module that is purged: neither the table nor what was read from it needs them.
purged_literals_test_() ->
    {timeout, 60, fun() ->
        Literal = {[1, 2.5, <<"binary">>, 1 bsl 80], #{a => {}, b => #{}},
                   xets_terms:numbers(40), noise(100), "text"},
        Expected = binary_to_term(term_to_binary(Literal)),
        ok = xets_native_code:load(xets_native_literals, Literal),
        T = xets:new(table, []),
        true = xets:insert(T, {xets_native_code:literal(xets_native_literals),
                               xets_native_code:literal(xets_native_literals)}),
        Before = xets:lookup(T, Expected),
        BeforeToo = xets:lookup(T, xets_native_code:literal(xets_native_literals)),
        ok = xets_native_code:delete(xets_native_literals),
        collected(twice),
        same([{Expected, Expected}], Before),
        same([{Expected, Expected}], BeforeToo),
        same([{Expected, Expected}], xets:lookup(T, Expected)),
        xets:delete(T)
    end}.

%% The same of persistent terms.
erased_persistent_terms_test_() ->
    {timeout, 60, fun() ->
        Make = fun() -> [Term || {_, Term} <- samples(), erts_debug:flat_size(Term) < 20000] end,
        T = xets:new(table, []),
        Expected = Make(),
        persistent_term:put(?MODULE, Expected),
        [true = xets:insert(T, {{I, Term}, Term})
         || {I, Term} <- lists:enumerate(persistent_term:get(?MODULE))],
        Keys = lists:enumerate(persistent_term:get(?MODULE)),
        Found = [xets:lookup(T, Key) || Key <- Keys],
        true = persistent_term:erase(?MODULE),
        % other literals, where those were
        persistent_term:put(?MODULE, Make()),
        collected(twice),
        same([[{Key, Term}] || {_, Term} = Key <- lists:enumerate(Expected)], Found),
        same([[{Key, Term}] || {_, Term} = Key <- lists:enumerate(Expected)],
             xets:lookup_many(T, lists:enumerate(Expected))),
        persistent_term:erase(?MODULE),
        xets:delete(T)
    end}.

%% Who traces a process gets copies of what its calls return.
traced_results_test_() ->
    {timeout, 60, fun() ->
        T = xets:new(table, [public]),
        Samples = [Sample || {_, Term} = Sample <- samples(), erts_debug:flat_size(Term) < 20000],
        true = xets:insert(T, Samples),
        Reader = xets_test_lib:actor([{min_heap_size, 233}, {fullsweep_after, 0}]),
        1 = erlang:trace_pattern({xets, lookup, 2}, [{'_', [], [{return_trace}]}], [local]),
        1 = erlang:trace(Reader, true, [call, garbage_collection]),
        xets_test_lib:run(Reader, fun() -> [xets:lookup(T, Name) || {Name, _} <- Samples] end),
        1 = erlang:trace(Reader, false, [all]),
        1 = erlang:trace_pattern({xets, lookup, 2}, false, [local]),
        same([[Sample] || Sample <- Samples], returned(Reader)),
        xets_test_lib:stop(Reader),
        xets:delete(T)
    end}.

%% What the traced calls of a process have returned.
returned(Pid) ->
    Delivered = erlang:trace_delivered(Pid),
    receive {trace_delivered, Pid, Delivered} -> traces(Pid) end.

traces(Pid) ->
    receive
        {trace, Pid, return_from, {xets, lookup, 2}, Result} -> [Result | traces(Pid)];
        Trace when element(1, Trace) =:= trace -> traces(Pid)
    after 0 ->
        []
    end.

%% A process that gets a result larger than its heap may be is killed; others see nothing of that.
too_large_for_a_heap_test_() ->
    {timeout, 60, fun() ->
        T = xets:new(table, [public]),
        Term = nest(30000),
        true = xets:insert(T, {k, Term}),
        Limit = #{size => 20000, kill => true, error_logger => false},
        [begin
             {Reader, Monitor} = spawn_opt(fun() -> exit({got, length(xets:lookup(T, k))}) end,
                                           [monitor, {max_heap_size, Limit}]),
             receive {'DOWN', Monitor, process, Reader, Reason} -> ?assertEqual(killed, Reason) end
         end || _ <- lists:seq(1, 5)],
        same([{k, Term}], xets:lookup(T, k)),
        xets:delete(T)
    end}.

%% A binary that has been stored is appended to, where it lies.
appended_binaries_test() ->
    T = xets:new(table, []),
    [begin
         Binary = <<(noise(Size))/binary, "end">>,
         true = xets:insert(T, [{Size, Binary, [Binary]}, {Binary, Size}]),
         Longer = lists:foldl(fun(I, B) -> <<B/binary, I:400>> end, Binary, lists:seq(1, 30)),
         Expected = <<(noise(Size))/binary, "end">>,
         same([{Size, Expected, [Expected]}], xets:lookup(T, Size)),
         same([{Expected, Size}], xets:lookup(T, Expected)),
         % nor is what has been read
         [{_, Read, _}] = xets:lookup(T, Size),
         Appended = <<Read/binary, (binary:part(Longer, Size, 10))/binary>>,
         same([{Size, Expected, [Expected]}], xets:lookup(T, Size)),
         ?assertEqual(Size + 13, byte_size(Appended))
     end || Size <- [0, 1, 20, 60, 61, 62, 100, 300, 5000]],
    xets:delete(T).

%% A small part of a large binary does not keep all of it in memory.
slices_test() ->
    Large = noise(100000),
    T = xets:new(table, []),
    Native = lists:member(slice, maps:get(native_terms, xets:info(), [])),
    [begin
         Slice = binary:part(Large, 1000, Size),
         true = xets:insert(T, {Size, [Slice]}),
         [{_, [Found]}] = xets:lookup(T, Size),
         same(Slice, Found),
         ?assert(binary:referenced_byte_size(Found) < 4 * Size orelse not Native)
     end || Size <- [65, 100, 1000, 20000]],
    [begin
         <<_:3, Slice:Size/bits, _/bits>> = Large,
         true = xets:insert(T, {Size, [Slice]}),
         same([{Size, [Slice]}], xets:lookup(T, Size))
     end || Size <- [513, 521, 801, 8000, 100001]],
    xets:delete(T).

%% Results live on when their table has been changed, emptied and deleted, in a process that sleeps.
results_outlive_the_table_test_() ->
    {timeout, 60, fun() ->
        T = xets:new(table, [ordered_set, public]),
        Objects = [{{I, Name}, Term} || {I, {Name, Term}} <- lists:enumerate(samples())],
        true = xets:insert(T, Objects),
        Self = self(),
        Sleeper = spawn_link(fun() ->
            Results = {xets:tab2list(T), xets:lookup_many(T, [K || {K, _} <- Objects]),
                       xets:foldr(fun(O, Os) -> [O | Os] end, [], T)},
            Self ! {self(), asleep},
            erlang:hibernate(erlang, apply, [fun awake/2, [Self, Results]])
        end),
        receive {Sleeper, asleep} -> ok end,
        true = xets:insert(T, [{K, changed} || {K, _} <- Objects]),
        true = xets:delete_all_objects(T),
        true = xets:delete(T),
        Sleeper ! awake,
        receive
            {results, {All, Many, Folded}} ->
                same(Objects, All),
                same([[O] || O <- Objects], Many),
                same(Objects, Folded)
        end
    end}.

awake(Parent, Results) ->
    receive awake -> ok end,
    collected(twice),
    Parent ! {results, Results}.

%% What is made before a call starts again on a dirty scheduler, or raises, is not looked at.
given_up_test_() ->
    {timeout, 60, fun() -> on_heap(233, fun() ->
        T = xets:new(table, []),
        Objects = [{I, #{I => {I, 1.5}, b => [<<I:160>>]}} || I <- lists:seq(1, 10000)],
        true = xets:insert(T, Objects),
        [begin
             Keys = lists:seq(1, N),
             ?assertError(badarg, xets:lookup_many(T, Keys ++ wrong)),
             collected(minor),
             Found = xets:lookup_many(T, Keys),
             collected(minor),
             ?assert(Found =:= [[O] || O <- lists:sublist(Objects, N)])
         end || N <- [1, 10, 1000, 1999, 2001, 10000]],
        xets:delete(T)
    end) end}.

%% A dump of the emulator walks all heaps: it comes to its end.
crash_dump_test_() ->
    {timeout, 120, fun() ->
        Dump = filename:join(os:getenv("TMPDIR", "/tmp"), "xets_native." ++ os:getpid()),
        Erl = filename:join([code:root_dir(), "bin", "erl"]),
        Paths = [["-pa ", P, " "] || P <- code:get_path(), is_own(P)],
        Command = [Erl, " -noshell -noinput ", Paths, "-run ", ?MODULE_STRING, " dump"],
        Output = os:cmd("ERL_CRASH_DUMP=" ++ Dump ++ " " ++ lists:flatten(Command)),
        {ok, Text} = file:read_file(Dump),
        ok = file:delete(Dump),
        ?assertNotEqual(nomatch, string:find(Output, "all heaps")),
        ?assertNotEqual(nomatch, binary:match(Text, <<"Slogan: all heaps">>)),
        ?assertEqual(<<"=end\n">>, binary:part(Text, byte_size(Text), -5))
    end}.

is_own(Path) ->
    filelib:is_regular(filename:join(Path, "xets.beam"))
        orelse filelib:is_regular(filename:join(Path, ?MODULE_STRING ".beam")).

%% @private Ends the emulator with a dump while processes have results of all kinds.
dump() ->
    T = xets:new(table, [public]),
    Terms = [{Name, Term} || {Name, Term} <- samples(), erts_debug:flat_size(Term) < 20000],
    true = xets:insert(T, Terms),
    Self = self(),
    [spawn_opt(fun() ->
                       Results = {xets:tab2list(T), [xets:lookup(T, Name) || {Name, _} <- Terms]},
                       put(results, Results),
                       Self ! got,
                       receive never -> Results end
               end, [{min_heap_size, Words}]) || Words <- [233, 1000000]],
    [receive got -> ok end || _ <- [1, 2]],
    Results = xets:tab2list(T),
    self() ! Results,
    erlang:halt("all heaps").
