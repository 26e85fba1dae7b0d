/*
 * Group commit: what several requests write by one statement each, ours or their own, goes into one transaction, which
 * is synced once. Each statement has a savepoint of its own, so one that fails, or leaves foreign keys unmet, takes
 * nothing with it. What undoes the whole transaction (a statement that was interrupted, a deferred constraint that the
 * commit finds violated, a full disk) leaves the others to be run again, each by itself; their rows have been kept back
 * until then, so nobody has seen anything of the first attempt. The whole runs on the thread pool: one hop for all of
 * them, and the loop goes on.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* The rows that a statement returned. */
struct write_result {
	struct arena arena; /* of all that follows */
	struct cursor cur;
	struct value **rows;
	size_t n_rows, size, next;
	size_t n_bytes;
};

struct write_job {
	struct driver_conn *conn;
	struct batch_item *const *items;
	size_t n;
	int64_t deadline_ns;
};

bool sqlite_groups_writes(const struct driver_db *db)
{
	return db->is_file;
}

/* ---- one statement ---- */

static void keep_columns(struct write_result *r, const struct cursor *cur)
{
	struct cursor_column *columns = arena_array(&r->arena, cur->n_columns, sizeof(*columns));

	for (size_t i = 0; i < cur->n_columns; i++)
		columns[i] = (struct cursor_column){.name = arena_str(&r->arena, cur->columns[i].name),
						    .type = arena_str(&r->arena, cur->columns[i].type)};
	r->cur.n_columns = cur->n_columns;
	r->cur.columns = columns;
}

static size_t length_of(const struct value *v)
{
	return v->kind == VALUE_TEXT || v->kind == VALUE_BYTES || v->kind == VALUE_JSON ? v->u.s.len : 0;
}

static void keep_row(struct write_result *r, const struct cursor *cur)
{
	struct value *row = arena_array(&r->arena, cur->n_columns, sizeof(*row));

	for (size_t i = 0; i < cur->n_columns; i++) {
		row[i] = value_dup(&r->arena, cur->row[i]);
		r->n_bytes += sizeof(*row) + length_of(&row[i]);
	}
	if (r->n_rows == r->size) {
		struct value **more =
			arena_array(&r->arena, r->size = r->size != 0 ? r->size * 2 : 4, sizeof(struct value *));

		for (size_t i = 0; i < r->n_rows; i++)
			more[i] = r->rows[i];
		r->rows = more;
	}
	r->rows[r->n_rows++] = row;
}

static void run_item(struct driver_conn *c, struct batch_item *item, int64_t deadline_ns)
{
	struct write_result *r;
	struct cursor *cur;
	bool row = true;

	c->company = item->stmt->raw;
	const bool prepared = sqlite_prepare(c, item->stmt, deadline_ns, &cur, &item->err);
	c->company = false;
	if (!prepared) {
		item->again = item->err.again != ERR_AGAIN_NO;
		item->failed = !item->again;
		return;
	}
	item->result = r = mem_alloc(sizeof(*r));
	arena_init(&r->arena);
	while (!item->failed && !item->again && row) {
		item->failed = !sqlite_step(cur, &row, &item->err);
		if (!item->failed && row)
			keep_row(r, cur);
		item->again = r->n_bytes > LIMIT_SHARED_ROW_BYTES && item->stmt->raw;
	}
	keep_columns(r, cur); /* a statement that was compiled anew has its own from the first step on */
	r->cur.affected = cur->affected;
	r->cur.last_insert_id = cur->last_insert_id;
	sqlite_finish(cur);
	if (item->failed || item->again)
		sqlite_batch_drop(item);
}

struct cursor *sqlite_batch_cursor(struct batch_item *item)
{
	struct write_result *r = item->result;

	return &r->cur;
}

bool sqlite_batch_step(struct cursor *cur)
{
	struct write_result *r = CONTAINER_OF(cur, struct write_result, cur);

	if (r->next == r->n_rows)
		return false;
	cur->row = r->rows[r->next++];
	return true;
}

void sqlite_batch_drop(struct batch_item *item)
{
	struct write_result *r = item->result;

	if (r == NULL)
		return;
	item->result = NULL;
	arena_done(&r->arena);
	mem_free(r);
}

/* ---- the transaction ---- */

/* Nothing of the transaction has remained, nor of what a statement may have failed on. culprit: whose failure ended it;
 * NULL: none's. */
static void undone(const struct write_job *j, const struct batch_item *culprit)
{
	for (size_t i = 0; i < j->n; i++) {
		struct batch_item *item = j->items[i];

		if (item->failed && (item == culprit || item->err.code == ERR_STATEMENT_TIMEOUT))
			continue;
		sqlite_batch_drop(item);
		item->failed = false;
		item->again = true;
	}
}

