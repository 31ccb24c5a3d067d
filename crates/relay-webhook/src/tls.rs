//! How the other side of a TLS connection is believed.

use crate::config::{Config, ConfigFault};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

pub(crate) fn connector(config: &Config) -> Result<TlsConnector, ConfigFault> {
    let mut tls = client_tls(config.trust_system_roots, &config.extra_roots).map_err(refused)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(tls)))
}

/// TLS of a client that trusts the public certificate authorities, the machine's own if it is told to, and these.
///
/// # Errors
/// If one of the further roots is none.
pub fn client_tls(
    trust_system_roots: bool,
    extra_roots: &[CertificateDer<'static>],
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if trust_system_roots {
        // Machines without a store, or with one that is half readable, still have the public roots.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for root in extra_roots {
        roots.add(root.clone())?;
    }
    // The provider is named, not taken from the process: another crate may have installed another one.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tls)
}

fn refused(error: rustls::Error) -> ConfigFault {
    ConfigFault::Tls(error.to_string())
}
