/* What the files of the state share: its connection, and statements on its tables. Nobody else includes this. */
#ifndef FERROD_STORE_STATE_STATE_SQL_H
#define FERROD_STORE_STATE_STATE_SQL_H

#include "store/exec/exec.h"
#include "store/state/seal.h"

#define STATE_CELLS 18 /* columns of a row that is read */

struct state {
	struct connection_registry registry; /* of its own connection only */
	struct connection *conn;
	struct seal seal;
	char life[33]; /* hexadecimal */
	bool resealed;
	int64_t listen_ns; /* of state_options.listen_s */
	int lock_fd;       /* -1: none */
	char *make_key;    /* owned: the file of a key that is made with the first tables; NULL: none */
};

/* One unit of work; texts have ~ for the tables' prefix and ? for parameters. */
struct unit {
	struct state *s;
	struct route route;
	struct exec x;
	struct arena *a;
};

/* Rows as texts, in the arena. The state's database is believed as little as any other. */
struct rows {
	/* Set by who asks, a letter a column: t text, i integer; a capital may be null, too. Rows of another shape are
	 * ERR_INTERNAL_ERROR. */
	const char *kinds;
	struct arena *a;
	struct str (*cells)[STATE_CELLS];
	size_t n, size;
};

bool state_is_postgres(const struct state *s);

/* Begins one that ends with state_unit_end, whatever happened. The arena lives as long. */
void state_unit_begin(struct unit *u, struct state *s, struct arena *a, bool atomic);
/* The same with less time. */
void state_unit_begin_within(struct unit *u, struct state *s, struct arena *a, bool atomic, double seconds);
/* ok false: *err stays as it is. Returns whether all of it went well. Parks, as the rest does. */
bool state_unit_end(struct unit *u, bool ok, struct err *err) MUST_CHECK;
/* The database's own text, in the arena. */
struct str state_native(const struct unit *u, const char *text);
/* ret and ret_affected may be NULL; of ret only `kinds` is read. */
bool state_run(struct unit *u, const char *text, const struct value *params, size_t n, struct rows *ret,
	       int64_t *ret_affected, struct err *err) MUST_CHECK;
/* The same for a statement without parameters that reads, beside whoever writes. */
bool state_look(struct unit *u, const char *text, struct rows *ret, struct err *err) MUST_CHECK;
/* The number in a cell; 0 where there is none. One that is no time of this world is the first or last that is: sums and
 * differences of two of them hold in nanoseconds, too. */
int64_t state_cell_int(struct str cell);
/* A version of the state: 1 and more, so that there is always a next one. */
bool state_version_of(struct str cell, int64_t *ret, struct err *err) MUST_CHECK;
/* It answered what it cannot have been given. Always false. */
bool state_unlikely(struct err *err) MUST_CHECK;
bool state_put_meta(struct unit *u, const char *name, struct str value, struct err *err) MUST_CHECK;
/* What the seal of a kept answer is bound to, so that none stands for another, nor with another head. In the arena. */
struct str state_answer_context(struct arena *a, struct str key, struct str body, int64_t status, struct str type);
/* Of rows (name, value); STR_NONE: there is none. */
struct str state_meta(const struct rows *r, const char *name);

#endif
