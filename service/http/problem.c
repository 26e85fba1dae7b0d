/* The table of problem codes: status, whether a retry may help, title, and what the problem's page says. */
#include "service/http/problem.h"

#include "service/base/banned.h"

struct problem_def {
	int status;
	bool retryable;
	int retry_after_s; /* 0: no Retry-After by default */
	const char *title;
	const char *help;
};

static const struct problem_def defs[ERR_N_CODES] = {
	[ERR_INVALID_JSON] =
		{400, false, 0, "The body is not valid JSON",
		 "The request body must be one JSON document in UTF-8, without duplicate keys, trailing bytes or "
		 "deep nesting. The detail names line and column of the fault."},
	[ERR_INVALID_REQUEST] = {400, false, 0, "The request is malformed",
				 "A member is missing, unknown or of the wrong type. `errors` points at it."},
	[ERR_INVALID_CONNECTION_NAME] = {400, false, 0, "The connection name is not valid",
					 "Connection names consist of ASCII letters, digits and underscores."},
	[ERR_INVALID_URL] =
		{400, false, 0, "The database URL cannot be used",
		 "The URL is malformed, has an unknown parameter, or names a SQLite file that cannot be opened."},
	[ERR_UNSUPPORTED_SCHEME] = {400, false, 0, "The database URL scheme is not supported",
				    "Supported schemes: sqlite, postgres, postgresql."},
	[ERR_INVALID_SEARCH_PATH] =
		{400, false, 0, "ferro_search_path is not valid",
		 "ferro_search_path takes one schema name of ASCII letters, digits and underscores."},
	[ERR_INVALID_PARAMETERS] =
		{400, false, 0, "A parameter is not valid",
		 "A query argument is unknown or malformed, or the number of SQL arguments does not match the "
		 "placeholders of the statement."},
	[ERR_SQL_ERROR] = {400, false, 0, "The database refused the statement",
			   "`sqlstate` and `position` tell what the database says about it."},
	[ERR_DUPLICATE_COLUMNS] = {400, false, 0, "Columns of one name",
				   "Name them apart with AS, or send Prefer: rows=arrays, which keeps them all."},
	[ERR_UNAUTHENTICATED] = {401, false, 0, "A valid API key is needed", "Send `Authorization: Bearer <key>`."},
	[ERR_FORBIDDEN] = {403, false, 0, "Not allowed", "The key lacks a scope, or the server's policy refuses this."},
	[ERR_DATABASE_FORBIDDEN] = {403, false, 0, "The database refused access",
				    "The database's login failed, or its role lacks a privilege."},
	[ERR_ROUTE_NOT_FOUND] = {404, false, 0, "No such path", "The paths are listed in /openapi.json."},
	[ERR_CONNECTION_NOT_FOUND] = {404, false, 0, "No such connection",
				      "GET /v1/connections lists what is connected."},
	[ERR_MODEL_NOT_FOUND] = {404, false, 0, "No such model", "GET /v1/models lists the registered models."},
	[ERR_RELATION_NOT_FOUND] = {404, false, 0, "No such relation",
				    "GET /v1/models/{model} lists a model's relations."},
	[ERR_RECORD_NOT_FOUND] = {404, false, 0, "No such record", "No row has this primary key."},
	[ERR_SESSION_NOT_FOUND] = {404, false, 0, "No such session",
				   "The id in Ferro-Session is not known. Open a session anew."},
	[ERR_TRANSACTION_NOT_FOUND] = {404, false, 0, "No such transaction",
				       "The id is not known to this caller and session. Nothing was run."},
	[ERR_MIGRATION_NOT_FOUND] = {404, false, 0, "No such migration", "The migration is not known."},
	[ERR_METHOD_NOT_ALLOWED] = {405, false, 0, "Method not allowed", "`Allow` lists the methods of this path."},
	[ERR_NOT_ACCEPTABLE] = {406, false, 0, "Not acceptable", "No media type of the Accept header is offered here."},
	[ERR_UNSUPPORTED_MEDIA_TYPE] = {415, false, 0, "Unsupported media type",
					"Send the body as Content-Type: application/json (bulk creates: "
					"application/x-ndjson too), plain or with "
					"Content-Encoding: gzip or zstd."},
	[ERR_CONNECTION_EXISTS] = {409, false, 0, "The connection name is taken",
				   "Choose another name or disconnect the old one."},
	[ERR_NO_DEFAULT_CONNECTION] =
		{409, false, 0, "No default connection",
		 "Name a connection with `using`, or choose one with PUT /v1/default-connection."},
	[ERR_ROUTE_CONFLICT] = {409, false, 0, "Conflicting routes",
				"`using` names another connection than the session or the transaction is bound to."},
	[ERR_TRANSACTIONS_OPEN] = {409, false, 0, "Transactions are open",
				   "End the open (inner) transactions first, or ask for a rollback."},
	[ERR_TRANSACTION_ENDED] = {409, false, 0, "The transaction has ended", "`state` says how."},
	[ERR_TRANSACTION_LIMIT] = {409, false, 0, "Too many transactions",
				   "End some of the session's transactions first."},
	[ERR_CONNECTION_IN_USE] = {409, false, 0, "The connection is in use",
				   "Sessions or transactions are open on it; disconnect with force=true to end them."},
	[ERR_TRANSACTION_ABORTED] = {409, false, 0, "The transaction is aborted",
				     "A statement in it failed. Roll back to a savepoint or end it."},
	[ERR_UNIQUE_VIOLATION] = {409, false, 0, "A unique constraint is violated", "Another row has this value."},
	[ERR_FOREIGN_KEY_VIOLATION] = {409, false, 0, "A foreign key is violated",
				       "The referenced row does not exist, or rows still refer to this one."},
	[ERR_SERIALIZATION_FAILURE] = {409, true, 0, "Serialization failure",
				       "A concurrent transaction got in the way: try again."},
	[ERR_MAX_AFFECTED_EXCEEDED] = {409, false, 0, "Too many rows affected",
				       "More rows than max-affected; nothing was changed."},
	[ERR_MIGRATION_CONFLICT] =
		{409, false, 0, "The plan has changed",
		 "The database or the models differ from what plan_hash was computed for. Plan again."},
	[ERR_DECLARED] = {409, false, 0, "The catalog declares it",
			  "What the catalog declares is changed in its file, and read again on SIGHUP or "
			  "POST /v1/catalog/reload."},
	[ERR_MODEL_CONFLICT] =
		{409, false, 0, "Another set has the model",
		 "Services that share a server register their models in sets of their own (?set=NAME); a name "
		 "that two of them have means the same in both. Rename one, or register the same model."},
	[ERR_SESSION_EXPIRED] = {410, false, 0, "The session has ended",
				 "The detail says why and when. Open a session anew."},
	[ERR_TRANSACTION_EXPIRED] = {410, false, 0, "The server ended the transaction",
				     "The detail says why and when."},
	[ERR_PRECONDITION_FAILED] = {412, false, 0, "Precondition failed",
				     "The record has changed since its ETag was read."},
	[ERR_PAYLOAD_TOO_LARGE] =
		{413, false, 0, "Too large",
		 "The detail says what is: the body (body_bytes), or in SQLite a value "
		 "(sqlite_value_bytes) or a full-text query (sqlite_match_terms), or the rows that a request "
		 "holds (held_bytes). The limits are configurable."},
	[ERR_URI_TOO_LONG] = {414, false, 0, "The URL is too long", "The limit is configurable (uri_bytes)."},
	[ERR_HEADERS_TOO_LARGE] = {431, false, 0, "The headers are too large",
				   "The limit is configurable (header_bytes)."},
	[ERR_WRONG_NODE] = {421, true, 0, "Another node has it",
			    "Another server of the state serves the session or transaction. Nothing was run: send the "
			    "request again, to the one that `Ferro-Node` names."},
	[ERR_INVALID_SCHEMA] = {422, false, 0, "The schema is not valid", "`errors` lists every fault with its place."},
	[ERR_INVALID_QUERY] = {422, false, 0, "The query is not valid", "`errors` points at the fault."},
	[ERR_UNKNOWN_COLUMN] = {422, false, 0, "Unknown column",
				"The model has no such column; `errors` points at it."},
	[ERR_INVALID_VALUE] = {422, false, 0, "A value does not fit",
			       "The value does not fit its column; no SQL was run."},
	[ERR_NOT_NULL_VIOLATION] = {422, false, 0, "A required column is null", "The column does not admit null."},
	[ERR_CHECK_VIOLATION] = {422, false, 0, "A check constraint is violated",
				 "The value is not admitted by the check."},
	[ERR_MIGRATION_REFUSED] = {422, false, 0, "The migration is refused",
				   "The detail names table, column and the way out."},
	[ERR_IDEMPOTENCY_KEY_REUSED] = {422, false, 0, "The idempotency key was used for another request",
					"Use a fresh key for a different body."},
	[ERR_TOO_MANY_SESSIONS] = {429, true, 5, "Too many sessions", "Close sessions that are no longer needed."},
	[ERR_TOO_MANY_REQUESTS] = {429, true, 1, "Too many requests", "Wait and try again."},
	[ERR_INTERNAL_ERROR] = {500, false, 0, "Internal error", "The request id helps to find the log line."},
	[ERR_POOL_TIMEOUT] = {503, true, 1, "No database connection became free in time",
			      "Every pooled connection was in use for the whole acquire timeout."},
	[ERR_DATABASE_UNAVAILABLE] = {503, true, 1, "The database cannot be reached",
				      "The server reconnects by itself."},
	[ERR_DATABASE_BUSY] = {503, true, 1, "The database is locked",
			       "Another process or transaction holds a lock for too long."},
	[ERR_CATALOG_BEHIND] =
		{503, true, 1, "The server has not seen a change yet",
		 "It waited for the change that Ferro-Catalog names; another server of the state made it."},
	[ERR_SHUTTING_DOWN] = {503, true, 5, "The server is shutting down",
			       "Send the request to another instance or try later."},
	[ERR_STATEMENT_TIMEOUT] = {504, false, 0, "The statement took too long", "It was cancelled at its timeout."},
};

