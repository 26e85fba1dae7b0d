"""Requests as bytes, well formed and not: the kinds that llhttp's own tests know, and mutations of framing.

Behind each follows a request that must be answered exactly when all before it is well formed.
"""
HOST = b"Host: localhost\r\n"
JSON = HOST + b"Content-Type: application/json\r\n"
BODY = b'{"sql": "SELECT 6 * 7 AS n"}'
POST = b"POST /v1/sql/fetch-one HTTP/1.1\r\n" + JSON
FOLLOWS = b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Request-Id: follows\r\n\r\n"


def get(lines=b"", start=b"GET /healthz HTTP/1.1\r\n", host=HOST):
    return start + host + lines + b"\r\n"


def post(lines, body=BODY):
    return POST + lines + b"\r\n" + body


def chunked(body, lines=b"Transfer-Encoding: chunked\r\n"):
    return post(lines, body)


def sized(size=b"%x" % len(BODY), data=BODY, after=b"\r\n", last=b"0\r\n\r\n", line_end=b"\r\n"):
    return chunked(size + line_end + data + after + last)


def heads():
    """Request lines and header lines."""
    yield "plain", get()
    yield "method that begins like a response", get(start=b"HEAD /healthz HTTP/1.1\r\n")
    for method in (b"OPTIONS", b"DELETE", b"PATCH", b"REPORT", b"PURGE", b"SEARCH", b"LINK", b"UNLINK", b"SOURCE", b"M-SEARCH", b"MKCOL", b"QUERY"):
        yield f"method {method.decode()}", get(start=method + b" /healthz HTTP/1.1\r\n")
    for method in (b"MKCOLA", b"ANNOUNCE", b"get", b"GE(T", b"G\x01T", b"", b"PRI"):
        yield f"method {method!r}", get(start=method + b" /healthz HTTP/1.1\r\n")
    yield "CONNECT", get(start=b"CONNECT localhost:443 HTTP/1.1\r\n")
    for version in (b"ICE/1.0", b"IHTTP/1.0", b"RTSP/1.0", b"HTTP/5.6", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1", b"HTTP/1.", b"HTTP/1.1a", b"HTTP/11.1",
                    b"http/1.1", b"HTTP/1.1 ", b" HTTP/1.1", b"HTTP /1.1", b"HTTP/1 .1", b"HTTP/01.1", b"HTTPS/1.1"):
        yield f"version {version!r}", get(start=b"GET /healthz " + version + b"\r\n")
    yield "no version", b"GET /healthz\r\n\r\n"
    yield "no version, headers", b"GET /healthz\r\n" + HOST + b"\r\n"
    yield "HTTP/1.0", get(start=b"GET /healthz HTTP/1.0\r\n")
    yield "HTTP/1.0 kept alive", get(b"Connection: keep-alive\r\n", start=b"GET /healthz HTTP/1.0\r\n")
    yield "HTTP/1.0 without Host", get(start=b"GET /healthz HTTP/1.0\r\n", host=b"")
    yield "no Host", get(host=b"")
    for target in (b'/healthz?a="b"', b"/healthz?a=b?c", b"/healthz?a=|", b"/healthz#f", b"/healthz?a=b#f", b"/heal thz", b"/healthz?\xc3\xa4", b"/h\xce\xb4", b"/healthz?{}",
                   b"/healthz?<>", b"/healthz?\\", b"/healthz?^`", b"/healthz\t", b"/healthz\x7f", b"healthz", b"", b"*", b"/healthz?\x01", b"//healthz", b"/./healthz",
                   b"http://localhost/healthz", b"http://localhost?x", b"http://localhost:80", b"http://a:b@localhost/healthz", b"http:/healthz", b"http://", b"ftp://localhost/"):
        yield f"target {target!r}", get(start=b"GET " + target + b" HTTP/1.1\r\n")
    yield "empty line before", b"\r\n" + get()
    yield "bare LF before", b"\n" + get()
    yield "blank before the method", b" " + get()
    yield "blank before the first header", get(start=b"GET /healthz HTTP/1.1\r\n ")
    yield "tab before the first header", get(start=b"GET /healthz HTTP/1.1\r\n\t")
    for value in (b"V", b"  V\t ", b"", b" ", b"\xff", b"D\xc3\xbcsseldorf", b"\x80", b"a\tb", b"a\x01b", b"a\x7fb", b"a\0b", b"\0", b"a\x0bb", b"a\x0cb", b"a\x1bb", b"+" * 300, b"a\rb",
                  b"a\r", b"a\nX-B: b", b"\nX-B: b", b"\rX-B: b", b"a\r\n b", b"a\r\n\tb", b"\r\n b", b" \r\n \r\n b", b"a\r\n", b"a\n"):
        yield f"value {value!r}", get(b"X-A: " + value + b"\r\n")
    for name in (b"X-A", b"a" * 40, b"X!#$%&'*+-.^_`|~9", b"Fo@", b"F\x01o", b"", b"X A", b"X-A ", b"X-A\t", b" X-A", b"\tX-A", b"X\0A", b"X\x7fA", b"X\xe4", b'"X"', b"X(A)", b"X[A]", b"X{A}",
                 b"X/A", b"X;A", b"X=A", b"X?A", b"X\\A", b"X,A", b"X<A>", b"X\r", b"X\n"):
        yield f"name {name!r}", get(name + b": v\r\n")
    yield "line without a colon", get(b"nonsense\r\n")
    yield "name folded", get(b"name\r\n : value\r\n")
    yield "damaged Connection", get(b"Connection\r\x1b5\xd5eep-Alive\r\n")
    yield "damaged name", get(b"X-A\r\x1b5\xd5eep-Alive\r\n")
    yield "only LF", b"GET /healthz HTTP/1.1\nHost: localhost\n\n"
    yield "LF behind the request line", b"GET /healthz HTTP/1.1\n" + HOST + b"\r\n"
    yield "CR behind the request line", b"GET /healthz HTTP/1.1\r" + HOST + b"\r\n"
    yield "LF at the end", b"GET /healthz HTTP/1.1\r\nHost: localhost\n\r\n"
    yield "head ends in LF", b"GET /healthz HTTP/1.1\r\n" + HOST + b"\n"
    yield "head ends in CR and more", b"GET /healthz HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\rZ"
    yield "blank line with a blank", get(b" \r\n")
    for value in (b"close", b"Close", b"keep-alive", b"close, token, keep-alive", b"token", b",close,", b"upgrade", b"keep-alive, \r\n upgrade"):
        yield f"Connection {value!r}", get(b"Connection: " + value + b"\r\n")


