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

/* Of those that run one statement each, and need no other's answer for it: what it is. */
static bool (*const stmts[STEP_N_OPS])(struct step *s, struct stmt *ret) = {
	[STEP_SQL_EXECUTE] = step_sql_stmt,
	[STEP_SQL_FETCH_ALL] = step_sql_stmt,
	[STEP_SQL_FETCH_ONE] = step_sql_stmt,
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

bool step_run(struct context *c, enum step_op op, json_t *step, struct strbuf *out, int *ret_status, struct err *err)
{
	struct step s = {.c = c, .op = op, .out = out, .status = ret_status, .err = err};
	*ret_status = 200;
	begin(&s, step);
	return table[op](&s);
}

bool step_stmt(struct context *c, enum step_op op, json_t *step, struct stmt *ret)
{
	struct err ignored;
	struct step s = {.c = c, .op = op, .err = &ignored};
	if (stmts[op] == NULL)
		return false;
	begin(&s, step);
	return stmts[op](&s, ret);
}
