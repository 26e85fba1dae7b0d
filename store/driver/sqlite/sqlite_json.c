/*
 * What SQLite's own functions cannot say about documents: equality whatever the spelling, and containment, keys, merge
 * and removal as PostgreSQL's jsonb has them. What is no document (or is nested deeper than a request may be) is equal
 * to its own text only, and contains nothing: the result is NULL.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include <string.h>

#include "service/base/json.h"
#include "service/base/json_number.h"

#include "service/base/banned.h"

/* Comparisons of elements between two looks at the rest of the world. */
#define PAUSE_COMPARISONS 4096

struct call {
	sqlite3_context *ctx;
	struct arena arena;
	const json_t *a, *b;
	size_t comparisons;
	bool stopped; /* by the deadline, or by who asked */
};

/* One more comparison; false: no more. */
static bool go_on(struct call *c)
{
	if (++c->comparisons % PAUSE_COMPARISONS == 0 && !c->stopped)
		c->stopped = !sqlite_wait_pause(sqlite3_user_data(c->ctx));
	return !c->stopped;
}

static struct str text_of(sqlite3_value *v)
{
	const char *p = (const char *)sqlite3_value_text(v);

	return str_n(p, p != NULL ? (size_t)sqlite3_value_bytes(v) : 0);
}

static void drop(void *doc)
{
	json_decref(doc);
}

/* A number is told to its last digit, which its text is not. */
static const json_t *parse(struct arena *a, sqlite3_value *v)
{
	struct str text;
	struct err ignored;
	json_t *doc;

	if (sqlite3_value_type(v) == SQLITE_FLOAT) {
		doc = json_real(sqlite3_value_double(v)); /* NULL: it is infinite */
		if (doc != NULL)
			arena_on_done(a, drop, doc);
		return doc;
	}
	text = text_of(v);
	return text.p != NULL && json_parse(a, text, &doc, &ignored) ? doc : NULL;
}

/* Both arguments; false: one is NULL, or no document, and the result is NULL. */
static bool begin(struct call *c, sqlite3_context *ctx, sqlite3_value **args)
{
	*c = (struct call){.ctx = ctx};
	arena_init(&c->arena);
	if (sqlite3_value_type(args[0]) == SQLITE_NULL || sqlite3_value_type(args[1]) == SQLITE_NULL)
		return false;
	c->a = parse(&c->arena, args[0]);
	c->b = parse(&c->arena, args[1]);
	return c->a != NULL && c->b != NULL;
}

static bool equal(struct call *c, const json_t *a, const json_t *b);

static bool equal_objects(struct call *c, const json_t *a, const json_t *b)
{
	const char *key;
	json_t *v;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach((json_t *)(uintptr_t)a, key, v)
	{
		const json_t *other = json_object_get(b, key);

		if (other == NULL || !equal(c, v, other))
			return false;
	}
	return true;
}

/* Recurses as deep as the documents, which parsing bounds. */
static bool equal(struct call *c, const json_t *a, const json_t *b)
{
	if (!go_on(c))
		return false;
	if (json_is_number(a) && json_is_number(b))
		return json_number_equal(a, b);
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_object(a))
		return equal_objects(c, a, b);
	if (!json_is_array(a))
		return json_equal(a, b) != 0;
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!equal(c, json_array_get(a, i), json_array_get(b, i)))
			return false;
	return true;
}

static bool contains(struct call *c, const json_t *a, const json_t *b, bool top);

static bool array_contains(struct call *c, const json_t *a, const json_t *element)
{
	for (size_t i = 0; i < json_array_size(a) && !c->stopped; i++) {
		const json_t *v = json_array_get(a, i);
		const bool container = json_is_array(v) || json_is_object(v);

		if (container ? contains(c, v, element, false) : equal(c, v, element))
			return true;
	}
	return false;
}

/* Every member of b is in a, every element of b somewhere in a; an array contains a scalar at the top. Recurses as deep
 * as the documents. */
