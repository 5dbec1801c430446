//! The results as a picture: one SVG of bars and curves, small enough to be kept beside the text. It measures nothing.

use std::fmt::Write as _;

use super::results::{Results, with_unit};
use super::work::Work;

const WIDTH: usize = 900;
const LEFT: usize = 300;
const BAR: usize = 12;
const GAP: usize = 16;
/// Where the text behind a bar still has room.
const BAR_MAX: f64 = 440.0;
const CURVE_HEIGHT: f64 = 220.0;
const CURVE_WIDTH: f64 = 500.0;
const COLOURS: [&str; 6] = ["#1b6ca8", "#7fb2d6", "#b8d4e8", "#d9822b", "#7a5195", "#5f9e6e"];
const DASHES: [&str; 2] = ["", " stroke-dasharray='6 4'"];

pub(super) fn svg(results: &Results) -> String {
    let mut body = String::new();
    let mut top = legend(&mut body, &results.subjects);
    for work in results.works() {
        top = bars(&mut body, results, work, top);
    }
    if !results.scale.is_empty() {
        top = curves(&mut body, results, top + GAP);
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{top}' viewBox='0 0 {WIDTH} {top}' font-family='sans-serif' font-size='12'>\n<rect width='100%' height='100%' fill='white'/>\n{body}</svg>\n"
    )
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

fn text(body: &mut String, x: impl std::fmt::Display, y: impl std::fmt::Display, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(body, "<text x='{x}' y='{y}' text-anchor='{anchor}'>{words}</text>");
}

fn legend(body: &mut String, subjects: &[String]) -> usize {
    text(body, 10, 20, "start", "CPU time for the same work; shorter is better");
    for (index, subject) in subjects.iter().enumerate() {
        let x = LEFT + index * 145;
        let _ = writeln!(body, "<rect x='{x}' y='10' width='12' height='12' fill='{}'/>", colour(index));
        text(body, x + 17, 20, "start", subject);
    }
    36
}

/// The bars of one work, the longest of which has the whole width.
fn bars(body: &mut String, results: &Results, work: Work, top: usize) -> usize {
    let costs: Vec<_> = results.subjects.iter().map(|subject| results.cost(work, subject)).collect();
    let most = costs.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    text(body, LEFT - 10, top + GAP, "end", &work.title(results.large_mib));
    let mut y = top;
    for (index, cost) in costs.iter().enumerate() {
        let Some(cost) = cost else { continue };
        let length = (cost / most * BAR_MAX).max(1.0);
        let _ = writeln!(
            body,
            "<rect x='{LEFT}' y='{y}' width='{length:.0}' height='{}' fill='{}'/>",
            BAR - 2,
            colour(index)
        );
        text(body, LEFT + 6 + length as usize, y + 9, "start", &with_unit(*cost, work));
        y += BAR;
    }
    y + GAP
}

/// Both axes are logarithmic: what is flat stays flat, and what grows with the store is a slope.
fn curves(body: &mut String, results: &Results, top: usize) -> usize {
    let curves = results.curves();
    let costs = results.scale.iter().map(|point| point.cpu_ms.max(1e-3));
    let (least, most) =
        costs.fold((f64::MAX, 1e-3), |(least, most), cost| (f64::min(least, cost), f64::max(most, cost)));
    let sizes = results.sizes();
    let (first, last) = (sizes.first().copied().unwrap_or(1), sizes.last().copied().unwrap_or(1));
    let share = |value: f64, low: f64, high: f64| (value / low).ln() / (high / low).ln().max(f64::MIN_POSITIVE);
    let x = |size: usize| LEFT as f64 + share(size as f64, first as f64, last as f64) * CURVE_WIDTH;
    let y = |cost: f64| (top + GAP) as f64 + (1.0 - share(cost.max(1e-3), least, most)) * CURVE_HEIGHT;
    text(body, 10, top, "start", "CPU time of one operation, by the number of tags, repositories and blobs");
    for (index, (operation, subject)) in curves.iter().enumerate() {
        let points: Vec<_> =
            sizes.iter().filter_map(|size| Some((*size, results.point(operation, subject, *size)?))).collect();
        let line: Vec<_> = points.iter().map(|(size, cost)| format!("{:.0},{:.0}", x(*size), y(*cost))).collect();
        let place = results.subjects.iter().position(|name| name == subject).unwrap_or(0);
        let dash = DASHES[usize::from(place > 0)];
        let _ = writeln!(
            body,
            "<polyline points='{}' fill='none' stroke='{}' stroke-width='2'{dash}/>",
            line.join(" "),
            colour(index)
        );
        let (key, high) = (top + GAP + index * GAP, points.last().map_or(0.0, |(_, cost)| *cost));
        let _ = writeln!(
            body,
            "<line x1='10' x2='34' y1='{}' y2='{}' stroke='{}' stroke-width='2'{dash}/>",
            key - 4,
            key - 4,
            colour(index)
        );
        text(body, 40, key, "start", &format!("{operation}, {subject}: {:.0} µs", high * 1e3));
    }
    let bottom = top + GAP + CURVE_HEIGHT as usize + GAP;
    sizes.iter().for_each(|size| text(body, format!("{:.0}", x(*size)), bottom + 4, "middle", &size.to_string()));
    bottom.max(top + GAP + curves.len() * GAP) + GAP
}

#[cfg(test)]
mod tests {
    use super::super::results::Point;
    use super::*;

    #[test]
    fn a_flat_curve_is_a_level_line() {
        let point = |size, cpu_ms| Point { operation: "op", subject: "a".to_owned(), size, cpu_ms };
        let scale = vec![point(100, 0.05), point(1000, 0.05), point(100, 5.0)];
        let results = Results { subjects: vec!["a".to_owned()], scale, ..Results::default() };
        let picture = svg(&results);
        let points = picture.split("points='").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
        let heights: Vec<_> = points.split(' ').filter_map(|point| point.split_once(',')).map(|(_, y)| y).collect();
        assert_eq!(heights.len(), 2);
        assert_eq!(heights[0], heights[1]);
    }
}
