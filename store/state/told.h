/*
 * What callers tell: connections, models, the default connection. Everything told goes through here: it is kept in the
 * state, when there is one, before it is published and answered. Tellings take turns. Owned by struct app; owns the
 * state, borrows the store.
 */
#ifndef FERROD_STORE_STATE_TOLD_H
#define FERROD_STORE_STATE_TOLD_H

#include "store/catalog/declared.h"
#include "store/state/state.h"
#include "store/store.h"

struct told;

struct told_hooks {
	void *arg;
	/* Does the server's policy admit the URL (still)? It may become another text in the arena. */
	bool (*allowed)(void *arg, struct arena *a, struct str *url, struct err *err);
	/* A kept connection that cannot be made any more; it stays in the state. */
	void (*left_out)(void *arg, struct str name, const struct err *err);
	/* Starts a fiber that ends with the process. */
	void (*spawn)(void *arg, void (*fn)(void *), void *fn_arg);
	void *spawn_arg;
};

/* Takes the state, which may be NULL: nothing is kept. Borrows the rest. */
struct told *told_create(struct store *store, struct declared *declared, struct state *state,
			 const struct told_hooks *hooks);
/* The state; NULL: nothing is kept. Borrowed. */
struct state *told_state(const struct told *t);
/* NULL is fine. */
void told_destroy(struct told *t);

/* Puts what is kept into the registries: its connections are held until they are brought up (declared_start, when it
 * has not run yet). At start, on a plain thread. ERR_INVALID_REQUEST: it does not fit. */
bool told_restore(struct told *t, struct err *err) MUST_CHECK;

/* Follows what other servers keep in the same state, within a second. Once the loops run. */
void told_start(struct told *t);

/* Where this server is: opaque, and another text after each change. In the arena. */
struct str told_version(struct told *t, struct arena *a);
/* Waits until this server is where that text (of any server of the state) says. ERR_CATALOG_BEHIND after five seconds,
 * ERR_PRECONDITION_FAILED: it is of another state's life, or nobody's. Parks. */
bool told_wait(struct told *t, struct str version, int64_t deadline, struct err *err) MUST_CHECK;

/* Who tells. */
struct teller {
	struct str name;
	const struct state_claim *claim; /* for an Idempotency-Key, see state_claims.h; NULL: none */
};

/* What became of a telling of a connection. */
struct told_connection {
	bool kept;                   /* or there is no state */
	struct connection *replaced; /* a reference to end; NULL: none */
};
/* Publishes a connection that works. `who`: the caller. Errors of connection_register; ERR_DATABASE_UNAVAILABLE: the
 * state cannot be written, and nothing was changed. Parks, like all that follow. */
bool told_connect(struct told *t, struct connection *c, const struct connect_options *o, struct teller who,
		  struct told_connection *ret, struct err *err) MUST_CHECK;
bool told_disconnect(struct told *t, struct str name, bool force, struct teller who, struct err *err) MUST_CHECK;
bool told_default(struct told *t, struct str name, struct teller who, struct err *err) MUST_CHECK;
/* *ret (may be NULL): a new reference to what was published. */
bool told_models(struct told *t, const struct schema_edit *e, struct teller who, struct arena *scratch,
		 struct schema **ret, struct err *err) MUST_CHECK;
/* reset_engine: no told connection is left; models stay. */
bool told_reset(struct told *t, int64_t deadline, struct teller who, struct err *err) MUST_CHECK;

#endif
