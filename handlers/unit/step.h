/*
 * A step of a batch, as the rooms see it: each room runs its own operations in the unit that the batch has opened, and
 * handlers/steps.c is the table that says which room an operation belongs to.
 */
#ifndef FERROD_HANDLERS_STEP_H
#define FERROD_HANDLERS_STEP_H

#include "handlers/unit/context.h"
#include "service/base/json.h"

enum step_op {
	STEP_SQL_EXECUTE,
	STEP_SQL_FETCH_ALL,
	STEP_SQL_FETCH_ONE,
	STEP_QUERY,
	STEP_FIRST,
	STEP_COUNT,
	STEP_EXISTS,
	STEP_UPDATE,
	STEP_DELETE,
	STEP_CREATE,
	STEP_SAVE,
	STEP_GET,
	STEP_N_OPS
};

/* What a room has made of a step ahead of its turn: the one statement that it will run then, and what is the room's. As
 * long as the request. */
struct step_plan {
	struct stmt stmt;
	void *own;
};

struct step {
	struct context *c;
	enum step_op op;
	const struct step_plan *plan; /* NULL: none was made */
	struct json_reader r;         /* of the step's object, references resolved; `op`, `as` and `if` are known */
	struct strbuf *out;           /* the step's JSON body is appended */
	int *status;                  /* 200 until the step says otherwise */
	struct err *err;              /* faults point below the step ("/query/where/0") */
};

/* Runs one operation in an open unit. Parks. */
typedef bool step_fn(struct step *s);

static inline struct arena *step_arena(const struct step *s)
{
	return &s->c->req->arena;
}

#endif
