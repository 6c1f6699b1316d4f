defmodule ReadmeTest do
  # The examples of the README, as they stand there.
  use ExUnit.Case, async: true

  @readme Path.join([__DIR__, "..", "README.md"])
  @external_resource @readme

  test "the chat's presence table" do
    [definition, session | _] = blocks("elixir")
    assert [{Presence, _}] = Code.compile_string(definition, "README.md")
    assert run(steps(session, ~r/^iex> (.*)$/), &elixir/2) > 0
  end

  test "the leaderboard" do
    [_, _, definition, session | _] = blocks("elixir")
    assert [{Leaderboard, _}] = Code.compile_string(definition, "README.md")
    assert run(steps(session, ~r/^iex> (.*)$/), &elixir/2) > 0
  end

  test "match specifications made of functions" do
    [_, _, _, _, definition, session | _] = blocks("elixir")
    assert [{People, _}] = Code.compile_string(definition, "README.md")
    assert run(steps(session, ~r/^iex> (.*)$/), &elixir/2) > 0
  end

  test "the Erlang shell" do
    [session | _] = blocks("erlang")
    assert run(steps(session, ~r/^\d+> (.*)$/), &erlang/2) > 0
  end

  test "a query" do
    [_, session | _] = blocks("erlang")
    assert run(steps(session, ~r/^\d+> (.*)$/), &erlang/2) > 0
  end

  test "a snapshot" do
    [_, _, session | _] = blocks("erlang")
    assert run(steps(session, ~r/^\d+> (.*)$/), &erlang/2) > 0
  end

  test "a table in a file" do
    [_, _, _, session | _] = blocks("erlang")
    assert run(steps(session, ~r/^\d+> (.*)$/), &erlang/2) > 0
  end

  test "a durable table, its recovery and a backup" do
    [_, _, _, _, session | _] = blocks("erlang")
    on_exit(fn -> Enum.each(["/tmp/accounts", "/tmp/accounts.monday"], &File.rm_rf!/1) end)
    assert run(steps(session, ~r/^\d+> (.*)$/), &erlang/2) > 0
  end

  # The blocks of code in a language.
  defp blocks(language) do
    for [_, block] <- Regex.scan(~r/^```#{language}\n(.*?)^```$/ms, File.read!(@readme)),
        do: block
  end

  # What is typed, and what is shown then: nothing, where the result is not shown.
  defp steps(session, prompt) do
    session
    |> String.split("\n", trim: true)
    |> Enum.reduce([], fn line, steps ->
      case {Regex.run(prompt, line), steps} do
        {[_, typed], _} -> [{typed, ""} | steps]
        {nil, [{typed, shown} | steps]} -> [{typed, shown <> line} | steps]
      end
    end)
    |> Enum.reverse()
  end

  # The number of results that were compared.
  defp run(steps, eval) do
    {_bindings, compared} =
      Enum.reduce(steps, {[], 0}, fn {typed, shown}, {bindings, compared} ->
        {value, bindings} = eval.(typed, bindings)

        if shown == "" do
          {bindings, compared}
        else
          {expected, _} = eval.(shown, bindings)
          assert {typed, value} == {typed, expected}
          {bindings, compared + 1}
        end
      end)

    compared
  end

  defp elixir(text, bindings), do: Code.eval_string(text, bindings)

  defp erlang(text, bindings) do
    {:ok, tokens, _} =
      :erl_scan.string(String.to_charlist(String.trim_trailing(text, ".") <> "."))

    {:ok, expressions} = :erl_parse.parse_exprs(tokens)
    {:value, value, bindings} = :erl_eval.exprs(expressions, bindings)
    {value, bindings}
  end
end
