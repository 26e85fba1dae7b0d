"""The project on other systems, in roots that debootstrap makes: run.py PART [--roots build/roots] [--release NAME]... [-- SUITE or pytest argument...]

suite        `make deps` and the suites of `make test` on that Debian, with its compiler, libraries and PostgreSQL
first-page   the README's first page from `git clone`, as root and as a user who may install nothing
arm64        cross-built for aarch64 with that Debian's libraries; unit and golden tests under qemu-user

Wants root. Each part ends with `N passed, N failed, N skipped`.
"""
import argparse
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from systems import arm64, first_page, suite  # noqa: E402
from systems.root import REPOSITORY, wants_root  # noqa: E402

PARTS = {"suite": suite.run, "first-page": first_page.run, "arm64": arm64.run}


def main():
    arguments, rest = sys.argv[1:], []
    if "--" in arguments:
        arguments, rest = arguments[:arguments.index("--")], arguments[arguments.index("--") + 1:]
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--roots", default=os.environ.get("ROOTS") or REPOSITORY / "build/roots", type=pathlib.Path)
    parser.add_argument("--release", action="append")
    parser.add_argument("--fresh", action="store_true", help="unpack the root anew")
    options = parser.parse_args(arguments)
    wants_root(options.part)
    options.rest = [argument for argument in rest if argument]
    options.roots.mkdir(parents=True, exist_ok=True)
    return PARTS[options.part](options)


if __name__ == "__main__":
    sys.exit(main())
