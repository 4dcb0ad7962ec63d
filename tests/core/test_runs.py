"""The run folder: created, locked, resumed, finished, refused."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from edubba.core import files, images, runs
from edubba.core.errors import UserError
from edubba.core.picture import Skipped
from edubba.core.settings import Fit
from edubba.core.stats import result

SPEC = Fit(epochs=3)


def start(path, spec=SPEC, source="photos", fingerprint="f" * 64, verb="contrast.pretrain"):
    return runs.open(path, spec, verb=verb, source=source, fingerprint=fingerprint)


def a_result(name="knn", value=0.5):
    return result(name, value, method="m", n=3, unit="picture", data="d", split="validation", seconds=1.0)


def test_spec_toml_repeats_the_settings_and_the_source(tmp_path):
    run = start(tmp_path / "a")
    assert run.settings["source"] == "photos"
    assert run.settings["epochs"] == 3
    assert run.resolved["format"] == "edubba.run/1"
    assert not run.done


def test_the_same_line_goes_on_and_a_finished_run_is_returned(tmp_path):
    start(tmp_path / "a").log(step=1, loss=1.0)
    run = start(tmp_path / "a")
    assert run.metrics[0]["loss"] == 1.0
    run.finish([a_result()], choices=[], warnings=["w"])
    again = start(tmp_path / "a")
    assert again.done
    assert again.results == run.results
    assert again.document["warnings"] == ["w"]


def test_other_settings_are_refused_and_named(tmp_path):
    start(tmp_path / "a").close()
    with pytest.raises(UserError) as error:
        start(tmp_path / "a", replace(SPEC, batch_size=128, lr=0.5))
    assert str(error.value) == (
        f"{tmp_path / 'a'} began with other settings (batch_size was 256, is 128; lr was 0.002, is 0.5):"
        " use those, or another folder with -o"
    )


def test_other_threads_go_on_with_the_same_run(tmp_path):
    start(tmp_path / "a").close()
    assert not start(tmp_path / "a", replace(SPEC, threads=1)).done


def test_a_changed_source_is_refused(tmp_path):
    start(tmp_path / "a").close()
    with pytest.raises(UserError, match="its files changed or it is another source"):
        start(tmp_path / "a", fingerprint="0" * 64)


def test_another_verb_is_refused(tmp_path):
    start(tmp_path / "a").close()
    with pytest.raises(UserError, match=r"is a run of contrast\.pretrain, not of contrast\.probe"):
        start(tmp_path / "a", verb="contrast.probe")


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(UserError, match="exists and is not a run folder"):
        start(tmp_path)
    assert (tmp_path / "thesis.doc").read_text() == "mine"


def test_a_folder_in_use_is_refused_and_a_dead_owner_is_forgotten(tmp_path):
    start(tmp_path / "a")
    lock = tmp_path / "a" / "lock"
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        lock.write_text(json.dumps(json.loads(lock.read_text()) | {"pid": living.pid}))
        with pytest.raises(UserError) as error:
            start(tmp_path / "a")
        assert str(error.value) == (
            f"{tmp_path / 'a'} is in use by process {living.pid}: wait for it, or choose another folder with -o; if that"
            f" process is not edubba, delete {lock}"
        )
    finally:
        living.kill()
        living.wait()
    start(tmp_path / "a")
    assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_a_lock_from_another_machine_says_how_to_remove_it(tmp_path):
    start(tmp_path / "a")
    lock = tmp_path / "a" / "lock"
    lock.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    with pytest.raises(UserError, match=f"if that machine is gone, delete {lock}"):
        start(tmp_path / "a")


BEGIN = """
import sys, time
from edubba.core import runs
from edubba.core.errors import UserError
from edubba.core.settings import Fit

def begin(folder):
    return runs.open(folder, Fit(epochs=3), verb="contrast.pretrain", source="photos", fingerprint="f" * 64)
"""
COMPETE = """
runs.spec.fingerprint(Fit())  # what is loaded on the way is loaded before the start
print("ready", flush=True)
for line in sys.stdin:
    folder, moment = line.split()
    while time.time() < float(moment):
        pass
    try:
        begin(folder)
        print("won", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


def python(program):
    # a shell that puts the suite into the background has it ignore Ctrl-C, and so the suite's children
    waking = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    line = [sys.executable, "-c", waking + BEGIN + program]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process):
    return process.stdout.readline().strip()


