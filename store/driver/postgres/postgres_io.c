/*
 * Waiting for the server without blocking the loop, and reading a connection idle again. libpq,
 * "Asynchronous Command Processing": flush until nothing is left, waiting for both directions; read only while
 * PQisBusy.
 */
#include "store/driver/postgres/postgres_driver.h"

#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* An encrypted connection may hold a record's rest that no poll sees: look again after that long. */
#define TLS_LOOK_NS (50 * CLOCK_NS_PER_MS)

static enum pg_io of_wait(enum wait_result r)
{
	switch (r) {
	case WAIT_READY:
		return PG_IO_OK;
	case WAIT_TIMEOUT:
		return PG_IO_TIMEOUT;
	case WAIT_CANCELLED:
		break;
	}
	return PG_IO_CANCELLED;
}

/* *ret_events (NULL is fine): of the events, those that have come. */
static enum pg_io wait_socket(struct pg_conn *c, short events, int64_t deadline, short *ret_events)
{
	const bool tls = PQsslInUse(c->pg) != 0;
	const int64_t until = tls ? clock_min(deadline, clock_mono_ns() + TLS_LOOK_NS) : deadline;
	enum wait_result r = wait_fd(PQsocket(c->pg), events, until, ret_events);

	if (r == WAIT_TIMEOUT && until < deadline)
		return PG_IO_OK;
	return of_wait(r);
}

/* Takes in what has come. What a server says unasked is dropped at once: libpq would keep every notification. */
static bool is_busy(struct pg_conn *c)
{
	const bool busy = PQisBusy(c->pg) != 0;

	c->n_told += pg_told_drop(c->pg);
	return busy;
}

/* Until no result is incomplete. */
static enum pg_io wait_result_ready(struct pg_conn *c, int64_t deadline)
{
	for (;;) {
		int unsent = PQflush(c->pg);
		enum pg_io io;

		if (unsent < 0 || PQsocket(c->pg) < 0)
			return PG_IO_LOST;
		if (!is_busy(c))
			return PG_IO_OK;
		/* a server that sends faster than we read would never let the wait itself time out */
		if (clock_mono_ns() >= deadline)
			return PG_IO_TIMEOUT;
		io = wait_socket(c, (short)(POLLIN | (unsent > 0 ? POLLOUT : 0)), deadline, NULL);
		if (io != PG_IO_OK)
			return io;
		if (c->pieces == 0)
			return PG_IO_LOST;
		c->pieces -= c->pieces > 0;
		if (pg_told_too_much(c->pg))
			return PG_IO_LOST;
		/* false: the connection is gone; PQgetResult tells what the server said last */
		if (!PQconsumeInput(c->pg))
			return PG_IO_OK;
	}
}

/* PostgreSQL manual, 34.9: the input is taken in, then what is told is asked for. */
enum wait_result pg_notified(struct driver_conn *base, int64_t deadline_ns)
{
	struct pg_conn *c = pg_conn(base);

	for (;;) {
		if (pg_told_drop(c->pg) > 0 || base->broken)
			return WAIT_READY;
		const enum pg_io io =
			clock_mono_ns() < deadline_ns ? wait_socket(c, POLLIN, deadline_ns, NULL) : PG_IO_TIMEOUT;
		if (io == PG_IO_TIMEOUT)
			return WAIT_TIMEOUT;
		if (io == PG_IO_CANCELLED)
			return WAIT_CANCELLED;
		base->broken = io == PG_IO_LOST || pg_told_too_much(c->pg) || !PQconsumeInput(c->pg) ||
			       PQstatus(c->pg) == CONNECTION_BAD;
	}
}

/* While rows are sent a server may tell things, or refuse them, which takes some reads. What else comes is nobody's
 * answer, and would stay in memory until one is looked for; and libpq reads by itself wherever it cannot send. So what
 * waits is counted before anything may read it, and what of it is left afterwards not once more. */
#define BLIND_READS 64
#define BLIND_BYTES (1024 * 1024)

