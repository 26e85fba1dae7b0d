/* The mark of a transaction that is about to commit, out of the answer to PG_MARK_SQL; postgres_fate.c asks by it. */
#include "service/base/num.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

void pg_mark_set(const struct pg_conn *c, struct str xid, struct str waits, struct commit_mark *ret)
{
	int64_t n = 0;

	*ret = (struct commit_mark){.cluster = c->cluster, .timeline = c->timeline};
	ret->is_set = xid.p != NULL && num_parse_int(xid, &n) && n >= 0;
	ret->xid = ret->is_set ? (uint64_t)n : 0;
	ret->asks = waits.p != NULL;
	ret->waits = ret->asks && str_eq_z(waits, "waits");
}

static struct str cell(const PGresult *res, int column)
{
	return PQgetisnull(res, 0, column) ? STR_NONE : str_z(PQgetvalue(res, 0, column));
}

void pg_mark_read(const struct pg_conn *c, const PGresult *res, struct commit_mark *ret)
{
	if (PQntuples(res) == 1 && PQnfields(res) == 2 && PQfformat(res, 0) == 0 && PQfformat(res, 1) == 0)
		pg_mark_set(c, cell(res, 0), cell(res, 1), ret);
}
