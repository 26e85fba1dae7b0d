/* See plan_build.h. */
#include "store/migrate/plan_build.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "service/base/limits.h"

#include "service/base/banned.h"

/* Room for one more of a list in the arena. */
static void *more(struct arena *a, void *list, size_t n, size_t *size, size_t item)
{
	void *out;

	if (n < *size)
		return list;
	*size = *size == 0 ? 16 : *size * 2;
	out = arena_array(a, *size, item);
	if (n > 0)
		memcpy(out, list, n * item);
	return out;
}

struct change *planner_emit(struct planner *pl, enum change_kind kind, struct str table, struct str column)
{
	struct migration_plan *p = pl->p;
	struct change *c;

	p->changes = more(pl->a, p->changes, p->n_changes, &p->size_changes, sizeof(*p->changes));
	c = &p->changes[p->n_changes++];
	*c = change_of(pl->d, kind);
	c->statement = arena_str(pl->a, strbuf_str(&pl->b));
	c->table = table;
	c->schema_name = pl->schema_name;
	c->column = column;
	strbuf_reset(&pl->b);
	return c;
}

void planner_put_type(const struct planner *pl, const struct column *c, struct strbuf *out)
{
	struct err err;
	bool ok;

	if (pl->d->id == DIALECT_SQLITE && c->sqlite_type.p != NULL && !c->autoincrement) {
		strbuf_put(out, c->sqlite_type);
		return;
	}
	ok = ddl_column_type(pl->d, c, out, &err);

	assert(ok);
	(void)ok;
}

void planner_put_type_in(const struct planner *pl, const struct live_table *t, const struct column *c,
			 struct strbuf *out)
{
	if (pl->d->id == DIALECT_SQLITE && t->strict)
		ddl_put_strict_type(c, out);
	else
		planner_put_type(pl, c, out);
}

void planner_put_converted(const struct planner *pl, const struct live_table *t, const struct live_column *live,
			   const struct column *c, struct strbuf *out)
{
	int64_t digits, places;

	if (pl->d->id == DIALECT_SQLITE && !t->strict && c->sqlite_type.p == NULL && c->storage == ST_NUMERIC &&
	    c->db_type.p != NULL && ddl_numeric_places(live->type, &digits, &places) &&
	    ddl_numeric_places(c->db_type, &digits, &places))
		strbuf_printf(out, "numeric(%lld,%lld)", (long long)digits, (long long)places);
	else
		planner_put_type_in(pl, t, c, out);
}

enum type_drift planner_drift(const struct planner *pl, const struct live_table *t, const struct live_column *live,
			      const struct column *c)
{
	if (pl->d->id == DIALECT_SQLITE && t->strict && str_ieq_z(live->type, ddl_strict_type(c)))
		return DRIFT_NONE;
	return diff_type(pl->d, live, c);
}

struct str planner_expected_type(const struct planner *pl, const struct live_table *t, const struct live_column *live,
				 const struct column *c)
{
	struct strbuf b;
	struct str out;

	strbuf_init(&b, 0);
	if (pl->d->id == DIALECT_SQLITE)
		planner_put_converted(pl, t, live, c, &b);
	else
		ddl_alter_type(c, &b);
	out = arena_str(pl->a, strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

void planner_refuse(struct planner *pl, struct str table, struct str column, const char *fmt, ...)
{
	struct migration_plan *p = pl->p;
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (p->n_refusals >= LIMIT_ERR_FAULTS)
		return;
	p->refusals = more(pl->a, p->refusals, p->n_refusals, &p->size_refusals, sizeof(*p->refusals));
	p->refusals[p->n_refusals++] = (struct err_fault){
		.pointer = "",
		.detail = arena_printf(pl->a, "%.*s%s%.*s %s", STR_FMT(table), column.p != NULL ? "." : "",
				       STR_FMT(column), why)
				  .p,
	};
	if (p->n_refusals == 1) {
		p->refused_table = table;
		p->refused_column = column;
	}
}

void planner_warn(struct planner *pl, const char *code, struct str table, struct str column, const char *fmt, ...)
{
	char what[768];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	ddl_plan_warn(&pl->p->notes, code, table, column, "%.*s%s%.*s %s", STR_FMT(table), column.p != NULL ? "." : "",
		      STR_FMT(column), what);
}

void planner_probe(struct planner *pl, const struct plan_probe *probe)
{
	struct migration_plan *p = pl->p;

	p->probes = more(pl->a, p->probes, p->n_probes, &p->size_probes, sizeof(*p->probes));
	p->probes[p->n_probes++] = *probe;
}

void planner_warned_rows(struct planner *pl, int64_t rows, struct str key)
{
	struct ddl_warning *w = &pl->p->notes.warnings[pl->p->notes.n_warnings - 1];

	w->rows = rows;
	w->key = key.len > 0 ? key : STR_NONE;
}

void planner_warned_object(struct planner *pl, struct str name)
{
	pl->p->notes.warnings[pl->p->notes.n_warnings - 1].object = name.len > 0 ? name : STR_NONE;
}

bool planner_verdict(const struct migration_plan *p, struct err *err)
{
	if (p->n_refusals == 0)
		return true;
	(void)err_set(err, ERR_MIGRATION_REFUSED, "%s", p->refusals[0].detail);
	if (p->n_refusals > 1)
		(void)err_set(err, ERR_MIGRATION_REFUSED, "%s (and %zu more refusals)", p->refusals[0].detail,
			      p->n_refusals - 1);
	err->faults = p->refusals;
	err->n_faults = p->n_refusals;
	(void)snprintf(err->table, sizeof(err->table), "%.*s", STR_FMT(p->refused_table));
	(void)snprintf(err->column, sizeof(err->column), "%.*s", STR_FMT(p->refused_column));
	return false;
}