static unsigned waiting(const struct pg_conn *c)
{
	int n = 0;

	return ioctl(PQsocket(c->pg), FIONREAD, &n) == 0 && n > 0 ? (unsigned)n : 0;
}

/* Returns what waits now, all of it counted. */
static unsigned count_blindly(struct pg_conn *c)
{
	const unsigned n = waiting(c);

	c->blind_bytes += n - (n < c->blind_left ? n : c->blind_left);
	return n;
}

/* Something may have read of so many bytes that had been counted. */
static void left_blindly(struct pg_conn *c, unsigned counted)
{
	const unsigned n = waiting(c);

	c->blind_left = n < counted ? n : counted;
}

static bool take_in_blindly(struct pg_conn *c, short events)
{
	const uint64_t told = c->n_told;
	const unsigned counted = count_blindly(c);

	if (!PQconsumeInput(c->pg))
		return false;
	left_blindly(c, counted);
	(void)is_busy(c);
	c->n_blind += (events & POLLIN) != 0;
	if (c->n_told != told)
		c->n_blind = c->blind_bytes = 0;
	return c->n_blind < BLIND_READS && c->blind_bytes < BLIND_BYTES;
}

static int flush_blindly(struct pg_conn *c)
{
	const unsigned counted = count_blindly(c);
	const int unsent = PQflush(c->pg);

	left_blindly(c, counted);
	return unsent;
}

enum pg_io pg_flush(struct pg_conn *c, int64_t deadline_ns)
{
	int unsent;

	while ((unsent = flush_blindly(c)) > 0) {
		short events = 0;
		enum pg_io io = PG_IO_TIMEOUT;

		if (clock_mono_ns() < deadline_ns)
			io = wait_socket(c, POLLIN | POLLOUT, deadline_ns, &events);
		if (io != PG_IO_OK)
			return io;
		if (!take_in_blindly(c, events))
			return PG_IO_LOST;
	}
	return unsent == 0 ? PG_IO_OK : PG_IO_LOST;
}

/* Behind a pooler, one that has dropped every prepared statement ends the names of the connection, as the pooler may
 * (postgres_pooled.c). */
static void hear(struct pg_conn *c, PGresult *res)
{
	const char *tag = c->pooled && PQresultStatus(res) == PGRES_COMMAND_OK ? PQcmdStatus(res) : "";

	if (c->nameless || (strcmp(tag, "DEALLOCATE ALL") != 0 && strcmp(tag, "DISCARD ALL") != 0))
		return;
	c->nameless = true;
	c->base.session_dirty = true;
}

enum pg_io pg_next(struct pg_conn *c, int64_t deadline_ns, PGresult **ret)
{
	enum pg_io io = PG_IO_OK;

	if (is_busy(c))
		io = wait_result_ready(c, deadline_ns);
	if (io != PG_IO_OK)
		return io;
	*ret = PQgetResult(c->pg);
	c->n_blind = c->blind_bytes = c->blind_left = 0;
	if (*ret != NULL) {
		c->at_end = false;
		c->wire.heard = false; /* what had come before is whole */
		hear(c, *ret);
		return PG_IO_OK;
	}
	/* in a pipeline two ends never follow each other: a server that has answered out of step would be waited for,
	 * without a wait, for ever */
	if (PQstatus(c->pg) == CONNECTION_BAD || (c->at_end && c->n_syncs > 0))
		return PG_IO_LOST;
	c->at_end = true;
	return PG_IO_OK;
}

enum pg_io pg_drain(struct pg_conn *c, int64_t deadline_ns, PGresult **ret_error)
{
	*ret_error = NULL;
	for (;;) {
		PGresult *res;
		enum pg_io io = pg_next(c, deadline_ns, &res);
		ExecStatusType status;

		if (io != PG_IO_OK)
			return io;
		if (res == NULL) {
			if (c->n_syncs == 0)
				return PG_IO_OK;
			continue;
		}
		status = PQresultStatus(res);
		if (status == PGRES_FATAL_ERROR && *ret_error == NULL)
			*ret_error = res;
		else
			PQclear(res);
		if (PQstatus(c->pg) == CONNECTION_BAD)
			return PG_IO_LOST;
		/* COPY was refused before it was sent; whatever this is, it is not worth a protocol of its own. */
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
			return PG_IO_LOST;
		if (status == PGRES_PIPELINE_SYNC && --c->n_syncs == 0)
			return PQexitPipelineMode(c->pg) == 1 ? PG_IO_OK : PG_IO_LOST;
	}
}

