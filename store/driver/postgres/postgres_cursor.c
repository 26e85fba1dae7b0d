/*
 * A running statement: prepare, step, finish. A statement that is not prepared yet travels in one pipeline with
 * whatever the server has to forget first, so that it costs no round trip of its own. The first result is read before
 * prepare returns; rows come one result a row or a few (PG_ROWS_MODE), so that memory stays flat, or all in one (quick
 * statements).
 */
#include "store/driver/postgres/postgres_driver.h"

#include <assert.h>
#include <stdio.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

/* Rows left over are read for so long before the statement is cancelled instead. */
#define LEFTOVER_NS (20 * CLOCK_NS_PER_MS)

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
		if (cur->told.several && strcmp(err->sqlstate, "42601") == 0)
			(void)err_set(err, ERR_SQL_ERROR, "the text holds more than one statement: send one a call");
	}
	/* the server's own last word is about the statement; a loss without one may be of the COMMIT behind it */
	if (pg_flight_commits(c) && c->base.broken && !pg_is_fatal(res))
		err->outcome = ERR_OUTCOME_UNKNOWN;
	PQclear(res);
	const enum pg_io stopped = c->ahead.stopped;
	const bool received = strcmp(err->sqlstate, "57014") == 0;
	if (!c->base.broken)
		pg_flight_settle(c, received);
	if (stopped != PG_IO_OK && received)
		pg_say_stopped(stopped, err);
	if (!cur->autocommit)
		pg_count_end(c, NULL);
	return false;
}

