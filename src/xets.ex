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

  Functions that `:ets` lacks are marked as such. What the documentation of a function calls

    * *atomic* is done wholly or not at all, also when it fails;
    * *isolated* is never seen half done by a read of a single key.

  What is not guaranteed: that several reads, or a read of several keys, see the table at
  one instant.

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

  @doc """
  Creates a table owned by the calling process.

  Options, of which a later one overrides an earlier one:

    * `:set` - the type of the table: one object a key, keys compared with `===`. Default,
      and the one type that can be created.
    * `:public`, `:protected`, `:private` - who may use the table. Default `:protected`: all
      processes read, the owner writes.
    * `:named_table` - the table can be used by its name until it is deleted.
    * `{:keypos, pos}` - which element of an object is its key. Default 1.
    * `{:heir, :none}` - the table is deleted when its owner ends.
    * `{:write_concurrency, false | true | :auto}` - with `true` and `:auto` the table starts
      out prepared for many writers at once. Without, it adapts to them.
    * `{:read_concurrency, boolean}`, `{:decentralized_counters, boolean}`, `:compressed` -
      accepted as by `:ets`, and shown by `info/1`. Readers never lock, and objects are stored
      compactly, whatever these say.

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

  A map with `:version`, `:terms` (how terms are converted), `:tables` (their number),
  `:bytes` (the memory of all tables, which `:erlang.memory/0` does not count) and others,
  which may change.

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
  `:safe_fixed_monotonic_time`, `:binary`, `:stats` and, not in `:ets`, `:xets`: a map of
  figures about the memory and the structure of the table.

      iex> table = Xets.new(:facts)
      iex> Xets.insert(table, [{1}, {2}])
      iex> Xets.info(table, :size)
      2

  """
  @spec info(table, atom) :: term | :undefined
  defdelegate info(table, item), to: :xets

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

  An object replaces the one that has the same key; of objects in the list that have the
  same key, the last is kept. Atomic and isolated, lists included.

      iex> table = Xets.new(:colours)
      iex> Xets.insert(table, {:sky, :blue})
      true
      iex> Xets.insert(table, [{:sky, :grey}, {:grass, :green}])
      true
      iex> Xets.lookup(table, :sky)
      [sky: :grey]

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
  Removes the object that has this key, if there is one.

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
  Removes an object, if the table has one that is equal to it (`===`).

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
  Removes the object that has this key, and returns a list of it, or `[]`.

  Of several processes that take the same key, one gets the object.

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
  A list of the object that has this key, or `[]`.

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

  Positions count from 1. Raises `ArgumentError` if there is no such object or element.

      iex> table = Xets.new(:users)
      iex> Xets.insert(table, {7, "Ada", :admin})
      iex> Xets.lookup_element(table, 7, 2)
      "Ada"

  """
  @spec lookup_element(table, term, pos_integer) :: term
  defdelegate lookup_element(table, key, pos), to: :xets

  @doc """
  Element `pos` of the object that has this key, or `default` if there is none.

      iex> table = Xets.new(:users)
      iex> Xets.lookup_element(table, 8, 2, "nobody")
      "nobody"

  """
  @spec lookup_element(table, term, pos_integer, term) :: term
  defdelegate lookup_element(table, key, pos, default), to: :xets

  @doc """
  Several elements of the object that has this key: those at the positions in a tuple.
  Nothing else of the object is copied. Not in `:ets`.

      iex> table = Xets.new(:users)
      iex> Xets.insert(table, {7, "Ada", :admin, "London"})
      iex> Xets.lookup_elements(table, 7, {4, 2})
      {"London", "Ada"}

  """
  @spec lookup_elements(table, term, tuple) :: tuple
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
  A list of all objects, in no particular order.

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
  Adds to one or more elements of the object that has this key, and returns the new value
  or values.

  The operation is an integer, added to the element after the key; `{pos, increment}`;
  `{pos, increment, threshold, set_value}`, which sets the element to `set_value` when the
  result passes the threshold (above it, or below it for a negative increment); or a list of
  such tuples, done from first to last. Atomic and isolated.

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

  Returns `false` if there is no such object. Atomic and isolated.

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
end
