/*
 * SchemaIR v1 as typed, immutable data (reference: SchemaIR wire shape). Built by schema_json.c in an
 * arena of its own, reference-counted, never changed afterwards: readers need no lock.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_H
#define FERROD_STORE_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/json.h"
#include "service/base/macros.h"
#include "service/base/map.h"
#include "service/base/str.h"

enum logical_type {
	LT_INTEGER,
	LT_NUMBER,
	LT_DECIMAL,
	LT_BOOLEAN,
	LT_STRING,
	LT_DATETIME,
	LT_DATE,
	LT_TIME,
	LT_UUID,
	LT_BINARY,
	LT_JSON,
	LT_UNKNOWN /* refused by create-tables unless db_type says what it is */
};

/* What the column is in the database: a recognised db_type wins over the logical type. The LOGICAL_
 * members are those whose spelling differs from the db_type of the same meaning. */
enum storage_type {
	ST_SMALLINT,
	ST_INT,
	ST_BIGINT,
	ST_DOUBLE,
	ST_NUMERIC,
	ST_BOOLEAN,
	ST_JSON,
	ST_JSONB,
	ST_TEXT,
	ST_VARCHAR, /* length 0: unbounded */
	ST_CHAR,
	ST_UUID,         /* db_type uuid: char(32) on SQLite */
	ST_UUID_LOGICAL, /* logical uuid: uuid_text on SQLite */
	ST_TIMESTAMP,
	ST_TIMESTAMPTZ,      /* db_type: datetime_text on SQLite */
	ST_DATETIME_LOGICAL, /* logical datetime: timestamp_with_timezone_text on SQLite */
	ST_DATE,
	ST_TIME,         /* db_type time */
	ST_TIME_LOGICAL, /* logical time without db_type: varchar on both */
	ST_BYTEA,
	ST_UNRESOLVED /* unknown logical type and no recognised db_type */
};

/* Ours, never part of the fingerprint: how the instants of a SQLite column are written (store/codec/time_spelling.h).
 * The order matters: text with a blank, then numbers. */
enum time_spelling {
	TIME_FERROD, /* T, six digits, Z or none: text order is time order */
	TIME_ISO,    /* T, a fraction where there is one, Z or none */
	TIME_JS,     /* T, three digits, Z */
	TIME_OFFSET, /* T, a fraction where there is one, +00:00 */
	TIME_SPACE,  /* CURRENT_TIMESTAMP's form */
	TIME_SPACE3, /* with three digits */
	TIME_SPACE6, /* with six */
	TIME_UNIX,   /* seconds since 1970 */
	TIME_UNIX_MS,
	TIME_UNIX_US,
	TIME_JULIAN,
	TIME_MIXED, /* several; ferrod writes its own */
	TIME_N_SPELLINGS
};

/* The word of a spelling ("space6"); static. */
const char *time_spelling_name(enum time_spelling spelling);
/* TIME_N_SPELLINGS: it is no such word. */
enum time_spelling time_spelling_of_name(struct str word);

/* How values of PostgreSQL's own types are built. Arrays, ranges and the like are JSON arrays and objects on the wire.
 */
enum column_shape {
	SHAPE_PLAIN,
	SHAPE_ARRAY,
	SHAPE_RANGE,
	SHAPE_MULTIRANGE,
	SHAPE_COMPOSITE,
	SHAPE_HSTORE,
	SHAPE_VECTOR
};

/* What gives a column its values instead of a client. */
enum column_generated {
	GENERATED_NOT,
	GENERATED_IDENTITY,        /* identity by default: a value may be given */
	GENERATED_IDENTITY_ALWAYS, /* a value is taken only when it is insisted on */
	GENERATED_ALWAYS           /* computed from other columns */
};

