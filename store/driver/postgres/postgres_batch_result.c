/* What has come for an item of a pipeline, as a cursor that belongs to no connection: see postgres_batch.c. */
#include "service/base/mem.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

struct cursor *pg_batch_cursor(struct batch_item *item)
{
	struct pg_batch_answer *a = item->result;
	const size_t n = (size_t)PQnfields(a->res);
	const bool raw = item->stmt->raw;

	/* names are for a client's own statement alone, and looked through there (postgres_batch.c) */
	for (size_t i = 0; i < n; i++)
		a->columns[i] = (struct cursor_column){.name = raw ? str_z(PQfname(a->res, (int)i)) : STR_NONE,
						       .type_oid = PQftype(a->res, (int)i)};
	a->next = a->cells;
	a->rows_left = (size_t)PQntuples(a->res);
	a->cur = (struct cursor){.n_columns = n,
				 .columns = a->columns,
				 .row = a->cells,
				 .affected = pg_count_affected(PQcmdStatus(a->res))};
	return &a->cur;
}

bool pg_batch_step(struct cursor *base)
{
	struct pg_batch_answer *a = CONTAINER_OF(base, struct pg_batch_answer, cur);

	if (a->rows_left == 0)
		return false;
	a->rows_left--;
	base->row = a->next;
	a->next += base->n_columns;
	return true;
}

void pg_batch_drop(struct batch_item *item)
{
	struct pg_batch_answer *a = item->result;

	if (a != NULL)
		PQclear(a->res);
	mem_free(a);
	item->result = NULL;
}
