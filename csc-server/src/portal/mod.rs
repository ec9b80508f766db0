//! What people see in a browser: log-in, home page, and the pages on which they approve. Server-rendered, without script: what is not
//! there cannot be injected, and every page works everywhere.
//!
//! | file | holds |
//! | --- | --- |
//! | `routes` | every URL |
//! | `visitor` | whose browser it is: cookie, session, language |
//! | `form` | what a page posts, believed only when it comes from a page of ours |
//! | `page` | what all pages have in common; how one is answered |
//! | `texts` | what they say, in Italian and English |
//! | `problem` | what is said instead of a page |
//! | `login`, `home`, `mandates` | a file a flow |
//! | `authorize`, `consent`, `signing`, `life` | the answer to an application: what it may do, what is signed, or which certificate is made or ends |
//! | `question` | the answer to a mail |
//! | `documents`, `proof` | what both show: the documents; PIN, code and what became of them |
//!
//! A page is a template in `templates/` that extends `layout.html`, a struct with a `page::Page` in it, and a handler that takes a
//! `visitor::Visitor` (and a `form::Posted` where it decides something) and gives `Result<Response, Problem>`.

mod assets;
pub(crate) mod authorize;
mod consent;
mod documents;
mod form;
mod home;
mod language;
mod life;
mod login;
mod mandates;
mod page;
mod problem;
mod proof;
mod question;
mod routes;
mod signing;
mod texts;
mod visitor;

pub use page::{respond, respond_leading_to};
pub use problem::Problem;
pub use routes::{routes, under_one_roof};
pub use visitor::Visitor;
pub(crate) use visitor::{kept, with_cookie};
