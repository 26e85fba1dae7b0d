/* Answers a select. */
#include "handlers/answer/select.h"

#include "handlers/answer/loaded.h"
#include "handlers/answer/page.h"
#include "handlers/answer/rows.h"
#include "handlers/unit/acting.h"

#include "service/base/banned.h"

bool select_lock(const struct context *c, const struct query *q, struct err *err)
{
	if (q->lock == QUERY_LOCK_NONE)
		return true;
	if (!principal_has(c->req, SCOPE_WRITE))
		return err_set_at(err, ERR_FORBIDDEN, "/lock",
				  "a lock holds up those who write: the key lacks the scope \"%s\" that it needs",
				  scope_name(SCOPE_WRITE));
	if (c->route.tx != NULL || c->exec.atomic)
		return true;
	return err_set_at(err, ERR_INVALID_QUERY, "/lock", "a lock lasts as long as its transaction: open one first");
}

/* How many rows there are in all; in an open unit. */
static bool count_all(struct context *c, const struct query *q, struct rows_tail *tail, struct err *err)
{
	struct stmt stmt;
	struct query plain = *q;
	if (!prefers(c->res, PREFER_COUNT_EXACT))
		return true;
	plain.cursor = STR_NONE;
	plain.n_order = 0;
	plain.lock = QUERY_LOCK_NONE;
	tail->has_total = true;
	return query_lower_count(&c->req->arena, &plain, &stmt, err) && context_scalar(c, &stmt, &tail->total, err);
}

/* A page's neighbours: after its last row while rows remain, before its first once a cursor has been followed. */
static void page_tail(struct page *p, const struct result_shape *shape, const struct value *first,
		      const struct value *last, bool more, struct rows_tail *tail)
{
	if (!p->active || first == NULL)
		return;
	bool ahead = p->backward || more;
	bool behind = p->backward ? more : p->continued;
	if (ahead && last != NULL)
		tail->next_cursor = page_cursor(p, shape, last, false);
	if (behind)
		tail->prev_cursor = page_cursor(p, shape, first, true);
}

static bool stream(struct context *c, struct page *p, struct rows_tail *tail, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	struct rows_writer w;
	if (!query_lower_select(&c->req->arena, p->run, &stmt, &shape, err))
		return false;
	rows_model(&w, c, p->run, &shape, p->n_visible);
	w.n_max = p->active ? p->limit : 0;
	struct row_sink sink = rows_sink(&w);
	bool ok = context_run(c, &stmt, &sink, NULL, err) && context_finish(c, err);
	if (ok) {
		rows_end(&w);
		page_tail(p, &shape, w.first, w.last, w.more, tail);
		rows_close(&w, tail);
	}
	rows_done(&w);
	return ok;
}

/* The page's rows in memory, in the order asked for, with what is included. */
static bool read_page(struct context *c, struct page *p, struct loaded *l, bool *ret_more, struct err *err)
{
	struct query plain = *p->run;
	plain.n_includes = 0;
	if (!loaded_read(c, &plain, p->n_visible, l, err))
		return false;
	bool more = p->active && p->limit > 0 && l->n_rows > (size_t)p->limit;
	if (more)
		l->n_rows = (size_t)p->limit;
	for (size_t i = 0; p->backward && i < l->n_rows / 2; i++) {
		const struct value *x = l->rows[i];
		const struct value *y = l->raw[i];
		l->rows[i] = l->rows[l->n_rows - 1 - i];
		l->raw[i] = l->raw[l->n_rows - 1 - i];
		l->rows[l->n_rows - 1 - i] = x;
		l->raw[l->n_rows - 1 - i] = y;
	}
	l->q = p->run;
	*ret_more = more;
	return loaded_includes(l, err);
}

static void held_tail(struct page *p, const struct loaded *l, bool more, struct rows_tail *tail)
{
	if (l->n_rows > 0)
		page_tail(p, &l->shape, l->raw[0], l->raw[l->n_rows - 1], more, tail);
}

/* Rows with includes, or read backwards. */
static bool hold(struct context *c, struct page *p, struct rows_tail *tail, struct err *err)
{
	struct loaded l;
	struct rows_writer w;
	bool more;
	if (p->run->n_includes > 0 && c->req->accept == MEDIA_CSV)
		return err_set_at(err, ERR_INVALID_QUERY, "/include", "rows with relations have no CSV form");
	if (!read_page(c, p, &l, &more, err) || !context_finish(c, err))
		return false;
	rows_model(&w, c, p->run, &l.shape, p->n_visible);
	bool ok = true;
	struct strbuf extra;
	strbuf_init(&extra, 0);
	for (size_t i = 0; i < l.n_rows && ok; i++) {
		strbuf_reset(&extra);
		loaded_write_relations(&extra, &l, i, &w.fmt);
		rows_write(&w, l.rows[i], strbuf_str(&extra));
		ok = response_flush(c->res, err);
	}
	strbuf_done(&extra);
	if (ok) {
		rows_end(&w);
		held_tail(p, &l, more, tail);
		rows_close(&w, tail);
	}
	rows_done(&w);
	return ok;
}

bool select_held(struct context *c, struct query *q, const char *pointer, struct strbuf *out, struct err *err)
{
	struct page p;
	struct loaded l;
	struct rows_tail tail = {0};
	bool more;
	if (!query_check(q, pointer, err) ||
	    !page_prepare(&c->req->arena, q, acting_whose(c->req, &c->route), pointer, &p, err) ||
	    !read_page(c, &p, &l, &more, err))
		return false;
	struct value_format fmt = context_format(c->res);
	strbuf_puts(out, "{\"rows\":[");
	for (size_t i = 0; i < l.n_rows; i++) {
		if (i > 0)
			strbuf_putc(out, ',');
		loaded_write(out, &l, i, &fmt);
	}
	strbuf_printf(out, "],\"row_count\":%zu", l.n_rows);
	held_tail(&p, &l, more, &tail);
	if (tail.next_cursor.p != NULL)
		out_str(out, "next_cursor", tail.next_cursor);
	if (tail.prev_cursor.p != NULL)
		out_str(out, "prev_cursor", tail.prev_cursor);
	strbuf_putc(out, '}');
	return true;
}

bool first_held(struct context *c, struct query *q, struct strbuf *out, struct err *err)
{
	struct loaded l;
	if (!q->has_limit || q->limit > 1) {
		q->has_limit = true;
		q->limit = 1;
	}
	if (!loaded_read(c, q, query_n_visible(q), &l, err))
		return false;
	struct value_format fmt = context_format(c->res);
	strbuf_puts(out, "{\"row\":");
	if (l.n_rows == 0)
		strbuf_puts(out, "null");
	else
		loaded_write(out, &l, 0, &fmt);
	strbuf_putc(out, '}');
	return true;
}

bool first_answer(struct context *c, struct query *q, struct err *err)
{
	if (!select_lock(c, q, err))
		return false;
	context_read(c);
	return first_held(c, q, response_json(c->res, 200), err) && context_commit(c, err);
}

bool select_answer(struct context *c, struct query *q, struct err *err)
{
	struct page p;
	struct rows_tail tail = {0};
	if (!select_lock(c, q, err) || !query_check(q, "", err) ||
	    !page_prepare(&c->req->arena, q, acting_whose(c->req, &c->route), "", &p, err))
		return false;
	context_read(c);
	if (!count_all(c, q, &tail, err))
		return false;
	return p.run->n_includes > 0 || p.backward ? hold(c, &p, &tail, err) : stream(c, &p, &tail, err);
}
