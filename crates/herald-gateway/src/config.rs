//! The gateway's options.

mod clients;

use std::{net::SocketAddr, time::Duration};

use herald_backplane::BackplaneOptions;
use herald_core::{ConnectionLimits, GatewayName, Namespace};
use herald_service::{
    Tls, TlsVariables, backplane_options,
    config::{ByteSize, Reader},
    tls_options,
};

use crate::{
    auth::AuthOptions,
    edge::{AdmissionOptions, EdgeOptions, EngineOptions, HandshakeRate, Origins},
};

/// Everything a gateway can be told.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// What operators call it, unique among those that are alive. Without one it is named after
    /// `host` and the port that clients connect to.
    pub name: Option<GatewayName>,
    /// The host in the default name.
    pub host: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/live`, `/ready` and `/metrics` are served, if this gateway has a port for them.
    pub admin_listen: Option<SocketAddr>,
    /// The Socket.IO namespaces served; a client's connection to each is a session.
    pub namespaces: Vec<Namespace>,
    /// How clients are authenticated.
    pub auth: AuthOptions,
    /// How long before its token's end a client is told.
    pub token_expiry_notice: Duration,
    /// What one client may ask of the gateway.
    pub limits: ConnectionLimits,
    /// Web pages that may connect.
    pub origins: Origins,
    /// The Engine.IO server.
    pub engine: EngineOptions,
    /// The listener.
    pub edge: EdgeOptions,
    /// How many new clients are taken.
    pub admission: AdmissionOptions,
    /// Longest time between two audits of all sessions.
    pub audit_interval: Duration,
    /// How long a socket may take nothing while there is something for it; then its transport is
    /// closed.
    pub slow_socket_timeout: Duration,
    /// Sessions that a user may have on all gateways; with one more the oldest ends.
    pub sessions_per_user: usize,
    /// Sessions a second that a leaving gateway sends to others; more if they would not have left
    /// in time.
    pub drain_rate: u32,
    /// The backplane, which [`Gateway::bind`](crate::Gateway::bind) is given already open.
    pub backplane: BackplaneOptions,
}

impl GatewayOptions {
    /// Declares and reads all options of a gateway.
    pub fn read(r: &mut Reader) -> Self {
        r.group("Gateway");
        let listen =
            r.option("HERALD_GATEWAY_LISTEN", "Where clients connect").default("0.0.0.0:8013");
        let admin_listen = r.admin_listen("HERALD_GATEWAY_ADMIN_LISTEN", "127.0.0.1:9013");
        let name = r
            .parsed(
                "HERALD_GATEWAY_NAME",
                "What this gateway is called, unique among those alive",
                |text| GatewayName::new(text),
            )
            .describe("NAME", "a name of at most 128 bytes", "gateway-1")
            .unset_means("host name:port")
            .optional();
        let host = r
            .option::<String>("HOSTNAME", "The host in the default name")
            .unset_means("the system's host name")
            .optional();
        let path = r
            .option("HERALD_SOCKET_PATH", "Path that Socket.IO clients connect to")
            .describe("PATH", "a path without a slash at its end", "/notice")
            .ensure(|path: &String| check_path(path))
            .default("/notice");
        let namespaces = r
            .parsed(
                "HERALD_NAMESPACES",
                "Socket.IO namespaces, each a session of its own",
                namespaces,
            )
            .describe("A,B,…", "a comma-separated list of namespaces", "/notice,/")
            .default("/notice,/");
        let origins = r
            .parsed("HERALD_CORS_ORIGINS", "Web pages that may connect", |text| {
                Origins::parse(text.split(','))
            })
            .describe(
                "ORIGINS",
                "`*`, or a comma-separated list of origins",
                "https://app.example.com",
            )
            .default("*");
        let tls = tls_options(
            r,
            &TlsVariables {
                certificate: "HERALD_GATEWAY_TLS_CERT_FILE",
                key: "HERALD_GATEWAY_TLS_KEY_FILE",
                client_ca: None,
            },
            &[b"http/1.1"],
        );
        let (auth, token_expiry_notice) = clients::read(r, listen);
        let limits = limits(r);

        r.group("Connections");
        let ping_interval = r
            .option("HERALD_PING_INTERVAL", "Time between two pings to a client")
            .within(Duration::from_secs(1)..=Duration::from_secs(600))
            .default("25s");
        let ping_timeout = r
            .option("HERALD_PING_TIMEOUT", "Time a client has for answering a ping")
            .within(Duration::from_secs(1)..=Duration::from_secs(600))
            .default("20s");
        let connect_timeout = r
            .option(
                "HERALD_CONNECT_TIMEOUT",
                "Time a client has for connecting to a namespace after its handshake",
            )
            .within(Duration::from_secs(1)..=Duration::from_secs(60))
            .default("10s");
        let ack_timeout = r
            .option(
                "HERALD_ACK_TIMEOUT",
                "Time a client's acknowledgement of a notice is awaited, where its sender asked for one",
            )
            .within(Duration::from_secs(1)..=Duration::from_secs(3600))
            .default("60s");
        let slow_socket_timeout = r
            .option(
                "HERALD_SLOW_SOCKET_TIMEOUT",
                "Time a client may take nothing while there is something for it; then its transport \
                 is closed, so that it comes back with its cursor",
            )
            .within(Duration::from_secs(1)..=Duration::from_secs(600))
            .default("30s");
        let sessions_per_user = r
            .option(
                "HERALD_SESSIONS_PER_USER",
                "Sessions that a user may have on all gateways; with one more the oldest ends",
            )
            .unit("sessions")
            .within(1..=100_000)
            .default("20");
        let audit_interval = r
            .option(
                "HERALD_AUDIT_INTERVAL",
                "Longest time between two comparisons of all sessions with registry and inboxes; \
                 within it the loss of anything is made good",
            )
            .within(Duration::from_secs(1)..=Duration::from_secs(3600))
            .default("30s");
        let admission = admission(r);
        let drain_rate = r
            .option(
                "HERALD_DRAIN_RATE",
                "Sessions that a gateway sends to others when it ends; more, if else they would not \
                 have left by HERALD_SHUTDOWN_DEADLINE",
            )
            .unit("sessions a second")
            .within(1..=1_000_000)
            .default("500");
        let max_connections = r
            .option(
                "HERALD_MAX_CONNECTIONS",
                "TCP connections open at a time; further ones are answered 503",
            )
            .unit("connections")
            .within(1..=10_000_000)
            .default("100000");
        let engine = EngineOptions {
            path,
            ping_interval,
            ping_timeout,
            connect_timeout,
            ack_timeout,
            max_packet_bytes: usize::try_from(limits.packet_bytes).unwrap_or(usize::MAX),
            ..EngineOptions::default()
        };
        let edge = EdgeOptions {
            max_connections,
            // What engine and kernel together may take to find out that a peer never reads.
            user_timeout: ping_interval + ping_timeout,
            tls: tls.as_ref().map(Tls::new),
            ..EdgeOptions::default()
        };
        Self {
            name,
            host: host.unwrap_or_else(system_host),
            listen,
            admin_listen: Some(admin_listen),
            namespaces,
            auth,
            token_expiry_notice,
            limits,
            origins,
            engine,
            edge,
            admission,
            audit_interval,
            slow_socket_timeout,
            sessions_per_user,
            drain_rate,
            backplane: backplane_options(r),
        }
    }

    /// The name, or the default one of a gateway that listens on `port`.
    pub(crate) fn name_at(&self, port: u16) -> GatewayName {
        let default = || GatewayName::new(format!("{}:{port}", self.host));
        // A host name has 64 bytes at most, but the variable may hold anything.
        let fallback = || GatewayName::new(format!("gateway:{port}"));
        let made = || default().or_else(|_| fallback()).expect("a short text is a name");
        self.name.clone().unwrap_or_else(made)
    }
}

fn admission(r: &mut Reader) -> AdmissionOptions {
    let in_a_second = r
        .option(
            "HERALD_HANDSHAKE_RATE",
            "New clients that are let in within a second, a tenth of them at once; the rest is answered \
             503, and comes back",
        )
        .unit("clients a second")
        .within(1..=1_000_000)
        .default("500");
    let connecting = r
        .option(
            "HERALD_MAX_CONNECTING",
            "Clients that are being connected at a time, until they are told `herald:ready`; further \
             ones are answered 503, and come back",
        )
        .unit("clients")
        .within(1..=1_000_000)
        .default("1000");
    AdmissionOptions { rate: HandshakeRate::at_most(in_a_second), connecting }
}

fn limits(r: &mut Reader) -> ConnectionLimits {
    let packet: ByteSize = r
        .option(
            "HERALD_CLIENT_PACKET_BYTES",
            "Largest packet from a client; a larger one ends its connection",
        )
        .within(ByteSize::new(1 << 10)..=ByteSize::new(1 << 20))
        .default("16KiB");
    let token: ByteSize = r
        .option("HERALD_TOKEN_BYTES", "Largest token")
        .within(ByteSize::new(64)..=ByteSize::new(1 << 20))
        .default("8KiB");
    ConnectionLimits { packet_bytes: packet.bytes(), token_bytes: token.as_usize() }
}

fn check_path(path: &str) -> Result<(), String> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("does not start with a slash, or ends with one".into());
    }
    if path.bytes().all(plain) {
        Ok(())
    } else {
        Err("holds something else than letters, digits and /-_.".into())
    }
}

fn namespaces(text: &str) -> Result<Vec<Namespace>, String> {
    let mut namespaces = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let namespace = Namespace::new(name).map_err(|error| format!("`{name}` {error}"))?;
        if namespaces.contains(&namespace) {
            return Err(format!("names `{name}` twice"));
        }
        namespaces.push(namespace);
    }
    if namespaces.is_empty() {
        return Err("names none".into());
    }
    Ok(namespaces)
}

fn system_host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "localhost".to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use herald_service::config::{Faults, Source};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(env: &[(&str, &str)]) -> Result<GatewayOptions, Faults> {
        let env = [("HERALD_BACKPLANE", "memory:")].iter().chain(env).copied();
        let mut r = Reader::new(Source::new([""; 0], env));
        let options = GatewayOptions::read(&mut r);
        r.finish().map(|_| options)
    }

    fn fault(env: &[(&str, &str)]) -> String {
        read(env).unwrap_err().to_string()
    }

    #[test]
    fn with_a_secret_the_defaults_do() {
        let options =
            read(&[("HERALD_CLIENT_AUTH", "jwt"), ("HERALD_JWT_SECRET", SECRET)]).unwrap();
        assert_eq!(options.listen.to_string(), "0.0.0.0:8013");
        assert_eq!(options.engine.path, "/notice");
        let namespaces: Vec<_> = options.namespaces.iter().map(Namespace::as_str).collect();
        assert_eq!(namespaces, ["/notice", "/"]);
        assert_eq!(options.edge.user_timeout, Duration::from_secs(45));
        assert_eq!(options.limits, ConnectionLimits::default());
        assert!(matches!(options.auth, AuthOptions::Jwt(jwt) if jwt.user_claim == "sub"));
    }

    #[test]
    fn the_way_to_authenticate_has_no_default() {
        assert!(fault(&[]).contains("HERALD_CLIENT_AUTH: is required"));
        assert!(fault(&[("HERALD_CLIENT_AUTH", "webhook")]).contains("needs the URL to ask"));
        assert!(fault(&[("HERALD_CLIENT_AUTH", "jwt")]).contains("needs a key"));
    }

    #[test]
    fn keys_and_urls_are_checked_and_what_may_be_secret_is_not_shown() {
        let jwt = ("HERALD_CLIENT_AUTH", "jwt");
        let private = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
        let text = fault(&[jwt, ("HERALD_JWT_PUBLIC_KEY", private)]);
        assert!(text.contains("holds a private key") && !text.contains("c2VjcmV0"), "{text}");
        for (url, reason) in [
            ("ftp://host/keys", "does not begin with https:// or http://"),
            ("https://user:hunter2@host/keys", "holds credentials"),
            ("https://", "is no URL"),
        ] {
            let text = fault(&[jwt, ("HERALD_JWKS", url)]);
            assert!(text.contains(reason) && !text.contains("hunter2"), "{text}");
            let text = fault(&[("HERALD_CLIENT_AUTH", "webhook"), ("HERALD_AUTH_WEBHOOK", url)]);
            assert!(text.contains(reason) && !text.contains("hunter2"), "{text}");
        }
        assert!(read(&[jwt, ("HERALD_JWKS", "https://login.example.com/jwks.json")]).is_ok());
        assert!(read(&[jwt, ("HERALD_JWKS", "/etc/herald/jwks.json")]).is_ok());
    }

    #[test]
    fn a_short_secret_is_refused_and_not_shown() {
        let text = fault(&[("HERALD_CLIENT_AUTH", "jwt"), ("HERALD_JWT_SECRET", "hunter2")]);
        assert!(text.contains("has 7 bytes") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn insecure_needs_loopback_or_a_word() {
        let insecure = ("HERALD_CLIENT_AUTH", "insecure");
        assert!(fault(&[insecure]).contains("anybody can be any user"));
        assert!(read(&[insecure, ("HERALD_GATEWAY_LISTEN", "127.0.0.2:0")]).is_ok());
        assert!(read(&[insecure, ("HERALD_GATEWAY_LISTEN", "[::1]:0")]).is_ok());
        assert!(read(&[insecure, ("HERALD_ALLOW_INSECURE", "true")]).is_ok());
    }

    #[test]
    fn the_default_name_is_host_and_port() {
        let env = [("HERALD_CLIENT_AUTH", "insecure"), ("HERALD_ALLOW_INSECURE", "true")];
        let name =
            |more: &[(&str, &str)]| read(&[&env, more].concat()).unwrap().name_at(8014).to_string();
        assert_eq!(name(&[("HOSTNAME", "pod-7")]), "pod-7:8014");
        assert_eq!(name(&[("HERALD_GATEWAY_NAME", "blue")]), "blue");
        assert_eq!(name(&[("HOSTNAME", &"x".repeat(200))]), "gateway:8014");
        assert!(name(&[]).ends_with(":8014"));
    }

    #[test]
    fn paths_and_namespaces_are_checked() {
        let with = |name, value| {
            fault(&[("HERALD_CLIENT_AUTH", "jwt"), ("HERALD_JWT_SECRET", SECRET), (name, value)])
        };
        for path in ["notice", "/notice/", "/a?b", "/"] {
            assert!(with("HERALD_SOCKET_PATH", path).contains("HERALD_SOCKET_PATH"), "{path}");
        }
        for names in ["notice", "/a,/a", ","] {
            assert!(with("HERALD_NAMESPACES", names).contains("HERALD_NAMESPACES"), "{names}");
        }
        assert!(with("HERALD_CORS_ORIGINS", "example.com").contains("HERALD_CORS_ORIGINS"));
    }
}
