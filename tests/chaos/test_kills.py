"""A handful of deaths in the suite's own service; `make chaos` has the long run."""

import random
from collections import Counter

import pytest

from service.failpoints import FAILPOINTS, Failpoint
from tests.chaos.kills import plan, run, who
from tests.chaos.stage import Stage
from tests.running import RunningService

PLACES: tuple[Failpoint, ...] = ("store.write", "append.committed", "gateway.answer")
"""Nothing durable, durable and nobody told, and told but not the client."""


def test_every_place_has_its_turn():
    places = plan(20, random.Random(1), FAILPOINTS)  # noqa: S311 - a plan is no secret
    assert len(places) == 20
    assert set(Counter(places).values()) == {2, 3}
    assert {who(place) for place in places} == {"encoder", "gateway"}


@pytest.mark.ray
@pytest.mark.timeout(300)
async def test_what_was_acknowledged_survives_deaths_at_the_worst_moments(service: RunningService):
    stage = Stage(service.data_dir.parent, service.url, service.process)
    deaths, verdict, wire = await run(stage, len(PLACES), 7, PLACES)
    assert verdict.sound, verdict.report()
    assert deaths.at == Counter(PLACES)
    assert verdict.acknowledged > 0
    assert verdict.operations["append ok"] > 0
    assert not [answer for answer in wire.seen if answer.startswith("500")], wire.seen
