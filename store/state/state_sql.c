/* Statements of the state: one text for both databases, rows as texts. */
#include "store/state/state_sql.h"

#include <inttypes.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/num.h"

#include "service/base/banned.h"

bool state_is_postgres(const struct state *s)
{
	return s->conn->dsn.dialect == DIALECT_POSTGRES;
}

void state_unit_begin_within(struct unit *u, struct state *s, struct arena *a, bool atomic, double seconds)
{
	*u = (struct unit){.s = s, .route = {.conn = s->conn}, .a = a};
	exec_begin(&u->x, &u->route, clock_deadline(seconds), atomic);
}

void state_unit_begin(struct unit *u, struct state *s, struct arena *a, bool atomic)
{
	state_unit_begin_within(u, s, a, atomic, LIMIT_STATE_S);
}

bool state_unit_end(struct unit *u, bool ok, struct err *err)
{
	struct err ignored;
	return exec_end(&u->x, ok, ok ? err : &ignored) && ok;
}

struct str state_native(const struct unit *u, const char *text)
{
	struct strbuf b;
	int n = 0;
	strbuf_init(&b, 0);
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '~')
			strbuf_puts(&b, state_is_postgres(u->s) ? "ferrod." : "ferrod_");
		else if (*p == '?' && state_is_postgres(u->s))
			strbuf_printf(&b, "$%d", ++n);
		else
			strbuf_putc(&b, *p);
	}
	struct str out = arena_str(u->a, strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

static bool is_kind(struct value v, char letter)
{
	if (v.kind == VALUE_NULL)
		return letter < 'a';
	return v.kind == ((letter | 0x20) == 'i' ? VALUE_INT : VALUE_TEXT);
}

static bool fits(const struct rows *r, const struct value *values, size_t n)
{
	bool ok = n == strlen(r->kinds) && n <= STATE_CELLS;
	for (size_t i = 0; ok && i < n; i++)
		ok = is_kind(values[i], r->kinds[i]);
	return ok;
}

bool state_unlikely(struct err *err)
{
	return err_set(err, ERR_INTERNAL_ERROR, "the state answered what cannot be");
}

static bool take_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct rows *r = arg;
	char digits[24];
	(void)ret_stop;
	if (!fits(r, values, n))
		return state_unlikely(err);
	if (r->n == r->size) {
		const size_t size = r->size == 0 ? 16 : 2 * r->size;
		struct str(*more)[STATE_CELLS] = arena_array(r->a, size, sizeof(*more));
		if (r->n > 0)
			memcpy(more, r->cells, r->n * sizeof(*more));
		r->cells = more;
		r->size = size;
	}
	for (size_t i = 0; i < STATE_CELLS; i++) {
		struct str *cell = &r->cells[r->n][i];
		*cell = STR_NONE;
		if (i >= n || values[i].kind == VALUE_NULL)
			continue;
		*cell = values[i].kind == VALUE_INT
				? arena_str(r->a, str_n(digits, num_format_int(values[i].u.i, digits)))
				: arena_str(r->a, values[i].u.s);
	}
	r->n++;
	return true;
}

/* What runs, beside its text. */
struct running {
	const struct value *params;
	size_t n;
	enum stmt_access access;
};

static bool run(struct unit *u, const char *text, const struct running *how, struct rows *ret, int64_t *ret_affected,
		struct err *err)
{
	const struct stmt s = {.sql = state_native(u, text),
			       .params = how->params,
			       .n_params = how->n,
			       .n_columns = ret != NULL ? strlen(ret->kinds) : 0,
			       .access = how->access};
	struct row_sink sink = {.row = ret != NULL ? take_row : NULL, .arg = ret};
	struct exec_result result;
	if (ret != NULL)
		*ret = (struct rows){.kinds = ret->kinds, .a = u->a};
	if (!exec_run(&u->x, &s, &sink, &result, err))
		return false;
	if (ret_affected != NULL)
		*ret_affected = result.affected;
	return true;
}

bool state_run(struct unit *u, const char *text, const struct value *params, size_t n, struct rows *ret,
	       int64_t *ret_affected, struct err *err)
{
	const struct running how = {params, n, STMT_WRITE};
	return run(u, text, &how, ret, ret_affected, err);
}

bool state_look(struct unit *u, const char *text, struct rows *ret, struct err *err)
{
	const struct running how = {.access = STMT_READ};
	return run(u, text, &how, ret, NULL, err);
}

bool state_put_meta(struct unit *u, const char *name, struct str value, struct err *err)
{
	const struct value params[] = {value_text(str_z(name)), value_text(value)};
	return state_run(u,
			 "INSERT INTO ~meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = "
			 "excluded.value",
			 params, 2, NULL, NULL, err);
}

struct str state_answer_context(struct arena *a, struct str key, struct str body, int64_t status, struct str type)
{
	return arena_printf(a, "answer %.*s %.*s %" PRId64 " %.*s", STR_FMT(key), STR_FMT(body), status, STR_FMT(type));
}

struct str state_meta(const struct rows *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_eq_z(r->cells[i][0], name))
			return r->cells[i][1];
	return STR_NONE;
}

int64_t state_cell_int(struct str cell)
{
	const int64_t most = INT64_MAX / 2000;
	int64_t n;
	if (cell.p == NULL || !num_parse_int(cell, &n))
		return 0;
	return clock_max(-most, clock_min(n, most));
}

bool state_version_of(struct str cell, int64_t *ret, struct err *err)
{
	int64_t n;
	if (cell.p == NULL || !num_parse_int(cell, &n) || n < 1 || n > INT64_MAX / 2)
		return err_set(err, ERR_DATABASE_UNAVAILABLE, "the state has no version");
	*ret = n;
	return true;
}
