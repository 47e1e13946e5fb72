"""The tests on a node use a cluster only if it is made to be thrown away, or named."""

import pytest

from tests.node import context


@pytest.fixture(autouse=True)
def kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    """kubectl is there, whether it is or not."""
    monkeypatch.setattr(context.shutil, "which", lambda _name: "/bin/kubectl")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "named"), [("kind-e2e", ""), ("minikube", ""), ("minikube-2", ""), ("node", "node")])
def test_what_may_be_used(name: str, named: str) -> None:
    assert context.why_not(name, named) == ""


@pytest.mark.parametrize(("name", "named"), [("production", ""), ("node", "other"), ("my-kind-cluster", "")])
def test_any_other_is_refused_by_name(name: str, named: str) -> None:
    why = context.why_not(name, named)
    assert repr(name) in why
    assert f"E2E_CONTEXT={name}" in why


def test_no_context_says_what_is_needed() -> None:
    assert "kind create cluster" in context.why_not("", "")
