/*
 * The process's registered models: an immutable snapshot that is swapped whole. Some are declared in the catalog:
 * calls neither change nor remove these; the others are told. Owned by the store; who gets a snapshot owns a
 * reference.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_REGISTRY_H
#define FERROD_STORE_SCHEMA_SCHEMA_REGISTRY_H

#include "service/base/mutex.h"
#include "service/base/strbuf.h"
#include "store/schema/schema.h"

/* What the catalog declares; immutable once it is the registry's. */
struct schema_declared {
	struct schema *schema;    /* owned reference */
	const char *const *files; /* where each of its models is declared; in the arena */
	struct arena arena;
};

struct schema_registry {
	struct turn changing;             /* of those who make the next set out of this one; held across parks */
	struct mutex lock;                /* of the three below, which change in turn alone */
	struct schema *current;           /* owned reference */
	struct schema_declared *declared; /* owned; NULL: nothing is */
	uint64_t generation;
};

void schema_registry_init(struct schema_registry *r);
void schema_registry_done(struct schema_registry *r);

/* A new reference to the current set (never NULL: the empty set at first). Any thread, never parks. */
struct schema *schema_registry_get(struct schema_registry *r);

/* A new one, which takes the reference of s; its owner fills in `files`. */
struct schema_declared *schema_declared_create(struct schema *s);
/* NULL is fine. */
void schema_declared_destroy(struct schema_declared *d);

/* Puts d (NULL: nothing is declared) in place of what was declared and publishes it together with the told models, but
 * those whose names it has now. Takes d when it succeeds. ERR_INVALID_SCHEMA when a told model does not fit d. */
bool schema_registry_declare(struct schema_registry *r, struct schema_declared *d, struct arena *scratch,
			     struct err *err) MUST_CHECK;
/* The same without publishing: would it fit? *ret (may be NULL): a new reference to the set that it would make. */
bool schema_registry_try(struct schema_registry *r, const struct schema_declared *d, struct arena *scratch,
			 struct schema **ret, struct err *err) MUST_CHECK;
/* The file that declares the model of the current set, in the arena; STR_NONE: it is told. */
struct str schema_registry_file(struct schema_registry *r, struct str model, struct arena *a);

struct schema_change {
	bool replace_all;          /* PUT: of the set; else POST */
	bool may_sql, trusts_sets; /* of schema_source */
	bool may_catalogs;
	struct str set; /* whose models they are; STR_NONE: "" */
};
/* What schema_from_source does, applied to the current set and published in one step, one change at a time. *ret: a new
 * reference to what was published. replace_all: of the told ones. ERR_DECLARED. Whatever changes the set may park. */
bool schema_registry_apply(struct schema_registry *r, const json_t *doc, const struct schema_change *how,
			   struct arena *scratch, struct schema **ret, struct err *err) MUST_CHECK;
/* A change of the told models on its way: made, looked at (and kept), then published. */
struct schema_edit {
	const json_t *doc;           /* schema_registry_apply's; NULL: one of the others */
	const struct schema *models; /* in place of doc, for those who hold no document: they join as it would */
	struct schema_change how;
	struct str remove;      /* a model's name; STR_NONE and no doc: all of them */
	const struct str *sets; /* what is removed must be of these sets alone, else ERR_FORBIDDEN; NULL: of any */
	size_t n_sets;
};
struct schema_staged {
	struct schema *schema; /* the whole set; owned reference */
	struct strbuf told;    /* its told models as JSON, an array; empty unless it keeps them */
	uint64_t base;         /* of the set that it was made from */
};
/* Makes it, publishes nothing; `keeps`: and writes what is told down. Errors of apply and remove. Give it back with
 * schema_staged_done. */
bool schema_registry_stage(struct schema_registry *r, const struct schema_edit *e, bool keeps, struct arena *scratch,
			   struct schema_staged *ret, struct err *err) MUST_CHECK;
/* Publishes it, unless another set has been published since. */
bool schema_registry_publish(struct schema_registry *r, const struct schema_staged *s) MUST_CHECK;
void schema_staged_done(struct schema_staged *s);

/* ERR_MODEL_NOT_FOUND, ERR_DECLARED, ERR_INVALID_SCHEMA. */
bool schema_registry_remove(struct schema_registry *r, struct str model, struct arena *scratch,
			    struct err *err) MUST_CHECK;
/* Every told one. */
bool schema_registry_clear(struct schema_registry *r, struct arena *scratch, struct err *err) MUST_CHECK;

#endif
