"""What evaluates a plan: compiled programs, or, for `krylov`, what runs outside of them."""

from types import ModuleType

from jaxlmm.fit import krylov, programs
from jaxlmm.pls import Plan


def of(plan: Plan) -> ModuleType:
    """The module with `minimize`, `profile`, `slopes` and `estimates` of a plan."""
    return krylov if plan.kind == "krylov" else programs
