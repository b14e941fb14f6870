"""Appends without a number or a key: what may have been read must not be sent again unseen."""

import pytest

from service.errors import READ_TOKENS, OutcomeUnknown, Unavailable
from service.sessions.stores import MemoryStore
from tests.service.sessions.bench import Bench
from tests.service.sessions.fakes import command


class Unanswered(MemoryStore):
    """Commits what it is given, and loses the answer."""

    async def commit(self, commit):
        await super().commit(commit)
        raise Unavailable("store_unavailable", "no answer came", extras={"retry_after_s": 2})


async def test_a_commit_without_answer_leaves_the_outcome_unknown():
    bench = await Bench(Unanswered()).begin()
    with pytest.raises(OutcomeUnknown, match=r"no answer came.*next_seq") as caught:
        await bench.append(command("a"))
    assert caught.value.code == "outcome_unknown"
    # Nothing here says when to send it again.
    assert caught.value.extras == {READ_TOKENS: 3, "next_seq": 1}


async def test_a_request_that_broke_off_in_its_middle_is_not_simply_sent_again():
    bench = await Bench().begin()
    bench.reader.fail_on = "c"
    with pytest.raises(OutcomeUnknown) as caught:
        await bench.append(command("a", "b", "c"))
    assert caught.value.extras == {READ_TOKENS: 6, "next_seq": 2}


async def test_a_request_of_which_nothing_was_done_may_be_sent_again():
    bench = await Bench().begin()
    bench.reader.fail_on = "a"
    with pytest.raises(Unavailable) as caught:
        await bench.append(command("a", "b"))
    assert (caught.value.code, caught.value.extras) == ("overloaded", {"next_seq": 0})


@pytest.mark.parametrize("named", [{"first": 0}, {"key": "k"}])
async def test_a_request_that_names_its_chunks_may_be_sent_again_whatever_was_done(named):
    bench = await Bench().begin()
    bench.reader.fail_on = "b"
    with pytest.raises(Unavailable) as caught:
        await bench.append(command("a", "b", **named))
    assert (caught.value.code, caught.value.extras) == (
        "overloaded",
        {READ_TOKENS: 3, "next_seq": 1},
    )
