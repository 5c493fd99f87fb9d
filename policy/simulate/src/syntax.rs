//! The part of Rego that a policy needs: a package, imports, and rules that are plain values or names of the framework.
//!
//! A policy that computes anything is refused rather than guessed at: whoever votes on it cannot read off what it allows.

use serde_json::{Map, Number, Value};

use crate::SimulateError;

/// The longest text, bytes. Policies of real groups have some tens of thousands.
pub const MAX_TEXT: usize = 4 << 20;
const MAX_DEPTH: usize = 32;
const MAX_RULES: usize = 256;

/// A text in parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Its package.
    pub package: String,
    /// Its rules in order, with the line of each.
    pub rules: Vec<Rule>,
    /// Its comments in order, without the sign.
    pub comments: Vec<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it is.
    pub term: Term,
    /// Where it starts, from 1.
    pub line: usize,
}

/// What a rule is.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A value.
    Value(Value),
    /// `data.framework.NAME`.
    Framework(String),
    /// An object whose only member is such a name: `{"errors": data.framework.errors}`.
    Reason(String, String),
}

impl Module {
    /// Reads a text.
    ///
    /// # Errors
    /// [`SimulateError::Syntax`] with the line, for anything but the part of Rego above.
    pub fn parse(text: &str) -> Result<Self, SimulateError> {
        if text.len() > MAX_TEXT {
            return Err(SimulateError::TooLong { limit: MAX_TEXT });
        }
        let mut reader = Reader {
            text,
            at: 0,
            line: 1,
            comments: Vec::new(),
        };
        let module = reader.module();
        module.map_err(|reason| SimulateError::Syntax {
            line: reader.line,
            reason,
        })
    }
}

type Read<T> = Result<T, String>;

struct Reader<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    comments: Vec<String>,
}

impl<'t> Reader<'t> {
    fn module(&mut self) -> Read<Module> {
        self.blank();
        if self.word() != "package" {
            return Err("a policy starts with its package".to_owned());
        }
        self.blank();
        let package = self.path()?;
        self.blank();
        while self.import() {
            self.blank();
            let path = self.path()?;
            // Any other import gives a name that is used below another meaning: `import input.data` would.
            if path != "future.keywords" && !path.starts_with("future.keywords.") {
                return Err(format!("import of {path:?}: a policy needs keywords only"));
            }
            self.blank();
        }
        let mut rules: Vec<Rule> = Vec::new();
        while !self.rest().is_empty() {
            let rule = self.rule()?;
            if rules.iter().any(|other| other.name == rule.name) {
                return Err(format!("rule {:?} is there twice", rule.name));
            }
            if rules.len() == MAX_RULES {
                return Err(format!("more than {MAX_RULES} rules"));
            }
            rules.push(rule);
            self.blank();
        }
        Ok(Module {
            package,
            rules,
            comments: std::mem::take(&mut self.comments),
        })
    }

    /// Takes the word `import`, which any white space ends.
    fn import(&mut self) -> bool {
        let rest = self.rest().strip_prefix("import");
        rest.is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n'])) && self.take("import")
    }

    fn rule(&mut self) -> Read<Rule> {
        let line = self.line;
        let name = self.word().to_owned();
        if name.is_empty() {
            return Err("a rule starts with its name".to_owned());
        }
        self.blank();
        if !self.take(":=") && !self.take("=") {
            return Err(format!(
                "rule {name:?} is neither a value nor a name of the framework"
            ));
        }
        self.blank();
        let term = self.term()?;
        Ok(Rule { name, term, line })
    }

    fn term(&mut self) -> Read<Term> {
        if self.rest().starts_with("data.") {
            return Ok(Term::Framework(self.framework()?));
        }
        if self.rest().starts_with('{') {
            // Only here may a member of an object be a name.
            let (at, line, comments) = (self.at, self.line, self.comments.len());
            if let Some(term) = self.reason()? {
                return Ok(term);
            }
            (self.at, self.line) = (at, line);
            self.comments.truncate(comments);
        }
        Ok(Term::Value(self.value(0)?))
    }

