/* Rows and the session's identity map: see mapped.h. */
#include "handlers/unit/mapped.h"

#include "service/base/banned.h"

struct str record_key(struct arena *a, const struct model *m, const struct value *row)
{
	struct value *key = arena_array(a, m->n_pk, sizeof(*key));
	for (size_t i = 0; i < m->n_pk; i++)
		key[i] = row[m->pk[i]->index];
	return query_identity_key(a, m, key);
}

const struct value *context_mapped(struct context *c, const struct model *m, const struct value *row)
{
	if (c->imap == NULL || m->n_pk == 0)
		return row;
	struct str key = record_key(&c->req->arena, m, row);
	if (!c->req->no_cache)
		return imap_reconcile(c->imap, &c->req->arena, m, key, row);
	imap_put(c->imap, m, key, row);
	return row;
}

/* Does deleting rows of `to` change rows of m? */
static bool follows(const struct model *m, const struct model *to)
{
	for (size_t i = 0; i < m->n_fks; i++) {
		struct str action = m->fks[i].on_delete;
		bool refuses = str_ieq_z(action, "RESTRICT") || str_ieq_z(action, "NO ACTION");
		if (!refuses && str_eq(m->fks[i].to_table, to->table))
			return true;
	}
	return false;
}

void context_forget(struct context *c, const struct model *m, bool deleted)
{
	if (c->imap == NULL || c->undo)
		return;
	imap_evict_model(c->imap, m->name);
	if (!deleted)
		return;
	const struct schema *s = c->schema;
	const struct model **gone = arena_array(&c->req->arena, s->n_models + 1, sizeof(const struct model *));
	size_t n = 0;
	gone[n++] = m;
	for (size_t from = 0; from < n; from++) {
		for (size_t i = 0; i < s->n_models; i++) {
			const struct model *other = &s->models[i];
			size_t k = 0;
			while (k < n && gone[k] != other)
				k++;
			if (k < n || !follows(other, gone[from]))
				continue;
			imap_evict_model(c->imap, other->name);
			gone[n++] = other;
		}
	}
}
