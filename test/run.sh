#!/usr/bin/env bash
# usage: test/run.sh [suite...]
#
# Runs the suites named, or all, two at a time. A failure does not stop the others.
# Each suite's output goes to the terminal and to _build/logs/SUITE.log. At the end come the lines
# that say what failed, and last the sum of the totals that the runners printed.
set -u
cd "$(dirname "$0")/.." || exit
# Run by make, the makes below would look for its job server.
unset MAKEFLAGS MFLAGS

logs=_build/logs
ebin=_build/erl/xets/ebin
tests=_build/erl/test
erl=${ERL:-erl}
passed=0
failed=0
failures=()
mkdir -p $logs

make_c() { ${MAKE:-make} -s -C c_src "$@"; }

# Programs of the core's tests in a variant's directory that are named by patterns.
run_programs() {
    local dir=$1 status=0 pattern source program
    shift
    for pattern in "$@"; do
        for source in test/core/$pattern.c; do
            [ -e "$source" ] || continue
            program=$dir/$(basename "$source" .c)
            echo "-- $program"
            "$program" || {
                echo "-- $program ended with status $?"
                status=1
            }
        done
    done
    return $status
}

# UBSan's findings end a program too (-fno-sanitize-recover); the leak checker cannot work where
# the process is traced.
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=0:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}

core() {
    make_c DEBUG=1 tests && run_programs _build/c/release-debug/test 'test_*' 'stress_*' 'fuzz_*'
}

core_asan() {
    make_c DEBUG=1 SAN=address tests &&
        run_programs _build/c/address-debug/test 'test_*' 'stress_*' 'fuzz_*'
}

core_tsan() {
    make_c DEBUG=1 SAN=thread tests &&
        run_programs _build/c/thread-debug/test test_epoch test_reclaim test_shared test_pages 'stress_*'
}

core_bench() {
    local source
    make_c benches || return 1
    for source in test/core/bench_*.c; do
        [ -e "$source" ] || continue
        if "_build/c/release/test/$(basename "$source" .c)" --small; then
            echo "ok: $(basename "$source" .c)"
        else
            echo "not ok: $(basename "$source" .c)"
        fi
    done
}

model() {
    if bash test/model/run.sh; then
        echo "ok: model"
    else
        echo "not ok: model"
    fi
}

