/* Row sinks that write into the answer. */
#include "handlers/answer/rows.h"

#include "handlers/answer/raw_columns.h"
#include "handlers/unit/mapped.h"
#include "service/base/wait.h"

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
		break;
	case MEDIA_NDJSON:
		c->res->content_type = "application/x-ndjson";
		break;
	case MEDIA_CSV:
		c->res->content_type = "text/csv; charset=utf-8";
		break;
	}
}

/* At byte i of a text, which may be a large one. */
static inline void may_step(size_t i)
{
	if (i % VALUE_PART_BYTES == VALUE_PART_BYTES - 1)
		wait_may_step_aside();
}

/* RFC 4180: quoted when it must be. guard: no spreadsheet takes the text for a formula. */
static void csv_text(struct strbuf *b, struct str s, bool guard)
{
	bool plain = !(guard && s.len > 0 && strchr("=+-@\t\r", s.p[0]) != NULL && s.p[0] != '\0');
	const bool guarded = !plain;
	for (size_t i = 0; i < s.len && plain; i++) {
		plain = s.p[i] != '"' && s.p[i] != ',' && s.p[i] != '\n' && s.p[i] != '\r';
		may_step(i);
	}
	if (plain && s.len > 0) {
		for (size_t i = 0; i < s.len; i += VALUE_PART_BYTES) {
			strbuf_put(b, str_n(s.p + i, s.len - i < VALUE_PART_BYTES ? s.len - i : VALUE_PART_BYTES));
			wait_may_step_aside();
		}
		return;
	}
	strbuf_putc(b, '"');
	if (guarded)
		strbuf_putc(b, '\'');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"')
			strbuf_putc(b, '"');
		strbuf_putc(b, s.p[i]);
		may_step(i);
	}
	strbuf_putc(b, '"');
}

/* Text that is not UTF-8, in its JSON form. */
static void csv_tagged(struct strbuf *b, struct value v)
{
	struct strbuf one;
	strbuf_init(&one, 0);
	value_write_text(&one, v.u.s);
	csv_text(b, strbuf_str(&one), false);
	strbuf_done(&one);
}

