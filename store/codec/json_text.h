/* Is a database's text one JSON document? Decides without building a tree. Pure. */
#ifndef FERROD_STORE_CODEC_JSON_TEXT_H
#define FERROD_STORE_CODEC_JSON_TEXT_H

#include <stdbool.h>

#include "service/base/macros.h"
#include "service/base/str.h"

/* RFC 8259 text in well-formed UTF-8, nested at most 1,024 deep, so that it can stand inside an answer as it is. */
bool json_text_valid(struct str text) MUST_CHECK;

enum json_text { JSON_TEXT_INVALID, JSON_TEXT_VALID, JSON_TEXT_TOO_DEEP /* valid so far: it was not read on */ };

/* The same, telling apart what is only nested deeper than that. */
enum json_text json_text_check(struct str text) MUST_CHECK;

#endif
