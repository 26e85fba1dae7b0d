/* What the reference's versions 2 and 3 say of how a model came to be: renames, what is retired, what makes values.
 * Owns nothing: what is read lives in the schema. */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_HISTORY_H
#define FERROD_STORE_SCHEMA_SCHEMA_HISTORY_H

#include "store/schema/schema_reader.h"

/* Of a column, a model, and a foreign key, whose old name is the column's. Faults are noted in the build. */
void schema_parse_history(struct parse *p, struct column *c);
void schema_parse_model_history(struct parse *p);
void schema_parse_key_history(struct parse *p, const struct foreign_key *fk);

/* Old names that are still there, or that two lay claim to: faults. */
void schema_check_history(struct schema_build *b);

#endif
