/* What has come for an item of a pipeline, as a cursor that belongs to no connection: see postgres_batch.c. */
#include "service/base/mem.h"
#include "store/driver/postgres/postgres_batch.h"

#include "service/base/banned.h"

/* What came, and its cells, read once and for all. */
struct answer {
	struct cursor cur;      /* first; belongs to no connection */
	PGresult *res;          /* owned, libpq's; or */
	struct pg_shape *shape; /* a reference */
	struct value *next;     /* the row that comes next */
	size_t rows_left;
	struct value cells[]; /* behind them columns of libpq's, or the bytes of the rows */
};

/* ---- what came ---- */

/* A cached plan that its table has outgrown is no failure: all plans of this connection are made anew. Nor is one that
 * the server does not know (any more), one that has hit the guard, or was cancelled in another's place. */
void pg_batch_judge_failure(struct pg_pipeline *p, struct batch_item *item, bool raw, struct pg_reply *reply)
{
	const struct pg_said *said = &reply->said;
	const bool unknown = pg_said_state_is(said, "26000"), stale = pg_said_state_is(said, "0A000");
	const bool guard = pg_said_state_is(said, "55P03") || (pg_said_state_is(said, "57014") && item != p->late);

	const bool executed = item->result != NULL;

	pg_batch_drop(item);
	item->again = true;
	p->stale = p->stale || stale;
	item->slow = guard;
	if (reply->status != PGRES_PIPELINE_ABORTED && !unknown && !stale && !guard) {
		(void)pg_fail_said(p->c, said, raw, true, &item->err);
		if (pg_said_is_fatal(said)) {
			p->ends = true;
			if (!executed)
				item->err.outcome = ERR_OUTCOME_ROLLED_BACK;
		}
		item->failed = p->writes || !p->c->base.broken; /* a read may try elsewhere */
		item->again = !item->failed;
	}
	PQclear(reply->res);
}

/* Takes res. NULL: no memory, and res is gone. */
static struct answer *answer_of(PGresult *res)
{
	const size_t n_columns = (size_t)PQnfields(res), n = (size_t)PQntuples(res) * n_columns;
	struct answer *a =
		mem_try(NULL, sizeof(*a) + n * sizeof(a->cells[0]) + n_columns * sizeof(struct cursor_column));

	if (a == NULL) {
		PQclear(res);
		return NULL;
	}
	a->res = res;
	a->shape = NULL;
	a->cur = (struct cursor){.n_columns = n_columns,
				 .columns = (const struct cursor_column *)(void *)(a->cells + n),
				 .affected = pg_count_affected(PQcmdStatus(res))};
	a->rows_left = (size_t)PQntuples(res);
	return a;
}

/* The rows that the connection has read past libpq. NULL: no memory. *ret_fault: what is wrong with them. */
static struct answer *answer_past(struct pg_conn *c, struct pg_shape *shape, const char *tag, const char **ret_fault)
{
	const struct str rows = strbuf_str(&c->wire.rows);
	const size_t n = c->wire.n_rows * shape->n;
	struct answer *a = mem_try(NULL, sizeof(*a) + n * sizeof(a->cells[0]) + rows.len + 1);

	if (a == NULL)
		return NULL;
	char *const bytes = (void *)(a->cells + n);
	memcpy(bytes, rows.p, rows.len + 1); /* with its NUL */
	a->res = NULL;
	a->shape = pg_shape_ref(shape);
	a->cur = (struct cursor){.n_columns = shape->n, .columns = shape->columns, .affected = pg_count_affected(tag)};
	a->rows_left = c->wire.n_rows;
	*ret_fault = pg_cells_read(bytes, a->rows_left, shape, a->cells);
	return a;
}

/* Keeps the item's result, when it is sound. What follows on the connection is read all the same. */
static void take_result(struct pg_pipeline *p, struct batch_item *item, const struct pg_sent *st,
			struct pg_reply *reply)
{
	const char *fault = NULL;
	struct answer *a;

	if (reply->res == NULL) {
		a = answer_past(p->c, st->shape, reply->tag, &fault);
	} else {
		if (reply->status == PGRES_TUPLES_OK)
			fault = pg_columns_fault(reply->res, st->n_columns, st->raw);
		if (fault == NULL && st->unknown)
			pg_cache_shape(&p->c->cache, st->id, reply->res);
		a = answer_of(reply->res);
		if (a != NULL && fault == NULL)
			fault = pg_rows_read(reply->res, a->cells);
	}
	item->result = a;
	if (a == NULL) {
		item->failed = true;
		(void)err_oom(&item->err);
		item->err.outcome = p->writes ? ERR_OUTCOME_UNKNOWN : ERR_OUTCOME_NONE;
		return;
	}
	if (fault == NULL)
		return;
	pg_batch_drop(item);
	item->failed = true;
	(void)pg_fail_answer(p->c, fault, p->writes, &item->err);
}

void pg_batch_judge(struct pg_pipeline *p, struct batch_item *item, const struct pg_sent *st, struct pg_reply *reply)
{
	if (reply->status == PGRES_TUPLES_OK || (p->writes && reply->status == PGRES_COMMAND_OK)) {
		take_result(p, item, st, reply);
		return;
	}
	if (st->prepares || pg_said_state_is(&reply->said, "26000"))
		pg_cache_lost(&p->c->cache, st->id);
	pg_batch_judge_failure(p, item, st->raw, reply);
}

/* ---- as a cursor ---- */

/* libpq's columns; names are for a client's own statement alone, and looked through in take_result. */
static void name_columns(struct answer *a, bool raw)
{
	struct cursor_column *columns = (void *)(a->cells + a->rows_left * a->cur.n_columns);

	for (size_t i = 0; i < a->cur.n_columns; i++)
		columns[i] = (struct cursor_column){.name = raw ? str_z(PQfname(a->res, (int)i)) : STR_NONE,
						    .type_oid = PQftype(a->res, (int)i)};
}

struct cursor *pg_batch_cursor(struct batch_item *item)
{
	struct answer *a = item->result;

	if (a->res != NULL)
		name_columns(a, item->stmt->raw);
	a->next = a->cells;
	a->cur.row = a->cells;
	return &a->cur;
}

bool pg_batch_step(struct cursor *base)
{
	struct answer *a = CONTAINER_OF(base, struct answer, cur);

	if (a->rows_left == 0)
		return false;
	a->rows_left--;
	base->row = a->next;
	a->next += base->n_columns;
	return true;
}

void pg_batch_drop(struct batch_item *item)
{
	struct answer *a = item->result;

	if (a != NULL) {
		PQclear(a->res);
		pg_shape_unref(a->shape);
	}
	mem_free(a);
	item->result = NULL;
}
