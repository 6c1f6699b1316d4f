%% @doc Every function that the modules of the installed Erlang/OTP and Elixir export.
%%
%% An object is
%%
%% ```
%% {{Module, Function, Arity}, Calls, Application, File, Kind, Deprecated, Signature,
%%  Behaviours, Md5, ByteSize}
%% '''
%%
%% read from the beam files, without loading a module.
-module(xets_bench_functions).

-export([objects/1]).

-define(QUICK_APPLICATIONS, ["stdlib", "kernel", "eex"]).

%% @doc The objects, and how many of what; few applications only when quick.
-spec objects(Quick :: boolean()) ->
    {[tuple()], #{
        functions := pos_integer(),
        modules := pos_integer(),
        applications := pos_integer(),
        releases := iolist()
    }}.
objects(Quick) ->
    Directories = [D || D <- otp() ++ elixir(), not Quick orelse is_quick(D)],
    Files = lists:append([
        filelib:wildcard(filename:join(D, "*.beam"))
     || D <- Directories
    ]),
    Objects = lists:ukeysort(1, lists:append([functions(F) || F <- Files])),
    {Objects, #{
        functions => length(Objects),
        modules => length(Files),
        applications => length(Directories),
        releases => releases()
    }}.

is_quick(Directory) ->
    lists:member(application(Directory), ?QUICK_APPLICATIONS).

otp() ->
    filelib:wildcard(filename:join([code:root_dir(), "lib", "*", "ebin"])).

%% Elixir's applications are found beside its executable, loaded or not.
elixir() ->
    case os:find_executable("elixir") of
        false ->
            [];
        Executable ->
            Root = filename:dirname(filename:dirname(real_path(Executable))),
            filelib:wildcard(filename:join([Root, "lib", "*", "ebin"]))
    end.

real_path(Path) ->
    case file:read_link_all(Path) of
        {ok, Link} -> real_path(filename:absname(Link, filename:dirname(Path)));
        {error, _} -> Path
    end.

releases() ->
    Otp = ["Erlang/OTP ", erlang:system_info(otp_release)],
    case [D || D <- elixir(), application(D) =:= "elixir"] of
        [] -> [Otp, ", no Elixir found"];
        [Directory | _] -> [Otp, ", Elixir ", version(filename:join(Directory, "elixir.app"))]
    end.

version(AppFile) ->
    case file:consult(AppFile) of
        {ok, [{application, elixir, Properties}]} -> proplists:get_value(vsn, Properties, "");
        _ -> ""
    end.

application(EbinDirectory) ->
    Name = filename:basename(filename:dirname(EbinDirectory)),
    hd(string:split(Name, "-")).

%% One module -------------------------------------------------------------------------------------

functions(File) ->
    {ok, Binary} = file:read_file(File),
    Chunks = [exports, attributes, "Docs"],
    {ok, {Module, [{exports, Exports}, {attributes, Attributes}, {_, Docs}]}} =
        beam_lib:chunks(Binary, Chunks, [allow_missing_chunks]),
    Application = list_to_atom(application(filename:dirname(File))),
    Name = list_to_binary(filename:basename(File)),
    Deprecated = listed(deprecated, Attributes),
    Signatures = signatures(Docs),
    Behaviours = listed(behaviour, Attributes) ++ listed(behavior, Attributes),
    Md5 = md5(listed(vsn, Attributes)),
    Size = byte_size(Binary),
    [
        {{Module, F, A}, 0, Application, Name, kind(Module, F, A),
            is_deprecated(F, A, Deprecated), maps:get({F, A}, Signatures, undocumented), Behaviours,
            Md5, Size}
     || {F, A} <- Exports
    ].

kind(Module, F, A) ->
    case erlang:is_builtin(Module, F, A) of
        true -> bif;
        false -> erlang
    end.

listed(Name, Attributes) ->
    lists:append([Values || {N, Values} <- Attributes, N =:= Name, is_list(Values)]).

%% The compiler's default for a module's version is the digest of its code.
md5([Number]) when is_integer(Number), Number >= 0 -> <<Number:128>>;
md5(_Other) -> none.

is_deprecated(F, A, Entries) ->
    lists:any(
        fun
            (module) -> true;
            (Entry) when element(1, Entry) =:= F -> lists:member(element(2, Entry), [A, '_']);
            (_) -> false
        end,
        Entries
    ).

%% Elixir keeps the documentation in the module: the signature of each documented function.
signatures(missing_chunk) ->
    #{};
signatures(Chunk) ->
    {docs_v1, _, _, _, _, _, Entries} = binary_to_term(Chunk),
    maps:from_list([
        {{F, A}, iolist_to_binary(lists:join(" ", Signature))}
     || {{function, F, A}, _, Signature, Doc, _} <- Entries, is_map(Doc)
    ]).
