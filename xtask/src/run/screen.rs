//! The terminal: a page of coloured lines redrawn in place, and the keys.
//!
//! Owns raw mode and the alternate screen, given back however the program ends. Refuses to know what the page says.

use std::{
    io::{self, Write},
    panic,
    time::Duration,
};

use anyhow::{Context, Result};
use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    queue,
    style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor},
    terminal::{
        self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
        LeaveAlternateScreen,
    },
};

/// How a stretch of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Warning,
    Bad,
}

/// One line of a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub(crate) fn with(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// Width and height in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// The terminal while the lab has it.
#[derive(Debug)]
pub(crate) struct Screen(());

impl Screen {
    /// Takes the terminal over. A panic gives it back before it says why.
    pub(crate) fn open() -> Result<Self> {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            give_back();
            previous(information);
        }));
        terminal::enable_raw_mode().context("put the terminal into raw mode")?;
        // From here on the terminal is given back also on an error.
        let screen = Self(());
        let mut output = io::stdout();
        queue!(output, EnterAlternateScreen, Hide)
            .and_then(|()| output.flush())
            .context("take the screen")?;
        Ok(screen)
    }

    /// As it is now: the user may resize it at any time.
    pub(crate) fn size(&self) -> Size {
        let (width, height) = terminal::size().unwrap_or((80, 24));
        Size { width: width.into(), height: height.into() }
    }

    /// Shows the page from the top left corner, cut to the screen.
    pub(crate) fn draw(&mut self, page: &[Line]) -> Result<()> {
        let size = self.size();
        let mut output = Vec::with_capacity(8192);
        queue!(output, BeginSynchronizedUpdate)?;
        for (row, line) in page.iter().take(size.height).enumerate() {
            queue!(output, MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)))?;
            let mut left = size.width;
            for (style, text) in &line.0 {
                let shown: String = text.chars().take(left).collect();
                left -= shown.chars().count();
                put(&mut output, *style, &shown)?;
            }
            // In the last column it would clear the character just written.
            if left > 0 {
                queue!(output, Clear(ClearType::UntilNewLine))?;
            }
        }
        if page.len() < size.height {
            queue!(
                output,
                MoveTo(0, u16::try_from(page.len()).unwrap_or(u16::MAX)),
                Clear(ClearType::FromCursorDown)
            )?;
        }
        queue!(output, EndSynchronizedUpdate)?;
        let mut terminal = io::stdout().lock();
        terminal.write_all(&output).and_then(|()| terminal.flush()).context("draw on the terminal")
    }

    /// Waits so long for a key; Ctrl-C and Escape are `q`.
    pub(crate) fn key(&mut self, wait: Duration) -> Result<Option<char>> {
        if !event::poll(wait).context("wait for a key")? {
            return Ok(None);
        }
        let Event::Key(key) = event::read().context("read a key")? else { return Ok(None) };
        if key.kind == KeyEventKind::Release {
            return Ok(None);
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if let KeyCode::Char(character) = key.code {
            return Ok(match character {
                'c' | 'd' if is_control => Some('q'),
                _ => (!is_control).then_some(character),
            });
        }
        Ok((key.code == KeyCode::Esc).then_some('q'))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn put(output: &mut Vec<u8>, style: Style, text: &str) -> io::Result<()> {
    match style {
        Style::Plain => {}
        Style::Bold => queue!(output, SetAttribute(Attribute::Bold))?,
        Style::Dim => queue!(output, SetForegroundColor(Color::DarkGrey))?,
        Style::Good => queue!(output, SetForegroundColor(Color::Green))?,
        Style::Warning => queue!(output, SetForegroundColor(Color::Yellow))?,
        Style::Bad => queue!(output, SetForegroundColor(Color::Red), SetAttribute(Attribute::Bold))?,
    }
    queue!(output, Print(text), SetAttribute(Attribute::Reset), ResetColor)
}

/// There is nobody left to tell of a failure here.
fn give_back() {
    let mut output = io::stdout();
    queue!(output, Show, LeaveAlternateScreen).and_then(|()| output.flush()).ok();
    terminal::disable_raw_mode().ok();
}
