/*
 * The PostgreSQL driver's vtable and its transactions; postgres_driver.h lists the other files. All I/O is nonblocking
 * libpq.
 */
#include "store/driver/driver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/driver/catalog.h"
#include "store/driver/introspect.h"
#include "store/driver/postgres/postgres_batch.h"

#include "service/base/banned.h"

/* What libpq understands from some version on. */
static const struct {
	const char *option;
	int since;
	const char *env; /* guards that an older one would drop without a word */
} newer[] = {
	{"require_auth", 16, "PGREQUIREAUTH"}, {"sslcertmode", 16, "PGSSLCERTMODE"}, {"gssdelegation", 16, NULL},
	{"load_balance_hosts", 16, NULL},      {"sslnegotiation", 17, NULL},         {"min_protocol_version", 18, NULL},
	{"max_protocol_version", 18, NULL},    {"scram_client_key", 18, NULL},       {"scram_server_key", 18, NULL}};

static bool not_valid(struct str text, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(newer) && PQlibVersion() / 10000 < newer[i].since; i++) {
		char quoted[32];
		(void)snprintf(quoted, sizeof(quoted), "\"%s\"", newer[i].option);
		if (text.len > 0 && memmem(text.p, text.len, quoted, strlen(quoted)) != NULL)
			return err_set(err, ERR_INVALID_URL,
				       "the database URL is not valid: %s needs libpq %d or later, and this one is %s",
				       quoted, newer[i].since, driver_postgres_version());
	}
	return err_set(err, ERR_INVALID_URL, "the database URL is not valid: %.*s", STR_FMT(text));
}

/* The environment is part of every URL. */
static bool environment_valid(struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(newer) && PQlibVersion() / 10000 < newer[i].since; i++) {
		const char *set = newer[i].env != NULL ? getenv(newer[i].env) : NULL;
		if (set != NULL && set[0] != '\0')
			return err_set(err, ERR_INVALID_URL,
				       "%s is set, which needs libpq %d or later, and this one is %s", newer[i].env,
				       newer[i].since, driver_postgres_version());
	}
	return true;
}

/* Is it one of the words between the bars? */
static bool is_word(struct str word, const char *words)
{
	struct str rest = str_z(words), one;
	while (str_split(&rest, '|', &one))
		if (str_eq(one, word))
			return true;
	return false;
}

static bool ports_valid(struct str list)
{
	int64_t port;
	for (struct str one; list.len > 0 && str_split(&list, ',', &one);)
		if (one.len > 0 && !(num_parse_int(str_trim(one), &port) && port >= 1 && port <= 65535))
			return false;
	return true;
}

/* Always false; the text is shown without secrets, which a URL that is ill put together may have anywhere. */
static bool refuse(const struct dsn *dsn, const char *text, struct err *err)
{
	struct arena a;
	arena_init(&a);
	(void)!not_valid(str_trim(dsn_scrub(&a, dsn, str_z(text))), err);
	arena_done(&a);
	return false;
}

/* Values that libpq parses without a look at them, and refuses when it connects, which at a start is too late. */
static bool values_valid(const struct dsn *dsn, const PQconninfoOption *options, struct err *err)
{
	static const struct {
		const char *option, *words;
	} known[] = {{"sslmode", "disable|allow|prefer|require|verify-ca|verify-full"},
		     {"channel_binding", "disable|prefer|require"},
		     {"gssencmode", "disable|prefer|require"},
		     {"target_session_attrs", "any|read-write|read-only|primary|standby|prefer-standby"}};
	char text[256];
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		const struct str value = o->val != NULL ? str_z(o->val) : STR("");
		bool fine = value.len == 0 || strcmp(o->keyword, "port") != 0 || ports_valid(value);
		for (size_t i = 0; i < ARRAY_LEN(known) && value.len > 0; i++)
			fine = fine && (strcmp(o->keyword, known[i].option) != 0 || is_word(value, known[i].words));
		if (fine)
			continue;
		/* a port that is none may be what was meant to be a password */
		if (strcmp(o->keyword, "port") == 0)
			return refuse(dsn, "invalid port number", err);
		(void)snprintf(text, sizeof(text), "invalid %s value: \"%.100s\"", o->keyword, value.p);
		return refuse(dsn, text, err);
	}
	return true;
}

