#!/usr/bin/env bash
# usage: test/matrix.sh [roots]
#
# Runs the tests on several releases of Erlang/OTP, with terms native and portable: each in a
# minimal Debian in which nothing is but what test/setup.sh installs. Suites without an emulator
# do not depend on the terms, and run with the native ones only. Prints a line for each combination
# at the end. With "roots", only makes the systems (some minutes, 1.3 GB each), which are kept.
#
# Variables: MATRIX, TERMS and SUITES narrow it (MATRIX="trixie sid" TERMS=portable SUITES=eunit).
# MATRIX_JOBS combinations run at a time (1: one keeps two processors busy). MATRIX_DIR is for
# systems and logs (_build/matrix). MATRIX_MIRROR is Debian's. Needs root.
set -u
cd "$(dirname "$0")/.." || exit

dir=${MATRIX_DIR:-_build/matrix}
mirror=${MATRIX_MIRROR:-http://deb.debian.org/debian}
jobs=${MATRIX_JOBS:-1}
releases=${MATRIX:-bookworm trixie sid} # OTP 25, 27, 29
terms=${TERMS:-native portable}
vm_suites="eunit exunit vm_asan packages"
limit=3600 # seconds, several times what a combination takes

die() {
    echo "matrix: $*" >&2
    exit 1
}

[ $# = 0 ] || [ "$*" = roots ] || die "$(sed -n 's/^# usage: //p' "$0")"
for of in $terms; do
    [[ $of = native || $of = portable ]] || die "no terms $of, there are: native portable"
done
[ "$(uname -s)" = Linux ] || die "needs Linux: it runs the tests in chroots of Debian"
[ "$(id -u)" = 0 ] || die "needs root: it makes chroots of Debian and mounts /proc in them"
if ! command -v debootstrap > /dev/null; then
    command -v apt-get > /dev/null || die "missing: debootstrap"
    echo "Installing: debootstrap debian-archive-keyring"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends debootstrap debian-archive-keyring; } \
        > /dev/null 2>&1 || die "missing: debootstrap, and apt-get could not install it"
fi
mkdir -p "$dir/roots" "$dir/logs" && dir=$(cd "$dir" && pwd) || exit
roots=$dir/roots
logs=$dir/logs

# Becomes a command with namespaces of its own for mounts and processes: when it ends, or this
# script does, its processes are killed and its mounts are gone. Nobody else sees the mounts, so
# that no rm -r ever goes through one.
apart() { exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child "$@"; }

# Becomes a shell command in a root.
inside() {
    # shellcheck disable=SC2016
    apart bash -c '
        root=$1 limit=$2 && shift 2 &&
            cp -L /etc/resolv.conf "$root/etc/resolv.conf" &&
            mount -t proc proc "$root/proc" &&
            mount -t sysfs -o ro sysfs "$root/sys" &&
            mkdir -p "$root/dev/shm" "$root/dev/pts" &&
            mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" &&
            mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts" || exit
        # A child: the first process of the namespace has to bury what others leave.
        timeout -s KILL "$limit" chroot "$root" env -i HOME=/root LANG=C.UTF-8 TERM=dumb \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            ${http_proxy:+"http_proxy=$http_proxy"} bash -c "$@"
        exit $?' bash "$1" "$limit" "${@:2}"
}

# Makes the system of a release, unless there is a whole one.
make_root() {
    local root=$roots/$1 scripts=/usr/share/debootstrap/scripts script=
    rm -rf --one-file-system "$root" && mkdir -p "$root/tmp/setup" || return
    # A release that is newer than debootstrap is made as sid is.
    [ -e "$scripts/$1" ] || script=$scripts/sid
    (apart debootstrap --variant=minbase "$1" "$root" "$mirror" ${script:+"$script"}) &&
        cp test/setup.sh "$root/tmp/setup" &&
        (inside "$root" 'sh /tmp/setup/setup.sh test && apt-get clean') &&
        touch "$root/.whole"
}

# The tree as it is, changes and all, without what is ignored.
copy_tree() {
    local file
    rm -rf --one-file-system "$1" && mkdir -p "$1" || return
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do
            [ ! -e "$file" ] || printf '%s\0' "$file"
        done | tar cf - --null -T - | tar xf - --no-same-owner -C "$1"
}

# The suites to run with such terms; "all" are all.
suites_with() {
    local name
    [ "$1" = portable ] || { echo "${SUITES:-all}"; return; }
    for name in ${SUITES:-$vm_suites}; do
        case " $vm_suites " in *" $name "*) printf '%s ' "$name" ;; esac
    done
}

