"""What a browser sends for a page of another origin is refused, whatever the route."""

import pytest

from tests.service.api.kit import assert_problem

ROUTES = [
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/sessions/s1/stream"),
    ("GET", "/v1/sessions"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/"),
    ("OPTIONS", "/v1/embeddings"),
]
IMAGE = {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
WINDOW = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
FRAME = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
OTHERS = [
    "http://evil.example",
    "http://test:8000",
    "http://test.evil.example",
    "http://sub.test",
    "ftp://test",
    "test",
    "null",
    "",
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_route_answers_another_origin(client, api, method, path):
    answer = await client.request(method, path, headers={"Origin": "http://evil.example"})
    assert_problem(answer, 403, "forbidden_origin")
    assert b'{code="403"' in api.metrics.exposition()


@pytest.mark.usefixtures("session")
async def test_a_simple_post_of_another_page_reads_nothing(client, api):
    headers = {"Origin": "http://evil.example", "content-type": "text/plain"}
    answer = await client.post("/v1/sessions/s1/stream", content=b"text", headers=headers)
    assert_problem(answer, 403, "forbidden_origin")
    assert api.infini.session("public", "s1").texts == []


@pytest.mark.parametrize("origin", OTHERS)
async def test_only_host_and_port_of_the_request_are_its_own_origin(client, origin):
    answer = await client.get("/health/live", headers={"Origin": origin})
    assert_problem(answer, 403, "forbidden_origin")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("test", "http://test"),
        ("test", "https://test"),
        ("TEST:8000", "http://test:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
async def test_the_own_page_may_call(client, host, origin):
    answer = await client.get("/health/live", headers={"Host": host, "Origin": origin})
    assert answer.status_code == 200


async def test_a_second_origin_does_not_help(client):
    headers = [("Origin", "http://test"), ("Origin", "http://evil.example")]
    assert_problem(await client.get("/health/live", headers=headers), 403, "forbidden_origin")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "CROSS-SITE", "unheard-of", ""])
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_route_answers_what_a_page_of_another_site_embeds(client, method, path, site):
    answer = await client.request(method, path, headers={**IMAGE, "sec-fetch-site": site})
    assert_problem(answer, 403, "forbidden_origin")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("site", ["same-origin", "none", "None"])
async def test_the_own_page_and_the_address_bar_may_call(client, site):
    answer = await client.get("/v1/models", headers={**IMAGE, "sec-fetch-site": site})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "asked", "status"),
    [
        ("GET", "/", WINDOW, 200),
        ("GET", "/", FRAME, 403),
        ("GET", "/metrics", WINDOW, 403),
        ("GET", "/v1/sessions", WINDOW, 403),
        ("POST", "/", WINDOW, 403),
    ],
)
async def test_a_link_opens_the_dashboard_and_nothing_else(client, method, path, asked, status):
    headers = {**asked, "sec-fetch-site": "cross-site"}
    assert (await client.request(method, path, headers=headers)).status_code == status


async def test_a_second_site_does_not_help(client):
    headers = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]
    assert_problem(await client.get("/health/live", headers=headers), 403, "forbidden_origin")
