/*
 * Connecting. libpq resolves names, reads key files and computes password proofs inside PQconnectStart and
 * PQconnectPoll, so every such call runs on an offload thread; only the waiting between them is the fiber's.
 */
#include "store/driver/postgres/postgres_driver.h"

#include <stdio.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

struct attempt {
	const struct dsn *dsn;
	/* One of the URL's hosts, and what is asked of it; NULL: as the URL says. */
	const char *host, *hostaddr, *port, *attrs;
	PGconn *pg;
	PostgresPollingStatusType poll;
};

static const char *application_name; /* NULL: as the URL says */

void driver_postgres_name(const char *name)
{
	application_name = name;
}

static void ignore_notice(void *arg UNUSED, const char *message UNUSED)
{
}

static void start_call(void *arg)
{
	/* Before `dbname`, which is expanded in place: what the URL may override; after it: what it may not. */
	const char *const keys[] = {"fallback_application_name",
				    "dbname",
				    "client_encoding",
				    "host",
				    "hostaddr",
				    "port",
				    "target_session_attrs",
				    application_name != NULL ? "application_name" : NULL,
				    NULL};
	struct attempt *a = arg;
	const char *const values[] = {"ferrod", a->dsn->conninfo.p, "UTF8",           a->host, a->hostaddr,
				      a->port,  a->attrs,           application_name, NULL};

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
	(void)pg_told_drop(a->pg);
	if (a->poll == PGRES_POLLING_READING && pg_told_too_much(a->pg))
		a->poll = PGRES_POLLING_FAILED;
}

static bool poll_until_ok(struct attempt *a, int64_t deadline, struct err *err)
{
	a->poll = PGRES_POLLING_WRITING;
	while (a->poll == PGRES_POLLING_WRITING || a->poll == PGRES_POLLING_READING) {
		const short events = a->poll == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
		const enum wait_result r = wait_fd(PQsocket(a->pg), events, deadline, NULL);

		if (r != WAIT_READY) {
			(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "could not connect to the database in time");
			err->cancelled = r == WAIT_CANCELLED;
			err->outcome = ERR_OUTCOME_NOT_STARTED;
			return false;
		}
		offload(poll_call, a);
		if (PQsocket(a->pg) < 0)
			break;
	}
	return a->poll == PGRES_POLLING_OK || pg_fail_connect(a->dsn, a->pg, err);
}

/* Connects to what the attempt says; nothing is left of one that fails. */
static bool try_host(struct attempt *a, int64_t deadline, struct err *err)
{
	bool ok;

	offload(start_call, a);
	if (a->pg == NULL || PQstatus(a->pg) == CONNECTION_BAD)
		ok = pg_fail_connect(a->dsn, a->pg, err);
	else
		ok = poll_until_ok(a, deadline, err);
	if (!ok) {
		PQfinish(a->pg);
		a->pg = NULL;
	}
	return ok;
}

/* ---- several hosts ---- */

#define HOSTS_MAX 32

/* The URL's hosts. libpq goes on to the next one when a connection is refused, but waits for ever for one that is there
 * and says nothing; so each is tried by itself, within its own time. */
struct hosts {
	struct arena arena; /* of the texts */
	const char *host[HOSTS_MAX], *hostaddr[HOSTS_MAX], *port[HOSTS_MAX];
	size_t n; /* 0: libpq is to make of the URL what it can */
	bool prefer_standby;
	int64_t timeout_ns; /* connect_timeout; 0: none */
};

static struct str option(PQconninfoOption *options, const char *key)
{
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
		if (strcmp(o->keyword, key) == 0)
			return o->val != NULL && o->val[0] != '\0' ? str_z(o->val) : STR_NONE;
	return STR_NONE;
}

/* Splits a list; false: longer than we take, or with an empty entry, which no parameter can say. */
static bool split(struct arena *a, struct str list, const char **ret, size_t *ret_n)
{
	struct str one;

	*ret_n = 0;
	while (str_split(&list, ',', &one)) {
		if (one.len == 0 || *ret_n == HOSTS_MAX)
			return false;
		ret[(*ret_n)++] = arena_strz(a, one);
	}
	return true;
}

