%% Stored objects written to the external term format and read from it (c_src/beam/etf.h), for
%% xets_etf_tests. The library is etf_nif.so in the directory that the environment variable
%% XETS_TEST_LIB names.
%%
%% Bytes are those of terms without the version byte. Budget is a number of words, or `infinity`.
-module(xets_etf_nif).

-export([encoded/3, encoded_key/2, written/4, written_key/2, read/5, read_key/4, read_term/2,
         write_term/1, extent/1, bench/4, fail_after/1]).
-export_type([encoded/0, form/0]).

-on_load(init/0).

-type encoded() :: {KeyBytes :: binary(), KeyHandles :: [term()],
                    BodyBytes :: binary(), BodyHandles :: [term()],
                    Pinned :: non_neg_integer(), Flags :: non_neg_integer(),
                    Words :: non_neg_integer(), Identity :: non_neg_integer()}.
-type form() :: 0..7. % bits: of an ordered table, of a compressed one, identified as in bags
-type budget() :: non_neg_integer() | infinity.
-type trust() :: safe | unsafe.
-type failed() :: budget | nomem | limit | bad | no_object.

init() ->
    Dir = os:getenv("XETS_TEST_LIB", "_build/c/release/test"),
    erlang:load_nif(filename:join(Dir, "etf_nif"), xets_test_lib:native_info()).

%% As xe_term_encode_object() encodes it.
-spec encoded(tuple(), pos_integer(), form()) -> {ok, encoded()} | nomem.
encoded(_Object, _KeyPos, _Form) -> erlang:nif_error(not_loaded).

%% As a key is encoded to be found.
-spec encoded_key(term(), form()) -> {ok, encoded()} | nomem.
encoded_key(_Key, _Form) -> erlang:nif_error(not_loaded).

-spec written(tuple(), pos_integer(), form(), budget()) ->
          {ok, {Object :: binary(), Key :: binary()}} | failed().
written(_Object, _KeyPos, _Form, _Budget) -> erlang:nif_error(not_loaded).

%% A key that is encoded to be found.
-spec written_key(term(), form()) -> {ok, binary()} | failed().
written_key(_Key, _Form) -> erlang:nif_error(not_loaded).

%% All objects that are there, by one reader.
-spec read(binary(), pos_integer(), form(), budget(), trust()) -> {ok, [encoded()]} | failed().
read(_Bytes, _KeyPos, _Form, _Budget, _Trust) -> erlang:nif_error(not_loaded).

-spec read_key(binary(), form(), budget(), trust()) ->
          {ok, encoded(), Used :: pos_integer()} | failed().
read_key(_Bytes, _Form, _Budget, _Trust) -> erlang:nif_error(not_loaded).

-spec read_term(binary(), trust()) -> {ok, term(), Used :: pos_integer()} | failed().
read_term(_Bytes, _Trust) -> erlang:nif_error(not_loaded).

-spec write_term(term()) -> {ok, binary()} | failed().
write_term(_Term) -> erlang:nif_error(not_loaded).

%% Bytes of the term at the beginning, 0 if there is none.
-spec extent(binary()) -> non_neg_integer().
extent(_Bytes) -> erlang:nif_error(not_loaded).

%% Nanoseconds for writing the object, and for reading it.
-spec bench(tuple(), pos_integer(), form(), pos_integer()) -> {float(), float()}.
bench(_Object, _KeyPos, _Form, _N) -> erlang:nif_error(not_loaded).

%% Lets N more allocations succeed (negative: all); the number of blocks in use.
-spec fail_after(integer()) -> integer().
fail_after(_N) -> erlang:nif_error(not_loaded).
