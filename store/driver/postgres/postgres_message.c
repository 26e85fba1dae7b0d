#include "store/driver/postgres/postgres_message.h"

#include "service/base/banned.h"

/* No message of the server's is longer than its largest field and what else may stand beside it; of most kinds none is
 * longer than that, which libpq takes to be a connection out of step, too. */
#define LONG_BYTES (INT64_C(1) << 30)
#define SHORT_BYTES 30000

enum pg_come pg_message_first(struct str come, struct pg_message *ret)
{
	if (come.len < PG_HEAD_BYTES)
		return PG_COME_PART;
	const uint32_t n = pg_get_int(come.p + 1);
	const char kind = come.p[0];
	const bool may_be_long = kind == 'D' || kind == 'E' || kind == 'N' || kind == 'A';

	if (n < 4 || n > (may_be_long ? LONG_BYTES : SHORT_BYTES))
		return PG_COME_BROKEN;
	if (come.len - 1 < n)
		return PG_COME_PART;
	*ret = (struct pg_message){.kind = kind, .body = str_n(come.p + PG_HEAD_BYTES, n - 4)};
	return PG_COME_WHOLE;
}

/* ---- errors and notices ---- */

/* The field at p, and where the next one begins; NULL: there is none. */
static const char *next_field(const char *p, const char *end)
{
	if (p == end || *p == '\0')
		return NULL;
	const char *nul = memchr(p + 1, '\0', (size_t)(end - p) - 1);
	return nul != NULL ? nul + 1 : NULL;
}

bool pg_message_has_fields(struct str body)
{
	const char *p = body.p, *const end = body.p + body.len;

	for (const char *next; (next = next_field(p, end)) != NULL;)
		p = next;
	return p + 1 == end && *p == '\0';
}

const char *pg_said_field(const struct pg_said *s, int field)
{
	const char *p = s->fields.p;

	if (s->res != NULL)
		return PQresultErrorField(s->res, field);
	if (s->fields.len == 0)
		return NULL;
	for (const char *next; (next = next_field(p, s->fields.p + s->fields.len)) != NULL; p = next)
		if (*p == (char)field)
			return p + 1;
	return NULL;
}

bool pg_said_state_is(const struct pg_said *s, const char *state)
{
	const char *is = pg_said_field(s, PG_DIAG_SQLSTATE);

	return is != NULL && strcmp(is, state) == 0;
}

bool pg_said_is_fatal(const struct pg_said *s)
{
	const char *severity = pg_said_field(s, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* ---- what is sent ---- */

static char *put_int(char *p, uint32_t v)
{
	*p++ = (char)(v >> 24);
	*p++ = (char)(v >> 16 & 255);
	*p++ = (char)(v >> 8 & 255);
	*p++ = (char)(v & 255);
	return p;
}

static char *put_short(char *p, size_t v)
{
	*p++ = (char)(v >> 8 & 255);
	*p++ = (char)(v & 255);
	return p;
}

static char *put_bytes(char *p, const char *bytes, size_t n)
{
	if (n > 0)
		memcpy(p, bytes, n);
	return p + n;
}

static size_t param_bytes(const struct pg_params *p, size_t i)
{
	if (p->values[i] == NULL)
		return 0;
	return p->formats[i] != 0 ? (size_t)p->lengths[i] : strlen(p->values[i]);
}

bool pg_put_run(struct strbuf *b, const char *name, const struct pg_params *p, size_t most)
{
	static const char execute[] = "E\0\0\0\x09\0\0\0\0"; /* the portal without a name, all rows; and a NUL */
	const size_t n_name = strlen(name) + 1;
	size_t n = 4 + 1 + n_name + 2 + 2 * p->n + 2 + 4 * p->n + 2;
	char *out, *at;

	for (size_t i = 0; i < p->n; i++)
		n += param_bytes(p, i);
	if (b->len + 1 + n + sizeof(execute) > most)
		return false;
	out = at = strbuf_reserve(b, 1 + n + sizeof(execute));
	if (out == NULL)
		return false;
	*at++ = 'B';
	at = put_int(at, (uint32_t)n);
	*at++ = '\0'; /* the portal's name */
	at = put_bytes(at, name, n_name);
	at = put_short(at, p->n);
	for (size_t i = 0; i < p->n; i++)
		at = put_short(at, p->formats[i] != 0);
	at = put_short(at, p->n);
	for (size_t i = 0; i < p->n; i++) {
		const size_t bytes = param_bytes(p, i);

		at = put_int(at, p->values[i] != NULL ? (uint32_t)bytes : UINT32_MAX);
		at = put_bytes(at, p->values[i], bytes);
	}
	at = put_short(at, 0); /* rows in text */
	at = put_bytes(at, execute, sizeof(execute));
	strbuf_advance(b, (size_t)(at - out));
	return true;
}

void pg_put_sync(struct strbuf *b)
{
	strbuf_put(b, str_n("S\0\0\0\4", PG_HEAD_BYTES));
}
