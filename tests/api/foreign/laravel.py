"""A school as Laravel makes it: morphs, soft deletes, unsigned keys, enum checks, pivots, jobs, personal access tokens."""

_TABLES = """
CREATE TABLE migrations (id <pk>, migration <s>(255) NOT NULL, batch integer NOT NULL);
CREATE TABLE users (id <pk>, name <s>(255) NOT NULL, email <s>(255) NOT NULL, email_verified_at <ts>, password <s>(255) NOT NULL, remember_token <s>(100), created_at <ts>, updated_at <ts>, deleted_at <ts>);
CREATE UNIQUE INDEX users_email_unique ON users (email);
CREATE TABLE password_reset_tokens (email <s>(255) NOT NULL PRIMARY KEY, token <s>(255) NOT NULL, created_at <ts>);
CREATE TABLE sessions (id <s>(255) NOT NULL PRIMARY KEY, user_id <fk>, ip_address <s>(45), payload text NOT NULL, last_activity integer NOT NULL);
CREATE INDEX sessions_last_activity_index ON sessions (last_activity);
CREATE TABLE cache (<q>key<q> <s>(255) NOT NULL PRIMARY KEY, value text NOT NULL, expiration integer NOT NULL);
CREATE TABLE jobs (id <pk>, queue <s>(255) NOT NULL, payload text NOT NULL, attempts <tiny> NOT NULL, reserved_at integer, available_at integer NOT NULL, created_at integer NOT NULL);
CREATE TABLE failed_jobs (id <pk>, uuid <s>(255) NOT NULL UNIQUE, exception text NOT NULL, failed_at <ts> DEFAULT CURRENT_TIMESTAMP NOT NULL);
CREATE TABLE personal_access_tokens (id <pk>, tokenable_type <s>(255) NOT NULL, tokenable_id <fk> NOT NULL, name <s>(255) NOT NULL, token <s>(64) NOT NULL UNIQUE, abilities text, last_used_at <ts>, created_at <ts>, updated_at <ts>);
CREATE INDEX personal_access_tokens_tokenable_type_tokenable_id_index ON personal_access_tokens (tokenable_type, tokenable_id);
CREATE TABLE courses (id <pk>, title <s>(255) NOT NULL, level <s>(255) CHECK (level in ('easy', 'hard')) DEFAULT 'easy' NOT NULL, fee <dec>(8, 2) DEFAULT '0' NOT NULL, options <json>, active <bool> DEFAULT <true> NOT NULL, starts_on date, starts_at <time>, score double precision, created_at <ts>, updated_at <ts>, deleted_at <ts>);
CREATE TABLE course_user (course_id <fk> NOT NULL, user_id <fk> NOT NULL, grade <tiny>, PRIMARY KEY (course_id, user_id), CONSTRAINT course_user_course_id_foreign FOREIGN KEY (course_id) REFERENCES courses (id) ON DELETE CASCADE, CONSTRAINT course_user_user_id_foreign FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE);
CREATE TABLE images (id <pk>, url <s>(255) NOT NULL, imageable_type <s>(255), imageable_id <fk>, width integer DEFAULT 0 NOT NULL CHECK (width >= 0));
CREATE TABLE taggables (tag_id <fk> NOT NULL, taggable_type <s>(255) NOT NULL, taggable_id <fk> NOT NULL, CONSTRAINT taggables_key UNIQUE (tag_id, taggable_type, taggable_id), CONSTRAINT taggables_tag_id_foreign FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE);
CREATE TABLE telescope_entries (sequence <pk>, uuid <uuid> NOT NULL, content text NOT NULL, should_display_on_index <bool> DEFAULT <true> NOT NULL, created_at <ts>);
CREATE UNIQUE INDEX telescope_entries_uuid_unique ON telescope_entries (uuid);
"""
_TAGS = "CREATE TABLE tags (id <pk>, name <json> NOT NULL, slug <s>(255) NOT NULL, order_column integer);\n"
_ROWS = """
INSERT INTO migrations (migration, batch) VALUES ('0001_01_01_000000_create_users_table', 1), ('x', 2), ('y', 2);
INSERT INTO users (name, email, email_verified_at, password, created_at, updated_at, deleted_at) VALUES ('Ann', 'ann@example.org', '2026-01-02 03:04:05', '$2y$', '2026-01-02 03:04:05', '2026-01-02 03:04:05', NULL), ('Bob', 'bob@example.org', NULL, '', NULL, NULL, '2026-01-02 03:04:06'), ('Cäcilie', 'c@example.org', NULL, '', '2026-01-02 03:04:05', NULL, NULL);
INSERT INTO password_reset_tokens VALUES ('ann@example.org', 't', '2026-01-02 03:04:05'), ('b', '', NULL);
INSERT INTO sessions VALUES ('s1', 1, '10.0.0.1', 'YTo', 1767322985), ('s2', NULL, NULL, '', 0), ('s3', 1, '::1', 'x', 1767322985);
INSERT INTO cache VALUES ('a:b', 'i:1;', 1767322985), ('c d', '', 0);
INSERT INTO jobs (queue, payload, attempts, reserved_at, available_at, created_at) VALUES ('default', '{"a":1}', 0, NULL, 1767322985, 1767322985), ('mail', '{}', 255, 1767322985, 0, 0);
INSERT INTO failed_jobs (uuid, exception, failed_at) VALUES ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 'E', '2026-01-02 03:04:05'), ('u2', '', '2026-01-02 03:04:06');
INSERT INTO personal_access_tokens (tokenable_type, tokenable_id, name, token, abilities, last_used_at) VALUES ('App\\Models\\User', 1, 'cli', 'h1', '["*"]', '2026-01-02 03:04:05'), ('App\\Models\\User', 2, '', 'h2', NULL, NULL);
INSERT INTO courses (title, level, fee, options, active, starts_on, starts_at, score, created_at) VALUES ('Tea', 'easy', 12.50, '{"a": [1]}', <true>, '2026-01-02', '03:04:05', 0.1, '2026-01-02 03:04:05'), ('Go', 'hard', 0, NULL, <false>, NULL, NULL, NULL, NULL), ('C', 'hard', 0.01, '[]', <true>, '2026-01-02', '00:00:00', 1e10, '2026-01-02 03:04:05');
INSERT INTO course_user VALUES (1, 1, 1), (1, 2, NULL), (2, 1, 6);
INSERT INTO images (url, imageable_type, imageable_id, width) VALUES ('a.png', 'App\\Models\\Course', 1, 10), ('b.png', NULL, NULL, 0);
INSERT INTO tags (name, slug, order_column) VALUES ('{"en": "x"}', 'x', 1), ('{"en": "y"}', 'y', NULL), ('{}', 'z', 1);
INSERT INTO taggables VALUES (1, 'Course', 1), (1, 'Course', 2), (2, 'User', 1);
INSERT INTO telescope_entries (uuid, content, created_at) VALUES ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', '{}', '2026-01-02 03:04:05'), ('00000000-0000-0000-0000-000000000001', '', NULL);
"""


