//! How the driver comes by its credentials, what it does when they expire, and when the clocks differ.

use std::path::Path;
use std::time::Duration;

use driver_testsuite::{Launch, Running, content, refusal};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tempfile::TempDir;

use crate::authority::{Authority, CONTAINER_TOKEN};
use crate::server::{ACCESS_KEY, Key, SECRET_KEY, Server};
use crate::support::{NO_SWEEP, PART};

const HOUR: Duration = Duration::from_secs(3600);

/// A way to credentials: how the driver is told of it, whose key signs then, and what was asked of the authority for it.
struct Way {
    name: &'static str,
    tell: fn(Launch, &Authority, &Path) -> Launch,
    signer: &'static str,
    asks: &'static [&'static str],
}

/// Keys of one's own, given once and for all.
const LASTING: &str = "AKIALASTING";
/// The first key of the authority.
const FIRST: &str = "ASIA0001";

const WAYS: &[Way] = &[
    Way { name: "parameters with a session token", tell: parameters, signer: LASTING, asks: &[] },
    Way { name: "parameters that are files", tell: files, signer: ACCESS_KEY, asks: &[] },
    Way { name: "the environment", tell: environment, signer: LASTING, asks: &[] },
    Way { name: "a profile that a parameter names", tell: profile, signer: LASTING, asks: &[] },
    Way { name: "a profile that the environment names", tell: profile_of_environment, signer: LASTING, asks: &[] },
    Way { name: "a program that a profile names", tell: program, signer: LASTING, asks: &[] },
    Way {
        name: "a role that a profile names",
        tell: role,
        signer: FIRST,
        asks: &["POST / signed Action=AssumeRole&", "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fstore"],
    },
    Way {
        name: "a web identity",
        tell: web_identity,
        signer: FIRST,
        asks: &["Action=AssumeRoleWithWebIdentity", "RoleSessionName=mine", "WebIdentityToken=the-account"],
    },
    Way { name: "a container", tell: container, signer: FIRST, asks: &["GET /keys a-token-for-keys"] },
    Way {
        name: "the metadata of an instance",
        tell: metadata,
        signer: FIRST,
        asks: &["PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/a-role"],
    },
];

fn parameters(launch: Launch, _: &Authority, _: &Path) -> Launch {
    let launch = launch.parameter("accesskey", LASTING).parameter("secretkey", "lasting");
    launch.parameter("sessiontoken", "a-session")
}

fn files(launch: Launch, _: &Authority, folder: &Path) -> Launch {
    let named = |name: &str, value: &str| {
        std::fs::write(folder.join(name), value).unwrap();
        format!("file:{}", folder.join(name).display())
    };
    launch.parameter("accesskey", &named("a", ACCESS_KEY)).parameter("secretkey", &named("b", SECRET_KEY))
}

fn environment(launch: Launch, _: &Authority, _: &Path) -> Launch {
    let launch = launch.variable("AWS_ACCESS_KEY_ID", LASTING).variable("AWS_SECRET_ACCESS_KEY", "lasting");
    launch.variable("AWS_SESSION_TOKEN", "a-session")
}

/// Profiles as every AWS program reads them.
fn profiles(launch: Launch, authority: &Authority, folder: &Path) -> Launch {
    let (keys, config) = (folder.join("credentials"), folder.join("config"));
    let mine =
        format!("aws_access_key_id = {LASTING}\naws_secret_access_key = lasting\naws_session_token = a-session\n");
    std::fs::write(&keys, format!("[default]\naws_access_key_id = no\naws_secret_access_key = no\n[mine]\n{mine}"))
        .unwrap();
    let told = format!(
        r#"{{"Version": 1, "AccessKeyId": "{LASTING}", "SecretAccessKey": "lasting", "SessionToken": "a-session"}}"#
    );
    std::fs::write(folder.join("told"), told).unwrap();
    let program = format!("[profile program]\ncredential_process = cat {}\n", folder.join("told").display());
    let role = "[profile role]\nrole_arn = arn:aws:iam::1:role/store\nsource_profile = mine\n";
    std::fs::write(&config, format!("{program}{role}")).unwrap();
    let launch = launch.variable("AWS_SHARED_CREDENTIALS_FILE", keys).variable("AWS_CONFIG_FILE", config);
    launch.variable("AWS_ENDPOINT_URL_STS", authority.url())
}

fn profile(launch: Launch, authority: &Authority, folder: &Path) -> Launch {
    profiles(launch, authority, folder).parameter("profile", "mine")
}

fn profile_of_environment(launch: Launch, authority: &Authority, folder: &Path) -> Launch {
    profiles(launch, authority, folder).variable("AWS_PROFILE", "mine")
}

fn program(launch: Launch, authority: &Authority, folder: &Path) -> Launch {
    profiles(launch, authority, folder).parameter("profile", "program")
}

fn role(launch: Launch, authority: &Authority, folder: &Path) -> Launch {
    profiles(launch, authority, folder).parameter("profile", "role")
}

fn web_identity(launch: Launch, authority: &Authority, folder: &Path) -> Launch {
    let token = folder.join("token");
    std::fs::write(&token, "the-account").unwrap();
    let launch = launch.variable("AWS_WEB_IDENTITY_TOKEN_FILE", token).variable("AWS_ROLE_SESSION_NAME", "mine");
    let launch = launch.variable("AWS_ROLE_ARN", "arn:aws:iam::1:role/store");
    launch.variable("AWS_ENDPOINT_URL_STS", authority.url())
}

fn container(launch: Launch, authority: &Authority, _: &Path) -> Launch {
    let launch = launch.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/keys", authority.url()));
    launch.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN)
}