# Compiles the tests in Erlang and the native libraries that some of them load.
erlang_tests() {
    make_c "$@" term_nif key_nif etf_nif plan_nif match_nif native_nif other_layout &&
        make_c "$@" HOOKS=1 nif ||
        return 1
    mkdir -p $tests
    "${ERLC:-erlc}" +debug_info +nowarn_export_all -pa $ebin -I src -I test -o $tests test/*.erl
}

# Runs the test modules but those whose names match a pattern; further arguments are the emulator's.
# Tests may take five times as long as they say: the machine may have other work.
eunit_run() {
    local without=$1 modules
    shift
    modules=$(cd test && ls | sed -n 's/_tests\.erl$/_tests/p' | grep -v "$without" | paste -sd, -)
    "$erl" "$@" -noshell -noinput -pa $ebin $tests -eval "
        {module, xets} = code:ensure_loaded(xets),
        case xets_eunit:test([$modules], 5) of ok -> halt(0); _ -> halt(1) end."
}

eunit() {
    erlang_tests && XETS_TEST_LIB=_build/c/release/test \
        XETS_TEST_HOOKS=_build/c/release-hooks/priv eunit_run '^$'
}

exunit() {
    MIX_ENV=test mix test
}

# EUnit again but for the benchmark, the native library under AddressSanitizer and UBSan. The
# emulator's allocators would hide overflows in enif_alloc memory: +Mea min does without them.
vm_asan() { make_vm_asan && under_asan eunit_run bench +Mea min; }

make_vm_asan() { make_c SAN=address && erlang_tests SAN=address; }

under_asan() {
    # Under AddressSanitizer everything takes many times as long.
    LD_PRELOAD=$(${CC:-cc} -print-file-name=libasan.so) \
        ASAN_OPTIONS=detect_leaks=0:$ASAN_OPTIONS XETS_TEST_SMALL=1 \
        XETS_PRIV=_build/c/address/priv XETS_TEST_LIB=_build/c/address/test \
        XETS_TEST_HOOKS=_build/c/address-hooks/priv \
        "$@"
}

packages() { bash test/packages.sh; }

# Fuzzing, FUZZ_SECONDS each: operations on ordered tables and the readers of files, with libFuzzer
# where there is clang; keys made of mutated external terms, and objects read from them; random and
# mutated match specifications.
fuzz() {
    local seconds=${FUZZ_SECONDS:-60} found=_build/fuzz
    mkdir -p $found/corpus
    if ! command -v "${CLANG:-clang}" > /dev/null; then
        echo "fuzz_order: there is no clang"
    elif make_c fuzz && _build/c/fuzz/fuzz_order -max_total_time="$seconds" -max_len=4000 \
        -artifact_prefix=$found/ $found/corpus; then
        echo "ok: fuzz_order"
    else
        echo "not ok: fuzz_order"
    fi
    if command -v "${CLANG:-clang}" > /dev/null; then
        mkdir -p $found/files
        if _build/c/fuzz/fuzz_tablefile -max_total_time="$seconds" -max_len=6000 \
            -artifact_prefix=$found/ $found/files; then
            echo "ok: fuzz_tablefile"
        else
            echo "not ok: fuzz_tablefile"
        fi
    fi
    if make_vm_asan && under_asan "$erl" +Mea min -noshell -noinput -pa $ebin $tests \
        -eval "xets_key_fuzz_tests:run($seconds), halt(0)."; then
        echo "ok: xets_key_fuzz"
    else
        echo "not ok: xets_key_fuzz"
    fi
    if under_asan "$erl" +Mea min -noshell -noinput -pa $ebin $tests \
        -eval "xets_etf_fuzz_tests:run($seconds), halt(0)."; then
        echo "ok: xets_etf_fuzz"
    else
        echo "not ok: xets_etf_fuzz"
    fi
    if under_asan "$erl" +Mea min -noshell -noinput -pa $ebin $tests \
        -eval "xets_match_engine_tests:run($seconds), halt(0)."; then
        echo "ok: xets_match_engine"
    else
        echo "not ok: xets_match_engine"
    fi
}

# Random cases of what becomes of results (xets_native_heap_tests), PROVE_SECONDS together: half of
# them as everything is, half under AddressSanitizer.
prove() {
    local seconds=$((${PROVE_SECONDS:-600} / 2))
    local run="try xets_native_heap_tests:run($seconds), halt(0)
               catch C:R:S -> io:format(\"~P~n\", [{C, R, S}, 200]), halt(1) end."
    if erlang_tests && XETS_TEST_LIB=_build/c/release/test \
        "$erl" -noshell -noinput -pa $ebin $tests -eval "$run"; then
        echo "ok: xets_native"
    else
        echo "not ok: xets_native"
    fi
    if make_vm_asan &&
        under_asan "$erl" +Mea min -noshell -noinput -pa $ebin $tests -eval "$run"; then
        echo "ok: xets_native under AddressSanitizer"
    else
        echo "not ok: xets_native under AddressSanitizer"
    fi
}

# The numbers that the runners' closing lines give: "PASSED FAILED".
totals() {
    awk '
        # cmocka
        /^\[  PASSED  \].* test\(s\)/ {
            for (i = 1; i < NF; i++) if ($(i + 1) ~ /^test/) passed += $i
        }
        /^ [0-9]+ FAILED TEST\(S\)/ { failed += $1 }
        # EUnit
        /^  All [0-9]+ tests passed/ { passed += $2 }
        /^  Test passed\.$/ || /^  2 tests passed\.$/ { passed += ($1 == "2" ? 2 : 1) }
        /^  Failed: [0-9]+\./ { failed += $2; passed += $6 }
        # ExUnit
        /^([0-9]+ doctests?, )?[0-9]+ tests?, [0-9]+ failures?/ {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) ~ /^(doctest|test)/) passed += $i
                if ($(i + 1) ~ /^failure/) { failed += $i; passed -= $i }
            }
        }
        # ExUnit since 1.19: "Result: 26/27 passed (...)", "Failed: 1 test"
        /^Result: [0-9]+(\/[0-9]+)? passed/ { split($2, of, "/"); passed += of[1] }
        /^Failed: [0-9]+ tests?$/ { failed += $2 }
        # Ours
        /^ok: / { passed++ }
        /^not ok: / { failed++ }
        END { print passed + 0, failed + 0 }
    ' "$1"
}

# The first lines of a suite's log that say what failed, each no longer than a terminal is wide.
what_failed() {
    grep -E \
        -e '\*failed\*|\*timed out\*|[*]{3} .*(cancelled|skipped)|^\*\*(error|exit|throw):' \
        -e '\{(expected|value|pattern|unexpected_[a-z]*),' \
        -e '^\[  (FAILED  |ERROR   )\]|^-- .* ended with status|[Aa]ssert' \
        -e '(ERROR|WARNING|SUMMARY): [A-Za-z]*Sanitizer|runtime error:' \
        -e '^ +[0-9]+\) (test|doctest) |^not ok: |(error|warning):|^make.*Error ' \
        "$logs/$1.log" | grep -v '^--$' | head -n 12 | cut -c 1-160
}

# Adds up what a suite has come to, given its exit status and its seconds.
conclude() {
    local name=$1 status=$2 seconds=$3 p f
    read -r p f < <(totals "$logs/$name.log")
    # A program that crashed has printed no total; a suite that ran nothing has failed.
    if { [ "$status" != 0 ] || [ "$p" = 0 ]; } && [ "$f" = 0 ]; then
        f=1
    fi
    echo "=== $name: $p passed, $f failed ($seconds s)"
    [ "$f" = 0 ] || failures+=("$name")
    passed=$((passed + p))
    failed=$((failed + f))
}

suite() {
    local name=$1 start=$SECONDS
    echo
    echo "=== $name"
    "$name" 2>&1 | tee "$logs/$name.log"
    conclude "$name" "${PIPESTATUS[0]}" $((SECONDS - start))
}

# Runs suites without a word, on what the others leave of the machine: tests of those may have a
# limit of seconds. What they come to is told by report(), when they are over.
aside() {
    local name start
    renice -n 19 -p "$BASHPID" > /dev/null
    for name in "$@"; do
        start=$SECONDS
        "$name" > "$logs/$name.log" 2>&1
        echo "$? $((SECONDS - start))" > "$logs/$name.status"
    done
}

report() {
    local name=$1 status=1 seconds=0
    echo
    echo "=== $name"
    cat "$logs/$name.log"
    read -r status seconds < "$logs/$name.status"
    conclude "$name" "$status" "$seconds"
}

# Those in one list keep about one processor busy, and use nothing that the others build.
side="core core_asan core_tsan core_bench model packages"
rest="eunit exunit vm_asan"
in_front=
beside=
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $rest $side
for name in "$@"; do
    case " $side @ $rest fuzz prove " in
    *" $name "*@*) beside="$beside $name" ;;
    *@*" $name "*) in_front="$in_front $name" ;;
    *)
        echo "no suite $name; there are: $side $rest, fuzz and prove" >&2
        exit 2
        ;;
    esac
done
if [ -z "$in_front" ]; then
    for name in $beside; do suite "$name"; done
else
    rm -f $logs/*.status
    # shellcheck disable=SC2086
    aside $beside &
    for name in $in_front; do suite "$name"; done
    wait
    for name in $beside; do report "$name"; done
fi

for name in ${failures[@]+"${failures[@]}"}; do
    echo
    echo "=== failed: $name"
    what_failed "$name"
done
echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
