/* The table of settings and the three places they are read from. */
#include "service/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>

#include "service/base/json.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "service/base/strbuf.h"
#include "service/config/nearest.h"

#include "service/base/banned.h"

#define FILE_BYTES_MAX (1024 * 1024)
#define SECONDS_MAX 31536000.0

enum setting_type { TYPE_STRING, TYPE_INT, TYPE_SECONDS, TYPE_BOOL, TYPE_LIST };

struct setting {
	const char *key; /* snake_case; the flag has dashes, the variable is FERROD_ and upper case */
	enum setting_type type;
	size_t offset;
	double min, max;
	const char *def;
	const char *choices; /* TYPE_STRING: "a|b|c", or NULL. TYPE_LIST: the text of a JSON array */
	bool secret;         /* its value never shows in an error */
	const char *doc;
};

#define TEXT_OF(x) TEXT_OF_2(x)
#define TEXT_OF_2(x) #x
#define AT(member) offsetof(struct config, member)

static const struct setting settings[] = {
	{"listen", TYPE_STRING, AT(listen), 0, 0, "127.0.0.1:8080", NULL, false,
	 "address and port to serve on; port 0 takes a free one"},
	{"insecure_no_auth", TYPE_BOOL, AT(insecure_no_auth), 0, 0, "false", NULL, false,
	 "listen beyond loopback although no API keys are configured"},
	{"default_url", TYPE_STRING, AT(default_url), 0, 0, "sqlite:ferrod.db?mode=rwc", NULL, true,
	 "database of the built-in connection \"default\"; empty: none"},
	{"default_url_file", TYPE_STRING, AT(default_url_file), 0, 0, "", NULL, false,
	 "file whose content is used as default_url (a secret of the container platform)"},
	{"catalog", TYPE_STRING, AT(catalog), 0, 0, "", NULL, false,
	 "JSON file, or directory of *.json files, that declares connections, models and keys; read again on SIGHUP; "
	 "empty: none"},
	{"state_url", TYPE_STRING, AT(state_url), 0, 0, "sqlite:ferrod-state.db?mode=rwc", NULL, true,
	 "database that keeps what callers tell (connections, models); when not set, the file lies beside the default "
	 "SQLite database; empty: nothing is kept"},
	{"state_url_file", TYPE_STRING, AT(state_url_file), 0, 0, "", NULL, false,
	 "file whose content is used as state_url"},
	{"state_key_file", TYPE_STRING, AT(state_key_file), 0, 0, "", NULL, false,
	 "file of one or two keys (ferrod key seal) under which the state's secrets are sealed; empty: made beside an "
	 "SQLite state"},
	{"node", TYPE_STRING, AT(node), 0, 0, "", NULL, false,
	 "this server's name among those that share its state, 1 to 32 of a-z, 0-9 and -; empty: made of the host's "
	 "name and the state"},
	{"node_url", TYPE_STRING, AT(node_url), 0, 0, "", NULL, false,
	 "where the other servers of the state reach this one; empty: listen's port at the address from which it "
	 "reaches the state"},
	{"loops", TYPE_INT, AT(loops), 0, 256, "0", NULL, false, "event loops (threads); 0: one per core"},
	{"offload_threads", TYPE_INT, AT(offload_threads), 1, 256, "4", NULL, false,
	 "threads for calls that block (name lookup, file-system sync), and as many for SQL that computes for long"},
	{"log_level", TYPE_STRING, AT(log_level), 0, 0, "info", "debug|info|warn|error", false,
	 "least level that is logged"},
	{"log_format", TYPE_STRING, AT(log_format), 0, 0, "json", "json|text", false,
	 "form of the log lines on stderr"},
	{"access_log", TYPE_BOOL, AT(access_log), 0, 0, "true", NULL, false, "one log line per request"},
	{"slow_statement_seconds", TYPE_SECONDS, AT(slow_statement_seconds), 0, 86400, "1", NULL, false,
	 "a statement that takes longer is logged, without its values; 0: none is"},
	{"body_bytes", TYPE_INT, AT(body_bytes), 1024, 1e12, "8388608", NULL, false, "largest request body"},
	{"bulk_body_bytes", TYPE_INT, AT(bulk_body_bytes), 1024, 1e12, "1073741824", NULL, false,
	 "largest body of a bulk create"},
	{"json_values", TYPE_INT, AT(json_values), 1000, 1e9, TEXT_OF(LIMIT_JSON_VALUES), NULL, false,
	 "JSON values (numbers, texts, arrays, ...) in one document of a request; each takes some 50 bytes of memory"},
	{"held_bytes", TYPE_INT, AT(held_bytes), 0, 1e12, TEXT_OF(LIMIT_HELD_BYTES), NULL, false,
	 "memory for the rows that one request holds before it answers: pages with includes, steps of a batch; 0: no "
	 "bound"},
	{"long_percent", TYPE_INT, AT(long_percent), 1, 100, TEXT_OF(LIMIT_LONG_PERCENT), NULL, false,
	 "of a loop's time that streams and bulk bodies get while short requests are being served; 100: no bound"},
	{"loop_stall_seconds", TYPE_SECONDS, AT(loop_stall_seconds), 0, 3600, "1", NULL, false,
	 "an event loop that has not turned for so long is logged; 0: none is"},
	{"uri_bytes", TYPE_INT, AT(uri_bytes), 256, 65536, TEXT_OF(LIMIT_URI_BYTES), NULL, false,
	 "longest request target"},
	{"header_bytes", TYPE_INT, AT(header_bytes), 1024, 1048576, TEXT_OF(LIMIT_HEADER_BYTES), NULL, false,
	 "largest request line and header block; each header over four dozen counts for 64 bytes more"},
	{"http_connections", TYPE_INT, AT(http_connections), 1, 1e6, TEXT_OF(LIMIT_HTTP_CONNECTIONS), NULL, false,
	 "client connections at a time"},
	{"http_idle_seconds", TYPE_SECONDS, AT(http_idle_seconds), 1, 86400, TEXT_OF(LIMIT_HTTP_IDLE_S), NULL, false,
	 "a client connection on which nothing moves is closed"},
	{"request_timeout_seconds", TYPE_SECONDS, AT(request_timeout_seconds), 0, 86400, "60", NULL, false,
	 "a request's time in all; 0: unbounded"},
	{"body_wait_seconds", TYPE_SECONDS, AT(body_wait_seconds), 0.1, 86400, TEXT_OF(LIMIT_BODY_WAIT_S), NULL, false,
	 "a bulk create waits so long for the rest of its body; each 64 KiB that come give a second back"},
	{"write_timeout_seconds", TYPE_SECONDS, AT(write_timeout_seconds), 0.1, 86400, "30", NULL, false,
	 "a client that takes nothing of its answer for so long loses it"},
	{"compression", TYPE_STRING, AT(compression), 0, 0, "auto", "auto|on|off", false,
	 "answers over 1 KiB go as gzip or zstd to clients that accept it; auto: to those of other machines"},
	{"drain_notice_seconds", TYPE_SECONDS, AT(drain_notice_seconds), -1, 3600, "-1", NULL, false,
	 "after SIGTERM new work is still taken for so long, so that every proxy has seen /readyz; -1: 5 with a state "
	 "that servers share, else 0"},
	{"drain_seconds", TYPE_SECONDS, AT(drain_seconds), 0, 3600, TEXT_OF(LIMIT_DRAIN_S), NULL, false,
	 "after SIGTERM running requests may take so long"},
	{"statement_timeout_seconds", TYPE_SECONDS, AT(statement_timeout_seconds), 0, 86400,
	 TEXT_OF(LIMIT_STATEMENT_TIMEOUT_S), NULL, false,
	 "a statement's time, unless the connection's pool says otherwise; 0: unbounded"},
	{"busy_timeout_seconds", TYPE_SECONDS, AT(busy_timeout_seconds), 0, 3600, TEXT_OF(LIMIT_BUSY_TIMEOUT_S), NULL,
	 false, "SQLite: wait for locks of other processes"},
	{"sqlite_cache_kib", TYPE_INT, AT(sqlite_cache_kib), 16, 1e9, "2000", NULL, false,
	 "SQLite: page cache per pooled connection"},
	{"sqlite_value_bytes", TYPE_INT, AT(sqlite_value_bytes), 1024, 1e9, TEXT_OF(LIMIT_SQLITE_VALUE_BYTES), NULL,
	 false,
	 "SQLite: largest text or blob, and row, that a statement may read, make or write; larger ones are answered "
	 "413"},
	{"sqlite_heap_bytes", TYPE_INT, AT(sqlite_heap_bytes), 0, 1e13, "0", NULL, false,
	 "SQLite: memory of all its connections together; 0: unbounded"},
	{"sqlite_match_terms", TYPE_INT, AT(sqlite_match_terms), 0, 1e6, TEXT_OF(LIMIT_SQLITE_MATCH_TERMS), NULL, false,
	 "SQLite: words of one full-text query, which may have a quarter as many phrases; more are answered 413; 0: "
	 "unbounded"},
	{"sessions", TYPE_INT, AT(sessions), 1, 1e7, TEXT_OF(LIMIT_SESSIONS), NULL, false, "open sessions"},
	{"sessions_per_key", TYPE_INT, AT(sessions_per_key), 1, 1e7, TEXT_OF(LIMIT_SESSIONS), NULL, false,
	 "open sessions of one API key (all callers without keys count as one)"},
	{"session_idle_timeout_seconds", TYPE_SECONDS, AT(session_idle_timeout_seconds), 0.001, SECONDS_MAX,
	 TEXT_OF(LIMIT_SESSION_IDLE_S), NULL, false,
	 "a session that is not used for so long ends, unless it says otherwise"},
	{"session_max_lifetime_seconds", TYPE_SECONDS, AT(session_max_lifetime_seconds), 0.001, SECONDS_MAX,
	 TEXT_OF(LIMIT_SESSION_LIFETIME_S), NULL, false, "a session's longest life"},
	{"tombstone_seconds", TYPE_SECONDS, AT(tombstone_seconds), 1, SECONDS_MAX, TEXT_OF(LIMIT_TOMBSTONE_S), NULL,
	 false, "ended sessions and transactions are remembered for so long"},
	{"transactions_per_session", TYPE_INT, AT(transactions_per_session), 1, 10000,
	 TEXT_OF(LIMIT_TRANSACTIONS_PER_SESSION), NULL, false, "open transactions of one session"},
	{"requests_per_key", TYPE_INT, AT(requests_per_key), 0, 1e6, "0", NULL, false,
	 "requests of one API key that run at once; 0: any number"},
	{"transactions_per_key", TYPE_INT, AT(transactions_per_key), 0, 1e7, TEXT_OF(LIMIT_TRANSACTIONS_PER_KEY), NULL,
	 false, "open transactions of one API key (all callers without keys count as one); 0: any number"},
	{"connections_per_key", TYPE_INT, AT(connections_per_key), 0, 1000, "0", NULL, false,
	 "connections of one pool that the transactions of one API key may hold; 0: all but one, once another key has "
	 "used the pool"},
	{"transaction_timeout_seconds", TYPE_SECONDS, AT(transaction_timeout_seconds), 0.001, SECONDS_MAX,
	 TEXT_OF(LIMIT_TX_TIMEOUT_S), NULL, false, "a transaction's longest life, and the default"},
	{"transaction_idle_seconds", TYPE_SECONDS, AT(transaction_idle_seconds), 0, SECONDS_MAX,
	 TEXT_OF(LIMIT_TX_IDLE_S), NULL, false, "a transaction that no request uses for so long ends; 0: none does"},
	{"transaction_queue", TYPE_INT, AT(transaction_queue), 1, 100000, TEXT_OF(LIMIT_TX_QUEUE), NULL, false,
	 "requests that wait for one transaction"},
	{"idempotency_answer_bytes", TYPE_INT, AT(idempotency_answer_bytes), 0, 1e9, "8388608", NULL, false,
	 "largest answer that is kept for an Idempotency-Key; of a larger one, only that it was given"},
	{"idempotency_bytes", TYPE_INT, AT(idempotency_bytes), 0, 1e12, "67108864", NULL, false,
	 "bytes of the answers kept for Idempotency-Keys of one API key (all callers without keys count as one); of "
	 "the oldest beyond it, only that they were given"},
	{"idempotency_hours", TYPE_INT, AT(idempotency_hours), 1, 87600, TEXT_OF(LIMIT_IDEMPOTENCY_HOURS), NULL, false,
	 "on connections that are exactly_once answers for Idempotency-Keys are kept in the database for so many "
	 "hours"},
	{"idempotency_entries", TYPE_INT, AT(idempotency_entries), 1, 1e8, TEXT_OF(LIMIT_IDEMPOTENCY_ENTRIES), NULL,
	 false, "Idempotency-Keys that are remembered of one API key; the oldest beyond it are forgotten"},
	{"identity_map_entries", TYPE_INT, AT(identity_map_entries), 0, 1e8, TEXT_OF(LIMIT_IMAP_ENTRIES), NULL, false,
	 "records in a session's identity map"},
	{"identity_map_bytes", TYPE_INT, AT(identity_map_bytes), 0, 1e12, "16777216", NULL, false,
	 "bytes in a session's identity map"},
	{"keys_file", TYPE_STRING, AT(keys_file), 0, 0, "", NULL, false, "file with the API keys (hashed)"},
	{"keys", TYPE_LIST, AT(keys), 0, 0, "", NULL, false,
	 "the API keys (hashed) themselves, a JSON array like that of keys_file"},
	{"admin_key", TYPE_STRING, AT(admin_key), 0, 0, "", NULL, true, "one API key with every scope, in plain"},
	{"admin_key_file", TYPE_STRING, AT(admin_key_file), 0, 0, "", NULL, false,
	 "file whose content is used as admin_key"},
	{"allow_urls", TYPE_STRING, AT(allow_urls), 0, 0, "", NULL, false,
	 "comma-separated patterns of database URLs that may be connected (* matches anything, in place of a host "
	 "only hosts); empty: all"},
	{"sqlite_dir", TYPE_STRING, AT(sqlite_dir), 0, 0, "", NULL, false,
	 "SQLite files must lie in it, and no symbolic link in it is followed; empty: anywhere"},
	{"allow_url_files", TYPE_BOOL, AT(allow_url_files), 0, 0, "false", NULL, false,
	 "connected PostgreSQL URLs may name files of the server (passfile, service, sslcert, sslkey, ...)"},
	{"require_database_tls", TYPE_BOOL, AT(require_database_tls), 0, 0, "false", NULL, false,
	 "refuse PostgreSQL URLs beyond loopback that have less than sslmode=verify-full"},
	{"cors_origins", TYPE_STRING, AT(cors_origins), 0, 0, "", NULL, false,
	 "comma-separated origins (https://app.example) whose pages may call; * with keys: all; empty: none"},
	{"rate_limit_per_second", TYPE_INT, AT(rate_limit_per_second), 0, 1e6, "0", NULL, false,
	 "requests a second of one API key (all callers without keys count as one); 0: unbounded"},
	{"rate_limit_burst", TYPE_INT, AT(rate_limit_burst), 0, 1e6, "0", NULL, false,
	 "requests at once after a pause; 0: as many as a second's"},
	{"tls_cert_file", TYPE_STRING, AT(tls_cert_file), 0, 0, "", NULL, false,
	 "PEM file with the certificate and its chain: serves HTTPS; read again on SIGHUP"},
	{"tls_key_file", TYPE_STRING, AT(tls_key_file), 0, 0, "", NULL, false,
	 "PEM file with the certificate's private key"},
	{"tls_min_version", TYPE_STRING, AT(tls_min_version), 0, 0, "1.2", "1.2|1.3", false,
	 "oldest TLS version that is spoken"},
	{"csv_formula_guard", TYPE_BOOL, AT(csv_formula_guard), 0, 0, "false", NULL, false,
	 "CSV: an apostrophe before texts that a spreadsheet would take for formulas (= + - @, tab, CR)"},
	{"public_metrics", TYPE_BOOL, AT(public_metrics), 0, 0, "false", NULL, false,
	 "/metrics and /version need no key"},
};

