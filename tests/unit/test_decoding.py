"""Workers that decode: order, limits, and what becomes of files on which they die."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from drawn import HEIGHT, WIDTH, encoded, scene

from pipeline import decoding
from pipeline.config import InputConfig
from pipeline.decoding import DecoderPool
from pipeline.errors import AutolabelError, ImageRejectedError
from pipeline.pixels import Decoded
from pipeline.reasons import Reason
from pipeline.records import SourceFile

SETTINGS = InputConfig(decode_workers=2)
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def pool(folder: Path) -> Iterator[DecoderPool]:
    with DecoderPool([folder], SETTINGS) as pool:
        yield pool


def drawn_file(folder: Path, name: str, *, width: int = WIDTH) -> SourceFile:
    data = encoded(scene(width), "PNG")
    (folder / name).write_bytes(data)
    return SourceFile(0, name, hashlib.sha256(data).hexdigest(), len(data))


def reason_for(pool: DecoderPool, source: SourceFile) -> Reason:
    with pytest.raises(ImageRejectedError) as caught:
        pool.decode(source)
    return caught.value.reason


class TestPool:
    def test_gives_the_pixels_of_the_file(self, pool: DecoderPool, folder: Path) -> None:
        decoded = pool.decode(drawn_file(folder, "plain.png"))
        assert (decoded.info.width, decoded.info.height) == (WIDTH, HEIGHT)
        assert np.array_equal(decoded.pixels, scene())
        decoded.pixels[0] = 0  # engines may write into what they get

    def test_streams_in_order_with_failures_in_their_place(
        self, pool: DecoderPool, folder: Path
    ) -> None:
        sources = [drawn_file(folder, f"{i}.png", width=40 + i) for i in range(12)]
        (folder / "7.png").unlink()
        outcomes = list(pool.stream(sources))
        assert [source for source, _ in outcomes] == sources
        for i, (_, outcome) in enumerate(outcomes):
            if i == 7:
                assert isinstance(outcome, ImageRejectedError)
                assert outcome.reason is Reason.VANISHED
            else:
                assert isinstance(outcome, Decoded)
                assert outcome.info.width == 40 + i

    def test_reads_no_further_ahead_than_two_files_per_worker(
        self, pool: DecoderPool, folder: Path
    ) -> None:
        source, taken = drawn_file(folder, "again.png"), list[int]()

        def supply() -> Iterator[SourceFile]:
            for n in range(100):
                taken.append(n)
                yield source

        stream = pool.stream(supply())
        for given in range(1, 4):
            next(stream)
            assert len(taken) == given - 1 + 2 * SETTINGS.decode_workers
        stream.close()  # type: ignore[attr-defined]
        assert np.array_equal(pool.decode(source).pixels, scene())

    def test_an_error_of_the_supply_reaches_the_consumer(
        self, pool: DecoderPool, folder: Path
    ) -> None:
        def supply() -> Iterator[SourceFile]:
            yield drawn_file(folder, "first.png")
            raise ConnectionError("the share is gone")

        with pytest.raises(ConnectionError, match="the share is gone"):
            list(pool.stream(supply()))

    def test_serves_more_threads_than_it_has_workers(self, pool: DecoderPool, folder: Path) -> None:
        sources = [drawn_file(folder, f"t{i}.png", width=40 + i) for i in range(16)]
        with ThreadPoolExecutor(6) as threads:
            widths = [decoded.info.width for decoded in threads.map(pool.decode, sources)]
        assert widths == [40 + i for i in range(16)]

    def test_works_without_being_entered_and_refuses_when_closed(self, folder: Path) -> None:
        pool = DecoderPool([folder], InputConfig(decode_workers=1))
        source = drawn_file(folder, "unentered.png")
        assert pool.decode(source).info.width == WIDTH
        pool.close()
        pool.close()
        with pytest.raises(RuntimeError, match="closed"):
            pool.decode(source)

    def test_keeps_roots_apart(self, tmp_path: Path) -> None:
        roots = [tmp_path / "a", tmp_path / "b"]
        for root in roots:
            root.mkdir()
        drawn_file(roots[0], "x.png", width=50)
        second = drawn_file(roots[1], "x.png", width=60)
        source = SourceFile(1, "x.png", second.digest, second.n_bytes)
        with DecoderPool(roots, InputConfig(decode_workers=1)) as pool:
            assert pool.decode(source).info.width == 60

    def test_limits_its_workers(self, pool: DecoderPool, folder: Path) -> None:
        pool.decode(drawn_file(folder, "limits.png"))
        ready = next(worker for worker in pool._alive if worker._ready)
        limits = Path(f"/proc/{ready._process.pid}/limits").read_text()
        lines = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
        assert lines["Max address space"] == str(SETTINGS.decode_memory_mb * 2**20)
        assert lines["Max core file size"] == "0"
        assert lines["Max file size"] == "0"


class TestBytes:
    """The bytes that were found are labelled, or none."""

    def test_changed_file(self, pool: DecoderPool, folder: Path) -> None:
        source = drawn_file(folder, "changed.png")
        drawn_file(folder, "changed.png", width=WIDTH + 1)
        assert reason_for(pool, source) is Reason.CHANGED_DURING_RUN

    def test_grown_file(self, pool: DecoderPool, folder: Path) -> None:
        source = drawn_file(folder, "grown.png")
        with (folder / "grown.png").open("ab") as file:
            file.write(b"more")
        assert reason_for(pool, source) is Reason.CHANGED_DURING_RUN

    def test_folder_in_the_file_s_place(self, pool: DecoderPool, folder: Path) -> None:
        source = drawn_file(folder, "folder.png")
        (folder / "folder.png").unlink()
        (folder / "folder.png").mkdir()
        assert reason_for(pool, source) is Reason.NOT_A_FILE

    def test_pipe_in_the_file_s_place(self, pool: DecoderPool, folder: Path) -> None:
        source = drawn_file(folder, "pipe.png")
        (folder / "pipe.png").unlink()
        os.mkfifo(folder / "pipe.png")
        assert reason_for(pool, source) is Reason.NOT_A_FILE

    def test_link_in_the_file_s_place(self, pool: DecoderPool, folder: Path) -> None:
        source = drawn_file(folder, "link.png")
        (folder / "link.png").rename(folder / "target.png")
        (folder / "link.png").symlink_to("target.png")
        assert reason_for(pool, source) is Reason.LINK_NOT_FOLLOWED

    def test_path_that_climbs_out(self, pool: DecoderPool, folder: Path) -> None:
        outside = drawn_file(folder.parent, "outside.png")
        source = SourceFile(0, "../outside.png", outside.digest, outside.n_bytes)
        assert reason_for(pool, source) is Reason.OUTSIDE_ROOT


class TestMisbehaviour:
    """The parent survives whatever a worker does, says what it was, and goes on."""

    @pytest.fixture
    def start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[[float], DecoderPool]]:
        monkeypatch.setattr(decoding, "_WORKER_MODULE", "misbehaving_worker")
        monkeypatch.setenv("MISBEHAVED", str(tmp_path / "mark"))
        pools = []

        def start(seconds: float) -> DecoderPool:
            settings = InputConfig(decode_workers=1, decode_seconds=seconds)
            pools.append(DecoderPool([tmp_path], settings))
            return pools[-1]

        yield start
        for pool in pools:
            pool.close()

    @pytest.mark.parametrize(
        ("what", "reason", "words"),
        [
            ("segfault", Reason.DECODER_CRASHED, "SIGSEGV"),
            ("lie", Reason.DECODER_CRASHED, "makes no sense"),
            ("eat", Reason.DECODE_OUT_OF_MEMORY, "decode_memory_mb"),
            pytest.param("divide", Reason.DECODER_CRASHED, "ZeroDivisionError", marks=SLOW),
            pytest.param("abort", Reason.DECODER_CRASHED, "SIGABRT", marks=SLOW),
            pytest.param("exit", Reason.DECODER_CRASHED, "exit code 0", marks=SLOW),
            pytest.param("babble", Reason.DECODER_CRASHED, "makes no sense", marks=SLOW),
        ],
    )
    def test_is_a_reason(
        self,
        what: str,
        reason: Reason,
        words: str,
        start: Callable[[float], DecoderPool],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(decoding, "_KILL_SECONDS", 0.2)
        pool = start(60)
        with pytest.raises(ImageRejectedError, match=words) as caught:
            pool.decode(drawn_file(tmp_path, f"{what}.png"))
        assert caught.value.reason is reason
        assert not pool._alive

    @pytest.mark.parametrize("what", ["abort_once", pytest.param("eat_once", marks=SLOW)])
    def test_is_tried_again(
        self, what: str, start: Callable[[float], DecoderPool], tmp_path: Path
    ) -> None:
        assert start(60).decode(drawn_file(tmp_path, f"{what}.png")).info.width == WIDTH

    def test_hanging_is_killed(self, start: Callable[[float], DecoderPool], tmp_path: Path) -> None:
        pool = start(0.5)
        assert reason_for(pool, drawn_file(tmp_path, "hang.png")) is Reason.DECODE_TIMEOUT
        assert not pool._alive

    def test_a_worker_killed_while_idle_is_replaced(
        self, start: Callable[[float], DecoderPool], tmp_path: Path
    ) -> None:
        pool, source = start(60), drawn_file(tmp_path, "good.png")
        pool.decode(source)
        (worker,) = pool._alive
        worker._process.kill()
        worker._process.wait()
        assert pool.decode(source).info.width == WIDTH

    def test_closing_ends_a_decode_on_another_thread(
        self, start: Callable[[float], DecoderPool], tmp_path: Path
    ) -> None:
        pool, source = start(600), drawn_file(tmp_path, "hang.png")
        pool.decode(drawn_file(tmp_path, "good.png"))
        with ThreadPoolExecutor(1) as thread:
            future = thread.submit(pool.decode, source)
            wait_until(pool._slots.empty)
            pool.close()
            with pytest.raises(RuntimeError, match="closed"):
                future.result(60)

    def test_leaving_a_stream_and_the_pool_in_the_middle_leaves_no_process(
        self, start: Callable[[float], DecoderPool], tmp_path: Path
    ) -> None:
        sources = [drawn_file(tmp_path, f"{name}.png") for name in ("good", "hang", "other")]
        with start(600) as pool:
            workers = list(pool._alive)
            for source, _ in pool.stream(sources):
                assert source.path == "good.png"
                break
        assert all(worker._process.poll() is not None for worker in workers)


class TestStart:
    def test_a_worker_that_cannot_import_says_so(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoding, "_WORKER_MODULE", "pipeline.no_such_module")
        pool = DecoderPool([folder], InputConfig(decode_workers=1))
        with pytest.raises(AutolabelError, match="No module named pipeline"):
            pool.decode(drawn_file(folder, "any.png"))
        pool.close()

    def test_an_interpreter_that_is_not_there(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with (
            pytest.raises(AutolabelError, match="cannot be started with '/nowhere/python'"),
            DecoderPool([folder], SETTINGS),
        ):
            pytest.fail("the pool was entered")

    def test_does_not_depend_on_the_working_directory(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
        monkeypatch.chdir(tmp_path)
        with DecoderPool([folder], InputConfig(decode_workers=1)) as pool:
            assert pool.decode(drawn_file(folder, "cwd.png")).info.width == WIDTH


class TestEnd:
    """Nothing is left behind, however the parent ends."""

    PARENT = """
