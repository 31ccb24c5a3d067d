//! One keep-alive HTTP/1.1 connection that sends prepared bytes and reads the answer, with nothing in between: a load
//! generator shares its machine with what it measures.

use bytes::{Buf, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// How long a broker may take to answer.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(35);
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Host and port as the `host` header has them.
#[must_use]
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    body: Vec<u8>,
}

/// An answer, until the connection's next request.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
    /// The connection takes another request.
    pub keeps_alive: bool,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

struct AnswerHead {
    status: u16,
    framing: Framing,
    keeps_alive: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn open(url: &Url) -> io::Result<Connection> {
        let host = url.host_str().unwrap_or_default();
        // The brackets of an IPv6 literal are the URL's, not the address's.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(80);
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: BytesMut::with_capacity(4096), body: Vec::new() })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// If the connection fails, or what comes back is not HTTP. The connection is of no use then.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        let head = loop {
            match parse_head(&mut self.buffer)? {
                Some(head) if (100..200).contains(&head.status) => {}
                Some(head) => break head,
                None => self.read_more().await?,
            }
        };
        self.body.clear();
        match head.framing {
            Framing::Length(length) => self.read_body(length).await?,
            Framing::Chunked => self.read_chunks().await?,
        }
        Ok(Answer { status: head.status, body: &self.body, keeps_alive: head.keeps_alive })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.buffer.len() > LARGEST_ANSWER {
            return Err(invalid("the answer is too large"));
        }
        Ok(())
    }

    async fn read_body(&mut self, length: usize) -> io::Result<()> {
        if length > LARGEST_ANSWER {
            return Err(invalid("the answer is too large"));
        }
        while self.buffer.len() < length {
            self.read_more().await?;
        }
        self.body.extend_from_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        Ok(())
    }

    async fn read_chunks(&mut self) -> io::Result<()> {
        loop {
            let (start, size) = loop {
                match httparse::parse_chunk_size(&self.buffer).map_err(|_| invalid("a malformed chunk"))? {
                    httparse::Status::Complete(found) => break found,
                    httparse::Status::Partial => self.read_more().await?,
                }
            };
            self.buffer.advance(start);
            let size = usize::try_from(size).map_err(|_| invalid("the answer is too large"))?;
            self.read_body(size).await?;
            while self.buffer.len() < 2 {
                self.read_more().await?;
            }
            self.buffer.advance(2);
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn parse_head(buffer: &mut BytesMut) -> io::Result<Option<AnswerHead>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    let length = match answer.parse(buffer).map_err(|error| invalid(&error.to_string()))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let mut head = AnswerHead {
        status: answer.code.unwrap_or_default(),
        framing: Framing::Length(0),
        keeps_alive: answer.version == Some(1),
    };
    for header in answer.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
            head.framing = Framing::Length(length.ok_or_else(|| invalid("a malformed content-length"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close") {
            head.keeps_alive = false;
        }
    }
    buffer.advance(length);
    Ok(Some(head))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Serves one connection: for each request of one byte, the next of these answers, a few bytes at a time.
    async fn answering(answers: Vec<&'static [u8]>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                stream.read_u8().await.unwrap();
                for part in answer.chunks(7) {
                    stream.write_all(part).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        url
    }

    #[tokio::test]
    async fn answers_are_read_one_after_another_whatever_their_framing() {
        let url = answering(vec![
            b"HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nhello",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nConnection: Close\r\ncontent-length: 0\r\n\r\n",
        ])
        .await;
        let mut connection = Connection::open(&url).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            let answer = connection.exchange(b"?").await.unwrap();
            seen.push((answer.status, String::from_utf8(answer.body.to_vec()).unwrap(), answer.keeps_alive));
        }
        let expected = [(202, "hello", true), (204, "", true), (200, "abcde", true), (500, "", false)];
        assert_eq!(seen, expected.map(|(status, body, keeps)| (status, body.to_owned(), keeps)));
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_or_is_no_http_is_an_error() {
        for (answer, kind) in [
            (b"HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nhel".as_slice(), io::ErrorKind::UnexpectedEof),
            (b"SSH-2.0-OpenSSH\r\n\r\n", io::ErrorKind::InvalidData),
            (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", io::ErrorKind::InvalidData),
        ] {
            let url = answering(vec![answer]).await;
            let mut connection = Connection::open(&url).await.unwrap();
            assert_eq!(connection.exchange(b"?").await.unwrap_err().kind(), kind);
        }
    }
}
