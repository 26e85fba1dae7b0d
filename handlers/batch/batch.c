/* Batch: validates every step before the first runs, then runs them in one unit (atomic, retried) or each in its own.
 */
#include "handlers/batch/batch.h"
#include "handlers/steps.h"

#include "handlers/handlers.h"
#include "handlers/answer/render.h"
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

#define UNDONE_MAX 3 /* with others it shared a transaction with; then it has one of its own */

static const struct {
	const char *word;
	enum step_op op;
	enum scope scope;
} ops[] = {
	{"sql.execute", STEP_SQL_EXECUTE, SCOPE_SQL},
	{"sql.fetch_all", STEP_SQL_FETCH_ALL, SCOPE_SQL},
	{"sql.fetch_one", STEP_SQL_FETCH_ONE, SCOPE_SQL},
	{"query", STEP_QUERY, SCOPE_READ},
	{"first", STEP_FIRST, SCOPE_READ},
	{"count", STEP_COUNT, SCOPE_READ},
	{"exists", STEP_EXISTS, SCOPE_READ},
	{"update", STEP_UPDATE, SCOPE_WRITE},
	{"delete", STEP_DELETE, SCOPE_WRITE},
	{"create", STEP_CREATE, SCOPE_WRITE},
	{"save", STEP_SAVE, SCOPE_WRITE},
	{"get", STEP_GET, SCOPE_READ},
};

/* ---- reading ---- */

static bool name_valid(struct str s)
{
	if (s.len == 0 || s.len > 64)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		      c == '-'))
			return false;
	}
	return true;
}

struct ref_check {
	struct batch *b;
	size_t step;
	bool any;
	struct str bad; /* the first that names no earlier step */
};

static bool check_ref(void *arg, struct str ref)
{
	struct ref_check *k = arg;
	struct str rest = ref;
	struct str name;
	k->any = true;
	if (ref.p == NULL)
		return false;
	(void)str_split(&rest, '.', &name);
	size_t i = batch_find_step(k->b, k->step, name);
	if (i < k->step) {
		struct batch_step *s = &k->b->steps[k->step];
		k->b->steps[i].needed = true;
		s->after = s->after > i ? s->after : i + 1;
		return true;
	}
	k->bad = name;
	return false;
}

static void read_condition(struct batch *b, struct json_reader *r, size_t i)
{
	static const char *const words[] = {
		[IF_OK] = "ok", [IF_FAILED] = "failed", [IF_EMPTY] = "empty", [IF_NONEMPTY] = "nonempty"};
	struct batch_step *s = &b->steps[i];
	const json_t *obj = NULL;
	struct json_reader c;
	struct str name = STR_NONE;
	struct str is = STR_NONE;
	if (!json_reader_object(r, "if", &obj))
		return;
	json_reader_init(&c, r->arena, obj, json_pointer_key(r->arena, r->pointer, STR("if")), r->err);
	json_reader_str(&c, "step", &name);
	json_reader_require(&c, "step");
	json_reader_str(&c, "is", &is);
	json_reader_require(&c, "is");
	s->on = batch_find_step(b, i, name);
	if (name.p != NULL && s->on == i)
		json_reader_fault(&c, "step", "no earlier step has that name");
	if (name.p != NULL && s->on < i) {
		b->steps[s->on].needed = true;
		s->after = s->on + 1;
	}
	for (size_t k = IF_OK; k < ARRAY_LEN(words); k++) {
		if (str_eq_z(is, words[k]))
			s->condition = (enum condition)k;
	}
	if (is.p != NULL && s->condition == IF_ALWAYS)
		json_reader_fault(&c, "is", "expected ok, failed, empty or nonempty");
	if (!json_reader_done(&c))
		r->failed = true;
}

/* What is to be undone cannot end its own transaction. */
static bool check_undoable(const struct batch *b, const struct batch_step *s, const char *pointer, struct err *err)
{
	const json_t *sql = json_object_get(s->doc, "sql");
	bool raw = s->op == STEP_SQL_EXECUTE || s->op == STEP_SQL_FETCH_ALL || s->op == STEP_SQL_FETCH_ONE;
	if (!raw || !json_is_string(sql) || (b->req->prefer.given & PREFER_TX_ROLLBACK) == 0 ||
	    !stmt_is_transaction(json_str(sql)))
		return true;
	return err_set_at(err, ERR_INVALID_REQUEST, json_pointer_key(&b->req->arena, pointer, STR("sql")),
			  "with Prefer: tx=rollback no statement may begin, end or divide a transaction");
}

static struct str sql_or(const json_t *doc, struct str other)
{
	const json_t *sql = json_object_get(doc, "sql");
	return json_is_string(sql) ? json_str(sql) : other;
}

