//! A coordinator that is played: it says what a test has it say, and remembers what it was told.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use bellwether_resp::{Protocol, RequestDecoder, RequestLimits, Value};
use bytes::BytesMut;

type Answer = Box<dyn Fn(&str) -> Value + Send>;

/// Listens until the end of the test process.
pub(crate) struct Spoken {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Spoken {
    /// Answers each command, its words with spaces between, by `answer`.
    pub(crate) fn start(port: u16, answer: impl Fn(&str) -> Value + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let spoken = Self {
            port,
            heard: Arc::default(),
            answer: Arc::new(Mutex::new(Box::new(answer))),
        };
        let (heard, answer) = (Arc::clone(&spoken.heard), Arc::clone(&spoken.answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &heard, &answer));
            }
        });
        spoken
    }

    /// Where it listens.
    pub(crate) fn at(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it was told since it was last asked.
    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().expect("no panic before"))
    }
}

fn serve(mut stream: TcpStream, heard: &Mutex<Vec<String>>, answer: &Mutex<Answer>) {
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    decoder.set_authenticated(true);
    let (mut input, mut chunk) = (BytesMut::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        input.extend_from_slice(&chunk[..read]);
        let mut output = BytesMut::new();
        while let Ok(Some(request)) = decoder.decode(&mut input) {
            let words: Vec<_> = request.args().map(String::from_utf8_lossy).collect();
            let words = words.join(" ");
            let value = answer.lock().expect("no panic before")(&words);
            heard.lock().expect("no panic before").push(words);
            value.encode(Protocol::Resp2, &mut output);
        }
        if stream.write_all(&output).is_err() {
            return;
        }
    }
}
