//! A real browser without a screen: Chromium, driven through WebDriver, with its own profile. It goes with the value, or with the test process.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use thirtyfour::{
    By, CapabilitiesHelper, ChromiumLikeCapabilities, DesiredCapabilities, Key, WebDriver,
    WebElement, common::log::LoggingPrefsLogLevel,
};

use crate::wait;

/// A screen and its user.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// 390 pixels wide, for fingers; or 1280.
    pub phone: bool,
    /// Prefers dark colours.
    pub dark: bool,
    /// The language the browser asks for.
    pub language: &'static str,
    /// Whether pages may run script.
    pub script: bool,
}

impl Look {
    /// A telephone.
    pub const PHONE: Self = Self {
        phone: true,
        dark: false,
        language: "it",
        script: true,
    };
    /// A computer.
    pub const DESKTOP: Self = Self {
        phone: false,
        dark: false,
        language: "en",
        script: true,
    };
}

/// An open browser.
pub struct Browser {
    driver: WebDriver,
    base: String,
    /// Where the driver listens.
    address: String,
    shots: Option<PathBuf>,
    _janitor: Janitor,
}

impl Browser {
    /// Opens one that knows this service (`host:port`).
    pub async fn open(authority: &str, look: Look) -> Self {
        let janitor = Janitor::new();
        let address = start_driver(janitor.dir());
        let driver = WebDriver::new(&address, capabilities(janitor.dir(), look)).await;
        let driver = driver.unwrap_or_else(|error| panic!("no browser: {error}"));
        // The janitor ends it, also when the test fails.
        let left = driver.clone().leak();
        left.expect("a session that was just begun");
        if !look.phone {
            let sized = driver.set_window_rect(0, 0, 1280, 960).await;
            sized.expect("a window has a size");
        }
        Self {
            driver,
            base: format!("https://{authority}"),
            address,
            shots: env::var_os("CSC_TEST_SHOTS").map(PathBuf::from),
            _janitor: janitor,
        }
    }

    /// Goes to a path of the service, or to a URL.
    pub async fn goto(&self, path: &str) {
        let url = match path.starts_with('/') {
            true => format!("{}{path}", self.base),
            false => path.to_owned(),
        };
        let gone = self.driver.goto(&url).await;
        gone.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The URL shown.
    pub async fn url(&self) -> String {
        let url = self.driver.current_url().await;
        url.expect("a page has a URL").to_string()
    }

    /// The path shown.
    pub async fn path(&self) -> String {
        let url = self.driver.current_url().await;
        url.expect("a page has a URL").path().to_owned()
    }

    /// Waits until a page with this in its main heading is there.
    pub async fn sees(&self, heading: &str) {
        let what = format!("a page with the heading '{heading}'");
        wait::until(&what, async || {
            let found = self.driver.find(By::Css("h1")).await.ok()?;
            found.text().await.ok()?.contains(heading).then_some(())
        })
        .await;
    }

    /// Waits until the page says this.
    pub async fn says(&self, text: &str) {
        let what = format!("a page that says '{text}'");
        wait::until(&what, async || {
            self.text().await.contains(text).then_some(())
        })
        .await;
    }

    /// The text of the page.
    pub async fn text(&self) -> String {
        match self.driver.find(By::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// The source of the page.
    pub async fn source(&self) -> String {
        self.driver.source().await.unwrap_or_default()
    }

    /// An attribute of the first element that this selects.
    pub async fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        let element = self.driver.find(By::Css(selector)).await.ok()?;
        element.attr(name).await.ok().flatten()
    }

    /// The texts of the elements that this selects.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for element in self.all(selector).await {
            texts.push(element.text().await.unwrap_or_default());
        }
        texts
    }

