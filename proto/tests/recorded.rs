//! The bytes of the protocol as they were once written, in `recorded/`: today's bindings read and write the same.
//!
//! A file is an exchange: after its sentence, a line for each message with who sent it (`>` the registry, `<` the driver),
//! its type, and its bytes as the wire has them. A line that stands there never changes; new ones are added.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use prost::Message;
use storagedriver_proto::error::{from_status, to_status};
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1::capabilities::Durability;
use storagedriver_proto::v1alpha1::redirect_url_request::Method;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::{Flush, Kind, Open};
use storagedriver_proto::v1alpha1::*;

/// A message, as far as a record has it.
trait Recorded {
    fn name(&self) -> &str;
    fn written(&self) -> Vec<u8>;
    /// What is wrong with `bytes`, read as this message.
    fn misread(&self, bytes: &[u8]) -> Option<String>;
}

/// The name of a type without its path.
fn name_of<M>() -> &'static str {
    std::any::type_name::<M>().rsplit("::").next().unwrap_or_default()
}

fn differs<M: PartialEq + Debug>(read: &M, wanted: &M) -> Option<String> {
    (read != wanted).then(|| format!("{read:?} instead of {wanted:?}"))
}

impl<M: Message + Default + PartialEq + Debug> Recorded for M {
    fn name(&self) -> &str {
        name_of::<M>()
    }

    fn written(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    fn misread(&self, bytes: &[u8]) -> Option<String> {
        M::decode(bytes).map_or_else(|problem| Some(problem.to_string()), |read| differs(&read, self))
    }
}

/// The trailer `grpc-status-details-bin` of a failed call, before base64.
struct Details(StorageError, &'static str);

impl Recorded for Details {
    fn name(&self) -> &str {
        "grpc-status-details-bin"
    }

    fn written(&self) -> Vec<u8> {
        to_status(&self.0, self.1).details().to_vec()
    }

    fn misread(&self, bytes: &[u8]) -> Option<String> {
        let status = tonic::Status::with_details(tonic::Code::Unknown, "", bytes.to_vec().into());
        from_status(&status).map_or_else(|| Some("no StorageError".to_owned()), |read| differs(&read, &self.0))
    }
}

/// A message with who sends it.
type Line = (char, Box<dyn Recorded>);

/// An exchange, by the file that has it.
type Record = (&'static str, fn() -> Vec<Line>);

fn registry(message: impl Recorded + 'static) -> Line {
    ('>', Box::new(message))
}

fn driver(message: impl Recorded + 'static) -> Line {
    ('<', Box::new(message))
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn info() -> Option<Info> {
    let modified = Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 123_456_789 });
    Some(Info { size: 300, modified, version: text("v-1"), is_prefix: false })
}

fn prefix() -> Option<Info> {
    Some(Info { is_prefix: true, ..Info::default() })
}

fn after(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 500_000_000 })
}

fn handshake() -> Vec<Line> {
    let protocols = vec![text("storagedriver.v1"), text("storagedriver.v1alpha1")];
    let asked =
        HelloRequest { registry_name: text("bulkhead"), registry_version: text("0.1.0"), protocols: protocols.clone() };
    let answer = HelloResponse {
        driver_name: text("filesystem"),
        driver_version: text("0.1.0"),
        protocols,
        nonce: vec![0, 127, 128, 255].into(),
        instance: u64::MAX,
        environment: vec![text("HTTPS_PROXY"), text("NO_PROXY")],
    };
    vec![registry(asked), driver(answer)]
}

fn configure() -> Vec<Line> {
    let parameters = [(text("rootdirectory"), text("/srv"))].into();
    let capabilities = Capabilities {
        durability: Durability::Power.into(),
        granularity: 5 << 20,
        shared: true,
        read_only: true,
        if_absent: true,
        redirect: true,
        commit_copies: true,
        descriptors: true,
        write_descriptors: false,
    };
    let single = Capabilities { granularity: 1, descriptors: true, write_descriptors: true, ..Capabilities::default() };
    let answer = |capabilities| driver(ConfigureResponse { capabilities: Some(capabilities) });
    vec![registry(ConfigureRequest { parameters }), answer(capabilities), answer(single)]
}

