use std::{fs, path::Path};

use jiff::civil::Time;
use serde::Deserialize;

use crate::{
    load::merged,
    pack::{Pack, PackError},
    params::{Scalar, Value},
};

/// Hours of a day.
const HOURS: usize = 24;
/// Bands of a tariff at most.
const BANDS_MAX: usize = HOURS;

/// What energy costs, hour by hour, as a file of a user says.
#[derive(Debug, Clone, PartialEq)]
pub struct Tariff {
    currency: String,
    /// For a kilowatt-hour in each hour of the day, from midnight on.
    prices: [f64; HOURS],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    currency: String,
    price: f64,
    #[serde(default, rename = "band")]
    bands: Vec<Band>,
}

/// Hours of each day that have a price of their own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Band {
    from: String,
    to: String,
    price: f64,
}

impl Tariff {
    /// Reads a tariff.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, or a time or a price in it is none.
    pub fn load(path: &Path) -> Result<Tariff, PackError> {
        let file = path.display().to_string();
        let source = fs::read_to_string(path).map_err(|error| PackError {
            file: file.clone(),
            field: None,
            words: error.to_string(),
        })?;
        Tariff::parse(&file, &source)
    }

    /// Reads a tariff from text. `file` is what an error calls it.
    ///
    /// # Errors
    /// It is no TOML, or a time or a price in it is none.
    pub fn parse(file: &str, source: &str) -> Result<Tariff, PackError> {
        let error = |field: Option<&str>, words: &str| PackError {
            file: file.to_owned(),
            field: field.map(str::to_owned),
            words: words.trim_end().to_owned(),
        };
        let read: File = toml::from_str(source).map_err(|fault| error(None, &fault.to_string()))?;
        if read.bands.len() > BANDS_MAX {
            return Err(error(Some("band"), &format!("{BANDS_MAX} at most")));
        }
        let mut prices = [read.price; HOURS];
        for band in &read.bands {
            let from = hour(&band.from).map_err(|words| error(Some("from"), &words))?;
            let to = hour(&band.to).map_err(|words| error(Some("to"), &words))?;
            let hours = match (to + HOURS - from) % HOURS {
                0 => HOURS,
                hours => hours,
            };
            for later in 0..hours {
                prices[(from + later) % HOURS] = band.price;
            }
        }
        if prices.iter().any(|price| !price.is_finite()) {
            return Err(error(Some("price"), "it is a finite number"));
        }
        Ok(Tariff {
            currency: read.currency,
            prices,
        })
    }

    /// These packs, and those that come with Tarn and go by prices, with the tariff in the place of what their files say. What the
    /// home sets goes before it.
    ///
    /// # Errors
    /// A price is beyond the bounds of a pack.
    pub fn applied(&self, own: Vec<Pack>) -> Result<Vec<Pack>, PackError> {
        let priced: Vec<Pack> = merged(&own)
            .into_iter()
            .filter(|pack| pack.params.contains_key("currency"))
            .cloned()
            .collect();
        let mut all: Vec<Pack> = own
            .into_iter()
            .filter(|own| !priced.iter().any(|pack| pack.id == own.id))
            .collect();
        for mut pack in priced {
            for (name, value) in [
                ("currency", Value::One(Scalar::Text(self.currency.clone()))),
                ("price", Value::One(Scalar::Number(self.mean()))),
                (
                    "prices",
                    Value::Many(self.prices.map(Scalar::Number).to_vec()),
                ),
            ] {
                let Some(param) = pack.params.get_mut(name) else {
                    continue;
                };
                param.check(&value).map_err(|words| PackError {
                    file: pack.id.clone(),
                    field: Some(name.to_owned()),
                    words,
                })?;
                param.value = value;
            }
            all.push(pack);
        }
        Ok(all)
    }

    fn mean(&self) -> f64 {
        let sum: f64 = self.prices.iter().sum();
        // A tenth of a cent of a cent is enough.
        (sum / HOURS as f64 * 1e5).round() / 1e5
    }
}

/// A time of day that is a whole hour.
fn hour(text: &str) -> Result<usize, String> {
    let time: Time = text
        .parse()
        .map_err(|_| format!("`{text}` is no time of day like 22:00"))?;
    match time.minute() == 0 && time.second() == 0 {
        true => Ok(usize::from(time.hour().unsigned_abs())),
        false => Err(format!("`{text}` is no whole hour")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs;

    const NIGHT: &str = "currency = \"CHF\"\nprice = 0.3\n[[band]]\nfrom = \"22:00\"\nto = \"06:00\"\nprice = 0.2\n\
        [[band]]\nfrom = \"18:00\"\nto = \"20:00\"\nprice = 0.42";

    #[test]
    fn a_band_goes_over_midnight_and_a_later_one_over_an_earlier() {
        let tariff = Tariff::parse("tariff.toml", NIGHT).expect("a tariff");
        for (hour, price) in [
            (0, 0.2),
            (5, 0.2),
            (6, 0.3),
            (18, 0.42),
            (20, 0.3),
            (22, 0.2),
        ] {
            assert_eq!(tariff.prices[hour], price, "{hour}");
        }
        assert_eq!(tariff.mean(), 0.27667);
    }

    #[test]
    fn packs_go_by_it_and_others_stay_as_they_are() {
        let tariff = Tariff::parse("tariff.toml", NIGHT).expect("a tariff");
        let applied = tariff.applied(Vec::new()).expect("packs");
        assert!(applied.len() >= 3, "{applied:?}");
        assert!(applied.len() < packs().len());
        let pack = |id: &str| applied.iter().find(|pack| pack.id == id).expect("a pack");
        let shift = pack("energy-peak-shift")
            .params(&Default::default())
            .expect("params");
        assert_eq!(
            shift.get("currency"),
            Some(&Value::One(Scalar::Text("CHF".into())))
        );
        let daily = pack("energy-daily")
            .params(&Default::default())
            .expect("params");
        assert_eq!(daily.number("price"), Some(0.27667));
        // A home's own pack of the same id stays its own.
        let mut own = pack("energy-daily").clone();
        own.title = "Mine".into();
        let again = tariff.applied(vec![own]).expect("packs");
        assert_eq!(again.len(), applied.len());
        assert!(again.iter().any(|pack| pack.title == "Mine"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refused = |text: &str| Tariff::parse("t", text).expect_err(text).to_string();
        assert!(refused("price = 1").contains("currency"));
        let band = |from: &str| NIGHT.replace("22:00", from);
        assert_eq!(
            refused(&band("25:00")),
            "t: from: `25:00` is no time of day like 22:00"
        );
        assert_eq!(refused(&band("22:30")), "t: from: `22:30` is no whole hour");
        assert!(refused("currency = \"X\"\nprice = nan").contains("finite"));
        let dear = Tariff::parse("t", "currency = \"X\"\nprice = 1e6").expect("a tariff");
        let refused = dear.applied(Vec::new()).expect_err("too dear").to_string();
        assert!(
            refused.contains("prices") || refused.contains("price"),
            "{refused}"
        );
    }
}
