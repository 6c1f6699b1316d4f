#!/bin/sh
# usage: test/setup.sh build|bench|test|doc|dialyzer
#
# Sees to it that the tools are there which building, the benchmark or the tests need. As root on
# Debian and its kin, installs the missing ones. Elsewhere says in one line for each what is
# missing, and fails.
set -u

case ${1:-} in
build | bench | test | doc | dialyzer) goal=$1 ;;
*)
    sed -n '2p' "$0" >&2
    exit 2
    ;;
esac

missing=
# need PACKAGE NAME COMMAND...: the package of Debian that provides NAME, and a command that
# succeeds if it is there.
need() {
    package=$1 name=$2
    shift 2
    "$@" > /dev/null 2>&1 || missing="$missing$package $name
"
}

on_path() { command -v "$1"; }

# The root of the Erlang installation; asked of the emulator, which takes a while, only if it is
# not where the link to it leads.
erlang_root() {
    erl=$(command -v erl) || return 1
    erl=$(readlink -f "$erl" 2> /dev/null || echo "$erl")
    root=${erl%/bin/erl}
    if [ -d "$root/lib" ] && [ -n "$(ls -d "$root"/lib/stdlib-* 2> /dev/null)" ]; then
        echo "$root"
    else
        erl -noshell -noinput -eval 'io:put_chars(code:root_dir()), halt().' 2> /dev/null
    fi
}

application() { application_file "$1" ebin; }

application_file() {
    [ -n "$root" ] || return 1
    libs=$(echo "${ERL_LIBS:-}" | tr : ' ' | sed "s,[^ ][^ ]*,&/$1 &/$1-*,g")
    for dir in "$root"/lib/"$1"-* $libs; do
        [ -e "$dir/$2" ] && return 0
    done
    return 1
}

header() {
    for dir in /usr/include /usr/local/include /opt/homebrew/include; do
        [ -f "$dir/$1" ] && return 0
    done
    pkg-config --exists "$2"
}

preprocesses() { echo "#include <$1>" | ${CC:-cc} -E -; }

erl_nif() {
    [ -n "$root" ] && { [ -f "$root/usr/include/erl_nif.h" ] || header erl_nif.h erlang; }
}

check() {
    missing=
    root=$(erlang_root) || root=
    need gcc "a C compiler" on_path "${CC:-cc}"
    need libc6-dev "the headers of the C library" preprocesses stdio.h
    need make make on_path make
    need pkg-config pkg-config on_path pkg-config
    need libxxhash-dev "xxhash.h (xxHash 0.8)" header xxhash.h libxxhash
    need liblz4-dev "lz4.h (LZ4)" header lz4.h liblz4
    need erlang-base "Erlang/OTP" on_path erl
    need erlang-dev "erl_nif.h" erl_nif
    case $goal in
    bench | test)
        need erlang-crypto "the Erlang application crypto" application crypto
        need erlang-tools "the Erlang application tools" application tools
        need elixir Elixir on_path elixir
        ;;
    doc)
        need erlang-edoc "the Erlang application edoc" application edoc
        ;;
    dialyzer)
        need erlang-dialyzer dialyzer on_path dialyzer
        ;;
    esac
    if [ "$goal" = test ]; then
        need erlang-edoc "the Erlang application edoc" application edoc
        need erlang-eunit "the Erlang application eunit" application eunit
        need erlang-syntax-tools "the Erlang application syntax_tools" application syntax_tools
        need erlang-proper PropEr application proper
        need erlang-proper-dev proper.hrl application_file proper include/proper.hrl
        need rebar3 rebar3 on_path rebar3
        need libcmocka-dev cmocka.h header cmocka.h cmocka
        need spin spin on_path spin
        need git git on_path git
    fi
}

check
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    packages=$(echo "$missing" | sed 's/ .*//' | tr '\n' ' ')
    echo "Installing: $packages"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086
    { apt-get update -q; apt-get install -q -y --no-install-recommends $packages; } \
        > "$log" 2>&1 || {
        cat "$log" >&2
        echo "apt-get could not install: $packages" >&2
        exit 1
    }
    rm -f "$log"
    check
    [ -z "$missing" ] && exit 0
fi

printf '%s' "$missing" | while read -r package name; do
    echo "missing: $name (Debian: $package)" >&2
done
exit 1