/* ---- one value ---- */

static void *field(struct config *c, const struct setting *s)
{
	return (char *)c + s->offset;
}

static bool choice_ok(const char *choices, struct str v)
{
	struct str rest = str_z(choices), word;
	while (str_split(&rest, '|', &word))
		if (str_eq(word, v))
			return true;
	return false;
}

static bool set_number(struct config *c, const struct setting *s, struct str v, const char *origin, struct err *err)
{
	double d;
	bool whole = s->type == TYPE_INT;
	if (!num_parse_double(v, &d) || !isfinite(d) || (whole && d != floor(d)) || d < s->min || d > s->max)
		return err_set(err, ERR_INVALID_REQUEST, "%s: \"%s\" takes %s from %.15g to %.15g", origin, s->key,
			       whole ? "a whole number" : "seconds", s->min, s->max);
	if (whole)
		*(int64_t *)field(c, s) = (int64_t)d;
	else
		*(double *)field(c, s) = d;
	return true;
}

static bool set_value(struct config *c, const struct setting *s, struct str v, const char *origin, struct err *err)
{
	if (s->type == TYPE_INT || s->type == TYPE_SECONDS)
		return set_number(c, s, v, origin, err);
	if (s->type == TYPE_BOOL) {
		bool on = str_eq_z(v, "true") || str_eq_z(v, "1");
		if (!on && !str_eq_z(v, "false") && !str_eq_z(v, "0"))
			return err_set(err, ERR_INVALID_REQUEST, "%s: \"%s\" takes true or false", origin, s->key);
		*(bool *)field(c, s) = on;
		return true;
	}
	if (s->choices != NULL && !choice_ok(s->choices, v))
		return err_set(err, ERR_INVALID_REQUEST, "%s: \"%s\" takes one of %s", origin, s->key, s->choices);
	*(struct str *)field(c, s) = arena_str(&c->arena, v);
	return true;
}

