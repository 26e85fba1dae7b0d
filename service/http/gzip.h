/*
 * gzip (RFC 1952), a piece at a time; zlib's only user. Next: compression.h, which chooses among the codings. Packers
 * and unpackers are owned by who makes them.
 */
#ifndef FERROD_SERVICE_GZIP_H
#define FERROD_SERVICE_GZIP_H

#include "service/base/strbuf.h"

/* How much of what has been put in must come out. */
enum pack_flush {
	PACK_MORE,  /* nothing has to: more follows */
	PACK_FLUSH, /* all of it, so that the reader has it now */
	PACK_END    /* all of it and the end */
};

struct gzip_packer;
struct gzip_unpacker;

/* NULL: no memory. Owned by the caller: gzip_packer_free. */
struct gzip_packer *gzip_packer_new(void) MUST_CHECK;
/* Packs `in`, at most 1 GiB, and appends to out. false: no memory. */
bool gzip_packer_put(struct gzip_packer *p, struct str in, enum pack_flush flush, struct strbuf *out) MUST_CHECK;
void gzip_packer_free(struct gzip_packer *p);

/* NULL: no memory. Owned by the caller: gzip_unpacker_free. */
struct gzip_unpacker *gzip_unpacker_new(void) MUST_CHECK;
/* Unpacks as much of *in as makes at most `room` bytes, which are appended; what is left stays in *in. false: broken.
 */
bool gzip_unpacker_run(struct gzip_unpacker *u, struct str *in, size_t room, struct strbuf *out) MUST_CHECK;
/* Does what has been read so far end where it may? */
bool gzip_unpacker_whole(const struct gzip_unpacker *u);
void gzip_unpacker_free(struct gzip_unpacker *u);

#endif