/* Nobody knows how long a client's own statement takes: it keeps its own time, of which the others give it only some.
 */
static int64_t own_deadline(const struct write_job *j, const struct batch_item *item)
{
	const int64_t timeout = j->conn->statement_timeout_ns;

	if (!item->stmt->raw)
		return CLOCK_NEVER;
	return clock_min(item->deadline_ns, timeout > 0 ? clock_mono_ns() + timeout : CLOCK_NEVER);
}

static int64_t shared_deadline(const struct write_job *j, const struct batch_item *item)
{
	return item->stmt->raw ? clock_min(j->deadline_ns, clock_mono_ns() + sqlite_conn_of(j->conn)->unit_ns)
			       : j->deadline_ns;
}

/* What stopped it may have been the others' time, not its own: then it is to run again. */
static void stopped(struct batch_item *item, int64_t own_ns, int64_t shared_ns)
{
	if (!item->failed || item->err.code != ERR_STATEMENT_TIMEOUT)
		return;
	item->slow = true;
	if (shared_ns <= own_ns) {
		item->failed = false;
		item->again = true;
	}
}

/* What FAIL leaves of a client's own statement stays when it runs by itself, and only SQLite knows whether it would. */
static bool may_leave_some(const struct batch_item *item)
{
	return item->stmt->raw && (item->err.code == ERR_UNIQUE_VIOLATION || item->err.code == ERR_CHECK_VIOLATION ||
				   item->err.code == ERR_NOT_NULL_VIOLATION || item->err.code == ERR_SQL_ERROR);
}

static bool undo_failed(struct sqlite_conn *c, struct batch_item *item)
{
	struct err err;

	if (!sqlite_run(c, STR("ROLLBACK TO ferrod_item"), true, CLOCK_NEVER, &err))
		return false;
	if (!item->failed)
		return true;
	if (may_leave_some(item)) {
		item->failed = false;
		item->again = true;
	} else if (item->err.outcome == ERR_OUTCOME_NONE) {
		item->err.outcome = ERR_OUTCOME_ROLLED_BACK;
	}
	return true;
}

static bool run_in_savepoint(const struct write_job *j, struct batch_item *item)
{
	struct sqlite_conn *c = sqlite_conn_of(j->conn);
	struct err err;

	if (!sqlite_run(c, STR("SAVEPOINT ferrod_item"), true, j->deadline_ns, &err))
		return false;
	sqlite_part_fresh(c);
	const int64_t own_ns = own_deadline(j, item), shared_ns = shared_deadline(j, item);
	run_item(j->conn, item, clock_min(own_ns, shared_ns));
	stopped(item, own_ns, shared_ns);
	if (sqlite3_get_autocommit(c->h)) { /* it has ended all of it */
		item->slow = true;
		return false;
	}
	if (!item->failed && !item->again && !sqlite_part_clean(c, &item->err)) {
		sqlite_batch_drop(item);
		item->failed = true;
	}
	if ((item->failed || item->again) && !undo_failed(c, item))
		return false;
	return sqlite_run(c, STR("RELEASE ferrod_item"), true, CLOCK_NEVER, &err);
}

/* It may be allowed to wait for a lock for longer than a group is. */
static void give_more_time(const struct write_job *j, struct batch_item *item)
{
	if (!item->failed || item->err.code != ERR_DATABASE_BUSY || clock_mono_ns() < j->deadline_ns)
		return;
	item->failed = false;
	item->again = true;
}

static void run_job(void *arg)
{
	const struct write_job *j = arg;
	struct sqlite_conn *c = sqlite_conn_of(j->conn);
	const struct batch_item *culprit = NULL;
	struct err err;
	bool ok;

	if (j->n == 1 && !j->items[0]->stmt->raw) {
		run_item(j->conn, j->items[0], j->deadline_ns);
		give_more_time(j, j->items[0]);
		return;
	}
	ok = sqlite_run(c, STR("BEGIN IMMEDIATE"), true, j->deadline_ns, &err);
	for (size_t i = 0; ok && i < j->n; i++) {
		ok = run_in_savepoint(j, j->items[i]);
		culprit = ok ? NULL : j->items[i];
	}
	ok = ok && sqlite_run(c, STR("COMMIT"), true, CLOCK_NEVER, &err);
	if (ok)
		return;
	sqlite_rollback(j->conn);
	undone(j, culprit);
}

void sqlite_run_writes(struct driver_conn *base, struct batch_item *const *items, size_t n, int64_t deadline_ns)
{
	struct write_job j = {.conn = base, .items = items, .n = n, .deadline_ns = deadline_ns};

	if (base->db->is_file && fiber_current() != NULL)
		offload(run_job, &j);
	else
		run_job(&j);
}
