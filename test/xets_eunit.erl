%% Runs modules of tests as eunit:test/1 does, but gives each test a minute instead of five seconds
%% if it does not tell its time itself, and all of them several times as long on request: what
%% takes a second on an idle machine takes many on one that has other work. (EUnit has an option
%% for the latter from OTP 26 on.)
-module(xets_eunit).

-export([test/2]).

-define(SECONDS, 60).

%% Returns what eunit:test/1 does.
-spec test([module()], number()) -> ok | error.
test(Modules, Scale) ->
    eunit:test([{atom_to_list(Module), tests(Module, Scale)} || Module <- Modules]).

%% What EUnit finds in a module by itself, in the order of its functions.
tests(Module, Scale) ->
    lists:append([test_of(Module, Name, Scale) || {Name, 0} <- Module:module_info(exports)]).

test_of(Module, Name, Scale) ->
    Text = atom_to_list(Name),
    case {lists:suffix("_test_", Text), lists:suffix("_test", Text)} of
        {true, _} -> [{generator, fun() -> patient(Module:Name(), Scale) end}];
        {_, true} -> [patient({Module, Name}, Scale)];
        _ -> []
    end.

%% A test, as the documentation of EUnit represents it, with its times.
patient(Tests, Scale) when is_list(Tests) ->
    [patient(Test, Scale) || Test <- Tests];
patient({timeout, Seconds, Test}, Scale) ->
    {timeout, Seconds * Scale, given(Test, Scale)};
patient({generator, Fun}, Scale) ->
    {generator, fun() -> patient(Fun(), Scale) end};
patient({foreach, SetUp, CleanUp, Tests}, Scale) ->
    {foreach, SetUp, CleanUp, [instantiated(Test, Scale) || Test <- Tests]};
patient({setup, SetUp, CleanUp, Tests}, Scale) ->
    {setup, SetUp, CleanUp, instantiated(Tests, Scale)};
patient({inparallel, Tests}, Scale) ->
    {inparallel, patient(Tests, Scale)};
patient({Text, Test}, Scale) when is_list(Text) ->
    {Text, patient(Test, Scale)};
patient(Test, Scale) ->
    %% A function, what names one, or {Line, Function}.
    {timeout, ?SECONDS * Scale, Test}.

%% What has been given a time: a test, or several with one together.
given({Text, Test}, Scale) when is_list(Text) -> {Text, given(Test, Scale)};
given({Line, Test}, _) when is_integer(Line) -> {Line, Test};
given(Test, _) when is_function(Test) -> Test;
given(Tests, Scale) -> patient(Tests, Scale).

instantiated(Fun, Scale) when is_function(Fun, 1) ->
    fun(State) -> patient(Fun(State), Scale) end;
instantiated(Tests, Scale) ->
    patient(Tests, Scale).
