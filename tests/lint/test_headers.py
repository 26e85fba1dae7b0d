"""Headers say first what they are for and who owns what: in five lines, so that it is read."""
import re

import pytest

from support.process import ROOT

LINES = 5
HEADERS = sorted(path for room in ("service", "handlers", "store", "openapi") for path in (ROOT / room).rglob("*.h"))
# "owned by the pool", "lives in the request's arena", "pure", "plain data", "only store/query/ includes it" ...
OWNERSHIP = re.compile(r"\b(owns?|owned|owner|owning|borrows?|borrowed|arena|pure|plain data|private to|"
                       r"(only|nobody else|only they) [\w/. ]*includes? (it|this|them))\b", re.I)


def opening(text):
    """The lines of the comment that a file begins with; None: it begins with something else."""
    match = re.match(r"/\*(.*?)\*/\n", text, re.S)
    return match and [line.strip().removeprefix("*").strip() for line in match.group(1).strip().split("\n")]


def faults(text):
    lines = opening(text)
    if lines is None:
        return ["begins with no comment"]
    said = " ".join(lines)
    return [fault for fault, is_one in (
        (f"opens with {len(lines)} lines, more than {LINES}", len(lines) > LINES),
        ("does not say who owns what it offers", not OWNERSHIP.search(said)),
        ("does not say what it is for", len(said) < 20),
    ) if is_one]


def test_every_header_opens_with_what_it_is_for_and_who_owns_it():
    assert len(HEADERS) > 150
    found = {path.relative_to(ROOT).as_posix(): faults(path.read_text(encoding="utf-8")) for path in HEADERS}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize("text, n", [
    ("/* Numbers and their text. Owns nothing. */\n", 0),
    ("/*\n * Numbers and\n * their text. Pure.\n */\n", 0),
    ("#ifndef X\n/* Numbers and their text. Pure. */\n", 1),
    ("/* Numbers and their text. */\n", 1),
    ("/*\n" + " * Numbers, which are pure.\n" * 6 + " */\n", 1),
    ("/* Pure. */\n", 1),
])
def test_openings_are_judged(text, n):
    assert len(faults(text)) == n


@pytest.mark.parametrize("header", ["store/driver/postgres/postgres_driver.h", "store/driver/sqlite/sqlite_internal.h"])
def test_a_drivers_header_lists_every_file_of_its_folder(header):
    text = (ROOT / header).read_text(encoding="utf-8")
    here = {path.name for path in (ROOT / header).parent.glob("*.c")}
    assert {name for name in here if name not in text} == set()