def dead():
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_of_processes_that_begin_at_the_same_moment_one_wins(tmp_path):
    both = [python(COMPETE) for _ in range(2)]
    try:
        assert [line(process) for process in both] == ["ready", "ready"]
        stale = json.dumps({"pid": dead(), "host": runs.socket.gethostname()})
        for i in range(20):
            folder = tmp_path / str(i)
            folder.mkdir()
            if i % 2:
                (folder / "lock").write_text(stale)
            moment = time.time() + 0.01
            for process in both:
                process.stdin.write(f"{folder} {moment}\n")
                process.stdin.flush()
            said = [line(process) for process in both]
            assert said.count("won") == 1, said
            winner = both[said.index("won")]
            assert json.loads((folder / "lock").read_text())["pid"] == winner.pid
            lost = said[1 - said.index("won")]
            assert f"in use by process {winner.pid}" in lost or "is just being taken" in lost
            assert not (folder / "lock.part").exists()
    finally:
        for process in both:
            process.communicate(timeout=60)


@pytest.mark.parametrize(
    "end", ["raise ValueError", "raise KeyboardInterrupt", "sys.exit(1)", "import os; os.chdir('/')"]
)
def test_the_lock_goes_with_the_process_however_its_work_ends(tmp_path, end):
    program = BEGIN + f"begin('a')\nassert (runs.Path('a') / 'lock').exists()\n{end}"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.DEVNULL, timeout=60)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["spec.toml"]


@pytest.mark.parametrize(("number", "left"), [(signal.SIGINT, False), (signal.SIGKILL, True)])
def test_a_process_stopped_from_outside_leaves_nothing_that_is_in_the_way(tmp_path, number, left):
    process = python(f"begin({str(tmp_path / 'a')!r}); print('begun', flush=True); time.sleep(60)")
    assert line(process) == "begun"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert (tmp_path / "a" / "lock").exists() == left
    assert not start(tmp_path / "a").done


def test_the_end_of_a_forked_child_keeps_its_parents_lock(tmp_path):
    program = f"""
import os
begin({str(tmp_path / "a")!r})
if not os.fork():
    sys.exit()
os.wait()
print((runs.Path({str(tmp_path / "a")!r}) / "lock").exists())
"""
    assert python(program).communicate(timeout=60)[0] == "True\n"
    assert not (tmp_path / "a" / "lock").exists()


def test_an_error_lets_a_closing_run_go_and_never_the_lock_of_another(tmp_path):
    with pytest.raises(RuntimeError), closing(start(tmp_path / "a")):
        raise RuntimeError
    lock = tmp_path / "a" / "lock"
    assert not lock.exists()
    run = start(tmp_path / "a")
    runs.read(tmp_path / "a").close()
    assert lock.exists()
    lock.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    run.close()
    assert lock.exists()


def test_a_half_made_lock_and_a_half_done_takeover_are_named(tmp_path):
    start(tmp_path / "a").close()
    lock, heir = tmp_path / "a" / "lock", tmp_path / "a" / "lock.part"
    lock.write_text("")
    with pytest.raises(UserError, match=f"if that does not help, delete {lock}$"):
        start(tmp_path / "a")
    lock.write_text(json.dumps({"pid": dead(), "host": runs.socket.gethostname()}))
    heir.write_text("")
    with pytest.raises(UserError, match=f"if that does not help, delete {heir}$"):
        start(tmp_path / "a")
    heir.unlink()
    start(tmp_path / "a")
    assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_who_comes_second_to_a_dead_owners_lock_leaves_it_to_the_first(tmp_path, monkeypatch):
    start(tmp_path / "a").close()
    lock, heir = tmp_path / "a" / "lock", tmp_path / "a" / "lock.part"
    lock.write_text(json.dumps({"pid": dead(), "host": runs.socket.gethostname()}))
    living = json.dumps({"pid": os.getppid(), "host": runs.socket.gethostname()})
    created = runs._created

    def slow(path):
        if path == heir:
            lock.write_text(living)  # another process was quicker
        return created(path)

    monkeypatch.setattr(runs, "_created", slow)
    with pytest.raises(UserError, match=f"is in use by process {os.getppid()}"):
        start(tmp_path / "a")
    assert lock.read_text() == living
    assert not heir.exists()


