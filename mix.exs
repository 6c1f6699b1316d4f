defmodule Mix.Tasks.Compile.XetsNative do
  @moduledoc false
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    erl = Path.join([:code.root_dir(), "bin", "erl"])

    case System.cmd("make", ["-s", "-C", "c_src"],
           env: [{"ERL", erl}],
           into: IO.stream(),
           stderr_to_stdout: true
         ) do
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
    System.cmd("make", ["-s", "-C", "c_src", "clean"])
    :ok
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
      compilers: [:xets_native] ++ Mix.compilers(),
      erlc_paths: ["src"],
      elixirc_paths: ["src"],
      deps: []
    ]
  end

  def application do
    [extra_applications: []]
  end
end
