/*
 * API keys. A key is 32 random bytes as base64url; its entry holds sha256$<salt>$<digest> over salt and key text (the
 * keys carry 256 bits of randomness, so a slow hash would add nothing).
 */
#include "service/auth/keys.h"

#include <errno.h>
#include <strings.h>

#include "service/auth/key_entry.h"
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define SALT_BYTES 16

struct key_set {
	struct arena arena;
	struct key *keys;
	size_t n;
};

/* ---- the file ---- */

static bool name_fresh(const struct key_set *set, struct str name)
{
	for (size_t i = 0; i < set->n; i++)
		if (str_eq(set->keys[i].principal.name, name))
			return false;
	return name.len > 0;
}

static bool parse_entry(struct key_set *set, struct key *k, const json_t *entry, const char *pointer, struct err *err)
{
	if (!key_entry_read(&set->arena, entry, pointer, k, err))
		return false;
	if (!name_fresh(set, k->principal.name)) /* it is what sessions and transactions belong to */
		return err_set_at(err, ERR_INVALID_REQUEST, pointer, "\"name\" is empty or that of another key");
	for (size_t i = 0; i < set->n; i++)
		if (k->subject.p != NULL && str_eq(set->keys[i].subject, k->subject))
			return err_set_at(err, ERR_INVALID_REQUEST,
					  json_pointer_key(&set->arena, pointer, STR("subject")),
					  "is that of another key");
	return true;
}

static bool read_file(struct arena *a, struct str path, struct str *ret, struct err *err)
{
	FILE *f = fopen(arena_strz(a, path), "rbe");
	if (f == NULL)
		return err_set(err, ERR_INVALID_REQUEST, "cannot read the keys file: %s", strerror(errno));
	char *buf = arena_alloc(a, LIMIT_KEYS_FILE);
	size_t n = fread(buf, 1, LIMIT_KEYS_FILE, f);
	bool bad = ferror(f) != 0 || n == LIMIT_KEYS_FILE;
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
	if (!json_parse(scratch, text, ret, &fault))
		return err_set(err, ERR_INVALID_REQUEST, "%s is not a JSON array: %s", what, fault.detail);
	return json_is_array(*ret) || err_set(err, ERR_INVALID_REQUEST, "%s is not a JSON array", what);
}

/* Which entry of which source, and which member of it, as far as that is known. */
static bool blame(const char *what, size_t i, const char *pointer, const struct err *fault, struct err *err)
{
	const size_t n = strlen(pointer);
	const char *member = fault->has_pointer && strlen(fault->pointer) > n ? fault->pointer + n + 1 : NULL;
	return member != NULL
		       ? err_set(err, ERR_INVALID_REQUEST, "%s, entry %zu, \"%s\": %s", what, i, member, fault->detail)
		       : err_set(err, ERR_INVALID_REQUEST, "%s, entry %zu: %s", what, i, fault->detail);
}

