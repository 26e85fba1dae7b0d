"""schemathesis' coverage phase: what the description says of requests and answers, against the running server on both databases."""
import json
import os
import re
from typing import NamedTuple

from support.pg import Postgres
from support.server import Server
from support.tables import create_tables

SCHEMATHESIS = "schemathesis==4.32.5"
KEY = "the-only-key-there-is"
# of which the description's examples speak
USER = {"model_name": "User", "columns": [
    {"name": "id", "logical_type": "integer", "primary_key": True}, {"name": "name", "logical_type": "string"},
    {"name": "age", "logical_type": "integer", "nullable": True}]}
PER_OPERATION = int(os.environ.get("FERROD_FOREIGN_CASES", "120"))


class Known(NamedTuple):
    """What schemathesis takes for a failure, and what SECURITY.md says of it."""
    check: str
    operation: str  # regular expressions
    answer: str     # status and code
    says: str


STATE = "a request that is well formed may contradict what is there, or itself"
KNOWN = [
    Known("RejectedPositiveData", r".*", r"(412 precondition_failed|422 (invalid_schema|invalid_query|unknown_column|invalid_value)|400 (invalid_request|invalid_parameters|invalid_json|sql_error|unsupported_scheme|invalid_url|invalid_connection_name|duplicate_columns))", STATE),
    Known("ServerError", r"POST /v1/connections|POST /v1/.*", r"503 database_unavailable", "503 says that a database is not there"),
    Known("JsonSchemaError", r"GET /openapi.yaml", r"200 None", "`/openapi.yaml` is text"),
    Known("AllowHeaderMismatch", r"POST /v1/models/\{model\}/records/\{pk\}/refresh", r"204 None", "a relation may have the name `refresh`"),
]


def explained(found):
    answer = f"{found['status']} {found['code']}"
    return next((known for known in KNOWN if known.check == found["check"] and re.fullmatch(known.operation, found["operation"])
                 and re.fullmatch(known.answer, answer)), None)


def differences(foreign, said, used):
    wrong = []
    for found in said["found"]:
        known = explained(found)
        used.add(known)
        if known is None:
            wrong.append(f"{found['check']}: {found['operation']}: {found['status']} {found['code']}: {found['request']}: {found['message']} {found['body']}")
    assert said["operations"] > 50 and said["sent"] > 20 * said["operations"], (said["operations"], said["sent"])
    return wrong


def run(foreign):
    """Of each operation PER_OPERATION cases (FERROD_FOREIGN_CASES) a database; all that was found stays in --work."""
    python, used = foreign.venv("venv-schemathesis", SCHEMATHESIS) / "python", set()
    postgres = Postgres()
    try:
        for backend, url in (("sqlite", "sqlite:default.db?mode=rwc"), ("postgres", postgres.url(postgres.create_database()))):
            with Server("--default-url", url, env={"FERROD_ADMIN_KEY": KEY}) as server:
                from support.client import Client
                with Client(server.port, {"Authorization": f"Bearer {KEY}"}) as client:
                    create_tables(client, "default", USER)
                    client.post("/v1/models/User/records", {"name": "Ada", "age": 36}).expect(201)
                said = json.loads(foreign.run(python, foreign.root / "tests/foreign/coverage_cases.py", f"http://127.0.0.1:{server.port}", KEY, str(PER_OPERATION)))
                assert server.alive, server.log()[-4000:]
            (foreign.work / f"coverage-{backend}.json").write_text(json.dumps(said, indent=1), encoding="utf-8")
            yield f"{backend} ({said['sent']} requests to {said['operations']} operations)", differences(foreign, said, used)
    finally:
        postgres.destroy()
    yield "what is said of them", [f"SECURITY.md does not say: {known.says}" for known in KNOWN if known in used and known.says not in foreign.security]
