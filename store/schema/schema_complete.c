/* The short form completed: members left out get their obvious value, flags imply entries, artifacts get names. */
#include "store/schema/schema_build.h"
#include "service/base/wait.h"
#include "store/schema/schema_names.h"

#include "service/base/banned.h"

struct str schema_lower(struct arena *a, struct str s)
{
	char *p = arena_strz(a, s);

	for (size_t i = 0; i < s.len; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] - 'A' + 'a');
	return str_n(p, s.len);
}

struct column *schema_find_column(const struct model *m, struct str name)
{
	for (size_t i = 0; i < m->n_columns; i++)
		if (str_eq(m->columns[i].name, name))
			return &m->columns[i];
	return NULL;
}

const struct column *schema_single_pk(const struct model *m)
{
	const struct column *pk = NULL;

	for (size_t i = 0; i < m->n_columns; i++) {
		if (!m->columns[i].primary_key)
			continue;
		if (pk != NULL)
			return NULL;
		pk = &m->columns[i];
	}
	return pk;
}

const struct schema_index *schema_single(const struct schema_index *list, size_t n, struct str column)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].n_columns == 1 && str_eq(list[i].columns[0], column) &&
		    (schema_index_plain(&list[i]) || (list[i].keys == NULL && schema_index_keeps_unique(&list[i]))))
			return &list[i];
	return NULL;
}

bool schema_column_unique(const struct model *m, struct str column)
{
	const struct column *c = schema_find_column(m, column);

	return (c != NULL && (c->unique || c == schema_single_pk(m))) ||
	       schema_single(m->uniques, m->n_uniques, column) != NULL;
}

static bool has_fk(const struct model *m, struct str column)
{
	for (size_t i = 0; i < m->n_fks; i++)
		if (str_eq(m->fks[i].column, column))
			return true;
	return false;
}

/* An integer that is the whole primary key counts up by itself, unless it is a reference to somebody else's key. */
static void complete_autoincrement(const struct draft *d)
{
	const struct model *m = d->m;
	const struct column *pk = schema_single_pk(m);

	if (pk == NULL || pk->logical != LT_INTEGER || pk->fill.generated == GENERATED_ALWAYS ||
	    d->given[pk - m->columns].autoincrement || has_fk(m, pk->name))
		return;
	m->columns[pk - m->columns].autoincrement = true;
}

/* What one member of a column says about the others. */
static void complete_fill(const struct draft *d)
{
	for (size_t i = 0; i < d->m->n_columns; i++) {
		struct column *c = &d->m->columns[i];
		struct column_fill *f = &c->fill;

		if (f->generated == GENERATED_ALWAYS)
			f->read_only = true;
		if (f->generated != GENERATED_NOT || f->default_sql.p != NULL)
			f->database_default = true;
	}
}

/* A reference that the database sets to null must be able to be null. */
static void complete_nullable(const struct draft *d)
{
	for (size_t i = 0; i < d->m->n_fks; i++) {
		const struct foreign_key *fk = &d->m->fks[i];
		struct column *c = schema_find_column(d->m, fk->column);

		if (c != NULL && fk->on_delete.p != NULL && str_ieq_z(fk->on_delete, "SET NULL") &&
		    !d->given[c - d->m->columns].nullable)
			c->nullable = true;
	}
}

static void append_single(struct schema_build *b, struct schema_index *list, size_t *n, struct str column, bool unique)
{
	struct str *names = arena_alloc(b->arena, sizeof(*names));

	names[0] = column;
	list[(*n)++] = (struct schema_index){.columns = names, .n_columns = 1, .unique = unique};
}

/* unique and index flags without an entry get one; an index beside a unique over the same column is redundant. */
static void complete_flags(struct schema_build *b, struct model *m)
{
	for (size_t i = 0; i < m->n_columns; i++) {
		struct column *c = &m->columns[i];

		if (c->unique && schema_single(m->uniques, m->n_uniques, c->name) == NULL)
			append_single(b, m->uniques, &m->n_uniques, c->name, true);
		if (!c->index_flag || schema_single(m->indexes, m->n_indexes, c->name) != NULL)
			continue;
		if (c->unique)
			c->index_flag = false;
		else
			append_single(b, m->indexes, &m->n_indexes, c->name, false);
	}
}

