/*
 * The quick way through the most frequent kind of JSON text: one object whose values are no objects or arrays, all of
 * it in plain notation. Builds no tree. What it does not understand, valid or not, it declines, and json_parse has the
 * word: so it has no errors of its own, and must only be right where it accepts. (The caller looks for repeated names.)
 */
#ifndef FERROD_BASE_JSON_FLAT_H
#define FERROD_BASE_JSON_FLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/str.h"

enum json_scalar_kind { JSON_SCALAR_NULL, JSON_SCALAR_BOOL, JSON_SCALAR_INT, JSON_SCALAR_REAL, JSON_SCALAR_STRING };

struct json_scalar {
	enum json_scalar_kind kind;
	union {
		bool b;
		int64_t i;
		double d;
		struct str s; /* borrowed from the text */
	} u;
};

struct json_flat {
	char *p, *end; /* what is left of the text */
	bool first;
};

enum json_flat_result { JSON_FLAT_MEMBER, JSON_FLAT_END, JSON_FLAT_DECLINED };

/* Reads the n bytes at text, which are changed in place: escapes become what they stand for. Borrowed. */
void json_flat_init(struct json_flat *f, char *text, size_t n);

/* The next member; JSON_FLAT_END once the whole text has been seen and is a valid object. *ret_name is borrowed from
 * the text. */
enum json_flat_result json_flat_next(struct json_flat *f, struct str *ret_name, struct json_scalar *ret);

#endif
