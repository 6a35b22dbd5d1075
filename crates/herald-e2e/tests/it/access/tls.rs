//! Certificates of the services' own ports, changed while they run.

use std::{net::SocketAddr, sync::Arc};

use herald_e2e::{GatewayOptions, NotifierOptions, Sandbox, eventually};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::CertificateDer};

use super::certificates::Authority;
use crate::support::PATIENCE;

async fn connect(authority: &Authority, address: SocketAddr) -> TlsStream<TcpStream> {
    let mut config = authority.trusting();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
}

async fn shown(authority: &Authority, address: SocketAddr) -> CertificateDer<'static> {
    let stream = connect(authority, address).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn every_port_shows_a_new_certificate_soon_and_a_wrong_file_leaves_the_old_one() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (authority.sign(), authority.sign());
    first.write(directory.path());
    let file = |name| directory.path().join(name).to_str().unwrap().to_owned();
    let files = |of: &str| {
        vec![
            (format!("HERALD_{of}_TLS_CERT_FILE"), file("server.pem")),
            (format!("HERALD_{of}_TLS_KEY_FILE"), file("server.key")),
        ]
    };
    let builder = Sandbox::builder()
        .gateway(GatewayOptions { env: files("GATEWAY"), ..Default::default() })
        .notifier_with(NotifierOptions { env: files("NOTIFIER") });
    let sandbox = builder.start().await.unwrap();
    let (gateway, notifier) = (&sandbox.gateways[0], sandbox.notifier());
    let ports = [gateway.address(), notifier.grpc_address(), notifier.http_address()];
    for port in ports {
        assert_eq!(shown(&authority, port).await, first.der(), "{port}");
    }

    // Written one after the other: whoever looks in between finds two that do not belong together.
    second.write(directory.path());
    for port in ports {
        eventually("the new certificate is shown", PATIENCE, async || {
            if shown(&authority, port).await == second.der() { Ok(()) } else { Err(port) }
        })
        .await;
    }

    std::fs::write(directory.path().join("server.pem"), "no certificate").unwrap();
    for log in [|s: &Sandbox| s.gateways[0].log(), |s: &Sandbox| s.notifier().log()] {
        eventually("it says what is wrong", PATIENCE, async || {
            let log = log(&sandbox);
            if log.contains("holds no certificate in PEM") { Ok(()) } else { Err(log) }
        })
        .await;
    }
    for port in ports {
        assert_eq!(shown(&authority, port).await, second.der(), "{port}");
    }
}
