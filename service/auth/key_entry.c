/* Reads one entry of the keys. */
#include "service/auth/key_entry.h"

#include <strings.h>
#include <time.h>

#include "service/base/limits.h"
#include "service/base/num.h"
#include "service/http/tls_peer.h"

#include "service/base/banned.h"

#define QUOTA_MAX INT64_C(1000000000000)
#define RATE_MAX 1000000 /* the setting's */

bool key_scope_bit(struct str word, unsigned *bits)
{
	enum scope s;
	if (!scope_of(word, &s))
		return false;
	*bits |= 1u << s;
	return true;
}

void key_digest(const struct key_secret *s, struct str text, uint8_t ret[32])
{
	struct strbuf b;
	strbuf_init(&b, 0);
	strbuf_put(&b, str_n((const char *)s->salt, s->salt_len));
	strbuf_put(&b, text);
	num_sha256(strbuf_str(&b), ret);
	if (b.p != NULL)
		explicit_bzero(b.p, b.len);
	strbuf_done(&b);
}

/* ---- secrets ---- */

static bool from_hex(struct str hex, uint8_t *out, size_t max, size_t *ret_n)
{
	if (hex.len % 2 != 0 || hex.len / 2 > max)
		return false;
	for (size_t i = 0; i < hex.len; i++) {
		const char *digits = "0123456789abcdef";
		const char *at = hex.p[i] != '\0' ? strchr(digits, hex.p[i] | 0x20) : NULL;
		if (at == NULL)
			return false;
		unsigned v = (unsigned)(at - digits);
		out[i / 2] = (uint8_t)(i % 2 == 0 ? v << 4 : out[i / 2] | v);
	}
	*ret_n = hex.len / 2;
	return true;
}

static bool read_hash(struct key *k, struct str hash)
{
	struct key_secret *s = &k->secrets[k->n_secrets];
	struct str part;
	size_t n;
	if (!str_split(&hash, '$', &part) || !str_eq_z(part, "sha256"))
		return false;
	if (!str_split(&hash, '$', &part) || !from_hex(part, s->salt, sizeof(s->salt), &s->salt_len))
		return false;
	if (hash.p == NULL || !from_hex(hash, s->digest, sizeof(s->digest), &n) || n != sizeof(s->digest))
		return false;
	k->n_secrets++;
	return true;
}

static void read_hashes(struct json_reader *r, struct key *k)
{
	static const char form[] = "is not sha256$<salt hex>$<digest hex>";
	struct str one = STR_NONE;
	const json_t *many = NULL;
	const bool has_one = json_reader_str(r, "hash", &one), has_many = json_reader_array(r, "hashes", &many);
	if (r->failed)
		return;
	if (!has_many && k->subject.p == NULL)
		json_reader_require(r, "hash");
	if (has_one && has_many)
		json_reader_fault(r, NULL, "an entry has either \"hash\" or \"hashes\"");
	if (r->failed)
		return;
	if (has_one && !read_hash(k, one))
		json_reader_fault(r, NULL, "\"hash\" %s", form);
	if (has_many && (json_array_size(many) == 0 || json_array_size(many) > LIMIT_KEY_SECRETS))
		json_reader_fault(r, "hashes", "takes one to %d", LIMIT_KEY_SECRETS);
	for (size_t i = 0; !r->failed && i < json_array_size(many); i++) {
		const json_t *v = json_array_get(many, i);
		if (!json_is_string(v) || !read_hash(k, json_str(v)))
			json_reader_fault(r, "hashes", "one %s", form);
	}
}

static void read_subject(struct json_reader *r, struct arena *a, struct key *k)
{
	struct str given = STR_NONE;
	struct err fault;
	if (json_reader_str(r, "subject", &given) && !tls_subject_read(a, given, &k->subject, &fault))
		json_reader_fault(r, "subject", "%s", fault.detail);
}

/* ---- when it ends ---- */

/* n digits; -1: there is something else. */
static int digits(struct str *s, size_t n)
{
	int v = 0;
	if (s->len < n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return -1;
		v = v * 10 + (s->p[i] - '0');
	}
	*s = str_n(s->p + n, s->len - n);
	return v;
}

static bool eat(struct str *s, const char *any_of)
{
	if (s->len == 0 || s->p[0] == '\0' || strchr(any_of, s->p[0]) == NULL)
		return false;
	*s = str_n(s->p + 1, s->len - 1);
	return true;
}

/* Z, or the minutes from UTC. */
static bool read_offset(struct str *s, int *ret_minutes)
{
	*ret_minutes = 0;
	if (eat(s, "Zz"))
		return true;
	const int sign = s->len > 0 && s->p[0] == '-' ? -1 : 1;
	if (!eat(s, "+-"))
		return false;
	const int h = digits(s, 2);
	const bool colon = eat(s, ":");
	const int m = digits(s, 2);
	*ret_minutes = sign * (h * 60 + m);
	return h >= 0 && h < 24 && colon && m >= 0 && m < 60;
}

/* RFC 3339. */
static bool read_instant(struct str s, int64_t *ret_us)
{
	struct tm t = {0};
	int minutes;
	t.tm_year = digits(&s, 4) - 1900;
	bool ok = t.tm_year >= 0 && eat(&s, "-");
	t.tm_mon = digits(&s, 2) - 1;
	ok = ok && t.tm_mon >= 0 && t.tm_mon < 12 && eat(&s, "-");
	t.tm_mday = digits(&s, 2);
	ok = ok && t.tm_mday > 0 && t.tm_mday < 32 && eat(&s, "Tt ");
	t.tm_hour = digits(&s, 2);
	ok = ok && t.tm_hour >= 0 && t.tm_hour < 24 && eat(&s, ":");
	t.tm_min = digits(&s, 2);
	ok = ok && t.tm_min >= 0 && t.tm_min < 60 && eat(&s, ":");
	t.tm_sec = digits(&s, 2);
	ok = ok && t.tm_sec >= 0 && t.tm_sec < 61;
	if (ok && eat(&s, "."))
		for (ok = digits(&s, 1) >= 0; ok && digits(&s, 1) >= 0;)
			;
	if (!ok || !read_offset(&s, &minutes) || s.len != 0)
		return false;
	*ret_us = ((int64_t)timegm(&t) - (int64_t)minutes * 60) * 1000000;
	return true;
}

