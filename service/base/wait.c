/* Waiting: in a fiber by parking on the thread's loop, on a plain thread by blocking. And the offload pool. */
#include "service/base/wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

#define SLICE_NS (2 * CLOCK_NS_PER_MS)

/* Parks until w has fired, the fiber is cancelled, or *flag (when given) is non-zero. */
static enum wait_result park_on(struct loop_wait *w, const int *flag)
{
	struct fiber_loop *loop = fiber_current_loop();
	enum wait_result res;
	w->fiber = fiber_current();
	w->revents = 0;
	w->timed_out = false;
	w->heap_index = SIZE_MAX;
	loop->arm(loop, w);
	for (;;) {
		if (w->revents != 0 || (flag != NULL && __atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0)) {
			res = WAIT_READY;
			break;
		}
		if (w->timed_out) {
			res = WAIT_TIMEOUT;
			break;
		}
		if (fiber_cancelled()) {
			res = WAIT_CANCELLED;
			break;
		}
		fiber_park();
	}
	loop->disarm(loop, w);
	return res;
}

static int timeout_ms(int64_t deadline)
{
	if (deadline == CLOCK_NEVER)
		return -1;
	int64_t left = deadline - clock_mono_ns();
	if (left <= 0)
		return 0;
	int64_t ms = (left + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
	return ms > 60000 ? 60000 : (int)ms;
}

static enum wait_result wait_fd_blocking(int fd, short events, int64_t deadline, short *ret_events)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int ms = timeout_ms(deadline);
		int n = poll(&p, 1, ms);
		if (n > 0) {
			if (ret_events != NULL)
				*ret_events = (p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? events : p.revents;
			return WAIT_READY;
		}
		if (n == 0 && deadline != CLOCK_NEVER && clock_mono_ns() >= deadline)
			return WAIT_TIMEOUT;
		if (n < 0 && errno != EINTR)
			return WAIT_READY; /* the caller's next call on fd reports what is wrong */
	}
}

enum wait_result wait_fd(int fd, short events, int64_t deadline_ns, short *ret_events)
{
	if (fiber_current() == NULL)
		return wait_fd_blocking(fd, events, deadline_ns, ret_events);
	if (fiber_cancelled())
		return WAIT_CANCELLED;
	unsigned want =
		((events & POLLIN) != 0 ? (unsigned)EPOLLIN : 0u) | ((events & POLLOUT) != 0 ? (unsigned)EPOLLOUT : 0u);
	struct loop_wait w = {.fd = fd, .events = want, .deadline = deadline_ns};
	enum wait_result res = park_on(&w, NULL);
	if (ret_events != NULL && res == WAIT_READY) {
		if ((w.revents & (EPOLLERR | EPOLLHUP)) != 0)
			*ret_events = events;
		else
			*ret_events = (short)(((w.revents & EPOLLIN) != 0 ? POLLIN : 0) |
					      ((w.revents & EPOLLOUT) != 0 ? POLLOUT : 0));
	}
	return res;
}

enum wait_result wait_until(int64_t time_ns)
{
	if (fiber_current() != NULL) {
		if (fiber_cancelled())
			return WAIT_CANCELLED;
		struct loop_wait w = {.fd = -1, .deadline = time_ns};
		return park_on(&w, NULL);
	}
	for (;;) {
		int64_t left = time_ns - clock_mono_ns();
		if (left <= 0)
			return WAIT_TIMEOUT;
		struct timespec ts = {.tv_sec = left / CLOCK_NS_PER_S, .tv_nsec = left % CLOCK_NS_PER_S};
		nanosleep(&ts, NULL);
	}
}

void wait_yield(void)
{
	struct fiber *f = fiber_current();
	if (f == NULL)
		return;
	fiber_ready(f);
	fiber_park();
}

void wait_step_aside(void)
{
	if (fiber_current() != NULL)
		fiber_step_aside();
}

void wait_may_step_aside(void)
{
	static _Thread_local uint64_t run;
	static _Thread_local int64_t since;
	if (fiber_current() == NULL)
		return;
	const int64_t now = clock_coarse_ns();
	if (run != fiber_runs()) {
		run = fiber_runs();
		since = now;
	} else if (now - since >= SLICE_NS) {
		fiber_step_aside();
	}
}

/* ---- events ---- */

/* Plain threads wait here; there are few of them (tests, start-up), so one condition serves all. */
static pthread_mutex_t plain_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t plain_cond = PTHREAD_COND_INITIALIZER;

void event_init(struct event *e)
{
	e->fiber = fiber_current();
	__atomic_store_n(&e->set, 0, __ATOMIC_RELEASE);
}

void event_set(struct event *e)
{
	struct fiber *f = e->fiber;
	if (f != NULL) {
		__atomic_store_n(&e->set, 1, __ATOMIC_RELEASE);
		fiber_ready(f);
		return;
	}
	pthread_mutex_lock(&plain_lock);
	__atomic_store_n(&e->set, 1, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&plain_cond);
	pthread_mutex_unlock(&plain_lock);
}

void event_set_soon(struct event *e)
{
	__atomic_store_n(&e->set, 1, __ATOMIC_RELEASE);
	fiber_ready_soon(e->fiber);
}

