"""Our own rules for what runs in Kubernetes."""

from kubernetes import containers, pod, title


def faults(workload, documents):
    spec = pod(workload)
    yield from _pod(spec)
    for container in containers(workload):
        for fault in _container(container):
            yield f"container {container['name']}: {fault}"
    if workload["kind"] == "Deployment":
        yield from _deployment(workload, documents)


def _pod(spec):
    security = spec.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        yield "does not run as a user of its own (runAsNonRoot, runAsUser)"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccompProfile RuntimeDefault"
    if spec.get("automountServiceAccountToken") is not False:
        yield "is given a token of Kubernetes"
    if spec.get("enableServiceLinks") is not False:
        yield "is given variables of Services, which begin like ours"
    for forbidden in ("hostNetwork", "hostPID", "hostIPC", "initContainers"):
        if spec.get(forbidden):
            yield f"has {forbidden}, which nothing here looks at"


def _container(container):
    security = container.get("securityContext", {})
    restricted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for name, value in restricted.items():
        if security.get(name) != value:
            yield f"securityContext.{name} is not {value}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if probe not in container:
            yield f"has no {probe}"
    if "/ready" in str(container.get("livenessProbe")):
        yield "its livenessProbe would restart it when Redis is away"
    resources = container.get("resources", {})
    for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if name not in resources.get(kind, {}):
            yield f"has no resources.{kind}.{name}"
    tag = container["image"].rsplit("/", 1)[-1].partition(":")[2]
    if tag in ("", "latest"):
        yield f"image {container['image']} has no tag that means one version"


def _deployment(workload, documents):
    labels = workload["spec"]["template"]["metadata"]["labels"]
    if workload["spec"]["selector"]["matchLabels"].items() - labels.items():
        yield "does not select its own pods"

    def selects(selector):
        wanted = selector.get("matchLabels", {})
        return wanted and wanted.items() <= labels.items()

    budgets = [d for d in documents if d["kind"] == "PodDisruptionBudget" and selects(d["spec"]["selector"])]
    if len(budgets) != 1:
        yield f"has {len(budgets)} PodDisruptionBudgets"
    spread = {
        constraint["topologyKey"]
        for constraint in pod(workload).get("topologySpreadConstraints", [])
        if selects(constraint["labelSelector"])
    }
    if not {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} <= spread:
        yield "is not spread over nodes and zones"
    scalers = [
        d for d in documents
        if d["kind"] == "HorizontalPodAutoscaler" and d["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]
    ]
    if len(scalers) != 1 or "replicas" in workload["spec"]:
        yield "is not scaled by exactly one of HorizontalPodAutoscaler and `replicas`"
    if any(d["spec"]["minReplicas"] < 2 for d in scalers):
        yield "may be down to one pod, which a PodDisruptionBudget cannot help"
    policies = [d for d in documents if d["kind"] == "NetworkPolicy" and "Ingress" in d["spec"]["policyTypes"]]
    if not any(selects(policy["spec"]["podSelector"]) and not policy["spec"].get("ingress") for policy in policies):
        yield f"no NetworkPolicy denies {title(workload)} what none allows"
