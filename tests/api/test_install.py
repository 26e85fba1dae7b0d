"""What `make install` puts where, and that its parts fit the program."""
import json
import os
import re
import shutil
import subprocess

import pytest

from support.process import ROOT
from support.server import run_binary

BINDIR, SHARE, UNITS = "usr/bin", "usr/share", "usr/lib/systemd/system"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    target = tmp_path_factory.mktemp("install")
    build = os.environ.get("FERROD_BUILD", "build/release")
    variant = os.path.basename(build) if os.path.basename(build) in ("release", "debug", "asan", "tsan") else "release"
    done = subprocess.run(["make", "-o", "build", "install", f"VARIANT={variant}", f"DESTDIR={target}", "PREFIX=/usr"], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_examples_are_installed(tree):
    for name in ("haproxy.cfg", "kubernetes.yaml", "alerts.yml", "dashboard.json"):
        assert (tree / SHARE / "ferrod" / name).read_bytes() == (ROOT / "service/dist" / name).read_bytes()


def test_manual_names_every_setting(tree):
    page = (tree / SHARE / "man/man8/ferrod.8").read_text(encoding="utf-8").replace("\\-", "-")
    for row in json.loads(run_binary("--print-settings")[1]):
        assert f'.BR {row["flag"]} " ({row["env"]})"' in page
    for word in ("SIGHUP", "EXIT STATUS"):
        assert word in page


# every command that the program's own help names
COMMANDS = {"check-config", "healthcheck", "state export", "key new", "key seal", "backup", "help", "version"}


def test_every_command_is_offered_and_explained(tree):
    """`backup` was in no completion, and half of them not in the manual."""
    usage = run_binary("help")[1].split("\n\n")[0]
    said = set(re.findall(r"(?:ferrod|\|) ([a-z][a-z-]*(?: (?:new|seal|export))?)", usage))
    assert said == COMMANDS
    page = (tree / SHARE / "man/man8/ferrod.8").read_text(encoding="utf-8").replace("\\-", "-").split(".SH COMMANDS")
    for command in COMMANDS:
        assert command in re.sub(r"[^a-z \n-]", "", page[0]).replace("\n", " ") and command in page[1], command
    for path in ("bash-completion/completions/ferrod", "zsh/site-functions/_ferrod", "fish/vendor_completions.d/ferrod.fish"):
        text = (tree / SHARE / path).read_text(encoding="utf-8")
        assert {word for command in COMMANDS for word in command.split()} <= set(re.findall(r"[a-z-]+", text)), path


def test_completion_offers_words_and_settings(tree):
    script = f"""source {tree}/{SHARE}/bash-completion/completions/ferrod
        COMP_WORDS=({tree}/{BINDIR}/ferrod "$1"); COMP_CWORD=1; _ferrod; printf '%s\\n' "${{COMPREPLY[@]}}" """
    def offered(word):
        return subprocess.run(["bash", "-c", script, "bash", word], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert offered("check") == ["check-config"]
    assert offered("--log-l") == ["--log-level"]
    assert {row["flag"] for row in json.loads(run_binary("--print-settings")[1])} <= set(offered("--"))


def test_completion_offers_scopes(tree):
    script = f"""source {tree}/{SHARE}/bash-completion/completions/ferrod
        COMP_WORDS=(ferrod key new --scopes "$1"); COMP_CWORD=4; _ferrod; printf '%s\\n' "${{COMPREPLY[@]}}" """
    def offered(word):
        return subprocess.run(["bash", "-c", script, "bash", word], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert offered("") == ["read", "write", "schema", "sql", "admin"]
    assert offered("read,s") == ["read,schema", "read,sql"]


@pytest.mark.parametrize("shell, path", [("zsh", "zsh/site-functions/_ferrod"), ("fish", "fish/vendor_completions.d/ferrod.fish")])
def test_completions_of_other_shells(tree, shell, path):
    text = (tree / SHARE / path).read_text(encoding="utf-8")
    for word in ("check-config", "healthcheck", "--help", "new", "append", "read", "write", "schema", "sql", "admin"):
        assert word in text
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(tree / SHARE / path)], check=True, timeout=60)


FLAGS = {row["flag"] for row in json.loads(run_binary("--print-settings")[1])}
# what stands on the line, and what is offered
OFFERS = [
    ("check", {"check-config"}), ("--log-l", {"--log-level"}), ("--", FLAGS), ("--log-level ", {"debug", "info", "warn", "error"}),
    ("--compression ", {"auto", "on", "off"}), ("key ", {"new", "seal"}), ("state ", {"export"}), ("healthcheck ", {"ready"}),
    ("key new --", {"--name", "--scopes", "--connections", "--sets", "--role", "--subject", "--append"}), ("key new --scopes ", {"read", "write", "schema", "sql", "admin"})]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
@pytest.mark.parametrize("line, offers", OFFERS)
def test_fish_completes(tree, line, offers):
    script = f"set -x PATH {tree}/{BINDIR} $PATH; source {tree}/{SHARE}/fish/vendor_completions.d/ferrod.fish; complete -C 'ferrod {line}'"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True, timeout=60, cwd=tree)
    got = {text.split("\t")[0] for text in done.stdout.split("\n") if text}
    assert offers <= got and (line in ("--", "state ", "healthcheck ") or line.startswith("key new") or got == offers), (got, done.stderr)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
@pytest.mark.parametrize("line, offers", OFFERS)
def test_zsh_completes(tree, line, offers):
    """Its completion function, with what it calls to offer words replaced by what prints them."""
    words = ["ferrod", *line.split(" ")]
    script = f"""compadd() {{ for w in "$@"; do [[ $w == -- || $w != ${{(Q)PREFIX}}* ]] || print -r -- "$w"; done }}
        _values() {{ shift 3; compadd "$@" }}; _files() {{ print FILES }}
        path=({tree}/{BINDIR} $path); words=({' '.join(f"'{word}'" for word in words)}); CURRENT={len(words)}; PREFIX='{words[-1]}'
        source {tree}/{SHARE}/zsh/site-functions/_ferrod"""
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True, timeout=60, cwd=tree)
    got = set(done.stdout.split())
    assert offers <= got and (line in ("--", "healthcheck ") or got == offers), (got, done.stderr)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_units_are_valid(tree):
    unit = tree / UNITS / "ferrod.service"
    unit.write_text(re.sub(r"=/usr/bin/ferrod", f"={tree}/{BINDIR}/ferrod", unit.read_text()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit), str(tree / UNITS / "ferrod.socket")], capture_output=True,
                          text=True, check=False, timeout=60)
    assert done.returncode == 0 and "ferrod" not in done.stderr, done.stderr
