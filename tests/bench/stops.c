/*
 * How long the machine itself stood still: a thread of the highest priority on each processor sleeps a millisecond
 * again and again until standard input ends. Prints the longest time that one was late, in milliseconds, which no
 * program beside it can have caused; -1: it may not have that priority.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX 256

static atomic_long worst_us;
static atomic_int refused;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *look(void *arg)
{
	const struct sched_param first = {.sched_priority = sched_get_priority_max(SCHED_FIFO)};
	const struct timespec pause = {.tv_nsec = 1000000};
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)arg, &one);
	if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one) != 0 ||
	    pthread_setschedparam(pthread_self(), SCHED_FIFO, &first) != 0) {
		refused = 1;
		return NULL;
	}
	for (double from = now();; from = now()) {
		nanosleep(&pause, NULL);
		const long late = (long)((now() - from) * 1e6) - 1000;
		long worst = worst_us;

		while (late > worst && !atomic_compare_exchange_weak(&worst_us, &worst, late))
			;
	}
}

int main(void)
{
	const long n = sysconf(_SC_NPROCESSORS_ONLN);
	char byte;

	(void)mlockall(MCL_CURRENT | MCL_FUTURE);
	for (long i = 0; i < n && i < CPUS_MAX; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, look, (void *)i) != 0)
			refused = 1;
	}
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	printf("%.1f\n", refused ? -1.0 : (double)worst_us / 1000);
	return 0;
}
