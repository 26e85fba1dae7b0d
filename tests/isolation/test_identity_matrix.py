"""Every write path beside every read path in one session, a while of it; `make soak` runs it for longer."""
import os

from support.matrix import Matrix
from support.matrix_paths import PAIRS

SECONDS = float(os.environ.get("FERROD_MATRIX_SECONDS", "15"))
CYCLES = int(os.environ.get("FERROD_MATRIX_CYCLES", "0"))


def test_the_map_never_goes_back(server, backend):
    """Nothing that a session reads is older than its own acknowledged write, or was never committed."""
    game = Matrix(server, f"matrix_{backend.name}", backend.url)
    if CYCLES:
        game.run(cycles=CYCLES)
    else:
        game.run(seconds=SECONDS)
    game.close()
    print(game.report())
    assert not game.faults, game.report()
    # SQLite refuses a write after a read that others have overtaken: only who asked for a read before may be told so
    late = [name for name, code in game.refused if code == "serialization_failure" and name != "w_tx_reads_first"]
    assert not late, game.refused
    assert CYCLES or game.cycles > len(PAIRS) / 10, f"only {game.cycles} cycles: {game.report()}"
