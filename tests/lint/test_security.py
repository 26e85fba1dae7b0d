"""SECURITY.md against the tree: a promise is worth the file that keeps it and the test that shows it."""
import re

import pytest

from support.process import ROOT

ROOMS = ("service/", "handlers/", "store/", "openapi/", "tests/")
OUTSIDE = {"libFuzzer under ASan and UBSan", "sanitizers, valgrind"}  # what is kept by no file of ours


def targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    heads = re.findall(r"^([a-z][a-z -]*):(?!=)", makefile, re.M)
    return {word for head in heads for word in head.split()}


def has_test(text, name, suffix):
    """A test of Python by its definition, one of C by its entry in the program's list."""
    if suffix == ".py":
        return re.search(rf"^def {name}\(", text, re.M) is not None
    return re.search(rf"\b(?:TEST|cmocka_unit_test\w*)\({name}\b", text) is not None


def faults(document):
    """What the text names and the tree has not; rows of the table that name no file, or no check."""
    found, path, known = [], None, targets()
    for word in re.findall(r"`([^`\n]+)`", document):
        name, _, test = word.partition("::")
        if name.startswith("make "):
            found += [f"make {target}: no target" for target in re.findall(r"^make ([a-z-]+)", name) if target not in known]
        if name.startswith(ROOMS):
            path = ROOT / name
            if not path.exists():
                found.append(f"{name}: no such file")
        if test and (path is None or not path.is_file()
                     or not has_test(path.read_text(encoding="utf-8"), re.escape(test), path.suffix)):
            found.append(f"{word}: no such test")
    return found + [fault for row in rows(document) for fault in faults_of_row(row)]


def rows(document):
    """The table's rows: promise, how, check."""
    _, head, table = document.partition("| promise | how | check |\n|---|---|---|\n")
    assert head
    return [line.strip("|").split(" | ") for line in table.split("\n\n")[0].splitlines()]


def faults_of_row(row):
    if len(row) != 3:
        return [f"{row[0][:60]}: {len(row)} cells"]
    promise, how, check = (cell.strip() for cell in row)
    found = []
    if how not in OUTSIDE and not re.search(r"`(?:(?:service|handlers|store)/[\w/]+\.[ch]|Makefile)`", how):
        found.append(f"{promise[:60]}: kept by no file")
    if not re.search(r"`(?:tests/[\w/]+\.(?:py|c)(?:::\w+)?|make [a-z-]+)`", check):
        found.append(f"{promise[:60]}: shown by no test")
    return found


def test_every_promise_has_its_file_and_its_test():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert len(rows(text)) > 50
    assert faults(text) == []


@pytest.mark.parametrize("how, check, fault", [
    ("`service/auth/nowhere.c`", "`tests/api/test_auth.py`", "no such file"),
    ("`service/auth/keys.c`", "`tests/api/test_nothing.py`", "no such file"),
    ("`service/auth/keys.c`", "`tests/api/test_auth.py::test_nothing`", "no such test"),
    ("`service/auth/keys.c`", "`tests/api/test_auth.py::test_key_new`, `::test_key`", "no such test"),
    ("`service/auth/keys.c`", "`tests/unit/test_schema_sql.c::nothing`", "no such test"),
    ("`service/auth/keys.c`", "`make nothing`", "no target"),
    ("with care", "`tests/api/test_auth.py`", "kept by no file"),
    ("`service/auth/keys.c`", "by reading", "shown by no test"),
    ("`service/auth/keys.c`", "`tests/api/test_auth.py` | more", "4 cells"),
])
def test_what_is_not_there_is_found(how, check, fault):
    found = faults(f"| promise | how | check |\n|---|---|---|\n| It holds | {how} | {check} |\n\nMore.\n")
    assert any(fault in line for line in found), found


def test_what_is_there_is_no_fault():
    assert faults("| promise | how | check |\n|---|---|---|\n| It holds | `service/auth/keys.c` | `tests/api/test_auth.py::test_key_new`,"
                  " `::test_reload`, `tests/unit/test_schema_sql.c::test_types`, `make asan` |\n\nMore.\n") == []