/* ---- giving up ---- */

bool pg_cancel_over(struct pg_conn *c, bool received, int64_t deadline_ns)
{
	PGresult *error;

	if (!pg_cancel_settled(c->cancel, deadline_ns))
		return false;
	if (received)
		return true;
	/* The statement was over before: the signal may still be on its way. A round trip receives it. */
	if (PQsendQuery(c->pg, "") != 1)
		return false;
	const enum pg_io io = pg_drain(c, deadline_ns, &error);
	PQclear(error);
	return io == PG_IO_OK;
}

void pg_say_stopped(enum pg_io why, struct err *err)
{
	if (why == PG_IO_CANCELLED)
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the request was cancelled while its statement ran");
	else
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the statement took longer than allowed and was cancelled");
	err->cancelled = why == PG_IO_CANCELLED;
}

/* Reads the connection idle again after a request to cancel. *ret_ended: the statement succeeded all the same. */
static bool cancel_and_drain(struct pg_conn *c, bool *ret_ended)
{
	const int64_t deadline = clock_mono_ns() + LIMIT_GRACE_NS;
	PGresult *error;
	const char *state;
	bool cancelled;
	enum pg_io io;

	if (!pg_cancel_send(c->cancel))
		return false;
	io = pg_drain(c, deadline, &error);
	state = PQresultErrorField(error, PG_DIAG_SQLSTATE); /* NULL is fine */
	cancelled = state != NULL && strcmp(state, "57014") == 0;
	*ret_ended = error == NULL;
	PQclear(error);
	return io == PG_IO_OK && pg_cancel_over(c, cancelled, deadline);
}

bool pg_give_up(struct pg_conn *c, enum pg_io why, bool autocommit, bool *ret_ended, struct err *err)
{
	enum err_outcome outcome = ERR_OUTCOME_UNKNOWN;
	bool ended = false;

	if (ret_ended != NULL)
		*ret_ended = false;
	if (why == PG_IO_LOST || why == PG_IO_OK)
		return pg_fail(c, NULL, false, autocommit, err);
	fiber_shield();
	if (!cancel_and_drain(c, &ended)) {
		c->base.broken = true;
	} else {
		outcome = ended ? ERR_OUTCOME_COMMITTED : ERR_OUTCOME_ROLLED_BACK;
		if (ret_ended != NULL)
			*ret_ended = ended;
	}
	fiber_unshield();
	pg_say_stopped(why, err);
	err->outcome = autocommit ? outcome : ERR_OUTCOME_NONE;
	if (autocommit && c->base.unreplicated) {
		(void)pg_fail_unreplicated(c, err);
		err->cancelled = why == PG_IO_CANCELLED;
	}
	return false;
}

bool pg_fail_unreplicated(struct pg_conn *c, struct err *err)
{
	(void)err_set(
		err, c->base.broken ? ERR_DATABASE_UNAVAILABLE : ERR_STATEMENT_TIMEOUT,
		"the transaction has committed on the server that runs it, but the wait for its synchronous standby "
		"was cancelled: it may not have been replicated, and be lost if that server is");
	err->outcome = ERR_OUTCOME_UNKNOWN;
	return false;
}

/* ---- sending --------------------------------------------------------------------------------------- */

/* One look holds for the statement that follows at once. */
#define SEEN_NS CLOCK_NS_PER_MS

