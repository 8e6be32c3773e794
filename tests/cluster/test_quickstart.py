"""The quick start, with what is built already: what it says when something is in its way."""
import os
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, KLAMM, end_with_parent, wait_until

RUNS = []  # of the test
SCRIPT = Path(__file__).resolve().parents[2] / "etc" / "quickstart.sh"


@pytest.fixture
def prepare(tmp_path):
    """Makes a directory in which nothing is left to build."""
    made = []

    def make(klammd=None, makefile="all:\n"):
        build = tmp_path / "quickstart" / "build"
        build.mkdir(parents=True)
        (build / "Makefile").write_text(makefile)
        (build / "klamm").symlink_to(KLAMM)
        if klammd is None:
            (build / "klammd").symlink_to(BUILD / "klammd")
        else:
            (build / "klammd").write_text(klammd)
            (build / "klammd").chmod(0o755)
        made.append(build.parent)
        return build.parent

    yield make
    while RUNS:  # with what they build or ask; the servers are in sessions of their own
        run = RUNS.pop()
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    for path in made:
        for pid in path.glob("*/pid"):
            try:
                os.kill(int(pid.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                pass


def start(path, *args):
    run = subprocess.Popen([SCRIPT, "--dir", path, *args], stdout=subprocess.PIPE, text=True,
                           stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           preexec_fn=end_with_parent, start_new_session=True)
    RUNS.append(run)
    return run


def test_a_broker_that_ends_is_not_waited_for_and_its_last_words_are_shown(prepare):
    path = prepare(klammd="#!/bin/sh\necho 'this cannot be: reason=port'\nexit 1\n")
    run = start(path, "--standalone", "--smoke")
    out, _ = run.communicate(timeout=20)  # a broker that comes up is waited for longer
    assert run.returncode == 1
    assert f"quickstart: broker 1 has ended; the last lines of {path}/broker1/log:\n" in out
    assert out.endswith("this cannot be: reason=port\n")


def test_two_quick_starts_in_one_directory_do_not_end_each_other(prepare, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    path = prepare(makefile=f"all:\n\tcat {gate}\n")
    first = start(path, "--standalone")
    lock = path / "lock"
    wait_until(lambda: lock.exists() and lock.read_text() == f"{first.pid}\n", "it is at work")
    for args in ["--standalone", "--smoke"], ["--stop"]:
        second = start(path, *args)
        out, _ = second.communicate(timeout=20)
        assert second.returncode == 1
        assert f"quickstart: another one, process {first.pid}, is at work in {path}: wait" in out
    gate.write_text("")  # the build goes on
    out, _ = first.communicate(timeout=120)
    assert first.returncode == 0, out
    assert "The cluster is running" in out
    os.kill(int((path / "broker1" / "pid").read_text()), 0)  # and it does
    # Who comes later may stop what the first has left running.
    later = start(path, "--stop")
    out, _ = later.communicate(timeout=60)
    assert (later.returncode, out) == (0, f"stopped; {path} can be removed\n")
    assert not (path / "broker1" / "pid").exists()
