/* What a step needs of those before it, and thus which of them may travel together. */
#include "handlers/batch/batch.h"
#include "handlers/unit/triggers.h"

#include "service/base/banned.h"

size_t batch_find_step(const struct batch *b, size_t before, struct str name)
{
	for (size_t i = before; i-- > 0;) {
		if (b->steps[i].as.p != NULL && str_eq(b->steps[i].as, name))
			return i;
	}
	return before;
}

/* Does the answer hold nothing: no row, no count, nothing affected? */
static bool body_empty(const json_t *body)
{
	static const char *const counts[] = {"row_count", "count", "rows_affected", "rows_inserted"};
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		const json_t *v = json_object_get(body, counts[i]);
		if (json_is_integer(v))
			return json_integer_value(v) == 0;
	}
	if (json_is_false(json_object_get(body, "exists")))
		return true;
	return json_object_size(body) == 1 && json_is_null(json_object_get(body, "row"));
}

bool batch_wanted(const struct batch *b, const struct batch_step *s)
{
	if (s->condition == IF_ALWAYS)
		return true;
	const struct batch_step *on = &b->steps[s->on];
	switch (s->condition) {
	case IF_OK:
		return on->state == STEP_OK;
	case IF_FAILED:
		return on->state == STEP_FAILED;
	case IF_EMPTY:
		return on->state == STEP_OK && body_empty(on->body);
	case IF_NONEMPTY:
		return on->state == STEP_OK && !body_empty(on->body);
	case IF_ALWAYS:
		break;
	}
	return true;
}

struct finder {
	const struct batch *b;
	size_t step;
};

static json_t *find_ref(void *arg, struct str ref)
{
	const struct finder *f = arg;
	struct str name;
	(void)str_split(&ref, '.', &name);
	size_t i = batch_find_step(f->b, f->step, name);
	if (i == f->step || f->b->steps[i].state != STEP_OK)
		return NULL;
	return ref.p != NULL ? batch_walk(f->b->steps[i].body, ref) : f->b->steps[i].body;
}

static void decref(void *arg)
{
	json_decref(arg);
}

json_t *batch_doc(struct batch *b, size_t i, struct err *err)
{
	struct finder f = {.b = b, .step = i};
	json_t *doc = b->steps[i].doc;
	if (!b->steps[i].has_refs)
		return doc;
	doc = batch_resolve(&b->req->arena, doc, find_ref, &f, err);
	if (doc != NULL)
		arena_on_done(&b->req->arena, decref, doc);
	return doc;
}

bool batch_answers_briefly(const struct batch *b, const struct batch_step *s, size_t n)
{
	return (s->op == STEP_SQL_EXECUTE || s->op == STEP_UPDATE || s->op == STEP_DELETE) &&
	       (b->req->prefer.given & PREFER_MAX_AFFECTED) == 0 &&
	       b->out->len + n * LIMIT_RESPONSE_CHUNK < LIMIT_BATCH_ANSWER_BYTES;
}

const struct stmt *batch_stmt(struct batch *b, size_t i)
{
	struct batch_step *s = &b->steps[i];
	struct err ignored;
	if (s->plan == NULL) {
		struct step_plan *plan = arena_alloc(&b->req->arena, sizeof(*plan));
		json_t *doc = batch_doc(b, i, &ignored);
		if (doc != NULL && step_made(&b->c, s->op, doc, plan))
			s->plan = plan;
	}
	return s->plan != NULL ? &s->plan->stmt : NULL;
}

bool batch_ends(struct batch *b, size_t i)
{
	const struct batch_step *s = &b->steps[i];
	if (!b->atomic || i + 1 < b->n || !batch_answers_briefly(b, s, 1))
		return false;
	/* nothing is asked before it but what its driver asks */
	return s->op == STEP_SQL_EXECUTE ||
	       (b->c.route.tx == NULL && pool_driver(b->c.route.conn->pool)->ahead != NULL && batch_stmt(b, i) != NULL);
}

/* What was made of steps that have not left may be true no more: an earlier one may have changed a table. */
static void forget_plans(struct batch *b, size_t i)
{
	context_triggers_unpin(&b->c);
	for (; i < b->n; i++)
		b->steps[i].plan = NULL;
}

void batch_look_ahead(struct batch *b, size_t i)
{
	const size_t left = b->n - i, max = left < DRIVER_AHEAD_MAX ? left : DRIVER_AHEAD_MAX;
	const struct stmt **stmts;
	bool brief = true;
	size_t n = 0, at = i;
	if (exec_travels(&b->c.exec))
		return;
	forget_plans(b, i);
	if (!b->atomic || left < 2 || b->steps[i + 1].after > i || b->c.route.tx != NULL ||
	    pool_driver(b->c.route.conn->pool)->ahead == NULL)
		return;
	stmts = arena_array(&b->req->arena, max, sizeof(*stmts));
	for (; n < max && at < b->n && b->steps[at].after <= i; at++) {
		const struct batch_step *s = &b->steps[at];
		if (!batch_wanted(b, s))
			continue;
		stmts[n] = batch_stmt(b, at);
		if (stmts[n] == NULL)
			break;
		n++;
		brief = brief && !s->needed && batch_answers_briefly(b, s, n);
	}
	context_ahead(&b->c, stmts, n, brief && at == b->n);
}
