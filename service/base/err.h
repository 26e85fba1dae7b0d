/*
 * One error value for the whole daemon. Fallible functions return bool, take `struct err *err` last and write it only
 * on failure. The code is the problem code of the HTTP contract; which status it has is known to
 * service/http/problem.c alone. Owned by whoever calls, on the stack: fixed size, never freed.
 */
#ifndef FERROD_BASE_ERR_H
#define FERROD_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

#include "service/base/macros.h"

/* X(ENUM, "problem code"): every code that can reach a client, in the contract's order. */
#define ERR_CODES(X) \
	X(INVALID_JSON, "invalid_json") \
	X(INVALID_REQUEST, "invalid_request") \
	X(INVALID_CONNECTION_NAME, "invalid_connection_name") \
	X(INVALID_URL, "invalid_url") \
	X(UNSUPPORTED_SCHEME, "unsupported_scheme") \
	X(INVALID_SEARCH_PATH, "invalid_search_path") \
	X(INVALID_PARAMETERS, "invalid_parameters") \
	X(SQL_ERROR, "sql_error") \
	X(DUPLICATE_COLUMNS, "duplicate_columns") \
	X(UNAUTHENTICATED, "unauthenticated") \
	X(FORBIDDEN, "forbidden") \
	X(DATABASE_FORBIDDEN, "database_forbidden") \
	X(ROUTE_NOT_FOUND, "route_not_found") \
	X(CONNECTION_NOT_FOUND, "connection_not_found") \
	X(MODEL_NOT_FOUND, "model_not_found") \
	X(RELATION_NOT_FOUND, "relation_not_found") \
	X(RECORD_NOT_FOUND, "record_not_found") \
	X(SESSION_NOT_FOUND, "session_not_found") \
	X(TRANSACTION_NOT_FOUND, "transaction_not_found") \
	X(MIGRATION_NOT_FOUND, "migration_not_found") \
	X(METHOD_NOT_ALLOWED, "method_not_allowed") \
	X(NOT_ACCEPTABLE, "not_acceptable") \
	X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type") \
	X(CONNECTION_EXISTS, "connection_exists") \
	X(NO_DEFAULT_CONNECTION, "no_default_connection") \
	X(ROUTE_CONFLICT, "route_conflict") \
	X(TRANSACTIONS_OPEN, "transactions_open") \
	X(TRANSACTION_ENDED, "transaction_ended") \
	X(TRANSACTION_LIMIT, "transaction_limit") \
	X(CONNECTION_IN_USE, "connection_in_use") \
	X(TRANSACTION_ABORTED, "transaction_aborted") \
	X(UNIQUE_VIOLATION, "unique_violation") \
	X(FOREIGN_KEY_VIOLATION, "foreign_key_violation") \
	X(SERIALIZATION_FAILURE, "serialization_failure") \
	X(MAX_AFFECTED_EXCEEDED, "max_affected_exceeded") \
	X(MIGRATION_CONFLICT, "migration_conflict") \
	X(DECLARED, "declared") \
	X(MODEL_CONFLICT, "model_conflict") \
	X(SESSION_EXPIRED, "session_expired") \
	X(TRANSACTION_EXPIRED, "transaction_expired") \
	X(PRECONDITION_FAILED, "precondition_failed") \
	X(PAYLOAD_TOO_LARGE, "payload_too_large") \
	X(URI_TOO_LONG, "uri_too_long") \
	X(HEADERS_TOO_LARGE, "headers_too_large") \
	X(INVALID_SCHEMA, "invalid_schema") \
	X(INVALID_QUERY, "invalid_query") \
	X(UNKNOWN_COLUMN, "unknown_column") \
	X(INVALID_VALUE, "invalid_value") \
	X(NOT_NULL_VIOLATION, "not_null_violation") \
	X(CHECK_VIOLATION, "check_violation") \
	X(MIGRATION_REFUSED, "migration_refused") \
	X(IDEMPOTENCY_KEY_REUSED, "idempotency_key_reused") \
	X(TOO_MANY_SESSIONS, "too_many_sessions") \
	X(TOO_MANY_REQUESTS, "too_many_requests") \
	X(INTERNAL_ERROR, "internal_error") \
	X(POOL_TIMEOUT, "pool_timeout") \
	X(DATABASE_UNAVAILABLE, "database_unavailable") \
	X(DATABASE_BUSY, "database_busy") \
	X(WRONG_NODE, "wrong_node") \
	X(CATALOG_BEHIND, "catalog_behind") \
	X(SHUTTING_DOWN, "shutting_down") \
	X(STATEMENT_TIMEOUT, "statement_timeout")

#define ERR_ENUM(id, text) ERR_##id,
enum err_code { ERR_CODES(ERR_ENUM) ERR_N_CODES };
#undef ERR_ENUM

/* What became of the write that failed; NONE leaves the member out of the problem document. */
enum err_outcome {
	ERR_OUTCOME_NONE,
	ERR_OUTCOME_NOT_STARTED,
	ERR_OUTCOME_ROLLED_BACK,
	ERR_OUTCOME_COMMITTED,
	ERR_OUTCOME_UNKNOWN
};

/* Of work that has not remained and of which nobody has heard: who can runs it again. */
enum err_again {
	ERR_AGAIN_NO,
	ERR_AGAIN,      /* it was undone with others, see store/exec/company.h */
	ERR_AGAIN_ALONE /* it can share no transaction */
};

/* One of several faults in a document; both strings live in the arena of whoever lists them. */
struct err_fault {
	const char *pointer; /* RFC 6901 JSON Pointer */
	const char *detail;
};

/* Fixed size, on the caller's stack; valid only after a call has returned false. */
struct err {
	enum err_code code;
	enum err_outcome outcome;
	enum err_again again;
	bool cancelled;    /* the client went away: nobody reads the answer */
	int status;        /* 0: the code's own */
	int retry_after_s; /* 0: the code's own default */
	long position;     /* 1-based character in the SQL text; 0: none */
	long step;         /* zero-based batch step; -1: none */
	size_t n_faults;
	const struct err_fault *faults; /* borrowed from an arena that outlives the request's answer */
	char sqlstate[6];
	char pointer[256]; /* RFC 6901; "" and no has_pointer: none */
	bool has_pointer;
	char constraint[128];
	char table[128];
	char column[128];
	char state[16]; /* `state` member: what an ended transaction became; "": none */
	char detail[640];
};

/* Fills err with a code and a printf-style detail, clearing every other member; returns false. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same with a printf-style JSON Pointer given as text (already escaped); returns false. */
bool err_set_at(struct err *err, enum err_code code, const char *pointer, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Puts `prefix` (an escaped pointer, may be "") before the pointer that err has; no-op without one. */
void err_prefix_pointer(struct err *err, const char *prefix);

/* Out of memory: ERR_INTERNAL_ERROR with the standard text; returns false. */
bool err_oom(struct err *err);

/* The problem code ("invalid_json"); static. */
const char *err_code_name(enum err_code code);

/* The outcome's word ("rolled_back"), or NULL for ERR_OUTCOME_NONE; static. */
const char *err_outcome_name(enum err_outcome outcome);

#endif