static const struct setting *find(struct str key)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (str_eq_z(key, settings[i].key))
			return &settings[i];
	return NULL;
}

/* ---- the file ---- */

static bool read_file(struct config *c, const char *path, struct str *ret, struct err *err)
{
	FILE *f = fopen(path, "rbe");
	if (f == NULL)
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the configuration file \"%s\": %s", path,
			       strerror(errno));
	char *buf = arena_alloc(&c->arena, FILE_BYTES_MAX);
	size_t n = fread(buf, 1, FILE_BYTES_MAX, f);
	bool bad = ferror(f) != 0;
	fclose(f);
	if (bad || n == FILE_BYTES_MAX)
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the configuration file \"%s\"%s", path,
			       bad ? "" : ": it is too large");
	*ret = str_n(buf, n);
	return true;
}

static bool set_json(struct config *c, const struct setting *s, const json_t *v, const char *origin, struct err *err)
{
	char buf[NUM_DOUBLE_BYTES];
	if (json_is_array(v) && s->type == TYPE_LIST) {
		struct strbuf b;
		strbuf_init(&b, 0);
		json_write(&b, v, false);
		bool ok = set_value(c, s, strbuf_str(&b), origin, err);
		strbuf_done(&b);
		return ok;
	}
	if (json_is_string(v) && s->type == TYPE_STRING)
		return set_value(c, s, json_str(v), origin, err);
	if (json_is_boolean(v) && s->type == TYPE_BOOL)
		return set_value(c, s, json_is_true(v) ? STR("true") : STR("false"), origin, err);
	if (json_is_number(v) && (s->type == TYPE_INT || s->type == TYPE_SECONDS))
		return set_value(c, s, str_n(buf, num_format_double(json_number_value(v), buf)), origin, err);
	return err_set(err, ERR_INVALID_REQUEST, "%s: \"%s\" has the wrong type (%s)", origin, s->key,
		       json_type_name(v));
}

