/* Answers of the state: put, found again, pushed out. */
#include "store/state/state_answers.h"

#include "store/state/state_claims.h"
#include "store/state/state_sql.h"

#include "service/base/banned.h"

static struct str context_of(struct arena *a, const struct state_answer *x)
{
	return state_answer_context(a, x->key, x->body, x->status, x->content_type);
}

/* One sealed text: headers, a line's end, body. */
static struct str seal_answer(const struct state *s, struct arena *a, const struct state_answer *x)
{
	struct strbuf b;
	strbuf_init(&b, 0);
	strbuf_put(&b, x->headers);
	strbuf_putc(&b, '\n');
	strbuf_put(&b, x->text);
	const struct str out = seal_put(a, &s->seal, context_of(a, x), strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

static bool open_answer(const struct state *s, struct arena *a, struct str sealed, struct state_answer *ret)
{
	struct str plain;
	bool second;
	if (!seal_get(a, &s->seal, context_of(a, ret), sealed, &plain, &second) ||
	    !str_split(&plain, '\n', &ret->headers))
		return false;
	ret->text = plain;
	return true;
}

bool state_answer_get(struct state *s, struct arena *a, struct str key, int64_t since_us, bool *ret_found,
		      struct state_answer *ret, struct err *err)
{
	const struct value params[] = {value_text(key), value_int(since_us)};
	struct rows r = {.kinds = "titt"};
	struct unit u;
	state_unit_begin(&u, s, a, false);
	bool ok = state_run(&u, "SELECT body, status, content_type, answer FROM ~answers WHERE key = ? AND at_us >= ?",
			    params, ARRAY_LEN(params), &r, NULL, err);
	ok = state_unit_end(&u, ok, err);
	*ret_found = false;
	if (ok && r.n > 0) {
		*ret = (struct state_answer){.key = key,
					     .body = r.cells[0][0],
					     .status = state_cell_int(r.cells[0][1]),
					     .content_type = r.cells[0][2]};
		*ret_found = open_answer(s, a, r.cells[0][3], ret);
	}
	return ok;
}

static bool put(struct unit *u, const struct state_answer *x, int64_t now_us, const struct state_answer_bounds *most,
		struct err *err)
{
	const struct str sealed = seal_answer(u->s, u->a, x);
	const struct value old = value_int(most->since_us);
	const struct value row[] = {value_text(x->key),
				    value_text(x->owner),
				    value_text(x->body),
				    value_int(now_us),
				    value_int((int64_t)sealed.len),
				    value_int(x->status),
				    value_text(x->content_type),
				    value_text(sealed)};
	const struct value own[] = {value_text(x->owner), value_int(most->entries), value_int(most->bytes)};
	return state_run(u, "DELETE FROM ~answers WHERE at_us < ?", &old, 1, NULL, NULL, err) &&
	       state_run(u,
			 "INSERT INTO ~answers (key, owner, body, at_us, size, status, content_type, answer) VALUES "
			 "(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
			 row, ARRAY_LEN(row), NULL, NULL, err) &&
	       state_run(u,
			 "DELETE FROM ~answers WHERE key IN (SELECT key FROM (SELECT key, row_number() OVER w AS n, "
			 "CAST(sum(size) OVER w AS bigint) AS total FROM ~answers WHERE owner = ? WINDOW w AS (ORDER "
			 "BY at_us DESC, key)) AS x WHERE n > ? OR total > ?)",
			 own, ARRAY_LEN(own), NULL, NULL, err);
}

bool state_answer_put(struct state *s, const struct state_answer *x, int64_t now_us,
		      const struct state_answer_bounds *most, const struct state_claim *claim, struct err *err)
{
	struct arena a;
	struct unit u;
	arena_init(&a);
	state_unit_begin(&u, s, &a, true);
	const bool put_all = state_claim_hold(&u, claim, err) && put(&u, x, now_us, most, err) &&
			     (claim == NULL || state_claim_drop(&u, claim, err));
	const bool ok = state_unit_end(&u, put_all, err);
	arena_done(&a);
	return ok;
}
