/* See json_number.h. */
#include "service/base/json_number.h"

#include <math.h>
#include <string.h>

#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

#define STEP_BYTES 65536  /* of a text that is looked through at a time */
#define STEP_NODES 10000  /* of a tree */
#define EXACT_DIGITS 18   /* any integer of so many fits into 64 bits */
#define FOR_EVER SIZE_MAX /* jansson's count of references for what it neither counts nor frees */

/* The first two members are jansson's own. */
struct number {
	json_t json;
	double value;
	struct str token;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_part(char c)
{
	return is_digit(c) || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-';
}

size_t json_number_skip(struct str text, size_t at, bool *ret_carried)
{
	const size_t from = at;
	bool plain = true;
	int64_t exact;

	for (at++; at < text.len && is_part(text.p[at]); at++)
		plain = plain && is_digit(text.p[at]);
	*ret_carried = !plain || (text.p[from] == '-' && at - from == 2 && text.p[from + 1] == '0') ||
		       (at - from > EXACT_DIGITS && !num_parse_int(str_n(text.p + from, at - from), &exact));
	return at;
}

static size_t digits(struct str s, size_t at)
{
	size_t n = 0;

	while (at + n < s.len && is_digit(s.p[at + n]))
		n++;
	return n;
}

/* RFC 8259 §6. What is none stays in the text for jansson to refuse. */
static bool is_number(struct str s)
{
	size_t at = s.p[0] == '-', n = digits(s, at);

	if (n == 0 || (n > 1 && s.p[at] == '0'))
		return false;
	at += n;
	if (at < s.len && s.p[at] == '.') {
		n = digits(s, at + 1);
		if (n == 0)
			return false;
		at += n + 1;
	}
	if (at < s.len && (s.p[at] == 'e' || s.p[at] == 'E')) {
		at++;
		at += at < s.len && (s.p[at] == '+' || s.p[at] == '-');
		n = digits(s, at);
		if (n == 0)
			return false;
		at += n;
	}
	return at == s.len;
}

static json_t *number_new(struct arena *a, struct str token)
{
	struct number *node = arena_alloc(a, sizeof(*node) + token.len);
	char *text = (char *)(node + 1);

	memcpy(text, token.p, token.len);
	node->json.type = JSON_REAL;
	node->json.refcount = FOR_EVER;
	node->token = str_n(text, token.len);
	if (!num_parse_double(token, &node->value))
		node->value = token.p[0] == '-' ? -(double)INFINITY : (double)INFINITY;
	return &node->json;
}

json_t *json_number_node(struct arena *a, struct str token)
{
	return is_number(token) ? number_new(a, token) : NULL;
}

void json_number_extract(struct arena *a, struct str text, size_t n, bool steps, char **ret,
			 struct json_carried_list *ret_list)
{
	char *copy = mem_strndup(text.p, text.len);
	size_t place = 0, step = STEP_BYTES, from;
	bool carried;

	*ret_list = (struct json_carried_list){.list = arena_array(a, n, sizeof(*ret_list->list))};
	for (size_t i = 0; i < text.len; i++) {
		if (steps && i >= step) {
			step = i + STEP_BYTES;
			wait_may_step_aside();
		}
		if (text.p[i] == '"') {
			for (i++; i < text.len && text.p[i] != '"'; i++)
				i += text.p[i] == '\\';
			continue;
		}
		if (!is_digit(text.p[i]) && text.p[i] != '-')
			continue;
		from = i;
		i = json_number_skip(text, from, &carried);
		if (carried && ret_list->n < n && is_number(str_n(text.p + from, i - from))) {
			ret_list->list[ret_list->n++] =
				(struct json_carried){place, number_new(a, str_n(text.p + from, i - from))};
			memset(copy + from, ' ', i - from);
			copy[from] = '0';
		}
		place++;
		i--;
	}
	*ret = copy;
}

/* Where the walk through a tree is. */
struct walk {
	const struct json_carried_list *list;
	size_t place, next; /* of numbers; in the list */
	size_t n_nodes;
	bool steps;
};

/* The node for the number that the walk has come to, or NULL. */
static json_t *carried_here(struct walk *w)
{
	const struct json_carried *c = w->next < w->list->n ? &w->list->list[w->next] : NULL;

	if (w->steps && ++w->n_nodes % STEP_NODES == 0)
		wait_may_step_aside();
	if (c == NULL || c->place != w->place++)
		return NULL;
	w->next++;
	return c->node;
}

/* Recursion is as deep as the tree, which the parser bounds. Members come in the text's order. */
static void walk(struct walk *w, json_t *v)
{
	for (size_t i = 0; json_is_array(v) && i < json_array_size(v) && w->next < w->list->n; i++) {
		json_t *item = json_array_get(v, i);
		json_t *node = json_is_number(item) ? carried_here(w) : NULL;

		if (node != NULL)
			(void)json_array_set_new(v, i, node);
		else if (!json_is_number(item))
			walk(w, item);
	}
	if (!json_is_object(v))
		return;
	for (void *it = json_object_iter(v); it != NULL && w->next < w->list->n; it = json_object_iter_next(v, it)) {
		json_t *item = json_object_iter_value(it);
		json_t *node = json_is_number(item) ? carried_here(w) : NULL;

		if (node != NULL)
			(void)json_object_iter_set_new(v, it, node);
		else if (!json_is_number(item))
			walk(w, item);
	}
}

json_t *json_number_place(json_t *v, const struct json_carried_list *list, bool steps)
{
	struct walk w = {.list = list, .steps = steps};
	json_t *node = json_is_number(v) ? carried_here(&w) : NULL;

	if (node != NULL) {
		json_decref(v);
		return node;
	}
	walk(&w, v);
	return v;
}

struct str json_number_token(const json_t *v)
{
	if (!json_is_real(v) || v->refcount != FOR_EVER)
		return STR_NONE;
	return ((const struct number *)(const void *)v)->token;
}

/* A number as 0.ddd with a power of ten: where its digits begin and end in the text, among which a point may stand. */
struct decimal {
	struct str digits; /* from the first that is not 0 to the last; none: zero */
	int64_t power;
	bool negative;
};

#define POWER_MAX (INT64_MAX / 4) /* no number's digits are as many */

static int64_t power_of(struct str s)
{
	int64_t n;

	if (s.len > 0 && s.p[0] == '+')
		s = str_n(s.p + 1, s.len - 1);
	if (s.len == 0)
		return 0;
	if (num_parse_int(s, &n) && n > -POWER_MAX && n < POWER_MAX)
		return n;
	return s.p[0] == '-' ? -POWER_MAX : POWER_MAX;
}

static struct decimal decimal_of(struct str s)
{
	struct decimal d = {.negative = s.p[0] == '-'};
	size_t at = d.negative, whole = 0, first = 0, last = 0, n = 0;