static bool db_open(const struct dsn *dsn, struct driver_db **ret, struct err *err)
{
	char *message = NULL;
	PQconninfoOption *options = PQconninfoParse(dsn->conninfo.p, &message);
	struct driver_db *db;

	if (options == NULL) {
		(void)!refuse(dsn, message != NULL ? message : "not understood", err);
		PQfreemem(message);
		return false;
	}
	const bool ok = values_valid(dsn, options, err) && pg_tls_enough(options, err) && environment_valid(err);
	PQconninfoFree(options);
	if (!ok)
		return false;
	db = mem_alloc(sizeof(*db));
	db->dsn = dsn;
	db->found = POOLER_AUTO;
	db->names = pg_names_create();
	db->plain = pg_plain_create();
	pg_settings_texts(db);
	*ret = db;
	return true;
}

static void db_close(struct driver_db *db)
{
	pg_names_destroy(db->names);
	pg_plain_destroy(db->plain);
	strbuf_done(&db->settings);
	strbuf_done(&db->path);
	strbuf_done(&db->begin);
	strbuf_done(&db->reset);
	mem_free(db);
}

static void db_set_pooler(struct driver_db *db, enum pooler pooler)
{
	__atomic_store_n(&db->pooler, (int)pooler, __ATOMIC_RELAXED);
	__atomic_store_n(&db->found, POOLER_AUTO, __ATOMIC_RELAXED);
}

static bool listen_to(struct driver_conn *base, struct str channel, int64_t deadline_ns, struct err *err)
{
	char sql[64];

	(void)snprintf(sql, sizeof(sql), "LISTEN %.*s", STR_FMT(channel));
	base->session_dirty = true;
	return pg_simple(pg_conn(base), sql, deadline_ns, NULL, err);
}

static bool local_address(struct driver_conn *conn, char ret[64])
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)&sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&sa;
	char text[INET6_ADDRSTRLEN];

	if (getsockname(PQsocket(((struct pg_conn *)(void *)conn)->pg), (struct sockaddr *)(void *)&sa, &len) != 0)
		return false;
	if (sa.ss_family == AF_INET6 && inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)) != NULL)
		(void)snprintf(ret, 64, "[%s]", text);
	else if (sa.ss_family == AF_INET && inet_ntop(AF_INET, &in4->sin_addr, text, sizeof(text)) != NULL)
		(void)snprintf(ret, 64, "%s", text);
	else
		(void)snprintf(ret, 64, "127.0.0.1");
	return true;
}

static enum pooler db_pooler(const struct driver_db *db)
{
	const enum pooler found = (enum pooler)__atomic_load_n(&db->found, __ATOMIC_RELAXED);

	return found != POOLER_AUTO ? found : (enum pooler)__atomic_load_n(&db->pooler, __ATOMIC_RELAXED);
}

static bool simple(struct driver_conn *base, struct str sql, int64_t deadline_ns, struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	char *text = mem_strndup(sql.p, sql.len);
	bool ok = pg_simple(c, text, deadline_ns, NULL, err);

	mem_free(text);
	return ok;
}

static enum tx_state tx_state(struct driver_conn *base)
{
	struct pg_conn *c = pg_conn(base);

	if (base->broken)
		return TX_STATE_UNKNOWN;
	if (c->opening[0] != '\0' || pg_ahead_left(c) > 0)
		return TX_STATE_OPEN;
	switch (PQtransactionStatus(c->pg)) {
	case PQTRANS_IDLE:
		return TX_STATE_NONE;
	case PQTRANS_INTRANS:
		return TX_STATE_OPEN;
	case PQTRANS_INERROR:
		return TX_STATE_ABORTED;
	case PQTRANS_ACTIVE:
	case PQTRANS_UNKNOWN:
		break;
	}
	return TX_STATE_UNKNOWN;
}

