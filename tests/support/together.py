"""Many clients at once, and what the server says of work that they share."""
import re
import threading

from .client import Client


def together(server, games):
    """Runs each of them on a client of its own, all at once; what they return, in their order."""
    results, start = [None] * len(games), threading.Barrier(len(games))

    def play(i, game):
        with Client(server.port, validate=False) as c:
            start.wait()
            results[i] = game(c)
    threads = [threading.Thread(target=play, args=pair) for pair in enumerate(games)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def shared_figures(server, kind):
    """What shared round trips and transactions have carried so far, of the default connection; kind: read, write or unit."""
    with Client(server.port) as c:
        text = c.get("/metrics").text
    return {name: int(re.search(rf'^ferrod_lane_{name}_total{{connection="default",kind="{kind}"}} (\d+)$', text, re.M)[1])
            for name in ("statements", "round_trips", "again")}
