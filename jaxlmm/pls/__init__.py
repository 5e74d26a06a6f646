"""Penalized least squares: from cross-products to the profiled criterion and its estimates."""

from jaxlmm.pls import costs, krylov, krylov_criterion, krylov_logdet, krylov_round, lanes
from jaxlmm.pls.bucket import bucket
from jaxlmm.pls.components import Components, Places, components, largest_component
from jaxlmm.pls.criterion import (
    Profile,
    derivatives,
    lambdas,
    natural_scale,
    objective,
    profile,
    quadratic_forms,
    reduce,
    satterthwaite,
    split_theta,
)
from jaxlmm.pls.crossprod import CrossProducts
from jaxlmm.pls.estimates import conditional_variances, estimates, expanded, trim
from jaxlmm.pls.expansion import Expansion, component_solutions, expand
from jaxlmm.pls.frames import Frame
from jaxlmm.pls.grouped import ClassSums, Levels, class_sums, compress_lanes, compress_projected
from jaxlmm.pls.grouped import modes as grouped_modes
from jaxlmm.pls.growing import Growing
from jaxlmm.pls.information import curvature, information, slopes
from jaxlmm.pls.lane_grams import LaneSums, LevelSums, Products, repeated_lanes, weighted_lanes
from jaxlmm.pls.plan import Plan, choose, is_nested, same_partition
from jaxlmm.pls.protocol import Reduced
from jaxlmm.pls.recast import placed, recast, restricted, without
from jaxlmm.pls.responses import Residuals, Responder, Responses
from jaxlmm.pls.rows import FactorSums, Pairs, triangle_of
from jaxlmm.pls.sharded import mesh_of, total
from jaxlmm.pls.standard import Coordinates, Gram, Response, standardize
from jaxlmm.pls.starting import starting_theta

__all__ = [
    "ClassSums",
    "Components",
    "Coordinates",
    "CrossProducts",
    "Expansion",
    "FactorSums",
    "Frame",
    "Gram",
    "Growing",
    "LaneSums",
    "LevelSums",
    "Levels",
    "Pairs",
    "Places",
    "Plan",
    "Products",
    "Profile",
    "Reduced",
    "Residuals",
    "Responder",
    "Response",
    "Responses",
    "bucket",
    "choose",
    "class_sums",
    "component_solutions",
    "components",
    "compress_lanes",
    "compress_projected",
    "conditional_variances",
    "costs",
    "curvature",
    "derivatives",
    "estimates",
    "expand",
    "expanded",
    "grouped_modes",
    "information",
    "is_nested",
    "krylov",
    "krylov_criterion",
    "krylov_logdet",
    "krylov_round",
    "lambdas",
    "lanes",
    "largest_component",
    "mesh_of",
    "natural_scale",
    "objective",
    "placed",
    "profile",
    "quadratic_forms",
    "recast",
    "reduce",
    "repeated_lanes",
    "restricted",
    "same_partition",
    "satterthwaite",
    "slopes",
    "split_theta",
    "standardize",
    "starting_theta",
    "total",
    "triangle_of",
    "trim",
    "weighted_lanes",
    "without",
]
