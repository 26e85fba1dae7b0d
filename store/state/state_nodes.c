/* Nodes of the state: their names, and their heartbeat. */
#include "store/state/state_nodes.h"

#include "service/base/num.h"
#include "store/state/state_sql.h"

#include "service/base/banned.h"

#define NOW "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
#define COLUMNS \
	"name, instance, url, version, boot, pid, started_us, seen_us, " NOW " - seen_us, beats, draining, sessions, " \
	"transactions"
#define KINDS "tttttiiiiiiii"

static struct state_node node_of(const struct str cells[STATE_CELLS])
{
	return (struct state_node){.name = cells[0],
				   .instance = cells[1],
				   .url = cells[2],
				   .version = cells[3],
				   .boot = cells[4],
				   .pid = state_cell_int(cells[5]),
				   .started_us = state_cell_int(cells[6]),
				   .seen_us = state_cell_int(cells[7]),
				   .age_us = state_cell_int(cells[8]),
				   .beats = state_cell_int(cells[9]),
				   .draining = state_cell_int(cells[10]),
				   .sessions = state_cell_int(cells[11]),
				   .transactions = state_cell_int(cells[12])};
}

/* The row is locked, or there is none; two that make one at once: one of them fails, and looks again. */
static bool claim(struct unit *u, const struct state_node *me, bool exists, struct err *err)
{
	const struct value fresh[] = {value_text(me->name),    value_text(me->instance), value_text(me->url),
				      value_text(me->version), value_text(me->boot),     value_int(me->pid)};
	if (!exists)
		return state_run(u,
				 "INSERT INTO ~nodes (name, instance, url, version, boot, pid, started_us, seen_us, "
				 "beats, draining, sessions, transactions) VALUES (?, ?, ?, ?, ?, ?, " NOW ", " NOW
				 ", 0, 0, 0, 0)",
				 fresh, ARRAY_LEN(fresh), NULL, NULL, err);
	const struct value again[] = {value_text(me->instance), value_text(me->url), value_text(me->version),
				      value_text(me->boot),     value_int(me->pid),  value_text(me->name)};
	return state_run(u,
			 "UPDATE ~nodes SET instance = ?, url = ?, version = ?, boot = ?, pid = ?, started_us = " NOW
			 ", seen_us = " NOW ", beats = 0, draining = 0, sessions = 0, transactions = 0 WHERE name = ?",
			 again, ARRAY_LEN(again), NULL, NULL, err);
}

static bool try_claim(struct unit *u, const struct state_node *me, bool (*dead)(const struct state_node *rival),
		      bool *ret_claimed, struct state_node *ret_rival, struct err *err)
{
	const struct value name = value_text(me->name);
	struct rows r = {.kinds = KINDS};
	if (!state_run(u, "SELECT " COLUMNS " FROM ~nodes WHERE name = ? FOR UPDATE", &name, 1, &r, NULL, err))
		return false;
	if (r.n > 0)
		*ret_rival = node_of(r.cells[0]);
	*ret_claimed = r.n == 0 || ret_rival->age_us >= STATE_SILENT_US || dead(ret_rival);
	return !*ret_claimed || claim(u, me, r.n > 0, err);
}

bool state_node_claim(struct state *s, struct arena *a, const struct state_node *me,
		      bool (*dead)(const struct state_node *rival), bool *ret_claimed, struct state_node *ret_rival,
		      struct err *err)
{
	struct unit u;
	state_unit_begin(&u, s, a, true);
	const bool ok = try_claim(&u, me, dead, ret_claimed, ret_rival, err);
	return state_unit_end(&u, ok, err);
}

bool state_node_beat(struct state *s, const struct state_node *me, bool *ret_mine, int64_t *ret_version,
		     struct err *err)
{
	const struct value params[] = {value_int(me->draining), value_int(me->sessions), value_int(me->transactions),
				       value_text(me->url),     value_text(me->name),    value_text(me->instance)};
	struct arena a;
	struct unit u;
	struct rows r = {.kinds = "T"};
	arena_init(&a);
	state_unit_begin_within(&u, s, &a, false, STATE_DEAD_US / 1e6);
	bool ok = state_run(&u,
			    "UPDATE ~nodes SET seen_us = " NOW ", beats = beats + 1, draining = ?, sessions = ?, "
			    "transactions = ?, url = ? WHERE name = ? AND instance = ? RETURNING (SELECT value FROM "
			    "~meta WHERE name = 'version')",
			    params, ARRAY_LEN(params), &r, NULL, err);
	ok = state_unit_end(&u, ok, err);
	if (ok) {
		*ret_mine = r.n > 0;
		*ret_version = r.n > 0 ? state_cell_int(r.cells[0][0]) : 0;
	}
	arena_done(&a);
	return ok;
}

bool state_node_leave(struct state *s, const struct state_node *me, struct err *err)
{
	const struct value params[] = {value_text(me->name), value_text(me->instance)};
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, false);
	bool ok = state_run(&u, "DELETE FROM ~nodes WHERE name = ? AND instance = ?", params, 2, NULL, NULL, err);
	ok = state_unit_end(&u, ok, err);
	arena_done(&a);
	return ok;
}

bool state_node_list(struct state *s, struct arena *a, struct state_node **ret, size_t *ret_n, struct err *err)
{
	struct unit u;
	struct rows r = {.kinds = KINDS};
	state_unit_begin(&u, s, a, false);
	bool ok = state_run(&u, "SELECT " COLUMNS " FROM ~nodes ORDER BY name", NULL, 0, &r, NULL, err);
	ok = state_unit_end(&u, ok, err);
	*ret_n = ok ? r.n : 0;
	*ret = arena_array(a, *ret_n + 1, sizeof(**ret));
	for (size_t i = 0; i < *ret_n; i++)
		(*ret)[i] = node_of(r.cells[i]);
	return ok;
}

bool state_node_find(struct state *s, struct arena *a, struct str name, bool *ret_found, struct state_node *ret,
		     struct err *err)
{
	const struct value param = value_text(name);
	struct unit u;
	struct rows r = {.kinds = KINDS};
	state_unit_begin(&u, s, a, false);
	bool ok = state_run(&u, "SELECT " COLUMNS " FROM ~nodes WHERE name = ?", &param, 1, &r, NULL, err);
	ok = state_unit_end(&u, ok, err);
	*ret_found = ok && r.n > 0;
	if (*ret_found)
		*ret = node_of(r.cells[0]);
	return ok;
}
