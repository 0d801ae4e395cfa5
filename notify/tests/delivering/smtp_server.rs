use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::house::in_time;

/// A mail as it came.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) login: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

/// A server of SMTP (RFC 5321, with AUTH PLAIN) that answers each RCPT as it is told to, and in the end with 250.
pub(crate) struct SmtpServer {
    pub(crate) address: String,
    mails: mpsc::UnboundedReceiver<Received>,
}

impl SmtpServer {
    pub(crate) async fn start(answers: &'static [&'static str]) -> SmtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address").to_string();
        let (came, mails) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut answers = answers.iter();
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(mail) = serve(stream, &mut answers).await {
                    // Whoever does not listen any more has seen enough.
                    let _ = came.send(mail);
                }
            }
        });
        SmtpServer { address, mails }
    }

    pub(crate) fn got_no_mail(mut self) -> bool {
        self.mails.try_recv().is_err()
    }

    pub(crate) async fn mail(&mut self) -> Received {
        in_time(self.mails.recv()).await.expect("the server runs")
    }
}

/// One conversation; the mail where one was taken.
async fn serve(
    stream: TcpStream,
    answers: &mut std::slice::Iter<'_, &'static str>,
) -> Option<Received> {
    let mut stream = BufReader::new(stream);
    let mut mail = Received::default();
    let mut is_taken = false;
    stream.write_all(b"220 here ESMTP\r\n").await.ok()?;
    loop {
        let line = line(&mut stream).await;
        let Some(line) = line else { break };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match verb {
            "EHLO" => "250-here\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            "AUTH" => {
                mail.login = rest.to_owned();
                "235 welcome"
            }
            "MAIL" => {
                mail.from = rest.to_owned();
                "250 ok"
            }
            "RCPT" => {
                mail.to.push(rest.to_owned());
                answers.next().copied().unwrap_or("250 ok")
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                mail.text = text(&mut stream).await?;
                is_taken = true;
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        stream
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .ok()?;
        if verb == "QUIT" {
            break;
        }
    }
    is_taken.then_some(mail)
}

async fn text(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    loop {
        let line = line(stream).await?;
        if line == "." {
            return Some(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
        text.push('\n');
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}