    fn reason(&mut self) -> Read<Option<Term>> {
        self.take("{");
        self.blank();
        if !self.rest().starts_with('"') {
            return Ok(None);
        }
        let key = self.string()?;
        self.blank();
        self.take(":");
        self.blank();
        if !self.rest().starts_with("data.") {
            return Ok(None);
        }
        let name = self.framework()?;
        self.blank();
        self.take(",");
        self.blank();
        if !self.take("}") {
            return Err("only one member may be a name of the framework".to_owned());
        }
        Ok(Some(Term::Reason(key, name)))
    }

    fn framework(&mut self) -> Read<String> {
        let path = self.path()?;
        match path.strip_prefix("data.framework.") {
            Some(name) if !name.contains('.') => Ok(name.to_owned()),
            _ => Err(format!("{path:?} is no name of the framework")),
        }
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        if depth > MAX_DEPTH {
            return Err(format!("deeper than {MAX_DEPTH} levels"));
        }
        match self.rest().chars().next() {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('"') => self.string().map(Value::from),
            Some('`') => self.raw_string().map(Value::from),
            Some('-' | '0'..='9') => self.number().map(Value::from),
            _ => match self.word() {
                "true" => Ok(true.into()),
                "false" => Ok(false.into()),
                "null" => Ok(Value::Null),
                "" => Err("a value is missing".to_owned()),
                other => Err(format!("{other:?} is no value")),
            },
        }
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        let mut members = Map::new();
        self.take("{");
        loop {
            self.blank();
            if self.take("}") {
                return Ok(members.into());
            }
            if !self.rest().starts_with('"') {
                return Err("a member's name is a string".to_owned());
            }
            let name = self.string()?;
            self.blank();
            if !self.take(":") {
                return Err(format!("member {name:?} has no value"));
            }
            self.blank();
            let value = self.value(depth.saturating_add(1))?;
            if members.insert(name.clone(), value).is_some() {
                return Err(format!("member {name:?} is there twice"));
            }
            self.comma('}')?;
        }
    }

    fn array(&mut self, depth: usize) -> Read<Value> {
        let mut items = Vec::new();
        self.take("[");
        loop {
            self.blank();
            if self.take("]") {
                return Ok(items.into());
            }
            items.push(self.value(depth.saturating_add(1))?);
            self.comma(']')?;
        }
    }

    fn comma(&mut self, close: char) -> Read<()> {
        self.blank();
        if self.take(",") || self.rest().starts_with(close) {
            return Ok(());
        }
        Err(format!("neither a comma nor {close:?}"))
    }

    /// A string as JSON has it.
    fn string(&mut self) -> Read<String> {
        let mut escaped = false;
        let rest = self.rest();
        for (index, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                b'"' if !escaped => {
                    let end = index.saturating_add(1);
                    let quoted = rest.get(..end).unwrap_or_default();
                    self.at = self.at.saturating_add(end);
                    return serde_json::from_str(quoted).map_err(|error| error.to_string());
                }
                b'\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        Err("a string is not closed".to_owned())
    }

    fn raw_string(&mut self) -> Read<String> {
        self.take("`");
        let Some((text, _)) = self.rest().split_once('`') else {
            return Err("a string is not closed".to_owned());
        };
        self.skip(text.len().saturating_add(1));
        Ok(text.to_owned())
    }

    fn number(&mut self) -> Read<Number> {
        let rest = self.rest();
        let digit = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
        let end = rest.find(|c| !digit(c)).unwrap_or(rest.len());
        let digits = rest.get(..end).unwrap_or_default();
        self.at = self.at.saturating_add(digits.len());
        serde_json::from_str(digits).map_err(|_| format!("{digits:?} is no number"))
    }

    fn path(&mut self) -> Read<String> {
        let mut path = self.word().to_owned();
        while !path.is_empty() && self.take(".") {
            let next = self.word();
            if next.is_empty() {
                return Err(format!("{path:?} ends in a dot"));
            }
            path.push('.');
            path.push_str(next);
        }
        if path.is_empty() {
            return Err("a name is missing".to_owned());
        }
        Ok(path)
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.at = self.at.saturating_add(word.len());
        word
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at = self.at.saturating_add(token.len());
        }
        found
    }

    /// White space and comments.
    fn blank(&mut self) {
        loop {
            let rest = self.rest();
            let space = rest.find(|c: char| !matches!(c, ' ' | '\t' | '\r' | '\n'));
            self.skip(space.unwrap_or(rest.len()));
            if !self.take("#") {
                return;
            }
            let rest = self.rest();
            let comment = rest.split('\n').next().unwrap_or_default();
            self.comments.push(comment.trim().to_owned());
            self.skip(comment.len());
        }
    }

