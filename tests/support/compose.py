"""compose.yaml as an engine would read it: what its services are given, and the secrets that its first one makes."""
import pathlib
import re
import subprocess

import yaml

from . import readme
from .process import ROOT

SECRETS, CATALOG = "/run/secrets", "/etc/ferrod/catalog"
VARIABLE = re.compile(r"\$(?:\$|\{(\w+):-([^}]*)\})")


def filled(value):
    """With the defaults of its variables, and $$ as $."""
    if isinstance(value, dict):
        return {key: filled(part) for key, part in value.items()}
    if isinstance(value, list):
        return [filled(part) for part in value]
    return VARIABLE.sub(lambda found: found[2] if found[1] else "$", value) if isinstance(value, str) else value


def services():
    return filled(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8")))["services"]


def make_secrets(directory):
    """Runs the script of the service "secrets" with its files in that directory."""
    service = services()["secrets"]
    command = [part.replace("/tmp/", f"{directory}/") for part in (*service["entrypoint"], *service["command"])]
    subprocess.run(command, cwd=directory, check=True, timeout=60, stdin=subprocess.DEVNULL)
    pathlib.Path(directory, "salt").unlink()


def image_environment():
    """What the Dockerfile's last stage sets."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    block = re.search(r"^ENV ((?:.*\\\n)*.*)$", text, re.M)[1]
    return dict(pair.split("=", 1) for pair in block.replace("\\\n", " ").split())


def copy_catalog(target, secrets):
    """The directory that is mounted, its references to secrets led to where they are here."""
    target.mkdir()
    for path in sorted((ROOT / "catalog").iterdir()):
        (target / path.name).write_text(path.read_text(encoding="utf-8").replace(SECRETS, str(secrets)), encoding="utf-8")


def commands(mark, secrets):
    """The README's commands of a part; `docker compose exec` runs here, its secrets lie in that directory."""
    return "docker() { shift 4; \"$@\"; }\n" + readme.commands(mark).replace(SECRETS, str(secrets))
