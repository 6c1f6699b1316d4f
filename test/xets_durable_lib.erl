%% What tests of durable tables have in common.
-module(xets_durable_lib).

-export([in_dir/1, durable/2, in_each_type/1, in_each_type/2, contents/1, reopened/3,
         text/1]).

-define(TYPES, [set, ordered_set, bag, duplicate_bag]).

%% A directory that is not there yet, for the time of a test.
in_dir(Fun) ->
    Name = io_lib:format("xets_durable_~s_~b", [os:getpid(), erlang:unique_integer([positive])]),
    Dir = filename:join(os:getenv("TMPDIR", "/tmp"), lists:flatten(Name)),
    try
        Fun(Dir)
    after
        file:del_dir_r(Dir)
    end.

durable(Dir, Options) ->
    xets:new(durable, [{durable, Dir} | Options]).

in_each_type(Fun) ->
    in_each_type(Fun, fun(_) -> ok end).

in_each_type(Fun, Prepare) ->
    [{atom_to_list(Type),
      {timeout, 120, fun() -> in_dir(fun(Dir) -> Prepare(Dir), Fun(Type, Dir) end) end}}
     || Type <- ?TYPES].

%% What a table has; of a bag with the order of each key's objects.
contents(T) ->
    Key = fun(Object) -> element(xets:info(T, keypos), Object) end,
    % Keys are equal as those of a map are.
    Keys = maps:from_list([{Key(Object), true} || Object <- xets:tab2list(T)]),
    [xets:lookup(T, K) || K <- maps:keys(Keys)].

%% Closes a table, and opens it again.
reopened(T, Dir, Options) ->
    true = xets:delete(T),
    durable(Dir, Options).

%% As it is in what errors say.
text(Term) ->
    iolist_to_binary(io_lib:format("~tp", [Term])).
