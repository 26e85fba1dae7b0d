/* The API description as files carried in the binary (openapi/assets.S); static, NUL-terminated. */
#ifndef FERROD_OPENAPI_ASSETS_H
#define FERROD_OPENAPI_ASSETS_H

#include <stdint.h>

extern const char openapi_yaml[];
extern const uint64_t openapi_yaml_len; /* bytes, the NUL not counted */
extern const char openapi_json[];
extern const uint64_t openapi_json_len;

#endif
