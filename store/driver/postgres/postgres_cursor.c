/*
 * A running statement: prepare, step, finish. A statement that is not prepared yet travels in one pipeline with
 * whatever the server has to forget first, so that it costs no round trip of its own. The first result is read before
 * prepare returns; rows come one result a row or a few (ROWS_MODE), so that memory stays flat, or all in one (quick
 * statements).
 */
#include "store/driver/postgres/postgres_driver.h"

#include <assert.h>
#include <stdio.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

/* How rows come that are not wanted all at once. libpq 17 hands out a few in one result, which spares a result's cost
 * for each; few, so that wide rows do not add up (the server sends small ones by the 8 KiB in any case). */
#define CHUNK_ROWS 8
#ifdef LIBPQ_HAS_CHUNK_MODE
#define ROWS_MODE(pg) PQsetChunkedRowsMode(pg, CHUNK_ROWS)
#define ROWS_STATUS PGRES_TUPLES_CHUNK
#else
#define ROWS_MODE(pg) PQsetSingleRowMode(pg)
#define ROWS_STATUS PGRES_SINGLE_TUPLE
#endif
/* Rows left over are read for so long before the statement is cancelled instead. */
#define LEFTOVER_NS (20 * CLOCK_NS_PER_MS)

/* The time of the statement is over, but not its request's: one that has committed and waits for a standby only is left
 * to it. A server that waits so has told nothing yet, not even what the statement did. */
static bool may_wait_on(struct pg_conn *c)
{
	const int64_t now = clock_mono_ns();
	bool commits;

	if (!c->cur.autocommit || c->cur.reads || c->base.request_deadline_ns <= now)
		return false;
	fiber_shield();
	commits = pg_cancel_waits_for_standby(c->cancel, clock_min(now + PG_GRACE_NS, c->base.request_deadline_ns));
	fiber_unshield();
	if (commits)
		c->cur.deadline = c->base.request_deadline_ns;
	return commits;
}

static enum pg_io next(struct pg_conn *c, PGresult **ret)
{
	enum pg_io io = pg_next(c, c->cur.deadline, ret);

	if (io == PG_IO_TIMEOUT && may_wait_on(c))
		io = pg_next(c, c->cur.deadline, ret);
	return io;
}

