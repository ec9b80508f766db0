//! Everything that can be done to the tables by who has the database and no HSM: each is found, and the first bad row named,
//! but for one thing: rows that no checkpoint covers may be cut off, or added, at the end.

use csc_server::audit::{
    Checkpoint,
    export::{self, Line, Shown},
    verify::{Anchor, Finding, Kind, Where},
};
use proptest::prelude::*;

use crate::{
    book::{Book, Place, Tables},
    support::Database,
};

/// A piece of the life of a log: rows of one chain, and whether a checkpoint follows.
type Piece = (usize, usize, bool);

fn life() -> impl Strategy<Value = Vec<Piece>> {
    let piece = (0..3_usize, 1..4_usize, prop::bool::weighted(0.4));
    prop::collection::vec(piece, 2..7)
}

/// What verification must say.
#[derive(Clone, Debug)]
enum Expected {
    /// One of these places, and one of these kinds.
    Found(Vec<Where>, Vec<Kind>),
    /// It is intact: nobody can see this.
    Unseen,
}
use Expected::{Found, Unseen};

fn row(place: &Place) -> Where {
    Where::Row {
        chain: place.0.clone(),
        sequence: place.1,
    }
}

fn at(place: &Place, kind: Kind) -> Expected {
    Found(vec![row(place)], vec![kind])
}

fn checkpoint(number: i64) -> Expected {
    Found(vec![Where::Checkpoint(number)], vec![Kind::BadCheckpoint])
}

struct Deed {
    name: String,
    after: Tables,
    expected: Expected,
}

/// A chain after all others.
const STRANGE: &str = "zz";

