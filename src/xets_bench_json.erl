%% @doc JSON, as far as the benchmark's page needs it: the releases of Erlang/OTP before 27 have no
%% encoder of their own.
-module(xets_bench_json).

-export([encode/1]).

-export_type([json/0]).

-type json() ::
    #{atom() => json()} | [json()] | binary() | {string, unicode:chardata()} | number() | atom().
%% `none' becomes `null'; other atoms than booleans become strings.

%% @doc Encodes a term so that it may stand inside a script element: `<' is always escaped.
-spec encode(json()) -> iolist().
encode(Map) when is_map(Map) ->
    Members = [[encode(Key), ":", encode(Value)] || {Key, Value} <- lists:sort(maps:to_list(Map))],
    ["{", lists:join(",", Members), "}"];
encode(List) when is_list(List) ->
    ["[", lists:join(",", [encode(Element) || Element <- List]), "]"];
encode(none) ->
    "null";
encode(Boolean) when is_boolean(Boolean) ->
    atom_to_list(Boolean);
encode(Atom) when is_atom(Atom) ->
    encode({string, atom_to_list(Atom)});
encode(Integer) when is_integer(Integer) ->
    integer_to_list(Integer);
encode(Float) when is_float(Float) ->
    io_lib:format("~.6g", [Float]);
encode(Text) when is_binary(Text) ->
    encode({string, Text});
encode({string, Text}) ->
    ["\"", [escape(C) || C <- unicode:characters_to_list(Text)], "\""].

escape($") -> "\\\"";
escape($\\) -> "\\\\";
escape(C) when C < 32; C =:= $<; C =:= 16#2028; C =:= 16#2029 ->
    io_lib:format("\\u~4.16.0b", [C]);
escape(C) ->
    unicode:characters_to_binary([C]).
