//! A report as one page that needs nothing else: no network, no other file.

mod cases;
mod costs;

pub(crate) use self::costs::marks;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::svg::{self, Row};
use super::{Report, Standing, Tally};

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        let title = format!("Driver {}", self.title());
        let body = html! {
            header {
                h1 { (title) }
                p.verdict.(self.colour()) { (self.meaning()) }
                (self.counts())
                dl { @for (name, value) in self.facts() { div { dt { (name) } dd { (value) } } } }
            }
            section { h2 { "Cases by group" } (self.group_chart()) }
            (self.capability_table())
            @if let Some(measured) = &self.measurements { (costs::section(measured)) }
            (cases::section(&self.cases))
        };
        page(&title, &body, &html! { script { (PreEscaped(include_str!("filter.js"))) } })
    }

    fn colour(&self) -> &'static str {
        match (self.is_compliant(), self.is_kept()) {
            (true, _) => "good",
            (false, true) => "open",
            (false, false) => "bad",
        }
    }

    fn counts(&self) -> Markup {
        let Tally { passed, failed, skipped, not_offered, expected } = self.tally();
        let (proven, offered) = self.proven_capabilities();
        let tile = |class: &str, number: String, name: &str| {
            html! {
                div.tile.(class) { strong { (number) } span { (name) } }
            }
        };
        html! {
            div.tiles {
                (tile("passed", passed.to_string(), "passed"))
                (tile("failed", failed.to_string(), "failed"))
                (tile("skipped", skipped.to_string(), "skipped"))
                (tile("not-offered", not_offered.to_string(), "not offered"))
                @if expected > 0 { (tile("expected", expected.to_string(), "failed as expected")) }
                (tile("plain", format!("{proven}/{offered}"), "offered capabilities proven"))
            }
        }
    }

    fn group_chart(&self) -> Markup {
        let row = |(label, tally): (&str, Tally)| Row { label: label.to_owned(), series: 0, value: parts(tally) };
        let rows: Vec<_> = self.groups().into_iter().map(row).collect();
        html! {
            (legend(self.tally()))
            (svg::stacks("Cases by group", &rows))
        }
    }

    fn capability_table(&self) -> Markup {
        let class = |standing| match standing {
            Standing::Proven => "passed",
            Standing::Broken => "failed",
            Standing::NotProven => "skipped",
            Standing::NotOffered | Standing::Hint => "not-offered",
        };
        html! {
            section {
                h2 { "Capabilities" }
                table {
                    thead { tr { th { "capability" } th { "declared" } th { "standing" } th { "looked at by" } } }
                    tbody {
                        @for proof in self.capability_proofs() {
                            tr {
                                td { code.name { (proof.name) } }
                                td { (proof.declared) }
                                td { span.pill.(class(proof.standing)) { (proof.standing.as_str()) } }
                                td.small { (proof.cases.join(", ")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The parts of a bar of cases.
pub(crate) fn parts(tally: Tally) -> Vec<svg::Part> {
    let Tally { passed, failed, skipped, not_offered, expected } = tally;
    vec![
        ("passed", passed),
        ("failed", failed),
        ("skipped", skipped),
        ("not-offered", not_offered),
        ("expected", expected),
    ]
}

/// What the colours of a chart of cases mean.
pub(crate) fn legend(tally: Tally) -> Markup {
    let there = parts(tally).into_iter().filter(|(_, count)| *count > 0);
    html! { p.legend { @for (class, _) in there { span { i.(class) {} (class.replace('-', " ")) } } } }
}

/// A whole page in the style of the reports.
pub(crate) fn page(title: &str, body: &Markup, end: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { main { (body) } (end) }
        }
    };
    page.into_string()
}
