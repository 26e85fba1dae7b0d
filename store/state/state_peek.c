/* An SQLite state as it lies there; see state_peek.h. */
#include "store/state/state_peek.h"

#include <errno.h>
#include <unistd.h>

#include "service/base/mem.h"
#include "store/state/state_check.h"

#include "service/base/banned.h"

struct meta {
	struct arena *a;
	struct str format, life, word;
};

static void take_meta(void *arg, struct str name, struct str value)
{
	struct meta *m = arg;
	if (str_eq_z(name, "format"))
		m->format = arena_str(m->a, value);
	else if (str_eq_z(name, "life"))
		m->life = arena_str(m->a, value);
	else if (str_eq_z(name, "word"))
		m->word = arena_str(m->a, value);
}

/* The file that a server of it locks: there, or to be made. */
static bool may_lock(const struct state *s, struct arena *a, struct err *err)
{
	const char *path = arena_printf(a, "%.*s-lock", STR_FMT(s->conn->dsn.path)).p;
	const char *slash = strrchr(path, '/');
	const char *dir = slash != NULL ? arena_printf(a, "%.*s", (int)(slash - path) + 1, path).p : ".";
	bool ok = access(path, R_OK | W_OK) == 0;
	if (!ok && errno == ENOENT)
		ok = access(dir, W_OK | X_OK) == 0;
	return ok || state_no_file(s, STATE_UNMADE, err);
}

/* In the order of an opening. */
static bool look_at(struct state *s, const struct state_options *o, struct arena *a, struct err *err)
{
	struct meta m = {.a = a, .format = STR_NONE, .life = STR_NONE, .word = STR_NONE};
	struct driver_look q = {.sql = "SELECT name, value FROM ferrod_meta", .row = take_meta, .arg = &m};
	bool second;
	if (!may_lock(s, a, err) || !connection_look(s->conn, &q, err) || !state_find_key(s, o->key_file, err))
		return false;
	if (!state_check_format(s, m.format, err) ||
	    (m.word.p != NULL && !state_check_word(s, a, m.word, &second, err)))
		return false;
	return m.format.p == NULL || state_take_life(s, m.life.p != NULL ? m.life : STR("0"), err);
}

bool state_peek(const struct state_options *o, struct err *err)
{
	const struct connect_options c = {
		.url = o->url, .name = STR("state"), .origin = CONNECTION_BUILT_IN, .pool = pool_config_default()};
	struct state s = {.lock_fd = -1};
	struct arena a;
	arena_init(&a);
	connection_registry_init(&s.registry, &exec_sharing);
	bool ok = connection_create(&s.registry, &c, &s.conn, err);
	if (ok && s.conn->dsn.dialect == DIALECT_SQLITE && s.conn->dsn.mode != SQLITE_MODE_MEMORY)
		ok = look_at(&s, o, &a, err);
	if (s.conn != NULL) {
		connection_close(s.conn);
		connection_unref(s.conn);
	}
	connection_registry_done(&s.registry);
	mem_free(s.make_key);
	explicit_bzero(&s.seal, sizeof(s.seal));
	arena_done(&a);
	return ok;
}
