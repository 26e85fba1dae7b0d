/* What an update writes beside what it was asked to: see query.h. */
#include <string.h>

#include "store/query/query_parse.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

/* What ferrod fills by itself when a record changes. */
static bool fills_itself(struct arena *a, const struct dialect *d, const struct column *c, struct query_set *ret)
{
	struct err ignored;

	*ret = (struct query_set){.column = c, .fill = c->fill.lock_version ? SET_COUNT : SET_GIVEN};
	return c->fill.lock_version || (c->fill.now_on_update && record_now(a, d, c, &ret->value, &ignored));
}

/* The database's default, as far as it can be asked for: SQLite's only by its expression. */
static bool has_default(const struct dialect *d, const struct column *c)
{
	const char *why;

	if (!c->fill.database_default || c->autoincrement)
		return false;
	return d->id == DIALECT_POSTGRES ||
	       (c->fill.default_sql.p != NULL && schema_sql_expression(DIALECT_SQLITE, c->fill.default_sql, &why));
}

/* Its default is the database's secret. */
static bool is_unknown(const struct dialect *d, const struct column *c)
{
	return d->id == DIALECT_SQLITE && c->fill.database_default && !c->autoincrement && !has_default(d, c);
}

bool record_asks_defaults(const struct dialect *d, const struct model *m, const struct record_row *row)
{
	for (size_t i = 0; i < m->n_columns; i++)
		if (is_unknown(d, &m->columns[i]) && !row->sent[i] && !m->columns[i].primary_key &&
		    !column_only_read(&m->columns[i]))
			return true;
	return false;
}

/* What PUT makes of a column that was not sent. */
static bool reset(const struct dialect *d, const struct column *c, const struct record_row *row,
		  const struct str *defaults, struct query_set *ret)
{
	const char *why;

	*ret = (struct query_set){.column = c, .default_sql = STR_NONE};
	if (c->primary_key || c->autoincrement || c->fill.now_on_create || column_only_read(c) ||
	    c->fill.generated == GENERATED_IDENTITY)
		return false;
	if (has_default(d, c)) {
		ret->fill = SET_DEFAULT;
		return true;
	}
	if (defaults != NULL && defaults[c->index].p != NULL && is_unknown(d, c)) {
		ret->fill = SET_DEFAULT;
		ret->default_sql = defaults[c->index];
		return schema_sql_expression(DIALECT_SQLITE, ret->default_sql, &why);
	}
	if (c->fill.database_default && (defaults == NULL || !c->nullable || !is_unknown(d, c)))
		return false;
	ret->value = row->given[c->index] ? row->values[c->index] : value_null();
	return row->given[c->index] || c->nullable;
}

static bool entry(struct arena *a, const struct dialect *d, const struct column *c, const struct record_row *row,
		  unsigned how, const struct str *defaults, struct query_set *ret)
{
	if (c->primary_key && (how & RECORD_REPLACE) != 0)
		return false;
	if ((c->fill.lock_version || !row->sent[c->index]) && fills_itself(a, d, c, ret))
		return true;
	if (row->sent[c->index] && row->given[c->index]) {
		*ret = (struct query_set){.column = c, .value = row->values[c->index]};
		return true;
	}
	return (how & RECORD_REPLACE) != 0 && !row->sent[c->index] && reset(d, c, row, defaults, ret);
}

void record_update_set(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *row,
		       unsigned how, const struct str *defaults, struct query_set **ret, size_t *ret_n)
{
	struct query_set *set = arena_array(a, m->n_columns + 1, sizeof(*set));
	bool any = (how & RECORD_REPLACE) != 0;
	size_t n = 0;

	for (size_t i = 0; i < m->n_columns && !any; i++)
		any = row->given[i];
	for (size_t i = 0; i < m->n_columns && any; i++)
		n += entry(a, d, &m->columns[i], row, how, defaults, &set[n]);
	*ret = set;
	*ret_n = n;
}

void query_set_fill(struct arena *a, const struct dialect *d, const struct model *m, struct query_set **set, size_t *n)
{
	struct query_set *more, one;
	size_t n_more = *n;

	for (size_t i = 0; i < m->n_columns; i++)
		n_more += m->columns[i].fill.lock_version || m->columns[i].fill.now_on_update;
	if (n_more == *n)
		return;
	more = arena_array(a, n_more, sizeof(*more));
	memcpy(more, *set, *n * sizeof(*more));
	for (size_t i = 0; i < m->n_columns; i++) {
		size_t k = 0;

		if (!fills_itself(a, d, &m->columns[i], &one))
			continue;
		while (k < *n && more[k].column != one.column)
			k++;
		if (k == *n)
			more[(*n)++] = one;
	}
	*set = more;
}
