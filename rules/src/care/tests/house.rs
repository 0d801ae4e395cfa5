use jiff::{Timestamp, tz::TimeZone};

use super::*;

/// A healthy house: sensors of all kinds, day and night, people who come and go, 5 % of readings that get lost. It lives
/// by the clock of Berlin, summer time included.
struct House {
    home: Home,
    dice: Dice,
    zone: TimeZone,
    /// Values that wander.
    co2: f64,
    humidity: f64,
    energy: f64,
    battery: f64,
    door: bool,
}

const LOST: f64 = 0.05;

impl House {
    fn new(begin: &str, seed: u64) -> House {
        let mut home = Home::new();
        home.now_ms = begin.parse::<Timestamp>().expect("time").as_millisecond();
        home.set_clock(0);
        for (series, class, unit) in [
            ("hall/temperature", "temperature", "°C"),
            ("living/temperature", "temperature", "°C"),
            ("living/humidity", "humidity", "%"),
            ("living/co2", "carbon_dioxide", "ppm"),
            ("living/battery", "battery", "%"),
            ("cellar/temperature", "temperature", "°C"),
            ("garden/temperature", "temperature", "°C"),
            ("bath/temperature", "temperature", "°C"),
            ("tv/power", "power", "W"),
            ("washer/power", "power", "W"),
            ("washer/voltage", "voltage", "V"),
            ("fridge/power", "power", "W"),
            ("office/power", "power", "W"),
            ("door/battery", "battery", "%"),
        ] {
            home.describe(series, class, unit);
        }
        home.describe_as(
            "heater/target",
            &SeriesInfo {
                class: Some("temperature"),
                unit: Some("°C"),
                settable: true,
                ..SeriesInfo::default()
            },
        );
        home.describe_as(
            "washer/energy",
            &SeriesInfo {
                class: Some("energy"),
                unit: Some("kWh"),
                state_class: Some("total_increasing"),
                ..SeriesInfo::default()
            },
        );
        home.care
            .set_neighbours([[("hall", "temperature"), ("living", "temperature")]]);
        House {
            home,
            dice: Dice(seed),
            zone: TimeZone::get("Europe/Berlin").expect("zone"),
            co2: 500.0,
            humidity: 45.0,
            energy: 100.0,
            battery: 90.0,
            door: false,
        }
    }

    fn tell(&mut self, series: &str, value: f64) {
        if !self.dice.happens(LOST) {
            self.home.tell(series, value);
        }
    }

    /// Hour of the day in the home, and whether it is a weekday.
    fn local(&self) -> (f64, bool) {
        let at = Timestamp::from_millisecond(self.home.now_ms).expect("time");
        let at = at.to_zoned(self.zone.clone());
        let hour = f64::from(at.hour()) + f64::from(at.minute()) / 60.0;
        (hour, at.weekday().to_monday_one_offset() <= 5)
    }

    fn noise(&mut self, most: f64) -> f64 {
        self.dice.between(-most, most)
    }

    /// What happens in a minute of this number.
    fn minute(&mut self, number: i64) {
        let (hour, weekday) = self.local();
        let awake = (7.0..23.0).contains(&hour) && !(weekday && (8.5..17.0).contains(&hour));
        let day = (hour - 9.0) * std::f64::consts::TAU / 24.0;
        let outside = 4.0 + 6.0 * day.sin() + 3.0 * (number as f64 / 9_000.0).sin();
        let inside = if awake { 21.0 } else { 18.5 } + 0.1 * outside;
        let jitter = (self.dice.share() * 8.0 * SECOND as f64) as i64;
        self.home.pass(jitter);
        let noise = self.noise(0.15);
        self.tell("living/temperature", tenths(inside + noise));
        let noise = self.noise(0.25);
        self.tell("hall/temperature", tenths(inside - 1.5 + noise));
        let noise = self.noise(0.4);
        self.humidity = (self.humidity + noise).clamp(30.0, 65.0);
        self.tell("living/humidity", self.humidity.round());
        if number % 5 == 0 {
            let aim = if awake { 1_100.0 } else { 480.0 };
            self.co2 += (aim - self.co2) / 12.0;
            let noise = self.noise(15.0);
            self.tell("living/co2", (self.co2 + noise).round());
        }
        self.plugs(number, hour, weekday, awake);
        self.rare(number, outside, awake);
        self.home.pass(MINUTE - jitter);
    }

