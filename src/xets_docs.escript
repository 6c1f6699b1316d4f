#!/usr/bin/env escript
%% usage: escript xets_docs.escript [EBIN...]
%%
%% Puts the documentation of xets into xets.beam, as the chunk "Docs" (EEP 48), where h/1,2 of the
%% Erlang shell and h of IEx look for it. EBIN is where the module was compiled to; without one,
%% the places where rebar3, whose hook this is, compiles to. A module that has its
%% documentation is left alone. Without edoc there is none, and the build goes on.
-mode(compile).

main([]) ->
    Build = os:getenv("REBAR_BUILD_DIR", "_build/default"),
    Deps = os:getenv("REBAR_DEPS_DIR", filename:join(Build, "lib")),
    main([filename:join([Dir, "xets", "ebin"])
          || Dir <- lists:usort([Deps, filename:join(Build, "lib"),
                                 filename:join(Build, "checkouts")])]);
main(Ebins) ->
    Beams = [Beam || Ebin <- Ebins, Beam <- [filename:join(Ebin, "xets.beam")],
                     filelib:is_regular(Beam), not is_documented(Beam)],
    case Beams =:= [] orelse has_edoc() of
        true -> lists:foreach(fun document/1, Beams);
        false -> io:format("xets: without the application edoc there is no documentation for h/2~n")
    end.

is_documented(Beam) ->
    {ok, {xets, [{"Docs", Chunk}]}} = beam_lib:chunks(Beam, ["Docs"], [allow_missing_chunks]),
    is_binary(Chunk).

has_edoc() ->
    lists:all(fun(Module) -> code:ensure_loaded(Module) =:= {module, Module} end,
              [edoc, edoc_doclet_chunks, xmerl]).

%% edoc writes files only: beside the module, where they do not stay.
document(Beam) ->
    Source = filename:join(filename:dirname(escript:script_name()), "xets.erl"),
    Dir = Beam ++ ".doc",
    Chunk = filename:join([Dir, "chunks", "xets.chunk"]),
    try
        ok = edoc:files([Source], [{preprocess, true}, {dir, Dir}, {doclet, edoc_doclet_chunks},
                                   {layout, edoc_layout_chunks}]),
        {ok, Docs} = file:read_file(Chunk),
        embed(Beam, term_to_binary(in_markdown(binary_to_term(Docs)), [compressed]))
    after
        file:delete(Chunk),
        [file:del_dir(Made) || Made <- [filename:join(Dir, "chunks"), Dir]]
    end.

%% From OTP 27 on documentation is Markdown. The HTML that edoc makes is still shown by h/2 of the
%% shell there, and no more by IEx; before, h/2 shows nothing else.
in_markdown(Docs) ->
    _ = code:ensure_loaded(edoc_html_to_markdown),
    case erlang:function_exported(edoc_html_to_markdown, convert_html, 3) of
        true ->
            {docs_v1, Anno, Language, <<"application/erlang+html">>, Module, Meta, Entries} = Docs,
            {docs_v1, Anno, Language, <<"text/markdown">>, converted(Module), Meta,
             [setelement(4, Entry, converted(element(4, Entry))) || Entry <- Entries]};
        false ->
            Docs
    end.

converted(#{} = Texts) ->
    maps:map(fun(_Language, Html) ->
                     Text = edoc_html_to_markdown:convert_html(xets, xets, Html),
                     unicode:characters_to_binary(Text)
             end, Texts);
converted(None) ->
    None.

%% The module is replaced at once: who loads it meanwhile gets the whole of one.
embed(Beam, Docs) ->
    {ok, xets, Chunks} = beam_lib:all_chunks(Beam),
    {ok, Code} = beam_lib:build_module(Chunks ++ [{"Docs", Docs}]),
    New = Beam ++ ".new",
    ok = file:write_file(New, Code),
    ok = file:rename(New, Beam).
