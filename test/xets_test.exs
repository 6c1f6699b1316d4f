defmodule XetsTest do
  use ExUnit.Case, async: true

  doctest Xets

  test "has every function of the Erlang module" do
    others = [module_info: 0, module_info: 1, format_error: 2]

    public =
      for {name, arity} <- :xets.module_info(:exports) -- others,
          not String.ends_with?(Atom.to_string(name), "_nif"),
          do: {name, arity}

    assert public -- Xets.__info__(:functions) == []
  end

  test "a table may be given by name or identifier" do
    name = Xets.new(:by_name, [:named_table])
    Xets.insert(Xets.whereis(name), {1, 2})
    assert Xets.lookup(name, 1) == [{1, 2}]
  end

  test "an error names the argument and the reason" do
    table = Xets.new(:errors, keypos: 2)

    assert message(fn -> Xets.insert(table, :not_an_object) end) =~
             "2nd argument: not a tuple"

    assert message(fn -> Xets.update_counter(table, :missing, {3, 1}) end) =~
             "2nd argument: not a key that exists in the table"

    assert message(fn -> Xets.new(:errors, [:no_option]) end) =~
             "2nd argument: invalid options"

    assert message(fn -> Xets.lookup_element(make_ref(), 1, 2) end) =~
             "1st argument: not a valid table identifier"
  end

  defp message(fun), do: Exception.message(assert_raise(ArgumentError, fun))
end
