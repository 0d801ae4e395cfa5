use std::sync::Arc;

use cel::Env;

use crate::{
    expression::{Expression, Moment, Refused, evaluate::Bound},
    rule::Action,
    world::World,
};

/// What stands where a place in a text cannot be filled in.
const UNKNOWN: &str = "?";

/// Places that a text may have.
pub const PLACES_MAX: usize = 16;

/// A text with places, `{{ expression }}`, that are filled in when a rule fires.
#[derive(Debug)]
pub struct Text {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Words(Box<str>),
    Place(Bound),
}

impl Text {
    /// Reads a text; none where it has no places and stays as it is.
    ///
    /// # Errors
    /// A place does not end, its expression is refused, or there are too many.
    pub fn parse(source: &str) -> Result<Option<Text>, Refused> {
        let mut parts = Vec::new();
        let mut places = 0;
        let mut rest = source;
        while let Some((words, after)) = rest.split_once("{{") {
            let Some((place, after)) = after.split_once("}}") else {
                return Err(Refused("a `{{` in the text has no `}}`".to_owned()));
            };
            places += 1;
            if places > PLACES_MAX {
                return Err(Refused(format!("a text may have {PLACES_MAX} places")));
            }
            if !words.is_empty() {
                parts.push(Part::Words(words.into()));
            }
            parts.push(Part::Place(Bound::new(Expression::parse(place.trim())?)));
            rest = after;
        }
        if places == 0 {
            return Ok(None);
        }
        if !rest.is_empty() {
            parts.push(Part::Words(rest.into()));
        }
        Ok(Some(Text { parts }))
    }

    /// The expressions in it.
    pub fn places(&self) -> impl Iterator<Item = &Bound> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(bound) => Some(bound),
            Part::Words(_) => None,
        })
    }

    /// Looks up the series of its places.
    pub fn bind(&mut self, world: &mut World) {
        for part in &mut self.parts {
            if let Part::Place(bound) = part {
                bound.bind(world);
            }
        }
    }

    /// The text with its places filled in, and what went wrong with the first that could not be; a `?` stands there.
    #[must_use]
    pub fn fill(&self, env: &Arc<Env>, moment: Moment<'_>) -> (String, Option<String>) {
        let mut text = String::new();
        let mut fault = None;
        for part in &self.parts {
            match part {
                Part::Words(words) => text.push_str(words),
                Part::Place(bound) => match bound.words(env, moment) {
                    Ok(words) => text.push_str(&words),
                    Err(words) => {
                        text.push_str(UNKNOWN);
                        fault.get_or_insert(words);
                    }
                },
            }
        }
        (text, fault)
    }
}

/// The texts of an action that may have places, and how they are called.
pub(crate) fn texts_of(action: &mut Action) -> Vec<(&'static str, &mut String)> {
    match action {
        Action::Notify { title, message } => {
            let mut texts = vec![("title", title)];
            texts.extend(message.as_mut().map(|message| ("message", message)));
            texts
        }
        Action::Raise { message, .. } => vec![("message", message)],
        Action::Publish {
            payload: serde_json::Value::String(payload),
            ..
        } => vec![("payload", payload)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{expression::environment, place::Place};

    fn filled(source: &str) -> (String, Option<String>) {
        let mut world = World::default();
        world.mode = Some("night".to_owned());
        let place = Place {
            zone: TimeZone::UTC,
            coordinates: None,
        };
        let moment = Moment {
            world: &world,
            place: &place,
            now_ms: 5_400_000,
        };
        let text = Text::parse(source).expect(source).expect("places");
        text.fill(&environment(), moment)
    }

    #[test]
    fn places_are_filled_in() {
        assert_eq!(
            filled("It is {{ hour }}:{{minute}}, {{ mode }}."),
            ("It is 1:30, night.".to_owned(), None)
        );
        assert_eq!(filled("{{ hour / 3.0 }}").0, "0.333");
        assert_eq!(filled("{{ hour == 1 }}").0, "true");
    }

    #[test]
    fn what_is_not_known_is_a_question_mark() {
        let fault = Some("a/b told nothing yet".to_owned());
        assert_eq!(
            filled("{{ value('a/b') }} ppm"),
            ("? ppm".to_owned(), fault)
        );
    }

    #[test]
    fn texts_that_cannot_be_read_are_refused() {
        assert!(Text::parse("plain } text {").expect("text").is_none());
        assert!(Text::parse("{{ hour").is_err());
        assert!(Text::parse("{{ }}").is_err());
        assert!(Text::parse(&"{{hour}}".repeat(17)).is_err());
    }
}
