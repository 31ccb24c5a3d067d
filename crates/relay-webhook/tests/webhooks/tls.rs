//! Who is believed over TLS.

use crate::server::{Server, serve};
use crate::{SHORT, client, config, post, request};
use async_trait::async_trait;
use relay_core::ports::webhook::{WebhookClient, WebhookError};
use relay_webhook::{ConfigFault, HttpWebhookClient, Resolver};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Every name is this machine.
struct Here;

#[async_trait]
impl Resolver for Here {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

/// A server with a certificate that it has issued to itself, for these names.
async fn self_signed(names: &[&str]) -> (Server, CertificateDer<'static>) {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let issued = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = issued.cert.der().clone();
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let server = Server::start(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, OK.into()).await;
            }
        }
    })
    .await;
    (server, certificate)
}

fn trusting(root: CertificateDer<'static>) -> HttpWebhookClient {
    let mut config = config();
    config.extra_roots = vec![root];
    config.resolver = Arc::new(Here);
    HttpWebhookClient::new(config).unwrap()
}

fn url(server: &Server, host: &str) -> String {
    format!("https://{host}:{}/hook", server.address.port())
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (server, _) = self_signed(&["127.0.0.1"]).await;
    assert_eq!(post(&client(), &url(&server, "127.0.0.1")).await, Err(WebhookError::Tls));
    assert_eq!(server.accepted(), 1, "and not asked for again");
}

#[tokio::test]
async fn a_trusted_certificate_is_believed_and_its_connection_reused() {
    let (server, root) = self_signed(&["hooks.example", "127.0.0.1"]).await;
    let client = trusting(root);
    for _ in 0..5 {
        assert_eq!(post(&client, &url(&server, "hooks.example")).await.unwrap().body_start, "ok");
    }
    assert_eq!(server.accepted(), 1);
    assert_eq!(post(&client, &url(&server, "hooks.example.")).await.unwrap().status, 200, "a rooted name");
    assert_eq!(post(&client, &url(&server, "127.0.0.1")).await.unwrap().status, 200, "an address");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (server, root) = self_signed(&["other.example"]).await;
    assert_eq!(post(&trusting(root), &url(&server, "hooks.example")).await, Err(WebhookError::Tls));
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_a_tls_fault() {
    let server = Server::start(|_, mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        crate::server::wait_for_close(&mut stream).await;
    })
    .await;
    assert_eq!(post(&client(), &url(&server, "127.0.0.1")).await, Err(WebhookError::Tls));
}

#[tokio::test]
async fn a_handshake_that_never_ends_times_out() {
    let server = Server::start(|_, mut stream| async move { crate::server::wait_for_close(&mut stream).await }).await;
    assert_eq!(client().post(request(&url(&server, "127.0.0.1"), SHORT)).await, Err(WebhookError::Timeout));
}

#[test]
fn a_root_that_is_no_certificate_is_refused() {
    let mut config = config();
    config.extra_roots = vec![CertificateDer::from(b"nonsense".to_vec())];
    assert!(matches!(HttpWebhookClient::new(config).err(), Some(ConfigFault::Tls(_))));
}

#[test]
fn the_systems_roots_can_be_trusted() {
    let mut config = config();
    config.trust_system_roots = true;
    assert!(HttpWebhookClient::new(config).is_ok());
}