static bool give_up(struct pg_conn *c, enum pg_io why, struct err *err)
{
	c->cur.done = true;
	(void)pg_give_up(c, why, c->cur.autocommit, NULL, err);
	pg_flight_unread(c, err);
	pg_ahead_forget(c);
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

/* The answer cannot be, and the connection is given up: what of it has committed, or will, is not known. */
static bool refuse_answer(struct pg_conn *c, const char *what, struct err *err)
{
	c->cur.done = true;
	return pg_fail_answer(c, what, c->cur.autocommit || pg_flight_commits(c), err);
}

/* Takes the first result of rows, or refuses it. */
static bool take_first(struct pg_conn *c, PGresult *res, struct err *err)
{
	struct pg_cursor *cur = &c->cur;
	const char *fault =
		PQresultStatus(res) != PGRES_COMMAND_OK ? pg_columns_fault(res, cur->n_expected, true) : NULL;

	if (fault == NULL) {
		open_rows(cur, res);
		return true;
	}
	PQclear(res);
	return refuse_answer(c, fault, err);
}

/* May what has failed succeed when it is sent anew? */
static bool worth_another(struct pg_conn *c, struct pg_started *st, struct pg_flight *f, const PGresult *res)
{
	if (c->pooled)
		return st->pooled && pg_pooled_again(c, f, res);
	if ((st->n_along > 0 && c->along.failed) || !is_stale(st, res))
		return false;
	forget_stale(c, st, res);
	return f->attempt++ == 0 || !c->cur.autocommit;
}

/* The transaction that a statement has begun and failed in for no fault of its own is begun anew. n_rollbacks: before
 * it failed. */
static bool reopen(struct pg_conn *c, const char *opening, uint64_t n_rollbacks, struct err *err)
{
	const bool begun = PQtransactionStatus(c->pg) != PQTRANS_IDLE;

	c->words.off |= !begun; /* BEGIN itself was not known there */
	if (begun && !pg_simple(c, "ROLLBACK", clock_mono_ns() + LIMIT_CLEANUP_NS, NULL, err))
		return false;
	c->base.n_rollbacks = n_rollbacks;
	memcpy(c->opening, opening, sizeof(c->opening));
	return true;
}

static bool start(struct pg_conn *c, const struct stmt *s, struct pg_flight *f, struct err *err)
{
	const uint64_t n_rollbacks = c->base.n_rollbacks;
	const bool along = c->along.waits;
	struct pg_started st;
	PGresult *res = NULL;
	bool again;
	enum pg_io io;
	char opening[sizeof(c->opening)];

	memcpy(opening, c->opening, sizeof(opening));

	if (!pg_send_stmt(c, s, f, &st))
		return give_up(c, PG_IO_LOST, err);
	io = pg_flight_first(c, &st, f, &res);
	if (io != PG_IO_OK)
		return give_up(c, io, err);
	if (res != NULL && pg_is_rows(res)) {
		if (st.pooled)
			pg_pooled_done(c, f);
		return take_first(c, res, err);
	}
	again = worth_another(c, &st, f, res);
	(void)fail(c, res, err);
	pg_pooled_end(c);
	if (!again || c->base.broken)
		return false;
	if (st.opens && f->attempt == 1) {
		if (!reopen(c, opening, n_rollbacks, err))
			return false;
		c->along.waits = along;
	} else if (!c->cur.autocommit) {
		(void)err_set(err, ERR_SERIALIZATION_FAILURE, "a table changed while the transaction ran: try again");
		return false;
	}
	c->cur.done = c->cur.marks = false;
	/* others' may have been set since, which travelled along */
	return pg_params_set(&c->params, s, err) && start(c, s, f, err);
}

/* One that has left with another. */
static bool take_turn(struct pg_conn *c, const struct pg_ahead_item *item, struct err *err)
{
	const struct pg_flight none = {.attempt = 0};
	PGresult *res = NULL;
	const enum pg_io io = pg_flight_first(c, &item->started, &none, &res);

	if (io != PG_IO_OK)
		return give_up(c, io, err);
	if (res != NULL && pg_is_rows(res))
		return take_first(c, res, err);
	const bool stale = is_stale(&item->started, res);
	(void)fail(c, res, err);
	if (!stale || c->base.broken)
		return false;
	pg_cache_clear(&c->cache, false);
	return err_set(err, ERR_SERIALIZATION_FAILURE, "a table changed while the transaction ran: try again");
}

/* The cursor of s; what is told from its text is there. */
static void set_up(struct pg_conn *c, const struct stmt *s, bool autocommit, int64_t deadline_ns)
{
	struct pg_cursor *cur = &c->cur;

	memset(&cur->base, 0, sizeof(cur->base));
	cur->base.conn = &c->base;
	cur->base.read_only = cur->told.reads;
	cur->raw = s->raw;
	cur->autocommit = autocommit;
	cur->whole = s->quick || s->small;
	cur->done = cur->marks = false;
	cur->deadline = deadline_ns;
	/* what is told of it may come with the last of its flight only */
	const size_t n_others = c->ahead.n_stmts > 1 ? c->ahead.n_stmts - 1 : pg_ahead_left(c);
	if (n_others > 0 && c->base.statement_timeout_ns > 0)
		cur->deadline = clock_min(c->base.request_deadline_ns,
					  deadline_ns + (int64_t)n_others * c->base.statement_timeout_ns);
	cur->n_expected = s->n_columns;
	cur->divides = s->raw && !autocommit && stmt_is_transaction(s->sql);
}

static bool prepare_sent(struct pg_conn *c, const struct stmt *s, int64_t deadline_ns, struct err *err)
{
	struct pg_cursor *cur = &c->cur;
	const struct pg_ahead_item *item = pg_ahead_take(c, s);

	if (item == NULL) {
		const bool commits = c->ahead.closes;

		pg_ahead_forget(c);
		return pg_fail_answer(c, "a statement that is not the one that was sent", commits, err);
	}
	cur->told = item->told;
	set_up(c, s, false, deadline_ns);
	cur->closes = c->ahead.closes && pg_ahead_left(c) == 0;
	cur->mark = c->ahead.mark;
	if (cur->closes)
		c->ahead.closes = false;
	return take_turn(c, item, err);
}

/* Behind a pooler, what the transaction may have left in the session is put back before its end, whoever says that. */
static bool clean_up(struct pg_conn *c, int64_t deadline_ns, struct err *err)
{
	struct strbuf sql;
	bool ok;

	if (PQtransactionStatus(c->pg) != PQTRANS_INTRANS)
		return true;
	strbuf_init(&sql, 0);
	pg_clean_sql(c, &sql);
	ok = strbuf_failed(&sql) ? err_oom(err) : pg_simple(c, sql.p, deadline_ns, NULL, err);
	strbuf_done(&sql);
	return ok;
}

static bool prepare(struct pg_conn *c, const struct stmt *s, bool closes, int64_t deadline_ns, struct err *err)
{
	struct pg_cursor *cur = &c->cur;
	struct pg_flight flight = {.attempt = 0};
	const bool unclean = c->unclean;

	if (!pg_check(c, s, err) || !pg_ready(c, deadline_ns, err) || (s->raw && !pg_bytes_fit(c, s, deadline_ns, err)))
		return false;
	set_up(c, s, PQtransactionStatus(c->pg) == PQTRANS_IDLE && c->opening[0] == '\0', deadline_ns);
	cur->closes = closes && !cur->divides && !cur->autocommit;
	if (cur->divides || cur->autocommit)
		c->ahead.n_stmts = 0;
	if (unclean && cur->divides && stmt_ends_transaction(s->sql) && !clean_up(c, deadline_ns, err))
		return false;
	return (!cur->divides || pg_chain_before(c, deadline_ns, err)) && start(c, s, &flight, err);
}

bool pg_prepare(struct driver_conn *base, const struct stmt *s, int64_t deadline_ns, struct cursor **ret,
		struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	struct pg_cursor *cur = &c->cur;
	const bool closes = c->closing;
	bool ok;

	assert(!cur->active);
	cur->leaves = c->leaves;
	cur->closes = c->leaves = c->closing = false;
	if (pg_ahead_left(c) > 0) {
		ok = prepare_sent(c, s, deadline_ns, err);
	} else {
		cur->mark = closes ? c->closing_mark : NULL;
		ok = prepare(c, s, closes, deadline_ns, err);
	}
	c->ahead.n_stmts = 0;
	cur->active = ok;
	if (!ok)
		pg_pooled_end(c);
	*ret = &cur->base;
	return ok;
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

/* After the last result: whatever still fails (a deferred constraint, at the implicit commit) comes now. */
static bool end(struct pg_conn *c, struct err *err)
{
	struct pg_cursor *cur = &c->cur;
	PGresult *error;
	enum pg_io io;

	keep_tag(cur);
	cur->base.affected = pg_count_affected(cur->tag);
	const bool closes = cur->closes, alone = pg_ahead_left(c) == 0;
	io = pg_flight_end(c, &error);
	cur->done = true;
	if (error != NULL && io == PG_IO_OK && !alone)
		pg_flight_settle(c, false);
	if (error != NULL) {
		if (io == PG_IO_OK)
			(void)!pg_flight_over(c, false);
		(void)pg_fail(c, error, cur->raw, cur->autocommit, err);
		PQclear(error);
		if (io != PG_IO_OK)
			c->base.broken = true;
		if ((closes || pg_flight_commits(c)) && c->base.broken)
			err->outcome = ERR_OUTCOME_UNKNOWN;
		if (!cur->autocommit)
			pg_count_end(c, NULL);
		return false;
	}
	if (io != PG_IO_OK)
		return give_up(c, io, err);
	if (alone && pg_travels(c) && !pg_flight_over(c, false))
		return pg_fail_answer(c, "a request to stop that is not answered", closes, err);
	if (!cur->autocommit && !closes)
		pg_count_end(c, cur->tag);
	if (cur->divides && strcmp(cur->tag, "ROLLBACK") == 0 && !pg_chain_after(c, cur->deadline, err))
		return false;
	if (cur->told.alters)
		pg_plain_forget(c->base.db->plain);
	if (cur->told.deallocates)
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
	io = pg_flight_next(c, &res);
	if (io != PG_IO_OK)
		return give_up(c, io, err);
	if (res == NULL || !pg_is_rows(res))
		return fail(c, res, err);
	cur->res = res;
	cur->next_row = 0;
	cur->n_rows = PQntuples(res);
	if (cur->n_rows == 0 || (size_t)PQnfields(res) == cur->base.n_columns)
		return true;
	return refuse_answer(c, "rows of one statement with different columns", err);
}

bool pg_step(struct cursor *base, bool *ret_row, struct err *err)
{
	struct pg_conn *c = pg_conn(base->conn);
	struct pg_cursor *cur = &c->cur;

	*ret_row = false;
	if (cur->done)
		return true;
	driver_take_loan(&c->base, &cur->deadline);
	if (cur->next_row >= cur->n_rows && PQresultStatus(cur->res) == PG_ROWS_STATUS && !next_result(c, err))
		return false;
	if (cur->next_row >= cur->n_rows)
		return end(c, err);
	for (size_t i = 0; i < cur->base.n_columns; i++) {
		if (pg_cell_value(cur->res, cur->next_row, (int)i, cur->cells[i], &cur->row[i]))
			continue;
		return refuse_answer(c, "a value that is none of its type", err);
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
	const bool expendable = cur->autocommit && cur->told.reads;
	const int64_t until = clock_mono_ns() + LEFTOVER_NS;
	PGresult *error;
	struct err ignored;
	enum pg_io io = pg_drain(c, expendable ? clock_min(until, cur->deadline) : cur->deadline, &error);

	PQclear(error);
	if (io != PG_IO_OK)
		(void)pg_give_up(c, io, cur->autocommit, NULL, &ignored);
	pg_flight_unread(c, &ignored);
	if (pg_travels(c) && !c->base.broken)
		(void)!pg_flight_over(c, false);
}

/* Of one with others behind it in its flight. An error of its own is told to nobody, as ever: the transaction is
 * aborted, which the next statement shows. */
static void drop_own(struct pg_conn *c)
{
	PGresult *error;
	struct err ignored;
	const enum pg_io io = pg_flight_skip(c, &error);

	if (io != PG_IO_OK)
		(void)give_up(c, io, &ignored);
	else if (error != NULL)
		pg_flight_settle(c, false);
	PQclear(error);
}

void pg_finish(struct cursor *base)
{
	struct pg_conn *c;
	struct pg_cursor *cur;

	if (base == NULL)
		return;
	c = pg_conn(base->conn);
	cur = &c->cur;
	if (!cur->done && !c->base.broken && pg_ahead_left(c) > 0)
		drop_own(c);
	else if (!cur->done && !c->base.broken)
		drop_rest(c);
	drop_row(cur);
	PQclear(cur->meta);
	cur->meta = NULL;
	cur->active = false;
	pg_pooled_end(c);
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
