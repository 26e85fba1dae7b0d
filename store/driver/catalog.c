/* Reading catalogs: see catalog.h. */
#include "store/driver/catalog.h"

#include <stdio.h>
#include <string.h>

#include "service/base/wait.h"

#include "service/base/banned.h"

static void put_names(const struct introspect_scope *scope, const struct dialect *d, struct strbuf *b)
{
	for (size_t i = 0; i < scope->n_tables; i++) {
		strbuf_puts(b, i > 0 ? ", " : "");
		dialect_put_literal(d, b, scope->tables[i]);
	}
}

void catalog_put_tables(const struct introspect_scope *scope, const struct dialect *d, const char *const texts[3],
			struct strbuf *b)
{
	if (scope->n_tables == 0) {
		strbuf_puts(b, "true");
		return;
	}
	strbuf_puts(b, texts[0]);
	put_names(scope, d, b);
	strbuf_puts(b, texts[1]);
	put_names(scope, d, b);
	strbuf_puts(b, texts[2]);
}

static bool is_kind(struct value v, char letter)
{
	switch (letter | 0x20) {
	case 't':
		return v.kind == VALUE_TEXT || (v.kind == VALUE_NULL && letter == 'T');
	case 'b':
	case 'i':
		return v.kind == VALUE_INT || (v.kind == VALUE_BOOL && (letter | 0x20) == 'b') ||
		       (v.kind == VALUE_NULL && letter < 'a');
	default:
		return false;
	}
}

static bool has_kinds(const struct cursor *cur, const char *kinds)
{
	if (cur->n_columns != strlen(kinds))
		return false;
	for (size_t i = 0; kinds[i] != '\0'; i++)
		if (!is_kind(cur->row[i], kinds[i]))
			return false;
	return true;
}

bool catalog_absent_schema(const struct introspect_scope *scope, size_t i, struct err *err)
{
	char pointer[32];

	(void)snprintf(pointer, sizeof(pointer), "/schemas/%zu", i);
	return err_set_at(err, ERR_INVALID_REQUEST, pointer, "the database has no schema \"%.*s\"",
			  STR_FMT(scope->schemas[i]));
}

bool catalog_query(struct catalog *c, struct str sql, const char *kinds, catalog_row row, struct err *err)
{
	const struct stmt s = {.sql = sql, .access = STMT_READ, .n_columns = strlen(kinds)};
	const struct driver *driver = c->conn->driver;
	struct cursor *cur;
	bool more = true, ok;

	c->last = 0;
	if (!driver->prepare(c->conn, &s, c->deadline, &cur, err))
		return false;
	while ((ok = driver->step(cur, &more, err)) && more) {
		if (!has_kinds(cur, kinds)) {
			c->conn->broken = true;
			ok = err_set(err, ERR_INTERNAL_ERROR, "the database's catalog answered what cannot be");
			break;
		}
		row(c, cur->row);
		wait_may_step_aside();
	}
	driver->finish(cur);
	wait_may_step_aside(); /* many ask of one table each, and of empty ones there is no row */
	return ok;
}

void catalog_other(struct catalog *c, struct value schema_name, struct value name, struct value kind)
{
	struct live_schema *l = c->live;

	l->others = catalog_more(c->arena, l->others, l->n_others, sizeof(*l->others));
	l->others[l->n_others++] =
		(struct live_other){catalog_text(c, name), catalog_text(c, schema_name), catalog_text(c, kind)};
}

struct live_table *catalog_table_at(struct catalog *c, struct value schema_name, struct value name)
{
	const struct live_schema *l = c->live;
	const struct str schema = schema_name.kind == VALUE_TEXT ? schema_name.u.s : STR_NONE;

	for (size_t k = 0; k < l->n_tables; k++) {
		const size_t i = (c->last + k) % l->n_tables;

		if (!live_name_eq(c->conn->driver->dialect, l->tables[i].name, name.u.s) ||
		    !str_eq(l->tables[i].schema_name, schema))
			continue;
		c->last = i;
		return &l->tables[i];
	}
	return NULL;
}

struct live_table *catalog_table(struct catalog *c, struct value name)
{
	return catalog_table_at(c, value_null(), name);
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

struct live_table *catalog_add_table(struct catalog *c, struct value name)
{
	struct live_schema *l = c->live;
	struct live_table *t;

	l->tables = catalog_more(c->arena, l->tables, l->n_tables, sizeof(*l->tables));
	t = &l->tables[l->n_tables++];
	*t = (struct live_table){.name = catalog_text(c, name), .rows = -1};
	return t;
}

struct live_column *catalog_add_column(struct catalog *c, struct live_table *t, struct value name)
{
	struct live_column *col;

	t->columns = catalog_more(c->arena, t->columns, t->n_columns, sizeof(*t->columns));
	col = &t->columns[t->n_columns++];
	*col = (struct live_column){.name = catalog_text(c, name), .lossy_rows = -1, .default_same = -1};
	return col;
}

struct live_foreign_key *catalog_add_fk(struct catalog *c, struct live_table *t)
{
	t->fks = catalog_more(c->arena, t->fks, t->n_fks, sizeof(*t->fks));
	t->fks[t->n_fks] = (struct live_foreign_key){0};
	return &t->fks[t->n_fks++];
}

void catalog_add_check(struct catalog *c, struct live_table *t, struct str name, struct str expression)
{
	t->checks = catalog_more(c->arena, t->checks, t->n_checks, sizeof(*t->checks));
	t->checks[t->n_checks++] =
		(struct live_check){.name = arena_str(c->arena, name), .expression = arena_str(c->arena, expression)};
}

struct live_index *catalog_index(struct catalog *c, struct live_table *t, struct value name, bool *ret_new)
{
	struct live_index *x;

	*ret_new = t->n_indexes == 0 || !str_eq(t->indexes[t->n_indexes - 1].name, name.u.s);
	if (!*ret_new)
		return &t->indexes[t->n_indexes - 1];
	t->indexes = catalog_more(c->arena, t->indexes, t->n_indexes, sizeof(*t->indexes));
	x = &t->indexes[t->n_indexes++];
	*x = (struct live_index){.name = catalog_text(c, name)};
	return x;
}

void catalog_add_name(struct catalog *c, const struct str **list, size_t *n, struct value name)
{
	struct str *names = catalog_more(c->arena, *list, *n, sizeof(*names));

	names[(*n)++] = catalog_text(c, name);
	*list = names;
}

struct index_key *catalog_add_key(struct catalog *c, struct live_index *x)
{
	struct index_key *keys = catalog_more(c->arena, x->keys, x->n_keys, sizeof(*keys));

	x->keys = keys;
	keys[x->n_keys] = (struct index_key){0};
	return &keys[x->n_keys++];
}

void catalog_add_thing(struct catalog *c, struct live_table *t, struct value kind, struct value name)
{
	struct live_thing *things = catalog_more(c->arena, t->things, t->n_things, sizeof(*things));

	things[t->n_things++] = (struct live_thing){catalog_text(c, kind), catalog_text(c, name)};
	t->things = things;
}
