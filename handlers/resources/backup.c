/* Copies of SQLite databases while they are served. */
#include <fcntl.h>
#include <unistd.h>

#include "handlers/answer/render.h"
#include "handlers/handlers.h"
#include "handlers/resources/url_policy.h"
#include "handlers/unit/context.h"
#include "service/base/num.h"

#include "service/base/banned.h"

static bool read_path(struct request *req, struct str *path, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	*path = STR_NONE;
	if (!request_options(req, true, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_str(&r, "path", path);
	if (path->p != NULL && (path->len == 0 || memchr(path->p, '\0', path->len) != NULL))
		json_reader_fault(&r, "path", "expected the name of a file");
	return json_reader_done(&r) && request_args_known(req, context_no_args, err);
}

/* Where the operator lets files be: within sqlite_dir. */
static bool target(struct request *req, struct str path, struct str *ret, struct err *err)
{
	const struct app *app = request_app(req);
	struct strbuf b;
	struct dsn dsn;
	if (app->sqlite_dir.p == NULL)
		return err_set_at(
			err, ERR_FORBIDDEN, "/path",
			"files are written only where \"sqlite_dir\" is set; leave `path` out to get the copy itself");
	strbuf_init(&b, 0);
	strbuf_puts(&b, "sqlite:");
	for (size_t i = 0; i < path.len; i++) { /* a file's name may hold what means something in a URL */
		const unsigned char c = (unsigned char)path.p[i];
		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    strchr("/._-", c) != NULL)
			strbuf_putc(&b, (char)c);
		else
			strbuf_printf(&b, "%%%02X", c);
	}
	strbuf_puts(&b, "?mode=rwc");
	struct str url = arena_str(&req->arena, strbuf_str(&b));
	strbuf_done(&b);
	if (!url_bind(app, &req->arena, &url, err) || !dsn_parse(&req->arena, url, &dsn, err))
		return false;
	*ret = arena_str(&req->arena, dsn.path);
	return true;
}

static bool give_bytes(struct response *res, int fd, struct err *err)
{
	char piece[32768];
	ssize_t n;
	while ((n = read(fd, piece, sizeof(piece))) > 0) {
		strbuf_put(&res->body, str_n(piece, (size_t)n));
		if (!response_flush(res, err))
			return false;
	}
	return n == 0 || err_set(err, ERR_INTERNAL_ERROR, "the copy cannot be read");
}

/* Whoever replaces the file meanwhile is waited for by nobody: there is no copy then. */
static bool copy_to(struct request *req, const struct connection *conn, const char *to, int64_t *ret_bytes,
		    struct err *err)
{
	struct driver_conn *held;
	const char *from = arena_strz(&req->arena, conn->dsn.path);
	if (!pool_open_aside(conn->pool, req->deadline, &held, err))
		return false;
	const bool ok = conn->driver->backup(from, held, to, req->deadline, ret_bytes, err);
	pool_close_aside(conn->pool, held);
	return ok;
}

/* A file beside the database that nobody knows by name. */
static bool stream_copy(struct request *req, struct response *res, const struct connection *conn, struct err *err)
{
	char word[25];
	uint8_t bytes[12];
	int64_t size;
	num_random(bytes, sizeof(bytes));
	num_hex(bytes, sizeof(bytes), word);
	const char *copy = arena_printf(&req->arena, "%.*s.backup-%s", STR_FMT(conn->dsn.path), word).p;
	if (!copy_to(req, conn, copy, &size, err))
		return false;
	const int fd = open(copy, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	(void)unlink(copy);
	if (fd < 0)
		return err_set(err, ERR_INTERNAL_ERROR, "the copy cannot be read");
	res->status = 200;
	res->content_type = "application/vnd.sqlite3";
	const bool ok = give_bytes(res, fd, err);
	close(fd);
	return ok;
}

static bool write_copy(struct request *req, struct response *res, const struct connection *conn, struct str path,
		       struct err *err)
{
	struct str to;
	int64_t size;
	if (!target(req, path, &to, err) || !copy_to(req, conn, to.p, &size, err))
		return false;
	struct strbuf *b = response_json(res, 201);
	strbuf_putc(b, '{');
	out_str(b, "path", path);
	out_int(b, "bytes", size);
	strbuf_putc(b, '}');
	return true;
}

bool handle_connection_backup(struct request *req, struct response *res, struct err *err)
{
	struct connection *conn;
	struct str path;
	if (!read_path(req, &path, err) || !principal_connection(req, req->params[0], err) ||
	    !connection_get(&request_app(req)->store->connections, req->params[0], &conn, err))
		return false;
	bool ok = connection_available(conn, err);
	if (ok && (conn->driver->backup == NULL || conn->dsn.mode == SQLITE_MODE_MEMORY || conn->dsn.path.len == 0))
		ok = err_set(err, ERR_INVALID_REQUEST,
			     "only files of SQLite are copied; PostgreSQL has pg_dump and pg_basebackup");
	ok = ok && (path.p != NULL ? write_copy(req, res, conn, path, err) : stream_copy(req, res, conn, err));
	connection_unref(conn);
	return ok;
}
