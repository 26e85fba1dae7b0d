"""How long a server's event loops have gone without a look for events, as /metrics tells it."""
import contextlib
import re

TURN_SECONDS = 0.25  # that a turn may take of a processor; how long it takes depends on who else uses the machine


def longest_turn(client):
    """Of a loop of the server: in seconds, and in seconds of a processor."""
    text = client.get("/metrics").expect(200).text
    return [float(re.search(rf"^ferrod_loop_longest_turn_{name} ([0-9.e+-]+)$", text, re.MULTILINE).group(1))
            for name in ("seconds", "cpu_seconds")]


@contextlib.contextmanager
def no_long_turn(client, factor=1):
    """What runs meanwhile takes no longer turn than may be; turns before it do not count."""
    before = longest_turn(client)[1]
    yield
    after = longest_turn(client)[1]
    assert after <= max(before, TURN_SECONDS * factor), f"a turn took {after} s of a processor"
