/* Creating records: one from an object, or many from a bulk body. */
#include "handlers/records/bulk.h"
#include "handlers/handlers.h"
#include "handlers/records/records.h"
#include "handlers/answer/rows.h"
#include "handlers/unit/mapped.h"
#include "handlers/unit/reads.h"

#include "service/base/banned.h"

/* The record that stood in the way of an ignored insert. */
static bool read_blocking(struct context *c, const struct model *m, const struct record_row *row,
			  const struct insert_options *o, struct value **ret, struct err *err)
{
	struct arena *a = &c->req->arena;
	const struct column *const *columns = o->columns != NULL ? o->columns : m->pk;
	size_t n = o->columns != NULL ? o->n_columns : m->n_pk;
	struct query *q = arena_alloc(a, sizeof(*q));
	struct query_node *leaves = arena_array(a, n, sizeof(*leaves));
	const struct query_node **where = arena_array(a, n, sizeof(const struct query_node *));
	for (size_t i = 0; i < n; i++) {
		leaves[i] = (struct query_node){.kind = NODE_LEAF,
						.op = OP_EQ,
						.column = columns[i],
						.values = &row->values[columns[i]->index],
						.n_values = 1};
		where[i] = &leaves[i];
	}
	*q = (struct query){.dialect = c->route.conn->dialect,
			    .schema = c->schema,
			    .model = m,
			    .where = where,
			    .n_where = n,
			    .has_limit = true,
			    .limit = 1};
	struct result_shape shape;
	struct imap_read read;
	imap_read_begin(&read, m->n_pk > 0 ? c->imap : NULL, m, IMAP_REFRESH);
	if (!context_first(c, q, &shape, ret, err))
		return false;
	if (*ret != NULL)
		(void)mapped_row(&read, a, *ret);
	return true;
}

static bool create_one(struct context *c, const struct model *m, const json_t *doc, struct err *err)
{
	struct arena *a = &c->req->arena;
	struct record_row row;
	struct insert_options o;
	struct value *made = NULL;
	int status = 201;
	if (!insert_options_read(c, m, &o, err) ||
	    !record_from_json(a, c->route.conn->dialect, m, doc, "", false, &row, err))
		return false;
	context_write(c, o.conflict == RECORD_IGNORE);
	if (!record_insert(c, m, &row, &o, &made, err))
		return false;
	if (made == NULL) {
		status = 200;
		if (!read_blocking(c, m, &row, &o, &made, err))
			return false;
	}
	if (!context_commit(c, err))
		return false;
	if (made == NULL) { /* it was deleted in between: nothing to show */
		c->res->status = 204;
		return true;
	}
	record_answer(c, m, made, status);
	return true;
}

static bool is_ndjson(const struct request *req)
{
	struct str type = request_header(req, "Content-Type");
	struct str head;
	return str_split(&type, ';', &head) && str_ieq_z(str_trim(head), "application/x-ndjson");
}

/* A body that is one record, of which `head` has been read; with a column called `records` even {"records": [...]} is.
 */
static bool single(struct request *req, struct str head, json_t **ret, struct err *err)
{
	if (req->body_streams && !request_body_gather(req, head, err))
		return false;
	if (req->body.len > req->body_max)
		return err_set(err, ERR_PAYLOAD_TOO_LARGE, "a record is larger than %zu bytes", req->body_max);
	if (!request_json(req, false, ret, err))
		return false;
	if (!json_is_object(*ret))
		return err_set_at(err, ERR_INVALID_REQUEST, "", "expected an object, not %s", json_type_name(*ret));
	return true;
}

bool handle_records_create(struct request *req, struct response *res, struct err *err)
{
	static const char *const args[] = {"on_conflict", "conflict_columns", NULL};
	struct context c;
	struct context_spec spec = {.args = args};
	struct bulk_reader *bulk = arena_alloc(&req->arena, sizeof(*bulk));
	json_t *doc = NULL;
	const struct model *m;
	struct str head;
	if (!request_body_next(req, &head, err))
		return false;
	struct str rest = head;
	bool lines = head.len > 0 && is_ndjson(req);
	bool many = lines || json_split_opens(&rest);
	bulk_reader_init(bulk, &req->arena, rest, req, lines);
	if ((!many && !single(req, head, &doc, err)) || !context_open(&c, req, res, &spec, err))
		return false;
	bool ok = context_path_model(&c, false, &m, err);
	if (ok && many && !lines && model_column(m, STR("records")) != NULL) {
		many = false;
		ok = single(req, head, &doc, err);
	}
	ok = ok && (many ? bulk_create(&c, m, bulk, err) : create_one(&c, m, doc, err));
	return context_close(&c, ok, err);
}
