"""The judges judged: what checks responses and layers must refuse what it is there to refuse."""
import importlib.util
import json

import pytest

from support.client import Request, Response
from support.contract import contract
from support.process import ROOT

GOOD = [("X-Request-Id", "r1"), ("Server-Timing", "db;dur=0.1, total;dur=0.2"), ("Content-Type", "application/json")]


def faults(method, path, status, body, headers=(), base=GOOD, sent=None, sent_headers=None):
    request = Request(method, path, sent_headers or {}, sent)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return list(contract().faults(request, Response(request, status, list(base) + list(headers), data)))


def problem(status, code, headers=(), **more):
    document = {"type": f"/problems/{code}", "title": "T", "status": status, "detail": "D", "instance": "r1", "code": code}
    document.update(more)
    base = [pair for pair in GOOD if pair[0] != "Content-Type"] + [("Content-Type", "application/problem+json")]
    return {"status": status, "body": document, "base": base, "headers": headers}


def test_good_answers_pass():
    assert faults("GET", "/healthz", 200, {"status": "ok"}) == []
    assert faults("GET", "/healthz/?x=1", 200, {"status": "ok"}) != [], "an undescribed query parameter was accepted"
    assert faults("HEAD", "/healthz", 200, b"") == []
    assert faults("GET", "/nowhere", **problem(404, "route_not_found")) == []
    assert faults("GET", "/v1/connections/x", **problem(404, "connection_not_found")) == []
    assert faults("DELETE", "/healthz", **problem(405, "method_not_allowed", [("Allow", "GET, HEAD, OPTIONS")])) == []
    assert faults("OPTIONS", "/healthz", 204, b"", [("Allow", "HEAD, GET, OPTIONS")]) == []


@pytest.mark.parametrize("answer", [
    {"status": 200, "body": {"status": "ok"}, "base": GOOD[1:]},
    {"status": 200, "body": {"status": "ok"}, "base": GOOD[:1] + GOOD[2:]},
    {"status": 200, "body": {"status": "ok", "more": 1}},
    {"status": 200, "body": {"status": "bad"}},
    {"status": 200, "body": b"{"},
    {"status": 201, "body": {"status": "ok"}},
    {"status": 200, "body": {"status": "ok"}, "headers": [("Ferro-Session", "x")]},
    {"status": 200, "body": {"status": "ok"}, "base": GOOD[:2] + [("Content-Type", "text/html")]},
    problem(404, "route_not_found"),
    problem(500, "shutting_down"),
    problem(500, "internal_error", instance="other"),
    {**problem(501, "internal_error"), "status": 500},
    problem(500, "internal_error", surprise=1),
    problem(503, "shutting_down", retryable=True),
], ids=lambda a: str(a["body"])[:40])
def test_bad_answers_are_refused(answer):
    assert faults("GET", "/healthz", **answer) != []


def test_accepted_requests_must_be_described():
    json_type = {"Content-Type": "application/json"}
    assert faults("PUT", "/v1/default-connection", 200, {"name": "a"}, sent=b'{"name":"a"}', sent_headers=json_type) == []
    assert faults("PUT", "/v1/default-connection", 200, {"name": "a"}, sent=b'{"nam":"a"}', sent_headers=json_type) != []
    assert faults("PUT", "/v1/default-connection", 200, {"name": "a"}) != []


