"""A club as Ecto makes it: citext, utc_datetime_usec, binary_ids, arrays, maps, Oban's jobs, exclusion constraints."""

SQLITE = None
POSTGRES = """
CREATE EXTENSION citext; CREATE EXTENSION btree_gist;
CREATE TYPE oban_job_state AS ENUM ('available', 'scheduled', 'executing', 'completed');
CREATE TABLE schema_migrations (version bigint NOT NULL, inserted_at timestamp(0) without time zone, CONSTRAINT schema_migrations_pkey PRIMARY KEY (version));
CREATE TABLE users (id bigserial PRIMARY KEY, email citext NOT NULL, hashed_password varchar(255) NOT NULL, confirmed_at timestamp(0) without time zone, inserted_at timestamp without time zone NOT NULL, updated_at timestamp without time zone NOT NULL);
CREATE UNIQUE INDEX users_email_index ON users USING btree (email);
CREATE TABLE users_tokens (id bigserial PRIMARY KEY, user_id bigint NOT NULL CONSTRAINT users_tokens_user_id_fkey REFERENCES users(id) ON DELETE CASCADE, token bytea NOT NULL, context varchar(255) NOT NULL, sent_to varchar(255), inserted_at timestamp without time zone NOT NULL);
CREATE UNIQUE INDEX users_tokens_context_token_index ON users_tokens USING btree (context, token);
CREATE TABLE clubs (id uuid PRIMARY KEY, name text NOT NULL, settings jsonb DEFAULT '{}'::jsonb NOT NULL, tags varchar(255)[] DEFAULT ARRAY[]::varchar[], founded_on date, deleted_at timestamp without time zone);
CREATE UNIQUE INDEX clubs_name_alive_index ON clubs USING btree (lower(name)) WHERE (deleted_at IS NULL);
CREATE TABLE memberships (id uuid PRIMARY KEY, club_id uuid NOT NULL CONSTRAINT memberships_club_id_fkey REFERENCES clubs(id) ON DELETE CASCADE ON UPDATE CASCADE, user_id bigint NOT NULL CONSTRAINT memberships_user_id_fkey REFERENCES users(id) ON DELETE RESTRICT, role varchar(255) DEFAULT 'guest' NOT NULL, fee numeric(12,2), CONSTRAINT fee_must_be_positive CHECK (fee > 0));
CREATE UNIQUE INDEX memberships_club_id_user_id_index ON memberships USING btree (club_id, user_id);
CREATE TABLE rooms (id bigserial PRIMARY KEY, club_id uuid REFERENCES clubs(id) ON DELETE SET NULL, label varchar(40) NOT NULL, geom point, seats integer DEFAULT 10 NOT NULL);
COMMENT ON COLUMN rooms.geom IS 'where it is';
CREATE TABLE bookings (id bigserial PRIMARY KEY, room_id bigint NOT NULL REFERENCES rooms(id), during tsrange NOT NULL, priority smallint DEFAULT 0, CONSTRAINT no_overlap EXCLUDE USING gist (room_id WITH =, during WITH &&));
CREATE TABLE posts (id bigserial PRIMARY KEY, title varchar(255) NOT NULL, body text, author_id bigint REFERENCES users(id) ON DELETE SET NULL, search tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, coalesce(title, '') || ' ' || coalesce(body, ''))) STORED, published_at timestamp without time zone);
CREATE INDEX posts_search_index ON posts USING gin (search);
CREATE INDEX posts_published_at_index ON posts USING btree (published_at DESC NULLS LAST) INCLUDE (title);
CREATE TABLE post_likes (post_id bigint NOT NULL REFERENCES posts(id) ON DELETE CASCADE, user_id bigint NOT NULL REFERENCES users(id) ON DELETE CASCADE, PRIMARY KEY (post_id, user_id));
CREATE TABLE oban_jobs (id bigserial PRIMARY KEY, state oban_job_state DEFAULT 'available'::oban_job_state NOT NULL, queue text DEFAULT 'default'::text NOT NULL, worker text NOT NULL, args jsonb DEFAULT '{}'::jsonb NOT NULL, errors jsonb[] DEFAULT ARRAY[]::jsonb[] NOT NULL, attempt integer DEFAULT 0 NOT NULL, max_attempts integer DEFAULT 20 NOT NULL, inserted_at timestamp without time zone DEFAULT timezone('UTC'::text, now()) NOT NULL, meta jsonb DEFAULT '{}'::jsonb, CONSTRAINT attempt_range CHECK (((attempt >= 0) AND (attempt <= max_attempts))), CONSTRAINT queue_length CHECK (((char_length(queue) > 0) AND (char_length(queue) < 128))));
CREATE INDEX oban_jobs_state_queue_index ON oban_jobs USING btree (state, queue, id);
CREATE UNLOGGED TABLE oban_peers (name text NOT NULL PRIMARY KEY, node text NOT NULL, started_at timestamp without time zone NOT NULL);
CREATE TABLE versions (id bigserial PRIMARY KEY, item_type varchar(255) NOT NULL, item_id uuid, item_changes jsonb NOT NULL, happened timestamp(0) without time zone DEFAULT now() NOT NULL);
CREATE TABLE measures (id bigserial PRIMARY KEY, price money, mac macaddr, net cidr, bits bit(3), dur interval, ratio real, path text COLLATE "C");
INSERT INTO schema_migrations VALUES (20260101000000, '2026-01-02 03:04:05'), (20260102000000, NULL);
INSERT INTO users (email, hashed_password, confirmed_at, inserted_at, updated_at) VALUES ('Ann@Example.org', '$2b$', '2026-01-02 03:04:05', '2026-01-02 03:04:05.123456', '2026-01-02 03:04:05.123456'), ('bob@example.org', 'x', NULL, '2026-01-02 03:04:05', '2026-01-02 03:04:05'), ('c@example.org', '', NULL, '2026-01-02 03:04:05.000001', '2026-01-02 03:04:05');
INSERT INTO users_tokens (user_id, token, context, sent_to, inserted_at) VALUES (1, '\\x00ff', 'session', NULL, '2026-01-02 03:04:05'), (1, '', 'reset', 'ann@example.org', '2026-01-02 03:04:05.5');
INSERT INTO clubs VALUES ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 'Chess', '{"a": {"b": 1.10}}', '{x,"y z"}', '2001-02-03', NULL), ('00000000-0000-0000-0000-000000000001', 'chess', '{}', NULL, NULL, '2026-01-02 03:04:05'), ('00000000-0000-0000-0000-000000000002', 'Go', '[]', '{}', 'infinity', NULL);
INSERT INTO memberships VALUES ('00000000-0000-0000-0000-0000000000a1', '3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 1, 'owner', 1.50), ('00000000-0000-0000-0000-0000000000a2', '3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 2, 'guest', NULL);
INSERT INTO rooms (club_id, label, geom, seats) VALUES ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 'hall', '(1.5,2)', 10), (NULL, 'attic', NULL, 3), (NULL, 'cellar', '(0,0)', 0);
INSERT INTO bookings (room_id, during, priority) VALUES (1, '[2026-01-01,2026-01-02)', 0), (1, '[2026-01-02,2026-01-03)', NULL), (2, '(,)', 1);
INSERT INTO posts (title, body, author_id, published_at) VALUES ('hello world', NULL, 1, '2026-01-02 03:04:05'), ('second', 'body text', NULL, NULL), ('third', '', 2, '2026-01-02 03:04:05');
INSERT INTO post_likes VALUES (1, 1), (1, 2), (2, 1);
INSERT INTO oban_jobs (state, worker, args, errors, inserted_at) VALUES ('available', 'W', '{"n": 1}', '{}', '2026-01-02 03:04:05'), ('completed', 'W', '{}', ARRAY['{"at": 1}'::jsonb, 'null'::jsonb], '2026-01-02 03:04:05.5');
INSERT INTO oban_peers VALUES ('Oban', 'a@b', '2026-01-02 03:04:05'), ('Other', '', '-infinity');
INSERT INTO versions (item_type, item_id, item_changes, happened) VALUES ('Club', '3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', '{"name": [null, "Chess"]}', '2026-01-02 03:04:05'), ('Post', NULL, 'null', '2026-01-02 03:04:06');
INSERT INTO measures (price, mac, net, bits, dur, ratio, path) VALUES ('12.50', '08:00:2b:01:02:03', '10.0.0.0/8', B'101', '1 mon -2 days 03:00:00.5', 0.1, 'a'), (NULL, NULL, NULL, NULL, NULL, 'NaN', NULL), ('-1', NULL, '::/0', B'000', '0', '-Infinity', 'B');
"""

