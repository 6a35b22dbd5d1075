//! TLS of a listener: certificate and key are files, read again when they change.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::config::Reader;

pub use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// How long a peer may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Enough for any chain of certificates; more is a mistake in the path.
const MAX_BYTES: u64 = 1 << 20;

/// What the options of a listener are called.
#[derive(Debug, Clone, Copy)]
pub struct TlsVariables {
    /// The file with the certificate and those between it and its root, PEM.
    pub certificate: &'static str,
    /// The file with the private key, PEM.
    pub key: &'static str,
    /// The file with the roots of clients' certificates, PEM, where clients may show one.
    pub client_ca: Option<&'static str>,
}

/// A listener's TLS, read and found to be right.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    files: Files,
    config: Arc<ServerConfig>,
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    protocols: &'static [&'static [u8]],
}

/// Declares and reads the options of a listener that speaks `protocols` (ALPN). `None` when it is
/// to be without TLS.
pub fn tls_options(
    r: &mut Reader,
    variables: &TlsVariables,
    protocols: &'static [&'static [u8]],
) -> Option<TlsOptions> {
    let file = |r: &mut Reader, variable, help| {
        r.option::<PathBuf>(variable, help).unset_means("no TLS").optional()
    };
    let certificate =
        file(r, variables.certificate, "Certificate chain of the listener, PEM; read again");
    let key = file(r, variables.key, "Private key of that certificate, PEM; read again");
    let client_ca = variables.client_ca.and_then(|variable| {
        r.option::<PathBuf>(
            variable,
            "Roots of clients' certificates, PEM: who shows one is known by it",
        )
        .unset_means("clients show none")
        .optional()
    });
    let mut options = None;
    let checked: Vec<_> = [Some(variables.certificate), Some(variables.key), variables.client_ca]
        .into_iter()
        .flatten()
        .collect();
    r.check(&checked, || match (certificate, key, client_ca) {
        (Some(certificate), Some(key), client_ca) => {
            let files = Files { certificate, key, client_ca, protocols };
            options = Some(TlsOptions { config: files.load()?, files });
            Ok(())
        }
        (None, None, None) => Ok(()),
        _ => Err("TLS needs both the certificate and its key".into()),
    });
    options
}

impl TlsOptions {
    /// Whether clients may show certificates.
    #[must_use]
    pub fn knows_clients(&self) -> bool {
        self.files.client_ca.is_some()
    }
}

impl Files {
    fn load(&self) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| format!("{} holds no private key in PEM", self.key.display()))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path)? {
                    roots.add(root).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                // Who shows none may have another way to say who it is.
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        // Finds out whether the two belong together.
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!("{} and {}: {error}", self.certificate.display(), self.key.display())
        })?;
        config.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// All that is in the files now, to see whether it has changed.
    fn contents(&self) -> Vec<Option<Vec<u8>>> {
        let paths = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        paths.into_iter().flatten().map(|path| read(path).ok()).collect()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(format!("{} holds no certificate in PEM", path.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        Ok(size) if size as u64 > MAX_BYTES => {
            Err(format!("{} is larger than 1 MiB", path.display()))
        }
        Ok(_) => Ok(bytes),
    }
}

/// Secures the connections of a listener. Clones share everything.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// As the options say, until [`keep_fresh`](Self::keep_fresh) finds other files.
    #[must_use]
    pub fn new(options: &TlsOptions) -> Self {
        let config = RwLock::new(Arc::clone(&options.config));
        Self(Arc::new(Inner { files: options.files.clone(), config }))
    }

    /// Secures a connection, within 10 s.
    ///
    /// # Errors
    /// When the peer does not do its part; the connection is to be dropped.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.config());
        match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no handshake in time")),
        }
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again whenever they change, for ever. What is wrong with them leaves what
    /// was right in force, and is said.
    pub async fn keep_fresh(self) {
        let files = self.0.files.clone();
        let mut known = files.contents();
        loop {
            tokio::time::sleep(EVERY).await;
            let files = files.clone();
            let look = tokio::task::spawn_blocking(move || (files.contents(), files.load()));
            let Ok((found, loaded)) = look.await else { return };
            if found == known {
                continue;
            }
            known = found;
            match loaded {
                Ok(config) => {
                    tracing::info!("certificate read anew");
                    *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                }
                Err(error) => {
                    tracing::warn!(error, "the certificate stays as it was: its files are wrong");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;
    use crate::config::{Faults, Source};

    const VARIABLES: TlsVariables = TlsVariables {
        certificate: "HERALD_X_TLS_CERT_FILE",
        key: "HERALD_X_TLS_KEY_FILE",
        client_ca: Some("HERALD_X_TLS_CLIENT_CA_FILE"),
    };

    fn options(env: &[(&str, &PathBuf)]) -> Result<Option<TlsOptions>, Faults> {
        let env = env.iter().map(|(name, path)| (*name, path.to_str().unwrap()));
        let mut r = Reader::new(Source::new([""; 0], env));
        let options = tls_options(&mut r, &VARIABLES, &[b"http/1.1"]);
        r.finish().map(|_| options)
    }

    fn write(directory: &Path, name: &str) -> [PathBuf; 2] {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let paths = ["pem", "key"].map(|end| directory.join(format!("{name}.{end}")));
        std::fs::write(&paths[0], cert.pem()).unwrap();
        std::fs::write(&paths[1], signing_key.serialize_pem()).unwrap();
        paths
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said_and_no_key_shown() {
        let directory = tempfile::tempdir().unwrap();
        let [certificate, key] = write(directory.path(), "one");
        let [other, other_key] = write(directory.path(), "two");
        let cert = |path| ("HERALD_X_TLS_CERT_FILE", path);
        let with_key = |path| ("HERALD_X_TLS_KEY_FILE", path);
        let roots = |path| ("HERALD_X_TLS_CLIENT_CA_FILE", path);
        assert!(options(&[]).unwrap().is_none());
        let plain = options(&[cert(&certificate), with_key(&key)]).unwrap().unwrap();
        assert!(!plain.knows_clients());
        let knows = options(&[cert(&certificate), with_key(&key), roots(&other)]).unwrap().unwrap();
        assert!(knows.knows_clients());
        let missing = directory.path().join("missing");
        for (env, reason) in [
            (vec![cert(&certificate)], "needs both"),
            (vec![with_key(&key)], "needs both"),
            (vec![roots(&other)], "needs both"),
            (vec![cert(&missing), with_key(&key)], "cannot read"),
            (vec![cert(&certificate), with_key(&certificate)], "holds no private key in PEM"),
            (vec![cert(&key), with_key(&key)], "holds no certificate in PEM"),
            (vec![cert(&certificate), with_key(&other_key)], "one.pem and "),
            (vec![cert(&certificate), with_key(&key), roots(&key)], "holds no certificate in PEM"),
        ] {
            let text = options(&env).unwrap_err().to_string();
            assert!(text.contains(reason) && !text.contains("BEGIN"), "{text}");
        }
    }
}
