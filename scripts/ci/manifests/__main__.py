"""Checks what deploys Herald: python scripts/ci/manifests BINARIES SCRATCH.

SCRATCH has a file NAME.yaml for each overlay as kustomize built it, and `secrets`.
"""

import pathlib
import sys

import compose
import config
import kubernetes
import rules

binaries, scratch = (pathlib.Path(argument) for argument in sys.argv[1:])
checker = config.Checker(binaries, scratch / "secrets")
failures = []
passed = 0


def check(name, faults):
    """Counts one check; `faults` says what is wrong."""
    global passed
    faults = list(faults)
    if faults:
        failures.append(name)
        print(f"FAILED {name}", *faults, sep="\n    ")
    else:
        passed += 1


for overlay in sorted(scratch.glob("*.yaml")):
    documents = kubernetes.load(overlay)
    for document in documents:
        check(f"{overlay.stem}: schema of {kubernetes.title(document)}", kubernetes.schema_faults(document))
    check(f"{overlay.stem}: names that are referred to", kubernetes.dangling(documents, overlay.stem))
    for workload in kubernetes.workloads(documents):
        title = f"{overlay.stem}: {kubernetes.title(workload)}"
        check(f"{title}: rules", rules.faults(workload, documents))
        for container in kubernetes.containers(workload):
            if config.binary_of(container["image"]):
                check(f"{title}: --check-config", kubernetes.config_faults(workload, container, documents, checker))
    examples = sorted(pathlib.Path(f"deploy/kubernetes/overlays/{overlay.stem}/examples").glob("*"))
    for example in examples:
        check(f"{example}: --check-config", kubernetes.example_faults(example, documents, checker))

stack = compose.load("docker-compose.yml")
for name, service in stack["services"].items():
    check(f"docker-compose.yml: {name}: rules", compose.rule_faults(name, service))
    if config.binary_of(service["image"]):
        check(f"docker-compose.yml: {name}: --check-config", compose.config_faults(service, checker))
        check(f"docker-compose.yml: {name}: knobs", compose.missing_knobs(service, checker))
check(".env.example: knobs and defaults", compose.example_faults(".env.example", stack, checker))

print(f"{passed} passed, {len(failures)} failed")
sys.exit(1 if failures or not passed else 0)