/* What can be known of a step before anything runs: its operation, names, references, scope. */
static bool read_step(struct batch *b, size_t i, json_t *doc, struct err *err)
{
	struct arena *a = &b->req->arena;
	struct batch_step *s = &b->steps[i];
	struct json_reader r;
	struct str word = STR_NONE;
	size_t k = 0;
	s->doc = doc;
	json_reader_init(&r, a, doc, json_pointer_index(a, "/steps", i), err);
	json_reader_str(&r, "op", &word);
	json_reader_require(&r, "op");
	while (word.p != NULL && k < ARRAY_LEN(ops) && !str_eq_z(word, ops[k].word))
		k++;
	if (word.p != NULL && k == ARRAY_LEN(ops))
		json_reader_fault(&r, "op", "there is no operation of that name");
	if (json_reader_str(&r, "as", &s->as) && (!name_valid(s->as) || batch_find_step(b, i, s->as) < i))
		json_reader_fault(&r, "as",
				  "a name is 1 to 64 letters, digits, _ or -, and no two steps have the same");
	read_condition(b, &r, i);
	if (r.failed)
		return false;
	struct ref_check refs = {.b = b, .step = i};
	bool found = batch_each_ref(doc, check_ref, &refs);
	if (!found && refs.bad.p == NULL)
		return err_set_at(
			err, ERR_INVALID_REQUEST, r.pointer,
			"a \"$ref\" names an earlier step by a string; write {\"$json\": ...} around what is none");
	if (!found)
		return err_set_at(err, ERR_INVALID_REQUEST, r.pointer, "no earlier step is named \"%.*s\"",
				  (int)(refs.bad.len < 100 ? refs.bad.len : 100), refs.bad.p);
	s->has_refs = refs.any;
	s->op = ops[k].op;
	s->scope = ops[k].scope;
	if (!check_undoable(b, s, r.pointer, err))
		return false;
	b->kind = b->kind * 31 + num_hash(sql_or(doc, word));
	b->writes = b->writes || ops[k].scope == SCOPE_WRITE || s->op == STEP_SQL_EXECUTE;
	b->raw = b->raw || ops[k].scope == SCOPE_SQL;
	if (!principal_has(b->req, ops[k].scope))
		return err_set(err, ERR_FORBIDDEN, "step %zu: the key lacks the scope \"%s\" that %s needs", i,
			       scope_name(ops[k].scope), ops[k].word);
	return true;
}

static bool read_batch(struct batch *b, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	const json_t *steps = NULL;
	b->atomic = true;
	if (!request_json(b->req, false, &doc, err))
		return false;
	json_reader_init(&r, &b->req->arena, doc, "", err);
	json_reader_str(&r, "using", &b->using);
	json_reader_bool(&r, "atomic", &b->atomic);
	json_reader_array(&r, "steps", &steps);
	json_reader_require(&r, "steps");
	b->n = json_array_size(steps);
	if (steps != NULL && (b->n == 0 || b->n > LIMIT_BATCH_STEPS))
		json_reader_fault(&r, "steps", "a batch has 1 to %d steps", LIMIT_BATCH_STEPS);
	if (!json_reader_done(&r))
		return false;
	b->steps = arena_array(&b->req->arena, b->n, sizeof(*b->steps));
	b->kind = 1;
	for (size_t i = 0; i < b->n; i++) {
		if (!read_step(b, i, json_array_get(steps, i), err))
			return false;
	}
	b->kind |= 1;
	return true;
}

/* ---- running ---- */

/* Outside a unit of its own a raw statement's writes stand, whatever becomes of its rows. */
static bool refuse_result(const struct batch *b, const struct batch_step *s, struct err *err)
{
	bool sql = s->op == STEP_SQL_FETCH_ALL || s->op == STEP_SQL_FETCH_ONE;
	if (b->c.exec.atomic)
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
	else if (sql)
		err->outcome = ERR_OUTCOME_COMMITTED;
	return false;
}

static bool too_large(const struct batch *b, const struct batch_step *s, struct err *err)
{
	(void)err_set(err, ERR_INVALID_REQUEST,
		      "the results of a batch may have %d bytes in all: this step's do not fit",
		      LIMIT_BATCH_ANSWER_BYTES);
	return refuse_result(b, s, err);
}

