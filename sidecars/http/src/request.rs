use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::HttpsError;

/// Gives memory for an answer: an empty vector with room for so many bytes.
#[derive(Clone)]
pub struct Room(Arc<dyn Fn(usize) -> Vec<u8> + Send + Sync>);

impl Room {
    /// Memory from `give`.
    pub fn new(give: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self(Arc::new(give))
    }

    pub(crate) fn give(&self, length: usize) -> Vec<u8> {
        (self.0)(length)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room(..)")
    }
}

/// One HTTPS request, bounded in time and size, that can be sent again.
#[derive(Clone, Debug)]
pub struct Request {
    /// The service, as error texts name it: `"Key Vault"`.
    pub hop: &'static str,
    /// Method.
    pub method: Method,
    /// `https` URL; anything else is refused at send.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Time for one try, answer included (default 20 s).
    pub deadline: Duration,
    /// Time for all tries and the pauses between them (default 60 s).
    pub budget: Duration,
    /// Tries at most (default 4); `None` for as many as the budget allows.
    pub tries: Option<usize>,
    /// Whether an answer of a good status asks to be repeated all the same; nobody's does by default.
    pub repeats: fn(&Response) -> bool,
    /// Largest answer in bytes (default 4 MiB).
    pub body_cap: usize,
    /// Where memory for the answer comes from, if not from the allocator.
    pub room: Option<Room>,
    invalid: Option<String>,
}

impl Request {
    /// A request without body and with the default bounds.
    pub fn new(hop: &'static str, method: Method, url: Url) -> Self {
        Self {
            hop,
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: Duration::from_secs(20),
            budget: Duration::from_secs(60),
            tries: Some(4),
            repeats: |_| false,
            body_cap: 4 << 20,
            room: None,
            invalid: None,
        }
    }

    /// A GET.
    pub fn get(hop: &'static str, url: Url) -> Self {
        Self::new(hop, Method::GET, url)
    }

    /// A POST.
    pub fn post(hop: &'static str, url: Url) -> Self {
        Self::new(hop, Method::POST, url)
    }

    /// A PUT.
    pub fn put(hop: &'static str, url: Url) -> Self {
        Self::new(hop, Method::PUT, url)
    }

    /// Sets a header. A value that HTTP does not allow is reported when the request is sent.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                self.headers.insert(name, value);
            }
            Err(_) => self.invalid = Some(format!("the value of header {name}")),
        }
        self
    }

    /// Sets a header that holds a secret: it is never printed.
    #[must_use]
    pub fn secret_header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.headers.insert(name, value);
            }
            Err(_) => self.invalid = Some(format!("the value of header {name}")),
        }
        self
    }

    /// Sets the bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.secret_header(header::AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json<T: Serialize>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body = body.into(),
            Err(error) => self.invalid = Some(format!("the JSON body: {error}")),
        }
        self.header(header::CONTENT_TYPE, "application/json")
    }

    /// Sets a form body.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.body = form.finish().into();
        self.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the time for one try.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the time for all tries.
    #[must_use]
    pub const fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Repeats for as long as the budget lasts, however many tries that are.
    #[must_use]
    pub const fn until_budget(mut self) -> Self {
        self.tries = None;
        self
    }

    /// Also repeats after an answer of a good status for which `repeats` holds.
    #[must_use]
    pub const fn repeating(mut self, repeats: fn(&Response) -> bool) -> Self {
        self.repeats = repeats;
        self
    }

    /// Receives the answer in memory from there; whoever drops the answer's body may give it back.
    #[must_use]
    pub fn room(mut self, room: Option<Room>) -> Self {
        self.room = room;
        self
    }

    /// Sets the largest answer in bytes.
    #[must_use]
    pub const fn body_cap(mut self, bytes: usize) -> Self {
        self.body_cap = bytes;
        self
    }

    pub(crate) fn check(&self) -> Result<(), HttpsError> {
        self.check_that(self.url.scheme() == "https", "the URL is not https")
    }

    pub(crate) fn check_origin(&self, allowed: &Url) -> Result<(), HttpsError> {
        let same = self.url.origin() == allowed.origin();
        self.check_that(same, "the URL is not the endpoint's")
    }

    fn check_that(&self, allowed: bool, otherwise: &str) -> Result<(), HttpsError> {
        let reason = match &self.invalid {
            Some(what) => format!("{what} is not valid"),
            None if !allowed => otherwise.to_owned(),
            None => return Ok(()),
        };
        Err(HttpsError::Invalid {
            hop: self.hop,
            reason,
        })
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    /// Status, whatever it is.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Response {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`HttpsError::Unreadable`] naming the hop.
    pub fn json<T: DeserializeOwned>(&self, hop: &'static str) -> Result<T, HttpsError> {
        serde_json::from_slice(&self.body).map_err(|source| HttpsError::Unreadable { hop, source })
    }

    /// How long the service asks to be left alone (RFC 9110 §10.2.3): seconds, or until a date, by the clock here. A date
    /// that is over asks for nothing.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(self.header("retry-after")?, SystemTime::now())
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_its_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("Mon, 21 Sep 2026 14:15:20 GMT", Some(120)),
            ("Mon, 21 Sep 2026 13:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(value, now), expected, "{value}");
        }
    }
}
