from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families
from ray.serve.handle import DeploymentHandle

from service.deployments.scraping import Scraper
from tests.service.deployments.fakes import FakeHandle

OWN = ("gateway-g", b"# TYPE requests_total counter\nrequests_total 1.0\n")


def exposition(name: str, count: int) -> tuple[str, bytes]:
    text = f"# TYPE tokens_total counter\ntokens_total {count}.0\n# TYPE rss gauge\nrss {count}.0\n"
    return name, text.encode()


def scraper(*handles: FakeHandle) -> Scraper:
    return Scraper([cast("DeploymentHandle[Any]", handle) for handle in handles])


def samples(text: bytes) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["replica"]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_every_replica_is_in_the_text_once() -> None:
    gateways, encoders = FakeHandle(), FakeHandle()
    gateways.results = [OWN]
    encoders.results = [exposition("e-1", 5), exposition("e-2", 7)]
    merged = samples(await scraper(gateways, encoders).scrape(OWN))
    assert merged == {
        ("requests_total", "gateway-g"): 1,
        ("tokens_total", "e-1"): 5,
        ("tokens_total", "e-2"): 7,
        ("rss", "e-1"): 5,
        ("rss", "e-2"): 7,
    }


async def test_a_deployment_that_is_silent_keeps_its_counters_and_loses_its_gauges() -> None:
    encoders = FakeHandle()
    scrape = scraper(encoders)
    encoders.results = [exposition("e-1", 5)]
    await scrape.scrape(OWN)
    encoders.results = None
    merged = samples(await scrape.scrape(OWN))
    assert merged == {("requests_total", "gateway-g"): 1, ("tokens_total", "e-1"): 5}


async def test_one_replica_that_fails_is_not_taken_for_dead() -> None:
    encoders = FakeHandle()
    scrape = scraper(encoders)
    encoders.results = [exposition("e-1", 5), exposition("e-2", 7)]
    await scrape.scrape(OWN)
    encoders.results = [exposition("e-1", 6), RuntimeError("busy")]
    merged = samples(await scrape.scrape(OWN))
    assert merged[("tokens_total", "e-1")] == 6
    assert merged[("tokens_total", "e-2")] == 7


async def test_the_counters_of_a_dead_replica_stay_in_the_sum() -> None:
    encoders = FakeHandle()
    scrape = scraper(encoders)
    encoders.results = [exposition("e-1", 5)]
    await scrape.scrape(OWN)
    encoders.results = [exposition("e-2", 1)]
    merged = samples(await scrape.scrape(OWN))
    total = sum(value for (name, _), value in merged.items() if name == "tokens_total")
    assert total == 6
    assert ("tokens_total", "e-1") not in merged
    assert merged[("rss", "e-2")] == 1
