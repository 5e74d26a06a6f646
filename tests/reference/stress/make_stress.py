"""Write the designs of the stress set: python make_stress.py FOLDER; then Rscript stress.R FOLDER stress_lme4.json

Designs where optimizers of mixed models go wrong: variances that are zero in truth, correlations of one, columns and
responses in absurd units, group variances a billion times the residual's, weights over six decades, sparse crossings.
FOLDER/designs.json lists them; each table is a gzipped CSV.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

RNG = np.random.default_rng(20261123)


def labels(codes, letter):
    return [f"{letter}{code:03d}" for code in codes]


def one_factor(groups, rows, sd, rho, sigma, x=None, unbalanced=False):
    """y ~ x + (x | g), `rows` per group or uniformly between 1 and 2 * rows."""
    sizes = RNG.integers(1, 2 * rows, groups) if unbalanced else np.full(groups, rows)
    g = np.repeat(np.arange(groups), sizes)
    x = RNG.normal(size=g.size) if x is None else x(g.size)
    covariance = np.array([[sd[0] ** 2, rho * sd[0] * sd[1]], [rho * sd[0] * sd[1], sd[1] ** 2]])
    b = RNG.multivariate_normal([0, 0], covariance, size=groups)
    y = 1 + 0.5 * x + b[g, 0] + b[g, 1] * x + sigma * RNG.normal(size=g.size)
    return pd.DataFrame({"y": y, "x": x, "g": labels(g, "g")})


def crossed(first, second, present, sd, sigma, slope=0.0):
    """s crossed with t where a coin of probability `present` falls; s lies in sch, six by six."""
    s, t = np.nonzero(RNG.random((first, second)) < present)
    x, c = RNG.normal(size=s.size), RNG.integers(0, 3, s.size)
    y = 2 + x + sd[0] * RNG.normal(size=first)[s] + sd[1] * RNG.normal(size=second)[t] + sigma * RNG.normal(size=s.size)
    y += slope * (RNG.normal(size=first)[s] * x + RNG.normal(size=(second, 3))[t, c])
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "c": np.array(list("abc"))[c],
            "s": labels(s, "s"),
            "t": labels(t, "t"),
            "sch": labels(s // 6, "k"),
        }
    )


def nested(sd, slope):
    """Eight levels of a with six of b in each, five rows per level of b."""
    a, b = np.repeat(np.arange(8), 30), np.repeat(np.arange(48), 5)
    x = RNG.normal(size=a.size)
    y = sd[0] * RNG.normal(size=8)[a] + sd[1] * RNG.normal(size=48)[b] + slope * RNG.normal(size=48)[b] * x
    return pd.DataFrame({"y": y + RNG.normal(size=a.size), "x": x, "a": labels(a, "a"), "b": labels(b, "b")})


def usual(**changes):
    """A harmless one-factor design."""
    return one_factor(**{"groups": 25, "rows": 6, "sd": (1, 0.5), "rho": 0.2, "sigma": 1} | changes)


def years(n):
    return RNG.integers(2000, 2012, n).astype(float)


def designs():
    """(name, formula, table, options)"""
    slope, cross = "y ~ x + (x | g)", "y ~ x + (1 | s) + (1 | t)"
    yield "zero slope", slope, usual(groups=20, sd=(1, 0), rho=0), {}
    yield "zero both", slope, usual(groups=20, sd=(0, 0), rho=0), {}
    yield "zero both, again", slope, usual(groups=20, sd=(0, 0), rho=0), {"reml": False}
    yield "correlation 1", slope, usual(groups=15, rows=5, sd=(1, 1), rho=1), {}
    yield "correlation -1", slope, usual(groups=15, rows=5, sd=(1, 0.7), rho=-1, sigma=0.5, unbalanced=True), {}
    yield "three groups", slope, usual(groups=3, rows=8), {}
    yield "two groups", "y ~ x + (1 | g)", usual(groups=2, rows=8), {}
    yield "x in 1e7", slope, usual().assign(x=lambda f: f.x * 1e7), {}
    yield "x in 1e-7", slope, usual().assign(x=lambda f: f.x * 1e-7), {}
    yield "years", slope, usual(rows=8, x=years), {}
    yield (
        "x far from zero, squared",
        "y ~ t + I(t^2) + (t | g)",
        usual(sd=(1, 0.3)).assign(t=lambda f: 5000 + 3 * f.x),
        {},
    )
    yield "y in 1e8", slope, usual().assign(y=lambda f: f.y * 1e8), {}
    yield "y in 1e-8, shifted", slope, usual().assign(y=lambda f: 1 + 1e-8 * f.y), {}
    yield "intercepts 1e3", slope, usual(groups=20, sd=(1000, 1), rho=0), {}
    yield "intercepts 1e6", "y ~ x + (1 | g)", usual(groups=20, sd=(1e5, 0), rho=0, sigma=0.1), {}
    yield "effects 1e-2", slope, usual(groups=40, sd=(0.01, 0.01), rho=0), {}
    six = usual(groups=30, rows=8)
    yield "weights over six decades", slope, six.assign(w=10 ** RNG.uniform(-3, 3, len(six))), {"weights": "w"}
    yield "weights 1e9", "y ~ x + (1 | g)", six.assign(w=1e9 * RNG.uniform(1, 3, len(six))), {"weights": "w"}
    cubic = usual(groups=12, rows=12).assign(x2=lambda f: f.x**2, x3=lambda f: f.x**3)
    yield "cubic", "y ~ x + x2 + (x + x2 + x3 | g)", cubic, {}
    yield "many single rows", "y ~ x + (1 | g)", usual(groups=60, rows=2, unbalanced=True), {}
    yield "redundant column", "y ~ x + x2 + (1 | g)", usual(groups=30).assign(x2=lambda f: 2 * f.x + 1), {}
    yield "no intercept", "y ~ 0 + x + (0 + x | g)", usual(groups=30), {}
    four = usual(groups=120, rows=10, sd=(1, 0.3))
    yield "factor slopes", "y ~ f + (f | g)", four.assign(f=np.array(list("abcd"))[RNG.integers(0, 4, len(four))]), {}
    yield "crossed", cross, crossed(30, 12, 0.7, (1, 0.5), 1), {}
    yield "crossed, interaction", "y ~ x * c + (x | s) + (1 | t)", crossed(30, 12, 0.7, (1, 0.5), 1, 0.4), {}
    yield "crossed, factor slopes", "y ~ x + c + (x | s) + (c | t)", crossed(30, 12, 0.5, (1, 0.5), 1, 0.4), {}
    nest = crossed(36, 12, 0.6, (1, 0.5), 1, 0.1)
    yield "crossed and nested", "y ~ x + (1 | sch/s) + (1 | t)", nest, {"reml": False}
    three = crossed(36, 12, 0.6, (1, 0), 1, 0.3)
    yield "crossed and nested, slopes", "y ~ x + (x | sch) + (x | s) + (x || t)", three, {}
    yield "crossed, sparse", cross, crossed(40, 40, 0.06, (1, 1), 1), {}
    yield "crossed, all zero", "y ~ x + (x | s) + (x | t)", crossed(24, 10, 0.9, (0, 0), 1), {}
    yield "crossed, 1e3", cross, crossed(30, 12, 0.7, (1e3, 0.5), 1), {}
    yield "crossed, 1e4 and 1e3", cross, crossed(30, 12, 0.7, (1e4, 1e3), 1), {}
    yield "nested", "y ~ x + (1 | a/b)", nested((1, 1), 0), {}
    yield "nested, slopes", "y ~ x + (x | a) + (x | b)", nested((1, 0.5), 0.5), {}
    yield "nested, zero outer", "y ~ x + (x | a) + (x | b)", nested((0, 0.5), 0), {}
    yield "nested, zero inner", "y ~ x + (x || a) + (x || b)", nested((0.3, 0), 0.5), {"reml": False}
    yield "nested, outer 1e4", "y ~ x + (1 | a/b)", nested((1e4, 1), 0), {}
    yield "nested, inner 1e4", "y ~ x + (1 | a/b)", nested((1, 1e4), 0), {}


def main(folder):
    listed = []
    for name, formula, table, options in designs():
        file = name.replace(", ", "_").replace(" ", "_") + ".csv.gz"
        table.to_csv(folder / file, index=False, compression={"method": "gzip", "mtime": 0}, float_format="%.17g")
        listed.append({"name": name, "file": file, "formula": formula, "reml": True, "weights": None} | options)
    (folder / "designs.json").write_text(json.dumps(listed, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
