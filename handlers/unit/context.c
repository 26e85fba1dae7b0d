/* Glue between one request and the store: route, unit of work, session headers. */
#include "handlers/unit/context.h"
#include "handlers/unit/acting.h"
#include "handlers/unit/lost_commit.h"
#include "handlers/unit/reached.h"
#include "handlers/unit/sql_mask.h"
#include "handlers/unit/tx_request.h"

#include "service/base/clock.h"
#include "service/base/log.h"
#include "service/base/num.h"

#include "service/base/banned.h"

const char *const context_no_args[] = {NULL};

bool catalog_reached(struct request *req, struct err *err)
{
	struct str version = request_header(req, "Ferro-Catalog");
	return version.p == NULL || told_wait(request_app(req)->told, version, req->deadline, err);
}

static void unref_schema(void *arg)
{
	schema_unref(arg);
}

/* `using` of the argument and of the body must agree. */
static bool merge_using(const struct request *req, struct str member, struct str *ret, struct err *err)
{
	struct str arg = request_arg(req, "using");
	if (arg.p != NULL && member.p != NULL && !str_eq(arg, member))
		return err_set_at(err, ERR_INVALID_REQUEST, "/using",
				  "the query parameter and the member `using` name different connections");
	*ret = arg.p != NULL ? arg : member;
	return true;
}

bool connection_seen(const struct request *req, struct str using, struct err *err)
{
	struct connection *conn;
	struct err none;
	if (!principal_bound(req))
		return true;
	if (using.p != NULL)
		return principal_connection(req, using, err);
	if (!connection_get_default(&request_app(req)->store->connections, &conn, &none))
		return principal_connection(req, STR(""), err);
	const bool seen = principal_connection(req, conn->name, err);
	connection_unref(conn);
	return seen;
}

static bool enter_route(struct context *c, const struct route_request *q, struct err *err)
{
	struct reached r = {0};
	do {
		if (!session_reached(c->req, c->res, &r, err))
			return false;
		if (route_resolve(c->store, q, &c->route, err)) {
			if (c->req->since_ns == 0)
				c->req->since_ns = c->route.since_ns;
			c->route.since_ns = c->req->since_ns;
			return true;
		}
	} while (session_again(&r, err));
	tx_explain(c->req, c->res, c->req->tx_id, err);
	return false;
}

/* Enters session and transaction, or opens one. */
static bool enter(struct context *c, const struct context_spec *spec, struct err *err)
{
	struct request *req = c->req;
	struct route_request q = {.session_id = req->session_id,
				  .tx_id = req->tx_id,
				  .owner = principal_name(req),
				  .deadline = c->deadline};
	struct tx_options o;
	c->opens = req->tx_new.p != NULL;
	if ((c->opens && !tx_request_read(req, &o, err)) || !merge_using(req, spec->using, &q.using, err) ||
	    (q.session_id.p == NULL && q.tx_id.p == NULL && !connection_seen(req, q.using, err)) ||
	    !enter_route(c, &q, err))
		return false;
	if (principal_connection(req, c->route.conn->name, err) && (spec->as_pool || acting_of(req, &c->route, err)) &&
	    (!c->opens || tx_request_open(req, &c->route, &o, c->deadline, err)))
		return true;
	route_release(c->store, &c->route);
	return false;
}

bool context_open(struct context *c, struct request *req, struct response *res, const struct context_spec *spec,
		  struct err *err)
{
	memset(c, 0, sizeof(*c));
	c->req = req;
	c->res = res;
	c->app = request_app(req);
	c->store = c->app->store;
	c->deadline = req->deadline;
	if ((spec->args != NULL && !request_args_routed(req, spec->args, err)) || !catalog_reached(req, err))
		return false;
	if (prefers(res, PREFER_TIMEOUT))
		c->deadline = clock_min(c->deadline, clock_deadline(req->prefer.timeout_s));
	if (!enter(c, spec, err))
		return false;
	req->anew = context_is_once(c);
	if (req->principal != NULL)
		connection_used_by(c->route.conn, req->principal->name);
	struct schema *s = schema_registry_get(&c->store->models);
	arena_on_done(&req->arena, unref_schema, s);
	c->schema = s;
	if (c->route.session != NULL) {
		req->session_ref = arena_str(&req->arena, str_z(c->route.session->ref));
		if (imap_enabled(c->route.session->imap))
			c->session_map = c->route.tx != NULL ? tx_imap(c->route.tx) : c->route.session->imap;
		c->imap = c->session_map;
	}
	if (c->route.tx != NULL) {
		req->holds = true;
		c->ends = req->tx_end.p != NULL;
		c->commits = c->ends && str_eq_z(req->tx_end, "commit");
		req->tx_left = arena_str(&req->arena, str_z(tx_id(c->route.tx)));
		header_set(res, "Ferro-Transaction", req->tx_left);
	}
	return true;
}

