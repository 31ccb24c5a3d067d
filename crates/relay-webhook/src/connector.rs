//! From an origin to a stream: resolve once, keep what is allowed, connect to exactly that.

use crate::address::{AddressPolicy, Verdict};
use crate::fault;
use crate::resolver::Resolver;
use crate::stream::Stream;
use crate::target::{Host, Origin};
use relay_core::ports::webhook::WebhookError;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long one address may keep the next from being tried. The last is bounded by the request's time-out alone.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Connector {
    pub(crate) policy: AddressPolicy,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) tls: TlsConnector,
}

impl Connector {
    pub(crate) async fn connect(&self, origin: &Origin) -> Result<Stream, WebhookError> {
        let stream = self.dial(origin).await?;
        // Requests are written whole; waiting to fill a segment only delays them. A socket that refuses still works.
        let _ = stream.set_nodelay(true);
        if !origin.tls {
            return Ok(Stream::Plain(stream));
        }
        let secured = self.tls.connect(server_name(&origin.host)?, stream).await;
        secured.map(|stream| Stream::Tls(Box::new(stream))).map_err(|error| fault::of_handshake(&error))
    }

    async fn dial(&self, origin: &Origin) -> Result<TcpStream, WebhookError> {
        let addresses = self.addresses(origin).await?;
        let mut rest = addresses.iter().peekable();
        while let Some(&address) = rest.next() {
            let attempt = TcpStream::connect(SocketAddr::new(address, origin.port));
            let connected = match rest.peek() {
                Some(_) => timeout(PATIENCE, attempt).await,
                None => Ok(attempt.await),
            };
            if let Ok(Ok(stream)) = connected {
                return Ok(stream);
            }
        }
        Err(WebhookError::Connect)
    }

    /// The addresses of the origin's host that may be connected to, never none.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<IpAddr>, WebhookError> {
        let mut addresses = match &origin.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.resolver.resolve(name).await.map_err(|_| WebhookError::Dns)?,
        };
        if addresses.is_empty() {
            return Err(WebhookError::Dns);
        }
        addresses.retain(|&address| match self.policy.judge(address) {
            Verdict::Admitted => true,
            Verdict::Public => origin.tls,
            Verdict::Forbidden => false,
        });
        // Judged as the IPv4 address that it maps, so connected to as that.
        addresses.iter_mut().for_each(|address| *address = address.to_canonical());
        if addresses.is_empty() { Err(WebhookError::ForbiddenAddress) } else { Ok(addresses) }
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, WebhookError> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        // A certificate never has the dot of a rooted name.
        Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| WebhookError::Tls),
    }
}

#[cfg(test)]
#[path = "connector_tests.rs"]
mod tests;
