/* SQLite databases of the running test, and statements on them run to their end. */
#ifndef FERROD_TESTS_SUPPORT_SQLITE_DATABASE_H
#define FERROD_TESTS_SUPPORT_SQLITE_DATABASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mutex.h"
#include "service/base/strbuf.h"
#include "store/connection/dsn.h"
#include "store/driver/driver.h"
#include "store/driver/sqlite/driver_sqlite.h"
#include "tests/support/assert_err.h"
#include "tests/support/scratch_arena.h"

#define SECONDS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_S)

static const struct driver *const lite = &driver_sqlite;
static char dir[64];

/* ---- helpers --------------------------------------------------------------------------------------- */

struct database {
	struct dsn dsn;
	struct driver_db *db;
	struct driver_conn *a, *b;
};

static inline bool open_url(struct str url, struct database *d)
{
	memset(d, 0, sizeof(*d));
	return dsn_parse(&arena, url, &d->dsn, &err) && lite->db_open(&d->dsn, &d->db, &err) &&
	       lite->open(d->db, SECONDS(5), &d->a, &err);
}

static inline void close_database(struct database *d)
{
	lite->close(d->a);
	lite->close(d->b);
	lite->db_close(d->db);
}

static inline struct str file_url(const char *name, const char *query)
{
	return arena_printf(&arena, "sqlite:%s/%s%s", dir, name, query);
}

/* Two connections. */
static inline struct database memory_database(void)
{
	struct database d;

	assert_ok(open_url(STR("sqlite::memory:"), &d));
	assert_ok(lite->open(d.db, SECONDS(5), &d.b, &err));
	return d;
}

static inline struct database file_database(const char *name)
{
	struct database d;

	assert_ok(open_url(file_url(name, "?mode=rwc"), &d));
	assert_ok(lite->open(d.db, SECONDS(5), &d.b, &err));
	return d;
}

struct rows {
	size_t n, n_columns;
	struct value cells[64];
	int64_t affected, last_insert_id;
	bool read_only;
};

static inline bool run_on(struct driver_conn *c, const struct stmt *s, int64_t deadline, struct rows *ret,
			  struct err *e)
{
	struct cursor *cur;
	bool row = false, ok;

	memset(ret, 0, sizeof(*ret));
	if (!lite->prepare(c, s, deadline, &cur, e))
		return false;
	ret->n_columns = cur->n_columns;
	while ((ok = lite->step(cur, &row, e)) && row) {
		for (size_t i = 0; i < cur->n_columns && ret->n * cur->n_columns + i < ARRAY_LEN(ret->cells); i++)
			ret->cells[ret->n * cur->n_columns + i] = value_dup(&arena, cur->row[i]);
		ret->n++;
	}
	ret->affected = cur->affected;
	ret->last_insert_id = cur->last_insert_id;
	ret->read_only = cur->read_only;
	lite->finish(cur);
	return ok;
}

static inline bool sql_with(struct driver_conn *c, const char *sql, const struct value *params, size_t n,
			    struct rows *ret)
{
	const struct stmt s = {.sql = str_z(sql), .params = params, .n_params = n, .access = STMT_UNKNOWN, .raw = true};

	return run_on(c, &s, SECONDS(10), ret, &err);
}

static inline bool sql(struct driver_conn *c, const char *text)
{
	struct rows rows;

	return sql_with(c, text, NULL, 0, &rows);
}

static inline bool cached(struct driver_conn *c, const char *text, struct rows *ret)
{
	const struct stmt s = {.sql = str_z(text), .access = STMT_READ, .cache = true};

	return run_on(c, &s, SECONDS(10), ret, &err);
}

static inline int64_t number(struct driver_conn *c, const char *text)
{
	struct rows rows;

	assert_ok(sql_with(c, text, NULL, 0, &rows));
	assert_int_equal(rows.n, 1);
	assert_int_equal(rows.cells[0].kind, VALUE_INT);
	return rows.cells[0].u.i;
}

static inline int setup(void **state)
{
	(void)state;
	scratch_begin();
	(void)snprintf(dir, sizeof(dir), "/tmp/ferrod-test-XXXXXX");
	driver_sqlite_configure(&(struct sqlite_options){.busy_timeout_s = 0.2});
	return mkdtemp(dir) == NULL;
}

static inline int teardown(void **state)
{
	static const char *const names[] = {"a.db", "b.db", "link.db", "x%20y.db", "file:c.db"};
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		for (size_t j = 0; j < ARRAY_LEN(ends); j++) {
			char path[160];

			(void)snprintf(path, sizeof(path), "%s/%s%s", dir, names[i], ends[j]);
			(void)unlink(path);
		}
	}
	scratch_end();
	return rmdir(dir);
}

#endif
