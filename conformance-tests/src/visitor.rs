//! Pages without a browser: cookies and tokens as one keeps them, and what none of ours would send.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};

use crate::{
    bed::TestBed,
    enrol::Holder,
    wire::{Answer, Api},
};

/// Somebody who visits pages.
pub struct Visitor {
    api: Api,
    cookies: BTreeMap<String, String>,
    /// The token of the page that was shown last.
    pub token: String,
}

impl Visitor {
    /// Nobody yet.
    pub fn new(bed: &TestBed) -> Self {
        Self {
            api: bed.api(),
            cookies: BTreeMap::new(),
            token: String::new(),
        }
    }

    /// Goes to a page; follows no redirect.
    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// Posts what a form of the page shown last would.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token.clone();
        let fields = [fields, &[("token", &token)]].concat();
        let request = self.request(Method::POST, path).form(&fields);
        self.send(request).await
    }

    /// Logs in.
    pub async fn log_in(&mut self, holder: &Holder) {
        self.get("/portal/login").await;
        let fields = [
            ("user", holder.name.as_str()),
            ("password", &holder.password),
        ];
        let answer = self.post("/portal/login", &fields).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert_eq!(self.get("/portal").await.status, 200);
    }

    /// A request with the cookies, to be filled in by hand.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self.api.request(method, path);
        match cookies.is_empty() {
            true => request,
            false => request.header("Cookie", cookies.join("; ")),
        }
    }

    /// Sends it, and keeps the cookies and the token that come back.
    pub async fn send(&mut self, request: RequestBuilder) -> Answer {
        let answer = self.api.send(request).await;
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().expect("a cookie");
            let (cookie, rules) = set.split_once(';').unwrap_or((set, ""));
            let (name, value) = cookie.split_once('=').expect("a cookie has a value");
            if rules.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(token) = hidden(&answer, "token") {
            self.token = token;
        }
        answer
    }
}

/// The value of a hidden field of a page.
pub fn hidden(answer: &Answer, name: &str) -> Option<String> {
    let start = format!("name=\"{name}\" value=\"");
    let (_, rest) = answer.text.split_once(&start)?;
    rest.split('"').next().map(str::to_owned)
}
