/* Records as batch steps. Owns nothing: the step is the batch's. */
#ifndef FERROD_HANDLERS_RECORD_STEP_H
#define FERROD_HANDLERS_RECORD_STEP_H

#include "handlers/unit/step.h"

/* STEP_CREATE. Parks. */
bool step_create(struct step *s) MUST_CHECK;
/* The statement of one that puts in one row, and needs no other. Never parks. */
bool step_create_plan(struct step *s, struct step_plan *ret) MUST_CHECK;
/* STEP_SAVE and STEP_GET. Parks. */
bool step_keyed(struct step *s) MUST_CHECK;

#endif
