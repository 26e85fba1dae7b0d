/*
 * From SQLSTATE (PostgreSQL documentation, appendix A) to the problem codes of the contract. A client sees the server's
 * primary message only where that can hold no values: of its own raw SQL, and of errors about the statement's form.
 */
#include "store/driver/postgres/postgres_driver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "service/base/banned.h"

struct rule {
	const char *state; /* all five characters, or the class */
	enum err_code code;
	bool lost;          /* the connection is of no more use */
	const char *detail; /* NULL: the server's primary message */
};

/* First match wins. */
static const struct rule rules[] = {
	{"08P01", ERR_INVALID_PARAMETERS, false, NULL},
	{"08", ERR_DATABASE_UNAVAILABLE, true, "the connection to the database was lost"},
	{"22001", ERR_INVALID_VALUE, false, "a text is longer than its column allows"},
	{"22003", ERR_INVALID_VALUE, false, "a number is out of its column's range"},
	{"22007", ERR_INVALID_VALUE, false, "a value is no valid date or time"},
	{"22008", ERR_INVALID_VALUE, false, "a date or time is out of range"},
	{"22012", ERR_INVALID_VALUE, false, "division by zero"},
	{"22021", ERR_INVALID_VALUE, false, "a text holds bytes that the database's encoding cannot store"},
	{"22P05", ERR_INVALID_VALUE, false, "a text holds a character that the database's encoding cannot store"},
	{"22", ERR_INVALID_VALUE, false, "a value does not fit its column's type"},
	{"23502", ERR_NOT_NULL_VIOLATION, false, "a required column was null"},
	{"23503", ERR_FOREIGN_KEY_VIOLATION, false, "a row refers to one that does not exist, or is still referred to"},
	{"23001", ERR_FOREIGN_KEY_VIOLATION, false, "a row is still referred to"},
	{"23505", ERR_UNIQUE_VIOLATION, false, "a row with the same key exists already"},
	{"23P01", ERR_UNIQUE_VIOLATION, false, "a row that excludes this one exists already"},
	{"23", ERR_CHECK_VIOLATION, false, "a value breaks a check of its table"},
	{"25P02", ERR_TRANSACTION_ABORTED, false, "an earlier statement failed: roll the transaction back"},
	{"25P03", ERR_DATABASE_UNAVAILABLE, true, "the database ended the connection"},
	{"25006", ERR_SQL_ERROR, false, "a read-only transaction cannot write"},
	{"28", ERR_DATABASE_FORBIDDEN, false, "the database refused the login"},
	{"40003", ERR_DATABASE_UNAVAILABLE, true, "the database does not know whether the statement has completed"},
	{"40P01", ERR_SERIALIZATION_FAILURE, false, "the database ended a deadlock: try again"},
	{"40", ERR_SERIALIZATION_FAILURE, false, "another transaction was in the way: try again"},
	{"42501", ERR_DATABASE_FORBIDDEN, false, NULL},
	{"42", ERR_SQL_ERROR, false, NULL},
	{"53", ERR_DATABASE_UNAVAILABLE, false, "the database is out of resources"},
	{"54", ERR_SQL_ERROR, false, NULL},
	{"55P03", ERR_DATABASE_BUSY, false, "another transaction holds a lock"},
	{"55006", ERR_DATABASE_BUSY, false, "another connection uses the object"},
	{"57014", ERR_STATEMENT_TIMEOUT, false, "the statement was cancelled"},
	{"57P04", ERR_DATABASE_UNAVAILABLE, true, "the database was dropped"},
	{"57P", ERR_DATABASE_UNAVAILABLE, true, "the database ended the connection"},
	{"58", ERR_DATABASE_UNAVAILABLE, false, "the database met a system error"},
	{"", ERR_SQL_ERROR, false, "the database refused the statement"},
};

static const struct rule *rule_of(const char *state)
{
	size_t i = 0;

	while (strncmp(rules[i].state, state, strlen(rules[i].state)) != 0)
		i++;
	return &rules[i];
}

