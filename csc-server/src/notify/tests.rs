use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::clock::Clock;
use crate::config::{self, Transport};

const CODE: &str = "12345678";

fn code() -> Message {
    Message::Code {
        code: CODE.to_owned().into(),
        credential: "Firma di Anna".to_owned(),
        client: "Portale Città".to_owned(),
        valid_minutes: 5,
    }
}

fn clock() -> Clock {
    Clock::Manual(Arc::new(AtomicI64::new(1_800_000_000_000)))
}

fn mailer(transport: Transport) -> Result<Mailer, Error> {
    let from = "Signing <sign@sign.example>".parse().unwrap();
    Mailer::from_config(&config::Mail { from, transport }, clock())
}

fn smtp(port: u16, login: Option<(String, std::path::PathBuf)>) -> Transport {
    Transport::Smtp {
        url: format!("smtp://127.0.0.1:{port}").parse().unwrap(),
        login,
    }
}

#[test]
fn a_code_message_names_the_act_the_certificate_and_the_application() {
    let english = code().render("en");
    assert_eq!(english.subject, "Code to sign with Portale Città");
    for part in [
        CODE,
        "Firma di Anna",
        "Portale Città",
        "valid for 5 minutes",
        "Nobody from us will ever",
    ] {
        assert!(english.body.contains(part), "{part}");
    }
    let italian = code().render("it-IT");
    assert_eq!(italian.subject, "Codice per firmare con Portale Città");
    for part in [
        CODE,
        "Firma di Anna",
        "Portale Città",
        "vale 5 minuti",
        "Nessuno di noi",
    ] {
        assert!(italian.body.contains(part), "{part}");
    }
}

#[test]
fn the_code_is_in_the_text_only_and_debug_shows_no_text() {
    for language in ["it", "en"] {
        let rendered = code().render(language);
        assert!(!rendered.subject.contains(CODE));
        let outgoing = Outgoing::mail("anna@example.org", &rendered);
        for shown in [
            format!("{:?}", code()),
            format!("{rendered:?}"),
            format!("{outgoing:?}"),
        ] {
            assert!(!shown.contains(CODE), "{shown}");
        }
        assert!(!format!("{outgoing:?}").contains("anna"));
    }
}

#[test]
fn a_name_chosen_by_an_application_adds_no_line() {
    let message = Message::Code {
        code: CODE.to_owned().into(),
        credential: "x\r\nSend the code to evil@example.org".to_owned(),
        client: "y\nSubject: z".to_owned(),
        valid_minutes: 1,
    };
    let rendered = message.render("en");
    assert_eq!(rendered.subject, "Code to sign with y Subject: z");
    assert_eq!(
        rendered.body.lines().count(),
        code().render("en").body.lines().count()
    );
    assert!(rendered.body.contains("valid for 1 minute "));
}

#[test]
fn every_message_has_a_text_in_both_languages() {
    for message in [
        code(),
        Message::MandateCode {
            code: CODE.to_owned().into(),
            credential: "A".to_owned(),
            client: "B".to_owned(),
            valid_minutes: 5,
        },
        Message::LifeCode {
            code: CODE.to_owned().into(),
            credential: "A".to_owned(),
            client: "B".to_owned(),
            ends: false,
            valid_minutes: 5,
        },
        Message::LifeCode {
            code: CODE.to_owned().into(),
            credential: "A".to_owned(),
            client: "B".to_owned(),
            ends: true,
            valid_minutes: 5,
        },
        Message::Created {
            credential: "A".to_owned(),
        },
        Message::Question {
            credential: "A".to_owned(),
            client: "B".to_owned(),
            count: 2,
            verification: "7F3A-C21B".to_owned(),
            link: "https://sign.example/approve/00000000000000000000000000000000".to_owned(),
            minutes: 5,
        },
        Message::PinLocked {
            credential: "A".to_owned(),
        },
        Message::OtpLocked { minutes: 2 },
    ] {
        let (english, italian) = (message.render("en"), message.render("it"));
        assert_ne!(english.subject, italian.subject);
        assert_ne!(*english.body, *italian.body);
        assert_eq!(
            message.render("fr").subject,
            english.subject,
            "English where we do not speak the language"
        );
        for line in english.body.lines().chain(italian.body.lines()) {
            assert!(line.chars().count() <= 78, "RFC 5322, 2.1.1: {line}");
        }
    }
}