import sys, time
from pathlib import Path
from pipeline import decoding
from pipeline.config import InputConfig
from pipeline.records import SourceFile

decoding._WORKER_MODULE = "misbehaving_worker"
root, name, digest, n_bytes = sys.argv[1:]
settings = InputConfig(decode_workers=2, decode_seconds=3.0 if name == "hang.png" else 60.0)
source = SourceFile(0, name, digest, int(n_bytes))
with decoding.DecoderPool([Path(root)], settings) as pool:
    for worker in list(pool._alive):
        worker._await_ready()
        worker._ready = True
    print(*(worker._process.pid for worker in pool._alive), flush=True)
    for _ in pool.stream(iter(lambda: source, None)):
        pass
"""

    @pytest.mark.parametrize(
        ("how", "name"),
        [
            (signal.SIGKILL, "good.png"),
            pytest.param(signal.SIGKILL, "hang.png", marks=SLOW),
            pytest.param(signal.SIGINT, "good.png", marks=SLOW),
            pytest.param(signal.SIGINT, "hang.png", marks=SLOW),
            pytest.param(signal.SIGTERM, "good.png", marks=SLOW),
            pytest.param(signal.SIGTERM, "hang.png", marks=SLOW),
        ],
    )
    def test_workers_end_with_their_parent(
        self, how: signal.Signals, name: str, tmp_path: Path
    ) -> None:
        source = drawn_file(tmp_path, name)
        arguments = [str(tmp_path), name, source.digest, str(source.n_bytes)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", self.PARENT, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        ) as parent:
            assert parent.stdout is not None
            pids = [int(pid) for pid in parent.stdout.readline().split()]
            parent.send_signal(how)
            parent.wait(60)
        assert len(pids) == 2
        wait_until(lambda: not any(map(is_running, pids)))


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.02)
