/*
 * The quick lane: statements that we generated and know to be short share round trips. Each loop has a queue per pool,
 * and who leads it leases a connection, sends what has gathered, and hands the answers out. A set is owned by its
 * connection (registry.h).
 */
#ifndef FERROD_STORE_LANE_H
#define FERROD_STORE_LANE_H

#include "store/connection/pool.h"
#include "store/exec/lane_stats.h"

/*
 * The first who finds fewer than LANE_LEADERS round trips under way leads. Connections come from the pool and go back
 * after each round trip, so the pool's maximum holds, down to one. A statement that shows to be slow goes by itself
 * for a while.
 *
 * Writes of one statement go the same way. On SQLite, when commits sync a file: those that gather while the writer's
 * turn is waited for, or while others sync, share one transaction, and each is answered after the commit that made it
 * durable. On PostgreSQL each keeps its own transaction and they share only a pipeline, as many connections at a time
 * as pay (postgres_batch.c says what holds for each of them).
 */

struct lane_set;

struct lane_set *lane_set_create(void);
/* Nobody waits in it. */
void lane_set_destroy(struct lane_set *s);

/* True when the statement may go with others here and now: through the lane (lane_run) where the driver has batches, or
 * writes that gain by going together, else with the reads of its turn (reader.h); in a fiber, not known as slow. */
bool lane_fits(struct lane_set *s, struct pool *p, const struct stmt *stmt);

/* The same of a client's own statement, which is known to have no effect but its rows, and was quick and short when it
 * last ran by itself: *ret is the read that it is then. */
bool lane_fits_raw(struct lane_set *s, struct pool *p, const struct stmt *raw, struct stmt *ret);

/* Runs it. True: item->result holds rows (driver->batch_cursor, then driver->batch_drop). False with item.again: not
 * run, the caller takes the ordinary way. False otherwise: *err, item.err is not set. `deadline` is the request's,
 * since_ns as of driver_conn. Parks. */
bool lane_run(struct lane_set *s, struct pool *p, const struct stmt *stmt, int64_t since_ns, int64_t deadline,
	      struct batch_item *ret, struct err *err) MUST_CHECK;

/* A client's own statement has shown, by itself, that it writes and may share a transaction (cursor.joins): from now on
 * it fits where SQLite's writes go together, until it is told to go alone. */
void lane_learn_joins(struct lane_set *s, struct pool *p, const struct stmt *stmt);

/* Tells how long a statement took by itself that answered so many rows, or with the reads of its turn: slow ones leave
 * the lane, quick ones come back to it; one that may be slow goes along once it was quick by itself. */
void lane_learn(struct lane_set *s, struct pool *p, const struct stmt *stmt, int64_t ns, int64_t rows);

void lane_stats(const struct lane_set *s, struct lane_stats *ret_reads, struct lane_stats *ret_writes);

#endif