/* ", did you mean ...?", when there is a near one. */
static const char *hint(struct config *c, const struct nearest *near, const char *otherwise)
{
	return near->found == NULL || str_eq_z(near->word, near->found)
		       ? otherwise
		       : arena_printf(&c->arena, "; did you mean \"%s\"?", near->found).p;
}

/* Always false. */
static bool unknown_key(struct config *c, const char *origin, struct str key, struct err *err)
{
	struct nearest near = {.word = key};
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		nearest_consider(&near, settings[i].key);
	return err_set(err, ERR_INVALID_REQUEST, "%s: unknown setting \"%.*s\"%s", origin, STR_FMT(key),
		       hint(c, &near, ""));
}

static bool load_file(struct config *c, const char *path, struct err *err)
{
	struct str text;
	json_t *doc, *v;
	const char *key;
	const char *origin = arena_printf(&c->arena, "configuration file \"%s\"", path).p;
	if (!read_file(c, path, &text, err))
		return false;
	struct err fault;
	if (!json_parse(&c->arena, text, &doc, &fault))
		return err_set(err, ERR_INVALID_REQUEST, "%s: %s", origin, fault.detail);
	if (!json_is_object(doc))
		return err_set(err, ERR_INVALID_REQUEST, "%s: it must hold one JSON object", origin);
	json_object_foreach(doc, key, v)
	{
		const struct setting *s = find(str_z(key));
		if (s == NULL)
			return unknown_key(c, origin, str_z(key), err);
		if (!set_json(c, s, v, origin, err))
			return false;
	}
	return true;
}

