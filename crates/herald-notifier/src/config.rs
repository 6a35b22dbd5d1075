//! The notifier's options.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use herald_backplane::BackplaneOptions;
use herald_core::{InboxLimits, limits};
use herald_service::{
    TlsOptions, TlsVariables, backplane_options,
    config::{ByteSize, Reader},
    tls_options,
};

use crate::callers::ApiKeys;

/// The variable of the gRPC address.
pub(crate) const GRPC_LISTEN: &str = "HERALD_NOTIFIER_GRPC_LISTEN";
/// The variable of the HTTP address.
pub(crate) const HTTP_LISTEN: &str = "HERALD_NOTIFIER_HTTP_LISTEN";
/// The variable of the admin port's address.
pub(crate) const ADMIN_LISTEN: &str = "HERALD_NOTIFIER_ADMIN_LISTEN";
const API_KEYS_FILE: &str = "HERALD_API_KEYS_FILE";
const ALLOW_INSECURE: &str = "HERALD_ALLOW_INSECURE";
const PAYLOAD_BYTES: &str = "HERALD_PAYLOAD_BYTES";
const BATCH_BYTES: &str = "HERALD_BATCH_BYTES";
const INBOX_BYTES: &str = "HERALD_INBOX_BYTES";

/// What an inbox needs for a notice besides its payload.
const ENVELOPE_BYTES: u64 = 1 << 10;

/// How a notifier works. The defaults listen on free ports of loopback.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where gRPC is served.
    pub grpc_listen: SocketAddr,
    /// Where HTTP is served.
    pub http_listen: SocketAddr,
    /// The keys that callers have to show; without them nobody is asked.
    pub api_keys: Option<ApiKeys>,
    /// Secures both; if it knows clients, they may call by their certificates.
    pub tls: Option<TlsOptions>,
    /// Largest payload of a notice, in bytes of JSON text.
    pub payload_bytes: usize,
    /// Most items in a batch.
    pub batch_items: usize,
    /// Largest batch, in bytes as encoded; also the largest body over HTTP.
    pub batch_bytes: usize,
    /// What the backplane's inboxes keep: its age is the longest ttl, and its pages are the longest
    /// that are given.
    pub inbox: InboxLimits,
    /// Most calls under way, over both protocols together. Each may hold a message of
    /// `batch_bytes`.
    pub max_calls: usize,
    /// Most notices whose receipts are waited for at a time.
    pub max_waits: usize,
    /// How long a call may take whose caller sets no deadline, or a later one.
    pub call_deadline: Duration,
    /// How long the head of an HTTP request may take, and how long a connection may be idle.
    pub head_timeout: Duration,
    /// How long the body of an HTTP request may take.
    pub body_timeout: Duration,
    /// How often an HTTP/2 connection is asked whether its peer is there.
    pub keepalive_interval: Duration,
    /// How long the peer has to answer that.
    pub keepalive_timeout: Duration,
    /// How long the calls under way may take once the notifier is to end.
    pub drain_deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        Self {
            grpc_listen: any_port,
            http_listen: any_port,
            api_keys: None,
            tls: None,
            payload_bytes: limits::PAYLOAD_BYTES,
            batch_items: limits::BATCH_ITEMS,
            batch_bytes: limits::BATCH_BYTES,
            inbox: InboxLimits::default(),
            max_calls: 1_024,
            max_waits: 10_000,
            call_deadline: Duration::from_secs(60),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(20),
        }
    }
}

