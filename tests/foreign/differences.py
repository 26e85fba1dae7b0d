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


DIFFERENCES = []
