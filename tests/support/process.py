"""Small things that every process of the tests needs."""
import ctypes
import os
import pathlib
import shutil
import socket
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("FERROD_BIN") or ROOT / "build/release/ferrod").resolve()
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(sig):
    """For Popen's preexec_fn: the child gets `sig` when the test run dies, however it dies."""
    def call():
        _libc.prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0)
    return call


def free_port():
    """A port that nobody listens on now (somebody else may take it: callers retry)."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def at_once(s):
    """The socket, and those that it accepts, send small pieces without waiting for the other side's acknowledgement (up to 40 ms each)."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def port_is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def wait_for(condition, seconds=10.0, what="the condition"):
    """Polls until condition() is true and returns its value; AssertionError at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.02)


class Owned:
    """A process of the tests' own with a directory: .process, .dir; both are gone at the end of a with."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)
