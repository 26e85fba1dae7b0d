/* Bulk create. Owns nothing: the context and the reader are the caller's. */
#ifndef FERROD_HANDLERS_BULK_H
#define FERROD_HANDLERS_BULK_H

#include "handlers/records/bulk_reader.h"
#include "handlers/records/records.h"

/* Inserts every record of the reader in one unit, in chunks below the engine's parameter limit; answers 201.
 * on_conflict: of the body; NULL: the URL's. Parks. */
bool bulk_create(struct context *c, const struct model *m, struct bulk_reader *in, const json_t *on_conflict,
		 struct err *err) MUST_CHECK;

/* The same in an open atomic unit; the answer's object is appended to `out`. Parks. */
bool bulk_insert(struct context *c, const struct model *m, struct bulk_reader *in, const struct insert_options *o,
		 struct strbuf *out, struct err *err) MUST_CHECK;

#endif
