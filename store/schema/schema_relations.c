/*
 * How records reach others. Declared relations are resolved to columns and keys; every foreign key inside the set that
 * no declared relation covers gets a derived pair:
 *
 *   forward  on the model:  the column less "_id" ("org_id" -> "org"); else, or where that is a column, "<column>_ref"
 *   reverse  on the target: related_name, else "<model>_set" in lower case; "<model>_<column less _id>_set" where a
 * model has several such keys to one target; to_one (kind one_to_one) when the column is unique
 *
 * What still collides gets _2, _3, ... in the order of models and columns: the same set always yields the same names. A
 * key over several columns makes a forward relation named as its target's table.
 */
#include "store/schema/schema_build.h"

#include <stdlib.h>

#include "service/base/strbuf.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

static const struct foreign_key *find_fk(const struct model *m, struct str column, struct str to_table)
{
	for (size_t i = 0; i < m->n_fks; i++)
		if (m->fks[i].n_columns <= 1 && (column.p == NULL || str_eq(m->fks[i].column, column)) &&
		    str_eq(m->fks[i].to_table, to_table))
			return &m->fks[i];
	return NULL;
}

static size_t count_fks(const struct model *m, struct str to_table)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_fks; i++)
		n += str_eq(m->fks[i].to_table, to_table);
	return n;
}

/*
 * The column of `from` that refers to `to` and the column of `to` it points at. `column` STR_NONE: the only foreign
 * key. Without a foreign key a given column points at the single primary key. False: a fault was noted.
 */
static bool resolve_key(struct schema_build *b, const struct relation_decl *decl, const char *what,
			const struct model *from, const struct model *to, struct str column, struct str *ret_column,
			struct str *ret_key)
{
	const struct foreign_key *fk = find_fk(from, column, to->table);
	const struct column *pk = schema_single_pk(to);

	if (column.p == NULL && (fk == NULL || count_fks(from, to->table) > 1)) {
		schema_fault(b, decl->pointer,
			     "model \"%.*s\" has %s foreign key to \"%.*s\": name its column in \"%s\"",
			     STR_FMT(from->name), fk == NULL ? "no" : "more than one", STR_FMT(to->name), what);
		return false;
	}
	if (column.p != NULL && model_column(from, column) == NULL) {
		schema_fault(b, decl->pointer, "\"%s\" names column \"%.*s\", which model \"%.*s\" does not have", what,
			     STR_FMT(column), STR_FMT(from->name));
		return false;
	}
	if (fk == NULL && pk == NULL) {
		schema_fault(b, decl->pointer, "model \"%.*s\" has no single primary key to point at",
			     STR_FMT(to->name));
		return false;
	}
	*ret_column = fk != NULL ? fk->column : column;
	*ret_key = fk != NULL ? fk->to_column : pk->name;
	return true;
}

static bool resolve_many(struct schema_build *b, const struct model *m, const struct relation_decl *decl,
			 struct relation *r)
{
	const struct model *through = decl->through.p != NULL ? schema_model_by_table(b->s, decl->through) : NULL;
	struct str source = decl->source_column, target = decl->target_column;

	if (through == NULL) {
		schema_fault(b, decl->pointer,
			     decl->through.p == NULL ? "a many_to_many relation needs \"through\", the join table%.*s"
						     : "\"through\" names table \"%.*s\", which is not in the set",
			     STR_FMT(decl->through));
		return false;
	}
	/* a model related to itself: the other foreign key is the one that is not named */
	if (r->target == m && through->n_fks == 2 && (source.p == NULL) != (target.p == NULL)) {
		struct str named = source.p != NULL ? source : target;
		struct str other = through->fks[str_eq(through->fks[0].column, named)].column;

		source = source.p != NULL ? source : other;
		target = target.p != NULL ? target : other;
	}
	r->through = through->table;
	if (!resolve_key(b, decl, "source_column", through, m, source, &r->source_column, &r->source_key) ||
	    !resolve_key(b, decl, "target_column", through, r->target, target, &r->target_column, &r->target_key))
		return false;
	if (str_eq(r->source_column, r->target_column)) {
		schema_fault(b, decl->pointer, "\"source_column\" and \"target_column\" must be two columns");
		return false;
	}
	return true;
}

