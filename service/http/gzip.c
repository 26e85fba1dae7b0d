/* See gzip.h. */
#include "service/http/gzip.h"

#define ZLIB_CONST
#include <zlib.h>

#include "service/base/mem.h"

#include "service/base/banned.h"

#define LEVEL 4                 /* rows shrink nearly as well as with the default of 6, in two thirds of the time */
#define FRAMED (MAX_WBITS + 16) /* with gzip's header and trailer, and no other's */
#define STEP 16384
#define INPUT_MAX ((size_t)1 << 30)

struct gzip_packer {
	z_stream z;
};

struct gzip_unpacker {
	z_stream z;
	bool ended; /* a member has; another may follow */
};

struct gzip_packer *gzip_packer_new(void)
{
	struct gzip_packer *p = mem_alloc(sizeof(*p));
	if (deflateInit2(&p->z, LEVEL, Z_DEFLATED, FRAMED, MAX_MEM_LEVEL - 1, Z_DEFAULT_STRATEGY) == Z_OK)
		return p;
	mem_free(p);
	return NULL;
}

bool gzip_packer_put(struct gzip_packer *p, struct str in, enum pack_flush flush, struct strbuf *out)
{
	const int how = flush == PACK_END ? Z_FINISH : flush == PACK_FLUSH ? Z_SYNC_FLUSH : Z_NO_FLUSH;
	p->z.next_in = (const Bytef *)in.p;
	p->z.avail_in = (uInt)in.len;
	do {
		char *to = strbuf_reserve(out, STEP);
		if (to == NULL)
			return false;
		p->z.next_out = (Bytef *)to;
		p->z.avail_out = STEP;
		if (deflate(&p->z, how) == Z_STREAM_ERROR)
			return false;
		strbuf_advance(out, STEP - p->z.avail_out);
	} while (p->z.avail_out == 0);
	return true;
}

void gzip_packer_free(struct gzip_packer *p)
{
	if (p == NULL)
		return;
	(void)deflateEnd(&p->z);
	mem_free(p);
}

struct gzip_unpacker *gzip_unpacker_new(void)
{
	struct gzip_unpacker *u = mem_alloc(sizeof(*u));
	if (inflateInit2(&u->z, FRAMED) == Z_OK)
		return u;
	mem_free(u);
	return NULL;
}

/* One call of the library's; *ret_more: another may make more bytes. */
static bool inflate_step(struct gzip_unpacker *u, struct str *in, size_t room, struct strbuf *out, bool *ret_more)
{
	const size_t given = in->len < INPUT_MAX ? in->len : INPUT_MAX;
	const size_t most = room < STEP ? room : STEP;
	char *to = strbuf_reserve(out, most);
	if (to == NULL)
		return false;
	u->z.next_in = (const Bytef *)in->p;
	u->z.avail_in = (uInt)given;
	u->z.next_out = (Bytef *)to;
	u->z.avail_out = (uInt)most;
	const int r = inflate(&u->z, Z_NO_FLUSH);
	strbuf_advance(out, most - u->z.avail_out);
	*in = str_n(in->p + (given - u->z.avail_in), in->len - (given - u->z.avail_in));
	u->ended = r == Z_STREAM_END;
	*ret_more = u->ended || u->z.avail_out == 0;
	return r == Z_OK || r == Z_STREAM_END || (r == Z_BUF_ERROR && in->len == 0);
}

bool gzip_unpacker_run(struct gzip_unpacker *u, struct str *in, size_t room, struct strbuf *out)
{
	const size_t end = out->len + room;
	bool more = true;
	while (out->len < end && (more || in->len > 0)) {
		if (u->ended && in->len == 0)
			break;
		if (u->ended && inflateReset(&u->z) != Z_OK)
			return false;
		if (!inflate_step(u, in, end - out->len, out, &more))
			return false;
	}
	return true;
}

bool gzip_unpacker_whole(const struct gzip_unpacker *u)
{
	return u->ended;
}

void gzip_unpacker_free(struct gzip_unpacker *u)
{
	if (u == NULL)
		return;
	(void)inflateEnd(&u->z);
	mem_free(u);
}
