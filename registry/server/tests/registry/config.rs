//! Configurations as an operator meets them: what is understood, and the sentence for what is not.

use reqwest::{Method, StatusCode};

use crate::support::{Answer, Setup, sha256};

/// What `check-config` says about a file with `text`, and its exit code.
async fn check(text: &str) -> (String, i32) {
    run_check(Setup::unsaid(), text).await
}

async fn run_check(setup: Setup, text: &str) -> (String, i32) {
    let file = setup.folder().join("config.yml");
    std::fs::write(&file, text).unwrap();
    let output = setup.argument(&file).run("check-config").await;
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code().unwrap())
}

#[tokio::test]
async fn the_environment_can_name_the_file() {
    let setup = Setup::unsaid();
    let file = setup.folder().join("config.yml");
    std::fs::write(&file, "version: 0.1\nstorage: {memory: }").unwrap();
    let output = setup.set("configuration.path", file.to_str().unwrap()).run("check-config").await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the configuration would do, with the driver memory\n");
}

#[tokio::test]
async fn what_is_not_understood_is_refused_with_a_sentence() {
    let rows = [
        ("storage: {memory: }", "should begin with 'version: 0.1'"),
        ("version: 0.2\nstorage: {memory: }", "should begin with 'version: 0.1'"),
        ("version: 0.1", "storage should name a driver"),
        (
            "version: 0.1\nstorge: {memory: }",
            "storge (line 2) is not a setting of this registry: did you mean storage?",
        ),
        ("version: 0.1\nstorage: {memory: , s3: {bucket: x}}", "memory (line 2) and s3 (line 2): keep one"),
        (
            "version: 0.1\nstorage: {Filesystem: }",
            "storage.Filesystem (line 2) is neither a setting nor the name of a driver",
        ),
        ("version: 0.1\nstorage: {filesystem: /data}", "storage.filesystem (line 2) should have parameters below it"),
        ("version: 0.1\nhttp:\n  adr: x\nstorage: {memory: }", "http.adr (line 3)"),
        ("version: 0.1\nauth: {htpasswd: {}}\nstorage: {memory: }", "auth (line 2) is not a setting of this registry"),
        ("version: 0.1\nstorage: {memory: , delete: {enabled: yes}}", "storage.delete.enabled (line 2) should be true"),
        ("version: 0.1\nhttp: {draintimeout: 60}\nstorage: {memory: }", "http.draintimeout (line 2) should be a time"),
        (
            "version: 0.1\nvalidation: {manifests: {maxbytes: 4m}}\nstorage: {memory: }",
            "validation.manifests.maxbytes (line 2) should be a number of bytes from 1 to 67108864",
        ),
        (
            "version: 0.1\nvalidation: {manifests: {indexes: {platforms: list}}}\nstorage: {memory: }",
            "validation.manifests.indexes.platforms (line 2) should be all or none",
        ),
        ("version: 0.1\nhttp: {host: registry}\nstorage: {memory: }", "http.host (line 2) should be a URL"),
        ("version: 0.1\nhttp: {net: unix}\nstorage: {memory: }", "http.addr should be a path"),
        ("version: 0.1\nhttp: {headers: {X-A: {}}}\nstorage: {memory: }", "http.headers.X-A (line 2) is not a header"),
        (
            "version: 0.1\nhttp: {headers: {Content-Length: ['5']}}\nstorage: {memory: }",
            "http.headers.Content-Length (line 2) is a header that the registry sets itself",
        ),
        (
            "version: 0.1\nhttp: {maxconnections: 9223372036854775807}\nstorage: {memory: }",
            "http.maxconnections (line 2) should be a whole number from 1 to",
        ),
        ("version: 0.1\ndriver: {attach: 'tcp:x'}", "driver.attach should be unix:/PATH or https://HOST:PORT"),
        ("version: 0.1\ndriver: {attach: 'https://x'}", "driver.tls.authority should name a PEM file"),
        (
            "version: 0.1\ndriver: {attach: 'unix:/run/x'}\nstorage: {s3: {bucket: x}}",
            "storage.s3.bucket is of no use to an attached driver",
        ),
        (
            "version: 0.1\nlog: {level: loud}\nstorage: {memory: }",
            "log.level (line 2) should be error, warn, info or debug",
        ),
        (
            "version: 0.1\nvalidation: {blobs: {maxbytes: -1}}\nstorage: {memory: }",
            "validation.blobs.maxbytes (line 2) should be a number of bytes",
        ),
        ("version: 0.1\n\tstorage: x", "is not YAML: "),
        ("- a", "the configuration has no settings"),
    ];
    for (text, expected) in rows {
        let (said, code) = check(text).await;
        assert!(said.starts_with("bulkhead: ") && said.contains(expected) && code == 2, "{text}: {code} {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[tokio::test]
async fn a_configuration_of_distribution_will_do() {
    let text = "
version: 0.1
log:
  level: debug
  fields: {service: registry}
storage:
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
  maintenance:
    uploadpurging: {enabled: false, age: 168h, interval: 24h, dryrun: false}
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  secret: asecretforlocaldevelopment
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
";
    let (said, code) = check(text).await;
    assert!(code == 0 && said.contains("would do, with the driver filesystem"), "{said}");
}

#[tokio::test]
async fn the_largest_blob_is_what_the_operator_says() {
    let registry = Setup::memory().set("validation.blobs.maxbytes", "10").start().await;
    registry.push_blob("a", "0123456789").await;
    let location = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"0123456789a"));
    let answer = Answer::to(registry.request(Method::POST, &location).body("0123456789a")).await;
    answer.expect_error(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID");
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let output = Setup::unsaid().argument("/nowhere/config.yml").run("check-config").await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot read the configuration /nowhere/config.yml: No such file"), "{said}");
}

#[tokio::test]
async fn an_environment_variable_that_is_no_setting_is_named() {
    let output = Setup::bare().set("htp.addr", "x").run("serve").await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("htp (the environment variable REGISTRY_HTP_ADDR)"), "{said}");
    assert!(said.contains("did you mean http?") && output.status.code() == Some(2), "{said}");
}

#[tokio::test]
async fn a_driver_judges_its_parameters_when_it_is_asked_to() {
    let rows = [
        (", maxthreads: many", 1, "the parameter maxthreads"),
        (", colour: red", 1, "no parameter named colour"),
        (", maxthreads: 30", 0, "would do, with the driver filesystem, which could open its store"),
    ];
    for (more, expected, sentence) in rows {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("data");
        let parameters = format!("{{rootdirectory: {}{more}}}", folder.display());
        let text = format!("version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {parameters}}}");
        let (said, code) = check(&text).await;
        assert!(code == 0 && said.ends_with("would do, with the driver filesystem\n"), "{said}");
        assert!(!folder.exists(), "without being told, nothing is started");
        let (said, code) = run_check(Setup::unsaid().argument("--driver"), &text).await;
        assert!(code == expected && said.contains(sentence), "{code}: {said}");
    }
}
