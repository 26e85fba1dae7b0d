/*
 * Bulk create: records are read one by one, gathered into chunks of rows that give the same columns, and inserted in
 * one unit: by a statement a chunk, or, where nothing is to be answered of the rows and there are enough of them, by a
 * load that goes on from chunk to chunk.
 */
#include "handlers/records/bulk.h"

#include "handlers/answer/rows.h"
#include "handlers/records/record_insert.h"
#include "handlers/unit/triggers.h"
#include "handlers/unit/mapped.h"

#include "service/base/wait.h"

#include "service/base/banned.h"

#define CHUNK_ROWS 500
#define CHUNK_BYTES (256 * 1024) /* of records held at a time */
#define LOAD_ROWS 100            /* fewer are quicker inserted by a statement: a load has round trips of its own */

struct bulk {
	struct context *c;
	const struct model *m;
	struct insert_options o;
	struct arena arena;      /* of the current chunk */
	struct record_row *rows; /* CHUNK_ROWS, in the request's arena */
	size_t n_rows, n_max;
	size_t text_len;             /* of the rows' records */
	const struct value **values; /* n_max: those of the rows, for a load */
	bool may_load;               /* COPY knows no conflicts and returns nothing */
	bool loading, has_loaded;
	bool *loaded; /* the columns that the load's rows give */
	bool explicit_id;
	bool representation;
	bool tells;        /* the database says of each row of an upsert whether it is new */
	bool triggers;     /* of the table: rows that are answered are read again */
	struct map keys;   /* upserts: of the chunk's rows, for a statement may change each row once only */
	struct made *made; /* returned rows that are to be read again */
	size_t n_made;
	int64_t inserted, updated;
	struct value_format fmt;
	struct strbuf *out; /* the answer */
	bool any;           /* a record has been written */
};

/* A returned row that is to be read again. */
struct made {
	struct value *row;
};

static void answer_row(struct bulk *b, const struct value *row)
{
	if (b->any)
		strbuf_putc(b->out, ',');
	out_record(b->out, b->m, row, &b->fmt);
	b->any = true;
}

/* Takes a returned row: into the answer that is being built, or to be read again first. */
static bool returned_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct bulk *b = arg;
	(void)ret_stop;
	(void)err;
	struct arena *a = &b->arena;
	if (b->tells) {
		bool is_new = values[n - 1].kind == VALUE_BOOL && values[n - 1].u.b;
		b->inserted += is_new;
		b->updated += !is_new;
		n--;
	}
	if (!b->representation)
		return true;
	struct value *row = arena_array(a, n + 1, sizeof(*row));
	for (size_t i = 0; i < n && i < b->m->n_columns; i++)
		row[i] = codec_decode(a, b->c->route.conn->dialect, &b->m->columns[i], values[i]);
	if (!b->triggers) {
		answer_row(b, row);
		return true;
	}
	for (size_t i = 0; i < n; i++)
		row[i] = value_dup(a, row[i]);
	b->made[b->n_made++].row = row;
	return true;
}

static bool settle_chunk(struct bulk *b, struct err *err)
{
	for (size_t i = 0; i < b->n_made; i++) {
		if (!context_settle(b->c, b->m, true, NULL, &b->made[i].row, err))
			return false;
		if (b->made[i].row != NULL)
			answer_row(b, b->made[i].row);
	}
	b->n_made = 0;
	return true;
}

static bool insert_chunk(struct bulk *b, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	struct exec_result result;
	struct row_sink sink = {.row = returned_row, .arg = b};
	const bool upsert = b->o.conflict == RECORD_UPDATE;
	const struct record_insert_how how = {.conflict = b->o.conflict,
					      .target = b->o.target,
					      .set = b->o.set,
					      .n_set = b->o.n_set,
					      .override_identity = b->o.override_identity,
					      .returning = b->representation,
					      .tells = b->tells};
	int64_t there = 0, n, before = b->inserted + b->updated;
	if (upsert && !b->tells && !record_count_there(b->c, b->m, b->rows, b->n_rows, &b->o, &there, err))
		return false;
	if (!record_lower_insert(&b->arena, b->c->route.conn->dialect, b->m, b->rows, b->n_rows, &how, &stmt, &shape,
				 err) ||
	    !context_run(b->c, &stmt, b->representation || b->tells ? &sink : NULL, &result, err))
		return false;
	n = b->representation ? result.rows : result.affected;
	if (!b->tells) {
		there = there < n ? there : n;
		b->updated += there;
		b->inserted += n - there;
	}
	if (upsert && b->inserted + b->updated - before < (int64_t)b->n_rows &&
	    !record_counts_stand(b->c, b->m, b->rows, b->n_rows, &b->o, err))
		return false;
	return settle_chunk(b, err);
}

