/*
 * Composition root: settings -> store -> routes -> server; signals, drain, exit codes. The only file that sees every
 * layer. Exit codes: 0 served and drained, 2 a setting, port or file that cannot be used, 1 anything else.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "handlers/app.h"
#include "handlers/app_drain.h"
#include "handlers/app_reload.h"
#include "handlers/app_state.h"
#include "handlers/unit/idempotency.h"
#include "handlers/unit/once.h"
#include "handlers/handlers.h"
#include "handlers/routes.h"
#include "handlers/resources/url_policy.h"
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/log.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "service/config/config.h"
#include "service/auth/cors.h"
#include "service/exposure.h"
#include "service/healthcheck.h"
#include "service/auth/gate.h"
#include "service/auth/key_command.h"
#include "service/metrics.h"
#include "service/http/problem.h"
#include "service/http/server.h"
#include "service/supervisor.h"
#include "service/http/tls.h"
#include "service/http/tls_peer.h"
#include "service/http/watchdog.h"
#include "store/connection/dsn.h"
#include "store/driver/sqlite/driver_sqlite.h"
#include "store/exec/sharing.h"
#include "store/migrate/apply.h"
#include "store/state/seal.h"
#include "store/store.h"
#include "service/version.h"

#include "service/base/banned.h"

#define EXIT_USAGE 2
#define TICK_MAX_NS CLOCK_NS_PER_S

struct process {
	struct config config;
	struct app app;
	struct server *server;
	struct gate *gate;
	struct app_reload reload;
	struct route_table routes;
	int draining, leaving;
	struct str allow_urls[64];
	int listen_fd;           /* inherited; -1: none */
	struct catalog *catalog; /* as it was read at start */
};

static int usage_error(const struct err *err)
{
	fprintf(stderr, "ferrod: %s\n", err->detail);
	return EXIT_USAGE;
}

static int fail(const struct err *err)
{
	(void)usage_error(err);
	return EXIT_FAILURE;
}

/* ---- settings into the layers' own options ---- */

static struct store_options store_options(const struct config *c)
{
	struct store_options o = {
		.sessions =
			{
				.max_sessions = (size_t)c->sessions,
				.max_per_owner = (size_t)c->sessions_per_key,
				.max_transactions = (size_t)c->transactions_per_session,
				.idle_timeout_s = c->session_idle_timeout_seconds,
				.max_lifetime_s = c->session_max_lifetime_seconds,
				.tombstone_s = c->tombstone_seconds,
				.imap_entries = (size_t)c->identity_map_entries,
				.imap_bytes = (size_t)c->identity_map_bytes,
			},
		.statement_timeout_s = c->statement_timeout_seconds,
		.busy_timeout_s = c->busy_timeout_seconds,
		.tx_timeout_s = c->transaction_timeout_seconds,
		.tx_timeout_max_s = c->transaction_timeout_seconds,
		.tx_idle_s = c->transaction_idle_seconds,
		.tx_shares = {.connections = (size_t)c->connections_per_key,
			      .transactions = (size_t)c->transactions_per_key},
		.tx_queue_max = (size_t)c->transaction_queue,
		.sqlite_cache_kib = (size_t)c->sqlite_cache_kib,
	};
	return o;
}

/* What is told to the process's own parts. */
static void configure(const struct config *c)
{
	idempotency_configure(&(struct idempotency_limits){.hours = c->idempotency_hours,
							   .answer_bytes = (size_t)c->idempotency_answer_bytes,
							   .entries = (size_t)c->idempotency_entries,
							   .bytes = (size_t)c->idempotency_bytes});
	sharing_configure(&(struct sharing_limits){c->shared_trip_seconds, c->shared_write_seconds,
						   c->shared_unit_seconds, c->shared_gather_seconds});
	migrate_configure(c->migrate_wait_seconds);
	driver_sqlite_configure(&(struct sqlite_options){.busy_timeout_s = c->busy_timeout_seconds,
							 .cache_kib = (size_t)c->sqlite_cache_kib,
							 .value_bytes = (size_t)c->sqlite_value_bytes,
							 .heap_bytes = c->sqlite_heap_bytes,
							 .match_terms = (size_t)c->sqlite_match_terms,
							 .unit_s = c->shared_unit_seconds});
}

