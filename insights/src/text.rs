use crate::expression::{Expression, Scope};

/// What stands where a place in a text cannot be filled in.
const UNKNOWN: &str = "?";

/// Places that a text may have.
const PLACES_MAX: usize = 24;

/// Bytes of a text at most.
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// A text with places, `{{ expression }}`, that are filled in from a row.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Words(String),
    Place(Expression),
}

impl Text {
    pub(crate) fn parse(source: &str, is_param: &impl Fn(&str) -> bool) -> Result<Text, String> {
        if source.len() > TEXT_BYTES_MAX {
            return Err(format!("a text has {TEXT_BYTES_MAX} bytes at most"));
        }
        let mut parts = Vec::new();
        let mut rest = source.trim();
        while let Some((words, after)) = rest.split_once("{{") {
            let Some((place, after)) = after.split_once("}}") else {
                return Err("a `{{` in the text has no `}}`".to_owned());
            };
            if parts.len() / 2 >= PLACES_MAX {
                return Err(format!("a text has {PLACES_MAX} places at most"));
            }
            parts.push(Part::Words(words.to_owned()));
            parts.push(Part::Place(Expression::parse(place.trim(), is_param)?));
            rest = after;
        }
        parts.push(Part::Words(rest.to_owned()));
        Ok(Text { parts })
    }

    /// The text with its places filled in; a place that cannot be is a `?`.
    pub(crate) fn fill(&self, scope: &Scope<'_>) -> String {
        self.fill_with(scope, |_| Ok(UNKNOWN.to_owned()))
            .unwrap_or_default()
    }

    /// The text with its places filled in.
    pub(crate) fn fill_wholly(&self, scope: &Scope<'_>) -> Result<String, String> {
        self.fill_with(scope, Err)
    }

    fn fill_with(
        &self,
        scope: &Scope<'_>,
        otherwise: impl Fn(String) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Words(words) => text.push_str(words),
                Part::Place(place) => text.push_str(&place.words(scope).or_else(&otherwise)?),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Params, Row, expression::Frame};

    #[test]
    fn places_are_filled_in() {
        let row: Row = serde_json::from_str(r#"{"a": 1.5, "b": null}"#).expect("row");
        let scope = Frame::new(&Params::default(), 0).scope(&row);
        let text = |source| Text::parse(source, &|_| false).expect(source);
        assert_eq!(
            text(" {{ row.a }} of {{row.a * 2}} ").fill(&scope),
            "1.5 of 3"
        );
        assert_eq!(text("{{ row.b }} kWh").fill(&scope), "? kWh");
        assert!(text("{{ row.b }} kWh").fill_wholly(&scope).is_err());
        for source in [
            "{{ row.a",
            "{{ }}",
            "{{ params.x }}",
            &"{{ row.a }}".repeat(25),
        ] {
            assert!(Text::parse(source, &|_| false).is_err(), "{source}");
        }
    }
}
