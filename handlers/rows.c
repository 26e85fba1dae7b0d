/* Row sinks that write into the answer. */
#include "handlers/rows.h"

#include "service/base/banned.h"

#define SCRATCH_BYTES (64 * 1024) /* decoded bytes kept before the scratch arena is emptied */

static void start(struct rows_writer *w, struct context *c)
{
	memset(w, 0, sizeof(*w));
	w->c = c;
	w->media = c->req->accept;
	w->fmt = context_format(c->res);
	w->out = &c->res->body;
	strbuf_init(&w->text, 0);
	arena_init(&w->scratch);
	c->res->status = 200;
	switch (w->media) {
	case MEDIA_JSON:
		c->res->content_type = "application/json";
		strbuf_puts(w->out, "{\"rows\":[");
		break;
	case MEDIA_NDJSON:
		c->res->content_type = "application/x-ndjson";
		break;
	case MEDIA_CSV:
		c->res->content_type = "text/csv; charset=utf-8";
		break;
	}
}

/* RFC 4180: quoted when it must be. */
static void csv_text(struct strbuf *b, struct str s)
{
	bool plain = true;
	for (size_t i = 0; i < s.len && plain; i++)
		plain = s.p[i] != '"' && s.p[i] != ',' && s.p[i] != '\n' && s.p[i] != '\r';
	if (plain && s.len > 0) {
		strbuf_put(b, s);
		return;
	}
	strbuf_putc(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"')
			strbuf_putc(b, '"');
		strbuf_putc(b, s.p[i]);
	}
	strbuf_putc(b, '"');
}

/* NULL is an empty field, an empty string is "". */
static void csv_value(struct rows_writer *w, struct value v)
{
	switch (v.kind) {
	case VALUE_NULL:
		return;
	case VALUE_TEXT:
	case VALUE_JSON:
		csv_text(w->out, v.u.s);
		return;
	case VALUE_BYTES:
		strbuf_base64(w->out, v.u.s);
		return;
	case VALUE_BOOL:
	case VALUE_INT:
	case VALUE_DOUBLE:
		break;
	}
	struct value_format fmt = {0};
	struct strbuf one;
	strbuf_init(&one, 0);
	value_write_json(&one, v, &fmt);
	struct str s = strbuf_str(&one);
	if (s.len > 1 && s.p[0] == '"') /* "NaN" and its like */
		s = str_n(s.p + 1, s.len - 2);
	strbuf_put(w->out, s);
	strbuf_done(&one);
}

/* Prefixes are built once a statement; a name that comes again later hides this one (the last wins). */
static void set_columns(struct rows_writer *w, size_t n, const struct str *names, size_t n_visible)
{
	struct arena *a = &w->c->req->arena;
	size_t *ends = arena_array(a, n + 1, sizeof(*ends));
	w->n = n;
	w->names = arena_array(a, n + 1, sizeof(*w->names));
	w->prefix = arena_array(a, n + 1, sizeof(*w->prefix));
	bool first = true;
	for (size_t i = 0; i < n; i++) {
		bool hidden = i >= n_visible;
		for (size_t k = i + 1; k < n && w->raw && !hidden; k++)
			hidden = str_eq(names[i], names[k]);
		w->names[i] = arena_str(a, names[i]);
		if (!hidden) {
			strbuf_putc(&w->text, first ? '{' : ',');
			strbuf_json_string(&w->text, names[i]);
			strbuf_putc(&w->text, ':');
			first = false;
		}
		ends[i + 1] = w->text.len;
	}
	for (size_t i = 0; i < n; i++)
		w->prefix[i] = str_n(w->text.p + ends[i], ends[i + 1] - ends[i]);
	if (w->media != MEDIA_CSV)
		return;
	bool comma = false;
	for (size_t i = 0; i < n; i++) {
		if (w->prefix[i].len == 0)
			continue;
		if (comma)
			strbuf_putc(w->out, ',');
		csv_text(w->out, names[i]);
		comma = true;
	}
	strbuf_puts(w->out, "\r\n");
}

void rows_raw(struct rows_writer *w, struct context *c)
{
	start(w, c);
	w->raw = true;
	w->fmt.tag_bytes = true;
}

void rows_model(struct rows_writer *w, struct context *c, const struct model *m, const struct result_shape *shape,
		size_t n_visible)
{
	start(w, c);
	w->model = m;
	w->shape = shape;
	w->row = arena_array(&c->req->arena, shape->n + 1, sizeof(*w->row));
	if (shape->full && m->n_pk > 0) {
		w->imap = c->imap;
		w->overwrite = c->req->no_cache;
	}
	set_columns(w, shape->n, shape->names, n_visible);
}

/* Without its closing brace. */
static void open_object(struct rows_writer *w, const struct value *row)
{
	bool any = false;
	for (size_t i = 0; i < w->n; i++) {
		if (w->prefix[i].len == 0)
			continue;
		strbuf_put(w->out, w->prefix[i]);
		value_write_json(w->out, row[i], &w->fmt);
		any = true;
	}
	if (!any)
		strbuf_putc(w->out, '{');
}

