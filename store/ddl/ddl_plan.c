/* The growing list of statements and warnings. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/ddl/ddl.h"

#include "service/base/banned.h"

void ddl_plan_init(struct ddl_plan *p, struct arena *a)
{
	*p = (struct ddl_plan){.arena = a};
}

/* Room for one more; the old array stays in the arena, which doubling keeps small. */
static void *grown(struct arena *a, const void *list, size_t n, size_t *size, size_t item)
{
	void *more;

	*size = *size == 0 ? 16 : *size * 2;
	more = arena_array(a, *size, item);
	if (n > 0)
		memcpy(more, list, n * item);
	return more;
}

void ddl_plan_add(struct ddl_plan *p, enum ddl_kind kind, struct str table, struct str sql)
{
	if (p->n_statements == p->size_statements) {
		size_t size = p->size_statements;

		p->about = grown(p->arena, p->about, p->n_statements, &size, sizeof(*p->about));
		p->statements =
			grown(p->arena, p->statements, p->n_statements, &p->size_statements, sizeof(*p->statements));
	}
	p->about[p->n_statements] = (struct ddl_about){kind, table, p->schema_name};
	p->statements[p->n_statements++] = arena_str(p->arena, sql);
}

void ddl_plan_warn(struct ddl_plan *p, const char *code, struct str table, struct str column, const char *fmt, ...)
{
	char detail[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	if (p->n_warnings == p->size_warnings)
		p->warnings = grown(p->arena, p->warnings, p->n_warnings, &p->size_warnings, sizeof(*p->warnings));
	p->warnings[p->n_warnings++] = (struct ddl_warning){
		.code = arena_str(p->arena, str_z(code)),
		.table = arena_str(p->arena, table),
		.column = arena_str(p->arena, column),
		.detail = arena_str(p->arena, str_z(detail)),
		.rows = -1,
	};
}
