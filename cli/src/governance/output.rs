use std::io::Write;

use serde_json::Value;

use super::GovCliError;

/// Where answers go, and which part of them.
pub struct Output<'a> {
    out: &'a mut dyn Write,
    query: Option<String>,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

impl<'a> Output<'a> {
    /// An output that prints whole answers, or the member at `query`.
    pub fn new(out: &'a mut dyn Write, query: Option<String>) -> Self {
        Self { out, query }
    }

    /// Prints an answer: JSON with sorted keys and two spaces, or, for a queried text, the text itself.
    ///
    /// # Errors
    /// The answer has no such member, or cannot be written.
    pub fn print(&mut self, mut answer: Value) -> Result<(), GovCliError> {
        answer.sort_all_objects();
        let (value, raw) = match &self.query {
            Some(path) => (select(&answer, path)?, true),
            None => (&answer, false),
        };
        let text = match value {
            Value::String(text) if raw => text.clone(),
            value => serde_json::to_string_pretty(value).map_err(|error| GovCliError::Answer {
                what: error.to_string(),
            })?,
        };
        writeln!(self.out, "{text}").map_err(GovCliError::Output)
    }

    /// Prints an answer only if there is one: a write that CGS answers without a body prints nothing.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn print_any(&mut self, answer: Value) -> Result<(), GovCliError> {
        match answer {
            Value::Null => Ok(()),
            answer => self.print(answer),
        }
    }
}

/// The member at a path such as `actions[0].args`.
fn select<'v>(answer: &'v Value, path: &str) -> Result<&'v Value, GovCliError> {
    let missing = || GovCliError::Query {
        path: path.to_owned(),
    };
    let mut value = answer;
    for step in path.split('.') {
        let (name, indices) = match step.find('[') {
            Some(at) => step.split_at(at),
            None => (step, ""),
        };
        if !name.is_empty() {
            value = value.get(name).ok_or_else(missing)?;
        } else if indices.is_empty() {
            return Err(missing());
        }
        let mut rest = indices;
        while !rest.is_empty() {
            let (index, after) = rest
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .ok_or_else(missing)?;
            let index: usize = index.parse().map_err(|_| missing())?;
            value = value.get(index).ok_or_else(missing)?;
            rest = after;
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(query: Option<&str>) -> Result<String, GovCliError> {
        let answer = json!({"b": 1, "actions": [{"args": {"spec": {"data": "line"}}}], "proposalIds": ["x", "y"]});
        let mut bytes = Vec::new();
        Output::new(&mut bytes, query.map(str::to_owned)).print(answer)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_queried_text_is_printed_raw() {
        assert_eq!(
            printed(Some("actions[0].args.spec.data")).unwrap(),
            "line\n"
        );
        assert_eq!(printed(Some("proposalIds[1]")).unwrap(), "y\n");
        assert_eq!(printed(Some("b")).unwrap(), "1\n");
    }

    #[test]
    fn a_member_that_is_not_there_is_an_error_and_prints_nothing() {
        for path in [
            "c",
            "proposalIds[2]",
            "proposalIds[x]",
            "proposalIds[0",
            "",
            "b..c",
            "actions.args",
        ] {
            assert!(
                matches!(printed(Some(path)), Err(GovCliError::Query { .. })),
                "{path}"
            );
        }
    }

    #[test]
    fn keys_are_sorted() {
        let text = printed(None).unwrap();
        assert!(text.find("\"actions\"") < text.find("\"b\""));
        assert!(text.find("\"b\"") < text.find("\"proposalIds\""));
    }
}
