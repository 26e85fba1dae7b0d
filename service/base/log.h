/*
 * Structured lines to stderr: one JSON object (or key=value pairs) a line, written with one write(2). Never pass a
 * secret, an SQL value or a whole connection string. Thread-safe. A line is owned by who begins it, on the stack.
 */
#ifndef FERROD_BASE_LOG_H
#define FERROD_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "service/base/macros.h"
#include "service/base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_JSON, LOG_TEXT };

/* What is written from now on; may be called again (SIGHUP). */
void log_configure(enum log_level level, enum log_format format);

/* True when lines of that level are written: guards the cost of building one. */
bool log_enabled(enum log_level level);

/* A line being built; on the stack, bounded (an over-long line is cut and says so). */
struct log_line {
	enum log_level level;
	enum log_format format; /* as it was at log_begin */
	bool enabled;
	bool cut;
	size_t len;
	char buf[2048];
};

/* Starts a line: time, level, event name (snake_case word). */
void log_begin(struct log_line *l, enum log_level level, const char *event);
/* Keys are literals: the compiler knows them as they stand in JSON, and sees to it that they can be copied in blocks.
 */
#define LOG_KEY(key) str_n(",\"" key "\":" LOG_KEY_SLACK, sizeof(",\"" key "\":") - 1)
#define LOG_KEY_SLACK "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define LOG_KEY_BLOCK 16
#define log_str(line, key, value) log_put_str((line), LOG_KEY(key), (value))
#define log_strz(line, key, value) log_put_str((line), LOG_KEY(key), str_z(value))
#define log_int(line, key, value) log_put_int((line), LOG_KEY(key), (value))
/* Milliseconds with three decimals. */
#define log_ms(line, key, ns) log_put_ms((line), LOG_KEY(key), (ns))
/* By the macros alone. */
void log_put_str(struct log_line *l, struct str key, struct str value);
void log_put_int(struct log_line *l, struct str key, int64_t value);
void log_put_ms(struct log_line *l, struct str key, int64_t ns);
/* Writes the line when its level is enabled. */
void log_end(struct log_line *l);

/*
 * Between log_hold(true) and log_hold(false) lines of the calling thread up to LOG_INFO gather (32 KiB at most) until
 * log_flush; a warning or an error is written at once, after them. For event loops, which flush before they wait.
 */
void log_hold(bool on);
void log_flush(void);
/* Bytes that wait for log_flush. */
size_t log_held(void);

/* One line with a printf-style message member. */
void log_msg(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
