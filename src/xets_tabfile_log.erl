%% @private
%% @doc Files in the format of `ets:tab2file/3': logs of `disk_log', which are read and written
%% chunk by chunk.
%%
%% The first term of such a log is a tuple of the properties of the table, the others are its
%% objects. With extended information the last one is `['$end_of_table', Info]'; with an MD5 sum in
%% it that is of all terms before, as they were written.
-module(xets_tabfile_log).

-export([write/5, read/3, properties/1]).

-define(MAJOR, 1). % of the format
-define(OBJECTS, 1000). % written at a time
-define(TERMS, 100). % read at a time

%%% Writing

%% @doc Writes the objects of a table to `Path', which is known to the caller as `File'.
-spec write(xets:table(), xets_tabfile:properties(), Path, File, Extended) -> ok when
    Path :: binary(),
    File :: file:name_all(),
    Extended :: {ObjectCount :: boolean(), MD5 :: boolean()}.
write(Table, Properties, Path, File, {ObjectCount, MD5}) ->
    Log = make_ref(),
    Options = [{name, Log}, {file, log_file(Path)}, {repair, truncate}],
    ok(opened(disk_log:open(Options)), File),
    try
        State = log(Log, [list_to_tuple(Properties)], MD5 andalso erlang:md5_init(), File),
        First = xets:select(Table, [{'_', [], ['$_']}], ?OBJECTS),
        {Sum, Count} = log_all(Log, First, State, 0, File),
        End = [{count, Count} || ObjectCount] ++ [{md5, erlang:md5_final(Sum)} || MD5],
        _ = End =:= [] orelse log(Log, [['$end_of_table', End]], Sum, File),
        ok(disk_log:close(Log), File)
    catch
        Class:Reason:Stack ->
            _ = disk_log:close(Log),
            erlang:raise(Class, Reason, Stack)
    end.

log_all(_Log, '$end_of_table', Sum, Count, _File) ->
    {Sum, Count};
log_all(Log, {Objects, Continuation}, Sum, Count, File) ->
    Sum1 = log(Log, Objects, Sum, File),
    log_all(Log, xets:select(Continuation), Sum1, Count + length(Objects), File).

%% With an MD5 sum it is known how terms are written.
log(Log, Terms, false, File) ->
    ok(disk_log:log_terms(Log, Terms), File),
    false;
log(Log, Terms, Sum, File) ->
    Binaries = [term_to_binary(Term) || Term <- Terms],
    ok(disk_log:blog_terms(Log, Binaries), File),
    lists:foldl(fun(Binary, S) -> erlang:md5_update(S, Binary) end, Sum, Binaries).

log_file(Path) ->
    case unicode:characters_to_list(Path, file:native_name_encoding()) of
        Name when is_list(Name) -> Name;
        _ -> throw(eaccess)
    end.

%% An empty file becomes a log by what is called a repair.
opened({repaired, _Log, _, _}) -> ok;
opened({ok, _Log}) -> ok;
opened(Error) -> Error.

%% The file is told by the name that the caller knows.
ok(ok, _File) -> ok;
ok({error, {file_error, _, Reason}}, File) -> throw({file_error, File, Reason});
ok({error, Reason}, _File) -> throw(Reason).

%%% Reading

-record(reading, {
    log :: reference(),
    verify :: boolean(),
    at :: term(),
    sum :: term(), % false: there is none, or nobody wants it
    count = 0 :: non_neg_integer(),
    last = none :: none | list()
}).