static bool authenticate(void *arg, struct request *req, struct err *err)
{
	struct app *app = arg;
	return gate_enter(CONTAINER_OF(app, struct process, app)->gate, req, err);
}

static struct gate_options gate_options(const struct config *c)
{
	return (struct gate_options){.rate = {c->rate_limit_per_second, c->rate_limit_burst},
				     .requests_per_key = c->requests_per_key,
				     .public_metrics = c->public_metrics};
}

static struct server_options server_options(struct process *p)
{
	const struct config *c = &p->config;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return (struct server_options){
		.listen_fd = p->listen_fd > 0 ? p->listen_fd : 0,
		.listen = c->listen,
		.n_loops = (unsigned)(c->loops > 0 ? c->loops : (cores > 0 ? cores : 1)),
		.body_bytes = (size_t)c->body_bytes,
		.bulk_body_bytes = (size_t)c->bulk_body_bytes,
		.json_values = (size_t)c->json_values,
		.long_percent = (unsigned)c->long_percent,
		.uri_bytes = (size_t)c->uri_bytes,
		.header_bytes = (size_t)c->header_bytes,
		.http_connections = (unsigned)c->http_connections,
		.http_idle_s = (unsigned)c->http_idle_seconds,
		.request_timeout_s = c->request_timeout_seconds,
		.body_wait_s = c->body_wait_seconds,
		.write_timeout_s = c->write_timeout_seconds,
		.compression = compression_of(c->compression),
		.access_log = c->access_log,
		.check_host = !gate_has_keys(p->gate),
		.routes = p->routes,
		.app = &p->app,
		.before_reply = sessions_before_reply,
		.authenticate = gate_guards(p->gate) ? authenticate : NULL,
		.cors_origins = c->cors_origins,
		.tls_priorities = c->tls_cert_file.len > 0 ? tls_priorities(c->tls_min_version) : NULL,
	};
}

static bool fill_app(struct process *p, struct err *err)
{
	struct str rest = p->config.allow_urls, word;
	p->app.version = FERROD_VERSION;
	p->app.http_version = server_library_version();
	p->app.draining = &p->draining;
	p->app.leaving = &p->leaving;
	p->app.slow_statement_ns = (int64_t)(p->config.slow_statement_seconds * 1e9);
	p->app.allow_urls = p->allow_urls;
	while (rest.len > 0 && str_split(&rest, ',', &word)) {
		if (p->app.n_allow_urls == ARRAY_LEN(p->allow_urls))
			return err_set(err, ERR_INVALID_REQUEST, "\"allow_urls\" takes at most %zu patterns",
				       ARRAY_LEN(p->allow_urls));
		p->allow_urls[p->app.n_allow_urls++] = str_trim(word);
	}
	p->app.allow_url_files = p->config.allow_url_files;
	p->app.held_bytes = (size_t)p->config.held_bytes;
	p->app.csv_formula_guard = p->config.csv_formula_guard;
	if (p->config.require_database_tls)
		driver_postgres_require_tls();
	if (p->config.sqlite_dir.len == 0)
		return true;
	char *real = realpath(p->config.sqlite_dir.p, NULL);
	if (real == NULL)
		return err_set(err, ERR_INVALID_REQUEST, "cannot use \"sqlite_dir\": no such directory");
	p->app.sqlite_dir = arena_str(&p->config.arena, str_z(real));
	p->app.sqlite_dir_given = p->config.sqlite_dir;
	while (p->app.sqlite_dir_given.len > 1 && p->app.sqlite_dir_given.p[p->app.sqlite_dir_given.len - 1] == '/')
		p->app.sqlite_dir_given.len--;
	mem_free(real);
	driver_sqlite_refuse_links();
	return true;
}

