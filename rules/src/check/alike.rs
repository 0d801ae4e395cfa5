/// Names that a hint gives at most.
const NAMES_MAX: usize = 3;

/// `, did you mean …?` with the known names that look like this one; nothing where none does.
pub(crate) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let bound = (name.chars().count() / 3).clamp(1, 4);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter(|known| known.len().abs_diff(name.len()) <= 2 * bound)
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= bound)
        .collect();
    near.sort_unstable();
    near.truncate(NAMES_MAX);
    if near.is_empty() {
        return String::new();
    }
    let names: Vec<String> = near.iter().map(|(_, name)| format!("`{name}`")).collect();
    format!(", did you mean {}?", names.join(" or "))
}

/// How many characters must be put in, taken out or replaced to get from one text to the other (Levenshtein), in any
/// case of letters.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_found() {
        let known = ["kitchen", "kitchen/climate", "bath", "hall"];
        assert_eq!(hint("kithcen", known), ", did you mean `kitchen`?");
        assert_eq!(hint("Bath", known), ", did you mean `bath`?");
        assert_eq!(hint("garage", known), "");
        assert_eq!(distance("ab", "ba"), 2);
        assert_eq!(distance("", "abc"), 3);
    }
}
