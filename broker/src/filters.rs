//! Topic filters as a tree.
//!
//! A wildcard is stored as a level like any other: a topic name never holds one, so they cannot be
//! confused.

use std::{collections::HashMap, str::Split};

/// A map from valid topic filters to values that finds all that match a topic.
#[derive(Debug)]
pub(crate) struct FilterTree<T> {
    root: Node<T>,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    value: Option<T>,
    below: HashMap<Box<str>, Node<T>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node {
            value: None,
            below: HashMap::new(),
        }
    }
}

impl<T> Default for FilterTree<T> {
    fn default() -> Self {
        FilterTree {
            root: Node::default(),
            len: 0,
        }
    }
}

impl<T> FilterTree<T> {
    /// Number of filters.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The value of exactly this filter.
    pub(crate) fn get(&self, filter: &str) -> Option<&T> {
        filter
            .split('/')
            .try_fold(&self.root, |node, level| node.below.get(level))?
            .value
            .as_ref()
    }

    /// The value of exactly this filter, to change it.
    pub(crate) fn get_mut(&mut self, filter: &str) -> Option<&mut T> {
        filter
            .split('/')
            .try_fold(&mut self.root, |node, level| node.below.get_mut(level))?
            .value
            .as_mut()
    }

    /// Set the value of a filter; returns the one it had.
    pub(crate) fn insert(&mut self, filter: &str, value: T) -> Option<T> {
        let node = filter.split('/').fold(&mut self.root, |node, level| {
            node.below.entry(level.into()).or_default()
        });
        let old = node.value.replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Take a filter out, with the branches that only it needed.
    pub(crate) fn remove(&mut self, filter: &str) -> Option<T> {
        let value = self.root.remove(filter.split('/'))?;
        self.len -= 1;
        Some(value)
    }

    /// Call `found` for every filter that matches the topic.
    pub(crate) fn each_match<'t>(&'t self, topic: &str, mut found: impl FnMut(&'t T)) {
        // A wildcard at the front does not match names that begin with `$`.
        let wildcards = !topic.starts_with('$');
        self.root
            .each_match(topic.split('/'), wildcards, &mut found);
    }
}

impl<T> Node<T> {
    fn remove(&mut self, mut levels: Split<'_, char>) -> Option<T> {
        let Some(level) = levels.next() else {
            return self.value.take();
        };
        let node = self.below.get_mut(level)?;
        let value = node.remove(levels)?;
        if node.value.is_none() && node.below.is_empty() {
            self.below.remove(level);
        }
        Some(value)
    }

    fn each_match<'t>(
        &'t self,
        mut levels: Split<'_, char>,
        wildcards: bool,
        found: &mut impl FnMut(&'t T),
    ) {
        if wildcards && let Some(value) = self.below.get("#").and_then(|n| n.value.as_ref()) {
            found(value);
        }
        let Some(level) = levels.next() else {
            if let Some(value) = &self.value {
                found(value);
            }
            return;
        };
        if let Some(node) = self.below.get(level) {
            node.each_match(levels.clone(), true, found);
        }
        if wildcards && let Some(node) = self.below.get("+") {
            node.each_match(levels, true, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics;

    #[test]
    fn agrees_with_plain_matching() {
        let filters = [
            "a", "a/b", "a/+", "a/#", "+/b", "#", "+", "+/+", "/+", "$s/#", "$s/+", "a//b",
        ];
        let topics = [
            "a", "a/b", "a/b/c", "/a", "a/", "$s/x", "$s", "a//b", "b", "c/b",
        ];
        let mut tree = FilterTree::default();
        for filter in filters {
            assert_eq!(tree.insert(filter, filter), None);
        }
        for topic in topics {
            let mut found = Vec::new();
            tree.each_match(topic, |f| found.push(*f));
            found.sort_unstable();
            let mut expected: Vec<_> = filters
                .into_iter()
                .filter(|f| topics::matches(f, topic))
                .collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{topic}");
        }
        for filter in filters {
            assert_eq!(tree.remove(filter), Some(filter));
            assert_eq!(tree.remove(filter), None);
        }
        assert_eq!(tree.len(), 0);
        assert!(tree.root.below.is_empty());
    }
}
