/* Tables and statements of the state. */
#include "store/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/state/state_check.h"
#include "store/state/state_claims.h"
#include "store/state/state_sql.h"

#include "service/base/banned.h"

#define TRIES 8
#define RACED_NS (50 * CLOCK_NS_PER_MS)

bool state_shared(const struct state *s)
{
	return state_is_postgres(s);
}

bool state_seals(const struct state *s)
{
	return s->seal.n > 0;
}

bool state_derive_key(const struct state *s, struct str purpose, uint8_t ret[CRYPTO_KEY_BYTES])
{
	if (s == NULL || s->seal.n == 0)
		return false;
	crypto_mac(s->seal.keys[0], purpose, ret);
	return true;
}

bool state_resealed(const struct state *s)
{
	return s->resealed;
}

struct str state_place(const struct state *s)
{
	return s->conn->dsn.redacted;
}

const char *state_life(const struct state *s)
{
	return s->life;
}

/* ---- opening ---- */

static bool create_tables(struct unit *u, struct err *err)
{
	static const char *const tables[] = {
		"CREATE TABLE IF NOT EXISTS ~meta (name varchar PRIMARY KEY, value varchar NOT NULL)",
		"CREATE TABLE IF NOT EXISTS ~connections (name varchar PRIMARY KEY, url varchar NOT NULL, options "
		"varchar NOT NULL)",
		"CREATE TABLE IF NOT EXISTS ~models (version bigint PRIMARY KEY, fingerprint varchar NOT NULL, told_at "
		"varchar NOT NULL, told_by varchar NOT NULL, told text)",
		"CREATE TABLE IF NOT EXISTS ~answers (key varchar PRIMARY KEY, owner varchar NOT NULL, body varchar "
		"NOT NULL, at_us bigint NOT NULL, size bigint NOT NULL, status bigint NOT NULL, content_type varchar "
		"NOT NULL, answer text NOT NULL)",
	};
	/* of servers that share it */
	static const char *const shared[] = {
		"CREATE TABLE IF NOT EXISTS ~nodes (name varchar PRIMARY KEY, instance varchar NOT NULL, url varchar "
		"NOT NULL, version varchar NOT NULL, boot varchar NOT NULL, pid bigint NOT NULL, started_us bigint NOT "
		"NULL, seen_us bigint NOT NULL, beats bigint NOT NULL, draining bigint NOT NULL, sessions bigint NOT "
		"NULL, transactions bigint NOT NULL)",
		"CREATE TABLE IF NOT EXISTS ~sessions (id varchar PRIMARY KEY, node varchar NOT NULL, instance varchar "
		"NOT NULL, phase bigint NOT NULL, owner varchar NOT NULL, connection varchar NOT NULL, created_us "
		"bigint NOT NULL, used_us bigint NOT NULL, idle_us bigint NOT NULL, life_us bigint NOT NULL, ended_us "
		"bigint NOT NULL, why bigint NOT NULL, origin varchar NOT NULL, undone text NOT NULL, settings text "
		"NOT NULL DEFAULT '')",
		"ALTER TABLE ~sessions ADD COLUMN IF NOT EXISTS settings text NOT NULL DEFAULT ''", /* it may be older
												     */
		"CREATE INDEX IF NOT EXISTS sessions_by_node ON ~sessions (node, instance, phase)",
		"CREATE TABLE IF NOT EXISTS ~claims (key varchar PRIMARY KEY, body varchar NOT NULL, node varchar NOT "
		"NULL, instance varchar NOT NULL, till_us bigint NOT NULL)",
	};
	if (state_is_postgres(u->s)) {
		if (!state_run(u,
			       "SELECT pg_advisory_xact_lock(" /* servers that start together make them once */
			       "7306010)",
			       NULL, 0, NULL, NULL, err) ||
		    !exec_simple(&u->x, STR("CREATE SCHEMA IF NOT EXISTS ferrod"), err))
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		if (!exec_simple(&u->x, state_native(u, tables[i]), err))
			return false;
	for (size_t i = 0; state_is_postgres(u->s) && i < ARRAY_LEN(shared); i++)
		if (!exec_simple(&u->x, state_native(u, shared[i]), err))
			return false;
	return true;
}

static const char sealed[] = "sealed:", plain[] = "plain:";

static bool open_url(const struct state *s, struct arena *a, struct str name, struct str kept, struct str *ret,
		     bool *ret_second)
{
	*ret_second = false;
	if (str_starts(kept, str_z(plain))) {
		*ret = str_n(kept.p + strlen(plain), kept.len - strlen(plain));
		return true;
	}
	return str_starts(kept, str_z(sealed)) &&
	       seal_get(a, &s->seal, name, str_n(kept.p + strlen(sealed), kept.len - strlen(sealed)), ret, ret_second);
}

static struct str kept_url(const struct state *s, struct arena *a, struct str name, struct str url)
{
	if (s->seal.n == 0)
		return arena_printf(a, "%s%.*s", plain, STR_FMT(url));
	return arena_printf(a, "%s%.*s", sealed, STR_FMT(seal_put(a, &s->seal, name, url)));
}

static bool reseal_answers(struct unit *u, struct err *err)
{
	struct rows r = {.kinds = "ttitt"};
	if (!state_run(u, "SELECT key, body, status, content_type, answer FROM ~answers", NULL, 0, &r, NULL, err))
		return false;
	for (size_t i = 0; i < r.n; i++) {
		const struct str key = r.cells[i][0],
				 context = state_answer_context(u->a, key, r.cells[i][1], state_cell_int(r.cells[i][2]),
								r.cells[i][3]);
		struct str plain_text;
		bool second;
		/* what neither opens is no answer any more, and goes when it is old */
		if (!seal_get(u->a, &u->s->seal, context, r.cells[i][4], &plain_text, &second))
			continue;
		const struct value params[] = {value_text(seal_put(u->a, &u->s->seal, context, plain_text)),
					       value_text(key)};
		if (!state_run(u, "UPDATE ~answers SET answer = ? WHERE key = ?", params, 2, NULL, NULL, err))
			return false;
	}
	return true;
}

/* Everything is sealed under the first key from now on. */
static bool reseal(struct unit *u, struct err *err)
{
	struct rows r = {.kinds = "tt"};
	struct state *s = u->s;
	/* servers that run tell behind this row's lock: what they tell meanwhile would be written over */
	if (!state_run(u, "UPDATE ~meta SET value = value WHERE name = 'version'", NULL, 0, NULL, NULL, err) ||
	    !state_run(u, "SELECT name, url FROM ~connections", NULL, 0, &r, NULL, err))
		return false;
	for (size_t i = 0; i < r.n; i++) {
		struct str url;
		bool second;
		if (!open_url(s, u->a, r.cells[i][0], r.cells[i][1], &url, &second))
			return state_wrong_key(s, err);
		const struct value params[] = {value_text(kept_url(s, u->a, r.cells[i][0], url)),
					       value_text(r.cells[i][0])};
		if (!state_run(u, "UPDATE ~connections SET url = ? WHERE name = ?", params, 2, NULL, NULL, err))
			return false;
	}
	s->resealed = true;
	return reseal_answers(u, err) &&
	       state_put_meta(u, "word", seal_put(u->a, &s->seal, STR("word"), STR(STATE_WORD)), err);
}

static bool check_key(struct unit *u, struct str word, bool read_only, struct err *err)
{
	struct state *s = u->s;
	bool second = false;
	if (word.p == NULL && s->make_key != NULL && !read_only && !seal_load_or_make(s->make_key, &s->seal, err))
		return false;
	if (word.p == NULL && s->seal.n > 0 && !read_only)
		return state_put_meta(u, "word", seal_put(u->a, &s->seal, STR("word"), STR(STATE_WORD)), err);
	if (word.p == NULL)
		return true;
	if (!state_check_word(s, u->a, word, &second, err))
		return false;
	return read_only || s->seal.n < 2 || reseal(u, err);
}

/* What a state has from its first moment on. */
static bool begin_life(struct unit *u, struct err *err)
{
	uint8_t word[16];
	num_random(word, sizeof(word));
	num_hex(word, sizeof(word), u->s->life);
	/* not put: of two that begin at once, one fails and looks again */
	return state_run(u, "INSERT INTO ~meta (name, value) VALUES ('format', '1')", NULL, 0, NULL, NULL, err) &&
	       state_put_meta(u, "version", STR("1"), err) && state_put_meta(u, "life", str_z(u->s->life), err);
}

static bool no_table(const struct err *err)
{
	return strcmp(err->sqlstate, "42P01") == 0 || strcmp(err->sqlstate, "3F000") == 0 ||
	       strstr(err->detail, "no such table") != NULL;
}

/* Always false. */
static bool no_state(const struct state *s, struct err *err)
{
	return err_set(err, ERR_INVALID_REQUEST, "there is no state in %.*s", STR_FMT(s->conn->dsn.redacted));
}

static bool prepare(struct unit *u, bool read_only, struct err *err)
{
	struct rows r = {.kinds = "tt"};
	if (!read_only && !create_tables(u, err))
		return false;
	if (!state_run(u, "SELECT name, value FROM ~meta", NULL, 0, &r, NULL, err))
		return read_only && no_table(err) ? no_state(u->s, err) : false;
	const struct str format = state_meta(&r, "format"), life = state_meta(&r, "life");
	if (!state_check_format(u->s, format, err) || !check_key(u, state_meta(&r, "word"), read_only, err))
		return false;
	if (format.p == NULL && !read_only)
		return begin_life(u, err);
	return state_take_life(u->s, life.p != NULL ? life : STR("0"), err);
}

/* An SQLite state has one server: a file beside it is locked as long as the process lives. */
static bool lock_file(struct state *s, struct err *err)
{
	struct arena a;
	arena_init(&a);
	const char *path = arena_printf(&a, "%.*s-lock", STR_FMT(s->conn->dsn.path)).p;
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const bool ok = s->lock_fd >= 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0;
	if (!ok)
		(void)!state_no_file(s, s->lock_fd < 0 ? STATE_UNMADE : "is that of another server that runs", err);
	arena_done(&a);
	return ok;
}

/* Did another make the same at the same moment? Not every database has the lock that keeps them apart. */
static bool raced(const struct err *err)
{
	static const char *const states[] = {"23505", "40001", "40P01", "42P06", "42P07", "42710", "XX000"};
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (strcmp(err->sqlstate, states[i]) == 0)
			return wait_until(clock_mono_ns() + RACED_NS) != WAIT_CANCELLED;
	return false;
}

static bool open_all(struct state *s, const struct state_options *o, struct err *err)
{
	const struct connect_options c = {
		.url = o->url, .name = STR("state"), .origin = CONNECTION_BUILT_IN, .pool = pool_config_default()};
	struct arena a;
	struct unit u;
	if (!connection_create(&s->registry, &c, &s->conn, err))
		return false;
	const bool file = !state_is_postgres(s) && s->conn->dsn.mode != SQLITE_MODE_MEMORY;
	if (file && o->read_only) {
		arena_init(&a);
		const bool there = access(arena_strz(&a, s->conn->dsn.path), F_OK) == 0;
		arena_done(&a);
		if (!there)
			return no_state(s, err);
	}
	if ((file && !o->read_only && !lock_file(s, err)) ||
	    !connection_prove(s->conn, clock_deadline(LIMIT_STATE_S), err) || !state_find_key(s, o->key_file, err))
		return false;
	bool ok = false;
	for (int tries = 0; !ok && tries < TRIES && (tries == 0 || raced(err)); tries++) {
		arena_init(&a);
		state_unit_begin(&u, s, &a, !o->read_only);
		ok = prepare(&u, o->read_only, err);
		ok = state_unit_end(&u, ok, err);
		arena_done(&a);
	}
	return ok;
}

bool state_open(const struct state_options *o, struct state **ret, struct err *err)
{
	struct state *s = mem_alloc(sizeof(*s));
	connection_registry_init(&s->registry, &exec_sharing);
	s->lock_fd = -1;
	s->listen_ns = (int64_t)(o->listen_s * (double)CLOCK_NS_PER_S);
	if (!open_all(s, o, err)) {
		state_close(s);
		return false;
	}
	*ret = s;
	return true;
}

void state_close(struct state *s)
{
	if (s == NULL)
		return;
	if (s->conn != NULL) {
		connection_close(s->conn);
		connection_unref(s->conn);
	}
	connection_registry_done(&s->registry);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	mem_free(s->make_key);
	explicit_bzero(&s->seal, sizeof(s->seal));
	mem_free(s);
}

/* ---- what servers that share it have in common ---- */

static bool shared_word(struct unit *u, struct str *ret, struct err *err)
{
	uint8_t word[CRYPTO_KEY_BYTES];
	char hex[2 * sizeof(word) + 1];
	struct rows r = {.kinds = "tt"};
	num_random(word, sizeof(word));
	num_hex(word, sizeof(word), hex);
	const struct value param = value_text(str_z(hex));
	if (!state_run(u, "INSERT INTO ~meta (name, value) VALUES ('secret', ?) ON CONFLICT (name) DO NOTHING", &param,
		       1, NULL, NULL, err) ||
	    !state_run(u, "SELECT name, value FROM ~meta WHERE name = 'secret'", NULL, 0, &r, NULL, err))
		return false;
	*ret = state_meta(&r, "secret");
	return true;
}

bool state_shared_key(struct state *s, struct str purpose, uint8_t ret[CRYPTO_KEY_BYTES], struct err *err)
{
	struct arena a;
	struct unit u;
	struct str word = STR_NONE;
	if (state_derive_key(s, purpose, ret))
		return true;
	arena_init(&a);
	state_unit_begin(&u, s, &a, true);
	bool ok = shared_word(&u, &word, err);
	ok = state_unit_end(&u, ok, err);
	if (ok) {
		uint8_t key[CRYPTO_KEY_BYTES];
		num_sha256(word, key);
		crypto_mac(key, purpose, ret);
	}
	arena_done(&a);
	return ok;
}

bool state_local_address(struct state *s, char ret[64], struct err *err)
{
	struct driver_conn *c;
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, false);
	bool ok = exec_conn(&u.x, LEASE_READ, &c, err);
	if (ok && (c->driver->local_address == NULL || !c->driver->local_address(c, ret)))
		ok = err_set(err, ERR_DATABASE_UNAVAILABLE, "the state's connection has no address");
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	return ok;
}

