/*
 * A schema in the making, shared by the schema_*.c files and by nobody else: parse -> complete -> validate -> sort ->
 * relate -> canonical form. Until the sort, elements stand in document order, so that their index is the pointer's.
 * Owned by the call that parses.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_BUILD_H
#define FERROD_STORE_SCHEMA_SCHEMA_BUILD_H

#include "service/base/limits.h"
#include "store/schema/schema.h"

/* A declared relation before its names are resolved; absent members are STR_NONE. */
struct relation_decl {
	struct str name, target, column, through, source_column, target_column;
	enum relation_kind kind;
	const char *pointer;
};

/* Which members a column came with, where leaving out is not the same as false. */
struct column_given {
	bool autoincrement, nullable;
};

struct draft {
	struct model *m;                  /* being built; lives in the schema's arena */
	const char *pointer;              /* into the document; of the whole set for models that were there before */
	bool kept;                        /* was there before: indexes of its elements point nowhere */
	bool broken;                      /* its shape is at fault: what depends on it is not looked at */
	const struct column_given *given; /* per column */
	const struct relation_decl *decls;
	size_t n_decls;
};

struct schema_build {
	struct schema *s;      /* owned until it is handed out */
	struct arena *arena;   /* the schema's */
	struct arena *scratch; /* the caller's */
	struct draft *drafts;  /* n of them, in the scratch arena */
	size_t n, size;
	const char *set_pointer; /* of the array of models */
	struct map by_table;     /* -> struct draft, after parsing */
	struct err_fault *faults;
	size_t n_faults;       /* may exceed LIMIT_ERR_FAULTS: only the first ones are kept */
	int ir_version;        /* of the envelope; 0: it said none */
	bool may_sql;          /* who gave the document may give SQL of any kind */
	bool may_catalogs;     /* who gave it may reach the database's own catalogs */
	struct str set;        /* that the document's models are of */
	bool trusts_sets;      /* the document says itself which sets its models are of */
	const char *sql_given; /* else: where the first one stands that not anybody may give; NULL: there is none */
	size_t n_warnings;     /* may exceed LIMIT_SCHEMA_WARNINGS: the last one kept counts the rest */
	char *more;            /* what that one says; NULL before it counts */
	bool kept;             /* what is read was said before: it is not warned of again */
};

void schema_build_init(struct schema_build *b, struct arena *scratch);
/* Frees the schema unless it was taken (b->s NULL). */
void schema_build_done(struct schema_build *b);

/* Notes one fault. */
void schema_fault(struct schema_build *b, const char *pointer, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Notes what the schema will not say, for whoever gave the document; past the limit the last one counts the rest. */
void schema_warn(struct schema_build *b, const char *code, const char *pointer, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* pointer of element `index` of a draft's array, or of the draft itself when it has none. */
const char *schema_element_pointer(struct schema_build *b, const struct draft *d, const char *array, size_t index);
/* The draft of the table that the key points at, or NULL. */
struct draft *schema_draft_of_key(const struct schema_build *b, const struct foreign_key *fk);

/* schema_parse.c: a warning for each member of o that is not in the list, which NULL ends. */
void schema_unknown_members(struct schema_build *b, const json_t *o, const char *pointer, const char *const *known);
/* schema_parse.c: one model object; adds a draft (always, so that later faults are found too). */
void schema_parse_model(struct schema_build *b, const json_t *obj, const char *pointer, bool kept);
/* schema_complete.c: members that were left out, implied entries, names. */
void schema_complete(struct schema_build *b);
/* schema_validate.c: everything that can be wrong with well-formed models. */
void schema_validate(struct schema_build *b);
/* schema_relations.c: declared relations resolved, the others derived. Models are sorted and in s->models by now. */
void schema_relate(struct schema_build *b);
/* schema_canonical.c: order of everything; then JSON, fingerprint, maps. */
void schema_sort(struct schema_build *b);
void schema_finish(struct schema_build *b);

/* An entry of `indexes`/`uniques` over exactly this column, or NULL. */
const struct schema_index *schema_single(const struct schema_index *list, size_t n, struct str column);
/* The model's single primary key column, or NULL (none, or a composite one). Any time after parsing. */
const struct column *schema_single_pk(const struct model *m);
/* Column by name without the map (which comes last). */
struct column *schema_find_column(const struct model *m, struct str name);
/* Whether a value of the column names at most one row: unique, or the whole primary key. */
bool schema_column_unique(const struct model *m, struct str column);
/* ASCII letters in lower case; in the arena. */
struct str schema_lower(struct arena *a, struct str s);

#endif
