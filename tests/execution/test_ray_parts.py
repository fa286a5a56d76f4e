"""The parts of the Ray executor that need no cluster: packed arrays, code by value, tokens, what a worker keeps."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch

from losssearch.data.replicas import Replicas
from losssearch.errors import ConnectionLostError
from losssearch.execution import portable
from losssearch.execution.actor import KEPT, Worker
from losssearch.execution.arrays import pack, unpack
from losssearch.execution.token import check_token


def replicas(value: float = 1.0) -> Replicas:
    part = {"features": torch.full((2, 5, 3), value), "target": torch.zeros(2, 5)}
    facts = {"target_mean": torch.ones(2), "target_scale": torch.ones(2), "zero": -torch.ones(2)}
    return Replicas(part, part, facts, seeds=(3, 4), held={"test": part})


@pytest.mark.parametrize("copy", [True, False])
def test_what_is_packed_comes_back(copy: bool) -> None:
    source = replicas()
    packed = pack(source)
    assert not any(isinstance(value, torch.Tensor) for value in packed.content.values())
    found = unpack(packed, copy=copy)
    assert isinstance(found, Replicas)
    assert (found.seeds, found.count, found.width, found.classes) == ((3, 4), 2, 3, 0)
    torch.testing.assert_close(found.train["features"], source.train["features"], rtol=0, atol=0)
    torch.testing.assert_close(found.held["test"]["target"], source.held["test"]["target"], rtol=0, atol=0)


def test_only_a_copy_has_memory_of_its_own() -> None:
    array = np.zeros((2, 2), dtype=np.float32)
    array.flags.writeable = False  # as what comes out of the object store
    assert unpack(array, copy=False).data_ptr() == array.ctypes.data
    own = unpack(array, copy=True)
    own += 1
    assert array.sum() == 0


class Reference:
    """As Ray's: something that has a name and stands for an object."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def hex(self) -> str:
        return self.name


def test_a_worker_keeps_few_sets_and_none_that_was_shared_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("ray.get", lambda reference: asked.append(reference.name) or reference.value)
    threads = torch.get_num_threads()
    worker = Worker()
    torch.set_num_threads(threads)
    references = [Reference(f"set-{number}", pack(replicas(number))) for number in range(4)]
    for reference in (references[0], references[0], references[1], references[0], references[2], references[0]):
        found = worker._replicas(reference, False, "cpu")
        assert float(found.train["features"][0, 0, 0]) == float(reference.name[-1])
        assert len(worker._held) <= KEPT
    assert asked == ["set-0", "set-1", "set-2"]


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a user's model and a package that it uses."""
    (tmp_path / "my_layers").mkdir()
    (tmp_path / "my_layers/__init__.py").write_text("")
    (tmp_path / "my_layers/wide.py").write_text("WIDTH = 11\n\ndef width():\n    return WIDTH\n")
    (tmp_path / "my_model.py").write_text(
        "from my_layers import wide\n\ndef factory(features, outputs):\n    return features, outputs, wide.width()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("my_model", "my_layers", "my_layers.wide"):
        sys.modules.pop(name, None)


CALL = "import json, pickle, sys; print(json.dumps(pickle.loads(sys.stdin.buffer.read())(2, 3)))"


def test_a_factory_runs_where_its_modules_are_not(beside: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from ray import cloudpickle

    factory = importlib.import_module("my_model").factory
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def called(code: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", CALL], input=code, cwd=elsewhere, capture_output=True, timeout=60, check=False
        )

    with portable.by_value(factory) as folder:
        assert folder == beside
        code = cloudpickle.dumps(factory)
    assert json.loads(called(code).stdout) == [2, 3, 11]
    assert b"my_model" in called(cloudpickle.dumps(factory)).stderr  # by name again, once it is closed


def test_the_home_of_a_function(beside: Path) -> None:
    assert portable.home(importlib.import_module("my_layers.wide").width) == beside
    assert portable.home(torch.nn.Linear) is None
    assert portable.home(Replicas) is None
    assert portable.home(json.dumps) is None


@pytest.fixture
def head() -> Iterator[str]:
    """Something that answers as the head of a cluster with the token ``secret`` does."""

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        if dict(context.invocation_metadata()).get("authorization") != "Bearer secret":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return b""

    class Everything(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Everything()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_token_is_asked_for_in_one_line(head: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConnectionLostError, match="was given none: set RAY_AUTH_MODE=token"):
        check_token(head)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    with pytest.raises(ConnectionLostError, match="was given none"):  # Ray sends none without the mode
        check_token(head)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    check_token(head)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "guess")
    with pytest.raises(ConnectionLostError, match="a wrong one"):
        check_token(head)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    check_token(head)


@pytest.mark.parametrize("address", ["auto", "ray://127.0.0.1:1", "127.0.0.1:1"])
def test_what_cannot_be_asked_is_left_to_ray(address: str) -> None:
    check_token(address)
