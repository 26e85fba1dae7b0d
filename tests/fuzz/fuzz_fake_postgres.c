/*
 * A PostgreSQL server that says what the input says. The first byte chooses what is asked of the driver and how the
 * server helps (fake_server.h), the rest is a script of the server's answers, cut into pieces: one is sent each time
 * the client waits for an answer. Whatever comes, no byte that is not ours is read, and what is written of it is valid
 * JSON.
 *
 * The script: a byte chooses a message, the bytes behind it fill it in, see `writers`. A message with a correct frame
 * gets deeper than noise does; noise can be had, too.
 */
#include <errno.h>

#include "service/base/clock.h"
#include "store/codec/codec.h"
#include "store/codec/json_text.h"
#include "store/connection/fate.h"
#include "store/connection/registry.h"
#include "store/exec/coordination.h"
#include "store/exec/exec.h"
#include "store/migrate/apply.h"
#include "store/migrate/live_ir.h"
#include "store/once/once.h"
#include "store/query/query.h"
#include "store/state/state.h"
#include "store/state/state_nodes.h"
#include "tests/fuzz/fake_server.h"
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

#define DEADLINE_NS (250 * CLOCK_NS_PER_MS)

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

static void read_items(struct run *r, struct batch_item *items, size_t n, const struct result_shape *shape)
{
	struct sink s = {r, shape};
	bool stop;

	for (size_t i = 0; i < n; i++) {
		if (!items[i].failed && !items[i].again) {
			struct cursor *cur = driver_postgres.batch_cursor(&items[i]);

			if (cur->n_columns != 0)
				while (driver_postgres.batch_step(cur))
					(void)write_cells(&s, cur->row, cur->n_columns, &stop, &r->err);
		}
		driver_postgres.batch_drop(&items[i]);
	}
}

/* The same on one connection, so often or until that is broken: behind the first one nothing is prepared any more, and
 * where the server has shown what the rows look like it goes past libpq. */
static void op_batch(struct run *r, bool writes, int rounds)
{
	struct result_shape shape;
	struct stmt stmt;
	struct batch_item items[3], *list[3];
	struct lease lease = {0};

	if (writes)
		lower_insert(r, &stmt, &shape);
	else
		lower_select(r, &stmt, &shape);
	if (!pool_lease(r->conn->pool, LEASE_WRITE, soon(), &lease, &r->err))
		return;
	for (; rounds > 0 && !lease.conn->broken; rounds--) {
		for (size_t i = 0; i < ARRAY_LEN(items); i++) {
			items[i] = (struct batch_item){.stmt = &stmt, .deadline_ns = soon()};
			list[i] = &items[i];
		}
		(writes ? driver_postgres.run_writes : driver_postgres.run_batch)(lease.conn, list, ARRAY_LEN(items),
										  soon());
		read_items(r, items, ARRAY_LEN(items), &shape);
	}
	/* and libpq goes on */
	if (!lease.conn->broken && !script_over())
		either(driver_postgres.ping(lease.conn, soon(), &r->err));
	lease_release(&lease);
}

static void op_reads(struct run *r)
{
	op_batch(r, false, 1);
}

static void op_writes(struct run *r)
{
	op_batch(r, true, 1);
}

static void op_reads_again(struct run *r)
{
	op_batch(r, false, 4);
}