def _made(**words):
    text = _TAGS + _TABLES + _ROWS
    for word, meaning in words.items():
        text = text.replace(f"<{word}>", meaning)
    return text


POSTGRES = _made(pk="bigserial PRIMARY KEY", s="varchar", ts="timestamp(0) without time zone", fk="bigint", q='"', tiny="smallint", dec="numeric", json="json",
                 bool="boolean", true="true", false="false", time="time(0) without time zone", uuid="uuid")
SQLITE = _made(pk="integer primary key autoincrement not null", s="varchar", ts="datetime", fk="integer", q='"', tiny="integer", dec="numeric", json="text",
               bool="tinyint(1)", true="1", false="0", time="time", uuid="varchar(36)").replace("varchar(255)", "varchar")

NEW = {
    "migrations": {"migration": "z", "batch": 3},
    "users": {"name": "Dora", "email": "dora@example.org", "password": ""},
    "password_reset_tokens": {"email": "x y/z", "token": "t"},
    "sessions": {"id": "s9", "payload": "", "last_activity": 1},
    "cache": {"key": "new:key", "value": "", "expiration": 1},
    "jobs": {"queue": "q", "payload": "{}", "attempts": 0, "available_at": 1, "created_at": 1},
    "failed_jobs": {"uuid": "u9", "exception": ""},
    "personal_access_tokens": {"tokenable_type": "U", "tokenable_id": 3, "name": "n", "token": "h9"},
    "courses": {"title": "New"},
    "course_user": {"course_id": 3, "user_id": 3},
    "images": {"url": "c.png"},
    "tags": {"name": {"en": "n"}, "slug": "n"},
    "taggables": {"tag_id": 3, "taggable_type": "User", "taggable_id": 3},
    "telescope_entries": {"uuid": "00000000-0000-0000-0000-000000000009", "content": ""},
}
NEW_SQLITE = {"tags": {"name": "{}"}}
