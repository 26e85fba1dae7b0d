/*
 * What shows only on a loop that it takes long. One step of SQLite's machine, or of its compiler, may take seconds for
 * reasons that nothing tells beforehand: rows of hundreds of megabytes that are compared or sorted, generated columns
 * that name each other twice, a schema that others have changed under a statement that was short when it was compiled.
 * So a loop works within bounds: its compiler writes so many steps, its reads touch no value beyond so many bytes, and
 * compile nothing anew; and a read that comes back to the loop too late goes there no more. What meets a bound is given
 * up and begun anew by a thread (sqlite_ahead.c), which passes over the rows that were given already: they are the
 * same, for the connection keeps what it has begun to see.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"

#include "service/base/banned.h"

/* Steps of SQLite's machine that its compiler may write on a loop, and on a thread beside two a byte of the text: about
 * half a microsecond each, but SQLite doubles the room for them, and gives up when the next doubling would be too much.
 */
#define LOOP_OPS 45000
#define THREAD_OPS 700000
#define THREAD_OPS_NS (6 * CLOCK_NS_PER_MS) /* the half of them take longer */
#define OP_BYTES 24
/* Bytes of a value, or of a row that is made, on a loop: a few hundred of them may be compared between two looks. */
#define LOOP_VALUE_BYTES (256 << 10)
#define SLOW_NS (40 * CLOCK_NS_PER_MS)

void sqlite_away_compiles(struct sqlite_conn *c, bool on_loop, size_t text_len)
{
	const size_t most = THREAD_OPS + 2 * text_len;

	(void)sqlite3_limit(c->h, SQLITE_LIMIT_VDBE_OP,
			    on_loop ? LOOP_OPS : (int)(most < INT32_MAX ? most : INT32_MAX));
}

/* SQLite says that it has no memory then. It has when it took its time, and as much can be had as all those steps take.
 */
bool sqlite_away_too_long(int rc, int64_t took_ns)
{
	void *p;

	if ((rc & 0xff) != SQLITE_NOMEM || took_ns < THREAD_OPS_NS)
		return false;
	p = sqlite3_malloc64((sqlite3_uint64)THREAD_OPS * OP_BYTES);
	sqlite3_free(p);
	return p != NULL;
}

void sqlite_away_enter(struct sqlite_conn *c, bool reads)
{
	c->here = true;
	c->away = false;
	c->looked_ns = 0;
	c->may_begin_anew = reads;
	/* a write that is given up may have written some already */
	if (reads && c->value_bytes > LOOP_VALUE_BYTES)
		(void)sqlite3_limit(c->h, SQLITE_LIMIT_LENGTH, LOOP_VALUE_BYTES);
}

void sqlite_away_leave(struct sqlite_conn *c, int rc)
{
	c->here = false;
	if (c->may_begin_anew && c->value_bytes > LOOP_VALUE_BYTES) {
		(void)sqlite3_limit(c->h, SQLITE_LIMIT_LENGTH, c->value_bytes);
		c->away |= (rc & 0xff) == SQLITE_TOOBIG;
	}
	if (!c->may_begin_anew && (rc == SQLITE_DONE || rc == SQLITE_ROW))
		c->away = false;
}

bool sqlite_away_look(struct sqlite_conn *c)
{
	const int64_t now = clock_mono_ns(), before = c->looked_ns;

	c->looked_ns = now;
	if (before == 0) {
		c->aside_ns = now;
		c->aside_cpu_ns = 0;
		return true;
	}
	/* somebody else may have had the processor meanwhile */
	if (!c->may_begin_anew || now - before < SLOW_NS ||
	    (c->aside_cpu_ns != 0 && clock_thread_cpu_ns() - c->aside_cpu_ns < SLOW_NS / 2))
		return true;
	c->stop = SQLITE_STOP_AWAY;
	c->away = true;
	return false;
}
