# Shared by the scripts next to this file, which source it.
# shellcheck shell=bash

# Binaries and CRDs live outside the tree: they are large, third-party and rebuilt
# from go.mod and go.sum at will.
# shellcheck disable=SC2034 # used by the scripts that source this file
cache=${CANARY_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/canary-ci}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

need() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || die "$tool is needed and was not found"
    done
}

# Prints when a process started (in clock ticks since boot), or nothing once it is
# gone. A number is reused in time, a number with its start time is not, so the pair
# tells "still the process that was started" from "some other process".
started_at() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    # The second field is the command's name and may hold blanks: count behind it.
    read -ra fields <<<"${stat##*) }"
    # A zombie has ended: nothing is left but for its parent to notice.
    [[ ${fields[0]} == Z ]] || echo "${fields[19]}"
}

# runs PID START: does the process that started then still run?
runs() { [[ -n $2 && $(started_at "$1") == "$2" ]]; }