static bool contains(struct call *c, const json_t *a, const json_t *b, bool top)
{
	const char *key;
	json_t *v;

	if (!go_on(c))
		return false;
	if (json_is_array(a) && !json_is_array(b))
		return top && !json_is_object(b) && array_contains(c, a, b);
	if (json_is_array(a)) {
		for (size_t i = 0; i < json_array_size(b); i++)
			if (!array_contains(c, a, json_array_get(b, i)))
				return false;
		return true;
	}
	if (!json_is_object(a) || !json_is_object(b))
		return equal(c, a, b);
	json_object_foreach((json_t *)(uintptr_t)b, key, v)
	{
		const json_t *have = json_object_get(a, key);

		if (have == NULL || !contains(c, have, v, false))
			return false;
	}
	return true;
}

static void answer(struct call *c, bool yes)
{
	if (c->stopped)
		sqlite3_result_error_code(c->ctx, SQLITE_INTERRUPT);
	else
		sqlite3_result_int(c->ctx, yes);
}

static bool is_number(sqlite3_value *v)
{
	return sqlite3_value_type(v) == SQLITE_FLOAT || sqlite3_value_type(v) == SQLITE_INTEGER;
}

/* One of them at least is no document: an infinite number is equal to itself, and to no text. */
static bool equal_values(sqlite3_value *a, sqlite3_value *b)
{
	if (is_number(a) || is_number(b))
		return is_number(a) && is_number(b) && sqlite3_value_double(a) >= sqlite3_value_double(b) &&
		       sqlite3_value_double(a) <= sqlite3_value_double(b);
	return str_eq(text_of(a), text_of(b));
}

static void json_equal_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct call c;

	(void)n;
	if (begin(&c, ctx, args))
		answer(&c, equal(&c, c.a, c.b));
	else if (sqlite3_value_type(args[0]) != SQLITE_NULL && sqlite3_value_type(args[1]) != SQLITE_NULL)
		answer(&c, equal_values(args[0], args[1]));
	arena_done(&c.arena);
}

/* The same of what may be NULL, which is equal to itself. */
static void json_same_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const bool nothing = sqlite3_value_type(args[0]) == SQLITE_NULL;

	if (nothing || sqlite3_value_type(args[1]) == SQLITE_NULL)
		sqlite3_result_int(ctx, nothing && sqlite3_value_type(args[1]) == SQLITE_NULL);
	else
		json_equal_function(ctx, n, args);
}

static void contains_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct call c;

	(void)n;
	if (begin(&c, ctx, args))
		answer(&c, contains(&c, c.a, c.b, true));
	arena_done(&c.arena);
}

static void contained_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct call c;

	(void)n;
	if (begin(&c, ctx, args))
		answer(&c, contains(&c, c.b, c.a, true));
	arena_done(&c.arena);
}

/* A member's name, or a text among an array's elements. */
static bool has_key(struct call *c, const json_t *key)
{
	if (json_is_object(c->a))
		return json_object_getn(c->a, json_string_value(key), json_string_length(key)) != NULL;
	if (!json_is_array(c->a))
		return json_is_string(c->a) && equal(c, c->a, key);
	for (size_t i = 0; i < json_array_size(c->a) && !c->stopped; i++)
		if (equal(c, json_array_get(c->a, i), key))
			return true;
	return false;
}

static void has_keys(sqlite3_context *ctx, sqlite3_value **args, bool all)
{
	bool yes = all;
	struct call c;

	if (begin(&c, ctx, args)) {
		for (size_t i = 0; i < json_array_size(c.b) && yes == all; i++)
			yes = has_key(&c, json_array_get(c.b, i));
		answer(&c, yes);
	}
	arena_done(&c.arena);
}

static void has_any_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	(void)n;
	has_keys(ctx, args, false);
}

static void has_all_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	(void)n;
	has_keys(ctx, args, true);
}

/* ---- new documents ---- */

static void answer_json(sqlite3_context *ctx, struct strbuf *b)
{
	if (strbuf_failed(b))
		sqlite3_result_error_nomem(ctx);
	else
		sqlite3_result_text64(ctx, b->p, b->len, SQLITE_TRANSIENT, SQLITE_UTF8);
	strbuf_done(b);
}

