"""Kubernetes objects: their schemas, what they refer to, what they give the binaries."""

import json
import pathlib

import jsonschema
import kubernetes_validate
import yaml

# The oldest that the manifests are for, and the newest that the validator knows.
VERSIONS = ("1.29", "1.37")
OWN_SCHEMAS = {"ServiceMonitor": "deploy/kubernetes/schemas/servicemonitor.json"}
WORKLOADS = {"Deployment", "StatefulSet"}
# Made by hand in production, see the overlay.
OUTSIDE = {"prod": {"herald-clients", "herald-callers", "herald-backplane"}}


class NoDuplicates(yaml.SafeLoader):
    """YAML where a key stands once."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"twice in one mapping: {twice} at {node.start_mark}")
        return super().construct_mapping(node, deep)


def load(path):
    return [document for document in yaml.load_all(path.read_text(), NoDuplicates) if document]


def title(document):
    return f"{document['kind']} {document['metadata']['name']}"


def schema_faults(document):
    own = OWN_SCHEMAS.get(document["kind"])
    if own:
        validator = jsonschema.Draft202012Validator(json.loads(pathlib.Path(own).read_text()))
        for error in validator.iter_errors(document):
            yield f"{error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield f"Kubernetes {version}: {error}"


def workloads(documents):
    return [document for document in documents if document["kind"] in WORKLOADS]


def pod(workload):
    return workload["spec"]["template"]["spec"]


def containers(workload):
    return pod(workload)["containers"]


def named(documents, kind, name):
    return next((d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name), None)


def dangling(documents, overlay):
    """References to what is neither in the overlay nor made by hand."""
    def missing(kind, name, whose):
        if not named(documents, kind, name) and not (kind == "Secret" and name in OUTSIDE.get(overlay, ())):
            yield f"{whose} refers to {kind} {name}, which is not there"

    for workload in workloads(documents):
        whose = title(workload)
        yield from missing("ServiceAccount", pod(workload)["serviceAccountName"], whose)
        for container in containers(workload):
            for source in container.get("envFrom", []):
                yield from missing("ConfigMap", source["configMapRef"]["name"], whose)
        for volume in pod(workload).get("volumes", []):
            for source in volume["projected"]["sources"]:
                yield from missing("Secret", source["secret"]["name"], whose)
    for scaler in (d for d in documents if d["kind"] == "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        yield from missing(target["kind"], target["name"], title(scaler))
    for ingress in (d for d in documents if d["kind"] == "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = named(documents, "Service", backend["name"])
                ports = [port["name"] for port in service["spec"]["ports"]] if service else []
                if backend["port"]["name"] not in ports:
                    yield f"{title(ingress)} refers to a port that no Service has: {backend}"
    pods = [(w["spec"]["template"]["metadata"]["labels"], w) for w in workloads(documents)]
    for service in (d for d in documents if d["kind"] == "Service"):
        wanted = service["spec"]["selector"].items()
        chosen = [workload for labels, workload in pods if wanted <= labels.items()]
        if len(chosen) != 1:
            yield f"{title(service)} selects {len(chosen)} workloads"
        names = {port["name"] for workload in chosen for c in containers(workload) for port in c["ports"]}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in names:
                yield f"{title(service)} targets port {port['targetPort']}, which no container has"


def environment(container, documents):
    env = {}
    for source in container.get("envFrom", []):
        env.update(named(documents, "ConfigMap", source["configMapRef"]["name"])["data"])
    env.update({variable["name"]: variable["value"] for variable in container.get("env", [])})
    return env


def with_address(env, checker, address):
    """A Secret made by hand has the address of Redis."""
    if "HERALD_BACKPLANE_FILE" in env:
        (checker.secrets / "address").write_text(address)
    return env


def config_faults(workload, container, documents, checker):
    env = with_address(environment(container, documents), checker, "rediss://redis.internal/0")
    settings, faults = checker.settings(container["image"], container.get("args", []), env)
    yield from faults
    listening = {
        value.rsplit(":", 1)[1] for name, value in settings.items()
        if name.endswith("_LISTEN") and not value.startswith("127.")
    }
    declared = {str(port["containerPort"]) for port in container["ports"]}
    if settings and listening != declared:
        yield f"listens on {sorted(listening)} and declares {sorted(declared)}"
    # The time that ending takes; 3.5 s are for the last spans.
    sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = sleep + float(settings.get("HERALD_SHUTDOWN_DEADLINE", "0s").removesuffix("s")) + 3.5
    if pod(workload)["terminationGracePeriodSeconds"] < needed:
        yield f"terminationGracePeriodSeconds is less than the {needed} s that ending may take"


def example_faults(path, documents, checker):
    """An address of Redis that the overlay shows, in the place of its Secret."""
    for workload in workloads(documents):
        for container in containers(workload):
            env = with_address(environment(container, documents), checker, path.read_text())
            yield from checker.settings(container["image"], container.get("args", []), env)[1]
