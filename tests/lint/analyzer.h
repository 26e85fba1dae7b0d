/* Read before every file by `make tidy`: tells the analyzer, which sees one file at a time, that the setters of
 * errors always answer false. (service/base/err.c, which defines them, is analyzed without.) */
#include "service/base/err.h"
#include "service/base/json.h"

#define err_set(...) ((void)(err_set)(__VA_ARGS__), false)
#define err_set_at(...) ((void)(err_set_at)(__VA_ARGS__), false)
#define err_oom(...) ((void)(err_oom)(__VA_ARGS__), false)
