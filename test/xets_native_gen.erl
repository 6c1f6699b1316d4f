%% Random terms of all kinds, quickly: for tests that want millions of them. They are drawn with the
%% state of rand of the process, so a seed gives the same shapes again (references differ).
%%
%% Where there are several ways in which a term can have come to lie in memory, they are drawn, too:
%% maps made at once, by insertions, by deletions, by merging and by choosing from larger ones;
%% binaries that are whole, a part of another, with room to be appended to, or a literal; terms that
%% occur twice in one.
-module(xets_native_gen).

-export([seed/1, term/0, term/1, leaf/0, object/1, kinds/0, kind/1, map/1, pick/1, chance/1]).

-import(xets_terms, [bytes/1, negative_zero/0]).

%% @doc From now on the terms of this seed are drawn.
-spec seed(term()) -> ok.
seed(Seed) ->
    _ = rand:seed(exsss, erlang:phash2(Seed, 1 bsl 32)),
    ok.

%% @doc A term, mostly a small one.
-spec term() -> term().
term() ->
    term(pick([0, 1, 1, 2, 2, 3, 4])).

%% @doc A term in which containers are nested so deeply at most.
-spec term(non_neg_integer()) -> term().
term(0) ->
    leaf();
term(Depth) ->
    case rand:uniform(10) of
        1 -> leaf();
        2 -> twice(term(Depth - 1));
        3 -> map(Depth);
        _ -> container(rand:uniform(8), Depth - 1)
    end.

