/* Advisory locks of PostgreSQL, held as long as a transaction: see turns.h. */
#include "handlers/unit/turns.h"

#include <stdlib.h>
#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

int64_t turn_number(struct str name)
{
	uint8_t digest[32];
	int64_t number;
	num_sha256(name, digest);
	memcpy(&number, digest, sizeof(number));
	return number;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

bool turns_take(struct context *c, int64_t *numbers, size_t n, struct err *err)
{
	struct arena *a = &c->req->arena;
	struct value *params = arena_array(a, n + 1, sizeof(*params));
	struct stmt stmt = {.params = params, .access = STMT_WRITE, .param_type = STMT_PARAM_INFER};
	struct strbuf b;
	if (c->route.conn->dialect->id != DIALECT_POSTGRES || n == 0)
		return true;
	qsort(numbers, n, sizeof(*numbers), by_value);
	strbuf_init(&b, 0);
	strbuf_puts(&b, "SELECT pg_catalog.pg_advisory_xact_lock(k) FROM (VALUES ");
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && numbers[i] == numbers[i - 1])
			continue;
		params[stmt.n_params++] = value_int(numbers[i]);
		strbuf_printf(&b, "%s($%zu::bigint)", i > 0 ? ", " : "", stmt.n_params);
	}
	strbuf_puts(&b, ") AS t(k)");
	stmt.sql = arena_str(a, strbuf_str(&b));
	stmt.cache = stmt.n_params == 1;
	strbuf_done(&b);
	return context_run(c, &stmt, NULL, NULL, err);
}