/* ---- the environment ---- */

static void env_name(const struct setting *s, char *buf, size_t size)
{
	snprintf(buf, size, "FERROD_%s", s->key);
	for (char *p = buf; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
}

/* Always false. */
static bool unknown_env(struct config *c, struct str name, struct err *err)
{
	struct nearest near = {.word = name};
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		char *text = arena_alloc(&c->arena, 80);
		env_name(&settings[i], text, 80);
		nearest_consider(&near, text);
	}
	return err_set(err, ERR_INVALID_REQUEST, "environment: unknown setting \"%.*s\"%s", STR_FMT(name),
		       hint(c, &near, ""));
}

static bool load_env(struct config *c, char **env, struct err *err)
{
	for (; *env != NULL; env++) {
		struct str rest = str_z(*env), name;
		if (!str_starts(rest, STR("FERROD_")) || !str_split(&rest, '=', &name) ||
		    str_eq_z(name, "FERROD_CONFIG"))
			continue;
		struct str key = arena_str(&c->arena, str_n(name.p + 7, name.len - 7));
		for (char *p = (char *)(uintptr_t)key.p; *p != '\0'; p++)
			*p = (char)tolower((unsigned char)*p);
		const struct setting *s = find(key);
		if (s == NULL)
			return unknown_env(c, name, err);
		if (!set_value(c, s, rest, "environment", err))
			return false;
	}
	return true;
}

