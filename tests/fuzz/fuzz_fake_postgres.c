/*
 * A PostgreSQL server that says what the input says. The first byte chooses what is asked of the driver, the rest is a
 * script of the server's answers, cut into pieces: one is sent each time the client waits for an answer. Whatever
 * comes, no byte that is not ours is read, and what is written of it is valid JSON.
 *
 * The script: a byte chooses a message, the bytes behind it fill it in, see `writers`. A message with a correct frame
 * gets deeper than noise does; noise can be had, too.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "store/codec/codec.h"
#include "store/codec/json_text.h"
#include "store/connection/registry.h"
#include "store/exec/exec.h"
#include "store/migrate/apply.h"
#include "store/migrate/live_ir.h"
#include "store/query/query.h"
#include "tests/fuzz/fake_script.h"
#include "tests/fuzz/fuzz_common.h"

/* Fibers and the threads that cancel hold what the leak detector does not find at that moment; leaks are for the API
 * tests under ASan. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

/* libpq loses a result of its own when answers come out of step; it is no more than a few hundred bytes a connection.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:PQisBusy\n";
}

#define PATIENCE_MS 15 /* of the server, for a client that says nothing */
#define DEADLINE_NS (250 * CLOCK_NS_PER_MS)

/* ---- the server ---- */

