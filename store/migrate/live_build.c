/* See live_build.h. */
#include "store/migrate/live_build.h"

#include <string.h>

#include "service/base/limits.h"
#include "store/migrate/diff.h"
#include "store/migrate/live_type.h"

#include "service/base/banned.h"

void live_note(struct live_builder *b, struct str table, struct str column, struct str object, const char *what)
{
	ddl_plan_warn(b->notes, "not_expressible", table, column, "%.*s%s%.*s: %s", STR_FMT(table),
		      column.p != NULL ? "." : "", STR_FMT(column), what);
	if (object.p != NULL && str_is_utf8(object))
		b->notes->warnings[b->notes->n_warnings - 1].object = arena_str(b->notes->arena, object);
}

json_t *live_text(struct str s)
{
	return s.p != NULL ? json_stringn(s.p, s.len) : json_null();
}

void live_set(json_t *o, const char *key, json_t *v)
{
	(void)json_object_set_new(o, key, v);
}

bool live_name_fits(struct str name)
{
	return name.len > 0 && name.len <= LIMIT_NAME_BYTES && str_is_utf8(name) &&
	       memchr(name.p, '\0', name.len) == NULL;
}

bool live_has_column(const struct live_builder *b, const struct live_table *t, struct str name, struct str *ret)
{
	const struct live_column *c = live_find_column(b->d, t, name);

	if (c == NULL || !live_name_fits(c->name) || live_choice_excludes(b->d, b->o, t, c->name))
		return false;
	*ret = c->name;
	return true;
}

const struct live_column *live_single_pk(const struct live_table *t)
{
	const struct live_column *pk = NULL;

	for (size_t i = 0; i < t->n_columns; i++) {
		if (t->columns[i].pk_position == 0)
			continue;
		if (pk != NULL)
			return NULL;
		pk = &t->columns[i];
	}
	return pk;
}

bool live_inline_unique(const struct live_builder *b, const struct live_table *t, struct str column)
{
	for (size_t i = 0; i < t->n_indexes; i++) {
		const struct live_index *x = &t->indexes[i];

		if (x->origin == LIVE_INDEX_UNIQUE && x->unique && !x->expression && x->n_columns == 1 &&
		    !x->deferrable && !x->nulls_not_distinct && x->n_include == 0 && !x->exclusion &&
		    live_name_eq(b->d, x->columns[0], column))
			return true;
	}
	return false;
}

/* Outside the vocabulary everything is text, which is also what drift takes for equal. */
enum storage_type live_storage_of(const struct live_builder *b, const struct live_column *c, int64_t *ret_length)
{
	enum storage_type st = ST_TEXT;

	*ret_length = 0;
	if (c->native_enum)
		return ST_VARCHAR;
	if (!live_type_storage(b->d, c->type, &st, ret_length))
		return ST_TEXT;
	if (b->d->id == DIALECT_SQLITE && st == ST_UUID &&
	    (c->spelling.p == NULL || str_eq_z(c->spelling, "string"))) { /* of a view nobody has looked */
		*ret_length = 32;
		return ST_CHAR;
	}
	if (b->d->id == DIALECT_SQLITE)
		return st == ST_TIMESTAMP && c->zones ? ST_TIMESTAMPTZ : st;
	/* the spellings that the logical types have on PostgreSQL */
	if (st == ST_UUID)
		return ST_UUID_LOGICAL;
	return st == ST_TIMESTAMPTZ ? ST_DATETIME_LOGICAL : st;
}

enum logical_type live_logical_of(const struct live_builder *b, const struct live_column *c)
{
	int64_t length;

	return live_type_own(b->d, c) ? live_type_ir(b->a, c, NULL)
				      : logical_from_storage(live_storage_of(b, c, &length));
}