/* A connection that the server has closed while it was idle shows as readable. One system call that does not wait. */
static bool peer_is_there(struct pg_conn *c)
{
	const int64_t now = clock_mono_ns();

	if (now - c->seen_ns < SEEN_NS)
		return true;
	c->seen_ns = now;
	for (int i = 0; i < 4; i++) {
		char byte;
		ssize_t n = recv(PQsocket(c->pg), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
		if (n == 0 || !PQconsumeInput(c->pg) || PQstatus(c->pg) != CONNECTION_OK)
			return false;
		(void)is_busy(c); /* takes in what came unasked: notices, parameter changes */
		c->wire.heard = true;
	}
	return true;
}

bool pg_usable(struct pg_conn *c, int64_t deadline_ns, struct err *err)
{
	bool refused = true;

	if (pg_ahead_left(c) > 0) {
		(void)pg_fail_answer(c, "a flight that was not read to its end", false, err);
	} else if (c->base.broken || PQstatus(c->pg) != CONNECTION_OK ||
		   (PQtransactionStatus(c->pg) == PQTRANS_IDLE && !peer_is_there(c))) {
		c->base.broken = true;
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "the connection to the database was lost");
	} else if (fiber_cancelled()) {
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the request was cancelled before its statement ran");
		err->cancelled = true;
	} else if (clock_mono_ns() >= deadline_ns) {
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over before the statement ran");
	} else {
		refused = false;
	}
	if (refused)
		err->outcome = ERR_OUTCOME_NOT_STARTED;
	c->base.unreplicated = false;
	return !refused;
}

/* One statement of a pipeline hits the guard sooner or later only because it waits: by itself it may. RESET, because
 * the role, the database or the URL may have set bounds of their own. */
static bool unguard(struct pg_conn *c, int64_t deadline, struct err *err)
{
	PGresult *error = NULL;
	enum pg_io io = PG_IO_LOST;
	bool ok;

	if (PQsendQuery(c->pg, "RESET lock_timeout; RESET statement_timeout") == 1)
		io = pg_drain(c, deadline, &error);
	ok = io == PG_IO_OK && error == NULL;
	c->guarded = !ok;
	if (io != PG_IO_OK)
		(void)pg_give_up(c, io, false, NULL, err);
	else if (error != NULL)
		(void)pg_fail(c, error, false, false, err);
	PQclear(error);
	if (!ok)
		err->outcome = ERR_OUTCOME_NOT_STARTED;
	return ok;
}

bool pg_ready(struct pg_conn *c, int64_t deadline_ns, struct err *err)
{
	return pg_usable(c, deadline_ns, err) && (!c->guarded || unguard(c, deadline_ns, err));
}

bool pg_send_once(struct pg_conn *c, const struct stmt *s)
{
	const struct pg_params *p = &c->params;

	strbuf_reset(&c->text);
	strbuf_put(&c->text, s->sql);
	strbuf_putc(&c->text, '\0');
	return !strbuf_failed(&c->text) &&
	       PQsendQueryParams(c->pg, c->text.p, (int)p->n, p->types, p->values, p->lengths, p->formats, 0) == 1;
}

void pg_count_end(struct pg_conn *c, const char *tag)
{
	const bool idle = !c->base.broken && PQtransactionStatus(c->pg) == PQTRANS_IDLE;

	if (tag != NULL && strcmp(tag, "COMMIT") == 0)
		c->base.n_commits++;
	else if (idle && (tag == NULL || strcmp(tag, "ROLLBACK") == 0))
		c->base.n_rollbacks++; /* not ROLLBACK TO; a COMMIT that failed, too */
	else if (idle && strcmp(tag, "PREPARE TRANSACTION") == 0) {
		c->base.n_commits++; /* somebody will decide: both counts have moved, which says that nobody knows */
		c->base.n_rollbacks++;
	}
}