%% One copy of it in memory.
twice(Term) ->
    pick([{Term, Term}, [Term | Term], #{Term => Term}, {[Term], Term, a}]).

container(1, _) -> list_to_tuple(immediates());
container(2, _) -> immediates();
container(3, Depth) -> list_to_tuple(terms(Depth));
container(4, Depth) -> terms(Depth);
container(5, Depth) -> terms(Depth) ++ term(Depth);
container(6, _) -> immediates() ++ immediate();
container(7, Depth) -> map(Depth);
container(8, Depth) -> {term(Depth), leaf(), term(Depth)}.

terms(Depth) ->
    [term(Depth) || _ <- few()].

immediates() ->
    [immediate() || _ <- few()].

few() ->
    lists:seq(1, pick([0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 12])).

%% @doc A map, sometimes around the size where its representation changes, or larger.
-spec map(non_neg_integer()) -> map().
map(Depth) ->
    Size = case rand:uniform(20) of
               1 -> 31 + rand:uniform(4);
               2 -> pick([33, 40, 60, 100, 150]);
               N when N < 8 -> N - 3;
               _ -> rand:uniform(8)
           end,
    map(Size, max(0, min(Depth - 1, if Size > 20 -> 0; true -> Depth end))).

map(Size, Depth) ->
    Keys = pick([fun immediate/0, fun leaf/0, fun() -> term(Depth) end]),
    Values = pick([fun immediate/0, fun leaf/0, fun() -> term(Depth) end]),
    made_of([{Keys(), Values()} || _ <- lists:seq(1, Size)]).

made_of(Pairs) ->
    case rand:uniform(7) of
        1 ->
            maps:from_list(Pairs);
        2 ->
            put_all(Pairs, #{});
        3 ->
            Others = [{{other, I}, I} || I <- lists:seq(1, pick([1, 5, 40]))],
            maps:without([K || {K, _} <- Others], put_all(Pairs, maps:from_list(Others)));
        4 ->
            {As, Bs} = lists:split(rand:uniform(length(Pairs) + 1) - 1, Pairs),
            maps:merge(put_all(As, #{}), maps:from_list(Bs));
        5 ->
            maps:filter(fun({other, _}, _) -> false; (_, _) -> true end, with_others(Pairs));
        6 ->
            maps:with([K || {K, _} <- Pairs], with_others(Pairs));
        7 ->
            maps:intersect(with_others(Pairs), maps:from_list(Pairs))
    end.

with_others(Pairs) ->
    maps:merge(maps:from_list([{{other, I}, I} || I <- lists:seq(1, pick([1, 5, 40]))]),
               maps:from_list(Pairs)).

put_all(Pairs, Map) ->
    lists:foldl(fun({K, V}, M) -> M#{K => V} end, Map, Pairs).

%% @doc An object with a key at KeyPos.
-spec object(KeyPos :: pos_integer()) -> tuple().
object(KeyPos) ->
    list_to_tuple([term() || _ <- lists:seq(1, KeyPos)] ++ [term() || _ <- few()]).

%%% Leaves

immediate() ->
    case rand:uniform(8) of
        1 -> [];
        2 -> pick([a, true, '', undefined, list_to_atom([16#17e, 16#1f600])]);
        3 -> self();
        4 -> local_port();
        5 -> sign() * (1 bsl (rand:uniform(60) - 1)) - rand:uniform(2) + 1;
        _ -> rand:uniform(200) - 100
    end.

local_port() ->
    hd(erlang:ports()).

%% @doc A term without elements.
-spec leaf() -> term().
leaf() ->
    kind(pick(kinds())).

%% @doc The names of the kinds of leaves. Several of the same are more often drawn.
-spec kinds() -> [atom()].
kinds() ->
    [immediate, immediate, immediate, bignum, bignum, float, float, zero, nothing,
     heap_binary, heap_binary, heap_binary, part, slice, shared_binary, appendable, bits, part_bits,
     shared_bits, reference, reference, alias, magic, external, local_fun, external_fun].

%% @doc A leaf of a kind.
-spec kind(atom()) -> term().
kind(immediate) ->
    immediate();
kind(bignum) ->
    Bits = pick([58, 59, 60, 62, 63, 64, 65, 100, 127, 128, 200, 64 * rand:uniform(12), 2040]),
    sign() * ((1 bsl Bits) + pick([-1, 0, 1, rand:uniform(1 bsl 58)]));
kind(float) ->
    sign() * rand:uniform() * math:pow(10.0, rand:uniform(600) - 300);
kind(zero) ->
    pick([0.0, negative_zero(), 1.0, -1.0, 5.0e-324]);
kind(nothing) ->
    pick([{}, #{}, [], <<>>, "", 0]);
kind(heap_binary) ->
    bytes(pick([0, 1, 7, 8, 9, 15, 16, 20, 63, 64, rand:uniform(65) - 1]));
kind(part) ->
    xets_terms:part(bytes(pick([0, 1, 8, 20, 64, 65, 300])));
kind(slice) ->
    Size = pick([100, 1000, 5000]),
    From = rand:uniform(Size) - 1,
    binary:part(bytes(Size), From, rand:uniform(Size - From));
kind(shared_binary) ->
    bytes(pick([65, 66, 100, 1000, 4096, 4097]));
kind(appendable) ->
    <<(bytes(rand:uniform(70)))/binary, (bytes(rand:uniform(20)))/binary>>;
kind(bits) ->
    xets_terms:bits(pick([1, 7, 9, 63, 65, 511, 513, rand:uniform(513)]));
kind(part_bits) ->
    xets_terms:part(xets_terms:bits(pick([1, 7, 8, 9, 100, 511, 513, 700])));
kind(shared_bits) ->
    xets_terms:bits(pick([513, 1001, 8 * 4096 + 1]));
kind(reference) ->
    make_ref();
kind(alias) ->
    an_alias();
kind(magic) ->
    atomics:new(1, []);
kind(external) ->
    pick([xets_terms:external_pid(rand:uniform(3)), xets_terms:external_port(),
          xets_terms:external_ref()]);
kind(local_fun) ->
    xets_terms:closure(pick([1, 2.0, "text", bytes(20), make_ref(), #{a => {1 bsl 70}}]));
kind(external_fun) ->
    pick([fun lists:map/2, fun xets_terms:samples/0]).

%% One for the process: each is kept in a list of its own as long as it is active, and none any more
%% when it is not.
an_alias() ->
    case get(?MODULE) of
        undefined ->
            Alias = alias(),
            put(?MODULE, Alias),
            Alias;
        Alias ->
            Alias
    end.

sign() ->
    pick([1, -1]).

%%% Drawing

%% @doc One of them.
-spec pick([T, ...]) -> T.
pick(List) ->
    lists:nth(rand:uniform(length(List)), List).

%% @doc True once in N times.
-spec chance(pos_integer()) -> boolean().
chance(N) ->
    rand:uniform(N) =:= 1.
