/* What the golden programs share: files under tests/golden/, read from the repository root. */
#ifndef FERROD_TESTS_SUPPORT_GOLDEN_H
#define FERROD_TESTS_SUPPORT_GOLDEN_H

#include "service/base/arena.h"
#include "service/base/json.h"
#include "store/dialect/dialect.h"
#include "store/schema/schema.h"

/* The parsed file; ends the test when it cannot be read. Lives in the arena. */
json_t *golden_load(struct arena *a, const char *path);

/* Parsed text; ends the test when it is refused. */
json_t *golden_parse(struct arena *a, const char *text);

/* The same of text with ' for ", which reads better in C. */
json_t *golden_quoted(struct arena *a, const char *text);

/* A schema of a document; ends the test when it is invalid. A new reference. */
struct schema *golden_schema(struct arena *a, const json_t *doc);

/* The canonical forms as they are answered; in the arena. */
json_t *golden_envelope(struct arena *a, const struct schema *s);
json_t *golden_model(struct arena *a, const struct model *m);

/* The model of the reference's shadow vectors, as a schema. A new reference. */
struct schema *golden_shadow_schema(struct arena *a);

/* Each dialect with its file of shadow vectors. */
void golden_each_shadow(void (*check)(const struct dialect *d, const char *path));

/* Compact sorted text of a value, in the arena, for comparisons that print well. */
const char *golden_text(struct arena *a, const json_t *v);

#endif
