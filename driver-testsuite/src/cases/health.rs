//! Health: what the standard service tells of the process and of its store.

use std::collections::BTreeMap;
use std::time::Duration;

use storagedriver_proto::v1alpha1::SERVICE;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::case::cases;
use crate::expect::{Outcome, ensure, equal};
use crate::launch::Launch;
use crate::process::Driver;

cases! { "health":
    process Quick Every [P1 P2] "The process is SERVING from the start, the store once it is configured." => process_and_store,
    process Quick Every [P1 P2] "A Configure that fails leaves the process SERVING and the store not." => after_a_failed_configure,
}

/// How long the store may take to be found usable.
const NOTICED: Duration = Duration::from_secs(5);

/// What the health service tells of `service`; `""` is the process.
pub(super) async fn serving(channel: Channel, service: &str) -> Outcome<ServingStatus> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(channel).check(request).await?.into_inner().status())
}

/// Waits until the health service tells `wanted` of the store, and the same of the process all the time.
pub(super) async fn becomes(channel: &Channel, wanted: ServingStatus, within: Duration) -> Outcome {
    let deadline = Instant::now() + within;
    loop {
        equal("the process", serving(channel.clone(), "").await?, ServingStatus::Serving)?;
        let seen = serving(channel.clone(), SERVICE).await?;
        if seen == wanted {
            return Ok(());
        }
        ensure(Instant::now() < deadline, || format!("the store is {seen:?} and not {wanted:?} after {within:?}"))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn process_and_store(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let channel = driver.connect().await?;
    equal("the process before Configure", serving(channel.clone(), "").await?, ServingStatus::Serving)?;
    equal("the store before Configure", serving(channel.clone(), SERVICE).await?, ServingStatus::NotServing)?;
    driver.configured().await?;
    becomes(&channel, ServingStatus::Serving, NOTICED).await
}

async fn after_a_failed_configure(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let wrong = BTreeMap::from([("no_driver_knows_this".to_owned(), String::new())]);
    ensure(client.configure(wrong).await.is_err(), || "Configure takes any parameter".to_owned())?;
    equal("the process", serving(client.channel(), "").await?, ServingStatus::Serving)?;
    equal("the store", serving(client.channel(), SERVICE).await?, ServingStatus::NotServing)
}