static void complete_names(struct schema_build *b, struct model *m)
{
	struct arena *a = b->arena;

	for (size_t i = 0; i < m->n_indexes; i++) {
		struct schema_index *x = &m->indexes[i];

		x->name = x->name.p != NULL
				  ? schema_artifact_fit(a, ARTIFACT_INDEX, x->name)
				  : schema_artifact_name(a, ARTIFACT_INDEX, m->table, x->columns, x->n_columns);
	}
	for (size_t i = 0; i < m->n_uniques; i++) {
		struct schema_index *x = &m->uniques[i];

		x->name = x->name.p != NULL
				  ? schema_artifact_fit(a, ARTIFACT_UNIQUE, x->name)
				  : schema_artifact_name(a, ARTIFACT_UNIQUE, m->table, x->columns, x->n_columns);
	}
	for (size_t i = 0; i < m->n_checks; i++) {
		struct schema_check *c = &m->checks[i];

		c->name = c->name.p != NULL ? schema_artifact_fit(a, ARTIFACT_CHECK, c->name)
					    : schema_artifact_name(a, ARTIFACT_CHECK, m->table, &c->column, 1);
	}
	for (size_t i = 0; i < m->n_fks; i++) {
		struct foreign_key *fk = &m->fks[i];
		struct str *parts = arena_array(b->scratch, fk->n_columns + 2, sizeof(*parts));
		size_t n = 0;

		for (size_t k = 0; k < fk->n_columns; k++)
			parts[n++] = fk->columns[k];
		if (n == 0)
			parts[n++] = fk->column;
		parts[n++] = fk->to_table;
		if (fk->name.p == NULL)
			fk->name = schema_artifact_name(a, ARTIFACT_FOREIGN_KEY, m->table, parts, n);
	}
}

static bool same_entry(const struct schema_index *x, const struct schema_index *y)
{
	if (x->n_columns != y->n_columns || x->unique != y->unique || !str_eq(x->name, y->name) ||
	    !schema_index_plain(x) || !schema_index_plain(y))
		return false;
	for (size_t i = 0; i < x->n_columns; i++)
		if (!str_eq(x->columns[i], y->columns[i]))
			return false;
	return true;
}

/* Exact duplicates of one group are one object (reference 5.5). */
static void drop_duplicates(struct schema_index *list, size_t *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		bool seen = false;

		for (size_t j = 0; j < kept && !seen; j++)
			seen = same_entry(&list[i], &list[j]);
		if (!seen)
			list[kept++] = list[i];
	}
	*n = kept;
}

static void complete_references(struct schema_build *b, struct model *m)
{
	for (size_t i = 0; i < m->n_fks; i++) {
		struct foreign_key *fk = &m->fks[i];
		const struct draft *target = schema_draft_of_key(b, fk);
		const struct column *pk = target != NULL && !target->broken ? schema_single_pk(target->m) : NULL;

		if (fk->to_column.p == NULL)
			fk->to_column = pk != NULL ? pk->name : STR("id");
	}
}

void schema_complete(struct schema_build *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct draft *d = &b->drafts[i];

		wait_may_step_aside();
		if (d->m->table.p == NULL && d->m->name.p != NULL) {
			d->m->table = schema_lower(b->arena, d->m->name);
			if (d->m->table.len > LIMIT_NAME_BYTES && !d->broken) {
				schema_fault(b, d->pointer,
					     "the model's name makes a table name of %zu bytes; give a "
					     "\"table_name\" of at most %d",
					     d->m->table.len, LIMIT_NAME_BYTES);
				d->broken = true;
			}
		}
		if (d->m->table.p != NULL)
			d->m->place = model_place(b->arena, d->m->schema_name, d->m->table);
		if (d->broken)
			continue;
		complete_autoincrement(d);
		complete_nullable(d);
		complete_fill(d);
		complete_flags(b, d->m);
		complete_names(b, d->m);
		drop_duplicates(d->m->indexes, &d->m->n_indexes);
		drop_duplicates(d->m->uniques, &d->m->n_uniques);
	}
	for (size_t i = 0; i < b->n; i++)
		if (b->drafts[i].m->place.p != NULL && map_get(&b->by_table, b->drafts[i].m->place) == NULL)
			map_put(&b->by_table, b->drafts[i].m->place, &b->drafts[i]);
	for (size_t i = 0; i < b->n; i++)
		if (!b->drafts[i].broken)
			complete_references(b, b->drafts[i].m);
}
