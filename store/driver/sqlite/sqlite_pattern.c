/*
 * The pattern is cut at its `%` into pieces. The first has to stand at the text's beginning, the last at its end, and
 * those between are looked for from left to right: the leftmost place is always as good as any later one, so nothing is
 * ever tried again. A piece is found by the Knuth-Morris-Pratt automaton or, if it holds `_` or sets, by the shift-and
 * method, which keeps one bit for each of its characters.
 */
#include "store/driver/sqlite/sqlite_pattern.h"

#include <locale.h>
#include <pthread.h>
#include <string.h>
#include <wctype.h>

#include "service/base/limits.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

#define ANY 0xFFFFFFFFU       /* an element that every character matches */
#define SET_BIT 0x80000000U   /* an element that is the number of a set */
#define PAUSE_EVERY (1 << 16) /* characters, about a tenth of a millisecond */
#define N_ASCII 128
#define TABLE_FROM 16 /* elements of a piece with wildcards that make a table worth its memory */

/* Characters and ranges between `[` and `]`: a range is its two ends, a character one twice. */
struct set {
	size_t first, n; /* ranges */
	bool inverted;
};

struct piece {
	const uint32_t *elements;
	size_t n;
	bool wild;
	const uint32_t *back; /* plain: where to go on after a mismatch behind that many */
	uint64_t *ascii;      /* wild and long: of each ASCII character, the elements that it matches, `words` each */
	size_t words;         /* wild */
};

struct pattern {
	enum pattern_fold fold;
	uint32_t escape;
	bool never; /* matches nothing */
	uint32_t *elements, *back, *ranges;
	struct set *sets;
	struct piece *pieces;
	size_t n_elements, n_ranges, n_sets, n_pieces;
};

static void *try_zeroed(size_t n)
{
	void *p = mem_try(NULL, n);

	if (p != NULL)
		memset(p, 0, n);
	return p;
}

/* ---- characters ---- */

static pthread_once_t unicode_once = PTHREAD_ONCE_INIT;
static locale_t unicode; /* never freed: connections come and go on every thread */

