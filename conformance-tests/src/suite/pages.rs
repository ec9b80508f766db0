//! A person's browser at the authorization server: it follows redirects, keeps cookies, and fills in the forms that the settings describe.

use std::collections::BTreeMap;

use html5gum::{StartTag, Token, Tokenizer};
use url::Url;

use super::{
    application::Asking,
    check::{Stop, broken, must},
    context::{Context, said},
    settings::Step,
    wire::{Answer, Request},
};

/// Parameters of the address that the browser was sent back to.
pub(super) type Back = BTreeMap<String, Vec<String>>;

/// A form of a page.
#[derive(Debug, Default)]
struct Form {
    action: String,
    /// What is sent whatever is pressed: name and value.
    fields: Vec<(String, String)>,
    buttons: Vec<(String, String)>,
}

impl Form {
    /// Whether it has a field `name`, or a button or field `name=value`.
    fn has(&self, wanted: &str) -> bool {
        let mut all = self.fields.iter().chain(&self.buttons);
        match wanted.split_once('=') {
            Some(pair) => all.any(|(name, value)| (name.as_str(), value.as_str()) == pair),
            None => all.any(|(name, _)| name == wanted),
        }
    }
}

/// The forms of a page, in their order.
fn forms(page: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let mut open: Option<Form> = None;
    let tokens = Tokenizer::new(page);
    for token in tokens.map_while(Result::ok) {
        match token {
            Token::StartTag(tag) if named(&tag.name) == "form" => {
                forms.extend(open.replace(Form {
                    action: attribute(&tag, "action").unwrap_or_default(),
                    ..Form::default()
                }));
            }
            Token::StartTag(tag) => {
                if let Some(form) = &mut open {
                    control(form, &tag);
                }
            }
            Token::EndTag(tag) if named(&tag.name) == "form" => forms.extend(open.take()),
            _ => {}
        }
    }
    forms.extend(open);
    forms
}

/// A control of a form (HTML 4.10.22.4): what a browser would send of it.
fn control(form: &mut Form, tag: &StartTag<()>) {
    let kind = attribute(tag, "type").unwrap_or_default();
    let Some(name) = attribute(tag, "name") else {
        return;
    };
    let value = attribute(tag, "value").unwrap_or_default();
    match (named(&tag.name).as_str(), kind.as_str()) {
        ("button", "" | "submit") | ("input", "submit") => form.buttons.push((name, value)),
        ("input", "radio" | "checkbox") if attribute(tag, "checked").is_none() => {}
        ("input", "button" | "reset" | "image" | "file") => {}
        ("input" | "textarea", _) => form.fields.push((name, value)),
        _ => {}
    }
}

fn named(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(named(&value.value))
}

