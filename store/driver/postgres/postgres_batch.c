/*
 * Several quick statements in one pipeline (libpq, "Pipeline Mode"). What the server runs between two sync points is
 * one implicit transaction.
 *
 * Reads share one sync point: an error aborts what follows it, and that is run again, by itself.
 *
 * Writes never share one: each has a sync point of its own behind it, so each is its own transaction, commits or fails
 * by itself and is answered when its sync point has. What holds for every write that was given to us:
 *
 *   - it is sent at most once, here; `again` says that nothing of it has remained: it was never sent, or the server has
 *     refused it, or has said that it ends the connection before it came to it;
 *   - without an error it is committed: its result and its sync point have both arrived;
 *   - when the connection is lost without a word, those whose sync point has not arrived may or may not be committed:
 *     outcome unknown, whether or not their result had arrived.
 *
 * One that waits (for a row that another transaction has locked) would hold up those behind it, which are sent already
 * and cannot be taken back. So the server bounds each wait for a lock and each statement on such a connection (the
 * guard): one that hits the bound is rolled back by the server, and runs again by itself, where it may wait as long as
 * its request has. No bound of the guard applies to a commit, which could not be taken back either.
 */
#include "store/driver/postgres/postgres_driver.h"

#include <assert.h>
#ifndef LIBPQ_HAS_SEND_PIPELINE_SYNC
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#endif

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

/* The answer to a client's own statement is read in at most so many pieces, of 16 KB or what a wide row takes. A longer
 * one is given up with its connection: it is no quick read, and would be held in memory as a whole. */
#define ANSWER_PIECES 128
/* Statements that the server is told to forget before a batch: as many as the one before may have pushed out. */
#define DEAD_PER_BATCH LIMIT_SHARED_STATEMENTS
/* Milliseconds; to the end of the session, for the next pipeline may well run on the same connection (pg_ready). */
#define GUARD_SQL \
	"SELECT pg_catalog.set_config('lock_timeout', '50', false), " \
	"pg_catalog.set_config('statement_timeout', '100', false)"

/* What was sent for an item. */
struct sent {
	bool raw;         /* a client's own */
	bool prepares;    /* a Parse of its own travels before it, and has not been answered */
	uint64_t id;      /* 0: nothing was sent */
	size_t n_columns; /* the statement's, which may be gone when the answer comes */
};

struct pipeline {
	struct pg_conn *c;
	struct batch_item *const *items;
	struct sent *sent;
	size_t n;
	bool writes;
	int64_t deadline;              /* of what is being read */
	bool prologue, guards;         /* it has one; and that sets the guard */
	bool stale;                    /* plans are older than their tables */
	bool ends;                     /* the server has said that it ends the connection: what follows was not run */
	const struct batch_item *late; /* its time was over and the server was asked to cancel */
};

/* ---- sending ---- */

/* Queues one item; false: the connection is of no more use. *ret_sent false: the item is to run by itself. */
static bool send_item(struct pg_conn *c, struct batch_item *item, struct sent *st, bool *ret_sent)
{
	char name[PG_NAME_BYTES];
	const struct pg_params *p = &c->params;
	bool fits;

	*ret_sent = false;
	if (!pg_params_set(&c->params, item->stmt, &item->err)) {
		item->failed = true;
		return true;
	}
	struct pg_stmt *hit = pg_cache_find(&c->cache, item->stmt, &fits);
	if (!fits || memchr(item->stmt->sql.p, '\0', item->stmt->sql.len) != NULL) {
		item->again = true;
		return true;
	}
	st->prepares = hit == NULL;
	st->n_columns = item->stmt->n_columns;
	st->raw = item->stmt->raw;
	if (hit != NULL) {
		c->base.cache_hits++;
		st->id = hit->id;
	} else {
		c->base.cache_misses++;
		st->id = ++c->cache.last_id;
		pg_stmt_name(st->id, name);
		if (PQsendPrepare(c->pg, name, c->cache.key.p, (int)p->n, p->types) != 1)
			return false;
		pg_cache_add(&c->cache, st->id); /* known to the batch's other items; pg_cache_lost when it fails */
	}
	pg_stmt_name(st->id, name);
	*ret_sent = PQsendQueryPrepared(c->pg, name, (int)p->n, p->values, p->lengths, p->formats, 0) == 1;
	return *ret_sent;
}

