/*
 * What one connection of the catalog needs before it serves: its database answers, its migration is done, its tables
 * are introspected. An item is one declared connection under one reading of the catalog; reference-counted. Items are
 * owned by struct declared and by the fibers that work on them.
 */
#ifndef FERROD_STORE_CATALOG_BRING_UP_H
#define FERROD_STORE_CATALOG_BRING_UP_H

#include "service/base/mutex.h"
#include "store/catalog/catalog.h"

struct item {
	int refs;                                    /* atomic */
	struct connection *conn;                     /* owned reference */
	struct catalog *catalog;                     /* owned reference; spec and introspect are in it */
	const struct catalog_connection *spec;       /* NULL: the built-in default */
	const struct catalog_introspect *introspect; /* NULL: none */
	struct mutex lock;                           /* of `found` */
	json_t *found;        /* what introspection found: an array of models; NULL: nothing yet */
	struct str signature; /* of the database's schema then; owned */
	int up;               /* atomic: everything is done */
	int gone;             /* atomic: another reading of the catalog has taken its place */
};

/* Takes neither reference: it takes its own. conn is borrowed. */
struct item *item_create(struct catalog *c, const struct catalog_connection *spec, struct connection *conn);
struct item *item_ref(struct item *it);
/* NULL is fine. */
void item_unref(struct item *it);
/* Neither replaced nor disconnected. */
bool item_current(const struct item *it);

/* Proves the connection and migrates it (when `migrate`), then introspects. The item is not up by that: whoever
 * publishes what was found says so. Parks. Errors of connection_prove, migrate_run, live_ir. */
bool item_bring_up(struct item *it, bool migrate, int64_t deadline, struct err *err) MUST_CHECK;
/* Does the error pass by itself, so that it is worth trying again? */
bool bring_up_transient(const struct err *err);

/* Looks whether the schema has changed since and reads it again if so (*ret_changed). Parks. */
bool item_follow(struct item *it, int64_t deadline, bool *ret_changed, struct err *err) MUST_CHECK;

/* What introspection found last; a new reference, or NULL. */
json_t *item_found(struct item *it);

#endif
