%% Objects read from mutated external terms: bytes that no test thinks of. What binary_to_term/1
%% takes must be encoded as its term is, what it refuses must be refused.
%%
%% `make fuzz` runs this for FUZZ_SECONDS, from a seed that it prints; XETS_TEST_SEED gives one.
-module(xets_etf_fuzz_tests).

-export([run/1]).

-include_lib("eunit/include/eunit.hrl").

-import(xets_key_fuzz_tests, [pool/1, mutated/3, may_have_funs/1]).

-define(MUTANTS, 8). % of a term
-define(ATOMS_LEFT, 200000).

mutants_test_() ->
    {timeout, 120,
     fun() ->
             Cases = xets_test_lib:small(4000, 500),
             #{object := Objects, none := None} = cases(1, 1, fun(I) -> I =< Cases end),
             %% That both happens, and often.
             ?assert(Objects > Cases),
             ?assert(None > Cases)
     end}.

%% Runs so many seconds. Returns if nothing was found.
run(Seconds) ->
    Read = xets_test_lib:fuzz("external terms", Seconds,
                              fun(Seed, More) -> cases(Seed, 1, More) end),
    io:format("external terms: ~p~n", [Read]).

cases(Seed, First, More) ->
    cases(Seed, pool(Seed), First, More, #{}).

cases(Seed, Pool, I, More, Read) ->
    case More(I) of
        true -> cases(Seed, Pool, I + 1, More, a_case(Seed, I, Pool, Read));
        false -> Read
    end.

%% A case is known by the two numbers.
a_case(Seed, I, Pool, Read) ->
    rand:seed(exsss, {Seed, I, 1}),
    Object = object(rand:uniform(3), Pool),
    lists:foldl(fun(_, Acc) ->
                        Mutant = mutated(Object, Pool, rand:uniform(4) - 1),
                        What = reads(Seed, I, Object, Mutant),
                        maps:update_with(What, fun(N) -> N + 1 end, 1, Acc)
                end, Read, lists:seq(1, ?MUTANTS)).

%% A tuple of so many terms.
object(N, Pool) ->
    Terms = [Term || _ <- lists:seq(1, N), <<131, Term/binary>> <- [any(Pool)]],
    iolist_to_binary([131, 104, N, Terms]).

any(Tuple) -> element(rand:uniform(tuple_size(Tuple)), Tuple).

%% The reader knows the keys of the maps of the object already, or does not.
reads(Seed, I, <<_, Known/binary>>, <<_, Bytes/binary>> = External) ->
    <<104, Arity, _/binary>> = Known,
    KeyPos = rand:uniform(Arity), Form = rand:uniform(8) - 1,
    Before = [Known || _ <- lists:seq(1, any({0, 2})), Bytes =/= <<>>],
    Left = erlang:system_info(atom_limit) - erlang:system_info(atom_count),
    Trust = case Left < ?ATOMS_LEFT of true -> safe; false -> unsafe end,
    try
        case {Bytes, may_have_funs(External)} of
            %% Compressed, which may tell of gigabytes: refused unread.
            {<<80, _/binary>>, _} ->
                bad = xets_etf_nif:read(Bytes, KeyPos, Form, infinity, safe),
                none;
            {_, true} -> not_tried;
            {_, false} -> xets_etf_tests:reads(Before, Bytes, KeyPos, Form, Trust)
        end
    catch Class:Reason:Stack ->
            io:format(standard_error, "case {~b, ~b}, key position ~b, form ~b:~n~p~n",
                      [Seed, I, KeyPos, Form, {Before, Bytes}]),
            erlang:raise(Class, Reason, Stack)
    end.