bool context_open_plain(struct context *c, struct request *req, struct response *res, struct err *err)
{
	struct context_spec spec = {.args = context_no_args};
	return context_open(c, req, res, &spec, err);
}

/* The text of the slowest statement; parameters travel apart from ours, and a client's own text is shown without its
 * literals. */
static void log_slow(const struct context *c)
{
	struct log_line l;
	log_begin(&l, LOG_WARN, "slow_statement");
	log_str(&l, "request_id", c->req->id);
	log_str(&l, "connection", c->route.conn->name);
	log_ms(&l, "ms", c->exec.slowest_ns);
	log_str(&l, "sql", c->exec.slowest_raw ? sql_mask(&c->req->arena, c->exec.slowest_sql) : c->exec.slowest_sql);
	log_end(&l);
}

/* What became of what the unit wrote. What failed outside a transaction of the unit's own may have been done. */
static enum imap_end map_end(const struct context *c, bool commit, bool ok, const struct err *why)
{
	if (commit && ok)
		return IMAP_COMMITTED;
	if (!commit && c->exec.atomic && why->outcome != ERR_OUTCOME_UNKNOWN)
		return IMAP_ROLLED_BACK;
	return why->outcome == ERR_OUTCOME_ROLLED_BACK || why->outcome == ERR_OUTCOME_NOT_STARTED ? IMAP_ROLLED_BACK
												  : IMAP_UNKNOWN;
}

static void open_map(struct context *c, bool alone, bool keeps_reads)
{
	c->unit_map = imap_over(c->imap, alone, keeps_reads);
	if (c->unit_map != NULL)
		c->imap = c->unit_map;
}

static void close_map(struct context *c, enum imap_end how)
{
	if (c->unit_map == NULL)
		return;
	imap_end(c->unit_map, how);
	imap_destroy(c->unit_map);
	c->unit_map = NULL;
	c->imap = c->session_map;
}

/* Ends the unit and books its time. why: of one that is not to be committed. */
static bool end_unit(struct context *c, bool commit, const struct err *why, struct err *err)
{
	bool ok = exec_end(&c->exec, commit, err);
	c->req->undone |= c->exec.again;
	c->in_unit = c->once = false;
	if ((!ok || !commit) && c->exec.lost.is_set)
		lost_commit_set(c->req->lost, c->route.conn->name, &c->exec.lost);
	close_map(c, map_end(c, commit, ok, commit ? err : why));
	c->req->db_ns += c->exec.db_ns;
	c->req->lease_ns += c->exec.lease_ns;
	if (c->app->slow_statement_ns > 0 && c->exec.slowest_ns > c->app->slow_statement_ns)
		log_slow(c);
	return ok;
}

void context_read(struct context *c)
{
	exec_begin(&c->exec, &c->route, c->deadline, false);
	c->in_unit = true;
}

/* A transaction of the unit's own on SQLite has to have read itself what it is to protect. */
static bool reads_for_itself(const struct context *c)
{
	return c->route.tx == NULL && c->route.conn->dialect->id == DIALECT_SQLITE;
}

/* A request that may come again has to learn what became of it. */
static bool tells(const struct context *c)
{
	return c->req->lost != NULL && c->route.tx == NULL && pool_driver(c->route.conn->pool)->commit_mark != NULL;
}

bool context_is_once(const struct context *c)
{
	return c->req->once != NULL && c->route.conn->exactly_once;
}

static void begin_write(struct context *c, bool atomic)
{
	c->undo = prefers(c->res, PREFER_TX_ROLLBACK);
	c->once = context_is_once(c);
	exec_begin(&c->exec, &c->route, c->deadline, atomic || c->undo || c->once);
	c->exec.tells = tells(c);
	c->in_unit = true;
	if (!c->once)
		return;
	c->exec.opened = c->req->once->opened;
	c->exec.opened_arg = c->req->once;
	c->req->once->used = true;
}

/* One whose answer is kept with it is run again by who keeps it (idempotency.c). */
void context_write(struct context *c, bool atomic)
{
	context_write_raw(c, atomic || tells(c));
	c->req->holds = c->req->holds || c->route.conn->dialect->id == DIALECT_SQLITE; /* the writer's turn */
	c->exec.generated = true;
	if (c->once && !c->req->body_streams && !c->req->alone)
		c->exec.joins = num_hash(str_z(c->req->route->operation_id)) | 1;
}

void context_write_raw(struct context *c, bool atomic)
{
	begin_write(c, atomic);
	open_map(c, c->exec.atomic && reads_for_itself(c), false);
}

