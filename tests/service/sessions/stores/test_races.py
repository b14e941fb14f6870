from collections import Counter

from tests.service.sessions.stores.races import run_races


def require_variety(winners: Counter[str], races: int) -> None:
    """Every race had a winner, and not only the kind that is always first."""
    assert winners.total() == races
    assert winners["commit"] == races // 2
    assert len(winners) >= 3


async def test_every_race_on_a_file_has_one_winner(tmp_path):
    require_variety(await run_races("sqlite", tmp_path, 60), 60)


async def test_every_race_on_a_server_has_one_winner(tmp_path, redis_url):
    require_variety(await run_races(redis_url, tmp_path, 100), 100)
