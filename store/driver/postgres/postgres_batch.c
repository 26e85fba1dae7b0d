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
#include "store/driver/postgres/postgres_batch.h"

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

/* ---- sending ---- */

/* Queues one item; false: the connection is of no more use. *ret_sent false: the item is to run by itself. */
static bool send_item(struct pg_conn *c, struct batch_item *item, struct pg_sent *st, bool *ret_sent)
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
	st->unknown = c->wire.plain && (hit == NULL || hit->shape == NULL);
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
static bool send_prologue(struct pg_pipeline *p)
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

static bool send_reads(struct pg_pipeline *p)
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
static void send_writes(struct pg_pipeline *p)
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

/* ---- past libpq ---- */

/* Queues all of the flight past libpq. False: an item has to go by libpq, and nothing was done. */
static bool wire_items(struct pg_pipeline *p)
{
	struct pg_conn *c = p->c;
	struct strbuf *out = &c->wire.out;
	struct err ignored;
	size_t i = 0;

	strbuf_reset(out);
	for (bool fits = true; i < p->n; i++) {
		const struct stmt *s = p->items[i]->stmt;
		struct pg_sent *st = &p->sent[i];
		char name[PG_NAME_BYTES];

		if (!pg_params_set(&c->params, s, &ignored) || memchr(s->sql.p, '\0', s->sql.len) != NULL)
			break;
		const struct pg_stmt *hit = pg_cache_find(&c->cache, s, &fits);
		if (hit == NULL || hit->shape == NULL || (s->n_columns != 0 && s->n_columns != hit->shape->n))
			break;
		*st = (struct pg_sent){
			.raw = s->raw, .id = hit->id, .n_columns = s->n_columns, .shape = pg_shape_ref(hit->shape)};
		pg_stmt_name(hit->id, name);
		if (!pg_put_run(out, name, &c->params, LIMIT_PAST_FLIGHT_BYTES))
			break;
		if (p->writes)
			pg_put_sync(out);
	}
	return i == p->n && !strbuf_failed(out);
}

static void forget_sent(struct pg_pipeline *p)
{
	for (size_t i = 0; i < p->n; i++)
		pg_shape_unref(p->sent[i].shape);
	memset(p->sent, 0, p->n * sizeof(*p->sent));
}

/* Sends the flight past libpq when it can go there: all of it is prepared, its answers' shapes are known, and the
 * server has nothing to do before. */
static bool send_past(struct pg_pipeline *p)
{
	struct pg_conn *c = p->c;

	if (!pg_wire_may(c) || c->cache.n_dead > 0 || (p->writes && !c->guarded))
		return false;
	p->wired = wire_items(p);
	if (!p->wired) {
		forget_sent(p);
		return false;
	}
	if (!p->writes)
		pg_put_sync(&c->wire.out);
	c->base.cache_hits += p->n;
	pg_wire_send(c);
	return true;
}

/* Has it left past libpq, or is libpq ready to send it? */
static bool may_send(struct pg_pipeline *p)
{
	return send_past(p) || PQenterPipelineMode(p->c->pg) == 1;
}

/* ---- reading ---- */

static enum pg_io next_reply(struct pg_pipeline *p, struct pg_reply *ret)
{
	if (p->wired)
		return pg_wire_next(p->c, p->awaits, p->deadline, ret);
	*ret = (struct pg_reply){.end = true};
	const enum pg_io io = pg_next(p->c, p->deadline, &ret->res);
	if (io == PG_IO_OK && ret->res != NULL) {
		ret->end = false;
		ret->status = PQresultStatus(ret->res);
		ret->said = pg_said_of(ret->res);
	}
	return io;
}

/* The next reply. A write whose time is over is cancelled; then there is a little time to learn what became of it and
 * of those behind it. */
static enum pg_io next(struct pg_pipeline *p, const struct batch_item *item, struct pg_reply *ret)
{
	enum pg_io io = next_reply(p, ret);

