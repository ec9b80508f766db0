//! One HTML page that needs nothing beside it.

use askama::Template;

use super::{Counts, Entry};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'e> {
    server: &'e str,
    name: &'e str,
    when: &'e str,
    counts: Counts,
    sections: Vec<Section<'e>>,
}

struct Section<'e> {
    name: String,
    counts: Counts,
    entries: Vec<&'e Entry>,
}

/// The report as a page: `server` is where it is, `name` what it calls itself, `when` the time of the run.
///
/// # Errors
/// A page that cannot be written.
pub fn page(server: &str, name: &str, when: &str, entries: &[Entry]) -> Result<String, String> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for entry in entries {
        let name = format!("{} {}", entry.version, entry.section);
        match sections.iter_mut().find(|section| section.name == name) {
            Some(section) => section.entries.push(entry),
            None => sections.push(Section {
                name,
                counts: Counts::default(),
                entries: vec![entry],
            }),
        }
    }
    for section in &mut sections {
        let entries: Vec<_> = section
            .entries
            .iter()
            .map(|entry| (*entry).clone())
            .collect();
        section.counts = Counts::of(&entries);
    }
    let page = Page {
        server,
        name,
        when,
        counts: Counts::of(entries),
        sections,
    };
    page.render().map_err(|error| error.to_string())
}