bool context_tells(const struct context *c, struct str sql)
{
	static const char *const words[] = {"insert", "update", "delete", "merge", "with", "select", "values"};
	const struct str word = stmt_first_word(sql);
	for (size_t i = 0; tells(c) && i < ARRAY_LEN(words); i++) {
		if (str_ieq_z(word, words[i]))
			return true;
	}
	/* DO and CALL may commit by themselves, which they cannot within a transaction: what they did stays unknown */
	return tells(c) && stmt_is_undoable_ddl(sql);
}

void context_batch(struct context *c, bool writes)
{
	/* no savepoint where all of the transaction goes with the batch */
	begin_write(c, c->route.tx == NULL || !(c->opens || (c->ends && c->commits)));
	c->exec.reads_only = !writes && !c->once;
	open_map(c, writes && reads_for_itself(c), true);
}

bool context_commit(struct context *c, struct err *err)
{
	static const struct err undone = {.outcome = ERR_OUTCOME_ROLLED_BACK};
	return !c->in_unit || c->once || end_unit(c, !c->undo, &undone, err);
}

/* What the answer and those who keep it are told. */
static void tell_end(struct context *c, bool committed)
{
	c->tx_state = committed ? "committed" : "rolled_back";
	c->req->tx_left = STR_NONE;
	c->req->tx_undone = !committed;
	if (!response_streaming(c->res))
		header_set(c->res, "Ferro-Transaction-State", str_z(c->tx_state));
}

/* It lives on, elsewhere, until the answer is in it, which is told now how the transaction will have ended: it is
 * committed with the work, so it says what is true if it is ever read. */
static void hold(struct context *c)
{
	if (c->ends)
		tell_end(c, c->commits);
	struct context *held = arena_alloc(&c->req->arena, sizeof(*held));
	*held = *c;
	held->once = false;
	held->exec.route = &held->route;
	c->req->once->held = held;
	c->in_unit = c->once = false;
	c->unit_map = NULL;
	c->route = (struct route){0};
}

void context_abandon(struct context *c, const struct err *why)
{
	struct err ignored;
	if (c->in_unit)
		(void)!end_unit(c, false, why, &ignored);
}

static bool end_transaction(struct context *c, struct err *err)
{
	struct commit_mark lost;
	const int64_t from = clock_mono_ns();
	const bool ok = tx_finish(c->store->transactions, c->route.tx, c->commits, c->deadline, &lost, err);
	c->req->db_ns += clock_mono_ns() - from;
	c->ends = false;
	if (ok) {
		tell_end(c, c->commits);
		return true;
	}
	if (lost.is_set && c->req->lost != NULL)
		lost_commit_set(c->req->lost, c->route.conn->name, &lost);
	c->opens = false; /* what is left of it is no more this request's to undo */
	c->tx_state = NULL;
	header_drop(c->res, "Ferro-Transaction-State");
	if (err->outcome == ERR_OUTCOME_ROLLED_BACK)
		tell_end(c, false);
	return false;
}

/* The request has failed, and its transaction with it. */
static void undo_transaction(struct context *c, struct err *err)
{
	struct commit_mark lost;
	struct err ignored;
	if (err->outcome == ERR_OUTCOME_UNKNOWN) { /* of a COMMIT that travelled */
		tx_ask(c->store->transactions, c->route.tx, c->deadline, &lost, err);
		if (lost.is_set && c->req->lost != NULL)
			lost_commit_set(c->req->lost, c->route.conn->name, &lost);
		return;
	}
	const bool undone = tx_finish(c->store->transactions, c->route.tx, false, c->deadline, &lost, &ignored);
	if (!undone)
		return; /* a statement of the client's, or the server, has ended it, and *err says how */
	if (err->outcome == ERR_OUTCOME_NONE || err->outcome == ERR_OUTCOME_COMMITTED)
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
	tell_end(c, false);
}

void context_last(struct context *c)
{
	c->exec.last = !c->undo && !c->once && (c->route.tx == NULL ? c->exec.atomic : c->ends && c->commits);
}

void context_ahead(struct context *c, const struct stmt *const *stmts, size_t n, bool last)
{
	exec_ahead(&c->exec, stmts, n, last && !c->undo && !c->once);
}

bool context_finish(struct context *c, struct err *err)
{
	if (c->once) { /* see hold */
		if (c->ends)
			tell_end(c, c->commits);
		return true;
	}
	return context_commit(c, err) && (!c->ends || end_transaction(c, err));
}

static bool close_work(struct context *c, bool ok, struct err *err)
{
	if (ok && context_finish(c, err))
		return true;
	context_abandon(c, err);
	/* nobody stopped a COMMIT of which this says that it may stand */
	if (err->code == ERR_STATEMENT_TIMEOUT && err->outcome != ERR_OUTCOME_UNKNOWN && c->route.tx != NULL)
		tx_stopped(c->store->transactions, c->route.tx, err);
	if (c->opens || (c->ends && c->commits))
		undo_transaction(c, err);
	return false;
}

