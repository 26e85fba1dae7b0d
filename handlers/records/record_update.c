/* One record by its key: replace (PUT), change (PATCH), delete, refresh; guarded by If-Match when the client sends it.
 */
#include "handlers/handlers.h"
#include "handlers/records/records.h"
#include "handlers/answer/rows.h"
#include "handlers/answer/values.h"
#include "handlers/records/record_insert.h"
#include "handlers/unit/mapped.h"
#include "handlers/unit/reads.h"
#include "handlers/unit/triggers.h"

#include "service/base/banned.h"

#define ATTEMPTS 5 /* of a PUT whose record comes and goes between update and insert */

/* The unit writes: on SQLite the writer's turn comes first, so that what a guard has read stays true until the write.
 */
bool record_write_unit(struct context *c, bool guarded, struct err *err)
{
	struct driver_conn *dc;
	context_write(c, guarded);
	return !guarded || exec_conn(&c->exec, LEASE_WRITE, &dc, err);
}

static bool guarded(const struct request *req)
{
	return request_header(req, "If-Match").p != NULL || request_header(req, "If-None-Match").p != NULL;
}

/* ERR_PRECONDITION_FAILED; returns false. The client will read the record again: not what the session had of it. */
static bool failed_guard(struct record_request *r, const char *detail, struct err *err)
{
	mapped_outdated(r->c, r->m, r->map_key);
	return err_set(err, ERR_PRECONDITION_FAILED, "%s", detail);
}

static bool check_guard(struct record_request *r, const struct value *row, struct err *err)
{
	struct str want = request_header_list(r->c->req, "If-Match");
	struct str not_want = request_header_list(r->c->req, "If-None-Match");
	struct str etag = row != NULL ? record_etag(&r->c->req->arena, r->m, row) : STR_NONE;
	if (want.p != NULL && (row == NULL || !etag_listed(want, etag, false)))
		return failed_guard(
			r, row != NULL ? "the record has changed since; read it again" : "there is no such record",
			err);
	if (not_want.p != NULL && row != NULL && etag_listed(not_want, etag, true))
		return failed_guard(r, "the record exists", err);
	return true;
}

/* Bytes in a column of something else were a blob or a text that is not UTF-8, and "Infinity" may have been a number;
 * what they are they stay. */
static bool either_class(const struct record_request *r, const struct record_row *row, size_t i)
{
	const struct value v = row->values[i];
	return row->given[i] && r->c->route.conn->dialect->id == DIALECT_SQLITE && v.kind == VALUE_TEXT &&
	       (!str_is_utf8(v.u.s) || str_eq_z(v.u.s, "Infinity") || str_eq_z(v.u.s, "-Infinity"));
}

/* Does the body state what is only read, what only that row can hold, or the count of writes that it knows? */
static bool states(const struct record_request *r, const struct record_row *row)
{
	for (size_t i = 0; i < r->m->n_columns; i++) {
		if (row->sent[i] && (!row->given[i] || r->m->columns[i].fill.lock_version || either_class(r, row, i)))
			return true;
	}
	return false;
}

/* ERR_INVALID_VALUE of what is neither of the column's type nor what is there; returns false. */
static bool stated_wrongly(const struct record_request *r, const struct column *col, struct value v, struct err *err)
{
	struct arena *a = &r->c->req->arena;
	const char *pointer = json_pointer_key(a, "", col->name);
	json_t *j = value_to_json(a, v);
	struct value ignored;
	bool fits = column_only_read(col) || codec_bind(a, r->c->route.conn->dialect, col, j, pointer, &ignored, err);
	json_decref(j);
	return fits && err_set_at(err, ERR_INVALID_VALUE, pointer,
				  "\"%.*s\" is only read: the database gives it its value", STR_FMT(col->name));
}

/* What the body states of those columns is what is there. */
static bool check_stated(struct record_request *r, const struct record_row *row, const struct value *before,
			 struct err *err)
{
	struct arena *a = &r->c->req->arena;
	for (size_t i = 0; i < r->m->n_columns; i++) {
		const struct column *col = &r->m->columns[i];
		const bool either = either_class(r, row, i);
		struct value now;
		if (!row->sent[i] || (row->given[i] && !col->fill.lock_version && !either) ||
		    (before == NULL && row->given[i]))
			continue;
		if (before != NULL && !value_rebind(a, r->c->route.conn->dialect, col, before[i], &now, err))
			return false;
		if (before != NULL && value_equal(now, row->values[i])) {
			row->given[i] = row->given[i] && !either;
			continue;
		}
		if (either)
			continue;
		if (col->fill.lock_version)
			return failed_guard(r, "the record has been written since the lock version that was sent", err);
		return stated_wrongly(r, col, row->values[i], err);
	}
	return true;
}