fn stat() -> Vec<Line> {
    let asked = || registry(StatRequest { path: text("/a/b") });
    vec![asked(), driver(StatResponse { info: info() }), asked(), driver(StatResponse { info: prefix() })]
}

fn get() -> Vec<Line> {
    let answer = GetResponse { info: info(), content: "content".into() };
    vec![registry(GetRequest { path: text("/a/b") }), driver(answer)]
}

fn put() -> Vec<Line> {
    let asked = PutRequest { path: text("/a/b"), content: "content".into(), if_absent: true };
    let empty = PutRequest { path: text("/a/c"), ..PutRequest::default() };
    vec![registry(asked), driver(PutResponse { info: info() }), registry(empty), driver(PutResponse { info: info() })]
}

fn read() -> Vec<Line> {
    let asked = ReadRequest { path: text("/a/b"), offset: 1 << 33, length: Some(1 << 20), if_version: text("v-1") };
    let all = ReadRequest { path: text("/a/b"), ..ReadRequest::default() };
    let nothing = ReadRequest { length: Some(0), ..all.clone() };
    let first = || driver(ReadResponse { info: info(), ..ReadResponse::default() });
    let data = || driver(ReadResponse { data: "content".into(), ..ReadResponse::default() });
    vec![registry(asked), first(), data(), registry(all), first(), data(), registry(nothing), first()]
}

fn list() -> Vec<Line> {
    let asked = ListRequest { path: text("/"), start_after: text("a"), limit: 1000 };
    let entry = |name: &str, info| list_response::Entry { name: text(name), info };
    let answer = ListResponse { entries: vec![entry("b", info()), entry("c", prefix())], more: true };
    vec![registry(asked), driver(answer), registry(ListRequest::default()), driver(ListResponse::default())]
}

fn walk() -> Vec<Line> {
    let asked = WalkRequest { path: text("/a"), start_after: text("/a/b") };
    let entry = walk_response::Entry { path: text("/a/c"), info: info() };
    vec![registry(asked), driver(WalkResponse { entries: vec![entry] })]
}

fn change() -> Vec<Line> {
    let (source, target) = (text("/a/b"), text("/c"));
    vec![
        registry(MoveRequest { source, target: target.clone() }),
        driver(MoveResponse { info: info() }),
        registry(DeleteRequest { path: target, recursive: true }),
        driver(DeleteResponse {}),
    ]
}

fn redirect() -> Vec<Line> {
    let asked = |method: Method| RedirectUrlRequest {
        path: text("/a/b"),
        method: method.into(),
        expires_in: after(1200),
        client_address: text("192.0.2.1"),
    };
    let answer = || driver(RedirectUrlResponse { url: text("https://example.com/a/b?signature=0") });
    vec![registry(asked(Method::Get)), answer(), registry(asked(Method::Head)), answer()]
}

fn session() -> Vec<Line> {
    let ask = |kind| registry(WriteRequest { kind: Some(kind) });
    let answer = |persisted, flushed| driver(WriteResponse { persisted, flushed });
    vec![
        ask(Kind::Open(Open { path: text("/up/data"), offset: 0, target: text("/blob") })),
        answer(0, false),
        ask(Kind::Data("content".into())),
        ask(Kind::Flush(Flush {})),
        answer(7, true),
        ask(Kind::Open(Open { path: text("/up/data"), offset: 7, target: String::new() })),
        answer(7, false),
        ask(Kind::Data("".into())),
        registry(WriteRequest { kind: None }),
        registry(CommitRequest { path: text("/up/data"), target: text("/blob"), size: 7, if_absent: true }),
        driver(CommitResponse { info: info() }),
    ]
}

fn error(reason: Reason) -> StorageError {
    StorageError { reason: reason.into(), path: text("/up/data"), ..StorageError::default() }
}

fn errors() -> Vec<Line> {
    let offset = StorageError { persisted: 4 << 20, ..error(Reason::OffsetInvalid) };
    let away = StorageError { retry_after: after(2), may_have_happened: true, ..error(Reason::Unavailable) };
    vec![
        driver(error(Reason::NotFound)),
        driver(away.clone()),
        driver(Details(error(Reason::NotFound), "nothing is there")),
        driver(Details(offset, "the session has 4194304 bytes")),
        driver(Details(away, "the back end does not answer")),
    ]
}

