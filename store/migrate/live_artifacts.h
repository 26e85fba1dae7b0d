/* What live tables have beside their columns -> members of models, for live_ir.c. Owned by the models' tree. */
#ifndef FERROD_STORE_MIGRATE_LIVE_ARTIFACTS_H
#define FERROD_STORE_MIGRATE_LIVE_ARTIFACTS_H

#include "store/migrate/live_build.h"

/* The members of the model that are not its columns; notes what it cannot say. */
void live_artifacts_ir(struct live_builder *b, const struct live_table *t, json_t *model);

#endif
