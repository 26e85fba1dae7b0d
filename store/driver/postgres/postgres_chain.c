/* Which transaction is open: see postgres_driver.h. */
#include <stdio.h>
#include <string.h>

#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* now() of the open transaction as text; "" in an aborted one, which answers nothing. */
static bool ask(struct pg_conn *c, int64_t deadline_ns, char *ret, size_t size, struct err *err)
{
	PGresult *res = NULL, *error = NULL;
	enum pg_io io;

	ret[0] = '\0';
	if (!pg_open_now(c, deadline_ns, err))
		return false;
	if (PQtransactionStatus(c->pg) != PQTRANS_INTRANS)
		return true;
	if (PQsendQuery(c->pg, "SELECT pg_catalog.now()") != 1)
		return pg_give_up(c, PG_IO_LOST, false, NULL, err);
	io = pg_next(c, deadline_ns, &res);
	if (io == PG_IO_OK && res != NULL && PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 &&
	    PQnfields(res) == 1)
		(void)snprintf(ret, size, "%s", PQgetvalue(res, 0, 0));
	PQclear(res);
	if (io == PG_IO_OK)
		io = pg_drain(c, deadline_ns, &error);
	if (io != PG_IO_OK) {
		PQclear(error);
		return pg_give_up(c, io, false, NULL, err);
	}
	if (error != NULL)
		(void)pg_fail(c, error, false, false, err);
	PQclear(error);
	return error == NULL;
}

bool pg_chain_before(struct pg_conn *c, int64_t deadline_ns, struct err *err)
{
	return ask(c, deadline_ns, c->tx_began, sizeof(c->tx_began), err);
}

bool pg_chain_after(struct pg_conn *c, int64_t deadline_ns, struct err *err)
{
	char now[sizeof(c->tx_began)];

	if (PQtransactionStatus(c->pg) != PQTRANS_INTRANS)
		return true; /* counted by what it is now */
	if (c->tx_began[0] == '\0')
		return true; /* it was aborted before, and answered nothing: there is nothing to compare with */
	if (!ask(c, deadline_ns, now, sizeof(now), err))
		return false;
	if (strcmp(now, c->tx_began) != 0)
		c->base.n_rollbacks++;
	return true;
}
