%% Random sequences of calls, for properties that run them on `ets' and on `xets'.
%%
%% A case is {KeyPos, Types, Pool, Ops}: the key position of its tables, the keys it uses, and
%% its operations. It begins with public tables of two types in the slots 1 and 2.
%%
%%   {by, Who, Function, Args}    a call by one of three processes; process 1 owns most tables.
%%                                `new' has Args [Slot, Name, Options]: it is the table in Slot
%%                                (1 to 3) from now on
%%   {delete_range, Slot, A, N}   delete/2 of each of N keys from A
%%   {delete_found, Slot, Key, How}   delete_object/2 of an object that is found: as it is, or
%%                                with zeros of the other sign
%%   {traverse, Slot, How}        a complete traversal, by keys, keys and objects, or slots
%%   {traverse_fixed, Slot, How, Changes}   a traversal of a fixed table; after each step one of
%%                                the changes is made, which are pairs of the function and the
%%                                argument after the table
%%   {drain, Slot, How, Function} a traversal of a fixed table that deletes each key
%%   {kill, Who}                  process 2 or 3 is killed, and replaced
%%   received                     compare the messages about tables that processes have got
%%   check                        compare the contents of all tables
%%
%% A case holds no term that only one VM knows: such terms, and large ones, have the form
%% {'$', Kind, ...} and are made by resolve/2. So a case that is printed can be run again.
-module(xets_gen).

-export([cases/1, term/0, exceptions/0]).
-export([drawn/1, integer/2, one_of/1, weighted/1, list_of/2]).
-export([env/0, stop/1, case_env/4, resolve/2, are_zeros_kept/1, other_zeros/1, plain_key/1]).

%% Keys of a case: few, so that they are met again.
-define(POOL, 8).

%% Where a call is kept away from ets, or its result is not that of ets.
-spec exceptions() -> [{Name :: atom(), Releases :: string(), Why :: string()}].
exceptions() ->
    [{short_default, "to 28",
      "update_counter/4 and update_element/4 with a default object that has no element at the "
      "key position: if it is needed, ets writes outside of it, and the VM may end. Expected "
      "instead, needed or not, as from ets 29: badarg."},
     {repeated_position, "all",
      "update_counter with a list that names a position twice, where a value is no small "
      "integer, damages the object. Expected instead: what xets_model computes."},
     {equal_keys_in_list, "to 26",
      "insert and insert_new may keep the first of the objects of a list that have one key, if "
      "the process has to yield meanwhile. Expected instead, as otherwise: the last."},
     {list_order, "to 25",
      "insert and insert_new put the objects of a list into a bag from the last to the first. "
      "Expected instead, as from 26: in the order of the list."},
     {fixed_take, "all",
      "take counts objects of a bag that were deleted while it is fixed as taken once more: the "
      "size is wrong from then on. Expected instead: only what is returned is counted."},
     {fixed_delete_all, "all",
      "delete_all_objects of a fixed table from which an object was deleted before may leave some: "
      "it goes by memory that was not set. Expected instead: none are left. So may select_delete and "
      "match_delete of all objects."},
     {failed_default, "all",
      "update_counter/4 and update_element/4 that fail for an absent key of a fixed table leave "
      "the key behind as one that was deleted. Expected instead: nothing has changed."},
     {large_position, "all",
      "lookup_element with a position from 2^31 takes the low 32 bits of it, and may end the VM. "
      "Expected instead: badarg, or the default object if there is no object."},
     {heir_without_data, "to 27",
      "{heir, Pid} is refused. Expected instead, as from 28: the heir gets the table, and no "
      "message. Done with {heir, Pid, Data}, whose message is left out."},
     {compressed, "from 26",
      "ets ends the VM when it reads a fun M:F/A from a compressed table: not generated."},
     {empty_slot, "all",
      "slot 0 of an empty ordered_set with write_concurrency is refused. Expected instead, as "
      "without that option: '$end_of_table'."},
     {compressed_order, "all",
      "ets ends the VM when it compares a key with a map of more than 32 in a compressed "
      "ordered_set: no table is generated to be both."},
     {order, "all",
      "the orders of tab2list, of traversals and of slots, and the number of slots, are others, "
      "but in an ordered_set."},
     {key_zeros, "to 26",
      "of equal keys in a bag that differ by the sign of a zero, a traversal gives any."},
     {revived_zeros, "to 26",
      "an object that is inserted again into a fixed bag has the signs of zeros that it had when "
      "it was deleted. Expected instead: those that are inserted. A case has no negative zeros, "
      "or its bags are not fixed."},
     {map_in_key, "some",
      "a map in the key of a pattern matches equal maps only, if there is no variable in the key "
      "and no other clause has ets look at all objects. Expected instead, as there and in all "
      "other places: it matches maps that have more keys, too."},
     {number_in_key, "some",
      "in an ordered_set, clauses whose keys have numbers in them may miss objects, because 1 and "
      "1.0 are taken for different where it is found out which keys to look at. Expected instead: "
      "what a look at all objects finds."},
     {memory, "all", "info(T, memory) is a positive integer; binary and stats are not asked for."},
     {lookup_element_4, "to 25", "done by xets_model: ets does not have it."},
     {update_element_4, "to 26", "done by xets_model: ets does not have it."},
     {first_lookup, "to 26",
      "and last_, next_ and prev_lookup: done by xets_model: ets does not have them."}].

%%% Sequences
%%
%% The generators below draw from the state that rand:seed/2 has put into the process, so a seed
%% makes a case. (Composed of PropEr's own generators an operation takes a hundred times as long.)

%% @doc Cases of Length operations at most, for PropEr: it shrinks them by leaving operations out.
-spec cases(pos_integer()) -> proper_types:type().
cases(Length) ->
    {drawn(fun() -> integer(1, 3) end),
     drawn(fun() -> {type(), type()} end),
     drawn(fun() -> [pool_key() || _ <- lists:seq(1, ?POOL)] end),
     proper_types:resize(Length, proper_types:list(drawn(fun op/0)))}.

%% @doc What Generator draws, for PropEr.
-spec drawn(fun(() -> term())) -> proper_types:type().
drawn(Generator) ->
    proper_types:lazy(fun() -> proper_types:exactly(Generator()) end).

op() ->
    weighted([{330, fun() -> {F, Args} = access(), {by, who(), F, Args} end},
              {12, fun() -> {by, who(), new, [slot(), some(fun name/0), options()]} end},
              {12, fun() -> {delete_found, slot(), pool_index(), one_of({same, other_zeros})} end},
              {2, fun() -> {delete_range, slot(), integer(1, 4000), integer(0, 3000)} end},
              {3, fun() -> {traverse, slot(), one_of({keys, keys_back, objects, objects_back,
                                                      slots})} end},
              {3, fun() -> {traverse_fixed, slot(), way(), list_of(fun change/0, 20)} end},
              {1, fun() -> {drain, slot(), way(), one_of({delete, take, delete_object})} end},
              {2, fun() -> {kill, integer(2, 3)} end},
              {2, fun() -> received end},
              {7, fun() -> check end}]).

%% The processes that make the calls: process 1 made most of the tables.
who() ->
    one_of({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3}).

access() ->
    weighted([{90, fun write/0}, {46, fun read/0}, {40, fun update/0}, {26, fun traversal/0},
              {20, fun order/0}, {18, fun about_tables/0}, {12, fun matching/0}]).

write() ->
    weighted([{24, fun() -> {insert, [table(), some(fun object/0)]} end},
              {12, fun() -> {insert, [table(), some(fun objects/0)]} end},
              {1, fun() -> {insert, [table(), many_objects()]} end},
              {6, fun() -> {insert_new, [table(), some(fun object/0)]} end},
              {4, fun() -> {insert_new, [table(), some(fun objects/0)]} end},
              {1, fun() -> {insert_new, [table(), many_objects()]} end},
              {4, fun() -> {put_new, [table(), some(fun object/0)]} end},
              {3, fun() -> {take, [table(), key()]} end},
              {2, fun() -> {take_many, [table(), some(fun keys/0)]} end},
              {3, fun() -> {delete, [table(), key()]} end},
              {2, fun() -> {delete_many, [table(), some(fun keys/0)]} end},
              {1, fun() -> {one_of({take_many, delete_many}), [table(), many_keys()]} end},
              {5, fun() -> {delete_object, [table(), some(fun object/0)]} end}]).

read() ->
    weighted([{20, fun() -> {lookup, [table(), key()]} end},
              {10, fun() -> {lookup_element, [table(), key(), position()]} end},
              {6, fun() -> {lookup_element, [table(), key(), position(), value()]} end},
              {10, fun() -> {lookup_elements, [table(), key(), some(fun positions/0)]} end},
              {6, fun() -> {lookup_many, [table(), some(fun keys/0)]} end},
              {2, fun() -> {lookup_many, [table(), many_keys()]} end},
              {6, fun() -> {member, [table(), key()]} end},
              {2, fun() -> {tab2list, [table()]} end}]).

update() ->
    weighted([{16, fun() -> {update_counter, [table(), key(), some(fun counter_op/0)]} end},
              {6, fun() -> {update_counter, [table(), key(), some(fun counter_op/0),
                                             some(fun default/0)]} end},
              {12, fun() -> {update_element, [table(), key(), some(fun element_spec/0)]} end},
              {5, fun() -> {update_element, [table(), key(), some(fun element_spec/0),
                                             some(fun default/0)]} end}]).

traversal() ->
    weighted([{4, fun() -> {one_of({first, last, first_lookup, last_lookup}), [table()]} end},
              {12, fun() -> {one_of({next, prev, next_lookup, prev_lookup}), [table(), key()]} end},
              {2, fun() -> {slot, [table(), some(fun() -> integer(-2, 300) end)]} end},
              {9, fun() -> {safe_fixtable, [table(), some(fun() -> one_of({true, true, false})
                                                          end)]} end}]).

%% Of an ordered_set; of other tables sometimes, too.
order() ->
    Key = fun() -> one_of({key(), key(), key(), term()}) end,
    weighted([{4, fun() -> {range, [table(), Key(), Key()]} end},
              {8, fun() -> {range, [table(), Key(), Key(), options_of(range)]} end},
              {2, fun() -> {prefix, [table(), prefix()]} end},
              {4, fun() -> {prefix, [table(), prefix(), options_of(prefix)]} end},
              {2, fun() -> {count, [table(), Key(), Key()]} end},
              {4, fun() -> {count, [table(), Key(), Key(), options_of(count)]} end},
              {4, fun() -> {nth, [table(), some(fun() -> integer(0, 20) end)]} end},
              {4, fun() -> {rank, [table(), key()]} end},
              {4, fun() -> {one_of({first_n, last_n}),
                            [table(), some(fun() -> integer(-1, 20) end)]} end},
              {3, fun() -> {one_of({take_first, take_last}), [table()]} end}]).

%% By what fits objects that may be there.
matching() ->
    Objects = [{'$', object, key(), values()}, {'$', object, key(), well_known_values()},
               {'$', object, key(), [counter(), little()]}],
    Pattern = some(fun() -> xets_match_gen:pattern(Objects) end),
    Spec = fun() -> some(fun() -> xets_match_gen:spec(Objects) end) end,
    Limit = fun() -> weighted([{30, fun() -> one_of({1, 2, 7, 100}) end},
                               {1, fun() -> one_of({0, -1, 1 bsl 70, a}) end}])
            end,
    weighted([{4, fun() -> {one_of({match, match_object}), [table(), Pattern]} end},
              {2, fun() -> {one_of({match, match_object}), [table(), Pattern, Limit()]} end},
              {6, fun() -> {one_of({select, select_reverse, select_count}), [table(), Spec()]} end},
              {3, fun() -> {one_of({select, select_reverse}), [table(), Spec(), Limit()]} end},
              {1, fun() -> {match_delete, [table(), Pattern]} end},
              {3, fun() -> {one_of({select_delete, select_take}), [table(), Spec()]} end},
              {3, fun() -> {select_replace, [table(), xets_match_gen:replacement(Objects)]} end},
              {3, fun() -> {update, [table(), key(), xets_match_gen:update(Objects)]} end},
              {1, fun() -> {select_delete, [table(), [{'_', [], [true]}]]} end}]).

prefix() ->
    weighted([{4, fun() -> tuple_of(fun value/0, 2) end}, {3, fun() -> list_of(fun value/0, 2) end},
              {1, fun() -> rand:bytes(integer(0, 1)) end}, {2, fun() -> one_of({{}, [], <<>>}) end},
              {1, fun term/0}]).

options_of(Function) ->
    Ends = {inclusive, exclusive, unbounded, unbounded},
    End = fun() -> {one_of({from, to}), one_of(Ends)} end,
    Page = fun() -> one_of({reverse, {reverse, false}, {limit, one_of({1, 2, 7, 2001})}}) end,
    Option = case Function of
                 count -> End;
                 prefix -> Page;
                 range -> fun() -> (one_of({End, End, Page}))() end
             end,
    weighted([{30, fun() -> list_of(Option, 4) end},
              {1, fun() -> [Option(), one_of({{limit, 0}, {from, 1}, reverse, {to, unbounded}})]
                  end},
              {1, fun() -> [Option() | tail] end}, {1, fun term/0}]).

about_tables() ->
    weighted([{4, fun() -> {info, [table()]} end},
              {12, fun() -> {info, [table(), some(fun item/0)]} end},
              {6, fun() -> {whereis, [some(fun name/0)]} end},
              {1, fun() -> {all, []} end},
              {2, fun() -> {delete_all_objects, [table()]} end},
              {2, fun() -> {delete, [table()]} end},
              {4, fun() -> {rename, [table(), some(fun name/0)]} end},
              {4, fun() -> {setopts, [table(), some(fun settings/0)]} end},
              {4, fun() -> {give_away, [table(), some(fun process/0), value()]} end}]).

%% Of a traversal by keys.
way() ->
    one_of({keys, keys_back, objects, objects_back}).

change() ->
    weighted([{4, fun() -> {insert, object()} end}, {1, fun() -> {insert, objects()} end},
              {3, fun() -> {delete, key()} end}, {2, fun() -> {take, key()} end},
              {2, fun() -> {delete_object, object()} end},
              {1, fun() -> {delete_many, keys()} end}]).

%%% Choosing

integer(Low, High) ->
    Low + rand:uniform(High - Low + 1) - 1.

one_of(Tuple) when is_tuple(Tuple) ->
    element(rand:uniform(tuple_size(Tuple)), Tuple).

weighted(Choices) ->
    weighted(rand:uniform(lists:sum([Weight || {Weight, _} <- Choices])), Choices).

weighted(N, [{Weight, Generator} | _]) when N =< Weight ->
    Generator();
weighted(N, [{Weight, _} | Choices]) ->
    weighted(N - Weight, Choices).

%% Mostly what Generator gives, sometimes anything.
some(Generator) ->
    case rand:uniform(25) of
        1 -> term();
        _ -> Generator()
    end.

list_of(Generator, Max) ->
    [Generator() || _ <- lists:seq(1, integer(0, Max))].

tuple_of(Generator, Max) ->
    list_to_tuple(list_of(Generator, Max)).

%%% Tables

slot() ->
    one_of({1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3}).

table() ->
    weighted([{80, fun() -> {'$', slot, slot()} end}, {4, fun name/0}, {1, fun term/0},
              {1, fun() -> one_of({{'$', ref, 1}, {'$', magic, 1}, xets_prop_nobody, 17, "name",
                                   {}, undefined}) end}]).

type() ->
    one_of({set, set, set, ordered_set, ordered_set, ordered_set, bag, bag, duplicate_bag}).

name() ->
    one_of({xets_prop_a, xets_prop_b, xets_prop_c}).

options() ->
    Type = type(),
    Others = [Option || Option <- list_of(fun option/0, 4),
                        Type =/= ordered_set orelse Option =/= compressed],
    Good = [Type, {keypos, {'$', keypos}}, public | Others],
    weighted([{30, fun() -> Good end}, {1, fun() -> Good ++ list_of(fun wrong_option/0, 2) end},
              {1, fun() -> Good ++ tail end}, {1, fun term/0}]).

option() ->
    one_of({public, public, public, protected, private, named_table, named_table, set,
            compressed(), {keypos, one_of({{'$', keypos}, 1, 2, 3, 16#7fffffff})},
            {write_concurrency, true}, {write_concurrency, false}, {write_concurrency, auto},
            {read_concurrency, true}, {read_concurrency, false}, {decentralized_counters, true},
            {decentralized_counters, false}, heir(), heir()}).

heir() ->
    one_of({{heir, none}, {heir, process(), gift}, {heir, process(), value()}, {heir, process()}}).

settings() ->
    weighted([{8, fun heir/0}, {4, fun() -> [heir()] end}, {1, fun() -> [] end},
              {1, fun() -> [heir(), heir()] end}, {1, fun() -> [heir() | tail] end},
              {1, fun wrong_option/0}]).

process() ->
    {'$', pid, integer(1, 3)}.

compressed() ->
    case list_to_integer(erlang:system_info(otp_release)) < 26 of
        true -> compressed;
        false -> set
    end.

wrong_option() ->
    one_of({option(), wrong, {keypos, 0}, {keypos, -1}, {keypos, a}, {keypos, 1.0},
            {keypos, 1 bsl 70}, {write_concurrency, 1}, {read_concurrency, auto},
            {decentralized_counters, auto}, {heir, some}, {named_table, true}, {compressed}, {},
            {heir, {'$', pid, 1}, a, b}, {heir, {'$', far_pid, 1}, a}}).

item() ->
    one_of({size, type, keypos, protection, name, named_table, owner, heir, node, compressed,
            read_concurrency, write_concurrency, decentralized_counters, id, memory, fixed,
            safe_fixed, safe_fixed_monotonic_time, wrong}).

%%% Objects

key() ->
    weighted([{20, fun pool_index/0}, {2, fun() -> integer(1, 4000) end}, {1, fun term/0}]).

pool_index() ->
    {'$', key, integer(1, ?POOL)}.

keys() ->
    list_of(fun key/0, 40).

%% More than are handled on a normal scheduler, and fewer.
many_keys() ->
    {'$', keys, integer(1, 4000), integer(0, 3000)}.

many_objects() ->
    weighted([{2, fun() -> {'$', objects, integer(1, 4000), integer(0, 3000), leaf()} end},
              {1, fun() -> {'$', group, key(), integer(1, 500), integer(0, 400)} end}]).

object() ->
    weighted([{20, fun() -> {'$', object, key(), values()} end},
              {8, fun() -> {'$', object, key(), well_known_values()} end},
              {1, fun() -> {'$', object, key(), list_of(fun value/0, 20)} end},
              {1, fun() -> tuple_of(fun value/0, 4) end}]).

objects() ->
    weighted([{20, fun() -> list_of(fun object/0, 10) end},
              {1, fun() -> [object(), object() | value()] end},
              {1, fun() -> list_of(fun() -> some(fun object/0) end, 10) end}]).

values() ->
    weighted([{6, fun() -> [value(), value()] end}, {6, fun() -> list_of(fun value/0, 5) end},
              {8, fun() -> [counter() || _ <- lists:seq(1, 4)] end}]).

%% So few that equal objects are met.
well_known_values() ->
    one_of({[1, 2], [0.0, a], [{'$', neg_zero}, a], [[{'$', magic, 1}], {'$', binary, 1000, 1}]}).

default() ->
    weighted([{4, fun() -> {'$', object, key(), list_of(fun counter/0, 5)} end},
              {2, fun object/0}]).

%%% Arguments of updates

position() ->
    weighted([{40, fun() -> integer(1, 5) end}, {1, fun() -> integer(-1, 30) end},
              {1, fun term/0}, {1, fun big_integer/0}]).

positions() ->
    tuple_of(fun position/0, 5).

counter() ->
    weighted([{8, fun() -> integer(-100, 100) end}, {4, fun little/0}, {2, fun big_integer/0},
              {1, fun value/0}]).

%% Met by other such.
little() ->
    integer(-2, 2).

counter_op() ->
    weighted([{5, fun counter/0}, {10, fun update_op/0},
              {6, fun() -> list_of(fun update_op/0, 4) end},
              {1, fun() -> list_of(fun update_op/0, 20) end},
              {1, fun() -> [update_op() | value()] end}]).

update_op() ->
    weighted([{10, fun() -> {position(), counter()} end},
              {5, fun() -> {position(), counter(), counter(), counter()} end},
              {5, fun() -> {position(), little(), little(), little()} end},
              {1, fun() -> {position(), value()} end},
              {1, fun() -> {position(), counter(), value(), value()} end}]).

element_spec() ->
    weighted([{8, fun element_value/0}, {4, fun() -> list_of(fun element_value/0, 4) end},
              {1, fun() -> list_of(fun element_value/0, 20) end},
              {1, fun() -> [element_value() | value()] end},
              {1, fun() -> list_of(fun() -> some(fun element_value/0) end, 3) end}]).

element_value() ->
    {position(), value()}.

%%% Terms

%% Keys of a case: of all kinds, and some that are equal, or nearly so.
pool_key() ->
    weighted([{2, fun() ->
                          one_of({1, 1.0, 2, 2.0, {2, [1.0]}, {2.0, [1]}, {1, a}, {1.0, a},
                                  {1, 1, 1}, [1], [1.0], [1 | 2], #{a => 1}, #{a => 1.0},
                                  9007199254740992.0, (1 bsl 53) + 1, 1 bsl 53, 1 bsl 70, float(1 bsl 70),
                                  (1 bsl 70) + 1, 1 bsl 1023, float(1 bsl 1023), 1 bsl 3000})
                  end},
              {3, fun() ->
                          one_of({0, 1, 1.0, 0.0, {'$', neg_zero}, {1}, {1.0}, {0.0},
                                  {{'$', neg_zero}}, [0.0 | a], #{1 => 0.0},
                                  #{1 => {'$', neg_zero}}, #{0.0 => 1}, #{{'$', neg_zero} => 1},
                                  <<1>>, <<1:1>>, "1", '1', {}, [], #{}, <<>>})
                  end},
              {1, fun() -> integer(1, 4000) end}, {5, fun term/0}]).

value() ->
    weighted([{6, fun() -> integer(-100, 100) end}, {1, fun little/0}, {1, fun pool_index/0},
              {6, fun term/0}]).

%% @doc A term of any kind, small ones more often.
-spec term() -> term().
term() ->
    term(2).

term(0) ->
    leaf();
term(Depth) ->
    Inner = fun() -> term(Depth - 1) end,
    weighted([{8, fun leaf/0}, {1, fun large/0}, {4, fun() -> tuple_of(Inner, 4) end},
              {3, fun() -> list_of(Inner, 4) end},
              {1, fun() -> [Inner(), Inner() | Inner()] end},
              {2, fun() -> maps:from_list(list_of(fun() -> {Inner(), Inner()} end, 4)) end}]).

leaf() ->
    weighted([{5, fun() -> integer(-200, 200) end}, {3, fun big_integer/0}, {3, fun a_float/0},
              {4, fun an_atom/0}, {3, fun() -> {'$', one_of(kinds()), integer(1, 3)} end},
              {3, fun() -> rand:bytes(integer(0, 12)) end},
              {2, fun() -> Size = integer(0, 40), <<(integer(0, 1 bsl 40)):Size>> end},
              {4, fun() -> one_of({{}, [], #{}, {'$', neg_zero}, 0.0}) end}]).

big_integer() ->
    Bits = one_of({31, 32, 58, 59, 60, 63, 64, 65, 128, 2000}),
    one_of({1, -1}) * ((1 bsl Bits) + integer(-2, 2)).

a_float() ->
    one_of({1.0, -1.0, 1.5, 100.0, 1.0e308, 5.0e-324, integer(-1000, 1000) / 16}).

an_atom() ->
    one_of({a, b, '', true, false, undefined, 'Erlang atom', 'žluť', '日本語', '$end_of_table'}).

%% Kinds of terms of which resolve/2 has three examples.
kinds() ->
    {pid, port, ref, magic, closure, external_fun, far_pid, far_port, far_ref}.

%% Whole binaries, parts of them, some to be compressed, and bit strings, from 0 to 100 KB;
%% maps of up to 100 entries with keys of all kinds; deep and long terms.
large() ->
    weighted([{6, fun() -> {'$', binary, integer(0, 300), integer(0, 7)} end},
              {1, fun() -> {'$', binary, one_of({4096, 4097, 65535, 65536, 100000}),
                            integer(0, 7)} end},
              {4, fun() -> {'$', part, integer(0, 600), integer(0, 7)} end},
              {1, fun() -> {'$', part, integer(0, 100000), integer(0, 7)} end},
              {2, fun() -> {'$', text, integer(0, 3000), integer(0, 7)} end},
              {2, fun() -> {'$', bits, integer(0, 5000), integer(0, 7)} end},
              {4, fun() -> {'$', map, integer(0, 100), integer(0, 7)} end},
              {1, fun() -> {'$', deep, integer(1, 300), integer(0, 3)} end},
              {1, fun() -> {'$', integers, integer(0, 1200)} end}]).

%%% Making the terms

%% @doc What resolve/2 needs, once for all cases.
-spec env() -> map().
env() ->
    Pids = [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, 3)],
    Ports = [open_port({spawn_driver, "ram_file_drv"}, []) || _ <- lists:seq(1, 3)],
    #{pid => list_to_tuple(Pids),
      port => list_to_tuple(Ports),
      ref => list_to_tuple([make_ref() || _ <- lists:seq(1, 3)]),
      magic => list_to_tuple([atomics:new(1, []) || _ <- lists:seq(1, 3)]),
      closure => list_to_tuple([closure(I) || I <- [1, "two", self()]]),
      external_fun => {fun lists:map/2, fun erlang:self/0, fun no_module:no_function/3},
      far_pid => list_to_tuple([far(pid, I) || I <- lists:seq(1, 3)]),
      far_port => list_to_tuple([far(port, I) || I <- lists:seq(1, 3)]),
      far_ref => list_to_tuple([far(ref, I) || I <- lists:seq(1, 3)]),
      neg_zero => zero(1),
      bytes => << <<(erlang:phash2(I)):27, 1:5>> || I <- lists:seq(1, 30000)>>}.

%% @doc Ends the processes of an env.
-spec stop(map()) -> ok.
stop(#{pid := Pids, port := Ports}) ->
    [Pid ! stop || Pid <- tuple_to_list(Pids)],
    [port_close(Port) || Port <- tuple_to_list(Ports)],
    ok.

%% @doc The env of one case, whose pids are those of the processes that make the calls.
-spec case_env(map(), Pids :: tuple(), KeyPos :: pos_integer(), Pool :: [term()]) -> map().
case_env(Env, Pids, KeyPos, Pool) ->
    Env1 = Env#{pid => Pids, keypos => KeyPos, slots => #{},
                neg_zero => zero(case are_zeros_kept(KeyPos) of true -> 1; false -> 0 end)},
    Env1#{key => list_to_tuple([resolve(Key, Env1) || Key <- Pool])}.

%% @doc Whether a case with this key position has zeros of both signs. If not, its bags may be
%% fixed: see the exception revived_zeros.
-spec are_zeros_kept(KeyPos :: pos_integer()) -> boolean().
are_zeros_kept(KeyPos) ->
    KeyPos =:= 3 orelse zero(0) =/= zero(1).

closure(Value) ->
    fun(X) -> {X, Value} end.

%% Identifiers of another node, from the external term format.
far(Kind, N) ->
    Node = <<100, 10:16, "other@host">>,
    binary_to_term(case Kind of
                       pid -> <<131, 88, Node/binary, N:32, 0:32, 5:32>>;
                       port -> <<131, 89, Node/binary, N:32, 5:32>>;
                       ref -> <<131, 90, 3:16, Node/binary, 5:32, N:32, N:32, N:32>>
                   end).

%% @doc A term with -0.0 for 0.0 and 0.0 for -0.0.
-spec other_zeros(term()) -> term().
other_zeros(Term) ->
    map_zeros(fun(Sign) -> 1 - Sign end, Term).

%% @doc One of the terms that are the same key in the running release: to 26 with zeros of any
%% sign.
-spec plain_key(term()) -> term().
plain_key(Key) ->
    case zero(0) =:= zero(1) of
        true -> map_zeros(fun(_) -> 0 end, Key);
        false -> Key
    end.

map_zeros(Fun, Float) when is_float(Float) ->
    case <<Float/float>> of
        <<Sign:1, 0:63>> -> zero(Fun(Sign));
        _ -> Float
    end;
map_zeros(Fun, [Head | Tail]) ->
    [map_zeros(Fun, Head) | map_zeros(Fun, Tail)];
map_zeros(Fun, Tuple) when is_tuple(Tuple) ->
    list_to_tuple(map_zeros(Fun, tuple_to_list(Tuple)));
map_zeros(Fun, Map) when is_map(Map) ->
    maps:from_list(map_zeros(Fun, maps:to_list(Map)));
map_zeros(_Fun, Term) ->
    Term.

zero(Sign) ->
    <<Zero/float>> = <<Sign:1, 0:63>>,
    Zero.

%% @doc A term of a case made whole.
-spec resolve(term(), map()) -> term().
resolve(Special, Env) when is_tuple(Special), element(1, Special) =:= '$' ->
    special(Special, Env);
resolve(Tuple, Env) when is_tuple(Tuple) ->
    list_to_tuple([resolve(T, Env) || T <- tuple_to_list(Tuple)]);
resolve([Head | Tail], Env) ->
    [resolve(Head, Env) | resolve(Tail, Env)];
resolve(Map, Env) when is_map(Map) ->
    maps:from_list([{resolve(K, Env), resolve(V, Env)} || {K, V} <- maps:to_list(Map)]);
resolve(Term, _Env) ->
    Term.

special({'$', slot, Slot}, #{slots := Slots}) ->
    maps:get(Slot, Slots, xets_prop_nobody);
special({'$', keypos}, #{keypos := KeyPos}) ->
    KeyPos;
special({'$', object, Key, Values}, #{keypos := KeyPos} = Env) ->
    {Before, After} = lists:split(min(KeyPos - 1, length(Values)), resolve(Values, Env)),
    list_to_tuple(Before ++ [resolve(Key, Env) | After]);
special({'$', objects, From, Count, Value}, #{keypos := KeyPos} = Env) ->
    Object = erlang:make_tuple(max(2, KeyPos), resolve(Value, Env)),
    [setelement(KeyPos, Object, I) || I <- lists:seq(From, From + Count - 1)];
special({'$', group, Key, From, Count}, #{keypos := KeyPos} = Env) ->
    Objects = special({'$', objects, From, Count, group}, Env),
    [setelement(KeyPos, erlang:append_element(Object, element(KeyPos, Object)), resolve(Key, Env))
     || Object <- Objects];
special({'$', keys, From, Count}, _Env) ->
    lists:seq(From, From + Count - 1);
special({'$', neg_zero}, #{neg_zero := Zero}) ->
    Zero;
special({'$', binary, Size, From}, #{bytes := Bytes}) ->
    binary:copy(binary:part(Bytes, From, Size));
special({'$', part, Size, From}, #{bytes := Bytes}) ->
    binary:part(Bytes, From, Size);
special({'$', text, Size, From}, #{bytes := Bytes}) ->
    binary:part(binary:copy(binary:part(Bytes, From, 60), 51), 0, Size);
special({'$', bits, Size, From}, #{bytes := Bytes}) ->
    <<_:From, Bits:Size/bits, _/bits>> = Bytes,
    Bits;
special({'$', integers, N}, _Env) ->
    lists:seq(1, N);
special({'$', map, Size, Kind}, Env) ->
    maps:from_list([{map_key(I, Env), I + Kind} || I <- lists:seq(1, Size)]);
special({'$', deep, Depth, Kind}, _Env) ->
    lists:foldl(fun(_, T) -> nest(Kind, T) end, [], lists:seq(1, Depth));
special({'$', Kind, N}, Env) ->
    element(N, maps:get(Kind, Env)).

%% Keys by whose kinds the order of a map is decided.
map_key(I, Env) ->
    case I rem 9 of
        0 -> I;
        1 -> I * 1.0;
        2 -> I bsl 64;
        3 -> {I};
        4 -> [I];
        5 -> <<I:13>>;
        6 -> integer_to_binary(I);
        7 -> {I, special({'$', far_pid, 1}, Env)};
        8 -> #{I => special({'$', neg_zero}, Env)}
    end.

nest(0, T) -> {T};
nest(1, T) -> [T];
nest(2, T) -> [a | T];
nest(3, T) -> {a, [T | b]}.
