//! Colours: one set, each with a light and a dark form, for the pictures and the page around them.
//!
//! A picture carries the light form; the page's style finds it by that and puts a variable in its place, which the
//! reader's scheme fills. Refuses to know what is drawn.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// Name of the variable, light and dark form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colour {
    variable: &'static str,
    light: (u8, u8, u8),
    dark: (u8, u8, u8),
}

/// Labels.
pub(super) const INK: Colour = Colour::new("ink", (0x4A, 0x52, 0x5E), (0xB4, 0xBD, 0xC9));
/// Lines to read values by.
pub(super) const GRID: Colour = Colour::new("grid", (0xE3, 0xE6, 0xEB), (0x2C, 0x33, 0x3D));
/// What is there but not the point.
pub(super) const MUTED: Colour = Colour::new("muted", (0x8C, 0x95, 0xA3), (0x7C, 0x87, 0x96));
/// What must not be passed.
pub(super) const LIMIT: Colour = Colour::new("limit", (0xC2, 0x2F, 0x3D), (0xFF, 0x7B, 0x86));

/// One for each name, by turns; told apart by those who do not tell red from green, too.
pub(super) const SERIES: [Colour; 6] = [
    Colour::new("s0", (0x0B, 0x6B, 0xCB), (0x5A, 0xB0, 0xFF)),
    Colour::new("s1", (0xD9, 0x5F, 0x02), (0xFF, 0xA2, 0x57)),
    Colour::new("s2", (0x8A, 0x5A, 0xC8), (0xC3, 0x9D, 0xF5)),
    Colour::new("s3", (0x1B, 0x8A, 0x6B), (0x54, 0xCF, 0xAB)),
    Colour::new("s4", (0xB0, 0x83, 0x00), (0xE8, 0xC1, 0x4A)),
    Colour::new("s5", (0xC2, 0x3B, 0x86), (0xF5, 0x8C, 0xC3)),
];

impl Colour {
    const fn new(variable: &'static str, light: (u8, u8, u8), dark: (u8, u8, u8)) -> Self {
        Self { variable, light, dark }
    }

    /// As a picture carries it.
    pub(super) const fn rgb(self) -> RGBColor {
        RGBColor(self.light.0, self.light.1, self.light.2)
    }
}

/// The rules of style that make the colours follow the reader's scheme.
pub(super) fn rules() -> String {
    let all: Vec<Colour> = [INK, GRID, MUTED, LIMIT].into_iter().chain(SERIES).collect();
    let hex = |(red, green, blue): (u8, u8, u8)| format!("#{red:02X}{green:02X}{blue:02X}");
    let set = |form: fn(&Colour) -> (u8, u8, u8)| {
        all.iter().fold(String::new(), |mut rules, colour| {
            push(&mut rules, format_args!("--{}:{};", colour.variable, hex(form(colour))));
            rules
        })
    };
    let mut rules = format!(
        ":root{{{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        set(|colour| colour.light),
        set(|colour| colour.dark)
    );
    for colour in &all {
        let (light, variable) = (hex(colour.light), colour.variable);
        push(
            &mut rules,
            format_args!(
                "svg [fill=\"{light}\"]{{fill:var(--{variable})}}svg [stroke=\"{light}\"]{{stroke:var(--{variable})}}\n"
            ),
        );
    }
    for (number, colour) in SERIES.iter().enumerate() {
        push(&mut rules, format_args!(".s{number}{{background:var(--{})}}\n", colour.variable));
    }
    rules
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(more).unwrap_or_default();
}

/// Which colour a name has, on the whole page the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Palette {
    names: Vec<String>,
}

impl Palette {
    /// In the order in which the names come up.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut palette = Self::default();
        for name in names {
            if !palette.names.iter().any(|known| known == name) {
                palette.names.push(name.to_owned());
            }
        }
        palette
    }

    /// Its number in [`SERIES`], if the name has a colour.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name).map(|position| position % SERIES.len())
    }

    pub(super) fn colour(&self, name: &str) -> Colour {
        SERIES[self.number(name).unwrap_or(0)]
    }
}
