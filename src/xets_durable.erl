%% @private
%% @doc Tables that are kept in a directory: opening, waiting, checkpoints, errors.
%%
%% The native side (c_src/beam/durable.h) keeps the files. Whatever takes long it does piece by
%% piece, and what goes on with it is a process here.
-module(xets_durable).

-export([new/3, wait/3, await_room/2, sync/1, checkpoint/1, backup/2, info/1, failure/1]).
-export([verify/1, repair/1, destroy/1]).
-export([is_reason/1, format_error/1]).
-export_type([level/0, error/0, reason/0, log/0]).

-type level() :: memory | os | disk.
%% When a write returns: when it is in the memory of this VM, with the operating system, or on the
%% disk.
-type error() :: {
    Code :: atom(),
    Operation :: binary(),
    Path :: binary(),
    Offset :: non_neg_integer() | none,
    Reason :: binary() | none
}.
%% What failed, on which file, and where.
-type reason() ::
    error()
    | {in_use, xets:table()}
    | opening
    | not_empty
    | {differs, Option :: type | keypos | compressed, Stored :: term()}
    | {bad_option | missing_option | unknown_option, term()}.
%% Why a table is not opened, or not kept any more.
-opaque log() :: reference().

-define(METADATA_VERSION, 1).
%% Where they are in a checkpoint (c_src/core/tablefile.h), and in a segment (c_src/core/journal.h).
-define(METADATA_OFFSET, 64).
-define(PATH_MAX, 4096).
%% How often a directory is tried that somebody else had, and has not any more.
-define(TRIES, 3).

%%% Opening

%% @doc Makes a durable table, or recovers it.
-spec new(Name :: atom(), xets_options:settings(), xets_options:durable()) ->
    {ok, xets:table()} | {error, already_exists | {durable, reason()}}.
new(Name, Settings, Durable) ->
    case element(3, Settings) andalso xets:whereis(Name) =/= undefined of
        true ->
            {error, already_exists};
        false ->
            case checked(element(1, Durable)) of
                {ok, _} ->
                    start(),
                    open(Name, Settings, Durable, ?TRIES);
                {error, Reason} ->
                    {error, {durable, Reason}}
            end
    end.

%% The native side has room for paths that the system has room for.
checked(Path) when byte_size(Path) < ?PATH_MAX -> {ok, Path};
checked(Path) -> {error, {enametoolong, <<"open">>, Path, none, none}}.

%% The application has the port for which journals are written when the emulator stops. Where it
%% cannot run tables are as safe as ever: level `memory' is as `os' then. While the system is being
%% stopped nobody may ask for an application: who starts them waits for those that stop.
start() ->
    case whereis(xets_port) =:= undefined andalso init:get_status() of
        false ->
            ok;
        {stopping, _} ->
            ok;
        _ ->
            try application:ensure_all_started(xets) of
                _ -> ok
            catch
                exit:_ -> ok
            end
    end.

open(Name, Settings, {Dir, Level, After} = Durable, Tries) ->
    case xets:durable_open_nif(Dir, metadata(Settings), Level, After) of
        {ok, {Log, Stored, File}} ->
            opened(Name, Settings, Log, {Stored, File});
        {error, {locked, _, _, _, _} = Error} ->
            case holder(Dir) of
                none when Tries > 1 -> open(Name, Settings, Durable, Tries - 1);
                none -> {error, {durable, Error}};
                closed -> open(Name, Settings, Durable, Tries);
                Reason -> {error, {durable, Reason}}
            end;
        {error, Error} ->
            {error, {durable, Error}}
    end.

%% Who has the directory, in this VM; one that is about to be closed is waited for.
holder(Dir) ->
    Ref = make_ref(),
    case xets:durable_holder_nif(Dir, Ref) of
        closing ->
            receive
                {Ref, closed} -> closed
            end;
        {ok, Table} ->
            {in_use, Table};
        Other ->
            Other
    end.

opened(Name, Settings, Log, Stored) ->
    Checked = fun(Had) ->
        ok = check(Had, Settings),
        setelement(5, Settings, none)
    end,
    case recovered(Name, Checked, Log, Stored) of
        {ok, Hidden, _} -> show(Hidden, element(5, Settings), Log);
        {error, Reason} -> {error, {durable, Reason}}
    end.

