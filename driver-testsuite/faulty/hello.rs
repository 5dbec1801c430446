//! The handshake. It knows nothing of the store.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storagedriver_proto::handshake::handshake_server::Handshake;
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1::PACKAGE;
use tonic::{Request, Response, Status};

use crate::fault::Fault;
use crate::service::State;

pub(crate) struct Hello {
    nonce: Vec<u8>,
    instance: u64,
    state: Arc<State>,
    calls: AtomicU64,
}

impl Hello {
    pub(crate) fn new(nonce: Vec<u8>, state: Arc<State>) -> Self {
        let random = random().max(1);
        let faulty = [(Fault::InstanceConstant, 42), (Fault::InstanceZero, 0)];
        let instance = faulty.into_iter().find(|(fault, _)| fault.on()).map_or(random, |(_, instance)| instance);
        Hello { nonce, instance, state, calls: AtomicU64::new(0) }
    }

    async fn misbehave(&self, call: u64) -> Result<(), Status> {
        while Fault::HelloLate.on() && self.state.opened().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if Fault::HelloOnce.on() && call > 0 {
            return Err(Status::failed_precondition("Hello was said"));
        }
        Ok(())
    }
}

/// A number that nobody guesses: the standard library seeds its hashes from the system.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[tonic::async_trait]
impl Handshake for Hello {
    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.misbehave(call).await?;
        Ok(Response::new(HelloResponse {
            driver_name: if Fault::NameInvalid.on() { "Faulty Driver" } else { "faulty" }.to_owned(),
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols: if Fault::ProtocolsEmpty.on() { Vec::new() } else { vec![PACKAGE.to_owned()] },
            nonce: if Fault::NonceNotEchoed.on() { b"mine".to_vec() } else { self.nonce.clone() }.into(),
            instance: self.instance + if Fault::InstanceOfCall.on() { call } else { 0 },
            environment: if Fault::EnvironmentUnnamed.on() { vec![String::new()] } else { Vec::new() },
        }))
    }
}
