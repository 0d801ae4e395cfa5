use std::{fs, path::Path};

use super::*;

const GOOD: &str = r#"
[[channel]]
name = "phone"
kind = "ntfy"
url = "https://ntfy.example/base/our-house"
token = "tk_hidden"
severity = "warning"
quiet = "22:00-07:00"
after = "10m"

[[channel]]
name = "mail"
kind = "smtp"
url = "smtps://user%40home@mail.example:466"
password = "hidden too"
from = "Tarn <box@home.example>"
to = ["ada@home.example", "Bob <bob@home.example>"]

[[channel]]
name = "hook"
kind = "webhook"
url = "http://192.168.1.2:1880/hidden-path"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"#;

fn parse(text: &str) -> Result<Channels, ChannelsError> {
    Channels::parse(text, Path::new("."))
}

#[test]
fn channels_are_read() {
    let channels = parse(GOOD).expect("good");
    let phone = channels.get("phone").expect("there");
    assert_eq!((phone.kind(), phone.severity), ("ntfy", Severity::Warning));
    assert_eq!(phone.after_ms(), Some(600_000));
    let Way::Ntfy { server, topic, .. } = &phone.way else {
        panic!("{phone:?}");
    };
    assert_eq!(
        (server.url().as_str(), &**topic),
        ("https://ntfy.example/base/", "our-house")
    );
    let Some(Way::Smtp(mail)) = channels.get("mail").map(|mail| &mail.way) else {
        panic!("no mail");
    };
    assert_eq!((&*mail.host, mail.port), ("mail.example", 466));
    assert_eq!(mail.tls, Encryption::Whole);
    let user = mail.login.as_ref().map(|(user, _)| &**user);
    assert_eq!((user, mail.to.len()), (Some("user@home"), 2));
    let hook = channels.get("hook").expect("there");
    assert!(matches!(&hook.way, Way::Webhook { key: Some(key), .. } if key.bytes().len() == 24));
    assert_eq!(
        (hook.severity, hook.timeout.as_secs()),
        (Severity::Info, 10)
    );
    assert!(parse("").expect("none is fine").iter().next().is_none());
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", parse(GOOD).expect("good"));
    for secret in ["hidden", "MfKQ"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn secrets_may_be_in_files_beside_it() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("token"), "tk_1\n").expect("writes");
    let file = folder.path().join("channels.toml");
    let text =
        "[[channel]]\nname = \"a\"\nkind = \"ntfy\"\nurl = \"http://h/t\"\ntoken_file = \"token\"";
    fs::write(&file, text).expect("writes");
    let channels = Channels::load(&file).expect("good");
    let way = channels.get("a").map(|channel| &channel.way);
    assert!(matches!(way, Some(Way::Ntfy { token: Some(token), .. }) if token.reveal() == "tk_1"));
    fs::remove_file(folder.path().join("token")).expect("removes");
    let told = Channels::load(&file).expect_err("no token").to_string();
    assert!(told.contains("channel `a`: token_file"), "{told}");
    let told = Channels::load(&folder.path().join("none")).expect_err("no file");
    assert!(told.to_string().starts_with("read "), "{told}");
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let told = parse(text).expect_err(text).to_string();
    assert!(told.contains(words), "{told}");
    assert!(!told.contains("hidden"), "{told}");
}

/// One channel `a` of a kind, with more lines.
fn one(kind: &str, lines: &str) -> String {
    format!("[[channel]]\nname = \"a\"\nkind = \"{kind}\"\n{lines}\n")
}

#[test]
fn what_is_wrong_is_told_with_the_channel() {
    let ntfy = |lines: &str| one("ntfy", &format!("url = \"https://h/t\"\n{lines}"));
    let hook = |lines: &str| one("webhook", &format!("url = \"https://h/\"\n{lines}"));
    let mail = |url: &str, lines: &str| one("smtp", &format!("url = \"{url}\"\n{lines}"));
    let people = "from = \"a@b.example\"\nto = [\"c@d.example\"]";
    refused(
        &format!("{}{}", ntfy(""), ntfy("")),
        "`a`: there is another",
    );
    refused(&ntfy("colour = 1"), "`a`: unknown field `colour`");
    refused(&one("fax", "url = \"tel:1\""), "`a`: unknown variant `fax`");
    refused(&one("ntfy", ""), "`a`: missing field `url`");
    refused(
        "[[channel]]\nkind = \"ntfy\"",
        "`number 1`: missing field `name`",
    );
    refused(&ntfy("").replace("\"a\"", "\"A b\""), "`A b`: a name is");
    refused(&one("ntfy", "url = \"https://h/\""), "`a`: the last part");
    refused(
        &one("ntfy", "url = \"ftp://h/t\""),
        "`a`: its url is no http:// or https://",
    );
    refused(
        &one("webhook", "url = \"http://u:hidden@h/\""),
        "`a`: no password belongs",
    );
    refused(
        &one("webhook", "url = \"http://u@h/\""),
        "`a`: no user belongs",
    );
    refused(&ntfy("severity = \"bad\""), "`a`: unknown variant `bad`");
    refused(&ntfy("quiet = \"10pm\""), "`a`: `10pm` are no quiet hours");
    refused(&ntfy("zone = \"Wien\""), "is no time zone like");
    refused(
        &ntfy("after = \"soon\""),
        "`a`: after = \"soon\" is no length",
    );
    refused(&ntfy("after = \"8d\""), "`a`: after = \"8d\" is no length");
    refused(
        &ntfy("timeout = \"3m\""),
        "`a`: timeout = \"3m\" is no length",
    );
    refused(
        &ntfy("secret = \"hidden\""),
        "`a`: `secret` is only for kind = \"webhook\"",
    );
    refused(&ntfy("token = \"hidden\"\ntoken_file = \"f\""), "not both");
    refused(&ntfy("token = \" \""), "`a`: its token is empty");
    refused(&hook("secret = \"hidden\""), "`a`: its secret is `whsec_`");
    refused(
        &hook("secret = \"whsec_aGlkZGVu\""),
        "`a`: its secret is `whsec_`",
    );
    refused(&mail("smtps://h", ""), "`a`: `from` is missing");
    refused(
        &mail("smtps://h", "from = \"a@b.example\""),
        "`a`: `to` is a list",
    );
    refused(
        &mail("smtps://h", "from = \"nobody\"\nto = [\"c@d.example\"]"),
        "`from`: `nobody`",
    );
    refused(&mail("smtps://u@h", people), "`a`: a user needs");
    refused(
        &mail("smtps://h", &format!("password = \"hidden\"\n{people}")),
        "write the user",
    );
    refused(
        &mail("smtps://h", &format!("tls = \"none\"\n{people}")),
        "only for smtp://",
    );
    let clear = format!("tls = \"none\"\npassword = \"hidden\"\n{people}");
    refused(&mail("smtp://u@h", &clear), "in the clear");
    assert!(parse(&mail("smtp://u@127.0.0.1", &clear)).is_ok());
    assert!(parse(&mail("smtp://u@[::1]:2525", &clear)).is_ok());
    refused("channels = 1", "`channels` is not known");
    refused("channel = 1", "[[channel]]");
    refused("[[channel]]\ntoken = \"hidden", "not TOML");
    let many = (0..=CHANNELS_MAX).map(|_| ntfy("")).collect::<String>();
    refused(&many, "more than 32");
}
