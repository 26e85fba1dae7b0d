/* Sessions of the state: who serves them, and what another needs to go on with them. */
#include "service/base/num.h"
#include "store/state/state_claims.h"
#include "store/state/state_nodes.h"
#include "store/state/state_sql.h"

#include "service/base/banned.h"

#define NOW "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
#define CHANGES_MAX 1000 /* rows of one statement */

bool state_session_put(struct state *s, const struct state_session *x, const struct state_claim *claim, struct err *err)
{
	const struct value params[] = {value_text(x->id),     value_text(x->node),       value_text(x->instance),
				       value_text(x->owner),  value_text(x->connection), value_int(x->idle_us),
				       value_int(x->life_us), value_text(x->settings)};
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, claim != NULL);
	bool ok = state_claim_hold(&u, claim, err) &&
		  state_run(&u,
			    "INSERT INTO ~sessions (id, node, instance, phase, owner, connection, created_us, used_us, "
			    "idle_us, life_us, ended_us, why, origin, undone, settings) VALUES (?, ?, ?, 0, ?, ?, " NOW
			    ", " NOW ", ?, ?, 0, 0, '', '', ?)",
			    params, ARRAY_LEN(params), NULL, NULL, err);
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	return ok;
}

static bool session_of(const struct str c[STATE_CELLS], struct str id, struct state_session *ret, struct err *err)
{
	const int64_t phase = state_cell_int(c[2]);
	if (phase != STATE_SESSION_OPEN && phase != STATE_SESSION_HANDED && phase != STATE_SESSION_ENDED)
		return state_unlikely(err);
	*ret = (struct state_session){.id = id,
				      .node = c[0],
				      .instance = c[1],
				      .phase = (enum state_session_phase)phase,
				      .owner = c[3],
				      .connection = c[4],
				      .created_us = state_cell_int(c[5]),
				      .used_us = state_cell_int(c[6]),
				      .idle_us = state_cell_int(c[7]),
				      .life_us = state_cell_int(c[8]),
				      .ended_us = state_cell_int(c[9]),
				      .why = state_cell_int(c[10]),
				      .origin = c[11],
				      .undone = c[12],
				      .now_us = state_cell_int(c[13]),
				      .node_known = c[14].p != NULL,
				      .node_age_us = state_cell_int(c[14]),
				      .node_url = c[15],
				      .node_draining = state_cell_int(c[16]) != 0,
				      .settings = c[17]};
	return true;
}

bool state_session_get(struct state *s, struct arena *a, struct str id, bool *ret_found, struct state_session *ret,
		       struct err *err)
{
	const struct value param = value_text(id);
	struct unit u;
	struct rows r = {.kinds = "ttittiiiiiittiITIt"};
	state_unit_begin(&u, s, a, false);
	bool ok = state_run(&u,
			    "SELECT s.node, s.instance, s.phase, s.owner, s.connection, s.created_us, s.used_us, "
			    "s.idle_us, s.life_us, s.ended_us, s.why, s.origin, s.undone, " NOW ", " NOW
			    " - n.seen_us, n.url, n.draining, s.settings FROM ~sessions s LEFT JOIN ~nodes n ON n.name "
			    "= s.node AND n.instance "
			    "= s.instance WHERE s.id = ?",
			    &param, 1, &r, NULL, err);
	ok = state_unit_end(&u, ok, err);
	*ret_found = ok && r.n > 0;
	return ok && (!*ret_found || session_of(r.cells[0], id, ret, err));
}

bool state_session_settings(struct state *s, const struct state_node *me, struct str id, struct str settings,
			    struct err *err)
{
	const struct value params[] = {value_text(settings), value_text(id), value_text(me->name),
				       value_text(me->instance)};
	int64_t affected = 0;
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, false);
	bool ok = state_run(
		&u, "UPDATE ~sessions SET settings = ? WHERE id = ? AND node = ? AND instance = ? AND phase = 0",
		params, ARRAY_LEN(params), NULL, &affected, err);
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	if (!ok || affected == 1)
		return ok;
	(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "another server goes on with the session; send the request again");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* The node's row is locked until the end: its next beat comes after the adoption, and then it looks what it has left.
 */
static bool is_dead(struct unit *u, const struct state_session *was, bool *ret, struct err *err)
{
	const struct value params[] = {value_text(was->node), value_text(was->instance)};
	struct rows r = {.kinds = "i"};
	if (!state_run(u, "SELECT " NOW " - seen_us FROM ~nodes WHERE name = ? AND instance = ? FOR UPDATE", params, 2,
		       &r, NULL, err))
		return false;
	*ret = r.n == 0 || state_cell_int(r.cells[0][0]) > STATE_DEAD_US;
	return true;
}

