//! The HTTP server: accepts connections, bounds what a head may be and take, and finishes what is in progress.

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long a request's head may take; also how long a connection may idle between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Most bytes of a head. What is larger is answered with 431.
const LARGEST_HEAD: usize = 64 * 1024;
/// How long to wait when no connection can be accepted, such as for want of open files.
const AFTER_FAULT: Duration = Duration::from_millis(100);

pub(super) struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// A server that accepts no more.
pub(super) struct Stopping(GracefulShutdown);

impl Server {
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Server> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        Ok(Server { listener, address })
    }

    /// Where it listens: with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is told to stop.
    pub async fn run(self, router: Router, stop: impl Future<Output = ()>) -> Stopping {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(LARGEST_HEAD);
        let service = TowerToHyperService::new(router);
        let connections = GracefulShutdown::new();
        tokio::pin!(stop);
        loop {
            let stream = tokio::select! {
                biased;
                () = &mut stop => return Stopping(connections),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        after_fault(&error).await;
                        continue;
                    }
                },
            };
            let connection = http.serve_connection(TokioIo::new(prepared(stream)), service.clone());
            let connection = connections.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended badly");
                }
            });
        }
    }
}

impl Stopping {
    /// Waits until every request in progress is answered. Connections that idle are closed at once.
    pub async fn finish(self) {
        self.0.shutdown().await;
    }
}

fn prepared(stream: TcpStream) -> TcpStream {
    // Small answers must not wait for an acknowledgement; where that cannot be had, they do.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    stream
}

async fn after_fault(error: &io::Error) {
    let of_the_connection =
        [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused];
    if !of_the_connection.contains(&error.kind()) {
        tracing::error!(%error, "no connection can be accepted");
        tokio::time::sleep(AFTER_FAULT).await;
    }
}