	if (io != PG_IO_TIMEOUT || !p->writes || p->late != NULL || item == NULL)
		return io;
	/* its request has time left: one that has committed and waits for a standby only is left to it */
	if (item->deadline_ns > clock_mono_ns() &&
	    pg_cancel_waits_for_standby(p->c->cancel, clock_mono_ns() + LIMIT_GRACE_NS)) {
		p->deadline = item->deadline_ns;
		io = next_reply(p, ret);
		if (io != PG_IO_TIMEOUT)
			return io;
	}
	p->late = item;
	p->deadline = clock_mono_ns() + LIMIT_GRACE_NS;
	return pg_cancel_send(p->c->cancel) ? next_reply(p, ret) : io;
}

/* The end of a statement's results. */
static enum pg_io read_end(struct pg_pipeline *p, const struct batch_item *item)
{
	struct pg_reply end;
	enum pg_io io = next(p, item, &end);

	if (io != PG_IO_OK || end.end)
		return io;
	PQclear(end.res);
	return PG_IO_LOST;
}

/* One of a statement's results. */
static enum pg_io read_result(struct pg_pipeline *p, const struct batch_item *item, struct pg_reply *ret)
{
	const enum pg_io io = next(p, item, ret);

	return io == PG_IO_OK && ret->end ? PG_IO_LOST : io;
}

static enum pg_io read_item(struct pg_pipeline *p, struct batch_item *item, struct pg_sent *st)
{
	struct pg_reply reply;
	enum pg_io io;

	p->awaits = st->shape;
	io = read_result(p, item, &reply);
	if (io != PG_IO_OK)
		return io;
	if (st->prepares && reply.status == PGRES_COMMAND_OK) {
		st->prepares = false;
		PQclear(reply.res);
		io = read_end(p, item);
		if (io == PG_IO_OK)
			io = read_result(p, item, &reply);
		if (io != PG_IO_OK)
			return io;
	}
	pg_batch_judge(p, item, st, &reply);
	io = read_end(p, item);
	p->awaits = NULL;
	if (!st->prepares || io != PG_IO_OK)
		return io;
	st->prepares = false;
	io = next(p, item, &reply); /* of the execution: aborted */
	if (io != PG_IO_OK)
		return io;
	PQclear(reply.res);
	return read_end(p, item);
}

/* The sync point behind a write: until it has come nothing is committed for sure. What comes before it is the commit's
 * own failure, a deferred constraint's. */
static enum pg_io read_sync(struct pg_pipeline *p, struct batch_item *item)
{
	for (;;) {
		struct pg_reply reply;
		enum pg_io io = next(p, item, &reply);

		if (io != PG_IO_OK)
			return io;
		if (reply.end)
			continue;
		if (reply.status == PGRES_PIPELINE_SYNC) {
			PQclear(reply.res);
			p->c->n_syncs -= !p->wired;
			return PG_IO_OK;
		}
		if (reply.status != PGRES_FATAL_ERROR) {
			PQclear(reply.res);
			return PG_IO_LOST;
		}
		if (item->result == NULL) { /* it had failed before */
			p->ends = p->ends || pg_said_is_fatal(&reply.said);
			PQclear(reply.res);
			continue;
		}
		pg_batch_judge_failure(p, item, false, &reply);
	}
}

static enum pg_io read_prologue(struct pg_pipeline *p)
{
	bool failed = false;