/* What a setting alone cannot say. */
static bool check_together(const struct process *p, struct err *err)
{
	const struct config *c = &p->config;
	if ((c->tls_cert_file.len > 0) != (c->tls_key_file.len > 0))
		return err_set(err, ERR_INVALID_REQUEST, "\"tls_cert_file\" and \"tls_key_file\" go together");
	if (c->tls_client_ca_file.len > 0 && c->tls_cert_file.len == 0)
		return err_set(err, ERR_INVALID_REQUEST,
			       "\"tls_client_ca_file\" is for HTTPS: it needs \"tls_cert_file\" and \"tls_key_file\"");
	if (!cors_check(c->cors_origins, err))
		return false;
	if (c->node_url.len > 0 && !peer_url_valid(c->node_url))
		return err_set(err, ERR_INVALID_REQUEST, "\"node_url\" takes http://HOST:PORT, or https://");
	if (!gate_has_keys(p->gate) && cors_listed(c->cors_origins, STR("*"), false))
		return err_set(err, ERR_INVALID_REQUEST,
			       "\"cors_origins\" * without API keys would let every web page in: list origins");
	return c->tls_cert_file.len == 0 || app_load_tls(c, err);
}

/* ---- the catalog ---- */

static bool bind_url(void *arg, struct arena *a, struct str *url, struct err *err)
{
	const struct process *p = arg;
	return url_bind(&p->app, a, url, err);
}

static struct catalog_source catalog_source(struct process *p)
{
	return (struct catalog_source){
		.path = arena_strz(&p->config.arena, p->config.catalog), .bind = bind_url, .arg = p};
}

static void spawn(void *arg, void (*fn)(void *), void *fn_arg)
{
	const struct app_reload *r = arg;
	loop_spawn(server_loop(r->server), fn, fn_arg);
}

static bool has_default(const struct catalog *c)
{
	for (size_t i = 0; i < c->n_connections; i++)
		if (c->connections[i].options.make_default)
			return true;
	return false;
}

/* The default connection of the settings; a catalog that declares one makes do without the unasked-for one. */
static bool built_in(struct process *p, struct connect_options *ret, bool *ret_any, struct err *err)
{
	*ret = (struct connect_options){
		.url = p->config.default_url,
		.make_default = true,
		.identity_map = true,
		.origin = CONNECTION_BUILT_IN,
		.name = STR("default"),
		.pool = pool_config_default(),
	};
	*ret_any = ret->url.len > 0 && !(has_default(p->catalog) && !p->config.default_url_given);
	return !*ret_any || url_bind(&p->app, &p->config.arena, &ret->url, err);
}

static bool create_declared(struct process *p, struct err *err)
{
	const struct catalog_source from = catalog_source(p);
	const struct declared_hooks hooks = {.arg = &p->reload,
					     .spawn = spawn,
					     .keys_prepare = app_reload_keys_prepare,
					     .keys_publish = app_reload_keys_publish,
					     .keys_discard = app_reload_keys_discard,
					     .report = app_report};
	struct connect_options o;
	bool any;
	if (!built_in(p, &o, &any, err) ||
	    !declared_create(p->app.store, &from, &hooks, p->catalog, any ? &o : NULL, &p->app.declared, err))
		return false;
	p->catalog = NULL;
	return true;
}

static struct app_state_options state_settings(struct process *p)
{
	const struct config *c = &p->config;
	return (struct app_state_options){.url = c->state_url,
					  .key_file = c->state_key_file,
					  .listen_s = c->state_listen_seconds,
					  .default_url = c->default_url,
					  .node = c->node,
					  .node_url = c->node_url,
					  .version = str_z(FERROD_VERSION),
					  .ask = peer_ask,
					  .named = c->state_url_given,
					  .spawn = spawn,
					  .spawn_arg = &p->reload};
}

/* Nobody is told to come again for what is about to be served: databases are tried once before the first request. One
 * that does not answer, or migrates for long, holds nobody up for more than a moment, nor who wants it to end. */
static void bring_up(struct process *p)
{
	const int64_t deadline = clock_mono_ns() + (int64_t)(p->config.bring_up_seconds * 1e9);
	declared_start(p->app.declared);
	told_start(p->app.told);
	loop_spawn(server_loop(p->server), once_upkeep, &p->app);
	node_start(p->app.node, server_port(p->server), p->config.tls_cert_file.len > 0);
	while (declared_starting(p->app.declared) > 0 && clock_mono_ns() < deadline && !supervisor_told_to_end())
		(void)wait_until(clock_mono_ns() + CLOCK_NS_PER_MS);
}

/* ---- start ---- */

/* Ends with the loop: loop_cancel_all wakes it. */
static void housekeeping(void *arg)
{
	struct process *p = arg;
	for (;;) {
		int64_t due = store_tick(p->app.store);
		idempotency_tick();
		int64_t now = clock_mono_ns();
		if (wait_until(clock_min(due > now ? due : now + CLOCK_NS_PER_MS, now + TICK_MAX_NS)) == WAIT_CANCELLED)
			return;
	}
}