/* Reads to the end; the first error is mapped, the last command tag kept. */
static enum pg_io simple_results(struct pg_conn *c, int64_t deadline, char tag[32], bool *ret_ok, bool autocommit,
				 struct err *err)
{
	*ret_ok = true;
	for (;;) {
		PGresult *res;
		enum pg_io io = pg_next(c, deadline, &res);
		ExecStatusType status;

		if (io != PG_IO_OK)
			return io;
		if (res == NULL)
			return PG_IO_OK;
		status = PQresultStatus(res);
		if (status == PGRES_FATAL_ERROR && *ret_ok)
			*ret_ok = pg_fail(c, res, false, autocommit, err);
		else
			(void)snprintf(tag, 32, "%s", PQcmdStatus(res));
		PQclear(res);
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
			return PG_IO_LOST;
		if (PQstatus(c->pg) == CONNECTION_BAD)
			return *ret_ok ? PG_IO_LOST : PG_IO_OK;
	}
}

/* What was to go along with a statement, by itself. */
static bool along_now(struct pg_conn *c, int64_t deadline_ns, struct err *err)
{
	PGresult *error = NULL;
	enum pg_io io = PG_IO_LOST;
	size_t n;

	if (!c->along.waits)
		return true;
	if (PQenterPipelineMode(c->pg) == 1) {
		c->n_syncs = 1;
		if (pg_along_send(c, &n) && PQpipelineSync(c->pg) == 1)
			io = pg_drain(c, deadline_ns, &error);
	}
	if (io == PG_IO_OK || error != NULL)
		pg_along_done(c, error, error == NULL);
	if (error != NULL) {
		(void)pg_fail(c, error, false, false, err);
		PQclear(error);
		c->base.broken |= io != PG_IO_OK;
		return false;
	}
	return io == PG_IO_OK || pg_give_up(c, io, false, NULL, err);
}

bool pg_open_now(struct pg_conn *c, int64_t deadline_ns, struct err *err)
{
	char sql[sizeof(c->opening)];

	if (c->opening[0] == '\0')
		return true;
	memcpy(sql, c->opening, sizeof(sql));
	c->opening[0] = '\0';
	const bool along = c->along.waits;
	c->along.waits = false;
	if (pg_simple(c, sql, deadline_ns, NULL, err)) {
		c->along.waits = along;
		if (PQtransactionStatus(c->pg) == PQTRANS_INTRANS)
			return along_now(c, deadline_ns, err);
		(void)pg_fail_answer(c, "a transaction that did not begin", false, err);
	}
	c->base.n_rollbacks++; /* there is none */
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* The text, behind the BEGIN that waits for one. */
static bool send_simple(struct pg_conn *c, const char *sql)
{
	if (c->opening[0] == '\0')
		return PQsendQuery(c->pg, sql) == 1;
	strbuf_reset(&c->text);
	strbuf_puts(&c->text, c->opening);
	strbuf_puts(&c->text, "; ");
	strbuf_puts(&c->text, sql);
	c->opening[0] = '\0';
	return !strbuf_failed(&c->text) && PQsendQuery(c->pg, c->text.p) == 1;
}

bool pg_simple(struct pg_conn *c, const char *sql, int64_t deadline_ns, char tag[32], struct err *err)
{
	const bool autocommit = PQtransactionStatus(c->pg) == PQTRANS_IDLE && c->opening[0] == '\0';
	char unused[32];
	bool ok, ended;
	enum pg_io io;

	tag = tag != NULL ? tag : unused;
	tag[0] = '\0';
	if (!pg_ready(c, deadline_ns, err) || (c->along.waits && !pg_open_now(c, deadline_ns, err)))
		return false;
	if (!send_simple(c, sql))
		return pg_give_up(c, PG_IO_LOST, autocommit, NULL, err);
	io = simple_results(c, deadline_ns, tag, &ok, autocommit, err);
	if (io == PG_IO_OK) {
		if (!autocommit)
			pg_count_end(c, ok ? tag : NULL);
		return c->base.unreplicated ? pg_fail_unreplicated(c, err) : ok;
	}
	(void)pg_give_up(c, io, autocommit, &ended, err);
	/* it was over when the request to cancel came: then it has succeeded */
	return ended && ok && io == PG_IO_TIMEOUT && !c->base.broken;
}