static void read_hosts(const struct dsn *dsn, struct hosts *h)
{
	PQconninfoOption *options = PQconninfoParse(dsn->conninfo.p, NULL);
	size_t n_host, n_addr, n_port;
	int64_t seconds;

	if (num_parse_int(option(options, "connect_timeout"), &seconds) && seconds > 0 && seconds < 86400)
		h->timeout_ns = seconds * CLOCK_NS_PER_S > LIMIT_CONNECT_MIN_NS ? seconds * CLOCK_NS_PER_S
										: LIMIT_CONNECT_MIN_NS;
	h->prefer_standby = str_eq_z(option(options, "target_session_attrs"), "prefer-standby");
	if (split(&h->arena, option(options, "host"), h->host, &n_host) &&
	    split(&h->arena, option(options, "hostaddr"), h->hostaddr, &n_addr) &&
	    split(&h->arena, option(options, "port"), h->port, &n_port)) {
		h->n = n_host > n_addr ? n_host : n_addr;
		if ((n_host != 0 && n_host != h->n) || (n_addr != 0 && n_addr != h->n) ||
		    (n_port > 1 && n_port != h->n))
			h->n = 0; /* it will say so */
		for (size_t i = 1; n_port == 1 && i < h->n; i++)
			h->port[i] = h->port[0];
	}
	PQconninfoFree(options);
}

/* A refused login is the last word, as libpq has it; whatever else is wrong with one host says nothing of the next. */
static bool goes_on(const struct err *err)
{
	return err->code == ERR_DATABASE_UNAVAILABLE && !err->cancelled;
}

static bool try_hosts(struct attempt *a, const struct hosts *h, int64_t deadline, struct err *err)
{
	for (size_t i = 0; i < h->n; i++) {
		const int64_t now = clock_mono_ns();
		const int64_t left = (deadline == CLOCK_NEVER ? 60 * CLOCK_NS_PER_S : deadline - now);
		const int64_t share = h->timeout_ns != 0 ? h->timeout_ns : left / (int64_t)(h->n - i);

		a->host = h->host[i];
		a->hostaddr = h->hostaddr[i];
		a->port = h->port[i];
		if (try_host(a, clock_min(deadline, now + share), err))
			return true;
		if (!goes_on(err) || clock_mono_ns() >= deadline)
			return false;
	}
	return false;
}

static bool connect_any(struct attempt *a, int64_t deadline, struct err *err)
{
	struct hosts h = {.n = 0};
	bool ok;

	arena_init(&h.arena);
	read_hosts(a->dsn, &h);
	if (h.n < 2) {
		const int64_t until =
			h.timeout_ns != 0 ? clock_min(deadline, clock_mono_ns() + h.timeout_ns) : deadline;

		ok = try_host(a, until, err);
	} else if (h.prefer_standby) {
		a->attrs = "standby";
		ok = try_hosts(a, &h, clock_mono_ns() + (deadline - clock_mono_ns()) / 2, err);
		a->attrs = "any";
		ok = ok || (goes_on(err) && try_hosts(a, &h, deadline, err));
	} else {
		ok = try_hosts(a, &h, deadline, err);
	}
	arena_done(&h.arena);
	return ok;
}

/* ---- the settings of a session ---- */

