/* Values that a row has brought, on their way into another statement. Copies live in the arena that is given. */
#ifndef FERROD_HANDLERS_VALUES_H
#define FERROD_HANDLERS_VALUES_H

#include "store/codec/codec.h"
#include "store/query/query.h"

/* A value as JSON; new reference. */
json_t *value_to_json(struct arena *a, struct value v);

/* A decoded (wire) value as a parameter for column c. ERR_INVALID_VALUE when it does not fit there. */
bool value_rebind(struct arena *a, const struct dialect *d, const struct column *c, struct value v, struct value *ret,
		  struct err *err) MUST_CHECK;

/* The key values of a decoded full row, as parameters (m->n_pk). */
bool row_key_values(struct arena *a, const struct dialect *d, const struct model *m, const struct value *row,
		    struct value **ret, struct err *err) MUST_CHECK;

/* Text that is equal for equal wire values, whatever column they come from; in the arena. */
struct str value_text_key(struct arena *a, struct value v);

#endif
