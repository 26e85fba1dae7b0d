/* Models in the making from live tables, shared by live_ir.c and live_artifacts.c and by nobody else; owned by the
 * former. */
#ifndef FERROD_STORE_MIGRATE_LIVE_BUILD_H
#define FERROD_STORE_MIGRATE_LIVE_BUILD_H

#include "service/base/map.h"
#include "store/migrate/live_choice.h"
#include "store/migrate/live_fill.h"
#include "service/base/json.h"
#include "store/ddl/ddl.h"

struct live_builder {
	struct arena *a;
	const struct dialect *d;
	const struct live_schema *live;
	const struct live_ir_options *o;
	struct ddl_plan *notes;
	struct live_fill fill;
	struct map models; /* their names so far */
	struct map names;  /* of indexes and uniques so far, and of the tables: one name space */
	size_t next;       /* of the tables, and of the views behind them */
};

/* Notes what of a table (and column, STR_NONE: none) no model can say; `object` is its name, STR_NONE: it has none. */
void live_note(struct live_builder *b, struct str table, struct str column, struct str object, const char *what);
/* The text, or null for STR_NONE; a new reference. */
json_t *live_text(struct str s);
/* Takes v. */
void live_set(json_t *o, const char *key, json_t *v);
/* Whether a model could have the name. */
bool live_name_fits(struct str name) MUST_CHECK;
/* Whether the table has the column and the model is to have it; *ret: as the table spells it. */
bool live_has_column(const struct live_builder *b, const struct live_table *t, struct str name,
		     struct str *ret) MUST_CHECK;
/* The table's only primary key column, or NULL. */
const struct live_column *live_single_pk(const struct live_table *t);
/* Whether the column has an inline UNIQUE, over it alone. */
bool live_inline_unique(const struct live_builder *b, const struct live_table *t, struct str column);
/* What the column is stored as; outside the vocabulary: text. */
enum storage_type live_storage_of(const struct live_builder *b, const struct live_column *c, int64_t *ret_length);
/* And what its values are. */
enum logical_type live_logical_of(const struct live_builder *b, const struct live_column *c);

#endif
