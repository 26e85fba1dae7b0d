/* A database that exists in memory only, with the behaviour that tests tell it to have. It speaks BEGIN, COMMIT,
 * SAVEPOINT and the like by keeping PostgreSQL's three transaction states, and logs every word. */
#ifndef FERROD_TESTS_FAKE_DRIVER_H
#define FERROD_TESTS_FAKE_DRIVER_H

#include "store/connection/registry.h"

enum fake_commit {
	FAKE_COMMIT_OK,
	FAKE_COMMIT_REFUSED /* serialization failure */,
	FAKE_COMMIT_LOST,
	FAKE_COMMIT_NOT_SENT, /* the connection was gone before */
	FAKE_COMMIT_STAYS_OPEN
};

struct fake_conn {
	struct driver_conn base;
	enum tx_state state;
	int n_cancelled; /* atomic */
};

struct fake {
	enum fake_commit commit; /* how the next commits go */
	const char *refuse;      /* simple() fails for statements that begin so; NULL: none */
	char log[2048];          /* ;-separated */
};

extern struct fake fake;
extern const struct driver fake_driver;

/* A clean slate. */
void fake_reset(void);

/* A connection named `name` with a pool of up to `max` fake connections. Give back with fake_connection_done. */
struct connection *fake_connection(const char *name, int max);
/* Checks that nothing is leased or open on it any more, then frees it. */
void fake_connection_done(struct connection *c);

/* The client's own statement has done this on the leased connection. */
void fake_raw_commit(struct driver_conn *c);
void fake_raw_rollback(struct driver_conn *c);
void fake_fail(struct driver_conn *c); /* a failed statement: aborted */
void fake_lose(struct driver_conn *c);

#endif
