/*
 * What comes back of the flight that a statement starts, and what travels along in it: statements that are known to
 * follow (driver->ahead) leave behind it, COMMIT behind the last of them. Each of them is prepared by its caller when
 * its turn comes, which sends nothing then and reads what is there. One that fails ends the flight: the server runs
 * nothing of what is behind it, COMMIT neither, and those have no turn.
 */
#include "store/driver/postgres/postgres_driver.h"

#include <string.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

/* What nobody reads any more is waited for so long before the statement that runs is cancelled. */
#define UNREAD_NS (20 * CLOCK_NS_PER_MS)

/* The time of the statement is over, but not its request's: one that has committed and waits for a standby only is left
 * to it. A server that waits so has told nothing yet, not even what the statement did. */
static bool may_wait_on(struct pg_conn *c)
{
	const int64_t now = clock_mono_ns();
	bool commits;

	if ((!c->cur.autocommit && !pg_flight_commits(c)) || c->cur.told.reads || c->base.request_deadline_ns <= now)
		return false;
	fiber_shield();
	commits = pg_cancel_waits_for_standby(c->cancel, clock_min(now + LIMIT_GRACE_NS, c->base.request_deadline_ns));
	fiber_unshield();
	if (commits)
		c->cur.deadline = c->base.request_deadline_ns;
	return commits;
}

/* The server holds back what it has to say of the first until the last is done. One that takes too long is asked to
 * stop, and what it says then is read: which of them was stopped shows in its turn. */
static enum pg_io next_of_stopped(struct pg_conn *c, enum pg_io why, PGresult **ret)
{
	struct pg_ahead *a = &c->ahead;
	enum pg_io io = why;

	fiber_shield();
	if (a->stopped == PG_IO_OK) {
		a->stop_until = clock_mono_ns() + LIMIT_GRACE_NS;
		if (pg_cancel_send(c->cancel))
			a->stopped = why;
	}
	if (a->stopped != PG_IO_OK)
		io = pg_next(c, a->stop_until, ret);
	fiber_unshield();
	return io;
}

enum pg_io pg_flight_next(struct pg_conn *c, PGresult **ret)
{
	enum pg_io io;

	if (c->ahead.stopped != PG_IO_OK)
		return next_of_stopped(c, c->ahead.stopped, ret);
	io = pg_next(c, c->cur.deadline, ret);
	if (io == PG_IO_TIMEOUT && may_wait_on(c))
		io = pg_next(c, c->cur.deadline, ret);
	if (pg_travels(c) && (io == PG_IO_TIMEOUT || io == PG_IO_CANCELLED))
		io = next_of_stopped(c, io, ret);
	return io;
}

