//! [`Gate`]: what every call passes, known or not. Without faults it does nothing.
//!
//! It knows HTTP and the form of messages, and not what calls mean.

use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::{Code, Status};
use tower::Service;

use crate::fault::Fault;

/// Headers that are many.
const MANY_HEADERS: usize = 500;

/// The calls whose messages are looked into: each is one message, sent at once.
const LOOKED_INTO: [&str; 2] = ["/Hello", "/List"];

/// What stands before a message: whether it is compressed, and its length.
const MESSAGE_HEAD: usize = 5;

/// No message of the protocol has fields beyond.
const LAST_FIELD: u64 = 15;

#[derive(Clone)]
pub(crate) struct Gate<S>(pub(crate) S);

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if Fault::ManyHeadersKill.on() && request.headers().len() > MANY_HEADERS {
            std::process::exit(1);
        }
        // The clone that was made is not known to be ready; the one that was asked is.
        let next = self.0.clone();
        let mut inner = std::mem::replace(&mut self.0, next);
        async move {
            match looked_into(request).await {
                Ok(request) => inner.call(request).await.map(misanswered),
                Err(status) => Ok(status.into_http()),
            }
        }
        .boxed()
    }
}

/// The request as it came, when nothing is wrong with its message.
async fn looked_into(request: Request<Body>) -> Result<Request<Body>, Status> {
    let is_looked_into = LOOKED_INTO.iter().any(|call| request.uri().path().ends_with(call));
    if !is_looked_into || !Fault::UnknownFieldsRefused.on() {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if body.len() >= MESSAGE_HEAD && has_unknown_fields(body.slice(MESSAGE_HEAD..)) {
        return Err(Status::invalid_argument("there is no such field"));
    }
    Ok(Request::from_parts(head, Body::new(Full::new(body))))
}

fn has_unknown_fields(mut message: Bytes) -> bool {
    while message.has_remaining() {
        let tag = varint(&mut message);
        if tag >> 3 > LAST_FIELD {
            return true;
        }
        let length = match tag & 7 {
            0 => {
                varint(&mut message);
                0
            }
            1 => 8,
            2 => varint(&mut message),
            _ => 4,
        };
        message.advance(usize::try_from(length).unwrap_or(usize::MAX).min(message.remaining()));
    }
    false
}

fn varint(message: &mut Bytes) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while message.has_remaining() {
        let byte = message.get_u8();
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn misanswered(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let is_unknown = headers.get("grpc-status").is_some_and(|status| status == "12");
    // What the storage does not offer is told with a detail.
    if Fault::UnknownCallNotFound.on() && is_unknown && !headers.contains_key("grpc-status-details-bin") {
        headers.insert("grpc-status", HeaderValue::from(Code::NotFound as i32));
    }
    response
}