impl Context<'_> {
    /// Has the person answer a request: yes.
    pub(super) async fn allowed(&self, asking: &Asking) -> Result<Back, Stop> {
        self.person().await?;
        self.answered(asking, None).await
    }

    /// Has the person answer a request: no.
    pub(super) async fn denied(&self, asking: &Asking) -> Result<Back, Stop> {
        self.person().await?;
        let refuse = self.session.settings.pages.as_ref();
        let refuse = refuse.and_then(|pages| pages.refuse.clone());
        let refuse = refuse.ok_or_else(|| Stop::Skip("pages.refuse is not set".to_owned()))?;
        self.answered(asking, Some(&refuse)).await
    }

    /// The person is logged in: the first request that is answered does it, and the browser stays logged in for the others.
    async fn person(&self) -> Result<(), Stop> {
        if self.session.cookies.borrow().is_empty() {
            let asking = self.asking()?;
            self.aside(self.answered(&asking, None)).await?;
        }
        Ok(())
    }

    /// Follows the browser from oauth2/authorize until it is sent back to the application.
    async fn answered(&self, asking: &Asking, refuse: Option<&str>) -> Result<Back, Stop> {
        const MOST: usize = 20;
        let start = self.address(asking)?;
        let mut at = Url::parse(&start).map_err(|error| broken(error.to_string()))?;
        let mut request = Request::get(start);
        let mut taken = Vec::new();
        for _ in 0..MOST {
            let answer = self.browse(request).await?;
            if let Some(back) = self.back(&answer)? {
                return Ok(back);
            }
            request = match answer.header("location") {
                Some(location) if (300..400).contains(&answer.status) => {
                    let origin = at.origin();
                    at = at
                        .join(location)
                        .map_err(|error| broken(error.to_string()))?;
                    must!(at.origin() == origin, "the browser is sent to {location}");
                    Request::get(at.to_string())
                }
                _ => self.fill_in(&answer, &mut at, refuse, &mut taken).await?,
            };
        }
        Err(broken("the pages go round in circles"))
    }

    /// The person's answer to a page: the first step of the settings for which the page has a form. Each is taken once.
    async fn fill_in(
        &self,
        answer: &Answer,
        at: &mut Url,
        refuse: Option<&str>,
        taken: &mut Vec<usize>,
    ) -> Result<Request, Stop> {
        let pages = self.session.settings.pages.as_ref();
        let pages = pages.ok_or_else(|| Stop::Skip("the settings have no [pages]".to_owned()))?;
        let forms = forms(&answer.body);
        let refusing = refuse.and_then(|press| {
            let form = forms.iter().find(|form| form.has(press))?;
            Some((form, Step::pressing(press)))
        });
        let found = pages.steps.iter().enumerate().find_map(|(index, step)| {
            let fits = |form: &&Form| step.has.iter().all(|wanted| form.has(wanted));
            Some((index, forms.iter().find(fits)?, step.clone()))
        });
        let (form, step) = match (refusing, found) {
            (Some(refusing), _) => refusing,
            (None, Some((index, form, step))) => {
                must!(
                    !taken.contains(&index),
                    "the page came again after it was answered: {}",
                    said(answer)
                );
                taken.push(index);
                (form, step)
            }
            (None, None) => {
                return Err(broken(format!(
                    "no step of [pages] has a form on this page: {}",
                    said(answer)
                )));
            }
        };
        let mut fields = form.fields.clone();
        if !step.fill.values().any(|value| value == "{code}") {
            self.expect_code();
        }
        for (name, value) in &step.fill {
            let value = match value.as_str() {
                "{user}" => pages.user.clone(),
                "{password}" => pages.password.value().to_owned(),
                "{pin}" => self.pin(),
                "{code}" => self.take_code().await?,
                other => other.to_owned(),
            };
            fields.retain(|(known, _)| known != name);
            fields.push((name.clone(), value));
        }
        if let Some(press) = &step.press {
            let (name, value) = press.split_once('=').unwrap_or((press, ""));
            fields.push((name.to_owned(), value.to_owned()));
        }
        *at = at
            .join(&form.action)
            .map_err(|error| broken(error.to_string()))?;
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let origin = at.origin().ascii_serialization();
        Ok(Request::post(at.to_string())
            .header("Origin", origin)
            .form(&fields))
    }

    /// Sends a request with the browser's cookies and keeps those that come.
    async fn browse(&self, request: Request) -> Result<Answer, Stop> {
        let cookies = self.session.cookies.borrow().clone();
        let cookies = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<_> = cookies.collect();
        let request = match cookies.is_empty() {
            true => request,
            false => request.header("Cookie", cookies.join("; ")),
        };
        let answer = self.send(request).await?;
        let set = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        for (_, cookie) in set {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let mut kept = self.session.cookies.borrow_mut();
            match value.is_empty() {
                true => kept.remove(name),
                false => kept.insert(name.to_owned(), value.to_owned()),
            };
            self.session.secrets.borrow_mut().push(value.to_owned());
        }
        Ok(answer)
    }

    fn pin(&self) -> String {
        let pin = self.session.settings.credential.pin.as_ref();
        pin.map(|pin| pin.value().to_owned()).unwrap_or_default()
    }
}
