"""`make tidy` judges a file once, and again when what its verdict rests on has changed."""
import importlib.util

import pytest

from support.process import ROOT

HEADER = "/* a */\n#define ONE 1\nint f(int a);\n"
SOURCE = '#include "store/a.h"\nint f(int a)\n{\n\treturn a + ONE;\n}\n'
# Counts its calls, and finds fault with what holds the word "bad".
TIDY = """#!/bin/sh
[ "$1" = --version ] && { cat version; exit 0; }
echo "$2" >> calls
[ -f dies ] && exit 137
grep -q bad "$2" || exit 0
echo "$2:1:1: error: bad"
exit 1
"""


class Tree:
    def __init__(self, root):
        self.root = root
        for name, text in {"store/a.h": HEADER, "store/a.c": SOURCE, "tidy": TIDY, "version": "1", ".clang-tidy": "x",
                           "tests/lint/analyzer.h": "", "calls": ""}.items():
            self.write(name, text)
        (root / "tidy").chmod(0o755)
        spec = importlib.util.spec_from_file_location("tidy", ROOT / "tests/lint/tidy.py")
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def verdict(self, flags=("-I.",)):
        judge = self.module.Judge(self.root / "cache", list(flags), self.root, str(self.root / "tidy"), "cc")
        return judge.verdict("store/a.c")


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path)
    assert tree.verdict() == (True, "")
    assert tree.verdict() == (False, "")
    return tree


def test_a_comment_of_a_header_changes_no_verdict(tree):
    tree.write("store/a.h", HEADER.replace("/* a */", "/* b\n */"))
    assert tree.verdict() == (False, "")


@pytest.mark.parametrize("name, text", [
    ("store/a.c", SOURCE + "/* more */\n"),
    ("store/a.h", HEADER.replace("ONE 1", "ONE 2")),
    ("store/a.h", HEADER.replace("(int a)", "(int b)")),
    ("store/a.h", HEADER.replace("/* a */", "/* NOLINT */")),
    (".clang-tidy", "y"),
    ("version", "2"),
])
def test_what_a_verdict_rests_on_is_judged_anew(tree, name, text):
    before = (tree.root / name).read_text()
    tree.write(name, text)
    assert tree.verdict() == (True, "")
    tree.write(name, before)
    assert tree.verdict() == (False, ""), "the old verdict is still there"


def test_other_flags_are_judged_anew(tree):
    assert tree.verdict(["-I.", "-DX"]) == (True, "")


def test_what_was_found_is_shown_again(tree):
    tree.write("store/a.c", SOURCE + "/* bad */\n")
    assert tree.verdict() == (True, "store/a.c:1:1: error: bad\n")
    assert tree.verdict() == (False, "store/a.c:1:1: error: bad\n")


def test_a_judge_that_dies_leaves_no_verdict(tree):
    tree.write("store/a.c", SOURCE + "\n")
    tree.write("dies", "")
    fresh, found = tree.verdict()
    assert fresh and "ended with 137" in found
    (tree.root / "dies").unlink()
    assert tree.verdict() == (True, "")


def test_what_does_not_compile_is_judged_each_time(tree):
    tree.write("store/a.c", '#include "nowhere.h"\n')
    assert tree.verdict()[0] and tree.verdict()[0]