static bool adopt(struct unit *u, const struct state_session *was, const struct state_node *me, bool *ret_won,
		  struct err *err)
{
	const struct value params[] = {value_text(me->name), value_text(me->instance), value_text(was->node),
				       value_text(was->id),  value_text(was->node),    value_text(was->instance),
				       value_int(was->phase)};
	int64_t affected;
	bool dead = true;
	*ret_won = false;
	if (was->phase == STATE_SESSION_OPEN && !is_dead(u, was, &dead, err))
		return false;
	if (!dead)
		return true;
	if (!state_run(u,
		       "UPDATE ~sessions SET node = ?, instance = ?, phase = 0, origin = ?, used_us = " NOW
		       " WHERE id = ? AND node = ? AND instance = ? AND phase = ?",
		       params, ARRAY_LEN(params), NULL, &affected, err))
		return false;
	*ret_won = affected == 1;
	return true;
}

bool state_session_adopt(struct state *s, const struct state_session *was, const struct state_node *me, bool *ret_won,
			 struct err *err)
{
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, true);
	bool ok = adopt(&u, was, me, ret_won, err);
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	return ok;
}

/* ---- many at once ---- */

/* UPDATE ... FROM (VALUES ...): each row's hash, a number, another, a text. */
static bool change(struct state *s, const struct state_node *me, const char *set,
		   const struct state_session_change *list, size_t n, struct err *err)
{
	struct strbuf b;
	struct arena a;
	struct unit u;
	arena_init(&a);
	struct value *params = arena_array(&a, 4 * n + 2, sizeof(*params));
	size_t p = 0;
	strbuf_init(&b, 0);
	strbuf_printf(&b, "UPDATE ~sessions AS s SET %s FROM (VALUES ", set);
	for (size_t i = 0; i < n; i++) {
		strbuf_puts(&b, i > 0 ? ", " : "");
		strbuf_puts(&b, "(CAST(? AS varchar), CAST(? AS bigint), CAST(? AS bigint), CAST(? AS text))");
		params[p++] = value_text(str_z(list[i].id));
		params[p++] = value_int(list[i].ago_us);
		params[p++] = value_int(list[i].why);
		params[p++] = value_text(list[i].undone.p != NULL ? list[i].undone : STR(""));
	}
	strbuf_puts(&b, ") AS v(id, ago, why, undone) WHERE s.id = v.id AND s.node = ? AND s.instance = ? AND s.phase "
			"<> 2");
	params[p++] = value_text(me->name);
	params[p++] = value_text(me->instance);
	state_unit_begin(&u, s, &a, false);
	bool ok = state_run(&u, arena_strz(&a, strbuf_str(&b)), params, p, NULL, NULL, err);
	ok = state_unit_end(&u, ok, err);
	strbuf_done(&b);
	arena_done(&a);
	return ok;
}

static bool change_all(struct state *s, const struct state_node *me, const char *set,
		       const struct state_session_change *list, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i += CHANGES_MAX)
		if (!change(s, me, set, list + i, n - i < CHANGES_MAX ? n - i : CHANGES_MAX, err))
			return false;
	return true;
}

bool state_sessions_used(struct state *s, const struct state_node *me, const struct state_session_change *list,
			 size_t n, struct err *err)
{
	return change_all(s, me, "used_us = " NOW " - v.ago", list, n, err);
}

bool state_sessions_ended(struct state *s, const struct state_node *me, const struct state_session_change *list,
			  size_t n, struct err *err)
{
	return change_all(s, me, "phase = 2, ended_us = " NOW " - v.ago, why = v.why", list, n, err);
}

bool state_sessions_hand(struct state *s, const struct state_node *me, const struct state_session_change *list,
			 size_t n, struct err *err)
{
	return change_all(s, me, "phase = 1, used_us = " NOW " - v.ago, undone = v.undone", list, n, err);
}

bool state_sessions_mine(struct state *s, struct arena *a, const struct state_node *me, struct str **ret, size_t *ret_n,
			 struct err *err)
{
	const struct value params[] = {value_text(me->name), value_text(me->instance)};
	struct unit u;
	struct rows r = {.kinds = "t"};
	state_unit_begin(&u, s, a, false);
	bool ok = state_run(&u, "SELECT id FROM ~sessions WHERE node = ? AND instance = ? AND phase = 0", params, 2, &r,
			    NULL, err);
	ok = state_unit_end(&u, ok, err);
	*ret_n = ok ? r.n : 0;
	*ret = arena_array(a, *ret_n + 1, sizeof(**ret));
	for (size_t i = 0; i < *ret_n; i++)
		(*ret)[i] = r.cells[i][0];
	return ok;
}

bool state_sessions_forget(struct state *s, int64_t keep_us, struct err *err)
{
	const struct value keep = value_int(keep_us);
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, false);
	bool ok = state_run(&u,
			    "DELETE FROM ~sessions WHERE CASE WHEN phase = 2 THEN ended_us ELSE LEAST(created_us + "
			    "life_us, used_us + idle_us) END < " NOW " - CAST(? AS bigint)",
			    &keep, 1, NULL, NULL, err) &&
		  state_run(&u, "DELETE FROM ~nodes WHERE seen_us < " NOW " - 86400000000", NULL, 0, NULL, NULL, err) &&
		  state_run(&u, "DELETE FROM ~claims WHERE till_us < " NOW, NULL, 0, NULL, NULL, err);
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	return ok;
}
