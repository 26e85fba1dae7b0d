"""A laboratory as SQLAlchemy makes it: CHAR(32) UUIDs, enums as checks, joined inheritance, association objects."""

SQLITE = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
CREATE TABLE person (id CHAR(32) NOT NULL, kind VARCHAR(20) NOT NULL, full_name VARCHAR(100) NOT NULL, born DATE, CONSTRAINT pk_person PRIMARY KEY (id));
CREATE TABLE researcher (id CHAR(32) NOT NULL, office VARCHAR, CONSTRAINT pk_researcher PRIMARY KEY (id), CONSTRAINT fk_researcher_id_person FOREIGN KEY(id) REFERENCES person (id));
CREATE TABLE device (id INTEGER NOT NULL, name VARCHAR(40) NOT NULL, state VARCHAR(7) NOT NULL, calibrated DATETIME, tolerance NUMERIC(10, 4), enabled BOOLEAN NOT NULL, CONSTRAINT pk_device PRIMARY KEY (id), CONSTRAINT uq_device_name UNIQUE (name), CONSTRAINT device_state CHECK (state IN ('idle', 'busy', 'broken')), CONSTRAINT enabled_bool CHECK (enabled IN (0, 1)));
CREATE TABLE experiment (id INTEGER NOT NULL, title VARCHAR(200) NOT NULL, lead_id CHAR(32) NOT NULL, deputy_id CHAR(32), params JSON, started DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, took DATETIME, budget FLOAT, raw BLOB, CONSTRAINT pk_experiment PRIMARY KEY (id), CONSTRAINT fk_experiment_lead FOREIGN KEY(lead_id) REFERENCES researcher (id), CONSTRAINT fk_experiment_deputy FOREIGN KEY(deputy_id) REFERENCES researcher (id) ON DELETE SET NULL, CONSTRAINT budget_positive CHECK (budget IS NULL OR budget > 0));
CREATE INDEX ix_experiment_title ON experiment (title);
CREATE INDEX ix_experiment_running ON experiment (started) WHERE took IS NULL;
CREATE TABLE experiment_device (experiment_id INTEGER NOT NULL, device_id INTEGER NOT NULL, since DATETIME, note TEXT, PRIMARY KEY (experiment_id, device_id), FOREIGN KEY(experiment_id) REFERENCES experiment (id) ON DELETE CASCADE, FOREIGN KEY(device_id) REFERENCES device (id));
CREATE TABLE reading (experiment_id INTEGER NOT NULL, device_id INTEGER NOT NULL, seq INTEGER NOT NULL, value FLOAT NOT NULL, taken TIME, PRIMARY KEY (experiment_id, device_id, seq), CONSTRAINT fk_reading_experiment_device FOREIGN KEY(experiment_id, device_id) REFERENCES experiment_device (experiment_id, device_id) ON DELETE CASCADE);
CREATE TABLE node (id INTEGER NOT NULL, parent_id INTEGER, name VARCHAR(50), PRIMARY KEY (id), FOREIGN KEY(parent_id) REFERENCES node (id));
CREATE TABLE keyword (word VARCHAR(30) NOT NULL, PRIMARY KEY (word));
CREATE TABLE experiment_keyword (experiment_id INTEGER NOT NULL, word VARCHAR(30) NOT NULL, PRIMARY KEY (experiment_id, word), FOREIGN KEY(experiment_id) REFERENCES experiment (id), FOREIGN KEY(word) REFERENCES keyword (word));
CREATE TABLE ticket (id INTEGER NOT NULL, version_id INTEGER NOT NULL, number BIGINT NOT NULL, subject VARCHAR COLLATE NOCASE NOT NULL, PRIMARY KEY (id), UNIQUE (number));
CREATE TABLE token (id CHAR(32) NOT NULL, person_id CHAR(32) NOT NULL, expires DATETIME NOT NULL, PRIMARY KEY (id), FOREIGN KEY(person_id) REFERENCES person (id));
INSERT INTO person VALUES ('3f4c4ca7a7e740d68d838f4ddf3285e6', 'researcher', 'Ann', '1990-01-02'), ('00000000000000000000000000000001', 'researcher', 'Bob', NULL), ('00000000000000000000000000000002', 'person', 'Cäcilie', '2001-12-31');
INSERT INTO researcher VALUES ('3f4c4ca7a7e740d68d838f4ddf3285e6', 'A1'), ('00000000000000000000000000000001', NULL);
INSERT INTO experiment VALUES (1, 'light', '3f4c4ca7a7e740d68d838f4ddf3285e6', '00000000000000000000000000000001', '{"a": 1.0}', '2026-01-02 03:04:05.123456', NULL, 1.5, x'00ff'), (2, 'heat', '00000000000000000000000000000001', NULL, 'null', '2026-01-02 03:04:05.000000', '1970-01-01 01:00:00.000000', NULL, NULL), (3, 'sound', '00000000000000000000000000000001', NULL, NULL, '2026-01-02 03:04:05.123457', NULL, 0.1, NULL);
INSERT INTO device VALUES (1, 'laser', 'idle', '2026-01-02 03:04:05.000000', 0.0005, 1), (2, 'oven', 'broken', NULL, NULL, 0), (3, 'ear', 'busy', '2026-01-02 03:04:05.500000', 12, 1);
INSERT INTO experiment_device VALUES (1, 1, '2026-01-02 03:04:05.000000', 'first'), (1, 2, NULL, NULL), (2, 2, NULL, '');
INSERT INTO token VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1', '3f4c4ca7a7e740d68d838f4ddf3285e6', '2026-01-02 03:04:05.000000'), ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2', '00000000000000000000000000000002', '2026-01-02 03:04:05.000001');
INSERT INTO reading VALUES (1, 1, 1, 0.5, '01:02:03.250000'), (1, 1, 2, 1e-300, NULL), (1, 2, 1, -7, '23:59:59.999999');
"""

POSTGRES = """
CREATE TYPE device_state AS ENUM ('idle', 'busy', 'broken');
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
CREATE TABLE person (id UUID NOT NULL, kind VARCHAR(20) NOT NULL, full_name VARCHAR(100) NOT NULL, born DATE, CONSTRAINT pk_person PRIMARY KEY (id));
CREATE TABLE researcher (id UUID NOT NULL, office VARCHAR, CONSTRAINT pk_researcher PRIMARY KEY (id), CONSTRAINT fk_researcher_id_person FOREIGN KEY(id) REFERENCES person (id));
CREATE TABLE device (id SERIAL NOT NULL, name VARCHAR(40) NOT NULL, state device_state NOT NULL, calibrated TIMESTAMP WITHOUT TIME ZONE, tolerance NUMERIC(10, 4), enabled BOOLEAN NOT NULL, CONSTRAINT pk_device PRIMARY KEY (id), CONSTRAINT uq_device_name UNIQUE (name));
CREATE TABLE experiment (id SERIAL NOT NULL, title VARCHAR(200) NOT NULL, lead_id UUID NOT NULL, deputy_id UUID, params JSON, started TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, took INTERVAL, budget FLOAT, raw BYTEA, span TSTZRANGE, samples INTEGER[], CONSTRAINT pk_experiment PRIMARY KEY (id), CONSTRAINT fk_experiment_lead FOREIGN KEY(lead_id) REFERENCES researcher (id), CONSTRAINT fk_experiment_deputy FOREIGN KEY(deputy_id) REFERENCES researcher (id) ON DELETE SET NULL, CONSTRAINT budget_positive CHECK (budget IS NULL OR budget > 0));
CREATE INDEX ix_experiment_title ON experiment (title);
CREATE INDEX ix_experiment_running ON experiment (started) WHERE took IS NULL;
CREATE TABLE experiment_device (experiment_id INTEGER NOT NULL, device_id INTEGER NOT NULL, since TIMESTAMP WITHOUT TIME ZONE, note TEXT, PRIMARY KEY (experiment_id, device_id), FOREIGN KEY(experiment_id) REFERENCES experiment (id) ON DELETE CASCADE, FOREIGN KEY(device_id) REFERENCES device (id));
CREATE TABLE reading (experiment_id INTEGER NOT NULL, device_id INTEGER NOT NULL, seq INTEGER NOT NULL, value FLOAT NOT NULL, taken TIME WITHOUT TIME ZONE, PRIMARY KEY (experiment_id, device_id, seq), CONSTRAINT fk_reading_experiment_device FOREIGN KEY(experiment_id, device_id) REFERENCES experiment_device (experiment_id, device_id) ON DELETE CASCADE);
CREATE TABLE node (id SERIAL NOT NULL, parent_id INTEGER, name VARCHAR(50), PRIMARY KEY (id), FOREIGN KEY(parent_id) REFERENCES node (id));
CREATE TABLE keyword (word VARCHAR(30) NOT NULL, PRIMARY KEY (word));
CREATE TABLE experiment_keyword (experiment_id INTEGER NOT NULL, word VARCHAR(30) NOT NULL, PRIMARY KEY (experiment_id, word), FOREIGN KEY(experiment_id) REFERENCES experiment (id), FOREIGN KEY(word) REFERENCES keyword (word));
CREATE SEQUENCE ticket_number_seq START 1000;
CREATE TABLE ticket (id SERIAL NOT NULL, version_id INTEGER NOT NULL, number BIGINT DEFAULT nextval('ticket_number_seq') NOT NULL, subject VARCHAR COLLATE "C" NOT NULL, PRIMARY KEY (id), UNIQUE (number));
CREATE TABLE token (id UUID DEFAULT gen_random_uuid() NOT NULL, person_id UUID NOT NULL, expires TIMESTAMP WITH TIME ZONE NOT NULL, PRIMARY KEY (id), FOREIGN KEY(person_id) REFERENCES person (id));
INSERT INTO person VALUES ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 'researcher', 'Ann', '1990-01-02'), ('00000000-0000-0000-0000-000000000001', 'researcher', 'Bob', NULL), ('00000000-0000-0000-0000-000000000002', 'person', 'Cäcilie', '2001-12-31');
INSERT INTO researcher VALUES ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 'A1'), ('00000000-0000-0000-0000-000000000001', NULL);
INSERT INTO experiment (title, lead_id, deputy_id, params, started, took, budget, raw, span, samples) VALUES ('light', '3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', '00000000-0000-0000-0000-000000000001', '{"a": 1.0}', '2026-01-02 03:04:05.123456+00', NULL, 1.5, '\\x00ff', '[2026-01-01 00:00+00,2026-02-01 00:00+00)', '{1,2}'), ('heat', '00000000-0000-0000-0000-000000000001', NULL, 'null', '2026-01-02 03:04:05+00', '1 hour', NULL, NULL, 'empty', '{}'), ('sound', '00000000-0000-0000-0000-000000000001', NULL, NULL, '2026-01-02 03:04:05.123457+00', NULL, 0.1, NULL, NULL, '{{1,2},{3,4}}');
INSERT INTO device (name, state, calibrated, tolerance, enabled) VALUES ('laser', 'idle', '2026-01-02 03:04:05', 0.0005, true), ('oven', 'broken', NULL, NULL, false), ('ear', 'busy', '2026-01-02 03:04:05.5', 12, true);
INSERT INTO experiment_device VALUES (1, 1, '2026-01-02 03:04:05', 'first'), (1, 2, NULL, NULL), (2, 2, NULL, '');
INSERT INTO token VALUES ('aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa1', '3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', '2026-01-02 03:04:05+00'), ('aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa2', '00000000-0000-0000-0000-000000000002', '2026-01-02 03:04:05.000001+00');
INSERT INTO reading VALUES (1, 1, 1, 0.5, '01:02:03'), (1, 1, 2, 1e-300, NULL), (1, 2, 1, -7, '23:59:59.999999');
"""

BOTH = """
INSERT INTO alembic_version VALUES ('abc123'), ('def456');
INSERT INTO node (parent_id, name) VALUES (NULL, 'root'), (1, 'leaf'), (1, NULL);
INSERT INTO keyword VALUES ('optics'), ('heat & light'), ('ünïcode/slash');
INSERT INTO experiment_keyword VALUES (1, 'optics'), (1, 'ünïcode/slash'), (2, 'heat & light');
INSERT INTO ticket (version_id, number, subject) VALUES (1, 9007199254740993, 'Alpha'), (2, 2, 'alpha'), (1, 3, 'beta');
"""
SQLITE += BOTH
POSTGRES += BOTH

NEW = {
    "alembic_version": {"version_num": "fff"},
    "person": {"id": "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285ff", "kind": "person", "full_name": "Dora"},
    "researcher": {"id": "00000000-0000-0000-0000-000000000002"},
    "device": {"name": "new", "state": "idle", "tolerance": "1.25", "enabled": True},
    "experiment": {"title": "new", "lead_id": "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6", "params": [1, None]},
    "experiment_device": {"experiment_id": 3, "device_id": 3, "since": "2026-05-05T05:05:05.5"},
    "reading": {"experiment_id": 2, "device_id": 2, "seq": 1, "value": 1.5},
    "node": {"parent_id": 2, "name": "new"},
    "keyword": {"word": "a/b?c#d"},
    "experiment_keyword": {"experiment_id": 3, "word": "optics"},
    "ticket": {"version_id": 1, "number": 7, "subject": "new"},
    "token": {"id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa3", "person_id": "00000000-0000-0000-0000-000000000001",
              "expires": "2026-05-05T05:05:05Z"},
}
