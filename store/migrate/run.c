/* See run.h. */
#include "store/migrate/run.h"

#include "service/base/clock.h"

#include "service/base/wait.h"
#include "store/migrate/plan_rename.h"

#include "service/base/banned.h"

/* Rows are counted up to here, for an answer's figures; beyond, the database's estimate does. */
#define COUNT_MAX 5000000

/* ---- rows -------------------------------------------------------------------------------------------- */

static void count_sql(const struct live_table *t, struct strbuf *b)
{
	strbuf_puts(b, "SELECT count(*) FROM (SELECT 1 FROM ");
	dialect_quote_table(b, t->schema_name, t->name);
	strbuf_printf(b, " LIMIT %d) x", COUNT_MAX + 1);
}

/* The first row: an integer and, where ret_text is wanted, a text after it (STR_NONE: none; in the run's arena). What
 * is not there stays as it was. */
static bool query_first(const struct run *r, struct str sql, int64_t *ret, struct str *ret_text, struct err *err)
{
	const struct stmt s = {.sql = sql, .access = STMT_READ, .n_columns = ret_text != NULL ? 2 : 1};
	const struct driver *driver = r->c->driver;
	struct cursor *cur;
	bool row = false, ok;

	if (!driver->prepare(r->c, &s, r->q->deadline, &cur, err))
		return false;
	ok = driver->step(cur, &row, err);
	if (ok && row && cur->n_columns == s.n_columns && cur->row[0].kind == VALUE_INT) {
		*ret = cur->row[0].u.i;
		if (ret_text != NULL)
			*ret_text = cur->row[1].kind == VALUE_TEXT ? arena_str(r->a, cur->row[1].u.s) : STR_NONE;
	}
	while (ok && row)
		ok = driver->step(cur, &row, err);
	driver->finish(cur);
	return ok;
}

static bool query_int(const struct run *r, struct str sql, int64_t *ret, struct err *err)
{
	return query_first(r, sql, ret, NULL, err);
}

/* More rows than are counted: PostgreSQL's own estimate, -1 when there is none. */
static bool estimate(const struct run *r, struct live_table *t, struct err *err)
{
	struct strbuf b;
	int64_t n = -1;
	bool ok;

	t->rows = -1;
	if (r->conn->dialect->id != DIALECT_POSTGRES)
		return true;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "SELECT reltuples::bigint FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = "
			"c.relnamespace AND n.nspname = ");
	if (t->schema_name.p != NULL)
		dialect_put_literal(&dialect_postgres, &b, t->schema_name);
	else
		strbuf_puts(&b, "pg_catalog.current_schema()");
	strbuf_puts(&b, " WHERE c.relname = ");
	dialect_put_literal(&dialect_postgres, &b, t->name);
	ok = query_int(r, strbuf_str(&b), &n, err);
	strbuf_done(&b);
	if (n > COUNT_MAX)
		t->rows = n;
	return ok;
}

static bool count_rows(const struct run *r, struct live_table *t, struct err *err)
{
	struct strbuf b;
	bool ok;

	strbuf_init(&b, 0);
	count_sql(t, &b);
	ok = query_int(r, strbuf_str(&b), &t->rows, err);
	strbuf_done(&b);
	return ok && (t->rows <= COUNT_MAX || estimate(r, t, err));
}

static bool mentions(const struct run *r, const struct migration_plan *p, const struct live_table *t)
{
	const struct dialect *d = r->conn->dialect;

	for (size_t i = 0; i < p->n_changes; i++)
		if (p->changes[i].table.p != NULL && live_name_eq(d, p->changes[i].table, t->name) &&
		    str_eq(p->changes[i].schema_name, t->schema_name))
			return true;
	return false;
}

/* A refusal may be one because of rows that are not there. */
static bool is_wanted(const struct run *r, struct str table)
{
	for (size_t i = 0; i < r->s->n_models; i++)
		if (live_name_eq(r->conn->dialect, r->s->models[i].table, table))
			return true;
	return false;
}

/* ---- what the data says ------------------------------------------------------------------------------ */

