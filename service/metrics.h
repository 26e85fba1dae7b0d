/*
 * Counters and histograms of the process in Prometheus text format 0.0.4. Every thread counts in a shard of its own; a
 * scrape adds them up. Label sets are bounded: routes of the table, statuses of the contract.
 */
#ifndef FERROD_SERVICE_METRICS_H
#define FERROD_SERVICE_METRICS_H

#include "service/http/request.h"
#include "service/http/router.h"

/* X(ID, "name", "help"): plain counters of the process. Of a name in seconds milliseconds are counted. */
#define METRICS_COUNTERS(X) \
	X(RESPONSE_BYTES, "ferrod_response_bytes_total", "Bytes of response bodies written by handlers.") \
	X(REQUEST_BYTES, "ferrod_request_bytes_total", "Bytes of request bodies read.") \
	X(CLIENT_GONE, "ferrod_clients_gone_total", "Requests whose client went away before the answer.") \
	X(STREAMS, "ferrod_streams_total", "Answers that were streamed.") \
	X(LONG_RESTS, "ferrod_long_rests_total", \
	  "Times that streams and bulk bodies were held back for short requests.") \
	X(LONG_REST_MS, "ferrod_long_rest_seconds_total", "How long they were, in all.")

#define METRICS_ENUM(id, name, help) METRIC_##id,
enum metric { METRICS_COUNTERS(METRICS_ENUM) N_METRICS };
#undef METRICS_ENUM

/* Time of one request by phase, nanoseconds. */
struct metrics_phases {
	int64_t queue;    /* head read -> handler starts */
	int64_t lease;    /* waiting for a pooled connection */
	int64_t database; /* below exec, less the lease */
	int64_t encode;   /* all the rest of the handler */
};

/* Once, before the first thread counts; the table is borrowed for the process's life. */
void metrics_init(const struct route_table *routes);
/* After the last thread has gone: frees every shard. */
void metrics_done(void);

/* Any thread; never parks. */
void metrics_add(enum metric m, uint64_t n);
/* One answered request. A route that is none of the table's counts as unmatched. */
void metrics_request(const struct route_def *route, int status, const struct metrics_phases *p);

/* Appends everything counted here. */
void metrics_write(struct strbuf *b);

/* For figures that live elsewhere (pools, sessions): the two comment lines of a family. type: "gauge", "counter". */
void metrics_family(struct strbuf *b, const char *name, const char *type, const char *help);

#endif
