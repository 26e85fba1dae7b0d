/* Claims of the state: made, taken over from the dead, given up. Only where servers share it. */
#include "store/state/state_claims.h"

#include "store/state/state_sql.h"

#include "service/base/banned.h"

#define NOW "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"

/* One that lives is seen before anything is locked: its row is, while its work is written. */
static bool take(struct unit *u, const struct state_claim *c, int64_t for_us, int64_t dead_us, bool *ret_mine,
		 bool *ret_other_body, struct err *err)
{
	const struct value dead = value_int(dead_us), key = value_text(c->key);
	const struct value params[] = {key,
				       value_text(c->body),
				       value_text(c->node),
				       value_text(c->instance),
				       value_int(for_us),
				       key,
				       value_text(c->instance),
				       dead,
				       dead};
	struct rows r = {.kinds = "t"};
	int64_t affected;
	if (!state_run(
		    u,
		    "INSERT INTO ~claims AS c (key, body, node, instance, till_us) SELECT CAST(? AS varchar), CAST(? "
		    "AS varchar), CAST(? AS varchar), CAST(? AS varchar), " NOW " + CAST(? AS bigint) WHERE NOT "
		    "EXISTS (SELECT 1 FROM ~claims o JOIN ~nodes n ON n.name = o.node AND n.instance = o.instance "
		    "WHERE o.key = ? AND o.instance <> ? AND o.till_us >= " NOW " AND n.seen_us >= " NOW
		    " - CAST(? AS bigint)) ON CONFLICT (key) DO UPDATE SET body = excluded.body, node = "
		    "excluded.node, instance = excluded.instance, till_us = excluded.till_us WHERE c.instance = "
		    "excluded.instance OR c.till_us < " NOW " OR NOT EXISTS (SELECT 1 FROM ~nodes n WHERE n.name = "
		    "c.node AND n.instance = c.instance AND n.seen_us >= " NOW " - CAST(? AS bigint))",
		    params, ARRAY_LEN(params), NULL, &affected, err))
		return false;
	*ret_mine = affected == 1;
	if (*ret_mine)
		return true;
	if (!state_run(u, "SELECT body FROM ~claims WHERE key = ?", &key, 1, &r, NULL, err))
		return false;
	*ret_other_body = r.n > 0 && !str_eq(r.cells[0][0], c->body);
	return true;
}

bool state_claim_take(struct state *s, const struct state_claim *c, int64_t for_us, int64_t dead_us, bool *ret_mine,
		      bool *ret_other_body, struct err *err)
{
	struct arena a;
	struct unit u;
	*ret_mine = *ret_other_body = false;
	arena_init(&a);
	state_unit_begin(&u, s, &a, false);
	bool ok = take(&u, c, for_us, dead_us, ret_mine, ret_other_body, err);
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	return ok;
}

bool state_claim_drop(struct unit *u, const struct state_claim *c, struct err *err)
{
	const struct value params[] = {value_text(c->key), value_text(c->instance)};
	return state_run(u, "DELETE FROM ~claims WHERE key = ? AND instance = ?", params, ARRAY_LEN(params), NULL, NULL,
			 err);
}

bool state_claim_give(struct state *s, const struct state_claim *c, struct err *err)
{
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, false);
	bool ok = state_claim_drop(&u, c, err);
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	return ok;
}

bool state_claim_hold(struct unit *u, const struct state_claim *c, struct err *err)
{
	struct rows r = {.kinds = "t"};
	if (c == NULL)
		return true;
	const struct value params[] = {value_text(c->key), value_text(c->instance)};
	if (!state_run(u, "SELECT body FROM ~claims WHERE key = ? AND instance = ? FOR UPDATE", params,
		       ARRAY_LEN(params), &r, NULL, err))
		return false;
	if (r.n > 0)
		return true;
	(void)err_set(
		err, ERR_DATABASE_UNAVAILABLE,
		"this server was silent for so long that another one has gone on with the request; send it again");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}
