//! Topics, subscriptions, keys, held lanes, dead letters, health: all routes but publishing.

use relay_functions::api::ApiFunction;
use relay_functions::settings::Function;
use relay_functions::wiring::Wiring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let wiring = Wiring::of(Function::Registry).await?;
    ApiFunction::new(wiring.ports, wiring.endpoints).run().await
}
