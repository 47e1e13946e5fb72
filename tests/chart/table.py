"""The effect of each value of the chart: a value, and where the rendered objects must show it.

Values of both processes are rendered together, all others one by one.
"""

from typing import Any

from tests.chart.cases import Case, Object, merged, values_of

CONTROLLER, WEBHOOK = "Deployment/asya-operator", "Deployment/asya-operator-webhook"
POD = "spec.template.spec"
DIGEST = "sha256:" + "a" * 64
TOLERATION = {"key": "control-plane", "operator": "Exists"}
AFFINITY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
]}}}  # fmt: skip
SPREAD = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
CLIENT_CA = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
BY_MANAGER = {"certs": {"mode": "cert-manager"}}
VOLUME = {"name": "more", "configMap": {"name": "more"}}
MOUNT = {"name": "more", "mountPath": "/more"}


def _environment(process: str, key: str, value: Any, name: str, observed: Any = None) -> Case:
    target = {"controller": CONTROLLER, "webhook": WEBHOOK}[process]
    expected = str(value) if observed is None else observed
    return Case(key, value, target, f"{POD}.containers.0.env.{name}.value", expected)


def _security(target: str) -> list[Any]:
    """Security contexts of a process's pod and container, field by field."""
    container = f"{POD}.containers.0"
    return [
        ("podSecurityContext.runAsUser", 1000, target, f"{POD}.securityContext.runAsUser", 1000),
        ("podSecurityContext.runAsGroup", 1001, target, f"{POD}.securityContext.runAsGroup", 1001),
        ("podSecurityContext.fsGroup", 1002, target, f"{POD}.securityContext.fsGroup", 1002),
        ("podSecurityContext.runAsNonRoot", False, target, f"{POD}.securityContext.runAsNonRoot", False),
        (
            "podSecurityContext.seccompProfile",
            {"type": "Unconfined"},
            target,
            f"{POD}.securityContext.seccompProfile.type",
            "Unconfined",
        ),
        (
            "securityContext.allowPrivilegeEscalation",
            True,
            target,
            f"{container}.securityContext.allowPrivilegeEscalation",
            True,
        ),
        (
            "securityContext.readOnlyRootFilesystem",
            False,
            target,
            f"{container}.securityContext.readOnlyRootFilesystem",
            False,
        ),
        (
            "securityContext.capabilities",
            {"drop": ["NET_RAW"]},
            target,
            f"{container}.securityContext.capabilities.drop",
            ["NET_RAW"],
        ),
    ]


