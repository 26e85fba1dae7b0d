/*
 * The whole way of a request, from the socket to the store and back, in one process: method, path, framing and headers
 * are chosen by the first bytes, the rest is the body and what bends them; or all of it is sent as it is. Whatever is
 * sent, the server answers or closes, soon, and answers others afterwards.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "handlers/app.h"
#include "handlers/routes.h"
#include "handlers/unit/idempotency.h"
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/log.h"
#include "service/base/strbuf.h"
#include "service/base/wait.h"
#include "service/http/server.h"
#include "service/metrics.h"
#include "store/catalog/catalog.h"
#include "store/catalog/declared.h"
#include "store/driver/sqlite/driver_sqlite.h"
#include "store/migrate/apply.h"
#include "store/state/told.h"
#include "store/store.h"
#include "tests/fuzz/fuzz_common.h"

/* Parked fibers have stacks that the leak detector does not look at; leaks are for the API tests under ASan. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define ANSWER_MS 10000 /* no input may take longer, whatever else runs on the machine */
#define QUIET_MS 10     /* a request that is not whole: nothing comes */
#define FRESH_EVERY 200 /* inputs that meet what others have left behind */

static struct {
	struct app app;
	struct server *server;
	struct route_table routes;
	struct str allow_urls[1];
	struct sockaddr_un address;
	socklen_t address_len;
	char session[128];
	unsigned n;
} all;

/* ---- the client ---- */

static int client_open(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)(const void *)&all.address, all.address_len) != 0)
		abort();
	return fd;
}

static void client_send(int fd, struct str bytes)
{
	while (bytes.len > 0) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		if (poll(&p, 1, ANSWER_MS) == 0)
			abort();
		ssize_t n = send(fd, bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return; /* closed: the answer is there already */
		if (n > 0)
			bytes = str_n(bytes.p + n, bytes.len - (size_t)n);
	}
}

/* Reads up to the end of the connection into b. A request that is not whole ends with our side of it. */
static void client_read(int fd, bool whole, struct strbuf *b)
{
	const int64_t end = clock_mono_ns() + ANSWER_MS * CLOCK_NS_PER_MS;
	bool ended = false;
	char piece[4096];
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		const int ready = poll(&p, 1, whole || ended ? ANSWER_MS : QUIET_MS);
		if (clock_mono_ns() > end)
			abort();
		if (ready == 0 && ended)
			abort();
		if (ready == 0) {
			shutdown(fd, SHUT_WR);
			ended = true;
			continue;
		}
		ssize_t n = recv(fd, piece, sizeof(piece), 0);
		if (n <= 0)
			break;
		strbuf_put(b, str_n(piece, (size_t)n));
	}
	close(fd);
}

static void exchange(struct str text, bool whole, struct strbuf *answer)
{
	int fd = client_open();
	client_send(fd, text);
	client_read(fd, whole, answer);
	struct str got = strbuf_str(answer);
	if (got.len > 0 && !str_starts(got, STR("HTTP/1.1 ")) && !str_starts(got, STR("HTTP/1.0 ")))
		abort();
}

/* A request of our own, which must succeed; the answer is in b until the next one. */
static struct str ask(struct strbuf *b, const char *method, const char *path, const char *body)
{
	struct strbuf text;
	strbuf_init(&text, 0);
	strbuf_reset(b);
	strbuf_printf(&text,
		      "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
		      "Content-Length: %zu\r\n\r\n%s",
		      method, path, strlen(body), body);
	exchange(strbuf_str(&text), true, b);
	strbuf_done(&text);
	if (!str_starts(strbuf_str(b), STR("HTTP/1.1 2")))
		abort();
	return strbuf_str(b);
}

/* ---- the server ---- */

static void freshen(void)
{
	struct strbuf b;
	strbuf_init(&b, 0);
	(void)ask(&b, "POST", "/v1/reset", "{}");
	(void)ask(&b, "POST", "/v1/connections", "{\"url\":\"sqlite::memory:\",\"name\":\"app\",\"default\":true}");
	(void)ask(&b, "PUT", "/v1/models", fuzz_models);
	(void)ask(&b, "POST", "/v1/create-tables", "{}");
	(void)ask(&b, "POST", "/v1/models/User/records", "{\"name\":\"ann\",\"age\":7}");
	struct str answer = ask(&b, "POST", "/v1/sessions", "{}"), line;
	all.session[0] = '\0';
	while (str_split(&answer, '\n', &line))
		if (str_starts(line, STR("Ferro-Session: ")))
			snprintf(all.session, sizeof(all.session), "%.*s", (int)line.len - 16, line.p + 15);
	strbuf_done(&b);
}

static void end(void)
{
	server_stop(all.server);
	idempotency_done();
	node_destroy(all.app.node);
	told_destroy(all.app.told);
	declared_destroy(all.app.declared);
	store_destroy(all.app.store);
	server_destroy(all.server);
	offload_done();
	metrics_done();
}

