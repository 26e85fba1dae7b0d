/*
 * How a connection waits without holding up its loop. SQLite calls back while it waits for a lock and while it
 * computes; in a fiber the callbacks park it, with the statement standing still on the fiber's stack. What syncs a file
 * runs on the thread pool, where the callbacks find no fiber of their own and block: the connection is used by that
 * thread alone meanwhile.
 */
#include "store/driver/sqlite/driver_sqlite.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include <time.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* Virtual machine steps between two looks at the progress. After so many, or so much time, other fibers run. */
#define PROGRESS_STEPS 250
#define PROGRESS_STEPS_OFTEN 64
#define ASIDE_LOOKS 20
#define ASIDE_NS CLOCK_NS_PER_MS
#define BUSY_FIRST_NS CLOCK_NS_PER_MS
#define BUSY_MAX_NS (25 * CLOCK_NS_PER_MS)
#define BUSY_DOUBLINGS 5

/* One for all databases: several connections may have one file open. */
static uint64_t write_epoch; /* atomic */

/* Set while sqlite3_step runs. Whoever has parked inside it finds what the loop's other fibers have left. */
static _Thread_local struct sqlite_conn *stepping;

struct sqlite_conn *sqlite_wait_stepping(void)
{
	return stepping;
}

static void block_until(int64_t time_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(time_ns / CLOCK_NS_PER_S),
			      .tv_nsec = (long)(time_ns % CLOCK_NS_PER_S)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
		;
}

/* Another connection has the lock. 0: give up (SQLITE_BUSY). It is waited for until busy_timeout after it was first
 * seen or the request began, whichever is later: neither those who queue for the writer's turn behind one who waits nor
 * another try of the same request begin anew. */
static int on_busy(void *arg, int n)
{
	struct sqlite_conn *c = arg;
	const int64_t now = clock_mono_ns();
	const int64_t deadline = c->shielded ? CLOCK_NEVER : c->deadline_ns;
	int64_t until, limit;

	if (n == 0) {
		const int64_t locked_ns = sqlite_db_locked(c->base.db, now);

		c->busy = true;
		c->busy_until_ns = clock_max(locked_ns, c->base.since_ns) + c->busy_timeout_ns;
	}
	if (c->base.has_turn)
		sqlite_db_waits(c->base.db, now);
	limit = clock_min(c->busy_until_ns, deadline);
	if (c->impatient || now >= limit)
		return 0;
	until = n < BUSY_DOUBLINGS ? BUSY_FIRST_NS << n : BUSY_MAX_NS;
	until = clock_min(now + clock_min(until, BUSY_MAX_NS), limit);
	if (fiber_current() == NULL) {
		block_until(until);
		if (c->offloaded == NULL || c->shielded || !fiber_cancel_asked(c->offloaded))
			return 1;
		c->stop = SQLITE_STOP_CANCELLED;
		return 0;
	}
	const struct sqlite_conn *const before = stepping;
	const bool cancelled = wait_until(until) == WAIT_CANCELLED;
	stepping = before != NULL ? c : NULL;
	c->looked_ns = 0;
	if (cancelled && !c->shielded) {
		c->stop = SQLITE_STOP_CANCELLED;
		return 0;
	}
	return 1;
}

/* False: the statement is to stop. */
static bool goes_on(struct sqlite_conn *c)
{
	const struct sqlite_conn *const before = stepping;

	if (fiber_current() != NULL) {
		wait_step_aside();
		if (c->here) {
			c->looked_ns = c->aside_ns = clock_mono_ns();
			c->aside_cpu_ns = clock_thread_cpu_ns();
		}
	}
	stepping = before != NULL ? c : NULL;
	if (c->shielded)
		return true;
	if (c->offloaded != NULL ? fiber_cancel_asked(c->offloaded) : fiber_cancelled())
		c->stop = SQLITE_STOP_CANCELLED;
	else if (c->deadline_ns != CLOCK_NEVER && clock_mono_ns() >= c->deadline_ns)
		c->stop = SQLITE_STOP_DEADLINE;
	return c->stop == SQLITE_STOP_NONE;
}

