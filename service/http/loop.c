/* The event loop. Events are marked first and fibers run afterwards, so that no event of a batch names a wait that is
 * gone. */
#include "service/http/loop.h"
#include "service/http/timers.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/log.h"
#include "service/base/mem.h"
#include "service/base/mutex.h"

#include "service/base/banned.h"

#define EVENTS_PER_TURN 256
/* The most time that long computations are owed. */
#define ASIDE_NS_MAX (2 * CLOCK_NS_PER_MS)
#define ASIDE_WAIT_MS 1
#define SOON_NS CLOCK_NS_PER_MS           /* of a turn, in which what runs is handed on before events are looked at */
#define CPU_LOOK_NS (5 * CLOCK_NS_PER_MS) /* a look at the thread's processor time is too dear for each turn */
#define LOG_BATCH_BYTES 1024              /* of lines in a turn: the loop is busy */

struct spawn {
	void (*fn)(void *arg);
	void *arg;
	struct spawn *next;
};

/* What an epoll event's data points at starts with its kind, kept in the low bits of the pointer. */
enum event_kind { EVENT_WAIT, EVENT_WATCH, EVENT_INBOX, EVENT_CLIENT };
#define KIND_MASK ((uintptr_t)3)

struct loop {
	struct fiber_loop base;
	pthread_t thread;
	bool running;
	int epfd, evfd;
	bool *asleep; /* n_asleep, by descriptor: it was waited for, and stands in epfd without events */
	size_t n_asleep;
	struct loop_client client;
	bool client_due;
	struct fiber *ready_head, *ready_tail; /* this thread's */
	struct fiber *soon;                    /* before those */
	struct timers timers;
	struct fiber *aside_head, *aside_tail; /* compute for long */
	int64_t aside_ns;                      /* that they may still have while others are busy; negative: a debt */
	int64_t aside_since;                   /* others have had the time since then */
	bool aside_waits;                      /* they have had their share: let others come first */
	struct loop_turn_end *ends;            /* of this turn */
	struct mutex lock;                     /* guards the inbox */
	struct fiber *in_head, *in_tail;
	struct spawn *spawn_head, *spawn_tail;
	bool notified;
	atomic_bool stop, cancel;
	bool cancelled;
	int number;                      /* among those that run */
	struct loop *next_running;       /* guarded by running.lock */
	atomic_int_least64_t turn_since; /* 0: it waits */
	atomic_int_least64_t turn_ns_max;
	int64_t cpu, cpu_looked; /* the thread's processor time when it was last looked at, and when that was */
	atomic_int_least64_t turn_cpu_ns_max;
	atomic_uint_least64_t n_turns;
};

static struct {
	pthread_mutex_t lock;
	struct loop *head;
	int n;
} running = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local struct loop *current;

/* ---- what fibers call ---- */

static struct loop *from_base(struct fiber_loop *base)
{
	return CONTAINER_OF(base, struct loop, base);
}

static void push(struct fiber **head, struct fiber **tail, struct fiber *f)
{
	*fiber_link(f) = NULL;
	if (*tail != NULL)
		*fiber_link(*tail) = f;
	else
		*head = f;
	*tail = f;
}

static void notify_locked(struct loop *l)
{
	if (l->notified)
		return;
	l->notified = true;
	uint64_t one = 1;
	ssize_t n = write(l->evfd, &one, sizeof(one));
	(void)n; /* an eventfd that is full is readable all the same */
}

static void post(struct fiber_loop *base, struct fiber *f)
{
	struct loop *l = from_base(base);
	if (current == l) {
		push(&l->ready_head, &l->ready_tail, f);
		return;
	}
	mutex_lock(&l->lock);
	push(&l->in_head, &l->in_tail, f);
	notify_locked(l);
	mutex_unlock(&l->lock);
}

