//! Where programs and files are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// A binary of this workspace, built with the same profile as the running test.
pub(crate) fn ours(name: &str) -> anyhow::Result<PathBuf> {
    // …/target/<profile>/deps/<this test>, or …/target/<profile>/<this program>
    let exe = env::current_exe().context("this program does not know where it is")?;
    let directory = exe
        .ancestors()
        .find(|path| path.ends_with("deps"))
        .unwrap_or(&exe)
        .parent()
        .with_context(|| format!("{} is in no directory", exe.display()))?;
    let binary = directory.join(name);
    if !binary.is_file() {
        bail!("{} is not there; build it first: cargo build --workspace --bins", binary.display());
    }
    Ok(binary)
}

/// A program of the system. `sbin` is looked at too, which is not on everybody's path.
pub(crate) fn system(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places =
        env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    places
        .find_map(|place| Some(place.join(name)).filter(|path| path.is_file()))
        .with_context(|| format!("{name} is not installed; run: scripts/setup.sh test"))
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of this crate's js/ directory, whose packages must be installed.
pub(crate) fn js(file: &str) -> anyhow::Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("js");
    if !directory.join("node_modules").is_dir() {
        bail!("the packages of {} are not there; run: scripts/setup.sh test", directory.display());
    }
    Ok(directory.join(file))
}

/// The interpreter of the repository's virtual environment, and a file of python/.
pub(crate) fn python(file: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    let interpreter = root().join(".venv/bin/python");
    if !interpreter.exists() {
        bail!("{} is not there; run: scripts/setup.sh test", interpreter.display());
    }
    Ok((interpreter, Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(file)))
}
