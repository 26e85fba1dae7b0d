/* One record by its key: read from the session's map or the database. */
#include "handlers/records/records.h"

#include "handlers/handlers.h"
#include "handlers/unit/mapped.h"
#include "handlers/unit/path_key.h"
#include "handlers/unit/reads.h"

#include "service/base/banned.h"

bool record_missing(const struct model *m, struct err *err)
{
	return err_set(err, ERR_RECORD_NOT_FOUND, "no record of \"%.*s\" has that key", STR_FMT(m->name));
}

bool record_open_args(struct record_request *r, struct request *req, struct response *res, const char *const *args,
		      struct err *err)
{
	struct context_spec spec = {.args = args};
	memset(r, 0, sizeof(*r));
	r->c = arena_alloc(&req->arena, sizeof(*r->c));
	if (!context_open(r->c, req, res, &spec, err))
		return false;
	if (context_path_model(r->c, true, &r->m, err) &&
	    path_key(req, r->c->route.conn->dialect, r->m, 1, &r->key, err)) {
		r->map_key = query_identity_key(&req->arena, r->m, r->key);
		return true;
	}
	return context_close(r->c, false, err);
}

bool record_open(struct record_request *r, struct request *req, struct response *res, struct err *err)
{
	return record_open_args(r, req, res, context_no_args, err);
}

void record_located(struct context *c, const struct model *m, const struct value *row)
{
	struct str location = record_location(&c->req->arena, m, row);
	if (location.p != NULL)
		header_set(c->res, "Location", location);
}

void record_answer(struct context *c, const struct model *m, const struct value *row, int status)
{
	struct arena *a = &c->req->arena;
	struct value_format fmt = context_format(c->res);
	if (status == 201 && m->n_pk > 0)
		record_located(c, m, row);
	if (prefers(c->res, PREFER_RETURN_MINIMAL)) {
		if (m->n_pk > 0)
			header_set(c->res, "ETag", record_etag(a, m, row));
		c->res->status = status == 200 ? 204 : status;
		return;
	}
	(void)prefers(c->res, PREFER_RETURN_REPRESENTATION);
	struct strbuf *out = response_json(c->res, status);
	if (m->n_pk > 0)
		header_set(c->res, "ETag", out_record_etag(out, a, m, row, &fmt));
	else
		out_record(out, m, row, &fmt);
}

/* The record as this session sees it; *ret_identity says where it came from. */
static bool read_record(struct record_request *r, const struct value **ret, const char **ret_identity, struct err *err)
{
	struct context *c = r->c;
	struct imap_read read;
	*ret = mapped_look(c, r->m, r->map_key, &read);
	*ret_identity = *ret != NULL ? "hit" : mapped_origin(c);
	if (*ret != NULL)
		return true;
	context_read(c);
	if (!mapped_load(c, &read, r->key, r->map_key, ret, err) || !context_commit(c, err))
		return false;
	return *ret != NULL || record_missing(r->m, err);
}

bool handle_record_get(struct request *req, struct response *res, struct err *err)
{
	struct record_request r;
	const struct value *row;
	const char *identity;
	if (!record_open(&r, req, res, err))
		return false;
	if (!context_close(r.c, read_record(&r, &row, &identity, err), err))
		return false;
	header_set(res, "Ferro-Identity", str_z(identity));
	struct value_format fmt = context_format(res);
	struct str etag = out_record_etag(response_json(res, 200), &req->arena, r.m, row, &fmt);
	header_set(res, "ETag", etag);
	struct str known = request_header_list(req, "If-None-Match");
	if (known.p != NULL && etag_listed(known, etag, true)) {
		strbuf_reset(&res->body);
		res->status = 304;
	}
	return true;
}
