/* Whose models a key may change, and what it sees of the sets of others. What it makes lives in the request's arena. */
#ifndef FERROD_HANDLERS_MODEL_SETS_H
#define FERROD_HANDLERS_MODEL_SETS_H

#include "handlers/unit/context.h"
#include "store/schema/schema.h"

/* ERR_INVALID_PARAMETERS: no set has such a name. */
bool models_set_name(struct str set, struct err *err) MUST_CHECK;
/* The set that a change of models without ?set= is about: the one without a name, or the first one of a key that is
 * bound to sets. ERR_FORBIDDEN: it is bound to none. */
bool models_own_set(const struct request *req, struct str *ret, struct err *err) MUST_CHECK;
/* ERR_FORBIDDEN unless the key may change that set. */
bool models_may_change(const struct request *req, struct str set, struct err *err) MUST_CHECK;
/* Has a registered model that set (STR_NONE: any)? ERR_INVALID_PARAMETERS: no set has such a name; ERR_MODEL_NOT_FOUND:
 * none has it, or the key is bound to other sets, and learns of no others. */
bool models_set_is_there(const struct request *req, const struct schema *s, struct str set, struct err *err) MUST_CHECK;
/* Makes a model's form what the caller is to see: a key that is bound to sets learns no names of others, for they may
 * be those of connections. arg: a struct request. For schema_write. */
void models_seen(void *arg, json_t *m);
/* The name of the model's set, as far as the caller may know it; borrowed from the model. */
struct str models_set_seen(const struct request *req, const struct model *m);
/* The same for the error of a change. Always false. */
bool models_refused(const struct request *req, struct err *err);

#endif
