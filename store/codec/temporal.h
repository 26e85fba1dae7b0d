/* Canonical text of instants, dates and times (RFC 3339, ISO 8601). Pure. */
#ifndef FERROD_STORE_CODEC_TEMPORAL_H
#define FERROD_STORE_CODEC_TEMPORAL_H

#include <stdbool.h>

#include "service/base/macros.h"
#include "service/base/str.h"

#define TEMPORAL_BYTES 40

enum temporal_style {
	TEMPORAL_WIRE,  /* fraction without trailing zeros, none when zero */
	TEMPORAL_STORED /* datetimes: always six fraction digits, so that text order is time order (SQLite); times of
			 * day: six or, when zero, none (what the reference writes; its text order is time order too) */
};

/*
 * "2026-01-02T03:04:05[.f{1,9}][Z|+hh[:mm]|-hh[:mm[:ss]]]", 'T' or space, years 0001 to 9999 (in UTC too); fractions
 * beyond microseconds must be zero. With an offset the output is UTC with 'Z', without one it has none. false: not a
 * datetime.
 */
bool temporal_datetime(struct str in, enum temporal_style style, char out[TEMPORAL_BYTES], bool *ret_aware) MUST_CHECK;
/* The same for what others have stored: seconds may be missing, a space may stand before the offset. */
bool temporal_datetime_read(struct str in, enum temporal_style style, char out[TEMPORAL_BYTES],
			    bool *ret_aware) MUST_CHECK;
/* "YYYY-MM-DD", a real calendar day. */
bool temporal_date(struct str in, char out[TEMPORAL_BYTES]) MUST_CHECK;
/*
 * What RFC 3339 has no form for, as PostgreSQL has it: "infinity", "-infinity", "0044-03-15 BC", "12026-01-02
 * 03:04:05.5+00" (at most seven digits of a year; T and Z are taken too), a date or, with `time`, an instant; with
 * `zone` its output has +00. Offsets other than zero are not taken. false: it is none of them.
 */
bool temporal_beyond(struct str in, bool time, bool zone, char out[TEMPORAL_BYTES]) MUST_CHECK;
/* "HH:MM[:SS[.f{1,9}]]". */
bool temporal_time(struct str in, enum temporal_style style, char out[TEMPORAL_BYTES]) MUST_CHECK;

#endif