def load_layers():
    spec = importlib.util.spec_from_file_location("layers", ROOT / "tests/lint/layers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LAST = '#include "service/base/banned.h"\n'


@pytest.mark.parametrize("path, text, breach", [
    ("service/base/a.c", '#include "service/http/router.h"\n' + LAST, "leaf"),
    ("service/a.c", '#include "store/store.h"\n' + LAST, "no store"),
    ("store/a.c", '#include "service/http/router.h"\n' + LAST, "no HTTP"),
    ("handlers/a.c", '#include "store/driver/driver.h"\n' + LAST, "public headers"),
    ("handlers/a.c", "#include <microhttpd.h>\n" + LAST, "not for this file"),
    ("store/a.c", "#include <sqlite3.h>\n" + LAST, "not for this file"),
    ("store/driver/sqlite/driver_sqlite.c", "#include <libpq-fe.h>\n" + LAST, "not for this file"),
    ("store/ddl/a.c", '#include "store/exec/exec.h"\n' + LAST, "reaches a driver"),
    ("handlers/query/a.c", '#include "handlers/records/a.h"\n' + LAST, "rooms do not see each other"),
    ("handlers/unit/a.c", '#include "handlers/records/a.h"\n' + LAST, "below the rooms"),
    ("store/connection/a.c", '#include "store/exec/exec.h"\n' + LAST, "neither exec nor session"),
    ("store/driver/sqlite/a.c", '#include "store/exec/exec.h"\n' + LAST, "its own folder"),
    ("store/a.c", "#include <stdio.h>\n", "the last include"),
    ("store/a.c", LAST + "\nvoid f(char *p)\n{\n\tstrcpy(p, p);\n}\n", "banned"),
    ("store/a.c", LAST + "\nvoid f(char *p)\n{\n\tfree(p);\n}\n", "outside service/base"),
    ("store/a.c", LAST + "typedef struct a a_t;\n", "no typedef"),
    ("store/a.c", LAST + "int x;\n" * 600, "split it by noun"),
    ("tests/unit/test_a.c", "int x;\n" * 601, "split it by subject"),
    ("tests/api/test_a.py", "x = 1\n" * 601, "split it by subject"),
    ("store/a.c", LAST + "\nvoid f(void)\n{\n" + "\t;\n" * 69 + "}\n", "function of"),
], ids=lambda v: v[:30] if isinstance(v, str) else "")
def test_layers_refuses(tmp_path, path, text, breach):
    for name, content in {
        "service/base/banned.h": "", "service/http/router.h": "", "store/store.h": "", "store/driver/driver.h": "",
        "store/exec/exec.h": '#include "store/driver/driver.h"\n', "handlers/records/a.h": "", path: text,
    }.items():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    found = load_layers().Tree(tmp_path).check()
    assert len([fault for fault in found if breach in fault]) == 1, found


F = LAST + "\nvoid f(void)\n{\n\tg();\n}\n"
G = LAST + "\nvoid g(void)\n{\n\th();\n}\n"


@pytest.mark.parametrize("files, circle", [
    ({"store/a.h": '#include "store/b.h"\n', "store/b.h": '#include "store/a.h"\n'}, "circle of includes: store/a store/b"),
    ({"store/a.h": "", "store/b.h": "", "store/a.c": '#include "store/b.h"\n' + LAST, "store/b.c": '#include "store/a.h"\n' + LAST},
     "circle of includes: store/a store/b"),
    ({"store/a.c": F, "store/b.c": G.replace("h()", "f()")}, "circle of calls: store/a store/b"),
    ({"store/a.c": F, "store/b.c": G, "store/c.c": F.replace("f(", "h(").replace("g()", "f()")}, "circle of calls: store/a store/b store/c"),
    ({"store/a.c": F, "store/b.c": G}, None),
    ({"store/a.c": F, "store/b.c": G.replace("h()", "f()").replace("void g", "static void f(void)\n{\n}\n\nvoid g")}, None),
], ids=["headers", "sources", "calls", "three", "none", "a function of its own"])
def test_circles_are_found(tmp_path, files, circle):
    for name, text in {"service/base/banned.h": "", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = [fault.split(": ", 1)[1] for fault in load_layers().Tree(tmp_path).check() if "circle" in fault]
    assert found == ([circle] if circle else [])


def test_layers_admits(tmp_path):
    good = {
        "service/base/banned.h": "", "store/store.h": "", "service/main.c": '#include "store/store.h"\n' + LAST,
        "handlers/a.c": '#include "store/store.h"\n' + LAST + "/* strcpy(a, b) */\nconst char *s = \"free(x)\";\n",
        "store/b.c": LAST + "\n/* long: a table of cases */\nvoid f(void)\n{\n" + "\t;\n" * 90 + "}\n",
        "tests/api/test_a.py": "x = 1\n" * 600,
    }
    for name, content in good.items():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    assert load_layers().Tree(tmp_path).check() == []
