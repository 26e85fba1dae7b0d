"""Runs the suites and counts: run_tests.py --build build/release [--valgrind] [--under PROGRAM] SUITE... [-- pytest arguments].

Suites: unit, golden (cmocka programs and pytest files), fuzz (the stored corpus through each target), lint,
api, browser (pytest). One line a suite, what failed in full, and as the last line `N passed, N failed, N skipped`.
Ends with 1 when something failed, or when a suite that must hold tests held none.
"""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM_SECONDS = 300
PYTEST_SECONDS = int(os.environ.get("FERROD_TEST_SECONDS", "1800"))  # of a part of the api suite
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=0:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:second_deadlock_stack=1",
}


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def __add__(self, other):
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def show(title, output):
    print(f"---- {title}")
    print(output.rstrip())
    print("----", flush=True)


def run(command, env, seconds):
    """(exit code, output); a program that does not end is killed and counts as failed."""
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace")
    except OSError as e:
        return -1, f"cannot run: {e}"
    except subprocess.TimeoutExpired as e:
        return -1, (e.stdout or b"").decode("utf-8", "replace") + f"\nstill running after {seconds} s: killed"


def parse_tap(code, output):
    """What a cmocka program said in TAP. One that dies in mid-run lost its tests: that is a failure too."""
    passed = len(re.findall(r"^ok \d+ - ", output, re.M))
    skipped = len(re.findall(r"^(?:not )?ok \d+ # SKIP", output, re.M))
    failed = len(re.findall(r"^not ok \d+ - ", output, re.M))
    planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)$", output, re.M))
    failed = max(failed, planned - passed - skipped)
    if failed == 0 and (code != 0 or planned == 0):
        failed = 1
    return Count(passed, failed, skipped)


IN_MEMORY_BYTES = 8 << 30


def scratch():
    """Where tests keep their files: in memory where there is much of it, for they make and remove a hundred thousand; None: as usual."""
    with contextlib.suppress(OSError):
        there = os.statvfs("/dev/shm")
        if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) and there.f_bavail * there.f_frsize >= IN_MEMORY_BYTES:
            return "/dev/shm"
    return None


SHARDS = 3  # of the api and isolation suites: their tests wait as much as they compute
SHARDED = ("api", "isolation")  # one division of both when both are asked for


