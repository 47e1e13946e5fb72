"""Calls admission webhooks as the API server does: over TLS, following their selectors and policies."""

import base64
import uuid
from collections.abc import Callable
from typing import Any

import orjson
import urllib3

from sandbox.builtin import ResourceType
from sandbox.errors import Failure
from sandbox.patches import json_patch
from sandbox.schema import evaluate
from sandbox.selectors import matches

Object = dict[str, Any]


class Admission:
    """Calls the webhooks in the webhook configurations. It keeps connections open between calls."""

    def __init__(
        self, configurations: Callable[[str], list[Object]], namespace_labels: Callable[[str], dict[str, str]]
    ) -> None:
        self._configurations, self._namespace_labels = configurations, namespace_labels
        self._pools: dict[str, urllib3.PoolManager] = {}

    def mutate(
        self,
        request: Object,
        resource: ResourceType,
        normalise: Callable[[Object], Object],
        warnings: list[str],
    ) -> Object:
        """The object after all mutating webhooks. Webhooks with ``IfNeeded`` run again if a later one changed it.

        ``normalise`` runs on each patched object: it sets defaults, and prunes custom resources.

        Raises:
            Failure: if a webhook denies the object, or fails and its policy is Fail.
        """
        obj: Object = request["object"]
        changed_after: dict[str, Object] = {}
        hooks = list(self._hooks("mutatingwebhookconfigurations.admissionregistration.k8s.io"))
        for is_second_round in (False, True):
            for name, hook in hooks:
                if is_second_round and (
                    hook.get("reinvocationPolicy") != "IfNeeded" or changed_after.get(name) in (None, obj)
                ):
                    continue
                current = {**request, "object": obj}
                if not self._applies(hook, current, resource):
                    continue
                response = self._call(hook, current, warnings)
                if response is None:
                    continue
                if response.get("patch"):
                    obj = normalise(json_patch(obj, orjson.loads(base64.b64decode(response["patch"]))))
                changed_after[name] = obj
        return obj

    def validate(self, request: Object, resource: ResourceType, warnings: list[str]) -> None:
        """Call all validating webhooks.

        Raises:
            Failure: if a webhook denies the object, or fails and its policy is Fail.
        """
        for _, hook in self._hooks("validatingwebhookconfigurations.admissionregistration.k8s.io"):
            if self._applies(hook, request, resource):
                self._call(hook, request, warnings)

    def _hooks(self, configurations: str) -> Any:
        for configuration in self._configurations(configurations):
            for hook in configuration.get("webhooks") or ():
                yield f"{configuration['metadata']['name']}/{hook['name']}", hook

    def _applies(self, hook: Object, request: Object, resource: ResourceType) -> bool:
        if not any(_rule(rule, request, resource) for rule in hook.get("rules") or ()):
            return False
        namespace = self._namespace_labels(request["namespace"]) if request.get("namespace") else {}
        if not matches(hook.get("namespaceSelector"), namespace):
            return False
        is_selected = any(
            matches(hook.get("objectSelector"), (obj["metadata"].get("labels") or {}))
            for obj in (request.get("object"), request.get("oldObject"))
            if obj
        )
        if not is_selected:
            return False
        variables = {
            "object": request.get("object"),
            "oldObject": request.get("oldObject"),
            "request": request,
        }
        return all(evaluate(condition["expression"], variables) for condition in hook.get("matchConditions") or ())

    def _call(self, hook: Object, request: Object, warnings: list[str]) -> Object | None:
        request = {**request, "uid": str(uuid.uuid4())}
        body = orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        config = hook["clientConfig"]
        url = config.get("url") or "https://{name}.{namespace}.svc".format(**config.get("service", {}))
        try:
            pool = self._pool(config.get("caBundle", ""))
            answer = pool.request(
                "POST",
                f"{url}?timeout={hook.get('timeoutSeconds', 10)}s",
                body=body,
                headers={"Content-Type": "application/json"},
                timeout=urllib3.Timeout(hook.get("timeoutSeconds", 10)),
                retries=urllib3.Retry(total=1, connect=0, read=1, redirect=0, backoff_factor=0, allowed_methods=None),
            )
            if answer.status != 200:
                raise ValueError(f"the server answered {answer.status}: {answer.data[:200].decode(errors='replace')}")
            response = orjson.loads(answer.data)["response"]
            if response["uid"] != request["uid"]:
                raise ValueError("the answer is to another request")
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError) as error:
            if hook.get("failurePolicy", "Fail") == "Ignore":
                return None
            raise Failure(
                500,
                f'Internal error occurred: failed calling webhook "{hook["name"]}": Post "{url}": {error}',
            ) from None
        warnings += response.get("warnings") or []
        if not response.get("allowed"):
            status = response.get("status") or {}
            message = status.get("message") or "without explanation"
            raise Failure(
                status.get("code") or 403,
                f'admission webhook "{hook["name"]}" denied the request: {message}',
                status.get("reason") or ("" if status.get("code") else "Forbidden"),
            )
        return dict(response)

    def _pool(self, ca_bundle: str) -> urllib3.PoolManager:
        if ca_bundle not in self._pools:
            pem = base64.b64decode(ca_bundle).decode()
            if "BEGIN CERTIFICATE" not in pem:
                raise ValueError("clientConfig.caBundle has no certificate")
            self._pools[ca_bundle] = urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_cert_data=pem, maxsize=8)
        return self._pools[ca_bundle]


def _rule(rule: Object, request: Object, resource: ResourceType) -> bool:
    def listed(name: str, value: str) -> bool:
        return any(v in ("*", value) for v in rule.get(name) or ())

    subresource = f"/{request['subResource']}" if request.get("subResource") else ""
    return (
        listed("operations", request["operation"])
        and listed("apiGroups", resource.group)
        and listed("apiVersions", resource.version)
        and listed("resources", resource.plural + subresource)
    )
