"""A database of 1,500 tables of 23 columns, with the keys, indexes and defaults that such ones have."""
import sqlite3

TABLES, COLUMNS = 1500, 23
KINDS = ["varchar(40) NOT NULL", "integer", "timestamp", "boolean DEFAULT true", "text", "numeric(10,2)", "date"]


def statements(dialect):
    for t in range(TABLES):
        columns = ["id integer PRIMARY KEY" if dialect == "sqlite" else "id bigserial PRIMARY KEY"]
        if t > 0:
            columns.append(f"parent_id bigint REFERENCES table_{t - 1:04d} (id) ON DELETE CASCADE")
        columns += [f"column_{i:02d} {KINDS[i % len(KINDS)]}" for i in range(len(columns), COLUMNS)]
        yield f"CREATE TABLE table_{t:04d} ({', '.join(columns)})"
        yield f"CREATE INDEX table_{t:04d}_i ON table_{t:04d} (column_04)"
        yield f"CREATE UNIQUE INDEX table_{t:04d}_u ON table_{t:04d} (column_07, column_08)"


def make_sqlite(path):
    with sqlite3.connect(path) as db:
        db.executescript("BEGIN;" + ";".join(statements("sqlite")) + ";COMMIT;")


def make_postgres(postgres, database):
    """In a few transactions: each table that one makes is a lock more in its hands."""
    made = list(statements("postgres"))
    for start in range(0, len(made), 300):
        postgres.psql("BEGIN;\n" + ";\n".join(made[start:start + 300]) + ";\nCOMMIT", database)