static void post_soon(struct fiber_loop *base, struct fiber *f)
{
	struct loop *l = from_base(base);
	if (clock_mono_ns() - atomic_load_explicit(&l->turn_since, memory_order_relaxed) >= SOON_NS) {
		post(base, f);
		return;
	}
	*fiber_link(f) = l->soon;
	l->soon = f;
}

static void post_aside(struct fiber_loop *base, struct fiber *f)
{
	push(&from_base(base)->aside_head, &from_base(base)->aside_tail, f);
}

/* A descriptor that is waited for again and again stays in epfd between two waits (EPOLLONESHOT): one call a wait in
 * place of two. One that was closed meanwhile has left it, and its number may be another's. */
static bool listen_on(struct loop *l, int fd, struct epoll_event *ev)
{
	const bool asleep = (size_t)fd < l->n_asleep && l->asleep[fd];

	if (asleep)
		l->asleep[fd] = false;
	return (asleep && epoll_ctl(l->epfd, EPOLL_CTL_MOD, fd, ev) == 0) ||
	       epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, ev) == 0;
}

static void fall_asleep(struct loop *l, int fd)
{
	const size_t n = (size_t)fd + 1;

	if (n > l->n_asleep) {
		const size_t size = n < 64 ? 64 : 2 * n;
		l->asleep = mem_realloc(l->asleep, size * sizeof(*l->asleep));
		memset(l->asleep + l->n_asleep, 0, (size - l->n_asleep) * sizeof(*l->asleep));
		l->n_asleep = size;
	}
	l->asleep[fd] = true;
}

static void arm(struct fiber_loop *base, struct loop_wait *w)
{
	struct loop *l = from_base(base);
	if (w->deadline != CLOCK_NEVER)
		timers_add(&l->timers, w);
	if (w->fd < 0)
		return;
	struct epoll_event ev = {.events = w->events | EPOLLONESHOT, .data.u64 = (uint64_t)((uintptr_t)w | EVENT_WAIT)};
	if (!listen_on(l, w->fd, &ev)) {
		w->fd = -1;
		w->revents = w->events; /* the next call on the descriptor says what is wrong */
	}
}

static void disarm(struct fiber_loop *base, struct loop_wait *w)
{
	struct loop *l = from_base(base);
	if (w->heap_index != SIZE_MAX)
		timers_remove(&l->timers, w);
	if (w->fd >= 0 && w->revents != 0)
		fall_asleep(l, w->fd);
	else if (w->fd >= 0)
		epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
}

static void at_turn_end(struct fiber_loop *base, struct loop_turn_end *e)
{
	e->next = from_base(base)->ends;
	from_base(base)->ends = e;
}

/* ---- life ---- */

static bool add_fd(struct loop *l, int fd, enum event_kind kind)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)kind};
	return epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

bool loop_create(struct loop **ret, struct err *err)
{
	struct loop *l = mem_alloc(sizeof(*l));
	l->base = (struct fiber_loop){.post = post,
				      .post_soon = post_soon,
				      .post_aside = post_aside,
				      .arm = arm,
				      .disarm = disarm,
				      .at_turn_end = at_turn_end};
	l->client.fd = -1;
	mutex_init(&l->lock);
	atomic_store(&l->stop, false);
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->evfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->epfd < 0 || l->evfd < 0 || !add_fd(l, l->evfd, EVENT_INBOX)) {
		err_set(err, ERR_INTERNAL_ERROR, "could not create an event loop (errno %d)", errno);
		loop_destroy(l);
		return false;
	}
	*ret = l;
	return true;
}

void loop_destroy(struct loop *l)
{
	if (l == NULL)
		return;
	if (l->epfd >= 0)
		close(l->epfd);
	if (l->evfd >= 0)
		close(l->evfd);
	mutex_done(&l->lock);
	timers_done(&l->timers);
	mem_free(l->asleep);
	mem_free(l);
}

void loop_set_client(struct loop *l, const struct loop_client *c)
{
	l->client = *c;
	if (c->fd >= 0 && !add_fd(l, c->fd, EVENT_CLIENT))
		l->client.fd = -1;
}

