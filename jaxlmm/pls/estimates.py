"""Conditional modes and variances at a given θ, by differentiating what the criterion already computes.

With r² the minimum over β and b of a quadratic in the cross-products, the envelope theorem gives

    b̂ = -½ ∂r²/∂(ZᵀWy),

and the inverse of ΛᵀZᵀWZΛ + I, wherever ZᵀWZ has entries, is the derivative of its log-determinant:

    Λ_t [(ΛᵀZᵀWZΛ + I)⁻¹]_gg Λ_tᵀ = ∂ log|L|² / ∂(Z_gᵀWZ_g).

So no plan needs a backward substitution or a selected inversion of its own; reverse mode is one. Called by
`fit`; variances on the plan that `expanded` gives, whose reduced form holds the cross-products themselves.
"""

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from jaxlmm.pls.criterion import Profile, lambdas, profile
from jaxlmm.pls.plan import Plan
from jaxlmm.pls.protocol import Reduced


def expanded(plan: Plan, blocks: bool = False) -> Plan:
    """A plan that keeps every level on its own: for one factor, a chain of length one.

    With `blocks`, also one in which each level's Z_gᵀWZ_g stands for itself, as `conditional_variances` wants it.
    """
    if plan.kind == "grouped":
        return replace(plan, kind="nested", unique=False)
    if blocks and "classes" in plan.ways:
        return replace(plan, ways=("pairs",) * len(plan.ways))
    return plan


def estimates(plan: Plan, reduced: Reduced, theta: jax.Array, reml) -> tuple[Profile, list[jax.Array]]:
    """Parts of the criterion and b̂ (k, levels, padded) of each grouping factor, in standard coordinates.

    The reduced form of one grouping factor may hold sums over its levels only: then b̂ is left to `grouped.modes`.
    """

    def pwrss(response):
        found = profile(plan, reduced._replace(response=response), lambdas(plan, theta), reml)
        return found.pwrss, found

    if plan.kind == "grouped":
        return pwrss(reduced.response)[1], []
    (_, found), gradient = jax.value_and_grad(pwrss, has_aux=True)(reduced.response)
    return found, [-0.5 * zy for zy in plan.module.response_by_factor(plan, gradient)]


def conditional_variances(plan: Plan, reduced: Reduced, theta: jax.Array) -> list[jax.Array]:
    """Var(b | y) / σ² (k, k, levels, padded) of each grouping factor at known β, in standard coordinates."""

    def logdet(gram):
        return plan.module.factor(plan, reduced.layout, gram, lambdas(plan, theta)).logdet

    gradient = jax.grad(logdet)(reduced.gram)
    return [0.5 * (zz + zz.swapaxes(0, 1)) for zz in plan.module.blocks_by_factor(plan, gradient)]


def trim(values: Sequence[jax.Array | np.ndarray], n_levels: list[int]) -> list[np.ndarray]:
    """As NumPy arrays, the padded levels cut off."""
    return [np.asarray(v)[..., :n] for v, n in zip(values, n_levels, strict=True)]