static const char *const levels[] = {
	[TX_ISO_DEFAULT] = "",
	[TX_ISO_READ_COMMITTED] = " ISOLATION LEVEL READ COMMITTED",
	[TX_ISO_REPEATABLE_READ] = " ISOLATION LEVEL REPEATABLE READ",
	[TX_ISO_SERIALIZABLE] = " ISOLATION LEVEL SERIALIZABLE",
};

static bool begin(struct driver_conn *base, enum tx_isolation iso, bool read_only, int64_t deadline_ns, struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	char sql[640];
	const int n = snprintf(sql, sizeof(sql), "BEGIN%s%s%s", levels[iso], read_only ? " READ ONLY" : "",
			       c->pooled ? base->db->begin.p : "");

	c->unclean = base->marks = base->mark.is_set = false;
	if (n > 0 && (size_t)n < sizeof(sql) && pg_simple(c, sql, deadline_ns, NULL, err)) {
		if (PQtransactionStatus(c->pg) == PQTRANS_INTRANS)
			return true;
		(void)pg_fail_answer(c, "a transaction that did not begin", false, err);
	}
	err->outcome = ERR_OUTCOME_NOT_STARTED; /* of the work that was to follow */
	return false;
}

/* Behind a pooler the settings of a transaction are statements of their own, which no pipeline takes in one text. */
static bool begin_later(struct driver_conn *base, enum tx_isolation iso, bool read_only, int64_t deadline_ns,
			struct err *err)
{
	struct pg_conn *c = pg_conn(base);

	if (c->pooled)
		return begin(base, iso, read_only, deadline_ns, err);
	if (!pg_usable(c, deadline_ns, err))
		return false;
	c->unclean = false;
	c->marking = base->marks;
	base->marks = base->mark.is_set = false;
	c->words.opening = 1 + 2 * (unsigned)iso + (read_only ? 1 : 0);
	(void)snprintf(c->opening, sizeof(c->opening), "BEGIN%s%s", levels[iso], read_only ? " READ ONLY" : "");
	return true;
}

/* Behind a pooler, what a client's statement may have left does not go back by itself, either. */
static bool send_rollback(struct pg_conn *c)
{
	struct strbuf sql;
	struct err ignored;
	bool ok, clean;

	strbuf_init(&sql, 0);
	if (c->unclean)
		pg_rollback_clean_sql(c, &sql);
	clean = c->unclean && !strbuf_failed(&sql);
	ok = pg_simple(c, clean ? sql.p : "ROLLBACK", clock_mono_ns() + LIMIT_CLEANUP_NS, NULL, &ignored);
	c->base.n_rollbacks += ok && clean; /* it was not the last command of its text */
	strbuf_done(&sql);
	return ok;
}

static void rollback(struct driver_conn *base)
{
	struct pg_conn *c = pg_conn(base);

	c->opening[0] = '\0';
	pg_along_forget(c);
	if (!base->broken && !c->cur.active && pg_ahead_left(c) > 0)
		pg_ahead_drop(c);
	if (base->broken || PQtransactionStatus(c->pg) == PQTRANS_IDLE)
		return;
	fiber_shield();
	if (c->cur.active || tx_state(base) == TX_STATE_UNKNOWN || !send_rollback(c) ||
	    PQtransactionStatus(c->pg) != PQTRANS_IDLE)
		base->broken = true;
	fiber_unshield();
}

