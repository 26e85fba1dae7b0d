/* See schema_reader.h. */
#include "store/schema/schema_reader.h"

#include <string.h>

#include "service/base/wait.h"

#include "service/base/banned.h"

void parse_fault(struct parse *p, const char *key, const char *what)
{
	const char *at = json_pointer_key(p->b->scratch, p->pointer, str_z(key));

	schema_fault(p->b, at, "\"%s\" %s", key, what);
	p->d->broken = true;
}

/* The member, null counting as absent. */
const json_t *parse_member(struct parse *p, const char *key)
{
	const json_t *v = json_object_get(p->obj, key);

	if (v != NULL && p->n_asked < PARSE_MEMBERS)
		p->asked[p->n_asked++] = key;
	else if (v == NULL && p->n_missed < PARSE_MEMBERS)
		p->missed[p->n_missed++] = key;

	return v != NULL && !json_is_null(v) ? v : NULL;
}

bool parse_bool(struct parse *p, const char *key, bool *ret)
{
	const json_t *v = parse_member(p, key);

	if (v == NULL)
		return false;
	if (!json_is_boolean(v)) {
		parse_fault(p, key, "must be true or false");
		return false;
	}
	*ret = json_is_true(v);
	return true;
}

bool parse_str(struct parse *p, const char *key, struct str *ret)
{
	const json_t *v = parse_member(p, key);

	if (v == NULL)
		return false;
	if (!json_is_string(v)) {
		parse_fault(p, key, "must be a string");
		return false;
	}
	if (memchr(json_string_value(v), '\0', json_string_length(v)) != NULL) {
		parse_fault(p, key, "must not contain a NUL character");
		return false;
	}
	*ret = arena_str(p->b->arena, json_str(v));
	return true;
}

/* A name: not empty, at most `max` bytes (0: any). */
bool parse_name(struct parse *p, const char *key, bool required, size_t max, struct str *ret)
{
	if (!parse_str(p, key, ret)) {
		if (required && parse_member(p, key) == NULL)
			parse_fault(p, key, "is missing");
		return false;
	}
	if (ret->len == 0) {
		parse_fault(p, key, "must not be empty");
		return false;
	}
	if (max > 0 && ret->len > max) {
		schema_fault(p->b, json_pointer_key(p->b->scratch, p->pointer, str_z(key)),
			     "\"%s\" is %zu bytes long; at most %zu are possible", key, ret->len, max);
		p->d->broken = true;
		return false;
	}
	return true;
}

const json_t *parse_array(struct parse *p, const char *key, size_t max)
{
	const json_t *v = parse_member(p, key);

	if (v == NULL)
		return NULL;
	if (!json_is_array(v)) {
		parse_fault(p, key, "must be an array");
		return NULL;
	}
	if (json_array_size(v) > max) {
		parse_fault(p, key, "has too many elements");
		return NULL;
	}
	return v;
}

static bool among(const char *const *list, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], key) == 0)
			return true;
	return false;
}

#define NEAR_BYTES 40 /* names of members are shorter */
#define NEAR_EDITS 2

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* A name without its case and what only parts its words. */
static size_t folded(const char *name, char *out)
{
	size_t n = 0;

	for (; *name != '\0'; name++) {
		if (*name == '_' || *name == '-')
			continue;
		if (n == NEAR_BYTES)
			return NEAR_BYTES + 1;
		out[n++] = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
	}
	return n;
}

