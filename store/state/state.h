/*
 * The state database: where ferrod keeps what it was told, so that it survives the process. This file and state.c know
 * its tables; what is told, and how it comes back, is told.h's, which owns it.
 */
#ifndef FERROD_STORE_STATE_STATE_H
#define FERROD_STORE_STATE_STATE_H

#include "service/base/wait.h"
#include "service/base/arena.h"
#include "service/base/err.h"
#include "store/state/seal.h"

/*
 * Tables, in schema "ferrod" on PostgreSQL, with the prefix "ferrod_" on SQLite:
 *   meta         name, value: format, version, default connection, a sealed word that proves the key
 *   connections  name, url (sealed), options (JSON)
 *   models       version, fingerprint, told_at, told_by, told (JSON; of the last version only)
 *   answers      first answers to requests with an Idempotency-Key, see state_answers.h
 * and where servers share it nodes, sessions (state_nodes.h) and claims (state_claims.h)
 */

struct state;
struct state_claim;

struct state_options {
	struct str url;
	struct str key_file; /* "": beside an SQLite state, none for PostgreSQL */
	bool read_only;      /* to look at it while a server has it */
	double listen_s;     /* where word of changes is refused or lost, it is asked for again after so long at most */
};

/* Opens it, makes or upgrades its tables, and proves the key. ERR_INVALID_VALUE: it is there and cannot be used (of a
 * newer version, sealed under another key); ERR_INVALID_REQUEST: it is another server's (SQLite), or cannot be made;
 * else what connecting says. Blocks or parks. */
bool state_open(const struct state_options *o, struct state **ret, struct err *err) MUST_CHECK;
/* NULL is fine. */
void state_close(struct state *s);

/* Is there a key, so that secrets can be kept? */
bool state_seals(const struct state *s);
/* A key of its own for a purpose, the same in every process that has this state. false: there is no key. */
bool state_derive_key(const struct state *s, struct str purpose, uint8_t ret[CRYPTO_KEY_BYTES]) MUST_CHECK;
/* The same where servers share the state: without a key there, of a word that the state keeps. Parks. */
bool state_shared_key(struct state *s, struct str purpose, uint8_t ret[CRYPTO_KEY_BYTES], struct err *err) MUST_CHECK;
/* This machine's end of the state's connection, as it stands in a URL. Parks. */
bool state_local_address(struct state *s, char ret[64], struct err *err) MUST_CHECK;
/* Was everything sealed anew under the first of two keys when it was opened? */
bool state_resealed(const struct state *s);
/* Its URL without secrets; borrowed. */
struct str state_place(const struct state *s);

/* May other servers have it, too? */
bool state_shared(const struct state *s);
/* A word that no other state has, nor this one after it was made anew; borrowed. */
const char *state_life(const struct state *s);

struct state_connection {
	struct str name, url, options; /* options: JSON */
};

struct state_content {
	int64_t version;
	int64_t models_version;  /* the version in which the models were told; 0: never */
	struct str default_name; /* STR_NONE: none was chosen */
	struct state_connection *connections;
	size_t n_connections;
	struct str models; /* JSON array of told models; STR_NONE: none were ever told */
};

/* All of it, as of one moment, in the arena. Parks. */
bool state_load(struct state *s, struct arena *a, struct state_content *ret, struct err *err) MUST_CHECK;

/* The version alone. Parks. */
bool state_version(struct state *s, int64_t *ret, struct err *err) MUST_CHECK;

/* Is it there, and the one that was opened? ERR_DATABASE_UNAVAILABLE, without hosts and paths on SQLite. Parks. */
bool state_readable(struct state *s, double seconds, struct err *err) MUST_CHECK;

/* Waits for word of a change by any server (WAIT_READY), or until it is time to look for one that was missed
 * (WAIT_TIMEOUT), 5 s at most; soon: much less, for the last look has failed. The watch is its fiber's own. Parks. */
struct state_watch;
struct state_watch *state_watch_create(struct state *s);
void state_watch_destroy(struct state_watch *w);
enum wait_result state_await(struct state_watch *w, bool soon);
/* Gives word of a change that is kept; servers that do not hear it find it. Parks. */
void state_tell(struct state *s);

/* One change; what is absent stays. */
struct state_change {
	const struct state_connection *put; /* NULL: none */
	struct str drop;                    /* name; STR_NONE: none */
	bool drop_all;                      /* every connection, and the default */
	bool choose_default;
	struct str default_name;         /* STR_NONE: none, when choose_default */
	struct str models;               /* STR_NONE: the same */
	const char *fingerprint;         /* of models */
	struct str who;                  /* caller */
	const struct state_claim *claim; /* under which it is made, see state_claims.h; NULL: none */
};

/* Keeps the change if the state still has that version; *ret_version: the one it has then. ERR_SERIALIZATION_FAILURE:
 * it has another. ERR_DATABASE_UNAVAILABLE: it cannot be written, and nothing has changed (or, outcome unknown, may
 * have). Parks. */
bool state_write(struct state *s, int64_t version, const struct state_change *c, int64_t *ret_version,
		 struct err *err) MUST_CHECK;

#endif
