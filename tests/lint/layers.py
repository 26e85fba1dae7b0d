"""The house rules that a machine can see: who includes whom, banned calls, lengths. Run from the root.

Prints every breach as path:line: text and ends with 1 when there is one. A function may be longer than
FUNCTION_LINES when a comment in it or right above it says "long:" and why; a file may not.
"""
import pathlib
import re
import sys

FILE_LINES = 600
FUNCTION_LINES = 70

PURE = re.compile(r"store/(schema|query|ddl|dialect|codec|policy|migrate|revision)/(?!apply\.|run\.|locks\.)")
# library header -> files that may include it
LIBRARIES = [
    (re.compile(r"microhttpd\.h"), re.compile(r"service/http/")),
    (re.compile(r"gnutls/"), re.compile(r"service/(http/tls(_peer)?|base/crypto)\.c$")),
    (re.compile(r"zlib\.h"), re.compile(r"service/http/gzip\.c$")),
    (re.compile(r"zstd(_errors)?\.h"), re.compile(r"service/http/zstandard\.c$")),
    (re.compile(r"sqlite3\.h"), re.compile(r"store/driver/sqlite/")),
    (re.compile(r"libpq-fe\.h|pg_config.*\.h|postgres_ext\.h"), re.compile(r"store/driver/postgres/")),
    (re.compile(r"jansson\.h"), re.compile(r"service/base/json\w*\.h$")),
]
ROOMS = r"handlers/(?:resources|query|records|batch|libsql|neon|rds|postgrest)/"
DOWN = r"service/|openapi/assets\.h|store/(?!driver/|dialect/)"
# code in -> headers of ours that it may include (first match decides; {room} is the folder of the file itself)
LAYERS = [
    (r"service/base/", r"service/base/", "service/base is a leaf"),
    (r"service/main\.c$", r"", ""),
    (r"service/", r"service/", "service knows no store and no handlers"),
    (r"store/driver/(?:sqlite|postgres)/", r"service/base/|{room}|store/(?:value|stmt)\.h|store/driver/\w+\.h|store/connection/dsn\.h|store/(?!exec/|session/|connection/|driver/)",
     "a driver sees its own folder, driver.h and the address (dsn.h)"),
    (r"store/connection/", r"service/base/|store/(?!exec/|session/)", "a connection knows neither exec nor session"),
    (r"store/", r"service/base/|store/(?!driver/\w+/)", "the store knows no HTTP and no backend"),
    (r"handlers/(?:unit|answer)/", DOWN + r"|handlers/(?:unit|answer)/|handlers/\w+\.h", "below the rooms"),
    (ROOMS, DOWN + r"|handlers/(?:unit|answer)/|handlers/\w+\.h|{room}", "rooms do not see each other"),
    (r"handlers/", DOWN + r"|handlers/", "handlers see the service and the store's public headers"),
    (r"openapi/", r"openapi/", "openapi is data"),
]
BANNED = re.compile(
    r"\b(strcpy|strcat|stpcpy|sprintf|vsprintf|strtok|atoi|atol|atoll|atof|gmtime|localtime|system|alloca|gets)\s*\(")
