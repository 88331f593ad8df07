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

# free_ports COUNT: sets the array `ports`. Below 32768, where the kernel takes the near
# ends of outgoing connections from: one of those could take the port between this check
# and its use.
free_ports() {
    local port
    ports=()
    for port in $(shuf -i 20000-32767 -n 50); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || ports+=("$port")
        [[ ${#ports[@]} -lt $1 ]] || return 0
    done
    die "no $1 free ports found"
}

# start NAME ARGUMENT...: in a session of its own, so that it outlives this script and
# its terminal, and without our stdout, which a caller waits on. Uses `dir`.
start() {
    local name=$1
    shift
    setsid "$cache/bin/$name" "$@" >"$dir/$name.log" 2>&1 </dev/null &
    echo "$name $! $(started_at $!)" >>"$dir/pids"
}

# ready NAME URL: waits, for half a minute, until the newest process, NAME, answers there
# to `fetch`.
ready() {
    local name=$1 url=$2 bound=30 why="" end
    end=$((SECONDS + bound))
    until fetch -o /dev/null -m 2 "$url" 2>/dev/null; do
        [[ -n $(started_at $!) ]] || why="has ended"
        [[ $SECONDS -lt $end ]] || why="is not ready after $bound s"
        if [[ $why ]]; then
            tail -n 20 "$dir/$name.log" >&2
            die "$name $why; above is the end of $dir/$name.log"
        fi
        sleep 0.1
    done
}