static void log_listening(const struct process *p)
{
	struct log_line l;
	log_begin(&l, LOG_INFO, "listening");
	log_strz(&l, "version", FERROD_VERSION);
	log_str(&l, "listen", p->config.listen);
	log_int(&l, "port", server_port(p->server));
	log_end(&l);
}

/* ---- signals ---- */

static struct app_drain drain_options(struct process *p)
{
	return (struct app_drain){.server = p->server,
				  .notice_s = p->config.drain_notice_seconds,
				  .drain_s = p->config.drain_seconds,
				  .draining = &p->draining,
				  .leaving = &p->leaving};
}

static void wait_for_end(struct process *p, const sigset_t *signals)
{
	int sig = 0;
	while (sigwait(signals, &sig) == 0 && sig == SIGHUP)
		app_reload(&p->reload);
	const struct app_drain d = drain_options(p);
	/* first of all: logging may block */
	watchdog_end_within(app_drain_seconds(&p->app, &d) + LIMIT_DRAIN_GRACE_S);
	log_msg(LOG_INFO, "draining", "running requests may take %.15g s", p->config.drain_seconds);
}

/* ---- the whole ---- */

/* What a start looks at before it opens anything. */
static bool check_start(struct process *p, struct err *err)
{
	const struct app_state_options state = state_settings(p);
	return exposure_check(&p->config, gate_has_keys(p->gate), err) && check_together(p, err) &&
	       app_state_check(&p->app, &state, err);
}

/* Everything is there afterwards, and nothing runs yet. */
static bool assemble(struct process *p, struct err *err)
{
	const struct server_options opts = server_options(p);
	const struct app_state_options state = state_settings(p);
	if (!check_start(p, err) || !server_create(&opts, &p->server, err))
		return false;
	p->reload.gate = p->gate;
	p->reload.server = p->server;
	p->reload.tls = p->config.tls_cert_file.len > 0;
	return create_declared(p, err) && app_state_open(&p->app, &state, err);
}

static int serve(struct process *p)
{
	struct err err;
	sigset_t signals;
	int code = EXIT_USAGE;
	double left = 0.001;
	p->routes = routes_table();
	metrics_init(&p->routes);
	app_configure_log(&p->config);
	supervisor_block_signals(&signals);
	offload_init((unsigned)p->config.offload_threads);
	configure(&p->config);
	struct store_options so = store_options(&p->config);
	p->app.store = store_create(&so);
	if (!assemble(p, &err)) {
		usage_error(&err);
		goto done;
	}
	loop_spawn(server_loop(p->server), housekeeping, p);
	if (!server_start(p->server, &err)) {
		code = fail(&err);
		goto stop;
	}
	watchdog_start(p->config.loop_stall_seconds);
	bring_up(p);
	if (!server_listen(p->server, &err)) {
		usage_error(&err);
	} else {
		log_listening(p);
		supervisor_notify("READY=1");
		wait_for_end(p, &signals);
		supervisor_notify("STOPPING=1");
		const struct app_drain d = drain_options(p);
		left = app_drain(&p->app, &d, &signals);
		code = EXIT_SUCCESS;
	}
stop:
	server_drain(p->server, left);
	server_stop(p->server);
	node_leave(p->app.node);
	watchdog_stop();
done:
	idempotency_done();
	told_destroy(p->app.told);
	declared_destroy(p->app.declared);
	store_destroy(p->app.store);
	node_destroy(p->app.node);
	server_destroy(p->server);
	offload_done();
	metrics_done();
	return code;
}

static void print_version(void)
{
	printf("ferrod %s\nlibmicrohttpd %s\njansson %s\nsqlite %s\nlibpq %s\n", FERROD_VERSION,
	       server_library_version(), JANSSON_VERSION, driver_sqlite_version(), driver_postgres_version());
}

static bool check_databases(struct process *p, struct err *err)
{
	const struct store_options so = store_options(&p->config);
	struct connect_options o;
	bool any;
	configure(&p->config);
	p->app.store = store_create(&so);
	const bool ok = built_in(p, &o, &any, err) && declared_check(p->app.store, p->catalog, any ? &o : NULL, err);
	store_destroy(p->app.store);
	return ok;
}