def lengths():
    """Content-Length."""
    n = b"%d" % len(BODY)
    for value in (n, b"  " + n + b" ", b"\t" + n + b"\t", b"000" + n, b"", b" ", b"+" + n, b"-" + n, b"-1", b"0x1c", b"1c", n + b".0", n + b" 1", b"1 3", n + b"," + n, n + b", " + n, n + b"\0",
                  n + b"\x0b", b"\x0c" + n, b'"' + n + b'"', n + b";", b"1000000000000000000000", b"18446744073709551616", b"18446744073709551644", b"9223372036854775808", b"9" * 300, b"\xb2\xb8", b"one"):
        yield f"length {value!r}", post(b"Content-Length: " + value + b"\r\n")
    for name in (b"content-length", b"conTENT-Length", b"Content\rLength", b"Content_Length", b"Content-Length ", b" Content-Length", b"Content-Length\0"):
        yield f"length named {name!r}", post(name + b": " + n + b"\r\n", BODY)
    yield "length twice", post(b"Content-Length: %s\r\nContent-Length: %s\r\n" % (n, n))
    yield "two lengths", post(b"Content-Length: %s\r\nContent-Length: 0\r\n" % n)
    yield "two lengths, shorter first", post(b"Content-Length: 0\r\nContent-Length: %s\r\n" % n)
    yield "no length", post(b"", b"")
    yield "length and chunks", post(b"Content-Length: %s\r\nTransfer-Encoding: chunked\r\n" % n)
    yield "chunks and length", post(b"Transfer-Encoding: chunked\r\nContent-Length: %s\r\n" % n)
    yield "length and identity", post(b"Content-Length: %s\r\nTransfer-Encoding: identity\r\n" % n)
    yield "empty codings and length", post(b"Transfer-Encoding:\r\nTransfer-Encoding:\r\nContent-Length: %s\r\n" % n)
    yield "length of a GET", get(b"Content-Length: 5\r\n") + b"HELLO"


