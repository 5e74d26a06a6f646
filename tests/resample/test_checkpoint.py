"""Long runs: killed and resumed, interrupted, watched."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import jaxlmm
from jaxlmm.errors import DataError, SavedModelError
from jaxlmm.fit import LaneFits
from jaxlmm.resample import Resampler

PENICILLIN = "diameter ~ 1 + (1 | plate) + (1 | sample)"

RUN = f"""
import sys, jaxlmm
fit = jaxlmm.lmer("{PENICILLIN}", jaxlmm.load_dataset("penicillin"))
fit.bootstrap(5000, seed=4, checkpoint=sys.argv[1])
"""


def penicillin() -> jaxlmm.MixedModelResults:
    return jaxlmm.lmer(PENICILLIN, jaxlmm.load_dataset("penicillin"))


def test_killed_and_resumed(tmp_path) -> None:
    """kill -9 in the middle: the resumed run has the rounds that were finished, and the replicates of one that was not."""
    folder = tmp_path / "rounds"
    process = subprocess.Popen([sys.executable, "-c", RUN, str(folder)])
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = sorted(folder.glob("*.npz"))
    assert 2 <= len(finished) < 5000 / 64
    written = {file: file.stat().st_mtime_ns for file in finished}
    (folder / "000000999-000001063.1.partial").write_bytes(b"half a file")
    n = 64 * len(finished) + 40
    resumed = penicillin().bootstrap(n, seed=4, checkpoint=folder)
    assert {file: file.stat().st_mtime_ns for file in finished} == written
    pd.testing.assert_frame_equal(resumed.frame, penicillin().bootstrap(n, seed=4).frame)


def test_a_checkpoint_belongs_to_one_run(tmp_path) -> None:
    fit = jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff"))
    fit.bootstrap(50, seed=1, checkpoint=tmp_path / "a")
    with pytest.raises(DataError, match="another run, which differs in seed"):
        fit.bootstrap(50, seed=2, checkpoint=tmp_path / "a")
    with pytest.raises(DataError, match="differs in fit, formula"):
        penicillin().bootstrap(50, seed=1, checkpoint=tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.docx").write_text("mine")
    with pytest.raises(DataError, match="a folder with other files in it"):
        fit.bootstrap(50, seed=1, checkpoint=tmp_path / "b")
    (file,) = (tmp_path / "a").glob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SavedModelError, match="is damaged"):
        fit.bootstrap(50, seed=1, checkpoint=tmp_path / "a")


def test_many_responses_resume(tmp_path) -> None:
    """The same frame; other responses under the same name are not taken for those of the checkpoint."""
    data = jaxlmm.load_dataset("sleepstudy")
    y = data["Reaction"].to_numpy()[:, None] + np.random.default_rng(0).normal(size=(len(data), 4))
    ask = ("~ Days + (1 | Subject)", data)
    whole = jaxlmm.fit_many(*ask, y)
    first = jaxlmm.fit_many(*ask, y, checkpoint=tmp_path / "a")
    again = jaxlmm.fit_many(*ask, y, checkpoint=tmp_path / "a", progress=True)
    pd.testing.assert_frame_equal(first.frame, whole.frame)
    pd.testing.assert_frame_equal(again.frame, whole.frame)
    with pytest.raises(DataError, match="made from other responses"):
        jaxlmm.fit_many(*ask, y + 1.0, checkpoint=tmp_path / "a")


def test_what_is_finished_survives_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, rounds = penicillin(), []
    whole = fit.bootstrap(130, seed=4)
    fitted = Resampler.replicates

    def interrupted(self: Resampler, numbers: np.ndarray) -> LaneFits:
        rounds.append(numbers)
        if len(rounds) == 3:
            raise KeyboardInterrupt
        return fitted(self, numbers)

    monkeypatch.setattr(Resampler, "replicates", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 128 of 200 replicates"):
        draws = fit.bootstrap(200, seed=4)
    pd.testing.assert_frame_equal(draws.frame, whole.frame.iloc[:128])
    rounds[:] = [None, None]
    with pytest.raises(KeyboardInterrupt):
        fit.bootstrap(200, seed=4)


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    jaxlmm.lmer("Yield ~ 1 + (1 | Batch)", jaxlmm.load_dataset("dyestuff")).bootstrap(60, seed=1, progress=True)
    shown = capsys.readouterr().err
    assert "60.0/60.0" in shown
    assert "replicates/s" in shown
    assert "failed=0" in shown
