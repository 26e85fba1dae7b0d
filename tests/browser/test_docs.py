"""The docs page and console in headless Chromium: they load without a word on the console, connect, query, show rows."""
import json

import pytest

from support import browser as chromium
from support.client import Client
from support.console import go, rows, shot
from support.server import Server

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=f"not installed: {chromium.missing()}")

TAB, ENTER, CONTROL = "\ue004", "\ue007", "\ue009"
AUTHOR = {"model_name": "Author", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True},
    {"name": "name", "logical_type": "string"}]}
SECTIONS = ("connections", "models", "query", "migrate", "sessions", "reference")


@pytest.fixture(scope="module")
def served():
    with Server() as server:
        with Client(server.port) as client:
            client.put("/v1/models", {"models": [AUTHOR]}).expect(200)
            client.post("/v1/create-tables", {}).expect(200)
            client.post("/v1/models/Author/records", {"records": [{"name": f"author {n}"} for n in range(1, 61)]}).expect(201)
        yield server


def test_every_section_loads_from_this_server_alone(page, served):
    for section in SECTIONS:
        go(page, section)
        page.wait("return document.querySelector('h1') !== null && document.querySelector('.notice.bad') === null")
        shot(page, section)
    origin = f"http://127.0.0.1:{served.port}/"
    elsewhere = [url for url in page.requests() if not url.startswith((origin, "data:", "chrome:", "about:"))]
    assert elsewhere == []


def test_headers_forbid_everything_else(served):
    with Client(served.port) as client:
        answer = client.get("/docs").expect(200)
        policy = dict(part.strip().split(" ", 1) for part in answer.header("Content-Security-Policy").split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert client.get("/docs", headers={"If-None-Match": answer.header("ETag")}).expect(304).body == b""
        assert client.get("/docs/app.js").expect(200).header("Content-Type").startswith("text/javascript")
        assert client.get("/docs/style.css").expect(200).header("Content-Type").startswith("text/css")
        client.get("/docs/none.js").expect(404, "route_not_found")


def test_connects_and_shows_the_pool(page, tmp_path):
    page.type("#connect input[name=name]", "second")
    page.type("#connect input[name=url]", f"sqlite:{tmp_path}/second.db?mode=rwc")
    page.click("#connect button")
    page.wait("return document.querySelector('[data-connection=second] svg.gauge') !== null")
    assert "sqlite" in page.text("[data-connection=second] h3")
    page.wait("return [...document.querySelectorAll('#connection option')].some((option) => option.value === 'second')")
    page.click("[data-connection=second] button")
    page.wait("return document.getElementById('status').textContent.includes('answered in')")


def test_a_refusal_is_shown_with_its_code(page):
    page.type("#connect input[name=url]", "mysql://host/database")
    page.click("#connect button")
    page.wait("return document.querySelector('#connect .notice.bad code')?.textContent === 'unsupported_scheme'")
    page.console()  # the browser itself notes an answer of 400


def test_runs_sql_and_shows_its_rows(page):
    go(page, "query")
    page.type("#sql", "SELECT id, name, NULL AS born FROM author WHERE id <= ? ORDER BY id")
    page.type("#args", "[3]")
    page.click("#run")
    assert rows(page, "#result") == [[str(n), f"author {n}", "null"] for n in (1, 2, 3)]
    shot(page, "query-sql")


def test_runs_queryir_by_keyboard_in_a_session(page):
    page.click("#session")
    page.wait("return document.getElementById('session').textContent === 'In a session'")
    go(page, "query")
    page.click("#mode-ir")
    query = {"model_name": "Author", "where": [{"node_kind": "leaf", "column": "id", "operator": ">", "value": 58}],
             "order_by": [{"column": "id", "direction": "asc"}]}
    page.type("#ir", json.dumps(query))
    page.press(CONTROL, ENTER)
    assert rows(page, "#result") == [["59", "author 59"], ["60", "author 60"]]
    assert "transactions=0" in page.text("#result .facts")
    go(page, "sessions")
    page.wait("return [...document.querySelectorAll('main dd')].some((dd) => dd.textContent === 'default')")
    page.click("#session")
    page.wait("return document.getElementById('session').textContent === 'No session'")


def test_browses_models_page_by_page(page):
    go(page, "models/Author")
    assert rows(page, ".records")[0] == ["1", "author 1"]
    page.run("[...document.querySelectorAll('.records button')].find((b) => b.textContent === 'Later').click()")
    page.wait("return document.querySelector('.records tbody td')?.innerText === '51'")
    shot(page, "models")


def test_reference_sends_an_operation(page):
    go(page, "reference/get_model")
    page.wait("return document.querySelector('#operation') !== null")
    page.type("form.try input", "Author")
    page.click("#send")
    page.wait("return document.querySelector('.answer pre') !== null")
    assert "200" in page.text(".answer .tag")
    shown = page.run("return [...document.querySelectorAll('.answer pre')].map((pre) => pre.textContent).find((t) => t.startsWith('{'))")
    assert json.loads(shown)["model_name"] == "Author"
    shot(page, "reference-try")


def test_migration_plan(page, served):
    with Client(served.port) as client:
        offered = client.request("OPTIONS", "/v1/migrate", validate=False).status != 404
        if offered:
            extended = {**AUTHOR, "columns": AUTHOR["columns"] + [{"name": "born", "logical_type": "integer", "nullable": True}]}
            client.put("/v1/models", {"models": [extended]}).expect(200)
    go(page, "migrate")
    try:
        if not offered:
            assert "does not offer" in page.text("main .notice")
            return
        page.click("#dry-run")
        statements = page.wait("""const found = [...document.querySelectorAll('#plan .statements pre')];
            return found.length > 0 && found.map((pre) => pre.textContent)""")
        assert any("born" in statement for statement in statements)
        shot(page, "migrate-plan")
    finally:
        with Client(served.port) as client:
            client.put("/v1/models", {"models": [AUTHOR]}).expect(200)


def test_keyboard_reaches_everything(page):
    """Tab walks: the skip link first, then the sections, the connection, the buttons, the page."""
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    seen = []
    for _ in range(14):
        page.press(TAB)
        seen.append(page.run("const e = document.activeElement; return e.textContent.trim().slice(0, 30) || e.id || e.tagName"))
    for wanted in ("Skip to the content", "Models", "Query", "API", "No session", "API key", "Check"):
        assert any(wanted in text for text in seen), (wanted, seen)


@pytest.mark.parametrize("width", [360, 768, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_narrow_and_wide_light_and_dark(page, width, scheme):
    page.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.cdp("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    for section in (*SECTIONS, "reference/query", "models/Author"):
        go(page, section)
        page.wait("return document.querySelector('h1') !== null")
        wide = page.run("return document.documentElement.scrollWidth")
        assert wide <= width, f"{section} is {wide} pixels wide"
        shot(page, f"{section.replace('/', '-')}-{width}-{scheme}")
    light = page.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] > 127")
    assert light == (scheme == "light")


def test_a_key_is_asked_for_and_kept_in_the_tab():
    with Server(env={"FERROD_ADMIN_KEY": "a-key-for-this-test"}) as server, chromium.Browser() as page:
        page.open(f"http://127.0.0.1:{server.port}/docs")
        page.wait("return document.getElementById('key-dialog').open")
        page.type("#key-input", "a-key-for-this-test")
        page.press(ENTER)
        page.wait("return document.querySelector('[data-connection=default]') !== null")
        assert page.run("return localStorage.length") == 0
        assert "a-key-for-this-test" not in page.run("return document.documentElement.outerHTML + location.href")
