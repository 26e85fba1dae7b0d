/*
 * How others spell instants in SQLite, which has no type for them: text of several forms, and numbers since 1970 or of
 * Julian days. Pure. A column's spelling is how ferrod writes it; reads and comparisons know every form all the same.
 */
#ifndef FERROD_STORE_CODEC_TIME_SPELLING_H
#define FERROD_STORE_CODEC_TIME_SPELLING_H

#include "service/base/arena.h"
#include "store/codec/temporal.h"
#include "store/schema/schema.h"
#include "store/value.h"

/* A canonical datetime (TEMPORAL_STORED, with Z or without) as a column of that spelling holds it; in the arena. */
struct value time_spell(struct arena *a, struct str canonical, enum time_spelling spelling);

/* A stored value of a column of that spelling in the form whose text order is time order: UTC,
 * "YYYY-MM-DDTHH:MM:SS.ffffff". A number has the spelling's unit; where that is none of numbers, it is a Julian day
 * below 5373484.5, else seconds below 1e11, milliseconds below 1e14, microseconds. False: it is no instant. */
bool time_sortable(struct value v, enum time_spelling spelling, char out[TEMPORAL_BYTES]);

/* A stored value of a column of times (datetime, date, time of day) as it is compared: time_sortable; "YYYY-MM-DD",
 * also of an instant at midnight; "HH:MM:SS[.ffffff]". False: it is none. */
bool time_normal(const struct column *c, struct value v, char out[TEMPORAL_BYTES]);

/* Is the text order of the spelling time order? */
bool time_spelling_sorts(enum time_spelling spelling);

/* The units that numbers may have, in the order of their spellings from TIME_UNIX. */
#define TIME_UNITS 4

/* Between what stored values an instant lies, whatever its form: text by day, a day wider, and numbers of each unit. */
struct time_bounds {
	struct str text_low, text_high; /* the latter is above it */
	double low[TIME_UNITS], high[TIME_UNITS];
};

/* Of a sortable instant; in the arena. */
struct time_bounds time_bounds(struct arena *a, struct str sortable);
/* Of a time of day, which only text holds. */
struct time_bounds time_clock_bounds(struct arena *a, struct str clock);
/* Numbers of the unit lie between this and its negative. */
double time_unit_end(enum time_spelling unit);

/* The spelling of a stored value; TIME_MIXED: none of those that ferrod writes. */
enum time_spelling time_spelling_of(struct value v);

#endif
