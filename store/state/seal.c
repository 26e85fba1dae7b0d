/* Key files, and which of two keys opens what. */
#include "store/state/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "service/base/num.h"

#include "service/base/banned.h"

#define FILE_MAX 4096
#define LINE_BYTES (4 * ((CRYPTO_KEY_BYTES + 2) / 3)) /* base64 */

static void to_line(const uint8_t *key, char ret[LINE_BYTES + 2])
{
	num_base64url(key, CRYPTO_KEY_BYTES, ret);
	for (char *p = ret; *p != '\0'; p++)
		*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
	const size_t n = strlen(ret); /* 43 of 44 */
	ret[n] = '=';
	ret[n + 1] = '\0';
}

static bool add_line(struct seal *s, struct str line)
{
	uint8_t raw[3 * (LINE_BYTES / 4)];
	size_t n;
	line = str_trim(line);
	if (line.len == 0)
		return true;
	if (s->n == 2 || line.len != LINE_BYTES || !num_base64_decode(line, raw, &n) || n != CRYPTO_KEY_BYTES)
		return false;
	memcpy(s->keys[s->n++], raw, CRYPTO_KEY_BYTES);
	explicit_bzero(raw, sizeof(raw));
	return true;
}

static bool parse(struct str text, const char *path, struct seal *ret, struct err *err)
{
	struct str line;
	*ret = (struct seal){0};
	while (text.len > 0 && str_split(&text, '\n', &line))
		if (!add_line(ret, line))
			ret->n = 3;
	if (ret->n == 1 || ret->n == 2)
		return true;
	*ret = (struct seal){0};
	return err_set(
		err, ERR_INVALID_REQUEST,
		"the key file \"%s\" must hold one or two lines of 32 bytes in base64 (ferrod key seal prints one)",
		path);
}

bool seal_load(const char *path, struct seal *ret, struct err *err)
{
	char buf[FILE_MAX];
	FILE *f = fopen(path, "rbe");
	if (f == NULL)
		return err_set(err, ERR_INVALID_VALUE, "cannot read the key file \"%s\": %s", path, strerror(errno));
	const size_t n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	const bool ok = parse(str_n(buf, n), path, ret, err);
	explicit_bzero(buf, sizeof(buf));
	return ok;
}

bool seal_load_or_make(const char *path, struct seal *ret, struct err *err)
{
	char line[LINE_BYTES + 3];
	uint8_t key[CRYPTO_KEY_BYTES];
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return seal_load(path, ret, err);
	if (fd < 0)
		return err_set(err, ERR_INVALID_REQUEST, "cannot make the key file \"%s\": %s", path, strerror(errno));
	num_random(key, sizeof(key));
	to_line(key, line);
	line[LINE_BYTES] = '\n';
	const bool ok = write(fd, line, LINE_BYTES + 1) == LINE_BYTES + 1 && fsync(fd) == 0;
	close(fd);
	if (!ok) {
		unlink(path);
		return err_set(err, ERR_INVALID_REQUEST, "cannot write the key file \"%s\"", path);
	}
	*ret = (struct seal){.n = 1};
	memcpy(ret->keys[0], key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	explicit_bzero(line, sizeof(line));
	return true;
}

void seal_print_new(FILE *out)
{
	char line[LINE_BYTES + 2];
	uint8_t key[CRYPTO_KEY_BYTES];
	num_random(key, sizeof(key));
	to_line(key, line);
	fprintf(out, "%s\n", line);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(line, sizeof(line));
}

struct str seal_put(struct arena *a, const struct seal *s, struct str context, struct str plain)
{
	return crypto_seal(a, s->keys[0], context, plain);
}

bool seal_get(struct arena *a, const struct seal *s, struct str context, struct str sealed, struct str *ret,
	      bool *ret_second)
{
	for (size_t i = 0; i < s->n; i++) {
		if (crypto_open(a, s->keys[i], context, sealed, ret)) {
			*ret_second = i > 0;
			return true;
		}
	}
	return false;
}
