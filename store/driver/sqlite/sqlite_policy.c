/*
 * What SQL on a pooled connection may not do, decided while SQLite compiles it, never by reading the text: other files
 * (ATTACH, VACUUM INTO), foreign code (load_extension), the SQL of other clients (sqlite_stmt). And what it may do only
 * on a connection that nobody gets after it: settings and temporary objects.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include <stdlib.h>
#include <strings.h>

#include "service/base/fiber.h"

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
	"table_info",  "table_xinfo",      "table_list",        "index_list",      "index_info",
	"index_xinfo", "foreign_key_list", "foreign_key_check", "integrity_check", "quick_check",
	"optimize",    "wal_checkpoint",   "user_version",      "application_id",  "incremental_vacuum",
};
/* They reach past the database: to other files, or to every connection of the process. */
static const char *const forbidden_pragmas[] = {"temp_store_directory", "data_store_directory", "lock_proxy_file",
						"soft_heap_limit", "hard_heap_limit"};
/* Pragmas that look at whole tables in one step of SQLite's machine. */
static const char *const heavy_pragmas[] = {
	"integrity_check", "quick_check", "foreign_key_check", "optimize", "wal_checkpoint", "incremental_vacuum",
};
/* They expand the database's views, which takes as long as their author likes, and tell SQLite's compiler only. */
static const char *const expanding_pragmas[] = {"table_info", "table_list", "table_xinfo"};
/* Functions that compute little, or in steps (sqlite_function.c, sqlite_like.c). Of any other, one call may take long
 * when its arguments are; or (hex, randomblob, replace, zeroblob) it makes a value so large that whatever is done with
 * it does: a comparison, a sorting, an addition. */
static const char *const light_functions[] = {
	"abs",
	"acos",
	"acosh",
	"asin",
	"asinh",
	"atan",
	"atan2",
	"atanh",
	"avg",
	"ceil",
	"ceiling",
	"changes",
	"coalesce",
	"cos",
	"cosh",
	"count",
	"cume_dist",
	"current_date",
	"current_time",
	"current_timestamp",
	"degrees",
	"dense_rank",
	"exp",
	"ferro_clock",
	"ferro_date",
	"ferro_ilike",
	"ferro_read",
	"ferro_respell",
	"ferro_time",
	"ferro_time_spelling",
	"ferro_time_text",
	"first_value",
	"floor",
	"glob",
	"ifnull",
	"iif",
	"instr",
	"lag",
	"last_insert_rowid",
	"last_value",
	"lead",
	"likelihood",
	"like",
	"likely",
	"ln",
	"log",
	"log10",
	"log2",
	"ltrim",
	"max",
	"min",
	"mod",
	"nth_value",
	"ntile",
	"nullif",
	"octet_length",
	"percent_rank",
	"pi",
	"pow",
	"power",
	"radians",
	"random",
	"rank",
	"round",
	"row_number",
	"rtrim",
	"sign",
	"sin",
	"sinh",
	"sqlite_version",
	"sqrt",
	"subtype",
	"sum",
	"tan",
	"tanh",
	"total",
	"total_changes",
	"trim",
	"trunc",
	"typeof",
	"unicode",
	"unlikely",
};
/* What they tell counts more than the statement's own unit of work. */
static const char *const telling_functions[] = {"changes", "last_insert_rowid", "total_changes"};
static const char *const forbidden_functions[] = {"load_extension", "fts3_tokenizer", "sqlite_log"};

/* As SQLite reads a pragma's argument. */
static bool is_true(const char *value)
{
	static const char *const yes[] = {"on", "yes", "true"};

	return any_of(value, yes, ARRAY_LEN(yes)) || (value[0] >= '1' && value[0] <= '9');
}

static int on_pragma(struct sqlite_conn *c, const char *name, const char *value)
{
	c->saw_alone = true;
	if (any_of(name, forbidden_pragmas, ARRAY_LEN(forbidden_pragmas)))
		return SQLITE_DENY;
	if (c->query_only && value != NULL && strcasecmp(name, "query_only") == 0)
		return SQLITE_DENY;
	if (value != NULL && strcasecmp(name, "case_sensitive_like") == 0) {
		c->like_case = is_true(value);
		c->saw_taint = true;
		return SQLITE_IGNORE;
	}
	if (strcasecmp(name, "busy_timeout") == 0) {
		if (c->stepping) /* pragma_busy_timeout: SQLite would answer its own time, which is never set */
			return SQLITE_DENY;
		/* SQLite puts a handler of its own in the place of ours when it compiles this: sqlite_stmt.c undoes it
		 */
		c->saw_busy = true;
		c->saw_busy_ms = value != NULL ? (int64_t)strtol(value, NULL, 10) : -1;
	}
	if (strcasecmp(name, "database_list") == 0) {
		if (c->stepping) /* pragma_database_list: its cells cannot be told from others any more */
			return SQLITE_DENY;
		c->saw_paths = true;
	}
	c->saw_heavy |= any_of(name, heavy_pragmas, ARRAY_LEN(heavy_pragmas));
	if (c->compile_left > 0 && any_of(name, expanding_pragmas, ARRAY_LEN(expanding_pragmas))) {
		c->saw_long = true;
		return SQLITE_DENY;
	}
	if (value != NULL && !any_of(name, asking, ARRAY_LEN(asking)))
		c->saw_taint = true;
	return SQLITE_OK;
}

/* What ferrod writes itself is known to be short, but for a search; what others wrote (raw SQL, views, triggers) is
 * not. */
