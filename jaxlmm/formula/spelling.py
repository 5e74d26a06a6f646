"""From the text of one Python factor, in R's or Python's spelling, to the text that formulaic evaluates.

A newcomer pastes `I(x^2)`, `factor(x)`, `poly(x, 2, raw = TRUE)` or `log(income.2020)`; formulaic wants
`I(x ** 2)`, `C(x)`, `poly(x, 2, raw=True)` and ``log(`income.2020`)``. `read_factor` does the translation,
has `jaxlmm.formula.safety` examine the result, and answers the normal text together with the columns that
it needs. Called by `jaxlmm.formula.tokens`, once per factor.
"""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass

from jaxlmm.formula import safety
from jaxlmm.formula.transforms import ADVICE
from jaxlmm.formula.where import Where

PIECES = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)""", re.DOTALL)
# formulaic's own scan for backticks (formulaic.utils.code), which decides what is finally evaluated.
_FORMULAIC_PIECES = re.compile(r"(\\\"|\"(?:\\\"|[^\"])*\"|\\'|'(?:\\'|[^'])*'|`)")
_RESPELLED = (
    (re.compile(r"\^"), "**"),
    (re.compile(r"%/%"), "//"),
    (re.compile(r"%%"), "%"),
    (re.compile(r"\bTRUE\b"), "True"),
    (re.compile(r"\bFALSE\b"), "False"),
    (re.compile(r"\bNULL\b"), "None"),
    (re.compile(r"\bas\.factor\s*\("), "factor("),
    (re.compile(r"\bas\.ordered\s*\("), "ordered("),
    (re.compile(r"!(?!=)"), "~"),
    (re.compile(r"[\r\n]+"), " "),
)
# Words that make a column name unusable inside a call, and that no expression holds.
_NEVER_IN_EXPRESSIONS = set(keyword.kwlist) - {
    "True",
    "False",
    "None",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "for",
    "lambda",
}
_R_ONLY = re.compile(r"\b((?:as|is)\.\w+)\s*\(")


@dataclass(frozen=True)
class PythonFactor:
    """One factor in its normal form: formulaic's text, its syntax tree, and the names in it."""

    text: str
    tree: ast.expr
    columns: tuple[str, ...]
    functions: frozenset[str]


def read_factor(text: str, where: Where, *, trusted: bool) -> PythonFactor:
    """Translate, examine and normalize one Python factor such as `I(x^2)`.

    Raises
    ------
    FormulaError
        The text is no expression, or says something that a formula may not say.
    """
    try:
        return _read_factor(text, where, trusted)
    except RecursionError:
        raise where.error("This expression is nested too deeply to be read.") from None


def _read_factor(text: str, where: Where, trusted: bool) -> PythonFactor:
    code, quoted, prefix = _respell(text, where)
    tree = _parse(code, text, where)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in quoted:
            raise where.error(f"`{quoted[node.func.id]}` in backticks is a column, so it cannot be called.")
    tree = _Respeller(quoted, prefix, trusted).visit(tree)
    names = _names_of_trusted(tree) if trusted else safety.examine(tree, where)
    normal = re.sub("|".join(quoted) or "(?!)", lambda m: f"`{quoted[m.group()]}`", ast.unparse(tree))
    if not trusted:
        # What counts is what formulaic will see, so the allowlist has the last look at exactly that.
        safety.examine(_parse(_view_of_formulaic(normal, where), text, where), where)
    columns = tuple(dict.fromkeys(quoted.get(name, name) for name in names.columns))
    return PythonFactor(normal, tree, columns, frozenset(names.functions))


def _respell(text: str, where: Where) -> tuple[str, dict[str, str], str]:
    """Replace R's spellings outside quotes, quoted names by placeholders; answer both and their prefix."""
    prefix = "_quoted"
    while prefix in text:
        prefix += "_"
    quoted: dict[str, str] = {}
    pieces = []
    for piece in PIECES.split(text):
        if piece.startswith("`") and len(piece) > 1:
            name = piece[1:-1]
            if keyword.iskeyword(name) or name.startswith("__"):
                raise where.error(f"`{name}` is a word of Python's own. Rename the column.", piece)
            if not name.strip() or set(name) & set("\"'\\#\n\r"):
                raise where.error(
                    f"The column name {name!r} has quotes, a backslash, # or a line break, which "
                    "cannot stand inside "
                    "a function call. Rename the column.",
                    piece,
                )
            placeholder = next((p for p, n in quoted.items() if n == name), f"{prefix}{len(quoted)}_")
            quoted[placeholder] = name
            pieces.append(placeholder)
        elif piece.startswith(('"', "'")):
            pieces.append(piece)
        else:
            code = piece
            for pattern, replacement in _RESPELLED:
                code = pattern.sub(replacement, code)
            if found := _R_ONLY.search(code):
                advice = ADVICE.get(found[1], "Compute it as a column of the data first.")
                raise where.error(f"The function {found[1]}() is not available in a formula. {advice}", found[1])
            pieces.append(code)
    return "".join(pieces), quoted, prefix