/* ---- the command line ---- */

static const struct setting *find_flag(struct config *c, struct str flag)
{
	struct str key = arena_str(&c->arena, flag);
	for (char *p = (char *)(uintptr_t)key.p; *p != '\0'; p++)
		*p = *p == '-' ? '_' : *p;
	return find(key);
}

static const struct {
	const char *word;
	enum config_action action;
} actions[] = {{"--help", CONFIG_HELP},
	       {"-h", CONFIG_HELP},
	       {"help", CONFIG_HELP},
	       {"--version", CONFIG_VERSION},
	       {"-v", CONFIG_VERSION},
	       {"version", CONFIG_VERSION},
	       {"--print-settings", CONFIG_PRINT_SETTINGS},
	       {"--print-routes", CONFIG_PRINT_ROUTES},
	       {"check-config", CONFIG_CHECK},
	       {"healthcheck", CONFIG_HEALTHCHECK}};

static bool action_of(const char *arg, enum config_action *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (strcmp(arg, actions[i].word) == 0) {
			*ret = actions[i].action;
			return true;
		}
	}
	return false;
}

/* Always false. */
static bool unknown(struct config *c, const char *arg, struct err *err)
{
	struct str word = str_z(arg), flag;
	(void)str_split(&word, '=', &flag);
	struct nearest near = {.word = flag};
	static const char *const more[] = {"--config", "key", "backup", "state"};
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		nearest_consider(&near, actions[i].word);
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		nearest_consider(&near, more[i]);
	for (size_t i = 0; str_starts(flag, STR("--")) && i < ARRAY_LEN(settings); i++) {
		char *text = (char *)(uintptr_t)arena_printf(&c->arena, "--%s", settings[i].key).p;
		for (char *p = text; *p != '\0'; p++)
			*p = *p == '_' ? '-' : *p;
		nearest_consider(&near, text);
	}
	return err_set(err, ERR_INVALID_REQUEST, "unknown %s \"%.*s\"%s",
		       str_starts(flag, STR("--")) ? "flag" : "argument", STR_FMT(flag),
		       hint(c, &near, "; see --help"));
}

