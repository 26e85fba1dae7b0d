/*
 * What became of a transaction whose connection was lost while it committed. Its number is asked for before the commit;
 * the cluster and the timeline that give it a meaning are known since the connection was opened: on another cluster, or
 * after a standby has taken over, the same number is another transaction's, so nothing is said there. A server says
 * `committed` once it has committed itself: of one that was to wait for a synchronous standby that is not all.
 */
#include "service/base/clock.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* One whose server has not noticed yet that its client is gone. */
#define LOOK_AGAIN_NS (20 * CLOCK_NS_PER_MS)

/* The timeline of the log that is being written, not the control file's, which lags behind a promotion. */
#define HISTORY \
	"(SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()), " \
	"pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)"

#define HAS_STANDBY "pg_catalog.current_setting('synchronous_standby_names') <> ''"

static bool hex32(struct str s, uint32_t *ret)
{
	uint32_t v = 0;

	for (size_t i = 0; i < s.len; i++) {
		const char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F')))
			return false;
		v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
	}
	*ret = v;
	return s.len == 8;
}

static bool number(struct str s, uint64_t *ret)
{
	int64_t v;

	/* both fit: identifiers are made of the time, numbers count transactions */
	if (!num_parse_int(s, &v) || v < 0)
		return false;
	*ret = (uint64_t)v;
	return true;
}

/* One row of text; ret[i] STR_NONE for null, in the arena. */
static bool ask(struct pg_conn *c, const struct stmt *s, int64_t deadline, struct arena *a, struct str *ret,
		struct err *err)
{
	struct cursor *cur;
	bool row = false, ok;

	if (!pg_prepare(&c->base, s, deadline, &cur, err))
		return false;
	ok = pg_step(cur, &row, err);
	for (size_t i = 0; i < s->n_columns; i++)
		ret[i] = ok && row && cur->row[i].kind == VALUE_TEXT ? arena_str(a, cur->row[i].u.s) : STR_NONE;
	pg_finish(cur);
	return ok;
}

bool pg_history_find(struct pg_conn *c, int64_t deadline_ns, struct err *err)
{
	const struct stmt s = {.sql = STR("SELECT NULL::pg_catalog.text, " HISTORY),
			       .access = STMT_READ,
			       .quick = true,
			       .n_columns = 3};
	struct str words[3];
	struct arena arena;

	arena_init(&arena);
	/* a server in recovery, or one that keeps these functions from its users, has no history to ask for */
	const bool ok = ask(c, &s, deadline_ns, &arena, words, err);
	c->has_history = ok && words[1].p != NULL && words[2].p != NULL && number(words[1], &c->cluster) &&
			 hex32(words[2], &c->timeline);
	arena_done(&arena);
	return ok || !c->base.broken;
}

bool pg_commit_mark(struct driver_conn *base, int64_t deadline_ns, struct commit_mark *ret, struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	const struct stmt s = {.sql = STR(PG_MARK_SQL),
			       .access = STMT_READ,
			       .cache = !c->base.session_dirty,
			       .quick = true,
			       .n_columns = 2};
	struct str words[2];
	struct arena arena;
	bool ok;

	*ret = (struct commit_mark){.cluster = c->cluster, .timeline = c->timeline};
	if (!c->has_history || c->opening[0] != '\0')
		return true;
	arena_init(&arena);
	ok = ask(c, &s, deadline_ns, &arena, words, err);
	if (ok)
		pg_mark_set(c, words[0], words[1], ret);
	arena_done(&arena);
	return ok;
}

static enum commit_fate look(struct pg_conn *c, const struct commit_mark *m, int64_t deadline, bool *ret_again)
{
	char xid[24];
	(void)num_format_int((int64_t)m->xid, xid);
	const struct value param = value_text(str_z(xid));
	const struct stmt s = {.sql = STR("SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8), " HISTORY
					  ", CASE WHEN " HAS_STANDBY " THEN 'waits' END"),
			       .params = &param,
			       .n_params = 1,
			       .access = STMT_READ,
			       .quick = true,
			       .n_columns = 4};
	enum commit_fate fate = COMMIT_FATE_UNKNOWN;
	struct str words[4];
	struct arena arena;
	uint32_t timeline;
	uint64_t cluster;
	struct err ignored;

	arena_init(&arena);
	*ret_again = false;
	if (ask(c, &s, deadline, &arena, words, &ignored) && words[0].p != NULL && number(words[1], &cluster) &&
	    hex32(words[2], &timeline) && cluster == m->cluster && timeline == m->timeline) {
		*ret_again = str_eq_z(words[0], "in progress");
		if (str_eq_z(words[0], "committed"))
			fate = m->waits || (m->asks && words[3].p != NULL) ? COMMIT_FATE_LOCAL : COMMIT_FATE_COMMITTED;
		else if (str_eq_z(words[0], "aborted"))
			fate = COMMIT_FATE_ROLLED_BACK;
	}
	arena_done(&arena);
	return fate;
}

enum commit_fate pg_commit_fate(struct driver_conn *base, const struct commit_mark *m, int64_t deadline_ns)
{
	for (;;) {
		bool again;
		const enum commit_fate fate = look(pg_conn(base), m, deadline_ns, &again);

		if (!again || clock_mono_ns() + LOOK_AGAIN_NS >= deadline_ns ||
		    wait_until(clock_mono_ns() + LOOK_AGAIN_NS) == WAIT_CANCELLED)
			return fate;
	}
}