impl Options {
    /// Declares and reads the notifier's own options. `backplane` are those it shares with the
    /// other services.
    pub fn read(r: &mut Reader, backplane: &BackplaneOptions) -> Self {
        r.group("Notifier");
        let grpc_listen =
            r.option(GRPC_LISTEN, "Where backends call over gRPC").default("0.0.0.0:50051");
        let http_listen =
            r.option(HTTP_LISTEN, "Where backends call over HTTP").default("0.0.0.0:8080");
        let allow_insecure = r
            .option(ALLOW_INSECURE, "Serve without authentication on other addresses than loopback")
            .default("false");
        let api_keys = r
            .parsed(
                API_KEYS_FILE,
                "File with the API keys of callers, read again when it changes",
                |path| ApiKeys::read(path),
            )
            .describe("PATH", "a file made with `herald api-key`", "")
            .unset_means("callers are not asked who they are")
            .optional();
        let tls = tls_options(
            r,
            &TlsVariables {
                certificate: "HERALD_NOTIFIER_TLS_CERT_FILE",
                key: "HERALD_NOTIFIER_TLS_KEY_FILE",
                client_ca: Some("HERALD_NOTIFIER_TLS_CLIENT_CA_FILE"),
            },
            &[b"h2", b"http/1.1"],
        );
        let knows_clients = tls.as_ref().is_some_and(TlsOptions::knows_clients);
        let asked = allow_insecure || api_keys.is_some() || knows_clients;
        r.check(&[GRPC_LISTEN, HTTP_LISTEN, ALLOW_INSECURE, API_KEYS_FILE], || {
            check_addresses([(GRPC_LISTEN, grpc_listen), (HTTP_LISTEN, http_listen)], asked)
        });
        let max_calls = r
            .option("HERALD_NOTIFIER_MAX_CALLS", "Calls under way; further ones are refused")
            .unit("calls")
            .within(1..=1_000_000)
            .default("1024");
        let max_waits = r
            .option(
                "HERALD_NOTIFIER_MAX_WAITS",
                "Notices whose receipts are waited for (`wait_for`); further ones are refused",
            )
            .unit("notices")
            .within(1..=1_000_000)
            .default("10000");
        let call_deadline =
            duration(r, "HERALD_NOTIFIER_CALL_DEADLINE", "How long a call may take", "60s");
        let head_timeout = duration(
            r,
            "HERALD_NOTIFIER_HEAD_TIMEOUT",
            "How long the head of an HTTP request may take, and how long a connection may be idle",
            "30s",
        );
        let body_timeout = duration(
            r,
            "HERALD_NOTIFIER_BODY_TIMEOUT",
            "How long the body of an HTTP request may take",
            "10s",
        );
        let keepalive_interval = duration(
            r,
            "HERALD_NOTIFIER_KEEPALIVE",
            "How often a gRPC connection is asked whether its peer is there",
            "30s",
        );
        let drain_deadline = duration(
            r,
            "HERALD_NOTIFIER_DRAIN",
            "How long calls under way may take once the notifier has closed its door, which is a \
             second after it was asked to end",
            "20s",
        );
        let (payload_bytes, batch_items, batch_bytes) = limits(r, backplane);
        Self {
            grpc_listen,
            http_listen,
            api_keys,
            tls,
            payload_bytes,
            batch_items,
            batch_bytes,
            inbox: backplane.inbox,
            max_calls,
            max_waits,
            call_deadline,
            head_timeout,
            body_timeout,
            keepalive_interval,
            drain_deadline,
            ..Self::default()
        }
    }
}

fn limits(r: &mut Reader, backplane: &BackplaneOptions) -> (usize, usize, usize) {
    r.group("Limits");
    let inbox_bytes = ByteSize::new(backplane.inbox.bytes);
    let payload_bytes: ByteSize = r
        .option(PAYLOAD_BYTES, "Largest payload of a notice, as JSON text")
        .within(ByteSize::new(1)..=ByteSize::new(16 << 20))
        .default("64KiB");
    let batch_items = r
        .option("HERALD_BATCH_ITEMS", "Most notices in one call")
        .unit("notices")
        .within(1..=100_000)
        .default("1000");
    let batch_bytes: ByteSize = r
        .option(BATCH_BYTES, "Largest batch of notices, and largest HTTP body")
        .within(ByteSize::new(1 << 10)..=ByteSize::new(256 << 20))
        .default("4MiB");
    r.check(&[PAYLOAD_BYTES, BATCH_BYTES], || {
        if payload_bytes.bytes() + ENVELOPE_BYTES <= batch_bytes.bytes() {
            return Ok(());
        }
        Err(format!(
            "a payload of {payload_bytes} and 1KiB around it do not fit a message of {batch_bytes}"
        ))
    });
    r.check(&[PAYLOAD_BYTES, INBOX_BYTES], || {
        if payload_bytes.bytes() + ENVELOPE_BYTES <= inbox_bytes.bytes() {
            return Ok(());
        }
        Err(format!(
            "a payload of {payload_bytes} and 1KiB around it do not fit an inbox of {inbox_bytes}"
        ))
    });
    (payload_bytes.as_usize(), batch_items, batch_bytes.as_usize())
}

fn duration(
    r: &mut Reader,
    variable: &'static str,
    help: &'static str,
    default: &'static str,
) -> Duration {
    r.option(variable, help)
        .within(Duration::from_millis(100)..=Duration::from_secs(3_600))
        .default(default)
}