/* ---- reading ---- */

static bool load_connection(struct unit *u, const struct str cells[STATE_CELLS], struct state_content *ret,
			    struct err *err)
{
	struct state_connection *x = &ret->connections[ret->n_connections++];
	bool second;
	x->name = cells[1];
	x->options = cells[3];
	return open_url(u->s, u->a, x->name, cells[2], &x->url, &second) || state_wrong_key(u->s, err);
}

/* One statement, for it sees one moment on every database, whatever the isolation of its transaction. */
static bool load(struct unit *u, struct state_content *ret, struct err *err)
{
	struct rows r = {.kinds = "itttt"};
	if (!state_run(u,
		       "SELECT 1, name, value, '', '' FROM ~meta UNION ALL "
		       "SELECT 2, name, url, options, '' FROM ~connections UNION ALL "
		       "SELECT 3, '', '', CAST(version AS varchar), told FROM ~models WHERE told IS NOT NULL AND "
		       "version = (SELECT max(version) FROM ~models WHERE told IS NOT NULL) ORDER BY 1, 2",
		       NULL, 0, &r, NULL, err))
		return false;
	struct str version = STR_NONE;
	ret->connections = arena_array(u->a, r.n + 1, sizeof(*ret->connections));
	ret->models = ret->default_name = STR_NONE;
	for (size_t i = 0; i < r.n; i++) {
		const struct str *cells = r.cells[i];
		const int64_t part = state_cell_int(cells[0]);
		if (part == 1 && str_eq_z(cells[1], "version"))
			version = cells[2];
		else if (part == 1 && str_eq_z(cells[1], "default") && cells[2].len > 0)
			ret->default_name = cells[2];
		else if (part == 2 && !load_connection(u, cells, ret, err))
			return false;
		else if (part == 3 && !state_version_of(cells[3], &ret->models_version, err))
			return false;
		if (part == 3)
			ret->models = cells[4];
	}
	return state_version_of(version, &ret->version, err);
}

