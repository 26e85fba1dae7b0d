"""A forum as Rails makes it: schema_migrations, timestamp(6), lock_version, polymorphic references, storage, counters."""

SQLITE = """
CREATE TABLE "schema_migrations" ("version" varchar NOT NULL PRIMARY KEY);
CREATE TABLE "ar_internal_metadata" ("key" varchar NOT NULL PRIMARY KEY, "value" varchar, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL);
CREATE TABLE "members" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "email" varchar DEFAULT '' NOT NULL, "encrypted_password" varchar DEFAULT '' NOT NULL, "role" integer DEFAULT 0 NOT NULL, "settings" json DEFAULT '{}', "remember_created_at" datetime(6), "balance" decimal(10,2) DEFAULT 0.0 NOT NULL, "admin" boolean DEFAULT 0 NOT NULL, "lock_version" integer DEFAULT 0 NOT NULL, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL);
CREATE UNIQUE INDEX "index_members_on_email" ON "members" ("email");
CREATE INDEX "index_members_on_lower_email" ON "members" (lower(email));
CREATE TABLE "boards" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "type" varchar, "name" varchar NOT NULL, "position" integer, "topics_count" integer DEFAULT 0 NOT NULL, "parent_id" integer, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL, CONSTRAINT "fk_rails_0a1b2c3d01" FOREIGN KEY ("parent_id") REFERENCES "boards" ("id"));
CREATE INDEX "index_boards_on_parent_id" ON "boards" ("parent_id");
CREATE TABLE "topics" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "board_id" integer NOT NULL, "member_id" integer NOT NULL, "title" varchar(120) NOT NULL, "body" text, "score" float, "closed_at" datetime(6), "day" date, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL, CONSTRAINT "fk_rails_0a1b2c3d02" FOREIGN KEY ("board_id") REFERENCES "boards" ("id") ON DELETE CASCADE, CONSTRAINT "fk_rails_0a1b2c3d03" FOREIGN KEY ("member_id") REFERENCES "members" ("id"));
CREATE INDEX "index_topics_on_board_id_and_created_at" ON "topics" ("board_id", "created_at" DESC);
CREATE INDEX "index_topics_open" ON "topics" ("member_id") WHERE closed_at IS NULL;
CREATE TABLE "comments" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "commentable_type" varchar NOT NULL, "commentable_id" integer NOT NULL, "member_id" integer, "body" text, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL, CONSTRAINT "fk_rails_0a1b2c3d04" FOREIGN KEY ("member_id") REFERENCES "members" ("id") ON DELETE SET NULL);
CREATE INDEX "index_comments_on_commentable" ON "comments" ("commentable_type", "commentable_id");
CREATE TABLE "tags" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "name" varchar, "taggings_count" integer DEFAULT 0, "created_at" datetime, "updated_at" datetime);
CREATE TABLE "taggings" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "tag_id" integer, "taggable_type" varchar, "taggable_id" integer, "context" varchar(128), "created_at" datetime, CONSTRAINT "fk_rails_0a1b2c3d05" FOREIGN KEY ("tag_id") REFERENCES "tags" ("id"));
CREATE UNIQUE INDEX "taggings_idx" ON "taggings" ("tag_id", "taggable_id", "taggable_type", "context");
CREATE TABLE "boards_members" ("board_id" integer NOT NULL, "member_id" integer NOT NULL, CONSTRAINT "fk_rails_0a1b2c3d06" FOREIGN KEY ("board_id") REFERENCES "boards" ("id"), CONSTRAINT "fk_rails_0a1b2c3d07" FOREIGN KEY ("member_id") REFERENCES "members" ("id"));
CREATE UNIQUE INDEX "index_boards_members" ON "boards_members" ("board_id", "member_id");
CREATE TABLE "active_storage_blobs" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "key" varchar NOT NULL, "filename" varchar NOT NULL, "content_type" varchar, "metadata" text, "service_name" varchar NOT NULL, "byte_size" bigint NOT NULL, "checksum" varchar, "created_at" datetime(6) NOT NULL);
CREATE UNIQUE INDEX "index_active_storage_blobs_on_key" ON "active_storage_blobs" ("key");
CREATE TABLE "active_storage_attachments" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "name" varchar NOT NULL, "record_type" varchar NOT NULL, "record_id" bigint NOT NULL, "blob_id" bigint NOT NULL, "created_at" datetime(6) NOT NULL, CONSTRAINT "fk_rails_c3b3935057" FOREIGN KEY ("blob_id") REFERENCES "active_storage_blobs" ("id"));
CREATE TABLE "sessions" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "session_id" varchar NOT NULL, "data" blob, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL);
"""

