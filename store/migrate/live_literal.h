/* Literals and simple checks in the text of a catalog: what SchemaIR can say of them. Pure. */
#ifndef FERROD_STORE_MIGRATE_LIVE_LITERAL_H
#define FERROD_STORE_MIGRATE_LIVE_LITERAL_H

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "service/base/str.h"

enum literal_kind { LITERAL_NULL, LITERAL_BOOL, LITERAL_NUMBER, LITERAL_TEXT };

struct literal {
	enum literal_kind kind;
	struct str text; /* NUMBER: its digits; BOOL: "true", "false"; TEXT: as written, with its quotes */
};

/* The whole expression is one literal, perhaps in parentheses or with PostgreSQL's casts: 'draft'::character varying.
 * Casts that make another value of it ('now'::text::timestamp, 'abc'::varchar(2)) make it none. */
bool literal_read(struct str expression, struct literal *ret) MUST_CHECK;

/* The content of a TEXT literal; in the arena. */
struct str literal_text(struct arena *a, const struct literal *l);

/* `column IN (literals)`, also as PostgreSQL spells it: ((column)::text = ANY (ARRAY['a'::text, ...])). Everything in
 * the arena. */
struct literal_check {
	struct str column;
	struct literal *values;
	size_t n_values;
};
bool literal_check_read(struct arena *a, struct str expression, struct literal_check *ret) MUST_CHECK;

#endif
