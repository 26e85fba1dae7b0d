"""API keys as an operator makes them: `ferrod key new`, the entries in a file."""
import json

from .client import Client
from .server import run_binary


class Keys:
    """A keys file in the directory: add() makes a key and returns its text, client() a caller with it."""

    def __init__(self, directory):
        self.path = directory / "keys.json"
        self.entries, self.texts = [], {}
        self.write()

    def write(self, text=None):
        self.path.write_text(json.dumps(self.entries) if text is None else text, encoding="utf-8")

    def add(self, name, scopes, connections=None):
        more = [] if connections is None else ["--connections", ",".join(connections)]
        code, out, err = run_binary("key", "new", "--name", name, "--scopes", ",".join(scopes), *more)
        assert code == 0, err
        made = json.loads(out)
        self.entries.append(made["entry"])
        self.texts[name] = made["key"]
        self.write()
        return made["key"]

    def remove(self, name):
        self.entries = [entry for entry in self.entries if entry["name"] != name]
        self.write()

    def client(self, port, name):
        return Client(port, {"Authorization": f"Bearer {self.texts[name]}"})
