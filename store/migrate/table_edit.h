/* A CREATE TABLE of SQLite written anew under another name: some parts changed, dropped or added, all others to the
 * letter. Pure. */
#ifndef FERROD_STORE_MIGRATE_TABLE_EDIT_H
#define FERROD_STORE_MIGRATE_TABLE_EDIT_H

#include "service/base/strbuf.h"
#include "store/migrate/table_text.h"

struct text_change {
	struct text_span span;
	struct str with;
};

struct table_edit {
	struct arena *arena;
	const struct table_text *text; /* borrowed */
	bool *gone;                    /* per item */
	bool *piece_gone;              /* per piece */
	struct text_change *changes;
	size_t n_changes;
	struct str *columns, *constraints; /* added ones */
	size_t n_columns, n_constraints;
};

void table_edit_init(struct table_edit *e, struct arena *a, const struct table_text *text);

/* The item of the column, NULL when the text has none. */
const struct table_item *table_edit_column(const struct table_edit *e, struct str column);

/* `with` takes the place of the span, which lies in one item. Copied. */
void table_edit_replace(struct table_edit *e, struct text_span span, struct str with);
/* The column goes, and what stands at it. */
void table_edit_drop_column(struct table_edit *e, struct str column);
void table_edit_drop_piece(struct table_edit *e, size_t piece);
/* Definitions: columns go behind the last one, constraints to the end. Copied. */
void table_edit_add_column(struct table_edit *e, struct str definition);
void table_edit_add_constraint(struct table_edit *e, struct str definition);

/* CREATE TABLE "name" ( ... ) and what followed. */
void table_edit_write(struct table_edit *e, struct str name, struct strbuf *out);

#endif
