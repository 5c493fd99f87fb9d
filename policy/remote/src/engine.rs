//! Images of a Docker engine on this machine, through its socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Empty, Limited};
use hyper_util::rt::TokioIo;
use image_layers::ImageError;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::BlockingReader;

/// Where a Docker engine listens.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Until the engine begins to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// For the whole of an image.
const DEADLINE: Duration = Duration::from_secs(1800);
const MOST_ERROR: usize = 64 << 10;

/// Begins to read an image of the engine at `socket`, as the archive that `docker save` writes.
///
/// # Errors
///
/// The engine cannot be reached, has no such image, or does not answer in time.
pub async fn saved_image(socket: &Path, name: &str) -> Result<BlockingReader, ImageError> {
    let refused = |reason: String| ImageError::Remote {
        place: format!("the Docker engine at {}", socket.display()),
        what: format!("image {name}"),
        reason,
    };
    let ask = async {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| refused(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| refused(error.to_string()))?;
        // Ends with the response's body; its failure is the body's.
        tokio::spawn(connection);
        let escaped: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let request = Request::get(format!("/images/{escaped}/get"))
            .header(header::HOST, "docker")
            .body(Empty::<Bytes>::new())
            .map_err(|error| refused(error.to_string()))?;
        let answer = sender.send_request(request).await;
        answer.map_err(|error| refused(error.to_string()))
    };
    let late = || refused(format!("no answer within {} s", PATIENCE.as_secs()));
    let answer = timeout(PATIENCE, ask).await.map_err(|_| late())??;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => {
            return Err(ImageError::NoSuchImage {
                wanted: name.to_owned(),
                present: Vec::new(),
            });
        }
        status => {
            let body = Limited::new(answer.into_body(), MOST_ERROR).collect();
            let body = timeout(PATIENCE, body).await.map_err(|_| late())?;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(refused(format!("{status}: {}", text.trim())));
        }
    }
    let data = BodyStream::new(answer.into_body()).flat_map(|frame| {
        stream::iter(match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    Ok(BlockingReader::new(
        Handle::current(),
        data.boxed(),
        Instant::now() + DEADLINE,
    ))
}