    /// The elements that this selects.
    pub async fn all(&self, selector: &str) -> Vec<WebElement> {
        let found = self.driver.find_all(By::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Moves with the Tab key until the element with this name has the focus: its label, or what it says.
    pub async fn tab_to(&self, name: &str) -> WebElement {
        let mut passed = Vec::new();
        for _ in 0..60 {
            self.key(Key::Tab).await;
            let element = self.driver.active_element().await;
            let element = element.expect("something has the focus");
            let found = self.name_of(&element).await;
            if found == name {
                return element;
            }
            passed.push(found);
        }
        panic!("the Tab key does not lead to '{name}', but to {passed:?}");
    }

    /// Types where the focus is.
    pub async fn types(&self, text: &str) {
        let typed = self.driver.action_chain().send_keys(text).perform().await;
        typed.expect("keys can be pressed");
    }

    /// Presses a key.
    pub async fn key(&self, key: Key) {
        let pressed = self.driver.action_chain().send_keys(key).perform().await;
        pressed.expect("keys can be pressed");
    }

    /// Fills a field in by its label.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.clear().await.expect("a field can be emptied");
        field.send_keys(text).await.expect("a field takes text");
    }

    /// Presses the button, or follows the link, with this text.
    pub async fn press(&self, text: &str) {
        for element in self.all("button, a, summary, label").await {
            if element.text().await.unwrap_or_default() == text {
                element.click().await.expect("it can be pressed");
                return;
            }
        }
        panic!("no '{text}' in:\n{}", self.text().await);
    }

    /// The field with this label.
    pub async fn field(&self, label: &str) -> WebElement {
        for element in self.all("label").await {
            if element.text().await.unwrap_or_default() == label {
                let id = element.attr("for").await.ok().flatten();
                let id = id.expect("a label names its field");
                let field = self.driver.find(By::Id(id.as_str())).await;
                return field.expect("what a label names is there");
            }
        }
        panic!("no field '{label}' in:\n{}", self.text().await);
    }

    async fn name_of(&self, element: &WebElement) -> String {
        if let Ok(Some(id)) = element.attr("id").await {
            let label = format!("label[for=\"{id}\"]");
            if let Ok(label) = self.driver.find(By::Css(label.as_str())).await {
                return label.text().await.unwrap_or_default();
            }
        }
        element.text().await.unwrap_or_default()
    }

    /// The browser has found nothing wrong with its pages: no breach of their policy, nothing missing.
    pub async fn assert_quiet(&self) {
        let log = self
            .driver
            .browser_log()
            .await
            .expect("a browser keeps a log");
        // That an answer is 4xx is no mistake of a page.
        let wrong = log
            .iter()
            .filter(|entry| !entry.message.contains("Failed to load resource"));
        let wrong: Vec<_> = wrong.map(|entry| &entry.message).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// The page can be used by everybody: a language, one main heading and none left out below it, names for all fields and buttons, an
    /// alternative for every picture, targets of 44 pixels, no sideways scrolling.
    pub async fn assert_accessible(&self) {
        let lang = self.attribute("html", "lang").await;
        assert!(lang.is_some_and(|lang| lang == "it" || lang == "en"));
        assert_eq!(self.all("h1").await.len(), 1, "one main heading");
        assert_eq!(self.all("main").await.len(), 1, "one main part");
        let title = self.driver.title().await.unwrap_or_default();
        assert!(title.contains(" – "), "'{title}' names page and service");
        let mut level = 0;
        for heading in self.all("main h1, main h2, main h3, main h4").await {
            let tag = heading.tag_name().await.unwrap_or_default();
            let next = tag[1..].parse::<u8>().expect("h1 to h4");
            assert!(next <= level + 1, "{tag} after h{level}");
            level = next;
        }
        for image in self.all("img").await {
            assert!(image.attr("alt").await.is_ok_and(|alt| alt.is_some()));
        }
        let ids = self.ids().await;
        for field in self.all("input:not([type=hidden]), select").await {
            let name = self.name_of(&field).await;
            assert!(!name.is_empty(), "a field without a label");
            let described = field.attr("aria-describedby").await.ok().flatten();
            for id in described.iter().flat_map(|ids| ids.split(' ')) {
                assert!(
                    ids.contains(&id.to_owned()),
                    "'{name}' is described by '{id}'"
                );
            }
        }
        for target in self
            .all("button, header a, .button, .choice, summary")
            .await
        {
            let rect = target.rect().await.expect("it is shown");
            let name = target.text().await.unwrap_or_default();
            assert!(!name.is_empty(), "a button without a name");
            assert!(
                rect.height >= 44.0,
                "'{name}' is {} pixels high",
                rect.height
            );
        }
        let body = self.all("body").await[0].rect().await.expect("it is shown");
        for element in self.all("main *").await {
            let rect = element.rect().await.expect("it is shown");
            assert!(
                rect.x + rect.width <= body.width + 1.0,
                "{rect:?} leaves the screen"
            );
        }
    }

    async fn ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for element in self.all("[id]").await {
            ids.extend(element.attr("id").await.ok().flatten());
        }
        let mut once = ids.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "an id twice: {ids:?}");
        ids
    }

