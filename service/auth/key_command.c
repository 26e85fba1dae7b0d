/* Words of the command line into a new key. */
#include "service/auth/key_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/auth/keys.h"
#include "service/base/json.h"
#include "service/base/limits.h"

#include "service/base/banned.h"

static const char usage[] = "usage: ferrod key new --name NAME --scopes read,write,... [--connections a,b] [--sets "
			    "a,b] [--append KEYS_FILE]";

static bool file_error(const char *what, const char *path, struct err *err)
{
	return err_set(err, ERR_INVALID_REQUEST, "cannot %s the keys file \"%s\": %s", what, path, strerror(errno));
}

/* The array that the file holds; an absent or empty file holds an empty one. */
static bool read_keys(struct arena *a, const char *path, json_t **ret, struct err *err)
{
	struct err fault;
	FILE *f = fopen(path, "rbe");
	struct str text = STR("[]");
	if (f == NULL && errno != ENOENT)
		return file_error("read", path, err);
	if (f != NULL) {
		char *buf = arena_alloc(a, LIMIT_KEYS_FILE);
		const size_t n = fread(buf, 1, LIMIT_KEYS_FILE, f);
		const bool bad = ferror(f) != 0 || n == LIMIT_KEYS_FILE;
		fclose(f);
		if (bad)
			return file_error("read", path, err);
		text = str_trim(str_n(buf, n)).len > 0 ? str_n(buf, n) : text;
	}
	if (!json_parse(a, text, ret, &fault) || !json_is_array(*ret))
		return err_set(err, ERR_INVALID_REQUEST, "the keys file \"%s\" is not a JSON array", path);
	return true;
}

/* One entry a line, for people and for diff. */
static void write_keys(struct strbuf *b, const json_t *keys)
{
	for (size_t i = 0; i < json_array_size(keys); i++) {
		strbuf_puts(b, i == 0 ? "[\n  " : ",\n  ");
		json_write(b, json_array_get(keys, i), false);
	}
	strbuf_puts(b, "\n]\n");
}

static bool write_whole(const char *path, const char *text, size_t len, mode_t mode)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return false;
	const bool ok = fchmod(fd, mode) == 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
	return close(fd) == 0 && ok;
}

/* A file beside it takes its place, once a start would accept it. */
static bool append(struct arena *a, const char *path, struct str entry, struct err *err)
{
	const struct key_sources beside = {.file = arena_printf(a, "%s.new", path)};
	struct key_set *set = NULL;
	struct stat st;
	struct strbuf b;
	json_t *keys, *added;
	if (!read_keys(a, path, &keys, err) || !json_parse(a, entry, &added, err))
		return false;
	if (json_array_append(keys, added) != 0)
		return err_oom(err);
	strbuf_init(&b, 0);
	write_keys(&b, keys);
	const mode_t mode = stat(path, &st) == 0 ? st.st_mode & 0777 : 0600;
	bool ok = write_whole(beside.file.p, b.p, b.len, mode) || file_error("write", path, err);
	strbuf_done(&b);
	ok = ok && keys_load(&beside, &set, err);
	keys_destroy(set);
	ok = ok && (rename(beside.file.p, path) == 0 || file_error("replace", path, err));
	if (!ok)
		(void)unlink(beside.file.p);
	return ok;
}

static bool parse(int argc, char **argv, struct key_new *k, const char **ret_file)
{
	if (argc < 3 || strcmp(argv[2], "new") != 0 || argc % 2 != 1)
		return false;
	for (int i = 3; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--name") == 0)
			k->name = str_z(argv[i + 1]);
		else if (strcmp(argv[i], "--scopes") == 0)
			k->scopes = str_z(argv[i + 1]);
		else if (strcmp(argv[i], "--connections") == 0)
			k->connections = str_z(argv[i + 1]);
		else if (strcmp(argv[i], "--sets") == 0)
			k->sets = str_z(argv[i + 1]);
		else if (strcmp(argv[i], "--append") == 0)
			*ret_file = argv[i + 1];
		else
			return false;
	}
	return true;
}

bool key_command(int argc, char **argv, struct err *err)
{
	struct key_new k = {.name = STR_NONE, .scopes = STR_NONE, .connections = STR_NONE, .sets = STR_NONE};
	struct str key = STR_NONE, entry = STR_NONE;
	const char *file = NULL;
	struct arena a;
	if (!parse(argc, argv, &k, &file))
		return err_set(err, ERR_INVALID_REQUEST, "%s", usage);
	arena_init(&a);
	bool ok = keys_new(&a, &k, &key, &entry, err) && (file == NULL || append(&a, file, entry, err));
	if (ok && file != NULL)
		printf("{\"key\":\"%.*s\"}\n", STR_FMT(key));
	else if (ok)
		printf("{\"key\":\"%.*s\",\"entry\":%.*s}\n", STR_FMT(key), STR_FMT(entry));
	if (key.p != NULL)
		explicit_bzero((char *)(uintptr_t)key.p, key.len);
	arena_done(&a);
	return ok;
}