static void op_writes_again(struct run *r)
{
	op_batch(r, true, 4);
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

/* ---- what is asked of a database beside models and SQL ---- */

/* A client's own read, which is found out to go in company; and then it does. */
static void op_company(struct run *r)
{
	struct stmt stmt = {
		.sql = STR("select name from \"user\""), .access = STMT_UNKNOWN, .raw = true, .cache = true};
	struct batch_item item = {.stmt = &stmt, .deadline_ns = soon()}, *list = &item;
	struct lease lease = {0};
	struct sink s = {r, NULL};
	bool stop;

	run_stmt(r, &stmt, NULL, false);
	run_stmt(r, &stmt, NULL, false);
	const struct route route = {.conn = r->conn};
	(void)exec_only_reads(&route, &stmt);
	stmt.access = STMT_READ;
	if (!pool_lease(r->conn->pool, LEASE_READ, soon(), &lease, &r->err))
		return;
	driver_postgres.run_batch(lease.conn, &list, 1, soon());
	lease_release(&lease);
	if (!item.failed && !item.again) {
		struct cursor *cur = driver_postgres.batch_cursor(&item);

		while (cur->n_columns != 0 && driver_postgres.batch_step(cur))
			(void)write_cells(&s, cur->row, cur->n_columns, &stop, &r->err);
	}
	driver_postgres.batch_drop(&item);
}

/* BEGIN with the first statement, COMMIT with the last, and what became of it. */
static void op_flights(struct run *r)
{
	const struct stmt stmt = {.sql = STR("select 1"), .access = STMT_WRITE};
	struct commit_mark mark = {0};
	struct lease lease = {0};
	struct cursor *cur;
	bool row = true;

	if (!pool_lease(r->conn->pool, LEASE_WRITE, soon(), &lease, &r->err))
		return;
	struct driver_conn *c = lease.conn;
	bool ok = c->driver->begin_later(c, TX_ISO_DEFAULT, false, soon(), &r->err);
	for (int i = 0; ok && i < 2; i++) {
		if (i == 1)
			ok = c->driver->commit_mark(c, soon(), &mark, &r->err) && c->driver->commit_next(c, &mark);
		ok = ok && c->driver->prepare(c, &stmt, soon(), &cur, &r->err);
		if (!ok)
			break;
		while ((ok = c->driver->step(cur, &row, &r->err)) && row)
			continue;
		c->driver->finish(cur);
	}
	c->driver->rollback(c);
	lease_release(&lease);
	mark = (struct commit_mark){.is_set = true, .xid = 5, .cluster = 7, .timeline = 1, .waits = true};
	fate_tell(fate_ask(r->conn->pool, &mark, soon()), &r->err);
}

struct once_ask {
	struct run *r;
	struct once_row mine, kept;
	enum once_way way;
	bool first;
};

/* As the unit's transaction begins. */
static bool ask_once(void *arg, struct exec *x, struct err *err)
{
	struct once_ask *o = arg;

	return once_begin(x, &o->r->arena, &o->mine, 1, &o->way, &o->first, &o->kept, err);
}

static void keep_once(struct run *r, enum once_way way)
{
	const struct stmt work = {.sql = STR("insert into t values (1)"), .access = STMT_WRITE};
	struct once_ask o = {.r = r, .mine = {.key = STR("k"), .body = STR("b"), .status = 200}, .way = way};
	struct route route = {.conn = r->conn};
	struct row_sink nobody = {0};
	struct exec_result result;

	o.mine.content_type = STR("text/plain");
	exec_begin(&r->exec, &route, soon(), true);
	r->exec.opened = ask_once;
	r->exec.opened_arg = &o;
	bool ok = exec_run(&r->exec, &work, &nobody, &result, &r->err);
	if (ok && o.first)
		ok = once_end(&r->exec, o.way, &o.mine, 1, &r->err);
	if (ok && !o.first) {
		strbuf_json_string(&r->out, o.kept.body.p != NULL ? o.kept.body : STR(""));
		strbuf_putc(&r->out, ',');
		value_write_json(&r->out, o.kept.answer.p != NULL ? value_bytes(o.kept.answer) : value_null(), NULL);
		strbuf_putc(&r->out, ',');
	}
	either(exec_end(&r->exec, ok, &r->err));
}

static void op_once(struct run *r)
{
	bool more;

	coordination_find(r->conn, soon());
	either(once_prepare(r->conn, soon(), &r->err));
	keep_once(r, ONCE_ROW_FIRST);
	keep_once(r, ONCE_ROW_ALONG);
	either(once_forget(r->conn, 1, soon(), &more, &r->err));
}

/* ---- a state ---- */

static void put_text(struct run *r, struct str s)
{
	strbuf_json_string(&r->out, s.p != NULL ? s : STR(""));
	strbuf_putc(&r->out, ',');
}

static bool nobody_is_dead(const struct state_node *rival UNUSED)
{
	return false;
}

static const struct state_node me = {
	.name = {"n", 1}, .instance = {"i", 1}, .url = {"u", 1}, .version = {"1", 1}, .boot = {"b", 1}};

static void ask_of_nodes(struct run *r, struct state *s)
{
	struct state_node *nodes, rival = {0};
	bool claimed, mine, found;
	int64_t version;
	size_t n;

	if (state_node_claim(s, &r->arena, &me, nobody_is_dead, &claimed, &rival, &r->err))
		put_text(r, rival.url);
	either(state_node_beat(s, &me, &mine, &version, &r->err));
	if (state_node_list(s, &r->arena, &nodes, &n, &r->err))
		for (size_t i = 0; i < n; i++)
			put_text(r, nodes[i].version);
	if (state_node_find(s, &r->arena, me.name, &found, &rival, &r->err) && found)
		put_text(r, rival.boot);
	either(state_node_leave(s, &me, &r->err));
}

static void ask_of_sessions(struct run *r, struct state *s)
{
	struct state_session x = {.id = STR("h"), .node = me.name, .instance = me.instance, .owner = STR("o")};
	struct state_session_change change = {.id = "h"};
	bool found = false, won;
	struct str *ids;
	size_t n;

	either(state_session_put(s, &x, NULL, &r->err));
	if (state_session_get(s, &r->arena, STR("h"), &found, &x, &r->err) && found) {
		put_text(r, x.undone);
		put_text(r, x.node_url);
		/* what is made of its times (node_session.c) */
		const int64_t ends[] = {x.created_us + x.life_us, x.used_us + x.idle_us, x.now_us - x.created_us};
		for (size_t i = 0; i < ARRAY_LEN(ends); i++)
			strbuf_printf(&r->out, "%lld,", (long long)(ends[i] * 1000));
		either(state_session_adopt(s, &x, &me, &won, &r->err));
	}
	either(state_sessions_used(s, &me, &change, 1, &r->err));
	either(state_sessions_ended(s, &me, &change, 1, &r->err));
	either(state_sessions_hand(s, &me, &change, 1, &r->err));
	if (state_sessions_mine(s, &r->arena, &me, &ids, &n, &r->err))
		for (size_t i = 0; i < n; i++)
			put_text(r, ids[i]);
	either(state_sessions_forget(s, 1, &r->err));
}

static void ask_of_content(struct run *r, struct state *s)
{
	const struct state_connection put = {STR("c"), STR("sqlite::memory:"), STR("{}")};
	const struct state_change change = {
		.put = &put, .choose_default = true, .models = STR("[]"), .fingerprint = ""};
	struct state_content content;
	uint8_t key[CRYPTO_KEY_BYTES];
	int64_t version = 1;

	if (state_load(s, &r->arena, &content, &r->err)) {
		version = content.version;
		put_text(r, content.models);
		for (size_t i = 0; i < content.n_connections; i++)
			put_text(r, content.connections[i].url);
	}
	either(state_version(s, &version, &r->err));
	either(state_shared_key(s, STR("p"), key, &r->err));
	either(state_write(s, version, &change, &version, &r->err));
	struct state_watch *w = state_watch_create(s);
	for (int i = 0; i < 3 && !script_over(); i++)
		(void)state_await(w, true);
	state_watch_destroy(w);
}

static void with_state(struct run *r, void (*ask)(struct run *r, struct state *s))
{
	const struct state_options o = {.url = str_z(fake.url)};
	struct state *s;

	if (!state_open(&o, &s, &r->err))
		return;
	put_text(r, str_z(state_life(s)));
	ask(r, s);
	state_close(s);
}

static void op_state_content(struct run *r)
{
	with_state(r, ask_of_content);
}

static void op_state_nodes(struct run *r)
{
	with_state(r, ask_of_nodes);
}

static void op_state_sessions(struct run *r)
{
	with_state(r, ask_of_sessions);
}

/* An input says by number which it is: new ones come last. */
static void (*const ops[])(struct run *r) = {
	op_select,     op_insert,        op_raw,         op_reads,          op_writes,      op_load,
	op_introspect, op_migrate,       op_plan,        op_connection,     op_company,     op_flights,
	op_once,       op_state_content, op_state_nodes, op_state_sessions, op_reads_again, op_writes_again,
};

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
	fake.helpful = (data[0] & 0x40) != 0;
	pthread_mutex_unlock(&fake.lock);
	arena_init(&r.arena);
	strbuf_init(&r.out, 0);
	connection_registry_init(&registry, &exec_sharing);
	o.url = str_z(fake.url);
	o.pool.max_connections = 1;
	o.pool.acquire_timeout_s = 0.2;
	o.pool.pooler = (data[0] & 0x80) != 0 ? POOLER_TRANSACTION : POOLER_NONE;
	if (connection_open(&registry, &o, clock_mono_ns() + 5 * CLOCK_NS_PER_S, &r.conn, &r.err)) {
		ops[(data[0] & 0x3f) % ARRAY_LEN(ops)](&r);
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
