//! What the protocol is, one fact a line in `proto/recorded/PACKAGE/schema.txt`: a fact that stands there never changes.
//!
//! A message that a driver of last year sends is read with the field numbers and types of last year. So facts are only
//! added, and this says which of them were not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};

use crate::Outcome;
use crate::{bindings, root};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also forgets what was changed or taken away. That is for a package that no release has yet.
    #[arg(long)]
    forget: bool,
}

/// The name of a thing, and what holds of it.
type Facts = BTreeMap<String, String>;

/// The package that never changes, not even by an addition.
const HANDSHAKE: &str = "storagedriver.handshake";

/// Notes the facts of every package anew. What was changed or taken away is refused.
pub(crate) fn write(arguments: &Arguments) -> Outcome {
    for (package, facts) in packages()? {
        let file = file(&package);
        let noted = read(&file);
        if package == HANDSHAKE && !noted.is_empty() && noted != facts {
            return Err(format!("{HANDSHAKE} is frozen for ever: take the change back").into());
        }
        let complaints = changed(&noted, &facts);
        if !complaints.is_empty() && !arguments.forget {
            return Err(complaints.join("\n").into());
        }
        std::fs::create_dir_all(file.with_file_name(""))?;
        std::fs::write(file, text(&package, &facts))?;
    }
    Ok(())
}

/// Every package of ours with its facts.
fn packages() -> Outcome<Vec<(String, Facts)>> {
    let files = bindings::descriptors()?.file;
    let own = files.into_iter().filter(|file| file.package().starts_with("storagedriver."));
    Ok(own.map(|file| (file.package().to_owned(), facts_of(&file))).collect())
}

fn file(package: &str) -> PathBuf {
    let name = package.rsplit('.').next().unwrap_or(package);
    root::path("proto/recorded").join(name).join("schema.txt")
}

fn text(package: &str, facts: &Facts) -> String {
    let head = format!("# What {package} is, noted by `cargo xtask schema`. No line of it may change or go.\n");
    facts.iter().fold(head, |text, (name, fact)| format!("{text}{name} = {fact}\n"))
}

/// The facts that were noted.
fn read(file: &std::path::Path) -> Facts {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let facts = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    facts.map(|(name, fact)| (name.to_owned(), fact.to_owned())).collect()
}

/// A sentence for each noted fact that does not hold any more.
fn changed(noted: &Facts, facts: &Facts) -> Vec<String> {
    let complaint = |(name, noted): (&String, &String)| match facts.get(name) {
        Some(fact) if fact == noted => None,
        Some(fact) => Some(format!("{name} was `{noted}` and is `{fact}`: {REMEDY}")),
        None => Some(format!("{name}, which was `{noted}`, is gone or has another name: {REMEDY}")),
    };
    noted.iter().filter_map(complaint).collect()
}

const REMEDY: &str = "a driver that was built before relies on it, so put it back, or make a new package. \
    While the package is an alpha that no release has, `cargo xtask schema --forget` takes the change; \
    then record its bytes in proto/recorded anew, and change proto/README.md with it";

/// A sentence for each fact that is not noted yet.
#[cfg(test)]
fn added(noted: &Facts, facts: &Facts) -> Vec<String> {
    let is_new = |name: &&String| !noted.contains_key(*name);
    facts.keys().filter(is_new).map(|name| format!("{name} is new: run `cargo xtask schema` and commit it")).collect()
}

fn facts_of(file: &FileDescriptorProto) -> Facts {
    let mut facts = Facts::new();
    for message in &file.message_type {
        note_message(&mut facts, file.package(), message);
    }
    for names in &file.enum_type {
        note_enum(&mut facts, file.package(), names);
    }
    for service in &file.service {
        note_service(&mut facts, file.package(), service);
    }
    facts
}

fn note_message(facts: &mut Facts, within: &str, message: &DescriptorProto) {
    let name = format!("{within}.{}", message.name());
    facts.insert(name.clone(), "message".to_owned());
    for field in &message.field {
        facts.insert(format!("{name}.{}", field.name()), field_fact(message, field));
    }
    for nested in &message.nested_type {
        note_message(facts, &name, nested);
    }
    for names in &message.enum_type {
        note_enum(facts, &name, names);
    }
}

/// The number and the type of a field, and what else decides how it is written.
fn field_fact(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let choice = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    let presence = match (field.label(), choice) {
        (Label::Repeated, _) => "repeated ".to_owned(),
        (_, Some(_)) if field.proto3_optional() => "optional ".to_owned(),
        (_, Some(choice)) => format!("one of {}: ", choice.name()),
        _ => String::new(),
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    format!("{} {presence}{kind}", field.number())
}

fn note_enum(facts: &mut Facts, within: &str, names: &EnumDescriptorProto) {
    let name = format!("{within}.{}", names.name());
    facts.insert(name.clone(), "enum".to_owned());
    facts.extend(names.value.iter().map(|value| (format!("{name}.{}", value.name()), value.number().to_string())));
}

fn note_service(facts: &mut Facts, package: &str, service: &ServiceDescriptorProto) {
    let name = format!("{package}.{}", service.name());
    facts.insert(name.clone(), "service".to_owned());
    let stream = |streams: bool, message: &str| {
        format!("{}{}", if streams { "stream " } else { "" }, message.trim_start_matches('.'))
    };
    for call in &service.method {
        let asked = stream(call.client_streaming(), call.input_type());
        let answer = stream(call.server_streaming(), call.output_type());
        facts.insert(format!("{name}.{}", call.name()), format!("call of {asked} to {answer}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_changes_by_additions_that_are_noted() {
        for (package, facts) in packages().unwrap() {
            let noted = read(&file(&package));
            let complaints = [changed(&noted, &facts), added(&noted, &facts)].concat();
            assert!(complaints.is_empty(), "{}", complaints.join("\n"));
        }
    }

    fn facts(lines: &[(&str, &str)]) -> Facts {
        lines.iter().map(|(name, fact)| ((*name).to_owned(), (*fact).to_owned())).collect()
    }

    #[test]
    fn a_change_is_seen_and_an_addition_asked_for() {
        let noted = facts(&[("p.M.a", "1 string"), ("p.M.b", "2 bytes"), ("p.M.c", "3 bool")]);
        assert_eq!(changed(&noted, &noted), Vec::<String>::new());
        let renamed = facts(&[("p.M.a", "1 string"), ("p.M.bee", "2 bytes"), ("p.M.c", "3 bool")]);
        assert!(changed(&noted, &renamed)[0].starts_with("p.M.b, which was `2 bytes`, is gone or has another name"));
        for other in ["4 bool", "3 repeated bool", "3 uint64"] {
            let altered = facts(&[("p.M.a", "1 string"), ("p.M.b", "2 bytes"), ("p.M.c", other)]);
            assert!(changed(&noted, &altered)[0].starts_with(&format!("p.M.c was `3 bool` and is `{other}`")));
        }
        let more = facts(&[("p.M.a", "1 string"), ("p.M.b", "2 bytes"), ("p.M.c", "3 bool"), ("p.M.d", "4 bool")]);
        assert_eq!(changed(&noted, &more), Vec::<String>::new());
        assert_eq!(added(&noted, &more), ["p.M.d is new: run `cargo xtask schema` and commit it"]);
    }
}