static enum wait_result event_wait_blocking(struct event *e, int64_t deadline)
{
	enum wait_result res = WAIT_READY;
	pthread_mutex_lock(&plain_lock);
	while (__atomic_load_n(&e->set, __ATOMIC_ACQUIRE) == 0) {
		int64_t left = deadline == CLOCK_NEVER ? CLOCK_NS_PER_S : deadline - clock_mono_ns();
		if (left <= 0) {
			res = WAIT_TIMEOUT;
			break;
		}
		struct timespec ts;
		clock_gettime(CLOCK_REALTIME, &ts);
		left = clock_min(left, CLOCK_NS_PER_S); /* re-checked: the real-time clock may jump */
		int64_t ns = ts.tv_nsec + left;
		ts.tv_sec += ns / CLOCK_NS_PER_S;
		ts.tv_nsec = ns % CLOCK_NS_PER_S;
		pthread_cond_timedwait(&plain_cond, &plain_lock, &ts);
	}
	pthread_mutex_unlock(&plain_lock);
	return res;
}

enum wait_result event_wait(struct event *e, int64_t deadline_ns)
{
	if (__atomic_load_n(&e->set, __ATOMIC_ACQUIRE) != 0)
		return WAIT_READY;
	if (e->fiber == NULL)
		return event_wait_blocking(e, deadline_ns);
	if (fiber_cancelled())
		return WAIT_CANCELLED;
	struct loop_wait w = {.fd = -1, .deadline = deadline_ns};
	return park_on(&w, &e->set);
}

enum wait_result event_wait_until(struct event *e, int64_t (*until)(void *arg), void *arg)
{
	int64_t deadline = until(arg);
	enum wait_result r;

	do
		r = event_wait(e, deadline);
	while (r == WAIT_TIMEOUT && (deadline = until(arg)) > clock_mono_ns());
	return r;
}

/* ---- offload ---- */

struct job {
	void (*fn)(void *arg);
	void *arg;
	struct event done;
	struct job *next;
};

/* Threads and the jobs that wait for one of them. */
struct crew {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct job *head, *tail;
	pthread_t *threads;
	unsigned n_threads;
	bool stopping;
};

/* What computes for long must not keep a commit waiting for a thread. */
static struct crew blocking = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
static struct crew computing = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void *worker(void *arg)
{
	struct crew *crew = arg;

	pthread_mutex_lock(&crew->lock);
	for (;;) {
		while (crew->head == NULL && !crew->stopping)
			pthread_cond_wait(&crew->cond, &crew->lock);
		struct job *j = crew->head;
		if (j == NULL)
			break;
		crew->head = j->next;
		if (crew->head == NULL)
			crew->tail = NULL;
		pthread_mutex_unlock(&crew->lock);
		j->fn(j->arg);
		pthread_mutex_lock(&crew->lock);
		event_set(&j->done); /* under the lock that run_by takes before j leaves its stack */
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

static void crew_init(struct crew *crew, unsigned n_threads)
{
	crew->threads = mem_array(n_threads > 0 ? n_threads : 1, sizeof(*crew->threads));
	crew->stopping = false;
	for (crew->n_threads = 0; crew->n_threads < n_threads; crew->n_threads++)
		if (pthread_create(&crew->threads[crew->n_threads], NULL, worker, crew) != 0)
			break;
}

static void crew_done(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	crew->stopping = true;
	pthread_cond_broadcast(&crew->cond);
	pthread_mutex_unlock(&crew->lock);
	for (unsigned i = 0; i < crew->n_threads; i++)
		pthread_join(crew->threads[i], NULL);
	mem_free(crew->threads);
	crew->threads = NULL;
	crew->n_threads = 0;
}

void offload_init(unsigned n_threads)
{
	crew_init(&blocking, n_threads);
	crew_init(&computing, n_threads);
}

void offload_done(void)
{
	crew_done(&blocking);
	crew_done(&computing);
}

/* Takes a job back that no thread has begun. */
static bool take_back(struct crew *crew, const struct job *j)
{
	struct job **at = &crew->head, *before = NULL;

	pthread_mutex_lock(&crew->lock);
	while (*at != NULL && *at != j) {
		before = *at;
		at = &(*at)->next;
	}
	const bool waits = *at == j;
	if (waits) {
		*at = j->next;
		if (crew->tail == j)
			crew->tail = before;
	}
	pthread_mutex_unlock(&crew->lock);
	return waits;
}

/* False: no thread had begun it at its deadline. */
static bool run_by(struct crew *crew, void (*fn)(void *arg), void *arg, int64_t deadline_ns)
{
	bool ran = true;

	if (fiber_current() == NULL || crew->n_threads == 0) {
		fn(arg);
		return true;
	}
	struct job j = {.fn = fn, .arg = arg};
	event_init(&j.done);
	fiber_shield();
	pthread_mutex_lock(&crew->lock);
	if (crew->tail != NULL)
		crew->tail->next = &j;
	else
		crew->head = &j;
	crew->tail = &j;
	pthread_cond_signal(&crew->cond);
	pthread_mutex_unlock(&crew->lock);
	while (ran && event_wait(&j.done, deadline_ns) != WAIT_READY) {
		deadline_ns = CLOCK_NEVER;
		ran = !take_back(crew, &j);
	}
	pthread_mutex_lock(&crew->lock);
	pthread_mutex_unlock(&crew->lock);
	fiber_unshield();
	return ran;
}

void offload(void (*fn)(void *arg), void *arg)
{
	(void)run_by(&blocking, fn, arg, CLOCK_NEVER);
}

bool offload_compute(void (*fn)(void *arg), void *arg, int64_t deadline_ns)
{
	return run_by(&computing, fn, arg, deadline_ns);
}