/* For the steps that refer to it; a tree of values takes many times their text. */
static bool keep_result(const struct batch *b, struct batch_step *s, struct str text, struct err *err)
{
	if (json_parse_body(&b->req->arena, text, b->req->values_max, &s->body, err))
		return true;
	if (err->code != ERR_PAYLOAD_TOO_LARGE)
		return false;
	(void)err_set(err, ERR_PAYLOAD_TOO_LARGE,
		      "a result that another step refers to holds at most %zu JSON values (json_values)",
		      b->req->values_max);
	return refuse_result(b, s, err);
}

/* Runs step i; its body goes to `body`. */
static bool run_step(struct batch *b, size_t i, struct strbuf *body, int *ret_status, struct err *err)
{
	struct batch_step *s = &b->steps[i];
	json_t *doc = batch_doc(b, i, err);
	if (doc == NULL)
		return false;
	batch_look_ahead(b, i);
	if (batch_ends(b, i))
		context_last(&b->c);
	body->cap = b->out->len < LIMIT_BATCH_ANSWER_BYTES ? LIMIT_BATCH_ANSWER_BYTES - b->out->len : 1;
	if (!step_run(&b->c, s->op, doc, s->plan, body, ret_status, err))
		return false;
	if (strbuf_failed(body) || body->len > body->cap) /* memory that it had before knows no cap */
		return too_large(b, s, err);
	return !s->needed || keep_result(b, s, strbuf_str(body), err);
}

static void begin_result(struct batch *b, size_t i)
{
	strbuf_puts(b->out, i > 0 ? ",{" : "{");
	if (b->steps[i].as.p != NULL)
		out_str(b->out, "as", b->steps[i].as);
}

static void write_result(struct batch *b, size_t i, int status, struct str body)
{
	begin_result(b, i);
	out_int(b->out, "status", status);
	out_name(b->out, "body");
	strbuf_put(b->out, body);
	strbuf_putc(b->out, '}');
}

static void write_skipped(struct batch *b, size_t i)
{
	begin_result(b, i);
	out_bool(b->out, "skipped", true);
	strbuf_putc(b->out, '}');
}

/* Its condition does not hold. */
static bool skipped(struct batch *b, size_t i)
{
	if (batch_wanted(b, &b->steps[i]))
		return false;
	b->steps[i].state = STEP_SKIPPED;
	write_skipped(b, i);
	return true;
}

static void write_error(struct batch *b, size_t i, const struct err *err)
{
	begin_result(b, i);
	out_int(b->out, "status", problem_status(err->code));
	out_name(b->out, "error");
	problem_write(b->out, err, b->req->id);
	strbuf_putc(b->out, '}');
}

static void blame(struct err *err, size_t i, struct arena *a)
{
	err->step = (long)i;
	if (err->has_pointer)
		err_prefix_pointer(err, json_pointer_index(a, "/steps", i));
}

/* One pass of an atomic batch in an open unit. */
static bool run_all(struct batch *b, struct err *err)
{
	struct strbuf body;
	bool ok = true;
	strbuf_init(&body, 0);
	strbuf_reset(b->out);
	strbuf_puts(b->out, "{\"results\":[");
	for (size_t i = 0; i < b->n; i++) {
		b->steps[i].state = STEP_PENDING;
		b->steps[i].plan = NULL;
	}
	for (size_t i = 0; i < b->n && ok; i++) {
		struct batch_step *s = &b->steps[i];
		int status;
		if (skipped(b, i))
			continue;
		strbuf_reset(&body);
		ok = run_step(b, i, &body, &status, err);
		if (!ok) {
			blame(err, i, &b->req->arena);
			break;
		}
		s->state = STEP_OK;
		write_result(b, i, status, strbuf_str(&body));
	}
	strbuf_done(&body);
	return ok;
}

static bool worth_retrying(const struct batch *b, const struct err *err)
{
	return b->c.route.tx == NULL && !err->cancelled &&
	       (err->code == ERR_SERIALIZATION_FAILURE || err->code == ERR_DATABASE_BUSY);
}

/* Waits a random part of an interval that doubles with each attempt. false: no time is left, or nobody waits any more.
 */
static bool back_off(const struct batch *b, int attempt)
{
	uint32_t random;
	num_random(&random, sizeof(random));
	int64_t span = (int64_t)(LIMIT_BATCH_PAUSE_MS << attempt) * CLOCK_NS_PER_MS;
	int64_t until = clock_mono_ns() + span / 2 + (int64_t)(random % 1000) * (span / 2) / 1000;
	return until < b->c.deadline && wait_until(until) == WAIT_TIMEOUT;
}

/* It has not remained, nobody has heard of it, and nothing is wrong with it. */
static bool undone_with_others(struct batch *b, bool ok, const struct err *err, int *n)
{
	const bool undone = b->req->undone || (!ok && err->again != ERR_AGAIN_NO);
	b->req->undone = false;
	if (undone && ((!ok && err->again == ERR_AGAIN_ALONE) || ++*n == UNDONE_MAX))
		b->req->alone = true;
	return undone && (ok || !err->cancelled);
}

