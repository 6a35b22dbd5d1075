//! TLS, and callers who are known by their certificates.

use std::{path::PathBuf, sync::Arc};

use herald_backplane::BackplaneOptions;
use herald_notifier::{ApiKeys, KeyRequest, Options, new_key};
use herald_proto::api::notice_service_client::NoticeServiceClient;
use herald_service::{
    TlsOptions, TlsVariables,
    config::{Reader, Source},
    tls_options,
};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::harness::{Herald, in_time, notice};

/// Somebody who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, PEM.
struct Certified {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str) -> Certified {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certified { certificate, key: key.serialize_pem() }
    }
}

struct Scene {
    herald: Herald,
    authority: Authority,
    _directory: tempfile::TempDir,
}

impl Scene {
    async fn new(keys: Option<serde_json::Value>) -> Self {
        let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let write = |name: &str, text: &str| -> PathBuf {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let server = authority.sign("localhost");
        let paths = [
            ("HERALD_X_CERT", write("cert.pem", &server.certificate)),
            ("HERALD_X_KEY", write("key.pem", &server.key)),
            ("HERALD_X_CA", write("ca.pem", &authority.pem)),
        ];
        let api_keys =
            keys.map(|keys| ApiKeys::read(write("keys.json", &keys.to_string())).unwrap());
        let options = Options { tls: Some(options(&paths)), api_keys, ..Options::default() };
        let herald = Herald::start_with(options, &BackplaneOptions::default()).await;
        Self { herald, authority, _directory: directory }
    }

    /// A connection that has proved who the server is, and who the client.
    async fn connect(
        &self,
        address: std::net::SocketAddr,
        client: Option<&Certified>,
        protocol: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(Certified { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(address).await?;
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// The status line of an answer over HTTP, if there is one.
    async fn http(&self, client: Option<&Certified>, authorization: &str) -> Option<String> {
        let mut stream = self.connect(self.herald.http, client, b"http/1.1").await.ok()?;
        let body = r#"{"userIds": ["alice"]}"#;
        let request = format!(
            "POST /v1/presence:query HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\n{authorization}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        // Without a word of goodbye is an end too.
        let _ = in_time(stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8(answer).unwrap();
        answer.lines().next().map(str::to_owned)
    }

    async fn grpc(&self, client: Option<&Certified>) -> NoticeServiceClient<Channel> {
        let stream = self.connect(self.herald.grpc, client, b"h2").await.unwrap();
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let stream = stream.take();
            async move { stream.ok_or_else(|| std::io::Error::other("once only")) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        NoticeServiceClient::new(endpoint.connect_with_connector(connector).await.unwrap())
    }
}

fn options(paths: &[(&'static str, PathBuf); 3]) -> TlsOptions {
    let env = paths.iter().map(|(name, path)| (*name, path.to_str().unwrap()));
    let mut r = Reader::new(Source::new([""; 0], env));
    let variables = TlsVariables {
        certificate: "HERALD_X_CERT",
        key: "HERALD_X_KEY",
        client_ca: Some("HERALD_X_CA"),
    };
    let options = tls_options(&mut r, &variables, &[b"h2", b"http/1.1"]);
    r.finish().unwrap();
    options.unwrap()
}

#[tokio::test]
async fn a_certificate_of_our_authority_is_a_caller_and_another_is_none() {
    let scene = Scene::new(None).await;
    let (orders, stranger) = (scene.authority.sign("orders.internal"), Authority::new());
    let forged = stranger.sign("orders.internal");
    let ok = Some("HTTP/1.1 200 OK".to_owned());
    assert_eq!(scene.http(Some(&orders), "").await, ok);
    assert_eq!(scene.http(None, "").await.as_deref(), Some("HTTP/1.1 401 Unauthorized"));
    assert_eq!(scene.http(Some(&forged), "").await, None, "no connection at all");
    scene.grpc(Some(&orders)).await.send_notice(notice("alice", "1")).await.unwrap();
    let refused = scene.grpc(None).await.send_notice(notice("alice", "2")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(scene.herald.inbox("alice").await, ["1"]);

    // Who does not speak TLS is not answered, and holds up nobody.
    let mut plain = TcpStream::connect(scene.herald.http).await.unwrap();
    plain.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let _silent = TcpStream::connect(scene.herald.grpc).await.unwrap();
    let mut answer = Vec::new();
    let _ = in_time(plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    scene.grpc(Some(&orders)).await.send_notice(notice("alice", "3")).await.unwrap();
}

#[tokio::test]
async fn the_file_gives_certificates_names_and_scopes_and_keys_do_as_well() {
    let key = new_key(KeyRequest {
        name: "by-key".into(),
        rpcs: vec!["BatchGetPresence".into()],
        ..KeyRequest::default()
    })
    .unwrap();
    let by_key: serde_json::Value = serde_json::from_str(&key.entry).unwrap();
    let by_name = json!({"name": "orders", "certificates": ["orders.internal"],
        "rpcs": ["SendNotice"], "users": ["customer-"]});
    let scene = Scene::new(Some(json!({"keys": [by_name, by_key]}))).await;
    let orders = scene.authority.sign("orders.internal");
    let other = scene.authority.sign("other.internal");
    let mut client = scene.grpc(Some(&orders)).await;
    client.send_notice(notice("customer-1", "1")).await.unwrap();
    let lacks: Status = client.send_notice(notice("alice", "1")).await.unwrap_err();
    assert_eq!(lacks.message(), "the caller orders lacks the scope user \"alice\"");
    let unknown = scene.grpc(Some(&other)).await.send_notice(notice("alice", "1")).await;
    assert_eq!(unknown.unwrap_err().message(), "the certificate is for no name that is known");
    let forbidden = scene.http(Some(&orders), "").await;
    assert_eq!(forbidden.as_deref(), Some("HTTP/1.1 403 Forbidden"));
    // A key goes before a certificate, and does without.
    let authorization = format!("authorization: Bearer {}\r\n", key.key.expose());
    for client in [None, Some(&orders), Some(&other)] {
        let answer = scene.http(client, &authorization).await;
        assert_eq!(answer.as_deref(), Some("HTTP/1.1 200 OK"));
    }
}
