/* Comparison of live indexes, checks and foreign keys with wanted ones. */
#include "store/migrate/diff.h"

#include <string.h>

#include "service/base/limits.h"
#include "store/ddl/ddl.h"
#include "store/migrate/live_literal.h"
#include "store/schema/schema_names.h"
#include "store/schema/schema_sql_same.h"

#include "service/base/banned.h"

static bool starts(struct str s, const char *word)
{
	size_t n = strlen(word);

	return s.len >= n && str_ieq_z(str_n(s.p, n), word);
}

/* ---- indexes, checks, keys --------------------------------------------------------------------------- */

bool diff_index_owned(const struct live_index *x)
{
	return !x->partial && !x->expression && !x->special && (starts(x->name, "idx_") || starts(x->name, "uq_"));
}

bool diff_covers(const struct dialect *d, const struct live_index *x, struct str column)
{
	for (size_t i = 0; i < x->n_columns; i++)
		if (live_name_eq(d, x->columns[i], column))
			return true;
	return false;
}

static bool same_order(const struct dialect *d, const struct live_index *x, const struct schema_index *want)
{
	if (x->n_columns != want->n_columns)
		return false;
	for (size_t i = 0; i < x->n_columns; i++)
		if (!live_name_eq(d, x->columns[i], want->columns[i]))
			return false;
	return true;
}

static bool same_set(const struct dialect *d, const struct live_index *x, const struct schema_index *want)
{
	if (x->n_columns != want->n_columns)
		return false;
	for (size_t i = 0; i < want->n_columns; i++)
		if (!diff_covers(d, x, want->columns[i]))
			return false;
	return true;
}

static struct str otherwise(struct str s, const char *z)
{
	return s.p != NULL ? s : str_z(z);
}

static bool same_key(const struct dialect *d, const struct index_key *live, const struct index_key *want)
{
	if (live->column.p != NULL ? want->column.p == NULL || !live_name_eq(d, live->column, want->column)
				   : !schema_sql_same(d->id, live->expression, want->expression))
		return false;
	if (d->id == DIALECT_POSTGRES && (live->nulls != want->nulls || !str_eq(live->op_class, want->op_class)))
		return false;
	return live->descending == want->descending && str_eq(live->operator, want->operator) &&
	       (want->collation.p == NULL && live->column.p != NULL
			? live->collation.p == NULL
			: live_name_eq(d, otherwise(live->collation, "BINARY"), otherwise(want->collation, "BINARY")));
}

static bool same_includes(const struct dialect *d, const struct live_index *x, const struct schema_index *want)
{
	if (d->id != DIALECT_POSTGRES)
		return true;
	if (x->n_include != want->n_include)
		return false;
	for (size_t i = 0; i < x->n_include; i++)
		if (!str_eq(x->include[i], want->include[i]))
			return false;
	return true;
}

/* Index and entry, one of which at least is more than a list of columns. */
static bool same_whole(const struct dialect *d, const struct live_index *x, const struct schema_index *want)
{
	const size_t n = want->keys != NULL ? want->n_keys : want->n_columns;

	if (x->keys == NULL || x->n_keys != n || x->invalid || x->unique != want->unique ||
	    !same_includes(d, x, want) || !schema_sql_same(d->id, x->predicate, want->predicate) ||
	    x->nulls_not_distinct != want->nulls_not_distinct)
		return false;
	if (d->id == DIALECT_POSTGRES && !str_eq(x->method, want->method))
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct index_key plain = {.column = want->keys == NULL ? want->columns[i] : STR_NONE};

		if (!same_key(d, &x->keys[i], want->keys != NULL ? &want->keys[i] : &plain))
			return false;
	}
	return true;
}

static bool live_is_plain(const struct live_index *x)
{
	return !x->partial && !x->expression && !x->special;
}

static bool want_is_plain(const struct schema_index *want)
{
	return want->keys == NULL && want->predicate.p == NULL && want->method.p == NULL && want->n_include == 0 &&
	       !want->nulls_not_distinct;
}

/* Whether the live index, whatever its name, does what the entry asks for. A unique does not care for the order. */
static bool equivalent(const struct dialect *d, const struct live_index *x, const struct schema_index *want)
{
	if (!live_is_plain(x) || !want_is_plain(want))
		return same_whole(d, x, want);
	if (x->invalid)
		return false;
	if (want->unique)
		return x->unique && same_set(d, x, want);
	return !x->unique && diff_index_owned(x) && same_order(d, x, want);
}

/* The live name is the wanted one, which may have been cut to what PostgreSQL takes (SQLite has longer ones). */
static bool named(const struct dialect *d, struct str live, struct str want, enum artifact kind)
{
	struct arena a;
	bool same;

	if (live_name_eq(d, live, want))
		return true;
	if (live.len <= LIMIT_NAME_BYTES)
		return false;
	arena_init(&a);
	same = live_name_eq(d, schema_artifact_fit(&a, kind, live), want);
	arena_done(&a);
	return same;
}

static bool index_named(const struct dialect *d, const struct live_index *x, const struct schema_index *want)
{
	return named(d, x->name, want->name, want->unique ? ARTIFACT_UNIQUE : ARTIFACT_INDEX);
}

