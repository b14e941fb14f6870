from tests.service.sessions.stores.races import run_races


async def test_every_race_on_a_file_has_one_winner(tmp_path):
    assert (await run_races("sqlite", tmp_path, 40)).total() == 40


async def test_every_race_on_a_server_has_one_winner(tmp_path, redis_url):
    assert (await run_races(redis_url, tmp_path, 80)).total() == 80
