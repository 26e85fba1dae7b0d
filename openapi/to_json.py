"""Writes the API description as JSON: to_json.py IN.yaml OUT.json (part of the build)."""
import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    """Like SafeLoader, but a date stays the text that it is in JSON."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as f:
        document = yaml.load(f, Loader)
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        json.dump(document, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
