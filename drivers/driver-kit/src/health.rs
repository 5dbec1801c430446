//! Standard health: whether the process works, and whether its store can be used now. The second never kills the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storagedriver_proto::v1alpha1::SERVICE;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::driver::StorageDriver;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;
use crate::wire::causes;

/// How often the back end is asked, and how long it may take to answer.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// What the health service tells of one store.
pub(crate) struct Health<D: StorageDriver> {
    reporter: HealthReporter,
    store: Arc<Store<D>>,
    answers: AtomicBool,
}

impl<D: StorageDriver> Health<D> {
    pub(crate) async fn new(reporter: HealthReporter, store: Arc<Store<D>>) -> Self {
        reporter.set_service_status(SERVICE, ServingStatus::NotServing).await;
        Health { reporter, store, answers: AtomicBool::new(false) }
    }

    /// Observes the store for ever.
    pub(crate) async fn watch(&self) {
        loop {
            self.observe().await;
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }

    /// Asks the back end once and tells the result.
    pub(crate) async fn observe(&self) {
        let Ok(opened) = self.store.opened() else { return };
        let result = probe(&opened.driver).await;
        let status = if result.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
        let answered = self.answers.swap(result.is_ok(), Ordering::Relaxed);
        match result {
            Ok(()) if !answered => tracing::info!("the store can be used"),
            Err(error) if answered => tracing::warn!(cause = causes(&error), "the store cannot be used: {error}"),
            _ => {}
        }
        self.reporter.set_service_status(SERVICE, status).await;
    }

    /// Tells everybody who watches that the process is going away, and ends their streams.
    pub(crate) async fn close(&self) {
        let mut reporter = self.reporter.clone();
        for service in ["", SERVICE] {
            reporter.set_service_status(service, ServingStatus::NotServing).await;
            reporter.clear_service_status(service).await;
        }
    }
}

async fn probe<D: StorageDriver>(driver: &D) -> Result<()> {
    let late = |_| Error::new(ErrorKind::Unavailable { may_have_happened: false }, "the back end does not answer");
    tokio::time::timeout(PROBE_EVERY, driver.probe()).await.map_err(late)?
}
