/*
 * Connecting. libpq resolves names, reads key files and computes password proofs inside PQconnectStart and
 * PQconnectPoll, so every such call runs on an offload thread; only the waiting between them is the fiber's.
 */
#include "store/driver/postgres/postgres_driver.h"

#include <stdio.h>
#include <sys/socket.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* libpq waits no shorter than that for one host either. */
#define CONNECT_MIN_NS (2 * CLOCK_NS_PER_S)

struct attempt {
	const struct dsn *dsn;
	PGconn *pg;
	PostgresPollingStatusType poll;
};

static void ignore_notice(void *arg UNUSED, const char *message UNUSED)
{
}

static void start_call(void *arg)
{
	/* Before `dbname`, which is expanded in place: what the URL may override; after it: what it may not. */
	static const char *const keys[] = {"fallback_application_name", "dbname", "client_encoding", NULL};
	struct attempt *a = arg;
	const char *const values[] = {"ferrod", a->dsn->conninfo.p, "UTF8", NULL};

	a->pg = PQconnectStartParams(keys, values, 1);
	if (a->pg == NULL)
		return;
	(void)PQsetNoticeProcessor(a->pg, ignore_notice, NULL);
	/* puts the SQLSTATE of a refused login into the message, the only place where this version of libpq has it */
	(void)PQsetErrorVerbosity(a->pg, PQERRORS_VERBOSE);
}

static void poll_call(void *arg)
{
	struct attempt *a = arg;

	a->poll = PQconnectPoll(a->pg);
}

static int64_t option_int(PQconninfoOption *options, const char *key)
{
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
		int64_t n;

		if (strcmp(o->keyword, key) == 0 && o->val != NULL && num_parse_int(str_z(o->val), &n) && n > 0)
			return n;
	}
	return 0;
}

static size_t count_hosts(PQconninfoOption *options)
{
	size_t n = 1;

	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
		size_t here = 1;

		if ((strcmp(o->keyword, "host") != 0 && strcmp(o->keyword, "hostaddr") != 0) || o->val == NULL)
			continue;
		for (const char *p = o->val; *p != '\0'; p++)
			here += *p == ',';
		n = here > n ? here : n;
	}
	return n;
}

/* Time for one host: what the URL says, or an equal share when several may have to be tried. */
static int64_t host_time(PGconn *pg, int64_t deadline, size_t *ret_hosts)
{
	PQconninfoOption *options = PQconninfo(pg);
	int64_t timeout = option_int(options, "connect_timeout");
	int64_t left = deadline == CLOCK_NEVER ? 60 * CLOCK_NS_PER_S : deadline - clock_mono_ns();

	*ret_hosts = count_hosts(options);
	PQconninfoFree(options);
	if (timeout > 0 && timeout < 86400)
		return timeout * CLOCK_NS_PER_S > CONNECT_MIN_NS ? timeout * CLOCK_NS_PER_S : CONNECT_MIN_NS;
	return *ret_hosts > 1 ? left / (int64_t)*ret_hosts : left;
}

/* Waits as `a->poll` says. A host that stays silent for its whole time has its socket shut down under libpq, which then
 * goes on to the next one as after a refusal. */
static enum wait_result wait_host(struct attempt *a, int64_t *host_deadline, int64_t host_ns, int64_t deadline)
{
	const short events = a->poll == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
	enum wait_result r = wait_fd(PQsocket(a->pg), events, clock_min(*host_deadline, deadline), NULL);

	if (r != WAIT_TIMEOUT || clock_mono_ns() >= deadline)
		return r;
	(void)shutdown(PQsocket(a->pg), SHUT_RDWR);
	*host_deadline = clock_mono_ns() + host_ns;
	return WAIT_READY;
}

static bool poll_until_ok(struct attempt *a, int64_t deadline, struct err *err)
{
	size_t n_hosts = 1;
	const int64_t host_ns = host_time(a->pg, deadline, &n_hosts);
	int64_t host_deadline = clock_mono_ns() + host_ns;
	int fd = -1;

	a->poll = PGRES_POLLING_WRITING;
	for (;;) {
		enum wait_result r;

		if (PQsocket(a->pg) != fd) {
			fd = PQsocket(a->pg);
			host_deadline = clock_mono_ns() + host_ns;
		}
		r = wait_host(a, &host_deadline, host_ns, deadline);
		if (r != WAIT_READY) {
			(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "could not connect to the database in time");
			err->cancelled = r == WAIT_CANCELLED;
			err->outcome = ERR_OUTCOME_NOT_STARTED;
			return false;
		}
		offload(poll_call, a);
		if (a->poll == PGRES_POLLING_OK)
			return true;
		if (a->poll == PGRES_POLLING_FAILED || PQsocket(a->pg) < 0)
			return pg_fail_connect(a->dsn, a->pg, err);
	}
}

