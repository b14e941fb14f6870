import psutil
import pytest

from loadtests.cold_start import cpu_seconds, part


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ray::ServeReplica:longstream:encoder-multi-head", "encoder replicas"),
        ("ray::ServeReplica:longstream:gateway", "gateway replicas"),
        ("ray::ServeController.listen_for_change", "Serve controller"),
        ("python -P -m service.deployments.driver", "driver"),
        ("python -P -m service.cli serve --port 1", "supervisor"),
        ("raylet --raylet_socket_name=x", "Ray's own"),
    ],
)
def test_a_process_is_told_by_its_command(command, expected):
    assert part(command) == expected


def test_processor_seconds_are_summed_and_the_dead_left_out():
    me = psutil.Process()
    gone = psutil.Popen(["true"])
    gone.wait()
    [(name, seconds)] = cpu_seconds([me, me, gone]).items()
    assert name == "Ray's own"
    assert seconds >= me.cpu_times().user
