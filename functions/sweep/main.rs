//! Makes up for what was lost: called by a schedule.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use relay_core::ports::Clock;
use relay_functions::deadline::Deadline;
use relay_functions::settings::Function;
use relay_functions::sweep::SweepFunction;
use relay_functions::wiring::Wiring;
use relay_system::SystemClock;
use serde_json::Value;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let wiring = Wiring::of(Function::Sweep).await?;
    let function = Arc::new(SweepFunction::new(wiring.ports, wiring.metrics));
    // What the schedule says is of no use to it.
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let function = function.clone();
        async move {
            function.handle(Deadline::of_invocation(event.context.deadline)).await;
            relay_functions::emf::flush(SystemClock.now());
            Ok::<(), Error>(())
        }
    }))
    .await
}
