"""The README's tour, run as printed in one shell against a server of its own: what it shows is what comes."""
import re
import subprocess

from support.process import ROOT
from support.server import Server


def tour():
    """(commands, shown output) of every step; the output of a block of commands follows it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = text[text.index("<!-- tour -->"):text.index("<!-- end of tour -->")]
    blocks = re.findall(r"^```(sh|json|text)\n(.*?)^```$", text, re.M | re.S)
    steps = []
    for kind, body in blocks:
        if kind == "sh":
            steps.append([body, ""])
        else:
            steps[-1][1] = body
    return steps


def test_tour_does_what_it_says():
    steps = tour()
    assert len(steps) > 6
    with Server() as server:
        script = ["set -eu -o pipefail"]
        for number, (commands, _) in enumerate(steps):
            script.append(f"echo '@@ {number}'")
            script.append(commands.replace("http://localhost:8080", f"http://127.0.0.1:{server.port}"))
        done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=server.dir, capture_output=True, text=True,
                              timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    got = re.split(r"^@@ \d+\n", done.stdout, flags=re.M)[1:]
    for (commands, shown), output in zip(steps, got, strict=True):
        assert output == shown, commands


def test_every_command_is_rehearsed():
    """Shell blocks stand only where a test runs them: the tour here, the deployment in tests/docker/run.py, the client in tests/clients/run.py."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rest = text
    for mark in ("tour", "client", "secrets", "compose", "pair"):
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
        for target in re.findall(r"`make ([a-z-]+)", text):
            assert re.search(rf"^(?:[a-z-]+ )*{target}(?: [a-z-]+)*:", makefile, re.M), f"{name}: make {target}"
