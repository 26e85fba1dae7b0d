/* See apply.h. The order of things is what makes a migration safe: lease, lock, introspect, plan, run, check, commit.
 */
#include "store/migrate/apply.h"

#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/wait.h"
#include "store/migrate/locks.h"
#include "store/migrate/plan_rename.h"
#include "store/migrate/run.h"
#include "store/session/session.h"

#include "service/base/banned.h"

/* Others are waited for that long in all; LIMIT_MIGRATE_STEP_NS at a time. */
static double wait_s = LIMIT_MIGRATE_WAIT_S;

void migrate_configure(double seconds)
{
	wait_s = seconds;
}

static int64_t wait_ns(void)
{
	return (int64_t)(wait_s * (double)CLOCK_NS_PER_S);
}

/* ---- locks ------------------------------------------------------------------------------------------- */

static bool busy(struct run *r, struct str table, struct err *err)
{
	const struct err cause = *err;

	r->stepped_back = true;
	(void)err_set(err, ERR_DATABASE_BUSY,
		      "another transaction held a lock on table \"%.*s\", and a migration waits %.15g s for others in "
		      "all; nothing was changed: end it or try again",
		      STR_FMT(table), wait_s);
	(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", cause.sqlstate);
	return false;
}

static int64_t step_ns(const struct run *r)
{
	return r->wait_left_ns < LIMIT_MIGRATE_STEP_NS ? r->wait_left_ns : LIMIT_MIGRATE_STEP_NS;
}

static bool lock_table(struct run *r, const struct table_lock *l, struct err *err)
{
	const struct driver *driver = r->c->driver;
	const int64_t began = clock_mono_ns();
	struct strbuf b;
	bool ok;

	strbuf_init(&b, 0);
	table_lock_sql(l, &b);
	ok = driver->migrate_patience(r->c, began + step_ns(r), run_look_until(r), err) &&
	     driver->simple(r->c, strbuf_str(&b), run_look_until(r), err);
	strbuf_done(&b);
	r->wait_left_ns -= clock_mono_ns() - began;
	return ok || (err->code == ERR_DATABASE_BUSY ? busy(r, l->table, err) : false);
}

/* Before anything that takes time of its own: what passes here is waiting, and there is one measure of it for all. */
static bool lock_tables(struct run *r, bool reading, struct err *err)
{
	struct table_locks locks;

	if (r->c->driver->migrate_patience == NULL)
		return true;
	table_locks_of(r->a, r->s, &r->live, &r->ret->plan, reading, &locks);
	for (size_t i = 0; i < locks.n; i++)
		if (!lock_table(r, &locks.list[i], err))
			return false;
	return r->c->driver->migrate_patience(r->c, clock_mono_ns() + step_ns(r), run_look_until(r), err);
}

/* ---- planning ---------------------------------------------------------------------------------------- */

static bool plan(struct run *r, struct err *err)
{
	return plan_migration(r->a, r->conn->dialect, r->s, &r->live, &r->q->options, &r->ret->plan, err);
}

/* Plans twice when there is something to do: rows are counted only then, and only in the tables that are touched. */
static bool plan_counted(struct run *r, struct err *err)
{
	struct migration_plan *p = &r->ret->plan;
	bool ok = plan(r, err), asked = false;

	if (!ok && err->code != ERR_MIGRATION_REFUSED)
		return false;
	if (!run_defaults(r, &asked, err))
		return false;
	if (asked)
		ok = plan(r, err);
	if (!ok && err->code != ERR_MIGRATION_REFUSED)
		return false;
	if (ok && p->n_changes == 0 && p->n_probes == 0)
		return true;
	/* a plan that will run locks its tables now, so that the count still holds then */
	if (!lock_tables(r, !ok || r->q->dry_run, err))
		return false;
	if (!run_look(r, !ok, err) || !plan(r, err))
		return false;
	return ok || r->q->dry_run || lock_tables(r, false, err);
}

/* What was warned about is told with a failure, too, whichever it is. */
static void append_warnings(struct run *r, struct err *err)
{
	const struct migration_plan *p = &r->ret->plan;
	const size_t n = err->n_faults + p->notes.n_warnings;
	struct err_fault *faults;

	if (p->notes.n_warnings == 0)
		return;
	faults = arena_array(r->a, n, sizeof(*faults));
	if (err->n_faults > 0)
		memcpy(faults, err->faults, err->n_faults * sizeof(*faults));
	for (size_t i = 0; i < p->notes.n_warnings; i++)
		faults[err->n_faults + i] = (struct err_fault){
			.pointer = "",
			.detail = arena_printf(r->a, "warning: %.*s", STR_FMT(p->notes.warnings[i].detail)).p,
		};
	err->faults = faults;
	err->n_faults = n;
}

/* The schemas that the models name, besides the current one. */
static struct introspect_scope scope_of(struct run *r)
{
	struct str *names = arena_array(r->a, r->s->n_models + 1, sizeof(*names));
	struct introspect_scope scope = {.schemas = names};

	for (size_t i = 0; i < r->s->n_models; i++) {
		const struct str name = r->s->models[i].schema_name;
		bool listed = name.p == NULL;

		for (size_t k = 0; k < scope.n_schemas && !listed; k++)
			listed = str_eq(names[k], name);
		if (!listed)
			names[scope.n_schemas++] = name;
	}
	return scope;
}

/* Tables of ferrod's own (store/once) are nobody's model and no drift. */
static void leave_out_own(struct live_schema *live)
{
	size_t n = 0;

	for (size_t i = 0; i < live->n_tables; i++)
		if (!str_starts(live->tables[i].name, STR("_ferrod_")))
			live->tables[n++] = live->tables[i];
	live->n_tables = n;
}

static bool look_around(struct run *r, struct err *err)
{
	const struct introspect_scope scope = scope_of(r);

	r->live = (struct live_schema){0};
	if (!r->c->driver->introspect(r->c, &scope, r->a, run_look_until(r), &r->live, err))
		return false;
	leave_out_own(&r->live);
	return true;
}

static bool refuse(struct run *r, const struct change *ch, struct err *err);

/* New names are given before anything is compared: what a rebuild, a look at the data or an index needs of a table is
 * read of it as it is then. A dry run does the same and takes it back. */
static bool rename_first(struct run *r, struct migration_plan *ret, struct err *err)
{
	const struct driver *driver = r->c->driver;

	*ret = (struct migration_plan){0};
	if (!r->q->options.updates && !r->q->options.destructive)
		return true;
	if (!run_plan_renames(r, ret, err) || !run_due(r, ret, err))
		return false;
	if (ret->n_changes == 0)
		return true;
	r->needs_writer = r->q->dry_run && !r->writing;
	if (r->needs_writer)
		return err_set(err, ERR_DATABASE_BUSY, "the plan renames, which takes the writer's turn");
	if (driver->migrate_renaming != NULL && !driver->migrate_renaming(r->c, true, err))
		return false;
	for (size_t i = 0; i < ret->n_changes; i++) {
		if (driver->migrate_patience != NULL &&
		    !driver->migrate_patience(r->c, clock_mono_ns() + step_ns(r), run_look_until(r), err))
			return false;
		if (!driver->simple(r->c, ret->changes[i].statement, r->q->deadline, err))
			return refuse(r, &ret->changes[i], err);
		ret->changes[i].done = true;
	}
	if (driver->migrate_renaming != NULL && !driver->migrate_renaming(r->c, false, err))
		return false;
	return look_around(r, err);
}

static bool prepare(struct run *r, struct err *err)
{
	struct migration_plan renames;

	if (!look_around(r, err) || !rename_first(r, &renames, err) || !plan_counted(r, err))
		return false;
	plan_after_renames(&r->ret->plan, &renames);
	plan_hash(r->conn->dialect, &r->ret->plan, r->ret->plan_hash);
	if (r->q->plan_hash.p == NULL || str_eq_z(r->q->plan_hash, r->ret->plan_hash))
		return true;
	(void)err_set(err, ERR_MIGRATION_CONFLICT,
		      "the plan is no longer the one of this plan_hash: the database or the models have changed; plan "
		      "again with dry_run. Nothing was changed");
	return false;
}

/* ---- running ----------------------------------------------------------------------------------------- */

/* SQLite has no SQLSTATE: the standard's for the same fault. */
static const char *sqlstate_of(enum err_code code)
{
	switch ((int)code) {
	case ERR_NOT_NULL_VIOLATION:
		return "23502";
	case ERR_FOREIGN_KEY_VIOLATION:
		return "23503";
	case ERR_UNIQUE_VIOLATION:
		return "23505";
	case ERR_CHECK_VIOLATION:
		return "23514";
	case ERR_INVALID_VALUE:
		return "22000";
	default:
		return "42000";
	}
}

/* What the data or the database has against a statement is a refusal of the migration; locks, lost connections and
 * the like stay what they are. */
static bool is_refusal(enum err_code code)
{
	switch ((int)code) {
	case ERR_NOT_NULL_VIOLATION:
	case ERR_FOREIGN_KEY_VIOLATION:
	case ERR_UNIQUE_VIOLATION:
	case ERR_CHECK_VIOLATION:
	case ERR_INVALID_VALUE:
	case ERR_SQL_ERROR:
		return true;
	default:
		return false;
	}
}

static void copy_name(char out[128], struct str name)
{
	(void)snprintf(out, 128, "%.*s", STR_FMT(name));
}

/* " of table ..., column ..."; "" of what belongs to no table, a type for one. */
static void say_where(const struct change *ch, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	if (ch->table.len > 0)
		len = (size_t)snprintf(out, size, " of table \"%.*s\"", STR_FMT(ch->table));
	if (ch->column.p != NULL && len < size)
		(void)snprintf(out + len, size - len, ", column \"%.*s\"", STR_FMT(ch->column));
}

static bool refuse(struct run *r, const struct change *ch, struct err *err)
{
	const struct err cause = *err;
	char where[300];

	if (cause.code == ERR_DATABASE_BUSY)
		return busy(r, ch->table, err);
	if (!is_refusal(cause.code))
		return false;
	say_where(ch, where, sizeof(where));
	(void)err_set(err, ERR_MIGRATION_REFUSED,
		      "%s%s failed: %.600s; nothing was changed: mend the data or the model",
		      change_kind_name(ch->kind), where, cause.detail);
	memcpy(err->constraint, cause.constraint, sizeof(err->constraint));
	memcpy(err->sqlstate, cause.sqlstate, sizeof(err->sqlstate));
	memcpy(err->column, cause.column, sizeof(err->column));
	if (err->sqlstate[0] == '\0')
		(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate_of(cause.code));
	if (ch->table.p != NULL)
		copy_name(err->table, ch->table);
	if (ch->column.p != NULL)
		copy_name(err->column, ch->column);
	return false;
}

/* Every view can be selected from and every trigger fires as before, or it is no migration. */
static bool nothing_broke(struct run *r, struct err *err)
{
	struct live_schema now = {0};

	if (!run_touches_columns(&r->ret->plan) || r->c->driver->migrate_uses == NULL)
		return true;
	if (!r->c->driver->migrate_uses(r->c, r->a, run_look_until(r), &now, err))
		return false;
	for (size_t i = 0; i < now.n_broken; i++) {
		const struct live_broken *b = &now.broken[i];
		bool before = false;

		for (size_t k = 0; k < r->live.n_broken && !before; k++)
			before = str_eq(r->live.broken[k].name, b->name) && str_eq(r->live.broken[k].kind, b->kind);
		if (!before)
			return err_set(
				err, ERR_MIGRATION_REFUSED,
				"the %.*s \"%.*s\" would not work any more (%.*s); nothing was changed: drop or change "
				"it first",
				STR_FMT(b->kind), STR_FMT(b->name), STR_FMT(b->why));
	}
	return true;
}

/* What had been done by then stays done: an index that was built, and all that the transaction did. */
static bool refuse_concurrent(struct run *r, const struct change *ch, size_t n_done, struct err *err)
{
	const struct err cause = *err;

	if (!is_refusal(cause.code))
		err->outcome = n_done > 0 ? ERR_OUTCOME_COMMITTED : ERR_OUTCOME_ROLLED_BACK;
	if (!is_refusal(cause.code))
		return false;
	(void)refuse(r, ch, err);
	(void)err_set(
		err, ERR_MIGRATION_REFUSED,
		"%s of table \"%.*s\" failed: %.600s; the %zu statement%s before it stay%s done: mend the data or the "
		"model, and migrate again",
		change_kind_name(ch->kind), STR_FMT(ch->table), cause.detail, n_done, n_done == 1 ? "" : "s",
		n_done == 1 ? "s" : "");
	(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", cause.sqlstate);
	copy_name(err->table, ch->table);
	memcpy(err->constraint, cause.constraint, sizeof(err->constraint));
	err->outcome = n_done > 0 ? ERR_OUTCOME_COMMITTED : ERR_OUTCOME_ROLLED_BACK;
	return false;
}

/* *ret_failed: which of them did. */
static bool run_changes(struct run *r, const struct change *const *changes, size_t n, size_t *ret_failed,
			struct err *err)
{
	struct str *sqls;

	*ret_failed = 0;
	if (n == 0)
		return true;
	sqls = arena_array(r->a, n, sizeof(*sqls));
	for (size_t i = 0; i < n; i++)
		sqls[i] = changes[i]->statement;
	return r->c->driver->simple_all(r->c, sqls, n, r->q->deadline, ret_failed, err);
}

static bool execute(struct run *r, struct err *err)
{
	const struct migration_plan *p = &r->ret->plan;
	const struct driver *driver = r->c->driver;
	const struct change **changes = arena_array(r->a, p->n_changes + 1, sizeof(const struct change *));
	size_t n = 0, failed;

	for (size_t i = 0; i < p->n_changes; i++)
		if (!p->changes[i].concurrent && !p->changes[i].done)
			changes[n++] = &p->changes[i];
	if (!run_changes(r, changes, n, &failed, err))
		return refuse(r, changes[failed], err);
	if (!nothing_broke(r, err))
		return false;
	return !p->rebuilds || driver->migrate_check == NULL || driver->migrate_check(r->c, r->q->deadline, err);
}

/* Deferred constraints speak up here. */
static bool commit(struct run *r, struct err *err)
{
	static const struct change whole = {.kind = CHANGE_CREATE_TABLE};
	enum err_outcome outcome;

	if (r->c->driver->commit(r->c, r->q->deadline, err))
		return true;
	outcome = err->outcome;
	if (outcome != ERR_OUTCOME_UNKNOWN) {
		(void)refuse(r, &whole, err);
		outcome = ERR_OUTCOME_ROLLED_BACK;
	}
	err->outcome = outcome;
	return false;
}

static bool in_transaction(struct run *r, struct err *err)
{
	const struct migrate_begin how = {
		.leases = __atomic_load_n(&r->conn->leases, __ATOMIC_RELAXED) != 0,
		.plan_only = r->q->dry_run && !r->writing,
		.rebuild = r->q->options.rebuild,
		.lock_ns = r->lock_ns,
		.deadline_ns = run_look_until(r),
	};
	bool done = false, committing = false, begun;

	r->stepped_back = false;
	r->live = (struct live_schema){0};
	begun = r->c->driver->migrate_begin(r->c, &how, err);
	if (begun && prepare(r, err)) {
		if (r->q->dry_run || r->ret->plan.n_changes == 0)
			done = true;
		else if (execute(r, err)) {
			committing = true;
			done = commit(r, err);
		}
	}
	if (!committing)
		r->c->driver->rollback(r->c);
	if (!done && !committing)
		err->outcome = begun ? ERR_OUTCOME_ROLLED_BACK : ERR_OUTCOME_NOT_STARTED;
	if (!done)
		append_warnings(r, err);
	return done;
}

/* Outside the transaction, one by one: they wait for others without keeping anybody from the table. One that fails
 * leaves an index behind that serves nobody. */
static bool execute_concurrent(struct run *r, struct err *err)
{
	const struct migration_plan *p = &r->ret->plan;
	size_t n_done = 0;

	for (size_t i = 0; i < p->n_changes; i++) {
		const struct change *ch = &p->changes[i];
		struct err ignored;

		if (!ch->concurrent) {
			n_done++;
			continue;
		}
		if (r->c->driver->simple(r->c, ch->statement, r->q->deadline, err)) {
			n_done++;
			continue;
		}
		if (ch->cleanup.p != NULL && !r->c->broken) {
			fiber_shield();
			if (!r->c->driver->simple(r->c, ch->cleanup, r->q->deadline, &ignored))
				r->c->broken = true; /* what came of it is not known: the index may be left */
			fiber_unshield();
		}
		(void)refuse_concurrent(r, ch, n_done, err);
		return false;
	}
	return true;
}

static bool has_concurrent(const struct migration_plan *p)
{
	for (size_t i = 0; i < p->n_changes; i++)
		if (p->changes[i].concurrent)
			return true;
	return false;
}

/* In steps: what a table's lock was not to be had for is given back whole, so that those who wait behind it get
 * through, and tried again. */
static bool in_steps(struct run *r, struct err *err)
{
	r->wait_left_ns = r->lock_ns - clock_mono_ns();
	for (;;) {
		if (in_transaction(r, err))
			break;
		if (!r->stepped_back || err->cancelled || r->c->broken || r->wait_left_ns <= LIMIT_MIGRATE_PAUSE_NS ||
		    clock_mono_ns() >= r->q->deadline)
			return false;
		if (wait_until(clock_min(clock_mono_ns() + LIMIT_MIGRATE_PAUSE_NS, r->q->deadline)) == WAIT_CANCELLED)
			return false;
		r->wait_left_ns -= LIMIT_MIGRATE_PAUSE_NS;
		ddl_plan_init(&r->ret->plan.notes, r->a);
	}
	return r->q->dry_run || !has_concurrent(&r->ret->plan) || execute_concurrent(r, err);
}

/* A connection, on SQLite with the writer's turn, for which the pool alone would wait shorter. */
static bool lease(struct run *r, enum lease_mode mode, struct lease *l, struct err *err)
{
	const int64_t until = clock_min(r->lock_ns, r->q->deadline);

	while (!pool_lease(r->conn->pool, mode, until, l, err)) {
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		if (err->code != ERR_POOL_TIMEOUT || err->cancelled)
			return false;
		if (clock_mono_ns() < until)
			continue;
		if (r->conn->dialect->id != DIALECT_SQLITE)
			return false;
		(void)err_set(
			err, ERR_DATABASE_BUSY,
			"another transaction was open on the database for %.15g s; nothing was changed: end it or try "
			"again",
			wait_s);
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		return false;
	}
	return true;
}

/* A connection that died while it was idle shows here, before anything has happened: one more try then. */
static bool attempt(struct run *r, bool *ret_again, struct err *err)
{
	struct lease l = {0};
	int64_t timeout_ns;
	bool ok;

	*ret_again = false;
	if (!lease(r, r->q->dry_run && !r->writing ? LEASE_READ : LEASE_WRITE, &l, err))
		return false;
	r->c = l.conn;
	/* a table of any size may have to be rewritten: the request's own deadline is the only one */
	timeout_ns = r->c->statement_timeout_ns;
	r->c->statement_timeout_ns = 0;
	ok = in_steps(r, err);
	fiber_shield();
	if (r->c->driver->migrate_end != NULL)
		r->c->driver->migrate_end(r->c);
	fiber_unshield();
	r->c->statement_timeout_ns = timeout_ns;
	*ret_again = !ok && !r->needs_writer && r->c->broken && err->code == ERR_DATABASE_UNAVAILABLE &&
		     r->live.n_tables == 0 && r->ret->plan.n_changes == 0;
	if ((ok || err->outcome == ERR_OUTCOME_UNKNOWN || err->outcome == ERR_OUTCOME_COMMITTED) && !r->q->dry_run &&
	    r->ret->plan.n_changes > 0) {
		pool_refresh(r->conn->pool);
		session_maps_stale(r->conn);
		r->ret->pool_refreshed = true;
	}
	lease_release(&l);
	return ok;
}

bool migrate_run(struct connection *conn, const struct schema *s, const struct migrate_request *q, struct arena *a,
		 struct migrate_result *ret, struct err *err)
{
	const int64_t began = clock_mono_ns();
	struct run r = {.conn = conn, .s = s, .q = q, .a = a, .ret = ret, .lock_ns = began + wait_ns()};
	bool again, ok;

	*ret = (struct migrate_result){0};
	ddl_plan_init(&ret->plan.notes, a);
	ok = attempt(&r, &again, err);
	if (again)
		ok = attempt(&r, &again, err);
	if (!ok && r.needs_writer) {
		r.writing = true;
		ddl_plan_init(&ret->plan.notes, a);
		ok = attempt(&r, &again, err);
	}
	ret->applied = ok && !q->dry_run;
	ret->db_ns = clock_mono_ns() - began;
	return ok;
}

bool migrate_introspect(struct connection *conn, int64_t deadline, struct arena *a, struct live_schema *ret,
			struct err *err)
{
	static const struct introspect_scope all = {.search_path = true, .views = true};

	return migrate_introspect_scope(conn, &all, deadline, a, ret, err);
}

bool migrate_introspect_scope(struct connection *conn, const struct introspect_scope *scope, int64_t deadline,
			      struct arena *a, struct live_schema *ret, struct err *err)
{
	const struct migrate_begin how = {
		.plan_only = true, .lock_ns = clock_mono_ns() + wait_ns(), .deadline_ns = deadline};
	struct lease l = {0};
	bool ok = false;

	for (int tries = 0; tries < 2 && !ok; tries++) {
		if (!pool_lease(conn->pool, LEASE_READ, deadline, &l, err))
			return false;
		ok = l.conn->driver->migrate_begin(l.conn, &how, err) &&
		     l.conn->driver->introspect(l.conn, scope, a, deadline, ret, err);
		l.conn->driver->rollback(l.conn);
		if (!ok && !l.conn->broken)
			tries = 2;
		lease_release(&l);
	}
	if (ok)
		leave_out_own(ret);
	return ok;
}
