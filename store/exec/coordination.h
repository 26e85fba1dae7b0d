/*
 * How those who write one database keep out of each other's way: by its advisory locks, or, where these do nothing
 * (some that speak PostgreSQL's protocol), by rows of a table of ferrod's own that are locked as long as a transaction:
 * leases. What a connection has is found when it is brought up, and stands in it. Owns nothing.
 */
#ifndef FERROD_STORE_EXEC_COORDINATION_H
#define FERROD_STORE_EXEC_COORDINATION_H

#include "store/exec/exec.h"

/* Name TEXT PRIMARY KEY, taken: a count that each taking moves. */
#define LEASE_TABLE "_ferrod_lease"

/* Finds out, and makes the table of leases where it is needed; what cannot be found out stays as it was. Parks. */
void coordination_find(struct connection *c, int64_t deadline);
/* "advisory", "lease"; static. */
const char *coordination_word(const struct connection *c);

#endif
