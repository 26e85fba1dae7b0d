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
#include "service/config/nearest.h"

#include "service/base/banned.h"

static const char usage[] = "usage: ferrod key new --name NAME --scopes read,write,... [--connections a,b] [--sets "
			    "a,b] [--role ROLE] [--subject DN] [--append KEYS_FILE]; or: ferrod key seal";

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

/* Always false. */
static bool unknown(struct str word, const char *const *known, size_t n, struct err *err)
{
	const char *const what = str_starts(word, STR("--")) ? "flag" : "argument";
	struct nearest near = {.word = word};
	for (size_t i = 0; i < n; i++)
		nearest_consider(&near, known[i]);
	if (near.found == NULL)
		return err_set(err, ERR_INVALID_REQUEST, "unknown %s \"%.*s\"; %s", what, STR_FMT(word), usage);
	return err_set(err, ERR_INVALID_REQUEST, "unknown %s \"%.*s\"; did you mean \"%s\"?", what, STR_FMT(word),
		       near.found);
}

/* `new`, then flags with their values, behind a blank or a '='. */
static bool parse(int argc, char **argv, struct key_new *k, struct str *ret_file, struct err *err)
{
	static const char *const words[] = {"new", "seal"};
	static const char *const flags[] = {"--name", "--scopes",  "--connections", "--sets",
					    "--role", "--subject", "--append"};
	struct str *const values[] = {&k->name, &k->scopes, &k->connections, &k->sets, &k->role, &k->subject, ret_file};
	if (argc < 3 || strcmp(argv[2], "seal") == 0)
		return err_set(err, ERR_INVALID_REQUEST, "%s", usage);
	if (strcmp(argv[2], "new") != 0)
		return unknown(str_z(argv[2]), words, ARRAY_LEN(words), err);
	for (int i = 3; i < argc; i++) {
		struct str value = str_z(argv[i]), flag;
		size_t n = 0;
		(void)str_split(&value, '=', &flag);
		while (n < ARRAY_LEN(flags) && !str_eq_z(flag, flags[n]))
			n++;
		if (n == ARRAY_LEN(flags))
			return unknown(flag, flags, ARRAY_LEN(flags), err);
		if (value.p == NULL && ++i == argc)
			return err_set(err, ERR_INVALID_REQUEST, "the flag \"%s\" needs a value", flags[n]);
		*values[n] = value.p != NULL ? value : str_z(argv[i]);
	}
	return true;
}

static bool asks_for_help(int argc, char **argv)
{
	return argc >= 3 && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0 ||
			     strcmp(argv[2], "help") == 0);
}

bool key_command(int argc, char **argv, struct err *err)
{
	struct key_new k = {.name = STR_NONE,
			    .scopes = STR_NONE,
			    .connections = STR_NONE,
			    .sets = STR_NONE,
			    .role = STR_NONE,
			    .subject = STR_NONE};
	struct str key = STR_NONE, entry = STR_NONE, file = STR_NONE;
	struct arena a;
	if (asks_for_help(argc, argv)) {
		puts(usage);
		return true;
	}
	if (!parse(argc, argv, &k, &file, err))
		return false;
	arena_init(&a);
	bool ok = keys_new(&a, &k, &key, &entry, err) && (file.p == NULL || append(&a, file.p, entry, err));
	if (ok && file.p != NULL)
		printf("{\"key\":\"%.*s\"}\n", STR_FMT(key));
	else if (ok)
		printf("{\"key\":\"%.*s\",\"entry\":%.*s}\n", STR_FMT(key), STR_FMT(entry));
	if (key.p != NULL)
		explicit_bzero((char *)(uintptr_t)key.p, key.len);
	arena_done(&a);
	return ok;
}
