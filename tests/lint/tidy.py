"""clang-tidy over many files, each judged once: tidy.py --cache DIR [--jobs N] FILE... -- COMPILER FLAGS

A verdict is kept under the hash of all that it rests on: the file, what it uses of its includes (reach.py), the flags, the
checks and the version of clang-tidy. A second call, or another checkout that shares DIR, judges only what has changed;
one that is stopped half way goes on where it stopped. What was found is kept and shown again.
"""
import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from reach import used  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("service", "handlers", "store", "openapi")
ANALYZER = "tests/lint/analyzer.h"
DEFINES_THE_SETTERS = "service/base/err.c"  # what ANALYZER redefines


def run(command, root):
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def silenced_in_headers(root):
    """The lines of all headers that silence a check: comments, which the hash of the preprocessed text does not see."""
    for room in ROOMS:
        for header in sorted((root / room).rglob("*.h")):
            yield from (line for line in header.read_text().splitlines() if "NOLINT" in line)


class Judge:
    def __init__(self, cache, flags, root=ROOT, tidy="clang-tidy", compiler="clang"):
        self.cache, self.flags, self.root, self.tidy, self.compiler = cache, flags, root, tidy, compiler
        self.common = hashlib.sha256()
        version = run([tidy, "--version"], root).stdout
        for part in (version, (root / ".clang-tidy").read_text(), *silenced_in_headers(root)):
            self.common.update(part.encode() + b"\0")

    def all_flags(self, name):
        return self.flags + ([] if name == DEFINES_THE_SETTERS else ["-include", ANALYZER])

    def place(self, name):
        """Where the verdict on the file as it is now stands or will stand; None where it cannot be compiled."""
        flags = self.all_flags(name)
        read = run([self.compiler, *flags, "-w", "-E", "-dD", name], self.root)
        if read.returncode != 0:
            return None
        key, own = self.common.copy(), (self.root / name).read_text()
        for part in (" ".join(flags), own, used(read.stdout, name, own)):
            key.update(part.encode() + b"\0")
        return self.cache / name / key.hexdigest()

    def verdict(self, name):
        """(whether it had to be judged, what was found)."""
        place = self.place(name)
        if place and place.exists():
            return False, place.read_text()
        done = run([self.tidy, "--quiet", name, "--", *self.all_flags(name)], self.root)
        found = done.stdout if done.returncode else ""
        if done.returncode < 0 or (done.returncode and "error:" not in found) or not place:
            return True, f"{name}: clang-tidy ended with {done.returncode}\n{done.stdout}{done.stderr}"
        place.parent.mkdir(parents=True, exist_ok=True)
        half = place.with_suffix(f".{os.getpid()}")
        half.write_text(found)
        half.replace(place)
        return True, found


def main():
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description="clang-tidy, each file once")
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("files", nargs="+")
    options = parser.parse_args(words[:cut])
    judge = Judge(ROOT / options.cache, words[cut + 1:])
    judged = faulty = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        verdicts = {pool.submit(judge.verdict, name): name for name in options.files}
        for done in concurrent.futures.as_completed(verdicts):
            fresh, found = done.result()
            judged += fresh
            faulty += bool(found)
            if fresh:
                print(f"  TIDY {verdicts[done]}", flush=True)
            if found:
                print(found, flush=True)
    print(f"clang-tidy: {len(options.files)} files, {judged} judged anew, " +
          (f"{faulty} with findings" if faulty else "clean"))
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
