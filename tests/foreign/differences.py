"""Where the server reads a request otherwise than llhttp, on purpose or because its HTTP library does; SECURITY.md says so in words."""
import re
from typing import NamedTuple


class Difference(NamedTuple):
    table: str
    names: str   # a regular expression over the names of cases
    kind: str    # stricter, laxer, open, another body
    says: str    # what SECURITY.md says of it
    library: str = "any"  # old: before libmicrohttpd 1.0, new: since

    def applies(self, old):
        return self.library in ("any", "old" if old else "new")

    def covers(self, table, name, kind, old):
        return self.table == table and self.kind == kind and self.applies(old) and re.fullmatch(self.names, name, re.S) is not None


HEADS, LENGTHS, CODINGS, CHUNKS, MUTATIONS = "request lines and headers", "lengths", "codings", "chunks", "mutations of framing"

VERSIONS = "any version but HTTP/1.x is refused"
METHODS = "methods that llhttp does not know are answered like others"
MINOR = "HTTP/1.2 is taken for HTTP/1.1"
HOST = "HTTP/1.1 without `Host`, or with a target of another host or with userinfo, is refused"
TARGETS = "CONNECT, and a target that is neither a path nor an http URL, are refused"
FRAGMENTS = "a target with a fragment is refused"
OLD_CHUNKS = "chunks in HTTP/1.0 are refused"
BLANKS = "two blanks in the request line are refused"
CODING = "any coding but one `chunked`, a list of one with empty members too, is refused"
SAME = "a length that is there twice with the same value is one length"
TABS = "a tab around a length or a coding is a blank"
AROUND = "blanks around a length, or behind a coding, are refused"
TRAILERS = "the fields of a trailer are dropped unread"
EXTENSIONS = "chunk extensions are dropped unread"
NO_EXTENSIONS = "chunk extensions are refused"
LF = "a bare LF ends a chunk's line, its data and a line of the trailer"
NUL = "a NUL before a bare LF passes for a CR"
EMPTY = "an empty line before a request is refused"

DIFFERENCES = [
    Difference(HEADS, r"version b'(RTSP/1\.0|HTTP/2\.0|HTTP/0\.9)'|no version|no version, headers", "stricter", VERSIONS),
    Difference(HEADS, r"method b'(MKCOLA|ANNOUNCE|get|PRI)'", "laxer", METHODS),
    Difference(HEADS, r"version b'HTTP/1\.2'", "laxer", MINOR),
    Difference(HEADS, r"no Host|target b'http://(localhost:80|a:b@localhost/healthz|)'", "stricter", HOST),
    Difference(HEADS, r"CONNECT|target b'ftp://localhost/'", "stricter", TARGETS),
    Difference(HEADS, r"target b'/healthz(\?a=b)?#f'", "stricter", FRAGMENTS),
    Difference(HEADS, r"version b' HTTP/1\.1'", "stricter", BLANKS),
    Difference(HEADS, r"(empty line|bare LF) before|value b'a\\r\\n'", "stricter", EMPTY, "new"),
    Difference(LENGTHS, r"length twice", "laxer", SAME),
    Difference(LENGTHS, r"empty codings and length", "stricter", CODING),
    Difference(LENGTHS, r"length b'\\t28\\t'", "laxer", TABS, "new"),
    Difference(LENGTHS, r"length b'  28 '", "stricter", AROUND, "old"),
    Difference(CODINGS, r"coding b'(, ?|(identity|gzip|deflate|x|trailers), |)chunked'|coding b' ?'|two codings, chunked last|an empty coding (before|behind)", "stricter", CODING),
    Difference(CODINGS, r"coding b' chunked '", "stricter", AROUND, "old"),
    Difference(CODINGS, r"coding b'\\tchunked\\t'", "laxer", TABS, "new"),
    Difference(CODINGS, r"chunks in HTTP/1\.0.*", "stricter", OLD_CHUNKS),
    Difference(CHUNKS, r"trailer .*", "laxer", TRAILERS),
    Difference(CHUNKS, r"size b'1c; ?a?( =b|=\\xe4|=\"b|\\x00|\\x01|\\rb|\\xe4)?'|size b'1c;a=\"b'|last b'0;.*|size b.1c;a.*", "laxer", EXTENSIONS, "old"),
    Difference(CHUNKS, r"(size|chunk|last chunk|body) ends in .*\\n.*|data shorter than its size", "laxer", LF, "old"),
    Difference(CHUNKS, r"size b.1c;.*|last b'0;.*", "stricter", NO_EXTENSIONS, "new"),
    Difference(CHUNKS, r"last chunk ends in b'\\r\\n\\r\\n'|body ends in b'(\\r\\n\\r\\n|\\n\\n)'", "stricter", EMPTY, "new"),
    Difference(MUTATIONS, r"line, (16 doubled|18 is b',')", "stricter", CODING),
    Difference(MUTATIONS, r"line, 26 is b'\\x00'", "laxer", NUL, "old"),
    Difference(MUTATIONS, r"(size|end), (\d is b';'|b';' before \d)", "laxer", EXTENSIONS, "old"),
    Difference(MUTATIONS, r"(size|end), (\d left out|\d is b'(\\n|0|\\x00)'|b'(\\n|\\x00)' before \d)", "laxer", LF, "old"),
    Difference(MUTATIONS, r"size, 2 is b'[0A]'", "open", LF, "old"),
    Difference(MUTATIONS, r"end, 6 is b':'", "laxer", TRAILERS, "old"),
    Difference(MUTATIONS, r"end, b'\\n' before 6", "stricter", EMPTY, "new"),
]