%% @doc The table that a log describes, or `Into', with its objects. Throws what `ets' returns as
%% errors.
-spec read(file:name_all(), Verify :: boolean(), Into :: [] | xets:table()) -> {ok, xets:table()}.
read(File, Verify, Into) ->
    with_log(File, Verify, fun(Log) ->
        {Properties, Start, First} = first(Log, Verify),
        Sum = check_version(Properties, Verify, First),
        Table = xets_tabfile:create_table(Properties, Into),
        {size, Size} = lists:keyfind(size, 1, Properties),
        try
            Read = load(#reading{log = Log, verify = Verify, at = Start, sum = Sum}, Table),
            _ = Verify andalso verify(Read, extended(Properties), Size),
            {ok, Table}
        catch
            Class:Reason:Stack ->
                delete(Table),
                erlang:raise(Class, Reason, Stack)
        end
    end).

%% @doc What a log says of its table.
-spec properties(file:name_all()) -> xets_tabfile:properties().
properties(File) ->
    with_log(File, false, fun(Log) ->
        {Properties, _, _} = first(Log, false),
        Properties
    end).

with_log(File, Verify, Fun) ->
    Name = make_ref(),
    case disk_log:open([{name, Name}, {file, File}, {mode, read_only}]) of
        {ok, Name} ->
            ok;
        {repaired, Name, _, _} when not Verify ->
            ok;
        {repaired, Name, _, _} ->
            _ = disk_log:close(Name),
            throw(badfile);
        {error, Reason} ->
            throw({read_error, Reason});
        Other ->
            throw(Other)
    end,
    try
        Fun(Name)
    after
        disk_log:close(Name)
    end.

%% The properties, how to go on behind them, and the bytes that they were.
first(Log, Verify) ->
    case chunk(Log, start, 1, Verify, bchunk) of
        {At, [First]} ->
            Properties = properties_of(First),
            Mandatory = [Item || {Item, _} <- Properties, is_mandatory(Item)],
            length(Mandatory) =:= 6 orelse throw(badfile),
            {Properties, At, First};
        _ ->
            throw(badfile)
    end.

properties_of(First) ->
    try
        tuple_to_list(binary_to_term(First))
    catch
        error:badarg -> throw(badfile)
    end.

is_mandatory(Item) ->
    lists:member(Item, [name, type, protection, named_table, keypos, size]).

check_version(Properties, Verify, First) ->
    Version = fun(Item) -> proplists:get_value(Item, Properties, 0) end,
    %% With `verify' ets looks for the version under a name under which nobody writes it.
    Verify orelse Version(major_version) =< ?MAJOR orelse
        throw({unsupported_file_version, {Version(major_version), Version(minor_version)}}),
    {_, MD5} = extended(Properties),
    Verify andalso MD5 andalso erlang:md5_update(erlang:md5_init(), First).

extended(Properties) ->
    case lists:keyfind(extended_info, 1, Properties) of
        {extended_info, Info} when is_list(Info) ->
            {lists:member(object_count, Info), lists:member(md5sum, Info)};
        _ ->
            {false, false}
    end.

load(#reading{sum = Sum} = R, Table) ->
    Kind =
        case Sum of
            false -> chunk;
            _ -> bchunk
        end,
    case chunk(R#reading.log, R#reading.at, ?TERMS, R#reading.verify, Kind) of
        eof ->
            R;
        {At, Terms} ->
            {Objects, R1} = objects(Terms, R#reading{at = At}, []),
            case Objects of
                [] ->
                    R1;
                _ ->
                    true = insert(Table, Objects),
                    load(R1, Table)
            end
    end.

%% Terms up to the one that says that there are no more.
objects([], R, Objects) ->
    {lists:reverse(Objects), R};
objects([Binary | Terms], #reading{sum = Sum} = R, Objects) when Sum =/= false ->
    case decoded(Binary) of
        none ->
            objects(Terms, R, Objects);
        {term, ['$end_of_table', Info]} ->
            {lists:reverse(Objects), R#reading{last = Info}};
        {term, Object} ->
            R1 = R#reading{sum = erlang:md5_update(Sum, Binary), count = R#reading.count + 1},
            objects(Terms, R1, [Object | Objects])
    end;
objects([['$end_of_table', Info]], R, Objects) ->
    {lists:reverse(Objects), R#reading{last = Info}};
objects([Object | Terms], R, Objects) ->
    objects(Terms, R#reading{count = R#reading.count + 1}, [Object | Objects]).

decoded(Binary) ->
    try
        {term, binary_to_term(Binary)}
    catch
        error:badarg -> none
    end.

insert(Table, Objects) ->
    try
        xets:insert(Table, Objects)
    catch
        error:badarg -> throw({badarg, table})
    end.

%% As in ets, also a table that was there before.
delete(Table) ->
    try
        xets:delete(Table)
    catch
        error:badarg -> throw({badarg, table})
    end.

verify(#reading{last = none, count = Count}, {false, false}, Size) ->
    Count =:= Size orelse throw(invalid_object_count);
verify(#reading{last = none}, _, _Size) ->
    throw(badfile);
verify(#reading{last = Info, count = Count, sum = Sum}, {ObjectCount, MD5}, Size) ->
    _ = MD5 andalso (erlang:md5_final(Sum) =:= keyfind(md5, Info) orelse throw(checksum_error)),
    %% The number in the beginning counts where nothing better is known.
    Expected =
        case {ObjectCount, MD5} of
            {true, _} -> keyfind(count, Info);
            {false, true} -> Count;
            {false, false} -> Size
        end,
    Count =:= Expected orelse throw(invalid_object_count).

keyfind(Key, Info) ->
    case lists:keyfind(Key, 1, Info) of
        {Key, Value} -> Value;
        _ -> false
    end.

%% As `disk_log:chunk/3' or `bchunk/3', with errors thrown; bytes that were passed over are one if
%% it is to be verified.
chunk(Log, At, N, Verify, Kind) ->
    case disk_log:Kind(Log, At, N) of
        {_, _, Bad} when Verify, Bad > 0 -> throw(badfile);
        {Next, Terms, _Bad} -> {Next, Terms};
        {error, Reason} -> throw({read_error, Reason});
        Other -> Other
    end.