/// Where callers are not authenticated, whoever reaches the port can send to everybody.
fn check_addresses(
    addresses: [(&'static str, SocketAddr); 2],
    allowed: bool,
) -> Result<(), String> {
    let open: Vec<_> =
        addresses.into_iter().filter(|(_, address)| !address.ip().is_loopback()).collect();
    if allowed || open.is_empty() {
        return Ok(());
    }
    let join = |words: Vec<String>| words.join(" and ");
    let are = join(open.iter().map(|(name, address)| format!("{name}={address}")).collect());
    let use_instead = join(
        open.iter().map(|(name, address)| format!("{name}=127.0.0.1:{}", address.port())).collect(),
    );
    Err(format!(
        "callers are not authenticated, so anybody who reaches {are} could send to every user; \
         give them API keys ({API_KEYS_FILE}), listen on loopback only ({use_instead}), or set {ALLOW_INSECURE}=true where the network \
         lets nobody else in"
    ))
}

/// All that the process `herald-notifier` reads.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// The notifier's own.
    pub notifier: Options,
    /// Those of the backplane, the same for all services.
    pub backplane: BackplaneOptions,
    /// Where `/live`, `/ready` and `/metrics` are served.
    pub admin_listen: SocketAddr,
}

impl ProcessOptions {
    /// Declares and reads them.
    pub fn read(r: &mut Reader) -> Self {
        let backplane = backplane_options(r);
        let notifier = Options::read(r, &backplane);
        r.group("Admin port");
        let admin_listen = r.admin_listen(ADMIN_LISTEN, "127.0.0.1:9051");
        Self { notifier, backplane, admin_listen }
    }
}

#[cfg(test)]
mod tests {
    use herald_service::config::{Faults, Source};

    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<ProcessOptions, Faults> {
        let mut r = Reader::new(Source::new([""; 0], env.iter().copied()));
        let options = ProcessOptions::read(&mut r);
        r.finish().map(|_| options)
    }

    const MEMORY: (&str, &str) = ("HERALD_BACKPLANE", "memory:");
    const INSECURE: (&str, &str) = ("HERALD_ALLOW_INSECURE", "true");

    #[test]
    fn the_defaults_are_those_of_the_type_but_for_the_addresses() {
        let read = read(&[MEMORY, INSECURE]).unwrap();
        assert_eq!(read.notifier.grpc_listen.to_string(), "0.0.0.0:50051");
        assert_eq!(read.notifier.http_listen.to_string(), "0.0.0.0:8080");
        assert_eq!(read.admin_listen.to_string(), "127.0.0.1:9051");
        let Options { grpc_listen, http_listen, .. } = read.notifier;
        let expected = Options { grpc_listen, http_listen, ..Options::default() };
        assert_eq!(format!("{:?}", read.notifier), format!("{expected:?}"));
    }

    #[test]
    fn open_addresses_without_authentication_are_a_fault_that_says_what_to_do() {
        let faults = read(&[MEMORY]).unwrap_err().to_string();
        for word in [
            "HERALD_NOTIFIER_GRPC_LISTEN=127.0.0.1:50051",
            "HERALD_NOTIFIER_HTTP_LISTEN=127.0.0.1:8080",
            "HERALD_ALLOW_INSECURE=true",
        ] {
            assert!(faults.contains(word), "{faults}");
        }
        let grpc = ("HERALD_NOTIFIER_GRPC_LISTEN", "127.0.0.1:0");
        let http = ("HERALD_NOTIFIER_HTTP_LISTEN", "[::1]:0");
        let faults = read(&[MEMORY, grpc]).unwrap_err().to_string();
        assert!(
            !faults.contains("127.0.0.1:50051") && faults.contains("127.0.0.1:8080"),
            "{faults}"
        );
        assert!(read(&[MEMORY, grpc, http]).is_ok());
    }

    #[test]
    fn limits_have_to_fit_each_other() {
        for (limit, value, with) in [
            ("HERALD_PAYLOAD_BYTES", "1MiB", "HERALD_INBOX_BYTES"),
            ("HERALD_INBOX_BYTES", "64KiB", "HERALD_PAYLOAD_BYTES"),
            ("HERALD_BATCH_BYTES", "64KiB", "HERALD_PAYLOAD_BYTES"),
        ] {
            let faults = read(&[MEMORY, INSECURE, (limit, value)]).unwrap_err().to_string();
            assert!(faults.contains(limit) && faults.contains(with), "{faults}");
        }
    }
}
