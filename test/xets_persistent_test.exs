defmodule Xets.PersistentTest do
  use ExUnit.Case, async: true

  alias Xets.Persistent

  # The machine may have other work.
  @patience 10_000

  doctest Xets.Persistent

  setup do
    name = "xets_persistent_#{System.pid()}_#{System.unique_integer([:positive])}"
    dir = Path.join(System.tmp_dir!(), name)
    on_exit(fn -> File.rm_rf!(dir) end)
    {:ok, dir: dir}
  end

  describe "new/3" do
    test "finds what an owner has left that was killed", %{dir: dir} do
      for n <- 1..5 do
        owner = owner(fn -> Xets.insert(Persistent.new(:t, dir), {n, n}) end)
        kill(owner)
      end

      table = Persistent.new(:t, dir)
      assert Enum.sort(Xets.tab2list(table)) == for(n <- 1..5, do: {n, n})
      assert Xets.info(table, :owner) == self()
      Persistent.delete(table)
    end

    test "has the options of a table, of which the heir is one", %{dir: dir} do
      me = self()
      options = [:ordered_set, :public, :named_table, {:keypos, 2}, {:heir, me, :mine}]
      owner = owner(fn -> Persistent.new(:with_options, dir, options) end)
      Xets.insert(:with_options, [{:b, 2}, {:a, 1}])
      assert Xets.tab2list(:with_options) == [{:a, 1}, {:b, 2}]
      keeper = keeper(owner)
      kill(owner)
      assert_receive {:"ETS-TRANSFER", :with_options, ^owner, :mine}, @patience
      # It has followed when it has got over the old owner's end.
      :sys.get_state(keeper)
      assert keeper == keeper(me)
      assert Xets.info(:with_options, :owner) == me
      Persistent.delete(:with_options)
      refute Process.alive?(keeper)
    end

    test "refuses a private table, and options that it does not know", %{dir: dir} do
      for options <- [
            [:private],
            [persist_every: 0],
            [persist_every: 0x100000000],
            [persist_every: :often],
            [persist_opts: :sync],
            [persist_opts: [:sync]],
            [persist_opts: [sync: :often]],
            [durable: dir],
            [:no_option]
          ] do
        assert_raise ArgumentError, fn -> Persistent.new(:t, dir, options) end
      end

      refute File.exists?(dir)
    end

    test "refuses a directory that is in use, or has another table", %{dir: dir} do
      table = Persistent.new(:t, dir, [:bag])
      in_use = message(fn -> Persistent.new(:u, dir, [:bag]) end)
      assert in_use =~ "the directory is that of the table"
      Persistent.delete(table)
      assert message(fn -> Persistent.new(:u, dir) end) =~ "a table with type bag"
    end

    test "keeps the level that :persist_opts say", %{dir: dir} do
      for {persist, level} <- [
            {[], :os},
            {[sync: true, extended_info: [:md5sum]], :os},
            {[sync: :memory], :memory},
            {[sync: :disk, checkpoint_after: 1_000_000], :disk}
          ] do
        table = Persistent.new(:t, dir, persist_opts: persist)
        assert %{sync: ^level} = Xets.info(table, :durable)
        Persistent.delete(table)
      end
    end
  end

  test "all is brought to the disk period by period", %{dir: dir} do
    table = Persistent.new(:t, dir, persist_every: 1, persist_opts: [sync: :memory])
    keeper = keeper(self())
    Xets.insert(table, for(n <- 1..100, do: {n, n}))
    :erlang.trace(keeper, true, [:receive])
    # It gets the second one after it has dealt with the first.
    assert_receive {:trace, ^keeper, :receive, :persist}, @patience
    assert_receive {:trace, ^keeper, :receive, :persist}, @patience
    assert %{unsynced: 0, unwritten: 0} = Xets.info(table, :durable)
    Persistent.delete(table)
  end

  test "flush/1 brings all to the disk, for any process", %{dir: dir} do
    table = Persistent.new(:t, dir, persist_opts: [sync: :memory])
    Xets.insert(table, for(n <- 1..100, do: {n, n}))
    assert Task.await(Task.async(fn -> Persistent.flush(table) end)) == :ok
    assert %{unsynced: 0} = Xets.info(table, :durable)
    Persistent.delete(table)
  end

  test "delete/1 leaves the directory, and no process", %{dir: dir} do
    Process.flag(:trap_exit, true)
    table = Persistent.new(:t, dir)
    keeper = keeper(self())
    Xets.insert(table, {1, 1})
    assert Persistent.delete(table)
    assert Xets.info(table) == :undefined
    refute Process.alive?(keeper)
    refute_received {:EXIT, ^keeper, _}
    assert Xets.verify(dir) == :ok
    assert_raise ArgumentError, fn -> Persistent.delete(table) end
  end

  test "give_away/3 takes the process beside the owner along", %{dir: dir} do
    table = Persistent.new(:t, dir)
    keeper = keeper(self())
    other = owner(fn -> :ok end)
    assert Persistent.give_away(table, other, :gift)
    assert Xets.info(table, :owner) == other
    assert keeper(other) == keeper
    assert keeper(self()) == nil
    assert_raise ArgumentError, fn -> Persistent.give_away(table, self(), :not_mine) end
    monitor = Process.monitor(keeper)
    kill(other)
    assert_receive {:DOWN, ^monitor, :process, ^keeper, :normal}, @patience
    assert Xets.info(table) == :undefined
  end

  test "a table that Xets.give_away/3 has given away is followed", %{dir: dir} do
    table = Persistent.new(:t, dir, persist_every: 1)
    keeper = keeper(self())
    other = owner(fn -> :ok end)
    Xets.give_away(table, other, :gift)
    :erlang.trace(keeper, true, [:receive])
    assert_receive {:trace, ^keeper, :receive, :persist}, @patience
    assert_receive {:trace, ^keeper, :receive, :persist}, @patience
    assert keeper(other) == keeper
    kill(other)
  end

  test "the owner goes when its persistence does", %{dir: dir} do
    owner = owner(fn -> Xets.insert(Persistent.new(:t, dir), {1, 1}) end)
    monitor = Process.monitor(owner)
    Process.exit(keeper(owner), :kill)
    assert_receive {:DOWN, ^monitor, :process, ^owner, :killed}, @patience
    table = Persistent.new(:t, dir)
    assert Xets.tab2list(table) == [{1, 1}]
    Persistent.delete(table)
  end

  # In an emulator whose files may have 30 MB.
  test "an owner whose table cannot be written any more is told why, by its end", %{dir: dir} do
    program = """
    {Owner, Monitor} = spawn_monitor(fun() ->
        Options = [{persist_every, 1}, {persist_opts, [{sync, memory}]}],
        T = 'Elixir.Xets.Persistent':new(t, <<"#{dir}">>, Options),
        catch xets:insert(T, {1, <<0:800000000>>}),
        receive after infinity -> ok end
    end),
    receive
        {'DOWN', Monitor, process, Owner, {not_persistent, Reason}} ->
            io:format("ended: ~ts~n", [xets:format_error(Reason)])
    end,
    halt(0).
    """

    paths = for module <- [Xets, Kernel], do: ["-pa ", Path.dirname(:code.which(module)), " "]
    erl = Path.join([:code.root_dir(), "bin", "erl"])
    run = "exec #{erl} -noshell -noinput #{paths} -eval \"$PROGRAM\""
    arguments = ["-c", "trap '' XFSZ; ulimit -f 60000; " <> run]
    options = [env: [{"PROGRAM", program}], stderr_to_stdout: true]
    {printed, 0} = System.cmd("sh", arguments, options)
    assert printed =~ ~r/^ended: .*#{dir}/m
  end

  test "a file of PersistentEts is read once", %{dir: dir} do
    file = to_charlist(dir <> ".tab")
    old = :ets.new(:t, [])
    :ets.insert(old, {1, 1})
    :ok = :ets.tab2file(old, file)
    table = Persistent.new(:t, dir)
    assert {:ok, ^table} = Xets.file2tab(file, table: table)
    File.rm!(file)
    Persistent.delete(table)
    table = Persistent.new(:t, dir)
    assert Xets.tab2list(table) == [{1, 1}]
    Persistent.delete(table)
  end

  # A process that lives on when it has run this.
  defp owner(fun) do
    me = self()

    owner =
      spawn(fn ->
        fun.()
        send(me, {:ready, self()})
        Process.sleep(:infinity)
      end)

    assert_receive {:ready, ^owner}, @patience
    owner
  end

  defp kill(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _}, @patience
  end

  defp keeper(owner) do
    {:links, links} = Process.info(owner, :links)

    Enum.find(links, fn pid ->
      is_pid(pid) and List.keymember?(elem(Process.info(pid, :dictionary), 1), Persistent, 0)
    end)
  end

  defp message(fun), do: Exception.message(assert_raise(ArgumentError, fun))
end
