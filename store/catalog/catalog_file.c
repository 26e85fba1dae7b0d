/* Files into documents. */
#include "store/catalog/catalog_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "service/base/limits.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

bool catalog_fault(struct err *err, enum err_code code, const char *file, const char *pointer, const char *reason)
{
	struct str rest = str_z(reason), line;
	(void)str_split(&rest, '\n', &line);
	return err_set_at(err, code, pointer, "%s: %s%s%.*s", file, pointer, pointer[0] != '\0' ? ": " : "",
			  STR_FMT(line));
}

static bool fault(struct err *err, const char *file, const char *pointer, const char *reason)
{
	return catalog_fault(err, ERR_INVALID_REQUEST, file, pointer, reason);
}

/* All of a file of up to `max` bytes; the reason of a failure is without the path. */
static bool read_all(struct arena *a, const char *path, size_t max, struct str *ret, const char **ret_reason)
{
	struct strbuf b;
	FILE *f = fopen(path, "rbe");
	if (f == NULL) {
		*ret_reason = strerror(errno);
		return false;
	}
	strbuf_init(&b, 0);
	char piece[4096];
	size_t n;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0 && b.len <= max)
		strbuf_put(&b, str_n(piece, n));
	const bool bad = ferror(f) != 0;
	fclose(f);
	if (bad)
		*ret_reason = "it cannot be read";
	else if (b.len > max)
		*ret_reason = "it is too large";
	else
		*ret = arena_str(a, strbuf_str(&b));
	const bool ok = !bad && b.len <= max;
	if (b.p != NULL)
		explicit_bzero(b.p, b.len);
	strbuf_done(&b);
	return ok;
}

/* ---- references ---- */

struct place {
	struct arena *a;
	const char *file;
	struct err *err;
};

/* What a reference stands for; `kind` and `name` are what is between ${ and }. */
static bool value_of(const struct place *at, const char *pointer, struct str kind, struct str name, struct str *ret)
{
	const char *reason;
	if (str_eq_z(kind, "env") && name.p != NULL) {
		const char *v = getenv(arena_strz(at->a, name));
		if (v == NULL)
			return fault(at->err, at->file, pointer,
				     arena_printf(at->a, "the variable %.*s is not set", STR_FMT(name)).p);
		*ret = arena_str(at->a, str_z(v));
	} else if (str_eq_z(kind, "file") && name.p != NULL) {
		const char *path = arena_strz(at->a, name);
		if (!read_all(at->a, path, LIMIT_CATALOG_VALUE, ret, &reason))
			return fault(at->err, at->file, pointer,
				     arena_printf(at->a, "cannot use the file %s: %s", path, reason).p);
		if (ret->len > 0 && ret->p[ret->len - 1] == '\n')
			ret->len--;
	} else {
		return fault(at->err, at->file, pointer,
			     "a reference is ${env:NAME} or ${file:PATH}; write $${ for ${ itself");
	}
	if (!str_is_utf8(*ret) || (ret->len > 0 && memchr(ret->p, '\0', ret->len) != NULL))
		return fault(
			at->err, at->file, pointer,
			arena_printf(at->a, "what ${%.*s:%.*s} stands for is no text", STR_FMT(kind), STR_FMT(name)).p);
	return true;
}

static void put_encoded(struct strbuf *b, struct str s)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < s.len; i++) {
		const unsigned char c = (unsigned char)s.p[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c != '\0' && strchr("-._~", c) != NULL)) {
			strbuf_putc(b, (char)c);
		} else {
			strbuf_putc(b, '%');
			strbuf_putc(b, hex[c >> 4]);
			strbuf_putc(b, hex[c & 15]);
		}
	}
}

/* The string with its references replaced: one that is the whole of it goes in as it is, in a URL others are encoded.
 */