static bool apply_settings(struct pg_conn *c, int64_t deadline, struct err *err)
{
	struct strbuf b;
	bool ok;

	strbuf_init(&b, 0);
	pg_settings_sql(c->base.db->dsn, "false", &b);
	ok = !strbuf_failed(&b) && pg_simple(c, b.p, deadline, NULL, err);
	strbuf_done(&b);
	if (ok)
		return true;
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* Is the server's process the one that the login named? A pooler makes that up. */
static bool find_pooler(struct pg_conn *c, int64_t deadline, struct err *err)
{
	const struct stmt s = {.sql = STR("SELECT pg_catalog.pg_backend_pid()"), .access = STMT_READ, .quick = true};
	struct cursor *cur;
	int64_t pid = 0;
	bool row = true, ok;

	if (!pg_prepare(&c->base, &s, deadline, &cur, err))
		return false;
	while ((ok = pg_step(cur, &row, err)) && row)
		if (cur->n_columns == 1 && cur->row[0].kind == VALUE_INT)
			pid = cur->row[0].u.i;
	pg_finish(cur);
	c->pooled = pid != PQbackendPID(c->pg);
	return ok;
}

/* Without it what SQL prepares is dropped with all else, and no name is used (postgres_pooled.c). */
static bool find_plpgsql(struct pg_conn *c, int64_t deadline, struct err *err)
{
	static const char sql[] =
		"SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_language l WHERE l.lanname = $1::pg_catalog.name "
		"AND pg_catalog.has_language_privilege(l.oid, 'USAGE'))";
	const bool ok = pg_ask(&c->base, str_z(sql), STR("plpgsql"), deadline, &c->has_plpgsql, err);

	c->nameless = !c->has_plpgsql;
	if (!ok)
		err->outcome = ERR_OUTCOME_NOT_STARTED;
	return ok;
}

/* Finds out what is between; without a pooler the session is put where it is needed. */
static bool settle_in(struct pg_conn *c, int64_t deadline, struct err *err)
{
	struct driver_db *db = c->base.db;
	const int asked = __atomic_load_n(&db->pooler, __ATOMIC_RELAXED);

	if (asked == POOLER_AUTO && !find_pooler(c, deadline, err)) {
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		return false;
	}
	c->pooled = c->pooled || asked == POOLER_TRANSACTION;
	if (__atomic_load_n(&db->pooler, __ATOMIC_RELAXED) == asked)
		__atomic_store_n(&db->found, c->pooled ? POOLER_TRANSACTION : POOLER_NONE, __ATOMIC_RELAXED);
	if (c->pooled)
		pg_cancel_pooled(c->cancel);
	if (c->pooled)
		return find_plpgsql(c, deadline, err);
	return apply_settings(c, deadline, err) &&
	       (PQserverVersion(c->pg) < 130000 || pg_history_find(c, deadline, err));
}

/* "15.18 (Debian 15.18-0+deb12u1)" -> "15.18" */
static void keep_version(struct pg_conn *c)
{
	const char *text = PQparameterStatus(c->pg, "server_version");
	size_t n =
		text != NULL ? strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-_") : 0;

	if (n >= sizeof(c->version))
		n = sizeof(c->version) - 1;
	if (n > 0)
		memcpy(c->version, text, n);
	c->version[n] = '\0';
}

static void take_notice(void *arg, const PGresult *res)
{
	const struct pg_said said = pg_said_of(res);

	pg_take_notice(arg, &said);
}

bool pg_open(struct driver_db *db, int64_t deadline_ns, struct driver_conn **ret, struct err *err)
{
	struct attempt a = {.dsn = db->dsn};
	struct pg_conn *c;

	if (!connect_any(&a, deadline_ns, err))
		return false;
	c = mem_alloc(sizeof(*c));
	c->pieces = -1;
	c->base.driver = &driver_postgres;
	c->base.db = db;
	c->base.opened_ns = clock_mono_ns();
	c->pg = a.pg;
	pg_cache_init(&c->cache, c->base.role);
	strbuf_init(&c->text, 0);
	strbuf_init(&c->along.key, 0);
	strbuf_init(&c->along.sql, 0);
	strbuf_init(&c->base.notices, 0);
	strbuf_init(&c->wire.out, 0);
	strbuf_init(&c->wire.rows, 0);
	(void)PQsetErrorVerbosity(c->pg, PQERRORS_DEFAULT);
	(void)PQsetNoticeReceiver(c->pg, take_notice, c);
	c->wire.plain = PQsslInUse(c->pg) == 0 && PQgssEncInUse(c->pg) == 0 && PQprotocolVersion(c->pg) == 3;
	c->cancel = pg_cancel_create(c->pg, db->dsn);
	if (c->cancel == NULL || PQsetnonblocking(c->pg, 1) != 0)
		(void)pg_fail_connect(db->dsn, c->pg, err);
	else if (settle_in(c, deadline_ns, err)) {
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
	if (c->cancel != NULL && PQstatus(c->pg) == CONNECTION_OK &&
	    (PQtransactionStatus(c->pg) == PQTRANS_ACTIVE || c->wire.running))
		(void)pg_cancel_send(c->cancel);
	pg_cancel_unref(c->cancel);
	pg_cursor_done(&c->cur);
	pg_wire_done(&c->wire);
	mem_free(c->ahead.items);
	PQfinish(c->pg);
	pg_cache_done(&c->cache);
	pg_params_done(&c->params);
	pg_params_done(&c->along.params);
	strbuf_done(&c->along.key);
	strbuf_done(&c->along.sql);
	strbuf_done(&c->base.notices);
	strbuf_done(&c->text);
	pg_raw_done(c);
	mem_free(c);
}