def test_the_table_of_skipped_files_is_whole_or_absent(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        images.write_skipped(tmp_path / "skipped.csv", [Skipped("\ud800.png", "corrupt", "cannot be written")])
    assert os.listdir(tmp_path) == []


def test_on_resume_metrics_are_cut_back_to_the_checkpoint_and_a_half_line_is_dropped(tmp_path):
    run = start(tmp_path / "a")
    for step in (1, 2, 3):
        run.log(step=step, loss=float(step))
    run.save({"step": 2, "x": torch.ones(2)})
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 2, "lo')
    state = run.load()
    assert state is not None
    assert state["step"] == 2
    assert [line["step"] for line in run.metrics] == [1, 2]


def test_without_a_checkpoint_old_metrics_are_forgotten(tmp_path):
    run = start(tmp_path / "a")
    run.log(step=1, loss=1.0)
    assert run.load() is None
    assert run.metrics == []


def test_a_damaged_checkpoint_is_named(tmp_path):
    run = start(tmp_path / "a")
    (run.path / "state.ckpt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError, match=r"state\.ckpt cannot be read .* delete it"):
        run.load()


def test_nan_becomes_null(tmp_path):
    run = start(tmp_path / "a")
    run.log(step=1, loss=float("nan"), t=torch.tensor(2.0), n=np.int64(3))
    assert run.metrics[0] | {"time": 0} == {"kind": "train", "step": 1, "time": 0, "loss": None, "t": 2.0, "n": 3}


def test_a_choice_on_test_cannot_be_written(tmp_path):
    run = start(tmp_path / "a")
    with pytest.raises(ValueError, match="chosen on the test split"):
        run.finish(
            [],
            choices=[{"name": "C", "value": 1, "candidates": [1], "metric": "accuracy", "split": "test"}],
            warnings=[],
        )


def test_facts_that_were_resolved_stay(tmp_path):
    run = start(tmp_path / "a")
    assert run.resolve(precision="bf16")["precision"] == "bf16"
    assert run.resolve(precision="fp32", n=4)["precision"] == "bf16"
    assert run.resolved["n"] == 4


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    files.write(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as part:  # noqa: PT012
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.json"]


def test_only_run_folders_are_removed(tmp_path):
    with pytest.raises(UserError, match="is not a run folder"):
        runs.remove(tmp_path)
    start(tmp_path / "a").close()
    runs.remove(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_runs_are_found_under_a_root(tmp_path):
    for name in ("b", "a"):
        start(tmp_path / "x" / name).close()
    assert [run.path.name for run in runs.find(tmp_path)] in (["a", "b"], ["b", "a"])


def test_a_strangers_spec_toml_is_no_run_and_is_never_deleted(tmp_path):
    (tmp_path / "spec.toml").write_text('[build]\nname = "x"\n')
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is not a run folder"):
        runs.remove(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    assert runs.find(tmp_path) == []


def test_a_live_runs_half_line_is_passed_over(tmp_path):
    run = start(tmp_path / "a")
    run.log(step=1, loss=1.0)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tr')
    assert run.step == 1


def test_a_folder_left_by_a_run_killed_as_it_began_is_taken_over(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "lock").write_text(json.dumps({"pid": 2**22 + 1, "host": runs.socket.gethostname()}))
    assert not start(tmp_path / "a").done


def test_arrays_are_written_compressed_and_read_back_by_any_name(tmp_path):
    path = files.write_npz(tmp_path / "x.npz", {"file": np.array(["a", "b"]), "h": np.zeros((1000, 10))})
    assert path.stat().st_size < 2000
    with np.load(path, allow_pickle=False) as data:
        assert data["file"].tolist() == ["a", "b"]
        assert data["h"].shape == (1000, 10)
