"""Runs the tests against every mutant, those that concern it first, and keeps what came of each."""

import argparse
import collections
import json
import os
import pathlib
import resource
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from schemata import Schemata, room_of

# The tests that concern a room, in the order in which they are run after the room's own; all others follow.
FIRST = {
    "value": ["policy", "plans", "rollouts"],
    "policy": ["policy", "plans", "lint"],
    "analysis": ["judged", "policy", "lint"],
    "lint": ["lint"],
    "record": ["report", "judged", "simulator_chart"],
    "report": ["report", "simulator_chart"],
    "rollout": ["plans", "rollouts", "rules", "crash", "judged", "gates", "faults", "effects"],
    "simulate": ["simulator_world", "simulator_faults", "simulator_many", "simulator_chart"],
}
# It reads the sources, and these are not those.
NEVER = {"rooms"}
MEMORY = 6 << 30


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("copy")
    parse.add_argument("results", type=pathlib.Path)
    parse.add_argument("rooms", type=lambda rooms: rooms.split(","))
    parse.add_argument("--shard", default="0/1")
    parse.add_argument("--again", action="store_true")
    asked = parse.parse_args()
    schemata = Schemata(asked.copy, asked.rooms)
    schemata.build()
    runs = baseline(asked.rooms, asked.copy, binaries(asked.copy))
    shard, shards = map(int, asked.shard.split("/"))
    for room in asked.rooms:
        mine = [mutant for mutant in schemata.mutants if room_of(mutant) == room][shard::shards]
        judge(mine, schemata, runs[room], asked.results / f"{room}.jsonl", asked.again)


def judge(mutants, schemata, runs, path, again):
    """Runs what was not run before, two at a time."""
    known = earlier(path)
    if again:
        known = {name: result for name, result in known.items() if result["outcome"] != "survived"}
    with path.open("a") as results, ThreadPoolExecutor(2) as pool:

        def one(mutant):
            number = mutant["id"]
            left_out = schemata.outcome.get(number)
            outcome, by = left_out or run(schemata.copy, number, schemata.of[number], runs)
            results.write(json.dumps({"name": mutant["name"], "outcome": outcome, "by": by}) + "\n")
            results.flush()
            if outcome == "survived":
                print(mutant["name"], flush=True)

        list(pool.map(one, [mutant for mutant in mutants if mutant["name"] not in known]))
    known = earlier(path)
    counts = collections.Counter(known[mutant["name"]]["outcome"] for mutant in mutants)
    print(f"{path.stem}: {len(mutants)} mutants,", ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))


def earlier(path):
    lines = path.read_text().splitlines() if path.exists() else []
    return {result["name"]: result for result in map(json.loads, lines)}


def binaries(copy):
    """Builds the tests and returns them by name."""
    command = ["cargo", "test", "--quiet", "--locked", "-p", "canary-core", "--no-run", "--message-format=json"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    built = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {b["target"]["name"]: b["executable"] for b in built if b.get("executable") and b["target"]["name"] not in NEVER}


def baseline(rooms, copy, built):
    """Runs everything once without a mutant: how long it takes, and which functions it reaches; returns the runs of each room."""
    lib = built.pop("canary_core")
    own = {room: measured(copy, "lib", lib, [f"{room}::"]) for room in rooms}
    timed = {name: measured(copy, name, path, []) for name, path in [("lib", lib), *built.items()]}
    by_time = sorted(timed, key=lambda name: timed[name][3])
    ordered = {room: dict.fromkeys([*FIRST[room], *by_time]) for room in rooms}
    return {room: [own[room], *(timed[name] for name in ordered[room])] for room in rooms}


def measured(copy, name, path, words):
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("r") as reached:
        failed = tests(copy, path, words, 600, {"CANARY_REACHED": reached.name})
        functions = {int(line) for line in reached}
    if failed:
        raise SystemExit(f"{name} fails without a mutant: {failed}")
    took = time.monotonic() - began
    print(f"{name} {' '.join(words)}: {took:.1f} s, {len(functions)} functions", flush=True)
    # A machine under load is slow; only what takes many times as long hangs.
    return name, path, words, 60 + 10 * took, functions


def run(copy, mutant, function, runs):
    """Returns what came of a mutant, and the test that caught it."""
    for name, path, words, limit, reached in runs:
        if function in reached:
            failed = tests(copy, path, words, limit, {"CANARY_MUTANT": str(mutant)})
            if failed == "time ran out":
                return "timeout", name
            if failed:
                return "caught", f"{name}: {failed}"
    return "survived", None


def tests(copy, path, words, limit, env):
    """Runs a test binary up to its first failure and returns that."""
    child = subprocess.Popen(
        [path, *words],
        cwd=pathlib.Path(copy) / "canary-core",
        env={**os.environ, **env, "CARGO_MANIFEST_DIR": f"{copy}/canary-core"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    late = threading.Event()

    def end():
        late.set()
        os.killpg(child.pid, signal.SIGKILL)

    timer = threading.Timer(limit, end)
    timer.start()
    failed = None
    for line in child.stdout:
        if line.startswith("test ") and line.rstrip().endswith("FAILED"):
            failed = line.split()[1]
            os.killpg(child.pid, signal.SIGKILL)
            break
    child.stdout.close()
    child.wait()
    timer.cancel()
    if failed:
        return failed
    return "time ran out" if late.is_set() else "it died" if child.returncode else None


if __name__ == "__main__":
    main()