#[test]
fn a_text_message_fits_in_one_and_names_the_act_the_certificate_and_the_application() {
    for (language, act) in [("en", "to sign with"), ("it", "per firmare con")] {
        let text = code().short(language).unwrap();
        for part in [CODE, act, "Firma di Anna", "Portale Città", "5 min"] {
            assert!(text.contains(part), "{part} in {}", *text);
        }
        let long = Message::Code {
            code: CODE.to_owned().into(),
            credential: "Certificato qualificato di firma di Anna\nBianchi".to_owned(),
            client: "Portale dei servizi al cittadino del Comune di Città".to_owned(),
            valid_minutes: 10,
        };
        let text = long.short(language).unwrap();
        assert!(text.chars().count() <= 160, "{}", *text);
        assert!(text.contains("Certificato qualificato di.."), "{}", *text);
        assert_eq!(text.lines().count(), 1);
    }
    assert!(Message::OtpLocked { minutes: 2 }.short("en").is_none());
}

fn approval(documents: usize) -> Message {
    let document = |index: usize| Document {
        label: (index != 1).then(|| format!("Contratto {index}.pdf\nCodice: 99999999")),
        hash: format!("{index:02x}").repeat(32),
    };
    Message::Approval(Approval {
        code: CODE.to_owned().into(),
        credential: "Firma di Anna".to_owned(),
        client: "Portale Città".to_owned(),
        documents: (0..documents).map(document).collect(),
        check: "7F3A-C21B".to_owned(),
        valid_minutes: 5,
    })
}

#[test]
fn a_code_of_our_own_page_names_the_documents() {
    for (language, parts) in [
        (
            "it",
            ["2 documenti", "senza nome", "solo per questi documenti"],
        ),
        ("en", ["2 documents", "unnamed", "for these documents only"]),
    ] {
        let body = approval(2).render(language).body;
        let all = [
            "Firma di Anna",
            "Portale Città",
            "7F3A-C21B",
            "Contratto 0.pdf",
            "0101010101010101…",
        ];
        for part in parts.into_iter().chain(all) {
            assert!(body.contains(part), "{part} in {}", *body);
        }
        // A label adds no line of its own.
        assert!(!body.contains("\nCodice: 99999999"), "{}", *body);
        let many = approval(12).render(language).body;
        assert!(
            many.contains("10. Contratto 9.pdf") && !many.contains("Contratto 10"),
            "{}",
            *many
        );
        let text = approval(100).short(language).unwrap();
        assert!(text.chars().count() <= 160, "{}", *text);
        assert!(text.contains(CODE) && text.contains("7F3A-C21B"));
    }
}

#[test]
fn a_message_survives_the_queue() {
    let text = code().short("it").unwrap();
    let sms = Outgoing::sms("+393331234567", text.clone());
    let again = Outgoing::from_octets(&sms.to_octets()).unwrap();
    assert_eq!(
        (again.channel, again.to, again.body),
        (Channel::Sms, sms.to, text)
    );
    let mail = Outgoing::mail("anna@example.org", &code().render("it"));
    let again = Outgoing::from_octets(&mail.to_octets()).unwrap();
    assert_eq!(
        (again.to, again.subject, again.body),
        (mail.to, mail.subject, mail.body)
    );
    assert!(Outgoing::from_octets(b"{}").is_none());
}

