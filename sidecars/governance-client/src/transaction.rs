use std::fmt;
use std::str::FromStr;

use crate::GovernanceError;

/// Header that carries the transaction id of an answer of CCF.
pub const TRANSACTION_HEADER: &str = "x-ms-ccf-transaction-id";

/// A position in the ledger of CGS: `<view>.<seqno>`. Later positions compare greater.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransactionId {
    /// Election term of the primary that ran the transaction.
    pub view: u64,
    /// Place in the ledger.
    pub seqno: u64,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.view, self.seqno)
    }
}

impl FromStr for TransactionId {
    type Err = GovernanceError;

    fn from_str(text: &str) -> Result<Self, GovernanceError> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        text.split_once('.')
            .and_then(|(view, seqno)| {
                Some(Self {
                    view: number(view)?,
                    seqno: number(seqno)?,
                })
            })
            .ok_or(GovernanceError::Answer {
                what: "a transaction id that is not <view>.<seqno>",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_id_reads_back_as_it_prints() {
        let id: TransactionId = "2.100".parse().unwrap();
        assert_eq!((id.view, id.seqno), (2, 100));
        assert_eq!(id.to_string(), "2.100");
    }

    #[test]
    fn anything_but_two_numbers_is_refused() {
        for text in [
            "",
            "2",
            "2.",
            ".3",
            "2.3.4",
            "+2.3",
            "2.-3",
            "2.3&x=y",
            "99999999999999999999.1",
        ] {
            assert!(text.parse::<TransactionId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_later_view_outranks_a_higher_seqno() {
        let older: TransactionId = "2.900".parse().unwrap();
        let newer: TransactionId = "3.10".parse().unwrap();
        assert!(newer > older);
    }
}
