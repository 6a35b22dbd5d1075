//! A client of one namespace, over a raw WebSocket: what a stock client's listeners would get.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::websocket::WebSocket;

pub(crate) struct Client {
    pub(crate) socket: WebSocket,
}

/// An event as it came.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) namespace: String,
    /// What an acknowledgement has to name, if one is asked for.
    pub(crate) ack: Option<u64>,
    pub(crate) name: String,
    pub(crate) args: Vec<Value>,
}

impl Event {
    /// Parses the packet `42/namespace,ack["name",…]`.
    pub(crate) fn parse(packet: &str) -> Self {
        let rest = packet.strip_prefix("42").unwrap_or_else(|| panic!("no event: {packet}"));
        let (namespace, list) = match rest.strip_prefix('/') {
            Some(named) => {
                let (name, list) = named.split_once(',').unwrap();
                (format!("/{name}"), list)
            }
            None => ("/".to_owned(), rest),
        };
        let (ack, list) = list.split_at(list.find('[').unwrap());
        let ack = (!ack.is_empty()).then(|| ack.parse().unwrap());
        let mut args: Vec<Value> = serde_json::from_str(list).unwrap();
        let name = args.remove(0).as_str().unwrap().to_owned();
        Self { namespace, ack, name, args }
    }

    /// A field of the last argument, as a text.
    pub(crate) fn text(&self, field: &str) -> String {
        let last = self.args.last().unwrap();
        last[field].as_str().unwrap_or_else(|| panic!("{field} in {last}")).to_owned()
    }

    /// The payload and whether it was replayed; this must be a notice.
    pub(crate) fn notice(&self) -> (&Value, bool) {
        assert_eq!(self.name, "notice", "{self:?}");
        (&self.args[0], self.args[1]["replayed"].as_bool().unwrap())
    }
}

impl Client {
    /// Opens a connection without a namespace.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, "").await
    }

    /// The same with more in the query (`&token=x`).
    pub(crate) async fn open_with(address: SocketAddr, query: &str) -> Self {
        let mut socket = WebSocket::open(address, query).await.unwrap();
        socket.open_packet().await;
        Self { socket }
    }

    /// Connects to `/notice` as `user` and reads as far as `herald:ready`, whose cursor is given.
    pub(crate) async fn connect(address: SocketAddr, user: &str) -> (Self, String) {
        Self::connect_with(address, json!({ "token": user })).await
    }

    pub(crate) async fn connect_with(address: SocketAddr, auth: Value) -> (Self, String) {
        let mut this = Self::open(address).await;
        let cursor = this.join("/notice", auth).await.text("cursor");
        (this, cursor)
    }

    /// Joins a namespace; gives `herald:ready`, which must be the first event.
    pub(crate) async fn join(&mut self, namespace: &str, auth: Value) -> Event {
        let answer = self.ask(namespace, auth).await;
        assert!(answer.starts_with("40"), "{answer}");
        let ready = self.event().await;
        assert_eq!(ready.name, "herald:ready");
        assert_eq!(ready.namespace, namespace);
        ready
    }

    /// Asks for a namespace; gives the answer: `40…` or `44…`.
    pub(crate) async fn ask(&mut self, namespace: &str, auth: Value) -> String {
        self.socket.send(&format!("40{namespace},{auth}")).await;
        self.socket.next().await.expect("an answer")
    }

    /// The message of the connect_error that the answer must be.
    pub(crate) async fn refused(&mut self, namespace: &str, auth: Value) -> String {
        let answer = self.ask(namespace, auth).await;
        let at = answer.find('{').unwrap_or_else(|| panic!("no connect_error: {answer}"));
        assert!(answer.starts_with("44"), "{answer}");
        let error: Value = serde_json::from_str(&answer[at..]).unwrap();
        error["message"].as_str().unwrap().to_owned()
    }

    /// Hands in a new token, and gives what is answered; no event may come meanwhile.
    pub(crate) async fn hand_in(&mut self, token: &Value) -> Value {
        let event = json!(["herald:token", token]);
        self.socket.send(&format!("42/notice,7{event}")).await;
        let answer = self.socket.next().await.expect("an answer");
        let list = answer.strip_prefix("43/notice,7").unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_str::<Vec<Value>>(list).unwrap().remove(0)
    }

    pub(crate) async fn event(&mut self) -> Event {
        let packet = self.socket.next().await.expect("an event, not the end");
        Event::parse(&packet)
    }

    /// Acknowledges an event that asks for it, as a stock client would that was given `args`.
    pub(crate) async fn acknowledge(&mut self, event: &Event, args: Value) {
        let ack = event.ack.expect("it asks for an acknowledgement");
        self.socket.send(&format!("43{},{ack}{args}", event.namespace)).await;
    }

    /// Asserts that the next notices carry these numbers.
    pub(crate) async fn expect(&mut self, numbers: impl IntoIterator<Item = u64>, replayed: bool) {
        for number in numbers {
            let event = self.event().await;
            assert_eq!(event.notice(), (&json!(number), replayed), "{event:?}");
        }
    }
}
