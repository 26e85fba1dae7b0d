/* The error value: formatting into its fixed-size members, and the words of its codes. */
#include "service/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "service/base/banned.h"

#define ERR_TEXT(id, text) [ERR_##id] = text,
static const char *const code_names[] = {ERR_CODES(ERR_TEXT)};
#undef ERR_TEXT

/* Drops a UTF-8 sequence that the end of the buffer cut in two, so that the text stays well formed. */
static void drop_cut_sequence(char *z)
{
	size_t len = strlen(z);
	size_t lead = len;
	size_t need;
	unsigned char c;

	while (lead > 0 && len - lead < 3 && ((unsigned char)z[lead - 1] & 0xC0) == 0x80)
		lead--;
	if (lead == 0)
		return;
	c = (unsigned char)z[lead - 1];
	need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
	if (need > 1 && len - (lead - 1) < need)
		z[lead - 1] = '\0';
}

static void clear(struct err *err, enum err_code code)
{
	memset(err, 0, sizeof(*err));
	err->code = code;
	err->step = -1;
}

static void PRINTF_LIKE(2, 0) format_detail(char buf[sizeof(((struct err *)NULL)->detail)], const char *fmt, va_list ap)
{
	const size_t size = sizeof(((struct err *)NULL)->detail);
	int n = vsnprintf(buf, size, fmt, ap);

	if (n < 0)
		buf[0] = '\0';
	else if ((size_t)n >= size)
		drop_cut_sequence(buf);
}

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	char detail[sizeof(err->detail)]; /* the arguments may point into err itself */
	va_list ap;

	va_start(ap, fmt);
	format_detail(detail, fmt, ap);
	va_end(ap);
	clear(err, code);
	memcpy(err->detail, detail, sizeof(detail));
	return false;
}

/* Writes prefix and pointer into err->pointer; a pointer too long for it ends at its last whole token. */
static void set_pointer(struct err *err, const char *prefix, const char *pointer)
{
	char buf[sizeof(err->pointer)];
	int n = snprintf(buf, sizeof(buf), "%s%s", prefix, pointer);
	char *slash;

	if (n < 0 || (size_t)n >= sizeof(buf)) {
		buf[sizeof(buf) - 1] = '\0';
		slash = strrchr(buf, '/');
		if (slash != NULL)
			*slash = '\0';
	}
	memcpy(err->pointer, buf, sizeof(buf));
	err->has_pointer = true;
}

bool err_set_at(struct err *err, enum err_code code, const char *pointer, const char *fmt, ...)
{
	char detail[sizeof(err->detail)];
	struct err made;
	va_list ap;

	va_start(ap, fmt);
	format_detail(detail, fmt, ap);
	va_end(ap);
	clear(&made, code);
	memcpy(made.detail, detail, sizeof(detail));
	set_pointer(&made, "", pointer);
	*err = made;
	return false;
}

void err_prefix_pointer(struct err *err, const char *prefix)
{
	char old[sizeof(err->pointer)];

	if (!err->has_pointer)
		return;
	memcpy(old, err->pointer, sizeof(old));
	set_pointer(err, prefix, old);
}

bool err_oom(struct err *err)
{
	return err_set(err, ERR_INTERNAL_ERROR, "the server is out of memory");
}

const char *err_code_name(enum err_code code)
{
	if ((unsigned)code >= (unsigned)ERR_N_CODES)
		return code_names[ERR_INTERNAL_ERROR];
	return code_names[code];
}

const char *err_outcome_name(enum err_outcome outcome)
{
	switch (outcome) {
	case ERR_OUTCOME_NOT_STARTED:
		return "not_started";
	case ERR_OUTCOME_ROLLED_BACK:
		return "rolled_back";
	case ERR_OUTCOME_COMMITTED:
		return "committed";
	case ERR_OUTCOME_UNKNOWN:
		return "unknown";
	case ERR_OUTCOME_NONE:
		break;
	}
	return NULL;
}
