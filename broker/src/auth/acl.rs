//! What clients may do: read, write, subscribe.
//!
//! An ACL file is like mosquitto's. `user NAME` begins the lines of a user, the lines before the
//! first one are those of clients without a name. `topic RIGHT FILTER` is a rule of these, `pattern
//! RIGHT FILTER` one of everybody, with `%u` for the user's name and `%c` for the client's id.
//!
//! | right | what it gives |
//! |---|---|
//! | `read` | to get messages, and to subscribe to filters that ask for nothing else |
//! | `write` | to publish |
//! | `readwrite`, or none | both |
//! | `subscribe` | to subscribe; what comes of it is what may be read |
//! | `deny` | nothing, whatever other lines give |
//!
//! What no line gives is refused. `$SYS/#` has to be named: a wildcard in front does not match it.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

use crate::topics;

/// What is wrong with an ACL file.
#[derive(Debug, thiserror::Error)]
pub enum AclError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is wrong.
    #[error("line {line}: {what}")]
    Line {
        /// Its number.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Read,
    Write,
    ReadWrite,
    Subscribe,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    right: Right,
    filter: String,
}

/// The rules of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Acl {
    anonymous: Vec<Rule>,
    users: HashMap<String, Vec<Rule>>,
    patterns: Vec<Rule>,
}

impl Acl {
    /// Parse a file's text.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Acl, AclError> {
        let mut acl = Acl::default();
        let mut user: Option<String> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what| AclError::Line {
                line: index + 1,
                what,
            };
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match word {
                "user" if !rest.trim().is_empty() => {
                    let name = rest.trim().to_owned();
                    acl.users.entry(name.clone()).or_default();
                    user = Some(name);
                }
                "topic" => {
                    let rule = rule(rest).map_err(wrong)?;
                    match &user {
                        None => acl.anonymous.push(rule),
                        Some(name) => acl.users.entry(name.clone()).or_default().push(rule),
                    }
                }
                "pattern" => acl.patterns.push(rule(rest).map_err(wrong)?),
                _ => return Err(wrong("not user, topic or pattern")),
            }
        }
        Ok(acl)
    }

    /// The rules of one client.
    fn of(&self, user: Option<&str>, client_id: &str) -> Vec<Rule> {
        let own = match user {
            None => Some(&self.anonymous),
            Some(user) => self.users.get(user),
        };
        let patterns = self.patterns.iter().filter_map(|pattern| {
            let filter = expand(&pattern.filter, "%c", Some(client_id))?;
            let filter = expand(&filter, "%u", user)?;
            let right = pattern.right;
            Some(Rule { right, filter })
        });
        own.into_iter().flatten().cloned().chain(patterns).collect()
    }
}

/// Put a name where a filter asks for one. `None` if there is none, or if it would say more than a
/// name does.
fn expand(filter: &str, mark: &str, name: Option<&str>) -> Option<String> {
    if !filter.contains(mark) {
        return Some(filter.to_owned());
    }
    let name = name.filter(|name| !name.is_empty() && !name.contains(['/', '+', '#', '%']))?;
    Some(filter.replace(mark, name))
}

fn rule(text: &str) -> Result<Rule, &'static str> {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (right, filter) = match word {
        "read" => (Right::Read, rest),
        "write" => (Right::Write, rest),
        "readwrite" => (Right::ReadWrite, rest),
        "subscribe" => (Right::Subscribe, rest),
        "deny" => (Right::Deny, rest),
        _ => (Right::ReadWrite, text),
    };
    let filter = filter.trim();
    if topics::is_valid_filter(filter) {
        let filter = filter.to_owned();
        Ok(Rule { right, filter })
    } else {
        Err("not a topic filter")
    }
}

/// Whether everything that `asked` asks for is asked for by `filter` too.
fn covers(filter: &str, asked: &str) -> bool {
    if asked.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut asked_levels = asked.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match asked_levels.next() {
            Some("#") | None => return false,
            Some(asked) if level == "+" || level == asked => {}
            Some(_) => return false,
        }
    }
    asked_levels.next().is_none()
}

/// The rules in force, which may change while clients are connected.
#[derive(Debug)]
pub(super) struct AclInForce {
    acl: RwLock<Arc<Acl>>,
    version: AtomicU64,
}

