/*
 * Statements of a migration, many in a flight: a round trip for each would cost more than most of them do. They are one
 * pipeline in the open transaction; when one fails the server runs none of those behind it.
 */
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* In a flight: so few that the server begins early, so many that nobody waits. */
#define FLIGHT_STATEMENTS 64
#define FLIGHT_BYTES (256 * 1024)

static bool send_text(struct pg_conn *c, struct str sql)
{
	strbuf_reset(&c->text);
	strbuf_put(&c->text, sql);
	strbuf_putc(&c->text, '\0');
	return !strbuf_failed(&c->text) && PQsendQueryParams(c->pg, c->text.p, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

/* *ret_sent: how many of them are one flight. */
static bool send_flight(struct pg_conn *c, const struct str *sqls, size_t n, size_t *ret_sent)
{
	size_t bytes = 0, i = 0;

	if (PQenterPipelineMode(c->pg) != 1)
		return false;
	c->n_syncs = 1;
	for (; i < n && i < FLIGHT_STATEMENTS && (i == 0 || bytes + sqls[i].len <= FLIGHT_BYTES); i++) {
		if (!send_text(c, sqls[i]))
			return false;
		bytes += sqls[i].len;
	}
	*ret_sent = i;
	return PQpipelineSync(c->pg) == 1;
}

/* Counts those that have ended well, and keeps the first failure. Rows and what they say are nobody's. */
static enum pg_io read_flight(struct pg_conn *c, int64_t deadline, size_t *ret_done, bool *ret_ok, struct err *err)
{
	for (;;) {
		PGresult *res;
		enum pg_io io = pg_next(c, deadline, &res);

		if (io != PG_IO_OK)
			return io;
		if (res == NULL)
			continue;
		const ExecStatusType status = PQresultStatus(res);
		if (status == PGRES_FATAL_ERROR && *ret_ok)
			*ret_ok = pg_fail(c, res, false, false, err);
		PQclear(res);
		if (PQstatus(c->pg) == CONNECTION_BAD)
			return *ret_ok ? PG_IO_LOST : PG_IO_OK;
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
			return PG_IO_LOST;
		if (status == PGRES_PIPELINE_SYNC) {
			c->n_syncs--;
			return PQexitPipelineMode(c->pg) == 1 ? PG_IO_OK : PG_IO_LOST;
		}
		*ret_done += status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
	}
}

static bool run_flight(struct pg_conn *c, const struct str *sqls, size_t n, int64_t deadline, size_t *ret_done,
		       struct err *err)
{
	size_t n_sent = 0, n_done = 0;
	enum pg_io io = PG_IO_LOST;
	bool ok = true;

	if (send_flight(c, sqls, n, &n_sent))
		io = read_flight(c, deadline, &n_done, &ok, err);
	*ret_done += n_done;
	if (io != PG_IO_OK)
		return pg_give_up(c, io, false, NULL, err);
	if (ok && n_done != n_sent)
		return pg_fail_answer(c, "a number of results that is not that of the statements", false, err);
	if (!c->base.broken)
		pg_count_end(c, ok ? "" : NULL);
	return ok;
}

bool pg_simple_all(struct driver_conn *base, const struct str *sqls, size_t n, int64_t deadline_ns, size_t *ret_done,
		   struct err *err)
{
	struct pg_conn *c = pg_conn(base);

	*ret_done = 0;
	while (*ret_done < n) {
		if (!pg_ready(c, deadline_ns, err) || !pg_open_now(c, deadline_ns, err) ||
		    !run_flight(c, sqls + *ret_done, n - *ret_done, deadline_ns, ret_done, err))
			return false;
	}
	return true;
}
