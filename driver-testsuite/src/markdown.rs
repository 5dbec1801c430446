//! Tables of Markdown, in which no text of a driver becomes markup.

/// A table. Every row has as many cells as the head.
pub(crate) fn table(head: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", " --- |".repeat(head.len()));
    let rows = rows.map(|row| line(&row.iter().map(|text| cell(text)).collect::<Vec<_>>()));
    line(head) + &rule + &rows.collect::<String>()
}

/// Text on one line that is nothing but text.
pub(crate) fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('[', "\\[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(cell("a|b\n<script> [x](y)"), "a\\|b &lt;script> \\[x](y)");
        let told = table(&["a".into(), "b".into()], [vec!["1".into(), "2|3".into()]].into_iter());
        assert_eq!(told, "| a | b |\n| --- | --- |\n| 1 | 2\\|3 |\n");
    }
}