/* Small messages wait for each other, or each would wake the server: libpq 17 keeps a sync point back until it is told
 * to send, an older one sends at each, so that the socket has to wait. (One that is not TCP refuses, which is fine.) */
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
static void hold_back(struct pg_conn *c UNUSED)
{
}

static void let_go(struct pg_conn *c)
{
	(void)PQflush(c->pg); /* what does not go now goes while its answer is waited for, and fails there */
}

static bool add_sync(PGconn *pg)
{
	return PQsendPipelineSync(pg) == 1;
}
#else
static void cork(struct pg_conn *c, int on)
{
	(void)setsockopt(PQsocket(c->pg), IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static void hold_back(struct pg_conn *c)
{
	cork(c, 1);
}

static void let_go(struct pg_conn *c)
{
	cork(c, 0);
}

static bool add_sync(PGconn *pg)
{
	return PQpipelineSync(pg) == 1;
}
#endif

static bool send_sync(struct pg_conn *c)
{
	if (!add_sync(c->pg))
		return false;
	c->n_syncs++;
	return true;
}

/* What the server has to do before the items, in a transaction of its own. */
static bool send_prologue(struct pipeline *p)
{
	struct pg_cache *k = &p->c->cache;
	const size_t n_dead = k->n_dead < DEAD_PER_BATCH ? k->n_dead : DEAD_PER_BATCH;

	p->guards = p->writes && !p->c->guarded;
	/* a mode that was set for the statement before outlives it up to the first answer in a pipeline: that is this
	 * one's sync point */
	p->prologue = p->guards || n_dead > 0 || p->c->by_rows;
	p->c->by_rows = false;
	if (p->guards && PQsendQueryParams(p->c->pg, GUARD_SQL, 0, NULL, NULL, NULL, NULL, 0) != 1)
		return false;
	for (size_t i = 0; i < n_dead; i++)
		if (!pg_send_deallocate(p->c, k->dead[--k->n_dead]))
			return false;
	return !p->prologue || send_sync(p->c);
}

static bool send_reads(struct pipeline *p)
{
	for (size_t i = 0; i < p->n; i++) {
		bool was_sent;

		if (!send_item(p->c, p->items[i], &p->sent[i], &was_sent))
			return false;
		if (!was_sent)
			p->sent[i].id = 0;
	}
	return send_sync(p->c);
}

/* Stops at the first that cannot be sent; what went before it is on its way and will be answered. */
static void send_writes(struct pipeline *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct batch_item *item = p->items[i];
		bool was_sent, ok = send_item(p->c, item, &p->sent[i], &was_sent);

		if (ok && was_sent && !send_sync(p->c)) {
			/* it may have left all the same */
			item->failed = true;
			ok = pg_fail(p->c, NULL, false, true, &item->err);
			was_sent = false;
		}
		if (!was_sent)
			p->sent[i].id = 0;
		if (!ok) {
			p->c->base.broken = true;
			return;
		}
	}
}

/* ---- reading ---- */

/* The next result. A write whose time is over is cancelled; then there is a little time to learn what became of it and
 * of those behind it. */
static enum pg_io next(struct pipeline *p, const struct batch_item *item, PGresult **ret)
{
	enum pg_io io = pg_next(p->c, p->deadline, ret);

	if (io != PG_IO_TIMEOUT || !p->writes || p->late != NULL || item == NULL)
		return io;
	/* its request has time left: one that has committed and waits for a standby only is left to it */
	if (item->deadline_ns > clock_mono_ns() &&
	    pg_cancel_waits_for_standby(p->c->cancel, clock_mono_ns() + LIMIT_GRACE_NS)) {
		p->deadline = item->deadline_ns;
		io = pg_next(p->c, p->deadline, ret);
		if (io != PG_IO_TIMEOUT)
			return io;
	}
	p->late = item;
	p->deadline = clock_mono_ns() + LIMIT_GRACE_NS;
	return pg_cancel_send(p->c->cancel) ? pg_next(p->c, p->deadline, ret) : io;
}

static bool has_state(const PGresult *res, const char *want)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return state != NULL && strcmp(state, want) == 0;
}