/* ---- loads ---- */

static bool end_load(struct bulk *b, struct err *err)
{
	int64_t rows;
	if (!b->loading)
		return true;
	b->loading = false;
	if (!exec_load_end(&b->c->exec, &rows, err))
		return false;
	b->inserted += rows;
	return true;
}

/* Begins a load of the chunk's rows, if that is the way to insert them. */
static bool begin_load(struct bulk *b, struct err *err)
{
	struct str sql;
	if (b->n_rows < LOAD_ROWS && b->n_rows < b->n_max && b->text_len < CHUNK_BYTES)
		return true;
	if (!record_lower_load(&b->arena, b->c->route.conn->dialect, b->m, &b->rows[0], &sql, err))
		return false;
	if (sql.len == 0)
		return true;
	if (!exec_load_begin(&b->c->exec, b->has_loaded ? STR_NONE : b->m->place, sql, &b->loading, err))
		return false;
	b->has_loaded = b->may_load = b->loading;
	memcpy(b->loaded, b->rows[0].given, b->m->n_columns * sizeof(*b->loaded));
	return true;
}

static bool load_chunk(struct bulk *b, struct err *err)
{
	struct load l = {.given = b->loaded, .n_columns = b->m->n_columns, .rows = b->values, .n_rows = b->n_rows};
	for (size_t i = 0; i < b->n_rows; i++)
		b->values[i] = b->rows[i].values;
	return exec_load_rows(&b->c->exec, &l, err);
}

static bool flush_chunk(struct bulk *b, struct err *err)
{
	if (b->n_rows == 0)
		return true;
	bool goes_on = b->loading && memcmp(b->loaded, b->rows[0].given, b->m->n_columns * sizeof(*b->loaded)) == 0;
	if (!goes_on && (!end_load(b, err) || (b->may_load && !begin_load(b, err))))
		return false;
	if (b->loading ? !load_chunk(b, err) : !insert_chunk(b, err))
		return false;
	b->n_rows = b->text_len = 0;
	map_done(&b->keys);
	map_init(&b->keys);
	arena_reset(&b->arena);
	return true;
}

/* ---- chunks ---- */

/* Rows that one statement may hold. */
static size_t chunk_rows(const struct model *m, const struct dialect *d)
{
	size_t n = d->params_max / (m->n_columns > 0 ? m->n_columns : 1);
	if (n > CHUNK_ROWS)
		n = CHUNK_ROWS;
	return n > 0 ? n : 1;
}

/* Rows of one statement give the same columns, and change the same ones of rows that are there. */
static bool same_columns(const struct bulk *b, const struct record_row *x, const struct record_row *y)
{
	const size_t n = b->m->n_columns * sizeof(*x->given);
	return memcmp(x->given, y->given, n) == 0 &&
	       (b->o.conflict != RECORD_UPDATE || memcmp(x->sent, y->sent, n) == 0);
}

/* Would the statement change a row twice? Of two rows with one key the later one wins, in a statement of its own. */
static bool key_taken(struct bulk *b, const struct record_row *row)
{
	static char mark;
	struct str key;
	if (b->o.conflict != RECORD_UPDATE)
		return false;
	key = record_target_key(&b->arena, b->m, row, &b->o.target);
	return key.p != NULL && map_put(&b->keys, key, &mark) != NULL;
}

static bool nothing_given(const struct model *m, const struct record_row *row)
{
	for (size_t i = 0; i < m->n_columns; i++) {
		if (row->given[i])
			return false;
	}
	return true;
}

static bool must_flush(struct bulk *b, const struct record_row *row)
{
	const bool taken = key_taken(b, row);
	return b->n_rows > 0 && (taken || b->n_rows == b->n_max || !same_columns(b, row, &b->rows[b->n_rows - 1]) ||
				 nothing_given(b->m, row) || b->text_len >= CHUNK_BYTES);
}