fn descriptors() -> Vec<Line> {
    use descriptor_response::{Failure, Kind};
    let asked =
        |if_version: &str| registry(DescriptorRequest { path: text("/a/b"), if_version: text(if_version), open: None });
    let open = Open { path: text("/up/data"), offset: 7, target: text("/blob") };
    let failure = Failure { error: Some(error(Reason::VersionMismatch)), message: text("the version is another") };
    vec![
        asked(""),
        driver(DescriptorResponse { kind: info().map(Kind::Info) }),
        asked("v-1"),
        driver(DescriptorResponse { kind: Some(Kind::Failure(failure)) }),
        registry(DescriptorRequest { open: Some(open), ..DescriptorRequest::default() }),
        driver(DescriptorResponse { kind: Some(Kind::Opened(WriteResponse { persisted: 7, flushed: false })) }),
    ]
}

/// Every record with the values that it has.
const RECORDS: [Record; 13] = [
    ("handshake/hello", handshake),
    ("v1alpha1/configure", configure),
    ("v1alpha1/stat", stat),
    ("v1alpha1/get", get),
    ("v1alpha1/put", put),
    ("v1alpha1/read", read),
    ("v1alpha1/list", list),
    ("v1alpha1/walk", walk),
    ("v1alpha1/change", change),
    ("v1alpha1/redirect", redirect),
    ("v1alpha1/session", session),
    ("v1alpha1/errors", errors),
    ("v1alpha1/descriptors", descriptors),
];

fn file(record: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recorded").join(format!("{record}.txt"))
}

fn lines(record: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file(record)).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// The line that today's bindings write.
fn line((sender, message): &Line) -> String {
    let bytes = message.written().iter().map(|byte| format!(" {byte:02x}")).collect::<String>();
    format!("{sender} {}{bytes}", message.name())
}

fn bytes_of(line: &str) -> Vec<u8> {
    let bytes = line.split(' ').skip(2).map(|byte| u8::from_str_radix(byte, 16));
    bytes.collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_was_recorded_is_read_and_written_as_it_was() {
    for (record, values) in RECORDS {
        let (values, lines) = (values(), lines(record));
        let wanted: Vec<String> = values.iter().map(line).collect();
        assert_eq!(lines, wanted, "recorded/{record}.txt is on the left, and what is written today on the right");
        for ((_, message), line) in values.iter().zip(&lines) {
            assert_eq!(message.misread(&bytes_of(line)), None, "recorded/{record}.txt: {line}");
        }
    }
}

#[test]
fn every_message_is_recorded() {
    for package in ["handshake", "v1alpha1"] {
        let own = RECORDS.iter().filter(|(record, _)| record.starts_with(package));
        let recorded: BTreeSet<String> =
            own.flat_map(|(_, values)| values()).map(|(_, message)| message.name().to_owned()).collect();
        let schema = lines(&format!("{package}/schema"));
        let messages = schema.iter().filter_map(|line| line.strip_suffix(" = message")?.split('.').next_back());
        let top: BTreeSet<&str> = messages.collect();
        // Those within others are recorded with them.
        let within = ["Capabilities", "Info", "Entry", "ParametersEntry", "Open", "Flush", "Failure"];
        let missing: Vec<_> = top.iter().filter(|name| !recorded.contains(**name) && !within.contains(*name)).collect();
        assert_eq!(missing, Vec::<&&str>::new(), "add an exchange of it to RECORDS and to recorded/{package}");
    }
}

#[test]
fn every_record_is_looked_at() {
    let mut found = BTreeSet::new();
    for package in ["handshake", "v1alpha1"] {
        for entry in std::fs::read_dir(file(package).with_file_name(package)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            found.insert(format!("{package}/{}", name.trim_end_matches(".txt")));
        }
    }
    // What messages there are is looked at where the .proto files can be read.
    found.retain(|record| !record.ends_with("/schema"));
    assert_eq!(found, RECORDS.iter().map(|(record, _)| (*record).to_owned()).collect());
}
