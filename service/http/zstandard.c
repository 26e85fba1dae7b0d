/* See zstandard.h. */
#include "service/http/zstandard.h"

#include <zstd.h>
#include <zstd_errors.h>

#include "service/base/mem.h"

#include "service/base/banned.h"

#define LEVEL 3
#define WINDOW_LOG 18     /* of ours: a stream holds a few times 256 KiB */
#define WINDOW_LOG_MAX 23 /* of others: 8 MiB (RFC 9659) */
#define FRAME_HEAD_MAX 18 /* bytes */
#define STEP 16384

struct zstd_packer {
	ZSTD_CCtx *c;
};

struct zstd_unpacker {
	ZSTD_DCtx *d;
	size_t frame_read; /* bytes of the frame so far */
	bool ended;        /* a frame has; another may follow */
};

static bool set(ZSTD_CCtx *c, ZSTD_cParameter what, int value)
{
	return ZSTD_isError(ZSTD_CCtx_setParameter(c, what, value)) == 0;
}

struct zstd_packer *zstd_packer_new(size_t size)
{
	struct zstd_packer *p = mem_alloc(sizeof(*p));
	p->c = ZSTD_createCCtx();
	if (p->c != NULL && set(p->c, ZSTD_c_compressionLevel, LEVEL) && set(p->c, ZSTD_c_windowLog, WINDOW_LOG) &&
	    (size == 0 || ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(p->c, size)) == 0))
		return p;
	zstd_packer_free(p);
	return NULL;
}

bool zstd_packer_put(struct zstd_packer *p, struct str in, enum pack_flush flush, struct strbuf *out)
{
	const ZSTD_EndDirective how = flush == PACK_END     ? ZSTD_e_end
				      : flush == PACK_FLUSH ? ZSTD_e_flush
							    : ZSTD_e_continue;
	ZSTD_inBuffer from = {.src = in.p, .size = in.len};
	size_t left;
	do {
		ZSTD_outBuffer to = {.dst = strbuf_reserve(out, STEP), .size = STEP};
		if (to.dst == NULL)
			return false;
		left = ZSTD_compressStream2(p->c, &to, &from, how);
		if (ZSTD_isError(left) != 0)
			return false;
		strbuf_advance(out, to.pos);
	} while (from.pos < from.size || (how != ZSTD_e_continue && left > 0));
	return true;
}

void zstd_packer_free(struct zstd_packer *p)
{
	if (p == NULL)
		return;
	(void)ZSTD_freeCCtx(p->c);
	mem_free(p);
}

struct zstd_unpacker *zstd_unpacker_new(void)
{
	struct zstd_unpacker *u = mem_alloc(sizeof(*u));
	u->d = ZSTD_createDCtx();
	if (u->d != NULL && ZSTD_isError(ZSTD_DCtx_setParameter(u->d, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)) == 0)
		return u;
	zstd_unpacker_free(u);
	return NULL;
}

static enum zstd_result step(struct zstd_unpacker *u, struct str *in, ZSTD_outBuffer *to)
{
	ZSTD_inBuffer from = {.src = in->p, .size = in->len};
	const size_t left = ZSTD_decompressStream(u->d, to, &from);
	if (ZSTD_isError(left) != 0)
		return ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge ? ZSTD_WINDOW_TOO_LARGE
											   : ZSTD_BROKEN;
	*in = str_n(in->p + from.pos, in->len - from.pos);
	u->ended = left == 0;
	u->frame_read = u->ended ? 0 : u->frame_read + from.pos;
	return ZSTD_FINE;
}

/* The library does not look at the window of a frame whose content has room at once, so the head is read without any.
 */
static enum zstd_result read_head(struct zstd_unpacker *u, struct str *in)
{
	static char none[1];
	ZSTD_outBuffer nowhere = {.dst = none, .size = 0};
	return u->frame_read < FRAME_HEAD_MAX && in->len > 0 ? step(u, in, &nowhere) : ZSTD_FINE;
}

enum zstd_result zstd_unpacker_run(struct zstd_unpacker *u, struct str *in, size_t room, struct strbuf *out)
{
	const size_t end = out->len + room;
	bool more = true;
	while (out->len < end && (more || in->len > 0)) {
		enum zstd_result r = read_head(u, in);
		if (r != ZSTD_FINE)
			return r;
		if (u->ended && in->len == 0)
			break; /* the library would take this for the start of the next */
		if (u->ended)
			continue;
		ZSTD_outBuffer to = {.size = end - out->len < STEP ? end - out->len : STEP};
		to.dst = strbuf_reserve(out, to.size);
		if (to.dst == NULL)
			return ZSTD_BROKEN;
		r = step(u, in, &to);
		if (r != ZSTD_FINE)
			return r;
		strbuf_advance(out, to.pos);
		more = to.pos == to.size;
	}
	return ZSTD_FINE;
}

bool zstd_unpacker_whole(const struct zstd_unpacker *u)
{
	return u->ended;
}

void zstd_unpacker_free(struct zstd_unpacker *u)
{
	if (u == NULL)
		return;
	(void)ZSTD_freeDCtx(u->d);
	mem_free(u);
}
