/*
 * What can be told from the text of a client's statement without knowing the database. Pure: texts are borrowed, and
 * what is appended is the caller's.
 */
#ifndef FERROD_STORE_DRIVER_POSTGRES_LEX_H
#define FERROD_STORE_DRIVER_POSTGRES_LEX_H

#include "service/base/arena.h"
#include "service/base/strbuf.h"

struct pg_sql_facts {
	char first[16];  /* first keyword, lower case, cut */
	size_t n_params; /* the highest $n */
	bool complete;   /* every quote and comment is closed */
	bool several;    /* something follows a semicolon */
	bool harmless;   /* surely leaves no state in the database session behind */
	bool reads;      /* surely writes nothing: harmless, and a SELECT, VALUES or TABLE */
};

void pg_sql_scan(struct str sql, struct pg_sql_facts *ret);

#define PG_NAMES_IN_TEXT 160
#define PG_NAME_WORD 'w'
#define PG_NAME_OPERATOR 'o'
/* Appends every name that the text may mean, each once: a letter that says what it is, the name, a line's end. False:
 * the text may mean more than is seen here, or holds more than PG_NAMES_IN_TEXT. *ret_reads: no word in it writes or
 * locks rows. */
bool pg_sql_names(struct str sql, struct arena *a, struct strbuf *ret, bool *ret_reads) MUST_CHECK;

#endif
