//! Stands where the server was: plays the recorded answers back, one of them corrupted.

use std::cell::{Cell, RefCell};

use conformance_tests::suite::{Answer, Carried, Record, Request, World};

use crate::corrupt::Corruption;

/// The answers of a record, in their order.
pub(crate) struct Proxy {
    answers: RefCell<std::vec::IntoIter<Answer>>,
    codes: RefCell<std::vec::IntoIter<String>>,
    asked: Cell<usize>,
}

impl Proxy {
    /// Plays a record back, as it was or corrupted.
    pub(crate) fn new(record: &Record, corruption: Option<&Corruption>) -> Self {
        let own = record.exchanges.iter().filter(|exchange| !exchange.shared);
        let mut answers: Vec<_> = own.map(|exchange| exchange.answer.clone()).collect();
        if let Some(corruption) = corruption {
            corruption.apply(&mut answers);
        }
        Self {
            answers: RefCell::new(answers.into_iter()),
            codes: RefCell::new(record.codes.clone().into_iter()),
            asked: Cell::new(0),
        }
    }
}

impl World for Proxy {
    fn send<'w>(&'w self, _: &'w Request) -> Carried<'w, Answer> {
        self.asked.set(self.asked.get() + 1);
        let next = self.answers.borrow_mut().next();
        let next = next.ok_or_else(|| format!("request {} was not recorded", self.asked.get()));
        Box::pin(std::future::ready(next))
    }

    fn expect_code(&self) {}

    fn code(&self) -> Carried<'_, String> {
        let next = self.codes.borrow_mut().next();
        Box::pin(std::future::ready(
            next.ok_or("no code was recorded".to_owned()),
        ))
    }

    fn wait(&self, _: u64) -> Carried<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
