"""Fits in files: everything that can be asked comes back, no row does unless asked for, and nothing is a program."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm import JaxlmmError, MixedModelResults, SavedModelError
from tests.reference.loader import data
from tests.results.damage import changed
from tests.results.fits import ROUNDING, fit, table


@dataclass(frozen=True)
class Saved:
    """A model to save; `change` prepares its table."""

    formula: str
    dataset: str
    arguments: dict[str, Any] = field(default_factory=dict)
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame


MODELS = {
    "plain": Saved("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "ml": Saved("Reaction ~ Days + (Days | Subject)", "sleepstudy", {"reml": False}),
    "double bar": Saved("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
    "poly": Saved("Reaction ~ poly(Days, 2) + (1 | Subject)", "sleepstudy"),
    "bs": Saved("Reaction ~ 0 + bs(Days, df=3) + (1 | Subject)", "sleepstudy"),
    "scale": Saved("Reaction ~ scale(Days) + (scale(Days) | Subject)", "sleepstudy"),
    "offset": Saved("Reaction ~ 1 + offset(10 * Days) + (1 | Subject)", "sleepstudy"),
    "log": Saved("np.log(Reaction) ~ Days + I(Days**2) + (1 | Subject)", "sleepstudy"),
    "weights": Saved("Reaction ~ Days + (1 | Subject)", "sleepstudy", {"weights": "w"}),
    "coded": Saved("angle ~ C(recipe, contr.sum) + (1 | recipe:replicate)", "cake"),
    "slopes": Saved("angle ~ recipe * temp + (1 | recipe:replicate)", "cake"),
    "number as factor": Saved(
        "yield ~ C(nitro) + (1 | Block)", "oats", change=lambda t: t[t["nitro"].isin([0.0, 0.2, 0.4])]
    ),
    "contrasts": Saved(
        "score ~ Machine + (Machine | Worker)",
        "machines",
        {"contrasts": {"Machine": "contr.sum"}},
        lambda t: t[t["Machine"] != "C"],
    ),
    "matrix": Saved(
        "score ~ Machine + (1 | Worker)",
        "machines",
        {"contrasts": {"Machine": [[1.0, 0.0], [-0.5, 1.0], [-0.5, -1.0]]}},
    ),
    "nested": Saved("score ~ Machine + (1 | Worker/Machine)", "machines"),
    "crossed": Saved("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin"),
    "singular": Saved("Yield ~ 1 + (1 | Batch)", "dyestuff2"),
    "quoted": Saved(
        "`the score` ~ Machine + (1 | `the worker`)",
        "machines",
        change=lambda t: t.rename(columns={"score": "the score", "Worker": "the worker"}),
    ),
    "dropped": Saved(
        "Reaction ~ Days + twice + (1 | Subject)",
        "sleepstudy",
        change=lambda t: t.assign(twice=2 * t["Days"], Reaction=t["Reaction"].where(t["Subject"] != "310")),
    ),
}
each_model = pytest.mark.parametrize("name", MODELS)

MADE: dict[str, tuple[MixedModelResults, pd.DataFrame]] = {}


def made(name: str) -> tuple[MixedModelResults, pd.DataFrame]:
    """The fit and its table."""
    if name not in MADE:
        model = MODELS[name]
        frame = model.change(data(model.dataset))
        MADE[name] = jaxlmm.lmer(model.formula, frame, **model.arguments), frame
    return MADE[name]


def again(f: MixedModelResults, folder: Path, **options: Any) -> MixedModelResults:
    """Save and load."""
    f.save(folder / "fit.npz", **options)
    return jaxlmm.load(folder / "fit.npz")


QUESTIONS: dict[str, Callable[[MixedModelResults], Any]] = {
    **{
        name: lambda f, name=name: getattr(f, name)
        for name in (
            *("params", "bse", "tvalues", "pvalues", "theta", "sigma", "scale", "reml", "objective", "llf", "aic"),
            *("bic", "nobs", "n_dropped", "dropped_columns", "df_resid", "n_groups", "ddf", "formula", "converged"),
            *("is_singular", "certificate", "varcorr", "random_effects", "cov_re", "vcomp", "timings"),
        )
    },
    "plan": lambda f: f.plan.describe(),
    "repr": repr,
    "cov_params": lambda f: f.cov_params(),
    "conf_int": lambda f: f.conf_int(level=0.9),
    "conf_int residual": lambda f: f.conf_int(ddf="residual"),
    "ranef": lambda f: f.ranef(),
    "ranef condvar": lambda f: f.ranef(condvar=True),
    "coef": lambda f: f.coef(),
    "rePCA": lambda f: f.rePCA(),
    "tidy": lambda f: f.tidy("all"),
    "tidy ran_vals": lambda f: f.tidy("ran_vals"),
    "glance": lambda f: f.glance(),
}


def as_strings(frame: pd.DataFrame) -> pd.DataFrame:
    """Labels such as "a:A" are of one type of strings or the other, as pandas likes; that is no difference."""
    if frame.index.dtype == object:
        frame = frame.set_axis(frame.index.astype("str"))
    factors = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    frame = frame.assign(**{name: frame[name].cat.rename_categories(str) for name in factors})
    return frame.assign(level=frame["level"].astype("str")) if "level" in frame else frame


def assert_same(ours: Any, wanted: Any, what: str) -> None:
    """Equal in type, names and values; floats to ROUNDING, since reductions are computed again from the file."""
    assert type(ours) is type(wanted), what
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(as_strings(ours), as_strings(wanted), rtol=ROUNDING, obj=what)
    elif isinstance(wanted, pd.Series):
        pd.testing.assert_series_equal(ours, wanted, rtol=ROUNDING, obj=what)
    elif isinstance(wanted, dict):
        assert list(ours) == list(wanted), what
        for key, value in wanted.items():
            assert_same(ours[key], value, f"{what}: {key}")
    else:
        # The certificate of a fit that is not singular holds a nan.
        assert ours == wanted or repr(ours) == repr(wanted), what


@each_model
def test_everything_that_needs_no_rows_comes_back(name: str, tmp_path: Path) -> None:
    f, _ = made(name)
    loaded = again(f, tmp_path)
    for what, ask in QUESTIONS.items():
        assert_same(ask(loaded), ask(f), what)


@each_model
def test_new_data_is_predicted_as_before(name: str, tmp_path: Path) -> None:
    f, frame = made(name)
    loaded = again(f, tmp_path)
    used = frame.dropna()
    rows = used.iloc[::-1].reset_index(drop=True)
    few = used.iloc[[4, 2]]
    for new in (rows, few):
        assert_same(loaded.predict(new), f.predict(new), "all random effects")
        assert_same(loaded.predict(new, random=False), f.predict(new, random=False), "none")
    for interval in ("confidence", "prediction"):
        assert_same(
            loaded.predict(few, interval=interval, allow_new_levels=True),
            f.predict(few, interval=interval, allow_new_levels=True),
            interval,
        )
    np.testing.assert_allclose(loaded.predict(used), f.fittedvalues, rtol=1e-12)


def test_a_loaded_fit_refuses_unknown_levels_as_before(tmp_path: Path) -> None:
    f, frame = made("nested")
    loaded = again(f, tmp_path)
    with pytest.raises(jaxlmm.DataError, match="nobody"):
        loaded.predict(frame.assign(Worker="nobody"))
    with pytest.raises(jaxlmm.DataError, match="'D'"):
        loaded.predict(frame.assign(Machine="D"))


def test_summary_of_a_fit_without_rows(tmp_path: Path) -> None:
    f, _ = made("plain")
    shown, wanted = str(again(f, tmp_path).summary()), str(f.summary())
    assert [line for line in wanted.splitlines() if "residuals" not in line and line not in shown] == []


WITHOUT_ROWS = {
    "fittedvalues": lambda f: f.fittedvalues,
    "resid": lambda f: f.resid,
    "predict": lambda f: f.predict(),
    "simulate": lambda f: f.simulate(1),
    "augment": lambda f: f.augment(),
    "anova": lambda f: f.anova(),
    "emmeans": lambda f: f.emmeans("Days"),
    "robust": lambda f: f.robust(),
    "diagnostics": lambda f: f.diagnostics(),
    "refit": lambda f: f.refit(np.arange(180.0)),
}


@pytest.mark.parametrize("member", WITHOUT_ROWS)
def test_what_needs_rows_says_so(member: str, tmp_path: Path) -> None:
    loaded = again(made("plain")[0], tmp_path)
    with pytest.raises(JaxlmmError, match="rows"):
        WITHOUT_ROWS[member](loaded)


def test_update_of_a_loaded_fit_says_that_the_data_is_gone(tmp_path: Path) -> None:
    for rows in (False, True):
        with pytest.raises(jaxlmm.DataError, match="data"):
            again(made("plain")[0], tmp_path, rows=rows).update(". ~ .")


@pytest.mark.parametrize("name", ["plain", "offset", "weights", "nested", "crossed"])
def test_rows_come_back_when_they_were_saved(name: str, tmp_path: Path) -> None:
    f, _ = made(name)
    loaded = again(f, tmp_path, rows=True)
    assert_same(loaded.fittedvalues, f.fittedvalues, "fitted values")
    np.testing.assert_allclose(loaded.resid, f.resid, rtol=1e-9, atol=1e-12 * f.sigma)
    assert_same(loaded.predict(), f.predict(), "predict")
    np.testing.assert_array_equal(loaded.simulate(2, seed=1), f.simulate(2, seed=1))
    assert str(loaded.summary()) == str(f.summary())
    y = f.simulate(1, seed=2)[:, 0]
    assert loaded.refit(y).objective == pytest.approx(f.refit(y).objective, rel=1e-12)


def test_saved_rows_keep_their_labels(tmp_path: Path) -> None:
    f, _ = made("dropped")
    loaded = again(f, tmp_path, rows=True)
    assert not f.fittedvalues.index.equals(pd.RangeIndex(f.nobs))
    assert loaded.fittedvalues.index.equals(f.fittedvalues.index)


# What reads the columns of the rows, not the design alone.
OF_ROWS: dict[str, tuple[str, Callable[[MixedModelResults], Any]]] = {
    "augment": ("plain", lambda f: f.augment().rename_axis(None)),
    "augment with a factor": ("matrix", lambda f: f.augment().rename_axis(None)),
    "anova": ("matrix", lambda f: f.anova()),
    "anova of a slope": ("plain", lambda f: f.anova()),
    "anova, type 1": ("matrix", lambda f: f.anova(type=1)),
    "ranova": ("plain", lambda f: f.ranova()),
    "emmeans": ("matrix", lambda f: f.emmeans("Machine").frame),
    "emmeans of a covariate": ("plain", lambda f: f.emmeans("Days").frame),
    "emmeans, proportional": ("coded", lambda f: f.emmeans("recipe", weights="proportional").frame),
    "joint tests": ("matrix", lambda f: f.emmeans("Machine").joint_tests()),
    "emtrends": ("slopes", lambda f: f.emtrends("recipe", "temp").frame),
    "robust": ("plain", lambda f: f.robust(cluster="Subject")),
    "diagnostics": ("weights", lambda f: f.diagnostics().rename_axis(None)),
    "influence": ("plain", lambda f: f.influence("Subject").frame),
    "r squared": ("matrix", lambda f: f.r_squared()),
    "cases": ("plain", lambda f: f.bootstrap(20, seed=1, kind="cases").frame),
    "trajectories": ("plain", jaxlmm.plot.data.trajectories),
}


@pytest.mark.parametrize("what", OF_ROWS)
def test_saved_rows_answer_as_the_table_did(what: str, tmp_path: Path) -> None:
    name, ask = OF_ROWS[what]
    f, _ = made(name)
    assert_same(ask(again(f, tmp_path, rows=True)), ask(f), what)


# What is in the file.


def lists(value: Any) -> list[list]:
    """Every list inside JSON."""
    if isinstance(value, dict):
        return [found for part in value.values() for found in lists(part)]
    if isinstance(value, list):
        return [value, *(found for part in value for found in lists(part))]
    return []


@each_model
def test_no_pickle(name: str, tmp_path: Path) -> None:
    made(name)[0].save(tmp_path / "fit.npz", rows=True)
    with np.load(tmp_path / "fit.npz", allow_pickle=False) as archive:
        for member in archive.files:
            assert archive[member].dtype != object


@pytest.mark.parametrize("name", [name for name in MODELS if name != "crossed"])
def test_no_rows_unless_asked(name: str, tmp_path: Path) -> None:
    # Where every cell of a crossed design has one row, as in penicillin, there are as many pairs of levels as rows.
    f, frame = made(name)
    sizes = {len(frame), f.nobs}
    for rows in (False, True):
        f.save(tmp_path / "fit.npz", rows=rows)
        with np.load(tmp_path / "fit.npz", allow_pickle=False) as archive:
            arrays = {member: archive[member] for member in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
        long = [member for member, array in arrays.items() if sizes & set(array.shape)]
        assert bool(long) == rows, long
        assert not [found for found in lists(header) if len(found) in sizes]
        if name == "plain" and not rows:
            assert not any(
                np.isin(frame["Reaction"], array).any() for array in arrays.values() if array.dtype.kind == "f"
            )


@pytest.mark.parametrize("suffix", ["fit.npz", "fit.lmm", "fit"])
def test_the_file_has_the_name_that_was_given(suffix: str, tmp_path: Path) -> None:
    for path in (tmp_path / suffix, str(tmp_path / suffix)):
        fit("penicillin").save(path)
        assert [p.name for p in tmp_path.iterdir()] == [suffix]
        assert jaxlmm.load(path).objective == fit("penicillin").objective


# Files that are no models.


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([{"format": "jaxlmm model"}], dtype=object))
    return buffer.getvalue()


def other_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hello.txt", "hello")
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"hello", pickled(), other_archive()], ids=["empty", "text", "pickle", "zip"])
def test_files_of_another_kind(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "fit.npz").write_bytes(content)
    with pytest.raises(SavedModelError, match=r"fit\.npz"):
        jaxlmm.load(tmp_path / "fit.npz")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match="nowhere"):
        jaxlmm.load(tmp_path / "nowhere")


def test_half_a_file(tmp_path: Path) -> None:
    fit("penicillin").save(tmp_path / "fit.npz")
    content = (tmp_path / "fit.npz").read_bytes()
    (tmp_path / "fit.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(SavedModelError):
        jaxlmm.load(tmp_path / "fit.npz")


ATTACK = "I(np.save('owned', Days))"


def hostile(header: dict[str, Any]) -> None:
    header["frame"]["formula"] = header["frame"]["formula"].replace("~ Days", f"~ {ATTACK}")


def test_a_file_cannot_smuggle_a_program_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made("plain")[0].save("fit.npz")
    changed(Path("fit.npz"), hostile)
    with pytest.raises(SavedModelError):
        jaxlmm.load("fit.npz")
    assert not Path("owned.npy").exists()


def test_a_file_cannot_call_itself_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def worse(header: dict[str, Any]) -> None:
        hostile(header)
        header["frame"]["trusted"] = True

    monkeypatch.chdir(tmp_path)
    made("plain")[0].save("fit.npz")
    changed(Path("fit.npz"), worse)
    try:
        with pytest.raises(SavedModelError):
            jaxlmm.load("fit.npz")
    finally:
        assert not Path("owned.npy").exists()


def test_a_trusted_formula_comes_back_when_the_file_is_trusted(tmp_path: Path) -> None:
    f = jaxlmm.lmer("Reaction ~ np.nan_to_num(Days) + (1 | Subject)", data("sleepstudy"), trusted=True)
    f.save(tmp_path / "fit.npz")
    with pytest.raises(SavedModelError, match="trusted"):
        jaxlmm.load(tmp_path / "fit.npz")
    loaded = jaxlmm.load(tmp_path / "fit.npz", trusted=True)
    assert_same(loaded.params, f.params, "coefficients")
    assert_same(loaded.predict(data("sleepstudy")), f.predict(data("sleepstudy")), "predictions")


def test_saving_over_an_old_file(tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    fit("penicillin").save(path)
    made("plain")[0].save(path)
    assert jaxlmm.load(path).formula == MODELS["plain"].formula
    assert table("sleep_max").shape[0] == jaxlmm.load(path).nobs


def test_rows_that_are_gone_are_not_saved_over_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "sleep.npz"
    jaxlmm.lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy")).save(path)
    loaded, before = jaxlmm.load(path), path.read_bytes()
    with pytest.raises(jaxlmm.DataError, match="loaded from a file without its rows"):
        loaded.save(path, rows=True)
    assert path.read_bytes() == before