POSTGRES = """
CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;
CREATE TABLE schema_migrations (version character varying NOT NULL, CONSTRAINT schema_migrations_pkey PRIMARY KEY (version));
CREATE TABLE ar_internal_metadata (key character varying NOT NULL, value character varying, created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL);
ALTER TABLE ONLY ar_internal_metadata ADD CONSTRAINT ar_internal_metadata_pkey PRIMARY KEY (key);
CREATE TYPE member_state AS ENUM ('invited', 'active', 'gone');
CREATE TABLE members (id bigint NOT NULL, email citext DEFAULT ''::citext NOT NULL, encrypted_password character varying DEFAULT ''::character varying NOT NULL, role integer DEFAULT 0 NOT NULL, state member_state DEFAULT 'invited'::member_state NOT NULL, settings jsonb DEFAULT '{}'::jsonb, nicknames character varying[] DEFAULT '{}'::character varying[], current_sign_in_ip inet, remember_created_at timestamp(6) without time zone, balance numeric(10,2) DEFAULT 0.0 NOT NULL, admin boolean DEFAULT false NOT NULL, lock_version integer DEFAULT 0 NOT NULL, created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL);
CREATE SEQUENCE members_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE members_id_seq OWNED BY members.id;
ALTER TABLE ONLY members ALTER COLUMN id SET DEFAULT nextval('members_id_seq'::regclass);
ALTER TABLE ONLY members ADD CONSTRAINT members_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX index_members_on_email ON members USING btree (email);
CREATE INDEX index_members_on_lower_email ON members USING btree (lower((email)::text));
CREATE INDEX index_members_on_settings ON members USING gin (settings);
CREATE TABLE boards (id bigserial PRIMARY KEY, type character varying, name character varying NOT NULL, "position" integer, topics_count integer DEFAULT 0 NOT NULL, parent_id bigint, created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL, CONSTRAINT fk_rails_0a1b2c3d01 FOREIGN KEY (parent_id) REFERENCES boards (id));
COMMENT ON TABLE boards IS 'What topics stand on';
COMMENT ON COLUMN boards.type IS 'single table inheritance';
CREATE INDEX index_boards_on_parent_id ON boards USING btree (parent_id);
CREATE TABLE topics (id bigserial PRIMARY KEY, board_id bigint NOT NULL, member_id bigint NOT NULL, title character varying(120) NOT NULL, body text, score double precision, closed_at timestamp(6) without time zone, day date, created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL, CONSTRAINT fk_rails_0a1b2c3d02 FOREIGN KEY (board_id) REFERENCES boards (id) ON DELETE CASCADE, CONSTRAINT fk_rails_0a1b2c3d03 FOREIGN KEY (member_id) REFERENCES members (id));
CREATE INDEX index_topics_on_board_id_and_created_at ON topics USING btree (board_id, created_at DESC);
CREATE INDEX index_topics_open ON topics USING btree (member_id) WHERE (closed_at IS NULL);
CREATE TABLE comments (id bigserial PRIMARY KEY, commentable_type character varying NOT NULL, commentable_id bigint NOT NULL, member_id bigint, body text, created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL, CONSTRAINT fk_rails_0a1b2c3d04 FOREIGN KEY (member_id) REFERENCES members (id) ON DELETE SET NULL);
CREATE INDEX index_comments_on_commentable ON comments USING btree (commentable_type, commentable_id);
CREATE TABLE tags (id bigserial PRIMARY KEY, name character varying, taggings_count integer DEFAULT 0, created_at timestamp without time zone, updated_at timestamp without time zone);
CREATE TABLE taggings (id bigserial PRIMARY KEY, tag_id bigint, taggable_type character varying, taggable_id bigint, context character varying(128), created_at timestamp without time zone, CONSTRAINT fk_rails_0a1b2c3d05 FOREIGN KEY (tag_id) REFERENCES tags (id));
CREATE UNIQUE INDEX taggings_idx ON taggings USING btree (tag_id, taggable_id, taggable_type, context);
CREATE TABLE boards_members (board_id bigint NOT NULL, member_id bigint NOT NULL, CONSTRAINT fk_rails_0a1b2c3d06 FOREIGN KEY (board_id) REFERENCES boards (id), CONSTRAINT fk_rails_0a1b2c3d07 FOREIGN KEY (member_id) REFERENCES members (id));
CREATE UNIQUE INDEX index_boards_members ON boards_members USING btree (board_id, member_id);
CREATE TABLE active_storage_blobs (id bigserial PRIMARY KEY, key character varying NOT NULL, filename character varying NOT NULL, content_type character varying, metadata text, service_name character varying NOT NULL, byte_size bigint NOT NULL, checksum character varying, created_at timestamp(6) without time zone NOT NULL);
CREATE UNIQUE INDEX index_active_storage_blobs_on_key ON active_storage_blobs USING btree (key);
CREATE TABLE active_storage_attachments (id bigserial PRIMARY KEY, name character varying NOT NULL, record_type character varying NOT NULL, record_id bigint NOT NULL, blob_id bigint NOT NULL, created_at timestamp(6) without time zone NOT NULL, CONSTRAINT fk_rails_c3b3935057 FOREIGN KEY (blob_id) REFERENCES active_storage_blobs (id));
CREATE TABLE sessions (id bigserial PRIMARY KEY, session_id character varying NOT NULL, data bytea, created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL);
"""

