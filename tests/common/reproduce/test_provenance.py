import os
import subprocess

import pytest

from common.reproduce import provenance


def git(directory, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def make_repository(root):
    for name in ("clean", "dirty"):
        (root / name).mkdir(parents=True)
        (root / name / "code.py").write_text("a = 1\n")
        (root / name / "results.csv").write_text("a\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    return git(root, "rev-parse", "HEAD")


def test_recording_results_leaves_the_tree_clean(tmp_path):
    revision = make_repository(tmp_path)
    (tmp_path / "clean" / "results.csv").write_text("b\n")
    assert provenance.commit(tmp_path / "clean") == (revision, False)
    (tmp_path / "dirty" / "code.py").write_text("a = 2\n")
    assert provenance.commit(tmp_path / "dirty") == (revision, True)


def test_new_code_makes_the_tree_dirty(tmp_path):
    revision = make_repository(tmp_path)
    (tmp_path / "dirty" / "new.py").write_text("")
    assert provenance.commit(tmp_path / "dirty") == (revision, True)


def test_no_repository_is_unknown_and_dirty(tmp_path):
    assert provenance.commit(tmp_path) == ("unknown", True)


def test_machine_and_versions_are_named():
    assert "cores)" in provenance.hardware()
    assert {"python", "keras", "numpy"} <= set(provenance.versions())


def test_cores_where_the_system_does_not_say(monkeypatch):
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert provenance.cores() == os.cpu_count()


def test_load_where_the_system_does_not_say(monkeypatch):
    """As on Windows."""
    monkeypatch.delattr(os, "getloadavg")
    assert provenance.load_averages() == ()


def test_processor_where_the_system_has_no_file_of_it(monkeypatch, tmp_path):
    """As on Windows."""
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "cpuinfo")
    assert provenance._processor()


def test_processor_of_a_mac(monkeypatch):
    monkeypatch.setattr(provenance.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(provenance, "_output", lambda *command: f"{command[0]} M3\n")
    assert provenance._processor() == "sysctl M3"


@pytest.mark.parametrize("name", ["foo", "numpy"])
def test_another_backend_is_refused(monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(ValueError, match=f"KERAS_BACKEND is '{name}', expected one of tensorflow"):
        provenance.backend()


def test_the_backend_of_the_users_file(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert provenance.backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert provenance.backend() == "jax"
