/* See compression.h. */
#include "service/http/compression.h"

#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "service/http/zstandard.h"

#include "service/base/banned.h"

#define PIECE 32768 /* bytes packed before others may have a turn */

static const char *const names[] = {[CODING_NONE] = "identity", [CODING_GZIP] = "gzip", [CODING_ZSTD] = "zstd"};

struct packer {
	struct gzip_packer *gzip; /* the one or the other */
	struct zstd_packer *zstd;
};

struct unpacker {
	struct gzip_unpacker *gzip; /* the one or the other */
	struct zstd_unpacker *zstd;
};

/* ---- names ---- */

const char *coding_name(enum coding c)
{
	return names[c];
}

bool coding_named(struct str name, enum coding *ret)
{
	*ret = CODING_NONE;
	if (name.len == 0)
		return true;
	if (str_ieq_z(name, "x-gzip")) /* RFC 9110 section 8.4.1.3 */
		name = STR("gzip");
	for (int c = CODING_NONE; c <= CODING_ZSTD; c++) {
		if (!str_ieq_z(name, names[c]))
			continue;
		*ret = (enum coding)c;
		return true;
	}
	return false;
}

enum compression compression_of(struct str word)
{
	if (str_eq_z(word, "on"))
		return COMPRESSION_ON;
	return str_eq_z(word, "off") ? COMPRESSION_OFF : COMPRESSION_AUTO;
}

/* The weight of one item in thousandths; *item becomes its name. */
static int weight_of(struct str *item)
{
	struct str rest = *item, param;
	int q = 1000;
	(void)str_split(&rest, ';', item);
	*item = str_trim(*item);
	while (str_split(&rest, ';', &param)) {
		double v;
		param = str_trim(param);
		if (param.len > 2 && (param.p[0] | 0x20) == 'q' && param.p[1] == '=' &&
		    num_parse_double(str_n(param.p + 2, param.len - 2), &v) && v >= 0 && v <= 1)
			q = (int)(v * 1000);
	}
	return q;
}

enum coding coding_accepted(struct str accept)
{
	int given[] = {[CODING_NONE] = -1, [CODING_GZIP] = -1, [CODING_ZSTD] = -1}, others = -1;
	enum coding best = CODING_NONE;
	struct str item;
	while (str_split(&accept, ',', &item)) {
		enum coding c;
		const int q = weight_of(&item);
		if (str_eq_z(item, "*"))
			others = q;
		else if (item.len > 0 && coding_named(item, &c))
			given[c] = q;
	}
	for (int c = CODING_GZIP; c <= CODING_ZSTD; c++) {
		if (given[c] < 0)
			given[c] = others;
		if (given[c] > 0 && given[c] >= given[best])
			best = (enum coding)c;
	}
	return best;
}

bool coding_tag_is(struct str named, struct str own)
{
	if (str_eq(named, own))
		return true;
	for (int c = CODING_GZIP; c <= CODING_ZSTD && own.len > 0; c++) {
		const struct str suffix = str_z(names[c]),
				 bare = str_n(own.p, own.len - 1); /* without its last quote */
		if (named.len == own.len + 1 + suffix.len && str_starts(named, bare) && named.p[bare.len] == '-' &&
		    named.p[named.len - 1] == '"' && str_eq(str_n(named.p + bare.len + 1, suffix.len), suffix))
			return true;
	}
	return false;
}

/* ---- packing ---- */

struct packer *packer_new(enum coding c, size_t size)
{
	struct packer *p = mem_alloc(sizeof(*p));
	if (c == CODING_GZIP)
		p->gzip = gzip_packer_new();
	else
		p->zstd = zstd_packer_new(size);
	if (p->gzip != NULL || p->zstd != NULL)
		return p;
	mem_free(p);
	return NULL;
}

bool packer_put(struct packer *p, struct str in, enum pack_flush flush, struct strbuf *out)
{
	for (;;) {
		const bool last = in.len <= PIECE;
		const struct str piece = str_n(in.p, last ? in.len : PIECE);
		const enum pack_flush how = last ? flush : PACK_MORE;
		const bool ok = p->gzip != NULL ? gzip_packer_put(p->gzip, piece, how, out)
						: zstd_packer_put(p->zstd, piece, how, out);
		if (!ok || last)
			return ok;
		in = str_n(in.p + PIECE, in.len - PIECE);
		if (fiber_current() != NULL)
			wait_may_step_aside();
	}
}

void packer_free(struct packer *p)
{
	if (p == NULL)
		return;
	gzip_packer_free(p->gzip);
	zstd_packer_free(p->zstd);
	mem_free(p);
}

/* ---- unpacking ---- */

struct unpacker *unpacker_new(enum coding c)
{
	struct unpacker *u = mem_alloc(sizeof(*u));
	if (c == CODING_GZIP)
		u->gzip = gzip_unpacker_new();
	else
		u->zstd = zstd_unpacker_new();
	if (u->gzip != NULL || u->zstd != NULL)
		return u;
	mem_free(u);
	return NULL;
}

static const char *name_of(const struct unpacker *u)
{
	return names[u->gzip != NULL ? CODING_GZIP : CODING_ZSTD];
}

bool unpacker_run(struct unpacker *u, struct str *in, size_t room, struct strbuf *out, struct err *err)
{
	enum zstd_result r;
	if (u->gzip != NULL)
		r = gzip_unpacker_run(u->gzip, in, room, out) ? ZSTD_FINE : ZSTD_BROKEN;
	else
		r = zstd_unpacker_run(u->zstd, in, room, out);
	if (strbuf_failed(out))
		return err_set(err, ERR_PAYLOAD_TOO_LARGE, "the body does not fit into memory");
	if (r == ZSTD_WINDOW_TOO_LARGE)
		return err_set(err, ERR_INVALID_REQUEST, "the zstd body wants a window of more than 8 MiB");
	if (r != ZSTD_FINE)
		return err_set(err, ERR_INVALID_REQUEST, "the body is not what Content-Encoding says: broken %s",
			       name_of(u));
	return true;
}

bool unpacker_end(const struct unpacker *u, struct err *err)
{
	if (u->gzip != NULL ? gzip_unpacker_whole(u->gzip) : zstd_unpacker_whole(u->zstd))
		return true;
	return err_set(err, ERR_INVALID_REQUEST, "the %s body breaks off", name_of(u));
}

void unpacker_free(struct unpacker *u)
{
	if (u == NULL)
		return;
	gzip_unpacker_free(u->gzip);
	zstd_unpacker_free(u->zstd);
	mem_free(u);
}
