/* Cuts a bulk body into records without parsing it whole. */
#include "handlers/bulk_reader.h"

#include "service/base/banned.h"

static void skip_space(struct bulk_reader *r)
{
	while (r->pos < r->text.len) {
		char c = r->text.p[r->pos];
		if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			return;
		r->pos++;
	}
}

static bool take(struct bulk_reader *r, char c)
{
	skip_space(r);
	if (r->pos >= r->text.len || r->text.p[r->pos] != c)
		return false;
	r->pos++;
	return true;
}

void bulk_lines(struct bulk_reader *r, struct str text)
{
	*r = (struct bulk_reader){.text = text, .lines = true};
}

bool bulk_document(struct bulk_reader *r, struct str text)
{
	static const struct str key = {"\"records\"", 9};
	*r = (struct bulk_reader){.text = text};
	if (!take(r, '{'))
		return false;
	skip_space(r);
	if (!str_starts(str_n(text.p + r->pos, text.len - r->pos), key))
		return false;
	r->pos += key.len;
	return take(r, ':') && take(r, '[');
}

/* The end of the value that starts at pos: by strings and brackets only; the parser judges the rest. */
static size_t value_end(struct str t, size_t pos)
{
	size_t depth = 0;
	bool quoted = false;
	for (; pos < t.len; pos++) {
		char c = t.p[pos];
		if (quoted) {
			if (c == '\\')
				pos++;
			else if (c == '"')
				quoted = false;
			continue;
		}
		if (c == '"')
			quoted = true;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth > 0)
			depth--;
		else if (depth == 0 && (c == ',' || c == ']' || c == '}'))
			return pos;
	}
	return t.len;
}

static bool broken(struct bulk_reader *r, struct err *err)
{
	return err_set(err, ERR_INVALID_JSON, "the document is malformed after record %zu", r->index);
}

/* After the last record: "]}" and nothing else. */
static bool document_end(struct bulk_reader *r, struct err *err)
{
	r->ended = true;
	if (take(r, ',')) {
		skip_space(r);
		if (r->pos < r->text.len && r->text.p[r->pos] == '"')
			return err_set_at(err, ERR_INVALID_REQUEST, "", "a bulk body has no member beside `records`");
		return broken(r, err);
	}
	if (!take(r, '}'))
		return broken(r, err);
	skip_space(r);
	return r->pos == r->text.len || broken(r, err);
}

static bool parse_record(struct bulk_reader *r, struct arena *a, struct str text, json_t **ret,
			 const char **ret_pointer, struct err *err)
{
	const char *pointer = json_pointer_index(a, r->lines ? "" : "/records", r->index);
	if (!json_parse(a, text, ret, err)) {
		if (err->has_pointer)
			err_prefix_pointer(err, pointer);
		else if (err->code == ERR_INVALID_JSON)
			err_set_at(err, ERR_INVALID_JSON, pointer, "record %zu is not valid JSON", r->index);
		return false;
	}
	if (!json_is_object(*ret))
		return err_set_at(err, ERR_INVALID_REQUEST, pointer, "expected an object, not %s",
				  json_type_name(*ret));
	*ret_pointer = pointer;
	r->index++;
	return true;
}

static bool next_line(struct bulk_reader *r, struct arena *a, json_t **ret, const char **ret_pointer, struct err *err)
{
	while (r->pos < r->text.len) {
		struct str rest = str_n(r->text.p + r->pos, r->text.len - r->pos);
		const char *nl = memchr(rest.p, '\n', rest.len);
		size_t len = nl != NULL ? (size_t)(nl - rest.p) : rest.len;
		r->pos += nl != NULL ? len + 1 : len;
		struct str line = str_trim(str_n(rest.p, len));
		if (line.len > 0)
			return parse_record(r, a, line, ret, ret_pointer, err);
	}
	r->ended = true;
	return true;
}

bool bulk_next(struct bulk_reader *r, struct arena *a, json_t **ret, const char **ret_pointer, struct err *err)
{
	*ret = NULL;
	if (r->ended)
		return true;
	if (r->lines)
		return next_line(r, a, ret, ret_pointer, err);
	bool closed = take(r, ']');
	if (closed)
		return document_end(r, err);
	if (r->index > 0 && !take(r, ','))
		return broken(r, err);
	skip_space(r);
	size_t end = value_end(r->text, r->pos);
	struct str text = str_n(r->text.p + r->pos, end - r->pos);
	r->pos = end;
	if (str_trim(text).len == 0)
		return broken(r, err);
	return parse_record(r, a, text, ret, ret_pointer, err);
}
