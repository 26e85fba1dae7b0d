/* Pure text decisions that differ between the two databases. No I/O, no driver types. */
#ifndef FERROD_STORE_DIALECT_DIALECT_H
#define FERROD_STORE_DIALECT_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "service/base/str.h"
#include "service/base/strbuf.h"

enum dialect_id { DIALECT_SQLITE, DIALECT_POSTGRES };

struct dialect {
	enum dialect_id id;
	const char *name;           /* "sqlite", "postgres": the wire's word */
	size_t params_max;          /* parameters of one statement */
	bool numbered_placeholders; /* $1 against ? */
};

extern const struct dialect dialect_sqlite;
extern const struct dialect dialect_postgres;

const struct dialect *dialect_get(enum dialect_id id);

/* By wire name; NULL when unknown. */
const struct dialect *dialect_by_name(struct str name);

/* The only quoting function for identifiers: "name" with embedded quotes doubled. The name must hold no
 * NUL (schema and query parsing see to it). */
void dialect_quote_ident(struct strbuf *b, struct str name);
/* A table, with its schema before it; STR_NONE: the search path finds it. */
void dialect_quote_table(struct strbuf *b, struct str schema, struct str table);

/* A string literal of SQLite: quotes doubled. */
void dialect_quote_literal(struct strbuf *b, struct str text);

/* A string literal that means the same whatever a session has set: on PostgreSQL one that holds a backslash is written
 * as E'...', for standard_conforming_strings may be off. */
void dialect_put_literal(const struct dialect *d, struct strbuf *b, struct str text);

/* An element in PostgreSQL's text of an array (documentation, "Array Input and Output Syntax"). */
void dialect_quote_element(struct strbuf *b, struct str text);

/* Parameter number n (1-based). */
void dialect_placeholder(const struct dialect *d, struct strbuf *b, size_t n);

#endif
