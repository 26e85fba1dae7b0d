/* Where a live object and a wanted one differ, rule by rule (reference 7.2, 7.4, cases 14.11). Pure. */
#ifndef FERROD_STORE_MIGRATE_DIFF_H
#define FERROD_STORE_MIGRATE_DIFF_H

#include "store/migrate/live.h"
#include "store/schema/schema.h"

enum type_drift {
	DRIFT_NONE,
	DRIFT_TYPE,     /* PostgreSQL: ALTER TYPE; SQLite: another storage class */
	DRIFT_TIMEZONE, /* PostgreSQL: timestamp against timestamptz, never converted by itself */
	DRIFT_ENUM,     /* PostgreSQL: the model's column is an enum, the live one is something else */
	DRIFT_UNKNOWN   /* PostgreSQL: a live type outside the vocabulary, wanted as another */
};

/* The column's type; primary keys are the caller's business (their drift is ignored). */
enum type_drift diff_type(const struct dialect *d, const struct live_column *live, const struct column *want);

/* The live type as a db_type token: storage type and length. False: outside the vocabulary. Also what introspection
 * turns a column's type into. */
bool live_type_storage(const struct dialect *d, struct str type, enum storage_type *ret,
		       int64_t *ret_length) MUST_CHECK;

/* The live type as warnings spell it: lower case, without a length. In out. */
void diff_type_word(struct str type, struct strbuf *out);

/* PostgreSQL: ALTER TYPE from live to want. */
struct alter_effect {
	bool rewrites;
	bool loses_data; /* a narrower type: values are rounded, cut, or make the statement fail */
};
struct alter_effect diff_alter_effect(const struct live_column *live, const struct column *want);

/* Owned: the name starts with idx_ or uq_, and it is over plain columns of all rows; others belong to somebody else and
 * are never dropped. */
bool diff_index_owned(const struct live_index *x);

/* The live object that already does what the wanted entry asks for, or has its name: by name, else an owned index (or,
 * for a unique, any unique index, constraint or primary key) over the same columns. NULL: it is missing. *ret_same:
 * it does what is asked for. */
const struct live_index *diff_find_index(const struct dialect *d, const struct live_table *t,
					 const struct schema_index *want, bool *ret_same);

/* Whether the model still wants this live index. */
bool diff_index_wanted(const struct dialect *d, const struct model *m, const struct live_index *x);

/* Whether a live check, whatever its name, allows the same values of the same column. */
bool diff_same_check(const struct dialect *d, const struct live_check *live, const struct schema_check *want);
/* The check that does what the wanted one asks for, or that it takes the place of: by what it says, by name, or
 * (SQLite) an anonymous list of values of the same column. NULL: there is none. *ret_same: it says the same. */
const struct live_check *diff_find_check(const struct dialect *d, const struct live_table *t,
					 const struct schema_check *want, bool *ret_same);
/* The key that does what the model's `want` asks for, or that it takes the place of: from its columns to its table, by
 * name, or, under a name that nobody chose, from its columns to a table that no key of the model leads to any more.
 * NULL: there is none. *ret_same: with the same target and action. */
const struct live_foreign_key *diff_find_foreign_key(const struct dialect *d, const struct live_schema *l,
						     const struct live_table *t, const struct model *m,
						     const struct foreign_key *want, bool *ret_same);
/* Whether the live key is from the same columns to the same table, or has the name. */
bool diff_foreign_key_is(const struct dialect *d, const struct live_foreign_key *fk, const struct foreign_key *want);
/* The live index covers the column. */
bool diff_covers(const struct dialect *d, const struct live_index *x, struct str column);

#endif
