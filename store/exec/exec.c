/* The one path all SQL takes; see exec.h. A unit holds at most one connection: its transaction's, or a lease of its
 * own. */
#include "store/exec/exec.h"
#include "store/exec/exec_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "store/exec/lane.h"
#include "store/exec/reader.h"

#include "service/base/banned.h"

static void create_shared(struct connection *c)
{
	c->lanes = lane_set_create();
	c->readers = reader_set_create();
	c->companies = company_set_create();
}

static void destroy_shared(struct connection *c)
{
	lane_set_destroy(c->lanes);
	reader_set_unref(c->readers);
	company_set_destroy(c->companies);
}

const struct connection_sharing exec_sharing = {create_shared, destroy_shared};

void exec_begin(struct exec *x, const struct route *r, int64_t deadline, bool atomic)
{
	memset(x, 0, sizeof(*x));
	x->route = r;
	x->deadline = deadline;
	x->held_ns = fiber_held_ns();
	x->since_ns = r->since_ns != 0 ? r->since_ns : clock_mono_ns();
	x->atomic = atomic;
}

static struct lease *lease_of(struct exec *x)
{
	if (x->route->tx != NULL)
		return tx_lease(x->route->tx);
	return x->seat.party != NULL ? x->seat.lease : &x->lease;
}

int64_t exec_statement_deadline(const struct exec *x, const struct driver_conn *c)
{
	int64_t deadline = exec_deadline(x);
	const int64_t now = clock_mono_ns();

	if (x->route->tx != NULL)
		deadline = clock_min(deadline, tx_deadline(x->route->tx));
	if (x->seat.party != NULL)
		deadline = clock_min(deadline, x->seat.until_ns);
	if (c->statement_timeout_ns > 0 && c->statement_timeout_ns < CLOCK_NEVER - now)
		deadline = clock_min(deadline, now + c->statement_timeout_ns);
	return deadline;
}

/* Opens the savepoint or the transaction that an atomic unit runs in. */
static bool open_unit(struct exec *x, struct driver_conn *c, struct err *err)
{
	const int64_t deadline = exec_statement_deadline(x, c);
	const bool acts = x->route->acts.p != NULL;

	if (acts && x->route->tx != NULL && !exec_act_within(x, c, deadline, err))
		return false;
	if (x->started || !(x->atomic || (acts && x->route->tx == NULL)))
		return true;
	if (x->route->tx != NULL) {
		if (!c->driver->simple(c, STR("SAVEPOINT " EXEC_SAVEPOINT), deadline, err))
			return false;
	} else if (x->seat.party != NULL) {
		; /* it is in one */
	} else if (c->driver->begin_write != NULL && !x->reads_only) {
		if (!c->driver->begin_write(c, deadline, err))
			return false;
	} else if (c->driver->begin_later != NULL) {
		if (!c->driver->begin_later(c, TX_ISO_DEFAULT, false, deadline, err))
			return false;
	} else if (!c->driver->begin(c, TX_ISO_DEFAULT, false, deadline, err)) {
		return false;
	}
	x->n_commits = c->n_commits;
	x->n_rollbacks = c->n_rollbacks;
	x->started = true;
	x->acted = false;
	if (x->opened != NULL && !x->opened(x->opened_arg, x, err))
		return false;
	x->act_due = acts && x->route->tx == NULL;
	return true;
}

/* The unit's connection, leased when there is none yet and fit for `mode`. An atomic unit that writes takes the
 * writer's turn from its start: what it reads before it writes must still be true when it does. */
static bool acquire(struct exec *x, enum lease_mode mode, struct driver_conn **ret, struct err *err)
{
	struct lease *l = lease_of(x);
	const enum lease_mode want = x->probes ? LEASE_PROBE : x->atomic && !x->reads_only ? LEASE_WRITE : mode;
	const int64_t from = clock_mono_ns();
	bool ok = true;

	if (l->conn == NULL) {
		struct pool *p = x->route->conn->pool;

		assert(x->route->tx == NULL);
		struct company_set *companies = x->route->conn->companies;
		if (x->joins != 0 && want == LEASE_WRITE && company_fits(companies, p, x->joins)) {
			const struct company_guest who = {
				.kind = x->joins, .deadline = exec_deadline(x), .since_ns = x->since_ns};
			ok = company_enter(companies, p, &who, &x->seat, err);
			l = lease_of(x);
		} else {
			ok = pool_lease_since(p, want, x->since_ns, exec_deadline(x), l, err);
		}
	} else if (want == LEASE_WRITE) {
		l->conn->since_ns = x->since_ns;
		ok = lease_upgrade(l, exec_deadline(x), err);
	}
	x->lease_ns += clock_mono_ns() - from;
	if (!ok) {
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		return false;
	}
	*ret = l->conn;
	l->conn->since_ns = x->since_ns;
	return open_unit(x, l->conn, err);
}

