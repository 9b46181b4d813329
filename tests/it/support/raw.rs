//! An RTMP client that says exactly what it is told to say, in the order it is told; answers are
//! read by `rml_rtmp`, which shares nothing with the server's own reading.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use liverec::media::tag::Tag;
use rml_amf0::Amf0Value;
use rml_rtmp::{
    chunk_io::{ChunkDeserializer, ChunkSerializer},
    messages::{MessagePayload, RtmpMessage},
    time::RtmpTimestamp,
};

use super::server::{PATIENCE, Server};

/// A client that says exactly what a test wants said.
pub struct Raw {
    /// The connection.
    pub socket: TcpStream,
    serializer: ChunkSerializer,
    deserializer: ChunkDeserializer,
    output: Vec<u8>,
}

impl Raw {
    /// Connects and shakes hands.
    pub fn connect(server: &Server) -> Self {
        let mut socket = TcpStream::connect(server.rtmp).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut hello = vec![3, 0, 0, 0, 0, 0, 0, 0, 0];
        hello.extend((0..1528u32).map(|n| n.to_le_bytes()[0]));
        socket.write_all(&hello).unwrap();
        let mut answer = vec![0; 1 + 2 * 1536];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer[0], 3);
        assert_eq!(answer[1 + 1536 + 8..], hello[9..], "S2 echoes C1");
        socket.write_all(&answer[1..1 + 1536]).unwrap();
        let (serializer, deserializer) = (ChunkSerializer::new(), ChunkDeserializer::new());
        Self { socket, serializer, deserializer, output: Vec::new() }
    }

    fn message(&mut self, message: MessagePayload) {
        let packet = self.serializer.serialize(&message, false, false).unwrap();
        self.output.extend_from_slice(&packet.bytes);
    }

    /// Queues a command on a message stream.
    pub fn command(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        object: Amf0Value,
        arguments: &[&str],
    ) {
        let message = RtmpMessage::Amf0Command {
            command_name: name.to_owned(),
            transaction_id: transaction,
            command_object: object,
            additional_arguments: arguments
                .iter()
                .map(|text| Amf0Value::Utf8String((*text).to_owned()))
                .collect(),
        };
        self.message(message.into_message_payload(RtmpTimestamp::new(0), stream).unwrap());
    }

    /// Queues `connect`.
    pub fn connect_command(&mut self, app: Option<&str>) {
        let mut object = vec![("tcUrl", "rtmp://127.0.0.1/live")];
        object.extend(app.map(|app| ("app", app)));
        let object =
            object.into_iter().map(|(k, v)| (k.to_owned(), Amf0Value::Utf8String(v.to_owned())));
        self.command(0, "connect", 1.0, Amf0Value::Object(object.collect()), &[]);
    }

    /// Queues a tag on a message stream.
    pub fn tag(&mut self, stream: u32, tag: &Tag) {
        self.message(MessagePayload {
            timestamp: RtmpTimestamp::new(u32::try_from(tag.time_ms).unwrap()),
            type_id: tag.kind as u8,
            message_stream_id: stream,
            data: tag.payload.clone(),
        });
    }

    /// Sends what is queued.
    pub fn send(&mut self) {
        let output = std::mem::take(&mut self.output);
        self.socket.write_all(&output).unwrap();
    }

    /// The next command from the server: its name, and `code` and `description` if it has them.
    fn answer(&mut self) -> (String, f64, Said) {
        let mut input = Vec::new();
        loop {
            while let Some(message) = self.deserializer.get_next_message(&input).unwrap() {
                input.clear();
                match message.to_rtmp_message().unwrap() {
                    RtmpMessage::SetChunkSize { size } => {
                        self.deserializer.set_max_chunk_size(size as usize).unwrap();
                    }
                    RtmpMessage::Amf0Command {
                        command_name,
                        transaction_id,
                        additional_arguments,
                        ..
                    } => {
                        return (command_name, transaction_id, Said::of(&additional_arguments));
                    }
                    _ => {}
                }
            }
            let mut buffer = [0; 4096];
            let read = self.socket.read(&mut buffer).unwrap();
            assert!(read > 0, "the server closed the connection");
            input = buffer[..read].to_vec();
        }
    }

    /// Waits for a status with this code.
    pub fn wait_for(&mut self, code: &str) -> Said {
        loop {
            let (_, _, said) = self.answer();
            if said.code == code {
                return said;
            }
        }
    }

    /// Waits for the result of a command.
    fn result(&mut self, transaction: f64) -> Said {
        loop {
            let (name, answered, said) = self.answer();
            if name == "_result" && answered == transaction {
                return said;
            }
        }
    }

    /// Asks for a message stream; its id.
    pub fn create_stream(&mut self, transaction: f64) -> u32 {
        self.command(0, "createStream", transaction, Amf0Value::Null, &[]);
        self.send();
        self.result(transaction).number.unwrap() as u32
    }

    /// Must be closed by the server.
    pub fn expect_end(mut self) {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).unwrap();
    }
}

/// What the server said in an answer.
#[derive(Debug, Default)]
pub struct Said {
    /// `code` of the status.
    pub code: String,
    /// `level` of the status.
    pub level: String,
    /// `description` of the status.
    pub description: String,
    /// A number outside of a status.
    pub number: Option<f64>,
}

impl Said {
    fn of(arguments: &[Amf0Value]) -> Self {
        let mut said = Self::default();
        for argument in arguments {
            match argument {
                Amf0Value::Number(number) => said.number = Some(*number),
                Amf0Value::Object(members) => {
                    let text = |name| match members.get(name) {
                        Some(Amf0Value::Utf8String(text)) => text.clone(),
                        _ => String::new(),
                    };
                    said.code = text("code");
                    said.level = text("level");
                    said.description = text("description");
                }
                _ => {}
            }
        }
        said
    }
}
