/*
 * Quick reads of one loop turn share a connection and, where that saves something, a snapshot (SQLite): the first of a
 * turn leases the connection, the turn's end gives it back. A set is owned by its connection (registry.h).
 */
#ifndef FERROD_STORE_READER_H
#define FERROD_STORE_READER_H

#include "store/connection/pool.h"
#include "store/exec/lane_stats.h"

/*
 * A read never sees a state older than its request: the snapshot is renewed when the process has committed anything
 * since it was opened. What other processes commit is seen from the next turn on.
 *
 * The connection is one of the pool's, so its maximum holds, down to one. When none is free, all that wait on a loop
 * are served by the one connection that comes, in the turn after. A read that parks (it computes for long, or its
 * client takes its rows slowly) keeps the connection; until it is done the others of its loop take connections of
 * their own.
 */

struct reader;
struct reader_set;

struct reader_set *reader_set_create(void);
/* The set lives on until the last turn that reads through it has ended. */
void reader_set_unref(struct reader_set *s);

/* The connection of this turn for one read; *ret NULL: the read is to take a lease of its own. The calling fiber runs
 * its statement on *ret_conn (borrowed), then calls reader_leave. since_ns: as of pool_lease_since. The wait for a
 * lease is added to *lease_ns. False: every error of pool_lease. Parks. */
bool reader_enter(struct reader_set *s, struct pool *p, int64_t since_ns, int64_t deadline, struct reader **ret,
		  struct driver_conn **ret_conn, int64_t *lease_ns, struct err *err) MUST_CHECK;
void reader_leave(struct reader *r);

/* Adds reads and the turns that they shared to the figures. Any thread. */
void reader_stats(const struct reader_set *s, struct lane_stats *stats);

#endif
