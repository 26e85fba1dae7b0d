/*
 * Rows ahead of their reader. A statement that calls functions of SQLite which may compute for long in one piece is
 * stepped by a thread of its own crew, for nothing gets a turn on a loop meanwhile. A hop to a thread costs about as
 * much as a hundred cheap rows, so some are made at once: as many as a few milliseconds yield, copied but for a large
 * one, on which the statement keeps standing.
 */
#include "store/driver/sqlite/sqlite_stmt.h"

#include "service/base/clock.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

#define AHEAD_NS (5 * CLOCK_NS_PER_MS)
#define AHEAD_BYTES ((size_t)64 << 10)
#define AHEAD_ROWS 256

struct sqlite_ahead {
	struct arena arena; /* of the rows */
	const struct value *rows[AHEAD_ROWS];
	size_t n, next;
	bool stands; /* behind them comes the row that the statement stands on */
	int rc;      /* of the last step */
};

static size_t row_bytes(const struct sqlite_stmt *st)
{
	size_t n = st->cur.n_columns * sizeof(struct value);

	for (size_t i = 0; i < st->cur.n_columns; i++)
		if (st->values[i].kind == VALUE_TEXT || st->values[i].kind == VALUE_BYTES)
			n += st->values[i].u.s.len;
	return n;
}

static void keep_row(struct sqlite_stmt *st)
{
	struct sqlite_ahead *a = st->ahead;
	struct value *row = arena_array(&a->arena, st->cur.n_columns, sizeof(*row));

	for (size_t i = 0; i < st->cur.n_columns; i++)
		row[i] = value_dup(&a->arena, st->values[i]);
	a->rows[a->n++] = row;
}

static void fill_job(void *arg)
{
	struct sqlite_stmt *st = arg;
	struct sqlite_ahead *a = st->ahead;
	const int64_t until = clock_mono_ns() + AHEAD_NS;
	size_t bytes = 0;

	for (;;) {
		a->rc = sqlite_wait_one(st->c, st->h, true);
		if (!st->stepped && (a->rc == SQLITE_ROW || a->rc == SQLITE_DONE))
			sqlite_stmt_columns(st);
		if (a->rc != SQLITE_ROW)
			return;
		st->stepped = true;
		if (st->n_passed > 0) { /* a loop has given it */
			st->n_passed--;
			continue;
		}
		sqlite_stmt_row(st);
		bytes += row_bytes(st);
		a->stands = bytes > AHEAD_BYTES || a->n == AHEAD_ROWS || clock_mono_ns() >= until;
		if (a->stands)
			return;
		keep_row(st);
	}
}

int sqlite_ahead_step(struct sqlite_stmt *st)
{
	struct sqlite_ahead *a = st->ahead;

	if (a == NULL) {
		a = st->ahead = mem_alloc(sizeof(*a));
		arena_init(&a->arena);
		a->rc = SQLITE_ROW;
	}
	if (a->next == a->n && !a->stands && a->rc == SQLITE_ROW) {
		arena_reset(&a->arena);
		a->n = a->next = 0;
		sqlite_wait_compute(st->c, fill_job, st, &a->rc);
	}
	if (a->next < a->n) {
		st->cur.row = a->rows[a->next++];
		return SQLITE_ROW;
	}
	st->cur.row = st->values;
	a->stands = false;
	return a->rc;
}

void sqlite_ahead_drop(struct sqlite_ahead *a)
{
	if (a == NULL)
		return;
	arena_done(&a->arena);
	mem_free(a);
}
