"""Remedies use the name and namespace of the installed operator."""

from controller.rules.remedies import general, remedy, set_operator


def test_remedies_name_the_operator_as_it_is_called() -> None:
    set_operator("platform", "ours")
    try:
        text = remedy("WebhookUnavailable")
        assert "the Deployment ours-webhook (kubectl --namespace platform get pods)" in text
        assert "asya-operator certs show --namespace platform --name ours" in text
        assert remedy("NotInjected").startswith("Check that the MutatingWebhookConfiguration ours exists")
    finally:
        set_operator("asya-system")
    assert "asya-operator certs show)" in remedy("WebhookUnavailable")
    assert "the Deployment asya-operator-webhook" in general("WebhookUnavailable"), "as the manual has it"
