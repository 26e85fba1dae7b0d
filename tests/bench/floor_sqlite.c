/*
 * What SQLite itself costs: bare loops over the tables that the benchmark also serves.
 * Usage: floor_sqlite FILE rows N      N reads of 100 rows; prints microseconds of CPU for one
 *        floor_sqlite FILE commits S   commits of one row each for S seconds, WAL, synchronous=FULL; prints how many a
 * second floor_sqlite FILE bulk N      N rows by one prepared statement in one transaction; prints seconds
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(sqlite3 *db, int rc)
{
	if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
		return;
	fprintf(stderr, "floor_sqlite: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;

	must(db, sqlite3_prepare_v2(db, sql, -1, &st, NULL));
	return st;
}

static void rows(sqlite3 *db, long n)
{
	sqlite3_stmt *st =
		prepare(db, "SELECT id, name, note, price, qty FROM item WHERE id >= ? ORDER BY id LIMIT 100");
	double from = now(CLOCK_PROCESS_CPUTIME_ID);
	volatile size_t seen = 0;

	for (long i = 0; i < n; i++) {
		sqlite3_bind_int64(st, 1, 500);
		while (sqlite3_step(st) == SQLITE_ROW) {
			seen += (size_t)sqlite3_column_int64(st, 0);
			seen += strlen((const char *)sqlite3_column_text(st, 1));
			seen += strlen((const char *)sqlite3_column_text(st, 2));
			seen += (size_t)sqlite3_column_double(st, 3);
			seen += (size_t)sqlite3_column_int64(st, 4);
		}
		must(db, sqlite3_reset(st));
	}
	printf("%.3f\n", (now(CLOCK_PROCESS_CPUTIME_ID) - from) * 1e6 / (double)n);
	sqlite3_finalize(st);
}

static void bind_row(sqlite3_stmt *st, long i)
{
	sqlite3_bind_text(st, 1, "x", 1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, i);
	sqlite3_bind_double(st, 3, 1.5);
}

static void commits(sqlite3 *db, double seconds)
{
	sqlite3_stmt *st = prepare(db, "INSERT INTO written (name, qty, price) VALUES (?, ?, ?)");
	double from = now(CLOCK_MONOTONIC), spent = 0;
	long n = 0;

	for (; spent < seconds; spent = now(CLOCK_MONOTONIC) - from) {
		bind_row(st, n++);
		must(db, sqlite3_step(st));
		must(db, sqlite3_reset(st));
	}
	printf("%.1f\n", (double)n / spent);
	sqlite3_finalize(st);
}

static void bulk(sqlite3 *db, long n)
{
	sqlite3_stmt *st = prepare(db, "INSERT INTO written (name, qty, price) VALUES (?, ?, ?)");
	double from = now(CLOCK_MONOTONIC);

	must(db, sqlite3_exec(db, "BEGIN", NULL, NULL, NULL));
	for (long i = 0; i < n; i++) {
		bind_row(st, i);
		must(db, sqlite3_step(st));
		must(db, sqlite3_reset(st));
	}
	must(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
	printf("%.6f\n", now(CLOCK_MONOTONIC) - from);
	sqlite3_finalize(st);
}

int main(int argc, char **argv)
{
	sqlite3 *db = NULL;

	if (argc != 4)
		return 2;
	must(db, sqlite3_open(argv[1], &db));
	must(db, sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL));
	sqlite3_busy_timeout(db, 10000);
	if (strcmp(argv[2], "rows") == 0)
		rows(db, strtol(argv[3], NULL, 10));
	else if (strcmp(argv[2], "commits") == 0)
		commits(db, strtod(argv[3], NULL));
	else if (strcmp(argv[2], "bulk") == 0)
		bulk(db, strtol(argv[3], NULL, 10));
	else
		return 2;
	return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
