use std::fmt;

/// A text of somebody else's for people to read: what would move a terminal's cursor, hide or reorder a line, or begin another
/// one is shown as an escape.
#[derive(Clone, Copy, Debug)]
pub struct Plain<T>(pub T);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::write(&mut Escaping(f), format_args!("{}", self.0))
    }
}

struct Escaping<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '"' | '\'' | '\\' => fmt::Write::write_char(self.0, c),
            other => write!(self.0, "{}", other.escape_debug()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_moves_what_stands_around_it() {
        let text = "a\"\\é世\n\u{1b}[2J\u{9b}\u{202e}\u{200b}\rb";
        assert_eq!(
            Plain(text).to_string(),
            "a\"\\é世\\n\\u{1b}[2J\\u{9b}\\u{202e}\\u{200b}\\rb"
        );
    }
}
