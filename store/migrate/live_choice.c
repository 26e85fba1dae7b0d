/* See live_choice.h. */
#include "store/migrate/live_choice.h"

#include <stdio.h>

#include "service/base/banned.h"

#define KINDS_USUAL (1U << MODEL_TABLE | 1U << MODEL_PARTITIONED | 1U << MODEL_VIEW | 1U << MODEL_MATERIALIZED_VIEW)

static bool is_there(const struct dialect *d, const struct live_schema *live, struct str name)
{
	for (size_t i = 0; i < live->n_tables; i++)
		if (live_name_eq(d, live->tables[i].name, name))
			return true;
	for (size_t i = 0; i < live->n_views; i++)
		if (live_name_eq(d, live->views[i].name, name))
			return true;
	return false;
}

static bool missing(struct err *err, const char *pointer, struct str name)
{
	return err_set_at(err, ERR_INVALID_REQUEST, pointer, "the database has no table \"%.*s\"", STR_FMT(name));
}

/* The text is [schema.]table[.column]; column STR_NONE: without one. */
static bool spells(const struct dialect *d, struct str text, const struct live_table *t, struct str column)
{
	struct strbuf b;
	bool same = false;

	strbuf_init(&b, 0);
	for (int with_schema = 0; with_schema < 2 && !same; with_schema++) {
		if (with_schema == 1 && t->schema_name.p == NULL)
			break;
		strbuf_reset(&b);
		if (with_schema == 1) {
			strbuf_put(&b, t->schema_name);
			strbuf_putc(&b, '.');
		}
		strbuf_put(&b, t->name);
		if (column.p != NULL) {
			strbuf_putc(&b, '.');
			strbuf_put(&b, column);
		}
		same = live_name_eq(d, strbuf_str(&b), text);
	}
	strbuf_done(&b);
	return same;
}

static bool names_part_of(const struct dialect *d, struct str text, const struct live_table *t)
{
	bool found = spells(d, text, t, STR_NONE);

	for (size_t i = 0; i < t->n_columns && !found; i++)
		found = spells(d, text, t, t->columns[i].name);
	return found;
}

/* What shall stay away and is spelled wrongly would not. */
static bool check_exclude(const struct dialect *d, const struct live_schema *live, const struct live_ir_options *o,
			  struct err *err)
{
	char pointer[32];

	for (size_t i = 0; i < o->n_exclude && o->tables == NULL; i++) {
		bool found = false;

		for (size_t k = 0; k < live->n_tables && !found; k++)
			found = names_part_of(d, o->exclude[i], &live->tables[k]);
		for (size_t k = 0; k < live->n_views && !found; k++)
			found = names_part_of(d, o->exclude[i], &live->views[k]);
		(void)snprintf(pointer, sizeof(pointer), "/exclude/%zu", i);
		if (!found)
			return err_set_at(err, ERR_INVALID_REQUEST, pointer,
					  "the database has no table and no column \"%.*s\"", STR_FMT(o->exclude[i]));
	}
	return true;
}

bool live_choice_check(const struct dialect *d, const struct live_schema *live, const struct live_ir_options *o,
		       struct err *err)
{
	char pointer[32];

	for (size_t i = 0; i < o->n_tables; i++) {
		(void)snprintf(pointer, sizeof(pointer), "/tables/%zu", i);
		if (!is_there(d, live, o->tables[i]))
			return missing(err, pointer, o->tables[i]);
	}
	for (size_t i = 0; i < o->n_names; i++)
		if (!is_there(d, live, o->names[i].table))
			return missing(err, "/names", o->names[i].table);
	return check_exclude(d, live, o, err);
}

bool live_choice_has(const struct dialect *d, const struct live_ir_options *o, const struct live_table *t)
{
	const unsigned kinds = o->kinds != 0 ? o->kinds : KINDS_USUAL;

	for (size_t i = 0; i < o->n_exclude; i++)
		if (spells(d, o->exclude[i], t, STR_NONE))
			return false;
	for (size_t i = 0; i < o->n_tables; i++)
		if (live_name_eq(d, o->tables[i], t->name))
			return true;
	return o->tables == NULL && (kinds & 1U << t->kind) != 0;
}

bool live_choice_excludes(const struct dialect *d, const struct live_ir_options *o, const struct live_table *t,
			  struct str column)
{
	for (size_t i = 0; i < o->n_exclude; i++)
		if (spells(d, o->exclude[i], t, column))
			return true;
	return false;
}

static bool is_current(const struct dialect *d, const struct live_schema *live, const struct live_ir_options *o,
		       struct str name)
{
	for (size_t i = 0; i < live->n_tables + live->n_views; i++) {
		const struct live_table *t = i < live->n_tables ? &live->tables[i] : &live->views[i - live->n_tables];

		if (t->schema_name.p == NULL && live_name_eq(d, t->name, name) && live_choice_has(d, o, t))
			return true;
	}
	return false;
}

static struct str wanted_name(struct arena *a, const struct dialect *d, const struct live_schema *live,
			      const struct live_ir_options *o, const struct live_table *t, const struct map *taken)
{
	struct str name;

	for (size_t i = 0; i < o->n_names; i++)
		if (spells(d, o->names[i].table, t, STR_NONE))
			return o->names[i].model;
	for (size_t i = 0; o->known != NULL && i < o->known->n_models; i++) {
		const struct model *m = &o->known->models[i];

		if (live_name_eq(d, m->table, t->name) && str_eq(m->schema_name, t->schema_name))
			return m->name;
	}
	name = t->name;
	/* the current schema's keeps its name, whichever comes first; a name with a point in it may be that of two */
	for (unsigned n = 1; t->schema_name.p != NULL && (map_get(taken, name) != NULL || is_current(d, live, o, name));
	     n++)
		name = n == 1 ? arena_printf(a, "%.*s.%.*s", STR_FMT(t->schema_name), STR_FMT(t->name))
			      : arena_printf(a, "%.*s.%.*s_%u", STR_FMT(t->schema_name), STR_FMT(t->name), n);
	return name;
}

struct str live_choice_name(struct arena *a, const struct dialect *d, const struct live_schema *live,
			    const struct live_ir_options *o, const struct live_table *t, struct map *taken)
{
	static char mark;
	const struct str name = wanted_name(a, d, live, o, t, taken);

	map_put(taken, name, &mark);
	return name;
}