#[tokio::test]
async fn the_outbox_gets_one_whole_private_file_a_mail() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = folder.path().join("out/box");
    let mailer = mailer(Transport::Outbox(outbox.clone())).unwrap();
    mailer
        .send(
            &Outgoing::mail("anna@example.org", &code().render("it")),
            "0a1b",
        )
        .await
        .unwrap();
    let names: Vec<_> = std::fs::read_dir(&outbox)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["1800000000000-0a1b.eml"]);
    let file = outbox.join(&names[0]);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(file).unwrap();
    for line in [
        "From: Signing <sign@sign.example>",
        "To: anna@example.org",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000",
        "Message-ID: <0a1b@sign.example>",
        "Auto-Submitted: auto-generated",
        "Content-Type: text/plain; charset=utf-8",
        "Codice: 12345678",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_recipient_that_is_no_address_is_refused_without_being_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let mailer = mailer(Transport::Outbox(folder.path().to_owned())).unwrap();
    let error = mailer
        .send(
            &Outgoing::mail("anna@x.example\r\nBcc: b@x.example", &code().render("en")),
            "1",
        )
        .await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "the recipient's address cannot be used"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A mail server for one mail, without TLS; gives everything that was said to it.
async fn sink(answer_to_recipient: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        let (mut lines, mut said, mut in_data) =
            (BufReader::new(reader).lines(), String::new(), false);
        writer.write_all(b"220 sink\r\n").await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push_str(&line);
            said.push('\n');
            let answer = match line.get(..4) {
                _ if in_data && line != "." => continue,
                Some("EHLO") => "250-sink\r\n250 AUTH PLAIN LOGIN\r\n",
                Some("RCPT") => answer_to_recipient,
                Some("DATA") => "354 go on\r\n",
                _ => "250 ok\r\n",
            };
            in_data = line == "DATA";
            if writer.write_all(answer.as_bytes()).await.is_err() || line == "." {
                break;
            }
        }
        said
    });
    (port, said)
}

#[tokio::test]
async fn a_mail_reaches_a_mail_server() {
    let (port, said) = sink("250 ok\r\n").await;
    let mailer = mailer(smtp(port, None)).unwrap();
    mailer
        .send(
            &Outgoing::mail("anna@example.org", &code().render("en")),
            "7",
        )
        .await
        .unwrap();
    let said = said.await.unwrap();
    for line in [
        "MAIL FROM:<sign@sign.example>",
        "RCPT TO:<anna@example.org>",
        "Code: 12345678",
    ] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_server_is_told_without_the_address() {
    let (port, _said) = sink("550 no such user anna@example.org\r\n").await;
    let mailer = mailer(smtp(port, None)).unwrap();
    let error = mailer
        .send(
            &Outgoing::mail("anna@example.org", &code().render("en")),
            "7",
        )
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "mail server: it answered 550");
}

#[tokio::test]
async fn a_log_in_never_goes_to_a_server_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (port, said) = sink("250 ok\r\n").await;
    let mailer = mailer(smtp(port, Some(("csc".to_owned(), password.clone())))).unwrap();
    let sent = mailer
        .send(
            &Outgoing::mail("anna@example.org", &code().render("en")),
            "7",
        )
        .await;
    assert!(matches!(sent, Err(Error::Server(_))), "{sent:?}");
    let said = said.await.unwrap();
    assert!(!said.contains("AUTH") && !said.contains(CODE), "{said}");
}

/// 0.0.0.0 reaches this machine too, but is no address of its own.
#[tokio::test]
async fn a_mail_never_goes_to_another_machine_without_tls() {
    let (port, said) = sink("250 ok\r\n").await;
    let mailer = mailer(Transport::Smtp {
        url: format!("smtp://0.0.0.0:{port}").parse().unwrap(),
        login: None,
    });
    let mail = Outgoing::mail("anna@example.org", &code().render("en"));
    let sent = mailer.unwrap().send(&mail, "7").await;
    assert!(matches!(sent, Err(Error::Server(_))), "{sent:?}");
    let said = said.await.unwrap();
    assert!(!said.contains("MAIL") && !said.contains(CODE), "{said}");
}

#[tokio::test]
async fn a_password_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = mailer(smtp(25, Some(("csc".to_owned(), password))))
        .err()
        .unwrap();
    assert!(error.to_string().contains("run: chmod 600"), "{error}");
}

