mod table;

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use table::{CLASSES, UNITS};

/// Longest text that may be a unit; anything longer is none.
const UNIT_BYTES_MAX: usize = 32;

/// Letters from which on a spelling is a word and not a symbol: its case says nothing.
const WORD_LETTERS_MIN: usize = 5;

/// Spellings as they stand in the table.
static EXACT: LazyLock<FxHashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let spellings = UNITS.iter().flat_map(|(unit, others)| {
        let others = others.iter().map(move |other| (*other, *unit));
        std::iter::once((*unit, *unit)).chain(others)
    });
    spellings.collect()
});

/// Spellings in lower case, with the one as it stands in the table; none where two units are one in lower case.
static FOLDED: LazyLock<FxHashMap<String, Option<&'static str>>> = LazyLock::new(|| {
    let mut folded: FxHashMap<String, Option<&'static str>> = FxHashMap::default();
    for (spelling, unit) in EXACT.iter() {
        folded
            .entry(spelling.to_lowercase())
            .and_modify(|known| {
                // Of two spellings of one unit the smaller one stands, whatever the order of the map.
                let same = known.filter(|known| EXACT.get(known) == Some(unit));
                *known = same.map(|known| known.min(*spelling));
            })
            .or_insert(Some(*spelling));
    }
    folded
});

/// The one spelling of a unit, Home Assistant's where it has one; none for a unit that nobody knows, whose
/// spelling the caller keeps.
///
/// Superscripts, the sign for micro, and spaces may be written in any of the usual ways; so may the case of letters, but
/// never where it would turn milli into mega.
#[must_use]
pub fn normalise(raw: &str) -> Option<&'static str> {
    let raw = raw.trim();
    if let Some(unit) = EXACT.get(raw) {
        return Some(*unit);
    }
    if raw.is_empty() || raw.len() > UNIT_BYTES_MAX {
        return None;
    }
    let clean = clean(raw);
    if let Some(unit) = EXACT.get(clean.as_str()) {
        return Some(*unit);
    }
    let spelling = (*FOLDED.get(&clean.to_lowercase())?)?;
    may_fold(&clean, spelling)
        .then(|| EXACT.get(spelling).copied())
        .flatten()
}

/// Whether a device class may have this unit, by Home Assistant's table. True for a class that it does not
/// know, and for no unit: a device that says none says nothing wrong.
#[must_use]
pub fn fits(class: &str, unit: &str) -> bool {
    let unit = normalise(unit).unwrap_or(unit.trim());
    let Ok(place) = CLASSES.binary_search_by_key(&class, |(class, _)| class) else {
        return true;
    };
    unit.is_empty() || CLASSES[place].1.contains(&unit)
}

/// The text with its signs as the table has them.
fn clean(raw: &str) -> String {
    let signs = raw
        .replace(['μ', '\u{00b5}'], "µ")
        .replace('º', "°")
        .replace("**", "^")
        .replace([' ', '\u{a0}', '\u{202f}'], "");
    let mut clean = String::with_capacity(signs.len());
    let mut before = ' ';
    for c in signs.chars() {
        match c {
            // Digits behind a letter are powers; `^` only says so once more.
            '2' if before.is_ascii_lowercase() || before == '^' => clean.push('²'),
            '3' if before.is_ascii_lowercase() || before == '^' => clean.push('³'),
            '^' => {}
            _ => clean.push(c),
        }
        before = c;
    }
    clean
}

