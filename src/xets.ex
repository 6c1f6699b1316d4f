defmodule Xets do
  @moduledoc """
  Tables of Erlang terms, with the interface of `:ets`.

  The functions are those of the Erlang module `:xets`, with the same arguments and
  results.

      iex> table = Xets.new(:squares, [:public])
      iex> Xets.insert(table, [{1, 1}, {2, 4}, {3, 9}])
      true
      iex> Xets.lookup(table, 2)
      [{2, 4}]
      iex> Xets.lookup(table, 4)
      []

  A table holds tuples, the *objects*. One element of each object, by default the first,
  is its key. A table is created by a process, its owner, and is deleted when that process
  ends. Objects are copied into the table by a write and out of it by a read.

  The type of a table says how many objects may have one key: in a `:set` one; in a `:bag`
  several, no two of them equal; in a `:duplicate_bag` several, equal ones too. Keys, and
  objects, are equal if they are by `===`. The objects of a key in a bag are kept in the order
  in which they were inserted.

  In an `:ordered_set` one object may have one key, and objects are kept in the order of their
  keys, which is that of terms. Keys are equal there if they are by `==`: `1` and `1.0` are one
  key, of which the object has the one that was inserted with it.

  Functions that `:ets` lacks are marked as such. What the documentation of a function calls

    * *atomic* is done wholly or not at all, also when it fails;
    * *isolated* is never seen half done by a read of a single key.

  What is not guaranteed: that several reads, or a read of several keys, see the table at
  one instant. For that there is `snapshot/1`.

  ## Traversal

  `first/1` and `next/2` go through the keys of a table, in an order of no meaning that does
  not change; those of an `:ordered_set` in ascending order. A key that is there throughout is
  met once, whatever is inserted and deleted meanwhile; one that is inserted or deleted
  meanwhile may or may not be met. `next/2` fails for a key that has been deleted, unless that
  was while the table was fixed (`safe_fixtable/2`), or the table is an `:ordered_set`: there
  any term will do, and the next key is the least one that is greater. `last/1` and `prev/2` go
  through an `:ordered_set` in descending order. For other tables they are the same as
  `first/1` and `next/2`, as in `:ets`.

  ## Ordered tables

  An `:ordered_set` is asked for ranges of keys, for keys that begin with something, how many
  there are, and for positions. A leaderboard has the score before the player in its keys:

      iex> board = Xets.new(:leaderboard, [:ordered_set])
      iex> Xets.insert(board, [{{70, "Ada"}}, {{95, "Alan"}}, {{80, "Grace"}}, {{90, "Edsger"}}])
      iex> Xets.last_n(board, 2)
      [{{95, "Alan"}}, {{90, "Edsger"}}]

  Grace's place is one more than the number of those above her:

      iex> board = Xets.new(:leaderboard, [:ordered_set])
      iex> Xets.insert(board, [{{70, "Ada"}}, {{95, "Alan"}}, {{80, "Grace"}}, {{90, "Edsger"}}])
      iex> 1 + Xets.count(board, {80, "Grace"}, nil, from: :exclusive, to: :unbounded)
      3

  and who is next to her, below:

      iex> board = Xets.new(:leaderboard, [:ordered_set])
      iex> Xets.insert(board, [{{70, "Ada"}}, {{95, "Alan"}}, {{80, "Grace"}}, {{90, "Edsger"}}])
      iex> {below, _more} =
      ...>   Xets.range(board, nil, {80, "Grace"},
      ...>     from: :unbounded, to: :exclusive, reverse: true, limit: 1)
      iex> below
      [{{70, "Ada"}}]

  ## Upgrades

  Loading another release of the Erlang module, as a release upgrade does, keeps all tables,
  and may happen while they are in use. A release that would have to keep them in another
  layout refuses to load; the one in use goes on.

  ## Errors

  Every function raises `ArgumentError` when the table does not exist, or when the calling
  process may not read it (`:private`, and the caller is not the owner) or may not write it
  (not `:public`, and the caller is not the owner). The message says which argument was
  wrong and why:

      Xets.insert(:no_such_table, {1, 1})
      ** (ArgumentError) errors were found at the given arguments:

        * 1st argument: the table identifier does not refer to an existing table

  Any write raises `SystemLimitError`, and leaves the table as it was, when there is no
  memory for it.
  """

  @typedoc "A table: its name, if it is named, or the identifier that `new/2` returned."
  @type table :: :xets.table()

  @typedoc "An option of `new/2`."
  @type option :: :xets.option()

  @typedoc "What `update_counter/3` does to one element."
  @type update_op :: :xets.update_op()

  @typedoc "What `update_element/3` does to one element."
  @type element_spec :: :xets.element_spec()

  @typedoc "An option of `prefix/3` and `range/4`."
  @type page_option :: {:limit, pos_integer} | {:reverse, boolean} | :reverse

  @typedoc "An option of `count/4` and `range/4`."
  @type end_option :: {:from | :to, :inclusive | :exclusive | :unbounded}

  @typedoc "Which objects are looked at for a match specification."
  @type plan :: :xets.plan()

  @typedoc "What is left of a range, or of the results of a match specification."
  @type continuation :: :xets.continuation()

  @typedoc """
  A term in which `:_` stands for anything, and `:"$1"` and the like for what is the same wherever
  the variable occurs.
  """
  @type match_pattern :: :xets.match_pattern()

  @typedoc "Clauses `{head, guards, body}`, the first of which that matches an object counts."
  @type match_spec :: :xets.match_spec()

  @doc """
  Creates a table owned by the calling process.

  Options, of which a later one overrides an earlier one:

    * `:set`, `:ordered_set`, `:bag`, `:duplicate_bag` - the type of the table. Default `:set`.
    * `:public`, `:protected`, `:private` - who may use the table. Default `:protected`: all
      processes read, the owner writes.
    * `:named_table` - the table can be used by its name until it is deleted.
    * `{:keypos, pos}` - which element of an object is its key. Default 1.
    * `{:heir, :none}` - the table is deleted when its owner ends. Default.
    * `{:heir, pid, heir_data}` - when the owner ends, the process `pid`, if it is alive then,
      becomes the owner, and is sent the message `{:"ETS-TRANSFER", table, from_pid, heir_data}`.
    * `{:heir, pid}` - the same without the message.
    * `{:write_concurrency, false | true | :auto}` - with `true` and `:auto` the table starts
      out prepared for many writers at once. Without, it adapts to them.
    * `:compressed` - objects are compressed, but for their keys, if they are large enough and it
      saves something. Binaries of up to 1 MiB are compressed, too, and then are copied to
      whoever reads them; other tables share them. Every read of a compressed object, be it of
      one element, decompresses it.
    * `{:durable, path}`, `{:durable, %{dir: path}}` - the table is kept in a directory: if there is a
      table in it, that is recovered, else a new one is made. The type, the key position and
      `:compressed` must be those that it was made with. The map may have `:sync`, when a write
      returns: `:memory`, at once (it is saved when the emulator stops, but not when that is
      killed); `:os`, when it is with the operating system, and so survives the end of the
      emulator (the default); `:disk`, when it is on the disk; and `:checkpoint_after`, after so
      many bytes of changes the table is written anew (`checkpoint/1`). While it is open the table
      stays in that directory, also if it is moved, or the path comes to lead to another one. A
      write that cannot be kept raises `ErlangError` with `{:durable, reason}`, and later ones
      `ArgumentError`. A disk that does not answer holds up the writes and the closing of all
      durable tables;
    * `{:read_concurrency, boolean}`, `{:decentralized_counters, boolean}` - accepted as by
      `:ets`, and shown by `info/1`. Readers never lock, whatever these say.

  Returns the name, if the table is named, else an identifier.

  ## Examples

      iex> Xets.new(:cache, [:named_table, :public, read_concurrency: true])
      :cache
      iex> Xets.info(:cache, :protection)
      :public

  """
  @spec new(atom, [option]) :: table
  def new(name, options \\ []), do: :xets.new(name, options)

  @doc """
  Deletes the table.

  Its memory is given back by another thread. Atomic and isolated; O(1) for the caller.

      iex> table = Xets.new(:short_lived)
      iex> Xets.delete(table)
      true
      iex> Xets.info(table)
      :undefined

  """
  @spec delete(table) :: true
  defdelegate delete(table), to: :xets

  @doc """
  Facts about this library. Not in `:ets`.

  A map with `:version`, `:terms` (how terms are converted, `:native` or `:portable`),
  `:native_terms` (the kinds of terms that are read and built where they lie: `:tuple`, `:list`,
  `:float`, `:bignum`, `:map`, `:large_map`, `:binary`, `:bit_string`, `:reference`, `:slice`),
  `:tables` (their number), `:bytes` (the memory of all tables, which `:erlang.memory/0` does not
  count) and others, which may change.

  What is native is decided when the library is loaded for the first time: kinds of terms that
  are found to be represented in exactly the expected form, and only on releases of OTP for which
  that was tested. If the environment variable `XETS_TERMS` is `portable` then, nothing is native.

      iex> %{tables: tables} = Xets.info()
      iex> is_integer(tables)
      true

  """
  @spec info() :: %{required(:version) => charlist, optional(atom) => term}
  defdelegate info(), to: :xets

  @doc """
  Facts about a table, as a keyword list, or `:undefined` if there is no such table.

      iex> table = Xets.new(:facts, [{:keypos, 2}])
      iex> Keyword.take(Xets.info(table), [:name, :keypos, :type])
      [name: :facts, type: :set, keypos: 2]

  """
  @spec info(table) :: keyword | :undefined
  defdelegate info(table), to: :xets

  @doc """
  One fact about a table, or `:undefined` if there is no such table.

  Besides the items of `info/1` there are `:fixed`, `:safe_fixed`,
  `:safe_fixed_monotonic_time`, `:binary`, `:stats` and, not in `:ets`, `:durable` (see `:xets.info/2`) and `:snapshot`: whether it is
  one, and `:xets`: a map of figures about the memory and the structure of the table.

      iex> table = Xets.new(:facts)
      iex> Xets.insert(table, [{1}, {2}])
      iex> Xets.info(table, :size)
      2

  """
  @spec info(table, atom) :: term | :undefined
  defdelegate info(table, item), to: :xets

  @doc """
  All tables: their names, if they are named, and identifiers.

      iex> table = Xets.new(:one_of_many)
      iex> table in Xets.all()
      true

  """
  @spec all() :: [table]
  defdelegate all(), to: :xets

  @doc """
  Gives the table another name, and returns it; or `table`, if the table is not named.

      iex> table = Xets.new(:today, [:named_table])
      iex> Xets.insert(table, {:visits, 1})
      iex> Xets.rename(:today, :yesterday)
      :yesterday
      iex> {Xets.whereis(:today), Xets.lookup(:yesterday, :visits)}
      {:undefined, [visits: 1]}

  """
  @spec rename(table, atom) :: table
  defdelegate rename(table, name), to: :xets

  @doc """
  A snapshot of the table: what it has at this instant, to be read for as long as it is needed.
  Not in `:ets`.

  Every function that reads tables reads it, and finds the same at any time, whatever becomes of
  the table; of a list of objects that is inserted at the same time it has all or none. Functions
  that would change it raise. Any process that has the identifier may read it, and it lives as
  long as something has the identifier, or until the process that has made it calls `delete/1`.

  It shares the memory of the table: what changes in the table is copied before, piece by piece.
  What the table has no more is counted in the `:memory` of the snapshot (`info/2`). Atomic and
  isolated; O(number of segments), some hundred microseconds for a million objects.

      iex> table = Xets.new(:accounts)
      iex> Xets.insert(table, ada: 70, alan: 30)
      iex> snapshot = Xets.snapshot(table)
      iex> Xets.insert(table, ada: 0, alan: 100)
      iex> Xets.lookup_many(snapshot, [:ada, :alan])
      [[ada: 70], [alan: 30]]

  """
  @spec snapshot(table) :: reference
  defdelegate snapshot(table), to: :xets

  @doc """
  Gives the table to another process.

  The process becomes the owner, and is sent the message
  `{:"ETS-TRANSFER", table, from_pid, gift_data}`. Only the owner can give a table away. Atomic
  and isolated: the table has an owner at any time.

      iex> table = Xets.new(:work)
      iex> worker =
      ...>   Task.async(fn ->
      ...>     receive do
      ...>       {:"ETS-TRANSFER", table, _from, :your_turn} -> Xets.info(table, :owner) == self()
      ...>     end
      ...>   end)
      iex> Xets.give_away(table, worker.pid, :your_turn)
      true
      iex> Task.await(worker)
      true

  """
  @spec give_away(table, pid, term) :: true
  defdelegate give_away(table, pid, gift_data), to: :xets

  @doc """
  Sets the heir of the table: `{:heir, pid, heir_data}`, `{:heir, pid}` or `{:heir, :none}`, with
  the meaning that they have for `new/2`, or a list of at most one of them.

      iex> table = Xets.new(:heirloom)
      iex> Xets.setopts(table, {:heir, self(), :yours})
      true
      iex> Xets.info(table, :heir) == self()
      true

  """
  @spec setopts(table, heir | [heir]) :: true
        when heir: {:heir, pid, term} | {:heir, pid | :none}
  defdelegate setopts(table, options), to: :xets

  @doc """
  Fixes the table for the calling process, or takes such a fixation away.

  While a table is fixed by any process, a traversal by `first/1` and `next/2` can go on from a
  key that has been deleted. Fixations are counted; a process has none left when it ends. Keys
  that are deleted meanwhile take memory until nobody fixes the table any more.

      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, for(n <- 1..3, do: {n, n * n}))
      iex> Xets.safe_fixtable(table, true)
      true
      iex> first = Xets.first(table)
      iex> Xets.delete(table, first)
      iex> second = Xets.next(table, first)
      iex> Xets.safe_fixtable(table, false)
      iex> second in [1, 2, 3] and second != first
      true

  """
  @spec safe_fixtable(table, boolean) :: true
  defdelegate safe_fixtable(table, fix), to: :xets

  @doc """
  Prints a line for each table: its identifier or name, the name given to `new/2`, its type,
  the number of its objects, the words of memory it takes, and its owner.

      Xets.i()
       id              name              type  size   mem      owner
       ----------------------------------------------------------------------------
       sessions        sessions          set   1000   5201     'Elixir.Sessions'

  """
  @spec i() :: :ok
  defdelegate i(), to: :xets

  @doc """
  Shows the objects of a table on the terminal, page by page.

  After each page it asks what to do:

    * `c`, or nothing - show the next page;
    * `p` and a number - print the object with this number in full;
    * `/` and a regular expression - show the objects whose text it matches, from the first on;
    * `k` - delete the table;
    * `q` - end.

  """
  @spec i(table) :: :ok
  defdelegate i(table), to: :xets

  @doc """
  The identifier of a named table, or `:undefined`.

      iex> Xets.whereis(:nobody)
      :undefined
      iex> Xets.new(:somebody, [:named_table])
      iex> is_reference(Xets.whereis(:somebody))
      true

  """
  @spec whereis(atom) :: reference | :undefined
  defdelegate whereis(name), to: :xets

  @doc """
  Puts an object, or all objects of a list, into the table.

  In a `:set` or an `:ordered_set` an object replaces the one that has the same key, and of
  objects in the list that have the same key, the last is kept. In a bag the objects come after
  those that have the same key, in the order of the list; a `:bag` that has an equal object
  already keeps it where it is. Atomic and isolated, lists included.

      iex> table = Xets.new(:colours)
      iex> Xets.insert(table, {:sky, :blue})
      true
      iex> Xets.insert(table, [{:sky, :grey}, {:grass, :green}])
      true
      iex> Xets.lookup(table, :sky)
      [sky: :grey]
      iex> bag = Xets.new(:moods, [:bag])
      iex> Xets.insert(bag, [{:sky, :blue}, {:sky, :grey}, {:sky, :blue}])
      true
      iex> Xets.lookup(bag, :sky)
      [sky: :blue, sky: :grey]

  """
  @spec insert(table, tuple | [tuple]) :: true
  defdelegate insert(table, object_or_objects), to: :xets

  @doc """
  Puts an object, or all objects of a list, into the table if none of their keys is there.

  Returns `false`, and changes nothing, if any of the keys is in the table. Atomic and
  isolated, lists included.

      iex> table = Xets.new(:colours)
      iex> Xets.insert_new(table, {:sky, :blue})
      true
      iex> Xets.insert_new(table, [{:sky, :grey}, {:grass, :green}])
      false
      iex> Xets.member(table, :grass)
      false

  """
  @spec insert_new(table, tuple | [tuple]) :: boolean
  defdelegate insert_new(table, object_or_objects), to: :xets

  @doc """
  Puts an object into the table if its key is not there. Not in `:ets`.

  Returns the object that the table has for the key afterwards: the given one, or the one that
  was there already. Not for bags. Atomic and isolated: of several processes that put objects
  with one key, one succeeds, and all get its object.

      iex> table = Xets.new(:leaders)
      iex> Xets.put_new(table, {:shard, "a"})
      {:shard, "a"}
      iex> Xets.put_new(table, {:shard, "b"})
      {:shard, "a"}

  """
  @spec put_new(table, tuple) :: tuple
  defdelegate put_new(table, object), to: :xets

  @doc """
  Removes all objects that have this key.

      iex> table = Xets.new(:colours)
      iex> Xets.insert(table, {:sky, :blue})
      iex> Xets.delete(table, :sky)
      true
      iex> Xets.lookup(table, :sky)
      []

  """
  @spec delete(table, term) :: true
  defdelegate delete(table, key), to: :xets

  @doc """
  Removes the objects that have these keys. Faster than as many calls of `delete/2`. Not in
  `:ets`.

  The removal of the objects of one key is atomic and isolated, but not that of all.

      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, for(n <- 1..9, do: {n, n * n}))
      iex> Xets.delete_many(table, [1, 2, 3, 10])
      true
      iex> Xets.info(table, :size)
      6

  """
  @spec delete_many(table, [term]) :: true
  defdelegate delete_many(table, keys), to: :xets

  @doc """
  Removes an object, if the table has one that is equal to it (`===`), in a `:duplicate_bag`
  all that are.

      iex> table = Xets.new(:colours)
      iex> Xets.insert(table, {:sky, :blue})
      iex> Xets.delete_object(table, {:sky, :grey})
      true
      iex> Xets.lookup(table, :sky)
      [sky: :blue]

  """
  @spec delete_object(table, tuple) :: true
  defdelegate delete_object(table, object), to: :xets

  @doc """
  Removes all objects. Atomic and isolated; O(1) for the caller.

      iex> table = Xets.new(:colours)
      iex> Xets.insert(table, [{:sky, :blue}, {:grass, :green}])
      iex> Xets.delete_all_objects(table)
      true
      iex> Xets.info(table, :size)
      0

  """
  @spec delete_all_objects(table) :: true
  defdelegate delete_all_objects(table), to: :xets

  @doc """
  Removes all objects that have this key, and returns a list of them.

  Of several processes that take the same key, one gets an object.

      iex> table = Xets.new(:queue)
      iex> Xets.insert(table, {:job, 1})
      iex> Xets.take(table, :job)
      [job: 1]
      iex> Xets.take(table, :job)
      []

  """
  @spec take(table, term) :: [tuple]
  defdelegate take(table, key), to: :xets

  @doc """
  Removes the objects that have these keys, and returns a list of what `take/2` returns for
  each of them. Faster than as many calls. Not in `:ets`.

  The removal of the objects of one key is atomic and isolated, but not that of all.

      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, for(n <- 1..9, do: {n, n * n}))
      iex> Xets.take_many(table, [3, 10, 4])
      [[{3, 9}], [], [{4, 16}]]
      iex> Xets.member(table, 3)
      false

  """
  @spec take_many(table, [term]) :: [[tuple]]
  defdelegate take_many(table, keys), to: :xets

  @doc """
  A list of the objects that have this key: in a `:set` or an `:ordered_set` of one or none, in a
  bag in the order in which they were inserted.

      iex> table = Xets.new(:colours)
      iex> Xets.insert(table, {:sky, :blue})
      iex> Xets.lookup(table, :sky)
      [sky: :blue]
      iex> Xets.lookup(table, :sea)
      []

  """
  @spec lookup(table, term) :: [tuple]
  defdelegate lookup(table, key), to: :xets

  @doc """
  Element `pos` of the object that has this key. Nothing else of the object is copied.

  Positions count from 1. In a bag: the list of the elements of all objects that have this key,
  in the order of `lookup/2`. Raises `ArgumentError` if there is no such object or element.

      iex> table = Xets.new(:users)
      iex> Xets.insert(table, {7, "Ada", :admin})
      iex> Xets.lookup_element(table, 7, 2)
      "Ada"
      iex> bag = Xets.new(:emails, [:bag])
      iex> Xets.insert(bag, [{7, "ada@work"}, {7, "ada@home"}])
      iex> Xets.lookup_element(bag, 7, 2)
      ["ada@work", "ada@home"]

  """
  @spec lookup_element(table, term, pos_integer) :: term
  defdelegate lookup_element(table, key, pos), to: :xets

  @doc """
  As `lookup_element/3`, but returns `default` if no object has the key.

      iex> table = Xets.new(:users)
      iex> Xets.lookup_element(table, 8, 2, "nobody")
      "nobody"

  """
  @spec lookup_element(table, term, pos_integer, term) :: term
  defdelegate lookup_element(table, key, pos, default), to: :xets

  @doc """
  Several elements of the object that has this key: those at the positions in a tuple.
  Nothing else of the object is copied. In a bag: the list of such tuples of all objects that
  have this key. Not in `:ets`.

      iex> table = Xets.new(:users)
      iex> Xets.insert(table, {7, "Ada", :admin, "London"})
      iex> Xets.lookup_elements(table, 7, {4, 2})
      {"London", "Ada"}

  """
  @spec lookup_elements(table, term, tuple) :: tuple | [tuple]
  defdelegate lookup_elements(table, key, positions), to: :xets

  @doc """
  A list of what `lookup/2` returns for each of the keys. Faster than as many calls. Not in
  `:ets`.

  Each lookup is of one instant, but not all of the same.

      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, for(n <- 1..9, do: {n, n * n}))
      iex> Xets.lookup_many(table, [3, 10, 4])
      [[{3, 9}], [], [{4, 16}]]

  """
  @spec lookup_many(table, [term]) :: [[tuple]]
  defdelegate lookup_many(table, keys), to: :xets

  @doc """
  Whether an object has this key.

      iex> table = Xets.new(:colours)
      iex> Xets.member(table, :sky)
      false

  """
  @spec member(table, term) :: boolean
  defdelegate member(table, key), to: :xets

  @doc """
  A list of all objects, in no particular order; of an `:ordered_set`, in the order of keys.

  An object that is in the table throughout is in the list once; one that is inserted or
  removed meanwhile may or may not be.

      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, [{1, 1}, {2, 4}])
      iex> Enum.sort(Xets.tab2list(table))
      [{1, 1}, {2, 4}]

  """
  @spec tab2list(table) :: [tuple]
  defdelegate tab2list(table), to: :xets

  @doc """
  The key with which a traversal begins, or `:"$end_of_table"` if the table is empty. In an
  `:ordered_set` it is the first one in the order of keys.

      iex> table = Xets.new(:colours)
      iex> Xets.first(table)
      :"$end_of_table"
      iex> Xets.insert(table, {:sky, :blue})
      iex> Xets.first(table)
      :sky

  """
  @spec first(table) :: term | :"$end_of_table"
  defdelegate first(table), to: :xets

  @doc """
  The key that follows `key` in a traversal, or `:"$end_of_table"` if there is none. In an
  `:ordered_set` it is the first one in the order of keys that is greater than `key`, which no
  object need have.

  Raises `ArgumentError` if the table is no `:ordered_set`, no object has the key `key`, and none
  that had it was deleted while the table is fixed.

      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, for(n <- 1..3, do: {n, n * n}))
      iex> keys = Stream.iterate(Xets.first(table), &Xets.next(table, &1))
      iex> Enum.sort(Enum.take_while(keys, &(&1 != :"$end_of_table")))
      [1, 2, 3]

  """
  @spec next(table, term) :: term | :"$end_of_table"
  defdelegate next(table, key), to: :xets

  @doc """
  The last key of an `:ordered_set` in the order of keys; for other tables as `first/1`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> Xets.last(table)
      3

  """
  @spec last(table) :: term | :"$end_of_table"
  defdelegate last(table), to: :xets

  @doc """
  The last key of an `:ordered_set` in the order of keys that is less than `key`, which no object
  need have; for other tables as `next/2`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> {Xets.prev(table, 2.5), Xets.prev(table, 1)}
      {2, :"$end_of_table"}

  """
  @spec prev(table, term) :: term | :"$end_of_table"
  defdelegate prev(table, key), to: :xets

  @doc """
  As `first/1`, but returns the objects of the key too, as `lookup/2` does. The key and its
  objects are of one instant.

      iex> table = Xets.new(:moods, [:bag])
      iex> Xets.insert(table, [{:sky, :blue}, {:sky, :grey}])
      iex> Xets.first_lookup(table)
      {:sky, [sky: :blue, sky: :grey]}

  """
  @spec first_lookup(table) :: {term, [tuple]} | :"$end_of_table"
  defdelegate first_lookup(table), to: :xets

  @doc """
  As `next/2`, but returns the objects of the next key too, as `lookup/2` does. The key and its
  objects are of one instant.

      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, [{1, 1}, {2, 4}])
      iex> {first, [_]} = Xets.first_lookup(table)
      iex> {second, [{second, square}]} = Xets.next_lookup(table, first)
      iex> square == second * second
      true
      iex> Xets.next_lookup(table, second)
      :"$end_of_table"

  """
  @spec next_lookup(table, term) :: {term, [tuple]} | :"$end_of_table"
  defdelegate next_lookup(table, key), to: :xets

  @doc """
  As `last/1`, but returns the objects of the key too, as `lookup/2` does.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> Xets.last_lookup(table)
      {3, [{3, 9}]}

  """
  @spec last_lookup(table) :: {term, [tuple]} | :"$end_of_table"
  defdelegate last_lookup(table), to: :xets

  @doc """
  As `prev/2`, but returns the objects of the previous key too, as `lookup/2` does.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> Xets.prev_lookup(table, 3)
      {2, [{2, 4}]}

  """
  @spec prev_lookup(table, term) :: {term, [tuple]} | :"$end_of_table"
  defdelegate prev_lookup(table, key), to: :xets

  @doc """
  The objects in slot `i` of the table, or `:"$end_of_table"` for the number after the last slot.

  The slots are numbered from 0, and each object of a table that does not change is in one of
  them. How many there are, and which objects share one, means nothing; but in an `:ordered_set`
  each object has its own, in the order of keys.

      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, [{1, 1}, {2, 4}, {3, 9}])
      iex> slots = Stream.map(Stream.iterate(0, &(&1 + 1)), &Xets.slot(table, &1))
      iex> Enum.sort(Enum.concat(Enum.take_while(slots, &is_list/1)))
      [{1, 1}, {2, 4}, {3, 9}]

  """
  @spec slot(table, non_neg_integer) :: [tuple] | :"$end_of_table"
  defdelegate slot(table, i), to: :xets

  @doc """
  The objects in a range of keys, in their order. As `range(table, from, to, [])`. Not in `:ets`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..9, do: {n, n * n}))
      iex> Xets.range(table, 3, 5.5)
      [{3, 9}, {4, 16}, {5, 25}]

  """
  @spec range(table, term, term) :: [tuple]
  defdelegate range(table, from, to), to: :xets

  @doc """
  The objects of an `:ordered_set` in a range of keys, in their order. Not in `:ets`.

  Those whose keys are not less than `from` and not greater than `to`, neither of which any object
  need have. Options, of which a later one overrides an earlier one:

    * `from: :inclusive | :exclusive | :unbounded` - `:exclusive`: an object with the key `from`
      does not belong to it. `:unbounded`: there is no such end, and `from` is not looked at.
    * `to: :inclusive | :exclusive | :unbounded` - the same of `to`.
    * `reverse: boolean` - in descending order: the object with the greatest key comes first.
    * `limit: n` - in pages of up to `n` objects.

  Returns a list; with a limit `{objects, continuation}`, where `range/1` goes on with the
  continuation, `{objects, :"$end_of_table"}` if there are fewer than that, and
  `:"$end_of_table"` if there is none. A continuation holds nothing but keys: it costs nothing to
  keep, survives all changes of the table, and may be used more than once.

  An object that is in the table throughout is met once, in all pages together; one that is
  inserted or removed meanwhile may or may not be.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..9, do: {n, n * n}))
      iex> {[{9, 81}, {8, 64}], more} =
      ...>   Xets.range(table, 5, nil, to: :unbounded, reverse: true, limit: 2)
      iex> {page, _} = Xets.range(more)
      iex> page
      [{7, 49}, {6, 36}]

  """
  @spec range(table, term, term, [page_option | end_option]) ::
          [tuple] | {[tuple], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate range(table, from, to, options), to: :xets

  @doc """
  The next page of what `range/4` or `prefix/3` has returned a continuation of. Not in `:ets`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..9, do: {n, n * n}))
      iex> {_, more} = Xets.range(table, 1, 3, limit: 2)
      iex> Xets.range(more)
      {[{3, 9}], :"$end_of_table"}

  """
  @spec range(continuation | :"$end_of_table") ::
          {[tuple], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate range(continuation), to: :xets

  @doc """
  The objects whose keys begin with a prefix. As `prefix(table, prefix, [])`. Not in `:ets`.

      iex> table = Xets.new(:hosts, [:ordered_set])
      iex> Xets.insert(table, [{"org.erlang", 1}, {"org.elixir-lang", 2}, {"com.example", 3}])
      iex> Xets.prefix(table, "org.")
      [{"org.elixir-lang", 2}, {"org.erlang", 1}]

  """
  @spec prefix(table, tuple | list | binary) :: [tuple]
  defdelegate prefix(table, prefix), to: :xets

  @doc """
  The objects of an `:ordered_set` whose keys begin with a prefix, in their order. Not in `:ets`.

  The prefix is

    * a tuple: the keys are tuples of its size, or larger ones, whose first elements are equal
      (`==`) to its elements;
    * a list: the keys are lists that begin with its elements;
    * a binary: the keys are bit strings that begin with its bits.

  Options are `limit: n` and `reverse: boolean`. They, the results and the continuations are as
  those of `range/4`.

      iex> table = Xets.new(:messages, [:ordered_set])
      iex> Xets.insert(table, [{{"room", 1}, "hi"}, {{"room", 2}, "hello"}, {{"hall", 3}, "hey"}])
      iex> Xets.prefix(table, {"room"}, reverse: true)
      [{{"room", 2}, "hello"}, {{"room", 1}, "hi"}]

  """
  @spec prefix(table, tuple | list | binary, [page_option]) ::
          [tuple] | {[tuple], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate prefix(table, prefix, options), to: :xets

  @doc """
  As `range/1`. Not in `:ets`.

      iex> table = Xets.new(:hosts, [:ordered_set])
      iex> Xets.insert(table, [{"org.erlang", 1}, {"org.elixir-lang", 2}, {"com.example", 3}])
      iex> {_, more} = Xets.prefix(table, "org.", limit: 1)
      iex> {page, _} = Xets.prefix(more)
      iex> page
      [{"org.erlang", 1}]

  """
  @spec prefix(continuation | :"$end_of_table") ::
          {[tuple], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate prefix(continuation), to: :xets

  @doc """
  The number of objects in a range of keys. As `count(table, from, to, [])`. Not in `:ets`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..9, do: {n, n * n}))
      iex> Xets.count(table, 3, 5.5)
      3

  """
  @spec count(table, term, term) :: non_neg_integer
  defdelegate count(table, from, to), to: :xets

  @doc """
  The number of objects of an `:ordered_set` in a range of keys, with the options `from` and `to`
  of `range/4`. It is not counted: it takes microseconds in a table of millions. Not in `:ets`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..9, do: {n, n * n}))
      iex> Xets.count(table, 3, nil, from: :exclusive, to: :unbounded)
      6

  """
  @spec count(table, term, term, [end_option]) :: non_neg_integer
  defdelegate count(table, from, to, options), to: :xets

  @doc """
  A list of the object of an `:ordered_set` at a position in the order of keys, `[]` if there are
  not so many. Positions count from 1. Not in `:ets`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> {Xets.nth(table, 1), Xets.nth(table, 4)}
      {[{1, 1}], []}

  """
  @spec nth(table, pos_integer) :: [tuple]
  defdelegate nth(table, i), to: :xets

  @doc """
  The position of a key of an `:ordered_set` in the order of keys, or `:undefined` if no object
  has it. The least key has position 1. Not in `:ets`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{30, 900}, {10, 100}, {20, 400}])
      iex> {Xets.rank(table, 20), Xets.rank(table, 25)}
      {2, :undefined}

  """
  @spec rank(table, term) :: pos_integer | :undefined
  defdelegate rank(table, key), to: :xets

  @doc """
  The first `n` objects of an `:ordered_set` in the order of keys, or all if there are fewer. Not in
  `:ets`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> Xets.first_n(table, 2)
      [{1, 1}, {2, 4}]

  """
  @spec first_n(table, non_neg_integer) :: [tuple]
  defdelegate first_n(table, n), to: :xets

  @doc """
  The last `n` objects of an `:ordered_set` in the order of keys, the last one first, or all if
  there are fewer. Not in `:ets`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> Xets.last_n(table, 2)
      [{3, 9}, {2, 4}]

  """
  @spec last_n(table, non_neg_integer) :: [tuple]
  defdelegate last_n(table, n), to: :xets

  @doc """
  Removes the first object of an `:ordered_set` in the order of keys, and returns a list of it, or
  `[]` if the table is empty. Not in `:ets`.

  Atomic and isolated: there is none with a smaller key when it is removed, and of several
  processes each gets another one. So a table can be a priority queue.

      iex> queue = Xets.new(:queue, [:ordered_set])
      iex> Xets.insert(queue, [{{2, :later}}, {{1, :urgent}}, {{3, :some_day}}])
      iex> Xets.take_first(queue)
      [{{1, :urgent}}]
      iex> Xets.take_first(queue)
      [{{2, :later}}]

  """
  @spec take_first(table) :: [tuple]
  defdelegate take_first(table), to: :xets

  @doc """
  As `take_first/1`, from the other end. Not in `:ets`.

      iex> queue = Xets.new(:queue, [:ordered_set])
      iex> Xets.insert(queue, [{{2, :later}}, {{1, :urgent}}, {{3, :some_day}}])
      iex> Xets.take_last(queue)
      [{{3, :some_day}}]

  """
  @spec take_last(table) :: [tuple]
  defdelegate take_last(table), to: :xets

  @doc """
  Which objects of a table a match specification makes the functions look at that take one. Not in
  `:ets`.

  Returns a map, in which `:plan` is

    * `:point` - `:keys` are the keys of the objects: each is looked up.
    * `:range` - the objects are between two keys of an `:ordered_set`, `:from` and `:to`, each of
      which is `{:inclusive, key}`, `{:exclusive, key}` or `:unbounded`. A key of which only the
      beginning is known has `:_` from there on.
    * `:scan` - all objects are looked at.
    * `:nothing` - none is, for none can match.

  and `:engine` is `:native` if objects are looked at as they are stored, and `:ets` if each is made
  a term for `:ets.match_spec_run/2`.

  Keys are told by heads, and by guards that compare the variable that is the key, or the next part
  of a key that is a tuple or a list, with a constant. `:xets.explain/2` has the rules.

      iex> visits = Xets.new(:visits, [:ordered_set])
      iex> plan = Xets.explain(visits, [{{{:user, :"$1"}, :_}, [{:>=, :"$1", 10}], [:"$_"]}])
      iex> {plan.plan, plan.from, plan.to, plan.engine}
      {:range, {:inclusive, {:user, 10}}, {:inclusive, {:user, :_}}, :native}
      iex> Xets.explain(visits, [{{:"$1", :"$2"}, [{:"=:=", :"$1", {{:user, 7}}}], [:"$2"]}])
      %{plan: :point, keys: [{:user, 7}], engine: :native}
      iex> Xets.explain(visits, [{{:"$1", :"$2"}, [{:>, :"$2", 100}], [:"$1"]}])
      %{plan: :scan, engine: :native}

  """
  @spec explain(table, :ets.match_spec()) :: plan
  defdelegate explain(table, match_spec), to: :xets

  @doc """
  Adds to one or more elements of the object that has this key, and returns the new value
  or values.

  The operation is an integer, added to the element after the key; `{pos, increment}`;
  `{pos, increment, threshold, set_value}`, which sets the element to `set_value` when the
  result passes the threshold (above it, or below it for a negative increment); or a list of
  such tuples, done from first to last. Not for bags. Atomic and isolated.

      iex> table = Xets.new(:counters)
      iex> Xets.insert(table, {:hits, 0, 10})
      iex> Xets.update_counter(table, :hits, 1)
      1
      iex> Xets.update_counter(table, :hits, [{2, 5}, {3, 1, 10, 0}])
      [6, 0]

  """
  @spec update_counter(table, term, integer | update_op | [update_op]) ::
          integer | [integer]
  defdelegate update_counter(table, key, update_op), to: :xets

  @doc """
  Does what `update_counter/3` does, to `default` if there is no object with this key. The
  result is put into the table with `key` as its key.

      iex> table = Xets.new(:counters)
      iex> Xets.update_counter(table, :hits, 1, {:hits, 0})
      1
      iex> Xets.update_counter(table, :hits, 1, {:hits, 0})
      2

  """
  @spec update_counter(table, term, integer | update_op | [update_op], tuple) ::
          integer | [integer]
  defdelegate update_counter(table, key, update_op, default), to: :xets

  @doc """
  Replaces one or more elements of the object that has this key: `{pos, value}`, or a list
  of such tuples, done from first to last.

  Returns `false` if there is no such object. Not for bags. Atomic and isolated.

      iex> table = Xets.new(:users)
      iex> Xets.insert(table, {7, "Ada", :user})
      iex> Xets.update_element(table, 7, {3, :admin})
      true
      iex> Xets.lookup(table, 7)
      [{7, "Ada", :admin}]

  """
  @spec update_element(table, term, element_spec | [element_spec]) :: boolean
  defdelegate update_element(table, key, element_spec), to: :xets

  @doc """
  Does what `update_element/3` does, to `default` if there is no object with this key. The
  result is put into the table with `key` as its key.

      iex> table = Xets.new(:users)
      iex> Xets.update_element(table, 7, {3, :admin}, {7, "Ada", :user})
      true
      iex> Xets.lookup(table, 7)
      [{7, "Ada", :admin}]

  """
  @spec update_element(table, term, element_spec | [element_spec], tuple) :: true
  defdelegate update_element(table, key, element_spec, default), to: :xets

  @doc """
  What the variables of a pattern stand for, in each object that it matches: a list of their
  values, in the order of their numbers.

      iex> table = Xets.new(:ages)
      iex> Xets.insert(table, [{"Ada", :maths, 36}, {"Alan", :maths, 41}, {"Grace", :navy, 85}])
      iex> Xets.match(table, {:"$2", :maths, :"$1"}) |> Enum.sort()
      [[36, "Ada"], [41, "Alan"]]
      iex> Xets.match(table, {"Grace", :_, :"$1"})
      [[85]]

  """
  @spec match(table, match_pattern) :: [[term]]
  defdelegate match(table, pattern), to: :xets

  @doc """
  The first `limit` results of `match/2`, and what `match/1` goes on with. As `select/3`.

      iex> table = Xets.new(:ages, [:ordered_set])
      iex> Xets.insert(table, [{"Ada", 36}, {"Alan", 41}, {"Grace", 85}])
      iex> {page, _more} = Xets.match(table, {:"$1", :_}, 2)
      iex> page
      [["Ada"], ["Alan"]]

  """
  @spec match(table, match_pattern, pos_integer) ::
          {[[term]], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate match(table, pattern, limit), to: :xets

  @doc """
  The next page of what `match/3` began. As `select/1`.
  """
  @spec match(continuation | :"$end_of_table") ::
          {[[term]], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate match(continuation), to: :xets

  @doc """
  The objects that match a pattern.

      iex> table = Xets.new(:ages)
      iex> Xets.insert(table, [{"Ada", :maths, 36}, {"Alan", :maths, 41}, {"Grace", :navy, 85}])
      iex> Xets.match_object(table, {:_, :navy, :_})
      [{"Grace", :navy, 85}]

  """
  @spec match_object(table, match_pattern) :: [tuple]
  defdelegate match_object(table, pattern), to: :xets

  @doc """
  The first `limit` results of `match_object/2`, and what `match_object/1` goes on with. As
  `select/3`.

      iex> table = Xets.new(:ages, [:ordered_set])
      iex> Xets.insert(table, [{"Ada", 36}, {"Alan", 41}, {"Grace", 85}])
      iex> {page, _more} = Xets.match_object(table, :_, 2)
      iex> page
      [{"Ada", 36}, {"Alan", 41}]

  """
  @spec match_object(table, match_pattern, pos_integer) ::
          {[tuple], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate match_object(table, pattern, limit), to: :xets

  @doc """
  The next page of what `match_object/3` began. As `select/1`.
  """
  @spec match_object(continuation | :"$end_of_table") ::
          {[tuple], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate match_object(continuation), to: :xets

  @doc """
  Deletes the objects that match a pattern. As `select_delete/2`, but that it returns `true`.

      iex> table = Xets.new(:ages)
      iex> Xets.insert(table, [{"Ada", :maths, 36}, {"Alan", :maths, 41}, {"Grace", :navy, 85}])
      iex> Xets.match_delete(table, {:_, :maths, :_})
      true
      iex> Xets.tab2list(table)
      [{"Grace", :navy, 85}]

  """
  @spec match_delete(table, match_pattern) :: true
  defdelegate match_delete(table, pattern), to: :xets

  @doc """
  What a match specification makes of the objects of a table.

  The result for an object is that of the first clause `{head, guards, body}` whose head and guards
  it matches, and that is the last expression of the body. In an `:ordered_set` results come in the
  order of keys.

  Where heads or guards say which keys can match, only these objects are looked at; in an
  `:ordered_set` that is so for ranges of keys, too. Large tables are scanned on a dirty scheduler.
  Each object is read atomically. One that is in the table throughout is looked at once; one that
  is inserted or removed meanwhile may or may not be.

      iex> table = Xets.new(:ages, [:ordered_set])
      iex> Xets.insert(table, [{"Ada", 36}, {"Alan", 41}, {"Grace", 85}])
      iex> Xets.select(table, [{{:"$1", :"$2"}, [{:>, :"$2", 40}], [:"$1"]}])
      ["Alan", "Grace"]
      iex> Xets.select(table, [{{"Alan", :"$1"}, [], [{{:alan, {:+, :"$1", 1}}}]}])
      [alan: 42]

  """
  @spec select(table, match_spec) :: [term]
  defdelegate select(table, match_spec), to: :xets

  @doc """
  The first `limit` results of `select/2`.

  Returns

    * `{results, continuation}` - and `select/1` goes on with the continuation;
    * `{results, :"$end_of_table"}` - there are no others;
    * `:"$end_of_table"` - there is none.

  There may be no others behind a page of `limit` results, too: `select/1` then returns
  `:"$end_of_table"`. A continuation is a term that survives all changes of the table, and
  `:erlang.term_to_binary/1`, and may be used by any process, and more than once. What `select/2`
  says about objects that change meanwhile holds for all pages together.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..5, do: {n, n * n}))
      iex> {[1, 4, 9], more} = Xets.select(table, [{{:_, :"$1"}, [], [:"$1"]}], 3)
      iex> Xets.select(more)
      {[16, 25], :"$end_of_table"}

  """
  @spec select(table, match_spec, pos_integer) ::
          {[term], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate select(table, match_spec, limit), to: :xets

  @doc """
  The next page of what `select/3`, `select_reverse/3`, `match/3` or `match_object/3` began.

  All pages as a stream:

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..1000, do: {n, n * n}))
      iex> Stream.unfold(
      ...>   Xets.select(table, [{{:_, :"$1"}, [], [:"$1"]}], 100),
      ...>   fn
      ...>     :"$end_of_table" -> nil
      ...>     {page, more} -> {page, Xets.select(more)}
      ...>   end)
      ...> |> Stream.concat()
      ...> |> Enum.sum()
      333833500

  """
  @spec select(continuation | :"$end_of_table") ::
          {[term], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate select(continuation), to: :xets

  @doc """
  As `select/2`, but in an `:ordered_set` in the reverse order of keys.

      iex> table = Xets.new(:ages, [:ordered_set])
      iex> Xets.insert(table, [{"Ada", 36}, {"Alan", 41}, {"Grace", 85}])
      iex> Xets.select_reverse(table, [{{:"$1", :"$2"}, [{:>, :"$2", 40}], [:"$1"]}])
      ["Grace", "Alan"]

  """
  @spec select_reverse(table, match_spec) :: [term]
  defdelegate select_reverse(table, match_spec), to: :xets

  @doc """
  As `select/3`, but in an `:ordered_set` in the reverse order of keys.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..5, do: {n, n * n}))
      iex> {[25, 16, 9], more} = Xets.select_reverse(table, [{{:_, :"$1"}, [], [:"$1"]}], 3)
      iex> Xets.select_reverse(more)
      {[4, 1], :"$end_of_table"}

  """
  @spec select_reverse(table, match_spec, pos_integer) ::
          {[term], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate select_reverse(table, match_spec, limit), to: :xets

  @doc """
  The next page. As `select/1`: the continuation knows the direction.
  """
  @spec select_reverse(continuation | :"$end_of_table") ::
          {[term], continuation | :"$end_of_table"} | :"$end_of_table"
  defdelegate select_reverse(continuation), to: :xets

  @doc """
  How many objects there are for which the result of a match specification is `true`.

      iex> table = Xets.new(:ages)
      iex> Xets.insert(table, [{"Ada", 36}, {"Alan", 41}, {"Grace", 85}])
      iex> Xets.select_count(table, [{{:_, :"$1"}, [{:<, :"$1", 50}], [true]}])
      2

  """
  @spec select_count(table, match_spec) :: non_neg_integer
  defdelegate select_count(table, match_spec), to: :xets

  @doc """
  Deletes the objects for which the result of a match specification is `true`, and returns how many
  they were.

  Atomic and isolated for each object, but not for all of them: an object is deleted if it matches
  in that moment.

      iex> table = Xets.new(:sessions)
      iex> Xets.insert(table, [{"a", :expires, 10}, {"b", :expires, 20}, {"c", :expires, 30}])
      iex> Xets.select_delete(table, [{{:_, :expires, :"$1"}, [{:<, :"$1", 25}], [true]}])
      2
      iex> Xets.tab2list(table)
      [{"c", :expires, 30}]

  """
  @spec select_delete(table, match_spec) :: non_neg_integer
  defdelegate select_delete(table, match_spec), to: :xets

  @doc """
  Removes the objects for which the result of a match specification is `true`, and returns a list of
  them. Not in `:ets`.

  Of several processes that take, one gets an object. Atomic and isolated for each object, but not
  for all of them.

      iex> table = Xets.new(:timers, [:ordered_set])
      iex> Xets.insert(table, [{10, :ping}, {20, :flush}, {30, :ping}])
      iex> Xets.select_take(table, [{{:"$1", :_}, [{:"=<", :"$1", 20}], [true]}])
      [{10, :ping}, {20, :flush}]
      iex> Xets.tab2list(table)
      [{30, :ping}]

  """
  @spec select_take(table, match_spec) :: [tuple]
  defdelegate select_take(table, match_spec), to: :xets

  @doc """
  Replaces the objects that a match specification matches by its results, and returns how many they
  were.

  It has to be evident from the match specification that each result is an object with the key of
  the one that it replaces. Not for a `:bag`. Atomic and isolated for each object, but not for all
  of them.

      iex> table = Xets.new(:stock)
      iex> Xets.insert(table, [{:apples, 5, :fresh}, {:pears, 0, :fresh}, {:plums, 7, :fresh}])
      iex> Xets.select_replace(table, [
      ...>   {{:"$1", :"$2", :fresh}, [{:>, :"$2", 0}], [{{:"$1", :"$2", :old}}]}
      ...> ])
      2
      iex> {Xets.lookup(table, :apples), Xets.lookup(table, :pears)}
      {[{:apples, 5, :old}], [{:pears, 0, :fresh}]}

  """
  @spec select_replace(table, match_spec) :: non_neg_integer
  defdelegate select_replace(table, match_spec), to: :xets

  @doc """
  Replaces the object that has this key by what a match specification makes of it. Not in `:ets`.

  Returns the new object; `false` if there is no object with this key, or no clause matches it. Not
  for bags. Atomic and isolated: when other processes change the object at the same time the match
  specification is run on what it has become.

      iex> table = Xets.new(:stock)
      iex> Xets.insert(table, {:apples, 1})
      iex> take_one = [{{:"$1", :"$2"}, [{:>, :"$2", 0}], [{{:"$1", {:-, :"$2", 1}}}]}]
      iex> Xets.update(table, :apples, take_one)
      {:apples, 0}
      iex> Xets.update(table, :apples, take_one)
      false

  """
  @spec update(table, term, match_spec) :: tuple | false
  defdelegate update(table, key, match_spec), to: :xets

  @doc """
  Makes a continuation usable after `:erlang.binary_to_term/1`.

  In `:ets` a continuation holds a compiled match specification, which does not survive that. Those
  of this module do not, and are returned as they are.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, for(n <- 1..5, do: {n, n * n}))
      iex> spec = [{{:_, :"$1"}, [], [:"$1"]}]
      iex> {[1, 4, 9], more} = Xets.select(table, spec, 3)
      iex> read = more |> :erlang.term_to_binary() |> :erlang.binary_to_term()
      iex> Xets.select(Xets.repair_continuation(read, spec))
      {[16, 25], :"$end_of_table"}

  """
  @spec repair_continuation(continuation | :"$end_of_table", match_spec) ::
          continuation | :"$end_of_table"
  defdelegate repair_continuation(continuation, match_spec), to: :xets

  @doc """
  Compiles a match specification for `match_spec_run/2`.

      iex> compiled = Xets.match_spec_compile([{{:_, :"$1"}, [], [:"$1"]}])
      iex> Xets.match_spec_run([{1, :a}, {2, :b}], compiled)
      [:a, :b]

  """
  @spec match_spec_compile(match_spec) :: :ets.compiled_match_spec()
  defdelegate match_spec_compile(match_spec), to: :xets

  @doc """
  What a compiled match specification makes of the tuples of a list. Those that it does not match
  give nothing.

      iex> compiled = Xets.match_spec_compile([{{:"$1"}, [{:is_atom, :"$1"}], [:"$1"]}])
      iex> Xets.match_spec_run([{:a}, {1}, {:b}], compiled)
      [:a, :b]

  """
  @spec match_spec_run([term], :ets.compiled_match_spec()) :: [term]
  defdelegate match_spec_run(list, compiled_match_spec), to: :xets

  @doc """
  Whether a term is a match specification compiled by `match_spec_compile/1` on this node.

      iex> Xets.is_compiled_ms(Xets.match_spec_compile([{:_, [], [true]}]))
      true
      iex> Xets.is_compiled_ms([{:_, [], [true]}])
      false

  """
  @spec is_compiled_ms(term) :: boolean
  defdelegate is_compiled_ms(term), to: :xets

  @doc """
  What a match specification makes of a tuple: `{:ok, result}`, with `false` for no match, or
  `{:error, errors}`, if it is none.

      iex> Xets.test_ms({"Ada", 36}, [{{:"$1", :"$2"}, [{:>, :"$2", 30}], [:"$1"]}])
      {:ok, "Ada"}
      iex> Xets.test_ms({"Ada", 36}, [{{:_, :"$2"}, [{:>, :"$2", 40}], [true]}])
      {:ok, false}
      iex> Xets.test_ms({"Ada", 36}, [{{:_, :"$2"}, [], [:"$1"]}])
      {:error, [error: ~c"Variable $1 is unbound."]}

  """
  @spec test_ms(tuple, match_spec) :: {:ok, term} | {:error, [{:warning | :error, charlist}]}
  defdelegate test_ms(tuple, match_spec), to: :xets

  @doc """
  Calls a function for each object, with what it returned for the object before.

  In an `:ordered_set` objects come in the order of keys; else in an order of no meaning, but
  those of a key, in a bag, one after the other, in the order of their insertion.

  The table is fixed meanwhile. The function may change it, and sees that: an object that has been
  deleted does not come any more, one that has been replaced comes as it is then, and in an
  `:ordered_set` one that has been inserted further on comes, too. In other tables it may or may
  not. The objects of one key are those that it had when the first of them came.

      iex> table = Xets.new(:ages)
      iex> Xets.insert(table, [{"Ada", 36}, {"Alan", 41}])
      iex> Xets.foldl(fn {_name, age}, sum -> age + sum end, 0, table)
      77

  """
  @spec foldl((tuple, acc -> acc), acc, table) :: acc when acc: term
  defdelegate foldl(function, acc, table), to: :xets

  @doc """
  As `foldl/3`, but in an `:ordered_set` in the reverse order of keys. In other tables keys come
  in the same order, as in `:ets`, but the objects of one key in the reverse order of their
  insertion.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> Xets.foldr(fn {n, _}, ns -> [n | ns] end, [], table)
      [1, 2, 3]

  """
  @spec foldr((tuple, acc -> acc), acc, table) :: acc when acc: term
  defdelegate foldr(function, acc, table), to: :xets

  @doc """
  A query handle for `:qlc`. As `table(table, [])`.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> Xets.insert(table, [{3, 9}, {1, 1}, {2, 4}])
      iex> table |> Xets.table() |> :qlc.e()
      [{1, 1}, {2, 4}, {3, 9}]

  """
  @spec table(table) :: :qlc.query_handle()
  defdelegate table(table), to: :xets

  @doc """
  A query handle of a table, for `:qlc`. Queries are written in Erlang, as list comprehensions;
  here they are strings.

  They look objects up by the key where they say what it is, and otherwise traverse the table,
  which is fixed then. Options:

    * `traverse: :select` - by `select/3`, with a match specification that `:qlc` makes of what
      the query asks of the objects. The default.
    * `traverse: {:select, spec}` - the same with this match specification: the query is about its
      results.
    * `traverse: :first_next`, `traverse: :last_prev` - key by key, from the first one, or from
      the last one.
    * `n_objects: n` - how many results `select/3` returns at once, 100 by default.

  Others are for `:qlc.table/2`.

      iex> users = Xets.new(:users)
      iex> Xets.insert(users, [{"Ada", :london}, {"Grace", :york}])
      iex> cities = Xets.new(:cities)
      iex> Xets.insert(cities, [{:london, "GB"}, {:york, "US"}])
      iex> bindings = [Users: Xets.table(users), Cities: Xets.table(cities, n_objects: 10)]
      iex> ~c"[{Name, Country} || {Name, City} <- Users, {C, Country} <- Cities, City =:= C]."
      ...> |> :qlc.string_to_handle([], bindings)
      ...> |> :qlc.e()
      ...> |> Enum.sort()
      [{"Ada", "GB"}, {"Grace", "US"}]

  """
  @spec table(table, keyword | tuple) :: :qlc.query_handle()
  defdelegate table(table, options), to: :xets

  @doc """
  Makes what a function reads the objects of a table.

  All objects are deleted first. Then the function is called with `:read`, and returns
  `:end_of_input`, or `{objects, next}`: a list of objects, which are inserted one by one, and the
  function to go on with. If one of them cannot be inserted, `next` is called with `:close`, and
  the caller exits.

      iex> table = Xets.new(:squares, [:ordered_set])
      iex> rest = fn :read -> :end_of_input end
      iex> Xets.init_table(table, fn :read -> {[{1, 1}, {2, 4}], rest} end)
      true
      iex> Xets.tab2list(table)
      [{1, 1}, {2, 4}]

  """
  @spec init_table(table, (:read | :close -> term)) :: true
  defdelegate init_table(table, function), to: :xets

  @doc """
  Makes the objects of a table those of an open `:dets` table, which has none of its own
  afterwards. Returns the `:dets` table.

  A private table of more than 100 objects fails: the process of the `:dets` table reads them.

      iex> path = Path.join(System.tmp_dir!(), "xets_to_dets_#{System.pid()}")
      iex> {:ok, dets} = :dets.open_file(:to_dets, file: to_charlist(path))
      iex> table = Xets.new(:squares)
      iex> Xets.insert(table, [{1, 1}, {2, 4}])
      iex> ^dets = Xets.to_dets(table, dets)
      iex> :dets.lookup(dets, 2)
      [{2, 4}]
      iex> :dets.close(dets)
      iex> File.rm(path)
      :ok

  """
  @spec to_dets(table, dets) :: dets when dets: term
  defdelegate to_dets(table, dets), to: :xets

  @doc """
  Inserts the objects of an open `:dets` table, one by one. Those that the table has stay, unless
  they are replaced.

      iex> path = Path.join(System.tmp_dir!(), "xets_from_dets_#{System.pid()}")
      iex> {:ok, dets} = :dets.open_file(:from_dets, file: to_charlist(path))
      iex> :dets.insert(dets, [{1, 1}, {2, 4}])
      iex> table = Xets.new(:squares)
      iex> Xets.from_dets(table, dets)
      true
      iex> Xets.lookup(table, 2)
      [{2, 4}]
      iex> :dets.close(dets)
      iex> File.rm(path)
      :ok

  """
  @spec from_dets(table, term) :: true
  defdelegate from_dets(table, dets), to: :xets

  @doc """
  Writes the table to a file: what it has at one instant, also while others write to it, and the
  options that it was made with but `:heir` and `:durable`.

  Options are
    * `format: :xets | :ets` - our own format, which is read on all machines by all releases, in
      blocks with checksums (the default); or that of `:ets.tab2file/3`, for `:ets.file2tab/1`;
    * `sync: boolean` - whether the file outlives a loss of power when this returns. Default
      `false`;
    * `extended_info: [:object_count | :md5sum]` - as for `:ets`: what `file2tab/2` verifies if it
      is asked to. Files in our own format are always verified.

  A file that is there is replaced when the new one, which is written beside it under another name, is
  whole, and stays as it is if anything fails. Returns `:ok` or `{:error, reason}`, with the reasons
  of `:ets`; `format_error/1` says them in words.

      iex> path = Path.join(System.tmp_dir!(), "xets_tab2file_#{System.pid()}")
      iex> table = Xets.new(:cities, [:ordered_set])
      iex> Xets.insert(table, [{"London", 8_982_000}, {"Oslo", 709_000}])
      iex> Xets.tab2file(table, path, sync: true)
      :ok
      iex> {:ok, copy} = Xets.file2tab(path)
      iex> {Xets.info(copy, :type), Xets.tab2list(copy)}
      {:ordered_set, [{"London", 8_982_000}, {"Oslo", 709_000}]}
      iex> File.rm(path)
      :ok

  """
  @spec tab2file(table, Path.t(), [:xets.tab2file_option()]) :: :ok | {:error, term}
  def tab2file(table, file, options \\ []), do: :xets.tab2file(table, file, options)

  @doc """
  Waits until all that was written to a durable table before is on the disk. Returns `:ok`, or `{:error,
  reason}` if its files cannot be written any more; `format_error/1` says the reason in words.

      iex> dir = Path.join(System.tmp_dir!(), "xets_sync_#{System.pid()}")
      iex> table = Xets.new(:cities, durable: dir)
      iex> Xets.insert(table, {"Oslo", 709_000})
      iex> Xets.sync(table)
      :ok
      iex> Xets.delete(table)
      iex> table = Xets.new(:cities, durable: dir)
      iex> Xets.lookup(table, "Oslo")
      [{"Oslo", 709_000}]
      iex> Xets.delete(table)
      iex> Xets.destroy(dir)
      :ok

  """
  @spec sync(table) :: :ok | {:error, term}
  defdelegate sync(table), to: :xets

  @doc """
  Writes all that a durable table has to a new file, and begins its journal anew, so that it is soon
  recovered. It is used meanwhile as ever. Done by itself, too, when the journal has outgrown the
  table. `{:error, :busy}`: it is being done already.
  """
  @spec checkpoint(table) :: :ok | {:error, :busy | term}
  defdelegate checkpoint(table), to: :xets

  @doc """
  Writes what a durable table has at this instant into another directory, which must be empty: `new/2`
  makes a table of that. It is used meanwhile as ever.

      iex> dir = Path.join(System.tmp_dir!(), "xets_backup_#{System.pid()}")
      iex> table = Xets.new(:cities, durable: dir)
      iex> Xets.insert(table, {"Oslo", 709_000})
      iex> Xets.backup(table, dir <> ".copy")
      :ok
      iex> copy = Xets.new(:cities, durable: dir <> ".copy")
      iex> Xets.tab2list(copy)
      [{"Oslo", 709_000}]
      iex> Enum.each([table, copy], &Xets.delete/1)
      iex> {Xets.verify(dir), Xets.destroy(dir), Xets.destroy(dir <> ".copy")}
      {:ok, :ok, :ok}

  """
  @spec backup(table, Path.t()) :: :ok | {:error, term}
  defdelegate backup(table, dir), to: :xets

  @doc """
  Reads all of the directory of a durable table that nobody has open: `:ok`, or `{:error, reason}` with
  the first place that is not as it was written, for `format_error/1`. What is kept twice has to be
  right in both places, so a directory may be refused that `new/2` opens, and loses nothing of.
  """
  @spec verify(Path.t()) :: :ok | {:error, term}
  defdelegate verify(dir), to: :xets

  @doc """
  Makes the directory of a durable table usable again that is damaged, by leaving out what cannot be
  read; never done by itself. Returns `{:ok, report}`, a map that says what is there, and what was
  lost.
  """
  @spec repair(Path.t()) :: {:ok, map} | {:error, term}
  defdelegate repair(dir), to: :xets

  @doc """
  Removes the files of a durable table that nobody has open, and its directory if nothing else is in
  it. `{:error, reason}`, and nothing is touched, if there is no table.
  """
  @spec destroy(Path.t()) :: :ok | {:error, term}
  defdelegate destroy(dir), to: :xets

  @doc """
  Reads a table from a file, which `tab2file/3` or `:ets.tab2file/3` has written. The calling
  process becomes the owner of a table with the name, the type and the other options of the one that
  was written, and no heir.

  A file in our own format is read as it was written or not at all. Options are
    * `verify: boolean` - for a file in the format of `:ets`: whether damage, and what the extended
      information says, is looked for. Default `false`;
    * `table: table` - the objects are inserted into this table. As in `:ets` it is deleted if that
      fails.

  Returns `{:ok, table}`, or `{:error, reason}`, which `format_error/1` says in words. Files tell
  about atoms and functions, too: read those only that you trust.

      iex> path = Path.join(System.tmp_dir!(), "xets_file2tab_#{System.pid()}")
      iex> table = :ets.new(:cities, [:named_table, :public])
      iex> :ets.insert(table, {"London", 8_982_000})
      iex> :ets.tab2file(table, to_charlist(path))
      :ok
      iex> {:ok, :cities} = Xets.file2tab(path)
      iex> Xets.lookup(:cities, "London")
      [{"London", 8_982_000}]
      iex> {:error, reason} = Xets.file2tab(path)
      iex> reason
      :cannot_create_table
      iex> Xets.format_error(reason)
      'the table cannot be made: is its name taken?'
      iex> File.rm(path)
      :ok

  """
  @spec file2tab(Path.t(), [:xets.file2tab_option()]) :: {:ok, table} | {:error, term}
  def file2tab(file, options \\ []), do: :xets.file2tab(file, options)

  @doc """
  What a file says of the table in it. The objects in it are not looked at.

      iex> path = Path.join(System.tmp_dir!(), "xets_tabfile_info_#{System.pid()}")
      iex> table = Xets.new(:cities)
      iex> Xets.insert(table, {"Oslo", 709_000})
      iex> Xets.tab2file(table, path)
      iex> {:ok, info} = Xets.tabfile_info(path)
      iex> Keyword.take(info, [:name, :type, :size])
      [name: :cities, type: :set, size: 1]
      iex> File.rm(path)
      :ok

  """
  @spec tabfile_info(Path.t()) :: {:ok, keyword} | {:error, term}
  defdelegate tabfile_info(file), to: :xets

  @doc """
  What an error means that `tab2file/3`, `file2tab/2` or `tabfile_info/1` has returned. Not in
  `:ets`.

      iex> Xets.format_error({:read_error, {:file_error, "cities.tab", :enoent}})
      'cities.tab: no such file or directory'

  """
  @spec format_error(term) :: charlist
  defdelegate format_error(reason), to: :xets

  @doc """
  The match specification that a function made in the Erlang shell, or in IEx, says. Programs
  in Elixir have `spec/1` for it.

      Xets.fun2ms(fn {name, age} when age >= 18 -> name end)
      #=> [{{:"$1", :"$2"}, [{:>=, :"$2", 18}], [:"$1"]}]

  """
  @spec fun2ms(fun) :: :ets.match_spec() | {:error, :transform_error}
  defdelegate fun2ms(fun), to: :xets

  @doc """
  A match specification, made of a function when the code is compiled. Not in `:ets`.

  The function has the object as its parameter; its result is what is returned for an object
  that it matches. It may use what match specifications can say, and the values of variables
  around it; whatever else is in it, the compiler stops at it with a `CompileError` that says
  why. `Xets.Spec` says what there is. As it is a macro, `require Xets` comes first.

      iex> require Xets
      iex> adult = 18
      iex> Xets.spec(fn
      ...>   {name, age, _} when age >= adult -> {name, age}
      ...>   {name, _, :emancipated} -> name
      ...> end)
      [
        {{:"$1", :"$2", :_}, [{:>=, :"$2", {:const, 18}}], [{{:"$1", :"$2"}}]},
        {{:"$1", :_, :emancipated}, [], [:"$1"]}
      ]

  """
  defmacro spec(fun), do: Xets.Spec.compile(fun, __CALLER__)
end
