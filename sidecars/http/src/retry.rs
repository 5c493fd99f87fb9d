//! When a request is sent again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::https::exchange;
use crate::{Coded, Fault, HttpsError, Request, Response};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Tries until there is an answer that repeating cannot improve, within the request's budget.
pub(crate) async fn retrying(
    client: &reqwest::Client,
    request: &Request,
) -> Result<Response, HttpsError> {
    let end = Instant::now() + request.budget;
    let mut pauses = pauses(request);
    loop {
        let mut attempt = request.clone();
        attempt.deadline = attempt
            .deadline
            .min(end.saturating_duration_since(Instant::now()));
        let outcome = exchange(client, &attempt).await;
        let asked = match &outcome {
            Ok(response) if asks_again(request, response) => response.retry_after(),
            Err(error) if error.fault() == (Fault::Upstream { retry: true }) => None,
            _ => return outcome,
        };
        let Some(pause) = pauses.next() else {
            return outcome;
        };
        // A service that asks for more patience than the budget has is not asked again.
        let pause = asked.unwrap_or_default().max(pause);
        if pause >= end.saturating_duration_since(Instant::now()) {
            return outcome;
        }
        tracing::debug!(hop = request.hop, ?pause, "trying again");
        tokio::time::sleep(pause).await;
    }
}

/// Growing, and jittered up to twice as long. Never a large part of the budget: the last try is close to its end.
fn pauses(request: &Request) -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay((request.budget / 16).clamp(FIRST, LONGEST))
        .with_jitter();
    let pauses = match request.tries {
        Some(tries) => pauses.with_max_times(tries.saturating_sub(1)),
        None => pauses.without_max_times(),
    };
    pauses.build()
}

fn asks_again(request: &Request, response: &Response) -> bool {
    match response.status.as_u16() {
        408 | 429 | 500 | 502 | 503 | 504 => true,
        200..300 => (request.repeats)(response),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;
    use url::Url;

    use super::*;
    use crate::{PlainClient, PlainEndpoint};

    fn request(budget: u64) -> Request {
        let url = Url::parse("http://h/").unwrap();
        Request::get("test", url).budget(Duration::from_secs(budget))
    }

    #[test]
    fn pauses_fill_the_budget_where_it_bounds_them_and_are_three_elsewhere() {
        for budget in [2, 60, 300] {
            let budget_time = Duration::from_secs(budget);
            let mut sum = Duration::ZERO;
            for pause in pauses(&request(budget).until_budget()) {
                assert!(pause <= (budget_time / 8).clamp(2 * FIRST, 2 * LONGEST));
                sum += pause;
                if sum >= budget_time {
                    break;
                }
            }
            assert!(sum >= budget_time, "{sum:?} of {budget_time:?}");
            let pauses: Vec<_> = pauses(&request(budget)).collect();
            assert_eq!(pauses.len(), 3);
        }
    }

    #[tokio::test]
    async fn a_service_that_refuses_connections_for_two_seconds_is_waited_for() {
        crate::install_crypto_provider();
        // Bound and not listening: nobody else gets the port, and connections are refused.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoint = format!("127.0.0.1:{}", socket.local_addr().unwrap().port());
        let endpoint = PlainEndpoint::explicit(&endpoint).unwrap();
        let url = endpoint.url().clone();
        let client = PlainClient::new(endpoint).unwrap();
        let server = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let (mut stream, _) = socket.listen(8).unwrap().accept().await.unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        });
        let request = Request::get("test", url).budget(Duration::from_secs(20));
        let refused = client.send_retrying(&request).await;
        assert_eq!(refused.unwrap_err().code(), "CR-HTTP-0023");
        let answered = client.send_retrying(&request.until_budget()).await;
        assert_eq!(answered.unwrap().status, StatusCode::OK);
        server.await.unwrap();
    }
}
