/* See locks.h. */
#include "store/migrate/locks.h"

#include <stdlib.h>
#include <string.h>

#include "service/base/banned.h"

enum { MODE_NONE, MODE_READ, MODE_SHARE, MODE_SHARE_ROW, MODE_ALL };

static const char *const words[] = {"NONE", "ACCESS SHARE", "SHARE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"};

static int mode_of(const char *word)
{
	for (int i = 0; i < (int)ARRAY_LEN(words); i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return MODE_ALL;
}

struct collector {
	const struct live_schema *live;
	int *modes; /* one a live table */
};

static void want(const struct collector *c, struct str schema_name, struct str table, int mode)
{
	for (size_t i = 0; table.p != NULL && i < c->live->n_tables; i++)
		if (str_eq(c->live->tables[i].name, table) && str_eq(c->live->tables[i].schema_name, schema_name) &&
		    c->modes[i] < mode)
			c->modes[i] = mode;
}

/* The tables that the keys of a new table, or a new key, refer to. */
static void want_referenced(const struct collector *c, const struct schema *s, const struct change *ch)
{
	if (ch->kind != CHANGE_CREATE_TABLE && ch->kind != CHANGE_ADD_FOREIGN_KEY)
		return;
	for (size_t i = 0; i < s->n_models; i++) {
		const struct model *m = &s->models[i];

		for (size_t k = 0;
		     str_eq(m->table, ch->table) && str_eq(m->schema_name, ch->schema_name) && k < m->n_fks; k++)
			if (ch->column.p == NULL || str_eq(ch->column, m->fks[k].column))
				want(c, m->fks[k].to_schema, m->fks[k].to_table, MODE_SHARE_ROW);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct table_lock *x = a, *y = b;
	const int order = str_cmp(x->schema_name, y->schema_name);

	return order != 0 ? order : str_cmp(x->table, y->table);
}

void table_locks_of(struct arena *a, const struct schema *s, const struct live_schema *live,
		    const struct migration_plan *p, bool reading, struct table_locks *ret)
{
	const struct collector c = {live, arena_array(a, live->n_tables + 1, sizeof(int))};

	memset(c.modes, 0, (live->n_tables + 1) * sizeof(*c.modes));
	for (size_t i = 0; i < s->n_models && reading; i++)
		want(&c, s->models[i].schema_name, s->models[i].table, MODE_READ);
	for (size_t i = 0; i < p->n_changes && !reading; i++) {
		if (p->changes[i].concurrent)
			continue;
		want(&c, p->changes[i].schema_name, p->changes[i].table, mode_of(p->changes[i].lock));
		want_referenced(&c, s, &p->changes[i]);
	}
	*ret = (struct table_locks){.list = arena_array(a, live->n_tables + 1, sizeof(*ret->list))};
	for (size_t i = 0; i < live->n_tables; i++)
		if (c.modes[i] != MODE_NONE)
			ret->list[ret->n++] =
				(struct table_lock){live->tables[i].schema_name, live->tables[i].name, c.modes[i]};
	qsort(ret->list, ret->n, sizeof(*ret->list), by_name);
}

void table_lock_sql(const struct table_lock *l, struct strbuf *out)
{
	struct strbuf name, body;

	strbuf_init(&name, 0);
	strbuf_init(&body, 0);
	dialect_quote_table(&name, l->schema_name, l->table);
	strbuf_puts(&body, "BEGIN IF pg_catalog.has_table_privilege(");
	dialect_put_literal(&dialect_postgres, &body, strbuf_str(&name));
	strbuf_puts(&body, l->mode == MODE_READ ? ", 'SELECT" : ", 'UPDATE, DELETE, TRUNCATE");
	strbuf_puts(&body, "') THEN LOCK TABLE ");
	strbuf_put(&body, strbuf_str(&name));
	strbuf_printf(&body, " IN %s MODE; END IF; END", words[l->mode]);
	strbuf_puts(out, "DO ");
	dialect_put_literal(&dialect_postgres, out, strbuf_str(&body));
	strbuf_done(&name);
	strbuf_done(&body);
}