/* Of a statement that is running: hands rows over, keeping the time spent in the sink out of the account. */
struct run {
	struct exec *x;
	const struct stmt *s;
	const struct row_sink *sink;
	struct exec_result *result;
	int64_t sink_ns;
	int64_t seen_ns; /* a time not long before the sink's next row, if this has been one run since */
	uint64_t fiber_run;
	bool delivered; /* the sink has seen something: no second try */
};

#define ROWS_A_LOOK 16 /* rows, of which one is timed for all */

static bool give_columns(struct run *r, const struct cursor *cur, struct err *err)
{
	const int64_t from = clock_mono_ns();
	bool ok;

	r->delivered = true;
	if (r->sink->columns == NULL)
		return true;
	ok = r->sink->columns(r->sink->arg, cur->columns, cur->n_columns, err);
	r->sink_ns += clock_mono_ns() - from;
	return ok;
}

/* The clock costs as much as a small row. One row in sixteen is timed and stands for all of them; a row whose sink has
 * parked is timed alone. */
static bool give_row(struct run *r, const struct cursor *cur, bool *ret_stop, struct err *err)
{
	const bool timed = r->result->rows++ % ROWS_A_LOOK == 0 || fiber_runs() != r->fiber_run;
	int64_t took;
	bool ok;

	if (r->sink->row == NULL)
		return true;
	if (timed) {
		r->seen_ns = clock_mono_ns();
		r->fiber_run = fiber_runs();
	}
	ok = r->sink->row(r->sink->arg, cur->row, cur->n_columns, ret_stop, err);
	if (!timed && fiber_runs() == r->fiber_run)
		return ok;
	took = clock_mono_ns() - r->seen_ns;
	r->sink_ns += fiber_runs() == r->fiber_run ? took * ROWS_A_LOOK : took;
	return ok;
}

/* Steps to the end. A sink that wants no more rows ends a read at once; a write goes on without it, for a statement
 * that is cut off may be undone. */
static bool step_all(struct run *r, const struct driver *driver, struct cursor *cur, struct err *err)
{
	const bool reads = r->s->access == STMT_READ || cur->read_only;
	int64_t held = fiber_held_ns();
	bool row, stop = false;

	for (;;) {
		if (!driver->step(cur, &row, err))
			return false;
		if (!row)
			return true;
		if (!stop && !give_row(r, cur, &stop, err))
			return false;
		if (stop && reads)
			return true;
		const int64_t now = fiber_held_ns();
		cur->conn->lent_ns += now - held;
		held = now;
	}
}

static bool run_on(struct run *r, struct driver_conn *c, struct err *err)
{
	const int64_t deadline = exec_statement_deadline(r->x, c);
	const struct driver *driver = c->driver;
	struct cursor *cur;
	bool ok = true, shed = false;

	memset(r->result, 0, sizeof(*r->result));
	c->request_deadline_ns = exec_deadline(r->x);
	c->lent_ns = 0;
	c->since_ns = r->x->since_ns;
	c->n_notices = 0;
	strbuf_reset(&c->notices);
	if (r->x->route->acts.p != NULL && !exec_act_before(r->x, r->s, c, deadline, &shed, err))
		return false;
	exec_take_along(r->x, r->s, c);
	if (!driver->prepare(c, r->s, deadline, &cur, err))
		return false;
	/* Raw SQL shows only now that it writes; it has not stepped yet, so on SQLite it holds no snapshot of its own
	 * either. */
	if (r->s->access == STMT_UNKNOWN && !cur->read_only) {
		const int64_t from = clock_mono_ns();

		ok = lease_upgrade(lease_of(r->x), exec_deadline(r->x), err);
		r->x->lease_ns += clock_mono_ns() - from;
	}
	ok = ok && give_columns(r, cur, err) && step_all(r, driver, cur, err);
	if (ok) {
		r->result->affected = r->s->counts_rows ? r->result->rows : cur->affected;
		r->result->last_insert_id = cur->last_insert_id;
		r->result->read_only = cur->read_only;
		r->result->only_read = cur->read_only && cur->n_columns > 0;
		r->result->notices = strbuf_str(&c->notices);
		if (cur->joins && r->x->route->tx == NULL)
			lane_learn_joins(r->x->route->conn->lanes, r->x->route->conn->pool, r->s);
	}
	driver->finish(cur);
	return ok && (!shed || exec_act_again(r->x, c, exec_statement_deadline(r->x, c), err));
}