/* Nonzero stops the statement (SQLITE_INTERRUPT). */
static int on_progress(void *arg)
{
	struct sqlite_conn *c = arg;

	c->match_terms = c->match_phrases = 0;
	if (c->here && !sqlite_away_look(c))
		return 1;
	/* SQLite counts the steps of a statement over all its runs: the first call may come at once */
	if (fiber_current() != NULL && ++c->n_progress % ASIDE_LOOKS != 0 &&
	    !(c->here && c->looked_ns - c->aside_ns >= ASIDE_NS))
		return 0;
	return goes_on(c) ? 0 : 1;
}

bool sqlite_wait_pause(void *conn)
{
	return goes_on(conn);
}

void sqlite_wait_look(struct sqlite_conn *c, bool often)
{
	sqlite3_progress_handler(c->h, often ? PROGRESS_STEPS_OFTEN : PROGRESS_STEPS, on_progress, c);
}

/* Zero: let it commit. */
static int on_commit(void *arg)
{
	struct sqlite_conn *c = arg;

	c->committed = true;
	return 0;
}

static void on_rollback(void *arg)
{
	struct sqlite_conn *c = arg;

	c->rolled_back = true;
	c->virtual_schema = -1; /* versions of the schema will be given again */
}

void sqlite_wait_busy(struct sqlite_conn *c)
{
	(void)sqlite3_busy_handler(c->h, on_busy, c);
}

void sqlite_wait_init(struct sqlite_conn *c)
{
	c->deadline_ns = CLOCK_NEVER;
	sqlite_wait_busy(c);
	sqlite_wait_look(c, false);
	(void)sqlite3_commit_hook(c->h, on_commit, c);
	(void)sqlite3_rollback_hook(c->h, on_rollback, c);
}

void sqlite_wait_begin(struct sqlite_conn *c, int64_t deadline_ns)
{
	c->deadline_ns = deadline_ns;
	if (c->base.statement_timeout_ns > 0)
		c->deadline_ns = clock_min(deadline_ns, clock_mono_ns() + c->base.statement_timeout_ns);
	c->stop = SQLITE_STOP_NONE;
	c->busy = false;
	c->n_progress = 0;
	c->match_terms = c->match_phrases = 0;
	c->match_refused = false;
}

/* Whoever gets on although it had to wait, or writes, has found no lock of others in its way. In a file without
 * write-ahead log only a commit has: it waits for those who read, and they for a writer of our own. */
static void note_locks(struct sqlite_conn *c, int rc, bool wrote)
{
	const bool by_commit = c->base.db->is_file && !c->wal;

	if ((rc == SQLITE_ROW || rc == SQLITE_DONE) && (by_commit ? c->committed : c->busy || wrote)) {
		c->busy = false;
		sqlite_db_unlocked(c->base.db);
	}
}

/* The hook runs before the commit is done: it may still fail, and counting one too many is harmless. */
static void count_commit(struct sqlite_conn *c)
{
	c->step_committed = c->committed;
	if (!c->committed)
		return;
	c->committed = false;
	__atomic_add_fetch(&write_epoch, 1, __ATOMIC_ACQ_REL);
}

uint64_t sqlite_write_epoch(void)
{
	return __atomic_load_n(&write_epoch, __ATOMIC_ACQUIRE);
}

/* Counts an explicit transaction that the step has ended. A COMMIT that had nothing to write runs no hook, a ROLLBACK
 * always. */
static void count_end(struct sqlite_conn *c, bool was_in_tx)
{
	if (was_in_tx && sqlite3_get_autocommit(c->h)) {
		if (c->rolled_back)
			c->base.n_rollbacks++;
		else
			c->base.n_commits++;
	}
	c->rolled_back = false;
}

/* A commit syncs: that of a statement on its own, and what ends a transaction (among statements that write nothing by
 * SQLite's reckoning and yield no rows are COMMIT, and RELEASE of the savepoint that began one). What a migration does
 * may compute long without a look at the progress handler, and so may virtual tables at a savepoint. */
