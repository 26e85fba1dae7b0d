/*
 * Several quick reads in one round trip: libpq's pipeline mode with one sync point behind them (libpq, "Pipeline
 * Mode"). Between two sync points the server runs one implicit transaction: an error aborts what follows it, and that
 * is run again, by itself. Only reads are sent this way, for a write would be undone with its neighbours.
 */
#include "store/driver/postgres_driver.h"

#include <assert.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"

#include "service/base/banned.h"

/* What was sent for an item. */
struct sent {
	bool prepares; /* a Parse of its own travels before it */
	uint64_t id;
};

struct batch_cursor {
	struct cursor base;
	PGresult *res; /* borrowed from the item */
	enum pg_cell *cells;
	struct value *row;
	int next_row, n_rows;
};

/* ---- sending ---- */

/* Queues one item; false: the connection is of no more use. *ret_sent false: the item is to run by itself. */
static bool send_item(struct pg_conn *c, struct batch_item *item, struct sent *st, bool *ret_sent)
{
	char name[PG_NAME_BYTES];
	const struct pg_params *p = &c->params;
	bool fits;

	*ret_sent = false;
	if (!pg_params_set(&c->params, item->stmt, &item->err)) {
		item->failed = true;
		return true;
	}
	struct pg_stmt *hit = pg_cache_find(&c->cache, item->stmt, &fits);
	if (!fits || memchr(item->stmt->sql.p, '\0', item->stmt->sql.len) != NULL) {
		item->again = true;
		return true;
	}
	st->prepares = hit == NULL;
	if (hit != NULL) {
		c->base.cache_hits++;
		st->id = hit->id;
	} else {
		c->base.cache_misses++;
		st->id = ++c->cache.last_id;
		pg_stmt_name(st->id, name);
		if (PQsendPrepare(c->pg, name, c->cache.key.p, (int)p->n, p->types) != 1)
			return false;
		pg_cache_add(&c->cache, st->id); /* known to the batch's other items; dropped again when it fails */
	}
	pg_stmt_name(st->id, name);
	*ret_sent = PQsendQueryPrepared(c->pg, name, (int)p->n, p->values, p->lengths, p->formats, 0) == 1;
	return *ret_sent;
}

/* ---- reading ---- */

/* One statement's result and the NULL after it. */
static enum pg_io read_one(struct pg_conn *c, int64_t deadline, PGresult **ret)
{
	PGresult *end;
	enum pg_io io = pg_next(c, deadline, ret);

	if (io != PG_IO_OK)
		return io;
	if (*ret == NULL)
		return PG_IO_LOST;
	io = pg_next(c, deadline, &end);
	if (io == PG_IO_OK && end == NULL)
		return PG_IO_OK;
	PQclear(*ret);
	PQclear(end);
	return io == PG_IO_OK ? PG_IO_LOST : io;
}

static bool is_stale(const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return state != NULL && (strcmp(state, "26000") == 0 || strcmp(state, "0A000") == 0);
}

/* Takes res. The first failure of the batch is the item's own; what was aborted by it runs again. A cached plan that
 * its table has outgrown is no failure either: all plans of this connection are made anew. */
static void judge(struct pg_conn *c, struct batch_item *item, PGresult *res, bool *stale)
{
	const ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_TUPLES_OK) {
		item->result = res;
		return;
	}
	if (status == PGRES_PIPELINE_ABORTED || (status == PGRES_FATAL_ERROR && is_stale(res))) {
		*stale = *stale || status == PGRES_FATAL_ERROR;
		item->again = true;
	} else {
		item->failed = true;
		(void)pg_fail(c, res, false, true, &item->err);
	}
	PQclear(res);
}

