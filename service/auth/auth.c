/* Scopes of the calling principal. Without configured keys there is no principal and everything is allowed. */
#include "service/auth/auth.h"

#include "service/base/json.h"
#include "service/base/strbuf.h"

#include "service/base/banned.h"

static const char *const scope_words[] = {
	[SCOPE_NONE] = "none",     [SCOPE_ANY] = "any", [SCOPE_READ] = "read",  [SCOPE_WRITE] = "write",
	[SCOPE_SCHEMA] = "schema", [SCOPE_SQL] = "sql", [SCOPE_ADMIN] = "admin"};

const char *scope_name(enum scope s)
{
	return scope_words[s];
}

bool scope_of(struct str word, enum scope *ret)
{
	for (unsigned s = SCOPE_READ; s <= SCOPE_ADMIN; s++) {
		if (str_eq_z(word, scope_words[s])) {
			*ret = (enum scope)s;
			return true;
		}
	}
	return false;
}

struct str principal_name(const struct request *req)
{
	return req->principal != NULL ? req->principal->name : STR("");
}

bool principal_has(const struct request *req, enum scope s)
{
	const struct principal *p = req->principal;
	if (p == NULL || s == SCOPE_NONE || s == SCOPE_ANY)
		return true;
	return (p->scopes & ((1u << s) | (1u << SCOPE_ADMIN))) != 0;
}

bool principal_bound(const struct request *req)
{
	return req->principal != NULL && req->principal->connections != NULL;
}

bool principal_sees(const struct request *req, struct str connection)
{
	const struct principal *p = req->principal;
	if (!principal_bound(req))
		return true;
	for (size_t i = 0; i < p->n_connections; i++)
		if (str_eq(p->connections[i], connection))
			return true;
	return false;
}

bool principal_has_set(const struct request *req, struct str set)
{
	const struct principal *p = req->principal;
	if (p == NULL || p->sets == NULL)
		return true;
	for (size_t i = 0; i < p->n_sets; i++)
		if (str_eq(p->sets[i], set))
			return true;
	return false;
}

bool principal_may_set(const struct request *req, const struct named_setting *s, struct err *err)
{
	const struct principal *p = req->principal;
	if (p == NULL)
		return true;
	const struct named_setting *fixed = setting_find(&p->settings, s->name);
	if (fixed != NULL)
		return str_eq(fixed->value, s->value) ||
		       err_set(err, ERR_FORBIDDEN, "the setting \"%.*s\" is fixed for this key", STR_FMT(s->name));
	bool allowed = p->settings_allowed == NULL && p->settings.n == 0;
	for (size_t i = 0; i < p->n_settings_allowed; i++)
		allowed = allowed || str_eq(p->settings_allowed[i], s->name);
	return allowed || err_set(err, ERR_FORBIDDEN, "this key may not give the setting \"%.*s\"", STR_FMT(s->name));
}

struct principal_quotas principal_quotas(const struct request *req)
{
	return req->principal != NULL ? req->principal->quotas : (struct principal_quotas){0};
}

bool principal_connection(const struct request *req, struct str connection, struct err *err)
{
	/* the same for one that is there and one that is not; its name may be one that the caller never said */
	return principal_sees(req, connection) || err_set(err, ERR_FORBIDDEN, "this key may not use that connection");
}

/* ---- what is kept of rights ---- */

static bool lists(const struct str *names, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(names[i], name))
			return true;
	return false;
}

/* Whether a list has all of the other; NULL lists everything. */
static bool has_all(const struct str *now, size_t n_now, const struct str *was, size_t n_was)
{
	if (now == NULL || was == NULL)
		return now == NULL;
	for (size_t i = 0; i < n_was; i++)
		if (!lists(now, n_now, was[i]))
			return false;
	return true;
}

static bool same_settings(const struct setting_list *a, const struct setting_list *b)
{
	bool same = a->n == b->n;
	for (size_t i = 0; same && i < a->n; i++)
		same = str_eq(a->list[i].name, b->list[i].name) && str_eq(a->list[i].value, b->list[i].value);
	return same;
}

