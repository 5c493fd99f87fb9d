//! Answers that get lost on the way.

use crate::server::{Azurite, body};
use blob_store::{BlobStore, BlockId, Condition, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// A way to the server that can lose answers: the next bytes from it end their connection instead.
struct Lossy {
    endpoint: Url,
    lose: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Lossy {
    async fn before(azurite: &Azurite) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut endpoint = azurite.endpoint.clone();
        let port = listener.local_addr().unwrap().port();
        endpoint.set_port(Some(port)).unwrap();
        let server = azurite.endpoint.port().unwrap();
        let lossy = Self {
            endpoint,
            lose: Arc::default(),
            connections: Arc::default(),
        };
        let (lose, connections) = (Arc::clone(&lossy.lose), Arc::clone(&lossy.connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let lose = Arc::clone(&lose);
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                    let (mut asks, mut hears) = client.into_split();
                    let (mut answers, mut listens) = server.into_split();
                    let down = async {
                        let mut part = vec![0; 64 << 10];
                        while let Ok(length @ 1..) = answers.read(&mut part).await {
                            if lose.swap(false, Ordering::SeqCst) {
                                break;
                            }
                            if hears.write_all(&part[..length]).await.is_err() {
                                break;
                            }
                        }
                    };
                    tokio::select! {
                        () = down => {}
                        _ = tokio::io::copy(&mut asks, &mut listens) => {}
                    }
                });
            }
        });
        lossy
    }

    /// Loses the answer to the next request. Only over an open connection: a handshake would be lost instead.
    fn lose(&self) -> usize {
        self.lose.store(true, Ordering::SeqCst);
        self.connections.load(Ordering::SeqCst)
    }

    /// It was one answer, and the request came again over one new connection.
    fn lost(&self, before: usize) {
        assert!(!self.lose.load(Ordering::SeqCst));
        assert_eq!(self.connections.load(Ordering::SeqCst), before + 1);
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_known_to_have_happened() {
    let azurite = Azurite::start();
    let direct = azurite.container("lossy").await;
    let lossy = Lossy::before(&azurite).await;
    let mut config = azurite.config("lossy");
    config.endpoint = lossy.endpoint.clone();
    let store = azurite.store(config);
    let none = store.head("a").await;
    assert!(matches!(none, Err(StoreError::NotFound)), "{none:?}");

    let before = lossy.lose();
    let first = store
        .put_blob("a", body(100, 1), &Condition::Absent)
        .await
        .unwrap();
    lossy.lost(before);
    assert_eq!(direct.head("a").await.unwrap().etag, first);
    assert_eq!(azurite.stored("lossy/a").await, body(100, 1));

    // The repetition meets its own blocks committed and its condition gone.
    let id = BlockId::new([1; 8], 0);
    store.put_block("a", id, body(200, 2)).await.unwrap();
    let before = lossy.lose();
    let second = store
        .put_block_list("a", &[id], &Condition::Match(first.clone()))
        .await
        .unwrap();
    lossy.lost(before);
    assert_ne!(second, first);
    assert_eq!(direct.head("a").await.unwrap().etag, second);
    assert_eq!(azurite.stored("lossy/a").await, body(200, 2));

    // Somebody else's version is not taken for ours.
    for condition in [Condition::Absent, Condition::Match(first)] {
        let before = lossy.lose();
        let refused = store.put_blob("a", body(300, 3), &condition).await;
        lossy.lost(before);
        match refused {
            Err(StoreError::Exists) => assert_eq!(condition, Condition::Absent),
            Err(StoreError::Changed) => assert_ne!(condition, Condition::Absent),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(direct.head("a").await.unwrap().etag, second);

    // A read is repeated.
    let before = lossy.lose();
    assert_eq!(
        store.get_range("a", 3..150, &second).await.unwrap(),
        body(200, 2).slice(3..150)
    );
    lossy.lost(before);
}
