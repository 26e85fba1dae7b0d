"""What a C file uses of its includes: of preprocessed text (-E -dD), the declarations and macros that can be reached by
name from what the file itself says. All else may change without a change to what is said of the file."""
import re

TOKEN = re.compile(r'''"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[A-Za-z_]\w*|[{}()\[\];=,*]''')
WORD = re.compile(r"[A-Za-z_]\w*")
MARKER = re.compile(r'# \d+ "([^"]*)"')
KEYWORDS = set("""auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while _Bool
__inline __inline__ __extension__ __restrict __const""".split())
ASIDE = {"__attribute__", "__asm__", "__asm", "asm", "_Static_assert", "_Alignas"}  # their parentheses take no parameters


def cut(text):
    """(tokens, text) of each declaration of preprocessed text."""
    tokens, start, depth, called, given = [], 0, 0, False, False
    for match in TOKEN.finditer(text):
        token = match.group()
        if token in "([{":
            called = called or (depth == 0 and token == "(" and bool(tokens) and tokens[-1] not in ASIDE)
            depth += 1
        elif token in ")]}":
            depth -= 1
        elif depth == 0 and token == "=":
            given = True
        tokens.append(token)
        if depth == 0 and (token == ";" or (token == "}" and called and not given)):
            yield tokens, text[start:match.end()]
            tokens, start, called, given = [], match.end(), False, False
    yield tokens, text[start:]


def declares(tokens):
    """The names by which others may use a declaration: one too many does no harm, one too few does."""
    words = {token for token in tokens if WORD.match(token)}
    if "typedef" in tokens or "enum" in tokens:
        return words
    names, depth, last = set(), 0, ""
    for i, token in enumerate(tokens):
        if token == "(" and depth == 0 and last not in ASIDE:
            plain = WORD.match(last) and last not in KEYWORDS and tokens[i + 1:i + 2] != ["*"]
            return names | {last} if plain else words
        if token == "{" or (token == "[" and depth == 0) or (depth == 0 and token in "=,;"):
            names.add(last)
        depth += (token in "([{") - (token in ")]}")
        last = token
    return names


def split(text, name):
    """(text of the file itself, text of its includes, macros by name)."""
    here, there, macros = [], [], {}
    at = there
    for line in text.split("\n"):
        match = MARKER.match(line)
        if match:
            at = here if match.group(1) in (name, "./" + name) else there
        elif line.startswith("#define"):
            macros.setdefault(WORD.search(line, len("#define")).group(), []).append(line)
        elif line and not line.startswith("#"):
            at.append(line)
    return "\n".join(here), "\n".join(there), macros


def used(text, name, own):
    """own: the file as it is written; text: the same preprocessed."""
    here, there, known = split(text, name)
    for tokens, chunk in cut(there):
        for word in declares(tokens):
            known.setdefault(word, []).append(chunk)
    said = re.sub(r"(?m)^\s*#\s*include.*", "", own)
    reached, todo, kept = set(), WORD.findall(said) + WORD.findall(here), set()
    while todo:
        word = todo.pop()
        if word in reached:
            continue
        reached.add(word)
        for chunk in known.get(word, ()):
            if chunk not in kept:
                kept.add(chunk)
                todo.extend(WORD.findall(chunk))
    return "\n".join([here] + sorted(" ".join(chunk.split()) for chunk in kept))
