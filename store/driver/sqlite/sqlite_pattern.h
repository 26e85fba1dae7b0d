/*
 * Patterns of LIKE, ILIKE and GLOB, compiled once and matched in time linear in the text, whatever they are: pieces of
 * plain characters are searched with a failure table, pieces with wildcards in them bit-parallel. Long texts are
 * matched in steps, between which others may run. Knows nothing of SQLite; a pattern is one block of memory, owned by
 * its maker.
 */
#ifndef FERROD_STORE_DRIVER_SQLITE_PATTERN_H
#define FERROD_STORE_DRIVER_SQLITE_PATTERN_H

#include <stdint.h>

#include "service/base/str.h"

/* Bytes of a pattern, and characters of one piece (between two `%`) that holds wildcards. */
#define PATTERN_WILD_MAX 1024

enum pattern_fold { PATTERN_FOLD_NONE, PATTERN_FOLD_ASCII, PATTERN_FOLD_UNICODE };

struct pattern_syntax {
	uint32_t many, one, escape; /* characters; 0: none */
	bool sets;                  /* [a-z], [^a-z] */
	bool last_escape_is_itself; /* at the pattern's end; else such a pattern matches nothing */
	enum pattern_fold fold;
};

/* Called now and then while matching takes long: others may run meanwhile. False: give up. */
struct pattern_pause {
	bool (*call)(void *arg);
	void *arg;
};

enum pattern_answer { PATTERN_NO, PATTERN_YES, PATTERN_GAVE_UP };

struct pattern;

enum pattern_fault { PATTERN_FINE, PATTERN_TOO_COMPLEX, PATTERN_NO_MEMORY };

/* Compiles; *ret is freed by pattern_free. */
enum pattern_fault pattern_compile(struct str text, const struct pattern_syntax *syntax, struct pattern **ret);
void pattern_free(void *arg);
/* The escape character that it was compiled with; 0: none. */
uint32_t pattern_escape(const struct pattern *p);
/* Does the whole text match? Parks where pause does. */
enum pattern_answer pattern_match(const struct pattern *p, struct str text, const struct pattern_pause *pause);

/* The next character of *at, which is before end; what is not UTF-8 counts byte by byte, as a number beyond Unicode. */
uint32_t pattern_next_char(const unsigned char **at, const unsigned char *end);

#endif
