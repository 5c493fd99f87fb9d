//! Kept tokens: how long, for whom, how many, and that they go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::*;

fn endpoint(host: &str) -> Url {
    Url::parse(&format!("https://{host}")).unwrap()
}

/// A token over `runtime` that lives so many seconds.
fn token(runtime: &RuntimeData, seconds: i64) -> Result<Verified<MaaToken>, AttestError> {
    let report_data = hex::encode(runtime.report_data());
    let mut claims = claims();
    claims["x-ms-sevsnpvm-reportdata"] = json!(report_data);
    claims["exp"] = json!(NOW + seconds);
    let expected = Expected {
        report_data,
        ..expected()
    };
    verify_token(&sign(&header(), &claims), &signing_keys(), &expected, NOW)
}

fn runtime(text: &str) -> RuntimeData {
    RuntimeData::new(text.as_bytes())
}

#[tokio::test]
async fn equal_questions_share_one_fetch_and_others_do_not() {
    let cache = TokenCache::new(8);
    let fetches = AtomicU32::new(0);
    let gate = Notify::new();
    let ask = async |host: &str, text: &str| {
        let runtime = runtime(text);
        let fetch = async {
            fetches.fetch_add(1, Ordering::Relaxed);
            gate.notified().await;
            token(&runtime, 28_800)
        };
        cache.get(&endpoint(host), &runtime, fetch).await.unwrap()
    };
    let open = async {
        while fetches.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
    };
    let (a, b, c, ()) = tokio::join!(
        ask("maa.example", "a"),
        ask("maa.example", "a"),
        ask("maa.example", "a"),
        open
    );
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
    assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&a, &c));
    let again = ask("maa.example", "a").await;
    assert!(Arc::ptr_eq(&a, &again));
    for (host, text) in [
        ("maa.example:8443", "a"),
        ("maa.other", "a"),
        ("maa.example", "b"),
    ] {
        gate.notify_one();
        let other = ask(host, text).await;
        assert!(!Arc::ptr_eq(&a, &other), "{host} {text}");
    }
    assert_eq!(fetches.load(Ordering::Relaxed), 4);
}

#[test]
fn a_token_is_kept_until_five_minutes_before_its_end() {
    for (seconds, kept) in [(28_800, 28_500), (301, 1), (300, 0), (10, 0)] {
        let token = token(&runtime("a"), seconds).unwrap();
        assert_eq!(token.lifetime(), Duration::from_secs(kept));
    }
}

#[tokio::test]
async fn a_token_about_to_end_is_given_once_and_not_kept() {
    let cache = TokenCache::new(8);
    let (runtime, endpoint) = (runtime("a"), endpoint("maa.example"));
    let ask = || cache.get(&endpoint, &runtime, async { token(&runtime, 300) });
    let (first, second) = (ask().await.unwrap(), ask().await.unwrap());
    assert!(!Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_waited_and_kept_for_nobody() {
    let cache = TokenCache::new(8);
    let (runtime, endpoint) = (runtime("a"), endpoint("maa.example"));
    let fetches = AtomicU32::new(0);
    let fail = || async {
        fetches.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Err(AttestError::TokenSignature)
    };
    let (a, b) = tokio::join!(
        cache.get(&endpoint, &runtime, fail()),
        cache.get(&endpoint, &runtime, fail())
    );
    for outcome in [a, b] {
        assert_eq!(outcome.unwrap_err().code(), "CR-SKR-0016");
    }
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
    let good = cache.get(&endpoint, &runtime, async { token(&runtime, 28_800) });
    assert!(good.await.is_ok());
}

#[tokio::test]
async fn what_is_forgotten_or_out_of_room_is_wiped() {
    let cache = TokenCache::new(2);
    let endpoint = endpoint("maa.example");
    let ask = async |text: &str| {
        let runtime = runtime(text);
        let kept = cache.get(&endpoint, &runtime, async { token(&runtime, 28_800) });
        Arc::downgrade(&kept.await.unwrap())
    };
    let first = ask("a").await;
    assert!(first.upgrade().is_some());
    cache.forget(&endpoint, &runtime("a")).await;
    assert!(first.upgrade().is_none());

    let mut kept = Vec::new();
    for text in ["b", "c", "d"] {
        kept.push(ask(text).await);
        cache.0.run_pending_tasks().await;
    }
    let alive: Vec<_> = kept.iter().map(|token| token.upgrade().is_some()).collect();
    assert_eq!(alive, [false, true, true]);
    cache.clear().await;
    assert!(kept.iter().all(|token| token.upgrade().is_none()));
}

#[tokio::test]
async fn a_token_about_something_else_is_not_kept() {
    let cache = TokenCache::new(8);
    let (asked, other) = (runtime("a"), runtime("b"));
    let endpoint = endpoint("maa.example");
    let mixed = cache.get(&endpoint, &asked, async { token(&other, 28_800) });
    let error = mixed.await.unwrap_err();
    assert!(matches!(
        error.cause(),
        AttestError::Claim {
            claim: "x-ms-sevsnpvm-reportdata",
            ..
        }
    ));
}
