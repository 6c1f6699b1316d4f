%% @private
%% @doc Options of the calls of ordered tables, pages of their results, and continuations.
-module(xets_order).

-export([options/2, capped/1, range_page/6, prefix_page/5, is_continuation/1]).
-export_type([continuation/0, limit/0, flags/0, found/0, page/0]).

-type limit() :: pos_integer() | infinity.
-type flags() :: non_neg_integer().

-type found() :: [tuple()] | {[tuple()], Last :: term()}.
%% Objects; with the last key among them, if there may be more than the limit.

-type continuation() ::
    {xets_range, xets:table(), From :: term(), To :: term(), pos_integer(), flags()}
    | {xets_prefix, xets:table(), Prefix :: term(), Last :: term(), pos_integer(), flags()}.
%% What is left of a range; of a prefix, behind the last key.

-type page() ::
    [tuple()] | {[tuple()], continuation() | '$end_of_table'} | '$end_of_table'.

%% As in c_src/beam/calls_order.c.
-define(REVERSE, 1).
-define(FROM_EXCLUSIVE, 2).
-define(FROM_UNBOUNDED, 4).
-define(TO_EXCLUSIVE, 8).
-define(TO_UNBOUNDED, 16).
-define(GO_ON, 32).

%% More than there are objects.
-define(MANY, (1 bsl 56)).

%% @doc The limit and the flags that options ask for, if their names are among those that are
%% accepted. A later option overrides an earlier one.
-spec options(Options :: term(), Names :: [limit | reverse | from | to]) ->
    {limit(), flags()} | invalid.
options(Options, Names) ->
    options(Options, Names, infinity, 0).

options([reverse | Options], Names, Limit, Flags) ->
    options([{reverse, true} | Options], Names, Limit, Flags);
options([{Name, Value} | Options], Names, Limit, Flags) ->
    case lists:member(Name, Names) andalso option(Name, Value) of
        {Mask, Set} -> options(Options, Names, Limit, Flags band bnot Mask bor Set);
        N when is_integer(N) -> options(Options, Names, N, Flags);
        false -> invalid
    end;
options([], _Names, Limit, Flags) ->
    {Limit, Flags};
options(_, _Names, _Limit, _Flags) ->
    invalid.

option(limit, N) when is_integer(N), N > 0 -> capped(N);
option(reverse, true) -> {?REVERSE, ?REVERSE};
option(reverse, false) -> {?REVERSE, 0};
option(from, End) -> 'end'(End, ?FROM_EXCLUSIVE, ?FROM_UNBOUNDED);
option(to, End) -> 'end'(End, ?TO_EXCLUSIVE, ?TO_UNBOUNDED);
option(_, _) -> false.

'end'(inclusive, Exclusive, Unbounded) -> {Exclusive bor Unbounded, 0};
'end'(exclusive, Exclusive, Unbounded) -> {Exclusive bor Unbounded, Exclusive};
'end'(unbounded, Exclusive, Unbounded) -> {Exclusive bor Unbounded, Unbounded};
'end'(_, _, _) -> false.

%% @doc A number of objects, or a position, as the native side takes it; other terms as they are.
-spec capped(term()) -> term().
capped(N) when is_integer(N) -> min(N, ?MANY);
capped(Term) -> Term.

%% @doc What is returned for what the native side has found in a range.
-spec range_page(found(), xets:table(), From :: term(), To :: term(), limit(), flags()) -> page().
range_page({Objects, Last}, Table, From, _To, Limit, Flags) when Flags band ?REVERSE =/= 0 ->
    {Mask, Set} = option(to, exclusive),
    {Objects, {xets_range, Table, From, Last, Limit, Flags band bnot Mask bor Set}};
range_page({Objects, Last}, Table, _From, To, Limit, Flags) ->
    {Mask, Set} = option(from, exclusive),
    {Objects, {xets_range, Table, Last, To, Limit, Flags band bnot Mask bor Set}};
range_page(Objects, _Table, _From, _To, Limit, _Flags) ->
    last_page(Objects, Limit).

%% @doc The same for a prefix.
-spec prefix_page(found(), xets:table(), Prefix :: term(), limit(), flags()) -> page().
prefix_page({Objects, Last}, Table, Prefix, Limit, Flags) ->
    {Objects, {xets_prefix, Table, Prefix, Last, Limit, Flags bor ?GO_ON}};
prefix_page(Objects, _Table, _Prefix, Limit, _Flags) ->
    last_page(Objects, Limit).

last_page(Objects, infinity) -> Objects;
last_page([], _Limit) -> '$end_of_table';
last_page(Objects, _Limit) -> {Objects, '$end_of_table'}.

%% @doc Whether a term has the form of a continuation.
-spec is_continuation(term()) -> boolean().
is_continuation({Kind, _Table, _, _, Limit, Flags}) when
    Kind =:= xets_range orelse Kind =:= xets_prefix,
    is_integer(Limit),
    is_integer(Flags)
->
    Limit > 0 andalso Limit =< ?MANY andalso Flags >= 0 andalso Flags < 2 * ?GO_ON;
is_continuation(_) ->
    false.