/* ---- the whole ---- */

/* An array of texts, in the arena; NULL: it is not there. */
static const struct str *read_names(struct json_reader *r, struct arena *a, const char *member, size_t *ret_n)
{
	const json_t *list = NULL;
	if (!json_reader_array(r, member, &list))
		return NULL;
	struct str *names = arena_array(a, json_array_size(list) + 1, sizeof(*names));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		if (!json_is_string(v)) {
			json_reader_fault(r, member, "expected an array of names");
			return NULL;
		}
		names[i] = arena_str(a, json_str(v));
	}
	*ret_n = json_array_size(list);
	return names;
}

static void read_scopes(struct json_reader *r, unsigned *bits)
{
	const json_t *list = NULL;
	json_reader_array(r, "scopes", &list);
	json_reader_require(r, "scopes");
	for (size_t i = 0; !r->failed && i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		if (!json_is_string(v) || !key_scope_bit(json_str(v), bits))
			json_reader_fault(r, NULL, "unknown scope");
	}
}

static void read_quotas(struct json_reader *r, struct arena *a, struct principal_quotas *q)
{
	const json_t *given = NULL;
	struct json_reader in;
	if (!json_reader_object(r, "quotas", &given))
		return;
	json_reader_init(&in, a, given, json_pointer_key(a, r->pointer, STR("quotas")), r->err);
	json_reader_int(&in, "connections_per_key", 1, QUOTA_MAX, &q->connections);
	json_reader_int(&in, "transactions_per_key", 1, QUOTA_MAX, &q->transactions);
	json_reader_int(&in, "sessions_per_key", 1, QUOTA_MAX, &q->sessions);
	json_reader_int(&in, "requests_per_key", 1, QUOTA_MAX, &q->requests);
	json_reader_int(&in, "idempotency_entries_per_key", 1, QUOTA_MAX, &q->idempotency_entries);
	json_reader_int(&in, "idempotency_bytes_per_key", 1, QUOTA_MAX, &q->idempotency_bytes);
	json_reader_int(&in, "rate_limit_per_second_per_key", 1, RATE_MAX, &q->rate_per_second);
	json_reader_int(&in, "rate_limit_burst_per_key", 1, RATE_MAX, &q->rate_burst);
	r->failed = !json_reader_done(&in);
}

static void read_settings(struct json_reader *r, struct arena *a, struct principal *p)
{
	const json_t *given = NULL;
	if (json_reader_object(r, "settings", &given) &&
	    !settings_read(a, given, json_pointer_key(a, r->pointer, STR("settings")), &p->settings, r->err))
		r->failed = true;
	const struct str *allowed = read_names(r, a, "settings_allowed", &p->n_settings_allowed);
	if (allowed == NULL)
		return;
	struct str *names = arena_array(a, p->n_settings_allowed + 1, sizeof(*names));
	for (size_t i = 0; i < p->n_settings_allowed; i++) {
		struct err fault;
		if (!setting_name(a, allowed[i], &names[i], &fault))
			json_reader_fault(r, "settings_allowed", "%s", fault.detail);
	}
	p->settings_allowed = names;
}

/* PostgreSQL cuts no name of a role, and "none" is no role. */
static void read_role(struct json_reader *r, struct arena *a, struct str *ret)
{
	if (!json_reader_str(r, "role", ret))
		return;
	if (ret->len == 0 || ret->len > LIMIT_ROLE_BYTES || memchr(ret->p, '\0', ret->len) != NULL)
		json_reader_fault(r, "role", "is the name of a role, of 1 to %d bytes", LIMIT_ROLE_BYTES);
	else if (str_eq_z(*ret, "none"))
		json_reader_fault(r, "role", "none is no role");
	else
		*ret = arena_str(a, *ret);
}

bool key_entry_read(struct arena *a, const json_t *entry, const char *pointer, struct key *k, struct err *err)
{
	struct principal *p = &k->principal;
	struct str expires = STR_NONE;
	struct json_reader r;
	k->expires_us = INT64_MAX;
	json_reader_init(&r, a, entry, pointer, err);
	json_reader_str(&r, "name", &p->name);
	json_reader_require(&r, "name");
	read_subject(&r, a, k);
	read_hashes(&r, k);
	read_scopes(&r, &p->scopes);
	p->connections = read_names(&r, a, "connections", &p->n_connections);
	p->sets = read_names(&r, a, "sets", &p->n_sets);
	if (json_reader_str(&r, "expires_at", &expires) && !read_instant(expires, &k->expires_us))
		json_reader_fault(&r, "expires_at", "is no instant as in 2026-01-02T03:04:05Z");
	read_settings(&r, a, p);
	read_role(&r, a, &p->role);
	read_quotas(&r, a, &p->quotas);
	if (!json_reader_done(&r))
		return false;
	p->name = arena_str(a, p->name);
	if (p->sets == NULL) { /* who is bound to connections changes no models of others */
		p->sets = p->connections;
		p->n_sets = p->n_connections;
	}
	return true;
}