void loop_kick(struct loop *l)
{
	l->client_due = true;
}

void loop_spawn(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct spawn *s = mem_alloc(sizeof(*s));
	s->fn = fn;
	s->arg = arg;
	mutex_lock(&l->lock);
	if (l->spawn_tail != NULL)
		l->spawn_tail->next = s;
	else
		l->spawn_head = s;
	l->spawn_tail = s;
	notify_locked(l);
	mutex_unlock(&l->lock);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	mutex_lock(&l->lock);
	notify_locked(l);
	mutex_unlock(&l->lock);
}

void loop_cancel_all(struct loop *l)
{
	atomic_store(&l->cancel, true);
	mutex_lock(&l->lock);
	notify_locked(l);
	mutex_unlock(&l->lock);
}

struct loop *loop_current(void)
{
	return current;
}

void loop_watch(struct loop *l, struct loop_watch *w, unsigned events)
{
	struct epoll_event ev = {.events = events | EPOLLONESHOT, .data.u64 = (uint64_t)((uintptr_t)w | EVENT_WATCH)};
	w->active = listen_on(l, w->fd, &ev);
}

void loop_unwatch(struct loop *l, struct loop_watch *w)
{
	if (w->active)
		epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->active = false;
}

/* ---- how long turns take ---- */

static void enter_running(struct loop *l)
{
	pthread_mutex_lock(&running.lock);
	l->number = running.n++;
	l->next_running = running.head;
	running.head = l;
	pthread_mutex_unlock(&running.lock);
}

static void leave_running(struct loop *l)
{
	pthread_mutex_lock(&running.lock);
	struct loop **at = &running.head;
	while (*at != l)
		at = &(*at)->next_running;
	*at = l->next_running;
	running.n = running.head != NULL ? running.n : 0;
	pthread_mutex_unlock(&running.lock);
}

