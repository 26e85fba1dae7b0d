/*
 * Zstandard (RFC 8878) with the window that RFC 9659 allows, a piece at a time; libzstd's only user. Next:
 * compression.h, which chooses among the codings. Packers and unpackers are owned by who makes them.
 */
#ifndef FERROD_SERVICE_ZSTANDARD_H
#define FERROD_SERVICE_ZSTANDARD_H

#include "service/http/gzip.h"

struct zstd_packer;
struct zstd_unpacker;

enum zstd_result { ZSTD_FINE, ZSTD_BROKEN, ZSTD_WINDOW_TOO_LARGE };

/* size: bytes that will be put in, 0: unknown. NULL: no memory. Owned by the caller: zstd_packer_free. */
struct zstd_packer *zstd_packer_new(size_t size) MUST_CHECK;
/* Packs `in` and appends to out. false: no memory. */
bool zstd_packer_put(struct zstd_packer *p, struct str in, enum pack_flush flush, struct strbuf *out) MUST_CHECK;
void zstd_packer_free(struct zstd_packer *p);

/* NULL: no memory. Owned by the caller: zstd_unpacker_free. */
struct zstd_unpacker *zstd_unpacker_new(void) MUST_CHECK;
/* Unpacks as much of *in as makes at most `room` bytes, which are appended; what is left stays in *in. */
enum zstd_result zstd_unpacker_run(struct zstd_unpacker *u, struct str *in, size_t room, struct strbuf *out) MUST_CHECK;
/* Does what has been read so far end where it may? */
bool zstd_unpacker_whole(const struct zstd_unpacker *u);
void zstd_unpacker_free(struct zstd_unpacker *u);

#endif
