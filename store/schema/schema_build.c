/* A schema in the making: its drafts and its faults. See schema_build.h. */
#include "store/schema/schema_build.h"

#include <stdarg.h>
#include <stdio.h>

#include "service/base/json.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

#define MORE_BYTES 64

void schema_build_init(struct schema_build *b, struct arena *scratch)
{
	*b = (struct schema_build){.s = mem_alloc(sizeof(*b->s)), .scratch = scratch, .set_pointer = ""};
	b->s->refs = 1;
	b->s->dialect_agnostic = true;
	b->arena = &b->s->arena;
	arena_init(b->arena);
	map_init(&b->s->by_name);
	map_init(&b->s->by_table);
	map_init(&b->by_table);
	b->faults = arena_array(scratch, LIMIT_ERR_FAULTS, sizeof(*b->faults));
}

void schema_build_done(struct schema_build *b)
{
	map_done(&b->by_table);
	schema_unref(b->s);
}

void schema_fault(struct schema_build *b, const char *pointer, const char *fmt, ...)
{
	char detail[512];
	va_list ap;

	if (b->n_faults++ >= LIMIT_ERR_FAULTS)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	b->faults[b->n_faults - 1] = (struct err_fault){pointer, arena_strz(b->scratch, str_z(detail))};
}

void schema_warn(struct schema_build *b, const char *code, const char *pointer, const char *fmt, ...)
{
	struct schema *s = b->s;
	struct schema_warning *w;
	char detail[512];
	va_list ap;

	if (b->kept)
		return;
	if (s->warnings == NULL)
		s->warnings = arena_array(b->arena, LIMIT_SCHEMA_WARNINGS, sizeof(*s->warnings));
	if (++b->n_warnings > LIMIT_SCHEMA_WARNINGS) {
		if (b->more == NULL)
			b->more = arena_alloc(b->arena, MORE_BYTES);
		(void)snprintf(b->more, MORE_BYTES, "and %zu more of this and other kinds",
			       b->n_warnings - LIMIT_SCHEMA_WARNINGS + 1);
		s->warnings[LIMIT_SCHEMA_WARNINGS - 1].detail = str_z(b->more);
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	w = &s->warnings[s->n_warnings++];
	w->code = code;
	w->pointer = arena_str(b->arena, str_z(pointer));
	w->detail = arena_str(b->arena, str_z(detail));
}

const char *schema_element_pointer(struct schema_build *b, const struct draft *d, const char *array, size_t index)
{
	const char *at;

	if (d->kept)
		return d->pointer;
	at = json_pointer_key(b->scratch, d->pointer, str_z(array));
	return json_pointer_index(b->scratch, at, index);
}

struct draft *schema_draft_of_key(const struct schema_build *b, const struct foreign_key *fk)
{
	return map_get(&b->by_table, model_place(b->scratch, fk->to_schema, fk->to_table));
}