/* What is wrong with the parameters of a raw statement reads better in the contract's words. */
static enum err_code raw_code(const struct rule *rule, const char *state)
{
	if (strcmp(state, "42P02") == 0 || strcmp(state, "42P18") == 0)
		return ERR_INVALID_PARAMETERS;
	if (rule->code == ERR_INVALID_VALUE)
		return ERR_SQL_ERROR;
	return rule->code;
}

static void copy_field(char *out, size_t size, const struct pg_said *said, int field)
{
	const char *text = pg_said_field(said, field);

	if (text != NULL)
		(void)snprintf(out, size, "%s", text);
}

static void put_position(const struct pg_said *said, struct err *err)
{
	const char *text = pg_said_field(said, PG_DIAG_STATEMENT_POSITION);
	long position = 0;

	if (text == NULL)
		return;
	for (; *text >= '0' && *text <= '9' && position < 100000000; text++)
		position = position * 10 + (*text - '0');
	err->position = position;
}

static bool fail_lost(struct pg_conn *c, bool autocommit, struct err *err)
{
	c->base.broken = true;
	(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "the connection to the database was lost");
	err->outcome = autocommit ? ERR_OUTCOME_UNKNOWN : ERR_OUTCOME_NONE;
	return false;
}

bool pg_is_fatal(const PGresult *res)
{
	const struct pg_said said = pg_said_of(res);

	return pg_said_is_fatal(&said);
}

/* What else depends on the object, or keeps it as it is: the detail of these two states has names and nothing else. */
static void put_objects(const struct pg_said *said, const char *state, struct err *err)
{
	const char *detail = pg_said_field(said, PG_DIAG_MESSAGE_DETAIL);

	if (detail != NULL && (strcmp(state, "2BP01") == 0 || strcmp(state, "0A000") == 0))
		(void)err_set(err, err->code, "%s (%.400s)", err->detail, detail);
}

static bool is_state(const char *state)
{
	return strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && state[5] == '\0';
}

/* What a function's author says by RAISE: P0001, or a state of the author's own, which lies in the classes that neither
 * the standard nor PostgreSQL has taken. */