static struct live_column *probed(struct run *r, const struct plan_probe *p)
{
	for (size_t i = 0; i < r->live.n_tables; i++) {
		struct live_table *t = &r->live.tables[i];

		for (size_t k = 0;
		     str_eq(t->name, p->table) && str_eq(t->schema_name, p->schema_name) && k < t->n_columns; k++)
			if (str_eq(t->columns[k].name, p->column))
				return &t->columns[k];
	}
	return NULL;
}

/* The database's own words say what is wrong, not where. */
static bool no_default(const struct plan_probe *p, struct err *err)
{
	const struct err cause = *err;

	if (cause.code != ERR_INVALID_VALUE)
		return false;
	(void)err_set(err, ERR_INVALID_VALUE, "the default of %.*s.%.*s in the model is none of its type: %s",
		      STR_FMT(p->table), STR_FMT(p->column), cause.detail);
	(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", cause.sqlstate);
	return false;
}

bool run_defaults(struct run *r, bool *ret_asked, struct err *err)
{
	const struct migration_plan *p = &r->ret->plan;

	*ret_asked = false;
	for (size_t i = 0; i < p->n_probes; i++) {
		struct live_column *c = p->probes[i].of_default ? probed(r, &p->probes[i]) : NULL;

		if (c == NULL)
			continue;
		if (!query_int(r, p->probes[i].query, &c->default_same, err))
			return no_default(&p->probes[i], err);
		*ret_asked = true;
		wait_step_aside();
	}
	return true;
}

static bool run_probes(struct run *r, struct err *err)
{
	const struct migration_plan *p = &r->ret->plan;

	for (size_t i = 0; i < p->n_probes; i++) {
		const struct plan_probe *probe = &p->probes[i];
		struct live_column *c = probed(r, probe);

		if (c == NULL || probe->of_default)
			continue;
		if ((probe->prepare.p != NULL && !r->c->driver->simple(r->c, probe->prepare, r->q->deadline, err)) ||
		    !query_first(r, probe->query, &c->lossy_rows, &c->lossy_key, err))
			return false;
		wait_step_aside();
	}
	return true;
}

/* SQLite changes the texts of views and triggers with a name. */
bool run_plan_renames(struct run *r, struct migration_plan *ret, struct err *err)
{
	bool columns = false;

	if (!plan_renames(r->a, r->conn->dialect, r->s, &r->live, ret, err))
		return false;
	for (size_t i = 0; i < ret->n_changes; i++)
		columns = columns || ret->changes[i].kind == CHANGE_RENAME_COLUMN;
	if (!columns || r->conn->dialect->id != DIALECT_POSTGRES)
		return true;
	return r->c->driver->migrate_uses(r->c, r->a, run_look_until(r), &r->live, err) &&
	       plan_renames(r->a, r->conn->dialect, r->s, &r->live, ret, err);
}

bool run_due(struct run *r, struct migration_plan *renames, struct err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < renames->n_changes; i++) {
		struct change *ch = &renames->changes[i];

		if (ch->count.p != NULL && !query_int(r, ch->count, &ch->rows_affected, err))
			return false;
		if (ch->count.p == NULL || ch->rows_affected > 0)
			renames->changes[n++] = *ch;
	}
	renames->n_changes = n;
	return true;
}

int64_t run_look_until(const struct run *r)
{
	const struct migrate_request *q = r->q;

	return q->look_ns > 0 ? clock_min(q->deadline, clock_mono_ns() + q->look_ns) : q->deadline;
}

bool run_touches_columns(const struct migration_plan *p)
{
	for (size_t i = 0; i < p->n_changes; i++)
		if (p->changes[i].kind == CHANGE_REBUILD_TABLE || p->changes[i].kind == CHANGE_DROP_COLUMN ||
		    p->changes[i].kind == CHANGE_ALTER_TYPE)
			return true;
	return false;
}

bool run_look(struct run *r, bool refused, struct err *err)
{
	const struct migration_plan *p = &r->ret->plan;

	for (size_t i = 0; i < r->live.n_tables; i++) {
		struct live_table *t = &r->live.tables[i];

		if ((mentions(r, p, t) || (refused && is_wanted(r, t->name))) && !count_rows(r, t, err))
			return false;
	}
	return run_probes(r, err) && (!run_touches_columns(p) || r->c->driver->migrate_uses == NULL ||
				      r->c->driver->migrate_uses(r->c, r->a, run_look_until(r), &r->live, err));
}