%% A hidden table with what the files have, whose log this is from now on, and what salvaging has
%% passed over. The settings are those that Fun makes of what the directory is for. Without a table
%% the log is closed.
recovered(Name, Fun, Log, Stored) ->
    try
        Had = form_of(Stored),
        Hidden = xets:durable_prepare_nif(Name, seeded(Fun(Had), Had)),
        ok = replay(Log, Hidden),
        Lost = xets:durable_lost_nif(Log),
        ok = attach(Log, Hidden),
        {ok, Hidden, Lost}
    catch
        throw:Reason ->
            ok = xets:durable_close_nif(Log),
            {error, Reason};
        Class:Error:Stack ->
            ok = xets:durable_close_nif(Log),
            erlang:raise(Class, Error, Stack)
    end.

replay(Log, Table) ->
    case xets:durable_replay_nif(Log, Table) of
        more -> replay(Log, Table);
        ok -> ok;
        {error, Error} -> throw(Error)
    end.

attach(Log, Table) ->
    case xets:durable_attach_nif(Log, Table) of
        ok -> ok;
        {error, Error} -> throw(Error)
    end.

%% Where that fails the table is closed again.
show(Hidden, Heir, Log) ->
    try
        {ok, xets:durable_show_nif(Hidden, Heir)}
    catch
        error:Reason when Reason =:= badarg; Reason =:= xets_retry ->
            ended(Hidden),
            wait(Log, closed, {error, already_exists});
        error:Reason:Stack ->
            ended(Hidden),
            erlang:raise(error, Reason, Stack)
    end.

%% A table that has not been shown may have ended by that.
ended(Hidden) ->
    try
        xets:delete(Hidden)
    catch
        error:_ -> true
    end.

%%% Directories that nobody has open

%% @doc As `xets:verify/1'.
-spec verify(file:name_all()) -> ok | {error, reason()}.
verify(Dir) ->
    closed(Dir, fun(Path) ->
        case xets:durable_verify_open_nif(Path) of
            {ok, Verification} -> verified(Verification);
            Error -> Error
        end
    end).

verified(Verification) ->
    case xets:durable_verify_nif(Verification) of
        more -> verified(Verification);
        Result -> Result
    end.

%% @doc As `xets:destroy/1'.
-spec destroy(file:name_all()) -> ok | {error, reason()}.
destroy(Dir) ->
    closed(Dir, fun xets:durable_destroy_nif/1).

%% Fun with the path of a directory that no table has, as far as this VM is concerned.
closed(Dir, Fun) ->
    case xets_tabfile:path(Dir) of
        {ok, Name} ->
            case checked(Name) of
                {ok, Path} -> closed_path(Path, Fun);
                Error -> Error
            end;
        _ ->
            {error, {bad_option, dir}}
    end.

closed_path(Path, Fun) ->
    case holder(Path) of
        none -> Fun(Path);
        closed -> closed_path(Path, Fun);
        Reason -> {error, Reason}
    end.