/* Ours, never part of the fingerprint: what happens to a column that a record leaves out. */
struct column_fill {
	bool database_default;  /* the database has something for it: a DEFAULT, an identity, an expression */
	struct str default_sql; /* its expression; of a generated column: what it is computed from. STR_NONE: unknown */
	enum column_generated generated;
	bool computed_on_read;             /* a generated column that is not stored */
	bool read_only;                    /* never written */
	bool now_on_create, now_on_update; /* ferrod gives the time of the write */
	bool lock_version;                 /* ferrod counts writes here, and refuses one that knows an older count */
	int64_t position;                  /* place in the table, from 1; 0: unknown */
};

struct column {
	struct str name;
	struct str json_name; /* as a member of an object: in quotes, escaped, with the colon; of a model's columns */
	size_t index;         /* position in model->columns (and in every full row) */
	/* The effective one: a recognised db_type decides what values the column holds, but for declared uuid, decimal,
	 * temporal and json columns with a text-like db_type, which keep their meaning and are stored as text. */
	enum logical_type logical;
	enum storage_type storage;
	enum time_spelling spelling; /* of a datetime on SQLite; of a date or a time of day: ferrod or mixed */
	enum column_shape shape;
	/* has_: the member was given */
	bool nullable, primary_key, autoincrement, unique, index_flag, db_type_explicit, has_db_type_explicit;
	bool postgres_native_enum, has_postgres_native_enum;
	/* A type of PostgreSQL's that is no word of SchemaIR; db_type names it: text (inet), another shape (logical
	 * unknown), or a domain, which is to all intents what it is based on. */
	bool own_type;
	bool random_uuid; /* what makes a value where none is given makes a new UUID */
	bool retired;     /* the table has it, the model's records have not */
	/* Ours, never part of the fingerprint: a uuid on SQLite is 32 digits, no hyphens; it is its 16 bytes. */
	bool uuid_hex, uuid_bytes;
	bool bool_words; /* ours, likewise: booleans on SQLite that others have written as words are found, too */
	struct str logical_word;     /* as declared ("integer", "datetime", "object", ...) */
	int64_t length;              /* N of varchar(N), char(N); 0: none */
	const json_t *default_value; /* NULL: none (JSON null) */
	struct str format;           /* STR_NONE: null */
	struct str db_type;          /* STR_NONE: absent */
	const json_t *enum_values;   /* array, or NULL */
	const json_t *enum_labels;   /* of a native enum: the same as texts, for its type has no others; or NULL */
	struct str enum_type_name;   /* STR_NONE: absent */
	struct column_fill fill;
	struct str sqlite_type; /* ours: the type's words in SQLite's CREATE TABLE; STR_NONE: those of its storage */
	/* Ours: what its default counts with, where that is a sequence of PostgreSQL's that stands by itself. */
	struct str sequence, sequence_schema;       /* STR_NONE: that of the search path */
	int64_t sequence_start, sequence_increment; /* 0: 1 */
	struct str collation, comment;              /* ours; STR_NONE: the database's own; none */
	struct str base_type; /* ours; of a domain: what it is based on, as declared. STR_NONE: it is none */
	struct str bare_type; /* and at the bottom of it, where domains stand on domains */
	/* Of an array ("text[]"), a range or a multirange: a column of its elements' or bounds' type, named like the
	 * column; NULL otherwise. */
	const struct column *element;
	const struct column *fields; /* of a composite */
	size_t n_fields;
	const json_t *type_json; /* ours: what was said of all that, to be said again; NULL: nothing */
	/* Of versions 2 and 3: what came before, and what is no more. */
	struct str renamed_from;      /* the column's old name; STR_NONE: it has none */
	const json_t *renamed_labels; /* {"enum_class", "labels": {new: old}}; NULL: none */
	const json_t *retired_labels; /* labels that are read and no longer written; NULL: none */
	/* Where the table may have a text in place of the type that the model, which does not name it, would make
	 * (version 3 over a table of version 1's): the model, whose table has the type. NULL: the type is the model's.
	 */
	const struct model *home;
	struct str default_factory; /* what makes a value where none is given; STR_NONE: nothing */
};