static bool bind_url(void *arg, struct arena *a, struct str *url, struct err *err)
{
	(void)arg;
	(void)a;
	(void)url;
	(void)err;
	return true;
}

static void left_out(void *arg, struct str name, const struct err *err)
{
	(void)arg;
	(void)name;
	(void)err;
}

static void spawn(void *arg, void (*fn)(void *), void *fn_arg)
{
	(void)arg;
	loop_spawn(server_loop(all.server), fn, fn_arg);
}

static bool keys_prepare(void *arg, const json_t *keys, void **ret, struct err *err)
{
	(void)arg;
	(void)keys;
	(void)err;
	*ret = NULL;
	return true;
}

static void keys_end(void *arg, void *prepared)
{
	(void)arg;
	(void)prepared;
}

static void report(void *arg, const struct declared_report *r)
{
	(void)arg;
	(void)r;
}

static bool no_answer(void *arg, struct str url, int64_t ns, struct arena *a, struct str *ret_instance)
{
	(void)arg;
	(void)url;
	(void)ns;
	(void)a;
	(void)ret_instance;
	return false;
}

static void node_report(void *arg, const char *event, struct str detail)
{
	(void)arg;
	(void)event;
	(void)detail;
}

/* Nothing is declared, nothing is kept, and no other server is there. */
static void begin_telling(void)
{
	struct err err;
	struct catalog *catalog;
	const struct catalog_source from = {.path = "", .bind = bind_url};
	const struct declared_hooks hooks = {.spawn = spawn,
					     .keys_prepare = keys_prepare,
					     .keys_publish = keys_end,
					     .keys_discard = keys_end,
					     .report = report};
	const struct told_hooks told = {.allowed = bind_url, .left_out = left_out};
	if (!catalog_read(&from, &catalog, &err) ||
	    !declared_create(all.app.store, &from, &hooks, catalog, NULL, &all.app.declared, &err))
		abort();
	all.app.told = told_create(all.app.store, all.app.declared, NULL, &told);
	const struct node_options node = {.name = STR("fuzz"),
					  .url = STR(""),
					  .version = STR(""),
					  .spawn = spawn,
					  .ask = no_answer,
					  .report = node_report};
	if (!node_create(all.app.store, NULL, &node, &all.app.node, &err))
		abort();
}

static int listen_local(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	all.address.sun_family = AF_UNIX;
	/* an abstract name: nothing is left of it */
	int n = snprintf(all.address.sun_path + 1, sizeof(all.address.sun_path) - 1, "ferrod-fuzz-%d", (int)getpid());
	all.address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	if (fd < 0 || bind(fd, (const struct sockaddr *)(const void *)&all.address, all.address_len) != 0 ||
	    listen(fd, 64) != 0)
		abort();
	return fd;
}

static void begin(void)
{
	struct err err;
	const struct store_options so = {
		.sessions = {.max_sessions = 50,
			     .max_per_owner = 50,
			     .max_transactions = 4,
			     .idle_timeout_s = 900,
			     .max_lifetime_s = 86400,
			     .tombstone_s = 1,
			     .imap_entries = 100,
			     .imap_bytes = 100000},
		.statement_timeout_s = 0.2,
		.busy_timeout_s = 0.1,
		.tx_timeout_s = 1,
		.tx_timeout_max_s = 1,
		.tx_queue_max = 4,
		.sqlite_cache_kib = 100,
	};
	log_configure(LOG_ERROR, LOG_JSON);
	all.routes = routes_table();
	metrics_init(&all.routes);
	offload_init(1);
	idempotency_configure(&(struct idempotency_limits){.answer_bytes = 1 << 16, .entries = 100, .bytes = 1 << 18});
	driver_sqlite_configure(
		&(struct sqlite_options){.busy_timeout_s = 0.1, .cache_kib = 100, .value_bytes = 1 << 20});
	migrate_configure(0.2); /* nobody ends transactions here that are in its way */
	all.app.store = store_create(&so);
	all.allow_urls[0] = STR("sqlite::memory:"); /* no file and no other host is reached */
	all.app.allow_urls = all.allow_urls;
	all.app.n_allow_urls = 1;
	all.app.version = "0";
	const struct server_options o = {
		.listen_fd = listen_local(),
		.listen = STR("127.0.0.1:8080"),
		.n_loops = 1,
		.body_bytes = 65536,
		.json_values = LIMIT_JSON_VALUES,
		.long_percent = LIMIT_LONG_PERCENT,
		.bulk_body_bytes = 1 << 20,
		.uri_bytes = LIMIT_URI_BYTES,
		.header_bytes = LIMIT_HEADER_BYTES,
		.http_connections = 100,
		.http_idle_s = 1, /* 0.9 overlooks an end that comes with bytes: the idle time is what ends it */
		.request_timeout_s = 0.5,
		.body_wait_s = 0.1,
		.write_timeout_s = 1,
		.check_host = true,
		.cors_origins = STR("https://app.example"),
		.routes = all.routes,
		.app = &all.app};
	begin_telling();
	if (!server_create(&o, &all.server, &err) || !server_start(all.server, &err) ||
	    !server_listen(all.server, &err))
		abort();
	atexit(end);
}

