"""The tables in the code against the documents that show them: routes, settings, problem codes."""
import json
import re

from support.contract import METHODS, Contract, error_codes
from support.process import ROOT
from support.server import run_binary

CONTRACT = Contract()
PATHS = CONTRACT.document["paths"]


def described_routes():
    return sorted(
        f"{method.upper()} {path} {item[method]['operationId']} {item[method]['x-scope']}"
        for path, item in PATHS.items() for method in METHODS if method in item)


def test_routes_are_those_described():
    code, out, err = run_binary("--print-routes")
    assert code == 0, err
    assert sorted(out.splitlines()) == described_routes()


# answers to any request; they travel without being listed
SIMPLE = {"Cache-Control", "Content-Type", "Vary"}


def test_pages_of_other_origins_may_send_and_read_every_header_that_is_described():
    """`Ferro-Affected` could not be read by them."""
    text = (ROOT / "service/auth/cors.c").read_text(encoding="utf-8")
    allowed, exposed = ({name.strip() for name in "".join(re.findall(r'"([^"]*)"', body)).split(",")}
                        for body in re.findall(r"\w+_headers\[\] =([^;]*);", text))
    sent, read = set(), set()
    for path, item in PATHS.items():
        for operation in (item[method] for method in METHODS if method in item):
            parameters = map(CONTRACT.resolve, item.get("parameters", []) + operation.get("parameters", []))
            sent |= {parameter["name"] for parameter in parameters if parameter["in"] == "header"}
            for response in map(CONTRACT.resolve, operation["responses"].values()):
                read |= set(response.get("headers", {}))
    assert sent | {"Authorization", "Content-Type", "traceparent", "X-Request-Id"} <= allowed
    assert read - SIMPLE <= exposed


def test_problem_codes_are_unique():
    codes = error_codes()
    assert codes and len(codes) == len(set(codes))


def test_described_problem_codes_exist_and_outside_codes_are_few():
    """Every described code is one of err.h; what err.h has beyond them belongs to operations to come or to no
    operation at all (a path or a method that is not described)."""
    described = set()
    for item in PATHS.values():
        for method in METHODS:
            for response in item.get(method, {}).get("responses", {}).values():
                described |= set(CONTRACT.resolve(response).get("x-problem-codes", []))
    codes = set(error_codes())
    assert described <= codes
    no_operation = {"method_not_allowed"}
    to_come = {"migration_not_found"}
    assert codes - described == no_operation | to_come


def settings():
    code, out, err = run_binary("--print-settings")
    assert code == 0, err
    return json.loads(out)


def test_settings_are_whole_and_consistent():
    rows = settings()
    assert rows
    for row in rows:
        assert row["doc"], row
        assert row["flag"] == "--" + row["key"].replace("_", "-"), row
        assert row["env"] == "FERROD_" + row["key"].upper(), row
    assert len({row["key"] for row in rows}) == len(rows)


def test_help_names_every_setting():
    code, out, err = run_binary("--help")
    assert code == 0, err
    for row in settings():
        assert re.search(rf"{re.escape(row['flag'])}\b", out), f"--help does not name {row['flag']}"


def test_readme_shows_the_settings():
    """README's table has one row a setting: key, default, doc (flag and environment name follow from the key)."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = text[text.index("## Settings\n"):]
    shown = re.findall(r"^\| `([a-z0-9_]+)` \| (.*?) \| (.*?) \|$", text[:text.index("\n## ")], re.M)
    table = [(row["key"], "" if row["default"] in ("", None) else f"`{row['default']}`", row["doc"]) for row in settings()]
    assert [tuple(cells) for cells in shown] == table


def test_readme_explains_every_problem_code():
    """README's table has one row a code of err.h, in its order, with the status of the table in the code and a word of advice."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = text[text.index("## Questions\n"):]
    shown = re.findall(r"^\| `([a-z0-9_]+)` \| (\d+) \| (.+?) \|$", text[:text.index("\n## ")], re.M)
    assert [code for code, _, _ in shown] == error_codes()
    table = (ROOT / "service/http/problem.c").read_text(encoding="utf-8")
    statuses = {code.lower(): status for code, status in re.findall(r"\[ERR_(\w+)\] =\s*\{(\d+)", table)}
    assert {code: status for code, status, _ in shown} == statuses
    assert all(len(advice) > 10 for _, _, advice in shown)


def test_the_files_that_contributors_are_sent_to_exist():
    """CONTRIBUTING's map and its lists of what to touch; a word with a star or a brace is a pattern."""
    import itertools
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:service|handlers|store|openapi|tests)/[^`\s]*|README\.md)`", text))
    assert len(named) > 40

    def spread(name):
        match = re.search(r"\{([^}]*)\}", name)
        if match is None:
            return [name]
        return list(itertools.chain.from_iterable(
            spread(name[:match.start()] + part + name[match.end():]) for part in match.group(1).split(",")))
    missing = [path for name in named for path in spread(name) if not list(ROOT.glob(path.rstrip("/")))]
    assert missing == []


def folders():
    """Each folder of the house that has a name of its own; what lies deeper is its folder's business."""
    for top in ("service", "handlers", "store", "store/driver", "tests"):
        for path in (ROOT / top).iterdir():
            if path.is_dir() and not path.name.startswith("__"):
                yield f"{top}/{path.name}"


def test_the_maps_show_every_folder_and_no_other():
    """README's tree and CONTRIBUTING's table against the tree as it is."""
    there = set(folders())
    assert len(there) > 35
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    top, shown = "", set()
    for line in readme[readme.index("## Map\n"):readme.index("[CONTRIBUTING.md]", readme.index("## Map\n"))].splitlines():
        if re.match(r"    \w+/ ", line):
            top = line.split("/")[0].strip()
        if top == "tests":
            words = re.sub(r"\([^)]*\)", "", line.split("tests/")[-1]).split(",")
            shown |= {f"tests/{word.strip()}" for word in words if word.strip()}
        elif line.startswith("      ") and not line.startswith("                 "):
            shown |= {f"{top}/{name}" for name in re.findall(r"(\w+)/", line.strip().split("   ")[0])}
            shown |= {f"{top}/driver/{name}" for name in re.findall(r"\((\w+)/\)", line)}
    assert shown == there
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set()
    for room in re.findall(r"`((?:service|handlers|store|tests)/[^`]*)`", contributing):
        match = re.fullmatch(r"(.*)\{(.*)\}", room)
        named |= {match.group(1) + name for name in match.group(2).split(",")} if match else {room.rstrip("/")}
    assert there - named == {"store/driver/postgres", "store/driver/sqlite"}
    assert "`sqlite/` and `postgres/`" in contributing


def test_the_request_can_be_walked_by_its_headers():
    """Each header on a request's way names the next one in its first comment."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    way = text[text.index("A request's way:"):text.index("Each of these headers")]
    headers = [path for path in re.findall(r"`([\w/]+\.h)`", way)]
    assert len(headers) >= 7
    for here, following in zip(headers, headers[1:]):
        first = (ROOT / here).read_text(encoding="utf-8").split("*/")[0]
        assert following in first, f"{here} does not name {following}"
