/* Exact decimal text. Pure; nothing here goes through a double unless its name says so. */
#ifndef FERROD_STORE_CODEC_DECIMAL_H
#define FERROD_STORE_CODEC_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "service/base/str.h"

/* What PostgreSQL's numeric holds. */
#define DECIMAL_WHOLE_DIGITS 131072
#define DECIMAL_FRACTION_DIGITS 16383

/* Digits that any double keeps (DBL_DIG). */
#define DECIMAL_DOUBLE_DIGITS 15

/* "[+-]digits[.digits][e[+-]digits]" (a digit on either side of the point) -> no exponent, no '+', no leading zeros,
 * trailing zeros kept, "0" without sign. In the arena. false: not a decimal, or beyond the digits above. */
bool decimal_canonical(struct arena *a, struct str in, struct str *ret) MUST_CHECK;

/* Canonical text without the zeros that do not change its value ("12.50" -> "12.5"); borrows. */
struct str decimal_trim(struct str canonical);

/* Digits from the first that is not zero to the last one, of canonical text. */
size_t decimal_significant(struct str canonical);

/* The shortest decimal that reads back as a finite double, without exponent. In the arena. */
struct str decimal_from_double(struct arena *a, double v);

#endif
