defmodule Xets.Persistent do
  @moduledoc """
  Tables that are there again after their owner has ended: the interface of `PersistentEts`, of
  the package persistent_ets, on durable tables.

  A table is made by `new/3` in place of `Xets.new/2`. All functions of `Xets` are used with it as
  with any other table, but for `give_away/3` and `delete/1`, for which there are those of this
  module.

  As any table it goes with its owner, and what was in it stays in its directory, where the next
  `new/3` finds it:

      iex> dir = Path.join(System.tmp_dir!(), "xets_persistent_#{System.pid()}")
      iex> {owner, monitor} =
      ...>   spawn_monitor(fn ->
      ...>     Xets.Persistent.new(:towns, dir, [:named_table])
      ...>     Xets.insert(:towns, {"Oslo", 709_000})
      ...>     exit(:crash)
      ...>   end)
      iex> receive do {:DOWN, ^monitor, :process, ^owner, :crash} -> :ok end
      iex> Xets.Persistent.new(:towns, dir, [:named_table])
      iex> Xets.tab2list(:towns)
      [{"Oslo", 709_000}]
      iex> Xets.Persistent.delete(:towns)
      iex> Xets.destroy(dir)
      :ok

  ## What is lost, and when

  `PersistentEts` writes the whole table to a file from time to time, and what was written to the
  table since the last time is lost in a crash. Here each change is written when it is made, and
  what is lost depends on the level (`:persist_opts` of `new/3`): by default nothing, if the owner
  or the emulator crash or are killed, and at most what was written in the last period
  (`:persist_every`), if the machine loses its power.

  ## The process beside the owner

  For each table a process brings to the disk, period by period, what was written. It is linked to
  the owner: if it fails, because the files cannot be written any more, so does the owner, unless
  that traps exits. When the table goes it ends, and tells nobody. It follows the table to a new
  owner: at once to that of `give_away/3` and to the heir, whose option `PersistentEts` needs for
  itself and which is free here; and within a period to one to whom `Xets.give_away/3` has given
  it.

  ## Coming from persistent_ets

  The path is that of a directory, and not of a file. A file that `PersistentEts` has written is
  read by `Xets.file2tab/2`, once:

      table = Xets.Persistent.new(:towns, "cities", [:named_table])
      {:ok, _} = Xets.file2tab("cities.tab", table: table)

  """

  @behaviour GenServer

  @type option ::
          Xets.option()
          | {:persist_every, pos_integer}
          | {:persist_opts, [persist_option]}

  @type persist_option ::
          {:sync, :memory | :os | :disk | boolean}
          | {:checkpoint_after, non_neg_integer}
          | {:extended_info, [:object_count | :md5sum]}

  @period 60_000
  # The longest time of a timer.
  @longest_period 0xFFFFFFFF

  @doc """
  Makes a table that is kept in the directory `path`: the one that is there already, with what it
  has, or a new one.

  The calling process becomes its owner. Options are those of `Xets.new/2`, but for `:private`, as
  another process brings the table to the disk, and `:durable`; and
    * `persist_every: milliseconds` - how often all that was written is brought to the disk.
      Default 60,000;
    * `persist_opts: options` - a list of
        * `sync: :memory | :os | :disk` - when a write to the table returns: at once; when it is
          with the operating system, and so survives the end of the emulator (the default); when
          it is on the disk. `false` and `true`, as `PersistentEts` has them, are both `:os`: once
          in a period all is on the disk anyway;
        * `checkpoint_after: bytes` - see `Xets.new/2`;
        * `extended_info: list` - accepted as by `PersistentEts`. Files are always verified.

  Returns the name, if the table is named, else an identifier. Raises `ArgumentError` as
  `Xets.new/2` does, also if what the directory has cannot be read, or has another type or key
  position; nothing is made anew then.
  """
  @spec new(atom, Path.t(), [option]) :: Xets.table()
  def new(name, path, options \\ []) when is_atom(name) and is_list(options) do
    {every, options} = pop(options, :persist_every, @period)
    {persist, options} = pop(options, :persist_opts, [])

    every in 1..@longest_period ||
      raise ArgumentError, ":persist_every is not a number of milliseconds: #{inspect(every)}"

    :private in options &&
      raise ArgumentError, "a private table cannot be persistent: another process looks after it"

    Enum.any?(options, &match?({:durable, _}, &1)) &&
      raise ArgumentError, "the option :durable is made from the path and :persist_opts"

    table = Xets.new(name, [{:durable, durable(path, persist)} | options])
    {:ok, _} = GenServer.start(__MODULE__, {self(), identifier(table), every})
    table
  end

  @doc """
  Makes the process `pid` the owner of the table, which tells it so by the message
  `{:"ETS-TRANSFER", table, from_pid, gift_data}`, as `Xets.give_away/3` does.

  When this returns the process beside the owner is linked to the new one, and not to the old one.
  Returns `true`. Raises `ArgumentError` as `Xets.give_away/3` does.
  """
  @spec give_away(Xets.table(), pid, term) :: true
  def give_away(table, pid, gift_data) do
    keeper = keeper(table)
    true = Xets.give_away(table, pid, gift_data)
    look(keeper)
  end

  @doc """
  Returns `:ok` when all that was written to the table before is on the disk; or `{:error,
  reason}`, for `Xets.format_error/1`, if it cannot be written any more. For every process.
  """
  @spec flush(Xets.table()) :: :ok | {:error, term}
  def flush(table), do: Xets.sync(table)

  @doc """
  Deletes the table when all that was written to it is on the disk. The directory stays (see
  `Xets.destroy/1`): the next `new/3` finds there what was in the table.

  Returns `true`. Raises `ArgumentError` as `Xets.delete/1` does.
  """
  @spec delete(Xets.table()) :: true
  def delete(table) do
    keeper = keeper(table)
    true = Xets.delete(table)
    look(keeper)
  end

  # As for other options, the last one counts.
  defp pop(options, key, default) do
    {found, others} = Enum.split_with(options, &match?({^key, _}, &1))
    {Enum.reduce(found, default, fn {_, value}, _ -> value end), others}
  end

  defp durable(path, persist) when is_list(persist) do
    Enum.reduce(persist, %{dir: path}, fn
      {:sync, sync}, map when is_boolean(sync) -> Map.put(map, :sync, :os)
      {key, value}, map when key in [:sync, :checkpoint_after] -> Map.put(map, key, value)
      {:extended_info, list}, map when is_list(list) -> map
      other, _ -> raise ArgumentError, ":persist_opts cannot have #{inspect(other)}"
    end)
  end

  defp durable(_path, other),
    do: raise(ArgumentError, ":persist_opts is not a list: #{inspect(other)}")

  defp identifier(table) when is_atom(table), do: Xets.whereis(table)
  defp identifier(table), do: table

  ## Who keeps a table

  # It is linked to the owner, and says which table it keeps: there is no list of tables, which
  # would need a process that lives longer than any of them. Nobody, where it has yet to follow
  # the table to this owner: it will, and then sees what else has become of it.
  defp keeper(table) do
    with identifier when is_reference(identifier) <- identifier(table),
         owner when is_pid(owner) <- Xets.info(identifier, :owner),
         {:links, links} <- Process.info(owner, :links) do
      Enum.find(links, &keeps?(&1, identifier))
    else
      _ -> nil
    end
  end

  defp keeps?(pid, identifier) when is_pid(pid) and node(pid) == node() do
    case Process.info(pid, :dictionary) do
      {:dictionary, dictionary} -> {__MODULE__, identifier} in dictionary
      nil -> false
    end
  end

  defp keeps?(_port_or_remote, _identifier), do: false

  # Returns when the keeper knows what has become of its table. If it has ended, it did.
  defp look(nil), do: true

  defp look(keeper) do
    GenServer.call(keeper, :look, :infinity)
  catch
    :exit, _ -> true
  end

  ## The keeper

  @impl true
  def init({owner, table, every}) do
    Process.flag(:trap_exit, true)
    Process.put(__MODULE__, table)
    Process.link(owner)
    {:ok, again(%{owner: owner, table: table, every: every})}
  end

  @impl true
  def handle_call(:look, _from, state) do
    case follow(state) do
      :gone -> {:stop, :normal, true, state}
      state -> {:reply, true, state}
    end
  end

  @impl true
  def handle_info(:persist, state) do
    result = persist(state.table)

    # A table that has been closed meanwhile is no failure.
    case {follow(state), result} do
      {:gone, _} -> {:stop, :normal, state}
      {state, :ok} -> {:noreply, again(state)}
      {state, {:error, reason}} -> {:stop, {:not_persistent, reason}, state}
    end
  end

  # Of the owner, or of one before.
  def handle_info({:EXIT, _pid, _reason}, state) do
    case follow(state) do
      :gone -> {:stop, :normal, state}
      state -> {:noreply, state}
    end
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp persist(table) do
    Xets.sync(table)
  rescue
    # There is no such table any more.
    ArgumentError -> :ok
  end

  # To the owner that the table has now. One that is dead by then ends the link at once, and is
  # followed again.
  defp follow(%{owner: owner, table: table} = state) do
    case Xets.info(table, :owner) do
      ^owner ->
        state

      :undefined ->
        Process.unlink(owner)
        :gone

      other ->
        Process.link(other)
        Process.unlink(owner)
        %{state | owner: other}
    end
  end

  defp again(%{every: every} = state) do
    Process.send_after(self(), :persist, every)
    state
  end
end
