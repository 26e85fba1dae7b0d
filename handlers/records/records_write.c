/* Creating records: one from an object, or many from a bulk body. */
#include "handlers/records/bulk.h"
#include "handlers/handlers.h"
#include "handlers/records/records.h"
#include "handlers/answer/rows.h"
#include "handlers/unit/mapped.h"
#include "handlers/records/record_insert.h"
#include "handlers/unit/triggers.h"

#include <string.h>

#include "service/base/banned.h"

/* What to answer when nothing was inserted: what is in the way; *made NULL: nothing is, a trigger took the row. */
static bool not_inserted(struct context *c, const struct model *m, const struct record_row *row,
			 const struct insert_options *o, bool triggers, struct value **ret, struct err *err)
{
	*ret = NULL;
	if (o->conflict != RECORD_INSERT && !record_blocking(c, m, row, o, ret, err))
		return false;
	/* one that nobody knew of yet can only be told by what it did */
	if (o->conflict != RECORD_IGNORE || (triggers && *ret == NULL))
		context_swallowed(c);
	return true;
}

static bool create_one(struct context *c, const struct model *m, const json_t *doc, struct err *err)
{
	struct arena *a = &c->req->arena;
	struct record_row row;
	struct insert_options o;
	struct record_made made = {0};
	int status;
	if (!insert_options_read(c, m, &o, err) ||
	    !record_from_json(a, c->route.conn->dialect, m, doc, "", o.override_identity ? RECORD_OVERRIDE : 0, &row,
			      err) ||
	    !context_triggers(c, m, &made.triggers, err))
		return false;
	/* on SQLite an upsert looks first at what is there */
	context_write(c, o.conflict == RECORD_IGNORE || made.triggers ||
				 (o.conflict == RECORD_UPDATE && c->route.conn->dialect->id == DIALECT_SQLITE));
	if (!record_insert(c, m, &row, &o, &made, err))
		return false;
	status = made.row != NULL && made.is_new ? 201 : 200;
	if (made.row == NULL && !made.unknown && !not_inserted(c, m, &row, &o, made.triggers, &made.row, err))
		return false;
	if (!context_commit(c, err))
		return false;
	if (made.row == NULL) { /* a trigger took it, or what was in the way was deleted meanwhile: nothing to show */
		c->res->status = 204;
		return true;
	}
	record_answer(c, m, made.row, status);
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

/* {"on_conflict": ..., "records": [...]} in whatever order, where all of it is there: `records` are read from the
 * document. */
static bool upsert_body(struct request *req, struct bulk_reader *in, json_t *doc, const json_t **ret, struct err *err)
{
	const char *key;
	json_t *v;
	json_object_foreach(doc, key, v)
	{
		if (!str_eq_z(str_z(key), "records") && !str_eq_z(str_z(key), "on_conflict"))
			return err_set_at(err, ERR_INVALID_REQUEST, json_pointer_key(&req->arena, "", str_z(key)),
					  "a bulk body has `records` and `on_conflict`");
	}
	*ret = json_object_get(doc, "on_conflict");
	if (!json_is_object(*ret))
		return err_set_at(err, ERR_INVALID_REQUEST, "/on_conflict", "expected an object");
	return bulk_reader_init_list(in, &req->arena, json_object_get(doc, "records"), err);
}

/* What a body is: one record (`doc`), or many, perhaps with an `on_conflict`. */
struct create_body {
	struct bulk_reader *bulk;
	struct str head;
	json_t *doc;
	const json_t *on_conflict;
	bool many, lines;
	bool both; /* `doc` has `records` and `on_conflict` */
};

/* Does the word stand in it? */
static bool mentions_conflict(const struct request *req, struct str head)
{
	static const char word[] = "\"on_conflict\"";
	return !req->body_streams && head.len > 0 && memmem(head.p, head.len, word, sizeof(word) - 1) != NULL;
}

static bool read_create(struct request *req, struct create_body *b, struct err *err)
{
	struct str rest, options;
	json_t *parsed;
	if (!request_body_next(req, &b->head, err))
		return false;
	rest = b->head;
	b->lines = b->head.len > 0 && is_ndjson(req);
	if (!b->lines && json_split_opens_behind(&rest, STR("on_conflict"), &options)) {
		if (!json_parse_body(&req->arena, options, req->values_max, &parsed, err))
			return false;
		b->on_conflict = parsed;
	}
	b->many = b->lines || b->on_conflict != NULL || json_split_opens(&rest);
	bulk_reader_init(b->bulk, &req->arena, rest, req, b->lines);
	if (!b->many || (!b->lines && b->on_conflict == NULL && mentions_conflict(req, b->head))) {
		if (!single(req, b->head, &b->doc, err))
			return false;
		b->both = json_object_get(b->doc, "records") != NULL && json_object_get(b->doc, "on_conflict") != NULL;
		if (b->many && !b->both) /* the word stands in a record */
			b->doc = NULL;
	}
	return true;
}

/* With a column called `records` even {"records": [...]} is a record. */
static bool settle_create(struct request *req, const struct model *m, struct create_body *b, struct err *err)
{
	if (!b->lines && model_column(m, STR("records")) != NULL) {
		b->many = false;
		return b->doc != NULL || single(req, b->head, &b->doc, err);
	}
	b->many = b->many || b->both;
	return !b->both || upsert_body(req, b->bulk, b->doc, &b->on_conflict, err);
}

bool handle_records_create(struct request *req, struct response *res, struct err *err)
{
	static const char *const args[] = {"on_conflict", "conflict_columns", "conflict_index", NULL};
	struct context c;
	struct context_spec spec = {.args = args};
	struct create_body b = {.bulk = arena_alloc(&req->arena, sizeof(*b.bulk))};
	const struct model *m;
	if (!read_create(req, &b, err) || !context_open(&c, req, res, &spec, err))
		return false;
	bool ok = context_path_model(&c, false, &m, err) && settle_create(req, m, &b, err) &&
		  (b.many ? bulk_create(&c, m, b.bulk, b.on_conflict, err) : create_one(&c, m, b.doc, err));
	return context_close(&c, ok, err);
}
