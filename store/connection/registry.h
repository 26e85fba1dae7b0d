/*
 * Named connections and the default. Owned by the store; connections are reference-counted, and each owns its pool,
 * its lanes and its readers.
 */
#ifndef FERROD_STORE_CONNECTION_REGISTRY_H
#define FERROD_STORE_CONNECTION_REGISTRY_H

#include "service/base/map.h"
#include "service/base/mutex.h"
#include "store/connection/pool.h"

/* A named connection: immutable but for counters; reference-counted; lives while a request, session or transaction uses
 * it. */
#define CONNECTION_ERROR_CLASSES 18
#define HOLD_WHY 512

/* Where a connection comes from: the catalog, a call, or the setting default_url. */
enum connection_origin { CONNECTION_TOLD, CONNECTION_DECLARED, CONNECTION_BUILT_IN };

/* What units of work on it tell the database of who asks (PostgreSQL). */
enum acting { ACTING_NONE, ACTING_SETTINGS, ACTING_ROLE };

struct lane_set;    /* store/exec/lane.h */
struct reader_set;  /* store/exec/reader.h */
struct company_set; /* store/exec/company.h */

struct connection {
	int refs; /* atomic */
	struct arena arena;
	struct str name;
	struct dsn dsn;
	const struct driver *driver;
	const struct dialect *dialect;
	struct pool *pool;
	struct lane_set *lanes;                   /* owned: queues of quick statements */
	struct reader_set *readers;               /* owned: the connections that reads of one loop turn share */
	struct company_set *companies;            /* owned: transactions that units of work share */
	const struct connection_sharing *sharing; /* who made them */
	bool identity_map;
	int leases;        /* atomic: its advisory locks do nothing, see store/exec/coordination.h */
	bool exactly_once; /* answers of writes with an Idempotency-Key are kept in its database */
	enum acting acting;
	int user_rights;      /* atomic: of its pool's user, see store/exec/user_rights.h */
	int64_t rights_at_ns; /* atomic: when that was seen; 0: never */
	struct str url;       /* as it was given: secret; in the arena */
	int kept;             /* atomic: it is in the state */
	int restored;         /* atomic: told to an earlier life; gives way once to a connect under its name */
	enum connection_origin origin;
	const char *declared_in;            /* the catalog's file, when declared; in the arena */
	bool unnamed;                       /* made by an unnamed connect */
	uint64_t uid;                       /* unique in the process: a new connect under the same name has another */
	uint64_t schema_epoch;              /* atomic; bumped by DDL: identity maps older than this are stale */
	int64_t n_sessions, n_transactions; /* atomic gauges */
	char *first_user;                   /* atomic; owned: the first caller that used it; NULL: none has */
	int shared;                         /* atomic: another one has, too */
	uint64_t n_errors[CONNECTION_ERROR_CLASSES]; /* atomic; failed statements by SQLSTATE class, see
							connection_error_class */
	int closed;                                  /* atomic: disconnected or reset; sessions on it have expired */
	int leaving;                                 /* atomic: it is about to be; nothing new is begun on it */
	int held;                                    /* atomic: not served (yet); hold_why says why */
	struct mutex hold_lock;                      /* of hold_why */
	char hold_why[HOLD_WHY];                     /* for clients; without secrets */
};

struct connect_options {
	struct str url;
	struct str name; /* STR_NONE: unnamed */
	bool make_default;
	bool identity_map;
	bool exactly_once;
	enum acting acting;
	enum connection_origin origin;
	const char *declared_in; /* file of the catalog that declares it; borrowed for the call */
	bool restored;           /* told to an earlier life: takes its name whoever has it */
	struct pool_config pool;
};

/* Makes and frees what statements of one connection share, of which this room knows nothing. */
struct connection_sharing {
	void (*create)(struct connection *c);  /* sets lanes, readers and companies; the pool is there */
	void (*destroy)(struct connection *c); /* nobody uses them any more */
};

struct connection_registry {
	const struct connection_sharing *sharing; /* borrowed */
	struct mutex lock;
	struct map by_name;          /* -> struct connection, one reference each */
	struct connection *fallback; /* the default; borrowed from by_name, may be NULL */
	bool fallback_declared;      /* the catalog says which it is */
	uint64_t next_uid;
	uint64_t changes; /* of names and of the default, counted */
};

/* Borrowed connections, and which of them is the default (NULL: none). */
struct connection_set {
	struct connection *const *list;
	size_t n;
	struct connection *fallback;
};

void connection_registry_init(struct connection_registry *r, const struct connection_sharing *sharing);
void connection_registry_done(struct connection_registry *r);

struct connection *connection_ref(struct connection *c);
void connection_unref(struct connection *c);

/* May a session or transaction be begun on it? ERR_CONNECTION_NOT_FOUND: it was disconnected; ERR_DATABASE_BUSY: it is
 * being. */
bool connection_may_begin(const struct connection *c, struct err *err) MUST_CHECK;

/* Validates in the contract's order (scheme, name, duplicate but for what is declared or built in, search path) and
 * answers the connection unregistered: nothing has been opened. *ret: a new reference. ERR_DECLARED for a name, or a
 * default, that the catalog has. */
