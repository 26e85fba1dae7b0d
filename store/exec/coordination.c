/* Do advisory locks lock? */
#include "store/exec/coordination.h"

#include "service/base/banned.h"

/* Of nobody else: it is only looked whether it is there. */
#define PROBE_KEY "112585897832293"

static const char ddl[] =
	"CREATE TABLE IF NOT EXISTS " LEASE_TABLE " (name varchar(64) PRIMARY KEY, taken bigint NOT NULL)";

static bool take_flag(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	(void)ret_stop;
	(void)err;
	*(bool *)arg = n == 1 && values[0].kind == VALUE_INT && values[0].u.i > 0;
	return true;
}

/* *ret_locks: one that was taken is among the locks that this backend holds. */
static bool probe(struct exec *x, bool *ret_locks, struct err *err)
{
	static const struct stmt take = {.sql = {"SELECT pg_catalog.pg_advisory_xact_lock(" PROBE_KEY ")",
						 sizeof("SELECT pg_catalog.pg_advisory_xact_lock(" PROBE_KEY ")") - 1},
					 .access = STMT_READ};
	static const char sql[] = "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = "
				  "pg_catalog.pg_backend_pid()";
	const struct stmt look = {.sql = str_n(sql, sizeof(sql) - 1), .access = STMT_READ};
	struct row_sink nobody = {0}, sink = {.row = take_flag, .arg = ret_locks};
	struct exec_result result;
	return exec_run(x, &take, &nobody, &result, err) && exec_run(x, &look, &sink, &result, err);
}

static bool run_ddl(struct connection *c, int64_t deadline, struct err *err)
{
	struct route r = {.conn = c};
	struct exec x = {0};
	struct err ignored;
	exec_begin(&x, &r, deadline, false);
	const bool ok = exec_simple(&x, str_n(ddl, sizeof(ddl) - 1), err);
	return exec_end(&x, ok, ok ? err : &ignored) && ok;
}

void coordination_find(struct connection *c, int64_t deadline)
{
	struct route r = {.conn = c};
	struct exec x = {0};
	struct err err, ignored;
	bool locks = false;
	if (c->dsn.dialect != DIALECT_POSTGRES)
		return;
	exec_begin(&x, &r, deadline, true);
	x.reads_only = true;
	const bool ok = probe(&x, &locks, &err);
	(void)!exec_end(&x, false, &ignored);
	/* what has no such function or table has no such locks; what did not answer says nothing */
	if (!ok && strncmp(err.sqlstate, "42", 2) != 0 && strncmp(err.sqlstate, "0A", 2) != 0)
		return;
	__atomic_store_n(&c->leases, ok && locks ? 0 : 1, __ATOMIC_RELAXED);
	/* where it may not be made, who needs it says so */
	if (!(ok && locks))
		(void)!run_ddl(c, deadline, &ignored);
}

const char *coordination_word(const struct connection *c)
{
	return __atomic_load_n(&c->leases, __ATOMIC_RELAXED) != 0 ? "lease" : "advisory";
}
