/* Log lines: built in a bounded buffer on the caller's stack, written with one write(2), of one line or of a loop
 * turn's. */
#include "service/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/strbuf.h"

#include "service/base/banned.h"

/* What log_end may still have to write: ,"cut":true}\n */
#define TAIL_BYTES 16
/* The longest that one character of a value becomes, and the closing quote. */
#define CHAR_BYTES 8

/* Lines of this thread that wait for log_flush; NULL: none ever wait. */
struct held {
	size_t len;
	char buf[32768];
};

static _Thread_local struct held *held;
static _Atomic int level_min = LOG_INFO;
static _Atomic int format_now = LOG_JSON;

void log_configure(enum log_level level, enum log_format format)
{
	atomic_store_explicit(&level_min, (int)level, memory_order_relaxed);
	atomic_store_explicit(&format_now, (int)format, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&level_min, memory_order_relaxed);
}

/* True when n more bytes leave room for the tail; else the line is cut here. */
static bool fits(struct log_line *l, size_t n)
{
	if (l->enabled && !l->cut && n <= sizeof(l->buf) - TAIL_BYTES - l->len)
		return true;
	l->cut = true;
	return false;
}

static void put(struct log_line *l, const char *p, size_t n)
{
	memcpy(l->buf + l->len, p, n);
	l->len += n;
}

/* The separator and the key, a LOG_KEY; false when not even a short value would fit after them. */
static bool put_key(struct log_line *l, struct str key)
{
	const bool first = l->len == 0;

	if (!l->enabled || !fits(l, key.len + 40))
		return false;
	if (l->format == LOG_JSON) {
		char *at = l->buf + l->len;

		for (size_t i = 0; i < key.len; i += LOG_KEY_BLOCK)
			memcpy(at + i, key.p + i, LOG_KEY_BLOCK);
		if (first)
			at[0] = '{';
		l->len += key.len;
	} else {
		if (!first)
			put(l, " ", 1);
		put(l, key.p + 2, key.len - 4); /* ,"key": */
		put(l, "=", 1);
	}
	return true;
}

/* One character of a quoted value, from byte i on; returns how many bytes it was. */
static size_t put_char(struct log_line *l, struct str s, size_t i)
{
	uint32_t cp;
	size_t n = str_utf8_next(s, i, &cp);
	char buf[CHAR_BYTES];

	if (cp == STR_UTF8_BAD) {
		put(l, "\xEF\xBF\xBD", 3);
	} else if (cp == '"' || cp == '\\') {
		put(l, (char[]){'\\', (char)cp}, 2);
	} else if (cp < 0x20 || cp == 0x7F) {
		snprintf(buf, sizeof(buf), "\\u%04x", (unsigned)cp & 0xFF);
		put(l, buf, 6);
	} else {
		put(l, s.p + i, n);
	}
	return n;
}

static bool needs_quotes(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '\\')
			return true;
	}
	return s.len == 0;
}

/* What needs no escape, at once; returns where it ended. Room for one character stays. */
static size_t put_plain(struct log_line *l, struct str s, size_t i)
{
	const size_t room = sizeof(l->buf) - TAIL_BYTES - l->len - CHAR_BYTES;
	const size_t end = s.len - i > room ? i + room : s.len;
	const size_t from = i;

	while (i < end && s.p[i] >= ' ' && s.p[i] < 0x7F && s.p[i] != '"' && s.p[i] != '\\')
		i++;
	put(l, s.p + from, i - from);
	return i;
}

/* The usual value: JSON, plain, with room to spare. */
static bool put_at_once(struct log_line *l, struct str value)
{
	char *at = l->buf + l->len;

	if (l->format != LOG_JSON || value.len + CHAR_BYTES > sizeof(l->buf) - TAIL_BYTES - l->len ||
	    !strbuf_copy_printable(at + 1, value))
		return false;
	at[0] = at[value.len + 1] = '"';
	l->len += value.len + 2;
	return true;
}

void log_put_str(struct log_line *l, struct str key, struct str value)
{
	size_t i = 0;
	bool quotes;

	if (!put_key(l, key) || put_at_once(l, value))
		return;
	quotes = l->format == LOG_JSON || needs_quotes(value);
	if (quotes)
		put(l, "\"", 1);
	while (i < value.len && fits(l, CHAR_BYTES)) {
		i = put_plain(l, value, i);
		if (i < value.len && fits(l, CHAR_BYTES))
			i += put_char(l, value, i);
	}
	if (quotes)
		put(l, "\"", 1);
}

void log_put_int(struct log_line *l, struct str key, int64_t value)
{
	if (put_key(l, key))
		l->len += num_format_int(value, l->buf + l->len);
}

void log_put_ms(struct log_line *l, struct str key, int64_t ns)
{
	if (put_key(l, key))
		l->len += num_format_ms(ns, l->buf + l->len);
}

/* Most lines are of the same second as the thread's last one: only the milliseconds differ. */
static size_t now_text(char text[CLOCK_RFC3339_BYTES])
{
	static _Thread_local char second_text[CLOCK_RFC3339_BYTES];
	static _Thread_local int64_t second;
	const int64_t us = clock_real_us();
	const unsigned ms = (unsigned)(us / 1000 % 1000);
	const size_t n = sizeof("2026-01-02T03:04:05.000Z") - 1;

	if (second_text[0] == '\0' || us / 1000000 != second) {
		second = us / 1000000;
		clock_rfc3339(us, second_text);
	}
	memcpy(text, second_text, n + 1);
	text[n - 4] = (char)('0' + ms / 100);
	text[n - 3] = (char)('0' + ms / 10 % 10);
	text[n - 2] = (char)('0' + ms % 10);
	return n;
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	char time[CLOCK_RFC3339_BYTES];

	l->level = level;
	l->format = (enum log_format)atomic_load_explicit(&format_now, memory_order_relaxed);
	l->enabled = log_enabled(level);
	l->cut = false;
	l->len = 0;
	if (!l->enabled)
		return;
	log_str(l, "time", str_n(time, now_text(time)));
	log_strz(l, "level", names[level]);
	log_strz(l, "event", event);
}

static void write_out(const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody reads the log: the request matters more */
		p += n;
		len -= (size_t)n;
	}
}

void log_flush(void)
{
	if (held == NULL || held->len == 0)
		return;
	write_out(held->buf, held->len);
	held->len = 0;
}

size_t log_held(void)
{
	return held != NULL ? held->len : 0;
}

void log_hold(bool on)
{
	if (on == (held != NULL))
		return;
	log_flush();
	if (on) {
		held = mem_alloc(sizeof(*held));
	} else {
		mem_free(held);
		held = NULL;
	}
}

void log_end(struct log_line *l)
{
	if (!l->enabled)
		return;
	if (l->cut && l->format == LOG_JSON)
		put(l, ",\"cut\":true", 11);
	else if (l->cut)
		put(l, " cut=true", 9);
	if (l->format == LOG_JSON)
		put(l, "}", 1);
	put(l, "\n", 1);
	if (held != NULL && l->level <= LOG_INFO) {
		if (held->len + l->len > sizeof(held->buf))
			log_flush();
		memcpy(held->buf + held->len, l->buf, l->len);
		held->len += l->len;
		return;
	}
	log_flush(); /* in order */
	write_out(l->buf, l->len);
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	char text[1024];
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	log_begin(&l, level, event);
	log_strz(&l, "message", text);
	log_end(&l);
}
