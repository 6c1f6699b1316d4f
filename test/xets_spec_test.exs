defmodule XetsSpecTest do
  use ExUnit.Case, async: true
  require Xets

  doctest Xets.Spec

  defmodule User do
    defstruct name: "nobody", age: nil, tags: []
  end

  defmodule Guards do
    defguard is_adult(age) when is_integer(age) and age >= 18
    defmacro never, do: false
  end

  # All kinds of things as elements of objects.
  @values [
    1,
    1.0,
    0,
    -7,
    3,
    13,
    20,
    2.5,
    :a,
    :b,
    nil,
    true,
    false,
    :_,
    :"$1",
    :"$_",
    "",
    "abc",
    "abd",
    <<5::3>>,
    [],
    [1],
    [1, 2],
    [1 | 2],
    ~c"abc",
    {},
    {1},
    {1, 2},
    {2, 2},
    {:a, {1, 2}},
    %{},
    %{a: 1},
    %{a: 1, b: 2},
    %{a: 1.0},
    %{"k" => %{a: 1}, {:a, 1} => 2}
  ]

  # What a function says of every object, and what the match specification that it makes says of
  # them: in ets, and in a table of xets.
  defmacrop assert_same(fun) do
    quote do
      fun = unquote(fun)
      assert compare(fun, Xets.spec(unquote(fun))) > 0
    end
  end

  # The number of objects for which there was a result.
  defp compare(fun, spec) do
    compiled = :ets.match_spec_compile(spec)
    [{} | in_table] = objects = objects()

    [of_empty | results] =
      for object <- objects do
        result = apply_to(fun, object)
        assert {object, result} == {object, :ets.match_spec_run([object], compiled)}
        result
      end

    # All objects but {} can be in a table.
    table = :xets.new(:objects, [:duplicate_bag])
    :xets.insert(table, in_table)
    of_table = Enum.frequencies(:xets.select(table, spec))
    assert of_table == Enum.frequencies(Enum.concat(results))
    :xets.delete(table)
    Enum.count([of_empty | results], &(&1 != []))
  end

  defp apply_to(fun, object) do
    [fun.(object)]
  rescue
    FunctionClauseError -> []
    _ -> [:EXIT]
  end

  defp objects do
    users = [%User{}, %User{name: "Ada", age: 36}, %User{name: "Alan", age: 12, tags: [:x]}]
    values = [self(), make_ref(), (&is_atom/1) | users] ++ @values
    pairs = for a <- values, b <- values, do: {a, b}
    [{}, {1}, {1, 2, 3}, {:a, 1, 1}, {%User{age: 40}}] ++ Enum.map(values, &{&1}) ++ pairs
  end

  test "patterns" do
    assert_same(fn _ -> true end)
    assert_same(fn object -> object end)
    assert_same(fn {a, b} -> {b, a} end)
    assert_same(fn {a, a} -> a end)
    assert_same(fn {_, _} -> :pair end)
    assert_same(fn {1, b} -> b end)
    assert_same(fn {-7, b} -> b end)
    assert_same(fn {1.0, b} -> b end)
    assert_same(fn {"abc", b} -> b end)
    assert_same(fn {<<"ab", ?c>>, <<5::size(3)>>} -> 1 end)
    assert_same(fn {nil, true} -> nil end)
    assert_same(fn {:_, b} -> b end)
    assert_same(fn {:"$1", b} -> {b, :"$1", :"$_", :_} end)
    assert_same(fn {[], b} -> b end)
    assert_same(fn {[a], b} -> {a, b} end)
    assert_same(fn {[a | t], _} -> {a, t} end)
    assert_same(fn {[a, b | t], _} -> [t, b | a] end)
    assert_same(fn {[1] ++ t, [] ++ u} -> [t | u] end)
    assert_same(fn {~c"abc", b} -> b end)
    assert_same(fn {{}, b} -> {{}, b} end)
    assert_same(fn {{a}, {b, c}} -> {a, {b, c}, {}} end)
    assert_same(fn {:a, b, c} -> [b, c] end)
  end

  test "names of the object" do
    assert_same(fn {a, _} = object -> {a, object} end)
    assert_same(fn object = {_, b} when is_map(b) -> object end)
    assert_same(fn one = {_, _} = two -> [one, two] end)
    assert_same(fn one = two -> {one, two} end)
    assert_same(fn _ = object when tuple_size(object) == 3 -> elem(object, 2) end)
    assert_same(fn {_} = _ -> 1 end)
    assert Xets.spec(fn {a} = a -> a end) == [{{:"$1"}, [{:"=:=", :"$1", :"$_"}], [:"$1"]}]
  end

  test "names of parts" do
    assert_same(fn {_ = a, b = _} -> {a, b} end)
    assert_same(fn {a = b, c = d = _} -> [a, b, c, d] end)
    assert_same(fn {%User{} = user, _} -> user end)
    assert_same(fn {%User{name: name, age: 36} = user, b} -> {b, name, user} end)
    assert_same(fn {%_{} = user, _} -> user end)
    assert_same(fn {%name{} = user, _} -> {name, user} end)
    assert_same(fn {%{} = map, b} -> [map, b] end)
    assert_same(fn {%{a: a, b: b} = map, _} when a < b -> map end)
    assert_same(fn {map = %{"k" => %{a: _} = inner}, _} -> {inner, map} end)
    assert_same(fn {%{{:a, 1} => n} = map, _} -> {n, map} end)
    assert_same(fn {%{{:a, 1} => n}, _} -> %{{:a, n} => n} end)
    assert_same(fn {{a, b} = pair, c} -> {a, b, pair, c} end)
    assert_same(fn {{a, a} = pair, _} -> {a, pair} end)
    assert_same(fn {{} = empty, _} -> empty end)
    assert_same(fn {{:a, {x, _} = inner} = outer, y} when y == x -> [inner, outer] end)
    assert_same(fn {[_ | _] = list, _} -> list end)
    assert_same(fn {[a, b] = list, _} -> {a, b, list} end)
    assert_same(fn {[a | b] = list, _} when is_list(b) -> {a, list} end)
    assert_same(fn {[1] ++ t = list, [] ++ u = v} -> [t, u, v | list] end)
    assert_same(fn {[] = a, _} -> a end)
    assert_same(fn {~c"abc" = a, "abc" = b} -> {a, b} end)
    assert_same(fn {<<"ab", ?c>> = a, _} -> a end)
    assert_same(fn {-7 = a, 1.0 = b} -> {a, b} end)
    assert_same(fn {:"$1" = a, :_ = b} -> {a, b} end)
    # The same variable inside and outside, before and behind.
    assert_same(fn {x, {x} = t} -> t end)
    assert_same(fn {{x} = t, x} -> t end)
    assert_same(fn {x = y, y} -> x end)
    assert_same(fn {a, _} = {_, b} -> {a, b} end)
    assert_same(fn {1, _} = {a, b} = object -> {object, a, b} end)
    {number, key, map, tuple} = {1, :a, %{a: 1}, {:a, 1}}
    assert_same(fn {%{^tuple => a} = m, _} -> {a, m} end)
    assert_same(fn {{^number, n} = t, _} -> {n, t} end)
    assert_same(fn {%{^key => a} = m, _} -> {a, m} end)
    assert_same(fn {^map = m, _} -> m end)
  end

  test "maps and structs" do
    assert_same(fn {%{}, b} -> b end)
    assert_same(fn {%{a: a}, _} -> a end)
    assert_same(fn {%{a: 1, b: b}, _} -> b end)
    assert_same(fn {%{"k" => %{a: a}}, b} -> %{a => b, "b" => [b], c: %{}} end)
    assert_same(fn {%User{name: name}, b} -> {name, b} end)
    assert_same(fn {%User{}, b} -> %User{name: b} end)
    assert_same(fn {%{__struct__: name}, _} -> name end)
    assert_same(fn {%_{}, b} -> b end)
    assert_same(fn {%name{age: age}, _} when age != nil -> {name, age} end)
    assert_same(fn {a, b} when a.age < b.age -> a.name end)
    assert_same(fn {m, _} when :erlang.map_get(:a, m) == 1 -> map_size(m) end)
    assert_same(fn {m, _} when is_map_key(m, :a) -> is_map_key(m, :b) end)
    assert_same(fn {m, k} when :erlang.is_map_key(k, m) -> k end)
    assert_same(fn {m, _} when is_struct(m) -> m end)
    assert_same(fn {m, _} when is_struct(m, User) -> m end)
  end

  test "guards" do
    assert_same(fn {a, b} when a > b -> true end)
    assert_same(fn {a, b} when a >= b and a <= b -> true end)
    assert_same(fn {a, b} when a == b and a !== b -> true end)
    assert_same(fn {a, b} when a != b or a === b -> true end)
    assert_same(fn {a, b} when not (a < b) -> true end)
    assert_same(fn {a, b} when a and not b -> a end)
    assert_same(fn {a, b} when a in [1, :a, "abc"] and b not in [nil, 1] -> b end)
    assert_same(fn {a, _} when a in 1..13 -> a end)
    assert_same(fn {a, _} when a in 13..1//-3 -> a end)
    assert_same(fn {a, b} when is_nil(a) when b == nil -> {a, b} end)
    assert_same(fn {a, b} when a + b > 3 and a * b < 20 and a - b != 0 -> a / b end)
    assert_same(fn {a, b} when rem(a, b) == 1 or div(a, 2) == 1 -> {-a, +b} end)
    assert_same(fn {a, b} when abs(a) > b -> {round(a), trunc(b)} end)
    assert_same(fn {a, b} when hd(a) == 1 or tl(b) == 2 -> length(a) end)
    assert_same(fn {a, b} when elem(a, 0) == 1 and elem(b, 1) == 2 -> 1 end)
    assert_same(fn {a, b} when elem(b, a) == 2 -> 1 end)
    assert_same(fn {a, _} when tuple_size(a) < 2 -> a end)
    assert_same(fn {a, b} when tuple_size(a) == 3 or is_list(b) -> a end)
    assert_same(fn {a, b} when byte_size(a) == 3 and bit_size(b) == 3 -> binary_part(a, 1, 2) end)
    assert_same(fn {a, _} when is_boolean(a) -> a end)
    assert_same(fn {a, _} when is_atom(a) and not is_boolean(a) -> is_boolean(a) end)
    assert_same(fn {a, b} when is_binary(a) or is_float(a) or is_integer(b) -> is_number(a) end)
    assert_same(fn {a, b} when is_list(a) or is_map(a) or is_tuple(b) -> is_function(b) end)
    assert_same(fn {a, _} when is_pid(a) and a == self() and node(a) == node() -> a end)
    assert_same(fn {a, _} when is_reference(a) or is_port(a) -> is_pid(a) end)
    assert_same(fn {a, _} when is_struct(a) -> 1 end)
  end

  test "several clauses, and what a result may be" do
    assert_same(fn
      {a, b} when is_number(a) and is_number(b) -> a + b
      {a, _} when is_number(a) -> [a]
      {_, b} = object when is_map(b) -> %{object: object, b: b}
      {a} -> {{a}, "text", 1.5, [], nil}
      _ -> false
    end)
  end

  test "a result that fails" do
    assert_same(fn {a, _} -> hd(a) end)
    assert_same(fn {a, b} -> a + b end)
    assert_same(fn {a, b} -> a and b end)
    spec = Xets.spec(fn {a} -> [hd(a), length(a)] end)
    assert :ets.test_ms({[1 | 2]}, spec) == {:ok, [1, :EXIT]}
  end

  @limit 13
  @names [:a, nil]
  test "macros, guards of others, module attributes" do
    import Guards
    require Integer
    assert_same(fn {_, age} when is_adult(age) -> age end)
    assert_same(fn {a, _} when is_integer(a) and Integer.is_odd(a) -> a end)
    assert_same(fn {a, _} when never() or a == 1 -> a end)
    assert_same(fn {@limit, b} when b < @limit -> @limit end)
    assert_same(fn {a, _} when a in @names -> __MODULE__ end)
    assert_same(fn {a, b} when a |> is_list() -> {b} |> elem(0) |> Kernel.==(1) end)

    assert_same(fn
      {User, _} -> 1
      _ -> User
    end)
  end

  test "bits" do
    import Bitwise
    assert_same(fn {a, b} when band(a, b) == 1 or bor(a, b) == 3 -> a <<< 2 end)

    assert_same(fn {a, b} when is_integer(a) and bxor(a, b) > 3 -> {a >>> 1, bnot(b)} end)
    assert_same(fn {a, b} when is_integer(a) and is_integer(b) -> a ||| b end)
  end

  test "values from outside" do
    {number, atom, map, text, options} = {1, :"$1", %{a: 1}, "ab", %{limit: 3}}
    assert_same(fn {a, b} when a == number or b == text -> {atom, map, number} end)
    assert_same(fn {a, b} when a > options.limit -> {b, options.limit, "#{text}c"} end)
    assert_same(fn {a, _} -> <<number, text::binary>> == a end)
    assert_same(fn {^number, b} -> b end)
    assert_same(fn {^atom, ^map} -> 1 end)
    assert_same(fn {^map, b} -> b end)
    assert_same(fn {[^number | t], b} when b == t -> b end)
    key = :a
    assert_same(fn {%{^key => a}, _} -> {key, a} end)
    object = {1, 2, 3}
    assert_same(fn ^object -> 1 end)
    assert_same(fn ^object = same -> same end)

    for {ids, _} = given <- [{[1, "a"], 2}, {[], 2}, {[:"$1"], 1}, {[%{a: 1}, 1.0, 7], 2}] do
      spec = Xets.spec(fn {id, n} when id in ^ids and n not in ^[elem(given, 1)] -> n end)
      oracle = fn {id, n} -> Enum.member?(ids, id) and n !== elem(given, 1) end

      for {_, n} = object <- objects() do
        assert {ids, object, :ets.test_ms(object, spec)} ==
                 {ids, object, {:ok, if(oracle.(object), do: n, else: false)}}
      end
    end

    assert Xets.spec(fn {a} when a > ^(number + 1) -> ^String.upcase(text) end) ==
             [{{:"$1"}, [{:>, :"$1", {:const, 2}}], [{:const, "AB"}]}]
  end

  test "a pinned value stands in the head where it means itself there" do
    for value <- [1, 1.5, "a", :a, [1 | 2], {1, [:a]}, self()] do
      assert Xets.spec(fn {^value, v} -> v end) == [{{value, :"$2"}, [], [:"$2"]}]
    end

    for value <- [:_, :"$1", :"$$", [:"$1"], [1 | :_], {1, :"$7"}, %{}, [%{a: 1}]] do
      assert Xets.spec(fn {^value, v} -> v end) ==
               [{{:"$1", :"$2"}, [{:"=:=", :"$1", {:const, value}}], [:"$2"]}]
    end

    key = :"$1"
    assert_raise ArgumentError, ~r/this key/, fn -> Xets.spec(fn {%{^key => v}} -> v end) end
  end

  @limit 3
  @in_module Xets.spec(fn {a} when a > @limit -> a end)
  test "outside of functions" do
    assert @in_module == [{{:"$1"}, [{:>, :"$1", {:const, 3}}], [:"$1"]}]
  end

  test "variables of macros are not those of the same name" do
    defmodule Hygiene do
      defmacro larger(limit) do
        quote do: Xets.spec(fn {x} when x > unquote(limit) -> x end)
      end
    end

    [{_, _, _}] =
      spec =
      Code.eval_string("""
      require XetsSpecTest.Hygiene
      require Xets
      x = 7
      XetsSpecTest.Hygiene.larger(x)
      """)
      |> elem(0)

    assert spec == [{{:"$1"}, [{:>, :"$1", {:const, 7}}], [:"$1"]}]
  end

  describe "a compile error for" do
    refusals = [
      {"fn {a} -> String.upcase(a) end", "String.upcase(a)", "do not call String.upcase/1"},
      {"fn {a} when a > length(String.to_charlist(\"a\")) -> a end", "String.to_charlist(\"a\")",
       "its value is had by ^"},
      {"fn {a} -> nowhere(a) end", "nowhere(a)", "do not call nowhere/1"},
      {"fn {a} -> put_elem(a, 0, 1) end", "put_elem", "put_elem/3 is not among their functions"},
      {"fn {a} -> a ++ [1] end", "a ++ [1]", "++/2 is not among"},
      {"fn {a} -> a <> \"x\" end", "<<a::binary", "do not make binaries"},
      {"fn {a} -> \"x\#{a}\" end", "\"x\#{a}\"", "do not make binaries"},
      {"fn {<<a, _::binary>>} -> a end", "<<a", "do not take binaries apart"},
      {"fn {\"a\" <> rest} -> rest end", "rest", "do not take binaries apart"},
      {"fn {a} -> if a, do: 1, else: 2 end", "case", "write several clauses"},
      {"fn {a} -> case a do 1 -> 2 end end", "case a", "write several clauses"},
      {"fn {a} -> cond do a -> 1 end end", "cond", "write several clauses"},
      {"fn {a} -> b = a\nb end", "b = a", "the result is one expression"},
      {"fn {a} -> (b = a) end", "b = a", "they match in the pattern only"},
      {"fn {a} -> fn -> a end end", "fn -> a end", "they have no functions"},
      {"fn {a} -> for x <- a, do: x end", "for", "comprehensions"},
      {"fn {a} -> %{a | b: 1} end", "a | [b: 1]", "they make maps, but do not change them"},
      {"fn {a} -> a[:b] end", "a[:b]", "Access.get/2"},
      {"fn {a} -> a.b() end", "a.b()", "a module that is not known"},
      {"fn {a} -> a.(1) end", "a.(1)", "functions that are values"},
      {"fn {a, b} when a in b -> a end", "a in b", "compile-time proper list"},
      {"fn {a, b} when a in ^b -> a end", "b", "before there is an object"},
      {"fn {a} -> ^(a + 1) end", "a + 1", "before there is an object"},
      {"fn {f(1) = a} -> a end", "f(1)", "no pattern of theirs"},
      {"fn {<<a, _::binary>> = b} -> {a, b} end", "<<a", "do not take binaries apart"},
      {"fn {%{b => 1} = a} -> a end", "b", "is a literal, or pinned"},
      {"fn [a] -> a end", "[a]", "an object is a tuple"},
      {"fn %{a: a} -> a end", "%{a: a}", "an object is a tuple"},
      {"fn 7 -> 7 end", "7", "an object is a tuple"},
      {"fn {%{b => 1}} -> 1 end", "b", "is a literal, or pinned"},
      {"fn {^(1 + 1)} -> 1 end", "1 + 1", "what is pinned in a pattern is a variable"},
      {"fn {%URI{hots: 1}} -> 1 end", ":hots", "URI has no such field"},
      {"fn {a} -> %URI{hots: a} end", ":hots", "URI has no such field"},
      {"fn {f(1)} -> 1 end", "f(1)", "no pattern of theirs"},
      {"fn a, b -> {a, b} end", "fn a, b -> {a, b} end", "the one parameter"},
      {"fn -> 1 end", "fn -> 1 end", "the one parameter"},
      {"&elem(&1, 0)", "&elem(&1, 0)", "fn ... -> ... end"},
      {"some_fun", "some_fun", "fn ... -> ... end"}
    ]

    for {source, code, reason} <- refusals do
      test source do
        source = "require Xets\nsome_fun = nil; _ = some_fun\nXets.spec(#{unquote(source)})"

        error =
          assert_raise CompileError, fn ->
            Code.eval_string(source, [], file: "some/file.ex", line: 1)
          end

        message = Exception.message(error)
        assert message =~ ~r"^some/file.ex:[34]: a match specification cannot say `"
        assert message =~ unquote(code)
        assert message =~ unquote(reason)
      end
    end

    test "a function that this release has not, unless it has it" do
      source = "require Xets\nXets.spec(fn {a, b} -> max(a, b) end)"

      case :ets.test_ms({1, 2}, [{{:"$1", :"$2"}, [], [{:max, :"$1", :"$2"}]}]) do
        {:ok, 2} -> assert [{_, [], [{:max, _, _}]}] = elem(Code.eval_string(source), 0)
        {:error, _} -> assert_raise CompileError, ~r"max/2", fn -> Code.eval_string(source) end
      end
    end

    test "the line in which it is" do
      source = """
      require Xets

      Xets.spec(fn
        {a} when a > 1 ->
          a

        {a, b}
        when a > b and
               is_exception(String) ->
          String.length(b)
      end)
      """

      error = assert_raise CompileError, fn -> Code.eval_string(source, [], file: "f.ex") end
      assert error.line == 10
    end
  end
end
