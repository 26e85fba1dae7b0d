/* See setting.h. */
#include "service/auth/setting.h"

#include <string.h>

#include "service/base/limits.h"
#include "service/base/strbuf.h"

#include "service/base/banned.h"

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || c == '_';
}

/* As PostgreSQL has names of its own settings since 14: identifiers with dots between them. */
static bool is_dotted(struct str name)
{
	struct str word;
	size_t n = 0;
	for (; str_split(&name, '.', &word); n++) {
		if (word.len == 0 || !is_letter(word.p[0]))
			return false;
		for (size_t i = 1; i < word.len; i++)
			if (!is_letter(word.p[i]) && !(word.p[i] >= '0' && word.p[i] <= '9') && word.p[i] != '$')
				return false;
		if (name.p == NULL)
			return n > 0;
	}
	return false;
}

bool setting_name(struct arena *a, struct str given, struct str *ret, struct err *err)
{
	if (given.len == 0 || given.len > LIMIT_SETTING_NAME_BYTES)
		return err_set(err, ERR_INVALID_REQUEST, "a setting's name has 1 to %d characters",
			       LIMIT_SETTING_NAME_BYTES);
	char *name = arena_alloc(a, given.len + 1);
	for (size_t i = 0; i < given.len; i++)
		name[i] = given.p[i] >= 'A' && given.p[i] <= 'Z' ? (char)(given.p[i] | 0x20) : given.p[i];
	name[given.len] = '\0';
	*ret = str_n(name, given.len);
	if (!is_dotted(*ret))
		return err_set(err, ERR_INVALID_REQUEST,
			       "\"%.*s\" is no setting that may be given: their names are words of letters, digits and "
			       "_ with dots between them, such as app.tenant_id",
			       STR_FMT(*ret));
	if (str_starts(*ret, STR("request.")))
		return err_set(err, ERR_INVALID_REQUEST, "\"%.*s\": request.* is the server's own to set",
			       STR_FMT(*ret));
	return true;
}

const struct named_setting *setting_find(const struct setting_list *s, struct str name)
{
	for (size_t i = 0; i < s->n; i++)
		if (str_eq(s->list[i].name, name))
			return &s->list[i];
	return NULL;
}

bool setting_put(struct arena *a, struct setting_list *s, struct str name, struct str value, struct err *err)
{
	size_t at = 0;
	if (value.len > LIMIT_SETTING_VALUE_BYTES || !str_is_utf8(value) ||
	    (value.len > 0 && memchr(value.p, '\0', value.len) != NULL))
		return err_set(err, ERR_INVALID_REQUEST,
			       "the value of \"%.*s\" is no text of at most %d bytes without U+0000", STR_FMT(name),
			       LIMIT_SETTING_VALUE_BYTES);
	if (s->list == NULL)
		s->list = arena_array(a, LIMIT_SETTINGS, sizeof(*s->list));
	while (at < s->n && str_cmp(s->list[at].name, name) < 0)
		at++;
	if (at == s->n || !str_eq(s->list[at].name, name)) {
		if (s->n == LIMIT_SETTINGS)
			return err_set(err, ERR_INVALID_REQUEST, "more than %d settings", LIMIT_SETTINGS);
		memmove(&s->list[at + 1], &s->list[at], (s->n - at) * sizeof(*s->list));
		s->n++;
	}
	s->list[at] = (struct named_setting){name, arena_str(a, value)};
	return true;
}

/* One that has not been given with the others yet. */
static bool put_new(struct arena *a, struct setting_list *s, struct setting_list *given, struct str name,
		    struct str value, struct err *err)
{
	struct str folded;
	if (!setting_name(a, name, &folded, err))
		return false;
	if (setting_find(given, folded) != NULL)
		return err_set(err, ERR_INVALID_REQUEST, "\"%.*s\" is given twice", STR_FMT(folded));
	return setting_put(a, given, folded, value, err) && setting_put(a, s, folded, value, err);
}

