/*
 * Reading is strict: a message that cannot come now, one of an impossible length, a state that is not the one a flight
 * ends in, and the connection is lost, as libpq says it of an end of file. Nothing of what comes is kept but the rows
 * of the one answer that is being read.
 *
 * libpq shows nobody whether it holds a part of a message back. What comes while a connection is idle may end in one,
 * and the next flight is libpq's then (`heard`); what it reads with the end of a flight may, too. But a server that
 * nobody listens to says nothing unasked there but its last word, and the rest of a message is none that may come
 * first: such a connection is lost, never misread.
 */
#include "store/driver/postgres/postgres_driver.h"

#include <errno.h>
#include <sys/socket.h>

#include "service/base/clock.h"
#include "service/base/fault.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

#define IN_BYTES (16UL * 1024)      /* of a read */
#define KEPT_BYTES (4UL * IN_BYTES) /* of a buffer that has grown */

/* ---- shapes ---- */

struct pg_shape *pg_shape_of(const PGresult *res)
{
	const size_t n = (size_t)PQnfields(res);
	size_t names = 0;

	for (size_t i = 0; i < n; i++) {
		const struct str name = str_z(PQfname(res, (int)i));

		if (!str_is_utf8(name))
			return NULL;
		names += name.len + 1;
	}
	struct pg_shape *s = mem_try(NULL, sizeof(*s) + n * (sizeof(s->columns[0]) + sizeof(s->cells[0])) + names);
	if (s == NULL)
		return NULL;
	*s = (struct pg_shape){
		.refs = 1, .has_rows = PQresultStatus(res) == PGRES_TUPLES_OK, .n = n, .cells = (void *)&s->columns[n]};
	char *name = (void *)(s->cells + n);
	for (size_t i = 0; i < n; i++) {
		const struct str text = str_z(PQfname(res, (int)i));

		memcpy(name, text.p, text.len + 1);
		s->columns[i] = (struct cursor_column){.name = str_n(name, text.len), .type_oid = PQftype(res, (int)i)};
		s->cells[i] = pg_cell_of(PQftype(res, (int)i));
		name += text.len + 1;
	}
	return s;
}