/* Whether a one_to_one or forward relation's column is this model's. */
static bool is_local(const struct model *m, const struct relation_decl *decl, const struct model *target)
{
	if (decl->kind != REL_ONE_TO_ONE)
		return decl->kind == REL_FORWARD;
	if (find_fk(m, decl->column, target->table) != NULL)
		return true;
	return find_fk(target, decl->column, m->table) == NULL && decl->column.p != NULL &&
	       model_column(m, decl->column) != NULL;
}

static bool resolve(struct schema_build *b, const struct model *m, const struct relation_decl *decl, struct relation *r)
{
	*r = (struct relation){.name = decl->name, .kind = decl->kind, .target_name = decl->target, .declared = true};
	r->target = schema_model(b->s, decl->target);
	if (r->target == NULL) {
		schema_fault(b, decl->pointer, "the target \"%.*s\" is not a model of the set", STR_FMT(decl->target));
		return false;
	}
	if (model_column(m, r->name) != NULL || model_relation(m, r->name) != NULL) {
		schema_fault(b, decl->pointer, "the name \"%.*s\" is taken by another relation or column",
			     STR_FMT(r->name));
		return false;
	}
	if (decl->kind == REL_MANY_TO_MANY)
		return resolve_many(b, m, decl, r);
	r->local = is_local(m, decl, r->target);
	r->to_one = decl->kind != REL_REVERSE;
	if (r->local)
		return resolve_key(b, decl, "column", m, r->target, decl->column, &r->column, &r->to_column);
	return resolve_key(b, decl, "column", r->target, m, decl->column, &r->column, &r->to_column);
}

/* Whether m has a declared relation over this column: its own (local) or one of `other`. */
static bool covered(const struct model *m, const struct model *other, struct str column, bool local)
{
	for (size_t i = 0; i < m->n_relations; i++) {
		const struct relation *r = &m->relations[i];

		if (r->declared && r->kind != REL_MANY_TO_MANY && r->local == local && r->target == other &&
		    str_eq(r->column, column))
			return true;
	}
	return false;
}

static struct str stem(struct str column)
{
	return column.len > 3 && str_ends(column, STR("_id")) ? str_n(column.p, column.len - 3) : column;
}

static bool name_free(const struct model *m, struct str name)
{
	return model_column(m, name) == NULL && model_relation(m, name) == NULL;
}

static struct str free_name(struct schema_build *b, const struct model *m, struct str name)
{
	struct str tried = name;

	for (int i = 2; !name_free(m, tried); i++)
		tried = arena_printf(b->arena, "%.*s_%d", STR_FMT(name), i);
	return tried;
}

/* "<name>_by_<column>_<column>" */
static struct str by_columns(struct schema_build *b, struct str name, const struct foreign_key *fk)
{
	struct strbuf s;
	struct str out;

	strbuf_init(&s, 0);
	strbuf_put(&s, name);
	strbuf_puts(&s, "_by");
	for (size_t i = 0; i < fk->n_columns; i++) {
		strbuf_putc(&s, '_');
		strbuf_put(&s, fk->columns[i]);
	}
	out = arena_str(b->arena, strbuf_str(&s));
	strbuf_done(&s);
	return out;
}

/* A key over several columns is called after its target; after the columns, too, where there are several to that. */
static struct str composite_name(struct schema_build *b, const struct model *m, const struct foreign_key *fk)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_fks; i++)
		n += m->fks[i].n_columns > 1 && str_eq(m->fks[i].to_table, fk->to_table);
	if (n > 1 || !name_free(m, fk->to_table))
		return free_name(b, m, by_columns(b, fk->to_table, fk));
	return fk->to_table;
}

