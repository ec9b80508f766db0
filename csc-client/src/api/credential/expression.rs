//! `auth/expression` (CSC API v2, 11.5): which authentication objects are needed together.

use anyhow::{Context as _, bail, ensure};

/// Bounds on what a service can make us work through.
const DEEPEST: usize = 16;
const MOST_ALTERNATIVES: usize = 64;

/// The sets of objects of which any one suffices; all objects where the expression is empty.
///
/// The standard gives no precedence: AND binds closer than OR and XOR here. As only one alternative is ever given, OR
/// and XOR are the same.
pub(super) fn alternatives<'a>(
    expression: &str,
    ids: &[&'a str],
) -> anyhow::Result<Vec<Vec<&'a str>>> {
    if expression.trim().is_empty() {
        return Ok(vec![ids.to_vec()]);
    }
    let mut longest_first = ids.to_vec();
    longest_first.sort_by_key(|id| std::cmp::Reverse(id.len()));
    let mut reader = Reader {
        rest: expression,
        ids: longest_first,
    };
    let parsed = reader.any(0).and_then(|alternatives| {
        ensure!(
            reader.rest.trim().is_empty(),
            "it goes on with {:?}",
            reader.rest
        );
        Ok(alternatives)
    });
    parsed.with_context(|| format!("the service's expression {expression:?} is not understood"))
}

struct Reader<'e, 'a> {
    rest: &'e str,
    /// The longest first: an identifier may contain spaces, and be the beginning of another.
    ids: Vec<&'a str>,
}

impl<'a> Reader<'_, 'a> {
    fn any(&mut self, depth: usize) -> anyhow::Result<Vec<Vec<&'a str>>> {
        let mut alternatives = self.all(depth)?;
        while self.takes("OR") || self.takes("XOR") {
            alternatives.extend(self.all(depth)?);
            ensure!(
                alternatives.len() <= MOST_ALTERNATIVES,
                "it has too many alternatives"
            );
        }
        Ok(alternatives)
    }

    fn all(&mut self, depth: usize) -> anyhow::Result<Vec<Vec<&'a str>>> {
        let mut alternatives = self.one(depth)?;
        while self.takes("AND") {
            let more = self.one(depth)?;
            ensure!(
                alternatives.len() * more.len() <= MOST_ALTERNATIVES,
                "it has too many alternatives"
            );
            let pairs = alternatives
                .iter()
                .flat_map(|left| more.iter().map(move |right| (left, right)));
            alternatives = pairs
                .map(|(left, right)| left.iter().chain(right).copied().collect())
                .collect();
        }
        Ok(alternatives)
    }

    fn one(&mut self, depth: usize) -> anyhow::Result<Vec<Vec<&'a str>>> {
        ensure!(depth < DEEPEST, "it is nested too deeply");
        if self.takes("(") {
            let inner = self.any(depth + 1)?;
            ensure!(self.takes(")"), "a parenthesis is not closed");
            return Ok(inner);
        }
        let ids = self.ids.clone();
        match ids.into_iter().find(|id| self.takes(id)) {
            Some(id) => Ok(vec![vec![id]]),
            None => bail!("no authentication object is named at {:?}", self.rest),
        }
    }

    /// Takes a token, if it comes next; a word ends where another would begin.
    fn takes(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(token) else {
            return false;
        };
        let word = token.ends_with(char::is_alphanumeric);
        let taken = !(word
            && rest.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '-'));
        if taken {
            self.rest = rest;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str) -> Vec<Vec<&'static str>> {
        alternatives(expression, &["PIN", "OTP", "OTP2", "fallback question"]).unwrap()
    }

    #[test]
    fn every_object_is_needed_unless_the_expression_says_otherwise() {
        assert_eq!(of(""), [["PIN", "OTP", "OTP2", "fallback question"]]);
        assert_eq!(of("PIN AND OTP"), [["PIN", "OTP"]]);
    }

    #[test]
    fn alternatives_are_listed_in_their_order() {
        assert_eq!(
            of("PIN AND (OTP OR OTP2)"),
            [["PIN", "OTP"], ["PIN", "OTP2"]]
        );
        assert_eq!(
            of("PIN AND OTP XOR fallback question"),
            [vec!["PIN", "OTP"], vec!["fallback question"]]
        );
        assert_eq!(of("((PIN))"), [["PIN"]]);
    }

    #[test]
    fn what_is_not_an_expression_is_refused() {
        let deep = "(".repeat(100_000);
        let wide = ["(PIN OR OTP)"; 20].join(" AND ");
        for wrong in [
            "PIN AND", "PIN OTP", "(PIN", "PIN)", "SMS", "AND", &deep, &wide,
        ] {
            assert!(alternatives(wrong, &["PIN", "OTP"]).is_err());
        }
    }
}