/* NULL is an empty field, an empty string is "". */
static void csv_value(struct rows_writer *w, struct value v)
{
	switch (v.kind) {
	case VALUE_NULL:
		return;
	case VALUE_TEXT:
		if (value_is_utf8(v.u.s))
			csv_text(w->out, v.u.s, w->c->app->csv_formula_guard);
		else
			csv_tagged(w->out, v);
		return;
	case VALUE_JSON:
		csv_text(w->out, v.u.s, w->c->app->csv_formula_guard);
		return;
	case VALUE_BYTES:
		value_write_base64(w->out, v.u.s);
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

/* Without columns no prefix opens the row. */
static void set_ends(struct rows_writer *w)
{
	const bool bare = w->n_shown == 0;
	w->ends = (struct codec_ends){.before = {w->arrays ? '[' : '{'},
				      .after = {w->arrays ? ']' : '}', '\n'},
				      .n_before = bare,
				      .n_after = w->media == MEDIA_NDJSON ? 2 : 1};
}

/* Commas stand between the rows of a list. */
static void end_first_row(struct rows_writer *w)
{
	if (w->media != MEDIA_JSON)
		return;
	w->ends.before[1] = w->ends.before[0];
	w->ends.before[0] = ',';
	w->ends.n_before++;
}

/* Prefixes are built once a statement. */
static void set_columns(struct rows_writer *w, size_t n, const struct str *names, size_t n_visible)
{
	struct arena *a = &w->c->req->arena;
	w->n = n;
	w->n_shown = 0;
	w->columns = arena_array(a, n + 1, sizeof(*w->columns));
	for (size_t i = 0; i < n; i++) {
		if (i >= n_visible)
			continue;
		struct codec_writer *column = &w->columns[w->n_shown++];
		const size_t from = w->text.len;
		strbuf_putc(&w->text, w->n_shown > 1 ? ',' : w->arrays ? '[' : '{');
		if (!w->arrays) {
			strbuf_json_string(&w->text, names[i]);
			strbuf_putc(&w->text, ':');
		}
		column->index = i;
		column->prefix = str_n(NULL, w->text.len - from);
		codec_writer_decoded(column, !w->raw && w->shape != NULL ? &w->shape->decode[i] : NULL, &w->fmt);
	}
	const char *text = strbuf_reserve(&w->text, CODEC_PREFIX_SLACK) != NULL ? w->text.p : "";
	for (size_t i = 0; i < w->n_shown; text += w->columns[i++].prefix.len)
		w->columns[i].prefix.p = text;
	w->room = codec_row_room(w->columns, w->n_shown);
	set_ends(w);
	if (w->media != MEDIA_CSV)
		return;
	for (size_t i = 0; i < w->n_shown; i++) {
		if (i > 0)
			strbuf_putc(w->out, ',');
		csv_text(w->out, names[w->columns[i].index], w->c->app->csv_formula_guard);
	}
	strbuf_puts(w->out, "\r\n");
}

/* What stands before the rows, once. */
static void open_rows(struct rows_writer *w, const struct cursor_column *columns, size_t n)
{
	if (w->opened)
		return;
	w->opened = true;
	if (w->media == MEDIA_JSON) {
		strbuf_putc(w->out, '{');
		if (w->raw && columns != NULL) {
			strbuf_puts(w->out, "\"columns\":");
			raw_columns_write(w->out, columns, n);
			strbuf_putc(w->out, ',');
		}
		strbuf_puts(w->out, w->single ? "\"row\":" : "\"rows\":[");
	} else if (w->media == MEDIA_NDJSON && w->arrays && columns != NULL) {
		strbuf_puts(w->out, "{\"$columns\":");
		raw_columns_write(w->out, columns, n);
		strbuf_puts(w->out, "}\n");
	}
}

void rows_raw(struct rows_writer *w, struct context *c, bool single)
{
	start(w, c);
	w->raw = true;
	w->single = single;
	if (single) {
		w->media = MEDIA_JSON;
		c->res->content_type = "application/json";
	}
	w->arrays = w->media != MEDIA_CSV && prefers(c->res, PREFER_ROWS_ARRAYS);
	w->fmt.tag_bytes = true;
}

void rows_none(struct rows_writer *w, struct context *c)
{
	start(w, c);
	open_rows(w, NULL, 0);
}

void rows_model(struct rows_writer *w, struct context *c, const struct query *q, const struct result_shape *shape,
		size_t n_visible)
{
	start(w, c);
	w->model = q->model;
	w->shape = shape;
	w->row = arena_array(&c->req->arena, shape->n + 1, sizeof(*w->row));
	if (shape->full)
		mapped_begin(c, q->model, q->lock, &w->read);
	open_rows(w, NULL, 0);
	set_columns(w, shape->n, shape->names, n_visible);
}

static void csv_row(struct rows_writer *w, const struct value *row)
{
	for (size_t i = 0; i < w->n_shown; i++) {
		if (i > 0)
			strbuf_putc(w->out, ',');
		csv_value(w, row[w->columns[i].index]);
	}
	strbuf_puts(w->out, "\r\n");
}

void rows_write(struct rows_writer *w, const struct value *row, struct str extra)
{
	w->n_rows++;
	if (w->media == MEDIA_CSV) {
		csv_row(w, row);
		return;
	}
	if (extra.len == 0) {
		codec_write_row(w->out, &w->scratch, w->columns, w->n_shown, w->room, row, &w->ends);
	} else {
		struct codec_ends open = w->ends;
		open.n_after = 0;
		codec_write_row(w->out, &w->scratch, w->columns, w->n_shown, w->room, row, &open);
		strbuf_put(w->out, extra);
		strbuf_put(w->out, str_n(w->ends.after, w->ends.n_after));
	}
	if (w->n_rows == 1)
		end_first_row(w);
}

static struct value *keep(struct rows_writer *w, const struct value *row)
{
	struct arena *a = &w->c->req->arena;
	struct value *copy = arena_array(a, w->n + 1, sizeof(*copy));
	for (size_t i = 0; i < w->n; i++)
		copy[i] = value_dup(a, row[i]);
	return copy;
}

/* From here on the writers see values as the database has them, unless the rows are needed in their decoded form. */
static void write_directly(struct rows_writer *w)
{
	w->direct = w->read.map == NULL && w->media != MEDIA_CSV;
	for (size_t i = 0; i < w->n_shown && w->direct; i++) {
		const struct column *column = w->raw ? NULL : &w->shape->decode[w->columns[i].index];
		codec_writer(&w->columns[i], w->c->route.conn->dialect, column, &w->fmt);
	}
}

static bool on_columns(void *arg, const struct cursor_column *cols, size_t n, struct err *err)
{
	struct rows_writer *w = arg;
	static const struct cursor_column none;
	const struct exec *x = &w->c->exec;
	w->c->req->holds = w->c->req->holds || x->lease.writer || x->seat.party != NULL;
	if (w->raw && !w->arrays && w->media != MEDIA_CSV && !raw_columns_distinct(cols, n, err))
		return false;
	open_rows(w, n > 0 ? cols : &none, n);
	if (w->raw) {
		struct str *names = arena_array(&w->c->req->arena, n + 1, sizeof(*names));
		for (size_t i = 0; i < n; i++)
			names[i] = cols[i].name;
		set_columns(w, n, names, n);
		w->row = arena_array(&w->c->req->arena, n + 1, sizeof(*w->row));
	}
	write_directly(w);
	return true;
}

static const struct value *decode(struct rows_writer *w, const struct value *values)
{
	const struct dialect *d = w->c->route.conn->dialect;
	for (size_t i = 0; i < w->n; i++) {
		w->row[i] = values[i];
		if (!w->raw)
			w->row[i] = codec_decode(&w->scratch, d, &w->shape->decode[i], values[i]);
		else if (values[i].kind == VALUE_JSON)
			w->row[i].kind = VALUE_TEXT;
	}
	return w->row;
}

/* SQLite compiles a statement anew when a table has changed since its columns were told: what is gone is null. */
static const struct value *pad(struct rows_writer *w, const struct value *values, size_t n)
{
	struct value *row = arena_array(&w->scratch, w->n, sizeof(*row));
	for (size_t i = 0; i < n; i++)
		row[i] = values[i];
	return row;
}

static void reserve(struct strbuf *b, size_t row_len, int64_t n_rows)
{
	size_t bytes;
	if (!__builtin_mul_overflow(row_len + row_len / 8, (size_t)n_rows, &bytes) && bytes < LIMIT_RESPONSE_CHUNK)
		(void)strbuf_reserve(b, bytes);
}

/* The first row and the last of a page, which is `len` bytes long. */
static void edge(struct rows_writer *w, const struct value *values, size_t len)
{
	/* room for the page at once, if it is much like its first row */
	if (w->n_rows == 1 && w->n_max > 1)
		reserve(w->out, len, w->n_max);
	struct value *row = keep(w, w->direct ? decode(w, values) : w->row);
	w->first = w->n_rows == 1 ? row : w->first;
	w->last = w->n_rows == w->n_max ? row : w->last;
}

static bool on_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct rows_writer *w = arg;
	if (UNLIKELY(n < w->n))
		values = pad(w, values, n);
	if (w->n_max > 0 && w->n_rows == w->n_max) {
		w->more = true;
		*ret_stop = true;
		return true;
	}
	const size_t before = w->out->len;
	rows_write(w, w->direct ? values : mapped_row(&w->read, &w->scratch, decode(w, values)), STR_NONE);
	if (w->n_max > 0 && (w->n_rows == 1 || w->n_rows == w->n_max))
		edge(w, values, w->out->len - before);
	if (w->scratch.total > SCRATCH_BYTES)
		arena_done(&w->scratch);
	return w->out->len < LIMIT_RESPONSE_CHUNK || response_flush(w->c->res, err);
}

struct row_sink rows_sink(struct rows_writer *w)
{
	return (struct row_sink){.columns = on_columns, .row = on_row, .arg = w};
}

void rows_end(struct rows_writer *w)
{
	if (w->media != MEDIA_JSON)
		return;
	open_rows(w, NULL, 0);
	if (w->single) {
		strbuf_puts(w->out, w->n_rows == 0 ? "null" : "");
		return;
	}
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
	if (w->media == MEDIA_NDJSON && w->c->tx_state != NULL)
		out_str(w->out, "transaction", str_z(w->c->tx_state));
	if (tail->next_cursor.p != NULL)
		out_str(w->out, "next_cursor", tail->next_cursor);
	if (tail->prev_cursor.p != NULL)
		out_str(w->out, "prev_cursor", tail->prev_cursor);
	if (tail->has_total)
		out_int(w->out, "total", tail->total);
	if (w->notices.len > 0 && w->media == MEDIA_JSON)
		strbuf_printf(w->out, ",\"notices\":[%.*s]", STR_FMT(w->notices));
	strbuf_puts(w->out, w->media == MEDIA_NDJSON ? "}}\n" : "}");
}

void rows_done(struct rows_writer *w)
{
	strbuf_done(&w->text);
	arena_done(&w->scratch);
}
