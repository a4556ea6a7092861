"""What a program on this machine is told at `/metrics`."""

from prometheus_client.parser import text_string_to_metric_families

LOCAL = "http://127.0.0.1:8000"


def scraped(client, **headers):
    """Every sample, by its name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