%% @doc As `xets:repair/1': what can be read goes into a table, and that into a checkpoint.
-spec repair(file:name_all()) -> {ok, map()} | {error, reason() | busy}.
repair(Dir) ->
    closed(Dir, fun(Path) ->
        case xets:durable_open_nif(Path, salvage, disk, 0) of
            {ok, {Log, Stored, File}} -> repaired(Log, {Stored, File});
            Error -> Error
        end
    end).

repaired(Log, Stored) ->
    case recovered(xets_repair, fun stored/1, Log, Stored) of
        {ok, Hidden, Lost} ->
            {ok, Table} = show(Hidden, none, Log),
            try
                saved(Log, xets:info(Table, size), Lost)
            after
                true = xets:delete(Table)
            end;
        Error ->
            Error
    end.

saved(Log, Objects, {Changes, Bytes, Segments, Checkpoint, CheckpointBytes, Records}) ->
    case checkpoint(Log, none) of
        ok ->
            {ok, #{
                objects => Objects,
                lost_changes => Changes,
                lost_bytes => Bytes + CheckpointBytes,
                lost_segments => Segments,
                lost_checkpoint => Checkpoint,
                lost_records => Records
            }};
        Error ->
            Error
    end.

%% The settings of a table that only this process sees.
stored(Had) ->
    #{type := Type, keypos := KeyPos, compressed := Compressed} = maps:from_list(Had),
    {Type, private, false, KeyPos, none, false, false, false, Compressed}.

%%% What a directory is for

%% With the seed of its hashes a table that is recovered has its objects in the order of the
%% checkpoint, which makes storing them fast (c_src/README.md).
metadata(Settings) ->
    Seed = {hash_seed, xets:durable_seed_nif()},
    term_to_binary({xets_durable, ?METADATA_VERSION, form(Settings) ++ [Seed]}).

form(Settings) ->
    [
        {type, element(1, Settings)},
        {keypos, element(4, Settings)},
        {compressed, element(9, Settings)}
    ].

check(Had, Settings) ->
    case lists:keydelete(hash_seed, 1, Had) -- form(Settings) of
        [] -> ok;
        [{Name, Value} | _] -> throw({differs, Name, Value})
    end.

%% Of a set: only there room is made before for objects that come in that order.
seeded(Settings, _Had) when element(1, Settings) =/= set ->
    Settings;
seeded(Settings, Had) ->
    case lists:keyfind(hash_seed, 1, Had) of
        {_, Seed} -> erlang:append_element(Settings, Seed);
        false -> Settings
    end.

is_seed([]) -> true;
is_seed([{hash_seed, Seed}]) -> is_integer(Seed) andalso Seed >= 0 andalso Seed < 1 bsl 64;
is_seed(_) -> false.

%% What the metadata, which are behind the header of a file, say of the table. Checksums have
%% been right, but who wrote it may have meant something else.
form_of({Stored, File}) ->
    Bad = fun(Code) -> throw({Code, <<"read">>, File, ?METADATA_OFFSET, <<"the metadata">>}) end,
    Term =
        try
            binary_to_term(Stored, [safe])
        catch
            error:badarg -> none
        end,
    case Term of
        {xets_durable, ?METADATA_VERSION, [
            {type, Type}, {keypos, KeyPos}, {compressed, Compressed} | Seed
        ] = Form} ->
            IsForm =
                lists:member(Type, [set, ordered_set, bag, duplicate_bag]) andalso
                    is_integer(KeyPos) andalso KeyPos > 0 andalso is_boolean(Compressed) andalso
                    is_seed(Seed),
            case IsForm of
                true -> Form;
                false -> Bad(damaged)
            end;
        {xets_durable, Version, _} when is_integer(Version), Version =/= ?METADATA_VERSION ->
            Bad(version);
        _ ->
            Bad(damaged)
    end.

%%% Waiting

%% @doc Waits until what was written has reached the level of its table; then `Result' is
%% that of the call. Number `closed': until the table is closed.
-spec wait(log(), Number :: non_neg_integer() | sync | closed, Result) -> Result.
wait(Log, Number, Result) ->
    case wait(Log, Number) of
        ok -> Result;
        {error, Error} -> failed(Error)
    end.

wait(Log, Number) ->
    Ref = make_ref(),
    case xets:durable_wait_nif(Log, Number, Ref) of
        wait ->
            receive
                {Ref, ok} -> ok;
                % It can say more now.
                {Ref, _} -> wait(Log, Number)
            end;
        checkpoint ->
            checkpoint_elsewhere(Log),
            wait(Log, Number);
        Status ->
            Status
    end.

failed(Error) ->
    erlang:error({durable, Error}).

%% @doc Waits until there may be room for a change of so many bytes: a write that had none is
%% worth trying again then.
-spec await_room(log(), Bytes :: non_neg_integer()) -> ok.
await_room(Log, Bytes) ->
    Ref = make_ref(),
    case xets:durable_await_room_nif(Log, Bytes, Ref) of
        ok ->
            true = erlang:yield(),
            ok;
        wait ->
            receive
                {Ref, _} -> ok
            end
    end.

%% @doc Why a table takes no changes any more.
-spec failure(xets:table()) -> error() | none.
failure(Table) ->
    try xets:durable_log_nif(Table) of
        Log when is_reference(Log) ->
            case xets:durable_info_nif(Log) of
                {_, _, _, _, _, _, Error} -> Error;
                closed -> none
            end;
        _ ->
            none
    catch
        error:_ -> none
    end.

%% @doc As `xets:sync/1'.
-spec sync(xets:table()) -> ok | {error, error()} | badarg | not_durable.
sync(Table) ->
    with_log(Table, fun(Log) -> wait(Log, sync) end).

with_log(Table, Fun) ->
    try xets:durable_log_to_read_nif(Table) of
        false -> not_durable;
        Log -> Fun(Log)
    catch
        error:badarg -> badarg;
        error:xets_retry ->
            erlang:yield(),
            with_log(Table, Fun)
    end.

%%% Checkpoints

