/*
 * API keys. A key is 32 random bytes as base64url; its entry holds sha256$<salt>$<digest> over salt and key text (the
 * keys carry 256 bits of randomness, so a slow hash would add nothing).
 */
#include "service/auth/keys.h"

#include <errno.h>
#include <strings.h>

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define SALT_BYTES 16
#define FILE_BYTES_MAX (4 * 1024 * 1024)

struct key {
	struct principal principal;
	uint8_t salt[64];
	size_t salt_len;
	uint8_t digest[32];
};

struct key_set {
	struct arena arena;
	struct key *keys;
	size_t n;
};

static bool scope_bit(struct str word, unsigned *bits)
{
	enum scope s;
	if (!scope_of(word, &s))
		return false;
	*bits |= 1u << s;
	return true;
}

static void digest_of(const uint8_t *salt, size_t salt_len, struct str text, uint8_t ret[32])
{
	struct strbuf b;
	strbuf_init(&b, 0);
	strbuf_put(&b, str_n((const char *)salt, salt_len));
	strbuf_put(&b, text);
	num_sha256(strbuf_str(&b), ret);
	if (b.p != NULL)
		explicit_bzero(b.p, b.len);
	strbuf_done(&b);
}

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

/* ---- the file ---- */

static bool parse_hash(struct key *k, struct str hash)
{
	struct str part;
	size_t n;
	if (!str_split(&hash, '$', &part) || !str_eq_z(part, "sha256"))
		return false;
	if (!str_split(&hash, '$', &part) || !from_hex(part, k->salt, sizeof(k->salt), &k->salt_len))
		return false;
	return hash.p != NULL && from_hex(hash, k->digest, sizeof(k->digest), &n) && n == sizeof(k->digest);
}

static bool name_fresh(const struct key_set *set, struct str name)
{
	for (size_t i = 0; i < set->n; i++)
		if (str_eq(set->keys[i].principal.name, name))
			return false;
	return name.len > 0;
}

static bool parse_entry(struct key_set *set, struct key *k, const json_t *entry, const char *pointer, struct err *err)
{
	struct json_reader r;
	struct str hash = STR_NONE;
	const json_t *scopes = NULL, *connections = NULL, *v;
	size_t i;
	json_reader_init(&r, &set->arena, entry, pointer, err);
	json_reader_str(&r, "name", &k->principal.name);
	json_reader_require(&r, "name");
	json_reader_str(&r, "hash", &hash);
	json_reader_require(&r, "hash");
	json_reader_array(&r, "scopes", &scopes);
	json_reader_require(&r, "scopes");
	json_reader_array(&r, "connections", &connections);
	if (!json_reader_done(&r))
		return false;
	if (!parse_hash(k, hash))
		return err_set_at(err, ERR_INVALID_REQUEST, pointer, "\"hash\" is not sha256$<salt hex>$<digest hex>");
	json_array_foreach(
		scopes, i,
		v) if (!json_is_string(v) ||
		       !scope_bit(json_str(v), &k->principal.scopes)) return err_set_at(err, ERR_INVALID_REQUEST,
											pointer, "unknown scope");
	k->principal.name = arena_str(&set->arena, k->principal.name);
	if (!name_fresh(set, k->principal.name)) /* it is what sessions and transactions belong to */
		return err_set_at(err, ERR_INVALID_REQUEST, pointer, "\"name\" is empty or that of another key");
	if (connections == NULL)
		return true;
	k->principal.n_connections = json_array_size(connections);
	struct str *names = arena_array(&set->arena, k->principal.n_connections + 1, sizeof(*names));
	json_array_foreach(connections, i, v)
	{
		if (!json_is_string(v))
			return err_set_at(err, ERR_INVALID_REQUEST, pointer, "\"connections\" lists names");
		names[i] = arena_str(&set->arena, json_str(v));
	}
	k->principal.connections = names;
	return true;
}

static bool read_file(struct arena *a, struct str path, struct str *ret, struct err *err)
{
	FILE *f = fopen(arena_strz(a, path), "rbe");
	if (f == NULL)
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the keys file: %s", strerror(errno));
	char *buf = arena_alloc(a, FILE_BYTES_MAX);
	size_t n = fread(buf, 1, FILE_BYTES_MAX, f);
	bool bad = ferror(f) != 0 || n == FILE_BYTES_MAX;
	fclose(f);
	if (bad)
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the keys file");
	*ret = str_n(buf, n);
	return true;
}