struct foreign_key {
	struct str column, to_table, to_column; /* the first pair of its columns */
	const struct str *columns, *to_columns; /* ours where there are several; the first pair is the one above */
	size_t n_columns;
	struct str to_schema;    /* ours; STR_NONE: the search path's */
	struct str on_delete;    /* as given; STR_NONE: null (CASCADE at emission) */
	struct str on_update;    /* ours; STR_NONE: NO ACTION */
	struct str match;        /* ours: "FULL"; STR_NONE: SIMPLE */
	bool deferrable;         /* ours: checked at the end of the transaction when that is asked for */
	bool deferred;           /* ours: and it is, unless told otherwise */
	struct str name;         /* metadata */
	struct str related_name; /* ours; STR_NONE: <model>_set */
};

enum nulls_place { INDEX_NULLS_NATIVE, INDEX_NULLS_FIRST, INDEX_NULLS_LAST };

/* Ours: one key of an index that is more than a list of columns. */
struct index_key {
	struct str column;     /* STR_NONE: an expression */
	struct str expression; /* SQL, without parentheses around it */
	bool descending;
	enum nulls_place nulls;
	struct str collation, op_class; /* STR_NONE: the column's, the type's */
	struct str operator;            /* of an exclusion constraint: what no two rows may be to each other */
};

struct schema_index {
	struct str name;
	const struct str *columns; /* with keys: those of them that are columns */
	size_t n_columns;
	bool unique; /* of an index; true for entries of `uniques` */
	/* the rest is ours, and what has any of it is no part of the fingerprint */
	const struct index_key *keys; /* NULL: the columns are all there is to it */
	size_t n_keys;
	const struct str *include; /* columns that it carries besides */
	size_t n_include;
	struct str predicate;    /* SQL; STR_NONE: it is over all rows */
	struct str method;       /* "gin", ...; STR_NONE: btree */
	bool nulls_not_distinct; /* of a unique */
	bool constraint;         /* of a unique: a constraint of the table, not an index beside it */
	bool deferrable, deferred;
};

struct schema_check {
	struct str name, column;
	const struct str *values; /* rendered SQL literals: 'a', 1, true */
	size_t n_values;
	struct str expression; /* ours: SQL, instead of column and values; no part of the fingerprint */
	bool built;            /* of literals and columns, from a predicate of version 3 */
};

enum relation_kind { REL_FORWARD, REL_REVERSE, REL_ONE_TO_ONE, REL_MANY_TO_MANY };

struct model;

/* Ours: how records reach others. Declared, or derived from the foreign keys. */
struct relation {
	struct str name;
	enum relation_kind kind;
	struct str target_name;
	const struct model *target; /* resolved; never NULL in a validated schema */
	/* FORWARD: this model's column -> target's to_column. REVERSE, ONE_TO_ONE: target's column -> this model's
	 * to_column. ONE_TO_ONE with `column` in this model is a forward one. */
	struct str column, to_column;
	bool local; /* `column` is this model's */
	bool to_one;
	/* The pairs of a key over several columns, the first one among them; NULL: there is only that. */
	const struct str *columns, *to_columns;
	size_t n_columns;
	/* MANY_TO_MANY: the join table and its two columns; the keys they point at. */
	struct str through, source_column, target_column;
	struct str source_key, target_key;
	bool declared; /* false: derived */
};

/* What the model stands for in the database. Only tables are made and changed by migrations. */
enum model_kind {
	MODEL_TABLE,
	MODEL_PARTITIONED,
	MODEL_VIEW,
	MODEL_MATERIALIZED_VIEW,
	MODEL_FOREIGN_TABLE,
	MODEL_VIRTUAL
};

