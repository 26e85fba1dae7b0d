/* Reads the members of one JSON object into typed variables; declared in json.h. */
#include "service/base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

static void PRINTF_LIKE(3, 0) fault_v(struct json_reader *r, const char *key, const char *fmt, va_list ap)
{
	char detail[sizeof(r->err->detail)];
	const char *pointer = r->pointer;

	if (r->failed)
		return;
	r->failed = true;
	if (vsnprintf(detail, sizeof(detail), fmt, ap) < 0)
		detail[0] = '\0';
	if (key != NULL)
		pointer = json_pointer_key(r->arena, pointer, str_z(key));
	err_set_at(r->err, ERR_INVALID_REQUEST, pointer, "%s", detail);
}

void json_reader_fault(struct json_reader *r, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fault_v(r, key, fmt, ap);
	va_end(ap);
}

void json_reader_init(struct json_reader *r, struct arena *a, const json_t *obj, const char *pointer, struct err *err)
{
	*r = (struct json_reader){.obj = obj, .pointer = pointer != NULL ? pointer : "", .arena = a, .err = err};
	if (obj != NULL && !json_is_object(obj))
		json_reader_fault(r, NULL, "must be an object, not %s", json_type_name(obj));
}

/* Notes that the member is known. Its value, or NULL when there is none or reading has failed. */
static const json_t *member(struct json_reader *r, const char *key, bool any)
{
	if (r->failed)
		return NULL;
	assert(r->n_known < ARRAY_LEN(r->known));
	r->any |= (uint32_t)any << r->n_known;
	r->known[r->n_known++] = key;
	return r->obj != NULL ? json_object_get(r->obj, key) : NULL;
}

/* The same, with null taken as absent. */
static const json_t *member_not_null(struct json_reader *r, const char *key)
{
	const json_t *v = member(r, key, false);

	return v != NULL && !json_is_null(v) ? v : NULL;
}

static bool wrong_type(struct json_reader *r, const char *key, const char *wanted, const json_t *v)
{
	json_reader_fault(r, key, "must be %s, not %s", wanted, json_type_name(v));
	return false;
}

bool json_reader_str(struct json_reader *r, const char *key, struct str *ret)
{
	const json_t *v = member_not_null(r, key);

	if (v == NULL)
		return false;
	if (!json_is_string(v))
		return wrong_type(r, key, "a string", v);
	*ret = json_str(v);
	return true;
}

bool json_reader_bool(struct json_reader *r, const char *key, bool *ret)
{
	const json_t *v = member_not_null(r, key);

	if (v == NULL)
		return false;
	if (!json_is_boolean(v))
		return wrong_type(r, key, "a boolean", v);
	*ret = json_is_true(v);
	return true;
}

bool json_reader_int(struct json_reader *r, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	const json_t *v = member_not_null(r, key);
	int64_t n;

	if (v == NULL)
		return false;
	if (!json_is_integer(v))
		return wrong_type(r, key, "an integer", v);
	n = (int64_t)json_integer_value(v);
	if (n < min || n > max) {
		if (max == INT64_MAX)
			json_reader_fault(r, key, "must be at least %" PRId64, min);
		else
			json_reader_fault(r, key, "must be from %" PRId64 " to %" PRId64, min, max);
		return false;
	}
	*ret = n;
	return true;
}

bool json_reader_number(struct json_reader *r, const char *key, double min, double max, double *ret)
{
	const json_t *v = member_not_null(r, key);
	double n;

	if (v == NULL)
		return false;
	if (!json_is_number(v))
		return wrong_type(r, key, "a number", v);
	n = json_number_value(v);
	if (n < min || n > max) {
		json_reader_fault(r, key, "must be from %g to %g", min, max);
		return false;
	}
	*ret = n;
	return true;
}

bool json_reader_object(struct json_reader *r, const char *key, const json_t **ret)
{
	const json_t *v = member_not_null(r, key);

	if (v == NULL)
		return false;
	if (!json_is_object(v))
		return wrong_type(r, key, "an object", v);
	*ret = v;
	return true;
}

bool json_reader_array(struct json_reader *r, const char *key, const json_t **ret)
{
	const json_t *v = member_not_null(r, key);

	if (v == NULL)
		return false;
	if (!json_is_array(v))
		return wrong_type(r, key, "an array", v);
	*ret = v;
	return true;
}

bool json_reader_any(struct json_reader *r, const char *key, const json_t **ret)
{
	const json_t *v = member(r, key, true);

	if (v == NULL)
		return false;
	*ret = v;
	return true;
}

/* The index of key among the members read so far; n_known when no call has named it. */
static size_t known_index(const struct json_reader *r, const char *key)
{
	size_t i = 0;

	while (i < r->n_known && strcmp(r->known[i], key) != 0)
		i++;
	return i;
}

void json_reader_require(struct json_reader *r, const char *key)
{
	const json_t *v;
	size_t i;

	if (r->failed)
		return;
	i = known_index(r, key);
	v = r->obj != NULL ? json_object_get(r->obj, key) : NULL;
	if (v == NULL)
		json_reader_fault(r, key, "missing member");
	else if (json_is_null(v) && (i == r->n_known || (r->any >> i & 1) == 0))
		json_reader_fault(r, key, "must not be null");
}

bool json_reader_done(struct json_reader *r)
{
	json_t *obj = (json_t *)(uintptr_t)r->obj; /* the iterators leave it as it is */

	if (r->failed || obj == NULL)
		return !r->failed;
	for (void *it = json_object_iter(obj); it != NULL; it = json_object_iter_next(obj, it)) {
		const char *key = json_object_iter_key(it);

		if (known_index(r, key) == r->n_known) {
			json_reader_fault(r, key, "unknown member");
			return false;
		}
	}
	return true;
}
