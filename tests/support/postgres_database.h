/*
 * A PostgreSQL database with a schema of its own, two connections for each test, and statements run to their end.
 * FERROD_TEST_PG_URL names a database where a schema may be created; runs on a plain thread, where waits block.
 */
#ifndef FERROD_TESTS_SUPPORT_POSTGRES_DATABASE_H
#define FERROD_TESTS_SUPPORT_POSTGRES_DATABASE_H

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
#include "store/connection/dsn.h"
#include "store/driver/driver.h"
#include "store/driver/postgres/postgres_driver.h"
#include "tests/support/assert_err.h"
#include "tests/support/needs_server.h"
#include "tests/support/scratch_arena.h"

#define SECONDS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_S)

static const struct driver *const pg = &driver_postgres;

/* One database of the group: its dsn, and two connections for each test. */
static struct {
	struct arena arena;
	struct str url;
	struct dsn dsn;
	struct driver_db *db;
} g;

static struct driver_conn *c1, *c2;

/* ---- helpers --------------------------------------------------------------------------------------- */

struct rows {
	size_t n, n_columns;
	struct value cells[64];
	int64_t affected;
};

/* Runs to the end; the first rows are copied. */
static inline bool run_stmt(struct driver_conn *c, const struct stmt *s, int64_t deadline, struct rows *ret)
{
	struct cursor *cur;
	bool row = false, ok;

	memset(ret, 0, sizeof(*ret));
	if (!pg->prepare(c, s, deadline, &cur, &err))
		return false;
	ret->n_columns = cur->n_columns;
	while ((ok = pg->step(cur, &row, &err)) && row) {
		for (size_t i = 0; i < cur->n_columns && ret->n * cur->n_columns + i < ARRAY_LEN(ret->cells); i++)
			ret->cells[ret->n * cur->n_columns + i] = value_dup(&arena, cur->row[i]);
		ret->n++;
	}
	ret->affected = cur->affected;
	pg->finish(cur);
	return ok;
}

static inline bool raw_with(struct driver_conn *c, const char *sql, const struct value *params, size_t n,
			    struct rows *ret)
{
	struct stmt s = {.sql = str_z(sql),
			 .params = params,
			 .n_params = n,
			 .access = STMT_UNKNOWN,
			 .param_type = STMT_PARAM_BY_KIND,
			 .raw = true};

	return run_stmt(c, &s, SECONDS(10), ret);
}

static inline bool raw(struct driver_conn *c, const char *sql)
{
	struct rows rows;

	return raw_with(c, sql, NULL, 0, &rows);
}

/* A generated statement. */
static inline bool own(struct driver_conn *c, const char *sql, bool cache, struct rows *ret)
{
	struct stmt s = {.sql = str_z(sql), .access = STMT_WRITE, .cache = cache};

	return run_stmt(c, &s, SECONDS(10), ret);
}

static inline int64_t number(struct driver_conn *c, const char *sql)
{
	struct rows rows;

	assert_ok(raw_with(c, sql, NULL, 0, &rows));
	assert_int_equal(rows.n, 1);
	assert_int_equal(rows.cells[0].kind, VALUE_INT);
	return rows.cells[0].u.i;
}

static inline void assert_cell(const struct rows *rows, size_t i, enum value_kind kind, const char *text)
{
	assert_int_equal(rows->cells[i].kind, kind);
	if (!str_eq_z(rows->cells[i].u.s, text))
		fail_msg("cell %zu is \"%.*s\", not \"%s\"", i, STR_FMT(rows->cells[i].u.s), text);
}

static inline void assert_text(struct driver_conn *c, const char *sql, const char *want)
{
	struct rows rows;

	assert_ok(raw_with(c, sql, NULL, 0, &rows));
	assert_int_equal(rows.n, 1);
	assert_cell(&rows, 0, VALUE_TEXT, want);
}

static inline struct str url_with(struct arena *a, const char *parameter)
{
	const char sep = memchr(g.url.p, '?', g.url.len) != NULL ? '&' : '?';

	return arena_printf(a, "%.*s%c%s", STR_FMT(g.url), sep, parameter);
}

static inline struct driver_db *open_db(struct arena *a, struct str url, struct dsn *dsn)
{
	struct driver_db *db;

	assert_ok(dsn_parse(a, url, dsn, &err));
	assert_ok(pg->db_open(dsn, &db, &err));
	return db;
}

/* ---- set-up ---------------------------------------------------------------------------------------- */

static inline int group_open(void **state)
{
	const char *url = getenv("FERROD_TEST_PG_URL");
	struct driver_conn *c;
	char sql[128];

	(void)state;
	if (url == NULL)
		return 0;
	arena_init(&g.arena);
	g.url = str_z(url);
	g.db = open_db(&g.arena,
		       url_with(&g.arena, arena_printf(&g.arena, "ferro_search_path=ferrod_Unit_%d", (int)getpid()).p),
		       &g.dsn);
	if (!pg->open(g.db, SECONDS(10), &c, &err)) {
		print_error("%s\n", err.detail);
		return -1;
	}
	(void)snprintf(sql, sizeof(sql), "CREATE SCHEMA \"ferrod_Unit_%d\"", (int)getpid());
	if (!raw(c, sql))
		return -1;
	pg->close(c);
	return 0;
}

static inline int group_close(void **state)
{
	struct driver_conn *c;
	char sql[128];

	(void)state;
	if (g.db == NULL)
		return 0;
	if (!pg->open(g.db, SECONDS(10), &c, &err))
		return -1;
	(void)snprintf(sql, sizeof(sql), "DROP SCHEMA \"ferrod_Unit_%d\" CASCADE", (int)getpid());
	if (!raw(c, sql))
		return -1;
	pg->close(c);
	pg->db_close(g.db);
	arena_done(&g.arena);
	return 0;
}

static inline int test_open(void **state)
{
	(void)state;
	scratch_begin();
	c1 = c2 = NULL;
	if (g.db == NULL)
		return 0;
	return pg->open(g.db, SECONDS(10), &c1, &err) && pg->open(g.db, SECONDS(10), &c2, &err) ? 0 : -1;
}

static inline int test_close(void **state)
{
	(void)state;
	pg->close(c1);
	pg->close(c2);
	scratch_end();
	return 0;
}

#endif
