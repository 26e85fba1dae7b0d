"""schemathesis' coverage phase against one server: coverage_cases.py URL KEY CASES_PER_OPERATION. Out: one JSON object.

Runs in the environment that has the package. The phase makes every case that a schema defines, for nested bodies tens of
thousands; of each operation the first so many are sent.
"""
import itertools
import json
import sys
import warnings

import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup

warnings.filterwarnings("ignore")


@schemathesis.serializer("application/x-ndjson")
def to_ndjson(_, value):
    if isinstance(value, (str, bytes)):
        return value.encode() if isinstance(value, str) else value
    rows = value if isinstance(value, list) else [value]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


# what names something that is not there, or was there before: no request would come farther
STATE = {"idempotency-key", "ferro-catalog", "ferro-session", "ferro-transaction", "if-match", "if-none-match"}


# what takes away what the others need
LAST = ("POST /v1/transactions", "POST /v1/reset", "DELETE /v1/connections", "PUT /v1/default-connection", "DELETE /v1/default-connection", "PUT /v1/models", "POST /v1/models ",
        "DELETE /v1/models", "POST /v1/catalog")


def reach(case):
    """Leaves out the headers that name state, unless the case is about a header, and connections that are not there."""
    data = case.meta.phase.data
    if getattr(data, "parameter_location", None) is None or "header" not in str(data.parameter_location).lower():
        for name in [name for name in case.headers or {} if name.lower() in STATE]:
            del case.headers[name]
    if getattr(data, "parameter", None) != "using" and case.query:
        case.query.pop("using", None)
    if case.meta.generation.mode == GenerationMode.POSITIVE and isinstance(case.body, dict):
        case.body.pop("using", None)


def failures(error):
    return error.exceptions if isinstance(error, FailureGroup) else [error]


def describe(failure, case, response):
    body = response.content[:300].decode("utf-8", "replace")
    return {"operation": case.operation.label, "check": type(failure).__name__, "title": getattr(failure, "title", ""),
            "status": response.status_code, "code": code_of(response), "message": getattr(failure, "message", str(failure))[:400],
            "request": f"{response.request.method} {response.request.url} {str(response.request.body)[:300]}", "body": body}


def code_of(response):
    try:
        return response.json().get("code")
    except (ValueError, AttributeError):
        return None


def main(url, key, per_operation):
    key = {"Authorization": f"Bearer {key}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=key)
    found, sent, operations, statuses = [], 0, 0, {}
    session = requests.Session()
    for operation in sorted((result.ok() for result in schema.get_all_operations()), key=lambda operation: operation.label.startswith(LAST)):
        operations += 1
        config = schema.config.generation_for(operation=operation, phase="coverage")
        cases = schema.iter_coverage_cases(operation, generation_modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE], generation_config=config)
        for case in itertools.islice(cases, per_operation):
            reach(case)
            response = case.call(base_url=url, session=session, headers=key, timeout=30)
            sent += 1
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
            try:
                case.validate_response(response, headers=key)
            except (Failure, FailureGroup) as e:
                found += [describe(failure, case, response) for failure in failures(e)]
    json.dump({"operations": operations, "sent": sent, "statuses": statuses, "found": found}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
