"""The flags of the Makefile have reached the binary: what readelf says of build/release/ferrod."""
import re
import subprocess

import pytest

from support.process import BINARY, ROOT


def readelf(*options):
    done = subprocess.run(["readelf", *options, str(BINARY)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def release():
    if BINARY.parent.name in ("asan", "tsan", "debug", "fuzz"):
        pytest.skip("only release builds are hardened")


def test_position_independent_executable():
    assert re.search(r"Type:\s+DYN", readelf("-hW"))
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", readelf("-dW"))


def test_read_only_relocations_bound_at_start():
    assert "GNU_RELRO" in readelf("-lW")
    assert re.search(r"\(FLAGS_1\).*\bNOW\b|\(BIND_NOW\)", readelf("-dW"))


def test_no_executable_stack_and_nothing_writable_and_executable():
    segments = re.findall(r"^\s+(\w+)\s+0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ ([R ][W ][E ])", readelf("-lW"), re.M)
    flags = dict(segments)
    assert flags["GNU_STACK"] == "RW "
    assert not [kind for kind, flag in segments if "W" in flag and "E" in flag]


def test_stack_canaries_and_checked_calls():
    symbols = readelf("--dyn-syms", "-W")
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__(memcpy|snprintf|vsnprintf|fprintf|read|recv)_chk", symbols)


def test_no_search_path_and_no_text_relocations():
    dynamic = readelf("-dW")
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic and "TEXTREL" not in dynamic
