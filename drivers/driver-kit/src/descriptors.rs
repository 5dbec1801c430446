//! The descriptor socket: one packet asks for content or a write session, one packet and an open file answer (README of
//! the protocol, "Local descriptors").
//!
//! It knows nothing of what a driver hands over but that it is a descriptor.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures::FutureExt;
use prost::Message;
use rustix::io::Errno;
use storagedriver_proto::v1alpha1::descriptor_response::{Failure, Kind};
use storagedriver_proto::v1alpha1::write_request::Open;
use storagedriver_proto::v1alpha1::{DescriptorRequest, DescriptorResponse, WriteResponse};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::call::{contained, to_the_end};
use crate::driver::{Info, StorageDriver};
use crate::error::{Error, ErrorKind, Result};
use crate::packets::{Connection, Listener};
use crate::server::ACCEPT_AGAIN;
use crate::sessions::Turn;
use crate::store::Store;
use crate::{check, wire};

/// What answers a request, until it is sent.
struct Handed<S> {
    kind: Kind,
    descriptor: OwnedFd,
    /// Of a write session: whoever has the turn next finds this process's own copy of its file closed.
    _turn: Option<Turn<S>>,
}

/// Answers whoever connects, until `draining` and what was received by then is answered.
pub(crate) async fn serve<D: StorageDriver>(
    listener: Option<Listener>,
    store: Arc<Store<D>>,
    draining: CancellationToken,
) {
    let Some(listener) = listener else { return };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = draining.cancelled() => break,
        };
        match accepted {
            Ok(connection) => drop(connections.spawn(converse(connection, Arc::clone(&store), draining.clone()))),
            Err(problem) => {
                tracing::warn!(cause = %problem, "a connection for descriptors could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Answers the requests of one connection in their order, until it ends or says what cannot be understood.
async fn converse<D: StorageDriver>(mut connection: Connection, store: Arc<Store<D>>, draining: CancellationToken) {
    let draining = draining.cancelled_owned().fuse();
    let mut draining = std::pin::pin!(draining);
    loop {
        let received = tokio::select! {
            received = connection.receive() => received,
            () = &mut draining => match connection.refuse_more() {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(Some(packet)) = received else { return };
        let Ok(request) = DescriptorRequest::decode(packet) else { return };
        let sent = tokio::select! {
            sent = answer(&connection, &store, &request) => sent,
            _ = connection.closed() => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn answer<D: StorageDriver>(
    connection: &Connection,
    store: &Store<D>,
    request: &DescriptorRequest,
) -> io::Result<()> {
    let path = request.open.as_ref().map_or(&request.path, |open| &open.path);
    let handed = contained(hand_over(store, request)).await;
    let (kind, descriptor) = match &handed {
        Ok(handed) => (handed.kind.clone(), Some(&handed.descriptor)),
        Err(error) => {
            let (detail, message) = wire::failure(path, error);
            (Kind::Failure(Failure { error: Some(detail), message }), None)
        }
    };
    let packet = DescriptorResponse { kind: Some(kind) }.encode_to_vec();
    loop {
        match connection.send(&packet, descriptor).await {
            // The kernel bounds the descriptors that are on their way to readers who let them lie.
            Err(problem) if Errno::from_io_error(&problem) == Some(Errno::TOOMANYREFS) => {
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
            sent => return sent,
        }
    }
}

async fn hand_over<D: StorageDriver>(store: &Store<D>, request: &DescriptorRequest) -> Result<Handed<D::Session>> {
    match &request.open {
        Some(open) => open_session(store, open).await,
        None => open_content(store, request).await,
    }
}

async fn open_content<D: StorageDriver>(store: &Store<D>, request: &DescriptorRequest) -> Result<Handed<D::Session>> {
    let opened = store.opened()?;
    check_offered(opened.capabilities.descriptors)?;
    let path = check::content_path(&request.path)?;
    match opened.driver.descriptor(&path, check::if_version(&request.if_version)).await? {
        (Info::Prefix, _) => Err(Error::new(ErrorKind::NotFound, "there is no content at this path")),
        (info, descriptor) => Ok(Handed { kind: Kind::Info(info.into()), descriptor, _turn: None }),
    }
}

async fn open_session<D: StorageDriver>(store: &Store<D>, open: &Open) -> Result<Handed<D::Session>> {
    let opened = Arc::clone(store.writable()?);
    check_offered(opened.capabilities.write_descriptors)?;
    let path = check::content_path(&open.path)?;
    let (target, offset) = (check::optional_path(&open.target)?, open.offset);
    let handed_out = to_the_end(async move {
        let file = opened.driver.open_descriptor(&path, offset, target.as_ref());
        opened.sessions.hand_out(&path, file).await
    });
    let (descriptor, turn) = handed_out.await?;
    let kind = Kind::Opened(WriteResponse { persisted: offset, flushed: false });
    Ok(Handed { kind, descriptor, _turn: Some(turn) })
}

fn check_offered(is_offered: bool) -> Result<()> {
    if is_offered { Ok(()) } else { Err(Error::new(ErrorKind::Unsupported, "this store hands no such files over")) }
}
