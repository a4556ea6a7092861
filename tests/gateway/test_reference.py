"""The API's description, to read."""

import re


def test_every_operation_is_in_it_and_nothing_comes_from_elsewhere(client):
    document = client.get("/api/openapi.json").json()

    answer = client.get("/api/docs")

    assert answer.status_code == 200
    wanted = {
        f"{method.upper()} {path}" for path, one in document["paths"].items() for method in one
    }
    assert wanted <= set(re.findall(r"<code>([A-Z]+ [^<]+)</code>", answer.text))
    assert "<script" not in answer.text
    assert not re.findall(r"(?:src|href)=.?https?:", answer.text)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_fields_of_a_body_are_told_with_their_types(client):
    page = client.get("/api/docs").text

    row = page[page.index("POST /api/v2/session</code>") :]
    assert "<code>email</code> (required)" in row
    assert "password" in row
