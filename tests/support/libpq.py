"""SQL by libpq itself, answered as `psql -A -t` would print it: a process for each question costs more than the answers."""
import ctypes

TUPLES_OK, COPY_OUT, COPY_IN, FATAL = 2, 3, 4, 7


class Refused(Exception):
    """What the server, or the way to it, said."""


def _library():
    pq = ctypes.CDLL("libpq.so.5")
    for name, result, arguments in (
            ("PQconnectdb", ctypes.c_void_p, [ctypes.c_char_p]), ("PQstatus", ctypes.c_int, [ctypes.c_void_p]),
            ("PQerrorMessage", ctypes.c_char_p, [ctypes.c_void_p]), ("PQfinish", None, [ctypes.c_void_p]),
            ("PQsendQuery", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
            ("PQgetResult", ctypes.c_void_p, [ctypes.c_void_p]), ("PQresultStatus", ctypes.c_int, [ctypes.c_void_p]),
            ("PQresultErrorMessage", ctypes.c_char_p, [ctypes.c_void_p]), ("PQclear", None, [ctypes.c_void_p]),
            ("PQntuples", ctypes.c_int, [ctypes.c_void_p]), ("PQnfields", ctypes.c_int, [ctypes.c_void_p]),
            ("PQgetvalue", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
            ("PQsetNoticeProcessor", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p])):
        function = getattr(pq, name)
        function.restype, function.argtypes = result, arguments
    return pq


_QUIET = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(lambda _, text: None)
_pq = None


def ask(conninfo, sql):
    """Runs SQL in a session of its own: the rows of every statement, columns by |, NULL as nothing. Raises Refused."""
    global _pq
    _pq = _pq or _library()
    connection = _pq.PQconnectdb(conninfo.encode())
    try:
        if _pq.PQstatus(connection) != 0:
            raise Refused(_pq.PQerrorMessage(connection).decode("utf-8", "replace"))
        _pq.PQsetNoticeProcessor(connection, ctypes.cast(_QUIET, ctypes.c_void_p), None)
        if not _pq.PQsendQuery(connection, sql.encode()):
            raise Refused(_pq.PQerrorMessage(connection).decode("utf-8", "replace"))
        lines, fault = [], None
        while result := _pq.PQgetResult(connection):
            status = _pq.PQresultStatus(result)
            if status == TUPLES_OK:
                columns = range(_pq.PQnfields(result))
                lines += ["|".join(_pq.PQgetvalue(result, row, n).decode("utf-8", "replace") for n in columns)
                          for row in range(_pq.PQntuples(result))]
            elif status == FATAL:
                fault = fault or _pq.PQresultErrorMessage(result).decode("utf-8", "replace")
            _pq.PQclear(result)
            assert status not in (COPY_OUT, COPY_IN), "COPY needs psql"
        if fault:
            raise Refused(fault)
        return "\n".join(lines)
    finally:
        _pq.PQfinish(connection)
