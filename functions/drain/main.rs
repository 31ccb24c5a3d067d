//! Delivers the backlogs of held lanes: called with batches of wake-ups.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use relay_core::ports::Clock;
use relay_functions::deadline::Deadline;
use relay_functions::drain::DrainFunction;
use relay_functions::settings::Function;
use relay_functions::wiring::{DECODE_WAKE_UP, Wiring};
use relay_system::SystemClock;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let wiring = Wiring::of(Function::Drain).await?;
    let function = Arc::new(DrainFunction::new(wiring.ports, DECODE_WAKE_UP));
    lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| {
        let function = function.clone();
        async move {
            let deadline = Deadline::of_invocation(event.context.deadline);
            let answer = function.handle(event.payload, deadline).await;
            relay_functions::emf::flush(SystemClock.now());
            Ok::<SqsBatchResponse, Error>(answer)
        }
    }))
    .await
}