	for (; at < s.len && s.p[at] != 'e' && s.p[at] != 'E'; at++) {
		if (s.p[at] == '.') {
			whole = n + 1; /* one more than there are, so that 0 is none */
			continue;
		}
		n++;
		if (s.p[at] == '0')
			continue;
		if (last == 0) {
			first = at;
			d.power = (int64_t)n;
		}
		last = at + 1;
	}
	if (last == 0)
		return (struct decimal){0};
	d.power = (whole > 0 ? (int64_t)whole - 1 : (int64_t)n) - d.power +
		  (at < s.len ? power_of(str_n(s.p + at + 1, s.len - at - 1)) : 0);
	d.digits = str_n(s.p + first, last - first);
	return d;
}

/* The digits alone; a point does not count. */
static bool same_digits(struct str a, struct str b)
{
	size_t i = 0, k = 0;

	for (;;) {
		i += i < a.len && a.p[i] == '.';
		k += k < b.len && b.p[k] == '.';
		if (i == a.len || k == b.len)
			return i == a.len && k == b.len;
		if (a.p[i++] != b.p[k++])
			return false;
	}
}

static struct str text_of(const json_t *v, char buf[NUM_DOUBLE_BYTES])
{
	const struct str token = json_number_token(v);

	if (token.p != NULL)
		return token;
	if (json_is_integer(v))
		(void)num_format_int(json_integer_value(v), buf);
	else
		(void)num_format_double(json_real_value(v), buf);
	return str_z(buf);
}

bool json_number_equal(const json_t *a, const json_t *b)
{
	char of_a[NUM_DOUBLE_BYTES], of_b[NUM_DOUBLE_BYTES];
	struct decimal x, y;

	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) == json_integer_value(b);
	x = decimal_of(text_of(a, of_a));
	y = decimal_of(text_of(b, of_b));
	return x.negative == y.negative && x.power == y.power && same_digits(x.digits, y.digits);
}

static json_t *dup_array(struct arena *a, const json_t *v)
{
	json_t *copy = json_array();

	for (size_t i = 0; i < json_array_size(v); i++)
		(void)json_array_append_new(copy, json_dup(a, json_array_get(v, i)));
	return copy;
}

json_t *json_dup(struct arena *a, const json_t *v)
{
	const struct str token = json_number_token(v);
	json_t *copy, *member;
	const char *key;
	size_t len;

	if (token.p != NULL)
		return number_new(a, token);
	if (json_is_array(v))
		return dup_array(a, v);
	if (!json_is_object(v))
		return json_deep_copy(v);
	copy = json_object();
	json_object_keylen_foreach((json_t *)(uintptr_t)v, key, len, member)
	{
		(void)json_object_setn_new(copy, key, len, json_dup(a, member));
	}
	return copy;
}

bool json_number_fits_jansson(void)
{
	json_t *real = json_real(1.25);
	struct number mine = {.json = {.type = JSON_REAL, .refcount = FOR_EVER}, .value = 1.25};
	double value = 0;
	bool fits;

	memcpy(&value, (const char *)real + offsetof(struct number, value), sizeof(value));
	fits = value == mine.value && json_equal(real, &mine.json) && json_incref(&mine.json) == &mine.json &&
	       mine.json.refcount == FOR_EVER;
	json_decref(&mine.json);
	fits = fits && mine.json.refcount == FOR_EVER;
	json_decref(real);
	return fits;
}
