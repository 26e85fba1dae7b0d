/* Binding what is compared with stored values: on SQLite a value need not be of its column's type. */
#include <math.h>

#include "service/base/num.h"
#include "store/codec/codec.h"

#include "service/base/banned.h"

/* A number where no text of the column's own could look like one. */
static bool number_of_text(const struct column *c, struct str in, struct value *ret)
{
	int64_t i;
	double d;

	if (c->logical == LT_STRING)
		return false;
	if (num_parse_int(in, &i))
		*ret = value_int(i);
	else if (num_parse_double(in, &d) && isfinite(d))
		*ret = value_double(d);
	else
		return false;
	return true;
}

/* The word of an infinite number is one, where no string is something of the column's own. */
static bool infinite(const struct column *c, struct str word, struct value *ret)
{
	const bool minus = str_eq(word, STR("-Infinity"));

	if (c->logical == LT_STRING || c->logical == LT_BINARY || c->logical == LT_JSON ||
	    (!minus && !str_eq(word, STR("Infinity"))))
		return false;
	*ret = value_double(minus ? -(double)INFINITY : (double)INFINITY);
	return true;
}

bool codec_bind_stored(struct arena *a, const struct dialect *d, const struct column *c, const json_t *in,
		       const char *pointer, struct value *ret, struct err *err)
{
	if (codec_bind(a, d, c, in, pointer, ret, err))
		return true;
	if (d->id != DIALECT_SQLITE || c->logical == LT_JSON)
		return false;
	if (json_is_integer(in))
		*ret = value_int(json_integer_value(in));
	else if (json_is_real(in) && isfinite(json_number_value(in)))
		*ret = value_double(json_number_value(in));
	else if (json_is_string(in) && infinite(c, json_str(in), ret))
		return true;
	else if (json_is_string(in) && c->logical != LT_BINARY)
		*ret = value_text(json_str(in));
	else
		return false;
	return true;
}

bool codec_bind_stored_text(struct arena *a, const struct dialect *d, const struct column *c, struct str in,
			    const char *pointer, struct value *ret, struct err *err)
{
	if (codec_bind_text(a, d, c, in, pointer, ret, err))
		return true;
	if (d->id != DIALECT_SQLITE || c->fill.position == 0 || c->logical == LT_JSON)
		return false;
	if (number_of_text(c, in, ret) || infinite(c, in, ret))
		return true;
	*ret = value_text(in);
	return c->logical != LT_BINARY;
}
