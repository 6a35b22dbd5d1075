//! A TCP relay, whose connections a test cuts.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Passes connections on to somebody else; dropped, it closes them all.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    open: watch::Sender<bool>,
    // Aborted with it.
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Starts one that passes on to `target`, which may come later.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let open = watch::Sender::new(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, open.subscribe()));
        Ok(Self { address, open, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection, and each new one at once, until it is mended.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Passes new connections on again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, open: watch::Receiver<bool>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                if *open.borrow() {
                    connections.spawn(pass_on(client, target, open.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut client: TcpStream, target: SocketAddr, mut open: watch::Receiver<bool>) {
    let both = async {
        let mut server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        // How a connection ends is seen by its two ends.
        _ = both => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        (address, tasks)
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 2];
        let exchange = async {
            stream.write_all(b"hi").await?;
            stream.read_exact(&mut answer).await
        };
        timeout(PATIENCE, exchange).await.expect("neither an answer nor an end").is_ok()
    }

    #[tokio::test]
    async fn it_passes_on_until_it_is_cut_and_again_when_it_is_mended() {
        let (target, _echo) = echo().await;
        let relay = Relay::start(target).await.unwrap();
        let mut first = TcpStream::connect(relay.address()).await.unwrap();
        assert!(answers(&mut first).await);

        relay.cut();
        assert!(!answers(&mut first).await);
        let mut second = TcpStream::connect(relay.address()).await.unwrap();
        assert!(!answers(&mut second).await);

        relay.mend();
        let mut third = TcpStream::connect(relay.address()).await.unwrap();
        assert!(answers(&mut third).await);
    }
}
