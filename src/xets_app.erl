%% @private
%% @doc The application: a process with a port (xets_port). Tables need it only at level `memory'.
-module(xets_app).

-behaviour(application).
-behaviour(supervisor).

-export([start/2, stop/1]).
-export([init/1]).

-spec start(application:start_type(), term()) -> supervisor:startlink_ret().
start(_Type, _Args) ->
    supervisor:start_link(?MODULE, []).

-spec stop(term()) -> ok.
stop(_State) ->
    ok.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    % When it ends it waits until all journals are synced, if that gets on.
    Port = #{id => xets_port, start => {xets_port, start_link, []}, shutdown => infinity},
    {ok, {#{}, [Port]}}.
