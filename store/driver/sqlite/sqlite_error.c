/*
 * Result codes and messages to struct err. SQLite's messages name schema objects, which a client may see, but some
 * quote pieces of the SQL or of a value, which must not get into an error: those are cut.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include <errno.h>
#include <stdio.h>

#include "service/base/banned.h"

static void copy(char *out, size_t size, struct str s)
{
	const size_t n = s.len < size ? s.len : size - 1;

	if (n > 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
}

static bool cut_prefix(struct str *s, const char *prefix)
{
	const size_t n = strlen(prefix);

	if (s->len < n || memcmp(s->p, prefix, n) != 0)
		return false;
	*s = str_n(s->p + n, s->len - n);
	return true;
}

/* "users.email, users.name" or "users.email": the table, and the column when there is one only. */
static void set_columns(struct err *err, struct str list)
{
	struct str rest = list, first, table;

	(void)str_split(&rest, ',', &first);
	(void)str_split(&first, '.', &table);
	copy(err->table, sizeof(err->table), table);
	if (rest.p == NULL && first.p != NULL)
		copy(err->column, sizeof(err->column), first);
}

/* A constraint's name, unless the message has its expression instead. */
static void set_constraint(struct err *err, struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		const char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		      c == '$' || (unsigned char)c >= 0x80))
			return;
	}
	copy(err->constraint, sizeof(err->constraint), name);
}

static bool constraint_error(int rc, struct str msg, struct err *err)
{
	switch (rc) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		(void)err_set(err, ERR_UNIQUE_VIOLATION, "%.*s", STR_FMT(msg));
		if (!cut_prefix(&msg, "UNIQUE constraint failed: "))
			return false;
		if (cut_prefix(&msg, "index '")) {
			if (msg.len > 0)
				set_constraint(err, str_n(msg.p, msg.len - 1));
		} else {
			set_columns(err, msg);
		}
		return false;
	case SQLITE_CONSTRAINT_NOTNULL:
		(void)err_set(err, ERR_NOT_NULL_VIOLATION, "%.*s", STR_FMT(msg));
		if (cut_prefix(&msg, "NOT NULL constraint failed: "))
			set_columns(err, msg);
		return false;
	case SQLITE_CONSTRAINT_CHECK:
		(void)err_set(err, ERR_CHECK_VIOLATION, "%.*s", STR_FMT(msg));
		if (cut_prefix(&msg, "CHECK constraint failed: "))
			set_constraint(err, msg);
		return false;
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return err_set(err, ERR_FOREIGN_KEY_VIOLATION, "%.*s", STR_FMT(msg));
	case SQLITE_CONSTRAINT_TRIGGER:
		/* ON DELETE RESTRICT is a trigger inside; RAISE() of a trigger comes here too, with its own words */
		return err_set(
			err, str_eq_z(msg, "FOREIGN KEY constraint failed") ? ERR_FOREIGN_KEY_VIOLATION : ERR_SQL_ERROR,
			"%.*s", STR_FMT(msg));
	case SQLITE_CONSTRAINT_DATATYPE:
		return err_set(err, ERR_INVALID_VALUE, "%.*s", STR_FMT(msg));
	default:
		return err_set(err, ERR_SQL_ERROR, "%.*s", STR_FMT(msg));
	}
}

/* Without literals of the SQL text and without values. `near "x"` stays while x is a word of the statement being
 * compiled. */
static struct str safe_message(struct str msg)
{
	static const char near[] = "near \"";
	const char *at = memmem(msg.p, msg.len, near, sizeof(near) - 1);
	const char *quote;

