%% @doc Durable tables beside DETS: inserts by one process or many, at each level, lookups, and what
%% it takes to open a table of many objects after a crash. What stands for ETS in the figures is
%% the peer that the cell names.
%%
%% DETS keeps what is inserted in its own memory until it is asked to sync, or has nothing else to
%% do: less than the level `os' promises.
-module(xets_bench_durable).

-export([measure/2]).

-define(SIDES, [dets, xets, none]).
%% Inserts between two looks at the clock, where none waits for the disk.
-define(BLOCK, 10).
-define(LOOKUPS, 50_000).
%% One repair of a large file of DETS takes seconds.
-define(OPEN_ROUNDS, 3).
-define(FILL, 1_000).

%% @doc Inserts at a level by so many processes; or opening and lookup of a table.
-spec measure(map(), xets_bench:conf()) -> #{atom() => xets_bench_lib:outcome()}.
measure(#{what := insert} = Spec, Conf) ->
    xets_bench_lib:in_directory(fun(Dir) -> #{only => inserts(Spec, Dir, Conf)} end);
measure(#{what := large}, Conf) ->
    xets_bench_lib:in_directory(fun(Dir) -> large(Dir, Conf) end).

%% Medians, with the peer in the place of ETS.
beside(Peer, Samples, Note) ->
    Ours = maps:with([xets, none], Samples),
    Outcome = xets_bench_lib:net(Ours#{ets => maps:get(Peer, Samples)}),
    Outcome#{note => Note}.

%% Tables -----------------------------------------------------------------------------------------

open(none, _Dir, _Options) ->
    none;
open(dets, Dir, _Options) ->
    {ok, Table} = dets:open_file({?MODULE, Dir}, [{file, dets_file(Dir)}]),
    Table;
open(xets, Dir, Options) ->
    xets:new(?MODULE, [public, {durable, Options#{dir => filename:join(Dir, "xets")}}]).

close(none, _Table) -> ok;
close(dets, Table) -> ok = dets:close(Table);
close(xets, Table) -> true = xets:delete(Table), ok.

dets_file(Dir) -> filename:join(Dir, "dets").

size(dets, Table) -> dets:info(Table, size);
size(xets, Table) -> xets:info(Table, size).

%% Inserts ----------------------------------------------------------------------------------------

inserts(#{sync := Sync, processes := Processes}, Dir, Conf) ->
    #{few_rounds := Rounds, together_ns := Time} = Conf,
    Tables = [{Side, open(Side, Dir, #{sync => Sync}), atomics:new(1, [])} || Side <- ?SIDES],
    Samples = xets_bench_lib:interleave(Rounds, ?SIDES, fun(Side, _Round) ->
        {Side, Table, Next} = lists:keyfind(Side, 1, Tables),
        together(Processes, {operation(Side, Sync), Table, Next, block(Sync)}, Time)
    end),
    [ok = whole(Side, Table, Next) || {Side, Table, Next} <- Tables],
    [ok = close(Side, Table) || {Side, Table, _} <- Tables],
    beside(dets, Samples, ["files in ", filename:dirname(Dir)]).

operation(dets, disk) -> dets_disk;
operation(Side, _Sync) -> Side.

block(disk) -> 1;
block(_Sync) -> ?BLOCK.

%% Each number that was drawn is the key of an object.
whole(none, _Table, _Next) ->
    ok;
whole(Side, Table, Next) ->
    xets_bench_pair:expect({Side, size}, atomics:get(Next, 1), size(Side, Table)).

%% Nanoseconds per insert, of all together: from the start until the last one has ended.
together(Processes, Work, Time) ->
    Workers = [spawn_monitor(fun() -> worker(Work) end) || _ <- lists:seq(1, Processes)],
    Start = erlang:monotonic_time(),
    End = Start + erlang:convert_time_unit(Time, nanosecond, native),
    [Pid ! {until, End} || {Pid, _} <- Workers],
    Done = lists:sum([
        receive
            {'DOWN', Monitor, process, Pid, {done, Inserts}} -> Inserts;
            {'DOWN', Monitor, process, Pid, Reason} -> exit(Reason)
        end
     || {Pid, Monitor} <- Workers
    ]),
    Elapsed = erlang:monotonic_time() - Start,
    erlang:convert_time_unit(Elapsed, native, nanosecond) / Done.

worker(Work) ->
    receive
        {until, End} -> exit({done, blocks(Work, End, 0)})
    end.

blocks({Operation, Table, Next, Block} = Work, End, Done) ->
    Last = atomics:add_get(Next, 1, Block),
    ok = block(Operation, Table, Last - Block, Last),
    case erlang:monotonic_time() of
        Now when Now < End -> blocks(Work, End, Done + Block);
        _ -> Done + Block
    end.

block(_Operation, _Table, Last, Last) ->
    ok;
block(Operation, Table, I, Last) ->
    ok = insert(Operation, Table, {key(I), I}),
    block(Operation, Table, I + 1, Last).

%% Numbers of more bits than are scrambled are keys as they are.
key(I) when I < 1 bsl 24 -> xets_bench_lib:scramble(I);
key(I) -> I.

insert(none, _Table, _Object) ->
    ok;
insert(xets, Table, Object) ->
    true = xets:insert(Table, Object),
    ok;
insert(dets, Table, Object) ->
    dets:insert(Table, Object);
insert(dets_disk, Table, Object) ->
    ok = dets:insert(Table, Object),
    dets:sync(Table).

%% A large table ----------------------------------------------------------------------------------

%% The images are what a crash leaves: files that were copied while the tables were in use.
large(Dir, #{large := Count} = Conf) ->
    Images = filename:join(Dir, "images"),
    ok = file:make_dir(Images),
    Tables = [{Side, filled(Side, Dir, Count)} || Side <- [dets, xets]],
    Lookup = lookups(Tables, Conf),
    [
        begin
            ok = in_use(Side, Table),
            ok = image(Side, Dir, Images),
            ok = has_crashed(Side, Images)
        end
     || {Side, Table} <- Tables
    ],
    ok = written(Images, Tables),
    [ok = close(Side, Table) || {Side, Table} <- Tables],
    Opened = opened(Images, Dir, Conf),
    Note = [xets_bench_text:count(Count), " objects, half of them in the checkpoint"],
    #{
        lookup => Lookup,
        open_dets => beside(dets, Opened, Note),
        open_ets => beside(ets, Opened, Note)
    }.

filled(Side, Dir, Count) ->
    Table = open(Side, Dir, #{sync => memory, checkpoint_after => 1 bsl 40}),
    ok = fill(Side, Table, 0, Count div 2, Count),
    ok = half(Side, Table),
    ok = fill(Side, Table, Count div 2, Count, Count),
    ok = Side:sync(Table),
    Table.

half(dets, Table) -> dets:sync(Table);
half(xets, Table) -> xets:checkpoint(Table).

fill(_Side, _Table, Last, Last, _Count) ->
    ok;
fill(dets, Table, I, Last, Count) ->
    Next = min(I + ?FILL, Last),
    ok = dets:insert(Table, [object(J, Count) || J <- lists:seq(I, Next - 1)]),
    fill(dets, Table, Next, Last, Count);
fill(xets, Table, I, Last, Count) ->
    %% One by one: a list would be one record of the journal.
    true = xets:insert(Table, object(I, Count)),
    fill(xets, Table, I + 1, Last, Count).

object(I, Count) ->
    Key = xets_bench_lib:permute(I, Count, 1),
    {Key, Key}.

%% DETS marks a file as not closed with the first write to it after a sync; a lookup sees to it that
%% this is not put off.
in_use(dets, Table) ->
    [Object] = dets:lookup(Table, 0),
    ok = dets:insert(Table, Object),
    [Object] = dets:lookup(Table, 0),
    ok;
in_use(xets, _Table) ->
    ok.

has_crashed(dets, Images) ->
    File = dets_file(Images),
    Options = [{file, File}, {repair, false}],
    {error, {needs_repair, File}} = dets:open_file({?MODULE, File}, Options),
    ok;
has_crashed(xets, _Images) ->
    ok.

%% The copies of the files. They are synced, as what was written some time before a crash is.
image(dets, Dir, Images) ->
    copy(dets_file(Dir), dets_file(Images));
image(xets, Dir, Images) ->
    copy_dir(filename:join(Dir, "xets"), filename:join(Images, "xets")).

copy_dir(From, To) ->
    ok = file:make_dir(To),
    {ok, Names} = file:list_dir(From),
    [ok = copy(filename:join(From, Name), filename:join(To, Name)) || Name <- Names],
    ok.

copy(From, To) ->
    {ok, _} = file:copy(From, To),
    {ok, File} = file:open(To, [read, write, raw]),
    ok = file:sync(File),
    file:close(File).

%% What ets:file2tab/1 reads.
written(Images, Tables) ->
    {xets, Table} = lists:keyfind(xets, 1, Tables),
    xets:tab2file(Table, filename:join(Images, "ets"), [{format, ets}]).

lookups(Tables, #{large := Count, few_rounds := Rounds}) ->
    Length = min(?LOOKUPS, Count div (Rounds + 1)),
    Samples = xets_bench_lib:interleave(Rounds, ?SIDES, fun(Side, Round) ->
        Table = proplists:get_value(Side, Tables, none),
        From = Round * Length,
        Keys = [xets_bench_lib:permute(I, Count, 2) || I <- lists:seq(From, From + Length - 1)],
        ok = xets_bench_lib:tidy(),
        xets_bench_lib:elapsed(fun() -> ok = lookup(Side, Table, Keys) end) / Length
    end),
    beside(dets, Samples, [xets_bench_text:count(Count), " objects"]).

lookup(_Side, _Table, []) ->
    ok;
lookup(none, Table, [_ | Keys]) ->
    lookup(none, Table, Keys);
lookup(dets, Table, [Key | Keys]) ->
    [{Key, Key}] = dets:lookup(Table, Key),
    lookup(dets, Table, Keys);
lookup(xets, Table, [Key | Keys]) ->
    [{Key, Key}] = xets:lookup(Table, Key),
    lookup(xets, Table, Keys).

opened(Images, Dir, #{large := Count, few_rounds := Rounds}) ->
    xets_bench_lib:interleave(min(Rounds, ?OPEN_ROUNDS), [ets | ?SIDES], fun
        (none, _Round) ->
            0;
        (Side, _Round) ->
            At = filename:join(Dir, "opened"),
            ok = file:make_dir(At),
            Time = opened(Side, Images, At, Count),
            ok = file:del_dir_r(At),
            Time
    end).

%% In a process of its own, which has nothing on its heap.
opened(ets, Images, _At, Count) ->
    alone(fun() ->
        T0 = erlang:monotonic_time(),
        {ok, Table} = ets:file2tab(filename:join(Images, "ets")),
        T1 = erlang:monotonic_time(),
        ok = xets_bench_pair:expect({ets, size}, Count, ets:info(Table, size)),
        true = ets:delete(Table),
        T1 - T0
    end);
opened(Side, Images, At, Count) ->
    ok = image(Side, Images, At),
    alone(fun() ->
        T0 = erlang:monotonic_time(),
        Table = open(Side, At, #{}),
        T1 = erlang:monotonic_time(),
        ok = xets_bench_pair:expect({Side, size}, Count, size(Side, Table)),
        ok = close(Side, Table),
        T1 - T0
    end).

alone(Fun) ->
    case xets_bench_lib:fresh(Fun) of
        {ok, Time} -> erlang:convert_time_unit(Time, native, nanosecond);
        {failed, Reason} -> exit(Reason)
    end.
