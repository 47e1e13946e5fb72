"""hypothesis strategies for pod templates: all fields that injection reads, and many that it must not change."""

from typing import Any

import orjson
from hypothesis import strategies as st

from crds.parse import parse_actor
from injection.generations import generation
from injection.settings import SidecarDefaults
from tests.harness.space import actor

Object = dict[str, Any]

TAGS = ("0.1.1", "0.4.0", "0.5.1", "1.0.0", "1.1.3", "latest")
"""Tags of the sidecar's image, for all generations."""

NAMES = st.text("abcdefgh", min_size=1, max_size=4)
SCALARS = st.one_of(st.booleans(), st.integers(-5, 5), st.text("xyz/", max_size=3))
UNKNOWN = st.dictionaries(
    st.sampled_from(["futureField", "lifecycle", "x~y/z", "stdin"]),
    st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(NAMES, SCALARS, max_size=2)),
    max_size=3,
)
"""Fields of later Kubernetes versions, and unknown fields."""


def optional(key: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    """An object with ``key``, or an empty one."""
    return st.one_of(st.just({}), value.map(lambda v: {key: v}))


def merged(*parts: st.SearchStrategy[Object]) -> st.SearchStrategy[Object]:
    """One object of all ``parts``. The last value of a field wins."""
    return st.tuples(*parts).map(lambda objects: {k: v for obj in objects for k, v in obj.items()})


ENV = st.lists(
    st.one_of(
        st.builds(lambda n, v: {"name": n, "value": v}, NAMES, st.text("xyz", max_size=3)),
        st.just({"name": "ASYA_HANDLER", "value": "app.handle"}),
        st.just({"name": "ASYA_SOCKET_DIR", "value": "/else"}),
        st.just({"name": "ASYA_SOCKET_DIR", "value": "/other"}),
        st.just({"name": "ASYA_RUNTIME_PORT", "value": "9000"}),
        st.just({"name": "ASYA_SOCKET_PATH", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
    ),
    max_size=5,
)
"""Some names occur twice, which Kubernetes allows."""
MOUNTS = st.lists(
    st.one_of(
        st.builds(lambda n, p: {"name": n, "mountPath": f"/mnt/{p}"}, NAMES, NAMES),
        st.sampled_from(["/opt", "/opt/asya/", "/run", "/", "/run/asya/x", "/tmp/./sockets/app.sock"]).map(
            lambda path: {"name": "parent", "mountPath": path}
        ),
        st.sampled_from(["/run/./asya", "//run//asya/", "/x/../run/asya", "/tmp/sockets/.", "s"]).map(
            lambda path: {"name": "asya-socket", "mountPath": path}
        ),
    ),
    max_size=3,
    unique_by=lambda m: m["mountPath"],
)
SECURITY = merged(
    optional("runAsUser", st.integers(0, 3)),
    optional("runAsGroup", st.integers(0, 3)),
    optional("runAsNonRoot", st.booleans()),
    optional("readOnlyRootFilesystem", st.booleans()),
)
POD_SECURITY = merged(
    SECURITY,
    optional("runAsUser", st.none()),
    optional("fsGroup", st.integers(0, 3)),
    optional("fsGroupChangePolicy", st.just("OnRootMismatch")),
    optional("supplementalGroups", st.lists(st.integers(0, 3), max_size=2)),
)


def containers(names: list[str]) -> st.SearchStrategy[list[Object]]:
    """A container for each name."""
    one = merged(
        UNKNOWN,
        optional("image", st.just("app:1")),
        optional("env", ENV),
        optional("volumeMounts", MOUNTS),
        optional("command", st.sampled_from([[], ["sh"], ["python3", "x.py"]])),
        optional("securityContext", SECURITY),
        optional("ports", st.just([{"containerPort": 8080, "name": "http"}])),
    )
    return st.tuples(*(one.map(lambda c, n=n: {"name": n, **c}) for n in names)).map(list)  # type: ignore[misc]


@st.composite
def templates(draw: st.DrawFn) -> Object:
    """A pod template whose runtime container is unambiguous."""
    others = draw(st.lists(NAMES, max_size=3, unique=True))
    single = not others and draw(st.booleans())
    names = ["main"] if single else draw(st.permutations([*others, "runtime"]))
    spec = draw(
        merged(
            UNKNOWN,
            optional("volumes", st.lists(NAMES.map(lambda n: {"name": n, "emptyDir": {}}), max_size=3)),
            optional("initContainers", containers(["init"])),
            optional("terminationGracePeriodSeconds", st.sampled_from([0, 5, 30, 600])),
            optional("securityContext", POD_SECURITY),
            optional("hostNetwork", st.booleans()),
            optional("shareProcessNamespace", st.booleans()),
            optional("imagePullSecrets", st.just([{"name": "pull"}])),
            optional("nodeSelector", st.just({"kubernetes.io/os": "linux"})),
        )
    )
    spec["containers"] = draw(containers(list(names)))
    metadata = draw(
        merged(
            UNKNOWN,
            optional("labels", st.dictionaries(NAMES, NAMES, max_size=2)),
            optional("annotations", st.dictionaries(NAMES, NAMES, max_size=2)),
        )
    )
    chosen = draw(
        st.sampled_from(
            [{"spec": spec}, {"metadata": metadata, "spec": spec}, {"metadata": metadata, "spec": spec, "x": 1}]
        )
    )
    # In an object from JSON, no two places share an object.
    return dict(orjson.loads(orjson.dumps(chosen)))


SIDECARS = merged(
    optional("image", st.sampled_from(["side:1", *(f"ghcr.io/deliveryhero/asya-sidecar:{t}" for t in TAGS)])),
    optional("generation", st.sampled_from(["auto", "frames", "frames-namespaced", "http"])),
    optional("endActor", st.booleans()),
    optional("env", st.just([{"name": "ASYA_LOG_LEVEL", "value": "DEBUG"}])),
)
RESILIENCY = st.fixed_dictionaries(
    {"policies": st.dictionaries(NAMES, st.fixed_dictionaries({"maxAttempts": st.integers(1, 3)}), max_size=2)}
)


@st.composite
def _actors(draw: st.DrawFn) -> Object:
    socket = draw(
        merged(
            st.sampled_from(["run/asya", "tmp/sockets", "s"]).map(lambda d: {"path": f"/{d}/app.sock"}),
            optional("activation", st.booleans()),
        )
    )
    spec = draw(
        merged(
            st.sampled_from([10, 30, 90]).map(lambda grace: {"timeout": {"gracefulShutdown": grace}}),
            st.sampled_from([{}, {"timeout": {"processing": 60}}]),
            optional("queueName", st.sampled_from(["asya-default-one", "asya-other", "plain"])),
            SIDECARS.map(lambda sidecar: {"sidecar": sidecar}),
        )
    )
    obj = actor(draw(st.sampled_from(["one", "two"])), socket=socket, **spec)
    if generation(parse_actor(obj), SidecarDefaults()) == "http":
        obj["spec"].update(draw(optional("resiliency", RESILIENCY)))
    if draw(st.booleans()):
        ends = draw(merged(optional("messages", st.integers(1, 3)), optional("idleSeconds", st.just(5))))
        obj["spec"]["workload"].update(type="Job", job=ends)
    return obj


ACTORS = _actors()
"""Actors that differ in every field that affects a template, of every generation of the sidecar."""

SETTINGS = st.builds(
    SidecarDefaults,
    native_sidecars=st.booleans(),
    socket_activation=st.booleans(),
    run_as_user=st.sampled_from([1000, 65532]),
)
"""Settings of an operator, on a cluster with or without native sidecars."""