void rows_object(struct rows_writer *w, const struct value *row)
{
	open_object(w, row);
	strbuf_putc(w->out, '}');
}

void rows_write(struct rows_writer *w, const struct value *row, struct str extra)
{
	w->n_rows++;
	if (w->media == MEDIA_CSV) {
		bool comma = false;
		for (size_t i = 0; i < w->n; i++) {
			if (w->prefix[i].len == 0)
				continue;
			if (comma)
				strbuf_putc(w->out, ',');
			csv_value(w, row[i]);
			comma = true;
		}
		strbuf_puts(w->out, "\r\n");
		return;
	}
	if (w->media == MEDIA_JSON && w->n_rows > 1)
		strbuf_putc(w->out, ',');
	open_object(w, row);
	strbuf_put(w->out, extra);
	strbuf_puts(w->out, w->media == MEDIA_NDJSON ? "}\n" : "}");
}

static struct value *keep(struct rows_writer *w)
{
	struct arena *a = &w->c->req->arena;
	struct value *copy = arena_array(a, w->n + 1, sizeof(*copy));
	for (size_t i = 0; i < w->n; i++)
		copy[i] = value_dup(a, w->row[i]);
	return copy;
}

static bool on_columns(void *arg, const struct cursor_column *cols, size_t n, struct err *err)
{
	struct rows_writer *w = arg;
	(void)err;
	if (!w->raw)
		return true;
	struct str *names = arena_array(&w->c->req->arena, n + 1, sizeof(*names));
	for (size_t i = 0; i < n; i++)
		names[i] = cols[i].name;
	set_columns(w, n, names, n);
	w->row = arena_array(&w->c->req->arena, n + 1, sizeof(*w->row));
	return true;
}

/* The decoded row, or the mapped one in its place. */
static const struct value *decode(struct rows_writer *w, const struct value *values, size_t n)
{
	if (w->raw) {
		for (size_t i = 0; i < n; i++) {
			w->row[i] = values[i];
			if (values[i].kind == VALUE_JSON)
				w->row[i].kind = VALUE_TEXT;
		}
		return w->row;
	}
	const struct dialect *d = w->c->route.conn->dialect;
	for (size_t i = 0; i < n; i++)
		w->row[i] = codec_decode(&w->scratch, d, &w->shape->decode[i], values[i]);
	if (w->imap == NULL)
		return w->row;
	struct str key = record_key(&w->scratch, w->model, w->row);
	if (!w->overwrite)
		return imap_reconcile(w->imap, &w->scratch, w->model, key, w->row);
	imap_put(w->imap, w->model, key, w->row);
	return w->row;
}

static bool on_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct rows_writer *w = arg;
	if (w->n_max > 0 && w->n_rows == w->n_max) {
		w->more = true;
		*ret_stop = true;
		return true;
	}
	if (n > w->n)
		n = w->n;
	const struct value *row = decode(w, values, n);
	rows_write(w, row, STR_NONE);
	if (w->n_max > 0 && w->n_rows == 1)
		w->first = keep(w);
	if (w->n_rows == w->n_max)
		w->last = keep(w);
	if (w->scratch.total > SCRATCH_BYTES)
		arena_done(&w->scratch);
	return response_flush(w->c->res, err);
}

struct row_sink rows_sink(struct rows_writer *w)
{
	return (struct row_sink){.columns = on_columns, .row = on_row, .arg = w};
}

void rows_end(struct rows_writer *w)
{
	if (w->media != MEDIA_JSON)
		return;
	strbuf_puts(w->out, "],\"row_count\":");
	strbuf_int(w->out, w->n_rows);
}

void rows_close(struct rows_writer *w, const struct rows_tail *tail)
{
	struct rows_tail none = {0};
	if (tail == NULL)
		tail = &none;
	if (w->media == MEDIA_CSV)
		return;
	if (w->media == MEDIA_NDJSON)
		strbuf_printf(w->out, "{\"$end\":{\"row_count\":%lld", (long long)w->n_rows);
	if (tail->next_cursor.p != NULL)
		out_str(w->out, "next_cursor", tail->next_cursor);
	if (tail->prev_cursor.p != NULL)
		out_str(w->out, "prev_cursor", tail->prev_cursor);
	if (tail->has_total)
		out_int(w->out, "total", tail->total);
	strbuf_puts(w->out, w->media == MEDIA_NDJSON ? "}}\n" : "}");
}

void rows_done(struct rows_writer *w)
{
	strbuf_done(&w->text);
	arena_done(&w->scratch);
}

static bool keep_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct row_keep *k = arg;
	(void)err;
	(void)ret_stop;
	if (k->row != NULL)
		return true;
	k->row = arena_array(k->arena, n + 1, sizeof(*k->row));
	k->n = n;
	for (size_t i = 0; i < n; i++) {
		struct value v = values[i];
		if (k->shape != NULL && i < k->shape->n)
			v = codec_decode(k->arena, k->dialect, &k->shape->decode[i], v);
		k->row[i] = value_dup(k->arena, v);
	}
	return true;
}

struct row_sink row_keep_sink(struct row_keep *k)
{
	return (struct row_sink){.row = keep_row, .arg = k};
}