HEAP = re.compile(r"\b(malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf)\s*\(")
TYPEDEF = re.compile(r"^\s*typedef\s+(struct|union|enum)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    """The code with comments and literals blanked out, line numbers kept."""
    def keep_lines(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] + " " * (len(token) - 2) + token[0]
        return re.sub(r"[^\n]", " ", token)
    return TOKENS.sub(keep_lines, text)


def functions(code):
    """(first line, last line) of every function body at top level, from its signature to its brace."""
    lines = code.split("\n")
    for i, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        first = i
        while first > 0 and lines[first - 1].strip() and not lines[first - 1].rstrip().endswith((";", "}")) \
                and not lines[first - 1].lstrip().startswith("#"):
            first -= 1
        last = i
        while last + 1 < len(lines) and lines[last].rstrip() != "}":
            last += 1
        yield first + 1, last + 1


def defined(code):
    """(name, is it local to the file) of every function whose body stands in the code."""
    lines = code.split("\n")
    for first, last in functions(code):
        signature = " ".join(lines[first - 1:last]).split("{")[0]
        match = re.search(r"\b(\w+)\s*\(", signature)
        if match:
            yield match.group(1), "static" in signature[:match.start()].split()


def circles(edges):
    """The strongly connected components of more than one node, each sorted (Tarjan 1972)."""
    index, low, stack, on, out = {}, {}, [], set(), []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        on.add(v)
        for w in sorted(edges.get(v, ())):
            if w == v:
                continue
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            found = []
            while True:
                w = stack.pop()
                on.discard(w)
                found.append(w)
                if w == v:
                    break
            if len(found) > 1:
                out.append(sorted(found))

    for v in sorted(edges):
        if v not in index:
            visit(v)
    return sorted(out)


class Tree:
    def __init__(self, root):
        self.root = root
        self.faults = []
        self.files = {}
        for top in ("service", "handlers", "store", "openapi"):
            for path in sorted((root / top).rglob("*.[ch]")):
                self.files[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
        self.includes = {name: self.included(text) for name, text in self.files.items()}

    @staticmethod
    def included(text):
        for number, line in enumerate(text.split("\n"), 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(1), match.group(2)

    def fault(self, name, line, text):
        self.faults.append(f"{name}:{line}: {text}")

    def check_includes(self, name):
        layer = next((rule for rule in LAYERS if re.match(rule[0], name)), None)
        may = layer and layer[1].replace("{room}", re.escape(name.rsplit("/", 1)[0] + "/"))
        for line, own, library in self.includes[name]:
            for header, where in LIBRARIES:
                if header.fullmatch(library or own) and not where.match(name):
                    self.fault(name, line, f"<{library or own}> is not for this file")
            if own is None:
                continue
            if own not in self.files:
                self.fault(name, line, f'"{own}" is not a file of the tree (includes are root-relative)')
            elif layer is None or not re.match(may, own):
                self.fault(name, line, f'"{own}" may not be included here: {layer[2] if layer else "no layer"}')

    def check_circles(self):
        """A noun is a .h/.c pair: what it includes or calls, it stands on. A circle of nouns has no bottom."""
        def noun(name):
            return name.rsplit(".", 1)[0]
        included, called = {}, {}
        codes = {name: blank(text) for name, text in self.files.items()}
        homes = {function: noun(name) for name, code in codes.items() if name.endswith(".c")
                 for function, local in defined(code) if not local}
        for name, code in codes.items():
            included.setdefault(noun(name), set()).update(noun(own) for _, own, _ in self.includes[name] if own)
            if not name.endswith(".c"):
                continue
            own = {function for function, _ in defined(code)}
            words = set(re.findall(r"(?<![.>\w])\w+\b", code)) - own
            called.setdefault(noun(name), set()).update(homes[word] for word in words & homes.keys())
        for edges, what in ((included, "includes"), (called, "calls")):
            for circle in circles(edges):
                self.fault(circle[0] + ".c", 1, f"circle of {what}: " + " ".join(circle))

    def check_pure(self, name):
        """Pure code must not reach a driver, not even through another header."""
        seen, todo = {name: name}, [name]
        while todo:
            at = todo.pop()
            for _, own, _ in self.includes.get(at, ()):
                if own is None or own in seen:
                    continue
                seen[own] = f"{seen[at]} -> {own}"
                todo.append(own)
                if own.startswith("store/driver/"):
                    self.fault(name, 1, f"pure code reaches a driver: {seen[own]}")

    def check_calls(self, name, code):
        for number, line in enumerate(code.split("\n"), 1):
            # banned.h itself names them, in a pragma without parentheses
            match = BANNED.search(line)
            if match:
                self.fault(name, number, f"{match.group(1)} is banned")
            match = HEAP.search(line)
            if match and not name.startswith("service/base/"):
                self.fault(name, number, f"{match.group(1)} outside service/base: use an arena or mem.h")
            if TYPEDEF.match(line):
                self.fault(name, number, "no typedef of a struct, union or enum")
        if name.endswith(".c"):
            own = [(line, header) for line, header, _ in self.includes[name] if header]
            if not own or own[-1][1] != "service/base/banned.h":
                self.fault(name, own[-1][0] if own else 1, 'the last include is "service/base/banned.h"')

    def check_lengths(self, name, text, code):
        lines = text.split("\n")
        count = len(lines) - 1
        if count > FILE_LINES:
            self.fault(name, count, f"{count} lines, more than {FILE_LINES}: split it by noun")
        for first, last in functions(code):
            if last - first + 1 <= FUNCTION_LINES:
                continue
            above = first - 1
            while above > 0 and re.match(r"\s*(/?\*|//)", lines[above - 1]):
                above -= 1
            if "long:" not in "\n".join(lines[above:last]):
                self.fault(name, first, f"function of {last - first + 1} lines, more than {FUNCTION_LINES}")

    def check_tests(self):
        """Tests keep to the length of a file, whatever they are written in; not to the layers."""
        for path in sorted((self.root / "tests").rglob("*.*")):
            if path.suffix in (".c", ".h", ".py"):
                count = path.read_text(encoding="utf-8").count("\n")
                if count > FILE_LINES:
                    self.fault(path.relative_to(self.root).as_posix(), count, f"{count} lines, more than {FILE_LINES}: split it by subject")

    def check(self):
        self.includes = {name: list(found) for name, found in self.includes.items()}
        for name, text in self.files.items():
            code = blank(text)
            self.check_includes(name)
            if PURE.match(name):
                self.check_pure(name)
            if not name.startswith("openapi/"):
                self.check_calls(name, code)
            self.check_lengths(name, text, code)
        self.check_circles()
        self.check_tests()
        return self.faults


def main():
    tree = Tree(pathlib.Path(__file__).resolve().parents[2])
    faults = tree.check()
    for fault in faults:
        print(fault)
    print(f"layers: {len(tree.files)} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
