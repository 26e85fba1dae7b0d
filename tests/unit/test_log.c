/* Log lines: what is written to stderr, in both formats, and how over-long lines end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "service/base/arena.h"
#include "service/base/json.h"
#include "service/base/log.h"

static int pipe_fds[2];
static int stderr_kept;
static char line[4096];

static void capture(void)
{
	assert_int_equal(pipe(pipe_fds), 0);
	stderr_kept = dup(STDERR_FILENO);
	assert_true(stderr_kept >= 0);
	assert_true(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
	close(pipe_fds[1]);
}

/* What was written since capture(), NUL-terminated; every line is far below a pipe's buffer. */
static size_t captured(void)
{
	ssize_t n;
	size_t len = 0;

	dup2(stderr_kept, STDERR_FILENO);
	close(stderr_kept);
	while ((n = read(pipe_fds[0], line + len, sizeof(line) - 1 - len)) > 0)
		len += (size_t)n;
	close(pipe_fds[0]);
	line[len] = '\0';
	return len;
}

static json_t *parse_line(struct arena *a, size_t len)
{
	struct err err;
	json_t *v = NULL;

	assert_true(len > 0);
	assert_int_equal(line[len - 1], '\n');
	assert_null(memchr(line, '\n', len - 1));
	assert_true(json_parse(a, str_n(line, len), &v, &err));
	return v;
}

static const char *text(json_t *v, const char *key)
{
	const char *z = json_string_value(json_object_get(v, key));

	assert_non_null(z);
	return z;
}

static void a_json_line(void **state UNUSED)
{
	struct log_line l;
	struct arena a;
	json_t *v;

	arena_init(&a);
	log_configure(LOG_INFO, LOG_JSON);
	capture();
	log_begin(&l, LOG_WARN, "request");
	log_strz(&l, "path", "/v1/\"x\"\\\n\x01\x7F caf\xC3\xA9 \x80");
	log_int(&l, "status", -404);
	log_ms(&l, "ms", 1234567);
	log_str(&l, "empty", STR_NONE);
	log_end(&l);
	v = parse_line(&a, captured());
	assert_int_equal(json_object_size(v), 7);
	assert_string_equal(text(v, "level"), "warn");
	assert_string_equal(text(v, "event"), "request");
	assert_int_equal(strlen(text(v, "time")), 24);
	assert_string_equal(text(v, "path"), "/v1/\"x\"\\\n\x01\x7F caf\xC3\xA9 \xEF\xBF\xBD");
	assert_string_equal(text(v, "empty"), "");
	assert_int_equal(json_integer_value(json_object_get(v, "status")), -404);
	assert_non_null(strstr(line, "\"ms\":1.234,"));
	arena_done(&a);
}

static void a_text_line(void **state UNUSED)
{
	struct log_line l;

	log_configure(LOG_INFO, LOG_TEXT);
	capture();
	log_begin(&l, LOG_ERROR, "request");
	log_strz(&l, "plain", "a-b/c");
	log_strz(&l, "spaced", "a b=\"c\"\n");
	log_strz(&l, "empty", "");
	log_ms(&l, "ms", -1500);
	log_end(&l);
	captured();
	assert_non_null(strstr(line, "time=2"));
	assert_non_null(strstr(line, "Z level=error event=request plain=a-b/c "
				     "spaced=\"a b=\\\"c\\\"\\u000a\" empty=\"\" ms=-0.001\n"));
}

static void levels_filter(void **state UNUSED)
{
	log_configure(LOG_WARN, LOG_JSON);
	assert_false(log_enabled(LOG_INFO));
	assert_true(log_enabled(LOG_WARN));
	capture();
	log_msg(LOG_INFO, "hidden", "x");
	log_msg(LOG_DEBUG, "hidden", "x");
	assert_int_equal(captured(), 0);
	log_configure(LOG_DEBUG, LOG_JSON);
	capture();
	log_msg(LOG_DEBUG, "shown", "%d of %s", 3, "x");
	captured();
	assert_non_null(strstr(line, "\"event\":\"shown\",\"message\":\"3 of x\"}"));
}

