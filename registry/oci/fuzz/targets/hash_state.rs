//! A state that is accepted is written as it was read, and the hash goes on from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Algorithm, Hasher};

fuzz_target!(|state: &[u8]| {
    for algorithm in Algorithm::ALL {
        if let Ok(mut hasher) = Hasher::from_go_state(algorithm, state) {
            assert_eq!(hasher.to_go_state(), state);
            hasher.update(&[0; 300]);
            hasher.finish();
        }
    }
});
