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

    def names(self):
        return {path.name for path in (self.root / "cache").rglob("*") if path.is_file()}

    def verdict(self, flags=("-I.",)):
        judge = self.module.Judge(self.root / "cache", list(flags), self.root, str(self.root / "tidy"), "cc")
        return judge.verdict("store/a.c")


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path)
    assert tree.verdict() == (True, "")
    assert tree.verdict() == (False, "")
    return tree


@pytest.mark.parametrize("more", ["/* b\n */", "int g(int a);", "#define TWO ONE", "struct other { int a; };", "extern long l[4];",
                                  "static inline int h(int a)\n{\n\treturn ONE + f(a);\n}"])
def test_what_the_file_does_not_use_changes_no_verdict(tree, more):
    tree.write("store/a.h", HEADER + more + "\n")
    assert tree.verdict() == (False, "")


@pytest.mark.parametrize("more, use", [
    ("int g(int a);", "return g(a);"),
    ("#define TWO (ONE + 1)", "return TWO;"),
    ("enum e { E1, E2 };", "return E1;"),
    ("struct s { enum { S1 } a; int b; };", "return S1;"),
    ("struct s { struct t { int a; } t; };", "struct t *t = 0; return t == 0;"),
    ("extern int l[4];", "return l[a];"),
    ("extern int k, l;", "return l;"),
    ("typedef int word;", "return (word)a;"),
    ("word (*get(void))(int a);", "return get()(a);"),
    ("typedef int (*hook)(int a);", "hook h = f; return h(a);"),
    ("static inline int h(int a)\n{\n\treturn a;\n}", "return h(a);"),
    ("int __attribute__((pure)) g(int a);", "return g(a);"),
    ("struct __attribute__((packed)) s { int a; };", "struct s s = {a}; return s.a;"),
])
def test_what_the_file_uses_changes_its_verdict(tree, more, use):
    """By whatever name it is reached, and however it is written."""
    typed = "typedef int word;\n" if "word (*" in more else ""
    for text in (HEADER + typed + more, HEADER + typed + more.replace("int a", "int  aa").replace("word;", "word, other;")
                 .replace("{ E1", "{ E0, E1").replace("S1 }", "S1 = 2 }").replace("l[4]", "l[5]").replace("k, l", "l, k")
                 .replace("+ 1", "+ 2").replace("(*hook)", "(* const hook)")):
        tree.write("store/a.h", text + "\n")
        tree.write("store/a.c", SOURCE.replace("return a + ONE;", use))
        before = tree.names()
        assert "bad" not in tree.verdict()[1]
        assert tree.names() != before, text


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
