%% @private
%% @doc The options of `xets:new/2' and `xets:setopts/2'.
-module(xets_options).

-export([settings/2, changes/1]).
-export_type([settings/0, heir/0, durable/0]).

-type heir() :: none | {pid(), IsTold :: boolean(), Data :: term()}.
%% Who inherits a table, and whether that process gets a message with `Data' then.

-type settings() :: {
    xets:type(),
    xets:access(),
    Named :: boolean(),
    KeyPos :: pos_integer(),
    heir(),
    WriteConcurrency :: boolean() | auto,
    ReadConcurrency :: boolean(),
    DecentralizedCounters :: boolean(),
    Compressed :: boolean()
}.
%% What a table is created with: the options, or their defaults.

-type durable() :: {Dir :: binary(), xets_durable:level(), CheckpointAfter :: non_neg_integer()}.
%% Where a table is kept, when a write returns, and after so many bytes of journal a checkpoint is
%% made; 0: that depends on the size of the table.

-define(MAX_KEYPOS, 16#7fffffff).
%% Of ets, for an option that its documentation does not have.
-define(MAX_HASH_LOCKS, 32768).

%% @doc What the arguments of `xets:new/2' ask for; all that `ets:new/2' accepts is
%% accepted.
-spec settings(Name :: term(), Options :: term()) ->
    {ok, settings()} | {durable, settings(), durable()} | {error, none | {durable, term()}}.
settings(Name, _Options) when not is_atom(Name) ->
    {error, none};
settings(_Name, Options) ->
    Defaults = #{
        type => set,
        access => protected,
        named => false,
        keypos => 1,
        heir => none,
        write => false,
        read => false,
        counters => default,
        compressed => false,
        durable => none
    },
    case options(Options, Defaults) of
        invalid -> {error, none};
        #{durable := none} = Chosen -> {ok, settings(Chosen)};
        #{durable := {error, Reason}} -> {error, {durable, Reason}};
        #{durable := Durable} = Chosen -> {durable, settings(Chosen), Durable}
    end.

%% A private table has one user: ets, too, ignores what is meant for several.
settings(#{access := private} = Chosen) ->
    #{type := Type, named := Named, keypos := KeyPos, heir := Heir} = Chosen,
    {Type, private, Named, KeyPos, Heir, false, false, false, maps:get(compressed, Chosen)};
settings(#{write := Write} = Chosen) ->
    #{type := Type, access := Access, named := Named, keypos := KeyPos, heir := Heir} = Chosen,
    #{read := Read, counters := Counters, compressed := Compressed} = Chosen,
    Decentralized = Write =/= false andalso counters(Counters, Write, Type),
    {Type, Access, Named, KeyPos, Heir, write(Write), Read, Decentralized, Compressed}.

counters(default, true, Type) -> Type =:= ordered_set;
counters(default, _, _) -> true;
counters(Explicit, _, _) -> Explicit.

write({debug_hash_fixed_number_of_locks, _}) -> true;
write(Write) -> Write.

options([Option | Options], Chosen) ->
    case option(Option, Chosen) of
        invalid -> invalid;
        Chosen1 -> options(Options, Chosen1)
    end;
options([], #{type := ordered_set, write := {debug_hash_fixed_number_of_locks, _}}) ->
    invalid;
options([], Chosen) ->
    Chosen;
options(_, _) ->
    invalid.

%% As in ets, the two that are defaults override nothing.
option(Default, Chosen) when Default =:= set; Default =:= protected ->
    Chosen;
option(Type, Chosen) when Type =:= ordered_set; Type =:= bag; Type =:= duplicate_bag ->
    Chosen#{type := Type};
option(Access, Chosen) when Access =:= public; Access =:= private ->
    Chosen#{access := Access};
option(named_table, Chosen) ->
    Chosen#{named := true};
option(compressed, Chosen) ->
    Chosen#{compressed := true};
option({keypos, Pos}, Chosen) when is_integer(Pos), Pos >= 1, Pos =< ?MAX_KEYPOS ->
    Chosen#{keypos := Pos};
option({write_concurrency, Write}, Chosen) when is_boolean(Write); Write =:= auto ->
    Chosen#{write := Write};
option({write_concurrency, {debug_hash_fixed_number_of_locks, N} = Write}, Chosen) when
    is_integer(N), N >= 1, N =< ?MAX_HASH_LOCKS
->
    Chosen#{write := Write};
option({read_concurrency, Read}, Chosen) when is_boolean(Read) ->
    Chosen#{read := Read};
option({decentralized_counters, Counters}, Chosen) when is_boolean(Counters) ->
    Chosen#{counters := Counters};
option(Option, Chosen) when element(1, Option) =:= heir ->
    case heir(Option) of
        invalid -> invalid;
        Heir -> Chosen#{heir := Heir}
    end;
option({durable, Durable}, Chosen) ->
    Chosen#{durable := durable(Durable)};
option(_, _) ->
    invalid.

%% {error, Reason}: the table is not made, and the reason tells what is wrong with the option.
durable(#{dir := Dir} = Map) ->
    Sync = maps:get(sync, Map, os),
    After = maps:get(checkpoint_after, Map, 0),
    Others = maps:keys(Map) -- [dir, sync, checkpoint_after],
    IsLevel = lists:member(Sync, [memory, os, disk]),
    if
        Others =/= [] -> {error, {unknown_option, hd(Others)}};
        not IsLevel -> {error, {bad_option, sync}};
        not is_integer(After) orelse After < 0 orelse After >= 1 bsl 64 ->
            {error, {bad_option, checkpoint_after}};
        true -> durable(Dir, Sync, After)
    end;
durable(Map) when is_map(Map) -> {error, {missing_option, dir}};
durable(Dir) -> durable(Dir, os, 0).

durable(Dir, Sync, After) ->
    case xets_tabfile:path(Dir) of
        {ok, Path} -> {Path, Sync, After};
        _ -> {error, {bad_option, dir}}
    end.

-spec heir(term()) -> heir() | invalid.
heir({heir, none}) -> none;
heir({heir, Pid}) when is_pid(Pid), node(Pid) =:= node() -> {Pid, false, []};
heir({heir, Pid, Data}) when is_pid(Pid), node(Pid) =:= node() -> {Pid, true, Data};
heir(_) -> invalid.

%% @doc What the second argument of `xets:setopts/2' asks for. As in ets an option may be
%% given once only, and `protection' is one, though its documentation does not have it.
-spec changes(Options :: term()) ->
    {ok, heir() | unchanged, xets:access() | unchanged} | {error, none}.
changes(Options) when is_list(Options) ->
    changes(Options, unchanged, unchanged);
changes(Option) ->
    changes([Option], unchanged, unchanged).

changes([{protection, Access} | Options], Heir, unchanged) when
    Access =:= public; Access =:= protected; Access =:= private
->
    changes(Options, Heir, Access);
changes([Option | Options], unchanged, Access) when element(1, Option) =:= heir ->
    case heir(Option) of
        invalid -> {error, none};
        Heir -> changes(Options, Heir, Access)
    end;
changes([], Heir, Access) ->
    {ok, Heir, Access};
changes(_, _, _) ->
    {error, none}.
