//! The rows: a table on the terminal, `performance.json`, a chart.

use std::{fmt::Write, fs, path::Path};

use serde_json::json;

/// What a row must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Stated, not judged.
    None,
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    pub(crate) target: Target,
}

impl Row {
    fn met(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(most) => Some(self.value <= most),
            Target::AtLeast(least) => Some(self.value >= least),
            Target::None => None,
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::AtMost(most) => format!("≤ {most}"),
            Target::AtLeast(least) => format!("≥ {least}"),
            Target::None => String::new(),
        }
    }

    /// How much of what the target allows is used: 1 is just met.
    fn share(&self) -> Option<f64> {
        match self.target {
            Target::AtMost(most) => Some(self.value / most),
            Target::AtLeast(least) => Some(least / self.value),
            Target::None => None,
        }
    }
}

/// Prints the table and writes the files.
#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
pub(crate) fn write(rows: &[Row], out: &Path) {
    println!("| | value | unit | target | met |\n| --- | ---: | --- | ---: | --- |");
    for row in rows {
        let met = match row.met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        println!(
            "| {} | {} | {} | {} | {met} |",
            row.name,
            number(row.value),
            row.unit,
            row.target()
        );
    }
    let json: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let met = row.met()?;
            Some(json!({
                "name": row.name, "unit": row.unit, "value": number(row.value).parse::<f64>().ok(), "target": row.target(), "met": met,
            }))
        })
        .collect();
    let text = serde_json::to_string_pretty(&json).expect("JSON") + "\n";
    fs::write(out.join("performance.json"), text).expect("the directory can be written");
    fs::write(out.join("performance.svg"), chart(rows)).expect("the directory can be written");
}

fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A bar a target: as long as the share of it that is used; the line is where it is just met.
fn chart(rows: &[Row]) -> String {
    const LEFT: f64 = 560.0;
    const UNIT: f64 = 240.0;
    let judged: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.share()?)))
        .collect();
    let height = 40 + 26 * judged.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1060 {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"1060\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" fill=\"#444\">share of what the target allows: shorter is better, the line is the target</text>\n"
    );
    for (index, (row, share)) in judged.iter().enumerate() {
        let y = 30 + 26 * index;
        let width = UNIT * share.clamp(0.0, 1.8);
        let fill = if *share <= 1.0 { "#2c7a4b" } else { "#b3402a" };
        let name = row.name.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#222\">{name}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" fill=\"{fill}\"/>\n\
             <text x=\"{:.1}\" y=\"{}\" fill=\"#222\">{} {}</text>",
            LEFT - 8.0,
            y + 14,
            LEFT + width + 6.0,
            y + 14,
            number(row.value),
            row.unit
        );
    }
    let line = LEFT + UNIT;
    let _ = write!(
        svg,
        "<line x1=\"{line}\" y1=\"26\" x2=\"{line}\" y2=\"{height}\" stroke=\"#222\"/>\n</svg>\n"
    );
    svg
}