int problem_status(enum err_code code)
{
	return defs[code].status;
}

const char *problem_title(enum err_code code)
{
	return defs[code].title;
}

const char *problem_help(enum err_code code)
{
	return defs[code].help;
}

bool problem_retryable(enum err_code code)
{
	return defs[code].retryable;
}

bool problem_code(struct str name, enum err_code *ret)
{
	for (int c = 0; c < ERR_N_CODES; c++) {
		if (str_eq_z(name, err_code_name((enum err_code)c))) {
			*ret = (enum err_code)c;
			return true;
		}
	}
	return false;
}

static void member(struct strbuf *b, const char *key, const char *value)
{
	if (value[0] == '\0')
		return;
	strbuf_printf(b, ",\"%s\":", key);
	strbuf_json_string(b, str_z(value));
}

static void write_fault(struct strbuf *b, const char *pointer, const char *detail)
{
	strbuf_puts(b, "{\"pointer\":");
	strbuf_json_string(b, str_z(pointer));
	strbuf_puts(b, ",\"detail\":");
	strbuf_json_string(b, str_z(detail));
	strbuf_putc(b, '}');
}

static void write_faults(struct strbuf *b, const struct err *err)
{
	if (err->n_faults == 0 && !err->has_pointer)
		return;
	strbuf_puts(b, ",\"errors\":[");
	if (err->n_faults == 0)
		write_fault(b, err->pointer, err->detail);
	for (size_t i = 0; i < err->n_faults; i++) {
		if (i > 0)
			strbuf_putc(b, ',');
		write_fault(b, err->faults[i].pointer, err->faults[i].detail);
	}
	strbuf_putc(b, ']');
}

