/*
 * Company: whole units of work that write to one SQLite database share a transaction, and so its sync. Each runs in a
 * savepoint when it is its turn and is undone alone; none is told of before the commit that holds it. A set is owned by
 * its connection (registry.h); who takes part owns its seat.
 */
#ifndef FERROD_STORE_COMPANY_H
#define FERROD_STORE_COMPANY_H

#include "store/connection/pool.h"
#include "store/exec/lane_stats.h"

/*
 * Each loop has its own: the first who comes leases the writer and begins, those who come meanwhile wait for their
 * turn, and who has run waits for the commit, which the last one makes. What undoes all of it (an interrupted
 * statement, a full disk, OR ROLLBACK) undoes those who have run before it as well, of whom nobody has heard: their
 * error is `again`, see err.h. One that has been undone alone waits too: what it has seen may not have remained.
 */

struct company_set;
struct party;

struct company_set *company_set_create(void);
/* Nobody takes part in any. */
void company_set_destroy(struct company_set *s);

struct company_guest {
	uint64_t kind;
	int64_t deadline; /* of its request */
	int64_t since_ns; /* as of driver_conn.since_ns */
};

/* Zero: none. */
struct company_seat {
	struct company_set *set;
	struct party *party;
	bool alone; /* nobody had run in the party before: nothing that it saw can go */
	uint64_t kind;
	bool shy;            /* set by who runs in it: its kind is to have its transactions for itself for a while */
	int64_t since_ns;    /* as of driver_conn.since_ns */
	int64_t until_ns;    /* the time that the others have for it */
	struct lease *lease; /* the party's, to run on until company_leave */
};

/* Does a unit gain by it? kind: names units that do the same, of which one that was slow, or ended all, goes alone for
 * a while. In a fiber only. */
bool company_fits(struct company_set *s, const struct pool *p, uint64_t kind);
/* The turn in a transaction, which has the writer and begins with a savepoint. Errors as of pool_lease. Parks. */
bool company_enter(struct company_set *s, struct pool *p, const struct company_guest *who, struct company_seat *ret,
		   struct err *err) MUST_CHECK;
/* Keeps or undoes what has run since company_enter, and waits until it is known what became of the transaction. keep:
 * false is an error with an outcome, or `again`. Without keep: false means `again`, since what has been seen has not
 * remained. The seat is zero afterwards. Parks, shielded. */
bool company_leave(struct company_seat *seat, bool keep, struct err *err) MUST_CHECK;

/* statements: the units; round_trips: the transactions that held them; again: those that were undone with others. Any
 * thread. */
void company_stats(const struct company_set *s, struct lane_stats *ret);

#endif
