"""What is to be done about a cause is said in terms of the operator that is there."""

from controller.rules.remedies import general, remedy, set_operator


def test_remedies_name_the_operator_as_it_is_called() -> None:
    set_operator("platform", "ours")
    try:
        said = remedy("WebhookUnavailable")
        assert "the Deployment ours-webhook (kubectl --namespace platform get pods)" in said
        assert "asya-operator certs show --namespace platform --name ours" in said
        assert remedy("NotInjected").startswith("Check that the MutatingWebhookConfiguration ours exists")
    finally:
        set_operator("asya-system")
    assert "asya-operator certs show)" in remedy("WebhookUnavailable")
    assert "the Deployment asya-operator-webhook" in general("WebhookUnavailable"), "as the manual has it"