bool state_load(struct state *s, struct arena *a, struct state_content *ret, struct err *err)
{
	struct unit u;
	*ret = (struct state_content){0};
	state_unit_begin(&u, s, a, false);
	const bool ok = load(&u, ret, err);
	return state_unit_end(&u, ok, err);
}

bool state_version(struct state *s, int64_t *ret, struct err *err)
{
	struct arena a;
	struct unit u;
	struct rows r = {.kinds = "t"};
	arena_init(&a);
	state_unit_begin(&u, s, &a, false);
	bool ok = state_run(&u, "SELECT value FROM ~meta WHERE name = 'version'", NULL, 0, &r, NULL, err);
	ok = state_unit_end(&u, ok, err);
	if (ok)
		ok = state_version_of(r.n == 1 ? r.cells[0][0] : STR_NONE, ret, err);
	arena_done(&a);
	return ok;
}

bool state_readable(struct state *s, double seconds, struct err *err)
{
	struct arena a;
	struct unit u;
	struct rows r = {.kinds = "tt"};
	arena_init(&a);
	state_unit_begin_within(&u, s, &a, false, seconds);
	bool ok = state_look(&u, "SELECT name, value FROM ~meta", &r, err);
	ok = state_unit_end(&u, ok, err);
	if (!ok) {
		const struct err was = *err;
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "the state cannot be read: %.400s",
			      no_table(&was) ? "another database lies in its place" : was.detail);
		err->cancelled = was.cancelled;
	} else if (!str_eq_z(state_meta(&r, "life").p != NULL ? state_meta(&r, "life") : STR("0"), s->life)) {
		ok = err_set(err, ERR_DATABASE_UNAVAILABLE, "the state cannot be read: another one lies in its place");
	}
	arena_done(&a);
	return ok;
}