# Becomes the tests of a combination. The first line in its log tells what is tested.
combination() {
    local release=$1 of=$2 suites=$3
    copy_tree "$roots/$release/xets/$of" || exit
    # shellcheck disable=SC2016
    inside "$roots/$release" '
        cd "$1" || exit
        [ "$2" = native ] || export XETS_TERMS=$2
        make -s build > build.log 2>&1 || { cat build.log; exit 1; }
        erl -noshell -noinput -pa _build/erl/xets/ebin -eval '\''
            Kinds = maps:get(native_terms, xets:info(), []),
            io:format("tested: ~s ~s~n", [erlang:system_info(otp_release),
                lists:join(" ", [atom_to_list(Kind) || Kind <- Kinds])]), halt().'\''
        [ "$3" != all ] || set -- "$1" "$2"
        exec test/run.sh $3' bash "/xets/$of" "$of" "$suites" > "$logs/$release-$of.log" 2>&1 \
        < /dev/null
}

# A line about a combination; fails if that has not passed.
verdict() {
    local release=$1 of=$2 status=$3 seconds=$4 log=$logs/$1-$2.log otp native passed failed rest
    read -r _ otp native < <(grep -a -m 1 '^tested: ' "$log")
    read -r passed _ failed rest < <(tail -n 1 "$log")
    # A run that has been cut short has no sum.
    [[ $rest = failed ]] || { passed=0 failed="?" status=1; }
    [ "$status" = 0 ] && rest=ok || rest="NOT OK: $log"
    printf '%-9s OTP %-3s %-9s %6s passed %4s failed %5s s  %s' \
        "$release" "${otp:-?}" "$of" "$passed" "${failed%,}" "$seconds" "$rest"
    [ "$of" = portable ] || printf ' (%s)' "${native:-nothing native}"
    echo
    return "$status"
}

for release in $releases; do
    [ ! -e "$roots/$release/.whole" ] || continue
    echo "matrix: making the system of $release"
    make_root "$release" > "$logs/$release.log" 2>&1 < /dev/null || {
        tail "$logs/$release.log" >&2
        die "there is no system of $release: see $logs/$release.log"
    }
done
[ $# = 0 ] || exit 0

# All releases come before other terms: what fails in one of them shows early.
combinations=()
for of in $terms; do
    [ -n "$(suites_with "$of")" ] || continue
    for release in $releases; do combinations+=("$release $of"); done
done

declare -A names=() starts=() verdicts=()
failed=0

# Waits for a combination.
finish_one() {
    local pid status name
    wait -n -p pid
    status=$?
    name=${names[$pid]}
    # shellcheck disable=SC2086
    verdicts[$name]=$(verdict $name "$status" $((SECONDS - starts[$pid]))) || failed=1
    unset "names[$pid]"
    echo "${verdicts[$name]}"
}

for name in "${combinations[@]}"; do
    [ ${#names[@]} -lt "$jobs" ] || finish_one
    echo "matrix: $name"
    # shellcheck disable=SC2086
    combination $name "$(suites_with "${name#* }")" &
    names[$!]=$name
    starts[$!]=$SECONDS
done
while [ ${#names[@]} -gt 0 ]; do finish_one; done

echo
for release in $releases; do
    for of in $terms; do [ -z "${verdicts[$release $of]:-}" ] || echo "${verdicts[$release $of]}"; done
done
exit $failed
