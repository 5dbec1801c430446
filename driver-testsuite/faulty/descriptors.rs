//! The descriptor socket: a task for each connection, which takes one packet after the other and answers it.
//!
//! The sockets carry packets. The runtime only waits for them, which it does for a socket of any kind.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    Shutdown, recvmsg, sendmsg, shutdown,
};
use storagedriver_proto::limits::{INLINE_MAX, PACKET_MAX};
use storagedriver_proto::v1alpha1::descriptor_response::{Failure as Failed, Kind};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::Open;
use storagedriver_proto::v1alpha1::{DescriptorRequest, DescriptorResponse, Info, WriteResponse};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Problem;
use crate::failure::{Failure, Result, failure, not_found};
use crate::fault::Fault;
use crate::service::{Opened, State, blocking, content_path};

/// As many descriptors as are looked at of those that come with a request.
const SENT_MAX: usize = 16;

/// How long accepting rests when there is no descriptor left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What came in one packet.
struct Received {
    packet: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

pub(crate) async fn serve(
    listener: Option<OwnedFd>,
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
) -> std::result::Result<(), Problem> {
    let Some(listener) = listener.filter(|_| !Fault::DescriptorsUnserved.on()) else { return Ok(()) };
    let listener = StdListener::from(listener);
    listener.set_nonblocking(true)?;
    while Fault::DescriptorQueueDropped.on() && listener.accept().is_ok() {}
    let listener = UnixListener::from_std(listener)?;
    let mut talks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stopping| *stopping), if !Fault::DescriptorStopTakes.on() => break,
        };
        match accepted {
            Ok((socket, _)) if Fault::DescriptorOneAtOnce.on() => talk(socket, Arc::clone(&state), stop.clone()).await,
            Ok((socket, _)) => drop(talks.spawn(talk(socket, Arc::clone(&state), stop.clone()))),
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
    drop(listener);
    while talks.join_next().await.is_some() {}
    Ok(())
}

/// Answers what comes, in order. At the stop nothing more can come, and what has come is answered.
async fn talk(socket: UnixStream, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    // Only a fault accepts a connection after the stop: it is served as if nothing were.
    let mut is_stopping = *stop.borrow();
    let mut kept = Vec::new();
    loop {
        let received = tokio::select! {
            received = socket.async_io(Interest::READABLE, || receive(&socket)) => received,
            _ = stop.wait_for(|stopping| *stopping), if !is_stopping => {
                if Fault::DescriptorStopCuts.on() || shutdown(&socket, Shutdown::Read).is_err() {
                    return;
                }
                is_stopping = true;
                continue;
            }
        };
        let Some(mut requests) = received.ok().and_then(|received| understood(received, &mut kept)) else { return };
        if Fault::DescriptorOutOfOrder.on()
            && let Some(next) = receive(&socket).ok().and_then(|received| understood(received, &mut kept))
        {
            requests.splice(0..0, next);
        }
        for request in requests {
            if answer(&socket, &state, request, &mut kept).await.is_err() {
                return;
            }
        }
    }
}

fn receive(socket: &UnixStream) -> io::Result<Received> {
    let mut packet = vec![0; 2 * PACKET_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SENT_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut packet)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    packet.truncate(received.bytes);
    let descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let descriptors = descriptors.collect();
    Ok(Received { packet, descriptors })
}

/// The request in a packet; nothing when it is none. What came with it is closed.
fn understood(received: Received, kept: &mut Vec<OwnedFd>) -> Option<Vec<DescriptorRequest>> {
    let Received { packet, descriptors } = received;
    if Fault::DescriptorSentKept.on() {
        kept.extend(descriptors);
    }
    let limit = match packet.len() {
        _ if Fault::DescriptorLongAnswered.on() => usize::MAX,
        _ if Fault::DescriptorPacketShort.on() => PACKET_MAX / 4,
        _ => PACKET_MAX,
    };
    if packet.is_empty() || packet.len() > limit {
        return None;
    }
    match DescriptorRequest::decode(&packet[..]) {
        Ok(request) => Some(vec![request]),
        Err(_) if Fault::DescriptorNonsenseAnswered.on() => Some(vec![DescriptorRequest::default()]),
        Err(_) if Fault::DescriptorNonsenseKills.on() => std::process::abort(),
        Err(_) => None,
    }
}

