/* One record by its key: replace (PUT), change (PATCH), delete, refresh; guarded by If-Match when the client sends it.
 */
#include "handlers/handlers.h"
#include "handlers/records/records.h"
#include "handlers/answer/rows.h"
#include "handlers/answer/values.h"
#include "handlers/unit/mapped.h"
#include "handlers/unit/reads.h"

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

/* Reads the row under a lock and holds If-Match and If-None-Match against it. */
static bool check_guard(struct record_request *r, struct err *err)
{
	struct str want = request_header_list(r->c->req, "If-Match");
	struct str not_want = request_header_list(r->c->req, "If-None-Match");
	struct value *row;
	if (!context_record(r->c, r->m, r->key, QUERY_LOCK_UPDATE, &row, err))
		return false;
	struct str etag = row != NULL ? record_etag(&r->c->req->arena, r->m, row) : STR_NONE;
	if (want.p != NULL && (row == NULL || !etag_listed(want, etag, false)))
		return failed_guard(
			r, row != NULL ? "the record has changed since; read it again" : "there is no such record",
			err);
	if (not_want.p != NULL && row != NULL && etag_listed(not_want, etag, true))
		return failed_guard(r, "the record exists", err);
	return true;
}

/* The record as it is, whatever the session has of it; *ret NULL: there is no such record. */
static bool read_row(struct record_request *r, const struct value **ret, struct err *err)
{
	struct imap_read read;
	imap_read_begin(&read, r->c->imap, r->m, IMAP_REFRESH);
	return mapped_load(r->c, &read, r->key, r->map_key, ret, err);
}

/* UPDATE of the record's given columns (the key's too when `with_key`); *ret NULL: there is no such record. */
static bool update_row(struct record_request *r, const struct record_row *row, bool with_key, const struct value **ret,
		       struct err *err)
{
	struct arena *a = &r->c->req->arena;
	const struct dialect *d = r->c->route.conn->dialect;
	struct query_set *set = arena_array(a, r->m->n_columns + 1, sizeof(*set));
	enum mapped_what what = MAPPED_ROWS;
	size_t n = 0;
	for (size_t i = 0; i < r->m->n_columns; i++) {
		const struct column *col = &r->m->columns[i];
		if (!row->given[i] || (!with_key && col->primary_key))
			continue;
		set[n++] = (struct query_set){.column = col, .value = row->values[i]};
		if (what == MAPPED_ROWS)
			what = mapped_column(r->c, r->m, col);
	}
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
	if (!context_run(r->c, &stmt, &sink, NULL, err))
		return false;
	*ret = keep.row;
	if (keep.row != NULL)
		mapped_wrote(r->c, r->m, keep.row);
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

static bool patch(struct record_request *r, const json_t *doc, struct err *err)
{
	struct record_row row;
	const struct value *now = NULL;
	bool guard = guarded(r->c->req);
	if (!record_from_json(&r->c->req->arena, r->c->route.conn->dialect, r->m, doc, "", true, &row, err) ||
	    !record_write_unit(r->c, guard, err) || (guard && !check_guard(r, err)) ||
	    !update_row(r, &row, true, &now, err) || !context_commit(r->c, err))
		return false;
	if (now == NULL)
		return record_missing(r->m, err);
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

/* If-None-Match: * lets nothing but an insert through. */
static bool only_new(struct request *req)
{
	struct str header = request_header_list(req, "If-None-Match");
	return header.p != NULL && str_eq_z(str_trim(header), "*");
}

/* One round: the record as it was replaced or made, *ret_status says which; *ret NULL: another has made it after it was
 * not there to be replaced. */
static bool save_once(struct record_request *r, const struct record_row *row, const struct value **ret, int *ret_status,
		      struct err *err)
{
	const struct insert_options o = {.conflict = RECORD_IGNORE};
	bool fresh = only_new(r->c->req);
	struct value *made;
	*ret = NULL;
	*ret_status = 200;
	if ((guarded(r->c->req) && !check_guard(r, err)) || (!fresh && !update_row(r, row, false, ret, err)))
		return false;
	if (*ret != NULL)
		return true;
	*ret_status = 201;
	if (!record_insert(r->c, r->m, row, &o, &made, err))
		return false;
	*ret = made;
	return made != NULL || !fresh || failed_guard(r, "the record exists", err);
}

bool record_save(struct record_request *r, json_t *doc, const struct value **ret, int *ret_status, struct err *err)
{
	struct record_row row;
	const struct value *now = NULL;
	if (!place_key(r, doc, err) ||
	    !record_from_json(&r->c->req->arena, r->c->route.conn->dialect, r->m, doc, "", false, &row, err))
		return false;
	record_row_replace(&r->c->req->arena, r->m, &row);
	for (int i = 0; now == NULL && i < ATTEMPTS; i++) {
		if (!save_once(r, &row, &now, ret_status, err))
			return false;
	}
	if (now == NULL)
		return err_set(err, ERR_SERIALIZATION_FAILURE,
			       "other writers kept making and deleting the record; send the request again");
	*ret = now;
	return true;
}

static bool put(struct record_request *r, json_t *doc, struct err *err)
{
	const struct value *now;
	int status;
	/* Update and insert are one step to everybody else. */
	if (!record_write_unit(r->c, true, err) || !record_save(r, doc, &now, &status, err) ||
	    !context_commit(r->c, err))
		return false;
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
	    !query_lower_delete(a, q, false, &stmt, &shape, err))
		return false;
	mapped_write_all(r->c, r->m, MAPPED_DELETED);
	if (!context_run(r->c, &stmt, NULL, &result, err) || !context_commit(r->c, err))
		return false;
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
