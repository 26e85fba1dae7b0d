/* Advisory locks of PostgreSQL, held as long as a transaction: see turns.h. */
#include "handlers/unit/turns.h"

#include <stdlib.h>
#include <string.h>

#include "service/base/num.h"
#include "store/exec/coordination.h"

#include "service/base/banned.h"

#define LEASES 1024 /* rows of the table of leases that turns use */

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

/* The same by rows that stay locked as long: few of them, so that the table stays small. */
static bool leases_take(struct context *c, int64_t *numbers, size_t n, struct err *err)
{
	struct arena *a = &c->req->arena;
	struct value *params = arena_array(a, n, sizeof(*params));
	struct stmt stmt = {.params = params, .access = STMT_WRITE, .param_type = STMT_PARAM_INFER, .own = true};
	struct strbuf b;
	for (size_t i = 0; i < n; i++)
		numbers[i] = (int64_t)((uint64_t)numbers[i] % LEASES);
	qsort(numbers, n, sizeof(*numbers), by_value);
	strbuf_init(&b, 0);
	strbuf_puts(&b, "INSERT INTO " LEASE_TABLE " (name, taken) VALUES ");
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && numbers[i] == numbers[i - 1])
			continue;
		params[stmt.n_params++] = value_text(arena_printf(a, "turn %04lld", (long long)numbers[i]));
		strbuf_printf(&b, "%s($%zu, 1)", i > 0 ? ", " : "", stmt.n_params);
	}
	strbuf_puts(&b, " ON CONFLICT (name) DO UPDATE SET taken = " LEASE_TABLE ".taken + 1");
	stmt.sql = arena_str(a, strbuf_str(&b));
	stmt.cache = stmt.n_params == 1;
	strbuf_done(&b);
	return context_run(c, &stmt, NULL, NULL, err);
}

bool turns_take(struct context *c, int64_t *numbers, size_t n, struct err *err)
{
	struct arena *a = &c->req->arena;
	struct value *params = arena_array(a, n + 1, sizeof(*params));
	struct stmt stmt = {.params = params, .access = STMT_WRITE, .param_type = STMT_PARAM_INFER};
	struct strbuf b;
	if (c->route.conn->dialect->id != DIALECT_POSTGRES || n == 0)
		return true;
	if (coordination_word(c->route.conn)[0] == 'l')
		return leases_take(c, numbers, n, err);
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
