use std::time::SystemTime;

use s3s::{
    S3Error, S3Result,
    dto::{ETag, ETagCondition, Timestamp},
    s3_error,
};

use crate::tree::{ObjectMeta, TreeError};

/// What a PUT demands of what is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PutCondition {
    /// There is nothing.
    Absent,
    /// There is something.
    Present,
    /// There is this one.
    Is(String),
}

impl PutCondition {
    /// From the headers of a PUT. "If it is not this one" S3 itself does not have for puts.
    pub(crate) fn of(
        if_match: Option<ETagCondition>,
        if_none_match: Option<ETagCondition>,
    ) -> S3Result<Option<PutCondition>> {
        match (if_match, if_none_match) {
            (None, None) => Ok(None),
            (None, Some(ETagCondition::Any)) => Ok(Some(PutCondition::Absent)),
            (Some(ETagCondition::Any), None) => Ok(Some(PutCondition::Present)),
            (Some(ETagCondition::ETag(tag)), None) => Ok(Some(PutCondition::Is(tag.into_value()))),
            _ => Err(s3_error!(
                NotImplemented,
                "of conditions, a PUT may have If-Match, or If-None-Match: *"
            )),
        }
    }

    /// Whether it holds.
    pub(crate) fn check(&self, there: Option<&ObjectMeta>) -> Result<(), TreeError> {
        match (self, there) {
            (PutCondition::Absent, None) | (PutCondition::Present, Some(_)) => Ok(()),
            (PutCondition::Is(tag), Some(there)) if *tag == there.tag => Ok(()),
            (PutCondition::Is(_) | PutCondition::Present, None) => Err(TreeError::NotFound),
            _ => Err(TreeError::Condition),
        }
    }
}

/// What a GET or HEAD demands.
#[derive(Debug, Default)]
pub(crate) struct GetConditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl GetConditions {
    /// Whether the object is to be sent. RFC 9110, 13.2.2: a tag that is named decides before a time.
    pub(crate) fn check(&self, there: &ObjectMeta) -> S3Result<()> {
        let is = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => tag.value() == there.tag,
        };
        let modified = whole_seconds(there.modified);
        let holds = match (&self.if_match, &self.if_unmodified_since) {
            (Some(tag), _) => is(tag),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !holds {
            return Err(s3_error!(PreconditionFailed));
        }
        let is_known = match (&self.if_none_match, &self.if_modified_since) {
            (Some(tag), _) => is(tag),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if is_known {
            return Err(not_modified());
        }
        Ok(())
    }
}

/// Headers tell whole seconds.
fn whole_seconds(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    (SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())).into()
}

fn not_modified() -> S3Error {
    s3_error!(NotModified)
}

/// The tag of an object as the protocol has it.
pub(crate) fn etag(meta: &ObjectMeta) -> ETag {
    ETag::Strong(meta.tag.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use s3s::S3ErrorCode;

    use super::*;

    fn meta(tag: &str) -> ObjectMeta {
        ObjectMeta {
            size: 1,
            modified: SystemTime::UNIX_EPOCH + Duration::from_millis(100_500),
            tag: tag.into(),
        }
    }

    fn tag(tag: &str) -> Option<ETagCondition> {
        Some(ETagCondition::ETag(ETag::Strong(tag.into())))
    }

    fn at(seconds: u64) -> Option<Timestamp> {
        Some((SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into())
    }

    #[test]
    fn a_put_goes_on_only_where_its_condition_holds() {
        let any = || Some(ETagCondition::Any);
        let there = meta("x");
        for (if_match, if_none_match, on_absent, on_there) in [
            (None, any(), true, false),
            (any(), None, false, true),
            (tag("x"), None, false, true),
            (tag("y"), None, false, false),
        ] {
            let condition = PutCondition::of(if_match, if_none_match)
                .expect("known")
                .expect("some");
            assert_eq!(condition.check(None).is_ok(), on_absent, "{condition:?}");
            assert_eq!(
                condition.check(Some(&there)).is_ok(),
                on_there,
                "{condition:?}"
            );
        }
        assert_eq!(PutCondition::of(None, None).expect("known"), None);
        for (a, b) in [(None, tag("x")), (any(), any())] {
            let error = PutCondition::of(a, b).expect_err("not known");
            assert_eq!(*error.code(), S3ErrorCode::NotImplemented);
        }
    }

    #[test]
    fn a_get_is_answered_only_where_its_conditions_hold() {
        let check = |conditions: GetConditions, code: Option<S3ErrorCode>| {
            let found = conditions.check(&meta("x")).err().map(|e| e.code().clone());
            assert_eq!(found, code, "{conditions:?}");
        };
        let none = GetConditions::default;
        check(none(), None);
        check(
            GetConditions {
                if_match: tag("x"),
                ..none()
            },
            None,
        );
        check(
            GetConditions {
                if_match: tag("y"),
                ..none()
            },
            Some(S3ErrorCode::PreconditionFailed),
        );
        check(
            GetConditions {
                if_none_match: tag("x"),
                ..none()
            },
            Some(S3ErrorCode::NotModified),
        );
        check(
            GetConditions {
                if_none_match: tag("y"),
                ..none()
            },
            None,
        );
        check(
            GetConditions {
                if_modified_since: at(100),
                ..none()
            },
            Some(S3ErrorCode::NotModified),
        );
        check(
            GetConditions {
                if_modified_since: at(99),
                ..none()
            },
            None,
        );
        check(
            GetConditions {
                if_unmodified_since: at(100),
                ..none()
            },
            None,
        );
        check(
            GetConditions {
                if_unmodified_since: at(99),
                ..none()
            },
            Some(S3ErrorCode::PreconditionFailed),
        );
        // A tag decides, whatever the times say.
        check(
            GetConditions {
                if_match: tag("x"),
                if_unmodified_since: at(1),
                ..none()
            },
            None,
        );
        check(
            GetConditions {
                if_none_match: tag("y"),
                if_modified_since: at(999),
                ..none()
            },
            None,
        );
    }
}
