//! Peers: the sidecars, the loopback device, the platform, and families of sockets that reach past a network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::report::Report;
use crate::system::call;

/// Sidecars whose sockets are tried by name, whether their directory can be listed or not.
const SIDECARS: [&str; 6] = [
    "skr-agent",
    "secrets",
    "identity",
    "governance",
    "otel-collector",
    "code-launcher",
];
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn sidecars(report: &mut Report, sockets: &Path) {
    for name in SIDECARS {
        let path = sockets.join(name).join(format!("{name}.sock"));
        report.tried_io(format!("socket_{name}"), UnixStream::connect(path));
    }
    match std::fs::read_dir(sockets) {
        Err(error) => report.tried_io("sockets_listed", Err::<(), _>(error)),
        Ok(directories) => {
            report.tried_io("sockets_listed", Ok(()));
            let files = directories
                .flatten()
                .filter_map(|directory| std::fs::read_dir(directory.path()).ok());
            for file in files.flatten().flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                report.tried_io(format!("socket_{name}"), UnixStream::connect(file.path()));
            }
        }
    }
}

/// Every TCP port of the loopback device, and of the address that binds to all of them.
pub(crate) fn loopback(report: &mut Report) {
    for port in 1..=u16::MAX {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        report.tried_io("loopback_tcp", connect(address));
    }
}

/// Connects to somebody else: a socket that meets itself (both ends chose the same port) has met nobody.
fn connect(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

/// The metadata service, the platform's wire server, and an address that is nobody's.
pub(crate) fn outside(report: &mut Report) {
    let targets = [
        ("metadata_service", [169, 254, 169, 254], 80),
        ("wire_server", [168, 63, 129, 16], 80),
        ("internet", [203, 0, 113, 1], 443),
    ];
    for (name, address, port) in targets {
        report.tried_io(name, connect(SocketAddr::from((address, port))));
    }
    let resolved = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.send_to(&[0; 12], SocketAddr::from(([168, 63, 129, 16], 53))));
    report.tried_io("name_server", resolved);
}

pub(crate) fn families(report: &mut Report) {
    let sockets = [
        ("vsock", libc::AF_VSOCK, libc::SOCK_STREAM),
        ("packet", libc::AF_PACKET, libc::SOCK_RAW),
        ("netlink", libc::AF_NETLINK, libc::SOCK_RAW),
        ("kernel_crypto", libc::AF_ALG, libc::SOCK_SEQPACKET),
        ("raw_ipv4", libc::AF_INET, libc::SOCK_RAW),
        ("raw_ipv6", libc::AF_INET6, libc::SOCK_RAW),
    ];
    for (name, family, kind) in sockets {
        // Protocol 1 is ICMP for the raw sockets and ignored or refused by the others.
        let protocol = if name.starts_with("raw") { 1 } else { 0 };
        let (family, kind) = (family.cast_unsigned(), kind.cast_unsigned());
        report.tried(
            format!("socket_{name}"),
            call(
                libc::SYS_socket,
                [family.into(), kind.into(), protocol, 0, 0],
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_listener_on_the_loopback_device_is_found() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        connect(listener.local_addr().unwrap()).unwrap();
        let mut report = Report::default();
        loopback(&mut report);
        assert!(report.worked("loopback_tcp"));
    }

    #[test]
    fn a_reachable_sidecar_is_found_by_name_and_by_listing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["identity", "input"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let bind = |path: &str| UnixListener::bind(folder.path().join(path)).unwrap();
        let _listeners = [bind("identity/identity.sock"), bind("input/input.sock")];
        let mut report = Report::default();
        sidecars(&mut report, folder.path());
        assert!(report.worked("socket_identity") && report.worked("socket_input.sock"));
        assert!(!report.worked("socket_secrets"));
    }
}
