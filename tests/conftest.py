import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import hypothesis
import pytest

hypothesis.settings.register_profile("edubba", deadline=None)  # cores are shared: a slow example is no failure
hypothesis.settings.load_profile("edubba")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No test reads or writes the user's own cache."""
    monkeypatch.setenv("EDUBBA_HOME", str(tmp_path / "edubba-home"))
