/*
 * Does a statement use virtual tables? Searching or writing one is a single step of SQLite's machine, however much
 * there is to do (a full-text query, a document of megabytes, 'optimize'), and no authorizer is told. The compiled
 * statement tells: EXPLAIN lists its steps, those of triggers too. Only databases that have virtual tables pay for it.
 *
 * And does the schema have views that name each other? SQLite puts each view in the place of its name before it asks
 * anybody: a short text may take as long to compile as their author likes.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include <strings.h>

#include "service/base/arena.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

/* Beyond them views are not looked at: they may name each other. */
#define VIEWS_MAX 200
/* Nor are their texts, all in all, beyond so many bytes, or where to look for each name in each of them is to read so
 * many. */
#define VIEWS_BYTES ((size_t)1 << 20)
#define LOOK_BYTES ((size_t)16 << 20)
/* SELECTs of a view: WITH names that name each other are put in place likewise. */
#define VIEW_SELECTS 6

static bool one_number(sqlite3_stmt *st, int64_t *ret)
{
	const bool ok = sqlite3_step(st) == SQLITE_ROW;

	*ret = ok ? sqlite3_column_int64(st, 0) : -1;
	return (sqlite3_reset(st) & 0xff) == SQLITE_OK && ok;
}

/* Does a view name another one, or have many SELECTs of its own? */
static bool names_another(sqlite3_stmt *views, struct arena *a)
{
	struct str *names = NULL, *texts = NULL;
	size_t n = 0, size = 0, bytes = 0;
	bool found = false;

	while (!found && sqlite3_step(views) == SQLITE_ROW) {
		if (n == size) {
			struct str *more = arena_array(a, 2 * (size = 2 * size + 16), sizeof(*more));

			for (size_t i = 0; i < n; i++) {
				more[i] = names[i];
				more[size + i] = texts[i];
			}
			names = more;
			texts = more + size;
		}
		bytes += (size_t)sqlite3_column_bytes(views, 1);
		if (bytes > VIEWS_BYTES)
			return true;
		names[n] = arena_str(a, str_z((const char *)sqlite3_column_text(views, 0)));
		texts[n++] = arena_str(a, str_z((const char *)sqlite3_column_text(views, 1)));
		/* in a text, such a name may be spelt otherwise */
		found = n > VIEWS_MAX || sqlite_text_selects(texts[n - 1]) > VIEW_SELECTS ||
			strpbrk(names[n - 1].p, "\"'`]") != NULL;
	}
	found = found || n * bytes > LOOK_BYTES;
	for (size_t i = 0; i < n && !found; i++)
		for (size_t k = 0; k < n && !found; k++)
			found = i != k && memmem(texts[i].p, texts[i].len, names[k].p, names[k].len) != NULL;
	return found;
}

static bool look_at_schema(struct sqlite_conn *c)
{
	static const char any[] = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND rootpage = 0";
	static const char views[] =
		"SELECT coalesce(lower(name), ''), coalesce(lower(sql), '') FROM sqlite_schema WHERE type = 'view'";
	sqlite3_stmt *st = NULL;
	struct arena a;
	int64_t n = 0;
	bool ok;

	ok = sqlite3_prepare_v2(c->h, any, -1, &st, NULL) == SQLITE_OK && one_number(st, &n);
	(void)sqlite3_finalize(st);
	if (!ok || sqlite3_prepare_v2(c->h, views, -1, &st, NULL) != SQLITE_OK)
		return false;
	arena_init(&a);
	c->has_virtual = n > 0;
	c->has_nested = names_another(st, &a);
	arena_done(&a);
	return (sqlite3_finalize(st) & 0xff) == SQLITE_OK;
}

/* False: it cannot be told. */
static bool know_schema(struct sqlite_conn *c)
{
	int64_t version;

	/* the first read of a transaction is its caller's: what it began with would not wait for a lock to write */
	if (!sqlite3_get_autocommit(c->h) && sqlite3_txn_state(c->h, "main") == SQLITE_TXN_NONE)
		return false;
	if (c->st_schema == NULL && sqlite3_prepare_v3(c->h, "PRAGMA schema_version", -1, SQLITE_PREPARE_PERSISTENT,
						       &c->st_schema, NULL) != SQLITE_OK)
		return false;
	if (!one_number(c->st_schema, &version))
		return false;
	if (version == c->virtual_schema)
		return true;
	c->virtual_schema = look_at_schema(c) ? version : -1;
	return c->virtual_schema >= 0;
}

static bool has_virtual(struct sqlite_conn *c)
{
	return !know_schema(c) || c->has_virtual;
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

bool sqlite_virtual_nested(struct sqlite_conn *c)
{
	const bool internal = c->internal, impatient = c->impatient;
	bool nested;

	c->internal = c->impatient = true;
	nested = c->tainted || !know_schema(c) || c->has_nested;
	c->internal = internal;
	c->impatient = impatient;
	return nested;
}

void sqlite_virtual_done(struct sqlite_conn *c)
{
	(void)sqlite3_finalize(c->st_schema);
}
