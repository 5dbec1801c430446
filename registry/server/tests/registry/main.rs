//! The registry from outside: HTTP in, with real driver processes behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blobs;
mod config;
mod interruptions;
mod pushing;
mod serve;
mod support;
mod uploads;
