use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use super::names::query_value;
use super::{ClientStore, Connection, GovCliError, Output, Shared, contract, event_chain};

/// A listing has at most this many pages of 2001 ledger positions: about a hundred million transactions.
const MAX_PAGES: usize = 50_000;

/// `cleanroom governance contract event`
#[derive(clap::Subcommand, Debug)]
pub enum EventCommand {
    /// Lists audit events in the order of the ledger.
    List {
        /// Contract id.
        #[arg(long)]
        contract_id: String,
        /// Lists every event; without it, the latest one.
        #[arg(long)]
        all: bool,
        /// Lists events of this id; default: the contract's.
        #[arg(long)]
        event_id: Option<String>,
        /// Lists events of this scope; default: the application's start and end.
        #[arg(long)]
        scope: Option<String>,
        /// Lists every event with its chain, and fails if one is missing, changed or moved.
        #[arg(long)]
        verify: bool,
        /// Which member asks.
        #[command(flatten)]
        shared: Shared,
    },
}

pub(crate) async fn run(
    store: &ClientStore,
    command: EventCommand,
    out: &mut dyn Write,
) -> Result<(), GovCliError> {
    let EventCommand::List {
        contract_id,
        all,
        event_id,
        scope,
        verify,
        shared,
    } = command;
    let mut query = Vec::new();
    if let Some(id) = &event_id {
        query.push(format!("id={}", query_value("--event-id", id)?));
    }
    if let Some(scope) = scope.as_deref().filter(|scope| !scope.is_empty()) {
        query.push(format!("scope={}", query_value("--scope", scope)?));
    }
    if all || verify {
        query.push("from_seqno=1".to_owned());
    }
    let path = contract::path(&contract_id, "/events")?;
    let connection = Connection::open(&store.load(&shared.governance_client)?)?;
    let events = list(&connection, &path, &query.join("&")).await?;
    let (events, problems) = if verify {
        let scope = scope.unwrap_or_default();
        let problems = event_chain::verify(&events, &contract_id, &scope);
        (events, problems)
    } else {
        (event_chain::hidden(events), Vec::new())
    };
    Output::new(out, shared.query).print(json!({"value": events}))?;
    if problems.is_empty() {
        Ok(())
    } else {
        Err(GovCliError::Chain { problems })
    }
}

/// Reads all pages; sorted by their place in the ledger, each once.
async fn list(connection: &Connection, path: &str, query: &str) -> Result<Vec<Value>, GovCliError> {
    let mut events = BTreeMap::new();
    let mut next = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    for _ in 0..MAX_PAGES {
        let page = connection.history(&next).await?;
        let items =
            page.get("value")
                .and_then(Value::as_array)
                .ok_or_else(|| GovCliError::Answer {
                    what: "a page without `value`".to_owned(),
                })?;
        for item in items {
            let seqno =
                item.get("seqno")
                    .and_then(Value::as_u64)
                    .ok_or_else(|| GovCliError::Answer {
                        what: "an event without `seqno`".to_owned(),
                    })?;
            events.insert(seqno, item.clone());
        }
        match page.get("nextLink").and_then(Value::as_str) {
            None | Some("") => return Ok(events.into_values().collect()),
            Some(link) => next = follow(link, path, &next)?,
        }
    }
    Err(GovCliError::Answer {
        what: "more pages than a ledger has".to_owned(),
    })
}

/// A link goes on within the same listing, and never in a circle.
fn follow(link: &str, path: &str, here: &str) -> Result<String, GovCliError> {
    let own = link
        .strip_prefix(path)
        .is_some_and(|rest| rest.starts_with('?'));
    let plain = link.bytes().all(|byte| byte.is_ascii_graphic());
    if own && plain && link != here {
        return Ok(link.to_owned());
    }
    Err(GovCliError::Answer {
        what: "a next page outside this listing".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_page_elsewhere_or_in_a_circle_is_refused() {
        let path = "/app/contracts/c1/events";
        follow("/app/contracts/c1/events?from_seqno=2002", path, path).unwrap();
        for link in [
            "https://litware.example/",
            "/app/contracts/c2/events?from_seqno=1",
            "/app/contracts/c1/eventsX?a",
            "/app/contracts/c1/events?from seqno",
        ] {
            assert!(follow(link, path, path).is_err(), "{link}");
        }
        let here = "/app/contracts/c1/events?from_seqno=1";
        assert!(follow(here, path, here).is_err());
    }
}
