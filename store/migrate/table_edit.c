/* See table_edit.h. */
#include "store/migrate/table_edit.h"

#include <stdlib.h>
#include <string.h>

#include "store/dialect/dialect.h"

#include "service/base/banned.h"

/* The list with room for one more: a list of n doubles when n is a power of two. */
static void *more(struct arena *a, void *list, size_t n, size_t item)
{
	void *out;

	if (n != 0 && (n & (n - 1)) != 0)
		return list;
	out = arena_array(a, n == 0 ? 1 : 2 * n, item);
	if (n > 0)
		memcpy(out, list, n * item);
	return out;
}

void table_edit_init(struct table_edit *e, struct arena *a, const struct table_text *text)
{
	*e = (struct table_edit){.arena = a, .text = text};
	e->gone = arena_array(a, text->n_items + 1, sizeof(bool));
	e->piece_gone = arena_array(a, text->n_pieces + 1, sizeof(bool));
	memset(e->gone, 0, text->n_items + 1);
	memset(e->piece_gone, 0, text->n_pieces + 1);
}

const struct table_item *table_edit_column(const struct table_edit *e, struct str column)
{
	for (size_t i = 0; i < e->text->n_items; i++)
		if (e->text->items[i].column.p != NULL &&
		    live_name_eq(&dialect_sqlite, e->text->items[i].column, column))
			return &e->text->items[i];
	return NULL;
}

void table_edit_replace(struct table_edit *e, struct text_span span, struct str with)
{
	e->changes = more(e->arena, e->changes, e->n_changes, sizeof(*e->changes));
	e->changes[e->n_changes++] = (struct text_change){span, arena_str(e->arena, with)};
}

void table_edit_drop_column(struct table_edit *e, struct str column)
{
	const struct table_item *item = table_edit_column(e, column);

	if (item != NULL)
		e->gone[item - e->text->items] = true;
}

static struct text_span with_blank_before(struct str sql, struct text_span s)
{
	while (s.from > 0 && sql.p[s.from - 1] == ' ')
		s.from--;
	return s;
}

void table_edit_drop_piece(struct table_edit *e, size_t piece)
{
	const struct table_piece *p = &e->text->pieces[piece];
	bool alone = e->text->items[p->item].column.p == NULL;

	e->piece_gone[piece] = true;
	for (size_t i = 0; i < e->text->n_pieces && alone; i++)
		alone = e->text->pieces[i].item != p->item || e->piece_gone[i];
	if (alone)
		e->gone[p->item] = true;
	else
		table_edit_replace(e, with_blank_before(e->text->sql, p->span), STR(""));
}

void table_edit_add_column(struct table_edit *e, struct str definition)
{
	e->columns = more(e->arena, e->columns, e->n_columns, sizeof(*e->columns));
	e->columns[e->n_columns++] = arena_str(e->arena, definition);
}

void table_edit_add_constraint(struct table_edit *e, struct str definition)
{
	e->constraints = more(e->arena, e->constraints, e->n_constraints, sizeof(*e->constraints));
	e->constraints[e->n_constraints++] = arena_str(e->arena, definition);
}

static int by_place(const void *x, const void *y)
{
	const struct text_change *a = x, *b = y;

	if (a->span.from != b->span.from)
		return a->span.from < b->span.from ? -1 : 1;
	return a->span.to < b->span.to ? -1 : a->span.to > b->span.to;
}

static void put_item(const struct table_edit *e, const struct table_item *item, struct strbuf *out)
{
	size_t at = item->span.from;

	for (size_t i = 0; i < e->n_changes; i++) {
		const struct text_change *c = &e->changes[i];

		if (c->span.from < at || c->span.to > item->span.to)
			continue;
		strbuf_put(out, str_n(e->text->sql.p + at, c->span.from - at));
		strbuf_put(out, c->with);
		at = c->span.to;
	}
	strbuf_put(out, str_n(e->text->sql.p + at, item->span.to - at));
}

static void put_added(const struct str *list, size_t n, bool *first, struct strbuf *out)
{
	for (size_t i = 0; i < n; i++) {
		strbuf_puts(out, *first ? "" : ", ");
		*first = false;
		strbuf_put(out, list[i]);
	}
}

void table_edit_write(struct table_edit *e, struct str name, struct strbuf *out)
{
	const struct table_text *t = e->text;
	bool first = true, columns_done = false;

	if (e->n_changes > 1)
		qsort(e->changes, e->n_changes, sizeof(*e->changes), by_place);
	strbuf_puts(out, "CREATE TABLE ");
	dialect_quote_ident(out, name);
	strbuf_puts(out, " ( ");
	for (size_t i = 0; i < t->n_items; i++) {
		if (t->items[i].column.p == NULL && !columns_done) {
			put_added(e->columns, e->n_columns, &first, out);
			columns_done = true;
		}
		if (e->gone[i])
			continue;
		strbuf_puts(out, first ? "" : ", ");
		first = false;
		put_item(e, &t->items[i], out);
	}
	if (!columns_done)
		put_added(e->columns, e->n_columns, &first, out);
	put_added(e->constraints, e->n_constraints, &first, out);
	/* in words of our own: what stands behind the body of a file made by others may be anything */
	strbuf_puts(out, t->without_rowid ? " ) WITHOUT ROWID" : " )");
	strbuf_puts(out, !t->strict ? "" : t->without_rowid ? ", STRICT" : " STRICT");
}