def codings():
    """Transfer-Encoding: what it says, and how it is written."""
    good = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    for value in (b"chunked", b"Chunked", b"CHUNKED", b" chunked ", b"\tchunked\t", b"chunked,", b",chunked", b", chunked", b"chunked, chunked", b"chunked,identity", b"identity", b"identity, chunked",
                  b"gzip", b"gzip, chunked", b"chunked, gzip", b"deflate, chunked", b"x, chunked", b"pigeons", b"chunked;q=1", b"chunked; a=b", b'"chunked"', b"'chunked'", b"chunke", b"chunkedx", b"xchunked",
                  b"chunked x", b"x chunked", b"chun ked", b"chunked\0", b"\0chunked", b"chunked\x0b", b"\x0bchunked", b"chunked\x0c", b"\x0cchunked", b"\xa0chunked", b"chunked\xa0", b"chunked\x7f",
                  b"chunked\r", b"chunked\rX: y", b"chunked\nX: y", b"\r\n chunked", b"chunked\r\n ", b"chunked\r\n\t", b"chunked\r\n , identity", b"", b" ", b"chunKed\xe2\x84\xaa", b"trailers, chunked"):
        yield f"coding {value!r}", chunked(good, b"Transfer-Encoding: " + value + b"\r\n")
    for name in (b"transfer-encoding", b"TRANSFER-ENCODING", b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"Transfer\rEncoding", b"Transfer-Encoding\0", b"Transfer-Encoding\x0b",
                 b"Transfer-\r\n Encoding", b"X\nTransfer-Encoding", b"X:\rTransfer-Encoding", b"X: y\nTransfer-Encoding", b"\0Transfer-Encoding", b"Transfer-Encoding:"):
        yield f"coding named {name!r}", chunked(good, name + b": chunked\r\n")
    yield "coding without a blank", chunked(good, b"Transfer-Encoding:chunked\r\n")
    yield "coding twice", chunked(good, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")
    yield "two codings", chunked(good, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")
    yield "two codings, chunked last", chunked(good, b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n")
    yield "an empty coding before", chunked(good, b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n")
    yield "an empty coding behind", chunked(good, b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n")
    yield "chunks in HTTP/1.0", chunked(good).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    yield "chunks in HTTP/1.0, kept alive", chunked(good, b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    yield "chunks of a GET", get(b"Transfer-Encoding: chunked\r\n") + good


def chunks():
    """The lines between the chunks."""
    n = b"%x" % len(BODY)
    for size in (n, n.upper(), b"0" + n, b"0" * 15 + n, b"0" * 30 + n, b"0x" + n, b"+" + n, b"-" + n, b" " + n, n + b" ", n + b"\t", b"\t" + n, n + b"\0", n + b"\x0b", n + b"g", b"g", b"", n + b"_0", n + b".0",
                 n + b";", n + b";a", n + b";a=b", n + b';a="b"', n + b';a="b;c"', n + b';a="b', n + b';a="\\""', n + b" ;a", n + b"; a", n + b";a =b", n + b";a\0", n + b";a\x01", n + b";a\rb", n + b";\xe4",
                 n + b";a=\xe4", n + b" a", n + b",1", b"1000000000000000" + n, b"f" * 16, b"f" * 17, b"8000000000000000", b"7fffffffffffffff", b"fffffffffffffffe", n + b";" + b"a" * 300):
        yield f"size {size!r}", sized(size)
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\n", b"\r\n\r\n", b" \r\n", b"\n\r", b""):
        yield f"size ends in {end!r}", sized(line_end=end)
        yield f"chunk ends in {end!r}", sized(after=end)
        yield f"last chunk ends in {end!r}", sized(last=b"0" + end + b"\r\n")
        yield f"body ends in {end!r}", sized(last=b"0\r\n" + end)
    for last in (b"0\r\n\r\n", b"000\r\n\r\n", b"0;a\r\n\r\n", b"0;a=b\r\n\r\n", b"0 \r\n\r\n", b"0 rrrr\r\n\r\n", b"00000000000000000000\r\n\r\n", b"0x0\r\n\r\n", b"-0\r\n\r\n", b"0;\r\n\r\n"):
        yield f"last {last!r}", sized(last=last)
    for trailer in (b"Vary: *\r\n", b"Vary: *\r\nX-A: b\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n", b"X-A: a\x01b\r\n", b"X-A: a\0b\r\n", b"X-A : b\r\n", b": b\r\n", b"X-A: a\r\n b\r\n",
                    b"X-A: b\n", b"nonsense\r\n", b"X[A]: b\r\n", b" X-A: b\r\n", b"X-A: a\rb\r\n", b"GET / HTTP/1.1\r\n"):
        yield f"trailer {trailer!r}", sized(last=b"0\r\n" + trailer + b"\r\n")
    yield "two chunks", chunked(b"3\r\n" + BODY[:3] + b"\r\n%x\r\n" % (len(BODY) - 3) + BODY[3:] + b"\r\n0\r\n\r\n")
    yield "data longer than its size", sized(b"%x" % (len(BODY) - 1))
    yield "data shorter than its size", sized(b"%x" % (len(BODY) + 1))
    yield "data shorter by a line's end", sized(b"%x" % (len(BODY) + 2))
    yield "empty chunk between", chunked(b"0\r\n" + n + b"\r\n" + BODY + b"\r\n0\r\n\r\n")


BYTES = (b"\0", b"\t", b"\n", b"\x0b", b"\r", b" ", b'"', b",", b":", b";", b"0", b"A", b"\x7f", b"\x80", b"\xff")


def mutations():
    """Each byte of the framing replaced, doubled, left out, or with another one before it."""
    line, n = b"Transfer-Encoding: chunked\r\n", b"%x" % len(BODY)
    for place in range(len(line)):
        for byte in BYTES:
            yield f"line, {place} is {byte!r}", chunked(n + b"\r\n" + BODY + b"\r\n0\r\n\r\n", line[:place] + byte + line[place + 1:])
        for how, changed in (("left out", line[:place] + line[place + 1:]), ("doubled", line[:place + 1] + line[place:])):
            yield f"line, {place} {how}", chunked(n + b"\r\n" + BODY + b"\r\n0\r\n\r\n", changed)
    before, between = n + b"\r\n", b"\r\n0\r\n\r\n"
    for title, frame, whole in (("size", before, lambda f: f + BODY + between), ("end", between, lambda f: before + BODY + f)):
        for place in range(len(frame)):
            for byte in BYTES:
                yield f"{title}, {place} is {byte!r}", chunked(whole(frame[:place] + byte + frame[place + 1:]))
                yield f"{title}, {byte!r} before {place}", chunked(whole(frame[:place] + byte + frame[place:]))
            yield f"{title}, {place} left out", chunked(whole(frame[:place] + frame[place + 1:]))


TABLES = {"request lines and headers": heads, "lengths": lengths, "codings": codings, "chunks": chunks, "mutations of framing": mutations}