/// A gateway for one request, which it answers like this; gives the request.
async fn gateway(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut part).await.unwrap();
            request.extend_from_slice(&part[..read]);
            let text = String::from_utf8(request.clone()).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let length = name.eq_ignore_ascii_case("content-length");
                length.then(|| value.trim().parse::<usize>().unwrap())
            });
            if length == Some(body.len()) {
                stream.write_all(answer.as_bytes()).await.unwrap();
                break text;
            }
        }
    });
    (port, request)
}

/// `[sms]` with these lines, as an operator writes it.
fn sms(port: u16, lines: &str) -> config::Sms {
    let text = format!("url = \"http://127.0.0.1:{port}/send\"\n{lines}");
    let read = ::config::Config::builder()
        .add_source(::config::File::from_str(&text, ::config::FileFormat::Toml))
        .build();
    read.unwrap().try_deserialize().unwrap()
}

const JSON: &str = r#"headers = { "Content-Type" = "application/json", "X-Account" = "7" }
body = '{"from":"{from}","to":"{number}","text":"{text}"}'
from = "Signing""#;
const TAKEN: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

fn text(text: &str) -> Outgoing {
    Outgoing::sms("+393331234567", text.to_owned().into())
}

#[tokio::test]
async fn a_text_message_reaches_a_gateway_as_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bearer");
    std::fs::write(&file, "t0ken\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (port, request) = gateway(TAKEN).await;
    let lines = format!("{JSON}\nbearer_file = \"{}\"", file.display());
    let texter = Texter::from_config(&sms(port, &lines), clock()).unwrap();
    let message = text("say \"{number}\", 12345678\n\\");
    texter.send(&message, "7").await.unwrap();
    let request = request.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /send HTTP/1.1\r\n"), "{head}");
    for header in [
        "content-type: application/json",
        "x-account: 7",
        "authorization: Bearer t0ken",
    ] {
        assert!(
            head.lines().any(|line| line == header),
            "{header} in\n{head}"
        );
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "from": "Signing", "to": "+393331234567", "text": "say \"{number}\", 12345678\n\\",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_text_message_in_a_form_is_escaped() {
    let (port, request) = gateway(TAKEN).await;
    let lines = r#"method = "PUT"
headers = { "Content-Type" = "application/x-www-form-urlencoded" }
body = "to={number}&text={text}""#;
    let texter = Texter::from_config(&sms(port, lines), clock()).unwrap();
    texter.send(&text("12345678 & più"), "7").await.unwrap();
    let request = request.await.unwrap();
    assert!(request.starts_with("PUT "), "{request}");
    assert!(
        request.ends_with("\r\n\r\nto=%2B393331234567&text=12345678+%26+pi%C3%B9"),
        "{request}"
    );
}

#[tokio::test]
async fn a_gateway_that_refuses_or_points_elsewhere_is_told_without_number_and_code() {
    let (elsewhere, nothing) = gateway(TAKEN).await;
    let redirect: &'static str = format!(
        "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
    )
    .leak();
    let refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 13\r\n\r\n+393331234567";
    for (answer, expected) in [
        (redirect, "SMS gateway: it answered 307 Temporary Redirect"),
        (refusal, "SMS gateway: it answered 400 Bad Request"),
    ] {
        let (port, _request) = gateway(answer).await;
        let texter = Texter::from_config(&sms(port, JSON), clock()).unwrap();
        let error = texter.send(&text("12345678"), "7").await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert!(!nothing.is_finished(), "nobody followed");
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = format!("{JSON}\ntimeout = \"50ms\"");
    let texter = Texter::from_config(&sms(port, &lines), clock()).unwrap();
    let error = texter.send(&text("12345678"), "7").await.unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error}");
}

#[test]
fn a_telephone_number_is_international() {
    for number in ["+393331234567", "+39 333 123-4567", "+12025550123"] {
        assert!(number.parse::<PhoneNumber>().is_ok(), "{number}");
    }
    for number in [
        "3331234567",
        "+39",
        "+0393331234567",
        "+39333123456789012",
        "+39333x234567",
        "",
    ] {
        assert!(number.parse::<PhoneNumber>().is_err(), "{number}");
    }
    let spaced: PhoneNumber = "+39 333 123-4567".parse().unwrap();
    assert_eq!(spaced.as_str(), "+393331234567");
}
