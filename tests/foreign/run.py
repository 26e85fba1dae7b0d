"""What others made judges the server: run.py --build build/release [--work build/foreign] [--only PART]...

Each part is a module with `run(foreign)`, which yields (title, differences): a list of texts, empty when all is as SECURITY.md
says. Packages come from PyPI into --work. Ends with `N passed, N failed, N skipped`.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

SECONDS = 1800
SHOWN = 200


class Foreign:
    """What the parts share: where they work, the binary, and environments of packages."""

    def __init__(self, options):
        self.root, self.work = ROOT, (ROOT / options.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.binary = pathlib.Path(os.environ.get("FERROD_BIN") or ROOT / options.build / "ferrod").resolve()
        self.security = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())

    def run(self, *command, cwd=None, env=None, text=None, codes=(0,)):
        done = subprocess.run([str(part) for part in command], cwd=cwd or self.work, env={**os.environ, **(env or {})}, capture_output=True,
                              text=True, timeout=SECONDS, check=False, input=text if text is not None else "")
        assert done.returncode in codes, f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
        return done.stdout

    def venv(self, name, *packages):
        """The bin directory of a Python environment with these packages (pinned)."""
        place = self.work / name
        if not (place / "bin/python").exists():
            self.run(sys.executable, "-m", "venv", place)
        if packages:
            self.run(place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        return place / "bin"


def parts():
    from foreign import framing, coverage, tools
    return {"framing": framing.run, "coverage": coverage.run, "tools": tools.run}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--work", default="build/foreign")
    parser.add_argument("--only", action="append", help="a part's name; may be given more than once")
    options = parser.parse_args()
    foreign = Foreign(options)
    os.environ["FERROD_BIN"] = str(foreign.binary)
    passed = failed = 0
    for name, run in parts().items():
        if options.only and name not in options.only:
            continue
        try:
            for title, differences in run(foreign):
                good = not differences
                passed, failed = passed + good, failed + (not good)
                print(f"{name}: {title}: {'good' if good else f'{len(differences)} differences'}", flush=True)
                for text in differences[:SHOWN]:
                    print(f"    {text}", flush=True)
        except Exception:
            failed += 1
            print(f"{name}: bad\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
