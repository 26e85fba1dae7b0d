/* What a unit of work tells the database before anything else: settings for its transaction alone. */
#include <string.h>

#include "service/base/clock.h"
#include "store/exec/exec.h"
#include "store/exec/exec_internal.h"

#include "service/base/banned.h"

/* One text, whatever is told: it stays prepared. */
static const char tell_sql[] = "SELECT pg_catalog.set_config(key, value, true) FROM "
			       "pg_catalog.json_each_text($1::pg_catalog.json)";

/* May what follows leave with it? Short answers only: they wait for each other. */
static bool travels_with(const struct exec *x, const struct stmt *next)
{
	return next != NULL && x->n_ahead == 0 && x->route->tx == NULL && !x->before && !next->raw &&
	       (next->quick || next->small || next->access == STMT_WRITE);
}

/* The database's own words against a name or a value that it does not take, which no statement of the request's has. */
static bool refused(struct err *err)
{
	struct err why = *err;

	if (strncmp(why.sqlstate, "22", 2) != 0 && strncmp(why.sqlstate, "42", 2) != 0)
		return false;
	(void)err_set(err, ERR_INVALID_REQUEST, "the database does not take these settings: %.300s", why.detail);
	err->outcome = why.outcome;
	return false;
}

static bool run(struct exec *x, struct driver_conn *c, int64_t deadline, struct err *err)
{
	const struct driver *driver = c->driver;
	struct cursor *cur;
	bool row = true, ok = true;

	c->request_deadline_ns = exec_deadline(x);
	c->lent_ns = 0;
	if (!driver->prepare(c, &x->act, deadline, &cur, err))
		return refused(err);
	while (ok && row)
		ok = driver->step(cur, &row, err);
	driver->finish(cur);
	return ok || refused(err);
}

bool exec_act(struct exec *x, const struct stmt *next, struct driver_conn *c, int64_t deadline, struct err *err)
{
	const struct stmt *const *ahead = x->ahead;
	const size_t n_ahead = x->n_ahead;
	const bool last = x->last, ahead_last = x->ahead_last, goes = travels_with(x, next);
	bool ok;

	x->act_due = false;
	x->act_value = value_text(x->route->acts);
	x->act = (struct stmt){.sql = str_n(tell_sql, sizeof(tell_sql) - 1),
			       .params = &x->act_value,
			       .n_params = 1,
			       .n_columns = 1,
			       .access = STMT_READ,
			       .cache = true,
			       .quick = true};
	x->last = false;
	x->n_ahead = 0;
	if (goes) {
		x->act_pair[0] = &x->act;
		x->act_pair[1] = next;
		x->ahead = x->act_pair;
		x->n_ahead = 2;
		x->ahead_last = last && !x->tells && x->opened == NULL;
	}
	exec_take_along(x, &x->act, c);
	ok = run(x, c, deadline, err);
	x->last = last && !x->ahead_closing;
	x->ahead = ahead;
	x->n_ahead = n_ahead;
	x->ahead_last = ahead_last;
	return ok;
}

bool exec_act_within(struct exec *x, struct driver_conn *c, int64_t deadline, struct err *err)
{
	struct tx *tx = x->route->tx;

	if (tx_told(tx, x->route->acts))
		return true;
	tx_tell(tx, STR_NONE);
	if (!exec_act(x, NULL, c, deadline, err))
		return false;
	tx_tell(tx, x->route->acts);
	return true;
}
