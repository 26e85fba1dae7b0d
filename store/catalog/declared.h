/*
 * The catalog put into practice: its connections are registered before anything is served, brought up as their
 * databases answer (proved, migrated, introspected) and followed afterwards; reading it again is all or nothing. Owned
 * by struct app; borrows the store.
 */
#ifndef FERROD_STORE_CATALOG_DECLARED_H
#define FERROD_STORE_CATALOG_DECLARED_H

#include "store/catalog/catalog.h"
#include "store/store.h"

/*
 * The files:
 *
 *   catalog_file.h   files, references
 *   catalog.h        the checked value
 *   declared.h       this: life, reload, reset
 *   bring_up.h       what one connection needs before it serves
 *
 * A connection that is not up yet is held (connection_hold): it is there, and refuses what needs it. Each has a fiber
 * of its own until it is up. Reload, reset and the publishing of introspected models take turns.
 */

struct declared;

/* What becomes of a declared connection on its way up. */
enum declared_event { DECLARED_UP, DECLARED_WAITING, DECLARED_FAILED, DECLARED_STALE };

struct declared_report {
	enum declared_event event;
	struct str connection;
	const struct err *err; /* NULL when it is up */
};

/* What the catalog needs of the process around the store. */
struct declared_hooks {
	void *arg;
	/* Starts a fiber that ends with the process. */
	void (*spawn)(void *arg, void (*fn)(void *), void *fn_arg);
	/* Checks the catalog's keys together with all others: *ret goes to keys_publish or keys_discard. An error that
	 * is about the catalog's points to "/N...". */
	bool (*keys_prepare)(void *arg, const json_t *keys, void **ret, struct err *err);
	void (*keys_publish)(void *arg, void *prepared);
	void (*keys_discard)(void *arg, void *prepared);
	/* Something to log; valid during the call. */
	void (*report)(void *arg, const struct declared_report *r);
};

/* Registers everything that the catalog declares, and the built-in default connection (NULL: none) where it has none;
 * SQLite files are opened, for one that cannot be is a fault; no server has been asked. Borrows the store, copies the
 * rest; takes the catalog when it succeeds. ERR_INVALID_SCHEMA and what connection_create says. */
bool declared_create(struct store *store, const struct catalog_source *source, const struct declared_hooks *hooks,
		     struct catalog *c, const struct connect_options *built_in, struct declared **ret,
		     struct err *err) MUST_CHECK;
/* What declared_create would say; files are looked at, and neither made nor changed. The store is of no other use
 * afterwards. Borrows all. Blocks. */
bool declared_check(struct store *store, struct catalog *c, const struct connect_options *built_in,
		    struct err *err) MUST_CHECK;
/* After the store has been emptied and the loops have ended. NULL is fine. */
void declared_destroy(struct declared *d);

/* Registers a connection that was told to an earlier life of the server; it is held until it is brought up. Before
 * declared_start, or with it running. Errors of connection_create. */
bool declared_adopt(struct declared *d, const struct connect_options *o, struct err *err) MUST_CHECK;

/* Starts to bring everything up, each connection on a fiber of its own. */
void declared_start(struct declared *d);
/* How many connections have not finished their first attempt. Any thread. */
int declared_starting(const struct declared *d);

/* What a reload changed: texts "kind:name", in the arena. */
struct declared_changes {
	struct str *added, *changed, *removed, *unchanged;
	size_t n_added, n_changed, n_removed, n_unchanged;
};

/* Reads the catalog again. All or nothing: false, and everything is as it was, but for migrations that were carried out
 * before another one failed. Errors of catalog_read, ERR_MIGRATION_REFUSED and its like; ERR_DATABASE_BUSY when another
 * reload runs until the deadline. A database that does not answer is no fault. Parks. */
bool declared_reload(struct declared *d, int64_t deadline, struct arena *a, struct declared_changes *ret,
		     struct err *err) MUST_CHECK;

/* reset_engine: the store is emptied, what is declared is connected again. keep: once nothing can refuse it any more;
 * it may. ERR_DATABASE_BUSY: a reload runs until the deadline. Parks. */
bool declared_reset(struct declared *d, int64_t deadline, bool (*decide)(void *arg, struct err *err), void *arg,
		    struct err *err) MUST_CHECK;

#endif