fn deeds(before: &Tables) -> Vec<Deed> {
    let mut deeds = Vec::new();
    let mut deed = |name: String, expected: Expected, act: &dyn Fn(&mut Tables)| {
        let mut after = before.clone();
        act(&mut after);
        assert_ne!(after, *before, "{name} does nothing");
        deeds.push(Deed {
            name,
            after,
            expected,
        });
    };
    let last = before.last();
    for place in before.rows.keys() {
        let (chain, sequence) = place;
        let is_last = last[chain] == *sequence;
        let segment = before.segment(place);
        let gone = match (is_last, segment) {
            (false, _) => at(place, Kind::Missing),
            (true, Some(_)) => at(place, Kind::CutTail),
            (true, None) => Unseen,
        };

        // Each column.
        let changed = || at(place, Kind::Changed);
        deed(format!("version of {place:?}"), changed(), &|to| {
            to.rows.get_mut(place).unwrap().version = 2
        });
        deed(format!("time of {place:?}"), changed(), &|to| {
            to.rows.get_mut(place).unwrap().time += 1
        });
        deed(format!("event of {place:?}"), changed(), &|to| {
            to.rows.get_mut(place).unwrap().event.push(' ')
        });
        deed(format!("person of {place:?}"), changed(), &|to| {
            to.rows.get_mut(place).unwrap().person.clear()
        });
        deed(format!("hash of {place:?}"), changed(), &|to| {
            to.rows.get_mut(place).unwrap().hash[31] ^= 1
        });
        let moved = |to: &mut Tables, place: &Place, other: Place| {
            let content = to.rows.remove(place).unwrap();
            to.rows.insert(other, content);
        };
        deed(
            format!("{place:?} far on"),
            at(place, Kind::Missing),
            &|to| {
                moved(to, place, (chain.clone(), sequence + 1000));
            },
        );
        let before_all = (chain.clone(), -sequence);
        let expected = match &gone {
            Unseen => at(&before_all, Kind::Inserted),
            _ => Found(vec![row(place)], vec![Kind::Missing]),
        };
        deed(format!("{place:?} before the first"), expected, &|to| {
            moved(to, place, before_all.clone())
        });
        let elsewhere = (STRANGE.to_owned(), *sequence);
        let expected = match &gone {
            Unseen if *sequence == 1 => at(&elsewhere, Kind::Changed),
            Unseen => at(&(STRANGE.to_owned(), 1), Kind::Missing),
            gone => gone.clone(),
        };
        deed(format!("{place:?} in another chain"), expected, &|to| {
            moved(to, place, elsewhere.clone())
        });

        // Taken out, alone and with all that follows.
        deed(format!("{place:?} deleted"), gone, &|to| {
            drop(to.rows.remove(place))
        });
        let cut = segment.map_or(Unseen, |_| at(place, Kind::CutTail));
        deed(format!("{place:?} and what follows deleted"), cut, &|to| {
            to.rows
                .retain(|(other, at), _| other != chain || at < sequence);
        });

        // Put in: rubbish, and rows as well made as one can without the HSM.
        deed(format!("rubbish before {place:?}"), changed(), &|to| {
            to.make_room(place);
            to.forge(place, "{}");
            to.rows.get_mut(place).unwrap().hash = [7; 32];
        });
        let end = segment.map(|(_, last)| last);
        let forged = match segment {
            Some((first, last)) if *sequence == last => at(&(chain.clone(), first), Kind::Changed),
            _ => at(&(chain.clone(), sequence + 1), Kind::Changed),
        };
        deed(format!("a good row before {place:?}"), forged, &|to| {
            to.make_room(place);
            to.forge(place, "{}");
        });
        // Rewritten, with everything that follows hashed anew.
        let rewritten = segment.map_or(Unseen, |(first, _)| {
            at(&(chain.clone(), first), Kind::Changed)
        });
        deed(format!("{place:?} rewritten"), rewritten, &|to| {
            to.forge(place, "{}");
            for later in sequence + 1..=last[chain] {
                let place = (chain.clone(), later);
                let event = to.rows[&place].event.clone();
                to.forge(&place, &event);
            }
        });
        // Rewritten, and only itself hashed anew: the next row tells, or the checkpoint.
        let next = match (end, is_last) {
            (Some(end), _) if end == *sequence => {
                segment.map(|(first, _)| at(&(chain.clone(), first), Kind::Changed))
            }
            (_, false) => Some(at(&(chain.clone(), sequence + 1), Kind::Changed)),
            (_, true) => None,
        };
        deed(
            format!("{place:?} rewritten alone"),
            next.unwrap_or(Unseen),
            &|to| to.forge(place, "{}"),
        );

        // Swapped with each other row.
        for other in before.rows.keys().filter(|other| *other > place) {
            let first = if other.0 == *chain {
                vec![row(place)]
            } else {
                vec![row(place), row(other)]
            };
            deed(
                format!("{place:?} and {other:?} swapped"),
                Found(first, vec![Kind::Changed]),
                &|to| {
                    let one = to.rows[place].clone();
                    let two = to.rows.insert(other.clone(), one).unwrap();
                    to.rows.insert(place.clone(), two);
                },
            );
        }
    }
    for (chain, last) in &last {
        let next = (chain.clone(), last + 1);
        deed(
            format!("rubbish at {next:?}"),
            at(&next, Kind::Changed),
            &|to| {
                to.forge(&next, "{}");
                to.rows.get_mut(&next).unwrap().hash = [7; 32];
            },
        );
        deed(format!("a good row at {next:?}"), Unseen, &|to| {
            to.forge(&next, "{}")
        });
        let zero = (chain.clone(), 0);
        deed(
            format!("a row at {zero:?}"),
            at(&zero, Kind::Inserted),
            &|to| to.forge(&zero, "{}"),
        );
    }
    let newest = before.checkpoints.len() as i64;
    for (number, signed) in &before.checkpoints {
        let bad = || checkpoint(*number);
        deed(format!("signature {number}"), bad(), &|to| {
            to.checkpoints.get_mut(number).unwrap().signature[20] ^= 1
        });
        deed(format!("no signature {number}"), bad(), &|to| {
            to.checkpoints.get_mut(number).unwrap().signature.clear()
        });
        deed(format!("no body {number}"), bad(), &|to| {
            to.checkpoints.get_mut(number).unwrap().body.clear()
        });
        // Characters all over it: all of them takes long.
        for position in (0..signed.body.len()).step_by(17) {
            deed(format!("body {number} at {position}"), bad(), &|to| {
                let body = &mut to.checkpoints.get_mut(number).unwrap().body;
                let other = if &body[position..=position] == "1" {
                    "2"
                } else {
                    "1"
                };
                body.replace_range(position..=position, other);
            });
        }
        deed(format!("number {number}"), bad(), &|to| {
            let checkpoint = to.checkpoints.remove(number).unwrap();
            to.checkpoints.insert(number + 1000, checkpoint);
        });
        let gone = if *number == newest { Unseen } else { bad() };
        deed(format!("checkpoint {number} deleted"), gone, &|to| {
            drop(to.checkpoints.remove(number))
        });
        for other in number + 1..=newest {
            deed(
                format!("checkpoints {number} and {other} swapped"),
                bad(),
                &|to| {
                    let two = to.checkpoints.insert(other, signed.clone()).unwrap();
                    to.checkpoints.insert(*number, two);
                },
            );
        }
    }
    deeds
}