static bool read_row(struct bulk *b, const struct bulk_reader *in, struct record_row *ret, struct err *err)
{
	const struct dialect *d = b->c->route.conn->dialect;
	json_t *doc;
	if (record_from_text(&b->arena, d, b->m, in->record, ret))
		return true;
	if (!bulk_parse(in, &b->arena, &doc, err))
		return false;
	return record_from_json(&b->arena, d, b->m, doc, "", b->o.override_identity ? RECORD_OVERRIDE : 0, ret, err) ||
	       bulk_fault(in, &b->arena, err);
}

/* A record that opens another chunk is parsed again after the flush: its row went with the old chunk's arena. */
static bool take_record(struct bulk *b, const struct bulk_reader *in, struct err *err)
{
	for (;;) {
		struct record_row row;
		if (!read_row(b, in, &row, err))
			return false;
		if (!must_flush(b, &row)) {
			b->explicit_id = b->explicit_id || record_explicit_id(b->m, &row);
			b->rows[b->n_rows++] = row;
			b->text_len += in->record.len;
			return true;
		}
		if (!flush_chunk(b, err))
			return false;
		wait_yield();
	}
}

static bool insert_all(struct bulk *b, struct bulk_reader *in, struct err *err)
{
	bool any;
	for (;;) {
		if (!bulk_next(in, &any, err))
			return false;
		if (!any)
			break;
		if (!take_record(b, in, err))
			return false;
	}
	return flush_chunk(b, err) && end_load(b, err) && (!b->explicit_id || record_sequence(b->c, b->m, err));
}

static void free_keys(void *arg)
{
	map_done(arg);
}

static void free_chunk(void *arg)
{
	arena_done(arg);
}

bool bulk_insert(struct context *c, const struct model *m, struct bulk_reader *in, const struct insert_options *o,
		 struct strbuf *out, struct err *err)
{
	struct bulk *b = arena_alloc(&c->req->arena, sizeof(*b));
	b->c = c;
	b->m = m;
	b->o = *o;
	b->out = out;
	b->representation = prefers(c->res, PREFER_RETURN_REPRESENTATION);
	if (b->representation)
		b->fmt = context_format(c->res);
	b->n_max = chunk_rows(m, c->route.conn->dialect);
	b->rows = arena_array(&c->req->arena, b->n_max, sizeof(*b->rows));
	b->values = arena_array(&c->req->arena, b->n_max, sizeof(*b->values));
	b->loaded = arena_array(&c->req->arena, m->n_columns, sizeof(*b->loaded));
	b->may_load = !b->representation && o->conflict == RECORD_INSERT && exec_can_load(&c->exec);
	b->made = arena_array(&c->req->arena, b->n_max, sizeof(*b->made));
	arena_init(&b->arena);
	map_init(&b->keys);
	arena_on_done(&c->req->arena, free_keys, &b->keys);
	arena_on_done(&c->req->arena, free_chunk, &b->arena); /* faults of a refusal live in it */
	if (o->conflict == RECORD_UPDATE)
		mapped_write_all(c, m, MAPPED_KEYS);
	else
		mapped_insert(c, m);
	if (b->representation)
		strbuf_puts(out, "{\"records\":[");
	if (o->conflict == RECORD_UPDATE && c->route.conn->dialect->id == DIALECT_POSTGRES &&
	    !context_plain_table(c, m, &b->tells, err))
		return false;
	if ((b->representation || c->imap != NULL) && !context_triggers(c, m, &b->triggers, err))
		return false;
	context_unleash(c, b->triggers);
	if (!insert_all(b, in, err)) {
		if (c->exec.started && err->outcome == ERR_OUTCOME_NONE)
			err->outcome = ERR_OUTCOME_ROLLED_BACK;
		return false;
	}
	context_unleashed(c, b->triggers);
	strbuf_puts(out, b->representation ? "]" : "{");
	out_int(out, "rows_inserted", b->inserted);
	if (o->conflict == RECORD_UPDATE)
		out_int(out, "rows_updated", b->updated);
	strbuf_putc(out, '}');
	return true;
}

bool bulk_create(struct context *c, const struct model *m, struct bulk_reader *in, const json_t *on_conflict,
		 struct err *err)
{
	struct insert_options o;
	if (on_conflict != NULL ? !insert_options_body(c, m, on_conflict, "/on_conflict", &o, err)
				: !insert_options_read(c, m, &o, err))
		return false;
	context_write(c, true);
	if (!bulk_insert(c, m, in, &o, response_json(c->res, 201), err) || !context_commit(c, err))
		return false;
	return true;
}
