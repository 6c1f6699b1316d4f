%% Terms as they are stored (c_src/beam/term.h), for xets_term_tests. The library is
%% term_nif.so in the directory that the environment variable XETS_TEST_LIB names.
%%
%% Budget is a number of words, or `infinity`. Reuse is [Key], the key offered to
%% decoding, or [].
-module(xets_term_nif).

-export([key/2, object/3, roundtrip/4, decode_key/3, element/5, immediate/3, replace/5, equal/3,
         equal_forms/2, expand/2, words/2, compress/1, order/1, is_key_of/3, identity/3,
         fail_after/1, magic/0, natives/1, probe/4]).
-export_type([stored/0]).

-on_load(init/0).

-type stored() :: {KeyBytes :: binary(), KeyHandles :: [term()],
                   BodyBytes :: binary(), BodyHandles :: [term()],
                   Pinned :: non_neg_integer(), Flags :: non_neg_integer(),
                   Words :: non_neg_integer()}.
-type result(T) :: {ok, T} | budget | nomem.
-type budget() :: non_neg_integer() | infinity.

init() ->
    Dir = os:getenv("XETS_TEST_LIB", "_build/c/release/test"),
    erlang:load_nif(filename:join(Dir, "term_nif"),
                    xets_test_lib:native_info()).

-spec key(term(), budget()) ->
          result({Bytes :: binary(), Handles :: [term()], Reusable :: boolean()}).
key(_Key, _Budget) -> erlang:nif_error(not_loaded).

-spec object(tuple(), pos_integer(), budget()) -> result(stored()).
object(_Object, _KeyPos, _Budget) -> erlang:nif_error(not_loaded).

-spec roundtrip(tuple(), pos_integer(), [term()], budget()) -> result(tuple()).
roundtrip(_Object, _KeyPos, _Reuse, _Budget) -> erlang:nif_error(not_loaded).

-spec decode_key(tuple(), pos_integer(), budget()) -> result(term()).
decode_key(_Object, _KeyPos, _Budget) -> erlang:nif_error(not_loaded).

-spec element(tuple(), pos_integer(), pos_integer(), [term()], budget()) -> result(term()).
element(_Object, _KeyPos, _Pos, _Reuse, _Budget) -> erlang:nif_error(not_loaded).

-spec immediate(tuple(), pos_integer(), pos_integer()) -> {arity(), [term()]}.
immediate(_Object, _KeyPos, _Pos) -> erlang:nif_error(not_loaded).

-spec replace(tuple(), pos_integer(), [pos_integer()], [term()], budget()) ->
          result({tuple(), stored()}).
replace(_Object, _KeyPos, _Positions, _Terms, _Budget) -> erlang:nif_error(not_loaded).

-spec equal(tuple(), tuple(), pos_integer()) -> boolean().
equal(_Stored, _Given, _KeyPos) -> erlang:nif_error(not_loaded).

%% Whether the object is equal to itself, compressed and not.
-spec equal_forms(tuple(), pos_integer()) -> boolean().
equal_forms(_Object, _KeyPos) -> erlang:nif_error(not_loaded).

%% The body before it was compressed. What stands before the sizes must be right.
-spec expand(binary(), budget()) -> result(binary()).
expand(_Body, _Budget) -> erlang:nif_error(not_loaded).

-spec words(tuple(), pos_integer()) -> non_neg_integer().
words(_Object, _KeyPos) -> erlang:nif_error(not_loaded).

%% Whether objects are encoded as for a compressed table, from now on.
-spec compress(boolean()) -> ok.
compress(_Compress) -> erlang:nif_error(not_loaded).

-spec identity(tuple(), pos_integer(), budget()) -> result(non_neg_integer()).
identity(_Object, _KeyPos, _Budget) -> erlang:nif_error(not_loaded).

%% Whether objects are stored as in an ordered table, from now on.
-spec order(boolean()) -> ok.
order(_Ordered) -> erlang:nif_error(not_loaded).

%% Whether a key that has been found in an ordered table is the one that the object has.
-spec is_key_of(Key :: term(), tuple(), pos_integer()) -> boolean().
is_key_of(_Key, _Object, _KeyPos) -> erlang:nif_error(not_loaded).

%% Lets N more allocations succeed (negative: all); the number of blocks in use.
-spec fail_after(integer()) -> integer().
fail_after(_N) -> erlang:nif_error(not_loaded).

%% A reference to a resource.
-spec magic() -> reference().
magic() -> erlang:nif_error(not_loaded).

%% Only these kinds (XE_NATIVE_ in c_src/beam/term_native.h) are native from now on, as far as they
%% were proven; returns which are.
-spec natives(non_neg_integer()) -> non_neg_integer().
natives(_Kinds) -> erlang:nif_error(not_loaded).

%% The kinds that the probe finds as expected. Field: the number of a field of struct xe_native
%% that is expected to be what it is not, or -1.
-spec probe([reference()], [reference()], [bitstring()], integer()) -> [atom()].
probe(_Refs, _OtherRefs, _BitStrings, _Field) -> erlang:nif_error(not_loaded).