impl AclInForce {
    pub(super) fn new(acl: Arc<Acl>) -> AclInForce {
        AclInForce {
            acl: RwLock::new(acl),
            version: AtomicU64::new(1),
        }
    }

    /// Let other rules count from now on.
    pub(super) fn set(&self, acl: Arc<Acl>) {
        *self.acl.write() = acl;
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// What one client may do. Cheap to clone; follows changes of the rules.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `None` is everything.
    limited: Option<Arc<Limited>>,
    /// What it may not do anything with, whatever rules say.
    reserved: Option<Arc<str>>,
}

#[derive(Debug)]
struct Limited {
    in_force: Arc<AclInForce>,
    user: Option<String>,
    client_id: String,
    /// The client's rules, of the version of all.
    rules: RwLock<(u64, Vec<Rule>)>,
}

impl Access {
    /// To do everything.
    #[must_use]
    pub fn everything() -> Access {
        Access::default()
    }

    /// To do what these rules give to a client, and stay so.
    #[must_use]
    pub fn by(rules: Arc<Acl>, user: Option<&str>, client_id: &str) -> Access {
        Access::of(&Arc::new(AclInForce::new(rules)), user, client_id)
    }

    /// The same without the topics of a filter, which are others'.
    #[must_use]
    pub fn without(mut self, filter: &Arc<str>) -> Access {
        self.reserved = Some(filter.clone());
        self
    }

    pub(super) fn of(in_force: &Arc<AclInForce>, user: Option<&str>, client_id: &str) -> Access {
        Access {
            limited: Some(Arc::new(Limited {
                in_force: in_force.clone(),
                user: user.map(str::to_owned),
                client_id: client_id.to_owned(),
                rules: RwLock::new((0, Vec::new())),
            })),
            reserved: None,
        }
    }

    /// Whether it may publish to a topic.
    #[must_use]
    pub fn may_write(&self, topic: &str) -> bool {
        !self.is_reserved(|filter| topics::matches(filter, topic))
            && self.allows(&[Right::Write, Right::ReadWrite], |filter| {
                topics::matches(filter, topic)
            })
    }

    /// Whether it may get messages of a topic.
    #[must_use]
    pub fn may_read(&self, topic: &str) -> bool {
        !self.is_reserved(|filter| topics::matches(filter, topic))
            && self.allows(&[Right::Read, Right::ReadWrite], |filter| {
                topics::matches(filter, topic)
            })
    }

    /// Whether it may subscribe to a filter.
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        let asked = topics::share(filter).filter;
        let rights = [Right::Read, Right::ReadWrite, Right::Subscribe];
        !self.is_reserved(|filter| covers(filter, asked))
            && self.allows(&rights, |filter| covers(filter, asked))
    }

    fn is_reserved(&self, applies: impl Fn(&str) -> bool) -> bool {
        self.reserved.as_deref().is_some_and(applies)
    }

    fn allows(&self, rights: &[Right], applies: impl Fn(&str) -> bool) -> bool {
        let Some(limited) = &self.limited else {
            return true;
        };
        limited.renew();
        let (_, rules) = &*limited.rules.read();
        let any = |right: &dyn Fn(Right) -> bool| {
            let mut of_right = rules.iter().filter(|rule| right(rule.right));
            of_right.any(|rule| applies(&rule.filter))
        };
        any(&|right| rights.contains(&right)) && !any(&|right| right == Right::Deny)
    }
}