/* Reads the row under a lock and holds what the request says of it against it; *ret NULL: there is none. */
static bool look_before(struct record_request *r, const struct record_row *row, struct value **ret, struct err *err)
{
	return context_record(r->c, r->m, r->key, QUERY_LOCK_UPDATE, ret, err) &&
	       (!guarded(r->c->req) || check_guard(r, *ret, err)) && (row == NULL || check_stated(r, row, *ret, err));
}

/* The record as it is, whatever the session has of it; *ret NULL: there is no such record. */
static bool read_row(struct record_request *r, const struct value **ret, struct err *err)
{
	struct imap_read read;
	imap_read_begin(&read, mapped_map(r->c, r->m), r->m, IMAP_REFRESH);
	return mapped_load(r->c, &read, r->key, r->map_key, ret, err);
}

/* Defaults by the model's columns. */
struct defaults {
	struct arena *arena;
	const struct model *m;
	struct str *of;
};

static bool take_default(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct defaults *d = arg;
	(void)ret_stop;
	(void)err;
	const struct column *col = n == 2 && values[0].kind == VALUE_TEXT ? model_column(d->m, values[0].u.s) : NULL;
	if (col != NULL && values[1].kind == VALUE_TEXT)
		d->of[col->index] = arena_str(d->arena, values[1].u.s);
	return true;
}

/* What the database would give to columns that a PUT leaves out, where only it knows; *ret NULL: that is not so. */
static bool ask_defaults(struct record_request *r, const struct record_row *row, unsigned how, const struct str **ret,
			 struct err *err)
{
	struct arena *a = &r->c->req->arena;
	struct defaults d = {.arena = a, .m = r->m};
	struct row_sink sink = {.row = take_default, .arg = &d};
	struct stmt stmt;
	*ret = NULL;
	if ((how & RECORD_REPLACE) == 0 || !record_asks_defaults(r->c->route.conn->dialect, r->m, row))
		return true;
	d.of = arena_array(a, r->m->n_columns, sizeof(*d.of));
	*ret = d.of;
	return record_lower_defaults(a, r->m, &stmt, err) && context_run(r->c, &stmt, &sink, NULL, err);
}

/* UPDATE of the record; *ret NULL: there is no such record, or a trigger has kept it from being changed, or
 * (r->swallowed) has taken away what was changed. */
static bool update_row(struct record_request *r, const struct record_row *row, unsigned how, const struct value **ret,
		       struct err *err)
{
	struct arena *a = &r->c->req->arena;
	const struct dialect *d = r->c->route.conn->dialect;
	struct query_set *set;
	enum mapped_what what = MAPPED_ROWS;
	const struct str *defaults;
	size_t n;
	if (!ask_defaults(r, row, how, &defaults, err))
		return false;
	record_update_set(a, d, r->m, row, how, defaults, &set, &n);
	for (size_t i = 0; i < n && what == MAPPED_ROWS; i++)
		what = mapped_column(r->c, r->m, set[i].column);
	if (n == 0)
		return read_row(r, ret, err);
	struct stmt stmt;
	struct result_shape shape;
	struct row_keep keep = {.arena = a, .dialect = d, .shape = &shape};
	struct row_sink sink = row_keep_sink(&keep);
	struct query *q = query_by_pk(a, r->c->schema, d, r->m, r->key);
	if (!query_lower_update(a, q, set, n, true, &stmt, &shape, err))
		return false;
	if (what == MAPPED_ROWS)
		mapped_write(r->c, r->m, r->map_key);
	else
		mapped_write_all(r->c, r->m, what);
	context_unleash(r->c, r->triggers);
	if (!context_run(r->c, &stmt, &sink, NULL, err))
		return false;
	const bool changed = keep.row != NULL;
	if (!context_settle(r->c, r->m, r->triggers, r->key, &keep.row, err))
		return false;
	*ret = keep.row;
	r->swallowed = changed && keep.row == NULL;
	if (keep.row != NULL)
		mapped_wrote(r->c, r->m, keep.row);
	return true;
}

/* The same, and what is there if nothing was changed: a trigger has left it so. */
static bool update_there(struct record_request *r, const struct record_row *row, unsigned how, const struct value **ret,
			 struct err *err)
{
	if (!update_row(r, row, how, ret, err))
		return false;
	if (*ret != NULL || r->swallowed)
		return true;
	if (!read_row(r, ret, err))
		return false;
	r->swallowed = *ret != NULL;
	return true;
}

