/* Records as batch steps: the same work as their endpoints, inside the batch's unit. */
#include "handlers/records/record_step.h"

#include "handlers/answer/render.h"
#include "handlers/records/bulk.h"
#include "handlers/records/records.h"
#include "handlers/unit/mapped.h"
#include "handlers/records/record_insert.h"
#include "handlers/unit/reads.h"
#include "handlers/unit/triggers.h"

#include "service/base/banned.h"

static void read_model(struct step *s, struct str *name)
{
	json_reader_str(&s->r, "model", name);
	json_reader_require(&s->r, "model");
}

static void put_record(struct step *s, const struct model *m, const struct value *row)
{
	struct value_format fmt = context_format(s->c->res);
	out_record(s->out, m, row, &fmt);
}

static bool create_many(struct step *s, const struct model *m, const json_t *records, const struct insert_options *o)
{
	struct bulk_reader *in = arena_alloc(step_arena(s), sizeof(*in));
	return bulk_reader_init_list(in, step_arena(s), records, s->err) && bulk_insert(s->c, m, in, o, s->out, s->err);
}

struct create {
	const struct model *m;
	const json_t *records; /* or NULL, and row */
	struct record_row row;
	struct insert_options o;
};

static bool read_create(struct step *s, struct create *ret)
{
	struct str name = STR_NONE;
	const json_t *record = NULL;
	const json_t *on_conflict = NULL;
	*ret = (struct create){.o = {.conflict = RECORD_INSERT, .override_identity = insert_overrides(s->c)}};
	read_model(s, &name);
	json_reader_object(&s->r, "record", &record);
	json_reader_array(&s->r, "records", &ret->records);
	json_reader_object(&s->r, "on_conflict", &on_conflict);
	if (on_conflict != NULL && ret->records == NULL)
		json_reader_fault(&s->r, "on_conflict", "goes with `records`");
	if ((record == NULL) == (ret->records == NULL))
		json_reader_fault(&s->r, NULL, "create takes `record` or `records`");
	if (!json_reader_done(&s->r) || !context_model(s->c, name, &ret->m, s->err))
		return false;
	if (on_conflict != NULL && !insert_options_body(s->c, ret->m, on_conflict, "/on_conflict", &ret->o, s->err))
		return false;
	return ret->records != NULL ||
	       record_from_json(step_arena(s), s->c->route.conn->dialect, ret->m, record, "/record",
				ret->o.override_identity ? RECORD_OVERRIDE : 0, &ret->row, s->err);
}

bool step_create(struct step *s)
{
	struct create k;
	struct record_made made = {0};
	if (s->plan == NULL && !read_create(s, &k))
		return false;
	if (s->plan != NULL)
		k = *(const struct create *)s->plan->own;
	*s->status = 201;
	if (k.records != NULL)
		return create_many(s, k.m, k.records, &k.o);
	if (!context_triggers(s->c, k.m, &made.triggers, s->err) ||
	    !record_insert(s->c, k.m, &k.row, &k.o, &made, s->err))
		return false;
	if (made.row == NULL) { /* a trigger took it */
		*s->status = 204;
		strbuf_puts(s->out, "null");
		return true;
	}
	put_record(s, k.m, made.row);
	return true;
}

bool step_create_plan(struct step *s, struct step_plan *ret)
{
	struct create *k = arena_alloc(step_arena(s), sizeof(*k));
	bool triggers;
	ret->own = k;
	/* neither read again, nor its sequence moved */
	return read_create(s, k) && k->records == NULL && context_triggers_known(s->c, k->m, &triggers) && !triggers &&
	       !record_explicit_id(k->m, &k->row) && record_insert_stmt(s->c, k->m, &k->row, &k->o, &ret->stmt, s->err);
}

/* `pk`: a value, or an array of them for a composite key, in the order of the canonical columns; text may be as in a
 * path. */
static bool read_key(struct step *s, const struct model *m, const json_t *pk, struct value **ret)
{
	struct arena *a = step_arena(s);
	const struct dialect *d = s->c->route.conn->dialect;
	size_t n = json_is_array(pk) ? json_array_size(pk) : 1;
	if (m->n_pk == 0)
		return err_set_at(s->err, ERR_INVALID_QUERY, "/model", "model \"%.*s\" has no primary key",
				  STR_FMT(m->name));
	if (json_is_string(pk) && m->n_pk > 1)
		return query_key_from_text(a, d, m, json_str(pk), ret, s->err);
	if (n != m->n_pk)
		return err_set_at(s->err, ERR_INVALID_VALUE, "/pk", "the key has %zu parts", m->n_pk);
	struct value *key = arena_array(a, n, sizeof(*key));
	for (size_t i = 0; i < n; i++) {
		bool many = json_is_array(pk);
		const char *pointer = many ? json_pointer_index(a, "/pk", i) : "/pk";
		if (!codec_bind_stored(a, d, m->pk[i], many ? json_array_get(pk, i) : pk, pointer, &key[i], s->err))
			return false;
		if (key[i].kind == VALUE_NULL)
			return err_set_at(s->err, ERR_INVALID_VALUE, pointer, "a key is never null");
	}
	*ret = key;
	return true;
}

static bool run_get(struct step *s, struct record_request *r)
{
	struct imap_read read;
	const struct value *row = mapped_look(s->c, r->m, r->map_key, &read);
	if (row == NULL && !mapped_load(s->c, &read, r->key, r->map_key, &row, s->err))
		return false;
	if (row == NULL)
		return record_missing(r->m, s->err);
	put_record(s, r->m, row);
	return true;
}

bool step_keyed(struct step *s)
{
	struct str name = STR_NONE;
	const json_t *pk = NULL;
	const json_t *record = NULL;
	struct record_request r = {.c = s->c};
	const struct value *now;
	read_model(s, &name);
	json_reader_any(&s->r, "pk", &pk);
	json_reader_require(&s->r, "pk");
	if (s->op == STEP_SAVE) {
		json_reader_object(&s->r, "record", &record);
		json_reader_require(&s->r, "record");
	}
	if (!json_reader_done(&s->r) || !context_model(s->c, name, &r.m, s->err) || !read_key(s, r.m, pk, &r.key))
		return false;
	r.map_key = query_identity_key(step_arena(s), r.m, r.key);
	if (s->op == STEP_GET)
		return run_get(s, &r);
	if (!context_triggers(s->c, r.m, &r.triggers, s->err))
		return false;
	if (!record_save(&r, (json_t *)(uintptr_t)record, &now, s->status, s->err)) {
		err_prefix_pointer(s->err, "/record");
		return false;
	}
	if (now == NULL)
		strbuf_puts(s->out, "null");
	else
		put_record(s, r.m, now);
	return true;
}
