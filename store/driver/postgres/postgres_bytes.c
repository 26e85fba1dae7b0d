/*
 * Bytes that a client's own SQL gives where PostgreSQL takes text. They are announced as bytea, and bytea is cast to
 * text wherever text is assigned or asked for, as its `\x...` form: nobody means that. So before such a statement is
 * planned for the first time the server is asked, by descriptions alone, what it would take the parameter for:
 *
 *   - left to the server it is bytea, or cannot be told (what takes anything): good;
 *   - as types that nothing takes and only text is made of, it is refused: what takes the parameter has a form for
 * bytes (length, md5, a comparison), or the server refuses them itself: good;
 *   - so announced it comes out again as a column (SELECT $1): good;
 *   - else it is text.
 *
 * Nothing is run. Inside a transaction a savepoint keeps refusals away from it.
 */
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/mem.h"

#include "service/base/banned.h"

/* src/include/catalog/pg_type.dat. Types without casts: one that a literal beside it may be of, whatever it says
 * (refcursor), and one with an order, for DISTINCT and its like (pg_lsn). */
enum { OID_BYTEA = 17 };

struct stranger {
	Oid type, array;
};

static const struct stranger strangers[] = {{1790, 2201}, {3220, 3221}};

static const char into[] = "SAVEPOINT ferrod_look";
static const char back[] = "ROLLBACK TO SAVEPOINT ferrod_look";
static const char out_of[] = "RELEASE SAVEPOINT ferrod_look";

struct look {
	struct pg_conn *c;
	int64_t deadline;
	bool inside; /* a transaction */
	Oid *types;  /* of c->params: as the next question announces them */
};

