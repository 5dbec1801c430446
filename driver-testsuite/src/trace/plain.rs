//! Random names and times in the text of a trace: placeholders in a file, valid names and times again for a replay.
//!
//! The placeholder of a UUID has its number in the order of appearance, so that equal ones stay equal, and two recordings
//! of one thing are the same text. Each placeholder stands for as many bytes as what it replaced, so sizes stay true.

use std::collections::HashMap;

const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const TIME: &str = "dddd-dd-ddTdd:dd:ddZ";
const TIME_PLACE: &str = "<time>";
const SOME_TIME: &str = "2026-01-01T00:00:00Z";

/// Puts placeholders in the place of UUIDs and times.
pub(super) fn without_names(text: &str) -> String {
    let mut numbers = HashMap::new();
    let (mut plain, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(rest) = text.get(at..) {
        if let Some(uuid) = beginning(rest, UUID) {
            let next = numbers.len() + 1;
            plain.push_str(&format!("<uuid-{}>", numbers.entry(uuid).or_insert(next)));
            at += UUID.len();
        } else if beginning(rest, TIME).is_some() {
            plain.push_str(TIME_PLACE);
            at += TIME.len();
        } else {
            let Some(letter) = rest.chars().next() else { break };
            plain.push(letter);
            at += letter.len_utf8();
        }
    }
    plain
}

/// What `text` begins with, when it is of the form of `pattern`: `x` is a hexadecimal digit, `d` a decimal one.
fn beginning<'a>(text: &'a str, pattern: &str) -> Option<&'a str> {
    let found = text.get(..pattern.len())?;
    let fits = |(byte, form): (u8, u8)| match form {
        b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        b'd' => byte.is_ascii_digit(),
        form => byte == form,
    };
    found.bytes().zip(pattern.bytes()).all(fits).then_some(found)
}

/// Puts names and a time in the place of placeholders. The names are in the order of their numbers.
pub(super) fn with_names(plain: &str) -> String {
    let mut pieces = plain.split("<uuid-");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once('>').and_then(|(number, rest)| Some((number.parse::<u64>().ok()?, rest))) {
            Some((number, rest)) => text.extend([&format!("00000000-0000-7000-8000-{number:012x}"), rest]),
            None => text.extend(["<uuid-", piece]),
        }
    }
    text.replace(TIME_PLACE, SOME_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_random_becomes_the_same_text() {
        let text = |one: &str, other: &str, time: &str| format!("/{one}/data /{other}\n/{one} ä \"{time}\"");
        let (one, other) = ("019a0000-0000-7000-8000-00000000abcd", "c0ffee00-1111-4222-8333-444444444444");
        let plain = without_names(&text(one, other, "2031-12-31T23:59:59Z"));
        assert_eq!(plain, text("<uuid-1>", "<uuid-2>", "<time>"));
        assert_eq!(plain, without_names(&with_names(&plain)));
        let named = with_names(&plain);
        assert_eq!(named.len(), text(one, other, SOME_TIME).len());
        let digest = "sha256:0123456789abcdef0123456789abcdef <uuid-x>";
        assert_eq!(with_names(&without_names(digest)), digest);
    }
}
