/*
 * What SQL on a pooled connection may not do, decided while SQLite compiles it, never by reading the text: other files
 * (ATTACH, VACUUM INTO), foreign code (load_extension), the SQL of other clients (sqlite_stmt). And what it may do only
 * on a connection that nobody gets after it: settings and temporary objects.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include <strings.h>

#include "service/base/banned.h"

static bool any_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; word != NULL && i < n; i++) {
		if (strcasecmp(word, words[i]) == 0)
			return true;
	}
	return false;
}

/* Pragmas whose argument says what to show or check, not what to set. */
static const char *const asking[] = {
	"table_info",      "table_xinfo",    "table_list",       "index_list",
	"index_info",      "index_xinfo",    "foreign_key_list", "foreign_key_check",
	"integrity_check", "quick_check",    "optimize",         "wal_checkpoint",
	"user_version",    "application_id", "analysis_limit",   "incremental_vacuum",
};
/* They reach past the database: to other files, or to every connection of the process. */
static const char *const forbidden_pragmas[] = {"temp_store_directory", "data_store_directory", "lock_proxy_file",
						"soft_heap_limit", "hard_heap_limit"};
static const char *const forbidden_functions[] = {"load_extension", "fts3_tokenizer"};

static int on_pragma(struct sqlite_conn *c, const char *name, const char *value)
{
	if (any_of(name, forbidden_pragmas, ARRAY_LEN(forbidden_pragmas)))
		return SQLITE_DENY;
	if (c->query_only && value != NULL && strcasecmp(name, "query_only") == 0)
		return SQLITE_DENY;
	if (value != NULL && !any_of(name, asking, ARRAY_LEN(asking)))
		c->saw_taint = true;
	return SQLITE_OK;
}

static int on_authorize(void *arg, int action, const char *one, const char *two, const char *schema,
			const char *trigger)
{
	struct sqlite_conn *c = arg;

	if (c->internal)
		return SQLITE_OK;
	switch (action) {
	case SQLITE_INSERT:
		if (trigger == NULL && one != NULL && strncasecmp(one, "sqlite_", 7) != 0)
			c->saw_insert = true;
		return SQLITE_OK;
	case SQLITE_READ:
		return one != NULL && strcasecmp(one, "sqlite_stmt") == 0 ? SQLITE_DENY : SQLITE_OK;
	case SQLITE_ATTACH:
		/* VACUUM attaches an unnamed file of its own while it runs */
		return c->stepping && one != NULL && one[0] == '\0' ? SQLITE_OK : SQLITE_DENY;
	case SQLITE_DETACH:
		return SQLITE_DENY;
	case SQLITE_FUNCTION:
		return any_of(two, forbidden_functions, ARRAY_LEN(forbidden_functions)) ? SQLITE_DENY : SQLITE_OK;
	case SQLITE_PRAGMA:
		return on_pragma(c, one, two);
	case SQLITE_CREATE_TEMP_INDEX:
	case SQLITE_CREATE_TEMP_TABLE:
	case SQLITE_CREATE_TEMP_TRIGGER:
	case SQLITE_CREATE_TEMP_VIEW:
		c->saw_taint = true;
		return SQLITE_OK;
	case SQLITE_CREATE_INDEX:
	case SQLITE_CREATE_TABLE:
	case SQLITE_CREATE_TRIGGER:
	case SQLITE_CREATE_VIEW:
	case SQLITE_CREATE_VTABLE:
		/* "CREATE TABLE temp.x" */
		if (schema != NULL && strcasecmp(schema, "temp") == 0)
			c->saw_taint = true;
		return SQLITE_OK;
	default:
		return SQLITE_OK;
	}
}

void sqlite_policy_init(struct sqlite_conn *c)
{
	(void)sqlite3_set_authorizer(c->h, on_authorize, c);
	/* no writable_schema, no writes to shadow tables, no journal_mode=OFF */
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	/* a schema made elsewhere may not call functions that do more than compute */
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, (int *)NULL);
	/* "name" is a column or an error, never the text 'name' for want of such a column */
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DML, 0, (int *)NULL);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DDL, 0, (int *)NULL);
}
