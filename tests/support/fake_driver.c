/* The fake database: see fake_driver.h. */
#include "tests/support/fake_driver.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

struct driver_db {
	int unused;
};

struct fake fake;

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
}

static struct fake_conn *of(struct driver_conn *c)
{
	return (struct fake_conn *)(void *)c;
}

static void note(const char *words)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	size_t len;

	pthread_mutex_lock(&lock);
	len = strlen(fake.log);
	(void)snprintf(fake.log + len, sizeof(fake.log) - len, "%s%s", len != 0 ? ";" : "", words);
	pthread_mutex_unlock(&lock);
}

static bool fake_db_open(const struct dsn *dsn, struct driver_db **ret, struct err *err)
{
	(void)dsn;
	(void)err;
	*ret = mem_alloc(sizeof(**ret));
	return true;
}

static void fake_db_close(struct driver_db *db)
{
	mem_free(db);
}

static bool fake_open(struct driver_db *db, int64_t deadline, struct driver_conn **ret, struct err *err)
{
	struct fake_conn *f = mem_alloc(sizeof(*f));

	(void)deadline;
	(void)err;
	f->base.driver = &fake_driver;
	f->base.db = db;
	f->base.opened_ns = clock_mono_ns();
	*ret = &f->base;
	return true;
}

static void fake_close(struct driver_conn *c)
{
	mem_free(c);
}

static bool fake_prepare(struct driver_conn *c, const struct stmt *s, int64_t deadline, struct cursor **ret,
			 struct err *err)
{
	(void)c;
	(void)s;
	(void)deadline;
	(void)ret;
	return err_set(err, ERR_SQL_ERROR, "the fake database has no tables");
}

static bool fake_step(struct cursor *cur, bool *ret_row, struct err *err)
{
	(void)cur;
	(void)ret_row;
	return err_set(err, ERR_SQL_ERROR, "the fake database has no rows");
}

static void fake_finish(struct cursor *cur)
{
	(void)cur;
}

static bool fake_simple(struct driver_conn *c, struct str sql, int64_t deadline, struct err *err)
{
	char words[128];

	(void)deadline;
	(void)snprintf(words, sizeof(words), "%.*s", STR_FMT(sql));
	if (c->broken)
		return err_set(err, ERR_DATABASE_UNAVAILABLE, "the connection is gone");
	if (fake.refuse != NULL && str_starts(sql, str_z(fake.refuse))) {
		fake_fail(c);
		return err_set(err, ERR_SQL_ERROR, "refused");
	}
	note(words);
	if (str_starts(sql, STR("ROLLBACK TO")))
		of(c)->state = TX_STATE_OPEN;
	else if (of(c)->state == TX_STATE_ABORTED)
		return err_set(err, ERR_TRANSACTION_ABORTED, "aborted");
	return true;
}

static bool fake_begin(struct driver_conn *c, enum tx_isolation iso, bool read_only, int64_t deadline, struct err *err)
{
	(void)iso;
	(void)deadline;
	(void)err;
	note(read_only ? "BEGIN READ ONLY" : "BEGIN");
	assert(of(c)->state == TX_STATE_NONE);
	of(c)->state = TX_STATE_OPEN;
	return true;
}

static bool fake_commit(struct driver_conn *c, int64_t deadline, struct err *err)
{
	(void)deadline;
	note("COMMIT");
	switch (fake.commit) {
	case FAKE_COMMIT_OK:
		fake_raw_commit(c);
		return true;
	case FAKE_COMMIT_REFUSED:
		of(c)->state = TX_STATE_NONE;
		return err_set(err, ERR_SERIALIZATION_FAILURE, "could not serialize");
	case FAKE_COMMIT_LOST:
		fake_lose(c);
		return err_set(err, ERR_DATABASE_UNAVAILABLE, "the connection is gone");
	case FAKE_COMMIT_NOT_SENT:
		fake_lose(c);
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "the connection is gone");
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		return false;
	case FAKE_COMMIT_STAYS_OPEN:
		return err_set(err, ERR_DATABASE_BUSY, "locked");
	}
	return false;
}

static void fake_rollback(struct driver_conn *c)
{
	if (of(c)->state == TX_STATE_OPEN || of(c)->state == TX_STATE_ABORTED) {
		note("ROLLBACK");
		fake_raw_rollback(c);
	}
}

static enum tx_state fake_tx_state(struct driver_conn *c)
{
	return of(c)->state;
}

static bool fake_ping(struct driver_conn *c, int64_t deadline, struct err *err)
{
	(void)deadline;
	return c->broken ? err_set(err, ERR_DATABASE_UNAVAILABLE, "the connection is gone") : true;
}

static bool fake_conn_reset(struct driver_conn *c, int64_t deadline)
{
	(void)deadline;
	return !c->broken;
}

static void fake_cancel(struct driver_conn *c)
{
	(void)__atomic_add_fetch(&of(c)->n_cancelled, 1, __ATOMIC_RELAXED);
}

static void fake_forget(struct driver_conn *c)
{
	(void)c;
}

static const char *fake_version(struct driver_conn *c)
{
	(void)c;
	return "0";
}

static bool fake_tables(struct driver_conn *c, struct arena *a, int64_t deadline, struct str **ret, size_t *ret_n,
			struct err *err)
{
	(void)c;
	(void)a;
	(void)deadline;
	(void)err;
	*ret = NULL;
	*ret_n = 0;
	return true;
}

const struct driver fake_driver = {
	.name = "fake",
	.dialect = &dialect_postgres,
	.db_open = fake_db_open,
	.db_close = fake_db_close,
	.open = fake_open,
	.close = fake_close,
	.prepare = fake_prepare,
	.step = fake_step,
	.finish = fake_finish,
	.simple = fake_simple,
	.begin = fake_begin,
	.commit = fake_commit,
	.rollback = fake_rollback,
	.tx_state = fake_tx_state,
	.ping = fake_ping,
	.reset = fake_conn_reset,
	.cancel = fake_cancel,
	.forget = fake_forget,
	.server_version = fake_version,
	.list_tables = fake_tables,
};

void fake_raw_commit(struct driver_conn *c)
{
	of(c)->state = TX_STATE_NONE;
	c->n_commits++;
}

void fake_raw_rollback(struct driver_conn *c)
{
	of(c)->state = TX_STATE_NONE;
	c->n_rollbacks++;
}

void fake_fail(struct driver_conn *c)
{
	of(c)->state = TX_STATE_ABORTED;
}

void fake_lose(struct driver_conn *c)
{
	of(c)->state = TX_STATE_UNKNOWN;
	c->broken = true;
}

struct connection *fake_connection(const char *name, int max)
{
	struct connection *c = mem_alloc(sizeof(*c));
	struct pool_config cfg = pool_config_default();
	struct err err;
	bool ok;

	cfg.max_connections = max;
	cfg.acquire_timeout_s = 1;
	c->refs = 1;
	c->name = str_z(name);
	c->driver = &fake_driver;
	c->dialect = &dialect_postgres;
	c->identity_map = true;
	ok = pool_create(&fake_driver, &c->dsn, &cfg, &c->pool, &err);
	assert(ok);
	(void)ok;
	return c;
}

void fake_connection_done(struct connection *c)
{
	struct pool_stats s;

	pool_stats(c->pool, &s);
	assert(s.in_use == 0);
	assert(c->n_sessions == 0 && c->n_transactions == 0);
	assert(c->refs == 1);
	pool_close(c->pool);
	pool_unref(c->pool);
	mem_free(c);
}
