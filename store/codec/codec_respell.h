/*
 * A stored value of one column of SQLite's as another column of its kind stores it: times, uuids and decimals have
 * spellings there, which a statement that copies them has to translate. Pure.
 */
#ifndef FERROD_STORE_CODEC_CODEC_RESPELL_H
#define FERROD_STORE_CODEC_CODEC_RESPELL_H

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "store/dialect/dialect.h"
#include "store/schema/schema.h"
#include "store/value.h"

/* What of a column the spelling of its values depends on, as a number for a statement's text; and back. */
int codec_spelling_code(const struct column *c);
struct column codec_spelling_of(int code);

/* Do values of `from` have to be translated to stand in `to`? False for one and the same column, whose values may stay
 * as they are, and for columns of different kinds. */
bool codec_respells(const struct column *from, const struct column *to);

/* The value as `to` stores it; what cannot be understood stays as it is. Borrows from v, or in the arena. */
struct value codec_respell(struct arena *a, const struct column *from, const struct column *to, struct value v);

/* SQLite: the same uuid as others may have stored it in a column of the database's: its bytes beside its text, and the
 * other way round. False: there is no other form. In the arena. */
bool codec_twin(struct arena *a, const struct dialect *d, const struct column *c, struct value v,
		struct value *ret) MUST_CHECK;

/* What a text says as a value of the column that `to` is: false where it says none. In the arena. */
bool codec_read_text(struct arena *a, const struct column *to, struct str text, struct value *ret) MUST_CHECK;

/* The value as a part of a document, JSON text in the arena: as it is answered, decimals as numbers of their digits. */
struct str codec_document_of(struct arena *a, const struct column *from, struct value v);

#endif
