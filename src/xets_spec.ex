defmodule Xets.Spec do
  @moduledoc """
  What `Xets.spec/1` makes of a function: a match specification.

      iex> require Xets
      iex> Xets.spec(fn {name, age} when age >= 18 -> name end)
      [{{:"$1", :"$2"}, [{:>=, :"$2", 18}], [:"$1"]}]

  The function has one parameter, the object. It is not called, it is translated, when the module
  that has it is compiled; so it can say only what match specifications can say:

    * **Patterns**: the object is a tuple, or a variable, or `_`. In it variables, which may come
      more than once, `_`, literals, tuples, lists, also `[head | tail]`, maps, structs, and
      values from outside, as `^id`. The object, and parts of it, may have names:
      `{id, %User{} = user}`.
    * **Guards**: comparisons, `and`, `or`, `not`, `in` with a list or a range that is written
      out, or with a list from outside, as `id in ^ids`, arithmetic, the bits of `Bitwise`, and
      these functions of `Kernel`: `is_atom`, `is_binary` and others of their kind, `abs`,
      `binary_part`, `bit_size`, `byte_size`, `div`, `elem`, `hd`, `is_map_key`, `length`,
      `map_size`, `node`, `rem`, `round`, `self`, `tl`, `trunc`, `tuple_size`; `user.name` for the
      value of a key of a map, as `:erlang.map_get/2`. Where the Erlang/OTP in use has them in
      match specifications, also `ceil`, `floor`, `is_bitstring`, `is_function/2`, `max` and
      `min`. Macros are expanded: `is_nil`, `is_struct`, `Integer.is_even`, guards made by
      `defguard`.
    * **Results**: the same, and tuples, lists, maps and structs of them.

  Variables that are not those of the pattern are those of the code around, and their values are
  taken when that code runs. So is the value of any other expression behind a `^`:

      iex> require Xets
      iex> limit = 3
      iex> Xets.spec(fn {id, n} when n > limit and n < ^(limit * 2) -> {id, n} end)
      [{{:"$1", :"$2"},
        [{:andalso, {:>, :"$2", {:const, 3}}, {:<, :"$2", {:const, 6}}}],
        [{{:"$1", :"$2"}}]}]

  Several clauses are tried in their order, as in every function. An object that none of them
  matches, for which a function fails, is left out; a guard that fails is a clause that does not
  match. A part of the result that fails, as `hd([])` would, is `:EXIT` there.

      iex> require Xets
      iex> spec = Xets.spec(fn
      ...>   {:user, %{name: name, age: age}} when age in 13..19 -> {:teenager, name}
      ...>   {:user, %{name: name}} -> name
      ...> end)
      iex> {:ets.test_ms({:user, %{name: "Ada", age: 36}}, spec), :ets.test_ms({:room, 7}, spec)}
      {{:ok, "Ada"}, {:ok, false}}

  Whatever else such a function says makes the compiler stop with a `CompileError` that names it.
  """

  # The functions of all releases, by their Erlang names. Those that the documentation of the
  # emulator lists for later ones are asked for (is_known/2).
  @functions %{
    0 => ~w(node self)a,
    1 => ~w(not + - bnot abs float round trunc hd tl length size bit_size byte_size map_size node
         is_atom is_binary is_float is_function is_integer is_list is_map is_number is_pid is_port
         is_reference is_tuple)a,
    2 =>
      ~w(=:= =/= == /= < =< > >= andalso orelse and or xor + - * / div rem band bor bxor bsl bsr
         element map_get is_map_key binary_part)a,
    3 => ~w(binary_part)a
  }
  @newer %{1 => ~w(ceil floor is_bitstring tuple_size)a, 2 => ~w(is_function max min)a}

  # Where Elixir has another name.
  @names %{===: :"=:=", !==: :"=/=", !=: :"/=", <=: :"=<"}
  @bits %{&&&: :band, |||: :bor, "~~~": :bnot, <<<: :bsl, >>>: :bsr}

  # Why these are not among what match specifications can say.
  @forms %{
    case: "there is no case in them; write several clauses",
    cond: "there is no cond in them; write several clauses",
    fn: "they have no functions",
    &: "they have no functions",
    for: "they have no comprehensions",
    receive: "they receive nothing",
    try: "they catch nothing",
    with: "there is no with in them",
    quote: "they have no quoted code",
    __block__: "the result is one expression",
    =: "they match in the pattern only"
  }

  @doc false
  # What Xets.spec/1 is expanded to.
  @spec compile(Macro.t(), Macro.Env.t()) :: Macro.t()
  def compile({:fn, _, clauses}, env), do: Enum.flat_map(clauses, &clause(&1, env))

  def compile(other, env) do
    refuse(start(env), other, "it is made of a function that is written out, fn ... -> ... end")
  end

  # What is known while a clause is translated: where it is; which variables of the match
  # specification are those of the pattern, and the number of the next one; what is to be compared
  # with values from outside; further guards.
  defp start(env), do: %{env: env, vars: %{}, next: 1, exact: [], tests: []}

  defp clause({:->, _, [args, body]} = clause, env) do
    state = at(start(env), clause)
    {args, guards} = guards(args)
    match?([_], args) || refuse(state, {:fn, [], [clause]}, "the object is the one parameter")
    {head, state} = head(hd(args), state)
    result = expression(body, state)

    for guard <- guards do
      conditions = Enum.reverse(state.tests, expressions(guard, state))
      {:{}, [], [head, Enum.reduce(state.exact, conditions, &exact_code/2), [result]]}
    end
  end

  # The parameters, and the alternatives of `when a when b`, each a list of guards.
  defp guards([{:when, _, args_and_guard}]) do
    {args, [guard]} = Enum.split(args_and_guard, -1)
    {args, alternatives(guard)}
  end

  defp guards(args), do: {args, [[]]}

  defp alternatives({:when, _, [guard, others]}), do: [[guard] | alternatives(others)]
  defp alternatives(guard), do: [[guard]]

  ## Heads

  # The pattern of the object.
  defp head(ast, state) do
    {names, patterns} = ast |> sides(state) |> Enum.split_with(&is_variable/1)

    {head, state} =
      case patterns do
        [] -> {:_, state}
        [pattern | _] -> object(pattern, state)
      end

    {head,
     names |> Enum.concat(Enum.drop(patterns, 1)) |> Enum.reduce(state, &take(&1, :"$_", &2))}
  end

  defp sides({:=, _, [left, right]}, state), do: sides(left, state) ++ sides(right, state)
  defp sides(ast, state), do: [expand(ast, at(state, ast), :match)]

  defp object({:^, _, [value]}, state), do: {:_, test(state, :"$_", value)}
  defp object({_, _} = pattern, state), do: pattern(pattern, state)
  defp object({:{}, _, _} = pattern, state), do: pattern(pattern, state)
  defp object(other, state), do: refuse(state, other, "an object is a tuple, which this is not")

  # Parts of the pattern, from the first to the last, each with what it is in the head and what is
  # known then.
  defp pattern(ast, state) do
    state = at(state, ast)
    in_head(expand(ast, state, :match), state)
  end

  defp patterns(asts, state), do: Enum.map_reduce(asts, state, &pattern/2)

  defp in_head({:__block__, _, [ast]}, state), do: pattern(ast, state)
  defp in_head({:_, _, context}, state) when is_atom(context), do: {:_, state}

  defp in_head({name, _, context} = variable, state) when is_atom(name) and is_atom(context) do
    case state.vars[identity(variable)] do
      slot when is_atom(slot) and slot not in [nil, :"$_"] ->
        {slot, state}

      _ ->
        {slot, state} = slot(state)
        {slot, take(variable, slot, state)}
    end
  end

  defp in_head({:^, _, [value]}, state) do
    {slot, state} = slot(state)
    value = pinned_variable(value, state)
    {call(:pinned, [value, slot]), %{state | exact: [{value, slot} | state.exact]}}
  end

  defp in_head({sign, _, [n]}, state) when sign in [:+, :-] and is_number(n),
    do: {signed(sign, n), state}

  defp in_head(literal, state) when is_number(literal) or is_binary(literal), do: {literal, state}

  # An atom that would mean something else there.
  defp in_head(atom, state) when is_atom(atom) do
    if is_plain(atom) do
      {atom, state}
    else
      {slot, state} = slot(state)
      {slot, test(state, slot, atom)}
    end
  end

  defp in_head({left, right}, state) do
    {[left, right], state} = patterns([left, right], state)
    {{left, right}, state}
  end

  defp in_head({:{}, meta, elements}, state) do
    {elements, state} = patterns(elements, state)
    {{:{}, meta, elements}, state}
  end

  defp in_head(list, state) when is_list(list), do: Enum.map_reduce(list, state, &cell/2)

  defp in_head({:++, meta, [list, tail]}, state) when is_list(list) do
    case Enum.reverse(list) do
      [] -> pattern(tail, state)
      [last | first] -> pattern(Enum.reverse(first, [{:|, meta, [last, tail]}]), state)
    end
  end

  defp in_head({:%{}, meta, pairs}, state) do
    {pairs, state} = Enum.map_reduce(pairs, state, &pair/2)
    {{:%{}, meta, pairs}, state}
  end

  # The name of any struct is an atom.
  defp in_head({:%, _, [name, {:%{}, meta, pairs}]}, state) do
    case struct_name(name, pairs, state) do
      module when is_atom(module) ->
        in_head({:%{}, meta, [{:__struct__, module} | pairs]}, state)

      name ->
        {slot, state} = slot(state)
        state = name |> take(slot, state) |> demand(:is_atom, [slot])
        {{:%{}, meta, pairs}, state} = in_head({:%{}, meta, pairs}, state)
        {{:%{}, meta, [{:__struct__, slot} | pairs]}, state}
    end
  end

  defp in_head({:<<>>, _, parts} = binary, state) do
    if Enum.any?(parts, &has_variable/1),
      do: refuse(state, binary, "they do not take binaries apart"),
      else: {binary, state}
  end

  # A part with a name: it is taken as a whole, and apart then.
  defp in_head({:=, _, _} = ast, state) do
    {slot, state} = slot(state)
    {slot, take(ast, slot, state)}
  end

  defp in_head(ast, state), do: refuse(state, ast, "this is no pattern of theirs")

  defp cell({:|, meta, [head, tail]}, state) do
    {[head, tail], state} = patterns([head, tail], state)
    {{:|, meta, [head, tail]}, state}
  end

  defp cell(element, state), do: pattern(element, state)

  defp pair(pair, state) do
    {key, ast} = key_and_pattern(pair, state)
    {value, state} = pattern(ast, state)
    {{key, value}, state}
  end

  ## Patterns of what a head has taken as a whole
  #
  # What they bind are expressions, and what they demand are guards; one that fails is one that
  # does not hold.

  defp take(ast, whole, state) do
    state = at(state, ast)
    apart(expand(ast, state, :match), whole, state)
  end

  defp apart({:__block__, _, [ast]}, whole, state), do: take(ast, whole, state)
  defp apart({:_, _, context}, _whole, state) when is_atom(context), do: state

  defp apart({name, _, context} = variable, whole, state)
       when is_atom(name) and is_atom(context) do
    case Map.fetch(state.vars, identity(variable)) do
      {:ok, bound} -> demand(state, :"=:=", [bound, whole])
      :error -> %{state | vars: Map.put(state.vars, identity(variable), whole)}
    end
  end

  defp apart({:=, _, [left, right]}, whole, state),
    do: take(right, whole, take(left, whole, state))

  defp apart({:^, _, [value]}, whole, state),
    do: test(state, whole, pinned_variable(value, state))

  defp apart({sign, _, [n]}, whole, state) when sign in [:+, :-] and is_number(n),
    do: test(state, whole, signed(sign, n))

  defp apart(literal, whole, state)
       when is_number(literal) or is_binary(literal) or is_atom(literal) or literal == [],
       do: test(state, whole, literal)

  defp apart({left, right}, whole, state), do: apart({:{}, [], [left, right]}, whole, state)

  defp apart({:{}, _, elements}, whole, state) do
    state = demand(state, :is_tuple, [whole])
    state = demand(state, :==, [op(:size, [whole]), length(elements)])

    elements
    |> Enum.with_index(1)
    |> Enum.reduce(state, fn {ast, i}, state -> take(ast, op(:element, [i, whole]), state) end)
  end

  defp apart([{:|, _, [head, tail]}], whole, state), do: cons(head, tail, whole, state)
  defp apart([head | tail], whole, state), do: cons(head, tail, whole, state)

  defp apart({:++, _, [[], tail]}, whole, state), do: take(tail, whole, state)

  defp apart({:++, meta, [[head | tail], last]}, whole, state),
    do: cons(head, {:++, meta, [tail, last]}, whole, state)

  defp apart({:%{}, _, pairs}, whole, state) do
    Enum.reduce(pairs, demand(state, :is_map, [whole]), fn pair, state ->
      {key, ast} = key_and_pattern(pair, state)
      key = if is_atom(key) or is_number(key) or is_binary(key), do: key, else: {:const, key}
      state = demand(state, :is_map_key, [key, whole])
      take(ast, op(:map_get, [key, whole]), state)
    end)
  end

  defp apart({:%, _, [name, {:%{}, meta, pairs}]}, whole, state) do
    module = struct_name(name, pairs, state)
    state = apart({:%{}, meta, [{:__struct__, module} | pairs]}, whole, state)
    demand(state, :is_atom, [op(:map_get, [:__struct__, whole])])
  end

  defp apart({:<<>>, _, _} = binary, whole, state) do
    {binary, state} = in_head(binary, state)
    test(state, whole, binary)
  end

  defp apart(ast, _whole, state), do: refuse(state, ast, "this is no pattern of theirs")

  defp cons(head, tail, whole, state) do
    state = demand(state, :is_list, [whole])
    state = demand(state, :"=/=", [whole, []])
    take(tail, op(:tl, [whole]), take(head, op(:hd, [whole]), state))
  end

  ## What both kinds of patterns have in common

  defp slot(%{next: next} = state), do: {:"$#{next}", %{state | next: next + 1}}

  defp test(state, whole, value), do: demand(state, :"=:=", [whole, {:const, value}])

  defp demand(state, name, args), do: %{state | tests: [op(name, args) | state.tests]}

  defp pinned_variable(value, state) do
    is_variable(value) || refuse(state, value, "what is pinned in a pattern is a variable")
    value
  end

  # The module, or the pattern of its name.
  defp struct_name(name, pairs, state) do
    module = expand(name, state, nil)
    if is_atom(module), do: fields(module, pairs, state)
    module
  end

  # The key of a pair in the pattern of a map, as it stands in a head and in a guard alike.
  defp key_and_pattern({key, pattern}, state) do
    case expand(key, state, :match) do
      {:^, _, [value]} ->
        {call(:pinned_key, [pinned_variable(value, state)]), pattern}

      key ->
        (Macro.quoted_literal?(key) and is_plain(key)) ||
          refuse(state, key, "a key in the pattern of a map is a literal, or pinned")

        {key, pattern}
    end
  end

  defp key_and_pattern(other, state), do: refuse(state, other, "this is no pattern of a map")

  ## Guards and results

  defp expression({:in, _, [value, {:^, _, [list]}]} = ast, state) do
    state = at(state, ast)
    call(:any, [expression(value, state), outside(list, state)])
  end

  defp expression(ast, state) do
    state = at(state, ast)
    # As in a guard, also the result: what macros are there can be said.
    if is_read(ast, state), do: {:const, ast}, else: in_body(expand(ast, state, :guard), state)
  end

  defp expressions(asts, state), do: Enum.map(asts, &expression(&1, state))

  defp outside(value, state) do
    is_outside(value, state) ||
      refuse(state, value, "what is behind `^` is computed before there is an object")

    value
  end

  # A module attribute outside of functions is not known yet: it is read when the code runs.
  defp is_read({:@, _, [{name, _, context}]}, state),
    do: is_atom(name) and is_atom(context) and state.env.function == nil

  defp is_read(_, _state), do: false

  defp in_body({:__block__, _, [ast]}, state), do: expression(ast, state)

  defp in_body({:^, _, [value]}, state), do: {:const, outside(value, state)}

  defp in_body({name, _, context} = variable, state) when is_atom(name) and is_atom(context) do
    Map.get(state.vars, identity(variable), {:const, variable})
  end

  defp in_body(literal, _state) when is_number(literal) or is_binary(literal), do: literal

  defp in_body(atom, _state) when is_atom(atom),
    do: if(is_plain(atom), do: atom, else: {:const, atom})

  defp in_body({left, right}, state), do: in_body({:{}, [], [left, right]}, state)

  defp in_body({:{}, meta, elements}, state),
    do: {:{}, [], [{:{}, meta, expressions(elements, state)}]}

  defp in_body(list, state) when is_list(list) do
    Enum.map(list, fn
      {:|, meta, [head, tail]} -> {:|, meta, expressions([head, tail], state)}
      element -> expression(element, state)
    end)
  end

  defp in_body({:%{}, meta, pairs}, state) do
    pairs =
      for pair <- pairs do
        match?({_, _}, pair) || refuse(state, pair, "they make maps, but do not change them")
        {expression(elem(pair, 0), state), expression(elem(pair, 1), state)}
      end

    {:%{}, meta, pairs}
  end

  defp in_body({:%, meta, [name, {:%{}, _, pairs}]} = ast, state) do
    module = expand(name, state, nil)
    is_atom(module) || refuse(state, ast, "the name of a struct is known when they are made")
    defaults = module |> fields(pairs, state) |> Map.drop(Keyword.keys(pairs)) |> Map.to_list()
    in_body({:%{}, meta, Macro.escape(defaults) ++ pairs}, state)
  end

  defp in_body({:<<>>, _, _} = binary, state) do
    if is_outside(binary, state),
      do: {:const, binary},
      else: refuse(state, binary, "they do not make binaries")
  end

  defp in_body({{:., _, [map, key]}, meta, []} = ast, state) when is_atom(key) do
    cond do
      meta[:no_parens] != true or is_atom(expand(map, state, nil)) -> remote(ast, state)
      is_outside(map, state) -> {:const, ast}
      true -> op(:map_get, [key, expression(map, state)])
    end
  end

  defp in_body({{:., _, _}, _, _} = ast, state), do: remote(ast, state)

  defp in_body({form, _, _} = ast, state) when is_map_key(@forms, form),
    do: refuse(state, ast, @forms[form])

  defp in_body({name, meta, args} = ast, state) when is_atom(name) and is_list(args) do
    function({imported(name, length(args), meta, state), name, args}, ast, state)
  end

  defp in_body(ast, state), do: refuse(state, ast, "they cannot say it")

  defp remote({{:., _, [module, name]}, _, args} = ast, state) do
    case expand(module, state, nil) do
      module when is_atom(module) -> function({module, name, args}, ast, state)
      _ -> refuse(state, ast, "they call no function of a module that is not known")
    end
  end

  defp remote(ast, state), do: refuse(state, ast, "they call no functions that are values")

  # Where a function without the name of its module is from: for what a macro has put there, from
  # where the macro says.
  defp imported(name, arity, meta, state) do
    with nil <- List.keyfind(Keyword.get(meta, :imports, []), arity, 0),
         [] <- Macro.Env.lookup_import(state.env, {name, arity}) do
      nil
    else
      {_arity, module} -> module
      [{_kind, module} | _] -> module
    end
  end

  defp function({Kernel, :elem, [tuple, i]}, _ast, state),
    do: op(:element, [successor(expression(i, state)), expression(tuple, state)])

  defp function({Kernel, :is_map_key, [map, key]}, _ast, state),
    do: op(:is_map_key, expressions([key, map], state))

  defp function({Kernel, sign, [n]}, _ast, _state) when sign in [:+, :-] and is_number(n),
    do: signed(sign, n)

  defp function({module, :is_boolean, [value]}, _ast, state) when module in [Kernel, :erlang] do
    value = expression(value, state)
    op(:orelse, [op(:"=:=", [value, true]), op(:"=:=", [value, false])])
  end

  defp function({Kernel, name, args}, ast, state),
    do: function({:erlang, Map.get(@names, name, name), args}, ast, state)

  defp function({Bitwise, name, args}, ast, state),
    do: function({:erlang, Map.get(@bits, name, name), args}, ast, state)

  defp function({:erlang, name, args}, ast, state) do
    arity = length(args)

    cond do
      name in Map.get(@functions, arity, []) -> op(name, expressions(args, state))
      name in Map.get(@newer, arity, []) -> newer(name, expressions(args, state), ast, state)
      true -> refuse(state, ast, "#{name}/#{arity} is not among their functions")
    end
  end

  defp function({module, name, args}, ast, state) do
    arity = length(args)
    called = if module, do: Exception.format_mfa(module, name, arity), else: "#{name}/#{arity}"
    value = if is_outside(ast, state), do: "; its value is had by ^(...)", else: ""
    refuse(state, ast, "they do not call #{called}" <> value)
  end

  defp newer(name, args, ast, state) do
    arity = length(args)

    cond do
      is_known(name, arity) -> op(name, args)
      name == :tuple_size -> size_of_tuple(args)
      true -> refuse(state, ast, "the Erlang/OTP in use has no #{name}/#{arity} in them")
    end
  end

  # Whether the emulator has a function in match specifications.
  defp is_known(name, arity) do
    call = List.to_tuple([name | List.duplicate(0, arity)])
    match?({:ok, _}, :ets.test_ms({}, [{:_, [], [call]}]))
  end

  # size/1 is of binaries too: for what is no tuple, the key is not in this map.
  defp size_of_tuple([:"$_"]), do: op(:size, [:"$_"])

  defp size_of_tuple([value]),
    do: op(:map_get, [op(:is_tuple, [value]), {:%{}, [], [{true, op(:size, [value])}]}])

  ## What both have in common

  defp op(name, args), do: {:{}, [], [name | args]}

  defp signed(:-, n), do: -n
  defp signed(:+, n), do: n

  defp successor(n) when is_integer(n), do: n + 1
  defp successor(n), do: op(:+, [n, 1])

  defp call(name, args), do: {{:., [], [__MODULE__, name]}, [], args}

  defp exact_code({value, slot}, guards), do: call(:exact, [value, slot, guards])

  defp is_variable({name, _, context}), do: is_atom(name) and is_atom(context)
  defp is_variable(_), do: false

  defp has_variable({:"::", _, [value, _]}), do: has_variable(value)
  defp has_variable({_, _, args}) when is_list(args), do: Enum.any?(args, &has_variable/1)
  defp has_variable(ast), do: is_variable(ast)

  # Variables of the same name are not the same if a macro has made one of them.
  defp identity({name, meta, context}), do: {name, Keyword.get(meta, :counter, context)}

  # Whether nothing in it is of the object.
  defp is_outside(ast, state) do
    not Enum.any?(Macro.prewalker(ast), fn ast ->
      is_variable(ast) and is_map_key(state.vars, identity(ast))
    end)
  end

  defp fields(module, pairs, state) do
    fields = Macro.struct!(module, state.env)

    for {key, _} <- pairs, not is_map_key(fields, key) do
      refuse(state, key, "the struct #{inspect(module)} has no such field")
    end

    fields
  end

  defp expand(ast, state, context) do
    Macro.expand(ast, %{state.env | context: context})
  rescue
    error in ArgumentError -> refuse(state, ast, Exception.message(error))
  end

  defp at(state, {_, meta, _}) when is_list(meta) do
    case meta[:line] do
      nil -> state
      line -> put_in(state.env.line, line)
    end
  end

  defp at(state, _literal), do: state

  defp refuse(%{env: env}, ast, reason) do
    raise CompileError,
      file: env.file,
      line: env.line,
      description: "a match specification cannot say `#{Macro.to_string(ast)}`: #{reason}"
  end

  ## When the code runs: values from outside in patterns

  @doc false
  # Such a value in a head, or the variable for which exact/3 has a guard: heads mean something
  # else by some atoms, and match maps that have more keys.
  @spec pinned(value, slot :: atom) :: value | atom when value: term
  def pinned(value, slot), do: if(is_plain(value), do: value, else: slot)

  @doc false
  @spec exact(term, slot :: atom, guards :: [term]) :: [term]
  def exact(value, slot, guards) do
    if is_plain(value), do: guards, else: [{:"=:=", slot, {:const, value}} | guards]
  end

  @doc false
  @spec pinned_key(term) :: term
  def pinned_key(value) do
    is_plain(value) ||
      raise ArgumentError,
            "no match specification has this key in the pattern of a map: #{inspect(value)}"

    value
  end

  @doc false
  # Whether the value of an expression is one of those from outside, as an expression.
  @spec any(expression :: term, values :: [term]) :: term
  def any(expression, values) when is_list(values) do
    case Enum.map(values, &{:"=:=", expression, {:const, &1}}) do
      [] -> false
      tests -> tests |> Enum.reverse() |> Enum.reduce(&{:orelse, &1, &2})
    end
  end

  # Whether it means itself in a head.
  defp is_plain(:_), do: false
  defp is_plain(atom) when is_atom(atom), do: not match?("$" <> _, Atom.to_string(atom))
  defp is_plain([head | tail]), do: is_plain(head) and is_plain(tail)
  defp is_plain(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> is_plain()
  defp is_plain(value), do: not is_map(value)
end
