"""Applies each mutant of a list in a copy of the sources and runs the tests that must catch it."""

import pathlib
import re
import subprocess
import sys

copy, listed, *only = sys.argv[1:]
rooms = pathlib.Path(copy) / "canary-core/src/rollout"


def mutants():
    for line in pathlib.Path(listed).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        # A bar of the source is written `\|`, a line's end `\n`.
        fields = [field.strip() for field in re.split(r"(?<!\\)\|", line)]
        name, file, old, new, tests = [
            field.replace("\\|", "|").replace("\\n", "\n").replace("\\&", "&") for field in fields
        ]
        if not only or name in only:
            yield name, rooms / file, old, new, tests.split()


def run(tests):
    """Returns the first test that fails, None if all pass; a mutant that does not compile is no mutant."""
    targets = [word for test in tests for word in ("--test", test)]
    command = ["cargo", "test", "--quiet", "--locked", "-p", "canary-core", *targets]
    built = subprocess.run([*command, "--no-run"], cwd=copy, capture_output=True, text=True)
    if built.returncode:
        sys.exit(f"it does not compile:\n{built.stderr[-3000:]}")
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "time ran out"
    if done.returncode == 0:
        return None
    failed = re.search(r"^    (\w+(?:::\w+)*)$", done.stdout.rsplit("failures:", 1)[-1], re.M)
    return failed.group(1) if failed else "the tests"


survivors = 0
print("| mutant | caught by |\n|---|---|", flush=True)
for name, file, old, new, tests in mutants():
    source = file.read_text()
    if old not in source:
        sys.exit(f"{name}: {file.name} holds no such text any more: {old}")
    file.write_text(source.replace(old, new, 1))
    caught = run(tests)
    file.write_text(source)
    survivors += caught is None
    print(f"| {name} | {caught or '**nothing**'} |", flush=True)
sys.exit(f"{survivors} survived" if survivors else 0)