static enum pg_io read_item(struct pg_conn *c, struct batch_item *item, const struct sent *st, int64_t deadline,
			    bool *stale, bool *lost_prepare)
{
	PGresult *res;
	enum pg_io io;

	if (st->prepares) {
		io = read_one(c, deadline, &res);
		if (io != PG_IO_OK)
			return io;
		if (PQresultStatus(res) != PGRES_COMMAND_OK) {
			*lost_prepare = true;
			judge(c, item, res, stale);
			io = read_one(c, deadline, &res); /* of the execution: aborted */
			if (io == PG_IO_OK)
				PQclear(res);
			return io;
		}
		PQclear(res);
	}
	io = read_one(c, deadline, &res);
	if (io == PG_IO_OK)
		judge(c, item, res, stale);
	return io;
}

/* Those without an outcome: the connection failed, or the time was over. Each may try by itself, within its own time.
 */
static void leave_rest(struct batch_item *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (items[i]->result == NULL && !items[i]->failed)
			items[i]->again = true;
}

static void read_all(struct pg_conn *c, struct batch_item *const *items, const struct sent *sent, size_t n,
		     int64_t deadline)
{
	bool stale = false, lost_prepare = false;
	enum pg_io io = PG_IO_OK;
	PGresult *error;
	struct err ignored;

	for (size_t i = 0; i < n && io == PG_IO_OK; i++)
		if (sent[i].id != 0)
			io = read_item(c, items[i], &sent[i], deadline, &stale, &lost_prepare);
	if (io == PG_IO_OK) {
		io = pg_drain(c, deadline, &error);
		PQclear(error);
	}
	if (io != PG_IO_OK) {
		(void)pg_give_up(c, io, true, NULL, &ignored);
		lost_prepare = true;
	}
	if (stale || lost_prepare)
		pg_cache_clear(&c->cache, false);
}

#define BATCH_MAX 64

void pg_run_batch(struct driver_conn *base, struct batch_item *const *items, size_t n, int64_t deadline_ns)
{
	struct pg_conn *c = pg_conn(base);
	struct sent sent[BATCH_MAX] = {0};
	struct err ignored;
	bool ok;

	assert(n <= BATCH_MAX);
	fiber_shield(); /* the items are other requests', too */
	if (!pg_ready(c, deadline_ns, &ignored) || PQenterPipelineMode(c->pg) != 1) {
		leave_rest(items, n);
		fiber_unshield();
		return;
	}
	c->n_syncs = 1;
	ok = true;
	for (size_t i = 0; i < n && ok; i++) {
		bool was_sent;

		ok = send_item(c, items[i], &sent[i], &was_sent);
		if (!was_sent)
			sent[i].id = 0;
	}
	if (ok && PQpipelineSync(c->pg) == 1)
		read_all(c, items, sent, n, deadline_ns);
	else
		base->broken = true;
	leave_rest(items, n);
	fiber_unshield();
}

/* ---- reading a result ---- */

struct cursor *pg_batch_cursor(struct batch_item *item, struct arena *a)
{
	struct batch_cursor *cur = arena_alloc(a, sizeof(*cur));
	PGresult *res = item->result;
	const size_t n = (size_t)PQnfields(res);
	struct cursor_column *columns = arena_array(a, n + 1, sizeof(*columns));

	cur->cells = arena_array(a, n + 1, sizeof(*cur->cells));
	cur->row = arena_array(a, n + 1, sizeof(*cur->row));
	for (size_t i = 0; i < n; i++) {
		columns[i].name = str_z(PQfname(res, (int)i));
		columns[i].type_oid = PQftype(res, (int)i);
		cur->cells[i] = pg_cell_of(columns[i].type_oid);
	}
	cur->res = res;
	cur->n_rows = PQntuples(res);
	cur->base.n_columns = n;
	cur->base.columns = columns;
	cur->base.row = cur->row;
	cur->base.read_only = true;
	return &cur->base;
}

bool pg_batch_step(struct cursor *base)
{
	struct batch_cursor *cur = (struct batch_cursor *)(void *)base;

	if (cur->next_row >= cur->n_rows)
		return false;
	for (size_t i = 0; i < base->n_columns; i++)
		cur->row[i] = pg_cell_value(cur->res, cur->next_row, (int)i, cur->cells[i]);
	cur->next_row++;
	return true;
}

void pg_batch_drop(struct batch_item *item)
{
	PQclear(item->result);
	item->result = NULL;
}
