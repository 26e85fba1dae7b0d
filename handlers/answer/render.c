/* Shapes that several answers share. */
#include "handlers/answer/render.h"

#include <math.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/num.h"
#include "service/http/compression.h"
#include "store/codec/codec_int64.h"
#include "store/exec/coordination.h"

#include "service/base/banned.h"

void out_name(struct strbuf *b, const char *name)
{
	char last = b->len > 0 ? b->p[b->len - 1] : '{';
	if (last != '{' && last != '[')
		strbuf_putc(b, ',');
	strbuf_putc(b, '"');
	strbuf_puts(b, name);
	strbuf_puts(b, "\":");
}

void out_str(struct strbuf *b, const char *name, struct str value)
{
	out_name(b, name);
	if (value.p == NULL)
		strbuf_puts(b, "null");
	else
		strbuf_json_string(b, value);
}

void out_int(struct strbuf *b, const char *name, int64_t value)
{
	out_name(b, name);
	strbuf_int(b, value);
}

void out_bool(struct strbuf *b, const char *name, bool value)
{
	out_name(b, name);
	strbuf_puts(b, value ? "true" : "false");
}

void out_seconds(struct strbuf *b, const char *name, double value)
{
	out_name(b, name);
	if (value >= 0 && value < 1e15 && value == (double)(int64_t)value)
		strbuf_int(b, (int64_t)value);
	else
		strbuf_json_double(b, value);
}

void out_instant(struct strbuf *b, const char *name, int64_t real_us)
{
	char text[CLOCK_RFC3339_BYTES];
	if (real_us != 0)
		clock_rfc3339(real_us, text);
	out_str(b, name, real_us != 0 ? str_z(text) : STR_NONE);
}

void out_segment(struct strbuf *b, struct str s)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			     c == '.' || c == '_' || c == '~';
		if (plain) {
			strbuf_putc(b, (char)c);
			continue;
		}
		strbuf_putc(b, '%');
		strbuf_putc(b, hex[c >> 4]);
		strbuf_putc(b, hex[c & 15]);
	}
}

/* A text of SQLite's that no path can have, as the tagged form that is read there. */
static void out_no_segment(struct strbuf *b, struct str s)
{
	struct strbuf tagged;
	strbuf_init(&tagged, 0);
	if (str_is_utf8(s)) {
		strbuf_puts(&tagged, "{\"$text\":");
		value_write_text(&tagged, s);
		strbuf_putc(&tagged, '}');
	} else {
		value_write_tagged(&tagged, s);
	}
	out_segment(b, strbuf_str(&tagged));
	strbuf_done(&tagged);
}

/* A key part's text as it stands in a path. */
static void key_part(struct strbuf *b, struct value v)
{
	char buf[NUM_DOUBLE_BYTES];
	switch (v.kind) {
	case VALUE_NULL:
		strbuf_puts(b, "null");
		return;
	case VALUE_BOOL:
		strbuf_puts(b, v.u.b ? "true" : "false");
		return;
	case VALUE_INT:
		strbuf_int(b, v.u.i);
		return;
	case VALUE_DOUBLE:
		if (isfinite(v.u.d))
			out_segment(b, str_n(buf, num_format_double(v.u.d, buf)));
		else
			strbuf_puts(b, isnan(v.u.d) ? "NaN" : v.u.d > 0 ? "Infinity" : "-Infinity");
		return;
	case VALUE_BYTES: {
		struct strbuf text;
		strbuf_init(&text, 0);
		strbuf_base64(&text, v.u.s);
		out_segment(b, strbuf_str(&text));
		strbuf_done(&text);
		return;
	}
	case VALUE_TEXT:
		if (str_is_utf8(v.u.s) && (v.u.s.len == 0 || memchr(v.u.s.p, '\0', v.u.s.len) == NULL))
			out_segment(b, v.u.s);
		else
			out_no_segment(b, v.u.s);
		return;
	case VALUE_JSON:
		out_segment(b, v.u.s);
		return;
	}
}

void out_key(struct strbuf *b, const struct model *m, const struct value *row)
{
	for (size_t i = 0; i < m->n_pk; i++) {
		if (i > 0)
			strbuf_putc(b, ',');
		key_part(b, row[m->pk[i]->index]);
	}
}

struct str record_location(struct arena *a, const struct model *m, const struct value *row)
{
	struct strbuf b;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "/v1/models/");
	out_segment(&b, m->name);
	strbuf_puts(&b, "/records/");
	const size_t before = b.len;
	out_key(&b, m, row);
	/* an empty key would be the list's path */
	struct str s = b.len > before ? arena_str(a, strbuf_str(&b)) : STR_NONE;
	strbuf_done(&b);
	return s;
}

void out_record(struct strbuf *b, const struct model *m, const struct value *row, const struct value_format *fmt)
{
	for (size_t i = 0; i < m->n_columns; i++) {
		strbuf_putc(b, i == 0 ? '{' : ',');
		strbuf_put(b, m->columns[i].json_name);
		codec_write_decoded(b, &m->columns[i], row[i], fmt);
	}
	strbuf_puts(b, m->n_columns == 0 ? "{}" : "}");
}

struct str etag_of(struct arena *a, struct str plain)
{
	uint8_t digest[16];
	char *tag = arena_alloc(a, 2 * sizeof(digest) + 3);
	num_digest128(plain, digest);
	tag[0] = '"';
	num_hex(digest, sizeof(digest), tag + 1);
	tag[2 * sizeof(digest) + 1] = '"';
	return str_n(tag, 2 * sizeof(digest) + 2);
}

