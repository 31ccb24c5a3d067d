//! The SDK's clients, built once for a process.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::time::Duration;

/// Names the address of an emulator; read by the SDK too.
pub const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL";

/// The HTTP client: rustls with ring, the TLS of the rest of this broker, in place of a second library.
pub fn http_client() -> SharedHttpClient {
    SharedHttpClient::new(AtFirstUse(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()))
}

/// An HTTP client that does nothing when the SDK asks whether it is well configured. The default one then makes a
/// connector, which reads and parses the machine's certificate authorities, and throws it away: once for each of our
/// clients, which is half of a function's cold start (docs/cold-start.md).
#[derive(Debug)]
struct AtFirstUse(SharedHttpClient);

impl HttpClient for AtFirstUse {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

/// Clients of the three services. Cheap to clone: clones share connections and credentials.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
    /// The table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The bucket.
    pub s3: aws_sdk_s3::Client,
}

impl Clients {
    /// Clients configured as the SDK always is: environment, profile, container or instance credentials; region;
    /// `AWS_ENDPOINT_URL` for an emulator.
    pub async fn from_environment() -> Clients {
        Clients::over(http_client()).await
    }

    /// As [`Clients::from_environment`], over another HTTP client: one that counts calls, or loses answers.
    pub async fn over(http: SharedHttpClient) -> Clients {
        Clients::new(&configuration(http).await)
    }

    /// Clients of a configuration.
    pub fn new(config: &SdkConfig) -> Clients {
        // Emulators answer to one host name; AWS would rather have the bucket's name in it.
        let s3 = aws_sdk_s3::config::Builder::from(config).force_path_style(config.endpoint_url().is_some()).build();
        Clients {
            sqs: aws_sdk_sqs::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(s3),
        }
    }
}

/// What every client is configured with.
pub(crate) async fn configuration(http: SharedHttpClient) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(4).with_max_backoff(Duration::from_secs(2)))
        .timeout_config(timeouts(Duration::ZERO))
        .load()
        .await
}

/// Bounds of a call whose answer may be held back for `wait`. An attempt that is given up may have taken effect; all
/// that is sent here may be sent again.
pub(crate) fn timeouts(wait: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(wait + Duration::from_secs(5))
        .operation_timeout(wait + Duration::from_secs(20))
        .build()
}
