//! Delivers events: called with batches of the event queue.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use relay_core::ports::Clock;
use relay_functions::deadline::Deadline;
use relay_functions::dispatch::DispatchFunction;
use relay_functions::settings::Function;
use relay_functions::wiring::Wiring;
use relay_system::SystemClock;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let wiring = Wiring::of(Function::Dispatch).await?;
    let inbox = wiring.inbox();
    let function = Arc::new(DispatchFunction::new(wiring.ports, inbox));
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
