/* What create-tables, migrate and connect share. Owns nothing. */
#ifndef FERROD_HANDLERS_MIGRATE_H
#define FERROD_HANDLERS_MIGRATE_H

#include "handlers/unit/context.h"
#include "store/migrate/apply.h"
#include "store/schema/schema.h"

/* Until when a migration that this request asks for may run: what the client prefers, else for ever, for a table of any
 * size may have to be written anew. */
int64_t migrate_deadline(const struct request *req);
/* Of its migrate_request.look_ns: the request's time. */
int64_t migrate_look_ns(const struct request *req);

/* The registered models that a migration is about: those of the set, or all (STR_NONE). Made in the request's arena; it
 * borrows from `all`. ERR_INVALID_PARAMETERS, ERR_MODEL_NOT_FOUND as models_set_is_there. */
bool migrate_models(struct request *req, const struct schema *all, struct str set, const struct schema **ret,
		    struct err *err) MUST_CHECK;

/* "statements":[...],"warnings":[...],"applied":... of an object that is being written. */
void out_migration_head(struct strbuf *b, const struct migrate_result *m);
/* The same and "pool_refreshed", "plan_hash", "changes". */
void out_migration(struct strbuf *b, const struct migrate_result *m);
/* "warnings":[...] */
void out_warnings(struct strbuf *b, const struct ddl_plan *notes);

#endif
