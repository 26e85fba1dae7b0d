/* See packing.h. */
#include "service/http/packing.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "service/base/banned.h"

static bool peer_is_loopback(const struct exchange *x)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *sa = info != NULL ? info->client_addr : NULL;
	if (sa != NULL && sa->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24 == 127;
	if (sa != NULL && sa->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
	}
	return true; /* of this machine */
}

/* The answer depends on Accept-Encoding, and says so even where there is none: caches must know. */
static enum coding choose(struct exchange *x)
{
	const enum compression mode = x->loop->server->options.compression;
	if (mode == COMPRESSION_OFF || x->conn == NULL || (mode == COMPRESSION_AUTO && peer_is_loopback(x)))
		return CODING_NONE;
	response_header(&x->res, "Vary", STR("Accept-Encoding"));
	return coding_accepted(request_header_list(&x->req, "Accept-Encoding"));
}

static struct http_pair *own_tag(struct response *res)
{
	for (size_t i = 0; i < res->n_headers; i++)
		if (str_eq_z(res->headers[i].name, "ETag") && str_starts(res->headers[i].value, STR("\"")))
			return &res->headers[i];
	return NULL;
}

/* Other bytes have another strong tag. */
static struct str tag_in(struct exchange *x, struct str tag, enum coding c)
{
	return arena_printf(&x->req.arena, "%.*s-%s\"", (int)(tag.len - 1), tag.p, coding_name(c));
}

static void say(struct exchange *x, enum coding c)
{
	struct http_pair *tag = own_tag(&x->res);
	response_header(&x->res, "Content-Encoding", str_z(coding_name(c)));
	if (tag != NULL)
		tag->value = tag_in(x, tag->value, c);
}

/* 304: whoever has the packed bytes is told that tag. */
static void say_known(struct exchange *x)
{
	const enum coding c = choose(x);
	struct http_pair *tag = own_tag(&x->res);
	struct str known = request_header_list(&x->req, "If-None-Match"), item;
	if (c == CODING_NONE || tag == NULL)
		return;
	const struct str packed = tag_in(x, tag->value, c);
	while (str_split(&known, ',', &item)) {
		if (!str_eq(str_trim(item), packed))
			continue;
		tag->value = packed;
		return;
	}
}

static bool begin(struct exchange *x, struct err *err)
{
	struct response_stream *s = &x->stream;
	s->coding = choose(x);
	if (s->coding == CODING_NONE)
		return true;
	s->packer = packer_new(s->coding, 0);
	return s->packer != NULL || err_set(err, ERR_INTERNAL_ERROR, "no memory to compress the answer");
}

bool packing_begin(struct exchange *x, struct err *err)
{
	if (!begin(x, err))
		return false;
	if (x->stream.packer != NULL)
		say(x, x->stream.coding);
	return true;
}

bool packing_drop(struct exchange *x, enum pack_flush flush, struct err *err)
{
	struct response_stream *s = &x->stream;
	if (s->dropped == 0 && !begin(x, err))
		return false;
	if (s->packer != NULL && !packer_put(s->packer, strbuf_str(&x->res.body), flush, &s->packed))
		return err_set(err, ERR_INTERNAL_ERROR, "no memory to compress the answer");
	s->dropped += s->packer != NULL ? s->packed.len : x->res.body.len;
	strbuf_reset(&s->packed);
	strbuf_reset(&x->res.body);
	return true;
}

void packing_whole(struct exchange *x)
{
	struct response *res = &x->res;
	struct strbuf out;
	struct err ignored;
	if (res->status == 304)
		say_known(x);
	if (x->stream.packer != NULL && x->stream.dropped > 0 && packing_drop(x, PACK_END, &ignored))
		say(x, x->stream.coding);
	if (x->stream.packer != NULL || x->stream.dropped > 0 || res->body.len <= LIMIT_PACK_BYTES)
		return;
	const enum coding c = choose(x);
	if (c == CODING_NONE)
		return;
	struct packer *p = packer_new(c, res->body.len);
	strbuf_init(&out, 0);
	/* the plain bytes will do where there is no memory, or nothing gained */
	if (p != NULL && packer_put(p, strbuf_str(&res->body), PACK_END, &out) && out.len < res->body.len) {
		const struct strbuf plain = res->body;
		res->body = out;
		out = plain;
		say(x, c);
	}
	strbuf_done(&out);
	packer_free(p);
}