struct pg_shape *pg_shape_ref(struct pg_shape *s)
{
	(void)__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void pg_shape_unref(struct pg_shape *s)
{
	if (s != NULL && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
		mem_free(s);
}

/* ---- the socket ---- */

#ifdef FERROD_FAULTS
#define FAULT() fault_due()
#else
#define FAULT() false
#endif

static bool is_passing(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

bool pg_wire_may(struct pg_conn *c)
{
	return c->wire.plain && !c->wire.heard && PQtransactionStatus(c->pg) == PQTRANS_IDLE &&
	       PQpipelineStatus(c->pg) == PQ_PIPELINE_OFF && PQflush(c->pg) == 0;
}

/* The server has hung up, or will know that we have: nothing is left there to cancel. */
static enum pg_io lost(struct pg_wire *w)
{
	w->running = false;
	return PG_IO_LOST;
}

static void send_more(struct pg_conn *c)
{
	struct pg_wire *w = &c->wire;

	while (w->sent < w->out.len) {
		const int fd = PQsocket(c->pg);
		const ssize_t n =
			FAULT() ? 0 : send(fd, w->out.p + w->sent, w->out.len - w->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && is_passing(errno))
			return;
		if (n <= 0) { /* what has come may be read yet, and nothing is waited for */
			w->has_failed = true;
			(void)shutdown(fd, SHUT_RDWR);
			return;
		}
		w->sent += (size_t)n;
	}
}

void pg_wire_send(struct pg_conn *c)
{
	struct pg_wire *w = &c->wire;

	if (w->in == NULL) {
		w->in = mem_realloc(NULL, IN_BYTES);
		w->in_size = IN_BYTES;
	}
	w->running = true;
	w->changed = w->bound = w->at_end = w->aborted = w->has_failed = false;
	w->sent = w->at = w->end = w->run = w->n_rows = 0;
	strbuf_reset(&w->rows);
	send_more(c);
}

/* The rows that have been read make room. */
static bool keep_run(struct pg_wire *w)
{
	strbuf_put(&w->rows, str_n(w->in + w->at - w->run, w->run));
	w->run = 0;
	return !strbuf_failed(&w->rows) && w->rows.len <= LIMIT_PAST_ANSWER_BYTES;
}

/* Room to read into, behind what has come of a message. */
static bool make_room(struct pg_wire *w)
{
	if (!keep_run(w))
		return false;
	if (w->at > 0) {
		memmove(w->in, w->in + w->at, w->end - w->at);
		w->end -= w->at;
		w->at = 0;
	}
	if (w->end < w->in_size)
		return true;
	char *in = mem_try(w->in, 2 * w->in_size);
	if (in == NULL)
		return false;
	w->in = in;
	w->in_size *= 2;
	return true;
}

static enum pg_io read_more(struct pg_conn *c, int64_t deadline_ns)
{
	struct pg_wire *w = &c->wire;
	const bool sends = w->sent < w->out.len && !w->has_failed;

	if (!make_room(w))
		return PG_IO_LOST;
	/* a server that sends faster than we read would never let the wait itself time out */
	if (clock_mono_ns() >= deadline_ns)
		return PG_IO_TIMEOUT;
	switch (wait_fd(PQsocket(c->pg), (short)(POLLIN | (sends ? POLLOUT : 0)), deadline_ns, NULL)) {
	case WAIT_READY:
		break;
	case WAIT_TIMEOUT:
		return PG_IO_TIMEOUT;
	case WAIT_CANCELLED:
		return PG_IO_CANCELLED;
	}
	if (sends)
		send_more(c);
	const ssize_t n = FAULT() ? 0 : recv(PQsocket(c->pg), w->in + w->end, w->in_size - w->end, MSG_DONTWAIT);
	if (n < 0)
		return is_passing(errno) ? PG_IO_OK : lost(w);
	if (n == 0)
		return lost(w);
	if (c->pieces == 0)
		return PG_IO_LOST;
	c->pieces -= c->pieces > 0;
	w->end += (size_t)n;
	return PG_IO_OK;
}

/* ---- messages ---- */

/* What a server says unasked. *ret_was false: m is something else. False: it cannot be. */
static bool take_aside(struct pg_conn *c, const struct pg_message *m, bool *ret_was)
{
	const struct pg_said said = {.fields = m->body};
	const char *nul;

	*ret_was = true;
	switch (m->kind) {
	case 'N':
		if (!pg_message_has_fields(m->body))
			return false;
		pg_take_notice(c, &said);
		return true;
	case 'S':
		nul = memchr(m->body.p, '\0', m->body.len);
		if (nul == NULL || nul + 1 >= m->body.p + m->body.len || m->body.p[m->body.len - 1] != '\0')
			return false;
		const char *known = PQparameterStatus(c->pg, m->body.p);
		c->wire.changed |= known == NULL || strcmp(known, nul + 1) != 0;
		return true;
	case 'A':
		return true; /* nobody listens on a connection that others share */
	default:
		*ret_was = false;
		return true;
	}
}

/* The next message that is part of the flight. Borrowed until the next one. */
static enum pg_io next_message(struct pg_conn *c, int64_t deadline_ns, struct pg_message *ret)
{
	struct pg_wire *w = &c->wire;

	for (;;) {
		const enum pg_come come = pg_message_first(str_n(w->in + w->at, w->end - w->at), ret);
		bool aside = false;

		if (come == PG_COME_BROKEN)
			return PG_IO_LOST;
		if (come == PG_COME_PART) {
			const enum pg_io io = read_more(c, deadline_ns);

			if (io != PG_IO_OK)
				return io;
			continue;
		}
		if (ret->kind != 'D' && w->run > 0 && !keep_run(w))
			return PG_IO_LOST;
		w->at += PG_HEAD_BYTES + ret->body.len;
		if (!take_aside(c, ret, &aside))
			return PG_IO_LOST;
		if (!aside)
			return PG_IO_OK;
	}
}

/* Rows of as many columns as the statement has: their cells are looked at when all are there (pg_cells_read). */
static bool take_row(struct pg_wire *w, const struct pg_shape *shape, const struct pg_message *m)
{
	if (!w->bound || !shape->has_rows || m->body.len < 2 + 4 * shape->n || pg_get_short(m->body.p) != shape->n)
		return false;
	w->run += PG_HEAD_BYTES + m->body.len;
	w->n_rows++;
	return true;
}

/* Of a statement whose answer is awaited. *ret_over: it is whole. False: it cannot be. */
static bool take_answer(struct pg_wire *w, const struct pg_shape *shape, const struct pg_message *m,
			struct pg_reply *ret, bool *ret_over)
{
	*ret_over = false;
	switch (m->kind) {
	case 'D':
		return take_row(w, shape, m);
	case '2':
		if (w->bound || m->body.len != 0)
			return false;
		w->bound = true;
		return true;
	case 'C':
		if (!w->bound || m->body.len == 0 ||
		    memchr(m->body.p, '\0', m->body.len) != m->body.p + m->body.len - 1)
			return false;
		ret->status = shape->has_rows ? PGRES_TUPLES_OK : PGRES_COMMAND_OK;
		ret->tag = m->body.p;
		*ret_over = true;
		return true;
	case 'E':
		ret->status = PGRES_FATAL_ERROR;
		ret->said.fields = m->body;
		w->aborted = *ret_over = true;
		return pg_message_has_fields(m->body);
	default:
		return false;
	}
}

/* Where the sync point's answer is awaited. */
static bool take_sync(struct pg_wire *w, const struct pg_message *m, struct pg_reply *ret)
{
	switch (m->kind) {
	case 'E':
		ret->status = PGRES_FATAL_ERROR;
		ret->said.fields = m->body;
		return pg_message_has_fields(m->body);
	case 'Z':
		ret->status = PGRES_PIPELINE_SYNC;
		w->aborted = false;
		return m->body.len == 1 && m->body.p[0] == 'I';
	default:
		return false;
	}
}

enum pg_io pg_wire_next(struct pg_conn *c, const struct pg_shape *shape, int64_t deadline_ns, struct pg_reply *ret)
{
	struct pg_wire *w = &c->wire;
	struct pg_message m;
	bool over = w->aborted && shape != NULL;

	*ret = (struct pg_reply){.end = w->at_end, .status = PGRES_PIPELINE_ABORTED};
	if (w->at_end) {
		w->at_end = false;
		return PG_IO_OK;
	}
	if (!w->bound) {
		strbuf_reset(&w->rows);
		w->n_rows = 0;
	}
	while (!over) {
		const enum pg_io io = next_message(c, deadline_ns, &m);

		if (io != PG_IO_OK)
			return io;
		if (shape == NULL)
			return take_sync(w, &m, ret) ? PG_IO_OK : PG_IO_LOST;
		if (!take_answer(w, shape, &m, ret, &over))
			return PG_IO_LOST;
	}
	w->at_end = true;
	w->bound = false;
	return PG_IO_OK;
}

enum pg_io pg_wire_drain(struct pg_conn *c, int64_t deadline_ns, bool *ret_cancelled)
{
	for (;;) {
		struct pg_message m;
		const enum pg_io io = next_message(c, deadline_ns, &m);

		if (io != PG_IO_OK)
			return io;
		c->wire.run = 0;
		if (m.kind == 'E' && ret_cancelled != NULL && pg_message_has_fields(m.body))
			*ret_cancelled |= pg_said_state_is(&(struct pg_said){.fields = m.body}, "57014");
		if (m.kind == 'Z')
			return m.body.len == 1 && m.body.p[0] == 'I' ? PG_IO_OK : PG_IO_LOST;
		if (strchr("2DCE", m.kind) == NULL || m.kind == '\0')
			return PG_IO_LOST;
	}
}

bool pg_wire_over(struct pg_conn *c)
{
	struct pg_wire *w = &c->wire;
	struct pg_message m;
	bool aside = true;

	while (aside && pg_message_first(str_n(w->in + w->at, w->end - w->at), &m) == PG_COME_WHOLE) {
		w->at += PG_HEAD_BYTES + m.body.len;
		if (!take_aside(c, &m, &aside))
			return false;
	}
	if (w->in_size > KEPT_BYTES || w->rows.size > KEPT_BYTES) {
		mem_free(w->in);
		w->in = NULL;
		strbuf_done(&w->rows);
		w->in_size = 0;
	}
	const bool all_sent = w->sent == w->out.len;
	if (w->out.size > KEPT_BYTES)
		strbuf_done(&w->out);
	w->running = false;
	return aside && w->at == w->end && all_sent && !w->changed;
}

void pg_wire_done(struct pg_wire *w)
{
	mem_free(w->in);
	strbuf_done(&w->out);
	strbuf_done(&w->rows);
}
