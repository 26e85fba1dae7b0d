/*
 * Settings that a request tells the database (rights of a key, of a session, of one request): dotted names without
 * case, and texts. In the arena of whoever reads them, sorted by name.
 */
#ifndef FERROD_SERVICE_SETTING_H
#define FERROD_SERVICE_SETTING_H

#include "service/base/arena.h"
#include "service/base/json.h"

struct named_setting {
	struct str name; /* in lower case */
	struct str value;
};

struct setting_list {
	struct named_setting *list; /* LIMIT_SETTINGS; NULL: none was ever put */
	size_t n;
};

/* The name as it is compared: words of letters, digits, _ and $ with dots between them, two at least. *ret is in the
 * arena. ERR_INVALID_REQUEST: it is none, or one of request.*, which are the server's. */
bool setting_name(struct arena *a, struct str given, struct str *ret, struct err *err) MUST_CHECK;

/* NULL: it is not among them. Borrowed. */
const struct named_setting *setting_find(const struct setting_list *s, struct str name);

/* Puts it in its place, over one of that name. ERR_INVALID_REQUEST: the value is too long, no UTF-8 or has a NUL, or
 * there are too many. Borrows the name, which is not checked. */
bool setting_put(struct arena *a, struct setting_list *s, struct str name, struct str value,
		 struct err *err) MUST_CHECK;

/* Puts the members of a JSON object, each name once whatever its case. Errors point behind `pointer`. */
bool settings_read(struct arena *a, const json_t *obj, const char *pointer, struct setting_list *s,
		   struct err *err) MUST_CHECK;

/* The same of a header: name=value with commas between them; the value a quoted string, or any run without comma,
 * semicolon and blank. ERR_INVALID_REQUEST. */
bool settings_header(struct arena *a, struct str header, struct setting_list *s, struct err *err) MUST_CHECK;

/* All of them as one JSON object, which is the same for the same settings; STR_NONE: there are none. */
struct str settings_text(struct arena *a, const struct setting_list *s);
/* Such a text again, which a shared state may have kept. ERR_INTERNAL_ERROR: it is none; it is never taken for no
 * settings.
 */
bool settings_of_text(struct arena *a, struct str text, struct setting_list *ret, struct err *err) MUST_CHECK;

#endif
