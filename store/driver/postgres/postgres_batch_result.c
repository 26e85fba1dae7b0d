/* What has come for an item of a pipeline, as a cursor that belongs to no connection: see postgres_batch.c. */
#include "service/base/mem.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

struct batch_cursor {
	struct cursor base;
	struct value *next; /* borrowed from the item */
	size_t rows_left;
};

struct cursor *pg_batch_cursor(struct batch_item *item, struct arena *a)
{
	struct batch_cursor *cur = arena_alloc(a, sizeof(*cur));
	struct pg_batch_answer *answer = item->result;
	const size_t n = (size_t)PQnfields(answer->res);
	struct cursor_column *columns = arena_array(a, n + 1, sizeof(*columns));

	for (size_t i = 0; i < n; i++) {
		columns[i].name = str_z(PQfname(answer->res, (int)i));
		columns[i].type_oid = PQftype(answer->res, (int)i);
	}
	cur->next = answer->cells;
	cur->rows_left = (size_t)PQntuples(answer->res);
	cur->base.n_columns = n;
	cur->base.columns = columns;
	cur->base.row = cur->next;
	cur->base.affected = pg_count_affected(PQcmdStatus(answer->res));
	return &cur->base;
}

bool pg_batch_step(struct cursor *base)
{
	struct batch_cursor *cur = (struct batch_cursor *)(void *)base;

	if (cur->rows_left == 0)
		return false;
	cur->rows_left--;
	base->row = cur->next;
	cur->next += base->n_columns;
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