class Runner:
    def __init__(self, options):
        self.build = ROOT / options.build
        self.valgrind = options.valgrind
        self.lock, self.slowest, self.reasons = threading.Lock(), [], collections.Counter()
        self.under = [options.under] if options.under else []
        self.extra = options.extra
        self.which = {"short": ["-m", "not long"], "long": ["-m", "long"]}.get(os.environ.get("FERROD_TESTS", "short"), [])
        self.env = dict(os.environ, **SANITIZER_ENV)
        self.env["FERROD_BIN"] = os.environ.get("FERROD_BIN") or str(self.build / "ferrod")
        self.env["FERROD_BUILD"] = str(self.build)
        if self.valgrind:
            self.env["FERROD_TEST_VALGRIND"] = "1"

    def program(self, path):
        command = [str(path)]
        if self.valgrind:
            command = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite",
                       "--show-leak-kinds=definite", "--trace-children=no"] + command
        code, output = run(self.under + command, dict(self.env, CMOCKA_MESSAGE_OUTPUT="TAP"),
                           PROGRAM_SECONDS * (3 if self.valgrind or self.under or self.build.name in ("asan", "tsan") else 1))
        count = parse_tap(code, output)
        if count.failed:
            show(f"{path.relative_to(self.build)} (exit code {code})", output)
        return count

    @contextlib.contextmanager
    def postgres(self):
        """A server for the programs that ask for one by FERROD_TEST_PG_URL; one that is named already is used."""
        if "FERROD_TEST_PG_URL" in os.environ:
            yield
            return
        sys.path.insert(0, str(ROOT / "tests"))
        from support.pg import Postgres
        server = Postgres()
        try:
            self.env["FERROD_TEST_PG_URL"] = server.url(server.create_database())
            yield
        finally:
            self.env.pop("FERROD_TEST_PG_URL", None)
            server.destroy()

    def unit(self):
        with self.postgres():
            return self.programs("unit")

    def programs(self, suite):
        sources = sorted((ROOT / "tests" / suite).rglob("test_*.c"))
        binaries = [self.build / source.relative_to(ROOT).with_suffix("") for source in sources]
        with ThreadPoolExecutor(max_workers=2) as pool:
            return sum(pool.map(self.program, binaries), Count())

    def pytest(self, suite):
        return self.together([suite])[suite]

    def together(self, suites):
        """Several suites of pytest in one division: {suite: its count}."""
        where = [argument for argument in self.extra if argument] if suites == ["api"] else []
        if any(argument.startswith("tests/") for argument in where):
            return {"api": self.pytest_on("api", where)}
        suite_of = {path: suite for suite in suites for folder in [suite] + (["fault"] if suite == "api" else [])
                    for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))}
        counts = {suite: Count() for suite in suites}
        if not suite_of:
            return counts

        def run_shard(shard):
            """One pytest for each suite of the shard, one after the other: each has fixtures of its own."""
            for suite in suites:
                files = [str(path.relative_to(ROOT)) for path in shard if suite_of[path] == suite]
                count = self.pytest_on(suite, files + where) if files else Count()
                with self.lock:
                    counts[suite] += count
        shards = self.shards(list(suite_of), SHARDS if set(suites) & set(SHARDED) else 1)
        with ThreadPoolExecutor(max_workers=len(shards)) as pool:
            list(pool.map(run_shard, shards))
        return counts

    def shards(self, files, n):
        """Whole files in n parts that take about as long, as far as an earlier run has told; each part runs beside the others with
        servers of its own."""
        seconds = self.told_durations()
        known = [path for path in files if str(path.relative_to(ROOT)) in seconds]
        per_byte = sum(seconds[str(p.relative_to(ROOT))] for p in known) / max(1, sum(p.stat().st_size for p in known)) if known else 1
        takes = {path: seconds.get(str(path.relative_to(ROOT)), path.stat().st_size * per_byte) for path in files}
        parts = [[0, []] for _ in range(min(n, len(files)))]
        for path in sorted(files, key=lambda path: -takes[path]):
            least = min(parts, key=lambda part: part[0])
            least[0] += takes[path]
            least[1].append(path)
        return [sorted(part[1]) for part in parts]

    def durations(self, suites):
        """Keeps how long each file took, and which tests took longest, for who wants to look and for the next run's parts."""
        tests = []
        for case in suites.iter("testcase"):
            path = "tests/" + case.get("classname").replace(".", "/") + ".py"
            if (ROOT / path).exists():
                tests.append((float(case.get("time")), path, case.get("name")))
        with self.lock:
            files = self.told_durations()
            for path in {test[1] for test in tests}:
                files[path] = round(sum(test[0] for test in tests if test[1] == path), 1)
            self.slowest = sorted(self.slowest + tests, reverse=True)[:15]
            (self.build / "durations.json").write_text(json.dumps(
                {"slowest": [f"{took:.1f} s {path}::{name}" for took, path, name in self.slowest], "files": files}, indent=1), encoding="utf-8")

    def told_durations(self):
        """By an earlier run here, else by the one that is kept with the tests: a copy of build/<variant>/durations.json."""
        for path in (self.build / "durations.json", ROOT / "tests/durations.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                return json.loads(path.read_text(encoding="utf-8"))["files"]
        return {}

    def pytest_on(self, suite, where):
        with tempfile.TemporaryDirectory(prefix="ferrod-tests-", dir=scratch()) as own:
            os.chmod(own, 0o755)  # PostgreSQL has a user of its own
            report = pathlib.Path(own) / "junit.xml"
            command = ["/usr/bin/python3", "-B", "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir=tests", "-q",
                       "-rfE", "--tb=short", "--no-header", f"--junitxml={report}", *self.which] + where
            code, output = run(command, dict(self.env, TMPDIR=own), PYTEST_SECONDS)
            if code not in (0, 5):
                show(f"pytest tests/{suite} (exit code {code})", output)
            try:
                root = ElementTree.parse(report).getroot()
            except (OSError, ElementTree.ParseError):
                return Count(failed=1)
            if not self.extra:  # those of a part of a file would tell nothing of it
                self.durations(root)
            with self.lock:
                self.reasons.update(skip.get("message") for skip in root.iter("skipped"))
            total = Count()
            for found in root.iter("testsuite"):
                failed = int(found.get("failures")) + int(found.get("errors"))
                skipped = int(found.get("skipped"))
                total += Count(int(found.get("tests")) - failed - skipped, failed, skipped)
            if code not in (0, 1, 5) and total.failed == 0:
                total += Count(failed=1)
            return total

    def fuzz(self):
        total = Count()
        for source in sorted((ROOT / "tests/fuzz").glob("fuzz_*.c")):
            name = source.stem
            corpus = sorted(p for p in (ROOT / "tests/fuzz/corpus" / name[len("fuzz_"):]).rglob("*") if p.is_file())
            if not corpus:
                print(f"{name}: no corpus in tests/fuzz/corpus/{name[len('fuzz_'):]}")
                total += Count(failed=1)
                continue
            code, output = run([str(self.build / "tests/fuzz" / name)] + [str(p) for p in corpus], self.env, PROGRAM_SECONDS)
            if code == 0:
                total += Count(passed=len(corpus))
            else:
                show(f"{name} (exit code {code}; the last file named is the culprit)", output)
                total += Count(passed=max(output.count("\n") - 1, 0), failed=1)
        return total

    def layers(self):
        code, output = run(["/usr/bin/python3", "-B", "tests/lint/layers.py"], self.env, 60)
        if code:
            show("tests/lint/layers.py", output)
        return Count(passed=1) if code == 0 else Count(failed=1)

    def suite(self, name, beside=()):
        """{suite: count}: of it, and of those that run in one division with it."""
        if beside:
            return self.together([name, *beside])
        return {name: self.alone(name)}

    def alone(self, name):
        if name == "fuzz":
            return self.fuzz()
        if name == "lint":
            return self.layers() + self.pytest("lint")
        if name in ("api", "isolation", "browser"):
            return self.pytest(name)
        # pytest files of the unit and golden suites run once, not under valgrind
        programs = self.unit() if name == "unit" else self.programs(name)
        return programs + (Count() if self.valgrind else self.pytest(name))


SIGN_SECONDS = 10


class Signs:
    """A line now and then while a suite says nothing, so that nobody takes it for dead."""

    def __init__(self, name):
        self.name, self.started, self.ended = name, time.monotonic(), threading.Event()
        self.thread = threading.Thread(target=self.give, daemon=True)

    def give(self):
        while not self.ended.wait(SIGN_SECONDS):
            print(f"{self.name:<8} ... {time.monotonic() - self.started:.0f} s", flush=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--valgrind", action="store_true")
    parser.add_argument("--under", help="emulator that runs the unit and golden programs")
    parser.add_argument("suites", nargs="+", choices=["unit", "golden", "fuzz", "lint", "api", "isolation", "browser"])
    arguments = sys.argv[1:]
    extra = []
    if "--" in arguments:
        extra = arguments[arguments.index("--") + 1:]
        arguments = arguments[:arguments.index("--")]
    options = parser.parse_args(arguments)
    options.extra = extra
    runner = Runner(options)
    total, told = Count(), set()
    sharded = [name for name in options.suites if name in SHARDED and not extra]
    for name in options.suites:
        if name in told:
            continue
        started = time.monotonic()
        with Signs(name):
            counts = runner.suite(name, [other for other in sharded if other != name] if name in sharded else ())
        for each, count in counts.items():
            told.add(each)
            if count.passed + count.failed + count.skipped == 0 and each != "fuzz":
                print(f"{each}: holds no tests")
                count.failed = 1
            total += count
            print(f"{each:<8} {count}  ({time.monotonic() - started:.1f} s{', with ' + name if each != name else ''})", flush=True)
    for reason, times in runner.reasons.most_common():
        print(f"skipped {times}: {reason}")
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
