/* Compiler attributes and small helpers that every file may use. Owns nothing. */
#ifndef FERROD_BASE_MACROS_H
#define FERROD_BASE_MACROS_H

#include <stddef.h>

/* The caller must look at the result (every fallible function). */
#define MUST_CHECK __attribute__((warn_unused_result))
/* printf-style checking: f is the index of the format, a of the first argument. */
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Runs `fn(&variable)` when the variable leaves its scope; never for locks. */
#define AUTO(fn) __attribute__((cleanup(fn)))

#endif
