/*
 * The settings: their values in one struct, and the table of their names, bounds, defaults and meanings, from which
 * flags, variables, help, manual page and completions follow. The table is constant; values are owned by whoever loads
 * them (config.h).
 */
#ifndef FERROD_SERVICE_SETTINGS_H
#define FERROD_SERVICE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/arena.h"
#include "service/base/str.h"

enum config_action {
	CONFIG_SERVE,
	CONFIG_HELP,
	CONFIG_VERSION,
	CONFIG_PRINT_SETTINGS,
	CONFIG_PRINT_ROUTES,
	CONFIG_CHECK,
	CONFIG_STATE_EXPORT,
	CONFIG_BACKUP,
	CONFIG_HEALTHCHECK,
	CONFIG_HEALTHCHECK_READY
};

struct config {
	struct arena arena; /* owns every span below */
	enum config_action action;
	const char *backup[2]; /* of CONFIG_BACKUP: from (a file, or "state"), to; borrowed from argv */
	struct str listen, default_url, log_level, log_format, allow_urls, sqlite_dir, keys_file, keys, admin_key;
	struct str catalog, state_url, state_key_file, state_url_file, node, node_url;
	struct str cors_origins, tls_cert_file, tls_key_file, tls_client_ca_file, tls_min_version, compression;
	struct str default_url_file, admin_key_file; /* their content has become default_url, admin_key */
	int64_t loops, offload_threads;
	int64_t body_bytes, bulk_body_bytes, json_values, held_bytes, long_percent, uri_bytes, header_bytes,
		http_connections;
	double loop_stall_seconds, transaction_idle_seconds;
	int64_t sessions, sessions_per_key, transactions_per_session, transaction_queue;
	int64_t requests_per_key, transactions_per_key, connections_per_key;
	int64_t idempotency_hours, idempotency_answer_bytes, idempotency_bytes, idempotency_entries;
	int64_t identity_map_entries, identity_map_bytes, rate_limit_per_second, rate_limit_burst;
	int64_t sqlite_cache_kib, sqlite_value_bytes, sqlite_heap_bytes, sqlite_match_terms;
	double bring_up_seconds;
	double drain_notice_seconds; /* negative: not given */
	double state_listen_seconds;
	double http_idle_seconds, request_timeout_seconds, body_wait_seconds, write_timeout_seconds, drain_seconds;
	double session_idle_timeout_seconds, session_max_lifetime_seconds, transaction_timeout_seconds,
		tombstone_seconds;
	double slow_statement_seconds;
	double statement_timeout_seconds, busy_timeout_seconds, migrate_wait_seconds;
	double shared_trip_seconds, shared_write_seconds, shared_unit_seconds, shared_gather_seconds;
	bool default_url_given, state_url_given; /* by flag, environment or file */
	bool access_log, insecure_no_auth, public_metrics, allow_url_files, csv_formula_guard;
	bool require_database_tls;
};

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

extern const struct setting settings[];
extern const size_t n_settings;

#endif
