//! The driver as a process, on an S3 server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod authority;
mod configuring;
mod contract;
mod costs;
mod faults;
mod history;
mod identities;
mod interruptions;
mod network;
mod oracle;
mod outages;
mod server;
mod sessions;
mod support;
mod worlds;
