"""What the binaries say of arguments and variables: `--check-config`."""

import re
import subprocess

BINARIES = {"herald-gateway", "herald-notifier"}
# Where containers find secrets.
MOUNTS = re.compile(r"^/run/secrets(/herald)?/")
SETTING = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*?)\s+# (?!warning)(\S.*)$")


def binary_of(image):
    """The Herald binary in an image, or None if it is somebody else's."""
    name = image.rsplit("/", 1)[-1].split(":")[0]
    return name if name in BINARIES else None


class Checker:
    """Asks the binaries, with the secrets' files in the place of those that containers mount."""

    def __init__(self, binaries, secrets):
        self.binaries = binaries
        self.secrets = secrets

    def settings(self, image, args, env):
        """(variable → value in force, faults); what is unknown to the binary is a fault too."""
        env = {name: MOUNTS.sub(f"{self.secrets}/", value) for name, value in env.items()}
        done = subprocess.run(
            [self.binaries / binary_of(image), *args, "--check-config"],
            env=env, capture_output=True, text=True, timeout=30, check=False,
        )
        if done.returncode != 0:
            return {}, (done.stderr or done.stdout).splitlines()
        lines = done.stdout.splitlines()
        warnings = [line for line in lines if line.startswith("# warning")]
        found = (SETTING.match(line) for line in lines)
        return {match[1]: match[2] for match in found if match}, warnings