NO_EQUALITY = {"geom"}  # a point
NEEDS = "CREATE EXTENSION citext; CREATE EXTENSION btree_gist"
TOLD = {("oban_peers", "UNLOGGED")}  # what no model says, and is named
NEW = {
    "schema_migrations": {"version": 20260103000000},
    "users": {"email": "Dora@Example.org", "hashed_password": "x", "inserted_at": "2026-05-05T05:05:05.5", "updated_at": "2026-05-05T05:05:05"},
    "users_tokens": {"user_id": 3, "token": "AAH/", "context": "x", "inserted_at": "2026-05-05T05:05:05"},
    "clubs": {"id": "00000000-0000-0000-0000-000000000009", "name": "New"},
    "memberships": {"id": "00000000-0000-0000-0000-0000000000a9", "club_id": "00000000-0000-0000-0000-000000000002", "user_id": 3, "fee": "0.01"},
    "rooms": {"label": "new"},
    "bookings": {"room_id": 3, "during": {"lower": "2026-01-01T00:00:00", "upper": None, "bounds": "[)"}},
    "posts": {"title": "new"},
    "post_likes": {"post_id": 3, "user_id": 3},
    "oban_jobs": {"worker": "W"},
    "oban_peers": {"name": "new/one", "node": "n", "started_at": "2026-05-05T05:05:05"},
    "versions": {"item_type": "x", "item_changes": {"a": [1.10, None]}},
    "measures": {"bits": "110", "dur": "P1D", "ratio": 0.5},
}