static void load_unicode(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

uint32_t pattern_next_char(const unsigned char **at, const unsigned char *end)
{
	const unsigned char *p = *at;
	uint32_t c = *p++;
	const size_t more = c >= 0xF0 && c < 0xF8 ? 3 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xC0 && c < 0xE0 ? 1 : 0;

	*at = p;
	if (more == 0 || (size_t)(end - p) < more)
		return c < 0x80 ? c : 0x110000 + c;
	for (size_t i = 0; i < more; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0x110000 + c;
	c &= 0x3FU >> more;
	for (size_t i = 0; i < more; i++)
		c = c << 6 | (p[i] & 0x3F);
	*at = p + more;
	return c;
}

static uint32_t folded(uint32_t c, enum pattern_fold fold)
{
	if (c < 0x80)
		return fold != PATTERN_FOLD_NONE && c >= 'A' && c <= 'Z' ? c + 32 : c;
	if (fold != PATTERN_FOLD_UNICODE || c >= 0x110000 || unicode == (locale_t)0)
		return c;
	return (uint32_t)towlower_l((wint_t)c, unicode);
}

/* ---- compiling ---- */

struct reader {
	struct pattern *p;
	const struct pattern_syntax *syntax;
	const unsigned char *at, *end;
};

static void add_element(struct reader *r, uint32_t element)
{
	r->p->elements[r->p->n_elements++] = element;
	r->p->pieces[r->p->n_pieces].n++;
}

static void add_wild(struct reader *r, uint32_t element)
{
	r->p->pieces[r->p->n_pieces].wild = true;
	add_element(r, element);
}

static void add_range(struct pattern *p, uint32_t from, uint32_t to)
{
	p->ranges[2 * p->n_ranges] = from;
	p->ranges[2 * p->n_ranges + 1] = to;
	p->n_ranges++;
}

/* Behind the `[`. False: it has no end. */
static bool read_set(struct reader *r)
{
	struct pattern *p = r->p;
	struct set *set = &p->sets[p->n_sets];
	uint32_t before = 0;
	bool first = true;

	*set = (struct set){.first = p->n_ranges};
	if (r->at < r->end && *r->at == '^') {
		set->inverted = true;
		r->at++;
	}
	for (; r->at < r->end; first = false) {
		const uint32_t c = pattern_next_char(&r->at, r->end);

		if (c == ']' && !first) {
			set->n = p->n_ranges - set->first;
			add_wild(r, SET_BIT | (uint32_t)p->n_sets++);
			return true;
		}
		if (c == '-' && r->at < r->end && *r->at != ']' && before > 0) {
			add_range(p, before, pattern_next_char(&r->at, r->end));
			before = 0;
			continue;
		}
		add_range(p, c, c);
		before = first && c == ']' ? 0 : c;
	}
	return false;
}

static bool read_element(struct reader *r)
{
	uint32_t c = pattern_next_char(&r->at, r->end);

	if (c == r->syntax->many) {
		r->p->n_pieces++;
		return true;
	}
	if (c == r->syntax->one) {
		add_wild(r, ANY);
		return true;
	}
	if (c == '[' && r->syntax->sets)
		return read_set(r);
	if (c == r->syntax->escape) {
		if (r->at < r->end)
			c = pattern_next_char(&r->at, r->end);
		else if (!r->syntax->last_escape_is_itself)
			return false;
	}
	add_element(r, folded(c, r->syntax->fold));
	return true;
}

static bool in_set(const struct pattern *p, const struct set *set, uint32_t c)
{
	for (size_t i = set->first; i < set->first + set->n; i++)
		if (c >= p->ranges[2 * i] && c <= p->ranges[2 * i + 1])
			return !set->inverted;
	return set->inverted;
}

/* c is folded. */
static bool fits(const struct pattern *p, uint32_t element, uint32_t c)
{
	if (element == c || element == ANY)
		return true;
	return (element & SET_BIT) != 0 && in_set(p, &p->sets[element & ~SET_BIT], c);
}

static void make_back(struct piece *piece, uint32_t *back)
{
	uint32_t k = 0;

	for (size_t i = 1; i < piece->n; i++) {
		while (k > 0 && piece->elements[i] != piece->elements[k])
			k = back[k - 1];
		k += piece->elements[i] == piece->elements[k];
		back[i] = k;
	}
	piece->back = back;
}

static void set_bit(uint64_t *bits, size_t i)
{
	bits[i / 64] |= (uint64_t)1 << i % 64;
}

static bool make_bits(const struct pattern *p, struct piece *piece)
{
	piece->words = (piece->n + 63) / 64;
	if (piece->n < TABLE_FROM)
		return true;
	piece->ascii = try_zeroed(N_ASCII * piece->words * sizeof(*piece->ascii));
	if (piece->ascii == NULL)
		return false;
	for (uint32_t c = 0; c < N_ASCII; c++)
		for (size_t i = 0; i < piece->n; i++)
			if (fits(p, piece->elements[i], c))
				set_bit(piece->ascii + c * piece->words, i);
	return true;
}

/* Tables for the pieces that are looked for; the first, and an only one, stand where they must. */
static enum pattern_fault make_tables(struct pattern *p)
{
	const uint32_t *elements = p->elements;

	for (size_t i = 0; i < p->n_pieces; i++) {
		struct piece *piece = &p->pieces[i];

		piece->elements = elements;
		elements += piece->n;
		if (i == 0 || piece->n == 0)
			continue;
		if (piece->wild && piece->n > PATTERN_WILD_MAX)
			return PATTERN_TOO_COMPLEX;
		if (!piece->wild)
			make_back(piece, p->back + (piece->elements - p->elements));
		else if (!make_bits(p, piece))
			return PATTERN_NO_MEMORY;
	}
	return PATTERN_FINE;
}

static bool make_room(struct pattern *p, struct str text, const struct pattern_syntax *syntax)
{
	size_t n_pieces = 1, n_sets = 0;

	for (size_t i = 0; i < text.len; i++) {
		n_pieces += (unsigned char)text.p[i] == syntax->many;
		n_sets += text.p[i] == '[';
	}
	n_sets = syntax->sets ? n_sets : 0;
	p->pieces = try_zeroed(n_pieces * sizeof(*p->pieces));
	p->elements = try_zeroed((text.len + 1) * sizeof(*p->elements));
	p->back = try_zeroed((text.len + 1) * sizeof(*p->back));
	if (n_sets > 0) {
		p->sets = try_zeroed((n_sets + 1) * sizeof(*p->sets));
		p->ranges = try_zeroed(2 * (text.len + 1) * sizeof(*p->ranges));
	}
	return p->pieces != NULL && p->elements != NULL && p->back != NULL &&
	       (n_sets == 0 || (p->sets != NULL && p->ranges != NULL));
}

enum pattern_fault pattern_compile(struct str text, const struct pattern_syntax *syntax, struct pattern **ret)
{
	struct reader r = {.syntax = syntax};
	enum pattern_fault fault = PATTERN_NO_MEMORY;
	struct pattern *p;

	if (text.len > LIMIT_PATTERN_BYTES)
		return PATTERN_TOO_COMPLEX;
	(void)pthread_once(&unicode_once, load_unicode);
	p = try_zeroed(sizeof(*p));
	if (p == NULL)
		return PATTERN_NO_MEMORY;
	if (make_room(p, text, syntax)) {
		p->fold = syntax->fold;
		p->escape = syntax->escape;
		r.p = p;
		r.at = (const unsigned char *)text.p;
		r.end = r.at + text.len;
		while (!p->never && r.at < r.end)
			p->never = !read_element(&r);
		p->n_pieces++;
		fault = p->never ? PATTERN_FINE : make_tables(p);
	}
	if (fault == PATTERN_FINE)
		*ret = p;
	else
		pattern_free(p);
	return fault;
}

uint32_t pattern_escape(const struct pattern *p)
{
	return p->escape;
}

void pattern_free(void *arg)
{
	struct pattern *p = arg;

	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n_pieces; i++)
		mem_free(p->pieces[i].ascii);
	mem_free(p->pieces);
	mem_free(p->elements);
	mem_free(p->back);
	mem_free(p->sets);
	mem_free(p->ranges);
	mem_free(p);
}

/* ---- matching ---- */

struct match {
	const struct pattern *p;
	const unsigned char *at, *end;
	const struct pattern_pause *pause;
	size_t work;
	bool gave_up;
};

static inline uint32_t next_folded(struct match *m)
{
	const uint32_t c = *m->at < 0x80 ? *m->at++ : pattern_next_char(&m->at, m->end);

	return folded(c, m->p->fold);
}

/* False: the match is given up. */
static inline bool worked(struct match *m, size_t work)
{
	m->work += work;
	if (m->work < PAUSE_EVERY)
		return true;
	m->work = 0;
	m->gave_up = !m->pause->call(m->pause->arg);
	return !m->gave_up;
}

static bool stands_here(struct match *m, const struct piece *piece)
{
	for (size_t i = 0; i < piece->n; i++)
		if (m->at == m->end || !fits(m->p, piece->elements[i], next_folded(m)))
			return false;
	return true;
}

/* Moves behind the first place of the piece, or (last) to the end of the text if the piece stands there. */
static bool find_plain(struct match *m, const struct piece *piece, bool last)
{
	size_t k = 0;

	while (m->at < m->end) {
		const uint32_t c = next_folded(m);

		while (k > 0 && (k == piece->n || piece->elements[k] != c))
			k = piece->back[k - 1];
		k += piece->elements[k] == c;
		if (k == piece->n && !last)
			return true;
		if (!worked(m, 1))
			return false;
	}
	return last && k == piece->n;
}

/* The elements that a character beyond ASCII matches. */
static void bits_of(const struct match *m, const struct piece *piece, uint32_t c, uint64_t *bits)
{
	memset(bits, 0, piece->words * sizeof(*bits));
	for (size_t i = 0; i < piece->n; i++)
		if (fits(m->p, piece->elements[i], c))
			set_bit(bits, i);
}

static bool find_wild(struct match *m, const struct piece *piece, bool last)
{
	const size_t words = piece->words, top = piece->n - 1;
	uint64_t state[PATTERN_WILD_MAX / 64] = {0}, other[PATTERN_WILD_MAX / 64] = {0};
	bool whole = false;

	while (m->at < m->end) {
		const uint32_t c = next_folded(m);
		const uint64_t *bits = other;
		uint64_t carry = 1;

		if (c < N_ASCII && piece->ascii != NULL)
			bits = piece->ascii + c * words;
		else
			bits_of(m, piece, c, other);
		for (size_t i = 0; i < words; i++) {
			const uint64_t out = state[i] >> 63;

			state[i] = (state[i] << 1 | carry) & bits[i];
			carry = out;
		}
		whole = (state[top / 64] >> top % 64 & 1) != 0;
		if (whole && !last)
			return true;
		if (!worked(m, bits == other ? piece->n : words))
			return false;
	}
	return last && whole;
}

static bool find(struct match *m, const struct piece *piece, bool last)
{
	if (piece->n == 0) {
		m->at = last ? m->end : m->at;
		return true;
	}
	return piece->wild ? find_wild(m, piece, last) : find_plain(m, piece, last);
}

enum pattern_answer pattern_match(const struct pattern *p, struct str text, const struct pattern_pause *pause)
{
	struct match m = {.p = p, .at = (const unsigned char *)text.p, .pause = pause};
	bool yes;

	m.end = m.at + text.len;
	if (p->never)
		return PATTERN_NO;
	yes = stands_here(&m, &p->pieces[0]);
	for (size_t i = 1; yes && i < p->n_pieces; i++)
		yes = find(&m, &p->pieces[i], i + 1 == p->n_pieces);
	if (m.gave_up)
		return PATTERN_GAVE_UP;
	return yes && m.at == m.end ? PATTERN_YES : PATTERN_NO;
}