static void turn_begins(struct loop *l, int64_t now)
{
	if (now - l->cpu_looked >= CPU_LOOK_NS) {
		l->cpu = clock_thread_cpu_ns();
		l->cpu_looked = now;
	}
	atomic_store_explicit(&l->turn_since, now, memory_order_relaxed);
	/* one writer: whole values are enough */
	atomic_store_explicit(&l->n_turns, atomic_load_explicit(&l->n_turns, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static void raise_max(atomic_int_least64_t *max, int64_t ns)
{
	if (ns > atomic_load_explicit(max, memory_order_relaxed))
		atomic_store_explicit(max, ns, memory_order_relaxed);
}

static void turn_ends(struct loop *l, int64_t now)
{
	const int64_t since = atomic_load_explicit(&l->turn_since, memory_order_relaxed);
	if (since == 0)
		return;
	raise_max(&l->turn_ns_max, now - since);
	/* it had no more of a processor than it took */
	if (now - since >= CPU_LOOK_NS && now - since > atomic_load_explicit(&l->turn_cpu_ns_max, memory_order_relaxed))
		raise_max(&l->turn_cpu_ns_max, clock_thread_cpu_ns() - l->cpu);
}

int64_t loop_longest_turn_cpu_ns(void)
{
	int64_t longest = 0;
	pthread_mutex_lock(&running.lock);
	for (struct loop *l = running.head; l != NULL; l = l->next_running) {
		const int64_t ns = atomic_load_explicit(&l->turn_cpu_ns_max, memory_order_relaxed);
		longest = longest > ns ? longest : ns;
	}
	pthread_mutex_unlock(&running.lock);
	return longest;
}

int64_t loop_longest_turn_ns(void)
{
	const int64_t now = clock_mono_ns();
	int64_t longest = 0;
	pthread_mutex_lock(&running.lock);
	for (struct loop *l = running.head; l != NULL; l = l->next_running) {
		const int64_t since = atomic_load_explicit(&l->turn_since, memory_order_relaxed);
		const int64_t past = atomic_load_explicit(&l->turn_ns_max, memory_order_relaxed);
		longest = longest > past ? longest : past;
		if (since != 0 && now - since > longest)
			longest = now - since;
	}
	pthread_mutex_unlock(&running.lock);
	return longest;
}

void loop_each_turn(void (*fn)(void *arg, int loop, uint64_t turn, int64_t ns), void *arg)
{
	const int64_t now = clock_mono_ns();
	pthread_mutex_lock(&running.lock);
	for (struct loop *l = running.head; l != NULL; l = l->next_running) {
		const uint64_t turn = atomic_load_explicit(&l->n_turns, memory_order_relaxed);
		const int64_t since = atomic_load_explicit(&l->turn_since, memory_order_relaxed);
		if (since != 0)
			fn(arg, l->number, turn, now - since);
	}
	pthread_mutex_unlock(&running.lock);
}

/* ---- one turn ---- */

static void take_inbox(struct loop *l)
{
	uint64_t drained;
	ssize_t n = read(l->evfd, &drained, sizeof(drained));
	(void)n;
	mutex_lock(&l->lock);
	l->notified = false;
	struct fiber *f = l->in_head;
	struct spawn *s = l->spawn_head;
	l->in_head = l->in_tail = NULL;
	l->spawn_head = l->spawn_tail = NULL;
	mutex_unlock(&l->lock);
	while (f != NULL) {
		struct fiber *next = *fiber_link(f);
		push(&l->ready_head, &l->ready_tail, f);
		f = next;
	}
	while (s != NULL) {
		struct spawn *next = s->next;
		struct fiber *parked;
		(void)fiber_start(s->fn, s->arg, &parked);
		mem_free(s);
		s = next;
	}
}

static void take_event(struct loop *l, const struct epoll_event *ev)
{
	uintptr_t data = (uintptr_t)ev->data.u64;
	enum event_kind kind = (enum event_kind)(data & KIND_MASK);
	if (kind == EVENT_CLIENT) {
		l->client_due = true;
	} else if (kind == EVENT_WAIT) {
		struct loop_wait *w = (struct loop_wait *)data; /* NOLINT(performance-no-int-to-ptr) */
		w->revents = ev->events;
		fiber_ready(w->fiber);
	} else if (kind == EVENT_WATCH) {
		struct loop_watch *w = (struct loop_watch *)(data & ~KIND_MASK); /* NOLINT(performance-no-int-to-ptr) */
		if (w->active)
			w->fn(w->arg);
	}
}

static void fire_timers(struct loop *l, int64_t now)
{
	while (l->timers.n > 0 && l->timers.heap[0]->deadline <= now) {
		struct loop_wait *w = l->timers.heap[0];
		timers_remove(&l->timers, w);
		w->timed_out = true;
		fiber_ready(w->fiber);
	}
}

/* Those that are ready now; the ones they wake run in the next turn, after a look at epoll. */
static void run_ready(struct loop *l)
{
	struct fiber *list = l->ready_head, *f;
	l->ready_head = l->ready_tail = NULL;
	while ((f = l->soon != NULL ? l->soon : list) != NULL) {
		*(l->soon != NULL ? &l->soon : &list) = *fiber_link(f);
		(void)fiber_resume(f);
	}
}

/* One slice of one long computation. While others are busy these get as much time as the others' work takes, and half
 * of what the loop waits for it; their share used up, the loop waits for events rather than compute on, which would
 * keep clients on the same machine from their processor. Nothing for ASIDE_WAIT_MS: they have the loop to themselves.
 * `from`: when the turn's events were there. */
static void run_aside(struct loop *l, bool busy, int64_t from)
{
	struct fiber *f = l->aside_head;
	int64_t now = clock_mono_ns();
	if (busy) {
		l->aside_ns += now - from + (from - l->aside_since) / 2;
		l->aside_ns = clock_min(l->aside_ns, ASIDE_NS_MAX);
	}
	if (f != NULL && (!busy || l->aside_ns > 0)) {
		const int64_t start = now;
		l->aside_head = *fiber_link(f);
		if (l->aside_head == NULL)
			l->aside_tail = NULL;
		(void)fiber_resume(f);
		now = clock_mono_ns();
		if (busy)
			l->aside_ns -= now - start;
	}
	l->aside_waits = busy && l->aside_ns <= 0;
	l->aside_since = now;
}

/* What they ask for while they run is for the next turn's end. */
static void end_turn(struct loop *l)
{
	struct loop_turn_end *e = l->ends;
	l->ends = NULL;
	while (e != NULL) {
		struct loop_turn_end *next = e->next; /* e's memory may go with its call */
		e->fn(e->arg);
		e = next;
	}
}

static int turn_timeout_ms(struct loop *l, int64_t now)
{
	if (l->ready_head != NULL || l->soon != NULL || l->client_due || l->ends != NULL)
		return 0;
	if (l->aside_head != NULL)
		return l->aside_waits ? ASIDE_WAIT_MS : 0;
	int64_t due = l->timers.n > 0 ? l->timers.heap[0]->deadline : CLOCK_NEVER;
	if (l->client.due != NULL)
		due = clock_min(due, l->client.due(l->client.arg));
	if (due == CLOCK_NEVER)
		return -1;
	if (due <= now)
		return 0;
	int64_t ms = (due - now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
	return ms > 60000 ? 60000 : (int)ms;
}

/* What was spawned before the end still runs: it may own something. */
static bool inbox_full(struct loop *l)
{
	mutex_lock(&l->lock);
	const bool full = l->spawn_head != NULL || l->in_head != NULL;
	mutex_unlock(&l->lock);
	return full;
}

/* A busy loop writes its log lines once there is nothing else to do, or once their buffer is full: a write less in most
 * turns. It never sleeps over one. */
static int wait_for_events(struct loop *l, struct epoll_event *events)
{
	const int64_t now = clock_mono_ns();
	const int timeout = turn_timeout_ms(l, now);
	turn_ends(l, now);
	if (log_held() >= LOG_BATCH_BYTES) {
		int n = epoll_wait(l->epfd, events, EVENTS_PER_TURN, 0);
		if (n != 0)
			return n;
	}
	log_flush(); /* which may block, when nobody reads the log */
	atomic_store_explicit(&l->turn_since, 0, memory_order_relaxed);
	return epoll_wait(l->epfd, events, EVENTS_PER_TURN, timeout);
}

void loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS_PER_TURN];
	l->thread = pthread_self();
	current = l;
	fiber_thread_init(&l->base);
	log_hold(true);
	enter_running(l);
	while (!atomic_load(&l->stop) || fiber_count() > 0 || l->ends != NULL || inbox_full(l)) {
		const int n = wait_for_events(l, events);
		bool inbox = false;
		for (int i = 0; i < n; i++) {
			if ((events[i].data.u64 & KIND_MASK) == EVENT_INBOX)
				inbox = true;
			else
				take_event(l, &events[i]);
		}
		int64_t now = clock_mono_ns();
		turn_begins(l, now);
		fire_timers(l, now);
		if (inbox)
			take_inbox(l);
		if (!l->cancelled && atomic_load(&l->cancel)) {
			l->cancelled = true;
			fiber_cancel_all();
		}
		const bool busy = n > 0 || l->ready_head != NULL || l->soon != NULL;
		run_ready(l);
		if (l->client.run != NULL && (l->client_due || l->client.due(l->client.arg) <= now)) {
			l->client_due = false;
			l->client.run(l->client.arg);
		}
		end_turn(l);
		if (l->aside_head != NULL)
			run_aside(l, busy, now);
	}
	leave_running(l);
	log_hold(false);
	fiber_thread_init(NULL);
	current = NULL;
}
