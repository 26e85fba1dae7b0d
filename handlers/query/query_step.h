/* Queries as batch steps. Owns nothing: the step is the batch's. */
#ifndef FERROD_HANDLERS_QUERY_STEP_H
#define FERROD_HANDLERS_QUERY_STEP_H

#include "handlers/unit/step.h"

/* STEP_QUERY, FIRST, COUNT, EXISTS, UPDATE and DELETE. Parks. */
bool step_query(struct step *s) MUST_CHECK;
/* The statement of COUNT, EXISTS, UPDATE or DELETE. Never parks. */
bool step_query_plan(struct step *s, struct step_plan *ret) MUST_CHECK;

#endif
