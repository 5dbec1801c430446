//! A report as a badge for a page about the driver.

use maud::html;

use super::Report;

/// Of the letters of the badge, on average.
const LETTER: f64 = 6.1;
const HEIGHT: f64 = 20.0;

impl Report {
    /// The badge: which profile, and whether the driver is compliant with it.
    pub fn to_badge(&self) -> String {
        let label = format!("StorageDriver {}", self.profile);
        let (word, colour) = match (self.is_compliant(), self.is_kept()) {
            (true, _) => ("compliant", "#1a7f37"),
            (false, true) => ("not shown", "#7a5b00"),
            (false, false) => ("not compliant", "#b42318"),
        };
        let [left, right] = [label.as_str(), word].map(|text| text.len() as f64 * LETTER + 16.0);
        let (width, said) = (left + right, format!("{label}: {word}"));
        let text = |from: f64, width: f64, text: &str| {
            html! { text x=(from + width / 2.0) y="14" textLength=(width - 16.0) { (text) } }
        };
        let badge = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(HEIGHT) role="img" aria-label=(said) {
                title { (said) }
                clipPath id="round" { rect width=(width) height=(HEIGHT) rx="4" {} }
                g clip-path="url(#round)" {
                    rect width=(left) height=(HEIGHT) fill="#3d444d" {}
                    rect x=(left) width=(right) height=(HEIGHT) fill=(colour) {}
                }
                g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                    (text(0.0, left, &label))
                    (text(left, right, word))
                }
            }
        };
        badge.into_string()
    }
}
