/* What travels with a statement: COMMIT behind the last one, and the statements that are known to follow. */
#include "store/exec/exec.h"
#include "store/exec/exec_internal.h"

#include "service/base/banned.h"

void exec_ahead(struct exec *x, const struct stmt *const *stmts, size_t n, bool last)
{
	const bool fits = x->atomic && x->route->tx == NULL && x->seat.party == NULL;

	/* one that may end the transaction goes by itself: what came of it is looked at before anything follows */
	for (size_t i = 0; i < n; i++) {
		if (stmts[i]->raw && stmt_is_transaction(stmts[i]->sql)) {
			n = i;
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

/* COMMIT travels with the statement. A transaction of the unit's own that is to tell what became of it has a flight for
 * that. */
static void take_commit_along(struct exec *x, const struct stmt *s, struct driver_conn *c)
{
	struct commit_mark *mark = NULL;
	const bool last = x->last;

	x->last = x->closing = false;
	if (!last || c->driver->commit_next == NULL || (s->raw && stmt_is_transaction(s->sql)))
		return;
	if (x->route->tx != NULL ? x->atomic || !tx_will_commit(x->route->tx, &mark)
				 : !x->started || x->tells || x->opened != NULL)
		return;
	x->closing = c->driver->commit_next(c, mark);
}

void exec_take_along(struct exec *x, const struct stmt *s, struct driver_conn *c)
{
	take_commit_along(x, s, c);
	take_ahead_along(x, c);
}
