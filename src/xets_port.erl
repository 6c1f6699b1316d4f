%% @private
%% @doc The process that has the port of c_src/beam/journal_drv.c: while that is open, writes at
%% level `memory' return at once, and what they wrote is saved when the emulator stops. Without it
%% they wait as those at level `os' do.
-module(xets_port).

-behaviour(gen_server).

-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(DRIVER, "xets").

-spec start_link() -> {ok, pid()} | ignore | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% Where there can be no port, everything but the speed of level `memory' is as it would be.
-spec init([]) -> {ok, port()} | ignore.
init([]) ->
    process_flag(trap_exit, true),
    try
        {ok, open()}
    catch
        error:Reason ->
            logger:warning("xets: no port; durable tables at level memory are at level os: ~0tp", [
                Reason
            ]),
            ignore
    end.

%% The driver is in the library of the module, and to share its globals must be loaded from the very
%% same file. It stays when it has had a port, and is `permanent' then.
open() ->
    File = unicode:characters_to_list(xets:durable_library_nif(), file:native_name_encoding()),
    case erl_ddll:load(filename:dirname(File), ?DRIVER) of
        ok -> ok;
        {error, permanent} -> ok;
        {error, Reason} -> error({Reason, erl_ddll:format_error(Reason)})
    end,
    open_port({spawn_driver, ?DRIVER}, []).

handle_call(_Request, _From, Port) ->
    {reply, {error, unknown}, Port}.

handle_cast(_Request, Port) ->
    {noreply, Port}.

handle_info({'EXIT', Port, Reason}, Port) ->
    {stop, {port, Reason}, Port};
handle_info(_Message, Port) ->
    {noreply, Port}.

%% The driver flushes all journals when its port is closed, which here is waited for.
terminate(_Reason, Port) ->
    try
        port_close(Port)
    catch
        % It is closed.
        error:badarg -> true
    end,
    case xets:durable_flush_nif() of
        true -> ok;
        false -> logger:error("xets: the disk does not answer; not all changes are written")
    end.
