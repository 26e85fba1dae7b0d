/* How a unit of work ends: its own transaction, or its savepoint inside another. */
#include <assert.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "store/connection/fate.h"
#include "store/exec/exec.h"
#include "store/exec/exec_internal.h"

#include "service/base/banned.h"

/* Undoes the unit inside its transaction. When even that fails, nothing of the transaction can be trusted. */
static void undo_savepoint(struct driver_conn *c)
{
	const int64_t deadline = clock_mono_ns() + LIMIT_UNDO_NS;
	struct err ignored;

	fiber_shield();
	if (!c->driver->simple(c, STR("ROLLBACK TO SAVEPOINT " EXEC_SAVEPOINT), deadline, &ignored) ||
	    !c->driver->simple(c, STR("RELEASE SAVEPOINT " EXEC_SAVEPOINT), deadline, &ignored))
		c->driver->rollback(c);
	fiber_unshield();
}

static bool end_savepoint(struct exec *x, bool commit, struct err *err)
{
	struct driver_conn *c = tx_lease(x->route->tx)->conn;
	enum tx_state state;

	/* a statement has ended the transaction, or the connection is lost: tx_leave says so */
	if (c == NULL)
		return true;
	state = c->driver->tx_state(c);
	if (state == TX_STATE_NONE || state == TX_STATE_UNKNOWN)
		return true;
	if (commit && state == TX_STATE_OPEN &&
	    c->driver->simple(c, STR("RELEASE SAVEPOINT " EXEC_SAVEPOINT), exec_statement_deadline(x, c), err))
		return true;
	undo_savepoint(c);
	if (!commit)
		return true;
	if (state == TX_STATE_ABORTED)
		(void)err_set(err, ERR_TRANSACTION_ABORTED, "an earlier statement failed: this request was undone");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

/* With the mark of what commits, where the unit is to tell what became of it. */
static bool commit_own(struct exec *x, struct driver_conn *c, struct err *err)
{
	if (x->tells && c->driver->commit_mark != NULL && !x->reads_only &&
	    !c->driver->commit_mark(c, exec_deadline(x), &x->lost, err)) {
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
		return false;
	}
	if (c->driver->commit(c, exec_deadline(x), err)) {
		x->lost.is_set = false;
		return true;
	}
	/* one whose wait for a standby was cancelled is committed there, as the database would say: nothing is learned
	 * by asking */
	if (err->outcome != ERR_OUTCOME_UNKNOWN || c->unreplicated)
		x->lost.is_set = false;
	return false;
}

static bool end_own(struct exec *x, bool commit, struct err *err)
{
	struct driver_conn *c = x->lease.conn;

	if (c == NULL || (!x->started && c->driver->tx_state(c) == TX_STATE_NONE))
		return true;
	if (x->started && commit && clock_mono_ns() < exec_deadline(x)) {
		if (commit_own(x, c, err))
			return true;
		/* the driver leaves nothing open; if it could not, this or the connection's end will not */
		c->driver->rollback(c);
		if (err->outcome == ERR_OUTCOME_NONE || err->outcome == ERR_OUTCOME_NOT_STARTED)
			err->outcome = ERR_OUTCOME_ROLLED_BACK;
		return false;
	}
	c->driver->rollback(c);
	if (!commit || (!x->started && c->broken))
		return true;
	if (x->started)
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over before the work was committed");
	else
		(void)err_set(err, ERR_SQL_ERROR, "a statement left a transaction open, which was rolled back");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

/* Its part of a transaction that others share. */
static bool end_shared(struct exec *x, bool commit, struct err *err)
{
	const bool late = commit && clock_mono_ns() >= exec_deadline(x);
	struct err lost;
	const bool ok = company_leave(&x->seat, commit && !late, commit && !late ? err : &lost);

	if (commit && !late)
		return ok;
	x->again = !ok;
	if (!late)
		return true;
	(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over before the work was committed");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

/* A quick statement shared what it ran on (lane.h, reader.h): there is nothing to end. */
static bool holds_nothing(const struct exec *x)
{
	return x->route->tx == NULL && x->lease.conn == NULL && x->seat.party == NULL && x->loading == NULL &&
	       !x->lost.is_set;
}

bool exec_end(struct exec *x, bool commit, struct err *err)
{
	if (holds_nothing(x)) {
		x->started = false;
		return true;
	}
	const int64_t from = clock_mono_ns();
	bool ok = true;

	if (x->loading != NULL) {
		assert(!commit);
		x->loading->driver->load_abort(x->loading);
		x->loading = NULL;
	}
	if (x->seat.party != NULL) {
		ok = end_shared(x, commit, err);
	} else if (x->route->tx == NULL) {
		ok = end_own(x, commit, err);
		lease_release(&x->lease);
		if (x->lost.is_set && !x->asked)
			exec_ask_fate(x, err);
	} else if (x->started) {
		ok = end_savepoint(x, commit, err);
	}
	x->started = false;
	x->db_ns += clock_mono_ns() - from;
	return ok;
}
