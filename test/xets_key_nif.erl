%% Keys of ordered tables (c_src/beam/key.h), for xets_key_tests. The library is key_nif.so in
%% the directory that the environment variable XETS_TEST_LIB names.
%%
%% Budget is a number of words, or `infinity`.
-module(xets_key_nif).

-export([find/2, stored/2, any/2, is_short/1, small/1, roundtrip/2, signs/1, prefix/2, arity/1,
         fail_after/1]).
-export_type([key/0]).

-on_load(init/0).

-type key() :: {OrderBytes :: binary(), RestoreBytes :: binary(), Cut :: [term()],
                Pinned :: non_neg_integer(), Words :: non_neg_integer()}.
-type result(T) :: {ok, T} | budget | nomem.
-type budget() :: non_neg_integer() | infinity.

init() ->
    Dir = os:getenv("XETS_TEST_LIB", "_build/c/release/test"),
    erlang:load_nif(filename:join(Dir, "key_nif"),
                    xets_test_lib:native_info()).

%% As encoded to be found, and to be stored. [Key] is a cut key's term.
-spec find(term(), budget()) -> result(key()).
find(_Key, _Budget) -> erlang:nif_error(not_loaded).

-spec stored(term(), budget()) -> result(key()).
stored(_Key, _Budget) -> erlang:nif_error(not_loaded).

%% The order bytes of an integer of 64 bits, made without an encoder.
%% As find/2, by the way that all keys can go.
-spec any(term(), infinity | non_neg_integer()) -> {ok, tuple()} | budget | nomem.
any(_Key, _Budget) -> erlang:nif_error(not_loaded).

%% Whether the key's order bytes are made in registers.
-spec is_short(term()) -> boolean().
is_short(_Key) -> erlang:nif_error(not_loaded).

-spec small(integer()) -> binary().
small(_Integer) -> erlang:nif_error(not_loaded).

%% The budget is that of decoding.
-spec roundtrip(term(), budget()) -> result(term()).
roundtrip(_Key, _Budget) -> erlang:nif_error(not_loaded).

%% For every key, and each of them to compare it with: 0 less, 1 equal, 2 greater, 3 equal and the
%% same term.
-spec signs([term()]) -> binary().
signs(_Keys) -> erlang:nif_error(not_loaded).

-spec prefix({tuple, tuple(), arity()} | {list, [term()]} | {binary, binary()}, budget()) ->
          result({OrderBytes :: binary(), First :: binary(), Exact :: boolean()}).
prefix(_What, _Budget) -> erlang:nif_error(not_loaded).

%% -1: no tuple.
-spec arity(term()) -> integer().
arity(_Key) -> erlang:nif_error(not_loaded).

%% Lets N more allocations succeed (negative: all); the number of blocks in use.
-spec fail_after(integer()) -> integer().
fail_after(_N) -> erlang:nif_error(not_loaded).