/* How many letters are other, missing, too many, or have changed places with the next. */
static size_t edits(const char *one, const char *other)
{
	char a[NEAR_BYTES], b[NEAR_BYTES];
	size_t d[NEAR_BYTES + 1][NEAR_BYTES + 1];
	const size_t n = folded(one, a), m = folded(other, b);

	if (n > NEAR_BYTES || m > NEAR_BYTES)
		return NEAR_BYTES;
	for (size_t i = 0; i <= n; i++)
		d[i][0] = i;
	for (size_t k = 0; k <= m; k++)
		d[0][k] = k;
	for (size_t i = 1; i <= n; i++)
		for (size_t k = 1; k <= m; k++) {
			d[i][k] = least(least(d[i - 1][k], d[i][k - 1]) + 1, d[i - 1][k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				d[i][k] = least(d[i][k], d[i - 2][k - 2] + 1);
		}
	return d[n][m];
}

/* The member that was meant; NULL: none is near. A short name has little to go by. */
static const char *nearest(const char *const *known, size_t n, const char *key)
{
	const size_t most = least(NEAR_EDITS, strlen(key) / 3);
	const char *found = NULL;
	size_t best = most + 1;

	for (size_t i = 0; i < n; i++) {
		const size_t far = edits(known[i], key);
		if (far < best) {
			best = far;
			found = known[i];
		}
	}
	return found;
}

/* One that is told; of those beyond what is told the number is enough. */
static void unknown_member(struct schema_build *b, const char *pointer, const char *key, const char *const *known,
			   size_t n_known)
{
	const bool told = !b->kept && b->n_warnings < LIMIT_SCHEMA_WARNINGS;
	const char *const at = told ? json_pointer_key(b->scratch, pointer, str_z(key)) : "";
	const char *const meant = told ? nearest(known, n_known, key) : NULL;

	if (meant != NULL)
		schema_warn(b, "unknown_member", at,
			    "\"%.100s\" is no member that is known here: nothing heeds it; is \"%s\" meant?", key,
			    meant);
	else
		schema_warn(b, "unknown_member", at, "\"%.100s\" is no member that is known here: nothing heeds it",
			    key);
}

void schema_unknown_members(struct schema_build *b, const json_t *o, const char *pointer, const char *const *known)
{
	size_t n = 0;
	const char *key;
	json_t *v;

	while (known[n] != NULL)
		n++;
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		wait_may_step_aside();
		if (!among(known, n, key))
			unknown_member(b, pointer, key, known, n);
	}
}

/* Once all that can be there was asked for: the rest is a warning, or a fault in what is an addition of ours. */
void parse_leave(struct parse *p, bool ours)
{
	const char *key;
	json_t *v;

	if (p->d->kept || json_object_size(p->obj) == p->n_asked)
		return;
	json_object_foreach((json_t *)(uintptr_t)p->obj, key, v)
	{
		wait_may_step_aside();
		if (among(p->asked, p->n_asked, key))
			continue;
		if (ours)
			parse_fault(p, key, "is no member that is known here");
		else
			unknown_member(p->b, p->pointer, key, p->missed, p->n_missed);
	}
}

/* An array of strings into the arena; a fault when it is missing, empty or holds something else. */
const struct str *parse_strings(struct parse *p, const char *key, size_t *ret_n)
{
	const json_t *v = parse_array(p, key, LIMIT_COLUMNS);
	struct str *out;

	*ret_n = 0;
	if (v == NULL || json_array_size(v) == 0) {
		if (v != NULL || parse_member(p, key) == NULL)
			parse_fault(p, key, v != NULL ? "must not be empty" : "is missing");
		return NULL;
	}
	out = arena_array(p->b->arena, json_array_size(v), sizeof(*out));
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *item = json_array_get(v, i);

		if (!json_is_string(item) || memchr(json_string_value(item), '\0', json_string_length(item)) != NULL) {
			const char *at = json_pointer_key(p->b->scratch, p->pointer, str_z(key));

			schema_fault(p->b, json_pointer_index(p->b->scratch, at, i), "must be a string without NUL");
			p->d->broken = true;
			return NULL;
		}
		out[i] = arena_str(p->b->arena, json_str(item));
	}
	*ret_n = json_array_size(v);
	return out;
}

/* Goes to element i of an array member; false (and a fault) when it is no object. */
bool parse_enter(struct parse *p, const struct parse *model, const json_t *array, const char *key, size_t i)
{
	const char *at = json_pointer_key(model->b->scratch, model->pointer, str_z(key));

	*p = *model;
	p->obj = json_array_get(array, i);
	p->pointer = json_pointer_index(model->b->scratch, at, i);
	p->n_asked = p->n_missed = 0;
	if (json_is_object(p->obj))
		return true;
	schema_fault(p->b, p->pointer, "must be an object, not %s", json_type_name(p->obj));
	p->d->broken = true;
	return false;
}
