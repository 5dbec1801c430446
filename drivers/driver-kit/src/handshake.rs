//! The frozen first call: who this process is and what it speaks. It touches neither store nor configuration.

use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;

use bytes::Bytes;
use storagedriver_proto::handshake::handshake_server as server;
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1;
use tonic::{Request, Response, Status};

use crate::driver::StorageDriver;
use crate::logs;

/// The answer to Hello, the same for the life of the process.
pub(crate) struct Handshake<D> {
    nonce: Bytes,
    instance: u64,
    driver: PhantomData<fn() -> D>,
}

impl<D> Handshake<D> {
    pub(crate) fn new(nonce: Bytes) -> Self {
        // The standard library seeds these from the system's randomness; instance 0 is not allowed.
        let instance = RandomState::new().hash_one(std::process::id()) | 1;
        Handshake { nonce, instance, driver: PhantomData }
    }
}

#[tonic::async_trait]
impl<D: StorageDriver> server::Handshake for Handshake<D> {
    async fn hello(&self, _request: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        Ok(Response::new(HelloResponse {
            driver_name: D::NAME.to_owned(),
            driver_version: D::VERSION.to_owned(),
            protocols: vec![v1alpha1::PACKAGE.to_owned()],
            nonce: self.nonce.clone(),
            instance: self.instance,
            environment: D::ENVIRONMENT.iter().chain([&logs::LEVEL]).map(ToString::to_string).collect(),
        }))
    }
}
