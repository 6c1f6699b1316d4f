defmodule Xets.PersistentTest do
  use ExUnit.Case, async: true

  alias Xets.Persistent

  doctest Xets.Persistent

  setup do
    dir = Path.join(System.tmp_dir!(), "xets_persistent_#{System.pid()}_#{System.unique_integer()}")
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
      assert_receive {:"ETS-TRANSFER", :with_options, ^owner, :mine}
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
      assert message(fn -> Persistent.new(:u, dir, [:bag]) end) =~ "the directory is that of the table"
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
    :erlang.trace(keeper, true, [:receive])
    Xets.insert(table, for(n <- 1..100, do: {n, n}))
    # The second one that it gets is after the first has been dealt with.
    assert_receive {:trace, ^keeper, :receive, :persist}
    assert_receive {:trace, ^keeper, :receive, :persist}
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
    assert_receive {:DOWN, ^monitor, :process, ^keeper, :normal}
    assert Xets.info(table) == :undefined
  end

  test "a table that Xets.give_away/3 has given away is followed", %{dir: dir} do
    table = Persistent.new(:t, dir, persist_every: 1)
    keeper = keeper(self())
    :erlang.trace(keeper, true, [:receive])
    other = owner(fn -> :ok end)
    Xets.give_away(table, other, :gift)
    assert_receive {:trace, ^keeper, :receive, :persist}
    assert_receive {:trace, ^keeper, :receive, :persist}
    :sys.get_state(keeper)
    assert keeper(other) == keeper
    kill(other)
  end

  test "the owner goes when its persistence does", %{dir: dir} do
    owner = owner(fn -> Xets.insert(Persistent.new(:t, dir), {1, 1}) end)
    monitor = Process.monitor(owner)
    Process.exit(keeper(owner), :kill)
    assert_receive {:DOWN, ^monitor, :process, ^owner, :killed}
    table = Persistent.new(:t, dir)
    assert Xets.tab2list(table) == [{1, 1}]
    Persistent.delete(table)
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

    assert_receive {:ready, ^owner}, 5000
    owner
  end

  defp kill(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _}
  end

  defp keeper(owner) do
    {:links, links} = Process.info(owner, :links)

    Enum.find(links, fn pid ->
      is_pid(pid) and List.keymember?(elem(Process.info(pid, :dictionary), 1), Persistent, 0)
    end)
  end

  defp message(fun), do: Exception.message(assert_raise(ArgumentError, fun))
end
