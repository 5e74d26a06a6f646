"""The verbs of a plan, and the records they pass on.

Every plan that eliminates exactly is one module with the functions

    compress(plan, gram)                        -> (reduced gram, layout)
    compress_response(plan, layout, gram, response) -> reduced response
    factor(plan, layout, gram, lambdas)         -> Factor
    solve(plan, layout, factor, response)       -> (xy, yy)

that eliminate all random effects from the bordered matrix

    [ΛᵀZᵀWZΛ + I, ΛᵀZᵀWX, ΛᵀZᵀWy;  ·, XᵀWX, XᵀWy;  ·, ·, yᵀWy].

`factor` sees no response and `solve` no Λ, because lanes share factors and derivatives attach to them.
`logdet` is a field of the factor. The arrays of a layout are int32 indices; a plan is static. What else is asked of them:

    response_by_factor, response_from, energy   average information: nested, crossed (grouped and dense have exact Hessians)
    response_by_factor, blocks_by_factor        modes and their variances: nested, crossed, dense (of `grouped` in NumPy)

`krylov` compresses as they do, and has products and solutions in place of a factor: see `krylov.System`.
"""

from typing import Any, NamedTuple

import jax


class Factor(NamedTuple):
    """What is left when the random effects are eliminated.

    Attributes
    ----------
    logdet : () array
        log|ΛᵀZᵀWZΛ + I|.
    xx : (p, p) array
        Schur complement of XᵀWX.
    parts : pytree
        What the plan's `solve` needs besides.
    """

    logdet: jax.Array
    xx: jax.Array
    parts: Any


class Reduced(NamedTuple):
    """What one iteration needs of the data, and no more.

    Attributes
    ----------
    layout : pytree
        Index arrays of the plan.
    gram, response : pytree
        Compressed cross-products.
    n_obs, n_fixed, sum_log_weights : () arrays
        True sizes (traced, so that padding does not matter) and Σ log w̃.
    """

    layout: Any
    gram: Any
    response: Any
    n_obs: Any
    n_fixed: Any
    sum_log_weights: Any