static bool run_atomic(struct batch *b, struct err *err)
{
	int undone = 0;
	for (int attempt = 0;;) {
		struct driver_conn *dc;
		context_batch(&b->c, b->writes);
		b->c.exec.joins = b->req->alone ? 0 : b->kind;
		/* Who writes, or may, takes the turn before it reads: what it has read stays true. Who only reads
		 * holds up no writer. */
		bool ok = (!(b->writes || b->raw) || exec_conn(&b->c.exec, LEASE_WRITE, &dc, err)) && run_all(b, err);
		if (ok)
			ok = context_commit(&b->c, err);
		else
			context_abandon(&b->c, err);
		if (undone_with_others(b, ok, err, &undone)) /* one with Prefer: tx=rollback that went well, too */
			continue;
		if (ok)
			return true;
		if (!worth_retrying(b, err) || ++attempt == LIMIT_BATCH_TRIES || !back_off(b, attempt - 1))
			break;
	}
	if (err->outcome == ERR_OUTCOME_NONE)
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

/* Steps of several statements, and those that Prefer: max-affected may have to undo. */
static bool step_atomic(const struct batch *b, const struct batch_step *s)
{
	bool guarded = (b->req->prefer.given & PREFER_MAX_AFFECTED) != 0 &&
		       (s->op == STEP_UPDATE || s->op == STEP_DELETE || s->scope == SCOPE_SQL);
	return b->c.route.tx != NULL || s->op == STEP_CREATE || s->op == STEP_SAVE || guarded;
}

/* Opens the unit that the step runs in. */
static void begin_step(struct batch *b, const struct batch_step *s)
{
	if (b->c.route.tx == NULL && s->scope == SCOPE_READ)
		context_read(&b->c);
	else if (s->scope == SCOPE_SQL)
		context_write_raw(&b->c, step_atomic(b, s));
	else
		context_write(&b->c, step_atomic(b, s));
}

/* Each step for itself; inside a transaction each is a savepoint, so that a failed one leaves the others standing. */
static bool run_each(struct batch *b, struct err *err)
{
	struct strbuf body;
	bool ok = true;
	strbuf_init(&body, 0);
	strbuf_puts(b->out, "{\"results\":[");
	for (size_t i = 0; i < b->n && ok; i++) {
		struct batch_step *s = &b->steps[i];
		struct err e;
		int status;
		if (skipped(b, i))
			continue;
		strbuf_reset(&body);
		begin_step(b, s);
		bool done = run_step(b, i, &body, &status, &e) && context_commit(&b->c, &e);
		context_abandon(&b->c, &e);
		if (done) {
			s->state = STEP_OK;
			write_result(b, i, status, strbuf_str(&body));
			continue;
		}
		s->state = STEP_FAILED;
		blame(&e, i, &b->req->arena);
		write_error(b, i, &e);
		if (e.cancelled || e.code == ERR_TRANSACTION_ENDED) { /* nothing that follows could run */
			*err = e;
			ok = false;
		}
	}
	strbuf_done(&body);
	return ok;
}

static bool not_once(struct err *err)
{
	(void)err_set_at(err, ERR_INVALID_REQUEST, "/atomic",
			 "an Idempotency-Key on a connection that is exactly_once needs an atomic batch");
	err->status = 422;
	return false;
}

bool handle_batch(struct request *req, struct response *res, struct err *err)
{
	static const char *const args[] = {"all", NULL};
	struct batch *b = arena_alloc(&req->arena, sizeof(*b));
	struct context_spec spec = {.args = args};
	b->req = req;
	if (!read_batch(b, err))
		return false;
	spec.using = b->using;
	if (!context_open(&b->c, req, res, &spec, err))
		return false;
	b->out = response_json(res, 200);
	if (!b->atomic && context_is_once(&b->c))
		return context_close(&b->c, not_once(err), err);
	if (!b->atomic && (req->prefer.given & PREFER_TX_ROLLBACK) != 0)
		b->atomic = true; /* undoing is one thing for all of it */
	bool in_tx = b->c.route.tx != NULL;
	bool ok = b->atomic ? run_atomic(b, err) : run_each(b, err);
	if (!context_close(&b->c, ok, err))
		return false;
	strbuf_putc(b->out, ']');
	out_bool(b->out, "committed", (!in_tx || (b->c.tx_state != NULL && b->c.commits)) && !b->c.undo);
	strbuf_putc(b->out, '}');
	return true;
}
