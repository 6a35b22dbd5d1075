//! The benches of the workspace, and their cases under valgrind.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// The crates that have cases, each in a bench that is called so.
const CRATES: [&str; 3] = ["herald-backplane", "herald-gateway", "herald-notifier"];
const BENCH: &str = "hot";

/// Where callgrind's profiles are left, one for each case.
pub(crate) const PROFILES: &str = "target/instructions";

/// Operations of a short run and of a long one. What is between them is these operations alone: not
/// the program's start, nor what its case made ready. Many, since a start that calibrates its clock differs
/// by a million or two from the next.
const SHORT: u64 = 100;
const LONG: u64 = 5_100;

/// A program with cases.
#[derive(Debug)]
pub(crate) struct Bench {
    of: String,
    program: PathBuf,
}

/// Builds all of them, as they are shipped.
pub(crate) fn build() -> anyhow::Result<Vec<Bench>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["bench", "--locked", "--no-run", "--bench", BENCH]);
    build.args(CRATES.iter().flat_map(|name| ["--package", name]));
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    // What `cargo run` tells of this program: build scripts would take it for a change, and all that
    // stands on them would be built anew for `make micro`, and again for this.
    let of_this =
        |name: &str| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_");
    for (name, _) in env::vars().filter(|(name, _)| of_this(name)) {
        build.env_remove(name);
    }
    let output = build.output().context("cargo does not start")?;
    ensure!(output.status.success(), "the benches do not build");
    let mut benches = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        benches.extend(bench(&serde_json::from_slice(line)?));
    }
    ensure!(benches.len() == CRATES.len(), "not every crate has its bench: {benches:?}");
    benches.sort_by(|one, other| one.of.cmp(&other.of));
    Ok(benches)
}

/// The bench that one of cargo's messages is about.
fn bench(message: &Value) -> Option<Bench> {
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != BENCH {
        return None;
    }
    let program = PathBuf::from(message["executable"].as_str()?);
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let of = manifest.parent()?.file_name()?.to_str()?.to_owned();
    Some(Bench { of, program })
}

impl Bench {
    /// The names of its cases.
    pub(crate) fn cases(&self) -> anyhow::Result<Vec<String>> {
        let output = Command::new(&self.program).arg("--cases").output()?;
        ensure!(output.status.success(), "{} does not tell its cases", self.of);
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
    }

    /// A case's name in the workspace.
    pub(crate) fn named(&self, case: &str) -> String {
        format!("{} {case}", self.of)
    }

    /// The instructions of one operation of a case.
    pub(crate) fn count(&self, case: &str) -> anyhow::Result<u64> {
        let (short, long) = (self.run(case, SHORT)?, self.run(case, LONG)?);
        Ok(long.saturating_sub(short) / (LONG - SHORT))
    }

    /// The instructions of a whole run, in which the operation is done so many times.
    fn run(&self, case: &str, times: u64) -> anyhow::Result<u64> {
        fs::create_dir_all(PROFILES)?;
        let profile = format!("{PROFILES}/{}.{case}", self.of);
        let mut valgrind = Command::new("valgrind");
        valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={profile}"));
        valgrind.arg(&self.program).args(["--count", case, &times.to_string()]);
        let output = valgrind.output().context("valgrind does not start")?;
        if !output.status.success() {
            bail!("{case} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let profile = fs::read_to_string(&profile).with_context(|| format!("no {profile}"))?;
        let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
        Ok(total.context("the profile has no total")?.trim().parse()?)
    }
}

/// Processor, compiler and valgrind: what counts depend on, beside the code.
pub(crate) fn tools() -> anyhow::Result<String> {
    let version = |program: &str| -> anyhow::Result<String> {
        let output = Command::new(program).arg("--version").output();
        let output = output.with_context(|| format!("{program} does not start"))?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let rustc = version("rustc")?;
    let rustc = rustc.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Ok(format!("{} {rustc} {}", env::consts::ARCH, version("valgrind")?))
}