static bool read_object(struct request *req, json_t **ret, struct err *err)
{
	if (!request_json(req, false, ret, err))
		return false;
	if (!json_is_object(*ret))
		return err_set_at(err, ERR_INVALID_REQUEST, "", "expected an object, not %s", json_type_name(*ret));
	return true;
}

/* The unit that a change runs in: one whole where the row is looked at before or again after. */
static bool open_unit(struct record_request *r, bool look, struct err *err)
{
	return context_triggers(r->c, r->m, &r->triggers, err) && record_write_unit(r->c, look || r->triggers, err);
}

static bool patch(struct record_request *r, const json_t *doc, struct err *err)
{
	struct record_row row;
	const struct value *now = NULL;
	struct value *before;
	if (!record_from_json(&r->c->req->arena, r->c->route.conn->dialect, r->m, doc, "",
			      RECORD_PARTIAL | RECORD_STATED, &row, err))
		return false;
	bool look = guarded(r->c->req) || states(r, &row);
	if (!open_unit(r, look, err) || (look && !look_before(r, &row, &before, err)))
		return false;
	/* that no row was changed is said of what is there, too, when a trigger that nobody knew of yet takes the
	 * change */
	if (!update_there(r, &row, RECORD_PARTIAL, &now, err) || !context_commit(r->c, err))
		return false;
	if (now == NULL && !r->swallowed)
		return record_missing(r->m, err);
	if (r->swallowed)
		context_swallowed(r->c);
	if (now == NULL)
		r->c->res->status = 204;
	else
		record_answer(r->c, r->m, now, 200);
	return true;
}

bool handle_record_patch(struct request *req, struct response *res, struct err *err)
{
	struct record_request r;
	json_t *doc;
	if (!read_object(req, &doc, err) || !record_open(&r, req, res, err))
		return false;
	return context_close(r.c, patch(&r, doc, err), err);
}

/* Puts the path's key into the document; one that the body states must be the same. */
static bool place_key(struct record_request *r, json_t *doc, struct err *err)
{
	struct arena *a = &r->c->req->arena;
	for (size_t i = 0; i < r->m->n_pk; i++) {
		const struct column *col = r->m->pk[i];
		const char *name = arena_strz(a, col->name);
		const char *pointer = json_pointer_key(a, "", col->name);
		const json_t *stated = json_object_get(doc, name);
		struct value v;
		if (stated != NULL && !json_is_null(stated)) {
			if (!codec_bind_stored(a, r->c->route.conn->dialect, col, stated, pointer, &v, err))
				return false;
			if (!value_equal(v, r->key[i]))
				return err_set_at(err, ERR_INVALID_VALUE, pointer,
						  "the key in the body is not that of the path");
			continue;
		}
		if (json_object_set_new(doc, name, value_to_json(a, r->key[i])) != 0)
			return err_oom(err);
	}
	return true;
}

/* If-None-Match: * lets nothing but an insert through. */
static bool only_new(struct request *req)
{
	struct str header = request_header_list(req, "If-None-Match");
	return header.p != NULL && str_eq_z(str_trim(header), "*");
}

/* Makes the record of a PUT; *ret NULL: another has made it, or (r->swallowed) a trigger took it. */
static bool insert_row(struct record_request *r, const struct record_row *row, const struct value **ret,
		       struct err *err)
{
	const struct insert_options o = {.conflict = RECORD_IGNORE, .override_identity = insert_overrides(r->c)};
	struct record_made made = {.triggers = r->triggers};
	if (!o.override_identity && !record_no_identity(&r->c->req->arena, r->m, row, "", err))
		return false;
	if (!record_insert(r->c, r->m, row, &o, &made, err))
		return false;
	*ret = made.row;
	if (made.row != NULL)
		return true;
	if (!read_row(r, ret, err))
		return false;
	r->swallowed = *ret == NULL && (r->triggers || only_new(r->c->req));
	if (*ret != NULL && only_new(r->c->req))
		return failed_guard(r, "the record exists", err);
	*ret = NULL;
	return true;
}

/* One round: the record as it was replaced or made, *ret_status says which; *ret NULL: another has made it after it was
 * not there to be replaced, or a trigger took it. `look`: whether it is there is looked at first. */
