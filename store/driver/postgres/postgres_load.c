/*
 * Loads by COPY ... FROM STDIN in its text format (PostgreSQL documentation, "COPY", "Text Format"): the server inserts
 * rows while the next ones are still being read, and neither plans nor parses a statement for each of them. A value's
 * text is what a parameter's would be.
 */
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/num.h"

#include "service/base/banned.h"

/* Reads what is left of a load that has ended. Always false. */
static bool fail(struct pg_conn *c, PGresult *res, struct err *err)
{
	PGresult *error;

	(void)pg_fail(c, res, false, false, err);
	PQclear(res);
	if (c->base.broken)
		return false;
	fiber_shield();
	if (pg_drain(c, clock_mono_ns() + LIMIT_GRACE_NS, &error) != PG_IO_OK)
		c->base.broken = true;
	fiber_unshield();
	PQclear(error);
	pg_count_end(c, NULL);
	return false;
}

/* Waiting has failed while rows were being sent: pg_load_abort ends the load. Always false. */
static bool stop(struct pg_conn *c, enum pg_io why, struct err *err)
{
	if (why == PG_IO_LOST)
		return pg_fail(c, NULL, false, false, err);
	if (why == PG_IO_CANCELLED)
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the request was cancelled while its rows were sent");
	else
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the rows took longer than allowed");
	err->cancelled = why == PG_IO_CANCELLED;
	return false;
}

/* COPY goes neither into views nor past row-level security, and follows no rules; to a table that is not there it would
 * say less than INSERT does. Into one that is not plain it may leave something in the session: that is to be put back,
 * and behind a pooler no COPY, whose inserts put it back in their own flight. */
static bool takes_copy(struct pg_conn *c, struct str place, int64_t deadline, bool *ret, struct err *err)
{
	struct strbuf name;
	bool ok, plain;

	if (!pg_plain_table(c, place, deadline, &plain, err))
		return false;
	*ret = plain || !c->pooled;
	if (!*ret)
		return true;
	c->base.session_dirty |= !plain;
	strbuf_init(&name, 0);
	pg_put_place(place, &name);
	ok = pg_ask(&c->base,
		    STR("SELECT c.relkind IN ('r', 'p', 'f') AND NOT c.relhasrules "
			"AND NOT pg_catalog.row_security_active(c.oid) FROM pg_catalog.pg_class c "
			"WHERE c.oid = pg_catalog.to_regclass($1)"),
		    strbuf_str(&name), deadline, ret, err);
	strbuf_done(&name);
	return ok;
}

bool pg_load_begin(struct driver_conn *base, struct str place, struct str sql, int64_t deadline_ns, bool *ret_began,
		   struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	bool fits = true;
	PGresult *res;
	enum pg_io io;

	if (place.p != NULL && !takes_copy(c, place, deadline_ns, &fits, err))
		return false;
	*ret_began = fits;
	if (!fits)
		return true;
	if (!pg_ready(c, deadline_ns, err) || !pg_open_now(c, deadline_ns, err))
		return false;
	strbuf_reset(&c->text);
	strbuf_put(&c->text, sql);
	if (strbuf_failed(&c->text))
		return err_oom(err);
	if (PQsendQuery(c->pg, c->text.p) != 1)
		return pg_give_up(c, PG_IO_LOST, false, NULL, err);
	strbuf_reset(&c->text);
	io = pg_next(c, deadline_ns, &res);
	if (io != PG_IO_OK)
		return pg_give_up(c, io, false, NULL, err);
	if (PQresultStatus(res) != PGRES_COPY_IN)
		return fail(c, res, err);
	PQclear(res);
	c->loading = true;
	return true;
}

/* ---- rows as text ---- */

/* What stands behind the backslash for c; 0: it stands for itself. */
static inline char escaped(char c)
{
	switch (c) {
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	case '\\':
		return c;
	default:
		return 0;
	}
}

/* False: it holds a NUL. */
static bool put_text(struct strbuf *b, struct str s)
{
	size_t from = 0;

	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.p[i] > '\\' || ((unsigned char)s.p[i] > '\r' && s.p[i] != '\\'))
			continue;
		const char with[2] = {'\\', escaped(s.p[i])};

		if (s.p[i] == '\0')
			return false;
		if (with[1] == 0)
			continue;
		strbuf_put(b, str_n(s.p + from, i - from));
		strbuf_put(b, str_n(with, 2));
		from = i + 1;
	}
	strbuf_put(b, str_n(s.p + from, s.len - from));
	return true;
}