struct model {
	struct str name, table;
	const struct str *sets; /* whose services it is registered for, by name; "" is the set of those who name none */
	size_t n_sets;          /* one at least */
	struct str schema_name; /* ours; STR_NONE: the search path's */
	struct str place;       /* of the table among all: model_place of the two above */
	enum model_kind kind;   /* ours */
	bool read_only;         /* ours: nothing can be written through it */
	const struct str *key;  /* ours: of what has no primary key; these columns are its key, and make up pk */
	size_t n_key;
	const struct str *excluded; /* ours: columns of the table that the model leaves alone */
	size_t n_excluded;
	struct column *columns; /* sorted by name */
	size_t n_columns;
	struct column *retired; /* of the table, made with it and left alone since: no record has them */
	size_t n_retired;
	const struct column **pk; /* primary key columns, by name */
	size_t n_pk;
	struct foreign_key *fks;
	size_t n_fks;
	struct schema_index *indexes, *uniques;
	size_t n_indexes, n_uniques;
	struct schema_check *checks;
	size_t n_checks;
	struct schema_index *exclusions; /* ours: what EXCLUDE says, PostgreSQL's; their keys have operators */
	size_t n_exclusions;
	struct str comment;      /* ours; STR_NONE: none */
	struct str renamed_from; /* the table's old name; STR_NONE: it has none */
	int ir_version; /* ours: of the envelope that it came in; from 3 on its tables are made as Ferro 0.26 does */
	bool strict, without_rowid; /* ours: of a table of SQLite's */
	struct relation *relations;
	size_t n_relations;
	struct map columns_by_name;  /* -> struct column */
	const char *origin;          /* "declared" or "told"; static; NULL until it is published */
	const struct schema *schema; /* that it belongs to */
	uint64_t serial;             /* unique in the process: keys caches of lowered statements */
};

/* What a document said and a schema does not hear. */
struct schema_warning {
	const char *code;           /* static */
	struct str pointer, detail; /* into the document */
};

struct schema {
	int refs; /* atomic */
	struct arena arena;
	struct model *models; /* sorted by name */
	size_t n_models;
	struct map by_name, by_table;    /* -> struct model */
	bool dialect_agnostic;           /* of the payload; kept, means nothing here */
	struct schema_warning *warnings; /* of the document it was made from, LIMIT_SCHEMA_WARNINGS at most */
	size_t n_warnings;
	struct schema_print *print; /* the fingerprint, once somebody has asked for it */
	uint64_t generation;        /* of the registry when it was published */
};

/* Another reference to s; returns s. Any thread. */
struct schema *schema_ref(struct schema *s);
/* Gives one reference back; frees at the last. NULL is fine. Any thread. */
void schema_unref(struct schema *s);

/* Borrowed from s; NULL when there is none. */
const struct model *schema_model(const struct schema *s, struct str name);
const struct model *schema_model_by_table(const struct schema *s, struct str table);
/* The same of a table in a schema (STR_NONE: the search path's). */
const struct model *schema_model_at(const struct schema *s, struct str schema_name, struct str table);
/* A text that names the table among all others; in the arena. */
struct str model_place(struct arena *a, struct str schema_name, struct str table);
/* The model's canonical form with our additions (relations), as answered; the caller's. */
json_t *schema_model_json(const struct model *m);
/* The same without members that mean what their absence means: short, to be kept and read back; the caller's. */
json_t *schema_model_short_json(const struct model *m);
/* SHA-256, hex, of the canonical v1 envelope without our additions; made when it is first asked for, borrowed from s.
 * Any thread; parks. */
const char *schema_fingerprint(const struct schema *s);
/* Do both say the same of every model, our additions among it? */
bool schema_same(const struct schema *a, const struct schema *b);
/* Writes the canonical envelope of all with relations and fingerprint, as answered; a tree a model at a time, which
 * `seen` (may be NULL) may still change. Parks. */