bool pg_is_rows(const PGresult *res)
{
	const ExecStatusType status = PQresultStatus(res);

	return status == PG_ROWS_STATUS || status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/* The results of a step before the statement's own, and the NULL after them. *ret_error: it failed. Its rows, if any,
 * may come one by one: a mode that is set for one statement outlives it in some versions of libpq. mark: gets what the
 * first of them says of the transaction; NULL: they say nothing. */
static enum pg_io read_before(struct pg_conn *c, struct commit_mark *mark, PGresult **ret_error)
{
	*ret_error = NULL;
	for (size_t n = 0;; n++) {
		PGresult *res;
		enum pg_io io = pg_flight_next(c, &res);

		if (io != PG_IO_OK)
			return io;
		if (res == NULL)
			return n > 0 ? PG_IO_OK : PG_IO_LOST;
		if (!pg_is_rows(res)) {
			*ret_error = res;
			return PG_IO_OK;
		}
		if (mark != NULL && n == 0)
			pg_mark_read(c, res, mark);
		PQclear(res);
	}
}

/* BEGIN and its preparation, or what a pooler is told, and what goes along. */
static enum pg_io read_opening(struct pg_conn *c, const struct pg_started *st, size_t n, PGresult **ret_error)
{
	const size_t told = c->base.notices.len;
	const unsigned n_told = c->base.n_notices;
	size_t n_along = st->n_along;
	enum pg_io io = PG_IO_OK;

	*ret_error = NULL;
	for (; n > 0 && io == PG_IO_OK && *ret_error == NULL; n--)
		io = read_before(c, NULL, ret_error);
	if (c->base.n_notices > n_told) { /* of our own SET LOCAL: its transaction is none that a BEGIN began */
		strbuf_truncate(&c->base.notices, told);
		c->base.n_notices = n_told;
	}
	if (st->n_words > 0)
		pg_words_done(c, io == PG_IO_OK && *ret_error == NULL);
	if (n_along == 0 || io != PG_IO_OK || *ret_error != NULL)
		return io;
	for (; n_along > 0 && io == PG_IO_OK && *ret_error == NULL; n_along--)
		io = read_before(c, n_along == 1 && c->has_history ? &c->base.mark : NULL, ret_error);
	if (io == PG_IO_OK)
		pg_along_done(c, *ret_error, n_along == 0);
	return io;
}

/* The steps before the statement itself. *ret_error: the one that failed. */
static enum pg_io read_steps(struct pg_conn *c, const struct pg_started *st, const struct pg_flight *f,
			     PGresult **ret_error)
{
	const size_t n_before = (st->pooled ? f->n_before : 0) + st->n_words + st->opens;
	const size_t n = st->n_dead + (st->id != 0);
	enum pg_io io = read_opening(c, st, n_before, ret_error);

	if (io != PG_IO_OK || *ret_error != NULL)
		return io;
	for (size_t i = 0; i < n; i++) {
		io = read_before(c, NULL, ret_error);
		if (io != PG_IO_OK || *ret_error != NULL)
			return io;
		if (!st->added && i < st->n_dead)
			c->cache.n_dead--; /* they were sent from the end */
	}
	return PG_IO_OK;
}

enum pg_io pg_flight_first(struct pg_conn *c, const struct pg_started *st, const struct pg_flight *f, PGresult **ret)
{
	const enum pg_io io = read_steps(c, st, f, ret);

	if (io != PG_IO_OK || *ret != NULL) {
		if (st->added)
			pg_cache_lost(&c->cache, st->id);
		return io;
	}
	if (st->id != 0 && !st->added)
		pg_cache_add(&c->cache, st->id);
	if (!c->cur.whole)
		c->by_rows = PG_ROWS_MODE(c->pg) == 1;
	return pg_flight_next(c, ret);
}

/* ---- what travels along ---- */

bool pg_ahead(struct driver_conn *base, const struct stmt *const *stmts, size_t n)
{
	struct pg_conn *c = pg_conn(base);

	if (c->pooled || (c->opening[0] == '\0' && PQtransactionStatus(c->pg) != PQTRANS_INTRANS))
		return false;
	c->ahead.stmts = stmts;
	c->ahead.n_stmts = n < DRIVER_AHEAD_MAX ? n : DRIVER_AHEAD_MAX;
	if (c->ahead.items == NULL)
		c->ahead.items = mem_array(DRIVER_AHEAD_MAX, sizeof(*c->ahead.items));
	return true;
}

static bool is_same(const struct stmt *a, const struct stmt *b)
{
	if (!str_eq(a->sql, b->sql) || a->n_params != b->n_params || a->raw != b->raw)
		return false;
	for (size_t i = 0; i < a->n_params; i++)
		if (!value_equal(a->params[i], b->params[i]))
			return false;
	return true;
}

const struct pg_ahead_item *pg_ahead_take(struct pg_conn *c, const struct stmt *s)
{
	struct pg_ahead *a = &c->ahead;

	return is_same(a->items[a->at].s, s) ? &a->items[a->at++] : NULL;
}

void pg_ahead_forget(struct pg_conn *c)
{
	struct pg_ahead *a = &c->ahead;

	for (; a->at < a->n; a->at++)
		if (a->items[a->at].started.id != 0)
			pg_cache_lost(&c->cache, a->items[a->at].started.id);
	if (a->mark_id != 0)
		pg_cache_lost(&c->cache, a->mark_id);
	a->n = a->at = 0;
	a->mark_id = 0;
	a->closes = false;
	a->stopped = PG_IO_OK;
}

void pg_ahead_drop(struct pg_conn *c)
{
	PGresult *error;
	struct err ignored;

	fiber_shield();
	const enum pg_io io = pg_drain(c, clock_mono_ns() + UNREAD_NS, &error);
	PQclear(error);
	if (io != PG_IO_OK)
		(void)pg_give_up(c, io, false, NULL, &ignored);
	fiber_unshield();
	pg_flight_unread(c, &ignored);
	pg_ahead_forget(c);
}

/* ---- ends ---- */

bool pg_flight_over(struct pg_conn *c, bool received)
{
	bool ok = true;

	fiber_shield();
	if (c->ahead.stopped != PG_IO_OK)
		ok = pg_cancel_over(c, received, clock_mono_ns() + LIMIT_GRACE_NS);
	fiber_unshield();
	pg_ahead_forget(c);
	c->base.broken = c->base.broken || !ok;
	return ok;
}

void pg_flight_settle(struct pg_conn *c, bool received)
{
	PGresult *error;
	enum pg_io io;

	fiber_shield();
	io = pg_drain(c, clock_mono_ns() + LIMIT_GRACE_NS, &error);
	fiber_unshield();
	PQclear(error);
	if (io != PG_IO_OK)
		c->base.broken = true;
	else
		(void)!pg_flight_over(c, received);
	pg_ahead_forget(c);
}

bool pg_flight_commits(const struct pg_conn *c)
{
	return c->cur.closes || c->ahead.closes;
}

void pg_flight_unread(struct pg_conn *c, struct err *err)
{
	if (!pg_flight_commits(c))
		return;
	if (!c->base.broken && PQtransactionStatus(c->pg) != PQTRANS_IDLE)
		return; /* it was never come to */
	c->base.n_commits += !c->base.broken;
	c->base.n_rollbacks += !c->base.broken;
	err->outcome = ERR_OUTCOME_UNKNOWN;
}

enum pg_io pg_flight_skip(struct pg_conn *c, PGresult **ret_error)
{
	*ret_error = NULL;
	for (;;) {
		PGresult *res;
		const enum pg_io io = pg_flight_next(c, &res);

		if (io != PG_IO_OK || res == NULL)
			return io;
		if (!pg_is_rows(res)) {
			*ret_error = res;
			return io;
		}
		PQclear(res);
	}
}

/* Behind the statement's last result: its end, and the mark. */
static enum pg_io read_mark(struct pg_conn *c, struct commit_mark *mark, PGresult **ret_error)
{
	PGresult *res;
	enum pg_io io = pg_flight_next(c, &res);

	*ret_error = NULL;
	if (io == PG_IO_OK && res != NULL) { /* the statement fails after its last row */
		*ret_error = res;
		return io;
	}
	if (io == PG_IO_OK && c->ahead.mark_id != 0) {
		io = read_before(c, NULL, ret_error);
		if (io != PG_IO_OK || *ret_error != NULL)
			return io;
		c->ahead.mark_id = 0;
	}
	while (io == PG_IO_OK && mark != NULL && (io = pg_flight_next(c, &res)) == PG_IO_OK && res != NULL) {
		if (PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PG_ROWS_STATUS)
			pg_mark_read(c, res, mark);
		if (!pg_is_rows(res)) {
			*ret_error = res;
			return io;
		}
		PQclear(res);
	}
	return io;
}

/* And the COMMIT, whose failure (a deferred constraint's) is *ret_error. */
static enum pg_io read_commit(struct pg_conn *c, PGresult **ret_error)
{
	PGresult *res = NULL;
	enum pg_io io = read_mark(c, c->cur.mark, ret_error);

	if (io != PG_IO_OK || *ret_error != NULL)
		return io;
	io = pg_flight_next(c, &res);
	if (io != PG_IO_OK || res == NULL)
		return io == PG_IO_OK ? PG_IO_LOST : io;
	if (PQresultStatus(res) != PGRES_COMMAND_OK) {
		*ret_error = res;
		return io;
	}
	c->base.n_commits += strcmp(PQcmdStatus(res), "COMMIT") == 0;
	c->base.n_rollbacks += strcmp(PQcmdStatus(res), "COMMIT") != 0;
	c->cur.closes = false; /* read */
	PQclear(res);
	return io;
}

enum pg_io pg_flight_end(struct pg_conn *c, PGresult **ret_error)
{
	PGresult *more = NULL;
	enum pg_io io = PG_IO_OK;

	*ret_error = NULL;
	if (pg_ahead_left(c) > 0)
		return pg_flight_skip(c, ret_error);
	if (c->cur.closes)
		io = read_commit(c, ret_error);
	else if (c->cur.marks)
		io = read_mark(c, &c->base.mark, ret_error);
	if (io != PG_IO_OK)
		return io;
	io = pg_drain(c, c->ahead.stopped != PG_IO_OK ? c->ahead.stop_until : c->cur.deadline, &more);
	if (io == PG_IO_TIMEOUT && *ret_error == NULL && more == NULL && may_wait_on(c))
		io = pg_drain(c, c->cur.deadline, &more);
	if (*ret_error == NULL)
		*ret_error = more;
	else
		PQclear(more);
	return io;
}