static bool save_once(struct record_request *r, const struct record_row *row, bool look, const struct value **ret,
		      int *ret_status, struct err *err)
{
	struct value *before = NULL;
	*ret = NULL;
	*ret_status = 200;
	if (look && !look_before(r, row, &before, err))
		return false;
	if (before != NULL)
		return update_there(r, row, RECORD_REPLACE, ret, err);
	if (!look && !update_row(r, row, RECORD_REPLACE, ret, err))
		return false;
	if (*ret != NULL)
		return true;
	*ret_status = 201;
	return insert_row(r, row, ret, err);
}

bool record_save(struct record_request *r, json_t *doc, const struct value **ret, int *ret_status, struct err *err)
{
	struct record_row row;
	const struct value *now = NULL;
	unsigned how = RECORD_REPLACE | (insert_overrides(r->c) ? RECORD_OVERRIDE : 0);
	if (!place_key(r, doc, err) ||
	    !record_from_json(&r->c->req->arena, r->c->route.conn->dialect, r->m, doc, "", how, &row, err))
		return false;
	bool look = guarded(r->c->req) || states(r, &row) || r->triggers;
	for (int i = 0; now == NULL && !r->swallowed && i < ATTEMPTS; i++) {
		if (!save_once(r, &row, look || i > 0, &now, ret_status, err))
			return false;
	}
	if (now == NULL && !r->swallowed)
		return err_set(err, ERR_SERIALIZATION_FAILURE,
			       "other writers kept making and deleting the record; send the request again");
	*ret = now;
	if (now == NULL)
		*ret_status = 204;
	return true;
}

static bool put(struct record_request *r, json_t *doc, struct err *err)
{
	const struct value *now;
	int status;
	/* Update and insert are one step to everybody else. */
	if (!open_unit(r, true, err) || !record_save(r, doc, &now, &status, err) || !context_commit(r->c, err))
		return false;
	if (r->swallowed)
		context_swallowed(r->c);
	if (now == NULL)
		r->c->res->status = 204;
	else
		record_answer(r->c, r->m, now, status);
	return true;
}

bool handle_record_put(struct request *req, struct response *res, struct err *err)
{
	struct record_request r;
	json_t *doc;
	if (!read_object(req, &doc, err) || !record_open(&r, req, res, err))
		return false;
	return context_close(r.c, put(&r, doc, err), err);
}

/* *ret_gone false: a trigger has kept it, or what it made of it is there under its key. *ret_any: one was deleted. */
static bool delete_row(struct record_request *r, const struct stmt *stmt, bool *ret_gone, bool *ret_any,
		       struct err *err)
{
	struct exec_result result;
	const struct value *row;
	*ret_gone = true;
	mapped_write_all(r->c, r->m, MAPPED_DELETED);
	context_unleash(r->c, r->triggers);
	if (!context_run(r->c, stmt, NULL, &result, err))
		return false;
	*ret_any = result.affected > 0;
	context_unleashed(r->c, r->triggers);
	if (*ret_any)
		return true;
	if (!read_row(r, &row, err))
		return false;
	*ret_gone = row == NULL;
	return true;
}

static bool delete_record(struct record_request *r, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	struct arena *a = &r->c->req->arena;
	struct value *before = NULL;
	bool gone, any;
	struct query *q = query_by_pk(a, r->c->schema, r->c->route.conn->dialect, r->m, r->key);
	if (!open_unit(r, guarded(r->c->req), err))
		return false;
	bool look = guarded(r->c->req) || r->triggers;
	if ((look && !look_before(r, NULL, &before, err)) || !query_lower_delete(a, q, false, &stmt, &shape, err) ||
	    !delete_row(r, &stmt, &gone, &any, err) || !context_commit(r->c, err))
		return false;
	if (!gone)
		context_swallowed(r->c);
	return before != NULL || any || !gone || record_missing(r->m, err);
}

bool handle_record_delete(struct request *req, struct response *res, struct err *err)
{
	struct record_request r;
	if (!record_open(&r, req, res, err) || !context_close(r.c, delete_record(&r, err), err))
		return false;
	res->status = 204;
	return true;
}

static bool refresh(struct record_request *r, struct err *err)
{
	const struct value *row;
	context_read(r->c);
	if (!read_row(r, &row, err) || !context_commit(r->c, err))
		return false;
	if (row == NULL)
		return record_missing(r->m, err);
	header_set(r->c->res, "Ferro-Identity", r->c->imap != NULL ? STR("refresh") : STR("off"));
	record_answer(r->c, r->m, row, 200);
	return true;
}

bool handle_record_refresh(struct request *req, struct response *res, struct err *err)
{
	struct record_request r;
	if (!request_no_members(req, err) || !record_open(&r, req, res, err))
		return false;
	return context_close(r.c, refresh(&r, err), err);
}