fn metadata(launch: Launch, authority: &Authority, _: &Path) -> Launch {
    launch.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", authority.url())
}

fn lasting() -> Key {
    let token = Some("a-session".to_owned());
    Key { access: LASTING.to_owned(), secret: "lasting".to_owned(), token, ..Key::default() }
}

#[tokio::test]
async fn credentials_are_found_where_every_program_finds_them() {
    for Way { name, tell, signer, asks } in WAYS {
        let (server, folder) = (Server::start(), TempDir::new().unwrap());
        server.admit(lasting());
        let authority = Authority::start(server.keys_known(), HOUR);
        let launch = tell(server.launch_without_keys(), &authority, folder.path());
        let driver = Running::try_start(&launch).await;
        let driver = driver.unwrap_or_else(|refused| panic!("{name}: {refused:?}, asked {:?}", authority.asked()));
        driver.put("/a", "content").await.unwrap();
        assert_eq!(driver.content("/a").await.unwrap(), b"content", "{name}");
        assert_eq!(server.take_signers(), [*signer], "{name}");
        let asked = authority.asked();
        let is_asked = |part: &&str| asked.iter().any(|request| request.contains(part));
        assert!(asks.iter().all(is_asked), "{name}: {asks:?} is not in {asked:?}");
        assert!(!asks.is_empty() || asked.is_empty(), "{name}: {asked:?}");
    }
}

#[tokio::test]
async fn who_has_no_credentials_is_told_so() {
    let server = Server::start();
    let authority = Authority::start(server.keys_known(), HOUR);
    let nothing: fn(Launch, &Authority, &Path) -> Launch =
        |launch, _, _| launch.variable("AWS_EC2_METADATA_DISABLED", "true");
    let wrong: fn(Launch, &Authority, &Path) -> Launch = |launch, authority, folder| {
        container(launch, authority, folder).variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-wrong-one")
    };
    for (name, tell) in [("nothing", nothing), ("a wrong token", wrong)] {
        let launch = tell(server.launch_without_keys(), &authority, Path::new("/"));
        let (reason, message) = refusal(Running::try_start(&launch).await);
        assert_eq!(reason, Reason::AccessDenied, "{name}: {message}");
        assert!(message.starts_with("no credentials could be had"), "{name}: {message}");
        assert!(!message.contains("a-wrong-one"), "{message}");
    }
}

/// Keys that are good for some seconds, and refused from then on: the driver has new ones before.
#[tokio::test]
async fn credentials_are_renewed_before_they_expire() {
    let server = Server::start();
    let authority = Authority::start(server.keys_known(), Duration::from_secs(12));
    let launch = container(server.launch_without_keys(), &authority, Path::new("/"));
    let driver = Running::start(&launch.parameter(NO_SWEEP.0, NO_SWEEP.1)).await.unwrap();
    let wanted = content(1, 8 * PART);
    let mut session = driver.open_for("/up", 0, "/large").await.unwrap();
    let (mut parts, mut signers) = (wanted.chunks(PART), vec![]);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while signers.len() < 4 {
        assert!(tokio::time::Instant::now() < deadline, "the keys are not renewed: {signers:?}");
        driver.put("/a", "content").await.unwrap();
        assert_eq!(driver.content("/a").await.unwrap(), b"content");
        signers.extend(server.take_signers());
        signers.dedup();
        if let Some(part) = parts.next() {
            session.data(part).await;
            session.flush().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for part in parts {
        session.data(part).await;
    }
    session.flush().await.unwrap();
    driver.commit("/up", "/large", wanted.len() as u64).await.unwrap();
    assert_eq!(driver.content("/large").await.unwrap(), wanted);
    assert!(signers.is_sorted() && signers[0] == FIRST, "{signers:?}");
}

/// Keys of parameters cannot be renewed, and every call says so.
#[tokio::test]
async fn credentials_that_expired_are_told() {
    let server = Server::start();
    server.admit(lasting());
    let authority = Authority::start(server.keys_known(), HOUR);
    let launch = parameters(server.launch_without_keys(), &authority, Path::new("/"));
    let driver = Running::start(&launch).await.unwrap();
    driver.put("/a", "content").await.unwrap();
    for key in server.keys_known().lock().unwrap().iter_mut() {
        key.until = Some(std::time::SystemTime::UNIX_EPOCH);
    }
    let answers =
        [driver.put("/b", "x").await.map(drop), driver.stat("/a").await.map(drop), driver.get("/a").await.map(drop)];
    for answer in answers {
        let (reason, message) = refusal(answer);
        assert_eq!(reason, Reason::AccessDenied, "{message}");
        assert!(message.starts_with("the credentials have expired"), "{message}");
    }
}

/// The SDK corrects what it signs with, by what the server says of the time.
#[tokio::test]
async fn clocks_that_differ_are_corrected() {
    for ahead in [3600, -3600] {
        let server = Server::start();
        let driver = Running::start(&server.launch().parameter(NO_SWEEP.0, NO_SWEEP.1)).await.unwrap();
        server.set_clock(ahead);
        driver.put("/a", "content").await.unwrap();
        driver.stat("/a").await.unwrap();
        assert_eq!(driver.content("/a").await.unwrap(), b"content");
        driver.store("large", &content(1, 2 * PART + 1)).await.unwrap();
        server.take_requests();
        driver.stat("/a").await.unwrap();
        assert_eq!(
            server.take_requests().values().sum::<usize>(),
            1,
            "a clock that is known to be wrong costs nothing"
        );
    }
}
