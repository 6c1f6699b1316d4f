defmodule Mix.Tasks.Compile.XetsNative do
  @moduledoc false
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    erl = Path.join([:code.root_dir(), "bin", "erl"])

    case make([], env: [{"ERL", erl}], into: IO.stream()) do
      {_, 0} ->
        # Links priv, which make may have created, into the build.
        Mix.Project.build_structure()
        {:noop, []}

      {_, _} ->
        {:error, []}
    end
  end

  @impl true
  def clean do
    make(["clean"], [])
    :ok
  end

  # GNU make, which has another name on the BSDs.
  defp make(args, options) do
    make =
      System.find_executable("gmake") || System.find_executable("make") ||
        Mix.raise("xets: no make: install GNU make (Debian: apt-get install make)")

    System.cmd(make, ["-s", "-C", "c_src" | args], [{:stderr_to_stdout, true} | options])
  end
end

defmodule Mix.Tasks.Compile.XetsDocs do
  @moduledoc false
  use Mix.Task.Compiler

  # The documentation that `h :xets.lookup` of IEx shows.
  @impl true
  def run(_args) do
    ebin = Mix.Project.compile_path()
    if documented?(Path.join(ebin, "xets.beam")), do: {:noop, []}, else: document(ebin)
  end

  # Spares the start of an emulator: Mix compiles dependencies by path again and again.
  defp documented?(beam) do
    chunks = :beam_lib.chunks(to_charlist(beam), [to_charlist("Docs")], [:allow_missing_chunks])
    match?({:ok, {:xets, [{_, docs}]}} when is_binary(docs), chunks)
  end

  defp document(ebin) do
    escript = Path.join([:code.root_dir(), "bin", "escript"])
    args = [Path.join("src", "xets_docs.escript"), ebin]

    case System.cmd(escript, args, stderr_to_stdout: true, into: IO.stream()) do
      {_, 0} -> {:noop, []}
      {_, _} -> {:error, []}
    end
  end
end

defmodule Xets.MixProject do
  use Mix.Project

  {:ok, [{:application, :xets, properties}]} =
    :file.consult(Path.join([__DIR__, "src", "xets.app.src"]))

  @properties properties

  def project do
    [
      app: :xets,
      version: to_string(@properties[:vsn]),
      description: to_string(@properties[:description]),
      elixir: "~> 1.14",
      compilers: [:xets_native] ++ Mix.compilers() ++ [:xets_docs],
      erlc_paths: ["src"],
      elixirc_paths: ["src"],
      deps: []
    ]
  end

  def application do
    [extra_applications: [], mod: @properties[:mod], registered: @properties[:registered]]
  end
end
