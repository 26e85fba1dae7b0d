"""The matrix of tests/support/matrix.py for long: identity.py [--seconds N] [--cycles N] [--backend sqlite|postgres]."""
import argparse
import pathlib
import shutil
import sys
import tempfile

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.matrix import Matrix  # noqa: E402
from support.pg import Postgres  # noqa: E402
from support.server import Server  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600, help="of both databases together, unless --cycles is given")
    parser.add_argument("--cycles", type=int, help="a database")
    parser.add_argument("--backend", action="append", choices=["sqlite", "postgres"])
    parser.add_argument("--only", help="pairs whose names hold this")
    o = parser.parse_args()
    backends = o.backend or ["sqlite", "postgres"]
    scratch = tempfile.mkdtemp(prefix="ferrod-matrix-")
    postgres = Postgres() if "postgres" in backends else None
    failed = 0
    try:
        with Server(config={"access_log": False}) as server:
            for name in backends:
                url = postgres.url(postgres.create_database()) if name == "postgres" else f"sqlite:{scratch}/matrix.db?mode=rwc"
                game = Matrix(server, name, url, only=o.only)
                game.run(None if o.cycles else o.seconds / len(backends), o.cycles)
                game.close()
                print(game.report(), flush=True)
                failed += bool(game.faults)
    finally:
        if postgres is not None:
            postgres.destroy()
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{len(backends) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