/* ---- writing ---- */

/* The next version, if the state still has the one that the caller knows. */
static bool advance(struct unit *u, int64_t version, int64_t *ret_version, struct err *err)
{
	char was[24], is[24];
	int64_t affected;
	const struct value params[] = {value_text(str_n(is, num_format_int(version + 1, is))),
				       value_text(str_n(was, num_format_int(version, was)))};
	if (!state_run(u, "UPDATE ~meta SET value = ? WHERE name = 'version' AND value = ?", params, 2, NULL, &affected,
		       err))
		return false;
	*ret_version = version + 1;
	return affected == 1 || err_set(err, ERR_SERIALIZATION_FAILURE, "the state has changed meanwhile");
}

static bool write_connections(struct unit *u, const struct state_change *c, struct err *err)
{
	if (c->drop_all && !state_run(u, "DELETE FROM ~connections", NULL, 0, NULL, NULL, err))
		return false;
	if (c->drop.p != NULL) {
		const struct value name = value_text(c->drop);
		if (!state_run(u, "DELETE FROM ~connections WHERE name = ?", &name, 1, NULL, NULL, err))
			return false;
	}
	if (c->put == NULL)
		return true;
	const struct value params[] = {value_text(c->put->name),
				       value_text(kept_url(u->s, u->a, c->put->name, c->put->url)),
				       value_text(c->put->options)};
	return state_run(
		u,
		"INSERT INTO ~connections (name, url, options) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
		"url = excluded.url, options = excluded.options",
		params, 3, NULL, NULL, err);
}