/* Does the detail name the member that the pointer leads to? */
static bool says_where(const struct err *err)
{
	const char *const slash = strrchr(err->pointer, '/');
	const char *const name = slash != NULL ? slash + 1 : "";
	const size_t len = strlen(name);
	if (len == 0 || strstr(err->detail, err->pointer) != NULL)
		return true;
	for (const char *at = strstr(err->detail, name); at != NULL; at = strstr(at + 1, name))
		if (at > err->detail && at[-1] == '"' && at[len] == '"')
			return true;
	return false;
}

/* One sentence that can be read by itself. */
static void write_detail(struct strbuf *b, const struct err *err)
{
	const char *const detail = err->detail[0] != '\0' ? err->detail : defs[err->code].help;
	char text[sizeof(err->pointer) + sizeof(err->detail) + 2];
	if (err->n_faults == 0 && err->has_pointer && !says_where(err)) {
		snprintf(text, sizeof(text), "%s: %s", err->pointer, detail);
		strbuf_json_string(b, str_z(text));
	} else {
		strbuf_json_string(b, str_z(detail));
	}
}

void problem_write(struct strbuf *b, const struct err *err, struct str instance)
{
	const struct problem_def *d = &defs[err->code];
	strbuf_printf(b,
		      "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"detail\":", err_code_name(err->code),
		      d->title, err->status != 0 ? err->status : d->status);
	write_detail(b, err);
	strbuf_puts(b, ",\"instance\":");
	strbuf_json_string(b, instance);
	strbuf_printf(b, ",\"code\":\"%s\"", err_code_name(err->code));
	if (d->retryable)
		strbuf_puts(b, ",\"retryable\":true");
	if (err_outcome_name(err->outcome) != NULL)
		member(b, "outcome", err_outcome_name(err->outcome));
	write_faults(b, err);
	member(b, "sqlstate", err->sqlstate);
	member(b, "constraint", err->constraint);
	member(b, "table", err->table);
	member(b, "column", err->column);
	member(b, "state", err->state);
	if (err->position > 0)
		strbuf_printf(b, ",\"position\":%ld", err->position);
	if (err->step >= 0)
		strbuf_printf(b, ",\"step\":%ld", err->step);
	strbuf_putc(b, '}');
}

/* A problem does not say what would have been honoured, nor where a record would be that a commit has not kept. */
static void drop_applied(struct response *res)
{
	static const char *const names[] = {"Preference-Applied", "Location", "ETag"};
	size_t n = 0;
	for (size_t i = 0; i < res->n_headers; i++) {
		bool stays = true;
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			stays = stays && !str_ieq_z(res->headers[i].name, names[k]);
		if (stays)
			res->headers[n++] = res->headers[i];
	}
	res->n_headers = n;
}

void problem_respond(struct response *res, const struct err *err)
{
	const struct problem_def *d = &defs[err->code];
	drop_applied(res);
	strbuf_reset(&res->body);
	res->status = err->status != 0 ? err->status : d->status;
	res->content_type = "application/problem+json";
	problem_write(&res->body, err, res->req->id);
	int retry = err->retry_after_s > 0 ? err->retry_after_s : d->retry_after_s;
	if (retry > 0)
		response_header(res, "Retry-After", arena_printf(&res->req->arena, "%d", retry));
	if (err->code == ERR_UNAUTHENTICATED)
		response_header(res, "WWW-Authenticate", STR("Bearer realm=\"ferrod\""));
}