static bool is_truth(const char *word)
{
	return strcmp(word, "true") == 0 || strcmp(word, "false") == 0 || strcmp(word, "1") == 0 ||
	       strcmp(word, "0") == 0;
}

/* A command of several words, of which *at is the first; it becomes the last. */
static bool load_command(struct config *c, int argc, char **argv, int *at, struct err *err)
{
	const int i = *at;
	if (strcmp(argv[i], "backup") == 0) {
		if (i + 2 >= argc || argv[i + 1][0] == '-' || argv[i + 2][0] == '-')
			return err_set(err, ERR_INVALID_REQUEST, "usage: ferrod backup FILE|state TARGET [SETTING...]");
		c->action = CONFIG_BACKUP;
		c->backup[0] = argv[i + 1];
		c->backup[1] = argv[i + 2];
		*at = i + 2;
		return true;
	}
	if (i + 1 >= argc || strcmp(argv[i + 1], "export") != 0)
		return err_set(err, ERR_INVALID_REQUEST, "usage: ferrod state export [SETTING...]");
	c->action = CONFIG_STATE_EXPORT;
	*at = i + 1;
	return true;
}

/* Applies the flags, or (only_config) just finds --config. */
static bool load_flags(struct config *c, int argc, char **argv, const char **config_file, bool only_config,
		       struct err *err)
{
	for (int i = 1; i < argc; i++) {
		struct str value = str_z(argv[i]), flag;
		if (c->action == CONFIG_HELP)
			return true; /* about whatever word */
		if (action_of(argv[i], &c->action))
			continue;
		if (c->action == CONFIG_HEALTHCHECK && strcmp(argv[i], "ready") == 0) {
			c->action = CONFIG_HEALTHCHECK_READY;
			continue;
		}
		if (strcmp(argv[i], "state") == 0 || strcmp(argv[i], "backup") == 0) {
			if (!load_command(c, argc, argv, &i, err))
				return false;
			continue;
		}
		if (!str_starts(value, STR("--")))
			return unknown(c, argv[i], err);
		value = str_n(value.p + 2, value.len - 2);
		(void)str_split(&value, '=', &flag);
		bool is_config = str_eq_z(flag, "config");
		const struct setting *s = is_config ? NULL : find_flag(c, flag);
		if (!is_config && s == NULL)
			return unknown(c, argv[i], err);
		if (value.p == NULL && s != NULL && s->type == TYPE_BOOL && (i + 1 == argc || !is_truth(argv[i + 1])))
			value = STR("true");
		else if (value.p == NULL && i + 1 < argc)
			value = str_z(argv[++i]);
		else if (value.p == NULL)
			return err_set(err, ERR_INVALID_REQUEST, "the flag \"--%.*s\" needs a value", STR_FMT(flag));
		if (is_config)
			*config_file = value.p;
		else if (!only_config && !set_value(c, s, value, "command line", err))
			return false;
	}
	return true;
}

/* ---- secrets that come as files ---- */

static bool load_secret(struct config *c, struct str path, const char *key, struct str *ret, struct err *err)
{
	struct str text;
	struct err fault;
	if (path.len == 0)
		return true;
	if (!read_file(c, path.p, &text, &fault))
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the file of \"%s\"", key);
	text = str_trim(text);
	if (memchr(text.p, '\n', text.len) != NULL || memchr(text.p, '\0', text.len) != NULL)
		return err_set(err, ERR_INVALID_REQUEST, "the file of \"%s\" holds more than one line", key);
	*ret = arena_str(&c->arena, text);
	return true;
}