static struct {
	pthread_once_t once;
	int listener;
	char url[128];
	bool pooled; /* no settings are asked for */
	pthread_mutex_t lock;
	struct script script; /* under the lock */
} fake = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static bool read_all(int fd, void *to, size_t n)
{
	for (size_t got = 0; got < n;) {
		const ssize_t r = recv(fd, (char *)to + got, n - got, 0);

		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return true;
}

static bool send_all(int fd, struct str s)
{
	for (size_t sent = 0; sent < s.len;) {
		const ssize_t r = send(fd, s.p + sent, s.len - sent, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		sent += (size_t)r;
	}
	return true;
}

static uint32_t big_endian(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads up to what asks for an answer. False: the client has gone; *ret_silent: it says nothing. */
static bool await_question(int fd, bool *ret_silent)
{
	char skip[512];

	*ret_silent = false;
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		unsigned char head[5];

		if (poll(&p, 1, PATIENCE_MS) == 0) {
			*ret_silent = true;
			return true;
		}
		if (!read_all(fd, head, sizeof(head)) || big_endian(head + 1) < 4)
			return false;
		for (size_t left = big_endian(head + 1) - 4; left > 0;) {
			const size_t n = left < sizeof(skip) ? left : sizeof(skip);

			if (!read_all(fd, skip, n))
				return false;
			left -= n;
		}
		if (strchr("QScf", head[0]) != NULL)
			return true;
	}
}

static bool greet(int fd)
{
	static const char hello[] = "R\0\0\0\x08\0\0\0\0S\0\0\0\x19server_version\0"
				    "15.18\0K\0\0\0\x0c\0\0\0\1\0\0\0\2Z\0\0\0\5I";
	static const char no_history[] = "E\0\0\0\x1aSERROR\0VERROR\0C42501\0\0Z\0\0\0\5I";
	static const char settings[] = "C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I";
	unsigned char head[8], rest[1024];
	bool silent;

	if (!read_all(fd, head, sizeof(head)) || big_endian(head) - 8 > sizeof(rest) ||
	    !read_all(fd, rest, big_endian(head) - 8))
		return false;
	if (big_endian(head + 4) != 196608 || !send_all(fd, str_n(hello, sizeof(hello) - 1)))
		return false;
	return fake.pooled ||
	       (await_question(fd, &silent) && !silent && send_all(fd, str_n(settings, sizeof(settings) - 1)) &&
		await_question(fd, &silent) && !silent && send_all(fd, str_n(no_history, sizeof(no_history) - 1)));
}

static bool answer(int fd)
{
	struct strbuf piece;
	bool ok;

	strbuf_init(&piece, 0);
	pthread_mutex_lock(&fake.lock);
	ok = next_piece(&fake.script, &piece);
	pthread_mutex_unlock(&fake.lock);
	ok = ok && send_all(fd, strbuf_str(&piece));
	strbuf_done(&piece);
	return ok;
}

static void *serve(void *arg)
{
	const int fd = (int)(intptr_t)arg;
	bool silent, asked = false;

	if (greet(fd))
		while (await_question(fd, &silent)) {
			asked = asked || !silent;
			if (asked && !answer(fd))
				break;
		}
	close(fd);
	return NULL;
}

static void *accept_all(void *arg UNUSED)
{
	for (;;) {
		const int fd = accept(fake.listener, NULL, NULL);
		pthread_t t;

		if (fd >= 0 && pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
		else if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void start_server(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	pthread_t t;
	const int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "ferrod-fuzz-%d/.s.PGSQL.5432", (int)getpid());
	const socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

	(void)snprintf(fake.url, sizeof(fake.url), "postgres://u@%%40ferrod-fuzz-%d/d?sslmode=disable", (int)getpid());
	fake.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fake.listener < 0 || bind(fake.listener, (struct sockaddr *)&at, len) != 0 ||
	    listen(fake.listener, 64) != 0 || pthread_create(&t, NULL, accept_all, NULL) != 0)
		abort();
	pthread_detach(t);
}

/* ---- the client ---- */

struct run {
	struct arena arena;
	struct connection *conn;
	struct exec exec;
	const struct model *model;
	const struct dialect *dialect;
	struct strbuf out;
	struct err err;
};

/* Whether it went well does not matter here. */
static void either(bool ok UNUSED)
{
}

static int64_t soon(void)
{
	return clock_mono_ns() + DEADLINE_NS;
}

/* Writes rows as answers do: by the model's columns where they are known. */
struct sink {
	struct run *r;
	const struct result_shape *shape; /* NULL: raw */
};

static bool write_cells(void *arg, const struct value *values, size_t n, bool *ret_stop UNUSED, struct err *err UNUSED)
{
	const struct value_format fmt = {.tag_bytes = true};
	struct sink *s = arg;
	struct strbuf *b = &s->r->out;

	if (s->shape != NULL && n != s->shape->n)
		abort(); /* the driver has refused it */
	strbuf_putc(b, '[');
	for (size_t i = 0; i < n; i++) {
		struct value v = values[i];

		if (i > 0)
			strbuf_putc(b, ',');
		if (s->shape != NULL)
			v = codec_decode(&s->r->arena, s->r->dialect, &s->shape->decode[i], v);
		value_write_json(b, v, &fmt);
	}
	strbuf_puts(b, "],");
	return true;
}

static bool name_columns(void *arg, const struct cursor_column *columns, size_t n, struct err *err UNUSED)
{
	struct sink *s = arg;

	for (size_t i = 0; i < n; i++) {
		strbuf_json_string(&s->r->out, columns[i].name);
		strbuf_putc(&s->r->out, ',');
	}
	return true;
}

static void run_stmt(struct run *r, const struct stmt *stmt, const struct result_shape *shape, bool atomic)
{
	struct route route = {.conn = r->conn};
	struct sink s = {r, shape};
	struct row_sink sink = {.columns = name_columns, .row = write_cells, .arg = &s};
	struct exec_result result;
	bool ok;

	exec_begin(&r->exec, &route, soon(), atomic);
	ok = exec_run(&r->exec, stmt, &sink, &result, &r->err);
	either(exec_end(&r->exec, ok, &r->err));
}

static void lower_select(struct run *r, struct stmt *stmt, struct result_shape *shape)
{
	const struct query *q = query_new(&r->arena, fuzz_schema(), r->dialect, r->model);

	if (!query_lower_select(&r->arena, q, stmt, shape, &r->err))
		abort();
}

static void lower_insert(struct run *r, struct stmt *stmt, struct result_shape *shape)
{
	json_t *doc;
	struct record_row row;

	if (!json_parse(&r->arena, STR("{\"id\":1,\"name\":\"x\",\"extra\":{\"a\":[1]}}"), &doc, &r->err) ||
	    !record_from_json(&r->arena, r->dialect, r->model, doc, "", RECORD_CREATE, &row, &r->err) ||
	    !record_lower_insert(&r->arena, r->dialect, r->model, &row, 1,
				 &(struct record_insert_how){.returning = true}, stmt, shape, &r->err))
		abort();
}

static void op_select(struct run *r)
{
	struct result_shape shape;
	struct stmt stmt;

	lower_select(r, &stmt, &shape);
	run_stmt(r, &stmt, &shape, false);
}

static void op_insert(struct run *r)
{
	struct result_shape shape;
	struct stmt stmt;

	lower_insert(r, &stmt, &shape);
	run_stmt(r, &stmt, &shape, false);
	run_stmt(r, &stmt, &shape, true);
}

static void op_raw(struct run *r)
{
	const struct stmt stmt = {.sql = STR("select f(1)"), .access = STMT_UNKNOWN, .raw = true, .cache = true};

	run_stmt(r, &stmt, NULL, false);
	run_stmt(r, &stmt, NULL, true);
}

static void op_batch(struct run *r, bool writes)
{
	struct result_shape shape;
	struct stmt stmt;
	struct batch_item items[3], *list[3];
	struct lease lease = {0};
	struct sink s = {r, &shape};
	bool stop;

	if (writes)
		lower_insert(r, &stmt, &shape);
	else
		lower_select(r, &stmt, &shape);
	if (!pool_lease(r->conn->pool, LEASE_WRITE, soon(), &lease, &r->err))
		return;
	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		items[i] = (struct batch_item){.stmt = &stmt, .deadline_ns = soon()};
		list[i] = &items[i];
	}
	(writes ? driver_postgres.run_writes : driver_postgres.run_batch)(lease.conn, list, ARRAY_LEN(items), soon());
	lease_release(&lease);
	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		if (!items[i].failed && !items[i].again) {
			struct cursor *cur = driver_postgres.batch_cursor(&items[i]);

			if (cur->n_columns != 0)
				while (driver_postgres.batch_step(cur))
					(void)write_cells(&s, cur->row, cur->n_columns, &stop, &r->err);
		}
		driver_postgres.batch_drop(&items[i]);
	}
}

static void op_reads(struct run *r)
{
	op_batch(r, false);
}

static void op_writes(struct run *r)
{
	op_batch(r, true);
}

static void op_load(struct run *r)
{
	const bool given[] = {true, true};
	const struct value row[] = {value_int(1), value_text(STR("x\ty"))};
	const struct value *rows[] = {row, row};
	const struct load l = {.given = given, .n_columns = 2, .rows = rows, .n_rows = 2};
	struct route route = {.conn = r->conn};
	bool began = false;
	int64_t n;

	exec_begin(&r->exec, &route, soon(), true);
	bool ok = exec_load_begin(&r->exec, STR("user"), STR("COPY \"user\" (a, b) FROM STDIN"), &began, &r->err);
	if (ok && began)
		ok = exec_load_rows(&r->exec, &l, &r->err) && exec_load_end(&r->exec, &n, &r->err);
	either(exec_end(&r->exec, ok, &r->err));
}

static void op_introspect(struct run *r)
{
	const struct live_ir_options o = {0};
	struct ddl_plan notes;
	struct live_schema live;
	json_t *doc;

	ddl_plan_init(&notes, &r->arena);
	if (!migrate_introspect(r->conn, soon(), &r->arena, &live, &r->err) ||
	    !live_ir(&r->arena, r->dialect, &live, &o, &notes, &doc, &r->err))
		return;
	json_write(&r->out, doc, false);
	strbuf_putc(&r->out, ',');
}

static void migrate(struct run *r, bool dry_run)
{
	const struct migrate_request q = {.dry_run = dry_run, .deadline = soon()};
	struct migrate_result result;

	memset(&result, 0, sizeof(result));
	either(migrate_run(r->conn, fuzz_schema(), &q, &r->arena, &result, &r->err));
}

static void op_migrate(struct run *r)
{
	migrate(r, false);
}

static void op_plan(struct run *r)
{
	migrate(r, true);
}

static void op_connection(struct run *r)
{
	struct lease lease = {0};
	struct str *names;
	size_t n;

	if (!pool_lease(r->conn->pool, LEASE_READ, soon(), &lease, &r->err))
		return;
	struct driver_conn *c = lease.conn;
	if (c->driver->ping(c, soon(), &r->err) && c->driver->list_tables(c, &r->arena, soon(), &names, &n, &r->err) &&
	    c->driver->begin(c, TX_ISO_SERIALIZABLE, false, soon(), &r->err))
		either(c->driver->commit(c, soon(), &r->err));
	c->session_dirty = true;
	lease_release(&lease);
}

static void (*const ops[])(struct run *r) = {op_select, op_insert,     op_raw,     op_reads, op_writes,
					     op_load,   op_introspect, op_migrate, op_plan,  op_connection};

/* What was written is a list of JSON values, each with its comma. */
static void check_output(struct run *r)
{
	struct strbuf doc;

	strbuf_init(&doc, 0);
	strbuf_putc(&doc, '[');
	strbuf_put(&doc, strbuf_str(&r->out));
	strbuf_puts(&doc, "0]");
	if (!strbuf_failed(&doc) && json_text_check(strbuf_str(&doc)) == JSON_TEXT_INVALID)
		abort();
	strbuf_done(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct connection_registry registry;
	struct connect_options o = {.name = STR("fake"), .pool = pool_config_default()};
	struct run r = {.model = schema_model(fuzz_schema(), STR("User")), .dialect = &dialect_postgres};

	if (size < 2 || size > 16384)
		return 0;
	(void)pthread_once(&fake.once, start_server);
	pthread_mutex_lock(&fake.lock);
	fake.script = (struct script){data + 1, data + size};
	fake.pooled = (data[0] & 0x80) != 0;
	pthread_mutex_unlock(&fake.lock);
	arena_init(&r.arena);
	strbuf_init(&r.out, 0);
	connection_registry_init(&registry, &exec_sharing);
	o.url = str_z(fake.url);
	o.pool.max_connections = 1;
	o.pool.acquire_timeout_s = 0.2;
	o.pool.pooler = (data[0] & 0x80) != 0 ? POOLER_TRANSACTION : POOLER_NONE;
	if (connection_open(&registry, &o, clock_mono_ns() + 5 * CLOCK_NS_PER_S, &r.conn, &r.err)) {
		ops[(data[0] & 0x7f) % ARRAY_LEN(ops)](&r);
		check_output(&r);
		connection_close(r.conn);
		connection_unref(r.conn);
	}
	pthread_mutex_lock(&fake.lock);
	fake.script = (struct script){NULL, NULL}; /* its bytes go away */
	pthread_mutex_unlock(&fake.lock);
	connection_registry_done(&registry);
	strbuf_done(&r.out);
	arena_done(&r.arena);
	return 0;
}
