/*
 * What reading JSON costs: jansson alone, which makes doubles of numbers and so loses digits; the same with digits
 * carried beside it (json_parse, what documents take); the reader without a tree (json_flat, what plain records take);
 * and one pass that only judges, which no reader of values could be quicker than. Prints nanoseconds a document.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "service/base/json.h"
#include "service/base/json_flat.h"
#include "store/codec/json_text.h"

static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static bool by_jansson(struct str text)
{
	json_t *v = json_loadb(text.p, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	const bool ok = v != NULL;

	json_decref(v);
	return ok;
}

static bool by_parse(struct str text)
{
	struct arena a;
	struct err err;
	json_t *v;
	bool ok;

	arena_init(&a);
	ok = json_parse(&a, text, &v, &err);
	arena_done(&a);
	return ok;
}

static bool by_flat(struct str text)
{
	struct arena a;
	struct json_flat f;
	struct json_scalar v;
	struct str name;
	char *copy;
	enum json_flat_result r;

	arena_init(&a);
	copy = arena_alloc(&a, text.len + 1);
	memcpy(copy, text.p, text.len);
	json_flat_init(&f, copy, text.len);
	do
		r = json_flat_next(&f, &name, &v);
	while (r == JSON_FLAT_MEMBER);
	arena_done(&a);
	return r == JSON_FLAT_END;
}

static bool by_judge(struct str text)
{
	return json_text_valid(text);
}

static void measure(const char *what, struct str text, const char *name, bool (*read)(struct str text))
{
	double best = 0;

	if (!read(text)) {
		printf("%-28s %-24s declined\n", what, name);
		return;
	}
	for (int round = 0; round < 9; round++) {
		const size_t n = 1 + 20000000 / (text.len * 40 + 1000);
		const double from = now_ns();
		double each;

		for (size_t i = 0; i < n; i++)
			(void)read(text);
		each = (now_ns() - from) / (double)n;
		best = round == 0 || each < best ? each : best;
	}
	printf("%-28s %-24s %12.0f ns %8.1f MB/s\n", what, name, best, (double)text.len * 1e3 / best);
}

static void all(const char *what, struct str text)
{
	measure(what, text, "jansson, doubles", by_jansson);
	measure(what, text, "json_parse, digits kept", by_parse);
	measure(what, text, "json_flat, no tree", by_flat);
	measure(what, text, "judged only", by_judge);
}

int main(void)
{
	struct strbuf b;

	all("record, 9 members",
	    STR("{\"id\":12345,\"name\":\"Ada Lovelace\",\"email\":\"ada@example.org\",\"age\":36,"
		"\"active\":true,\"score\":98.5,\"team\":null,\"at\":\"2026-01-02T03:04:05Z\",\"note\":\"x\"}"));
	all("record, long numbers",
	    STR("{\"price\":0.1234567890123456789012345,\"wei\":123456789012345678901234567890.5,"
		"\"n\":9007199254740993,\"rate\":1.25,\"k\":\"v\"}"));
	strbuf_init(&b, 0);
	strbuf_putc(&b, '[');
	for (int i = 0; i < 20000; i++)
		strbuf_printf(&b, "%s{\"id\":%d,\"name\":\"row %d\",\"x\":%d.25,\"ok\":true}", i > 0 ? "," : "", i, i,
			      i);
	strbuf_putc(&b, ']');
	all("1 MB of small objects", strbuf_str(&b));
	strbuf_reset(&b);
	strbuf_putc(&b, '[');
	for (int i = 0; i < 40000; i++)
		strbuf_printf(&b, "%s%d.%d5123456789012345", i > 0 ? "," : "", i, i);
	strbuf_putc(&b, ']');
	all("1 MB of long decimals", strbuf_str(&b));
	strbuf_done(&b);
	return 0;
}
