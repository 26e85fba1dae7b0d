/* Rows and the session's identity map: see mapped.h. */
#include "handlers/unit/mapped.h"

#include "handlers/unit/reads.h"

#include "service/base/banned.h"

struct str record_key(struct arena *a, const struct model *m, const struct value *row)
{
	struct value *key = arena_array(a, m->n_pk, sizeof(*key));
	for (size_t i = 0; i < m->n_pk; i++)
		key[i] = row[m->pk[i]->index];
	return query_identity_key(a, m, key);
}

/* ---- reads ---- */

struct imap *mapped_map(const struct context *c, const struct model *m)
{
	return m->n_pk > 0 && m->kind != MODEL_VIEW ? c->imap : NULL;
}

void mapped_begin(const struct context *c, const struct model *m, enum query_lock lock, struct imap_read *r)
{
	bool fresh = c->req->no_cache || lock != QUERY_LOCK_NONE;
	imap_read_begin(r, mapped_map(c, m), m, fresh ? IMAP_REFRESH : IMAP_LOOK);
}

const struct value *mapped_row(struct imap_read *r, struct arena *a, const struct value *row)
{
	return r->map != NULL ? imap_read_row(r, a, record_key(a, r->model, row), row) : row;
}

const struct value *mapped_look(const struct context *c, const struct model *m, struct str map_key, struct imap_read *r)
{
	if (!c->req->no_cache)
		return imap_get(mapped_map(c, m), &c->req->arena, m, map_key, r);
	mapped_begin(c, m, QUERY_LOCK_NONE, r);
	return NULL;
}

bool mapped_load(struct context *c, struct imap_read *r, const struct value *key, struct str map_key,
		 const struct value **ret, struct err *err)
{
	struct value *row;
	if (!context_record(c, r->model, key, QUERY_LOCK_NONE, &row, err))
		return false;
	if (row != NULL)
		*ret = imap_read_row(r, &c->req->arena, map_key, row);
	else
		imap_read_none(r, map_key);
	if (row == NULL)
		*ret = NULL;
	return true;
}

const char *mapped_origin(const struct context *c)
{
	return c->imap == NULL ? "off" : c->req->no_cache ? "refresh" : "miss";
}

/* ---- writes ---- */

/* True: m is a view, and what is kept of any model counts as written. */
static bool wrote_view(struct context *c, const struct model *m)
{
	if (m->kind != MODEL_VIEW)
		return false;
	for (size_t i = 0; c->unit_map != NULL && i < c->schema->n_models; i++)
		imap_write_begin(c->unit_map, &c->schema->models[i], IMAP_MODEL, STR_NONE);
	return true;
}

void mapped_write(struct context *c, const struct model *m, struct str map_key)
{
	if (!wrote_view(c, m))
		imap_write_begin(c->unit_map, m, IMAP_RECORD, map_key);
}

void mapped_insert(struct context *c, const struct model *m)
{
	if (!wrote_view(c, m))
		imap_write_begin(c->unit_map, m, IMAP_NEW, STR_NONE);
}

/* Does writing rows of `to` so change rows of m? What a foreign key does ON UPDATE is not known. */
static bool follows(const struct model *m, const struct model *to, enum mapped_what what)
{
	for (size_t i = 0; i < m->n_fks; i++) {
		struct str action = m->fks[i].on_delete;
		bool refuses =
			what == MAPPED_DELETED && (str_ieq_z(action, "RESTRICT") || str_ieq_z(action, "NO ACTION"));
		if (!refuses && str_eq(m->fks[i].to_table, to->table))
			return true;
	}
	return false;
}

void mapped_write_all(struct context *c, const struct model *m, enum mapped_what what)
{
	struct imap *map = c->unit_map;
	const struct schema *s = c->schema;
	if (map == NULL || wrote_view(c, m))
		return;
	imap_write_begin(map, m, IMAP_MODEL, STR_NONE);
	if (what == MAPPED_ROWS)
		return;
	const struct model **gone = arena_array(&c->req->arena, s->n_models + 1, sizeof(const struct model *));
	size_t n = 0;
	gone[n++] = m;
	for (size_t from = 0; from < n; from++) {
		for (size_t i = 0; i < s->n_models; i++) {
			const struct model *other = &s->models[i];
			size_t k = 0;
			while (k < n && gone[k] != other)
				k++;
			if (k < n || !follows(other, gone[from], what))
				continue;
			imap_write_begin(map, other, IMAP_MODEL, STR_NONE);
			gone[n++] = other;
		}
	}
}

enum mapped_what mapped_column(const struct context *c, const struct model *m, const struct column *column)
{
	const struct schema *s = c->schema;
	if (column->primary_key)
		return MAPPED_KEYS;
	for (size_t i = 0; i < s->n_models; i++) {
		for (size_t k = 0; k < s->models[i].n_fks; k++) {
			const struct foreign_key *fk = &s->models[i].fks[k];
			if (str_eq(fk->to_table, m->table) && str_eq(fk->to_column, column->name))
				return MAPPED_KEYS;
		}
	}
	return MAPPED_ROWS;
}

void mapped_wrote(struct context *c, const struct model *m, const struct value *row)
{
	if (c->unit_map != NULL && m->n_pk > 0 && m->kind != MODEL_VIEW)
		imap_write_row(c->unit_map, m, record_key(&c->req->arena, m, row), row);
}

void mapped_outdated(struct context *c, const struct model *m, struct str map_key)
{
	imap_evict(c->imap, m->name, map_key);
}
