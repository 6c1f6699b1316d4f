%% Stored objects, decoded in all places where that can happen, and what they look like there, for
%% xets_native_heap_tests. The library is native_nif.so in the directory that the environment
%% variable XETS_TEST_LIB names.
%%
%% Part is what is decoded: 0 the object, -1 its key, else the element at that position.
-module(xets_native_nif).

-export([keep/3, decode/2, bytes/1, walk/2, copies/3, send/5, kinds/1, fail_after/1, magic/0]).
-export_type([kept/0]).

-on_load(init/0).

-type kept() :: reference().

init() ->
    Dir = os:getenv("XETS_TEST_LIB", "_build/c/release/test"),
    erlang:load_nif(filename:join(Dir, "native_nif"), xets_test_lib:native_info()).

%% An object as a table stores it.
-spec keep(tuple(), KeyPos :: pos_integer(), [compressed | ordered]) -> kept() | nomem.
keep(_Object, _KeyPos, _Form) -> erlang:nif_error(not_loaded).

-spec decode(kept(), Part :: integer()) -> {ok, term()} | nomem.
decode(_Kept, _Part) -> erlang:nif_error(not_loaded).

-spec bytes(kept()) -> {Key :: binary(), Body :: binary(), Handles :: non_neg_integer()}.
bytes(_Kept) -> erlang:nif_error(not_loaded).

%% Decodes onto the caller's heap, and walks over what has been put there. `elsewhere': it was not
%% put behind one another.
-spec walk(kept(), Part :: integer()) ->
          {{ok, term()} | nomem, Words :: non_neg_integer(), Found :: ok | elsewhere | atom()}.
walk(_Kept, _Part) -> erlang:nif_error(not_loaded).

%% N + 1 terms, decoded into an environment of no process first.
-spec copies(kept(), Part :: integer(), N :: non_neg_integer()) -> [term()].
copies(_Kept, _Part, _N) -> erlang:nif_error(not_loaded).

%% Sends {Tag, Terms}, of which each of N has been decoded into the message.
-spec send(pid(), Tag :: term(), kept(), Part :: integer(), N :: non_neg_integer()) -> boolean().
send(_Pid, _Tag, _Kept, _Part, _N) -> erlang:nif_error(not_loaded).

%% Chooses among what can be native (c_src/beam/term_native.h); -1: all. What is so now.
-spec kinds(Mask :: integer()) -> non_neg_integer().
kinds(_Mask) -> erlang:nif_error(not_loaded).

%% Lets N more allocations succeed (negative: all); the number of blocks in use.
-spec fail_after(integer()) -> integer().
fail_after(_N) -> erlang:nif_error(not_loaded).

%% A reference to a resource.
-spec magic() -> reference().
magic() -> erlang:nif_error(not_loaded).