bool connection_create(struct connection_registry *r, const struct connect_options *o, struct connection **ret,
		       struct err *err) MUST_CHECK;
/* Opens one connection to its database: proves the URL, and finds out the file and the server's version. Parks. */
bool connection_prove(struct connection *c, int64_t deadline, struct err *err) MUST_CHECK;
/* What proving would say of a file that cannot be opened; it is neither made nor changed. q may be NULL. True for a
 * database that has none (PostgreSQL). Blocks. */
bool connection_look(const struct connection *c, struct driver_look *q, struct err *err) MUST_CHECK;
/* Creates and proves: connection_register publishes. Parks. *ret: a new reference. */
bool connection_open(struct connection_registry *r, const struct connect_options *o, int64_t deadline,
		     struct connection **ret, struct err *err) MUST_CHECK;
/* The told connection that is what `o` asks for by name: same URL (of no database in memory), limits, identity map.
 * *ret: a new reference. */
bool connection_same(struct connection_registry *r, const struct connect_options *o,
		     struct connection **ret) MUST_CHECK;
/* Publishes (taking a reference of its own); ERR_CONNECTION_EXISTS on a lost race. A replaced unnamed one is answered
 * in *ret_replaced (the registry's reference goes to the caller) or NULL. */
bool connection_register(struct connection_registry *r, struct connection *c, const struct connect_options *o,
			 struct connection **ret_replaced, struct err *err) MUST_CHECK;

/* Would it be published? The errors of connection_register. */
bool connection_may_register(struct connection_registry *r, const struct connection *c, const struct connect_options *o,
			     struct err *err) MUST_CHECK;
/* May calls make it the default? ERR_DECLARED. */
bool connection_may_be_default(struct connection_registry *r, const struct connection *c, struct err *err) MUST_CHECK;
/* Publishes what the catalog declares (or the built-in default), in place of whatever has its name. *ret_replaced as
 * above. */
void connection_declare(struct connection_registry *r, struct connection *c, struct connection **ret_replaced);
/* Takes a declared connection out, for the catalog does not have it any more; NULL when it is another one by now. The
 * registry's reference goes to the caller. */
struct connection *connection_undeclare(struct connection_registry *r, struct connection *c);
/* The catalog's default: NULL: it has none, and calls may choose. c must be registered, else nothing happens. */
void connection_declare_default(struct connection_registry *r, struct connection *c);

/* Serves nothing until connection_unhold: what needs it is refused with ERR_DATABASE_UNAVAILABLE and `why`. Any thread.
 */
void connection_hold(struct connection *c, const char *why);
/* What anybody may read of an error that holds a connection: nothing of its URL, hosts or logins. Static, or borrowed
 * from err. */
const char *connection_hold_reason(const struct err *err);
void connection_unhold(struct connection *c);
/* False while it is held. */
bool connection_available(struct connection *c, struct err *err) MUST_CHECK;

/* By name; a new reference. ERR_CONNECTION_NOT_FOUND, ERR_INVALID_CONNECTION_NAME. */
bool connection_get(struct connection_registry *r, struct str name, struct connection **ret,
		    struct err *err) MUST_CHECK;
/* The default; ERR_NO_DEFAULT_CONNECTION. */
bool connection_get_default(struct connection_registry *r, struct connection **ret, struct err *err) MUST_CHECK;
/* ERR_CONNECTION_NOT_FOUND, ERR_DECLARED when the catalog says that it is another. */
bool connection_set_default(struct connection_registry *r, struct str name, struct err *err) MUST_CHECK;
/* ERR_DECLARED. */
bool connection_may_remove(const struct connection *c, struct err *err) MUST_CHECK;
/* Takes a told or built-in one (else ERR_DECLARED) out of the registry; the registry's reference goes to the caller,
 * who closes it (connection_close). */
bool connection_remove(struct connection_registry *r, struct str name, struct connection **ret,
		       struct err *err) MUST_CHECK;
/* A caller with that key uses it. Any thread, never parks, and costs next to nothing. */
void connection_used_by(struct connection *c, struct str caller);
/* Have callers with different keys used it? */
bool connection_shared(const struct connection *c);
/* No new leases; pooled connections close. */
void connection_close(struct connection *c);
/* All of them, sorted by name, each a new reference, in the arena; *ret_default may be NULL. */
size_t connection_list(struct connection_registry *r, struct arena *a, struct connection ***ret,
		       struct str *ret_default);
/* Takes everything out (reset) and puts what stands in its place, taking references of its own. References of what was
 * there go to the caller. */
size_t connection_replace_all(struct connection_registry *r, struct arena *a, const struct connection_set *fresh,
			      struct connection ***ret);

bool connection_name_valid(struct str name);
/* "told", "declared", "built_in"; static. */
const char *connection_origin_word(enum connection_origin o);
/* On the wire: none, settings, role; static. */
const char *acting_word(enum acting a);
bool acting_of_word(struct str word, enum acting *ret) MUST_CHECK;

/* Counts a failed statement; sqlstate "" when the database gave none. Any thread. */
void connection_count_error(struct connection *c, const char *sqlstate);
/* The SQLSTATE class ("23") whose count is n_errors[i]; "none" and "other" are the last two. Static. */
const char *connection_error_class(size_t i);

#endif
