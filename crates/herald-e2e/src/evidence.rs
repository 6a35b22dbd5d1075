//! What all services said and showed in a run of many tests, kept for one look at the end: no secret
//! that any test used may stand in any of it.
//!
//! `scripts/test.sh` looks. `HERALD_E2E_EVIDENCE` names the directory; without it nothing is kept.

use std::{
    env,
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

/// Names the directory.
const VARIABLE: &str = "HERALD_E2E_EVIDENCE";

/// What is shorter could stand anywhere.
const SHORTEST: usize = 12;

/// How long a service may take for its figures. Some tests leave theirs frozen.
const PATIENCE: Duration = Duration::from_millis(500);

/// The directory, if evidence is kept.
#[derive(Debug)]
pub(crate) struct Evidence(PathBuf);

/// Notes a secret that a test uses and no sandbox knows of.
///
/// # Panics
///
/// When it cannot be written down.
pub fn note_secret(secret: &str) {
    if let Some(evidence) = Evidence::wanted() {
        evidence.secrets([secret]).expect("a secret can be written down");
    }
}

impl Evidence {
    pub(crate) fn wanted() -> Option<Self> {
        env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(|path| Self(path.into()))
    }

    /// Adds to the list of all secrets.
    pub(crate) fn secrets<'s>(&self, all: impl IntoIterator<Item = &'s str>) -> io::Result<()> {
        let lines = all.into_iter().flat_map(str::lines);
        let list: String = lines
            .filter(|line| line.len() >= SHORTEST && !line.starts_with("-----"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::create_dir_all(&self.0)?;
        // One write, since other processes do the same.
        let file = self.0.join("secrets");
        OpenOptions::new().create(true).append(true).open(file)?.write_all(list.as_bytes())
    }

    /// Takes over logs, figures and traces; who still writes to them goes on doing so.
    pub(crate) fn take(&self, directory: &Path) -> io::Result<()> {
        let to = self.0.join("said").join(directory.file_name().unwrap_or_default());
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(directory)? {
            let from = entry?.path();
            let kind = from.extension().and_then(OsStr::to_str).unwrap_or_default();
            if let ("log" | "metrics" | "traces", Some(name)) = (kind, from.file_name()) {
                let to = to.join(name);
                if fs::rename(&from, &to).is_err() {
                    fs::copy(&from, &to)?;
                }
            }
        }
        Ok(())
    }
}

/// The figures of a service that runs, asked without a runtime; nothing if it does not answer.
pub(crate) fn figures(admin: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