/* Takes res, a failure. Of a batch of reads the first is the item's own; what was aborted by it runs again. A cached
 * plan that its table has outgrown is no failure either: all plans of this connection are made anew. Nor is one that
 * the server does not know (any more), one that has hit the guard, or was cancelled in another's place. */
static void judge_failure(struct pipeline *p, struct batch_item *item, bool raw, PGresult *res)
{
	const bool unknown = has_state(res, "26000"), stale = has_state(res, "0A000");
	const bool guard = has_state(res, "55P03") || (has_state(res, "57014") && item != p->late);

	const bool executed = item->result != NULL;

	pg_batch_drop(item);
	item->again = true;
	p->stale = p->stale || stale;
	item->slow = guard;
	if (PQresultStatus(res) != PGRES_PIPELINE_ABORTED && !unknown && !stale && !guard) {
		(void)pg_fail(p->c, res, raw, true, &item->err);
		if (pg_is_fatal(res)) {
			p->ends = true;
			if (!executed)
				item->err.outcome = ERR_OUTCOME_ROLLED_BACK;
		}
		item->failed = p->writes || !p->c->base.broken; /* a read may try elsewhere */
		item->again = !item->failed;
	}
	PQclear(res);
}

/* Takes res. NULL: no memory, and res is gone. */
static struct pg_batch_answer *answer_of(PGresult *res)
{
	const size_t n_columns = (size_t)PQnfields(res), n = (size_t)PQntuples(res) * n_columns;
	struct pg_batch_answer *a =
		mem_try(NULL, sizeof(*a) + n * sizeof(a->cells[0]) + n_columns * sizeof(*a->columns));

	if (a == NULL) {
		PQclear(res);
		return NULL;
	}
	a->res = res;
	a->columns = (struct cursor_column *)(void *)(a->cells + n);
	return a;
}

/* Keeps the item's result, when it is sound. What follows on the connection is read all the same. */
static void take_result(struct pipeline *p, struct batch_item *item, const struct sent *st, PGresult *res)
{
	const char *fault = NULL;
	struct pg_batch_answer *a;

	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		fault = pg_columns_fault(res, st->n_columns, st->raw);
	item->result = a = answer_of(res);
	if (a == NULL) {
		item->failed = true;
		(void)err_oom(&item->err);
		item->err.outcome = p->writes ? ERR_OUTCOME_UNKNOWN : ERR_OUTCOME_NONE;
		return;
	}
	if (fault == NULL)
		fault = pg_rows_read(res, a->cells);
	if (fault == NULL)
		return;
	pg_batch_drop(item);
	item->failed = true;
	(void)pg_fail_answer(p->c, fault, p->writes, &item->err);
}

static void judge(struct pipeline *p, struct batch_item *item, const struct sent *st, PGresult *res)
{
	const ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_TUPLES_OK || (p->writes && status == PGRES_COMMAND_OK)) {
		take_result(p, item, st, res);
		return;
	}
	if (st->prepares || has_state(res, "26000"))
		pg_cache_lost(&p->c->cache, st->id);
	judge_failure(p, item, st->raw, res);
}

/* The NULL that ends a statement's results. */
static enum pg_io read_end(struct pipeline *p, const struct batch_item *item)
{
	PGresult *end;
	enum pg_io io = next(p, item, &end);

	if (io != PG_IO_OK || end == NULL)
		return io;
	PQclear(end);
	return PG_IO_LOST;
}

static enum pg_io read_item(struct pipeline *p, struct batch_item *item, struct sent *st)
{
	PGresult *res;
	enum pg_io io = next(p, item, &res);

