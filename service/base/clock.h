/*
 * Time. Durations and deadlines are int64_t nanoseconds of CLOCK_MONOTONIC; instants are microseconds since the Unix
 * epoch. Owns nothing.
 */
#ifndef FERROD_BASE_CLOCK_H
#define FERROD_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_S INT64_C(1000000000)
#define CLOCK_NS_PER_MS INT64_C(1000000)
/* A deadline that never comes. */
#define CLOCK_NEVER INT64_MAX
/* Bytes of "2026-01-02T03:04:05.000000Z" and its NUL. */
#define CLOCK_RFC3339_BYTES 32

/* CLOCK_MONOTONIC now. */
int64_t clock_mono_ns(void);

/* What the calling thread has had of processors so far; a system call. */
int64_t clock_thread_cpu_ns(void);

/* The same to a few milliseconds, for a fraction of the cost: sums of many differences come out right. */
int64_t clock_coarse_ns(void);

/* CLOCK_REALTIME now, microseconds since the epoch. */
int64_t clock_real_us(void);

/* now + seconds, saturating; 0 or less seconds gives CLOCK_NEVER. */
int64_t clock_deadline(double seconds);

/* The earlier of two deadlines. */
static inline int64_t clock_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The later of two. */
static inline int64_t clock_max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* RFC 3339 UTC with 'Z' and milliseconds, NUL-terminated. */
void clock_rfc3339(int64_t real_us, char buf[CLOCK_RFC3339_BYTES]);

#endif
