//! The sizes the protocol fixes, in bytes unless the name says otherwise (README, "Limits").

use std::time::Duration;

/// Longest path.
pub const PATH_MAX: usize = 1024;
/// Longest path component.
pub const COMPONENT_MAX: usize = 255;
/// Largest content of one Put or Get.
pub const INLINE_MAX: usize = 1 << 20;
/// Largest `data` of one streamed message.
pub const CHUNK_MAX: usize = 1 << 20;
/// The `data` size that serves best: from 64 to 256 KiB the cost was measured to be the same, and each stream holds a few of
/// them at both ends.
pub const CHUNK_PREFERRED: usize = 128 << 10;
/// Most entries of one List page or Walk message.
pub const PAGE_MAX: usize = 1000;
/// Longest `version`.
pub const VERSION_MAX: usize = 256;
/// Longest packet on the descriptor socket, both ways.
pub const PACKET_MAX: usize = 4096;
/// A driver acknowledges a write stream at least this often.
pub const ACKNOWLEDGE_EVERY: u64 = 4 << 20;
/// Largest granularity a driver may declare.
pub const GRANULARITY_MAX: u64 = 64 << 20;
/// HTTP/2 frames that carry bulk data: one frame is one system call.
pub const FRAME: u32 = 256 << 10;
/// A driver refuses to work with a stream window below this.
pub const STREAM_WINDOW_MIN: u32 = 256 << 10;
/// After this long without a message a stream is given up.
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);
