"""`/`: the page that shows the metrics."""

from fastapi import APIRouter, Response

from service.dashboard import page, policy

router = APIRouter(tags=["operations"])


@router.get(
    "/",
    operation_id="get_dashboard",
    response_class=Response,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def get_dashboard() -> Response:
    """Return the page that shows latency, throughput and memory of all processes, live."""
    headers = {"content-security-policy": policy()}
    return Response(page(), headers=headers, media_type="text/html; charset=utf-8")