static bool is_raised(const char *state)
{
	static const char *const taken[] = {"53", "54", "55", "57", "58", "72", "P0", "XX"};

	if (strcmp(state, "P0001") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		if (strncmp(state, taken[i], 2) == 0)
			return false;
	return (state[0] >= '5' && state[0] <= '9') || state[0] >= 'I';
}

/* The author's words are for the client, whoever wrote the statement. */
static void put_raised(const struct pg_said *said, const char *message, struct err *err)
{
	const char *hint = pg_said_field(said, PG_DIAG_MESSAGE_HINT);

	if (hint != NULL && hint[0] != '\0')
		(void)err_set(err, ERR_SQL_ERROR, "%s (%s)", message, hint);
	else
		(void)err_set(err, ERR_SQL_ERROR, "%s", message);
}

bool pg_fail(struct pg_conn *c, const PGresult *res, bool raw, bool autocommit, struct err *err)
{
	const struct pg_said said = pg_said_of(res);

	return pg_fail_said(c, &said, raw, autocommit, err);
}

bool pg_fail_said(struct pg_conn *c, const struct pg_said *said, bool raw, bool autocommit, struct err *err)
{
	const char *state = pg_said_field(said, PG_DIAG_SQLSTATE);
	const char *message = pg_said_field(said, PG_DIAG_MESSAGE_PRIMARY);
	const struct rule *rule;
	enum err_code code;

	/* libpq's own errors have no SQLSTATE: the connection, or its protocol, is gone. */
	if (state == NULL)
		return fail_lost(c, autocommit, err);
	if (!is_state(state))
		return pg_fail_answer(c, "an error with no code", autocommit, err);
	rule = rule_of(state);
	code = raw ? raw_code(rule, state) : rule->code;
	if (rule->lost)
		c->base.broken = true;
	if (message == NULL || message[0] == '\0')
		message = "the database refused the statement";
	if (!raw && code == ERR_INVALID_PARAMETERS)
		code = ERR_INTERNAL_ERROR;
	if (is_raised(state))
		put_raised(said, message, err);
	else if (rule->detail != NULL && !(raw && (code == ERR_SQL_ERROR || code == ERR_INVALID_PARAMETERS)))
		(void)err_set(err, code, "%s", rule->detail);
	else
		(void)err_set(err, code, "%s", message);
	put_objects(said, state, err);
	(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
	copy_field(err->constraint, sizeof(err->constraint), said, PG_DIAG_CONSTRAINT_NAME);
	copy_field(err->table, sizeof(err->table), said, PG_DIAG_TABLE_NAME);
	copy_field(err->column, sizeof(err->column), said, PG_DIAG_COLUMN_NAME);
	if (raw)
		put_position(said, err);
	/* A refusal means that nothing was committed; a last word may have been sent right after the commit. */
	if (autocommit)
		err->outcome = strcmp(state, "40003") == 0 || pg_said_is_fatal(said) ? ERR_OUTCOME_UNKNOWN
										     : ERR_OUTCOME_ROLLED_BACK;
	return false;
}

/* The SQLSTATE that PQERRORS_VERBOSE puts into a connection's message: "FATAL:  28P01: ...". Of several hosts the first
 * one that refused the login counts. *ret_text: what follows it, to the line's end. */
static bool find_state(const char *message, char state[6], struct str *ret_text)
{
	bool found = false;

	for (const char *p = strstr(message, ":  "); p != NULL; p = strstr(p + 1, ":  ")) {
		size_t n = strspn(p + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		bool login;

		if (n != 5 || strncmp(p + 8, ": ", 2) != 0)
			continue;
		login = strncmp(p + 3, "28", 2) == 0;
		if (found && !login)
			continue;
		memcpy(state, p + 3, 5);
		state[5] = '\0';
		*ret_text = str_n(p + 10, strcspn(p + 10, "\r\n"));
		found = true;
		if (login)
			break;
	}
	return found;
}

/* The essence of a message of libpq's own: a line without the "connection to server ... failed: " that names sockets.
 * Of a host with several addresses it has a line for each, in the order of its tries; one where somebody was there says
 * more than one where nobody listens. */
static struct str plain_text(const char *message)
{
	static const char failed[] = " failed: ";
	struct str ret = str_n(message, strcspn(message, "\r\n"));
	bool found = false;

	for (const char *p = strstr(message, failed); p != NULL; p = strstr(p, failed)) {
		p += sizeof(failed) - 1;
		const struct str text = str_n(p, strcspn(p, "\r\n"));
		const bool somebody = !str_eq_z(text, "Connection refused");

		if (!found || somebody)
			ret = text;
		found = true;
		if (somebody)
			break;
	}
	return ret;
}

/* libpq tells it in the system's words only. */
static bool no_descriptor(const char *message, struct err *err)
{
	(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "%s: the server has no file descriptor left to connect with",
		      strstr(message, strerror(EMFILE)) != NULL ? "EMFILE" : "ENFILE");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

bool pg_fail_connect(const struct dsn *dsn, const PGconn *pg, struct err *err)
{
	const char *message = pg != NULL ? PQerrorMessage(pg) : "";
	enum err_code code = ERR_DATABASE_UNAVAILABLE;
	char state[6] = "";
	struct arena arena;
	struct str text;

	if (strstr(message, strerror(EMFILE)) != NULL || strstr(message, strerror(ENFILE)) != NULL)
		return no_descriptor(message, err);
	arena_init(&arena);
	if (find_state(message, state, &text)) {
		if (strncmp(state, "28", 2) == 0 || strcmp(state, "3D000") == 0 || strcmp(state, "42501") == 0)
			code = ERR_DATABASE_FORBIDDEN;
	} else {
		text = plain_text(message);
		if (pg != NULL && PQconnectionNeedsPassword(pg))
			code = ERR_DATABASE_FORBIDDEN;
		else if (str_starts(text, STR("invalid ")) || str_starts(text, STR("could not match ")))
			code = ERR_INVALID_URL; /* a parameter's value, refused before any host was tried */
	}
	text = dsn_scrub(&arena, dsn, text);
	if (text.len == 0)
		(void)err_set(err, code, "could not connect to the database");
	else
		(void)err_set(err, code, "could not connect to the database: %.*s", STR_FMT(text));
	(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	arena_done(&arena);
	return false;
}