static bool fail_aborted(struct err *err)
{
	(void)err_set(err, ERR_TRANSACTION_ABORTED, "an earlier statement failed: the transaction was rolled back");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

static bool commit(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	struct pg_conn *c = pg_conn(base);
	struct strbuf sql;
	char tag[32];
	bool ok;

	if (tx_state(base) == TX_STATE_ABORTED) {
		rollback(base);
		return fail_aborted(err);
	}
	if (c->opening[0] != '\0') { /* nothing was in it */
		if (!c->along.waits) {
			c->opening[0] = '\0';
			base->n_commits++;
			return true;
		}
		if (!pg_open_now(c, deadline_ns, err)) {
			rollback(base);
			err->outcome = ERR_OUTCOME_ROLLED_BACK;
			return false;
		}
	}
	strbuf_init(&sql, 0);
	if (c->unclean)
		pg_commit_clean_sql(c, &sql);
	fiber_shield(); /* a client that goes away now does not make it any less committed */
	ok = pg_simple(c, c->unclean && !strbuf_failed(&sql) ? sql.p : "COMMIT", deadline_ns, tag, err);
	fiber_unshield();
	strbuf_done(&sql);
	if (ok && tag[0] == '\0')
		base->n_commits++; /* succeeded while it was being cancelled */
	if (base->unreplicated)
		return pg_fail_unreplicated(c, err);
	if (ok)
		return strcmp(tag, "ROLLBACK") != 0 || fail_aborted(err);
	/* Even an explicit "terminating connection" may have come after the commit was written. */
	if (base->broken && err->outcome != ERR_OUTCOME_NOT_STARTED) {
		err->outcome = ERR_OUTCOME_UNKNOWN;
		return false;
	}
	rollback(base);
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

/* Behind a pooler, what a client's statement may have left is put back before COMMIT, in texts of their own. */
static bool commit_next(struct driver_conn *base, struct commit_mark *ret_mark)
{
	struct pg_conn *c = pg_conn(base);

	if (c->pooled || tx_state(base) != TX_STATE_OPEN)
		return false;
	c->closing = true;
	c->closing_mark = c->has_history ? ret_mark : NULL;
	return true;
}

static size_t ahead_left(const struct driver_conn *base)
{
	return pg_ahead_left((const struct pg_conn *)(const void *)base);
}

static bool ping(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	return pg_simple(pg_conn(base), "", deadline_ns, NULL, err);
}

/* DISCARD ALL must be alone in its transaction, hence two sync points; one round trip. */
static bool discard(struct pg_conn *c, int64_t deadline)
{
	struct strbuf b;
	PGresult *error = NULL;
	bool ok;

	strbuf_init(&b, 0);
	pg_settings_sql(c->base.db->dsn, "false", &b);
	ok = !strbuf_failed(&b) && PQenterPipelineMode(c->pg) == 1 &&
	     PQsendQueryParams(c->pg, "DISCARD ALL", 0, NULL, NULL, NULL, NULL, 0) == 1 && PQpipelineSync(c->pg) == 1 &&
	     PQsendQueryParams(c->pg, b.p, 0, NULL, NULL, NULL, NULL, 0) == 1 && PQpipelineSync(c->pg) == 1;
	c->n_syncs = 2;
	ok = ok && pg_drain(c, deadline, &error) == PG_IO_OK && error == NULL;
	PQclear(error);
	strbuf_done(&b);
	pg_cache_clear(&c->cache, true);
	pg_words_forget(c);
	return ok;
}

/* The same but for prepared statements, which are dear: ours stay. *ret_others: there are some that are not ours, or
 * ours are not there any more. */
static bool put_back(struct pg_conn *c, int64_t deadline, bool *ret_others)
{
	bool ok = PQsendQuery(c->pg, c->base.db->reset.p) == 1;

	*ret_others = true;
	while (ok) {
		PGresult *res;

		if (pg_next(c, deadline, &res) != PG_IO_OK)
			return false;
		if (res == NULL)
			return true;
		ok = PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
		*ret_others = !(PQntuples(res) == 1 && PQnfields(res) == 2 && strcmp(PQgetvalue(res, 0, 0), "f") == 0 &&
				pg_all_prepared(c, str_z(PQgetvalue(res, 0, 1))));
		PQclear(res);
	}
	return false;
}

static bool reset(struct driver_conn *base, int64_t deadline_ns)
{
	const int64_t deadline = clock_min(deadline_ns, clock_mono_ns() + LIMIT_CLEANUP_NS);
	struct pg_conn *c = pg_conn(base);
	bool ok, others = false;

	if (!base->session_dirty)
		return !base->broken;
	if (c->pooled) /* its names are lost: postgres_pooled.c */
		return false;
	if (tx_state(base) != TX_STATE_NONE || c->cur.active)
		return false;
	fiber_shield();
	ok = put_back(c, deadline, &others) && (!others || discard(c, deadline));
	if (ok) {
		c->guarded = false;
		pg_raw_learn(c, deadline);
	}
	fiber_unshield();
	if (ok)
		base->session_dirty = false;
	else
		base->broken = true;
	return ok && !base->broken;
}

static void cancel(struct driver_conn *base)
{
	(void)pg_cancel_send(pg_conn(base)->cancel);
}

static void forget(struct driver_conn *base)
{
	pg_cache_clear(&pg_conn(base)->cache, false);
	pg_plain_forget(base->db->plain);
}

static const char *server_version(struct driver_conn *base)
{
	return pg_conn(base)->version;
}

static void on_name(struct catalog *c, const struct value *row)
{
	(void)catalog_add_table(c, row[0]);
}

static bool list_tables(struct driver_conn *base, struct arena *a, int64_t deadline_ns, struct str **ret, size_t *ret_n,
			struct err *err)
{
	struct live_schema found = {0};
	struct catalog c = {.conn = base, .arena = a, .deadline = deadline_ns, .live = &found};
	struct str *names;

	if (!catalog_query(&c,
			   STR("SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_class c "
			       "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
			       "WHERE n.nspname = pg_catalog.current_schema() AND c.relkind IN ('r', 'p') "
			       "ORDER BY c.relname COLLATE \"C\""),
			   "t", on_name, err))
		return false;
	names = arena_array(a, found.n_tables + 1, sizeof(*names));
	for (size_t i = 0; i < found.n_tables; i++)
		names[i] = found.tables[i].name;
	*ret = names;
	*ret_n = found.n_tables;
	return true;
}

const struct driver driver_postgres = {
	.name = "postgres",
	.dialect = &dialect_postgres,
	.db_open = db_open,
	.db_close = db_close,
	.db_set_pooler = db_set_pooler,
	.db_pooler = db_pooler,
	.local_address = local_address,
	.listen = listen_to,
	.notified = pg_notified,
	.open = pg_open,
	.close = pg_close,
	.prepare = pg_plain_prepare,
	.step = pg_step,
	.finish = pg_finish,
	.run_batch = pg_run_batch,
	.run_writes = pg_run_writes,
	.many_writers = true,
	.plain = pg_plain_known,
	.raw_kind = pg_raw_kind,
	.groups_reads = pg_groups,
	.groups_writes = pg_groups,
	.batch_cursor = pg_batch_cursor,
	.batch_step = pg_batch_step,
	.batch_drop = pg_batch_drop,
	.load_begin = pg_load_begin,
	.load_rows = pg_load_rows,
	.load_end = pg_load_end,
	.load_abort = pg_load_abort,
	.simple = simple,
	.simple_all = pg_simple_all,
	.begin = begin,
	.begin_later = begin_later,
	.commit = commit,
	.commit_next = commit_next,
	.before_next = pg_along_note,
	.ahead = pg_ahead,
	.ahead_left = ahead_left,
	.commit_mark = pg_commit_mark,
	.commit_fate = pg_commit_fate,
	.rollback = rollback,
	.tx_state = tx_state,
	.ping = ping,
	.reset = reset,
	.cancel = cancel,
	.forget = forget,
	.server_version = server_version,
	.list_tables = list_tables,
	.introspect = postgres_introspect,
	.migrate_begin = postgres_migrate_begin,
	.migrate_patience = postgres_migrate_patience,
	.migrate_uses = postgres_migrate_uses,
};

static char version_text[32];

static void write_version(void)
{
	const int v = PQlibVersion();

	(void)snprintf(version_text, sizeof(version_text), "%d.%d", v / 10000, v % 10000);
}

const char *driver_postgres_version(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, write_version);
	return version_text;
}