/* A client's statement has ended the transaction that its unit runs in. What became of it is the engine's word. */
static bool ended_unit(struct exec *x, const struct driver_conn *c, struct err *err)
{
	const bool committed = c->n_commits != x->n_commits, rolled_back = c->n_rollbacks != x->n_rollbacks;
	const enum err_outcome outcome = committed && rolled_back ? ERR_OUTCOME_UNKNOWN
					 : committed              ? ERR_OUTCOME_COMMITTED
								  : ERR_OUTCOME_ROLLED_BACK;
	static const char *const states[] = {[ERR_OUTCOME_UNKNOWN] = "unknown",
					     [ERR_OUTCOME_COMMITTED] = "committed",
					     [ERR_OUTCOME_ROLLED_BACK] = "rolled_back"};

	x->started = false;
	if (x->route->tx != NULL) {
		(void)err_set(err, ERR_TRANSACTION_ENDED,
			      "the statement ended the transaction that the request runs in");
		(void)snprintf(err->state, sizeof(err->state), "%s", states[outcome]);
	} else {
		(void)err_set(
			err, ERR_SQL_ERROR,
			"the statement ended the transaction that its unit runs in, with all that came before it");
	}
	err->outcome = outcome;
	return false;
}

/* A raw statement may begin or end transactions. A managed one follows it; a unit that is to be one whole cannot. `ok`:
 * whether the statement succeeded; if not, *err tells why and keeps its words. */