	if (io != PG_IO_OK || res == NULL)
		return io == PG_IO_OK ? PG_IO_LOST : io;
	if (st->prepares && PQresultStatus(res) == PGRES_COMMAND_OK) {
		st->prepares = false;
		PQclear(res);
		io = read_end(p, item);
		if (io == PG_IO_OK)
			io = next(p, item, &res);
		if (io != PG_IO_OK || res == NULL)
			return io == PG_IO_OK ? PG_IO_LOST : io;
	}
	judge(p, item, st, res);
	io = read_end(p, item);
	if (!st->prepares || io != PG_IO_OK)
		return io;
	st->prepares = false;
	io = next(p, item, &res); /* of the execution: aborted */
	if (io != PG_IO_OK)
		return io;
	PQclear(res);
	return read_end(p, item);
}

/* The sync point behind a write: until it has come nothing is committed for sure. What comes before it is the commit's
 * own failure, a deferred constraint's. */
static enum pg_io read_sync(struct pipeline *p, struct batch_item *item)
{
	for (;;) {
		PGresult *res;
		enum pg_io io = next(p, item, &res);

		if (io != PG_IO_OK)
			return io;
		if (res == NULL)
			continue;
		if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
			PQclear(res);
			p->c->n_syncs--;
			return PG_IO_OK;
		}
		if (PQresultStatus(res) != PGRES_FATAL_ERROR) {
			PQclear(res);
			return PG_IO_LOST;
		}
		if (item->result == NULL) { /* it had failed before */
			p->ends = p->ends || pg_is_fatal(res);
			PQclear(res);
			continue;
		}
		judge_failure(p, item, false, res);
	}
}

static enum pg_io read_prologue(struct pipeline *p)
{
	bool failed = false;

	while (p->prologue) {
		PGresult *res;
		enum pg_io io = next(p, NULL, &res);

		if (io != PG_IO_OK)
			return io;
		const ExecStatusType status = PQresultStatus(res); /* NULL is fine: an error */
		failed = failed || (res != NULL && (status == PGRES_FATAL_ERROR || status == PGRES_PIPELINE_ABORTED));
		p->ends = p->ends || pg_is_fatal(res);
		PQclear(res);
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
			return PG_IO_LOST; /* nobody asked for it, and it would never end */
		if (res == NULL || status != PGRES_PIPELINE_SYNC)
			continue;
		p->c->n_syncs--;
		p->c->guarded = p->c->guarded || (p->guards && !failed);
		p->prologue = false;
	}
	return PG_IO_OK;
}

/* ---- reads ---- */

/* Those without an outcome: the connection failed, or the time was over. Each may try by itself, within its own time.
 */
static void leave_rest(struct batch_item *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (items[i]->result == NULL && !items[i]->failed)
			items[i]->again = true;
}

static void read_all(struct pipeline *p)
{
	enum pg_io io = read_prologue(p);
	PGresult *error;
	struct err ignored;

	for (size_t i = 0; i < p->n && io == PG_IO_OK; i++) {
		p->c->pieces = p->sent[i].raw ? ANSWER_PIECES : -1;
		if (p->sent[i].id != 0)
			io = read_item(p, p->items[i], &p->sent[i]);
		if (io != PG_IO_OK && p->c->pieces == 0)
			p->items[i]->slow = true; /* too long an answer */
	}
	p->c->pieces = -1;
	if (io == PG_IO_OK) {
		io = pg_drain(p->c, p->deadline, &error);
		PQclear(error);
	}
	if (io != PG_IO_OK)
		(void)pg_give_up(p->c, io, true, NULL, &ignored);
	for (size_t i = 0; i < p->n && io != PG_IO_OK; i++)
		if (p->sent[i].prepares)
			pg_cache_lost(&p->c->cache, p->sent[i].id);
	if (p->stale)
		pg_cache_clear(&p->c->cache, false);
}

void pg_run_batch(struct driver_conn *base, struct batch_item *const *items, size_t n, int64_t deadline_ns)
{
	struct sent sent[LIMIT_SHARED_STATEMENTS]; /* n are used, and cleared */
	struct pipeline p = {.c = pg_conn(base), .items = items, .sent = sent, .n = n, .deadline = deadline_ns};
	struct err ignored;

	assert(n <= LIMIT_SHARED_STATEMENTS);
	memset(sent, 0, n * sizeof(*sent));
	fiber_shield(); /* the items are other requests', too */
	if (!p.c->pooled && pg_usable(p.c, deadline_ns, &ignored) && PQenterPipelineMode(p.c->pg) == 1) {
		if (send_prologue(&p) && send_reads(&p))
			read_all(&p);
		else
			base->broken = true;
	}
	leave_rest(items, n);
	fiber_unshield();
}

