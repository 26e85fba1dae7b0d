/* What the session's identity map makes of the rows of a request, and what a write by query takes out of it. */
#ifndef FERROD_HANDLERS_MAPPED_H
#define FERROD_HANDLERS_MAPPED_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

/* The identity map's key of a full row; in the arena. */
struct str record_key(struct arena *a, const struct model *m, const struct value *row);

/* What a full row that a read has brought shows: the mapped values when the session has them, else the row, which is
 * then mapped; with Cache-Control: no-cache the row overwrites. */
const struct value *context_mapped(struct context *c, const struct model *m, const struct value *row);
/* After a committed write of the model's records by query: the session's map forgets them; after a delete also those of
 * models that the database may have changed along with them (ON DELETE CASCADE and SET NULL, however far). */
void context_forget(struct context *c, const struct model *m, bool deleted);

#endif
