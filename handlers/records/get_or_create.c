/* get-or-create and update-or-create: one atomic step; who loses a race gets what the winner made. */
#include "handlers/handlers.h"
#include "handlers/records/record_insert.h"
#include "handlers/records/records.h"
#include "handlers/answer/rows.h"
#include "handlers/answer/values.h"
#include "handlers/unit/triggers.h"
#include "handlers/unit/mapped.h"
#include "handlers/unit/reads.h"
#include "handlers/unit/turns.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define ATTEMPTS 3 /* a row that comes and goes between insert and read */

struct find {
	struct context c;
	const struct model *m;
	const json_t *where, *defaults; /* defaults may be NULL */
	struct query *q;
	struct query_set *set; /* of update-or-create: the defaults as they apply to a row that is there */
	size_t n_set;
	const struct column **columns; /* of where */
	size_t n_columns;
	bool has_null; /* a null in where: no unique key applies */
	bool update;
	bool triggers; /* of the table */
	bool others;   /* it has unique indexes that in_the_way cannot look into, or does not know of */
};

static bool read_body(struct request *req, struct find *f, struct str *using, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	if (!request_json(req, false, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_object(&r, "where", &f->where);
	json_reader_require(&r, "where");
	json_reader_object(&r, "defaults", &f->defaults);
	json_reader_str(&r, "using", using);
	if (f->where != NULL && json_object_size(f->where) == 0)
		json_reader_fault(&r, "where", "name at least one column");
	return json_reader_done(&r);
}

/* The query for `where`: equality of every member. */
static bool build_query(struct find *f, struct err *err)
{
	struct arena *a = &f->c.req->arena;
	const struct dialect *d = f->c.route.conn->dialect;
	size_t n = json_object_size(f->where);
	const struct query_node **leaves = arena_array(a, n, sizeof(const struct query_node *));
	const char *key;
	size_t len;
	json_t *v;
	f->columns = arena_array(a, n, sizeof(const struct column *));
	json_object_keylen_foreach((json_t *)(uintptr_t)f->where, key, len, v)
	{
		const char *pointer = json_pointer_key(a, "/where", str_n(key, len));
		const struct column *col = model_column(f->m, str_n(key, len));
		struct value bound;
		if (col == NULL)
			return err_set_at(err, ERR_UNKNOWN_COLUMN, pointer, "model \"%.*s\" has no such column",
					  STR_FMT(f->m->name));
		/* what is there need not be of its column's type */
		if (!(col->fill.position > 0 ? codec_bind_stored(a, d, col, v, pointer, &bound, err)
					     : codec_bind(a, d, col, v, pointer, &bound, err)))
			return false;
		f->has_null = f->has_null || bound.kind == VALUE_NULL;
		leaves[f->n_columns] = query_leaf_equal(a, d, col, bound);
		f->columns[f->n_columns++] = col;
	}
	f->q = query_new(a, f->c.schema, d, f->m);
	f->q->where = leaves;
	f->q->n_where = n;
	f->q->has_limit = true;
	f->q->limit = 1;
	return true;
}

/* The defaults are good or not whether there is a row already or not. */
static bool check_defaults(struct find *f, struct err *err)
{
	struct arena *a = &f->c.req->arena;
	const struct dialect *d = f->c.route.conn->dialect;
	struct record_row row;
	if (f->defaults == NULL || json_object_size(f->defaults) == 0)
		return true;
	if (f->update)
		return query_set_from_json(a, f->m, d, f->defaults, "/defaults", &f->set, &f->n_set, err);
	return record_from_json(a, d, f->m, f->defaults, "/defaults", RECORD_PARTIAL, &row, err);
}

/* where and defaults as one record; a fault points into the member it came from. */
static bool new_record(struct find *f, struct record_row *ret, struct err *err)
{
	struct arena *a = &f->c.req->arena;
	json_t *doc = json_copy((json_t *)(uintptr_t)f->where);
	if (doc == NULL || (f->defaults != NULL && json_object_update(doc, (json_t *)(uintptr_t)f->defaults) != 0)) {
		json_decref(doc);
		return err_oom(err);
	}
	bool ok = record_from_json(a, f->c.route.conn->dialect, f->m, doc, "",
				   insert_overrides(&f->c) ? RECORD_OVERRIDE : 0, ret, err);
	json_decref(doc); /* its values live on in the request's document */
	if (!ok && err->has_pointer && err->pointer[0] == '/') {
		const char *key = arena_strz(a, str_z(err->pointer + 1));
		bool in_defaults = f->defaults != NULL && json_object_get(f->defaults, key) != NULL;
		err_prefix_pointer(err, in_defaults || json_object_get(f->where, key) == NULL ? "/defaults" : "/where");
	}
	return ok;
}

static bool named(const struct find *f, struct str column)
{
	for (size_t i = 0; i < f->n_columns; i++) {
		if (str_eq(f->columns[i]->name, column))
			return true;
	}
	return false;
}

/* A unique key within the columns of `where`: a lost race runs into it. */
static bool has_conflict_key(const struct find *f)
{
	if (f->has_null)
		return false;
	for (size_t i = 0; i < f->m->n_uniques; i++) {
		const struct schema_index *u = &f->m->uniques[i];
		size_t hits = 0;
		while (hits < u->n_columns && named(f, u->columns[hits]))
			hits++;
		if (hits == u->n_columns)
			return true;
	}
	for (size_t i = 0; i < f->m->n_pk; i++) {
		if (!named(f, f->m->pk[i]->name))
			return false;
	}
	return f->m->n_pk > 0;
}

/*
 * Without a unique key nothing in the database stops two callers from making the same row: they queue for a lock on
 * what they look for, which the transaction's end releases. SQLite has one writer at a time anyway.
 */
static bool lock_search(struct find *f, struct err *err)
{
	struct value_format plain = {.tag_bytes = true};
	struct strbuf b;
	if (f->c.route.conn->dialect->id != DIALECT_POSTGRES)
		return true;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "get-or-create\n");
	strbuf_put(&b, f->m->table);
	for (size_t i = 0; i < f->m->n_columns; i++) { /* whatever the order of the members */
		for (size_t k = 0; k < f->n_columns; k++) {
			if (f->columns[k]->index != i)
				continue;
			strbuf_putc(&b, '\n');
			strbuf_put(&b, f->columns[k]->name);
			strbuf_putc(&b, '=');
			value_write_json(&b, f->q->where[k]->values[0], &plain);
		}
	}
	int64_t number = turn_number(strbuf_str(&b));
	strbuf_done(&b);
	return turns_take(&f->c, &number, 1, err);
}

/* The values to set on a row that is there: a count of writes that they state is held against its own, and goes on. */
static bool set_on(struct find *f, const struct value *row, struct query_set **ret, struct err *err)
{
	struct query_set *set = arena_array(&f->c.req->arena, f->n_set + 1, sizeof(*set));
	memcpy(set, f->set, f->n_set * sizeof(*set));
	*ret = set;
	for (size_t i = 0; i < f->n_set; i++) {
		if (!set[i].column->fill.lock_version || set[i].fill == SET_COUNT || set[i].expr != NULL)
			continue;
		if (!record_count_stands(&f->c, set[i].column, set[i].value, row, err))
			return false;
		set[i] = (struct query_set){.column = set[i].column, .fill = SET_COUNT};
	}
	return true;
}

/* Applies the defaults to the row that is there. *ret NULL: it was deleted, or a trigger has kept it as it is, or
 * (*ret_taken) has taken away what was changed. */
static bool update_found(struct find *f, const struct value *row, const struct value **ret, bool *ret_taken,
			 struct err *err)
{
	struct arena *a = &f->c.req->arena;
	const struct dialect *d = f->c.route.conn->dialect;
	struct stmt stmt;
	struct result_shape shape;
	struct row_keep keep = {.arena = a, .dialect = d, .shape = &shape};
	struct row_sink sink = row_keep_sink(&keep);
	struct query *q = f->q;
	struct query_set *set;
	struct value *key = NULL;
	if (!set_on(f, row, &set, err))
		return false;
	if (f->m->n_pk > 0) {
		if (!row_key_values(a, d, f->m, row, &key, err))
			return false;
		q = query_by_pk(a, f->c.schema, d, f->m, key);
	}
	if (!query_lower_update(a, q, set, f->n_set, true, &stmt, &shape, err))
		return false;
	enum mapped_what what = f->m->n_pk > 0 ? MAPPED_ROWS : MAPPED_KEYS;
	for (size_t i = 0; i < f->n_set && what == MAPPED_ROWS; i++)
		what = mapped_column(&f->c, f->m, f->set[i].column);
	if (what == MAPPED_ROWS)
		mapped_write(&f->c, f->m, record_key(a, f->m, row));
	else
		mapped_write_all(&f->c, f->m, what);
	context_unleash(&f->c, f->triggers);
	if (!context_run(&f->c, &stmt, &sink, NULL, err))
		return false;
	const bool changed = keep.row != NULL;
	if (!context_settle(&f->c, f->m, f->triggers, key, &keep.row, err))
		return false;
	*ret = keep.row;
	*ret_taken = changed && keep.row == NULL;
	if (keep.row != NULL)
		mapped_wrote(&f->c, f->m, keep.row);
	return true;
}

/* The first row that `where` finds; *ret NULL: there is none. */
static bool find(struct find *f, bool refresh, const struct value **ret, struct err *err)
{
	struct context *c = &f->c;
	struct result_shape shape;
	struct imap_read read;
	struct value *row;
	if (refresh)
		imap_read_begin(&read, mapped_map(c, f->m), f->m, IMAP_REFRESH);
	else
		mapped_begin(c, f->m, f->q->lock, &read);
	if (!context_first(c, f->q, &shape, &row, err))
		return false;
	*ret = row != NULL ? mapped_row(&read, &c->req->arena, row) : NULL;
	return true;
}

/* The row that was found, as the update leaves it. *ret_done false: it was deleted meanwhile. */
static bool change(struct find *f, const struct value **row, bool *ret_done, struct err *err)
{
	const struct value *now = NULL;
	bool taken;
	*ret_done = true;
	if (f->n_set == 0)
		return true;
	if (!update_found(f, *row, &now, &taken, err))
		return false;
	if (now == NULL) {
		if (!find(f, true, &now, err))
			return false;
		*ret_done = taken || now != NULL;
		if (*ret_done)
			context_swallowed(&f->c);
	}
	*row = now;
	return true;
}

/* Has it a unique index that in_the_way cannot look into: over expressions, over some of the rows, or one that the
 * model does not have? */
static bool find_others(struct find *f, struct err *err)
{
	int64_t n = 0;
	if (!f->triggers)
		return true;
	if (!context_uniques(&f->c, f->m, &n, err))
		return false;
	f->others = n != (int64_t)f->m->n_uniques;
	for (size_t i = 0; i < f->m->n_indexes; i++)
		f->others = f->others || f->m->indexes[i].unique;
	return true;
}

/* Nothing was inserted although the table has triggers: does one of the model's keys say why? A trigger may have done
 * what it does, which is not to be done again. */
static bool in_the_way(struct find *f, const struct record_row *row, bool *ret, struct err *err)
{
	struct insert_options o = {.conflict = RECORD_IGNORE};
	struct value *other;
	if (f->m->n_pk > 0 && !record_blocking(&f->c, f->m, row, &o, &other, err))
		return false;
	*ret = f->m->n_pk > 0 && other != NULL;
	for (size_t i = 0; !*ret && i < f->m->n_uniques; i++) {
		const struct schema_index *u = &f->m->uniques[i];
		const struct column **columns = arena_array(&f->c.req->arena, u->n_columns, sizeof(*columns));
		for (size_t k = 0; k < u->n_columns; k++)
			columns[k] = model_column(f->m, u->columns[k]);
		o.target = (struct record_target){.columns = columns, .n_columns = u->n_columns};
		if (!record_blocking(&f->c, f->m, row, &o, &other, err))
			return false;
		*ret = other != NULL;
	}
	return true;
}

/* Finds, or makes. *ret NULL: a trigger took what was made, or changed, and there is none. In a write unit. */
static bool find_or_make(struct find *f, const struct value **ret, bool *ret_created, struct err *err)
{
	struct record_row row;
	struct insert_options o;
	struct record_made made;
	bool parsed = false, done, blocked = true;
	*ret_created = false;
	f->q->lock = f->update ? QUERY_LOCK_UPDATE : QUERY_LOCK_NONE;
	/* with triggers, a conflict that is passed over must not be taken for their work */
	bool has_key = has_conflict_key(f) && !f->others;
	/* The row that won may conflict by another key than that of `where`: any conflict means to look again. */
	o = (struct insert_options){.conflict = has_key ? RECORD_IGNORE_ANY : RECORD_INSERT,
				    .override_identity = insert_overrides(&f->c)};
	if (!has_key && !lock_search(f, err))
		return false;
	for (int i = 0; i < ATTEMPTS; i++) {
		if (!find(f, true, ret, err))
			return false;
		if (*ret != NULL) {
			if (!change(f, ret, &done, err))
				return false;
			if (done)
				return true;
		}
		if (!parsed && !new_record(f, &row, err))
			return false;
		parsed = true;
		made = (struct record_made){.triggers = f->triggers};
		if (!record_insert(&f->c, f->m, &row, &o, &made, err))
			return false;
		*ret = made.row;
		if (made.row != NULL) {
			*ret_created = true;
			return true;
		}
		if (made.unknown || made.taken || o.conflict == RECORD_INSERT) {
			if (!find(f, true, ret, err))
				return false;
			*ret_created = made.unknown && *ret != NULL;
			if (!*ret_created)
				context_swallowed(&f->c);
			return true;
		}
		if (!has_key)
			break;
		if (f->triggers && !in_the_way(f, &row, &blocked, err))
			return false;
		if (!blocked) {
			context_swallowed(&f->c);
			return find(f, true, ret, err);
		}
		if (i > 0) /* it conflicts with a row that `where` does not find: that is an error to show */
			o.conflict = RECORD_INSERT;
	}
	return err_set(err, ERR_SERIALIZATION_FAILURE,
		       "another writer kept changing the record; send the request again");
}

static void answer(struct find *f, const struct value *row, bool created)
{
	struct context *c = &f->c;
	struct arena *a = &c->req->arena;
	if (row == NULL) {
		strbuf_puts(response_json(c->res, 200), "{\"record\":null,\"created\":false}");
		return;
	}
	struct value_format fmt = context_format(c->res);
	struct strbuf *b = response_json(c->res, created ? 201 : 200);
	strbuf_puts(b, "{\"record\":");
	out_record(b, f->m, row, &fmt);
	out_bool(b, "created", created);
	strbuf_putc(b, '}');
	if (f->m->n_pk == 0)
		return;
	header_set(c->res, "ETag", record_etag(a, f->m, row));
	if (created)
		record_located(c, f->m, row);
}

static bool work(struct find *f, struct err *err)
{
	const struct value *row = NULL;
	bool created = false;
	if (!context_path_model(&f->c, false, &f->m, err) || !build_query(f, err) || !check_defaults(f, err))
		return false;
	/* the common case writes nothing and waits for no writer; a kept answer comes before what is there */
	if (!f->update && (f->c.req->prefer.given & PREFER_TX_ROLLBACK) == 0 && !context_is_once(&f->c)) {
		context_read(&f->c);
		if (!find(f, false, &row, err) || !context_commit(&f->c, err)) {
			err->outcome = ERR_OUTCOME_NOT_STARTED; /* a write was asked for */
			return false;
		}
	}
	if (row == NULL && (!context_triggers(&f->c, f->m, &f->triggers, err) || !find_others(f, err) ||
			    !record_write_unit(&f->c, true, err) || !find_or_make(f, &row, &created, err) ||
			    !context_commit(&f->c, err)))
		return false;
	answer(f, row, created);
	return true;
}

static bool get_or(struct request *req, struct response *res, bool update, struct err *err)
{
	struct find *f = arena_alloc(&req->arena, sizeof(*f));
	struct context_spec spec = {.args = context_no_args};
	f->update = update;
	if (!read_body(req, f, &spec.using, err) || !context_open(&f->c, req, res, &spec, err))
		return false;
	return context_close(&f->c, work(f, err), err);
}

bool handle_get_or_create(struct request *req, struct response *res, struct err *err)
{
	return get_or(req, res, false, err);
}

bool handle_update_or_create(struct request *req, struct response *res, struct err *err)
{
	return get_or(req, res, true, err);
}