/* ---- writes ---- */

/* No more is to be learned about a write that was sent. */
static void fail_unknown(struct pipeline *p, struct batch_item *item, enum pg_io why)
{
	if (item->failed || item->again) /* the server had refused it before */
		return;
	pg_batch_drop(item);
	item->failed = true;
	(void)pg_fail(p->c, NULL, false, true, &item->err);
	if (why != PG_IO_TIMEOUT)
		return;
	(void)err_set(&item->err, ERR_STATEMENT_TIMEOUT, "the statement took longer than allowed and was cancelled");
	item->err.outcome = ERR_OUTCOME_UNKNOWN;
}

static enum pg_io read_write(struct pipeline *p, struct batch_item *item, struct sent *st)
{
	const int64_t timeout = p->c->base.statement_timeout_ns;
	enum pg_io io;

	if (p->late == NULL) /* its own time begins when those before it are done */
		p->deadline = timeout > 0 ? clock_min(item->deadline_ns, clock_mono_ns() + timeout) : item->deadline_ns;
	p->c->base.unreplicated = false;
	io = read_item(p, item, st);
	if (io == PG_IO_OK)
		io = read_sync(p, item);
	if (p->c->base.unreplicated && !item->failed && !item->again) {
		pg_batch_drop(item);
		item->failed = true;
		(void)pg_fail_unreplicated(p->c, &item->err);
	} else if (io != PG_IO_OK) {
		fail_unknown(p, item, io);
	} else if (p->late == item && item->result != NULL) {
		pg_batch_drop(item);
		item->failed = true;
		(void)err_set(&item->err, ERR_STATEMENT_TIMEOUT,
			      "the statement took longer than allowed and was cancelled");
		item->err.outcome = ERR_OUTCOME_COMMITTED;
	}
	return io;
}

/* Each item is gone as soon as it is done. */
static void read_writes(struct pipeline *p)
{
	enum pg_io io = p->ends ? PG_IO_LOST : read_prologue(p);

	for (size_t i = 0; i < p->n; i++) {
		struct batch_item *item = p->items[i];

		if (p->sent[i].id == 0 || (io != PG_IO_OK && p->ends))
			item->again = !item->failed;
		else if (io == PG_IO_OK)
			io = read_write(p, item, &p->sent[i]);
		else
			fail_unknown(p, item, io);
		if (item->done != NULL)
			item->done(item);
	}
	/* a cancellation may still be on its way, to hit whatever runs next */
	if (io != PG_IO_OK || p->late != NULL || PQexitPipelineMode(p->c->pg) != 1)
		p->c->base.broken = true;
	if (p->stale)
		pg_cache_clear(&p->c->cache, false);
}

/* Behind a pooler each transaction may be another connection's, and what it needs has to travel with it. */
bool pg_groups(const struct driver_db *db)
{
	return __atomic_load_n(&db->found, __ATOMIC_RELAXED) == POOLER_NONE;
}

void pg_run_writes(struct driver_conn *base, struct batch_item *const *items, size_t n, int64_t deadline_ns)
{
	struct sent sent[LIMIT_SHARED_STATEMENTS]; /* n are used, and cleared */
	struct pipeline p = {.c = pg_conn(base), .items = items, .sent = sent, .n = n, .writes = true};
	struct err ignored;

	assert(n <= LIMIT_SHARED_STATEMENTS);
	memset(sent, 0, n * sizeof(*sent));
	fiber_shield();
	p.deadline = deadline_ns;
	if (!p.c->pooled && pg_usable(p.c, deadline_ns, &ignored) && PQenterPipelineMode(p.c->pg) == 1) {
		hold_back(p.c);
		if (send_prologue(&p))
			send_writes(&p);
		else
			base->broken = p.ends = true; /* no item was sent */
		let_go(p.c);
	}
	read_writes(&p);
	fiber_unshield();
}
