//! From a host's name to its addresses.

use async_trait::async_trait;
use std::io;
use std::net::IpAddr;

/// Resolves names. Asked once for each connection that is made to a name, never for an address.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of `host`, in the order to try them.
    ///
    /// # Errors
    /// Whatever kept the name from being resolved.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        // The port is only there because the call wants one.
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}
