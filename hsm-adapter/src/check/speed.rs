//! How fast a token signs, and what more sessions give.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::{Curve, Finding, Point};
use crate::{Digest, Hsm, HsmError, Key, KeyAlgorithm, Token, vault::scratch::Scratch};

const CHECK: &str = "speed";
/// The most sessions that are measured with, unless the configuration has more.
const MOST: usize = 16;

/// A curve up to what the configuration has twice, or what the token allows.
pub(super) fn curve(
    token: &dyn Token,
    hsm: &mut dyn Hsm,
    algorithm: KeyAlgorithm,
    configured: usize,
    allowed: usize,
    measure: Duration,
) -> Result<Curve, HsmError> {
    let mut scratch = Scratch::new(hsm);
    let key = scratch.key(|hsm| Ok(hsm.generate_pair(algorithm)?.0))?;
    let most = MOST.max(configured.saturating_mul(2)).min(allowed).max(1);
    let mut counts: Vec<usize> = std::iter::successors(Some(1), |count| Some(count * 2))
        .take_while(|count| *count < most)
        .chain([most])
        .collect();
    if configured < most && !counts.contains(&configured) {
        counts.push(configured);
        counts.sort_unstable();
    }
    let mut sessions = Vec::new();
    let mut points = Vec::new();
    for count in counts {
        while sessions.len() < count {
            sessions.push(token.open()?);
        }
        points.push(point(&mut sessions, key, algorithm, measure)?);
    }
    Ok(Curve { algorithm, points })
}

/// All these sessions at once.
fn point(
    sessions: &mut [Box<dyn Hsm>],
    key: Key,
    algorithm: KeyAlgorithm,
    measure: Duration,
) -> Result<Point, HsmError> {
    let count = sessions.len();
    let together = Barrier::new(count);
    let (scheme, _) = algorithm.x509();
    let digest = Digest::zero(scheme.digest());
    let signing = |hsm: &mut Box<dyn Hsm>| {
        let mut took = Vec::new();
        together.wait();
        let began = Instant::now();
        while began.elapsed() < measure {
            let start = Instant::now();
            hsm.sign(key, algorithm, scheme, &digest)?;
            took.push(start.elapsed());
        }
        Ok::<_, HsmError>((took, began.elapsed()))
    };
    let signed: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .iter_mut()
            .map(|hsm| scope.spawn(|| signing(hsm)))
            .collect();
        let joined = threads.into_iter().map(|thread| {
            let panicked = |_| Err(HsmError::Unavailable("a thread ended".to_owned()));
            thread.join().unwrap_or_else(panicked)
        });
        joined.collect::<Result<_, _>>()
    })?;
    let longest = signed.iter().map(|(_, lasted)| *lasted).max();
    let mut took: Vec<_> = signed.into_iter().flat_map(|(took, _)| took).collect();
    took.sort_unstable();
    let at = |hundredth: usize| {
        let index = took.len() * hundredth / 100;
        let of = took.get(index.min(took.len().saturating_sub(1)));
        of.map_or(0, |took| took.as_micros() as u64)
    };
    Ok(Point {
        sessions: count,
        per_second: took.len() as f64 / longest.unwrap_or(measure).as_secs_f64(),
        median_us: at(50),
        p99_us: at(99),
    })
}

/// Whether the configuration has as many sessions as the token is good for.
pub(super) fn judged(curve: &Curve, configured: usize) -> Finding {
    let check = format!("{CHECK} {}", curve.algorithm.name());
    let best = curve
        .points
        .iter()
        .map(|point| point.per_second)
        .fold(0.0, f64::max);
    // More sessions than these give nothing that is not noise.
    let enough = curve
        .points
        .iter()
        .find(|point| point.per_second >= 0.9 * best);
    let Some(enough) = enough else {
        return Finding::wrong(&check, "nothing was measured", "check again");
    };
    let found = format!(
        "{:.0} signatures a second with {} sessions, one takes {:.1} ms; the configuration has {configured}",
        enough.per_second,
        enough.sessions,
        enough.median_us as f64 / 1000.0
    );
    let as_configured = curve
        .points
        .iter()
        .rfind(|point| point.sessions <= configured);
    // Less than this is not the noise of a machine that has other work.
    let slow = as_configured.is_some_and(|point| point.per_second < 0.6 * best);
    if slow && configured < enough.sessions {
        let remedy = format!("set sessions = {} in this [[slot]]", enough.sessions);
        return Finding::warn(&check, found, remedy);
    }
    Finding::ok(&check, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    fn curve(rates: &[(usize, f64)]) -> Curve {
        let points = rates.iter().map(|(sessions, per_second)| Point {
            sessions: *sessions,
            per_second: *per_second,
            median_us: 2000,
            p99_us: 3000,
        });
        Curve {
            algorithm: KeyAlgorithm::P256,
            points: points.collect(),
        }
    }

    #[test]
    fn a_device_that_is_good_for_more_sessions_gets_them() {
        let curve = curve(&[
            (1, 500.0),
            (2, 1000.0),
            (4, 2000.0),
            (8, 4000.0),
            (16, 4100.0),
        ]);

        let finding = judged(&curve, 4);

        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(finding.remedy.unwrap().contains("sessions = 8"));
        assert_eq!(judged(&curve, 8).verdict, Verdict::Ok);
    }

    #[test]
    fn what_may_be_noise_is_no_reason_for_more_sessions() {
        let curve = curve(&[(1, 900.0), (2, 1000.0), (4, 1100.0), (8, 1300.0)]);

        assert_eq!(judged(&curve, 2).verdict, Verdict::Ok);
    }
}
