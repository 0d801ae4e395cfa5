/// What one plain value says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalar<'a> {
    /// The number; switch words are 1 and 0.
    pub value: Option<f64>,
    /// The words, where they are not just a number.
    pub text: Option<&'a str>,
    /// Unit behind the number.
    pub unit: Option<&'a str>,
}

impl<'a> Scalar<'a> {
    /// A number.
    #[must_use]
    pub fn number(value: f64) -> Self {
        Scalar {
            value: Some(value),
            text: None,
            unit: None,
        }
    }

    /// Words that are no number.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Scalar {
            value: None,
            text: Some(text),
            unit: None,
        }
    }

    /// A boolean: 1 or 0, with its word.
    #[must_use]
    pub fn switch(on: bool, word: &'a str) -> Self {
        Scalar {
            value: Some(f64::from(u8::from(on))),
            text: Some(word),
            unit: None,
        }
    }
}

/// Units taken off the end of a number: UCUM and Home Assistant spellings.
const UNITS: &[&str] = &[
    "%", "°", "°C", "°F", "K", "W", "kW", "MW", "VA", "kVA", "var", "Wh", "kWh", "MWh", "J", "kJ",
    "MJ", "GJ", "V", "mV", "kV", "A", "mA", "Hz", "kHz", "MHz", "GHz", "Pa", "hPa", "kPa", "bar",
    "mbar", "psi", "mmHg", "inHg", "lx", "lm", "ppm", "ppb", "µg/m³", "μg/m³", "ug/m3", "mg/m³",
    "g/m³", "m/s", "km/h", "mph", "kn", "mm", "cm", "m", "km", "in", "ft", "mi", "mm/h", "in/h",
    "L", "l", "mL", "ml", "m³", "m3", "ft³", "gal", "L/min", "L/h", "m³/h", "g", "kg", "mg", "µg",
    "lb", "oz", "dB", "dBA", "dBm", "s", "ms", "µs", "min", "h", "d", "B", "kB", "MB", "GB", "TB",
    "KiB", "MiB", "GiB", "bit/s", "kbit/s", "Mbit/s", "B/s", "kB/s", "MB/s", "µS/cm", "W/m²",
    "UV index", "rpm", "lqi", "pH", "€", "EUR", "USD", "EUR/kWh", "kWh/h", "C", "F", "Ω", "kΩ",
    "S", "N", "Nm",
];

/// Read a plain value: `21.5`, `23°C`, `23.1 °C`, `on`, `locked`. Surrounding space does not count.
///
/// `on`, `off`, `true` and `false` in any case are 1 and 0 and keep their word. A number must be
/// finite: `NaN`, `inf` and `1e400` stay text.
#[must_use]
pub fn scalar(text: &str) -> Scalar<'_> {
    let text = text.trim();
    if let Some(number) = finite(text) {
        return Scalar::number(number);
    }
    for (word, on) in [
        ("on", true),
        ("off", false),
        ("true", true),
        ("false", false),
    ] {
        if text.eq_ignore_ascii_case(word) {
            return Scalar::switch(on, text);
        }
    }
    with_unit(text).unwrap_or(Scalar::text(text))
}

/// A decimal number, not the words that Rust also takes for floats (`inf`, `nan`, `infinity`).
fn finite(text: &str) -> Option<f64> {
    let first = text.bytes().find(|b| !matches!(b, b'+' | b'-'))?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn with_unit(text: &str) -> Option<Scalar<'_>> {
    let in_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
    let end = text.find(|c| !in_number(c))?;
    let number = finite(&text[..end])?;
    let unit = text[end..].trim_start();
    UNITS.contains(&unit).then_some(Scalar {
        value: Some(number),
        text: None,
        unit: Some(unit),
    })
}
