/*
 * Names of indexes, uniques, checks and foreign keys: one function for every artifact. Pure; names live in the
 * caller's arena.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_NAMES_H
#define FERROD_STORE_SCHEMA_SCHEMA_NAMES_H

#include "service/base/arena.h"
#include "service/base/str.h"

enum artifact { ARTIFACT_INDEX, ARTIFACT_UNIQUE, ARTIFACT_CHECK, ARTIFACT_FOREIGN_KEY };

/* idx_<t>_<c...>, uq_<t>_<c...>, ck_<t>_<c>, fk_<t>_<c>_<ref> (the last of `parts`). A name over 63 bytes is cut on a
 * character boundary so that it fits with the suffix _idx, _uq, _ck (fk_: no suffix, cut at 63). In the arena. */
struct str schema_artifact_name(struct arena *a, enum artifact kind, struct str table, const struct str *parts,
				size_t n_parts);

/* A name that was given instead of made: as it is up to 63 bytes, else cut by the same rule (in the arena). */
struct str schema_artifact_fit(struct arena *a, enum artifact kind, struct str name);

#endif