static bool write_models(struct unit *u, int64_t version, const struct state_change *c, struct err *err)
{
	char at[CLOCK_RFC3339_BYTES];
	if (c->models.p == NULL)
		return true;
	clock_rfc3339(clock_real_us(), at);
	const struct value params[] = {value_int(version), value_text(str_z(c->fingerprint)), value_text(str_z(at)),
				       value_text(c->who.p != NULL ? c->who : STR("")), value_text(c->models)};
	return state_run(u, "UPDATE ~models SET told = NULL WHERE told IS NOT NULL", NULL, 0, NULL, NULL, err) &&
	       state_run(u, "INSERT INTO ~models (version, fingerprint, told_at, told_by, told) VALUES (?, ?, ?, ?, ?)",
			 params, 5, NULL, NULL, err);
}

static bool unwritable(struct err *err)
{
	const struct err was = *err;
	(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "nothing was changed, for the state cannot be written: %.400s",
		      was.detail);
	err->outcome = was.outcome == ERR_OUTCOME_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_OUTCOME_ROLLED_BACK;
	err->cancelled = was.cancelled;
	return false;
}

bool state_write(struct state *s, int64_t version, const struct state_change *c, int64_t *ret_version, struct err *err)
{
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, true);
	bool ok = state_claim_hold(&u, c->claim, err) && advance(&u, version, ret_version, err) &&
		  write_connections(&u, c, err) && write_models(&u, *ret_version, c, err);
	if (ok && (c->choose_default || c->drop_all))
		ok = state_put_meta(&u, "default",
				    c->choose_default && c->default_name.p != NULL ? c->default_name : STR(""), err);
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	if (ok)
		state_tell(s);
	if (ok || err->code == ERR_SERIALIZATION_FAILURE)
		return ok;
	return unwritable(err);
}
