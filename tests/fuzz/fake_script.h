/* The script of a fake PostgreSQL server: bytes that choose and fill in the messages which it sends. */
#ifndef FERROD_TESTS_FUZZ_FAKE_SCRIPT_H
#define FERROD_TESTS_FUZZ_FAKE_SCRIPT_H

#include <stdint.h>
#include <string.h>

#include "service/base/macros.h"
#include "service/base/strbuf.h"

struct script {
	const uint8_t *p, *end;
};

static inline uint8_t take(struct script *s)
{
	return s->p < s->end ? *s->p++ : 0;
}

static inline struct str take_n(struct script *s, size_t n)
{
	const struct str out = {(const char *)s->p, (size_t)(s->end - s->p) < n ? (size_t)(s->end - s->p) : n};

	s->p += out.len;
	return out;
}

static inline void put_int(struct strbuf *b, uint64_t v, int bytes)
{
	while (bytes-- > 0)
		strbuf_putc(b, (char)(v >> 8 * bytes & 255));
}

static inline void put_z(struct strbuf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		strbuf_putc(b, s.p[i] != '\0' ? s.p[i] : ' ');
	strbuf_putc(b, '\0');
}

static inline void write_columns(struct script *s, struct strbuf *b)
{
	static const uint32_t types[] = {25,   16,   20,   23,   701,  17,   114,  3802,
					 1700, 1043, 2950, 1184, 1082, 1083, 1007, 0};
	const size_t n = take(s);

	put_int(b, (uint32_t)n, 2);
	for (size_t i = 0; i < n; i++) {
		const uint8_t kind = take(s);

		put_z(b, (kind & 0x40) != 0 ? take_n(s, take(s) % 16) : STR("c"));
		put_int(b, 0, 6);
		put_int(b, types[kind % 16], 4);
		put_int(b, 0, 6);
		put_int(b, (kind & 0x80) != 0, 2);
	}
}

static inline void write_row(struct script *s, struct strbuf *b)
{
	const size_t n = take(s);

	put_int(b, (uint32_t)n, 2);
	for (size_t i = 0; i < n; i++) {
		const uint8_t len = take(s);

		if (len == 255) {
			put_int(b, UINT32_MAX, 4);
			continue;
		}
		const struct str cell = take_n(s, len == 254 ? 3 : len);
		put_int(b, len == 254 ? 0x7ffffff0 : (uint32_t)cell.len, 4);
		strbuf_put(b, cell);
	}
}

static inline void write_text(struct script *s, struct strbuf *b)
{
	put_z(b, take_n(s, take(s)));
}

static inline void write_error(struct script *s, struct strbuf *b)
{
	static const char *const states[] = {"42601", "23505", "57014", "26000", "0A000", "57P01", "40001", "XX"};
	const uint8_t kind = take(s);
	const char *severity = (kind & 0x80) != 0 ? "FATAL" : (kind & 0x40) != 0 ? "WARNING" : "ERROR";

	strbuf_putc(b, 'S');
	put_z(b, str_z(severity));
	strbuf_putc(b, 'V');
	put_z(b, str_z(severity));
	strbuf_putc(b, 'C');
	put_z(b, str_z(states[kind % 8]));
	strbuf_putc(b, 'M');
	write_text(s, b);
	strbuf_putc(b, (char)take(s));
	write_text(s, b);
	strbuf_putc(b, '\0');
}

static inline void write_status(struct script *s, struct strbuf *b)
{
	static const char states[] = {'I', 'T', 'E', 'X'};

	strbuf_putc(b, states[take(s) % 4]);
}

static inline void write_copy(struct script *s, struct strbuf *b)
{
	put_int(b, 0, 1);
	put_int(b, take(s) % 8, 2);
}

static inline void write_pair(struct script *s, struct strbuf *b)
{
	write_text(s, b);
	write_text(s, b);
}

static inline void write_notify(struct script *s, struct strbuf *b)
{
	put_int(b, 7, 4);
	write_pair(s, b);
}

static inline void write_nothing(struct script *s UNUSED, struct strbuf *b UNUSED)
{
}

static inline void write_bytes(struct script *s, struct strbuf *b)
{
	strbuf_put(b, take_n(s, take(s)));
}

static const struct {
	char kind; /* 0: the script's */
	void (*write)(struct script *s, struct strbuf *b);
} writers[] = {
	{'T', write_columns}, {'D', write_row},     {'C', write_text},    {'Z', write_status},  {'E', write_error},
	{'1', write_nothing}, {'2', write_nothing}, {'n', write_nothing}, {'I', write_nothing}, {'G', write_copy},
	{'H', write_copy},    {'t', write_copy},    {'N', write_error},   {'A', write_notify},  {'S', write_pair},
	{'s', write_nothing}, {0, write_bytes},
};

/* The next piece, up to a message of one of those kinds, which is *ret_last (0: none); false: the script is over. */
static inline bool next_piece(struct script *s, struct strbuf *out, const char *ends, char *ret_last)
{
	bool any = false;
	struct strbuf body;

	*ret_last = 0;
	strbuf_init(&body, 0);
	while (s->p < s->end && *ret_last == 0) {
		const uint8_t op = take(s);

		any = true;
		if (op >= 240) /* noise without a frame, or a piece that ends too early */
			strbuf_put(out, take_n(s, op - 240U));
		if (op == 240)
			break;
		if (op >= 240)
			continue;
		const size_t i = op % ARRAY_LEN(writers);
		strbuf_reset(&body);
		const char kind = writers[i].kind != 0 ? writers[i].kind : (char)take(s);
		writers[i].write(s, &body);
		strbuf_putc(out, kind);
		put_int(out, (uint32_t)body.len + 4 + (op >= 200 ? op - 200U : 0), 4);
		strbuf_put(out, strbuf_str(&body));
		if (kind != '\0' && strchr(ends, kind) != NULL)
			*ret_last = kind;
	}
	strbuf_done(&body);
	return any;
}

#endif
