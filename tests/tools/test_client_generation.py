"""The generated parts of the client are current."""

from tools import client


def test_generated_parts_of_the_client_are_current() -> None:
    assert client.stale() == []


def test_every_task_has_its_keyword_arguments() -> None:
    text = client.fields_module()

    assert text.count("(TypedDict, total=False)") == len(client.REQUESTS)
    assert "task:" not in text