static int on_function(struct sqlite_conn *c, const char *name, bool foreign)
{
	if (any_of(name, forbidden_functions, ARRAY_LEN(forbidden_functions)))
		return SQLITE_DENY;
	c->saw_alone |= any_of(name, telling_functions, ARRAY_LEN(telling_functions));
	c->saw_match |= strcasecmp(name, "match") == 0;
	if (strcasecmp(name, "match") == 0 || (foreign && !any_of(name, light_functions, ARRAY_LEN(light_functions))))
		c->saw_heavy = true;
	return SQLITE_OK;
}

/* Other callers' SQL is nobody's; and a pragma may do something, so that no view or trigger of a schema made elsewhere
 * may run one. */
static bool on_read(const char *table, bool by_schema)
{
	if (table == NULL)
		return true;
	return strcasecmp(table, "sqlite_stmt") != 0 && !(by_schema && strncasecmp(table, "pragma_", 7) == 0);
}

/* Of each of the compiler's questions: is it to go on? Views, and what WITH names, double with each that names another
 * one twice: a short text may keep the compiler busy for minutes, which no progress handler sees. */
static bool may_compile(struct sqlite_conn *c, int action)
{
	/* inside a step only what others have changed is compiled anew, or what a table with SQL of its own asks */
	if (c->here && action != SQLITE_PRAGMA) {
		c->away = c->saw_changed = true;
		return false;
	}
	if (c->compile_left == 1)
		c->saw_long = true;
	else if (c->compile_left > 0)
		c->compile_left--;
	else if (fiber_current() == NULL)
		return sqlite_compile_goes_on(c) && !c->saw_long;
	return !c->saw_long;
}

static int on_authorize(void *arg, int action, const char *one, const char *two, const char *schema,
			const char *trigger)
{
	struct sqlite_conn *c = arg;

	if (c->internal)
		return SQLITE_OK;
	if (!may_compile(c, action))
		return SQLITE_DENY;
	c->saw_beyond |= !sqlite_proof_allows(action, one, two);
	switch (action) {
	case SQLITE_INSERT:
		if (trigger == NULL && one != NULL && strncasecmp(one, "sqlite_", 7) != 0)
			c->saw_insert = true;
		return SQLITE_OK;
	case SQLITE_UPDATE:
		c->saw_update = true;
		return SQLITE_OK;
	case SQLITE_DELETE:
	case SQLITE_ANALYZE:
	case SQLITE_REINDEX:
	case SQLITE_ALTER_TABLE:
		/* a whole table, or its sorting, may be one step */
		c->saw_delete |= action == SQLITE_DELETE;
		c->saw_heavy |= c->raw;
		return SQLITE_OK;
	case SQLITE_READ:
		c->saw_column = true;
		c->saw_heavy |= one != NULL && strncasecmp(one, "pragma_table_", 13) == 0;
		return on_read(one, trigger != NULL) ? SQLITE_OK : SQLITE_DENY;
	case SQLITE_SAVEPOINT:
		c->saw_alone = true;
		c->saw_divide = one != NULL && strcmp(one, "ROLLBACK") != 0;
		c->saw_own_savepoint |= two != NULL && stmt_is_own_savepoint(str_z(two));
		return c->saw_own_savepoint && c->raw ? SQLITE_DENY : SQLITE_OK;
	case SQLITE_TRANSACTION:
		c->saw_alone = true;
		c->saw_begin = one != NULL && strcmp(one, "BEGIN") == 0;
		return SQLITE_OK;
	case SQLITE_ATTACH:
		c->saw_alone = true;
		/* VACUUM attaches an unnamed file of its own while it runs */
		return c->stepping && one != NULL && one[0] == '\0' ? SQLITE_OK : SQLITE_DENY;
	case SQLITE_DETACH:
		return SQLITE_DENY;
	case SQLITE_FUNCTION:
		return on_function(c, two, c->raw || trigger != NULL);
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
		c->has_virtual |= action == SQLITE_CREATE_VTABLE;
		c->saw_heavy |= c->raw;
		/* "CREATE TABLE temp.x" */
		if (schema != NULL && strcasecmp(schema, "temp") == 0)
			c->saw_taint = true;
		return SQLITE_OK;
	default:
		return SQLITE_OK;
	}
}

void sqlite_policy_begin(struct sqlite_conn *c)
{
	c->saw_beyond = c->saw_insert = c->saw_update = c->saw_match = c->saw_alone = c->saw_taint = false;
	c->saw_begin = c->saw_divide = c->saw_own_savepoint = c->saw_heavy = c->saw_busy = c->saw_paths = false;
	c->saw_long = c->saw_too_long = c->saw_delete = c->saw_column = false;
}

void sqlite_policy_authorize(struct sqlite_conn *c)
{
	(void)sqlite3_set_authorizer(c->h, on_authorize, c);
}

void sqlite_policy_init(struct sqlite_conn *c)
{
	sqlite_policy_authorize(c);
	/* no writable_schema, no writes to shadow tables, no journal_mode=OFF */
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	/* Checks, generated columns, indexes, views and triggers that others made use JSON functions, FTS and R*Tree
	 * tables, of which SQLite before 3.42 takes the first, and every one the others, for unsafe. What has side
	 * effects SQLite keeps from a schema all the same (load_extension, fts3_tokenizer), or on_authorize does. */
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1, (int *)NULL);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, (int *)NULL);
	/* "name" is a column or an error, never the text 'name' for want of such a column */
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DML, 0, (int *)NULL);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DDL, 0, (int *)NULL);
}
