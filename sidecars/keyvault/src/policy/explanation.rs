use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Longest value that an explanation repeats, in bytes of JSON.
const LONGEST: usize = 1024;
/// Longest value in the table, in characters.
const CELL: usize = 80;

/// Which clauses of a release policy a token satisfies. `Display` is a table, `Serialize` the same as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Whether a vault would release.
    pub released: bool,
    /// Why nothing is released although clauses may hold.
    pub refusal: Option<String>,
    /// Every clause, in the policy's order.
    pub clauses: Vec<Clause>,
    /// Every group, outer before inner.
    pub groups: Vec<Group>,
    /// What the policy leaves open.
    pub warnings: Vec<String>,
}

/// One clause: a claim of the token against a value of the policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Clause {
    /// Its place in the policy: `anyOf[0].allOf[2]`.
    pub path: String,
    /// Name of the claim.
    pub claim: String,
    /// `authority` (the issuer, with or without a final slash) or an operator of the grammar.
    pub operator: &'static str,
    /// Value in the policy.
    pub expected: Value,
    /// Value in the token; `None` if it has no such claim.
    pub actual: Option<Value>,
    /// The verdict.
    pub holds: bool,
    /// What the verdict alone does not tell.
    pub note: Option<String>,
}

/// One group and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its place in the policy: `anyOf[0].allOf`.
    pub path: String,
    /// The verdict.
    pub holds: bool,
}

/// A value, or the beginning of its JSON where that is long: runtime data can have hundreds of kilobytes.
pub(super) fn clipped(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= LONGEST {
        return value.clone();
    }
    let end = text.floor_char_boundary(LONGEST);
    Value::from(format!("{}…", text.get(..end).unwrap_or_default()))
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "fails" }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [
            "verdict", "path", "claim", "operator", "expected", "actual", "note",
        ];
        let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
            .chain(self.clauses.iter().map(Clause::cells))
            .collect();
        let mut widths = [0; 7];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &rows {
            let cells = row.iter().zip(widths);
            let line: String = cells
                .map(|(cell, width)| format!("{cell:width$}  "))
                .collect();
            writeln!(f, "{}", line.trim_end())?;
        }
        for group in self.groups.iter() {
            writeln!(f, "{}: {}", group.path, verdict(group.holds))?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if let Some(refusal) = &self.refusal {
            writeln!(f, "refused: {refusal}")?;
        }
        let outcome = if self.released {
            "a vault would release the key"
        } else {
            "no vault would release the key"
        };
        f.write_str(outcome)
    }
}

impl Clause {
    fn cells(&self) -> [String; 7] {
        let value = |value: &Value| cell(&value.to_string());
        [
            verdict(self.holds).to_owned(),
            self.path.clone(),
            cell(&self.claim),
            self.operator.to_owned(),
            value(&self.expected),
            self.actual.as_ref().map_or_else(|| "-".to_owned(), value),
            self.note.clone().unwrap_or_default(),
        ]
    }
}

/// Foreign text in one cell: printable and short.
fn cell(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(CELL)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(CELL).is_some() {
        out.push('…');
    }
    out
}
