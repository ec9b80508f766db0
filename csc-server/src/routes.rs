//! A router that remembers what was put into it: the list of URLs is the router's own and cannot drift from it.

use axum::{
    Router,
    handler::Handler,
    routing::{MethodRouter, any, get, post},
};

/// A URL that is answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The path, with `{names}` for what varies.
    pub path: String,
    /// The HTTP method, or `ANY`.
    pub method: &'static str,
}

/// A router with its list.
pub struct Routes<S> {
    router: Router<S>,
    listed: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Without any URL.
    pub fn new() -> Self {
        Self {
            router: Router::new(),
            listed: Vec::new(),
        }
    }

    /// Answers GET (and HEAD).
    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.put("GET", path, get(handler))
    }

    /// Answers POST.
    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.put("POST", path, post(handler))
    }

    /// Answers every method.
    pub fn any<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.put("ANY", path, any(handler))
    }

    /// Answers this method with a handler that has layers of its own.
    pub fn put(mut self, method: &'static str, path: &str, handler: MethodRouter<S>) -> Self {
        self.listed.push(Route {
            path: path.to_owned(),
            method,
        });
        self.router = self.router.route(path, handler);
        self
    }

    /// Takes the URLs of another one, below this path.
    pub fn nest(mut self, path: &str, inner: Self) -> Self {
        let below = inner.listed.into_iter().map(|route| Route {
            path: format!("{path}{}", route.path),
            ..route
        });
        self.listed.extend(below);
        self.router = self.router.nest(path, inner.router);
        self
    }

    /// Takes the URLs of another one as they are.
    pub fn merge(mut self, other: Self) -> Self {
        self.listed.extend(other.listed);
        self.router = self.router.merge(other.router);
        self
    }

    /// Every URL, in order.
    pub fn listed(&self) -> Vec<Route> {
        let mut listed = self.listed.clone();
        listed.sort();
        listed
    }

    /// What answers.
    pub fn into_router(self) -> Router<S> {
        self.router
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}
