/*
 * Requests to cancel a statement. They take a connection of their own, so they are made by a few threads that serve all
 * the process's connections, each request within a bounded time: a server that accepts and stays silent, or a network
 * that swallows everything, holds one of them up for a moment and nothing else.
 *
 * The way: the protocol's own request by PQcancelStart where libpq has it (17), which has deadlines and is encrypted as
 * the other connection is. Else, or when that fails, pg_cancel_backend on an ordinary connection to the very server,
 * which is so too, and can look first. Where the server's process is not known by its number (a pooler is between), or
 * no such connection can be had, PQcancel, which has no deadline, on at most PLAIN_MAX threads of its own; past that
 * the request fails, and the connection is closed.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/wait.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

#define WORKERS_MAX 4
#define PLAIN_MAX 4

enum phase { PHASE_REST, PHASE_QUEUED, PHASE_SERVED };

struct pg_cancel {
	struct mutex lock;
	int refs; /* under the lock, as is all up to `commits` */
	enum phase phase;
	bool ask;             /* only look whether it waits for a standby */
	bool failed;          /* nothing has been sent */
	bool commits;         /* it waits for a standby, and was left alone */
	struct event *waiter; /* set when the request has ended */
	PGcancel *handle;
#ifdef LIBPQ_HAS_ASYNC_CANCEL
	PGcancelConn *async;
#endif
	char *target[4]; /* conninfo, host, hostaddr, port: of the server itself; owned */
	int pid;
	bool by_pid; /* the server knows the process by this number */
	struct pg_cancel *next;
};

/* The queue, which all loops share. */
static struct {
	pthread_mutex_t lock;
	struct pg_cancel *head, *tail;
	int n_workers, n_plain;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- life ---- */

static char *dup_z(const char *z)
{
	return z != NULL && z[0] != '\0' ? mem_strndup(z, strlen(z)) : NULL;
}

struct pg_cancel *pg_cancel_create(PGconn *pg, const struct dsn *dsn)
{
	struct pg_cancel *x;
	PGcancel *handle = PQgetCancel(pg);