def _of_process(name: str, target: str) -> list[Case]:
    """The cases of values that both processes have."""
    container = f"{POD}.containers.0"
    disruptions = f"PodDisruptionBudget/{target.split('/')[1]}"
    budget = {"controller": {"podDisruptionBudget": True}}
    account = f"ServiceAccount/{name}-account"
    named = {name: {"serviceAccount": {"name": f"{name}-account"}}}
    cases: list[Any] = [
        ("replicas", 3, target, "spec.replicas", 3),
        ("resources.requests", {"cpu": "2"}, target, f"{container}.resources.requests.cpu", "2"),
        ("resources.limits", {"cpu": "3"}, target, f"{container}.resources.limits.cpu", "3"),
        ("podAnnotations", {"a": "b"}, target, "spec.template.metadata.annotations.a", "b"),
        ("podLabels", {"team": name}, target, "spec.template.metadata.labels.team", name),
        *_security(target),
        ("nodeSelector", {"zone": "a"}, target, f"{POD}.nodeSelector", {"zone": "a"}),
        ("tolerations", [TOLERATION], target, f"{POD}.tolerations.0", TOLERATION),
        ("affinity", AFFINITY, target, f"{POD}.affinity", AFFINITY),
        ("topologySpreadConstraints", [SPREAD], target, f"{POD}.topologySpreadConstraints.0.topologyKey", "zone"),
        ("priorityClassName", "high", target, f"{POD}.priorityClassName", "high"),
        ("extraEnv", [{"name": "A", "value": "b"}], target, f"{container}.env.A.value", "b"),
        ("extraEnvFrom", [{"secretRef": {"name": "s"}}], target, f"{container}.envFrom.0.secretRef.name", "s"),
        ("extraVolumes", [VOLUME], target, f"{POD}.volumes.more.configMap.name", "more"),
        ("extraVolumeMounts", [MOUNT], target, f"{container}.volumeMounts.more.mountPath", "/more"),
        ("extraArgs", ["--log-level=DEBUG"], target, f"{container}.args.1", "--log-level=DEBUG"),
        ("hostNetwork", True, target, f"{POD}.hostNetwork", True),
        ("dnsPolicy", "Default", target, f"{POD}.dnsPolicy", "Default"),
        ("dnsConfig", {"nameservers": ["::1"]}, target, f"{POD}.dnsConfig.nameservers", ["::1"]),
        ("metricsPort", 9101, target, f"{container}.ports.metrics.containerPort", 9101),
        ("revisionHistoryLimit", 3, target, "spec.revisionHistoryLimit", 3),
        ("terminationGracePeriodSeconds", 70, target, f"{POD}.terminationGracePeriodSeconds", 70),
        ("livenessProbe.periodSeconds", 21, target, f"{container}.livenessProbe.periodSeconds", 21),
        ("livenessProbe.failureThreshold", 9, target, f"{container}.livenessProbe.failureThreshold", 9),
        ("readinessProbe.periodSeconds", 22, target, f"{container}.readinessProbe.periodSeconds", 22),
        ("podDisruptionBudgetSpec", {"minAvailable": "25%"}, disruptions, "spec.minAvailable", "25%", budget),
        ("serviceAccount.name", f"{name}-account", target, f"{POD}.serviceAccountName", f"{name}-account"),
        ("serviceAccount.annotations", {"role": name}, account, "metadata.annotations.role", name, named),
        ("serviceAccount.create", False, f"ServiceAccount/{target.split('/')[1]}", "", None),
    ]
    return [Case(f"{name}.{key}", *rest) for key, *rest in cases]


PROCESSES = [*_of_process("controller", CONTROLLER), *_of_process("webhook", WEBHOOK)]

IMAGE = f"{POD}.containers.0.image"
SERVICE, METRICS = "Service/asya-operator-webhook", "Service/asya-operator-metrics"
MUTATING = "MutatingWebhookConfiguration/asya-operator"
GITHUB = {"runtime": {"source": "github", "github": {"repo": "o/r"}}}
MONITORED = {"metrics": {name: {"enabled": True} for name in ("serviceMonitor", "podMonitor", "rules", "dashboard")}}
WATCHED = ["one", "two"]
REGISTRY = "mirror.example.com:5000/all"