void schema_write(struct strbuf *b, const struct schema *s, void (*seen)(void *arg, json_t *model), void *arg);
/* Whether migrations make and change what the model stands for. */
bool model_is_table(const struct model *m);
bool model_kind_is_table(enum model_kind kind);
/* The wire's word ("materialized_view"); static. And back; false: there is no such kind. */
const char *model_kind_name(enum model_kind kind);
bool model_kind_from_name(struct str name, enum model_kind *ret) MUST_CHECK;
const struct column *model_column(const struct model *m, struct str name);
/* The i-th of the columns that the table is made with: the model's, then the retired ones. */
const struct column *model_made_column(const struct model *m, size_t i);
/* How many pairs of columns link the records (not through a join table): of this model's side, and of the target's. */
size_t relation_n_pairs(const struct relation *r);
struct str relation_here(const struct relation *r, size_t i);
struct str relation_there(const struct relation *r, size_t i);
/* Whether two rows never have the same values in the unique index's columns: it is over them alone and all rows. */
bool schema_index_keeps_unique(const struct schema_index *x);
/* Whether it is a list of columns and nothing else. */
bool schema_index_plain(const struct schema_index *x);
const struct relation *model_relation(const struct model *m, struct str name);

/* "identity", "identity_always", "always"; static; NULL for GENERATED_NOT. */
const char *column_generated_name(enum column_generated g);
/* Whether the database has a value for the column when none is given (perhaps NULL). */
bool column_fills(const struct column *c);

/* Whether the word is one that models may use: the names of the logical types, and JSON Schema's object and array. */
bool logical_word_known(struct str word);
/* The lower-case word of a logical type ("integer"); static. */
const char *logical_type_name(enum logical_type t);

/* db_type token ("varchar(40)", "timestamptz", ...) -> storage type and length; false when the token is not
 * recognised. Case-insensitive, surrounding space ignored. */
bool storage_from_token(struct str token, enum storage_type *ret, int64_t *ret_length) MUST_CHECK;
/* A logical word ("integer", "object", "string" with a format, ...) -> logical type; LT_UNKNOWN when it says nothing.
 */
enum logical_type logical_from_word(struct str logical_word, struct str format);
/* What the name alone says of a type of PostgreSQL's, as declared or as the database names it: storage, length, logical
 * type, shape and element of c, whose name and db_type are set. False: it is text like any other unknown type. */
bool schema_type_by_name(struct arena *a, struct column *c);
/* The same with what a model says of the type of a column or of a part of one: `type_kind`, `element`, `fields`,
 * `labels`, `base_type`. Sets c->type_json. False: *ret_pointer, relative to o, and *ret_wrong say what is wrong. */
bool schema_type_read(struct arena *a, const json_t *o, struct column *c, const char **ret_pointer,
		      const char **ret_wrong) MUST_CHECK;
/* What it looks at in a column besides db_type, and whether any of it is there. */
#define SCHEMA_TYPE_MEMBERS 5
extern const char *const schema_type_members[SCHEMA_TYPE_MEMBERS];
bool schema_type_said(const json_t *o);
/* PostgreSQL: the type that values of the column are cast to, to be compared, where its own has no equality that tells
 * all its values apart (circles are equal when their areas are) or none at all; STR_NONE: they are compared as they
 * are. Static, or borrowed from c. */
struct str column_compared_as(const struct column *c);
/* Whether its values have an order there, by < and ORDER BY alike. */
bool column_ordered(const struct column *c);
/* The name by which a value's text becomes one of the column's type. */
struct str column_own_type(const struct column *c);

/* From a logical word and format alone; ST_UNRESOLVED when it says nothing. */
enum storage_type storage_from_logical(struct str logical_word, struct str format);
/* The logical type whose values a storage type holds. */
enum logical_type logical_from_storage(enum storage_type t);

/* The word of a relation's kind; static. */
const char *relation_kind_name(enum relation_kind kind);

#endif
