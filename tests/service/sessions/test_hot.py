from dataclasses import replace

import numpy as np

from service.sessions.hot import HotStates
from tests.service.sessions.fakes import Listener, as_session_state, make_record, make_state

STATE = as_session_state(make_state())


def test_only_the_very_version_is_returned():
    hot = HotStates(10 * STATE.nbytes)
    record = make_record(version=3)
    hot.put(record, STATE)
    assert hot.get(record) is STATE
    assert hot.get(replace(record, tenant="tenant-b")) is None
    assert hot.get(replace(record, version=4)) is None
    assert (len(hot), hot.nbytes) == (0, 0)
    hot.put(record, STATE)
    assert hot.get(replace(record, incarnation="i2")) is None


def test_the_least_recently_used_state_makes_room():
    listener = Listener()
    hot = HotStates(2 * STATE.nbytes + 1, listener)
    first, second, third = (make_record(name) for name in "abc")
    hot.put(first, STATE)
    hot.put(second, STATE)
    assert hot.get(first) is STATE
    hot.put(third, STATE)
    assert [hot.get(record) is STATE for record in (first, second, third)] == [True, False, True]
    assert (len(hot), hot.nbytes) == (2, 2 * STATE.nbytes)
    assert listener.events == {"evict": 1}


def test_putting_a_session_again_counts_its_bytes_once():
    listener = Listener()
    hot = HotStates(STATE.nbytes, listener)
    hot.put(make_record(version=1), STATE)
    hot.put(make_record(version=2), STATE)
    assert (len(hot), hot.nbytes, listener.events["evict"]) == (1, STATE.nbytes, 0)
    hot.drop("tenant-a", "s")
    hot.drop("tenant-a", "s")
    assert (len(hot), hot.nbytes) == (0, 0)


def test_a_state_that_cannot_fit_displaces_nothing():
    listener = Listener()
    hot = HotStates(2 * STATE.nbytes - 1, listener)
    hot.put(make_record("small"), STATE)
    hot.put(make_record("large"), replace(STATE, document=np.zeros(STATE.nbytes)))
    assert (len(hot), hot.nbytes) == (1, STATE.nbytes)
    assert not listener.events