/* Everything that a start looks at, in its order, short of taking the port, making files and asking servers. */
static int check_config(struct process *p)
{
	const struct app_state_options state = state_settings(p);
	struct err err;
	if (!check_start(p, &err) || !server_may_listen(p->config.listen, &err) || !check_databases(p, &err) ||
	    !app_state_look(&p->app, &state, &err))
		return usage_error(&err);
	puts("the configuration is valid");
	return EXIT_SUCCESS;
}

static int run(struct process *p)
{
	const struct app_state_options state = state_settings(p);
	struct err err;
	switch (p->config.action) {
	case CONFIG_HELP:
		config_print_help(stdout);
		return EXIT_SUCCESS;
	case CONFIG_VERSION:
		print_version();
		return EXIT_SUCCESS;
	case CONFIG_PRINT_SETTINGS:
		config_print_settings(stdout);
		return EXIT_SUCCESS;
	case CONFIG_PRINT_ROUTES:
		routes_print(stdout);
		return EXIT_SUCCESS;
	case CONFIG_CHECK:
		return check_config(p);
	case CONFIG_STATE_EXPORT:
		return app_state_export(&p->app, &state, stdout, &err) ? EXIT_SUCCESS : usage_error(&err);
	case CONFIG_BACKUP:
		return app_backup(&p->app, &state, p->config.backup, stdout, &err) ? EXIT_SUCCESS : usage_error(&err);
	case CONFIG_HEALTHCHECK:
	case CONFIG_HEALTHCHECK_READY:
		return healthcheck(p->config.listen, p->config.tls_cert_file.len > 0,
				   p->config.action == CONFIG_HEALTHCHECK_READY, &err)
			       ? EXIT_SUCCESS
			       : fail(&err);
	case CONFIG_SERVE:
		break;
	}
	if (!supervisor_listen_fd(&p->config.arena, &p->listen_fd, &p->config.listen, &err))
		return usage_error(&err);
	return serve(p);
}

/* Policy, catalog, keys: what a start looks at before anything else. */
static bool read_catalog(struct process *p, struct err *err)
{
	const bool wanted = p->config.action == CONFIG_SERVE || p->config.action == CONFIG_CHECK;
	if (p->config.action == CONFIG_STATE_EXPORT || p->config.action == CONFIG_BACKUP)
		return fill_app(p, err);
	const struct catalog_source from = catalog_source(p);
	if (wanted && (!fill_app(p, err) || !catalog_read(&from, &p->catalog, err)))
		return false;
	const struct key_sources from_keys = app_key_sources(&p->config, wanted ? p->catalog->keys : NULL);
	const struct gate_options gate = gate_options(&p->config);
	struct key_set *keys = NULL;
	if (keys_load(&from_keys, &keys, err)) {
		p->gate = gate_create(&gate, keys);
		return true;
	}
	if (wanted)
		(void)catalog_key_fault(p->catalog, err);
	return false;
}

static int command(struct process *p, int argc, char **argv)
{
	struct err err;
	if (argc == 3 && strcmp(argv[1], "key") == 0 && strcmp(argv[2], "seal") == 0) {
		seal_print_new(stdout);
		return EXIT_SUCCESS;
	}
	if (argc >= 2 && strcmp(argv[1], "key") == 0)
		return key_command(argc, argv, &err) ? EXIT_SUCCESS : usage_error(&err);
	if (!config_load(argc, argv, environ, &p->config, &err))
		return usage_error(&err);
	p->reload = (struct app_reload){.app = &p->app, .argc = argc, .argv = argv};
	const int code = read_catalog(p, &err) ? run(p) : usage_error(&err);
	catalog_unref(p->catalog);
	gate_destroy(p->gate);
	tls_done();
	tls_trust_done();
	config_done(&p->config);
	return code;
}

int main(int argc, char **argv)
{
	static struct process p;
	mem_setup();
	const int code = command(&p, argc, argv);
	/* a key or an export that nobody got is no success */
	if ((fflush(stdout) == 0 && ferror(stdout) == 0) || code != EXIT_SUCCESS)
		return code;
	fputs("ferrod: cannot write to standard output\n", stderr);
	return EXIT_FAILURE;
}
