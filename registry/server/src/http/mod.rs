//! The HTTP API: requests in, responses out. The only place that knows the web framework.
//!
//! It must not know a path of the store nor a driver.
