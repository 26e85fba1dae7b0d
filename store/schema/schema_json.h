/* SchemaIR JSON -> struct schema: parse, complete the short form, validate, sort, fingerprint. Pure. */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_JSON_H
#define FERROD_STORE_SCHEMA_SCHEMA_JSON_H

#include "store/schema/schema.h"

/*
 * doc: an envelope {"ir_kind":"schema",...} or its bare payload {"models":[...]}. With `base`, its models are
 * added to or replaced in those of base (POST); NULL: they are the whole set (PUT). Every fault is listed in
 * err->faults (living in `scratch`) with a pointer into doc: ERR_INVALID_SCHEMA. *ret: a new reference.
 */
bool schema_from_json(const json_t *doc, struct schema *base, struct arena *scratch, struct schema **ret,
		      struct err *err) MUST_CHECK;

/* Models one by one, for those who hold no document of them. */
struct schema_feed {
	json_t *(*next)(void *arg); /* the caller's; NULL: that was all */
	void *arg;
	size_t n_max; /* no more come */
};

/* Where a document comes from, and where it goes. */
struct schema_source {
	struct schema *base;            /* as above; may be NULL */
	const struct schema_feed *feed; /* in place of a document; NULL: there is one */
	bool may_sql;                   /* its giver may give SQL of any kind */
	bool may_catalogs;              /* its giver may reach the database's own catalogs */
	struct str set;                 /* that its models are of; STR_NONE: "" */
	bool trusts_sets;               /* they say themselves which sets they are of */
	bool replaces; /* they are all of their set: what base has of it beside them goes, but what is declared */
	const struct schema *declared; /* may be NULL */
};
/* The same, with its giver in view: ERR_FORBIDDEN with a pointer for an expression that not anybody may give,
 * ERR_MODEL_CONFLICT for a model that another set of base has with another meaning. */
bool schema_from_source(const json_t *doc, const struct schema_source *from, struct arena *scratch, struct schema **ret,
			struct err *err) MUST_CHECK;

/* The set without the named model (relations derived anew). ERR_MODEL_NOT_FOUND, or ERR_INVALID_SCHEMA when
 * a declared relation of another model needs it. *ret: a new reference. */
bool schema_without(struct schema *base, struct str model, struct arena *scratch, struct schema **ret,
		    struct err *err) MUST_CHECK;

/* The empty set; a new reference. */
struct schema *schema_empty(void);

#endif