static bool send_text(struct pg_conn *c, const char *sql)
{
	return PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

static bool send_question(const struct look *l)
{
	struct pg_conn *c = l->c;
	bool ok = PQenterPipelineMode(c->pg) == 1;

	c->n_syncs = l->inside ? 2 : 1;
	if (l->inside)
		ok = ok && send_text(c, into);
	else if (c->pooled)
		ok = ok && send_text(c, c->base.db->settings.p) && send_text(c, c->base.db->path.p);
	ok = ok && PQsendPrepare(c->pg, "", c->text.p, (int)c->params.n, l->types) == 1 &&
	     PQsendDescribePrepared(c->pg, "") == 1 && PQpipelineSync(c->pg) == 1;
	if (l->inside)
		ok = ok && send_text(c, back) && send_text(c, out_of) && PQpipelineSync(c->pg) == 1;
	return ok;
}

/* *ret: the description, owned; NULL: the server refuses the statement so. *ret_error: the way back failed; owned. */
static enum pg_io read_answer(const struct look *l, PGresult **ret, PGresult **ret_error)
{
	struct pg_conn *c = l->c;
	const int asked = c->n_syncs;
	bool refused = false;

	*ret = *ret_error = NULL;
	for (;;) {
		PGresult *res;
		const enum pg_io io = pg_next(c, l->deadline, &res);

		if (io != PG_IO_OK)
			return io;
		if (res == NULL)
			continue;
		const ExecStatusType status = PQresultStatus(res);
		const bool fatal = pg_is_fatal(res) || PQstatus(c->pg) == CONNECTION_BAD;
		if (c->n_syncs == asked && status == PGRES_COMMAND_OK) {
			PQclear(*ret);
			*ret = res; /* the last of them is the description's */
		} else if (c->n_syncs != asked && status == PGRES_FATAL_ERROR && *ret_error == NULL) {
			*ret_error = res;
		} else {
			PQclear(res);
		}
		refused = refused || (c->n_syncs == asked && status == PGRES_FATAL_ERROR);
		if (fatal)
			return PG_IO_LOST;
		if (status != PGRES_PIPELINE_SYNC || --c->n_syncs > 0)
			continue;
		if (refused) {
			PQclear(*ret);
			*ret = NULL;
		}
		return PQexitPipelineMode(c->pg) == 1 ? PG_IO_OK : PG_IO_LOST;
	}
}

static bool ask(const struct look *l, PGresult **ret, struct err *err)
{
	PGresult *error = NULL;
	enum pg_io io = PG_IO_LOST;
	bool ok;

	*ret = NULL;
	if (send_question(l))
		io = read_answer(l, ret, &error);
	ok = io == PG_IO_OK && error == NULL;
	if (io != PG_IO_OK)
		(void)pg_give_up(l->c, io, !l->inside, NULL, err);
	else if (error != NULL)
		(void)pg_fail(l->c, error, false, false, err);
	PQclear(error);
	if (!ok) {
		PQclear(*ret);
		*ret = NULL;
		if (!l->inside)
			err->outcome = ERR_OUTCOME_NOT_STARTED;
	}
	return ok;
}

/* Does what was announced as the stranger come out again, where text does otherwise? */
static bool comes_out(const struct pg_conn *c, const struct stranger *x, const PGresult *plain, const PGresult *strange)
{
	static const char *const words[] = {"select", "values", "table", "with"};
	bool reads = false;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		reads = reads || strcmp(c->cur.told.first, words[i]) == 0;
	for (int i = 0; reads && i < PQnfields(strange) && i < PQnfields(plain); i++)
		if ((PQftype(strange, i) == x->type || PQftype(strange, i) == x->array) &&
		    PQftype(plain, i) != PQftype(strange, i))
			return true;
	return false;
}

static bool is_text(const struct look *l, size_t i, const PGresult *plain, bool *ret, struct err *err)
{
	bool ok = true, taken = false;

	*ret = false;
	for (size_t k = 0; ok && !taken && k < ARRAY_LEN(strangers); k++) {
		PGresult *strange;

		l->types[i] = strangers[k].type;
		ok = ask(l, &strange, err);
		taken = strange != NULL;
		*ret = taken && !comes_out(l->c, &strangers[k], plain, strange);
		PQclear(strange);
	}
	l->types[i] = OID_BYTEA;
	return ok;
}

/* The parameter is not bytea by itself: `plain` says what the statement is without a word about it. */
static bool judge(const struct look *l, size_t i, const PGresult *plain, struct err *err)
{
	char pointer[40];
	bool text;

	if (!is_text(l, i, plain, &text, err))
		return false;
	(void)snprintf(pointer, sizeof(pointer), "/args/%zu", i);
	return !text || err_set_at(err, ERR_INVALID_PARAMETERS, pointer,
				   "bytes for a parameter that PostgreSQL takes for text: give a string, or say in the "
				   "statement what becomes of them: convert_from($%zu, 'UTF8'), $%zu::bytea",
				   i + 1, i + 1);
}

static bool has_bytes(const struct stmt *s)
{
	for (size_t i = 0; i < s->n_params; i++)
		if (s->params[i].kind == VALUE_BYTES)
			return true;
	return false;
}

static bool judge_all(const struct look *l, const struct stmt *s, struct err *err)
{
	PGresult *plain;
	bool ok;

	for (size_t i = 0; i < s->n_params; i++)
		if (s->params[i].kind == VALUE_BYTES)
			l->types[i] = 0;
	ok = ask(l, &plain, err);
	for (size_t i = 0; i < s->n_params; i++)
		if (s->params[i].kind == VALUE_BYTES)
			l->types[i] = OID_BYTEA;
	for (size_t i = 0; ok && plain != NULL && i < s->n_params; i++)
		if (s->params[i].kind == VALUE_BYTES && (int)i < PQnparams(plain) &&
		    PQparamtype(plain, (int)i) != OID_BYTEA)
			ok = judge(l, i, plain, err);
	PQclear(plain);
	return ok;
}

bool pg_bytes_fit(struct pg_conn *c, const struct stmt *s, int64_t deadline_ns, struct err *err)
{
	bool fits;

	/* what is prepared has been judged */
	if (!has_bytes(s) || (!c->pooled && s->cache && pg_cache_find(&c->cache, s, &fits) != NULL))
		return true;
	if (!pg_open_now(c, deadline_ns, err))
		return false;
	const PGTransactionStatusType status = PQtransactionStatus(c->pg);
	if (status != PQTRANS_IDLE && status != PQTRANS_INTRANS)
		return true; /* it will be refused */
	const struct look l = {c, deadline_ns, status == PQTRANS_INTRANS, c->params.types};
	strbuf_reset(&c->text);
	strbuf_put(&c->text, s->sql);
	strbuf_putc(&c->text, '\0');
	return !strbuf_failed(&c->text) ? judge_all(&l, s, err) : err_oom(err);
}
