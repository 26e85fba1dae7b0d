/*
 * A catalog: what the operator declares, as one checked, immutable value. Read whole or not at all; what it says is
 * put into practice by declared.h. Reference-counted. Owned by struct declared, and by items for as long as they
 * follow it.
 */
#ifndef FERROD_STORE_CATALOG_CATALOG_H
#define FERROD_STORE_CATALOG_CATALOG_H

#include "store/connection/connect_json.h"
#include "store/schema/schema.h"

enum catalog_migrate {
	CATALOG_MIGRATE_NONE,
	CATALOG_MIGRATE_CREATE,
	CATALOG_MIGRATE_UPDATES,
	CATALOG_MIGRATE_DESTRUCTIVE
};

/* Where an entry stands. */
struct catalog_place {
	const char *file, *pointer;
};

struct catalog_connection {
	struct connect_options options; /* its URL is bound to sqlite_dir */
	enum catalog_migrate migrate;
	struct schema *models; /* what it migrates; owned by the catalog; NULL: nothing */
	struct catalog_place at;
	const json_t *json; /* the entry, references replaced: secret */
};

struct catalog_introspect {
	struct str using;
	const struct str *schemas, *tables; /* NULL: all */
	size_t n_schemas, n_tables;
	struct catalog_place at;
	const json_t *json;
};

struct catalog {
	int refs; /* atomic */
	struct arena arena;
	struct catalog_connection *connections;
	size_t n_connections;
	struct catalog_introspect *introspects;
	size_t n_introspects;
	json_t *models; /* array of models as they stand in the files */
	const struct catalog_place *model_places;
	struct map places_by_model; /* name -> of model_places */
	struct schema *schema;      /* of them; owned */
	json_t *keys;               /* array of the entries */
	const struct catalog_place *key_places;
};

/* Binds the operator's own URL to the server's policy (sqlite_dir); *url may become another text in the arena. */
typedef bool (*catalog_bind_fn)(void *arg, struct arena *a, struct str *url, struct err *err);

struct catalog_source {
	const char *path; /* "": no catalog; the empty one is read */
	catalog_bind_fn bind;
	void *arg;
};

/* Reads and checks everything that can be known without a database, keys excepted (see catalog_key_fault). *ret: a new
 * reference. The error is one line with file, pointer and reason: ERR_INVALID_SCHEMA for models, ERR_INVALID_REQUEST
 * for the rest, ERR_FORBIDDEN for a URL that the policy refuses. Blocks. */
bool catalog_read(const struct catalog_source *from, struct catalog **ret, struct err *err) MUST_CHECK;

struct catalog *catalog_ref(struct catalog *c);
/* NULL is fine. */
void catalog_unref(struct catalog *c);

/* A fault of the keys, whose pointer begins with the key's number in c->keys, becomes one of its file; returns false.
 */
bool catalog_key_fault(const struct catalog *c, struct err *err);

/* The file in which the model of the catalog's schema is declared; borrowed. */
const char *catalog_model_file(const struct catalog *c, struct str model);

/* The URL as its driver reads it; nothing is opened. What dsn_parse says, ERR_INVALID_URL, ERR_FORBIDDEN. */
bool catalog_takes_url(struct arena *a, struct str url, struct err *err) MUST_CHECK;

#endif
