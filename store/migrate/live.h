/*
 * A database as it is: what introspection (store/driver/introspect_*.c) reads and the planner compares with the models.
 * Plain data in one arena; names and texts as the database's catalog has them.
 */
#ifndef FERROD_STORE_MIGRATE_LIVE_H
#define FERROD_STORE_MIGRATE_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/str.h"
#include "store/dialect/dialect.h"
#include "store/schema/schema.h"

/* Something by kind and name. */
struct live_thing {
	struct str kind, name;
};

struct live_type;

/* A part of a type that has names, or the values of an enum. */
struct live_type_part {
	struct str name; /* of a composite's field, or an enum's label */
	struct str type; /* of a field, with its length or precision */
	const struct live_type *of;
};

/* A type of PostgreSQL's that is made of others. */
struct live_type {
	struct str name;
	char kind; /* 'a'rray, 'r'ange, 'm'ultirange, 'c'omposite, 'd'omain, 'e'num; 'b': of nothing */
	struct live_type_part inner;  /* of an array, range, multirange (its bounds) or domain; its name is not set */
	struct live_type_part *parts; /* of a composite or enum */
	size_t n_parts;
	/* What a domain says of its own. */
	bool not_null;
	struct str default_text;         /* STR_NONE: none */
	const struct live_thing *checks; /* their names, and as kind their expressions */
	size_t n_checks;
};

struct live_column {
	struct str name;
	/* Declared type. SQLite: as PRAGMA table_info has it ("VARCHAR(40)", ""). PostgreSQL: format_type(atttypid,
	 * atttypmod)
	 * ("character varying(40)", "timestamp with time zone", "numeric(10,2)", "integer[]"); an enum type: its bare
	 * name. */
	struct str type;
	bool nullable;
	bool autoincrement;             /* SQLite: AUTOINCREMENT; PostgreSQL: identity or an owned sequence's nextval */
	bool identity, identity_always; /* PostgreSQL; always: and it takes no value */
	bool generated;
	bool generated_virtual;  /* computed when it is read */
	bool zones;              /* SQLite: its instants all say their zone, whatever the type's name says */
	bool native_enum;        /* PostgreSQL: type is an enum type */
	struct str default_text; /* expression; STR_NONE: none (nextval of an owned sequence included when there) */
	size_t pk_position;      /* 1-based place in the primary key; 0: not part of it */
	struct str generation;   /* what a generated column is computed from; STR_NONE: unknown */
	struct str spelling;     /* SQLite: of its instants (enum time_spelling's word); STR_NONE: not found */
	int64_t type_id;         /* PostgreSQL: the type's oid */
	const struct live_type *made_of; /* PostgreSQL: NULL: nothing is known beyond its name */
	struct str collation;            /* STR_NONE: the database's own */
	struct str comment;
	struct str sequence; /* PostgreSQL: that its default counts with, though it is not its own; STR_NONE: none */
	struct str sequence_schema; /* STR_NONE: it is found without */
	int64_t sequence_start, sequence_increment;
	/* Rows whose value the model's type would cut, round, refuse or take for something else, and the key of one of
	 * them; -1: not looked at. */
	int64_t lossy_rows;
	struct str lossy_key;
	/* PostgreSQL: 1: the model's default is the same value in other words, 0: it is another; -1: not looked at. */
	int64_t default_same;
	const struct str *enum_values;
	size_t n_enum_values;
};

enum live_index_origin {
	LIVE_INDEX_CREATED, /* CREATE INDEX */
	LIVE_INDEX_UNIQUE,  /* made by a UNIQUE constraint */
	LIVE_INDEX_PRIMARY
};

