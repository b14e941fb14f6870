"""What the driver says of models that could not be loaded."""

from typing import Any, cast

import pytest
from ray.exceptions import ActorDiedError
from ray.serve.handle import DeploymentHandle

from service.deployments.driver import failed_models
from tests.service.deployments.fakes import FakeHandle


def model(*answers: str | BaseException | None) -> DeploymentHandle[Any]:
    """Return a model whose replicas answer so, or which does not answer at all."""

    async def ping() -> None:
        if not answers:
            raise ActorDiedError

    handle = FakeHandle(ping=ping)
    handle.results = list(answers) or None
    return cast("DeploymentHandle[Any]", handle)


async def test_nothing_is_said_where_all_is_well(capfd: pytest.CaptureFixture[str]):
    assert await failed_models([model(None), model(None, None)]) is None
    assert capfd.readouterr().err == ""


async def test_a_failed_model_is_named_once_however_many_replicas_it_has(
    capfd: pytest.CaptureFixture[str],
):
    assert await failed_models([model("model a: broken", "model a: broken"), model(None)]) is None
    assert capfd.readouterr().err == "longstream: model a: broken; it is not served\n"


@pytest.mark.parametrize("other", [(None, "a: broken"), (ActorDiedError(),), ()])
async def test_a_replica_that_works_or_does_not_answer_keeps_the_service_up(
    other: tuple[str | BaseException | None, ...],
):
    assert await failed_models([model("b: broken"), model(*other)]) is None


async def test_without_any_model_there_is_no_service(capfd: pytest.CaptureFixture[str]):
    reason = await failed_models([model("a: broken", "a: broken"), model("b: broken")])
    assert reason == "a: broken; b: broken"
    assert capfd.readouterr().err == ""
