//! Configure: what it takes, what it refuses, and what it tells.

use std::collections::BTreeMap;

use futures::future::join_all;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, not_offered, refused};
use crate::launch::Launch;
use crate::process::{Driver, StartError};

cases! { "configure":
    process Quick Every [K1] "Before Configure every other call answers NOT_CONFIGURED." => before_it,
    process Quick Every [K2 L7] "A parameter that the driver does not know is named, and no value is shown." => unknown_parameter,
    process Quick Every [K2 L7] "A parameter that the driver cannot read is named, and no value is shown." => unreadable_parameter,
    process Quick Every [K1 K2] "The same parameters answer the same capabilities, others CONFIG_INVALID." => repeated,
    process Quick Every [K2] "A Configure that failed is as if it had not been called." => failed_once,
    process Quick Every [K3] "A secret can be written as file:/path." => secret_in_a_file,
    process Quick Every [K3] "A secret whose file cannot be read is CONFIG_INVALID." => secret_in_no_file,
    process Full Writing [K4] "A driver without `shared` refuses a store that another process has open." => second_process,
}

/// A parameter that no driver knows, and a value that nobody may see.
const UNKNOWN: &str = "no_driver_knows_this";
const SECRET: &str = "hunter2-8d1f";

async fn before_it(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let path = client.at("a");
    let results: [(&str, Result<(), Status>); 11] = [
        ("Stat", client.stat(&path).await.map(drop)),
        ("Get", client.get(&path).await.map(drop)),
        ("Put", client.put(&path, "x").await.map(drop)),
        ("Read", client.read(&path, 0, None).await.map(drop)),
        ("List", client.list("/", "", 0).await.map(drop)),
        ("Walk", client.walk("/", "").await.map(drop)),
        ("Move", client.rename(&path, &path).await.map(drop)),
        ("Delete", client.delete(&path, false).await),
        ("RedirectUrl", client.redirect_url(&path).await.map(drop)),
        ("Write", client.open(&path, 0).await.map(drop)),
        ("Commit", client.commit(&path, &path, 0).await.map(drop)),
    ];
    for (call, result) in results {
        refused(call, result, Reason::NotConfigured)?;
    }
    Ok(())
}

/// Configure is refused, names the parameter, and keeps the secret from the message and from the log.
async fn refuses(driver: &Driver, parameters: BTreeMap<String, String>, named: &str) -> Outcome<Client> {
    let client = driver.client().await?;
    let result = client.configure(parameters).await;
    let message = result.as_ref().err().map(|status| status.message().to_owned()).unwrap_or_default();
    refused("Configure", result, Reason::ConfigInvalid)?;
    ensure(message.contains(named), || format!("the message {message:?} does not name {named}"))?;
    ensure(!message.contains(SECRET), || format!("the message {message:?} shows a value"))?;
    ensure(!driver.log()?.contains(SECRET), || "the log shows a value".to_owned())?;
    Ok(client)
}

async fn unknown_parameter(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let mut parameters = driver.parameters();
    parameters.insert(UNKNOWN.to_owned(), SECRET.to_owned());
    let client = refuses(&driver, parameters, UNKNOWN).await?;
    client.configure(driver.parameters()).await?;
    Ok(())
}

async fn unreadable_parameter(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    // Only what is certainly a number or a truth value can be made unreadable without knowing the driver.
    let typed = |value: &String| value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok();
    let typed: Vec<String> =
        driver.parameters().into_iter().filter(|(_, value)| typed(value)).map(|(name, _)| name).collect();
    if typed.is_empty() {
        return not_offered("no parameter of this store is a number or a truth value");
    }
    for name in typed {
        let mut parameters = driver.parameters();
        parameters.insert(name.clone(), SECRET.to_owned());
        refuses(&driver, parameters, &name).await?;
    }
    driver.client().await?.configure(driver.parameters()).await?;
    Ok(())
}

async fn repeated(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let answers = join_all((0..4).map(|_| client.configure(driver.parameters()))).await;
    let first = client.configure(driver.parameters()).await?;
    for answer in answers {
        equal("the capabilities", answer?, first)?;
    }
    let mut others = driver.parameters();
    others.insert(UNKNOWN.to_owned(), String::new());
    refused("Configure with others", client.configure(others).await, Reason::ConfigInvalid)?;
    equal("the capabilities at last", client.configure(driver.parameters()).await?, first)?;
    refused("Stat", client.stat(&client.at("a")).await, Reason::NotFound).map(drop)
}

async fn failed_once(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let mut wrong = driver.parameters();
    wrong.insert(UNKNOWN.to_owned(), String::new());
    for _ in 0..2 {
        refused("Configure", client.configure(wrong.clone()).await, Reason::ConfigInvalid)?;
        refused("Stat meanwhile", client.stat(&client.at("a")).await, Reason::NotConfigured)?;
    }
    client.configure(driver.parameters()).await?;
    refused("Stat", client.stat(&client.at("a")).await, Reason::NotFound).map(drop)
}

/// The parameters of this store that are secrets, as far as their names tell.
fn secrets(driver: &Driver) -> Outcome<Vec<(String, String)>> {
    let named = |name: &str| {
        ["secret", "password", "token", "credential", "accesskey", "accountkey"]
            .iter()
            .any(|word| name.to_lowercase().replace('_', "").contains(word))
    };
    let secrets: Vec<_> =
        driver.parameters().into_iter().filter(|(name, value)| named(name) && !value.starts_with("file:")).collect();
    if secrets.is_empty() { not_offered("no parameter of this store is a secret, by its name") } else { Ok(secrets) }
}

async fn secret_in_a_file(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let folder = tempfile::tempdir()?;
    let mut parameters = driver.parameters();
    for (name, value) in secrets(&driver)? {
        let file = folder.path().join(&name);
        std::fs::write(&file, value)?;
        parameters.insert(name, format!("file:{}", file.display()));
    }
    let client = driver.client().await?;
    let capabilities = client.configure(parameters).await?;
    let plain = Driver::start(&launch).await?;
    equal("the capabilities", capabilities, *plain.configured().await?.capabilities())?;
    refused("Stat", client.stat(&client.at("a")).await, Reason::NotFound).map(drop)
}

async fn secret_in_no_file(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let folder = tempfile::tempdir()?;
    for (name, _) in secrets(&driver)? {
        let mut parameters = driver.parameters();
        parameters.insert(name.clone(), format!("file:{}", folder.path().join("nothing").display()));
        refuses(&driver, parameters, &name).await?;
    }
    Ok(())
}

async fn second_process(launch: Launch) -> Outcome {
    let mut first = Driver::start(&launch).await?;
    let client = first.configured().await?;
    if client.capabilities().shared {
        return not_offered("the store is shared");
    }
    if !client.survives() {
        return not_offered("each process has a volatile store of its own");
    }
    client.put(&client.at("a"), "content").await?;
    let second = first.beside().await?;
    match second.configured().await {
        Err(StartError::Configure(status)) => {
            drop(refused("the second Configure", Err::<(), _>(*status), Reason::Unavailable)?)
        }
        Err(problem) => return Err(problem.into()),
        Ok(_) => return broken("a second process opens the store"),
    }
    equal("what the first process has", client.get(&client.at("a")).await?.1, "content".into())?;
    client.put(&client.at("b"), "content").await?;
    first.kill().await?;
    let second = second.configured().await?;
    equal("what the second process finds when it is alone", second.get(&second.at("b")).await?.1, "content".into())
}