/* what: how an error names the source. */
static bool parse_list(struct arena *scratch, struct str text, const char *what, json_t **ret, struct err *err)
{
	struct err fault;
	if (json_parse(scratch, text, ret, &fault) && json_is_array(*ret))
		return true;
	return err_set(err, ERR_INVALID_REQUEST, "%s is not a JSON array", what);
}

/* what: how an error names the source; NULL: it is the catalog, and the error points to the entry instead. */
static bool add_list(struct key_set *set, struct arena *scratch, const json_t *list, const char *what, struct err *err)
{
	struct err fault;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *pointer = json_pointer_index(scratch, "", i);
		if (!parse_entry(set, &set->keys[set->n], json_array_get(list, i), pointer, &fault))
			return what != NULL
				       ? err_set(err, ERR_INVALID_REQUEST, "%s, entry %zu: %s", what, i, fault.detail)
				       : err_set_at(err, ERR_INVALID_REQUEST,
						    fault.has_pointer ? fault.pointer : pointer, "%s", fault.detail);
		set->n++;
	}
	return true;
}

static bool add_admin(struct key_set *set, struct str admin_key, struct err *err)
{
	struct key *k = &set->keys[set->n];
	if (admin_key.len == 0)
		return true;
	k->principal.name = STR("admin");
	if (!name_fresh(set, k->principal.name))
		return err_set(err, ERR_INVALID_REQUEST, "a key is named \"admin\", and so is \"admin_key\"");
	set->n++;
	k->principal.scopes = 1u << SCOPE_ADMIN;
	k->salt_len = SALT_BYTES;
	num_random(k->salt, k->salt_len);
	digest_of(k->salt, k->salt_len, admin_key, k->digest);
	return true;
}

static bool fill(struct key_set *set, struct arena *scratch, const struct key_sources *from, struct err *err)
{
	struct str text;
	json_t *file = NULL, *list = NULL;
	if (from->file.len > 0 &&
	    (!read_file(scratch, from->file, &text, err) || !parse_list(scratch, text, "the keys file", &file, err)))
		return false;
	if (from->list.len > 0 && !parse_list(scratch, from->list, "\"keys\"", &list, err))
		return false;
	const size_t n = json_array_size(file) + json_array_size(list) + json_array_size(from->catalog);
	set->keys = arena_array(&set->arena, n + 1, sizeof(*set->keys));
	return add_list(set, scratch, file, "keys file", err) && add_list(set, scratch, list, "\"keys\"", err) &&
	       add_list(set, scratch, from->catalog, NULL, err) && add_admin(set, from->admin_key, err);
}

bool keys_load(const struct key_sources *from, struct key_set **ret, struct err *err)
{
	struct arena scratch;
	*ret = NULL;
	if (from->file.len == 0 && from->list.len == 0 && from->admin_key.len == 0 &&
	    json_array_size(from->catalog) == 0)
		return true;
	struct key_set *set = mem_alloc(sizeof(*set));
	arena_init(&set->arena);
	arena_init(&scratch);
	bool ok = fill(set, &scratch, from, err);
	arena_done(&scratch);
	if (ok)
		*ret = set;
	else
		keys_destroy(set);
	return ok;
}

void keys_destroy(struct key_set *k)
{
	if (k == NULL)
		return;
	arena_done(&k->arena);
	mem_free(k);
}

static const struct principal *named(const struct key_set *k, struct str name)
{
	for (size_t i = 0; k != NULL && i < k->n; i++)
		if (str_eq(k->keys[i].principal.name, name))
			return &k->keys[i].principal;
	return NULL;
}

static bool lists(const struct principal *p, struct str connection)
{
	for (size_t i = 0; i < p->n_connections; i++)
		if (str_eq(p->connections[i], connection))
			return true;
	return false;
}

/* Whether `now` has all that `was` had. */
static bool covers(const struct principal *now, const struct principal *was)
{
	if ((now->scopes & 1u << SCOPE_ADMIN) == 0 && (was->scopes & ~now->scopes) != 0)
		return false;
	if (now->connections == NULL)
		return true;
	if (was->connections == NULL)
		return false;
	for (size_t i = 0; i < was->n_connections; i++)
		if (!lists(now, was->connections[i]))
			return false;
	return true;
}

