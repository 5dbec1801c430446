//! The registry from outside: HTTP in, with real driver processes behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blobs;
mod catalog;
mod config;
mod departures;
mod faults;
mod files;
mod full_disk;
mod images;
mod interruptions;
mod manifests;
mod purging;
mod pushing;
mod redirects;
mod referrers;
mod remembering;
mod requests;
mod serve;
mod session_files;
mod support;
mod tags;
mod traces;
mod uploads;
