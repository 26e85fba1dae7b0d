"""A tour of the API with the client that openapi-generator makes of /openapi.json, all options at their defaults.

tour.py BASE_URL DATABASE_URL CONNECTION_NAME
"""
import sys

import openapi_client as ferrod


def schema() -> ferrod.SchemaInput:
    columns = [
        ferrod.ColumnInput(name="id", logical_type="integer", primary_key=True),
        ferrod.ColumnInput(name="name", logical_type="string", unique=True),
        ferrod.ColumnInput(name="age", logical_type="integer", nullable=True),
        ferrod.ColumnInput(name="big", logical_type="integer", db_type="bigint", nullable=True),
    ]
    return ferrod.SchemaInput(ferrod.SchemaPayloadInput(models=[ferrod.ModelInput(model_name="Climber", columns=columns)]))


def tour(client: ferrod.ApiClient, url: str, name: str) -> str:
    connected = ferrod.ConnectionsApi(client).connect(ferrod.ConnectRequest(url=url, name=name))
    models, records = ferrod.ModelsApi(client), ferrod.RecordsApi(client)
    models.replace_models(schema())
    assert models.create_tables(using=name).applied
    many = {"records": [{"name": "Ada", "age": 36, "big": 5_000_000_000}, {"name": "Grace", "age": 85}]}
    assert records.create_records("Climber", many, using=name)["rows_inserted"] == 2

    session = ferrod.SessionsApi(client).open_session(using=name).session_id
    leaf = ferrod.QueryLeaf(node_kind="leaf", column="age", operator=">", value=40)
    payload = ferrod.QueryPayload(model_name="Climber", where=[ferrod.QueryNode(leaf)])
    found = ferrod.QueryApi(client).query(ferrod.QueryInput(payload), ferro_session=session)
    assert [row["name"] for row in found.rows] == ["Grace"]
    listed = records.list_records("Climber", using=name, filter={"age": "gte.30", "name": "eq.Ada"}, limit=5)
    assert [row["big"] for row in listed.rows] == [5_000_000_000]

    for expected in ("miss", "hit"):
        answer = records.get_record_with_http_info("Climber", "1", ferro_session=session)
        assert answer.data["name"] == "Ada"
        assert {key.lower(): value for key, value in (answer.headers or {}).items()}["ferro-identity"] == expected

    transactions = ferrod.TransactionsApi(client)
    inside = transactions.begin_transaction(ferro_session=session).transaction_id
    records.update_record("Climber", "1", {"age": 37}, ferro_session=session, ferro_transaction=inside)
    assert transactions.rollback_transaction(inside, ferro_session=session).state == "rolled_back"
    counted = ferrod.SqlApi(client).sql_fetch_one(ferrod.SqlRequest(sql="SELECT count(*) AS n FROM climber WHERE age = 36"), using=name)
    assert counted.row is not None and counted.row["n"] == 1
    step = ferrod.BatchStep(ferrod.CountStep(op="count", query={"model_name": "Climber"}))
    assert len(ferrod.QueryApi(client).batch(ferrod.BatchRequest(steps=[step]), using=name).results) == 1

    try:
        records.get_record("Climber", "77", using=name)
        raise AssertionError("a record that is not there was answered")
    except ferrod.ApiException as e:
        assert e.status == 404, e
    ferrod.SessionsApi(client).close_session(session)
    return connected.backend


if __name__ == "__main__":
    with ferrod.ApiClient(ferrod.Configuration(host=sys.argv[1])) as opened:
        print(f"the Python tour is done on {tour(opened, sys.argv[2], sys.argv[3])}")
