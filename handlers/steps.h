/* The one list of a batch's operations: word, room, scope. Static; owned by nobody. */
#ifndef FERROD_HANDLERS_STEPS_H
#define FERROD_HANDLERS_STEPS_H

#include "handlers/unit/step.h"

/* Runs one operation in an open unit: `step` is the step's object with references resolved, `plan` what step_made has
 * made of it in this unit, or NULL. Its JSON body is appended to `out`, its status to *ret_status. Faults point below
 * the step ("/query/where/0"). Parks. */
bool step_run(struct context *c, enum step_op op, json_t *step, const struct step_plan *plan, struct strbuf *out,
	      int *ret_status, struct err *err) MUST_CHECK;
/* Of an operation that will run one statement, and no more: which. False: it may run more, or that is not known, or
 * step_run refuses it and says why. Never parks. */
bool step_made(struct context *c, enum step_op op, json_t *step, struct step_plan *ret) MUST_CHECK;

#endif
