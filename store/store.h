/*
 * The facade that handlers get: one struct that owns every registry of the domain; owned by the composition root.
 * Knows no HTTP.
 */
#ifndef FERROD_STORE_STORE_H
#define FERROD_STORE_STORE_H

#include "store/connection/registry.h"
#include "store/exec/exec.h"
#include "store/schema/schema_registry.h"
#include "store/session/session.h"
#include "store/session/tx.h"

/*
 * What lies below:
 *
 *   value.h stmt.h          values and statements
 *   connection/             dsn, registry of named connections, pool
 *   session/                sessions, transactions, identity map, route
 *   schema/ query/ ddl/ codec/ dialect/   the pure middle
 *   driver/                 all I/O
 *   exec.h                  the one path all SQL takes
 *   lane.h reader.h         what quick statements of many requests share: round trips and commits, snapshots
 *
 * Lock order: session table, transaction table, registries (connections, schema), pool, identity map. Nothing but a
 * transaction's turn, a database's writer turn and the turns of who changes connections and models (the catalog's, the
 * tellings', then `publishing`) are held across a park.
 */

struct store_options {
	struct session_limits sessions;
	double statement_timeout_s; /* the server's default for every statement; 0: none */
	double busy_timeout_s;      /* SQLite: other processes' locks */
	double tx_timeout_s, tx_timeout_max_s, tx_idle_s;
	struct tx_shares tx_shares;
	size_t tx_queue_max;
	size_t sqlite_cache_kib; /* page cache per SQLite connection */
};

struct store {
	struct store_options options;
	char life[17]; /* of this process's catalog, in hexadecimal */
	struct connection_registry connections;
	struct schema_registry models;
	struct session_table *sessions;
	struct tx_table *transactions;
	struct turn publishing; /* see store_begin_publishing */
};

struct store *store_create(const struct store_options *o);
/* Ends sessions and transactions, closes every pool. Must run where fibers may park, or on a plain thread. */
void store_destroy(struct store *s);

/* One round of housekeeping: sessions, transactions, pools. Returns when it wants to run again (monotonic ns). Parks.
 */
int64_t store_tick(struct store *s);

/* How often connections and models have changed in this process; only grows. */
int64_t store_changes(struct store *s);

/* Who looks whether connections or models may be changed, and then changes them, does both between these two, so that
 * nothing comes between; nobody's going away does either. In place of it a reset holds the catalog's turn. Parks. */
void store_begin_publishing(struct store *s);
void store_end_publishing(struct store *s);

/* reset_engine: every pool, session, transaction and map is gone, and `fresh` in place of the connections; models stay.
 */
void store_reset(struct store *s, const struct connection_set *fresh);
/* What has been taken out of the registry: its transactions and sessions end as expired, then its pool. Takes the
 * reference. Parks. */
void store_end_connection(struct store *s, struct connection *c);
/* Of one connection that stays: its transactions and sessions end as expired, its pooled connections are replaced.
 * ERR_CONNECTION_NOT_FOUND. Parks. */
bool store_reset_connection(struct store *s, struct str name, struct err *err) MUST_CHECK;
/* Disconnect: what may be refused, before it is kept anywhere. Until one of the next two nothing is begun on it.
 * ERR_CONNECTION_IN_USE unless force, ERR_DECLARED. */
bool store_begin_disconnect(struct store *s, struct connection *c, bool force, struct err *err) MUST_CHECK;
/* It is out of the registry, what is left of its sessions and transactions ends as expired. Parks. */
void store_finish_disconnect(struct store *s, struct connection *c);
/* It stays after all. */
void store_cancel_disconnect(struct store *s, struct connection *c);

/* The routing rules of sections 2.2 and 7 in one place: transaction, then `using`, then session, then the default. What
 * is entered stays entered until route_release. Ids STR_NONE: not given. `even_aborted`: for ending a transaction. */
struct route_request {
	struct str session_id, tx_id, using, owner;
	int64_t deadline;
};
bool route_resolve(struct store *s, const struct route_request *q, struct route *ret, struct err *err) MUST_CHECK;
void route_release(struct store *s, struct route *r);

#endif
