#!/usr/bin/env bash
# The package as others use it: built by rebar3 and by Mix, from a clean checkout and as a
# dependency, without network. One line "ok: ..." or "not ok: ..." for each.
set -u
cd "$(dirname "$0")/.." || exit

work=$PWD/_build/packages
rm -rf "$work"
mkdir -p "$work/rebar3" "$work/mix"

for copy in rebar3 mix; do
    tar cf - --exclude=./.git --exclude=./_build --exclude=./priv --exclude=./deps . |
        tar xf - -C "$work/$copy"
done

# A use of the library, as Erlang and as Elixir, and what finds its documentation.
erlang='T = xets:new(t, []), true = xets:insert(T, {1, 2}), [{1, 2}] = xets:lookup(T, 1),
    #{version := [_ | _]} = xets:info(),
    D = xets:new(d, [{durable, #{dir => "table", sync => memory}}]),
    #{sync := memory} = xets:info(D, durable), halt(0).'
erlang_docs='{ok, Docs} = code:get_doc(xets),
    Text = unicode:characters_to_list(shell_docs:render(xets, lookup, 2, Docs)),
    true = is_list(string:find(Text, "Complexity:")), ok = c:h(xets, lookup), halt(0).'
elixir='t = Xets.new(:t); true = Xets.insert(t, {1, 2}); [{1, 2}] = Xets.lookup(t, 1)
    {:ok, _} = Application.ensure_all_started(:xets)
    d = Xets.new(:d, durable: %{dir: "table", sync: :memory})
    %{sync: :memory} = Xets.info(d, :durable)'

# A program that uses what is there when it is compiled: the parse transform, the macro.
erlang_user='-module(user_of_xets).
-compile({parse_transform, xets_ms_transform}).
-export([spec/1]).
spec(Limit) -> xets:fun2ms(fun({K, V}) when V > Limit -> K end).'
elixir_user='defmodule UserOfXets do
  require Xets
  def spec(limit), do: Xets.spec(fn {k, v} when v > limit -> k end)
end'
erlang_spec="[{{'\$1','\$2'},[{'>','\$2',{const,3}}],['\$1']}] = user_of_xets:spec(3), halt(0)."
elixir_spec='spec = [{{:"$1", :"$2"}, [{:>, :"$2", {:const, 3}}], [:"$1"]}]
    ^spec = UserOfXets.spec(3)
    ^spec = :user_of_xets.spec(3)'

check() {
    local name=$1
    shift
    if "$@" > "$work/log" 2>&1; then
        echo "ok: $name"
    else
        cat "$work/log"
        echo "not ok: $name"
    fi
}

run_erlang() {
    erl -noshell -noinput -pa "$1" -eval "$erlang" && erl -noshell -noinput -pa "$1" -eval "$erlang_docs"
}

run_elixir() {
    mix run -e "$elixir" &&
        printf '%s\n' 'h Xets.lookup' 'h :xets.lookup' 'h :xets.update_counter/3' |
        iex -S mix > shown && cat shown && grep -q 'def lookup(table, key)' shown &&
        [ "$(grep -c 'Complexity:' shown)" = 2 ] && ! grep 'No documentation' shown
}

rebar3_checkout() {
    cd "$work/rebar3" && rebar3 compile && run_erlang _build/default/lib/xets/ebin
}

# rebar3 fetches it with git, from a repository made for this.
rebar3_dependency() {
    cd "$work/rebar3" && rm -rf _build priv && git init -q . && git add -A . &&
        git -c user.name=test -c user.email=test@localhost commit -q -m test &&
        mkdir -p "$work/rebar3_user/src" && cd "$work/rebar3_user" &&
        echo '{application, user_of_xets, [{vsn, "1"}, {applications, [kernel, stdlib, xets]}]}.' \
            > src/user_of_xets.app.src &&
        echo "$erlang_user" > src/user_of_xets.erl &&
        commit=$(git -C "$work/rebar3" rev-parse HEAD) &&
        echo "{deps, [{xets, {git, \"file://$work/rebar3\", {ref, \"$commit\"}}}]}." > rebar.config &&
        rebar3 compile && run_erlang _build/default/lib/xets/ebin &&
        erl -noshell -noinput -pa _build/default/lib/user_of_xets/ebin -eval "$erlang_spec"
}

# By path, and compiled a second time.
rebar3_path_dependency() {
    mkdir -p "$work/rebar3_path/src" "$work/rebar3_path/_checkouts" && cd "$work/rebar3_path" &&
        cp "$work/rebar3_user/src/user_of_xets.app.src" src && ln -s ../../rebar3 _checkouts/xets &&
        echo '{deps, [xets]}.' > rebar.config && rebar3 compile && rebar3 compile &&
        run_erlang _build/default/checkouts/xets/ebin
}

mix_checkout() {
    cd "$work/mix" && mix compile && run_elixir
}

mix_dependency() {
    mkdir -p "$work/mix_user/lib" && cd "$work/mix_user" &&
        cat > mix.exs << 'EOF' &&
defmodule UserOfXets.MixProject do
  use Mix.Project

  def project do
    [app: :user_of_xets, version: "1.0.0", deps: [{:xets, path: "../mix"}]]
  end
end
EOF
        mkdir -p src && echo "$erlang_user" > src/user_of_xets.erl &&
        echo "$elixir_user" > lib/user_of_xets.ex &&
        mix compile && mix compile && run_elixir && mix run -e "$elixir_spec"
}

# With a compiler that finds no lz4.h, the build says in a line what to install.
missing_lz4() {
    local copy=$1 fake=$work/cc
    shift
    cat > "$fake" << 'EOF'
#!/bin/sh
for arg; do
    case $arg in
    *.c) grep -q '<lz4.h>' "$arg" && exit 1 ;;
    esac
done
exec cc "$@"
EOF
    chmod +x "$fake"
    cd "$work/$copy" && rm -rf _build priv || return 1
    if CC=$fake "$@" > "$work/missing" 2>&1; then
        return 1
    fi
    [ "$(grep -c 'xets: no LZ4.*liblz4-dev' "$work/missing")" = 1 ]
}

check "rebar3 compile" rebar3_checkout
check "rebar3, as a dependency" rebar3_dependency
check "rebar3, as a dependency by path" rebar3_path_dependency
check "mix compile" mix_checkout
check "mix, as a dependency" mix_dependency
check "rebar3 compile, without LZ4" missing_lz4 rebar3 rebar3 compile
check "mix compile, without LZ4" missing_lz4 mix mix compile
