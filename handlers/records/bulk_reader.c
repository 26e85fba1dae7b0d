/* Bulk bodies: pieces from the connection, records out of the pieces. */
#include "handlers/records/bulk_reader.h"

#include "service/base/banned.h"

static void free_split(void *arg)
{
	json_split_done(arg);
}

void bulk_reader_init(struct bulk_reader *r, struct arena *a, struct str text, struct request *req, bool lines)
{
	*r = (struct bulk_reader){.req = req, .piece = text};
	r->value_max = req != NULL ? req->body_max : text.len;
	r->values_max = req != NULL ? req->values_max : SIZE_MAX; /* of a list that was parsed: bounded before */
	if (lines)
		json_split_lines(&r->split, r->value_max);
	else
		json_split_array(&r->split, r->value_max);
	arena_on_done(a, free_split, &r->split);
}

bool bulk_reader_init_list(struct bulk_reader *r, struct arena *a, const json_t *records, struct err *err)
{
	struct strbuf text;
	struct str body;
	strbuf_init(&text, 0);
	strbuf_puts(&text, "{\"records\":");
	json_write(&text, records, false);
	strbuf_putc(&text, '}');
	body = arena_str(a, strbuf_str(&text));
	strbuf_done(&text);
	if (!json_split_opens(&body))
		return err_set_at(err, ERR_INVALID_REQUEST, "/records", "expected an array of records");
	bulk_reader_init(r, a, body, NULL, false);
	return true;
}

static const char *pointer_at(const struct bulk_reader *r, struct arena *a, size_t index)
{
	return json_pointer_index(a, r->split.lines ? "" : "/records", index);
}

static bool too_large(const struct bulk_reader *r, struct err *err)
{
	return err_set(err, ERR_PAYLOAD_TOO_LARGE, "record %zu is larger than %zu bytes", r->n_read, r->value_max);
}

bool bulk_next(struct bulk_reader *r, bool *ret_any, struct err *err)
{
	for (;;) {
		switch (json_split_next(&r->split, &r->piece, r->req == NULL, &r->record)) {
		case JSON_SPLIT_VALUE:
			r->n_read++;
			*ret_any = true;
			return true;
		case JSON_SPLIT_END:
			*ret_any = false;
			return true;
		case JSON_SPLIT_BROKEN:
			return err_set(err, ERR_INVALID_JSON, "the document is malformed after record %zu", r->n_read);
		case JSON_SPLIT_MEMBER:
			return err_set_at(err, ERR_INVALID_REQUEST, "",
					  "a bulk body has no member beside `records`, but `on_conflict`: before them "
					  "where it is too long to wait for");
		case JSON_SPLIT_TOO_LARGE:
			return too_large(r, err);
		case JSON_SPLIT_MORE:
			break;
		}
		if (!request_body_next(r->req, &r->piece, err))
			return false;
		if (r->piece.len == 0)
			r->req = NULL;
	}
}

bool bulk_fault(const struct bulk_reader *r, struct arena *a, struct err *err)
{
	if (err->has_pointer)
		err_prefix_pointer(err, pointer_at(r, a, r->n_read - 1));
	return false;
}

bool bulk_parse(const struct bulk_reader *r, struct arena *a, json_t **ret, struct err *err)
{
	if (!json_parse_body(a, r->record, r->values_max, ret, err)) {
		if (err->code == ERR_PAYLOAD_TOO_LARGE)
			return err_set(err, ERR_PAYLOAD_TOO_LARGE, "record %zu holds more than %zu JSON values",
				       r->n_read - 1, r->values_max);
		if (err->code == ERR_INVALID_JSON)
			err_set_at(err, ERR_INVALID_JSON, "", "record %zu is not valid JSON", r->n_read - 1);
		return bulk_fault(r, a, err);
	}
	if (!json_is_object(*ret)) {
		err_set_at(err, ERR_INVALID_REQUEST, "", "expected an object, not %s", json_type_name(*ret));
		return bulk_fault(r, a, err);
	}
	return true;
}
