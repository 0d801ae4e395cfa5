//! Topic names and filters: rules and matching.

use crate::limits::Limits;

/// Topics under it are the broker's own: clients do not publish there.
pub(crate) const SYS: &str = "$SYS/";

/// Whether a client may publish to `topic`: not empty, no wildcards, within the limits.
pub(crate) fn is_valid_name(topic: &str, limits: &Limits) -> bool {
    !topic.is_empty() && fits(topic, limits) && !topic.contains(['+', '#', '\0'])
}

/// Whether `text` is within the limits on length and depth.
pub(crate) fn fits(text: &str, limits: &Limits) -> bool {
    text.len() <= limits.topic_bytes_max
        && text.bytes().filter(|&b| b == b'/').count() < limits.topic_levels_max
}

/// Whether the wildcards of a filter stand where they may.
pub(crate) fn is_valid_filter(filter: &str) -> bool {
    let mut levels = share(filter).filter.split('/').peekable();
    let mut valid = true;
    while let Some(level) = levels.next() {
        valid &= match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            level => !level.contains(['+', '#', '\0']),
        };
    }
    valid && !filter.is_empty()
}

/// A filter without its group, if it is that of a shared subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share<'a> {
    pub(crate) group: Option<&'a str>,
    pub(crate) filter: &'a str,
}

/// Take `$share/<group>/<filter>` apart.
pub(crate) fn share(filter: &str) -> Share<'_> {
    let shared = filter
        .strip_prefix("$share/")
        .and_then(|rest| rest.split_once('/'));
    match shared {
        Some((group, filter)) => Share {
            group: Some(group),
            filter,
        },
        None => Share {
            group: None,
            filter,
        },
    }
}

/// Whether a filter asks for a topic. Both must be valid.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic_levels = topic.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match topic_levels.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

/// What every topic that matches begins with.
pub(crate) fn literal_prefix(filter: &str) -> &str {
    match filter.find(['+', '#']) {
        // `a/#` matches `a` too, so the separator before a wildcard is not part of the prefix.
        Some(at) => filter[..at].trim_end_matches('/'),
        None => filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for (filter, valid) in [
            ("a/+/b/#", true),
            ("#", true),
            ("/", true),
            ("", false),
            ("a/#/b", false),
            ("+a", false),
            ("a#", false),
            ("$share/g/+a", false),
            ("$share/g/+/a", true),
        ] {
            assert_eq!(is_valid_filter(filter), valid, "{filter}");
        }
    }

    #[test]
    fn matching() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+/b", "a/b", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("#", "a/b/c", true),
            ("a/#", "a", true),
            ("a/#", "ab", false),
            ("a/#", "a/b/c", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("é/+", "é/ü", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
            assert!(
                !expected || topic.starts_with(literal_prefix(filter)),
                "{filter} {topic}"
            );
        }
    }
}
