#!/bin/sh
# Checks the models: what must hold is searched completely, and every mutant must
# be found out.
#
# run.sh [clock_max]    4 takes seconds; 5, a quarter of a minute and 2 GB
set -u

here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

clock_max=${1:-4}
passed=0
failed=0

verdict() { # name, flags, whether it is as it should be
    if [ "$3" = yes ]; then
        passed=$((passed + 1))
        printf 'ok      %-8s %s\n' "$1" "$2"
    else
        failed=$((failed + 1))
        printf 'FAILED  %-8s %s\n' "$1" "$2"
        sed 's/^/        /' out
    fi
}

search() { # model, flags
    # shellcheck disable=SC2086
    spin $2 -DCLOCK_MAX="$clock_max" -a "$here/$1.pml" >out 2>&1 &&
        ${CC:-cc} -O3 -w -DSAFETY -DNOFAIR -o pan pan.c >>out 2>&1 &&
        ./pan -m100000 -w24 >>out 2>&1
}

# Spin says that a search was cut short in several ways; a complete one has none.
truncated='max search depth too small|out of memory|not completed|aborted|Interrupted'

must_hold() {
    ok=no
    search "$1" "$2" && grep -q 'errors: 0' out && ! grep -Eq "$truncated" out && ok=yes
    verdict "$1" "$2" "$ok"
}

must_fail() {
    ok=no
    search "$1" "$2"
    grep -q 'assertion violated' out && ok=yes
    verdict "$1" "$2" "$ok"
}

must_hold epoch ""
must_hold epoch "-DFENCED"
must_fail epoch "-DNO_MEMBARRIER"
must_fail epoch "-DSTAMP_NOW"
must_fail epoch "-DONE_EPOCH"
must_fail epoch "-DBLIND"
must_hold epoch "-DGATE"
must_hold epoch "-DGATE -DFENCED"
must_fail epoch "-DGATE -DNO_MEMBARRIER"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
