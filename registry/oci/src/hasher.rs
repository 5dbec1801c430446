//! [`Hasher`]: a digest in the making, which can be laid aside and taken up again by another process.

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use crate::go_state::{self, InvalidHashState};
use crate::{Algorithm, Digest};

/// Takes content piece by piece and gives its [`Digest`] in the end.
#[derive(Debug, Clone)]
pub struct Hasher {
    state: State,
    length: u64,
}

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Hasher {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        };
        Hasher { state, length: 0 }
    }

    pub fn update(&mut self, content: &[u8]) {
        self.length += content.len() as u64;
        match &mut self.state {
            State::Sha256(state) => state.update(content),
            State::Sha512(state) => state.update(content),
        }
    }

    /// How many bytes have been taken.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn algorithm(&self) -> Algorithm {
        match self.state {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(state) => Digest::from_hash(Algorithm::Sha256, &state.finalize()),
            State::Sha512(state) => Digest::from_hash(Algorithm::Sha512, &state.finalize()),
        }
    }

    /// The state as Go's `crypto/sha256` or `crypto/sha512` marshals it.
    pub fn to_go_state(&self) -> Vec<u8> {
        match &self.state {
            State::Sha256(state) => go_state::SHA256.encode(&state.serialize(), self.length),
            State::Sha512(state) => go_state::SHA512.encode(&state.serialize(), self.length),
        }
    }

    /// Takes up a hash that this or another registry laid aside.
    ///
    /// Only the form can be checked: a state of the right form that belongs to other content gives a wrong digest.
    pub fn from_go_state(algorithm: Algorithm, state: &[u8]) -> Result<Hasher, InvalidHashState> {
        match algorithm {
            Algorithm::Sha256 => {
                let (state, length) = go_state::SHA256.decode(state)?;
                Ok(Hasher { state: State::Sha256(restore(&state)?), length })
            }
            Algorithm::Sha512 => {
                let (state, length) = go_state::SHA512.decode(state)?;
                Ok(Hasher { state: State::Sha512(restore(&state)?), length })
            }
        }
    }
}

fn restore<H: SerializableState>(state: &[u8]) -> Result<H, InvalidHashState> {
    let state = SerializedState::<H>::try_from(state).map_err(|_| InvalidHashState)?;
    H::deserialize(&state).map_err(|_| InvalidHashState)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VECTORS: &str = include_str!("../testdata/go-hash-states.txt");

    /// The content that the program beside the vectors hashes.
    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 + (i >> 8)) as u8).collect()
    }

    fn after(algorithm: Algorithm, content: &[u8]) -> Hasher {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher
    }

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    fn any_algorithm() -> impl Strategy<Value = Algorithm> {
        prop::sample::select(&Algorithm::ALL[..])
    }

    #[test]
    fn state_is_that_of_go() {
        let mut rows = 0;
        for row in VECTORS.lines() {
            let [name, length, state] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let (algorithm, state) = (Algorithm::parse(name).unwrap(), from_hex(state));
            let content = content(length.parse().unwrap());
            assert_eq!(after(algorithm, &content).to_go_state(), state, "{name} {length}");

            let mut resumed = Hasher::from_go_state(algorithm, &state).unwrap();
            assert_eq!(resumed.length(), content.len() as u64);
            resumed.update(b"and on");
            assert_eq!(
                resumed.finish(),
                Digest::of(algorithm, &[&content, &b"and on"[..]].concat()),
                "{name} {length}"
            );
            rows += 1;
        }
        assert_eq!(rows, 40);
    }

    #[test]
    fn damaged_states_are_refused() {
        for algorithm in Algorithm::ALL {
            let state = after(algorithm, b"abc").to_go_state();
            let last = state.len() - 1;
            let mut shorter_count = state.clone();
            shorter_count[last] = 2;
            let mut filled_at_the_end = state.clone();
            filled_at_the_end[last - 8] = 1;
            let mut beyond_any_upload = state.clone();
            beyond_any_upload[last - 7] = 0xff;
            let other = Algorithm::ALL.into_iter().find(|other| *other != algorithm).unwrap();
            let of_other_kind = Hasher::new(other).to_go_state();
            let too_long = [&state[..], &[0]].concat();
            for damaged in
                [&[], &state[..last], &too_long, &shorter_count, &filled_at_the_end, &beyond_any_upload, &of_other_kind]
            {
                assert_eq!(Hasher::from_go_state(algorithm, damaged).unwrap_err(), InvalidHashState);
            }
        }
    }

    proptest! {
        #[test]
        fn laying_aside_changes_no_digest(algorithm in any_algorithm(), first: Vec<u8>, second: Vec<u8>) {
            let mut hasher = Hasher::from_go_state(algorithm, &after(algorithm, &first).to_go_state()).unwrap();
            hasher.update(&second);
            prop_assert_eq!(hasher.length(), (first.len() + second.len()) as u64);
            prop_assert_eq!(hasher.algorithm(), algorithm);
            prop_assert_eq!(hasher.finish(), Digest::of(algorithm, &[first, second].concat()));
        }

        #[test]
        fn any_words_are_a_state_and_none_makes_a_hasher_panic(
            algorithm in any_algorithm(),
            words in prop::collection::vec(any::<u8>(), 64),
            block in prop::collection::vec(any::<u8>(), 128),
            length in prop_oneof![any::<u64>(), 0..300u64, Just(1 << 60)],
            zero_beyond_fill: bool,
        ) {
            let (magic, words, block_length) = match algorithm {
                Algorithm::Sha256 => (b"sha\x03", &words[..32], 64),
                Algorithm::Sha512 => (b"sha\x07", &words[..], 128),
            };
            let mut block = block[..block_length].to_vec();
            if zero_beyond_fill {
                block[length as usize % block_length..].fill(0);
            }
            let state = [magic, words, &block, &length.to_be_bytes()].concat();
            match Hasher::from_go_state(algorithm, &state) {
                Ok(mut hasher) => {
                    prop_assert_eq!(hasher.to_go_state(), state);
                    hasher.update(&[0; 300]);
                    hasher.finish();
                }
                Err(InvalidHashState) => prop_assert!(!zero_beyond_fill || length > 1 << 60),
            }
        }

        #[test]
        fn garbage_is_no_state(algorithm in any_algorithm(), garbage in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(Hasher::from_go_state(algorithm, &garbage).is_err());
        }
    }
}
