/*
 * How long what requests share may take: round trips of quick statements (lane.h) and transactions of writes (lane.h,
 * company.h). Settings of the process, owned by it: set once, before its loops start.
 */
#ifndef FERROD_STORE_SHARING_H
#define FERROD_STORE_SHARING_H

#include <stdint.h>

struct sharing_limits {
	double trip_s;   /* PostgreSQL: a round trip; what has less time goes by itself */
	double write_s;  /* SQLite: a transaction of single writes; what is not done by then goes by itself */
	double unit_s;   /* SQLite: one unit of work in a transaction; one that takes longer is undone and goes alone */
	double gather_s; /* SQLite: a transaction takes more units for so long; 0: each has one of its own */
};

/* Seconds, not negative. Before the first statement; not thread-safe. */
void sharing_configure(const struct sharing_limits *l);

/* The same in nanoseconds. Any thread. */
struct sharing {
	int64_t trip_ns, write_ns, unit_ns, gather_ns;
};
extern struct sharing sharing;

#endif