    fn plugs(&mut self, number: i64, hour: f64, weekday: bool, awake: bool) {
        let noise = self.noise(1.0);
        self.tell("washer/voltage", tenths(230.0 + noise));
        let washes = number % 4_320 < 90 && awake;
        let power = if washes { 800.0 + noise } else { 0.0 };
        self.tell("washer/power", tenths(power));
        self.energy += power / 60_000.0;
        self.tell("washer/energy", (self.energy * 100.0).round() / 100.0);
        let cools = number % 40 < 15;
        self.tell(
            "fridge/power",
            if cools { 60.0 + noise.round() } else { 1.2 },
        );
        if weekday && (9.0..17.0).contains(&hour) {
            self.tell("office/power", tenths(45.0 + 5.0 * noise));
        }
        if (19.0..22.5).contains(&hour) {
            for _ in 0..5 {
                let noise = self.noise(6.0);
                self.tell("tv/power", tenths(80.0 + noise));
                self.home.pass(5 * SECOND);
            }
            self.home.now_ms -= 25 * SECOND;
        }
    }

    fn rare(&mut self, number: i64, outside: f64, awake: bool) {
        if number % 60 == 17 {
            self.tell("garden/temperature", tenths(outside));
            // In half degrees, and the same for days.
            let cellar = 11.0 + (number as f64 / 20_000.0).sin();
            self.tell("cellar/temperature", (cellar * 2.0).round() / 2.0);
            self.tell("heater/target", 21.0);
        }
        // Once in a while a sensor says nonsense, once.
        if number % 5_003 == 5_000 {
            self.home.tell("garden/temperature", -127.0);
        }
        if number % 720 == 3 {
            self.battery -= 0.1;
            self.tell("living/battery", self.battery.round());
        }
        if awake && self.dice.happens(0.05) {
            self.door = !self.door;
            self.home
                .tell("door/contact", f64::from(u8::from(self.door)));
            self.tell("door/battery", 80.0);
        }
        // A shower; and a sensor that tells only changes.
        if self.dice.happens(if awake { 0.15 } else { 0.01 }) {
            let noise = self.noise(2.0);
            self.home
                .tell("bath/temperature", (43.0 + noise).round() / 2.0);
            self.home.tell("motion/occupancy", 1.0);
        }
        // Away for some minutes, once a day.
        if matches!(number % 1_440, 700 | 704) {
            self.home.online("washer", number % 1_440 == 704);
        }
    }
}

fn check(begin: &str, seed: u64) {
    let mut house = House::new(begin, seed);
    for number in 0..30 * 24 * 60 {
        house.minute(number);
    }
    assert_eq!(house.home.changed(), [""; 0], "seed {seed}");
    // And it would have been seen: everything stops.
    house.home.pass(3 * DAY);
    let told = house.home.changed();
    for device in [
        "hall", "living", "fridge", "washer", "garden", "cellar", "heater",
    ] {
        let line = format!("began silent {device}");
        assert!(told.contains(&line), "seed {seed}: {line} in {told:?}");
    }
    assert_eq!(told.len(), 7, "seed {seed}: {told:?}");
}

#[test]
fn a_healthy_house_has_no_faults_when_summer_time_begins() {
    for seed in 0..2 {
        check("2025-03-16T10:00:00Z", seed);
    }
}

#[test]
fn a_healthy_house_has_no_faults_when_summer_time_ends() {
    for seed in 2..4 {
        check("2025-10-10T10:00:00Z", seed);
    }
}
