/*
 * Content codings (RFC 9110 section 8.4.1): which there are, which one a client accepts, and how bytes are packed and
 * unpacked by pieces. Knows no request: packing.h answers with them, body.h reads them. Below: gzip.h, zstandard.h.
 * Packers and unpackers are owned by who makes them.
 */
#ifndef FERROD_SERVICE_COMPRESSION_H
#define FERROD_SERVICE_COMPRESSION_H

#include "service/base/err.h"
#include "service/http/gzip.h"

enum coding { CODING_NONE, CODING_GZIP, CODING_ZSTD };

/* Which answers are compressed: of peers that are not loopback, all, none. */
enum compression { COMPRESSION_AUTO, COMPRESSION_ON, COMPRESSION_OFF };

#define CODINGS_READ "gzip, zstd" /* as Accept-Encoding says it */

/* What the setting's word says: "on", "off", else "auto". */
enum compression compression_of(struct str word);
/* Static: "gzip". */
const char *coding_name(enum coding c);
/* What a Content-Encoding names; an empty one and "identity" are CODING_NONE. false: none that is read here. */
bool coding_named(struct str name, enum coding *ret) MUST_CHECK;
/* The one that an Accept-Encoding prefers to the plain bytes (RFC 9110 section 12.5.3); CODING_NONE: none. */
enum coding coding_accepted(struct str accept);
/* Is the entity tag that a client names ours, with or without the suffix of a coding that it was answered in? */
bool coding_tag_is(struct str named, struct str own);

struct packer;
struct unpacker;

/* size: bytes that will be put in, 0: unknown. NULL: no memory. Owned by the caller: packer_free. */
struct packer *packer_new(enum coding c, size_t size) MUST_CHECK;
/* Packs `in` and appends to out. In a fiber it steps aside when that takes long. false: no memory. */
bool packer_put(struct packer *p, struct str in, enum pack_flush flush, struct strbuf *out) MUST_CHECK;
void packer_free(struct packer *p);

/* NULL: no memory. Owned by the caller: unpacker_free. */
struct unpacker *unpacker_new(enum coding c) MUST_CHECK;
/* Unpacks as much of *in as makes at most `room` bytes, which are appended; what is left stays in *in.
 * ERR_INVALID_REQUEST when it is broken, or wants a window of more than 8 MiB. */
bool unpacker_run(struct unpacker *u, struct str *in, size_t room, struct strbuf *out, struct err *err) MUST_CHECK;
/* All of it has been read: ERR_INVALID_REQUEST when it breaks off. */
bool unpacker_end(const struct unpacker *u, struct err *err) MUST_CHECK;
void unpacker_free(struct unpacker *u);

#endif
