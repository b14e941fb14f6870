"""Figures out of a Prometheus exposition."""

from prometheus_client.parser import text_string_to_metric_families


def resident_bytes(exposition: str, deployment: str) -> int:
    """Return the resident memory of a deployment's largest replica, in bytes."""
    values = [
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == "longstream_process_resident_memory_bytes"
        and sample.labels["replica"].startswith(deployment)
    ]
    return int(max(values, default=0))
