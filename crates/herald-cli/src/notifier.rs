//! The way to a notifier, for commands that call one.

use std::{fmt, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use herald_proto::api::notice_service_client::NoticeServiceClient;
use herald_service::Exit;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

/// Exit code for who may not do that, as sysexits.h has it.
pub(crate) const NO_PERMISSION: u8 = 77;

/// Which notifier, and as whom.
#[derive(Debug, Args)]
pub(crate) struct Notifier {
    /// The notifier's gRPC address; with https it has to show a certificate that is trusted
    #[arg(
        long = "notifier",
        value_name = "URL",
        env = "HERALD_NOTIFIER_URL",
        default_value = "http://127.0.0.1:50051"
    )]
    url: String,
    /// File with the API key to call with; HERALD_API_KEY is the key itself
    #[arg(long, value_name = "FILE", env = "HERALD_API_KEY_FILE")]
    api_key_file: Option<PathBuf>,
    /// File with the authority (PEM) to trust in place of the system's
    #[arg(long, value_name = "FILE", env = "HERALD_NOTIFIER_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// File with the certificate (PEM) to call with
    #[arg(long, value_name = "FILE", env = "HERALD_CALLER_CERT_FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// File with its key (PEM)
    #[arg(long, value_name = "FILE", env = "HERALD_CALLER_KEY_FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// Seconds that connecting and the call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

/// Why a command that calls a notifier has no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// What was asked for cannot be right.
    Wrong(String),
    /// The notifier cannot be reached.
    Away(String),
    /// It refused.
    Refused(Status),
}

impl Failed {
    /// As scripts see it; 69 is where trying again later may help.
    pub(crate) fn exit(&self) -> ExitCode {
        match self {
            Self::Wrong(_) => Exit::BadConfiguration.into(),
            Self::Away(_) => Exit::Unavailable.into(),
            Self::Refused(status) => match status.code() {
                Code::NotFound => 1.into(),
                Code::InvalidArgument => Exit::BadConfiguration.into(),
                Code::Unauthenticated | Code::PermissionDenied => NO_PERMISSION.into(),
                Code::Unavailable
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Cancelled => Exit::Unavailable.into(),
                _ => Exit::Internal.into(),
            },
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(why) | Self::Away(why) => f.write_str(why),
            Self::Refused(status) => f.write_str(status.message()),
        }
    }
}

impl Notifier {
    /// A client that is connected.
    pub(crate) async fn connect(&self) -> Result<NoticeServiceClient<Channel>, Failed> {
        let wrong =
            |why: String| Failed::Wrong(format!("the notifier's address {}: {why}", self.url));
        let mut endpoint = Endpoint::from_shared(self.url.clone())
            .map_err(|_| wrong("expected http://host:port or https://host:port".into()))?
            .connect_timeout(self.time());
        match endpoint.uri().scheme_str() {
            Some("https") => {
                let tls = self.tls()?;
                endpoint = endpoint.tls_config(tls).map_err(|error| wrong(chain(&error)))?;
            }
            Some("http") if self.ca_file.is_none() && self.cert_file.is_none() => {}
            Some("http") => return Err(wrong("certificates are of use with https only".into())),
            _ => return Err(wrong("expected http://host:port or https://host:port".into())),
        }
        let channel = endpoint.connect().await.map_err(|error| {
            Failed::Away(format!("no notifier answers at {}: {}", self.url, chain(&error)))
        })?;
        Ok(NoticeServiceClient::new(channel))
    }

    /// A request with the caller's key and the time that it may take.
    pub(crate) fn request<T>(&self, message: T) -> Result<Request<T>, Failed> {
        let mut request = Request::new(message);
        request.set_timeout(self.time());
        if let Some(key) = self.key()? {
            request.metadata_mut().insert("authorization", key);
        }
        Ok(request)
    }

    /// The longest that connecting, and each call, may take.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// What the caller's key is shown as.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn key(&self) -> Result<Option<MetadataValue<Ascii>>, Failed> {
        let given = std::env::var("HERALD_API_KEY").ok().filter(|key| !key.is_empty());
        let key = match (&self.api_key_file, given) {
            (Some(_), Some(_)) => {
                let both = "give HERALD_API_KEY or HERALD_API_KEY_FILE, not both";
                return Err(Failed::Wrong(both.into()));
            }
            (Some(file), None) => {
                let key = String::from_utf8(read(file)?);
                key.map_err(|_| Failed::Wrong(format!("{} is no text", file.display())))?
            }
            (None, Some(key)) => key,
            (None, None) => return Ok(None),
        };
        let mut bearer = MetadataValue::try_from(format!("Bearer {}", key.trim()))
            .map_err(|_| Failed::Wrong("the API key has characters that no key has".into()))?;
        bearer.set_sensitive(true);
        Ok(Some(bearer))
    }

    fn tls(&self) -> Result<ClientTlsConfig, Failed> {
        let tls = match &self.ca_file {
            Some(file) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(file)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                Ok(tls.identity(Identity::from_pem(read(cert)?, read(key)?)))
            }
            _ => Ok(tls),
        }
    }
}

pub(crate) fn read(file: &PathBuf) -> Result<Vec<u8>, Failed> {
    std::fs::read(file).map_err(|error| Failed::Wrong(format!("{}: {error}", file.display())))
}

/// An error with what is below it, which says more.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    text
}
