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

bool step_run(struct context *c, enum step_op op, json_t *step, struct strbuf *out, int *ret_status, struct err *err)
{
	struct step s = {.c = c, .op = op, .out = out, .status = ret_status, .err = err};
	struct str text;
	const json_t *condition = NULL;
	*ret_status = 200;
	json_reader_init(&s.r, &c->req->arena, step, "", err);
	json_reader_str(&s.r, "op", &text);
	json_reader_str(&s.r, "as", &text);
	json_reader_object(&s.r, "if", &condition);
	return table[op](&s);
}
