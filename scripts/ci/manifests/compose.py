"""docker-compose.yml and .env.example."""

import pathlib
import re

import yaml

# ${NAME}, ${NAME:-default}, ${NAME-default}, and $$ for a dollar.
VARIABLE = re.compile(r"\$(?:\$|\{([A-Z_]+)(?::?-([^}]*))?\})")
LINE = re.compile(r"^# ([A-Z][A-Z0-9_]*)=(\S*)\s+# \S")
# Set by docker-compose.yml itself, for each service its own; and what is no option of ours.
FIXED = re.compile(r"^HERALD_(GATEWAY|NOTIFIER)_([A-Z]+_)?LISTEN$|^HERALD_GATEWAY_NAME$|^HOSTNAME$|^OTEL_SERVICE_NAME$")
STANDARD = {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
# Shown for this stack, where the service's own default is another one or none.
OWN = {"HERALD_CLIENT_AUTH", "HERALD_JWT_SECRET_FILE", "HERALD_API_KEYS_FILE", "HERALD_BACKPLANE", "OTEL_EXPORTER_OTLP_ENDPOINT"}


def load(path):
    def fill(match):
        return "$" if match[0] == "$$" else (match[2] or "")

    return yaml.safe_load(VARIABLE.sub(fill, pathlib.Path(path).read_text()))


def rule_faults(name, service):
    image, _, tag = service["image"].rpartition(":")
    if not image or tag == "latest":
        yield f"image {service['image']} has no tag that means one version"
    if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
        yield "can write to its root file system, or has capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "can gain privileges"
    for port in service.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            yield f"publishes {port} to the whole network by default"
    if "observe" not in service.get("profiles", []) and not name.startswith(("gateway", "notifier")):
        if "healthcheck" not in service:
            yield "has no healthcheck (those of Herald are in the images)"


def _given(service):
    """Variables with a value; the others are taken from .env, which may lack them."""
    return {name: str(value) for name, value in service["environment"].items() if value is not None}


def config_faults(service, checker):
    return checker.settings(service["image"], service.get("command", []), _given(service))[1]


def missing_knobs(service, checker):
    """Options of the binary that .env could not set, and variables that it does not know."""
    settings, _ = checker.settings(service["image"], [], _given(service))
    listed = set(service["environment"])
    for name in sorted(set(settings) - listed):
        if not FIXED.match(name):
            yield f"{name} cannot be set from .env"
    files = {f"{name}_FILE" for name in settings}
    for name in sorted(listed - set(settings) - files - STANDARD):
        yield f"{name} is no option of {service['image']}"


def example_faults(path, stack, checker):
    text = pathlib.Path(path).read_text()
    shown = dict(match.groups() for line in text.splitlines() if (match := LINE.match(line)))
    used = set(re.findall(r"\$\{([A-Z_]+)", pathlib.Path("docker-compose.yml").read_text()))
    for service in stack["services"].values():
        if "herald-" not in service["image"]:
            continue
        settings, _ = checker.settings(service["image"], [], _given(service))
        used |= {name for name, value in service["environment"].items() if value is None}
        for name, value in settings.items():
            # What is not shown cannot be compared.
            comparable = name in shown and name not in OWN and value != "****"
            if comparable and shown[name] != value:
                yield f"{name}={shown[name]} is not the default of {service['image']}, which is {value}"
        example = {name: value for name, value in shown.items() if value and name in service["environment"]}
        env = _given(service) | example
        yield from checker.settings(service["image"], [], env)[1]
    for name in sorted(used ^ set(shown)):
        yield f"{name} is {'not listed' if name in used else 'listed, and used by nothing'}"
    if any(line and not line.startswith("#") for line in text.splitlines()):
        yield "a line is in force: all of them are to be comments"