/* ---- all of it ---- */

bool config_load(int argc, char **argv, char **env, struct config *ret, struct err *err)
{
	const char *file = getenv("FERROD_CONFIG");
	memset(ret, 0, sizeof(*ret));
	arena_init(&ret->arena);
	bool ok = true;
	for (size_t i = 0; ok && i < ARRAY_LEN(settings); i++)
		ok = set_value(ret, &settings[i], str_z(settings[i].def), "default", err);
	const char *by_default = ret->default_url.p, *state_by_default = ret->state_url.p;
	ok = ok && load_flags(ret, argc, argv, &file, true, err);
	ok = ok && (file == NULL || file[0] == '\0' || load_file(ret, file, err));
	ok = ok && load_env(ret, env, err);
	ok = ok && load_flags(ret, argc, argv, &file, false, err);
	ok = ok && load_secret(ret, ret->default_url_file, "default_url_file", &ret->default_url, err);
	ok = ok && load_secret(ret, ret->state_url_file, "state_url_file", &ret->state_url, err);
	ok = ok && load_secret(ret, ret->admin_key_file, "admin_key_file", &ret->admin_key, err);
	ret->default_url_given = ret->default_url.p != by_default;
	ret->state_url_given = ret->state_url.p != state_by_default;
	if (!ok)
		config_done(ret);
	return ok;
}

void config_done(struct config *c)
{
	arena_done(&c->arena);
}

static void flag_name(const struct setting *s, char *buf, size_t size)
{
	snprintf(buf, size, "--%s", s->key);
	for (char *p = buf + 2; *p != '\0'; p++)
		*p = *p == '_' ? '-' : *p;
}

void config_print_help(FILE *out)
{
	char flag[80], env[80];
	fputs("usage: ferrod [--config FILE] [SETTING...]\n"
	      "       ferrod check-config | healthcheck [ready] | state export [SETTING...]\n"
	      "       ferrod key new --name NAME --scopes A,B [--connections C,D] [--sets E,F] [--append FILE]\n"
	      "       ferrod key seal\n"
	      "       ferrod backup FILE|state TARGET [SETTING...]\n"
	      "       ferrod --version | --print-settings | --print-routes\n\n"
	      "Serves SQLite and PostgreSQL databases over HTTP. Each setting is a flag, an environment\n"
	      "variable, or a member of the JSON object in the file of --config (or FERROD_CONFIG); a flag\n"
	      "wins over the environment, the environment over the file.\n\n",
	      out);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];
		flag_name(s, flag, sizeof(flag));
		env_name(s, env, sizeof(env));
		fprintf(out, "  %s%s  (%s)\n      %s", flag, s->type == TYPE_BOOL ? "[=BOOL]" : " VALUE", env, s->doc);
		if (s->choices != NULL)
			fprintf(out, ": %s", s->choices);
		fprintf(out, " [%s]\n", s->def);
	}
}

void config_print_settings(FILE *out)
{
	static const char *const types[] = {[TYPE_STRING] = "string",
					    [TYPE_INT] = "integer",
					    [TYPE_SECONDS] = "seconds",
					    [TYPE_BOOL] = "boolean",
					    [TYPE_LIST] = "list"};
	char flag[80], env[80];
	struct strbuf b;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "[");
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];
		flag_name(s, flag, sizeof(flag));
		env_name(s, env, sizeof(env));
		strbuf_printf(&b, "%s\n{\"key\":\"%s\",\"flag\":\"%s\",\"env\":\"%s\",\"type\":\"%s\",\"default\":",
			      i > 0 ? "," : "", s->key, flag, env, types[s->type]);
		strbuf_json_string(&b, str_z(s->def));
		if (s->type == TYPE_INT || s->type == TYPE_SECONDS)
			strbuf_printf(&b, ",\"min\":%.15g,\"max\":%.15g", s->min, s->max);
		strbuf_puts(&b, ",\"doc\":");
		strbuf_json_string(&b, str_z(s->doc));
		strbuf_putc(&b, '}');
	}
	strbuf_puts(&b, "\n]\n");
	fputs(b.p, out);
	strbuf_done(&b);
}
