use std::fmt;

/// A series as expressions name it: device and metric, parted by the last slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesName {
    /// The device.
    pub device: Box<str>,
    /// The metric.
    pub metric: Box<str>,
}

impl SeriesName {
    /// Reads `bath/climate/temperature`; none where a part is missing.
    #[must_use]
    pub fn parse(text: &str) -> Option<SeriesName> {
        let (device, metric) = text.rsplit_once('/')?;
        (!device.is_empty() && !metric.is_empty()).then(|| SeriesName {
            device: device.into(),
            metric: metric.into(),
        })
    }
}

impl fmt::Display for SeriesName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.metric)
    }
}

/// How the samples of a window become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Their mean.
    Avg,
    /// The lowest.
    Min,
    /// The highest.
    Max,
    /// Their sum.
    Sum,
    /// How many there are.
    Count,
}

impl Fold {
    /// All of them, by how they are written.
    pub const ALL: [(&'static str, Fold); 5] = [
        ("avg", Fold::Avg),
        ("min", Fold::Min),
        ("max", Fold::Max),
        ("sum", Fold::Sum),
        ("count", Fold::Count),
    ];

    fn name(self) -> &'static str {
        let named = Fold::ALL.iter().find(|(_, fold)| *fold == self);
        named.map_or("", |(name, _)| name)
    }
}

/// Something of the home that an expression looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The value of a series.
    Value(SeriesName),
    /// The words of a series.
    Text(SeriesName),
    /// Whether a series told anything yet.
    Has(SeriesName),
    /// Seconds since a series told something.
    Age(SeriesName),
    /// The samples of a window as one number.
    Window {
        /// The series.
        series: SeriesName,
        /// How they become one.
        fold: Fold,
        /// How long the window is, in milliseconds.
        window_ms: i64,
    },
    /// Whether a device can be reached.
    Online(Box<str>),
    /// Whether a member is at home.
    Home(Box<str>),
    /// Whether anybody is at home.
    Anyone,
    /// The home's mode.
    Mode,
    /// The hour, 0 to 23.
    Hour,
    /// The minute, 0 to 59.
    Minute,
    /// The day of the week, 1 is Monday.
    Weekday,
    /// Seconds since the epoch.
    Now,
}

impl Look {
    /// The series that it looks at.
    #[must_use]
    pub fn series(&self) -> Option<&SeriesName> {
        match self {
            Look::Value(series)
            | Look::Text(series)
            | Look::Has(series)
            | Look::Age(series)
            | Look::Window { series, .. } => Some(series),
            _ => None,
        }
    }

    /// Whether time alone can change it.
    #[must_use]
    pub fn uses_clock(&self) -> bool {
        matches!(
            self,
            Look::Age(_)
                | Look::Window { .. }
                | Look::Hour
                | Look::Minute
                | Look::Weekday
                | Look::Now
        )
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Look::Value(series) => write!(f, "value('{series}')"),
            Look::Text(series) => write!(f, "text('{series}')"),
            Look::Has(series) => write!(f, "has('{series}')"),
            Look::Age(series) => write!(f, "age('{series}')"),
            Look::Window {
                series,
                fold,
                window_ms,
            } => {
                let window = crate::duration::Span::from_ms(*window_ms);
                let window = window.map(|window| window.to_string()).unwrap_or_default();
                write!(f, "{}('{series}', '{window}')", fold.name())
            }
            Look::Online(device) => write!(f, "online('{device}')"),
            Look::Home(member) => write!(f, "home('{member}')"),
            Look::Anyone => f.write_str("anyone()"),
            Look::Mode => f.write_str("mode"),
            Look::Hour => f.write_str("hour"),
            Look::Minute => f.write_str("minute"),
            Look::Weekday => f.write_str("weekday"),
            Look::Now => f.write_str("now"),
        }
    }
}
