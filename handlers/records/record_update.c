/* One record by its key: replace (PUT), change (PATCH), delete, refresh; guarded by If-Match when the client sends it.
 */
#include "handlers/handlers.h"
#include "handlers/records/records.h"
#include "handlers/answer/rows.h"
#include "handlers/answer/values.h"
#include "handlers/unit/mapped.h"
#include "handlers/unit/reads.h"

#include "service/base/banned.h"

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

/* Reads the row under a lock and holds If-Match and If-None-Match against it. */
static bool check_guard(struct record_request *r, struct err *err)
{
	struct str want = request_header(r->c->req, "If-Match");
	struct str not_want = request_header(r->c->req, "If-None-Match");
	struct value *row;
	if (!context_record(r->c, r->m, r->key, QUERY_LOCK_UPDATE, &row, err))
		return false;
	struct str etag = row != NULL ? record_etag(&r->c->req->arena, r->m, row) : STR_NONE;
	if (want.p != NULL && (row == NULL || !etag_listed(want, etag, false)))
		return err_set(err, ERR_PRECONDITION_FAILED, "%s",
			       row != NULL ? "the record has changed since; read it again" : "there is no such record");
	if (not_want.p != NULL && row != NULL && etag_listed(not_want, etag, true))
		return err_set(err, ERR_PRECONDITION_FAILED, "the record exists");
	return true;
}

/* UPDATE of the record's given columns (the key's too when `with_key`); *ret NULL: there is no such record. */
static bool update_row(struct record_request *r, const struct record_row *row, bool with_key, struct value **ret,
		       struct err *err)
{
	struct arena *a = &r->c->req->arena;
	const struct dialect *d = r->c->route.conn->dialect;
	struct query_set *set = arena_array(a, r->m->n_columns + 1, sizeof(*set));
	size_t n = 0;
	for (size_t i = 0; i < r->m->n_columns; i++) {
		const struct column *col = &r->m->columns[i];
		if (row->given[i] && (with_key || !col->primary_key))
			set[n++] = (struct query_set){.column = col, .value = row->values[i]};
	}
	if (n == 0)
		return context_record(r->c, r->m, r->key, QUERY_LOCK_NONE, ret, err);
	struct stmt stmt;
	struct result_shape shape;
	struct row_keep keep = {.arena = a, .dialect = d, .shape = &shape};
	struct row_sink sink = row_keep_sink(&keep);
	struct query *q = query_by_pk(a, r->c->schema, d, r->m, r->key);
	if (!query_lower_update(a, q, set, n, true, &stmt, &shape, err) || !context_run(r->c, &stmt, &sink, NULL, err))
		return false;
	*ret = keep.row;
	return true;
}

/* The written row takes its place in the session's map. */
static void remember(struct record_request *r, const struct value *row)
{
	if (r->c->imap == NULL || r->c->undo)
		return;
	struct str key = record_key(&r->c->req->arena, r->m, row);
	if (!str_eq(key, r->map_key))
		(void)imap_evict(r->c->imap, r->m->name, r->map_key);
	imap_put(r->c->imap, r->m, key, row);
}

static bool read_object(struct request *req, json_t **ret, struct err *err)
{
	if (!request_json(req, false, ret, err))
		return false;
	if (!json_is_object(*ret))
		return err_set_at(err, ERR_INVALID_REQUEST, "", "expected an object, not %s", json_type_name(*ret));
	return true;
}

static bool patch(struct record_request *r, const json_t *doc, struct err *err)
{
	struct record_row row;
	struct value *now = NULL;
	bool guard = guarded(r->c->req);
	if (!record_from_json(&r->c->req->arena, r->c->route.conn->dialect, r->m, doc, "", true, &row, err) ||
	    !record_write_unit(r->c, guard, err) || (guard && !check_guard(r, err)) ||
	    !update_row(r, &row, true, &now, err) || !context_commit(r->c, err))
		return false;
	if (now == NULL) {
		if (r->c->imap != NULL && !r->c->undo)
			(void)imap_evict(r->c->imap, r->m->name, r->map_key);
		return record_missing(r->m, err);
	}
	remember(r, now);
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
			if (!codec_bind(a, r->c->route.conn->dialect, col, stated, pointer, &v, err))
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

static bool insert_row(struct record_request *r, const struct record_row *row, struct value **ret, struct err *err)
{
	bool must_be_new = request_header(r->c->req, "If-None-Match").p != NULL;
	struct insert_options o = {.conflict = must_be_new ? RECORD_IGNORE : RECORD_UPDATE};
	if (!record_insert(r->c, r->m, row, &o, ret, err))
		return false;
	if (*ret == NULL && must_be_new)
		return err_set(err, ERR_PRECONDITION_FAILED, "the record exists");
	/* Nothing but keys: the conflict left the row alone. */
	return *ret != NULL || context_record(r->c, r->m, r->key, QUERY_LOCK_NONE, ret, err);
}

bool record_save(struct record_request *r, json_t *doc, struct value **ret, int *ret_status, struct err *err)
{
	struct record_row row;
	struct value *now = NULL;
	bool guard = guarded(r->c->req);
	*ret_status = 200;
	if (!place_key(r, doc, err) ||
	    !record_from_json(&r->c->req->arena, r->c->route.conn->dialect, r->m, doc, "", false, &row, err))
		return false;
	record_row_replace(&r->c->req->arena, r->m, &row);
	if ((guard && !check_guard(r, err)) || !update_row(r, &row, false, &now, err))
		return false;
	if (now == NULL) {
		*ret_status = 201;
		if (!insert_row(r, &row, &now, err))
			return false;
	}
	*ret = now;
	return now != NULL || record_missing(r->m, err);
}

static bool put(struct record_request *r, json_t *doc, struct err *err)
{
	struct value *now;
	int status;
	/* Update and insert are one step to everybody else. */
	if (!record_write_unit(r->c, true, err) || !record_save(r, doc, &now, &status, err) ||
	    !context_commit(r->c, err))
		return false;
	remember(r, now);
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

static bool delete_record(struct record_request *r, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	struct exec_result result;
	struct arena *a = &r->c->req->arena;
	bool guard = guarded(r->c->req);
	struct query *q = query_by_pk(a, r->c->schema, r->c->route.conn->dialect, r->m, r->key);
	if (!record_write_unit(r->c, guard, err) || (guard && !check_guard(r, err)) ||
	    !query_lower_delete(a, q, false, &stmt, &shape, err) || !context_run(r->c, &stmt, NULL, &result, err) ||
	    !context_commit(r->c, err))
		return false;
	context_forget(r->c, r->m, true);
	return result.affected > 0 || record_missing(r->m, err);
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
	struct value *row;
	if (r->c->imap != NULL)
		(void)imap_evict(r->c->imap, r->m->name, r->map_key);
	context_read(r->c);
	if (!context_record(r->c, r->m, r->key, QUERY_LOCK_NONE, &row, err) || !context_commit(r->c, err))
		return false;
	if (row == NULL)
		return record_missing(r->m, err);
	if (r->c->imap != NULL)
		imap_put(r->c->imap, r->m, r->map_key, row);
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
