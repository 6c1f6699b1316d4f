%% @private
%% @doc Tables in files: `xets:tab2file/3', `xets:file2tab/2' and `xets:tabfile_info/1'.
%%
%% A file is written beside the one it is to replace, under another name, and renamed when it is
%% whole.
%% What is written is a snapshot of the table. There are two formats: our own
%% (c_src/core/tablefile.h, with the properties of the table as its metadata, and objects in the
%% external term format), and that of `ets' (xets_tabfile_log).
-module(xets_tabfile).

-export([path/1]).
-export([write/3, read/2, info/1, format_error/1]).
-export([create_table/2]).
-export_type([properties/0, file_error/0]).

-type properties() :: [{Item :: atom(), Value :: term()}, ...].
%% What a file says of its table: items as those of `xets:info/1', and some of the file's.

-type file_error() ::
    {Code :: atom(), Offset :: non_neg_integer() | none, Reason :: binary() | none}.
%% A code of the system (`t:file:posix/0'), or `damaged', `foreign', `version', `no_object'.

-define(MAJOR, 1).
-define(MINOR, 0).

-record(options, {
    object_count = false :: boolean(),
    md5sum = false :: boolean(),
    sync = false :: boolean(),
    format = xets :: xets | ets
}).

%%% Writing

%% @doc `badarg': the first argument is no table.
-spec write(xets:table(), file:name_all(), list()) -> ok | badarg | {error, term()}.
write(Table, File, OptionList) ->
    caught(fun() ->
        Options = write_options(OptionList, #options{}, false),
        Snapshot = snapshot(Table),
        try
            write(Snapshot, properties(Table, Snapshot, Options), File, Options)
        after
            end_snapshot(Snapshot)
        end
    end).

%% Of a private table of another process ets says the same as of one that is not there.
snapshot(Table) ->
    try xets:info(Table) of
        undefined -> throw(badtab);
        _ -> taken(Table)
    catch
        error:badarg -> throw({badarg, table})
    end.

taken(Table) ->
    try
        xets:snapshot(Table)
    catch
        error:badarg -> throw(badtab)
    end.

end_snapshot(Snapshot) ->
    xets:delete(Snapshot).

%% The items of the table, but those that a snapshot has its own of. It may have gone meanwhile.
properties(Table, Snapshot, #options{object_count = Count, md5sum = MD5}) ->
    Items =
        case xets:info(Table) of
            undefined -> throw(badtab);
            Info -> lists:keydelete(snapshot, 1, Info)
        end,
    lists:keyreplace(size, 1, Items, {size, xets:info(Snapshot, size)}) ++
        [
            {major_version, ?MAJOR},
            {minor_version, ?MINOR},
            {extended_info, [object_count || Count] ++ [md5sum || MD5]}
        ].

write(Snapshot, Properties, File, #options{format = Format, sync = Sync} = Options) ->
    Path = target(File),
    Meta =
        case Format of
            xets -> metadata(Properties, xets:file_seed_nif(Snapshot));
            ets -> none
        end,
    {Output, NewPath} = ok_or_throw(xets:file_write_nif(Path, Meta, Sync), File),
    try
        case Format of
            xets ->
                dump(Output, Snapshot, File);
            ets ->
                Extended = {Options#options.object_count, Options#options.md5sum},
                xets_tabfile_log:write(Snapshot, Properties, NewPath, File, Extended)
        end,
        ok_or_throw(xets:file_finish_nif(Output), File)
    catch
        Class:Reason:Stack ->
            ok = xets:file_abort_nif(Output),
            erlang:raise(Class, Reason, Stack)
    end.

%% What means something to others: identifiers and processes do not. With the seed of its hashes a
%% table is filled faster in which the objects come in the order of theirs.
metadata(Properties, Seed) ->
    Local = [id, owner, heir, node, memory],
    Portable = [Item || {Name, _} = Item <- Properties, not lists:member(Name, Local)],
    term_to_binary(Portable ++ [{hash_seed, Seed}], [{minor_version, 2}]).

%% A file in the way is replaced; a directory, or a device, is not.
target(File) ->
    case path(File) of
        {ok, Path} ->
            case file:read_link_info(Path, [raw]) of
                {ok, Info} when element(3, Info) =:= regular; element(3, Info) =:= symlink -> Path;
                {ok, _} -> throw(eaccess);
                % What ets says; and before it is written under another name.
                {error, enametoolong} -> throw(eaccess);
                {error, _} -> Path
            end;
        empty ->
            throw({file_error, File, enoent});
        invalid ->
            throw(eaccess)
    end.

dump(Output, Snapshot, File) ->
    case xets:file_dump_nif(Output, Snapshot) of
        more -> dump(Output, Snapshot, File);
        Done -> ok_or_throw(Done, File)
    end.

ok_or_throw(ok, _File) -> ok;
ok_or_throw({ok, Result}, _File) -> Result;
ok_or_throw({error, {Code, _Offset, _Reason}}, File) -> throw({file_error, File, Code}).

%%% Reading

%% @doc `badarg': what the option `table' names cannot be written, or objects have no key there.
-spec read(file:name_all(), list()) -> {ok, xets:table()} | badarg | {error, term()}.
read(File, OptionList) ->
    caught(fun() ->
        {Verify, Into} = read_options(OptionList, false, []),
        case open(File) of
            {ok, Input, Properties} ->
                try
                    read(Input, File, Properties, Into)
                after
                    xets:file_close_nif(Input)
                end;
            foreign ->
                xets_tabfile_log:read(file_of_log(File), Verify, Into)
        end
    end).

read(Input, File, Properties, Into) ->
    Table = create_table(Properties, Into),
    {size, Size} = lists:keyfind(size, 1, Properties),
    try
        load(Input, identifier(Table), Size) =:= Size orelse throw(invalid_object_count),
        {ok, Table}
    catch
        throw:{no_object, _, _} when Into =/= [] ->
            delete(Table),
            throw({badarg, table});
        throw:{Code, Offset, Reason} when is_atom(Code) ->
            delete(Table),
            throw(read_error({Code, Offset, Reason}, File));
        Class:Reason:Stack ->
            delete(Table),
            erlang:raise(Class, Reason, Stack)
    end.

%% As in ets a table that could not be filled is gone, be it one that was there before.
delete(Table) ->
    try
        xets:delete(Table)
    catch
        error:badarg -> throw({badarg, table})
    end.

load(Input, Table, Size) ->
    case load_some(Input, Table, Size) of
        more -> load(Input, Table, Size);
        {ok, Count} -> Count;
        {error, Error} -> throw(Error)
    end.

load_some(Input, Table, Size) ->
    try
        xets:file_load_nif(Input, Table, Size)
    catch
        error:badarg -> throw({badarg, table});
        error:{xets_wait, Log, Number, Result} -> xets_durable:wait(Log, Number, Result);
        error:{xets_room, Log, Bytes} ->
            ok = xets_durable:await_room(Log, Bytes),
            load_some(Input, Table, Size);
        error:xets_retry -> erlang:yield(), load_some(Input, Table, Size)
    end.

identifier(Table) ->
    try
        xets_info:identifier(Table)
    catch
        error:badarg -> throw({badarg, table})
    end.

%% @doc A table as a file describes it, or the one that is to be filled instead.
-spec create_table(properties(), Into) -> xets:table() when
    Into :: [] | xets:table().
create_table(Properties, []) ->
    try
        new(item(name, Properties), options(Properties), Properties)
    catch
        error:_ -> throw(cannot_create_table)
    end;
create_table(_Properties, Table) ->
    Table.

%% With the seed of its hashes only for a set: where no room is made before for all its objects, as in
%% a bag, those that come in the order of their hashes crowd where they are stored.
new(Name, Options, Properties) ->
    case {lists:keyfind(hash_seed, 1, Properties), xets_options:settings(Name, Options)} of
        {{hash_seed, Seed}, {ok, Settings}} when element(1, Settings) =:= set ->
            new_with_seed(Name, erlang:append_element(Settings, Seed));
        _ ->
            xets:new(Name, Options)
    end.

new_with_seed(Name, Settings) ->
    try
        xets:new_nif(Name, Settings)
    catch
        error:xets_retry -> erlang:yield(), new_with_seed(Name, Settings)
    end.

options(Properties) ->
    [item(type, Properties), item(protection, Properties), {keypos, item(keypos, Properties)}] ++
        [named_table || item(named_table, Properties)] ++
        [compressed || proplists:get_value(compressed, Properties, false)] ++
        [Option || {write_concurrency, _} = Option <- Properties] ++
        [Option || {read_concurrency, _} = Option <- Properties] ++
        %% Of which ets, that does not read it, makes no error.
        [Option || {decentralized_counters, Is} = Option <- Properties, is_boolean(Is)].

item(Name, Properties) ->
    {Name, Value} = lists:keyfind(Name, 1, Properties),
    Value.

open(File) ->
    case path(File) of
        {ok, Path} ->
            case xets:file_read_nif(Path) of
                {ok, {Input, Meta}} -> {ok, Input, checked_properties(Input, File, Meta)};
                {error, {foreign, _, _}} -> foreign;
                {error, Error} -> throw(read_error(Error, File))
            end;
        _ ->
            foreign
    end.

checked_properties(Input, File, Meta) ->
    try
        Properties = binary_to_term(Meta),
        true = are_properties(Properties),
        {major_version, Major} = lists:keyfind(major_version, 1, Properties),
        {minor_version, Minor} = lists:keyfind(minor_version, 1, Properties),
        {extended_info, _} = lists:keyfind(extended_info, 1, Properties),
        Major =< ?MAJOR orelse throw({unsupported_file_version, {Major, Minor}}),
        Properties
    catch
        Class:Reason ->
            _ = xets:file_close_nif(Input),
            case Class of
                throw -> throw(Reason);
                _ -> throw({badfile, File, 64, <<"not the properties of a table">>})
            end
    end.

%% Whether there is all that there has to be.
are_properties(Properties) ->
    Mandatory = [name, type, protection, named_table, keypos, size],
    length([Item || {Item, _} <- Properties, lists:member(Item, Mandatory)]) =:= 6.

read_error({Code, Offset, Reason}, File) when
    Code =:= damaged; Code =:= foreign; Code =:= no_object
->
    {badfile, File, Offset, Reason};
read_error({version, _Offset, _Reason}, _File) ->
    {unsupported_file_version, {?MAJOR + 1, 0}};
read_error({Code, _Offset, _Reason}, File) ->
    {read_error, {file_error, File, Code}}.

%%% Information

-spec info(file:name_all()) -> {ok, properties()} | {error, term()}.
info(File) ->
    caught(fun() ->
        Properties =
            case open(File) of
                {ok, Input, Found} ->
                    _ = xets:file_close_nif(Input),
                    Found;
                foreign ->
                    xets_tabfile_log:properties(file_of_log(File))
            end,
        Items = [name, type, protection, named_table, keypos, size],
        Extended =
            case lists:keyfind(extended_info, 1, Properties) of
                false -> {extended_info, []};
                Found1 -> Found1
            end,
        [Major, Minor] = [
            case lists:keyfind(Item, 1, Properties) of
                {Item, Version} -> Version;
                false -> 0
            end
         || Item <- [major_version, minor_version]
        ],
        {ok,
            [lists:keyfind(Item, 1, Properties) || Item <- Items] ++
                [Extended, {version, {Major, Minor}}]}
    end).

%%% Options

write_options([], Options, _Extended) ->
    Options;
write_options([{sync, Sync} | Rest], Options, Extended) when is_boolean(Sync) ->
    %% As in ets `false' does not take back an earlier `true'.
    write_options(Rest, Options#options{sync = Sync orelse Options#options.sync}, Extended);
write_options([{extended_info, Info} | Rest], Options, false) ->
    write_options(Rest, extended_info(Info, Options), true);
write_options([{format, Format} | Rest], Options, Extended) when Format =:= xets; Format =:= ets ->
    write_options(Rest, Options#options{format = Format}, Extended);
write_options([Other | _], _, _) ->
    throw({unknown_option, Other});
write_options(Malformed, _, _) ->
    throw({malformed_option, Malformed}).

extended_info([], Options) ->
    Options;
extended_info([object_count | Rest], Options) ->
    extended_info(Rest, Options#options{object_count = true});
extended_info([md5sum | Rest], Options) ->
    extended_info(Rest, Options#options{md5sum = true});
extended_info([Other | _], _) ->
    throw({unknown_option, [{extended_info, [Other]}]});
extended_info(Malformed, _) ->
    throw({malformed_option, Malformed}).

read_options([], Verify, Into) ->
    {Verify, Into};
read_options([{verify, Verify} | Rest], _, Into) when is_boolean(Verify) ->
    read_options(Rest, Verify, Into);
read_options([{table, Table} | Rest], Verify, []) ->
    read_options(Rest, Verify, Table);
read_options([Other | _], _, _) ->
    throw({unknown_option, Other});
read_options(Malformed, _, _) ->
    throw({malformed_option, Malformed}).

%%% File names

%% @doc The bytes of a file's name for the system, absolute. `empty': there are none; `invalid': no file
%% has such a name.
-spec path(term()) -> {ok, binary()} | empty | invalid.
path(File) ->
    try
        case name(File) of
            Empty when Empty =:= ""; Empty =:= <<>> -> empty;
            Name -> bytes(filename:absname(Name))
        end
    catch
        error:_ -> invalid
    end.

name(Name) when is_binary(Name) -> Name;
name(Name) -> flatten(Name).

%% Characters, lists and atoms, as `file' takes them: an atom may also be the tail of a list.
flatten([Char | Rest]) when is_integer(Char) -> [Char | flatten(Rest)];
flatten([Name | Rest]) -> flatten(Name) ++ flatten(Rest);
flatten([]) -> [];
flatten(Atom) when is_atom(Atom) -> atom_to_list(Atom).

bytes(Name) ->
    Bytes =
        case is_binary(Name) of
            true -> Name;
            false -> unicode:characters_to_binary(Name, unicode, file:native_name_encoding())
        end,
    case is_binary(Bytes) andalso binary:match(Bytes, <<0>>) of
        nomatch -> {ok, Bytes};
        _ -> invalid
    end.

%% disk_log does not take binaries.
file_of_log(File) when is_binary(File) ->
    case unicode:characters_to_list(File, file:native_name_encoding()) of
        Name when is_list(Name) -> Name;
        _ -> File
    end;
file_of_log(File) ->
    File.

%%% Errors

caught(Fun) ->
    try
        Fun()
    catch
        throw:{badarg, table} -> badarg;
        throw:Reason -> {error, Reason};
        exit:Reason -> {error, Reason}
    end.

%% @doc What the `Reason' of an error means.
-spec format_error(term()) -> string().
format_error({error, Reason}) ->
    format_error(Reason);
format_error({file_error, File, Code}) ->
    text("~ts: ~ts", [shown(File), file:format_error(Code)]);
format_error({read_error, {file_error, _, _} = Reason}) ->
    format_error(Reason);
format_error({read_error, {not_a_log_file, File}}) ->
    text("~ts: not a file of a table", [shown(File)]);
format_error({read_error, Reason}) ->
    text("cannot be read: ~ts", [disk_log_error(Reason)]);
format_error({badfile, File, Offset, Reason}) ->
    text("~ts: damaged at byte ~b: ~ts", [shown(File), Offset, Reason]);
format_error(badfile) ->
    "the file is damaged, or not that of a table";
format_error(checksum_error) ->
    "the file is damaged: its objects are not those that its MD5 sum is of";
format_error(invalid_object_count) ->
    "the file is damaged: it does not have as many objects as it says";
format_error({unsupported_file_version, {Major, Minor}}) ->
    text("the file has a format of a later release: version ~p.~p", [Major, Minor]);
format_error(cannot_create_table) ->
    "the table cannot be made: is its name taken?";
format_error(badtab) ->
    "no table, or one that the calling process may not read";
format_error(eaccess) ->
    "something that cannot be replaced has the name of the file, or no file can have it";
format_error({unknown_option, Option}) ->
    text("unknown option: ~0tp", [Option]);
format_error({malformed_option, Option}) ->
    text("not a list of options: ~0tp", [Option]);
format_error(Reason) ->
    disk_log_error(Reason).

disk_log_error(Reason) ->
    string:trim(lists:flatten(disk_log:format_error({error, Reason})), trailing).

shown(File) when is_binary(File) ->
    case unicode:characters_to_list(File) of
        Name when is_list(Name) -> Name;
        _ -> text("~0tp", [File])
    end;
shown(File) ->
    try
        name(File)
    catch
        error:_ -> text("~0tp", [File])
    end.

text(Format, Args) ->
    lists:flatten(io_lib:format(Format, Args)).
