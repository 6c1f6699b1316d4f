%% Keys of ordered tables made of mutated external terms: terms that no test thinks of. Whatever
%% binary_to_term/1 takes must be ordered as by Erlang's operators, and be restored.
%%
%% `make fuzz` runs this for FUZZ_SECONDS, from a seed that it prints; XETS_TEST_SEED gives one.
-module(xets_key_fuzz_tests).

-export([run/1]).

%% For xets_etf_fuzz_tests.
-export([pool/1, mutated/3, may_have_funs/1]).

-include_lib("eunit/include/eunit.hrl").

-define(POOL, 400).
-define(MUTANTS, 4).       % of a term, which are compared with it and with each other
-define(TRIES, 60).        % to make them: most mutants are no terms
-define(EXTERNAL_MAX, 3000).
-define(ATOMS_LEFT, 200000).

mutants_test_() ->
    {timeout, 120,
     fun() ->
             Cases = xets_test_lib:small(3000, 500),
             Compared = cases(1, pool(1), 1, fun(I) -> I =< Cases end, 0),
             %% That they are terms, and not just rubbish.
             ?assert(Compared > 2 * Cases)
     end}.

%% Runs so many seconds. Returns if nothing was found.
run(Seconds) ->
    Compared = xets_test_lib:fuzz("keys", Seconds,
                                  fun(Seed, More) -> cases(Seed, pool(Seed), 1, More, 0) end),
    io:format("keys: ~b mutants compared~n", [Compared]).

cases(Seed, Pool, I, More, Compared) ->
    case More(I) of
        true -> cases(Seed, Pool, I + 1, More, Compared + a_case(Seed, I, Pool));
        false -> Compared
    end.

%% A case is known by the two numbers.
a_case(Seed, I, Pool) ->
    rand:seed(exsss, {Seed, I, 0}),
    External = any(Pool),
    Mutants = mutants(External, Pool, ?MUTANTS, ?TRIES),
    try
        Terms = [binary_to_term(External) | Mutants],
        xets_key_tests:agree(Terms),
        lists:foreach(fun xets_key_tests:restored/1, Terms)
    catch Class:Reason:Stack ->
            io:format(standard_error, "case {~b, ~b}:~n~p~n", [Seed, I, [External | Mutants]]),
            erlang:raise(Class, Reason, Stack)
    end,
    length(Mutants).

%%% External terms

pool(Seed) ->
    Samples = [T || {_, T} <- xets_terms:samples()],
    Drawn = lists:flatmap(fun(I) -> tuple_to_list(drawn({Seed, I, 11})) end,
                          lists:seq(1, ?POOL div 2)),
    list_to_tuple([E || T <- Samples ++ Drawn, E <- [term_to_binary(T)],
                        byte_size(E) =< ?EXTERNAL_MAX, not may_have_funs(E)]).

%% binary_to_term/1 of OTP trusts what it reads of a fun: of mutated ones it makes terms that crash
%% the emulator. These bytes are their tags.
may_have_funs(External) ->
    binary:match(External, [<<112>>, <<113>>, <<117>>]) =/= nomatch.

drawn({_, I, _} = Seed) ->
    {ok, Pair} = proper_gen:pick(xets_terms:pair_type(), 3 + I rem 30, Seed),
    xets_terms:make_pair(Pair).

any(Tuple) -> element(rand:uniform(tuple_size(Tuple)), Tuple).

mutants(_, _, N, Tries) when N =:= 0; Tries =:= 0 -> [];
mutants(External, Pool, N, Tries) ->
    case decoded(mutated(External, Pool, rand:uniform(3))) of
        {ok, Term} -> [Term | mutants(External, Pool, N - 1, Tries - 1)];
        error -> mutants(External, Pool, N, Tries - 1)
    end.

%% Not compressed ones, which may tell of gigabytes; and no more atoms when many are there.
decoded(<<131, 80, _/binary>>) -> error;
decoded(External) ->
    Left = erlang:system_info(atom_limit) - erlang:system_info(atom_count),
    Options = [safe || Left < ?ATOMS_LEFT],
    try
        false = may_have_funs(External),
        {ok, binary_to_term(External, Options)}
    catch error:_ -> error
    end.

mutated(External, _, 0) -> External;
mutated(External, Pool, N) -> mutated(mutate(External, Pool, rand:uniform(7)), Pool, N - 1).

%% Something else in the place of a byte: a bit of it flipped, another byte, or a tag.
mutate(External, _, Way) when Way =< 3 ->
    {Before, <<Byte, After/binary>>} = cut(External),
    New = case Way of
              1 -> Byte bxor (1 bsl (rand:uniform(8) - 1));
              2 -> rand:uniform(256) - 1;
              3 -> any({70, 77, 88, 90, 97, 98, 100, 104, 105, 106, 107, 108, 109, 110, 111, 116,
                        118, 119})
          end,
    <<Before/binary, New, After/binary>>;
%% Truncated.
mutate(External, _, 4) ->
    {Before, <<_, _/binary>>} = cut(External),
    Before;
%% A part of it once more, or not at all.
mutate(External, _, Way) when Way =< 6 ->
    {Before, After} = cut(External),
    Size = rand:uniform(min(16, byte_size(After))),
    <<Part:Size/binary, Rest/binary>> = After,
    case Way of
        5 -> <<Before/binary, Part/binary, After/binary>>;
        6 -> <<Before/binary, Rest/binary>>
    end;
%% Another term in its place from here on.
mutate(External, Pool, 7) ->
    {Before, _} = cut(External),
    <<131, Other/binary>> = any(Pool),
    <<Before/binary, Other/binary>>.

%% Behind the version, before a byte; what is too short is made longer.
cut(External) when byte_size(External) < 2 -> cut(<<131, 106>>);
cut(External) ->
    Size = rand:uniform(byte_size(External) - 1),
    <<Before:Size/binary, After/binary>> = External,
    {Before, After}.
