%% @doc Tables of Erlang terms, with the interface of `ets'.
%%
%% A table holds tuples, the <em>objects</em>. One element of each object, by
%% default the first, is its key. A table is created by a process, its owner, and
%% is deleted when that process ends. Objects are copied into the table by a write
%% and out of it by a read.
%%
%% Its type says how many objects may have one key: in a `set' one; in a `bag' several, no
%% two of them equal; in a `duplicate_bag' several, equal ones too. Keys, and objects, are
%% equal if they are by `=:='. The objects of a key in a bag are kept in the order in which
%% they were inserted.
%%
%% In an `ordered_set' one object may have one key, and objects are kept in the order of their
%% keys, which is that of terms (`=<'). Keys are equal there if they are by `==': 1 and 1.0 are one
%% key, of which the object has the one that was inserted with it. What the documentation of a
%% function calls O(1) takes O(log(number of objects)) there.
%%
%% The functions that `ets' has too take the same arguments, return the same
%% results and fail in the same cases. Functions that `ets' lacks are marked as
%% such. What the documentation of a function calls
%% <ul>
%% <li><em>atomic</em>: it is done wholly or not at all, also when it fails;</li>
%% <li><em>isolated</em>: no read of a single key sees it half done.</li>
%% </ul>
%%
%% == Traversal ==
%% `first/1' and `next/2' go through the keys of a table, in an order of no meaning that does
%% not change; those of an `ordered_set' in ascending order. A key that is there throughout is
%% met once, whatever is inserted and deleted meanwhile; one that is inserted or deleted
%% meanwhile may or may not be met. `next/2' fails for a key that has been deleted, unless that
%% was while the table was fixed (`safe_fixtable/2'), or the table is an `ordered_set': there
%% any term will do, and the next key is the least one that is greater. `last/1' and `prev/2' go
%% through an `ordered_set' in descending order. For other tables they are the same as `first/1'
%% and `next/2', as in `ets'.
%%
%% == Ordered tables ==
%% An `ordered_set' is asked for ranges of keys (`range/4'), for keys that begin with something
%% (`prefix/3'), how many there are (`count/4'), for the position of a key (`rank/2') and the object
%% at one (`nth/2'), and for the objects at its ends (`first_n/2', `last_n/2'), which are also
%% taken out of it (`take_first/1', `take_last/1'). A leaderboard, whose keys have the score
%% before the player:
%% ```
%% 1> T = xets:new(scores, [ordered_set]).
%% 2> xets:insert(T, [{{70, ada}}, {{95, alan}}, {{80, grace}}, {{90, edsger}}]).
%% true
%% 3> xets:last_n(T, 2).
%% [{{95,alan}},{{90,edsger}}]
%% 4> 1 + xets:count(T, {80, grace}, none, [{from, exclusive}, {to, unbounded}]).
%% 3
%% 5> xets:range(T, none, {80, grace}, [{from, unbounded}, reverse, {limit, 1}]).
%% {[{{80,grace}}],{xets_range,...}}
%% '''
%%
%% == Matching ==
%% What match specifications say of objects is asked of the objects as they are stored: nothing is
%% copied out of the table but what belongs to a result. Specifications with anything rare in them
%% take the objects, copied, through those of `ets', with the same results. Before that it is found
%% out which keys can match at all (`explain/2'). What changes objects, as `select_delete/2' and
%% `select_replace/2', changes them one by one, each atomically. `select_take/2' returns what it has
%% deleted, and `update/3' makes of one object another one.
%%
%% == Upgrades ==
%% Loading another release of this module, as a release upgrade does, keeps all tables, and
%% may happen while they are in use. A release that would have to keep them in another layout
%% refuses to load; the one in use goes on. Unloading the module (`code:delete/1' and
%% `code:purge/1') is no upgrade: tables that are there then may be out of reach afterwards.
%%
%% == Errors ==
%% A function that fails raises the error `badarg', with what the shell needs to
%% say which argument was wrong and why. For every function this is so when the
%% first argument does not name a table that exists, or names one that the calling
%% process may not read (`private', and the caller is not the owner) or may not
%% write (not `public', and the caller is not the owner). Any write raises
%% `system_limit', and leaves the table as it was, when there is no memory for it.
-module(xets).

-export([new/2, delete/1, info/0, info/1, info/2, whereis/1, all/0, rename/2]).
-export([give_away/3, setopts/2, safe_fixtable/2]).
-export([snapshot/1, sync/1, checkpoint/1, backup/2, verify/1, repair/1, destroy/1]).
-export([insert/2, insert_new/2, put_new/2]).
-export([delete/2, delete_many/2, delete_object/2, delete_all_objects/1, take/2, take_many/2]).
-export([lookup/2, lookup_element/3, lookup_element/4, lookup_elements/3, lookup_many/2]).
-export([member/2, tab2list/1]).
-export([first/1, last/1, next/2, prev/2, slot/2]).
-export([first_lookup/1, last_lookup/1, next_lookup/2, prev_lookup/2]).
-export([range/1, range/3, range/4, prefix/1, prefix/2, prefix/3, count/3, count/4]).
-export([nth/2, rank/2, first_n/2, last_n/2, take_first/1, take_last/1]).
-export([update_counter/3, update_counter/4, update_element/3, update_element/4]).
-export([match/1, match/2, match/3, match_object/1, match_object/2, match_object/3]).
-export([match_delete/2, select/1, select/2, select/3, select_count/2, select_delete/2]).
-export([select_reverse/1, select_reverse/2, select_reverse/3, select_replace/2, select_take/2]).
-export([update/3, repair_continuation/2]).
-export([match_spec_compile/1, match_spec_run/2, is_compiled_ms/1, test_ms/2]).
-export([explain/2]).
-export([fun2ms/1]).
-export([foldl/3, foldr/3, table/1, table/2, init_table/2, to_dets/2, from_dets/2]).
-export([tab2file/2, tab2file/3, file2tab/1, file2tab/2, tabfile_info/1]).
-export([i/0, i/1]).
-export([format_error/1, format_error/2]).
-export([scan_nif/5, update_nif/3, candidates_nif/5, remove_object_count_nif/2]).
-export([delete_count_all_nif/1]).
-export([replace_nif/3, group_nif/2, replace_in_group_nif/4, objects_nif/3, unchanged_nif/2]).
-export([file_write_nif/3, file_dump_nif/2, file_finish_nif/1, file_abort_nif/1]).
-export([file_read_nif/1, file_load_nif/3, file_close_nif/1, file_seed_nif/1, new_nif/2]).
-export([durable_open_nif/4, durable_prepare_nif/2, durable_replay_nif/2, durable_attach_nif/2]).
-export([durable_show_nif/2, durable_close_nif/1, durable_holder_nif/2, durable_wait_nif/3]).
-export([durable_lost_nif/1, durable_destroy_nif/1]).
-export([durable_verify_open_nif/1, durable_verify_nif/1]).
-export([durable_await_room_nif/3, durable_seed_nif/0]).
-export([durable_flush_nif/0, durable_library_nif/0]).
-export([durable_log_nif/1, durable_log_to_read_nif/1, durable_info_nif/1]).
-export([checkpoint_begin_nif/2, checkpoint_write_nif/2]).
-export_type([durable_option/0]).
-export_type([table/0, tid/0, access/0, type/0, option/0, update_op/0, element_spec/0]).
-export_type([page_option/0, range_option/0, end_option/0, continuation/0]).
-export_type([plan/0, plan_end/0, engine/0]).
-export_type([match_pattern/0, match_spec/0]).
-export_type([tab2file_option/0, file2tab_option/0]).

-on_load(load/0).
-nifs([
    new_nif/2,
    delete_nif/1,
    info_nif/0,
    info_nif/1,
    size_nif/1,
    stats_nif/1,
    whereis_nif/1,
    snapshot_nif/1,
    all_nif/0,
    rename_nif/2,
    give_away_nif/3,
    setopts_nif/3,
    safe_fixtable_nif/2,
    fixed_nif/1,
    fixers_nif/1,
    insert_nif/2,
    insert_new_nif/2,
    put_new_nif/2,
    replace_nif/3,
    delete_nif/2,
    delete_many_nif/2,
    delete_object_nif/2,
    delete_all_objects_nif/1,
    delete_count_all_nif/1,
    take_nif/2,
    take_many_nif/2,
    lookup_nif/2,
    lookup_element_nif/3,
    lookup_element_nif/4,
    lookup_elements_nif/3,
    lookup_many_nif/2,
    member_nif/2,
    tab2list_nif/1,
    first_nif/1,
    last_nif/1,
    next_nif/2,
    prev_nif/2,
    slot_nif/2,
    first_lookup_nif/1,
    last_lookup_nif/1,
    next_lookup_nif/2,
    prev_lookup_nif/2,
    range_nif/5,
    prefix_nif/5,
    count_nif/4,
    nth_nif/2,
    rank_nif/2,
    take_first_nif/1,
    take_last_nif/1,
    explain_nif/2,
    update_counter_nif/3,
    update_counter_nif/4,
    update_element_nif/3,
    update_element_nif/4,
    scan_nif/5,
    update_nif/3,
    candidates_nif/5,
    remove_object_count_nif/2,
    group_nif/2,
    replace_in_group_nif/4,
    objects_nif/3,
    unchanged_nif/2,
    file_write_nif/3,
    file_dump_nif/2,
    file_finish_nif/1,
    file_abort_nif/1,
    file_read_nif/1,
    file_load_nif/3,
    file_close_nif/1,
    file_seed_nif/1,
    durable_open_nif/4,
    durable_prepare_nif/2,
    durable_replay_nif/2,
    durable_attach_nif/2,
    durable_show_nif/2,
    durable_close_nif/1,
    durable_holder_nif/2,
    durable_lost_nif/1,
    durable_verify_open_nif/1,
    durable_verify_nif/1,
    durable_destroy_nif/1,
    durable_flush_nif/0,
    durable_library_nif/0,
    durable_wait_nif/3,
    durable_await_room_nif/3,
    durable_seed_nif/0,
    durable_log_nif/1,
    durable_log_to_read_nif/1,
    durable_info_nif/1,
    checkpoint_begin_nif/2,
    checkpoint_write_nif/2
]).

-opaque tid() :: reference().
%% A table identifier, as `new/2' returns it.
-type table() :: atom() | tid().
%% A table: its name, if it is named, or its identifier.
-type access() :: public | protected | private.
%% Who may use a table: `public': all processes read and write; `protected': all
%% read, the owner writes; `private': the owner reads and writes.
-type type() :: set | ordered_set | bag | duplicate_bag.
-type option() ::
    type()
    | access()
    | named_table
    | {keypos, pos_integer()}
    | {heir, pid(), term()}
    | {heir, pid() | none}
    | {write_concurrency, boolean() | auto}
    | {read_concurrency, boolean()}
    | {decentralized_counters, boolean()}
    | {durable, file:name_all() | durable_option()}
    | compressed.
%% An option of `new/2'.
-type durable_option() :: #{
    dir := file:name_all(),
    sync => memory | os | disk,
    checkpoint_after => non_neg_integer()
}.
-type update_op() ::
    {Pos :: pos_integer(), Incr :: integer()}
    | {Pos :: pos_integer(), Incr :: integer(), Threshold :: integer(), SetValue :: integer()}.
%% Adds `Incr' to element `Pos'. Past `Threshold' (above it, or below it if `Incr' is
%% negative) the element becomes `SetValue'.
-type element_spec() :: {Pos :: pos_integer(), Value :: term()}.
%% Element `Pos' becomes `Value'.
-type page_option() :: {limit, pos_integer()} | reverse | {reverse, boolean()}.
-type end_option() :: {from | to, inclusive | exclusive | unbounded}.
-type range_option() :: page_option() | end_option().
-opaque continuation() :: xets_order:continuation() | xets_match:continuation().
%% What is left of a range, as `range/4' and `prefix/3' return it, or of what matches, as `select/3'
%% does.
-type tab2file_option() ::
    {extended_info, [object_count | md5sum]} | {sync, boolean()} | {format, xets | ets}.
-type file2tab_option() :: {verify, boolean()} | {table, table()}.
-type match_pattern() :: ets:match_pattern() | term().
%% A tuple, or ``'_' '' or a variable, which all objects match.
-type match_spec() :: ets:match_spec().
-type plan() ::
    #{plan := point, keys := [term(), ...], engine := engine()}
    | #{plan := range, from := plan_end(), to := plan_end(), engine := engine()}
    | #{plan := scan | nothing, engine := engine()}.
%% Which objects are looked at for a match specification, and by whom, as `explain/2' returns it.
-type engine() :: native | ets.
-type plan_end() :: {inclusive | exclusive, KeyPattern :: term()} | unbounded.
%% An end of a range. In the pattern ``'_' '' stands for anything: the first or last key that matches
%% it is the end.

%% A macro, and not a function, because the caller of erlang:error/3 is the
%% function that the error report names.
-define(BADARG(Args, Cause),
    erlang:error(badarg, Args, [{error_info, #{module => ?MODULE, cause => Cause}}])
).
-define(NIF, erlang:nif_error(nif_not_loaded)).
%% What a write to a durable table raises that has happened, but has still to be waited for.
-define(WAIT(Log, Number, Result), {xets_wait, Log, Number, Result}).
%% And one that has not, for want of room in the buffer of the table's journal.
-define(ROOM(Log, Bytes), {xets_room, Log, Bytes}).

%%% Tables

%% @doc Creates a table owned by the calling process.
%%
%% `Options' is a list of options, of which a later one overrides an earlier one, except
%% that `set' and `protected' override nothing, as in `ets':
%% <dl>
%% <dt>`set', `ordered_set', `bag', `duplicate_bag'</dt><dd>The type of the table. Default
%% `set'.</dd>
%% <dt>`public', `protected', `private'</dt><dd>Who may use the table. Default
%% `protected'.</dd>
%% <dt>`named_table'</dt><dd>The table can be used by its name until it is
%% deleted.</dd>
%% <dt>`{keypos, Pos}'</dt><dd>Which element of an object is its key. Default 1.
%% </dd>
%% <dt>`{heir, none}'</dt><dd>The table is deleted when its owner ends. Default.</dd>
%% <dt>`{heir, Pid, HeirData}'</dt><dd>When the owner ends, the process `Pid', if it is alive
%% then, becomes the owner, and is sent the message
%% ``{'ETS-TRANSFER', Table, FromPid, HeirData}''. `Pid' is a process of this node; if it is
%% dead already, there is no heir. It stays the heir when it has inherited. Whoever has seen
%% the owner's end finds the table to be the heir's; the message may come later.</dd>
%% <dt>`{heir, Pid}'</dt><dd>The same without the message.</dd>
%% <dt>`{write_concurrency, false | true | auto}'</dt><dd>With `true' and `auto' the
%% table starts out prepared for many writers at once. Without, it adapts to
%% them.</dd>
%% <dt>`compressed'</dt><dd>Objects are compressed, but for their keys, if they are large
%% enough and it saves something. Binaries of up to 1 MiB are compressed, too, and then are
%% copied to whoever reads them; other tables share them. Every read of a compressed
%% object, be it of one element, decompresses it.</dd>
%% <dt>`{durable, Dir}', `{durable, #{dir := Dir}}'</dt><dd>The table is kept in the directory `Dir':
%% if there is a table in it, that is recovered, else a new one is made. The type, the key position
%% and `compressed' must be those that it was made with. More keys of the map: `sync', when a write
%% returns: `memory': at once; what was written is saved when the emulator stops, but for
%% `halt("text")', `halt(abort)', `halt(_, [{flush, false}])', crashes and SIGKILL, as long as the
%% application `xets' runs, which is started with the table, else it is as `os'; `os':
%% when it is with the operating system, and so survives the end of the emulator; this is the
%% default; `disk': when it is on the disk. `checkpoint_after': so many bytes of changes after which
%% the table is written anew (`checkpoint/1'); 0, the default: as many as it has itself, but at
%% least 16 MiB. What an opening finds in the journal counts, too. The directory must be one that can
%% be written. While it is open the table stays in it, also if it is moved, or `Dir' comes to lead to
%% another one, which may be another table's then. A write that cannot be kept raises
%% `{durable, Reason}', of which `format_error/1' says what failed, on which file: what it has changed
%% is in memory, but may not be found when the table is recovered. From then on the table takes no
%% changes, which raise `badarg' with the same reason; it can be read, saved with `tab2file/2' and
%% deleted. `delete/1' raises `{durable, Reason}' too, if what was left to be written could not be:
%% the table is gone then. A disk that does not answer holds up the writes and the closing of all
%% durable tables, also of those on other disks, for one thread writes them all, and another closes
%% them. Not in `ets'.</dd>
%% <dt>`{read_concurrency, B}', `{decentralized_counters, B}'</dt>
%% <dd>Accepted as by `ets', and shown by `info/1'. Readers never lock, whatever these
%% say.</dd>
%% </dl>
%%
%% Returns the name, if the table is named, else an identifier. Identifiers are
%% never reused.
%%
%% Errors: `badarg' if `Name' is not an atom, `Options' is not a proper list of
%% options, asks for what tables cannot have, or the name is taken; of a durable table also if its
%% directory is in use, belongs to a table with other options, is damaged, or cannot be read
%% or written.
%%
%% Complexity: O(1). Atomic. Of a durable table O(what is in the directory).
-spec new(Name, Options) -> table() when
    Name :: atom(),
    Options :: [option()].
new(Name, Options) ->
    case xets_options:settings(Name, Options) of
        {ok, Settings} ->
            try
                new_nif(Name, Settings)
            catch
                error:badarg -> ?BADARG([Name, Options], already_exists);
                error:xets_retry -> erlang:yield(), new(Name, Options)
            end;
        {durable, Settings, Durable} ->
            case xets_durable:new(Name, Settings, Durable) of
                {ok, Table} -> Table;
                {error, Cause} -> ?BADARG([Name, Options], Cause)
            end;
        {error, Cause} ->
            ?BADARG([Name, Options], Cause)
    end.

%% @doc Deletes the table.
%%
%% A durable table is closed: all that was written to it is on the disk when this returns, and its
%% files stay.
%%
%% Its name is free when this returns; its memory is given back by another thread. Snapshots of
%% it (`snapshot/1') stay. A snapshot itself can be deleted by the process that has made it.
%%
%% Returns `true'.
%%
%% Complexity: O(1) for the caller. Atomic and isolated.
-spec delete(Table) -> true when
    Table :: table().
delete(Table) ->
    try
        delete_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(delete, [Table]));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:xets_retry -> erlang:yield(), delete(Table)
    end.

%% @doc A snapshot of the table: what it has at this instant, to be read for as long as it is
%% needed. Not in `ets'.
%%
%% Every function that reads tables reads it, and finds the same at any time, whatever becomes of
%% the table: of a list of objects that is inserted at the same time it has all or none. So
%% several reads of it, or a traversal, see one instant, which no table grants. Nobody can change
%% it: functions that would raise `badarg'. It has the type of the table, no name, and no place
%% in `all/0'.
%% ```
%% 1> T = xets:new(accounts, []).
%% 2> xets:insert(T, [{ada, 70}, {alan, 30}]).
%% true
%% 3> S = xets:snapshot(T).
%% 4> xets:insert(T, [{ada, 0}, {alan, 100}]).
%% true
%% 5> xets:lookup_many(S, [ada, alan]).
%% [[{ada,70}],[{alan,30}]]
%% '''
%% Any process that has the identifier may read it, be the table private. It lives as long as
%% a process, a message or a table has the identifier, or until the process that has made it calls
%% `delete/1'; the death of that process, or of the table, does not end it.
%%
%% A snapshot shares the memory of its table. What changes in the table is copied before, piece by
%% piece, by who changes it: a piece is at most 64 KiB with some hundred objects, and is copied,
%% in some microseconds, at its first change after the snapshot. What the table has no more is
%% counted in the `memory' of the snapshot (`info/2'), of several snapshots for each a part of
%% it. A change, also a deletion, raises `system_limit' if there is no memory for such a copy.
%%
%% Returns the identifier of the snapshot. It may be taken of a snapshot, too, and of a table that
%% is fixed, and is not fixed itself then.
%%
%% Errors: `badarg' if the calling process may not read the table; `system_limit' if there is no
%% memory for it.
%%
%% Complexity: O(number of segments): 0.2 microseconds for each 500 to 1,000 objects; for a fifth of
%% that time nobody can write to the table. Before that it waits for the writes under way, long lists
%% included, and none begins meanwhile. Atomic and isolated.
-spec snapshot(Table) -> tid() when
    Table :: table().
snapshot(Table) ->
    try
        snapshot_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(snapshot, [Table]));
        error:xets_retry -> erlang:yield(), snapshot(Table)
    end.

%% @doc Gives the table to another process.
%%
%% The process `Pid' becomes the owner, and is sent the message
%% ``{'ETS-TRANSFER', Table, FromPid, GiftData}'', where `Table' is the name of a named table, else
%% its identifier, and `FromPid' the calling process. The heir of the table and its fixations
%% stay as they are.
%%
%% Returns `true'. If the receiver ends at the same time, the table is then that of its heir,
%% or deleted.
%%
%% Errors: `badarg' if the calling process is not the owner, or `Pid' is not a living process
%% of this node, or the owner itself.
%%
%% Complexity: O(1) and the size of `GiftData'. Atomic and isolated: the table has an owner at
%% any time.
-spec give_away(Table, Pid, GiftData) -> true when
    Table :: table(),
    Pid :: pid(),
    GiftData :: term().
give_away(Table, Pid, GiftData) ->
    try
        give_away_nif(Table, Pid, GiftData)
    catch
        error:badarg ->
            Args = [Table, Pid, GiftData],
            ?BADARG(Args, xets_errors:cause(give_away, Args));
        error:xets_retry ->
            erlang:yield(),
            give_away(Table, Pid, GiftData)
    end.

%% @doc Sets the heir of the table.
%%
%% `Options' is `{heir, Pid, HeirData}', `{heir, Pid}' or `{heir, none}', with the meaning that
%% they have for `new/2', or a list of at most one of them. The heir that the table had is
%% none any more.
%%
%% Returns `true'.
%%
%% Errors: `badarg' if `Options' is something else, or the calling process is not the
%% owner.
%%
%% Complexity: O(1) and the size of `HeirData'. Atomic and isolated.
-spec setopts(Table, Options) -> true when
    Table :: table(),
    Options :: Option | [Option],
    Option :: {heir, pid(), HeirData :: term()} | {heir, pid() | none}.
setopts(Table, Options) ->
    case xets_options:changes(Options) of
        {ok, Heir, Access} ->
            try
                setopts_nif(Table, Heir, Access)
            catch
                error:badarg ->
                    Args = [Table, Options],
                    ?BADARG(Args, xets_errors:cause(setopts, Args));
                error:xets_retry ->
                    erlang:yield(),
                    setopts(Table, Options)
            end;
        {error, _} ->
            Args = [Table, Options],
            ?BADARG(Args, xets_errors:cause(setopts, Args))
    end.

%% @doc Gives the table another name.
%%
%% If the table is named, it can be used by the new name, and not any more by the old one.
%%
%% Returns the new name, if the table is named, else `Table'.
%%
%% Errors: `badarg' if `Name' is not an atom, or the table is named and the name is
%% taken, be it by itself.
%%
%% Complexity: O(1). Atomic and isolated.
-spec rename(Table, Name) -> table() when
    Table :: table(),
    Name :: atom().
rename(Table, Name) ->
    try
        rename_nif(Table, Name)
    catch
        error:badarg -> ?BADARG([Table, Name], xets_errors:cause(rename, [Table, Name]));
        error:xets_retry -> erlang:yield(), rename(Table, Name)
    end.

%% @doc Fixes the table for the calling process, or takes such a fixation away.
%%
%% While a table is fixed by any process, a traversal by `first/1' and `next/2' can go on from
%% a key that has been deleted. Fixations are counted: a process has to call
%% `safe_fixtable(Table, false)' as often as it has called `safe_fixtable(Table, true)'; it has
%% none left when it ends, or when the table is deleted. Keys that are deleted meanwhile take memory
%% until nobody fixes the table any more.
%%
%% Returns `true', also if there was no fixation to take away.
%%
%% Errors: `badarg' if `Fix' is not a boolean.
%%
%% Complexity: O(log n) with n processes that have fixed the table. Atomic and isolated.
-spec safe_fixtable(Table, Fix) -> true when
    Table :: table(),
    Fix :: boolean().
safe_fixtable(Table, Fix) ->
    try
        safe_fixtable_nif(Table, Fix)
    catch
        error:badarg ->
            Args = [Table, Fix],
            ?BADARG(Args, xets_errors:cause(safe_fixtable, Args));
        error:xets_retry ->
            erlang:yield(),
            safe_fixtable(Table, Fix)
    end.

%% @doc All tables.
%%
%% Returns a list of their names, if they are named, and identifiers. Tables that are
%% created, renamed or deleted meanwhile may or may not be in it.
%%
%% Complexity: O(largest number of tables that there have been).
-spec all() -> [table()].
all() ->
    try
        all_nif()
    catch
        error:xets_retry -> erlang:yield(), all()
    end.

%% @doc Facts about this library. Not in `ets'.
%%
%% Returns a map: `version', a string; `terms', how terms are converted, `native' or
%% `portable'; `native_terms', a list of the kinds of terms that are read and built where they
%% lie (`tuple', `list', `float', `bignum', `map', `large_map', `binary', `bit_string',
%% `reference', `slice'), while all others are converted by documented calls of the emulator;
%% `tables', the number of tables; `bytes', the memory of all tables,
%% which `erlang:memory/0' does not count; and others, which may change.
%%
%% What is native is decided when the library is loaded for the first time: kinds of terms that
%% are found to be represented in exactly the expected form, and only on releases of OTP for which
%% that was tested. If the environment variable `XETS_TERMS' is `portable' then, nothing is native.
%%
%% Complexity: O(number of tables).
-spec info() ->
    #{
        version := string(),
        terms := native | portable,
        native_terms := [atom()],
        atom() => term()
    }.
info() ->
    Facts = info_nif(),
    Facts#{version => xets_info:version()}.

%% @doc Waits until all that was written to a durable table before is on the disk. Not in `ets'.
%%
%% Returns `ok', or `{error, Reason}' if the files cannot be written any more: then `format_error/1'
%% says why, and later writes raise `badarg'.
%%
%% Errors: `badarg' if the table is not durable, or the calling process may not read it.
%%
%% Complexity: what is left to be written.
-spec sync(Table) -> ok | {error, Reason} when
    Table :: table(),
    Reason :: term().
sync(Table) ->
    case xets_durable:sync(Table) of
        badarg -> ?BADARG([Table], xets_errors:cause(lookup, [Table, []]));
        not_durable -> ?BADARG([Table], not_durable);
        Result -> Result
    end.

%% @doc Writes all that a durable table has to a new file, and begins its journal anew, so that
%% it is soon recovered. The table is used meanwhile as ever. Not in `ets'.
%%
%% It is done by itself, by another process, when enough has been written since the last time
%% (`checkpoint_after' in `new/2').
%%
%% Returns `ok' when that is on the disk; `{error, busy}' if it is being done already; or `{error,
%% Reason}', for `format_error/1'. The table is kept as before then.
%%
%% Errors: `badarg' if the table is not durable, or the calling process may not read it.
%%
%% Complexity: O(objects); that of `snapshot/1' for those who write.
-spec checkpoint(Table) -> ok | {error, busy | Reason} when
    Table :: table(),
    Reason :: term().
checkpoint(Table) ->
    case xets_durable:checkpoint(Table) of
        badarg -> ?BADARG([Table], xets_errors:cause(lookup, [Table, []]));
        not_durable -> ?BADARG([Table], not_durable);
        Result -> Result
    end.

%% @doc Writes what a durable table has at this instant into another directory, which is made if need
%% be, and must be empty. The table is used meanwhile as ever. Not in `ets'.
%%
%% Returns `ok' when it is on the disk: `new/2' then makes a table of that directory; or `{error,
%% Reason}', for `format_error/1'.
%%
%% Errors: `badarg' if the table is not durable, or the calling process may not read it.
%%
%% Complexity: O(objects); that of `snapshot/1' for those who write.
-spec backup(Table, Dir) -> ok | {error, Reason} when
    Table :: table(),
    Dir :: file:name_all(),
    Reason :: term().
backup(Table, Dir) ->
    case xets_durable:backup(Table, Dir) of
        badarg -> ?BADARG([Table, Dir], xets_errors:cause(lookup, [Table, []]));
        not_durable -> ?BADARG([Table, Dir], not_durable);
        Result -> Result
    end.

%% @doc Reads all of the directory of a durable table, or of a backup, which nobody has open, here
%% or in another emulator; and nobody can open it meanwhile. Not in `ets'.
%%
%% Returns `ok' if all files are as they were written, or `{error, Reason}', for `format_error/1': the
%% file, the place of the first byte that is not, and what is wrong. What is kept twice has to be
%% right in both places, so a directory may be refused that `new/2' opens, and loses nothing of:
%% `checkpoint/1' replaces the damaged file then. Nothing tells of damage to the last changes that
%% were written before a crash: that is what a crash looks like.
%%
%% Complexity: O(bytes of the files), in steps, on dirty IO schedulers.
-spec verify(Dir) -> ok | {error, Reason} when
    Dir :: file:name_all(),
    Reason :: term().
verify(Dir) ->
    xets_durable:verify(Dir).

%% @doc Makes the directory of a durable table usable again that is damaged, by leaving out what
%% cannot be read. Never done by itself: some changes are lost, while later ones are kept. Copy the
%% directory before. Not in `ets'.
%%
%% Returns `{ok, Report}': a map with the number of `objects' that there are now, and what
%% was lost: `lost_changes', as far as their number is known; `lost_bytes' that were passed over;
%% `lost_segments' of the journal that could not be read at all; `lost_records' that say nothing;
%% `lost_checkpoint', whether the last checkpoint could not be opened, or there was none: then there
%% is what an older one has, or nothing, and the changes of the journal. Or `{error, Reason}',
%% for `format_error/1'.
%%
%% Complexity: O(bytes of the files).
-spec repair(Dir) -> {ok, Report} | {error, Reason} when
    Dir :: file:name_all(),
    Report :: #{
        objects := non_neg_integer(),
        lost_changes := non_neg_integer(),
        lost_bytes := non_neg_integer(),
        lost_segments := non_neg_integer(),
        lost_checkpoint := boolean(),
        lost_records := non_neg_integer()
    },
    Reason :: term().
repair(Dir) ->
    xets_durable:repair(Dir).

%% @doc Removes the files of a durable table that nobody has open, and its directory if nothing
%% else is in it. Not in `ets'.
%%
%% Returns `ok', or `{error, Reason}', for `format_error/1': also if there is no such directory, or
%% no table in it; then nothing was touched.
%%
%% Complexity: O(files).
-spec destroy(Dir) -> ok | {error, Reason} when
    Dir :: file:name_all(),
    Reason :: term().
destroy(Dir) ->
    xets_durable:destroy(Dir).

%% @doc Facts about a table, in the form that `ets:info/1' gives them.
%%
%% Returns a list of the items `compressed', `decentralized_counters', `heir', `id',
%% `keypos', `memory', `name', `named_table', `node', `owner', `protection', `size',
%% `type', `write_concurrency' and `read_concurrency', or `undefined' if there is no
%% such table. `memory' is in words, and counts all that the table occupies. Of a snapshot
%% (`snapshot/1') there is also `{snapshot, true}', its owner is the process that made it, and
%% `memory' counts what it has beside the table. Any process may ask, whatever the protection of
%% the table.
%%
%% Errors: `badarg' if `Table' is neither an atom nor a table identifier.
%%
%% Complexity: O(number of segments): one step for each 500 to 1,000 objects.
-spec info(Table) -> InfoList | undefined when
    Table :: table(),
    InfoList :: [{Item :: atom(), Value :: term()}].
info(Table) ->
    try {info_nif(Table), size_nif(Table)} of
        {undefined, _} ->
            undefined;
        {_, undefined} ->
            undefined;
        {Facts, Size} ->
            xets_info:items(Facts, Size)
    catch
        error:badarg -> ?BADARG([Table], type);
        error:xets_retry -> erlang:yield(), info(Table)
    end.

%% @doc One fact about a table.
%%
%% `Item' is one of those of `info/1' or
%% <dl>
%% <dt>`fixed'</dt><dd>Whether a process has fixed the table.</dd>
%% <dt>`safe_fixed'</dt><dd>`{FixedAtTime, [{Pid, Count}]}': which processes have fixed the
%% table, how often each, and when the first of them did (as
%% `erlang:timestamp/0'); or `false'.</dd>
%% <dt>`safe_fixed_monotonic_time'</dt><dd>The same, with the time as
%% `erlang:monotonic_time/0' tells it.</dd>
%% <dt>`binary', `stats'</dt><dd>`[]' and `false': what `ets' tells here has no
%% counterpart.</dd>
%% <dt>`snapshot'</dt><dd>Whether it is a snapshot. Not in `ets'.</dd>
%% <dt>`durable'</dt><dd>`false', or a map: `sync', the level at which writes return (`os' instead of
%% `memory' while the application `xets' does not run); `bytes' of the
%% journal since the last checkpoint; `checkpoint', when that was, as `os:system_time(second)', or
%% `none' if there has not been one; `unwritten' and `unsynced', how many changes are not yet with the
%% operating system, or on the disk; `error', why nothing is written any more, or `none'. Not in
%% `ets'.</dd>
%% <dt>`xets'</dt><dd>A map of figures about the memory and the structure of the
%% table, whose keys may change. Not in `ets'.</dd>
%% </dl>
%% Returns `undefined' if there is no such table.
%%
%% Errors: `badarg' if `Table' is neither an atom nor a table identifier, or, if the
%% table exists, `Item' is not an item.
%%
%% Complexity: as `info/1'.
-spec info(Table, Item) -> Value | undefined when
    Table :: table(),
    Item :: atom(),
    Value :: term().
info(Table, xets) ->
    try
        stats_nif(Table)
    catch
        error:badarg -> ?BADARG([Table, xets], type);
        error:xets_retry -> erlang:yield(), info(Table, xets)
    end;
info(Table, size) ->
    try
        size_nif(Table)
    catch
        error:badarg -> ?BADARG([Table, size], type);
        error:xets_retry -> erlang:yield(), info(Table, size)
    end;
info(Table, durable) ->
    try
        xets_durable:info(Table)
    catch
        error:badarg -> ?BADARG([Table, durable], type);
        error:xets_retry -> erlang:yield(), info(Table, durable)
    end;
info(Table, fixed) ->
    try
        fixed_nif(Table)
    catch
        error:badarg -> ?BADARG([Table, fixed], type);
        error:xets_retry -> erlang:yield(), info(Table, fixed)
    end;
info(Table, Item) when Item =:= safe_fixed; Item =:= safe_fixed_monotonic_time ->
    try
        xets_info:fixed_since(Item, fixers_nif(Table))
    catch
        error:badarg -> ?BADARG([Table, Item], type);
        error:xets_retry -> erlang:yield(), info(Table, Item)
    end;
info(Table, Item) ->
    try info_nif(Table) of
        undefined ->
            undefined;
        Facts ->
            case xets_info:is_item(Item) of
                true -> xets_info:item(Item, Facts);
                false -> ?BADARG([Table, Item], none)
            end
    catch
        error:badarg -> ?BADARG([Table, Item], type);
        error:xets_retry -> erlang:yield(), info(Table, Item)
    end.

%% @doc Prints a line for each table: its identifier or name, the name given to `new/2', its
%% type, the number of its objects, the words of memory it takes, and its owner.
%%
%% Complexity: O(number of tables).
-spec i() -> ok.
i() ->
    xets_browse:tables().

%% @doc Shows the objects of a table on the terminal, page by page.
%%
%% After each page it asks what to do:
%% <dl>
%% <dt>`c', or nothing</dt><dd>show the next page;</dd>
%% <dt>`p' and a number</dt><dd>print the object with this number in full;</dd>
%% <dt>`/' and a regular expression</dt><dd>show the objects whose text it matches, from the
%% first on;</dd>
%% <dt>`k'</dt><dd>delete the table;</dd>
%% <dt>`q'</dt><dd>end.</dd>
%% </dl>
%% Meanwhile the table is fixed (`safe_fixtable/2'): objects that others delete do not end it.
-spec i(Table) -> ok when
    Table :: table().
i(Table) ->
    xets_browse:table(Table).

%% @doc The identifier of a named table.
%%
%% Returns `undefined' if no table has that name. Access by identifier saves the
%% search for the name, and goes on meaning the same table when the name is given to
%% another one.
%%
%% Errors: `badarg' if `Name' is not an atom.
%%
%% Complexity: O(1).
-spec whereis(Name) -> tid() | undefined when
    Name :: atom().
whereis(Name) ->
    try
        whereis_nif(Name)
    catch
        error:badarg -> ?BADARG([Name], none);
        error:xets_retry -> erlang:yield(), ?MODULE:whereis(Name)
    end.

%%% Objects

%% @doc Puts an object, or all objects of a list, into the table.
%%
%% In a `set' or an `ordered_set' an object replaces the one that has the same key, and of objects
%% in the list that have the same key, the last is kept. In a bag the objects come after those
%% that have the same key, in the order of the list; a `bag' that has an equal object already
%% keeps it where it is. The empty list changes nothing.
%%
%% Returns `true'.
%%
%% Errors: `badarg' if the second argument is neither a tuple nor a proper list of
%% tuples, or a tuple has no element at the table's key position.
%%
%% Complexity: O(1) and the size of the object, for each object, however many objects of a
%% bag have its key. Atomic and isolated, lists included.
-spec insert(Table, ObjectOrObjects) -> true when
    Table :: table(),
    ObjectOrObjects :: tuple() | [tuple()].
insert(Table, ObjectOrObjects) ->
    try
        insert_nif(Table, ObjectOrObjects)
    catch
        error:badarg ->
            Args = [Table, ObjectOrObjects],
            ?BADARG(Args, xets_errors:cause(insert, Args));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            insert(Table, ObjectOrObjects);
        error:xets_retry ->
            erlang:yield(),
            insert(Table, ObjectOrObjects)
    end.

%% @doc Puts an object, or all objects of a list, into the table if none of their
%% keys is there.
%%
%% Returns `false', and changes nothing, if any of the keys is in the table, else
%% `true'. Objects in the list that have the same key are treated as by `insert/2'.
%%
%% Errors: as `insert/2'.
%%
%% Complexity: as `insert/2'. Atomic and isolated, lists included.
-spec insert_new(Table, ObjectOrObjects) -> boolean() when
    Table :: table(),
    ObjectOrObjects :: tuple() | [tuple()].
insert_new(Table, ObjectOrObjects) ->
    try
        insert_new_nif(Table, ObjectOrObjects)
    catch
        error:badarg ->
            Args = [Table, ObjectOrObjects],
            ?BADARG(Args, xets_errors:cause(insert_new, Args));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            insert_new(Table, ObjectOrObjects);
        error:xets_retry ->
            erlang:yield(),
            insert_new(Table, ObjectOrObjects)
    end.

%% @doc Puts an object into the table if its key is not there. Not in `ets'.
%%
%% Returns the object that the table has for the key afterwards: `Object', or the one that
%% was there already.
%%
%% Errors: `badarg' if `Object' is not a tuple, or has no element at the table's key
%% position, or the table is a bag.
%%
%% Complexity: O(1) and the size of the object. Atomic and isolated: of several processes
%% that put objects with one key, one succeeds, and all get its object.
-spec put_new(Table, Object) -> Object when
    Table :: table(),
    Object :: tuple().
put_new(Table, Object) ->
    try
        put_new_nif(Table, Object)
    catch
        error:badarg ->
            Args = [Table, Object],
            ?BADARG(Args, xets_errors:cause(put_new, Args));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            put_new(Table, Object);
        error:xets_retry ->
            erlang:yield(),
            put_new(Table, Object)
    end.

%% @doc Removes all objects that have this key.
%%
%% Returns `true'.
%%
%% Complexity: O(1), in a bag for each object. Atomic and isolated.
-spec delete(Table, Key) -> true when
    Table :: table(),
    Key :: term().
delete(Table, Key) ->
    try
        delete_nif(Table, Key)
    catch
        error:badarg -> ?BADARG([Table, Key], xets_errors:cause(delete, [Table, Key]));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            delete(Table, Key);
        error:xets_retry -> erlang:yield(), delete(Table, Key)
    end.

%% @doc Removes the objects that have these keys. Faster than as many calls of `delete/2'.
%% Not in `ets'.
%%
%% Returns `true'.
%%
%% Errors: `badarg' if `Keys' is not a proper list. Nothing is removed then.
%%
%% Complexity: as `delete/2', for each key. The removal of the objects of one key is atomic
%% and isolated, but not that of all.
-spec delete_many(Table, Keys) -> true when
    Table :: table(),
    Keys :: [term()].
delete_many(Table, Keys) ->
    try delete_many_nif(Table, Keys) of
        Deleted -> deleted(Table, Deleted)
    catch
        error:badarg ->
            Args = [Table, Keys],
            ?BADARG(Args, xets_errors:cause(delete_many, Args));
        error:?WAIT(Log, Number, Deleted) ->
            deleted(Table, xets_durable:wait(Log, Number, Deleted));
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            delete_many(Table, Keys);
        error:xets_retry ->
            erlang:yield(),
            delete_many(Table, Keys)
    end.

deleted(_Table, true) ->
    true;
deleted(Table, Rest) ->
    erlang:yield(),
    delete_many(Table, Rest).

%% @doc Removes an object, if the table has one that is equal to it (`=:='), in a
%% `duplicate_bag' all that are.
%%
%% Returns `true'.
%%
%% Errors: `badarg' if `Object' is not a tuple, or has no element at the table's key
%% position.
%%
%% Complexity: O(1) and the size of the object, however many objects of a bag have its key.
%% Atomic and isolated.
-spec delete_object(Table, Object) -> true when
    Table :: table(),
    Object :: tuple().
delete_object(Table, Object) ->
    try
        delete_object_nif(Table, Object)
    catch
        error:badarg ->
            Args = [Table, Object],
            ?BADARG(Args, xets_errors:cause(delete_object, Args));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            delete_object(Table, Object);
        error:xets_retry ->
            erlang:yield(),
            delete_object(Table, Object)
    end.

%% @doc Removes all objects.
%%
%% Returns `true'. The memory is given back by another thread.
%%
%% Complexity: O(1) for the caller. Atomic and isolated.
-spec delete_all_objects(Table) -> true when
    Table :: table().
delete_all_objects(Table) ->
    try
        delete_all_objects_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(delete_all_objects, [Table]));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            delete_all_objects(Table);
        error:xets_retry -> erlang:yield(), delete_all_objects(Table)
    end.

%% @doc Removes all objects that have this key, and returns them.
%%
%% Returns a list of the objects removed, in the order of `lookup/2'.
%%
%% Complexity: as `lookup/2'. Atomic and isolated: of several processes that take the same
%% key, one gets an object.
-spec take(Table, Key) -> [Object] when
    Table :: table(),
    Key :: term(),
    Object :: tuple().
take(Table, Key) ->
    try
        take_nif(Table, Key)
    catch
        error:badarg -> ?BADARG([Table, Key], xets_errors:cause(take, [Table, Key]));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            take(Table, Key);
        error:xets_retry -> erlang:yield(), take(Table, Key)
    end.

%% @doc Removes the objects that have these keys, and returns them. Faster than as many calls
%% of `take/2'. Not in `ets'.
%%
%% Returns a list of what `take/2' returns for each key, in the order of the keys.
%%
%% Errors: `badarg' if `Keys' is not a proper list. Nothing is removed then.
%%
%% Complexity: as `take/2', for each key. The removal of the objects of one key is atomic
%% and isolated, but not that of all.
-spec take_many(Table, Keys) -> [[Object]] when
    Table :: table(),
    Keys :: [term()],
    Object :: tuple().
take_many(Table, Keys) ->
    try take_many_nif(Table, Keys) of
        Taken -> taken(Table, Taken)
    catch
        error:badarg ->
            Args = [Table, Keys],
            ?BADARG(Args, xets_errors:cause(take_many, Args));
        error:?WAIT(Log, Number, Taken) ->
            taken(Table, xets_durable:wait(Log, Number, Taken));
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            take_many(Table, Keys);
        error:xets_retry ->
            erlang:yield(),
            take_many(Table, Keys)
    end.

taken(Table, {Taken, Rest}) ->
    erlang:yield(),
    Taken ++ take_many(Table, Rest);
taken(_Table, Taken) ->
    Taken.

%%% Reading

%% @doc The objects that have this key.
%%
%% Returns a list of them: in a `set' or an `ordered_set' of one or none, in a bag in the order in
%% which they were inserted.
%%
%% Complexity: O(1) and the size of the object; in a bag O(n log n) for n objects, and their
%% size. Of one instant.
-spec lookup(Table, Key) -> [Object] when
    Table :: table(),
    Key :: term(),
    Object :: tuple().
lookup(Table, Key) ->
    try
        lookup_nif(Table, Key)
    catch
        error:badarg -> ?BADARG([Table, Key], xets_errors:cause(lookup, [Table, Key]));
        error:xets_retry -> erlang:yield(), lookup(Table, Key)
    end.

%% @doc Element `Pos' of the object that has this key. Nothing else of the object is
%% copied.
%%
%% In a bag: the list of the elements `Pos' of all objects that have this key, in the order
%% of `lookup/2'.
%%
%% Errors: `badarg' if no object has the key, `Pos' is not a positive integer, or
%% an object with the key has no element `Pos'.
%%
%% Complexity: O(1), the position and the size of the element; in a bag as `lookup/2'.
-spec lookup_element(Table, Key, Pos) -> Element | [Element] when
    Table :: table(),
    Key :: term(),
    Pos :: pos_integer(),
    Element :: term().
lookup_element(Table, Key, Pos) ->
    try
        lookup_element_nif(Table, Key, Pos)
    catch
        error:badarg ->
            Args = [Table, Key, Pos],
            ?BADARG(Args, xets_errors:cause(lookup_element, Args));
        error:xets_retry ->
            erlang:yield(),
            lookup_element(Table, Key, Pos)
    end.

%% @doc As `lookup_element/3', but returns `Default' if no object has the key.
%%
%% Errors: `badarg' if `Pos' is not a positive integer, or an object with the key has no
%% element `Pos'.
%%
%% Complexity: as `lookup_element/3'.
-spec lookup_element(Table, Key, Pos, Default) -> Element | [Element] | Default when
    Table :: table(),
    Key :: term(),
    Pos :: pos_integer(),
    Default :: term(),
    Element :: term().
lookup_element(Table, Key, Pos, Default) ->
    try
        lookup_element_nif(Table, Key, Pos, Default)
    catch
        error:badarg ->
            Args = [Table, Key, Pos, Default],
            ?BADARG(Args, xets_errors:cause(lookup_element, Args));
        error:xets_retry ->
            erlang:yield(),
            lookup_element(Table, Key, Pos, Default)
    end.

%% @doc Several elements of the object that has this key: those at the positions in
%% the tuple `Positions'. Nothing else of the object is copied. Not in `ets'.
%%
%% Returns a tuple of the elements, in the order of the positions; a position may
%% occur more than once. In a bag: the list of such tuples of all objects that have this
%% key, in the order of `lookup/2'.
%%
%% Errors: `badarg' if no object has the key, `Positions' is not a tuple of positive
%% integers, or an object with the key has no element at one of them.
%%
%% Complexity: O(1), the positions and the size of the elements; in a bag as `lookup/2'.
-spec lookup_elements(Table, Key, Positions) -> Elements | [Elements] when
    Table :: table(),
    Key :: term(),
    Positions :: tuple(),
    Elements :: tuple().
lookup_elements(Table, Key, Positions) ->
    try
        lookup_elements_nif(Table, Key, Positions)
    catch
        error:badarg ->
            Args = [Table, Key, Positions],
            ?BADARG(Args, xets_errors:cause(lookup_elements, Args));
        error:xets_retry ->
            erlang:yield(),
            lookup_elements(Table, Key, Positions)
    end.

%% @doc The objects that have these keys. Faster than as many calls of `lookup/2'.
%% Not in `ets'.
%%
%% Returns a list of what `lookup/2' returns for each key, in the order of the keys.
%%
%% Errors: `badarg' if `Keys' is not a proper list.
%%
%% Complexity: O(number of keys) and the size of the objects. Each lookup is of one
%% instant, but not all of the same.
-spec lookup_many(Table, Keys) -> [[Object]] when
    Table :: table(),
    Keys :: [term()],
    Object :: tuple().
lookup_many(Table, Keys) ->
    try
        lookup_many_nif(Table, Keys)
    catch
        error:badarg ->
            Args = [Table, Keys],
            ?BADARG(Args, xets_errors:cause(lookup_many, Args));
        error:xets_retry ->
            erlang:yield(),
            lookup_many(Table, Keys)
    end.

%% @doc Whether an object has this key.
%%
%% Complexity: O(1).
-spec member(Table, Key) -> boolean() when
    Table :: table(),
    Key :: term().
member(Table, Key) ->
    try
        member_nif(Table, Key)
    catch
        error:badarg -> ?BADARG([Table, Key], xets_errors:cause(member, [Table, Key]));
        error:xets_retry -> erlang:yield(), member(Table, Key)
    end.

%% @doc A list of all objects, in no particular order; of an `ordered_set', in the order of keys.
%%
%% Complexity: O(number of objects) and their size. An object that is in the table
%% throughout is in the list once; one that is inserted or removed meanwhile may or
%% may not be.
-spec tab2list(Table) -> [Object] when
    Table :: table(),
    Object :: tuple().
tab2list(Table) ->
    try
        tab2list_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(tab2list, [Table]));
        error:xets_retry -> erlang:yield(), tab2list(Table)
    end.

%%% Traversal

%% @doc The key with which a traversal begins: in an `ordered_set' the first one in the order of
%% keys.
%%
%% Returns ``'$end_of_table''' if the table is empty.
%%
%% Complexity: O(1) and the size of the key.
-spec first(Table) -> Key | '$end_of_table' when
    Table :: table(),
    Key :: term().
first(Table) ->
    try
        first_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(first, [Table]));
        error:xets_retry -> erlang:yield(), first(Table)
    end.

%% @doc The last key of an `ordered_set' in the order of keys; for other tables as `first/1'.
%%
%% Returns ``'$end_of_table''' if the table is empty.
%%
%% Complexity: O(1) and the size of the key.
-spec last(Table) -> Key | '$end_of_table' when
    Table :: table(),
    Key :: term().
last(Table) ->
    try
        last_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(last, [Table]));
        error:xets_retry -> erlang:yield(), last(Table)
    end.

%% @doc The key that follows `Key' in a traversal: in an `ordered_set' the first one in the order
%% of keys that is greater than `Key', which no object need have.
%%
%% Returns ``'$end_of_table''' if there is none.
%%
%% Errors: `badarg' if the table is no `ordered_set', no object has the key `Key', and none that
%% had it was deleted while the table is fixed.
%%
%% Complexity: O(1) and the size of the key.
-spec next(Table, Key) -> NextKey | '$end_of_table' when
    Table :: table(),
    Key :: term(),
    NextKey :: term().
next(Table, Key) ->
    try
        next_nif(Table, Key)
    catch
        error:badarg -> ?BADARG([Table, Key], xets_errors:cause(next, [Table, Key]));
        error:xets_retry -> erlang:yield(), next(Table, Key)
    end.

%% @doc The last key of an `ordered_set' in the order of keys that is less than `Key', which no
%% object need have; for other tables as `next/2'.
%%
%% Returns ``'$end_of_table''' if there is none.
%%
%% Errors and complexity: as `next/2'.
-spec prev(Table, Key) -> PrevKey | '$end_of_table' when
    Table :: table(),
    Key :: term(),
    PrevKey :: term().
prev(Table, Key) ->
    try
        prev_nif(Table, Key)
    catch
        error:badarg -> ?BADARG([Table, Key], xets_errors:cause(prev, [Table, Key]));
        error:xets_retry -> erlang:yield(), prev(Table, Key)
    end.

%% @doc As `first/1', but returns the objects of the key too, as `lookup/2' does.
%%
%% Complexity: as `lookup/2'. The key and its objects are of one instant.
-spec first_lookup(Table) -> {Key, [Object]} | '$end_of_table' when
    Table :: table(),
    Key :: term(),
    Object :: tuple().
first_lookup(Table) ->
    try
        first_lookup_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(first_lookup, [Table]));
        error:xets_retry -> erlang:yield(), first_lookup(Table)
    end.

%% @doc As `last/1', but returns the objects of the key too, as `lookup/2' does.
%%
%% Complexity: as `first_lookup/1'.
-spec last_lookup(Table) -> {Key, [Object]} | '$end_of_table' when
    Table :: table(),
    Key :: term(),
    Object :: tuple().
last_lookup(Table) ->
    try
        last_lookup_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(last_lookup, [Table]));
        error:xets_retry -> erlang:yield(), last_lookup(Table)
    end.

%% @doc As `next/2', but returns the objects of the next key too, as `lookup/2' does.
%%
%% Errors: as `next/2'.
%%
%% Complexity: as `lookup/2'. The next key and its objects are of one instant.
-spec next_lookup(Table, Key) -> {NextKey, [Object]} | '$end_of_table' when
    Table :: table(),
    Key :: term(),
    NextKey :: term(),
    Object :: tuple().
next_lookup(Table, Key) ->
    try
        next_lookup_nif(Table, Key)
    catch
        error:badarg ->
            Args = [Table, Key],
            ?BADARG(Args, xets_errors:cause(next_lookup, Args));
        error:xets_retry ->
            erlang:yield(),
            next_lookup(Table, Key)
    end.

%% @doc As `prev/2', but returns the objects of the previous key too, as `lookup/2' does.
%%
%% Errors and complexity: as `next_lookup/2'.
-spec prev_lookup(Table, Key) -> {PrevKey, [Object]} | '$end_of_table' when
    Table :: table(),
    Key :: term(),
    PrevKey :: term(),
    Object :: tuple().
prev_lookup(Table, Key) ->
    try
        prev_lookup_nif(Table, Key)
    catch
        error:badarg ->
            Args = [Table, Key],
            ?BADARG(Args, xets_errors:cause(prev_lookup, Args));
        error:xets_retry ->
            erlang:yield(),
            prev_lookup(Table, Key)
    end.

%% @doc The objects in slot `I' of the table.
%%
%% The slots are numbered from 0, and each object of a table that does not change is in one
%% of them. How many there are, and which objects share one, means nothing; but in an
%% `ordered_set' each object has its own, in the order of keys.
%%
%% Returns a list of objects, or ``'$end_of_table''' for the number after the last slot.
%%
%% Errors: `badarg' if `I' is not an integer, is negative, or greater than the number after
%% the last slot.
%%
%% Complexity: O(log(number of segments)), and the objects in the slot and their size; in an
%% `ordered_set' as `nth/2'.
-spec slot(Table, I) -> [Object] | '$end_of_table' when
    Table :: table(),
    I :: non_neg_integer(),
    Object :: tuple().
slot(Table, I) ->
    try
        slot_nif(Table, I)
    catch
        error:badarg -> ?BADARG([Table, I], xets_errors:cause(slot, [Table, I]));
        error:xets_retry -> erlang:yield(), slot(Table, I)
    end.

%%% Matching

%% @doc The bindings of the objects that match a pattern.
%%
%% As ``select(Table, [{Pattern, [], ['$$']}])'': for each object that matches, in the order that
%% `select/2' has, the list of the terms that the variables of the pattern (`'$0'', `'$1'' and so
%% on) stand for, in the order of their numbers.
%%
%% Errors, complexity: as `select/2'. Any term is a pattern.
-spec match(Table, Pattern) -> [Match] when
    Table :: table(),
    Pattern :: match_pattern(),
    Match :: [term()].
match(Table, Pattern) ->
    try
        xets_match:select(Table, [{Pattern, [], ['$$']}], false)
    catch
        error:badarg ->
            Args = [Table, Pattern],
            ?BADARG(Args, xets_errors:cause(match, Args))
    end.

%% @doc The same in pages.
%%
%% Returns, and fails, as `select/3'.
-spec match(Table, Pattern, Limit) -> {[Match], Continuation} | End when
    Table :: table(),
    Pattern :: match_pattern(),
    Limit :: pos_integer(),
    Match :: [term()],
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
match(Table, Pattern, Limit) ->
    try
        xets_match:page(Table, [{Pattern, [], ['$$']}], Limit, false)
    catch
        error:badarg ->
            Args = [Table, Pattern, Limit],
            ?BADARG(Args, xets_errors:cause(match, Args))
    end.

%% @doc The next page. As `select/1'.
-spec match(Continuation) -> {[Match], Continuation} | End when
    Match :: [term()],
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
match(Continuation) ->
    try
        next_page(Continuation)
    catch
        error:badarg -> ?BADARG([Continuation], none)
    end.

%% @doc The objects that match a pattern.
%%
%% As ``select(Table, [{Pattern, [], ['$_']}])''.
-spec match_object(Table, Pattern) -> [Object] when
    Table :: table(),
    Pattern :: match_pattern(),
    Object :: tuple().
match_object(Table, Pattern) ->
    try
        xets_match:select(Table, [{Pattern, [], ['$_']}], false)
    catch
        error:badarg ->
            Args = [Table, Pattern],
            ?BADARG(Args, xets_errors:cause(match_object, Args))
    end.

%% @doc The same in pages.
%%
%% Returns, and fails, as `select/3'.
-spec match_object(Table, Pattern, Limit) -> {[Object], Continuation} | End when
    Table :: table(),
    Pattern :: match_pattern(),
    Limit :: pos_integer(),
    Object :: tuple(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
match_object(Table, Pattern, Limit) ->
    try
        xets_match:page(Table, [{Pattern, [], ['$_']}], Limit, false)
    catch
        error:badarg ->
            Args = [Table, Pattern, Limit],
            ?BADARG(Args, xets_errors:cause(match_object, Args))
    end.

%% @doc The next page. As `select/1'.
-spec match_object(Continuation) -> {[Object], Continuation} | End when
    Object :: tuple(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
match_object(Continuation) ->
    try
        next_page(Continuation)
    catch
        error:badarg -> ?BADARG([Continuation], none)
    end.

%% @doc Deletes the objects that match a pattern.
%%
%% As ``select_delete(Table, [{Pattern, [], [true]}])'', but that it returns `true'.
-spec match_delete(Table, Pattern) -> true when
    Table :: table(),
    Pattern :: match_pattern().
match_delete(Table, Pattern) ->
    try xets_match:delete(Table, [{Pattern, [], [true]}]) of
        _ -> true
    catch
        error:badarg ->
            Args = [Table, Pattern],
            ?BADARG(Args, xets_errors:cause(match_delete, Args))
    end.

%% @doc What a match specification makes of the objects of a table.
%%
%% `MatchSpec' is a list of clauses `{MatchHead, MatchConditions, MatchBody}', as described in the
%% User's Guide of ERTS, chapter "Match Specifications in Erlang". The result for an object is that
%% of the first clause whose head and conditions it matches; `fun2ms/1' makes such a list out of
%% what looks like a fun.
%%
%% Returns the list of the results, in an `ordered_set' in the order of keys; else in an order of no
%% meaning, but that objects of a bag that have one key come in the order of their insertion if
%% the heads of all clauses name their keys.
%%
%% Errors: `badarg' if `MatchSpec' is no match specification.
%%
%% Complexity: O(objects that are looked at). Where the heads of all clauses name a key, or
%% conditions compare it with one by `=:=' or `==', these keys are looked for. In an `ordered_set' a
%% range of keys is looked at where all clauses bind the first elements of the key, which is a tuple
%% or a list, or compare it by `>', `>=', `<' or `=<'. Otherwise the whole table is; see
%% `explain/2'. Large tables are scanned on a dirty scheduler.
%%
%% Each object is read atomically. One that is in the table throughout is looked at once; one that
%% is inserted or removed meanwhile may or may not be.
-spec select(Table, MatchSpec) -> [Match] when
    Table :: table(),
    MatchSpec :: match_spec(),
    Match :: term().
select(Table, MatchSpec) ->
    try
        xets_match:select(Table, MatchSpec, false)
    catch
        error:badarg ->
            Args = [Table, MatchSpec],
            ?BADARG(Args, xets_errors:cause(select, Args))
    end.

%% @doc The same in pages of up to `Limit' results.
%%
%% Returns
%% <ul>
%% <li>`{Matches, Continuation}': the first `Limit' results, and what `select/1' goes on with;</li>
%% <li>``{Matches, '$end_of_table'}'': there are no others;</li>
%% <li>``'$end_of_table''': there is none.</li>
%% </ul>
%% As in `ets' there may be no others behind a page of `Limit' results, too: `select/1' then returns
%% ``'$end_of_table'''.
%%
%% A continuation holds the identifier of the table, the match specification and a position. It
%% survives all changes of the table, may be used by other processes, and more than once, and after
%% `term_to_binary/1'. In tables other than an `ordered_set', it may hold results that were found
%% together with those of the page.
%%
%% Errors: `badarg' if `MatchSpec' is no match specification, or `Limit' no positive small integer.
%%
%% Complexity: as `select/2', up to the last object that is needed. What `select/2' says about
%% changes meanwhile holds for all pages together.
-spec select(Table, MatchSpec, Limit) -> {[Match], Continuation} | End when
    Table :: table(),
    MatchSpec :: match_spec(),
    Limit :: pos_integer(),
    Match :: term(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
select(Table, MatchSpec, Limit) ->
    try
        xets_match:page(Table, MatchSpec, Limit, false)
    catch
        error:badarg ->
            Args = [Table, MatchSpec, Limit],
            ?BADARG(Args, xets_errors:cause(select, Args))
    end.

%% @doc The next page of what `select/3', `select_reverse/3', `match/3' or `match_object/3' began.
%%
%% Returns what these return.
%%
%% Errors: `badarg' if `Continuation' is none, or its table does not exist any more.
-spec select(Continuation) -> {[Match], Continuation} | End when
    Match :: term(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
select(Continuation) ->
    try
        next_page(Continuation)
    catch
        error:badarg -> ?BADARG([Continuation], none)
    end.

%% @doc As `select/2', but in an `ordered_set' in the reverse order of keys.
-spec select_reverse(Table, MatchSpec) -> [Match] when
    Table :: table(),
    MatchSpec :: match_spec(),
    Match :: term().
select_reverse(Table, MatchSpec) ->
    try
        xets_match:select(Table, MatchSpec, true)
    catch
        error:badarg ->
            Args = [Table, MatchSpec],
            ?BADARG(Args, xets_errors:cause(select_reverse, Args))
    end.

%% @doc As `select/3', but in an `ordered_set' in the reverse order of keys.
-spec select_reverse(Table, MatchSpec, Limit) -> {[Match], Continuation} | End when
    Table :: table(),
    MatchSpec :: match_spec(),
    Limit :: pos_integer(),
    Match :: term(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
select_reverse(Table, MatchSpec, Limit) ->
    try
        xets_match:page(Table, MatchSpec, Limit, true)
    catch
        error:badarg ->
            Args = [Table, MatchSpec, Limit],
            ?BADARG(Args, xets_errors:cause(select_reverse, Args))
    end.

%% @doc The next page. As `select/1': the continuation knows the direction.
-spec select_reverse(Continuation) -> {[Match], Continuation} | End when
    Match :: term(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
select_reverse(Continuation) ->
    try
        next_page(Continuation)
    catch
        error:badarg -> ?BADARG([Continuation], none)
    end.

next_page('$end_of_table') ->
    '$end_of_table';
next_page(Continuation) ->
    case xets_match:is_continuation(Continuation) of
        true -> xets_match:next(Continuation);
        false -> erlang:error(badarg)
    end.

%% @doc How many objects there are for which the result of a match specification is `true'.
%%
%% Errors, complexity: as `select/2'.
-spec select_count(Table, MatchSpec) -> Count when
    Table :: table(),
    MatchSpec :: match_spec(),
    Count :: non_neg_integer().
select_count(Table, MatchSpec) ->
    try
        xets_match:count(Table, MatchSpec)
    catch
        error:badarg ->
            Args = [Table, MatchSpec],
            ?BADARG(Args, xets_errors:cause(select_count, Args))
    end.

%% @doc Deletes the objects for which the result of a match specification is `true'.
%%
%% Returns how many objects it has deleted.
%%
%% Errors: as `select/2'.
%%
%% Complexity: as `select/2'. Atomic and isolated for each object, but not for all of them: an
%% object is deleted if it matches in that moment. ``[{'_', [], [true]}]'' deletes all objects at one
%% instant, as `delete_all_objects/1' does.
-spec select_delete(Table, MatchSpec) -> Deleted when
    Table :: table(),
    MatchSpec :: match_spec(),
    Deleted :: non_neg_integer().
select_delete(Table, MatchSpec) ->
    try
        xets_match:delete(Table, MatchSpec)
    catch
        error:badarg ->
            Args = [Table, MatchSpec],
            ?BADARG(Args, xets_errors:cause(select_delete, Args))
    end.

%% @doc Removes the objects for which the result of a match specification is `true', and returns
%% them. Not in `ets'.
%%
%% Returns the list of exactly the objects that this call has removed, in the order that `select/2'
%% has: of several processes that take, one gets each object.
%%
%% Errors, complexity, atomicity: as `select_delete/2'.
-spec select_take(Table, MatchSpec) -> [Object] when
    Table :: table(),
    MatchSpec :: match_spec(),
    Object :: tuple().
select_take(Table, MatchSpec) ->
    try
        xets_match:take(Table, MatchSpec)
    catch
        error:badarg ->
            Args = [Table, MatchSpec],
            ?BADARG(Args, xets_errors:cause(select_take, Args))
    end.

%% @doc Replaces the objects that a match specification matches by its results.
%%
%% Returns how many objects it has replaced.
%%
%% Errors: `badarg' if `MatchSpec' is no match specification, or it is not evident from it that
%% each result is an object with the key of the one that it replaces; also if the table is a `bag'.
%%
%% Complexity: as `select/2'. Atomic and isolated for each object, but not for all of them: an
%% object is replaced by the result for what it is in that moment.
-spec select_replace(Table, MatchSpec) -> Replaced when
    Table :: table(),
    MatchSpec :: match_spec(),
    Replaced :: non_neg_integer().
select_replace(Table, MatchSpec) ->
    Args = [Table, MatchSpec],
    try xets_match:replace(Table, MatchSpec) of
        {error, Cause} -> ?BADARG(Args, Cause);
        Replaced -> Replaced
    catch
        error:badarg -> ?BADARG(Args, xets_errors:cause(select_replace, Args))
    end.

%% @doc Replaces the object with a key by what a match specification makes of it. Not in `ets'.
%%
%% ```
%% 1> xets:insert(T, {stock, 5}).
%% true
%% 2> Take = [{{'$1','$2'}, [{'>','$2',0}], [{{'$1',{'-','$2',1}}}]}].
%% 3> xets:update(T, stock, Take).
%% {stock,4}
%% '''
%% Returns the new object; `false' if there is no object with that key, or no clause matches it.
%%
%% Errors: `badarg' if `MatchSpec' is no match specification, its result is not an object with the
%% same key, or the table is a bag.
%%
%% Complexity: O(1) and the size of the objects. Atomic and isolated. When other processes change
%% the object at the same time the match specification is run on what it has become.
-spec update(Table, Key, MatchSpec) -> Object | false when
    Table :: table(),
    Key :: term(),
    MatchSpec :: match_spec(),
    Object :: tuple().
update(Table, Key, MatchSpec) ->
    try
        xets_match:update(Table, Key, MatchSpec)
    catch
        error:badarg ->
            Args = [Table, Key, MatchSpec],
            ?BADARG(Args, xets_errors:cause(update, Args))
    end.

%% @doc Makes a continuation usable after `binary_to_term/1'.
%%
%% In `ets' a continuation holds a compiled match specification, which does not survive that.
%% Those of `xets' hold the match specification as it is: they are returned as they are.
%%
%% Errors: `function_clause' if `Continuation' is none.
-spec repair_continuation(Continuation, MatchSpec) -> Continuation when
    Continuation :: continuation() | '$end_of_table',
    MatchSpec :: match_spec().
repair_continuation('$end_of_table', _MatchSpec) ->
    '$end_of_table';
repair_continuation(Continuation, MatchSpec) ->
    case xets_match:is_continuation(Continuation) of
        true -> Continuation;
        false -> erlang:error(function_clause, [Continuation, MatchSpec])
    end.

%% @doc Compiles a match specification for `match_spec_run/2'. As `ets:match_spec_compile/1'.
%%
%% Errors: `badarg' if `MatchSpec' is no match specification.
-spec match_spec_compile(MatchSpec) -> CompiledMatchSpec when
    MatchSpec :: match_spec(),
    CompiledMatchSpec :: ets:compiled_match_spec().
match_spec_compile(MatchSpec) ->
    try
        ets:match_spec_compile(MatchSpec)
    catch
        error:badarg -> ?BADARG([MatchSpec], none)
    end.

%% @doc What a match specification makes of the tuples of a list. As `ets:match_spec_run/2'.
%%
%% Errors: `badarg' if `List' is not a proper list, or `CompiledMatchSpec' not what
%% `match_spec_compile/1' has returned on this node.
-spec match_spec_run(List, CompiledMatchSpec) -> [Match] when
    List :: [term()],
    CompiledMatchSpec :: ets:compiled_match_spec(),
    Match :: term().
match_spec_run(List, CompiledMatchSpec) ->
    try
        ets:match_spec_run(List, CompiledMatchSpec)
    catch
        error:badarg -> ?BADARG([List, CompiledMatchSpec], none)
    end.

%% @doc Whether a term is a compiled match specification. As `ets:is_compiled_ms/1'.
-spec is_compiled_ms(Term) -> boolean() when
    Term :: term().
is_compiled_ms(Term) ->
    ets:is_compiled_ms(Term).

%% @doc What a match specification makes of a tuple. As `ets:test_ms/2'.
%%
%% Returns `{ok, Result}', with `false' for no match, or `{error, Errors}' if it is not one.
-spec test_ms(Tuple, MatchSpec) -> {ok, Result} | {error, Errors} when
    Tuple :: tuple(),
    MatchSpec :: match_spec(),
    Result :: term(),
    Errors :: [{warning | error, string()}].
test_ms(Tuple, MatchSpec) ->
    ets:test_ms(Tuple, MatchSpec).

%%% Order

%% @doc The objects in a range of keys. Not in `ets'. As `range(Table, From, To, [])'.
-spec range(Table, From, To) -> [Object] when
    Table :: table(),
    From :: term(),
    To :: term(),
    Object :: tuple().
range(Table, From, To) ->
    try
        range_nif(Table, From, To, infinity, 0)
    catch
        error:badarg ->
            Args = [Table, From, To],
            ?BADARG(Args, xets_errors:cause(range, Args));
        error:xets_retry ->
            erlang:yield(),
            range(Table, From, To)
    end.

%% @doc The objects in a range of keys, of an `ordered_set'. Not in `ets'.
%%
%% Those whose keys are not less than `From' and not greater than `To', by `=<', in ascending
%% order. No object need have these keys. `Options' is a list of
%% <dl>
%% <dt>`{from, inclusive | exclusive | unbounded}'</dt><dd>`exclusive': an object with the key
%% `From' does not belong to it. `unbounded': there is no such end, and `From' is not looked
%% at. Default `inclusive'.</dd>
%% <dt>`{to, inclusive | exclusive | unbounded}'</dt><dd>The same of `To'.</dd>
%% <dt>`reverse', `{reverse, boolean()}'</dt><dd>In descending order: the object with the
%% greatest key comes first.</dd>
%% <dt>`{limit, N}'</dt><dd>In pages of up to `N' objects.</dd>
%% </dl>
%% of which a later one overrides an earlier one.
%%
%% Returns a list of objects; with a limit, as `ets:select/3',
%% <ul>
%% <li>`{Objects, Continuation}': the first `N' objects, and what `range/1' goes on with;</li>
%% <li>``{Objects, '$end_of_table'}'': fewer than `N', all there are;</li>
%% <li>``'$end_of_table''': there is none.</li>
%% </ul>
%% A continuation holds nothing but keys. It costs nothing to keep, survives all changes of the
%% table, may be used by other processes, and more than once; if `Table' is a name, also after
%% `term_to_binary/1', in another life of the program.
%%
%% Errors: `badarg' if the table is no `ordered_set', or `Options' is not a proper list of options.
%%
%% Complexity: O(log(number of objects)), and the objects returned and their size. An object that
%% is in the table throughout is in the list once; one that is inserted or removed meanwhile may
%% or may not be. The same holds for all pages together.
-spec range(Table, From, To, Options) -> [Object] | {[Object], Continuation} | End when
    Table :: table(),
    From :: term(),
    To :: term(),
    Options :: [range_option()],
    Object :: tuple(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
range(Table, From, To, Options) ->
    Args = [Table, From, To, Options],
    case xets_order:options(Options, [limit, reverse, from, to]) of
        {Limit, Flags} ->
            try
                range_page(Table, From, To, Limit, Flags)
            catch
                error:badarg -> ?BADARG(Args, xets_errors:cause(range, Args));
                error:xets_retry -> erlang:yield(), range(Table, From, To, Options)
            end;
        invalid ->
            ?BADARG(Args, xets_errors:cause(range, Args))
    end.

%% @doc The next page of a range, or of what begins with a prefix. Not in `ets'.
%%
%% Returns what `range/4' returns with a limit, of the objects behind those that were returned
%% with the continuation.
%%
%% Errors: `badarg' if `Continuation' is none, or its table does not exist any more.
%%
%% Complexity: as `range/4'.
-spec range(Continuation) -> {[Object], Continuation} | End when
    Object :: tuple(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
range(Continuation) ->
    try
        continue(Continuation)
    catch
        error:badarg ->
            ?BADARG([Continuation], xets_errors:cause(range, [Continuation]));
        error:xets_retry ->
            erlang:yield(),
            range(Continuation)
    end.

%% @doc The objects whose keys begin with a prefix. Not in `ets'. As `prefix(Table, Prefix, [])'.
-spec prefix(Table, Prefix) -> [Object] when
    Table :: table(),
    Prefix :: tuple() | [term()] | binary(),
    Object :: tuple().
prefix(Table, Prefix) ->
    try
        prefix_page(Table, Prefix, infinity, 0, [])
    catch
        error:badarg ->
            ?BADARG([Table, Prefix], xets_errors:cause(prefix, [Table, Prefix]));
        error:xets_retry ->
            erlang:yield(),
            prefix(Table, Prefix)
    end.

%% @doc The objects whose keys begin with a prefix, of an `ordered_set'. Not in `ets'.
%%
%% `Prefix' is
%% <ul>
%% <li>a tuple: the keys are tuples of its size, or larger ones, whose first elements are equal
%% (`==') to its elements;</li>
%% <li>a list: the keys are lists, proper or not, that begin with its elements;</li>
%% <li>a binary: the keys are bit strings that begin with its bits.</li>
%% </ul>
%% The objects come in the order of their keys; so of tuples, the smaller ones come first.
%% `Options' is a list of `{limit, N}', `reverse' and `{reverse, boolean()}', with the meaning
%% that they have for `range/4'; continuations are for `range/1' and `prefix/1'.
%%
%% Returns what `range/4' returns.
%%
%% Errors: `badarg' if the table is no `ordered_set', `Prefix' is something else, or `Options' is
%% not a proper list of options.
%%
%% Complexity: as `range/4'; of tuples, for each of the sizes that keys have. Of a prefix that has
%% more than about 4 KiB, or contains a map that is not empty, a reference, a fun, a port or a
%% pid, only what comes before that narrows down the objects that are looked at.
-spec prefix(Table, Prefix, Options) -> [Object] | {[Object], Continuation} | End when
    Table :: table(),
    Prefix :: tuple() | [term()] | binary(),
    Options :: [page_option()],
    Object :: tuple(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
prefix(Table, Prefix, Options) ->
    Args = [Table, Prefix, Options],
    case xets_order:options(Options, [limit, reverse]) of
        {Limit, Flags} ->
            try
                prefix_page(Table, Prefix, Limit, Flags, [])
            catch
                error:badarg -> ?BADARG(Args, xets_errors:cause(prefix, Args));
                error:xets_retry -> erlang:yield(), prefix(Table, Prefix, Options)
            end;
        invalid ->
            ?BADARG(Args, xets_errors:cause(prefix, Args))
    end.

%% @doc As `range/1'. Not in `ets'.
-spec prefix(Continuation) -> {[Object], Continuation} | End when
    Object :: tuple(),
    Continuation :: continuation() | End,
    End :: '$end_of_table'.
prefix(Continuation) ->
    try
        continue(Continuation)
    catch
        error:badarg ->
            ?BADARG([Continuation], xets_errors:cause(prefix, [Continuation]));
        error:xets_retry ->
            erlang:yield(),
            prefix(Continuation)
    end.

continue('$end_of_table') ->
    '$end_of_table';
continue(Continuation) ->
    case xets_order:is_continuation(Continuation) andalso Continuation of
        {xets_range, Table, From, To, Limit, Flags} ->
            range_page(Table, From, To, Limit, Flags);
        {xets_prefix, Table, Prefix, Last, Limit, Flags} ->
            prefix_page(Table, Prefix, Limit, Flags, Last);
        false ->
            erlang:error(badarg)
    end.

range_page(Table, From, To, Limit, Flags) ->
    Found = range_nif(Table, From, To, Limit, Flags),
    xets_order:range_page(Found, Table, From, To, Limit, Flags).

%% All lists are a range: from [] up to the least bit string.
prefix_page(Table, [], Limit, Flags, _Last) ->
    {_, Exclusive} = xets_order:options([{to, exclusive}], [to]),
    range_page(Table, [], <<>>, Limit, Flags bor Exclusive);
prefix_page(Table, Prefix, Limit, Flags, Last) ->
    Found = prefix_nif(Table, Prefix, Limit, Flags, Last),
    xets_order:prefix_page(Found, Table, Prefix, Limit, Flags).

%% @doc The number of objects in a range of keys. Not in `ets'. As `count(Table, From, To, [])'.
-spec count(Table, From, To) -> non_neg_integer() when
    Table :: table(),
    From :: term(),
    To :: term().
count(Table, From, To) ->
    try
        count_nif(Table, From, To, 0)
    catch
        error:badarg ->
            Args = [Table, From, To],
            ?BADARG(Args, xets_errors:cause(count, Args));
        error:xets_retry ->
            erlang:yield(),
            count(Table, From, To)
    end.

%% @doc The number of objects in a range of keys, of an `ordered_set'. Not in `ets'.
%%
%% `From', `To' and `Options' are as in `range/4', but only the options `from' and `to' are
%% accepted.
%%
%% Errors: `badarg' if the table is no `ordered_set', or `Options' is not a proper list of options.
%%
%% Complexity: O(log(number of objects)), and one step for each 500 to 1,000 objects of the
%% table, of which about 16 take a nanosecond. No object that is there throughout is missed or
%% counted twice; it is the number of one instant only if nobody writes meanwhile.
-spec count(Table, From, To, Options) -> non_neg_integer() when
    Table :: table(),
    From :: term(),
    To :: term(),
    Options :: [end_option()].
count(Table, From, To, Options) ->
    Args = [Table, From, To, Options],
    case xets_order:options(Options, [from, to]) of
        {infinity, Flags} ->
            try
                count_nif(Table, From, To, Flags)
            catch
                error:badarg -> ?BADARG(Args, xets_errors:cause(count, Args));
                error:xets_retry -> erlang:yield(), count(Table, From, To, Options)
            end;
        invalid ->
            ?BADARG(Args, xets_errors:cause(count, Args))
    end.

%% @doc The object at a position in the order of keys, of an `ordered_set'. Not in `ets'.
%%
%% Positions count from 1, as for `lists:nth/2'.
%%
%% Returns a list of the object, or `[]' if there are not so many.
%%
%% Errors: `badarg' if the table is no `ordered_set', or `I' is not a positive integer.
%%
%% Complexity and what is seen of other processes' changes: as `count/4', and the size of the
%% object.
-spec nth(Table, I) -> [Object] when
    Table :: table(),
    I :: pos_integer(),
    Object :: tuple().
nth(Table, I) ->
    try
        nth_nif(Table, xets_order:capped(I))
    catch
        error:badarg -> ?BADARG([Table, I], xets_errors:cause(nth, [Table, I]));
        error:xets_retry -> erlang:yield(), nth(Table, I)
    end.

%% @doc The position of a key in the order of keys, of an `ordered_set'. Not in `ets'.
%%
%% Returns one more than the number of keys below it, so that `nth/2' of it is the object; or
%% `undefined' if no object has the key.
%%
%% Errors: `badarg' if the table is no `ordered_set'.
%%
%% Complexity and what is seen of other processes' changes: as `count/4'.
-spec rank(Table, Key) -> pos_integer() | undefined when
    Table :: table(),
    Key :: term().
rank(Table, Key) ->
    try
        rank_nif(Table, Key)
    catch
        error:badarg -> ?BADARG([Table, Key], xets_errors:cause(rank, [Table, Key]));
        error:xets_retry -> erlang:yield(), rank(Table, Key)
    end.

%% @doc The first `N' objects in the order of keys, of an `ordered_set'. Not in `ets'.
%%
%% Returns a list of them, in ascending order; of all, if there are fewer.
%%
%% Errors: `badarg' if the table is no `ordered_set', or `N' is not an integer, or negative.
%%
%% Complexity and what is seen of other processes' changes: as `range/4'.
-spec first_n(Table, N) -> [Object] when
    Table :: table(),
    N :: non_neg_integer(),
    Object :: tuple().
first_n(Table, N) ->
    try
        end_n(Table, N, [])
    catch
        error:badarg -> ?BADARG([Table, N], xets_errors:cause(first_n, [Table, N]));
        error:xets_retry -> erlang:yield(), first_n(Table, N)
    end.

%% @doc The last `N' objects in the order of keys, of an `ordered_set'. Not in `ets'.
%%
%% Returns a list of them, in descending order: the last one comes first, as in a traversal by
%% `last/1' and `prev/2'.
%%
%% Errors: `badarg' if the table is no `ordered_set', or `N' is not an integer, or negative.
%%
%% Complexity and what is seen of other processes' changes: as `range/4'.
-spec last_n(Table, N) -> [Object] when
    Table :: table(),
    N :: non_neg_integer(),
    Object :: tuple().
last_n(Table, N) ->
    try
        end_n(Table, N, [reverse])
    catch
        error:badarg -> ?BADARG([Table, N], xets_errors:cause(last_n, [Table, N]));
        error:xets_retry -> erlang:yield(), last_n(Table, N)
    end.

end_n(Table, N, Reverse) when is_integer(N) ->
    Options = [{from, unbounded}, {to, unbounded} | Reverse],
    {infinity, Flags} = xets_order:options(Options, [from, to, reverse]),
    case range_nif(Table, [], [], xets_order:capped(N), Flags) of
        {Objects, _Last} -> Objects;
        Objects -> Objects
    end;
end_n(_Table, _N, _Reverse) ->
    erlang:error(badarg).

%% @doc Removes the first object in the order of keys, of an `ordered_set', and returns it. Not in
%% `ets'.
%%
%% Returns a list of the object, or `[]' if the table is empty.
%%
%% Errors: `badarg' if the table is no `ordered_set'.
%%
%% Complexity: O(log(number of objects)) and the size of the object. Atomic and isolated: at
%% the instant at which it is removed, there is none with a smaller key; of several processes
%% each gets another one. So a table can be a priority queue.
-spec take_first(Table) -> [Object] when
    Table :: table(),
    Object :: tuple().
take_first(Table) ->
    try
        take_first_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(take_first, [Table]));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            take_first(Table);
        error:xets_retry -> erlang:yield(), take_first(Table)
    end.

%% @doc As `take_first/1', from the other end. Not in `ets'.
-spec take_last(Table) -> [Object] when
    Table :: table(),
    Object :: tuple().
take_last(Table) ->
    try
        take_last_nif(Table)
    catch
        error:badarg -> ?BADARG([Table], xets_errors:cause(take_last, [Table]));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            take_last(Table);
        error:xets_retry -> erlang:yield(), take_last(Table)
    end.

%%% Plans

%% @doc Which objects of a table a match specification makes the functions look at that take one,
%% as `select/2'. Not in `ets'.
%%
%% Of these objects the specification lets through those that match: the plan changes how long
%% that takes, and nothing else. Returns a map. In it `engine' says what asks them whether they
%% do: `native' code, which looks at them as they are stored, or `ets:match_spec_run/2', for
%% which each of them is made a term. And `plan' is
%% <dl>
%% <dt>`point'</dt><dd>`keys' are the keys of the objects: each is looked up.</dd>
%% <dt>`range'</dt><dd>They are between two keys of an `ordered_set', `from' and `to'. Each of
%% these is `{inclusive, Key}', `{exclusive, Key}' or `unbounded'. A key of which only the beginning
%% is known has `\'_\'' from there on: `{inclusive, {user, \'_\'}}' as `from' is before
%% the first key that is a tuple of two elements, of which the first is `user'. Where a part of such
%% a key is a pid, a port, a reference or a fun, or longer than 4 KiB, keys with another such term
%% may be looked at, too.</dd>
%% <dt>`scan'</dt><dd>They are all objects.</dd>
%% <dt>`nothing'</dt><dd>There are none: no object can match.</dd>
%% </dl>
%%
%% A clause gives a point if its head has a key without variables, `\'_\'' and maps (which match
%% larger maps, too), or if a guard says that the variable that is the key is equal (`=:=') to a
%% constant. With `==' in its place that is so in an `ordered_set', and in other tables if no number
%% is in the constant: there is another key that is equal to 1.
%%
%% In an `ordered_set' guards with `>', `>=', `<' and `=<' on the key give a range, and so does a
%% key that is a tuple or a list and bound from its first element up to some other one, which guards
%% may bound in turn.
%%
%% Guards are looked at under `andalso' and `and', in either order of their operands. Constants are
%% numbers, atoms, binaries and the like, `{const, Term}', and lists, maps and `{{...}}' of
%% constants. Clauses that give points are planned as all their points, others as the range that has
%% all of them in it.
%% ```
%% 1> T = xets:new(visits, [ordered_set]).
%% 2> xets:explain(T, ets:fun2ms(fun({{user, Id}, N}) when Id >= 10, Id < 20 -> N end)).
%% #{engine => native,from => {inclusive,{user,10}},plan => range,to => {exclusive,{user,20}}}
%% 3> xets:explain(T, [{{'$1', '$2'}, [{'=:=', '$1', {{user, 7}}}], ['$2']}]).
%% #{engine => native,keys => [{user,7}],plan => point}
%% 4> xets:explain(T, [{{'$1', '$2'}, [{'>', '$2', 100}], ['$1']}]).
%% #{engine => native,plan => scan}
%% '''
%%
%% Errors: `badarg' if `MatchSpec' is not a valid match specification.
%%
%% Complexity: O(size of the match specification).
-spec explain(Table, MatchSpec) -> plan() when
    Table :: table(),
    MatchSpec :: ets:match_spec().
explain(Table, MatchSpec) ->
    try
        %% Of no clauses, it is valid for select/2, and compiled by nobody.
        _ = MatchSpec =:= [] orelse ets:match_spec_compile(MatchSpec),
        explain_nif(Table, MatchSpec)
    catch
        error:badarg ->
            Args = [Table, MatchSpec],
            ?BADARG(Args, xets_errors:cause(explain, Args));
        error:xets_retry ->
            erlang:yield(),
            explain(Table, MatchSpec)
    end.

%%% Match specifications made of funs

%% @doc The match specification that a literal fun says.
%%
%% With the parse transform `xets_ms_transform', each call of `xets:fun2ms' with a literal fun
%% becomes its match specification when the module is compiled:
%% ```
%% -compile({parse_transform, xets_ms_transform}).
%%
%% adults(Table, Age) ->
%%     xets:select(Table, xets:fun2ms(fun({Name, A}) when A >= Age -> Name end)).
%% '''
%% In the shell it is called as it stands. What the fun may say, and what becomes of its variables,
%% is what the documentation of `ms_transform' says of `ets:fun2ms'.
%%
%% Returns a match specification; in the shell `{error, transform_error}' for a fun that says
%% something else, which the compiler reports otherwise.
%%
%% Errors: the exit `{badarg, _}' where the call has not been transformed, and the fun was not made
%% in the shell.
%%
%% Complexity: O(size of the fun). Nothing is read or written.
-spec fun2ms(LiteralFun) -> MatchSpec | {error, transform_error} when
    LiteralFun :: function(),
    MatchSpec :: match_spec().
fun2ms(LiteralFun) when is_function(LiteralFun) ->
    case xets_fun2ms:from_shell(LiteralFun) of
        badarg ->
            Text = [function, called, with, real, 'fun', should, be, transformed, with,
                    parse_transform, 'or', called, with, a, 'fun', generated, in, the, shell],
            exit({badarg, {?MODULE, fun2ms, Text}});
        Result ->
            Result
    end.

%%% Folds, queries, copies

%% @doc Calls a fun for each object, with what it returned for the object before.
%%
%% `Function(Object, AccIn)' returns the next `AccIn'; the first one is `Acc0'. In an `ordered_set'
%% objects come in the order of keys; else in an order of no meaning, but those of a key, in a bag,
%% one after the other, in the order of their insertion.
%%
%% The table is fixed meanwhile. The fun may change it, and the fold sees that: an object that has
%% been deleted does not come any more, one that has been replaced comes as it is then, and in an
%% `ordered_set' one that has been inserted further on comes, too. In other tables it may or
%% may not. The objects of one key are those that it had when the first of them came.
%%
%% Returns what `Function' returned for the last object; `Acc0' if there is none.
%%
%% Errors: `badarg' also if the table is deleted meanwhile. What `Function' raises.
%%
%% Complexity: O(objects). What `select/2' says about changes by other processes holds here, too.
-spec foldl(Function, Acc0, Table) -> Acc1 when
    Function :: fun((Object :: tuple(), AccIn :: term()) -> AccOut :: term()),
    Acc0 :: term(),
    Table :: table(),
    Acc1 :: term().
foldl(Function, Acc0, Table) ->
    case xets_fold:fix(Table) of
        {ok, Id} ->
            xets_fold:fold(left, Function, Acc0, Id);
        badarg ->
            Args = [Function, Acc0, Table],
            ?BADARG(Args, xets_errors:cause(foldl, Args))
    end.

%% @doc The same in the other direction: in an `ordered_set' in the reverse order of keys. In other
%% tables keys come in the same order as in `foldl/3', as in `ets', but the objects of one key in
%% the reverse order of their insertion.
-spec foldr(Function, Acc0, Table) -> Acc1 when
    Function :: fun((Object :: tuple(), AccIn :: term()) -> AccOut :: term()),
    Acc0 :: term(),
    Table :: table(),
    Acc1 :: term().
foldr(Function, Acc0, Table) ->
    case xets_fold:fix(Table) of
        {ok, Id} ->
            xets_fold:fold(right, Function, Acc0, Id);
        badarg ->
            Args = [Function, Acc0, Table],
            ?BADARG(Args, xets_errors:cause(foldr, Args))
    end.

%% @doc As ``table(Table, [])''.
-spec table(Table) -> QueryHandle when
    Table :: table(),
    QueryHandle :: qlc:query_handle().
table(Table) ->
    case xets_qlc:table(Table, []) of
        {ok, QueryHandle} -> QueryHandle;
        badarg -> ?BADARG([Table], xets_errors:cause(table, [Table]))
    end.

%% @doc A query handle of a table, for `qlc'.
%%
%% Queries look objects up by the key where they say what it is, and otherwise traverse the table,
%% which is fixed then. `Options' is an option or a list of them:
%% <dl>
%% <dt>`{traverse, select}'</dt><dd>By `select/3' and `select/1'. `qlc' makes a match
%% specification of what the query asks of the objects. Default.</dd>
%% <dt>`{traverse, {select, MatchSpec}}'</dt><dd>The same with this match specification: the query
%% is about its results, and looks nothing up.</dd>
%% <dt>`{traverse, first_next}', `{traverse, last_prev}'</dt><dd>Key by key, from the first one, or
%% from the last one.</dd>
%% <dt>`{n_objects, N | default}'</dt><dd>How many results `select/3' returns at once. Default
%% 100.</dd>
%% </dl>
%% Other options are for `qlc:table/2'.
%%
%% Errors: `badarg' if there is no table of this name, or `Options' is something else.
%%
%% Complexity: O(1).
-spec table(Table, Options) -> QueryHandle when
    Table :: table(),
    Options :: Option | [Option],
    Option :: {n_objects, NObjects} | {traverse, TraverseMethod},
    NObjects :: default | pos_integer(),
    TraverseMethod :: first_next | last_prev | select | {select, match_spec()},
    QueryHandle :: qlc:query_handle().
table(Table, Options) ->
    case xets_qlc:table(Table, Options) of
        {ok, QueryHandle} ->
            QueryHandle;
        badarg ->
            Args = [Table, Options],
            ?BADARG(Args, xets_errors:cause(table, Args))
    end.

%% @doc Makes what a fun reads the objects of a table.
%%
%% All objects are deleted first. Then `InitFun(read)' is called, which returns `end_of_input', or
%% `{Objects, Next}': a list of objects, or of lists of them, which are inserted, and the fun to go
%% on with. If one of them cannot be inserted, `Next(close)' is called.
%%
%% Returns `true'.
%%
%% Errors: `badarg' if the table may not be written. An exit for an object that cannot be inserted
%% (`{badarg, _}'), and with what `InitFun' has returned if it is something else. What `InitFun'
%% raises. The objects read before are in the table then.
%%
%% Complexity: O(objects). Not atomic: objects come one by one.
-spec init_table(Table, InitFun) -> true when
    Table :: table(),
    InitFun :: fun((read | close) -> Read),
    Read :: end_of_input | {Objects :: [tuple() | [tuple()]], InitFun} | term().
init_table(Table, InitFun) ->
    case xets_copy:clear(Table) of
        {ok, Id} ->
            xets_copy:fill(Id, InitFun);
        badarg ->
            Args = [Table, InitFun],
            ?BADARG(Args, xets_errors:cause(init_table, Args))
    end.

%% @doc Makes the objects of a table those of an open `dets' table, which has none of its own
%% afterwards.
%%
%% Returns `DetsTable'.
%%
%% Errors: `badarg' if `DetsTable' is not open; else the reason that `dets' gives, such as
%% `invalid_objects_list' for an object that has no element at its key position. A table that is
%% private and has more than 100 objects fails: the process of the `dets' table reads the rest.
%%
%% Complexity: O(objects). The table is fixed meanwhile.
-spec to_dets(Table, DetsTable) -> DetsTable when
    Table :: table(),
    DetsTable :: dets:tab_name().
to_dets(Table, DetsTable) ->
    Args = [Table, DetsTable],
    case xets_copy:to_dets(Table, DetsTable) of
        ok -> DetsTable;
        {error, badarg} -> ?BADARG(Args, xets_errors:cause(to_dets, Args));
        {error, Reason} -> erlang:error(Reason, Args)
    end.

%% @doc Inserts the objects of an open `dets' table. Those that the table has stay, unless they are
%% replaced.
%%
%% Returns `true'.
%%
%% Errors: `badarg' if `DetsTable' is not open, or an object has no element at the table's key
%% position; else the reason that `dets' gives.
%%
%% Complexity: O(objects). Not atomic: objects come one by one.
-spec from_dets(Table, DetsTable) -> true when
    Table :: table(),
    DetsTable :: dets:tab_name().
from_dets(Table, DetsTable) ->
    Args = [Table, DetsTable],
    case xets_copy:from_dets(Table, DetsTable) of
        ok -> true;
        {error, badarg} -> ?BADARG(Args, xets_errors:cause(from_dets, Args));
        {error, Reason} -> erlang:error(Reason, Args)
    end.

%%% Files

%% @doc Writes the table to a file. As `tab2file(Table, File, [])'.
-spec tab2file(Table, File) -> ok | {error, Reason} when
    Table :: table(),
    File :: file:name_all(),
    Reason :: term().
tab2file(Table, File) ->
    tab2file(Table, File, []).

%% @doc Writes the table to a file.
%%
%% What is written is what the table has at one instant, also while others write to it
%% (`snapshot/1'), and the options that it was made with but `heir' and `durable'. In a `bag' the
%% objects of a key keep their order. Options are
%% <dl>
%% <dt>`{format, xets}'</dt><dd>In our own format, which all releases read, on all machines: the
%% external term format, in blocks with checksums. Default.</dd>
%% <dt>`{format, ets}'</dt><dd>As `ets:tab2file/3', for `ets:file2tab/1'.</dd>
%% <dt>`{sync, boolean()}'</dt><dd>Whether the file outlives a loss of power when this returns.
%% Default `false'.</dd>
%% <dt>`{extended_info, [object_count | md5sum]}'</dt><dd>As for `ets': what `file2tab/2' verifies
%% if it is asked to. Files in our own format have both, in their way, and are always verified.</dd>
%% </dl>
%% A file that is there is replaced when the new one is whole, and stays as it is if anything fails.
%% The new one is written in the same directory, under a name that is drawn at random
%% (`.xets-' and 16 digits), and is removed if it does not become whole, also if the calling process
%% is killed. Only an emulator that is killed leaves it behind. `File' may also be a binary, which
%% `ets' does not take.
%%
%% Returns `ok' or `{error, Reason}', with what `ets' returns as reasons: `badtab' if there is no
%% such table, or the calling process may not read it; `{file_error, File, Code}' with a
%% `t:file:posix/0'; `eaccess' if there is a directory in the place of the file. `format_error/1'
%% says it in words.
%%
%% Errors: `badarg' if `Table' is not a table's name or identifier, or `Options' is not a list.
%%
%% Complexity: O(size of the objects), on a dirty IO scheduler. Writers to the table wait as long as
%% for a snapshot.
-spec tab2file(Table, File, Options) -> ok | {error, Reason} when
    Table :: table(),
    File :: file:name_all(),
    Options :: [tab2file_option()],
    Reason :: term().
tab2file(Table, File, Options) ->
    Args = [Table, File, Options],
    case is_list(Options) andalso xets_tabfile:write(Table, File, Options) of
        Failed when Failed =:= false; Failed =:= badarg ->
            ?BADARG(Args, xets_errors:cause(tab2file, Args));
        Result ->
            Result
    end.

%% @doc Reads a table from a file. As `file2tab(File, [])'.
-spec file2tab(File) -> {ok, Table} | {error, Reason} when
    File :: file:name_all(),
    Table :: table(),
    Reason :: term().
file2tab(File) ->
    file2tab(File, []).

%% @doc Reads a table from a file, which `tab2file/3' or `ets:tab2file/3' has written.
%%
%% The calling process becomes the owner of a new table with the name, the type and the other
%% options of the one that was written, and no heir. A file in our own format is read as it was
%% written or not at all: whatever has become of it is found by its checksums. Options are
%% <dl>
%% <dt>`{verify, boolean()}'</dt><dd>For a file in the format of `ets': whether damage, and what
%% the extended information says, is looked for. Default `false'.</dd>
%% <dt>`{table, Table}'</dt><dd>The objects are inserted into this table. As in `ets' it is deleted
%% if that fails.</dd>
%% </dl>
%% Files tell about atoms and funs, too: read those only that you trust.
%%
%% Returns `{ok, Table}', as `new/2' returns it, or `{error, Reason}', with what `ets' returns as
%% reasons: `{read_error, {file_error, File, Code}}' with a `t:file:posix/0';
%% `{read_error, {not_a_log_file, File}}' for files of something else; `cannot_create_table', above
%% all if its name is taken; `invalid_object_count' if the file has not as many objects as it says;
%% `badfile' or `checksum_error' for a file in the format of `ets' that is damaged;
%% `{unsupported_file_version, {Major, Minor}}' for one of a later release; and, beyond `ets',
%% `{badfile, File, Offset, What}' for a file in our format that is damaged, with the first byte of
%% what is wrong. `format_error/1' says it in words.
%%
%% Errors: `badarg' if the process may not write to the table of the option `table', or objects have
%% no element at its key position; `system_limit' if there is no memory.
%%
%% Complexity: O(size of the objects), on a dirty IO scheduler. Not atomic: others may see the
%% table with some of its objects.
-spec file2tab(File, Options) -> {ok, Table} | {error, Reason} when
    File :: file:name_all(),
    Options :: [file2tab_option()],
    Table :: table(),
    Reason :: term().
file2tab(File, Options) ->
    case xets_tabfile:read(File, Options) of
        badarg -> ?BADARG([File, Options], none);
        Result -> Result
    end.

%% @doc What a file says of the table in it.
%%
%% Returns `{ok, Items}' with the items of the table's `info/1' that are typed below; the version is
%% that of the format. The objects in the file are not looked at. Or `{error, Reason}', as
%% `file2tab/2'.
-spec tabfile_info(File) -> {ok, [Item]} | {error, Reason} when
    File :: file:name_all(),
    Item ::
        {name, atom()}
        | {type, type()}
        | {protection, access()}
        | {named_table, boolean()}
        | {keypos, pos_integer()}
        | {size, non_neg_integer()}
        | {extended_info, [object_count | md5sum]}
        | {version, {Major :: non_neg_integer(), Minor :: non_neg_integer()}},
    Reason :: term().
tabfile_info(File) ->
    xets_tabfile:info(File).

%% @doc What an error means that `tab2file/3', `file2tab/2' or `tabfile_info/1' has returned. Not in
%% `ets'.
%% ```
%% 1> {error, Reason} = xets:file2tab("nothing").
%% 2> xets:format_error(Reason).
%% "nothing: no such file or directory"
%% '''
-spec format_error(Reason | {error, Reason}) -> string() when
    Reason :: term().
format_error(Reason) ->
    case xets_durable:is_reason(Reason) of
        true -> unicode:characters_to_list(xets_durable:format_error(Reason));
        false -> xets_tabfile:format_error(Reason)
    end.

%%% Updating

%% @doc Adds to one or more elements of the object that has this key.
%%
%% `UpdateOp' is
%% <ul>
%% <li>an integer: added to the element after the key;</li>
%% <li>`{Pos, Incr}': `Incr' is added to element `Pos';</li>
%% <li>`{Pos, Incr, Threshold, SetValue}': the same, but if the result is greater than
%% `Threshold' (for a negative `Incr': less), the element becomes `SetValue';</li>
%% <li>a list of such tuples: all done, from first to last, one on the result of the
%% other.</li>
%% </ul>
%% Integers of any size are added without loss.
%%
%% Returns the new value of the element, or, for a list, the list of them.
%%
%% Errors: `badarg' if the table is a bag, no object has the key, `UpdateOp' is something
%% else, the object has no element `Pos', that element is the key, or is not an integer. The
%% object is then unchanged.
%%
%% Complexity: O(1) and the size of the object. Atomic and isolated.
-spec update_counter(Table, Key, UpdateOp) -> Result when
    Table :: table(),
    Key :: term(),
    UpdateOp :: Incr | update_op() | [update_op()],
    Incr :: integer(),
    Result :: integer() | [integer()].
update_counter(Table, Key, UpdateOp) ->
    try update_counter_nif(Table, Key, UpdateOp) of
        {slow, Object} ->
            case xets_counter:update(Table, Key, UpdateOp, Object, none, fun store/3) of
                {ok, Result} -> Result;
                changed -> update_counter(Table, Key, UpdateOp);
                {error, Cause} -> ?BADARG([Table, Key, UpdateOp], Cause)
            end;
        Result ->
            Result
    catch
        error:badarg ->
            Args = [Table, Key, UpdateOp],
            ?BADARG(Args, xets_errors:cause(update_counter, Args));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            update_counter(Table, Key, UpdateOp);
        error:xets_retry ->
            erlang:yield(),
            update_counter(Table, Key, UpdateOp)
    end.

%% @doc Adds to one or more elements of the object that has this key, or, if there is
%% none, of `Default', which is put into the table with `Key' as its key.
%%
%% `UpdateOp' and the result are as in `update_counter/3'.
%%
%% Errors: `badarg' in the cases of `update_counter/3' but that of a missing key, and
%% if `Default' is not a tuple that has an element at the table's key position, also
%% where it is not needed.
%%
%% Complexity: O(1) and the size of the object. Atomic and isolated.
-spec update_counter(Table, Key, UpdateOp, Default) -> Result when
    Table :: table(),
    Key :: term(),
    UpdateOp :: Incr | update_op() | [update_op()],
    Incr :: integer(),
    Default :: tuple(),
    Result :: integer() | [integer()].
update_counter(Table, Key, UpdateOp, Default) ->
    try update_counter_nif(Table, Key, UpdateOp, Default) of
        {slow, Old} ->
            case xets_counter:update(Table, Key, UpdateOp, Old, Default, fun store/3) of
                {ok, Result} -> Result;
                changed -> update_counter(Table, Key, UpdateOp, Default);
                {error, Cause} -> ?BADARG([Table, Key, UpdateOp, Default], Cause)
            end;
        Result ->
            Result
    catch
        error:badarg ->
            Args = [Table, Key, UpdateOp, Default],
            ?BADARG(Args, xets_errors:cause(update_counter, Args));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            update_counter(Table, Key, UpdateOp, Default);
        error:xets_retry ->
            erlang:yield(),
            update_counter(Table, Key, UpdateOp, Default)
    end.

%% False: the table is not what it was when the native side looked.
-spec store(table(), Old :: tuple() | absent, New :: tuple()) -> boolean().
store(Table, Old, New) ->
    try
        case Old of
            absent -> insert_new_nif(Table, New);
            _ -> replace_nif(Table, Old, New)
        end
    catch
        error:badarg ->
            false;
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            false;
        error:xets_retry ->
            erlang:yield(),
            false
    end.

%% @doc Replaces one or more elements of the object that has this key.
%%
%% `ElementSpec' is `{Pos, Value}' or a list of such tuples, done from first to last.
%%
%% Returns `true', or, if no object has the key, `false': then `ElementSpec' is not
%% looked at.
%%
%% Errors: `badarg' if the table is a bag, or if there is such an object and `ElementSpec' is
%% something else, the object has no element `Pos', or that element is the key. The object is
%% then unchanged.
%%
%% Complexity: O(1) and the size of the object. Atomic and isolated.
-spec update_element(Table, Key, ElementSpec) -> boolean() when
    Table :: table(),
    Key :: term(),
    ElementSpec :: element_spec() | [element_spec()].
update_element(Table, Key, ElementSpec) ->
    try
        update_element_nif(Table, Key, ElementSpec)
    catch
        error:badarg ->
            Args = [Table, Key, ElementSpec],
            ?BADARG(Args, xets_errors:cause(update_element, Args));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            update_element(Table, Key, ElementSpec);
        error:xets_retry ->
            erlang:yield(),
            update_element(Table, Key, ElementSpec)
    end.

%% @doc Replaces one or more elements of the object that has this key, or, if there is
%% none, of `Default', which is put into the table with `Key' as its key.
%%
%% Returns `true'.
%%
%% Errors: `badarg' if the table is a bag, `ElementSpec' is not `{Pos, Value}' or a list of
%% such tuples, the object has no element `Pos', or that element is the key, and if `Default'
%% is not a tuple that has an element at the table's key position, also where it is not needed.
%%
%% Complexity: O(1) and the size of the object. Atomic and isolated.
-spec update_element(Table, Key, ElementSpec, Default) -> true when
    Table :: table(),
    Key :: term(),
    ElementSpec :: element_spec() | [element_spec()],
    Default :: tuple().
update_element(Table, Key, ElementSpec, Default) ->
    try
        update_element_nif(Table, Key, ElementSpec, Default)
    catch
        error:badarg ->
            Args = [Table, Key, ElementSpec, Default],
            ?BADARG(Args, xets_errors:cause(update_element, Args));
        error:?WAIT(Log, Number, Result) -> xets_durable:wait(Log, Number, Result);
        error:?ROOM(Log, Bytes) ->
            ok = xets_durable:await_room(Log, Bytes),
            update_element(Table, Key, ElementSpec, Default);
        error:xets_retry ->
            erlang:yield(),
            update_element(Table, Key, ElementSpec, Default)
    end.

%% @doc Says which argument of a failed call was wrong, and why. For the shell and
%% other printers of errors, which find this function through `error_info'.
%%
%% Returns a map from the number of an argument to a text.
-spec format_error(Reason, StackTrace) -> #{pos_integer() => unicode:chardata()} when
    Reason :: term(),
    StackTrace :: erlang:stacktrace().
format_error(Reason, StackTrace) ->
    xets_errors:format_error(Reason, StackTrace).

%%% Loading

%% The directory with the native library: that of the environment, for builds under
%% test; that of the application; that beside the directory of this module.
load() ->
    Dirs =
        [Dir || Dir <- [os:getenv("XETS_PRIV")], is_list(Dir), Dir =/= ""] ++
            [Dir || Dir <- [code:priv_dir(?MODULE)], is_list(Dir)] ++
            [filename:join([filename:dirname(Beam), "..", "priv"]) || Beam <- beam()],
    case [Dir || Dir <- Dirs, filelib:is_regular(filename:join(Dir, "xets.so"))] of
        [Dir | _] ->
            load(filename:join(Dir, "xets"));
        [] ->
            load_failed("xets.so is in none of ~0tp; `make -C c_src` builds it", [Dirs])
    end.

load(Library) ->
    case erlang:load_nif(Library, native_info()) of
        ok -> ok;
        {error, {upgrade, Text}} -> load_failed("~ts.so: ~ts", [Library, refused(Text)]);
        {error, {_, Text}} -> load_failed("~ts.so: ~ts", [Library, Text])
    end.

%% What the library decides by whether it reads and builds terms where they lie, and specimens
%% of terms that it cannot make by itself (c_src/beam/term_native.h): references, references of
%% other forms, bit strings.
-spec native_info() -> tuple().
native_info() ->
    Alias = erlang:alias(),
    erlang:unalias(Alias),
    Monitor = erlang:monitor(process, self()),
    erlang:demonitor(Monitor, [flush]),
    <<_:13, Short:45/bitstring, Long:490/bitstring, _/bitstring>> = list_to_binary(lists:seq(1, 100)),
    Copies = [list_to_bitstring([0, Bits]) || Bits <- [Short, Long]],
    {
        erlang:system_info(otp_release),
        erlang:system_info(build_type),
        os:getenv("XETS_TERMS") =:= "portable",
        [make_ref(), Monitor],
        [Alias, atomics:new(1, [])],
        [Short, Long, <<(length(Copies)):3>>, <<(length(Copies)):67>> | Copies]
    }.

%% The emulator's text has the number that the library refused with (c_src/beam/nif.c).
refused(Text) ->
    case string:find(Text, "(2)") of
        nomatch -> Text;
        _ -> "it keeps tables in another layout than the library in use, whose tables it "
             "would have to take over; what is in use goes on"
    end.

beam() ->
    case code:which(?MODULE) of
        Beam when is_list(Beam) -> [Beam];
        _ -> []
    end.

load_failed(Format, Args) ->
    {error, lists:flatten(io_lib:format("xets cannot load its native library: " ++ Format, Args))}.

%%% The native functions (c_src/beam). Besides what their specifications say they raise
%%% `badarg', `system_limit', and `xets_retry' for "yield, then call again".

%% Settings that are made by xets_tabfile have a seed of the hashes behind them.
-spec new_nif(atom(), xets_options:settings() | tuple()) -> table().
new_nif(_Name, _Settings) -> ?NIF.

-spec delete_nif(table()) -> true.
delete_nif(_Table) -> ?NIF.

-spec info_nif() -> #{terms := atom(), tables := integer(), bytes := integer(), _ => _}.
info_nif() -> ?NIF.

%% All facts but the size, which takes longer the larger the table is.
-spec info_nif(table()) -> xets_info:facts() | undefined.
info_nif(_Table) -> ?NIF.

-spec size_nif(table()) -> non_neg_integer() | undefined.
size_nif(_Table) -> ?NIF.

-spec stats_nif(table()) -> map() | undefined.
stats_nif(_Table) -> ?NIF.

-spec whereis_nif(atom()) -> reference() | undefined.
whereis_nif(_Name) -> ?NIF.

-spec snapshot_nif(table()) -> tid().
snapshot_nif(_Table) -> ?NIF.

-spec all_nif() -> [table()].
all_nif() -> ?NIF.

-spec rename_nif(table(), atom()) -> table().
rename_nif(_Table, _Name) -> ?NIF.

-spec give_away_nif(table(), pid(), term()) -> true.
give_away_nif(_Table, _Pid, _GiftData) -> ?NIF.

-spec setopts_nif(table(), xets_options:heir() | unchanged, access() | unchanged) -> true.
setopts_nif(_Table, _Heir, _Access) -> ?NIF.

-spec safe_fixtable_nif(table(), boolean()) -> true.
safe_fixtable_nif(_Table, _Fix) -> ?NIF.

-spec fixed_nif(table()) -> boolean() | undefined.
fixed_nif(_Table) -> ?NIF.

%% Who has fixed the table, and since when: monotonic time in nanoseconds, and what was to be
%% added to it then for the system's.
-spec fixers_nif(table()) -> {integer(), integer(), [{pid(), pos_integer()}]} | false | undefined.
fixers_nif(_Table) -> ?NIF.

-spec insert_nif(table(), tuple() | [tuple()]) -> true.
insert_nif(_Table, _Objects) -> ?NIF.

-spec insert_new_nif(table(), tuple() | [tuple()]) -> boolean().
insert_new_nif(_Table, _Objects) -> ?NIF.

%% The object that the table has for the key afterwards.
-spec put_new_nif(table(), tuple()) -> tuple().
put_new_nif(_Table, _Object) -> ?NIF.

%% Puts `New' in the place of `Old', if the table has an object equal to `Old'.
%% @private
-spec replace_nif(table(), Old :: tuple(), New :: tuple()) -> boolean().
replace_nif(_Table, _Old, _New) -> ?NIF.

-spec delete_nif(table(), term()) -> true.
delete_nif(_Table, _Key) -> ?NIF.

%% The list: what is left could not be deleted now, for a reason that is gone after a yield.
-spec delete_many_nif(table(), [term()]) -> true | [term()].
delete_many_nif(_Table, _Keys) -> ?NIF.

-spec delete_object_nif(table(), tuple()) -> true.
delete_object_nif(_Table, _Object) -> ?NIF.

-spec delete_all_objects_nif(table()) -> true.
delete_all_objects_nif(_Table) -> ?NIF.
-spec delete_count_all_nif(table()) -> non_neg_integer().
delete_count_all_nif(_Table) -> ?NIF.

-spec take_nif(table(), term()) -> [tuple()].
take_nif(_Table, _Key) -> ?NIF.

%% The pair: what is left could not be taken now, for a reason that is gone after a yield.
-spec take_many_nif(table(), [term()]) -> [[tuple()]] | {[[tuple()]], Left :: [term()]}.
take_many_nif(_Table, _Keys) -> ?NIF.

-spec lookup_nif(table(), term()) -> [tuple()].
lookup_nif(_Table, _Key) -> ?NIF.

-spec lookup_element_nif(table(), term(), pos_integer()) -> term().
lookup_element_nif(_Table, _Key, _Pos) -> ?NIF.

-spec lookup_element_nif(table(), term(), pos_integer(), term()) -> term().
lookup_element_nif(_Table, _Key, _Pos, _Default) -> ?NIF.

-spec lookup_elements_nif(table(), term(), tuple()) -> tuple() | [tuple()].
lookup_elements_nif(_Table, _Key, _Positions) -> ?NIF.

-spec lookup_many_nif(table(), [term()]) -> [[tuple()]].
lookup_many_nif(_Table, _Keys) -> ?NIF.

-spec member_nif(table(), term()) -> boolean().
member_nif(_Table, _Key) -> ?NIF.

-spec tab2list_nif(table()) -> [tuple()].
tab2list_nif(_Table) -> ?NIF.

-spec first_nif(table()) -> term().
first_nif(_Table) -> ?NIF.

-spec last_nif(table()) -> term().
last_nif(_Table) -> ?NIF.

-spec next_nif(table(), term()) -> term().
next_nif(_Table, _Key) -> ?NIF.

-spec prev_nif(table(), term()) -> term().
prev_nif(_Table, _Key) -> ?NIF.

-spec first_lookup_nif(table()) -> {term(), [tuple()]} | '$end_of_table'.
first_lookup_nif(_Table) -> ?NIF.

-spec last_lookup_nif(table()) -> {term(), [tuple()]} | '$end_of_table'.
last_lookup_nif(_Table) -> ?NIF.

-spec next_lookup_nif(table(), term()) -> {term(), [tuple()]} | '$end_of_table'.
next_lookup_nif(_Table, _Key) -> ?NIF.

-spec prev_lookup_nif(table(), term()) -> {term(), [tuple()]} | '$end_of_table'.
prev_lookup_nif(_Table, _Key) -> ?NIF.

-spec slot_nif(table(), non_neg_integer()) -> [tuple()] | '$end_of_table'.
slot_nif(_Table, _I) -> ?NIF.

%% `Limit': a number, or `infinity'. `Flags': those of xets_order.
-spec range_nif(table(), From, To, xets_order:limit() | 0, xets_order:flags()) ->
    xets_order:found() when From :: term(), To :: term().
range_nif(_Table, _From, _To, _Limit, _Flags) -> ?NIF.

%% `Last': behind which key to go on, if the flags say so.
-spec prefix_nif(table(), Prefix, xets_order:limit(), xets_order:flags(), Last) ->
    xets_order:found() when Prefix :: term(), Last :: term().
prefix_nif(_Table, _Prefix, _Limit, _Flags, _Last) -> ?NIF.

-spec count_nif(table(), From :: term(), To :: term(), xets_order:flags()) -> non_neg_integer().
count_nif(_Table, _From, _To, _Flags) -> ?NIF.

-spec nth_nif(table(), pos_integer()) -> [tuple()].
nth_nif(_Table, _I) -> ?NIF.

-spec rank_nif(table(), term()) -> pos_integer() | undefined.
rank_nif(_Table, _Key) -> ?NIF.

-spec take_first_nif(table()) -> [tuple()].
take_first_nif(_Table) -> ?NIF.

-spec take_last_nif(table()) -> [tuple()].
take_last_nif(_Table) -> ?NIF.

-spec explain_nif(table(), term()) -> plan().
explain_nif(_Table, _MatchSpec) -> ?NIF.

%% `slow': an integer does not fit a machine word; nothing has been changed.
-spec update_counter_nif(table(), term(), term()) -> integer() | [integer()] | {slow, tuple()}.
update_counter_nif(_Table, _Key, _UpdateOp) -> ?NIF.

-spec update_counter_nif(table(), term(), term(), tuple()) ->
    integer() | [integer()] | {slow, tuple() | absent}.
update_counter_nif(_Table, _Key, _UpdateOp, _Default) -> ?NIF.

-spec update_element_nif(table(), term(), term()) -> boolean().
update_element_nif(_Table, _Key, _ElementSpec) -> ?NIF.

-spec update_element_nif(table(), term(), term(), tuple()) -> true.
update_element_nif(_Table, _Key, _ElementSpec, _Default) -> ?NIF.

%% The calls of match specifications (c_src/beam/calls_match.c), for xets_match. `Limit': a number,
%% or `infinity'.
%% @private
-spec scan_nif(table(), MatchSpec, xets_match:what(), Limit, xets_match:position()) ->
    xets_match:outcome() when MatchSpec :: term(), Limit :: pos_integer() | infinity.
scan_nif(_Table, _MatchSpec, _What, _Limit, _From) -> ?NIF.

%% @private
-spec update_nif(table(), Key :: term(), MatchSpec :: term()) -> tuple() | false | other.
update_nif(_Table, _Key, _MatchSpec) -> ?NIF.

%% At least `Least' objects that the match specification may match, if there are so many, and the
%% position behind them.
%% @private
-spec candidates_nif(table(), MatchSpec, Reverse, Least, xets_match:position()) ->
    {[tuple()], xets_match:position()}
when
    MatchSpec :: term(), Reverse :: boolean(), Least :: pos_integer().
candidates_nif(_Table, _MatchSpec, _Reverse, _Least, _From) -> ?NIF.

%% Deletes an object, in a duplicate bag all that are equal. How many they were.
%% @private
-spec remove_object_count_nif(table(), tuple()) -> non_neg_integer().
remove_object_count_nif(_Table, _Object) -> ?NIF.

%% The objects of a key in a bag, with their numbers, in the order of both.
%% @private
-spec group_nif(table(), Key :: term()) -> [{Number :: non_neg_integer(), tuple()}].
group_nif(_Table, _Key) -> ?NIF.

%% Puts `New' in the place of the `Old' that has this number, if there still is one.
%% @private
-spec replace_in_group_nif(table(), Old :: tuple(), Number, New :: tuple()) -> boolean() when
    Number :: non_neg_integer().
replace_in_group_nif(_Table, _Old, _Number, _New) -> ?NIF.

%% Some objects, the position behind them, and a mark for unchanged_nif/2. None: there are no more.
%% @private
-spec objects_nif(table(), xets_match:position(), Reverse :: boolean()) ->
    {[tuple()], xets_match:position(), Mark :: term()}.
objects_nif(_Table, _From, _Reverse) -> ?NIF.

%% Whether no object has changed among those that came with the mark, and between them.
%% @private
-spec unchanged_nif(table(), Mark :: term()) -> boolean().
unchanged_nif(_Table, _Mark) -> ?NIF.

%% The steps of xets_tabfile (c_src/beam/calls_file.c). An error has a code, the offset in the file,
%% and what is wrong there.
%% @private
-spec file_write_nif(Path :: binary(), Metadata :: binary() | none, Sync :: boolean()) ->
    {ok, {Output :: reference(), NewPath :: binary()}} | {error, xets_tabfile:file_error()}.
file_write_nif(_Path, _Metadata, _Sync) -> ?NIF.
%% @private
-spec file_dump_nif(Output :: reference(), Snapshot :: tid()) ->
    more | ok | {error, xets_tabfile:file_error()}.
file_dump_nif(_Output, _Snapshot) -> ?NIF.
%% @private
-spec file_finish_nif(Output :: reference()) -> ok | {error, xets_tabfile:file_error()}.
file_finish_nif(_Output) -> ?NIF.
%% @private
-spec file_abort_nif(Output :: reference()) -> ok.
file_abort_nif(_Output) -> ?NIF.
%% @private
-spec file_read_nif(Path :: binary()) ->
    {ok, {Input :: reference(), Metadata :: binary()}} | {error, xets_tabfile:file_error()}.
file_read_nif(_Path) -> ?NIF.
%% @private
-spec file_load_nif(Input :: reference(), tid(), Expected :: non_neg_integer() | none) ->
    more | {ok, non_neg_integer()} | {error, xets_tabfile:file_error()}.
file_load_nif(_Input, _Table, _Expected) -> ?NIF.
%% @private
-spec file_close_nif(Input :: reference()) -> ok.
file_close_nif(_Input) -> ?NIF.
%% @private
-spec file_seed_nif(Snapshot :: tid()) -> non_neg_integer().
file_seed_nif(_Snapshot) -> ?NIF.

%% The steps of xets_durable (c_src/beam/calls_durable.c).
%% @private
-spec durable_open_nif(Dir, Metadata, xets_durable:level(), CheckpointAfter) ->
    {ok, {xets_durable:log(), Stored :: binary(), Path :: binary()}}
    | {error, xets_durable:error()}
when
    Dir :: binary(), Metadata :: binary() | salvage, CheckpointAfter :: non_neg_integer().
durable_open_nif(_Dir, _Metadata, _Level, _CheckpointAfter) -> ?NIF.
%% @private
-spec durable_prepare_nif(atom(), xets_options:settings()) -> tid().
durable_prepare_nif(_Name, _Settings) -> ?NIF.
%% @private
-spec durable_replay_nif(xets_durable:log(), tid()) ->
    more | ok | {error, xets_durable:error()}.
durable_replay_nif(_Log, _Table) -> ?NIF.
%% @private
-spec durable_attach_nif(xets_durable:log(), tid()) -> ok | {error, xets_durable:error()}.
durable_attach_nif(_Log, _Table) -> ?NIF.
%% @private
-spec durable_show_nif(tid(), xets_options:heir()) -> table().
durable_show_nif(_Table, _Heir) -> ?NIF.
%% What salvaging has passed over, before the log is attached.
%% @private
-spec durable_lost_nif(xets_durable:log()) -> Lost when
    Lost :: {Changes, Bytes, Segments, Checkpoint, CheckpointBytes, Records},
    Changes :: non_neg_integer(),
    Bytes :: non_neg_integer(),
    Segments :: non_neg_integer(),
    Checkpoint :: boolean(),
    CheckpointBytes :: non_neg_integer(),
    Records :: non_neg_integer().
durable_lost_nif(_Log) -> ?NIF.
%% @private
-spec durable_verify_open_nif(Dir :: binary()) ->
    {ok, Verification :: reference()} | {error, xets_durable:error()}.
durable_verify_open_nif(_Dir) -> ?NIF.
%% @private
-spec durable_verify_nif(Verification :: reference()) -> more | ok | {error, xets_durable:error()}.
durable_verify_nif(_Verification) -> ?NIF.
%% @private
-spec durable_destroy_nif(Dir :: binary()) -> ok | {error, xets_durable:error()}.
durable_destroy_nif(_Dir) -> ?NIF.
%% @private
-spec durable_flush_nif() -> boolean().
durable_flush_nif() -> ?NIF.
%% @private
-spec durable_library_nif() -> Path :: binary().
durable_library_nif() -> ?NIF.
%% @private
-spec durable_close_nif(xets_durable:log()) -> ok.
durable_close_nif(_Log) -> ?NIF.
%% @private
-spec durable_holder_nif(Dir :: binary(), reference()) ->
    none | opening | closing | {ok, table()}.
durable_holder_nif(_Dir, _Ref) -> ?NIF.
%% `wait': {Ref, ok | failed | closed} will come.
%% @private
-spec durable_wait_nif(xets_durable:log(), non_neg_integer() | sync | closed, reference()) ->
    ok | checkpoint | wait | {error, xets_durable:error()}.
durable_wait_nif(_Log, _Number, _Ref) -> ?NIF.
%% `wait': {Ref, _} will come.
%% @private
-spec durable_await_room_nif(xets_durable:log(), non_neg_integer(), reference()) -> ok | wait.
durable_await_room_nif(_Log, _Bytes, _Ref) -> ?NIF.
%% @private
-spec durable_seed_nif() -> non_neg_integer().
durable_seed_nif() -> ?NIF.
%% @private
-spec durable_log_nif(table()) -> xets_durable:log() | false | undefined.
durable_log_nif(_Table) -> ?NIF.
%% @private
-spec durable_log_to_read_nif(table()) -> xets_durable:log() | false.
durable_log_to_read_nif(_Table) -> ?NIF.
%% @private
-spec durable_info_nif(xets_durable:log()) -> tuple() | closed.
durable_info_nif(_Log) -> ?NIF.
%% @private
-spec checkpoint_begin_nif(xets_durable:log(), BackupDir :: binary() | none) ->
    {ok, {Job :: reference(), Snapshot :: tid()}} | busy | {error, xets_durable:error()}.
checkpoint_begin_nif(_Log, _Dir) -> ?NIF.
%% @private
-spec checkpoint_write_nif(Job :: reference(), Snapshot :: tid()) ->
    more | ok | {error, xets_durable:error()}.
checkpoint_write_nif(_Job, _Snapshot) -> ?NIF.