static void put_setting(struct strbuf *b, const char *name, struct str value)
{
	strbuf_puts(b, b->len == 0 ? "SELECT " : ", ");
	strbuf_puts(b, "pg_catalog.set_config(");
	dialect_quote_literal(b, str_z(name));
	strbuf_puts(b, ", ");
	dialect_quote_literal(b, value);
	strbuf_puts(b, ", false)");
}

void pg_settings_sql(const struct dsn *dsn, struct strbuf *b)
{
	/* first: the literals below and in DDL rely on it */
	put_setting(b, "standard_conforming_strings", STR("on"));
	put_setting(b, "datestyle", STR("ISO, MDY"));
	put_setting(b, "intervalstyle", STR("postgres"));
	put_setting(b, "timezone", STR("UTC"));
	put_setting(b, "bytea_output", STR("hex"));
	put_setting(b, "extra_float_digits", STR("1"));
	if (dsn->search_path.p != NULL) {
		struct strbuf path;

		strbuf_init(&path, 0);
		dialect_quote_ident(&path, dsn->search_path);
		put_setting(b, "search_path", strbuf_str(&path));
		strbuf_done(&path);
	}
}

static bool apply_settings(struct pg_conn *c, int64_t deadline, struct err *err)
{
	struct strbuf b;
	bool ok;

	strbuf_init(&b, 0);
	pg_settings_sql(c->base.db->dsn, &b);
	ok = !strbuf_failed(&b) && pg_simple(c, b.p, deadline, NULL, err);
	strbuf_done(&b);
	if (ok)
		return true;
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* "15.18 (Debian 15.18-0+deb12u1)" -> "15.18" */
static void keep_version(struct pg_conn *c)
{
	const char *text = PQparameterStatus(c->pg, "server_version");
	size_t n = text != NULL ? strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-_") : 0;

	if (n >= sizeof(c->version))
		n = sizeof(c->version) - 1;
	if (n > 0)
		memcpy(c->version, text, n);
	c->version[n] = '\0';
}

bool pg_open(struct driver_db *db, int64_t deadline_ns, struct driver_conn **ret, struct err *err)
{
	struct attempt a = {.dsn = db->dsn};
	struct pg_conn *c;

	offload(start_call, &a);
	if (a.pg == NULL || PQstatus(a.pg) == CONNECTION_BAD) {
		(void)pg_fail_connect(db->dsn, a.pg, err);
		PQfinish(a.pg);
		return false;
	}
	if (!poll_until_ok(&a, deadline_ns, err)) {
		PQfinish(a.pg);
		return false;
	}
	c = mem_alloc(sizeof(*c));
	c->base.driver = &driver_postgres;
	c->base.db = db;
	c->base.opened_ns = clock_mono_ns();
	c->pg = a.pg;
	pg_cache_init(&c->cache);
	strbuf_init(&c->text, 0);
	(void)PQsetErrorVerbosity(c->pg, PQERRORS_DEFAULT);
	c->cancel = pg_cancel_create(c->pg);
	if (c->cancel == NULL || PQsetnonblocking(c->pg, 1) != 0)
		(void)pg_fail_connect(db->dsn, c->pg, err);
	else if (apply_settings(c, deadline_ns, err)) {
		keep_version(c);
		*ret = &c->base;
		return true;
	}
	pg_close(&c->base);
	return false;
}

void pg_close(struct driver_conn *base)
{
	struct pg_conn *c = pg_conn(base);

	if (base == NULL)
		return;
	/* or it would run on in the server, holding its locks */
	if (c->cancel != NULL && PQstatus(c->pg) == CONNECTION_OK && PQtransactionStatus(c->pg) == PQTRANS_ACTIVE)
		(void)pg_cancel_send(c->cancel);
	pg_cancel_unref(c->cancel);
	pg_cursor_done(&c->cur);
	PQfinish(c->pg);
	pg_cache_done(&c->cache);
	pg_params_done(&c->params);
	strbuf_done(&c->text);
	mem_free(c);
}