	if (handle == NULL)
		return NULL;
	x = mem_alloc(sizeof(*x));
	mutex_init(&x->lock);
	x->refs = 1;
	x->handle = handle;
#ifdef LIBPQ_HAS_ASYNC_CANCEL
	x->async = PQcancelCreate(pg);
#endif
	x->target[0] = dup_z(dsn->conninfo.p);
	x->target[1] = dup_z(PQhost(pg));
	x->target[2] = dup_z(PQhostaddr(pg));
	x->target[3] = dup_z(PQport(pg));
	x->pid = PQbackendPID(pg);
	x->by_pid = true;
	return x;
}

void pg_cancel_pooled(struct pg_cancel *x)
{
	x->by_pid = false;
}

void pg_cancel_unref(struct pg_cancel *x)
{
	bool last;

	if (x == NULL)
		return;
	mutex_lock(&x->lock);
	last = --x->refs == 0;
	mutex_unlock(&x->lock);
	if (!last)
		return;
	PQfreeCancel(x->handle);
#ifdef LIBPQ_HAS_ASYNC_CANCEL
	PQcancelFinish(x->async);
#endif
	for (size_t i = 0; i < ARRAY_LEN(x->target); i++)
		mem_free(x->target[i]);
	mutex_done(&x->lock);
	mem_free(x);
}

/* ---- a connection of the worker's ---- */

static bool wait_socket(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	const int64_t left = (deadline - clock_mono_ns()) / CLOCK_NS_PER_MS;

	return p.fd >= 0 && left > 0 && poll(&p, 1, (int)left) == 1;
}

static void ignore_notice(void *arg UNUSED, const PGresult *res UNUSED)
{
}

/* To the server itself: its address, whatever names the URL has, so that nothing is looked up. */
static PGconn *connect_to(const struct pg_cancel *x, int64_t deadline)
{
	static const char *const keys[] = {"fallback_application_name", "dbname", "host", "hostaddr", "port",
					   "target_session_attrs",      NULL};
	const char *const values[] = {"ferrod", x->target[0], x->target[1], x->target[2], x->target[3], "any", NULL};
	PGconn *pg = PQconnectStartParams(keys, values, 1);
	PostgresPollingStatusType s = PGRES_POLLING_WRITING;

	if (pg != NULL)
		(void)PQsetNoticeReceiver(pg, ignore_notice, NULL);
	while (pg != NULL && PQstatus(pg) != CONNECTION_BAD && s != PGRES_POLLING_OK && s != PGRES_POLLING_FAILED &&
	       wait_socket(PQsocket(pg), s == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline)) {
		s = PQconnectPoll(pg);
		(void)pg_told_drop(pg);
		if (pg_told_too_much(pg))
			s = PGRES_POLLING_FAILED;
	}
	if (pg != NULL && s == PGRES_POLLING_OK && PQsetnonblocking(pg, 1) == 0)
		return pg;
	PQfinish(pg);
	return NULL;
}

/* What one row of one column says: 't', 'f', 'n' for null; 0: nothing came. */
static char ask_server(PGconn *pg, const struct pg_cancel *x, bool ask, int64_t deadline)
{
	/* one that waits for a standby has committed: to cancel that would only make it uncertain */
	static const char sql[] = "SELECT CASE WHEN NOT $2::bool THEN pg_catalog.pg_cancel_backend(pid) "
				  "ELSE coalesce(wait_event = 'SyncRep', false) END "
				  "FROM pg_catalog.pg_stat_activity WHERE pid = $1::int";
	char number[16], word = 0;
	const char *const values[] = {number, ask ? "t" : "f"};
	PGresult *res;

	(void)snprintf(number, sizeof(number), "%d", x->pid);
	if (PQsendQueryParams(pg, sql, 2, NULL, values, NULL, NULL, 0) != 1)
		return 0;
	for (;;) {
		const int unsent = PQflush(pg);

		(void)pg_told_drop(pg);
		if (unsent < 0 || pg_told_too_much(pg))
			return 0;
		if (unsent == 0 && !PQisBusy(pg)) {
			res = PQgetResult(pg);
			if (res == NULL)
				return word;
			if (PQresultStatus(res) == PGRES_TUPLES_OK && PQnfields(res) == 1)
				word = PQntuples(res) == 0      ? 'n'
				       : PQgetisnull(res, 0, 0) ? 'n'
								: PQgetvalue(res, 0, 0)[0];
			else
				word = 0;
			PQclear(res);
			if (word == 0)
				return 0;
			continue;
		}
		if (!wait_socket(PQsocket(pg), (short)(POLLIN | (unsent > 0 ? POLLOUT : 0)), deadline) ||
		    !PQconsumeInput(pg))
			return 0;
	}
}

/* ---- the workers ---- */

/* The request has ended. Gives a reference up. */
static void finish(struct pg_cancel *x, bool sent, bool commits)
{
	mutex_lock(&x->lock);
	x->phase = PHASE_REST;
	x->failed = !sent;
	x->commits = commits;
	if (x->waiter != NULL)
		event_set(x->waiter);
	mutex_unlock(&x->lock);
	pg_cancel_unref(x);
}

static void plain_done(void)
{
	pthread_mutex_lock(&queue.lock);
	queue.n_plain--;
	pthread_mutex_unlock(&queue.lock);
}

static bool start_thread(void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool ok = pthread_attr_init(&attr) == 0;

	if (!ok)
		return false;
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ok = pthread_create(&thread, &attr, fn, arg) == 0;
	(void)pthread_attr_destroy(&attr);
	return ok;
}

static void *plain_main(void *arg)
{
	struct pg_cancel *x = arg;
	char text[256];
	const bool sent = PQcancel(x->handle, text, sizeof(text)) == 1;

	plain_done();
	finish(x, sent, false);
	return NULL;
}

#ifdef LIBPQ_HAS_ASYNC_CANCEL
/* By the protocol's own request, within a bounded time. */
static bool cancel_bounded(struct pg_cancel *x)
{
	const int64_t deadline = clock_mono_ns() + LIMIT_CANCEL_NS;
	PostgresPollingStatusType s = PGRES_POLLING_WRITING;

	if (x->async == NULL || PQcancelStart(x->async) != 1)
		s = PGRES_POLLING_FAILED;
	while ((s == PGRES_POLLING_WRITING || s == PGRES_POLLING_READING) &&
	       wait_socket(PQcancelSocket(x->async), s == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
		s = PQcancelPoll(x->async);
	if (x->async != NULL)
		PQcancelReset(x->async);
	return s == PGRES_POLLING_OK;
}
#else
static bool cancel_bounded(struct pg_cancel *x UNUSED)
{
	return false;
}
#endif

/* By the protocol's own request. Takes the reference. */
static void cancel_plainly(struct pg_cancel *x)
{
	bool free_place;

	pthread_mutex_lock(&queue.lock);
	free_place = queue.n_plain < PLAIN_MAX;
	queue.n_plain += free_place;
	pthread_mutex_unlock(&queue.lock);
	if (free_place && start_thread(plain_main, x))
		return;
	if (free_place)
		plain_done();
	finish(x, false, false);
}

static bool same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* What a worker has at hand: a connection to the server of the last request. */
struct worker {
	PGconn *pg;
	struct pg_cancel *of; /* a reference */
};

static void hang_up(struct worker *w)
{
	PQfinish(w->pg);
	pg_cancel_unref(w->of);
	*w = (struct worker){0};
}

static bool reach(struct worker *w, struct pg_cancel *x)
{
	bool here = w->pg != NULL;

	for (size_t i = 0; here && i < ARRAY_LEN(x->target); i++)
		here = same(w->of->target[i], x->target[i]);
	if (here)
		return true;
	hang_up(w);
	w->pg = connect_to(x, clock_mono_ns() + LIMIT_CANCEL_NS);
	if (w->pg == NULL)
		return false;
	mutex_lock(&x->lock);
	x->refs++;
	mutex_unlock(&x->lock);
	w->of = x;
	return true;
}

static void serve(struct worker *w, struct pg_cancel *x)
{
	bool ask;
	char word = 0;

	mutex_lock(&x->lock);
	ask = x->ask;
	x->phase = PHASE_SERVED;
	mutex_unlock(&x->lock);
	if (!ask && cancel_bounded(x)) {
		finish(x, true, false);
		return;
	}
	if (x->by_pid && reach(w, x)) {
		word = ask_server(w->pg, x, ask, clock_mono_ns() + LIMIT_CANCEL_NS);
		if (word == 0)
			hang_up(w);
	}
	if (word == 0 && !ask)
		cancel_plainly(x);
	else
		finish(x, word != 0, ask && word == 't');
}

static struct pg_cancel *pop(void)
{
	struct pg_cancel *x = queue.head;

	if (x == NULL)
		return NULL;
	queue.head = x->next;
	if (queue.head == NULL)
		queue.tail = NULL;
	x->next = NULL;
	return x;
}

static void *worker_main(void *arg)
{
	struct pg_cancel *x = arg;
	struct worker w = {0};

	while (x != NULL) {
		serve(&w, x);
		pthread_mutex_lock(&queue.lock);
		x = pop();
		queue.n_workers -= x == NULL;
		pthread_mutex_unlock(&queue.lock);
	}
	hang_up(&w);
	return NULL;
}

/* Takes a reference. */
static bool enqueue(struct pg_cancel *x)
{
	bool spawn;

	pthread_mutex_lock(&queue.lock);
	spawn = queue.n_workers < WORKERS_MAX;
	queue.n_workers += spawn;
	if (!spawn) {
		*(queue.tail != NULL ? &queue.tail->next : &queue.head) = x;
		queue.tail = x;
	}
	pthread_mutex_unlock(&queue.lock);
	if (!spawn || start_thread(worker_main, x))
		return true;
	pthread_mutex_lock(&queue.lock);
	queue.n_workers--;
	pthread_mutex_unlock(&queue.lock);
	return false;
}

/* ---- requests ---- */

static bool request(struct pg_cancel *x, bool ask)
{
	bool ok = true;

	mutex_lock(&x->lock);
	if (x->phase != PHASE_REST) {
		ok = x->phase == PHASE_QUEUED || x->ask == ask;
		x->ask = x->ask && ask; /* one that waits in line cancels then */
		mutex_unlock(&x->lock);
		return ok;
	}
	x->phase = PHASE_QUEUED;
	x->ask = ask;
	x->failed = x->commits = false;
	x->refs++;
	mutex_unlock(&x->lock);
	if (enqueue(x))
		return true;
	mutex_lock(&x->lock);
	x->phase = PHASE_REST;
	x->refs--;
	mutex_unlock(&x->lock);
	return false;
}

bool pg_cancel_send(struct pg_cancel *x)
{
	return request(x, false);
}

bool pg_cancel_settled(struct pg_cancel *x, int64_t deadline)
{
	struct event ended;
	enum wait_result r;
	bool resting, failed;

	event_init(&ended);
	mutex_lock(&x->lock);
	resting = x->phase == PHASE_REST;
	failed = x->failed;
	if (!resting)
		x->waiter = &ended;
	mutex_unlock(&x->lock);
	if (resting)
		return !failed;
	r = event_wait(&ended, deadline);
	mutex_lock(&x->lock);
	x->waiter = NULL;
	resting = r == WAIT_READY || x->phase == PHASE_REST;
	failed = x->failed;
	mutex_unlock(&x->lock);
	return resting && !failed;
}

bool pg_cancel_waits_for_standby(struct pg_cancel *x, int64_t deadline)
{
	bool commits;

	if (!x->by_pid || !request(x, true) || !pg_cancel_settled(x, deadline))
		return false;
	mutex_lock(&x->lock);
	commits = x->commits;
	mutex_unlock(&x->lock);
	return commits;
}
