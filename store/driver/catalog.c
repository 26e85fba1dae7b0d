/* Reading catalogs: see catalog.h. */
#include "store/driver/catalog.h"

#include <string.h>

#include "service/base/banned.h"

bool catalog_query(struct catalog *c, struct str sql, catalog_row row, struct err *err)
{
	const struct stmt s = {.sql = sql, .access = STMT_READ};
	const struct driver *driver = c->conn->driver;
	struct cursor *cur;
	bool more = true, ok;

	c->last = 0;
	if (!driver->prepare(c->conn, &s, c->deadline, &cur, err))
		return false;
	while ((ok = driver->step(cur, &more, err)) && more)
		row(c, cur->row);
	driver->finish(cur);
	return ok;
}

void catalog_other(struct catalog *c, struct value name, struct value kind)
{
	struct live_schema *l = c->live;

	l->others = catalog_more(c->arena, l->others, l->n_others, sizeof(*l->others));
	l->others[l->n_others++] = (struct live_other){catalog_text(c, name), catalog_text(c, kind)};
}

struct live_table *catalog_table(struct catalog *c, struct value name)
{
	const struct live_schema *l = c->live;

	for (size_t k = 0; k < l->n_tables; k++) {
		const size_t i = (c->last + k) % l->n_tables;

		if (!live_name_eq(c->conn->driver->dialect, l->tables[i].name, name.u.s))
			continue;
		c->last = i;
		return &l->tables[i];
	}
	return NULL;
}

struct live_column *catalog_column(const struct catalog *c, struct live_table *t, struct str name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (live_name_eq(c->conn->driver->dialect, t->columns[i].name, name))
			return &t->columns[i];
	return NULL;
}

void *catalog_more(struct arena *a, const void *list, size_t n, size_t item)
{
	void *out;

	if (n != 0 && (n & (n - 1)) != 0)
		return (void *)(uintptr_t)list;
	out = arena_array(a, n == 0 ? 1 : 2 * n, item);
	if (n > 0)
		memcpy(out, list, n * item);
	return out;
}

struct str catalog_text(const struct catalog *c, struct value v)
{
	return v.kind == VALUE_TEXT || v.kind == VALUE_BYTES ? arena_str(c->arena, v.u.s) : STR_NONE;
}

bool catalog_bool(struct value v)
{
	return v.kind == VALUE_BOOL ? v.u.b : v.kind == VALUE_INT && v.u.i != 0;
}

int64_t catalog_int(struct value v)
{
	return v.kind == VALUE_INT ? v.u.i : 0;
}
