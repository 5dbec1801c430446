//! The handshake. It knows nothing of the store.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use storagedriver_proto::handshake::handshake_server::Handshake;
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1::PACKAGE;
use tonic::{Request, Response, Status};

use crate::fault::Fault;

pub(crate) struct Hello {
    nonce: Vec<u8>,
    instance: u64,
}

impl Hello {
    pub(crate) fn new(nonce: Vec<u8>) -> Self {
        Hello { nonce, instance: random().max(1) }
    }
}

/// A number that nobody guesses: the standard library seeds its hashes from the system.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[tonic::async_trait]
impl Handshake for Hello {
    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        Ok(Response::new(HelloResponse {
            driver_name: "faulty".to_owned(),
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols: vec![PACKAGE.to_owned()],
            nonce: if Fault::NonceNotEchoed.on() { b"mine".to_vec() } else { self.nonce.clone() }.into(),
            instance: self.instance,
            environment: Vec::new(),
        }))
    }
}
