"""Lists over no index go in company, too, once they have shown to be quick; long ones never."""
import re
import time

import pytest

MODEL = {"model_name": "Listed", "columns": [{"name": "id", "logical_type": "integer", "primary_key": True},
                                             {"name": "n", "logical_type": "integer"}]}


def reads(conn):
    text = conn.client.get("/metrics", validate=False).expect(200).text
    return int(re.search(rf'^ferrod_lane_statements_total{{connection="{conn.name}",kind="read"}} (\d+)$', text, re.M)[1])


def leaf(value):
    return {"node_kind": "leaf", "column": "n", "operator": "==", "value": value}


@pytest.mark.parametrize("limit, goes", [(200, True), (201, False)])
def test_lists(conn, limit, goes):
    """Of at most 200 rows (one more is read, so that there may be a next page)."""
    conn.client.put("/v1/models", {"models": [MODEL]}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    conn.client.post("/v1/models/Listed/records", {"records": [{"id": i, "n": i % 7} for i in range(1, 300)]},
                     params=conn.using).expect(201)
    before, until, i = reads(conn), time.monotonic() + 60, 0
    while i < 40 or (goes and reads(conn) == before and time.monotonic() < until):
        i += 1
        body = {"model_name": "Listed", "where": [leaf(i % 7)], "order_by": [{"column": "n"}], "limit": limit - 1}
        rows = conn.client.post("/v1/query", body, params=conn.using).expect(200).json()["rows"]
        assert [row["id"] for row in rows] == [k for k in range(1, 300) if k % 7 == i % 7][:limit - 1]
    assert (reads(conn) > before) == goes


def test_counts(conn):
    conn.client.put("/v1/models", {"models": [MODEL]}).expect(200)
    conn.client.post("/v1/create-tables", params=conn.using).expect(200)
    before, until, i = reads(conn), time.monotonic() + 60, 0
    while reads(conn) == before and time.monotonic() < until:
        i += 1
        answer = conn.client.post("/v1/query/count", {"model_name": "Listed", "where": [leaf(i)]}, params=conn.using)
        assert answer.expect(200).json()["count"] == 0
    assert reads(conn) > before
