/// The forms that rows come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Arrow,
    Parquet,
}

/// JSON.
pub(crate) const JSON: &str = "application/json";
/// Comma-separated values, UTF-8, with a header line.
pub(crate) const CSV: &str = "text/csv";
/// An Arrow IPC stream.
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";
/// A Parquet file.
pub(crate) const PARQUET: &str = "application/vnd.apache.parquet";

const FORMATS: [(&str, Format); 4] = [
    (JSON, Format::Json),
    (CSV, Format::Csv),
    (ARROW, Format::Arrow),
    (PARQUET, Format::Parquet),
];

/// The form that an `Accept` header likes best; JSON where it does not mind, none where it wants
/// nothing that there is.
pub(crate) fn choose(accept: Option<&str>) -> Option<Format> {
    let Some(accept) = accept.filter(|a| !a.trim().is_empty()) else {
        return Some(Format::Json);
    };
    let ranges: Vec<(&str, f32)> = accept.split(',').map(range).collect();
    let liked = FORMATS
        .iter()
        .map(|(name, format)| (quality(&ranges, name), format));
    // Of two liked alike the earlier of FORMATS is taken.
    let best = liked.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (best.0 > 0.0).then_some(*best.1)
}

fn range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts
        .find_map(|p| p.strip_prefix("q="))
        .map_or(Some(1.0), |q| q.parse().ok());
    (name, quality.unwrap_or(0.0))
}

/// The quality that the most specific range gives a type.
fn quality(ranges: &[(&str, f32)], name: &str) -> f32 {
    let group = name.split('/').next().unwrap_or_default();
    let specificity = |range: &str| {
        if range.eq_ignore_ascii_case(name) {
            3
        } else if range
            .strip_suffix("/*")
            .is_some_and(|g| g.eq_ignore_ascii_case(group))
        {
            2
        } else {
            u8::from(range == "*/*")
        }
    };
    let matching = ranges.iter().filter(|(range, _)| specificity(range) > 0);
    matching
        .max_by_key(|(range, _)| specificity(range))
        .map_or(0.0, |(_, quality)| *quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_is_chosen() {
        let check = |accept: &str, format| assert_eq!(choose(Some(accept)), format, "{accept}");
        check("", Some(Format::Json));
        check("*/*", Some(Format::Json));
        check("text/csv", Some(Format::Csv));
        check("text/*, application/json;q=0.5", Some(Format::Csv));
        check(
            "text/html, application/xhtml+xml, */*;q=0.8",
            Some(Format::Json),
        );
        check(
            "application/vnd.apache.parquet;q=0.9, text/csv;q=0.1",
            Some(Format::Parquet),
        );
        check("application/json;q=0, */*", Some(Format::Csv));
        check("image/png", None);
        check("text/csv;q=0", None);
        check("text/csv;q=many", None);
        assert_eq!(choose(None), Some(Format::Json));
    }
}