static bool is_rows(const PGresult *res)
{
	const ExecStatusType status = PQresultStatus(res);

	return status == ROWS_STATUS || status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/* The results of a step before the statement's own, and the NULL after them. *ret_error: it failed. Its rows, if any,
 * may come one by one: a mode that is set for one statement outlives it in some versions of libpq. */
static enum pg_io read_before(struct pg_conn *c, PGresult **ret_error)
{
	*ret_error = NULL;
	for (size_t n = 0;; n++) {
		PGresult *res;
		enum pg_io io = next(c, &res);

		if (io != PG_IO_OK)
			return io;
		if (res == NULL)
			return n > 0 ? PG_IO_OK : PG_IO_LOST;
		if (!is_rows(res)) {
			*ret_error = res;
			return PG_IO_OK;
		}
		PQclear(res);
	}
}

/* Reads up to the first result of the statement itself, or of the step that failed. */
static enum pg_io read_first(struct pg_conn *c, const struct pg_started *st, const struct pg_flight *f, PGresult **ret)
{
	struct pg_cache *k = &c->cache;

	for (size_t i = 0; st->pooled && i < f->n_before; i++) {
		enum pg_io io = read_before(c, ret);

		if (io != PG_IO_OK || *ret != NULL)
			return io;
	}

	if (st->opens) {
		enum pg_io io = read_before(c, ret);

		if (io != PG_IO_OK || *ret != NULL)
			return io;
	}
	for (size_t i = 0; i < st->n_dead; i++) {
		enum pg_io io = read_before(c, ret);

		if (io != PG_IO_OK || *ret != NULL)
			return io;
		k->n_dead--; /* they were sent from the end */
	}
	if (st->id != 0) {
		enum pg_io io = read_before(c, ret);

		if (io != PG_IO_OK || *ret != NULL)
			return io;
		pg_cache_add(k, st->id);
	}
	if (!c->cur.whole)
		c->by_rows = ROWS_MODE(c->pg) == 1;
	return next(c, ret);
}

/* Nothing is running any more, or the connection is broken. */
static void settle(struct pg_conn *c)
{
	PGresult *error;
	enum pg_io io;

	fiber_shield();
	io = pg_drain(c, clock_mono_ns() + PG_GRACE_NS, &error);
	fiber_unshield();
	PQclear(error);
	if (io != PG_IO_OK)
		c->base.broken = true;
}

/* Takes res, which is a failure or not understood. Always false. */
static bool fail(struct pg_conn *c, PGresult *res, struct err *err)
{
	struct pg_cursor *cur = &c->cur;

	cur->done = true;
	switch ((int)PQresultStatus(res)) {
	case PGRES_EMPTY_QUERY:
		(void)err_set(err, ERR_SQL_ERROR, "the text holds no statement");
		break;
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		c->base.broken = true;
		(void)err_set(err, ERR_SQL_ERROR, "COPY is not available here");
		break;
	default:
		(void)pg_fail(c, res, cur->raw, cur->autocommit, err);
		/* a procedure may have committed on its way */
		if (cur->autocommit && !cur->raw && pg_is_fatal(res))
			err->outcome = ERR_OUTCOME_ROLLED_BACK;
		/* the server's own last word is about the statement; a loss without one may be of the COMMIT behind it
		 */
		if (cur->closes && c->base.broken && !pg_is_fatal(res))
			err->outcome = ERR_OUTCOME_UNKNOWN;
		if (cur->several && strcmp(err->sqlstate, "42601") == 0)
			(void)err_set(err, ERR_SQL_ERROR, "the text holds more than one statement: send one a call");
	}
	PQclear(res);
	if (!c->base.broken)
		settle(c);
	if (!cur->autocommit)
		pg_count_end(c, NULL);
	return false;
}

/* What became of a COMMIT whose answer was not read: both counts say that nobody knows. */
static void count_unread(struct pg_conn *c, struct err *err)
{
	if (!c->cur.closes)
		return;
	if (!c->base.broken && PQtransactionStatus(c->pg) != PQTRANS_IDLE)
		return; /* it was never come to */
	c->base.n_commits += !c->base.broken;
	c->base.n_rollbacks += !c->base.broken;
	err->outcome = ERR_OUTCOME_UNKNOWN;
}

static bool give_up(struct pg_conn *c, enum pg_io why, struct err *err)
{
	c->cur.done = true;
	(void)pg_give_up(c, why, c->cur.autocommit, NULL, err);
	count_unread(c, err);
	return false;
}

static void grow(struct pg_cursor *cur, size_t n)
{
	if (n <= cur->size)
		return;
	cur->columns = mem_realloc(cur->columns, n * sizeof(*cur->columns));
	cur->row = mem_realloc(cur->row, n * sizeof(*cur->row));
	cur->cells = mem_realloc(cur->cells, n * sizeof(*cur->cells));
	cur->size = n;
}

/* Takes the statement's first result. */
static void open_rows(struct pg_cursor *cur, PGresult *res)
{
	const int n = PQnfields(res);

	grow(cur, (size_t)n);
	for (int i = 0; i < n; i++) {
		cur->columns[i] = (struct cursor_column){
			.name = str_z(PQfname(res, i)), .type_oid = PQftype(res, i), .type = STR_NONE};
		cur->cells[i] = pg_cell_of(PQftype(res, i));
	}
	cur->meta = cur->res = res;
	cur->tag[0] = '\0';
	cur->next_row = 0;
	cur->n_rows = PQntuples(res);
	cur->base.n_columns = (size_t)n;
	cur->base.columns = cur->columns;
	cur->base.row = cur->row;
}

/* A cached plan whose table has changed, or a statement that somebody else has dropped: prepared anew it may well run.
 */
static bool is_stale(const struct pg_started *st, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (state == NULL || (st->hit == NULL && st->n_dead == 0))
		return false;
	return strcmp(state, "26000") == 0 || (st->hit != NULL && strcmp(state, "0A000") == 0);
}

static void forget_stale(struct pg_conn *c, const struct pg_started *st, const PGresult *res)
{
	const bool gone = strcmp(PQresultErrorField(res, PG_DIAG_SQLSTATE), "26000") == 0;

	if (st->hit != NULL)
		pg_cache_drop(&c->cache, st->hit, gone);
	else
		pg_cache_clear(&c->cache, true);
}

/* Takes the first result of rows, or refuses it. */
static bool take_first(struct pg_conn *c, PGresult *res, struct err *err)
{
	struct pg_cursor *cur = &c->cur;
	const char *fault = PQresultStatus(res) != PGRES_COMMAND_OK ? pg_columns_fault(res, cur->n_expected) : NULL;

	if (fault == NULL) {
		open_rows(cur, res);
		return true;
	}
	PQclear(res);
	cur->done = true;
	return pg_fail_answer(c, fault, cur->autocommit, err);
}

/* May what has failed succeed when it is sent anew? */
static bool worth_another(struct pg_conn *c, struct pg_started *st, struct pg_flight *f, const PGresult *res)
{
	if (c->pooled)
		return st->pooled && pg_pooled_again(c, f, res);
	if (!is_stale(st, res))
		return false;
	forget_stale(c, st, res);
	return f->attempt++ == 0 || !c->cur.autocommit;
}

/* The transaction that a statement has begun and failed in for no fault of its own is begun anew. */
static bool reopen(struct pg_conn *c, const char *opening, struct err *err)
{
	const uint64_t n_rollbacks = c->base.n_rollbacks;

	if (!pg_simple(c, "ROLLBACK", clock_mono_ns() + PG_CLEANUP_NS, NULL, err))
		return false;
	c->base.n_rollbacks = n_rollbacks;
	memcpy(c->opening, opening, sizeof(c->opening));
	return true;
}

static bool start(struct pg_conn *c, const struct stmt *s, struct pg_flight *f, struct err *err)
{
	struct pg_started st;
	PGresult *res = NULL;
	bool again;
	enum pg_io io;
	char opening[sizeof(c->opening)];

	memcpy(opening, c->opening, sizeof(opening));

	if (!pg_send_stmt(c, s, f, &st))
		return give_up(c, PG_IO_LOST, err);
	io = read_first(c, &st, f, &res);
	if (io != PG_IO_OK)
		return give_up(c, io, err);
	if (res != NULL && is_rows(res)) {
		if (st.pooled)
			pg_pooled_done(c, f);
		return take_first(c, res, err);
	}
	again = worth_another(c, &st, f, res);
	(void)fail(c, res, err);
	if (!again || c->base.broken)
		return false;
	if (st.opens && f->attempt == 1) {
		if (!reopen(c, opening, err))
			return false;
	} else if (!c->cur.autocommit) {
		(void)err_set(err, ERR_SERIALIZATION_FAILURE, "a table changed while the transaction ran: try again");
		return false;
	}
	c->cur.done = false;
	return start(c, s, f, err);
}

bool pg_prepare(struct driver_conn *base, const struct stmt *s, int64_t deadline_ns, struct cursor **ret,
		struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	struct pg_cursor *cur = &c->cur;
	struct pg_flight flight = {.attempt = 0};

	assert(!cur->active);
	cur->leaves = c->leaves;
	c->leaves = false;
	cur->several = cur->deallocates = cur->alters = false;
	cur->closes = c->closing;
	cur->mark = c->closing ? c->closing_mark : NULL;
	c->closing = false;
	cur->reads = s->access == STMT_READ;
	if (memchr(s->sql.p, '\0', s->sql.len) != NULL)
		return err_set(err, ERR_SQL_ERROR, "the statement holds the character U+0000");
	if (s->raw && stmt_takes_own_savepoint(s->sql))
		return err_set(err, ERR_SQL_ERROR, "%s", STMT_OWN_SAVEPOINT);
	if (s->raw && !pg_check_raw(c, s, err))
		return false;
	if (!pg_params_set(&c->params, s, err) || !pg_ready(c, deadline_ns, err))
		return false;
	memset(&cur->base, 0, sizeof(cur->base));
	cur->base.conn = base;
	cur->base.read_only = cur->reads;
	cur->raw = s->raw;
	cur->autocommit = PQtransactionStatus(c->pg) == PQTRANS_IDLE && c->opening[0] == '\0';
	cur->whole = s->quick || s->small;
	cur->done = false;
	cur->deadline = deadline_ns;
	cur->n_expected = s->n_columns;
	cur->divides = s->raw && !cur->autocommit && stmt_is_transaction(s->sql);
	cur->closes = cur->closes && !cur->divides && !cur->autocommit;
	if (cur->divides && !pg_chain_before(c, deadline_ns, err))
		return false;
	if (!start(c, s, &flight, err))
		return false;
	cur->active = true;
	*ret = &cur->base;
	return true;
}

int64_t pg_count_affected(const char *tag)
{
	int64_t n;

	if (strncmp(tag, "INSERT", 6) != 0 && strncmp(tag, "UPDATE", 6) != 0 && strncmp(tag, "DELETE", 6) != 0 &&
	    strncmp(tag, "MERGE", 5) != 0)
		return 0;
	/* PQcmdTuples would tell the connection of a tag without a number, and the result may have outlived it */
	tag = strrchr(tag, ' ');
	return tag != NULL && num_parse_int(str_z(tag + 1), &n) && n > 0 ? n : 0;
}

static void drop_row(struct pg_cursor *cur)
{
	if (cur->res != cur->meta)
		PQclear(cur->res);
	cur->res = NULL;
}

/* The command's tag comes with the last result, or (libpq 17) with the last one that has rows. */
static void keep_tag(struct pg_cursor *cur)
{
	const char *tag = PQcmdStatus(cur->res);

	if (tag[0] != '\0')
		(void)snprintf(cur->tag, sizeof(cur->tag), "%s", tag);
}

/* Behind the statement's last result: its end, the mark, and the COMMIT, whose failure (a deferred constraint's) is
 * *ret_error. */
static enum pg_io read_commit(struct pg_conn *c, PGresult **ret_error)
{
	PGresult *res;
	enum pg_io io = next(c, &res);

	*ret_error = NULL;
	if (io == PG_IO_OK && res != NULL) { /* the statement fails after its last row */
		*ret_error = res;
		return io;
	}
	while (io == PG_IO_OK && c->cur.mark != NULL && (io = next(c, &res)) == PG_IO_OK && res != NULL) {
		if (PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == ROWS_STATUS)
			pg_mark_read(c, res, c->cur.mark);
		if (!is_rows(res)) {
			*ret_error = res;
			return io;
		}
		PQclear(res);
	}
	if (io == PG_IO_OK)
		io = next(c, &res);
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

/* Reads to the end; *ret_error: what failed. */
static enum pg_io read_end(struct pg_conn *c, PGresult **ret_error)
{
	PGresult *more = NULL;
	enum pg_io io = PG_IO_OK;

	*ret_error = NULL;
	if (c->cur.closes)
		io = read_commit(c, ret_error);
	if (io != PG_IO_OK)
		return io;
	io = pg_drain(c, c->cur.deadline, &more);
	if (io == PG_IO_TIMEOUT && *ret_error == NULL && more == NULL && may_wait_on(c))
		io = pg_drain(c, c->cur.deadline, &more);
	if (*ret_error == NULL)
		*ret_error = more;
	else
		PQclear(more);
	return io;
}

/* After the last result: whatever still fails (a deferred constraint, at the implicit commit) comes now. */
static bool end(struct pg_conn *c, struct err *err)
{
	struct pg_cursor *cur = &c->cur;
	PGresult *error;
	enum pg_io io;

	keep_tag(cur);
	cur->base.affected = pg_count_affected(cur->tag);
	const bool closes = cur->closes;
	io = read_end(c, &error);
	cur->done = true;
	if (error != NULL) {
		(void)pg_fail(c, error, cur->raw, cur->autocommit, err);
		PQclear(error);
		if (io != PG_IO_OK)
			c->base.broken = true;
		if (closes && c->base.broken)
			err->outcome = ERR_OUTCOME_UNKNOWN;
		if (!cur->autocommit)
			pg_count_end(c, NULL);
		return false;
	}
	if (io != PG_IO_OK)
		return give_up(c, io, err);
	if (!cur->autocommit && !closes)
		pg_count_end(c, cur->tag);
	if (cur->divides && strcmp(cur->tag, "ROLLBACK") == 0 && !pg_chain_after(c, cur->deadline, err))
		return false;
	if (cur->alters)
		pg_plain_forget(c->base.db->plain);
	if (cur->deallocates)
		pg_cache_clear(&c->cache, true);
	return !c->base.unreplicated || pg_fail_unreplicated(c, err);
}

/* The next result of a statement whose rows come a few at a time. */
static bool next_result(struct pg_conn *c, struct err *err)
{
	struct pg_cursor *cur = &c->cur;
	PGresult *res = NULL;
	enum pg_io io;

	keep_tag(cur);
	drop_row(cur);
	io = next(c, &res);
	if (io != PG_IO_OK)
		return give_up(c, io, err);
	if (res == NULL || !is_rows(res))
		return fail(c, res, err);
	cur->res = res;
	cur->next_row = 0;
	cur->n_rows = PQntuples(res);
	if (cur->n_rows == 0 || (size_t)PQnfields(res) == cur->base.n_columns)
		return true;
	cur->done = true;
	return pg_fail_answer(c, "rows of one statement with different columns", cur->autocommit, err);
}

bool pg_step(struct cursor *base, bool *ret_row, struct err *err)
{
	struct pg_conn *c = pg_conn(base->conn);
	struct pg_cursor *cur = &c->cur;

	*ret_row = false;
	if (cur->done)
		return true;
	driver_take_loan(&c->base, &cur->deadline);
	if (cur->next_row >= cur->n_rows && PQresultStatus(cur->res) == ROWS_STATUS && !next_result(c, err))
		return false;
	if (cur->next_row >= cur->n_rows)
		return end(c, err);
	for (size_t i = 0; i < cur->base.n_columns; i++) {
		if (pg_cell_value(cur->res, cur->next_row, (int)i, cur->cells[i], &cur->row[i]))
			continue;
		cur->done = true;
		return pg_fail_answer(c, "a value that is none of its type", cur->autocommit, err);
	}
	cur->next_row++;
	*ret_row = true;
	return true;
}

/* Rows nobody wants. Only a statement that surely writes nothing, on its own, may be cancelled: else that would undo
 * work, or abort the client's transaction. */
static void drop_rest(struct pg_conn *c)
{
	struct pg_cursor *cur = &c->cur;
	const bool expendable = cur->autocommit && cur->reads;
	const int64_t until = clock_mono_ns() + LEFTOVER_NS;
	PGresult *error;
	struct err ignored;
	enum pg_io io = pg_drain(c, expendable ? clock_min(until, cur->deadline) : cur->deadline, &error);

	PQclear(error);
	if (io != PG_IO_OK)
		(void)pg_give_up(c, io, cur->autocommit, NULL, &ignored);
	count_unread(c, &ignored);
}

void pg_finish(struct cursor *base)
{
	struct pg_conn *c;
	struct pg_cursor *cur;

	if (base == NULL)
		return;
	c = pg_conn(base->conn);
	cur = &c->cur;
	if (!cur->done && !c->base.broken)
		drop_rest(c);
	drop_row(cur);
	PQclear(cur->meta);
	cur->meta = NULL;
	cur->active = false;
}

void pg_cursor_done(struct pg_cursor *cur)
{
	drop_row(cur);
	PQclear(cur->meta);
	mem_free(cur->columns);
	mem_free(cur->row);
	mem_free(cur->cells);
	memset(cur, 0, sizeof(*cur));
}

bool pg_ask(struct driver_conn *base, struct str sql, struct str param, int64_t deadline_ns, bool *ret, struct err *err)
{
	const struct value v = value_text(param);
	const struct stmt s = {.sql = sql,
			       .params = &v,
			       .n_params = 1,
			       .n_columns = 1,
			       .access = STMT_READ,
			       .cache = true,
			       .quick = true};
	struct cursor *cur;
	bool row = false, ok;

	*ret = false;
	if (!pg_prepare(base, &s, deadline_ns, &cur, err))
		return false;
	ok = pg_step(cur, &row, err);
	*ret = ok && row && cur->row[0].kind == VALUE_BOOL && cur->row[0].u.b;
	pg_finish(cur);
	return ok;
}
