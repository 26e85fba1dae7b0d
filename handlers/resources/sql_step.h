/* Raw SQL as a batch step. Owns nothing: the step is the batch's. */
#ifndef FERROD_HANDLERS_SQL_STEP_H
#define FERROD_HANDLERS_SQL_STEP_H

#include "handlers/unit/step.h"

/* STEP_SQL_*. Parks. */
bool step_sql(struct step *s) MUST_CHECK;
/* The one statement that it will run. Never parks. */
bool step_sql_plan(struct step *s, struct step_plan *ret) MUST_CHECK;

#endif