struct live_index {
	struct str name;
	enum live_index_origin origin;
	bool unique;
	bool partial;              /* has a WHERE */
	bool expression;           /* an entry is no plain column: `columns` lacks it */
	bool special;              /* descending, of another method, collation or operator class, covering more, ... */
	bool invalid;              /* PostgreSQL: left behind by a build that failed */
	const struct str *columns; /* in index order */
	size_t n_columns;
	/* The whole of it; NULL where nobody has looked. `columns` are those of them that are columns. */
	const struct index_key *keys;
	size_t n_keys;
	const struct str *include;
	size_t n_include;
	struct str predicate, method; /* STR_NONE: all rows; btree */
	bool nulls_not_distinct, exclusion, deferrable, deferred;
	bool more;      /* and something that none of this says: storage parameters, ... */
	struct str sql; /* SQLite: CREATE INDEX text; STR_NONE for automatic ones */
};

struct live_foreign_key {
	struct str name; /* STR_NONE: anonymous */
	const struct str *columns;
	size_t n_columns;
	struct str to_table;
	struct str to_schema;         /* STR_NONE: the current one */
	const struct str *to_columns; /* n_to_columns 0: the target's primary key (SQLite) */
	size_t n_to_columns;
	struct str on_delete, on_update; /* "CASCADE", "NO ACTION", ...; STR_NONE: NO ACTION */
	bool match_full, deferrable, deferred;
	bool more; /* and something that none of this says: NOT VALID, SET NULL of some columns, ... */
};

struct live_check {
	struct str name;       /* STR_NONE: anonymous */
	struct str expression; /* without CHECK and its parentheses */
	bool more;             /* NOT VALID, NO INHERIT */
};

struct live_table {
	struct str name;
	struct str schema_name; /* STR_NONE: the current one, which the search path finds first */
	enum model_kind kind;
	bool read_only;              /* nothing can be written through it */
	struct str unreadable;       /* SQLite: why its columns are not known; STR_NONE: they are */
	struct live_column *columns; /* in table order */
	size_t n_columns;
	struct live_index *indexes;
	size_t n_indexes;
	struct live_foreign_key *fks;
	size_t n_fks;
	struct live_check *checks;
	size_t n_checks;
	/* Rows: 0 only when it is known to be empty; exact or estimated otherwise; -1: not looked at. */
	int64_t rows;
	const struct str *triggers; /* SQLite: CREATE TRIGGER texts */
	size_t n_triggers;
	struct str sql; /* SQLite: the CREATE TABLE text */
	struct str comment;
	bool strict, without_rowid; /* SQLite */
	/* What it has that no model says ("trigger", "policy", ...), each with its name, perhaps. */
	const struct live_thing *things;
	size_t n_things;
};

/* What is no ordinary table, but has a name that a table cannot have then. */
struct live_other {
	struct str name;
	struct str schema_name; /* STR_NONE: the current one */
	struct str kind;        /* "view", "virtual table", "foreign table", "sequence", ... */
};

/* A column that something beside the table needs: a view, a trigger when it fires, ... */
struct live_use {
	struct str kind, name; /* "view", "trigger" */
	struct str schema_name, table, column;
};

/* The kind of one that names the column in a text of its own, which no rename changes. */
#define LIVE_USE_TEXT "function of the trigger"

/* A view or trigger that cannot be used as the database is, and why. */
struct live_broken {
	struct str kind, name, why;
};

struct live_schema {
	struct live_table *tables;
	size_t n_tables;
	struct live_other *others;
	size_t n_others;
	struct live_table *views; /* what is no table and has columns: views, foreign and virtual tables */
	size_t n_views;
	struct live_use *uses; /* looked at when columns are to be changed or dropped */
	size_t n_uses;
	struct live_broken *broken; /* SQLite: likewise */
	size_t n_broken;
};

/* Whether two names are one in this dialect: SQLite ignores ASCII case. */
bool live_name_eq(const struct dialect *d, struct str a, struct str b);
/* NULL when there is none. */
const struct live_table *live_find_table(const struct dialect *d, const struct live_schema *l, struct str name);
/* The table that the model stands for; NULL when there is none. */
const struct live_table *live_find_model(const struct dialect *d, const struct live_schema *l, const struct model *m);
const struct live_table *live_find_table_at(const struct dialect *d, const struct live_schema *l,
					    struct str schema_name, struct str name);
const struct live_column *live_find_column(const struct dialect *d, const struct live_table *t, struct str name);

#endif
