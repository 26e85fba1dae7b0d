/* What travels with a statement: another in front of a unit's first one, COMMIT behind the last one, and the statements
 * that are known to follow. */
#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "store/connection/fate.h"
#include "store/exec/exec.h"
#include "store/exec/exec_internal.h"

#include "service/base/banned.h"

bool exec_before(struct exec *x, const struct stmt *s)
{
	struct driver_conn *c = x->lease.conn;

	x->before = x->route->tx == NULL && x->seat.party == NULL && c->driver->before_next != NULL &&
		    c->driver->before_next(c, s);
	return x->before;
}

void exec_ahead(struct exec *x, const struct stmt *const *stmts, size_t n, bool last)
{
	const bool fits = x->atomic && x->route->tx == NULL && x->seat.party == NULL;

	/* one that may end the transaction goes by itself: what came of it is looked at before anything follows; and
	 * what may tell the database something else goes last */
	for (size_t i = 0; i < n; i++) {
		const bool ends = stmts[i]->raw && stmt_is_transaction(stmts[i]->sql);
		const bool tells = stmts[i]->raw && x->route->acts.p != NULL && i + 1 < n;

		if (ends || tells) {
			n = ends ? i : i + 1;
			last = false;
		}
	}
	x->ahead = stmts;
	x->n_ahead = fits && n > 1 ? n : 0;
	x->ahead_last = last && !x->tells && x->opened == NULL;
}

bool exec_travels(const struct exec *x)
{
	const struct driver_conn *c = x->lease.conn;

	return c != NULL && c->driver->ahead_left != NULL && c->driver->ahead_left(c) > 0;
}

/* What follows leaves with the statement, or the statement has left with another already. */
static void take_ahead_along(struct exec *x, struct driver_conn *c)
{
	if (x->n_ahead == 0 && !exec_travels(x)) {
		x->ahead_closing = false;
	} else if (x->n_ahead > 0) {
		x->ahead_closing = c->driver->ahead != NULL && c->driver->ahead(c, x->ahead, x->n_ahead) &&
				   x->ahead_last && c->driver->commit_next(c, NULL);
		x->n_ahead = 0;
	}
	x->closing |= x->ahead_closing;
}

/* The mark of a unit's own transaction that is to tell what became of it travels, too. */
static void take_commit_along(struct exec *x, const struct stmt *s, struct driver_conn *c)
{
	struct commit_mark *mark = NULL;
	const bool last = x->last;

	x->last = x->closing = false;
	if (!last || c->driver->commit_next == NULL || (s->raw && stmt_is_transaction(s->sql)))
		return;
	if (x->route->tx != NULL) {
		if (x->atomic || !tx_will_commit(x->route->tx, &mark))
			return;
	} else {
		if (!x->started || (x->tells && x->opened == NULL))
			return;
		mark = x->tells && !(x->before && c->mark.is_set) ? &x->lost : NULL;
	}
	x->closing = c->driver->commit_next(c, mark);
}

void exec_take_along(struct exec *x, const struct stmt *s, struct driver_conn *c)
{
	take_commit_along(x, s, c);
	take_ahead_along(x, c);
}

void exec_ask_fate(struct exec *x, struct err *err)
{
	enum commit_fate fate;

	x->asked = true;
	fiber_shield();
	fate = fate_ask(x->route->conn->pool, &x->lost, exec_deadline(x));
	fiber_unshield();
	fate_tell(fate, err);
	if (fate == COMMIT_FATE_COMMITTED || fate == COMMIT_FATE_ROLLED_BACK)
		x->lost.is_set = false;
}

/* COMMIT was in its flight, and nobody knows how it ended. */
static void lost_on_its_way(struct exec *x, struct err *err)
{
	/* one whose wait for a standby was cancelled is committed there: nothing is learned by asking */
	if (err->outcome != ERR_OUTCOME_UNKNOWN || x->lease.conn == NULL || x->lease.conn->unreplicated) {
		x->lost.is_set = false;
		return;
	}
	if (x->tells && x->before && !x->lost.is_set)
		x->lost = x->lease.conn->mark;
	x->started = false;
	lease_release(&x->lease);
	if (x->lost.is_set)
		exec_ask_fate(x, err);
}

void exec_along_failed(struct exec *x, struct err *err)
{
	if (x->closing && x->route->tx == NULL)
		lost_on_its_way(x, err);
	if (!x->before || x->lease.conn == NULL || !x->lease.conn->refused || err->cancelled)
		return;
	(void)err_set(err, ERR_SERIALIZATION_FAILURE, "another request of the same kind came first; send it again");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	err->again = ERR_AGAIN;
}
