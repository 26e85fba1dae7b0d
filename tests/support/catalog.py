"""Catalogs of the tests: their files, and models that stand in them."""
import json

import pytest

from support.server import Server

AUTHOR = {"model_name": "Author", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "name", "logical_type": "string"}]}
BOOK = {"model_name": "Book", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "title", "logical_type": "string"},
    {"name": "author_id", "logical_type": "integer"}],
    "foreign_keys": [{"column": "author_id", "to_table": "author", "to_column": "id"}]}

RELATED = {**BOOK, "relations": [{"name": "writer", "kind": "forward", "target": "Author", "column": "author_id"}]}


def model(name, **more):
    return {"model_name": name, "columns": [{"name": "id", "logical_type": "integer", "primary_key": True}], **more}


class CatalogFiles:
    """A directory of catalog files; called to write one."""

    def __init__(self, directory):
        self.path = directory

    def __call__(self, name, **content):
        (self.path / f"{name}.json").write_text(json.dumps(content))
        return self.path / f"{name}.json"

    def start(self, **more):
        return Server("--catalog", str(self.path), **more)


def shop(url, **more):
    return {"name": "shop", "url": url, "default": True, "migrate": "create", **more}


def reload(c):
    return c.post("/v1/catalog/reload").expect(200).json()


def everything(c):
    return {kind: {entry["name"]: (entry["origin"], entry.get("file")) for entry in c.get("/v1/catalog").expect(200).json()[kind]}
            for kind in ("connections", "models")}


@pytest.fixture
def catalog(tmp_path):
    """An empty directory of files that are to come."""
    directory = tmp_path / "catalog"
    directory.mkdir()
    return CatalogFiles(directory)
