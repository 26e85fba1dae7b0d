/* See watchdog.h. Neither thread takes a lock of the loops for longer than it looks. */
#include "service/http/watchdog.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/log.h"
#include "service/base/mem.h"
#include "service/http/loop.h"

#include "service/base/banned.h"

#define LOOK_MS_MAX 250
#define AGAIN_NS (10 * CLOCK_NS_PER_S) /* between two lines about one turn */
#define LOOPS_MAX 256

/* What was said of a loop last; the thread's alone. */
struct said {
	uint64_t turn;
	int64_t ns;
};

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool started, stop;
	int64_t stall_ns;
	struct said said[LOOPS_MAX];
	struct said found[LOOPS_MAX]; /* of one look: to be logged without the loops' lock */
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};

static void on_turn(void *arg, int loop, uint64_t turn, int64_t ns)
{
	(void)arg;
	if (loop < LOOPS_MAX && ns >= dog.stall_ns)
		dog.found[loop] = (struct said){turn, ns};
}

static void look(void)
{
	loop_each_turn(on_turn, NULL);
	for (int i = 0; i < LOOPS_MAX; i++) {
		const struct said found = dog.found[i], before = dog.said[i];
		dog.found[i] = (struct said){0};
		if (found.ns == 0 || (before.turn == found.turn && found.ns < before.ns + AGAIN_NS))
			continue;
		dog.said[i] = found;
		struct log_line l;
		log_begin(&l, LOG_WARN, "loop_stalled");
		log_int(&l, "loop", i);
		log_ms(&l, "turn_ms", found.ns);
		log_end(&l);
	}
}

static void *watch(void *arg)
{
	(void)arg;
	int64_t ns = clock_min(dog.stall_ns / 2, LOOK_MS_MAX * CLOCK_NS_PER_MS);
	pthread_mutex_lock(&dog.lock);
	while (!dog.stop) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		const int64_t nsec = until.tv_nsec + ns;
		until.tv_sec += nsec / CLOCK_NS_PER_S;
		until.tv_nsec = nsec % CLOCK_NS_PER_S;
		pthread_cond_timedwait(&dog.ended, &dog.lock, &until);
		if (dog.stop)
			break;
		pthread_mutex_unlock(&dog.lock);
		look();
		pthread_mutex_lock(&dog.lock);
	}
	pthread_mutex_unlock(&dog.lock);
	return NULL;
}

void watchdog_start(double seconds)
{
	dog.stall_ns = (int64_t)(seconds * 1e9);
	dog.stop = false;
	if (dog.stall_ns > 0)
		dog.started = pthread_create(&dog.thread, NULL, watch, NULL) == 0;
}

void watchdog_stop(void)
{
	if (!dog.started)
		return;
	pthread_mutex_lock(&dog.lock);
	dog.stop = true;
	pthread_cond_signal(&dog.ended);
	pthread_mutex_unlock(&dog.lock);
	pthread_join(dog.thread, NULL);
	dog.started = false;
}

/* ---- the end ---- */

static void *end(void *arg)
{
	static const char line[] =
		"ferrod: a loop has not ended within the drain's time: the process ends without it\n";
	int64_t *left = arg;
	const struct timespec ts = {.tv_sec = *left / CLOCK_NS_PER_S, .tv_nsec = *left % CLOCK_NS_PER_S};
	nanosleep(&ts, NULL);
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0) /* that nobody reads the log may be why */
		(void)!write(STDERR_FILENO, line, sizeof(line) - 1);
	_exit(EXIT_FAILURE);
}

void watchdog_end_within(double seconds)
{
	static int64_t left;
	pthread_t thread;
	left = (int64_t)(seconds * 1e9);
	if (pthread_create(&thread, NULL, end, &left) == 0)
		pthread_detach(thread);
}
