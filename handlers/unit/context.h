/*
 * What every database-bound request needs: the route (session, transaction, connection), the model snapshot, one unit
 * of SQL work and the headers that tell about them: context_open, the work, context_close whatever became of it. Lives
 * in the request's arena; its work is lowered next, in store/query/query.h.
 */
#ifndef FERROD_HANDLERS_CONTEXT_H
#define FERROD_HANDLERS_CONTEXT_H

#include "handlers/unit/answer_head.h"
#include "service/auth/auth.h"
#include "service/http/problem.h"
#include "service/http/request.h"
#include "store/store.h"

/* A request whose answer is kept with its write where its connection says so (exactly_once): the unit of writes stays
 * open when its handler has closed the context, for the answer to go into it. handlers/unit/once.c does that. */
struct request_once {
	/* exec.opened of each unit of writes; the handler fails when the answer is there already */
	bool (*opened)(void *arg, struct exec *x, struct err *err);
	struct context *held; /* in the request's arena; NULL: no unit is open */
	bool used;            /* a unit of writes was begun on such a connection */
};

struct context {
	struct request *req;
	struct response *res;
	struct app *app;
	struct store *store;
	const struct schema *schema; /* the models as they were when the request came; lives with the request's arena */
	struct route route;
	/* where reads look: the session's identity map, its transaction's, or the unit's own; NULL: none is in use */
	struct imap *imap;
	struct imap *session_map; /* the session's or its transaction's, whatever unit is open */
	struct imap *unit_map;    /* of an open unit of writes: what it has written, over the one below */
	struct exec exec;
	struct fact_pin *pins; /* triggers.c: of tables, while statements are on their way */
	int64_t deadline;
	bool in_unit;
	bool once;            /* the unit stays open for the answer */
	bool undo;            /* Prefer: tx=rollback on a write */
	bool opens;           /* the route's transaction is this request's own until it is answered */
	bool ends, commits;   /* it ends with this request's work, by commit or by rollback */
	const char *tx_state; /* how it ended: "committed" or "rolled_back"; NULL: not by this request */
};

struct context_spec {
	struct str using;        /* the body's member; STR_NONE: not given */
	const char *const *args; /* query arguments that the route knows, NULL-terminated; NULL: checked elsewhere */
	bool even_aborted;       /* the work may happen in an aborted transaction */
	bool as_pool;            /* it is the pool user's: nothing is told of who asks (acting.h) */
};

extern const char *const context_no_args[];

/* Enters session and transaction, decides the connection, checks that the caller may use it, sets the headers of the
 * session. May park. Every error of route_resolve, ERR_FORBIDDEN, ERR_INVALID_PARAMETERS; on false nothing is to close.
 */
bool context_open(struct context *c, struct request *req, struct response *res, const struct context_spec *spec,
		  struct err *err) MUST_CHECK;
/* The same with no `using` member and no arguments. */
bool context_open_plain(struct context *c, struct request *req, struct response *res, struct err *err) MUST_CHECK;

/* Whether the caller may know of the connection (STR_NONE: of the default one), which may not even be there.
 * ERR_FORBIDDEN. */
bool connection_seen(const struct request *req, struct str using, struct err *err) MUST_CHECK;

/* Ends the unit (committed only when ok) and leaves the route. Returns ok, or false with the commit's error. */
bool context_close(struct context *c, bool ok, struct err *err) MUST_CHECK;

/* Starts a unit of reads: no transaction of its own. */
void context_read(struct context *c);
/* Starts a unit of writes; atomic when asked for or when it is to be undone. */
void context_write(struct context *c, bool atomic);
/* The same of a client's own statement, which may be one that runs in no transaction: atomic only when asked for, or
 * when it is to be undone. */
void context_write_raw(struct context *c, bool atomic);
/* Is the statement to be atomic so that what became of it can be told, its connection lost? Nothing but rows is read
 * and written by it, as far as its first word tells. */
bool context_tells(const struct context *c, struct str sql);
/* Starts the atomic unit of a batch; writes: records are sure to be written in it. */
void context_batch(struct context *c, bool writes);
/* Will a unit of writes look for the request's kept answer first? */
bool context_is_once(const struct context *c);
/* Ends the unit before the answer is rendered, so that a failed commit is never answered with success. May park. */
bool context_commit(struct context *c, struct err *err) MUST_CHECK;
/* The same for the last of the request's work, before the end of the answer is written: ends the transaction, too,
 * where the request does that (Ferro-Transaction-End). May park. */
bool context_finish(struct context *c, struct err *err) MUST_CHECK;
/* The statement that runs next is the request's last one, and nothing of its answer is refused any more: where the
 * request ends its transaction, or its unit is one, COMMIT travels with it. */
void context_last(struct context *c);
/* The n statements that run next, one after the other (exec_ahead), where the unit has a transaction of its own. last:
 * they are the request's last, see context_last. */
void context_ahead(struct context *c, const struct stmt *const *stmts, size_t n, bool last);
/* Ends an open unit without keeping what it did, because of *why; nothing when there is none. May park. */
void context_abandon(struct context *c, const struct err *why);
/* One statement of the unit; sink and ret may be NULL. */
bool context_run(struct context *c, const struct stmt *s, struct row_sink *sink, struct exec_result *ret,
		 struct err *err) MUST_CHECK;

/* The model of that name in the snapshot. ERR_MODEL_NOT_FOUND. */
bool context_model(const struct context *c, struct str name, const struct model **ret, struct err *err) MUST_CHECK;
/* The model named by the first path parameter, which must have a primary key when `keyed` (ERR_INVALID_QUERY). */
bool context_path_model(const struct context *c, bool keyed, const struct model **ret, struct err *err) MUST_CHECK;

/* A sessions-only request: enters the session of the header and sets Ferro-Session-Info. ERR_INVALID_REQUEST without
 * the header when `required`; else *ret may be NULL. Leave with session_done. */
bool session_of_request(struct request *req, struct response *res, bool required, struct session **ret,
			struct err *err) MUST_CHECK;
void session_done(struct request *req, struct session *s);

/* Waits until this server has the version that the request's Ferro-Catalog names, if it has one. Errors of told_wait.
 * Parks. */
bool catalog_reached(struct request *req, struct err *err) MUST_CHECK;

/* One round trip on the connection, outside any session, whoever holds all of its pool. Parks. */
bool connection_probe(struct connection *conn, int64_t deadline, struct err *err) MUST_CHECK;

/* Reads the optional body member "using" of a document that is an object; ERR_INVALID_REQUEST when it is no string. */
bool using_member(const json_t *doc, struct str *ret, struct err *err) MUST_CHECK;

#endif