static bool may_offload(const struct sqlite_conn *c, sqlite3_stmt *st)
{
	if (!c->base.db->is_file || fiber_current() == NULL)
		return false;
	if (sqlite3_get_autocommit(c->h)) /* BEGIN IMMEDIATE is said to write, but waits for a lock at most */
		return !c->begins && !sqlite3_stmt_readonly(st);
	if (c->divides && !c->migrating && c->virtual_schema >= 0 && !c->has_virtual)
		return false;
	return sqlite3_column_count(st) == 0 && (c->migrating || sqlite3_stmt_readonly(st));
}

struct step_job {
	struct sqlite_conn *c;
	sqlite3_stmt *st;
	int rc;
};

int sqlite_wait_one(struct sqlite_conn *c, sqlite3_stmt *st, bool reads)
{
	const bool here = fiber_current() != NULL;

	if (here)
		sqlite_away_enter(c, reads);
	stepping = c;
	const int rc = sqlite3_step(st);
	stepping = NULL;
	if (here)
		sqlite_away_leave(c, rc);
	return rc;
}

static void step_job(void *arg)
{
	struct step_job *j = arg;

	j->rc = sqlite_wait_one(j->c, j->st, false);
}

static void reset_job(void *arg)
{
	struct step_job *j = arg;

	j->rc = sqlite3_reset(j->st);
}

int sqlite_wait_step(struct sqlite_conn *c, sqlite3_stmt *st)
{
	struct step_job j = {.c = c, .st = st, .rc = SQLITE_OK};
	const bool was_in_tx = !sqlite3_get_autocommit(c->h);

	c->stepping = true;
	if (may_offload(c, st)) {
		c->offloaded = fiber_shielded() ? NULL : fiber_current(); /* its client may go away meanwhile */
		offload(step_job, &j);
		c->offloaded = NULL;
	} else {
		step_job(&j);
	}
	c->stepping = false;
	note_locks(c, j.rc, !sqlite3_stmt_readonly(st));
	count_commit(c);
	count_end(c, was_in_tx);
	return j.rc;
}

int sqlite_wait_read(struct sqlite_conn *c, sqlite3_stmt *st, bool was_in_tx)
{
	c->stepping = true;
	const int rc = sqlite_wait_one(c, st, true);
	c->stepping = false;
	if (UNLIKELY(c->busy || c->committed))
		note_locks(c, rc, false);
	if (rc != SQLITE_ROW) {
		count_commit(c);
		count_end(c, was_in_tx);
	}
	return rc;
}

bool sqlite_wait_offload(struct sqlite_conn *c, void (*fn)(void *arg), void *arg)
{
	c->offloaded = fiber_shielded() ? NULL : fiber_current();
	const bool ran = offload_compute(fn, arg, c->shielded ? CLOCK_NEVER : c->deadline_ns);
	c->offloaded = NULL;
	if (!ran)
		c->stop = SQLITE_STOP_DEADLINE;
	return ran;
}

void sqlite_wait_compute(struct sqlite_conn *c, void (*fn)(void *arg), void *arg, int *rc)
{
	const bool was_in_tx = !sqlite3_get_autocommit(c->h);

	c->stepping = true;
	if (!sqlite_wait_offload(c, fn, arg))
		*rc = SQLITE_INTERRUPT;
	c->stepping = false;
	note_locks(c, *rc, false);
	count_commit(c);
	count_end(c, was_in_tx);
}

void sqlite_wait_reset(struct sqlite_conn *c, sqlite3_stmt *st)
{
	struct step_job j = {.c = c, .st = st, .rc = SQLITE_OK};
	const bool was_in_tx = !sqlite3_get_autocommit(c->h);

	if (sqlite3_stmt_busy(st) && may_offload(c, st))
		offload(reset_job, &j);
	else
		reset_job(&j);
	count_commit(c);
	count_end(c, was_in_tx);
}

void sqlite_settle(struct sqlite_conn *c)
{
	if (!c->query_only || !sqlite3_get_autocommit(c->h))
		return;
	c->query_only = false;
	c->internal = true;
	if (sqlite3_exec(c->h, "PRAGMA query_only=0", NULL, NULL, NULL) != SQLITE_OK)
		c->base.broken = true;
	c->internal = false;
}