bool context_close(struct context *c, bool ok, struct err *err)
{
	if (ok && c->in_unit && c->once) {
		hold(c);
		return true;
	}
	c->once = false;
	const bool given = response_streaming(c->res);
	ok = close_work(c, ok, err);
	if (!ok && c->req->tx_new.p != NULL && !given)
		header_drop(c->res, "Ferro-Transaction");
	if (c->route.session != NULL)
		session_info_header(c->res, c->route.session);
	route_release(c->store, &c->route);
	return ok;
}

/* What SQLite says against a search is about the query, not about our SQL: the table is none that is searched, or the
 * words are not as its grammar wants them. */
static void name_search(const struct stmt *s, struct err *err)
{
	static const char match[] = "\" MATCH ";
	const struct str said = str_z(err->detail);
	if (err->code != ERR_SQL_ERROR || memmem(s->sql.p, s->sql.len, match, sizeof(match) - 1) == NULL)
		return;
	/* the column that stands for a whole row, and the rank, are there only */
	if (str_starts(said, STR("unable to use function MATCH")) || str_starts(said, STR("no such column: ")))
		(void)err_set(err, ERR_INVALID_QUERY, "match works on FTS5 tables only on SQLite");
	else if (str_starts(said, STR("fts5: ")) || str_starts(said, STR("unterminated string")))
		(void)err_set(err, ERR_INVALID_QUERY, "FTS5 does not understand what is searched for");
}

bool context_run(struct context *c, const struct stmt *s, struct row_sink *sink, struct exec_result *ret,
		 struct err *err)
{
	struct row_sink nothing = {0};
	struct exec_result result;
	if (s->raw)
		imap_write_begin(c->unit_map, NULL, IMAP_EVERYTHING, STR_NONE);
	if (!exec_run(&c->exec, s, sink != NULL ? sink : &nothing, &result, err)) {
		if (!s->raw)
			name_search(s, err);
		return false;
	}
	if (s->raw)
		imap_write_raw(c->unit_map, result.only_read);
	if (ret != NULL)
		*ret = result;
	return true;
}

bool context_model(const struct context *c, struct str name, const struct model **ret, struct err *err)
{
	*ret = schema_model(c->schema, name);
	if (*ret == NULL)
		return err_set(err, ERR_MODEL_NOT_FOUND,
			       "no model \"%.*s\" is registered; register it with POST /v1/models", STR_FMT(name));
	return true;
}

bool context_path_model(const struct context *c, bool keyed, const struct model **ret, struct err *err)
{
	if (!context_model(c, c->req->params[0], ret, err))
		return false;
	if (keyed && (*ret)->n_pk == 0)
		return err_set(err, ERR_INVALID_QUERY, "model \"%.*s\" has no primary key; use the query endpoints",
			       STR_FMT((*ret)->name));
	return true;
}

bool session_of_request(struct request *req, struct response *res, bool required, struct session **ret, struct err *err)
{
	*ret = NULL;
	if (req->session_id.p == NULL) {
		if (!required)
			return true;
		return err_set(err, ERR_INVALID_REQUEST,
			       "send the header Ferro-Session with the id of an open session");
	}
	struct store *store = request_app(req)->store;
	struct reached r = {0};
	do {
		if (!session_reached(req, res, &r, err))
			return false;
		if (session_enter(store->sessions, req->session_id, principal_name(req), ret, err))
			break;
		if (!session_again(&r, err))
			return false;
	} while (true);
	session_info_header(res, *ret);
	return true;
}

void session_done(struct request *req, struct session *s)
{
	if (s != NULL)
		session_leave(request_app(req)->store->sessions, s);
}

bool using_member(const json_t *doc, struct str *ret, struct err *err)
{
	*ret = STR_NONE;
	const json_t *v = json_object_get(doc, "using");
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_string(v))
		return err_set_at(err, ERR_INVALID_REQUEST, "/using", "expected a string, not %s", json_type_name(v));
	*ret = json_str(v);
	return true;
}

bool connection_probe(struct connection *conn, int64_t deadline, struct err *err)
{
	static const struct stmt one = {.sql = {"SELECT 1", 8}, .access = STMT_READ, .cache = true};
	struct route r = {.conn = conn};
	struct row_sink nothing = {0};
	struct exec_result result;
	struct exec x = {0};
	struct err ignored;
	exec_begin(&x, &r, deadline, false);
	x.probes = true;
	bool ok = exec_run(&x, &one, &nothing, &result, err);
	return exec_end(&x, ok, ok ? err : &ignored) && ok;
}