/* what: how an error names the source; NULL: it is the catalog, and the error points to the entry instead. */
static bool add_list(struct key_set *set, struct arena *scratch, const json_t *list, const char *what, struct err *err)
{
	struct err fault;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *pointer = json_pointer_index(scratch, "", i);
		if (!parse_entry(set, &set->keys[set->n], json_array_get(list, i), pointer, &fault))
			return what != NULL
				       ? blame(what, i, pointer, &fault, err)
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
	k->expires_us = INT64_MAX;
	k->n_secrets = 1;
	k->secrets[0].salt_len = SALT_BYTES;
	num_random(k->secrets[0].salt, SALT_BYTES);
	key_digest(&k->secrets[0], admin_key, k->secrets[0].digest);
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

/* NULL: nobody has that name, or not any more. */
static const struct principal *named(const struct key_set *k, struct str name)
{
	for (size_t i = 0; k != NULL && i < k->n; i++)
		if (str_eq(k->keys[i].principal.name, name) && clock_real_us() < k->keys[i].expires_us)
			return &k->keys[i].principal;
	return NULL;
}

void keys_narrowed(const struct key_set *before, const struct key_set *after, void (*fn)(void *arg, struct str name),
		   void *arg)
{
	for (size_t i = 0; before != NULL && i < before->n; i++) {
		const struct principal *was = &before->keys[i].principal, *now = named(after, was->name);
		if (now == NULL || !principal_covers(now, was))
			fn(arg, was->name);
	}
}

static const struct str *copy_names(struct arena *a, const struct str *names, size_t n)
{
	if (names == NULL)
		return NULL;
	struct str *copy = arena_array(a, n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_str(a, names[i]);
	return copy;
}

static struct setting_list copy_settings(struct arena *a, const struct setting_list *s)
{
	struct setting_list copy = {.n = s->n};
	if (s->n > 0)
		copy.list = arena_array(a, LIMIT_SETTINGS, sizeof(*copy.list));
	for (size_t i = 0; i < s->n; i++)
		copy.list[i] = (struct named_setting){arena_str(a, s->list[i].name), arena_str(a, s->list[i].value)};
	return copy;
}

/* Key sets are swapped while requests run. */
static const struct principal *copy_of(const struct principal *p, struct arena *a)
{
	struct principal *copy = arena_array(a, 1, sizeof(*copy));
	*copy = *p;
	copy->name = arena_str(a, p->name);
	copy->connections = copy_names(a, p->connections, p->n_connections);
	copy->sets = copy_names(a, p->sets, p->n_sets);
	copy->settings = copy_settings(a, &p->settings);
	copy->settings_allowed = copy_names(a, p->settings_allowed, p->n_settings_allowed);
	copy->role = p->role.p != NULL ? arena_str(a, p->role) : STR_NONE;
	return copy;
}

/* All are compared, whichever it is. */
static const struct key *key_of(const struct key_set *k, struct str text)
{
	const struct key *found = NULL;
	for (size_t i = 0; i < k->n; i++) {
		for (size_t j = 0; j < k->keys[i].n_secrets; j++) {
			const struct key_secret *s = &k->keys[i].secrets[j];
			uint8_t digest[32];
			key_digest(s, text, digest);
			if (num_equal_ct(str_n((const char *)digest, 32), str_n((const char *)s->digest, 32)))
				found = &k->keys[i];
		}
	}
	return found;
}

static bool given_out(const struct key *found, struct arena *a, const struct principal **ret, struct err *err)
{
	if (clock_real_us() >= found->expires_us)
		return err_set(err, ERR_UNAUTHENTICATED, "the API key has expired");
	*ret = copy_of(&found->principal, a);
	return true;
}

bool keys_have_subjects(const struct key_set *k)
{
	bool any = false;
	for (size_t i = 0; !any && i < k->n; i++)
		any = k->keys[i].subject.p != NULL;
	return any;
}

bool keys_of_subjects(const struct key_set *k, const struct str *subjects, size_t n, struct arena *a,
		      const struct principal **ret, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < k->n; j++)
			if (k->keys[j].subject.p != NULL && str_eq(k->keys[j].subject, subjects[i]))
				return given_out(&k->keys[j], a, ret, err);
	return err_set(err, ERR_UNAUTHENTICATED,
		       n > 0 ? "no key has a subject of the client certificate; send Authorization: Bearer <key>"
			     : "send Authorization: Bearer <key>, or a client certificate");
}

bool keys_check(const struct key_set *k, struct str authorization, struct arena *a, const struct principal **ret,
		struct err *err)
{
	struct str rest = authorization, scheme;
	if (!str_split(&rest, ' ', &scheme) || !str_ieq_z(scheme, "Bearer") || str_trim(rest).len == 0)
		return err_set(err, ERR_UNAUTHENTICATED, "send Authorization: Bearer <key>");
	const struct key *found = key_of(k, str_trim(rest));
	if (found == NULL)
		return err_set(err, ERR_UNAUTHENTICATED, "the API key is not known");
	return given_out(found, a, ret, err);
}

/* ---- ferrod key new ---- */

static bool put_list(struct strbuf *b, const char *member, struct str words, bool scopes, struct err *err)
{
	struct str word;
	unsigned bits = 0;
	size_t n = 0;
	strbuf_printf(b, ",\"%s\":[", member);
	while (str_split(&words, ',', &word)) {
		if (word.len == 0 || (scopes && !key_scope_bit(word, &bits)))
			return err_set(err, ERR_INVALID_REQUEST, "--%s takes %s separated by commas", member,
				       scopes ? "read, write, schema, sql, admin" : "names");
		strbuf_puts(b, n++ > 0 ? "," : "");
		strbuf_json_string(b, word);
	}
	strbuf_putc(b, ']');
	return true;
}

bool keys_new(struct arena *a, const struct key_new *k, struct str *ret_key, struct str *ret_entry, struct err *err)
{
	uint8_t raw[32], digest[32];
	struct key_secret secret = {.salt_len = SALT_BYTES};
	char key[64], salt_hex[2 * SALT_BYTES + 1], digest_hex[65];
	struct strbuf b;
	if (k->name.len == 0 || k->scopes.len == 0)
		return err_set(err, ERR_INVALID_REQUEST, "key new needs --name and --scopes");
	num_random(raw, sizeof(raw));
	num_random(secret.salt, SALT_BYTES);
	num_base64url(raw, sizeof(raw), key);
	key_digest(&secret, str_z(key), digest);
	num_hex(secret.salt, SALT_BYTES, salt_hex);
	num_hex(digest, sizeof(digest), digest_hex);
	strbuf_init(&b, 0);
	strbuf_puts(&b, "{\"name\":");
	strbuf_json_string(&b, k->name);
	strbuf_printf(&b, ",\"hash\":\"sha256$%s$%s\"", salt_hex, digest_hex);
	bool ok = put_list(&b, "scopes", k->scopes, true, err) &&
		  (k->connections.p == NULL || put_list(&b, "connections", k->connections, false, err)) &&
		  (k->sets.p == NULL || put_list(&b, "sets", k->sets, false, err));
	if (k->subject.p != NULL) {
		strbuf_puts(&b, ",\"subject\":");
		strbuf_json_string(&b, k->subject);
	}
	if (k->role.p != NULL) {
		strbuf_puts(&b, ",\"role\":");
		strbuf_json_string(&b, k->role);
	}
	strbuf_putc(&b, '}');
	if (ok) {
		*ret_key = arena_str(a, str_z(key));
		*ret_entry = arena_str(a, strbuf_str(&b));
	}
	strbuf_done(&b);
	return ok;
}