static bool same_index(const struct dialect *d, const struct live_index *x, const struct schema_index *want)
{
	if (!live_is_plain(x) || !want_is_plain(want))
		return same_whole(d, x, want);
	return !x->invalid && x->unique == want->unique && same_order(d, x, want);
}

const struct live_index *diff_find_index(const struct dialect *d, const struct live_table *t,
					 const struct schema_index *want, bool *ret_same)
{
	const struct live_index *found = NULL;

	*ret_same = false;
	for (size_t i = 0; i < t->n_indexes && found == NULL; i++)
		if (index_named(d, &t->indexes[i], want)) {
			found = &t->indexes[i];
			*ret_same = same_index(d, found, want);
		}
	for (size_t i = 0; i < t->n_indexes && found == NULL; i++)
		if (equivalent(d, &t->indexes[i], want)) {
			found = &t->indexes[i];
			*ret_same = true;
		}
	return found;
}

bool diff_index_wanted(const struct dialect *d, const struct model *m, const struct live_index *x)
{
	for (size_t i = 0; i < m->n_indexes; i++)
		if (index_named(d, x, &m->indexes[i]) || equivalent(d, x, &m->indexes[i]))
			return true;
	for (size_t i = 0; i < m->n_uniques; i++)
		if (index_named(d, x, &m->uniques[i]) || equivalent(d, x, &m->uniques[i]))
			return true;
	return false;
}

static bool lists_values(const struct dialect *d, const struct live_check *live, struct str column)
{
	struct literal_check c;
	struct arena a;
	bool lists;

	arena_init(&a);
	lists = literal_check_read(&a, live->expression, &c) && live_name_eq(d, c.column, column);
	arena_done(&a);
	return lists;
}

/* Whether the value is one of the wanted ones; PostgreSQL quotes negative numbers. */
static bool allows(struct arena *a, const struct schema_check *want, const struct literal *value)
{
	for (size_t i = 0; i < want->n_values; i++)
		if (str_eq(value->text, want->values[i]) ||
		    (want->values[i].p[0] == '-' && str_eq(literal_text(a, value), want->values[i])))
			return true;
	return false;
}

bool diff_same_check(const struct dialect *d, const struct live_check *live, const struct schema_check *want)
{
	struct literal_check c;
	struct arena a;
	bool same;

	if (want->expression.p != NULL)
		return schema_sql_same(d->id, live->expression, want->expression);
	arena_init(&a);
	same = literal_check_read(&a, live->expression, &c) && live_name_eq(d, c.column, want->column) &&
	       c.n_values == want->n_values;
	for (size_t i = 0; same && i < c.n_values; i++)
		same = allows(&a, want, &c.values[i]);
	arena_done(&a);
	return same;
}

const struct live_check *diff_find_check(const struct dialect *d, const struct live_table *t,
					 const struct schema_check *want, bool *ret_same)
{
	*ret_same = true;
	for (size_t i = 0; i < t->n_checks; i++)
		if (diff_same_check(d, &t->checks[i], want))
			return &t->checks[i];
	*ret_same = false;
	for (size_t i = 0; i < t->n_checks; i++)
		if (named(d, t->checks[i].name, want->name, ARTIFACT_CHECK))
			return &t->checks[i];
	for (size_t i = 0; i < t->n_checks && d->id == DIALECT_SQLITE && want->expression.p == NULL; i++)
		if (t->checks[i].name.p == NULL && lists_values(d, &t->checks[i], want->column))
			return &t->checks[i];
	return NULL;
}

/* The i-th column that the key points at; STR_NONE: it is not known here. */
static struct str points_at(const struct dialect *d, const struct live_schema *l, const struct live_foreign_key *fk,
			    size_t i)
{
	const struct live_table *to;
	struct str only = STR_NONE;

	if (fk->n_to_columns > 0)
		return fk->to_columns[i];
	to = live_find_table_at(d, l, fk->to_schema, fk->to_table);
	for (size_t k = 0; to != NULL && k < to->n_columns; k++)
		if (to->columns[k].pk_position == i + 1)
			only = to->columns[k].name;
	return only;
}

static struct str from_column(const struct foreign_key *fk, size_t i)
{
	return fk->n_columns > 1 ? fk->columns[i] : fk->column;
}

/* From the same columns, wherever to. */
static bool starts_alike(const struct dialect *d, const struct live_foreign_key *fk, const struct foreign_key *want)
{
	const size_t n = want->n_columns > 1 ? want->n_columns : 1;
	bool same = fk->n_columns == n;

	for (size_t i = 0; same && i < n; i++)
		same = live_name_eq(d, fk->columns[i], from_column(want, i));
	return same;
}

/* From the same columns to the same table. */
static bool starts_and_ends(const struct dialect *d, const struct live_foreign_key *fk, const struct foreign_key *want)
{
	return live_name_eq(d, fk->to_table, want->to_table) && str_eq(fk->to_schema, want->to_schema) &&
	       starts_alike(d, fk, want);
}