fn agrees(found: &Result<impl std::fmt::Debug, Finding>, expected: &Expected) -> bool {
    match (found, expected) {
        (Ok(_), Unseen) => true,
        (Err(finding), Found(places, kinds)) => {
            places.contains(&finding.place) && kinds.contains(&finding.kind)
        }
        _ => false,
    }
}

async fn live(book: &Book, life: &[Piece]) {
    for (node, rows, sealed) in life {
        book.record(*node, *rows).await;
        if *sealed {
            book.seal().await;
        }
    }
}

async fn every_deed_is_found(database: Database, life: &[Piece]) {
    let book = Book::open(&database, 3).await;
    live(&book, life).await;
    let before = book.tables().await;
    let verdict = book.verify(None).await.expect("nothing was done to it yet");
    assert_eq!(verdict.rows, before.rows.len() as u64);
    let checkpoints = verdict.proven.map_or(0, |(last, _)| last.number);
    assert_eq!(checkpoints, before.checkpoints.len() as i64);
    for Deed {
        name,
        after,
        expected,
    } in deeds(&before)
    {
        book.put(&after).await;
        let found = book.verify(None).await;
        assert!(
            agrees(&found, &expected),
            "{name}: {found:?}, not {expected:?}"
        );
        // Who has the last checkpoint from elsewhere sees the tail cut off too.
        if let Some((last, _)) = verdict
            .proven
            .filter(|_| after.checkpoints.len() < before.checkpoints.len())
        {
            assert!(book.verify(Some(last)).await.is_err(), "{name}");
        }
    }
    book.put(&before).await;
    assert_eq!(book.verify(None).await, Ok(verdict));
}

fn on<F: Future<Output = ()>>(future: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_the_tables_is_found_and_the_first_bad_row_named(life in life()) {
        on(every_deed_is_found(Database::sqlite(), &life));
    }

    #[test]
    fn whatever_is_done_to_an_export_is_found(life in life()) {
        on(every_line_counts(Database::sqlite(), &life));
    }
}

#[test]
fn whatever_is_done_to_the_tables_is_found_on_postgres() {
    let life = [
        (0, 2, true),
        (1, 2, false),
        (0, 2, true),
        (2, 1, true),
        (0, 2, false),
    ];
    on(async { every_deed_is_found(Database::postgres().await, &life).await });
}

