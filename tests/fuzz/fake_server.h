/*
 * The fake PostgreSQL server itself: it listens on a socket without a file, and answers what the script says.
 *
 * A plain one sends a piece of the script whenever the client waits for an answer. A helpful one answers as a server
 * would what needs no thought (how a session begins, transactions, settings, DDL), keeps the frame of the extended
 * protocol, and takes from the script what statements answer, so that a short script leads far.
 */
#ifndef FERROD_TESTS_FUZZ_FAKE_SERVER_H
#define FERROD_TESTS_FUZZ_FAKE_SERVER_H

#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fuzz/fake_script.h"

#define PATIENCE_MS 15 /* of the server, for a client that says nothing */

static struct {
	pthread_once_t once;
	int listener;
	char url[128];
	bool pooled; /* no settings are asked for */
	bool helpful;
	pthread_mutex_t lock;
	struct script script; /* under the lock */
} fake = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static bool read_all(int fd, void *to, size_t n)
{
	for (size_t got = 0; got < n;) {
		const ssize_t r = recv(fd, (char *)to + got, n - got, 0);

		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return true;
}

static bool send_all(int fd, struct str s)
{
	for (size_t sent = 0; sent < s.len;) {
		const ssize_t r = send(fd, s.p + sent, s.len - sent, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		sent += (size_t)r;
	}
	return true;
}

static uint32_t big_endian(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads up to what asks for an answer. False: the client has gone; *ret_silent: it says nothing. */
static bool await_question(int fd, bool *ret_silent)
{
	char skip[512];

	*ret_silent = false;
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		unsigned char head[5];

		if (poll(&p, 1, PATIENCE_MS) == 0) {
			*ret_silent = true;
			return true;
		}
		if (!read_all(fd, head, sizeof(head)) || big_endian(head + 1) < 4)
			return false;
		for (size_t left = big_endian(head + 1) - 4; left > 0;) {
			const size_t n = left < sizeof(skip) ? left : sizeof(skip);

			if (!read_all(fd, skip, n))
				return false;
			left -= n;
		}
		if (strchr("QScf", head[0]) != NULL)
			return true;
	}
}

/* The start-up packet, and what the server says of itself. */
static bool shake_hands(int fd)
{
	static const char hello[] = "R\0\0\0\x08\0\0\0\0S\0\0\0\x19server_version\0"
				    "15.18\0K\0\0\0\x0c\0\0\0\1\0\0\0\2Z\0\0\0\5I";
	unsigned char head[8], rest[1024];

	return read_all(fd, head, sizeof(head)) && big_endian(head) - 8 <= sizeof(rest) &&
	       read_all(fd, rest, big_endian(head) - 8) && big_endian(head + 4) == 196608 &&
	       send_all(fd, str_n(hello, sizeof(hello) - 1));
}

static bool greet(int fd)
{
	static const char no_history[] = "E\0\0\0\x1aSERROR\0VERROR\0C42501\0\0Z\0\0\0\5I";
	static const char settings[] = "C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I";
	bool silent;

	return fake.pooled ||
	       (await_question(fd, &silent) && !silent && send_all(fd, str_n(settings, sizeof(settings) - 1)) &&
		await_question(fd, &silent) && !silent && send_all(fd, str_n(no_history, sizeof(no_history) - 1)));
}

static bool next_locked(struct strbuf *piece, const char *ends, char *ret_last)
{
	pthread_mutex_lock(&fake.lock);
	const bool ok = next_piece(&fake.script, piece, ends, ret_last);
	pthread_mutex_unlock(&fake.lock);
	return ok;
}

static bool script_over(void)
{
	pthread_mutex_lock(&fake.lock);
	const bool over = fake.script.p >= fake.script.end;
	pthread_mutex_unlock(&fake.lock);
	return over;
}

static bool answer(int fd)
{
	struct strbuf piece;
	char last;

	strbuf_init(&piece, 0);
	const bool ok = next_locked(&piece, "Z", &last) && send_all(fd, strbuf_str(&piece));
	strbuf_done(&piece);
	return ok;
}

static void serve_plainly(int fd)
{
	bool silent, asked = false;

	if (!greet(fd))
		return;
	while (await_question(fd, &silent)) {
		asked = asked || !silent;
		if (asked && !answer(fd))
			break;
	}
}

/* ---- a helpful one ---- */

#define TEXT_BYTES 64 /* of a statement, from its start: what it is shows there */

/* One connection. */
struct peer {
	int fd;
	char status;
	char text[TEXT_BYTES]; /* the statement that was parsed last; "": one of before */
	bool ends;             /* its text ends with COMMIT */
	bool failed, ready;    /* in this flight: what follows is passed over; the script has said that it is over */
};

static bool send_message(int fd, char kind, struct str body)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_putc(&b, kind);
	put_int(&b, (uint32_t)body.len + 4, 4);
	strbuf_put(&b, body);
	const bool ok = send_all(fd, strbuf_str(&b));
	strbuf_done(&b);
	return ok;
}

static bool starts(const struct peer *p, const char *words)
{
	return strncasecmp(p->text, words, strlen(words)) == 0;
}

/* Is it one that needs no thought? Then its command tag, and what becomes of the transaction. */
static const char *plain_tag(struct peer *p)
{
	static const char *const words[] = {"SET ",
					    "RESET ",
					    "CREATE ",
					    "LISTEN ",
					    "SAVEPOINT ",
					    "RELEASE ",
					    "DISCARD ",
					    "DEALLOCATE ",
					    "CLOSE ",
					    "UNLISTEN ",
					    "ROLLBACK TO ",
					    "SELECT pg_catalog.set_config",
					    "SELECT pg_advisory",
					    "SELECT pg_notify"};

	if (starts(p, "BEGIN")) {
		p->status = 'T';
		return "BEGIN";
	}
	if (starts(p, "COMMIT") || (p->ends && starts(p, "SET "))) {
		p->status = 'I';
		return "COMMIT";
	}
	if (strcasecmp(p->text, "ROLLBACK") == 0) {
		p->status = 'I';
		return "ROLLBACK";
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (starts(p, words[i]))
			return "SET";
	return NULL;
}

/* What is asked at the start of a session. */
static bool find_out(struct peer *p, bool *ret_ok)
{
	static const char pid[] = "T\0\0\0\x1a\0\1p\0\0\0\0\0\0\0\0\0\0\x17\0\4\0\0\0\0\0\0"
				  "D\0\0\0\x0b\0\1\0\0\0\1"
				  "1C\0\0\0\x0dSELECT 1";
	static const char history[] = "T\0\0\0\x42\0\3a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\0\0\0"
				      "b\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\0\0\0"
				      "c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\0\0\0"
				      "D\0\0\0\x1b\0\3\xff\xff\xff\xff\0\0\0\1"
				      "7\0\0\0\x08"
				      "00000001C\0\0\0\x0dSELECT 1";

	if (starts(p, "SELECT pg_catalog.pg_backend_pid()"))
		*ret_ok = send_all(p->fd, str_n(pid, sizeof(pid)));
	else if (starts(p, "SELECT NULL::pg_catalog.text, (SELECT system_identifier"))
		*ret_ok = send_all(p->fd, str_n(history, sizeof(history)));
	else
		return false;
	return true;
}

/* What a statement answers; false: the connection ends. */
static bool run_text(struct peer *p)
{
	const char *tag = plain_tag(p);
	struct strbuf piece;
	bool ok;
	char last = 0;

	if (tag != NULL)
		return send_message(p->fd, 'C', str_n(tag, strlen(tag) + 1));
	if (find_out(p, &ok))
		return ok;
	strbuf_init(&piece, 0);
	ok = next_locked(&piece, "CEZ", &last) && send_all(p->fd, strbuf_str(&piece));
	strbuf_done(&piece);
	p->ready = last == 'Z';
	p->failed = last == 'E';
	if (p->failed && p->status == 'T')
		p->status = 'E';
	return ok;
}

static bool send_ready(struct peer *p)
{
	const bool said = p->ready;

	p->failed = p->ready = false;
	return said || send_message(p->fd, 'Z', str_n(&p->status, 1));
}

static void keep_text(struct peer *p, struct str text)
{
	static const char commit[] = "COMMIT";
	const size_t n = text.len < sizeof(p->text) ? text.len : sizeof(p->text) - 1;

	memcpy(p->text, text.p, n);
	p->text[n] = '\0';
	p->ends = text.len >= sizeof(commit) - 1 &&
		  memcmp(text.p + text.len - (sizeof(commit) - 1), commit, sizeof(commit) - 1) == 0;
}

static bool take_message(struct peer *p, char kind, struct str body)
{
	const char *nul = memchr(body.p, '\0', body.len);
	const size_t name = nul != NULL ? (size_t)(nul - body.p) + 1 : 0;

	switch (kind) {
	case 'Q':
		keep_text(p, str_n(body.p, name > 0 ? name - 1 : 0));
		return run_text(p) && send_ready(p);
	case 'S':
		return send_ready(p);
	case 'P':
		keep_text(p, str_z(body.p + name));
		return p->failed || send_message(p->fd, '1', STR(""));
	case 'B':
		return p->failed || send_message(p->fd, '2', STR(""));
	case 'E': {
		const bool ok = p->failed || run_text(p);

		p->text[0] = '\0';
		return ok;
	}
	case 'c':
	case 'f':
		return run_text(p);
	default:
		return kind != 'X';
	}
}

/* One message of the client, or a piece of the script in its silence. */
static bool serve_one(struct peer *p)
{
	struct pollfd poll_fd = {.fd = p->fd, .events = POLLIN};
	unsigned char head[5];
	bool ok = false;

	if (poll(&poll_fd, 1, PATIENCE_MS) == 0) {
		p->text[0] = '\0';
		return run_text(p);
	}
	if (!read_all(p->fd, head, sizeof(head)) || big_endian(head + 1) < 4)
		return false;
	const size_t n = big_endian(head + 1) - 4;
	char *body = calloc(n + 2, 1); /* two texts may be looked for */
	if (body != NULL && read_all(p->fd, body, n))
		ok = take_message(p, (char)head[0], str_n(body, n));
	free(body);
	return ok;
}

static void *serve(void *arg)
{
	struct peer p = {.fd = (int)(intptr_t)arg, .status = 'I'};

	if (shake_hands(p.fd)) {
		if (!fake.helpful)
			serve_plainly(p.fd);
		else
			while (serve_one(&p))
				continue;
	}
	close(p.fd);
	return NULL;
}

static void *accept_all(void *arg UNUSED)
{
	for (;;) {
		const int fd = accept(fake.listener, NULL, NULL);
		pthread_t t;

		if (fd >= 0 && pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
		else if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void start_server(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	pthread_t t;
	const int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "ferrod-fuzz-%d/.s.PGSQL.5432", (int)getpid());
	const socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

	(void)snprintf(fake.url, sizeof(fake.url), "postgres://u@%%40ferrod-fuzz-%d/d?sslmode=disable", (int)getpid());
	fake.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fake.listener < 0 || bind(fake.listener, (struct sockaddr *)&at, len) != 0 ||
	    listen(fake.listener, 64) != 0 || pthread_create(&t, NULL, accept_all, NULL) != 0)
		abort();
	pthread_detach(t);
}

#endif
