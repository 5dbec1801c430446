//! Standard health, asked of the store at each call.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use storagedriver_proto::v1alpha1::SERVICE;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::fault::Fault;
use crate::service::State;

/// How often a watched service is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

type Answer = Result<HealthCheckResponse, Status>;

#[derive(Clone)]
pub(crate) struct Health {
    state: Arc<State>,
    stop: watch::Receiver<bool>,
}

impl Health {
    pub(crate) fn new(state: Arc<State>, stop: watch::Receiver<bool>) -> Self {
        Health { state, stop }
    }

    async fn status(&self, service: &str) -> ServingStatus {
        let works = match service {
            "" if Fault::ProcessNotServing.on() => self.state.answers().await,
            "" => !(Fault::ProcessEndsServing.on() && self.state.has_failed()),
            SERVICE if Fault::StoreNeverServing.on() => false,
            SERVICE if Fault::StoreServingEarly.on() => true,
            SERVICE if Fault::StoreServingBlindly.on() => self.state.opened().await.is_ok(),
            SERVICE => self.state.answers().await,
            _ => return ServingStatus::ServiceUnknown,
        };
        if works && (Fault::StopUntold.on() || !*self.stop.borrow()) {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }

    /// The next status that differs from `told`; none after the end of the process was told.
    async fn change(mut self, service: String, told: Option<ServingStatus>) -> Option<(Answer, Watched)> {
        if told.is_some() && *self.stop.borrow() {
            return None;
        }
        loop {
            let status = self.status(&service).await;
            if Some(status) != told {
                return Some((Ok(answer(status)), (self, service, Some(status))));
            }
            // Looks again after a while, or at once when the process is to stop.
            let _ = tokio::time::timeout(LOOK_EVERY, self.stop.changed()).await;
        }
    }
}

type Watched = (Health, String, Option<ServingStatus>);

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Answer> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match self.status(&request.into_inner().service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found("there is no such service")),
            status => Ok(Response::new(answer(status))),
        }
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let first = (self.clone(), request.into_inner().service, None);
        let changes = stream::unfold(first, |(health, service, told)| health.change(service, told));
        Ok(Response::new(changes.boxed()))
    }
}
