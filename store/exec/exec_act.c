/* What a unit of work tells the database before anything else: a role and settings, for its transaction alone. */
#include <string.h>

#include "service/base/clock.h"
#include "store/exec/exec.h"
#include "store/exec/exec_internal.h"

#include "service/base/banned.h"

/* One text each, whatever is told: it stays prepared. */
static const char tell_sql[] = "SELECT pg_catalog.set_config(key, value, true) FROM "
			       "pg_catalog.json_each_text($1::pg_catalog.json)";
static const char role_sql[] = "SELECT pg_catalog.set_config('role', $1, true)";

bool exec_only_reads(const struct route *r, const struct stmt *s)
{
	/* what a name means may depend on the role */
	return r->role.p == NULL && pool_raw_kind(r->conn->pool, s) == RAW_SHARES;
}

/* May what follows leave with it? Short answers only: they wait for each other. */
static bool travels_with(const struct exec *x, const struct stmt *next)
{
	return next != NULL && x->n_ahead == 0 && x->route->tx == NULL && !x->before && !next->raw &&
	       (next->quick || next->small || next->access == STMT_WRITE);
}

/* The database's own words against what it does not take, which no statement of the request's has. */
static bool refused(const struct exec *x, const struct stmt *s, struct err *err)
{
	struct err why = *err;

	if (strncmp(why.sqlstate, "22", 2) != 0 && strncmp(why.sqlstate, "42", 2) != 0)
		return false;
	if (s->sql.p == role_sql)
		(void)err_set(err, ERR_FORBIDDEN, "this key's role cannot be taken on connection \"%.*s\": %.300s",
			      STR_FMT(x->route->conn->name),
			      why.sqlstate[1] == '2' && why.sqlstate[0] == '2' ? "there is no such role" : why.detail);
	else
		(void)err_set(err, ERR_INVALID_REQUEST, "the database does not take these settings: %.300s",
			      why.detail);
	err->outcome = why.outcome;
	return false;
}

static bool run(struct exec *x, const struct stmt *s, struct driver_conn *c, int64_t deadline, struct err *err)
{
	const struct driver *driver = c->driver;
	struct cursor *cur;
	bool row = true, ok = true;

	c->request_deadline_ns = exec_deadline(x);
	c->lent_ns = 0;
	exec_take_along(x, s, c);
	if (!driver->prepare(c, s, deadline, &cur, err))
		return refused(x, s, err);
	while (ok && row)
		ok = driver->step(cur, &row, err);
	driver->finish(cur);
	return ok || refused(x, s, err);
}

static struct stmt telling(const char *sql, const struct value *value)
{
	return (struct stmt){.sql = str_z(sql),
			     .params = value,
			     .n_params = 1,
			     .n_columns = 1,
			     .access = STMT_READ,
			     .cache = true,
			     .quick = true};
}

static void name_role(struct driver_conn *c, struct str role)
{
	const size_t n = role.len < sizeof(c->role) ? role.len : sizeof(c->role) - 1;

	if (n > 0)
		memcpy(c->role, role.p, n);
	c->role[n] = '\0';
}

/* The role first: whether it may set what follows is judged by its own rights. */
static size_t tellings(struct exec *x)
{
	const struct route *r = x->route;
	size_t n = 0;

	if (r->role.p != NULL) {
		x->act_value[n] = value_text(r->role);
		x->act[n] = telling(role_sql, &x->act_value[n]);
		n++;
	}
	if (r->settings.p != NULL) {
		x->act_value[n] = value_text(r->settings);
		x->act[n] = telling(tell_sql, &x->act_value[n]);
		n++;
	}
	return n;
}

static bool tell(struct exec *x, const struct stmt *next, struct driver_conn *c, int64_t deadline, struct err *err)
{
	const struct stmt *const *ahead = x->ahead;
	const size_t n_ahead = x->n_ahead, n_told = tellings(x);
	const bool last = x->last, ahead_last = x->ahead_last, goes = travels_with(x, next);
	bool ok = true;
	size_t n = 0;

	x->act_due = false;
	x->last = false;
	x->n_ahead = 0;
	name_role(c, x->route->role);
	for (; n < n_told; n++)
		x->act_list[n] = &x->act[n];
	if (goes)
		x->act_list[n++] = next;
	if (n > 1 && x->route->tx == NULL && !x->before) {
		x->ahead = x->act_list;
		x->n_ahead = n;
		x->ahead_last = goes && last && !x->tells && x->opened == NULL;
	}
	for (size_t i = 0; ok && i < n_told; i++)
		ok = run(x, &x->act[i], c, deadline, err);
	x->acted = true;
	x->last = last && !x->ahead_closing;
	x->ahead = ahead;
	x->n_ahead = n_ahead;
	x->ahead_last = ahead_last;
	return ok;
}

/* Has the transaction taken the role? */
static bool wears(const struct exec *x)
{
	return x->route->role.p != NULL && (x->route->tx != NULL || x->acted);
}

bool exec_act(struct exec *x, const struct stmt *next, struct driver_conn *c, int64_t deadline, struct err *err)
{
	if (x->act_due)
		return tell(x, next, c, deadline, err);
	name_role(c, wears(x) ? x->route->role : STR_NONE);
	return true;
}

bool exec_act_within(struct exec *x, struct driver_conn *c, int64_t deadline, struct err *err)
{
	struct tx *tx = x->route->tx;

	if (tx_told(tx, x->route->acts))
		return true;
	tx_tell(tx, STR_NONE);
	if (!tell(x, NULL, c, deadline, err))
		return false;
	tx_tell(tx, x->route->acts);
	return true;
}

/* The role is put off in front of s and in its flight, where that can be. */
static bool shed_before(struct exec *x, const struct stmt *s, struct driver_conn *c, int64_t deadline, struct err *err)
{
	static const struct value nobody = {.kind = VALUE_TEXT, .u.s = {"none", 4}};

	name_role(c, STR_NONE);
	x->shed = telling(role_sql, &nobody);
	x->shed_last = x->last;
	x->last = false;
	if (x->route->tx == NULL && x->n_ahead == 0 && !exec_travels(x)) {
		x->act_list[0] = &x->shed;
		x->act_list[1] = s;
		x->ahead = x->act_list;
		x->n_ahead = 2;
		x->ahead_last = false;
	}
	return run(x, &x->shed, c, deadline, err);
}

bool exec_act_before(struct exec *x, const struct stmt *s, struct driver_conn *c, int64_t deadline, bool *ret_shed,
		     struct err *err)
{
	*ret_shed = s->own && wears(x);
	if (*ret_shed)
		return shed_before(x, s, c, deadline, err);
	if (s->own)
		return true;
	/* a statement that has no transaction elsewhere has one for itself here, which ends with it where its answer is
	 * short */
	if (x->act_due && !x->atomic && !s->raw)
		x->last = s->quick || s->small || s->access == STMT_WRITE;
	return exec_act(x, s, c, deadline, err);
}

bool exec_act_again(struct exec *x, struct driver_conn *c, int64_t deadline, struct err *err)
{
	x->act_value[0] = value_text(x->route->role);
	x->act[0] = telling(role_sql, &x->act_value[0]);
	x->last = x->shed_last;
	return run(x, &x->act[0], c, deadline, err);
}

void exec_act_doubt(struct exec *x)
{
	if (x->route->tx != NULL)
		tx_tell(x->route->tx, STR_NONE);
	else
		x->act_due = x->started;
}