async fn answer(
    socket: &UnixStream,
    state: &State,
    request: DescriptorRequest,
    kept: &mut Vec<OwnedFd>,
) -> io::Result<()> {
    let path = request.open.as_ref().map_or(&request.path, |open| &open.path).clone();
    let (kind, descriptor) = match open(state, request).await {
        Err(refusal) if refusal.reason == Reason::NotConfigured && Fault::DescriptorsAfterConfigure.on() => {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Err(refusal) => (failed(&refusal, &path), None),
        Ok((kind, descriptor)) => (kind, Some(descriptor)),
    };
    let descriptor = match (&kind, descriptor) {
        (Kind::Failure(_), None) if Fault::DescriptorWithFailure.on() => Some(std::fs::File::open("/dev/null")?.into()),
        (_, Some(_)) if Fault::DescriptorMissing.on() => None,
        (_, descriptor) => descriptor,
    };
    let packet = DescriptorResponse { kind: Some(kind) }.encode_to_vec();
    socket.async_io(Interest::WRITABLE, || send(socket, &packet, descriptor.as_ref())).await?;
    kept.extend(descriptor.filter(|_| Fault::DescriptorCopyKept.on()));
    Ok(())
}

fn send(socket: &UnixStream, packet: &[u8], descriptor: Option<&OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let copies = if Fault::DescriptorTwice.on() { 2 } else { 1 };
    let descriptors: Vec<_> = descriptor.iter().flat_map(|descriptor| vec![descriptor.as_fd(); copies]).collect();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    sendmsg(socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn failed(refusal: &Failure, path: &str) -> Kind {
    let (error, message) = refusal.told(path);
    Kind::Failure(Failed { error: Some(error), message })
}

async fn open(state: &State, request: DescriptorRequest) -> Result<(Kind, OwnedFd)> {
    let opened = state.opened().await?;
    if let Some(open) = request.open {
        return open_session(&opened, open).await;
    }
    if !opened.capabilities.descriptors && !Fault::DescriptorsUndeclared.on() {
        return Err(failure(Reason::Unsupported, "the store hands no descriptors over"));
    }
    let path = match content_path(&request.path) {
        Err(_) if Fault::DescriptorPathUnchecked.on() => Err(not_found()),
        path => path,
    }?;
    let (file, info) = blocking(move || opened.store.hand_over(&path)).await?;
    let is_other = !request.if_version.is_empty() && request.if_version != info.version;
    if is_other && !Fault::DescriptorAnyVersion.on() {
        return Err(failure(Reason::VersionMismatch, "the content has another version"));
    }
    if info.size > INLINE_MAX as u64 && Fault::DescriptorLimit.on() {
        return Err(failure(Reason::TooLarge, "the content is large"));
    }
    Ok((Kind::Info(told(info)), file.into()))
}

async fn open_session(opened: &Opened, Open { path, offset, .. }: Open) -> Result<(Kind, OwnedFd)> {
    if !opened.capabilities.write_descriptors && !Fault::FileUndeclared.on() {
        return Err(failure(Reason::Unsupported, "the store hands no files of sessions out"));
    }
    let (path, store) = (content_path(&path)?, Arc::clone(&opened.store));
    let file = blocking(move || store.hand_out(&path, offset)).await?;
    Ok((Kind::Opened(WriteResponse { persisted: offset, flushed: false }), file.into()))
}

/// What is told of the content.
fn told(mut info: Info) -> Info {
    if Fault::DescriptorSizeWrong.on() {
        info.size += 1;
    }
    if Fault::DescriptorInfoOther.on() {
        info.version.push('d');
    }
    info
}