BOTH = """
INSERT INTO schema_migrations VALUES ('20260101000000'), ('20260102000000'), ('20260103000000');
INSERT INTO ar_internal_metadata VALUES ('environment', 'production', '2026-01-01 00:00:00.123456', '2026-01-01 00:00:00.123456'), ('schema_sha1', 'abc', '2026-01-01 00:00:01', '2026-01-01 00:00:01.5');
INSERT INTO members (email, encrypted_password, role, balance, admin, created_at, updated_at) VALUES ('Ann@example.org', '$2a$', 2, 12.30, TRUE, '2026-01-01 10:00:00', '2026-01-01 10:00:00.000001'), ('bob@example.org', '', 0, 0, FALSE, '2026-01-01 10:00:00.5', '2026-01-02 00:00:00'), ('c@example.org', '', 0, -1.5, FALSE, '2026-01-03 10:00:00', '2026-01-03 10:00:00');
INSERT INTO boards (type, name, "position", parent_id, created_at, updated_at) VALUES (NULL, 'all', 1, NULL, '2026-01-01 00:00:00', '2026-01-01 00:00:00'), ('Sub', 'tea', NULL, 1, '2026-01-01 00:00:00.25', '2026-01-01 00:00:00'), ('Sub', 'coffee', 2, 1, '2026-01-01 00:00:01', '2026-01-01 00:00:00');
INSERT INTO topics (board_id, member_id, title, body, score, closed_at, day, created_at, updated_at) VALUES (1, 1, 'hello', NULL, 0.5, NULL, '2026-01-02', '2026-01-01 00:00:00', '2026-01-01 00:00:00'), (2, 2, 'green', 'tea', 1e100, '2026-01-05 05:05:05', NULL, '2026-01-01 00:00:00.1', '2026-01-01 00:00:00'), (2, 1, 'black', '', -0.1, NULL, '2026-01-02', '2026-01-01 00:00:00.2', '2026-01-01 00:00:00');
INSERT INTO comments (commentable_type, commentable_id, member_id, body, created_at, updated_at) VALUES ('Topic', 1, 1, 'a', '2026-01-01 00:00:00', '2026-01-01 00:00:00'), ('Board', 1, NULL, NULL, '2026-01-01 00:00:00.3', '2026-01-01 00:00:00');
INSERT INTO tags (name, taggings_count, created_at) VALUES ('x', 1, NULL), ('y', 0, '2026-01-01 00:00:00'), (NULL, NULL, '2026-01-01 00:00:00.5');
INSERT INTO taggings (tag_id, taggable_type, taggable_id, context, created_at) VALUES (1, 'Topic', 1, 'tags', '2026-01-01 00:00:00'), (1, 'Topic', 2, 'tags', NULL);
INSERT INTO boards_members VALUES (1, 1), (1, 2), (2, 1);
INSERT INTO active_storage_blobs (key, filename, content_type, metadata, service_name, byte_size, checksum, created_at) VALUES ('k1', 'a.png', 'image/png', '{"identified":true}', 'local', 5000000000, 'x==', '2026-01-01 00:00:00'), ('k2', 'b', NULL, NULL, 'local', 0, NULL, '2026-01-01 00:00:00.5');
INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at) VALUES ('avatar', 'Member', 1, 1, '2026-01-01 00:00:00'), ('avatar', 'Member', 2, 2, '2026-01-01 00:00:00.5');
"""
SQLITE += BOTH + "INSERT INTO sessions (session_id, data, created_at, updated_at) VALUES ('s1', x'04085b00', '2026-01-01 00:00:00', '2026-01-01 00:00:00'), ('s2', NULL, '2026-01-01 00:00:00.5', '2026-01-01 00:00:00');"
POSTGRES += BOTH + "INSERT INTO sessions (session_id, data, created_at, updated_at) VALUES ('s1', '\\x04085b00', '2026-01-01 00:00:00', '2026-01-01 00:00:00'), ('s2', NULL, '2026-01-01 00:00:00.5', '2026-01-01 00:00:00');"

NEEDS = "CREATE EXTENSION citext"
NEW = {
    "schema_migrations": {"version": "20260104000000"},
    "ar_internal_metadata": {"key": "new", "value": None},
    "members": {"email": "dora@example.org"},
    "boards": {"name": "new"},
    "topics": {"board_id": 3, "member_id": 3, "title": "new"},
    "comments": {"commentable_type": "Topic", "commentable_id": 3},
    "tags": {"name": "new"},
    "taggings": {"tag_id": 2, "taggable_type": "Topic", "taggable_id": 9, "context": "x"},
    "boards_members": {"board_id": 3, "member_id": 3},
    "active_storage_blobs": {"key": "k3", "filename": "c", "service_name": "local", "byte_size": 1},
    "active_storage_attachments": {"name": "a", "record_type": "Member", "record_id": 3, "blob_id": 2},
    "sessions": {"session_id": "s3", "data": "AAH/"},
}
