"""service/dist/kubernetes.yaml: its documents, and haproxy.cfg as it stands in there."""
import re

import yaml

from .process import ROOT

FILE = ROOT / "service/dist/kubernetes.yaml"
NODES = {"a": "ferrod-0", "b": "ferrod-1"}


def documents():
    return [document for document in yaml.safe_load_all(FILE.read_text(encoding="utf-8")) if document]


def one(kind, name):
    (found,) = (d for d in documents() if d["kind"] == kind and d["metadata"]["name"] == name)
    return found


def haproxy_for(text):
    """haproxy.cfg with the pods' names for "a" and "b"; tabs as YAML has them."""
    for short, name in NODES.items():
        text = re.sub(rf"\b{short}~", f"{name}~", text)
        text = text.replace(f"-m str {short} }}", f"-m str {name} }}")
        text = re.sub(rf"(\bserver |\bferrods/){short}\b", rf"\g<1>{name}", text)
        text = text.replace(f'"{short}"', f'"{name}"').replace(f"node_{short}", f"node_{name}")
    return text
