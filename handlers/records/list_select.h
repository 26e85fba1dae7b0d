/* What a list shows: select= and include= of its URL. Lives in the request's arena. */
#ifndef FERROD_HANDLERS_RECORDS_LIST_SELECT_H
#define FERROD_HANDLERS_RECORDS_LIST_SELECT_H

#include "handlers/records/list_condition.h"

/* "a,n:data->>b,author(name),n:comments(count)": columns, computed ones and relations of q (f->model is its model). */
bool url_select(const struct url_filter *f, struct query *q, struct str text) MUST_CHECK;
/* "author,tags(limit:3,order:label.desc)" */
bool url_include(const struct url_filter *f, struct query *q, struct str text) MUST_CHECK;
/* "age.desc.nullslast,author.name" */
bool url_order(const struct url_filter *f, struct query *q, struct str text) MUST_CHECK;
/* A whole number that is not negative. */
bool url_number(const struct url_filter *f, struct str text, bool *ret_has, int64_t *ret) MUST_CHECK;
/* Columns that the links of relations need are read, though not shown. To be called when select and include are known.
 */
void url_read_links(struct arena *a, struct query *q);

#endif