%% @doc As `xets:checkpoint/1', but for its errors.
-spec checkpoint(xets:table()) -> ok | {error, error() | busy} | badarg | not_durable.
checkpoint(Table) ->
    with_log(Table, fun(Log) -> checkpoint(Log, none) end).

checkpoint(Log, Backup) ->
    case xets:checkpoint_begin_nif(Log, Backup) of
        {ok, {Job, Snapshot}} ->
            Result = write(Job, Snapshot),
            xets:delete(Snapshot),
            Result;
        busy ->
            {error, busy};
        {error, _} = Error ->
            Error
    end.

%% @doc As `xets:backup/2', but for its errors.
-spec backup(xets:table(), file:name_all()) ->
    ok | {error, error() | not_empty | term()} | badarg | not_durable.
backup(Table, Dir) ->
    with_log(Table, fun(Log) ->
        case xets_tabfile:path(Dir) of
            {ok, Path} -> backed_up(Log, Path, file:make_dir(Path));
            _ -> {error, {bad_option, dir}}
        end
    end).

backed_up(Log, Path, ok) ->
    checkpoint(Log, Path);
backed_up(Log, Path, {error, eexist}) ->
    case file:list_dir_all(Path) of
        {ok, []} -> checkpoint(Log, Path);
        {ok, _} -> {error, not_empty};
        {error, Code} -> {error, {Code, <<"list">>, Path, none, none}}
    end;
backed_up(_Log, Path, {error, Code}) ->
    {error, {Code, <<"mkdir">>, Path, none, none}}.

write(Job, Snapshot) ->
    case xets:checkpoint_write_nif(Job, Snapshot) of
        more -> write(Job, Snapshot);
        Result -> Result
    end.

%% By a process that ends with no application. If it fails, or there can be no more processes, the
%% journal goes on growing, and a later write asks for another one.
checkpoint_elsewhere(Log) ->
    try
        spawn(fun() ->
            group_leader(whereis(init), self()),
            checkpoint(Log, none)
        end)
    of
        _ -> ok
    catch
        error:system_limit -> ok
    end.

%%% Facts

%% @doc The item `durable' of `xets:info/2'.
-spec info(xets:table()) -> map() | false | undefined.
info(Table) ->
    case xets:durable_log_nif(Table) of
        Log when is_reference(Log) -> facts(xets:durable_info_nif(Log));
        NoLog -> NoLog
    end.

facts({Level, Assigned, Written, Synced, Bytes, Checkpoint, Error}) ->
    #{
        sync => Level,
        bytes => Bytes,
        checkpoint => Checkpoint,
        unwritten => Assigned - Written,
        unsynced => Assigned - Synced,
        error => Error
    };
facts(closed) ->
    undefined.

%%% Errors

%% @doc Whether `format_error/1' knows it.
-spec is_reason(term()) -> boolean().
is_reason({durable, Reason}) -> is_reason(Reason);
is_reason({error, Reason}) -> is_reason(Reason);
is_reason({_, Operation, Path, _, _}) -> is_binary(Operation) andalso is_binary(Path);
is_reason({in_use, _}) -> true;
is_reason({differs, _, _}) -> true;
is_reason({Option, _}) -> lists:member(Option, [bad_option, missing_option, unknown_option]);
is_reason(Reason) -> lists:member(Reason, [opening, busy, not_empty]).

%% @doc A reason in words.
-spec format_error(reason() | busy | {durable | error, reason() | busy}) -> unicode:chardata().
format_error({durable, Reason}) ->
    format_error(Reason);
format_error({error, Reason}) ->
    format_error(Reason);
format_error(not_empty) ->
    "the directory is not empty";
format_error(busy) ->
    "a checkpoint is being written already";
format_error({in_use, Table}) ->
    io_lib:format("the directory is that of the table ~tp", [Table]);
format_error(opening) ->
    "another process opens the directory";
format_error({differs, Option, Stored}) ->
    io_lib:format("the directory is of a table with ~tp ~tp", [Option, Stored]);
format_error({missing_option, Option}) ->
    io_lib:format("the option ~tp is missing", [Option]);
format_error({unknown_option, Option}) ->
    io_lib:format("unknown option: ~0tp", [Option]);
format_error({bad_option, Option}) ->
    io_lib:format("invalid option ~tp", [Option]);
format_error({Code, Operation, Path, Offset, Reason}) ->
    [Operation, " of ", Path, at(Offset), ": ", code(Code), wrong(Reason)].

at(none) -> "";
at(Offset) -> io_lib:format(", at byte ~b", [Offset]).

wrong(none) -> "";
wrong(Reason) -> [" (", Reason, ")"].

code(damaged) -> "the file is damaged";
code(foreign) -> "not a file of xets";
code(version) -> "a file of a version that this release does not know";
code(locked) -> "in use by another process of the system";
code(closed) -> "it is closed";
code(no_table) -> "there is no table";
code(Code) -> file:format_error(Code).
