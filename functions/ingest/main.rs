//! Takes published events: `POST /v1/topics/{topic}/events`.

use relay_functions::api::ApiFunction;
use relay_functions::settings::Function;
use relay_functions::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let wiring = Wiring::of(Function::Ingest).await?;
    ApiFunction::new(wiring.ports, wiring.endpoints).run().await
}
