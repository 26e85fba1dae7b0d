/* Queries as batch steps: the same work as their endpoints, inside the batch's unit. */
#include "handlers/query/query_step.h"

#include "handlers/answer/select.h"
#include "handlers/query/query_write.h"
#include "handlers/unit/reads.h"
#include "handlers/unit/triggers.h"

#include "service/base/banned.h"

static bool scalar_stmt(struct step *s, struct query *q, struct stmt *ret)
{
	return s->op == STEP_COUNT ? query_lower_count(step_arena(s), q, ret, s->err)
				   : query_lower_exists(step_arena(s), q, ret, s->err);
}

static bool run_scalar(struct step *s, struct query *q)
{
	struct stmt stmt;
	int64_t n;
	bool counting = s->op == STEP_COUNT;
	if (!scalar_stmt(s, q, &stmt) || !context_scalar(s->c, &stmt, &n, s->err))
		return false;
	strbuf_putc(s->out, '{');
	if (counting)
		out_int(s->out, "count", n);
	else
		out_bool(s->out, "exists", n != 0);
	strbuf_putc(s->out, '}');
	return true;
}

static bool run_write(struct step *s, struct query_write *w)
{
	int64_t affected = 0;
	w->max_affected = affected_bound(s->c->res);
	if (!query_filtered(s->c->req, w->q, "/query/where", s->err) || !write_query(s->c, w, NULL, &affected, s->err))
		return false;
	strbuf_putc(s->out, '{');
	out_int(s->out, "rows_affected", affected);
	strbuf_putc(s->out, '}');
	return true;
}

/* A batch runs on one connection: a query that names another is not to run there in silence. */
static bool same_connection(const struct step *s, const json_t *query)
{
	struct str using;
	if (!using_member(query, &using, s->err))
		return err_set_at(s->err, ERR_INVALID_QUERY, "/query/using", "expected the name of a connection");
	if (using.p == NULL || str_eq(using, s->c->route.conn->name))
		return true;
	return err_set_at(s->err, ERR_INVALID_QUERY, "/query/using",
			  "a batch runs on one connection: name it beside `steps`");
}

static bool read_query(struct step *s, struct query_write *ret)
{
	const json_t *query = NULL;
	const json_t *set = NULL;
	const struct dialect *d = s->c->route.conn->dialect;
	json_reader_object(&s->r, "query", &query);
	json_reader_require(&s->r, "query");
	if (s->op == STEP_UPDATE)
		json_reader_object(&s->r, "set", &set);
	if (!json_reader_done(&s->r) || !same_connection(s, query) ||
	    !query_from_json(step_arena(s), s->c->schema, d, query, "/query", &ret->q, s->err))
		return false;
	return select_lock(s->c, ret->q, s->err) && (s->op != STEP_UPDATE || query_write_set(s->c, ret, set, s->err));
}

bool step_query(struct step *s)
{
	struct query_write w = {0};
	if (s->plan != NULL)
		w = *(const struct query_write *)s->plan->own;
	else if (!read_query(s, &w))
		return false;
	if (s->op == STEP_QUERY)
		return select_held(s->c, w.q, "/query", s->out, s->err);
	if (s->op == STEP_FIRST)
		return first_held(s->c, w.q, s->out, s->err);
	if (s->op == STEP_COUNT || s->op == STEP_EXISTS)
		return run_scalar(s, w.q);
	return run_write(s, &w);
}

bool step_query_plan(struct step *s, struct step_plan *ret)
{
	struct query_write *w = arena_alloc(step_arena(s), sizeof(*w));
	bool triggers;
	if (!read_query(s, w))
		return false;
	ret->own = w;
	if (s->op == STEP_COUNT || s->op == STEP_EXISTS)
		return scalar_stmt(s, w->q, &ret->stmt);
	/* whoever has a map is told of triggers first */
	return query_filtered(s->c->req, w->q, "/query/where", s->err) &&
	       (s->c->imap == NULL || context_triggers_known(s->c, w->q->model, &triggers)) &&
	       write_query_stmt(s->c, w, &ret->stmt, s->err);
}