	while (p->prologue) {
		struct pg_reply reply;
		enum pg_io io = next(p, NULL, &reply);

		if (io != PG_IO_OK)
			return io;
		if (reply.end)
			continue;
		const ExecStatusType status = reply.status;
		failed = failed || status == PGRES_FATAL_ERROR || status == PGRES_PIPELINE_ABORTED;
		p->ends = p->ends || pg_said_is_fatal(&reply.said);
		PQclear(reply.res);
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
			return PG_IO_LOST; /* nobody asked for it, and it would never end */
		if (status != PGRES_PIPELINE_SYNC)
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

/* After anything but PG_IO_OK: what runs is cancelled and read to its end. False: the connection is of no more use. */
static bool stop_past(struct pg_conn *c, enum pg_io why)
{
	const int64_t deadline = clock_mono_ns() + LIMIT_GRACE_NS;
	bool cancelled = false;

	return why != PG_IO_LOST && pg_cancel_send(c->cancel) && pg_wire_drain(c, deadline, &cancelled) == PG_IO_OK &&
	       pg_wire_over(c) && pg_cancel_over(c, cancelled, deadline);
}

/* To the end of the flight, or what can still be had of it; io: so far. */
static enum pg_io end_reads(struct pg_pipeline *p, enum pg_io io)
{
	PGresult *error = NULL;
	struct err ignored;

	if (io == PG_IO_OK)
		io = p->wired ? pg_wire_drain(p->c, p->deadline, NULL) : pg_drain(p->c, p->deadline, &error);
	PQclear(error);
	if (p->wired)
		p->c->base.broken |= io != PG_IO_OK ? !stop_past(p->c, io) : !pg_wire_over(p->c);
	else if (io != PG_IO_OK)
		(void)pg_give_up(p->c, io, true, NULL, &ignored);
	return io;
}

static void read_all(struct pg_pipeline *p)
{
	enum pg_io io = read_prologue(p);

	for (size_t i = 0; i < p->n && io == PG_IO_OK; i++) {
		p->c->pieces = p->sent[i].raw ? ANSWER_PIECES : -1;
		if (p->sent[i].id != 0)
			io = read_item(p, p->items[i], &p->sent[i]);
		if (io != PG_IO_OK && p->c->pieces == 0)
			p->items[i]->slow = true; /* too long an answer */
	}
	p->c->pieces = -1;
	io = end_reads(p, io);
	for (size_t i = 0; i < p->n && io != PG_IO_OK; i++)
		if (p->sent[i].prepares)
			pg_cache_lost(&p->c->cache, p->sent[i].id);
	if (p->stale)
		pg_cache_clear(&p->c->cache, false);
}

void pg_run_batch(struct driver_conn *base, struct batch_item *const *items, size_t n, int64_t deadline_ns)
{
	struct pg_sent sent[LIMIT_SHARED_STATEMENTS]; /* n are used, and cleared */
	struct pg_pipeline p = {.c = pg_conn(base), .items = items, .sent = sent, .n = n, .deadline = deadline_ns};
	struct err ignored;

	assert(n <= LIMIT_SHARED_STATEMENTS);
	memset(sent, 0, n * sizeof(*sent));
	fiber_shield(); /* the items are other requests', too */
	if (!p.c->pooled && pg_usable(p.c, deadline_ns, &ignored) && may_send(&p)) {
		if (p.wired || (send_prologue(&p) && send_reads(&p)))
			read_all(&p);
		else
			base->broken = true;
	}
	leave_rest(items, n);
	forget_sent(&p);
	fiber_unshield();
}

/* ---- writes ---- */

/* No more is to be learned about a write that was sent. */
static void fail_unknown(struct pg_pipeline *p, struct batch_item *item, enum pg_io why)
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

static enum pg_io read_write(struct pg_pipeline *p, struct batch_item *item, struct pg_sent *st)
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
static void read_writes(struct pg_pipeline *p)
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
	if (io != PG_IO_OK || p->late != NULL || (p->wired ? !pg_wire_over(p->c) : PQexitPipelineMode(p->c->pg) != 1))
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
	struct pg_sent sent[LIMIT_SHARED_STATEMENTS]; /* n are used, and cleared */
	struct pg_pipeline p = {.c = pg_conn(base), .items = items, .sent = sent, .n = n, .writes = true};
	struct err ignored;

	assert(n <= LIMIT_SHARED_STATEMENTS);
	memset(sent, 0, n * sizeof(*sent));
	fiber_shield();
	p.deadline = deadline_ns;
	if (!p.c->pooled && pg_usable(p.c, deadline_ns, &ignored) && may_send(&p) && !p.wired) {
		hold_back(p.c);
		if (send_prologue(&p))
			send_writes(&p);
		else
			base->broken = p.ends = true; /* no item was sent */
		let_go(p.c);
	}
	read_writes(&p);
	forget_sent(&p);
	fiber_unshield();
}