/// Whether a text may stand for a spelling that differs from it in case only. Single letters are other units in the other
/// case (`s`, `S`), and so are symbols with `m` for milli and `M` for mega.
fn may_fold(text: &str, spelling: &str) -> bool {
    let is_word = |text: &str| {
        text.len() >= WORD_LETTERS_MIN && text.bytes().all(|b| b.is_ascii_alphabetic())
    };
    let first = |text: &str| text.chars().next();
    let is_m = |c: Option<char>| matches!(c, Some('m' | 'M'));
    if text.chars().nth(1).is_none() {
        return false;
    }
    is_word(spelling) || !is_m(first(spelling)) || first(text) == first(spelling)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the edge takes off the end of a number.
    const OF_SCALARS: &[&str] = &[
        "%", "°", "°C", "°F", "K", "W", "kW", "MW", "VA", "kVA", "var", "Wh", "kWh", "MWh", "J",
        "kJ", "MJ", "GJ", "V", "mV", "kV", "A", "mA", "Hz", "kHz", "MHz", "GHz", "Pa", "hPa",
        "kPa", "bar", "mbar", "psi", "mmHg", "inHg", "lx", "lm", "ppm", "ppb", "µg/m³", "μg/m³",
        "ug/m3", "mg/m³", "g/m³", "m/s", "km/h", "mph", "kn", "mm", "cm", "m", "km", "in", "ft",
        "mi", "mm/h", "in/h", "L", "l", "mL", "ml", "m³", "m3", "ft³", "gal", "L/min", "L/h",
        "m³/h", "g", "kg", "mg", "µg", "lb", "oz", "dB", "dBA", "dBm", "s", "ms", "µs", "min", "h",
        "d", "B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "bit/s", "kbit/s", "Mbit/s", "B/s",
        "kB/s", "MB/s", "µS/cm", "W/m²", "UV index", "rpm", "lqi", "pH", "€", "EUR", "USD",
        "EUR/kWh", "kWh/h", "C", "F", "Ω", "kΩ", "S", "N", "Nm",
    ];

    #[test]
    fn a_unit_has_one_spelling() {
        for (raw, unit) in [
            ("C", "°C"),
            ("celsius", "°C"),
            ("Celsius", "°C"),
            ("degC", "°C"),
            ("Cel", "°C"),
            ("º C", "°C"),
            ("℃", "°C"),
            ("lux", "lx"),
            ("Lux", "lx"),
            ("kwh", "kWh"),
            ("KWH", "kWh"),
            (" kWh ", "kWh"),
            ("W.h", "Wh"),
            ("m3", "m³"),
            ("m^3", "m³"),
            ("m**3", "m³"),
            ("M3", ""),
            ("ug/m3", "µg/m³"),
            ("μg/m³", "µg/m³"),
            ("\u{b5}g/m^3", "µg/m³"),
            ("µg / m³", "µg/m³"),
            ("%RH", "%"),
            ("[ppm]", "ppm"),
            ("percent", "%"),
            ("deg", "°"),
            ("RPM", "rpm"),
            ("1/min", "rpm"),
            ("l/min", "L/min"),
            ("VAr", "var"),
            ("hpa", "hPa"),
            ("HZ", "Hz"),
            ("Minutes", "min"),
            ("€", "EUR"),
            ("W/m2", "W/m²"),
            ("ft3", "ft³"),
            ("inH2O", "inH₂O"),
        ] {
            let wanted = (!unit.is_empty()).then_some(unit);
            assert_eq!(normalise(raw), wanted, "{raw}");
        }
    }

    #[test]
    fn milli_is_never_mega() {
        assert_eq!(normalise("mW"), Some("mW"));
        assert_eq!(normalise("MW"), Some("MW"));
        assert_eq!(normalise("mw"), None);
        assert_eq!(normalise("Ma"), None);
        assert_eq!(normalise("MS/cm"), None);
        assert_eq!(normalise("mpa"), None);
        assert_eq!(normalise("D"), None);
    }

    #[test]
    fn what_is_no_unit_stays_unknown() {
        for raw in ["", " ", "banana", "kWhh", "🦀", &"m".repeat(10_000), "\0"] {
            assert_eq!(normalise(raw), None, "{raw}");
        }
    }

    #[test]
    fn every_unit_of_a_plain_value_is_known() {
        for raw in OF_SCALARS {
            assert!(normalise(raw).is_some(), "{raw}");
        }
    }

    #[test]
    fn tables_agree() {
        assert!(CLASSES.is_sorted_by_key(|(class, _)| class));
        let spellings = UNITS.iter().map(|(_, others)| 1 + others.len());
        assert_eq!(
            spellings.sum::<usize>(),
            EXACT.len(),
            "one spelling, two units"
        );
        for (unit, others) in UNITS {
            for spelling in others.iter().chain([unit]) {
                assert_eq!(normalise(spelling), Some(*unit), "{spelling}");
            }
        }
        for (class, units) in CLASSES {
            for unit in *units {
                assert_eq!(normalise(unit), Some(*unit), "{class}");
            }
        }
    }

    #[test]
    fn a_class_has_its_units() {
        for (class, unit, wanted) in [
            ("temperature", "°C", true),
            ("temperature", "C", true),
            ("temperature", "%", false),
            ("energy", "kwh", true),
            ("energy", "W", false),
            ("power", "BTU/h", true),
            ("battery", "V", false),
            ("pm25", "ug/m3", true),
            ("ph", "pH", true),
            ("aqi", "ppm", false),
            ("power_factor", "", true),
            ("door", "banana", true),
            ("monetary", "EUR", true),
            ("humidity", "banana", false),
        ] {
            assert_eq!(fits(class, unit), wanted, "{class} in {unit}");
        }
    }
}