static void put_members(struct strbuf *b, const json_t *obj, const json_t *without)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)obj, key, v)
	{
		if (without != NULL && json_object_get(without, key) != NULL)
			continue;
		strbuf_puts(b, b->len > 1 ? "," : "");
		strbuf_json_string(b, str_z(key));
		strbuf_putc(b, ':');
		json_write(b, v, false);
	}
}

static void put_elements(struct strbuf *b, const json_t *v)
{
	for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
		strbuf_puts(b, b->len > 1 ? "," : "");
		json_write(b, json_array_get(v, i), false);
	}
	if (json_is_array(v))
		return;
	strbuf_puts(b, b->len > 1 ? "," : "");
	json_write(b, v, false);
}

/* jsonb's ||: members of the second win; what is no object is put together as arrays. */
static void merge_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct strbuf b;
	struct call c;

	(void)n;
	if (begin(&c, ctx, args)) {
		const bool objects = json_is_object(c.a) && json_is_object(c.b);

		strbuf_init(&b, 0);
		strbuf_putc(&b, objects ? '{' : '[');
		if (objects) {
			put_members(&b, c.a, c.b);
			put_members(&b, c.b, NULL);
		} else {
			put_elements(&b, c.a);
			put_elements(&b, c.b);
		}
		strbuf_putc(&b, objects ? '}' : ']');
		answer_json(ctx, &b);
	}
	arena_done(&c.arena);
}

/* The array without the elements that equal the second. */
static void without_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct strbuf b;
	struct call c;

	(void)n;
	if (begin(&c, ctx, args) && json_is_array(c.a)) {
		strbuf_init(&b, 0);
		strbuf_putc(&b, '[');
		for (size_t i = 0; i < json_array_size(c.a); i++) {
			const json_t *v = json_array_get(c.a, i);

			if (equal(&c, v, c.b))
				continue;
			strbuf_puts(&b, b.len > 1 ? "," : "");
			json_write(&b, v, false);
		}
		strbuf_putc(&b, ']');
		answer_json(ctx, &b);
		if (c.stopped)
			sqlite3_result_error_code(ctx, SQLITE_INTERRUPT);
	} else if (c.a != NULL && c.b != NULL) {
		sqlite3_result_error(ctx, "cannot remove an element from what is no array", -1);
	}
	arena_done(&c.arena);
}

/* ---- numbers ---- */

/* SQLite goes over to doubles where whole numbers overflow. */
static void integer_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	(void)n;
	if (sqlite3_value_type(args[0]) == SQLITE_FLOAT)
		sqlite3_result_error(ctx, "integer overflow", -1);
	else
		sqlite3_result_value(ctx, args[0]);
}

static void nonzero_function(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const double d = sqlite3_value_double(args[0]);

	(void)n;
	if (sqlite3_value_type(args[0]) != SQLITE_NULL && d >= 0 && d <= 0)
		sqlite3_result_error(ctx, "division by zero", -1);
	else
		sqlite3_result_value(ctx, args[0]);
}

int sqlite_json_register(struct sqlite_conn *c)
{
	static const struct sqlite_function functions[] = {
		{"ferro_json_same", 2, json_same_function, SQLITE_DETERMINISTIC},
		{"ferro_json_equal", 2, json_equal_function, SQLITE_DETERMINISTIC},
		{"ferro_json_contains", 2, contains_function, SQLITE_DETERMINISTIC},
		{"ferro_json_contained", 2, contained_function, SQLITE_DETERMINISTIC},
		{"ferro_json_has_any", 2, has_any_function, SQLITE_DETERMINISTIC},
		{"ferro_json_has_all", 2, has_all_function, SQLITE_DETERMINISTIC},
		{"ferro_json_merge", 2, merge_function, SQLITE_DETERMINISTIC},
		{"ferro_json_without", 2, without_function, SQLITE_DETERMINISTIC},
		{"ferro_integer", 1, integer_function, SQLITE_DETERMINISTIC},
		{"ferro_nonzero", 1, nonzero_function, SQLITE_DETERMINISTIC},
	};

	return sqlite_functions_add(c, functions, ARRAY_LEN(functions));
}
