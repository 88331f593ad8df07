"""Writes all mutants of some rooms into one source: each function asks at run time which of its bodies it shall be."""

import json
import pathlib
import re
import subprocess
from collections import defaultdict

MODULE = """
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static REACHED: [AtomicBool; %d] = [const { AtomicBool::new(false) }; %d];
static CHOSEN: OnceLock<u32> = OnceLock::new();

/// Returns the mutant to be, and notes that a function was reached.
pub(crate) fn mutant(function: usize) -> u32 {
    if !REACHED[function].load(Ordering::Relaxed) && !REACHED[function].swap(true, Ordering::Relaxed) {
        if let Some(path) = std::env::var_os("CANARY_REACHED") {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(format!("{function}\\n").as_bytes()).unwrap();
        }
    }
    *CHOSEN.get_or_init(|| std::env::var("CANARY_MUTANT").map_or(0, |id| id.parse().unwrap()))
}
"""


class Schemata:
    """The mutants of some rooms, and the copy of the tree that holds them."""

    def __init__(self, copy, rooms):
        self.copy = pathlib.Path(copy)
        listed = json.loads((self.copy / "mutants.json").read_text())
        self.mutants = [mutant for mutant in listed if room_of(mutant) in rooms]
        self.outcome = {}  # what is known of a mutant without a run, and why: by its number
        self.const = set()  # functions that constants call
        self.arms = {}  # file -> [(first line, last line, mutant)]
        self.functions = {}  # (file, start) -> number
        self.of = {}  # mutant -> number of its function
        sources = sorted((self.copy / "canary-core/src").rglob("*.rs"))
        self.sources = {str(path.relative_to(self.copy)): path.read_text() for path in sources}
        for number, mutant in enumerate(self.mutants, 1):
            mutant["id"] = number
            if not mutant["function"]:
                self.outcome[number] = ("skipped", "it is a constant")
            elif "impl " in mutant["function"]["return_type"]:
                self.outcome[number] = ("skipped", "the function returns an impl")

    def build(self):
        """Writes the mutants, and leaves out those that do not compile until the rest does."""
        for attempt in range(1, 40):
            self.write()
            check = ["cargo", "check", "--quiet", "--locked", "-p", "canary-core", "--lib", "--profile", "test", "--all-features"]
            done = subprocess.run([*check, "--message-format=json"], cwd=self.copy, capture_output=True, text=True)
            if done.returncode == 0:
                return
            left, kept = len(self.outcome), len(self.const)
            strange = [error for error in errors(done.stdout) if not self.leave_out(error)]
            print(f"check {attempt}: {len(self.outcome)} left out, {len(self.const)} stay const", flush=True)
            if (left, kept) == (len(self.outcome), len(self.const)):
                raise SystemExit("\n".join(error["rendered"] for error in strange[:5]) or done.stderr[-3000:])
        raise SystemExit("it does not come to compile")

    def leave_out(self, error):
        """Leaves out the mutants in which an error lies, or gives a function its `const` back; tells whether it could."""
        named = re.search(r"cannot call non-const (?:associated )?(?:function|method) `([^`]+)`", error["message"])
        if named:
            words = re.sub(r"::<[^>]*>|<[^>]*>", "", named[1]).split("::")
            self.const |= {words[-1], "::".join(words[-2:])}
            return True
        found = False
        for span in error["spans"]:
            while span["file_name"] not in self.arms and span["expansion"]:
                span = span["expansion"]["span"]
            for first, last, number in self.arms.get(span["file_name"], []):
                if first <= span["line_start"] <= last:
                    self.outcome.setdefault(number, ("unviable", error["message"]))
                    found = True
        return found

    def write(self):
        self.arms.clear()
        by_file = defaultdict(list)
        for mutant in self.mutants:
            if mutant["id"] not in self.outcome:
                by_file[mutant["file"]].append(mutant)
        for file, source in self.sources.items():
            text = self.mutated(file, source, by_file[file])
            if file == "canary-core/src/lib.rs":
                text += "\nmod mutant;\npub(crate) use mutant::mutant;\n"
            update(self.copy / file, text)
        count = len(self.functions) + 1
        update(self.copy / "canary-core/src/mutant.rs", MODULE % (count, count))

    def mutated(self, file, source, mutants):
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        at = lambda place: starts[place["line"] - 1] + place["column"] - 1
        spans = {(at(m["function"]["span"]["start"]), at(m["function"]["span"]["end"])) for m in mutants}
        outer = sorted(s for s in spans if not any(o[0] <= s[0] and s[1] <= o[1] and o != s for o in spans))
        out, done, arms, stays = [], 0, self.arms.setdefault(file, []), constant_functions(source, self.const)
        for begin, end in outer:
            # A function within a function is a part of that function's body.
            mine = [m for m in mutants if begin <= at(m["function"]["span"]["start"]) < end]
            name = mine[0]["function"]["function_name"].split("::")[-1]
            head = re.compile(rf"^(?!\s*//).*?\bfn {name}\b", re.M).search(source, source.rfind("\n", 0, begin) + 1)
            if any(begin <= place < end for place in stays):
                self.outcome.update((m["id"], ("skipped", "constants call the function")) for m in mine)
                continue
            function = self.functions.setdefault((file, begin), len(self.functions))
            body = opening(source, head.end())
            out.append(source[done:body] + f"match crate::mutant({function}) {{\n")
            for m in mine:
                first, last = at(m["span"]["start"]), at(m["span"]["end"])
                self.of[m["id"]] = function
                line = "".join(out).count("\n") + 1
                out.append(f"{m['id']} => {{{source[body:first]}{m['replacement']} {source[last:end - 1]}}}\n")
                arms.append((line, line + out[-1].count("\n") - 1, m["id"]))
            out.append(f"_ => {{{source[body:end - 1]}}}\n}}")
            done = end - 1
        text = "".join(out) + source[done:]
        return unconst(text, self.const)


def room_of(mutant):
    return pathlib.Path(mutant["file"]).parts[2]


def opening(source, at):
    """Returns where a function's body begins, past the braces of patterns among its arguments."""
    depth = 0
    while source[at] != "{" or depth:
        depth += {"(": 1, ")": -1}.get(source[at], 0)
        at += 1
    return at + 1


def unconst(text, kept):
    """Takes `const` from the functions of a source, but for those that are kept."""
    stays = constant_functions(text, kept)
    return re.sub(r"\bconst fn\b", lambda found: found[0] if found.start() in stays else "fn", text)


def constant_functions(text, kept):
    """Returns where the functions stand that keep their `const`."""
    stays, owner = set(), ""
    for found in re.finditer(r"^impl(?:<[^{]*?>)? (?:[^{]*? for )?(?:\w+::)*(\w+)|\bconst fn (\w+)|^\}", text, re.M):
        if found[1]:
            owner = found[1]
        elif found[2]:
            if (f"{owner}::{found[2]}" if owner else found[2]) in kept:
                stays.add(found.start())
        else:
            owner = ""
    return stays


def errors(stdout):
    for line in stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") == "compiler-message" and message["message"]["level"] == "error":
            yield message["message"]


def update(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