static void derive_forward(struct schema_build *b, struct model *m, const struct foreign_key *fk,
			   const struct model *target)
{
	struct str name = fk->n_columns > 1 ? composite_name(b, m, fk) : stem(fk->column);

	if (!name_free(m, name))
		name = free_name(b, m, arena_printf(b->arena, "%.*s_ref", STR_FMT(fk->column)));
	m->relations[m->n_relations++] = (struct relation){
		.name = name,
		.kind = REL_FORWARD,
		.target_name = target->name,
		.target = target,
		.column = fk->column,
		.to_column = fk->to_column,
		.columns = fk->columns,
		.to_columns = fk->to_columns,
		.n_columns = fk->n_columns,
		.local = true,
		.to_one = true,
	};
}

/* Whether the key's columns name at most one row: they have the whole of the primary key or of a unique in them. */
static bool columns_unique(const struct model *m, const struct foreign_key *fk)
{
	size_t hits = 0;

	for (size_t i = 0; i < fk->n_columns; i++)
		for (size_t k = 0; k < m->n_pk; k++)
			hits += str_eq(m->pk[k]->name, fk->columns[i]);
	if (m->n_pk > 0 && hits == m->n_pk)
		return true;
	for (size_t u = 0; u < m->n_uniques; u++) {
		hits = 0;
		for (size_t i = 0; i < fk->n_columns; i++)
			for (size_t k = 0; k < m->uniques[u].n_columns; k++)
				hits += str_eq(m->uniques[u].columns[k], fk->columns[i]);
		if (hits == m->uniques[u].n_columns && schema_index_keeps_unique(&m->uniques[u]))
			return true;
	}
	return false;
}

/* The relation of `target` back to m; a related_name that is taken is a fault, a made name steps aside. */
static void derive_reverse(struct schema_build *b, const struct draft *d, const struct foreign_key *fk,
			   struct model *target)
{
	const struct model *m = d->m;
	bool unique = fk->n_columns > 1 ? columns_unique(m, fk) : schema_column_unique(m, fk->column);
	struct str name = fk->related_name;

	if (name.p != NULL && !name_free(target, name)) {
		schema_fault(b, d->pointer, "related_name \"%.*s\" of column \"%.*s\" is taken in model \"%.*s\"",
			     STR_FMT(name), STR_FMT(fk->column), STR_FMT(target->name));
		return;
	}
	if (name.p == NULL) {
		struct str model = schema_lower(b->arena, m->name);

		if (fk->n_columns > 1 && count_fks(m, target->table) > 1)
			name = by_columns(b, arena_printf(b->arena, "%.*s_set", STR_FMT(model)), fk);
		else if (count_fks(m, target->table) > 1)
			name = arena_printf(b->arena, "%.*s_%.*s_set", STR_FMT(model), STR_FMT(stem(fk->column)));
		else
			name = arena_printf(b->arena, "%.*s_set", STR_FMT(model));
		name = free_name(b, target, name);
	}
	target->relations[target->n_relations++] = (struct relation){
		.name = name,
		.kind = unique ? REL_ONE_TO_ONE : REL_REVERSE,
		.target_name = m->name,
		.target = m,
		.column = fk->column,
		.to_column = fk->to_column,
		.columns = fk->columns,
		.to_columns = fk->to_columns,
		.n_columns = fk->n_columns,
		.local = false,
		.to_one = unique,
	};
}

static struct model *target_of(const struct schema_build *b, const struct foreign_key *fk)
{
	const struct draft *d = schema_draft_of_key(b, fk);

	return d != NULL ? d->m : NULL;
}

/* For the other side of a many-to-many. */
static void make_room_beyond(const struct schema_build *b, struct str target, size_t *room)
{
	for (size_t i = 0; i < b->n; i++)
		room[i] += str_eq(b->drafts[i].m->name, target);
}

/* Room for every relation that can come to be: declared ones, their other sides, one per foreign key out and one per
 * foreign key in. */
