"""The page shows metrics that exist."""

import re

from service.dashboard import page
from service.metrics.catalogue import CATALOGUE

NAMES = re.compile(r'(?:sum|mean)\([^"()]*"(\w+)"|s\.name === "(\w+)"|of\("(\w+)", p')


def test_every_metric_on_the_page_is_in_the_catalogue():
    known = {metric.name.removeprefix("longstream_") for metric in CATALOGUE}
    text = page().decode()
    used = {name for groups in NAMES.findall(text) for name in groups if name}
    used -= {"count", "sum", "_count", "_sum"}  # parts of a histogram named beside them
    assert len(used) >= 6
    assert used <= known
