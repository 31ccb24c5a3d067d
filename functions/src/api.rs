//! HTTP: requests of API Gateway (payload format 2.0) to the routers of relay-http.

use crate::jobs::Jobs;
use axum::Router;
use axum::response::Response;
use lambda_http::{Error, Request, service_fn};
use relay_core::ports::Ports;
use relay_http::{AppState, EndpointPolicy, Options};
use std::convert::Infallible;
use std::sync::Arc;
use tower::ServiceExt;

/// The function: ingest and registry answer with the same router, of which API Gateway gives each its part.
#[derive(Clone)]
pub struct ApiFunction {
    ports: Ports,
    router: Router,
    jobs: Arc<Jobs>,
}

impl ApiFunction {
    /// The HTTP interface over these ports.
    pub fn new(ports: Ports, endpoints: Arc<dyn EndpointPolicy>) -> ApiFunction {
        let jobs = Arc::new(Jobs::default());
        let router = relay_http::router(AppState::new(ports.clone(), Options::new(endpoints, jobs.clone())));
        ApiFunction { ports, router, jobs }
    }

    /// Answers a request, after the first seconds of the jobs that it started.
    pub async fn handle(&self, request: Request) -> Response {
        let answered: Result<Response, Infallible> = self.router.clone().oneshot(request).await;
        self.jobs.run(&self.ports).await;
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Answers Lambda's invocations, one after another, for as long as the process lives.
    ///
    /// # Errors
    /// If the runtime API cannot be reached.
    pub async fn run(self) -> Result<(), Error> {
        lambda_http::run(service_fn(|request: Request| {
            let function = self.clone();
            async move {
                let response = function.handle(request).await;
                crate::emf::flush(function.ports.clock.now());
                Ok::<_, Error>(response)
            }
        }))
        .await
    }
}

#[cfg(test)]
mod tests;