static void put_bytes(struct strbuf *b, struct str s)
{
	char *out;

	strbuf_puts(b, "\\\\x");
	out = strbuf_reserve(b, 2 * s.len + 1); /* num_hex ends in NUL */
	if (out == NULL || s.len == 0)
		return;
	num_hex((const uint8_t *)s.p, s.len, out);
	strbuf_advance(b, 2 * s.len);
}

/* False: a text that holds a NUL. */
static bool put_value(struct strbuf *b, const struct value *v)
{
	char text[NUM_DOUBLE_BYTES];

	switch (v->kind) {
	case VALUE_NULL:
		strbuf_puts(b, "\\N");
		break;
	case VALUE_BOOL:
		strbuf_putc(b, v->u.b ? 't' : 'f');
		break;
	case VALUE_INT:
		strbuf_int(b, v->u.i);
		break;
	case VALUE_DOUBLE:
		pg_put_double(v->u.d, text);
		strbuf_puts(b, text);
		break;
	case VALUE_TEXT:
	case VALUE_JSON:
		return v->u.s.len == 0 || put_text(b, v->u.s);
	case VALUE_BYTES:
		put_bytes(b, v->u.s);
		break;
	}
	return true;
}

static bool put_row(struct strbuf *b, const struct load *l, const struct value *row, struct err *err)
{
	bool first = true;

	for (size_t i = 0; i < l->n_columns; i++) {
		if (!l->given[i])
			continue;
		if (!first)
			strbuf_putc(b, '\t');
		first = false;
		if (!put_value(b, &row[i]))
			return err_set(err, ERR_INVALID_VALUE,
				       "a value holds the character U+0000, which PostgreSQL cannot store in text");
	}
	strbuf_putc(b, '\n');
	return !strbuf_failed(b) || err_oom(err);
}

/* ---- sending ---- */

static bool send_text(struct pg_conn *c, int64_t deadline, struct err *err)
{
	enum pg_io io;
	int sent;

	while ((sent = PQputCopyData(c->pg, c->text.p, (int)c->text.len)) == 0) {
		io = pg_flush(c, deadline);
		if (io != PG_IO_OK)
			return stop(c, io, err);
	}
	strbuf_reset(&c->text);
	io = sent == 1 ? pg_flush(c, deadline) : PG_IO_LOST;
	return io == PG_IO_OK || stop(c, io, err);
}

bool pg_load_rows(struct driver_conn *base, const struct load *l, int64_t deadline_ns, struct err *err)
{
	struct pg_conn *c = pg_conn(base);

	for (size_t i = 0; i < l->n_rows; i++) {
		if (!put_row(&c->text, l, l->rows[i], err))
			return false;
		if (c->text.len >= LIMIT_LOAD_SEND && !send_text(c, deadline_ns, err))
			return false;
	}
	return c->text.len == 0 || send_text(c, deadline_ns, err);
}

bool pg_load_end(struct driver_conn *base, int64_t deadline_ns, int64_t *ret_rows, struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	PGresult *res, *error;
	enum pg_io io = PG_IO_LOST;

	c->loading = false;
	if (PQputCopyEnd(c->pg, NULL) == 1)
		io = pg_next(c, deadline_ns, &res);
	if (io != PG_IO_OK)
		return pg_give_up(c, io, false, NULL, err);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		return fail(c, res, err);
	if (!num_parse_int(str_z(PQcmdTuples(res)), ret_rows))
		*ret_rows = 0;
	PQclear(res);
	io = pg_drain(c, deadline_ns, &error);
	if (error != NULL)
		return fail(c, error, err);
	return io == PG_IO_OK || pg_give_up(c, io, false, NULL, err);
}

void pg_load_abort(struct driver_conn *base)
{
	struct pg_conn *c = pg_conn(base);
	PGresult *error = NULL;

	if (!c->loading)
		return;
	c->loading = false;
	strbuf_reset(&c->text);
	if (base->broken)
		return;
	fiber_shield();
	if (PQputCopyEnd(c->pg, "given up") != 1 || pg_drain(c, clock_mono_ns() + LIMIT_GRACE_NS, &error) != PG_IO_OK)
		base->broken = true;
	fiber_unshield();
	PQclear(error);
	pg_count_end(c, NULL);
}
