//! Charts as inline SVG: stacked bars, bars, and ranges on a logarithmic axis. Colours come from the page's style.
//!
//! A chart knows labels and numbers, and nothing of drivers and cases.

use maud::{Markup, html};

use super::units;

const WIDTH: f64 = 860.0;
/// Where the plot begins and how wide it is; labels stand before it, values behind it.
const LEFT: f64 = 210.0;
const PLOT: f64 = 450.0;
const ROW: f64 = 26.0;
/// Above the first row, where an axis has its figures.
const TOP: f64 = 26.0;

/// One line of a chart.
pub(crate) struct Row<T> {
    pub(crate) label: String,
    /// Which of several colours it has.
    pub(crate) series: usize,
    pub(crate) value: T,
}

/// A part of a stacked bar: the class that colours it, and its length.
pub(crate) type Part = (&'static str, usize);

/// Bars of parts that are stacked.
pub(crate) fn stacks(name: &str, rows: &[Row<Vec<Part>>]) -> Markup {
    let length = |parts: &[Part]| parts.iter().map(|(_, count)| count).sum::<usize>();
    let most = rows.iter().map(|row| length(&row.value)).max().unwrap_or(1).max(1) as f64;
    let bar = |y: f64, parts: &[Part]| {
        let mut x = LEFT;
        html! {
            @for (class, count) in parts.iter().filter(|(_, count)| *count > 0) {
                @let width = *count as f64 / most * PLOT;
                rect class=(class) x=(round(x)) y=(y - 8.0) width=(round(width - 1.0)) height="16" rx="2" {
                    title { (count) " " (class.replace('-', " ")) }
                }
                @if width > 16.0 { text class="on" x=(round(x + width / 2.0)) y=(y + 4.0) { (count) } }
                ({ x += width; "" })
            }
        }
    };
    frame(name, rows, 4.0, &html! {}, |y, row| {
        html! {
            (bar(y, &row.value))
            (value(y, &length(&row.value).to_string()))
        }
    })
}

/// Bars, each with its value as `told`.
pub(crate) fn bars(name: &str, rows: &[Row<f64>], told: fn(f64) -> String) -> Markup {
    let most = rows.iter().map(|row| row.value).fold(0.0, f64::max).max(1e-9);
    frame(name, rows, 4.0, &html! {}, |y, row| {
        html! {
            rect class=(series(row.series)) x=(LEFT) y=(y - 8.0) width=(round(row.value / most * PLOT)) height="16" rx="2" {}
            (value(y, &told(row.value)))
        }
    })
}

/// From the first to the last of three times in microseconds, with a mark at each.
pub(crate) fn ranges(name: &str, rows: &[Row<[f64; 3]>]) -> Markup {
    let axis = Axis::around(rows.iter().flat_map(|row| row.value));
    frame(name, rows, TOP, &axis.grid(rows.len()), |y, row| {
        let [low, middle, high] = row.value.map(|value| axis.place(value));
        let told = row.value.map(units::time).join(" / ");
        html! {
            g class=(series(row.series)) {
                line x1=(low) x2=(high) y1=(y) y2=(y) {}
                circle class="p50" cx=(low) cy=(y) r="5.5" {}
                circle class="p90" cx=(middle) cy=(y) r="4" {}
                rect class="p99" x=(round(high - 1.5)) y=(y - 7.0) width="3" height="14" {}
            }
            (value(y, &told))
        }
    })
}

/// The rows below each other, each with its label.
fn frame<T>(name: &str, rows: &[Row<T>], top: f64, behind: &Markup, draw: impl Fn(f64, &Row<T>) -> Markup) -> Markup {
    let height = top + rows.len() as f64 * ROW + 6.0;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(name) {
            (behind)
            @for (number, row) in rows.iter().enumerate() {
                @let y = top + (number as f64 + 0.5) * ROW;
                text class="label" x=(LEFT - 12.0) y=(y + 4.0) { (row.label) }
                (draw(y, row))
            }
        }
    }
}

fn value(y: f64, text: &str) -> Markup {
    html! { text class="value" x=(LEFT + PLOT + 12.0) y=(y + 4.0) { (text) } }
}

fn series(number: usize) -> String {
    format!("series s{}", number % 6)
}

/// A logarithmic axis over whole powers of ten.
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let powers: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
        let from = powers.iter().copied().fold(f64::INFINITY, f64::min).floor();
        let to = powers.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
        if powers.is_empty() {
            Axis { from: 0, to: 1 }
        } else {
            Axis { from: from as i32, to: to.max(from + 1.0) as i32 }
        }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.max(1e-9).log10() - f64::from(self.from)) / f64::from(self.to - self.from);
        round(LEFT + share.clamp(0.0, 1.0) * PLOT)
    }

    fn grid(&self, rows: usize) -> Markup {
        let bottom = TOP + rows as f64 * ROW;
        html! {
            @for power in self.from..=self.to {
                @let (time, x) = (10_f64.powi(power), self.place(10_f64.powi(power)));
                line class="grid" x1=(x) x2=(x) y1=(TOP - 4.0) y2=(bottom) {}
                text class="tick" x=(x) y=(TOP - 10.0) { (tick(time)) }
            }
        }
    }
}

/// A power of ten of microseconds.
fn tick(microseconds: f64) -> String {
    match microseconds {
        ..1e3 => format!("{microseconds} µs"),
        ..1e6 => format!("{} ms", microseconds / 1e3),
        _ => format!("{} s", microseconds / 1e6),
    }
}

/// A coordinate that needs no more than a tenth.
fn round(coordinate: f64) -> f64 {
    (coordinate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_goes_over_whole_powers_of_ten() {
        let axis = Axis::around([30.0, 2500.0].into_iter());
        assert_eq!((axis.from, axis.to), (1, 4));
        assert_eq!([axis.place(10.0), axis.place(10_000.0)], [LEFT, LEFT + PLOT]);
        let none = Axis::around(std::iter::empty());
        assert_eq!((none.from, none.to), (0, 1));
        assert_eq!([tick(10.0), tick(1e4), tick(1e6)], ["10 µs", "10 ms", "1 s"]);
    }
}