static bool check_transaction(struct exec *x, struct driver_conn *c, bool ok, struct err *err)
{
	const enum tx_state state = c->driver->tx_state(c);
	struct err later;

	if (state == TX_STATE_UNKNOWN)
		return true;
	if (x->started) {
		if (state != TX_STATE_NONE && c->n_commits == x->n_commits && c->n_rollbacks == x->n_rollbacks)
			return true;
		(void)ended_unit(x, c, ok ? err : &later);
		if (!ok)
			err->outcome = later.outcome;
		return false;
	}
	if (x->route->tx != NULL || state == TX_STATE_NONE)
		return true;
	err = ok ? err : &later;
	c->driver->rollback(c);
	(void)err_set(err, ERR_SQL_ERROR,
		      "the statement left a transaction open, which was rolled back: use POST /v1/transactions");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

/* What became of the work, as far as the driver cannot know it. */
static void judge(const struct exec *x, const struct stmt *s, bool started, struct err *err)
{
	if (x->closing && err->outcome == ERR_OUTCOME_UNKNOWN)
		return;
	if (s->access == STMT_READ && !x->atomic)
		err->outcome = ERR_OUTCOME_NONE;
	else if (started)
		err->outcome = ERR_OUTCOME_ROLLED_BACK; /* by exec_end, which always follows */
	/* what a procedure has committed on its way stays; whether it did, nothing tells */
	else if (s->raw && x->route->tx == NULL && err->outcome == ERR_OUTCOME_ROLLED_BACK &&
		 x->route->conn->dialect->id == DIALECT_POSTGRES && stmt_may_commit_some(s->sql))
		err->outcome = ERR_OUTCOME_UNKNOWN;
}

/* What those who share its transaction cannot wait for, or bear, is run again, alone. */
static void spare_company(struct exec *x, struct err *err)
{
	const int64_t now = clock_mono_ns();

	if (x->seat.party == NULL)
		return;
	if (err->code == ERR_STATEMENT_TIMEOUT && !err->cancelled && now >= x->seat.until_ns &&
	    now < exec_deadline(x)) {
		(void)err_set(err, ERR_SERIALIZATION_FAILURE, "the statement took too long for those beside it");
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
		err->again = ERR_AGAIN_ALONE;
	}
	x->seat.shy |= err->again == ERR_AGAIN_ALONE;
}

/* The time below exec without the wait for a connection. */
static int64_t worked_ns(const struct exec *x)
{
	return x->db_ns - x->lease_ns;
}

/* Books the time since `from`, the sink's share since sink_ns was noted taken off: that is an estimate, and may be more
 * than all there was. */
static void book(struct run *r, int64_t from, int64_t sink_ns)
{
	const int64_t own_ns = clock_mono_ns() - from - (r->sink_ns - sink_ns);

	r->x->db_ns += own_ns > 0 ? own_ns : 0;
}

/* A client's own that shows by its first word what the engine will say of it: it need not hold a connection while it
 * waits for the writer's turn. */
static bool looks_writing(const struct stmt *s)
{
	static const char *const words[] = {"insert", "update", "delete", "replace"};
	const struct str word = s->raw ? stmt_first_word(s->sql) : STR_NONE;

	for (size_t i = 0; word.len > 0 && i < ARRAY_LEN(words); i++)
		if (str_ieq_z(word, words[i]))
			return true;
	return false;
}

static bool run_once(struct run *r, struct err *err)
{
	const enum lease_mode mode = r->s->access == STMT_WRITE || looks_writing(r->s) ? LEASE_WRITE : LEASE_READ;
	const int64_t from = clock_mono_ns();
	const int64_t sink_ns = r->sink_ns;
	struct driver_conn *c;
	bool started, ok;

	ok = acquire(r->x, mode, &c, err);
	started = ok;
	if (ok)
		ok = run_on(r, c, err);
	if (ok && r->x->closing && r->x->route->tx == NULL && c->n_commits != r->x->n_commits)
		r->x->started = r->x->lost.is_set = false; /* it is committed */
	/* after a failure, too: it may have ended the transaction on its way */
	if (r->s->raw && started && !r->x->closing && !check_transaction(r->x, c, ok, err))
		ok = false;
	book(r, from, sink_ns);
	return ok;
}

/* A pooled connection that has died while it was idle shows at its first statement. Nothing has happened on it yet when
 * the statement was not sent, or only reads. */
static bool worth_another(const struct run *r, const struct err *err)
{
	const struct lease *l = &r->x->lease;

	return err->code == ERR_DATABASE_UNAVAILABLE && l->conn != NULL && l->conn->broken && !r->delivered &&
	       (err->outcome == ERR_OUTCOME_NOT_STARTED || r->s->access == STMT_READ);
}

/* ---- quick statements: reads that share a round trip or a snapshot, writes that share a commit ---- */

static bool deliver(struct exec *x, struct batch_item *item, const struct row_sink *sink, struct exec_result *result,
		    struct err *err)
{
	const struct driver *driver = pool_driver(x->route->conn->pool);
	struct cursor *cur = driver->batch_cursor(item);
	bool stop = false, ok = true;

	if (sink->columns != NULL)
		ok = sink->columns(sink->arg, cur->columns, cur->n_columns, err);
	while (ok && !stop && driver->batch_step(cur)) {
		result->rows++;
		ok = sink->row == NULL || sink->row(sink->arg, cur->row, cur->n_columns, &stop, err);
	}
	result->affected = item->stmt->counts_rows ? result->rows : cur->affected;
	result->last_insert_id = cur->last_insert_id;
	result->read_only = result->only_read = item->stmt->access == STMT_READ;
	driver->batch_drop(item);
	return ok;
}

/* A round trip or a transaction with others, see lane.h. */
static bool run_in_lane(struct run *r, bool *ret_done, struct err *err)
{
	struct pool *p = r->x->route->conn->pool;
	const int64_t from = clock_mono_ns();
	struct batch_item item;
	struct stmt known = *r->s;

	if (known.access == STMT_UNKNOWN) /* lane_fits knows better */
		known.access = STMT_WRITE;
	bool ok = lane_run(r->x->route->conn->lanes, p, &known, r->x->since_ns, exec_deadline(r->x), &item, err);

	book(r, from, r->sink_ns);
	*ret_done = ok || !item.again;
	return ok ? deliver(r->x, &item, r->sink, r->result, err) : item.again;
}

/* On the connection and the snapshot of this turn, see reader.h. */
static bool run_shared(struct run *r, bool *ret_done, struct err *err)
{
	struct pool *p = r->x->route->conn->pool;
	const int64_t from = clock_mono_ns(), before = worked_ns(r->x);
	struct driver_conn *c;
	struct reader *reader;
	bool ok = reader_enter(r->x->route->conn->readers, p, r->x->since_ns, exec_deadline(r->x), &reader, &c,
			       &r->x->lease_ns, err);

	*ret_done = reader != NULL || !ok;
	if (reader != NULL) {
		ok = run_on(r, c, err);
		reader_leave(reader);
	}
	if (*ret_done)
		book(r, from, 0);
	if (reader != NULL)
		lane_learn(r->x->route->conn->lanes, p, r->s, worked_ns(r->x) - before, r->result->rows);
	return ok;
}

/* *ret_done false: the ordinary way is to be taken. */
static bool run_quick(struct run *r, bool *ret_done, struct err *err)
{
	const struct exec *x = r->x;
	struct pool *p = x->route->conn->pool;

	*ret_done = false;
	if (x->route->tx != NULL || x->atomic || x->lease.conn != NULL || x->route->acts.p != NULL ||
	    !lane_fits(x->route->conn->lanes, p, r->s))
		return true;
	if (!r->s->raw && r->s->access == STMT_READ && pool_driver(p)->run_batch == NULL)
		return run_shared(r, ret_done, err);
	return run_in_lane(r, ret_done, err);
}

/* A connection of the unit's own. */
static bool run_alone(struct run *r, struct err *err)
{
	struct exec *x = r->x;
	const bool fresh = x->route->tx == NULL && x->lease.conn == NULL;
	const int64_t before = worked_ns(x);
	const bool ok = run_once(r, err);

	lane_learn(x->route->conn->lanes, x->route->conn->pool, r->s, worked_ns(x) - before, r->result->rows);
	if (ok || !fresh || !worth_another(r, err))
		return ok;
	lease_release(&x->lease);
	x->started = false;
	return run_once(r, err);
}

/* A client's own statement that may go in company does, as the read that it is; else as what it is. */
static bool run_raw(struct run *r, bool *ret_done, struct err *err)
{
	const struct stmt *raw = r->s;
	const struct exec *x = r->x;
	struct stmt read;
	bool ok;

	*ret_done = false;
	if (x->route->tx != NULL || x->atomic || x->lease.conn != NULL || x->route->acts.p != NULL ||
	    !lane_fits_raw(x->route->conn->lanes, x->route->conn->pool, raw, &read))
		return true;
	r->s = &read;
	ok = pool_driver(x->route->conn->pool)->run_batch == NULL ? run_shared(r, ret_done, err)
								  : run_in_lane(r, ret_done, err);
	r->s = raw;
	return ok;
}

static bool run_statement(struct exec *x, const struct stmt *s, struct row_sink *sink, struct exec_result *ret,
			  struct err *err)
{
	static const struct row_sink nobody = {0};
	struct exec_result result = {0};
	struct run r = {.x = x, .s = s, .sink = sink != NULL ? sink : &nobody, .result = &result};
	bool done;

	if (x->route->tx != NULL && !tx_check(x->route->tx, s->raw ? s->sql : STR_NONE, err))
		return false;
	struct stmt hashed;
	if (s->raw && s->hash == 0) {
		hashed = *s;
		hashed.hash = stmt_hash(s);
		s = r.s = &hashed;
	}
	x->foreign |= s->raw;
	bool ok = !s->raw || run_raw(&r, &done, err);
	if (ok && (!s->raw || !done))
		ok = run_quick(&r, &done, err);
	if (ok && !done)
		ok = run_alone(&r, err);
	if (s->raw && x->route->acts.p != NULL)
		exec_act_doubt(x);
	if (!ok) {
		judge(x, s, x->started, err);
		spare_company(x, err);
		exec_along_failed(x, err);
		return false;
	}
	if (ret != NULL)
		*ret = result;
	return true;
}

bool exec_run(struct exec *x, const struct stmt *s, struct row_sink *sink, struct exec_result *ret, struct err *err)
{
	const int64_t before = worked_ns(x);
	const bool ok = run_statement(x, s, sink, ret, err);
	const int64_t took = worked_ns(x) - before;

	if (took > x->slowest_ns) {
		x->slowest_ns = took;
		x->slowest_sql = s->sql;
		x->slowest_raw = s->raw;
	}
	if (!ok)
		connection_count_error(x->route->conn, err->sqlstate);
	return ok;
}

bool exec_conn(struct exec *x, enum lease_mode mode, struct driver_conn **ret, struct err *err)
{
	const int64_t from = clock_mono_ns();
	const bool fresh = x->route->tx == NULL && x->lease.conn == NULL;
	bool ok;

	if (x->route->tx != NULL && !tx_check(x->route->tx, STR_NONE, err))
		return false;
	ok = acquire(x, mode, ret, err);
	/* only BEGIN can have failed here: nothing is lost */
	if (!ok && fresh && x->lease.conn != NULL && x->lease.conn->broken && err->code == ERR_DATABASE_UNAVAILABLE) {
		lease_release(&x->lease);
		ok = acquire(x, mode, ret, err);
	}
	x->db_ns += clock_mono_ns() - from;
	return ok;
}

bool exec_simple(struct exec *x, struct str sql, struct err *err)
{
	struct driver_conn *c;
	int64_t from;
	bool ok;

	if (!exec_conn(x, LEASE_WRITE, &c, err))
		return false;
	from = clock_mono_ns();
	ok = exec_act(x, NULL, c, exec_statement_deadline(x, c), err) &&
	     c->driver->simple(c, sql, exec_statement_deadline(x, c), err);
	x->db_ns += clock_mono_ns() - from;
	if (!ok && x->started)
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
	if (!ok)
		exec_along_failed(x, err);
	return ok;
}