    /// Keeps a picture of the whole page in the folder `CSC_TEST_SHOTS`, where there is one.
    pub async fn shot(&self, name: &str) {
        let Some(folder) = &self.shots else {
            return;
        };
        let url = format!(
            "{}/session/{}/goog/cdp/execute",
            self.address,
            self.driver.session_id()
        );
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let command = json!({ "cmd": "Page.captureScreenshot", "params": whole });
        let answer = reqwest::Client::new().post(url).json(&command).send().await;
        let picture: serde_json::Value = answer
            .expect("the driver answers")
            .json()
            .await
            .expect("a picture of the page");
        let picture = &picture["value"]["data"];
        let picture = STANDARD.decode(picture.as_str().unwrap_or_default());
        let kept = fs::write(folder.join(format!("{name}.png")), picture.expect("base64"));
        kept.expect("the folder of pictures can be written");
    }
}

fn capabilities(dir: &Path, look: Look) -> thirtyfour::ChromeCapabilities {
    let mut wanted = DesiredCapabilities::chrome();
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    let language = format!("--lang={}", look.language);
    let scheme = format!(
        "--blink-settings=preferredColorScheme={}",
        u8::from(!look.dark)
    );
    let mut arguments = vec![
        "--headless=new",
        // Chromium's sandbox does not run as root, as which tests may run.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--hide-scrollbars",
    ];
    arguments.extend([profile.as_str(), &language, &scheme]);
    for argument in arguments {
        wanted.add_arg(argument).expect("an argument");
    }
    let mut preferences = json!({
        "intl.accept_languages": look.language,
        "intl.selected_languages": look.language,
        "credentials_enable_service": false,
        "profile.password_manager_enabled": false,
    });
    if !look.script {
        preferences["profile.managed_default_content_settings.javascript"] = json!(2);
    }
    let set = wanted.add_experimental_option("prefs", preferences);
    set.expect("preferences");
    if look.phone {
        let metrics = json!({ "width": 390, "height": 844, "pixelRatio": 2.0, "touch": true });
        let set =
            wanted.add_experimental_option("mobileEmulation", json!({ "deviceMetrics": metrics }));
        set.expect("a screen");
    }
    wanted
        .accept_insecure_certs(true)
        .expect("our own certificate");
    let all = LoggingPrefsLogLevel::All;
    wanted.set_browser_log_level(all).expect("a log");
    wanted
}

/// Starts the driver; where it listens.
#[expect(clippy::zombie_processes, reason = "its janitor ends it")]
fn start_driver(dir: &Path) -> String {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").env("HOME", dir).env("TMPDIR", dir);
    command.arg(format!("--log-path={}", dir.join("driver.log").display()));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let started = command.spawn();
    let mut driver =
        started.unwrap_or_else(|error| panic!("chromedriver: {error}: use conformance-tests/run"));
    let stdout = driver.stdout.take().expect("standard output is a pipe");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let port = lines.find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        Some(port.trim_end_matches('.').to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    format!(
        "http://127.0.0.1:{}",
        port.expect("chromedriver says where it listens")
    )
}

/// A process that outlives this one by a moment: when its standard input ends, it kills what names the directory, and removes it.
struct Janitor {
    dir: PathBuf,
    shell: Child,
}

impl Janitor {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("csc-browser-")
            .rand_bytes(12)
            .tempdir();
        let dir = dir.expect("a directory for the browser").keep();
        let script = r#"cat >/dev/null
            for process in $(grep -laF "$0" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3); do
                [ "$process" = $$ ] || kill -9 "$process"
            done 2>/dev/null
            rm -rf "$0""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(&dir).stdin(Stdio::piped());
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        Self {
            shell: shell.spawn().expect("a shell can be started"),
            dir,
        }
    }

    fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
