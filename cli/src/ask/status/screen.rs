use std::io::{self, Stdout, Write, stdout};

use crossterm::{
    cursor, queue,
    style::Print,
    terminal::{self, Clear, ClearType},
};

/// Lines on a terminal that are drawn over each other. What was drawn last stays when it is dropped.
pub(super) struct Screen {
    out: Stdout,
    /// Lines that are drawn, above the cursor.
    drawn: u16,
}

impl Screen {
    pub(super) fn open() -> io::Result<Screen> {
        let mut out = stdout();
        // A line that is too long ends at the edge: broken in two, it would be one more than is counted.
        queue!(out, cursor::Hide, terminal::DisableLineWrap)?;
        Ok(Screen { out, drawn: 0 })
    }

    /// Draw these lines in place of the last ones; what does not fit is counted.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let (_, rows) = terminal::size()?;
        // The cursor stands below the last line.
        let room = usize::from(rows.saturating_sub(1)).max(1);
        if self.drawn > 0 {
            // It may have been made smaller since.
            let up = self.drawn.min(rows.saturating_sub(1));
            queue!(self.out, cursor::MoveUp(up), cursor::MoveToColumn(0))?;
        }
        let (shown, note) = fitting(lines, room);
        for line in shown.iter().chain(&note) {
            queue!(
                self.out,
                Print(line),
                Clear(ClearType::UntilNewLine),
                Print("\r\n")
            )?;
        }
        queue!(self.out, Clear(ClearType::FromCursorDown))?;
        self.drawn = u16::try_from(shown.len() + usize::from(note.is_some())).unwrap_or(rows);
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to mend.
        let _ = queue!(self.out, terminal::EnableLineWrap, cursor::Show);
        let _ = self.out.flush();
    }
}

/// The lines that there is room for, and what is said of the others.
fn fitting(lines: &[String], room: usize) -> (&[String], Option<String>) {
    if lines.len() <= room {
        return (lines, None);
    }
    let shown = &lines[..room - 1];
    let more = lines.len() - shown.len();
    (shown, Some(format!("… {more} more lines")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines = ["a", "b", "c"].map(str::to_owned);
        let check = |room, shown: usize, note: Option<&str>| {
            let (fits, said) = fitting(&lines, room);
            assert_eq!((fits.len(), said.as_deref()), (shown, note), "{room}");
        };
        check(9, 3, None);
        check(3, 3, None);
        check(2, 1, Some("… 2 more lines"));
        check(1, 0, Some("… 3 more lines"));
    }
}