/* Values of every length up to well over the buffer: always one whole line of JSON that says when it was cut. */
static void long_lines_are_cut_and_say_so(void **state UNUSED)
{
	static const char *const units[] = {"x", "\"", "\x01", "\xF0\x9F\x8E\xAC"};
	static char value[4000];

	log_configure(LOG_INFO, LOG_JSON);
	for (size_t u = 0; u < 4; u++) {
		const size_t unit_len = strlen(units[u]);

		for (size_t n = 280; n < 2100 && n * unit_len < sizeof(value); n += n < 2000 ? 7 : 1) {
			struct log_line l;
			struct arena a;
			json_t *v;
			size_t len;

			for (size_t i = 0; i < n; i++)
				memcpy(value + i * unit_len, units[u], unit_len);
			arena_init(&a);
			capture();
			log_begin(&l, LOG_INFO, "long");
			log_str(&l, "value", str_n(value, n * unit_len));
			log_int(&l, "after", 1);
			log_end(&l);
			len = captured();
			assert_true(len <= sizeof(l.buf));
			v = parse_line(&a, len);
			if (json_object_get(v, "cut") == NULL) {
				assert_int_equal(json_string_length(json_object_get(v, "value")), n * unit_len);
				assert_non_null(json_object_get(v, "after"));
			} else {
				assert_true(json_is_true(json_object_get(v, "cut")));
				assert_true(len > sizeof(l.buf) - 80);
				assert_null(json_object_get(v, "after"));
			}
			arena_done(&a);
		}
	}
}

/* The scan by words must stop at what needs an escape wherever it stands. */
static void escapes_at_every_offset(void **state UNUSED)
{
	static const char specials[] = {'"', '\\', '\x01', '\x1F', '\x7F'};
	char value[25];

	log_configure(LOG_INFO, LOG_JSON);
	for (size_t at = 0; at < sizeof(value) - 1; at++) {
		for (size_t i = 0; i < sizeof(specials); i++) {
			struct log_line l;
			struct arena a;

			memset(value, '~', sizeof(value) - 1);
			value[sizeof(value) - 1] = '\0';
			value[at] = specials[i];
			arena_init(&a);
			capture();
			log_begin(&l, LOG_WARN, "x");
			log_strz(&l, "v", value);
			log_end(&l);
			assert_string_equal(text(parse_line(&a, captured()), "v"), value);
			assert_null(strchr(line, 0x7F));
			arena_done(&a);
		}
	}
}

static void held_lines_wait_for_a_flush_or_a_warning(void **state UNUSED)
{
	log_configure(LOG_INFO, LOG_JSON);
	capture();
	log_hold(true);
	assert_int_equal(log_held(), 0);
	log_msg(LOG_INFO, "first", "a");
	const size_t one = log_held();
	assert_true(one > 0);
	log_msg(LOG_INFO, "second", "b");
	assert_true(log_held() > one);
	log_msg(LOG_WARN, "third", "c");
	assert_int_equal(log_held(), 0);
	log_msg(LOG_INFO, "fourth", "d");
	log_flush();
	assert_int_equal(log_held(), 0);
	log_hold(false);
	(void)captured();
	const char *first = strstr(line, "first"), *second = strstr(line, "second"), *third = strstr(line, "third"),
		   *fourth = strstr(line, "fourth");
	assert_non_null(first);
	assert_true(first < second && second < third && third < fourth);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_json_line),
		cmocka_unit_test(a_text_line),
		cmocka_unit_test(levels_filter),
		cmocka_unit_test(long_lines_are_cut_and_say_so),
		cmocka_unit_test(escapes_at_every_offset),
		cmocka_unit_test(held_lines_wait_for_a_flush_or_a_warning),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