static void make_room(struct schema_build *b)
{
	size_t *room = arena_array(b->scratch, b->n, sizeof(*room));

	for (size_t i = 0; i < b->n; i++) {
		const struct draft *d = &b->drafts[i];

		room[i] += d->n_decls + d->m->n_fks;
		for (size_t k = 0; k < d->n_decls; k++)
			if (d->decls[k].kind == REL_MANY_TO_MANY)
				make_room_beyond(b, d->decls[k].target, room);
		for (size_t k = 0; k < d->m->n_fks; k++) {
			const struct draft *target = schema_draft_of_key(b, &d->m->fks[k]);

			if (target != NULL)
				room[target - b->drafts]++;
		}
	}
	for (size_t i = 0; i < b->n; i++)
		b->drafts[i].m->relations = arena_array(b->arena, room[i], sizeof(struct relation));
}

static void derive(struct schema_build *b, struct draft *d, bool reverse, bool named)
{
	wait_may_step_aside();
	for (size_t k = 0; k < d->m->n_fks; k++) {
		const struct foreign_key *fk = &d->m->fks[k];
		struct model *target = target_of(b, fk);

		if (target == NULL || (reverse && (fk->related_name.p != NULL) != named))
			continue;
		if (!reverse && (fk->n_columns > 1 || !covered(d->m, target, fk->column, true)))
			derive_forward(b, d->m, fk, target);
		if (reverse && (fk->n_columns > 1 || !covered(target, d->m, fk->column, false)))
			derive_reverse(b, d, fk, target);
	}
}

/* Whether the target has the other side of a many-to-many already. */
static bool has_other_side(const struct model *m, const struct relation *r)
{
	for (size_t i = 0; i < r->target->n_relations; i++) {
		const struct relation *x = &r->target->relations[i];

		if (x->kind == REL_MANY_TO_MANY && x->target == m && str_eq(x->through, r->through) &&
		    str_eq(x->source_column, r->target_column) && str_eq(x->target_column, r->source_column))
			return true;
	}
	return false;
}

/* Who declares one side of a many-to-many has both. */
static void derive_other_sides(struct schema_build *b, struct model *m)
{
	const size_t n = m->n_relations; /* one of its own to itself would be found again */

	for (size_t i = 0; i < n; i++) {
		const struct relation *r = &m->relations[i];
		struct model *target = (struct model *)(uintptr_t)r->target;
		struct str name;

		if (r->kind != REL_MANY_TO_MANY || !r->declared || has_other_side(m, r))
			continue;
		name = arena_printf(b->arena, "%.*s_set", STR_FMT(schema_lower(b->arena, m->name)));
		target->relations[target->n_relations++] = (struct relation){
			.name = free_name(b, target, name),
			.kind = REL_MANY_TO_MANY,
			.target_name = m->name,
			.target = m,
			.through = r->through,
			.source_column = r->target_column,
			.target_column = r->source_column,
			.source_key = r->target_key,
			.target_key = r->source_key,
		};
	}
}

static int by_name(const void *x, const void *y)
{
	return str_cmp(((const struct relation *)x)->name, ((const struct relation *)y)->name);
}

void schema_relate(struct schema_build *b)
{
	make_room(b);
	for (size_t i = 0; i < b->n; i++) {
		struct draft *d = &b->drafts[i];

		for (size_t k = 0; k < d->n_decls; k++)
			if (resolve(b, d->m, &d->decls[k], &d->m->relations[d->m->n_relations]))
				d->m->n_relations++;
	}
	/* chosen names first, so that made ones step aside */
	for (size_t i = 0; i < b->n; i++)
		derive(b, &b->drafts[i], true, true);
	for (size_t i = 0; i < b->n; i++)
		derive(b, &b->drafts[i], false, false);
	for (size_t i = 0; i < b->n; i++)
		derive(b, &b->drafts[i], true, false);
	for (size_t i = 0; i < b->n; i++)
		derive_other_sides(b, b->drafts[i].m);
	for (size_t i = 0; i < b->n; i++)
		if (b->drafts[i].m->n_relations > 1)
			qsort(b->drafts[i].m->relations, b->drafts[i].m->n_relations, sizeof(struct relation), by_name);
}
