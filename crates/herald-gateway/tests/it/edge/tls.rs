//! Clients over TLS.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::support::{herald::Herald, soon};

#[tokio::test]
async fn a_session_over_tls_is_a_session_like_any_and_plain_ones_get_no_answer() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let herald = Herald::secured(&[
        ("HERALD_GATEWAY_TLS_CERT_FILE", certificate.to_str().unwrap()),
        ("HERALD_GATEWAY_TLS_KEY_FILE", key.to_str().unwrap()),
    ])
    .await;

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(herald.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let url = "ws://localhost/notice/?EIO=4&transport=websocket";
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    socket.send(Message::text(r#"40/notice,{"token":"alice"}"#)).await.unwrap();
    herald.sessions("alice", 1).await;
    herald.send("alice", "\"over TLS\"").await;
    let arrives = async {
        while let Some(Ok(message)) = socket.next().await {
            if message.to_text().unwrap().contains("over TLS") {
                return true;
            }
        }
        false
    };
    assert!(soon("the notice", arrives).await);

    // Its transport is ended from here as any other.
    let mut plain = TcpStream::connect(herald.address).await.unwrap();
    plain
        .write_all(b"GET /notice/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = soon("the end", plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    herald.stop().await.unwrap();
    // What it still says, and then its end.
    while let Some(Ok(_)) = soon("the end", socket.next()).await {}
}