bool settings_read(struct arena *a, const json_t *obj, const char *pointer, struct setting_list *s, struct err *err)
{
	struct setting_list given = {0};
	struct err fault;
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)obj, key, value)
	{
		const char *at = json_pointer_key(a, pointer, str_z(key));
		if (!json_is_string(value))
			return err_set_at(err, ERR_INVALID_REQUEST, at, "expected a string, not %s",
					  json_type_name(value));
		if (!put_new(a, s, &given, str_z(key), json_str(value), &fault))
			return err_set_at(err, ERR_INVALID_REQUEST, at, "%s", fault.detail);
	}
	return true;
}

/* The value at the start of *rest: a quoted string, or a run. */
static bool take_value(struct arena *a, struct str *rest, struct str *ret)
{
	size_t i = 0, n = 0;
	if (rest->len == 0 || rest->p[0] != '"') {
		while (i < rest->len && strchr(",; \t\"", rest->p[i]) == NULL)
			i++;
		*ret = str_n(rest->p, i);
		*rest = str_n(rest->p + i, rest->len - i);
		return i > 0;
	}
	char *text = arena_alloc(a, rest->len);
	for (i = 1; i < rest->len && rest->p[i] != '"'; i++) {
		if (rest->p[i] == '\\' && ++i == rest->len)
			return false;
		text[n++] = rest->p[i];
	}
	if (i >= rest->len)
		return false;
	*ret = str_n(text, n);
	*rest = str_n(rest->p + i + 1, rest->len - i - 1);
	return true;
}

static bool bad_header(struct err *err)
{
	return err_set(err, ERR_INVALID_REQUEST,
		       "Ferro-Setting is name=value, several with commas between them; a value with commas, semicolons "
		       "or blanks stands in double quotes");
}

bool settings_header(struct arena *a, struct str header, struct setting_list *s, struct err *err)
{
	struct setting_list given = {0};
	struct str rest = str_trim(header), value;
	for (;;) {
		const char *equals = rest.len > 0 ? memchr(rest.p, '=', rest.len) : NULL;
		if (equals == NULL)
			return bad_header(err);
		const struct str name = str_n(rest.p, (size_t)(equals - rest.p));
		rest = str_n(equals + 1, rest.len - name.len - 1);
		if (!take_value(a, &rest, &value))
			return bad_header(err);
		if (!put_new(a, s, &given, name, value, err))
			return false;
		rest = str_trim(rest);
		if (rest.len == 0)
			return true;
		if (rest.p[0] != ',')
			return bad_header(err);
		rest = str_trim(str_n(rest.p + 1, rest.len - 1));
	}
}

struct str settings_text(struct arena *a, const struct setting_list *s)
{
	struct strbuf b;
	if (s->n == 0)
		return STR_NONE;
	strbuf_init(&b, 0);
	for (size_t i = 0; i < s->n; i++) {
		strbuf_putc(&b, i == 0 ? '{' : ',');
		strbuf_json_string(&b, s->list[i].name);
		strbuf_putc(&b, ':');
		strbuf_json_string(&b, s->list[i].value);
	}
	strbuf_putc(&b, '}');
	const struct str text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return text;
}

bool settings_of_text(struct arena *a, struct str text, struct setting_list *ret, struct err *err)
{
	const char *key;
	json_t *doc, *value;
	struct err fault;
	*ret = (struct setting_list){0};
	if (text.len == 0)
		return true;
	if (!json_parse(a, text, &doc, &fault) || !json_is_object(doc))
		return err_set(err, ERR_INTERNAL_ERROR, "the settings that are kept of the session cannot be read");
	json_object_foreach(doc, key, value)
	{
		if (!json_is_string(value) || !setting_put(a, ret, str_z(key), json_str(value), &fault))
			return err_set(err, ERR_INTERNAL_ERROR,
				       "the settings that are kept of the session cannot be read");
	}
	return true;
}