void keys_narrowed(const struct key_set *before, const struct key_set *after, void (*fn)(void *arg, struct str name),
		   void *arg)
{
	for (size_t i = 0; before != NULL && i < before->n; i++) {
		const struct principal *was = &before->keys[i].principal, *now = named(after, was->name);
		if (now == NULL || !covers(now, was))
			fn(arg, was->name);
	}
}

/* Sets are swapped while requests run. */
static const struct principal *copy_of(const struct principal *p, struct arena *a)
{
	struct principal *copy = arena_array(a, 1, sizeof(*copy));
	*copy = (struct principal){
		.name = arena_str(a, p->name), .scopes = p->scopes, .n_connections = p->n_connections};
	if (p->connections == NULL)
		return copy;
	struct str *names = arena_array(a, p->n_connections + 1, sizeof(*names));
	for (size_t i = 0; i < p->n_connections; i++)
		names[i] = arena_str(a, p->connections[i]);
	copy->connections = names;
	return copy;
}

bool keys_check(const struct key_set *k, struct str authorization, struct arena *a, const struct principal **ret,
		struct err *err)
{
	struct str rest = authorization, scheme;
	const struct principal *found = NULL;
	if (!str_split(&rest, ' ', &scheme) || !str_ieq_z(scheme, "Bearer") || str_trim(rest).len == 0)
		return err_set(err, ERR_UNAUTHENTICATED, "send Authorization: Bearer <key>");
	rest = str_trim(rest);
	for (size_t i = 0; i < k->n; i++) {
		uint8_t digest[32];
		digest_of(k->keys[i].salt, k->keys[i].salt_len, rest, digest);
		if (num_equal_ct(str_n((const char *)digest, 32), str_n((const char *)k->keys[i].digest, 32)))
			found = &k->keys[i].principal;
	}
	if (found == NULL)
		return err_set(err, ERR_UNAUTHENTICATED, "the API key is not known");
	*ret = copy_of(found, a);
	return true;
}

/* ---- ferrod key new ---- */

static bool put_list(struct strbuf *b, const char *member, struct str words, bool scopes, struct err *err)
{
	struct str word;
	unsigned bits = 0;
	size_t n = 0;
	strbuf_printf(b, ",\"%s\":[", member);
	while (str_split(&words, ',', &word)) {
		if (word.len == 0 || (scopes && !scope_bit(word, &bits)))
			return err_set(err, ERR_INVALID_REQUEST, "--%s takes %s separated by commas", member,
				       scopes ? "read, write, schema, sql, admin" : "connection names");
		strbuf_puts(b, n++ > 0 ? "," : "");
		strbuf_json_string(b, word);
	}
	strbuf_putc(b, ']');
	return true;
}

bool keys_new(struct arena *a, const struct key_new *k, struct str *ret_key, struct str *ret_entry, struct err *err)
{
	uint8_t raw[32], salt[SALT_BYTES], digest[32];
	char key[64], salt_hex[2 * SALT_BYTES + 1], digest_hex[65];
	struct strbuf b;
	if (k->name.len == 0 || k->scopes.len == 0)
		return err_set(err, ERR_INVALID_REQUEST, "key new needs --name and --scopes");
	num_random(raw, sizeof(raw));
	num_random(salt, sizeof(salt));
	num_base64url(raw, sizeof(raw), key);
	digest_of(salt, sizeof(salt), str_z(key), digest);
	num_hex(salt, sizeof(salt), salt_hex);
	num_hex(digest, sizeof(digest), digest_hex);
	strbuf_init(&b, 0);
	strbuf_puts(&b, "{\"name\":");
	strbuf_json_string(&b, k->name);
	strbuf_printf(&b, ",\"hash\":\"sha256$%s$%s\"", salt_hex, digest_hex);
	bool ok = put_list(&b, "scopes", k->scopes, true, err) &&
		  (k->connections.p == NULL || put_list(&b, "connections", k->connections, false, err));
	strbuf_putc(&b, '}');
	if (ok) {
		*ret_key = arena_str(a, str_z(key));
		*ret_entry = arena_str(a, strbuf_str(&b));
	}
	strbuf_done(&b);
	return ok;
}
