/* A batch's operations: see steps.h. */
#include "handlers/steps.h"

#include "handlers/query/query_step.h"
#include "handlers/records/record_step.h"
#include "handlers/resources/sql_step.h"

#include "service/base/banned.h"

static step_fn *const table[STEP_N_OPS] = {
	[STEP_SQL_EXECUTE] = step_sql, [STEP_SQL_FETCH_ALL] = step_sql, [STEP_SQL_FETCH_ONE] = step_sql,
	[STEP_QUERY] = step_query,     [STEP_FIRST] = step_query,       [STEP_COUNT] = step_query,
	[STEP_EXISTS] = step_query,    [STEP_UPDATE] = step_query,      [STEP_DELETE] = step_query,
	[STEP_CREATE] = step_create,   [STEP_SAVE] = step_keyed,        [STEP_GET] = step_keyed,
};

/* Of those that run one statement each, where they do, and need no other's answer for it: what it is. */
static bool (*const plans[STEP_N_OPS])(struct step *s, struct step_plan *ret) = {
	[STEP_SQL_EXECUTE] = step_sql_plan, [STEP_SQL_FETCH_ALL] = step_sql_plan, [STEP_SQL_FETCH_ONE] = step_sql_plan,
	[STEP_COUNT] = step_query_plan,     [STEP_EXISTS] = step_query_plan,      [STEP_UPDATE] = step_query_plan,
	[STEP_DELETE] = step_query_plan,    [STEP_CREATE] = step_create_plan,
};

static void begin(struct step *s, json_t *step)
{
	struct str text;
	const json_t *condition = NULL;
	json_reader_init(&s->r, &s->c->req->arena, step, "", s->err);
	json_reader_str(&s->r, "op", &text);
	json_reader_str(&s->r, "as", &text);
	json_reader_object(&s->r, "if", &condition);
}

bool step_run(struct context *c, enum step_op op, json_t *step, const struct step_plan *plan, struct strbuf *out,
	      int *ret_status, struct err *err)
{
	struct step s = {.c = c, .op = op, .plan = plan, .out = out, .status = ret_status, .err = err};
	*ret_status = 200;
	begin(&s, step);
	return table[op](&s);
}

bool step_made(struct context *c, enum step_op op, json_t *step, struct step_plan *ret)
{
	struct err ignored;
	int status;
	struct step s = {.c = c, .op = op, .status = &status, .err = &ignored};
	if (plans[op] == NULL)
		return false;
	begin(&s, step);
	return plans[op](&s, ret);
}