/// Every line taken out, doubled, exchanged with the next, or changed in any character.
async fn every_line_counts(database: Database, life: &[Piece]) {
    let book = Book::open(&database, 3).await;
    live(&book, life).await;
    let export = book.export().await;
    let lines: Vec<_> = export.lines().collect();
    let verify = |lines: &[&str]| {
        let text = lines.join("\n");
        export::verify(text.as_bytes(), book.keys.clone(), None, |_| {}).unwrap()
    };
    let intact = verify(&lines).expect("nothing was done to it yet");
    assert_eq!(intact, Shown::Whole(book.verify(None).await.unwrap()));
    // Lines that are proven: all up to the last checkpoint.
    let proven = lines
        .iter()
        .rposition(|line| line.starts_with(r#"{"checkpoint""#));
    let proven = proven.map_or(0, |last| last + 1);
    for (index, line) in lines.iter().enumerate() {
        let mut doubled = lines.clone();
        doubled.insert(index, line);
        assert!(verify(&doubled).is_err(), "line {index} doubled");
        for position in 0..line.len() {
            let mut changed = (*line).to_owned();
            let other = if &line[position..=position] == "1" {
                "2"
            } else {
                "1"
            };
            changed.replace_range(position..=position, other);
            let mut all = lines.clone();
            all[index] = &changed;
            assert!(verify(&all).is_err(), "line {index} at {position}: {line}");
        }
        if index < proven {
            let mut without = lines.clone();
            without.remove(index);
            let found = verify(&without);
            // Without the last checkpoint the rows before it are merely not proven any more.
            assert!(
                found.is_err() || (index + 1 == proven && found != Ok(intact.clone())),
                "line {index} taken out"
            );
        }
        if index + 1 < proven {
            let mut exchanged = lines.clone();
            exchanged.swap(index, index + 1);
            assert!(
                verify(&exchanged).is_err(),
                "lines {index} and the next exchanged"
            );
        }
        // What is cut off at a line claims less, and says so.
        let cut = verify(&lines[..index]);
        assert!(
            cut.is_err() || cut != Ok(intact.clone()),
            "cut off at line {index}"
        );
    }
}

#[tokio::test]
async fn a_checkpoint_signed_with_another_key_proves_nothing() {
    let database = Database::sqlite();
    let (book, stranger) = (
        Book::open(&database, 1).await,
        Book::open(&database, 1).await,
    );
    book.record(0, 2).await;
    stranger.seal().await;
    let found = book.verify(None).await.unwrap_err();
    assert_eq!(found.place, Where::Checkpoint(1));
    assert_eq!(found.why, "another key signed it");
}

/// Two histories after the same beginning, both signed: pieces of one do not fit into the other.
#[tokio::test]
async fn two_histories_cannot_be_spliced() {
    let book = Book::open(&Database::sqlite(), 3).await;
    live(&book, &[(0, 2, true)]).await;
    let beginning = book.tables().await;
    live(&book, &[(0, 2, true)]).await;
    let one = book.tables().await;
    book.put(&beginning).await;
    let forget = "DELETE FROM checkpoint_head WHERE checkpoint > 1";
    let forgotten = book.nodes[0].write(async |tx| tx.execute(forget, &[]).await);
    forgotten.await.unwrap();
    live(&book, &[(1, 2, true), (2, 2, true)]).await;
    let other = book.tables().await;
    assert!(book.verify(None).await.is_ok());

    // The second checkpoint of one history, and the third of the other, whose chain begins there.
    let mut spliced = one.clone();
    spliced.checkpoints.insert(3, other.checkpoints[&3].clone());
    let third = Tables {
        checkpoints: [(3, other.checkpoints[&3].clone())].into(),
        ..Tables::default()
    };
    let of_third = |place: &Place| third.segment(place).is_some();
    spliced
        .rows
        .extend(other.rows.into_iter().filter(|(place, _)| of_third(place)));
    book.put(&spliced).await;
    let found = book.verify(None).await.unwrap_err();
    assert_eq!(found.place, Where::Checkpoint(3));
    assert_eq!(found.why, "it does not follow the one before");
}

/// The index that the keeper goes by proves nothing: who edits it makes a checkpoint that is found out.
#[tokio::test]
async fn a_checkpoint_that_covers_rows_twice_or_not_at_all_is_bad() {
    for edit in [
        "DELETE FROM checkpoint_head",
        "INSERT INTO checkpoint_head (chain, sequence, checkpoint) SELECT chain, 3, 1 FROM checkpoint_head",
    ] {
        let book = Book::open(&Database::sqlite(), 1).await;
        live(&book, &[(0, 2, true)]).await;
        let edited = book.nodes[0].write(async move |tx| tx.execute(edit, &[]).await);
        assert_eq!(edited.await.unwrap(), 1);
        live(&book, &[(0, 2, true)]).await;
        let found = book.verify(None).await.unwrap_err();
        assert_eq!(found.place, Where::Checkpoint(2), "{edit}");
        assert_eq!(
            found.why,
            "it covers rows that another covers, or leaves some out"
        );
    }
}

#[tokio::test]
async fn a_row_put_into_the_proven_part_of_an_export_is_named() {
    let book = Book::open(&Database::sqlite(), 1).await;
    live(&book, &[(0, 2, true), (0, 2, true)]).await;
    let export = book.export().await;
    let (mut tables, chain) = (
        book.tables().await,
        book.tables().await.last().into_keys().next().unwrap(),
    );
    // A chain of its own, and one row more at the end of what the first checkpoint covers.
    for place in [(STRANGE.to_owned(), 1), (chain, 3)] {
        tables.forge(&place, "{}");
        let forged = Line::Row(tables.row(&place));
        let mut lines: Vec<_> = export.lines().map(str::to_owned).collect();
        lines.insert(2, serde_json::to_string(&forged).unwrap());
        let text = lines.join("\n");
        let found = export::verify(text.as_bytes(), book.keys.clone(), None, |_| {}).unwrap();
        let found = found.unwrap_err();
        assert_eq!((found.place, found.kind), (row(&place), Kind::Inserted));
    }
}

#[tokio::test]
async fn a_remembered_checkpoint_must_be_there_as_it_was() {
    let book = Book::open(&Database::sqlite(), 1).await;
    for _ in 0..2 {
        book.record(0, 1).await;
        book.seal().await;
    }
    let (last, _) = book.verify(None).await.unwrap().proven.unwrap();
    assert!(book.verify(Some(last)).await.is_ok());
    let printed: Anchor = last.to_string().parse().unwrap();
    assert_eq!(printed, last);

    let other = Anchor {
        hash: csc_server::audit::Hash::of(b"another"),
        ..last
    };
    let found = book.verify(Some(other)).await.unwrap_err();
    assert_eq!(
        (found.place, found.kind),
        (Where::Checkpoint(2), Kind::BadCheckpoint)
    );
    let later = Anchor { number: 3, ..last };
    let found = book.verify(Some(later)).await.unwrap_err();
    assert_eq!(
        (found.place, found.kind),
        (Where::Checkpoint(3), Kind::CutTail)
    );
}

#[tokio::test]
async fn a_filtered_export_proves_each_of_its_rows() {
    let book = Book::open(&Database::sqlite(), 3).await;
    live(
        &book,
        &[
            (0, 3, false),
            (1, 2, true),
            (0, 2, false),
            (2, 3, true),
            (1, 1, false),
        ],
    )
    .await;
    let filter = export::Filter {
        person: Some("somebody".into()),
        ..export::Filter::default()
    };
    let mut lines = Vec::new();
    export::write(&book.nodes[0], &filter, &mut lines, || {})
        .await
        .unwrap();
    let text = String::from_utf8(lines).unwrap();
    let verify =
        |text: &str| export::verify(text.as_bytes(), book.keys.clone(), None, |_| {}).unwrap();
    assert_eq!(
        verify(&text),
        Ok(Shown::Rows {
            proven: 10,
            unproven: 1
        })
    );
    let line = text.lines().next().unwrap();
    for position in 0..line.len() {
        let mut changed = line.to_owned();
        let other = if &line[position..=position] == "1" {
            "2"
        } else {
            "1"
        };
        changed.replace_range(position..=position, other);
        assert!(verify(&changed).is_err(), "at {position}: {line}");
    }
    // Rows without proof do not slip in among those with one.
    let whole = book.export().await;
    let mixed = format!("{line}\n{}", whole.lines().next().unwrap());
    let found = verify(&mixed).unwrap_err();
    assert_eq!(
        (found.place, found.kind),
        (Where::Line(2), Kind::Unreadable)
    );
    // Another checkpoint does not prove it, however well it is signed.
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut borrowed = lines[0].clone();
    borrowed["proof"]["checkpoint"] = lines[9]["proof"]["checkpoint"].clone();
    assert!(verify(&borrowed.to_string()).is_err());
    let _: Checkpoint = serde_json::from_value(lines[9]["proof"]["checkpoint"].clone()).unwrap();
}