def _parse(code: str, text: str, where: Where) -> ast.expr:
    try:
        return ast.parse(code.strip(), mode="eval").body
    except SyntaxError as error:
        own = [word for word in re.findall(r"\w+", code) if word in _NEVER_IN_EXPRESSIONS]
        if own:
            raise where.error(f"`{own[0]}` is a word of Python's own. Rename the column.", own[0]) from None
        raise where.error(
            f"`{text.strip()}` is not a Python expression ({error.msg}). Inside a call write "
            "Python: x ** 2, True, "
            "[1, 2], a == b; a column whose name is no Python name goes in backticks."
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise where.error(f"`{text.strip()[:40]}` is not an expression that can be read.") from None


def _view_of_formulaic(text: str, where: Where) -> str:
    """Return `text` as formulaic reads it, with one plain name in place of each that it takes for quoted."""
    code: list[str] = []
    name: list[str] | None = None
    for piece in _FORMULAIC_PIECES.split(text):
        if piece == "`" and name is None:
            name = []
        elif piece == "`" and name is not None:
            joined = "".join(name)
            code.append(f" {joined} " if joined.isidentifier() else " _quoted_ ")
            name = None
        else:
            (code if name is None else name).append(piece)
    if name is not None:
        raise where.error("A backtick is not closed.")
    return "".join(code)


class _Respeller(ast.NodeTransformer):
    """Rewrites R's factor, ordered, relevel, c(...) and contr.sdif, and names with dots."""

    def __init__(self, quoted: dict[str, str], prefix: str, trusted: bool):
        self.quoted = quoted
        self.prefix = prefix
        self.trusted = trusted

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Translate a call of one of R's functions."""
        func = node.func
        args = [self.visit(a) for a in node.args]
        named = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        # Not `visit`: x.y(...) is a method call, which is for the allowlist to refuse, not a dotted column.
        func = _respell_attribute(func) if isinstance(func, ast.Attribute) else self.visit(func)
        match func, args, named:
            case ast.Name(id="factor"), _, _:
                func = ast.Name("C")
            case ast.Name(id="ordered"), [x], _:
                func, args = ast.Name("C"), [x, _contr("poly")]
            case (ast.Name(id="relevel"), [x, reference], []) | (
                ast.Name(id="relevel"),
                [x],
                [ast.keyword(arg="ref", value=reference)],
            ):
                func, args, named = ast.Name("C"), [x, _treatment(reference)], []
            case ast.Name(id="c"), _, []:
                return ast.List(args)
            case ast.Name(id="C"), [x, ast.Name(id="treatment" | "sum" | "helmert" | "poly" as coding)], _:
                args = [x, _contr(coding)]
        return ast.Call(func, args, named)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Take x.y for a column name with a dot: in an untrusted formula it can be nothing else."""
        node = _respell_attribute(node)
        dotted = ast.unparse(node)
        root = dotted.split(".")[0]
        plain = re.fullmatch(r"[^\W\d]\w*(\.\w+)+", dotted) and "__" not in dotted
        if self.trusted or not plain or root in ("np", "contr") or root in self.quoted:
            return node
        placeholder = f"{self.prefix}{len(self.quoted)}_"
        self.quoted[placeholder] = dotted
        return ast.Name(placeholder)


def _respell_attribute(node: ast.Attribute) -> ast.Attribute:
    match node:
        case ast.Attribute(value=ast.Name(id="numpy"), attr=attr):
            return ast.Attribute(ast.Name("np"), attr)
        case ast.Attribute(value=ast.Name(id="contr"), attr="sdif"):
            return _contr("diff")
    return node


def _contr(coding: str) -> ast.Attribute:
    return ast.Attribute(ast.Name("contr"), coding)


def _treatment(reference: ast.expr) -> ast.Call:
    return ast.Call(_contr("treatment"), [], [ast.keyword("base", reference)])


def _names_of_trusted(tree: ast.expr) -> safety.Names:
    """Collect the names of a trusted expression: what it calls is a function, what it binds is neither."""
    names = safety.Names()
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    rooted = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or node.id in bound:
            continue
        if id(node) in called or (id(node) in rooted and node.id in ("np", "contr")):
            names.functions.add(node.id)
        else:
            names.columns[node.id] = None
    return names
