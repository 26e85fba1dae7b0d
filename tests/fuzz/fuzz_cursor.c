/* Page cursors: whatever a client sends as one is refused or leads to a query that lowers. An input that begins with
 * 'r' is the cursor's text. Any other is order and values of a cursor that belongs to its query: three bytes (two
 * columns, their directions and nulls) and a JSON array. */
#include "handlers/answer/cursor_seal.h"
#include "handlers/answer/page.h"
#include "tests/fuzz/fuzz_common.h"

#define N_ORDER 2

static struct query *new_query(struct arena *a, const struct dialect *d, const uint8_t *how)
{
	const struct model *m = schema_model(fuzz_schema(), STR("User"));
	struct query *q = query_new(a, fuzz_schema(), d, m);

	q->has_limit = true;
	q->limit = 10;
	if (how == NULL)
		return q;
	q->order = arena_array(a, N_ORDER, sizeof(*q->order));
	q->n_order = how[0] % m->n_columns == how[1] % m->n_columns ? 1 : N_ORDER;
	for (size_t i = 0; i < q->n_order; i++)
		q->order[i] = (struct query_order){.column = &m->columns[how[i] % m->n_columns],
						   .descending = (how[2] >> i & 1) != 0,
						   .nulls = (enum order_nulls)((how[2] >> (2 + 2 * i) & 3) % 3)};
	return q;
}

/* The binding that the query's own cursors carry, with other values. */
static struct str make_cursor(struct arena *a, struct query *q, bool backward, struct str values)
{
	const struct result_shape nothing = {0};
	struct page page;
	struct err err;
	struct strbuf b;

	if (!page_prepare(a, q, STR_NONE, "", &page, &err) || page_cursor(&page, &nothing, NULL, false).p == NULL)
		abort();
	strbuf_init(&b, 0);
	strbuf_printf(&b, "{\"b\":\"%s\",\"d\":\"%s\",\"v\":", page.binding, backward ? "p" : "n");
	strbuf_put(&b, values);
	strbuf_putc(&b, '}');
	const struct str cursor = cursor_seal(a, strbuf_str(&b), STR_NONE);
	strbuf_done(&b);
	return cursor;
}

static void follow(struct arena *a, struct query *q, struct str cursor)
{
	struct err err;
	struct page page;
	struct stmt s;
	struct result_shape shape;

	q->cursor = cursor;
	if (page_prepare(a, q, STR_NONE, "", &page, &err))
		(void)!query_lower_select(a, page.run, &s, &shape, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;

	if (size < 4)
		return 0;
	arena_init(&a);
	for (int i = 0; i < 2; i++) {
		const struct dialect *d = i == 0 ? &dialect_sqlite : &dialect_postgres;
		const uint8_t *how = data[0] == 'r' ? NULL : data;
		struct str text = fuzz_text(data + (how != NULL ? 3 : 1), size - (how != NULL ? 3 : 1));

		if (how != NULL)
			text = make_cursor(&a, new_query(&a, d, how), (how[2] & 64) != 0, text);
		follow(&a, new_query(&a, d, how), arena_str(&a, text));
	}
	arena_done(&a);
	return 0;
}
