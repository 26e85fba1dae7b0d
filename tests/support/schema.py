"""Models in a line, a look at databases past the server, and migrations: what the tests of schemas share."""
import contextlib
import sqlite3


def column(name, logical="string", **more):
    """A nullable column unless told otherwise."""
    return {"name": name, "logical_type": logical, "nullable": True, **more}


def model(name, *columns, **more):
    """A model with the integer primary key `id` and these columns."""
    key = {"name": "id", "logical_type": "integer", "primary_key": True, "nullable": True}
    return {"model_name": name, "columns": [key, *columns], **more}


def register(client, *models):
    return client.put("/v1/models", {"models": list(models)}).expect(200).json()


def migrate(conn, **options):
    """The answer of a migration that succeeds."""
    return conn.client.post("/v1/migrate", {**conn.using, **options}).expect(200).json()


def quiet(conn, **options):
    """A pass that has nothing to do and nothing to say."""
    answer = migrate(conn, **options)
    assert (answer["statements"], answer["warnings"]) == ([], []), answer
    assert not answer["pool_refreshed"] and answer["changes"] == []
    return answer


def introspect(conn, **options):
    return conn.client.post("/v1/introspect", {**conn.using, **options}).expect(200).json()


def run(backend, sql):
    """Runs SQL past the server; returns the rows as lists of texts."""
    if backend.name == "postgres":
        text = backend.pg.psql(sql, backend.database)
        return [line.split("|") for line in text.split("\n")] if text else []
    with contextlib.closing(sqlite3.connect(backend.path, timeout=10)) as db:
        statements = [part for part in sql.split(";\n") if part.strip()]
        rows = []
        for statement in statements:
            rows = [["" if value is None else str(value) for value in row] for row in db.execute(statement)]
        db.commit()
        return rows


def columns_of(backend, table):
    """{column: declared type in lower case}"""
    if backend.name == "postgres":
        rows = run(backend, "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attnum > 0 AND NOT "
                            f"attisdropped AND attrelid = '\"{table}\"'::regclass ORDER BY attname")
    else:
        rows = run(backend, f"SELECT name, lower(type) FROM pragma_table_info('{table}') ORDER BY name")
    return {name: kind for name, kind in rows}


def indexes_of(backend, table):
    if backend.name == "postgres":
        rows = run(backend, f"SELECT indexname FROM pg_indexes WHERE tablename = '{table}' ORDER BY 1")
    else:
        rows = run(backend, f"SELECT name FROM pragma_index_list('{table}') ORDER BY 1")
    return [row[0] for row in rows]


def whole_schema(backend):
    """Everything that a migration could have touched, as one comparable value."""
    if backend.name == "postgres":
        return run(backend, """
            SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i') ORDER BY 1, 2""") + run(backend, """
            SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""")
    return run(backend, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 1, 2")