static bool replace(const struct place *at, const char *pointer, struct str text, bool url, struct strbuf *ret)
{
	for (size_t i = 0; i < text.len;) {
		struct str rest = str_n(text.p + i, text.len - i), inner, kind, value;
		if (str_starts(rest, STR("$${"))) {
			strbuf_puts(ret, "${");
			i += 3;
			continue;
		}
		if (!str_starts(rest, STR("${"))) {
			strbuf_putc(ret, text.p[i++]);
			continue;
		}
		const char *end = memchr(rest.p, '}', rest.len);
		if (end == NULL)
			return fault(at->err, at->file, pointer, "a reference ${ has no end");
		inner = str_n(rest.p + 2, (size_t)(end - rest.p) - 2);
		(void)str_split(&inner, ':', &kind);
		if (!value_of(at, pointer, kind, inner, &value))
			return false;
		const size_t len = (size_t)(end - rest.p) + 1;
		if (url && len < text.len)
			put_encoded(ret, value);
		else
			strbuf_put(ret, value);
		i += len;
	}
	return true;
}

static bool replace_string(const struct place *at, const char *pointer, bool url, json_t *v)
{
	struct strbuf b;
	const struct str text = json_str(v);
	if (text.len == 0 || memmem(text.p, text.len, "${", 2) == NULL)
		return true;
	strbuf_init(&b, 0);
	const bool ok = replace(at, pointer, text, url, &b);
	if (ok)
		(void)json_string_setn(v, b.p != NULL ? b.p : "", b.len);
	if (b.p != NULL)
		explicit_bzero(b.p, b.len);
	strbuf_done(&b);
	return ok;
}

/* Every string below v; the parser has bounded the depth. */
static bool replace_all(const struct place *at, const char *pointer, bool url, json_t *v)
{
	const char *key;
	json_t *item;
	size_t i;
	if (json_is_string(v))
		return replace_string(at, pointer, url, v);
	if (json_is_object(v)) {
		json_object_foreach(v, key, item)
		{
			if (!replace_all(at, json_pointer_key(at->a, pointer, str_z(key)), strcmp(key, "url") == 0,
					 item))
				return false;
		}
	}
	json_array_foreach(v, i, item)
	{
		if (!replace_all(at, json_pointer_index(at->a, pointer, i), false, item))
			return false;
	}
	return true;
}

/* ---- files ---- */

static bool read_document(struct arena *a, const char *path, json_t **ret, struct err *err)
{
	const struct place at = {.a = a, .file = path, .err = err};
	const char *reason;
	struct str text;
	struct err bad;
	if (!read_all(a, path, LIMIT_CATALOG_FILE, &text, &reason))
		return fault(err, path, "", reason);
	if (!json_parse(a, text, ret, &bad))
		return fault(err, path, bad.has_pointer ? bad.pointer : "", bad.detail);
	if (!json_is_object(*ret))
		return fault(err, path, "", "it must hold a JSON object with connections, models, introspect or keys");
	return replace_all(&at, "", false, *ret);
}

static int is_json(const struct dirent *e)
{
	return e->d_name[0] != '.' && str_ends(str_z(e->d_name), STR(".json"));
}

static int by_name(const struct dirent **x, const struct dirent **y)
{
	return strcmp((*x)->d_name, (*y)->d_name);
}

static bool read_directory(const char *path, struct arena *a, struct catalog_file **ret, size_t *ret_n, struct err *err)
{
	struct dirent **names;
	const size_t len = strlen(path);
	const char *slash = len > 0 && path[len - 1] == '/' ? "" : "/";
	const int n = scandir(path, &names, is_json, by_name);
	bool ok = true;
	if (n < 0)
		return fault(err, path, "", strerror(errno));
	*ret = arena_array(a, (size_t)n + 1, sizeof(**ret));
	*ret_n = (size_t)n;
	for (int i = 0; i < n; i++) {
		struct catalog_file *f = &(*ret)[i];
		f->path = arena_printf(a, "%s%s%s", path, slash, names[i]->d_name).p;
		ok = ok && read_document(a, f->path, &f->doc, err);
		mem_free(names[i]);
	}
	mem_free(names);
	return ok;
}

bool catalog_files_read(const char *path, struct arena *a, struct catalog_file **ret, size_t *ret_n, struct err *err)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return fault(err, path, "", strerror(errno));
	if (S_ISDIR(st.st_mode))
		return read_directory(path, a, ret, ret_n, err);
	*ret = arena_array(a, 1, sizeof(**ret));
	*ret_n = 1;
	(*ret)->path = arena_strz(a, str_z(path));
	return read_document(a, (*ret)->path, &(*ret)->doc, err);
}