/* What it may give beside those that are fixed, which are the same: without a list, anything where none is. */
static bool may_set_all(const struct principal *now, const struct principal *was)
{
	if (now->settings_allowed == NULL && now->settings.n == 0)
		return true;
	if (was->settings_allowed == NULL)
		return was->settings.n > 0;
	for (size_t i = 0; i < was->n_settings_allowed; i++)
		if (!lists(now->settings_allowed, now->n_settings_allowed, was->settings_allowed[i]))
			return false;
	return true;
}

static bool same_role(struct str a, struct str b)
{
	return a.p == NULL || b.p == NULL ? a.p == b.p : str_eq(a, b);
}

bool principal_covers(const struct principal *now, const struct principal *was)
{
	if ((now->scopes & 1u << SCOPE_ADMIN) == 0 && (was->scopes & ~now->scopes) != 0)
		return false;
	return has_all(now->connections, now->n_connections, was->connections, was->n_connections) &&
	       has_all(now->sets, now->n_sets, was->sets, was->n_sets) &&
	       same_settings(&now->settings, &was->settings) && may_set_all(now, was) &&
	       same_role(now->role, was->role);
}

static void put_names(struct strbuf *b, const char *member, const struct str *names, size_t n)
{
	if (names == NULL)
		return;
	strbuf_puts(b, member);
	for (size_t i = 0; i < n; i++) {
		strbuf_putc(b, i == 0 ? '[' : ',');
		strbuf_json_string(b, names[i]);
	}
	strbuf_puts(b, n == 0 ? "[]" : "]");
}

struct str principal_rights(const struct request *req, struct arena *a)
{
	const struct principal *p = req->principal;
	struct strbuf b;
	if (p == NULL)
		return STR("{\"scopes\":0}");
	strbuf_init(&b, 0);
	strbuf_puts(&b, "{\"scopes\":");
	strbuf_int(&b, (int64_t)p->scopes);
	put_names(&b, ",\"connections\":", p->connections, p->n_connections);
	put_names(&b, ",\"sets\":", p->sets, p->n_sets);
	put_names(&b, ",\"settings_allowed\":", p->settings_allowed, p->n_settings_allowed);
	if (p->settings.n > 0) {
		strbuf_puts(&b, ",\"settings\":");
		strbuf_put(&b, settings_text(a, &p->settings));
	}
	if (p->role.p != NULL) {
		strbuf_puts(&b, ",\"role\":");
		strbuf_json_string(&b, p->role);
	}
	strbuf_putc(&b, '}');
	const struct str text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return text;
}

static const struct str *names_of(struct arena *a, const json_t *list, size_t *ret_n)
{
	*ret_n = json_array_size(list);
	if (list == NULL)
		return NULL;
	struct str *names = arena_array(a, *ret_n + 1, sizeof(*names));
	for (size_t i = 0; i < *ret_n; i++)
		names[i] = json_is_string(json_array_get(list, i)) ? json_str(json_array_get(list, i)) : STR("");
	return names;
}

bool principal_still_has(struct request *req, const json_t *rights)
{
	struct arena *a = &req->arena;
	struct principal was = {.scopes = (unsigned)json_integer_value(json_object_get(rights, "scopes"))};
	if (req->principal == NULL)
		return true;
	was.connections = names_of(a, json_object_get(rights, "connections"), &was.n_connections);
	was.sets = names_of(a, json_object_get(rights, "sets"), &was.n_sets);
	was.settings_allowed = names_of(a, json_object_get(rights, "settings_allowed"), &was.n_settings_allowed);
	const json_t *settings = json_object_get(rights, "settings");
	const json_t *role = json_object_get(rights, "role");
	struct err none;
	if (json_is_string(role))
		was.role = json_str(role);
	if (settings != NULL && !settings_read(a, settings, "", &was.settings, &none))
		return false;
	return principal_covers(req->principal, &was);
}