GENERAL = [
    Case("global.imageRegistry", REGISTRY, CONTROLLER, IMAGE, f"{REGISTRY}/asya-operator:3.0.0"),
    Case(
        "global.imageRegistry",
        REGISTRY,
        WEBHOOK,
        f"{POD}.containers.0.env.ASYA_SIDECAR_IMAGE.value",
        f"{REGISTRY}/deliveryhero/asya-sidecar:1.1.3",
    ),
    Case("global.imagePullSecrets", ["g"], WEBHOOK, f"{POD}.imagePullSecrets.0.name", "g"),
    Case("nameOverride", "mine", "Deployment/mine", "metadata.labels.app_kubernetes_io/name", "mine"),
    Case("fullnameOverride", "mine", "Deployment/mine-webhook", "metadata.name", "mine-webhook"),
    Case("fullnameOverride", "mine", "MutatingWebhookConfiguration/mine", "metadata.name", "mine"),
    Case("commonLabels", {"team": "ml"}, SERVICE, "metadata.labels.team", "ml"),
    Case("commonLabels", {"team": "ml"}, WEBHOOK, "spec.template.metadata.labels.team", "ml"),
    Case("commonLabels", {"team": "ml"}, "CustomResourceDefinition/asyncactors.asya.io", "metadata.labels.team", "ml"),
    Case("watchNamespaces", WATCHED, "Role/asya-operator-actors", "metadata.namespace", "two"),
    Case("watchNamespaces", WATCHED, "ClusterRole/asya-operator-webhook", "", None),
    Case("watchNamespaces", WATCHED, MUTATING, "webhooks.0.namespaceSelector.matchExpressions.0.values", WATCHED),
    _environment("controller", "watchNamespaces", WATCHED, "ASYA_WATCH_NAMESPACES", "one,two"),
    Case(
        "extraObjects",
        [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"a": "b"}}],
        "ConfigMap/more",
        "data.a",
        "b",
    ),
    Case("image.repository", "registry:5000/a/b", CONTROLLER, IMAGE, "registry:5000/a/b:3.0.0"),
    Case("image.tag", "9", WEBHOOK, IMAGE, "asya-operator:9"),
    Case("image.digest", DIGEST, WEBHOOK, IMAGE, f"asya-operator@{DIGEST}"),
    Case("image.pullPolicy", "Always", WEBHOOK, f"{POD}.containers.0.imagePullPolicy", "Always"),
    Case("imagePullSecrets", [{"name": "a"}], CONTROLLER, f"{POD}.imagePullSecrets.0.name", "a"),
    Case("imagePullSecrets", ["b"], "Job/asya-operator-release", f"{POD}.imagePullSecrets.0.name", "b"),
    _environment("webhook", "logLevel", "DEBUG", "ASYA_LOG_LEVEL"),
    _environment("controller", "logFormat", "json", "ASYA_LOG_FORMAT"),
    _environment("webhook", "client.qps", 20, "ASYA_CLIENT_QPS"),
    _environment("controller", "client.burst", 40, "ASYA_CLIENT_BURST"),
    _environment("controller", "leaderElection.leaseDuration", 60, "ASYA_LEASE_SECONDS"),
    _environment("controller", "leaderElection.renewDeadline", 12, "ASYA_LEASE_RENEW_SECONDS"),
    _environment("controller", "leaderElection.retryPeriod", 5, "ASYA_LEASE_RETRY_SECONDS"),
    Case("service.ipFamilyPolicy", "PreferDualStack", SERVICE, "spec.ipFamilyPolicy", "PreferDualStack"),
    Case("service.ipFamilies", ["IPv6"], METRICS, "spec.ipFamilies", ["IPv6"]),
    Case("service.annotations", {"a": "b"}, METRICS, "metadata.annotations.a", "b"),
    Case("service.webhookPort", 9443, MUTATING, "webhooks.0.clientConfig.service.port", 9443),
    Case("service.webhookPort", 9443, SERVICE, "spec.ports.0.port", 9443),
    Case("service.metricsPort", 9090, METRICS, "spec.ports.0.port", 9090),
    Case(
        "runtime.source",
        "github",
        CONTROLLER,
        f"{POD}.containers.0.env.ASYA_RUNTIME_SOURCE.value",
        "github",
        {"runtime": {"github": {"repo": "o/r"}}},
    ),
    _environment("controller", "runtime.local.path", "/more/script.py", "ASYA_RUNTIME_LOCAL_PATH"),
    _environment("controller", "runtime.github.repo", "o/r", "ASYA_RUNTIME_GITHUB_REPO"),
    _environment("controller", "runtime.github.version", "v2", "ASYA_RUNTIME_VERSION"),
    _environment("controller", "runtime.github.sha256", "b" * 64, "ASYA_RUNTIME_SHA256"),
    _environment("controller", "runtime.github.url", "https://git.example.com", "ASYA_RUNTIME_GITHUB_URL"),
    _environment("controller", "runtime.github.proxy", "http://proxy:3128", "ASYA_RUNTIME_GITHUB_PROXY"),
    Case(
        "runtime.github.caConfigMap.name", "cas", CONTROLLER, f"{POD}.volumes.github-ca.configMap.name", "cas", GITHUB
    ),
    Case(
        "runtime.github.caConfigMap.key",
        "root.pem",
        CONTROLLER,
        f"{POD}.volumes.github-ca.configMap.items.0.key",
        "root.pem",
        {"runtime": {"github": {"caConfigMap": {"name": "cas"}}}},
    ),
    Case(
        "runtime.github.tokenSecret.name",
        "token",
        CONTROLLER,
        f"{POD}.containers.0.env.ASYA_RUNTIME_GITHUB_TOKEN_FILE.value",
        "/etc/asya/github-token/token",
        GITHUB,
    ),
    Case(
        "runtime.github.tokenSecret.key",
        "pat",
        CONTROLLER,
        f"{POD}.volumes.github-token.secret.items.0.key",
        "pat",
        {"runtime": {"github": {"tokenSecret": {"name": "token"}}}},
    ),
    _environment("webhook", "runtime.namespace", "elsewhere", "ASYA_RUNTIME_NAMESPACE"),
    Case("runtime.namespace", "elsewhere", "Role/asya-operator-webhook-runtime", "metadata.namespace", "elsewhere"),
    _environment("webhook", "runtime.rollout", False, "ASYA_RUNTIME_ROLLOUT", "false"),
    _environment("webhook", "runtime.port", 9200, "ASYA_RUNTIME_PORT"),
    _environment("webhook", "sidecar.image", "side:2", "ASYA_SIDECAR_IMAGE"),
    _environment("webhook", "sidecar.generation", "http", "ASYA_SIDECAR_GENERATION"),
    _environment("webhook", "sidecar.imagePullPolicy", "Always", "ASYA_SIDECAR_IMAGE_PULL_POLICY"),
    _environment("webhook", "sidecar.imagePullSecrets", ["s"], "ASYA_SIDECAR_IMAGE_PULL_SECRETS", '["s"]'),
    _environment(
        "webhook",
        "sidecar.securityContext",
        {"runAsGroup": 5},
        "ASYA_SIDECAR_SECURITY_CONTEXT",
        '{"runAsGroup":5}',
    ),
    _environment(
        "webhook",
        "sidecar.extraVolumes",
        [{"name": "asya-ca", "configMap": {"name": "ca"}}],
        "ASYA_SIDECAR_VOLUMES",
        '[{"configMap":{"name":"ca"},"name":"asya-ca"}]',
    ),
    Case(
        "sidecar.extraVolumeMounts",
        [{"name": "asya-ca", "mountPath": "/etc/ssl/certs"}],
        WEBHOOK,
        f"{POD}.containers.0.env.ASYA_SIDECAR_VOLUME_MOUNTS.value",
        '[{"mountPath":"/etc/ssl/certs","name":"asya-ca"}]',
        {"sidecar": {"extraVolumes": [{"name": "asya-ca", "configMap": {"name": "ca"}}]}},
    ),
    _environment(
        "webhook",
        "sidecar.defaultResources.requests",
        {"cpu": "9"},
        "ASYA_SIDECAR_RESOURCES",
        '{"limits":{"memory":"256Mi"},"requests":{"cpu":"9","memory":"64Mi"}}',
    ),
    _environment(
        "controller",
        "sidecar.defaultResources.limits",
        {"memory": "1Gi"},
        "ASYA_SIDECAR_RESOURCES",
        '{"limits":{"memory":"1Gi"},"requests":{"cpu":"50m","memory":"64Mi"}}',
    ),
    _environment("webhook", "sidecar.metricsPort", 9999, "ASYA_SIDECAR_METRICS_PORT"),
    _environment("webhook", "sidecar.logLevel", "DEBUG", "ASYA_SIDECAR_LOG_LEVEL"),
    _environment("webhook", "sidecar.gatewayUrl", "http://gateway", "ASYA_GATEWAY_URL"),
    _environment("webhook", "sidecar.runAsUser", 1234567, "ASYA_SIDECAR_RUN_AS_USER"),
    _environment("webhook", "sidecar.socketActivation", False, "ASYA_SOCKET_ACTIVATION", "false"),
    _environment("webhook", "sidecar.otel.endpoint", "http://otel:4317", "ASYA_OTEL_ENDPOINT"),
    _environment("webhook", "sidecar.otel.protocol", "grpc", "ASYA_OTEL_PROTOCOL"),
    _environment("controller", "reinjection.parallel", 3, "ASYA_REINJECTION_PARALLEL"),
    _environment("controller", "reinjection.timeout", 90, "ASYA_REINJECTION_TIMEOUT"),
    Case("uninstall.release", False, "Job/asya-operator-release", "", None),
    Case("uninstall.cleanup", False, "Job/asya-operator-cleanup", "", None),
    Case("uninstall.cleanup", False, "ServiceAccount/asya-operator-cleanup", "", None),
    _environment("controller", "controller.workers", 5, "ASYA_WORKERS"),
    Case("controller.podDisruptionBudget", True, "PodDisruptionBudget/asya-operator", "spec.maxUnavailable", 1),
    Case("controller.updateStrategy", {"type": "Recreate"}, CONTROLLER, "spec.strategy.type", "Recreate"),
    Case("controller.hostNetwork", True, CONTROLLER, f"{POD}.dnsPolicy", "ClusterFirstWithHostNet"),
    _environment("webhook", "webhook.workers", 4, "ASYA_WEBHOOK_WORKERS"),
    _environment("webhook", "webhook.threads", 16, "ASYA_WEBHOOK_THREADS"),
    _environment("webhook", "webhook.peerConnections", 512, "ASYA_WEBHOOK_PEER_CONNECTIONS"),
    Case("webhook.failurePolicy", "Ignore", MUTATING, "webhooks.0.failurePolicy", "Ignore"),
    Case("webhook.timeoutSeconds", 9, MUTATING, "webhooks.0.timeoutSeconds", 9),
    Case(
        "webhook.excludedNamespaces",
        ["argocd"],
        MUTATING,
        "webhooks.0.namespaceSelector.matchExpressions.0.values",
        ["argocd", "asya-system", "kube-system"],
    ),
    Case("webhook.url", "https://host:8443/", MUTATING, "webhooks.0.clientConfig.url", "https://host:8443/mutate"),
    Case("webhook.port", 9443, WEBHOOK, f"{POD}.containers.0.ports.https.containerPort", 9443),
    _environment("webhook", "webhook.port", 9443, "ASYA_WEBHOOK_PORT"),
    Case("webhook.podDisruptionBudget", False, "PodDisruptionBudget/asya-operator-webhook", "", None),
    Case(
        "webhook.updateStrategy",
        {"rollingUpdate": {"maxSurge": 2}},
        WEBHOOK,
        "spec.strategy.rollingUpdate.maxSurge",
        2,
    ),
    Case("priorityClassName", "critical", CONTROLLER, f"{POD}.priorityClassName", "critical"),
    _environment("controller", "certs.mode", "secret", "ASYA_CERTS_MODE"),
    Case(
        "certs.mode",
        "cert-manager",
        "Certificate/asya-operator-webhook",
        "spec.dnsNames.0",
        "asya-operator-webhook.asya-system.svc",
    ),
    _environment("webhook", "certs.secretName", "tls", "ASYA_CERTS_SECRET"),
    _environment("controller", "certs.secretName", "tls", "ASYA_CERTS_AUTHORITY_SECRET", "tls-ca"),
    _environment("controller", "certs.authoritySecretName", "ca", "ASYA_CERTS_AUTHORITY_SECRET"),
    _environment("controller", "certs.caLifetime", "1000d", "ASYA_CERTS_CA_LIFETIME"),
    _environment("controller", "certs.lifetime", "80d", "ASYA_CERTS_LIFETIME"),
    _environment("controller", "certs.overlap", "90s", "ASYA_CERTS_OVERLAP"),
    _environment("webhook", "webhook.clientCA", CLIENT_CA, "ASYA_WEBHOOK_CLIENT_CA"),
    Case(
        "webhook.clientNames",
        ["a", "b"],
        WEBHOOK,
        f"{POD}.containers.0.env.ASYA_WEBHOOK_CLIENT_NAMES.value",
        "a,b",
        {"webhook": {"clientCA": CLIENT_CA}},
    ),
    Case(
        "networkPolicy.apiServers",
        ["192.0.2.0/28"],
        "NetworkPolicy/asya-operator",
        "spec.ingress.0.from.0.ipBlock.cidr",
        "192.0.2.0/28",
        {"networkPolicy": {"enabled": True}},
    ),
    *[
        Case(f"certs.certManager.{key}", given, f"Certificate/asya-operator-webhook{suffix}", path, given, BY_MANAGER)
        for key, given, suffix, path in (
            ("caDuration", "100000h", "-ca", "spec.duration"),
            ("caRenewBefore", "9000h", "-ca", "spec.renewBefore"),
            ("duration", "9000h", "", "spec.duration"),
            ("renewBefore", "100h", "", "spec.renewBefore"),
            ("issuerRef.name", "ours", "", "spec.issuerRef.name"),
        )
    ],
    *[
        Case(
            f"certs.certManager.issuerRef.{key}",
            given,
            "Certificate/asya-operator-webhook",
            f"spec.issuerRef.{key}",
            given,
            {"certs": {"mode": "cert-manager", "certManager": {"issuerRef": {"name": "ours"}}}},
        )
        for key, given in (("kind", "ClusterIssuer"), ("group", "issuers.example.com"))
    ],
    Case("metrics.port", 9102, WEBHOOK, f"{POD}.containers.0.ports.metrics.containerPort", 9102),
    _environment("controller", "metrics.port", 9102, "ASYA_METRICS_PORT"),
    Case(
        "metrics.serviceMonitor.enabled",
        True,
        "ServiceMonitor/asya-operator",
        "spec.namespaceSelector.matchNames",
        ["asya-system"],
    ),
    *[
        Case(f"metrics.{value}.{key}", given, target, path, expected, MONITORED)
        for value, target, interval in (
            ("serviceMonitor", "ServiceMonitor/asya-operator", "spec.endpoints.0.interval"),
            ("podMonitor", "PodMonitor/asya-actors", "spec.podMetricsEndpoints.0.interval"),
            ("rules", "PrometheusRule/asya-operator", ""),
            ("dashboard", "ConfigMap/asya-operator-dashboard", ""),
        )
        for key, given, path, expected in (
            ("enabled", True, "metadata.name", target.split("/")[1]),
            ("namespace", "monitoring", "metadata.namespace", "monitoring"),
            ("labels", {"release": "p"}, "metadata.labels.release", "p"),
            ("interval", "15s", interval, "15s"),
        )
        if path
    ],
    Case(
        "metrics.rules.runbookUrl",
        "https://docs.example.com/t",
        "PrometheusRule/asya-operator",
        "spec.groups.0.rules.0.annotations.runbook_url",
        "https://docs.example.com/t#asyawebhookdown",
        MONITORED,
    ),
    Case("networkPolicy.enabled", True, "NetworkPolicy/asya-operator", "spec.ingress.0.ports.0.port", 8443),
    Case("serviceAccount.annotations", {"arn": "x"}, "ServiceAccount/asya-operator", "metadata.annotations.arn", "x"),
    Case("rbac.create", False, "ClusterRole/asya-operator", "", None),
    Case("rbac.aggregate", False, "ClusterRole/asya-operator-edit", "", None),
    Case("crds.install", False, "CustomResourceDefinition/asyncactors.asya.io", "", None),
]  # fmt: skip

TABLE = [*PROCESSES, *GENERAL]


def values_of_processes() -> Object:
    """All cases of both processes at once, without those that remove an object."""
    made: Object = {}
    for case in PROCESSES:
        if case.path:
            made = merged(made, values_of(case))
    return made
