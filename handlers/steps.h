/* The one list of a batch's operations: word, room, scope. Static; owned by nobody. */
#ifndef FERROD_HANDLERS_STEPS_H
#define FERROD_HANDLERS_STEPS_H

#include "handlers/unit/step.h"

/* Runs one operation in an open unit: `step` is the step's object with references resolved. Its JSON body is appended
 * to `out`, its status to *ret_status. Faults point below the step ("/query/where/0"). Parks. */
bool step_run(struct context *c, enum step_op op, json_t *step, struct strbuf *out, int *ret_status,
	      struct err *err) MUST_CHECK;
/* The one statement that the operation will run, in the request's arena. False: more, or not known, or step_run refuses
 * it and says why. Never parks. */
bool step_stmt(struct context *c, enum step_op op, json_t *step, struct stmt *ret) MUST_CHECK;

#endif