	if (str_starts(msg, STR("unrecognized token")))
		return STR("unrecognized token");
	if (at != NULL) {
		const char first = at[sizeof(near) - 1];
		const bool word =
			(first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || strchr("(),;*=_", first);

		if (at != msg.p || first == '\0' || !word)
			return STR("syntax error");
	}
	quote = msg.len > 0 ? memchr(msg.p, '\'', msg.len) : NULL;
	return quote != NULL ? str_trim(str_n(msg.p, (size_t)(quote - msg.p))) : msg;
}

static void set_position(sqlite3 *h, struct str sql, struct err *err)
{
	const int offset = sqlite3_error_offset(h);
	size_t n;

	if (offset < 0 || sql.p == NULL)
		return;
	n = sql.len - sqlite_skip_blank(sql).len + (size_t)offset;
	if (n <= sql.len)
		err->position = (long)str_utf8_count(str_n(sql.p, n)) + 1;
}

static bool sql_error(struct sqlite_conn *c, struct str sql, struct err *err)
{
	const struct str msg = safe_message(str_z(sqlite3_errmsg(c->h)));

	if (!c->raw && str_eq_z(msg, "integer overflow")) /* as PostgreSQL says it of the same */
		return err_set(err, ERR_INVALID_VALUE, "a number is out of its column's range");
	if (!c->raw && str_eq_z(msg, "division by zero"))
		return err_set(err, ERR_INVALID_VALUE, "division by zero");
	/* of subqueries in subqueries; a parser whose stack grows (since 3.46) goes on to the bound on expressions */
	if (!c->raw && (str_eq_z(msg, "parser stack overflow") || str_starts(msg, STR("Expression tree is too large"))))
		return err_set(err, ERR_INVALID_QUERY,
			       "conditions on related records are nested deeper than SQLite's parser takes");
	(void)err_set(err, ERR_SQL_ERROR, "%.*s", STR_FMT(msg));
	set_position(c->h, sql, err);
	return false;
}

static bool stopped(const struct sqlite_conn *c, struct err *err)
{
	if (c->stop == SQLITE_STOP_DEADLINE)
		return err_set(err, ERR_STATEMENT_TIMEOUT, "statement timed out");
	(void)err_set(err, ERR_STATEMENT_TIMEOUT, "statement was cancelled");
	err->cancelled = true;
	return false;
}

/* The file or the disk below it: the connection is of no use any more. */
static bool lost(struct sqlite_conn *c, struct err *err, const char *why)
{
	c->base.broken = true;
	return err_set(err, ERR_DATABASE_UNAVAILABLE, "%s", why);
}

/* The file is all right: it is this process, or the machine, that has no room for it. */
static bool no_descriptor(int os_error, struct err *err)
{
	return err_set(err, ERR_DATABASE_UNAVAILABLE, "%s: the server has no file descriptor left to open a file",
		       os_error == EMFILE ? "EMFILE" : "ENFILE");
}

bool sqlite_error(struct sqlite_conn *c, int rc, struct str sql, struct err *err)
{
	const int ext = sqlite3_extended_errcode(c->h);

	if ((ext & 0xff) == (rc & 0xff))
		rc = ext;
	if ((rc & 0xff) == SQLITE_INTERRUPT || ((rc & 0xff) == SQLITE_BUSY && c->stop != SQLITE_STOP_NONE))
		return stopped(c, err);
	if (rc == SQLITE_BUSY_SNAPSHOT)
		return err_set(err, ERR_SERIALIZATION_FAILURE,
			       "the database changed after this transaction had read from it; roll back and try again");
	if ((rc & 0xff) == SQLITE_ERROR && c->match_refused)
		rc = SQLITE_TOOBIG;
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, ERR_DATABASE_BUSY, "the database is locked by another user; try again");
	case SQLITE_CONSTRAINT:
		return constraint_error(rc, str_z(sqlite3_errmsg(c->h)), err);
	case SQLITE_READONLY:
		return err_set(err, ERR_SQL_ERROR, "%s",
			       c->query_only ? "cannot write in a read-only transaction"
					     : "cannot write to a read-only database");
	case SQLITE_FULL:
		return err_set(err, ERR_DATABASE_UNAVAILABLE, "the disk that holds the database is full");
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (sqlite3_system_errno(c->h) == EMFILE || sqlite3_system_errno(c->h) == ENFILE)
			return no_descriptor(sqlite3_system_errno(c->h), err);
		return lost(c, err, "the database file could not be read or written");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return lost(c, err, "the database file is damaged");
	case SQLITE_PROTOCOL:
		return lost(c, err, "the database file's locks do not work");
	case SQLITE_NOMEM:
		if (!c->saw_too_long)
			return err_oom(err);
		return err_set(
			err, ERR_SQL_ERROR,
			"the statement is too long when it is compiled, with the views, generated columns, indexes "
			"and triggers that it uses");
	case SQLITE_TOOBIG:
		return err_set(err, ERR_PAYLOAD_TOO_LARGE,
			       "a text, blob or row is larger than sqlite_value_bytes allows, a function's argument "
			       "longer than "
			       "it takes, or a full-text query has more words than sqlite_match_terms allows");
	case SQLITE_AUTH:
		return err_set(err, ERR_SQL_ERROR, "%s",
			       c->saw_own_savepoint ? STMT_OWN_SAVEPOINT
						    : "not authorized: this statement is not allowed here");
	case SQLITE_MISUSE:
		return err_set(err, ERR_INTERNAL_ERROR, "SQLite was called out of order");
	default:
		return sql_error(c, sql, err);
	}
}

/* Why the system did not open the file; NULL: it is not known. */
static const char *open_reason(int os_error)
{
	switch (os_error) {
	case ENOENT:
		return "it does not exist (mode=rwc creates it), or a directory on the way to it does not";
	case EACCES:
	case EPERM:
		return "the server may not read it";
	case EISDIR:
		return "it is a directory";
	case ENOTDIR:
		return "what should be a directory on the way to it is none";
	case ENAMETOOLONG:
		return "its name is too long";
	case EROFS:
		return "its file system is read-only";
	default:
		return NULL;
	}
}

bool sqlite_open_error(int rc, int os_error, struct err *err)
{
	const char *reason = open_reason(os_error);

	if (os_error == EMFILE || os_error == ENFILE)
		return no_descriptor(os_error, err);
	if (rc == SQLITE_CANTOPEN_SYMLINK)
		return err_set(err, ERR_FORBIDDEN,
			       "the server's policy refuses this URL: SQLite files are not reached by symbolic links");
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, ERR_DATABASE_BUSY, "the database is locked by another user; try again");
	case SQLITE_NOMEM:
		return err_oom(err);
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return err_set(err, ERR_INVALID_URL, "the file is not a SQLite database, or damaged");
	case SQLITE_READONLY:
		return err_set(err, ERR_INVALID_URL,
			       "the database could not be opened: it needs recovery and cannot be written to");
	default:
		if (reason != NULL)
			return err_set(err, ERR_INVALID_URL, "the database file could not be opened: %s", reason);
		return err_set(err, ERR_INVALID_URL,
			       "the database file could not be opened: check that it exists (mode=rwc creates it) and "
			       "may be read");
	}
}
