/*
 * Does a statement use virtual tables? Searching or writing one is a single step of SQLite's machine, however much
 * there is to do (a full-text query, a document of megabytes, 'optimize'), and no authorizer is told. The compiled
 * statement tells: EXPLAIN lists its steps, those of triggers too. Only databases that have virtual tables pay for it.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include <strings.h>

#include "service/base/mem.h"

#include "service/base/banned.h"

static bool one_number(sqlite3_stmt *st, int64_t *ret)
{
	const bool ok = sqlite3_step(st) == SQLITE_ROW;

	*ret = ok ? sqlite3_column_int64(st, 0) : -1;
	return (sqlite3_reset(st) & 0xff) == SQLITE_OK && ok;
}

static bool has_virtual(struct sqlite_conn *c)
{
	static const char any[] = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND rootpage = 0";
	sqlite3_stmt *st = NULL;
	int64_t version, n = 0;
	bool ok;

	/* the first read of a transaction is its caller's: what it began with would not wait for a lock to write */
	if (!sqlite3_get_autocommit(c->h) && sqlite3_txn_state(c->h, "main") == SQLITE_TXN_NONE)
		return true;
	if (c->st_schema == NULL && sqlite3_prepare_v3(c->h, "PRAGMA schema_version", -1, SQLITE_PREPARE_PERSISTENT,
						       &c->st_schema, NULL) != SQLITE_OK)
		return true;
	if (!one_number(c->st_schema, &version))
		return true;
	if (version == c->virtual_schema)
		return c->has_virtual;
	ok = sqlite3_prepare_v2(c->h, any, -1, &st, NULL) == SQLITE_OK && one_number(st, &n);
	(void)sqlite3_finalize(st);
	if (!ok)
		return true;
	c->virtual_schema = version;
	c->has_virtual = n > 0;
	return c->has_virtual;
}

static bool explains(struct sqlite_conn *c, struct str sql)
{
	static const char *const steps[] = {"VFilter", "VUpdate", "VBegin", "VCreate", "VDestroy"};
	static const char explain[] = "EXPLAIN ";
	char *text = mem_alloc(sizeof(explain) + sql.len);
	sqlite3_stmt *st = NULL;
	bool found = false;
	int rc;

	memcpy(text, explain, sizeof(explain) - 1);
	memcpy(text + sizeof(explain) - 1, sql.p, sql.len);
	rc = sqlite3_prepare_v2(c->h, text, (int)(sizeof(explain) - 1 + sql.len), &st, NULL);
	while (rc == SQLITE_OK && !found && sqlite3_step(st) == SQLITE_ROW) {
		const char *step = (const char *)sqlite3_column_text(st, 1);

		for (size_t i = 0; step != NULL && i < ARRAY_LEN(steps); i++)
			found |= strcmp(step, steps[i]) == 0;
	}
	(void)sqlite3_finalize(st);
	mem_free(text);
	return found || rc != SQLITE_OK;
}

bool sqlite_virtual_used(struct sqlite_conn *c, struct str sql)
{
	const bool internal = c->internal, impatient = c->impatient;
	bool used;

	c->internal = c->impatient = true;
	used = has_virtual(c) && explains(c, sql);
	c->internal = internal;
	c->impatient = impatient;
	return used;
}

void sqlite_virtual_done(struct sqlite_conn *c)
{
	(void)sqlite3_finalize(c->st_schema);
}
