"""The README's tour, run as printed in one shell against a server of its own: what it shows is what comes."""
import contextlib
import fnmatch
import os
import re
import sqlite3
import subprocess

from support.process import ROOT
from support.readme import check_tour, tour_script
from support.server import Server


def test_tour_does_what_it_says():
    with Server() as server:
        done = subprocess.run(["bash", "-c", tour_script(f"http://127.0.0.1:{server.port}")], cwd=server.dir, capture_output=True,
                              text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    check_tour(done.stdout)


def test_a_database_that_is_brought(postgres_backend):
    """A Django project's file and a Rails application's dump, walked as the page says."""
    from foreign import django, rails
    with Server() as server:
        with contextlib.closing(sqlite3.connect(server.dir / "bakery.sqlite3")) as db:
            db.executescript(django.SQLITE)
            db.commit()
        pg = postgres_backend.pg
        original = pg.create_database()
        pg.psql(rails.POSTGRES, original)
        dump = subprocess.run(["pg_dump", "--no-owner", pg.url(original)], capture_output=True, text=True, timeout=60, check=True)
        (server.dir / "forum.sql").write_text(dump.stdout, encoding="utf-8")
        before = {path.name for path in server.dir.iterdir()}
        done = subprocess.run(["bash", "-c", tour_script(f"http://127.0.0.1:{server.port}", "bring")], cwd=server.dir, capture_output=True, text=True,
                              timeout=120, check=False, env={**os.environ, "FORUM": postgres_backend.url})
        assert done.returncode == 0, done.stdout + done.stderr
        # SQLite's own stand beside the file that was brought
        made = {path.name for path in server.dir.iterdir() if not path.name.startswith("bakery.sqlite3")} - before
    check_tour(done.stdout, "bring")
    assert not_ignored(made) == set()


def not_ignored(names):
    patterns = [line for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split("\n") if line]
    return {name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}


def test_the_tour_leaves_nothing_for_git():
    """What it makes in the working directory is ignored, and the program's own files are."""
    with Server() as server:
        subprocess.run(["bash", "-c", tour_script(f"http://127.0.0.1:{server.port}")], cwd=server.dir, capture_output=True, timeout=120, check=False)
        made = {path.name for path in server.dir.iterdir()} - {"stderr"}
    assert any(name.startswith("shop.db") for name in made)
    assert not_ignored(made) == set()


def test_every_command_is_rehearsed():
    """Shell blocks stand only where a test runs them: the tour and the database that is brought here, the deployment in tests/docker/run.py, the client in
    tests/clients/run.py, the first page in tests/systems/first_page.py."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rest = text
    for mark in ("first", "tour", "bring", "client", "compose", "pair"):
        start, end = rest.index(f"<!-- {mark} -->"), rest.index(f"<!-- end of {mark} -->")
        assert start < end and "```sh" in rest[start:end], mark
        rest = rest[:start] + rest[end:]
    assert "```sh" not in rest


def test_links_and_targets_exist():
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / target).exists(), f"{name}: {target}"
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in re.findall(r"`make ([a-z0-9-]+)", text):
            assert re.search(rf"^(?:[a-z0-9-]+ )*{target}(?: [a-z0-9-]+)*:", makefile, re.M), f"{name}: make {target}"
