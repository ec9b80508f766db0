//! Which language a page speaks: the one chosen on a page, the one the application asks for, that of the browser, that of the holder,
//! that of the service.

use http::{HeaderMap, header};

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// `it` and its regions.
    Italian,
    /// `en` and its regions.
    English,
}

impl Language {
    /// Both, in the order in which a page offers them.
    pub(crate) const ALL: [Self; 2] = [Self::Italian, Self::English];

    /// The language of a tag (RFC 5646); `None` when it is neither.
    pub(crate) fn parse(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// The tag, as in `lang` attributes.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Italian => "it",
            Self::English => "en",
        }
    }

    /// What it calls itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Italian => "Italiano",
            Self::English => "English",
        }
    }

    /// What the browser likes best of those there are (RFC 9110 12.5.4).
    pub(crate) fn of_browser(headers: &HeaderMap) -> Option<Self> {
        let accepted = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
        let mut best: Option<(f32, Self)> = None;
        for range in accepted.split(',').take(32) {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight = weight.trim().strip_prefix("q=");
            let weight: f32 = weight.and_then(|weight| weight.parse().ok()).unwrap_or(0.0);
            let Some(language) = Self::parse(tag.trim()) else {
                continue;
            };
            if weight > best.map_or(0.0, |(weight, _)| weight) {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accepted: &'static str) -> Option<Language> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, accepted.parse().ok()?);
        Language::of_browser(&headers)
    }

    #[test]
    fn the_browser_gets_the_language_it_likes_best_of_those_there_are() {
        assert_eq!(of("it-IT,it;q=0.9,en;q=0.8"), Some(Language::Italian));
        assert_eq!(of("de, en;q=0.7, it;q=0.3"), Some(Language::English));
        assert_eq!(of("en;q=0.2, it;q=0.3"), Some(Language::Italian));
        assert_eq!(of("fr, it;q=0"), None);
        assert_eq!(of("it;q=x, *"), None);
    }

    #[test]
    fn a_region_does_not_matter() {
        assert_eq!(Language::parse("IT_ch"), Some(Language::Italian));
        assert_eq!(Language::parse("en-GB"), Some(Language::English));
        assert_eq!(Language::parse("ital"), None);
    }
}