impl Limited {
    /// Take over the rules in force if they have changed.
    fn renew(&self) {
        let version = self.in_force.version.load(Ordering::Acquire);
        if self.rules.read().0 == version {
            return;
        }
        let acl = self.in_force.acl.read().clone();
        *self.rules.write() = (version, acl.of(self.user.as_deref(), &self.client_id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
# clients without a name
topic read public/#

user ann
topic home/#
topic deny home/lock/set
topic subscribe #

user sensor
topic write sensors/+/up

pattern readwrite own/%u/#
pattern write clients/%c/state
";

    fn access(user: Option<&str>, client_id: &str) -> Access {
        let acl = Acl::parse(FILE).expect("is good");
        Access::of(&Arc::new(AclInForce::new(Arc::new(acl))), user, client_id)
    }

    #[test]
    fn each_right_is_what_it_says() {
        for (user, write, read, topic) in [
            (None, false, true, "public/a"),
            (None, false, false, "home/a"),
            (None, false, false, "own//a"),
            (None, true, false, "clients/c1/state"),
            (Some("ann"), true, true, "home/a"),
            (Some("ann"), false, false, "home/lock/set"),
            (Some("ann"), false, false, "public/a"),
            (Some("ann"), true, true, "own/ann/a"),
            (Some("ann"), false, false, "own/bob/a"),
            (Some("ann"), false, false, "$SYS/broker/uptime"),
            (Some("sensor"), true, false, "sensors/1/up"),
            (Some("sensor"), false, false, "sensors/1/down"),
            (Some("unknown"), false, false, "home/a"),
            (Some("unknown"), true, true, "own/unknown/a"),
        ] {
            let access = access(user, "c1");
            assert_eq!(access.may_write(topic), write, "{user:?} writes {topic}");
            assert_eq!(access.may_read(topic), read, "{user:?} reads {topic}");
        }
        assert!(Access::everything().may_write("home/lock/set"));
    }

    #[test]
    fn subscriptions_ask_for_no_more_than_may_be_read() {
        for (user, filter, may) in [
            (None, "public/#", true),
            (None, "public/+/x", true),
            (None, "$share/g/public/a", true),
            (None, "#", false),
            (None, "+/a", false),
            (Some("ann"), "#", true),
            (Some("ann"), "home/lock/set", false),
            (Some("ann"), "home/lock/+", true),
            (Some("ann"), "$SYS/#", false),
            (Some("sensor"), "sensors/1/up", false),
        ] {
            let got = access(user, "c1").may_subscribe(filter);
            assert_eq!(got, may, "{user:?} {filter}");
        }
    }

    #[test]
    fn names_that_are_more_than_a_name_match_nothing() {
        assert!(!access(Some("+"), "c1").may_read("own/ann/a"));
        assert!(!access(Some("#"), "c1").may_read("own/ann/a"));
        assert!(!access(None, "a/b").may_write("clients/a/b/state"));
        assert!(!access(None, "").may_write("clients//state"));
    }

    #[test]
    fn covering() {
        for (filter, asked, expected) in [
            ("#", "a/b", true),
            ("a/#", "a", true),
            ("a/#", "a/#", true),
            ("a/+", "a/#", false),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/b", "a/+", false),
            ("+/b", "a/b", true),
            ("#", "$SYS/x", false),
            ("$SYS/#", "$SYS/#", true),
            ("a", "a/b", false),
            ("a/b", "a", false),
        ] {
            assert_eq!(covers(filter, asked), expected, "{filter} covers {asked}");
        }
    }

    #[test]
    fn clients_follow_changed_rules() {
        let acl = |text| Arc::new(Acl::parse(text).expect("is good"));
        let in_force = Arc::new(AclInForce::new(acl("topic read a")));
        let access = Access::of(&in_force, None, "c");
        assert!(access.may_read("a"));
        in_force.set(acl("topic read b"));
        assert!(!access.may_read("a") && access.may_read("b"));
    }

    #[test]
    fn what_is_reserved_is_out_of_reach() {
        let reserved = Arc::from("tarn/lake/sync/#");
        let rules = Arc::new(Acl::parse("topic #").expect("is good"));
        for access in [Access::everything(), Access::by(rules, None, "c")] {
            let topic = "tarn/lake/sync/all";
            assert!(access.may_write(topic) && access.may_read(topic));
            let access = access.without(&reserved);
            assert!(!access.may_write(topic) && !access.may_read(topic));
            assert!(!access.may_subscribe("tarn/lake/sync/+"));
            // What comes of it is what may be read.
            assert!(access.may_subscribe("#"));
            assert!(access.may_write("tarn/lake/box/x/state"));
        }
    }

    #[test]
    fn wrong_lines_are_told() {
        for (text, line) in [
            ("topic read a\nnonsense", 2),
            ("topic read", 1),
            ("user", 1),
            ("\n\npattern write a/#/b", 3),
        ] {
            let error = Acl::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("line {line}:")), "{error}");
        }
    }
}
