/* Shared by exec.c (statements), exec_along.c (what travels with them), exec_load.c (loads) and exec_end.c (how a unit
 * ends) only. Owns nothing. */
#ifndef FERROD_STORE_EXEC_INTERNAL_H
#define FERROD_STORE_EXEC_INTERNAL_H

#include <stdint.h>

#include <stdbool.h>

struct driver_conn;
struct err;
struct exec;
struct stmt;

/* A unit inside a transaction; units do not nest. */
#define EXEC_SAVEPOINT "ferrod_unit"

/* Until when a statement of the unit may run on that connection, monotonic. */
int64_t exec_statement_deadline(const struct exec *x, const struct driver_conn *c);

/* exec_act.c: tells the database what route->acts says, in the unit's own transaction, if that is due; `next` (NULL:
 * not known) leaves with it where that can be. ERR_INVALID_REQUEST: the database does not take the settings,
 * ERR_FORBIDDEN: nor the role. Parks. */
bool exec_act(struct exec *x, const struct stmt *next, struct driver_conn *c, int64_t deadline, struct err *err);
/* The same in the route's transaction, unless it knows already. */
bool exec_act_within(struct exec *x, struct driver_conn *c, int64_t deadline, struct err *err);
/* Before s is prepared: what is due is told, or the role put off (*ret_shed) for what is this server's own. Parks. */
bool exec_act_before(struct exec *x, const struct stmt *s, struct driver_conn *c, int64_t deadline, bool *ret_shed,
		     struct err *err);
/* Behind a statement for which the role was put off: it is put on again. Parks. */
bool exec_act_again(struct exec *x, struct driver_conn *c, int64_t deadline, struct err *err);
/* What a client's own statement has told the database instead is told anew before the next one. */
void exec_act_doubt(struct exec *x);

/* A statement has failed: perhaps by what went along with it. Parks. */
void exec_along_failed(struct exec *x, struct err *err);
/* Of a commit whose connection was lost: what the database says of it. It stays lost while that is not known. Parks. */
void exec_ask_fate(struct exec *x, struct err *err);
/* exec_along.c: before s is prepared on c, notes what travels with it. */
void exec_take_along(struct exec *x, const struct stmt *s, struct driver_conn *c);

#endif
