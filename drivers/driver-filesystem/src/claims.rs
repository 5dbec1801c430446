//! [`Claims`]: which writer of a session is the newest, within this process.
//!
//! The kit calls no session that was replaced. But what such a session began may still be under way in the pool, and a
//! published file must never be written to: so every write happens under the lock of its path, and only by the newest.
//! A writer whom the file was handed out to needs no lock, so that it is known here whether there can be one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use driver_kit::Path;

/// The newest claim to one path.
#[derive(Default)]
pub(crate) struct Newest {
    number: u64,
    /// The session is over: it was published, or moved.
    is_over: bool,
    /// It is a stream of this process, and nobody else has the file open for writing.
    is_alone: bool,
}

#[derive(Default)]
pub(crate) struct Claims {
    paths: Mutex<HashMap<Path, Weak<Mutex<Newest>>>>,
}

/// Why a claim cannot be held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// To a newer one.
    Superseded,
    /// With its session.
    Over,
}

/// The right to write to a session until somebody takes it over.
pub(crate) struct Claim {
    newest: Arc<Mutex<Newest>>,
    number: u64,
}

impl Claim {
    /// Keeps the session from being taken over and from being ended.
    pub(crate) fn hold(&self) -> Result<MutexGuard<'_, Newest>, Lost> {
        let newest = lock(&self.newest);
        match *newest {
            Newest { number, .. } if number != self.number => Err(Lost::Superseded),
            Newest { is_over: true, .. } => Err(Lost::Over),
            _ => Ok(newest),
        }
    }
}

impl Claims {
    /// Runs `work` while no claim to the session at `path` is held, and tells it whether the file may be handed out. When
    /// it succeeds, no older claim can be held again; when it fails, all is as before.
    pub(crate) fn take_over<T, E>(
        &self,
        path: &Path,
        work: impl FnOnce(bool) -> Result<T, E>,
    ) -> Result<(Claim, T), E> {
        let newest = self.newest(path);
        let mut current = lock(&newest);
        let done = work(!current.is_alone)?;
        let number = current.number + 1;
        *current = Newest { number, is_over: false, is_alone: true };
        drop(current);
        Ok((Claim { newest, number }, done))
    }

    /// As [`take_over`](Self::take_over), for a writer who needs no claim.
    pub(crate) fn hand_out<T, E>(&self, path: &Path, work: impl FnOnce(bool) -> Result<T, E>) -> Result<T, E> {
        let newest = self.newest(path);
        let mut current = lock(&newest);
        let done = work(!current.is_alone)?;
        *current = Newest { number: current.number + 1, is_over: false, is_alone: false };
        Ok(done)
    }

    /// As [`take_over`](Self::take_over), and nobody has a claim then.
    pub(crate) fn end<T, E>(&self, path: &Path, work: impl FnOnce(bool) -> Result<T, E>) -> Result<T, E> {
        let newest = self.newest(path);
        let mut current = lock(&newest);
        let done = work(!current.is_alone)?;
        *current = Newest { is_over: true, is_alone: false, ..*current };
        Ok(done)
    }

    fn newest(&self, path: &Path) -> Arc<Mutex<Newest>> {
        let mut paths = lock(&self.paths);
        if let Some(newest) = paths.get(path).and_then(Weak::upgrade) {
            return newest;
        }
        paths.retain(|_, newest| newest.strong_count() > 0);
        let newest = Arc::default();
        paths.insert(path.clone(), Arc::downgrade(&newest));
        newest
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    type Outcome = Result<(), ()>;

    #[test]
    fn the_newest_alone_can_hold_its_claim() {
        let (claims, path) = (Claims::default(), Path::parse("/s").unwrap());
        let take_over = |path: &Path, outcome: Outcome| claims.take_over(path, |_| outcome).map(|(claim, ())| claim);
        let first = take_over(&path, Ok(())).unwrap();
        let other = take_over(&Path::parse("/other").unwrap(), Ok(())).unwrap();
        assert!(take_over(&path, Err(())).is_err());
        let standing = |claim: &Claim| claim.hold().err();
        assert_eq!(standing(&first), None);
        let second = take_over(&path, Ok(())).unwrap();
        assert_eq!([&first, &second, &other].map(standing), [Some(Lost::Superseded), None, None]);
        assert!(claims.end(&path, |_| Err::<(), ()>(())).is_err());
        assert_eq!(standing(&second), None);
        claims.end(&path, |_| Outcome::Ok(())).unwrap();
        assert_eq!([&first, &second, &other].map(standing), [Some(Lost::Superseded), Some(Lost::Over), None]);
        let third = take_over(&path, Ok(())).unwrap();
        assert_eq!([&second, &third].map(standing), [Some(Lost::Superseded), None]);
        drop((first, second, third));
        take_over(&Path::parse("/new").unwrap(), Ok(())).unwrap();
        assert!(!lock(&claims.paths).contains_key(&path));
    }

    #[test]
    fn a_file_may_be_handed_out_unless_a_stream_of_this_process_was_the_last_to_open_it() {
        let (claims, path) = (Claims::default(), Path::parse("/s").unwrap());
        let told = |may_be_out: bool| Ok::<_, ()>(may_be_out);
        let (stream, may_be_out) = claims.take_over(&path, told).unwrap();
        assert!(may_be_out, "an earlier process may have handed it out");
        assert_eq!(claims.hand_out(&path, told), Ok(false));
        assert_eq!(stream.hold().err(), Some(Lost::Superseded));
        let (stream, may_be_out) = claims.take_over(&path, told).unwrap();
        assert!(may_be_out);
        assert_eq!([claims.end(&path, told), claims.end(&path, told)], [Ok(false), Ok(true)]);
        assert_eq!(stream.hold().err(), Some(Lost::Over));
    }

    #[test]
    fn no_two_work_at_once() {
        let (claims, path, working) = (Claims::default(), Path::parse("/s").unwrap(), AtomicUsize::new(0));
        let alone = || -> Outcome {
            assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0);
            thread::yield_now();
            working.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let (claim, ()) = claims.take_over(&path, |_| alone()).unwrap();
                        if let Ok(_held) = claim.hold() {
                            alone().unwrap();
                        }
                    }
                });
            }
        });
    }
}
