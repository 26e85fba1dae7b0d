/* Loads: rows of one shape on their way into a table, in an atomic unit. */
#include <assert.h>

#include "service/base/clock.h"
#include "store/exec/exec.h"
#include "store/exec/exec_internal.h"

#include "service/base/banned.h"

bool exec_can_load(const struct exec *x)
{
	return pool_driver(x->route->conn->pool)->load_begin != NULL;
}

/* Books a call of a load. */
static bool loaded(struct exec *x, int64_t from, bool ok, struct err *err)
{
	x->db_ns += clock_mono_ns() - from;
	if (ok)
		return true;
	if (x->atomic && x->started)
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
	connection_count_error(x->route->conn, err->sqlstate);
	exec_along_failed(x, err);
	return false;
}

bool exec_load_begin(struct exec *x, struct str place, struct str sql, bool *ret_began, struct err *err)
{
	struct driver_conn *c;
	int64_t from;
	bool ok;

	assert(x->atomic && x->loading == NULL);
	if (!exec_conn(x, LEASE_WRITE, &c, err))
		return false;
	from = clock_mono_ns();
	ok = exec_act(x, NULL, c, exec_statement_deadline(x, c), err) &&
	     c->driver->load_begin(c, place, sql, exec_statement_deadline(x, c), ret_began, err);
	if (ok && *ret_began)
		x->loading = c;
	return loaded(x, from, ok, err);
}

bool exec_load_rows(struct exec *x, const struct load *l, struct err *err)
{
	struct driver_conn *c = x->loading;
	const int64_t from = clock_mono_ns();

	return loaded(x, from, c->driver->load_rows(c, l, exec_statement_deadline(x, c), err), err);
}

bool exec_load_end(struct exec *x, int64_t *ret_rows, struct err *err)
{
	struct driver_conn *c = x->loading;
	const int64_t from = clock_mono_ns();

	x->loading = NULL;
	return loaded(x, from, c->driver->load_end(c, exec_statement_deadline(x, c), ret_rows, err), err);
}
