"""Covariance parameters of many lanes by name: what `components` does for one fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxlmm.covariance import covarying, lambda_lanes, n_theta
from jaxlmm.design import Frame
from jaxlmm.fit import LaneFits
from jaxlmm.report.components import TermEstimate


def lane_terms(frame: Frame, fits: LaneFits) -> Iterator[TermEstimate]:
    """Every random-effects term in lme4's order, its relative factor with a leading axis of lanes (R, k, k)."""
    structures = [tuple(term.structure for term in factor.terms) for factor in frame.factors]
    ends = np.cumsum([0, *(n_theta(own) for own in structures)])
    lambdas = [lambda_lanes(own, fits.theta[:, ends[i] : ends[i + 1]].T) for i, own in enumerate(structures)]
    for label, f, t, block in frame.labelled_terms():
        factor = frame.factors[f]
        term = factor.terms[t]
        yield TermEstimate(label, factor.grouping.name, term.matrix.names, term.structure, lambdas[f][:, block, block])


def lane_thetas(frame: Frame, fits: LaneFits) -> np.ndarray:
    """θ (R, n_theta) in lme4's order."""
    pieces = []
    for term in lane_terms(frame, fits):
        rows, columns = term.structure.positions()
        pieces.append(term.lambda_[:, rows, columns])
    return np.concatenate(pieces, axis=1)


def lane_deviations(frame: Frame, fits: LaneFits) -> dict[str, np.ndarray]:
    """Standard deviations and correlations (R,), named "sd__(term)|group" and "cor__(a).(b)|group"; the residual's last."""
    found: dict[str, np.ndarray] = {}
    for term in lane_terms(frame, fits):
        covariance = covariances(term, fits)
        sd = np.sqrt(np.einsum("rii->ri", covariance))
        for i, name in enumerate(term.names):
            found[f"sd__{name}|{term.group}"] = sd[:, i]
            for j in range(i + 1, len(term.names)):
                if not covarying(term.structure)[i, j]:
                    continue
                scale = sd[:, i] * sd[:, j]
                value = covariance[:, j, i] / np.where(scale > 0, scale, 1.0)
                found[f"cor__{name}.{term.names[j]}|{term.group}"] = np.where(scale > 0, value, np.nan)
    return found | {"sd__Observation|Residual": fits.sigma}


def covariances(term: TermEstimate, fits: LaneFits) -> np.ndarray:
    """Covariance matrices (R, k, k) of one term's effects."""
    return fits.sigma[:, None, None] ** 2 * term.lambda_ @ term.lambda_.swapaxes(1, 2)
