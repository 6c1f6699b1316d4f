%% What tests of several processes have in common.
-module(xets_test_lib).

-export([both/1, outcome/1, actor/0, actor/1, run/2, start/2, await/1, call/4, kill/1, stop/1,
         dead/0, foreign/0, transfer/1, no_transfer/1, eventually/1, settled/0, texts/3, small/2,
         env/2, fuzz/3, native_info/0, hooked_peer/0, stands_still/2]).

-include_lib("eunit/include/eunit.hrl").

%% A test of ets, and the same of xets.
both(Fun) ->
    [{atom_to_list(Module), {timeout, 60, fun() -> Fun(Module) end}} || Module <- [ets, xets]].

outcome(Fun) ->
    try {value, Fun()}
    catch Class:Reason -> {Class, Reason}
    end.

%%% Processes that do what they are told

actor() ->
    actor([]).

%% The options are those of spawn_opt/2.
actor(Options) ->
    spawn_opt(fun act/0, Options).

act() ->
    receive
        {act, From, Tag, Fun} ->
            From ! {Tag, outcome(Fun)},
            act();
        {act, stop} ->
            ok
    end.

%% What Fun returns when the actor calls it.
run(Actor, Fun) ->
    {value, Value} = await(start(Actor, Fun)),
    Value.

%% The outcome of a call by the actor.
call(Actor, Module, Function, Args) ->
    await(start(Actor, fun() -> apply(Module, Function, Args) end)).

start(Actor, Fun) ->
    Tag = monitor(process, Actor),
    Actor ! {act, self(), Tag, Fun},
    Tag.

await(Tag) ->
    receive
        {Tag, Outcome} ->
            demonitor(Tag, [flush]),
            Outcome;
        {'DOWN', Tag, process, _, Reason} ->
            {died, Reason}
    end.

%% Comes back when the process is seen to be dead.
kill(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

stop(Actor) ->
    Monitor = monitor(process, Actor),
    Actor ! {act, stop},
    receive {'DOWN', Monitor, process, Actor, _} -> ok end.

dead() ->
    Pid = actor(),
    kill(Pid),
    Pid.

%% A process of another node.
foreign() ->
    binary_to_term(<<131, 103, 100, 0, 7, "foo@bar", 0, 0, 0, 38, 0, 0, 0, 0, 3>>).

%% The actor's next message about a table that it has got.
transfer(Actor) ->
    run(Actor, fun() ->
                       receive
                           {'ETS-TRANSFER', Table, From, Data} -> {Table, From, Data}
                       after 20000 -> none
                       end
               end).

%% The actor has no such message, when all is done that has been started.
no_transfer(Actor) ->
    ?assertEqual(none, run(Actor, fun() ->
                                          receive
                                              {'ETS-TRANSFER', _, _, _} = Message -> Message
                                          after 0 -> none
                                          end
                                  end)).

eventually(Fun) ->
    eventually(Fun, erlang:monotonic_time(millisecond) + 60000).

eventually(Fun, Deadline) ->
    case Fun() of
        true ->
            ok;
        false ->
            ?assert(erlang:monotonic_time(millisecond) < Deadline),
            receive after 1 -> ok end,
            eventually(Fun, Deadline)
    end.

%% xets:info() when nothing of former tests is being freed any more.
settled() ->
    settled(xets:info(), 0).

settled(Info, 50) ->
    Info;
settled(Info, Same) ->
    receive after 2 -> ok end,
    case xets:info() of
        Info -> settled(Info, Same + 1);
        Other -> settled(Other, 0)
    end.

%% An emulator with the build of the library that has points to stop at (c_src/beam/hooks.h).
hooked_peer() ->
    Priv = filename:absname(os:getenv("XETS_TEST_HOOKS")),
    Paths = lists:append([["-pa", filename:absname(filename:dirname(code:which(M)))]
                          || M <- [xets, ?MODULE]]),
    {ok, Peer, _} = peer:start(#{connection => standard_io, wait_boot => 60000,
                                 env => [{"XETS_PRIV", Priv}], args => Paths}),
    Peer.

%% Has a thread of the library stand still at a point until the process returned ends. The
%% fun makes it get there.
stands_still(Point, Fun) ->
    Test = self(),
    Holder = spawn(fun() ->
        register(Point, self()),
        Test ! {self(), registered},
        receive Point -> Test ! {self(), stands_still} end,
        receive after infinity -> ok end
    end),
    receive {Holder, registered} -> ok end,
    Result = Fun(),
    receive {Holder, stands_still} -> ok end,
    {Holder, Result}.

%%% Errors

%% What the failed call says about its arguments, in the words of xets.
texts(Module, Function, Args) ->
    Stack = try apply(Module, Function, Args) of
                Value -> erlang:error({succeeded, Value})
            catch
                error:badarg:S -> S
            end,
    [{Module, Function, Args, _} | _] = Stack,
    case Module of
        xets -> xets:format_error(badarg, Stack);
        ets -> maps:map(fun(_, Text) -> as_table(Text) end,
                        erl_stdlib_errors:format_error(badarg, Stack))
    end.

as_table(Text) ->
    binary:replace(binary:replace(Text, <<"an ETS table">>, <<"a table">>), <<"ETS ">>, <<>>).

%%% Sizes and seeds

%% The second where everything takes many times as long.
small(Full, Small) ->
    case os:getenv("XETS_TEST_SMALL") of
        false -> Full;
        _ -> Small
    end.

%% The number that a variable gives.
env(Name, Default) ->
    case os:getenv(Name) of
        false -> Default;
        Value -> list_to_integer(Value)
    end.

%% What Fun makes of a seed, which is printed (XETS_TEST_SEED gives one), and of what tells before
%% each case, by its number, whether there is time for it.
fuzz(What, Seconds, Fun) ->
    Seed = env("XETS_TEST_SEED", rand:uniform(1 bsl 32)),
    io:format("~s: XETS_TEST_SEED=~b~n", [What, Seed]),
    End = erlang:monotonic_time(second) + Seconds,
    Fun(Seed, fun(_) -> erlang:monotonic_time(second) < End end).

%%% The native way with terms

%% What xets.erl gives to its library when it is loaded, for the libraries of the tests.
native_info() ->
    Alias = erlang:alias(),
    erlang:unalias(Alias),
    <<_:13, Sliced:45/bitstring, Large:490/bitstring, _/bitstring>> =
        list_to_binary(lists:seq(1, 100)),
    {
        erlang:system_info(otp_release),
        erlang:system_info(build_type),
        os:getenv("XETS_TERMS") =:= "portable",
        [make_ref()],
        [Alias, atomics:new(1, [])],
        [Sliced, Large, list_to_bitstring([0, Sliced]), list_to_bitstring([0, Large])]
    }.