/* ---- one request ---- */

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "X"};
static const char *const headers[] = {"Content-Type: application/json\r\n",
				      "Content-Type: application/x-ndjson\r\n",
				      "Accept: text/csv\r\n",
				      "Accept: application/x-ndjson;q=0.5, */*\r\n",
				      "Expect: 100-continue\r\n",
				      "Prefer: return=minimal, tx=rollback, max-affected=1\r\n",
				      "Prefer: count=exact; x, timeout=0.1, int64=string\r\n",
				      "If-None-Match: *\r\n",
				      "If-Match: \"x\"\r\n",
				      "Idempotency-Key: k\r\n",
				      "Origin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n",
				      "Authorization: Bearer x\r\n",
				      "Ferro-Transaction: x\r\n",
				      "Cache-Control: no-cache\r\n",
				      "Cookie: a=b; c\r\n",
				      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"};

/* A path of the table, its parameters filled in; what follows the path in the input is its tail. */
static void put_target(struct strbuf *b, unsigned which, struct str tail)
{
	static const char *const values[] = {"User", "1", "posts"};
	const char *p = all.routes.routes[which % all.routes.n_routes].path;
	unsigned n = 0;
	for (; *p != '\0'; p++) {
		if (*p != '{') {
			strbuf_putc(b, *p);
			continue;
		}
		strbuf_puts(b, values[n < 2 ? n : 2]);
		n++;
		while (*p != '}')
			p++;
	}
	for (size_t i = 0; i < tail.len; i++) /* a blank would end it */
		strbuf_putc(b, tail.p[i] > ' ' ? tail.p[i] : '%');
}

static size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

static void put_chunks(struct strbuf *b, struct str body, bool extended)
{
	for (size_t at = 0; at < body.len;) {
		const size_t n = at_most(1u + (unsigned char)body.p[at] % 100u, body.len - at);
		strbuf_printf(b, "%zx%s\r\n", n, extended ? ";a=\"b\"" : "");
		strbuf_put(b, str_n(body.p + at, n));
		strbuf_puts(b, "\r\n");
		at += n;
	}
	strbuf_puts(b, extended ? "0\r\nTrailer: x\r\n\r\n" : "0\r\n\r\n");
}

/* true: the request is whole, and the connection ends with its answer. */
static bool put_body(struct strbuf *b, unsigned framing, struct str body)
{
	switch (framing % 8) {
	case 0:
		strbuf_puts(b, "\r\n");
		return true;
	case 1:
	case 2:
		strbuf_printf(b, "Content-Length: %zu\r\n\r\n", body.len);
		strbuf_put(b, body);
		return true;
	case 3:
	case 4:
		strbuf_puts(b, "Transfer-Encoding: chunked\r\n\r\n");
		put_chunks(b, body, framing % 8 == 4);
		return true;
	case 5: /* the chunks are the input's own */
		strbuf_puts(b, "Transfer-Encoding: chunked\r\n\r\n");
		strbuf_put(b, body);
		return false;
	case 6: /* fewer bytes than stated */
		strbuf_printf(b, "Content-Length: %zu\r\n\r\n", body.len + 1);
		strbuf_put(b, body);
		return false;
	default: /* the input's own headers, too */
		strbuf_put(b, body);
		return false;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strbuf text, answer;
	bool whole = false;
	if (size < 6)
		return 0;
	if (all.server == NULL)
		begin();
	if (all.n++ % FRESH_EVERY == 0)
		freshen();
	strbuf_init(&text, 0);
	strbuf_init(&answer, 0);
	if (data[0] >= ARRAY_LEN(methods)) {
		strbuf_put(&text, fuzz_text(data + 1, size - 1));
	} else {
		struct str rest = fuzz_text(data + 6, size - 6);
		const size_t n_tail = data[5] < 128 ? 0 : at_most(data[5] - 128u, rest.len);
		const unsigned bits = data[3] | (unsigned)data[4] << 8;
		strbuf_printf(&text, "%s ", methods[data[0]]);
		put_target(&text, data[1], str_n(rest.p, n_tail));
		strbuf_puts(&text, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
		for (size_t i = 0; i < ARRAY_LEN(headers); i++)
			if ((bits >> i & 1) != 0)
				strbuf_puts(&text, headers[i]);
		if ((data[2] & 64) != 0)
			strbuf_printf(&text, "Ferro-Session: %s\r\n", all.session);
		whole = put_body(&text, data[2], str_n(rest.p + n_tail, rest.len - n_tail));
	}
	exchange(strbuf_str(&text), whole, &answer);
	if (whole && answer.len == 0)
		abort();
	strbuf_done(&text);
	strbuf_done(&answer);
	return 0;
}
