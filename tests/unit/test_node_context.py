"""The tests on a node use a cluster only if it is made to be deleted, or if it is named."""

import pytest

from tests.node import context


@pytest.fixture(autouse=True)
def kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate kubectl, whether it is installed or not."""
    monkeypatch.setattr(context.shutil, "which", lambda _name: "/bin/kubectl")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "named"), [("kind-e2e", ""), ("minikube", ""), ("minikube-2", ""), ("node", "node")])
def test_allowed_contexts(name: str, named: str) -> None:
    assert context.why_not(name, named) == ""


@pytest.mark.parametrize(("name", "named"), [("production", ""), ("node", "other"), ("my-kind-cluster", "")])
def test_every_other_context_is_refused_by_name(name: str, named: str) -> None:
    why = context.why_not(name, named)
    assert repr(name) in why
    assert f"E2E_CONTEXT={name}" in why


def test_a_missing_context_is_an_error_with_the_remedy() -> None:
    assert "kind create cluster" in context.why_not("", "")
