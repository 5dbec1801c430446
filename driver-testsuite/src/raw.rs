//! Messages as bytes: what no generated client would send.

use bytes::{BufMut, Bytes};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Sends `message` to `/service/method`; the bytes of the first message of the answer.
pub(crate) async fn send(channel: Channel, method: &str, message: Request<Bytes>) -> Result<Bytes, Status> {
    let path = PathAndQuery::try_from(method).map_err(|problem| Status::internal(problem.to_string()))?;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|problem| Status::unavailable(problem.to_string()))?;
    Ok(grpc.unary(message, path, Raw).await?.into_inner())
}

/// A field of a message that is a text, bytes or a message.
pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = varint(u64::from(number) << 3 | 2);
    field.extend(varint(content.len() as u64));
    field.extend_from_slice(content);
    field
}

/// Fields that no message of the protocol has, in each form that a field can take.
pub(crate) fn unknown_fields() -> Vec<u8> {
    let number = [varint(1000 << 3), varint(u64::MAX)].concat();
    let fixed = [varint(1001 << 3 | 1), vec![7; 8], varint(1002 << 3 | 5), vec![7; 4]].concat();
    [field(200, b"a field of the year after next"), number, fixed].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Bytes, as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_wire_has_them() {
        assert_eq!(field(1, b"ab"), [0x0a, 2, b'a', b'b']);
        assert_eq!(varint(300), [0xac, 2]);
        assert_eq!(varint(u64::MAX).len(), 10);
    }
}