struct str record_etag(struct arena *a, const struct model *m, const struct value *row)
{
	struct strbuf b;
	strbuf_init(&b, 0);
	out_record(&b, m, row, NULL);
	struct str tag = etag_of(a, strbuf_str(&b));
	strbuf_done(&b);
	return tag;
}

struct str out_record_etag(struct strbuf *b, struct arena *a, const struct model *m, const struct value *row,
			   const struct value_format *fmt)
{
	size_t from = b->len;
	out_record(b, m, row, NULL);
	struct str tag = etag_of(a, str_n(b->p + from, b->len - from));
	if (fmt->int64_as_string || fmt->tag_bytes) {
		strbuf_truncate(b, from);
		out_record(b, m, row, fmt);
	}
	return tag;
}

bool etag_listed(struct str header, struct str etag, bool weakly)
{
	struct str part;
	while (str_split(&header, ',', &part)) {
		part = str_trim(part);
		if (str_eq_z(part, "*") || coding_tag_is(part, etag))
			return true;
		/* A tag of ours comes back weak from a proxy that compressed the answer. */
		if (weakly && str_starts(part, STR("W/")) && coding_tag_is(str_n(part.p + 2, part.len - 2), etag))
			return true;
	}
	return false;
}

static void out_pool(struct strbuf *b, struct connection *conn)
{
	const struct pool_config *cfg = pool_get_config(conn->pool);
	struct pool_stats st;
	pool_stats(conn->pool, &st);
	out_name(b, "pool");
	strbuf_putc(b, '{');
	out_int(b, "max_connections", cfg->max_connections);
	out_int(b, "min_connections", cfg->min_connections);
	out_seconds(b, "acquire_timeout_seconds", cfg->acquire_timeout_s);
	out_seconds(b, "idle_timeout_seconds", cfg->idle_timeout_s);
	out_seconds(b, "max_lifetime_seconds", cfg->max_lifetime_s);
	out_seconds(b, "statement_timeout_seconds", cfg->statement_timeout_s);
	out_str(b, "pooler", pooler_word(pool_pooler(conn->pool)));
	out_int(b, "size", st.size);
	out_int(b, "idle", st.idle);
	out_int(b, "in_use", st.in_use);
	out_int(b, "waiting", st.waiting);
	strbuf_putc(b, '}');
}

void out_connection(struct strbuf *b, struct connection *conn, struct str default_name, bool urls)
{
	char version[64];
	pool_server_version(conn->pool, version);
	strbuf_putc(b, '{');
	out_str(b, "name", conn->name);
	out_str(b, "backend", str_z(conn->driver->name));
	if (urls)
		out_str(b, "url", conn->dsn.redacted);
	out_bool(b, "is_default", default_name.p != NULL && str_eq(conn->name, default_name));
	out_str(b, "origin", str_z(connection_origin_word(conn->origin)));
	out_bool(b, "identity_map", conn->identity_map);
	out_bool(b, "exactly_once", conn->exactly_once);
	out_str(b, "acting", str_z(acting_word(conn->acting)));
	out_str(b, "coordination", str_z(coordination_word(conn)));
	out_str(b, "server_version", version[0] != '\0' ? str_z(version) : STR_NONE);
	out_pool(b, conn);
	out_int(b, "sessions", __atomic_load_n(&conn->n_sessions, __ATOMIC_RELAXED));
	out_int(b, "transactions", __atomic_load_n(&conn->n_transactions, __ATOMIC_RELAXED));
	strbuf_putc(b, '}');
}

void out_imap(struct strbuf *b, const struct imap_stats *s)
{
	out_name(b, "identity_map");
	strbuf_putc(b, '{');
	out_bool(b, "enabled", s->enabled);
	out_int(b, "size", (int64_t)s->size);
	out_int(b, "bytes", (int64_t)s->bytes);
	out_int(b, "hits", (int64_t)s->hits);
	out_int(b, "misses", (int64_t)s->misses);
	out_int(b, "evictions", (int64_t)s->evictions);
	strbuf_putc(b, '}');
}

void out_transaction(struct strbuf *b, const struct tx_view *v)
{
	strbuf_putc(b, '{');
	out_str(b, "transaction_id", str_z(v->id));
	out_str(b, "parent_id", v->parent_id[0] != '\0' ? str_z(v->parent_id) : STR_NONE);
	out_str(b, "connection_name", v->connection_name);
	out_str(b, "savepoint", v->savepoint);
	out_str(b, "state", str_z(v->state));
	out_bool(b, "read_only", v->read_only);
	out_instant(b, "created_at", v->created_us);
	out_instant(b, "expires_at", v->expires_us);
	out_instant(b, "ended_at", v->ended_us);
	if (v->detail.len > 0)
		out_str(b, "detail", v->detail);
	strbuf_putc(b, '}');
}

void out_shaped(struct strbuf *b, const struct result_shape *shape, const struct value *row,
		const struct value_format *fmt)
{
	strbuf_putc(b, '{');
	for (size_t i = 0; i < shape->n; i++) {
		if (i > 0)
			strbuf_putc(b, ',');
		strbuf_json_string(b, shape->names[i]);
		strbuf_putc(b, ':');
		codec_write_decoded(b, &shape->decode[i], row[i], fmt);
	}
	strbuf_putc(b, '}');
}
