/* Session, catalog and preferences, told in headers. */
#include "handlers/unit/answer_head.h"

#include "service/base/clock.h"
#include "service/base/num.h"

#include "service/base/banned.h"

struct app *request_app(const struct request *req)
{
	return req->app;
}

void header_set(struct response *res, const char *name, struct str value)
{
	for (size_t i = 0; i < res->n_headers; i++) {
		if (str_ieq_z(res->headers[i].name, name)) {
			res->headers[i].value = value;
			return;
		}
	}
	response_header(res, name, value);
}

void header_drop(struct response *res, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < res->n_headers; i++) {
		if (!str_ieq_z(res->headers[i].name, name))
			res->headers[n++] = res->headers[i];
	}
	res->n_headers = n;
}

bool prefers(struct response *res, enum prefer_bit bit)
{
	static const struct {
		enum prefer_bit bit;
		const char *text;
	} words[] = {
		{PREFER_RETURN_MINIMAL, "return=minimal"},
		{PREFER_RETURN_REPRESENTATION, "return=representation"},
		{PREFER_COUNT_EXACT, "count=exact"},
		{PREFER_INT64_STRING, "int64=string"},
		{PREFER_TX_ROLLBACK, "tx=rollback"},
		{PREFER_ROWS_ARRAYS, "rows=arrays"},
		{PREFER_IDENTITY_OVERRIDE, "identity=override"},
	};
	struct prefer *p = &res->req->prefer;
	struct arena *a = &res->req->arena;
	if ((p->given & (unsigned)bit) == 0)
		return false;
	if ((p->applied & (unsigned)bit) != 0 || response_streaming(res))
		return true;
	p->applied |= (unsigned)bit;
	struct strbuf b;
	strbuf_init(&b, 0);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if ((p->applied & (unsigned)words[i].bit) != 0)
			strbuf_printf(&b, "%s%s", b.len > 0 ? ", " : "", words[i].text);
	}
	if ((p->applied & PREFER_TIMEOUT) != 0)
		strbuf_printf(&b, "%stimeout=%g", b.len > 0 ? ", " : "", p->timeout_s);
	if ((p->applied & PREFER_MAX_AFFECTED) != 0)
		strbuf_printf(&b, "%smax-affected=%lld", b.len > 0 ? ", " : "", (long long)p->max_affected);
	header_set(res, "Preference-Applied", arena_str(a, strbuf_str(&b)));
	strbuf_done(&b);
	return true;
}

struct value_format context_format(struct response *res)
{
	return (struct value_format){.int64_as_string = prefers(res, PREFER_INT64_STRING)};
}

/* Text and a number behind what is there. */
static void info_add(struct str *text, char *room, struct str name, int64_t value)
{
	memcpy(room + text->len, name.p, name.len);
	text->len += name.len;
	text->len += num_format_int(value, room + text->len);
}

struct str session_info(struct arena *a, const struct session_left *left)
{
	char *room = arena_alloc(a, 192); /* of the names, and four numbers */
	struct str text = str_n(room, 0);
	info_add(&text, room, STR("idle-expires-in="), left->idle_s);
	info_add(&text, room, STR(", expires-in="), left->lifetime_s);
	info_add(&text, room, STR(", transactions="), (int64_t)left->n_transactions);
	info_add(&text, room, STR(", queue="), (int64_t)left->n_queued);
	return text;
}

void session_info_header(struct response *res, struct session *s)
{
	if (response_streaming(res))
		return;
	int64_t lifetime_ns = s->expires_ns == CLOCK_NEVER ? CLOCK_NEVER : s->expires_ns - clock_mono_ns();
	int64_t idle_ns = s->idle_timeout_ns;
	if (lifetime_ns < 0)
		lifetime_ns = 0;
	const struct session_left left = {.idle_s = clock_min(idle_ns, lifetime_ns) / CLOCK_NS_PER_S,
					  .lifetime_s = lifetime_ns / CLOCK_NS_PER_S,
					  .n_transactions = __atomic_load_n(&s->n_transactions, __ATOMIC_RELAXED),
					  .n_queued = __atomic_load_n(&s->n_queued, __ATOMIC_RELAXED)};
	header_set(res, "Ferro-Session-Info", session_info(&res->req->arena, &left));
}

void catalog_header(struct response *res)
{
	header_set(res, "Ferro-Catalog", told_version(request_app(res->req)->told, &res->req->arena));
}