    fn skip(&mut self, length: usize) {
        let skipped = self.rest().get(..length).unwrap_or_default();
        let lines = skipped.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(lines);
        self.at = self.at.saturating_add(length);
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(text: &str) -> String {
        Module::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn values_names_and_comments_are_read() {
        let text = "# first\npackage policy\nimport future.keywords.in\na := {\"x\": [1, -2.5, null,], \"y\": `r\n\\`,} # end\n\
                    b = data.framework.b\nreason := {\"errors\": data.framework.errors}";
        let module = Module::parse(text).unwrap();
        assert_eq!(module.package, "policy");
        assert_eq!(module.comments, ["first", "end"]);
        let rule = |name: &str, term, line| Rule {
            name: name.to_owned(),
            term,
            line,
        };
        let expected = [
            rule(
                "a",
                Term::Value(json!({"x": [1, -2.5, null], "y": "r\n\\"})),
                4,
            ),
            rule("b", Term::Framework("b".to_owned()), 6),
            rule(
                "reason",
                Term::Reason("errors".to_owned(), "errors".to_owned()),
                7,
            ),
        ];
        assert_eq!(module.rules, expected);
    }

    #[test]
    fn statements_are_apart_as_rego_has_them() {
        // A statement ends where it is complete: white space of any kind and comments are equal, and none is needed.
        let apart =
            "package policy\nimport future.keywords.in\na := 1\nb := [2]\nc := data.framework.c\n";
        let rules = |text: &str| {
            let rules = Module::parse(text).unwrap().rules.into_iter();
            rules.map(|rule| (rule.name, rule.term)).collect::<Vec<_>>()
        };
        for text in [
            "package policy import future.keywords.in a := 1 b := [2] c := data.framework.c",
            "package policy\r\nimport\tfuture.keywords.in\r\n\r\na := 1\r\nb := [\r\n2]\r\nc\r\n:= data.framework.c",
            "package\npolicy\nimport\nfuture.keywords.in\na\n:=\n1 # a\nb # b\n:= [2] # c\nc := # d\ndata.framework.c",
        ] {
            assert_eq!(rules(text), rules(apart), "{text}");
        }
    }

    #[test]
    fn what_computes_or_is_broken_is_refused_with_its_line() {
        let refused = |body: &str| refusal(&format!("package policy\n\n{body}"));
        for (body, reason) in [
            ("a { true }", "line 3: rule \"a\" is neither a value"),
            ("a := 1\na := 2", "line 4: rule \"a\" is there twice"),
            (
                "a := {\"x\": 1, \"x\": 2}",
                "line 3: member \"x\" is there twice",
            ),
            ("a := {1, 2}", "line 3: a member's name is a string"),
            ("a := data.other.b", "line 3: \"data.other.b\" is no name"),
            ("a := [data.framework.b]", "line 3: \"data\" is no value"),
            (
                "a := {\"x\": data.framework.b, \"y\": 1}",
                "line 3: only one member",
            ),
            ("a := [1 2]", "line 3: neither a comma"),
            ("a := \"x", "line 3: a string is not closed"),
            ("a := 1.2.3", "line 3: \"1.2.3\" is no number"),
            ("a := count([1])", "line 3: \"count\" is no value"),
            ("a :=", "line 3: a value is missing"),
            ("a := 1 + 1", "line 3: a rule starts with its name"),
            (
                "import input.data\na := data.framework.b",
                "line 3: import of \"input.data\"",
            ),
            (
                "import data.framework",
                "line 3: import of \"data.framework\"",
            ),
            ("import future.keywordsx", "line 3: import of"),
            (
                "import future.keywords.in as data",
                "line 3: rule \"as\" is neither",
            ),
            ("import", "line 3: rule \"import\" is neither"),
            ("a := 1; b := 2", "line 3: a rule starts with its name"),
        ] {
            assert!(refused(body).contains(reason), "{body}: {}", refused(body));
        }
        let deep = format!("a := {}", "[".repeat(100_000));
        assert!(refused(&deep).contains("deeper than"));
        assert!(refusal("pack policy").contains("starts with its package"));
        assert!(refusal("").contains("starts with its package"));
    }
}