bool diff_foreign_key_is(const struct dialect *d, const struct live_foreign_key *fk, const struct foreign_key *want)
{
	return starts_and_ends(d, fk, want) ||
	       (fk->name.len > 0 && named(d, fk->name, want->name, ARTIFACT_FOREIGN_KEY));
}

static bool same_end(const struct dialect *d, const struct live_schema *l, const struct live_foreign_key *fk,
		     const struct foreign_key *want)
{
	for (size_t i = 0; i < fk->n_columns; i++) {
		const struct str to = points_at(d, l, fk, i);

		if (to.p != NULL && !live_name_eq(d, to, want->n_columns > 1 ? want->to_columns[i] : want->to_column))
			return false;
	}
	return str_ieq_z(otherwise(fk->on_delete, "NO ACTION"), ddl_on_delete(want)) &&
	       str_ieq_z(otherwise(fk->on_update, "NO ACTION"), ddl_on_update(want)) &&
	       fk->deferrable == want->deferrable && (!fk->deferrable || fk->deferred == want->deferred) &&
	       (d->id != DIALECT_POSTGRES || fk->match_full == (want->match.p != NULL));
}

/* "post_author_id_fkey": as PostgreSQL names what nobody has named, perhaps with a number behind; long parts are cut.
 */
static bool named_by_postgres(struct arena *a, const struct live_table *t, const struct live_foreign_key *fk)
{
	const struct str tail = STR("_fkey");
	struct str name = fk->name, whole = t->name;

	while (name.len > 0 && name.p[name.len - 1] >= '0' && name.p[name.len - 1] <= '9')
		name.len--;
	if (name.len < tail.len || !str_eq(str_n(name.p + name.len - tail.len, tail.len), tail))
		return false;
	for (size_t i = 0; i < fk->n_columns; i++)
		whole = arena_printf(a, "%.*s_%.*s", STR_FMT(whole), STR_FMT(fk->columns[i]));
	return whole.len + tail.len > LIMIT_NAME_BYTES || str_eq(str_n(name.p, name.len - tail.len), whole);
}

/* Whether nobody chose the key's name: it has none, the database's, or the one that is made of its two ends. */
static bool has_made_name(const struct dialect *d, const struct live_table *t, const struct live_foreign_key *fk)
{
	struct arena a;
	struct str *parts;
	bool made = fk->name.len == 0;

	arena_init(&a);
	parts = arena_array(&a, fk->n_columns + 1, sizeof(*parts));
	for (size_t i = 0; i < fk->n_columns; i++)
		parts[i] = fk->columns[i];
	parts[fk->n_columns] = fk->to_table;
	made = made || (d->id == DIALECT_POSTGRES && named_by_postgres(&a, t, fk)) ||
	       live_name_eq(d, fk->name,
			    schema_artifact_name(&a, ARTIFACT_FOREIGN_KEY, t->name, parts, fk->n_columns + 1));
	arena_done(&a);
	return made;
}

static bool any_key_is(const struct dialect *d, const struct live_table *t, const struct foreign_key *want)
{
	for (size_t i = 0; i < t->n_fks; i++)
		if (diff_foreign_key_is(d, &t->fks[i], want))
			return true;
	return false;
}

static bool wanted_by_any(const struct dialect *d, const struct model *m, const struct live_foreign_key *fk)
{
	for (size_t i = 0; i < m->n_fks; i++)
		if (diff_foreign_key_is(d, fk, &m->fks[i]))
			return true;
	return false;
}

/* The key whose target has changed in the model. Where several of one column have, each takes the place of one. */
static const struct live_foreign_key *with_other_target(const struct dialect *d, const struct live_table *t,
							const struct model *m, const struct foreign_key *want)
{
	const bool several = want->n_columns > 1;
	const struct live_foreign_key ours = {.columns = several ? want->columns : &want->column,
					      .n_columns = several ? want->n_columns : 1};
	size_t before = 0;

	for (const struct foreign_key *y = m->fks; y < want; y++)
		before += starts_alike(d, &ours, y) && !any_key_is(d, t, y);
	for (size_t i = 0; i < t->n_fks; i++)
		if (starts_alike(d, &t->fks[i], want) && !wanted_by_any(d, m, &t->fks[i]) &&
		    has_made_name(d, t, &t->fks[i]) && before-- == 0)
			return &t->fks[i];
	return NULL;
}

const struct live_foreign_key *diff_find_foreign_key(const struct dialect *d, const struct live_schema *l,
						     const struct live_table *t, const struct model *m,
						     const struct foreign_key *want, bool *ret_same)
{
	const struct live_foreign_key *found = NULL;

	*ret_same = false;
	for (size_t i = 0; i < t->n_fks && !*ret_same; i++) {
		if (!starts_and_ends(d, &t->fks[i], want))
			continue;
		*ret_same = same_end(d, l, &t->fks[i], want);
		found = &t->fks[i];
	}
	for (size_t i = 0; i < t->n_fks && found == NULL; i++)
		if (diff_foreign_key_is(d, &t->fks[i], want))
			found = &t->fks[i];
	return found != NULL ? found : with_other_target(d, t, m, want);
}
